//! The broker over a real disk and real sockets, judged by librdkafka: producing, reading,
//! groups, administration, and bytes that would kill a careless decoder.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use crate::harness::PATIENCE;
use crate::harness::node;

/// A broker, and the runtime it lives on.
struct Node {
    runtime: tokio::runtime::Runtime,
    node: node::Node,
}

impl Node {
    fn start(folder: &Path) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let node = runtime.block_on(node::Node::start(folder));
        Self { runtime, node }
    }

    fn stop(self) {
        self.runtime.block_on(self.node.stop());
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.node.address);
        config
    }

    fn produce(&self, topic: &str, settings: &[(&str, &str)], values: &[&str]) {
        let mut config = self.config();
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let producer: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
        for value in values {
            let header = || Header { key: "h", value: Some(*value) };
            let headers = OwnedHeaders::new().insert(header()).insert(header());
            let record = BaseRecord::to(topic).key("k").payload(*value).headers(headers);
            producer.send(record).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        assert_eq!(producer.in_flight_count(), 0);
    }

    fn consumer(&self, group: &str) -> BaseConsumer {
        self.config()
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("session.timeout.ms", "6000")
            .set("enable.partition.eof", "false")
            .create()
            .unwrap()
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }
}

/// Polls until `count` records came; their values.
fn take(consumer: &BaseConsumer, count: usize) -> Vec<String> {
    let begun = std::time::Instant::now();
    let mut values = Vec::new();
    while values.len() < count {
        assert!(begun.elapsed() < PATIENCE, "only {} of {count} came: {values:?}", values.len());
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.unwrap();
        values.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
    }
    values
}

#[test]
fn every_compression_and_idempotence_comes_back_in_order_with_its_headers() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("codec-{codec}");
        let settings = [("compression.codec", codec), ("enable.idempotence", "true")];
        let values: Vec<String> = (0..500).map(|n| format!("value {n}")).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        node.produce(&topic, &settings, &values);
        let consumer = node.consumer(&format!("reads-{codec}"));
        consumer.subscribe(&[&topic]).unwrap();
        let message = loop {
            if let Some(message) = consumer.poll(PATIENCE) {
                break message.unwrap();
            }
        };
        let headers = message.headers().unwrap();
        assert_eq!(headers.count(), 2, "headers of one name are both kept");
        assert_eq!(headers.get(1).key, "h");
        assert_eq!(message.payload(), Some(&b"value 0"[..]));
        drop(message);
        assert_eq!(take(&consumer, 499), values[1..]);
    }
    node.stop();
}

#[test]
fn an_offset_is_found_by_time_inside_a_batch_of_every_compression() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("codec-{codec}");
        let mut config = node.config();
        config.set("compression.codec", codec).set("linger.ms", "300");
        let producer: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
        for n in 0..500 {
            let record = BaseRecord::<str, str>::to(&topic).partition(0).payload("same for all");
            producer.send(record.timestamp(1_000_000 + n)).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        let consumer = node.consumer("asks");
        let offset_at = |time: i64| {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, 0, Offset::Offset(time)).unwrap();
            let found = consumer.offsets_for_times(list, PATIENCE).unwrap();
            found.elements()[0].offset()
        };
        assert_eq!(offset_at(1_000_250), Offset::Offset(250), "{codec}");
        assert_eq!(offset_at(1_000_500), Offset::End, "{codec}");
    }
    node.stop();
}

#[test]
fn committed_offsets_outlive_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    node.produce("t", &[], &["a", "b", "c"]);
    let consumer = node.consumer("g");
    consumer.subscribe(&["t"]).unwrap();
    assert_eq!(take(&consumer, 3), ["a", "b", "c"]);
    // The lists hold on to the client's partitions: a consumer dropped before them hangs.
    let partition = {
        let position = consumer.position().unwrap();
        let read = |place: &TopicPartitionListElem<'_>| place.offset() != Offset::Invalid;
        position.elements().into_iter().find(read).unwrap().partition()
    };
    let place = || {
        let mut list = TopicPartitionList::new();
        let mut line = list.add_partition("t", partition);
        line.set_offset(Offset::Offset(2)).unwrap();
        line.set_metadata("remember this");
        list
    };
    consumer.commit(&place(), CommitMode::Sync).unwrap();
    drop(consumer);
    node.stop();

    let node = Node::start(folder.path());
    let consumer = node.consumer("g");
    {
        let committed = consumer.committed_offsets(place(), PATIENCE).unwrap();
        let line = &committed.elements()[0];
        assert_eq!((line.offset(), line.metadata()), (Offset::Offset(2), "remember this"));
    }
    consumer.subscribe(&["t"]).unwrap();
    assert_eq!(take(&consumer, 1), ["c"]);
    drop(consumer);
    node.stop();
}

#[test]
fn two_members_share_the_partitions_and_one_that_goes_leaves_its_share() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    node.produce("t", &[], &["seed"]);
    let (one, two) = (node.consumer("g"), node.consumer("g"));
    one.subscribe(&["t"]).unwrap();
    two.subscribe(&["t"]).unwrap();
    let shares = |consumers: &[&BaseConsumer]| -> Vec<usize> {
        let share = |consumer: &&BaseConsumer| {
            consumer.poll(Duration::from_millis(50));
            consumer.assignment().unwrap().count()
        };
        consumers.iter().map(share).collect()
    };
    let wait = |what: &[usize], consumers: &[&BaseConsumer]| {
        let begun = std::time::Instant::now();
        loop {
            let now = shares(consumers);
            if now == what {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "shares are {now:?}, not {what:?}");
        }
    };
    wait(&[2, 2], &[&one, &two]);
    let groups = one.fetch_group_list(Some("g"), PATIENCE).unwrap();
    assert_eq!((groups.groups()[0].state(), groups.groups()[0].members().len()), ("Stable", 2));
    two.unsubscribe();
    wait(&[4], &[&one]);
    drop((one, two));
    node.stop();
}

#[test]
fn topics_are_made_grown_configured_and_deleted_by_an_admin_client() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let admin = node.admin();
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    node.runtime.block_on(async {
        let new = NewTopic::new("t", 2, TopicReplication::Fixed(1)).set("retention.ms", "1000");
        let many = NewTopic::new("u", 2, TopicReplication::Fixed(3));
        let made = admin.create_topics(&[new, many], &options).await.unwrap();
        assert!(made[0].is_ok());
        let refused = made[1].as_ref().unwrap_err();
        assert_eq!(refused.1, rdkafka::types::RDKafkaErrorCode::InvalidReplicationFactor);
        let grown = admin.create_partitions(&[NewPartitions::new("t", 5)], &options).await.unwrap();
        assert!(grown[0].is_ok());
        let broker = ResourceSpecifier::Broker(1);
        let asked = [ResourceSpecifier::Topic("t"), broker];
        let configs = admin.describe_configs(&asked, &options).await.unwrap();
        let topic = configs[0].as_ref().unwrap();
        let retention = topic.get("retention.ms").unwrap();
        assert_eq!((retention.value.as_deref(), retention.is_default), (Some("1000"), false));
        assert!(topic.get("cleanup.policy").unwrap().is_default);
        let broker = configs[1].as_ref().unwrap();
        assert_eq!(broker.get("auto.create.topics.enable").unwrap().value.as_deref(), Some("true"));
        let topics = |consumer: &BaseConsumer| -> BTreeSet<(String, usize)> {
            let metadata = consumer.fetch_metadata(None, PATIENCE).unwrap();
            let topics = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
            topics.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect()
        };
        let consumer = node.consumer("g");
        assert_eq!(topics(&consumer), BTreeSet::from([("t".to_owned(), 5)]));
        assert!(admin.delete_topics(&["t"], &options).await.unwrap()[0].is_ok());
        assert_eq!(topics(&consumer), BTreeSet::new());
        let deleted = admin.delete_topics(&["t"], &options).await.unwrap();
        assert!(deleted[0].is_err());
    });
    drop(admin);
    node.stop();
}

/// Array lengths for which kafka-protocol 0.18 reserves 155 to 309 GB (upstream #152): with
/// the allocator of the program they are an error of their connection.
#[test]
fn hostile_array_lengths_end_their_connection_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let header = |key: u8, version: u8| vec![0, key, 0, version, 0, 0, 0, 1, 0xff, 0xff];
    let metadata_1 = [header(3, 1), vec![0x7f, 0xff, 0xff, 0xff]].concat();
    let metadata_9 = [header(3, 9), vec![0], vec![0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
    let produce_3 =
        [header(0, 3), vec![0xff, 0xff, 0, 1, 0, 0, 0, 9], vec![0x7f, 0xff, 0xff, 0xff]].concat();
    for hostile in [metadata_1, metadata_9, produce_3] {
        let mut socket = TcpStream::connect(&node.node.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = u32::try_from(hostile.len()).unwrap().to_be_bytes();
        socket.write_all(&[&length[..], &hostile].concat()).unwrap();
        assert_eq!(socket.read(&mut [0; 1]).unwrap(), 0, "closed without an answer");
    }
    node.produce("t", &[], &["still there"]);
    node.stop();
}
