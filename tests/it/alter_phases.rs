//! MariaDB's ALTER TABLE in two phases (`binlog_alter_two_phase`, since 10.8): one statement is two
//! events with the same text.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, MySqlConnection, Row};

use crate::harness::servers::{private_mariadb, run, try_run};
use crate::harness::{PATIENCE, Server, Sluice, topics, wait_for};

/// Type and table of each message, of rows with names and values.
fn messages(sluice: &Sluice, count: usize) -> Vec<String> {
    let records = topics::read_at_least(&sluice.bootstrap(), "phases", count);
    let text_of = |message: serde_json::Value| {
        let text = |member: &str| message[member].as_str().unwrap().to_owned();
        let mut words = format!("{} {}", text("type"), text("table"));
        for row in message["data"].as_array().into_iter().flatten() {
            let row: serde_json::Map<String, serde_json::Value> = row.as_object().unwrap().clone();
            let values = row.iter().map(|(name, value)| format!("{name}={value}"));
            words = format!("{words} {}", values.collect::<Vec<_>>().join(",").replace('"', ""));
        }
        words
    };
    records.iter().map(|record| text_of(record.json())).collect()
}

async fn altering(server: &Server) -> MySqlConnection {
    let mut connection = server.connect().await;
    run(&mut connection, "USE phases; SET SESSION binlog_alter_two_phase = 1").await;
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alter_in_two_phases_counts_once_at_its_commit_and_a_failed_one_never() {
    let Some(server) = private_mariadb(&[]) else { return };
    let mut source = server.database("phases").await;
    run(&mut source, "SET SESSION binlog_alter_two_phase = 1").await;
    let properties = [("canal.instance.filter.regex", r"phases\..*"), ("canal.mq.topic", "phases")];
    let mut sluice = Sluice::with_instance("phases", &server, &properties);
    sluice.start();
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)").await;
    run(&mut source, "INSERT INTO t VALUES (1, 10, 20)").await;
    run(&mut source, "ALTER TABLE t CHANGE a b INT, CHANGE b a INT").await;
    run(&mut source, "INSERT INTO t VALUES (2, 10, 20)").await;
    run(&mut source, "ALTER TABLE t ADD c INT, ALGORITHM = COPY").await;
    run(&mut source, "INSERT INTO t VALUES (3, 10, 20, 30), (4, 10, 20, 30)").await;
    let fails = "ALTER TABLE t MODIFY b BIGINT, ADD UNIQUE (b), ALGORITHM = COPY";
    try_run(&mut source, fails).await.unwrap_err();
    run(&mut source, "INSERT INTO t VALUES (5, 11, 21, 31)").await;
    run(&mut source, "CREATE INDEX i ON t (c)").await;
    run(&mut source, "ALTER TABLE t DROP COLUMN a, RENAME TO u").await;
    run(&mut source, "INSERT INTO u VALUES (6, 12, 32)").await;
    let mut expected = vec![
        "CREATE t",
        "INSERT t a=10,b=20,id=1",
        "ALTER t",
        "INSERT t a=20,b=10,id=2",
        "ALTER t",
        "INSERT t a=20,b=10,c=30,id=3 a=20,b=10,c=30,id=4",
        "INSERT t a=21,b=11,c=31,id=5",
        "CINDEX t",
        "ALTER t",
        "INSERT u b=12,c=32,id=6",
    ];
    assert_eq!(messages(&sluice, expected.len()), expected);

    // Two at once, which end in the other order, across a restart and a change of files: a
    // transaction that has read a table holds up the end of its ALTER.
    run(&mut source, "CREATE TABLE x (id INT PRIMARY KEY); CREATE TABLE y (id INT PRIMARY KEY)")
        .await;
    expected.extend(["CREATE x", "CREATE y"]);
    messages(&sluice, expected.len());
    let mut holders = Vec::new();
    let mut alters = Vec::new();
    for table in ["x", "y"] {
        let mut holder = server.connect().await;
        run(&mut holder, &format!("BEGIN; SELECT * FROM phases.{table}")).await;
        holders.push(holder);
        let mut connection = altering(&server).await;
        alters.push(tokio::spawn(async move {
            let add = format!("ALTER TABLE {table} ADD c INT, ALGORITHM = COPY");
            run(&mut connection, &add).await;
        }));
        let waited = Instant::now();
        while phases(&mut source).await < alters.len() {
            assert!(waited.elapsed() < PATIENCE, "ALTER TABLE {table} does not begin");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let begun = phases(&mut source).await;
    assert_eq!(begun, 2, "two have begun and none has ended");
    run(&mut source, "CREATE TABLE between_both (id INT)").await;
    expected.push("CREATE between_both");
    messages(&sluice, expected.len());
    sluice.stop();
    run(&mut source, "FLUSH BINARY LOGS").await;
    sluice.start();
    while let Some(mut holder) = holders.pop() {
        run(&mut holder, "COMMIT").await;
        alters.pop().unwrap().await.unwrap();
    }
    run(&mut source, "INSERT INTO x VALUES (1, 2); INSERT INTO y VALUES (3, 4)").await;
    expected.extend(["ALTER y", "ALTER x", "INSERT x c=2,id=1", "INSERT y c=4,id=3"]);
    assert_eq!(messages(&sluice, expected.len()), expected);
    wait_for("all to be said", PATIENCE, || sluice.health().filter(|(status, _)| *status == 200));
    sluice.stop();
}

/// How many phases of ALTER TABLE of x and y the first file holds.
async fn phases(connection: &mut MySqlConnection) -> usize {
    let events = "SHOW BINLOG EVENTS LIMIT 1000";
    let rows = sqlx::raw_sql(AssertSqlSafe(events.to_owned())).fetch_all(connection).await.unwrap();
    let info = rows.iter().map(|row| row.get::<String, _>(5));
    info.filter(|info| info.contains("ALTER TABLE x") || info.contains("ALTER TABLE y")).count()
}
