//! What an instance's writer hands to the appender: one source transaction, or several, with
//! the position behind them.

use std::sync::Arc;

use bytes::Bytes;

use super::staged::StagedPart;
use super::topic::Topic;
use crate::record::Batch;

/// Which commit of which writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) instance: Arc<str>,
    pub(super) epoch: u64,
    pub(super) number: u64,
}

/// What the appender gets.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) session: Session,
    pub(super) parts: Vec<Part>,
    pub(super) staged: Vec<StagedPart>,
    pub(super) positions: Arc<Topic>,
    pub(super) position: Bytes,
    pub(super) state: Vec<(Arc<Topic>, Batch)>,
}

/// Records of one partition.
pub(super) type Part = (Arc<Topic>, i32, Batch);
