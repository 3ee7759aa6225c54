//! One value of a row: how many bytes it takes, and what they mean.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::cursor::{big_endian, little_endian};
use super::decimal::Decimal;
use super::hires;
use super::plugin_type::PluginValue;
use super::temporal::{Date, DateTime, Time, Timestamp};
use super::{Error, compressed};
use crate::change::{Charset, ColumnType};

/// A value, borrowed from its row image. Whoever prints it knows its column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// An integer with a sign.
    Int(i64),
    /// An integer without one.
    UInt(u64),
    /// FLOAT: to be printed with the digits of 32 bits.
    Float(f32),
    /// DOUBLE.
    Double(f64),
    /// DECIMAL.
    Decimal(Decimal<'a>),
    /// BIT.
    Bit(u64),
    /// YEAR; 0 is `0000`.
    Year(u16),
    /// DATE; zero and partial ones too.
    Date(Date),
    /// TIME.
    Time(Time),
    /// DATETIME; zero and partial ones too.
    DateTime(DateTime),
    /// TIMESTAMP.
    Timestamp(Timestamp),
    /// CHAR, VARCHAR, TEXT: in its character set, see [`super::charset::to_utf8`].
    Text {
        /// As stored.
        bytes: &'a [u8],
        /// What they are in.
        charset: Charset,
    },
    /// VARBINARY, BLOB.
    Bytes(&'a [u8]),
    /// BINARY: the binlog lacks trailing zeros, the value has them up to `length`.
    Binary {
        /// As stored.
        bytes: &'a [u8],
        /// Bytes of the whole value.
        length: u16,
    },
    /// ENUM: index of its label from 1; 0 is the empty text of an invalid value.
    Enum(u16),
    /// SET: a bit for each label.
    Set(u64),
    /// JSON, see [`super::json::write_text`].
    Json(&'a [u8]),
    /// GEOMETRY: SRID u32 and WKB.
    Geometry(&'a [u8]),
    /// VECTOR: 32-bit floats, little-endian.
    Vector(&'a [u8]),
    /// UUID, INET4, INET6.
    Plugin(PluginValue),
    /// A cell of a COMPRESSED column of MariaDB.
    Compressed(Compressed<'a>),
}

/// A compressed text (or bytes, when the character set is `Binary`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressed<'a> {
    cell: &'a [u8],
    limit: u64,
    /// What the text is in.
    pub charset: Charset,
}

impl Compressed<'_> {
    /// Appends the bytes of the text.
    pub fn inflate(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        compressed::inflate_cell(self.cell, self.limit, out)
    }
}

const WHAT: &str = "a value of a row";

/// How many bytes of `image` the value at its front takes.
#[inline]
pub(crate) fn encoded_length(kind: ColumnType, image: &[u8]) -> Result<usize, Error> {
    Ok(match kind {
        ColumnType::Tiny { .. } | ColumnType::Year => 1,
        ColumnType::Short { .. } => 2,
        ColumnType::Int24 { .. } | ColumnType::Date | ColumnType::OldTime => 3,
        ColumnType::Long { .. } | ColumnType::Float | ColumnType::OldTimestamp => 4,
        ColumnType::LongLong { .. } | ColumnType::Double | ColumnType::OldDateTime => 8,
        ColumnType::Decimal { precision, scale } => Decimal::encoded_length(precision, scale),
        ColumnType::Bit { bits } => usize::from(bits).div_ceil(8),
        ColumnType::Time { fsp } => 3 + fraction_length(fsp),
        ColumnType::DateTime { fsp } => 5 + fraction_length(fsp),
        ColumnType::Timestamp { fsp } => 4 + fraction_length(fsp),
        ColumnType::Enum { bytes } | ColumnType::Set { bytes } => usize::from(bytes),
        ColumnType::HiresTime { fsp } => hires::time_length(fsp),
        ColumnType::HiresDateTime { fsp } => hires::datetime_length(fsp),
        ColumnType::HiresTimestamp { fsp } => hires::timestamp_length(fsp),
        _ => {
            let prefix = prefix_length(kind);
            let length = match (prefix, image) {
                (1, [length, ..]) => usize::from(*length),
                (2, [low, high, ..]) => usize::from(u16::from_le_bytes([*low, *high])),
                _ => {
                    let length = image.get(..prefix).ok_or_else(|| cut(prefix, image.len()))?;
                    usize::try_from(little_endian(length)).unwrap_or(usize::MAX)
                }
            };
            length.saturating_add(prefix)
        }
    })
}

/// Bytes of the length before values of variable length; 0 for the others.
#[inline]
pub(crate) fn prefix_length(kind: ColumnType) -> usize {
    match kind {
        ColumnType::Char { max_bytes, .. }
        | ColumnType::Binary { length: max_bytes }
        | ColumnType::VarChar { max_bytes, .. }
        | ColumnType::VarBinary { max_bytes }
        | ColumnType::CompressedVarChar { max_bytes, .. } => 1 + usize::from(max_bytes > 255),
        ColumnType::Plugin(_) => 1,
        ColumnType::Text { length_bytes, .. }
        | ColumnType::Blob { length_bytes }
        | ColumnType::CompressedText { length_bytes, .. }
        | ColumnType::Json { length_bytes }
        | ColumnType::Geometry { length_bytes }
        | ColumnType::Vector { length_bytes } => usize::from(length_bytes),
        ColumnType::Tiny { .. }
        | ColumnType::Short { .. }
        | ColumnType::Int24 { .. }
        | ColumnType::Long { .. }
        | ColumnType::LongLong { .. }
        | ColumnType::Float
        | ColumnType::Double
        | ColumnType::Decimal { .. }
        | ColumnType::Bit { .. }
        | ColumnType::Year
        | ColumnType::Date
        | ColumnType::OldTime
        | ColumnType::Time { .. }
        | ColumnType::OldDateTime
        | ColumnType::DateTime { .. }
        | ColumnType::OldTimestamp
        | ColumnType::HiresTime { .. }
        | ColumnType::HiresDateTime { .. }
        | ColumnType::HiresTimestamp { .. }
        | ColumnType::Timestamp { .. }
        | ColumnType::Enum { .. }
        | ColumnType::Set { .. } => 0,
    }
}

/// Two digits of a fraction take one byte.
#[inline]
const fn fraction_length(fsp: u8) -> usize {
    fsp.div_ceil(2) as usize
}

#[cold]
fn cut(needed: usize, left: usize) -> Error {
    Error::Cut { what: WHAT, needed, left }
}

#[inline]
fn fixed<const N: usize>(raw: &[u8]) -> Result<[u8; N], Error> {
    raw.first_chunk::<N>().copied().ok_or_else(|| cut(N, raw.len()))
}

impl<'a> Value<'a> {
    /// Decodes the bytes that [`super::Images`] found for a column of this type.
    #[inline]
    pub fn decode(kind: ColumnType, raw: &'a [u8]) -> Result<Self, Error> {
        let body = |kind| {
            let prefix = prefix_length(kind);
            raw.get(prefix..).ok_or_else(|| cut(prefix, raw.len()))
        };
        Ok(match kind {
            ColumnType::Tiny { unsigned: false } => {
                Self::Int(i64::from(i8::from_le_bytes(fixed(raw)?)))
            }
            ColumnType::Tiny { unsigned: true } => {
                Self::UInt(u64::from(u8::from_le_bytes(fixed(raw)?)))
            }
            ColumnType::Short { unsigned: false } => {
                Self::Int(i64::from(i16::from_le_bytes(fixed(raw)?)))
            }
            ColumnType::Short { unsigned: true } => {
                Self::UInt(u64::from(u16::from_le_bytes(fixed(raw)?)))
            }
            ColumnType::Int24 { unsigned } => {
                let [low, middle, high] = fixed(raw)?;
                let value = u32::from_le_bytes([low, middle, high, 0]);
                if unsigned {
                    Self::UInt(u64::from(value))
                } else {
                    // The sign of 24 bits moves to the sign of 32 and back.
                    Self::Int(i64::from((value << 8).cast_signed() >> 8))
                }
            }
            ColumnType::Long { unsigned: false } => {
                Self::Int(i64::from(i32::from_le_bytes(fixed(raw)?)))
            }
            ColumnType::Long { unsigned: true } => {
                Self::UInt(u64::from(u32::from_le_bytes(fixed(raw)?)))
            }
            ColumnType::LongLong { unsigned: false } => Self::Int(i64::from_le_bytes(fixed(raw)?)),
            ColumnType::LongLong { unsigned: true } => Self::UInt(u64::from_le_bytes(fixed(raw)?)),
            ColumnType::Float => Self::Float(f32::from_le_bytes(fixed(raw)?)),
            ColumnType::Double => Self::Double(f64::from_le_bytes(fixed(raw)?)),
            ColumnType::Decimal { precision, scale } => {
                Self::Decimal(Decimal::new(precision, scale, raw)?)
            }
            ColumnType::Bit { .. } => Self::Bit(big_endian(raw)),
            ColumnType::Year => Self::Year(match fixed::<1>(raw)? {
                [0] => 0,
                [year] => 1900 + u16::from(year),
            }),
            ColumnType::Date => Self::Date(Date::decode(fixed(raw)?)),
            ColumnType::OldTime => Self::Time(Time::decode_old(fixed(raw)?)),
            ColumnType::Time { fsp } => Self::Time(Time::decode(raw, fsp)?),
            ColumnType::OldDateTime => Self::DateTime(DateTime::decode_old(fixed(raw)?)?),
            ColumnType::DateTime { fsp } => Self::DateTime(DateTime::decode(raw, fsp)?),
            ColumnType::OldTimestamp => Self::Timestamp(Timestamp {
                seconds: u32::from_le_bytes(fixed(raw)?),
                micros: 0,
                fsp: 0,
            }),
            ColumnType::HiresTime { fsp } => Self::Time(hires::time(raw, fsp)?),
            ColumnType::HiresDateTime { fsp } => Self::DateTime(hires::datetime(raw, fsp)?),
            ColumnType::HiresTimestamp { fsp } => Self::Timestamp(hires::timestamp(raw, fsp)?),
            ColumnType::Timestamp { fsp } => Self::Timestamp(Timestamp::decode(raw, fsp)?),
            ColumnType::Char { charset, .. }
            | ColumnType::VarChar { charset, .. }
            | ColumnType::Text { charset, .. } => Self::Text { bytes: body(kind)?, charset },
            ColumnType::Binary { length } => Self::Binary { bytes: body(kind)?, length },
            ColumnType::VarBinary { .. } | ColumnType::Blob { .. } => Self::Bytes(body(kind)?),
            ColumnType::CompressedVarChar { max_bytes, charset } => Self::Compressed(Compressed {
                cell: body(kind)?,
                limit: u64::from(max_bytes),
                charset,
            }),
            ColumnType::CompressedText { length_bytes, charset } => Self::Compressed(Compressed {
                cell: body(kind)?,
                limit: (1 << (8 * length_bytes.min(4))) - 1,
                charset,
            }),
            ColumnType::Enum { bytes: 1 } => Self::Enum(u16::from(u8::from_le_bytes(fixed(raw)?))),
            ColumnType::Enum { .. } => Self::Enum(u16::from_le_bytes(fixed(raw)?)),
            ColumnType::Set { .. } => Self::Set(little_endian(raw)),
            ColumnType::Json { .. } => Self::Json(body(kind)?),
            ColumnType::Geometry { .. } => Self::Geometry(body(kind)?),
            ColumnType::Vector { .. } => Self::Vector(body(kind)?),
            ColumnType::Plugin(plugin) => Self::Plugin(PluginValue::new(plugin, body(kind)?)),
        })
    }
}
