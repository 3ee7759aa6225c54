//! The handle of the open log: what its users hold.
//!
//! Owns: starting and stopping the log's threads. In: calls of the broker and of sinks.
//! Out: requests in the appender's queue, and their answers; reads go past the queue
//! (`reads`).

mod reads;

pub use reads::Waiter;

use std::sync::Arc;
use std::sync::mpsc;

use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::appender::operation::{Change, Operation, Reply};
use super::appender::topics::{check_growth, judge};
use super::appender::{Appender, Helpers};
use super::error::{AppendError, BackupError, OpenError, TopicError};
use super::instance_writer::Writer;
use super::queue::{Request, Room};
use super::recovery::{self, Opened};
use super::settings::LogSettings;
use super::shared::{Guard, Shared, broken_by};
use super::topic::{NewTopic, Topic};
use super::topic_config::TopicConfig;
use super::{
    Appended, Backup, Figures, Produce, Producer, Trouble, backup, ballast, catalog, damage, keeper,
};
use crate::clock::Clock;
use crate::disk::{Disk, Lock};
use crate::shutdown::Tasks;

/// The name of the thread that appends.
const APPENDER: &str = "append to the log";

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
        let (compactions, compactor) = mpsc::channel();
        let (outcomes, outcome) = mpsc::channel();
        let helpers = Helpers { keeper: jobs, compactor: compactions, outcomes: outcome };
        let with_ballast = Arc::clone(&shared);
        let introduced = tasks.spawn_blocking("open the log", move || {
            let mut appender = Appender::new(with_ballast, start, helpers);
            if is_new {
                appender.introduce()?;
            }
            Ok(appender)
        });
        let appender = introduced.await.map_err(stopped)??;
        let (end, ended) = watch::channel(());
        let guard = |name, is_appender| Guard { shared: Arc::clone(&shared), name, is_appender };
        let appending = guard(APPENDER, true);
        tasks
            .spawn_blocking_critical(appending.name, move || work(&appending, appender, lock, end));
        let keeping =
            [(guard("keep the log", false), keeper), (guard("compact the log", false), compactor)];
        for (guard, jobs) in keeping {
            let outcomes = outcomes.clone();
            let name = guard.name;
            let work = move || keeper::run(&guard.shared, &jobs, &outcomes);
            tasks.spawn_blocking_critical(name, work);
        }
        let looking = Arc::clone(&shared);
        tasks.spawn_blocking("look for damage in the log", move || damage::look_at_all(&looking));
        Ok(Self(Arc::new(Inner { shared, tasks: tasks.clone(), ended })))
    }

    /// Writes a checkpoint and stops: what is appended after is refused. Cancel safe.
    pub async fn close(&self) {
        self.shared().queue.close();
        let mut ended = self.0.ended.clone();
        // The sender is dropped at the end of the appender: an error is what to wait for.
        while ended.changed().await.is_ok() {}
    }

    pub(in crate::log) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    pub(in crate::log) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    pub(in crate::log) fn put(&self, request: Request) -> Result<(), AppendError> {
        self.shared().queue.put(request).map_err(|_| self.ended())
    }

    pub(in crate::log) fn operate(&self, operation: Operation) -> Result<(), AppendError> {
        self.put(Request::Operation(operation))
    }

    /// Waits for room in the queue.
    async fn room(&self, bytes: usize) -> Result<Room, AppendError> {
        self.shared().queue.room(bytes).await.map_err(|_| self.ended())
    }

    /// Why an answer did not come.
    pub(in crate::log) fn ended(&self) -> AppendError {
        let shared = self.shared();
        match shared.broken() {
            Some(reason) => AppendError::ReadOnly(reason),
            None if shared.queue.is_closed() => AppendError::Closed,
            // It is about to be told: nothing else drops a request that was taken.
            None => AppendError::ReadOnly(broken_by(APPENDER)),
        }
    }

    /// Asks the appender for something and waits for the answer.
    async fn ask<T, E: From<AppendError>>(
        &self,
        operation: impl FnOnce(Reply<T, E>) -> Operation,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        self.operate(operation(reply))?;
        answer.await.unwrap_or_else(|_| Err(self.ended().into()))
    }

    /// The partitions that are offline, and what is damaged of each, with file and byte.
    pub fn damage(&self) -> watch::Receiver<Vec<(String, String)>> {
        self.shared().findings.watch()
    }

    /// What keeps the log from taking what is written to it.
    pub fn trouble(&self) -> watch::Receiver<Trouble> {
        self.shared().troubles.watch()
    }

    /// What it counted.
    pub fn figures(&self) -> Figures {
        let space = self.shared().disk.space().ok();
        Figures { free_bytes: space.map(|space| space.free), ..self.shared().troubles.figures() }
    }

    /// What time it is.
    pub fn clock(&self) -> &Clock {
        &self.shared().settings.clock
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

    /// Whether a topic could be made. Nothing is.
    pub fn judge_topic(&self, new: &NewTopic) -> Result<(), TopicError> {
        judge(self.shared(), new).map(|_| ())
    }

    /// Whether a topic could have so many partitions. Nothing is changed.
    pub fn judge_growth(&self, name: &str, partitions: i32) -> Result<(), TopicError> {
        let topic = self.topic(name).ok_or_else(|| TopicError::Unknown(name.to_owned()))?;
        check_growth(topic.partitions(), partitions)
    }

    /// Whether settings of a topic could be changed. Nothing is.
    pub fn judge_settings(
        &self,
        name: &str,
        changes: &[(String, Option<String>)],
    ) -> Result<(), TopicError> {
        let topic = self.topic(name).ok_or_else(|| TopicError::Unknown(name.to_owned()))?;
        let mut settings = topic.settings().clone();
        for (key, value) in changes {
            match value {
                Some(value) => settings.insert(key.clone(), value.clone()),
                None => settings.remove(key),
            };
        }
        let keys = changes.iter().map(|(key, _)| key);
        TopicConfig::changed(name, &settings, keys, &self.shared().settings).map(|_| ())
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
        let queued = self.room(bytes).await.and_then(|room| {
            let (reply, answer) = oneshot::channel();
            self.put(Request::Each(batches, reply, room)).map(|()| answer)
        });
        let log = self.clone();
        async move {
            let refuse = |error: AppendError| vec![Err(error); count];
            match queued {
                Ok(answer) => answer.await.unwrap_or_else(|_| refuse(log.ended())),
                Err(error) => refuse(error),
            }
        }
    }

    /// Appends batches together: all of them in one frame, or none. For coordinators
    /// (markers, offsets, state); skips the checks of producers' sequences.
    pub async fn append_atomic(&self, batches: Vec<Produce>) -> Result<Vec<Appended>, AppendError> {
        let bytes = batches.iter().map(|one| one.batch.len()).sum();
        let room = self.room(bytes).await?;
        let (reply, answer) = oneshot::channel();
        self.put(Request::All(batches, reply, room))?;
        answer.await.unwrap_or_else(|_| Err(self.ended()))
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

    /// Copies the log to an empty disk while it goes on: there it opens as a log that was closed,
    /// with everything that was acknowledged before this was called.
    pub async fn backup(&self, to: Arc<dyn Disk>) -> Result<Backup, BackupError> {
        let held = self.ask(Operation::Hold).await.map_err(BackupError::Log)?;
        let shared = Arc::clone(self.shared());
        let copying = move || backup::copy(&shared, &held, &*to);
        let copied = self.tasks().spawn_blocking("back the log up", copying).await;
        copied.unwrap_or(Err(BackupError::Stopping))
    }

    /// The writer of an instance; it must be opened before use.
    pub fn writer(&self, instance: &str, group: &str) -> Writer {
        Writer::new(self.clone(), instance, group)
    }
}

/// The appender's life. The lock is given back when everything is written.
fn work(_guard: &Guard, appender: Appender, lock: Lock, end: watch::Sender<()>) {
    appender.run();
    drop(lock);
    drop(end);
}
