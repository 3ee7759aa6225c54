//! What was published, held against what was committed and what was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use super::DATABASE;
use super::fetcher::Fetched;
use super::load::{Change, Committed, KEYS, TABLES, is_branch, rows_of};
use super::watcher::Watched;
use crate::harness::{PATIENCE, Record, Server, topics};

/// All records, by topic.
pub(super) type Published = BTreeMap<String, Vec<Record>>;

pub(super) fn topic(table: &str) -> String {
    format!("{DATABASE}.{table}")
}

pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    TABLES.into_iter().chain(["ledger"])
}

/// A record's place among those of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tx {
    number: usize,
    end: bool,
}

impl Tx {
    /// Of the value of the header `tx`.
    pub(super) fn parse(text: &str) -> Self {
        let (number, end) = match text.strip_suffix("/end") {
            Some(number) => (number, true),
            None => (text, false),
        };
        Self { number: number.parse().unwrap(), end }
    }

    /// Whether these are all records of a transaction.
    pub(super) fn are_whole(seen: &BTreeSet<Self>) -> bool {
        seen.last().is_some_and(|last| last.end && last.number + 1 == seen.len())
    }
}

impl fmt::Display for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.number, if self.end { "/end" } else { "" })
    }
}

/// Waits until as much is published as was committed, and a moment longer for what should not
/// come.
pub(super) fn drained(bootstrap: &str, committed: &Committed) -> Published {
    drained_of(committed, |topic| topics::read(bootstrap, topic))
}

/// The same of topics that are read in another way.
pub(super) fn drained_of(
    committed: &Committed,
    read_topic: impl Fn(&str) -> Vec<Record>,
) -> Published {
    // Notices of a loss are no changes.
    let messages = |table| {
        let records = read_topic(&topic(table)).into_iter();
        records.filter(|record| !record.headers.contains_key("lost"))
    };
    let read = || -> Published {
        let records = |table| messages(table).map(shortened);
        tables().map(|table| (topic(table), records(table).collect())).collect()
    };
    // Each transaction has one message there. A slow machine may take as long as it goes on.
    let (mut seen, mut moved) = (0, Instant::now());
    while seen < committed.transactions() && moved.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(200));
        let ledger = messages("ledger").count();
        if ledger > seen {
            (seen, moved) = (ledger, Instant::now());
        }
    }
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let published = read();
        let alters = published.values().flatten().filter(|one| is_ddl(one)).count();
        if alters >= committed.ddl.len() || moved.elapsed() > PATIENCE {
            return published;
        }
    }
}

/// The record with long runs of the filling `x` replaced by their lengths; compared by blocks,
/// since they are most of all bytes.
pub(super) fn shortened(mut record: Record) -> Record {
    const BLOCK: [u8; 1000] = [b'x'; 1000];
    let bytes = record.value.as_bytes();
    let (mut short, mut kept, mut at) = (String::new(), 0, 0);
    while at < bytes.len() {
        if !bytes[at..].starts_with(&BLOCK) {
            at += BLOCK.len();
            continue;
        }
        let before = bytes[kept..at].iter().rev().take_while(|byte| **byte == b'x').count();
        let from = at - before;
        while bytes[at..].starts_with(&BLOCK) {
            at += BLOCK.len();
        }
        at += bytes[at..].iter().take_while(|byte| **byte == b'x').count();
        let _ = write!(short, "{}({})", &record.value[kept..from], at - from);
        kept = at;
    }
    short.push_str(&record.value[kept..]);
    record.value = short;
    record
}

fn is_ddl(record: &Record) -> bool {
    record.json()["isDdl"].as_bool().unwrap()
}

/// The row changes of a message.
fn changes(record: &Record) -> Vec<Change> {
    let json = record.json();
    let kind = match json["type"].as_str().unwrap() {
        "INSERT" => "INSERT",
        "UPDATE" => "UPDATE",
        "DELETE" => "DELETE",
        "ALTER" => return Vec::new(),
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
        for (worker, transactions) in &committed.workers {
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
        let workers = committed.changes().filter(|one| one.table == table);
        assert_eq!(all.len(), workers.count(), "{table} holds changes of nobody");
    }
}

/// The GTIDs of XA transactions.
fn branches(published: &Published) -> BTreeSet<&str> {
    let is_of_branch = |record: &&Record| {
        let changes = changes(record);
        changes.iter().any(|change| is_branch(worker_of(change), change.id))
    };
    let ledger = published[&topic("ledger")].iter().filter(is_of_branch);
    ledger.map(|record| record.headers["gtid"].as_str()).collect()
}

/// Each ALTER is there once and in order, and the rows have the columns of the table as it was
/// when they were changed: those of an XA transaction may have been changed before an ALTER that
/// its XA COMMIT comes behind.
pub(super) fn each_alter_once_and_between_its_rows(committed: &Committed, published: &Published) {
    let branches = branches(published);
    for table in TABLES {
        let mut alters = committed.ddl.iter().filter(|ddl| ddl.table == table);
        let mut columns = BTreeSet::from(["id", "mark", "pad"].map(str::to_owned));
        for record in &published[&topic(table)] {
            let json = record.json();
            if is_ddl(record) {
                let alter = alters.next();
                let sql = alter.map(|alter| alter.sql.as_str());
                assert_eq!(json["sql"].as_str(), sql, "the next ALTER in {record:?}");
                let alter = alter.unwrap();
                if alter.adds {
                    columns.insert(alter.column.clone());
                } else {
                    columns.remove(&alter.column);
                }
            } else if !branches.contains(&*record.headers["gtid"]) {
                let names = |json: &serde_json::Value| -> BTreeSet<String> {
                    json.as_object().unwrap().keys().cloned().collect()
                };
                assert_eq!(names(&json["mysqlType"]), columns, "the columns in {record:?}");
                assert_eq!(names(&json["data"][0]), columns, "the columns in {record:?}");
            }
        }
        assert_eq!(alters.next(), None, "an ALTER of {table} was not published");
    }
}

/// Each transaction's `tx` headers count from 0 without holes over all topics, the last says
/// `end`, and in each topic transactions are in the source's order.
pub(super) fn headers_number_each_transaction(published: &Published) {
    let mut transactions: BTreeMap<&str, BTreeSet<Tx>> = BTreeMap::new();
    for (topic, records) in published {
        let order: Vec<u64> = records.iter().map(sequence).collect();
        assert!(order.is_sorted(), "{topic} is not in the order of the source's GTIDs");
        for Record { headers, .. } in records {
            let (gtid, tx) = (&headers["gtid"], Tx::parse(&headers["tx"]));
            let fresh = transactions.entry(gtid).or_default().insert(tx);
            assert!(fresh, "two records with tx {tx} of {gtid}");
        }
    }
    for (gtid, seen) in transactions {
        assert!(Tx::are_whole(&seen), "the tx headers of {gtid}: {seen:?}");
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

/// No answer to a request for all topics ended within a transaction, and together they had all.
pub(super) fn each_answer_ended_between_transactions(fetched: &Fetched, published: &Published) {
    let first: Vec<_> = fetched.partial.iter().take(5).collect();
    assert!(first.is_empty(), "{} answers did not, the first: {first:#?}", fetched.partial.len());
    for (topic, records) in published {
        let seen = fetched.next.get(topic).copied();
        assert_eq!(seen, Some(i64::try_from(records.len()).unwrap()), "records fetched of {topic}");
    }
    assert!(fetched.judged > 0, "no answer had records");
}
