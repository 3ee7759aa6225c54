//! A batch of our own making: its head still open for the timestamps of the append.

use bytes::Bytes;

use super::head::{CRC_START, Compression, Head};
use super::inflate::MOST_INFLATED;
use super::rewrite::{Levels, pack_behind};
use super::{BatchView, HEAD_LENGTH, Records, set_base_offset, set_leader_epoch};

/// Records in batch form, made by a [`super::BatchBuilder`]. Who appends it seals it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    bytes: Vec<u8>,
    head: Head,
}

impl Batch {
    /// Takes a vector whose first [`HEAD_LENGTH`] bytes are free for the head.
    pub(super) fn new(mut bytes: Vec<u8>, count: i32) -> Self {
        let head = Head::unsealed(bytes.len(), count);
        bytes[..HEAD_LENGTH].copy_from_slice(&head.to_bytes());
        Self { bytes, head }
    }

    /// Gives every record the timestamp `now` (milliseconds since 1970) and writes the
    /// CRC: from here on the batch is one that any reader takes.
    pub fn seal(&mut self, now: i64) {
        self.head.base_timestamp = now;
        self.head.max_timestamp = now;
        self.bytes[..HEAD_LENGTH].copy_from_slice(&self.head.to_bytes());
        self.head.crc = crc32c::crc32c(&self.bytes[CRC_START..]);
        self.bytes[CRC_START - 4..CRC_START].copy_from_slice(&self.head.crc.to_be_bytes());
    }

    /// The batch with its records compressed, if that makes it shorter; what it was made of as
    /// well, for use again. Not yet sealed.
    #[must_use]
    pub fn compressed(self, compression: Compression) -> (Self, Option<Vec<u8>>) {
        let records = self.bytes.get(HEAD_LENGTH..).unwrap_or_default();
        if compression == Compression::None || records.len() > MOST_INFLATED {
            return (self, None);
        }
        let mut out = Vec::with_capacity(self.bytes.len() / 2);
        out.resize(HEAD_LENGTH, 0);
        match pack_behind(out, compression, records, Levels::default()) {
            Ok(bytes) if bytes.len() < self.bytes.len() => {
                let mut head = self.head.with_compression(compression);
                head.set_records_length(bytes.len() - HEAD_LENGTH);
                (Self { bytes, head }, Some(self.bytes))
            }
            Ok(_) | Err(_) => (self, None),
        }
    }

    /// Gives the first record its offset. The batch stays sealed.
    pub fn set_base_offset(&mut self, offset: i64) {
        self.head.base_offset = offset;
        set_base_offset(&mut self.bytes, offset);
    }

    /// Names the leader's epoch. The batch stays sealed.
    pub fn set_leader_epoch(&mut self, epoch: i32) {
        self.head.leader_epoch = epoch;
        set_leader_epoch(&mut self.bytes, epoch);
    }

    /// The head as it stands.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Number of records.
    pub fn count(&self) -> i32 {
        self.head.count
    }

    /// Bytes of the whole batch.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no records; such a batch may not be appended.
    pub fn is_empty(&self) -> bool {
        self.head.count == 0
    }

    /// The batch as it is stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The batch as it is stored, without a copy.
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    /// The batch as it is stored, without a copy.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from(self.bytes)
    }

    /// The records, in order, of a batch that is not compressed. They have been built here and
    /// cannot be malformed.
    pub fn records(&self) -> Records<'_> {
        BatchView::trusted(self.head, &self.bytes).records()
    }
}
