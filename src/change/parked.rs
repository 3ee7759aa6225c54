//! What is kept of tables whose changes are not published for now.

use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// Other names whose changes are kept with it, each from a statement on that concerned both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<ParkedName>,
}

/// A name whose changes are kept with those of a parked table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParkedName {
    /// Its database.
    pub schema: String,
    /// The table in it; empty for all of the database.
    pub table: String,
    /// No record under it that is kept lies in the topic before this offset.
    pub from: i64,
}

impl ParkedName {
    /// The name.
    pub fn name(&self) -> TableName {
        TableName::new(&*self.schema, &*self.table)
    }
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

    /// Its names: its own, and those that came by statements since (a RENAME, a DROP DATABASE).
    pub fn all_names(&self) -> impl Iterator<Item = TableName> {
        std::iter::once(self.name()).chain(self.names.iter().map(ParkedName::name))
    }

    /// From which offset of the topic on what lies there under `name` is of it; none if nothing is.
    pub fn from_of(&self, name: &TableName) -> Option<i64> {
        let own = std::iter::once((self.name(), self.from));
        let all = own.chain(self.names.iter().map(|one| (one.name(), one.from)));
        all.filter(|(known, _)| known.covers(name)).map(|(_, from)| from).min()
    }

    /// No record of it under any name lies in the topic before this offset.
    pub fn first_offset(&self) -> i64 {
        self.names.iter().map(|one| one.from).fold(self.from, i64::min)
    }

    /// Keeps changes under one more name with its own.
    pub fn add_name(&mut self, name: &TableName, from: i64) {
        let (schema, table) = (name.schema.to_string(), name.table.to_string());
        self.names.push(ParkedName { schema, table, from });
    }

    /// Takes in another: the two are one from here on, and come back in one order.
    pub fn take_in(&mut self, other: Self) {
        self.add_name(&other.name(), other.from);
        self.names.extend(other.names);
        self.events += other.events;
        self.bytes += other.bytes;
        self.branches.extend(other.branches.into_iter().filter(|xid| !self.held.contains_key(xid)));
        for (xid, held) in other.held {
            let all = self.held.entry(xid).or_default();
            all.events += held.events;
            all.bytes += held.bytes;
        }
    }
}

/// A rows event as the server wrote it, with all that it takes to read it at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEvent {
    /// The server whose binlog it is in, as [`super::MySqlPosition::server_uuid`]; builds before did
    /// not keep it.
    pub server: Option<Arc<str>>,
    /// The body of the FORMAT_DESCRIPTION event before it.
    pub format: Bytes,
    /// The body of its table map.
    pub map: Bytes,
    /// The number of its type.
    pub code: u8,
    /// Its body, without checksum.
    pub body: Bytes,
    /// Of an event inside a compressed transaction, how many are before it there. Builds before did
    /// not keep it.
    pub inner: Option<u32>,
    /// The table's definition then, as the schema history writes one; none if it is not known.
    pub definition: Option<Bytes>,
}
