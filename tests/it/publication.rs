//! Rows of a real server reach a Kafka client, and go on after a crash.

use crate::harness::servers::run;
use crate::harness::{self, Sluice, topics};

#[tokio::test]
async fn an_insert_reaches_its_topic_as_canal_json() {
    let Some(mysql) = harness::servers::mysql() else { return };
    let mut source = mysql.database("bigdata").await;
    run(&mut source, "CREATE TABLE test (id INT PRIMARY KEY, name VARCHAR(20))").await;
    let mut sluice =
        Sluice::with_instance("example", mysql, &[("canal.instance.filter.regex", "bigdata\\..*")]);
    sluice.start();

    run(&mut source, "INSERT INTO test VALUES (1, 'one')").await;

    let records = topics::read_at_least(&sluice.bootstrap(), "bigdata.test", 1);
    assert_eq!(records.len(), 1, "{records:#?}");
    let json = records[0].json();
    assert_eq!(json["type"], "INSERT");
    assert_eq!(json["data"], serde_json::json!([{"id": "1", "name": "one"}]));
    assert_eq!(records[0].key, None);
    assert_eq!(records[0].headers["tx"], "0/end");
    assert!(records[0].headers["binlog"].starts_with("binlog."), "{records:#?}");
}
