//! The log: topics cut into partitions of record batches, durable together.
//!
//! Owns: everything under the log directory. In: validated batches, instance commits,
//! changes of topics. Out: whole batches as they are stored, the ends that may be read.
//!
//! What holds:
//! - one thread (`appender`) owns every append; what one group appends is durable by one
//!   journal frame, and published under one lock, together or not at all;
//! - what a crash can take back is never shown to a reader;
//! - a failed sync makes the log read-only until the process starts again.
//!
//! The way of an append: [`Log::append`] or [`Writer::commit`] → queue → `appender`
//! (group) → segments → journal frame → watermarks → receipt. The way of a read:
//! [`Log::ends`] → [`Log::read`] → index → segment → whole batches below the end.

mod error;
mod instance_writer;
mod settings;
mod topic;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use crate::disk::Disk;
use crate::shutdown::Tasks;

pub use error::{AppendError, OpenError, ReadError, TopicError, WriterError};
pub use instance_writer::{Receipt, Restored, RestoredRecord, StateWrite, Writer};
pub use settings::LogSettings;
pub use topic::{METADATA_TOPIC, NewTopic, Topic, TopicConfig};

/// The open log. Cheap to clone; it is closed by [`Log::close`], or when the last clone
/// is dropped.
#[derive(Clone, Debug)]
pub struct Log(Arc<()>);

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

impl Log {
    /// Opens the log, recovering what a crash left, and starts its threads under `tasks`.
    pub async fn open(
        _disk: Arc<dyn Disk>,
        _settings: LogSettings,
        _tasks: &Tasks,
    ) -> Result<Self, OpenError> {
        todo!()
    }

    /// Writes a checkpoint and stops: what is appended after is refused.
    pub async fn close(&self) {
        todo!()
    }

    /// The id of this cluster of one.
    pub fn cluster_id(&self) -> &str {
        todo!()
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        todo!()
    }

    /// A topic by name.
    pub fn topic(&self, _name: &str) -> Option<Arc<Topic>> {
        todo!()
    }

    /// A topic by id.
    pub fn topic_by_id(&self, _id: Uuid) -> Option<Arc<Topic>> {
        todo!()
    }

    /// Makes a topic; durable when this returns. Dropping the future does not undo it.
    pub async fn create_topic(&self, _new: NewTopic) -> Result<Arc<Topic>, TopicError> {
        todo!()
    }

    /// Deletes a topic and its records.
    pub async fn delete_topic(&self, _name: &str) -> Result<(), TopicError> {
        todo!()
    }

    /// Gives a topic more partitions.
    pub async fn grow_topic(
        &self,
        _name: &str,
        _partitions: i32,
    ) -> Result<Arc<Topic>, TopicError> {
        todo!()
    }

    /// Sets (`Some`) and unsets (`None`) settings of a topic.
    pub async fn configure_topic(
        &self,
        _name: &str,
        _changes: Vec<(String, Option<String>)>,
    ) -> Result<Arc<Topic>, TopicError> {
        todo!()
    }

    /// Says which instance writes a topic.
    pub async fn own_topic(
        &self,
        _name: &str,
        _owner: Option<String>,
    ) -> Result<Arc<Topic>, TopicError> {
        todo!()
    }

    /// Appends batches, each for itself; resolves when all are durable and published, or
    /// refused. A batch of a producer is checked against its last five. Dropping the
    /// future does not take back what is queued.
    pub async fn append(&self, _batches: Vec<Produce>) -> Vec<Result<Appended, AppendError>> {
        todo!()
    }

    /// Appends batches together: all of them in one frame, or none. For coordinators
    /// (markers, offsets, state); skips the checks of producers' sequences.
    pub async fn append_atomic(
        &self,
        _batches: Vec<Produce>,
    ) -> Result<Vec<Appended>, AppendError> {
        todo!()
    }

    /// Moves the start of a partition up to `offset` (-1: to its end), and returns it.
    pub async fn delete_records(
        &self,
        _topic: &Arc<Topic>,
        _partition: i32,
        _offset: i64,
    ) -> Result<i64, AppendError> {
        todo!()
    }

    /// `count` producer ids that nobody ever had: the first of them.
    pub async fn new_producer_ids(&self, _count: i64) -> Result<i64, AppendError> {
        todo!()
    }

    /// The producers that a partition remembers.
    pub async fn producers(
        &self,
        _topic: &Arc<Topic>,
        _partition: i32,
    ) -> Result<Vec<Producer>, AppendError> {
        todo!()
    }

    /// What may be read of partitions, all at the same moment.
    pub fn ends(&self, _partitions: &[(Arc<Topic>, i32)]) -> Vec<Result<Ends, ReadError>> {
        todo!()
    }

    /// Whole batches from the one that holds `offset`, as they are stored, below `limit`
    /// (the high watermark or last stable offset that [`Log::ends`] gave). About
    /// `max_bytes`; the first batch comes whole if `at_least_one`. Cancel safe.
    pub async fn read(
        &self,
        _topic: &Arc<Topic>,
        _partition: i32,
        _offset: i64,
        _limit: i64,
        _max_bytes: usize,
        _at_least_one: bool,
    ) -> Result<Bytes, ReadError> {
        todo!()
    }

    /// The aborted transactions that overlap `from..to`.
    pub fn aborted(
        &self,
        _topic: &Arc<Topic>,
        _partition: i32,
        _from: i64,
        _to: i64,
    ) -> Result<Vec<Aborted>, ReadError> {
        todo!()
    }

    /// The first record below `limit` that is not older than `timestamp`: offset and
    /// timestamp (of its batch's first record, as exact as an index is). Cancel safe.
    pub async fn offset_for_time(
        &self,
        _topic: &Arc<Topic>,
        _partition: i32,
        _timestamp: i64,
        _limit: i64,
    ) -> Result<Option<(i64, i64)>, ReadError> {
        todo!()
    }

    /// Everything of a partition, in pieces of whole batches: to restore a coordinator.
    pub async fn read_all(
        &self,
        _topic: &Arc<Topic>,
        _partition: i32,
    ) -> Result<Vec<Bytes>, ReadError> {
        todo!()
    }

    /// How many bytes the segments of a partition hold.
    pub fn size(&self, _topic: &Arc<Topic>, _partition: i32) -> Result<u64, ReadError> {
        todo!()
    }

    /// Rises with each publication: what waits for records waits here.
    pub fn published(&self) -> watch::Receiver<u64> {
        todo!()
    }

    /// The writer of an instance; it must be opened before use.
    pub fn writer(&self, _instance: &str, _group: &str) -> Writer {
        todo!()
    }
}
