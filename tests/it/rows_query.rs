//! The statements that a server logs beside the rows (`binlog_rows_query_log_events`).

use crate::harness::servers::{mysql, run};
use crate::harness::{Sluice, topics};

#[tokio::test]
async fn a_statement_whose_foreign_keys_cascade_is_told_of_its_own_table() {
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
    let properties =
        [("canal.instance.filter.regex", r"cascade\..*"), ("canal.mq.topic", "cascade")];
    let mut sluice = Sluice::with_instance("cascade", mysql, &properties);
    sluice.start();
    run(&mut source, "SET SESSION binlog_rows_query_log_events = ON").await;
    run(&mut source, "DELETE FROM parent WHERE id = 1").await;
    run(&mut source, "UPDATE parent SET id = 3").await;
    run(&mut source, "INSERT INTO child VALUES (9, 3)").await;
    let records = topics::read_at_least(&sluice.bootstrap(), "cascade", 8);
    let told: Vec<String> = records
        .iter()
        .map(|record| {
            let message = record.json();
            let (kind, table) = (&message["type"], message["table"].as_str().unwrap());
            format!("{} {table}", kind.as_str().unwrap())
        })
        .collect();
    let statements: Vec<&String> = told.iter().filter(|one| one.starts_with("QUERY")).collect();
    assert_eq!(statements, ["QUERY parent", "QUERY parent", "QUERY child"], "{told:?}");
    assert!(told.contains(&"DELETE child".to_owned()), "the cascade is logged: {told:?}");
    sluice.stop();
}
