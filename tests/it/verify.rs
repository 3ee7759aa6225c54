//! `sluice verify` against real servers: tables that change meanwhile are as their topics say, and
//! each kind of difference planted into a topic is found, and nothing else.

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use sqlx::MySqlConnection;
use tokio_util::sync::CancellationToken;

use crate::harness::program::assert_ended;
use crate::harness::servers::{self, run, try_run};
use crate::harness::{PATIENCE, Random, Record, Server, Sluice, topics, wait_for};

/// How often a table that changes is verified.
const TURNS: usize = 3;

const TABLES: &str = "
CREATE TABLE by_number (id INT PRIMARY KEY, name VARCHAR(20), amount DECIMAL(10,2), at TIMESTAMP(3) NULL);
CREATE TABLE by_text (a VARCHAR(10), b INT, doc TEXT, PRIMARY KEY (b, a)) CHARACTER SET utf8mb4;
CREATE TABLE keyless (a INT, b VARCHAR(10))";

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_mysql_that_change_are_as_their_topics_say() {
    if let Some(server) = servers::private_mysql(&[]) {
        under_load(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_mariadb_that_change_are_as_their_topics_say() {
    if let Some(server) = servers::private_mariadb(&[]) {
        under_load(&server).await;
    }
}

async fn under_load(server: &Server) {
    let mut source = server.database("verified").await;
    let filter = [("canal.instance.filter.regex", r"verified\..*")];
    let mut sluice = Sluice::with_instance("verified", server, &filter);
    sluice.start();
    run(&mut source, TABLES).await;
    let ended = CancellationToken::new();
    let writer = tokio::spawn(write(source, ended.clone()));
    for turn in 0..TURNS {
        let verified = tokio::task::block_in_place(|| sluice.command(&["verify"]));
        assert_ended(
            &verified,
            0,
            &["verified.by_number against verified.by_number", "none differs"],
        );
        // Of the one without a key all rows may be deleted.
        let is_empty = |table| verified.said.contains(&format!("verified.{table}: 0 rows"));
        assert!(turn == 0 || !["by_number", "by_text"].iter().any(is_empty), "{}", verified.said);
    }
    ended.cancel();
    let mut source = writer.await.unwrap();
    // What the stream does not bring.
    run(&mut source, "SET sql_log_bin = 0; INSERT INTO by_number (id) VALUES (-7)").await;
    let verified = sluice.command(&["verify", "--tables", r"verified\.by_.*"]);
    assert_ended(&verified, 1, &["1 missing", "missing [\"-7\"]", "verified.by_text against"]);
    assert!(!verified.said.contains("keyless"), "{}", verified.said);
    sluice.stop();
}

/// Changes rows until the token is cancelled.
async fn write(mut source: MySqlConnection, ended: CancellationToken) -> MySqlConnection {
    let mut random = Random::new(7);
    while !ended.is_cancelled() {
        let (id, other) = (random.below(200), random.below(200));
        let statement = match random.below(7) {
            0 | 1 => format!(
                "REPLACE INTO by_number VALUES ({id}, 'n{other}', {other}.5, NOW(3)), ({other}, NULL, 1.50, NULL)"
            ),
            2 => format!("DELETE FROM by_number WHERE id = {id}"),
            3 => format!("REPLACE INTO by_text VALUES ('é{other}', {id}, '漢\\\\\"')"),
            4 => format!("UPDATE by_text SET b = b + 1000 WHERE b = {id}"),
            5 => format!("INSERT INTO keyless VALUES ({}, 'x')", id % 3),
            _ => format!("DELETE FROM keyless WHERE a = {} LIMIT 2", id % 3),
        };
        match try_run(&mut source, &statement).await {
            // A key may be taken already.
            Ok(()) | Err(sqlx::Error::Database(_)) => {}
            Err(error) => panic!("{statement}: {error}"),
        }
    }
    source
}

#[tokio::test]
async fn each_kind_of_planted_difference_is_found_and_nothing_else() {
    let Some(server) = servers::mysql() else { return };
    let mut source = server.database("planted").await;
    let filter = [("canal.instance.filter.regex", r"planted\..*")];
    let mut sluice = Sluice::with_instance("planted", server, &filter);
    sluice.start();
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20), amount DECIMAL(9,2))")
        .await;
    for id in 1..10 {
        run(&mut source, &format!("INSERT INTO t VALUES ({id}, 'ä{id}', 1.50)")).await;
    }
    run(&mut source, "INSERT INTO t VALUES (50, NULL, 0)").await;
    for value in ["one", "two"] {
        run(&mut source, &format!("UPDATE t SET name = '{value}' WHERE id = 4")).await;
    }
    run(&mut source, "DELETE FROM t WHERE id = 9").await;
    let records = topics::read_at_least(&sluice.bootstrap(), "planted.t", 14);
    let at = |text: &str| records.iter().position(|record| record.value.contains(text)).unwrap();
    let insert = |id: u32| at(&format!("\"data\":[{{\"id\":\"{id}\","));
    let without = |place: usize| [&records[..place], &records[place + 1..]].concat();
    let with = |more: &Record| [&records[..], std::slice::from_ref(more)].concat();
    let replaced = |place: usize, from: &str, to: &str| {
        let mut records = records.clone();
        assert!(records[place].value.contains(from), "{from}: {}", records[place].value);
        records[place].value = records[place].value.replace(from, to);
        records
    };
    let mut swapped = records.clone();
    let first = at("\"name\":\"one\"");
    swapped.swap(first, first + 1);
    let mut repeated = records.clone();
    repeated.insert(insert(5) + 1, records[insert(5)].clone());
    let plants = [
        ("equal", records.clone(), None),
        ("missing_row", without(insert(7)), Some(("missing", "[\"7\"]"))),
        ("extra_row", without(at("\"type\":\"DELETE\"")), Some(("extra", "[\"9\"]"))),
        ("changed_row", replaced(insert(6), "ä6", "ä7"), Some(("changed", "[\"6\"]"))),
        (
            "changed_null",
            replaced(insert(50), "\"name\":null", "\"name\":\"\""),
            Some(("changed", "[\"50\"]")),
        ),
        ("charset", replaced(insert(6), "ä6", "Ã¤6"), Some(("changed", "[\"6\"]"))),
        ("digit", replaced(insert(2), "1.50", "1.51"), Some(("changed", "[\"2\"]"))),
        ("duplicate", repeated, Some(("duplicate", "[\"5\"]"))),
        ("deleted_back", with(&records[insert(9)]), None),
        ("order", swapped, Some(("order", "[\"4\"]"))),
        (
            "schema",
            replaced(insert(3), "\"amount\":\"", "\"price\":\""),
            Some(("changed", "[\"3\"]")),
        ),
    ];
    for (name, records, expected) in plants {
        let topic = format!("copy_{name}");
        plant(&sluice.bootstrap(), &topic, &records);
        let verified = sluice.command(&["verify", "--tables", r"planted\.t", "--against", &topic]);
        let against = format!("planted.t against {topic}");
        match (name, expected) {
            ("equal", _) => assert_ended(&verified, 0, &[&against, "none differs"]),
            // An insert of before, behind its delete: it is there again, and out of order.
            ("deleted_back", _) => assert_ended(&verified, 1, &[&against, "order [\"9\"]"]),
            (_, Some((word, key))) => {
                let (count, line) = (format!("1 {word}"), format!("  {word} {key}"));
                assert_ended(&verified, 1, &[&against, &count, &line]);
                let others = ["missing", "extra", "changed", "duplicate", "order"];
                for other in others.iter().filter(|other| **other != word) {
                    assert!(!verified.said.contains(&format!(" {other} [")), "{}", verified.said);
                }
            }
            (name, None) => panic!("{name}"),
        }
    }
    // Of rows that the topic has no message of nothing is known.
    run(&mut source, "CREATE TABLE u (id INT PRIMARY KEY)").await;
    run(&mut source, "INSERT INTO u VALUES (1); INSERT INTO u VALUES (2)").await;
    let records = topics::read_at_least(&sluice.bootstrap(), "planted.u", 3);
    plant(&sluice.bootstrap(), "copy_late", &records[2..]);
    let late = ["verify", "--tables", r"planted\.u", "--against", "copy_late"];
    let words = ["1 keys judged", "not judged: 1 rows of which the topic has no message"];
    assert_ended(&sluice.command(&late), 2, &words);
    let complete = [&late[..], &["--complete"]].concat();
    assert_ended(&sluice.command(&complete), 1, &["missing [\"1\"]"]);
    let absent = ["verify", "--tables", r"planted\.u", "--against", "nowhere"];
    assert_ended(&sluice.command(&absent), 2, &["cannot be judged: there is no topic nowhere"]);
    sluice.stop();
    assert_ended(&sluice.command(&["verify"]), 2, &["sluice does not run"]);
}

/// Writes records into a topic of their own.
fn plant(bootstrap: &str, topic: &str, records: &[Record]) {
    let producer: BaseProducer = topics::client(bootstrap);
    for record in records {
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let new = BaseRecord::<(), str>::to(topic).payload(&record.value).headers(headers);
        producer.send(new.partition(0)).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    wait_for("the planted records", PATIENCE, || {
        (topics::read(bootstrap, topic).len() == records.len()).then_some(())
    });
}
