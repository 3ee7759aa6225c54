//! MariaDB's compression: of events (165 to 171) and of columns.
//!
//! Event block: one byte `0x80 | algorithm << 4 | n` (algorithm 0: zlib), `n` bytes of length
//! inflated, **big-endian**, then a zlib stream (`binlog_buf_uncompress`, `sql/log_event.cc`).
//!
//! Column cell: empty for the empty value; else a first byte of 0 and the plain bytes, or
//! `8 << 4 | raw << 3 | n`, `n` bytes of length inflated, big-endian, and a zlib stream, without
//! its wrapper when `raw` is set (`uncompress_zlib`, `sql/field_comp.cc`).

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::io::{Read, Write as _};

use flate2::Compression;
use flate2::read::{DeflateDecoder, ZlibDecoder};
use flate2::write::ZlibEncoder;

use super::Error;
use super::cursor::{Cursor, big_endian};

/// Appends what the block of an event inflates to.
pub(crate) fn inflate_event(block: &[u8], limit: u64, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut cursor = Cursor::new("a compressed event", block);
    let head = cursor.u8()?;
    let length_bytes = usize::from(head & 7);
    if head & 0xf0 != 0x80 || !(1..=4).contains(&length_bytes) {
        return Err(cursor.impossible(u64::from(head)));
    }
    let length = big_endian(cursor.take(length_bytes)?);
    inflate("a compressed event", ZlibDecoder::new(cursor.rest()), length, limit, out)
}

/// Appends what the cell of a column inflates to. `limit`: the most its type holds.
pub(crate) fn inflate_cell(cell: &[u8], limit: u64, out: &mut Vec<u8>) -> Result<(), Error> {
    const WHAT: &str = "a compressed column";
    let mut cursor = Cursor::new(WHAT, cell);
    if cursor.is_empty() {
        return Ok(());
    }
    let head = cursor.u8()?;
    if head == 0 {
        out.extend_from_slice(cursor.rest());
        return Ok(());
    }
    let length_bytes = usize::from(head & 7);
    if head & 0xf0 != 0x80 || !(1..=4).contains(&length_bytes) {
        return Err(cursor.impossible(u64::from(head)));
    }
    let length = big_endian(cursor.take(length_bytes)?);
    if head & 8 == 0 {
        inflate(WHAT, ZlibDecoder::new(cursor.rest()), length, limit, out)
    } else {
        inflate(WHAT, DeflateDecoder::new(cursor.rest()), length, limit, out)
    }
}

/// Appends the cell of a column that inflates to `plain`.
pub(crate) fn deflate_cell(plain: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let length = plain.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let length = length.get(zeros..).unwrap_or_default();
    out.push(0x80 | u8::try_from(length.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(length);
    let mut encoder = ZlibEncoder::new(out, Compression::default());
    let deflated = encoder.write_all(plain).and_then(|()| encoder.finish().map(drop));
    deflated.map_err(|error| Error::Inflate { what: "a column", reason: error.to_string() })
}

/// `out` grows as bytes come, never by what is stated.
fn inflate(
    what: &'static str,
    decoder: impl Read,
    length: u64,
    limit: u64,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    if length > limit {
        return Err(Error::TooLarge { what, size: length, limit });
    }
    let wrong = |reason: String| Error::Inflate { what, reason };
    let inflated = decoder.take(length + 1).read_to_end(out);
    let inflated = inflated.map_err(|error| wrong(error.to_string()))? as u64;
    if inflated == length {
        return Ok(());
    }
    let more = if inflated > length { "or more " } else { "" };
    Err(wrong(format!("{inflated} bytes {more}come out where {length} are stated")))
}
