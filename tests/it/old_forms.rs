//! What a server does in the ways of an older one: MariaDB's dates and times of before 10.1, and
//! `utf8` that is no utf8mb3; and keys that the binlog's metadata calls primary and that are not.

use serde_json::Value;
use sqlx::{MySqlConnection, Row as _};

use crate::harness::program::{from, stopped};
use crate::harness::random::Random;
use crate::harness::servers::{self, Flavor, here, run};
use crate::harness::{Record, Server, topics};

#[tokio::test]
async fn a_unique_key_is_no_primary_key_on_mysql() {
    let Some(server) = servers::private_mysql(&["--binlog-row-metadata=FULL"]) else { return };
    keys(&server).await;
}

#[tokio::test]
async fn older_forms_of_mariadb_are_read_as_they_were_written() {
    let options = ["--mysql56-temporal-format=OFF", "--old-mode=", "--binlog-row-metadata=FULL"];
    let Some(server) = servers::private_mariadb(&options) else { return };
    keys(&server).await;
    times(&server, "FULL").await;
    without_definition(&server).await;
    let mut source = server.connect().await;
    run(&mut source, "SET GLOBAL binlog_row_metadata = 'NO_LOG'").await;
    times(&server, "NO_LOG").await;
    wide_utf8(&server).await;
}

/// The metadata names the first unique key without NULL of a table that has no primary one.
async fn keys(server: &Server) {
    let mut source = server.database("keys_of").await;
    let versioned = match server.flavor {
        Flavor::MySql => "",
        Flavor::MariaDb => " WITH SYSTEM VERSIONING",
    };
    let tables = [
        ("u", "(k INT NOT NULL, e ENUM('😀','b') CHARACTER SET utf8mb4, UNIQUE KEY (k))", ""),
        ("ok", "(k INT NOT NULL, e ENUM('a','b'), UNIQUE KEY (k))", ""),
        ("p", "(k INT NOT NULL, e ENUM('😀','b') CHARACTER SET utf8mb4, PRIMARY KEY (k))", ""),
        ("v", "(k INT NOT NULL UNIQUE, e ENUM('a') CHARACTER SET utf8mb4)", versioned),
    ];
    let mut begin = None;
    for (when, name) in [(0, "_before"), (1, "_behind")] {
        if when == 1 {
            begin = Some(here(server).await);
        }
        for (table, columns, options) in tables {
            run(&mut source, &format!("CREATE TABLE {table}{name} {columns}{options}")).await;
        }
    }
    let begin = begin.unwrap();
    for (table, ..) in tables {
        for name in ["_before", "_behind"] {
            run(&mut source, &format!("INSERT INTO {table}{name} (k, e) VALUES (1, 1)")).await;
        }
    }
    let mut sluice = from(server, &begin, r"keys_of\..*", &[]);
    sluice.start();
    let records = topics::read_at_least(&sluice.bootstrap(), "all", 2 * tables.len());
    for record in records {
        let message = record.json();
        let table = message["table"].as_str().unwrap();
        let wanted = if table.starts_with('p') { serde_json::json!(["k"]) } else { Value::Null };
        assert_eq!(message["pkNames"], wanted, "{message}");
        if table.starts_with('u') {
            assert_eq!(
                message["mysqlType"]["e"],
                reported_type(server, "keys_of", table, "e").await
            );
        }
    }
    sluice.stop();
}

/// A type's text as the server shows it.
async fn reported_type(server: &Server, database: &str, table: &str, column: &str) -> String {
    let mut source = server.connect().await;
    let row = sqlx::query(
        "SELECT CONVERT(column_type USING utf8mb4) FROM information_schema.columns \
         WHERE table_schema = ? AND table_name = ? AND column_name = ?",
    )
    .bind(database)
    .bind(table)
    .bind(column)
    .fetch_one(&mut source)
    .await
    .unwrap();
    row.get(0)
}

/// Rows of each table of times.
const ROWS: usize = 40;

/// Every type and number of digits, captured, followed, and made anew in the newer format.
async fn times(server: &Server, metadata: &str) {
    let mut random = Random::new(20_261_128);
    let mut source = server.database("old_times").await;
    let create = |name: &str, digits: u32| {
        format!(
            "CREATE TABLE {name}{digits} (id INT PRIMARY KEY, t TIME({digits}), \
             d DATETIME({digits}), s TIMESTAMP({digits}) NULL)"
        )
    };
    for digits in 0..=6 {
        run(&mut source, &create("a", digits)).await;
        run(&mut source, &create("c", digits)).await;
    }
    let begin = here(server).await;
    for digits in 0..=6 {
        run(&mut source, &create("b", digits)).await;
    }
    run(&mut source, "SET GLOBAL mysql56_temporal_format = ON").await;
    for digits in 0..=6 {
        run(&mut source, &format!("ALTER TABLE c{digits} FORCE")).await;
    }
    run(&mut source, "SET GLOBAL mysql56_temporal_format = OFF").await;
    let tables: Vec<String> =
        (0..=6).flat_map(|digits| ["a", "b", "c"].map(|name| format!("{name}{digits}"))).collect();
    run(&mut source, "SET sql_mode = ''").await;
    for table in &tables {
        let rows: Vec<String> = (0..ROWS).map(|id| row_of_times(id, &mut random)).collect();
        run(&mut source, &format!("INSERT INTO {table} VALUES {}", rows.join(","))).await;
    }
    let mut sluice = from(server, &begin, r"old_times\..*", &[]);
    sluice.start();
    let records = topics::read_at_least(&sluice.bootstrap(), "all", tables.len());
    assert_eq!(records.len(), tables.len());
    for record in &records {
        as_the_server_has_them(server, &mut source, &record.json(), metadata).await;
    }
    sluice.stop();
}

/// The edges of each type first, then any times.
fn row_of_times(id: usize, random: &mut Random) -> String {
    let mut below = |limit: u64| random.below(limit);
    let fraction = below(1_000_000);
    let sign = if below(2) == 0 { "-" } else { "" };
    let time = match id {
        0 => "-838:59:59.999999".to_owned(),
        1 => "838:59:59.999999".to_owned(),
        2 => "-00:00:00.000001".to_owned(),
        _ => format!("{sign}{}:{}:{}.{fraction:06}", below(839), below(60), below(60)),
    };
    let date = match id {
        0 => "0000-00-00 00:00:00".to_owned(),
        1 => "9999-12-31 23:59:59.999999".to_owned(),
        _ => format!(
            "{:04}-{:02}-{:02} {}:{}:{}.{fraction:06}",
            1 + below(9999),
            1 + below(12),
            1 + below(28),
            below(24),
            below(60),
            below(60)
        ),
    };
    let stamp = match id {
        0 => "'0000-00-00 00:00:00'".to_owned(),
        1 => "'1970-01-01 00:00:01'".to_owned(),
        2 => "'2038-01-19 03:14:07.999999'".to_owned(),
        _ => format!("FROM_UNIXTIME({}.{fraction:06})", 1 + below(2_147_483_646)),
    };
    format!("({id}, '{time}', '{date}', {stamp})")
}

/// Each value and type of a message of times is the one that the server shows.
async fn as_the_server_has_them(
    server: &Server,
    source: &mut MySqlConnection,
    message: &serde_json::Value,
    metadata: &str,
) {
    let table = message["table"].as_str().unwrap();
    let shown = format!(
        "SELECT CAST(t AS CHAR), CAST(d AS CHAR), CAST(s AS CHAR) FROM old_times.{table} ORDER BY id"
    );
    let wanted = sqlx::query(sqlx::AssertSqlSafe(shown)).fetch_all(source).await.unwrap();
    let rows = message["data"].as_array().unwrap();
    assert_eq!((rows.len(), wanted.len()), (ROWS, ROWS), "{metadata} {table}");
    for (index, column) in ["t", "d", "s"].into_iter().enumerate() {
        for (row, wanted) in rows.iter().zip(&wanted) {
            let wanted: String = wanted.get(index);
            assert_eq!(row[column], wanted, "{metadata} {table}.{column} of {row}");
        }
        let wanted = reported_type(server, "old_times", table, column).await;
        assert_eq!(message["mysqlType"][column], wanted, "{metadata} {table}.{column}");
    }
}

/// The rows do not say how many digits there are: nothing is guessed, and making the table is the
/// cure.
async fn without_definition(server: &Server) {
    let mut source = server.database("old_gone").await;
    run(&mut source, "CREATE TABLE t (v TIMESTAMP(1) NOT NULL DEFAULT 0)").await;
    let begin = here(server).await;
    run(&mut source, "INSERT INTO t VALUES ('2020-01-01 19:36:00.5'), ('2020-01-01 19:36:00.5')")
        .await;
    let filter = r"old_gone\..*";
    run(&mut source, "DROP TABLE t").await;
    let mut sluice = from(server, &begin, filter, &[]);
    sluice.launch();
    let said = stopped(&sluice);
    assert!(said.contains("no definition of old_gone.t"), "{said}");
    assert!(said.contains("Make the table on the source as it was"), "{said}");
    sluice.stop();
    run(&mut source, "CREATE TABLE t (v TIMESTAMP(1) NOT NULL DEFAULT 0)").await;
    let adopts = [("sluice.schema.adopt", "current")];
    let mut sluice = from(server, &begin, filter, &adopts);
    sluice.start();
    let records = topics::read_at_least(&sluice.bootstrap(), "all", 1);
    assert_eq!(records[0].json()["data"][1]["v"], "2020-01-01 19:36:00.5");
    sluice.stop();
}

/// `old_mode` without `UTF8_IS_UTF8MB3`: a table made with the name `utf8` is read from the server.
async fn wide_utf8(server: &Server) {
    let mut source = server.database("wide_utf8").await;
    let begin = here(server).await;
    for statement in [
        "CREATE TABLE a (c CHAR(5) CHARSET utf8, t TEXT(70) CHARSET utf8, v VARCHAR(5))",
        "CREATE TABLE b (c CHAR(5) COLLATE utf8_general_ci, v VARCHAR(5) CHARSET latin1)",
        "CREATE TABLE c (c CHAR(5), v VARCHAR(5)) CHARSET latin1",
        "ALTER TABLE c CONVERT TO CHARACTER SET utf8",
        "ALTER DATABASE wide_utf8 CHARACTER SET utf8",
        "CREATE TABLE d (c CHAR(5), v VARCHAR(5))",
        "SET NAMES utf8mb4",
    ] {
        run(&mut source, statement).await;
    }
    for table in ["a", "b", "c", "d"] {
        run(&mut source, &format!("INSERT INTO {table} (c, v) VALUES ('é😀', 'é')")).await;
    }
    let mut sluice = from(server, &begin, r"wide_utf8\..*", &[]);
    sluice.start();
    let records = topics::read_at_least(&sluice.bootstrap(), "all", 4);
    let rows: Vec<String> = records.iter().map(row).collect();
    let wanted = ["a", "b", "c", "d"].map(|table| format!("{table} é😀 é"));
    assert_eq!(rows, wanted);
    assert_eq!(
        records[0].json()["mysqlType"]["t"],
        reported_type(server, "wide_utf8", "a", "t").await
    );
    sluice.stop();
}

fn row(record: &Record) -> String {
    let message = record.json();
    let data = &message["data"][0];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    format!("{} {} {}", text(&message["table"]), text(&data["c"]), text(&data["v"]))
}

/// Letters beyond 16 bits are `?` in what servers show of labels: said, and the types' texts are
/// the same whether a table was read or followed.
#[tokio::test]
async fn labels_that_information_schema_lacks_are_said_and_followed_ones_are_whole_on_mysql() {
    if let Some(server) = servers::mysql() {
        labels(server).await;
    }
}

#[tokio::test]
async fn labels_that_information_schema_lacks_are_said_and_followed_ones_are_whole_on_mariadb() {
    if let Some(server) = servers::mariadb() {
        labels(server).await;
    }
}

async fn labels(server: &Server) {
    let mut source = server.database("lost_labels").await;
    let columns = "(id INT, e ENUM('😀','b','é') CHARACTER SET utf8mb4, \
                   s SET('😀','ü') CHARACTER SET utf8mb4)";
    run(&mut source, &format!("CREATE TABLE captured {columns}")).await;
    let begin = here(server).await;
    run(&mut source, &format!("CREATE TABLE followed {columns}")).await;
    run(&mut source, "INSERT INTO followed VALUES (1, 1, 3)").await;
    run(&mut source, "INSERT INTO captured VALUES (1, 1, 3)").await;
    let labels = [("sluice.format.enum", "label")];
    let mut sluice = from(server, &begin, r"lost_labels\..*", &labels);
    sluice.start();
    let records = topics::read_at_least(&sluice.bootstrap(), "all", 2);
    let [followed, captured] = [&records[0], &records[1]].map(topics::Record::json);
    assert_eq!(followed["data"][0]["e"], "😀", "{followed}");
    assert_eq!(followed["data"][0]["s"], "😀,ü", "{followed}");
    assert_eq!(followed["mysqlType"], captured["mysqlType"]);
    assert_eq!(captured["data"][0]["e"], "?", "{captured}");
    let said = sluice.said();
    for column in ["e", "s"] {
        let warned = said.lines().any(|line| {
            line.contains("lost_labels.captured")
                && line.contains("binlog_row_metadata = 'FULL'")
                && line.contains(&format!("column={column}"))
        });
        assert!(warned, "{column}: {said}");
    }
    sluice.stop();
}
