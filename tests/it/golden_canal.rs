//! Our messages beside those of real Canal, line by line and byte for byte.
//!
//! `tests/golden/canal` holds SQL and what Canal 1.1.8 wrote for it (its README says how). Here
//! the same SQL goes through the real binary, with Canal's own properties, into a topic for all
//! tables and into a topic for each. What varies from run to run (`id`, `ts`) is masked; every
//! other difference has a [`mended::Kind`], and the test computes the text it must have.

mod mended;
mod stops;
mod surgery;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{self, Record, Server, Sluice, topics};

/// A line of a recording.
struct Line {
    topic: String,
    value: String,
}

type Properties = &'static [(&'static str, &'static str)];

const ONE_TOPIC: Properties = &[("canal.mq.topic", "canal_single")];
const A_TOPIC_A_TABLE: Properties =
    &[("canal.mq.topic", "canal_default"), ("canal.mq.dynamicTopic", r".*\..*")];

/// The scripts, and the recordings of what they change.
const SETS: [&str; 3] = ["types", "dml", "ddl"];

#[test]
fn types_are_written_as_canal_writes_them() {
    compare("types");
}

#[test]
fn row_changes_are_written_as_canal_writes_them() {
    compare("dml");
}

#[test]
fn definitions_are_written_as_canal_writes_them() {
    compare("ddl");
}

#[test]
fn each_kind_of_difference_is_met_in_the_recordings() {
    let kinds = SETS.into_iter().flat_map(|set| {
        let recorded = recording(&format!("{set}.single.jsonl"));
        let numbered = recorded.into_iter().enumerate();
        numbered.flat_map(move |(at, line)| mended::ours(set, at + 1, &masked(&line.value)).1)
    });
    assert_eq!(kinds.collect::<BTreeSet<_>>(), mended::ALL.into_iter().collect());
}

/// With FULL metadata, names, signs and character sets come from the table maps and not from the
/// statements: nothing of it can be seen.
#[test]
fn the_servers_metadata_changes_no_byte() {
    let Some(mysql) = harness::servers::private_mysql(&["--binlog-row-metadata=FULL"]) else {
        return;
    };
    let sluice = publishing(&mysql, &[("single", ONE_TOPIC)]);
    let mut all = Vec::new();
    for set in SETS {
        mysql.mysql_client("", &script(set));
        all.extend(wanted(set, &recording(&format!("{set}.single.jsonl"))));
    }
    assert_same("all", &all, &read(&sluice, "canal_single", all.len()));
    drop_after(mysql, sluice);
}

/// Into a Kafka cluster go the same bytes, with the same headers and keys, into the same
/// partitions.
#[test]
fn a_kafka_cluster_gets_what_the_bundled_log_gets() {
    const HASHED: Properties = &[
        ("canal.mq.topic", "canal_hashed"),
        ("canal.mq.partitionsNum", "3"),
        ("canal.mq.partitionHash", r".*\..*:$pk$"),
    ];
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    let Some(kafka) = harness::kafka::kafka() else { return };
    let embedded = publishing(&mysql, &[("log_single", ONE_TOPIC), ("log_hashed", HASHED)]);
    let mut clustered = with_instances(&mysql, &[("single", ONE_TOPIC), ("hashed", HASHED)]);
    clustered.use_cluster(kafka);
    clustered.start();
    let mut all = Vec::new();
    for set in SETS {
        mysql.mysql_client("", &script(set));
        all.extend(wanted(set, &recording(&format!("{set}.single.jsonl"))));
    }
    let single = kafka.read_at_least("canal_single", all.len());
    assert_same("all", &all, &single);
    let of_log = read(&embedded, "canal_hashed", all.len());
    let of_cluster = kafka.read_at_least("canal_hashed", of_log.len());
    let shown = |records: &[Record]| -> Vec<_> {
        let shown = records
            .iter()
            .map(|one| (one.partition, one.key.clone(), masked(&one.value), one.headers.clone()));
        shown.collect()
    };
    assert_eq!(shown(&of_cluster), shown(&of_log));
    let partitions: BTreeSet<i32> = of_log.iter().map(|one| one.partition).collect();
    assert_eq!(partitions, BTreeSet::from([0, 1, 2]));
    clustered.stop();
    drop_after(mysql, embedded);
}

fn compare(set: &'static str) {
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    let mut sluice = publishing(&mysql, &[("single", ONE_TOPIC), ("each", A_TOPIC_A_TABLE)]);
    // It comes back when most tables are no longer what they were, and has to know it.
    sluice.stop();
    mysql.mysql_client("", &script(set));
    sluice.start();

    let recorded = recording(&format!("{set}.single.jsonl"));
    let wanted = wanted(set, &recorded);
    let one_topic = read(&sluice, "canal_single", wanted.len());
    assert_same(set, &wanted, &one_topic);
    assert_ids_do_not_fall(&one_topic);

    assert_topics(set, &sluice, &recorded);
    drop_after(mysql, sluice);
}

/// A running program with these instances.
fn publishing(mysql: &Server, instances: &[(&str, Properties)]) -> Sluice {
    let mut sluice = with_instances(mysql, instances);
    sluice.start();
    sluice
}

fn with_instances(mysql: &Server, instances: &[(&str, Properties)]) -> Sluice {
    let mut sluice = Sluice::new();
    for (name, topics) in instances {
        let common: Properties = &[
            ("canal.instance.filter.regex", r".*\..*"),
            ("canal.instance.filter.black.regex", r"mysql\.slave_.*"),
        ];
        sluice.instance(name, mysql, &[common, topics].concat());
    }
    sluice
}

/// The recorded SQL.
fn script(set: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{set}.sql"))).unwrap()
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/canal"))
}

fn recording(file: &str) -> Vec<Line> {
    let text = std::fs::read_to_string(folder().join(file)).unwrap();
    let lines = text.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["partition"], &line["key"]), (&0.into(), &serde_json::Value::Null));
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        Line { topic: text("topic"), value: text("value") }
    });
    lines.collect()
}

/// A message without what varies from run to run.
fn masked(message: &str) -> String {
    surgery::with_member(&surgery::with_member(message, "id", "0"), "ts", "0")
}

/// What each recorded line is in our output: its number, and the text.
fn wanted(set: &str, recorded: &[Line]) -> Vec<(usize, String)> {
    let numbered = recorded.iter().enumerate().map(|(at, line)| (at + 1, line));
    numbered
        .filter_map(|(number, line)| {
            Some((number, mended::ours(set, number, &masked(&line.value)).0?))
        })
        .collect()
}

/// Reads until `count` records are there, or nothing more comes for a while.
fn read(sluice: &Sluice, topic: &str, count: usize) -> Vec<Record> {
    let begun = Instant::now();
    loop {
        let records = topics::read(&sluice.bootstrap(), topic);
        if records.len() >= count || begun.elapsed() > Duration::from_secs(15) {
            return records;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn assert_same(set: &str, wanted: &[(usize, String)], got: &[Record]) {
    let got: Vec<String> = got.iter().map(|record| masked(&record.value)).collect();
    let mut differing = Vec::new();
    for (at, (number, wanted)) in wanted.iter().enumerate() {
        match got.get(at) {
            Some(got) if got == wanted => {}
            got => {
                differing.push(format!("{set} line {number}\n  wanted {wanted}\n  got    {got:?}"));
            }
        }
    }
    differing.extend(got.iter().skip(wanted.len()).map(|extra| format!("{set} also got {extra}")));
    let first: Vec<&String> = differing.iter().take(12).collect();
    assert!(
        differing.is_empty(),
        "{} of {} lines differ:\n{}",
        differing.len(),
        wanted.len(),
        first.iter().map(|one| one.as_str()).collect::<Vec<_>>().join("\n"),
    );
}

fn assert_ids_do_not_fall(records: &[Record]) {
    let ids: Vec<u64> = records.iter().map(|one| one.json()["id"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted() && ids[0] > 0, "{ids:?}");
}

/// Each table's topic holds what Canal put there, in the same order.
fn assert_topics(set: &'static str, sluice: &Sluice, single: &[Line]) {
    // The same message has the same differences in whichever topic it is.
    let numbers: BTreeMap<String, usize> =
        single.iter().enumerate().map(|(at, line)| (masked(&line.value), at + 1)).collect();
    let mut by_topic: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
    for line in recording(&format!("{set}.jsonl")) {
        let canal = masked(&line.value);
        let number = numbers[&canal];
        if let Some(ours) = mended::ours(set, number, &canal).0 {
            by_topic.entry(line.topic).or_default().push((number, ours));
        }
    }
    for (topic, wanted) in &by_topic {
        assert_same(set, wanted, &read(sluice, topic, wanted.len()));
    }
    let mut others = topics::list(&sluice.bootstrap());
    others.retain(|topic, _| topic != "canal_single" && !by_topic.contains_key(topic));
    assert!(others.is_empty(), "{set} also fills {others:?}");
}

/// Ends the program before its source, which it would otherwise try to reach again.
fn drop_after(mysql: Server, mut sluice: Sluice) {
    sluice.stop();
    drop(mysql);
}
