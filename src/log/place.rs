//! Where a partition's files are, and whose they are.
//!
//! Owns: the names of directories in the log directory, and the file `partition.metadata`.
//! A partition is in `<topic>-<number>`. On its way out it is in `<topic id>.<number>-delete`:
//! that name is never too long, and never another topic's.
//!
//! What holds: a directory belongs to the topic whose id is in it. Before a topic's deletion
//! is durable its directories have their other name, durably; a start that finds them so, and
//! the topic not deleted, gives them their name back.
//!
//! Format of `partition.metadata`, Kafka's own (`PartitionMetadataFile`): `version: 0`, and
//! `topic_id:` with the id in base64. It needs no sync of its own: where it is missing or cut
//! the name decides, and it is written again.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::partition::Partition;
use super::shared::Lost;
use super::topic::Topic;
use crate::disk::{Disk, Mode, is_unreadable};

/// The file that names the topic of a directory.
pub(super) const METADATA: &str = "partition.metadata";
/// What the names of directories on their way out end with.
const LEAVING: &str = "-delete";
/// So many bytes of a name are kept in that of a directory which is set aside.
const KEPT_OF_NAME: usize = 100;

/// The directory of a partition.
pub(super) fn dir(topic: &str, number: i32) -> String {
    format!("{topic}-{number}")
}

/// The directory of a partition whose topic is being deleted.
pub(super) fn leaving(id: Uuid, number: i32) -> String {
    format!("{id}.{number}{LEAVING}")
}

/// Whose a directory is that is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// A topic's and partition's.
    Of(Uuid, i32),
    /// A topic's that is gone: earlier versions gave other names.
    OfEarlier,
}

/// Whose a directory is, if its name is that of one on its way out.
pub(super) fn parse_leaving(name: &str) -> Option<Leaving> {
    let rest = name.strip_suffix(LEAVING).filter(|rest| rest.contains('.'))?;
    let parse = |rest: &str| {
        let (id, number) = rest.split_once('.')?;
        Some(Leaving::Of(id.parse().ok()?, number.parse().ok()?))
    };
    Some(parse(rest).unwrap_or(Leaving::OfEarlier))
}

/// Whether a directory is named as a partition's is.
pub(super) fn is_partition(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(topic, number)| {
        !topic.is_empty() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The id in a directory; none where there is none that can be read.
pub(super) fn owner(disk: &dyn Disk, dir: &str) -> io::Result<Option<Uuid>> {
    let file = match disk.open(&format!("{dir}/{METADATA}"), Mode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = [0; 200];
    match file.read_at(&mut bytes, 0) {
        Err(error) if is_unreadable(&error) => Ok(None),
        read => Ok(parse_owner(&bytes[..read?])),
    }
}

fn parse_owner(bytes: &[u8]) -> Option<Uuid> {
    let text = std::str::from_utf8(bytes).ok()?;
    let id = text.lines().find_map(|line| line.strip_prefix("topic_id:"))?;
    Uuid::from_slice(&URL_SAFE_NO_PAD.decode(id.trim()).ok()?).ok()
}

/// Writes whose a directory is.
pub(super) fn set_owner(disk: &dyn Disk, dir: &str, id: Uuid) -> io::Result<()> {
    let file = disk.open(&format!("{dir}/{METADATA}"), Mode::Create)?;
    let text = format!("version: 0\ntopic_id: {}\n", URL_SAFE_NO_PAD.encode(id.as_bytes()));
    file.set_len(0)?;
    file.write_at(text.as_bytes(), 0)
}

/// Sets a directory aside that no topic knows. Its other name is never too long, whatever
/// it was called; it is the answer. Until the log directory is synced that is not durable: who
/// fails to do so puts it back.
pub(super) fn set_aside(disk: &dyn Disk, name: &str, epoch: u64) -> io::Result<String> {
    let kept: String = name.chars().filter(char::is_ascii).take(KEPT_OF_NAME).collect();
    let hash = crc32c::crc32c(name.as_bytes());
    let aside = format!("{kept}.{hash:08x}.{epoch}.unknown");
    tracing::warn!(dir = name, aside, "set a directory aside that no topic knows");
    disk.rename(name, &aside)?;
    Ok(aside)
}

/// Makes sure that the place of a new partition holds nothing, durably: what a power failure
/// brought back there would be taken for the partition's. What fails leaves all as it was.
pub(super) fn claim(disk: &dyn Disk, lost: &Lost, dir: &str, epoch: u64) -> Result<(), Left> {
    let refused = |error| Left::Refused(dir.to_owned(), error);
    if disk.list(dir).map_err(refused)?.is_empty() {
        return Ok(());
    }
    let aside = set_aside(disk, dir, epoch).map_err(refused)?;
    lost.sync_root(disk).map_err(|error| {
        let _ = disk.rename(&aside, dir);
        Left::Lost(String::new(), error)
    })
}

/// Gives the directories of a topic the names they have on their way out, durably. Those that
/// have no directory are passed over. What fails leaves all as it was.
pub(super) fn leave(disk: &dyn Disk, lost: &Lost, topic: &Topic) -> Result<(), Left> {
    let mut moved = Vec::new();
    for partition in topic.all_partitions() {
        match disk.rename(&partition.dir, &leaving(topic.id(), partition.number)) {
            Ok(()) => moved.push(&**partition),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(match put_back(disk, topic.id(), &moved) {
                    Ok(()) => Left::Refused(partition.dir.clone(), error),
                    Err(error) => Left::Lost(partition.dir.clone(), error),
                });
            }
        }
    }
    lost.sync_root(disk).map_err(|error| {
        // Whatever the next start finds is right; until then it can be read.
        let _ = put_back(disk, topic.id(), &moved);
        Left::Lost(String::new(), error)
    })
}

/// Why the directories of a topic have no other names.
pub(super) enum Left {
    /// They are as they were.
    Refused(String, io::Error),
    /// Some have, and some have not; the next start finds out.
    Lost(String, io::Error),
}

/// Gives all directories of a topic their names back.
pub(super) fn come_back(disk: &dyn Disk, lost: &Lost, topic: &Topic) -> io::Result<()> {
    let all: Vec<_> = topic.all_partitions().iter().map(|one| &**one).collect();
    put_back(disk, topic.id(), &all)?;
    lost.sync_root(disk)
}

fn put_back(disk: &dyn Disk, id: Uuid, moved: &[&Partition]) -> io::Result<()> {
    for partition in moved {
        match disk.rename(&leaving(id, partition.number), &partition.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Simulated;

    #[test]
    fn the_id_of_a_directory_is_that_which_kafka_would_read() {
        let disk = Simulated::new();
        disk.create_dir("t-0").unwrap();
        assert_eq!(owner(&disk, "t-0").unwrap(), None);
        set_owner(&disk, "t-0", Uuid::from_u128(1)).unwrap();
        let mut bytes = [0; 100];
        let file = disk.open("t-0/partition.metadata", Mode::Read).unwrap();
        let read = file.read_at(&mut bytes, 0).unwrap();
        // `Uuid.METADATA_TOPIC_ID` as Kafka writes it.
        assert_eq!(&bytes[..read], b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n");
        assert_eq!(owner(&disk, "t-0").unwrap(), Some(Uuid::from_u128(1)));
    }

    #[test]
    fn no_name_of_a_topic_is_taken_for_a_directory_on_its_way_out() {
        let id = Uuid::from_u128(7);
        assert_eq!(parse_leaving(&leaving(id, 3)), Some(Leaving::Of(id, 3)));
        let earlier = format!("t-0.{id}-delete");
        assert_eq!(parse_leaving(&earlier), Some(Leaving::OfEarlier));
        for topic in ["a.b-delete", "x", "a.-delete", &leaving(id, 3), &earlier] {
            assert_eq!(parse_leaving(&dir(topic, 0)), None, "{topic}");
            assert!(is_partition(&dir(topic, 0)), "{topic}");
        }
    }
}
