//! What an open sink has, and what of it is written and read.
//!
//! In: parts, state records. Out: records of the open Kafka transaction; and of the instance's own
//! topics, what they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use tokio::sync::mpsc;

use super::Error;
use super::producer::{Producer, Record};
use super::reader::{Reader, key_and_value};
use super::topics::{Internal, Topics};
use crate::change::{StateRecord, StateTopic};
use crate::sink::branches::{Branches, Finding, Held};
use crate::sink::moved::MOVED_KEY;
use crate::sink::position_record::{POSITION_BASE_KEY, POSITION_KEY, PositionRecords};
use crate::sink::{LetterRecord, Part};

/// The key of the record that says which process owns the instance.
pub(super) const OWNER_KEY: &[u8] = b"owner";
/// How keys of parked tables begin.
const PARKED_KEYS: &[u8] = b"[";
/// How keys of topics begin that the instance has published to; their values say nothing. Who moves
/// it takes their ends along, and the schema history knows tables only that are there.
const TOPIC_KEYS: &[u8] = b"topic:";

/// What there is while the sink is open.
pub(super) struct Session {
    pub(super) producer: Producer,
    pub(super) topics: Topics,
    pub(super) internal: InternalTopics,
    pub(super) positions: PositionRecords,
    pub(super) branches: Branches,
    pub(super) published: Published,
}

/// The topics that the instance has published to.
#[derive(Default)]
pub(super) struct Published {
    /// Those that are stored as such.
    pub(super) stored: BTreeSet<Arc<str>>,
    /// Those that the open transaction stores.
    pub(super) new: Vec<Arc<str>>,
}

impl Published {
    pub(super) fn committed(&mut self) {
        self.stored.extend(self.new.drain(..));
    }

    pub(super) fn aborted(&mut self) {
        self.new.clear();
    }
}

/// The instance's own topics.
#[derive(Clone)]
pub(super) struct InternalTopics {
    pub(super) positions: Internal,
    pub(super) schema: Internal,
    pub(super) xa: Internal,
    /// Made with its first record: most instances have none.
    pub(super) snapshot: Option<Internal>,
}

impl InternalTopics {
    fn of(&self, topic: StateTopic) -> Result<&Internal, Error> {
        Ok(match topic {
            StateTopic::Schema => &self.schema,
            StateTopic::Xa => &self.xa,
            StateTopic::Parked => &self.positions,
            StateTopic::Snapshot => self
                .snapshot
                .as_ref()
                .ok_or_else(|| Error::Failed("the topic of snapshots was not made".to_owned()))?,
        })
    }
}

/// What the topic of positions holds.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) position: Option<Bytes>,
    pub(super) base: Option<Bytes>,
    pub(super) owner: Option<Bytes>,
    pub(super) parked: BTreeMap<Bytes, Bytes>,
    pub(super) moved: Option<Bytes>,
    pub(super) topics: BTreeSet<Arc<str>>,
}

/// Sends the records of a part. `batch_bytes` is what a batch of the producer may have; a topic
/// that takes less wants another producer.
pub(super) async fn send_part(
    session: &mut Session,
    part: Part,
    batch_bytes: usize,
) -> Result<(), Error> {
    let Part { topic: name, partition, partitions, records, .. } = part;
    let (topic, limit) = session.topics.change_topic(&name, partitions).await?;
    if let Some(limit) = limit.filter(|limit| *limit < batch_bytes) {
        return Err(Error::Failed(format!(
            "topic {topic} takes batches of {limit} bytes only: going on with smaller ones"
        )));
    }
    session.note(&name)?;
    let producer = &mut session.producer;
    for record in records.records() {
        let record = record.map_err(|error| Error::Failed(format!("a record: {error}")))?;
        let (key, value) = (record.key, record.value);
        producer.send(Record { topic: &topic, partition, key, value }, record.headers)?;
    }
    Ok(())
}

impl Session {
    /// Stores that the instance publishes to a topic, if that is not stored.
    fn note(&mut self, name: &Arc<str>) -> Result<(), Error> {
        let Published { stored, new } = &mut self.published;
        if stored.contains(name) || new.contains(name) || self.topics.are_letters(name) {
            return Ok(());
        }
        new.push(Arc::clone(name));
        self.send_state(StateTopic::Parked, &[TOPIC_KEYS, name.as_bytes()].concat(), Some(b"{}"))
    }

    pub(super) fn send_all(&mut self, records: Vec<StateRecord>) -> Result<(), Error> {
        for StateRecord { topic, key, value } in records {
            self.send_state(topic, &key, value.as_deref())?;
        }
        Ok(())
    }

    pub(super) fn send_state(
        &mut self,
        topic: StateTopic,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Error> {
        let topic = Arc::clone(self.internal.of(topic)?);
        let record = Record { topic: &topic, partition: 0, key: Some(key), value };
        self.producer.send(record, std::iter::empty())
    }
}

/// Reads the topic of positions to the end that it has.
pub(super) fn stored(reader: &Reader, topic: &str) -> Result<Stored, Error> {
    let (mut stored, mut reading) = (Stored::default(), reader.read(topic, 0)?);
    while let Some(message) = reading.next()? {
        let Some((key, value)) = key_and_value(&message) else { continue };
        match (&*key, value) {
            (POSITION_KEY, value) => stored.position = value,
            (POSITION_BASE_KEY, value) => stored.base = value,
            (OWNER_KEY, value) => stored.owner = value,
            (MOVED_KEY, value) => stored.moved = value,
            (topic, _) if topic.starts_with(TOPIC_KEYS) => {
                let name = topic.get(TOPIC_KEYS.len()..).unwrap_or_default();
                stored.topics.insert(String::from_utf8_lossy(name).into());
            }
            (table, value) if table.starts_with(PARKED_KEYS) => match value {
                Some(value) => drop(stored.parked.insert(key, value)),
                None => drop(stored.parked.remove(&key)),
            },
            // Of a build that keeps more.
            _ => {}
        }
    }
    Ok(stored)
}

/// All records of a topic as they were written: of each key the newest is last. Not on a thread of
/// the runtime.
pub(super) fn send_records(
    reader: &Reader,
    (of, topic): (StateTopic, &str),
    records: &mpsc::Sender<StateRecord>,
) -> Result<(), Error> {
    reader.settle(topic)?;
    let mut reading = reader.read(topic, 0)?;
    loop {
        let next = reading.next()?.map(|message| key_and_value(&message));
        let Some(record) = next else { return Ok(()) };
        if let Some((key, value)) = record {
            // Nobody waits for them any more where this fails.
            let _ = records.blocking_send(StateRecord { topic: of, key, value });
        }
    }
}

/// The branches that are held, and where their topic ends.
pub(super) fn find_branches(reader: &Reader, topic: &str) -> Result<(i64, Held), Error> {
    let end = reader.settle(topic)?;
    let (mut finding, mut reading) = (Finding::default(), reader.read(topic, 0)?);
    while let Some(message) = reading.next()? {
        if let Some((key, value)) = key_and_value(&message) {
            finding.take(message.offset(), key, value);
        }
    }
    Ok((end, finding.finish()?))
}

/// None for a record that is no letter's.
pub(super) fn letter_record(message: &BorrowedMessage<'_>) -> Option<LetterRecord> {
    let text = |value: Option<&[u8]>| {
        value.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    let (mut binlog, mut gtid) = (String::new(), None);
    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        match header.key {
            "binlog" => binlog = text(header.value),
            "gtid" => gtid = Some(Arc::from(text(header.value))),
            _ => {}
        }
    }
    let key = Bytes::copy_from_slice(message.key()?);
    let value = Bytes::copy_from_slice(message.payload()?);
    Some(LetterRecord { offset: message.offset(), key, value, binlog, gtid })
}
