//! Data types as the server spells them: `INTEGER(10) UNSIGNED` in a statement is
//! `int unsigned` in `information_schema.columns.column_type`.
//!
//! What the spelling depends on: the character set (a CHAR of `binary` is a BINARY, the
//! length of a TEXT counts characters), and the server (display widths are left out since
//! MySQL 8.0.19, save `tinyint(1)` and those of ZEROFILL). Each rule was read off a server.

use crate::binlog::charset;
use crate::change::Charset;
use crate::schema::ddl::{Base, CharsetChoice, ColumnText, Dialect, LabelForm, LobSize, TypeText};

use super::definition::{ColumnDefinition, Counter};

/// The most bytes of a VARCHAR (`MAX_FIELD_VARCHARLENGTH`, sql/field.h of MySQL and of MariaDB);
/// without strict mode the server makes a TEXT of a longer one. A compressed one has a byte more.
fn max_varchar_bytes(is_compressed: bool, dialect: &Dialect) -> u64 {
    let most = if dialect.is_mariadb() { 65_535 - 2 - 1 } else { 65_535 };
    if is_compressed { most - 1 } else { most }
}

/// How MariaDB marks a compressed column (`Field_varstring_compressed::sql_type`, sql/field.cc).
const COMPRESSED: &str = " /*M!100301 COMPRESSED*/";

/// What the server makes of a column; `charset` is the table's default, if it is known. Or why
/// the text does not say.
pub(crate) fn column(
    column: &ColumnText,
    charset: Option<&str>,
    dialect: &Dialect,
) -> Result<ColumnDefinition, String> {
    let (name, text) = (&column.name, &column.data_type);
    let is_text = text.base.has_charset();
    let charset = match &text.charset {
        CharsetChoice::Named(named) => Some(named.as_str()),
        CharsetChoice::Unsaid | CharsetChoice::Default => charset,
        CharsetChoice::Unknown => None,
    };
    let unsettled = is_text && charset.is_none();
    if unsettled && !is_spelt_alike(text) {
        return Err(format!(
            "the type of column `{name}` depends on the default character set of its database, which is not known"
        ));
    }
    // In these a byte of a label is no letter.
    if text.label_form == LabelForm::Bytes && charset.is_some_and(|charset| WIDE.contains(&charset))
    {
        return Err(format!(
            "the labels of column `{name}` are bytes of {}",
            charset.unwrap_or("")
        ));
    }
    let charset = if is_text { charset } else { None };
    let charset = if is_mariadb_json(text, dialect) { Some("utf8mb4") } else { charset };
    let assumed = charset.unwrap_or(if unsettled { "utf8mb4" } else { "binary" });
    let spelt = spell(text, assumed, dialect);
    let mut mysql_type =
        spelt.ok_or_else(|| format!("the length of column `{name}` is missing"))?;
    if text.compressed {
        mysql_type.push_str(COMPRESSED);
    }
    let charset = charset.filter(|charset| *charset != "binary").map(str::to_owned);
    let counter = Counter::of(column);
    Ok(ColumnDefinition { name: name.clone(), mysql_type, charset, unsettled, counter })
}

/// Character sets without single bytes.
const WIDE: &[&str] = &["ucs2", "utf16", "utf16le", "utf32"];

/// Whether each character set but `binary` gives the type the same text.
fn is_spelt_alike(text: &TypeText) -> bool {
    let plain = |label: &String| {
        text.label_form == LabelForm::Texts
            && label.chars().all(|letter| letter.is_ascii_alphanumeric() || "_- ".contains(letter))
            && !label.ends_with(' ')
    };
    match text.base {
        Base::VarChar => text.length.is_some_and(|length| length <= 16_000),
        Base::Text(LobSize::Plain) => text.length.is_none_or(|length| length == 0),
        Base::Char | Base::Text(LobSize::Tiny | LobSize::Medium | LobSize::Long) => true,
        Base::Enum | Base::Set => text.labels.iter().all(plain),
        Base::TinyInt
        | Base::SmallInt
        | Base::MediumInt
        | Base::Int
        | Base::BigInt
        | Base::Float
        | Base::Double
        | Base::Decimal
        | Base::Bit
        | Base::Binary
        | Base::VarBinary
        | Base::Blob(_)
        | Base::Json
        | Base::Vector
        | Base::Plain(_)
        | Base::Temporal(_)
        | Base::Year => false,
    }
}

/// A column whose character set was not known, now that it is.
pub(crate) fn settled(column: &ColumnDefinition, charset: &str) -> ColumnDefinition {
    let is_binary = charset == "binary";
    let keeps = !is_binary || is_labelled(&column.mysql_type);
    ColumnDefinition {
        mysql_type: if keeps { column.mysql_type.clone() } else { as_bytes(&column.mysql_type) },
        charset: (!is_binary).then(|| charset.to_owned()),
        unsettled: false,
        ..column.clone()
    }
}

/// How many bytes a value has at most, for an index; what has no bound counts as endless.
pub(crate) fn most_bytes(mysql_type: &str) -> u64 {
    let (name, rest) = mysql_type.split_once('(').unwrap_or((mysql_type, ""));
    let length = || rest.split([')', ',']).next().and_then(|text| text.parse::<u64>().ok());
    match name.split(' ').next().unwrap_or_default() {
        "char" | "varchar" => length().unwrap_or(1) * 4,
        "binary" | "varbinary" => length().unwrap_or(1),
        "tinytext" | "text" | "mediumtext" | "longtext" | "tinyblob" | "blob" | "mediumblob"
        | "longblob" | "json" | "geometry" | "point" | "linestring" | "polygon" | "multipoint"
        | "multilinestring" | "multipolygon" | "geometrycollection" => u64::MAX,
        _ => 64,
    }
}

/// Whether it is an ENUM or a SET.
pub(crate) fn is_labelled(mysql_type: &str) -> bool {
    mysql_type.starts_with("enum(") || mysql_type.starts_with("set(")
}

fn is_mariadb_json(text: &TypeText, dialect: &Dialect) -> bool {
    dialect.is_mariadb() && text.base == Base::Json
}

fn spell(text: &TypeText, charset: &str, dialect: &Dialect) -> Option<String> {
    let bytes_a_char = max_bytes(charset);
    let length = text.length;
    let most = max_varchar_bytes(text.compressed, dialect);
    Some(match text.base {
        Base::TinyInt => integer("tinyint", text, [4, 3], dialect),
        Base::SmallInt => integer("smallint", text, [6, 5], dialect),
        Base::MediumInt => integer("mediumint", text, [9, 8], dialect),
        Base::Int => integer("int", text, [11, 10], dialect),
        Base::BigInt => integer("bigint", text, [20, 20], dialect),
        Base::Float | Base::Double => real(text),
        Base::Decimal => {
            let precision = length.filter(|length| *length > 0).unwrap_or(10);
            let scale = text.decimals.unwrap_or(0);
            signed(format!("decimal({precision},{scale})"), text)
        }
        Base::Bit => format!("bit({})", length.filter(|bits| *bits > 0).unwrap_or(1)),
        Base::Char if charset == "binary" => format!("binary({})", length.unwrap_or(1)),
        Base::Char => format!("char({})", length.unwrap_or(1)),
        Base::Binary => format!("binary({})", length.unwrap_or(1)),
        Base::VarChar if length?.saturating_mul(bytes_a_char) > most => {
            lob(charset, size_of(length?.saturating_mul(bytes_a_char)))
        }
        Base::VarChar if charset == "binary" => format!("varbinary({})", length?),
        Base::VarChar => format!("varchar({})", length?),
        Base::VarBinary if length? > most => lob("binary", size_of(length?)),
        Base::VarBinary => format!("varbinary({})", length?),
        Base::Text(LobSize::Plain) if length.is_some_and(|length| length > 0) => {
            lob(charset, size_of(length?.saturating_mul(bytes_a_char)))
        }
        Base::Text(size) => lob(charset, size),
        Base::Blob(LobSize::Plain) if length.is_some_and(|length| length > 0) => {
            lob("binary", size_of(length?))
        }
        Base::Blob(size) => lob("binary", size),
        Base::Enum => format!("enum({})", quoted(&stored(&text.labels, charset))),
        Base::Set => format!("set({})", quoted(&stored(&text.labels, charset))),
        Base::Json if dialect.is_mariadb() => "longtext".to_owned(),
        Base::Json => "json".to_owned(),
        Base::Vector => format!("vector({})", length.unwrap_or(2048)),
        Base::Year if has_widths(dialect) => "year(4)".to_owned(),
        Base::Year => "year".to_owned(),
        Base::Plain(name) => name.to_owned(),
        Base::Temporal(name) => match length {
            None | Some(0) => name.to_owned(),
            Some(digits) => format!("{name}({digits})"),
        },
    })
}

/// MariaDB and MySQL before 8.0.19 write every integer with its display width.
fn has_widths(dialect: &Dialect) -> bool {
    dialect.is_mariadb() || dialect.version < 80_019
}

fn integer(name: &str, text: &TypeText, widths: [u64; 2], dialect: &Dialect) -> String {
    let unsigned = text.unsigned || text.zerofill;
    let width = text.length.unwrap_or(widths[usize::from(unsigned)]);
    let boolean = name == "tinyint" && width == 1 && !unsigned;
    if has_widths(dialect) || text.zerofill || boolean {
        signed(format!("{name}({width})"), text)
    } else {
        signed(name.to_owned(), text)
    }
}

/// FLOAT(p) of more than 24 bits is a DOUBLE; a width is kept only with its decimals.
fn real(text: &TypeText) -> String {
    let wide = text.decimals.is_none() && text.length.is_some_and(|bits| bits > 24);
    let name = if text.base == Base::Double || wide { "double" } else { "float" };
    match (text.length, text.decimals) {
        (Some(width), Some(decimals)) => signed(format!("{name}({width},{decimals})"), text),
        _ => signed(name.to_owned(), text),
    }
}

fn signed(mut spelt: String, text: &TypeText) -> String {
    if text.unsigned || text.zerofill {
        spelt.push_str(" unsigned");
    }
    if text.zerofill {
        spelt.push_str(" zerofill");
    }
    spelt
}

/// The smallest that holds so many bytes (`get_blob_type_from_length`).
fn size_of(bytes: u64) -> LobSize {
    match bytes {
        0..0x100 => LobSize::Tiny,
        0x100..0x1_0000 => LobSize::Plain,
        0x1_0000..0x100_0000 => LobSize::Medium,
        _ => LobSize::Long,
    }
}

fn lob(charset: &str, size: LobSize) -> String {
    let prefix = match size {
        LobSize::Tiny => "tiny",
        LobSize::Plain => "",
        LobSize::Medium => "medium",
        LobSize::Long => "long",
    };
    format!("{prefix}{}", if charset == "binary" { "blob" } else { "text" })
}

/// Labels lose trailing spaces, and have a `?` for each character that their set lacks
/// (`prepare_set_and_enum_fields`, sql/sql_table.cc).
fn stored(labels: &[String], charset: &str) -> Vec<String> {
    let set = Charset::from_name(charset).unwrap_or(Charset::Utf8Mb4);
    let store = |label: &String| {
        let label = if set == Charset::Binary { label } else { label.trim_end_matches(' ') };
        let held = |letter| if charset::holds(set, letter) { letter } else { '?' };
        label.chars().map(held).collect()
    };
    labels.iter().map(store).collect()
}

/// Labels as `append_unescaped` quotes them, whatever the SQL mode.
pub(crate) fn quoted(labels: &[impl AsRef<str>]) -> String {
    let mut spelt = String::new();
    for (place, label) in labels.iter().enumerate() {
        spelt.push_str(if place == 0 { "'" } else { ",'" });
        for letter in label.as_ref().chars() {
            match letter {
                '\0' => spelt.push_str("\\0"),
                '\n' => spelt.push_str("\\n"),
                '\r' => spelt.push_str("\\r"),
                '\\' => spelt.push_str("\\\\"),
                '\'' => spelt.push_str("''"),
                other => spelt.push(other),
            }
        }
        spelt.push('\'');
    }
    spelt
}

/// The most bytes of one character.
fn max_bytes(charset: &str) -> u64 {
    Charset::from_name(charset).map_or(1, |charset| u64::from(charset.max_char_bytes()))
}

/// Whether labels are the same in another character set. What becomes of a letter that it lacks
/// is the server's to say.
fn keeps_labels(spelt: &str, from: Option<&str>, to: &str) -> bool {
    // The servers take labels in it for ASCII when they convert them, of which it lacks some.
    if from == Some("swe7") || to == "swe7" {
        return spelt
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "(),' ".contains(letter));
    }
    match to {
        _ if from == Some(to) => true,
        "utf8mb4" | "utf16" | "utf16le" | "utf32" => true,
        "utf8mb3" | "ucs2" => spelt.chars().all(|letter| letter <= '\u{ffff}'),
        _ => spelt.is_ascii(),
    }
}

/// What CONVERT TO CHARACTER SET makes of a column that has one: a TEXT keeps room for
/// as many characters. Or why the text does not say.
pub(crate) fn converted(
    column: &ColumnDefinition,
    charset: &str,
    dialect: &Dialect,
) -> Result<ColumnDefinition, String> {
    let (spelt, compressed) = match column.mysql_type.strip_suffix(COMPRESSED) {
        Some(plain) => (plain, true),
        None => (&*column.mysql_type, false),
    };
    let old = match column.charset.as_deref() {
        Some(old) => max_bytes(old),
        // As if it were the widest: only TEXT and long VARCHAR depend on it.
        None if column.unsettled && !spelt.contains("text") => 4,
        None if column.unsettled => {
            return Err(format!("the character set of column `{}` is not known", column.name));
        }
        None => return Ok(column.clone()),
    };
    if is_labelled(spelt) && !keeps_labels(spelt, column.charset.as_deref(), charset) {
        return Err(format!("the labels of column `{}` are converted to {charset}", column.name));
    }
    let grows = max_bytes(charset) > old;
    let (name, rest) = spelt.split_once('(').unwrap_or((spelt, ""));
    let mut mysql_type = match (name, grows) {
        ("enum" | "set", _) => spelt.to_owned(),
        _ if charset == "binary" => as_bytes(spelt),
        ("tinytext", true) => "text".to_owned(),
        ("text", true) => "mediumtext".to_owned(),
        ("mediumtext", true) => "longtext".to_owned(),
        ("varchar", true) => {
            let length = rest.split(')').next().and_then(|digits| digits.parse().ok());
            let length: u64 = length.unwrap_or(u64::MAX);
            match length.saturating_mul(max_bytes(charset)) {
                held if held <= max_varchar_bytes(compressed, dialect) => spelt.to_owned(),
                bytes => lob(charset, size_of(bytes)),
            }
        }
        _ => spelt.to_owned(),
    };
    if compressed {
        mysql_type.push_str(COMPRESSED);
    }
    let charset = (charset != "binary").then(|| charset.to_owned());
    Ok(ColumnDefinition { mysql_type, charset, unsettled: false, ..column.clone() })
}

/// The type of bytes of the same length.
fn as_bytes(text: &str) -> String {
    text.replace("varchar", "varbinary").replace("char", "binary").replace("text", "blob")
}
