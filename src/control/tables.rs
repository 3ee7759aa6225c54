//! What was encoded of each table of an instance, since the process began.
//!
//! The pipeline counts, on its own thread, what it makes records of; whoever watches reads. What is
//! encoded again behind a failure counts again: how much became durable, the progress says.
//! Always: bounded; tables beyond [`MOST_TABLES`] count as one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// As many tables are told apart.
const MOST_TABLES: usize = 10_000;

/// The tables of one instance. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct TableCounts(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    tables: Mutex<BTreeMap<(String, String), Arc<TableCount>>>,
    others: Arc<TableCount>,
}

/// One table, or all that are not told apart.
#[derive(Debug, Default)]
pub struct TableCount {
    rows: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    last_ms: AtomicU64,
}

/// What was encoded of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableStatus {
    /// The table, as `db.table`; empty: all that are not told apart.
    pub table: String,
    /// The topic that its changes go to.
    pub topic: String,
    /// Rows.
    pub rows: u64,
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The time of the last change, by the server, in milliseconds since 1970.
    pub last_ms: u64,
}

impl TableCounts {
    /// What counts the changes of a table that go to a topic.
    pub fn of(&self, table: &str, topic: &str) -> Arc<TableCount> {
        let mut tables = self.0.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (table.to_owned(), topic.to_owned());
        if let Some(count) = tables.get(&key) {
            return Arc::clone(count);
        }
        if tables.len() >= MOST_TABLES {
            return Arc::clone(&self.0.others);
        }
        Arc::clone(tables.entry(key).or_default())
    }

    /// All of them: `most` of those whose last change is the newest.
    pub fn newest(&self, most: usize) -> Vec<TableStatus> {
        let tables = self.0.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<TableStatus> =
            tables.iter().map(|((table, topic), count)| count.status(table, topic)).collect();
        drop(tables);
        if self.0.others.messages.load(Relaxed) > 0 {
            all.push(self.0.others.status("", ""));
        }
        all.sort_by(|one, other| other.last_ms.cmp(&one.last_ms).then(one.table.cmp(&other.table)));
        all.truncate(most);
        all
    }

    /// The sum of all.
    pub fn total(&self) -> TableStatus {
        let tables = self.0.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = TableStatus::default();
        for count in tables.values().chain([&self.0.others]) {
            let one = count.status("", "");
            total.rows += one.rows;
            total.messages += one.messages;
            total.bytes += one.bytes;
            total.last_ms = total.last_ms.max(one.last_ms);
        }
        total
    }

    /// The topics that changes go to.
    pub fn topics(&self) -> Vec<String> {
        let tables = self.0.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let mut topics: Vec<String> = tables.keys().map(|(_, topic)| topic.clone()).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}

impl TableCount {
    /// Counts a message with so many rows and bytes, of a change of that time.
    pub fn add(&self, rows: u64, bytes: u64, at_ms: i64) {
        self.rows.fetch_add(rows, Relaxed);
        self.messages.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        self.last_ms.fetch_max(u64::try_from(at_ms).unwrap_or_default(), Relaxed);
    }

    fn status(&self, table: &str, topic: &str) -> TableStatus {
        TableStatus {
            table: table.to_owned(),
            topic: topic.to_owned(),
            rows: self.rows.load(Relaxed),
            messages: self.messages.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            last_ms: self.last_ms.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_counted_apart_up_to_a_bound_and_none_is_lost() {
        let counts = TableCounts::default();
        for (number, at) in (0..MOST_TABLES + 5).zip(0_i64..) {
            counts.of(&format!("d.t{number}"), "topic").add(2, 10, at);
        }
        counts.of("d.t0", "topic").add(1, 1, 99_999);
        let newest = counts.newest(3);
        assert_eq!((&*newest[0].table, newest[0].rows, newest[0].messages), ("d.t0", 3, 2));
        assert_eq!((&*newest[1].table, newest[1].rows), ("", 10), "those that are not told apart");
        let all = MOST_TABLES as u64 + 5;
        assert_eq!((counts.total().rows, counts.total().messages), (all * 2 + 1, all + 1));
        assert_eq!(counts.topics(), ["topic"]);
    }
}
