//! Column definitions: a name, a data type with all its aliases, and what of the
//! attributes decides how rows are read (sign, character set, key).
//!
//! Aliases by "Data Type Syntax" and "Using Data Types from Other Database Engines" of
//! the MySQL manual; the results were compared with a server's own.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::Dialect;
use super::cursor::Cursor;
use super::effect::{
    Base, CharsetChoice, ColumnPlace, ColumnText, LabelForm, LobSize, TypeText, Versioning,
};
use super::token::{Token, number_bytes};

/// Reads `name type attributes` up to the end of the clause, or says what is not understood.
pub(super) fn column(
    cursor: &mut Cursor<'_>,
    dialect: &Dialect,
) -> Result<(ColumnText, ColumnPlace), String> {
    let Some(name) = cursor.column_name() else {
        return Err(format!("`{}` is not understood", cursor.clause_text()));
    };
    let Some((data_type, counts)) = data_type(cursor, dialect) else {
        return Err(format!("the type of column `{name}` is not understood"));
    };
    // SERIAL is unique too.
    let mut column = ColumnText {
        name,
        data_type,
        is_key: false,
        uniques: u32::from(counts),
        counts,
        invisible: false,
        versioning: Versioning::Visible,
    };
    match attributes(cursor, &mut column) {
        Some(place) => Ok((column, place)),
        None => Err(format!("the attributes of column `{}` are not understood", column.name)),
    }
}

/// The type, and whether it counts (SERIAL).
fn data_type(cursor: &mut Cursor<'_>, dialect: &Dialect) -> Option<(TypeText, bool)> {
    let mut word = match cursor.next()? {
        Token::Word(word) => word,
        // A schema, as it turns out.
        Token::Quoted(word) if cursor.is_symbol('.') => word,
        Token::Quoted(_) | Token::Text(_) | Token::Bits(_) | Token::Symbol(_) => return None,
    };
    let mut mode = TypeMode::of(dialect);
    if dialect.is_mariadb() && cursor.accept_symbol('.') {
        mode = TypeMode::named(&word)?;
        let Some(Token::Word(own)) = cursor.next() else { return None };
        word = own;
    }
    let mut found = TypeText {
        base: Base::Int,
        length: None,
        decimals: None,
        unsigned: false,
        zerofill: false,
        labels: Vec::new(),
        label_form: LabelForm::Texts,
        charset: CharsetChoice::Unsaid,
        compressed: false,
    };
    found.base = match word.to_ascii_lowercase().as_str() {
        "tinyint" | "int1" => Base::TinyInt,
        "smallint" | "int2" => Base::SmallInt,
        "mediumint" | "int3" | "middleint" => Base::MediumInt,
        "int" | "integer" | "int4" => Base::Int,
        "bigint" | "int8" => Base::BigInt,
        "bool" | "boolean" => {
            found.length = Some(1);
            Base::TinyInt
        }
        "serial" => {
            found.unsigned = true;
            Base::BigInt
        }
        "float" | "float4" => Base::Float,
        "double" | "float8" => {
            cursor.accept(&["precision"]);
            Base::Double
        }
        "real" if dialect.real_is_float() => Base::Float,
        "real" => Base::Double,
        "decimal" | "dec" | "numeric" | "fixed" => Base::Decimal,
        "bit" => Base::Bit,
        "char" | "character" => text_or_varying(cursor),
        "nchar" => national(cursor, &mut found),
        "national" if cursor.accept_any(&["varchar", "varcharacter"]) => {
            found.charset = CharsetChoice::Named("utf8mb3".to_owned());
            Base::VarChar
        }
        "national" if cursor.accept_any(&["char", "character"]) => national(cursor, &mut found),
        "varchar" | "varcharacter" => Base::VarChar,
        "nvarchar" => {
            found.charset = CharsetChoice::Named("utf8mb3".to_owned());
            Base::VarChar
        }
        "binary" => Base::Binary,
        "varbinary" => Base::VarBinary,
        "tinytext" => Base::Text(LobSize::Tiny),
        "text" => Base::Text(LobSize::Plain),
        "mediumtext" => Base::Text(LobSize::Medium),
        "longtext" => Base::Text(LobSize::Long),
        "tinyblob" => Base::Blob(LobSize::Tiny),
        // Oracle's has no length; one with a length is the server's own.
        "blob" if dialect.is_oracle() && !cursor.is_symbol('(') => Base::Blob(LobSize::Long),
        "clob" if dialect.is_oracle() => Base::Text(LobSize::Long),
        "raw" if dialect.is_oracle() => Base::VarBinary,
        "varchar2" if dialect.is_oracle() => Base::VarChar,
        "number" if dialect.is_oracle() && cursor.is_symbol('(') => Base::Decimal,
        "number" if dialect.is_oracle() => Base::Double,
        "blob" => Base::Blob(LobSize::Plain),
        "mediumblob" => Base::Blob(LobSize::Medium),
        "longblob" => Base::Blob(LobSize::Long),
        "long" => long(cursor),
        "date" if mode == TypeMode::Oracle => Base::Temporal("datetime"),
        "date" => Base::Plain("date"),
        "time" => Base::Temporal("time"),
        "datetime" => Base::Temporal("datetime"),
        "timestamp" if mode == TypeMode::MaxDb => Base::Temporal("datetime"),
        "timestamp" => Base::Temporal("timestamp"),
        "year" => Base::Year,
        "enum" => Base::Enum,
        "set" => Base::Set,
        "json" => Base::Json,
        "vector" => Base::Vector,
        "geometry" => Base::Plain("geometry"),
        "point" => Base::Plain("point"),
        "linestring" => Base::Plain("linestring"),
        "polygon" => Base::Plain("polygon"),
        "multipoint" => Base::Plain("multipoint"),
        "multilinestring" => Base::Plain("multilinestring"),
        "multipolygon" => Base::Plain("multipolygon"),
        "geometrycollection" | "geomcollection" => Base::Plain(dialect.geometry_collection()),
        "uuid" => Base::Plain("uuid"),
        "inet4" => Base::Plain("inet4"),
        "inet6" => Base::Plain("inet6"),
        _ => return None,
    };
    arguments(cursor, &mut found)?;
    Some((found, word.eq_ignore_ascii_case("serial")))
}

/// What the names of some types mean: `Schema::find_implied`, sql/sql_schema.cc of MariaDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TypeMode {
    Usual,
    Oracle,
    MaxDb,
}

impl TypeMode {
    fn of(dialect: &Dialect) -> Self {
        if dialect.is_oracle() {
            Self::Oracle
        } else if dialect.is_maxdb() {
            Self::MaxDb
        } else {
            Self::Usual
        }
    }

    /// By the schema that a type may be named with.
    fn named(schema: &str) -> Option<Self> {
        match schema.to_ascii_lowercase().as_str() {
            "mariadb_schema" => Some(Self::Usual),
            "oracle_schema" => Some(Self::Oracle),
            "maxdb_schema" => Some(Self::MaxDb),
            _ => None,
        }
    }
}

/// CHAR or CHARACTER, and the same with VARYING.
fn text_or_varying(cursor: &mut Cursor<'_>) -> Base {
    if cursor.accept(&["varying"]) { Base::VarChar } else { Base::Char }
}

fn national(cursor: &mut Cursor<'_>, found: &mut TypeText) -> Base {
    found.charset = CharsetChoice::Named("utf8mb3".to_owned());
    let varying = cursor.accept_any(&["varying", "varchar", "varcharacter"]);
    if varying { Base::VarChar } else { Base::Char }
}

/// LONG, LONG VARCHAR, LONG CHAR VARYING, LONG VARBINARY.
fn long(cursor: &mut Cursor<'_>) -> Base {
    if cursor.accept(&["varbinary"]) {
        return Base::Blob(LobSize::Medium);
    }
    let _ = cursor.accept_any(&["varchar", "varcharacter"])
        || cursor.accept(&["char", "varying"])
        || cursor.accept(&["character", "varying"]);
    Base::Text(LobSize::Medium)
}

/// What is in parentheses behind the name of the type.
fn arguments(cursor: &mut Cursor<'_>, found: &mut TypeText) -> Option<()> {
    if !cursor.accept_symbol('(') {
        return Some(());
    }
    if matches!(found.base, Base::Enum | Base::Set) {
        loop {
            if !matches!(cursor.peek(), Some(Token::Text(_))) {
                found.label_form = LabelForm::Bytes;
            }
            found.labels.push(label(cursor)?);
            if !cursor.accept_symbol(',') {
                break;
            }
        }
    } else {
        found.length = Some(cursor.number()?);
        if cursor.accept_symbol(',') {
            found.decimals = Some(cursor.number()?);
        }
        cursor.accept_any(&["byte", "char"]); // Oracle mode of MariaDB
    }
    cursor.accept_symbol(')').then_some(())
}

/// A label: a text, or bytes of the column's character set, which are taken if they are letters
/// of ASCII where a byte is one.
fn label(cursor: &mut Cursor<'_>) -> Option<String> {
    let bytes = match cursor.next()? {
        Token::Text(label) => return Some(label),
        Token::Bits(bytes) => bytes?,
        Token::Word(word) => number_bytes(&word)?,
        Token::Quoted(_) | Token::Symbol(_) => return None,
    };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    bytes.iter().all(plain).then(|| bytes.iter().map(|byte| char::from(*byte)).collect())
}

/// Reads the attributes; those that change nothing in the row image are stepped over.
fn attributes(cursor: &mut Cursor<'_>, column: &mut ColumnText) -> Option<ColumnPlace> {
    let mut place = ColumnPlace::Unsaid;
    while !cursor.is_clause_end() {
        let kind = &mut column.data_type;
        if cursor.is_symbol_at(1, '=') {
            kind.compressed |= cursor.is_word("compressed");
            skip_option(cursor);
        } else if cursor.accept(&["unsigned"]) {
            kind.unsigned = true;
        } else if cursor.accept(&["zerofill"]) {
            kind.zerofill = true;
        } else if let Some(charset) = charset(cursor) {
            choose(&mut kind.charset, charset);
        } else if cursor.accept(&["ascii"]) {
            kind.charset = CharsetChoice::Named("latin1".to_owned());
        } else if cursor.accept(&["unicode"]) {
            kind.charset = CharsetChoice::Named("ucs2".to_owned());
        } else if cursor.accept(&["byte"]) {
            kind.charset = CharsetChoice::Named("binary".to_owned());
        } else if cursor.accept(&["compressed"]) {
            kind.compressed = true;
        } else if cursor.accept(&["unique"]) {
            cursor.accept(&["key"]);
            column.uniques = 1;
        } else if cursor.accept(&["primary"]) {
            cursor.accept(&["key"]);
            column.is_key = true;
        } else if cursor.accept(&["key"]) {
            column.is_key = true;
        } else if cursor.accept(&["auto_increment"]) {
            column.counts = true;
        } else if cursor.accept(&["serial", "default", "value"]) {
            (column.counts, column.uniques) = (true, 1);
        } else if cursor.accept(&["invisible"]) {
            column.invisible = true;
        } else if cursor.accept(&["with", "system", "versioning"]) {
            column.versioning = Versioning::Hidden;
        } else if cursor.accept(&["first"]) {
            place = ColumnPlace::First;
        } else if cursor.accept(&["after"]) {
            place = ColumnPlace::After(cursor.column_name()?);
        } else if cursor.is_word("partition") || cursor.is_word("remove") {
            break; // needs no comma before it: ADD c INT PARTITION BY KEY (id)
        } else {
            skip_attribute(cursor);
        }
    }
    Some(place)
}

/// Steps over one attribute, so that no name or value in it is taken for a keyword.
fn skip_attribute(cursor: &mut Cursor<'_>) {
    if cursor.accept(&["default"]) {
        skip_default(cursor);
    } else if cursor.accept(&["set", "default"]) || cursor.accept(&["set", "null"]) {
        // ON DELETE and ON UPDATE of a reference: no value follows.
    } else if cursor.accept_any(&["column_format", "storage"]) {
        cursor.next(); // FIXED, DISK, DEFAULT
    } else if cursor.accept(&["constraint"]) {
        if !cursor.is_word("check") {
            cursor.next();
        }
    } else if cursor.accept(&["references"]) {
        cursor.next();
        if cursor.accept_symbol('.') {
            cursor.next();
        }
    } else {
        cursor.skip_one();
    }
}

/// Steps over `name = value`: an option of a storage engine, whose name and value may be any
/// words (`engine_defined_option`, sql/sql_yacc.yy of MariaDB).
fn skip_option(cursor: &mut Cursor<'_>) {
    cursor.next();
    cursor.next();
    skip_signs(cursor);
    cursor.next();
}

fn skip_signs(cursor: &mut Cursor<'_>) {
    while matches!(cursor.peek(), Some(Token::Symbol('+' | '-'))) {
        cursor.next();
    }
}

/// Steps over the value of DEFAULT. Beside literals, functions and what is in parentheses,
/// MariaDB takes any expression that begins and ends by itself
/// (`column_default_non_parenthesized_expr`, sql/sql_yacc.yy).
fn skip_default(cursor: &mut Cursor<'_>) {
    skip_signs(cursor);
    if cursor.is_clause_end() || skip_literal(cursor) {
        return;
    }
    if cursor.accept(&["case"]) {
        skip_case(cursor);
    } else if cursor.accept(&["next", "value", "for"])
        || cursor.accept(&["previous", "value", "for"])
    {
        skip_names(cursor);
    } else if cursor.accept_symbol('{') {
        // {d '2020-01-01'}
        while cursor.peek().is_some() && !cursor.accept_symbol('}') {
            cursor.skip_one();
        }
    } else {
        while cursor.accept_symbol('@') {}
        skip_names(cursor);
        cursor.skip_group();
    }
}

/// Steps over a text or bytes with what introduces them: a character set, DATE, TIME, TIMESTAMP.
fn skip_literal(cursor: &mut Cursor<'_>) -> bool {
    let is_value = |token: Option<&Token>| match token {
        Some(Token::Text(_) | Token::Bits(_)) => true,
        Some(Token::Word(word)) => number_bytes(word).is_some(),
        Some(Token::Quoted(_) | Token::Symbol(_)) | None => false,
    };
    let is_introduced =
        matches!(cursor.peek(), Some(Token::Word(_))) && is_value(cursor.peek_at(1));
    if is_introduced {
        cursor.next();
    }
    let found = is_introduced || is_value(cursor.peek());
    if found {
        cursor.next();
    }
    found
}

/// Steps over `a`, `a.b`, `a.b.c` and `1.5`.
fn skip_names(cursor: &mut Cursor<'_>) {
    cursor.skip_one();
    while cursor.accept_symbol('.') {
        cursor.next();
    }
}

/// Steps over the rest of CASE .. END, behind its first word.
fn skip_case(cursor: &mut Cursor<'_>) {
    // Where a value has to come, END is the name of a column.
    let opens = ["case", "when", "then", "else", "and", "or", "xor", "not", "between", "like"];
    let mut is_value_next = true;
    let mut depth = 1_usize;
    while depth > 0 && cursor.peek().is_some() {
        if cursor.is_word("end") && !is_value_next {
            depth -= 1;
        }
        depth += usize::from(cursor.is_word("case"));
        let is_group = cursor.is_symbol('(');
        let is_symbol = matches!(cursor.peek(), Some(Token::Symbol(_)));
        is_value_next = is_symbol && !is_group || opens.iter().any(|word| cursor.is_word(word));
        cursor.skip_one();
    }
}

/// Reads CHARACTER SET or COLLATE with its value, if one comes next.
pub(super) fn charset(cursor: &mut Cursor<'_>) -> Option<CharsetChoice> {
    let by_name = cursor.accept(&["character", "set"])
        || cursor.accept(&["char", "set"])
        || cursor.accept(&["charset"]);
    if !by_name && !cursor.accept(&["collate"]) {
        return None;
    }
    cursor.accept_symbol('=');
    if cursor.accept(&["default"]) {
        // COLLATE DEFAULT is that of the character set, whichever it is.
        return Some(if by_name { CharsetChoice::Default } else { CharsetChoice::Unsaid });
    }
    let name = cursor.name_or_text().unwrap_or_default().to_ascii_lowercase();
    if by_name {
        return Some(CharsetChoice::Named(canonical(&name)));
    }
    // MariaDB's uca1400 collations leave the character set to the table.
    if name.starts_with("uca1400") || name.is_empty() {
        return Some(CharsetChoice::Unsaid);
    }
    Some(CharsetChoice::Named(canonical(name.split('_').next().unwrap_or(&name))))
}

/// A later choice counts, unless it says nothing.
pub(super) fn choose(choice: &mut CharsetChoice, later: CharsetChoice) {
    if later != CharsetChoice::Unsaid {
        *choice = later;
    }
}

/// `utf8` is `utf8mb3` (MariaDB's `old_mode` can say otherwise; both are the same to a
/// reader of rows).
pub(in crate::schema) fn canonical(name: &str) -> String {
    if name == "utf8" { "utf8mb3".to_owned() } else { name.to_owned() }
}
