//! A map that keeps what was asked for lately.
//!
//! Always: it holds no more than its limit. When it is full, the eighth that was asked for
//! least recently goes at once, so that the search for it costs little a value.

use std::collections::HashMap;
use std::hash::Hash;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    limit: usize,
    /// How often anything was asked for.
    now: u64,
    found: HashMap<K, Kept<V>>,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    asked: u64,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    /// An empty one that holds up to `limit` values.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, now: 0, found: HashMap::new() }
    }

    /// The value of `key`, made if it is not there.
    pub(super) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.now += 1;
        if self.found.len() >= self.limit && !self.found.contains_key(&key) {
            self.forget_oldest();
        }
        let kept = self.found.entry(key).or_insert_with(|| Kept { value: make(), asked: 0 });
        kept.asked = self.now;
        &mut kept.value
    }

    fn forget_oldest(&mut self) {
        let mut asked: Vec<u64> = self.found.values().map(|kept| kept.asked).collect();
        let last_to_go = asked.len() / 8;
        if let Some((_, last, _)) =
            (!asked.is_empty()).then(|| asked.select_nth_unstable(last_to_go))
        {
            let last = *last;
            self.found.retain(|_, kept| kept.asked > last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_least_recently_goes_first() {
        let mut recent = Recent::new(64);
        let mut made = Vec::new();
        for key in 0..64 {
            recent.get_or_insert_with(key, || made.push(key));
        }
        for key in 0..8 {
            recent.get_or_insert_with(key, || made.push(key));
        }
        assert_eq!(made, (0..64).collect::<Vec<_>>(), "each once while there is room");
        made.clear();
        for key in 100..1000 {
            recent.get_or_insert_with(key, || made.push(key));
            recent.get_or_insert_with(0, || made.push(0));
            assert!(recent.found.len() <= 64, "{}", recent.found.len());
        }
        assert_eq!(made, (100..1000).collect::<Vec<_>>(), "what is in use stays");
        recent.get_or_insert_with(8, || made.push(8));
        assert_eq!(made.last(), Some(&8), "what is not, goes");
    }
}
