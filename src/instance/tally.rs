//! What was encoded of each table since the last commit.
//!
//! In: each message, and the ends of transactions. Out: what of it is whole. Always: what is rolled
//! back was never counted. A message costs an addition: the table remembers its place.

use crate::change::{RowsKind, TableName};
use crate::control::Tally;

/// Where a table counts, until what was counted is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    epoch: u64,
    number: usize,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    entries: Vec<Entry>,
    /// Those that the transaction at hand has touched.
    touched: Vec<usize>,
    /// Statements: of whole transactions, and of the one at hand.
    statements: (u64, u64),
    /// Rises whenever places are void.
    epoch: u64,
}

#[derive(Debug)]
struct Entry {
    name: TableName,
    whole: Tally,
    open: Tally,
    is_touched: bool,
}

impl Tallies {
    /// Counts a message of a table.
    pub(super) fn rows(
        &mut self,
        place: &mut Option<Place>,
        name: &TableName,
        kind: RowsKind,
        (rows, bytes): (usize, usize),
    ) {
        let number = match place {
            Some(place) if place.epoch == self.epoch => place.number,
            _ => {
                let (whole, open) = (Tally::default(), Tally::default());
                self.entries.push(Entry { name: name.clone(), whole, open, is_touched: false });
                let number = self.entries.len() - 1;
                place.insert(Place { epoch: self.epoch, number }).number
            }
        };
        let Some(entry) = self.entries.get_mut(number) else { return };
        if !std::mem::replace(&mut entry.is_touched, true) {
            self.touched.push(number);
        }
        let count = match kind {
            RowsKind::Insert => &mut entry.open.inserted,
            RowsKind::Update => &mut entry.open.updated,
            RowsKind::Delete => &mut entry.open.deleted,
        };
        *count += rows as u64;
        entry.open.messages += 1;
        entry.open.bytes += bytes as u64;
    }

    /// Counts a statement.
    pub(super) fn statement(&mut self) {
        self.statements.1 += 1;
    }

    /// The transaction at hand is whole.
    pub(super) fn end(&mut self) {
        self.settle(|entry, open| entry.whole.add(&open));
        self.statements.0 += std::mem::take(&mut self.statements.1);
    }

    /// The transaction at hand never was.
    pub(super) fn roll_back(&mut self) {
        self.settle(|_, _| ());
        self.statements.1 = 0;
    }

    /// Forgets what was not taken.
    pub(super) fn clear(&mut self) {
        let epoch = self.epoch.wrapping_add(1);
        *self = Self { epoch, ..Self::default() };
    }

    /// Takes what is whole: tables, and how many statements. No transaction is at hand.
    pub(super) fn take(&mut self) -> (Vec<(TableName, Tally)>, u64) {
        let (entries, statements) = (std::mem::take(&mut self.entries), self.statements.0);
        self.clear();
        let whole = entries.into_iter().filter(|entry| entry.whole.messages > 0);
        (whole.map(|entry| (entry.name, entry.whole)).collect(), statements)
    }

    fn settle(&mut self, settle: impl Fn(&mut Entry, Tally)) {
        for number in self.touched.drain(..) {
            if let Some(entry) = self.entries.get_mut(number) {
                entry.is_touched = false;
                let open = std::mem::take(&mut entry.open);
                settle(entry, open);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rolled_back_was_never_counted_and_a_place_is_void_when_all_is_taken() {
        let mut tallies = Tallies::default();
        let (t, u) = (TableName::new("db", "t"), TableName::new("db", "u"));
        let (mut of_t, mut of_u) = (None, None);
        tallies.rows(&mut of_t, &t, RowsKind::Insert, (3, 30));
        tallies.statement();
        tallies.end();
        tallies.rows(&mut of_t, &t, RowsKind::Delete, (1, 10));
        tallies.rows(&mut of_u, &u, RowsKind::Update, (1, 10));
        tallies.statement();
        tallies.roll_back();
        tallies.rows(&mut of_t, &t, RowsKind::Update, (2, 20));
        tallies.end();
        let tally = Tally { inserted: 3, updated: 2, messages: 2, bytes: 50, ..Tally::default() };
        assert_eq!(tallies.take(), (vec![(t.clone(), tally)], 1));
        tallies.rows(&mut of_t, &t, RowsKind::Insert, (1, 1));
        tallies.end();
        assert_eq!(tallies.take().0.len(), 1);
        assert_eq!(tallies.take(), (Vec::new(), 0));
    }
}
