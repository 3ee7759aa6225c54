//! Rows events around the largest message that a topic takes.
//!
//! A topic takes 8 KiB. Rows of lengths around what that leaves are changed on real servers, one
//! or many in an event; a client reads all of them once and in order, in no larger batches.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::MySqlConnection;

use crate::harness::program::{limit, stopped};
use crate::harness::servers::{mariadb, mysql, run};
use crate::harness::{PATIENCE, Random, Record, Server, Sluice, say, topics, wait_for};

/// What the topic takes.
const LIMIT: usize = 8192;

/// As long as the record of a row is with headers, less its one long value: so that lengths are
/// around the limit. Found by the first rows.
fn overhead(record: &Record) -> usize {
    record.value.len() - record.json()["data"][0]["pad"].as_str().unwrap().len()
}

/// The rows that a reader of the topic has after each record, by id; what came twice or out of
/// order shows.
fn replayed(records: &[Record]) -> BTreeMap<u64, (String, String)> {
    let mut rows = BTreeMap::new();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for record in records {
        let json = record.json();
        for (at, row) in json["data"].as_array().unwrap().iter().enumerate() {
            let id = text(&row["id"]).parse().unwrap();
            let now = (text(&row["n"]), text(&row["pad"]));
            let was = match json["type"].as_str().unwrap() {
                "INSERT" => rows.insert(id, now),
                "DELETE" => {
                    assert_eq!(rows.remove(&id), Some(now), "row {id} is deleted once");
                    None
                }
                _ => {
                    let was = rows.insert(id, now.clone()).expect("it was there");
                    let old = &json["old"][at];
                    assert_eq!(old["n"].as_str(), Some(&*was.0), "row {id} is updated in order");
                    let changed = (was.1 != now.1).then_some(&*was.1);
                    assert_eq!(old["pad"].as_str(), changed);
                    None
                }
            };
            assert_eq!(was, None, "row {id} comes once");
        }
    }
    rows
}

/// `tx` numbers the messages of each transaction without a hole.
fn assert_numbered(records: &[Record]) {
    let mut next = 0;
    for record in records {
        let tx = &record.headers["tx"];
        let number: usize = tx.trim_end_matches("/end").parse().unwrap();
        assert_eq!(number, next, "{:?}", record.headers);
        next = if tx.ends_with("/end") { 0 } else { next + 1 };
    }
    assert_eq!(next, 0, "the last transaction is whole");
}

async fn rows_of_all_sizes_arrive(server: &Server, database: &str) {
    let mut source = server.database(database).await;
    let table = "(id INT PRIMARY KEY AUTO_INCREMENT, n INT, pad MEDIUMTEXT) CHARACTER SET utf8mb4";
    run(&mut source, &format!("CREATE TABLE t {table}")).await;
    let filter = format!(r"{database}\..*");
    let mut sluice =
        Sluice::with_instance("example", server, &[("canal.instance.filter.regex", &filter)]);
    sluice.start();
    run(&mut source, "INSERT INTO t (n, pad) VALUES (0, '')").await;
    let topic = format!("{database}.t");
    let first = topics::read_at_least(&sluice.bootstrap(), &topic, 1).remove(0);
    limit(&sluice, &topic, LIMIT);

    // One row: of the exact length, and less.
    let headers = first.headers.iter().map(|(name, value)| name.len() + value.len() + 2);
    let around = 61 + 9 + headers.sum::<usize>();
    let exact = LIMIT - overhead(&first) - around;
    for spare in [60, 45, 30] {
        run(
            &mut source,
            &format!("INSERT INTO t (n, pad) VALUES (0, REPEAT('x', {}))", exact - spare),
        )
        .await;
    }
    change_many(&mut source, exact).await;
    run(&mut source, "INSERT INTO t (n, pad) VALUES (99, 'last')").await;
    let records = wait_for("the last row", PATIENCE, || {
        let records = topics::read(&sluice.bootstrap(), &topic);
        records.last().is_some_and(|last| last.value.contains("\"last\"")).then_some(records)
    });
    assert_numbered(&records);
    let divided = records.iter().filter(|record| record.headers["tx"] != "0/end").count();
    say(&format!("{} messages, {divided} of events that were divided", records.len()));
    assert!(divided > 20);
    assert!(records.iter().all(|record| record.value.len() + around <= LIMIT + 8));
    assert!(replayed(&records) == rows_there(&mut source).await, "the topic replayed is the table");
    stops_at_what_has_no_room(&sluice, &mut source, &topic, exact).await;
    sluice.stop();
}

/// Many rows in an event, of lengths by chance, changed and deleted.
async fn change_many(source: &mut MySqlConnection, exact: usize) {
    let mut random = Random::seeded("SLUICE_SIZES_SEED");
    for round in 0..6 {
        let most = [40, 300, 3000, 4100, exact as u64 - 60, 7000][round];
        let rows: Vec<String> = (0..random.below(60) + 2)
            .map(|_| format!("(1, REPEAT('é', {}))", random.below(most) / 2))
            .collect();
        run(source, &format!("INSERT INTO t (n, pad) VALUES {}", rows.join(","))).await;
        run(
            source,
            "UPDATE t SET n = n + 1, pad = LEFT(pad, 300) WHERE LENGTH(pad) < 3000 AND id % 3 = 0",
        )
        .await;
        run(source, "UPDATE t SET n = n + 1 WHERE LENGTH(pad) < 7000").await;
        run(source, "DELETE FROM t WHERE id % 4 = 1 AND n > 0").await;
    }
}

/// The rows that the server has, by id.
async fn rows_there(source: &mut MySqlConnection) -> BTreeMap<u64, (String, String)> {
    let wanted: Vec<(i32, i32, String)> =
        sqlx::query_as("SELECT id, n, pad FROM t ORDER BY id").fetch_all(source).await.unwrap();
    wanted
        .into_iter()
        .map(|(id, n, pad)| (u64::try_from(id).unwrap(), (n.to_string(), pad)))
        .collect()
}

/// A row that has no room at all stops the instance, which says what lets it go on.
async fn stops_at_what_has_no_room(
    sluice: &Sluice,
    source: &mut MySqlConnection,
    topic: &str,
    exact: usize,
) {
    run(source, "INSERT INTO t (n, pad) VALUES (1, 'before')").await;
    run(source, &format!("INSERT INTO t (n, pad) VALUES (2, REPEAT('x', {}))", exact + 60)).await;
    run(source, "INSERT INTO t (n, pad) VALUES (3, 'after')").await;
    let health = stopped(sluice);
    let advice = format!(
        "bin/kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config \
         max.message.bytes=1048576"
    );
    for word in [topic, "binlog.0", "takes 8192", &advice, "canal.instance.filter.black.field"] {
        assert!(health.contains(word), "{word} is not said: {health}");
    }
    let before = topics::read(&sluice.bootstrap(), topic);
    assert!(before.last().unwrap().value.contains("\"before\""), "what is whole is published");
    limit(sluice, topic, 1 << 20);
    let ended = sluice.command(&["instance", "start", "example"]);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let after = topics::read_at_least(&sluice.bootstrap(), topic, before.len() + 2);
    let numbers = after[before.len()..].iter().map(|record| record.json()["data"][0]["n"].clone());
    assert_eq!(numbers.collect::<Vec<_>>(), ["2", "3"]);
}

#[tokio::test]
async fn rows_of_all_sizes_of_mysql_arrive_once_in_messages_that_the_topic_takes() {
    let Some(mysql) = mysql() else { return };
    rows_of_all_sizes_arrive(mysql, "sizes_mysql").await;
}

#[tokio::test]
async fn rows_of_all_sizes_of_mariadb_arrive_once_in_messages_that_the_topic_takes() {
    let Some(mariadb) = mariadb() else { return };
    rows_of_all_sizes_arrive(mariadb, "sizes_mariadb").await;
}
