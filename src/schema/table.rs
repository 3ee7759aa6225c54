//! A table map and a definition, joined to a [`Table`]'s columns, or the reason why the
//! two do not belong together.
//!
//! FULL metadata decides names, signs, character sets, labels and the key, and the
//! definition gives the types' text where it agrees, and says whether the key is a primary
//! one. With less metadata the definition
//! gives all, after each column was compared with the wire: count, type, length, sign,
//! character set, as far as the wire gives them.
//!
//! Hidden columns of MariaDB, which end its rows, are in no definition: see [`ROW_HASH`].
//!
//! [`Table`]: crate::change::Table
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use crate::binlog::{self, TableMap, WireColumn, column_type};
use crate::change::{Charset, Column, ColumnType, Flavor, PluginType};

use super::model::{ColumnDefinition, Definition, quoted, same};

/// What a [`crate::change::Table`] is made of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) columns: Vec<Column>,
    pub(crate) primary_key: Vec<usize>,
    /// How many of the last columns no definition has.
    pub(crate) hidden: usize,
    /// Types' texts had to be derived from the wire.
    pub(crate) derived: bool,
}

/// Why a definition is not that of a table map.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("it has {definition} columns, the rows have {wire}")]
    Count { definition: usize, wire: usize },
    #[error("column `{name}` is `{definition}`, the rows have `{wire}`")]
    Type { name: String, definition: String, wire: String },
    #[error("the type `{definition}` of column `{name}` is not known here")]
    UnknownType { name: String, definition: String },
    #[error("column `{name}` is of the character set {charset}, which is not known here")]
    Charset { name: String, charset: String },
    #[error(
        "column `{name}` is a {wire} in MariaDB's format of before 10.1, and neither the rows nor a \
         definition say how many digits its seconds have (for rows to come ALTER TABLE .. FORCE with \
         mysql56_temporal_format=ON gives it the newer format)"
    )]
    Digits { name: String, wire: String },
    #[error(transparent)]
    Wire(#[from] binlog::Error),
}

/// MariaDB keeps hashes of values that are too long for an index of theirs, in a column for each
/// such UNIQUE key: `BIGINT UNSIGNED`, behind all others, named by this and a number that no other
/// column has (`add_hash_field`, sql/sql_table.cc). Which keys need one depends on the engine, the
/// page size and character sets: rows say it, a definition only how many there can be.
const ROW_HASH: &str = "DB_ROW_HASH_";

/// Whether a column may be a hash, by what the wire says.
fn may_be_hash(wire: &WireColumn) -> bool {
    let is_numbered = |name: &String| {
        let number = name.strip_prefix(ROW_HASH);
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    // MySQL says of each column whether it is visible.
    wire.code == binlog::code::LONGLONG
        && wire.unsigned != Some(false)
        && wire.visible.is_none()
        && wire.name.as_ref().is_none_or(is_numbered)
}

fn hash(number: usize) -> Column {
    Column {
        name: format!("{ROW_HASH}{number}"),
        mysql_type: "bigint unsigned".to_owned(),
        kind: ColumnType::LongLong { unsigned: true },
        labels: Vec::new(),
    }
}

/// Whether the map alone says how rows are to be read.
pub(crate) fn is_full(map: &TableMap) -> bool {
    !map.columns.is_empty() && map.columns.iter().all(|column| column.name.is_some())
}

/// Whether rows can be read only by a definition of their place, whatever the map says: MariaDB does
/// not give the digits of its older dates and times.
pub(crate) fn needs_definition(map: &TableMap, flavor: Flavor) -> bool {
    map.columns.iter().any(|wire| is_of_old_format(wire, flavor))
}

fn is_of_old_format(wire: &WireColumn, flavor: Flavor) -> bool {
    use binlog::code;
    let is_old = matches!(wire.code, code::TIME | code::DATETIME | code::TIMESTAMP);
    is_old && matches!(flavor, Flavor::MariaDb)
}

/// Whether it has the names of a map with FULL metadata.
fn names(map: &TableMap, definition: &Definition) -> bool {
    let definition = definition.of_rows();
    let (count, all) = (definition.columns.len(), map.columns.len());
    let pairs = map.columns.iter().zip(&definition.columns);
    let is_same = |(wire, defined): (&WireColumn, &ColumnDefinition)| {
        wire.name.as_ref().is_some_and(|name| same(name, &defined.name))
    };
    count <= all
        && pairs.into_iter().all(is_same)
        && map.columns.iter().skip(count).all(may_be_hash)
}

/// Joins a map with FULL metadata and definitions that may be missing or wrong: the one that has its
/// names counts, else the first.
pub(crate) fn from_map(
    map: &TableMap,
    definitions: [Option<&Definition>; 2],
    flavor: Flavor,
) -> Result<Parts, Mismatch> {
    let [first, second] = definitions;
    let named = definitions.into_iter().flatten().find(|definition| names(map, definition));
    let definition = named.or(first).or(second).map(Definition::of_rows);
    let definition = definition.as_deref();
    let is_defined = |wire: &WireColumn| {
        let columns = definition.into_iter().flat_map(|definition| &definition.columns);
        wire.name.as_ref().is_some_and(|name| columns.into_iter().any(|one| same(&one.name, name)))
    };
    let is_hash = |wire: &&WireColumn| may_be_hash(wire) && !is_defined(wire);
    let hidden = map.columns.iter().rev().take_while(is_hash).count();
    let visible = map.columns.len() - hidden;
    let mut derived = false;
    let mut columns = Vec::with_capacity(map.columns.len());
    for (place, wire) in map.columns.iter().take(visible).enumerate() {
        let name = wire.name.clone().unwrap_or_default();
        let charset = wire.charset()?;
        let kind =
            column_type(wire, wire.unsigned.unwrap_or(false), charset.unwrap_or(Charset::Binary))?;
        let defined = definition.and_then(|definition| definition.columns.get(place));
        let defined = defined.filter(|defined| same(&defined.name, &name));
        // What its bytes stand for only the plug-in knows that has the type.
        if let (Some(defined), ColumnType::Binary { .. }) = (defined, kind)
            && !is_known(&defined.mysql_type)
        {
            return Err(unknown(defined));
        }
        let defined = defined.filter(|defined| {
            compare(wire, defined, flavor).is_ok() && labels_agree(wire, defined)
        });
        if defined.is_none() && is_of_old_format(wire, flavor) {
            let wire = derive(wire, false, Charset::Binary);
            return Err(Mismatch::Digits { name, wire });
        }
        derived |= defined.is_none();
        let kind = defined.map_or(kind, |defined| with_definition(kind, defined, flavor));
        let mysql_type = defined.map_or_else(
            || derive(wire, wire.unsigned.unwrap_or(false), charset.unwrap_or(Charset::Binary)),
            |defined| defined.mysql_type.clone(),
        );
        let mysql_type = as_reported(wire, &mysql_type, flavor);
        columns.push(Column { name, mysql_type, kind, labels: wire.labels.clone() });
    }
    // Of a table without a primary key, the server's metadata names its first unique key that
    // allows no NULL instead (`prepare_share`, sql/dd_table_share.cc; `init_from_binary_frm_image`,
    // sql/table.cc of MariaDB): only a definition shows it, whatever it says of the columns' types.
    let has_key = |definition: &&Definition| !definition.primary_key.is_empty();
    let is_unique_key = named.is_some() && definition.as_ref().is_none_or(|d| !has_key(d));
    let key = if is_unique_key { &[][..] } else { &map.primary_key };
    let mut primary_key: Vec<_> = key.iter().map(|key| key.column).collect();
    primary_key.sort_unstable();
    columns.extend((1..=hidden).map(hash));
    Ok(Parts { columns, primary_key, hidden, derived })
}

/// What only the definition says of how a column is read.
fn with_definition(kind: ColumnType, defined: &ColumnDefinition, flavor: Flavor) -> ColumnType {
    let fsp = if matches!(flavor, Flavor::MariaDb) { digits(&defined.mysql_type) } else { 0 };
    match kind {
        ColumnType::OldTime if fsp > 0 => ColumnType::HiresTime { fsp },
        ColumnType::OldDateTime if fsp > 0 => ColumnType::HiresDateTime { fsp },
        ColumnType::OldTimestamp if fsp > 0 => ColumnType::HiresTimestamp { fsp },
        _ => with_plugin(kind, &defined.mysql_type),
    }
}

/// The digits of the seconds in the text of a TIME, DATETIME or TIMESTAMP.
fn digits(mysql_type: &str) -> u8 {
    let within = mysql_type.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    within.and_then(|(digits, _)| digits.parse().ok()).filter(|digits| *digits <= 6).unwrap_or(0)
}

/// A type's text as its server shows it in `information_schema`, which knows no letters beyond 16 bits,
/// and on MariaDB names the older format of dates and times.
fn as_reported(wire: &WireColumn, mysql_type: &str, flavor: Flavor) -> String {
    const OLD_FORMAT: &str = " /* mariadb-5.3 */";
    let is_time = ["time", "datetime", "timestamp"].iter().any(|name| mysql_type.starts_with(name));
    match flavor {
        Flavor::MariaDb if is_time => {
            let text = mysql_type.strip_suffix(OLD_FORMAT).unwrap_or(mysql_type);
            let format = if is_of_old_format(wire, flavor) { OLD_FORMAT } else { "" };
            format!("{text}{format}")
        }
        Flavor::MySql | Flavor::MariaDb => in_16_bits(mysql_type).into_owned(),
    }
}

fn in_16_bits(text: &str) -> std::borrow::Cow<'_, str> {
    let is_beyond = |letter: char| letter > '\u{ffff}';
    if text.contains(is_beyond) { text.replace(is_beyond, "?").into() } else { text.into() }
}

/// A type that the wire does not distinguish from BINARY.
fn with_plugin(kind: ColumnType, mysql_type: &str) -> ColumnType {
    match (kind, mysql_type) {
        (ColumnType::Binary { length: 16 }, "uuid") => ColumnType::Plugin(PluginType::Uuid),
        (ColumnType::Binary { length: 16 }, "inet6") => ColumnType::Plugin(PluginType::Inet6),
        (ColumnType::Binary { length: 4 }, "inet4") => ColumnType::Plugin(PluginType::Inet4),
        // MariaDB's VECTOR is a VARBINARY of its floats (`Type_handler_vector`, sql/sql_type_vector.h).
        (ColumnType::VarBinary { max_bytes }, text) if text.starts_with("vector(") => {
            ColumnType::Vector { length_bytes: if max_bytes > 255 { 2 } else { 1 } }
        }
        _ => kind,
    }
}

fn labels_agree(wire: &WireColumn, defined: &ColumnDefinition) -> bool {
    let as_defined = labels(&defined.mysql_type);
    if wire.labels.is_empty() || as_defined == wire.labels {
        return true;
    }
    let pairs = wire.labels.iter().zip(&as_defined);
    let is_as_reported =
        |(wire, defined): (&String, &String)| in_16_bits(wire) == in_16_bits(defined);
    wire.labels.len() == as_defined.len() && pairs.into_iter().all(is_as_reported)
}

/// Columns whose labels have `?`, as `information_schema` shows a letter that it cannot show, or a `?`.
pub(crate) fn columns_of_doubtful_labels(definition: &Definition) -> Vec<&str> {
    let is_wide = |column: &&ColumnDefinition| {
        let charset = column.charset.as_deref();
        matches!(charset, Some("utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030"))
    };
    let columns = definition.columns.iter().filter(is_wide);
    let doubtful =
        columns.filter(|column| labels(&column.mysql_type).iter().any(|label| label.contains('?')));
    doubtful.map(|column| column.name.as_str()).collect()
}

/// The character set that the map says of columns that have the default of their database,
/// which is not known: all of them have the same. (Without FULL metadata it says none of ENUM
/// and SET.)
pub(crate) fn default_of_metadata(map: &TableMap, definition: &Definition) -> Option<Charset> {
    let columns = map.columns.iter().zip(&definition.columns);
    let mut unsettled = columns.filter(|(_, column)| column.unsettled);
    unsettled.find_map(|(wire, _)| wire.charset().ok().flatten())
}

/// Joins a map that says little and a definition, which must agree.
pub(crate) fn from_definition(
    map: &TableMap,
    definition: &Definition,
    flavor: Flavor,
) -> Result<Parts, Mismatch> {
    let definition = definition.of_rows();
    let behind = map.columns.get(definition.columns.len()..).unwrap_or_default();
    let hidden = if u32::try_from(behind.len()).is_ok_and(|count| count <= definition.most_hashes())
        && behind.iter().all(may_be_hash)
    {
        behind.len()
    } else {
        0
    };
    if definition.columns.len() + hidden != map.columns.len() {
        return Err(Mismatch::Count {
            definition: definition.columns.len(),
            wire: map.columns.len(),
        });
    }
    let mut columns = Vec::with_capacity(map.columns.len());
    for (wire, defined) in map.columns.iter().zip(&definition.columns) {
        compare(wire, defined, flavor)?;
        let (unsigned, charset) = sign_and_charset(wire, defined)?;
        columns.push(Column {
            name: defined.name.clone(),
            mysql_type: as_reported(wire, &defined.mysql_type, flavor),
            kind: with_definition(column_type(wire, unsigned, charset)?, defined, flavor),
            labels: labels(&defined.mysql_type),
        });
    }
    let in_key = |name: &str| definition.primary_key.iter().any(|key| same(key, name));
    let places = columns.iter().enumerate().filter(|(_, column)| in_key(&column.name));
    let primary_key = places.map(|(place, _)| place).collect();
    columns.extend((1..=hidden).map(hash));
    Ok(Parts { columns, primary_key, hidden, derived: false })
}

/// Sign and character set, the wire's where it gives them.
fn sign_and_charset(
    wire: &WireColumn,
    defined: &ColumnDefinition,
) -> Result<(bool, Charset), Mismatch> {
    let by_name = match defined.charset.as_deref() {
        None => Charset::Binary,
        Some(name) => Charset::from_name(name).ok_or_else(|| Mismatch::Charset {
            name: defined.name.clone(),
            charset: name.to_owned(),
        })?,
    };
    let unsigned = wire.unsigned.unwrap_or_else(|| defined.mysql_type.contains(" unsigned"));
    Ok((unsigned, wire.charset()?.unwrap_or(by_name)))
}

/// Compares what the wire would be called with what the definition says, both without
/// what the wire cannot know (display widths, digits of a FLOAT, labels).
fn compare(wire: &WireColumn, defined: &ColumnDefinition, flavor: Flavor) -> Result<(), Mismatch> {
    let (unsigned, charset) = sign_and_charset(wire, defined)?;
    let derived = derive(wire, unsigned, charset);
    let wanted = simplified(&defined.mysql_type);
    let wanted = match wanted.split_once('(') {
        Some((name, _)) if is_of_old_format(wire, flavor) => name.to_owned(),
        _ if wanted == "vector" && matches!(flavor, Flavor::MariaDb) => {
            format!("varbinary({})", 4 * u64::from(dimensions(&defined.mysql_type)))
        }
        _ => wanted,
    };
    let same_charset = match (wire.charset()?, &defined.charset) {
        (Some(wire), Some(name)) => Charset::from_name(name) == Some(wire),
        _ => true,
    };
    if simplified(&derived) == wanted && same_charset {
        return Ok(());
    }
    if !is_known(&defined.mysql_type) {
        return Err(unknown(defined));
    }
    Err(Mismatch::Type {
        name: defined.name.clone(),
        definition: defined.mysql_type.clone(),
        wire: if same_charset { derived } else { format!("{derived} {}", charset.name()) },
    })
}

/// How many floats a VECTOR has, by its text.
fn dimensions(mysql_type: &str) -> u16 {
    let within = mysql_type.strip_prefix("vector(").and_then(|rest| rest.strip_suffix(')'));
    within.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn unknown(defined: &ColumnDefinition) -> Mismatch {
    Mismatch::UnknownType { name: defined.name.clone(), definition: defined.mysql_type.clone() }
}

/// The names of types, as servers spell them.
const TYPES: &[&str] = &[
    "bigint",
    "binary",
    "bit",
    "blob",
    "char",
    "date",
    "datetime",
    "decimal",
    "double",
    "enum",
    "float",
    "geomcollection",
    "geometry",
    "geometrycollection",
    "inet4",
    "inet6",
    "int",
    "json",
    "linestring",
    "longblob",
    "longtext",
    "mediumblob",
    "mediumint",
    "mediumtext",
    "multilinestring",
    "multipoint",
    "multipolygon",
    "point",
    "polygon",
    "set",
    "smallint",
    "text",
    "time",
    "timestamp",
    "tinyblob",
    "tinyint",
    "tinytext",
    "uuid",
    "varbinary",
    "varchar",
    "vector",
    "year",
];

/// Whether rows of such a type can be read: plug-ins of MariaDB bring types of their own.
fn is_known(mysql_type: &str) -> bool {
    let word = mysql_type.split(['(', ' ']).next().unwrap_or(mysql_type);
    TYPES.contains(&word)
}

/// A type's text without what the wire does not give.
fn simplified(mysql_type: &str) -> String {
    let text = mysql_type.split(" /*").next().unwrap_or(mysql_type).replace(" zerofill", "");
    let (name, rest) = text.split_once('(').unwrap_or((&text, ""));
    let sign = if text.ends_with(" unsigned") { " unsigned" } else { "" };
    let first_word = name.split(' ').next().unwrap_or(name);
    match first_word {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "float" | "double" => {
            format!("{first_word}{sign}")
        }
        "year" | "enum" | "set" | "vector" => first_word.to_owned(),
        // A server that changes its mind about names of subtypes must not void them.
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" => "geometry".to_owned(),
        // MariaDB's plug-in types are strings of bytes on the wire.
        "uuid" | "inet6" => "binary(16)".to_owned(),
        "inet4" => "binary(4)".to_owned(),
        _ if rest.is_empty() => name.to_owned(),
        _ => text.clone(),
    }
}

/// A type's text from the wire alone: what the server's own spelling would be, save
/// display widths, digits of a FLOAT, and JSON of MariaDB.
fn derive(wire: &WireColumn, unsigned: bool, charset: Charset) -> String {
    use binlog::code;
    let sign = if unsigned { " unsigned" } else { "" };
    let meta = wire.meta;
    let binary = charset == Charset::Binary;
    let characters = meta / charset.max_char_bytes().max(1);
    let fraction = |name: &str| if meta == 0 { name.to_owned() } else { format!("{name}({meta})") };
    match wire.code {
        code::TINY => format!("tinyint{sign}"),
        code::SHORT => format!("smallint{sign}"),
        code::INT24 => format!("mediumint{sign}"),
        code::LONG => format!("int{sign}"),
        code::LONGLONG => format!("bigint{sign}"),
        code::FLOAT => format!("float{sign}"),
        code::DOUBLE => format!("double{sign}"),
        code::NEWDECIMAL => {
            let [precision, scale] = meta.to_be_bytes();
            format!("decimal({precision},{scale}){sign}")
        }
        code::BIT => format!("bit({meta})"),
        code::YEAR => "year".to_owned(),
        code::DATE | code::NEWDATE => "date".to_owned(),
        code::TIME => "time".to_owned(),
        code::TIME2 => fraction("time"),
        code::DATETIME => "datetime".to_owned(),
        code::DATETIME2 => fraction("datetime"),
        code::TIMESTAMP => "timestamp".to_owned(),
        code::TIMESTAMP2 => fraction("timestamp"),
        code::STRING if binary => format!("binary({meta})"),
        code::STRING => format!("char({characters})"),
        code::VARCHAR | code::VAR_STRING if binary => format!("varbinary({meta})"),
        code::VARCHAR | code::VAR_STRING => format!("varchar({characters})"),
        // One byte of the declared length is the compressed cell's own.
        code::VARCHAR_COMPRESSED if binary => format!("varbinary({})", meta.saturating_sub(1)),
        code::VARCHAR_COMPRESSED => {
            format!("varchar({})", meta.saturating_sub(1) / charset.max_char_bytes().max(1))
        }
        code::TINY_BLOB
        | code::MEDIUM_BLOB
        | code::LONG_BLOB
        | code::BLOB
        | code::BLOB_COMPRESSED => {
            let size = ["tiny", "", "medium", "long"].get(usize::from(meta).wrapping_sub(1));
            format!("{}{}", size.unwrap_or(&""), if binary { "blob" } else { "text" })
        }
        code::ENUM => format!("enum({})", quoted(&wire.labels)),
        code::SET => format!("set({})", quoted(&wire.labels)),
        code::JSON => "json".to_owned(),
        code::GEOMETRY => geometry(wire.geometry).to_owned(),
        code::VECTOR => wire
            .dimensions
            .map_or("vector".to_owned(), |dimensions| format!("vector({dimensions})")),
        other => format!("type {other}"),
    }
}

/// `Field::geometry_type` of the servers.
fn geometry(kind: Option<u32>) -> &'static str {
    match kind {
        Some(1) => "point",
        Some(2) => "linestring",
        Some(3) => "polygon",
        Some(4) => "multipoint",
        Some(5) => "multilinestring",
        Some(6) => "multipolygon",
        Some(7) => "geomcollection",
        _ => "geometry",
    }
}

/// The labels within the text of an ENUM or SET, as the server quotes them.
pub(super) fn labels(mysql_type: &str) -> Vec<String> {
    let list = mysql_type.strip_prefix("enum(").or_else(|| mysql_type.strip_prefix("set("));
    let mut found = Vec::new();
    let mut letters = list.unwrap_or("").chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '\'' {
            continue;
        }
        let mut label = String::new();
        while let Some(letter) = letters.next() {
            match letter {
                '\'' if letters.next_if_eq(&'\'').is_none() => break,
                '\\' => label.extend(letters.next().map(|escaped| match escaped {
                    '0' => '\0',
                    'n' => '\n',
                    'r' => '\r',
                    other => other,
                })),
                other => label.push(other),
            }
        }
        found.push(label);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_by_their_first_word() {
        assert!(TYPES.is_sorted());
        for known in ["int(11)", "bigint(20) unsigned", "enum('a b','c')", "time /* mariadb-5.3 */"]
        {
            assert!(is_known(known), "{known}");
        }
        for unknown in ["test_int8(20)", "xmltype", "macaddr", "int8", ""] {
            assert!(!is_known(unknown), "{unknown}");
        }
    }
}
