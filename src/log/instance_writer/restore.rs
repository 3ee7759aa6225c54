//! What an instance finds when it opens its writer: read from its internal topics.

use std::collections::BTreeMap;
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
    /// The newest record of each key of the schema topic that was not deleted: key and value.
    pub schema: Vec<(Bytes, Bytes)>,
}

/// Some state records, in order.
#[derive(Clone, Debug, Default)]
pub struct StateRead {
    /// Offset, key and value of each; no value for a tombstone.
    pub records: Vec<(i64, Bytes, Option<Bytes>)>,
    /// Where to read on; where it was read from, if there was no more.
    pub next: i64,
}

/// As many bytes of state records are read at once, or a single batch.
const READ_BYTES: usize = 1 << 20;

impl Writer {
    /// The end of what may be read of state records.
    pub fn state_end(&self, kind: StateKind) -> Result<i64, WriterError> {
        Ok(self.state_ends(kind)?.high_watermark)
    }

    /// Durable state records from `offset` on, about a MiB of them.
    pub async fn read_state(&self, kind: StateKind, offset: i64) -> Result<StateRead, WriterError> {
        let ends = self.state_ends(kind)?;
        let from = offset.max(ends.log_start);
        let mut read = StateRead { records: Vec::new(), next: offset };
        if from >= ends.high_watermark {
            return Ok(read);
        }
        let topic = self.state_topic(kind)?;
        let limit = ends.high_watermark;
        let bytes = self.log.read(&topic, 0, from, limit, READ_BYTES, true).await?;
        for batch in batches(&bytes).map_while(Result::ok) {
            read.next = batch.head().last_offset() + 1;
            for record in batch.records().map_while(Result::ok) {
                if let Some(key) = record.key
                    && record.offset >= offset
                {
                    let value = record.value.map(Bytes::copy_from_slice);
                    read.records.push((record.offset, Bytes::copy_from_slice(key), value));
                }
            }
        }
        Ok(read)
    }

    fn state_ends(&self, kind: StateKind) -> Result<Ends, WriterError> {
        let topic = self.state_topic(kind)?;
        let mut ends = self.log.ends(&[(topic, 0)]);
        Ok(ends.pop().ok_or_else(super::closed)??)
    }

    pub(super) async fn restore(
        &self,
        positions: &Arc<Topic>,
        schema: &Arc<Topic>,
    ) -> Result<Restored, WriterError> {
        let mut restored = Restored::default();
        self.log
            .each_record(positions, 0, |_, key, value| {
                if key == POSITION_KEY {
                    restored.position = value.map(Bytes::copy_from_slice);
                } else if key == POSITION_BASE_KEY {
                    restored.position_base = value.map(Bytes::copy_from_slice);
                }
            })
            .await?;
        let mut newest = BTreeMap::new();
        self.log
            .each_record(schema, 0, |offset, key, value| {
                let key = Bytes::copy_from_slice(key);
                newest.insert(key, value.map(|value| (offset, Bytes::copy_from_slice(value))));
            })
            .await?;
        let mut live: Vec<_> = newest
            .into_iter()
            .filter_map(|(key, value)| value.map(|value| (value.0, key, value.1)))
            .collect();
        live.sort_unstable_by_key(|(offset, ..)| *offset);
        restored.schema = live.into_iter().map(|(_, key, value)| (key, value)).collect();
        Ok(restored)
    }
}
