//! A real Apache Kafka of one node: broker and controller in one process, from Maven's jars.
//!
//! `tests/servers/fetch-kafka.sh` unpacks it into `target/servers`; `SLUICE_TEST_SERVERS=none`
//! goes without, and each test that wants one says that it was not run. A node starts in some ten
//! seconds: tests share one, but for those that kill it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;

use super::gate::Gate;
use super::process::{self, Process};
use super::{PATIENCE, Record, say, topics, wait_for};

/// A node, and the process that runs it, if one does.
pub(crate) struct Kafka {
    folder: TempDir,
    port: u16,
    jvm: &'static str,
    /// Another way to it, for those that use no other.
    gate: Gate,
    process: Mutex<Option<Process>>,
}

/// The node that the tests of this binary share; `None`, said aloud, if the caller chose to go
/// without.
pub(crate) fn kafka() -> Option<&'static Kafka> {
    static SHARED: OnceLock<Option<Kafka>> = OnceLock::new();
    SHARED.get_or_init(|| private_kafka("")).as_ref()
}

/// A node of the test's own, with more lines of its server.properties, which it may kill.
pub(crate) fn private_kafka(more: &str) -> Option<Kafka> {
    is_wanted().then(|| Kafka::new(more, JVM))
}

/// A node with a heap of 1 GB, as compiled as the JVM can: to measure with.
#[allow(dead_code, reason = "for the benchmarks")]
pub(crate) fn fast_kafka() -> Option<Kafka> {
    is_wanted().then(|| Kafka::new("", "-Xmx1g"))
}

/// Whether tests run with Kafka; said aloud, if the caller chose to go without.
pub(crate) fn is_wanted() -> bool {
    let goes_without = std::env::var("SLUICE_TEST_SERVERS").is_ok_and(|word| word == "none");
    if goes_without {
        say("NOT RUN: it needs Apache Kafka, and SLUICE_TEST_SERVERS=none");
    }
    !goes_without
}

/// Makes the directory of a node: its server.properties, and what `more` of Kafka's own arguments
/// asks for.
pub(crate) fn format(folder: &Path, properties: &str, jvm: &str, more: &[String]) {
    let file = folder.join("server.properties");
    std::fs::write(&file, properties).unwrap();
    let mut format = Command::new(program());
    format.args(["kafka.tools.StorageTool", "format", "--standalone", "-t"]);
    format.args(["MkU3OEVBNTcwNTJENDM2Qg", "-c"]).arg(&file).args(more).env("KAFKA_JVM", jvm);
    let output = format.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Starts the node of a directory that was made.
pub(crate) fn launch(name: &str, folder: &Path, jvm: &str) -> Process {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = process::command(&program());
    command.env("KAFKA_JVM", jvm).arg("kafka.Kafka").arg(folder.join("server.properties"));
    command.stdout(log.try_clone().unwrap()).stderr(log);
    Process::start(name, command)
}

/// Waits until a node answers there.
pub(crate) fn until_it_answers(bootstrap: &str) {
    let consumer: BaseConsumer = topics::client(bootstrap);
    let answers = || consumer.fetch_metadata(None, Duration::from_secs(1)).ok().map(drop);
    wait_for("Kafka to answer", PATIENCE, answers);
}

/// All records of a topic that a `read_committed` consumer sees now; of a topic that is not
/// there, none. Within a partition in offset order, partitions one after the other.
pub(crate) fn read(bootstrap: &str, topic: &str) -> Vec<Record> {
    let mut settings = topics::settings(bootstrap);
    settings.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
    let consumer: BaseConsumer = settings.create().unwrap();
    let metadata = consumer.fetch_metadata(None, PATIENCE).unwrap();
    let found = metadata.topics().iter().find(|one| one.name() == topic);
    let Some(found) = found else { return Vec::new() };
    let mut assignment = TopicPartitionList::new();
    let mut records: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
    for partition in found.partitions() {
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
        records.insert(partition.id(), Vec::new());
    }
    consumer.assign(&assignment).unwrap();
    // By offsets no end is to be recognised: what ends a transaction takes one, too.
    let mut open: BTreeSet<i32> = records.keys().copied().collect();
    let begun = Instant::now();
    while !open.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{topic} is not read to its end");
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(message)) => {
                records.get_mut(&message.partition()).unwrap().push(Record::of(&message));
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            // The node may be on its way up.
            Some(Err(_)) | None => {}
        }
    }
    records.into_values().flatten().collect()
}

impl Kafka {
    fn new(more: &str, jvm: &'static str) -> Self {
        let folder = TempDir::with_prefix("sluice-kafka-").unwrap();
        let (port, controller) = (process::free_port(), process::free_port());
        let far = process::free_port();
        let gate = Gate::to(far);
        let gate_port = gate.port();
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},\
             FAR://127.0.0.1:{far}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port},\
             CONTROLLER://127.0.0.1:{controller},FAR://127.0.0.1:{gate_port}\n\
             inter.broker.listener.name=PLAINTEXT\ncontroller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,FAR:PLAINTEXT\n\
             log.dirs={}\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=1\ngroup.initial.rebalance.delay.ms=0\n\
             group.min.session.timeout.ms=500\n\
             auto.create.topics.enable=false\n{more}",
            folder.path().join("data").display()
        );
        format(folder.path(), &properties, jvm, &[]);
        let new = Self { folder, port, jvm, gate, process: Mutex::new(None) };
        new.start();
        new
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn start(&self) {
        let mut process = self.process.lock().unwrap();
        assert!(process.is_none(), "it runs already");
        *process = Some(launch("Kafka", self.folder.path(), self.jvm));
        drop(process);
        until_it_answers(&self.bootstrap());
    }

    /// kill -9.
    pub(crate) fn kill(&self) {
        self.process.lock().unwrap().take().expect("it runs").kill();
    }

    /// Where clients connect.
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What those have to pass that are to be cut off: they begin at its port, and are told no
    /// other.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// As [`read`], of this node.
    pub(crate) fn read(&self, topic: &str) -> Vec<Record> {
        read(&self.bootstrap(), topic)
    }

    /// Sets a setting of a topic, which has no other of its own; the topic is made if it is not
    /// there.
    pub(crate) async fn configure(&self, topic: &str, key: &str, value: &str) {
        let admin: AdminClient<DefaultClientContext> = topics::client(&self.bootstrap());
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1)).set(key, value);
        let made = admin.create_topics([&new], &options).await.unwrap();
        if let Err((_, code)) = &made[0] {
            assert_eq!(*code, RDKafkaErrorCode::TopicAlreadyExists);
            let changed = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(key, value);
            admin.alter_configs([&changed], &options).await.unwrap()[0].as_ref().unwrap();
        }
    }

    /// Has somebody else write a record into the first partition of a topic.
    pub(crate) fn produce(&self, topic: &str, value: &str) {
        let producer: BaseProducer = topics::client(&self.bootstrap());
        let record = BaseRecord::<(), str>::to(topic).partition(0).payload(value);
        producer.send(record).unwrap();
        producer.flush(PATIENCE).unwrap();
    }

    /// A setting of a topic.
    pub(crate) async fn setting(&self, topic: &str, key: &str) -> String {
        let admin: AdminClient<DefaultClientContext> = topics::client(&self.bootstrap());
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let described = admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options).await;
        let described = described.unwrap().pop().unwrap().unwrap();
        described.get(key).unwrap().value.clone().unwrap()
    }

    /// Where the first partition of a topic ends, what is not committed included.
    pub(crate) fn end(&self, topic: &str) -> i64 {
        let mut settings = topics::settings(&self.bootstrap());
        settings.set("isolation.level", "read_uncommitted");
        let consumer: BaseConsumer = settings.create().unwrap();
        consumer.fetch_watermarks(topic, 0, PATIENCE).unwrap().1
    }

    /// Reads a topic until it holds `count` records or more.
    pub(crate) fn read_at_least(&self, topic: &str, count: usize) -> Vec<Record> {
        wait_for(&format!("{count} records in {topic}"), PATIENCE, || {
            let records = self.read(topic);
            (records.len() >= count).then_some(records)
        })
    }
}

/// What starts fast, and takes little.
const JVM: &str = "-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1";

/// Runs a class of Kafka's; fetched now if it is not there.
pub(super) fn program() -> PathBuf {
    static FETCHED: OnceLock<PathBuf> = OnceLock::new();
    let home = FETCHED.get_or_init(|| {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("servers/kafka");
        if !home.join(".complete").exists() {
            say(&format!("fetching Apache Kafka into {}", home.display()));
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/fetch-kafka.sh");
            let output = Command::new(script).arg(&home).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "Apache Kafka cannot be had: {said}");
        }
        home
    });
    home.join("bin/kafka-run")
}
