//! XA branches in the loop: held when they are prepared, published or dropped when they end.
//!
//! In: what became of a branch at the end of a transaction. Out: the parts and the state record
//! that hold it; at its XA COMMIT the sink publishes it into the append at hand.
//!
//! Always: a branch is touched once by an append, so that what ends it is in a later one than
//! what held it.
//!
//! The record of a branch says `{"file":..,"offset":..,"gtid":..,"messages":..,"rows":..,"bytes":..}`:
//! where it was prepared, in the source's binlog, and by which transaction (records of older builds
//! do not say it), and what its XA COMMIT publishes.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::pipeline::{Error, Pipeline};
use crate::change::{
    BranchEnd, BranchStep, EventPlace, HeldBranch, StateRecord, StateTopic, TransactionHead, Xid,
};
use crate::clock;
use crate::control::Done;
use crate::sink::{self, BATCH_BYTES, Closing, Sink};

/// See the head of this file.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    file: Arc<str>,
    offset: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gtid: Option<Arc<str>>,
    messages: u64,
    rows: u64,
    bytes: u64,
}

impl<S: Sink> Pipeline<'_, S> {
    /// What a transaction does to a branch, before it counts as whole. Whether it should be a
    /// commit of its own.
    pub(super) async fn branch(
        &mut self,
        head: &TransactionHead,
        step: &BranchStep,
    ) -> Result<bool, Error> {
        let mut is_large = false;
        let value = match step.end {
            BranchEnd::Prepared => {
                let held = self.encoder.end_branch(&step.xid);
                self.hand_over_branch(&step.xid).await?;
                Some(about(head, &step.place, held)?)
            }
            BranchEnd::Committed => {
                is_large = self.publish(head, step).await?;
                None
            }
            BranchEnd::RolledBack => None,
        };
        match step.end {
            BranchEnd::Prepared => {}
            BranchEnd::Committed => self.encoder.forget_branch(&step.xid, true),
            BranchEnd::RolledBack => self.encoder.forget_branch(&step.xid, false),
        }
        self.state.push(StateRecord { topic: StateTopic::Xa, key: key(&step.xid), value });
        Ok(is_large)
    }

    /// Whether the append at hand has touched the branch.
    pub(super) fn has_touched(&self, xid: &Xid) -> bool {
        let key = key(xid);
        self.state.iter().any(|record| record.topic == StateTopic::Xa && record.key == key)
    }

    /// Hands over what may be of a branch.
    pub(super) async fn hand_over_branch(&mut self, xid: &Arc<Xid>) -> Result<(), Error> {
        for part in self.encoder.take_branch(xid) {
            self.handed += part.records.len();
            self.sink.append(part).await?;
        }
        Ok(())
    }

    async fn publish(&mut self, head: &TransactionHead, step: &BranchStep) -> Result<bool, Error> {
        // Whole transactions before it come before it.
        self.handed += self.encoder.bytes();
        self.hand_over().await?;
        let BranchStep { xid, place, .. } = step;
        let binlog = format!("{}:{}", place.file, place.offset);
        let executed = head.executed.as_deref().unwrap_or_default();
        let (id, ts) = (self.encoder.id().to_string(), clock::now_millis().to_string());
        let closing = Closing {
            binlog: &binlog,
            gtid: head.gtid.as_deref(),
            texts: [executed.as_bytes(), id.as_bytes(), ts.as_bytes()],
        };
        let about = self.sink.publish_held(xid, &closing).await?;
        let About { messages, rows, bytes, .. } = serde_json::from_slice(&about)
            .map_err(|error| odd(&format!("the record of the XA branch {xid}: {error}")))?;
        let transactions = u64::from(messages > 0);
        // Each message was held without the executed set.
        let bytes = bytes.saturating_add(messages.saturating_mul(executed.len() as u64));
        self.encoder.published(Done { transactions, rows, messages, bytes });
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.handed = self.handed.saturating_add(bytes);
        Ok(bytes >= BATCH_BYTES)
    }
}

fn key(xid: &Xid) -> Bytes {
    Bytes::from(xid.to_string())
}

/// A held branch, by what its record says.
pub(crate) fn held_branch(xid: Arc<Xid>, about: &[u8]) -> Result<HeldBranch, sink::Error> {
    let About { file, offset, gtid, .. } = serde_json::from_slice(about).map_err(|error| {
        sink::Error::Failed(format!("the record of the XA branch {xid}: {error}"))
    })?;
    Ok(HeldBranch { xid, gtid, place: (file, offset) })
}

fn about(head: &TransactionHead, place: &EventPlace, held: Done) -> Result<Bytes, Error> {
    let Done { rows, messages, bytes, .. } = held;
    let (file, offset) = (Arc::clone(&place.file), place.offset);
    let gtid = head.gtid.clone();
    let about = About { file, offset, gtid, messages, rows, bytes };
    let json = serde_json::to_vec(&about).map_err(|error| odd(&error.to_string()))?;
    Ok(Bytes::from(json))
}

fn odd(reason: &str) -> Error {
    Error::Sink(sink::Error::Failed(reason.to_owned()))
}
