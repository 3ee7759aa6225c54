//! Reading the instance's own topics, which have one partition.
//!
//! In: a topic, and where to begin. Out: its committed records, to the end that it has then.
//! Always: what an open transaction hides is waited for where it counts ([`Reader::settle`]): a
//! position that is not seen would have rows published twice. A reader lives while it reads: one
//! that is kept would go on fetching, and nobody would take what its library has to say.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::Names;
use super::clients::{self, Said};
use super::error::is_denied;
use super::patience::{Patience, SLICE};
use crate::config::ClusterConfig;
use crate::sink::{Error, Newest};

/// How long the cluster may take for the next records.
const LIMIT: Duration = Duration::from_secs(30);
/// How long what was committed may take to be shown: markers are written behind the answer.
const EXPECTED: Duration = Duration::from_secs(10);
/// How long the last records of topics may take together.
const NEWEST: Duration = Duration::from_mins(1);
/// So many of the last offsets of a partition are looked at: those of ends of transactions, and of
/// what was rolled back, have no record.
const LAST_OFFSETS: i64 = 100;
/// As many partitions are looked at in one go.
const MOST_PARTITIONS: usize = 1000;
/// How long somebody's transaction may hide the end of a topic: as long as the cluster lets one be
/// open, and a little longer.
const HIDDEN: Duration = Duration::from_mins(16);

/// See the head of this file.
pub(super) struct Reader {
    committed: BaseConsumer<Said>,
    all: BaseConsumer<Said>,
    patience: Patience,
}

/// Where a topic ends.
struct Ends {
    /// Of what is committed.
    stable: i64,
    /// Of all that is written.
    all: i64,
}

impl Reader {
    pub(super) fn new(
        config: &ClusterConfig,
        names: &Names,
        patience: Patience,
    ) -> Result<Self, Error> {
        let consumer = |committed| {
            let made =
                clients::reader(config, names, committed).create_with_context(Said::default());
            made.map_err(|error| Error::Failed(format!("make a consumer: {error}")))
        };
        Ok(Self { committed: consumer(true)?, all: consumer(false)?, patience })
    }

    /// Waits until no transaction is open in the topic; its end.
    pub(super) fn settle(&self, topic: &str) -> Result<i64, Error> {
        self.settle_partition(topic, 0)
    }

    /// The same of a topic that may have more partitions.
    pub(super) fn settle_partition(&self, topic: &str, partition: i32) -> Result<i64, Error> {
        let what = || {
            format!(
                "a transaction that is open in topic {topic} hides what was committed last: it \
                 ends when its owner ends it, or by the cluster's transaction.timeout.ms of it"
            )
        };
        self.patience.wait(HIDDEN, what, || {
            let Ends { stable, all } = self.ends(topic, partition)?;
            Ok((stable == all).then_some(all))
        })
    }

    /// Begins to read what is committed, from `offset` on to the end.
    pub(super) fn read<'a>(&'a self, topic: &'a str, offset: i64) -> Result<Reading<'a>, Error> {
        let mut place = TopicPartitionList::new();
        let offset = if offset == 0 { Offset::Beginning } else { Offset::Offset(offset) };
        let assigned = place.add_partition_offset(topic, 0, offset);
        assigned.and_then(|()| self.committed.assign(&place)).map_err(|e| failed(topic, &e))?;
        Ok(Reading { reader: self, topic })
    }

    fn ends(&self, topic: &str, partition: i32) -> Result<Ends, Error> {
        let end = |consumer: &BaseConsumer<Said>| {
            let mut last = None;
            let what = || format!("where topic {topic} ends");
            self.patience.wait(LIMIT, what, || {
                match consumer.fetch_watermarks(topic, partition, SLICE) {
                    Ok((_, end)) => Ok(Some(end)),
                    Err(error) if is_transient(&error) => {
                        last = Some(error);
                        Ok(None)
                    }
                    Err(error) => Err(failed(topic, &error)),
                }
            })
        };
        Ok(Ends { stable: end(&self.committed)?, all: end(&self.all)? })
    }
}

/// The newest record with our headers in any of these partitions, by its time. `positions` is the
/// topic that has no position.
pub(super) fn newest(
    config: &ClusterConfig,
    names: &Names,
    patience: &Patience,
    partitions: &[(Arc<str>, i32)],
    positions: &Arc<str>,
) -> Result<Option<Newest>, Error> {
    let mut settings = clients::reader(config, names, true);
    // One batch of each partition is enough, or a few.
    settings.set("max.partition.fetch.bytes", "65536");
    let begun = std::time::Instant::now();
    for (number, some) in partitions.chunks(MOST_PARTITIONS).enumerate() {
        let consumer: BaseConsumer<Said> = settings
            .create_with_context(Said::default())
            .map_err(|error| Error::Failed(format!("make a consumer: {error}")))?;
        let mut places = TopicPartitionList::new();
        for (topic, partition) in some {
            let place = Offset::OffsetTail(LAST_OFFSETS);
            let added = places.add_partition_offset(topic, *partition, place);
            added.map_err(|error| failed(topic, &error))?;
        }
        consumer.assign(&places).map_err(|error| failed("of changes", &error))?;
        let (mut open, mut newest) = (some.len(), None::<(i64, Newest)>);
        let what = || format!("the last records of {} topics", partitions.len());
        let left = NEWEST.saturating_sub(begun.elapsed());
        let read = patience.wait(left, what, || {
            while open > 0 {
                match consumer.poll(SLICE) {
                    Some(Ok(message)) => note(&message, positions, &mut newest),
                    Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                    Some(Err(error)) if is_transient(&error) => {}
                    Some(Err(error)) if is_denied(&error) => {
                        return Err(Error::Begun(MAY_NOT_LOOK.to_owned()));
                    }
                    Some(Err(error)) => return Err(failed("of changes", &error)),
                    None => return Ok(None),
                }
                if begun.elapsed() > NEWEST {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        });
        match (newest, read) {
            (Some((_, newest)), _) => return Ok(Some(newest)),
            (None, Err(error @ Error::Failed(_))) => {
                let seen = number * MOST_PARTITIONS;
                tracing::warn!(
                    "whether the instance has published before was looked for in {seen} of {} \
                     partitions only: {error}",
                    partitions.len()
                );
                return Ok(None);
            }
            (None, read) => read?,
        }
    }
    Ok(None)
}

/// Without the right to read what is there nobody knows whose it is.
const MAY_NOT_LOOK: &str = "the instance has no position, and topics of its tables are there and may \
                            not be read to see whether it has published before: allow READ on them \
                            (kafka-acls.sh) for this start, or set sluice.start.anew = true if it has \
                            not, then start the instance again";

/// Takes a record that is ours, and newer than what was found.
fn note(message: &BorrowedMessage<'_>, positions: &Arc<str>, newest: &mut Option<(i64, Newest)>) {
    let header = |name: &str| {
        let found = message.headers()?.iter().find(|header| header.key == name)?;
        Some(String::from_utf8_lossy(found.value?).into_owned())
    };
    let (Some(binlog), Some(_)) = (header("binlog"), header("tx")) else { return };
    let time = message.timestamp().to_millis().unwrap_or_default();
    if newest.as_ref().is_some_and(|(known, _)| *known > time) {
        return;
    }
    let new = Newest {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        binlog,
        positions: Arc::clone(positions),
    };
    *newest = Some((time, new));
}

/// A topic that is being read.
pub(super) struct Reading<'a> {
    reader: &'a Reader,
    topic: &'a str,
}

impl<'a> Reading<'a> {
    /// The next record that has to come, though the end of what is committed may not show it yet;
    /// none if it does not come.
    pub(super) fn next_expected(&mut self) -> Result<Option<BorrowedMessage<'a>>, Error> {
        let begun = std::time::Instant::now();
        loop {
            match self.next() {
                Ok(None) if begun.elapsed() < EXPECTED => {
                    // The end is said once; what comes behind it is fetched all the same.
                    let Self { reader, topic } = *self;
                    match reader.committed.poll(SLICE) {
                        Some(Ok(message)) if message.topic() == topic => {
                            return Ok(Some(message));
                        }
                        Some(_) | None => {}
                    }
                }
                next => return next,
            }
        }
    }

    /// The next record; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<BorrowedMessage<'a>>, Error> {
        let Self { reader, topic } = *self;
        let what = || format!("the records of topic {topic}");
        reader.patience.wait(LIMIT, what, || match reader.committed.poll(SLICE) {
            Some(Ok(message)) if message.topic() == topic => Ok(Some(Some(message))),
            Some(Err(KafkaError::PartitionEOF(_))) => Ok(Some(None)),
            // What was fetched of another topic before; nothing yet.
            Some(Ok(_)) | None => Ok(None),
            Some(Err(error)) if is_transient(&error) => Ok(None),
            Some(Err(error)) => Err(failed(topic, &error)),
        })
    }
}

/// Key and value of a record, as its own bytes. One without a key is none of ours.
pub(super) fn key_and_value(message: &BorrowedMessage<'_>) -> Option<(Bytes, Option<Bytes>)> {
    let key = Bytes::copy_from_slice(message.key()?);
    Some((key, message.payload().map(Bytes::copy_from_slice)))
}

/// What goes away by itself: brokers that start, or that learn of a topic.
fn is_transient(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::Resolve
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::UnknownTopic
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
                | Code::CoordinatorLoadInProgress
                // Of the group that librdkafka wants a consumer to name. It asks for its
                // coordinator, though nothing is kept there and none is needed to read
                // (rust-rdkafka issue 717): the right to that group is none that we want.
                | Code::GroupAuthorizationFailed
        )
    )
}

fn failed(topic: &str, error: &KafkaError) -> Error {
    if is_denied(error) {
        let reason = crate::sink::Refusal::Unauthorized("READ");
        return Error::Refused { topic: topic.to_owned(), reason };
    }
    Error::Failed(format!("read topic {topic}: {error}"))
}
