//! Why a topic never takes some records, however often they are sent.

use crate::log;

/// What is wrong with records, or with the topic that they are to go to. Each has an advice of
/// its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A single record is larger than the topic takes.
    #[error("a batch of {size} bytes is larger than max.message.bytes, {max}")]
    TooLarge {
        /// The size of its batch, in bytes.
        size: usize,
        /// What the topic takes, in bytes.
        max: usize,
    },
    /// There can be no topic of this name.
    #[error("the name is not allowed: {0}")]
    Name(String),
    /// An instance of another name writes it.
    #[error("instance {0} writes it")]
    Owned(String),
    /// There can be no topic of so many partitions.
    #[error("it cannot have {0} partitions: {1}")]
    Partitions(i32, String),
    /// The partition is none of those that the topic is to have.
    #[error("it never had partition {0}")]
    NoPartition(i32),
    /// A setting that the topic is made with is wrong.
    #[error("setting {0} is wrong: {1}")]
    Setting(String, String),
    /// The cluster does not take one of the settings that it is to be made with.
    #[error("the cluster does not take one of the settings that it is to be made with")]
    Settings,
    /// We have no right to do that to it.
    #[error("no right to it: the cluster's ACLs do not allow {0}")]
    Unauthorized(&'static str),
    /// There can be no topic of so many copies.
    #[error("the cluster has not as many brokers as its replication factor asks for")]
    Replication,
    /// A policy of the cluster forbids to make it.
    #[error("a policy of the cluster forbids to make it as it is asked for")]
    Policy,
    /// It takes no records like ours.
    #[error("{0}")]
    Record(&'static str),
    /// It is one of the instance's own, and not as these have to be.
    #[error("{0}")]
    Internal(String),
    /// What is stored of a partition is damaged: its name, and file and byte.
    #[error("partition {0} is offline, its files are damaged: {1}")]
    Offline(String, String),
}

impl From<log::Refusal> for Refusal {
    fn from(refusal: log::Refusal) -> Self {
        match refusal {
            log::Refusal::TooLarge { size, max } => Self::TooLarge { size, max },
            log::Refusal::Name(why) => Self::Name(why.to_owned()),
            log::Refusal::Owned(owner) => Self::Owned(owner),
            log::Refusal::Partitions(count, why) => Self::Partitions(count, why.to_owned()),
            log::Refusal::NoPartition(partition) => Self::NoPartition(partition),
            log::Refusal::Setting(key, why) => Self::Setting(key, why.to_owned()),
            log::Refusal::Offline(partition, place) => Self::Offline(partition, place),
        }
    }
}
