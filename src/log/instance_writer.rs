//! The writer of an instance: source transactions in, one frame for each.
//!
//! Owns: the parts of the open append, in memory up to the staging size and in segment
//! files of their own beyond. In: parts by topic and partition, then a position with
//! state records. Out: a receipt that resolves when all of it is durable and published.
//!
//! What holds: the newest opened writer of an instance is the only one whose commits are
//! taken; they are taken in the order they were made, and after a failed one none is
//! until the writer is opened again. The position is in the same frame as the records.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::error::WriterError;
use crate::record::Batch;

/// Resolves when a commit is durable and can be read.
pub type Receipt = Pin<Box<dyn Future<Output = Result<(), WriterError>> + Send>>;

/// Writes for one instance. One open append at a time.
#[derive(Debug)]
pub struct Writer {
    instance: String,
}

/// What an instance finds when it opens its writer.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// The last committed position; `None` before the first.
    pub position: Option<Bytes>,
    /// The newest record of each key of the instance's other internal topics.
    pub state: Vec<RestoredRecord>,
}

/// A record of an internal topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredRecord {
    /// The last part of the topic's name: `schema` or `xa`.
    pub topic: String,
    /// Its key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
}

/// A record that becomes durable with a position.
#[derive(Clone, Debug)]
pub struct StateWrite {
    /// The last part of the topic's name: `schema` or `xa`.
    pub topic: &'static str,
    /// Its key.
    pub key: Bytes,
    /// `None` deletes the key.
    pub value: Option<Bytes>,
}

impl Writer {
    /// Fences the former writer of the instance, waits for what it queued, and returns
    /// what was committed. Cancel safe: opening again is fine.
    pub async fn open(&mut self) -> Result<Restored, WriterError> {
        todo!()
    }

    /// Adds records to the open append. A topic that is not there is made with
    /// `partitions` partitions and owned by the instance; one with fewer is grown.
    pub async fn append(
        &mut self,
        _topic: &Arc<str>,
        _partitions: i32,
        _partition: i32,
        _records: Batch,
    ) -> Result<(), WriterError> {
        todo!()
    }

    /// Ends the open append: its records, the position and the state records become
    /// durable, and readable, together or not at all. Returns when it is queued.
    pub async fn commit(
        &mut self,
        _position: Bytes,
        _state: Vec<StateWrite>,
    ) -> Result<Receipt, WriterError> {
        todo!()
    }

    /// Takes the open append back.
    pub async fn abort(&mut self) -> Result<(), WriterError> {
        todo!()
    }

    /// The records of one key of an internal topic since its last deletion, in order:
    /// how a held XA branch is read back.
    pub async fn records_of(&self, _topic: &str, _key: &[u8]) -> Result<Vec<Bytes>, WriterError> {
        todo!("{}", self.instance)
    }
}
