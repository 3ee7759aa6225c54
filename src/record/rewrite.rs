//! What compaction leaves of a batch.
//!
//! In: a stored batch, compressed or not, and which of its records stay. Out: the batch with
//! those records at the offsets they had, compressed as it was. Always holds: times and
//! offsets of records do not change; the batch takes the offsets it took.
//!
//! The delete horizon is Kafka's (KIP-534, `MemoryRecords.filterTo`): from then on tombstones
//! of the batch may go. It stands in the place of the base timestamp, from which the records'
//! deltas are counted anew, with bit 6 of the attributes set.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::io::{self, Write};

use super::head::{CRC_START, Compression, Head};
use super::view::RecordView;
use super::{BatchView, Error, HEAD_LENGTH, varint};

/// The header of xerial's framing: magic, version and compatible version.
const XERIAL_HEADER: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// As much as Java's clients put into one block of Snappy.
const SNAPPY_BLOCK: usize = 32 << 10;

/// How hard to compress; -1 is as hard as the codec does of itself. LZ4 has no level here: the
/// codec is `lz4_flex`, which knows the fast way only (Kafka's levels choose between it and the
/// slow one of the C library); what it makes is read by everybody, and is somewhat longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Of gzip, from 1 to 9.
    pub gzip: i32,
    /// Of Zstandard, up to 22.
    pub zstd: i32,
}

impl Default for Levels {
    /// Kafka's.
    fn default() -> Self {
        Self { gzip: -1, zstd: 3 }
    }
}

/// What is left of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// All of it, as it is stored.
    Whole,
    /// These bytes.
    Part(Vec<u8>),
    /// Nothing.
    Nothing,
}

impl BatchView<'_> {
    /// The batch with the records that `keep` takes. Where a tombstone stays, and the batch
    /// has no delete horizon, it gets `horizon`.
    pub fn rewrite(
        &self,
        mut keep: impl FnMut(&RecordView<'_>) -> bool,
        horizon: i64,
    ) -> Result<Rewritten, Error> {
        let plain = self.uncompressed()?;
        let view = BatchView::trusted(Head::parse(&plain)?, &plain);
        let mut kept = Vec::new();
        for record in view.records() {
            let record = record?;
            if keep(&record) {
                kept.push(record);
            }
        }
        if kept.is_empty() {
            return Ok(Rewritten::Nothing);
        }
        let wanted = self.head().delete_horizon().is_none()
            && kept.iter().any(|record| record.value.is_none());
        if !wanted && i64::from(self.head().count) == varint::length(kept.len()) {
            return Ok(Rewritten::Whole);
        }
        let mut head = *self.head();
        if wanted {
            head.set_delete_horizon(horizon);
        }
        if !head.has_append_time() {
            let latest = kept.iter().map(|record| record.timestamp).max();
            head.max_timestamp = latest.unwrap_or(head.max_timestamp);
        }
        head.count = i32::try_from(kept.len()).unwrap_or(i32::MAX);
        let mut records = Vec::new();
        for record in &kept {
            let delta = record.timestamp.wrapping_sub(head.base_timestamp);
            let counted_from = self.head().base_timestamp == head.base_timestamp;
            if counted_from || !put_with_delta(&mut records, record, delta) {
                records.extend_from_slice(record.raw());
            }
        }
        let packed = pack(head.compression(), records, Levels::default())?;
        Ok(Rewritten::Part(sealed(head, &packed)))
    }
}

/// Appends a record with another delta of its time. False, and nothing appended, if its bytes
/// are not those of a record.
fn put_with_delta(out: &mut Vec<u8>, record: &RecordView<'_>, delta: i64) -> bool {
    let mut rest = record.raw();
    let parts = varint::take(&mut rest)
        .and_then(|_| rest.split_first())
        .and_then(|(attributes, mut rest)| varint::take(&mut rest).map(|_| (*attributes, rest)));
    let Some((attributes, rest)) = parts else { return false };
    varint::put(out, varint::length(1 + varint::width(delta) + rest.len()));
    out.push(attributes);
    varint::put(out, delta);
    out.extend_from_slice(rest);
    true
}

/// A head with its length and checksum, and the records.
pub(super) fn sealed(mut head: Head, records: &[u8]) -> Vec<u8> {
    head.set_records_length(records.len());
    let draft = head.to_bytes();
    head.crc = crc32c::crc32c(draft.get(CRC_START..).unwrap_or_default());
    head.crc = crc32c::crc32c_append(head.crc, records);
    let mut batch = Vec::with_capacity(HEAD_LENGTH + records.len());
    batch.extend_from_slice(&head.to_bytes());
    batch.extend_from_slice(records);
    batch
}

/// Records as they stand behind a head of this compression.
pub(super) fn pack(
    compression: Compression,
    records: Vec<u8>,
    levels: Levels,
) -> Result<Vec<u8>, Error> {
    match compression {
        Compression::None => Ok(records),
        Compression::Gzip
        | Compression::Snappy
        | Compression::Lz4
        | Compression::Zstd
        | Compression::Unknown(_) => pack_behind(Vec::new(), compression, &records, levels),
    }
}

/// Appends records to `out` as they stand behind a head of this compression.
pub(super) fn pack_behind(
    mut out: Vec<u8>,
    compression: Compression,
    records: &[u8],
    levels: Levels,
) -> Result<Vec<u8>, Error> {
    let packed = match compression {
        Compression::None => {
            out.extend_from_slice(records);
            return Ok(out);
        }
        Compression::Gzip => gzip(out, records, levels.gzip),
        Compression::Snappy => snappy(out, records),
        Compression::Lz4 => lz4(out, records),
        Compression::Zstd => zstd(out, records, levels.zstd),
        Compression::Unknown(_) => return Err(Error::Compressed(compression)),
    };
    packed.map_err(|error| Error::Inflate { compression, reason: error.to_string() })
}

fn gzip(out: Vec<u8>, records: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let level = u32::try_from(level)
        .map_or_else(|_| flate2::Compression::default(), flate2::Compression::new);
    let mut encoder = flate2::write::GzEncoder::new(out, level);
    encoder.write_all(records)?;
    encoder.finish()
}

fn lz4(out: Vec<u8>, records: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(out);
    encoder.write_all(records)?;
    encoder.finish().map_err(io::Error::other)
}

fn zstd(out: Vec<u8>, records: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::Encoder::new(out, level)?;
    encoder.write_all(records)?;
    encoder.finish()
}

fn snappy(mut out: Vec<u8>, records: &[u8]) -> io::Result<Vec<u8>> {
    out.extend_from_slice(XERIAL_HEADER);
    let mut encoder = snap::raw::Encoder::new();
    for block in records.chunks(SNAPPY_BLOCK) {
        let block = encoder.compress_vec(block)?;
        let length = u32::try_from(block.len()).map_err(io::Error::other)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&block);
    }
    Ok(out)
}

/// A batch of plain records compressed, as a producer would send it.
#[cfg(test)]
pub(crate) fn compressed(batch: &[u8], compression: Compression) -> bytes::Bytes {
    let mut head = Head::parse(batch).unwrap();
    head.attributes |= head.with_compression(compression).attributes;
    let records = batch.get(HEAD_LENGTH..).unwrap().to_vec();
    bytes::Bytes::from(sealed(head, &pack(compression, records, Levels::default()).unwrap()))
}
