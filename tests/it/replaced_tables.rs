//! MariaDB's CREATE OR REPLACE, whose statements it marks as those of their thread as soon as they
//! replace something: each kind of them, in formats ROW and MIXED, with each kind of metadata, read
//! live and from behind, when neither table is there any more.
//!
//! The judge is the server: before each row it is asked how the columns of its table are named.

use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

use crate::harness::message::Message;
use crate::harness::servers::{self, here, run};
use crate::harness::{PATIENCE, Server, Sluice, topics, wait_for};

/// What makes `l`, and whether it can be read in a session of format MIXED, where there are no columns
/// beside the text.
const KINDS: &[(&str, bool)] = &[
    ("CREATE OR REPLACE TABLE l LIKE y", true),
    ("CREATE OR REPLACE TABLE l (LIKE y)", true),
    ("CREATE OR REPLACE TABLE l LIKE l2", true),
    ("CREATE OR REPLACE TABLE l (id INT, b INT, a INT)", true),
    ("CREATE OR REPLACE TABLE l AS SELECT * FROM y", false),
    ("CREATE OR REPLACE TABLE l (x INT) AS SELECT b, id FROM y", false),
    ("CREATE TABLE IF NOT EXISTS l LIKE y", true),
    ("DROP TABLE IF EXISTS l; CREATE TABLE l LIKE y", true),
    ("LOCK TABLES l WRITE, y WRITE; CREATE OR REPLACE TABLE l LIKE y; UNLOCK TABLES", true),
];

/// What a session says beside, which is nothing to publish rows of.
const BESIDE: &str = "CREATE OR REPLACE SEQUENCE q; SELECT NEXT VALUE FOR q; CREATE OR REPLACE VIEW v AS SELECT * FROM y; \
    CREATE OR REPLACE TEMPORARY TABLE mine (id INT); CREATE OR REPLACE TEMPORARY TABLE mine LIKE y; DROP TEMPORARY TABLE mine";

#[tokio::test]
async fn tables_that_are_replaced_keep_their_columns_names() {
    let all = [
        servers::private_mariadb(&["--binlog-row-metadata=NO_LOG"]),
        servers::private_newest_mariadb(&["--binlog-row-metadata=NO_LOG"]),
    ];
    for server in all.into_iter().flatten() {
        replaced(&server).await;
    }
}

async fn replaced(server: &Server) {
    let mut admin = server.database("swap").await;
    let (file, offset) = here(server).await;
    let properties = [
        ("canal.instance.filter.regex", r"swap\..*"),
        ("canal.instance.filter.black.regex", r"swap\.q"),
        ("canal.mq.topic", "swap"),
        ("canal.instance.filter.query.ddl", "true"),
    ];
    let mut live = Sluice::with_instance("live", server, &properties);
    live.start();
    let mut expected = Vec::new();
    for metadata in ["NO_LOG", "MINIMAL", "FULL"] {
        run(&mut admin, &format!("SET GLOBAL binlog_row_metadata = {metadata}")).await;
        for format in ["ROW", "MIXED"] {
            for (kind, is_read_in_mixed) in KINDS {
                if format == "ROW" || *is_read_in_mixed {
                    let label = format!("{metadata} {format} {kind}");
                    one(server, format, kind, &label, &mut expected).await;
                }
            }
        }
    }
    check("live", &live, &expected);
    live.stop();
    let offset = offset.to_string();
    let from = [
        ("canal.instance.master.journal.name", file.as_str()),
        ("canal.instance.master.position", offset.as_str()),
    ];
    let mut behind = Sluice::with_instance("behind", server, &[&properties[..], &from].concat());
    behind.start();
    check("from behind", &behind, &expected);
    behind.stop();
}

/// Uses one of them again and again, behind changes of the table that it is made like; then both go.
async fn one(
    server: &Server,
    format: &str,
    kind: &str,
    label: &str,
    expected: &mut Vec<(String, String)>,
) {
    let mut source = server.connect().await;
    let say = format!("USE swap; SET SESSION sql_mode = '', binlog_format = {format}");
    run(&mut source, &say).await;
    for table in ["y (id INT, a INT, b INT)", "l (b INT, a INT, id INT)", "l2 (a INT, id INT)"] {
        run(&mut source, &format!("CREATE TABLE {table}")).await;
    }
    let fill = "SET SESSION binlog_format = ROW";
    let changes = ["CHANGE a b INT, CHANGE b a INT", "ADD d INT FIRST, DROP a"];
    for (number, change) in changes.iter().enumerate() {
        run(&mut source, kind).await;
        run(&mut source, BESIDE).await;
        row("l", &mut source, label, expected).await;
        run(&mut source, &format!("ALTER TABLE y {change}; ALTER TABLE l ADD z{number} INT FIRST"))
            .await;
        row("l", &mut source, label, expected).await;
    }
    // As those do who swap: the name of the one becomes that of the other.
    run(&mut source, &format!("{kind}; RENAME TABLE y TO old, l TO y")).await;
    row("y", &mut source, label, expected).await;
    run(&mut source, &format!("{fill}; DROP TABLE y, old, l2; DROP SEQUENCE q; DROP VIEW v")).await;
}

/// Writes a row, whose values are numbered by its columns, in a session of format ROW.
async fn row(
    table: &str,
    source: &mut MySqlConnection,
    label: &str,
    expected: &mut Vec<(String, String)>,
) {
    let columns = format!(
        "SELECT CAST(column_name AS CHAR) FROM information_schema.columns \
         WHERE table_schema = 'swap' AND table_name = '{table}' ORDER BY ordinal_position"
    );
    let names = sqlx::raw_sql(AssertSqlSafe(columns)).fetch_all(&mut *source).await.unwrap();
    let names: Vec<String> = names.iter().map(|row| row.get(0)).collect();
    let number = expected.len() * 10;
    let values: Vec<String> = (0..names.len()).map(|index| (number + index).to_string()).collect();
    let insert = format!("INSERT INTO {table} VALUES ({})", values.join(","));
    // A session cannot leave MIXED while it has temporary tables; it has none now.
    let format = sqlx::raw_sql("SELECT @@SESSION.binlog_format").fetch_one(&mut *source).await;
    let format: String = format.unwrap().get(0);
    let said =
        format!("SET SESSION binlog_format = ROW; {insert}; SET SESSION binlog_format = {format}");
    run(source, &said).await;
    let pairs: Vec<String> =
        names.iter().zip(&values).map(|(name, value)| format!("{name}={value}")).collect();
    expected.push((label.to_owned(), format!("{table} {}", pairs.join(","))));
}

fn check(how: &str, sluice: &Sluice, expected: &[(String, String)]) {
    let seen = wait_for(&format!("{} rows, {how}", expected.len()), PATIENCE, || {
        let (_, health) = sluice.health()?;
        let seen: Vec<String> = topics::read(&sluice.bootstrap(), "swap")
            .iter()
            .filter_map(|record| {
                let message: Message = serde_json::from_str(&record.value).unwrap();
                let row = message.data.into_iter().flatten().next()?;
                let values = row
                    .0
                    .iter()
                    .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("NULL")));
                Some(format!("{} {}", message.table, values.collect::<Vec<_>>().join(",")))
            })
            .collect();
        let last = seen.len().checked_sub(1).and_then(|last| expected.get(last));
        assert!(!health.contains(r#""state":"stopped""#), "{how}, behind {last:?}: {health}");
        (seen.len() >= expected.len()).then_some(seen)
    });
    for (index, (label, row)) in expected.iter().enumerate() {
        assert_eq!(seen.get(index), Some(row), "{how}: {label}; row {index}");
    }
    assert_eq!(seen.len(), expected.len(), "{how}");
}
