//! Random definitions of columns: each data type with the attributes that it may have.

use super::grammar::{Grammar, Words, words};

pub(super) const CHARSETS: &[&str] = &[
    "utf8mb4", "utf8mb4", "latin1", "latin1", "utf8mb3", "utf8", "gbk", "latin2", "ascii",
    "binary", "ucs2", "utf16", "sjis", "cp1251", "utf32", "swe7", "euckr",
];

/// Those that a whole table or database, and an ENUM, may have. Of an ENUM that was converted to
/// or from a set without single bytes the servers' own `column_type` is broken: `enum('?','?')`.
pub(super) const DEFAULTS: &[&str] = &[
    "utf8mb4", "latin1", "utf8mb3", "utf8", "gbk", "latin2", "ascii", "binary", "sjis", "cp1251",
    "swe7", "euckr",
];

/// A collation of the set.
pub(super) fn collation(charset: &str) -> String {
    match charset {
        "binary" => "binary".to_owned(),
        "utf8" => "utf8_bin".to_owned(),
        other => format!("{other}_bin"),
    }
}

/// A text that a reader who counts quotes or parentheses wrongly would stumble over.
pub(super) fn odd_text(grammar: &mut Grammar<'_>) -> String {
    let text = grammar.pick(&[
        "'x'",
        "'it''s'",
        "'a, b INT'",
        "')'",
        "'('",
        "'/*'",
        "'*/'",
        "'-- '",
        "'#'",
        "'`'",
        "'\"'",
        "''",
        "'表'",
        "'a\nb'",
    ]);
    let escapes = !grammar.sql_mode.contains("NO_BACKSLASH_ESCAPES");
    let with_backslash = grammar.once_in(4).then_some(if escapes { r"'a\'b\\'" } else { r"'a\'" });
    let ansi = grammar.has_ansi_quotes();
    if !ansi && grammar.once_in(6) {
        return "\"it's\"".to_owned();
    }
    with_backslash.map_or(text, str::to_owned)
}

const NUMBERS: &[&str] = &[
    "INT",
    "INTEGER",
    "INT(5)",
    "TINYINT",
    "TINYINT(1)",
    "BOOL",
    "BOOLEAN",
    "SMALLINT",
    "MEDIUMINT",
    "BIGINT",
    "INT1",
    "INT2",
    "INT3",
    "INT4",
    "INT8",
    "MIDDLEINT",
    "FLOAT",
    "FLOAT(10)",
    "FLOAT(30)",
    "FLOAT(7,3)",
    "DOUBLE",
    "DOUBLE PRECISION",
    "REAL",
    "FLOAT4",
    "FLOAT8",
    "DOUBLE(7,3)",
    "DECIMAL",
    "DEC(5)",
    "NUMERIC(6,2)",
    "FIXED(6,3)",
    "DECIMAL(0)",
];

const OTHERS: &[&str] = &[
    "BIT",
    "BIT(9)",
    "DATE",
    "TIME",
    "TIME(3)",
    "DATETIME",
    "DATETIME(6)",
    "TIMESTAMP NULL",
    "TIMESTAMP(3) NULL",
    "YEAR",
    "YEAR(4)",
    "BINARY",
    "BINARY(5)",
    "VARBINARY(20)",
    "VARBINARY(70000)",
    "BLOB",
    "BLOB(10)",
    "BLOB(70000)",
    "TINYBLOB",
    "MEDIUMBLOB",
    "LONGBLOB",
    "LONG VARBINARY",
    "JSON",
    "GEOMETRY",
    "POINT",
    "LINESTRING",
    "POLYGON",
    "MULTIPOINT",
    "MULTILINESTRING",
    "MULTIPOLYGON",
    "GEOMETRYCOLLECTION",
    "CHAR BYTE",
    "VARCHAR(9) BYTE",
];

const TEXTS: &[&str] = &[
    "CHAR",
    "CHAR(10)",
    "CHARACTER(3)",
    "VARCHAR(20)",
    "VARCHAR(300)",
    "CHARACTER VARYING(7)",
    "CHAR VARYING(7)",
    "VARCHARACTER(4)",
    "VARCHAR(16382)",
    "VARCHAR(16383)",
    "VARCHAR(16384)",
    "VARCHAR(20000)",
    "VARCHAR(30000)",
    "VARCHAR(70000)",
    "TINYTEXT",
    "TEXT",
    "TEXT(60)",
    "TEXT(100)",
    "TEXT(20000)",
    "TEXT(5000000)",
    "MEDIUMTEXT",
    "LONGTEXT",
    "LONG",
    "LONG VARCHAR",
    "LONG CHAR VARYING",
    "ENUM('a','b')",
    "SET('a','b')",
    "ENUM('it''s','x ',\"q\")",
    "ENUM('ä','中')",
    "SET('a/*b','c)d')",
    "ENUM(0x61,x'62')",
    "ENUM('a','A','')",
    "ENUM('a,b','c''d','e\\\\f')",
];

const NATIONAL: &[&str] = &[
    "NCHAR",
    "NATIONAL CHAR(4)",
    "NVARCHAR(3)",
    "NATIONAL VARCHAR(5)",
    "NCHAR VARYING(3)",
    "NATIONAL CHARACTER VARYING(4)",
    "NCHAR VARCHAR(3)",
    "NATIONAL VARCHARACTER(3)",
];

const MARIADB: &[&str] = &["UUID", "INET6", "INET4", "mariadb_schema.date", "oracle_schema.date"];

const MYSQL: &[&str] = &["VECTOR", "VECTOR(3)", "GEOMCOLLECTION", "POINT SRID 4326"];

const ORACLE: &[&str] =
    &["NUMBER", "NUMBER(5)", "NUMBER(7,2)", "VARCHAR2(9)", "CLOB", "RAW(16)", "BLOB", "DATE"];

/// An integer with the primary key in its own definition.
pub(super) fn key_column(grammar: &mut Grammar<'_>) -> Words {
    let head = grammar.pick(&["INT", "BIGINT UNSIGNED", "SMALLINT", "BIGINT(20) UNSIGNED", "INT"]);
    let mut text = words(&head);
    if grammar.once_in(2) {
        text.extend(words("NOT NULL"));
    }
    if grammar.once_in(2) {
        text.push("AUTO_INCREMENT".to_owned());
        if grammar.once_in(4) {
            text.push("INVISIBLE".to_owned());
        }
    }
    let key = grammar.pick(&["PRIMARY KEY", "KEY", "PRIMARY KEY"]);
    text.extend(words(&key));
    text
}

/// A type with its attributes; a column that is added needs no value of its own.
pub(super) fn column(grammar: &mut Grammar<'_>, altered: bool) -> Words {
    let mut text = match grammar.random.below(24) {
        0..9 => number(grammar),
        9..13 => {
            let one = grammar.pick(OTHERS);
            words(&one)
        }
        13..21 => characters(grammar),
        21 => {
            let one = grammar.pick(NATIONAL);
            words(&one)
        }
        22 if grammar.sql_mode.contains("ORACLE") => {
            let one = grammar.pick(ORACLE);
            words(&one)
        }
        22 => {
            let own = if grammar.is_mariadb() { MARIADB } else { MYSQL };
            let one = grammar.pick(own);
            words(&one)
        }
        _ => generated(grammar),
    };
    for _ in 0..grammar.random.below(3) {
        text.extend(attribute(grammar, altered));
    }
    text
}

fn number(grammar: &mut Grammar<'_>) -> Words {
    let one = grammar.pick(NUMBERS);
    let mut text = words(&one);
    match grammar.random.below(8) {
        0 | 1 => text.push("UNSIGNED".to_owned()),
        2 => text.push("ZEROFILL".to_owned()),
        3 => text.push("SIGNED".to_owned()),
        4 => text.extend(words("DEFAULT -1")),
        _ => {}
    }
    text
}

fn characters(grammar: &mut Grammar<'_>) -> Words {
    let mut one = grammar.pick(TEXTS);
    let ansi = grammar.has_ansi_quotes();
    if ansi {
        one = one.replace('"', "'");
    }
    let is_labelled = one.starts_with("ENUM") || one.starts_with("SET");
    let mut text = if one.contains('(') { vec![one] } else { words(&one) };
    let charset = grammar.pick(if is_labelled { DEFAULTS } else { CHARSETS });
    let set = grammar.set_words();
    match grammar.random.below(14) {
        0 => text.extend(words(&format!("{set} {charset}"))),
        12 if grammar.is_mariadb() => {
            text.extend(words(&format!("{set} {charset} COLLATE DEFAULT")));
        }
        13 if grammar.is_mariadb() => text.extend(words("COLLATE DEFAULT")),
        1 => text.extend(words(&format!("CHARSET '{charset}'"))),
        2 => text.extend(words(&format!("COLLATE {}", collation(&charset)))),
        3 => {
            let set = format!("CHARACTER SET {charset} COLLATE {}", collation(&charset));
            text.extend(words(&set));
        }
        4 => text.push("ASCII".to_owned()),
        5 if !is_labelled => text.push("UNICODE".to_owned()),
        6 => text.push("BINARY".to_owned()),
        7 if grammar.is_mariadb() => text.push("COMPRESSED".to_owned()),
        _ => {}
    }
    text
}

fn generated(grammar: &mut Grammar<'_>) -> Words {
    let mut text = words("INT");
    if grammar.once_in(2) {
        text.extend(words("GENERATED ALWAYS"));
    }
    text.extend(words("AS ( 1 + 1 )"));
    match grammar.random.below(3) {
        0 => text.push("VIRTUAL".to_owned()),
        1 => text.push("STORED".to_owned()),
        _ => {}
    }
    text
}

fn attribute(grammar: &mut Grammar<'_>, altered: bool) -> Words {
    match grammar.random.below(14) {
        0 => words("NULL"),
        1 if !altered => words("NOT NULL"),
        2 => words("DEFAULT NULL"),
        3 | 4 => {
            let text = odd_text(grammar);
            vec!["COMMENT".to_owned(), text]
        }
        5 => words("INVISIBLE"),
        6 => words("UNIQUE"),
        7 if !grammar.is_mariadb() => words("COLUMN_FORMAT DEFAULT"),
        8 => words("CHECK ( 1 IN (1, 2) )"),
        9 if grammar.is_mariadb() && grammar.once_in(3) => words("WITH SYSTEM VERSIONING"),
        9 if grammar.is_mariadb() => words("WITHOUT SYSTEM VERSIONING"),
        10 => words("DEFAULT 1"),
        11 if grammar.is_mariadb() && grammar.once_in(2) => {
            let value = grammar.pick(&[
                "CASE WHEN 1 > 2 THEN 1 ELSE 2 END",
                "CASE 1 WHEN 2 THEN CASE 3 WHEN 4 THEN 5 END ELSE ( 6 ) END",
                "CASE 1 IN (1, 2) WHEN 1 THEN 2 END",
                "IF ( 1 , 2 , 3 )",
                "NULL",
                "_latin1 0x31",
                "1.5",
            ]);
            words(&format!("DEFAULT {value}"))
        }
        11 => words("DEFAULT (1 + 1)"),
        12 if !altered => words("NOT NULL PRIMARY KEY"),
        _ => Words::new(),
    }
}
