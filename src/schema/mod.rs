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

mod capture;
mod ddl;
mod history;
mod model;
mod place;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::binlog::TableMap;
use crate::change::{Charset, EventPlace, Flavor, StateRecord, Table, TableName, TableVersion};
use crate::mysql::{self, Session};

use ddl::{Dialect, Effect, Reading};
use model::{Context, Database, Model, Read};
use table::{Mismatch, Parts};

pub use ddl::Message;
pub use place::Place;

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
        place: Place,
        /// What was tried.
        reason: String,
    },
    /// The server could not be asked; a later try may do better.
    #[error("cannot read definitions from the source: {0}")]
    Server(#[from] mysql::Error),
    /// The server does not say where its binlog ends.
    #[error("the source writes no binlog: set log_bin there")]
    NoBinlog,
    /// A record of the history cannot be read or written.
    #[error("the schema history holds a record that cannot be read, key {key}: {reason}")]
    History {
        /// The record's key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Statements of the source's binlog between two places, kept so that a stretch is read
/// once, however many tables ask for it.
#[derive(Debug)]
struct Scanned {
    from: Place,
    to: Place,
    changes: Vec<(Place, Reading)>,
}

/// The definitions at the place where the source reads.
#[derive(Debug)]
pub struct Schema {
    server: Server,
    adopt: Adopt,
    epoch: u64,
    model: Model,
    /// The newest version made of each table, to be found again when nothing changed.
    made: HashMap<TableName, Arc<Table>>,
    scanned: Option<Scanned>,
    /// Tables with FULL metadata that the server was asked for in vain, or was told of
    /// something else: their types' texts are derived.
    derived: HashSet<TableName>,
}

/// Numbers the versions of tables over the whole process.
static VERSIONS: AtomicU64 = AtomicU64::new(1);

impl Schema {
    /// Knows nothing yet.
    pub fn new(server: Server, adopt: Adopt) -> Self {
        let mut model = Model::default();
        model.folds_case = server.lower_case_table_names != 0;
        let (made, derived) = (HashMap::new(), HashSet::new());
        Self { server, adopt, epoch: 0, model, made, scanned: None, derived }
    }

    /// Takes up the history as it was committed. Must come before anything is applied.
    /// Records of other topics are passed over.
    pub fn restore(&mut self, records: &[StateRecord]) -> Result<(), Error> {
        for record in records {
            if let Some((key, known)) = history::read(record)? {
                self.model.set(key, known);
            }
        }
        tracing::info!(tables = self.model.len(), "schema history restored");
        Ok(())
    }

    /// The connection was made again, perhaps to another server: `reached` is the place
    /// on the former one behind the last transaction handed over.
    pub fn reconnected(&mut self, server: Server, reached: &Place) {
        if server.uuid != self.server.uuid {
            self.model.leave(reached);
            self.scanned = None;
        }
        self.model.folds_case = server.lower_case_table_names != 0;
        self.server = server;
        self.epoch += 1;
    }

    /// Rises whenever table maps seen before may mean something else: look up again.
    /// (A new file voids them too; that is the source's to know.)
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Reads all tables (but those of the system's databases), at an instance's first
    /// start. The place is that of the source's end before reading.
    pub async fn capture_all(&mut self, session: &mut Session) -> Result<Place, Error> {
        let lo = capture::end(session).await?.ok_or(Error::NoBinlog)?;
        let databases = capture::databases(session).await?;
        for (name, charset) in databases {
            let tables = capture::tables(session, &name, None).await?;
            // One reading of the end for each database, so that few definitions are void
            // when DDL comes in between.
            let hi = capture::end(session).await?.ok_or(Error::NoBinlog)?;
            self.model.set_database(&name, Some(Database { charset }));
            for (name, definition) in tables {
                let read = self.read(definition, lo.clone(), hi.clone());
                self.model.change(&name, |entry| entry.read = Some(read));
            }
        }
        tracing::info!(tables = self.model.len(), at = %lo, "tables read from the source");
        Ok(lo)
    }

    fn read(&self, definition: model::Definition, lo: Place, hi: Place) -> Read {
        Read { definition: Arc::new(definition), lo, hi, server: Arc::clone(&self.server.uuid) }
    }

    /// The table of a table map, as far as it is known without asking the server.
    /// `None`: ask by [`Schema::resolve`].
    pub fn lookup(&mut self, map: &TableMap, place: &EventPlace) -> Option<Arc<Table>> {
        self.known(map, &Place::from(place)).ok()
    }

    /// The table of a table map, read from the server if need be.
    pub async fn resolve(
        &mut self,
        session: &mut Session,
        map: &TableMap,
        place: &EventPlace,
    ) -> Result<Arc<Table>, Error> {
        let place = Place::from(place);
        let reason = match self.known(map, &place) {
            Ok(table) => return Ok(table),
            Err(reason) => reason,
        };
        tracing::info!(table = %map.name, at = %place, reason, "reading the table from the source");
        if table::is_full(map) {
            self.read_types(session, &map.name).await?;
            let known = self.known(map, &place);
            return known.map_err(|reason| Error::Unknown {
                table: map.name.clone(),
                place,
                reason,
            });
        }
        self.read_table(session, &map.name).await?;
        match self.adopt_read(session, map, &place).await? {
            Ok(table) => Ok(table),
            Err(reason) => Err(Error::Unknown { table: map.name.clone(), place, reason }),
        }
    }

    /// Reads a table for no more than its types' texts: without it they are derived.
    async fn read_types(&mut self, session: &mut Session, name: &TableName) -> Result<(), Error> {
        match self.read_table(session, name).await {
            Err(Error::Server(error @ mysql::Error::Server { .. })) => {
                tracing::warn!(table = %name, %error, "the source does not show the table");
            }
            other => other?,
        }
        self.derived.insert(name.clone());
        Ok(())
    }

    fn known(&mut self, map: &TableMap, place: &Place) -> Result<Arc<Table>, String> {
        let uuid = Arc::clone(&self.server.uuid);
        if self.model.table(&map.name).is_some_and(|entry| entry.read.is_some()) {
            self.model.change(&map.name, |entry| {
                entry.read.take_if(|read| read.server != uuid);
                entry.settle(place);
            });
        }
        let now = self.model.table(&map.name).and_then(|entry| entry.now.clone());
        let parts = if table::is_full(map) {
            let entry = self.model.table(&map.name);
            let ahead = entry.and_then(|entry| entry.read.as_ref());
            let ahead = ahead.map(|read| Arc::clone(&read.definition));
            let parts = table::from_map(map, now.or(ahead).as_deref());
            if parts.as_ref().is_ok_and(|parts| parts.derived) && !self.derived.contains(&map.name)
            {
                return Err("the history does not have its types' texts".to_owned());
            }
            parts
        } else {
            let now = now.ok_or("it is not in the history")?;
            table::from_definition(map, &now)
        };
        let parts = parts.map_err(|mismatch: Mismatch| mismatch.to_string())?;
        Ok(self.version(&map.name, parts))
    }

    /// Gives parts a version: the former one if nothing has changed.
    fn version(&mut self, name: &TableName, parts: Parts) -> Arc<Table> {
        if let Some(made) = self.made.get(name)
            && made.columns == parts.columns
            && made.primary_key == parts.primary_key
        {
            return Arc::clone(made);
        }
        let version = TableVersion(VERSIONS.fetch_add(1, Ordering::Relaxed));
        if parts.derived {
            tracing::warn!(table = %name, "no definition agrees with the binlog's metadata: mysqlType is derived from it");
        }
        let Parts { columns, primary_key, .. } = parts;
        let made = Arc::new(Table { version, name: name.clone(), columns, primary_key });
        self.made.insert(name.clone(), Arc::clone(&made));
        made
    }

    /// Reads one table's definition into the model.
    async fn read_table(&mut self, session: &mut Session, name: &TableName) -> Result<(), Error> {
        let lo = capture::end(session).await?.ok_or(Error::NoBinlog)?;
        let found = capture::tables(session, &name.schema, Some(&name.table)).await?;
        let hi = capture::end(session).await?.ok_or(Error::NoBinlog)?;
        let definition = found.into_values().next();
        let read = definition.map(|definition| self.read(definition, lo, hi));
        self.model.change(name, |entry| entry.read = read);
        Ok(())
    }

    /// Uses what was just read for a row older than it, if nothing changed in between.
    async fn adopt_read(
        &mut self,
        session: &mut Session,
        map: &TableMap,
        place: &Place,
    ) -> Result<Result<Arc<Table>, String>, Error> {
        let entry = self.model.table(&map.name);
        let Some(read) = entry.and_then(|entry| entry.read.clone()) else {
            return Ok(Err("the source has no such table now, or does not show it".to_owned()));
        };
        let changed = self.changed_between(session, &map.name, place, &read.hi).await?;
        if let Some(change) = changed {
            if self.adopt == Adopt::Never {
                return Ok(Err(format!("a statement changed it since, at {change}")));
            }
            tracing::error!(table = %map.name, at = %place, %change, "sluice.schema.adopt=current: rows are read by a definition that is newer than they are");
        }
        let definition = Arc::clone(&read.definition);
        if let Err(mismatch) = table::from_definition(map, &definition) {
            return Ok(Err(format!("as it is now, {mismatch}")));
        }
        self.model.change(&map.name, |entry| entry.now = Some(definition));
        Ok(self.known(map, place))
    }

    /// The first statement from `from` up to `to` that may have changed the table.
    async fn changed_between(
        &mut self,
        session: &mut Session,
        name: &TableName,
        from: &Place,
        to: &Place,
    ) -> Result<Option<Place>, Error> {
        let mut scanned = match self.scanned.take() {
            Some(scanned) if scanned.from <= *from && *from <= scanned.to => scanned,
            Some(_) | None => Scanned { from: from.clone(), to: from.clone(), changes: Vec::new() },
        };
        if scanned.to < *to {
            for logged in capture::statements(session, &scanned.to, to).await? {
                // SHOW BINLOG EVENTS does not tell the sql_mode.
                let reading = ddl::read(&logged.text, &logged.schema, &self.dialect(0));
                if !reading.effects.is_empty() {
                    scanned.changes.push((logged.place, reading));
                }
            }
            scanned.to = to.clone();
        }
        scanned.changes.retain(|(place, _)| place >= from);
        scanned.from = from.clone();
        let wanted = self.model.fold(name);
        let concerns = |reading: &Reading| {
            reading.tables.iter().any(|table| self.model.fold(table) == wanted)
                || reading.effects.iter().any(|effect| {
                    matches!(effect, Effect::DropDatabase { name } if self.model.fold(&TableName::new(name.as_str(), "")).schema == wanted.schema)
                })
        };
        let first = scanned.changes.iter().find(|(place, reading)| place < to && concerns(reading));
        let first = first.map(|(place, _)| place.clone());
        self.scanned = Some(scanned);
        Ok(first)
    }

    fn dialect(&self, sql_mode: u64) -> Dialect {
        Dialect { flavor: self.server.flavor, version: self.server.version, sql_mode }
    }

    /// Applies one statement.
    pub fn apply(&mut self, statement: &Statement<'_>) -> Applied {
        let dialect = self.dialect(statement.sql_mode);
        let Reading { message, tables, effects, unknown } =
            ddl::read(statement.text, statement.schema, &dialect);
        if unknown {
            let verb: String =
                statement.text.chars().take_while(|letter| letter.is_alphanumeric()).collect();
            tracing::warn!(verb, at = %Place::from(statement.place), "a statement of an unknown kind is passed over");
        }
        let place = Place::from(statement.place);
        let collation = statement.server_collation.map(u32::from);
        let charset = collation.and_then(Charset::from_collation).map(Charset::name);
        let server_charset = charset.unwrap_or(&self.server.charset);
        let context = Context { dialect: &dialect, place: &place, server_charset };
        for effect in &effects {
            if let Effect::Stale { name } = effect {
                tracing::warn!(table = %name, at = %place, "a statement changed the table in a way its text does not tell: it is read again");
            }
            self.model.apply(effect, &context);
        }
        for name in &tables {
            self.derived.remove(name);
        }
        let new_epoch = !effects.is_empty();
        self.epoch += u64::from(new_epoch);
        Applied { message, tables, new_epoch }
    }

    /// The records that make what was applied or learnt since the last commit durable:
    /// they belong into the [`crate::change::Commit`] being made.
    pub fn commit(&mut self) -> Result<Vec<StateRecord>, Error> {
        let changed = self.model.commit();
        let records = changed.iter().map(|(key, known)| {
            history::write(key, known.as_ref()).map_err(|error| Error::History {
                key: format!("{key:?}"),
                reason: error.to_string(),
            })
        });
        records.collect()
    }

    /// Takes back what was applied since the last commit.
    pub fn rollback(&mut self) {
        self.epoch += u64::from(self.model.rollback());
    }
}
