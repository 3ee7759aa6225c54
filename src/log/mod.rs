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

mod appender;
mod ballast;
mod catalog;
mod checkpoint;
mod compaction;
mod error;
mod index;
mod instance_writer;
mod journal;
mod keeper;
mod partition;
mod producer;
mod queue;
mod reader;
mod recovery;
mod retention;
mod segment;
mod settings;
mod shared;
mod staged;
mod topic;
mod watermarks;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use appender::Appender;
use appender::operation::{Change, Operation, Reply};
use partition::Partition;
use queue::Request;
use reader::{Access, Span, Trouble};
use recovery::Opened;
use shared::Shared;

use crate::disk::{Disk, Lock};
use crate::record::batches;
use crate::shutdown::Tasks;

pub use error::{AppendError, OpenError, ReadError, TopicError, WriterError};
pub use instance_writer::{Receipt, Restored, StateKind, StateWrite, Writer};
pub use settings::LogSettings;
pub use topic::{METADATA_TOPIC, NewTopic, Topic, TopicConfig};

/// How much a scan over a partition reads at once.
const SCAN_BYTES: usize = 1 << 20;

/// The open log. Cheap to clone; it is closed by [`Log::close`], or when the last clone
/// is dropped.
#[derive(Clone, Debug)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    tasks: Tasks,
    /// Resolves when the appender has ended.
    ended: watch::Receiver<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

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
    /// They end when the log is closed, not when the tasks are cancelled: what others still
    /// have to say goes into the log.
    pub async fn open(
        disk: Arc<dyn Disk>,
        settings: LogSettings,
        tasks: &Tasks,
    ) -> Result<Self, OpenError> {
        let opening = tasks.spawn_blocking("open the log", move || {
            let lock = disk.lock().map_err(|error| match error.kind() {
                std::io::ErrorKind::WouldBlock => OpenError::Locked,
                _ => OpenError::Io { doing: "lock the log directory".to_owned(), source: error },
            })?;
            let opened = match recovery::open(&disk, settings.clone()) {
                Err(OpenError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::StorageFull
                        && ballast::give_up(&*disk) =>
                {
                    recovery::open(&disk, settings)
                }
                opened => opened,
            };
            opened.map(|opened| (opened, lock))
        });
        let stopped = |error: tokio::task::JoinError| OpenError::Unknown(error.to_string());
        let (Opened { shared, start, is_new }, lock) = opening.await.map_err(stopped)??;
        let shared = Arc::new(shared);
        let (jobs, keeper) = mpsc::channel();
        let (outcomes, outcome) = mpsc::channel();
        let mut appender = Appender::new(Arc::clone(&shared), start, jobs, outcome);
        let introduced = tasks.spawn_blocking("open the log", move || {
            if is_new {
                appender.introduce()?;
            }
            Ok(appender)
        });
        let appender = introduced.await.map_err(stopped)??;
        let (end, ended) = watch::channel(());
        tasks.spawn_blocking("append to the log", move || work(appender, lock, end));
        let disk = Arc::clone(&shared.disk);
        tasks.spawn_blocking("keep the log", move || keeper::run(&disk, &keeper, &outcomes));
        Ok(Self(Arc::new(Inner { shared, tasks: tasks.clone(), ended })))
    }

    /// Writes a checkpoint and stops: what is appended after is refused. Cancel safe.
    pub async fn close(&self) {
        self.shared().queue.close();
        let mut ended = self.0.ended.clone();
        // The sender is dropped at the end of the appender: an error is what to wait for.
        while ended.changed().await.is_ok() {}
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    fn put(&self, request: Request) -> Result<(), AppendError> {
        self.shared().queue.put(request).map_err(|_| AppendError::Closed)
    }

    fn operate(&self, operation: Operation) -> Result<(), AppendError> {
        self.put(Request::Operation(operation))
    }

    /// Asks the appender for something and waits for the answer.
    async fn ask<T, E: From<AppendError>>(
        &self,
        operation: impl FnOnce(Reply<T, E>) -> Operation,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        self.operate(operation(reply))?;
        answer.await.unwrap_or_else(|_| Err(AppendError::Closed.into()))
    }

    /// The id of this cluster of one.
    pub fn cluster_id(&self) -> &str {
        &self.shared().cluster
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.shared().catalog(catalog::Catalog::all)
    }

    /// A topic by name.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.shared().catalog(|topics| topics.by_name(name).cloned())
    }

    /// A topic by id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.shared().catalog(|topics| topics.by_id(id).cloned())
    }

    /// Makes a topic; durable when this returns. Dropping the future does not undo it.
    pub async fn create_topic(&self, new: NewTopic) -> Result<Arc<Topic>, TopicError> {
        self.ask(|reply| Operation::CreateTopic(new, reply)).await
    }

    /// Deletes a topic and its records.
    pub async fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        self.ask(|reply| Operation::DeleteTopic(name.to_owned(), reply)).await
    }

    /// Gives a topic more partitions.
    pub async fn grow_topic(&self, name: &str, partitions: i32) -> Result<Arc<Topic>, TopicError> {
        self.change_topic(name, Change::Grow(partitions)).await
    }

    /// Sets (`Some`) and unsets (`None`) settings of a topic.
    pub async fn configure_topic(
        &self,
        name: &str,
        changes: Vec<(String, Option<String>)>,
    ) -> Result<Arc<Topic>, TopicError> {
        self.change_topic(name, Change::Configure(changes)).await
    }

    /// Says which instance writes a topic.
    pub async fn own_topic(
        &self,
        name: &str,
        owner: Option<String>,
    ) -> Result<Arc<Topic>, TopicError> {
        self.change_topic(name, Change::Own(owner)).await
    }

    async fn change_topic(&self, name: &str, change: Change) -> Result<Arc<Topic>, TopicError> {
        self.ask(|reply| Operation::ChangeTopic(name.to_owned(), change, reply)).await
    }

    /// Appends batches, each for itself; resolves when all are durable and published, or
    /// refused. A batch of a producer is checked against its last five. Dropping the
    /// future does not take back what is queued.
    pub async fn append(&self, batches: Vec<Produce>) -> Vec<Result<Appended, AppendError>> {
        self.enqueue(batches).await.await
    }

    /// As [`Log::append`], in two steps: when this returns, the batches have their place
    /// in the order of all appends; the future it gives resolves as `append` does.
    pub async fn enqueue(
        &self,
        batches: Vec<Produce>,
    ) -> impl Future<Output = Vec<Result<Appended, AppendError>>> + Send + use<> {
        let count = batches.len();
        let bytes = batches.iter().map(|one| one.batch.len()).sum();
        let queued = self.shared().queue.room(bytes).await.and_then(|room| {
            let (reply, answer) = oneshot::channel();
            self.put(Request::Each(batches, reply, room)).map(|()| answer)
        });
        async move {
            let refuse = |error: AppendError| vec![Err(error); count];
            match queued {
                Ok(answer) => answer.await.unwrap_or_else(|_| refuse(AppendError::Closed)),
                Err(error) => refuse(error),
            }
        }
    }

    /// Appends batches together: all of them in one frame, or none. For coordinators
    /// (markers, offsets, state); skips the checks of producers' sequences.
    pub async fn append_atomic(&self, batches: Vec<Produce>) -> Result<Vec<Appended>, AppendError> {
        let bytes = batches.iter().map(|one| one.batch.len()).sum();
        let room = self.shared().queue.room(bytes).await?;
        let (reply, answer) = oneshot::channel();
        self.put(Request::All(batches, reply, room))?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Moves the start of a partition up to `offset` (-1: to its end), and returns it.
    pub async fn delete_records(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        offset: i64,
    ) -> Result<i64, AppendError> {
        let topic = Arc::clone(topic);
        self.ask(|reply| Operation::DeleteRecords(topic, partition, offset, reply)).await
    }

    /// `count` producer ids that nobody ever had: the first of them.
    pub async fn new_producer_ids(&self, count: i64) -> Result<i64, AppendError> {
        self.ask(|reply| Operation::ProducerIds(count, reply)).await
    }

    /// The producers that a partition remembers.
    pub async fn producers(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
    ) -> Result<Vec<Producer>, AppendError> {
        let topic = Arc::clone(topic);
        self.ask(|reply| Operation::Producers(topic, partition, reply)).await
    }

    /// What may be read of partitions, all at the same moment.
    pub fn ends(&self, partitions: &[(Arc<Topic>, i32)]) -> Vec<Result<Ends, ReadError>> {
        self.shared().watermarks.snapshot(|ends| {
            let find = |(topic, number): &(Arc<Topic>, i32)| {
                find(topic, *number).map(|partition| ends(partition.slot))
            };
            partitions.iter().map(find).collect()
        })
    }

    /// Whole batches from the one that holds `offset`, as they are stored, below `limit`
    /// (the high watermark or last stable offset that [`Log::ends`] gave). About
    /// `max_bytes`; the first batch comes whole if `at_least_one`. Cancel safe.
    pub async fn read(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        offset: i64,
        limit: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<Bytes, ReadError> {
        let found = find(topic, partition)?;
        let Ends { log_start, high_watermark, .. } = self.shared().watermarks.get(found.slot);
        if offset < log_start || offset > high_watermark {
            let (start, end) = (log_start, high_watermark);
            return Err(ReadError::OffsetOutOfRange { offset, start, end });
        }
        let span = Span { offset, limit: limit.min(high_watermark), max_bytes, at_least_one };
        if offset >= span.limit {
            return Ok(Bytes::new());
        }
        let interval = self.shared().settings.index_interval_bytes;
        match reader::read(found, span, interval, Access::Cached) {
            Err(Trouble { error, .. }) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            result => return result.map_err(|trouble| unreadable(trouble, offset)),
        }
        let found = Arc::clone(found);
        let read = move || reader::read(&found, span, interval, Access::Any);
        self.off_thread(read).await?.map_err(|trouble| unreadable(trouble, offset))
    }

    /// The aborted transactions that overlap `from..to`.
    pub fn aborted(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        from: i64,
        to: i64,
    ) -> Result<Vec<Aborted>, ReadError> {
        Ok(find(topic, partition)?.aborted(from, to))
    }

    /// The first record below `limit` that is not older than `timestamp`: offset and
    /// timestamp (of a compressed batch, those of its first record). Cancel safe.
    pub async fn offset_for_time(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        timestamp: i64,
        limit: i64,
    ) -> Result<Option<(i64, i64)>, ReadError> {
        let found = Arc::clone(find(topic, partition)?);
        let start = self.shared().watermarks.get(found.slot).log_start;
        let look = move || reader::offset_for_time(&found, start, timestamp, limit);
        self.off_thread(look).await?.map_err(|trouble| unreadable(trouble, start))
    }

    /// Everything of a partition, in pieces of whole batches: to restore a coordinator.
    pub async fn read_all(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
    ) -> Result<Vec<Bytes>, ReadError> {
        let ends = self.shared().watermarks.get(find(topic, partition)?.slot);
        let mut pieces = Vec::new();
        let mut offset = ends.log_start;
        while offset < ends.high_watermark {
            let limit = ends.high_watermark;
            let piece = self.read(topic, partition, offset, limit, SCAN_BYTES, true).await?;
            match batches(&piece).filter_map(Result::ok).last() {
                Some(last) => offset = last.head().last_offset() + 1,
                None => break,
            }
            pieces.push(piece);
        }
        Ok(pieces)
    }

    /// Shows each record of a partition with a key: offset, key, value. In order, a part
    /// of them at a time.
    async fn each_record(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        visit: impl FnMut(i64, &[u8], Option<&[u8]>) + Send,
    ) -> Result<(), ReadError> {
        let ends = self.shared().watermarks.get(find(topic, partition)?.slot);
        self.each_record_of(topic, partition, ends.log_start, ends.high_watermark, visit).await
    }

    async fn each_record_of(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        mut offset: i64,
        limit: i64,
        mut visit: impl FnMut(i64, &[u8], Option<&[u8]>) + Send,
    ) -> Result<(), ReadError> {
        while offset < limit {
            let piece = self.read(topic, partition, offset, limit, SCAN_BYTES, true).await?;
            let mut next = None;
            for batch in batches(&piece).map_while(Result::ok) {
                next = Some(batch.head().last_offset() + 1);
                for record in batch.records().map_while(Result::ok) {
                    if let Some(key) = record.key {
                        visit(record.offset, key, record.value);
                    }
                }
            }
            match next {
                Some(next) => offset = next,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// How many bytes the segments of a partition hold.
    pub fn size(&self, topic: &Arc<Topic>, partition: i32) -> Result<u64, ReadError> {
        let segments = find(topic, partition)?.segments();
        Ok(segments.iter().map(|segment| segment.size()).sum())
    }

    /// Rises with each publication: what waits for records waits here.
    pub fn published(&self) -> watch::Receiver<u64> {
        self.shared().watermarks.watch()
    }

    /// The writer of an instance; it must be opened before use.
    pub fn writer(&self, instance: &str, group: &str) -> Writer {
        Writer::new(self.clone(), instance, group)
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let done = self.tasks().spawn_blocking("read the log", work).await;
        done.map_err(|error| ReadError::Io {
            place: "the log".to_owned(),
            source: std::io::Error::other(error),
        })
    }
}

/// The appender's life. The lock is given back when everything is written.
fn work(appender: Appender, lock: Lock, end: watch::Sender<()>) {
    appender.run();
    drop(lock);
    drop(end);
}

fn find(topic: &Topic, number: i32) -> Result<&Arc<Partition>, ReadError> {
    topic.partition(number).ok_or_else(|| ReadError::UnknownPartition {
        topic: topic.name().to_string(),
        partition: number,
    })
}

fn unreadable(trouble: Trouble, offset: i64) -> ReadError {
    let Trouble { place, error } = trouble;
    match error.kind() {
        std::io::ErrorKind::InvalidData => ReadError::Damaged { place, offset },
        _ => ReadError::Io { place, source: error },
    }
}
