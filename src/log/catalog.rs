//! Which topics there are, and the records of `__sluice_metadata` that say so.
//!
//! Owns: the maps by name and by id, and the form of the log's own metadata records. Other
//! parts of the program keep records under keys of their own in the same topic.
//!
//! Format: key and value are text; values are JSON.
//!
//! ```text
//! topic/<name>              {"version":1,"id":"<uuid>","partitions":1,"config":{},"owner":null}
//! start/<id>/<partition>    the first offset that is kept
//! producer-ids              the first producer id that was never given out
//! cluster                   the id of this cluster
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use uuid::Uuid;

use super::topic::{METADATA_TOPIC, Topic, TopicRecord};
use crate::record::{Batch, BatchBuilder, batches};

/// The id of `__sluice_metadata`: the one that Kafka gives its own metadata topic
/// (`org.apache.kafka.common.Uuid.METADATA_TOPIC_ID`).
pub(super) const METADATA_ID: Uuid = Uuid::from_u128(1);

/// The topics, as readers find them.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
}

impl Catalog {
    pub(super) fn all(&self) -> Vec<Arc<Topic>> {
        self.by_name.values().cloned().collect()
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    pub(super) fn by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// Puts a topic in, or in the place of an older state of it.
    pub(super) fn insert(&mut self, topic: Arc<Topic>) {
        self.by_id.insert(topic.id(), Arc::clone(&topic));
        self.by_name.insert(Arc::clone(topic.name()), topic);
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Arc<Topic>> {
        let topic = self.by_name.remove(name)?;
        self.by_id.remove(&topic.id());
        Some(topic)
    }

    /// A topic that differs from `name` by nothing but `.` and `_`: Kafka refuses that,
    /// because the names of their metrics would be the same.
    pub(super) fn collides(&self, name: &str) -> Option<&Arc<Topic>> {
        let plain = |name: &str| name.replace('.', "_");
        let wanted = plain(name);
        self.by_name
            .values()
            .find(|topic| topic.name().as_ref() != name && plain(topic.name()) == wanted)
    }
}

/// One of the log's own metadata records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Definition {
    Topic(String, Option<TopicRecord>),
    Start(Uuid, i32, Option<i64>),
    ProducerIds(i64),
    Cluster(String),
}

/// Why the metadata records cannot be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// They are not as they were written.
    Damaged(crate::record::Error),
    /// A newer program wrote one: what it says, for the operator.
    Newer(String),
}

impl From<crate::record::Error> for Unread {
    fn from(error: crate::record::Error) -> Self {
        Self::Damaged(error)
    }
}

/// What of a topic's record says how to read the rest.
#[derive(Deserialize)]
struct Versioned {
    #[serde(default)]
    version: u32,
}

impl Definition {
    /// `None` for a record of another part of the program.
    fn parse(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, Unread> {
        let Ok(key) = std::str::from_utf8(key) else { return Ok(None) };
        let newer = |why: &dyn fmt::Display| {
            Unread::Newer(format!(
                "the record {key} of {METADATA_TOPIC} is not understood ({why}): start the version \
                 that wrote it, or a newer one"
            ))
        };
        let unreadable = |error: serde_json::Error| newer(&error);
        if let Some(name) = key.strip_prefix("topic/") {
            if let Some(value) = value {
                let Versioned { version } = serde_json::from_slice(value).map_err(unreadable)?;
                if version > TopicRecord::VERSION {
                    let known = TopicRecord::VERSION;
                    return Err(newer(&format!("version {version}, known up to {known}")));
                }
            }
            let record = value.map(serde_json::from_slice).transpose().map_err(unreadable)?;
            return Ok(Some(Self::Topic(name.to_owned(), record)));
        }
        if let Some(rest) = key.strip_prefix("start/") {
            let place = rest.split_once('/');
            let place = place.and_then(|(id, part)| Some((id.parse().ok()?, part.parse().ok()?)));
            let (id, partition) = place.ok_or_else(|| newer(&"not an id and a partition"))?;
            let offset = value.map(serde_json::from_slice).transpose().map_err(unreadable)?;
            return Ok(Some(Self::Start(id, partition, offset)));
        }
        let Some(value) = value else { return Ok(None) };
        Ok(match key {
            "producer-ids" => {
                Some(Self::ProducerIds(serde_json::from_slice(value).map_err(unreadable)?))
            }
            "cluster" => Some(Self::Cluster(serde_json::from_slice(value).map_err(unreadable)?)),
            _ => None,
        })
    }

    fn push(&self, batch: &mut BatchBuilder) {
        let (key, value) = match self {
            Self::Topic(name, record) => {
                (format!("topic/{name}"), record.as_ref().map(serde_json::to_vec))
            }
            Self::Start(id, partition, offset) => {
                (format!("start/{id}/{partition}"), offset.as_ref().map(serde_json::to_vec))
            }
            Self::ProducerIds(next) => ("producer-ids".to_owned(), Some(serde_json::to_vec(next))),
            Self::Cluster(id) => ("cluster".to_owned(), Some(serde_json::to_vec(id))),
        };
        let value = value.map(|value| value.expect("these values have a JSON form"));
        batch.push(Some(key.as_bytes()), value.as_deref(), &[]);
    }

    /// The batch that makes `definitions` durable.
    pub(super) fn batch(definitions: &[Self]) -> Batch {
        let mut batch = BatchBuilder::default();
        for definition in definitions {
            definition.push(&mut batch);
        }
        batch.finish()
    }
}

/// What the metadata records say, all together.
#[derive(Clone, Debug, Default)]
pub(super) struct Definitions {
    /// The ids of topics that were deleted, as far as the records tell.
    pub(super) deleted: HashSet<Uuid>,
    pub(super) topics: BTreeMap<String, TopicRecord>,
    pub(super) starts: HashMap<(Uuid, i32), i64>,
    pub(super) producer_ids: i64,
    pub(super) cluster: Option<String>,
}

impl Definitions {
    /// Takes stored batches of the metadata topic.
    pub(super) fn read(&mut self, stored: &[Bytes]) -> Result<(), Unread> {
        for piece in stored {
            for batch in batches(piece) {
                for record in batch?.records() {
                    let record = record?;
                    let Some(key) = record.key else { continue };
                    if let Some(definition) = Definition::parse(key, record.value)? {
                        self.apply(definition);
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, definition: Definition) {
        match definition {
            Definition::Topic(name, Some(record)) => {
                self.topics.insert(name, record);
            }
            Definition::Topic(name, None) => {
                if let Some(record) = self.topics.remove(&name) {
                    self.starts.retain(|(id, _), _| *id != record.id);
                    self.deleted.insert(record.id);
                }
            }
            Definition::Start(id, partition, Some(offset)) => {
                self.starts.insert((id, partition), offset);
            }
            Definition::Start(id, partition, None) => {
                self.starts.remove(&(id, partition));
            }
            Definition::ProducerIds(next) => self.producer_ids = self.producer_ids.max(next),
            Definition::Cluster(id) => self.cluster = Some(id),
        }
    }

    /// The topics, the metadata topic itself among them.
    pub(super) fn topics(&self) -> impl Iterator<Item = (&str, TopicRecord)> {
        let own = TopicRecord::new(METADATA_ID, 1, BTreeMap::new(), None);
        let others = self.topics.iter().map(|(name, record)| (name.as_str(), record.clone()));
        std::iter::once((METADATA_TOPIC, own)).chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_older_versions_are_read_and_of_newer_ones_refused_by_name() {
        let id = Uuid::from_u128(7);
        let old = format!(r#"{{"id":"{id}","partitions":2,"config":{{}},"owner":"o"}}"#);
        let parse =
            |key: &str, value: &str| Definition::parse(key.as_bytes(), Some(value.as_bytes()));
        let record = TopicRecord::new(id, 2, BTreeMap::new(), Some("o".to_owned()));
        let read = parse("topic/t", &old).unwrap().unwrap();
        assert_eq!(read, Definition::Topic("t".to_owned(), Some(record)));
        let newer = [
            ("topic/t", r#"{"version":2}"#),
            ("topic/t", r#"{"version":1,"name":"t"}"#),
            ("start/t/x", "7"),
            ("producer-ids", "{}"),
        ];
        for (key, value) in newer {
            match parse(key, value) {
                Err(Unread::Newer(text)) => assert!(text.contains(key), "{text}"),
                other => panic!("{key} {value}: {other:?}"),
            }
        }
        assert_eq!(parse("somebody/else", "7").unwrap(), None);
    }
}
