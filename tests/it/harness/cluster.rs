//! A real Apache Kafka of three nodes, each broker and controller, of which a test kills some.
//!
//! In: which node is to end, or to come back. Out: what clients of the cluster see. Always: every
//! topic, Kafka's own included, has three copies, and takes records only while two of them are in
//! sync; a node that is gone is missed after some seconds.

use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::protocol::StrBytes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::MetadataTopic;
use tempfile::TempDir;

use super::kafka::{self, is_wanted, launch, program};
use super::process::{self, Process};
use super::wire::Client;
use super::{PATIENCE, Record, topics, wait_for};

const NODES: usize = 3;
/// Little memory for each, and what starts fast.
const JVM: &str = "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1";
/// How long one question may take.
const ASK: Duration = Duration::from_secs(10);

/// See the head of this file.
pub(crate) struct Cluster {
    folder: TempDir,
    ports: [u16; NODES],
    processes: Mutex<[Option<Process>; NODES]>,
}

/// A cluster of the test's own; `None`, said aloud, if the caller chose to go without.
pub(crate) fn three_nodes() -> Option<Cluster> {
    is_wanted().then(Cluster::new)
}

impl Cluster {
    fn new() -> Self {
        let folder = TempDir::with_prefix("sluice-cluster-").unwrap();
        let (ports, controllers) = (
            [(); NODES].map(|()| process::free_port()),
            [(); NODES].map(|()| process::free_port()),
        );
        let voters: Vec<String> = (1..)
            .zip(controllers)
            .map(|(id, controller)| format!("{id}@127.0.0.1:{controller}"))
            .collect();
        let new = Self { folder, ports, processes: Mutex::default() };
        let formats: Vec<_> = (0..NODES)
            .map(|node| {
                let (port, controller) = (ports[node], controllers[node]);
                let folder = new.folder(node);
                std::fs::create_dir(&folder).unwrap();
                let properties = format!(
                    "process.roles=broker,controller\nnode.id={}\n\
                     controller.quorum.voters={}\n\
                     listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
                     advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
                     log.dirs={}\n{PROPERTIES}",
                    node + 1,
                    voters.join(","),
                    folder.join("data").display(),
                );
                std::fs::write(folder.join("server.properties"), properties).unwrap();
                let mut format = Command::new(program());
                format.args(["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg"]);
                format.arg("-c").arg(folder.join("server.properties")).env("KAFKA_JVM", JVM);
                format.stdout(std::process::Stdio::null()).spawn().unwrap()
            })
            .collect();
        for mut format in formats {
            assert!(format.wait().unwrap().success(), "the directory of a node is not made");
        }
        for node in 0..NODES {
            new.launch(node);
        }
        new.until_all_are_there();
        new
    }

    fn folder(&self, node: usize) -> std::path::PathBuf {
        self.folder.path().join(node.to_string())
    }

    /// Starts a node that does not run, and does not wait for it.
    pub(crate) fn launch(&self, node: usize) {
        let process = launch("a node of Kafka", &self.folder(node), JVM);
        let before = self.processes.lock().unwrap()[node].replace(process);
        assert!(before.is_none(), "it runs already");
    }

    /// kill -9.
    pub(crate) fn kill(&self, node: usize) {
        self.processes.lock().unwrap()[node].take().expect("it runs").kill();
    }

    /// Where clients connect.
    pub(crate) fn bootstrap(&self) -> String {
        self.ports.map(|port| format!("127.0.0.1:{port}")).join(",")
    }

    /// The address of a node.
    pub(crate) fn address(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.ports[node])
    }

    fn client(&self) -> BaseConsumer {
        topics::client(&self.bootstrap())
    }

    /// Waits until all nodes are there, and all copies of all partitions in sync.
    pub(crate) fn until_all_are_there(&self) {
        wait_for("all copies in sync", PATIENCE, || {
            let metadata = self.client().fetch_metadata(None, ASK).ok()?;
            let mut partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            let all = partitions.all(|one| one.isr().len() == NODES && one.leader() > 0);
            (all && metadata.brokers().len() == NODES).then_some(())
        });
    }

    /// The node that leads the first partition of a topic.
    pub(crate) fn leader(&self, topic: &str) -> usize {
        wait_for("a leader", PATIENCE, || {
            let metadata = self.client().fetch_metadata(Some(topic), ASK).ok()?;
            let leader = metadata.topics().first()?.partitions().first()?.leader();
            usize::try_from(leader - 1).ok()
        })
    }

    /// The node that coordinates the transactions of an id.
    pub(crate) async fn coordinator(&self, transactional_id: &str) -> usize {
        let request = FindCoordinatorRequest::default()
            .with_key(StrBytes::from_string(transactional_id.to_owned()))
            .with_key_type(1);
        for _ in 0..100 {
            let answer = Client::connect(&self.address(0)).await.ask(2, &request).await;
            if answer.error_code == 0 {
                return usize::try_from(answer.node_id.0 - 1).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("nobody coordinates the transactions of {transactional_id}");
    }

    /// What a `read_committed` consumer sees of a topic now.
    pub(crate) fn read(&self, topic: &str) -> Vec<Record> {
        kafka::read(&self.bootstrap(), topic)
    }

    /// The partitions in which an open transaction hides something, as Kafka's consumers see it.
    pub(crate) fn hidden(&self) -> Vec<String> {
        let reader = |isolation: &str| -> BaseConsumer {
            let mut settings = topics::settings(&self.bootstrap());
            settings.set("isolation.level", isolation).create().unwrap()
        };
        let (committed, all) = (reader("read_committed"), reader("read_uncommitted"));
        let metadata = all.fetch_metadata(None, PATIENCE).unwrap();
        let mut hidden = Vec::new();
        for topic in metadata.topics() {
            for partition in topic.partitions() {
                let end = |consumer: &BaseConsumer| {
                    consumer.fetch_watermarks(topic.name(), partition.id(), PATIENCE).unwrap().1
                };
                let (stable, end) = (end(&committed), end(&all));
                if stable < end {
                    hidden.push(format!("{}-{}: {stable} of {end}", topic.name(), partition.id()));
                }
            }
        }
        hidden
    }

    /// What `kafka-transactions.sh` says of all transactions: a line for each, with its state.
    pub(crate) fn transactions(&self) -> String {
        let mut list = Command::new(program());
        list.arg("org.apache.kafka.tools.TransactionsCommand").env("KAFKA_JVM", JVM);
        let output = list.args(["--bootstrap-server", &self.bootstrap(), "list"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// What the nodes have in common. A node that is gone is missed soon, and little memory is enough.
const PROPERTIES: &str = "\
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=3
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
auto.create.topics.enable=false
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=2
background.threads=2
";
