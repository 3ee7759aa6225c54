//! Random columns: names, types as people write them, and values as SQL.

use std::fmt::Write as _;

use super::snapshot::Column;
use crate::harness::Random;
use crate::harness::servers::Flavor;

const NAMES: [&str; 14] = [
    "id",
    "Name",
    "two words",
    "q`t",
    "it's",
    "say \"x\"",
    "a.b",
    "列名",
    "ünï",
    "select",
    "key",
    "$1",
    "back\\slash",
    "%s",
];

const CHARSETS: [&str; 30] = [
    "utf8mb4", "utf8mb3", "latin1", "gbk", "big5", "sjis", "ujis", "euckr", "gb2312", "gb18030",
    "cp1251", "cp1250", "cp1256", "cp1257", "cp850", "cp852", "cp866", "cp932", "eucjpms", "greek",
    "hebrew", "koi8r", "koi8u", "latin2", "latin5", "latin7", "macroman", "tis620", "ascii",
    "binary",
];
const COLLATIONS: [&str; 7] = [
    "utf8mb4_bin",
    "utf8mb4_general_ci",
    "latin1_german2_ci",
    "gbk_bin",
    "utf8mb4_unicode_ci",
    "cp1251_ukrainian_ci",
    "big5_chinese_ci",
];

/// For columns only, and not of labels, which the servers spoil in a conversion.
const WIDE: [&str; 4] = ["utf16", "utf16le", "utf32", "ucs2"];

/// Letters of many scripts, some of which a character set lacks.
const LETTERS: &str = "aZ09 _-'\"\\/\n\t\u{1}\u{7f}äöÜßéñ€ŁšžđПриветԱբΩψשלוםمرحباไทย中文简体繁體漢字日本語ひらカタ한국어ｱ～①😀𠮷";

/// A name that no column of the table has.
pub(super) fn new_name(random: &mut Random, taken: &[Column]) -> String {
    loop {
        let mut name = (*random.pick(&NAMES)).to_owned();
        if random.once_in(2) {
            let _ = write!(name, "{}", random.below(100));
        }
        if taken.iter().all(|column| column.name.to_lowercase() != name.to_lowercase()) {
            return name;
        }
    }
}

/// The name of a character set; of a table's or a column's.
pub(super) fn charset(random: &mut Random, flavor: Flavor) -> &'static str {
    match *random.pick(&CHARSETS) {
        "gb18030" if flavor == Flavor::MariaDb => "utf8mb4",
        name => name,
    }
}

/// Something that an index can hold whole.
pub(super) fn key_type(random: &mut Random) -> String {
    let types = [
        "INT",
        "BIGINT UNSIGNED",
        "SMALLINT",
        "VARCHAR(20)",
        "CHAR(8)",
        "BINARY(6)",
        "DATE",
        "DATETIME(3)",
        "DECIMAL(12,4)",
        "VARBINARY(9)",
        "TIMESTAMP",
        "ENUM('a','b','c')",
        "INT(6) ZEROFILL",
    ];
    (*random.pick(&types)).to_owned()
}

/// Any data type with its lengths and attributes of type.
pub(super) fn data_type(random: &mut Random, flavor: Flavor) -> String {
    let integers = [
        "TINYINT",
        "TINYINT(1)",
        "BOOL",
        "SMALLINT(3)",
        "MEDIUMINT",
        "INT",
        "INTEGER",
        "INT(9)",
        "BIGINT",
        "BIGINT(20)",
        "INT3",
        "INT8",
    ];
    let sign = ["", "", " UNSIGNED", " UNSIGNED ZEROFILL", " ZEROFILL", " SIGNED"];
    let text = match random.below(20) {
        0..4 => {
            let name = *random.pick(&integers);
            let sign = if name == "BOOL" { "" } else { *random.pick(&sign) };
            return format!("{name}{sign}");
        }
        4..6 => {
            let scale = random.below(31);
            let precision = scale.max(1) + random.below(66 - scale.max(1));
            return format!("DECIMAL({precision},{scale}){}", random.pick(&sign[..5]));
        }
        6 => {
            let names = [
                "FLOAT",
                "DOUBLE",
                "REAL",
                "FLOAT(10)",
                "FLOAT(30)",
                "DOUBLE(12,3)",
                "FLOAT(7,2) UNSIGNED",
            ];
            return (*random.pick(&names)).to_owned();
        }
        7 => return format!("BIT({})", 1 + random.below(64)),
        8 => return (*random.pick(&["DATE", "YEAR"])).to_owned(),
        9..11 => {
            let name = random.pick(&["TIME", "DATETIME", "TIMESTAMP"]);
            let null = if *name == "TIMESTAMP" { " NULL" } else { "" };
            return format!("{name}({}){null}", random.below(7));
        }
        11 => {
            let length = [0, 1, 3, 16, 200, 255][random.place(6)];
            return format!("BINARY({length})");
        }
        12 => {
            let names = [
                "VARBINARY(10)",
                "VARBINARY(300)",
                "TINYBLOB",
                "BLOB",
                "MEDIUMBLOB",
                "LONGBLOB",
                "BLOB(70000)",
            ];
            return (*random.pick(&names)).to_owned();
        }
        13 => {
            let own: &[&str] = match flavor {
                Flavor::MySql => {
                    &["JSON", "JSON", "VECTOR(4)", "POINT SRID 4326", "GEOMCOLLECTION"]
                }
                Flavor::MariaDb => &["JSON", "UUID", "INET6", "INET4", "GEOMETRYCOLLECTION"],
            };
            return (*random.pick(own)).to_owned();
        }
        14 => {
            let names = ["GEOMETRY", "POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "JSON"];
            return (*random.pick(&names)).to_owned();
        }
        15 => r#"ENUM('x','y''z','q"','','b c')"#.to_owned(),
        16 => "SET('a','b','c d','e','5','6','7','8','9')".to_owned(),
        17 => format!("CHAR({})", [1, 2, 20, 63, 100, 255][random.place(6)]),
        18 => format!("VARCHAR({})", [1, 10, 64, 255, 256, 700][random.place(6)]),
        _ => {
            let names = [
                "TINYTEXT",
                "TEXT",
                "MEDIUMTEXT",
                "LONGTEXT",
                "TEXT(60)",
                "TEXT(3000)",
                "LONG VARCHAR",
            ];
            (*random.pick(&names)).to_owned()
        }
    };
    match random.below(6) {
        0..2 => text,
        2 => format!("{text} COLLATE {}", random.pick(&COLLATIONS)),
        3 if !text.contains('\'') => format!("{text} CHARACTER SET {}", random.pick(&WIDE)),
        _ => format!("{text} CHARACTER SET {}", charset(random, flavor)),
    }
}

/// What may be behind a type and changes nothing in a row's text.
pub(super) fn attributes(random: &mut Random, flavor: Flavor) -> &'static str {
    match (random.below(9), flavor) {
        (0, _) => " NOT NULL",
        (1, _) => " DEFAULT NULL COMMENT 'first, after `x` (y'",
        (2, Flavor::MySql) => " NULL /*!80023 INVISIBLE */",
        (2, Flavor::MariaDb) => " NULL INVISIBLE",
        (3, _) => " /* key */ NULL",
        (4, Flavor::MySql) => " NULL COLUMN_FORMAT DYNAMIC",
        _ => "",
    }
}

/// A value of the column, as SQL; also such as only fit without a strict mode.
pub(super) fn literal(random: &mut Random, column: &Column) -> String {
    if random.once_in(8) {
        return "NULL".to_owned();
    }
    match column.data_type.as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" | "set" | "bit" => {
            integer(random)
        }
        "enum" => random.below(6).to_string(),
        "decimal" => decimal(random, column),
        "float" | "double" => float(random, column),
        "date" | "datetime" | "timestamp" => moment(random),
        "time" => time(random),
        "json" => json(random),
        "vector" => vector(random),
        "uuid" if random.once_in(3) => "UUID()".to_owned(),
        "uuid" => format!("'{:016x}{:016x}'", random.bits(), random.bits()),
        "inet4" => format!("'10.0.{}.0'", random.below(256)),
        "inet6" if random.once_in(2) => {
            let words = (0..8).map(|_| if random.once_in(2) { 0 } else { random.below(0x1_0000) });
            let words: Vec<String> = words.map(|word| format!("{word:x}")).collect();
            format!("'{}'", words.join(":"))
        }
        "inet6" => {
            format!("'{}'", random.pick(&["::", "2001:db8::ff00", "::ffff:1.2.3.4", "ff00::"]))
        }
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => bytes(random),
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => text(random),
        _ => geometry(random, column),
    }
}

fn integer(random: &mut Random) -> String {
    let edges: [i128; 17] = [
        0,
        1,
        -1,
        127,
        128,
        -128,
        255,
        256,
        32767,
        65535,
        -8_388_608,
        16_777_215,
        2_147_483_648,
        4_294_967_295,
        9_223_372_036_854_775_807,
        -9_223_372_036_854_775_808,
        18_446_744_073_709_551_615,
    ];
    if random.once_in(2) { random.pick(&edges).to_string() } else { random.below(3000).to_string() }
}

fn decimal(random: &mut Random, column: &Column) -> String {
    let (precision, scale) = column.arguments().split_once(',').unwrap();
    let scale: usize = scale.parse().unwrap();
    let whole: usize = precision.parse::<usize>().unwrap() - scale;
    let digits = |random: &mut Random, count: usize| -> String {
        let zeros = random.once_in(3);
        let nines = random.once_in(4);
        (0..count)
            .map(|_| match (zeros, nines) {
                (true, _) => '0',
                (_, true) => '9',
                _ => char::from(b'0' + u8::try_from(random.below(10)).unwrap()),
            })
            .collect()
    };
    let length = random.place(whole + 1);
    let sign = if random.once_in(3) { "-" } else { "" };
    format!("{sign}0{}.{}", digits(random, length), digits(random, scale) + "0")
}

fn float(random: &mut Random, column: &Column) -> String {
    let edges = [
        "0",
        "-0e0",
        "1",
        "0.1",
        "1e7",
        "9999999",
        "1e-3",
        "0.00099",
        "1e10",
        "123456.789",
        "2e23",
    ];
    if random.once_in(2) || column.type_text.contains('(') {
        return (*random.pick(&edges)).to_owned();
    }
    let number = f64::from_bits(random.bits());
    let small = number.abs() < 3e38 && number.abs() > 1e-37;
    if number.is_finite() && (column.data_type == "double" || small) {
        format!("{number:e}")
    } else {
        "3.4028234e38".to_owned()
    }
}

/// The bytes of some numbers, most of them any bits that are one.
fn vector(random: &mut Random) -> String {
    let mut digits = String::from("x'");
    for _ in 0..random.below(5) {
        let edges = [1.0, -2.5, 0.1, -0.0, f32::MIN_POSITIVE, f32::MAX];
        let any = f32::from_bits(u32::try_from(random.bits() >> 32).unwrap());
        let number = if any.is_finite() { any } else { *random.pick(&edges) };
        for byte in number.to_le_bytes() {
            let _ = write!(digits, "{byte:02x}");
        }
    }
    digits + "'"
}

fn moment(random: &mut Random) -> String {
    let edges = [
        "0000-00-00 00:00:00",
        "2024-00-00",
        "2024-02-29 23:59:59.999999",
        "0000-01-01",
        "0001-01-01 00:00:00.5",
        "9999-12-31 23:59:59",
        "1970-01-01 00:00:01",
        "2038-01-19 03:14:07.499999",
        "2024-12-00 12:34:56",
        "1969-12-31 23:59:59",
    ];
    if random.once_in(2) {
        return format!("'{}'", random.pick(&edges));
    }
    let mut part = |bound| random.below(bound);
    format!(
        "'{}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}'",
        1971 + part(60),
        1 + part(12),
        1 + part(28),
        part(24),
        part(60),
        part(60),
        part(1_000_000),
    )
}

fn time(random: &mut Random) -> String {
    let edges = [
        "-838:59:59",
        "838:59:59.000000",
        "-00:00:00.000001",
        "100:00:00",
        "-00:00:01.5",
        "00:00:00",
        "-100:00:00.25",
    ];
    if random.once_in(2) {
        return format!("'{}'", random.pick(&edges));
    }
    let sign = if random.once_in(2) { "-" } else { "" };
    let mut part = |bound| random.below(bound);
    format!("'{sign}{}:{:02}:{:02}.{:06}'", part(838), part(60), part(60), part(1_000_000))
}

fn letters(random: &mut Random) -> String {
    let all: Vec<char> = LETTERS.chars().collect();
    let length = if random.once_in(10) { 700 } else { random.below(12) };
    (0..length)
        .map(|_| {
            let any = char::from_u32(u32::try_from(random.below(0x1_1000)).unwrap());
            if random.once_in(6) { any.unwrap_or('x') } else { *random.pick(&all) }
        })
        .collect()
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn text(random: &mut Random) -> String {
    quote(&letters(random))
}

fn bytes(random: &mut Random) -> String {
    let length = if random.once_in(10) { 300 } else { random.below(18) };
    let mut digits = String::from("x'");
    for _ in 0..length {
        let byte = if random.once_in(3) { 0 } else { random.below(256) };
        let _ = write!(digits, "{byte:02x}");
    }
    digits + "'"
}

/// A document, by its text or made by the server of values that JSON itself does not have.
fn json(random: &mut Random) -> String {
    let scalars = [
        "CAST(1.20 AS DECIMAL(10,2))",
        "CAST('2024-02-29' AS DATE)",
        "CAST('-12:00:01.5' AS TIME(3))",
        "TIMESTAMP('2024-01-01 10:10:10.123')",
        "x'00ff'",
        "b'101'",
        "1e10",
        "0.001e0",
        "-1.5e300",
        "18446744073709551615",
        "-9223372036854775808",
        "NULL",
        "true",
        "70000",
        "'a\\nb\\b\\f\\\"\\\\ é😀'",
        "CAST(2024 AS YEAR)",
        "JSON_ARRAY()",
        "JSON_OBJECT()",
        "'\u{7f}\u{85}\u{a0}'",
        "CHAR(0)",
    ];
    match random.below(5) {
        0 => format!("JSON_ARRAY({}, {})", random.pick(&scalars), random.pick(&scalars)),
        1 | 2 => {
            let inner = format!("JSON_ARRAY({}, 'x')", random.pick(&scalars));
            let key = letters(random).chars().take(5).collect::<String>();
            format!(
                "JSON_OBJECT({}, {}, 'b', {inner}, 'aa', {})",
                quote(&key),
                random.pick(&scalars),
                random.pick(&scalars)
            )
        }
        3 => quote(
            r#"{"a": {"b": [1, 2.5, "x", null, true, {}]}, "": [[]], "long key with spaces": -0.0}"#,
        ),
        _ => format!(
            "JSON_ARRAY(REPEAT('{}', 300), JSON_ARRAY(1, JSON_OBJECT('k', 70000)))",
            random.pick(&["a", "é", "中"])
        ),
    }
}

fn geometry(random: &mut Random, column: &Column) -> String {
    let text = match column.data_type.as_str() {
        "linestring" => "LINESTRING(0 0, 1 1.5, -2 3)",
        "polygon" => "POLYGON((0 0, 4 0, 4 4, 0 4, 0 0))",
        "multipoint" => "MULTIPOINT(1 1, 2 2)",
        "geomcollection" | "geometrycollection" => {
            "GEOMETRYCOLLECTION(POINT(1 1), LINESTRING(0 0, 1 1))"
        }
        _ => random.pick(&["POINT(10 20.25)", "POINT(-0 1e-9)"]),
    };
    let srid = [0, 0, 4326][random.place(3)];
    format!("ST_GeomFromText('{text}', {srid})")
}
