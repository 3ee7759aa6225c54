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
const ROWS: u64 = 30_000;
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
    copied_into(&mysql, &[], Some(kafka));
}

fn copied_while_it_changes(server: &Server, properties: &[(&str, &str)]) {
    copied_into(server, properties, None);
}

fn copied_into(server: &Server, properties: &[(&str, &str)], cluster: Option<&Kafka>) {
    let seed = asked::seed("SLUICE_SNAPSHOT_SEED");
    let mut random = Random::new(seed);
    make_table(server);
    let properties = [&[FILTER, INITIAL], properties].concat();
    let mut sluice = Sluice::with_instance("copy", server, &properties);
    if let Some(cluster) = cluster {
        sluice.use_cluster(cluster);
    }
    sluice.start();
    let load = Load::start(server, seed);
    for _ in 0..asked::number_or("SLUICE_SNAPSHOT_KILLS", 3) {
        std::thread::sleep(Duration::from_millis(100 + random.below(900)));
        sluice.kill();
        sluice.start();
    }
    wait_until_copied(&sluice);
    load.stop();
    let own = sluice.bootstrap();
    let records = drained(server, &|| match cluster {
        Some(cluster) => cluster.read("copied.t"),
        None => topics::read(&own, "copied.t"),
    });
    sluice.stop();
    is_the_table(server, &records);
    never_went_back(&records);
    untouched_rows_came_once(&records);
}

fn make_table(server: &Server) {
    let rows = (1..=ROWS).map(|id| format!("({id},{id},'row {id}')")).collect::<Vec<_>>();
    let inserts = rows.chunks(1000).map(|rows| format!("INSERT INTO t VALUES {};", rows.join(",")));
    let script = format!(
        "CREATE DATABASE copied; USE copied;
         CREATE TABLE t (id BIGINT PRIMARY KEY, version BIGINT, text VARCHAR(60)); {}",
        inserts.collect::<String>()
    );
    server.mysql_client("", &script);
}

/// Changes the table until it is stopped. Each change gives a row a version that none had before.
struct Load {
    stop: Arc<AtomicBool>,
    worker: JoinHandle<u64>,
}

impl Load {
    fn start(server: &Server, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (connector, stopped) = (server.connector(), Arc::clone(&stop));
        let worker = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut connection = connector.connect().await.unwrap();
                run(&mut connection, "USE copied").await;
                let (mut random, mut version) = (Random::new(seed ^ 0x10ad), ROWS);
                while !stopped.load(Ordering::Relaxed) {
                    let is_branch = random.once_in(10);
                    let begin = if is_branch { "XA START 'load'" } else { "BEGIN" };
                    run(&mut connection, begin).await;
                    for _ in 0..=random.below(4) {
                        version += 1;
                        let sql = change(&mut random, version);
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

/// A key that the load may touch.
fn key(random: &mut Random) -> u64 {
    loop {
        let id = 1 + random.below(ROWS + ROWS / 4);
        if id % QUIET != 0 {
            return id;
        }
    }
}

fn change(random: &mut Random, version: u64) -> String {
    let (id, other) = (key(random), key(random));
    match random.below(8) {
        0..=2 => format!("UPDATE t SET version = {version} WHERE id = {id}"),
        3 => format!("UPDATE t SET id = {other}, version = {version} WHERE id = {id}"),
        4 => format!("DELETE FROM t WHERE id = {id}"),
        5 => format!("REPLACE INTO t VALUES ({id}, {version}, 'replaced')"),
        6 => format!(
            "UPDATE t SET version = {version} WHERE id BETWEEN {id} AND {} AND id % {QUIET} <> 0",
            id + 20
        ),
        _ => format!("INSERT INTO t VALUES ({id}, {version}, 'inserted')"),
    }
}

/// Waits until the last chunk of `copied.t` is there.
fn wait_until_copied(sluice: &Sluice) {
    wait_for("the last chunk", PATIENCE, || {
        sluice.said().contains("the table is copied table=copied.t").then_some(())
    });
}

/// All records of the topic, up to a last change.
fn drained(server: &Server, read: &dyn Fn() -> Vec<Record>) -> Vec<Record> {
    server.mysql_client("copied", "INSERT INTO t VALUES (0, 9000000000, 'the end')");
    wait_for("the last change", PATIENCE, || {
        let records = read();
        let is_whole = records.iter().any(|record| record.value.contains("the end"));
        is_whole.then_some(records)
    })
}

/// The rows of a message, each with what it was before if it is an update.
struct Rows {
    kind: String,
    rows: Vec<(u64, u64, String)>,
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
    Rows { kind: message.kind, rows: rows.collect(), old_ids }
}

fn is_the_table(server: &Server, records: &[Record]) {
    let mut replayed = BTreeMap::new();
    for record in records {
        let Rows { kind, rows, old_ids } = rows(record);
        for (place, (id, version, text)) in rows.into_iter().enumerate() {
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
    let table = table(server);
    for (id, row) in &table {
        assert_eq!(replayed.get(id), Some(row), "row {id}: on the left as replayed");
    }
    let extra: Vec<_> = replayed.keys().filter(|id| !table.contains_key(id)).collect();
    assert!(extra.is_empty(), "deleted rows are there: {extra:?}");
}

fn table(server: &Server) -> BTreeMap<u64, (u64, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rows = runtime.block_on(async {
        let mut connection = server.connect().await;
        sqlx::raw_sql("SELECT id, version, text FROM copied.t").fetch_all(&mut connection).await
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
        let Rows { kind, rows, old_ids } = rows(record);
        let is_deleted = kind == "DELETE";
        for (place, (id, version, _)) in rows.into_iter().enumerate() {
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

fn untouched_rows_came_once(records: &[Record]) {
    let mut times = BTreeMap::<u64, (u32, u32)>::new();
    for record in records {
        let is_copied = record.headers.contains_key("snapshot");
        for (id, ..) in rows(record).rows {
            let (copied, streamed) = times.entry(id).or_default();
            *(if is_copied { copied } else { streamed }) += 1;
        }
    }
    for id in (1..=ROWS).filter(|id| id % QUIET == 0) {
        assert_eq!(times.get(&id), Some(&(1, 0)), "row {id}: times copied and streamed");
    }
    let copied = records.iter().filter_map(|record| record.headers.get("snapshot"));
    assert!(copied.clone().all(|name| name.starts_with("copied.t:")));
    assert!(copied.clone().any(|name| !name.ends_with("/end")), "in several chunks");
}
