//! Compactions: which are asked of the keeper, and what it proposes put in place.
//!
//! What holds: the keeper builds files aside; only here are they put in the place of others,
//! after a look whether the old segment is still what the partition has. A checkpoint says
//! what may be replaced before anything is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Appender, Failure, Tail};
use crate::clock::Moment;
use crate::log::compaction::{CompactionJob, Ending, Replaced, put_in_place};
use crate::log::damage::Damage;
use crate::log::keeper::{Age, Job};
use crate::log::segment::Segment;
use crate::log::topic::Topic;
use crate::log::watermarks::Slot;

/// A ratio of 1, as topics have it.
const WHOLE: u64 = 1_000_000;

/// A compaction that the keeper has.
#[derive(Debug)]
pub(super) struct Compacting {
    /// The base of the first segment that is not to be compacted.
    before: i64,
    /// What has to be compacted behind it: a checkpoint has passed more meanwhile.
    next: Option<i64>,
    stop: Arc<AtomicBool>,
}

impl Appender {
    /// Of partitions that were rolled before the checkpoint, what was sealed then.
    pub(super) fn start_compactions(&mut self, compactable: &BTreeMap<Slot, i64>) {
        for (slot, before) in compactable {
            if let Some(compacting) = self.compacting.get_mut(slot) {
                compacting.next = Some(*before);
            } else {
                self.compact_if_due(*slot, *before);
            }
        }
    }

    fn compact_if_due(&mut self, slot: Slot, before: i64) {
        let is_there =
            |tail: &&Tail| !tail.partition.is_deleted() && tail.partition.offline().is_none();
        let Some(tail) = self.tails.get(slot).filter(is_there) else { return };
        let due = match due(tail, before, self.now()) {
            Due::Until(until) => Some(until),
            Due::Nothing => None,
            Due::Unread(ages) => return self.ask_ages(slot, before, ages),
        };
        // What time alone makes due is looked at again behind the next checkpoint.
        if due != Some(before) && tail.topic.config().has_compaction_lag() {
            self.rolled.insert(slot);
        }
        if let Some(due) = due {
            self.start_compaction(slot, due);
        }
    }

    /// Has ages of segments read that say whether they are to be compacted.
    fn ask_ages(&mut self, slot: Slot, before: i64, ages: Vec<(Arc<Segment>, Age)>) {
        let stop = Arc::new(AtomicBool::new(false));
        let job = Job::Ages(slot, ages, Arc::clone(&stop));
        if self.helpers.compactor.send(job).is_ok() {
            self.compacting.insert(slot, Compacting { before, next: None, stop });
        }
    }

    /// Ages were read, or some cannot be, or nobody wants them any more.
    pub(super) fn ages_read(&mut self, slot: Slot, are_read: bool) {
        let Some(asked) = self.compacting.remove(&slot) else { return };
        if are_read && !asked.stop.load(Ordering::Acquire) {
            self.compact_if_due(slot, asked.next.unwrap_or(asked.before));
        } else if self.tails.get(slot).is_some() {
            self.rolled.insert(slot);
        }
    }

    fn start_compaction(&mut self, slot: Slot, before: i64) {
        let Some(tail) = self.tails.get(slot) else { return };
        let config = tail.topic.config();
        if tail.partition.is_deleted() || tail.partition.offline().is_some() || !config.compact {
            return;
        }
        let mut segments = tail.partition.segments();
        segments.retain(|segment| segment.base() < before && !segment.is_retired());
        let stop = Arc::new(AtomicBool::new(false));
        let job = CompactionJob {
            slot,
            topic: tail.topic.id(),
            number: tail.partition.number,
            segments,
            // What is not decided yet has no newest record.
            end: tail.producers.first_open().map_or(before, |open| open.min(before)),
            cleaned: tail.cleaned,
            aborted: tail.partition.aborted(i64::MIN, i64::MAX),
            keys: self.shared.settings.compaction_keys,
            now: self.now(),
            delete_retention_ms: config.delete_retention_ms,
            interval: self.shared.settings.index_interval_bytes,
            stop: Arc::clone(&stop),
        };
        if self.helpers.compactor.send(Job::Compaction(job)).is_ok() {
            self.compacting.insert(slot, Compacting { before, next: None, stop });
        }
    }

    /// Puts a compacted segment in its place, if that is still what it was made of.
    pub(super) fn replace_segment(&mut self, slot: Slot, replaced: &Replaced) {
        let Replaced { old, new } = replaced;
        let Some(compacting) = self.compacting.get(&slot) else { return };
        let stop = Arc::clone(&compacting.stop);
        let partition = self.tails.get(slot).map(|tail| Arc::clone(&tail.partition));
        let partition = partition.filter(|partition| {
            let may = self.read_only.is_none() && partition.offline().is_none();
            may && !partition.is_deleted()
        });
        if partition.is_none() {
            stop.store(true, Ordering::Release);
        } else if self.is_held() {
            // Behind the next checkpoint it is tried again.
            stop.store(true, Ordering::Release);
            self.rolled.insert(slot);
        }
        let partition = partition.filter(|partition| {
            let is_there = partition.segments().iter().any(|one| Arc::ptr_eq(one, old));
            is_there && !stop.load(Ordering::Acquire)
        });
        let Some(partition) = partition else {
            if let Some(new) = new {
                new.discard(&*self.shared.disk);
            }
            return;
        };
        let disk = &self.shared.disk;
        // Open before anything is changed in it: from then on it has to be synced.
        let opened = disk.open_dir(&partition.dir);
        let placed = opened.and_then(|dir| {
            old.retire_open()?;
            Ok((dir, put_in_place(&**disk, old, new.as_ref())?))
        });
        let (dir, indexed) = match placed {
            Ok(placed) => placed,
            Err(error) => {
                let path = old.path();
                tracing::warn!(%error, path, "a compacted segment could not be put in place");
                // What has a newer record behind it must not outlive that one's tombstone.
                stop.store(true, Ordering::Release);
                if let Some(new) = new {
                    new.discard(&**disk);
                }
                old.unretire();
                self.rolled.insert(slot);
                return;
            }
        };
        if new.is_none() {
            self.emptied.push(old.stem().to_owned());
        }
        let interval = self.shared.settings.index_interval_bytes;
        let new = new.as_ref().map(|new| {
            Arc::new(Segment::new(disk, &partition.dir, old.base(), new.size, interval, indexed))
        });
        if let Some(Err(error)) = new.as_ref().filter(|_| !indexed).map(|new| new.load_index()) {
            self.lose(format!("read {}: {error}", old.path()));
        }
        partition.change(|segments| {
            if let Some(at) = segments.iter().position(|one| Arc::ptr_eq(one, old)) {
                segments.splice(at..=at, new);
            }
        });
        if let Err(error) = self.shared.lost.sync_opened(&partition.dir, &dir) {
            stop.store(true, Ordering::Release);
            self.lose(Failure::of_sync(&partition.dir, &error).to_string());
        }
    }

    /// The keeper is done with a partition. What failed is tried again behind the next checkpoint;
    /// who stopped it has said whether that is.
    pub(super) fn compaction_ended(&mut self, slot: Slot, ending: Result<Ending, Damage>) {
        let Some(ended) = self.compacting.remove(&slot) else { return };
        let Compacting { before, next, stop } = ended;
        let is_stopped = stop.load(Ordering::Acquire);
        let cleaned = match ending {
            Ok(Ending::Done(cleaned)) if !is_stopped => cleaned,
            Ok(Ending::Done(_) | Ending::Stopped) => {
                // The checkpoint behind which it was to be tried again has passed meanwhile.
                if next.is_some() && self.tails.get(slot).is_some() {
                    self.rolled.insert(slot);
                }
                return;
            }
            Ok(Ending::Failed) => {
                if self.tails.get(slot).is_some() {
                    self.rolled.insert(slot);
                }
                return;
            }
            Err(damage) => {
                if let Some(tail) = self.tails.get(slot) {
                    self.shared.take_offline(&tail.partition, damage);
                }
                return;
            }
        };
        let Some(tail) = self.tails.get_mut(slot) else { return };
        let has_moved = cleaned > tail.cleaned;
        tail.cleaned = tail.cleaned.max(cleaned);
        if has_moved && cleaned < before {
            let before = next.unwrap_or(before);
            self.start_compaction(slot, before);
        } else if let Some(before) = next {
            self.compact_if_due(slot, before);
        }
    }

    /// The settings of a topic changed: what was sealed before may have to be compacted now.
    pub(super) fn look_at_sealed(&mut self, topic: &Topic) {
        let now = self.now();
        for partition in topic.all_partitions() {
            if self.tails.get(partition.slot).is_some_and(|tail| waits(tail, now)) {
                self.rolled.insert(partition.slot);
            }
        }
    }

    /// Asks for no more of what is being compacted.
    pub(super) fn stop_compactions(&self) {
        self.compacting.values().for_each(|one| one.stop.store(true, Ordering::Release));
    }
}

/// Whether the partition has sealed segments to compact, or such as may come of age.
pub(super) fn waits(tail: &Tail, now: Moment) -> bool {
    let config = tail.topic.config();
    let Some(active) = &tail.active else { return false };
    if !config.compact || tail.partition.offline().is_some() || tail.partition.segments().len() < 2
    {
        return false;
    }
    config.has_compaction_lag() || !matches!(due(tail, active.base(), now), Due::Nothing)
}

/// What is to be compacted of a partition now.
enum Due {
    Nothing,
    /// What lies before this offset.
    Until(i64),
    /// These ages say it, and would have to be read.
    Unread(Vec<(Arc<Segment>, Age)>),
}

/// Up to where the partition is to be compacted now, as far as ages are in memory. Segments with a record
/// younger than `min.compaction.lag.ms` wait. Of the others enough must have been appended
/// since the last compaction (`min.cleanable.dirty.ratio`), or the first of that must be
/// older than `max.compaction.lag.ms` (`LogCleanerManager.java`).
fn due(tail: &Tail, before: i64, now: Moment) -> Due {
    let config = tail.topic.config();
    // What lies farther ahead was written while the clock was, and says nothing.
    let farthest = now.latest.saturating_add(config.after_max_ms);
    let now = now.earliest;
    let is_young =
        |time: i64| time > now.saturating_sub(config.min_compaction_lag_ms) && time <= farthest;
    let segments = tail.partition.segments();
    let (mut dirty, mut total, mut until) = (0, 0, before);
    let mut oldest = i64::MAX;
    let mut unread = Vec::new();
    for (at, segment) in segments.iter().enumerate().filter(|(_, one)| one.base() < before) {
        if config.min_compaction_lag_ms > 0 {
            match segment.known_largest_timestamp() {
                None => unread.push((Arc::clone(segment), Age::OfNewest)),
                // Those before it say whether it comes to it at all.
                Some(time) if is_young(time) => {
                    until = segment.base();
                    break;
                }
                Some(_) => {}
            }
        }
        total += segment.size();
        if segments.get(at + 1).is_none_or(|next| next.base() > tail.cleaned) {
            dirty += segment.size();
            if config.max_compaction_lag_ms < i64::MAX {
                match segment.known_first_timestamp() {
                    None => unread.push((Arc::clone(segment), Age::OfFirst)),
                    Some(first) if (0..=farthest).contains(&first) => oldest = oldest.min(first),
                    Some(_) => {}
                }
            }
        }
    }
    if !unread.is_empty() {
        return Due::Unread(unread);
    }
    let least = u64::from(config.min_dirty_ratio);
    let enough = u128::from(dirty) * u128::from(WHOLE) > u128::from(total) * u128::from(least);
    let overdue = oldest < now.saturating_sub(config.max_compaction_lag_ms);
    if dirty > 0 && (enough || overdue) { Due::Until(until) } else { Due::Nothing }
}
