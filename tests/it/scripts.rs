//! The scripts of `bin/` over a real home: what they print, what they end with.

use std::net::TcpListener;

use crate::harness::program::assert_ended;
use crate::harness::servers::{mysql, run};
use crate::harness::{PATIENCE, Server, Sluice, topics, wait_for};

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
    let log = std::fs::read_to_string(sluice.folder("logs/server.log")).unwrap();
    assert_eq!(log.matches("closed the log").count(), 4, "{log}");
    let is_bad = |line: &&str| line.contains("] WARN ") || line.contains("] ERROR ");
    assert_eq!(log.lines().filter(is_bad).collect::<Vec<_>>(), Vec::<&str>::new());
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

#[test]
fn a_home_without_an_instance_is_ready_and_says_so() {
    let mut sluice = Sluice::new();
    sluice.canal("canal.destinations", "");
    let words = ["no instance", "instances/<name>/instance.properties", "canal.destinations"];
    assert_ended(&sluice.command(&["check"]), 0, &words);
    assert_ended(&sluice.script("startup.sh", &[]), 0, &words);
    assert_ended(&sluice.script("stop.sh", &[]), 0, &[]);
}

#[tokio::test]
async fn an_instance_is_named_by_the_environment_alone() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("scripts_alone").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut sluice = Sluice::new();
    let address = format!("{}:{}", mysql.host, mysql.port);
    sluice.variable("canal.destinations", "mytest");
    let said = "canal.destinations names mytest";
    assert_ended(&sluice.script("startup.sh", &[]), 1, &[said, "can be renamed"]);
    for (name, value) in [
        ("canal.auto.scan", "false"),
        ("canal.instance.master.address", address.as_str()),
        ("canal.instance.dbUsername", "canal"),
        ("CANAL_INSTANCE_DBPASSWORD", "canal"),
        ("canal.instance.filter.regex", r"scripts_alone\..*"),
    ] {
        sluice.variable(name, value);
    }
    assert_ended(&sluice.script("startup.sh", &[]), 0, &["mytest: running"]);
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    topics::read_at_least(&sluice.bootstrap(), "scripts_alone.t", 1);
    assert_ended(&sluice.script("stop.sh", &[]), 0, &[]);
}

/// A checkout, the README's lines, and the folder of an untouched Canal.
#[tokio::test]
async fn a_canal_folder_is_dropped_in_as_the_readme_prints() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("scripts_drop").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let printed = readme.split_once("works as it is:\n\n").unwrap().1;
    let printed = printed.lines().take_while(|line| line.starts_with("    "));
    let printed = printed.map(str::trim).collect::<Vec<_>>().join("\n");
    assert!(printed.contains("bin/startup.sh"), "{printed}");
    for (row, version) in ["1.0", "1.1.8"].into_iter().enumerate() {
        let sluice = Sluice::new();
        let checkout = sluice.folder("checkout");
        let copy = format!(
            "set -e; mkdir {0}; cd {1}; cp -r bin conf instances {0}/; cp README.md {0}/",
            checkout.display(),
            root.display()
        );
        shell(&copy, &[]);
        let canal = sluice.folder("canal/conf");
        std::fs::create_dir_all(canal.join("example")).unwrap();
        for (from, to) in [("canal", "canal"), ("instance", "example/instance")] {
            let golden = format!("tests/golden/canal/conf/{version}.{from}.properties");
            std::fs::copy(root.join(golden), canal.join(format!("{to}.properties"))).unwrap();
        }
        let address = format!("{}:{}", mysql.host, mysql.port);
        let listeners = format!("PLAINTEXT://{}", sluice.bootstrap());
        let metrics = sluice.metrics_port().to_string();
        let home = checkout.display().to_string();
        let _leftover = Leftover(checkout.clone());
        // What is this machine's, and not the reader's.
        let variables = [
            ("SLUICE_HOME", home.as_str()),
            ("SLUICE_BINARY", env!("CARGO_BIN_EXE_sluice")),
            ("LISTENERS", listeners.as_str()),
            ("canal.metrics.pull.port", metrics.as_str()),
            ("canal.instance.master.address", address.as_str()),
            ("canal.instance.filter.regex", r"scripts_drop\..*"),
            ("canal.instance.mysql.slaveId", "0"),
        ];
        let commands = printed.replace("/path/to/canal/conf", &canal.display().to_string());
        let said = shell(&format!("set -e; cd {home}; {commands}"), &variables);
        run(&mut source, &format!("INSERT INTO t VALUES ({row})")).await;
        let topic = if version == "1.0" { "scripts_drop.t" } else { "example" };
        topics::read_at_least(&sluice.bootstrap(), topic, 1);
        shell(&format!("{home}/bin/stop.sh"), &variables);
        assert!(said.contains("example: running"), "{said}");
        assert!(
            said.contains("instances/example/instance.properties: warning: left out"),
            "{said}"
        );
        let warned = said.matches(": warning: ").count();
        assert_eq!(warned, 1 + usize::from(version != "1.0"), "{said}");
    }
}

/// Kills what the pid file of a home still names, when a test fails before it stops it.
struct Leftover(std::path::PathBuf);

impl Drop for Leftover {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(self.0.join("sluice.pid")) {
            let _ = std::process::Command::new("kill").args(["-9", pid.trim()]).status();
        }
    }
}

/// Runs commands that must end well; returns what they print.
fn shell(commands: &str, variables: &[(&str, &str)]) -> String {
    let mut output = tempfile::tempfile().unwrap();
    // A file and no pipe: a pipe ends only with what a script leaves running.
    let status = std::process::Command::new("bash")
        .args(["-c", commands])
        .envs(variables.iter().copied())
        .stdout(output.try_clone().unwrap())
        .stderr(output.try_clone().unwrap())
        .status()
        .unwrap();
    let mut said = String::new();
    std::io::Seek::rewind(&mut output).unwrap();
    std::io::Read::read_to_string(&mut output, &mut said).unwrap();
    assert!(status.success(), "{commands}: {status}\n{said}");
    said
}

/// What Canal ships sets `canal.mq.topic`, `serverMode = tcp`, and paths that count from
/// `bin/`; its position is the begin of the last transaction that it delivered.
#[tokio::test]
async fn a_canal_folder_works_as_it_is_and_goes_on_where_canal_was() {
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

/// The health port is open to everybody, so what they leave undone there must not matter.
#[test]
fn stop_ends_while_somebody_holds_half_a_request() {
    use std::io::Write as _;
    let sluice = Sluice::new();
    assert_ended(&sluice.script("startup.sh", &[]), 0, &["sluice runs"]);
    let undone = [
        "GET /health HT",
        "PUT /instances/a/position HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n",
        "",
    ];
    let held = undone.map(|text| {
        let mut stream =
            std::net::TcpStream::connect(("127.0.0.1", sluice.metrics_port())).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    });
    assert_ended(&sluice.script("stop.sh", &[]), 0, &["Stopped after"]);
    drop(held);
}

#[test]
fn restart_leaves_alone_what_runs_while_the_configuration_is_not_valid() {
    let mut sluice = Sluice::new();
    assert_ended(&sluice.script("startup.sh", &[]), 0, &["sluice runs"]);
    let pid = std::fs::read_to_string(pid_file(&sluice)).unwrap();
    for (key, value) in [("num.partitions", "10001"), ("node.id", "x")] {
        sluice.broker(key, value);
        let words = ["conf/server.properties:", key, "was not stopped"];
        assert_ended(&sluice.script("restart.sh", &[]), 4, &words);
        sluice.broker(key, "1");
    }
    // What only a plan finds.
    let folder = sluice.folder("instances/wrong");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("instance.properties"),
        "\ncanal.instance.filter.black.field = x.y\n",
    )
    .unwrap();
    let words = ["instance.properties:2: error: canal.instance.filter.black.field: `x.y`"];
    assert_ended(&sluice.script("restart.sh", &[]), 4, &words);
    assert_ended(&sluice.script("restart.sh", &["--override", "broker.id=x"]), 4, &["broker.id"]);
    assert_eq!(std::fs::read_to_string(pid_file(&sluice)).unwrap(), pid);
    // The same is said by the one that runs, until it is mended.
    let said = |words: &'static str, code: i32| {
        let shown = wait_for(words, PATIENCE, || {
            let health = sluice.command(&["health"]);
            health.said.contains(words).then_some(health)
        });
        assert_eq!(shown.code, Some(code), "{}", shown.said);
        shown.said
    };
    let shown = said("is not taken up", 0);
    assert!(
        shown.contains("instance.properties:2: error: canal.instance.filter.black.field"),
        "{shown}"
    );
    let (_, json) = sluice.health().unwrap();
    assert!(json.contains(r#""refused":["/"#), "{json}");
    std::fs::remove_dir_all(&folder).unwrap();
    wait_for("nothing refused", PATIENCE, || {
        sluice.health()?.1.contains(r#""refused":[]"#).then_some(())
    });
    assert_ended(&sluice.script("restart.sh", &[]), 0, &["Stopped after", "sluice runs"]);
    assert_ended(&sluice.script("stop.sh", &[]), 0, &[]);
}

/// No value that a key allows may make the process fall over.
#[test]
fn the_process_starts_and_stops_with_the_ends_of_each_range() {
    use sluice::config::{Class, Home, KEYS, Kind};
    for least in [true, false] {
        let mut sluice = Sluice::new();
        for key in KEYS.iter().copied().flatten().filter(|key| key.class == Class::Served) {
            let Kind::Number(first, last) = key.kind else { continue };
            let value = if least { first } else { last }.to_string();
            match key.home {
                Home::Canal if key.name.ends_with("port") => {}
                Home::Canal => sluice.canal(key.name, &value),
                Home::Broker => sluice.broker(key.name, &value),
                Home::Instance => {}
            }
        }
        assert_ended(&sluice.script("startup.sh", &[]), 0, &["sluice runs"]);
        assert_ended(&sluice.script("stop.sh", &[]), 0, &["Stopped after"]);
        let log = std::fs::read_to_string(sluice.folder("logs/server.log")).unwrap();
        assert!(!log.contains("] ERROR ") && !log.contains("panicked"), "{log}");
    }
}

#[test]
fn check_finds_two_sockets_of_ours_on_one_port() {
    for (ip, words) in [
        ("", ["canal.metrics.pull.port: ", "is the port of listener PLAINTEXT too"]),
        // What only the name server says.
        ("localhost", ["(listeners)", "free the port, or change the setting"]),
    ] {
        let mut sluice = Sluice::new();
        let port = sluice.bootstrap().rsplit_once(':').unwrap().1.to_owned();
        sluice.canal("canal.ip", ip);
        sluice.canal("canal.metrics.pull.port", &port);
        for ended in [sluice.command(&["check"]), sluice.run_to_its_end()] {
            assert_ended(&ended, 1, &words);
        }
    }
}
