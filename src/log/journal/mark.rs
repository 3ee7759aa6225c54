//! What the next start has to find of the journal.
//!
//! Owns: `journal/current`. In: the file that frames go to from now on, and the first of them. Out:
//! at a start, what of the journal is not there any more.
//!
//! What holds: it is durable before the first frame is written to that file, and it was there
//! before the first checkpoint that says so ([`Checkpoint::journal`]). All frames before the one
//! that it names were durable then: so frames whose file is gone are missed, however many.
//!
//! Format: a line `sluice journal 1 <CRC-32C of the rest, 8 hex digits>`, then JSON
//! (`docs/log-format.md`). It is written aside, synced and renamed.
//!
//! [`Checkpoint::journal`]: crate::log::checkpoint::Checkpoint::journal

use std::io;

use serde::{Deserialize, Serialize};

use super::file::{WriteError, files, path};
use super::{DIR, Found};
use crate::disk::{Disk, Mode, is_unreadable, was_not_begun};

const PATH: &str = "journal/current";
const ASIDE: &str = "journal/current.new";
const TITLE: &str = "sluice journal 1 ";

/// See the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::log) struct Mark {
    /// The process that wrote it.
    pub(in crate::log) epoch: u64,
    /// The number of the file; 0 before a process has taken one.
    pub(in crate::log) file: u64,
    /// The sequence of the first frame in it. Those before it are durable.
    pub(in crate::log) first: u64,
}

impl Mark {
    fn read(disk: &dyn Disk) -> io::Result<Self> {
        let file = disk.open(PATH, Mode::Read)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        Self::parse(&bytes)
    }

    /// What the file holds. Damage is `InvalidData`.
    pub(in crate::log) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "its checksum is wrong");
        let rest = bytes.strip_prefix(TITLE.as_bytes()).ok_or_else(wrong)?;
        let (crc, json) = rest.split_at_checked(9).ok_or_else(wrong)?;
        if format!("{:08x}\n", crc32c::crc32c(json)).as_bytes() != crc {
            return Err(wrong());
        }
        Ok(serde_json::from_slice(json)?)
    }

    /// Puts it in the place of the one there is; durable when the directory was synced.
    fn put(self, disk: &dyn Disk) -> io::Result<()> {
        let json = serde_json::to_string(&self)?;
        let text = format!("{TITLE}{:08x}\n{json}", crc32c::crc32c(json.as_bytes()));
        let file = disk.open(ASIDE, Mode::Create)?;
        file.set_len(0)?;
        file.write_at(text.as_bytes(), 0)?;
        file.sync()?;
        disk.rename(ASIDE, PATH)
    }

    /// Says it durably, while the log goes on.
    pub(super) fn write(self, disk: &dyn Disk) -> Result<(), WriteError> {
        self.put(disk).map_err(WriteError::Refused)?;
        // The one before holds until then: no frame is in the file that this one names.
        disk.sync_dir(DIR).map_err(|error| {
            if was_not_begun(&error) { WriteError::Refused(error) } else { WriteError::Lost(error) }
        })
    }

    /// Says it durably at a start. Where no checkpoint vouches for the directory, and nothing in it
    /// is needed, that is made anew: its name may have been lost in a sync that failed.
    pub(in crate::log) fn begin(
        self,
        disk: &dyn Disk,
        is_vouched_for: bool,
        is_needed: bool,
    ) -> io::Result<()> {
        if !is_vouched_for && !is_needed {
            disk.remove_dir(DIR)?;
        }
        disk.create_dir(DIR)?;
        self.put(disk)?;
        disk.sync_dir(DIR)?;
        disk.sync_dir("")
    }

    /// Whether there is one, whatever it says.
    pub(in crate::log) fn is_there(disk: &dyn Disk) -> io::Result<bool> {
        Ok(disk.list(DIR)?.iter().any(|entry| PATH.ends_with(&format!("/{}", entry.name))))
    }
}

/// Whether there is the directory of the journal.
pub(in crate::log) fn is_there(disk: &dyn Disk) -> io::Result<bool> {
    Ok(disk.list("")?.iter().any(|entry| entry.is_dir && entry.name == DIR))
}

/// What of the journal is not there, though it was durable: the text for the operator. `raised` is
/// the epoch of the process that wrote the checkpoint.
pub(in crate::log) fn missing(
    disk: &dyn Disk,
    raised: u64,
    found: &Found,
) -> io::Result<Option<String>> {
    if !is_there(disk)? {
        return Ok(Some(format!(
            "the directory {DIR} is missing, and with it what was appended since the checkpoint"
        )));
    }
    let mark = match Mark::read(disk) {
        Ok(mark) => mark,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Some(format!("{PATH} is missing, which says what the journal has")));
        }
        Err(error) if is_unreadable(&error) => return Ok(Some(format!("{PATH}: {error}"))),
        Err(error) => return Err(error),
    };
    let Mark { epoch, file, first } = mark;
    // The process of the checkpoint has not come to a frame, or to a file, of its own.
    if epoch < raised {
        return Ok(None);
    }
    if file > 0 && files(disk)?.iter().all(|(number, _)| *number != file) {
        let path = path(file);
        return Ok(Some(format!("{path} is missing, with the frames from {first} on")));
    }
    let next = found.last() + 1;
    Ok((next < first).then(|| {
        format!(
            "frames {next} to {} of the journal are lost, which were durable: a file of the \
             directory {DIR} is missing or damaged",
            first - 1
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Simulated;

    #[test]
    fn the_page_about_the_format_shows_a_mark_as_it_is_written() {
        let page = include_str!("../../../docs/log-format.md");
        let shown = page.split("```text\n").nth(2).unwrap().split("\n```").next().unwrap();
        let disk = Simulated::new();
        let mark = Mark { epoch: 4, file: 7, first: 1200 };
        mark.begin(&disk, false, false).unwrap();
        let file = disk.open(PATH, Mode::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), shown);
        assert_eq!(Mark::parse(&bytes).unwrap(), mark);
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            if let Some(byte) = wrong.get_mut(at) {
                *byte ^= 1;
            }
            assert!(Mark::parse(&wrong).is_err(), "byte {at}");
        }
    }
}
