//! The savepoints of an open transaction.
//!
//! In: the name of each, and how many changes were before it. Out: the names, and what lies behind
//! one. The binlog says of none that it was released, so a transaction that sets and releases one a
//! row (as mappers of objects do, with a number in each name) has as many here as rows.
//!
//! Always: setting one takes a constant time, all in all; together they are bounded.

use std::collections::HashSet;

/// What all of a transaction may take, in bytes: some two million of common names.
const MOST_BYTES: usize = 64 << 20;
/// From so many on, those are dropped whose names came again.
const FEW: usize = 1024;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// All names, one behind the other.
    names: String,
    /// Oldest first.
    all: Vec<Mark>,
    /// At so many, repeated names are looked for.
    next_look: usize,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Where its name ends.
    end: u32,
    /// How many changes were before it.
    before: u64,
}

impl Marks {
    /// One is set; false if there are too many.
    #[must_use]
    pub(super) fn set(&mut self, name: &str, before: u64) -> bool {
        if self.all.len() >= self.next_look.max(FEW) {
            self.drop_repeated();
            self.next_look = 2 * self.all.len();
        }
        if self.names().next_back() == Some(name) {
            // A savepoint of the same name takes the place of the older one.
            self.truncate(self.all.len() - 1);
        }
        self.names.push_str(name);
        let end = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.all.push(Mark { end, before });
        self.names.len() + self.all.len() * size_of::<Mark>() <= MOST_BYTES
    }

    /// Oldest first.
    pub(super) fn names(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        (0..self.all.len()).map(|index| {
            let begin = index.checked_sub(1).map_or(0, |before| self.end(before));
            self.names.get(begin..self.end(index)).unwrap_or_default()
        })
    }

    /// How many changes were before the one of that number.
    pub(super) fn before(&self, index: usize) -> Option<u64> {
        self.all.get(index).map(|mark| mark.before)
    }

    /// The first `count` stay.
    pub(super) fn truncate(&mut self, count: usize) {
        self.all.truncate(count);
        self.names.truncate(count.checked_sub(1).map_or(0, |last| self.end(last)));
    }

    fn end(&self, index: usize) -> usize {
        self.all.get(index).map_or(0, |mark| mark.end as usize)
    }

    /// Of savepoints with the same name only the newest is one.
    fn drop_repeated(&mut self) {
        let mut seen = HashSet::with_capacity(self.all.len());
        let mut is_newest: Vec<bool> = self.names().rev().map(|name| seen.insert(name)).collect();
        is_newest.reverse();
        let mut kept = Self { all: Vec::with_capacity(seen.len()), ..Self::default() };
        for ((name, mark), _) in self.names().zip(&self.all).zip(is_newest).filter(|(_, is)| *is) {
            kept.names.push_str(name);
            let end = u32::try_from(kept.names.len()).unwrap_or(u32::MAX);
            kept.all.push(Mark { end, before: mark.before });
        }
        *self = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_savepoints_take_little_time_and_room() {
        let mut marks = Marks::default();
        assert!(marks.set("outer", 1));
        for number in 0..1_000_000 {
            assert!(marks.set(&format!("s140_x{number}"), number), "{number}");
        }
        assert_eq!(marks.names().len(), 1_000_001);
        assert_eq!(marks.names().next_back(), Some("s140_x999999"));
        assert_eq!(marks.before(500_001), Some(500_000));
        marks.truncate(1);
        assert_eq!(marks.names().collect::<Vec<_>>(), ["outer"]);
        assert!(marks.set("next", 7));
        assert_eq!(marks.names().collect::<Vec<_>>(), ["outer", "next"]);
        assert_eq!((marks.before(0), marks.before(1), marks.before(2)), (Some(1), Some(7), None));
        marks.truncate(0);
        assert_eq!(marks.names().len(), 0);
    }

    #[test]
    fn names_that_come_again_take_no_room() {
        let mut marks = Marks::default();
        for number in 0..100_000 {
            assert!(marks.set("same", number));
            assert_eq!((marks.names().len(), marks.before(0)), (1, Some(number)));
        }
        for number in 0..1_000_000 {
            assert!(marks.set(["a", "b", "c"][usize::try_from(number).unwrap() % 3], number));
        }
        assert!(marks.names().len() <= 2 * FEW, "{}", marks.names().len());
        // The newest of each name is where it was set last.
        let last = |name| marks.names().rposition(|one| one == name);
        assert_eq!(last("a").and_then(|index| marks.before(index)), Some(999_999));
        assert_eq!(last("c").and_then(|index| marks.before(index)), Some(999_998));
        assert_eq!(last("same").and_then(|index| marks.before(index)), Some(99_999));
    }

    #[test]
    fn beyond_their_room_there_are_too_many() {
        let mut marks = Marks::default();
        let mut number = 0;
        let long = "x".repeat(184);
        while marks.set(&format!("{long}{number:08}"), number) {
            number += 1;
        }
        assert!((300_000..400_000).contains(&number), "{number}");
    }
}
