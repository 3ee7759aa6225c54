//! What builds before left behind goes on with this one.
//!
//! `tests/upgrade/<commit>.tar.gz` is what that build left when it was killed (-9), and the binlog
//! of its server, which has more by then. The server is lost, and another one has the same binlog:
//! without GTIDs, so the heartbeat leads to the place in it. What a record of such a build lacks,
//! and what comes of it here:
//!
//! | record | f7cb82a | 2280a44 | 95dba5d | without it |
//! |---|---|---|---|---|
//! | position: kind, base and delta, `by_gtid`, `lost` | lacks | has | has | version 1 is read whole; nothing is lost |
//! | position: `server_time` | lacks | lacks | has | what sessions called the time, where two agree |
//! | position: `prepared` | lacks | lacks | lacks | the server is asked at the first start: who was prepared unlogged before it is searched for |
//! | trail: it | lacks | has | has | no other server is gone to before the next heartbeat |
//! | trail: `version` | - | lacks (contents) | lacks (commit times) | both ways go on, the heartbeat says which |
//! | schema: engine, key, states, `complete`, `stay` | lacks | has | has | not known: asked, or read anew |
//! | session's tables: `on`, `file` | - | lacks (`at`) | has | whether its server was started is looked for in all files |
//! | held branch: it, `gtid` | lacks | has | has | searched for in the binlog |
//! | parked letter: `inner` | - | lacks | has | of a compressed event beyond `sluice.parked.max.bytes` the only fitting one is read |
//! | parked table: `names`, `held` | - | has | has | none |
//!
//! (f7cb82a goes on in `positions`.)

use std::path::Path;
use std::process::Command;

use crate::harness::servers::{private_mysql, run};
use crate::harness::{PATIENCE, Record, Sluice, topics, wait_for};

#[tokio::test]
async fn a_data_directory_of_2280a44_goes_on_at_the_server_that_took_over() {
    goes_on("2280a44").await;
}

#[tokio::test]
async fn a_data_directory_of_95dba5d_goes_on_at_the_server_that_took_over() {
    goes_on("95dba5d").await;
}

fn ids(records: &[Record]) -> Vec<String> {
    let id = |row: &serde_json::Value| row["id"].as_str().unwrap().to_owned();
    let data = records.iter().map(|record| record.json()["data"].clone());
    data.flat_map(|rows| rows.as_array().unwrap().iter().map(id).collect::<Vec<_>>()).collect()
}

/// The build had published orders 1 to 3 and held a branch with 10 and 11, which ends in the binlog
/// behind its place; `wide` was parked from its second row on, with two events kept.
async fn goes_on(build: &str) {
    let options = ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF", "--server-id=11"];
    let Some(mysql) = private_mysql(&options) else { return };
    let properties = [
        ("canal.instance.filter.regex", r"shop\..*"),
        ("canal.instance.standby.address", "127.0.0.1:9"),
        ("sluice.table.error", "park"),
        ("canal.instance.detecting.enable", "true"),
        ("canal.instance.detecting.interval.time", "3600"),
        (
            "canal.instance.detecting.sql",
            "insert into retl.xdual values(1,now()) on duplicate key update x=now()",
        ),
    ];
    let mut sluice = Sluice::with_instance("shop", &mysql, &properties);
    let archive = format!("tests/upgrade/{build}.tar.gz");
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(archive);
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(archive).arg("-C").arg(sluice.folder("."));
    assert!(tar.status().unwrap().success());
    let mut source = mysql.connect().await;
    run(
        &mut source,
        "SET sql_log_bin = 0; CREATE DATABASE shop; CREATE DATABASE retl;
         CREATE TABLE retl.xdual (id INT PRIMARY KEY, x DATETIME);
         GRANT INSERT, UPDATE ON retl.* TO canal@'%';
         CREATE TABLE shop.orders (id INT PRIMARY KEY, note VARCHAR(20));
         CREATE TABLE shop.wide (id INT PRIMARY KEY, pad MEDIUMTEXT)",
    )
    .await;
    mysql.stop();
    if !mysql.replace_binlog(&sluice.folder("server")) {
        return;
    }
    mysql.start();

    sluice.start();
    let bootstrap = sluice.bootstrap();
    let mut source = mysql.connect().await;
    run(&mut source, "INSERT INTO shop.orders VALUES (5, 'new')").await;
    let orders = topics::read_at_least(&bootstrap, "shop.orders", 7);
    assert_eq!(ids(&orders), ["1", "2", "3", "10", "11", "4", "5"]);
    assert!(sluice.said().contains("goes on at another server without GTIDs"), "{}", sluice.said());
    let count = |sluice: &Sluice| {
        let (_, body) = sluice.health()?;
        let health: serde_json::Value = serde_json::from_str(&body).ok()?;
        health["instances"][0]["progress"]["parked"][0]["events"].as_u64()
    };
    wait_for("the kept events", PATIENCE, || (count(&sluice) == Some(3)).then_some(()));

    // What the build before had kept comes back, and then what this one has.
    let raised = ["--alter", "--topic", "shop.wide", "--add-config", "max.message.bytes=1048576"];
    let ended = sluice.script("kafka-configs.sh", &raised);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let retried = sluice.command(&["instance", "retry", "shop", "shop.wide"]);
    assert_eq!(retried.code, Some(0), "{}", retried.said);
    assert_eq!(ids(&topics::read_at_least(&bootstrap, "shop.wide", 4)), ["1", "2", "3", "4"]);
    sluice.stop();
}
