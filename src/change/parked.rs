//! What is kept of tables whose changes are not published for now.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::TableName;

/// A table that is parked: from some event on its changes are kept in the instance's `.parked`
/// topic, until they are published after all, or dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParkedTable {
    /// Its database.
    pub schema: String,
    /// The table in it.
    pub table: String,
    /// What was wrong with the first event.
    pub reason: String,
    /// The binlog file of that event.
    pub file: String,
    /// Its offset.
    pub offset: u64,
    /// Its time, in seconds since 1970.
    pub time: u32,
    /// How many events are kept: of rows, and statements.
    pub events: u64,
    /// How large they are, in bytes.
    pub bytes: u64,
    /// Prepared XA branches that hold changes of it, by their xids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<String>,
    /// How much of what is kept each of them holds: it is kept no more when the branch is rolled
    /// back. Of branches that an older build held nothing is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub held: BTreeMap<String, HeldLetters>,
    /// No record of it lies in the topic before this offset.
    pub from: i64,
}

/// What a prepared XA branch holds of a parked table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLetters {
    /// Events.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl ParkedTable {
    /// A branch ended; whether it held anything. What it held stays where it was committed.
    pub fn end_branch(&mut self, xid: &str, committed: bool) -> bool {
        let held = self.held.remove(xid).unwrap_or_default();
        if !committed {
            self.events = self.events.saturating_sub(held.events);
            self.bytes = self.bytes.saturating_sub(held.bytes);
        }
        let before = self.branches.len();
        self.branches.retain(|branch| branch != xid);
        self.branches.len() < before
    }

    /// Which table it is.
    pub fn name(&self) -> TableName {
        TableName::new(&*self.schema, &*self.table)
    }
}

/// A rows event as the server wrote it, with all that it takes to read it at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEvent {
    /// The body of the FORMAT_DESCRIPTION event before it.
    pub format: Bytes,
    /// The body of its table map.
    pub map: Bytes,
    /// The number of its type.
    pub code: u8,
    /// Its body, without checksum.
    pub body: Bytes,
    /// The table's definition then, as the schema history writes one; none if it is not known.
    pub definition: Option<Bytes>,
}
