//! A row that SELECT read, as the row image that the binlog has of it.
//!
//! In: a table version, and rows of the binary protocol (a prepared statement's) whose select list is
//! the plan's. Out: images, each a null bitmap and the values, as a rows event holds them: so one
//! encoder makes the same bytes for a row read and for a row streamed.
//!
//! What holds: the session that reads is set by [`SESSION`], so that texts come as the bytes that are
//! stored and moments in UTC. An image has all columns but the server's hidden ones, which are in no
//! message. Nothing is allocated for a row, save what a larger one than all before makes scratch
//! space grow by.
//!
//! Not the binlog's bytes, but the same message: MariaDB's COMPRESSED columns (their cells are
//! written uncompressed, which is a form of theirs), and numbers, dates and opaque values in JSON
//! documents, of which SELECT shows a text only ([`json::FromText`]).

mod cell;
mod error;
mod select;
mod temporal;

pub use error::{Error, Unfit};

use std::sync::Arc;

use bytes::Bytes;

use crate::binlog::json;
use crate::change::{ColumnSet, Table};
use crate::mysql;

/// What a session that reads rows sets, beside what every [`mysql::Session`] does.
///
/// Of the latter it needs `sql_mode = ''`: neither are CHARs padded (`PAD_CHAR_TO_FULL_LENGTH`), nor
/// are zero and invalid dates refused.
pub const SESSION: &str = "SET SESSION character_set_results = NULL, time_zone = '+00:00'";

/// How rows of a table version are asked for and written.
#[derive(Clone, Debug)]
pub struct RowPlan {
    table: Arc<Table>,
    select_list: String,
    present: ColumnSet,
    /// How many columns an image has.
    count: usize,
    json: json::FromText,
}

impl RowPlan {
    /// Prepares `table`.
    pub fn new(table: Arc<Table>) -> Self {
        let count = table.columns.len() - table.hidden.min(table.columns.len());
        let select_list = select::list(table.columns.iter().take(count));
        let mut present = vec![0xff; table.columns.len().div_ceil(8)];
        for column in count..present.len() * 8 {
            present[column / 8] &= !(1 << (column % 8));
        }
        let present = ColumnSet(Bytes::from(present));
        Self { table, select_list, present, count, json: json::FromText::default() }
    }

    /// The table.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// What to select: an expression for each column of an image, in its order.
    pub fn select_list(&self) -> &str {
        &self.select_list
    }

    /// The columns of the images.
    pub fn present(&self) -> &ColumnSet {
        &self.present
    }

    /// Appends the image of a row, whose first values are those of the select list. After an error
    /// `out` is what it was.
    pub fn write(&mut self, row: &mysql::Row, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = out.len();
        let written = self.write_image(row, out);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn write_image(&mut self, row: &mysql::Row, out: &mut Vec<u8>) -> Result<(), Error> {
        let nulls = out.len();
        // Bits of no column are not set, as MySQL has it since 8.0; before, and in MariaDB, they are.
        out.resize(nulls + self.count.div_ceil(8), 0);
        for (index, column) in self.table.columns.iter().take(self.count).enumerate() {
            let value = row.value_at(index).ok_or_else(|| Error::Cut {
                table: self.table.name.clone(),
                values: index,
                columns: self.count,
            })?;
            if matches!(value, mysql::Value::NULL) {
                out[nulls + index / 8] |= 1 << (index % 8);
                continue;
            }
            cell::put(column, value, &mut self.json, out).map_err(|reason| Error::Value {
                table: self.table.name.clone(),
                column: column.name.clone(),
                reason,
            })?;
        }
        Ok(())
    }
}
