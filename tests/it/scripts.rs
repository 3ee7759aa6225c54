//! The scripts of `bin/` over a real home: what they print, what they end with.

use std::net::TcpListener;

use crate::harness::program::Ended;
use crate::harness::servers::{mysql, run};
use crate::harness::{Server, Sluice, topics};

fn assert_ended(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.said);
    for word in words {
        assert!(ended.said.contains(word), "{word} is not said:\n{}", ended.said);
    }
}

fn pid_file(sluice: &Sluice) -> std::path::PathBuf {
    sluice.folder("sluice.pid")
}

async fn table(server: &Server, name: &str) -> (sqlx::MySqlConnection, Sluice) {
    let mut source = server.database(name).await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let filter = format!(r"{name}\..*");
    let properties = [("canal.instance.filter.regex", filter.as_str())];
    (source, Sluice::with_instance("example", server, &properties))
}

#[tokio::test]
async fn startup_waits_until_rows_come_and_stop_until_they_are_durable() {
    let Some(mysql) = mysql() else { return };
    let (mut source, sluice) = table(mysql, "scripts_start").await;
    assert_ended(&sluice.script("startup.sh", &[]), 0, &["example: running", &sluice.bootstrap()]);
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    assert_ended(&sluice.script("startup.sh", &[]), 0, &["running already", "example: running"]);
    let before = topics::read_at_least(&sluice.bootstrap(), "scripts_start.t", 1);

    assert_ended(&sluice.script("restart.sh", &[]), 0, &["Stopped after", "example: running"]);
    assert_eq!(topics::read(&sluice.bootstrap(), "scripts_start.t"), before, "nothing comes twice");

    assert_ended(&sluice.script("stop.sh", &[]), 0, &["Stopped after"]);
    assert!(!pid_file(&sluice).exists());
    assert_ended(&sluice.script("stop.sh", &[]), 0, &["is not running"]);
}

#[tokio::test]
async fn orderly_restarts_warn_of_nothing() {
    let Some(mysql) = mysql() else { return };
    let (mut source, mut sluice) = table(mysql, "scripts_quiet").await;
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    for n in 2..6 {
        sluice.start();
        run(&mut source, &format!("INSERT INTO t VALUES ({n})")).await;
        topics::read_at_least(&sluice.bootstrap(), "scripts_quiet.t", n - 1);
        sluice.stop();
    }
    let said = sluice.said();
    let warned: Vec<&str> =
        said.lines().filter(|line| line.contains("] WARN ") || line.contains("] ERROR ")).collect();
    // The first start alone says what it skips of the source.
    assert!(warned.iter().all(|line| line.contains("current end")), "{warned:#?}");
    assert!(!said.contains("index was damaged"), "{said}");
}

#[tokio::test]
async fn startup_names_the_instance_that_does_not_run_and_why() {
    let Some(mysql) = mysql() else { return };
    let (_source, mut sluice) = table(mysql, "scripts_broken").await;
    sluice.instance("broken", mysql, &[("canal.instance.dbPassword", "wrong")]);
    let words = ["example: running", "broken: stopped", "canal.instance.dbPassword"];
    assert_ended(&sluice.script("startup.sh", &[]), 3, &words);
    assert_ended(&sluice.script("stop.sh", &[]), 0, &[]);
}

#[test]
fn startup_says_why_nothing_runs_and_leaves_no_pid() {
    let sluice = Sluice::new();
    let _taken = TcpListener::bind(sluice.bootstrap()).unwrap();
    let words = ["did not start", &sluice.bootstrap(), "free the port"];
    assert_ended(&sluice.script("startup.sh", &[]), 1, &words);
    assert!(!pid_file(&sluice).exists());
}

#[test]
fn a_pid_file_of_a_dead_process_or_of_another_program_hinders_nothing() {
    let sluice = Sluice::new();
    std::fs::create_dir_all(sluice.folder("logs")).unwrap();
    for stale in ["999999999", "1", "nonsense", ""] {
        std::fs::write(pid_file(&sluice), stale).unwrap();
        assert_ended(&sluice.script("stop.sh", &[]), 0, &["is not running"]);
        std::fs::write(pid_file(&sluice), stale).unwrap();
        assert_ended(&sluice.script("startup.sh", &[]), 0, &["sluice runs"]);
        assert_ended(&sluice.script("stop.sh", &[]), 0, &["Stopped after"]);
    }
}

#[test]
fn the_broker_runs_alone_by_kafkas_own_scripts() {
    let sluice = Sluice::new();
    let properties = sluice.folder("conf/server.properties").display().to_string();
    let more = ["-daemon", &properties, "--override", "num.partitions=3"];
    assert_ended(&sluice.script("kafka-server-start.sh", &more), 0, &[&sluice.bootstrap()]);
    let bootstrap = sluice.bootstrap();
    let create = ["--create", "--topic", "wide", "--bootstrap-server", &bootstrap];
    assert_ended(&sluice.script("kafka-topics.sh", &create), 0, &["Created topic wide."]);
    assert_eq!(topics::list(&bootstrap).get("wide"), Some(&3));
    assert_ended(&sluice.script("kafka-server-stop.sh", &[]), 0, &["Stopped after"]);
    assert_ended(&sluice.script("kafka-server-stop.sh", &[]), 1, &["No kafka server to stop"]);
}

/// What Canal ships sets `canal.mq.topic`, `serverMode = tcp`, and paths that count from
/// `bin/`; its position is the begin of the last transaction that it delivered.
#[tokio::test]
async fn a_canal_folder_works_as_it_is_and_goes_on_where_canal_stood() {
    let Some(mysql) = mysql() else { return };
    let (mut source, mut sluice) = table(mysql, "scripts_canal").await;
    let (file, offset): (String, u64) = binlog_end(&mut source).await;
    run(&mut source, "INSERT INTO t VALUES (7)").await;

    sluice.canal("canal.serverMode", "tcp");
    sluice.canal("canal.conf.dir", "../conf");
    sluice.canal("canal.file.data.dir", "${canal.conf.dir}");
    sluice.canal("canal.instance.global.spring.xml", "classpath:spring/file-instance.xml");
    sluice
        .in_canals_place("example", &[("canal.mq.topic", "example"), ("canal.mq.partition", "0")]);
    let meta_dat = format!(
        r#"{{"clientDatas":[{{"clientIdentity":{{"clientId":1001,"destination":"example","filter":""}},"cursor":{{"identity":{{"slaveId":-1}},"postion":{{"gtid":"","included":false,"journalName":"{file}","position":{offset},"serverId":1,"timestamp":1610750948000}}}}}}],"destination":"example"}}"#
    );
    std::fs::write(sluice.folder("conf/example/meta.dat"), meta_dat).unwrap();

    let words = ["starting as embedded", "example: running"];
    assert_ended(&sluice.script("startup.sh", &[]), 0, &words);
    let records = topics::read_at_least(&sluice.bootstrap(), "example", 1);
    assert_eq!(records[0].json()["data"][0]["id"], "7");
    assert_ended(&sluice.script("stop.sh", &[]), 0, &[]);
}

async fn binlog_end(source: &mut sqlx::MySqlConnection) -> (String, u64) {
    use sqlx::Row as _;
    let row = sqlx::query("SHOW BINARY LOG STATUS").fetch_one(source).await.unwrap();
    (row.get(0), row.get(1))
}
