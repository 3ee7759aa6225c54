//! What operators look at while it runs: metrics, the board and the rules made of them, health that
//! proves progress, alerts at a receiver, and log lines whose levels change.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc;

use regex::Regex;
use serde_json::Value;

use crate::harness::program::assert_ended;
use crate::harness::servers::{mysql, run};
use crate::harness::{PATIENCE, Sluice, topics, wait_for};

/// A receiver of alerts on a thread of its own: where it is, and what it hears.
fn receiver() -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/canary-of-the-url", listener.local_addr().unwrap());
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
            while !all.ends_with(b"}") {
                let count = stream.read(&mut buffer).unwrap();
                assert_ne!(count, 0, "cut: {}", String::from_utf8_lossy(&all));
                all.extend_from_slice(&buffer[..count]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            let text = String::from_utf8(all).unwrap();
            let body = text.split_once("\r\n\r\n").unwrap().1;
            if said.send(serde_json::from_str(body).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, heard)
}

fn has_line(sluice: &Sluice, line: &str) {
    wait_for(line, PATIENCE, || {
        let (_, metrics) = sluice.metrics()?;
        metrics.lines().any(|one| one == line).then_some(())
    });
}

/// Names of metrics that a file of `docs` has.
fn named(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let name = Regex::new(r"\b(?:sluice|canal)_[a-z0-9_]+\b").unwrap();
    name.find_iter(&text).map(|name| name.as_str().to_owned()).collect()
}

/// Names that samples of a page may have.
fn shown(metrics: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in metrics.lines() {
        let Some(about) = line.strip_prefix("# TYPE ") else { continue };
        let (name, kind) = about.split_once(' ').unwrap();
        match kind {
            "counter" => names.insert(format!("{name}_total")),
            "histogram" => names.insert(format!("{name}_bucket")),
            _ => names.insert(name.to_owned()),
        };
    }
    names
}

#[tokio::test]
async fn the_board_and_the_rules_name_metrics_that_are_there_and_they_count() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("figures").await;
    run(&mut source, "CREATE TABLE a (id INT PRIMARY KEY, v INT)").await;
    run(&mut source, "CREATE TABLE b (id INT PRIMARY KEY)").await;
    let filter = ("canal.instance.filter.regex", r"figures\..*");
    let mut sluice = Sluice::with_instance("figures", mysql, &[filter]);
    sluice.canal("sluice.metrics.tables", "1");
    sluice.start();
    run(&mut source, "INSERT INTO a VALUES (1, 1), (2, 2), (3, 3)").await;
    run(&mut source, "UPDATE a SET v = 9 WHERE id < 3").await;
    run(&mut source, "DELETE FROM a WHERE id = 1").await;
    topics::read_at_least(&sluice.bootstrap(), "figures.a", 3);
    for (kind, count) in [("insert", 3), ("update", 2), ("delete", 1)] {
        let labels = format!(r#"destination="figures",schema="figures",table="a",type="{kind}""#);
        has_line(&sluice, &format!("sluice_table_rows_total{{{labels}}} {count}"));
    }
    // The other one is not among the busiest: there is one.
    run(&mut source, "INSERT INTO b VALUES (1)").await;
    topics::read_at_least(&sluice.bootstrap(), "figures.b", 1);
    has_line(&sluice, r#"sluice_instance_changes_total{destination="figures",type="insert"} 4"#);
    let (_, metrics) = sluice.metrics().unwrap();
    assert!(!metrics.contains(r#"table="b""#), "{metrics}");
    let others = r#"sluice_table_messages_total{destination="figures",schema="",table="other"} "#;
    let others = metrics.lines().find_map(|line| line.strip_prefix(others)).expect(others);
    assert!(others.parse::<u64>().unwrap() >= 1, "{metrics}");
    for stage in ["queue", "encode", "commit"] {
        let name = "sluice_instance_stage_seconds_count";
        let begin = format!(r#"{name}{{destination="figures",stage="{stage}"}} "#);
        let count = metrics.lines().find_map(|line| line.strip_prefix(&begin)).expect(&begin);
        assert!(count.parse::<u64>().unwrap() > 0, "{begin}{count}");
    }
    // A group that has read one of three messages.
    let bootstrap = sluice.bootstrap();
    let read = ["--bootstrap-server", &bootstrap, "--topic", "figures.a", "--group", "readers"];
    let read = [&read[..], &["--from-beginning", "--max-messages", "1"]].concat();
    assert_ended(&sluice.script("kafka-console-consumer.sh", &read), 0, &[]);
    has_line(&sluice, r#"sluice_group_lag_messages{group="readers",topic="figures.a"} 2"#);
    let (_, metrics) = sluice.metrics().unwrap();
    let begin = r#"sluice_group_lag_seconds{group="readers",topic="figures.a"} "#;
    let seconds = metrics.lines().find_map(|line| line.strip_prefix(begin)).expect(begin);
    assert!(seconds.parse::<u64>().unwrap() < 3600, "{seconds}");

    let shown = shown(&metrics);
    for file in ["grafana.json", "prometheus-rules.yaml"] {
        let named = named(file);
        assert!(named.len() > 10, "{named:?}");
        let missing: Vec<_> = named.difference(&shown).collect();
        assert!(missing.is_empty(), "docs/{file} names {missing:?}, and /metrics has {shown:?}");
    }
    sluice.stop();
}

#[tokio::test]
async fn health_proves_that_something_comes_through_and_an_alert_that_it_does_not() {
    let Some(mysql) = mysql() else { return };
    mysql.database("proof").await;
    let (url, heard) = receiver();
    let filter = ("canal.instance.filter.regex", r"proof\..*");
    let mut sluice = Sluice::with_instance("proof", mysql, &[filter]);
    for (key, value) in [
        ("sluice.alert.url", url.as_str()),
        ("sluice.alert.state.seconds", "1"),
        ("sluice.alert.repeat", "3"),
        ("sluice.log.format", "json"),
        ("sluice.log.levels", "info"),
        ("canal.auto.scan.interval", "1"),
    ] {
        sluice.canal(key, value);
    }
    sluice.start();
    assert_eq!(sluice.get("/health/live").unwrap().0, 200);
    assert_eq!(sluice.get("/health/ready").unwrap().0, 200);
    assert_eq!(sluice.get("/health/ready/nobody").unwrap().0, 404);
    // Nothing changes: heartbeats prove it.
    let body = wait_for("a heartbeat", PATIENCE, || match sluice.get("/health/ready/proof")? {
        (200, body) => Some(body),
        _ => None,
    });
    let told: Value = serde_json::from_str(&body).unwrap();
    assert!(told["through_seconds_ago"].as_u64().unwrap() < 60, "{body}");

    assert_ended(&sluice.command(&["instance", "stop", "proof"]), 0, &["is stopped"]);
    assert_eq!(sluice.get("/health/ready/proof").unwrap().0, 503);
    assert_eq!(sluice.get("/health/ready").unwrap().0, 200, "consumers are served");
    let next = || {
        let message = heard.recv_timeout(PATIENCE).unwrap();
        assert_eq!((&message["kind"], &message["instance"]), (&"state".into(), &"proof".into()));
        message
    };
    let tells = |message: &Value| {
        message["text"].to_string().contains("instance proof is stopped: stopped on request")
    };
    // A start may have taken long enough to be told.
    let told = wait_for("an alert of the stop", PATIENCE, || Some(next()).filter(tells));
    assert!(["firing", "repeated"].contains(&told["status"].as_str().unwrap()), "{told}");
    let again = next();
    assert!(tells(&again) && again["status"] == "repeated", "{again}");
    assert_ended(&sluice.command(&["instance", "start", "proof"]), 0, &[]);
    wait_for("the end of it", PATIENCE, || {
        let message = heard.recv_timeout(PATIENCE).unwrap();
        (message["status"] == "resolved").then_some(())
    });

    // Lines are objects, and other ones are written as soon as somebody says so.
    let lines = |sluice: &Sluice| {
        let text = std::fs::read_to_string(sluice.folder("logs/server.log")).unwrap();
        // The last one may be written now.
        let text = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let whole = text.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
        whole.collect::<Vec<_>>()
    };
    assert!(lines(&sluice).iter().all(|line| line["level"] != "DEBUG"));
    sluice.canal("sluice.log.levels", "debug");
    // Any command writes the files.
    sluice.command(&["health"]);
    wait_for("lines of other levels", PATIENCE, || {
        // What is said of it is said at this level only.
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", sluice.metrics_port())).ok()?;
        stream.write_all(b"no request\r\n\r\n").ok()?;
        stream.read_to_end(&mut Vec::new()).ok()?;
        lines(&sluice).iter().any(|line| line["level"] == "DEBUG").then_some(())
    });
    let (_, health) = sluice.health().unwrap();
    assert!(health.contains(r#""refused":[]"#), "no restart is wanted for that: {health}");
    let everything = format!("{}{health}{}", sluice.said(), sluice.metrics().unwrap().1);
    let server = std::fs::read_to_string(sluice.folder("logs/server.log")).unwrap();
    assert!(!(everything + &server).contains("canary-of-the-url"), "the URL is a secret");
    sluice.stop();
}
