//! Tables by keys of all kinds, and without one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::harness::servers::{private_mariadb, private_mysql};
use crate::harness::{PATIENCE, Server, Sluice, topics, wait_for};

use super::{FILTER, INITIAL};

/// Rows of each table.
const ROWS: u64 = 2500;

/// The key of a table, and the value of its columns for the row of a number: each has a column
/// `mark` beside, which is that number.
const TABLES: [(&str, &str, &str); 13] = [
    ("plain", "k INT PRIMARY KEY", "{n} - 1000"),
    ("wide", "k BIGINT UNSIGNED PRIMARY KEY", "CAST({n} AS UNSIGNED) * 7000000000000000"),
    (
        "composite",
        "a VARCHAR(20) COLLATE utf8mb4_general_ci, b INT, c DATE, PRIMARY KEY (a, b, c)",
        "CONCAT('Key ', {n} DIV 100), {n} % 10, DATE '2020-01-01' + INTERVAL {n} DAY",
    ),
    (
        "text",
        "k VARCHAR(30) COLLATE utf8mb4_general_ci PRIMARY KEY",
        "CONCAT(IF({n} % 2, 'Ä', 'b'), {n})",
    ),
    ("latin", "k VARCHAR(30) CHARACTER SET latin1 PRIMARY KEY", "CONCAT('é''', {n})"),
    ("fixed", "k CHAR(12) CHARACTER SET ucs2 PRIMARY KEY", "CONCAT('x', {n})"),
    ("bytes", "k VARBINARY(12) PRIMARY KEY", "CONCAT(CHAR({n} % 256), CHAR(0), {n})"),
    ("money", "k DECIMAL(20,4) PRIMARY KEY", "({n} - 1000) / 8"),
    (
        "moment",
        "k DATETIME(6) PRIMARY KEY",
        "TIMESTAMP '2020-01-01 00:00:00' + INTERVAL {n} * 1000003 MICROSECOND",
    ),
    ("stamp", "k TIMESTAMP(3) PRIMARY KEY", "FROM_UNIXTIME(1500000000 + {n} * 3601)"),
    ("choice", "a ENUM('z','y','x'), k INT, PRIMARY KEY (a, k)", "1 + {n} % 3, {n}"),
    (
        "unique_only",
        "k DOUBLE NOT NULL, o INT NULL, UNIQUE KEY (o), UNIQUE KEY (k)",
        "{n} / 7, NULL",
    ),
    ("keyless", "k INT, KEY (k)", "{n} % 5"),
];

#[test]
fn each_row_comes_once_by_any_key_on_mysql() {
    let options = ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"];
    let Some(mysql) = private_mysql(&options) else { return };
    each_row_comes_once(&mysql);
}

#[test]
fn each_row_comes_once_by_any_key_on_mysql_without_gtids() {
    let Some(mysql) = private_mysql(&[]) else { return };
    // Without them a table that has no key wants a lock for a moment.
    mysql.mysql_client("", "GRANT LOCK TABLES ON *.* TO canal");
    each_row_comes_once(&mysql);
}

#[test]
fn each_row_comes_once_by_any_key_on_mariadb() {
    let Some(mariadb) = private_mariadb(&[]) else { return };
    each_row_comes_once(&mariadb);
}

fn each_row_comes_once(server: &Server) {
    make_tables(server);
    let mut sluice = Sluice::with_instance("copy", server, &[FILTER, INITIAL]);
    sluice.start();
    wait_for("the end of the copy", PATIENCE, || {
        let status = sluice.command(&["snapshot", "status"]).said;
        assert!(!status.contains("FAILED"), "{status}");
        status.contains("15 of 15 tables").then_some(())
    });
    for (table, ..) in TABLES {
        let mut times = BTreeMap::<u64, u32>::new();
        for record in topics::read(&sluice.bootstrap(), &format!("copied.{table}")) {
            assert!(record.headers["snapshot"].starts_with(&format!("copied.{table}:")));
            for row in record.json()["data"].as_array().unwrap() {
                *times.entry(row["mark"].as_str().unwrap().parse().unwrap()).or_default() += 1;
            }
        }
        let wanted: BTreeMap<u64, u32> = (1..=ROWS).map(|mark| (mark, 1)).collect();
        assert_eq!(times, wanted, "{table}");
    }
    assert_eq!(topics::read(&sluice.bootstrap(), "copied.nothing"), []);
    assert_eq!(topics::read(&sluice.bootstrap(), "copied.one").len(), 1);
    sluice.stop();
}

fn make_tables(server: &Server) {
    let mut script = String::from(
        "CREATE DATABASE copied CHARACTER SET utf8mb4; USE copied; SET NAMES utf8mb4;
         CREATE TABLE nothing (k INT PRIMARY KEY);
         CREATE TABLE one (k INT PRIMARY KEY); INSERT INTO one VALUES (-1);
         CREATE TABLE other.n (n INT PRIMARY KEY);",
    );
    script = script.replace("CREATE TABLE other.n", "CREATE DATABASE other; CREATE TABLE other.n");
    let numbers = (1..=ROWS).map(|number| format!("({number})")).collect::<Vec<_>>().join(",");
    let _ = write!(script, "INSERT INTO other.n VALUES {numbers};");
    for (table, columns, values) in TABLES {
        let values = values.replace("{n}", "n");
        let _ = write!(
            script,
            "CREATE TABLE {table} ({columns}, mark INT);
             INSERT INTO {table} SELECT {values}, n FROM other.n;"
        );
    }
    server.mysql_client("", &script);
}
