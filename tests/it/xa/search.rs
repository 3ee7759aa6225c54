//! Branches that were prepared before the instance began: what is in the way of finding them.

use std::time::{Duration, Instant};

use super::{FILTER, end, id, prepare};
use crate::harness::proxy::{Fault, Proxy};
use crate::harness::servers::{self, Flavor, Server, run, try_run};
use crate::harness::{Random, Sluice, topics};

fn both(mysql: &[&str], mariadb: &[&str]) -> Vec<Server> {
    [servers::private_mysql(mysql), servers::private_mariadb(mariadb)]
        .into_iter()
        .flatten()
        .collect()
}

/// What is of no branch counts for nothing before the begin.
#[tokio::test]
async fn nothing_before_the_begin_stops_an_instance_but_a_branch_that_is_nowhere() {
    for server in &both(&["--secure-file-priv=", "--max-binlog-stmt-cache-size=4096"], &[]) {
        let mut admin = server.database("xa").await;
        run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY, x TEXT DEFAULT NULL)").await;
        run(&mut admin, "CREATE TABLE m (id INT, x LONGTEXT) ENGINE=MyISAM").await;
        prepare(server, "'purged'", &[1]).await;
        run(&mut admin, "FLUSH BINARY LOGS").await;
        prepare(server, "'a'", &[2, 3]).await;
        run(
            &mut admin,
            "SELECT 4, 'x' INTO OUTFILE 'loaded.txt'; SET SESSION binlog_format = STATEMENT;
             LOAD DATA INFILE 'loaded.txt' INTO TABLE t; INSERT INTO t VALUES (5, UUID());
             SET SESSION binlog_format = ROW",
        )
        .await;
        // MySQL logs an INCIDENT for what a non-transactional table keeps of it.
        let _ = try_run(&mut admin, "INSERT INTO m VALUES (1, REPEAT('x', 100000))").await;
        prepare(server, "'b'", &[6]).await;
        run(&mut admin, "FLUSH BINARY LOGS; INSERT INTO t VALUES (7, ''); FLUSH BINARY LOGS").await;
        if server.flavor == Flavor::MySql {
            let events = sqlx::raw_sql("SHOW BINLOG EVENTS IN 'binlog.000002'");
            let events = events.fetch_all(&mut admin).await.unwrap();
            let kind = |row: &sqlx::mysql::MySqlRow| sqlx::Row::get::<String, _>(row, 2);
            let kinds: Vec<String> = events.iter().map(kind).collect();
            assert!(kinds.iter().any(|kind| kind == "Incident"), "{kinds:?}");
        }
        let strict = [("sluice.statement", "stop")];
        let mut sluice = Sluice::with_instance("xa", server, &[&FILTER[..], &strict].concat());
        sluice.start();
        end(server, "XA COMMIT 'b'").await;
        end(server, "XA COMMIT 'a'").await;
        let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", 3);
        let ids: Vec<usize> = records.iter().map(id).collect();
        assert_eq!(ids, [6, 2, 3], "{:?}", server.flavor);

        // As if it was purged between the list of files and the reading.
        server.remove_file("binlog.000001");
        end(server, "XA COMMIT 'purged'").await;
        stopped_for_an_unknown_branch(&sluice).await;
        sluice.stop();
    }
}

async fn stopped_for_an_unknown_branch(sluice: &Sluice) {
    let begun = Instant::now();
    loop {
        let said = sluice.health().map(|health| health.1).unwrap_or_default();
        if said.contains("stopped") {
            assert!(said.contains("sluice.xa.unknown=skip"), "{said}");
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{said}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An xid is used again and again: behind a file that cannot be read nobody can say whether an
/// older branch is the one that is committed.
#[tokio::test]
async fn an_older_branch_of_the_same_xid_is_not_taken_for_the_one_that_is_committed() {
    for server in &both(&[], &[]) {
        let mut admin = server.database("xa").await;
        run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
        prepare(server, "'a'", &[1]).await;
        run(&mut admin, "FLUSH BINARY LOGS").await;
        end(server, "XA ROLLBACK 'a'").await;
        prepare(server, "'a'", &[2]).await;
        run(&mut admin, "FLUSH BINARY LOGS").await;
        server.remove_file("binlog.000002");
        let mut sluice = Sluice::with_instance("xa", server, &FILTER);
        sluice.start();
        end(server, "XA COMMIT 'a'").await;
        stopped_for_an_unknown_branch(&sluice).await;
        assert_eq!(topics::read(&sluice.bootstrap(), "xa.t").len(), 0, "{:?}", server.flavor);
        sluice.stop();
    }
}

/// Stopped or killed while a branch is looked for, or while it is read to be held, it publishes
/// it once, whole, when it is started again.
#[tokio::test]
async fn cut_while_a_branch_is_found_and_held_it_publishes_it_once() {
    const ROWS: usize = 40;
    let Some(server) = servers::private_mysql(&[]) else { return };
    let mut random = Random::seeded("SLUICE_XA_SEED");
    let mut admin = server.database("xa").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY, x LONGTEXT)").await;
    for round in 0..2 {
        let first = round * ROWS;
        let mut connection = server.connect().await;
        run(&mut connection, "XA START 'a'").await;
        for row in first..first + ROWS {
            let insert = format!("INSERT INTO xa.t VALUES ({row}, REPEAT('x', 1000000))");
            run(&mut connection, &insert).await;
        }
        run(&mut connection, "XA END 'a'; XA PREPARE 'a'").await;
        sqlx::Connection::close(connection).await.unwrap();
        run(&mut admin, "FLUSH BINARY LOGS").await;
        let mut sluice = Sluice::with_instance("xa", &server, &FILTER);
        sluice.start();
        end(&server, "XA COMMIT 'a'").await;
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(random.below(400)));
            let begun = Instant::now();
            if random.below(2) > 0 {
                sluice.kill();
            } else {
                sluice.stop();
            }
            assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
            sluice.start();
        }
        let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", ROWS);
        let ids: Vec<usize> = records.iter().map(id).collect();
        assert_eq!(ids, (first..first + ROWS).collect::<Vec<_>>());
        let said = sluice.said();
        assert!(!said.contains("is not held\n") && !said.contains("ERROR"), "{said}");
        sluice.stop();
    }
}

/// Damaged on the way while it is looked for, or while it is read to be held: a branch is published
/// as it was prepared, and no other is taken for it.
#[tokio::test]
async fn a_flipped_bit_hides_no_branch_that_is_looked_for() {
    const BRANCHES: usize = 16;
    let Some(server) = servers::private_mysql(&["--binlog-transaction-compression=ON"]) else {
        return;
    };
    let mut random = Random::new(20_261_128);
    let mut admin = server.database("xa").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    run(&mut admin, "FLUSH BINARY LOGS").await;
    for branch in 0..BRANCHES {
        prepare(&server, &format!("'branch {branch}'"), &[2 * branch, 2 * branch + 1]).await;
    }
    run(&mut admin, "FLUSH BINARY LOGS").await;
    let proxy = Proxy::to(&server);
    let through = [
        ("canal.instance.master.address", &*proxy.address()),
        ("canal.instance.master.sslMode", "DISABLED"),
    ];
    let mut sluice = Sluice::with_instance("xa", &server, &[&FILTER[..], &through].concat());
    sluice.start();
    for branch in 0..BRANCHES {
        // The search comes by all of them, and then the one is read.
        let behind = if branch % 4 == 3 { BRANCHES } else { branch };
        // Half of them in what the search looks at first.
        let thousandths =
            if branch % 2 == 0 { random.place(1000) } else { 300 + random.place(300) };
        let bit = u8::try_from(random.below(8)).unwrap();
        proxy.set(Fault::FlipLater { behind, thousandths, bit });
        end(&server, &format!("XA COMMIT 'branch {branch}'")).await;
        let all = 2 * (branch + 1);
        let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", all);
        let ids: Vec<usize> = records.iter().map(id).collect();
        assert_eq!(ids, (0..all).collect::<Vec<_>>(), "bit {bit} at {thousandths} behind {behind}");
        assert_eq!(proxy.fault(), Fault::None, "nothing was flipped");
    }
    sluice.stop();
}

/// MariaDB writes statements into branches, where the format is not ROW.
#[tokio::test]
async fn the_statements_of_a_branch_are_published_wherever_it_was_prepared() {
    let Some(server) = servers::private_newest_mariadb(&["--binlog-format=MIXED"]) else { return };
    let mut admin = server.database("xa").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE o (v INT)").await;
    run(&mut admin, "INSERT INTO o VALUES (1), (1)").await;
    prepare(&server, "'before'", &[1, 2]).await;
    let topic = [("canal.mq.topic", "xa.t")];
    let mut sluice = Sluice::with_instance("xa", &server, &[&FILTER[..], &topic].concat());
    sluice.start();
    end(&server, "XA COMMIT 'before'").await;
    prepare(&server, "'live'", &[3]).await;
    end(&server, "XA COMMIT 'live'").await;
    // What an ALTER TABLE in two phases leaves behind is over with its own statement.
    run(&mut admin, "SET SESSION binlog_alter_two_phase = 1").await;
    try_run(&mut admin, "ALTER TABLE o ADD UNIQUE (v), ALGORITHM = COPY").await.unwrap_err();
    prepare(&server, "'behind'", &[4]).await;
    end(&server, "XA COMMIT 'behind'").await;
    let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", 4);
    let texts: Vec<String> =
        records.iter().map(|record| record.json()["sql"].as_str().unwrap().to_owned()).collect();
    let ids: Vec<Option<&str>> = texts.iter().map(|text| text.split(['(', ')']).nth(3)).collect();
    assert_eq!(ids, [Some("1"), Some("2"), Some("3"), Some("4")], "{texts:?}");
    sluice.stop();
}
