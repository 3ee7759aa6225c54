//! What instances did, table by table and stage by stage: for metrics, not for `/health`.
//!
//! In: what each commit that became durable added. Out: [`Counts`] of all instances, with the busiest
//! tables by name and all others together. Always: a number only rises, also that of the others: what a
//! table did while it was not shown counts there and for itself, so that neither falls when another table
//! is shown. Of an instance at most [`MOST_TABLES`] tables are known; more are others for good.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::change::TableName;

/// Tables that are counted by name.
const MOST_TABLES: usize = 16_384;

/// How long what a table did counts whole.
const COOLS: Duration = Duration::from_mins(1);

/// Upper ends of the buckets of a [`Latency`], in microseconds.
pub const BOUNDS: [u64; 13] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    5_000_000,
];

/// What was published of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that were inserted.
    pub inserted: u64,
    /// Rows that were updated.
    pub updated: u64,
    /// Rows that were deleted.
    pub deleted: u64,
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        let Self { inserted, updated, deleted, messages, bytes } = other;
        self.inserted += inserted;
        self.updated += updated;
        self.deleted += deleted;
        self.messages += messages;
        self.bytes += bytes;
    }
}

/// How long something took, each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// How often it took no longer than each of [`BOUNDS`] and longer than the one before; and more
    /// than all.
    pub counts: [u64; BOUNDS.len() + 1],
    /// All together, in microseconds.
    pub sum: u64,
}

impl Latency {
    /// Counts one.
    pub fn took(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(micros);
    }

    fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }
}

/// The stages that a change goes through within the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// From received to taken by the pipeline.
    pub queue: Latency,
    /// Decoded, formatted, routed: each chunk of a transaction.
    pub encode: Latency,
    /// From handed to the sink to durable: each commit.
    pub commit: Latency,
    /// Microseconds that the source waited since the pipeline had no room.
    pub blocked: u64,
}

/// What a commit added, beside what is in a [`super::Done`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// By table; some may be there more than once.
    pub tables: Vec<(TableName, Tally)>,
    /// Messages that are statements.
    pub statements: u64,
    /// How long it took.
    pub stages: Stages,
}

/// What an instance did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The instance.
    pub instance: String,
    /// The busiest tables of the process that are this instance's.
    pub tables: Vec<(TableName, Tally)>,
    /// What the others did.
    pub others: Tally,
    /// All tables.
    pub all: Tally,
    /// Messages that are statements.
    pub statements: u64,
    /// How long it took.
    pub stages: Stages,
}

/// The counts of all instances; see the head of this file.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    instances: BTreeMap<String, Account>,
    cooled: Option<Instant>,
}

#[derive(Debug, Default)]
struct Account {
    tables: HashMap<TableName, Kept>,
    others: Tally,
    all: Tally,
    statements: u64,
    stages: Stages,
}

#[derive(Debug, Default)]
struct Kept {
    tally: Tally,
    /// What it did of late: halved when the busiest are asked for, and [`COOLS`] has passed.
    heat: u64,
    shown: bool,
}

impl Ledger {
    pub(super) fn add(&mut self, instance: &str, counted: Counted) {
        let Counted { tables, statements, stages } = counted;
        if !self.instances.contains_key(instance) {
            self.instances.insert(instance.to_owned(), Account::default());
        }
        let Some(account) = self.instances.get_mut(instance) else { return };
        for (name, tally) in tables {
            account.add(name, &tally);
        }
        account.statements += statements;
        account.stages.queue.add(&stages.queue);
        account.stages.encode.add(&stages.encode);
        account.stages.commit.add(&stages.commit);
        account.stages.blocked += stages.blocked;
    }

    pub(super) fn remove(&mut self, instance: &str) {
        self.instances.remove(instance);
    }

    /// All counts, with so many tables by name.
    pub(super) fn counts(&mut self, most: usize) -> Vec<Counts> {
        self.choose(most);
        let counts = self.instances.iter().map(|(name, account)| {
            let shown = account.tables.iter().filter(|(_, kept)| kept.shown);
            let mut tables: Vec<_> = shown.map(|(name, kept)| (name.clone(), kept.tally)).collect();
            tables.sort_by(|(one, _), (other, _)| one.cmp(other));
            Counts {
                instance: name.clone(),
                tables,
                others: account.others,
                all: account.all,
                statements: account.statements,
                stages: account.stages,
            }
        });
        counts.collect()
    }

    /// Chooses the tables that are shown. One that is shown stays so until another does twice as much,
    /// so that two of them do not take turns.
    fn choose(&mut self, most: usize) {
        let is_due = self.cooled.is_none_or(|at| at.elapsed() >= COOLS);
        if is_due {
            self.cooled = Some(Instant::now());
        }
        let mut all: Vec<(u64, &mut Kept)> = Vec::new();
        for kept in self.instances.values_mut().flat_map(|account| account.tables.values_mut()) {
            let heat = kept.heat.saturating_mul(if kept.shown { 2 } else { 1 });
            if is_due {
                kept.heat /= 2;
            }
            all.push((heat, kept));
        }
        all.sort_by(|(one, _), (other, _)| other.cmp(one));
        for (place, (_, kept)) in all.into_iter().enumerate() {
            kept.shown = place < most;
        }
    }
}

impl Account {
    fn add(&mut self, name: TableName, tally: &Tally) {
        self.all.add(tally);
        let is_known = self.tables.contains_key(&name);
        if !is_known && self.tables.len() >= MOST_TABLES {
            self.others.add(tally);
            return;
        }
        let kept = self.tables.entry(name).or_default();
        kept.tally.add(tally);
        // Twice, so that the last of it is not halved away.
        kept.heat = kept.heat.saturating_add(2 * tally.messages);
        if !kept.shown {
            self.others.add(tally);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(table: &str, messages: u64) -> Counted {
        let tally = Tally { messages, inserted: messages, ..Tally::default() };
        Counted { tables: vec![(TableName::new("db", table), tally)], ..Counted::default() }
    }

    fn shown(ledger: &mut Ledger, most: usize) -> Vec<(String, u64)> {
        let counts = ledger.counts(most).into_iter().flat_map(|counts| counts.tables);
        counts.map(|(name, tally)| (name.table.to_string(), tally.messages)).collect()
    }

    #[test]
    fn the_busiest_of_all_instances_are_shown_and_no_number_falls() {
        let mut ledger = Ledger::default();
        for (instance, table, messages) in [("a", "t1", 5), ("a", "t2", 9), ("b", "t3", 7)] {
            ledger.add(instance, counted(table, messages));
        }
        let pairs = |all: &[(&str, u64)]| -> Vec<(String, u64)> {
            all.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        assert_eq!(shown(&mut ledger, 2), pairs(&[("t2", 9), ("t3", 7)]));
        let others = |ledger: &mut Ledger| -> Vec<u64> {
            ledger.counts(2).iter().map(|counts| counts.others.messages).collect()
        };
        // All that was done before anybody asked.
        let before = others(&mut ledger);
        assert_eq!(before, [14, 7]);
        ledger.add("a", counted("t2", 1));
        ledger.add("a", counted("t1", 100));
        assert_eq!(shown(&mut ledger, 2), pairs(&[("t1", 105), ("t2", 10)]));
        let after = others(&mut ledger);
        assert_eq!(after, [114, 7]);
        let all: u64 = ledger.counts(2).iter().map(|counts| counts.all.messages).sum();
        assert_eq!(all, 122);
    }

    #[test]
    fn one_that_is_shown_stays_until_another_does_twice_as_much() {
        let mut ledger = Ledger::default();
        ledger.add("a", counted("t1", 10));
        ledger.add("a", counted("t2", 9));
        assert_eq!(shown(&mut ledger, 1)[0].0, "t1");
        for _ in 0..20 {
            ledger.add("a", counted("t1", 10));
            ledger.add("a", counted("t2", 15));
            assert_eq!(shown(&mut ledger, 1)[0].0, "t1");
        }
        ledger.add("a", counted("t2", 200));
        assert_eq!(shown(&mut ledger, 1)[0].0, "t2");
    }

    #[test]
    fn a_time_is_counted_once_in_the_bucket_that_it_fits() {
        let mut latency = Latency::default();
        for micros in [0, 100, 101, 5_000_000, 5_000_001] {
            latency.took(Duration::from_micros(micros));
        }
        let counts = latency.counts;
        assert_eq!((counts[0], counts[1], counts[12], counts[13]), (2, 1, 1, 1));
        assert_eq!((counts.iter().sum::<u64>(), latency.sum), (5, 10_000_202));
    }
}
