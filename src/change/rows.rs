//! The rows that one rows event changed, still as the bytes the server sent.

use std::sync::Arc;

use bytes::Bytes;

use super::{FileName, KeptEvent, Table};

/// What happened to the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsKind {
    /// One image a row: the new row.
    Insert,
    /// Two images a row: before, then after.
    Update,
    /// One image a row: the row that was deleted.
    Delete,
}

/// Where an event is in the binlog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPlace {
    /// The file.
    pub file: FileName,
    /// Offset of the event's first byte; of the payload event for what was inside one.
    pub offset: u64,
    /// Header timestamp, in seconds since 1970.
    pub time: u32,
}

/// Which columns an image holds: one bit a column, column 0 in the lowest bit of the
/// first byte, as rows events write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSet(pub Bytes);

impl ColumnSet {
    /// Whether `column` is in the image.
    pub fn contains(&self, column: usize) -> bool {
        self.0.get(column / 8).is_some_and(|byte| byte >> (column % 8) & 1 == 1)
    }
}

/// The rows of one rows event.
#[derive(Clone, Debug)]
pub struct RowsChange {
    /// What happened to them.
    pub kind: RowsKind,
    /// The table as it was then.
    pub table: Arc<Table>,
    /// Columns present in the first image of a row: before for UPDATE and DELETE, after
    /// for INSERT.
    pub columns: ColumnSet,
    /// Columns present in the after image of an UPDATE; `None` for the others.
    pub after_columns: Option<ColumnSet>,
    /// The images, back to back, each: null bitmap over its present columns, then values.
    pub images: Bytes,
    /// Where the event is.
    pub place: EventPlace,
    /// What is kept of the event if its table is parked: then its rows are not published. Its
    /// `table` may have no columns.
    pub parked: Option<Arc<KeptEvent>>,
}
