//! What is wrong is said in one clear sentence, with what to do, and nothing is lost.

use std::net::TcpListener;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::harness::servers::{mysql, private_mariadb, private_mysql, run};
use crate::harness::{PATIENCE, Server, Sluice, say, topics, wait_for};

/// What the advice at damage names.
const ACCEPT: &str = "SLUICE_LOG_ACCEPT_DAMAGE";

/// The state, reason and advice of the one instance, once it is no longer starting or running.
fn trouble(sluice: &Sluice) -> serde_json::Value {
    wait_for("the instance to be in trouble", PATIENCE, || {
        let (status, body) = sluice.health()?;
        let health: serde_json::Value = serde_json::from_str(&body).ok()?;
        let instance = health["instances"].get(0)?.clone();
        let state = instance["state"].as_str()?;
        (state != "starting" && state != "running" && status == 503).then_some(instance)
    })
}

fn assert_says(instance: &serde_json::Value, words: &[&str]) {
    let text = instance.to_string().to_lowercase();
    for word in words {
        assert!(text.contains(&word.to_lowercase()), "{word} is not said in {instance:#}");
    }
}

fn example(server: &Server, properties: &[(&str, &str)]) -> Sluice {
    Sluice::with_instance("example", server, properties)
}

#[tokio::test]
async fn a_wrong_password_is_named_and_the_program_stays_up() {
    let Some(mysql) = mysql() else { return };
    let mut sluice = example(mysql, &[("canal.instance.dbPassword", "wrong")]);
    sluice.launch();
    assert_says(&trouble(&sluice), &["canal", "denied"]);
    sluice.stop();
}

#[tokio::test]
async fn a_missing_grant_is_named() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.connect().await;
    run(&mut source, "CREATE USER IF NOT EXISTS plain@'%' IDENTIFIED BY 'canal'").await;
    run(&mut source, "GRANT SELECT ON *.* TO plain@'%'").await;
    let mut sluice = example(mysql, &[("canal.instance.dbUsername", "plain")]);
    sluice.launch();
    assert_says(&trouble(&sluice), &["stopped", "REPLICATION"]);
    sluice.stop();
}

#[tokio::test]
async fn a_server_without_a_binlog_is_refused() {
    let Some(mysql) = private_mysql(&["--skip-log-bin"]) else { return };
    let mut sluice = example(&mysql, &[]);
    sluice.launch();
    assert_says(&trouble(&sluice), &["stopped", "log_bin"]);
    sluice.stop();
}

/// What it writes meanwhile nobody can publish, and that is said; what comes behind is published.
/// Where the binlog that comes back is another one it is said how to go on.
#[tokio::test]
async fn an_instance_goes_on_when_its_source_has_a_binlog_again() {
    for server in [private_mysql(&[]), private_mariadb(&[])].into_iter().flatten() {
        let mut source = server.database("off").await;
        run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut sluice = example(&server, &[("canal.instance.filter.regex", r"off\..*")]);
        sluice.start();
        let mut rows = 0;
        let mut published = Vec::new();
        for restarted in [false, true] {
            rows += 1;
            published.push(rows);
            run(&mut server.connect().await, &format!("INSERT INTO off.t VALUES ({rows})")).await;
            topics::read_at_least(&sluice.bootstrap(), "off.t", published.len());
            if restarted {
                sluice.kill();
            }
            server.stop();
            if !server.set_binlog(false) {
                return say("NOT RUN: the options of a container stay");
            }
            server.start();
            if restarted {
                sluice.launch();
            }
            rows += 1;
            run(&mut server.connect().await, &format!("INSERT INTO off.t VALUES ({rows})")).await;
            let words = ["retrying", "runs without a binlog", "is never published"];
            wait_for("the word for it", PATIENCE, || {
                let (_, body) = sluice.health()?;
                assert!(!body.contains(r#""state":"stopped""#), "{body}");
                words.iter().all(|word| body.contains(word)).then_some(())
            });
            server.stop();
            server.set_binlog(true);
            server.start();
            rows += 1;
            published.push(rows);
            run(&mut server.connect().await, &format!("INSERT INTO off.t VALUES ({rows})")).await;
            let records = topics::read_at_least(&sluice.bootstrap(), "off.t", published.len());
            let ids: Vec<i32> = records
                .iter()
                .map(|one| one.json()["data"][0]["id"].as_str().unwrap().parse().unwrap())
                .collect();
            assert_eq!(ids, published, "{:?}", server.flavor);
            let said = sluice.said().matches("THE SOURCE RAN WITHOUT A BINLOG").count();
            assert_eq!(said, 1 + usize::from(restarted), "{:?}", server.flavor);
        }
        // As somebody does who has no room: the files are gone when there is a binlog again.
        server.stop();
        server.remove_binlog();
        server.start();
        run(&mut server.connect().await, "INSERT INTO off.t VALUES (100)").await;
        wait_for("the stop", PATIENCE, || {
            let (_, body) = sluice.health()?;
            (body.contains(r#""state":"stopped""#) && body.contains("bin/sluice position"))
                .then_some(())
        });
        say(&format!("{:?}: {}", server.flavor, trouble(&sluice)));
        sluice.stop();
    }
}

#[tokio::test]
async fn a_purged_position_stops_the_instance_with_the_way_on() {
    let Some(mysql) = private_mysql(&[]) else { return };
    let mut source = mysql.database("purge").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut sluice = example(&mysql, &[("canal.instance.filter.regex", r"purge\..*")]);
    sluice.start();
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    let before = topics::read_at_least(&sluice.bootstrap(), "purge.t", 1);
    sluice.stop();

    run(&mut source, "INSERT INTO t VALUES (2)").await;
    run(&mut source, "FLUSH BINARY LOGS").await;
    run(&mut source, "INSERT INTO t VALUES (3)").await;
    run(&mut source, "FLUSH BINARY LOGS").await;
    run(&mut source, "PURGE BINARY LOGS TO 'binlog.000003'").await;
    sluice.launch();

    assert_says(&trouble(&sluice), &["stopped", "purged", "position reset"]);
    assert_eq!(topics::read(&sluice.bootstrap(), "purge.t"), before, "nothing is lost");
    sluice.stop();
}

#[test]
fn all_errors_of_the_configuration_come_at_once_with_file_and_line() {
    let mut sluice = Sluice::new();
    sluice.canal("canal.auto.scan.interval", "maybe");
    sluice.broker("num.partitions", "none");
    let ended = sluice.run_to_its_end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    for words in ["canal.properties:", "maybe", "server.properties:", "num.partitions"] {
        assert!(ended.said.contains(words), "{words} is not in:\n{}", ended.said);
    }
}

#[test]
fn a_port_in_use_is_named() {
    let mut sluice = Sluice::new();
    let _taken = TcpListener::bind(sluice.bootstrap()).unwrap();
    let ended = sluice.run_to_its_end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains(&sluice.bootstrap()), "{}", ended.said);
    assert!(ended.said.contains("free the port, or change the setting"), "{}", ended.said);
    assert_eq!(ended.said.matches("in use").count(), 1, "said once:\n{}", ended.said);
}

#[test]
fn an_address_of_another_machine_is_named_with_its_line() {
    let mut sluice = Sluice::new();
    sluice.canal("canal.ip", "192.0.2.10");
    sluice.canal("canal.register.ip", "192.0.2.10");
    let words = ["192.0.2.10 (canal.ip, ", "canal.properties:2)", "no address of this machine"];
    for ended in [sluice.run_to_its_end(), sluice.command(&["check"])] {
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        for word in words {
            assert!(ended.said.contains(word), "{word} is not said:\n{}", ended.said);
        }
        assert!(!ended.said.contains("free the port"), "{}", ended.said);
    }
}

/// A pipe that nobody reads or writes: whoever opens it waits, as on a disk that hangs.
fn hang(path: &std::path::Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success(), "mkfifo {}", path.display());
}

#[tokio::test]
async fn disks_that_hang_under_logs_and_settings_stall_nothing() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("hang").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut sluice = example(mysql, &[("canal.instance.filter.regex", r"hang\..*")]);
    sluice.canal("canal.auto.scan.interval", "1");
    hang(&sluice.folder("logs/server.log"));
    hang(&sluice.folder("logs/example/example.log"));
    sluice.start();
    hang(&sluice.folder("instances/stuck/instance.properties"));
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    topics::read_at_least(&sluice.bootstrap(), "hang.t", 1);
    // The next look at the folders has come to the pipe by then.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(sluice.command(&["instance", "stop", "example"]).code, Some(0));
    assert_eq!(sluice.command(&["instance", "start", "example"]).code, Some(0));
    run(&mut source, "INSERT INTO t VALUES (2)").await;
    topics::read_at_least(&sluice.bootstrap(), "hang.t", 2);
    sluice.stop();
}

#[test]
fn log_files_that_cannot_be_written_are_said_at_the_terminal_and_in_health() {
    let mut sluice = Sluice::new();
    std::fs::write(sluice.folder("logs"), "no folder").unwrap();
    sluice.variable("SLUICE_LOG", "loud");
    sluice.start();
    let (_, health) = wait_for("health to report it", PATIENCE, || {
        sluice.health().filter(|(_, body)| body.contains("logs/server.log cannot be written"))
    });
    assert!(health.contains("which its disk did not take"), "{health}");
    let ended = sluice.command(&["health"]);
    assert!(ended.said.contains("log lines: "), "{}", ended.said);
    sluice.stop();
    let said = sluice.said();
    for words in ["cannot write the log file ", "SLUICE_LOG: `loud` is none of", "logging at info"]
    {
        assert_eq!(
            said.matches(words).count(),
            1,
            "{words} is said once:
{said}"
        );
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let mut sluice = Sluice::new();
    // Not even root can make a folder there.
    sluice.broker("log.dirs", "/proc/sluice-data");
    let ended = sluice.run_to_its_end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("/proc/sluice-data"), "{}", ended.said);
}

#[test]
fn two_processes_cannot_have_one_log() {
    let mut first = Sluice::new();
    first.start();
    let mut second = Sluice::new();
    second.broker("log.dirs", &first.folder("data").display().to_string());
    let ended = second.run_to_its_end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("another process"), "{}", ended.said);
}

#[tokio::test]
async fn a_damaged_segment_is_reported_with_its_place() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("damage").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut sluice = example(mysql, &[("canal.instance.filter.regex", r"damage\..*")]);
    sluice.start();
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    topics::read_at_least(&sluice.bootstrap(), "damage.t", 1);
    run(&mut source, "INSERT INTO t VALUES (2)").await;
    topics::read_at_least(&sluice.bootstrap(), "damage.t", 2);
    sluice.stop();

    let segment = sluice.folder("data/damage.t-0/00000000000000000000.log");
    let whole = std::fs::read(&segment).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let place = "damage.t-0/00000000000000000000.log";
    for (id, damaged) in [(3, &whole[..whole.len() - 1]), (4, &flipped)] {
        std::fs::write(&segment, damaged).unwrap();
        // It starts; the partition is offline, and the instance that writes it says so.
        run(&mut source, &format!("INSERT INTO t VALUES ({id})")).await;
        sluice.launch();
        let stopped = trouble(&sluice);
        assert_says(&stopped, &["partition damage.t-0 is offline", place, "put a copy", ACCEPT]);
        let (_, health) = sluice.health().unwrap();
        assert!(health.contains(&format!("partition damage.t-0 is offline: {place}")), "{health}");
        let (_, metrics) = sluice.metrics().unwrap();
        assert!(metrics.contains("sluice_log_offline_partitions 1"), "{metrics}");
        let consumer: BaseConsumer = topics::client(&sluice.bootstrap());
        let ends = consumer.fetch_watermarks("damage.t", 0, Duration::from_secs(3));
        assert!(ends.is_err(), "{ends:?}");
        sluice.stop();
    }

    // Put back, nothing is lost.
    std::fs::write(&segment, whole).unwrap();
    sluice.start();
    topics::read_at_least(&sluice.bootstrap(), "damage.t", 4);
    sluice.stop();

    // Told to skip the damage of that partition, it goes on without what was hit.
    let mut first_hit = std::fs::read(&segment).unwrap();
    first_hit[70] ^= 1;
    std::fs::write(&segment, first_hit).unwrap();
    sluice.broker("sluice.log.accept.damage", "damage.t-0");
    sluice.start();
    run(&mut source, "INSERT INTO t VALUES (5)").await;
    let read = topics::read_at_least(&sluice.bootstrap(), "damage.t", 4);
    assert_eq!(read.len(), 4, "the first is lost");
    sluice.stop();
    let log = std::fs::read_to_string(sluice.folder("logs/server.log")).unwrap();
    assert!(log.contains("goes on at offset 4 without 1 offsets that are lost: 0 to 0"), "{log}");
}
