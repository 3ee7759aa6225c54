//! Why a row that was read is no row image.

use crate::binlog;
use crate::change::TableName;

/// Why a row could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The row is shorter than what was asked for.
    #[error("a row of {table} has {values} values where {columns} were asked for")]
    Cut {
        /// The table.
        table: TableName,
        /// Values of the row.
        values: usize,
        /// Columns of an image.
        columns: usize,
    },
    /// A value is not as the table's definition says.
    #[error(
        "column `{column}` of {table} cannot be copied: {reason}; was the table altered while its \
         rows were read?"
    )]
    Value {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
        /// What is wrong with the value.
        #[source]
        reason: Unfit,
    },
}

/// Why a value is none of its column. Never says what the value is.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It is of another kind.
    #[error("the server sent {sent} where {awaited} is stored")]
    Kind {
        /// What it is.
        sent: &'static str,
        /// What the column holds.
        awaited: &'static str,
    },
    /// It is longer than the column can be.
    #[error("the server sent {length} bytes where {most} can be stored")]
    TooLong {
        /// Its bytes.
        length: usize,
        /// The bytes that there is room for.
        most: usize,
    },
    /// It is a number, or a date, that the column cannot hold.
    #[error("the server sent {what} that the column cannot hold")]
    Range {
        /// What it is.
        what: &'static str,
    },
    /// It is no text of its type.
    #[error(transparent)]
    Text(#[from] binlog::Error),
}
