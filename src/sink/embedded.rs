//! The sink into the bundled log: rows, position and state records in one journal frame.
//!
//! In: parts, a position, state records. Out: receipts of the log. The position goes into the
//! instance's positions topic, as [`super::position_record`] has it.

use bytes::Bytes;

use super::position_record::{PositionError, PositionRecords};
use super::{Committed, Error, Part, Receipt, Sink};
use crate::change::{Position, StateRecord, StateTopic};
use crate::log::{StateKind, StateWrite, Writer};

/// See the head of this file.
#[derive(Debug)]
pub struct Embedded {
    writer: Writer,
    positions: PositionRecords,
}

impl Embedded {
    /// A sink over an instance's writer, not yet open.
    pub fn new(writer: Writer) -> Self {
        Self { writer, positions: PositionRecords::default() }
    }
}

impl Sink for Embedded {
    async fn open(&mut self) -> Result<Committed, Error> {
        let restored = self.writer.open().await?;
        let (position, base) = (restored.position.as_deref(), restored.position_base.as_deref());
        let (positions, position) = PositionRecords::read(position, base)?;
        self.positions = positions;
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
        let written = self.positions.write(position)?;
        let mut state: Vec<_> = state.into_iter().map(state_write).collect();
        state.extend(written.base.map(StateWrite::position_base));
        let receipt = self.writer.commit(written.position, state).await?;
        Ok(Box::pin(async { receipt.await.map_err(Error::from) }))
    }

    async fn abort(&mut self) -> Result<(), Error> {
        self.writer.abort().await.map_err(Error::from)
    }
}

impl From<PositionError> for Error {
    fn from(error: PositionError) -> Self {
        Self::Position(error.to_string())
    }
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
