//! Compressed transactions and large events: damaged on the way, and larger than memory.
//!
//! `SLUICE_FLIPS=500` damages so many, `SLUICE_INFLATED_MB=1000` and `SLUICE_LARGE_EVENT_MB=900`
//! are the long forms of the others.

use std::fmt::Write as _;
use std::time::Duration;

use crate::harness::proxy::{Events, Fault, Proxy};
use crate::harness::servers::{private_mysql, run};
use crate::harness::{PATIENCE, Random, Record, Sluice, asked, say, topics, wait_for};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn a_flipped_bit_of_a_compressed_transaction_is_never_visible_and_it_is_read_again() {
    let Some(mysql) = private_mysql(&["--binlog-transaction-compression=ON"]) else { return };
    let mut source = mysql.database("flips").await;
    run(&mut source, "CREATE TABLE a (id INT PRIMARY KEY, t INT, x TEXT)").await;
    run(&mut source, "CREATE TABLE b (id INT PRIMARY KEY, t INT, x LONGTEXT)").await;
    let proxy = Proxy::to(&mysql);
    let mut sluice = Sluice::with_instance(
        "flips",
        &mysql,
        &[
            ("canal.instance.master.address", &proxy.address()),
            ("canal.instance.master.sslMode", "DISABLED"),
            ("canal.instance.filter.regex", r"flips\..*"),
            ("canal.mq.topic", "flips"),
        ],
    );
    sluice.start();

    let flips = asked::number_or("SLUICE_FLIPS", 20);
    let mut random = Random::seeded("SLUICE_FLIPS_SEED");
    let mut expected = Vec::new();
    for flip in 0..flips {
        let thousandths = random.place(1000);
        let bit = u8::try_from(random.below(8)).unwrap();
        proxy.set(Fault::Flip { of: Events::Payloads, thousandths, bit });
        // Each fourth is handed over in several chunks.
        let large = if flip % 4 == 3 { "REPEAT(HEX(RANDOM_BYTES(500)), 4000)" } else { "'x'" };
        let text = format!("text {}", random.bits());
        run(
            &mut source,
            &format!(
                "BEGIN; INSERT INTO a VALUES ({0}, {flip}, '{text}'), ({1}, {flip}, '{text}');
                 SAVEPOINT s; INSERT INTO b VALUES ({1}, {flip}, 'no'); ROLLBACK TO s;
                 INSERT INTO b VALUES ({0}, {flip}, {large}); UPDATE a SET x = 'new' WHERE id = {0};
                 DELETE FROM a WHERE id = {1}; COMMIT",
                2 * flip,
                2 * flip + 1
            ),
        )
        .await;
        let (first, second) = (2 * flip, 2 * flip + 1);
        expected.push(format!("INSERT a {first}={text} {second}={text}"));
        expected.push(format!("INSERT b {first}"));
        expected.push(format!("UPDATE a {first}=new"));
        expected.push(format!("DELETE a {second}={text}"));
        let records = topics::read_at_least(&sluice.bootstrap(), "flips", expected.len());
        let seen: Vec<String> = records.iter().map(words).collect();
        assert_eq!(seen, expected, "with bit {bit} flipped at {thousandths}/1000");
        assert_eq!(proxy.fault(), Fault::None, "nothing was flipped");
    }
    let said = sluice.said();
    let notes = |words: &str| said.matches(words).count();
    let begun = notes("begins at the source's current end");
    assert_eq!(notes("binlog_row_metadata is not FULL"), begun, "said once, not at each reconnect");
    let retries = notes("trying again");
    assert!(retries as u64 >= flips / 2, "only {retries} of the flips were noticed");
    sluice.stop();
}

/// What came of a compressed transaction is not proved before its last byte: until then no position
/// behind it is committed, however long that takes, be it of tables that are filtered or not.
#[tokio::test]
async fn no_position_behind_a_compressed_transaction_is_committed_before_it_is_proved() {
    let Some(mysql) = private_mysql(&["--binlog-transaction-compression=ON"]) else { return };
    let mut source = mysql.database("stalls").await;
    for table in ["t", "filtered"] {
        run(&mut source, &format!("CREATE TABLE {table} (id INT PRIMARY KEY, x TEXT)")).await;
    }
    let proxy = Proxy::to(&mysql);
    let mut sluice = Sluice::with_instance(
        "stalls",
        &mysql,
        &[
            ("canal.instance.master.address", &proxy.address()),
            ("canal.instance.master.sslMode", "DISABLED"),
            ("canal.instance.filter.regex", r"stalls\.t"),
        ],
    );
    sluice.start();
    run(&mut source, "INSERT INTO t VALUES (0, '')").await;
    topics::read_at_least(&sluice.bootstrap(), "stalls.t", 1);
    let mut wanted = vec!["0".to_owned()];
    for (round, (table, bytes)) in
        [("filtered", 2), ("t", 2), ("filtered", 40), ("t", 40)].into_iter().enumerate()
    {
        // Moves the position at some time.
        run(&mut source, &format!("INSERT INTO filtered VALUES ({}, '')", 2 * round)).await;
        let status = sqlx::raw_sql("SHOW BINARY LOG STATUS").fetch_one(&mut source).await.unwrap();
        let before: u64 = sqlx::Row::get(&status, 1);
        proxy.set(Fault::Stall { bytes, pause: Duration::from_secs(3) });
        let id = 2 * round + 1;
        run(&mut source, &format!("INSERT INTO {table} VALUES ({id}, REPEAT('x', 1000))")).await;
        std::thread::sleep(Duration::from_millis(2500));
        assert_ne!(proxy.fault(), Fault::None, "it is not here yet");
        let reached = offset(&sluice);
        assert!(reached <= before, "{table}: {reached}, and the transaction begins at {before}");
        if table == "t" {
            wanted.push(id.to_string());
        }
        wait_for("the position behind it", PATIENCE, || (offset(&sluice) > before).then_some(()));
        assert!(sluice.said().matches("trying again").count() > round, "{}", sluice.said());
    }
    let records = topics::read_at_least(&sluice.bootstrap(), "stalls.t", wanted.len());
    let ids: Vec<_> = records.iter().map(|one| one.json()["data"][0]["id"].clone()).collect();
    assert_eq!(ids, wanted);
    sluice.stop();
}

fn offset(sluice: &Sluice) -> u64 {
    let (_, body) = sluice.health().expect("it runs");
    let health: serde_json::Value = serde_json::from_str(&body).unwrap();
    health["instances"][0]["progress"]["position"]["offset"].as_u64().unwrap_or_default()
}

/// Type, table and rows of a message: of `a` with the text.
fn words(record: &Record) -> String {
    let message = record.json();
    let table = message["table"].as_str().unwrap();
    let mut words = format!("{} {table}", message["type"].as_str().unwrap());
    for row in message["data"].as_array().unwrap() {
        let _ = write!(words, " {}", row["id"].as_str().unwrap());
        if table == "a" {
            let _ = write!(words, "={}", row["x"].as_str().unwrap());
        }
    }
    words
}

#[tokio::test]
async fn a_payload_of_kilobytes_that_inflates_to_megabytes_takes_no_more_memory_than_its_events() {
    let Some(mysql) = private_mysql(&["--binlog-transaction-compression=ON"]) else { return };
    let megabytes: u64 = asked::number_or("SLUICE_INFLATED_MB", 300);
    let mut source = mysql.database("inflated").await;
    run(&mut source, "CREATE TABLE t (id INT, x LONGTEXT) ENGINE=BLACKHOLE").await;
    let filter = ("canal.instance.filter.regex", r"inflated\..*");
    let mut sluice = Sluice::with_instance("inflated", &mysql, &[filter]);
    sluice.start();
    run(
        &mut source,
        &format!(
            "SET SESSION cte_max_recursion_depth = 100000;
             INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
             WHERE i < {megabytes}) SELECT i, REPEAT('x', 1000000) FROM n"
        ),
    )
    .await;
    run(&mut source, "SET SESSION binlog_transaction_compression = OFF").await;
    run(&mut source, "INSERT INTO t VALUES (0, 'end')").await;
    let end = usize::try_from(megabytes).unwrap() + 1;
    let records = topics::read_at_least(&sluice.bootstrap(), "inflated.t", end);
    assert_eq!(records.len(), end, "a message for each event of a row");
    let memory = sluice.peak_memory();
    say(&format!("{megabytes} MB inflated, resident at most {} MB", memory / MIB));
    assert!(memory < 128 * MIB, "resident: {memory} bytes");
    sluice.stop();
}

#[tokio::test]
async fn an_event_of_hundreds_of_megabytes_takes_the_memory_of_one_event() {
    let Some(mysql) = private_mysql(&["--max-allowed-packet=1073741824"]) else { return };
    let megabytes: u64 = asked::number_or("SLUICE_LARGE_EVENT_MB", 200);
    let mut source = mysql.database("events").await;
    run(&mut source, "CREATE TABLE t (id INT, x LONGTEXT) ENGINE=BLACKHOLE").await;
    for compression in ["OFF", "ON"] {
        let mut sluice = Sluice::with_instance(
            "events",
            &mysql,
            &[
                ("canal.instance.filter.regex", r"events\..*"),
                // A message of that size is none for a topic.
                ("canal.instance.filter.black.field", "events.t:x"),
            ],
        );
        sluice.start();
        run(&mut source, &format!("SET SESSION binlog_transaction_compression = {compression}"))
            .await;
        run(&mut source, &format!("INSERT INTO t VALUES (1, REPEAT('x', {megabytes}000000))"))
            .await;
        let records = topics::read_at_least(&sluice.bootstrap(), "events.t", 1);
        assert_eq!(records[0].json()["data"][0]["id"], "1");
        let memory = sluice.peak_memory();
        say(&format!(
            "an event of {megabytes} MB, compression {compression}: resident at most {} MB",
            memory / MIB
        ));
        assert!(memory < megabytes * 1_000_000 + 128 * MIB, "resident: {memory} bytes");
        sluice.stop();
    }
}
