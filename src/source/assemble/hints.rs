//! What earlier readings have found of transactions whose begin was handed over too early.
//!
//! In: a hint from each reading that had to end, and which transactions were read to their end.
//! Out: what is known of the transaction that is being read. Always: a hint stays until the
//! position is behind its transaction, for until then it may have to be read again; so each
//! reading gets at least one transaction further than the one before.

use std::collections::HashSet;
use std::sync::Arc;

use crate::change::{FileName, TableName};

/// What a reading has found of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    /// The transaction's file
    pub(crate) file: FileName,
    /// and the offset of its first event.
    pub(crate) transaction: u64,
    /// It is an XA branch that is committed in one phase: nothing holds its changes.
    pub(crate) in_one_phase: bool,
    /// What of it is rolled back, in the order of the rollbacks.
    pub(crate) rolled_back: Vec<RolledBack>,
}

/// Changes that are rolled back, by their numbers within their transaction: all events inside a
/// compressed one are at the same offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RolledBack {
    /// From this change
    pub(crate) from: u64,
    /// to before this one,
    pub(crate) to: u64,
    /// but for these tables.
    pub(crate) kept: Arc<HashSet<TableName>>,
}

/// So many ranges of one transaction are kept, each behind changes that are not rolled back: some
/// 25 MB.
pub(super) const MOST_ROLLED_BACK: usize = 500_000;

/// A rollback of the changes from `from` to before `to`, which are the last that came, is one more.
/// What it covers, or goes on from, is the same range; false if there are too many.
pub(super) fn add_rolled_back(
    ranges: &mut Vec<RolledBack>,
    (from, to): (u64, u64),
    kept: HashSet<TableName>,
) -> bool {
    if from >= to {
        return true;
    }
    while ranges.pop_if(|last| last.from >= from).is_some() {}
    let kept = match ranges.last_mut() {
        Some(last) if *last.kept == kept && last.to >= from => {
            last.to = to;
            return true;
        }
        Some(last) if *last.kept == kept => Arc::clone(&last.kept),
        Some(_) | None => Arc::new(kept),
    };
    ranges.push(RolledBack { from, to, kept });
    ranges.len() <= MOST_ROLLED_BACK
}

/// All hints that may still be needed, of one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hints {
    /// Places say something on this server only.
    server: Arc<str>,
    known: Vec<Known>,
}

#[derive(Clone, Debug)]
struct Known {
    /// Its rollbacks are sorted by their ends.
    hint: Hint,
    /// For each rollback the least begin of it and those behind it.
    least: Vec<u64>,
    /// The reading that is going on has come to the end of its transaction.
    is_read: bool,
}

impl Hints {
    /// A reading begins at the position, on this server.
    pub(crate) fn begin(&mut self, server: &Arc<str>) {
        if *self.server != **server {
            self.server = Arc::clone(server);
            self.known.clear();
        }
        for known in &mut self.known {
            known.is_read = false;
        }
    }

    /// Keeps a hint; false if all of it was known, so that reading again would end at the same
    /// place.
    pub(crate) fn learn(&mut self, hint: Hint) -> bool {
        let Hint { file, transaction, in_one_phase, rolled_back } = hint;
        let index = self.known.iter().position(|known| known.is_of(&file, transaction));
        let known = if let Some(index) = index {
            self.known.swap_remove(index)
        } else {
            let hint = Hint { file, transaction, in_one_phase: false, rolled_back: Vec::new() };
            Known { hint, least: Vec::new(), is_read: false }
        };
        let (known, is_news) = known.with(in_one_phase, rolled_back);
        self.known.push(known);
        is_news
    }

    /// The transaction that begins there was read to its end.
    pub(super) fn read(&mut self, file: &str, begin: u64) {
        for known in &mut self.known {
            known.is_read |= known.is_of(file, begin);
        }
    }

    /// The position is behind all that this reading has come to the end of.
    pub(super) fn forget_what_was_read(&mut self) {
        if !self.known.is_empty() {
            self.known.retain(|known| !known.is_read);
        }
    }

    fn of(&self, file: &str, begin: u64) -> Option<&Known> {
        self.known.iter().find(|known| known.is_of(file, begin))
    }

    /// Whether the branch that begins there is committed in one phase.
    pub(super) fn is_in_one_phase(&self, file: &str, begin: u64) -> bool {
        self.of(file, begin).is_some_and(|known| known.hint.in_one_phase)
    }

    /// Whether these changes of the transaction that begins there are known to be rolled back.
    pub(super) fn knows(&self, file: &str, begin: u64, from: u64, to: u64) -> bool {
        self.of(file, begin).is_some_and(|known| known.has(from, to))
    }

    /// Whether a change of the transaction that begins there, of this table, is rolled back.
    pub(super) fn is_rolled_back(
        &self,
        (file, begin): (&str, u64),
        number: u64,
        table: &TableName,
    ) -> bool {
        self.of(file, begin).is_some_and(|known| known.rolls_back(number, table))
    }
}

impl Known {
    fn is_of(&self, file: &str, transaction: u64) -> bool {
        *self.hint.file == *file && self.hint.transaction == transaction
    }

    /// Whether one covers these. The tables that it leaves are those of then, and some that changed
    /// nothing before.
    fn has(&self, from: u64, to: u64) -> bool {
        let first = self.hint.rolled_back.partition_point(|range| range.to < to);
        self.least.get(first).is_some_and(|least| *least <= from)
    }

    fn rolls_back(&self, number: u64, table: &TableName) -> bool {
        let ranges = &self.hint.rolled_back;
        let first = ranges.partition_point(|range| range.to <= number);
        ranges
            .iter()
            .zip(&self.least)
            .skip(first)
            .take_while(|(_, least)| **least <= number)
            .any(|(range, _)| range.from <= number && !range.kept.contains(table))
    }

    /// With more; and whether that is news.
    fn with(mut self, in_one_phase: bool, rolled_back: Vec<RolledBack>) -> (Self, bool) {
        let news: Vec<RolledBack> =
            rolled_back.into_iter().filter(|range| !self.has(range.from, range.to)).collect();
        let is_news = !news.is_empty() || (in_one_phase && !self.hint.in_one_phase);
        self.hint.in_one_phase |= in_one_phase;
        let ranges = &mut self.hint.rolled_back;
        ranges.extend(news);
        ranges.sort_by_key(|range| range.to);
        let mut least = u64::MAX;
        self.least = vec![0; ranges.len()];
        for (range, slot) in ranges.iter().zip(&mut self.least).rev() {
            least = least.min(range.from);
            *slot = least;
        }
        (self, is_news)
    }
}
