//! Text columns that were made under a default character set of their database which nobody knows, as
//! behind a begin before which the database was made: they keep it, whatever becomes of the database's
//! default, and of the table's name. The judge is `information_schema`.

use sqlx::Row as _;

use crate::harness::message::Message;
use crate::harness::servers::{self, here, run};
use crate::harness::{Sluice, topics};

/// What happens to table `t` of database `d`, whose default is binary, before rows come; `e` is another
/// database. And where they come.
const CASES: &[(&str, &str)] = &[
    ("ALTER DATABASE d CHARACTER SET latin1", "d.t"),
    ("ALTER DATABASE d CHARACTER SET latin1; ALTER TABLE d.t ADD w INT", "d.t"),
    ("RENAME TABLE d.t TO e.t", "e.t"),
    ("ALTER TABLE d.t RENAME TO e.t2", "e.t2"),
    ("CREATE TABLE e.l LIKE d.t", "e.l"),
    ("CREATE TABLE d.l LIKE d.t; ALTER DATABASE d CHARACTER SET ascii", "d.l"),
    ("CREATE TABLE e.p LIKE d.t; RENAME TABLE e.p TO d.p", "d.p"),
    ("ALTER TABLE d.t ADD w INT", "d.t"),
    (
        " CREATE TABLE d.n (id INT PRIMARY KEY); ALTER DATABASE d CHARACTER SET latin1; \
         ALTER TABLE d.n ADD a MEDIUMTEXT",
        "d.n",
    ),
];

#[tokio::test]
async fn text_columns_keep_a_default_that_is_not_known() {
    let all = [
        servers::private_mysql(&["--binlog-row-metadata=MINIMAL"]),
        servers::private_mariadb(&["--binlog-row-metadata=NO_LOG"]),
    ];
    for server in all.into_iter().flatten() {
        let mut admin = server.connect().await;
        for index in 0..CASES.len() {
            let made = format!(
                "CREATE DATABASE d{index} CHARACTER SET binary; \
                 CREATE DATABASE e{index} CHARACTER SET utf8mb4"
            );
            run(&mut admin, &made).await;
        }
        let (file, offset) = here(&server).await;
        let offset = offset.to_string();
        let mut expected = Vec::new();
        for (index, (what, table)) in CASES.iter().enumerate() {
            let numbered = |text: &str| {
                text.replace(" d.", &format!(" d{index}."))
                    .replace(" e.", &format!(" e{index}."))
                    .replace("DATABASE d ", &format!("DATABASE d{index} "))
            };
            let made = " CREATE TABLE d.t (id INT PRIMARY KEY, a MEDIUMTEXT, b CHAR(3))";
            run(&mut admin, &numbered(made)).await;
            run(&mut admin, &numbered(what)).await;
            run(&mut admin, &numbered(&format!("INSERT INTO {table} (id) VALUES (1)"))).await;
            let name = numbered(&format!(" {table}"));
            let (schema, name) = name.trim().split_once('.').unwrap();
            let columns = format!(
                "SELECT CAST(CONCAT(column_name, ' ', column_type) AS CHAR) \
                 FROM information_schema.columns \
                 WHERE table_schema = '{schema}' AND table_name = '{name}' ORDER BY ordinal_position"
            );
            let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(columns)).fetch_all(&mut admin).await;
            let types: Vec<String> = rows.unwrap().iter().map(|row| row.get(0)).collect();
            expected.push((*what, types));
        }
        let properties = [
            ("canal.instance.filter.regex", r"[de][0-9]\..*"),
            ("canal.mq.topic", "charsets"),
            ("canal.instance.filter.query.ddl", "true"),
            ("canal.instance.master.journal.name", file.as_str()),
            ("canal.instance.master.position", offset.as_str()),
        ];
        let mut sluice = Sluice::with_instance("charsets", &server, &properties);
        sluice.start();
        let records = topics::read_at_least(&sluice.bootstrap(), "charsets", expected.len());
        for (record, (what, types)) in records.iter().zip(&expected) {
            let message: Message = serde_json::from_str(&record.value).unwrap();
            let found: Vec<String> = message
                .mysql_type
                .iter()
                .flat_map(|types| &types.0)
                .map(|(name, text)| format!("{name} {text}"))
                .collect();
            assert_eq!(found, *types, "{:?}: {what}", server.flavor);
        }
        sluice.stop();
    }
}
