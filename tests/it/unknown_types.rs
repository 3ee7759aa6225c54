//! Columns of a type that nobody here has heard of, which MariaDB's plug-ins can bring: their rows
//! are never read by a guess. A row that says nothing but its wire's types stops the instance, or
//! parks the table, with the type's name; with FULL metadata the wire's type is what is published.

use std::collections::BTreeSet;

use crate::harness::program::stopped;
use crate::harness::servers::{private_mariadb_with_own_types, run};
use crate::harness::{PATIENCE, Sluice, topics, wait_for};

const FILTER: (&str, &str) = ("canal.instance.filter.regex", r"types\..*");

#[tokio::test]
async fn rows_of_a_type_that_is_not_known_stop_or_are_parked_and_the_type_is_named() {
    let Some(server) = private_mariadb_with_own_types(&["--binlog-row-metadata=NO_LOG"]) else {
        return;
    };
    let mut source = server.database("types").await;
    run(&mut source, "CREATE TABLE old (id INT PRIMARY KEY, a test_int8, b INT)").await;
    run(&mut source, "CREATE TABLE plain (id INT PRIMARY KEY)").await;
    let parks = [FILTER, ("sluice.table.error", "park")];
    let mut sluice = Sluice::new();
    sluice.instance("stops", &server, &[FILTER, ("sluice.topic", "stops.{table}")]);
    sluice.instance("parks", &server, &[parks[0], parks[1], ("sluice.topic", "parks.{table}")]);
    sluice.start();
    run(&mut source, "INSERT INTO plain VALUES (1)").await;
    topics::read_at_least(&sluice.bootstrap(), "stops.plain", 1);
    // In a statement that is followed, and in a table that was there before.
    for (table, made) in [
        ("old", "DO 0"),
        ("made", "CREATE TABLE made (id INT PRIMARY KEY, a test_int8(7) NOT NULL, b INT)"),
        (
            "grown",
            "CREATE TABLE grown (id INT PRIMARY KEY, b INT); ALTER TABLE grown ADD a test_int8 AFTER id",
        ),
    ] {
        run(&mut source, made).await;
        run(&mut source, &format!("INSERT INTO {table} VALUES (7, -9223372036854775808, 5)")).await;
    }
    run(&mut source, "INSERT INTO plain VALUES (2)").await;
    topics::read_at_least(&sluice.bootstrap(), "parks.plain", 2);
    let body = stopped(&sluice);
    for word in ["types.old", "the type `test_int8(20)` of column `a`", "binlog_row_metadata=FULL"]
    {
        assert!(body.contains(word), "{word}: {body}");
    }
    assert!(!body.contains("Make the table on the source"), "{body}");
    let health: serde_json::Value = serde_json::from_str(&sluice.health().unwrap().1).unwrap();
    let parks = health["instances"].as_array().unwrap().iter().find(|one| one["name"] == "parks");
    let parked = parks.unwrap()["progress"]["parked"].as_array().unwrap();
    let parked: BTreeSet<&str> = parked.iter().map(|one| one["table"].as_str().unwrap()).collect();
    assert_eq!(parked, BTreeSet::from(["grown", "made", "old"]), "{health}");
    assert_eq!(topics::read(&sluice.bootstrap(), "stops.plain").len(), 1);
    for topic in ["old", "made", "grown"].map(|table| format!("parks.{table}")) {
        let records = topics::read(&sluice.bootstrap(), &topic);
        assert!(records.iter().all(|one| one.json()["isDdl"] == true), "{records:?}");
    }

    // What the advice says helps for the rows to come.
    sluice.stop();
    run(&mut source, "SET GLOBAL binlog_row_metadata = FULL").await;
    let mut source = server.connect().await;
    run(&mut source, "USE types").await;
    let mut sluice = Sluice::with_instance("full", &server, &[FILTER]);
    sluice.start();
    run(&mut source, "INSERT INTO grown VALUES (8, -1, 5)").await;
    let records = topics::read_at_least(&sluice.bootstrap(), "types.grown", 1);
    let json = records[0].json();
    assert_eq!(json["data"][0], serde_json::json!({"id": "8", "a": "-1", "b": "5"}));
    assert_eq!(json["mysqlType"]["a"], "bigint");
    let said = "mysqlType is derived";
    wait_for("a warning", PATIENCE, || sluice.said().contains(said).then_some(()));
    sluice.stop();
}
