//! The log: topics cut into partitions of record batches, durable together.
//!
//! Owns: everything under the log directory. In: validated batches, instance commits,
//! changes of topics. Out: whole batches as they are stored, the ends that may be read.
//!
//! What holds:
//! - one thread (`appender`) owns every append; what one group appends is durable by one
//!   journal frame, and published under one lock, together or not at all;
//! - what a crash can take back is never shown to a reader, nor what was damaged on disk;
//! - damage of a partition takes that partition offline, and no other;
//! - a failed sync makes the log read-only until the process starts again.
//!
//! The way of an append: [`Log::append`] or [`Writer::commit`] → queue → `appender`
//! (group) → segments → journal frame → watermarks → receipt. The way of a read:
//! [`Log::ends`] → [`Log::read`] → index → segment → whole batches below the end.

mod appender;
mod backup;
mod ballast;
mod buffers;
mod catalog;
mod checkpoint;
mod commit;
mod compaction;
mod damage;
mod error;
mod handle;
mod index;
mod inspect;
mod instance_writer;
mod journal;
mod keeper;
mod partition;
mod place;
mod producer;
mod queue;
mod reader;
mod recovery;
mod retention;
mod scan;
mod segment;
mod settings;
mod shared;
mod staged;
mod syncing;
mod topic;
mod topic_config;
mod trouble;
mod watermarks;

/// For tests of what is written through a log: the disk that loses what was not synced.
#[cfg(test)]
pub(crate) mod simulated {
    pub(crate) type Simulated = crate::disk::Simulated;
    pub(crate) type Freeze = crate::disk::Freeze;
    pub(crate) type Hang = crate::disk::Hang;
}
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

pub use appender::topics::MOST_PARTITIONS;
pub use backup::Backup;
pub use error::{AppendError, BackupError, OpenError, ReadError, Refusal, TopicError, WriterError};
pub use handle::{Log, Waiter};
pub use inspect::{WRONG, inspect};
pub(crate) use instance_writer::internal_topic_name;
pub use instance_writer::{Receipt, Restored, StateKind, StateRead, StateWrite, TopicEnds, Writer};
pub use reader::Read;
pub use settings::{AcceptDamage, LogSettings};
pub(crate) use topic::check_name;
pub use topic::{METADATA_TOPIC, NewTopic, Topic};
pub use topic_config::TopicConfig;
pub use trouble::{Cause, Figures, Trouble};

/// One batch to append to one partition.
#[derive(Clone, Debug)]
pub struct Produce {
    /// The topic.
    pub topic: Arc<Topic>,
    /// The partition.
    pub partition: i32,
    /// One record batch v2, already validated against its CRC.
    pub batch: Bytes,
}

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record. For a repeated batch, that of the first time.
    pub base_offset: i64,
    /// The time of append, for topics whose records carry that instead of their own.
    pub log_append_time: Option<i64>,
    /// The first offset of the partition that can be read.
    pub log_start: i64,
}

/// What of a partition may be read: one moment's view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The first offset that is kept.
    pub log_start: i64,
    /// Below it everything is durable.
    pub high_watermark: i64,
    /// Below it every transaction of a producer is decided.
    pub last_stable: i64,
}

/// The segment that a partition is appended to, and how far: it only ever grows, until there is
/// a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The base offset of the segment.
    pub segment: i64,
    /// Its bytes so far, of which the last may not be published yet.
    pub bytes: u64,
}

/// A transaction of a producer that was aborted: a reader of committed records skips it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// The producer.
    pub producer_id: i64,
    /// The first offset of its transaction.
    pub first_offset: i64,
    /// The offset of the marker that ended it.
    pub last_offset: i64,
}

/// What is known of a producer in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// The last sequence number appended, -1 before the first.
    pub last_sequence: i32,
    /// When it appended last.
    pub last_timestamp: i64,
    /// The first offset of its open transaction.
    pub open_transaction: Option<i64>,
}
