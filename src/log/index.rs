//! The sparse indexes of a segment, by offset and by time.
//!
//! Owns: which batches have an entry, the files `.index` and `.timeindex`. In: each batch
//! as it is published. Out: where to start reading.
//!
//! What holds: entries are in order; the entry of a batch points at its first byte. The
//! segment that is appended to has its indexes in memory, and they are written out at a
//! checkpoint; of a sealed one they are searched on disk, so memory is bounded.
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
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    largest: TimeEntry,
    /// How many entries the files have.
    written: (usize, usize),
    /// Whether the entries are on disk only.
    unloaded: bool,
}

impl Index {
    /// An index without entries.
    pub(super) fn new(base: i64, interval: u64) -> Self {
        Self {
            base,
            interval,
            since: 0,
            offsets: Vec::new(),
            times: Vec::new(),
            largest: TimeEntry::NONE,
            written: (0, 0),
            unloaded: false,
        }
    }

    /// An index whose entries are searched on disk.
    pub(super) fn on_disk(base: i64, interval: u64) -> Self {
        Self { unloaded: true, ..Self::new(base, interval) }
    }

    /// Reads the entries of batches below `position` back, and says from where on batches
    /// are to be noted. What does not look like an index of this segment is left out.
    pub(super) fn load(&mut self, disk: &dyn Disk, stem: &str, position: u64) -> io::Result<u64> {
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
            self.times.push(entry);
        }
        let Some(resume) = resume else { return Ok(0) };
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
    }

    fn note_time(&mut self) {
        if self.times.last().is_none_or(|last| last.timestamp < self.largest.timestamp)
            && self.largest != TimeEntry::NONE
        {
            self.times.push(self.largest);
        }
    }

    /// Writes to the files what they lack. `last` adds the last time entry, as Kafka does
    /// when it rolls.
    pub(super) fn write(&mut self, disk: &dyn Disk, stem: &str, last: bool) -> io::Result<()> {
        if self.unloaded {
            return Ok(());
        }
        if last {
            self.note_time();
        }
        let (offsets, times) = self.written;
        let mut bytes = Vec::new();
        for entry in &self.offsets[offsets..] {
            bytes.extend_from_slice(&entry.relative.to_be_bytes());
            bytes.extend_from_slice(&entry.position.to_be_bytes());
        }
        write_from(disk, &offsets_path(stem), offsets * OFFSET_ENTRY, &bytes)?;
        bytes.clear();
        for entry in &self.times[times..] {
            bytes.extend_from_slice(&entry.timestamp.to_be_bytes());
            bytes.extend_from_slice(&entry.relative.to_be_bytes());
        }
        write_from(disk, &times_path(stem), times * TIME_ENTRY, &bytes)?;
        self.written = (self.offsets.len(), self.times.len());
        Ok(())
    }

    /// Leaves the entries to the disk. They must have been written.
    pub(super) fn unload(&mut self) {
        if self.written == (self.offsets.len(), self.times.len()) {
            *self = Self { largest: self.largest, ..Self::on_disk(self.base, self.interval) };
        }
    }

    /// Forgets all entries; files that there are will be written over.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.base, self.interval);
    }

    /// Whether the entries are searched on disk.
    pub(super) fn is_on_disk(&self) -> bool {
        self.unloaded
    }

    /// The entries that stand in the files.
    pub(super) fn stored(&self, disk: &dyn Disk, stem: &str) -> io::Result<Stored> {
        let offsets = read_all(disk, &offsets_path(stem))?;
        let times = read_all(disk, &times_path(stem))?;
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

    /// Where to start looking for `offset`: the start of a batch that is not behind it, and
    /// the last offset of that batch. `None`: at the front.
    pub(super) fn position(
        &self,
        disk: &dyn Disk,
        stem: &str,
        offset: i64,
    ) -> io::Result<Option<(u64, i64)>> {
        let relative = u32::try_from((offset - self.base).max(0)).unwrap_or(u32::MAX);
        // An entry has the last offset of its batch: equal is early enough.
        let found = if self.unloaded {
            last_on_disk(disk, &offsets_path(stem), OffsetEntry::decode, |entry: &OffsetEntry| {
                entry.relative <= relative
            })?
        } else {
            let behind = self.offsets.partition_point(|entry| entry.relative <= relative);
            behind.checked_sub(1).map(|at| self.offsets[at])
        };
        let place =
            |entry: OffsetEntry| (u64::from(entry.position), self.base + i64::from(entry.relative));
        Ok(found.map(place))
    }

    /// The offset from which on to look for the first batch that is not older than
    /// `timestamp`.
    pub(super) fn offset_before(
        &self,
        disk: &dyn Disk,
        stem: &str,
        timestamp: i64,
    ) -> io::Result<i64> {
        let found = if self.unloaded {
            last_on_disk(disk, &times_path(stem), TimeEntry::decode, |entry: &TimeEntry| {
                entry.timestamp < timestamp
            })?
        } else {
            let behind = self.times.partition_point(|entry| entry.timestamp < timestamp);
            behind.checked_sub(1).map(|at| self.times[at])
        };
        Ok(found.map_or(self.base, |entry| self.base + i64::from(entry.relative)))
    }

    /// The largest timestamp of the segment, -1 if it has none.
    pub(super) fn largest_timestamp(&self, disk: &dyn Disk, stem: &str) -> io::Result<i64> {
        if !self.unloaded || self.largest != TimeEntry::NONE {
            return Ok(self.largest.timestamp);
        }
        let last = last_on_disk(disk, &times_path(stem), TimeEntry::decode, |_: &TimeEntry| true)?;
        Ok(last.map_or(-1, |entry| entry.timestamp))
    }
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

/// The last entry of a file for which `before` holds; it holds for a first part of them.
fn last_on_disk<E, const N: usize>(
    disk: &dyn Disk,
    path: &str,
    decode: impl Fn([u8; N]) -> E,
    before: impl Fn(&E) -> bool,
) -> io::Result<Option<E>> {
    let file = match disk.open(path, Mode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let entry = |file: &File, at: u64| -> io::Result<E> {
        let mut bytes = [0; N];
        file.read_exact_at(&mut bytes, at * N as u64)?;
        Ok(decode(bytes))
    };
    let (mut low, mut high) = (0, file.len()? / N as u64);
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
