//! The sink into the bundled log: rows, position and state records in one journal frame.
//!
//! In: parts, a position, state records. Out: receipts of the log. The position goes into the
//! instance's positions topic, as [`super::position_record`] has it.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::Shared;

use super::branches::{Branches, Finding, Held, Publishing};
use super::position_record::{PositionError, PositionRecords};
use super::{
    Closing, Committed, Error, HeldPieces, HeldPlace, LetterRecord, Letters, Limits, Lost, Moved,
    Part, Receipt, Sink, TopicEnd, notice,
};
use crate::change::{Position, StateRecord, StateTopic, Xid};
use crate::log::{StateKind, StateWrite, Writer};
use crate::record::{RecordView, batches};

/// See the head of this file.
#[derive(Debug)]
pub struct Embedded {
    writer: Writer,
    positions: PositionRecords,
    branches: Branches,
    /// Of the newest commit since it was opened.
    last: Option<Shared<Receipt>>,
}

impl Embedded {
    /// A sink over an instance's writer, not yet open.
    pub fn new(writer: Writer) -> Self {
        let (positions, branches) = (PositionRecords::default(), Branches::default());
        Self { writer, positions, branches, last: None }
    }

    /// All records as they were written, tombstones among them: of each key the newest is last.
    async fn restore(
        &self,
        topic: StateTopic,
        each: &mut (dyn FnMut(StateRecord) + Send),
    ) -> Result<(), Error> {
        let mut offset = 0;
        loop {
            let read = self.writer.read_state(topic.into(), offset).await?;
            for (_, key, value) in read.records {
                each(StateRecord { topic, key, value });
            }
            if read.next == offset {
                return Ok(());
            }
            offset = read.next;
        }
    }
}

impl Embedded {
    /// Adds records that are too large to wait in memory for the commit.
    async fn append_pieces(&mut self, pieces: Vec<StateRecord>) -> Result<(), Error> {
        for StateRecord { key, value, .. } in pieces {
            self.writer.append_state(StateKind::Xa, &key, value.as_deref()).await?;
        }
        Ok(())
    }

    async fn append_whole(
        &mut self,
        publishing: &mut Publishing,
        closing: &Closing<'_>,
    ) -> Result<(), Error> {
        while let Some(part) = publishing.next(closing)? {
            let Part { topic, partition, partitions, records, .. } = part;
            self.writer.append(&topic, partitions, partition, records).await?;
        }
        Ok(())
    }
}

/// What an opened writer's topic of branches holds.
pub(crate) async fn find_branches(writer: &Writer) -> Result<Held, Error> {
    let (mut finding, mut offset) = (Finding::default(), 0);
    loop {
        let read = writer.read_state(StateKind::Xa, offset).await?;
        for (at, key, value) in read.records {
            finding.take(at, key, value);
        }
        if read.next == offset {
            return finding.finish();
        }
        offset = read.next;
    }
}

impl From<StateTopic> for StateKind {
    fn from(topic: StateTopic) -> Self {
        match topic {
            StateTopic::Schema => Self::Schema,
            StateTopic::Xa => Self::Xa,
            StateTopic::Parked => Self::Parked,
            StateTopic::Snapshot => Self::Snapshot,
        }
    }
}

impl From<StateRecord> for StateWrite {
    fn from(record: StateRecord) -> Self {
        let StateRecord { topic, key, value } = record;
        Self { kind: topic.into(), key, value }
    }
}

impl Sink for Embedded {
    async fn open(
        &mut self,
        each: &mut (dyn FnMut(StateRecord) + Send),
    ) -> Result<Committed, Error> {
        let restored = self.writer.open().await?;
        let (position, base) = (restored.position.as_deref(), restored.position_base.as_deref());
        let (positions, position) = PositionRecords::read(position, base)?;
        self.positions = positions;
        self.restore(StateTopic::Schema, each).await?;
        self.restore(StateTopic::Snapshot, each).await?;
        for (key, value) in restored.parked {
            each(StateRecord { topic: StateTopic::Parked, key, value: Some(value) });
        }
        let (branches, held) = find_branches(&self.writer).await?;
        (self.branches, self.last) = (branches, None);
        let letters_end = self.writer.letters_end()?;
        let moved = restored.moved.as_deref().map(Moved::read);
        Ok(Committed { position, held, letters_end, moved })
    }

    fn limits(&self) -> Limits {
        let log = self.writer.log().clone();
        let limits = Limits::new(move |topic| Writer::largest_batch(&log, topic));
        limits.with_spares(self.writer.spares())
    }

    async fn append(&mut self, part: Part) -> Result<(), Error> {
        if let Some(xid) = part.branch.clone() {
            let end = self.writer.state_end(StateKind::Xa)?;
            let pieces = self.branches.hold(end, &xid, part);
            return self.append_pieces(pieces).await;
        }
        let Part { topic, partition, partitions, records, .. } = part;
        self.writer.append(&topic, partitions, partition, records).await.map_err(Error::from)
    }

    async fn append_state(&mut self, record: StateRecord) -> Result<(), Error> {
        let StateRecord { topic, key, value } = record;
        self.writer.append_state(topic.into(), &key, value.as_deref()).await.map_err(Error::from)
    }

    async fn read_held(&mut self, xid: &Xid, place: HeldPlace) -> Result<HeldPieces, Error> {
        let mut collecting = self.branches.collect(xid, place)?;
        while let Some(offset) = collecting.reads_from() {
            let read = self.writer.read_state(StateKind::Xa, offset).await?;
            if read.next == offset {
                break;
            }
            for (at, key, value) in read.records {
                collecting.take(at, &key, value.as_deref());
            }
        }
        collecting.finish()
    }

    async fn topic_ends(&mut self, _: Vec<Arc<str>>) -> Result<Vec<TopicEnd>, Error> {
        Ok(self.writer.topic_ends()?.into_iter().map(TopicEnd::from).collect())
    }

    async fn publish_held(&mut self, xid: &Xid, closing: &Closing<'_>) -> Result<Bytes, Error> {
        if self.branches.is_read_from_log(xid)
            && let Some(last) = &self.last
        {
            last.clone().await?;
        }
        let mut publishing = self.branches.publish(xid)?;
        self.append_whole(&mut publishing, closing).await?;
        let mut offset = publishing.reads_from().unwrap_or_default();
        while publishing.reads_from().is_some() {
            let read = self.writer.read_state(StateKind::Xa, offset).await?;
            if read.next == offset {
                break;
            }
            offset = read.next;
            for (_, key, value) in read.records {
                publishing.take(&key, value.as_deref());
                self.append_whole(&mut publishing, closing).await?;
            }
        }
        publishing.finish()
    }

    async fn append_loss_notices(&mut self, lost: &Lost) -> Result<Vec<String>, Error> {
        Ok(notice::append(&mut self.writer, lost).await?)
    }

    async fn commit(
        &mut self,
        position: &Position,
        state: Vec<StateRecord>,
    ) -> Result<Receipt, Error> {
        let written = self.positions.write(position)?;
        let mut writes = Vec::new();
        for record in state {
            match (record.topic, record.value) {
                (StateTopic::Schema | StateTopic::Parked | StateTopic::Snapshot, value) => {
                    writes.push(StateRecord { value, ..record }.into());
                }
                (StateTopic::Xa, Some(about)) => {
                    let end = self.writer.state_end(StateKind::Xa)?;
                    let (last, held) = self.branches.prepare(end, record.key, about)?;
                    self.append_pieces(last).await?;
                    writes.extend(held.into_iter().map(StateWrite::from));
                }
                (StateTopic::Xa, None) => {
                    let ended = self.branches.end(&record.key);
                    writes.extend(ended.into_iter().map(StateWrite::from));
                }
            }
        }
        writes.extend(written.base.map(StateWrite::position_base));
        let receipt = self.writer.commit(written.position, writes).await?;
        let receipt: Receipt = Box::pin(async { receipt.await.map_err(Error::from) });
        let receipt = receipt.shared();
        self.last = Some(receipt.clone());
        Ok(Box::pin(receipt))
    }

    async fn abort(&mut self) -> Result<(), Error> {
        self.branches.abort();
        self.writer.abort().await.map_err(Error::from)
    }

    fn letters(&self) -> Arc<str> {
        self.writer.letters_name().into()
    }

    async fn read_letters(&mut self, offset: i64) -> Result<Letters, Error> {
        let (bytes, next) = self.writer.read_letters(offset).await?;
        let records = batches(&bytes).map_while(Result::ok).flat_map(|batch| {
            let records = batch.records().map_while(Result::ok);
            let records = records.filter(|record| record.offset >= offset);
            records.filter_map(letter_record).collect::<Vec<_>>()
        });
        Ok(Letters { records: records.collect(), next })
    }

    async fn remove_letters(&mut self) -> Result<(), Error> {
        self.writer.remove_letters().await.map_err(Error::from)
    }
}

impl From<(Arc<str>, Vec<i64>)> for TopicEnd {
    fn from((name, ends): (Arc<str>, Vec<i64>)) -> Self {
        Self { there: Arc::clone(&name), name, ends }
    }
}

impl From<PositionError> for Error {
    fn from(error: PositionError) -> Self {
        Self::Position(error.to_string())
    }
}

/// None for a record that is no letter's.
fn letter_record(record: RecordView<'_>) -> Option<LetterRecord> {
    let text = |value: Option<&[u8]>| {
        value.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    let (mut binlog, mut gtid) = (String::new(), None);
    for (name, value) in record.headers {
        match name {
            b"binlog" => binlog = text(value),
            b"gtid" => gtid = Some(Arc::from(text(value))),
            _ => {}
        }
    }
    let (key, value) = (Bytes::copy_from_slice(record.key?), Bytes::copy_from_slice(record.value?));
    Some(LetterRecord { offset: record.offset, key, value, binlog, gtid })
}
