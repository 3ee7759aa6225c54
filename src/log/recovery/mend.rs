//! What an operator asks for who accepts the damage of a partition: it goes on without what is
//! lost.
//!
//! In: the files of the partition, and its state. Out: segments of whole batches only, durable,
//! and the offsets that are lost.
//!
//! What holds: no offset is given twice: a loss at the end of the partition is filled by batches
//! without records, as compaction leaves them, so that who reads there comes to what follows.
//! What is whole stays, in its order. Where a batch begins behind damage is found by its
//! checksum and by offsets that follow.

use std::io;
use std::ops::Range;

use super::partition::bases;
use crate::disk::{Disk, File, Mode, is_unreadable};
use crate::log::checkpoint::PartitionState;
use crate::log::compaction;
use crate::log::segment::{log_path, remove, stem};
use crate::log::{index, segment};
use crate::record::{BatchView, HEAD_LENGTH, Head, empty_batch};

/// How much is read at once, or one batch.
const PIECE: usize = 1 << 20;
/// What a medium fails to read at once, at least.
const BLOCK: usize = 4096;

/// What became of a partition.
pub(super) struct Mended {
    /// Base offset and bytes of each segment.
    pub(super) segments: Vec<(i64, u64)>,
    /// The offsets that are lost.
    pub(super) lost: Vec<Range<i64>>,
}

/// Mends a partition.
pub(super) fn mend(disk: &dyn Disk, dir: &str, state: &PartitionState) -> io::Result<Mended> {
    let PartitionState { start, end, segment: active, .. } = *state;
    disk.create_dir(dir)?;
    let all: Vec<i64> =
        bases(&disk.list(dir)?).into_iter().filter(|base| *base <= active).collect();
    let mut mended = Mended { segments: Vec::new(), lost: Vec::new() };
    let mut next = start;
    for (at, base) in all.iter().enumerate() {
        let limit = all.get(at + 1).map_or(end, |next| *next);
        let stem = stem(dir, *base);
        let found = find_whole(disk, &stem, *base, limit)?;
        for batches in &found.runs {
            if batches.offsets.start > next {
                mended.lost.push(next..batches.offsets.start);
            }
            next = next.max(batches.offsets.end);
        }
        let size = keep_whole(disk, &stem, &found)?;
        if size > 0 {
            mended.segments.push((*base, size));
        }
    }
    if next < end {
        let size = fill(disk, &stem(dir, next), next..end, state.last_time)?;
        mended.segments.push((next, size));
        mended.lost.push(next..end);
    }
    disk.sync_dir(dir)?;
    disk.sync_dir("")?;
    Ok(mended)
}

/// Batches that lie one behind the other.
struct Run {
    bytes: Range<u64>,
    offsets: Range<i64>,
}

/// What of a segment is whole.
#[derive(Default)]
struct Whole {
    runs: Vec<Run>,
    /// The length of the file.
    length: u64,
}

/// Looks for the batches of a segment whose offsets are from `base` to below `limit`.
fn find_whole(disk: &dyn Disk, stem: &str, base: i64, limit: i64) -> io::Result<Whole> {
    let file = match disk.open(&log_path(stem), Mode::Read) {
        // What may not be opened may be whole.
        Err(error) if is_unreadable(&error) && error.kind() != io::ErrorKind::PermissionDenied => {
            return Ok(Whole::default());
        }
        file => file?,
    };
    let length = file.len()?;
    let mut window = Window { file, length, at: 0, bytes: Vec::new() };
    let mut runs: Vec<Run> = Vec::new();
    let (mut position, mut next) = (0, base);
    while position + HEAD_LENGTH as u64 <= length {
        let head = Head::parse(window.get(position, HEAD_LENGTH)?).ok().filter(|head| {
            head.base_offset >= next
                && head.last_offset() >= head.base_offset
                && head.last_offset() < limit
                && head.size() as u64 <= length - position
        });
        let batch = match &head {
            Some(head) => BatchView::parse_stored(window.get(position, head.size())?).ok(),
            None => None,
        };
        let Some(head) = batch.map(|batch| *batch.head()) else {
            position += 1;
            continue;
        };
        let behind = position + head.size() as u64;
        next = head.last_offset() + 1;
        if let Some(run) = runs.last_mut().filter(|run| run.bytes.end == position) {
            (run.bytes.end, run.offsets.end) = (behind, next);
        } else {
            let offsets = head.base_offset..next;
            runs.push(Run { bytes: position..behind, offsets });
        }
        position = behind;
    }
    Ok(Whole { runs, length })
}

/// Leaves a segment with what is whole of it, and returns its size; without anything it goes.
fn keep_whole(disk: &dyn Disk, stem: &str, found: &Whole) -> io::Result<u64> {
    let size: u64 = found.runs.iter().map(|run| run.bytes.end - run.bytes.start).sum();
    if size == 0 {
        remove(disk, stem)?;
        return Ok(0);
    }
    if size == found.length {
        return Ok(size);
    }
    let path = log_path(stem);
    let aside = log_path(&format!("{}/mended", compaction::DIR));
    disk.create_dir(compaction::DIR)?;
    let (from, to) = (disk.open(&path, Mode::Read)?, disk.open(&aside, Mode::Create)?);
    to.set_len(0)?;
    let mut written = 0;
    let mut piece = Vec::new();
    for Range { start: mut at, end } in found.runs.iter().map(|run| run.bytes.clone()) {
        while at < end {
            let length = usize::try_from(end - at).map_or(PIECE, |left| left.min(PIECE));
            piece.resize(length, 0);
            from.read_exact_at(&mut piece, at)?;
            to.write_at(&piece, written)?;
            at += length as u64;
            written += length as u64;
        }
    }
    to.sync()?;
    // Never the records of one with the index of the other: without, it is made again.
    disk.remove_file(&index::times_path(stem))?;
    disk.remove_file(&index::offsets_path(stem))?;
    disk.rename(&aside, &path)?;
    Ok(size)
}

/// Makes a segment of batches without records that take `offsets`, and returns its size.
fn fill(disk: &dyn Disk, stem: &str, offsets: Range<i64>, time: i64) -> io::Result<u64> {
    segment::remove(disk, stem)?;
    let file = disk.open(&log_path(stem), Mode::Create)?;
    let (mut at, mut position) = (offsets.start, 0);
    while at < offsets.end {
        let count = i32::try_from(offsets.end - at).unwrap_or(i32::MAX);
        file.write_at(&empty_batch(at, count, time), position)?;
        at += i64::from(count);
        position += HEAD_LENGTH as u64;
    }
    file.sync()?;
    Ok(position)
}

/// A part of a file in memory. What the medium does not give back is zeros.
struct Window {
    file: File,
    length: u64,
    at: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The bytes at `position`, of which there are so many.
    fn get(&mut self, position: u64, length: usize) -> io::Result<&[u8]> {
        let inside = |at: u64, bytes: &[u8]| {
            position >= at && position + length as u64 <= at + bytes.len() as u64
        };
        if !inside(self.at, &self.bytes) {
            let left = usize::try_from(self.length - position).unwrap_or(usize::MAX);
            self.at = position;
            self.bytes.clear();
            self.bytes.resize(length.max(PIECE).min(left), 0);
            self.fill()?;
        }
        let from = usize::try_from(position - self.at).map_err(io::Error::other)?;
        Ok(&self.bytes[from..from + length])
    }

    fn fill(&mut self) -> io::Result<()> {
        match self.file.read_at(&mut self.bytes, self.at) {
            Ok(_) => return Ok(()),
            Err(error) if is_unreadable(&error) => {}
            Err(error) => return Err(error),
        }
        let mut at = self.at;
        for block in self.bytes.chunks_mut(BLOCK) {
            if self.file.read_at(block, at).is_err() {
                block.fill(0);
            }
            at += block.len() as u64;
        }
        Ok(())
    }
}
