//! What is accepted as lost, because a standby has only received it, and what it applies later: it
//! was published, and is not published again.

use sqlx::{MySqlConnection, Row as _};

use super::{end, prepare};
use crate::harness::replication::{caught_up, promote, replicate};
use crate::harness::servers::{self, Flavor, Server, run};
use crate::harness::{PATIENCE, Record, Sluice, topics, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mysql_standby_applies_behind_an_accepted_loss_comes_no_second_time() {
    let servers = [servers::private_mysql(&[]), servers::private_mysql(&["--server-id=12"])];
    let [Some(a), Some(b)] = servers else { return };
    it_comes_no_second_time([&a, &b]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mariadb_standby_applies_behind_an_accepted_loss_comes_no_second_time() {
    let chained = "--log-slave-updates=1";
    let servers = [
        servers::private_mariadb(&[chained]),
        servers::private_mariadb(&[chained, "--server-id=12"]),
    ];
    let [Some(a), Some(b)] = servers else { return };
    it_comes_no_second_time([&a, &b]).await;
}

const TABLES: [&str; 5] = ["xa.t", "xa.u", "xa.m", "xa.large", "xa.late"];

async fn it_comes_no_second_time([a, b]: [&Server; 2]) {
    let mut admin = a.database("xa").await;
    let tables =
        "CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE u (id INT PRIMARY KEY, a INT, b INT);
         CREATE TABLE m (id INT PRIMARY KEY) ENGINE=MyISAM;
         CREATE TABLE large (id INT PRIMARY KEY, v VARCHAR(4000))";
    run(&mut admin, tables).await;
    replicate(b, a).await;
    let standby = format!("{}:{}", b.host, b.port);
    let properties = [
        ("canal.instance.filter.regex", r"xa\..*"),
        ("canal.instance.standby.address", &*standby),
        ("canal.instance.detecting.retry.threshold", "1"),
        ("sluice.failover.lost", "accept"),
    ];
    let mut sluice = Sluice::with_instance("xa", a, &properties);
    sluice.start();
    prepare(a, "'both'", &[100]).await;
    run(&mut admin, "INSERT INTO t VALUES (1)").await;
    caught_up(b, a).await;
    let word = if b.flavor == Flavor::MySql { "REPLICA" } else { "SLAVE" };
    run(&mut b.connect().await, &format!("STOP {word} SQL_THREAD")).await;

    write_the_end(a, &mut admin).await;
    let before =
        read(&sluice, &[("xa.t", 5), ("xa.u", 2), ("xa.m", 1), ("xa.large", 2), ("xa.late", 2)]);
    let end_of_a = received(b, a).await;
    a.kill();
    let name = ask(
        b,
        if b.flavor == Flavor::MySql { "SELECT @@server_uuid" } else { "SELECT 'server-id:12'" },
    )
    .await;
    let word_of_place = format!(r#""server_uuid":"{name}""#);
    wait_for("the loss to be accepted", PATIENCE, || {
        sluice.health().filter(|(_, body)| body.contains(&word_of_place))
    });
    // It applies what it had received, one and all.
    let mut admin = b.connect().await;
    run(&mut admin, &format!("START {word} SQL_THREAD; USE xa")).await;
    let applied = match b.flavor {
        Flavor::MySql => {
            format!("SELECT CAST(WAIT_FOR_EXECUTED_GTID_SET('{end_of_a}', 60) AS CHAR)")
        }
        Flavor::MariaDb => format!("SELECT CAST(MASTER_GTID_WAIT('{end_of_a}', 60) AS CHAR)"),
    };
    assert_eq!(ask(b, &applied).await, "0");
    promote(b).await;
    run(&mut admin, "INSERT INTO t VALUES (50); INSERT INTO u VALUES (2, 1, 2)").await;
    end(b, "XA COMMIT 'later'").await;
    topics::read_at_least(&sluice.bootstrap(), "xa.t", 8);
    sluice.kill();
    sluice.start();
    run(
        &mut admin,
        "INSERT INTO t VALUES (51); INSERT INTO late VALUES (2); INSERT INTO m VALUES (2)",
    )
    .await;
    let wanted = [("xa.t", 8), ("xa.u", 3), ("xa.m", 2), ("xa.large", 2), ("xa.late", 3)];
    let after = read(&sluice, &wanted);
    for (topic, before) in TABLES.iter().zip(&before) {
        assert!(!before.is_empty(), "{topic}");
    }
    let ids: Vec<Vec<u64>> = after.iter().map(|records| ids(records)).collect();
    assert_eq!(ids[0], [1, 2, 100, 102, 103, 50, 101, 51], "{:?}", a.flavor);
    assert_eq!([&ids[1][..], &ids[2], &ids[4]], [&[1, 2][..], &[1, 2], &[1, 2]]);
    assert_eq!(ids[3], (1..=1000).collect::<Vec<_>>());
    // What the statement that came late has changed is known.
    let last = after[1].last().unwrap().json();
    assert_eq!(
        (&last["data"][0]["a"], &last["data"][0]["b"]),
        (&"2".into(), &"1".into()),
        "{last}"
    );
    let ddl = |records: &[Record]| records.iter().filter(|one| one.json()["isDdl"] == true).count();
    assert_eq!((ddl(&after[1]), ddl(&after[4])), (1, 1));
    sluice.stop();
}

/// What the standby receives, and does not apply before it is accepted as lost.
async fn write_the_end(a: &Server, admin: &mut MySqlConnection) {
    run(admin, "INSERT INTO t VALUES (2); INSERT INTO u VALUES (1, 10, 20)").await;
    run(admin, "ALTER TABLE u CHANGE a b INT, CHANGE b a INT; INSERT INTO m VALUES (1)").await;
    prepare(a, "'later'", &[101]).await;
    end(a, "XA COMMIT 'both'").await;
    prepare(a, "'whole'", &[102]).await;
    end(a, "XA COMMIT 'whole'").await;
    run(
        admin,
        "XA START 'one'; INSERT INTO t VALUES (103); XA END 'one'; XA COMMIT 'one' ONE PHASE",
    )
    .await;
    let rows: Vec<String> = (1..=1000).map(|id| format!("({id}, REPEAT('x', 4000))")).collect();
    run(admin, &format!("INSERT INTO large VALUES {}", rows.join(","))).await;
    run(admin, "CREATE TABLE late (id INT PRIMARY KEY); INSERT INTO late VALUES (1)").await;
}

async fn ask(server: &Server, sql: &str) -> String {
    let mut connection = server.connect().await;
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).fetch_one(&mut connection).await.unwrap().get(0)
}

/// Waits until `replica` has received all that `of` has written; its GTID set.
async fn received(replica: &Server, of: &Server) -> String {
    let (set, status, columns, end) = match of.flavor {
        Flavor::MySql => (
            "SELECT @@GLOBAL.gtid_executed",
            "SHOW REPLICA STATUS",
            ["Source_Log_File", "Read_Source_Log_Pos"],
            "SHOW BINARY LOG STATUS",
        ),
        Flavor::MariaDb => (
            "SELECT @@GLOBAL.gtid_binlog_pos",
            "SHOW SLAVE STATUS",
            ["Master_Log_File", "Read_Master_Log_Pos"],
            "SHOW MASTER STATUS",
        ),
    };
    let place = async |server: &Server, sql: &str, file: &str, offset: &str| -> (String, u64) {
        let mut connection = server.connect().await;
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        let row = sqlx::raw_sql(sql).fetch_one(&mut connection).await.unwrap();
        (row.get(file), offset_of(&row, offset))
    };
    let wanted = place(of, end, "File", "Position").await;
    let begun = std::time::Instant::now();
    while place(replica, status, columns[0], columns[1]).await != wanted {
        assert!(begun.elapsed() < PATIENCE, "{wanted:?} is not received");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    ask(of, set).await.replace('\n', "")
}

/// Servers say it with a sign, or without.
fn offset_of(row: &sqlx::mysql::MySqlRow, column: &str) -> u64 {
    let signed = |_| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    row.try_get::<u64, _>(column).or_else(signed).unwrap()
}

/// The records of each topic without the notices of a loss.
fn read(sluice: &Sluice, counts: &[(&str, usize)]) -> Vec<Vec<Record>> {
    let own = |records: Vec<Record>| -> Vec<Record> {
        records.into_iter().filter(|record| !record.headers.contains_key("lost")).collect()
    };
    let each = counts.iter().map(|(topic, count)| {
        let enough = || {
            let records = own(topics::read(&sluice.bootstrap(), topic));
            (records.len() >= *count).then_some(records)
        };
        wait_for(&format!("{count} records of {topic}"), PATIENCE, enough)
    });
    each.collect()
}

fn ids(records: &[Record]) -> Vec<u64> {
    let jsons: Vec<_> = records.iter().map(Record::json).collect();
    let rows = jsons.iter().filter_map(|json| json["data"].as_array());
    rows.flatten().map(|row| row["id"].as_str().unwrap().parse().unwrap()).collect()
}
