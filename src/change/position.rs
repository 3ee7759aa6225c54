//! Where a source stands: the point from which everything after is still to come.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Commit, GtidSet};

/// The name of a binlog file, shared by all events of it.
pub type FileName = Arc<str>;

/// A transaction boundary of one source server.
///
/// Positions of two servers have no order; only their GTID sets compare. Written as
/// JSON into an instance's positions topic, so members are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The binlog file.
    pub file: FileName,
    /// Offset in `file` behind the last event taken, in bytes. Wider than the 32 bits
    /// that event headers have: files can pass 4 GiB.
    pub offset: u64,
    /// Everything executed up to here, complete, or absent: a partial set would start a
    /// GTID dump at the wrong place.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gtid_set: Option<GtidSet>,
    /// `@@server_uuid`; MariaDB, which has none, is named by `server-id:<server_id>`.
    pub server_uuid: Arc<str>,
    /// Header timestamp of the file's FORMAT_DESCRIPTION event, in seconds: it alone
    /// tells a file from one of the same name made after RESET BINARY LOGS.
    pub file_created: u32,
    /// Header timestamp of the last event taken, in seconds since 1970. 0 when unknown.
    pub event_time: u32,
}

impl Position {
    /// Moves behind a committed transaction. The GTID set gains its number and those of the
    /// transactions passed over; it is never rebuilt.
    pub fn advance(&mut self, commit: &Commit) {
        if !Arc::ptr_eq(&self.file, &commit.file) {
            self.file = Arc::clone(&commit.file);
        }
        self.offset = commit.offset;
        self.file_created = commit.file_created;
        if commit.event_time != 0 {
            self.event_time = commit.event_time;
        }
        if let Some(set) = &mut self.gtid_set {
            commit.passed.iter().chain(&commit.gtid).for_each(|gtid| set.insert(gtid));
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}
