//! What a held branch becomes, beside what the server does with it.

use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

use super::{FILTER, end, id, prepare, whole_and_at_its_place};
use crate::harness::servers::{self, run};
use crate::harness::{PATIENCE, Record, Sluice, topics, wait_for};

/// With gtidon each message says all that was executed. A branch is held without it, so its
/// messages grow at the XA COMMIT: here to more than a batch of the topic may have. The server is
/// one that was made from a dump: most of its set is in no file of its binlog.
#[tokio::test]
async fn a_branch_is_published_under_the_executed_set_of_thousands_of_servers() {
    const SERVERS: usize = 4000;
    const ROWS: usize = 20;
    let Some(server) = servers::private_mysql(&[]) else { return };
    let mut admin = server.connect().await;
    let dumped: Vec<String> =
        (0..SERVERS).map(|n| format!("{n:08x}-0000-4000-8000-0123456789ab:1-{}", n + 1)).collect();
    run(&mut admin, "RESET BINARY LOGS AND GTIDS").await;
    run(&mut admin, &format!("SET GLOBAL gtid_purged = '{}'", dumped.join(","))).await;
    let mut admin = server.database("xa").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let gtidon = [("canal.instance.gtidon", "true")];
    let mut sluice = Sluice::with_instance("xa", &server, &[&FILTER[..], &gtidon].concat());
    sluice.start();
    let topic = ["--create", "--topic", "xa.t", "--config", "max.message.bytes=2000000"];
    let at = ["--bootstrap-server", &sluice.bootstrap()];
    let made = sluice.script("kafka-topics.sh", &[&at[..], &topic].concat());
    assert_eq!(made.code, Some(0), "{}", made.said);
    run(&mut admin, "INSERT INTO t VALUES (0)").await;
    let before = executed(&mut admin).await;
    prepare(&server, "'a'", &(1..=ROWS).collect::<Vec<_>>()).await;
    end(&server, "XA COMMIT 'a'").await;
    let at_commit = executed(&mut admin).await;
    run(&mut admin, "INSERT INTO t VALUES (9999)").await;
    let behind = executed(&mut admin).await;
    let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", ROWS + 2);
    let sets: Vec<String> = records.iter().map(set_of).collect();
    assert_eq!(records.len(), ROWS + 2);
    assert!(sets[0] == before && sets[ROWS + 1] == behind, "{} {before}", sets[0]);
    assert!(sets[1..=ROWS].iter().all(|set| *set == at_commit), "{} {at_commit}", sets[1]);
    let ids: Vec<usize> = records.iter().map(id).collect();
    assert_eq!(ids[1..=ROWS], (1..=ROWS).collect::<Vec<_>>());
    whole_and_at_its_place(&server, &mut admin, records[1..=ROWS].to_vec(), true).await;
    sluice.stop();

    // Other begins on the same server, in a file before and one behind the next.
    run(&mut admin, "FLUSH BINARY LOGS; INSERT INTO t VALUES (10000)").await;
    let all = executed(&mut admin).await;
    for begin in ["binlog.000001", "binlog.000002"] {
        let begin = [("canal.instance.master.journal.name", begin)];
        let properties = [&FILTER[..], &gtidon, &begin].concat();
        let mut sluice = Sluice::with_instance("again", &server, &properties);
        sluice.start();
        // From the first file on with CREATE TABLE.
        let is_first = begin[0].1 == "binlog.000001";
        let count = if is_first { ROWS + 4 } else { 1 };
        let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", count);
        assert_eq!(records.len(), count, "from {begin:?}");
        assert!(set_of(&records[count - 1]) == all, "from {begin:?}");
        if is_first {
            assert!(set_of(&records[1]) == before, "from {begin:?}");
            assert!(set_of(&records[ROWS + 1]) == at_commit, "from {begin:?}");
        }
        sluice.stop();
    }
}

fn set_of(record: &Record) -> String {
    record.json()["gtid"].as_str().unwrap().to_owned()
}

async fn executed(admin: &mut MySqlConnection) -> String {
    let sql = AssertSqlSafe("SELECT REPLACE(@@GLOBAL.gtid_executed, '\n', '')");
    let text: String = sqlx::raw_sql(sql).fetch_one(admin).await.unwrap().get(0);
    text
}

/// A position that somebody names, or forgets, knows of no branch: what was held there is
/// dropped, and what is committed behind it is looked for in the binlogs.
#[tokio::test]
async fn what_is_held_is_dropped_where_the_position_is_set_or_reset() {
    for moved in ["set", "reset"] {
        let Some(server) = servers::private_mysql(&[]) else { return };
        let mut admin = server.database("xa").await;
        run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut sluice = Sluice::with_instance("xa", &server, &FILTER);
        sluice.start();
        // Of one piece, and of many.
        prepare(&server, "'small'", &[1]).await;
        prepare(&server, "'large'", &(1000..9000).collect::<Vec<_>>()).await;
        run(&mut admin, "INSERT INTO t VALUES (2)").await;
        assert_eq!(topics::read_at_least(&sluice.bootstrap(), "xa.t", 1).len(), 1);
        sluice.stop();
        run(&mut admin, "FLUSH BINARY LOGS").await;
        let place = ["--file", "binlog.000002", "--offset", "4"];
        let command = ["position", moved, "xa"];
        let rest = if moved == "set" { &place[..] } else { &[] };
        let ended = sluice.command(&[&command[..], rest].concat());
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        sluice.start();
        end(&server, "XA ROLLBACK 'small'").await;
        end(&server, "XA ROLLBACK 'large'").await;
        run(&mut admin, "INSERT INTO t VALUES (3)").await;
        wait_for("both to be unknown", PATIENCE, || {
            let metrics = sluice.metrics()?.1;
            let counted = |line: &&str| line.starts_with("sluice_instance_unknown_xa_rollbacks");
            metrics.lines().find(counted)?.ends_with(" 2").then_some(())
        });
        prepare(&server, "'small'", &[4]).await;
        end(&server, "XA COMMIT 'small'").await;
        let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", 3);
        let ids: Vec<usize> = records.iter().map(id).collect();
        assert_eq!(ids, [2, 3, 4], "position {moved}");
        sluice.stop();
    }
}

/// `sluice.format.gtid = transaction`: what a message says in its JSON is what its header says.
#[tokio::test]
async fn a_message_says_the_gtid_of_its_own_transaction_where_that_is_asked_for() {
    for server in [servers::mysql(), servers::mariadb()].into_iter().flatten() {
        let mut admin = server.database("xa_gtid").await;
        let mut sluice = Sluice::with_instance(
            "xa",
            server,
            &[
                ("canal.instance.filter.regex", r"xa_gtid\..*"),
                ("canal.instance.gtidon", "true"),
                ("sluice.format.gtid", "transaction"),
            ],
        );
        sluice.start();
        run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await;
        let xid = "'gtid of its own'";
        let branch = format!(
            "XA START {xid}; INSERT INTO t VALUES (2); XA END {xid}; XA PREPARE {xid}; \
             XA COMMIT {xid}"
        );
        run(&mut admin, &branch).await;
        let records = topics::read_at_least(&sluice.bootstrap(), "xa_gtid.t", 3);
        assert_eq!(records.len(), 3);
        for record in &records {
            let said = set_of(record);
            assert_eq!(said, record.headers["gtid"], "{:?}: {record:?}", server.flavor);
            assert!(said.rsplit([':', '-']).next().unwrap().parse::<u64>().is_ok(), "{said}");
        }
        sluice.stop();
    }
}

/// A branch that is committed in one phase, so large that it goes out while it comes, has to be
/// read again: also where what lies before it is published not at all, and in another file.
#[tokio::test]
async fn a_large_branch_in_one_phase_is_published_behind_a_filtered_transaction() {
    let Some(server) = servers::private_mysql(&[]) else { return };
    let mut admin = server.database("xa").await;
    run(
        &mut admin,
        "CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT); CREATE TABLE hidden (id INT)",
    )
    .await;
    let mut sluice = Sluice::with_instance("xa", &server, &FILTER);
    sluice.start();
    run(&mut admin, "INSERT INTO t VALUES (1, '')").await;
    topics::read_at_least(&sluice.bootstrap(), "xa.t", 1);
    sluice.stop();
    for turn in 1..3 {
        run(&mut admin, "INSERT INTO hidden VALUES (1); FLUSH BINARY LOGS; XA START 'x'").await;
        for row in 0..2 {
            let insert = format!("INSERT INTO t VALUES ({turn}{row}, REPEAT('x', 3000000))");
            run(&mut admin, &insert).await;
        }
        run(&mut admin, "XA END 'x'; XA COMMIT 'x' ONE PHASE").await;
    }
    run(&mut admin, "INSERT INTO t VALUES (99, '')").await;
    sluice.start();
    let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", 6);
    let ids: Vec<usize> = records.iter().map(id).collect();
    assert_eq!(ids, [1, 10, 11, 20, 21, 99]);
    sluice.stop();
}
