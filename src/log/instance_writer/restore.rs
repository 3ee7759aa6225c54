//! What an instance finds when it opens its writer: read from its internal topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{StateKind, Writer};
use crate::log::appender::POSITION_KEY;
use crate::log::error::WriterError;
use crate::log::topic::Topic;

/// What an instance finds when it opens its writer.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// The last committed position; `None` before the first.
    pub position: Option<Bytes>,
    /// The newest record of each key of the schema topic that was not deleted: key and value.
    pub schema: Vec<(Bytes, Bytes)>,
    /// The keys of the XA topic that were not deleted, with the offsets of their newest
    /// records, in the order of those. Their values may be large: [`Writer::held`] reads
    /// them one by one.
    pub held: Vec<(Bytes, i64)>,
}

impl Writer {
    pub(super) async fn restore(
        &self,
        positions: &Arc<Topic>,
        schema: &Arc<Topic>,
        xa: &Arc<Topic>,
    ) -> Result<Restored, WriterError> {
        let mut restored = Restored::default();
        self.log
            .each_record(positions, 0, |_, key, value| {
                if key == POSITION_KEY {
                    restored.position = value.map(Bytes::copy_from_slice);
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
        let mut held = BTreeMap::new();
        self.log
            .each_record(xa, 0, |offset, key, value| {
                held.insert(Bytes::copy_from_slice(key), value.map(|_| offset));
            })
            .await?;
        restored.held = held.into_iter().filter_map(|(key, at)| at.map(|at| (key, at))).collect();
        restored.held.sort_unstable_by_key(|(_, offset)| *offset);
        Ok(restored)
    }

    /// The value of the XA record at an offset that [`Restored::held`] or an earlier
    /// commit gave; `None` if there is none any more.
    pub async fn held(&self, offset: i64) -> Result<Option<Bytes>, WriterError> {
        let xa = self.state_topic(StateKind::Xa)?;
        let mut found = None;
        self.log
            .each_record_of(&xa, 0, offset, offset + 1, |at, _, value| {
                if at == offset {
                    found = value.map(Bytes::copy_from_slice);
                }
            })
            .await?;
        Ok(found)
    }
}
