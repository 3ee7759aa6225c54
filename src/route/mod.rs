//! Which topic and partition a change goes to.
//!
//! In: the text of `sluice.topic` and of Canal's `canal.mq.*` routing keys
//! ([`RouteSettings`]). Out: once per table version a [`Route`]: the topic, how many
//! partitions it needs, and the rule that finds a row's partition; once per statement a
//! [`Destination`]. Pure.
//!
//! Unless the instance sets `canal.mq.topic` or `canal.mq.dynamicTopic`, a table's topic is
//! `sluice.topic` with its names put in. What has no database or no table goes to the
//! default topic: `canal.mq.topic`, else the instance's name.
//!
//! Always holds: a topic name is one that Kafka takes; a partition is below `partitions`;
//! with Canal's keys, both are those that Canal would choose.

mod hash;
mod pattern;
mod router;
mod topic;

pub use hash::{HashRule, RowHash};
pub use router::Router;

use std::sync::Arc;

/// The settings of an instance that decide topics and partitions, as text. Blank is unset.
#[derive(Clone, Debug)]
pub struct RouteSettings {
    /// Name of the instance.
    pub instance: String,
    /// `sluice.topic`, with the places `{schema}` and `{table}`.
    pub template: String,
    /// `canal.mq.topic`.
    pub topic: Option<String>,
    /// `canal.mq.dynamicTopic`.
    pub dynamic_topic: Option<String>,
    /// `canal.mq.partition`: of everything, unless there is a partition hash.
    pub partition: i32,
    /// `canal.mq.partitionHash`.
    pub partition_hash: Option<String>,
    /// `canal.mq.partitionsNum`.
    pub partitions_num: Option<i32>,
    /// `canal.mq.dynamicTopicPartitionNum`.
    pub dynamic_topic_partition_num: Option<String>,
    /// As many partitions as a topic may have.
    pub most_partitions: i32,
    /// `canal.mq.database.hash`: whether the database counts in the partition hash.
    pub database_hash: bool,
}

/// Where the rows of a table version go.
#[derive(Clone, Debug)]
pub struct Route {
    /// The topic.
    pub topic: Arc<str>,
    /// Partitions the topic has to have at least.
    pub partitions: i32,
    /// Which of them.
    pub rule: PartitionRule,
    /// The name that was asked for, where Kafka would refuse it. Worth a line in the log.
    pub renamed_from: Option<String>,
}

/// How a row's partition is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionRule {
    /// The same for every row.
    Fixed(i32),
    /// By the values of columns.
    Columns(HashRule),
}

/// Where a statement goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The topic.
    pub topic: Arc<str>,
    /// Partitions the topic has to have at least.
    pub partitions: i32,
    /// The partition.
    pub partition: i32,
    /// The name that was asked for, where Kafka would refuse it.
    pub renamed_from: Option<String>,
}

/// What is wrong with a routing setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A pattern that is no regular expression.
    #[error("{key}: `{pattern}` is not a regular expression: {reason}")]
    Pattern {
        /// The setting.
        key: &'static str,
        /// The pattern, as written.
        pattern: String,
        /// Why not.
        reason: String,
    },
    /// A number of partitions that is none.
    #[error("{key}: `{text}` is not a number of partitions (1 to {most})")]
    Partitions {
        /// The setting.
        key: &'static str,
        /// The value.
        text: String,
        /// As many as a topic may have.
        most: i32,
    },
    /// A partition that cannot be.
    #[error("canal.mq.partition: `{partition}` is not a partition (0 to {last})")]
    Partition {
        /// The value.
        partition: i32,
        /// The last that a topic may have.
        last: i32,
    },
    /// A template that could give no legal topic name.
    #[error("sluice.topic: `{0}` is too long, or has a place other than {{schema}} and {{table}}")]
    Template(String),
}

#[cfg(test)]
mod tests;
