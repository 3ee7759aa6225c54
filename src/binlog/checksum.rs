//! The checksum at the end of each event: CRC-32 (zlib's polynomial) over header and body.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::{EventHeader, EventType, HEADER_LENGTH};

/// What `@@binlog_checksum` says, in the numbers of the format description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    /// No checksum.
    Off,
    /// Four bytes of CRC-32 behind each event.
    Crc32,
}

impl ChecksumAlgorithm {
    /// How many bytes of an event are its checksum.
    pub const fn length(self) -> usize {
        match self {
            Self::Off => 0,
            Self::Crc32 => 4,
        }
    }

    /// The event without its checksum, which is verified. Cut events are refused.
    pub fn strip(self, event: &[u8]) -> Result<&[u8], super::Error> {
        match self {
            Self::Off => Ok(event),
            Self::Crc32 if verify_checksum(event) => {
                Ok(event.get(..event.len().saturating_sub(4)).unwrap_or_default())
            }
            Self::Crc32 => Err(super::Error::Checksum),
        }
    }
}

/// The checksum of an event that comes in pieces.
#[derive(Debug, Default)]
pub struct ChecksumOfPieces {
    covered: crc32fast::Hasher,
    /// The last bytes that came: the checksum, when no more come.
    tail: Vec<u8>,
    received: usize,
}

impl ChecksumOfPieces {
    /// Takes the next piece.
    pub fn push(&mut self, bytes: &[u8]) {
        self.received += bytes.len();
        if let Some((covered, last)) = bytes.split_last_chunk::<4>() {
            self.covered.update(&self.tail);
            self.covered.update(covered);
            self.tail = last.to_vec();
            return;
        }
        self.tail.extend_from_slice(bytes);
        let covered = self.tail.len().saturating_sub(4);
        self.covered.update(self.tail.get(..covered).unwrap_or_default());
        self.tail.drain(..covered);
    }

    /// How many bytes came.
    pub fn received(&self) -> usize {
        self.received
    }

    /// Whether all that came ends with its checksum, where events have one.
    pub fn is_right(self, algorithm: ChecksumAlgorithm) -> bool {
        match algorithm {
            ChecksumAlgorithm::Off => true,
            ChecksumAlgorithm::Crc32 => self.tail == self.covered.finalize().to_le_bytes(),
        }
    }
}

/// Whether the last four bytes of an event are the CRC-32 of the others.
///
/// The server sets the flag "in use" of a format description behind its checksum's back
/// (`Log_event_footer::event_checksum_test`, `libs/mysql/binlog/event/binlog_event.cpp`).
pub fn verify_checksum(event: &[u8]) -> bool {
    let Some((covered, stated)) = event.split_last_chunk::<4>() else { return false };
    let mut hasher = crc32fast::Hasher::new();
    match covered.split_first_chunk::<HEADER_LENGTH>() {
        Some((header, body)) if EventHeader::parse(header).is_ok_and(|h| is_in_use(&h)) => {
            let mut header = *header;
            let [.., flags, _] = &mut header;
            *flags &= !1; // `EventHeader::IN_USE`, in the low byte
            hasher.update(&header);
            hasher.update(body);
        }
        Some(_) | None => hasher.update(covered),
    }
    hasher.finalize() == u32::from_le_bytes(*stated)
}

fn is_in_use(header: &EventHeader) -> bool {
    header.event_type == EventType::FormatDescription && header.has(EventHeader::IN_USE)
}
