//! What an instance finds when it opens its writer: read from its internal topics. State records
//! are read piece by piece: there can be more of them than fit into memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::{StateKind, Writer};
use crate::log::Ends;
use crate::log::appender::{POSITION_BASE_KEY, POSITION_KEY};
use crate::log::error::WriterError;
use crate::log::topic::Topic;
use crate::record::batches;

/// What an instance finds when it opens its writer.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// The last committed position; `None` before the first.
    pub position: Option<Bytes>,
    /// What was committed last as [`StateWrite::position_base`](super::StateWrite).
    pub position_base: Option<Bytes>,
    /// The newest record of each parked table: key and value.
    pub parked: Vec<(Bytes, Bytes)>,
    /// What says that the instance was moved elsewhere, if it was.
    pub moved: Option<Bytes>,
}

/// The key of that record.
const MOVED_KEY: &[u8] = b"moved";

/// Some state records, in order.
#[derive(Clone, Debug, Default)]
pub struct StateRead {
    /// Offset, key and value of each; no value for a tombstone.
    pub records: Vec<(i64, Bytes, Option<Bytes>)>,
    /// Where to read on; where it was read from, if there was no more.
    pub next: i64,
}

/// The name of a topic, and the end of each of its partitions.
pub type TopicEnds = (Arc<str>, Vec<i64>);

/// As many bytes of state records are read at once, or a single batch.
const READ_BYTES: usize = 1 << 20;

impl Writer {
    /// The end of what may be read of state records.
    pub fn state_end(&self, kind: StateKind) -> Result<i64, WriterError> {
        Ok(self.state_ends(kind)?.high_watermark)
    }

    /// Durable state records from `offset` on, about a MiB of them. Of a topic that was not made
    /// yet there are none.
    pub async fn read_state(&self, kind: StateKind, offset: i64) -> Result<StateRead, WriterError> {
        let mut records = Vec::new();
        if kind == StateKind::Snapshot && self.internal()?.snapshot.is_none() {
            return Ok(StateRead { records, next: offset });
        }
        let topic = self.state_topic(kind)?;
        let take = |offset, key: &[u8], value: Option<&[u8]>| {
            let value = value.map(Bytes::copy_from_slice);
            records.push((offset, Bytes::copy_from_slice(key), value));
        };
        let next = self.visit(&topic, offset, take).await?;
        Ok(StateRead { records, next })
    }

    /// Shows each record with a key from `offset` on, about a MiB of them; where to read on. A
    /// batch or a record that is not as it was written is an error: what is behind it counts too.
    async fn visit(
        &self,
        topic: &Arc<Topic>,
        offset: i64,
        mut each: impl FnMut(i64, &[u8], Option<&[u8]>) + Send,
    ) -> Result<i64, WriterError> {
        let ends = self.ends_of(topic)?;
        let from = offset.max(ends.log_start);
        if from >= ends.high_watermark {
            return Ok(offset);
        }
        let broken = |offset: i64, why: &dyn fmt::Display| {
            let name = topic.name();
            WriterError::Failed(format!(
                "topic {name} cannot be read from offset {offset} on: the log is damaged there: {why}"
            ))
        };
        let bytes = self.log.read(topic, 0, from, ends.high_watermark, READ_BYTES, true).await?;
        let mut next = None;
        for batch in batches(&bytes) {
            let at = next.unwrap_or(from);
            let batch = batch.map_err(|error| broken(at, &error))?;
            for record in batch.records() {
                let record = record.map_err(|error| broken(at, &error))?;
                if let Some(key) = record.key
                    && record.offset >= offset
                {
                    each(record.offset, key, record.value);
                }
            }
            next = Some(batch.head().last_offset() + 1);
        }
        next.ok_or_else(|| broken(from, &"there is no batch"))
    }

    /// The end of the topic of letters; 0 while there is none.
    pub fn letters_end(&self) -> Result<i64, WriterError> {
        let Some(topic) = self.letters_topic() else { return Ok(0) };
        Ok(self.ends_of(&topic)?.high_watermark)
    }

    /// Durable letters from `offset` on, as whole batches, about a MiB of them, and where to read
    /// on; where it was read from, if there are no more.
    pub async fn read_letters(&self, offset: i64) -> Result<(Bytes, i64), WriterError> {
        let Some(topic) = self.letters_topic() else { return Ok((Bytes::new(), offset)) };
        let ends = self.ends_of(&topic)?;
        let from = offset.max(ends.log_start);
        if from >= ends.high_watermark {
            return Ok((Bytes::new(), offset));
        }
        let limit = ends.high_watermark;
        let bytes = self.log.read(&topic, 0, from, limit, READ_BYTES, true).await?;
        let last = batches(&bytes).map_while(Result::ok).last();
        let next = last.map_or(offset, |batch| batch.head().last_offset() + 1);
        Ok((bytes, next))
    }

    /// Removes all letters.
    pub async fn remove_letters(&self) -> Result<(), WriterError> {
        if let Some(topic) = self.letters_topic() {
            self.log.delete_records(&topic, 0, -1).await?;
        }
        Ok(())
    }

    /// Where the topics of changes end that the instance owns.
    pub fn topic_ends(&self) -> Result<Vec<TopicEnds>, WriterError> {
        let is_ours =
            |topic: &Arc<Topic>| topic.owner() == Some(self.instance()) && !topic.is_internal();
        let topics = self.log.topics().into_iter().filter(is_ours);
        let of_topic = |topic: Arc<Topic>| {
            let partitions: Vec<_> =
                (0..topic.partitions()).map(|partition| (Arc::clone(&topic), partition)).collect();
            let ends = self.log.ends(&partitions).into_iter();
            let ends = ends.map(|ends| Ok(ends?.high_watermark));
            Ok((Arc::clone(topic.name()), ends.collect::<Result<_, WriterError>>()?))
        };
        topics.map(of_topic).collect()
    }

    fn letters_topic(&self) -> Option<Arc<Topic>> {
        self.log.topic(&self.letters_name())
    }

    fn state_ends(&self, kind: StateKind) -> Result<Ends, WriterError> {
        let topic = self.state_topic(kind)?;
        self.ends_of(&topic)
    }

    fn ends_of(&self, topic: &Arc<Topic>) -> Result<Ends, WriterError> {
        let mut ends = self.log.ends(&[(Arc::clone(topic), 0)]);
        Ok(ends.pop().ok_or_else(super::closed)??)
    }

    pub(super) async fn restore(&self, positions: &Arc<Topic>) -> Result<Restored, WriterError> {
        let (mut restored, mut offset) = (Restored::default(), 0);
        let mut parked = BTreeMap::new();
        loop {
            let take = |_, key: &[u8], value: Option<&[u8]>| {
                if key == POSITION_KEY {
                    restored.position = value.map(Bytes::copy_from_slice);
                } else if key == POSITION_BASE_KEY {
                    restored.position_base = value.map(Bytes::copy_from_slice);
                } else if key == MOVED_KEY {
                    restored.moved = value.map(Bytes::copy_from_slice);
                } else if key.starts_with(b"[") {
                    let value = value.map(Bytes::copy_from_slice);
                    parked.insert(Bytes::copy_from_slice(key), value);
                }
            };
            match self.visit(positions, offset, take).await? {
                next if next == offset => break,
                next => offset = next,
            }
        }
        let parked = parked.into_iter();
        restored.parked = parked.filter_map(|(key, value)| Some((key, value?))).collect();
        Ok(restored)
    }
}
