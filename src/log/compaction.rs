//! Compaction: of each key the newest record stays.
//!
//! In: the sealed segments of a partition that a checkpoint has passed. Out: segments to
//! put in their places; none where nothing stayed.
//!
//! What holds: offsets stay as they were; a record goes only if a newer one of its key is
//! durable; a tombstone goes when it is older than `delete.retention.ms`, and what it
//! deleted before it. Segments are taken oldest first, each built aside, synced and renamed
//! into its place, so a crash finds either the old or the new one. Control batches and
//! compressed ones are kept whole.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;

use super::index;
use super::segment::{Segment, remove, stem};
use super::watermarks::Slot;
use crate::disk::{Disk, Mode, parent};
use crate::record::{BatchView, RecordView, batches};

/// How many keys are looked at in one run; more memory is not taken. The keys behind them
/// have their turn in a later run.
const MOST_KEYS: usize = 1 << 20;

/// How much of a segment is in memory at once, or one batch.
const PIECE: u64 = 1 << 20;

/// What to compact.
#[derive(Debug)]
pub(super) struct CompactionJob {
    pub(super) slot: Slot,
    pub(super) dir: String,
    /// All segments of the partition, oldest first.
    pub(super) segments: Vec<Arc<Segment>>,
    /// Those that begin before it are sealed, and a checkpoint has passed them.
    pub(super) before: i64,
    /// Tombstones that are older may go.
    pub(super) tombstones_before: i64,
    pub(super) interval: u64,
}

/// An old segment and what stands in its place.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) old: Arc<Segment>,
    pub(super) new: Option<Arc<Segment>>,
}

/// The newest offset of a key, by a hash of 128 bits.
type Newest = HashMap<(u64, u64), i64>;

impl CompactionJob {
    /// Compacts segment by segment; those done before a failure stay done.
    pub(super) fn carry_out(&self, disk: &Arc<dyn Disk>) -> Vec<Replaced> {
        let mut done = Vec::new();
        if let Err(error) = self.compact(disk, &mut done) {
            tracing::warn!(%error, dir = self.dir, "compaction stopped; it is tried again later");
        }
        done
    }

    fn compact(&self, disk: &Arc<dyn Disk>, done: &mut Vec<Replaced>) -> io::Result<()> {
        let newest = self.newest()?;
        for old in self.segments.iter().filter(|segment| segment.base() < self.before) {
            if old.is_retired() {
                continue;
            }
            if let Some(replaced) = self.compact_segment(disk, old, &newest)? {
                done.push(replaced);
            }
        }
        Ok(())
    }

    fn newest(&self) -> io::Result<Newest> {
        let mut newest = Newest::new();
        for segment in &self.segments {
            if newest.len() >= MOST_KEYS {
                break;
            }
            each_batch(segment, |batch| {
                for record in batch.records().map_while(Result::ok) {
                    if let Some(key) = record.key {
                        newest.insert(hash(key), record.offset);
                    }
                }
                Ok(())
            })?;
        }
        Ok(newest)
    }

    /// `None` if all of the segment stays.
    fn compact_segment(
        &self,
        disk: &Arc<dyn Disk>,
        old: &Arc<Segment>,
        newest: &Newest,
    ) -> io::Result<Option<Replaced>> {
        let keep = |record: &RecordView<'_>| {
            let Some(key) = record.key else { return false };
            let superseded = newest.get(&hash(key)).is_some_and(|offset| *offset > record.offset);
            let expired = record.value.is_none() && record.timestamp < self.tombstones_before;
            !superseded && !expired
        };
        let aside = format!("{}.cleaned", old.path());
        let file = disk.open(&aside, Mode::Create)?;
        file.set_len(0)?;
        let mut size = 0;
        each_batch(old, |batch| {
            let whole = batch.head().is_control()
                || batch.records().next().is_some_and(|record| record.is_err());
            let kept = if whole {
                Some(batch.as_bytes().to_vec())
            } else {
                batch.retain(keep).map_err(io::Error::other)?
            };
            if let Some(bytes) = kept {
                file.write_at(&bytes, size)?;
                size += bytes.len() as u64;
            }
            Ok(())
        })?;
        if size == old.size() {
            disk.remove_file(&aside)?;
            return Ok(None);
        }
        file.sync()?;
        // Who reads the old one goes on to read the old one.
        old.pin()?;
        if size == 0 {
            disk.remove_file(&aside)?;
            remove(&**disk, old.stem())?;
            disk.sync_dir(parent(old.stem()))?;
            return Ok(Some(Replaced { old: Arc::clone(old), new: None }));
        }
        disk.remove_file(&index::offsets_path(old.stem()))?;
        disk.remove_file(&index::times_path(old.stem()))?;
        disk.rename(&aside, &old.path())?;
        disk.sync_dir(parent(old.stem()))?;
        debug_assert_eq!(old.stem(), stem(&self.dir, old.base()));
        let new = Segment::new(disk, &self.dir, old.base(), size, self.interval, false);
        new.load_index()?;
        new.sync(true).map_err(|failure| io::Error::other(failure.to_string()))?;
        Ok(Some(Replaced { old: Arc::clone(old), new: Some(Arc::new(new)) }))
    }
}

/// Shows the committed batches of a segment, a piece at a time.
fn each_batch(
    segment: &Segment,
    mut visit: impl FnMut(BatchView<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let (size, mut position, mut wanted) = (segment.size(), 0, PIECE);
    let file = segment.file()?;
    while position < size {
        let length = wanted.min(size - position);
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, position)?;
        let mut read = 0;
        for batch in batches(&bytes).map_while(Result::ok) {
            read += batch.as_bytes().len() as u64;
            visit(batch)?;
        }
        if read == 0 && position + length == size {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a batch is damaged"));
        }
        // A batch larger than the piece: take more at once.
        wanted = if read == 0 { wanted * 2 } else { PIECE };
        position += read;
    }
    Ok(())
}

fn hash(key: &[u8]) -> (u64, u64) {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, key).hash(&mut hasher);
        hasher.finish()
    };
    (half(0), half(1))
}
