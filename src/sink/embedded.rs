//! The sink into the bundled log: rows, position and state records in one journal frame.
//!
//! In: parts, a position, state records. Out: receipts of the log. The position is written
//! as JSON into the instance's positions topic.

use bytes::Bytes;

use super::{Committed, Error, Part, Receipt, Sink};
use crate::change::{Position, StateRecord, StateTopic};
use crate::log::{StateKind, StateWrite, Writer};

/// See the head of this file.
#[derive(Debug)]
pub struct Embedded {
    writer: Writer,
}

impl Embedded {
    /// A sink over an instance's writer, not yet open.
    pub fn new(writer: Writer) -> Self {
        Self { writer }
    }
}

impl Sink for Embedded {
    async fn open(&mut self) -> Result<Committed, Error> {
        let restored = self.writer.open().await?;
        let position = restored.position.as_deref().map(read_position).transpose()?;
        let state = restored.schema.into_iter().map(schema_record).collect();
        Ok(Committed { position, state })
    }

    async fn append(&mut self, part: Part) -> Result<(), Error> {
        let Part { topic, partition, partitions, records } = part;
        self.writer.append(&topic, partitions, partition, records).await.map_err(Error::from)
    }

    async fn commit(
        &mut self,
        position: &Position,
        state: Vec<StateRecord>,
    ) -> Result<Receipt, Error> {
        let position = serde_json::to_vec(position)
            .map_err(|error| Error::Failed(format!("position {position} as JSON: {error}")))?;
        let state = state.into_iter().map(state_write).collect();
        let receipt = self.writer.commit(Bytes::from(position), state).await?;
        Ok(Box::pin(async { receipt.await.map_err(Error::from) }))
    }

    async fn abort(&mut self) -> Result<(), Error> {
        self.writer.abort().await.map_err(Error::from)
    }
}

fn read_position(bytes: &[u8]) -> Result<Position, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::Failed(format!("the stored position cannot be read: {error}")))
}

fn schema_record((key, value): (Bytes, Bytes)) -> StateRecord {
    StateRecord { topic: StateTopic::Schema, key, value: Some(value) }
}

fn state_write(record: StateRecord) -> StateWrite {
    let kind = match record.topic {
        StateTopic::Schema => StateKind::Schema,
        StateTopic::Xa => StateKind::Xa,
    };
    StateWrite { kind, key: record.key, value: record.value }
}
