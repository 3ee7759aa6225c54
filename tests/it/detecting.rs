//! The heartbeat (`canal.instance.detecting.*`) beside replication: nothing is written on a server
//! that has its rows from another one.

use std::time::Duration;

use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

use crate::harness::servers::{private_mariadb, run};
use crate::harness::{PATIENCE, Sluice, wait_for};

const SQL: &str = "insert into retl.xdual values (1, now(6)) on duplicate key update x = now(6)";

async fn written(admin: &mut MySqlConnection) -> String {
    let ask = "SELECT COALESCE(MAX(CAST(x AS CHAR)), '') FROM retl.xdual";
    let row = sqlx::raw_sql(AssertSqlSafe(ask)).fetch_one(admin).await.unwrap();
    row.get(0)
}

async fn connections(admin: &mut MySqlConnection) -> usize {
    let rows = sqlx::raw_sql("SHOW ALL SLAVES STATUS").fetch_all(admin).await.unwrap();
    let runs = |row: &sqlx::mysql::MySqlRow| row.get::<String, _>("Slave_IO_Running") == "Yes";
    rows.iter().filter(|row| runs(row)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_heartbeat_is_written_where_a_named_connection_replicates() {
    let servers = [private_mariadb(&["--server-id=11"]), private_mariadb(&["--server-id=12"])];
    let [Some(first), Some(read)] = servers else { return };
    let mut source = first.database("retl").await;
    run(&mut source, "CREATE TABLE xdual (id INT PRIMARY KEY, x DATETIME(6))").await;
    let mut admin = read.connect().await;
    let change = format!(
        "CHANGE MASTER 'named' TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = \
         'canal', MASTER_PASSWORD = 'canal', MASTER_USE_GTID = slave_pos; START SLAVE 'named'",
        first.port
    );
    run(&mut admin, &change).await;
    run(&mut admin, "GRANT INSERT, UPDATE ON retl.* TO canal@'%'").await;
    let mut is_there = false;
    while !is_there || connections(&mut admin).await == 0 {
        let rows = sqlx::raw_sql("SHOW TABLES FROM retl").fetch_all(&mut admin).await;
        is_there = rows.is_ok_and(|rows| !rows.is_empty());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let properties = [
        ("canal.instance.filter.regex", r"retl\..*"),
        ("canal.instance.detecting.enable", "true"),
        ("canal.instance.detecting.sql", SQL),
        ("canal.instance.detecting.interval.time", "1"),
    ];
    let mut sluice = Sluice::with_instance("detecting", &read, &properties);
    // What it takes to ask is said before.
    let check = sluice.command(&["check"]);
    assert!(check.said.contains("GRANT SLAVE MONITOR ON *.* TO 'canal'@'%'"), "{}", check.said);
    run(&mut admin, "GRANT SLAVE MONITOR ON *.* TO canal@'%'").await;
    let check = sluice.command(&["check"]);
    assert!(!check.said.contains("SLAVE MONITOR"), "{}", check.said);
    sluice.start();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(written(&mut admin).await, "");
    run(&mut admin, "STOP SLAVE 'named'").await;
    let rt = tokio::runtime::Handle::current();
    wait_for("the heartbeat of a server that replicates no more", PATIENCE, || {
        let now = tokio::task::block_in_place(|| rt.block_on(written(&mut admin)));
        (!now.is_empty()).then_some(())
    });
    sluice.stop();
}
