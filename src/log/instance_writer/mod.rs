//! The writer of an instance: source transactions in, one frame for each.
//!
//! Owns: the parts of the open append, in memory up to the staging size and in segment
//! files of their own beyond. In: parts by topic and partition, then a position with
//! state records. Out: a receipt that resolves when all of it is durable and published.
//!
//! What holds: the newest opened writer of an instance is the only one whose commits are
//! taken; they are taken in the order they were made, and after a failed one none is
//! until the writer is opened again. The position is in the same frame as the records.

mod restore;
mod topics;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::log::Log;
use crate::log::appender::POSITION_BASE_KEY;
use crate::log::appender::operation::Operation;
use crate::log::commit::{Commit, Part, Session};
use crate::log::error::{AppendError, ReadError, Refusal, WriterError};
use crate::log::queue::Request;
use crate::log::staged::StagedPart;
use crate::log::topic::Topic;
use crate::record::{Batch, BatchBuilder, Compression, Spares};

pub use restore::{Restored, StateRead, TopicEnds};
pub(crate) use topics::internal_topic_name;

/// Resolves when a commit is durable and can be read.
pub type Receipt = Pin<Box<dyn Future<Output = Result<(), WriterError>> + Send>>;

/// The last word of the topic of snapshots.
const SNAPSHOT: &str = "snapshot";

/// A batch of more bytes is compressed on a thread that may be kept busy.
const SLOW_TO_COMPRESS: usize = 64 << 10;

/// Writes for one instance. One open append at a time.
#[derive(Debug)]
pub struct Writer {
    log: Log,
    instance: Arc<str>,
    group: String,
    /// The next commit; none before the writer is opened and after a failure.
    session: Option<Session>,
    internal: Option<Internal>,
    /// Topics that were seen to be there, and ours, since the writer was opened.
    topics: HashMap<Arc<str>, Arc<Topic>>,
    open: OpenAppend,
    compression: Compression,
}

#[derive(Debug, Default)]
struct OpenAppend {
    parts: Vec<Part>,
    bytes: usize,
    /// Once it is too large for the memory, all of it.
    staged: Vec<StagedPart>,
}

/// The instance's own topics.
#[derive(Clone, Debug)]
struct Internal {
    positions: Arc<Topic>,
    schema: Arc<Topic>,
    xa: Arc<Topic>,
    /// Made with its first record: most instances have none.
    snapshot: Option<Arc<Topic>>,
}

/// The instance's topics of state records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateKind {
    /// `__<group>.<instance>.schema`
    Schema,
    /// `__<group>.<instance>.xa`
    Xa,
    /// `__<group>.<instance>.positions`: the part of the position that seldom changes.
    PositionBase,
    /// `__<group>.<instance>.positions`: a table that is parked. Its key begins with a bracket.
    Parked,
    /// `__<group>.<instance>.snapshot`
    Snapshot,
}

impl StateKind {
    const ALL: [Self; 5] =
        [Self::Schema, Self::Xa, Self::PositionBase, Self::Parked, Self::Snapshot];
}

/// A record that becomes durable with a position.
#[derive(Clone, Debug)]
pub struct StateWrite {
    /// Where it goes.
    pub kind: StateKind,
    /// Its key.
    pub key: Bytes,
    /// `None` deletes the key.
    pub value: Option<Bytes>,
}

impl StateWrite {
    /// The part of the position that seldom changes.
    pub fn position_base(value: Bytes) -> Self {
        let key = Bytes::from_static(POSITION_BASE_KEY);
        Self { kind: StateKind::PositionBase, key, value: Some(value) }
    }
}

impl Writer {
    pub(in crate::log) fn new(log: Log, instance: &str, group: &str) -> Self {
        Self {
            log,
            instance: Arc::from(instance),
            group: group.to_owned(),
            session: None,
            internal: None,
            topics: HashMap::new(),
            open: OpenAppend::default(),
            compression: Compression::None,
        }
    }

    /// Compresses from now on what it writes into the topics of changes. What the instance
    /// itself reads again stays as it is.
    pub fn set_compression(&mut self, compression: Compression) {
        self.compression = compression;
    }

    /// The instance that it is of.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The log it writes to.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Where buffers for batches come from.
    pub fn spares(&self) -> Spares {
        self.log.shared().spares.clone()
    }

    /// Fences the former writer of the instance, waits for what it queued, and returns
    /// what was committed. Cancel safe: opening again is fine.
    pub async fn open(&mut self) -> Result<Restored, WriterError> {
        self.session = None;
        self.topics.clear();
        self.abort().await?;
        let (reply, answer) = oneshot::channel();
        self.log.operate(Operation::OpenSession(Arc::clone(&self.instance), reply))?;
        let session = answer.await.map_err(|_| closed())??;
        let positions = self.internal_topic("positions").await?;
        let schema = self.internal_topic("schema").await?;
        let xa = self.internal_topic("xa").await?;
        let restored = self.restore(&positions).await?;
        let snapshot = match self.log.topic(&self.internal_name(SNAPSHOT)) {
            Some(_) => Some(self.internal_topic(SNAPSHOT).await?),
            None => None,
        };
        self.internal = Some(Internal { positions, schema, xa, snapshot });
        self.session = Some(session);
        Ok(restored)
    }

    /// Adds records to the open append. A topic that is not there is made with
    /// `partitions` partitions and owned by the instance; one with fewer is grown.
    pub async fn append(
        &mut self,
        topic: &Arc<str>,
        partitions: i32,
        partition: i32,
        records: Batch,
    ) -> Result<(), WriterError> {
        let session = Guard::take(self)?;
        let writer = &mut *session.writer;
        let topic = writer.change_topic(topic, partitions).await?;
        let max = topic.config().max_message_bytes;
        if records.len() > max {
            let (topic, size) = (topic.name().to_string(), records.len());
            return Err(WriterError::Refused { topic, reason: Refusal::TooLarge { size, max } });
        }
        let records = writer.compress(&topic, records).await?;
        writer.add(topic, partition, records).await?;
        session.give_back();
        Ok(())
    }

    /// Ends the open append: its records, the position and the state records become
    /// durable, and readable, together or not at all. Returns when it is queued.
    pub async fn commit(
        &mut self,
        position: Bytes,
        state: Vec<StateWrite>,
    ) -> Result<Receipt, WriterError> {
        let mut guard = Guard::take(self)?;
        let writer = &mut *guard.writer;
        let OpenAppend { parts, mut bytes, mut staged } = std::mem::take(&mut writer.open);
        if !staged.is_empty() {
            staged = writer
                .blocking(move || {
                    let mut files = staged.iter().flat_map(|part| &part.files);
                    files.try_for_each(crate::log::staged::StagedFile::sync)?;
                    Ok(staged)
                })
                .await?;
        }
        let mut batches = Vec::new();
        if state.iter().any(|record| record.kind == StateKind::Snapshot) {
            writer.make_snapshot_topic().await?;
        }
        for kind in StateKind::ALL {
            let records: Vec<StateWrite> =
                state.iter().filter(|record| record.kind == kind).cloned().collect();
            if !records.is_empty() {
                let batch = state_batch(&records);
                bytes += batch.len();
                batches.push((writer.state_topic(kind)?, batch));
            }
        }
        let positions = writer.internal()?.positions.clone();
        let room = writer.log.shared().queue.room(bytes + position.len()).await?;
        let session = guard.session.clone();
        let commit = Commit { session, parts, staged, positions, position, state: batches };
        let (reply, answer) = oneshot::channel();
        guard.writer.log.put(Request::Commit(Box::new(commit), reply, room))?;
        guard.session.number += 1;
        guard.give_back();
        Ok(Box::pin(async move { answer.await.unwrap_or_else(|_| Err(closed())) }))
    }

    /// Adds a state record to the open append: for those that are too large to wait in memory
    /// for the commit.
    pub async fn append_state(
        &mut self,
        kind: StateKind,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), WriterError> {
        let session = Guard::take(self)?;
        let writer = &mut *session.writer;
        if kind == StateKind::Snapshot {
            writer.make_snapshot_topic().await?;
        }
        let topic = writer.state_topic(kind)?;
        let length = value.map_or(0, <[u8]>::len);
        let mut batch = BatchBuilder::with_capacity(length + key.len() + 128);
        batch.push(Some(key), value, &[]);
        writer.add(topic, 0, batch.finish()).await?;
        session.give_back();
        Ok(())
    }

    async fn compress(&self, topic: &Topic, records: Batch) -> Result<Batch, WriterError> {
        let compression = self.compression;
        if compression == Compression::None || topic.is_internal() {
            return Ok(records);
        }
        let (records, used) = if records.len() < SLOW_TO_COMPRESS {
            records.compressed(compression)
        } else {
            self.blocking(move || Ok(records.compressed(compression))).await?
        };
        if let Some(used) = used {
            self.spares().give(used);
        }
        Ok(records)
    }

    /// Takes the open append back.
    pub async fn abort(&mut self) -> Result<(), WriterError> {
        let open = std::mem::take(&mut self.open);
        if !open.staged.is_empty() {
            self.blocking(move || {
                drop(open);
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    fn internal(&self) -> Result<&Internal, WriterError> {
        self.internal.as_ref().ok_or_else(|| WriterError::Fenced(self.instance.to_string()))
    }

    fn state_topic(&self, kind: StateKind) -> Result<Arc<Topic>, WriterError> {
        let Internal { positions, schema, xa, snapshot } = self.internal()?;
        Ok(Arc::clone(match kind {
            StateKind::Schema => schema,
            StateKind::Xa => xa,
            StateKind::PositionBase | StateKind::Parked => positions,
            StateKind::Snapshot => snapshot.as_ref().ok_or_else(closed)?,
        }))
    }

    /// Adds a part, in memory or, beyond the limit, in a file.
    async fn add(
        &mut self,
        topic: Arc<Topic>,
        partition: i32,
        records: Batch,
    ) -> Result<(), WriterError> {
        if let Some(refused) = WriterError::of_partition(&topic, partition) {
            return Err(refused);
        }
        self.open.bytes += records.len();
        self.open.parts.push((topic, partition, records));
        let limit = self.log.shared().settings.staged_above;
        if self.open.bytes <= limit && self.open.staged.is_empty() {
            return Ok(());
        }
        let shared = Arc::clone(self.log.shared());
        let OpenAppend { parts, mut staged, .. } = std::mem::take(&mut self.open);
        let now = shared.settings.clock.now().wall;
        self.open.staged = self
            .blocking(move || {
                for (topic, partition, records) in parts {
                    let same = |part: &StagedPart| {
                        part.partition == partition && part.topic.id() == topic.id()
                    };
                    let at = staged.iter().position(same).unwrap_or_else(|| {
                        staged.push(StagedPart::new(topic, partition));
                        staged.len() - 1
                    });
                    staged[at].append(records, now, &shared.disk, &shared.staged)?;
                }
                Ok(staged)
            })
            .await?;
        Ok(())
    }

    /// Does what may wait for the disk on a thread that may.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, WriterError> {
        let done = self.log.tasks().spawn_blocking("stage a transaction", work).await;
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::StorageFull => {
                Err(WriterError::Full)
            }
            Ok(Err(error)) => Err(WriterError::Failed(format!("stage a transaction: {error}"))),
            Err(error) => Err(WriterError::Failed(error.to_string())),
        }
    }
}

/// Holds the session while a verb runs. A verb that fails, or is dropped half way, does
/// not give it back: the writer has to be opened again.
struct Guard<'a> {
    writer: &'a mut Writer,
    session: Session,
}

impl<'a> Guard<'a> {
    fn take(writer: &'a mut Writer) -> Result<Self, WriterError> {
        match writer.session.take() {
            Some(session) => Ok(Self { writer, session }),
            None => Err(WriterError::Fenced(writer.instance.to_string())),
        }
    }

    fn give_back(self) {
        self.writer.session = Some(self.session);
    }
}

fn state_batch(records: &[StateWrite]) -> Batch {
    let mut batch = BatchBuilder::default();
    for StateWrite { key, value, .. } in records {
        batch.push(Some(key), value.as_deref(), &[]);
    }
    batch.finish()
}

fn closed() -> WriterError {
    WriterError::Failed(AppendError::Closed.to_string())
}

impl WriterError {
    /// Why nothing can be written to a partition. A topic that was deleted comes back when the
    /// writer is opened again.
    pub(in crate::log) fn of_partition(topic: &Topic, partition: i32) -> Option<Self> {
        let name = topic.name();
        let reason = match topic.partition(partition) {
            Some(found) => {
                let damage = found.offline()?;
                Refusal::Offline(found.dir.clone(), damage.to_string())
            }
            None if partition < topic.partitions() => {
                let text = format!("topic {name} was deleted while it was written");
                return Some(Self::Failed(text));
            }
            None => Refusal::NoPartition(partition),
        };
        Some(Self::Refused { topic: name.to_string(), reason })
    }
}

impl WriterError {
    fn offline(partition: String, place: String) -> Self {
        let topic = partition.rsplit_once('-').map_or(&*partition, |(topic, _)| topic).to_owned();
        Self::Refused { topic, reason: Refusal::Offline(partition, place) }
    }
}

impl From<AppendError> for WriterError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full => Self::Full,
            AppendError::Offline { partition, place } => Self::offline(partition, place),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<ReadError> for WriterError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Offline { partition, place } => Self::offline(partition, place),
            error => Self::Failed(error.to_string()),
        }
    }
}
