//! What fails while an instance starts, or is read, and is tried again: nothing is lost by it.

use std::time::Duration;

use crate::harness::proxy::{Fault, Proxy};
use crate::harness::replication::{caught_up, reads_from, replicate};
use crate::harness::servers::{Flavor, mariadb, mysql, private_mariadb, private_mysql, run};
use crate::harness::{PATIENCE, Server, Sluice, topics, wait_for};

/// An instance of one database, through a proxy.
fn through(proxy: &Proxy, server: &Server, name: &str, more: &[(&str, &str)]) -> Sluice {
    let (address, filter) = (proxy.address(), format!(r"{name}\..*"));
    let mut properties = vec![
        ("canal.instance.master.address", &*address),
        ("canal.instance.master.sslMode", "DISABLED"),
        ("canal.instance.filter.regex", &*filter),
        ("canal.mq.topic", "all"),
    ];
    properties.extend(more);
    Sluice::with_instance(name, server, &properties)
}

fn wait_until_said(sluice: &Sluice, words: &str, times: usize) {
    let is_said = || (sluice.said().matches(words).count() >= times).then_some(());
    wait_for(&format!("{times} times: {words}"), PATIENCE, is_said);
}

/// The current end is the one of the first try that found it, whatever fails behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_tried_again_begins_where_it_began_first() {
    let Some(server) = private_mysql(&["--binlog-row-metadata=MINIMAL"]) else { return };
    let mut source = server.database("retried").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, v INT)").await;
    let proxy = Proxy::to(&server);
    for (number, (words, code)) in [
        ("information_schema.schemata", None),
        ("FROM information_schema.columns", None),
        // ER_OUTOFMEMORY is transient.
        ("FROM information_schema.statistics", Some(1037)),
    ]
    .into_iter()
    .enumerate()
    {
        proxy.set(Fault::Refuse { words, code });
        let mut sluice = through(&proxy, &server, "retried", &[]);
        sluice.launch();
        wait_until_said(&sluice, "trying again", 1);
        run(&mut source, &format!("INSERT INTO t VALUES ({number}, 1)")).await;
        wait_until_said(&sluice, "trying again", 2);
        run(&mut source, &format!("UPDATE t SET v = 2 WHERE id = {number}")).await;
        proxy.set(Fault::None);
        sluice.wait_until_ready();
        let records = topics::read_at_least(&sluice.bootstrap(), "all", 2);
        let kinds: Vec<_> = records.iter().map(|record| record.json()["type"].clone()).collect();
        assert_eq!(kinds, ["INSERT", "UPDATE"], "{words}");
        let begun = sluice.said().matches("begins at the source's current end").count();
        assert_eq!(begun, 1, "{words}: the end was looked for again");
        sluice.stop();
    }
}

/// A page that takes the server too long is asked for in smaller ones; a table that takes too long
/// alone is read while the instance runs, or when rows of it come.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_takes_too_long_comes_again_smaller() {
    let Some(server) = private_mysql(&["--binlog-row-metadata=MINIMAL"]) else { return };
    let mut source = server.database("pages").await;
    let tables: Vec<_> = (0..120).map(|n| format!("CREATE TABLE t{n} (a{n} INT)")).collect();
    run(&mut source, &tables.join(";")).await;
    run(&mut source, "CREATE TABLE slow_one (b INT, c VARCHAR(9))").await;
    let proxy = Proxy::to(&server);
    // ER_QUERY_TIMEOUT
    proxy.set(Fault::Refuse { words: "'slow_one'", code: Some(3024) });
    let mut sluice = through(&proxy, &server, "pages", &[]);
    sluice.start();
    wait_until_said(&sluice, "reading fewer tables at a time", 1);
    wait_until_said(&sluice, "or when rows of them come tables=1 among=pages.slow_one", 1);
    wait_until_said(&sluice, "tables read from the source tables=120", 1);
    assert!(!sluice.said().contains("trying again"), "{}", sluice.said());
    proxy.set(Fault::None);
    run(&mut source, "INSERT INTO t7 VALUES (1); INSERT INTO slow_one VALUES (2, 'x')").await;
    let records = topics::read_at_least(&sluice.bootstrap(), "all", 2);
    let rows: Vec<_> = records.iter().map(|record| record.json()["data"][0].clone()).collect();
    assert_eq!(rows, [serde_json::json!({"a7": "1"}), serde_json::json!({"b": "2", "c": "x"})]);
    sluice.stop();
}

/// A server whose binlog comes, and which does not answer the heartbeat, is left where that is
/// asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_the_heartbeat_is_left_if_that_is_asked_for() {
    let servers = [private_mysql(&[]), private_mysql(&["--server-id=11"])];
    let [Some(a), Some(b)] = servers else { return };
    let mut source = a.database("beats").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    replicate(&b, &a).await;
    caught_up(&b, &a).await;
    let proxy = Proxy::to(&a);
    let standby = format!("{}:{}", b.host, b.port);
    for (number, leaves) in ["false", "true"].into_iter().enumerate() {
        let properties = [
            ("canal.instance.standby.address", &*standby),
            ("canal.instance.detecting.enable", "true"),
            ("canal.instance.detecting.heartbeatHaEnable", leaves),
            ("canal.instance.detecting.interval.time", "1"),
            ("canal.instance.detecting.retry.threshold", "2"),
            ("canal.instance.detecting.sql", "select 'the beat'"),
        ];
        let mut sluice = through(&proxy, &a, "beats", &properties);
        sluice.start();
        run(&mut source, &format!("INSERT INTO t VALUES ({})", 10 * number)).await;
        topics::read_at_least(&sluice.bootstrap(), "all", 1);
        proxy.set(Fault::Refuse { words: "the beat", code: None });
        wait_until_said(&sluice, "the heartbeat (canal.instance.detecting.sql) fails", 1);
        if leaves == "true" {
            wait_until_said(&sluice, &standby, 1);
        } else {
            std::thread::sleep(Duration::from_secs(5));
        }
        run(&mut source, &format!("INSERT INTO t VALUES ({})", 10 * number + 1)).await;
        topics::read_at_least(&sluice.bootstrap(), "all", 2);
        reads_from(&sluice, if leaves == "true" { &b } else { &a }).await;
        proxy.set(Fault::None);
        let records = topics::read(&sluice.bootstrap(), "all");
        let inserts = records.iter().filter(|record| record.json()["type"] == "INSERT");
        assert_eq!(inserts.count(), 2, "heartbeatHaEnable={leaves}");
        sluice.stop();
    }
}

/// MariaDB sends its binlog to the newest replica of a `server_id`, and ends the dump of the other
/// one: neither loses anything, and both say whose fault it is. MySQL distinguishes replicas by
/// their UUID, which each of ours has of its own.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_of_one_server_id_take_turns_and_say_so() {
    for server in [mysql(), mariadb()].into_iter().flatten() {
        let mut source = server.database("same_id").await;
        run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
        let properties = [
            ("canal.instance.mysql.slaveId", "77001"),
            ("canal.instance.filter.regex", r"same_id\..*"),
            // Of other tests.
            ("canal.instance.filter.query.ddl", "true"),
            ("canal.instance.filter.query.dcl", "true"),
            ("canal.mq.topic", "all"),
        ];
        let mut both = ["one", "other"].map(|name| {
            let mut sluice = Sluice::with_instance(name, server, &properties);
            sluice.start();
            sluice
        });
        let words = "another replica with the server id 77001 connected to";
        if server.flavor == Flavor::MariaDb {
            let is_said = || both.iter().any(|one| one.said().contains(words)).then_some(());
            wait_for(words, PATIENCE, is_said);
        }
        for id in 0..5 {
            run(&mut source, &format!("INSERT INTO t VALUES ({id})")).await;
        }
        for sluice in &mut both {
            let records = topics::read_at_least(&sluice.bootstrap(), "all", 5);
            let ids = records.iter().map(|record| record.json()["data"][0]["id"].clone());
            assert_eq!(ids.collect::<Vec<_>>(), ["0", "1", "2", "3", "4"], "{:?}", server.flavor);
            let health = sluice.health().unwrap().1;
            assert!(!health.contains(r#""state":"stopped""#), "{health}");
            sluice.stop();
        }
    }
}

/// Forty of the 127 ids that Canal's rule has for a machine are never all different.
#[tokio::test(flavor = "multi_thread")]
async fn instances_of_one_machine_do_not_end_each_other_s_dumps() {
    const MANY: usize = 40;
    let Some(server) = private_mariadb(&["--max-connections=500"]) else { return };
    let mut source = server.database("many_ids").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut sluice = Sluice::new();
    let names: Vec<String> = (0..MANY).map(|nth| format!("many{}", nth * nth)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for &name in &names {
        let filter = ("canal.instance.filter.regex", r"many_ids\..*");
        sluice.instance(name, &server, &[filter, ("canal.mq.topic", name)]);
    }
    sluice.start();
    for id in 1..=2 {
        run(&mut source, &format!("INSERT INTO t VALUES ({id})")).await;
        wait_for("a row for each", PATIENCE, || {
            let read = topics::read_all(&sluice.bootstrap(), &names);
            (read.len() == MANY && read.values().all(|rows| rows.len() == id)).then_some(())
        });
    }
    assert!(!sluice.said().contains("another replica with the server id"), "{}", sluice.said());
    let replicas = sqlx::raw_sql("SHOW SLAVE HOSTS").fetch_all(&mut source).await.unwrap();
    assert_eq!(replicas.len(), MANY);
    sluice.stop();
}
