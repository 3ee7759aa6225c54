//! A partition as readers see it: its segments, and where its ends are kept.
//!
//! What holds: segments are in the order of their base offsets; the list is changed by the
//! appender only, and what a reader took of it stays readable.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::Aborted;
use super::damage::Damage;
use super::place::dir;
use super::segment::Segment;
use super::watermarks::Slot;

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) number: i32,
    /// Its directory: `<topic>-<number>`.
    pub(super) dir: String,
    pub(super) slot: Slot,
    segments: RwLock<Vec<Arc<Segment>>>,
    aborted: RwLock<Vec<Aborted>>,
    deleted: AtomicBool,
    offline: OnceLock<Damage>,
}

impl Partition {
    pub(super) fn new(
        topic: &str,
        number: i32,
        slot: Slot,
        segments: Vec<Arc<Segment>>,
        aborted: Vec<Aborted>,
    ) -> Self {
        Self {
            number,
            dir: dir(topic, number),
            slot,
            segments: RwLock::new(segments),
            aborted: RwLock::new(aborted),
            deleted: AtomicBool::new(false),
            offline: OnceLock::new(),
        }
    }

    /// The segments as they are now.
    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The one that is appended to.
    pub(super) fn last_segment(&self) -> Option<Arc<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }

    /// The segment that `offset` is in, or the first if it lies before all.
    pub(super) fn segment_of(&self, offset: i64) -> Option<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let behind = segments.partition_point(|segment| segment.base() <= offset);
        segments.get(behind.saturating_sub(1)).cloned()
    }

    /// The segment behind the one that begins at `base`.
    pub(super) fn segment_after(&self, base: i64) -> Option<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let behind = segments.partition_point(|segment| segment.base() <= base);
        segments.get(behind).cloned()
    }

    /// Changes the list of segments.
    pub(super) fn change(&self, change: impl FnOnce(&mut Vec<Arc<Segment>>)) {
        change(&mut self.segments.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The aborted transactions that overlap `from..to`.
    pub(super) fn aborted(&self, from: i64, to: i64) -> Vec<Aborted> {
        let aborted = self.aborted.read().unwrap_or_else(PoisonError::into_inner);
        let overlaps = |one: &&Aborted| one.last_offset >= from && one.first_offset < to;
        aborted.iter().filter(overlaps).copied().collect()
    }

    pub(super) fn add_aborted(&self, more: &[Aborted]) {
        if !more.is_empty() {
            self.aborted.write().unwrap_or_else(PoisonError::into_inner).extend_from_slice(more);
        }
    }

    /// Forgets what lies before `start`.
    pub(super) fn forget_aborted(&self, start: i64) {
        let mut aborted = self.aborted.write().unwrap_or_else(PoisonError::into_inner);
        aborted.retain(|one| one.last_offset >= start);
    }

    /// What is damaged of it: then it is neither read nor written until the next start.
    pub(super) fn offline(&self) -> Option<&Damage> {
        self.offline.get()
    }

    /// Takes it offline. False if it was already.
    pub(super) fn take_offline(&self, damage: Damage) -> bool {
        self.offline.set(damage).is_ok()
    }

    pub(super) fn delete(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// It is not deleted after all.
    pub(super) fn undelete(&self) {
        self.deleted.store(false, Ordering::Release);
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }
}
