//! Reading the instance's own topics, which have one partition.
//!
//! In: a topic, and where to begin. Out: its committed records, to the end that it has then.
//! Always: what an open transaction hides is waited for where it counts ([`Reader::settle`]): a
//! position that is not seen would have rows published twice.

use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::Names;
use super::clients::{self, Said};
use super::patience::{Patience, SLICE};
use crate::config::ClusterConfig;
use crate::sink::Error;

/// How long the cluster may take for the next records.
const LIMIT: Duration = Duration::from_secs(30);
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
        let what = || {
            format!(
                "a transaction that is open in topic {topic} hides what was committed last: it \
                 ends when its owner ends it, or by the cluster's transaction.timeout.ms of it"
            )
        };
        self.patience.wait(HIDDEN, what, || {
            let Ends { stable, all } = self.ends(topic)?;
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

    fn ends(&self, topic: &str) -> Result<Ends, Error> {
        let end = |consumer: &BaseConsumer<Said>| {
            let mut last = None;
            let what = || format!("where topic {topic} ends");
            self.patience.wait(LIMIT, what, || match consumer.fetch_watermarks(topic, 0, SLICE) {
                Ok((_, end)) => Ok(Some(end)),
                Err(error) if is_transient(&error) => {
                    last = Some(error);
                    Ok(None)
                }
                Err(error) => Err(failed(topic, &error)),
            })
        };
        Ok(Ends { stable: end(&self.committed)?, all: end(&self.all)? })
    }
}

/// A topic that is being read.
pub(super) struct Reading<'a> {
    reader: &'a Reader,
    topic: &'a str,
}

impl<'a> Reading<'a> {
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
        )
    )
}

fn failed(topic: &str, error: &KafkaError) -> Error {
    if error.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed) {
        let reason = crate::sink::Refusal::Unauthorized("READ");
        return Error::Refused { topic: topic.to_owned(), reason };
    }
    Error::Failed(format!("read topic {topic}: {error}"))
}
