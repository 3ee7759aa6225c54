//! A column: how its bytes are read from a row image, and what it is called.

use super::Charset;

/// One column of a table version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name, in UTF-8.
    pub name: String,
    /// The type as the server spells it: `bigint unsigned`, `decimal(10,2)`, `enum('a','b')`.
    pub mysql_type: String,
    /// How to read and what to make of its bytes.
    pub kind: ColumnType,
    /// Labels of an ENUM or SET in order, empty for other types or where they are not known.
    pub labels: Vec<String>,
}

/// What the bytes of a column in a row image are, resolved from the table map and the
/// table's definition once per table version. Names and codes are those of the server's
/// `enum_field_types`, split where the same code holds two things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the line of each variant says its fields")]
pub enum ColumnType {
    /// TINYINT, 1 byte (code 1).
    Tiny { unsigned: bool },
    /// SMALLINT, 2 bytes (code 2).
    Short { unsigned: bool },
    /// MEDIUMINT, 3 bytes (code 9).
    Int24 { unsigned: bool },
    /// INT, 4 bytes (code 3).
    Long { unsigned: bool },
    /// BIGINT, 8 bytes (code 8).
    LongLong { unsigned: bool },
    /// FLOAT, 4 bytes (code 4).
    Float,
    /// DOUBLE, 8 bytes (code 5).
    Double,
    /// DECIMAL, packed groups of nine digits (code 246).
    Decimal { precision: u8, scale: u8 },
    /// BIT, big-endian, `bits` 1 to 64 (code 16).
    Bit { bits: u8 },
    /// YEAR, 1 byte (code 13).
    Year,
    /// DATE, 3 bytes (code 10).
    Date,
    /// TIME of before 5.6, 3 bytes (code 11).
    OldTime,
    /// TIME, 3 bytes and the fraction (code 19). `fsp`: digits of the fraction, 0 to 6.
    Time { fsp: u8 },
    /// DATETIME of before 5.6, 8 bytes (code 12).
    OldDateTime,
    /// DATETIME, 5 bytes and the fraction (code 18).
    DateTime { fsp: u8 },
    /// TIMESTAMP of before 5.6, 4 bytes little-endian (code 7).
    OldTimestamp,
    /// MariaDB's TIME with a fraction of before 10.1, 4 to 6 bytes big-endian (code 11, as without one).
    HiresTime { fsp: u8 },
    /// MariaDB's DATETIME with a fraction of before 10.1, 6 to 8 bytes big-endian (code 12).
    HiresDateTime { fsp: u8 },
    /// MariaDB's TIMESTAMP with a fraction of before 10.1, 4 bytes big-endian and the fraction (code 7).
    HiresTimestamp { fsp: u8 },
    /// TIMESTAMP, 4 bytes big-endian and the fraction (code 17).
    Timestamp { fsp: u8 },
    /// CHAR (code 254); `max_bytes` decides between one and two length bytes.
    Char { max_bytes: u16, charset: Charset },
    /// BINARY (code 254 with charset 63); values are padded back to `length` with zeros.
    Binary { length: u16 },
    /// VARCHAR (codes 15, 253).
    VarChar { max_bytes: u16, charset: Charset },
    /// VARBINARY (codes 15, 253 with charset 63).
    VarBinary { max_bytes: u16 },
    /// TINYTEXT to LONGTEXT (codes 249 to 252); `length_bytes` 1 to 4.
    Text { length_bytes: u8, charset: Charset },
    /// TINYBLOB to LONGBLOB (codes 249 to 252 with charset 63).
    Blob { length_bytes: u8 },
    /// MariaDB `VARCHAR ... COMPRESSED` (code 141); charset `Binary` for VARBINARY.
    CompressedVarChar { max_bytes: u16, charset: Charset },
    /// MariaDB `TEXT/BLOB ... COMPRESSED` (code 140); charset `Binary` for BLOB.
    CompressedText { length_bytes: u8, charset: Charset },
    /// ENUM, an index from 1 in `bytes` 1 or 2 (code 247 within 254).
    Enum { bytes: u8 },
    /// SET, a bit mask in `bytes` 1 to 8 (code 248 within 254).
    Set { bytes: u8 },
    /// JSON in MySQL's binary form (code 245).
    Json { length_bytes: u8 },
    /// GEOMETRY: SRID and WKB (code 255).
    Geometry { length_bytes: u8 },
    /// VECTOR: 32-bit floats, little-endian (code 242).
    Vector { length_bytes: u8 },
    /// A type of a MariaDB plug-in, stored as BINARY (code 254).
    Plugin(PluginType),
}

/// Types of MariaDB that the wire does not distinguish from BINARY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginType {
    /// UUID, 16 bytes.
    Uuid,
    /// INET4, 4 bytes.
    Inet4,
    /// INET6, 16 bytes.
    Inet6,
}
