//! Messages of Canal's form, as what they do to each row.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::When;

/// A row: its columns by name.
pub type Row = BTreeMap<String, Option<String>>;

/// What is read of a message.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    #[serde(default)]
    database: Option<String>,
    #[serde(default)]
    table: Option<String>,
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(rename = "isDdl", default)]
    pub(super) is_ddl: bool,
    #[serde(default)]
    sql: Option<String>,
    #[serde(default)]
    data: Option<Vec<Row>>,
    #[serde(default)]
    old: Option<Vec<Row>>,
}

/// What is done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is there from now on.
    Insert,
    /// It is there, and may have been before.
    Copy,
    /// It is changed; the row has the columns that the message has.
    Update,
    /// It is there no more.
    Delete,
    /// The table has it.
    Table,
}

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::Insert, Self::Copy, Self::Update, Self::Delete, Self::Table];

    pub(super) fn number(self) -> u8 {
        match self {
            Self::Insert => 0,
            Self::Copy => 1,
            Self::Update => 2,
            Self::Delete => 3,
            Self::Table => 4,
        }
    }
}

/// One change of one row, or a row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The values of the key's columns, as JSON.
    pub(super) key: Vec<u8>,
    /// Partition, offset, and number in the message.
    pub(super) at: (i32, i64, u64),
    pub(super) when: When,
    pub(super) kind: Kind,
    /// Whether a newer change came before it.
    pub(super) is_late: bool,
    /// The row, as JSON.
    pub(super) row: Vec<u8>,
}

/// Key, kind and row.
type Change = (Vec<u8>, Kind, Vec<u8>);

impl Message {
    pub(super) fn read(value: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(value)
    }

    /// Whether it is a statement that does nothing where its table is there already.
    pub(super) fn is_conditional(&self) -> bool {
        let words = self.sql.as_deref().unwrap_or_default().to_ascii_uppercase();
        words
            .split_ascii_whitespace()
            .collect::<Vec<_>>()
            .windows(3)
            .any(|three| three == ["IF", "NOT", "EXISTS"])
    }

    pub(super) fn is_of(&self, database: &str, table: &str) -> bool {
        let is = |name: &Option<String>, wanted: &str| name.as_deref() == Some(wanted);
        is(&self.database, database) && is(&self.table, table)
    }

    /// Key, kind and row of each change, in order.
    pub(super) fn entries(self, key: &[String]) -> Result<Vec<Change>, serde_json::Error> {
        let kind = match self.kind.as_str() {
            "INSERT" => Kind::Insert,
            "UPDATE" => Kind::Update,
            "DELETE" => Kind::Delete,
            _ => return Ok(Vec::new()),
        };
        let mut old = self.old.unwrap_or_default().into_iter();
        let mut entries = Vec::new();
        for row in self.data.unwrap_or_default() {
            let of = key_of(&row, key)?;
            let mut kind = kind;
            if let Some(changed) = old.next().filter(|_| kind == Kind::Update) {
                let mut before = row.clone();
                before.extend(changed);
                let was = key_of(&before, key)?;
                if was != of {
                    entries.push((was, Kind::Delete, serde_json::to_vec(&before)?));
                    // Of a table without a key it is another row.
                    kind = if key.is_empty() { Kind::Insert } else { kind };
                }
            }
            entries.push((of, kind, serde_json::to_vec(&row)?));
        }
        Ok(entries)
    }
}

/// Without a key the row is its own.
fn key_of(row: &Row, key: &[String]) -> Result<Vec<u8>, serde_json::Error> {
    if key.is_empty() {
        return serde_json::to_vec(row);
    }
    let values: Vec<Option<&str>> =
        key.iter().map(|column| row.get(column).and_then(|value| value.as_deref())).collect();
    serde_json::to_vec(&values)
}
