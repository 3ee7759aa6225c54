//! Compaction: of each key the newest record stays. It is Kafka's (`Cleaner.java`).
//!
//! In: the sealed segments of a partition that a checkpoint has passed. Out: for each that
//! changes, files aside in [`DIR`], which the appender puts in its place; none where nothing
//! stayed.
//!
//! What holds: offsets stay as they were. A run looks at the keys from where the last one
//! came to, as far as its memory reaches or to a batch that cannot be looked into, and then
//! takes from all segments up to there what has a newer record. A tombstone that it leaves
//! gets a delete horizon, and goes in a run after that: by then what it deleted is gone.
//! Segments are handed over oldest first; if one cannot be put in its place, none behind it
//! is. Control batches and those of aborted transactions are kept whole, and no key in them
//! counts.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

use super::Aborted;
use super::damage::Damage;
use super::index::{self, Index, Mark};
use super::scan;
use super::segment::{self, Segment, log_path, remove};
use super::watermarks::Slot;
use crate::clock::Moment;
use crate::disk::{Disk, File, Mode, is_unreadable};
use crate::record::{BatchView, RecordView, Rewritten};

/// Where segments are built. What is left in it by a crash is deleted.
pub(super) const DIR: &str = "compacted";

/// What names end with that [`place_again`] gives in between.
pub(super) const MOVING: &str = ".moving";

/// How much of a segment is in memory at once, or one batch.
const PIECE: u64 = 1 << 20;

/// What to compact.
#[derive(Debug)]
pub(super) struct CompactionJob {
    pub(super) slot: Slot,
    pub(super) topic: Uuid,
    pub(super) number: i32,
    /// Oldest first: sealed ones, which a checkpoint has passed.
    pub(super) segments: Vec<Arc<Segment>>,
    /// No record from here on is looked at.
    pub(super) end: i64,
    /// How far the runs before it came.
    pub(super) cleaned: i64,
    pub(super) aborted: Vec<Aborted>,
    /// How many keys may be in memory.
    pub(super) keys: usize,
    pub(super) now: Moment,
    pub(super) delete_retention_ms: i64,
    pub(super) interval: u64,
    /// Set by the appender when it does not want the rest.
    pub(super) stop: Arc<AtomicBool>,
}

/// An old segment and what is to stand in its place.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) old: Arc<Segment>,
    pub(super) new: Option<Built>,
}

/// The files of a segment, aside, with its index.
#[derive(Debug)]
pub(super) struct Built {
    stem: String,
    pub(super) size: u64,
}

/// How a compaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// All that changes was proposed; keys were looked at up to here. There may have been nothing to
    /// do.
    Done(i64),
    /// The appender did not want the rest.
    Stopped,
    /// Something could not be read or built: it is to be tried again.
    Failed,
}

/// The newest offset of a key, by a hash of 128 bits.
type Newest = HashMap<(u64, u64), i64>;

impl CompactionJob {
    /// Compacts segment by segment; `propose` gets each. Returns how that ended, or what was found
    /// damaged.
    pub(super) fn carry_out(
        &self,
        disk: &dyn Disk,
        mut propose: impl FnMut(Replaced),
    ) -> Result<Ending, Damage> {
        match self.compact(disk, &mut propose) {
            Ok(ending) => Ok(ending),
            Err(_) if self.is_stopped() => Ok(Ending::Stopped),
            Err(Stopped::Reading(segment, error))
                if is_unreadable(&error) && !segment.is_retired() =>
            {
                Err(Damage::of(&segment, &error))
            }
            Err(Stopped::Reading(_, error) | Stopped::Building(error)) => {
                let (topic, partition) = (self.topic, self.number);
                tracing::warn!(%error, %topic, partition, "compaction stopped; it is tried again");
                Ok(Ending::Failed)
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn compact(
        &self,
        disk: &dyn Disk,
        propose: &mut impl FnMut(Replaced),
    ) -> Result<Ending, Stopped> {
        let (newest, cleaned) = self.newest()?;
        for old in self.segments.iter().filter(|segment| segment.base() < cleaned) {
            if self.is_stopped() {
                return Ok(Ending::Stopped);
            }
            if let Some(replaced) = self.compact_segment(disk, old, &newest, cleaned)? {
                propose(replaced);
            }
        }
        Ok(Ending::Done(cleaned))
    }

    /// The newest offset of each key from `cleaned` on, and how far that goes.
    fn newest(&self) -> Result<(Newest, i64), Stopped> {
        let (mut newest, mut cleaned) = (Newest::new(), self.cleaned);
        for (at, segment) in self.segments.iter().enumerate() {
            let next = self.segments.get(at + 1).map_or(self.end, |next| next.base());
            if next <= self.cleaned {
                continue;
            }
            let mut ended = false;
            each_batch(segment, |_, batch| {
                let head = batch.head();
                if head.last_offset() < self.cleaned {
                    return Ok(true);
                }
                let room = usize::try_from(head.count)
                    .is_ok_and(|count| newest.is_empty() || newest.len() + count <= self.keys);
                ended = head.base_offset >= self.end
                    || !room
                    || (!self.is_kept_whole(&batch) && !self.note_keys(&batch, &mut newest));
                if !ended {
                    cleaned = head.last_offset() + 1;
                }
                Ok(!ended)
            })?;
            if ended {
                return Ok((newest, cleaned));
            }
            cleaned = next.min(self.end);
        }
        Ok((newest, cleaned))
    }

    /// Notes the keys of a batch. False if it cannot be looked into: nothing behind it is compacted.
    fn note_keys(&self, batch: &BatchView<'_>, newest: &mut Newest) -> bool {
        let noted = note_keys(batch, newest);
        if let Err(error) = &noted {
            let (topic, partition, offset) = (self.topic, self.number, batch.head().base_offset);
            tracing::warn!(
                %error, %topic, partition, offset,
                "compaction goes no further: a batch that a client sent cannot be looked into"
            );
        }
        noted.is_ok()
    }

    fn is_kept_whole(&self, batch: &BatchView<'_>) -> bool {
        let head = batch.head();
        let aborted = |one: &Aborted| {
            one.producer_id == head.producer_id
                && (one.first_offset..one.last_offset).contains(&head.base_offset)
        };
        head.is_control() || (head.is_transactional() && self.aborted.iter().any(aborted))
    }

    /// `None` if all of the segment stays.
    fn compact_segment(
        &self,
        disk: &dyn Disk,
        old: &Arc<Segment>,
        newest: &Newest,
        cleaned: i64,
    ) -> Result<Option<Replaced>, Stopped> {
        let horizon = self.now.latest.saturating_add(self.delete_retention_ms);
        let name = format!("{}-{}-{:020}", self.topic, self.number, old.base());
        let mut aside = Aside::new(disk, format!("{DIR}/{name}"), old, self.interval);
        each_batch(old, |position, batch| {
            if self.is_kept_whole(&batch) || batch.head().last_offset() >= cleaned {
                aside.keep(&batch)?;
                return Ok(true);
            }
            let expired =
                batch.head().delete_horizon().is_some_and(|from| from <= self.now.earliest);
            let keep = |record: &RecordView<'_>| {
                let Some(key) = record.key else { return false };
                let newest = newest.get(&hash(key)).is_none_or(|offset| *offset <= record.offset);
                newest && (record.value.is_some() || !expired)
            };
            match batch.rewrite(keep, horizon).map_err(io::Error::other)? {
                Rewritten::Whole => aside.keep(&batch)?,
                Rewritten::Part(bytes) => {
                    aside.begin(position)?;
                    let part = BatchView::parse_stored(&bytes).map_err(io::Error::other)?;
                    aside.keep(&part)?;
                }
                Rewritten::Nothing => aside.begin(position)?,
            }
            Ok(true)
        })?;
        let new = match aside.end()? {
            Ended::Same => return Ok(None),
            Ended::Empty => None,
            Ended::Built(new) => Some(new),
        };
        // Who reads the old one goes on to read it, without its index on the disk.
        old.keep_index().map_err(|error| Stopped::Reading(Arc::clone(old), error))?;
        Ok(Some(Replaced { old: Arc::clone(old), new }))
    }
}

/// Notes the keys of a batch. Fails if it cannot be looked into, whole as it is.
fn note_keys(batch: &BatchView<'_>, newest: &mut Newest) -> Result<(), crate::record::Error> {
    let plain = batch.uncompressed()?;
    for record in BatchView::parse_stored(&plain)?.records() {
        let record = record?;
        if let Some(key) = record.key {
            newest.insert(hash(key), record.offset);
        }
    }
    Ok(())
}

/// Why a compaction came to no end.
enum Stopped {
    /// A segment cannot be read.
    Reading(Arc<Segment>, io::Error),
    /// Another cannot be built.
    Building(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Building(error)
    }
}

/// What became of a segment aside.
enum Ended {
    /// Nothing differs from the old one.
    Same,
    /// Nothing stayed.
    Empty,
    Built(Built),
}

/// A segment that is being built: there is a file from the first batch on that changes.
struct Aside<'a> {
    disk: &'a dyn Disk,
    stem: String,
    old: &'a Segment,
    file: Option<File>,
    size: u64,
    index: Index,
}

impl<'a> Aside<'a> {
    fn new(disk: &'a dyn Disk, stem: String, old: &'a Segment, interval: u64) -> Self {
        Self { disk, stem, old, file: None, size: 0, index: Index::new(old.base(), interval) }
    }

    /// From `position` of the old segment on it differs.
    fn begin(&mut self, position: u64) -> io::Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        self.disk.create_dir(DIR)?;
        let file = self.disk.open(&log_path(&self.stem), Mode::Create)?;
        file.set_len(0)?;
        let (from, mut at) = (self.old.file()?, 0);
        let mut piece = Vec::new();
        while at < position {
            let length = usize::try_from((position - at).min(PIECE)).map_err(io::Error::other)?;
            piece.resize(length, 0);
            from.read_exact_at(&mut piece, at)?;
            file.write_at(&piece, at)?;
            at += piece.len() as u64;
        }
        self.file = Some(file);
        Ok(())
    }

    fn keep(&mut self, batch: &BatchView<'_>) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.write_at(batch.as_bytes(), self.size)?;
        }
        self.index.note(Mark::of(self.size, batch.head()));
        self.size += batch.as_bytes().len() as u64;
        Ok(())
    }

    fn end(mut self) -> io::Result<Ended> {
        let Some(file) = self.file.take() else { return Ok(Ended::Same) };
        if self.size == 0 {
            remove(self.disk, &self.stem)?;
            return Ok(Ended::Empty);
        }
        file.sync()?;
        self.index.write(self.disk, &self.stem, true)?;
        Ok(Ended::Built(Built { stem: self.stem, size: self.size }))
    }
}

impl Built {
    /// Nobody wants it.
    pub(super) fn discard(&self, disk: &dyn Disk) {
        if let Err(error) = remove(disk, &self.stem) {
            tracing::warn!(%error, path = self.stem, "a compacted segment stays until restart");
        }
    }
}

/// Puts what was built in the place of `old`, whose readers have all they need in memory; it is
/// durable there when the directory was synced. Says whether the indexes are there too. What
/// fails leaves the old records.
pub(super) fn put_in_place(
    disk: &dyn Disk,
    old: &Segment,
    new: Option<&Built>,
) -> io::Result<bool> {
    let (offsets, times) = (index::offsets_path(old.stem()), index::times_path(old.stem()));
    let Some(new) = new else {
        // A checkpoint names it: without any file it would be missed.
        let empty = log_path(&format!("{DIR}/empty"));
        disk.create_dir(DIR)?;
        disk.open(&empty, Mode::Create)?;
        disk.rename(&empty, &old.path())?;
        // Without the records nobody looks at them.
        let _ = disk.remove_file(&times).and_then(|()| disk.remove_file(&offsets));
        return Ok(true);
    };
    // Never the records of one with the index of the other.
    disk.remove_file(&times)?;
    disk.remove_file(&offsets)?;
    disk.rename(&log_path(&new.stem), &old.path())?;
    let placed = disk
        .rename(&index::offsets_path(&new.stem), &offsets)
        .and_then(|()| disk.rename(&index::times_path(&new.stem), &times));
    if let Err(error) = &placed {
        tracing::warn!(%error, path = old.path(), "the index of a compacted segment is made again");
        new.discard(disk);
    }
    Ok(placed.is_ok())
}

/// Gives the segments of `known`, which compaction may have replaced or emptied, their names again,
/// durably. What another process renamed is seen, and may not be durable: the sync of its directory
/// may have failed, and no later one makes up for that. Builds before removed segments: without
/// `emptied` those are removed again.
pub(super) fn place_again(
    disk: &dyn Disk,
    dir: &str,
    known: &[i64],
    emptied: bool,
) -> io::Result<()> {
    let entries = disk.list(dir)?;
    if entries.is_empty() {
        return Ok(());
    }
    let is_there = |path: &str| {
        entries.iter().any(|entry| {
            path.strip_prefix(dir).and_then(|rest| rest.strip_prefix('/')) == Some(&*entry.name)
        })
    };
    let is_empty = |path: &str| disk.open(path, Mode::Read).and_then(|file| file.is_empty());
    let remove_again = |path: &str| {
        disk.open(path, Mode::Create)?;
        disk.remove_file(path)
    };
    for stem in known.iter().map(|base| segment::stem(dir, *base)) {
        let (path, moving) = (log_path(&stem), format!("{stem}{MOVING}"));
        let indexes = [index::times_path(&stem), index::offsets_path(&stem)];
        if is_there(&moving) {
            // It was stopped here. Indexes may be empty, or moving too: they are made again.
            for path in &indexes {
                disk.remove_file(&format!("{path}{MOVING}"))?;
                remove_again(path)?;
            }
            disk.rename(&moving, &path)?;
        } else if !emptied && (!is_there(&path) || is_empty(&path).unwrap_or(false)) {
            remove_again(&path)?;
        } else if is_there(&path) {
            disk.rename(&path, &moving)?;
            for path in &indexes {
                if is_there(path) {
                    let moving = format!("{path}{MOVING}");
                    disk.rename(path, &moving)?;
                    disk.rename(&moving, path)?;
                } else {
                    remove_again(path)?;
                }
            }
            disk.rename(&moving, &path)?;
        }
    }
    disk.sync_dir(dir)
}

/// Shows the committed batches of a segment with their positions, until `visit` answers false.
fn each_batch(
    segment: &Arc<Segment>,
    visit: impl FnMut(u64, BatchView<'_>) -> Result<bool, Stopped>,
) -> Result<(), Stopped> {
    let reading = |error| Stopped::Reading(Arc::clone(segment), error);
    let file = segment.file().map_err(reading)?;
    scan::each_batch(&file, segment.size(), reading, visit)
}

fn hash(key: &[u8]) -> (u64, u64) {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, key).hash(&mut hasher);
        hasher.finish()
    };
    (half(0), half(1))
}
