//! The sparse indexes of a segment, by offset and by time.
//!
//! Owns: which batches have an entry, the files `.index` and `.timeindex`. In: each batch
//! as it is published. Out: where to start reading.
//!
//! What holds: entries are in order; the entry of a batch points at its first byte. Entries are
//! in memory until they are written out at a checkpoint, and all but the last few are searched on
//! disk from then on: so memory is bounded by what is appended between two checkpoints, whatever
//! the size of segments, and who reads at the end needs no file.
//!
//! Format, Kafka's own, big-endian. `.index`: last offset of a batch relative to the
//! segment's base u32, position of the batch u32. `.timeindex`: largest timestamp so far
//! i64, last offset of the batch that has it, relative, u32.

use std::collections::VecDeque;
use std::io;

use crate::disk::{Disk, File, Mode};
use crate::record::Head;

pub(super) const OFFSET_ENTRY: usize = 8;
pub(super) const TIME_ENTRY: usize = 12;

/// How many entries of each index stay in memory when they are written out.
const KEPT: usize = 32;

/// So many entries, over so many bytes of a segment, are not worth two syncs: they stay in memory,
/// and a start makes them again from the heads of the batches.
const FEW: usize = 8;
const FEW_BYTES: u64 = 32 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OffsetEntry {
    relative: u32,
    position: u32,
}

impl OffsetEntry {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is meant")]
    fn decode(bytes: [u8; OFFSET_ENTRY]) -> Self {
        let both = u64::from_be_bytes(bytes);
        Self { relative: (both >> 32) as u32, position: both as u32 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TimeEntry {
    timestamp: i64,
    relative: u32,
}

impl TimeEntry {
    const NONE: Self = Self { timestamp: -1, relative: 0 };

    fn decode(bytes: [u8; TIME_ENTRY]) -> Self {
        let (timestamp, relative) = bytes.split_at(8);
        Self {
            timestamp: i64::from_be_bytes(timestamp.try_into().unwrap_or_default()),
            relative: u32::from_be_bytes(relative.try_into().unwrap_or_default()),
        }
    }
}

/// The whole entries of an `.index`: offset relative to the base, and position.
pub(super) fn offset_entries(bytes: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    let (entries, _) = bytes.as_chunks::<OFFSET_ENTRY>();
    entries.iter().map(|entry| {
        let OffsetEntry { relative, position } = OffsetEntry::decode(*entry);
        (relative, position)
    })
}

/// The whole entries of a `.timeindex`: time, and offset relative to the base.
pub(super) fn time_entries(bytes: &[u8]) -> impl Iterator<Item = (i64, u32)> {
    let (entries, _) = bytes.as_chunks::<TIME_ENTRY>();
    entries.iter().map(|entry| {
        let TimeEntry { timestamp, relative } = TimeEntry::decode(*entry);
        (timestamp, relative)
    })
}

/// What an index has to know of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) position: u64,
    pub(super) size: u64,
    pub(super) last_offset: i64,
    pub(super) max_timestamp: i64,
}

impl Mark {
    /// What a stored head says.
    pub(super) fn of(position: u64, head: &Head) -> Self {
        Self {
            position,
            size: head.size() as u64,
            last_offset: head.last_offset(),
            max_timestamp: head.max_timestamp,
        }
    }
}

/// The entries that stand in the files, to be compared with the batches in their order.
#[derive(Debug)]
pub(super) struct Stored {
    base: i64,
    offsets: VecDeque<OffsetEntry>,
    times: VecDeque<TimeEntry>,
    /// Whether there were entries by offset, and whether there ought to be.
    any: bool,
    needed: bool,
    last_time: i64,
    largest: i64,
    interval: u64,
    wrong: bool,
}

impl Stored {
    pub(super) fn compare(&mut self, mark: Mark) {
        let relative = u32::try_from(mark.last_offset - self.base).unwrap_or(u32::MAX);
        self.largest = self.largest.max(mark.max_timestamp);
        self.needed |= mark.position > self.interval + mark.size;
        if let Some(entry) = self.offsets.pop_front_if(|entry| entry.relative == relative) {
            self.wrong |= u64::from(entry.position) != mark.position;
        }
        if let Some(entry) = self.times.pop_front_if(|entry| entry.relative == relative) {
            self.wrong |= entry.timestamp != mark.max_timestamp;
        }
    }

    /// Whether each entry was borne out by a batch. `whole`: all batches were shown.
    /// `sealed`: the index was written to its end, so the last entry by time has to have the
    /// largest; until then the files lack what came since the last checkpoint, and that entry.
    pub(super) fn fits(&self, whole: bool, sealed: bool) -> bool {
        let borne_out = !whole || (self.offsets.is_empty() && self.times.is_empty());
        let complete = self.last_time == self.largest && (self.any || !self.needed);
        !self.wrong && borne_out && (complete || !sealed)
    }
}

/// The indexes of the segment that begins at `base`.
#[derive(Debug)]
pub(super) struct Index {
    base: i64,
    interval: u64,
    /// Bytes since the last entry; a segment's first batch has none, as in Kafka.
    since: u64,
    /// Behind the last batch that was noted.
    end: u64,
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    largest: TimeEntry,
    /// The largest timestamp that has an entry.
    noted: i64,
    /// How many entries the files have.
    written: (usize, usize),
    /// How many of `offsets` and `times` are among them.
    kept: (usize, usize),
    /// Whether the segment is complete, and all entries are on disk only.
    unloaded: bool,
    /// Whether the files are going to be those of another: nothing is written to them.
    is_held: bool,
}

/// Which of the entries that are read back stay in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entries {
    /// None: the files have them.
    Written,
    /// All: the files will be those of another.
    Kept,
}

/// Where to begin to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Where the batch begins.
    pub(super) position: u64,
    /// Its last offset.
    pub(super) last: i64,
    /// Whether it is not from a file.
    pub(super) in_memory: bool,
}

impl Found {
    /// Nothing says more than that it is the first batch.
    pub(super) const FRONT: Self = Self { position: 0, last: -1, in_memory: true };

    /// What an entry of the segment that begins at `base` says.
    fn at(base: i64, entry: OffsetEntry) -> Self {
        let last = base + i64::from(entry.relative);
        Self { position: u64::from(entry.position), last, in_memory: false }
    }
}

/// The bytes of the entries that the files lack, and where they belong.
#[derive(Debug)]
pub(super) struct Unwritten {
    offsets: Vec<u8>,
    times: Vec<u8>,
    /// How many entries the files have before them.
    behind: (usize, usize),
}

impl Unwritten {
    /// Writes them, durably.
    pub(super) fn write(&self, disk: &dyn Disk, stem: &str) -> io::Result<()> {
        let (offsets, times) = self.behind;
        write_from(disk, &offsets_path(stem), offsets * OFFSET_ENTRY, &self.offsets)?;
        write_from(disk, &times_path(stem), times * TIME_ENTRY, &self.times)
    }

    fn count(&self) -> (usize, usize) {
        (self.offsets.len() / OFFSET_ENTRY, self.times.len() / TIME_ENTRY)
    }
}

impl Index {
    /// An index without entries.
    pub(super) fn new(base: i64, interval: u64) -> Self {
        Self {
            base,
            interval,
            since: 0,
            end: 0,
            offsets: Vec::new(),
            times: Vec::new(),
            largest: TimeEntry::NONE,
            noted: -1,
            written: (0, 0),
            kept: (0, 0),
            unloaded: false,
            is_held: false,
        }
    }

    /// An index whose entries are searched on disk.
    pub(super) fn on_disk(base: i64, interval: u64) -> Self {
        Self { unloaded: true, ..Self::new(base, interval) }
    }

    /// Reads the entries of batches below `position` back, and says from where on batches
    /// are to be noted. What does not look like an index of this segment is left out.
    pub(super) fn load(
        &mut self,
        disk: &dyn Disk,
        stem: &str,
        position: u64,
        entries: Entries,
    ) -> io::Result<u64> {
        self.clear();
        let mut last: Option<OffsetEntry> = None;
        for chunk in read_all(disk, &offsets_path(stem))?.as_chunks().0 {
            let entry = OffsetEntry::decode(*chunk);
            let follows = last.is_none_or(|last| {
                entry.relative > last.relative && entry.position > last.position
            });
            if !follows || u64::from(entry.position) >= position {
                break;
            }
            last = Some(entry);
            self.offsets.push(entry);
        }
        // The entry of the last batch is rolled back: the batch is noted again, from its head.
        let resume = self.offsets.pop();
        for chunk in read_all(disk, &times_path(stem))?.as_chunks().0 {
            let entry = TimeEntry::decode(*chunk);
            let known = resume.is_some_and(|resume| entry.relative < resume.relative);
            if !known || entry.timestamp <= self.largest.timestamp {
                break;
            }
            self.largest = entry;
            self.noted = entry.timestamp;
            self.times.push(entry);
        }
        let Some(resume) = resume else { return Ok(0) };
        match entries {
            Entries::Written => {
                self.written = (self.offsets.len(), self.times.len());
                (self.offsets, self.times) = (Vec::new(), Vec::new());
            }
            Entries::Kept => {}
        }
        self.since = self.interval + 1;
        Ok(u64::from(resume.position))
    }

    /// Notes a batch that was appended.
    pub(super) fn note(&mut self, mark: Mark) {
        let relative = u32::try_from(mark.last_offset - self.base).unwrap_or(u32::MAX);
        if mark.max_timestamp > self.largest.timestamp {
            self.largest = TimeEntry { timestamp: mark.max_timestamp, relative };
        }
        if self.since > self.interval {
            let position = u32::try_from(mark.position).unwrap_or(u32::MAX);
            self.offsets.push(OffsetEntry { relative, position });
            self.note_time();
            self.since = 0;
        }
        self.since += mark.size;
        self.end = mark.position + mark.size;
    }

    fn note_time(&mut self) {
        if self.noted < self.largest.timestamp {
            self.times.push(self.largest);
            self.noted = self.largest.timestamp;
        }
    }

    /// Writes to the files what they lack, and leaves it to them. `last` adds the last time entry,
    /// as Kafka does when it rolls.
    pub(super) fn write(&mut self, disk: &dyn Disk, stem: &str, last: bool) -> io::Result<()> {
        if let Some(unwritten) = self.unwritten(last) {
            unwritten.write(disk, stem)?;
            self.wrote(&unwritten);
        }
        Ok(())
    }

    /// Whether the files lack so little that a start makes it again as fast.
    pub(super) fn lacks_little(&self) -> bool {
        let more = &self.offsets[self.kept.0..];
        let first = more.first().map_or(self.end, |first| u64::from(first.position));
        more.len() <= FEW && self.end - first <= FEW_BYTES
    }

    /// What the files lack; `last` adds the last time entry. None if nothing is written to them.
    pub(super) fn unwritten(&mut self, last: bool) -> Option<Unwritten> {
        if self.unloaded || self.is_held {
            return None;
        }
        if last {
            self.note_time();
        }
        let (more_offsets, more_times) = (&self.offsets[self.kept.0..], &self.times[self.kept.1..]);
        let mut unwritten = Unwritten {
            offsets: Vec::with_capacity(more_offsets.len() * OFFSET_ENTRY),
            times: Vec::with_capacity(more_times.len() * TIME_ENTRY),
            behind: self.written,
        };
        for entry in more_offsets {
            unwritten.offsets.extend_from_slice(&entry.relative.to_be_bytes());
            unwritten.offsets.extend_from_slice(&entry.position.to_be_bytes());
        }
        for entry in more_times {
            unwritten.times.extend_from_slice(&entry.timestamp.to_be_bytes());
            unwritten.times.extend_from_slice(&entry.relative.to_be_bytes());
        }
        Some(unwritten)
    }

    /// The files have what they lacked. More may have been noted since.
    pub(super) fn wrote(&mut self, unwritten: &Unwritten) {
        let (offsets, times) = unwritten.count();
        self.written = (self.written.0 + offsets, self.written.1 + times);
        self.kept = (
            keep_last(&mut self.offsets, self.kept.0 + offsets),
            keep_last(&mut self.times, self.kept.1 + times),
        );
    }

    /// The segment is complete. All must have been written.
    pub(super) fn unload(&mut self) {
        if self.kept == (self.offsets.len(), self.times.len()) {
            *self = Self { largest: self.largest, ..Self::on_disk(self.base, self.interval) };
        }
    }

    /// How many entries are in memory.
    #[cfg(test)]
    pub(super) fn in_memory(&self) -> usize {
        self.offsets.len() + self.times.len()
    }

    /// Another of the same segment, without entries.
    pub(super) fn anew(&self) -> Self {
        Self { is_held: self.is_held, ..Self::new(self.base, self.interval) }
    }

    /// Its files are going to be those of another: they are not written to any more.
    pub(super) fn hold(&mut self) {
        self.is_held = true;
    }

    /// Whether they are.
    pub(super) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Forgets all entries; files that there are will be written over.
    pub(super) fn clear(&mut self) {
        *self = self.anew();
    }

    /// Whether the entries are searched on disk.
    pub(super) fn is_on_disk(&self) -> bool {
        self.unloaded
    }

    /// The files, as far as they count.
    pub(super) fn files<'a>(&self, disk: &'a dyn Disk, stem: &'a str) -> OnFiles<'a> {
        let count = |written: usize| if self.unloaded { u64::MAX } else { written as u64 };
        let (offsets, times) = self.written;
        let written = (count(offsets), count(times));
        OnFiles { disk, stem, base: self.base, interval: self.interval, written }
    }

    /// Where to start looking for `offset`: the start of a batch that is not behind it, or the
    /// front. `None` if the files have to be asked.
    pub(super) fn position(&self, offset: i64) -> Option<Found> {
        // An entry has the last offset of its batch: equal is early enough.
        let relative = relative(self.base, offset);
        let behind = self.offsets.partition_point(|entry| entry.relative <= relative);
        match behind.checked_sub(1) {
            Some(at) => Some(Found { in_memory: true, ..Found::at(self.base, self.offsets[at]) }),
            None if self.written.0 == 0 && !self.unloaded => Some(Found::FRONT),
            None => None,
        }
    }

    /// The offset from which on to look for the first batch that is not older than
    /// `timestamp`. `None` if the files have to be asked.
    pub(super) fn offset_before(&self, timestamp: i64) -> Option<i64> {
        let behind = self.times.partition_point(|entry| entry.timestamp < timestamp);
        match behind.checked_sub(1) {
            Some(at) => Some(self.base + i64::from(self.times[at].relative)),
            None if self.written.1 == 0 && !self.unloaded => Some(self.base),
            None => None,
        }
    }

    /// The largest timestamp of the segment, -1 if it has none. `None` if the files have to be
    /// asked.
    pub(super) fn largest_timestamp(&self) -> Option<i64> {
        let is_known = !self.unloaded || self.largest != TimeEntry::NONE;
        is_known.then_some(self.largest.timestamp)
    }
}

/// The files of an index, whoever writes to them: entries that are there do not change.
#[derive(Debug)]
pub(super) struct OnFiles<'a> {
    disk: &'a dyn Disk,
    stem: &'a str,
    base: i64,
    interval: u64,
    /// How many entries count: of a complete segment all that there are.
    written: (u64, u64),
}

impl OnFiles<'_> {
    /// As [`Index::position`].
    pub(super) fn position(&self, offset: i64) -> io::Result<Found> {
        let relative = relative(self.base, offset);
        let before = |entry: &OffsetEntry| entry.relative <= relative;
        let (path, count) = (offsets_path(self.stem), self.written.0);
        let found = last_on_disk(self.disk, &path, count, OffsetEntry::decode, before)?;
        Ok(found.map_or(Found::FRONT, |entry| Found::at(self.base, entry)))
    }

    /// As [`Index::offset_before`].
    pub(super) fn offset_before(&self, timestamp: i64) -> io::Result<i64> {
        let before = |entry: &TimeEntry| entry.timestamp < timestamp;
        let found = self.last_time(before)?;
        Ok(found.map_or(self.base, |entry| self.base + i64::from(entry.relative)))
    }

    /// As [`Index::largest_timestamp`].
    pub(super) fn largest_timestamp(&self) -> io::Result<i64> {
        Ok(self.last_time(|_| true)?.map_or(-1, |entry| entry.timestamp))
    }

    fn last_time(&self, before: impl Fn(&TimeEntry) -> bool) -> io::Result<Option<TimeEntry>> {
        last_on_disk(self.disk, &times_path(self.stem), self.written.1, TimeEntry::decode, before)
    }

    /// All entries, to be compared with the batches.
    pub(super) fn stored(&self) -> io::Result<Stored> {
        let offsets = read_all(self.disk, &offsets_path(self.stem))?;
        let times = read_all(self.disk, &times_path(self.stem))?;
        let times = times.as_chunks().0.iter().map(|entry| TimeEntry::decode(*entry));
        let times: VecDeque<_> = times.collect();
        let offsets = offsets.as_chunks().0.iter().map(|entry| OffsetEntry::decode(*entry));
        let offsets: VecDeque<_> = offsets.collect();
        Ok(Stored {
            base: self.base,
            any: !offsets.is_empty(),
            needed: false,
            last_time: times.back().map_or(-1, |entry| entry.timestamp),
            largest: -1,
            interval: self.interval,
            wrong: false,
            offsets,
            times,
        })
    }
}

fn relative(base: i64, offset: i64) -> u32 {
    u32::try_from((offset - base).max(0)).unwrap_or(u32::MAX)
}

/// Leaves the last few of the first `written` entries, and all behind them. Says how many few are.
fn keep_last<E: Copy>(entries: &mut Vec<E>, written: usize) -> usize {
    let surplus = written.saturating_sub(KEPT);
    if surplus > 0 {
        *entries = entries[surplus..].to_vec();
    }
    written - surplus
}

/// The file of the entries by offset.
pub(super) fn offsets_path(stem: &str) -> String {
    format!("{stem}.index")
}

/// The file of the entries by time.
pub(super) fn times_path(stem: &str) -> String {
    format!("{stem}.timeindex")
}

fn read_all(disk: &dyn Disk, path: &str) -> io::Result<Vec<u8>> {
    let file = match disk.open(path, Mode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Writes `bytes` at `at` and cuts what may stand behind them from an earlier life.
fn write_from(disk: &dyn Disk, path: &str, at: usize, bytes: &[u8]) -> io::Result<()> {
    let file = disk.open(path, Mode::Create)?;
    if !bytes.is_empty() {
        file.write_at(bytes, at as u64)?;
    }
    let len = (at + bytes.len()) as u64;
    if file.len()? != len {
        file.set_len(len)?;
    }
    file.sync()
}

/// The last of the first `count` entries of a file for which `before` holds; it holds for a first
/// part of them.
fn last_on_disk<E, const N: usize>(
    disk: &dyn Disk,
    path: &str,
    count: u64,
    decode: impl Fn([u8; N]) -> E,
    before: impl Fn(&E) -> bool,
) -> io::Result<Option<E>> {
    if count == 0 {
        return Ok(None);
    }
    let file = match disk.open(path, Mode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let entry = |file: &File, at: u64| -> io::Result<E> {
        let mut bytes = [0; N];
        file.read_exact_at(&mut bytes, at * N as u64)?;
        Ok(decode(bytes))
    };
    let (mut low, mut high) = (0, count.min(file.len()? / N as u64));
    let mut found = None;
    while low < high {
        let middle = low.midpoint(high);
        let candidate = entry(&file, middle)?;
        if before(&candidate) {
            found = Some(candidate);
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(found)
}
