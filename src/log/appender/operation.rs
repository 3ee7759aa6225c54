//! What is done between two groups, by whom it was asked for.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::topics::Move;
use super::{Appender, Failure};
use crate::log::Producer;
use crate::log::backup::Held;
use crate::log::catalog::Definition;
use crate::log::commit::Session;
use crate::log::error::{AppendError, TopicError, WriterError};
use crate::log::topic::{NewTopic, Topic};

/// Producer ids are made durable in blocks of this size, as in Kafka
/// (`ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
const PRODUCER_ID_BLOCK: i64 = 1000;

pub(in crate::log) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// The offset that stands for the end of a partition.
const TO_THE_END: i64 = -1;

/// See the head of this file.
#[derive(Debug)]
pub(in crate::log) enum Operation {
    CreateTopic(NewTopic, Reply<Arc<Topic>, TopicError>),
    ChangeTopic(String, Change, Reply<Arc<Topic>, TopicError>),
    DeleteTopic(String, Reply<(), TopicError>),
    DeleteRecords(Arc<Topic>, i32, i64, Reply<i64, AppendError>),
    ProducerIds(i64, Reply<i64, AppendError>),
    Producers(Arc<Topic>, i32, Reply<Vec<Producer>, AppendError>),
    /// For a copy of the log.
    Hold(Reply<Held, AppendError>),
    OpenSession(Arc<str>, Reply<Session, WriterError>),
}

/// A change of a topic.
#[derive(Debug)]
pub(in crate::log) enum Change {
    /// So many partitions.
    Grow(i32),
    /// Settings set and unset.
    Configure(Vec<(String, Option<String>)>),
    /// Who writes it.
    Own(Option<String>),
}

impl Appender {
    pub(super) fn operate(&mut self, operation: Operation) {
        // Whoever does not wait any more does not miss the answer.
        match operation {
            Operation::CreateTopic(new, reply) => {
                let _ = reply.send(self.create_topic(new));
            }
            Operation::ChangeTopic(name, change, reply) => {
                let _ = reply.send(self.change_topic(&name, change));
            }
            Operation::DeleteTopic(name, reply) => {
                let _ = reply.send(self.delete_topic(&name));
            }
            Operation::DeleteRecords(topic, partition, offset, reply) => {
                let _ = reply.send(self.delete_records(&topic, partition, offset));
            }
            Operation::ProducerIds(count, reply) => {
                let _ = reply.send(self.producer_ids(count));
            }
            Operation::Producers(topic, partition, reply) => {
                let _ = reply.send(self.producers(&topic, partition));
            }
            Operation::Hold(reply) => {
                let _ = reply.send(Ok(self.held()));
            }
            Operation::OpenSession(instance, reply) => {
                let session = match &self.read_only {
                    Some(reason) => Err(WriterError::from(&Failure::Lost(reason.clone()))),
                    None => Ok(self.sessions.open(&instance)),
                };
                let _ = reply.send(session);
            }
        }
    }

    /// Ids that nobody ever had: from the block, or from a new one made durable first.
    fn producer_ids(&mut self, count: i64) -> Result<i64, AppendError> {
        let count = count.max(1);
        if self.producer_ids.end - self.producer_ids.start < count {
            let first = self.producer_ids.end;
            let end = first + count.max(PRODUCER_ID_BLOCK);
            self.define(&[Definition::ProducerIds(end)]).map_err(|why| why.to_append())?;
            self.producer_ids = first..end;
        }
        let first = self.producer_ids.start;
        self.producer_ids.start += count;
        Ok(first)
    }

    fn producers(&self, topic: &Topic, number: i32) -> Result<Vec<Producer>, AppendError> {
        let partition = topic.partition(number).ok_or_else(|| unknown(topic, number))?;
        Ok(self.tails[partition.slot].producers.describe())
    }

    /// Moves the start of a partition; the segments before it go when nothing needs them.
    fn delete_records(
        &mut self,
        topic: &Topic,
        number: i32,
        offset: i64,
    ) -> Result<i64, AppendError> {
        let partition = topic.partition(number).ok_or_else(|| unknown(topic, number))?;
        if let Some(damage) = partition.offline() {
            let (partition, place) = (partition.dir.clone(), damage.to_string());
            return Err(AppendError::Offline { partition, place });
        }
        let tail = &self.tails[partition.slot];
        let offset = if offset == TO_THE_END { tail.end } else { offset };
        if offset < 0 || offset > tail.end {
            return Err(AppendError::OffsetOutOfRange(offset));
        }
        let start = tail.start.max(offset);
        let to = Move { slot: partition.slot, start, rolls: false };
        self.move_starts(&[to]).map_err(|why| why.to_append())?;
        Ok(start)
    }
}

fn unknown(topic: &Topic, partition: i32) -> AppendError {
    AppendError::UnknownPartition { topic: topic.name().to_string(), partition }
}
