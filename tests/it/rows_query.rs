//! The statements that a server logs beside the rows (`binlog_rows_query_log_events`).

use crate::harness::servers::{mysql, run};
use crate::harness::{Record, Sluice, topics};

#[tokio::test]
async fn a_statement_whose_foreign_keys_cascade_is_sent_for_its_own_table() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("cascade").await;
    run(
        &mut source,
        "CREATE TABLE parent (id INT PRIMARY KEY);
         CREATE TABLE child (id INT, p INT, KEY (p), FOREIGN KEY (p) REFERENCES parent (id)
         ON DELETE CASCADE ON UPDATE CASCADE);
         INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (7, 1), (8, 2)",
    )
    .await;
    let properties = [
        ("canal.instance.filter.regex", r"cascade\..*"),
        ("canal.mq.topic", "cascade"),
        // Of other tests.
        ("canal.instance.filter.query.ddl", "true"),
        ("canal.instance.filter.query.dcl", "true"),
    ];
    let mut sluice = Sluice::with_instance("cascade", mysql, &properties);
    sluice.start();
    run(&mut source, "SET SESSION binlog_rows_query_log_events = ON").await;
    run(&mut source, "DELETE FROM parent WHERE id = 1").await;
    run(&mut source, "UPDATE parent SET id = 3").await;
    run(&mut source, "INSERT INTO child VALUES (9, 3)").await;
    let records = topics::read_at_least(&sluice.bootstrap(), "cascade", 8);
    let sent: Vec<String> = records
        .iter()
        .map(|record| {
            let message = record.json();
            let (kind, table) = (&message["type"], message["table"].as_str().unwrap());
            format!("{} {table}", kind.as_str().unwrap())
        })
        .collect();
    let statements: Vec<&String> = sent.iter().filter(|one| one.starts_with("QUERY")).collect();
    assert_eq!(statements, ["QUERY parent", "QUERY parent", "QUERY child"], "{sent:?}");
    assert!(sent.contains(&"DELETE child".to_owned()), "the cascade is logged: {sent:?}");
    sluice.stop();
}

/// The event does not say in what character set its text is: the BEGIN before it does.
#[tokio::test]
async fn a_statement_beside_rows_is_read_in_the_character_set_of_its_client() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("clients").await;
    run(&mut source, "CREATE TABLE t (v VARCHAR(20) CHARACTER SET utf8mb4)").await;
    let properties = [
        ("canal.instance.filter.regex", r"clients\..*"),
        ("canal.mq.topic", "clients"),
        // Of other tests.
        ("canal.instance.filter.query.ddl", "true"),
        ("canal.instance.filter.query.dcl", "true"),
    ];
    let mut sluice = Sluice::with_instance("clients", mysql, &properties);
    sluice.start();
    let begins = [
        ("BEGIN", "COMMIT"),
        ("XA START 'clients'", "XA END 'clients'; XA COMMIT 'clients' ONE PHASE"),
    ];
    let mut expected = Vec::new();
    for (compressed, (begin, end)) in [(0, begins[0]), (0, begins[1]), (1, begins[0])] {
        for (charset, bytes, text) in [
            ("latin1", &b"caf\xe9"[..], "caf\u{e9}"),
            ("gbk", b"\xd6\xd0\xce\xc4", "\u{4e2d}\u{6587}"),
            ("utf8mb4", "\u{1f600}".as_bytes(), "\u{1f600}"),
            ("sjis", b"\x83\x65", "\u{30c6}"),
        ] {
            let before = format!(
                "SET SESSION binlog_transaction_compression = {compressed};
                 SET SESSION binlog_rows_query_log_events = ON; SET NAMES {charset}; {begin};
                 INSERT INTO t VALUES ('"
            );
            let behind = format!("'); {end};");
            mysql.mysql_client("clients", &[before.as_bytes(), bytes, behind.as_bytes()].concat());
            expected.push(format!("INSERT INTO t VALUES ('{text}')"));
        }
    }
    let records = topics::read_at_least(&sluice.bootstrap(), "clients", 2 * expected.len());
    let messages: Vec<serde_json::Value> = records.iter().map(Record::json).collect();
    let statements = messages.iter().filter(|message| message["type"] == "QUERY");
    let texts: Vec<&str> = statements.map(|message| message["sql"].as_str().unwrap()).collect();
    assert_eq!(texts, expected);
    sluice.stop();
}
