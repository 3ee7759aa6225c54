//! Tables copied while they change.
//!
//! A table with rows from before is copied while random transactions change it, one in ten of them an
//! XA transaction: rows inserted, updated, deleted, keys changed; meanwhile sluice is killed (-9) and
//! started again. Afterwards the topic, replayed from its begin, is the table; no row in it was ever
//! followed by an older version of itself; and each row that nobody touched came once, from the copy.
//!
//! `SLUICE_SNAPSHOT_KILLS=20` is the long form. The seed is printed; `SLUICE_SNAPSHOT_SEED` repeats
//! the random choices (not the timing).

mod keys;
mod statements;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sqlx::Row as _;

use crate::harness::kafka::kafka;
use crate::harness::message::Message;
use crate::harness::servers::{private_mariadb, private_mysql, run, try_run};
use crate::harness::{Kafka, PATIENCE, Random, Record, Server, Sluice, asked, topics, wait_for};

const FILTER: (&str, &str) = ("canal.instance.filter.regex", r"copied\..*");
const INITIAL: (&str, &str) = ("sluice.snapshot", "initial");
/// Rows that are there before.
const ROWS: u64 = 60_000;

/// A table: its name, and the type of its key, with the key of the row of an id.
type Shape = (&'static str, &'static str, &'static str);

const T: Shape = ("t", "BIGINT", "{id}");

/// Whether a row is known again by its key shows only where the key is no number too.
const SHAPES: [Shape; 8] = [
    T,
    (
        "by_text",
        "VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        "CONCAT('Kéy ', {id})",
    ),
    ("by_char", "CHAR(20) CHARACTER SET latin1", "CONCAT('ä', {id})"),
    ("by_bytes", "BINARY(12)", "CONCAT(CHAR({id} % 256), '-', {id})"),
    ("by_decimal", "DECIMAL(12,3)", "{id} / 8 - 1000"),
    ("by_moment", "DATETIME(3)", "TIMESTAMP '2020-01-01 00:00:00' + INTERVAL {id} SECOND"),
    ("by_stamp", "TIMESTAMP(6)", "FROM_UNIXTIME(1500000000 + {id})"),
    ("by_double", "DOUBLE", "{id} / 7"),
];
/// One row in so many is left alone.
const QUIET: u64 = 7;

#[test]
fn copied_while_it_changes_and_killed_the_topic_is_the_table() {
    let Some(mysql) = private_mysql(&[]) else { return };
    copied_while_it_changes(&mysql, &[]);
}

#[test]
fn copied_with_gtids_the_topic_is_the_table() {
    let options = ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"];
    let Some(mysql) = private_mysql(&options) else { return };
    copied_while_it_changes(&mysql, &[("canal.instance.gtidon", "true")]);
}

#[test]
fn copied_from_mariadb_the_topic_is_the_table() {
    let Some(mariadb) = private_mariadb(&[]) else { return };
    copied_while_it_changes(&mariadb, &[]);
}

#[test]
fn copied_into_a_kafka_cluster_the_topic_is_the_table() {
    let (Some(mysql), Some(kafka)) = (private_mysql(&[]), kafka()) else { return };
    copied_into(&mysql, (&[T], ROWS), &[], Some(kafka));
}

fn copied_while_it_changes(server: &Server, properties: &[(&str, &str)]) {
    copied_into(server, (&[T], ROWS), properties, None);
}

#[test]
fn copied_by_other_keys_than_numbers_the_topics_are_the_tables() {
    let options = ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"];
    let Some(mysql) = private_mysql(&options) else { return };
    copied_into(&mysql, (&SHAPES, ROWS / 8), &[], None);
}

#[test]
fn copied_by_other_keys_than_numbers_the_topics_are_the_tables_of_mariadb() {
    let Some(mariadb) = private_mariadb(&[]) else { return };
    copied_into(&mariadb, (&SHAPES, ROWS / 8), &[], None);
}

fn copied_into(
    server: &Server,
    (shapes, rows): (&'static [Shape], u64),
    properties: &[(&str, &str)],
    cluster: Option<&Kafka>,
) {
    let seed = asked::seed("SLUICE_SNAPSHOT_SEED");
    let mut random = Random::new(seed);
    make_tables(server, shapes, rows);
    let properties = [&[FILTER, INITIAL], properties].concat();
    let mut sluice = Sluice::with_instance("copy", server, &properties);
    if let Some(cluster) = cluster {
        sluice.use_cluster(cluster);
    }
    sluice.start();
    let load = Load::start(server, (shapes, rows), seed);
    let mut amid = 0;
    for _ in 0..asked::number_or("SLUICE_SNAPSHOT_KILLS", 3) {
        std::thread::sleep(Duration::from_millis(random.below(300)));
        sluice.kill();
        amid += u32::from(!are_copied(&sluice, shapes));
        sluice.start();
    }
    assert!(amid > 0, "killed while it copied");
    wait_until_copied(&sluice, shapes);
    load.stop();
    let own = sluice.bootstrap();
    let all: Vec<_> = shapes
        .iter()
        .map(|(table, ..)| {
            let topic = format!("copied.{table}");
            drained(server, table, &|| match cluster {
                Some(cluster) => cluster.read(&topic),
                None => topics::read(&own, &topic),
            })
        })
        .collect();
    sluice.stop();
    for ((table, ..), records) in shapes.iter().zip(&all) {
        is_the_table(server, table, records);
        never_went_back(records);
        untouched_rows_came_once(records, rows);
        let copied = records.iter().filter_map(|record| record.headers.get("snapshot"));
        assert!(copied.clone().all(|name| name.starts_with(&format!("copied.{table}:"))));
        assert!(copied.clone().any(|name| !name.ends_with("/end")), "in several chunks");
    }
}

fn make_tables(server: &Server, shapes: &[Shape], rows: u64) {
    let mut script = String::from("CREATE DATABASE copied; USE copied; SET NAMES utf8mb4;");
    for (table, kind, key) in shapes {
        let _ = write!(
            script,
            "CREATE TABLE {table} (k {kind} PRIMARY KEY, id BIGINT, version BIGINT,
             text VARCHAR(60), UNIQUE KEY (id));"
        );
        for ids in (1..=rows).collect::<Vec<_>>().chunks(1000) {
            let row = |id: &u64| {
                let key = key.replace("{id}", &id.to_string());
                format!("({key},{id},{id},'row {id}')")
            };
            let rows = ids.iter().map(row).collect::<Vec<_>>().join(",");
            let _ = write!(script, "INSERT INTO {table} VALUES {rows};");
        }
    }
    server.mysql_client("", &script);
}

/// Changes the table until it is stopped. Each change gives a row a version that none had before.
struct Load {
    stop: Arc<AtomicBool>,
    worker: JoinHandle<u64>,
}

impl Load {
    fn start(server: &Server, (shapes, rows): (&'static [Shape], u64), seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (connector, stopped) = (server.connector(), Arc::clone(&stop));
        let worker = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut connection = connector.connect().await.unwrap();
                run(&mut connection, "USE copied").await;
                run(&mut connection, "SET NAMES utf8mb4").await;
                let (mut random, mut version) = (Random::new(seed ^ 0x10ad), rows);
                while !stopped.load(Ordering::Relaxed) {
                    // A stream that falls ever further behind never comes to the end of a chunk.
                    tokio::time::sleep(Duration::from_millis(random.below(10))).await;
                    let is_branch = random.once_in(10);
                    let begin = if is_branch { "XA START 'load'" } else { "BEGIN" };
                    run(&mut connection, begin).await;
                    for _ in 0..=random.below(4) {
                        version += 1;
                        let shape = random.pick(shapes);
                        let sql = change(&mut random, shape, rows, version);
                        // A key may be taken.
                        let _ = try_run(&mut connection, &sql).await;
                    }
                    let end = if random.once_in(10) { "ROLLBACK" } else { "COMMIT" };
                    if is_branch {
                        run(&mut connection, "XA END 'load'").await;
                        run(&mut connection, "XA PREPARE 'load'").await;
                        run(&mut connection, &format!("XA {end} 'load'")).await;
                    } else {
                        run(&mut connection, end).await;
                    }
                }
                version
            })
        });
        Self { stop, worker }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.worker.join().unwrap()
    }
}

/// The id of a row that the load may touch.
fn any_id(random: &mut Random, rows: u64) -> u64 {
    loop {
        let id = 1 + random.below(rows + rows / 4);
        if !id.is_multiple_of(QUIET) {
            return id;
        }
    }
}

fn change(random: &mut Random, (table, _, key): &Shape, rows: u64, version: u64) -> String {
    let (id, other) = (any_id(random, rows), any_id(random, rows));
    let key = |id: u64| key.replace("{id}", &id.to_string());
    match random.below(8) {
        0..=2 => format!("UPDATE {table} SET version = {version} WHERE id = {id}"),
        3 => format!(
            "UPDATE {table} SET k = {}, id = {other}, version = {version} WHERE id = {id}",
            key(other)
        ),
        4 => format!("DELETE FROM {table} WHERE id = {id}"),
        5 => format!("REPLACE INTO {table} VALUES ({}, {id}, {version}, 'replaced')", key(id)),
        6 => format!(
            "UPDATE {table} SET version = {version}
             WHERE id BETWEEN {id} AND {} AND id % {QUIET} <> 0",
            id + 20
        ),
        _ => format!("INSERT INTO {table} VALUES ({}, {id}, {version}, 'inserted')", key(id)),
    }
}

fn are_copied(sluice: &Sluice, shapes: &[Shape]) -> bool {
    let said = sluice.said();
    let line = |table| format!("the table is copied table=copied.{table}\n");
    shapes.iter().all(|(table, ..)| said.contains(&line(table)))
}

/// Waits until the last chunk of each table is there.
fn wait_until_copied(sluice: &Sluice, shapes: &[Shape]) {
    wait_for("the last chunk", PATIENCE, || are_copied(sluice, shapes).then_some(()));
}

/// All records of a table's topic, up to a last change.
fn drained(server: &Server, table: &str, read: &dyn Fn() -> Vec<Record>) -> Vec<Record> {
    let last = format!(
        "UPDATE {table} SET version = 9000000000, text = 'the end' WHERE id = {QUIET} * 2;"
    );
    server.mysql_client("copied", &last);
    wait_for("the last change", PATIENCE, || {
        let records = read();
        let is_whole = records.iter().any(|record| record.value.contains("the end"));
        is_whole.then_some(records)
    })
}

/// The rows of a message, each with what it was before if it is an update.
struct Rows {
    kind: String,
    now: Vec<(u64, u64, String)>,
    old_ids: Vec<Option<u64>>,
}

fn rows(record: &Record) -> Rows {
    let message: Message = serde_json::from_str(&record.value).unwrap();
    let number = |text: &Option<String>| text.as_ref().unwrap().parse::<u64>().unwrap();
    let data = message.data.unwrap_or_default();
    let rows = data.iter().map(|row| {
        let get = |name| row.get(name).unwrap();
        (number(get("id")), number(get("version")), get("text").clone().unwrap_or_default())
    });
    let old = message.old.unwrap_or_default();
    let old_ids = old.iter().map(|old| old.get("id").map(number)).collect();
    Rows { kind: message.kind, now: rows.collect(), old_ids }
}

fn is_the_table(server: &Server, name: &str, records: &[Record]) {
    let mut replayed = BTreeMap::new();
    for record in records {
        let Rows { kind, now, old_ids } = rows(record);
        for (place, (id, version, text)) in now.into_iter().enumerate() {
            if let Some(Some(old)) = old_ids.get(place) {
                replayed.remove(old);
            }
            match kind.as_str() {
                "DELETE" => drop(replayed.remove(&id)),
                "INSERT" | "UPDATE" => drop(replayed.insert(id, (version, text))),
                other => panic!("{other}: {}", record.value),
            }
        }
    }
    let table = table(server, name);
    for (id, row) in &table {
        assert_eq!(replayed.get(id), Some(row), "row {id} of {name}: on the left as replayed");
    }
    let extra: Vec<_> = replayed.keys().filter(|id| !table.contains_key(id)).collect();
    assert!(extra.is_empty(), "deleted rows are there: {extra:?}");
}

fn table(server: &Server, name: &str) -> BTreeMap<u64, (u64, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rows = runtime.block_on(async {
        let mut connection = server.connect().await;
        let sql = format!("SELECT id, version, text FROM copied.{name}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await
    });
    let row = |row: sqlx::mysql::MySqlRow| {
        let number = |column| u64::try_from(row.get::<i64, _>(column)).unwrap();
        (number(0), (number(1), row.get::<String, _>(2)))
    };
    rows.unwrap().into_iter().map(row).collect()
}

/// Nothing newer is followed by something older.
fn never_went_back(records: &[Record]) {
    let mut newest = BTreeMap::<u64, (u64, bool)>::new();
    for record in records {
        let Rows { kind, now, old_ids } = rows(record);
        let is_deleted = kind == "DELETE";
        for (place, (id, version, _)) in now.into_iter().enumerate() {
            if let Some(Some(old)) = old_ids.get(place) {
                let was = newest.get(old).map_or(0, |(version, _)| *version);
                newest.insert(*old, (was.max(version), true));
            }
            let (known, was_deleted) = newest.get(&id).copied().unwrap_or_default();
            let is_newer = version > known || (version == known && !was_deleted);
            assert!(
                is_newer,
                "row {id} went back from version {known} (deleted: {was_deleted}) by {kind} {:?} {}",
                record.headers, record.value
            );
            newest.insert(id, (version, is_deleted));
        }
    }
}

fn untouched_rows_came_once(records: &[Record], rows_before: u64) {
    let mut times = BTreeMap::<u64, (u32, u32)>::new();
    for record in records {
        let is_copied = record.headers.contains_key("snapshot");
        for (id, ..) in rows(record).now {
            let (copied, streamed) = times.entry(id).or_default();
            *(if is_copied { copied } else { streamed }) += 1;
        }
    }
    for id in (1..=rows_before).filter(|id| id % QUIET == 0) {
        let last = u32::from(id == QUIET * 2);
        assert_eq!(times.get(&id), Some(&(1, last)), "row {id}: times copied and streamed");
    }
}
