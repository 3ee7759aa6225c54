//! How the faces of the log fail. The text is for operators; the variant decides.

use std::io;

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("another process has this log: stop it, or set log.dirs to a directory of its own")]
    Locked,
    /// Bytes that were durable are not as they were written.
    #[error(
        "the log is damaged: {0}; put a copy of the directory in its place, or start with \
         SLUICE_LOG_ACCEPT_DAMAGE=true to go on without what the damage hit"
    )]
    Damaged(String),
    /// The same of a segment or of the checkpoint, and nothing tells what to go on with.
    #[error(
        "the log is damaged: {0}; put a copy of the directory in its place, or set log.dirs to \
         an empty one to begin anew"
    )]
    Torn(String),
    /// Written by something newer, or not by us.
    #[error("the log cannot be read: {0}")]
    Unknown(String),
    /// The system failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Why there is no copy of the log.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is something in the directory.
    #[error("the directory is not empty: name one that is, or that is not there yet")]
    NotEmpty,
    /// Its disk is too small.
    #[error("it needs {needed} bytes, and {free} are free there")]
    NoRoom {
        /// Bytes of records.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// What is to be copied cannot be read.
    #[error("read {place}: {source}; once `/health` shows that partition as damaged, try again")]
    Read {
        /// The file or directory of the log.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// The copy cannot be written.
    #[error("write {place} of the copy: {source}")]
    Write {
        /// The file or directory of the copy.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// The log is being closed.
    #[error("sluice is stopping")]
    Stopping,
    /// The log did not answer.
    #[error(transparent)]
    Log(#[from] AppendError),
}

/// Why an append was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The topic was deleted, or never had this partition.
    #[error("there is no partition {partition} of topic {topic}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The bytes are not one whole record batch v2.
    #[error("not a record batch: {0}")]
    Corrupt(&'static str),
    /// Larger than `max.message.bytes` of the topic.
    #[error("a batch of {size} bytes is larger than max.message.bytes, {max}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// What the topic takes.
        max: usize,
    },
    /// A sequence number that does not follow the last.
    #[error("sequence {got} of producer {producer_id} does not follow {expected}")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// What it sent.
        got: i32,
        /// What would have followed.
        expected: i32,
    },
    /// A newer session of the producer has written.
    #[error("epoch {got} of producer {producer_id} is older than {current}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: i64,
        /// What it sent.
        got: i16,
        /// The newest epoch seen.
        current: i16,
    },
    /// An offset beyond the end.
    #[error("offset {0} is out of range")]
    OffsetOutOfRange(i64),
    /// What is stored of the partition is damaged: file and byte.
    #[error("partition {partition} is offline, its files are damaged: {place}")]
    Offline {
        /// The partition, as `<topic>-<number>`.
        partition: String,
        /// The file, and the byte in it.
        place: String,
    },
    /// The disk is full; it goes on by itself when there is room.
    #[error("no room left on the disk of the log")]
    Full,
    /// The disk refused; the log goes on.
    #[error("{0}")]
    Failed(String),
    /// A sync failed: nobody can say what is durable. Read-only until restart.
    #[error("the log is read-only since a disk error ({0}); restart to recover it")]
    ReadOnly(String),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why a topic was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// There is one of this name.
    #[error("topic {0} exists")]
    Exists(String),
    /// There is none of this name.
    #[error("there is no topic {0}")]
    Unknown(String),
    /// Not a name Kafka allows; or one that somebody else than an instance asks for, and that
    /// differs from another only by `.` and `_`.
    #[error("topic name {0:?} is not allowed: {1}")]
    InvalidName(String, &'static str),
    /// Fewer than one, or fewer than there are.
    #[error("a topic cannot have {0} partitions: {1}")]
    InvalidPartitions(i32, &'static str),
    /// A setting that does not exist, or a value it cannot take.
    #[error("setting {key} cannot be {value:?}: {reason}")]
    InvalidConfig {
        /// The setting.
        key: String,
        /// The value.
        value: String,
        /// Why.
        reason: &'static str,
    },
    /// An instance of another name writes it.
    #[error("topic {topic} is written by instance {owner}")]
    Owned {
        /// The topic.
        topic: String,
        /// Who writes it.
        owner: String,
    },
    /// The change could not be made durable.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The topic was deleted, or never had this partition.
    #[error("there is no partition {partition} of topic {topic}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Before the start of the partition, or behind its end.
    #[error("offset {offset} is outside {start}..{end}")]
    OffsetOutOfRange {
        /// What was asked for.
        offset: i64,
        /// The first offset there is.
        start: i64,
        /// Behind the last.
        end: i64,
    },
    /// What is stored of the partition is not what was written.
    #[error("partition {partition} is offline, its files are damaged: {place}")]
    Offline {
        /// The partition, as `<topic>-<number>`.
        partition: String,
        /// The file, and the byte in it.
        place: String,
    },
    /// The system failed.
    #[error("read {place}: {source}")]
    Io {
        /// The file.
        place: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Why the writer of an instance failed. After any of these it must be opened again.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// A newer writer of the instance was opened, or this one failed and was not opened since.
    #[error("the writer belongs to an older session of instance {0}")]
    Fenced(String),
    /// The disk is full; it may have room later.
    #[error("no room left on the disk of the log")]
    Full,
    /// A topic cannot take the records, whatever the number of tries.
    #[error("topic {topic}: {reason}")]
    Refused {
        /// The topic.
        topic: String,
        /// Why.
        reason: Refusal,
    },
    /// Nobody can say whether it became durable; opening again tells.
    #[error("{0}")]
    Failed(String),
}

/// What is wrong with records, or with the topic that they are to go to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A batch, which is then a single record, is larger than the topic takes.
    #[error("a batch of {size} bytes is larger than max.message.bytes, {max}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// What the topic takes.
        max: usize,
    },
    /// There can be no topic of this name.
    #[error("the name is not allowed: {0}")]
    Name(&'static str),
    /// An instance of another name writes it.
    #[error("instance {0} writes it")]
    Owned(String),
    /// There can be no topic of so many partitions.
    #[error("it cannot have {0} partitions: {1}")]
    Partitions(i32, &'static str),
    /// The partition is none of those that the topic is to have.
    #[error("it never had partition {0}")]
    NoPartition(i32),
    /// A setting that the topic is made with is wrong.
    #[error("setting {0} is wrong: {1}")]
    Setting(String, &'static str),
    /// What is stored of a partition is damaged: its name, and file and byte.
    #[error("partition {0} is offline, its files are damaged: {1}")]
    Offline(String, String),
}
