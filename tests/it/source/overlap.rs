//! What was executed on one server lies behind the position on another: each way in which a
//! position may have come about there, by each way in which a session can begin. The judge is the
//! list of what the server has and was not published: it comes once, in the server's order.

use std::collections::BTreeSet;
use std::time::Duration;

use sluice::change::{Change, GtidSet, MySqlPosition};
use sluice::config::Adopt;
use sluice::source::{Before, Error, Settings, Source};
use sqlx::Row as _;

use super::{Running, Transaction, ask, settings};
use crate::harness::Server;
use crate::harness::servers::{private_mysql, run};

/// The server that was read before; here it is nothing but a name.
const OTHER: &str = "7f1c8e6a-0000-4000-8000-0000000000aa";
/// What was published of it.
const PUBLISHED: [u64; 6] = [1, 2, 5, 6, 7, 10];
/// The rows that were not, in the order of the server that is read now.
const TO_COME: [i32; 4] = [3, 4, 8, 99];

/// As one who replicates writes what the other one has, in another order.
async fn write_in_another_order(admin: &mut sqlx::MySqlConnection) {
    let mut script = vec!["FLUSH BINARY LOGS;".to_owned()];
    let mut transaction = |number: u64, sql: &str| {
        script.push(format!("SET gtid_next = '{OTHER}:{number}'; {sql};"));
    };
    transaction(3, "INSERT INTO t VALUES (3, 0)");
    transaction(1, "INSERT INTO t VALUES (1, 0)");
    transaction(2, "BEGIN; INSERT INTO t VALUES (2, 0); UPDATE t SET v = 1 WHERE id = 2; COMMIT");
    transaction(
        10,
        "SET binlog_transaction_compression = ON; INSERT INTO t VALUES (10, 0); \
         SET gtid_next = AUTOMATIC; FLUSH BINARY LOGS",
    );
    transaction(4, "INSERT INTO t VALUES (4, 0); SET binlog_transaction_compression = OFF");
    transaction(5, "CREATE TABLE u (id INT)");
    transaction(6, "XA START 'x'; INSERT INTO t VALUES (6, 0); XA END 'x'; XA PREPARE 'x'");
    transaction(8, "INSERT INTO t VALUES (8, 0)");
    transaction(7, "XA COMMIT 'x'; SET gtid_next = AUTOMATIC");
    run(admin, &script.concat()).await;
    run(admin, "INSERT INTO t VALUES (99, 0)").await;
}

/// An event: where it begins, and the transaction that it is of.
struct Event {
    file: String,
    offset: u64,
    gtid: Option<String>,
    begins: bool,
}

/// All events of the last two files, as the server lists them.
async fn events(admin: &mut sqlx::MySqlConnection) -> Vec<Event> {
    let files = sqlx::raw_sql("SHOW BINARY LOGS").fetch_all(&mut *admin).await.unwrap();
    let files: Vec<String> = files.iter().map(|row| row.get(0)).collect();
    let mut events = Vec::new();
    for file in &files[files.len().saturating_sub(2)..] {
        let list = sqlx::AssertSqlSafe(format!("SHOW BINLOG EVENTS IN '{file}'"));
        let mut gtid = None;
        for row in sqlx::raw_sql(list).fetch_all(&mut *admin).await.unwrap() {
            let (kind, info): (String, String) = (row.get(2), row.get(5));
            let begins = kind == "Gtid";
            if begins {
                gtid = info.split('\'').nth(1).map(str::to_owned);
            } else if ["Rotate", "Previous_gtids", "Format_desc"].contains(&&*kind) {
                gtid = None;
            }
            let offset = row.get(1);
            events.push(Event { file: file.clone(), offset, gtid: gtid.clone(), begins });
        }
    }
    events
}

fn id_of(transaction: &Transaction) -> i32 {
    let Change::Rows(rows) = &transaction.changes[0] else { panic!("{:?}", transaction.texts()) };
    i32::from_le_bytes(rows.images[1..5].try_into().unwrap())
}

fn set(text: &str) -> GtidSet {
    GtidSet::parse(sluice::change::Flavor::MySql, text).unwrap()
}

fn behind(position: MySqlPosition) -> Before {
    Before { position: Some(position), ..Before::default() }
}

/// The ways in which a session begins at a place of the server's own.
const WAYS: [&str; 4] = ["at its place", "with gtidon", "from the head of its file", "by GTID"];

fn wanted(server: &Server, way: &str) -> Settings {
    let mut wanted = settings(server, "overlap");
    wanted.adopt = Adopt::Current;
    match way {
        "with gtidon" => wanted.by_gtid = true,
        "from the head of its file" => wanted.dump_reach = 0,
        _ => {}
    }
    wanted
}

/// Where the instance began at the other server: nothing is known here but a set.
async fn from_the_other(server: &Server, admin: &mut sqlx::MySqlConnection) -> MySqlPosition {
    let (source, _) =
        Source::prepare(settings(server, "overlap"), Before::default()).await.unwrap();
    let mut known = set(&ask(admin, "SELECT @@GLOBAL.gtid_executed", 0).await);
    for number in PUBLISHED {
        known.union(&set(&format!("{OTHER}:{number}")));
    }
    let begin = source.reached().clone();
    MySqlPosition {
        server_uuid: OTHER.into(),
        gtid_set: known.into(),
        file: "other.000007".into(),
        file_created: 0,
        ..begin
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_comes_no_second_time_whatever_led_to_the_position() {
    let Some(server) = private_mysql(&["--server-id=11"]) else { return };
    let mut admin = server.database("overlap").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY, v INT)").await;
    let other = from_the_other(&server, &mut admin).await;
    write_in_another_order(&mut admin).await;
    let own = ask(&mut admin, "SELECT @@server_uuid", 0).await;
    let known = other.gtid_set.counted().unwrap().whole();
    let events = events(&mut admin).await;
    let (mut behind_it, mut tried) = (known.clone(), 0);
    for (index, event) in events.iter().enumerate() {
        let of = event.gtid.as_deref().map(set);
        let was_published = of.as_ref().is_none_or(|of| of.is_subset_of(&known));
        // Of what was to come only the begin is a place to go on from.
        if event.offset > 4 && (event.begins || was_published) {
            let position = MySqlPosition {
                file: event.file.as_str().into(),
                offset: event.offset,
                by_gtid: true,
                server_uuid: own.as_str().into(),
                gtid_set: behind_it.clone().into(),
                ..other.clone()
            };
            let to_come: BTreeSet<_> = events[index..]
                .iter()
                .filter_map(|event| event.gtid.clone())
                .filter(|gtid| !set(gtid).is_subset_of(&behind_it))
                .collect();
            for way in WAYS {
                let position = match way {
                    "by GTID" => MySqlPosition { server_uuid: OTHER.into(), ..position.clone() },
                    _ => position.clone(),
                };
                let mut source =
                    Running::start(wanted(&server, way), behind(position.clone())).await;
                let mut ids = Vec::new();
                while ids.last() != Some(&99) {
                    let next = source.next().await;
                    ids.push(id_of(&next));
                    // Behind the end that the server had, its place says it all.
                    assert_eq!(next.commit.by_gtid, ids.last() != Some(&99), "{position}, {way}");
                }
                let expected = &TO_COME[TO_COME.len() - to_come.len()..];
                assert_eq!(ids, expected, "{position}, {way}");
                source.stop().await;
                tried += 1;
            }
        }
        if let Some(of) = of.filter(|_| !was_published) {
            behind_it.union(&of);
        }
    }
    assert!(tried > 60, "{tried}");
    // As it comes about: another server's position, then a restart behind each transaction.
    let mut position = other;
    for id in TO_COME {
        let mut source = Running::start(wanted(&server, ""), behind(position.clone())).await;
        let next = source.next().await;
        assert_eq!(id_of(&next), id, "{position}");
        position.advance(&next.commit);
        source.stop().await;
    }
    let mut source = Running::start(wanted(&server, ""), behind(position)).await;
    run(&mut admin, "INSERT INTO t VALUES (100, 0)").await;
    let last = source.next().await;
    assert_eq!((id_of(&last), last.commit.by_gtid), (100, false));
    source.stop().await;
}

/// It may have been published of the other server, or not.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_gtid_is_refused_before_the_end_that_was_failed_over_to_and_comes_behind_it() {
    let Some(server) = private_mysql(&["--server-id=11"]) else { return };
    let mut admin = server.database("overlap").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY, v INT)").await;
    let other = from_the_other(&server, &mut admin).await;
    let offset = ask(&mut admin, "SHOW BINARY LOG STATUS", 1).await.parse().unwrap();
    run(&mut admin, "INSERT INTO t VALUES (0, 0)").await;
    let file = ask(&mut admin, "SHOW BINARY LOG STATUS", 0).await;
    let end = ask(&mut admin, "SHOW BINARY LOG STATUS", 1).await.parse().unwrap();
    let own = ask(&mut admin, "SELECT @@server_uuid", 0).await;
    let of_own = MySqlPosition {
        file: file.as_str().into(),
        offset,
        server_uuid: own.as_str().into(),
        by_gtid: true,
        gtid_set: set(&ask(&mut admin, "SELECT @@GLOBAL.gtid_executed", 0).await).into(),
        ..other
    };
    for mode in ["ON_PERMISSIVE", "OFF_PERMISSIVE"] {
        run(&mut admin, &format!("SET GLOBAL gtid_mode = {mode}")).await;
    }
    let mut source = Running::start(wanted(&server, ""), behind(of_own.clone())).await;
    // The end was reached at once.
    while source.any().await.commit.by_gtid {}
    let file = ask(&mut admin, "SHOW BINARY LOG STATUS", 0).await;
    run(&mut admin, "INSERT INTO t VALUES (1, 0)").await;
    assert_eq!(id_of(&source.next().await), 1);
    let stopped = source.stop().await;
    run(&mut admin, "INSERT INTO t VALUES (2, 0)").await;
    let mut source = Running::start(wanted(&server, ""), behind(stopped.reached().clone())).await;
    assert_eq!(id_of(&source.next().await), 2);
    source.stop().await;
    // Written there, behind a place behind which nothing was executed before.
    let at_end = MySqlPosition { offset: end, ..of_own.clone() };
    let mut source = Running::start(wanted(&server, ""), behind(at_end)).await;
    for id in [1, 2] {
        assert_eq!(id_of(&source.next().await), id);
    }
    source.stop().await;
    let error = Running::start(wanted(&server, ""), behind(of_own)).await.error().await;
    assert!(matches!(error, Error::Doubtful { .. }), "{error}");
    assert!(error.to_string().contains(&format!("--file {file} --offset")), "{error}");
}

/// While a server leaves a transaction out its heartbeats name places inside of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_is_never_inside_of_what_the_server_leaves_out() {
    let Some(server) = private_mysql(&["--server-id=11"]) else { return };
    let mut admin = server.database("overlap").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(4000))").await;
    let other = from_the_other(&server, &mut admin).await;
    run(&mut admin, "SET cte_max_recursion_depth = 100000").await;
    run(
        &mut admin,
        &format!(
            "SET gtid_next = '{OTHER}:1'; INSERT INTO t WITH RECURSIVE n AS (SELECT 1 i UNION ALL \
             SELECT i + 1 FROM n WHERE i < 9000) SELECT i, REPEAT('x', 4000) FROM n; \
             SET gtid_next = AUTOMATIC"
        ),
    )
    .await;
    let events = events(&mut admin).await;
    let ends: Vec<(&str, u64)> = events
        .iter()
        .filter(|event| event.begins || event.gtid.is_none())
        .map(|event| (&*event.file, event.offset))
        .collect();
    let end = (
        ask(&mut admin, "SHOW BINARY LOG STATUS", 0).await,
        ask(&mut admin, "SHOW BINARY LOG STATUS", 1).await.parse::<u64>().unwrap(),
    );
    for millis in (0..40).map(|step| 5 * step) {
        let mut wanted = wanted(&server, "");
        wanted.replica.heartbeat = Duration::from_millis(1);
        let source = Running::start(wanted, behind(other.clone())).await;
        tokio::time::sleep(Duration::from_millis(millis)).await;
        let stopped = source.stop().await;
        let MySqlPosition { file, offset, server_uuid, .. } = stopped.reached();
        let place = (&**file, *offset);
        let is_boundary =
            **server_uuid == *OTHER || ends.contains(&place) || place == (end.0.as_str(), end.1);
        assert!(is_boundary, "after {millis} ms at {}:{}", place.0, place.1);
    }
}
