//! Where a source begins, and what it refuses to begin from.

use std::time::Duration;

use sluice::binlog::{TableMap, TableMapId, WireColumn};
use sluice::change::{EventPlace, Executed, GtidSet, MySqlPosition, TableName};
use sluice::config::Adopt;
use sluice::schema::{Origin, Schema};
use sluice::source::{Before, Error, Settings, Severity, Source, StartAt};

use super::{Running, ask, settings};
use crate::harness::Server;
use crate::harness::servers::{self, Flavor, here, run};

async fn reached(settings: Settings) -> MySqlPosition {
    let (source, _) = Source::prepare(settings, Before::default()).await.unwrap();
    source.reached().clone()
}

async fn refusal(settings: Settings, position: MySqlPosition) -> Error {
    let before = Before { position: Some(position), ..Before::default() };
    Running::start(settings, before).await.error().await
}

/// Three files with a second between them, one row in each.
async fn three_files(server: &Server, admin: &mut sqlx::MySqlConnection) -> Vec<(String, i64)> {
    let mut begins = Vec::new();
    for id in 1..=3 {
        run(admin, "FLUSH BINARY LOGS").await;
        tokio::time::sleep(Duration::from_millis(2100)).await;
        let now: i64 =
            ask(admin, "SELECT CAST(UNIX_TIMESTAMP() AS CHAR)", 0).await.parse().unwrap();
        run(admin, &format!("INSERT INTO t VALUES ({id})")).await;
        begins.push((ask(admin, server.flavor.status(), 0).await, now));
    }
    begins
}

#[tokio::test(flavor = "multi_thread")]
async fn a_begin_by_file_or_time_is_found_with_its_complete_gtid_set() {
    let servers = [servers::private_mysql(&[]), servers::private_mariadb(&[])];
    for server in servers.iter().flatten() {
        let mut admin = server.database("begin").await;
        run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
        let files = three_files(server, &mut admin).await;
        for (index, (file, time)) in files.iter().enumerate() {
            for start in [
                StartAt { file: Some(file.clone()), ..StartAt::default() },
                StartAt { timestamp: Some(time * 1000), ..StartAt::default() },
            ] {
                let mut wanted = settings(server, "begin");
                wanted.start = start.clone();
                wanted.adopt = Adopt::Current;
                let mut source = Running::start(wanted, Before::default()).await;
                let transaction = source.next().await;
                let sluice::change::Change::Rows(rows) = &transaction.changes[0] else { panic!() };
                let id = usize::from(rows.images[1]);
                assert_eq!(
                    id,
                    index + 1,
                    "{:?} {start:?} began at {}",
                    server.flavor,
                    source.begin
                );
                // Set and row together are what the server says of the transactions before.
                let set = source.begin.gtid_set.counted().unwrap().whole();
                let gtid = transaction.commit.gtid.clone().unwrap();
                assert!(!set.contains(&gtid), "{set} {gtid}");
                let mut after = set.clone();
                after.insert(&gtid);
                if index == 2 {
                    let executed = match server.flavor {
                        Flavor::MySql => "SELECT @@GLOBAL.gtid_executed",
                        Flavor::MariaDb => "SELECT @@GLOBAL.gtid_binlog_pos",
                    };
                    assert_eq!(after.to_string(), ask(&mut admin, executed, 0).await);
                }
                source.stop().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_in_a_purged_file_is_refused_before_dumping() {
    let Some(server) = servers::private_mysql(&[]) else { return };
    let mut admin = server.database("purge").await;
    let mut position = reached(settings(&server, "purge")).await;
    run(
        &mut admin,
        "CREATE TABLE t (id INT); FLUSH BINARY LOGS; INSERT INTO t VALUES (1); FLUSH BINARY LOGS",
    )
    .await;
    let current = ask(&mut admin, "SHOW BINARY LOG STATUS", 0).await;
    run(&mut admin, &format!("PURGE BINARY LOGS TO '{current}'")).await;
    let error = refusal(settings(&server, "purge"), position.clone()).await;
    assert!(matches!(error, Error::GtidHole { .. }), "{error}");
    position.gtid_set = Executed::Absent;
    let error = refusal(settings(&server, "purge"), position).await;
    assert!(matches!(error, Error::Purged { .. }), "{error}");
    assert!(error.to_string().contains(&current), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn binlogs_that_were_reset_are_noticed() {
    let Some(server) = servers::private_mysql(&[]) else { return };
    let mut admin = server.database("reset").await;
    let mut position = reached(settings(&server, "reset")).await;
    assert!(position.file_created > 0);
    // As behind a crash, or a reset behind which as many files were written.
    let behind = MySqlPosition { offset: position.offset + (1 << 20), ..position.clone() };
    let error = refusal(settings(&server, "reset"), behind).await;
    assert!(matches!(error, Error::Cut { .. }), "{error}");
    assert!(error.to_string().contains("--file binlog.000001 --offset 4"), "{error}");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    run(&mut admin, "RESET BINARY LOGS AND GTIDS").await;
    while ask(&mut admin, "SHOW BINARY LOG STATUS", 0).await != *position.file {
        run(&mut admin, "FLUSH BINARY LOGS").await;
    }
    position.offset = 4;
    let error = refusal(settings(&server, "reset"), position.clone()).await;
    assert!(matches!(error, Error::Reset { .. }), "{error}");
    let mut by_gtid = settings(&server, "reset");
    by_gtid.by_gtid = true;
    let other = "7f1c8e6a-0000-4000-8000-000000000001:1-9";
    position.gtid_set = GtidSet::parse(sluice::change::Flavor::MySql, other).unwrap().into();
    let error = refusal(by_gtid, position.clone()).await;
    assert!(matches!(error, Error::Behind { .. }), "{error}");
    position.gtid_set = Executed::Absent;
    position.server_uuid = "7f1c8e6a-0000-4000-8000-000000000001".into();
    let error = refusal(settings(&server, "reset"), position).await;
    assert!(matches!(error, Error::OtherServer { .. }), "{error}");
}

/// Each kind of place that is named and is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_cannot_be_begun_at_is_refused_with_the_nearest_that_can() {
    let servers = [servers::private_mysql(&[]), servers::private_mariadb(&[])];
    for server in servers.iter().flatten() {
        let mut admin = server.database("places").await;
        run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY); FLUSH BINARY LOGS").await;
        run(&mut admin, "BEGIN; INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); COMMIT").await;
        let sql = server.flavor.status();
        let file = ask(&mut admin, sql, 0).await;
        let end: u64 = ask(&mut admin, sql, 1).await.parse().unwrap();
        let list = sqlx::AssertSqlSafe(format!("SHOW BINLOG EVENTS IN '{file}'"));
        let events: Vec<(u64, String)> = sqlx::raw_sql(list)
            .fetch_all(&mut admin)
            .await
            .unwrap()
            .iter()
            .map(|row| (sqlx::Row::get(row, 1), sqlx::Row::get(row, 2)))
            .collect();
        let rows: Vec<u64> = events
            .iter()
            .filter(|(_, kind)| kind.starts_with("Write_rows"))
            .map(|(at, _)| *at)
            .collect();
        let begin = events.iter().find(|(_, kind)| kind.to_lowercase() == "gtid").unwrap().0;
        let next = events.iter().find(|(at, _)| *at > rows[1]).unwrap().0;
        for (file, offset, words) in [
            ("other.000009", 4, "which the source does not have; it has binlog.0".to_owned()),
            (&*file, end + 100, format!("is behind the end of the file, {end}")),
            (&*file, rows[1], format!("in the middle of a transaction; it begins at {begin}")),
            (
                &*file,
                rows[1] + 1,
                format!("in the middle of an event; the next one begins at {next}"),
            ),
        ] {
            let mut wanted = settings(server, "places");
            wanted.start =
                StartAt { file: Some(file.to_owned()), offset: Some(offset), ..StartAt::default() };
            let error = Source::prepare(wanted, Before::default()).await.err().unwrap();
            assert!(matches!(error, Error::Start(_)), "{error}");
            assert!(error.to_string().contains(&words), "{file}:{offset}: {error}, not {words}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_server_is_survived_by_the_same_source() {
    for server in [servers::private_mysql(&["--sync-binlog=1"]), servers::private_mariadb(&[])]
        .iter()
        .flatten()
    {
        let mut admin = server.database("crash").await;
        run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut source = Running::start(settings(server, "crash"), Before::default()).await;
        run(&mut admin, "INSERT INTO t VALUES (1)").await;
        source.next().await;
        server.kill();
        let (again, ended) = source.done.await.unwrap();
        assert!(ended.unwrap_err().is_transient());
        server.start();
        let mut admin = server.connect().await;
        let mut source = Running::go(again, None);
        run(&mut admin, "INSERT INTO crash.t VALUES (2)").await;
        let transaction = source.next().await;
        assert_eq!(transaction.texts(), ["+t"]);
        let sluice::change::Change::Rows(rows) = &transaction.changes[0] else { panic!() };
        assert_eq!(rows.images[1], 2);
        assert!(*transaction.commit.file != *source.begin.file, "a crash begins a new file");
        source.stop().await;
    }
}

/// With MINIMAL metadata such rows need the statements since; they are looked for over another
/// connection, which the server must not take for the running dump's successor.
#[tokio::test(flavor = "multi_thread")]
async fn rows_older_than_the_capture_are_read_without_losing_the_dump() {
    for server in [servers::mysql(), servers::mariadb()].into_iter().flatten() {
        let mut admin = server.database("older").await;
        run(&mut admin, "CREATE TABLE t (id INT); CREATE TABLE u (id INT)").await;
        let mut wanted = settings(server, "older");
        let (file, offset) = here(server).await;
        wanted.start = StartAt { file: Some(file), offset: Some(offset), ..StartAt::default() };
        run(&mut admin, "INSERT INTO t VALUES (1); CREATE TABLE v (id INT)").await;
        run(&mut admin, "FLUSH BINARY LOGS; INSERT INTO u VALUES (1)").await;
        let mut source = Running::start(wanted, Before::default()).await;
        run(&mut admin, "INSERT INTO v VALUES (1)").await;
        for text in ["+t", "CREATE TABLE v (id INT)", "+u", "+v"] {
            assert_eq!(source.next().await.texts(), [text], "{:?}", server.flavor);
        }
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_json_is_valid_only_with_whole_row_images() {
    let options = ["--binlog-row-value-options=PARTIAL_JSON"];
    let Some(server) = servers::private_mysql(&options) else { return };
    let mut admin = server.database("partial").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY, j JSON)").await;
    run(&mut admin, r#"INSERT INTO t VALUES (1, '{"a": "aaaaaaaa", "b": 1}')"#).await;
    let mut source = Running::start(settings(&server, "partial"), Before::default()).await;
    run(&mut admin, "UPDATE t SET j = JSON_SET(j, '$.b', 2)").await;
    assert_eq!(source.next().await.texts(), ["~t"]);
    source.stop().await;

    run(&mut admin, "SET GLOBAL binlog_row_image = MINIMAL").await;
    let findings = sluice::source::check(&settings(&server, "partial")).await.unwrap();
    let error = findings.iter().find(|finding| finding.severity == Severity::Error);
    let text = &error.expect("an error").text;
    assert!(text.contains("SET GLOBAL binlog_row_image = 'FULL'"), "{text}");
}

/// The binlog is ahead of what queries see, by a delay in front of the commit (MySQL) or a wait
/// for a replica that is not there (MariaDB): a definition that is read meanwhile has to be the
/// one behind the statement.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_in_the_binlog_and_not_yet_visible_is_waited_for() {
    let slow = [
        (servers::private_mysql(&[]), "SET GLOBAL binlog_group_commit_sync_delay = 1000000"),
        (
            servers::private_mysql(&["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]),
            "SET GLOBAL binlog_group_commit_sync_delay = 1000000",
        ),
        (
            servers::private_mariadb(&[]),
            // Behind a wait that nobody ended it waits for nobody, until it is set again.
            "SET GLOBAL rpl_semi_sync_master_enabled = OFF; \
             SET GLOBAL rpl_semi_sync_master_timeout = 1500, \
             rpl_semi_sync_master_wait_point = AFTER_SYNC, rpl_semi_sync_master_enabled = ON",
        ),
    ];
    for (server, slow) in &slow {
        let Some(server) = server else { continue };
        let mut admin = server.database("slow").await;
        run(&mut admin, "CREATE TABLE known (a INT, b INT); CREATE TABLE met (a INT, b INT)").await;
        let swap = "CHANGE a b INT, CHANGE b a INT";
        // At the first start.
        run(&mut admin, slow).await;
        let altering = in_the_binlog(server, format!("ALTER TABLE slow.known {swap}")).await;
        let mut source = Running::start(settings(server, "slow"), Before::default()).await;
        altering.await.unwrap();
        let mut writer = server.connect().await;
        run(&mut writer, "INSERT INTO slow.known VALUES (1, 2)").await;
        let names = columns(&mut source).await;
        assert_eq!(names, ["b", "a"], "{:?}, at the first start", server.flavor);
        // When rows of a table are met that nobody has read.
        run(&mut admin, slow).await;
        let altering = in_the_binlog(server, format!("ALTER TABLE slow.met {swap}")).await;
        let names = met(server, "slow", "met", &mut admin).await;
        assert_eq!(names, ["b", "a"], "{:?}, when rows are met", server.flavor);
        altering.await.unwrap();
        source.stop().await;
    }
}

/// Runs a statement until it is in the binlog; who has to be waited for.
async fn in_the_binlog(server: &Server, statement: String) -> tokio::task::JoinHandle<()> {
    let mut connection = server.connect().await;
    let before = ask(&mut connection, server.flavor.status(), 1).await;
    let mut runner = server.connect().await;
    let running = tokio::spawn(async move { run(&mut runner, &statement).await });
    while ask(&mut connection, server.flavor.status(), 1).await == before {
        assert!(!running.is_finished(), "it did not become visible before it was in the binlog");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    running
}

/// The columns that rows of a table have at the source's end; they say no names.
async fn met(
    server: &Server,
    schema: &str,
    table: &str,
    admin: &mut sqlx::MySqlConnection,
) -> Vec<String> {
    let Settings { endpoint, replica, .. } = settings(server, schema);
    let column = WireColumn { code: 3, nullable: true, ..WireColumn::default() };
    let map = TableMap {
        id: TableMapId(1),
        name: TableName::new(schema, table),
        columns: vec![column; 2],
        primary_key: Vec::new(),
    };
    let mut known = Schema::new(
        sluice::schema::Server {
            flavor: sluice::change::Flavor::MySql,
            version: 90_704,
            lower_case_table_names: 0,
            utf8_is_unclear: false,
            charset: "utf8mb4".to_owned(),
            uuid: "it".into(),
        },
        Adopt::Never,
    );
    let place = EventPlace {
        file: ask(admin, server.flavor.status(), 0).await.into(),
        offset: ask(admin, server.flavor.status(), 1).await.parse().unwrap(),
        time: 0,
    };
    let mut session = sluice::mysql::Session::connect(&endpoint).await.unwrap();
    let mut origin = Origin { session: &mut session, endpoint: &endpoint, replica: &replica };
    let found = known.resolve(&mut origin, &map, &place).await.unwrap();
    found.columns.iter().map(|column| column.name.clone()).collect()
}

/// The columns of the next rows' table.
async fn columns(source: &mut Running) -> Vec<String> {
    loop {
        let transaction = source.next().await;
        if let sluice::change::Change::Rows(rows) = &transaction.changes[0] {
            return rows.table.columns.iter().map(|column| column.name.clone()).collect();
        }
    }
}

/// Without GTID events any statement outside of BEGIN and COMMIT is a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_begin_by_time_leaves_out_no_statement_of_a_server_without_gtids() {
    let Some(server) = servers::private_mysql_56(&[]) else { return };
    let mut admin = server.database("begin").await;
    let ddl = [
        "ALTER TABLE t ADD c INT DEFAULT 7",
        "TRUNCATE t",
        "CREATE TABLE u (id INT)",
        "DROP TABLE u",
        "CREATE INDEX i ON t (c)",
    ];
    for first in ddl {
        let drop = "DROP TABLE IF EXISTS t, u";
        run(&mut admin, &format!("{drop}; CREATE TABLE t (id INT PRIMARY KEY, c2 INT)")).await;
        if first.contains("DROP") {
            run(&mut admin, "CREATE TABLE u (id INT)").await;
        }
        if first.contains("INDEX") {
            run(&mut admin, "ALTER TABLE t ADD c INT").await;
        }
        run(&mut admin, "FLUSH BINARY LOGS; INSERT INTO t (id) VALUES (1)").await;
        let (file, place) = here(&server).await;
        tokio::time::sleep(Duration::from_millis(2100)).await;
        let now: i64 =
            ask(&mut admin, "SELECT CAST(UNIX_TIMESTAMP() AS CHAR)", 0).await.parse().unwrap();
        run(&mut admin, &format!("{first}; INSERT INTO t (id) VALUES (2)")).await;
        let mut wanted = settings(&server, "begin");
        let timestamp = Some(now * 1000);
        wanted.start = StartAt { file: Some(file), timestamp, ..StartAt::default() };
        assert_eq!(reached(wanted).await.offset, place, "before {first}");
    }
}

/// What has no GTID is in no set: it may be missing though no GTID is.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_without_gtids_is_not_lost_between_two_times_with_them() {
    let Some(server) = servers::private_mysql(&[]) else { return };
    let mut admin = server.database("mixed").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let switch =
        |modes: [&str; 2]| modes.map(|mode| format!("SET GLOBAL gtid_mode = {mode};")).concat();
    let (off, on) = (switch(["ON_PERMISSIVE", "OFF_PERMISSIVE"]), switch(["ON_PERMISSIVE", "ON"]));
    for by_gtid in [false, true] {
        let wanted = || Settings { by_gtid, ..settings(&server, "mixed") };
        run(&mut admin, "TRUNCATE t").await;
        // Neither session says what time it is.
        let position = behind_row(wanted(), &mut admin, 1, "UNIX_TIMESTAMP() + 86400").await;
        run(&mut admin, &off).await;
        run(&mut admin, "INSERT INTO t VALUES (2); FLUSH BINARY LOGS").await;
        run(&mut admin, &format!("SET timestamp = 1000000000; {on} SET timestamp = DEFAULT")).await;
        run(&mut admin, "INSERT INTO t VALUES (4)").await;
        let with_gtid = ask(&mut admin, "SHOW BINARY LOG STATUS", 0).await;
        // The server does not hand it on while every transaction has to have one, and says so.
        let error = refusal(wanted(), position.clone()).await;
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        assert!(error.to_string().contains("SET GLOBAL gtid_mode = ON_PERMISSIVE"), "{error}");
        run(&mut admin, "SET GLOBAL gtid_mode = ON_PERMISSIVE").await;
        let before = Before { position: Some(position.clone()), ..Before::default() };
        let mut source = Running::start(settings(&server, "mixed"), before).await;
        for id in [2, 4] {
            assert_eq!(row_of(&source.next().await), id, "by GTID: {by_gtid}");
        }
        source.stop().await;
        run(&mut admin, "SET GLOBAL gtid_mode = ON").await;
        // The connection that read it may still hold a file.
        while ask(&mut admin, "SHOW BINARY LOGS", 0).await != with_gtid {
            tokio::time::sleep(Duration::from_millis(100)).await;
            run(&mut admin, &format!("PURGE BINARY LOGS TO '{with_gtid}'")).await;
        }
        let error = refusal(wanted(), position).await;
        assert!(matches!(error, Error::Unproved { .. }), "{error}");
        assert!(error.to_string().contains(&format!("--file {with_gtid} --offset 4")), "{error}");
    }
    // With GTIDs all along there is the proof.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let wanted = || settings(&server, "mixed");
    let committed = behind_row(wanted(), &mut admin, 5, "UNIX_TIMESTAMP() - 86400").await;
    let at_end = reached(wanted()).await;
    run(&mut admin, "FLUSH BINARY LOGS; INSERT INTO t VALUES (6)").await;
    let current = ask(&mut admin, "SHOW BINARY LOG STATUS", 0).await;
    while ask(&mut admin, "SHOW BINARY LOGS", 0).await != current {
        tokio::time::sleep(Duration::from_millis(100)).await;
        run(&mut admin, &format!("PURGE BINARY LOGS TO '{current}'")).await;
    }
    // A position of an older build does not say the server's time. What sessions said proves it
    // where two did: who began the file, and who wrote last.
    let now: u32 =
        ask(&mut admin, "SELECT CAST(UNIX_TIMESTAMP() AS CHAR)", 0).await.parse().unwrap();
    let (past, real, future) = (1_000_000_000, now - 1, now + 86_400);
    for (file_created, event_time, is_proved) in [
        (past, real, false),
        (real, past, false),
        (future, real, false),
        (real, future, false),
        (future, future, false),
        (0, real, false),
        (real, 0, false),
        (real, real, true),
    ] {
        let older = MySqlPosition { server_time: 0, file_created, event_time, ..committed.clone() };
        if is_proved {
            let before = Before { position: Some(older), ..Before::default() };
            let mut source = Running::start(wanted(), before).await;
            assert_eq!(row_of(&source.next().await), 6);
            source.stop().await;
        } else {
            let error = refusal(wanted(), older).await;
            assert!(
                matches!(error, Error::Unproved { .. }),
                "{file_created} {event_time}: {error}"
            );
        }
    }
    for position in [committed, at_end] {
        let before = Before { position: Some(position), ..Before::default() };
        let mut source = Running::start(wanted(), before).await;
        assert_eq!(row_of(&source.next().await), 6);
        source.stop().await;
    }
}

/// Where a source is behind a row that it has read, which a session inserts that calls the time so.
async fn behind_row(
    settings: Settings,
    admin: &mut sqlx::MySqlConnection,
    id: u8,
    time: &str,
) -> MySqlPosition {
    let mut source = Running::start(settings, Before::default()).await;
    let mut position = source.begin.clone();
    assert!(position.gtid_set.is_counted());
    let insert = format!("SET timestamp = {time}; INSERT INTO t VALUES ({id})");
    run(admin, &format!("{insert}; SET timestamp = DEFAULT")).await;
    let transaction = source.next().await;
    assert_eq!(row_of(&transaction), id);
    position.advance(&transaction.commit);
    source.stop().await;
    position
}

/// The number in the first row.
fn row_of(transaction: &super::Transaction) -> u8 {
    let sluice::change::Change::Rows(rows) = &transaction.changes[0] else { panic!() };
    rows.images[1]
}

/// A server that has GTIDs by now: what was executed before the place is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_from_before_the_gtids_gets_its_set_when_there_are_some() {
    let modes = ["--gtid-mode=OFF", "--enforce-gtid-consistency=ON"];
    let Some(server) = servers::private_mysql(&modes) else { return };
    let mut admin = server.database("later").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    assert_eq!(reached(settings(&server, "later")).await.gtid_set, Executed::Absent);
    for mode in ["OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"] {
        run(&mut admin, &format!("SET GLOBAL gtid_mode = {mode}")).await;
    }
    run(&mut admin, "INSERT INTO t VALUES (1); FLUSH BINARY LOGS; INSERT INTO t VALUES (2)").await;
    let place = reached(settings(&server, "later")).await;
    let old = MySqlPosition { gtid_set: Executed::Absent, ..place.clone() };
    let before = Before { position: Some(old), ..Before::default() };
    let (source, append) = Source::prepare(settings(&server, "later"), before).await.unwrap();
    let counted = append.expect("the set has to become durable").position;
    let whole = |position: &MySqlPosition| position.gtid_set.counted().unwrap().whole();
    assert_eq!((&counted.file, counted.offset), (&place.file, place.offset));
    assert_eq!(whole(&counted), whole(&place));
    assert_eq!(source.reached(), &counted);
}

fn set_with_domain(set: &str) -> Executed {
    GtidSet::parse(sluice::change::Flavor::MariaDb, &format!("{set},5-2-1")).unwrap().into()
}

/// FLUSH BINARY LOGS DELETE_DOMAIN_ID is maintenance.
#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_was_deleted_is_not_a_loss() {
    let Some(server) = servers::private_mariadb(&[]) else { return };
    let mut admin = server.database("domains").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    run(&mut admin, "SET SESSION gtid_domain_id = 5; INSERT INTO t VALUES (1)").await;
    run(&mut admin, "SET SESSION gtid_domain_id = 0; INSERT INTO t VALUES (2)").await;
    let wanted = || Settings { by_gtid: true, ..settings(&server, "domains") };
    let position = reached(wanted()).await;
    for _ in 0..100 {
        // The connection that found the place may still hold its file.
        tokio::time::sleep(Duration::from_millis(100)).await;
        run(&mut admin, "FLUSH BINARY LOGS; INSERT INTO t VALUES (9); DELETE FROM t WHERE id = 9")
            .await;
        let file = ask(&mut admin, "SHOW MASTER STATUS", 0).await;
        run(&mut admin, &format!("PURGE BINARY LOGS TO '{file}'")).await;
        let delete = "FLUSH BINARY LOGS DELETE_DOMAIN_ID = (5)";
        if crate::harness::servers::try_run(&mut admin, delete).await.is_ok() {
            break;
        }
    }
    let set = ask(&mut admin, "SELECT @@GLOBAL.gtid_binlog_pos", 0).await;
    assert!(!set.contains("5-"), "{set}");
    let position = MySqlPosition { gtid_set: set_with_domain(&set), ..position };
    run(&mut admin, "INSERT INTO t VALUES (3)").await;
    let before = Before { position: Some(position.clone()), ..Before::default() };
    let mut source = Running::start(wanted(), before).await;
    let transaction = source.next().await;
    let sluice::change::Change::Rows(rows) = &transaction.changes[0] else { panic!() };
    assert_eq!(rows.images[1], 3);
    drop(source);
    // One that has nothing at all was reset.
    run(&mut admin, "RESET MASTER").await;
    let error = refusal(wanted(), position).await;
    assert!(matches!(error, Error::Behind { .. }), "{error}");
}
