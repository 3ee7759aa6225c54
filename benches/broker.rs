//! The bundled broker beside a real Apache Kafka 4.3: the same client (librdkafka) against both.
//!
//! `cargo bench --bench broker` fetches Kafka by Maven (a JDK 17 and mvn are needed) and starts
//! three brokers on this machine: ours, Kafka as it comes, and Kafka with
//! `log.flush.interval.messages=1`, which syncs each append as ours always does. Each measurement
//! is taken of all three in turn, `SLUICE_BENCH_RUNS` times (3), and the medians are printed:
//! - producing and consuming records of 100 B and 1 KB, over 1, 12, 100 and 1,000 partitions,
//! - many small producers, each of which waits for every record,
//! - the time from a producer to a consumer at 1,000 records a second, beside that of a bare
//!   write and sync of 4 KiB at the same pace,
//! - resident memory behind all that, and the time from the start of the process to the first
//!   answer.
//!
//! `SLUICE_BENCH_BYTES` (64 MB) is how much is produced for each measurement,
//! `SLUICE_BENCH_PARTITIONS` (1,12,100,1000) to how many partitions, `SLUICE_BENCH_PRODUCERS` (50)
//! and `SLUICE_BENCH_SECONDS` (10) are the sizes of the others. `SLUICE_BENCH_BINARY` measures
//! another binary of ours.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, reads the environment, writes files of its own, and may panic"
)]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/harness/mod.rs"]
mod harness;

use std::fmt::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::asked::number_or;
use harness::process;
use harness::{Sluice, kafka};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_mins(5);

/// A broker that is measured.
struct Broker {
    what: &'static str,
    address: String,
    start: Duration,
    memory: Box<dyn Fn() -> u64>,
}

/// What one measurement gave, by broker.
type Row = Vec<Vec<f64>>;

fn main() {
    let bytes = number_or("SLUICE_BENCH_BYTES", 64_000_000);
    let runs = number_or("SLUICE_BENCH_RUNS", 3);
    let producers = number_or("SLUICE_BENCH_PRODUCERS", 50);
    let seconds = number_or("SLUICE_BENCH_SECONDS", 10);
    let partitions = std::env::var("SLUICE_BENCH_PARTITIONS");
    let partitions: Vec<i32> = partitions
        .as_deref()
        .unwrap_or("1,12,100,1000")
        .split(',')
        .map(|count| count.trim().parse().unwrap())
        .collect();

    let ours = start_ours();
    let brokers = [
        ours,
        start_kafka("Kafka", ""),
        start_kafka("Kafka, synced", "log.flush.interval.messages=1\n"),
    ];
    let names: Vec<&str> = brokers.iter().map(|broker| broker.what).collect();
    println!("{:<44} {:>14} {:>14} {:>14}", "", names[0], names[1], names[2]);
    show("start to first answer, s", &one_each(&brokers, |one| vec![one.start.as_secs_f64()]), 2);
    let mut topic = 0;
    for record in [100, 1000] {
        for count in &partitions {
            let records = bytes / record;
            let (mut produced, mut consumed) = (Row::new(), Row::new());
            for _ in 0..runs {
                topic += 1;
                let name = format!("bench-{topic}");
                let measured = brokers.iter().map(|broker| {
                    make_topic(&broker.address, &name, *count);
                    let produce = produce(&broker.address, &name, *count, records, record);
                    (produce, consume(&broker.address, &name, *count, records))
                });
                let (produce, consume) = measured.unzip();
                produced.push(produce);
                consumed.push(consume);
            }
            let what = |verb: &str| format!("{verb}, {record} B, {count} partitions, MB/s");
            show(&what("produce"), &produced, 1);
            show(&what("consume"), &consumed, 1);
        }
    }
    let mut small = Row::new();
    for _ in 0..runs {
        topic += 1;
        let name = format!("bench-{topic}");
        small.push(
            brokers
                .iter()
                .map(|broker| {
                    make_topic(&broker.address, &name, 12);
                    small_producers(&broker.address, &name, producers)
                })
                .collect(),
        );
    }
    show(&format!("{producers} producers that wait, records/s"), &small, 0);
    topic += 1;
    let name = format!("bench-{topic}");
    let times: Vec<[f64; 2]> = brokers
        .iter()
        .map(|broker| {
            make_topic(&broker.address, &name, 1);
            latency(&broker.address, &name, seconds)
        })
        .collect();
    for (place, what) in ["p50", "p99"].iter().enumerate() {
        let row = times.iter().map(|times| times[place]).collect();
        show(&format!("end to end at 1,000/s, {what}, ms"), &vec![row], 2);
    }
    let [p50, p99] = bare_syncs(seconds);
    println!("a bare write and sync of 4 KiB: p50 {p50:.2} ms, p99 {p99:.2} ms");
    show("resident memory, MB", &one_each(&brokers, |one| vec![(one.memory)() as f64 / 1e6]), 0);
}

fn one_each(brokers: &[Broker], measure: impl Fn(&Broker) -> Vec<f64>) -> Row {
    vec![brokers.iter().flat_map(measure).collect()]
}

/// Prints the medians of the runs.
fn show(what: &str, runs: &Row, digits: usize) {
    let mut line = format!("{what:<44}");
    for broker in 0..runs[0].len() {
        let mut values: Vec<f64> = runs.iter().map(|run| run[broker]).collect();
        values.sort_unstable_by(f64::total_cmp);
        write!(line, " {:>14.digits$}", values[values.len() / 2]).unwrap();
    }
    println!("{line}");
}

fn start_ours() -> Broker {
    let mut sluice = Sluice::new();
    if let Some(binary) = std::env::var_os("SLUICE_BENCH_BINARY") {
        sluice.binary = PathBuf::from(binary);
    }
    let began = Instant::now();
    sluice.launch();
    let address = sluice.bootstrap();
    let start = until_it_answers(&address, began);
    Broker { what: "sluice", address, start, memory: Box::new(move || sluice.resident_memory()) }
}

/// A broker of Kafka of one node in a folder of its own, with a heap of 1 GB.
fn start_kafka(what: &'static str, more: &str) -> Broker {
    const JVM: &str = "-Xmx1g";
    let folder = TempDir::with_prefix("kafka-").unwrap();
    let (port, controller) = (process::free_port(), process::free_port());
    let data = folder.path().join("data");
    let properties = format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\noffsets.topic.replication.factor=1\n{more}",
        data.display()
    );
    kafka::format(folder.path(), &properties, JVM, &[]);
    let began = Instant::now();
    let process = kafka::launch(what, folder.path(), JVM);
    let address = format!("127.0.0.1:{port}");
    let start = until_it_answers(&address, began);
    let memory = move || {
        let _ = &folder;
        process.resident_memory()
    };
    Broker { what, address, start, memory: Box::new(memory) }
}

fn client(address: &str, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address).set("log_level", "0");
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config
}

fn until_it_answers(address: &str, began: Instant) -> Duration {
    while std::net::TcpStream::connect(address).is_err() {
        assert!(began.elapsed() < LIMIT, "{address} does not answer");
        std::thread::sleep(Duration::from_millis(2));
    }
    let consumer: BaseConsumer = client(address, &[]).create().unwrap();
    while consumer.fetch_metadata(None, Duration::from_secs(5)).is_err() {
        assert!(began.elapsed() < LIMIT, "{address} does not answer");
    }
    began.elapsed()
}

fn make_topic(address: &str, name: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = client(address, &[]).create().unwrap();
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    runtime.block_on(admin.create_topics([&topic], &options)).unwrap()[0].as_ref().unwrap();
    // Its partitions have leaders a moment later.
    let consumer: BaseConsumer = client(address, &[]).create().unwrap();
    let began = Instant::now();
    loop {
        let metadata = consumer.fetch_metadata(Some(name), LIMIT).unwrap();
        let found = metadata.topics()[0].partitions();
        let led = found.iter().filter(|one| one.leader() >= 0 && one.error().is_none()).count();
        if led == usize::try_from(partitions).unwrap() {
            return;
        }
        assert!(began.elapsed() < LIMIT, "{name} has no leaders");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Bytes of values a second, in MB.
fn produce(address: &str, topic: &str, partitions: i32, records: u64, size: u64) -> f64 {
    let settings =
        [("acks", "all"), ("linger.ms", "5"), ("queue.buffering.max.messages", "200000")];
    let producer: BaseProducer = client(address, &settings).create().unwrap();
    let value = vec![b'x'; usize::try_from(size).unwrap()];
    let began = Instant::now();
    for number in 0..records {
        let partition = i32::try_from(number % u64::from(partitions.unsigned_abs())).unwrap();
        let mut record = BaseRecord::<(), _>::to(topic).partition(partition).payload(&value);
        while let Err((error, back)) = producer.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert_eq!(error, full, "{error}");
            producer.poll(Duration::from_millis(5));
            record = back;
        }
        if number % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(LIMIT).unwrap();
    mb(records * size, began)
}

fn mb(bytes: u64, began: Instant) -> f64 {
    bytes as f64 / 1e6 / began.elapsed().as_secs_f64()
}

fn consumer(address: &str, topic: &str, partitions: i32, from: Offset) -> BaseConsumer {
    let settings = [("group.id", "bench"), ("enable.auto.commit", "false")];
    let consumer: BaseConsumer = client(address, &settings).create().unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic, partition, from).unwrap();
    }
    consumer.assign(&all).unwrap();
    consumer
}

fn consume(address: &str, topic: &str, partitions: i32, records: u64) -> f64 {
    let consumer = consumer(address, topic, partitions, Offset::Beginning);
    let began = Instant::now();
    let (mut read, mut bytes) = (0, 0);
    while read < records {
        assert!(began.elapsed() < LIMIT, "{read} of {records} records came");
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        bytes += u64::try_from(message.unwrap().payload_len()).unwrap();
        read += 1;
    }
    mb(bytes, began)
}

/// Records a second of producers that each wait for the answer to every record.
fn small_producers(address: &str, topic: &str, producers: u64) -> f64 {
    const EACH: u64 = 100;
    let began = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..producers {
            scope.spawn(move || {
                let settings = [("acks", "all"), ("linger.ms", "0")];
                let producer: BaseProducer = client(address, &settings).create().unwrap();
                for _ in 0..EACH {
                    let record = BaseRecord::<(), _>::to(topic)
                        .partition(i32::try_from(number % 12).unwrap())
                        .payload(&[b'x'; 100]);
                    producer.send(record).map_err(|(error, _)| error).unwrap();
                    producer.flush(LIMIT).unwrap();
                }
            });
        }
    });
    (producers * EACH) as f64 / began.elapsed().as_secs_f64()
}

/// p50 and p99, in milliseconds, of the time from before a record is handed to its producer to
/// when it came out of a consumer.
fn latency(address: &str, topic: &str, seconds: u64) -> [f64; 2] {
    let records = seconds * 1000;
    let begun = Instant::now();
    let consumer = consumer(address, topic, 1, Offset::Beginning);
    let reading = std::thread::spawn(move || {
        let mut times = Vec::new();
        while times.len() < usize::try_from(records).unwrap() {
            assert!(begun.elapsed() < LIMIT, "only {} records came", times.len());
            let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
            let message = message.unwrap();
            let sent = u64::from_le_bytes(message.payload().unwrap()[..8].try_into().unwrap());
            let took = begun.elapsed().saturating_sub(Duration::from_nanos(sent));
            times.push(took.as_secs_f64() * 1e3);
        }
        times
    });
    let settings = [("acks", "all"), ("linger.ms", "0")];
    let producer: BaseProducer = client(address, &settings).create().unwrap();
    let mut value = [b'x'; 100];
    let first = begun.elapsed() + Duration::from_millis(500);
    for number in 0..records {
        let due = first + Duration::from_millis(number);
        while begun.elapsed() < due {
            producer.poll(due.saturating_sub(begun.elapsed()).min(Duration::from_millis(1)));
        }
        let now = u64::try_from(begun.elapsed().as_nanos()).unwrap();
        value[..8].copy_from_slice(&now.to_le_bytes());
        let record = BaseRecord::<(), _>::to(topic).partition(0).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    percentiles(reading.join().unwrap())
}

fn percentiles(mut times: Vec<f64>) -> [f64; 2] {
    times.sort_unstable_by(f64::total_cmp);
    [50, 99].map(|percent| times[(times.len() * percent / 100).min(times.len() - 1)])
}

/// What a write of 4 KiB into a file that is there already, and its sync, take here.
fn bare_syncs(seconds: u64) -> [f64; 2] {
    let folder = TempDir::with_prefix("sluice-sync-").unwrap();
    let file = std::fs::File::create(folder.path().join("file")).unwrap();
    file.write_all_at(&vec![0; 4 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let mut times = Vec::new();
    let began = Instant::now();
    for number in 0..seconds * 1000 {
        let due = Duration::from_millis(number);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let once = Instant::now();
        file.write_all_at(&[1; 4096], (number % 1024) * 4096).unwrap();
        file.sync_data().unwrap();
        times.push(once.elapsed().as_secs_f64() * 1e3);
        if began.elapsed() > Duration::from_secs(2 * seconds) {
            break;
        }
    }
    percentiles(times)
}
