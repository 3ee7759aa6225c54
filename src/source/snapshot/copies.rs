//! How far the tables of an instance are copied.
//!
//! In: the records of the topic of snapshots; what becomes of a table. Out: records, in the same
//! append as the rows that they speak of. Always: a record names the last key of which rows were
//! published, so that what follows it is what is still to be copied.
//!
//! ```text
//! key:   ["db","t"]
//! value: {"version":1,"state":"copying","key":[{"name":"id","type":"int"}],"index":"PRIMARY",
//!         "after":["42"],"upto":["255"],"chunks":3,"rows":3000}
//! key:   initial    value: {"version":1}
//! ```
//!
//! `state` is `pending`, `copying`, `done`, `stopped`, or `failed` (with `reason`); `after` and `upto` are the
//! values of the key's columns as SQL has them ([`Literal`]). The key `initial` is
//! there while the tables of a first start are still to be listed, the key `paused` while nothing is
//! to be copied.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::literal::Literal;
use crate::change::{StateRecord, StateTopic, TableName};

const VERSION: u32 = 1;
const INITIAL: &[u8] = b"initial";
const PAUSED: &[u8] = b"paused";

/// See the head of this file.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    tables: BTreeMap<TableName, Copy>,
    is_to_be_listed: bool,
    is_paused: bool,
    /// Rises with each change.
    version: u64,
}

/// How far one table is copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    pub(super) version: u32,
    /// What is to be done with it.
    pub state: CopyState,
    /// The columns of the key that its chunks go by, in the order of the key; none of a table that
    /// was not begun, or has no key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) key: Vec<KeyColumn>,
    /// The index that is the key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) index: String,
    /// The last key that was read; none before the first chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Vec<Literal>>,
    /// The last key that there was when the copy began: what comes behind it, the stream brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) upto: Option<Vec<Literal>>,
    /// Chunks that were published.
    #[serde(default)]
    pub chunks: u64,
    /// Rows that were published.
    #[serde(default)]
    pub rows: u64,
    /// Rows that the server thought it had when it was noted.
    #[serde(default)]
    pub estimate: u64,
    /// Only rows that it holds for are copied: a condition in SQL.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is to be done with a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CopyState {
    /// It was not begun.
    #[default]
    Pending,
    /// Some chunks were published.
    Copying,
    /// All of it was published.
    Done,
    /// Somebody has ended the copy before it was whole.
    Stopped,
    /// It cannot be copied; it is tried again when somebody asks.
    Failed,
}

/// A column of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyColumn {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) mysql_type: String,
    /// What it is compared by, where it is a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) collation: Option<String>,
}

impl Copy {
    /// One that is still to be begun.
    pub(super) fn pending() -> Self {
        Self { version: VERSION, ..Self::default() }
    }

    /// The same, to be begun anew.
    pub(super) fn anew(self) -> Self {
        let Self { estimate, condition, .. } = self;
        Self { estimate, condition, ..Self::pending() }
    }

    /// The same, failed.
    pub(super) fn failed(self, reason: String) -> Self {
        Self { state: CopyState::Failed, reason: Some(reason), ..self }
    }

    /// The same, given up.
    pub(super) fn stopped(self) -> Self {
        Self { state: CopyState::Stopped, ..self }
    }

    /// The same, whole.
    pub(super) fn done(self) -> Self {
        Self { state: CopyState::Done, reason: None, ..self }
    }

    /// Whether there is something to be copied.
    pub fn is_open(&self) -> bool {
        match self.state {
            CopyState::Pending | CopyState::Copying => true,
            CopyState::Done | CopyState::Stopped | CopyState::Failed => false,
        }
    }
}

impl Copies {
    /// Takes a record up. The newest of a key counts.
    pub fn take(&mut self, record: &StateRecord) -> Result<(), String> {
        let odd = |why: &dyn std::fmt::Display| {
            format!(
                "the record of a snapshot `{}` cannot be read: {why}",
                String::from_utf8_lossy(&record.key)
            )
        };
        if &*record.key == PAUSED {
            self.is_paused = record.value.is_some();
            return Ok(());
        }
        if &*record.key == INITIAL {
            self.is_to_be_listed = record.value.is_some();
            return Ok(());
        }
        let (schema, table): (String, String) =
            serde_json::from_slice(&record.key).map_err(|error| odd(&error))?;
        let name = TableName::new(schema, table);
        let Some(value) = &record.value else {
            self.tables.remove(&name);
            return Ok(());
        };
        let copy: Copy = serde_json::from_slice(value).map_err(|error| odd(&error))?;
        if copy.version != VERSION {
            return Err(odd(&"a newer build has written it: start that one again"));
        }
        self.tables.insert(name, copy);
        Ok(())
    }
}

/// Clones share it: what was handed over of the tables of one source.
#[derive(Clone, Debug, Default)]
pub(in crate::source) struct Ledger(Arc<Mutex<Copies>>);

/// What is to be written of tables.
#[derive(Debug, Default)]
pub(in crate::source) struct Notes {
    /// Tables, and how far they are; none of one that is copied no more.
    pub(super) tables: Vec<(TableName, Option<Copy>)>,
    /// Whether the tables of a first start are to be listed.
    pub(super) is_to_be_listed: Option<bool>,
    /// Whether nothing is to be copied for now.
    pub(super) is_paused: Option<bool>,
}

impl Ledger {
    /// Knows what was committed, and nothing else.
    pub(in crate::source) fn restore(&self, copies: Copies) {
        let mut known = self.lock();
        let version = known.version + 1;
        *known = Copies { version, ..copies };
    }

    pub(super) fn is_paused(&self) -> bool {
        self.lock().is_paused
    }

    /// Rises with each change.
    pub(super) fn version(&self) -> u64 {
        self.lock().version
    }

    pub(super) fn is_to_be_listed(&self) -> bool {
        self.lock().is_to_be_listed
    }

    pub(super) fn of(&self, table: &TableName) -> Option<Copy> {
        self.lock().tables.get(table).cloned()
    }

    /// The first table that is to be copied now.
    pub(super) fn next_open(&self) -> Option<(TableName, Copy)> {
        let copies = self.lock();
        let open = copies.tables.iter().find(|(_, copy)| copy.is_open());
        let (name, copy) = open.filter(|_| !copies.is_paused)?;
        Some((name.clone(), copy.clone()))
    }

    /// All tables, by name.
    pub(super) fn all(&self) -> Vec<(TableName, Copy)> {
        self.lock().tables.iter().map(|(name, copy)| (name.clone(), copy.clone())).collect()
    }

    /// Takes notes up that are handed over now; their records.
    pub(in crate::source) fn write(&self, notes: Notes) -> Result<Vec<StateRecord>, String> {
        let mut copies = self.lock();
        copies.version += 1;
        let mut records = Vec::with_capacity(notes.tables.len());
        let topic = StateTopic::Snapshot;
        if let Some(is_to_be_listed) = notes.is_to_be_listed {
            copies.is_to_be_listed = is_to_be_listed;
            let value = is_to_be_listed.then(|| Bytes::from(format!("{{\"version\":{VERSION}}}")));
            records.push(StateRecord { topic, key: Bytes::from_static(INITIAL), value });
        }
        if let Some(is_paused) = notes.is_paused {
            copies.is_paused = is_paused;
            let value = is_paused.then(|| Bytes::from(format!("{{\"version\":{VERSION}}}")));
            records.push(StateRecord { topic, key: Bytes::from_static(PAUSED), value });
        }
        for (name, copy) in notes.tables {
            let key = serde_json::to_vec(&(&*name.schema, &*name.table));
            let value = copy.as_ref().map(serde_json::to_vec).transpose();
            let (key, value) = match (key, value) {
                (Ok(key), Ok(value)) => (key.into(), value.map(Bytes::from)),
                (Err(error), _) | (_, Err(error)) => return Err(error.to_string()),
            };
            records.push(StateRecord { topic, key, value });
            match copy {
                Some(copy) => drop(copies.tables.insert(name, copy)),
                None => drop(copies.tables.remove(&name)),
            }
        }
        Ok(records)
    }

    fn lock(&self) -> MutexGuard<'_, Copies> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    /// What is known of one table.
    pub(super) fn of(table: TableName, copy: Option<Copy>) -> Self {
        Self { tables: vec![(table, copy)], ..Self::default() }
    }

    /// The tables of a first start are to be listed.
    pub(in crate::source) fn initial() -> Self {
        Self { is_to_be_listed: Some(true), ..Self::default() }
    }

    /// Nothing is to be copied for now, or again.
    pub(super) fn paused(is_paused: bool) -> Self {
        Self { is_paused: Some(is_paused), ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.is_to_be_listed.is_none() && self.is_paused.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_what_is_read() {
        let ledger = Ledger::default();
        let name = TableName::new("db", "t\"1");
        let copy = Copy {
            state: CopyState::Copying,
            key: vec![KeyColumn {
                name: "id".to_owned(),
                mysql_type: "int".to_owned(),
                collation: None,
            }],
            index: "PRIMARY".to_owned(),
            after: Some(vec![Literal::number(42)]),
            chunks: 3,
            rows: 3000,
            ..Copy::pending()
        };
        let mut records = ledger.write(Notes::initial()).unwrap();
        records.extend(ledger.write(Notes::of(name.clone(), Some(copy.clone()))).unwrap());
        let gone = TableName::new("db", "gone");
        records.extend(ledger.write(Notes::of(gone.clone(), Some(Copy::pending()))).unwrap());
        records.extend(ledger.write(Notes::of(gone, None)).unwrap());
        let mut read = Copies::default();
        for record in &records {
            read.take(record).unwrap();
        }
        let restored = Ledger::default();
        restored.restore(read);
        let read = restored;
        assert!(read.is_to_be_listed());
        assert_eq!(read.all(), [(name, copy)]);
    }

    #[test]
    fn a_record_of_a_newer_build_is_refused() {
        let key = Bytes::from_static(b"[\"db\",\"t\"]");
        let value = Some(Bytes::from_static(b"{\"version\":9,\"state\":\"pending\"}"));
        let record = StateRecord { topic: StateTopic::Snapshot, key, value };
        let error = Copies::default().take(&record).unwrap_err();
        assert!(error.contains("newer build"), "{error}");
    }
}
