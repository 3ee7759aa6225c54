//! How fast a backlog drains into a real Apache Kafka, by the real binary, beside a bare producer.
//!
//! `cargo bench --bench cluster` fetches and starts a MySQL server and a Kafka of one node (by
//! Maven; a JDK 17 and mvn are needed; 1 GB of heap), fills the binlog as `--bench backlog` does,
//! and measures, in turn, `SLUICE_BENCH_RUNS` times (3) with the medians printed:
//! - *drained*: from the start of `sluice` until `/health` says that all rows are committed in the
//!   cluster, in transactions with their positions;
//! - *our log*: the same into the bundled log, every byte of which is synced;
//! - *sent*: the very messages that lie in the topic then, sent once more by a bare producer
//!   (librdkafka, to which all three loads are bytes) that waits for all replicas but commits no
//!   transactions.
//!
//! All run on the same cores as server and Kafka. The targets are for two cores that nobody else
//! uses, with less than 128 MB resident.
//!
//! `SLUICE_BENCH_ROWS`, `SLUICE_BENCH_TRANSACTIONS`, `SLUICE_BENCH_MIXED` (rows of 26 columns)
//! change the sizes.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark prints, reads the environment, writes files of its own, and may panic"
)]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/harness/mod.rs"]
mod harness;
#[expect(dead_code, reason = "the other benchmark of backlogs uses the rest")]
mod loads;

use std::time::{Duration, Instant};

use harness::asked::number_or;
use harness::kafka::fast_kafka;
use harness::{Kafka, Record, Server, Sluice};
use loads::{Drained, Load, drain, middle, prepare, prepare_mixed, report};
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use sqlx::MySqlConnection;

const LIMIT: Duration = Duration::from_mins(5);

fn main() {
    let loads = [
        Load::bulk(number_or("SLUICE_BENCH_ROWS", 1_000_000), 284_000),
        Load::mixed(number_or("SLUICE_BENCH_MIXED", 200_000), 190_000),
        Load::singles(number_or("SLUICE_BENCH_TRANSACTIONS", 200_000), 100_000),
    ];
    let runs = number_or("SLUICE_BENCH_RUNS", 3);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (Some(server), Some(kafka)) = (loads::server(), fast_kafka()) else { return };
    runtime.block_on(async {
        let mut source = server.database("bench").await;
        prepare(&mut source).await;
        prepare_mixed(&mut source).await;
        // What the first run pays for, a JVM that has compiled nothing yet, is not ours.
        let warm = Load::bulk(200_000, 284_000);
        measure(&server, &kafka, &mut source, &warm, ("warm", 1)).await;
        for (number, load) in loads.iter().enumerate() {
            measure(&server, &kafka, &mut source, load, (&format!("load{number}"), runs)).await;
        }
    });
}

/// Fills a backlog, drains it in each way in turn, and prints what that took.
async fn measure(
    server: &Server,
    kafka: &Kafka,
    source: &mut MySqlConnection,
    load: &Load,
    (name, runs): (&str, u64),
) {
    let Load { what, rows, target, .. } = load;
    println!("\n{rows} {what}, to drain at {target} a second: filling");
    let topic = |run: u64| format!("{name}.{run}");
    let mut homes: Vec<_> = (0..runs)
        .map(|run| (started(server, Some(kafka), &topic(run)), started(server, None, &topic(run))))
        .collect();
    let (_, bytes) = loads::fill(source, load).await;
    let (mut drained, mut logged, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    let mut messages = Vec::new();
    for (run, (into_cluster, into_log)) in (0..).zip(&mut homes) {
        drained.push(drain(into_cluster, *rows));
        logged.push(drain(into_log, *rows));
        if messages.is_empty() {
            messages = kafka.read(&topic(run));
        }
        let copy = format!("{name}.sent.{run}");
        kafka.configure(&copy, "retention.ms", "-1").await;
        sent.push(send(kafka, &copy, &messages));
    }
    let (drained, logged) = (Drained::median(&drained), Drained::median(&logged));
    let sent = middle(sent).unwrap();
    drained.report("drained", *rows, bytes);
    logged.report("our log", *rows, bytes);
    report("sent", *rows, messages.iter().map(|one| one.value.len() as u64).sum(), sent);
    println!(
        "            {} messages; drained in {:.2} times as long as into our log, {:.2} times as long \
         as sent, {:.2} times as long as both one after the other",
        messages.len(),
        drained.took.div_duration_f64(logged.took),
        drained.took.div_duration_f64(sent),
        drained.took.div_duration_f64(logged.took + sent),
    );
}

/// A home whose instance, named by its topic, has begun here, and stopped.
fn started(server: &Server, kafka: Option<&Kafka>, topic: &str) -> Sluice {
    let properties = [("canal.instance.filter.regex", r"bench\..*"), ("canal.mq.topic", topic)];
    let mut sluice = Sluice::with_instance(&topic.replace('.', "-"), server, &properties);
    if let Some(kafka) = kafka {
        sluice.use_cluster(kafka);
    }
    sluice.start();
    sluice.stop();
    sluice
}

/// How long a bare producer needs for these messages.
fn send(kafka: &Kafka, topic: &str, messages: &[Record]) -> Duration {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("acks", "all")
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .create()
        .unwrap();
    let begun = Instant::now();
    for message in messages {
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
        for (key, value) in &message.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut record = BaseRecord::to(topic).payload(&message.value).headers(headers);
        if let Some(key) = &message.key {
            record = record.key(key);
        }
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            producer.poll(Duration::from_millis(1));
            record = back;
        }
    }
    producer.flush(LIMIT).unwrap();
    begun.elapsed()
}
