//! What an error of librdkafka means here.
//!
//! A transaction call has four kinds of errors, and each has one way out: to call again, to roll
//! back, to throw the producer away, or to correct something first. All but the first end with
//! the sink being opened again, which makes a new producer.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::produced;
use crate::sink::{Error, Refusal};

/// What a call for a transaction has come to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nobody knows yet: the same call again finds out.
    Unknown,
    /// It failed.
    Failed(Error),
}

/// Judges the error of a call that was for `what`. `said` is what the client library has said
/// last: its errors are seldom the reason.
pub(super) fn of_transaction(what: &str, error: &KafkaError, said: Option<&str>) -> Outcome {
    let reason = said.map(|said| format!(" ({said})")).unwrap_or_default();
    let failed = |text: String| Outcome::Failed(Error::Failed(text));
    match error {
        // Flushing and the call itself are bounded to a moment each.
        KafkaError::Flush(Code::OperationTimedOut) => Outcome::Unknown,
        KafkaError::Transaction(error)
            if produced::verdict(error.code()) == produced::Verdict::Fenced =>
        {
            failed(format!("{what}: {FENCED}"))
        }
        KafkaError::Transaction(error) if error.is_retriable() => Outcome::Unknown,
        KafkaError::Transaction(error) => match refusal(error.code()) {
            Some(refused) => {
                let text = format!("{what}: {refused}");
                Outcome::Failed(Error::Unauthorized(text))
            }
            None => failed(format!("{what}: {error}{reason}")),
        },
        error => failed(format!("{what}: {error}{reason}")),
    }
}

/// What a producer is told that the cluster takes nothing from any more.
pub(super) const FENCED: &str = "the producer is fenced: another process has opened the instance, \
                                 or the cluster has ended a transaction that took too long";

/// Whether the cluster's ACLs do not allow it on the topic.
pub(super) fn is_denied(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed)
}

/// What the cluster does not allow, in words.
pub(super) fn refusal(code: Code) -> Option<&'static str> {
    match code {
        Code::TransactionalIdAuthorizationFailed => {
            Some("no right to the transactional id: allow WRITE and DESCRIBE on it")
        }
        Code::ClusterAuthorizationFailed => {
            Some("no right to write idempotently: allow IDEMPOTENT_WRITE on the cluster")
        }
        Code::InvalidTransactionTimeout => Some(
            "kafka.transaction.timeout.ms is larger than the transaction.max.timeout.ms of the \
                 cluster's brokers: write a smaller one, or, where none is written, allow \
                 DESCRIBE_CONFIGS on the cluster, so that sluice asks for no longer one",
        ),
        Code::UnsupportedVersion | Code::UnsupportedFeature => {
            Some("the cluster has no transactions: it is older than Apache Kafka 0.11")
        }
        _ => None,
    }
}

/// What was asked of a topic, and came to nothing.
pub(super) fn of_topic(topic: &str, what: &str, code: Code) -> Error {
    let refused = |reason| Error::Refused { topic: topic.to_owned(), reason };
    match code {
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            refused(Refusal::Unauthorized(if what == CREATE { "CREATE" } else { "ALTER" }))
        }
        Code::InvalidReplicationFactor => refused(Refusal::Replication),
        Code::InvalidTopic => refused(Refusal::Name(NOT_ALLOWED.to_owned())),
        Code::InvalidConfig => refused(Refusal::Settings),
        Code::PolicyViolation => refused(Refusal::Policy),
        code => Error::Failed(format!("{what} topic {topic}: {code}")),
    }
}

/// What is wrong with a name that the cluster refuses without a reason.
pub(super) const NOT_ALLOWED: &str = "the cluster does not allow it";

/// What is done to a topic that is not there.
pub(super) const CREATE: &str = "make";
