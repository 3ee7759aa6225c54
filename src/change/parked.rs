//! What is kept of tables whose changes are not published for now.

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
    /// No record of it lies in the topic before this offset.
    pub from: i64,
}

impl ParkedTable {
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
