//! What a Kafka client (librdkafka) reads of topics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::metadata::MetadataPartition;
use rdkafka::{Offset, TopicPartitionList};

const ANSWER: Duration = Duration::from_secs(30);

/// A record as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: String,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Record {
    /// Takes a message over.
    pub(crate) fn of(message: &BorrowedMessage<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().unwrap_or(-1),
            key: message.key().map(<[u8]>::to_vec),
            value: text(message.payload().unwrap_or_default()),
            headers: headers
                .map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default())))
                .collect(),
        }
    }

    /// The value as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.value)
            .unwrap_or_else(|error| panic!("{error} in {}", self.value))
    }
}

/// The settings of a client of that broker.
pub(crate) fn settings(bootstrap: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("reconnect.backoff.max.ms", "200")
        .set("fetch.wait.max.ms", "50")
        .set("log_level", "2");
    settings
}

/// A client of that broker.
pub(crate) fn client<C: FromClientConfig>(bootstrap: &str) -> C {
    settings(bootstrap).create().unwrap()
}

/// The topics that clients see, internal ones left out, with their partition counts.
pub(crate) fn list(bootstrap: &str) -> BTreeMap<String, usize> {
    let consumer: BaseConsumer = client(bootstrap);
    let metadata = consumer.fetch_metadata(None, ANSWER).unwrap();
    let all = metadata.topics().iter().map(|topic| (topic.name(), topic.partitions().len()));
    all.filter(|(name, _)| !name.starts_with("__"))
        .map(|(name, partitions)| (name.to_owned(), partitions))
        .collect()
}

/// All records of a topic, from its beginning to the end it has now; of a topic that is not
/// there, none. Within a partition in offset order, partitions one after the other.
pub(crate) fn read(bootstrap: &str, topic: &str) -> Vec<Record> {
    read_all(bootstrap, &[topic]).remove(topic).unwrap_or_default()
}

/// As [`read`], of several topics, by their names; those without records are left out.
pub(crate) fn read_all(bootstrap: &str, topics: &[&str]) -> BTreeMap<String, Vec<Record>> {
    let consumer: BaseConsumer = client(bootstrap);
    let metadata = consumer.fetch_metadata(None, ANSWER).unwrap();
    let mut assignment = TopicPartitionList::new();
    // Where each partition that has records ends, by topic and number, and what was read of it.
    let mut ends = BTreeMap::new();
    let mut found: BTreeMap<(String, i32), Vec<Record>> = BTreeMap::new();
    for topic in metadata.topics().iter().filter(|one| topics.contains(&one.name())) {
        for partition in topic.partitions().iter().map(MetadataPartition::id) {
            let name = topic.name();
            let (low, high) = consumer.fetch_watermarks(name, partition, ANSWER).unwrap();
            if low < high {
                let low = Offset::Offset(low);
                assignment.add_partition_offset(name, partition, low).unwrap();
                ends.insert((name.to_owned(), partition), high);
            }
        }
    }
    consumer.assign(&assignment).unwrap();
    let begun = Instant::now();
    while !ends.is_empty() {
        assert!(begun.elapsed() < 10 * ANSWER, "these do not go on to their ends: {ends:?}");
        let Some(message) = consumer.poll(ANSWER) else { continue };
        let message = match message {
            Ok(message) => message,
            // It is on its way back.
            Err(error) if is_of_connection(&error) => continue,
            Err(error) => panic!("{error}"),
        };
        let record = Record::of(&message);
        let partition = (record.topic.clone(), record.partition);
        // What came behind the end since is not asked for.
        let Some(high) = ends.get(&partition) else { continue };
        if record.offset + 1 >= *high {
            ends.remove(&partition);
        }
        found.entry(partition).or_default().push(record);
    }
    let mut all: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for ((topic, _), records) in found {
        all.entry(topic).or_default().extend(records);
    }
    all
}

/// Reads a topic until it holds `count` records or more.
pub(crate) fn read_at_least(bootstrap: &str, topic: &str, count: usize) -> Vec<Record> {
    let begun = Instant::now();
    loop {
        let records = read(bootstrap, topic);
        if records.len() >= count {
            return records;
        }
        assert!(
            begun.elapsed() < super::PATIENCE,
            "{topic} holds {} records, {count} were awaited: {:#?}",
            records.len(),
            records.iter().map(|record| &record.value).collect::<Vec<_>>(),
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a client reports that it has no connection, which it makes again by itself.
fn is_of_connection(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure)
    )
}
