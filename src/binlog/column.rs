//! The server's type codes, and what the bytes of a column are by code, metadata, sign and
//! character set.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::{Error, WireColumn};
use crate::change::{Charset, ColumnType};

/// `enum_field_types` (`include/field_types.h`), and MariaDB's two of its own
/// (include/mysql.h.pp: `MYSQL_TYPE_BLOB_COMPRESSED`, `MYSQL_TYPE_VARCHAR_COMPRESSED`).
pub(crate) mod code {
    pub(crate) const TINY: u8 = 1;
    pub(crate) const SHORT: u8 = 2;
    pub(crate) const LONG: u8 = 3;
    pub(crate) const FLOAT: u8 = 4;
    pub(crate) const DOUBLE: u8 = 5;
    pub(crate) const TIMESTAMP: u8 = 7;
    pub(crate) const LONGLONG: u8 = 8;
    pub(crate) const INT24: u8 = 9;
    pub(crate) const DATE: u8 = 10;
    pub(crate) const TIME: u8 = 11;
    pub(crate) const DATETIME: u8 = 12;
    pub(crate) const YEAR: u8 = 13;
    pub(crate) const NEWDATE: u8 = 14;
    pub(crate) const VARCHAR: u8 = 15;
    pub(crate) const BIT: u8 = 16;
    pub(crate) const TIMESTAMP2: u8 = 17;
    pub(crate) const DATETIME2: u8 = 18;
    pub(crate) const TIME2: u8 = 19;
    pub(crate) const BLOB_COMPRESSED: u8 = 140;
    pub(crate) const VARCHAR_COMPRESSED: u8 = 141;
    pub(crate) const VECTOR: u8 = 242;
    pub(crate) const JSON: u8 = 245;
    pub(crate) const NEWDECIMAL: u8 = 246;
    pub(crate) const ENUM: u8 = 247;
    pub(crate) const SET: u8 = 248;
    pub(crate) const TINY_BLOB: u8 = 249;
    pub(crate) const MEDIUM_BLOB: u8 = 250;
    pub(crate) const LONG_BLOB: u8 = 251;
    pub(crate) const BLOB: u8 = 252;
    pub(crate) const VAR_STRING: u8 = 253;
    pub(crate) const STRING: u8 = 254;
    pub(crate) const GEOMETRY: u8 = 255;
}

/// Bytes of metadata that a table map holds for a type.
pub(crate) const fn metadata_length(wire_code: u8) -> usize {
    match wire_code {
        code::FLOAT
        | code::DOUBLE
        | code::TIMESTAMP2
        | code::DATETIME2
        | code::TIME2
        | code::BLOB_COMPRESSED
        | code::VECTOR
        | code::JSON
        | code::TINY_BLOB
        | code::MEDIUM_BLOB
        | code::LONG_BLOB
        | code::BLOB
        | code::GEOMETRY => 1,
        code::VARCHAR
        | code::BIT
        | code::VARCHAR_COMPRESSED
        | code::NEWDECIMAL
        | code::ENUM
        | code::SET
        | code::VAR_STRING
        | code::STRING => 2,
        _ => 0,
    }
}

/// The real code and one number of metadata, from what the table map holds.
pub(crate) fn resolve(wire_code: u8, metadata: &[u8]) -> (u8, u16) {
    let (first, second) = match *metadata {
        [first, second] => (first, second),
        [first] => (first, 0),
        _ => (0, 0),
    };
    let [low, high] = [u16::from(first), u16::from(second)];
    match wire_code {
        // CHAR, ENUM and SET. CHARs of more than 255 bytes hide two bits of their length in the
        // bits of the type that are always set otherwise (`Field_string::do_save_field_metadata`,
        // sql/field.cc).
        code::STRING if first & 0x30 == 0x30 => (first, high),
        code::STRING => (first | 0x30, high | ((low & 0x30) ^ 0x30) << 4),
        code::ENUM | code::SET => (first, high),
        // bits beyond whole bytes, whole bytes
        code::BIT => (wire_code, low + high * 8),
        code::NEWDECIMAL => (wire_code, low << 8 | high),
        _ => (wire_code, low | high << 8),
    }
}

/// The columns that the lists of signs count.
pub(crate) const fn is_numeric(code: u8) -> bool {
    matches!(
        code,
        code::TINY
            | code::SHORT
            | code::LONG
            | code::FLOAT
            | code::DOUBLE
            | code::LONGLONG
            | code::INT24
            | code::YEAR
            | code::NEWDECIMAL
    )
}

/// The columns that the lists of character sets count. MariaDB counts more of them.
pub(crate) const fn is_character(code: u8, mariadb: bool) -> bool {
    match code {
        code::VARCHAR
        | code::VAR_STRING
        | code::STRING
        | code::TINY_BLOB
        | code::MEDIUM_BLOB
        | code::LONG_BLOB
        | code::BLOB
        | code::VECTOR => true,
        code::GEOMETRY | code::BLOB_COMPRESSED | code::VARCHAR_COMPRESSED => mariadb,
        _ => false,
    }
}

/// What the bytes of a column are. `unsigned` and `charset` come from the table map where it
/// gives them ([`WireColumn::unsigned`], [`WireColumn::charset`]), else from the table's
/// definition; of types without them they do not count.
pub fn column_type(
    wire: &WireColumn,
    unsigned: bool,
    charset: Charset,
) -> Result<ColumnType, Error> {
    let refused = || Error::ColumnType { code: wire.code, meta: wire.meta };
    let meta = wire.meta;
    let small = |most: u16| match u8::try_from(meta) {
        Ok(value) if meta <= most => Ok(value),
        Ok(_) | Err(_) => Err(refused()),
    };
    let between = |least: u16, most: u16| if meta < least { Err(refused()) } else { small(most) };
    let binary = charset == Charset::Binary;
    Ok(match wire.code {
        code::TINY => ColumnType::Tiny { unsigned },
        code::SHORT => ColumnType::Short { unsigned },
        code::INT24 => ColumnType::Int24 { unsigned },
        code::LONG => ColumnType::Long { unsigned },
        code::LONGLONG => ColumnType::LongLong { unsigned },
        code::FLOAT => ColumnType::Float,
        code::DOUBLE => ColumnType::Double,
        code::NEWDECIMAL => {
            let [precision, scale] = meta.to_be_bytes();
            if precision == 0 || precision > 65 || scale > 30 || scale > precision {
                return Err(refused());
            }
            ColumnType::Decimal { precision, scale }
        }
        code::BIT => ColumnType::Bit { bits: between(1, 64)? },
        code::YEAR => ColumnType::Year,
        code::DATE | code::NEWDATE => ColumnType::Date,
        code::TIME => ColumnType::OldTime,
        code::TIME2 => ColumnType::Time { fsp: small(6)? },
        code::DATETIME => ColumnType::OldDateTime,
        code::DATETIME2 => ColumnType::DateTime { fsp: small(6)? },
        code::TIMESTAMP => ColumnType::OldTimestamp,
        code::TIMESTAMP2 => ColumnType::Timestamp { fsp: small(6)? },
        code::STRING if binary => ColumnType::Binary { length: meta },
        code::STRING => ColumnType::Char { max_bytes: meta, charset },
        code::VARCHAR | code::VAR_STRING if binary => ColumnType::VarBinary { max_bytes: meta },
        code::VARCHAR | code::VAR_STRING => ColumnType::VarChar { max_bytes: meta, charset },
        code::TINY_BLOB | code::MEDIUM_BLOB | code::LONG_BLOB | code::BLOB => {
            let length_bytes = between(1, 4)?;
            if binary {
                ColumnType::Blob { length_bytes }
            } else {
                ColumnType::Text { length_bytes, charset }
            }
        }
        code::VARCHAR_COMPRESSED => ColumnType::CompressedVarChar { max_bytes: meta, charset },
        code::BLOB_COMPRESSED => {
            ColumnType::CompressedText { length_bytes: between(1, 4)?, charset }
        }
        code::ENUM => ColumnType::Enum { bytes: between(1, 2)? },
        code::SET => ColumnType::Set { bytes: between(1, 8)? },
        code::JSON => ColumnType::Json { length_bytes: between(1, 4)? },
        code::GEOMETRY => ColumnType::Geometry { length_bytes: between(1, 4)? },
        code::VECTOR => ColumnType::Vector { length_bytes: between(1, 4)? },
        _ => return Err(refused()),
    })
}
