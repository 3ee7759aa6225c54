//! The ends of all partitions, moved together and read together.
//!
//! What holds: a group is published under one write lock, and a request takes all the
//! ends it needs under one read lock; so who has seen a part of a group sees all of it in
//! every later request. Who waits is woken by the partitions it waits for, and by no other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::{Notify, watch};

use super::Ends;

/// Where a partition's ends are kept. The place of a deleted one is used again, in another
/// generation: who holds the old slot finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slot {
    at: usize,
    generation: u64,
}

impl Slot {
    /// That of no partition.
    pub(super) const NONE: Self = Self { at: usize::MAX, generation: 0 };

    /// Its place among all, which one partition at a time has.
    pub(super) fn at(self) -> usize {
        self.at
    }
}

/// The places of all partitions, and whose they are.
#[derive(Debug, Default)]
struct Places {
    all: Vec<(Slot, Ends)>,
    free: Vec<Slot>,
}

impl Places {
    fn get(&self, slot: Slot) -> Option<Ends> {
        let (owner, ends) = self.all.get(slot.at)?;
        (*owner == slot).then_some(*ends)
    }
}

#[derive(Debug)]
pub(super) struct Watermarks {
    ends: RwLock<Places>,
    published: watch::Sender<u64>,
    waiting: Mutex<HashMap<Slot, HashMap<u64, Arc<Notify>>>>,
    waiters: AtomicU64,
}

impl Watermarks {
    pub(super) fn new() -> Self {
        Self {
            ends: RwLock::default(),
            published: watch::Sender::new(0),
            waiting: Mutex::default(),
            waiters: AtomicU64::new(0),
        }
    }

    /// A place for one more partition.
    pub(super) fn add(&self, ends: Ends) -> Slot {
        let mut places = self.ends.write().unwrap_or_else(PoisonError::into_inner);
        let Some(Slot { at, generation }) = places.free.pop() else {
            let slot = Slot { at: places.all.len(), generation: 0 };
            places.all.push((slot, ends));
            return slot;
        };
        let slot = Slot { at, generation: generation + 1 };
        places.all[at] = (slot, ends);
        slot
    }

    /// The partition is no more.
    pub(super) fn free(&self, slot: Slot) {
        let mut places = self.ends.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.all.get_mut(slot.at).filter(|place| place.0 == slot) {
            // Until then nobody finds it.
            place.0 = Slot::NONE;
            places.free.push(slot);
        }
    }

    /// How many places there are, free ones too.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.ends.read().unwrap_or_else(PoisonError::into_inner).all.len()
    }

    /// Shows new ends, all of them at one moment.
    pub(super) fn publish(&self, moved: &[(Slot, Ends)]) {
        {
            let mut places = self.ends.write().unwrap_or_else(PoisonError::into_inner);
            for (slot, ends) in moved {
                if let Some(place) = places.all.get_mut(slot.at).filter(|place| place.0 == *slot) {
                    place.1 = *ends;
                }
            }
        }
        self.published.send_modify(|times| *times += 1);
        self.wake(moved.iter().map(|(slot, _)| slot));
    }

    /// Wakes who waits for partitions.
    pub(super) fn wake<'a>(&self, slots: impl IntoIterator<Item = &'a Slot>) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in slots {
            for waiter in waiting.get(slot).into_iter().flatten() {
                waiter.1.notify_one();
            }
        }
    }

    /// Registers who waits for any of `slots` to move.
    pub(super) fn wait_for(&self, slots: &[Slot]) -> (u64, Arc<Notify>) {
        let number = self.waiters.fetch_add(1, Ordering::Relaxed);
        let woken = Arc::new(Notify::new());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in slots {
            waiting.entry(*slot).or_default().insert(number, Arc::clone(&woken));
        }
        (number, woken)
    }

    /// It waits no more.
    pub(super) fn wait_no_more(&self, number: u64, slots: &[Slot]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in slots {
            if let Some(of_slot) = waiting.get_mut(slot) {
                of_slot.remove(&number);
                if of_slot.is_empty() {
                    waiting.remove(slot);
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn count_waiting(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The ends of several partitions at one moment; none of those that are no more.
    pub(super) fn snapshot<T>(&self, look: impl FnOnce(&dyn Fn(Slot) -> Option<Ends>) -> T) -> T {
        let places = self.ends.read().unwrap_or_else(PoisonError::into_inner);
        look(&|slot| places.get(slot))
    }

    pub(super) fn get(&self, slot: Slot) -> Option<Ends> {
        self.snapshot(|ends| ends(slot))
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_slot_never_reaches_a_new_partition() {
        let marks = Watermarks::new();
        let ends = |end| Ends { high_watermark: end, ..Ends::default() };
        let (old, other) = (marks.add(ends(7)), marks.add(ends(1)));
        marks.free(old);
        marks.free(old);
        assert_eq!(marks.get(old), None);
        let new = marks.add(ends(2));
        assert_eq!((new.at(), marks.count()), (old.at(), 2), "the place is used again");
        assert_ne!(marks.add(ends(3)).at(), new.at(), "and only once");
        marks.publish(&[(old, ends(99))]);
        marks.free(old);
        assert_eq!((marks.get(old), marks.get(new)), (None, Some(ends(2))));
        assert_eq!(marks.get(other), Some(ends(1)));
        assert_eq!(marks.get(Slot::NONE), None);
    }
}
