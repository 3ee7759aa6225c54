//! One table of each column type on the servers at both ends of what is promised: rows changed
//! before and behind a restart, and the definition changed while nobody listened, must be
//! published as the server reads them.

use super::workload::{Images, Published};
use super::{Step, What, compare, mark, messages};
use crate::harness::servers::{self, run};
use crate::harness::{Server, Sluice};

/// A type, and two values of it.
type Column = (&'static str, &'static str, &'static str);

const EVERYWHERE: &[Column] = &[
    ("TINYINT", "-128", "127"),
    ("TINYINT UNSIGNED", "0", "255"),
    ("BOOL", "0", "1"),
    ("SMALLINT", "-32768", "32767"),
    ("MEDIUMINT UNSIGNED", "0", "16777215"),
    ("INT", "-2147483648", "2147483647"),
    ("INT(6) UNSIGNED ZEROFILL", "7", "4294967295"),
    ("BIGINT", "-9223372036854775808", "9223372036854775807"),
    ("BIGINT UNSIGNED", "0", "18446744073709551615"),
    (
        "DECIMAL(65,30)",
        "-99999999999999999999999999999999999.5",
        "0.000000000000000000000000000001",
    ),
    ("FLOAT", "-1.5", "3.25e20"),
    ("DOUBLE", "-1e-300", "0.1"),
    ("BIT(1)", "b'0'", "b'1'"),
    ("BIT(64)", "0", "18446744073709551615"),
    ("DATE", "'1000-01-01'", "'9999-12-31'"),
    ("TIME", "'-838:59:59'", "'838:59:59'"),
    ("TIME(6)", "'-00:00:00.000001'", "'838:59:58.999999'"),
    ("DATETIME", "'1000-01-01 00:00:00'", "'9999-12-31 23:59:59'"),
    ("DATETIME(3)", "'2026-02-28 01:02:03.004'", "'1000-01-01 00:00:00.5'"),
    ("TIMESTAMP NULL", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'"),
    ("TIMESTAMP(6) NULL", "'1970-01-01 00:00:01.5'", "'2026-11-28 01:02:03.000004'"),
    ("YEAR", "1901", "2155"),
    ("CHAR(255)", "''", "'ä漢'"),
    ("VARCHAR(20) CHARACTER SET latin1", "'\u{fc}'", "'plain'"),
    ("VARCHAR(700)", "'x'", "REPEAT('y', 700)"),
    ("TINYTEXT", "''", "'Ωж'"),
    ("TEXT CHARACTER SET gbk", "'漢字'", "'b'"),
    ("MEDIUMTEXT", "'{}'", "REPEAT('z', 70000)"),
    ("LONGTEXT CHARACTER SET ucs2", "'a'", "'中文'"),
    ("BINARY(3)", "x'00'", "x'ff00ff'"),
    ("VARBINARY(300)", "x''", "x'80ff'"),
    ("TINYBLOB", "x'00'", "x'01ff'"),
    ("BLOB", "''", "x'c3a4'"),
    ("MEDIUMBLOB", "x'fe'", "REPEAT('q', 70000)"),
    ("LONGBLOB", "x'00'", "x'ff'"),
    ("ENUM('x','y''z','')", "'x'", "'y''z'"),
    ("SET('a','b','c d')", "''", "'a,c d'"),
    ("GEOMETRY", "POINT(1, 2)", "LineString(POINT(0, 0), POINT(1, -1))"),
    ("POINT", "POINT(0, 0)", "POINT(-1.5, 1e10)"),
    ("POLYGON", "NULL", "Polygon(LineString(POINT(0,0), POINT(0,1), POINT(1,1), POINT(0,0)))"),
    ("GEOMETRYCOLLECTION", "GeometryCollection(POINT(1, 1))", "NULL"),
];

const OF_NEW_MARIADB: &[Column] = &[
    ("JSON", "'{\"a\":1}'", "'[]'"),
    ("UUID", "'00000000-0000-0000-0000-000000000000'", "'6ccd780c-baba-1026-9564-5b8c656024db'"),
    ("INET4", "'0.0.0.0'", "'255.1.2.3'"),
    ("INET6", "'::'", "'2001:db8::ff00:42:8329'"),
    ("VARCHAR(300) COMPRESSED", "''", "REPEAT('abc', 90)"),
    ("BLOB COMPRESSED", "x'00'", "REPEAT('abc', 900)"),
];

#[tokio::test]
async fn each_type_of_mysql_5_6_is_published_as_the_server_reads_it() {
    if let Some(server) = servers::private_mysql_56(&["--character-set-server=utf8mb4"]) {
        follow(server, &[]).await;
    }
}

#[tokio::test]
async fn each_type_of_the_newest_mariadb_is_published_as_the_server_reads_it() {
    if let Some(server) = servers::private_newest_mariadb(&[]) {
        follow(server, OF_NEW_MARIADB).await;
    }
}

async fn follow(server: Server, own: &[Column]) {
    let mut source = server.database("types").await;
    run(&mut source, "SET NAMES utf8mb4").await;
    let columns: Vec<Column> = EVERYWHERE.iter().chain(own).copied().collect();
    // It is there before the first start, so that it is read from the server.
    run(&mut source, &create(&columns)).await;
    let one_topic = [("canal.mq.topic", "types"), ("canal.instance.filter.regex", r"types\..*")];
    let mut sluice = Sluice::with_instance("types", &server, &one_topic);
    sluice.start();
    let mut steps = Vec::new();
    run(&mut source, "CREATE TABLE marker (n INT PRIMARY KEY)").await;
    mark(&mut source, &mut steps, Vec::new(), What::Rows(Images::Full)).await;

    let first = [insert(&columns, |column| column.1), insert(&columns, |column| column.2)];
    rows(&mut source, &mut steps, &first).await;
    rows(&mut source, &mut steps, &[insert(&columns, |_| "NULL")]).await;
    sluice.stop();

    rows(&mut source, &mut steps, &["UPDATE every SET c0 = 1 WHERE id = 3".to_owned()]).await;
    let change = "ALTER TABLE every ADD later VARCHAR(9) DEFAULT 'new' AFTER id".to_owned();
    run(&mut source, &change).await;
    let published = Published {
        kind: "ALTER",
        table: "every".to_owned(),
        sql: Some(change.clone()),
        creates: false,
    };
    mark(&mut source, &mut steps, vec![change], What::Ddl(Some(published))).await;
    rows(&mut source, &mut steps, &["DELETE FROM every WHERE id = 1".to_owned()]).await;
    sluice.start();
    rows(&mut source, &mut steps, &first).await;
    rows(&mut source, &mut steps, &["UPDATE every SET later = 'x'".to_owned()]).await;

    compare(&messages(&sluice, "types", steps.len()), &steps);
    sluice.stop();
    drop(server);
}

async fn rows(source: &mut sqlx::MySqlConnection, steps: &mut Vec<Step>, statements: &[String]) {
    for statement in statements {
        run(source, statement).await;
    }
    mark(source, steps, statements.to_vec(), What::Rows(Images::Full)).await;
}

fn create(columns: &[Column]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(number, column)| format!("c{number} {}", column.0))
        .collect();
    format!("CREATE TABLE every (id INT AUTO_INCREMENT PRIMARY KEY, {})", columns.join(", "))
}

fn insert(columns: &[Column], value: impl Fn(&Column) -> &'static str) -> String {
    let names: Vec<String> = (0..columns.len()).map(|number| format!("c{number}")).collect();
    let values: Vec<&str> = columns.iter().map(value).collect();
    format!("INSERT INTO every ({}) VALUES ({})", names.join(", "), values.join(", "))
}
