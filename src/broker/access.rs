//! What clients may do to which topic, and how the log's errors are told to them.
//!
//! Everybody may read everything. A topic that an instance writes takes no Produce from
//! clients, nor do `__*` topics, which clients may not make, delete or change either.

use std::sync::Arc;

use kafka_protocol::ResponseError;

use super::Broker;
use crate::log::{AppendError, ReadError, Topic, TopicError};

/// The epoch of the leader of every partition: there never is another leader.
pub(crate) const LEADER_EPOCH: i32 = 0;

impl Broker {
    /// A topic that has this partition.
    pub(crate) fn partition(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<Arc<Topic>, ResponseError> {
        let topic = self.log.topic(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
        has_partition(&topic, partition)?;
        Ok(topic)
    }
}

/// Whether the topic has this partition.
pub(crate) fn has_partition(topic: &Topic, partition: i32) -> Result<(), ResponseError> {
    if (0..topic.partitions()).contains(&partition) {
        Ok(())
    } else {
        Err(ResponseError::UnknownTopicOrPartition)
    }
}

/// Whether clients may produce to the topic; if not, why.
pub(crate) fn may_produce(topic: &Topic) -> Result<(), String> {
    if topic.is_internal() {
        return Err(format!("{} is written by the broker itself", topic.name()));
    }
    match topic.owner() {
        Some(owner) => Err(format!("{} is written by instance {owner}", topic.name())),
        None => Ok(()),
    }
}

/// Whether clients may make, change or delete a topic of this name.
pub(crate) fn may_alter(topic: &str) -> Result<(), (ResponseError, String)> {
    if topic.starts_with("__") {
        let why = format!("{topic}: names that begin with __ belong to the broker");
        Err((ResponseError::TopicAuthorizationFailed, why))
    } else {
        Ok(())
    }
}

/// Whether a request knows the leader's epoch; -1 does not ask.
pub(crate) fn check_epoch(told: i32) -> Result<(), ResponseError> {
    match told {
        ..0 | LEADER_EPOCH => Ok(()),
        _ => Err(ResponseError::UnknownLeaderEpoch),
    }
}

/// A refused append, as the wire says it.
pub(crate) fn of_append(error: &AppendError) -> ResponseError {
    match error {
        AppendError::UnknownPartition { .. } => ResponseError::UnknownTopicOrPartition,
        AppendError::Corrupt(_) => ResponseError::CorruptMessage,
        AppendError::TooLarge { .. } => ResponseError::MessageTooLarge,
        AppendError::OutOfOrderSequence { .. } => ResponseError::OutOfOrderSequenceNumber,
        AppendError::InvalidProducerEpoch { .. } => ResponseError::InvalidProducerEpoch,
        AppendError::OffsetOutOfRange(_) => ResponseError::OffsetOutOfRange,
        // Retriable: a full disk may have room again, and a restart recovers the others.
        AppendError::Full
        | AppendError::Offline { .. }
        | AppendError::Failed(_)
        | AppendError::ReadOnly(_)
        | AppendError::Closed => ResponseError::KafkaStorageError,
    }
}

/// A failed read, as the wire says it.
pub(crate) fn of_read(error: &ReadError) -> ResponseError {
    match error {
        ReadError::UnknownPartition { .. } => ResponseError::UnknownTopicOrPartition,
        ReadError::OffsetOutOfRange { .. } => ResponseError::OffsetOutOfRange,
        // Said once, when it was taken offline.
        ReadError::Offline { .. } => ResponseError::KafkaStorageError,
        ReadError::Io { .. } => {
            tracing::error!(%error, "a client could not read");
            ResponseError::KafkaStorageError
        }
    }
}

/// A refused change of a topic, as the wire says it.
pub(crate) fn of_topic(error: &TopicError) -> (ResponseError, String) {
    let code = match error {
        TopicError::Exists(_) => ResponseError::TopicAlreadyExists,
        TopicError::Unknown(_) => ResponseError::UnknownTopicOrPartition,
        TopicError::InvalidName(..) => ResponseError::InvalidTopicException,
        TopicError::InvalidPartitions(..) => ResponseError::InvalidPartitions,
        TopicError::InvalidConfig { .. } => ResponseError::InvalidConfig,
        TopicError::Owned { .. } => ResponseError::TopicAuthorizationFailed,
        TopicError::Append(error) => of_append(error),
    };
    (code, error.to_string())
}

/// The code of an outcome: 0 is success.
pub(crate) fn code(outcome: Result<(), ResponseError>) -> i16 {
    outcome.err().map_or(0, |error| error.code())
}
