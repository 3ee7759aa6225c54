//! Why a change cannot be published, and what to do about it.

use std::sync::Arc;

use crate::change::{EventPlace, FileName, StatementChange, StatementKind, TableName};
use crate::format::flat;
use crate::instance::gather::Room;
use crate::instance::park::tables::MOST_NAMES;
use crate::sink::RaisedBy;

/// See the head of this file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes of a row are not as the table's definition says.
    #[error("{file}:{offset}: {source}")]
    Unreadable {
        /// The binlog file of the event.
        file: FileName,
        /// Its offset.
        offset: u64,
        /// What is wrong with its rows.
        source: flat::Error,
    },
    /// A single row, or a statement, makes a larger message than its topic takes.
    #[error(
        "{file}:{offset}: a row or statement of {table} makes a message of {size} bytes, and topic \
         {topic} takes {limit}: raise what it takes ({raised_by} --alter --entity-type topics \
         --entity-name {topic} --add-config max.message.bytes={advised}`), or leave \
         {leave_out}, or keep such changes aside (sluice.table.error=park)"
    )]
    TooLarge {
        /// The binlog file of the event.
        file: FileName,
        /// Its offset.
        offset: u64,
        /// Its table.
        table: TableName,
        /// Where the message was to go.
        topic: Arc<str>,
        /// The size of its batch, or at least, in bytes.
        size: usize,
        /// What the topic takes, in bytes.
        limit: usize,
        /// What it has to take, in bytes, with some more.
        advised: usize,
        /// What raises it.
        raised_by: RaisedBy,
        /// What else can be left out, and by which setting.
        leave_out: &'static str,
    },
    /// A statement parks one more name with a table than one record keeps.
    #[error(
        "{file}:{offset}: a statement is about parked {table}, with which {MOST_NAMES} names are \
         parked already, and names one more: publish what is kept of it first (`bin/sluice instance \
         retry`), or drop it (`bin/sluice instance drop-parked`)"
    )]
    ManyNames {
        /// The binlog file of the statement.
        file: FileName,
        /// Its offset.
        offset: u64,
        /// The parked table.
        table: TableName,
    },
}

impl Error {
    /// The one table that is at fault, and its event: to be parked, if it is not yet.
    pub(crate) fn table(&self) -> Option<(&TableName, EventPlace)> {
        let (table, file, offset) = match self {
            Self::Unreadable { file, offset, source } => (source.table(), file, offset),
            Self::TooLarge { file, offset, table, .. } => (table, file, offset),
            Self::ManyNames { .. } => return None,
        };
        Some((table, EventPlace { file: Arc::clone(file), offset: *offset, time: 0 }))
    }

    /// As [`Self::ManyNames`].
    pub(super) fn many_names(table: TableName, place: &EventPlace) -> Self {
        Self::ManyNames { file: Arc::clone(&place.file), offset: place.offset, table }
    }

    /// The rows of the event at `place` cannot be read.
    pub(super) fn unreadable(place: &EventPlace, source: flat::Error) -> Self {
        Self::Unreadable { file: Arc::clone(&place.file), offset: place.offset, source }
    }

    /// The rows of the event at `place` cannot be written for `topic`.
    pub(super) fn of_rows(
        place: &EventPlace,
        error: flat::Error,
        topic: &Arc<str>,
        room: Room,
    ) -> Self {
        match error {
            flat::Error::TooLarge { table, length } => {
                Self::too_large(place, table, topic, length, room, COLUMN)
            }
            error @ flat::Error::Unreadable { .. } => Self::unreadable(place, error),
        }
    }

    /// The message of a statement, of `length` bytes, has no room.
    pub(super) fn statement_too_large(
        statement: &StatementChange,
        topic: &Arc<str>,
        length: usize,
        room: Room,
    ) -> Self {
        let (place, subject) = (&statement.place, statement.subject.clone());
        Self::too_large(place, subject, topic, length, room, how_to_leave_out(statement))
    }

    /// A message of `length` bytes has no room.
    fn too_large(
        place: &EventPlace,
        table: TableName,
        topic: &Arc<str>,
        length: usize,
        room: Room,
        leave_out: &'static str,
    ) -> Self {
        /// Limits are set in MiB; what was not measured may be somewhat longer.
        const STEP: usize = 1 << 20;
        let around = room.limit.saturating_sub(room.value);
        let size = length.saturating_add(around);
        Self::TooLarge {
            file: Arc::clone(&place.file),
            offset: place.offset,
            table,
            topic: Arc::clone(topic),
            size,
            limit: room.limit,
            advised: (size + size / 8).next_multiple_of(STEP),
            raised_by: room.raised_by,
            leave_out,
        }
    }
}

const COLUMN: &str = "the column or the table out (canal.instance.filter.black.field, \
     canal.instance.filter.black.regex)";

/// By which setting statements of its kind are not published.
fn how_to_leave_out(statement: &StatementChange) -> &'static str {
    // A rows query has no database, as in Canal.
    let is_beside_rows = statement.schema.is_empty() && !statement.is_ddl;
    match statement.kind {
        StatementKind::Query if !is_beside_rows => {
            "such statements out (canal.instance.filter.query.dcl=true)"
        }
        StatementKind::Query
        | StatementKind::Insert
        | StatementKind::Update
        | StatementKind::Delete => "such statements out (canal.instance.filter.query.dml=true)",
        StatementKind::Create
        | StatementKind::Alter
        | StatementKind::Erase
        | StatementKind::Rename
        | StatementKind::Truncate
        | StatementKind::CreateIndex
        | StatementKind::DropIndex => "such statements out (canal.instance.filter.query.ddl=true)",
    }
}
