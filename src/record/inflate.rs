//! Compressed batches, inflated.
//!
//! In: a batch whose records a producer has compressed. Out: the same batch with its
//! records as they were, under the same offsets and times. Always holds: no more than
//! [`MOST_INFLATED`] bytes come out, whatever the compressed bytes announce.
//!
//! The records, from byte 61 on, are one stream: gzip members; Zstandard frames; an LZ4
//! frame; or Snappy, either a bare block or xerial's framing, as Java's clients have it
//! (`SnappyOutputStream`): a header of 16 bytes, `82 "SNAPPY" 00`, version i32, compatible
//! version i32, and then blocks, each behind its length as an i32.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::borrow::Cow;
use std::io::{self, Read};

use super::head::{CRC_START, Compression, Head};
use super::{BatchView, Error, HEAD_LENGTH};

/// The most bytes of records that are inflated: as many as the largest batch we make has.
pub(super) const MOST_INFLATED: usize = 64 * 1024 * 1024;
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER: usize = 16;

impl<'a> BatchView<'a> {
    /// The bytes of this batch with its records uncompressed; its own where they are.
    pub fn uncompressed(&self) -> Result<Cow<'a, [u8]>, Error> {
        let compression = self.head().compression();
        let packed = self.as_bytes().get(HEAD_LENGTH..).unwrap_or_default();
        let records = match compression {
            Compression::None => return Ok(Cow::Borrowed(self.as_bytes())),
            Compression::Gzip => read_all(flate2::read::MultiGzDecoder::new(packed)),
            Compression::Snappy => snappy(packed),
            Compression::Lz4 if !lz4_is_whole(packed) => Err(cut()),
            Compression::Lz4 => read_all(lz4_flex::frame::FrameDecoder::new(packed)),
            Compression::Zstd => zstd::stream::read::Decoder::new(packed).and_then(read_all),
            Compression::Unknown(_) => return Err(Error::Compressed(compression)),
        };
        let records =
            records.map_err(|error| Error::Inflate { compression, reason: error.to_string() })?;
        Ok(Cow::Owned(with_records(self.head(), &records)))
    }
}

/// A batch of plain records under a head that says so.
fn with_records(head: &Head, records: &[u8]) -> Vec<u8> {
    let mut head = head.without_compression(records.len());
    let draft = head.to_bytes();
    head.crc = crc32c::crc32c(draft.get(CRC_START..).unwrap_or_default());
    head.crc = crc32c::crc32c_append(head.crc, records);
    [&head.to_bytes(), records].concat()
}

fn read_all(stream: impl Read) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let most = u64::try_from(MOST_INFLATED).unwrap_or(u64::MAX);
    stream.take(most.saturating_add(1)).read_to_end(&mut out)?;
    if out.len() > MOST_INFLATED { Err(too_much()) } else { Ok(out) }
}

/// Whether an LZ4 frame comes to its end mark: the decoder takes one that was cut for whole, and
/// other clients do not (`lz4_Frame_format.md`: magic, FLG, BD, size and dictionary if there,
/// checksum; blocks behind their sizes, each with a checksum if so said; a size of 0).
fn lz4_is_whole(packed: &[u8]) -> bool {
    const UNCOMPRESSED: u32 = 1 << 31;
    let Some([_, _, _, _, flags, _]) = packed.first_chunk() else { return false };
    let has = |bit: u8| flags & (1 << bit) != 0;
    let head = 7 + if has(3) { 8 } else { 0 } + if has(0) { 4 } else { 0 };
    let (block_sum, content_sum) = (if has(4) { 4 } else { 0 }, if has(2) { 4 } else { 0 });
    let mut rest = packed.get(head..).unwrap_or_default();
    while let Some((size, behind)) = rest.split_first_chunk() {
        let size = u32::from_le_bytes(*size) & !UNCOMPRESSED;
        if size == 0 {
            return behind.len() >= content_sum;
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        rest = behind.get(size.saturating_add(block_sum)..).unwrap_or_default();
    }
    false
}

fn snappy(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    if !packed.starts_with(XERIAL_MAGIC) {
        unpack_block(packed, &mut out)?;
        return Ok(out);
    }
    let mut rest = packed.get(XERIAL_HEADER..).ok_or_else(cut)?;
    while !rest.is_empty() {
        let (length, behind) = rest.split_first_chunk().ok_or_else(cut)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| cut())?;
        let (block, behind) = behind.split_at_checked(length).ok_or_else(cut)?;
        unpack_block(block, &mut out)?;
        rest = behind;
    }
    Ok(out)
}

/// Appends the bytes of one Snappy block.
fn unpack_block(block: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let begin = out.len();
    let end = begin + snap::raw::decompress_len(block)?;
    if end > MOST_INFLATED {
        return Err(too_much());
    }
    out.resize(end, 0);
    let place = out.get_mut(begin..).unwrap_or_default();
    snap::raw::Decoder::new().decompress(block, place)?;
    Ok(())
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "a block is cut")
}

fn too_much() -> io::Error {
    io::Error::other(format!("they are more than {MOST_INFLATED} bytes"))
}
