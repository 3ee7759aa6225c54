//! What groups have to write into `__consumer_offsets`, and what follows once it is durable.
//!
//! One writing task a group, only while it has something to write: so a group's records
//! have one order, and what gathers meanwhile goes out together. A group's records lie in
//! the partition that Kafka would put them into.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use tokio::sync::oneshot;

use super::{Coordinator, Done, Held};
use crate::broker::group::OFFSETS_TOPIC;
use crate::broker::group::offsets::{self, Commit, Place};
use crate::broker::group::records::TooLong;
use crate::broker::group::state::{Input, StoreId};
use crate::clock;
use crate::log::{NewTopic, Produce, Topic, TopicError};
use crate::record::BatchBuilder;

/// As much of a name as the log shows.
const SHOWN: usize = 250;

/// A record: key, and value or deletion.
pub(super) type Record = (Vec<u8>, Option<Vec<u8>>);
/// What is written together, if it can be written.
pub(super) type Records = Result<Vec<Record>, TooLong>;

/// What is written in one go, and what it changes once it is durable.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) records: Records,
    pub(super) then: Then,
}

#[derive(Debug)]
pub(super) enum Then {
    /// A snapshot of the membership.
    Stored(StoreId),
    /// Offsets, set or deleted.
    Offsets(Vec<(Place, Option<Commit>)>, oneshot::Sender<Done>),
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
                std::mem::take(&mut held.writes)
            };
            let outcome = self.append(name, &writes).await;
            let mut groups = self.lock();
            for write in writes {
                let outcome = write.records.map_or_else(|error| refuse(name, error), |_| outcome);
                match write.then {
                    Then::Stored(id) => self.step(&mut groups, name, Input::Stored(id, outcome)),
                    Then::Offsets(changes, done) => {
                        if let (Ok(()), Some(held)) = (outcome, groups.by_name.get_mut(name)) {
                            self.change(held, changes);
                        }
                        let _ = done.send(outcome); // nobody may be waiting any more
                    }
                }
            }
        }
    }

    async fn append(&self, group: &str, writes: &[Write]) -> Done {
        let mut batch = BatchBuilder::default();
        for (key, value) in writes.iter().filter_map(|write| write.records.as_ref().ok()).flatten()
        {
            batch.push(Some(key), value.as_deref(), &[]);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let topic = self.topic().await.map_err(|error| {
            tracing::error!(%error, "no {OFFSETS_TOPIC}");
            ResponseError::CoordinatorNotAvailable
        })?;
        let partition = offsets::partition_of(group, topic.partitions());
        let mut batch = batch.finish();
        batch.seal(clock::now_millis());
        let batch = Produce { topic, partition, batch: batch.into_bytes() };
        self.log.append_atomic(vec![batch]).await.map(|_| ()).map_err(|error| {
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
