//! Member ids that were given out, and not yet joined with (`MEMBER_ID_REQUIRED`).
//!
//! In: ids, and until when each is kept. Out: whether one was given out. Always: no more than
//! [`MOST`]: the one that would be forgotten first gives way; nothing walks over all of them.

use std::collections::{BTreeMap, BTreeSet};

/// As many are kept.
const MOST: usize = 10_000;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Promises {
    until: BTreeMap<String, i64>,
    by_time: BTreeSet<(i64, String)>,
    /// Of all ids.
    id_bytes: usize,
}

/// What one takes in memory beside its id, which is there twice.
const PROMISE: usize = 192;

impl Promises {
    pub(super) fn insert(&mut self, id: String, until: i64) {
        self.remove(&id);
        if self.until.len() >= MOST
            && let Some((_, first)) = self.by_time.pop_first()
        {
            self.id_bytes -= first.len();
            self.until.remove(&first);
        }
        self.id_bytes += id.len();
        self.by_time.insert((until, id.clone()));
        self.until.insert(id, until);
    }

    /// Whether it was given out, and not forgotten. It is then.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        let Some(until) = self.until.remove(id) else { return false };
        self.id_bytes -= id.len();
        self.by_time.remove(&(until, id.to_owned()));
        true
    }

    /// Forgets those whose time is over.
    pub(super) fn expire(&mut self, now: i64) {
        while let Some((until, _)) = self.by_time.first()
            && *until <= now
            && let Some((_, id)) = self.by_time.pop_first()
        {
            self.id_bytes -= id.len();
            self.until.remove(&id);
        }
    }

    /// What they take in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.until.len() * PROMISE + 2 * self.id_bytes
    }

    /// When the next is forgotten.
    pub(super) fn deadline(&self) -> Option<i64> {
        self.by_time.first().map(|(until, _)| *until)
    }

    pub(super) fn len(&self) -> usize {
        self.until.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.until.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_end_in_time_and_the_first_to_end_gives_way() {
        let mut promises = Promises::default();
        let most = i64::try_from(MOST).unwrap();
        for n in 0..most + 3 {
            promises.insert(format!("m-{n}"), 100 + n);
        }
        assert_eq!((promises.len(), promises.by_time.len()), (MOST, MOST));
        assert!(!promises.remove("m-2") && promises.remove("m-3"));
        assert!(!promises.remove("m-3"), "it was joined with");
        assert_eq!(promises.deadline(), Some(104));
        promises.insert("m-5".to_owned(), 99);
        assert_eq!(promises.deadline(), Some(99));
        promises.expire(104);
        assert_eq!((promises.deadline(), promises.len()), (Some(106), MOST - 3));
        promises.expire(i64::MAX);
        assert!(promises.is_empty() && promises.by_time.is_empty());
        assert_eq!(promises.bytes(), 0);
    }
}
