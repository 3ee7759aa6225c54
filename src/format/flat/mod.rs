//! Canal's flat JSON message, byte for byte, save for what the README mends ("Compatibility
//! with Canal").
//!
//! In: a [`RowsChange`](crate::change::RowsChange) and a [`FlatPlan`] of its table version,
//! or a [`StatementChange`](crate::change::StatementChange). Out: one message, appended to
//! a vector. One rows event is one message, or with a partition hash one for each partition
//! ([`Rows::Chosen`]). Rows that one message has no room for go on in the next
//! ([`Unwritten`]).
//!
//! Format: no blanks, members in alphabetical order, columns in table order, every value a
//! string or null:
//!
//! ```text
//! {"data":[{"id":"1","name":"a"}],"database":"db","es":1714550400000,"gtid":"","id":17,
//!  "isDdl":false,"mysqlType":{"id":"int","name":"varchar(32)"},"old":null,"pkNames":["id"],
//!  "sql":"","sqlType":{"id":4,"name":12},"table":"t","ts":1714550400456,"type":"INSERT"}
//! ```

mod message;
mod plan;
mod sql_type;
mod statement;
mod text;

#[cfg(test)]
mod tests;

pub use message::{Rows, Unwritten, Workspace};
pub use plan::FlatPlan;
pub use statement::write_statement;

use std::ops::Range;

use crate::binlog;
use crate::change::TableName;
use crate::config::{BinaryForm, EnumForm};
use crate::format::Zone;

/// How values are written that Canal leaves a choice for.
#[derive(Clone, Debug)]
pub struct FlatSettings {
    /// `sluice.format.enum`.
    pub labels: EnumForm,
    /// `sluice.format.binary`.
    pub binary: BinaryForm,
    /// `sluice.timezone`.
    pub zone: Zone,
}

/// What a message says beside its rows or its statement.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// Number of the batch: never falls while the process lives.
    pub id: u64,
    /// Time of the event at the source, in milliseconds.
    pub es: i64,
    /// The executed set, with this transaction; empty unless `canal.instance.gtidon`.
    pub gtid: &'a str,
    /// Time of writing, in milliseconds.
    pub ts: i64,
}

/// Where in a message the stamp is that is another when the message is published later
/// (XA): ranges of its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StampPlaces {
    /// The text of the executed set.
    pub gtid: Range<usize>,
    /// The number of the batch.
    pub id: Range<usize>,
    /// The time of writing.
    pub ts: Range<usize>,
}

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Their bytes are not as the table's definition says.
    #[error("a row of {table} cannot be read: {reason}")]
    Unreadable {
        /// The table.
        table: TableName,
        /// What is wrong with its bytes.
        #[source]
        reason: binlog::Error,
    },
    /// There is no room for the message of a single row.
    #[error("a row of {table} makes a message of {length} bytes, which is too long")]
    TooLarge {
        /// The table.
        table: TableName,
        /// How many bytes the message has, or at least.
        length: usize,
    },
}

impl Error {
    /// The table.
    pub fn table(&self) -> &TableName {
        match self {
            Self::Unreadable { table, .. } | Self::TooLarge { table, .. } => table,
        }
    }
}
