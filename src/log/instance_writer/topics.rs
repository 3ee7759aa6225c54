//! The topics that an instance writes: made, adopted, grown.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Writer;
use crate::log::Log;
use crate::log::error::{Refusal, TopicError, WriterError};
use crate::log::topic::{NewTopic, Topic};

/// What the topics that an instance writes take in one message.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

const LIMIT: &str = "max.message.bytes";

/// The name of a topic that an instance keeps for itself, in the log or in a cluster; `what` is its
/// last word.
pub(crate) fn internal_topic_name(group: &str, instance: &str, what: &str) -> String {
    format!("__{group}.{instance}.{what}")
}

impl Writer {
    /// The largest batch that the topic of that name takes from an instance, in bytes.
    pub fn largest_batch(log: &Log, topic: &str) -> usize {
        let is_set =
            |topic: &Topic| topic.owner().is_some() || topic.settings().contains_key(LIMIT);
        match log.topic(topic) {
            Some(topic) if is_set(&topic) => topic.config().max_message_bytes,
            Some(_) | None => MAX_MESSAGE_BYTES,
        }
    }

    /// The name of the topic of letters: what is kept of parked tables.
    pub fn letters_name(&self) -> String {
        internal_topic_name(&self.group, &self.instance, "parked")
    }

    pub(super) fn internal_name(&self, what: &str) -> String {
        internal_topic_name(&self.group, &self.instance, what)
    }

    /// The topic of snapshots is there, from now on.
    pub(super) async fn make_snapshot_topic(&mut self) -> Result<(), WriterError> {
        if self.internal()?.snapshot.is_none() {
            let made = self.internal_topic(super::SNAPSHOT).await?;
            self.internal.as_mut().ok_or_else(super::closed)?.snapshot = Some(made);
        }
        Ok(())
    }

    pub(super) async fn internal_topic(&self, what: &str) -> Result<Arc<Topic>, WriterError> {
        let name = self.internal_name(what);
        self.owned_topic(&name, 1, BTreeMap::new()).await
    }

    /// A topic of change records, found once and then remembered.
    pub(super) async fn change_topic(
        &mut self,
        name: &Arc<str>,
        partitions: i32,
    ) -> Result<Arc<Topic>, WriterError> {
        if let Some(topic) = self.topics.get(name)
            && topic.partitions() >= partitions
        {
            return Ok(Arc::clone(topic));
        }
        let max = (LIMIT, MAX_MESSAGE_BYTES.to_string());
        let config = if **name == *self.letters_name() {
            // Nobody else has these: they stay until they are published after all, or dropped.
            let all = "-1".to_owned();
            let delete = ("cleanup.policy", "delete".to_owned());
            vec![max, delete, ("retention.ms", all.clone()), ("retention.bytes", all)]
        } else {
            vec![max]
        };
        let config = config.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let topic = self.owned_topic(name, partitions, config).await?;
        self.topics.insert(Arc::clone(name), Arc::clone(&topic));
        Ok(topic)
    }

    /// Makes or adopts a topic: from now on the instance owns it.
    async fn owned_topic(
        &self,
        name: &str,
        partitions: i32,
        config: BTreeMap<String, String>,
    ) -> Result<Arc<Topic>, WriterError> {
        let refuse = |error| refuse(name, error);
        let owner = Some(self.instance.to_string());
        let Some(mut topic) = self.log.topic(name) else {
            let new = NewTopic { name: name.to_owned(), partitions, config, owner };
            return self.log.create_topic(new).await.map_err(refuse);
        };
        match topic.owner() {
            Some(other) if other != &*self.instance => {
                let owner = other.to_owned();
                return Err(refuse(TopicError::Owned { topic: name.to_owned(), owner }));
            }
            Some(_) => {}
            None => {
                topic = self.log.own_topic(name, owner).await.map_err(refuse)?;
                let unset = |(key, _): &(String, String)| !topic.settings().contains_key(key);
                let changes: Vec<_> = config.into_iter().filter(unset).collect();
                if !changes.is_empty() {
                    let changes = changes.into_iter().map(|(key, value)| (key, Some(value)));
                    let changed = self.log.configure_topic(name, changes.collect()).await;
                    topic = changed.map_err(refuse)?;
                }
            }
        }
        if topic.partitions() < partitions {
            topic = self.log.grow_topic(name, partitions).await.map_err(refuse)?;
        }
        Ok(topic)
    }
}

fn refuse(topic: &str, error: TopicError) -> WriterError {
    let reason = match error {
        TopicError::Append(error) => return error.into(),
        // Somebody made or deleted it meanwhile: the next try finds it as it is.
        error @ (TopicError::Exists(_) | TopicError::Unknown(_)) => {
            return WriterError::Failed(error.to_string());
        }
        TopicError::InvalidName(_, why) => Refusal::Name(why),
        TopicError::InvalidPartitions(count, why) => Refusal::Partitions(count, why),
        TopicError::InvalidConfig { key, reason, .. } => Refusal::Setting(key, reason),
        TopicError::Owned { owner, .. } => Refusal::Owned(owner),
    };
    WriterError::Refused { topic: topic.to_owned(), reason }
}
