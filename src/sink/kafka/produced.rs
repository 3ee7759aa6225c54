//! What each error of a record leads to: one table over all that Kafka answers a Produce with, and
//! over what librdkafka adds.
//!
//! In: the error, and what the record was. Out: an [`Error`], which the instance's own table then
//! turns into another try, smaller batches, a parked table, or a stop with advice.
//! Always: what another try cannot mend does not lead to one.

use rdkafka::error::RDKafkaErrorCode as Code;

use super::error::{FENCED, NOT_ALLOWED, refusal};
use crate::sink::{Error, Refusal};

/// What an error of a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its transaction has failed, and says why.
    Dropped,
    /// The cluster did not take it in time; what keeps it from it can be asked.
    Late,
    /// Another producer has the instance, or the cluster has ended our transaction.
    Fenced,
    /// It goes away by itself, or with a new producer: the transaction is sent again.
    Again,
    /// The topic takes less in a batch than was thought: it is sent again in smaller ones, and
    /// divided at rows; what cannot be divided is parked, or stops the instance.
    TooLarge,
    /// Never, as topic and settings are.
    Never(Never),
    /// Nothing that was said of a record so far: it is tried again, and named.
    Unheard,
}

/// Why a record will never be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Never {
    /// No right to write the topic.
    Topic,
    /// No right that is not of a topic, or the cluster cannot do it.
    Cluster,
    /// There can be no such topic.
    Name,
    /// A policy of the cluster.
    Policy,
    /// The topic takes no records like ours.
    Record(&'static str),
}

const KEYLESS: &str = "it takes no record without a key, as one does whose cleanup.policy has compact \
                       in it, and the records of changes have no key";
const OLD_FORMAT: &str = "its message.format.version is older than Apache Kafka 0.11, which has no \
                          headers and no transactions";
const COMPRESSION: &str = "it takes nothing that is compressed by kafka.compression.type";

/// The refusal of a topic that is compacted.
pub(super) fn keyless() -> Refusal {
    Refusal::Record(KEYLESS)
}

/// The table. Of the broker's codes those of
/// `org.apache.kafka.common.requests.ProduceResponse` and what its handlers let through.
pub(super) fn verdict(code: Code) -> Verdict {
    match code {
        Code::PurgeQueue | Code::PurgeInflight | Code::State => Verdict::Dropped,
        Code::MessageTimedOut => Verdict::Late,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Verdict::Fenced,
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            Verdict::TooLarge
        }
        Code::TopicAuthorizationFailed => Verdict::Never(Never::Topic),
        Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::UnsupportedVersion
        | Code::UnsupportedFeature => Verdict::Never(Never::Cluster),
        Code::InvalidTopic => Verdict::Never(Never::Name),
        Code::PolicyViolation => Verdict::Never(Never::Policy),
        Code::InvalidRecord => Verdict::Never(Never::Record(KEYLESS)),
        Code::UnsupportedForMessageFormat => Verdict::Never(Never::Record(OLD_FORMAT)),
        Code::UnsupportedCompressionType => Verdict::Never(Never::Record(COMPRESSION)),
        // Damaged on the way; leaders that move, topics that are made anew, brokers that start or
        // throttle; a producer that the cluster has forgotten; clocks that differ too much.
        Code::Unknown
        | Code::InvalidMessage
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopicId
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::RequestTimedOut
        | Code::NetworkException
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::InvalidRequiredAcks
        | Code::InvalidTimestamp
        | Code::OutOfOrderSequenceNumber
        | Code::DuplicateSequenceNumber
        | Code::InvalidTransactionalState
        | Code::InvalidProducerIdMapping
        | Code::ConcurrentTransactions
        | Code::TransactionCoordinatorFenced
        | Code::UnknownProducerId
        | Code::KafkaStorageError
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::ThrottlingQuotaExceeded => Verdict::Again,
        // The enum of codes is not closed.
        _ => Verdict::Unheard,
    }
}

/// The error of a record, but for one that is late or too large, which more is asked about. `said`
/// is what the client library has said last.
pub(super) fn error(topic: &str, code: Code, said: Option<&str>) -> Error {
    let refused = |reason| Error::Refused { topic: topic.to_owned(), reason };
    let reason = said.map(|said| format!(" ({said})")).unwrap_or_default();
    match verdict(code) {
        Verdict::Fenced => Error::Failed(format!("topic {topic}: {FENCED}")),
        Verdict::Never(Never::Topic) => refused(Refusal::Unauthorized("WRITE")),
        Verdict::Never(Never::Cluster) => {
            let text = refusal(code).map_or_else(|| code.to_string(), str::to_owned);
            Error::Unauthorized(format!("topic {topic}: {text}"))
        }
        Verdict::Never(Never::Name) => refused(Refusal::Name(NOT_ALLOWED.to_owned())),
        Verdict::Never(Never::Policy) => refused(Refusal::Policy),
        Verdict::Never(Never::Record(text)) => refused(Refusal::Record(text)),
        Verdict::Again if code == Code::InvalidTimestamp => Error::Failed(format!(
            "topic {topic} refuses the time of a record, now: the clocks of this machine and of \
             the brokers differ by more than its message.timestamp.before.max.ms or \
             message.timestamp.after.max.ms allow"
        )),
        Verdict::Dropped
        | Verdict::Late
        | Verdict::TooLarge
        | Verdict::Again
        | Verdict::Unheard => Error::Failed(format!("topic {topic}: {code}{reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Apache Kafka 4.3 may answer a Produce with, by number, and what each leads to.
    const ANSWERS: [(Code, i32, Verdict); 34] = [
        (Code::Unknown, -1, Verdict::Again),
        (Code::InvalidMessage, 2, Verdict::Again),
        (Code::UnknownTopicOrPartition, 3, Verdict::Again),
        (Code::InvalidMessageSize, 4, Verdict::TooLarge),
        (Code::LeaderNotAvailable, 5, Verdict::Again),
        (Code::NotLeaderForPartition, 6, Verdict::Again),
        (Code::RequestTimedOut, 7, Verdict::Again),
        (Code::MessageSizeTooLarge, 10, Verdict::TooLarge),
        (Code::NetworkException, 13, Verdict::Again),
        (Code::CoordinatorLoadInProgress, 14, Verdict::Again),
        (Code::CoordinatorNotAvailable, 15, Verdict::Again),
        (Code::NotCoordinator, 16, Verdict::Again),
        (Code::InvalidTopic, 17, Verdict::Never(Never::Name)),
        (Code::MessageBatchTooLarge, 18, Verdict::TooLarge),
        (Code::NotEnoughReplicas, 19, Verdict::Again),
        (Code::NotEnoughReplicasAfterAppend, 20, Verdict::Again),
        (Code::InvalidRequiredAcks, 21, Verdict::Again),
        (Code::TopicAuthorizationFailed, 29, Verdict::Never(Never::Topic)),
        (Code::ClusterAuthorizationFailed, 31, Verdict::Never(Never::Cluster)),
        (Code::InvalidTimestamp, 32, Verdict::Again),
        (Code::UnsupportedVersion, 35, Verdict::Never(Never::Cluster)),
        (Code::UnsupportedForMessageFormat, 43, Verdict::Never(Never::Record(OLD_FORMAT))),
        (Code::PolicyViolation, 44, Verdict::Never(Never::Policy)),
        (Code::OutOfOrderSequenceNumber, 45, Verdict::Again),
        (Code::DuplicateSequenceNumber, 46, Verdict::Again),
        (Code::InvalidProducerEpoch, 47, Verdict::Fenced),
        (Code::InvalidTransactionalState, 48, Verdict::Again),
        (Code::InvalidProducerIdMapping, 49, Verdict::Again),
        (Code::TransactionalIdAuthorizationFailed, 53, Verdict::Never(Never::Cluster)),
        (Code::KafkaStorageError, 56, Verdict::Again),
        (Code::UnknownProducerId, 59, Verdict::Again),
        (Code::UnsupportedCompressionType, 76, Verdict::Never(Never::Record(COMPRESSION))),
        (Code::InvalidRecord, 87, Verdict::Never(Never::Record(KEYLESS))),
        (Code::ProducerFenced, 90, Verdict::Fenced),
    ];

    #[test]
    fn each_error_of_a_record_leads_where_it_is_mended() {
        for (code, number, expected) in ANSWERS {
            assert_eq!(code as i32, number, "{code}");
            assert_eq!(verdict(code), expected, "{code}");
            let error = error("db.t", code, None);
            let names_it = error.to_string().contains("db.t");
            assert!(names_it, "{code}: {error}");
            let is_tried_again = matches!(error, Error::Failed(_));
            let is_never = matches!(expected, Verdict::Never(_));
            assert_eq!(is_tried_again, !is_never, "{code}: {error}");
        }
    }
}
