//! One file of record batches, with its indexes.
//!
//! Owns: the file `<20 digits of the base offset>.log`, opened when first used. Batches
//! lie back to back from its first byte; what lies behind `size` is not committed.
//!
//! What holds: bytes below `size` never change while the log is open. Those below `found`
//! were there before this process: they are not believed unseen (`reader`, `damage`).
//!
//! The life of a segment. All changes are the appender's, but where another is named:
//!
//! | it is | from | until | durable by |
//! |---|---|---|---|
//! | begun | its first chunk joins a group (`group`) | the group is published, or refused: then its file goes (`flush`) | nothing: no frame names it |
//! | active | its group is published: the last of the partition's list, and the tail's | a batch does not fit any more, or retention takes it (`topics`) | frames; the next checkpoint syncs it while it is `dirty` |
//! | sealed | the next one is published: among the appender's `sealed` | a checkpoint, which cuts and syncs it and writes its index to the end (the keeper) | frames, then the checkpoint |
//! | whole | that checkpoint is durable: its index is on disk only | it is retired or buried | the checkpoint |
//! | retired | the partition's start moved behind it (`topics`), or a compacted one takes its place (`compactions`): it left the list | its last reader is done | nobody needs it |
//! | buried | its topic was deleted (`topics`) | its last reader is done; it is never opened again | nobody needs it |
//!
//! Beside that: the name of a file, and that of its directory, are durable (`named`) when a
//! checkpoint synced them, or the group that has bytes of it by reference. Until then all of it is
//! in the journal, and a start makes it anew. The file that was written to stays open (`unsynced`)
//! until a checkpoint has synced it, or the group does where far too many are open. A rolled
//! partition of a compacted topic is `rolled` until a checkpoint takes it up, `compactable` until
//! that is durable, and then `compacting` (`housekeeping`, `compactions`). A retired one whose
//! place could not be taken is whole again. The file of one that is not active is closed now and
//! then, and opened again by who reads it; not of a retired one, whose name may be that of another
//! file by then, of a topic of the same name even: who did not have it open looks again into the
//! partition's list. Files are removed when a checkpoint has passed the frame of the change
//! (`housekeeping`).

mod indexed;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::appender::Failure;
use super::damage::Damage;
use super::index::{self, Index};
use super::shared::Lost;
use super::syncing::{self, Hurry};
use crate::clock::Moment;
use crate::disk::{Disk, File, Mode, is_unreadable, parent};
use crate::record::{HEAD_LENGTH, Head};

/// How much is read at once where heads are walked.
const WALK: usize = 256 << 10;

/// So long a directory may be away, at most, and how often that is looked at.
const AWAY: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A timestamp of a segment that was not read yet.
const NOT_READ: i64 = i64::MIN;

/// From where what is read may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Memory only: `WouldBlock` where the disk would have to be asked.
    Cached,
    /// Wherever it is.
    Any,
}

/// Whether a segment is its partition's: see the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Begun, active, sealed or whole.
    Listed,
    Retired,
    Buried,
}

#[derive(Debug)]
pub(super) struct Segment {
    disk: Arc<dyn Disk>,
    stem: String,
    base: i64,
    size: AtomicU64,
    /// What of it was there when it was opened.
    found: u64,
    /// The largest timestamp of a sealed one, once it was read from its index.
    largest: AtomicI64,
    /// The time of its first batch; [`NOT_READ`] if that is not known.
    first_time: AtomicI64,
    /// When its first batch was appended, by the steady clock; [`NOT_READ`] if that is not known.
    begun: AtomicI64,
    /// When it was last appended to, by the clock of the wall; [`NOT_READ`] if that is not known.
    /// Of no use where a record has a time.
    modified: AtomicI64,
    /// Whether the next checkpoint has to sync it.
    pub(super) dirty: AtomicBool,
    life: AtomicU8,
    /// Whether its name is durable, and that of its directory.
    named: AtomicBool,
    /// Whether it was written to, and no checkpoint has synced that yet.
    unsynced: AtomicBool,
    /// How often its directory left its place or came back: odd while it is not there.
    moves: AtomicU32,
    file: RwLock<Option<Arc<File>>>,
    /// Who syncs its records.
    syncing: Mutex<()>,
    /// Not held while anything waits for the disk.
    index: RwLock<Index>,
    /// Held by who looks into the files of the index, or adds to them; alone by who replaces what
    /// they have.
    index_files: RwLock<()>,
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
            found: size,
            largest: AtomicI64::new(NOT_READ),
            first_time: AtomicI64::new(NOT_READ),
            begun: AtomicI64::new(NOT_READ),
            modified: AtomicI64::new(NOT_READ),
            dirty: AtomicBool::new(false),
            life: AtomicU8::new(Life::Listed as u8),
            named: AtomicBool::new(true),
            unsynced: AtomicBool::new(false),
            moves: AtomicU32::new(0),
            file: RwLock::default(),
            syncing: Mutex::default(),
            index: RwLock::new(index),
            index_files: RwLock::default(),
        }
    }

    /// One whose name is not durable yet.
    pub(super) fn unnamed(self) -> Self {
        Self { named: AtomicBool::new(false), ..self }
    }

    pub(super) fn is_named(&self) -> bool {
        self.named.load(Ordering::Acquire)
    }

    pub(super) fn base(&self) -> i64 {
        self.base
    }

    /// Its first batch was appended, at this moment of the steady clock.
    pub(super) fn begin(&self, steady: i64) {
        self.begun.store(steady, Ordering::Relaxed);
    }

    /// How many milliseconds ago its first batch was appended, if that is known. Of one that was
    /// read back the time of that batch tells, as far as it does not lie ahead.
    pub(super) fn age(&self, now: Moment) -> Option<i64> {
        let mut begun = self.begun.load(Ordering::Relaxed);
        if begun == NOT_READ {
            let first = self.first_time.load(Ordering::Relaxed);
            if first <= 0 {
                return None;
            }
            begun = now.steady - now.earliest.saturating_sub(first).max(0);
            self.begun.store(begun, Ordering::Relaxed);
        }
        Some(now.steady - begun)
    }

    /// Records without a time were appended, at this moment since 1970.
    pub(super) fn modify(&self, now: i64) {
        self.modified.store(now, Ordering::Release);
    }

    /// Reads the time of its newest record; where none has a time, when the file was last written
    /// to.
    pub(super) fn read_time(&self) -> io::Result<()> {
        if self.largest_timestamp()? < 0 && self.known_time().is_none() {
            let modified = self.file()?.modified()?;
            // What is appended meanwhile is newer.
            let (unread, order) = (NOT_READ, Ordering::AcqRel);
            let _ = self.modified.compare_exchange(unread, modified, order, Ordering::Acquire);
        }
        Ok(())
    }

    /// That time, if nothing has to be read for it; -1 if there is no record.
    pub(super) fn known_time(&self) -> Option<i64> {
        let largest = self.known_largest_timestamp()?;
        if largest >= 0 || self.size() == 0 {
            return Some(largest);
        }
        Some(self.modified.load(Ordering::Acquire)).filter(|one| *one != NOT_READ)
    }

    /// Committed bytes.
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// The bytes of it that were there before this process, or before compaction wrote it.
    pub(super) fn found(&self) -> u64 {
        self.found
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

    /// The file, if there is one without waiting: `WouldBlock` where it has to be opened.
    pub(super) fn file_for(&self, access: Access) -> io::Result<Arc<File>> {
        match access {
            Access::Any => self.file(),
            Access::Cached => {
                // Who opens it holds that.
                let file = self.file.try_read().ok();
                let file = file.and_then(|file| file.as_ref().map(Arc::clone));
                file.ok_or_else(|| io::ErrorKind::WouldBlock.into())
            }
        }
    }

    /// The file, to append to it, and whether it stays open until a checkpoint has synced it. Where
    /// far too many are open it does not: who writes to it then syncs it while he has it.
    pub(super) fn file_to_write(&self, mode: Mode) -> io::Result<(Arc<File>, bool)> {
        let mut place = self.file.write().unwrap_or_else(PoisonError::into_inner);
        let file = match &*place {
            Some(file) => Arc::clone(file),
            None if self.is_retired() => return Err(io::ErrorKind::NotFound.into()),
            None => Arc::new(self.disk.open(&self.path(), mode)?),
        };
        if place.is_none() && self.disk.files().are_too_many() {
            return Ok((file, false));
        }
        *place = Some(Arc::clone(&file));
        self.unsynced.store(true, Ordering::Release);
        Ok((file, true))
    }

    /// It was written to through this file, which stays open until a checkpoint has synced it.
    pub(super) fn was_written(&self, file: File) {
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(file));
        self.unsynced.store(true, Ordering::Release);
    }

    /// A checkpoint has synced all that was written.
    pub(super) fn synced(&self) {
        self.unsynced.store(false, Ordering::Release);
    }

    pub(super) fn is_unsynced(&self) -> bool {
        self.unsynced.load(Ordering::Acquire)
    }

    fn open(&self, mode: Mode) -> io::Result<Arc<File>> {
        let mut place = self.file.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*place {
            return Ok(Arc::clone(file));
        }
        if self.is_retired() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = Arc::new(self.disk.open(&self.path(), mode)?);
        // Where too many are open, it is opened for each use.
        if !self.disk.files().are_many() {
            *place = Some(Arc::clone(&file));
        }
        Ok(file)
    }

    /// It left its partition: nobody needs it to be durable any more.
    pub(super) fn retire(&self) {
        let _unopened = self.file.write().unwrap_or_else(PoisonError::into_inner);
        self.become_one(Life::Retired);
    }

    /// Its topic was deleted: nobody opens it any more.
    pub(super) fn bury(&self) {
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        self.become_one(Life::Buried);
        *file = None;
    }

    fn become_one(&self, life: Life) {
        self.life.store(life as u8, Ordering::Release);
    }

    fn is(&self, life: Life) -> bool {
        self.life.load(Ordering::Acquire) == life as u8
    }

    /// Whether it left its partition: retired, or buried.
    pub(super) fn is_retired(&self) -> bool {
        !self.is(Life::Listed)
    }

    /// Lets the file go; it is opened again when it is used. Not of a retired segment: its
    /// name may be that of another file by then. Nor of one that waits for its sync: the system
    /// tells an error of writing back to those who have the file open, and need not tell it to who
    /// opens it later (`mm/filemap.c`, `file_check_and_advance_wb_err`; the inode may be gone).
    pub(super) fn close(&self) {
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        if !self.is_retired() && !self.is_unsynced() {
            *file = None;
        }
    }

    /// The same whatever was written to it: nothing of that counts.
    pub(super) fn let_go(&self) {
        self.synced();
        self.close();
    }

    /// Its directory leaves its place, or has come back.
    pub(super) fn moves(&self) {
        self.moves.fetch_add(1, Ordering::AcqRel);
    }

    /// How often it did.
    pub(super) fn moved(&self) -> u32 {
        self.moves.load(Ordering::Acquire)
    }

    /// Whether its directory was away since it had `moved` so often; waits until it is back, or
    /// gone for good.
    pub(super) fn was_away(&self, moved: u32, lost: &Lost) -> bool {
        let until = Instant::now() + AWAY;
        while self.moved() % 2 == 1 && !self.is_retired() {
            if lost.is_set() || Instant::now() > until {
                return false;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        self.is_retired() || self.moved() != moved
    }

    /// Makes it durable with its index. A sealed one is cut behind its last batch first:
    /// its length says where it ends. Tells damage of a file that is not there any more.
    pub(super) fn sync(&self, sealed: bool, lost: &Lost) -> Result<Option<Damage>, Failure> {
        match self.sync_files(sealed, lost) {
            _ if self.is_retired() => Ok(None),
            result => result,
        }
    }

    /// A failed sync drops what it held, whatever the system calls the error: no later one
    /// makes up for it. Only the index, and the cut, can be made again.
    fn sync_files(&self, sealed: bool, lost: &Lost) -> Result<Option<Damage>, Failure> {
        if self.is_retired() {
            return Ok(None);
        }
        let refused = |error: io::Error| Failure::refused(&self.path(), &error);
        let file = match self.file() {
            Err(error) if is_unreadable(&error) => return Ok(Some(Damage::of(self, &error))),
            file => file.map_err(refused)?,
        };
        let cut = match file.len() {
            Ok(length) if sealed && length != self.size() => file.set_len(self.size()),
            length => length.map(drop),
        };
        self.sync_records(&file, lost)?;
        match cut {
            Err(error) if is_unreadable(&error) => return Ok(Some(Damage::of_write(self, &error))),
            cut => cut.map_err(refused)?,
        }
        match self.write_index(sealed) {
            // Its directory was removed, and its file with it, though that is open.
            Err(error) if is_unreadable(&error) => Ok(Some(Damage::of(self, &error))),
            written => written.map(|()| None).map_err(refused),
        }
    }

    /// Makes its records durable. A sync that failed is known to all before the next one of it
    /// begins, whichever thread's.
    pub(super) fn sync_records(&self, file: &File, lost: &Lost) -> Result<(), Failure> {
        let synced = lost.sync(&self.syncing, || file.sync());
        synced.map_err(|error| Failure::of_sync(&self.path(), &error))
    }

    /// Retires it with its file open, so that the files may be replaced, after
    /// [`keep_index`](Self::keep_index).
    pub(super) fn retire_open(&self) -> io::Result<()> {
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        if file.is_none() {
            *file = Some(Arc::new(self.disk.open(&self.path(), Mode::Read)?));
        }
        self.become_one(Life::Retired);
        Ok(())
    }

    /// It stays after all.
    pub(super) fn unretire(&self) {
        self.become_one(Life::Listed);
    }

    /// The largest timestamp of the first batch; -1 if there is no batch, or no time in it.
    pub(super) fn first_timestamp(&self) -> io::Result<i64> {
        let mut head = [0; HEAD_LENGTH];
        if self.size() < HEAD_LENGTH as u64 {
            return Ok(-1);
        }
        self.file()?.read_exact_at(&mut head, 0)?;
        let head = Head::parse(&head).map_err(|_| damaged(0))?;
        let first = head.max_timestamp.max(-1);
        self.first_time.store(first, Ordering::Relaxed);
        Ok(first)
    }

    /// The same, if nothing has to be read for it.
    pub(super) fn known_first_timestamp(&self) -> Option<i64> {
        let known = self.first_time.load(Ordering::Relaxed);
        if self.size() < HEAD_LENGTH as u64 {
            Some(-1)
        } else {
            Some(known).filter(|one| *one != NOT_READ)
        }
    }
}

/// Makes the names of segments durable: each directory is synced once, and last the log directory,
/// which names the others. Tells those whose directory is not there.
pub(super) fn sync_names<'a>(
    disk: &dyn Disk,
    lost: &Lost,
    segments: impl Iterator<Item = &'a Arc<Segment>>,
    hurry: Hurry<'_>,
) -> Result<Vec<Arc<Segment>>, Failure> {
    let mut dirs: BTreeMap<&str, Vec<&Arc<Segment>>> = BTreeMap::new();
    for segment in segments.filter(|one| !one.is_named() && !one.is_retired()) {
        dirs.entry(parent(segment.stem())).or_default().push(segment);
    }
    if dirs.is_empty() {
        return Ok(Vec::new());
    }
    let absent: Mutex<Vec<&str>> = Mutex::default();
    let all: Vec<&str> = dirs.keys().copied().collect();
    syncing::each(&all, hurry, |dir| match lost.sync_dir(disk, dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            absent.lock().unwrap_or_else(PoisonError::into_inner).push(dir);
            Ok(())
        }
        Err(error) => Err(Failure::of_sync(dir, &error)),
    })?;
    let absent = absent.into_inner().unwrap_or_else(PoisonError::into_inner);
    let missing = absent.into_iter().filter_map(|dir| dirs.remove(dir)).flatten().cloned();
    let missing: Vec<Arc<Segment>> = missing.collect();
    lost.sync_dir(disk, "").map_err(|error| Failure::of_sync("", &error))?;
    for segment in dirs.into_values().flatten() {
        segment.named.store(true, Ordering::Release);
    }
    Ok(missing)
}

/// The error of a place in a segment where no batch is.
pub(super) fn damaged(position: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the batch at byte {position} is not as it was written"),
    )
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
