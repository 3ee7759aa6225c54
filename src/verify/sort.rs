//! Sorting by key in bounded memory: sorted runs in temporary files, merged at the end.
//!
//! Format of a run: entries back to back, each: length of the key u32, of the row u32, partition i32,
//! offset i64, number u64, `When` u8, `Kind` u8, late u8, key, row; all little-endian. Runs of a
//! level that are as many as are merged at once become one of the next: so a byte is written once a
//! level.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;

use crate::disk::{Disk, File, Mode};

use super::When;
use super::message::{Entry, Kind};

/// Bytes of entries in memory before they become a run.
#[cfg(not(test))]
const MOST_IN_MEMORY: usize = 32 << 20;
#[cfg(test)]
const MOST_IN_MEMORY: usize = 2 << 10;
/// What an entry takes beside its key and row.
const OF_ENTRY: usize = 128;
/// Runs that are merged at once.
const MOST_RUNS: usize = 16;
/// Bytes that are read and written at once.
const BLOCK: usize = 256 << 10;
const HEAD: usize = 31;

/// Takes entries in any order.
#[derive(Debug)]
pub(super) struct Sorter {
    disk: Arc<dyn Disk>,
    folder: String,
    memory: Vec<Entry>,
    bytes: usize,
    /// Names of runs, by level.
    levels: Vec<Vec<String>>,
    next: u64,
}

impl Sorter {
    pub(super) fn new(disk: Arc<dyn Disk>, folder: &str) -> io::Result<Self> {
        disk.create_dir(folder)?;
        let folder = folder.to_owned();
        Ok(Self { disk, folder, memory: Vec::new(), bytes: 0, levels: Vec::new(), next: 0 })
    }

    pub(super) fn push(&mut self, entry: Entry) -> io::Result<()> {
        self.bytes += OF_ENTRY + entry.key.len() + entry.row.len();
        self.memory.push(entry);
        if self.bytes < MOST_IN_MEMORY {
            return Ok(());
        }
        self.memory.sort_unstable_by(|one, other| order(one).cmp(&order(other)));
        let mut run = self.create()?;
        for entry in self.memory.drain(..) {
            run.put(&entry)?;
        }
        self.bytes = 0;
        let name = run.finish()?;
        self.add(0, name)
    }

    /// Adds a run to a level, whose runs become one if they are many.
    fn add(&mut self, level: usize, name: String) -> io::Result<()> {
        if self.levels.len() <= level {
            self.levels.resize(level + 1, Vec::new());
        }
        let Some(runs) = self.levels.get_mut(level) else { return Ok(()) };
        runs.push(name);
        if runs.len() < MOST_RUNS {
            return Ok(());
        }
        let runs = std::mem::take(runs);
        let mut merged = Merged::of(&self.disk, &runs, Vec::new())?;
        let mut run = self.create()?;
        while let Some(entry) = merged.next()? {
            run.put(&entry)?;
        }
        let name = run.finish()?;
        runs.iter().try_for_each(|run| self.disk.remove_file(run))?;
        self.add(level + 1, name)
    }

    fn create(&mut self) -> io::Result<Writer> {
        let name = format!("{}/run-{}", self.folder, self.next);
        self.next += 1;
        let file = self.disk.open(&name, Mode::Create)?;
        Ok(Writer { file, name, buffer: Vec::new(), at: 0 })
    }

    /// All entries by key; those of a key as the topic has them, those of the table behind.
    pub(super) fn sorted(mut self) -> io::Result<Merged> {
        let mut memory = std::mem::take(&mut self.memory);
        memory.sort_unstable_by(|one, other| order(one).cmp(&order(other)));
        let runs: Vec<String> = self.levels.concat();
        Merged::of(&self.disk, &runs, memory)
    }
}

fn order(entry: &Entry) -> (&[u8], bool, (i32, i64, u64)) {
    (&entry.key, entry.kind == Kind::Table, entry.at)
}

struct Writer {
    file: File,
    name: String,
    buffer: Vec<u8>,
    at: u64,
}

impl Writer {
    fn put(&mut self, entry: &Entry) -> io::Result<()> {
        let length = |bytes: &[u8]| {
            u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
        };
        let out = &mut self.buffer;
        out.extend_from_slice(&length(&entry.key)?.to_le_bytes());
        out.extend_from_slice(&length(&entry.row)?.to_le_bytes());
        out.extend_from_slice(&entry.at.0.to_le_bytes());
        out.extend_from_slice(&entry.at.1.to_le_bytes());
        out.extend_from_slice(&entry.at.2.to_le_bytes());
        let when = match entry.when {
            When::Before => 0,
            When::Around => 1,
            When::Behind => 2,
        };
        out.extend_from_slice(&[when, entry.kind.number(), u8::from(entry.is_late)]);
        out.extend_from_slice(&entry.key);
        out.extend_from_slice(&entry.row);
        if out.len() >= BLOCK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<String> {
        self.flush()?;
        Ok(self.name)
    }
}

/// Reads a run, or what is in memory.
enum Run {
    File { file: File, at: u64, buffer: Vec<u8>, from: usize },
    Memory(std::vec::IntoIter<Entry>),
}

impl Run {
    fn next(&mut self) -> io::Result<Option<Entry>> {
        match self {
            Self::Memory(entries) => Ok(entries.next()),
            Self::File { .. } => self.read(),
        }
    }

    fn read(&mut self) -> io::Result<Option<Entry>> {
        let wrong = || io::Error::from(io::ErrorKind::InvalidData);
        if !self.fill(HEAD)? {
            return Ok(None);
        }
        let head = self.front().first_chunk::<HEAD>().copied().ok_or_else(wrong)?;
        let number = |from: usize, bytes: usize| {
            let bytes = head.get(from..from + bytes).unwrap_or_default();
            bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let size = |from| usize::try_from(number(from, 4)).map_err(|_| wrong());
        let (key, row) = (size(0)?, size(4)?);
        if !self.fill(HEAD + key + row)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let body = self.front().get(HEAD..HEAD + key + row).ok_or_else(wrong)?;
        let (key_bytes, row_bytes) = body.split_at_checked(key).ok_or_else(wrong)?;
        let when = [When::Before, When::Around, When::Behind];
        let entry = Entry {
            key: key_bytes.to_vec(),
            at: (
                i32::from_le_bytes(
                    number(8, 4).to_le_bytes().first_chunk().copied().ok_or_else(wrong)?,
                ),
                number(12, 8).cast_signed(),
                number(20, 8),
            ),
            when: when.get(usize::from(head[28])).copied().ok_or_else(wrong)?,
            kind: Kind::ALL.get(usize::from(head[29])).copied().ok_or_else(wrong)?,
            is_late: head[30] == 1,
            row: row_bytes.to_vec(),
        };
        if let Self::File { from, .. } = self {
            *from += HEAD + key + row;
        }
        Ok(Some(entry))
    }

    fn front(&self) -> &[u8] {
        match self {
            Self::File { buffer, from, .. } => buffer.get(*from..).unwrap_or_default(),
            Self::Memory(_) => &[],
        }
    }

    /// Reads on until so many bytes are there; false at the end of the run.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        let Self::File { file, at, buffer, from } = self else { return Ok(false) };
        while buffer.len() - *from < wanted {
            buffer.drain(..*from);
            *from = 0;
            let had = buffer.len();
            buffer.resize(had + BLOCK.max(wanted), 0);
            let read = file.read_at(buffer.get_mut(had..).unwrap_or_default(), *at)?;
            buffer.truncate(had + read);
            *at += read as u64;
            if read == 0 {
                return if had == 0 { Ok(false) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
        Ok(true)
    }
}

/// Sorted runs as one.
pub(super) struct Merged {
    runs: Vec<Run>,
    heap: BinaryHeap<Reverse<First>>,
}

/// The first entry of a run.
struct First {
    entry: Entry,
    run: usize,
}

impl Ord for First {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        order(&self.entry).cmp(&order(&other.entry)).then(self.run.cmp(&other.run))
    }
}

impl PartialOrd for First {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for First {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for First {}

impl Merged {
    fn of(disk: &Arc<dyn Disk>, names: &[String], memory: Vec<Entry>) -> io::Result<Self> {
        let mut runs = vec![Run::Memory(memory.into_iter())];
        for name in names {
            let file = disk.open(name, Mode::Read)?;
            runs.push(Run::File { file, at: 0, buffer: Vec::new(), from: 0 });
        }
        let mut merged = Self { runs, heap: BinaryHeap::new() };
        (0..merged.runs.len()).try_for_each(|run| merged.advance(run))?;
        Ok(merged)
    }

    fn advance(&mut self, run: usize) -> io::Result<()> {
        let Some(reader) = self.runs.get_mut(run) else { return Ok(()) };
        if let Some(entry) = reader.next()? {
            self.heap.push(Reverse(First { entry, run }));
        }
        Ok(())
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let Some(Reverse(First { entry, run })) = self.heap.pop() else { return Ok(None) };
        self.advance(run)?;
        Ok(Some(entry))
    }
}
