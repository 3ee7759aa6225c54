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

/// Where a partition's ends are kept; given once, never reused while the log is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) usize);

#[derive(Debug)]
pub(super) struct Watermarks {
    ends: RwLock<Vec<Ends>>,
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
        let mut all = self.ends.write().unwrap_or_else(PoisonError::into_inner);
        all.push(ends);
        Slot(all.len() - 1)
    }

    /// Shows new ends, all of them at one moment.
    pub(super) fn publish(&self, moved: &[(Slot, Ends)]) {
        {
            let mut all = self.ends.write().unwrap_or_else(PoisonError::into_inner);
            for (slot, ends) in moved {
                all[slot.0] = *ends;
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

    /// The ends of several partitions at one moment.
    pub(super) fn snapshot<T>(&self, look: impl FnOnce(&dyn Fn(Slot) -> Ends) -> T) -> T {
        let all = self.ends.read().unwrap_or_else(PoisonError::into_inner);
        look(&|slot| all[slot.0])
    }

    pub(super) fn get(&self, slot: Slot) -> Ends {
        self.snapshot(|ends| ends(slot))
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }
}
