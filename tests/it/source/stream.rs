//! Transactions as they come.

use sluice::change::{Change, Executed};
use sluice::schema::History;
use sluice::source::Before;

use super::{Running, ask, settings};
use crate::harness::Server;
use crate::harness::servers::{self, Flavor, here, run, try_run};

fn both() -> Vec<&'static Server> {
    servers::mysql().into_iter().chain(servers::mariadb()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_comes_whole_and_its_position_is_the_servers_own() {
    for server in both() {
        let server = match server.flavor {
            Flavor::MySql => servers::private_mysql(&[]),
            Flavor::MariaDb => servers::private_mariadb(&[]),
        };
        let Some(server) = &server else { return };
        let mut admin = server.database("whole").await;
        run(
            &mut admin,
            "CREATE TABLE a (id INT PRIMARY KEY, t TEXT); CREATE TABLE b (id INT PRIMARY KEY)",
        )
        .await;
        let mut source = Running::start(settings(server, "whole"), Before::default()).await;
        assert_eq!(source.first.as_ref().unwrap().position, source.begin);

        run(&mut admin, "BEGIN; INSERT INTO a VALUES (1, 'x'), (2, 'y'); INSERT INTO b VALUES (1); UPDATE a SET t = 'z' WHERE id = 1; DELETE FROM b; COMMIT").await;
        let transaction = source.next().await;
        assert_eq!(transaction.texts(), ["+a", "+b", "~a", "-b"], "{:?}", server.flavor);
        let (file, offset) = here(server).await;
        assert_eq!(&*transaction.commit.file, file);
        assert_eq!(transaction.commit.offset, offset);
        assert!(transaction.gtid.is_some() && transaction.commit.event_time > 0);

        run(&mut admin, "ALTER TABLE a ADD COLUMN n BIGINT; INSERT INTO a VALUES (3, 'w', 7)")
            .await;
        let ddl = source.next().await;
        assert_eq!(ddl.texts(), ["ALTER TABLE a ADD COLUMN n BIGINT"]);
        assert!(!ddl.commit.state.is_empty(), "the history goes with the statement");
        let rows = source.next().await;
        let Change::Rows(change) = &rows.changes[0] else { panic!() };
        let names: Vec<&str> = change.table.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["id", "t", "n"]);

        let reached = source.stop().await.reached().clone();
        let executed = match server.flavor {
            Flavor::MySql => ask(&mut admin, "SELECT @@GLOBAL.gtid_executed", 0).await,
            Flavor::MariaDb => ask(&mut admin, "SELECT @@GLOBAL.gtid_binlog_pos", 0).await,
        };
        assert_eq!(reached.gtid_set.counted().map(ToString::to_string), Some(executed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filtered_traffic_moves_the_position_too() {
    for server in both() {
        let mut admin = server.database("unseen").await;
        let mut source = Running::start(settings(server, "seen"), Before::default()).await;
        run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
        source.any().await;
        run(&mut admin, "INSERT INTO t VALUES (1)").await;
        // A heartbeat may have moved it before, to where nothing was executed in between. That no
        // GTID is lost shows by one that comes at all: `any` does not wait for ever.
        let moved = loop {
            let moved = source.any().await;
            assert!(moved.changes.is_empty());
            if !moved.commit.filtered.is_empty() {
                break moved;
            }
        };
        assert!(moved.commit.offset > source.begin.offset, "{:?}", server.flavor);
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_and_going_on_repeats_and_loses_nothing() {
    for by_gtid in [false, true] {
        for server in both() {
            let mut admin = server.database("again").await;
            run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
            let mut wanted = settings(server, "again");
            wanted.by_gtid = by_gtid;
            let mut source = Running::start(wanted.clone(), Before::default()).await;
            let first = source.first.take().unwrap();
            run(&mut admin, "INSERT INTO t VALUES (1)").await;
            let transaction = source.next().await;
            let mut state = first.state;
            state.extend(transaction.commit.state.clone());
            let reached = source.stop().await.reached().clone();
            // While nobody listens, and over a change of files.
            run(
                &mut admin,
                "INSERT INTO t VALUES (2); FLUSH BINARY LOGS; INSERT INTO t VALUES (3)",
            )
            .await;
            let mut history = History::default();
            for record in &state {
                history.take(record).unwrap();
            }
            let before = Before { position: Some(reached), history, ..Before::default() };
            let mut source = Running::start(wanted, before).await;
            assert!(source.first.is_none());
            for id in [2_u8, 3] {
                let transaction = source.next().await;
                let Change::Rows(rows) = &transaction.changes[0] else { panic!() };
                assert_eq!(rows.images[1], id, "{:?} by_gtid {by_gtid}", server.flavor);
            }
            source.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_compressed_transaction_comes_in_chunks() {
    let Some(server) = servers::mysql() else { return };
    let mut admin = server.database("zipped").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, x LONGTEXT)").await;
    let mut source = Running::start(settings(server, "zipped"), Before::default()).await;
    run(&mut admin, "SET SESSION binlog_transaction_compression = ON").await;
    run(&mut admin, "BEGIN; INSERT INTO t (x) VALUES (REPEAT('abcdefgh', 100000))").await;
    for _ in 0..4 {
        run(&mut admin, "INSERT INTO t (x) SELECT x FROM t").await;
    }
    run(&mut admin, "COMMIT").await;
    let transaction = source.next().await;
    assert!(transaction.image_bytes() > 16 * 800_000, "{}", transaction.image_bytes());
    let offsets: std::collections::BTreeSet<u64> = transaction
        .changes
        .iter()
        .map(|change| match change {
            Change::Rows(rows) => rows.place.offset,
            Change::Statement(statement) => statement.place.offset,
            Change::Together(together) => together.place.offset,
        })
        .collect();
    assert_eq!(offsets.len(), 1, "all are at the compressed event");
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_forty_megabytes_comes_whole() {
    for server in both() {
        let mut admin = server.database("large").await;
        run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY, x LONGBLOB)").await;
        let mut source = Running::start(settings(server, "large"), Before::default()).await;
        run(&mut admin, "SET GLOBAL max_allowed_packet = 1073741824").await;
        let mut admin = server.connect().await;
        run(&mut admin, "INSERT INTO large.t VALUES (1, REPEAT('0123456789', 4000000))").await;
        let transaction = source.next().await;
        assert!(transaction.image_bytes() > 40_000_000);
        assert_eq!(transaction.texts(), ["+t"]);
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_goes_out_before_it_is_committed_to_the_end() {
    let Some(server) = servers::mysql() else { return };
    let mut admin = server.database("bulk").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, x CHAR(200))").await;
    let mut source = Running::start(settings(server, "bulk"), Before::default()).await;
    run(&mut admin, "BEGIN; INSERT INTO t (x) VALUES (REPEAT('a', 200))").await;
    for _ in 0..16 {
        run(&mut admin, "INSERT INTO t (x) SELECT x FROM t").await;
    }
    run(&mut admin, "COMMIT").await;
    let transaction = source.next().await;
    assert!(transaction.image_bytes() > 65_536 * 200);
    assert!(transaction.chunks > 5, "{} chunks", transaction.chunks);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rolled_back_rows_are_not_handed_over_and_those_that_cannot_be_are() {
    for server in both() {
        let mut admin = server.database("back").await;
        run(&mut admin, "CREATE TABLE i (id INT PRIMARY KEY) ENGINE=InnoDB; CREATE TABLE m (id INT PRIMARY KEY) ENGINE=MyISAM").await;
        let mut source = Running::start(settings(server, "back"), Before::default()).await;
        // GTID consistency of MySQL forbids the mixture.
        let mixed = "BEGIN; INSERT INTO i VALUES (1); SAVEPOINT s; INSERT INTO i VALUES (2); INSERT INTO m VALUES (1); ROLLBACK TO s; INSERT INTO i VALUES (3); COMMIT";
        if try_run(&mut admin, mixed).await.is_err() {
            run(&mut admin, "ROLLBACK; BEGIN; INSERT INTO i VALUES (1); SAVEPOINT s; INSERT INTO i VALUES (2); ROLLBACK TO s; INSERT INTO i VALUES (3); COMMIT").await;
        }
        let all =
            ask(&mut admin, "SELECT CAST(GROUP_CONCAT(id ORDER BY id) AS CHAR) FROM i", 0).await;
        assert_eq!(all, "1,3");
        run(&mut admin, "CREATE TABLE done (id INT)").await;
        let mut seen = Vec::new();
        loop {
            let transaction = source.next().await;
            let texts = transaction.texts();
            if texts[0].starts_with("CREATE TABLE done") {
                break;
            }
            for change in &transaction.changes {
                if let Change::Rows(rows) = change {
                    seen.push((rows.table.name.table.to_string(), rows.images[1]));
                }
            }
        }
        let of = |table: &str| -> Vec<u8> {
            seen.iter().filter(|(name, _)| name == table).map(|(_, id)| *id).collect()
        };
        assert_eq!(of("i"), [1, 3], "{:?}: {seen:?}", server.flavor);
        let kept = ask(&mut admin, "SELECT COUNT(*) FROM m", 0).await;
        assert_eq!(of("m").len().to_string(), kept, "{:?}: {seen:?}", server.flavor);
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tagged_gtids_and_create_table_select_are_understood() {
    let Some(server) = servers::mysql() else { return };
    let mut admin = server.database("tagged").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut source = Running::start(settings(server, "tagged"), Before::default()).await;
    run(
        &mut admin,
        "SET gtid_next = 'AUTOMATIC:blue'; INSERT INTO t VALUES (1); SET gtid_next = 'AUTOMATIC'",
    )
    .await;
    let transaction = source.next().await;
    assert!(transaction.gtid.as_deref().unwrap().contains(":blue:"), "{transaction:?}");
    run(&mut admin, "CREATE TABLE c AS SELECT * FROM t").await;
    let copied = source.next().await;
    assert_eq!(copied.texts().len(), 2, "{:?}", copied.texts());
    assert_eq!(copied.texts()[1], "+c");
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_compressed_events_are_inflated() {
    let Some(server) = servers::private_mariadb(&["--log-bin-compress=1"]) else { return };
    let mut admin = server.database("packed").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY, x TEXT)").await;
    let mut source = Running::start(settings(&server, "packed"), Before::default()).await;
    run(&mut admin, "INSERT INTO t VALUES (1, REPEAT('abc', 10000))").await;
    assert!(source.next().await.image_bytes() > 30_000);
    let long = format!("CREATE TABLE u (id INT COMMENT '{}')", "x".repeat(900));
    run(&mut admin, &long).await;
    assert_eq!(source.next().await.texts(), [long]);
    source.stop().await;
}

/// COM_BINLOG_DUMP has 32 bits for the offset: as if they were fewer.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_farther_than_the_command_reaches_is_continued_from() {
    for server in both() {
        let mut admin = server.database("far").await;
        run(&mut admin, "CREATE TABLE a (id INT PRIMARY KEY)").await;
        let mut before = Running::start(settings(server, "far"), Before::default()).await;
        if server.flavor == Flavor::MySql {
            run(&mut admin, "SET SESSION binlog_transaction_compression = ON").await;
        }
        run(&mut admin, "INSERT INTO a VALUES (1); INSERT INTO a VALUES (2)").await;
        assert_eq!(before.next().await.texts(), ["+a"]);
        assert_eq!(before.next().await.texts(), ["+a"]);
        let mut position = before.stop().await.reached().clone();
        position.gtid_set = Executed::Absent;

        run(&mut admin, "INSERT INTO a VALUES (3); UPDATE a SET id = 4 WHERE id = 3").await;
        let mut far = settings(server, "far");
        far.dump_reach = position.offset - 1;
        let behind = position.offset;
        let before = Before { position: Some(position), ..Before::default() };
        let mut source = Running::start(far, before).await;
        for expected in ["+a", "~a"] {
            let transaction = source.next().await;
            assert_eq!(transaction.texts(), [expected], "{:?}", server.flavor);
            assert!(transaction.commit.offset > behind, "{:?}", server.flavor);
        }
        source.stop().await;
    }
}
