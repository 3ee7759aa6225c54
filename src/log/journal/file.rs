//! The files of the journal: which is written to, which wait to be used again.
//!
//! Owns: `journal/<20 digits>.journal`. In: encoded frames. Out: their durability.
//!
//! What holds: a file has all its bytes allocated and written before its first frame; the
//! frames of one file follow each other; `retired` files hold frames that the last
//! checkpoint has not passed.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::{DIR, Mark, PAGE, padded};
use crate::disk::{Disk, File, Mode, was_not_begun};

/// [`PAGE`] as a length of slices.
const PAGE_BYTES: usize = 4 << 10;

/// What files are prewritten with.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

#[derive(Debug)]
struct JournalFile {
    number: u64,
    path: String,
    file: Arc<File>,
    length: u64,
    /// The sequence of the last frame in it.
    last: u64,
}

/// The files of the journal.
#[derive(Debug)]
pub(in crate::log) struct Journal {
    disk: Arc<dyn Disk>,
    /// Of this process.
    epoch: u64,
    smallest: u64,
    largest: u64,
    /// How many bytes of files may wait for use; more are removed.
    kept: u64,
    /// The length of the next new file.
    wanted: u64,
    number: u64,
    current: Option<JournalFile>,
    offset: u64,
    retired: VecDeque<JournalFile>,
    spares: Vec<JournalFile>,
}

/// Whether a failed write left the journal fit for more.
#[derive(Debug)]
pub(in crate::log) enum WriteError {
    /// The frame is not there, and the next may be written.
    Refused(io::Error),
    /// Nobody can say what is durable.
    Lost(io::Error),
}

impl Journal {
    /// Takes over the files that are there. Those of `in_use` hold frames that no checkpoint
    /// has passed, and are synced: a process that was killed may have left them to the system.
    /// Behind a clean stop nothing is.
    pub(in crate::log) fn new(
        disk: &Arc<dyn Disk>,
        epoch: u64,
        smallest: u64,
        largest: u64,
        kept: u64,
        in_use: &[(String, u64)],
        unclean: bool,
    ) -> io::Result<Self> {
        let there = files(&**disk)?;
        let mut journal = Self {
            disk: Arc::clone(disk),
            epoch,
            smallest,
            largest,
            kept,
            wanted: smallest,
            number: 0,
            current: None,
            offset: 0,
            retired: VecDeque::new(),
            spares: Vec::new(),
        };
        for (number, path) in there {
            journal.number = journal.number.max(number);
            let file = Arc::new(disk.open(&path, Mode::Write)?);
            let length = file.len()? / PAGE * PAGE;
            match in_use.iter().find(|(used, _)| *used == path) {
                Some((_, last)) => {
                    file.sync()?;
                    let last = *last;
                    journal.retired.push_back(JournalFile { number, path, file, length, last });
                }
                None => journal.reuse(JournalFile { number, path, file, length, last: 0 })?,
            }
        }
        journal.retired.make_contiguous().sort_unstable_by_key(|file| file.last);
        if unclean {
            // A process that was killed may have left names that a later crash would take.
            disk.sync_dir(DIR)?;
            disk.sync_dir("")?;
        }
        Ok(journal)
    }

    /// Writes a frame and syncs it.
    pub(in crate::log) fn write(
        &mut self,
        frame: &mut Vec<u8>,
        sequence: u64,
    ) -> Result<(), WriteError> {
        let length = padded(frame.len() as u64);
        frame.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        let current = self.room(length, sequence)?;
        let file = Arc::clone(&current.file);
        if let Err(error) = file.write_at(frame, self.offset) {
            // A part of it may be there, and a later frame of this sequence in another
            // file: make sure that this one never counts.
            let wiped = file.write_at(&ZEROS[..PAGE_BYTES], self.offset);
            return match wiped.and_then(|()| file.sync()) {
                Ok(()) => Err(WriteError::Refused(error)),
                Err(_) => Err(WriteError::Lost(error)),
            };
        }
        file.sync().map_err(WriteError::Lost)?;
        if let Some(current) = &mut self.current {
            current.last = sequence;
        }
        self.offset += length;
        Ok(())
    }

    /// The file that has room at `offset` for the frame `sequence` of `length` bytes.
    fn room(&mut self, length: u64, sequence: u64) -> Result<&mut JournalFile, WriteError> {
        let fits = |file: &JournalFile, offset: u64| file.length >= offset + length;
        if !self.current.as_ref().is_some_and(|file| fits(file, self.offset)) {
            // The smallest that will do: they stand in falling order.
            let spare = self.spares.iter().rposition(|file| fits(file, 0));
            let next = match spare {
                Some(at) => self.spares.remove(at),
                None => match self.make(length.max(self.wanted)) {
                    Err(WriteError::Refused(error))
                        if error.kind() == io::ErrorKind::StorageFull =>
                    {
                        self.make(length.max(self.smallest))?
                    }
                    made => made?,
                },
            };
            let mark = Mark { epoch: self.epoch, file: next.number, first: sequence };
            if let Err(error) = mark.write(&*self.disk) {
                self.keep(next);
                return Err(error);
            }
            self.retired.extend(self.current.replace(next));
            self.offset = 0;
        }
        let none = || WriteError::Refused(io::ErrorKind::NotFound.into());
        self.current.as_mut().ok_or_else(none)
    }

    /// A new file, prewritten.
    fn make(&mut self, length: u64) -> Result<JournalFile, WriteError> {
        let length = padded(length);
        let number = self.number + 1;
        let path = path(number);
        let opened = self.disk.open(&path, Mode::Create).map_err(WriteError::Refused)?;
        let file = Arc::new(opened);
        if let Err(error) = prewrite(&file, length) {
            // Whatever is left of it is taken over at the next start.
            let _ = self.disk.remove_file(&path);
            return Err(WriteError::Refused(error));
        }
        // What a failed sync held is dropped, the names of other files of the journal too.
        self.disk.sync_dir(DIR).map_err(|error| {
            if !was_not_begun(&error) {
                return WriteError::Lost(error);
            }
            let _ = self.disk.remove_file(&path);
            WriteError::Refused(error)
        })?;
        self.number = number;
        self.wanted = (self.wanted * 2).min(self.largest);
        Ok(JournalFile { number, path, file, length, last: 0 })
    }

    /// A checkpoint has passed `sequence`: files with older frames are used again.
    pub(in crate::log) fn passed(&mut self, sequence: u64) -> io::Result<()> {
        while self.retired.front().is_some_and(|file| file.last <= sequence) {
            if let Some(file) = self.retired.pop_front() {
                self.reuse(file)?;
            }
        }
        Ok(())
    }

    /// A checkpoint has passed all frames, and none follows: leaves what the next start keeps.
    pub(in crate::log) fn end(&mut self) -> io::Result<()> {
        self.retired.extend(self.current.take());
        self.passed(u64::MAX)
    }

    /// Keeps a file to use it again, the larger ones before the smaller ones.
    fn keep(&mut self, file: JournalFile) {
        self.spares.push(file);
        self.spares.sort_unstable_by_key(|file| std::cmp::Reverse(file.length));
    }

    /// The same, and removes what is more than is kept.
    fn reuse(&mut self, file: JournalFile) -> io::Result<()> {
        self.keep(file);
        while self.spares.iter().map(|file| file.length).sum::<u64>() > self.kept {
            let Some(surplus) = self.spares.pop() else { break };
            self.disk.remove_file(&surplus.path)?;
        }
        Ok(())
    }
}

fn prewrite(file: &File, length: u64) -> io::Result<()> {
    let mut at = 0;
    while at < length {
        let part = (length - at).min(ZEROS.len() as u64);
        file.write_at(&ZEROS[..usize::try_from(part).unwrap_or(0)], at)?;
        at += part;
    }
    file.sync()
}

pub(super) fn path(number: u64) -> String {
    format!("{DIR}/{number:020}.journal")
}

/// Removes the files that are not in use, after a stop that was not clean. Their names may have
/// been lost in a sync that failed: they are seen, and no later sync makes them durable. Those in
/// use got their first frame only after that sync.
pub(in crate::log) fn remove_unused(disk: &dyn Disk, in_use: &[(String, u64)]) -> io::Result<()> {
    for (_, path) in files(disk)? {
        if in_use.iter().all(|(used, _)| *used != path) {
            disk.remove_file(&path)?;
        }
    }
    Ok(())
}

/// Whether there is any file of the journal.
pub(in crate::log) fn are_there(disk: &dyn Disk) -> io::Result<bool> {
    Ok(!files(disk)?.is_empty())
}

/// Numbers and paths of the files there are.
pub(super) fn files(disk: &dyn Disk) -> io::Result<Vec<(u64, String)>> {
    let entries = disk.list(DIR)?;
    let number = |name: &str| name.strip_suffix(".journal")?.parse().ok();
    Ok(entries.iter().filter_map(|entry| number(&entry.name).map(|n| (n, path(n)))).collect())
}
