//! How far behind an instance is, and how long the server keeps what it still needs.

use std::time::{Duration, Instant};

use sqlx::Row;

use crate::harness::program::stopped;
use crate::harness::proxy::{Fault, Proxy};
use crate::harness::servers::{private_mariadb, private_mysql, run};
use crate::harness::{PATIENCE, Sluice, say, topics, wait_for};

/// What `/health` says of the one instance.
fn progress(sluice: &Sluice) -> Option<serde_json::Value> {
    let (_, body) = sluice.health()?;
    let health: serde_json::Value = serde_json::from_str(&body).ok()?;
    Some(health["instances"][0].clone())
}

fn delay(sluice: &Sluice) -> u64 {
    progress(sluice).unwrap()["progress"]["delay_ms"].as_u64().unwrap()
}

fn wait_until_there(sluice: &Sluice) {
    wait_for("nothing to be outstanding", PATIENCE, || (delay(sluice) == 0).then_some(()));
}

#[tokio::test]
async fn the_lag_is_0_only_while_the_server_says_so_and_grows_by_the_clock() {
    let Some(mysql) = private_mysql(&[]) else { return };
    let mut source = mysql.database("lag").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    run(&mut source, "CREATE TABLE filtered (x LONGTEXT) ENGINE=BLACKHOLE").await;
    let proxy = Proxy::to(&mysql);
    let mut sluice = Sluice::with_instance(
        "lag",
        &mysql,
        &[
            ("canal.instance.master.address", &proxy.address()),
            ("canal.instance.master.sslMode", "DISABLED"),
            ("canal.instance.filter.regex", r"lag\.t"),
        ],
    );
    sluice.start();
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    wait_until_there(&sluice);

    // A network that is dead, while the server goes on.
    proxy.set(Fault::Silence);
    let dead = Instant::now();
    run(&mut source, "INSERT INTO t VALUES (2)").await;
    let first = wait_for("the lag of a silence", PATIENCE, || {
        Some(delay(&sluice)).filter(|lag| *lag >= 6_000)
    });
    say(&format!("{first} ms behind after {:?} of silence", dead.elapsed()));
    let instance = progress(&sluice).unwrap();
    assert_eq!(instance["state"], "running", "{instance}");
    std::thread::sleep(Duration::from_secs(1));
    assert!(delay(&sluice) >= first + 500, "it grows");
    proxy.set(Fault::None);
    wait_until_there(&sluice);
    assert_eq!(topics::read(&sluice.bootstrap(), "lag.t").len(), 2);

    // A backlog of two hours ago, which the filter drops.
    sluice.stop();
    run(&mut source, "SET TIMESTAMP = UNIX_TIMESTAMP() - 7200").await;
    for _ in 0..300 {
        run(&mut source, "INSERT INTO filtered VALUES (REPEAT('x', 1000000))").await;
    }
    sluice.launch();
    let mut samples = Vec::new();
    wait_for("the backlog to be read", PATIENCE, || {
        let now = progress(&sluice)?["progress"]["delay_ms"].as_u64()?;
        samples.push(now);
        (samples.len() > 50 && samples.ends_with(&[0, 0, 0])).then_some(())
    });
    // 0 before the instance knows its place, then hours, then at most what the end took.
    let old = samples.iter().filter(|sample| **sample > 7_000_000).count();
    say(&format!("{} samples, {old} of them of hours", samples.len()));
    let first_old = samples.iter().position(|sample| *sample > 60_000).unwrap_or(0);
    let last_old = samples.iter().rposition(|sample| *sample > 60_000).unwrap_or(0);
    let flips = samples[first_old..=last_old].iter().filter(|sample| **sample < 60_000).count();
    assert_eq!(flips, 0, "{samples:?}");
    sluice.stop();
}

#[tokio::test]
async fn the_retention_horizon_is_reported_and_warned_of_before_it_is_too_late() {
    let Some(mysql) = private_mysql(&["--binlog-expire-logs-seconds=10"]) else { return };
    // By the second, so that it is known to be older than what is done below: gtid_mode was ON.
    std::thread::sleep(Duration::from_secs(2));
    let mut source = mysql.database("horizon").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let filter = ("canal.instance.filter.regex", r"horizon\..*");
    let mut sluice = Sluice::with_instance("horizon", &mysql, &[filter]);
    sluice.start();
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    topics::read_at_least(&sluice.bootstrap(), "horizon.t", 1);
    let retention = |sluice: &Sluice| {
        let left = progress(sluice)?["progress"]["retention"].clone();
        left.is_object().then_some(left)
    };
    let left = wait_for("the server to be asked", PATIENCE, || retention(&sluice));
    // The file that is being written is not purged.
    assert_eq!((&left["seconds"], &left["level"]), (&10.into(), &"ok".into()), "{left}");
    assert_eq!(left["bytes"], serde_json::Value::Null, "no limit of the size: {left}");
    sluice.stop();

    run(&mut source, "FLUSH BINARY LOGS").await;
    let closed = Instant::now();
    run(&mut source, "INSERT INTO t VALUES (2)").await;
    // Most of the ten seconds that the server keeps a file.
    std::thread::sleep(Duration::from_secs(8));
    let check = sluice.command(&["check"]);
    assert!(check.said.contains("ALARM: the source keeps its binlogs from"), "{}", check.said);
    sluice.start();
    wait_for("the alarm", PATIENCE, || sluice.said().contains("HAVE PURGED BINLOGS").then_some(()));
    say(&format!("said after {:?}", closed.elapsed()));
    let caught_up = wait_for("the next file", PATIENCE, || {
        retention(&sluice).filter(|left| left["level"] == "ok" && left["seconds"] == 10)
    });
    let files = caught_up["files"].as_u64().unwrap();
    assert!(files >= 1, "the file before goes first: {caught_up}");
    let (_, metrics) = sluice.metrics().unwrap();
    let line = "sluice_instance_retention_seconds{destination=\"horizon\"} 10";
    assert!(metrics.contains(line), "{metrics}");
    let check = sluice.command(&["check"]);
    assert!(check.said.contains("for another 10 s (0 % used up;"), "{}", check.said);
    sluice.stop();

    // Behind a jump by GTID nothing of the purged file is needed any more.
    run(&mut source, "FLUSH BINARY LOGS; INSERT INTO t VALUES (3)").await;
    let file = sqlx::raw_sql("SHOW BINARY LOG STATUS").fetch_one(&mut source).await.unwrap();
    let file: String = file.get(0);
    run(&mut source, &format!("PURGE BINARY LOGS TO '{file}'")).await;
    let alarms = |sluice: &Sluice| sluice.said().matches("HAVE PURGED BINLOGS").count();
    let before = alarms(&sluice);
    sluice.start();
    topics::read_at_least(&sluice.bootstrap(), "horizon.t", 3);
    wait_for("the server to be asked", PATIENCE, || {
        retention(&sluice).filter(|left| left["level"] == "ok")
    });
    assert!(sluice.said().contains("the file of the position was purged: asking by GTID"));
    assert_eq!(alarms(&sluice), before, "{}", sluice.said());
    sluice.stop();
}

/// A server that resets its binlogs while it sends them says nothing: its heartbeats go on to name
/// the old place, for as long as the new file is shorter.
#[tokio::test(flavor = "multi_thread")]
async fn binlogs_that_are_reset_under_the_dump_are_noticed_within_the_minute() {
    let servers = [
        (private_mysql(&[]), "RESET BINARY LOGS AND GTIDS"),
        (private_mariadb(&[]), "RESET MASTER"),
    ];
    let mut running = Vec::new();
    for (server, reset) in servers {
        let Some(server) = server else { continue };
        let mut source = server.database("resets").await;
        run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9000))").await;
        let filter = ("canal.instance.filter.regex", r"resets\..*");
        let mut sluice = Sluice::with_instance("resets", &server, &[filter]);
        sluice.start();
        run(&mut source, "INSERT INTO t VALUES (1, REPEAT('x', 9000))").await;
        topics::read_at_least(&sluice.bootstrap(), "resets.t", 1);
        wait_for("all to be durable", PATIENCE, || {
            let now = progress(&sluice)?;
            (now["progress"]["delay_ms"] == 0).then_some(())
        });
        run(&mut source, reset).await;
        run(&mut source, "INSERT INTO t VALUES (2, 'behind')").await;
        running.push((server, sluice));
    }
    for (server, sluice) in &mut running {
        let said = stopped(sluice);
        assert!(said.contains("its binlogs were reset"), "{said}");
        let place = ["position", "set", "resets", "--file", "binlog.000001", "--offset", "4"];
        assert!(said.contains("--file binlog.000001 --offset 4"), "{said}");
        sluice.stop();
        let ended = sluice.command(&place);
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        sluice.start();
        let records = topics::read_at_least(&sluice.bootstrap(), "resets.t", 2);
        assert!(records[1].value.contains("behind"), "{:?}: {records:?}", server.flavor);
        sluice.stop();
    }
}
