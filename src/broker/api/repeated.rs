//! What a request names more than once.
//!
//! Where something is changed, Kafka carries out nothing of that, and says so once for each
//! (`ControllerApis.scala`): which of the two is meant nobody knows. Elsewhere it takes them for one
//! or answers each, as `tests/it/kafka_answers/repetitions.rs` shows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// Why nothing is done about what is named twice.
pub(super) const REFUSED: &str = "it is named twice in one request";

/// Those of `items` that are named once, in their order; and one for each that is named more
/// often.
pub(super) fn split<T, K: Hash + Eq>(items: Vec<T>, name: impl Fn(&T) -> K) -> (Vec<T>, Vec<T>) {
    let (once, repeated) = part(items, &name);
    (once, merge(repeated, name))
}

/// Those of `items` that are named once, and all others, in their order.
pub(super) fn part<T, K: Hash + Eq>(items: Vec<T>, name: impl Fn(&T) -> K) -> (Vec<T>, Vec<T>) {
    let mut counts = HashMap::<K, usize>::new();
    for item in &items {
        *counts.entry(name(item)).or_default() += 1;
    }
    items.into_iter().partition(|item| counts.get(&name(item)) == Some(&1))
}

/// Those of `items` that are named the first time, each with what is said of it last, where a
/// repetition means the same (as Kafka's maps have it).
pub(super) fn merge<T, K: Hash + Eq>(items: Vec<T>, name: impl Fn(&T) -> K) -> Vec<T> {
    if items.len() < 2 {
        return items;
    }
    let mut places = HashMap::with_capacity(items.len());
    let mut merged: Vec<T> = Vec::with_capacity(items.len());
    for item in items {
        match places.entry(name(&item)) {
            Entry::Vacant(vacant) => {
                vacant.insert(merged.len());
                merged.push(item);
            }
            Entry::Occupied(place) => {
                if let Some(first) = merged.get_mut(*place.get()) {
                    *first = item;
                }
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_either_named_once_or_told_once() {
        let (once, repeated) = split(vec!["a", "b", "a", "c", "b", "a"], |name| *name);
        assert_eq!((once, repeated), (vec!["c"], vec!["a", "b"]));
    }

    #[test]
    fn what_is_said_last_holds_in_the_first_place() {
        let merged = merge(vec![("a", 1), ("b", 2), ("a", 3)], |(name, _)| *name);
        assert_eq!(merged, [("a", 3), ("b", 2)]);
    }
}
