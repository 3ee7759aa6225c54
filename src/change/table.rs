//! A table as it was at one place of the binlog.

use std::fmt;
use std::sync::Arc;

use super::Column;

/// `schema.table`, in the spelling of the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// The database.
    pub schema: Arc<str>,
    /// The table in it.
    pub table: Arc<str>,
}

impl TableName {
    /// Names a table.
    pub fn new(schema: impl Into<Arc<str>>, table: impl Into<Arc<str>>) -> Self {
        Self { schema: schema.into(), table: table.into() }
    }

    /// All of a database: the name without a table.
    pub fn of_database(schema: impl Into<Arc<str>>) -> Self {
        Self::new(schema, "")
    }

    /// Whether it is `other`, or the database that it is in.
    pub fn covers(&self, other: &Self) -> bool {
        let is_its_database =
            self.table.is_empty() && !self.schema.is_empty() && self.schema == other.schema;
        is_its_database || self == other
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// Distinguishes the versions of tables that one source session has seen: never used
/// twice by a process, so that what was prepared for a version can be found by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableVersion(pub u64);

/// One version of a table: what its row images hold, and what is known of it beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Which version.
    pub version: TableVersion,
    /// Its name.
    pub name: TableName,
    /// The columns in the order of the row image.
    pub columns: Vec<Column>,
    /// Indexes into `columns` of the primary key, ascending (column order, not key order).
    pub primary_key: Vec<usize>,
    /// How many of the last columns are the server's own, which only row images have: no
    /// message has them.
    pub hidden: usize,
}
