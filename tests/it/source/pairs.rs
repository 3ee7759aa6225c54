//! Position and GTID set of a begin belong together, whatever the server is in the middle of.
//!
//! The judge is the server: what it executed once it is quiet, and what its own functions say
//! of a place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sluice::change::{Change, GtidSet};
use sluice::source::{Before, Settings, Source, StartAt};

use super::{Running, ask, settings};
use crate::harness::Server;
use crate::harness::servers::{self, Flavor, run};

/// Binlog and storage engine are apart for a while.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_binlog_and_not_yet_executed_belongs_to_the_set_of_the_end() {
    let Some(server) = servers::private_mysql(&[]) else { return };
    the_set_of_the_end_is_ahead_of_what_was_executed(&server).await;
    let mut admin = server.connect().await;
    run(&mut admin, "SET GLOBAL binlog_group_commit_sync_delay = 20000").await;
    a_busy_start_is_whole(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_at_the_end_of_a_busy_mariadb_loses_nothing_and_brings_nothing_late() {
    if let Some(server) = servers::mariadb() {
        a_busy_start_is_whole(server).await;
    }
}

async fn the_set_of_the_end_is_ahead_of_what_was_executed(server: &Server) {
    let mut admin = server.database("lag").await;
    let mut writer = server.connect().await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let before = ask(&mut admin, server.flavor.status(), 1).await;
    run(&mut admin, "SET GLOBAL binlog_group_commit_sync_delay = 1000000").await;
    let writing =
        tokio::spawn(async move { run(&mut writer, "INSERT INTO lag.t VALUES (1)").await });
    while ask(&mut admin, server.flavor.status(), 1).await == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!writing.is_finished(), "the writer waits for its commit");
    let (source, _) = Source::prepare(settings(server, "lag"), Before::default()).await.unwrap();
    let begin = source.reached().clone();
    writing.await.unwrap();
    let executed = ask(&mut admin, "SELECT @@GLOBAL.gtid_executed", 0).await;
    assert_eq!(begin.gtid_set.counted().unwrap().to_string(), executed, "at {}", begin.offset);
}

/// Writers that count, each in a table of its own, until they are stopped; how far each came.
struct Writers {
    stop: Arc<AtomicBool>,
    writing: Vec<tokio::task::JoinHandle<i32>>,
}

impl Writers {
    async fn start(server: &Server, database: &str, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writing = Vec::new();
        for writer in 0..count {
            let mut connection = server.connect().await;
            let table = format!("{database}.w{writer}");
            run(&mut connection, &format!("CREATE TABLE {table} (id INT PRIMARY KEY)")).await;
            let stop = Arc::clone(&stop);
            writing.push(tokio::spawn(async move {
                let mut id = 0;
                while !stop.load(Ordering::Relaxed) {
                    id += 1;
                    run(&mut connection, &format!("INSERT INTO {table} VALUES ({id})")).await;
                }
                id
            }));
        }
        Self { stop, writing }
    }

    async fn end(self) -> Vec<i32> {
        self.stop.store(true, Ordering::Relaxed);
        let mut reached = Vec::new();
        for writing in self.writing {
            reached.push(writing.await.unwrap());
        }
        reached
    }
}

async fn a_busy_start_is_whole(server: &Server) {
    let mut admin = server.database("busy").await;
    let writers = Writers::start(server, "busy", 8).await;
    let mut started = Vec::new();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let settings = Settings { by_gtid: true, ..settings(server, "busy") };
        started.push(Running::start(settings, Before::default()).await);
    }
    let reached = writers.end().await;
    run(&mut admin, "CREATE TABLE the_end (id INT)").await;
    for mut source in started {
        let mut seen: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        let mut places = vec![source.begin.offset];
        loop {
            let transaction = source.next().await;
            places.push(transaction.commit.offset);
            let Change::Rows(rows) = &transaction.changes[0] else { break };
            let id = i32::from_le_bytes(rows.images[1..5].try_into().unwrap());
            seen.entry(rows.table.name.table.to_string()).or_default().push(id);
        }
        for (writer, last) in reached.iter().enumerate() {
            let ids = &seen[&format!("w{writer}")];
            let expected: Vec<i32> = (ids[0]..=*last).collect();
            assert_eq!(*ids, expected, "{:?}, from {}", server.flavor, source.begin);
        }
        assert!(places.is_sorted(), "{:?}, from {}", server.flavor, source.begin);
        source.stop().await;
    }
}

/// Every event of a file as the configured begin: a boundary of transactions is taken with the
/// set that the server reports, the BEGIN of one (as Canal notes it) leads to its GTID, and a
/// place inside of one is refused, with the boundary named.
#[tokio::test(flavor = "multi_thread")]
async fn each_place_of_a_file_is_taken_with_its_set_or_refused() {
    for server in [servers::private_mysql(&[]), servers::private_mariadb(&[])].iter().flatten() {
        let mut admin = server.database("places").await;
        run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY, v INT)").await;
        run(&mut admin, "INSERT INTO t VALUES (1, 1); FLUSH BINARY LOGS").await;
        run(&mut admin, "INSERT INTO t VALUES (2, 1); CREATE TABLE u (id INT) ENGINE=MyISAM").await;
        run(
            &mut admin,
            "INSERT INTO u VALUES (1); BEGIN; UPDATE t SET v = 2; DELETE FROM t; COMMIT",
        )
        .await;
        if server.flavor == Flavor::MySql {
            run(&mut admin, "SET SESSION binlog_transaction_compression = ON").await;
            run(&mut admin, "INSERT INTO t VALUES (9, 9)").await;
        } else {
            run(&mut admin, "SET gtid_domain_id = 5; INSERT INTO t VALUES (9, 9)").await;
        }
        run(&mut admin, "XA START 'a'; INSERT INTO t VALUES (3, 3); XA END 'a'").await;
        run(&mut admin, "XA PREPARE 'a'; XA COMMIT 'a'").await;
        let file = ask(&mut admin, server.flavor.status(), 0).await;
        let events = events(&mut admin, &file).await;
        assert!(events.len() > 20, "{events:?}");
        let mut begun = None;
        let mut set = previous(&events, server.flavor);
        for (index, (place, kind, info)) in events.iter().enumerate() {
            if kind.eq_ignore_ascii_case("gtid") {
                set = set_at(&mut admin, server, &file, *place, &set, begun).await;
                begun = Some((index, *place, gtid_of(info)));
            } else if begun.is_some() && kind.eq_ignore_ascii_case("binlog_checkpoint") {
                // MariaDB writes one when all that an older file holds is durable, whenever
                // that is, between two transactions.
                set = set_at(&mut admin, server, &file, *place, &set, begun).await;
                begun = None;
            }
            let offset = Some(*place);
            let start = StartAt { file: Some(file.clone()), offset, ..StartAt::default() };
            let settings = Settings { start, ..settings(server, "places") };
            let begin = Source::prepare(settings, Before::default()).await;
            let begin = begin.map(|(source, _)| source.reached().clone());
            let here = format!("{:?} {place} {kind} {info}", server.flavor);
            match (begin, begun) {
                (Ok(begin), Some((gtid, boundary, _))) => {
                    assert!(index <= gtid + 1, "{here} began at {begin}");
                    assert_eq!(begin.offset, boundary, "{here}");
                    assert_eq!(begin.gtid_set, parsed(server, &set).into(), "{here}");
                }
                (Ok(begin), None) => {
                    assert_eq!(begin.gtid_set, parsed(server, &set).into(), "{here}");
                }
                (Err(error), Some((gtid, boundary, _))) => {
                    assert!(index > gtid + 1, "{here}: {error}");
                    assert!(error.to_string().contains(&boundary.to_string()), "{here}: {error}");
                }
                (Err(error), None) => panic!("{here}: {error}"),
            }
        }
    }
}

/// What the server had executed before a GTID event; `set` is that of the one before.
async fn set_at(
    admin: &mut sqlx::MySqlConnection,
    server: &Server,
    file: &str,
    place: u64,
    set: &str,
    before: Option<(usize, u64, &str)>,
) -> String {
    let sql = match (server.flavor, before) {
        (Flavor::MySql, None) => return set.to_owned(),
        (Flavor::MySql, Some((_, _, gtid))) => {
            format!("SELECT REPLACE(GTID_SUBTRACT('{set},{gtid}', ''), '\\n', '')")
        }
        (Flavor::MariaDb, _) => format!("SELECT BINLOG_GTID_POS('{file}', {place})"),
    };
    ask(admin, &sql, 0).await
}

/// Place, type and text of each event.
async fn events(admin: &mut sqlx::MySqlConnection, file: &str) -> Vec<(u64, String, String)> {
    use sqlx::Row;
    let sql = sqlx::AssertSqlSafe(format!("SHOW BINLOG EVENTS IN '{file}'"));
    let rows = sqlx::raw_sql(sql).fetch_all(admin).await.unwrap();
    let number = |row: &sqlx::mysql::MySqlRow| {
        let signed = row.try_get::<i64, _>(1).map(|place| u64::try_from(place).unwrap());
        row.try_get::<u64, _>(1).or(signed).unwrap()
    };
    let all = rows.iter().map(|row| (number(row), (row.get(2), row.get(5))));
    // Those of a compressed transaction are shown at its end, where the next one begins.
    let last: BTreeMap<u64, (String, String)> = all.collect();
    last.into_iter().map(|(place, (kind, info))| (place, kind, info)).collect()
}

fn parsed(server: &Server, set: &str) -> GtidSet {
    let flavor = match server.flavor {
        Flavor::MySql => sluice::change::Flavor::MySql,
        Flavor::MariaDb => sluice::change::Flavor::MariaDb,
    };
    GtidSet::parse(flavor, set).unwrap()
}

fn gtid_of(info: &str) -> &str {
    info.split('\'').nth(1).unwrap_or_default()
}

/// What was executed before the file.
fn previous(events: &[(u64, String, String)], flavor: Flavor) -> String {
    let wanted = match flavor {
        Flavor::MySql => "Previous_gtids",
        Flavor::MariaDb => "Gtid_list",
    };
    let found = events.iter().find(|(_, kind, _)| kind == wanted).unwrap();
    found.2.trim_matches(['[', ']']).to_owned()
}
