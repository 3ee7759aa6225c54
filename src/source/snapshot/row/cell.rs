//! One value, as its column's bytes in a row image: what `binlog::Value` decodes.

use crate::binlog::{Decimal, deflate_cell, json, prefix_length};
use crate::change::{Column, ColumnType, PluginType};
use crate::mysql::Value;

use super::{Unfit, temporal};

/// Appends a value that is not NULL.
#[inline]
pub(super) fn put(
    column: &Column,
    value: &Value,
    json: &mut json::FromText,
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    let kind = column.kind;
    match kind {
        ColumnType::Tiny { unsigned } => put_integer::<1>(value, unsigned, out),
        ColumnType::Short { unsigned } => put_integer::<2>(value, unsigned, out),
        ColumnType::Int24 { unsigned } => put_integer::<3>(value, unsigned, out),
        ColumnType::Long { unsigned } => put_integer::<4>(value, unsigned, out),
        ColumnType::LongLong { unsigned } => put_integer::<8>(value, unsigned, out),
        ColumnType::Float => match value {
            Value::Float(number) => {
                out.extend_from_slice(&number.to_le_bytes());
                Ok(())
            }
            other => Err(unfit(other, "a FLOAT")),
        },
        ColumnType::Double => match value {
            Value::Double(number) => {
                out.extend_from_slice(&number.to_le_bytes());
                Ok(())
            }
            other => Err(unfit(other, "a DOUBLE")),
        },
        ColumnType::Decimal { precision, scale } => {
            Ok(Decimal::encode(precision, scale, bytes_of(value)?, out)?)
        }
        ColumnType::Bit { bits } => put_bits(bits, value, out),
        ColumnType::Year => put_year(&column.mysql_type, value, out),
        ColumnType::Date => temporal::put_date(value, out),
        ColumnType::OldTime => temporal::put_old_time(value, out),
        ColumnType::Time { fsp } => temporal::put_time(value, fsp, out),
        ColumnType::HiresTime { fsp } => temporal::put_hires_time(value, fsp, out),
        ColumnType::OldDateTime => temporal::put_old_datetime(value, out),
        ColumnType::DateTime { fsp } => temporal::put_datetime(value, fsp, out),
        ColumnType::HiresDateTime { fsp } => temporal::put_hires_datetime(value, fsp, out),
        ColumnType::OldTimestamp => temporal::put_old_timestamp(value, out),
        ColumnType::Timestamp { fsp } => temporal::put_timestamp(value, fsp, out),
        ColumnType::HiresTimestamp { fsp } => temporal::put_hires_timestamp(value, fsp, out),
        ColumnType::Char { .. }
        | ColumnType::VarChar { .. }
        | ColumnType::VarBinary { .. }
        | ColumnType::Text { .. }
        | ColumnType::Blob { .. }
        | ColumnType::Geometry { .. }
        | ColumnType::Vector { .. } => put_sized(kind, bytes_of(value)?, out),
        ColumnType::Binary { .. } => put_sized(kind, without_zeros(bytes_of(value)?), out),
        ColumnType::CompressedVarChar { .. } | ColumnType::CompressedText { .. } => {
            put_cell(kind, bytes_of(value)?, out)
        }
        ColumnType::Enum { bytes } | ColumnType::Set { bytes } => {
            put_unsigned(unsigned(value)?, usize::from(bytes), out)
        }
        ColumnType::Json { .. } => {
            put_with_length(kind, out, |out| Ok(json.write(bytes_of(value)?, out)?))
        }
        ColumnType::Plugin(plugin) => {
            let bytes = bytes_of(value)?;
            let most = match plugin {
                PluginType::Uuid | PluginType::Inet6 => 16,
                PluginType::Inet4 => 4,
            };
            if bytes.len() != most {
                return Err(Unfit::TooLong { length: bytes.len(), most });
            }
            put_sized(kind, without_zeros(bytes), out)
        }
    }
}

/// What is wrong with a value of another kind.
#[cold]
pub(super) fn unfit(value: &Value, awaited: &'static str) -> Unfit {
    let sent = match value {
        Value::NULL => "NULL",
        Value::Bytes(_) => "bytes",
        Value::Int(_) => "a number",
        Value::UInt(_) => "a number without sign",
        Value::Float(_) => "a FLOAT",
        Value::Double(_) => "a DOUBLE",
        Value::Date(..) => "a date",
        Value::Time(..) => "a time",
    };
    Unfit::Kind { sent, awaited }
}

#[inline]
fn bytes_of(value: &Value) -> Result<&[u8], Unfit> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        other => Err(unfit(other, "a text")),
    }
}

const NUMBER: Unfit = Unfit::Range { what: "a number" };

/// A number that is at least 0.
#[inline]
fn unsigned(value: &Value) -> Result<u64, Unfit> {
    match value {
        Value::Int(number) => u64::try_from(*number).map_err(|_| NUMBER),
        Value::UInt(number) => Ok(*number),
        other => Err(unfit(other, "a number")),
    }
}

/// An integer of so many bytes, little-endian.
#[inline]
fn put_integer<const BYTES: usize>(
    value: &Value,
    is_unsigned: bool,
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    if is_unsigned {
        return put_unsigned(unsigned(value)?, BYTES, out);
    }
    let Value::Int(number) = value else { return Err(unfit(value, "a number with a sign")) };
    // The sign fills the bytes that are left out.
    let beyond = number >> (BYTES * 8 - 1);
    if beyond != 0 && beyond != -1 {
        return Err(NUMBER);
    }
    let bytes = number.to_le_bytes();
    out.extend_from_slice(&bytes[..BYTES]);
    Ok(())
}

#[inline]
fn put_unsigned(number: u64, bytes: usize, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let all = number.to_le_bytes();
    let (stored, beyond) = all.split_at_checked(bytes).ok_or(NUMBER)?;
    if beyond.iter().any(|byte| *byte != 0) {
        return Err(NUMBER);
    }
    out.extend_from_slice(stored);
    Ok(())
}

/// BIT comes as the bytes that are stored; zeros in front may be missing.
fn put_bits(bits: u8, value: &Value, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let bytes = bytes_of(value)?;
    let most = usize::from(bits).div_ceil(8);
    let missing =
        most.checked_sub(bytes.len()).ok_or(Unfit::TooLong { length: bytes.len(), most })?;
    out.resize(out.len() + missing, 0);
    out.extend_from_slice(bytes);
    Ok(())
}

/// MariaDB's YEAR(2) is shown by its last two digits: 1970 to 2069. (The 0 of an invalid value is
/// shown as 2000 is, which is stored whenever a 0 is meant.)
fn put_year(mysql_type: &str, value: &Value, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let year = match unsigned(value)? {
        year @ 0..70 if mysql_type == "year(2)" => 2000 + year,
        year @ 70..100 if mysql_type == "year(2)" => 1900 + year,
        year => year,
    };
    let stored = if year == 0 { 0 } else { year.checked_sub(1900).ok_or(NUMBER)? };
    put_unsigned(stored, 1, out)
}

/// Bytes with their length before them.
#[inline]
fn put_sized(kind: ColumnType, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    put_length(kind, bytes.len(), out)?;
    out.extend_from_slice(bytes);
    Ok(())
}

#[inline]
fn put_length(kind: ColumnType, length: usize, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let prefix = prefix_length(kind);
    put_unsigned(length as u64, prefix, out)
        .map_err(|_| Unfit::TooLong { length, most: (1 << (8 * prefix)) - 1 })
}

/// What `put` appends, with its length before it.
fn put_with_length(
    kind: ColumnType,
    out: &mut Vec<u8>,
    put: impl FnOnce(&mut Vec<u8>) -> Result<(), Unfit>,
) -> Result<(), Unfit> {
    let start = out.len();
    let prefix = prefix_length(kind);
    out.resize(start + prefix, 0);
    put(out)?;
    let length = out.len() - start - prefix;
    let bytes = length.to_le_bytes();
    let (stored, beyond) = bytes.split_at_checked(prefix).ok_or(NUMBER)?;
    if beyond.iter().any(|byte| *byte != 0) {
        return Err(Unfit::TooLong { length, most: (1 << (8 * prefix)) - 1 });
    }
    out[start..start + prefix].copy_from_slice(stored);
    Ok(())
}

/// A cell of a COMPRESSED column. One that holds its text as it is: a zero byte, then the text; an
/// empty text is an empty cell. There is no room for that byte before the longest texts: such one is
/// compressed.
fn put_cell(kind: ColumnType, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    if bytes.is_empty() {
        return put_sized(kind, &[], out);
    }
    let most = (1_u64 << (8 * prefix_length(kind))) - 1;
    if bytes.len() as u64 >= most {
        return put_with_length(kind, out, |out| Ok(deflate_cell(bytes, out)?));
    }
    put_length(kind, bytes.len() + 1, out)?;
    out.push(0);
    out.extend_from_slice(bytes);
    Ok(())
}

/// The binlog has no trailing zeros of values of fixed length.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    let last = bytes.iter().rposition(|byte| *byte != 0);
    &bytes[..last.map_or(0, |last| last + 1)]
}
