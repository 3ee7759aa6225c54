//! A transaction much larger than memory should hold.
//!
//! The short form has 100 MB; `SLUICE_LARGE_TRANSACTION_MB=1000` is the long one.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::harness::servers::{private_mysql, run};
use crate::harness::{Sluice, asked, say, topics};

const MEMORY: u64 = 128 << 20;
/// Bytes of a row, nearly all in one column.
const ROW: u64 = 10_000;
const ROWS_A_STATEMENT: u64 = 500;

#[tokio::test]
async fn a_large_transaction_appears_at_once_in_bounded_memory_while_others_go_on() {
    let Some(mysql) = private_mysql(&["--binlog-row-event-max-size=65536"]) else { return };
    let megabytes: u64 = asked::number_or("SLUICE_LARGE_TRANSACTION_MB", 100);
    let mut source = mysql.database("large").await;
    run(&mut source, "CREATE TABLE big (id INT AUTO_INCREMENT PRIMARY KEY, pad TEXT)").await;
    run(&mut source, "CREATE TABLE small (id INT AUTO_INCREMENT PRIMARY KEY)").await;
    let mut sluice = Sluice::new();
    sluice.instance("big", &mysql, &[("canal.instance.filter.regex", r"large\.big")]);
    sluice.instance("small", &mysql, &[("canal.instance.filter.regex", r"large\.small")]);
    sluice.start();

    // So that the topic is there.
    run(&mut source, "INSERT INTO big (pad) VALUES ('first')").await;
    let first = topics::read_at_least(&sluice.bootstrap(), "large.big", 1).len();
    assert_eq!(first, 1);
    let statements = megabytes * 1_000_000 / ROW / ROWS_A_STATEMENT;
    run(&mut source, "SET SESSION cte_max_recursion_depth = 100000; BEGIN").await;
    for _ in 0..statements {
        let insert = format!(
            "INSERT INTO big (pad) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
             WHERE i < {ROWS_A_STATEMENT}) SELECT REPEAT('x', {ROW}) FROM n"
        );
        run(&mut source, &insert).await;
    }
    run(&mut source, "COMMIT").await;

    let consumer: BaseConsumer = topics::client(&sluice.bootstrap());
    let end = |topic: &str| {
        consumer.fetch_watermarks(topic, 0, Duration::from_secs(10)).unwrap_or((0, 0)).1
    };
    let begun = Instant::now();
    let mut others = 0;
    while end("large.big") == 1 {
        assert!(begun.elapsed() < Duration::from_secs(60 + megabytes), "it never appeared");
        run(&mut source, "INSERT INTO small VALUES (NULL)").await;
        others += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    let at_once = end("large.big");
    say(&format!("{megabytes} MB appeared after {:?}", begun.elapsed()));
    let (memory, processor) = (sluice.peak_memory() >> 20, sluice.cpu_time());
    say(&format!("resident at most {memory} MB, {processor:?} of CPU"));
    let small = topics::read_at_least(&sluice.bootstrap(), "large.small", others);
    assert_eq!(small.len(), others, "the other instance went on");

    let mut rows = 0;
    let mut records = 0;
    for record in topics::read(&sluice.bootstrap(), "large.big") {
        rows += record.json()["data"].as_array().unwrap().len() as u64;
        records += 1;
    }
    assert_eq!(rows, 1 + statements * ROWS_A_STATEMENT);
    assert_eq!(at_once, records, "all of it appeared at once");
    assert!(sluice.peak_memory() < MEMORY, "resident: {} bytes", sluice.peak_memory());
}
