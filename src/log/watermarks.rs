//! The ends of all partitions, moved together and read together.
//!
//! What holds: a group is published under one write lock, and a request takes all the
//! ends it needs under one read lock; so who has seen a part of a group sees all of it in
//! every later request.

use std::sync::{PoisonError, RwLock};

use tokio::sync::watch;

use super::Ends;

/// Where a partition's ends are kept; given once, never reused while the log is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) usize);

#[derive(Debug)]
pub(super) struct Watermarks {
    ends: RwLock<Vec<Ends>>,
    published: watch::Sender<u64>,
}

impl Watermarks {
    pub(super) fn new() -> Self {
        Self { ends: RwLock::default(), published: watch::Sender::new(0) }
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
