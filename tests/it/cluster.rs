//! Into a real Apache Kafka: what users see of `canal.serverMode = kafka`.

use std::time::{Duration, Instant};

use crate::harness::gate::Way;
use crate::harness::kafka::{kafka, private_kafka};
use crate::harness::servers::{mysql, run};
use crate::harness::{PATIENCE, Sluice, say, wait_for};

/// The values of the column `id`, in order.
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

pub(crate) fn other_name(name: &str) -> String {
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

/// Names in the cluster are made of the group's, which has no dots, and the instance's: no two are the
/// same, but Kafka takes only one of two that differ by `.` and `_`.
#[tokio::test]
async fn of_two_instances_that_kafka_takes_for_one_the_second_is_refused() {
    let (Some(mysql), Some(kafka)) = (mysql(), kafka()) else { return };
    drop(mysql.database("cluster_same").await);
    let new = |group: &str, instance: &str| {
        let filter = ("canal.instance.filter.regex", r"cluster_same\..*");
        let mut sluice = Sluice::with_instance(instance, mysql, &[filter]);
        sluice.use_cluster(kafka);
        sluice.canal("sluice.group", group);
        sluice
    };
    let mut first = new("same", "b.c");
    first.start();
    let mut second = new("same_b", "c");
    second.launch();
    wait_for("the second to be refused", PATIENCE, || {
        let (_, body) = second.health()?;
        let words = [r#""state":"stopped""#, "__same_b.c.lock", "rename one of them"];
        words.iter().all(|word| body.contains(word)).then_some(())
    });
    let checked = second.command(&["check"]);
    assert!(checked.code == Some(1) && checked.said.contains("__same_b.c."), "{}", checked.said);
    say(&checked.said);
    second.stop();
    let ended = new("same.b", "c").run_to_its_end();
    assert!(ended.code != Some(0) && ended.said.contains("sluice.group"), "{}", ended.said);
    first.stop();
}

/// What is in hand is ended first, as far as the cluster answers.
#[tokio::test]
async fn a_stop_is_answered_however_long_the_cluster_takes() {
    let (Some(mysql), Some(kafka)) = (mysql(), kafka()) else { return };
    let mut source = mysql.database("cluster_stop").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let filter = ("canal.instance.filter.regex", r"cluster_stop\..*");
    let mut sluice = Sluice::with_instance("stopping", mysql, &[filter]);
    sluice.use_cluster(kafka);
    let far = format!("127.0.0.1:{}", kafka.gate().port());
    sluice.canal("kafka.bootstrap.servers", &far);
    sluice.start();
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    kafka.read_at_least("cluster_stop.t", 1);
    kafka.gate().set(Way::Silent);
    run(&mut source, "INSERT INTO t VALUES (2)").await;
    let begun = Instant::now();
    let stopped = sluice.command(&["instance", "stop", "stopping"]);
    say(&format!("stopped after {:?}", begun.elapsed()));
    kafka.gate().set(Way::Open);
    assert_eq!(stopped.code, Some(0), "{}", stopped.said);
    let started = sluice.command(&["instance", "start", "stopping"]);
    assert_eq!(started.code, Some(0), "{}", started.said);
    assert_eq!(ids(&kafka.read_at_least("cluster_stop.t", 2)), ["1", "2"]);
    sluice.stop();
}

/// An instance's own topics are written by nobody else, so that no open transaction of another one
/// hides its position.
#[tokio::test]
async fn a_neighbour_that_died_within_a_transaction_holds_up_nobody() {
    let (Some(mysql), Some(kafka)) = (mysql(), kafka()) else { return };
    let mut source = mysql.database("cluster_neighbours").await;
    run(&mut source, "CREATE TABLE large (id INT PRIMARY KEY, pad MEDIUMTEXT)").await;
    run(&mut source, "CREATE TABLE small (id INT PRIMARY KEY)").await;
    let instance = |name: &str, table: &str| {
        let filter = format!(r"cluster_neighbours\.{table}");
        let mut sluice =
            Sluice::with_instance(name, mysql, &[("canal.instance.filter.regex", &filter)]);
        sluice.use_cluster(kafka);
        sluice.start();
        sluice
    };
    let (mut dying, mut other) = (instance("dying", "large"), instance("other", "small"));
    let large = "cluster_neighbours.large";
    run(&mut source, "INSERT INTO large VALUES (0, '')").await;
    kafka.read_at_least(large, 1);
    run(&mut source, "BEGIN").await;
    for id in 1..=30 {
        run(&mut source, &format!("INSERT INTO large VALUES ({id}, REPEAT('x', 900000))")).await;
    }
    let before = kafka.end(large);
    run(&mut source, "COMMIT").await;
    wait_for("a part of it", PATIENCE, || (kafka.end(large) > before).then_some(()));
    dying.kill();
    other.kill();
    run(&mut source, "INSERT INTO small VALUES (1)").await;
    other.start();
    assert_eq!(ids(&kafka.read_at_least("cluster_neighbours.small", 1)), ["1"]);
    assert_eq!(ids(&kafka.read(large)), ["0"], "the transaction has ended before");
    dying.start();
    let wanted: Vec<String> = (0..=30).map(|id| id.to_string()).collect();
    assert_eq!(ids(&kafka.read_at_least(large, 31)), wanted);
    other.stop();
    dying.stop();
}

/// Without transactions nothing is lost, and what was being sent may be repeated.
#[tokio::test]
async fn without_transactions_a_kill_loses_nothing() {
    let (Some(mysql), Some(kafka)) = (mysql(), kafka()) else { return };
    let mut source = mysql.database("cluster_least").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let filter = ("canal.instance.filter.regex", r"cluster_least\..*");
    let mut sluice = Sluice::with_instance("least", mysql, &[filter]);
    sluice.use_cluster(kafka);
    sluice.canal("kafka.transactional", "false");
    sluice.start();
    assert!(sluice.said().contains("without transactions"), "{}", sluice.said());
    for id in 0..60 {
        run(&mut source, &format!("INSERT INTO t VALUES ({id})")).await;
        if id % 20 == 10 {
            sluice.kill();
            sluice.start();
        }
    }
    wait_for("all rows", PATIENCE, || {
        let mut seen = ids(&kafka.read("cluster_least.t"));
        seen.retain(|id| id == "59");
        (!seen.is_empty()).then_some(())
    });
    // Each comes behind all before it; what is repeated begins anew somewhere before.
    let seen = ids(&kafka.read("cluster_least.t"));
    let mut next = 0;
    for id in seen.iter().map(|id| id.parse::<i32>().unwrap()) {
        assert!(id <= next, "{id} comes before {next}: {seen:?}");
        next = next.max(id + 1);
    }
    assert_eq!(next, 60, "{seen:?}");
    sluice.stop();
}

/// A topic that takes little gets small batches; what does not fit is kept in the cluster, over
/// a kill, and comes from there in order when it has room.
#[tokio::test]
async fn a_parked_table_is_kept_in_the_cluster_and_published_from_there() {
    let (Some(mysql), Some(kafka)) = (mysql(), kafka()) else { return };
    let mut source = mysql.database("cluster_parked").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, pad MEDIUMTEXT)").await;
    run(&mut source, "CREATE TABLE u (id INT PRIMARY KEY)").await;
    kafka.configure("cluster_parked.t", "max.message.bytes", "20000").await;
    let properties =
        [("canal.instance.filter.regex", r"cluster_parked\..*"), ("sluice.table.error", "park")];
    let mut sluice = Sluice::with_instance("parked", mysql, &properties);
    sluice.use_cluster(kafka);
    sluice.start();
    // Together more than a batch may have.
    run(&mut source, "BEGIN").await;
    for id in 1..=20 {
        run(&mut source, &format!("INSERT INTO t VALUES ({id}, REPEAT('x', 5000))")).await;
    }
    run(&mut source, "COMMIT").await;
    let mut wanted: Vec<String> = (1..=20).map(|id| id.to_string()).collect();
    assert_eq!(ids(&kafka.read_at_least("cluster_parked.t", 20)), wanted);
    run(&mut source, "INSERT INTO t VALUES (21, REPEAT('x', 50000))").await;
    run(&mut source, "INSERT INTO t VALUES (22, '')").await;
    run(&mut source, "INSERT INTO u VALUES (1)").await;
    assert_eq!(ids(&kafka.read_at_least("cluster_parked.u", 1)), ["1"]);
    assert!(sluice.health().unwrap().1.contains("takes 20000"), "{:?}", sluice.health());
    sluice.kill();
    sluice.start();
    kafka.configure("cluster_parked.t", "max.message.bytes", "200000").await;
    let retried = sluice.command(&["instance", "retry", "parked", "cluster_parked.t"]);
    assert_eq!(retried.code, Some(0), "{}", retried.said);
    run(&mut source, "INSERT INTO t VALUES (23, '')").await;
    wanted.extend([21, 22, 23].map(|id: u32| id.to_string()));
    assert_eq!(ids(&kafka.read_at_least("cluster_parked.t", 23)), wanted);
    sluice.stop();
}

/// What cannot be reached is named, and waited for.
#[test]
fn a_cluster_that_does_not_answer_is_waited_for_and_named() {
    let Some(mysql) = mysql() else { return };
    let mut sluice = Sluice::with_instance("nobody", mysql, &[]);
    let nobody = format!("127.0.0.1:{}", crate::harness::process::free_port());
    sluice.canal("canal.serverMode", "kafka");
    sluice.canal("kafka.bootstrap.servers", &nobody);
    sluice.launch();
    // It is not known which process is to run it, and why that is not known.
    wait_for("the instance to name the cluster", PATIENCE, || {
        let (code, body) = sluice.health()?;
        let waits = body.contains(r#""state":"waiting""#) && body.contains(&nobody);
        (code == 503 && waits).then_some(())
    });
    sluice.stop();
    // What the cluster alone could say.
    let ended = sluice.command(&["position", "show"]);
    assert_ne!(ended.code, Some(0));
    assert!(ended.said.contains("not there with a Kafka cluster"), "{}", ended.said);
}

/// Without a position an instance would go on at the source's end, and what was written since the
/// lost one would be missing: it stops, and says where its newest record is. Records of others in
/// its topics are no reason, nor are its own topics' neighbours.
#[tokio::test]
async fn without_its_position_an_instance_does_not_go_on_behind_what_it_has_published() {
    let (Some(mysql), Some(kafka)) = (mysql(), kafka()) else { return };
    let mut source = mysql.database("cluster_anew").await;
    for table in ["t", "u", "v"] {
        run(&mut source, &format!("CREATE TABLE {table} (id INT PRIMARY KEY)")).await;
    }
    // Somebody else's records.
    kafka.configure("cluster_anew.u", "retention.ms", "-1").await;
    kafka.produce("cluster_anew.u", "not ours");
    let filter = ("canal.instance.filter.regex", r"cluster_anew\..*");
    let mut sluice = Sluice::with_instance("anew", mysql, &[filter]);
    sluice.use_cluster(kafka);
    sluice.canal("kafka.topic.partitions", "3");
    sluice.start();
    for id in 1..=3 {
        run(&mut source, &format!("INSERT INTO t VALUES ({id})")).await;
    }
    let newest = kafka.read_at_least("cluster_anew.t", 3).pop().unwrap();
    sluice.stop();
    run(&mut source, "INSERT INTO t VALUES (4)").await;
    // Another group, another name of the instance's own topics.
    sluice.canal("sluice.group", "other");
    sluice.launch();
    let body = wait_for("the instance to stop", PATIENCE, || {
        let (_, body) = sluice.health()?;
        body.contains(r#""state":"stopped""#).then_some(body)
    });
    let place = format!("offset {}", newest.offset);
    let binlog = newest.headers["binlog"].clone();
    for word in ["cluster_anew.t", &place, &binlog, "sluice.start.anew", "__other.anew.positions"] {
        assert!(body.contains(word), "no {word} in {body}");
    }
    sluice.stop();
    // By its own name all is as before.
    sluice.canal("sluice.group", "sluice");
    sluice.start();
    assert_eq!(ids(&kafka.read_at_least("cluster_anew.t", 4)), ["1", "2", "3", "4"]);
    sluice.stop();
    // Where it is wanted.
    sluice.canal("sluice.group", "other");
    sluice.instance("anew", mysql, &[filter, ("sluice.start.anew", "true")]);
    sluice.start();
    run(&mut source, "INSERT INTO t VALUES (5)").await;
    assert_eq!(ids(&kafka.read_at_least("cluster_anew.t", 5)), ["1", "2", "3", "4", "5"]);
    sluice.stop();
    // Tables of which nothing is there yet.
    let filter = ("canal.instance.filter.regex", r"cluster_anew\.(u|v)");
    let mut sluice = Sluice::with_instance("anew_too", mysql, &[filter]);
    sluice.use_cluster(kafka);
    sluice.start();
    sluice.stop();
}
