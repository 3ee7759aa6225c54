//! What of the log is damaged: where it is looked for, and what it leads to.
//!
//! Owns: the list of what was found. In: the segments that the log was opened with, and what
//! readers and the keeper come upon. Out: partitions that are offline.
//!
//! What holds: damage of a partition takes that partition offline by itself. It is then neither
//! read nor written, and its files stay as they are until a start that accepts the damage
//! (`recovery`). Batches are read here and never changed; the indexes of a segment that do not
//! fit its batches are made again. A start looks at the newest segment of each partition, as far
//! as that takes no time; all the others are looked at behind it, slowly, while the log is in
//! use. Independently of both, a reader is never given a stored batch whose checksum is wrong
//! (`reader`).

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::sync::watch;

use super::Ends;
use super::partition::Partition;
use super::segment::{Segment, damaged};
use super::shared::Shared;
use crate::disk::{File, is_unreadable};
use crate::record::{BatchView, CRC_START, Head};

/// How much is read at once.
const PIECE: usize = 256 << 10;

/// A start looks at so many bytes at most, and in so many files.
const START_BYTES: u64 = 16 << 20;
const START_FILES: usize = 256;

/// After each piece the look behind the start rests: 64 MiB a second at most.
const REST: Duration = Duration::from_millis(4);

/// What is wrong with a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// The base offset of the segment that it is in.
    pub(super) segment: i64,
    /// File and byte, and what is there.
    pub(super) what: String,
    pub(super) kind: DamageKind,
}

/// What that leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DamageKind {
    /// Something is lost.
    Lost,
    /// The file may be as it was: this process is not allowed to open it.
    Forbidden,
    /// All that was acknowledged may be there, but nothing more can be written to it.
    Unwritable,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Damage {
    /// Of a segment in which no batch, or another one, is at `position`.
    pub(super) fn at(segment: &Segment, position: u64) -> Self {
        Self::of(segment, &damaged(position))
    }

    /// Of a segment that failed a reader.
    pub(super) fn of(segment: &Segment, error: &io::Error) -> Self {
        Self::of_file(segment.base(), &segment.path(), error)
    }

    /// Of a file of a segment that cannot be opened or read.
    pub(super) fn of_file(segment: i64, path: &str, error: &io::Error) -> Self {
        let is_forbidden = error.kind() == io::ErrorKind::PermissionDenied;
        let kind = if is_forbidden { DamageKind::Forbidden } else { DamageKind::Lost };
        Self { segment, what: format!("{path}: {error}"), kind }
    }

    /// Of a segment whose file does not take what is written to it.
    pub(super) fn of_write(segment: &Segment, error: &io::Error) -> Self {
        let damage = Self::of(segment, error);
        match (damage.kind, error.kind()) {
            (DamageKind::Lost, io::ErrorKind::NotFound) | (DamageKind::Forbidden, _) => damage,
            (DamageKind::Lost | DamageKind::Unwritable, _) => Self {
                what: format!("cannot write to {}", damage.what),
                kind: DamageKind::Unwritable,
                ..damage
            },
        }
    }

    /// Of what is not as it was written.
    pub(super) fn new(segment: i64, what: String) -> Self {
        Self { segment, what, kind: DamageKind::Lost }
    }
}

/// What was found, oldest first: directory of the partition, and what is wrong in it.
#[derive(Debug)]
pub(super) struct Findings {
    found: watch::Sender<Vec<(String, String)>>,
}

impl Default for Findings {
    fn default() -> Self {
        Self { found: watch::Sender::new(Vec::new()) }
    }
}

impl Findings {
    /// Lists a partition that is offline.
    pub(super) fn report(&self, partition: &str, damage: &Damage) {
        match damage.kind {
            DamageKind::Forbidden => tracing::error!(
                "partition {partition} is offline, a file of it cannot be opened: {damage}; let the \
                 user that sluice runs as read and write it, and start sluice again"
            ),
            DamageKind::Unwritable => tracing::error!(
                "partition {partition} is offline, nothing more can be written to a file of it: \
                 {damage}; mend the disk or its file system, or put the log on another one, while \
                 the program is stopped, and start it again"
            ),
            DamageKind::Lost => tracing::error!(
                "partition {partition} is offline, its files are damaged: {damage}; put a copy of \
                 the file in its place while the program is stopped, or start with \
                 SLUICE_LOG_ACCEPT_DAMAGE={partition} to go on without what is lost"
            ),
        }
        let text = format!("partition {partition} is offline: {damage}");
        self.found.send_modify(|all| all.push((partition.to_owned(), text)));
    }

    /// The partition is no more.
    pub(super) fn forget(&self, partition: &str) {
        self.found.send_if_modified(|all| {
            let before = all.len();
            all.retain(|(other, _)| other != partition);
            all.len() != before
        });
    }

    pub(super) fn watch(&self) -> watch::Receiver<Vec<(String, String)>> {
        self.found.subscribe()
    }
}

/// What a start may still look at.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: u64,
    files: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: START_BYTES, files: START_FILES }
    }
}

impl Budget {
    /// Looks at a segment whose offsets are below `end`, if it may.
    pub(super) fn look(&mut self, segment: &Segment, end: i64) -> io::Result<Option<Damage>> {
        let size = segment.found();
        if size > self.bytes || self.files == 0 {
            return Ok(None);
        }
        self.bytes -= size;
        self.files -= 1;
        look(segment, end)
    }
}

/// Looks at all of a segment whose offsets are below `end`.
pub(super) fn look(segment: &Segment, end: i64) -> io::Result<Option<Damage>> {
    let found = first_damage(segment, end, || true);
    segment.close();
    match found {
        Err(error) if is_unreadable(&error) => Ok(Some(Damage::of(segment, &error))),
        found => found,
    }
}

/// Looks at everything that was there when the log was opened, until it is closed.
pub(super) fn look_at_all(shared: &Shared) {
    for topic in shared.catalog(super::catalog::Catalog::all) {
        for partition in topic.all_partitions() {
            if !look_at_partition(shared, partition) {
                return;
            }
        }
    }
}

/// False once the log is closed.
fn look_at_partition(shared: &Shared, partition: &Partition) -> bool {
    if partition.offline().is_some() {
        return true;
    }
    let segments = partition.segments();
    let Some(Ends { high_watermark, .. }) = shared.watermarks.get(partition.slot) else {
        return true;
    };
    for (at, segment) in segments.iter().enumerate().filter(|(_, one)| one.found() > 0) {
        let end = segments.get(at + 1).map_or(high_watermark, |next| next.base());
        let go_on = || {
            std::thread::sleep(REST);
            !shared.queue.is_closed()
        };
        let found = first_damage(segment, end, go_on);
        if shared.queue.is_closed() {
            return false;
        }
        look_at_outcome(shared, partition, segment, found);
        segment.close();
    }
    true
}

fn look_at_outcome(
    shared: &Shared,
    partition: &Partition,
    segment: &Segment,
    found: io::Result<Option<Damage>>,
) {
    // Its name may be that of another file by now.
    if segment.is_retired() {
        return;
    }
    match found {
        Ok(Some(damage)) => shared.take_offline(partition, damage),
        Ok(None) => match segment.mend_index() {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!(path = segment.path(), "an index was damaged, and was made again");
            }
            Err(error) => tracing::warn!(%error, path = segment.path(), "cannot read an index"),
        },
        Err(error) if is_unreadable(&error) => {
            shared.take_offline(partition, Damage::of(segment, &error));
        }
        Err(error) => tracing::error!(%error, path = segment.path(), "cannot read a segment"),
    }
}

/// The first place, of what was there when the log was opened, where no batch is as it was
/// written: by its checksum, and by its offsets, which that does not cover. `go_on` is asked
/// at each piece.
fn first_damage(
    segment: &Segment,
    end: i64,
    mut go_on: impl FnMut() -> bool,
) -> io::Result<Option<Damage>> {
    let file = segment.file()?;
    let size = segment.found();
    let mut position = 0;
    let mut order = Order { next: segment.base(), end, last: 0 };
    let damage = |position| Ok(Some(Damage::at(segment, position)));
    let mut piece = vec![0; PIECE];
    while position < size && go_on() {
        let length = usize::try_from(size - position).map_or(PIECE, |left| left.min(PIECE));
        let read = file.read_at(&mut piece[..length], position)?;
        let mut at = 0;
        while let Some(head) = whole_batch(&piece[at..read]) {
            if !order.takes(position + at as u64, &head) {
                return damage(order.last);
            }
            at += head.size();
        }
        if at == 0 {
            // Longer than the piece, or damaged.
            let Ok(head) = Head::parse(&piece[..read]) else { return damage(position) };
            let fits = head.size() > length && position + head.size() as u64 <= size;
            if !fits || !has_checksum(&file, position, &head, &mut piece)? {
                return damage(position);
            }
            if !order.takes(position, &head) {
                return damage(order.last);
            }
            at = head.size();
        }
        position += at as u64;
    }
    Ok(None)
}

/// The offsets of the batches of a segment, which no checksum covers.
struct Order {
    /// Where the next batch may begin.
    next: i64,
    /// What no offset reaches.
    end: i64,
    /// The position of the last batch that was taken.
    last: u64,
}

impl Order {
    /// Takes the batch at `position`; false if its offset is wrong, or that of the last one.
    fn takes(&mut self, position: u64, head: &Head) -> bool {
        if head.base_offset < self.next || head.last_offset() >= self.end {
            return false;
        }
        (self.next, self.last) = (head.last_offset() + 1, position);
        true
    }
}

/// The head of the batch at the front of `bytes`, if all of it is there and whole.
fn whole_batch(bytes: &[u8]) -> Option<Head> {
    BatchView::parse_stored(bytes).ok().map(|batch| *batch.head())
}

/// Whether a batch that is larger than `piece` has the checksum that its head says.
fn has_checksum(file: &File, position: u64, head: &Head, piece: &mut [u8]) -> io::Result<bool> {
    let mut crc = 0;
    let mut at = CRC_START;
    while at < head.size() {
        let part = piece.len().min(head.size() - at);
        file.read_exact_at(&mut piece[..part], position + at as u64)?;
        crc = crc32c::crc32c_append(crc, &piece[..part]);
        at += part;
    }
    Ok(crc == head.crc)
}
