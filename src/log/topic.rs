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
use super::settings::LogSettings;

/// The topic that holds topics, producer ids and what else describes the log itself.
pub const METADATA_TOPIC: &str = "__sluice_metadata";

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TopicRecord {
    #[serde(with = "id_text")]
    pub(super) id: Uuid,
    pub(super) partitions: i32,
    #[serde(default)]
    pub(super) config: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) owner: Option<String>,
}

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

/// The settings of a topic, with the log's where it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of Kafka")]
pub struct TopicConfig {
    /// `cleanup.policy` names `delete`.
    pub delete: bool,
    /// `cleanup.policy` names `compact`.
    pub compact: bool,
    /// `message.timestamp.type` is `LogAppendTime`.
    pub log_append_time: bool,
    /// `max.message.bytes`.
    pub max_message_bytes: usize,
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `retention.ms`.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`.
    pub retention_bytes: Option<u64>,
    /// `delete.retention.ms`: how long a deletion of a key is kept.
    pub delete_retention_ms: i64,
    /// The log's own topic.
    pub internal: bool,
}

impl Topic {
    /// The topic that a record describes, over the partitions it has.
    pub(super) fn new(
        name: &str,
        record: TopicRecord,
        config: TopicConfig,
        partitions: Vec<Arc<Partition>>,
    ) -> Self {
        let TopicRecord { id, partitions: _, config: settings, owner } = record;
        Self { name: Arc::from(name), id, partitions, settings, config, owner }
    }

    /// The record that describes it.
    pub(super) fn record(&self) -> TopicRecord {
        TopicRecord {
            id: self.id,
            partitions: self.partitions(),
            config: self.settings.clone(),
            owner: self.owner.clone(),
        }
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

    /// Whether it is the program's own: its name begins with `__`.
    pub fn is_internal(&self) -> bool {
        self.config.internal
    }
}

impl TopicConfig {
    /// The settings that hold for a topic.
    pub fn resolve(
        name: &str,
        settings: &BTreeMap<String, String>,
        log: &LogSettings,
    ) -> Result<Self, TopicError> {
        let internal = is_internal(name);
        let mut config = Self {
            delete: !internal,
            compact: internal,
            log_append_time: false,
            max_message_bytes: if internal { 64 << 20 } else { log.message_max_bytes },
            segment_bytes: if internal { log.internal_segment_bytes } else { log.segment_bytes },
            segment_ms: log.segment_ms,
            retention_ms: log.retention_ms,
            retention_bytes: log.retention_bytes,
            delete_retention_ms: 24 * 3600 * 1000,
            internal,
        };
        for (key, value) in settings {
            config.set(key, value).map_err(|reason| TopicError::InvalidConfig {
                key: key.clone(),
                value: value.clone(),
                reason,
            })?;
        }
        Ok(config)
    }

    /// One setting. Those that make no difference to us are checked and taken.
    fn set(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        match key {
            "cleanup.policy" => {
                (self.delete, self.compact) = (false, false);
                for policy in value.split(',').map(str::trim) {
                    match policy {
                        "delete" => self.delete = true,
                        "compact" => self.compact = true,
                        _ => return Err("it is delete, compact, or both"),
                    }
                }
            }
            "message.timestamp.type" => {
                self.log_append_time = match value {
                    "LogAppendTime" => true,
                    "CreateTime" => false,
                    _ => return Err("it is CreateTime or LogAppendTime"),
                }
            }
            "max.message.bytes" => {
                self.max_message_bytes = usize::try_from(number(value, 0)?).unwrap_or(usize::MAX);
            }
            "segment.bytes" => self.segment_bytes = number(value, 14)?.unsigned_abs(),
            "segment.ms" => self.segment_ms = number(value, 1)?,
            "retention.ms" => self.retention_ms = Some(number(value, -1)?).filter(|ms| *ms >= 0),
            "retention.bytes" => self.retention_bytes = u64::try_from(number(value, -1)?).ok(),
            "delete.retention.ms" => self.delete_retention_ms = number(value, 0)?,
            // One node, one writer thread, one way to flush: there is nothing to choose.
            "compression.type"
            | "file.delete.delay.ms"
            | "flush.messages"
            | "flush.ms"
            | "follower.replication.throttled.replicas"
            | "index.interval.bytes"
            | "leader.replication.throttled.replicas"
            | "local.retention.bytes"
            | "local.retention.ms"
            | "max.compaction.lag.ms"
            | "message.downconversion.enable"
            | "message.format.version"
            | "message.timestamp.after.max.ms"
            | "message.timestamp.before.max.ms"
            | "message.timestamp.difference.max.ms"
            | "min.cleanable.dirty.ratio"
            | "min.compaction.lag.ms"
            | "min.insync.replicas"
            | "preallocate"
            | "remote.storage.enable"
            | "segment.index.bytes"
            | "segment.jitter.ms"
            | "unclean.leader.election.enable" => {}
            _ => return Err("there is no such setting"),
        }
        Ok(())
    }
}

fn number(value: &str, least: i64) -> Result<i64, &'static str> {
    let number: i64 = value.trim().parse().map_err(|_| "it is a number")?;
    if number < least { Err("it is too small") } else { Ok(number) }
}

/// Whether a topic is the program's own.
pub(super) fn is_internal(name: &str) -> bool {
    name.starts_with("__")
}

/// Kafka's rule for names (`org.apache.kafka.common.internals.Topic.validate`).
pub(super) fn check_name(name: &str) -> Result<(), TopicError> {
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
