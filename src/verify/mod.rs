//! A table held against its topic.
//!
//! In: the messages of the topic in order, each with where it is against the place at which the table
//! was read ([`When`]); the rows of the table, in messages of the same encoder. Out: how the rows
//! differ, by key. Always: the memory is bounded, whatever the table's and the topic's sizes: both
//! are sorted by key in files of a [`Disk`], and then compared key by key.
//!
//! A row that changed around the place may be as before or as behind each of its changes: it is equal
//! if it is as one of them. Of a key without a message nothing is known, unless the topic is known to
//! have all rows: it is counted, and not judged.

mod judge;
mod message;
mod sort;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::disk::Disk;

use judge::Judge;
use message::{Entry, Kind, Message};
use sort::Sorter;

pub use message::Row;

/// Where a change is, against the place at which the table was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// The reading shows it.
    Before,
    /// The reading may show it.
    Around,
    /// The reading does not show it.
    Behind,
}

/// A record of the topic.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its partition and offset.
    pub at: (i32, i64),
    /// File and offset of its event, and its number in its transaction; none where it does not say.
    pub place: Option<(u64, u64, u64)>,
    /// Where that is.
    pub when: When,
    /// Whether it was copied, so that its rows may have been there already.
    pub is_copy: bool,
    /// The message.
    pub value: &'a [u8],
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A message is none.
    #[error("the message at partition {partition}, offset {offset} cannot be read: {reason}")]
    Message {
        /// Its partition.
        partition: i32,
        /// Its offset.
        offset: i64,
        /// What is wrong with it.
        reason: serde_json::Error,
    },
    /// What our own encoder made is none.
    #[error("the rows of the table cannot be read: {0}")]
    Table(serde_json::Error),
    /// The temporary files.
    #[error("cannot sort in temporary files: {0}")]
    Disk(#[from] io::Error),
}

/// How a key differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difference {
    /// The table has the row, the topic says that it is not there.
    Missing,
    /// The topic has the row, the table does not.
    Extra,
    /// Both have it, and values differ, or columns.
    Changed,
    /// The topic inserts it where it is already.
    Duplicate,
    /// The topic has changes of it that are not in the order of the binlog.
    Order,
}

impl Difference {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Changed => "changed",
            Self::Duplicate => "duplicate",
            Self::Order => "order",
        }
    }
}

/// A key that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// How.
    pub difference: Difference,
    /// The values of the key's columns, as JSON; of a table without a key the whole row.
    pub key: String,
    /// The row as the topic has it.
    pub topic: Option<Row>,
    /// The row as the table has it.
    pub table: Option<Row>,
    /// The columns that differ.
    pub columns: Vec<String>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows of the table.
    pub rows: u64,
    /// Messages of the topic that are of the table.
    pub messages: u64,
    /// Keys that were judged.
    pub judged: u64,
    /// Keys of the table of which the topic has no message.
    pub without_message: u64,
    /// Keys whose last message is older than a change of the table's definition, and that differ.
    pub of_older_definition: u64,
    /// How many differ, by how.
    pub differing: BTreeMap<Difference, u64>,
}

impl Report {
    /// Keys that differ.
    pub fn differences(&self) -> u64 {
        self.differing.values().sum()
    }

    /// Keys of which nothing can be said.
    pub fn not_judged(&self) -> u64 {
        self.without_message + self.of_older_definition
    }
}

/// One table and its topic.
#[derive(Debug)]
pub struct Comparison {
    database: String,
    table: String,
    key: Vec<String>,
    /// Whether the topic is known to have every row.
    is_complete: bool,
    sorter: Sorter,
    report: Report,
    /// The newest place of each partition.
    newest: BTreeMap<i32, (u64, u64, u64)>,
    /// Since when in the topic all rows before are gone, and when that was.
    emptied: Vec<((i32, i64), When)>,
    /// The last change of the definition.
    altered: Option<(i32, i64)>,
}

impl Comparison {
    /// Begins with a table whose primary key has these columns; without one rows are counted.
    pub fn new(
        (database, table): (&str, &str),
        key: Vec<String>,
        disk: Arc<dyn Disk>,
        folder: &str,
    ) -> io::Result<Self> {
        Ok(Self {
            database: database.to_owned(),
            table: table.to_owned(),
            key,
            is_complete: false,
            sorter: Sorter::new(disk, folder)?,
            report: Report::default(),
            newest: BTreeMap::new(),
            emptied: Vec::new(),
            altered: None,
        })
    }

    /// The topic has every row: one without a message is missing.
    pub fn set_complete(&mut self) {
        self.is_complete = true;
    }

    /// Whether it is known to have.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Takes a record of the topic; those of other tables do not count. Records of a partition come
    /// in its order.
    pub fn take_record(&mut self, record: &Record<'_>) -> Result<(), Error> {
        let (partition, offset) = record.at;
        let wrong = |reason| Error::Message { partition, offset, reason };
        let message = Message::read(record.value).map_err(wrong)?;
        if !message.is_of(&self.database, &self.table) {
            return Ok(());
        }
        self.report.messages += 1;
        if message.is_ddl {
            self.take_statement(&message, record);
            return Ok(());
        }
        // A rewind brings what was there before again; so does a second writer.
        let is_late = !record.is_copy
            && record.place.is_some_and(|place| {
                let newest = self.newest.entry(partition).or_insert(place);
                std::mem::replace(newest, place.max(*newest)) > place
            });
        let entries = message.entries(&self.key).map_err(wrong)?;
        for (number, (key, kind, row)) in entries.into_iter().enumerate() {
            let kind = match kind {
                Kind::Insert if record.is_copy => Kind::Copy,
                kind => kind,
            };
            let at = (partition, offset, number as u64);
            self.sorter.push(Entry { key, at, when: record.when, kind, is_late, row })?;
        }
        Ok(())
    }

    fn take_statement(&mut self, message: &Message, record: &Record<'_>) {
        match message.kind.as_str() {
            // It may have been there.
            "CREATE" if message.is_conditional() => {}
            // What is behind it is all there is.
            "TRUNCATE" | "ERASE" | "CREATE" => {
                self.emptied.push((record.at, record.when));
                self.is_complete |= record.when != When::Behind;
            }
            "ALTER" | "RENAME" if record.when != When::Behind => self.altered = Some(record.at),
            _ => {}
        }
    }

    /// Takes rows of the table: a message of them, as the encoder makes it of inserts.
    pub fn take_rows(&mut self, message: &[u8]) -> Result<(), Error> {
        let message = Message::read(message).map_err(Error::Table)?;
        for (key, _, row) in message.entries(&self.key).map_err(Error::Table)? {
            self.report.rows += 1;
            let at = (i32::MAX, i64::MAX, self.report.rows);
            let when = When::Before;
            self.sorter.push(Entry { key, at, when, kind: Kind::Table, is_late: false, row })?;
        }
        Ok(())
    }

    /// Compares; `each` is shown every key that differs.
    pub fn finish(self, mut each: impl FnMut(&Differing)) -> Result<Report, Error> {
        let Self { key, is_complete, sorter, report, emptied, altered, .. } = self;
        let kind = (!key.is_empty(), is_complete);
        let mut judge = Judge::new(kind, emptied, altered, report, &mut each);
        let mut entries = sorter.sorted()?;
        while let Some(entry) = entries.next()? {
            judge.take(entry);
        }
        judge.end_key();
        Ok(judge.report)
    }
}
