//! The checkpoint: what was true of every partition when a frame had been synced.
//!
//! Owns: the file `checkpoint`. What holds: everything it names is durable in the
//! segments; frames up to its sequence are not needed any more.
//!
//! Format: a line `sluice checkpoint 1 <CRC-32C of the rest, 8 hex digits>`, then JSON. It
//! is written aside, synced and renamed.

use std::io;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::producer::Known;
use crate::disk::{Disk, Mode};

/// See [`Checkpoint::format`].
pub(super) const FORMAT: u32 = 1;

const PATH: &str = "checkpoint";
const ASIDE: &str = "checkpoint.new";
const TITLE: &str = "sluice checkpoint 1 ";

/// The state of the log behind one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// What its parts mean, [`FORMAT`] now. 0, of versions before this was written: it tells
    /// nothing of what compaction may have replaced.
    #[serde(default)]
    pub(super) format: u32,
    /// No frame behind it has a lower epoch.
    pub(super) epoch: u64,
    /// The epoch of the newest process; that of the next is one more.
    pub(super) raised: u64,
    /// The sequence of the last frame that is in it.
    pub(super) sequence: u64,
    /// What the CRCs of frames begin with.
    pub(super) salt: u32,
    /// Whether the log was closed: there are no frames behind it.
    pub(super) clean: bool,
    /// The partitions that have, or had, records.
    pub(super) partitions: Vec<PartitionState>,
}

/// The state of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartitionState {
    #[serde(with = "super::topic::id_text")]
    pub(super) topic: Uuid,
    pub(super) partition: i32,
    /// The first offset that is kept.
    pub(super) start: i64,
    /// Behind the last committed offset.
    pub(super) end: i64,
    /// The base offset of the segment that is appended to.
    pub(super) segment: i64,
    /// Its committed bytes.
    pub(super) position: u64,
    /// The largest time of append.
    pub(super) last_time: i64,
    /// Base offset and committed bytes of each of its segments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) segments: Vec<(i64, u64)>,
    /// Below it compaction has looked at all keys.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) cleaned: i64,
    /// Segments that begin below it may have been compacted since.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) replaceable: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) producers: Vec<(i64, Known)>,
    /// Aborted transactions: producer, first and last offset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) aborted: Vec<(i64, i64, i64)>,
    /// The segment in which damage was found: the next start looks at all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) damaged: Option<i64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Checkpoint {
    /// The checkpoint there is, `None` on a disk that never had one. Damage is
    /// `InvalidData`.
    pub(super) fn read(disk: &dyn Disk) -> io::Result<Option<Self>> {
        let file = match disk.open(PATH, Mode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "its checksum is wrong");
        let rest = bytes.strip_prefix(TITLE.as_bytes()).ok_or_else(wrong)?;
        let (crc, json) = rest.split_at_checked(9).ok_or_else(wrong)?;
        if format!("{:08x}\n", crc32c::crc32c(json)).as_bytes() != crc {
            return Err(wrong());
        }
        Ok(Some(serde_json::from_slice(json)?))
    }

    /// Replaces the checkpoint by this one, durably.
    pub(super) fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        self.write_aside(disk)?;
        Self::replace(disk)?;
        disk.sync_dir("")
    }

    /// Replaces the checkpoint by the one aside; durable when the log directory was synced.
    pub(super) fn replace(disk: &dyn Disk) -> io::Result<()> {
        disk.rename(ASIDE, PATH)
    }

    /// Writes it aside. The one before stays.
    pub(super) fn write_aside(&self, disk: &dyn Disk) -> io::Result<()> {
        let json = serde_json::to_vec(self)?;
        let mut bytes = format!("{TITLE}{:08x}\n", crc32c::crc32c(&json)).into_bytes();
        bytes.extend_from_slice(&json);
        let file = disk.open(ASIDE, Mode::Create)?;
        file.set_len(0)?;
        file.write_at(&bytes, 0)?;
        file.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Simulated;

    #[test]
    fn a_damaged_checkpoint_is_not_taken() {
        let disk = Simulated::new();
        assert_eq!(Checkpoint::read(&disk).unwrap(), None);
        let checkpoint = Checkpoint { epoch: 3, sequence: 9, ..Checkpoint::default() };
        checkpoint.write(&disk).unwrap();
        assert_eq!(Checkpoint::read(&disk).unwrap(), Some(checkpoint));
        disk.flip_bit(PATH, 60);
        assert_eq!(Checkpoint::read(&disk).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
