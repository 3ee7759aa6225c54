//! The index of a segment, between memory and its files.
//!
//! In: batches as they are published; questions by offset and by time. Out: where to start reading.
//!
//! What holds: the index in memory is locked for moments only, never while the disk is waited for:
//! what is published goes into it, and who reads at the end asks it. What files have is asked, and
//! written, beside that. An entry that no batch bears out shows that an index is damaged; it is
//! made again.

use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::{Access, NOT_READ, Segment, damaged, walk};
use crate::disk::{File, is_unreadable};
use crate::log::index::{Entries, Found, Index, Mark, OnFiles};
use crate::record::{HEAD_LENGTH, Head};

/// So much of a segment may be walked while all wait for its index.
const LITTLE: u64 = 256 << 10;

impl Segment {
    /// Takes batches as committed, `size` being the bytes up to the end of the last.
    pub(in crate::log) fn commit(&self, marks: &[Mark], size: u64) {
        self.change_index(|index| {
            for mark in marks {
                if mark.position == 0 {
                    self.first_time.store(mark.max_timestamp.max(-1), Ordering::Relaxed);
                }
                index.note(*mark);
            }
            self.size.store(size, Ordering::Release);
        });
    }

    fn look<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change_index<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes what the files lack, if that is worth it, durably; of a sealed one all.
    pub(super) fn write_index(&self, sealed: bool) -> io::Result<()> {
        let _files = self.index_files.read().unwrap_or_else(PoisonError::into_inner);
        if !sealed && self.look(Index::lacks_little) {
            return Ok(());
        }
        self.write_lacking(sealed)
    }

    fn write_lacking(&self, sealed: bool) -> io::Result<()> {
        let unwritten = self.change_index(|index| index.unwritten(sealed));
        if let Some(unwritten) = unwritten {
            unwritten.write(&*self.disk, &self.stem)?;
            self.change_index(|index| index.wrote(&unwritten));
        }
        if sealed {
            self.change_index(Index::unload);
        }
        Ok(())
    }

    /// Reads the index back and notes what it lacks. For a log that is being opened.
    pub(in crate::log) fn load_index(&self) -> io::Result<()> {
        let loaded = self.load(Entries::Written)?;
        self.change_index(|index| *index = loaded);
        Ok(())
    }

    /// Takes its index into memory, so that its files may be replaced.
    pub(in crate::log) fn keep_index(&self) -> io::Result<()> {
        let _files = self.index_files.write().unwrap_or_else(PoisonError::into_inner);
        let mut loaded = self.load(Entries::Kept)?;
        loaded.hold();
        self.change_index(|index| *index = loaded);
        Ok(())
    }

    fn load(&self, entries: Entries) -> io::Result<Index> {
        let size = self.size();
        let mut index = self.look(Index::anew);
        let file = self.file()?;
        let mut first = [0; HEAD_LENGTH];
        if file.read_at(&mut first, 0)? == HEAD_LENGTH
            && let Ok(head) = Head::parse(&first)
        {
            self.first_time.store(head.max_timestamp.max(-1), Ordering::Relaxed);
        }
        let from = match index.load(&*self.disk, &self.stem, size, entries) {
            Err(error) if is_unreadable(&error) => {
                index.clear();
                0
            }
            from => from?,
        };
        if Noting::from(from).note(&mut index, &file, size).is_err() {
            // What was read back may be what is wrong.
            index.clear();
            Noting::from(0).note(&mut index, &file, size)?;
        }
        Ok(index)
    }

    /// Makes the index again if it does not fit the batches. True if it did not.
    pub(in crate::log) fn mend_index(&self) -> io::Result<bool> {
        let (sealed, mut stored) = {
            let _files = self.index_files.read().unwrap_or_else(PoisonError::into_inner);
            let files = |index: &Index| (index.is_on_disk(), index.files(&*self.disk, &self.stem));
            let (sealed, files) = self.look(files);
            (sealed, files.stored()?)
        };
        walk(&*self.file()?, 0, self.found, |position, head| {
            stored.compare(Mark::of(position, head));
            true
        })?;
        if stored.fits(self.found == self.size(), sealed) {
            return Ok(false);
        }
        self.remake_index()?;
        Ok(true)
    }

    pub(in crate::log) fn remake_index(&self) -> io::Result<()> {
        let file = self.file()?;
        let mut made = self.look(Index::anew);
        let mut noting = Noting::from(0);
        let mut size = 0;
        while self.size() - size > LITTLE {
            size = self.size();
            noting.note(&mut made, &file, size)?;
        }
        let _files = self.index_files.write().unwrap_or_else(PoisonError::into_inner);
        let sealed = self.change_index(|index| {
            // What was published meanwhile.
            noting.note(&mut made, &file, self.size())?;
            let sealed = index.is_on_disk();
            if index.is_held() {
                made.hold();
            }
            *index = made;
            let largest = index.largest_timestamp().filter(|_| sealed);
            self.largest.store(largest.unwrap_or(NOT_READ), Ordering::Release);
            io::Result::Ok(sealed)
        })?;
        // Its files may be those of another by now.
        if !self.is_retired()
            && let Err(error) = self.write_lacking(sealed)
        {
            tracing::warn!(%error, path = self.path(), "an index stays in memory");
        }
        Ok(())
    }

    /// Where to start looking for `offset`: at a batch that is not behind it. An entry of the
    /// index that no batch bears out shows that the index is damaged; it is made again.
    pub(in crate::log) fn position(&self, offset: i64, access: Access) -> io::Result<u64> {
        if let Some(position) = self.indexed(offset, access)? {
            return Ok(position);
        }
        if access == Access::Cached {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        tracing::warn!(path = self.path(), "an index was damaged, and is made again");
        self.remake_index()?;
        Ok(self.indexed(offset, access)?.unwrap_or(0))
    }

    /// `None` if the index is damaged.
    fn indexed(&self, offset: i64, access: Access) -> io::Result<Option<u64>> {
        let known = |index: &Index| index.position(offset);
        let found = match access {
            Access::Cached => self.look(known).ok_or_else(|| io::ErrorKind::WouldBlock.into()),
            Access::Any => self.ask(known, |files| files.position(offset)),
        };
        let found = match found {
            Err(error) if is_unreadable(&error) => return Ok(None),
            found => found?,
        };
        let Found { position, last, in_memory } = found;
        if found == Found::FRONT || (in_memory && position >= self.found) {
            return Ok(Some(position));
        }
        let (file, mut head) = (self.file_for(access)?, [0; HEAD_LENGTH]);
        let read = match access {
            Access::Cached => file.read_cached(&mut head, position)?,
            Access::Any => file.read_at(&mut head, position)?,
        };
        let head = Head::parse(&head[..read]);
        Ok(head.is_ok_and(|head| head.last_offset() == last).then_some(position))
    }

    /// Asks the files where memory does not know.
    fn ask<T>(
        &self,
        memory: impl Fn(&Index) -> Option<T>,
        files: impl FnOnce(&OnFiles<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        if let Some(known) = self.look(&memory) {
            return Ok(known);
        }
        let _files = self.index_files.read().unwrap_or_else(PoisonError::into_inner);
        let on_files = self.look(|index| match memory(index) {
            Some(known) => Ok(known),
            None => Err(index.files(&*self.disk, &self.stem)),
        });
        on_files.or_else(|on_files| files(&on_files))
    }

    /// How many entries of its indexes are in memory.
    #[cfg(test)]
    pub(in crate::log) fn index_entries(&self) -> usize {
        self.look(Index::in_memory)
    }

    /// The offset from which on to look for `timestamp`.
    pub(in crate::log) fn offset_before(&self, timestamp: i64) -> io::Result<i64> {
        self.ask(|index| index.offset_before(timestamp), |files| files.offset_before(timestamp))
    }

    /// The largest timestamp, -1 if there is none.
    pub(in crate::log) fn largest_timestamp(&self) -> io::Result<i64> {
        if let Some(known) = self.known_largest_timestamp() {
            return Ok(known);
        }
        self.ask(Index::largest_timestamp, |files| {
            let largest = files.largest_timestamp()?;
            self.largest.store(largest.max(-1), Ordering::Release);
            Ok(largest)
        })
    }

    /// The same, if nothing has to be read for it.
    pub(in crate::log) fn known_largest_timestamp(&self) -> Option<i64> {
        let known = self.largest.load(Ordering::Acquire);
        if known != NOT_READ {
            return Some(known);
        }
        self.look(Index::largest_timestamp)
    }
}

/// Notes batches in an index, as far as they follow each other.
struct Noting {
    position: u64,
    next: i64,
}

impl Noting {
    /// From a batch at `position` on.
    fn from(position: u64) -> Self {
        Self { position, next: i64::MIN }
    }

    /// Notes those below `size`. Fails with the place where none follows.
    fn note(&mut self, index: &mut Index, file: &File, size: u64) -> io::Result<()> {
        let mut wrong = None;
        let end = walk(file, self.position, size, |position, head| {
            if head.base_offset < self.next {
                wrong = Some(position);
                return false;
            }
            self.next = head.last_offset() + 1;
            index.note(Mark::of(position, head));
            true
        })?;
        self.position = wrong.unwrap_or(end);
        if self.position == size { Ok(()) } else { Err(damaged(self.position)) }
    }
}
