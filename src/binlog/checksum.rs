//! The checksum at the end of each event: CRC-32 (zlib's polynomial) over header and body.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

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

/// Whether the last four bytes of an event are the CRC-32 of the others.
pub fn verify_checksum(event: &[u8]) -> bool {
    event
        .split_last_chunk::<4>()
        .is_some_and(|(covered, stated)| crc32fast::hash(covered) == u32::from_le_bytes(*stated))
}
