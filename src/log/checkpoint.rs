//! The checkpoint: what was true of every partition when a frame had been synced.
//!
//! Owns: the file `checkpoint`. What holds: everything it names is durable in the
//! segments; frames up to its sequence are not needed any more.
//!
//! Format: a line `sluice checkpoint <version> <CRC-32C of the rest, 8 hex digits>`, then JSON
//! (`docs/log-format.md`). It is written aside, synced and renamed. Version 2 says that frames may
//! carry a version: a program that knows version 1 only, and would not see them, refuses it.

use std::io;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::appender::Failure;
use super::producer::Known;
use super::shared::Lost;
use crate::disk::{Disk, Mode};

/// See [`Checkpoint::format`].
pub(super) const FORMAT: u32 = 2;

const PATH: &str = "checkpoint";
const ASIDE: &str = "checkpoint.new";
const TITLE: &str = "sluice checkpoint ";

/// The state of the log behind one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// What its parts mean, [`FORMAT`] now. 1: of frames without a version. 0, of versions before
    /// this was written: it tells nothing of what compaction may have replaced either.
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
    /// Whether the directory of the journal was durable before it, with the file that says what is
    /// in it: if the log was not closed they are missed when they are gone. Builds before did not
    /// say so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) journal: bool,
    /// The partitions that have, or had, records.
    pub(super) partitions: Vec<PartitionState>,
}

/// What of a checkpoint says how to read the rest: another version may have other members.
#[derive(Deserialize)]
struct Versioned {
    #[serde(default)]
    format: u32,
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
    /// Those that compaction took away are there, without a byte: none of them is missing. Builds
    /// before removed them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) emptied: bool,
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
    /// `InvalidData`, a version that is not known `Unsupported`.
    pub(super) fn read(disk: &dyn Disk) -> io::Result<Option<Self>> {
        let file = match disk.open(PATH, Mode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        Self::parse(&bytes).map(Some)
    }

    /// The checkpoint that a file holds. Damage is `InvalidData`, a version that is not known
    /// `Unsupported`.
    pub(super) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "its checksum is wrong");
        let rest = bytes.strip_prefix(TITLE.as_bytes()).ok_or_else(wrong)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (version, rest) = rest.split_at_checked(digits).ok_or_else(wrong)?;
        let rest = rest.strip_prefix(b" ").ok_or_else(wrong)?;
        let version = std::str::from_utf8(version).ok().and_then(|text| text.parse().ok());
        let version: u32 = version.ok_or_else(wrong)?;
        let (crc, json) = rest.split_at_checked(9).ok_or_else(wrong)?;
        if format!("{:08x}\n", crc32c::crc32c(json)).as_bytes() != crc {
            return Err(wrong());
        }
        let newest = version.max(serde_json::from_slice::<Versioned>(json)?.format);
        if newest > FORMAT {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "its checkpoint is of format {newest}, and this sluice knows up to {FORMAT}: \
                     start the version that wrote it, or a newer one"
                ),
            ));
        }
        Ok(serde_json::from_slice(json)?)
    }

    /// Replaces the checkpoint by this one, durably.
    pub(super) fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        self.write_aside(disk)?;
        Self::replace(disk)?;
        disk.sync_dir("")
    }

    /// Replaces the checkpoint by the one aside; durable when the log directory was synced.
    fn replace(disk: &dyn Disk) -> io::Result<()> {
        disk.rename(ASIDE, PATH)
    }

    /// Replaces the checkpoint by this one, durably, while others sync too.
    pub(super) fn write_behind(&self, disk: &dyn Disk, lost: &Lost) -> Result<(), Failure> {
        let refused = |error: io::Error| Failure::refused("the checkpoint", &error);
        self.write_aside(disk).map_err(refused)?;
        if lost.is_set() {
            // What it says may have been dropped before it was synced here.
            return Err(Failure::Refused("a sync failed meanwhile".to_owned()));
        }
        Self::replace(disk).map_err(refused)?;
        lost.sync_root(disk).map_err(|error| Failure::of_sync("", &error))
    }

    /// Writes it aside. The one before stays.
    fn write_aside(&self, disk: &dyn Disk) -> io::Result<()> {
        let json = serde_json::to_vec(self)?;
        let mut bytes = format!("{TITLE}{FORMAT} {:08x}\n", crc32c::crc32c(&json)).into_bytes();
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

    fn store(disk: &Simulated, version: &str, json: &str) {
        let crc = crc32c::crc32c(json.as_bytes());
        let text = format!("sluice checkpoint {version} {crc:08x}\n{json}");
        let file = disk.open(PATH, Mode::Create).unwrap();
        file.set_len(0).unwrap();
        file.write_at(text.as_bytes(), 0).unwrap();
    }

    #[test]
    fn older_versions_are_read_and_newer_ones_refused_by_name() {
        let disk = Simulated::new();
        let members = r#""epoch":3,"raised":4,"sequence":9,"salt":77,"clean":true,"partitions":[]"#;
        for (version, format) in [("1", ""), ("1", r#""format":1,"#), ("2", r#""format":2,"#)] {
            store(&disk, version, &format!("{{{format}{members}}}"));
            let read = Checkpoint::read(&disk).unwrap().unwrap();
            assert_eq!((read.sequence, read.salt, read.clean), (9, 77, true));
        }
        for (version, format) in [("3", ""), ("2", r#""format":3,"#), ("12", r#""format":1,"#)] {
            store(&disk, version, &format!("{{{format}{members}}}"));
            let error = Checkpoint::read(&disk).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            assert!(error.to_string().contains("this sluice knows up to 2"), "{error}");
        }
        // The members of a later version need not be those of this one.
        store(&disk, "7", "{}");
        assert_eq!(Checkpoint::read(&disk).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn the_page_about_the_format_shows_a_checkpoint_as_it_is_written() {
        let page = include_str!("../../docs/log-format.md");
        let shown = page.split("```text\n").nth(1).unwrap().split("\n```").next().unwrap();
        let disk = Simulated::new();
        let written = Checkpoint {
            format: FORMAT,
            epoch: 3,
            raised: 4,
            sequence: 9,
            salt: 77,
            clean: true,
            journal: true,
            partitions: Vec::new(),
        };
        written.write(&disk).unwrap();
        let file = disk.open(PATH, Mode::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), shown);
        let state = PartitionState {
            segments: vec![(0, 1)],
            cleaned: 1,
            replaceable: 1,
            emptied: true,
            producers: vec![(1, Known::default())],
            aborted: vec![(1, 2, 3)],
            damaged: Some(0),
            ..PartitionState::default()
        };
        let json = serde_json::to_value(&state).unwrap();
        for member in json.as_object().unwrap().keys() {
            assert!(page.contains(&format!("`{member}`")), "{member} is not on the page");
        }
    }

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
