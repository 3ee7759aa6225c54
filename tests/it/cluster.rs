//! Into a real Apache Kafka: what users see of `canal.serverMode = kafka`.

use std::time::Duration;

use crate::harness::kafka::{kafka, private_kafka};
use crate::harness::servers::{mysql, run};
use crate::harness::{PATIENCE, Sluice, wait_for};

/// The transactions that the headers name, with the values of the column `id`, in order.
fn ids(records: &[crate::harness::Record]) -> Vec<String> {
    let rows = records.iter().flat_map(|record| record.json()["data"].as_array().unwrap().clone());
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn rows_and_position_are_one_transaction_so_that_killed_it_repeats_and_loses_nothing() {
    let (Some(mysql), Some(kafka)) = (mysql(), kafka()) else { return };
    let mut source = mysql.database("cluster_once").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let filter = ("canal.instance.filter.regex", r"cluster_once\..*");
    let mut sluice = Sluice::with_instance("once", mysql, &[filter]);
    sluice.use_cluster(kafka);
    sluice.start();
    let has = |wanted: &[String]| {
        let records = wait_for("all rows", PATIENCE, || {
            let records = kafka.read("cluster_once.t");
            (ids(&records).len() >= wanted.len()).then_some(records)
        });
        assert_eq!(ids(&records), wanted);
        records
    };
    let mut wanted = Vec::new();
    for first in [100, 200, 300, 400] {
        run(&mut source, &format!("INSERT INTO t VALUES ({first})")).await;
        wanted.push(first.to_string());
        let records = has(&wanted);
        let last = records.last().unwrap();
        assert_eq!((last.headers["tx"].as_str(), last.key.as_ref()), ("0/end", None));
        assert!(last.headers.contains_key("binlog") && last.headers.contains_key("gtid"));
        sluice.kill();
        // While nobody runs.
        run(&mut source, &format!("INSERT INTO t VALUES ({first} + 1), ({first} + 2)")).await;
        wanted.extend([first + 1, first + 2].map(|id| id.to_string()));
        sluice.start();
    }
    has(&wanted);
    sluice.stop();
    // What is stored of the instance is in the cluster, and nothing on our disk.
    assert!(!sluice.folder("data").exists());
    let positions = kafka.read("__sluice.once.positions");
    assert!(positions.iter().any(|one| one.key.as_deref() == Some(b"position")));
}

/// Who has opened an instance last goes on; the other stops and says who that is.
#[tokio::test]
async fn of_two_processes_with_one_instance_the_last_goes_on_and_the_other_names_it() {
    let (Some(mysql), Some(kafka)) = (mysql(), kafka()) else { return };
    let mut source = mysql.database("cluster_two").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let filter = ("canal.instance.filter.regex", r"cluster_two\..*");
    let two = || {
        let mut sluice = Sluice::with_instance("two", mysql, &[filter]);
        sluice.use_cluster(kafka);
        sluice
    };
    let (mut first, mut second) = (two(), two());
    first.start();
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    kafka.read_at_least("cluster_two.t", 1);
    second.start();
    run(&mut source, "INSERT INTO t VALUES (2)").await;
    run(&mut source, "INSERT INTO t VALUES (3)").await;
    let stopped = wait_for("the first to stop", PATIENCE, || {
        let (_, body) = first.health()?;
        body.contains(r#""state":"stopped""#).then_some(body)
    });
    assert!(stopped.contains("run by another process"), "{stopped}");
    assert!(stopped.contains("process "), "{stopped}");
    run(&mut source, "INSERT INTO t VALUES (4)").await;
    let records = kafka.read_at_least("cluster_two.t", 4);
    assert_eq!(ids(&records), ["1", "2", "3", "4"]);
    assert_eq!(second.health().unwrap().0, 200, "{:?}", second.health());
    second.stop();
    first.stop();
}

/// Kafka refuses the second of two such names; no CREATE TABLE may stop an instance.
#[tokio::test]
async fn of_two_tables_whose_topics_kafka_takes_for_one_the_second_gets_another_name() {
    let (Some(mysql), Some(kafka)) = (mysql(), kafka()) else { return };
    let mut source = mysql.database("cluster_names").await;
    run(&mut source, "CREATE TABLE a_b (id INT PRIMARY KEY)").await;
    run(&mut source, "CREATE TABLE `a.b` (id INT PRIMARY KEY)").await;
    let properties = [("canal.instance.filter.regex", r"cluster_names\..*")];
    let mut sluice = Sluice::with_instance("names", mysql, &properties);
    sluice.use_cluster(kafka);
    sluice.start();
    run(&mut source, "INSERT INTO a_b VALUES (1)").await;
    kafka.read_at_least("cluster_names.a_b", 1);
    let other = other_name("cluster_names.a.b");
    for round in 1..=2 {
        run(&mut source, &format!("INSERT INTO `a.b` VALUES ({round})")).await;
        assert_eq!(kafka.read_at_least(&other, round).len(), round);
        sluice.stop();
        sluice.start();
    }
    sluice.stop();
}

fn other_name(name: &str) -> String {
    let hash = openssl::sha::sha256(name.as_bytes());
    let digits = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    format!("{name}-{digits:08x}")
}

/// A transaction that is open for longer than the cluster allows is rolled back by it, and the
/// producer fenced: alone, the process goes on.
#[tokio::test]
async fn a_transaction_that_the_cluster_has_ended_is_sent_again() {
    let Some(mysql) = mysql() else { return };
    let short = "transaction.max.timeout.ms=10000\n\
                 transaction.abort.timed.out.transaction.cleanup.interval.ms=500\n";
    let Some(kafka) = private_kafka(short) else { return };
    let mut source = mysql.database("cluster_late").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, pad LONGTEXT)").await;
    let filter = ("canal.instance.filter.regex", r"cluster_late\..*");
    let mut sluice = Sluice::with_instance("late", mysql, &[filter]);
    sluice.use_cluster(&kafka);
    sluice.start();
    run(&mut source, "INSERT INTO t VALUES (0, '')").await;
    kafka.read_at_least("cluster_late.t", 1);
    run(&mut source, "BEGIN").await;
    for id in 1..=30 {
        run(&mut source, &format!("INSERT INTO t VALUES ({id}, REPEAT('x', 900000))")).await;
    }
    let before = kafka.end("cluster_late.t");
    run(&mut source, "COMMIT").await;
    wait_for("a part of it", PATIENCE, || (kafka.end("cluster_late.t") > before).then_some(()));
    sluice.signal("STOP");
    std::thread::sleep(Duration::from_secs(12));
    sluice.signal("CONT");
    let records = kafka.read_at_least("cluster_late.t", 31);
    let wanted: Vec<String> = (0..=30).map(|id| id.to_string()).collect();
    assert_eq!(ids(&records), wanted);
    // What was rolled back is there still, and two ends of transactions.
    assert!(kafka.end("cluster_late.t") > 31 + 2, "nothing was rolled back");
    sluice.stop();
}

/// What cannot be reached is named, and tried again.
#[test]
fn a_cluster_that_does_not_answer_is_waited_for_and_named() {
    let Some(mysql) = mysql() else { return };
    let mut sluice = Sluice::with_instance("nobody", mysql, &[]);
    let nobody = format!("127.0.0.1:{}", crate::harness::process::free_port());
    sluice.canal("canal.serverMode", "kafka");
    sluice.canal("kafka.bootstrap.servers", &nobody);
    sluice.launch();
    let body = wait_for("the instance to try again", PATIENCE, || {
        let (_, body) = sluice.health()?;
        body.contains(r#""state":"retrying""#).then_some(body)
    });
    assert!(body.contains(&nobody), "{body}");
    sluice.stop();
    // What the cluster alone could say.
    let ended = sluice.command(&["position", "show"]);
    assert_ne!(ended.code, Some(0));
    assert!(ended.said.contains("not there with a Kafka cluster"), "{}", ended.said);
}
