//! The XA branches that were prepared on a server when an instance first asked it.
//!
//! What is prepared later comes to be held, if it is in the binlog at all: so a branch that ends, is
//! not held and is none of these was never logged. It is kept beside the position, since after a start
//! the server would count among them what was prepared meanwhile.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::FileName;

/// See the head of this file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// The server, as [`super::MySqlPosition::server_uuid`].
    pub server: Arc<str>,
    /// Where its binlog was then: the file
    pub file: FileName,
    /// and its offset, in bytes.
    pub offset: u64,
    /// The branches, as [`super::Xid`] writes them, but for those that ended since.
    pub xids: Vec<String>,
}

impl Prepared {
    /// More are not kept: they would be written with each commit.
    pub const MOST: usize = 32;
}
