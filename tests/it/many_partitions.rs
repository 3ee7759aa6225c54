//! Thousands of partitions with records: a start is ready at once, behind a clean stop and behind
//! kill -9, nothing is warned of, and little memory is needed.
//!
//! `SLUICE_MANY_PARTITIONS` says how many (300); with it the times are judged too, which are those of
//! a release build: `SLUICE_MANY_BINARY` names it. All figures are printed.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::harness::{PATIENCE, Sluice, say, topics};

/// The partitions lie in so many topics.
const TOPICS: i32 = 3;

/// How long a start takes until `/health` says that all is well.
fn ready(sluice: &mut Sluice, what: &str, limit: Option<Duration>) {
    let began = Instant::now();
    sluice.launch();
    while !matches!(sluice.health(), Some((200, _))) {
        assert!(began.elapsed() < PATIENCE, "{what}: not ready");
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = began.elapsed();
    let memory = sluice.resident_memory();
    say(&format!("ready {what} in {took:?}, {} MiB resident", memory >> 20));
    assert!(memory < 64 << 20, "{memory} bytes resident {what}");
    if let Some(limit) = limit {
        assert!(took < limit, "ready {what} in {took:?}");
    }
}

fn warns_of_nothing(sluice: &Sluice, what: &str) {
    let said = sluice.said();
    let warning = said.lines().find(|line| line.contains("WARN") || line.contains("ERROR"));
    assert_eq!(warning, None, "{what}");
}

/// Sends a record to each partition of these topics, and waits until all are acknowledged.
fn produce(sluice: &Sluice, names: &[String], each: i32) -> Duration {
    let mut settings = topics::settings(&sluice.bootstrap());
    settings.set("acks", "all").set("linger.ms", "5").set("message.timeout.ms", "120000");
    let producer: BaseProducer = settings.create().unwrap();
    for name in names {
        producer.client().fetch_metadata(Some(name), PATIENCE).unwrap();
    }
    let began = Instant::now();
    for name in names {
        for partition in 0..each {
            let record = BaseRecord::<(), _>::to(name).partition(partition).payload("a record");
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
    }
    producer.flush(PATIENCE).unwrap();
    began.elapsed()
}

fn each_holds(sluice: &Sluice, names: &[String], each: i32, count: i64) {
    let consumer: BaseConsumer = topics::client(&sluice.bootstrap());
    for name in names {
        for partition in 0..each {
            let ends = consumer.fetch_watermarks(name, partition, PATIENCE).unwrap();
            assert_eq!(ends, (0, count), "{name}-{partition}");
        }
    }
}

/// A bare write and sync of 4 KiB, the median of some.
fn bare_sync(folder: &Path) -> Duration {
    let file = File::create(folder.join("bare")).unwrap();
    let mut times: Vec<Duration> = (0..50)
        .map(|n| {
            file.write_all_at(&[b'x'; 4096], n % 8 * 4096).unwrap();
            let began = Instant::now();
            file.sync_data().unwrap();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test]
async fn a_start_with_thousands_of_partitions_is_ready_at_once() {
    let asked = std::env::var("SLUICE_MANY_PARTITIONS").ok();
    let partitions: i32 = asked.as_ref().map_or(300, |count| count.parse().unwrap());
    let limit = |millis| asked.as_ref().map(|_| Duration::from_millis(millis));
    let each = partitions / TOPICS;
    let mut sluice = Sluice::new();
    if let Some(binary) = std::env::var_os("SLUICE_MANY_BINARY") {
        sluice.binary = PathBuf::from(binary);
    }
    ready(&mut sluice, "with nothing", None);
    let admin: AdminClient<DefaultClientContext> = topics::client(&sluice.bootstrap());
    let names: Vec<String> = (0..TOPICS).map(|n| format!("many-{n}")).collect();
    for name in &names {
        let new = NewTopic::new(name, each, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        admin.create_topics([&new], &options).await.unwrap()[0].as_ref().unwrap();
    }
    let first = produce(&sluice, &names[..1], each);
    let bare = bare_sync(&sluice.folder("."));
    say(&format!(
        "a first record to each of {each} new partitions: {first:?}; a bare sync: {bare:?}"
    ));
    produce(&sluice, &names[1..], each);
    stop(&mut sluice, "with new partitions");
    ready(&mut sluice, "behind a clean stop", limit(200));
    each_holds(&sluice, &names, each, 1);
    stop(&mut sluice, "that changed nothing");
    ready(&mut sluice, "behind a stop that changed nothing", limit(200));
    produce(&sluice, &names, each);
    sluice.kill();
    ready(&mut sluice, "behind a kill", limit(3000));
    each_holds(&sluice, &names, each, 2);
    produce(&sluice, &names, each);
    stop(&mut sluice, "with all partitions changed");
    ready(&mut sluice, "behind that", limit(200));
    each_holds(&sluice, &names, each, 3);
    stop(&mut sluice, "at the end");
}

fn stop(sluice: &mut Sluice, what: &str) {
    let memory = sluice.resident_memory();
    let began = Instant::now();
    sluice.stop();
    say(&format!("a stop {what} took {:?}, {} MiB resident before", began.elapsed(), memory >> 20));
    warns_of_nothing(sluice, what);
}
