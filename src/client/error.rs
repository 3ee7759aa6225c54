//! Why a request to a cluster came to nothing, in the words Kafka's tools use.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers.
    #[error(
        "no Kafka broker answers at {bootstrap}: {reason} (is it running? see --bootstrap-server)"
    )]
    Unreachable {
        /// Where it was tried.
        bootstrap: String,
        /// What librdkafka says.
        reason: String,
    },
    /// The topic is not there.
    #[error("Topic '{0}' does not exist as expected")]
    NoTopic(String),
    /// The group is not there.
    #[error("Consumer group '{0}' does not exist.")]
    NoGroup(String),
    /// A topic was refused.
    #[error("{}", refusal(topic, *code))]
    Topic {
        /// Which.
        topic: String,
        /// The broker's answer.
        code: RDKafkaErrorCode,
    },
    /// A group has members.
    #[error(
        "Assignments can only be reset if the group '{group}' is inactive, but the current state is {state}."
    )]
    ActiveGroup {
        /// Which.
        group: String,
        /// What it is doing.
        state: String,
    },
    /// A partition was asked for that is not there.
    #[error("Topic '{topic}' has no partition {partition}")]
    NoPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Something else.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// What a record was to be written to failed.
    #[error(transparent)]
    Output(#[from] std::io::Error),
}

/// What a broker's refusal of a topic means.
pub(super) fn refusal(topic: &str, code: RDKafkaErrorCode) -> String {
    match code {
        RDKafkaErrorCode::TopicAlreadyExists => format!("Topic '{topic}' already exists."),
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
            format!("Topic '{topic}' does not exist as expected")
        }
        RDKafkaErrorCode::InvalidTopic => format!(
            "Topic name \"{topic}\" is illegal: use up to 249 letters, digits, '.', '_' and '-'"
        ),
        RDKafkaErrorCode::InvalidReplicationFactor => {
            "Replication factor larger than available brokers (one broker here: use 1, or serverMode=kafka)".to_owned()
        }
        RDKafkaErrorCode::InvalidPartitions => {
            format!("Topic '{topic}' cannot have that many partitions: the number can only grow")
        }
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::PolicyViolation => {
            format!("Topic '{topic}' is not open to this: it is internal, or an instance writes it")
        }
        RDKafkaErrorCode::InvalidConfig => format!(
            "Topic '{topic}': a --config names no setting of Apache Kafka's, or gives it a value it cannot have"
        ),
        other => format!("Topic '{topic}': {other}"),
    }
}

/// Tells silence of the cluster from all else.
pub(super) fn reached(bootstrap: &str, error: KafkaError) -> Error {
    let silent = [
        RDKafkaErrorCode::BrokerTransportFailure,
        RDKafkaErrorCode::AllBrokersDown,
        RDKafkaErrorCode::OperationTimedOut,
        RDKafkaErrorCode::Resolve,
    ];
    match error.rdkafka_error_code() {
        Some(code) if silent.contains(&code) => {
            Error::Unreachable { bootstrap: bootstrap.to_owned(), reason: code.to_string() }
        }
        _ => Error::Kafka(error),
    }
}
