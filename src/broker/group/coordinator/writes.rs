//! What groups have to write into `__consumer_offsets`, and what follows once it is durable.
//!
//! One writing task a group, only while it has something to write: so a group's records
//! have one order, and what gathers meanwhile goes out together. A group's records lie in
//! the partition that Kafka would put them into.
//!
//! Always: records are made of what is to be written only when their turn comes, [`LARGEST`] bytes
//! at a time, and those of all groups hold [`ROOM`] of memory: each repeats the name of its group,
//! so that they may be thousands of times what was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use tokio::sync::{Semaphore, oneshot};

use super::{Coordinator, Done, Held};
use crate::broker::group::OFFSETS_TOPIC;
use crate::broker::group::offsets::{self, Commit, Place};
use crate::broker::group::records::{self, TooLong};
use crate::broker::group::state::{Input, StoreId};
use crate::clock;
use crate::log::{NewTopic, Produce, Topic, TopicError};
use crate::record::BatchBuilder;

/// As much of a name as the log shows.
const SHOWN: usize = 250;
/// What is written together, but for a single snapshot that is larger: four times what Kafka
/// writes at most with its own `message.max.bytes`.
pub(super) const LARGEST: usize = 4 << 20;
/// What records hold that are on their way to the log, over all groups.
const ROOM: usize = 32 << 20;
/// Room is counted in these.
const UNIT: usize = 1 << 10;
/// What a record has beside its key and value, and those beside names and metadata, at most.
const OVERHEAD: usize = 96;

/// A change of an offset: set, or deleted.
pub(super) type Change = (Place, Option<Commit>);

/// What is written in one go, and what it changes once it is durable.
#[derive(Debug)]
pub(super) enum Write {
    /// A snapshot of the membership, as it is stored.
    Snapshot { id: StoreId, value: Result<Vec<u8>, TooLong> },
    /// Offsets.
    Offsets {
        changes: Vec<Change>,
        /// Whether nothing is stored of the group any more, either.
        ends_group: bool,
        done: oneshot::Sender<Done>,
    },
}

/// Room for records that are on their way to the log.
#[derive(Debug)]
pub(super) struct Room(Semaphore);

impl Default for Room {
    fn default() -> Self {
        Self(Semaphore::new(ROOM / UNIT))
    }
}

/// The bytes of the record of a change, about.
pub(super) fn record_bytes(group: &str, (place, commit): &Change) -> usize {
    let metadata = commit.as_ref().map_or(0, |commit| commit.metadata.len());
    group.len() + place.topic.len() + metadata + OVERHEAD
}

impl Write {
    /// About how many bytes it is as records.
    fn bytes(&self, group: &str) -> usize {
        match self {
            Self::Snapshot { value, .. } => {
                group.len() + value.as_ref().map_or(0, Vec::len) + OVERHEAD
            }
            Self::Offsets { changes, .. } => {
                let changes = changes.iter().map(|change| record_bytes(group, change));
                changes.sum::<usize>() + group.len() + OVERHEAD
            }
        }
    }

    /// Puts its records behind those of others; none of them if one cannot be written.
    fn put(&self, group: &str, batch: &mut BatchBuilder) -> Result<(), TooLong> {
        let before = batch.mark();
        let put = self.put_each(group, batch);
        if put.is_err() {
            batch.truncate(before);
        }
        put
    }

    fn put_each(&self, group: &str, batch: &mut BatchBuilder) -> Result<(), TooLong> {
        match self {
            Self::Snapshot { value, .. } => {
                let value = value.as_ref().map_err(|error| *error)?;
                batch.push(Some(&records::group_key(group)?), Some(value), &[]);
            }
            Self::Offsets { changes, ends_group, .. } => {
                for (place, commit) in changes {
                    let value = commit.as_ref().map(records::offset_value).transpose()?;
                    let key = records::offset_key(group, place)?;
                    batch.push(Some(&key), value.as_deref(), &[]);
                }
                if *ends_group {
                    batch.push(Some(&records::group_key(group)?), None, &[]);
                }
            }
        }
        Ok(())
    }
}

/// The first of `writes` that are written together.
fn take_some(group: &str, writes: &mut VecDeque<Write>) -> (Vec<Write>, usize) {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    while let Some(write) = writes.front() {
        let more = write.bytes(group);
        if bytes > 0 && bytes + more > LARGEST {
            break;
        }
        bytes += more;
        taken.extend(writes.pop_front());
    }
    (taken, bytes)
}

/// What was asked for cannot be written: nothing of it counts.
fn refuse(group: &str, error: TooLong) -> Done {
    let group: String = group.chars().take(SHOWN).collect();
    tracing::warn!(group, %error, "a change of a consumer group was refused");
    Err(ResponseError::InvalidRequest)
}

impl Coordinator {
    /// Sees to it that what the group has to write is being written.
    pub(super) fn begin_writing(self: &Arc<Self>, held: &mut Held, name: &str) {
        if held.writes.is_empty() || held.writing {
            return;
        }
        held.writing = true;
        let (writer, name) = (Arc::clone(self), name.to_owned());
        self.tasks.spawn_critical("write group", async move { writer.write_out(&name).await });
    }

    /// Writes what the group has to write until there is nothing left.
    async fn write_out(self: Arc<Self>, name: &str) {
        loop {
            let writes = {
                let mut groups = self.lock();
                let Some(held) = groups.by_name.get_mut(name) else { return };
                if held.writes.is_empty() {
                    held.writing = false;
                    if held.looks_again {
                        self.let_go(held, name, |commit| !self.is_there(commit));
                    }
                    return;
                }
                take_some(name, &mut held.writes)
            };
            let (writes, bytes) = writes;
            let (judged, outcome) = self.append(name, &writes, bytes).await;
            let mut groups = self.lock();
            for (write, judged) in writes.into_iter().zip(judged) {
                let outcome = judged.map_or_else(|error| refuse(name, error), |()| outcome);
                match write {
                    Write::Snapshot { id, .. } => {
                        self.step(&mut groups, name, Input::Stored(id, outcome));
                    }
                    Write::Offsets { changes, done, .. } => {
                        if let (Ok(()), Some(held)) = (outcome, groups.by_name.get_mut(name)) {
                            self.change(held, changes);
                        }
                        let _ = done.send(outcome); // nobody may be waiting any more
                    }
                }
            }
        }
    }

    /// Appends what is to be written: which of it can be, and whether that is durable.
    async fn append(
        &self,
        group: &str,
        writes: &[Write],
        bytes: usize,
    ) -> (Vec<Result<(), TooLong>>, Done) {
        let units = u32::try_from(bytes.min(ROOM) / UNIT).unwrap_or(0);
        // It is never closed.
        let _room = self.room.0.acquire_many(units).await;
        let mut batch = BatchBuilder::default();
        let judged = writes.iter().map(|write| write.put(group, &mut batch)).collect();
        if batch.is_empty() {
            return (judged, Ok(()));
        }
        (judged, self.append_batch(group, batch).await)
    }

    async fn append_batch(&self, group: &str, batch: BatchBuilder) -> Done {
        let topic = self.topic().await.map_err(|error| {
            tracing::error!(%error, "no {OFFSETS_TOPIC}");
            ResponseError::CoordinatorNotAvailable
        })?;
        let partition = offsets::partition_of(group, topic.partitions());
        let mut batch = batch.finish();
        batch.seal(clock::now_millis());
        let batch = Produce { topic, partition, batch: batch.into_bytes() };
        self.log.append_atomic(vec![batch]).await.map(|_| ()).map_err(|error| {
            let group: String = group.chars().take(SHOWN).collect();
            tracing::error!(group, %error, "a consumer group could not be written");
            // Kafka's translation of a failed append: clients ask again.
            ResponseError::CoordinatorNotAvailable
        })
    }

    /// The topic of the offsets, made when it is first needed.
    async fn topic(&self) -> Result<Arc<Topic>, TopicError> {
        if let Some(topic) = self.log.topic(OFFSETS_TOPIC) {
            return Ok(topic);
        }
        let new = NewTopic {
            name: OFFSETS_TOPIC.to_owned(),
            partitions: self.settings.offsets_partitions,
            config: BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]),
            owner: None,
        };
        match self.log.create_topic(new).await {
            Err(TopicError::Exists(name)) => self.log.topic(&name).ok_or(TopicError::Unknown(name)),
            made => made,
        }
    }
}
