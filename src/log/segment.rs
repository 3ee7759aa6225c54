//! One file of record batches, with its indexes.
//!
//! Owns: the file `<20 digits of the base offset>.log`, opened when first used. Batches
//! lie back to back from its first byte; what lies behind `size` is not committed.
//!
//! What holds: bytes below `size` never change while the log is open.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::index::{self, Index, Mark};
use crate::disk::{Disk, File, Mode};
use crate::record::{HEAD_LENGTH, Head};

/// How much is read at once where heads are walked.
const WALK: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Segment {
    disk: Arc<dyn Disk>,
    stem: String,
    base: i64,
    size: AtomicU64,
    /// When its first batch was appended; 0 for one that is not known.
    pub(super) first_append: AtomicI64,
    /// Whether the next checkpoint has to sync it.
    pub(super) dirty: AtomicBool,
    retired: AtomicBool,
    file: RwLock<Option<Arc<File>>>,
    index: RwLock<Index>,
}

impl Segment {
    /// A segment of `dir` that has `size` committed bytes; `sealed` ones have their index
    /// on disk.
    pub(super) fn new(
        disk: &Arc<dyn Disk>,
        dir: &str,
        base: i64,
        size: u64,
        interval: u64,
        sealed: bool,
    ) -> Self {
        let index =
            if sealed { Index::on_disk(base, interval) } else { Index::new(base, interval) };
        Self {
            disk: Arc::clone(disk),
            stem: stem(dir, base),
            base,
            size: AtomicU64::new(size),
            first_append: AtomicI64::new(0),
            dirty: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            file: RwLock::default(),
            index: RwLock::new(index),
        }
    }

    pub(super) fn base(&self) -> i64 {
        self.base
    }

    /// Committed bytes.
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(super) fn path(&self) -> String {
        log_path(&self.stem)
    }

    pub(super) fn stem(&self) -> &str {
        &self.stem
    }

    /// The file, opened for writing where it is not yet open.
    pub(super) fn file(&self) -> io::Result<Arc<File>> {
        if let Some(file) = &*self.file.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(file));
        }
        self.open(Mode::Write)
    }

    /// Makes the file if it is not there.
    pub(super) fn create(&self) -> io::Result<Arc<File>> {
        self.open(Mode::Create)
    }

    fn open(&self, mode: Mode) -> io::Result<Arc<File>> {
        let mut place = self.file.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*place {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(self.disk.open(&self.path(), mode)?);
        *place = Some(Arc::clone(&file));
        Ok(file)
    }

    /// It left its partition: nobody needs it to be durable any more.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Lets the file go; it is opened again when it is used. Not of a retired segment: its
    /// name may be that of another file by then.
    pub(super) fn close(&self) {
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        if !self.is_retired() {
            *file = None;
        }
    }

    /// Takes batches as committed, `size` being the bytes up to the end of the last.
    pub(super) fn commit(&self, marks: &[Mark], size: u64) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for mark in marks {
            index.note(*mark);
        }
        self.size.store(size, Ordering::Release);
    }

    /// Makes it durable with its index. A sealed one is cut behind its last batch first:
    /// its length says where it ends.
    pub(super) fn sync(&self, sealed: bool) -> io::Result<()> {
        match self.sync_files(sealed) {
            Err(_) if self.is_retired() => Ok(()),
            result => result,
        }
    }

    fn sync_files(&self, sealed: bool) -> io::Result<()> {
        if self.is_retired() {
            return Ok(());
        }
        let file = self.file()?;
        if sealed && file.len()? != self.size() {
            file.set_len(self.size())?;
        }
        file.sync()?;
        self.write_index(sealed)
    }

    fn write_index(&self, sealed: bool) -> io::Result<()> {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.write(&*self.disk, &self.stem, sealed)?;
        if sealed {
            index.unload();
        }
        Ok(())
    }

    /// Reads the index back and notes what it lacks. For a log that is being opened.
    pub(super) fn load_index(&self) -> io::Result<()> {
        let size = self.size();
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let from = index.load(&*self.disk, &self.stem, size)?;
        let file = self.file()?;
        let mut first = [0; HEAD_LENGTH];
        if file.read_at(&mut first, 0)? == HEAD_LENGTH
            && let Ok(head) = Head::parse(&first)
        {
            self.first_append.store(head.max_timestamp, Ordering::Relaxed);
        }
        walk(&file, from, size, |position, head| {
            index.note(Mark {
                position,
                size: head.size() as u64,
                last_offset: head.last_offset(),
                max_timestamp: head.max_timestamp,
            });
            true
        })?;
        Ok(())
    }

    /// Retires it with all that reading needs in memory, so that the files may be replaced.
    pub(super) fn pin(&self) -> io::Result<()> {
        {
            let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
            if file.is_none() {
                *file = Some(Arc::new(self.disk.open(&self.path(), Mode::Read)?));
            }
            self.retire();
        }
        self.load_index()
    }

    /// Where to start looking for `offset`.
    pub(super) fn position(&self, offset: i64) -> io::Result<u64> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.position(&*self.disk, &self.stem, offset)
    }

    /// The offset from which on to look for `timestamp`.
    pub(super) fn offset_before(&self, timestamp: i64) -> io::Result<i64> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.offset_before(&*self.disk, &self.stem, timestamp)
    }

    /// The largest timestamp, -1 if there is none.
    pub(super) fn largest_timestamp(&self) -> io::Result<i64> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.largest_timestamp(&*self.disk, &self.stem)
    }
}

/// The path of a segment without its suffix.
pub(super) fn stem(dir: &str, base: i64) -> String {
    format!("{dir}/{base:020}")
}

/// The path of a segment's records.
pub(super) fn log_path(stem: &str) -> String {
    format!("{stem}.log")
}

/// Removes a segment with all that belongs to it.
pub(super) fn remove(disk: &dyn Disk, stem: &str) -> io::Result<()> {
    disk.remove_file(&log_path(stem))?;
    disk.remove_file(&index::offsets_path(stem))?;
    disk.remove_file(&index::times_path(stem))
}

/// The base offset that a file name says, for the records of a segment.
pub(super) fn base_of(name: &str) -> Option<i64> {
    let digits = name.strip_suffix(".log")?;
    if digits.len() == 20 { digits.parse().ok() } else { None }
}

/// Calls `visit` with position and head of each batch that begins at `from` or behind it
/// and ends at `to` at most, until it answers false. Returns the position behind the last
/// whole batch.
pub(super) fn walk(
    file: &File,
    from: u64,
    to: u64,
    mut visit: impl FnMut(u64, &Head) -> bool,
) -> io::Result<u64> {
    let mut buffer = Vec::new();
    let mut start = from;
    let mut position = from;
    loop {
        let skip = usize::try_from(position - start).unwrap_or(usize::MAX);
        if buffer.len() < skip.saturating_add(HEAD_LENGTH) {
            let wanted = usize::try_from((to - position).min(WALK as u64)).unwrap_or(WALK);
            if wanted < HEAD_LENGTH {
                return Ok(position);
            }
            buffer.resize(wanted, 0);
            let read = file.read_at(&mut buffer, position)?;
            buffer.truncate(read);
            start = position;
            if read < HEAD_LENGTH {
                return Ok(position);
            }
            continue;
        }
        let Ok(head) = Head::parse(&buffer[skip..]) else { return Ok(position) };
        let end = position + head.size() as u64;
        if end > to {
            return Ok(position);
        }
        if !visit(position, &head) {
            return Ok(end);
        }
        position = end;
    }
}
