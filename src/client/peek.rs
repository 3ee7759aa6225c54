//! A look into a topic: a bounded number of its messages, from a place on, without a group.
//!
//! In: a topic, which of its partitions, where to begin. Out: messages that are there already, in
//! the order of their offsets, or, of several partitions, of their times. Always bounded: in
//! messages, in bytes, and in time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::error::reached;
use super::topics::is_there;
use super::{Connection, Error, PATIENCE};

/// How long it looks at most.
const LONGEST: Duration = Duration::from_secs(10);

/// No more bytes of messages are held.
const MOST_BYTES: usize = 8 << 20;

/// A longer key or value is cut.
const LONGEST_VALUE: usize = 1 << 20;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeekFrom {
    /// At the first message there is.
    Earliest,
    /// So that the newest come out.
    Newest,
    /// At an offset.
    Offset(i64),
    /// At the first message of that time or later, in milliseconds since 1970.
    Time(i64),
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its time in milliseconds since 1970, if it has one.
    pub time_ms: Option<i64>,
    /// Its key; cut if it is long.
    pub key: Option<Vec<u8>>,
    /// Its value; cut if it is long.
    pub value: Option<Vec<u8>>,
    /// How many bytes the value has.
    pub value_bytes: usize,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peeked {
    /// The messages.
    pub messages: Vec<Message>,
    /// Whether there is more that a bound kept back.
    pub is_cut: bool,
}

/// Looks into a topic; `most` messages at most. Blocks, for some seconds at most.
pub fn peek(
    connection: &Connection,
    topic: &str,
    partition: Option<i32>,
    from: PeekFrom,
    most: usize,
) -> Result<Peeked, Error> {
    let deadline = Instant::now() + LONGEST;
    let mut config = connection.reader("sluice-peek");
    config.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
    config.set("auto.offset.reset", "earliest").set("queued.max.messages.kbytes", "8192");
    config.set("allow.auto.create.topics", "false").set("fetch.wait.max.ms", "20");
    let consumer: BaseConsumer = config.create()?;
    let looking = Looking { connection, consumer: &consumer, topic };
    let mut open = looking.places(partition, from, most)?;
    let mut place = TopicPartitionList::new();
    for (number, begin, _) in &open {
        place.add_partition_offset(topic, *number, Offset::Offset(*begin))?;
    }
    consumer.assign(&place)?;
    let (mut found, mut bytes, mut is_cut) = (VecDeque::new(), 0, false);
    // The newest of several partitions are known only when all of them were read.
    let all = if from == PeekFrom::Newest { most.saturating_mul(open.len()) } else { most };
    while !open.is_empty() {
        // Of the newest it is the oldest that there is no room for.
        while from == PeekFrom::Newest
            && bytes > MOST_BYTES
            && found.len() > 1
            && let Some(oldest) = found.pop_front()
        {
            bytes -= size(&oldest);
            is_cut = true;
        }
        if found.len() >= all || bytes > MOST_BYTES || Instant::now() >= deadline {
            is_cut = true;
            break;
        }
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                let last = |end: i64| message.offset() + 1 >= end;
                let ended = |one: &(i32, i64, i64)| one.0 == message.partition() && last(one.2);
                if open.iter().any(|one| one.0 == message.partition() && message.offset() < one.2) {
                    let message = taken(&message);
                    bytes += size(&message);
                    found.push_back(message);
                }
                open.retain(|one| !ended(one));
            }
            Some(Err(KafkaError::PartitionEOF(number))) => open.retain(|one| one.0 != number),
            Some(Err(error)) if passes(&error) => {}
            Some(Err(error)) => return Err(reached(connection.bootstrap(), error)),
            None => {}
        }
    }
    let mut found = Vec::from(found);
    found.sort_by_key(|one| (one.time_ms, one.partition, one.offset));
    if from == PeekFrom::Newest && found.len() > most {
        found.drain(..found.len() - most);
    }
    Ok(Peeked { messages: found, is_cut })
}

struct Looking<'a> {
    connection: &'a Connection,
    consumer: &'a BaseConsumer,
    topic: &'a str,
}

impl Looking<'_> {
    /// Each partition that has something, from which offset, and the offset of its end.
    fn places(
        &self,
        wanted: Option<i32>,
        from: PeekFrom,
        most: usize,
    ) -> Result<Vec<(i32, i64, i64)>, Error> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut places = Vec::new();
        for number in self.partitions(wanted)? {
            let (start, end) = self
                .consumer
                .fetch_watermarks(self.topic, number, PATIENCE)
                .map_err(|error| reached(self.connection.bootstrap(), error))?;
            let begin = match from {
                PeekFrom::Earliest => start,
                PeekFrom::Newest => end.saturating_sub(most),
                PeekFrom::Offset(offset) => offset,
                PeekFrom::Time(time) => self.at_time(number, time)?.unwrap_or(end),
            };
            let begin = begin.max(start);
            if begin < end {
                places.push((number, begin, end));
            }
        }
        Ok(places)
    }

    fn partitions(&self, wanted: Option<i32>) -> Result<Vec<i32>, Error> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(self.topic), PATIENCE)
            .map_err(|error| reached(self.connection.bootstrap(), error))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        let topic = topic
            .filter(|topic| is_there(topic.error()))
            .ok_or_else(|| Error::NoTopic(self.topic.to_owned()))?;
        let all: Vec<i32> =
            topic.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect();
        match wanted {
            None => Ok(all),
            Some(partition) if all.contains(&partition) => Ok(vec![partition]),
            Some(partition) => Err(Error::NoPartition { topic: self.topic.to_owned(), partition }),
        }
    }

    fn at_time(&self, partition: i32, time: i64) -> Result<Option<i64>, Error> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(self.topic, partition, Offset::Offset(time))?;
        let found = self
            .consumer
            .offsets_for_times(list, PATIENCE)
            .map_err(|error| reached(self.connection.bootstrap(), error))?;
        let element = found.find_partition(self.topic, partition);
        Ok(element.and_then(|element| match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }))
    }
}

/// What a message takes of memory.
fn size(message: &Message) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers = message.headers.iter().map(|(key, value)| key.len() + length(value));
    length(&message.key) + length(&message.value) + headers.sum::<usize>()
}

fn taken(message: &rdkafka::message::BorrowedMessage<'_>) -> Message {
    let cut = |bytes: &[u8]| bytes[..bytes.len().min(LONGEST_VALUE)].to_vec();
    let headers = message.headers().map(|headers| {
        let header =
            |one: rdkafka::message::Header<'_, &[u8]>| (one.key.to_owned(), one.value.map(cut));
        headers.iter().map(header).collect()
    });
    Message {
        partition: message.partition(),
        offset: message.offset(),
        time_ms: message.timestamp().to_millis(),
        key: message.key().map(cut),
        value: message.payload().map(cut),
        value_bytes: message.payload_len(),
        headers: headers.unwrap_or_default(),
    }
}

/// What passes by itself within the time of a look.
fn passes(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}
