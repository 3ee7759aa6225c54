//! The 61 bytes before the records of a batch: read, written, and patched in place.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::Error;

/// Bytes of a batch head.
pub const HEAD_LENGTH: usize = 61;
/// Bytes that the length in the head does not count: base offset and the length itself.
const UNCOUNTED: usize = 12;
/// The CRC covers everything from here.
pub const CRC_START: usize = 21;
/// Producer id, epoch and sequence of a producer that is not idempotent.
const NO_PRODUCER: i64 = -1;

const MAGIC: i8 = 2;
const COMPRESSION_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

/// A batch without records that takes `count` offsets from `base_offset` on, as compaction leaves
/// it of one whose records all went.
pub fn empty_batch(base_offset: i64, count: i32, timestamp: i64) -> [u8; HEAD_LENGTH] {
    let taken = Head::unsealed(HEAD_LENGTH, count);
    let mut head = Head {
        base_offset,
        base_timestamp: timestamp,
        max_timestamp: timestamp,
        count: 0,
        ..taken
    };
    head.crc = crc32c::crc32c(head.to_bytes().get(CRC_START..).unwrap_or_default());
    head.to_bytes()
}

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// They are not.
    None,
    /// gzip.
    Gzip,
    /// Snappy, in the framing of xerial.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
    /// A number nobody has given a meaning yet.
    Unknown(i16),
}

/// The head of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes that follow the length, the rest of the head included.
    pub length: i32,
    /// Epoch of the leader that appended it.
    pub leader_epoch: i32,
    /// CRC-32C of what follows it.
    pub crc: u32,
    /// Compression, kind of timestamp, transactional, control.
    pub attributes: i16,
    /// Offset of the last record, from the first.
    pub last_offset_delta: i32,
    /// Timestamp that the records' deltas count from, in milliseconds.
    pub base_timestamp: i64,
    /// Largest timestamp of a record.
    pub max_timestamp: i64,
    /// Idempotent producer, or -1.
    pub producer_id: i64,
    /// Its epoch, or -1.
    pub producer_epoch: i16,
    /// Its sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// Number of records.
    pub count: i32,
}

impl Head {
    /// Reads the head at the front of `bytes` and judges magic and length; neither the
    /// records nor the CRC.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let Some(head) = bytes.first_chunk::<HEAD_LENGTH>() else {
            return Err(Error::Cut { needed: HEAD_LENGTH, found: bytes.len() });
        };
        let mut rest = head.as_slice();
        let base_offset = i64::from_be_bytes(take(&mut rest));
        let length = i32::from_be_bytes(take(&mut rest));
        let leader_epoch = i32::from_be_bytes(take(&mut rest));
        let magic = i8::from_be_bytes(take(&mut rest));
        if magic != MAGIC {
            return Err(Error::Magic(magic));
        }
        if usize::try_from(length).is_ok_and(|length| length >= HEAD_LENGTH - UNCOUNTED) {
            Ok(Self {
                base_offset,
                length,
                leader_epoch,
                crc: u32::from_be_bytes(take(&mut rest)),
                attributes: i16::from_be_bytes(take(&mut rest)),
                last_offset_delta: i32::from_be_bytes(take(&mut rest)),
                base_timestamp: i64::from_be_bytes(take(&mut rest)),
                max_timestamp: i64::from_be_bytes(take(&mut rest)),
                producer_id: i64::from_be_bytes(take(&mut rest)),
                producer_epoch: i16::from_be_bytes(take(&mut rest)),
                base_sequence: i32::from_be_bytes(take(&mut rest)),
                count: i32::from_be_bytes(take(&mut rest)),
            })
        } else {
            Err(Error::Length(length))
        }
    }

    /// The head of `count` records in a batch of `size` bytes: nobody's producer, no
    /// timestamps and no CRC yet.
    pub(super) fn unsealed(size: usize, count: i32) -> Self {
        Self {
            base_offset: 0,
            length: i32::try_from(size - UNCOUNTED)
                .expect("a batch is kept within max.message.bytes"),
            leader_epoch: 0,
            crc: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: NO_PRODUCER,
            producer_epoch: -1,
            base_sequence: -1,
            count,
        }
    }

    /// The head as it is stored.
    pub fn to_bytes(&self) -> [u8; HEAD_LENGTH] {
        let mut bytes = [0; HEAD_LENGTH];
        let mut rest = bytes.as_mut_slice();
        let mut put = |field: &[u8]| {
            if let Some((place, behind)) =
                std::mem::take(&mut rest).split_at_mut_checked(field.len())
            {
                place.copy_from_slice(field);
                rest = behind;
            }
        };
        put(&self.base_offset.to_be_bytes());
        put(&self.length.to_be_bytes());
        put(&self.leader_epoch.to_be_bytes());
        put(&MAGIC.to_be_bytes());
        put(&self.crc.to_be_bytes());
        put(&self.attributes.to_be_bytes());
        put(&self.last_offset_delta.to_be_bytes());
        put(&self.base_timestamp.to_be_bytes());
        put(&self.max_timestamp.to_be_bytes());
        put(&self.producer_id.to_be_bytes());
        put(&self.producer_epoch.to_be_bytes());
        put(&self.base_sequence.to_be_bytes());
        put(&self.count.to_be_bytes());
        bytes
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        UNCOUNTED + usize::try_from(self.length).unwrap_or(0)
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// How the records are compressed.
    pub fn compression(&self) -> Compression {
        match self.attributes & COMPRESSION_MASK {
            0 => Compression::None,
            1 => Compression::Gzip,
            2 => Compression::Snappy,
            3 => Compression::Lz4,
            4 => Compression::Zstd,
            other => Compression::Unknown(other),
        }
    }

    /// The head of the same batch when its records take `bytes` uncompressed bytes. The CRC
    /// is no longer that of the batch.
    pub(super) fn without_compression(&self, bytes: usize) -> Self {
        let length = i32::try_from(HEAD_LENGTH - UNCOUNTED + bytes).unwrap_or(i32::MAX);
        Self { attributes: self.attributes & !COMPRESSION_MASK, length, ..*self }
    }

    /// The head of the same records under another compression, with offsets from 0. Length and
    /// CRC are no longer those of the batch.
    pub(super) fn with_compression(&self, compression: Compression) -> Self {
        let code = match compression {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
            Compression::Lz4 => 3,
            Compression::Zstd => 4,
            Compression::Unknown(code) => code,
        };
        Self { attributes: self.attributes & (TRANSACTIONAL | CONTROL) | code, ..*self }
    }

    /// Says the largest time of a record, and whether it is that of the append and so every
    /// record's. The attributes that nobody has given a meaning yet are cleared, as Kafka does.
    pub(super) fn set_times(&mut self, max: i64, append_time: bool) {
        self.attributes &= COMPRESSION_MASK | TRANSACTIONAL | CONTROL | DELETE_HORIZON;
        if append_time {
            self.attributes |= LOG_APPEND_TIME;
        }
        self.max_timestamp = max;
    }

    /// Offset and time of a record with these deltas.
    pub(super) fn place(&self, offset_delta: i64, timestamp_delta: i64) -> (i64, i64) {
        let timestamp = if self.has_append_time() {
            self.max_timestamp
        } else {
            self.base_timestamp.wrapping_add(timestamp_delta)
        };
        (self.base_offset.wrapping_add(offset_delta), timestamp)
    }

    /// Whether every record has the timestamp of the append, which is `max_timestamp`.
    pub fn has_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// Whether the batch is part of a producer's transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// From when on, in milliseconds since 1970, the tombstones in it may go.
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// Says from when on the tombstones in it may go. The times of records are counted from
    /// there.
    pub(super) fn set_delete_horizon(&mut self, horizon: i64) {
        self.attributes |= DELETE_HORIZON;
        self.base_timestamp = horizon;
    }

    /// Says how many bytes the records take as they are stored.
    pub(super) fn set_records_length(&mut self, bytes: usize) {
        self.length = i32::try_from(HEAD_LENGTH - UNCOUNTED + bytes).unwrap_or(i32::MAX);
    }

    /// Whether it holds markers of a transaction's end in place of records.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }
}

/// Writes the offset of the first record into the batch at the front of `batch`. The CRC
/// does not cover it. Bytes shorter than that stay as they are.
pub fn set_base_offset(batch: &mut [u8], offset: i64) {
    if let Some(place) = batch.first_chunk_mut() {
        *place = offset.to_be_bytes();
    }
}

/// Writes the leader epoch into the batch at the front of `batch`. The CRC does not cover
/// it. Bytes shorter than that stay as they are.
pub fn set_leader_epoch(batch: &mut [u8], epoch: i32) {
    if let Some(place) = batch.get_mut(UNCOUNTED..).and_then(|rest| rest.first_chunk_mut()) {
        *place = epoch.to_be_bytes();
    }
}

/// Takes `N` bytes off the front. Only called within a head whose length is known.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk::<N>() {
        Some((field, behind)) => {
            *rest = behind;
            *field
        }
        None => [0; N],
    }
}
