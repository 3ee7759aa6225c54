//! What was published, held against what was committed and what was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::DATABASE;
use super::load::{Change, Committed, KEYS, TABLES, rows_of};
use super::watcher::Watched;
use crate::harness::{Record, Server, topics};

/// All records, by topic.
pub(super) type Published = BTreeMap<String, Vec<Record>>;

const DRAIN: Duration = Duration::from_mins(1);

fn topic(table: &str) -> String {
    format!("{DATABASE}.{table}")
}

fn tables() -> impl Iterator<Item = &'static str> {
    TABLES.into_iter().chain(["ledger"])
}

/// Waits until as many changes are published as were committed, and a moment longer for what
/// should not come.
pub(super) fn drained(bootstrap: &str, committed: &Committed) -> Published {
    let awaited = committed.values().flatten().map(Vec::len).sum::<usize>();
    let begun = Instant::now();
    let read = || -> Published {
        tables().map(|table| (topic(table), topics::read(bootstrap, &topic(table)))).collect()
    };
    while read().values().flatten().flat_map(changes).count() < awaited && begun.elapsed() < DRAIN {
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(Duration::from_millis(300));
    read()
}

/// The row changes of a message.
fn changes(record: &Record) -> Vec<Change> {
    let json = record.json();
    let kind = match json["type"].as_str().unwrap() {
        "INSERT" => "INSERT",
        "UPDATE" => "UPDATE",
        "DELETE" => "DELETE",
        other => panic!("a message of type {other} in {record:?}"),
    };
    let table = json["table"].as_str().unwrap();
    let rows = json["data"].as_array().unwrap().iter().map(|row| {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let (id, mark) = if table == "ledger" {
            (text("number"), format!("{}-{}", text("worker"), text("number")))
        } else {
            (text("id"), text("mark"))
        };
        Change { table: table.to_owned(), kind, id: id.parse().unwrap(), mark }
    });
    rows.collect()
}

/// Whose change it is: workers have rows of their own.
fn worker_of(change: &Change) -> u64 {
    if change.table == "ledger" {
        change.mark.split_once('-').unwrap().0.parse().unwrap()
    } else {
        change.id / KEYS
    }
}

pub(super) fn each_change_once_and_in_order(committed: &Committed, published: &Published) {
    for table in tables() {
        let all: Vec<Change> = published[&topic(table)].iter().flat_map(changes).collect();
        for (worker, transactions) in committed {
            let wanted = transactions.iter().flatten().filter(|change| change.table == table);
            let got = all.iter().filter(|change| worker_of(change) == *worker);
            let (wanted, got): (Vec<_>, Vec<_>) = (wanted.collect(), got.collect());
            let first = wanted.iter().zip(&got).position(|(wanted, got)| wanted != got);
            let at = first.unwrap_or(wanted.len().min(got.len()));
            assert!(
                wanted == got,
                "{table}, worker {worker}: {} changes were committed, {} are published; \
                 they part at {at}: committed {:?}, published {:?}",
                wanted.len(),
                got.len(),
                wanted.get(at),
                got.get(at),
            );
        }
        let workers = committed.values().flatten().flatten().filter(|one| one.table == table);
        assert_eq!(all.len(), workers.count(), "{table} holds changes of nobody");
    }
}

/// Each transaction's `tx` headers count from 0 without holes over all topics, the last says
/// `end`, and in each topic transactions stand in the source's order.
pub(super) fn headers_number_each_transaction(published: &Published) {
    let mut numbers: BTreeMap<&str, BTreeSet<(usize, bool)>> = BTreeMap::new();
    for (topic, records) in published {
        let order: Vec<u64> = records.iter().map(sequence).collect();
        assert!(order.is_sorted(), "{topic} is not in the order of the source's GTIDs");
        for record in records {
            let tx = &record.headers["tx"];
            let (number, end) = match tx.strip_suffix("/end") {
                Some(number) => (number, true),
                None => (tx.as_str(), false),
            };
            let fresh = numbers
                .entry(&record.headers["gtid"])
                .or_default()
                .insert((number.parse().unwrap(), end));
            assert!(fresh, "two records with tx {tx} of {}", record.headers["gtid"]);
        }
    }
    for (gtid, numbers) in numbers {
        let wanted: BTreeSet<_> = (0..numbers.len()).map(|n| (n, n + 1 == numbers.len())).collect();
        assert_eq!(numbers, wanted, "the tx headers of {gtid}");
    }
}

/// The number in `uuid:number` or `domain-server-number`: both servers give it in commit order.
fn sequence(record: &Record) -> u64 {
    record.headers["gtid"].rsplit([':', '-']).next().unwrap().parse().unwrap()
}

pub(super) fn replayed_it_is_the_source(server: &Server, published: &Published) {
    for table in TABLES {
        let mut rows: BTreeMap<u64, String> = BTreeMap::new();
        for change in published[&topic(table)].iter().flat_map(changes) {
            let before = rows.remove(&change.id);
            assert_eq!(before.is_none(), change.kind == "INSERT", "{change:?} over {before:?}");
            if change.kind != "DELETE" {
                rows.insert(change.id, change.mark);
            }
        }
        assert_eq!(rows, rows_of(server, table), "{table}, replayed and as the source has it");
    }
}

/// What a client was ever shown is still there, the same bytes at the same offsets, and it was
/// shown everything.
pub(super) fn seen_is_what_is_there(watched: &Watched, published: &Published) {
    for (topic, records) in published {
        let seen: Vec<&Record> = watched.records.iter().filter(|one| one.topic == *topic).collect();
        for (seen, there) in seen.iter().zip(records) {
            assert_eq!(*seen, there, "a record that a client saw is another now");
        }
        assert_eq!(seen.len(), records.len(), "records of {topic} that the client saw, and all");
    }
}

/// When a record of a transaction had been seen, all of it was before the ends asked for next.
pub(super) fn never_a_part_of_a_transaction(watched: &Watched, published: &Published) {
    let mut parts: BTreeMap<&str, Vec<(&str, i64)>> = BTreeMap::new();
    for record in published.values().flatten() {
        parts.entry(&record.headers["gtid"]).or_default().push((&record.topic, record.offset));
    }
    let mut checked = 0;
    for look in &watched.looks {
        for record in &watched.records[checked..look.seen] {
            let gtid = record.headers["gtid"].as_str();
            for (topic, offset) in &parts[gtid] {
                // A topic that came into being since was not asked for.
                let Some(&end) = look.ends.get(*topic) else { continue };
                assert!(
                    *offset < end,
                    "{gtid} was seen in {}, but {topic} ended at {end} before its offset {offset}",
                    record.topic,
                );
            }
        }
        checked = look.seen;
    }
    assert!(checked > 0, "the client never compared what it saw with the ends");
}
