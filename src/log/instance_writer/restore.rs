//! What an instance finds when it opens its writer: read from its internal topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Writer;
use crate::log::appender::{POSITION_BASE_KEY, POSITION_KEY};
use crate::log::error::WriterError;
use crate::log::topic::Topic;

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

impl Writer {
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
