//! Compressed batches, inflated.
//!
//! In: a batch whose records a producer has compressed. Out: the same batch with its
//! records as they were, under the same offsets and times; or only what is asked of them, out
//! of the stream. Always holds: no more than [`MOST_INFLATED`] bytes come out, or less if less
//! is asked for, whatever the compressed bytes announce.
//!
//! The records, from byte 61 on, are one stream: gzip members; Zstandard frames; an LZ4
//! frame; or Snappy, either a bare block or xerial's framing, as Java's clients have it
//! (`SnappyOutputStream`): a header of 16 bytes, `82 "SNAPPY" 00`, version i32, compatible
//! version i32, and then blocks, each behind its length as an i32.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use super::head::{CRC_START, Compression, Head};
use super::{BatchView, Error, HEAD_LENGTH, varint};

/// The most bytes of records that are inflated: as many as the largest batch we make has.
pub const MOST_INFLATED: usize = 64 * 1024 * 1024;
/// As much of a record as says its attributes, time and offset.
const FRONT: usize = 1 + 10 + 5;
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER: usize = 16;

impl<'a> BatchView<'a> {
    /// The bytes of this batch with its records uncompressed; its own where they are.
    pub fn uncompressed(&self) -> Result<Cow<'a, [u8]>, Error> {
        self.uncompressed_within(MOST_INFLATED)
    }

    /// As [`BatchView::uncompressed`], but no more than `most` bytes of records are inflated:
    /// [`Error::Inflated`] where there are more.
    pub fn uncompressed_within(&self, most: usize) -> Result<Cow<'a, [u8]>, Error> {
        if self.head().compression() == Compression::None {
            return Ok(Cow::Borrowed(self.as_bytes()));
        }
        let most = most.min(MOST_INFLATED);
        let mut out = vec![0; HEAD_LENGTH];
        let read = read_all(self.stream(most)?, most, &mut out);
        read.map_err(|error| self.broken(&error))?;
        let records = out.len() - HEAD_LENGTH;
        if records > most {
            return Err(Error::Inflated { most });
        }
        write_head(self.head(), &mut out);
        Ok(Cow::Owned(out))
    }

    /// The first record at `start` or behind it that is not older than `timestamp`: offset and
    /// timestamp. It holds no more of the records than the codec does.
    pub fn first_since(&self, start: i64, timestamp: i64) -> Result<Option<(i64, i64)>, Error> {
        let wanted = |offset: i64, time: i64| time >= timestamp && offset >= start;
        if self.head().compression() == Compression::None {
            let records = self.records().map_while(Result::ok);
            let mut places = records.map(|record| (record.offset, record.timestamp));
            return Ok(places.find(|(offset, time)| wanted(*offset, *time)));
        }
        let most = u64::try_from(MOST_INFLATED).unwrap_or(u64::MAX);
        let mut records = BufReader::new(self.stream(MOST_INFLATED)?.take(most));
        for _ in 0..self.head().count {
            let place = self.next_place(&mut records).map_err(|error| self.broken(&error))?;
            let Some((offset, time)) = place else { return Ok(None) };
            if wanted(offset, time) {
                return Ok(Some((offset, time)));
            }
        }
        Ok(None)
    }

    /// Offset and time of the next record of a stream; `None` if it is malformed.
    fn next_place(&self, records: &mut impl BufRead) -> io::Result<Option<(i64, i64)>> {
        let Some(length) = take_length(records)? else { return Ok(None) };
        let mut front = [0; FRONT];
        let read = length.min(FRONT);
        let front = front.get_mut(..read).unwrap_or_default();
        records.read_exact(front)?;
        skip(records, length - read)?;
        let place = || {
            let (_attributes, mut rest) = front.split_first()?;
            let time = varint::take(&mut rest)?;
            let offset = varint::take_short(&mut rest)?;
            Some(self.head().place(offset, time))
        };
        Ok(place())
    }

    /// The records as they are inflated; a bare block of Snappy, of at most `most` bytes, whole.
    fn stream(&self, most: usize) -> Result<Box<dyn Read + 'a>, Error> {
        let compression = self.head().compression();
        let packed = self.as_bytes().get(HEAD_LENGTH..).unwrap_or_default();
        let stream: io::Result<Box<dyn Read + 'a>> = match compression {
            Compression::None => Ok(Box::new(packed)),
            Compression::Gzip => Ok(Box::new(flate2::read::MultiGzDecoder::new(packed))),
            Compression::Snappy if packed.starts_with(XERIAL_MAGIC) => xerial(packed, most),
            Compression::Snappy => snappy(packed, most),
            Compression::Lz4 if !lz4_is_whole(packed) => Err(cut()),
            Compression::Lz4 => Ok(Box::new(lz4_flex::frame::FrameDecoder::new(packed))),
            Compression::Zstd => {
                zstd::stream::read::Decoder::new(packed).map(|stream| Box::new(stream) as _)
            }
            Compression::Unknown(_) => return Err(Error::Compressed(compression)),
        };
        stream.map_err(|error| self.broken(&error))
    }

    fn broken(&self, error: &io::Error) -> Error {
        let too_much = error.get_ref().and_then(|inner| inner.downcast_ref());
        if let Some(TooMuch(most)) = too_much {
            return Error::Inflated { most: *most };
        }
        Error::Inflate { compression: self.head().compression(), reason: error.to_string() }
    }
}

/// More comes out than is allowed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("they are more than {0} bytes")]
struct TooMuch(usize);

/// Writes the head of the same batch, with plain records, before the records in `out`.
fn write_head(head: &Head, out: &mut [u8]) {
    let mut head = head.without_compression(out.len() - HEAD_LENGTH);
    let draft = head.to_bytes();
    head.crc = crc32c::crc32c(draft.get(CRC_START..).unwrap_or_default());
    head.crc = crc32c::crc32c_append(head.crc, out.get(HEAD_LENGTH..).unwrap_or_default());
    if let Some(place) = out.first_chunk_mut() {
        *place = head.to_bytes();
    }
}

/// Appends what a stream has, up to one byte more than `most`.
fn read_all(stream: impl Read, most: usize, out: &mut Vec<u8>) -> io::Result<()> {
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    stream.take(most.saturating_add(1)).read_to_end(out)?;
    Ok(())
}

/// A record's length: a varint of 32 bits. `None` if it is none, or negative.
fn take_length(records: &mut impl BufRead) -> io::Result<Option<usize>> {
    let mut bytes = Vec::with_capacity(5);
    while bytes.len() < 5 {
        let mut byte = [0];
        records.read_exact(&mut byte)?;
        bytes.extend(byte);
        if byte.iter().all(|byte| byte & 0x80 == 0) {
            break;
        }
    }
    let length = varint::take_short(&mut bytes.as_slice());
    Ok(length.and_then(|length| usize::try_from(length).ok()))
}

fn skip(records: &mut impl BufRead, mut bytes: usize) -> io::Result<()> {
    while bytes > 0 {
        let there = records.fill_buf()?.len().min(bytes);
        if there == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        records.consume(there);
        bytes -= there;
    }
    Ok(())
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

/// A bare block of Snappy.
fn snappy<'a>(packed: &[u8], most: usize) -> io::Result<Box<dyn Read + 'a>> {
    Ok(Box::new(Cursor::new(unpack_block(packed, most)?)))
}

/// Blocks of Snappy in xerial's framing, one at a time.
fn xerial<'a>(packed: &'a [u8], most: usize) -> io::Result<Box<dyn Read + 'a>> {
    let rest = packed.get(XERIAL_HEADER..).ok_or_else(cut)?;
    Ok(Box::new(Xerial { rest, block: Cursor::default(), most }))
}

struct Xerial<'a> {
    rest: &'a [u8],
    block: Cursor<Vec<u8>>,
    most: usize,
}

impl Read for Xerial<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.block.read(out)?;
            if read > 0 || out.is_empty() || self.rest.is_empty() {
                return Ok(read);
            }
            let (length, behind) = self.rest.split_first_chunk().ok_or_else(cut)?;
            let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| cut())?;
            let (block, behind) = behind.split_at_checked(length).ok_or_else(cut)?;
            self.block = Cursor::new(unpack_block(block, self.most)?);
            self.rest = behind;
        }
    }
}

/// The bytes of one Snappy block.
fn unpack_block(block: &[u8], most: usize) -> io::Result<Vec<u8>> {
    let length = snap::raw::decompress_len(block)?;
    if length > most {
        return Err(io::Error::other(TooMuch(most)));
    }
    let mut out = vec![0; length];
    snap::raw::Decoder::new().decompress(block, &mut out)?;
    Ok(out)
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "a block is cut")
}
