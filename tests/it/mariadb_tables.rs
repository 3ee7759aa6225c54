//! Tables that only MariaDB has, whose rows say more than their definitions: with system
//! versioning, and sequences. They are dropped before their rows are read, so that nothing but the
//! statements says what they were.

use serde_json::{Value, json};

use crate::harness::servers::{self, run};
use crate::harness::{Sluice, topics};

const STATEMENTS: &str = "
INSERT INTO before_it VALUES (1, 1);
CREATE TABLE v (a INT PRIMARY KEY, b INT) WITH SYSTEM VERSIONING;
INSERT INTO v VALUES (1, 1);
UPDATE v SET b = 2;
SET SESSION system_versioning_alter_history = KEEP;
ALTER TABLE v ADD c INT;
DELETE FROM v;
ALTER TABLE v DROP SYSTEM VERSIONING;
INSERT INTO v VALUES (4, 4, 4);
ALTER TABLE v ADD SYSTEM VERSIONING;
INSERT INTO v VALUES (5, 5, 5);
DROP TABLE v;
CREATE SEQUENCE s;
SELECT NEXTVAL(s);
RENAME TABLE s TO s2;
SELECT SETVAL(s2, 5000);
DROP SEQUENCE s2;
CREATE TABLE last (a INT);
INSERT INTO last VALUES (9)";

#[tokio::test]
async fn rows_of_versioned_tables_and_sequences_have_the_columns_that_nobody_sees() {
    let Some(server) = servers::private_mariadb(&[]) else { return };
    let mut source = server.database("own").await;
    run(&mut source, "CREATE TABLE before_it (a INT PRIMARY KEY, b INT) WITH SYSTEM VERSIONING")
        .await;
    let one_topic = [("canal.mq.topic", "all"), ("canal.instance.filter.regex", r"own\..*")];
    let mut sluice = Sluice::with_instance("own", &server, &one_topic);
    sluice.start();

    run(&mut source, STATEMENTS).await;

    let records = topics::read_at_least(&sluice.bootstrap(), "all", 17);
    let rows: Vec<Value> = records.iter().map(|record| summary(&record.json())).collect();
    let wanted = [
        json!(["before_it", "INSERT", ["1", "1"], ["a", "row_end"]]),
        json!(["v", "CREATE"]),
        json!(["v", "INSERT", ["1", "1"], ["a", "row_end"]]),
        json!(["v", "UPDATE", ["1", "2"], ["a", "row_end"]]),
        json!(["v", "INSERT", ["1", "1"], ["a", "row_end"]]),
        json!(["v", "ALTER"]),
        json!(["v", "UPDATE", ["1", "2", null], ["a", "row_end"]]),
        json!(["v", "ALTER"]),
        json!(["v", "INSERT", ["4", "4", "4"], ["a"]]),
        json!(["v", "ALTER"]),
        json!(["v", "INSERT", ["5", "5", "5"], ["a", "row_end"]]),
        json!(["v", "ERASE"]),
        json!(["s", "INSERT", ["1001"], null]),
        json!(["s2", "RENAME"]),
        json!(["s2", "INSERT", ["5001"], null]),
        json!(["last", "CREATE"]),
        json!(["last", "INSERT", ["9"], null]),
    ];
    assert_eq!(rows, wanted);
    sluice.stop();
    drop(server);
}

#[tokio::test]
async fn dates_in_the_form_of_before_5_6_are_what_the_server_reads() {
    let Some(server) = servers::private_mariadb(&["--mysql56-temporal-format=OFF"]) else { return };
    let mut source = server.database("old").await;
    let filter = [("canal.instance.filter.regex", r"old\..*")];
    let mut sluice = Sluice::with_instance("old", &server, &filter);
    sluice.start();
    run(&mut source, "CREATE TABLE t (a TIME, b DATETIME, c TIMESTAMP NULL)").await;
    let values = [
        "'-838:59:59', '1000-01-01 00:00:01', '1970-01-01 00:00:01'",
        "'100:00:09', '9999-12-31 23:59:59', '2038-01-19 03:14:07'",
    ];
    for row in values {
        run(&mut source, &format!("INSERT INTO t VALUES ({row})")).await;
    }
    let records = topics::read_at_least(&sluice.bootstrap(), "old.t", 3);
    let rows: Vec<String> = records[1..]
        .iter()
        .map(|record| {
            let row = &record.json()["data"][0];
            let text = |name: &str| format!("'{}'", row[name].as_str().unwrap());
            [text("a"), text("b"), text("c")].join(", ")
        })
        .collect();
    assert_eq!(rows, values);
    sluice.stop();
}

/// Table, type, and of rows the values that do not vary, and the key.
fn summary(message: &Value) -> Value {
    let (table, kind) = (&message["table"], &message["type"]);
    let Some(row) = message["data"].get(0) else { return json!([table, kind]) };
    let names = ["a", "b", "c", "next_not_cached_value"];
    let values: Vec<&Value> = names.iter().filter_map(|name| row.get(name)).collect();
    json!([table, kind, values, message["pkNames"]])
}
