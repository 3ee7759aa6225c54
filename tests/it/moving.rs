//! An instance on its way to another log and back: over all logs together every change comes once,
//! in order.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::Connection as _;

use crate::harness::kafka::{Kafka, kafka};
use crate::harness::load::Load;
use crate::harness::program::{assert_ended, limit};
use crate::harness::servers::{mariadb, mysql, run, try_run};
use crate::harness::{PATIENCE, Random, Record, Server, Sluice, topics, wait_for};

/// A log, and the process that writes it.
struct Place<'a> {
    sluice: Sluice,
    instance: &'static str,
    cluster: Option<&'a Kafka>,
}

impl Place<'_> {
    fn read(&self, topic: &str) -> Vec<Record> {
        match self.cluster {
            Some(kafka) => kafka.read(topic),
            None => topics::read(&self.sluice.bootstrap(), topic),
        }
    }

    fn bootstrap(&self) -> String {
        self.cluster.map_or_else(|| self.sluice.bootstrap(), Kafka::bootstrap)
    }

    fn parked(&self) -> Vec<Value> {
        let (_, body) = wait_for("it to answer", PATIENCE, || self.sluice.health());
        let health: Value = serde_json::from_str(&body).unwrap();
        health["instances"][0]["progress"]["parked"].as_array().unwrap().clone()
    }

    fn ids(&self, topic: &str) -> Vec<u64> {
        let records = self.read(topic);
        let rows = records.iter().flat_map(|record| match record.json()["data"].as_array() {
            Some(rows) => rows.clone(),
            None => Vec::new(),
        });
        rows.map(|row| row["id"].as_str().unwrap().parse().unwrap()).collect()
    }

    fn wait_for(&self, topic: &str, id: u64) {
        wait_for(&format!("row {id} in {topic}"), PATIENCE, || {
            self.ids(topic).contains(&id).then_some(())
        });
    }

    /// Ends a command about the instance.
    fn command(&self, arguments: &[&str], code: i32, words: &[&str]) {
        assert_ended(&self.sluice.command(arguments), code, words);
    }

    /// Publishes what is kept of a table that no branch holds any more.
    fn retry(&self, table: &str) {
        wait_for("the end of the branch", PATIENCE, || {
            let held = |one: &Value| {
                table.ends_with(one["table"].as_str().unwrap()) && !one["branches"].is_null()
            };
            (!self.parked().iter().any(held)).then_some(())
        });
        self.command(&["instance", "retry", self.instance, table], 0, &["parked no more"]);
    }

    /// Waits until it has stopped since it was exported.
    fn does_not_start(&self) {
        wait_for("it to stop", PATIENCE, || {
            let (_, body) = self.sluice.health()?;
            let words = [r#""state":"stopped""#, "position resume", "was exported to"];
            words.iter().all(|word| body.contains(word)).then_some(())
        });
    }

    /// Is exported, does not start, and goes on after all.
    fn comes_back(&self, database: &str) {
        let instance = self.instance;
        let file = self.sluice.folder("not-taken").display().to_string();
        self.command(&["position", "export", instance, &file], 0, &["position resume"]);
        self.command(&["instance", "start", instance], 0, &[]);
        self.does_not_start();
        self.command(&["position", "resume", instance], 0, &["goes on here"]);
        self.command(&["position", "resume", instance], 1, &["was not exported from here"]);
        let topic = format!("{database}.t");
        let before = self.ids(&topic).len();
        self.command(&["instance", "start", instance], 0, &[]);
        wait_for("more rows", PATIENCE, || (self.ids(&topic).len() > before).then_some(()));
        self.command(&["instance", "stop", instance], 0, &[]);
    }

    /// Has a group read so many records of a topic.
    fn consume(&self, group: &str, topic: &str, count: usize) {
        let (bootstrap, count) = (self.bootstrap(), count.to_string());
        let ended = self.sluice.script(
            "kafka-console-consumer.sh",
            &[
                "--bootstrap-server",
                &bootstrap,
                "--topic",
                topic,
                "--group",
                group,
                "--from-beginning",
                "--max-messages",
                &count,
                "--isolation-level",
                "read_committed",
            ],
        );
        assert_ended(&ended, 0, &[]);
    }
}

/// Begins an import and kills it; it may be done by then.
fn import_and_kill(place: &Place<'_>, file: &str, after: Duration) {
    let mut import = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["position", "import", place.instance, file])
        .env("SLUICE_HOME", place.sluice.folder(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    let _ = import.kill();
    import.wait().unwrap();
}

/// Prepares a branch.
async fn prepare(server: &Server, database: &str, xid: &str, statements: &[&str]) {
    let mut connection = server.connect().await;
    let all = statements.join("; ");
    let sql = format!("USE {database}; XA START {xid}; {all}; XA END {xid}; XA PREPARE {xid}");
    run(&mut connection, &sql).await;
    connection.close().await.unwrap();
}

/// Commits it; the connection that prepared it may not have ended yet.
async fn commit(server: &Server, xid: &str) {
    let begun = Instant::now();
    loop {
        let mut connection = server.connect().await;
        let Err(error) = try_run(&mut connection, &format!("XA COMMIT {xid}")).await else {
            return;
        };
        assert!(begun.elapsed() < PATIENCE, "XA COMMIT {xid}: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn insert(server: &Server, database: &str, table: &str, id: u64, pad: usize) {
    let mut connection = server.connect().await;
    let sql = format!("INSERT INTO {database}.{table} VALUES ({id}, REPEAT('x', {pad}))");
    run(&mut connection, &sql).await;
}

/// From the log of one machine into a cluster, and from there into the log of another machine,
/// under another name, while the source is written to: with branches that are prepared before and
/// committed behind one switch or both, and tables that are parked at them.
async fn every_change_comes_once(server: &Server, kafka: &Kafka, database: &str) {
    let xids = [1, 2].map(|number| format!("'{database}-{number}'"));
    let name = |table: &str| format!("{database}.{table}");
    let mut source = server.database(database).await;
    for table in ["t", "u", "p", "q", "x"] {
        let sql = format!("CREATE TABLE {table} (id INT PRIMARY KEY, pad MEDIUMTEXT)");
        run(&mut source, &sql).await;
    }
    let filter = format!(r"{database}\..*");
    let properties = [("canal.instance.filter.regex", &*filter), ("sluice.table.error", "park")];
    let new = |instance| Sluice::with_instance(instance, server, &properties);
    let instance = if database.contains("maria") { "moving-maria" } else { "moving" };
    let mut first = Place { sluice: new(instance), instance, cluster: None };
    first.sluice.start();
    for table in ["p", "q"] {
        insert(server, database, table, 1, 0).await;
        first.wait_for(&name(table), 1);
        limit(&first.sluice, &name(table), 4096);
        insert(server, database, table, 2, 9000).await;
    }
    wait_for("two parked tables", PATIENCE, || (first.parked().len() == 2).then_some(()));
    let load = Load::begin(server, database, Duration::from_millis(2)).await;
    let branch = ["INSERT INTO x VALUES (1, '')", "INSERT INTO p VALUES (3, '')"];
    prepare(server, database, &xids[0], &branch).await;
    let branch = ["INSERT INTO x VALUES (2, '')", "INSERT INTO q VALUES (3, '')"];
    prepare(server, database, &xids[1], &branch).await;
    for table in ["p", "q"] {
        insert(server, database, table, 4, 0).await;
    }
    wait_for("what is kept", PATIENCE, || {
        first.parked().iter().all(|one| one["events"] == 3).then_some(())
    });

    // As much as a group is to read a part of.
    first.wait_for(&name("t"), 20);

    // Into the cluster.
    let export = first.sluice.folder("export").display().to_string();
    let arguments = ["position", "export", instance, &export];
    first.command(&arguments, 1, &["stop it first", "instance stop"]);
    first.command(&["instance", "stop", instance], 0, &[]);
    first.comes_back(database);
    first.command(&arguments, 0, &["2 held XA branches", "2 parked tables with"]);
    first.command(&arguments, 1, &["is there already"]);
    first.consume("some", &name("t"), 5);
    first.consume("some", &name("u"), first.ids(&name("u")).len());
    let switch = first.ids(&name("t")).len();
    let row = |words: &[&str]| {
        let ended = first.sluice.command(&["groups", "export", &export]);
        assert_ended(&ended, 2, &["some has", "offsets to read in"]);
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert!(ended.said.lines().any(|line| fields(line) == words), "{}", ended.said);
    };
    let all = switch.to_string();
    row(&["some", &name("t"), "0", "5", &all, &(switch - 5).to_string()]);
    let last = first.ids(&name("u")).len().to_string();
    row(&["some", &name("u"), "0", &last, &last, "0"]);

    let mut second = Place { sluice: new(instance), instance, cluster: Some(kafka) };
    second.sluice.use_cluster(kafka);
    let altered = second.sluice.folder("altered").display().to_string();
    let mut bytes = std::fs::read(&export).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&altered, &bytes).unwrap();
    second.command(&["position", "import", instance, &altered], 1, &["is no whole export"]);
    let arguments = ["position", "import", instance, &export];
    second.command(&arguments, 0, &["2 held XA branches", "2 parked tables and"]);
    second.command(&arguments, 0, &["already"]);
    second.sluice.start();
    commit(server, &xids[0]).await;
    second.wait_for(&name("x"), 1);
    second.retry(&name("p"));
    insert(server, database, "p", 5, 0).await;
    insert(server, database, "q", 5, 0).await;
    second.wait_for(&name("p"), 5);
    wait_for("what is kept", PATIENCE, || (second.parked()[0]["events"] == 4).then_some(()));

    // A table that comes and goes.
    run(&mut source, "CREATE TABLE gone (id INT PRIMARY KEY)").await;
    run(&mut source, "INSERT INTO gone VALUES (1)").await;
    run(&mut source, "DROP TABLE gone").await;
    second.wait_for(&name("gone"), 1);
    // Another place that has the instance takes it away from nobody.
    let mut beside = Place { sluice: new(instance), instance, cluster: Some(kafka) };
    beside.sluice.use_cluster(kafka);
    beside.sluice.canal("kafka.session.timeout.ms", "1500");
    let aside = beside.sluice.folder("export").display().to_string();
    let words = ["is running in 1 processes", "stop it there first"];
    beside.command(&["position", "export", instance, &aside], 1, &words);

    // From there, without a process, into a log; the last import of many is not killed.
    second.command(&["position", "import", instance, &export], 1, &["is running"]);
    second.sluice.stop();
    second.command(&arguments, 1, &["has a position here already", &name("q"), "--replace"]);
    let copy = second.sluice.folder("copy").display().to_string();
    second.command(&["position", "export", instance, &copy, "--copy"], 0, &["may go on here"]);
    let back = second.sluice.folder("export").display().to_string();
    let arguments = ["position", "export", instance, &back];
    second.command(&arguments, 0, &["1 held XA branches", "1 parked tables with"]);
    assert!(std::fs::read_to_string(&back).unwrap().contains(&name("gone")));
    // The cluster is shared with the other test of these: a group that has members of both makes them
    // begin anew whenever one comes or goes, and what one of them commits then is refused.
    let group = format!("all-of-{database}");
    second.consume(&group, &name("t"), second.ids(&name("t")).len());
    second.consume(&group, &name("p"), 4);
    let ended = second.sluice.command(&[
        "groups",
        "export",
        &back,
        "--bootstrap-server",
        &kafka.bootstrap(),
        "--group",
        &group,
    ]);
    let words = [&*name("u"), &*format!("{group} has")];
    assert_ended(&ended, 2, &words);
    for table in ["t", "p"] {
        let read = ended.said.lines().find(|line| line.contains(&format!("{} ", name(table))));
        assert!(read.unwrap().trim_end().ends_with(" 0"), "{}", ended.said);
    }
    // Whoever still has the instance there does not go on.
    second.sluice.launch();
    second.does_not_start();
    second.sluice.stop();
    let positions = kafka.read(&format!("__sluice.{instance}.positions"));
    let topic = format!("topic:{}", name("gone"));
    let is_kept = |record: &Record| record.key.as_deref() == Some(topic.as_bytes());
    assert!(positions.iter().any(is_kept), "a topic is forgotten with its table");
    let other = if database.contains("maria") { "other-maria" } else { "other" };
    let mut third = Place { sluice: new(other), instance: other, cluster: None };
    // Writes its properties.
    third.command(&["position", "show"], 1, &["no log yet"]);
    let mut random = Random::seeded("SLUICE_MOVING_SEED");
    for _ in 0..5 {
        import_and_kill(&third, &back, Duration::from_millis(random.below(400)));
    }
    third.command(&["position", "import", other, &back], 0, &[other]);
    third.command(&["position", "import", other, &back], 0, &["already"]);
    third.sluice.start();
    commit(server, &xids[1]).await;
    third.wait_for(&name("x"), 2);
    third.retry(&name("q"));
    insert(server, database, "q", 6, 0).await;
    let last = load.end().await;
    third.wait_for(&name("u"), last);
    third.wait_for(&name("q"), 6);
    let places = [&first, &second, &third];
    let all =
        |table: &str| places.iter().flat_map(|place| place.ids(&name(table))).collect::<Vec<_>>();
    let wanted: Vec<u64> = (1..=last).collect();
    for table in ["t", "u"] {
        assert_eq!(all(table), wanted, "{table}");
        for place in places {
            assert!(!place.ids(&name(table)).is_empty(), "nothing was written over a switch");
        }
    }
    assert_eq!(all("x"), [1, 2]);
    assert_eq!(all("p"), [1, 2, 4, 3, 5]);
    assert_eq!(all("q"), [1, 2, 4, 5, 3, 6]);
    third.sluice.stop();
    first.sluice.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_comes_once_while_an_instance_of_mysql_moves() {
    let (Some(server), Some(kafka)) = (mysql(), kafka()) else { return };
    every_change_comes_once(server, kafka, "moving_mysql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_comes_once_while_an_instance_of_mariadb_moves() {
    let (Some(server), Some(kafka)) = (mariadb(), kafka()) else { return };
    every_change_comes_once(server, kafka, "moving_maria").await;
}
