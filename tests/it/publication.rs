//! Rows of a real server reach Kafka clients, and go on after a crash.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;
use sqlx::Row;

use crate::harness::servers::{mariadb, mysql, run};
use crate::harness::{PATIENCE, Record, Server, Sluice, topics, wait_for};

/// The databases that other tests make on a shared server concern no table, so that no filter of
/// tables holds them back: they would be published, and counted, too.
const WITHOUT_NEIGHBOURS: (&str, &str) = ("canal.instance.filter.query.dcl", "true");

/// A running program with one instance for the tables of one database.
fn publishing(server: &Server, database: &str) -> Sluice {
    let filter = format!(r"{database}\..*");
    let only = [("canal.instance.filter.regex", filter.as_str())];
    let mut sluice = Sluice::with_instance("example", server, &only);
    sluice.start();
    sluice
}

/// A column of the first row of each record.
fn column(records: &[Record], name: &str) -> Vec<String> {
    let text = |record: &Record| record.json()["data"][0][name].as_str().unwrap().to_owned();
    records.iter().map(text).collect()
}

#[tokio::test]
async fn an_insert_reaches_its_topic_as_canal_json() {
    let Some(mysql) = mysql() else { return };
    an_insert_arrives(mysql, "pub_mysql").await;
}

#[tokio::test]
async fn an_insert_of_mariadb_reaches_its_topic_as_canal_json() {
    let Some(mariadb) = mariadb() else { return };
    an_insert_arrives(mariadb, "pub_mariadb").await;
}

async fn an_insert_arrives(server: &Server, database: &str) {
    let mut source = server.database(database).await;
    run(&mut source, "CREATE TABLE test (id INT PRIMARY KEY, name VARCHAR(20))").await;
    let sluice = publishing(server, database);

    run(&mut source, "INSERT INTO test VALUES (1, 'one')").await;

    let records = topics::read_at_least(&sluice.bootstrap(), &format!("{database}.test"), 1);
    let [record] = &records[..] else { panic!("{records:#?}") };
    let json = record.json();
    assert_eq!(json["type"], "INSERT");
    assert_eq!(json["data"], json!([{"id": "1", "name": "one"}]));
    assert_eq!((&json["database"], &json["table"]), (&json!(database), &json!("test")));
    assert_eq!(json["pkNames"], json!(["id"]));
    assert_eq!(record.key, None);
    assert_eq!(record.headers["tx"], "0/end");
    assert!(record.headers["binlog"].starts_with("binlog.0"), "{:?}", record.headers);
    assert!(!record.headers["gtid"].is_empty(), "{:?}", record.headers);
}

#[tokio::test]
async fn a_topic_replayed_gives_the_table() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("pub_replay").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20), b DECIMAL(8,2))").await;
    let sluice = publishing(mysql, "pub_replay");

    run(&mut source, "INSERT INTO t VALUES (1,'a',1.5),(2,'b',NULL),(3,NULL,0)").await;
    run(&mut source, "UPDATE t SET a = CONCAT(a, '!'), b = b + 1 WHERE id < 3").await;
    run(&mut source, "UPDATE t SET id = 30 WHERE id = 3").await;
    run(&mut source, "DELETE FROM t WHERE id = 2").await;

    let mut rows = std::collections::BTreeMap::new();
    for record in topics::read_at_least(&sluice.bootstrap(), "pub_replay.t", 4) {
        let json = record.json();
        for (at, row) in json["data"].as_array().unwrap().iter().enumerate() {
            let before = json["old"][at]["id"].as_str().or(row["id"].as_str()).unwrap();
            rows.remove(before);
            if json["type"] != "DELETE" {
                rows.insert(row["id"].as_str().unwrap().to_owned(), row.clone());
            }
        }
    }
    let read = sqlx::query("SELECT CAST(id AS CHAR), a, CAST(b AS CHAR) FROM t ORDER BY 1")
        .fetch_all(&mut source)
        .await
        .unwrap();
    let text = |row: &sqlx::mysql::MySqlRow, at: usize| row.get::<Option<String>, _>(at);
    let wanted: Vec<_> = read
        .iter()
        .map(|row| json!({"id": text(row, 0), "a": text(row, 1), "b": text(row, 2)}))
        .collect();
    assert_eq!(rows.into_values().collect::<Vec<_>>(), wanted);
}

#[tokio::test]
async fn killed_it_goes_on_behind_the_last_published_row() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("pub_resume").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut sluice = publishing(mysql, "pub_resume");
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    run(&mut source, "INSERT INTO t VALUES (2)").await;
    let before = topics::read_at_least(&sluice.bootstrap(), "pub_resume.t", 2);

    sluice.kill();
    run(&mut source, "INSERT INTO t VALUES (3)").await;
    sluice.start();
    run(&mut source, "INSERT INTO t VALUES (4)").await;

    let after = topics::read_at_least(&sluice.bootstrap(), "pub_resume.t", 4);
    assert_eq!(column(&after, "id"), ["1", "2", "3", "4"]);
    assert_eq!(after[..2], before, "what was published is as it was");
}

#[tokio::test]
async fn stopped_in_order_it_loses_and_repeats_nothing() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("pub_stop").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut sluice = publishing(mysql, "pub_stop");
    for id in 1..=3 {
        run(&mut source, &format!("INSERT INTO t VALUES ({id})")).await;
        sluice.stop();
        sluice.start();
    }
    let all = topics::read_at_least(&sluice.bootstrap(), "pub_stop.t", 3);
    assert_eq!(column(&all, "id"), ["1", "2", "3"]);
}

#[tokio::test]
async fn a_group_goes_on_from_its_committed_offset_even_after_a_crash() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("pub_group").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut sluice = publishing(mysql, "pub_group");
    for id in 1..=6 {
        run(&mut source, &format!("INSERT INTO t VALUES ({id})")).await;
    }
    topics::read_at_least(&sluice.bootstrap(), "pub_group.t", 6);

    assert_eq!(read_in_group(&sluice, 2), ["1", "2"]);
    assert_eq!(read_in_group(&sluice, 2), ["3", "4"]);
    sluice.kill();
    sluice.start();
    assert_eq!(read_in_group(&sluice, 2), ["5", "6"]);
}

/// A new member of the group reads so many records, commits, and leaves.
fn read_in_group(sluice: &Sluice, count: usize) -> Vec<String> {
    let consumer: BaseConsumer = topics::settings(&sluice.bootstrap())
        .set("group.id", "readers")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&["pub_group.t"]).unwrap();
    let mut records = Vec::new();
    wait_for("the records of a group", PATIENCE, || {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            consumer.commit_message(&message, CommitMode::Sync).unwrap();
            records.push(Record::of(&message));
        }
        (records.len() == count).then_some(())
    });
    column(&records, "id")
}

#[tokio::test]
async fn a_client_seeks_by_timestamp() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("pub_seek").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let sluice = publishing(mysql, "pub_seek");
    for id in 1..=4 {
        run(&mut source, &format!("INSERT INTO t VALUES ({id})")).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let all = topics::read_at_least(&sluice.bootstrap(), "pub_seek.t", 4);

    let consumer: BaseConsumer = topics::client(&sluice.bootstrap());
    for wanted in &all {
        let mut times = TopicPartitionList::new();
        let time = Offset::Offset(wanted.timestamp);
        times.add_partition_offset("pub_seek.t", 0, time).unwrap();
        let offsets = consumer.offsets_for_times(times, PATIENCE).unwrap();
        consumer.assign(&offsets).unwrap();
        let message = consumer.poll(PATIENCE).unwrap().unwrap();
        assert_eq!(message.offset(), wanted.offset, "the first record not before {time:?}");
    }
}

#[tokio::test]
async fn what_the_filter_leaves_out_has_no_topic() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("pub_filter").await;
    run(&mut source, "CREATE TABLE seen (id INT PRIMARY KEY)").await;
    run(&mut source, "CREATE TABLE hidden (id INT PRIMARY KEY)").await;
    let only = [("canal.instance.filter.regex", r"pub_filter\.seen"), WITHOUT_NEIGHBOURS];
    let mut sluice = Sluice::with_instance("example", mysql, &only);
    sluice.start();

    run(
        &mut source,
        "DROP DATABASE IF EXISTS pub_filter_neighbour; CREATE DATABASE pub_filter_neighbour",
    )
    .await;
    run(&mut source, "INSERT INTO hidden VALUES (1)").await;
    run(&mut source, "INSERT INTO seen VALUES (1)").await;

    topics::read_at_least(&sluice.bootstrap(), "pub_filter.seen", 1);
    let all: Vec<String> = topics::list(&sluice.bootstrap()).into_keys().collect();
    assert_eq!(all, ["pub_filter.seen"]);
}

#[tokio::test]
async fn metrics_cover_each_instance_and_each_partition() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("pub_metrics").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let only = [("canal.instance.filter.regex", r"pub_metrics\..*"), WITHOUT_NEIGHBOURS];
    let mut sluice = Sluice::with_instance("example", mysql, &only);
    sluice.start();
    run(
        &mut source,
        "DROP DATABASE IF EXISTS pub_metrics_neighbour; CREATE DATABASE pub_metrics_neighbour",
    )
    .await;
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    topics::read_at_least(&sluice.bootstrap(), "pub_metrics.t", 1);
    let lines = [
        r#"canal_instance{destination="example",mode="embedded"} 1"#,
        r#"canal_instance_transactions{destination="example"} 1"#,
        r#"sluice_log_end_offset{topic="pub_metrics.t",partition="0"} 1"#,
    ];
    // A record can be read a moment before it is counted.
    wait_for("the metrics", PATIENCE, || {
        let (status, text) = sluice.metrics()?;
        let has = |line: &&str| text.lines().any(|one| one == *line);
        (status == 200 && lines.iter().all(has)).then_some(())
    });
}

/// Whatever `sluice.compression` says, clients read the same records; what is stored says how.
#[tokio::test]
async fn compressed_messages_are_the_same_to_who_reads_them() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("pub_compressed").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(200))").await;
    let only = ("canal.instance.filter.regex", r"pub_compressed\..*");
    let mut sluice = Sluice::new();
    let codecs = [("none", 0_u8), ("lz4", 3), ("zstd", 4)];
    for (codec, _) in codecs {
        let topic = format!("{codec}.{{table}}");
        let own = [only, ("sluice.compression", codec), ("sluice.topic", topic.as_str())];
        sluice.instance(codec, mysql, &own);
    }
    sluice.start();
    let rows = (0..500).map(|n| format!("({n}, REPEAT('pear {n} ', 10))")).collect::<Vec<_>>();
    run(&mut source, &format!("INSERT INTO t VALUES {}", rows.join(","))).await;
    run(&mut source, "UPDATE t SET name = 'apple'").await;
    run(&mut source, "DELETE FROM t WHERE id < 3").await;
    let sign = |record: &Record| {
        let mut json = record.json();
        // The time of publication, and a number within the instance: it counts what other tests
        // do to databases too.
        (json["ts"], json["id"]) = (json!(0), json!(0));
        (record.key.clone(), json, record.headers.clone())
    };
    let end = |record: &Record| record.json()["type"] == "DELETE";
    let read = |codec: &str| {
        wait_for("the last message", PATIENCE, || {
            let records = topics::read(&sluice.bootstrap(), &format!("{codec}.t"));
            records.iter().any(end).then_some(records)
        })
    };
    let wanted: Vec<_> = read("none").iter().map(sign).collect();
    assert!(wanted.len() >= 3, "{}", wanted.len());
    for (codec, code) in codecs {
        assert_eq!(read(codec).iter().map(sign).collect::<Vec<_>>(), wanted, "{codec}");
        let stored = sluice.folder("data").join(format!("{codec}.t-0/00000000000000000000.log"));
        let stored = std::fs::read(stored).unwrap();
        assert_eq!(stored[22] & 7, code, "{codec}: the attributes of the first batch");
    }
}
