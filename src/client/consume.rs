//! Reading records: of a topic as a member of a group, or of its partitions without one.
//!
//! Without a group no offset is kept and nobody is waited for: all partitions are taken,
//! and those that are added later too.

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::ControlFlow;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _, Timestamp};
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::{Instant, MissedTickBehavior};

use super::error::reached;
use super::topics::is_there;
use super::{Connection, Error, PATIENCE};

/// How often partitions that were added are looked for.
const LOOK: Duration = Duration::from_secs(5);
/// How often a topic that is not there yet is asked for.
const ASK: Duration = Duration::from_millis(500);

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// A whole topic.
    Topic(String),
    /// All topics whose names match an expression; needs a group.
    Matching(String),
    /// One partition of a topic.
    Partition(String, i32),
}

/// Where to begin where a group says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the first record there is.
    Beginning,
    /// Behind the last.
    End,
    /// At an offset.
    Offset(i64),
}

/// A record.
#[derive(Debug)]
pub struct Record<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its time.
    pub stamp: Stamp,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

/// A record's time in milliseconds since 1970, and whose clock it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// It has none.
    None,
    /// The producer's.
    Created(i64),
    /// The broker's.
    Appended(i64),
}

/// What a partition has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Which one.
    pub partition: i32,
    /// The offset of its first record.
    pub first: i64,
    /// The offset behind its last.
    pub end: i64,
}

/// What the partitions of a topic have now; none if it is not there.
pub fn extents(connection: &Connection, topic: &str) -> Result<Option<Vec<Extent>>, Error> {
    let consumer: StreamConsumer = connection.reader("sluice-consume").create()?;
    let reached = |error| reached(connection.bootstrap(), error);
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).map_err(reached)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let Some(found) = found.filter(|found| is_there(found.error())) else { return Ok(None) };
    let mut extents = Vec::new();
    for partition in found.partitions() {
        let partition = partition.id();
        let (first, end) =
            consumer.fetch_watermarks(topic, partition, PATIENCE).map_err(reached)?;
        extents.push(Extent { partition, first, end });
    }
    Ok(Some(extents))
}

/// Reads and calls `each` for every record, until it breaks, `stop` resolves, or no record
/// came for `timeout`. True if it was the time.
///
/// In a group the offsets of what `each` was called for are committed at the end.
pub async fn consume(
    connection: &Connection,
    group: Option<&str>,
    selection: &Selection,
    from: From,
    timeout: Option<Duration>,
    stop: impl Future<Output = ()>,
    mut each: impl FnMut(&Record<'_>) -> std::io::Result<ControlFlow<()>>,
) -> Result<bool, Error> {
    let mut config = connection.config();
    if !connection.properties.contains_key("auto.offset.reset") {
        let reset = if from == From::Beginning { "earliest" } else { "latest" };
        config.set("auto.offset.reset", reset);
    }
    config.set("allow.auto.create.topics", "true");
    match group {
        // An offset counts once `each` has returned, not once the record was fetched.
        Some(group) => config.set("group.id", group).set("enable.auto.offset.store", "false"),
        // librdkafka wants a name even where no group is joined.
        None => config.set("group.id", "sluice-consume").set("enable.auto.commit", "false"),
    };
    let consumer: StreamConsumer = config.create()?;
    let mut assigned = match (selection, group) {
        (Selection::Topic(topic), None) => Some(Assigned::new(topic)),
        (Selection::Topic(topic), Some(_)) => {
            consumer.subscribe(&[topic])?;
            None
        }
        (Selection::Matching(expression), _) => {
            consumer.subscribe(&[&format!("^({expression})$")])?;
            None
        }
        (Selection::Partition(topic, partition), _) => {
            assign_one(&consumer, connection, topic, *partition, from)?;
            None
        }
    };
    let mut look = tokio::time::interval(ASK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut deadline = timeout.map(|timeout| Instant::now() + timeout);
    tokio::pin!(stop);
    let timed_out = loop {
        tokio::select! {
            biased;
            () = &mut stop => break false,
            () = until(deadline) => break true,
            _ = look.tick(), if assigned.is_some() => {
                if let Some(assigned) = &mut assigned
                    && assigned.look(&consumer, connection, from)?
                {
                    look.reset_after(LOOK);
                }
            }
            received = consumer.recv() => {
                let message = match received {
                    Ok(message) => message,
                    Err(error) if is_transient(&error) => continue,
                    Err(error) => return Err(reached(connection.bootstrap(), error)),
                };
                let done = each(&record(&message))?;
                if group.is_some() {
                    consumer.store_offset_from_message(&message)?;
                }
                if done.is_break() {
                    break false;
                }
                deadline = timeout.map(|timeout| Instant::now() + timeout);
            }
        }
    };
    if group.is_some() {
        commit(&consumer, connection)?;
        // Leaves the group; whoever joins next need not wait for our session to run out.
        consumer.unsubscribe();
    }
    Ok(timed_out)
}

/// Commits what was stored; nothing may have been.
fn commit(consumer: &StreamConsumer, connection: &Connection) -> Result<(), Error> {
    match consumer.commit_consumer_state(CommitMode::Sync) {
        Ok(()) => Ok(()),
        Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset) => Ok(()),
        Err(error) => Err(reached(connection.bootstrap(), error)),
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The partitions of a topic that are being read without a group.
struct Assigned<'a> {
    topic: &'a str,
    partitions: BTreeSet<i32>,
}

impl<'a> Assigned<'a> {
    fn new(topic: &'a str) -> Self {
        Self { topic, partitions: BTreeSet::new() }
    }

    /// Takes the partitions that are new; those added later are read from their beginning.
    /// False while the topic is not there.
    fn look(
        &mut self,
        consumer: &StreamConsumer,
        connection: &Connection,
        from: From,
    ) -> Result<bool, Error> {
        let from = if self.partitions.is_empty() { from } else { From::Beginning };
        let metadata = consumer
            .fetch_metadata(Some(self.topic), PATIENCE)
            .map_err(|error| reached(connection.bootstrap(), error))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        let Some(topic) = topic.filter(|topic| is_there(topic.error())) else { return Ok(false) };
        let mut added = TopicPartitionList::new();
        for partition in topic.partitions() {
            if self.partitions.insert(partition.id()) {
                added.add_partition_offset(self.topic, partition.id(), offset(from))?;
            }
        }
        if added.count() > 0 {
            consumer.incremental_assign(&added)?;
        }
        Ok(true)
    }
}

fn assign_one(
    consumer: &StreamConsumer,
    connection: &Connection,
    name: &str,
    partition: i32,
    from: From,
) -> Result<(), Error> {
    let metadata = consumer
        .fetch_metadata(Some(name), PATIENCE)
        .map_err(|error| reached(connection.bootstrap(), error))?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == name);
    let topic = topic
        .filter(|topic| is_there(topic.error()))
        .ok_or_else(|| Error::NoTopic(name.to_owned()))?;
    if !topic.partitions().iter().any(|one| one.id() == partition) {
        return Err(Error::NoPartition { topic: name.to_owned(), partition });
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(name, partition, offset(from))?;
    consumer.assign(&list)?;
    Ok(())
}

fn offset(from: From) -> Offset {
    match from {
        From::Beginning => Offset::Beginning,
        From::End => Offset::End,
        From::Offset(offset) => Offset::Offset(offset),
    }
}

/// What passes by itself, and what librdkafka tells only to be told.
fn is_transient(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::UnknownTopicOrPartition
                | Code::LeaderNotAvailable
                | Code::NotCoordinator
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::OperationTimedOut
                | Code::Resolve
        )
    )
}

fn record<'a>(message: &'a BorrowedMessage<'_>) -> Record<'a> {
    let headers = message
        .headers()
        .map(|headers| headers.iter().map(|header| (header.key, header.value)).collect());
    Record {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        stamp: match message.timestamp() {
            Timestamp::NotAvailable => Stamp::None,
            Timestamp::CreateTime(time) => Stamp::Created(time),
            Timestamp::LogAppendTime(time) => Stamp::Appended(time),
        },
        key: message.key(),
        value: message.payload(),
        headers: headers.unwrap_or_default(),
    }
}
