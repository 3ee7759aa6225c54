//! A topic: its name, id, partitions, settings and owner.
//!
//! What holds: a [`Topic`] never changes; a change makes a new one that shares the
//! partitions. Settings are Kafka's, checked when they are set.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::TopicError;
use super::partition::Partition;
use super::topic_config::TopicConfig;

/// The topic that holds topics, producer ids and what else describes the log itself.
pub const METADATA_TOPIC: &str = "__sluice_metadata";

/// Topics of deletions and starts of partitions, and of offsets of groups.
const FREES_ROOM: [&str; 2] = [METADATA_TOPIC, "__consumer_offsets"];

/// The longest name, as in Kafka: with `-<partition>` it has to fit a file name.
const LONGEST_NAME: usize = 249;

/// A topic to make.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// Settings that differ from the log's.
    pub config: BTreeMap<String, String>,
    /// The instance that writes it.
    pub owner: Option<String>,
}

/// A topic as its record in [`METADATA_TOPIC`] has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TopicRecord {
    /// Of the form of the record: [`TopicRecord::VERSION`] now, 0 before it was written.
    #[serde(default)]
    version: u32,
    #[serde(with = "id_text")]
    pub(super) id: Uuid,
    pub(super) partitions: i32,
    #[serde(default)]
    pub(super) config: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) owner: Option<String>,
}

impl TopicRecord {
    /// The newest form that is known.
    pub(super) const VERSION: u32 = 1;

    pub(super) fn new(
        id: Uuid,
        partitions: i32,
        config: BTreeMap<String, String>,
        owner: Option<String>,
    ) -> Self {
        Self { version: Self::VERSION, id, partitions, config, owner }
    }
}

impl PartialEq for TopicRecord {
    /// Whatever the form.
    fn eq(&self, other: &Self) -> bool {
        let parts = |one: &Self| (one.id, one.partitions);
        parts(self) == parts(other) && self.config == other.config && self.owner == other.owner
    }
}

impl Eq for TopicRecord {}

/// A topic as it was at one moment.
#[derive(Clone, Debug)]
pub struct Topic {
    name: Arc<str>,
    id: Uuid,
    partitions: Vec<Arc<Partition>>,
    settings: BTreeMap<String, String>,
    config: TopicConfig,
    owner: Option<String>,
}

impl Topic {
    /// The topic that a record describes, over the partitions it has.
    pub(super) fn new(
        name: &str,
        record: TopicRecord,
        config: TopicConfig,
        partitions: Vec<Arc<Partition>>,
    ) -> Self {
        let TopicRecord { version: _, id, partitions: _, config: settings, owner } = record;
        Self { name: Arc::from(name), id, partitions, settings, config, owner }
    }

    /// The record that describes it.
    pub(super) fn record(&self) -> TopicRecord {
        let (config, owner) = (self.settings.clone(), self.owner.clone());
        TopicRecord::new(self.id, self.partitions(), config, owner)
    }

    /// A partition that is there.
    pub(super) fn partition(&self, number: i32) -> Option<&Arc<Partition>> {
        let partition = self.partitions.get(usize::try_from(number).ok()?)?;
        (!partition.is_deleted()).then_some(partition)
    }

    /// All its partitions.
    pub(super) fn all_partitions(&self) -> &[Arc<Partition>] {
        &self.partitions
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its id, which no other topic ever has.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// How many partitions it has.
    pub fn partitions(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    /// The settings that were set for it, as they were written.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// What holds for it.
    pub fn config(&self) -> &TopicConfig {
        &self.config
    }

    /// The instance that writes it.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Whether its records free room, or let a client go on that reads: they may have the
    /// ballast's.
    pub(super) fn frees_room(&self) -> bool {
        FREES_ROOM.contains(&&*self.name)
    }

    /// Whether it is the program's own: its name begins with `__`.
    pub fn is_internal(&self) -> bool {
        self.config.internal
    }
}

/// Whether a topic is the program's own.
pub(super) fn is_internal(name: &str) -> bool {
    name.starts_with("__")
}

/// Kafka's rule for names (`org.apache.kafka.common.internals.Topic.validate`).
pub(crate) fn check_name(name: &str) -> Result<(), TopicError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let reason = if name.is_empty() {
        "it is empty"
    } else if name == "." || name == ".." {
        "it may not be . or .."
    } else if name.len() > LONGEST_NAME {
        "it is longer than 249 characters"
    } else if !name.bytes().all(legal) {
        "letters, digits, '.', '_' and '-' are allowed"
    } else {
        return Ok(());
    };
    Err(TopicError::InvalidName(name.to_owned(), reason))
}

/// Topic ids as text, in the log's own records.
pub(super) mod id_text {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use uuid::Uuid;

    pub(in crate::log) fn serialize<S: Serializer>(id: &Uuid, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(in crate::log) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Uuid, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}
