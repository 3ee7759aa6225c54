//! MariaDB's hashes of long unique values end the row images of their tables, and no message: with
//! each kind of metadata, live and from behind, whatever statement made or dropped the key.

use crate::harness::message::{Members, Message};
use crate::harness::program::from;
use crate::harness::servers::{self, here, run};
use crate::harness::{Record, Server, topics};

/// Made before the instance begins: read from the server.
const BEFORE: &str = "
CREATE TABLE standing (id INT PRIMARY KEY, t TEXT UNIQUE, n INT);
CREATE TABLE two (a VARCHAR(9), b BLOB, c TEXT, UNIQUE (b), UNIQUE (a, c))";

const STATEMENTS: &[&str] = &[
    "INSERT INTO standing VALUES (1, 'x', 2), (2, NULL, 3)",
    "UPDATE standing SET t = 'y' WHERE id = 1",
    "UPDATE standing SET n = 7 WHERE id = 1",
    "DELETE FROM standing WHERE id = 2",
    "INSERT INTO two VALUES ('a', 'b', 'c')",
    "CREATE TABLE fewer (a VARCHAR(9), b BLOB, c TEXT, UNIQUE (b), UNIQUE (a, c))",
    "ALTER TABLE fewer DROP INDEX b",
    "INSERT INTO fewer VALUES ('a', 'b', 'd')",
    "CREATE TABLE kinds (v VARCHAR(5000) CHARACTER SET latin1 UNIQUE, j JSON UNIQUE, p TEXT, n INT, \
     UNIQUE (p(4000)), UNIQUE USING HASH (n), UNIQUE (p(9)))",
    "INSERT INTO kinds VALUES ('v', '{}', 'p', 1)",
    // By the engine's limit alone.
    "CREATE TABLE by_engine (v VARCHAR(255) UNIQUE) ENGINE=MyISAM CHARACTER SET utf8mb4",
    "INSERT INTO by_engine VALUES ('v')",
    "ALTER TABLE by_engine ENGINE=InnoDB",
    "INSERT INTO by_engine VALUES ('w')",
    "CREATE TABLE like_it LIKE kinds",
    "ALTER TABLE like_it ADD c BIGINT UNSIGNED, ADD COLUMN d BIGINT UNSIGNED AFTER v",
    "INSERT INTO like_it VALUES ('v', 5, '{}', 'p', 1, 6)",
    // A column of its own by that name.
    "CREATE TABLE own (t TEXT UNIQUE, DB_ROW_HASH_1 BIGINT UNSIGNED)",
    "INSERT INTO own VALUES ('t', 3)",
    "CREATE TABLE own2 (t TEXT, DB_ROW_HASH_1 BIGINT UNSIGNED)",
    "INSERT INTO own2 VALUES ('t', 4)",
    "CREATE TABLE odd (t TEXT UNIQUE INVISIBLE, a INT, g INT AS (a + 1) PERSISTENT, v INT AS (a + 2) VIRTUAL)",
    "INSERT INTO odd (t, a) VALUES ('t', 1)",
    "CREATE TABLE period (t TEXT, s DATE, e DATE, PERIOD FOR p (s, e), UNIQUE (t))",
    "INSERT INTO period VALUES ('t', '2000-01-01', '2001-01-01')",
    "CREATE TABLE later (a INT)",
    "ALTER TABLE later ADD t TEXT, ADD UNIQUE (t)",
    "INSERT INTO later VALUES (1, 't')",
    // The key stays, and its values are short; then long again.
    "ALTER TABLE later MODIFY t VARCHAR(10)",
    "INSERT INTO later VALUES (2, 'u')",
    "ALTER TABLE later MODIFY t TEXT",
    "INSERT INTO later VALUES (3, 'v')",
    "CREATE UNIQUE INDEX i ON later (a, t)",
    "INSERT INTO later VALUES (4, 'w')",
    "ALTER TABLE later DROP INDEX i, DROP COLUMN t",
    "INSERT INTO later VALUES (5)",
    "ALTER TABLE later ADD u TEXT UNIQUE FIRST, ADD w BIGINT UNSIGNED",
    "INSERT INTO later VALUES ('u', 6, 7)",
    "CREATE TABLE versioned (i INT PRIMARY KEY, t TEXT UNIQUE) WITH SYSTEM VERSIONING",
    "INSERT INTO versioned VALUES (1, 't')",
    "CREATE TABLE plain (b BIGINT UNSIGNED)",
    "INSERT INTO plain VALUES (1)",
];

const ROWS: &[&str] = &[
    "standing id=1 t=x n=2",
    "standing id=2 t=NULL n=3",
    "standing id=1 t=y n=2 (t=x)",
    "standing id=1 t=y n=7 (n=2)",
    "standing id=2 t=NULL n=3",
    "two a=a b=b c=c",
    "fewer a=a b=b c=d",
    "kinds v=v j={} p=p n=1",
    "by_engine v=v",
    "by_engine v=w",
    "like_it v=v d=5 j={} p=p n=1 c=6",
    "own t=t DB_ROW_HASH_1=3",
    "own2 t=t DB_ROW_HASH_1=4",
    "odd t=t a=1 g=2 v=3",
    "period t=t s=2000-01-01 e=2001-01-01",
    "later a=1 t=t",
    "later a=2 t=u",
    "later a=3 t=v",
    "later a=4 t=w",
    "later a=5",
    "later u=u a=6 w=7",
    "versioned i=1 t=t row_start row_end",
    "plain b=1",
];

#[tokio::test]
async fn hashes_of_long_unique_values_are_in_no_message_of_mariadb() {
    if let Some(server) = servers::private_mariadb(&[]) {
        each_metadata(&server).await;
    }
}

#[tokio::test]
async fn hashes_of_long_unique_values_are_in_no_message_of_the_newest_mariadb() {
    if let Some(server) = servers::private_newest_mariadb(&[]) {
        each_metadata(&server).await;
    }
}

async fn each_metadata(server: &Server) {
    let filter = r"hidden_.*\..*";
    for level in ["NO_LOG", "MINIMAL", "FULL"] {
        let name = format!("hidden_{level}").to_lowercase();
        let mut source = server.database(&name).await;
        run(&mut source, &format!("SET GLOBAL binlog_row_metadata = {level}")).await;
        run(&mut source, BEFORE).await;
        let begin = here(server).await;
        let mut live = from(server, &begin, filter, &[]);
        live.start();
        for statement in STATEMENTS {
            run(&mut source, statement).await;
        }
        assert_rows(&live.bootstrap(), &format!("{level}, live"));
        live.stop();
        let mut behind = from(server, &begin, filter, &[]);
        behind.start();
        assert_rows(&behind.bootstrap(), &format!("{level}, from behind"));
        behind.stop();
        run(&mut source, &format!("DROP DATABASE {name}")).await;
        if level == "FULL" {
            // The rows alone say it.
            let mut dropped = from(server, &begin, filter, &[]);
            dropped.start();
            assert_rows(&dropped.bootstrap(), "FULL, and dropped since");
            dropped.stop();
        }
    }
}

fn assert_rows(bootstrap: &str, when: &str) {
    let records = topics::read_at_least(bootstrap, "all", ROWS.len() - 1);
    let found: Vec<String> = records.iter().flat_map(rows).collect();
    assert_eq!(found, ROWS, "{when}");
    for record in &records {
        let keys: Message = serde_json::from_str(&record.value).unwrap();
        let types = keys.mysql_type.unwrap();
        assert_eq!(types.names(), keys.data.unwrap()[0].names(), "{when}");
    }
}

/// Each as `table name=value .. (name=old ..)`, without the moments of versioning.
fn rows(record: &Record) -> Vec<String> {
    let message: Message = serde_json::from_str(&record.value).unwrap();
    let table = message.table;
    let cells = |row: &Members<Option<String>>| {
        let cell = |(name, value): &(String, Option<String>)| match name.as_str() {
            "row_start" | "row_end" => name.clone(),
            _ => format!("{name}={}", value.as_deref().unwrap_or("NULL")),
        };
        row.0.iter().map(cell).collect::<Vec<_>>().join(" ")
    };
    let old = message.old.unwrap_or_default();
    let data = message.data.unwrap_or_default();
    let row = |(place, row): (usize, &Members<Option<String>>)| {
        let old = old.get(place).map(|old| format!(" ({})", cells(old))).unwrap_or_default();
        format!("{table} {}{old}", cells(row))
    };
    data.iter().enumerate().map(row).collect()
}
