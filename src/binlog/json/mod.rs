//! JSON in MySQL's binary form ("JSONB"): its reader, and the text the server prints for it.
//!
//! A document is a type byte and a value (sql-common/json_binary.h). Types: 0 and 1 small and
//! large object, 2 and 3 small and large array, 4 literal (0 null, 1 true, 2 false), 5 i16, 6 u16,
//! 7 i32, 8 u32, 9 i64, 10 u64, 11 double, 12 string, 15 opaque. A string has its length before
//! it, 7 bits a byte, lowest first, the high bit set on all but the last; an opaque value a type
//! code of the server and then the same.
//!
//! A container: count of elements and size in bytes (2 bytes each when small, 4 when large); of an
//! object an entry for each key (offset, and length u16); an entry for each value (type, and offset
//! or the value itself where it fits: literals and 16-bit integers, in large ones 32-bit ones too);
//! then keys and values. Offsets count from the begin of the container. Keys are sorted by length,
//! then by bytes; there are no two of one name.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

mod document;
mod from_text;
mod number;
mod partial;
mod text;

#[cfg(test)]
mod tests;

pub use from_text::FromText;
pub use number::write_server_double;
pub use partial::expand_partial;
pub use text::{Style, write_server_string, write_text};

use super::Error;
use super::cursor::{Cursor, little_endian};

/// As deep as the server lets values nest (`JSON_DOCUMENT_MAX_DEPTH`).
pub(crate) const DEEPEST: u32 = 100;
const WHAT: &str = "a JSON value";

/// One value of a document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node<'a> {
    Object(Container<'a>),
    Array(Container<'a>),
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    String(&'a [u8]),
    /// A value of a type that JSON lacks; `code` as in table maps.
    Opaque {
        code: u8,
        bytes: &'a [u8],
    },
}

/// Reads a document. A zero-length one (INSERT IGNORE of old servers makes them) is null.
pub(crate) fn read(document: &[u8]) -> Result<Node<'_>, Error> {
    match document.split_first() {
        Some((kind, value)) => Node::read(*kind, value),
        None => Ok(Node::Null),
    }
}

impl<'a> Node<'a> {
    fn read(kind: u8, value: &'a [u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(WHAT, value);
        Ok(match kind {
            0 => Self::Object(Container::read(value, true, false)?),
            1 => Self::Object(Container::read(value, true, true)?),
            2 => Self::Array(Container::read(value, false, false)?),
            3 => Self::Array(Container::read(value, false, true)?),
            4 => match cursor.u8()? {
                0 => Self::Null,
                1 => Self::Bool(true),
                2 => Self::Bool(false),
                other => return Err(cursor.impossible(u64::from(other))),
            },
            5 => Self::Int(i64::from(i16::from_le_bytes(cursor.array()?))),
            6 => Self::UInt(u64::from(cursor.u16()?)),
            7 => Self::Int(i64::from(i32::from_le_bytes(cursor.array()?))),
            8 => Self::UInt(u64::from(cursor.u32()?)),
            9 => Self::Int(i64::from_le_bytes(cursor.array()?)),
            10 => Self::UInt(cursor.u64()?),
            11 => Self::Double(f64::from_le_bytes(cursor.array()?)),
            12 => Self::String(read_sized(&mut cursor)?),
            15 => {
                let code = cursor.u8()?;
                Self::Opaque { code, bytes: read_sized(&mut cursor)? }
            }
            other => return Err(cursor.impossible(u64::from(other))),
        })
    }
}

/// Bytes with their length before them.
fn read_sized<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Error> {
    let mut length: u64 = 0;
    for place in 0..5 {
        let byte = cursor.u8()?;
        length |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return cursor.take_long(length);
        }
    }
    Err(cursor.impossible(length))
}

/// An object or an array, checked to lie within its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Container<'a> {
    bytes: &'a [u8],
    count: usize,
    large: bool,
    keyed: bool,
}

impl<'a> Container<'a> {
    fn read(value: &'a [u8], keyed: bool, large: bool) -> Result<Self, Error> {
        let width = if large { 4 } else { 2 };
        let mut cursor = Cursor::new(WHAT, value);
        let (count, size) = (cursor.uint(width)?, cursor.uint(width)?);
        let bytes = Cursor::new(WHAT, value).take_long(size)?;
        // Every element has an entry, so the count cannot exceed what the bytes hold.
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let container = Self { bytes, count, large, keyed };
        if container.head_length().is_none_or(|length| length > bytes.len()) {
            return Err(cursor.impossible(count as u64));
        }
        Ok(container)
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of an offset.
    const fn width(&self) -> usize {
        if self.large { 4 } else { 2 }
    }

    const fn key_entry(&self) -> usize {
        if self.keyed { self.width() + 2 } else { 0 }
    }

    const fn value_entry(&self) -> usize {
        1 + self.width()
    }

    /// Bytes before the keys and values.
    pub(crate) fn head_length(&self) -> Option<usize> {
        let entries = self.count.checked_mul(self.key_entry() + self.value_entry())?;
        entries.checked_add(2 * self.width())
    }

    fn at(&self, offset: usize, length: usize) -> Result<&'a [u8], Error> {
        let rest = self.bytes.get(offset..).unwrap_or_default();
        Cursor::new(WHAT, rest).take(length)
    }

    /// The key of an element of an object; empty of an array.
    pub(crate) fn key(&self, place: usize) -> Result<&'a [u8], Error> {
        if !self.keyed {
            return Ok(&[]);
        }
        let entry = self.at(2 * self.width() + place * self.key_entry(), self.key_entry())?;
        let (offset, length) = entry.split_at_checked(self.width()).unwrap_or_default();
        self.at(to_usize(little_endian(offset)), to_usize(little_endian(length)))
    }

    /// The value of an element, and how many bytes it takes outside its entry.
    pub(crate) fn value(&self, place: usize) -> Result<(Node<'a>, usize), Error> {
        let values = 2 * self.width() + self.count * self.key_entry();
        let entry = self.at(values + place * self.value_entry(), self.value_entry())?;
        let (kind, slot) =
            entry.split_first().ok_or(Error::Cut { what: WHAT, needed: 1, left: 0 })?;
        let inlined = match kind {
            4..=6 => true,
            7 | 8 => self.large,
            _ => false,
        };
        if inlined {
            return Ok((Node::read(*kind, slot)?, 0));
        }
        let value = self.bytes.get(to_usize(little_endian(slot))..).unwrap_or_default();
        let node = Node::read(*kind, value)?;
        let length = match node {
            Node::Object(inner) | Node::Array(inner) => inner.head_length().unwrap_or(usize::MAX),
            Node::String(bytes) | Node::Opaque { bytes, .. } => bytes.len() + 1,
            Node::Null | Node::Bool(_) => 1,
            Node::Int(_) | Node::UInt(_) => 2,
            Node::Double(_) => 8,
        };
        Ok((node, length))
    }
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
