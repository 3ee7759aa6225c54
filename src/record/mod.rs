//! The Kafka record batch, version 2: the one form in which records are built, stored,
//! served and sent.
//!
//! In: keys, values and headers ([`BatchBuilder`]), or bytes of batches from a client or a
//! segment ([`BatchView`], [`batches`]). Out: the same bytes, never re-encoded: a base
//! offset and a leader epoch are written into the head in place, which the CRC does not
//! cover. Who has to look into compressed records asks for a copy that is
//! [uncompressed](BatchView::uncompressed). Pure.
//!
//! Always holds: what [`BatchView`] hands out has been checked against its lengths; what
//! [`BatchBuilder`] builds has shortest varints and no compression.
//!
//! Format (<https://kafka.apache.org/documentation/#recordbatch>), integers big-endian:
//!
//! ```text
//!  0 base offset i64        23 last offset delta i32    43 producer id i64
//!  8 length i32 (from 12)   27 base timestamp i64       51 producer epoch i16
//! 12 leader epoch i32       35 max timestamp i64        53 base sequence i32
//! 16 magic i8 = 2                                       57 record count i32
//! 17 CRC-32C u32 (from 21)                              61 records
//! 21 attributes i16
//! ```
//!
//! A record, all numbers zig-zag varints: length, attributes (one byte, 0), timestamp
//! delta, offset delta, key length (-1: null), key, value length (-1: null), value, header
//! count, and each header: key length, key, value length (-1: null), value.

mod arrival;
mod batch;
mod builder;
mod head;
mod inflate;
mod rewrite;
mod spares;
mod varint;
mod view;

pub use arrival::{Arrived, Rules, Unfit};
pub use batch::Batch;
pub use builder::{BatchBuilder, Mark, OpenRecord, headers_length, value_room};
pub use head::{
    CRC_START, Compression, HEAD_LENGTH, Head, empty_batch, set_base_offset, set_leader_epoch,
};
pub use inflate::MOST_INFLATED;
#[cfg(test)]
pub(crate) use rewrite::compressed;
pub use rewrite::{Levels, Rewritten};
pub use spares::Spares;
pub use view::{BatchView, Batches, Headers, RecordView, Records, batches};

/// Why bytes are no record batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer bytes than the head, or the length in it, asks for.
    #[error("record batch is cut: it needs {needed} bytes, {found} are there")]
    Cut {
        /// Bytes the batch asks for.
        needed: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// More bytes than one batch where one was asked for.
    #[error("{0} bytes follow the one record batch that is allowed")]
    Trailing(usize),
    /// A message format of before 0.11, or of a time to come.
    #[error("record batch has magic {0}, only 2 is supported")]
    Magic(i8),
    /// The length is smaller than a head, or negative.
    #[error("record batch has the impossible length {0}")]
    Length(i32),
    /// The bytes are not those that were written.
    #[error("record batch has CRC {expected:08x}, its bytes give {found:08x}")]
    Crc {
        /// The checksum in the head.
        expected: u32,
        /// The checksum of the bytes.
        found: u32,
    },
    /// The number of records does not fit the offsets they take.
    #[error("record batch counts {count} records, its last offset delta is {last_offset_delta}")]
    Count {
        /// Records, as the head says.
        count: i32,
        /// Offset of the last record from the base offset, as the head says.
        last_offset_delta: i32,
    },
    /// The records are compressed: they have to be inflated first.
    #[error("records are compressed with {0:?} and cannot be read here")]
    Compressed(Compression),
    /// The compressed records cannot be inflated.
    #[error("records compressed with {compression:?} cannot be inflated: {reason}")]
    Inflate {
        /// How they are compressed.
        compression: Compression,
        /// What is wrong with them.
        reason: String,
    },
    /// More bytes of records come out than are allowed.
    #[error("its records are more than {most} bytes when they are inflated")]
    Inflated {
        /// As many are allowed.
        most: usize,
    },
    /// A record's lengths do not fit the bytes.
    #[error("record {index} of the batch is malformed: {reason}")]
    Record {
        /// Which record of the batch, from 0.
        index: i32,
        /// What is wrong with it.
        reason: &'static str,
    },
}

#[cfg(test)]
mod tests;
