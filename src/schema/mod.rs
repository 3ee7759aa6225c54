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
//! - What was applied since the last [`Schema::commit`] can be rolled back
//!   ([`Schema::rollback`]); its state records go with the commit that it belongs to. So a
//!   statement at the committed position is never applied twice.
//!
//! [`Table`]: crate::change::Table

mod capture;
mod case;
mod current;
mod ddl;
mod described;
mod effect;
mod history;
mod made;
mod missing;
mod model;
mod place;
mod resolve;
mod rest;
mod survey;
mod table;
mod temporary;
#[cfg(test)]
mod tests;
mod unclear;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::change::{
    Charset, EventPlace, FileName, Flavor, ServerZone, StateRecord, StatementKind, TableName,
};
use crate::mysql::replica::ReplicaSettings;
use crate::mysql::{self, Endpoint, Session};

use ddl::{Body, Dialect, Effect};
use made::Made;
use model::{Context, Model, Read, ToRead};
use resolve::Scanned;

use crate::config::Adopt;
pub(crate) use capture::is_of_the_server;
pub(crate) use current::current;
pub use ddl::Message;
pub(crate) use ddl::{Reading, Written, rows_written};
pub use history::History;
pub use model::{ColumnDefinition, Counter, Definition};
pub use place::Place;
pub(crate) use resolve::read_by;
pub(crate) use rest::{FoundLater, find_later};
pub use survey::{From, Survey};
pub(crate) use temporary::{Flag, Noted, Own, SessionOf, Temporaries};

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
    /// The name `utf8` may mean utf8mb4: MariaDB's `old_mode` without `UTF8_IS_UTF8MB3`, which its
    /// binlog does not say.
    pub utf8_is_unclear: bool,
    /// As [`crate::change::MySqlPosition::server_uuid`]: places of two servers have no order.
    pub uuid: Arc<str>,
}

impl Server {
    /// A name as rows of the table come under.
    pub(crate) fn folded(&self, name: TableName) -> TableName {
        if self.lower_case_table_names == 0 {
            return name;
        }
        TableName::new(case::lower(&name.schema), case::lower(&name.table))
    }
}

/// How to ask the source server: for definitions, and for the statements since some place.
#[derive(Debug)]
pub struct Origin<'a> {
    /// A query session.
    pub session: &'a mut Session,
    /// Where another connection goes, to read the binlog.
    pub endpoint: &'a Endpoint,
    /// How patient such a connection is. (It is no replica.)
    pub replica: &'a ReplicaSettings,
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
    /// Collation of `character_set_client`, which the text was written in, if known.
    pub client: Option<u16>,
    /// The session's `collation_server` (third number of status 4), if known.
    pub server_collation: Option<u16>,
    /// How it ended: not 0 when it failed half-way and could not be undone.
    pub error_code: u16,
    /// The version of the server that wrote it, as executed comments have it (90704 for 9.7.4), if
    /// its file says so.
    pub version: Option<u32>,
    /// The engine's transaction that it was: it had an effect.
    pub ddl_xid: Option<u64>,
    /// Where the event is.
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
    /// What it makes, changes, renames and drops, and what it reads the definition of.
    pub named: Named,
    /// Whether table maps seen so far may mean something else from here on.
    pub new_epoch: bool,
    /// Its first word is none that a server is known to log: nothing is known of what it does.
    pub is_unknown: bool,
}

/// The names of a statement about tables or databases, in the server's spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Tables that it makes, changes, renames or drops, under the names before and behind it.
    pub changed: Vec<TableName>,
    /// Tables that others are made like.
    pub read: Vec<TableName>,
    /// Databases that it makes or changes, as names without a table.
    pub databases: Vec<TableName>,
    /// Databases that it drops with all in them, as names without a table.
    pub dropped: Vec<TableName>,
}

impl Named {
    fn of(effects: &[Effect], fold: impl Fn(&TableName) -> TableName) -> Self {
        let mut named = Self::default();
        let database = |name: &str| fold(&TableName::of_database(name));
        for effect in effects {
            match effect {
                Effect::CreateDatabase { name, .. } | Effect::AlterDatabase { name, .. } => {
                    named.databases.push(database(name));
                }
                Effect::DropDatabase { name } => named.dropped.push(database(name)),
                Effect::CreateTable { name, body, .. } => {
                    named.changed.push(fold(name));
                    if let Body::Like(other) = body {
                        named.read.push(fold(other));
                    }
                }
                Effect::RenameTable { from, to, .. } | Effect::PartitionToTable { from, to } => {
                    named.changed.extend([fold(from), fold(to)]);
                }
                Effect::AlterTable { name, .. }
                | Effect::DropTable { name }
                | Effect::Stale { name, .. } => named.changed.push(fold(name)),
            }
        }
        named
    }
}

/// Why there is no definition for a row, or no history.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The table is not known as it was then.
    #[error("no definition of {table} as it was at {place}: {reason}. {advice}")]
    Unknown {
        /// The table.
        table: TableName,
        /// Where the row's table map is.
        place: Box<Place>,
        /// What was tried, and what made it unknown.
        reason: Box<str>,
        /// What to do in this case.
        advice: Advice,
    },
    /// The server could not be asked; a later try may do better.
    #[error("cannot read definitions from the source: {0}")]
    Server(#[from] mysql::Error),
    /// The server does not say where its binlog ends.
    #[error("the source writes no binlog: set log_bin there")]
    NoBinlog,
    /// It does not send what it says that it has; a later try may do better.
    #[error(
        "the source says that its binlog goes to {to}, and sends it to {reached} only: what \
         changed tables in between is not known"
    )]
    NotSent {
        /// How far it came.
        reached: Box<Place>,
        /// How far it has to come.
        to: Box<Place>,
    },
    /// A record of the history cannot be read or written.
    #[error(
        "the schema history holds a record that cannot be read, key {key}: {reason}; `bin/sluice \
         position set` to the place that `bin/sluice position show` names goes on without the \
         history: the tables are read anew"
    )]
    History {
        /// The record's key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What to do about rows without a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Let the rows be read by the table as it is now.
    Adopt,
    /// Make the table as it was.
    Make {
        /// That alone makes it be used: `sluice.schema.adopt` is set already.
        adopts: bool,
    },
    /// Make the database of that name, whose default character set is not known.
    Database(Arc<str>),
    /// Let the account see the whole table of that name.
    Grant(Box<TableName>),
    /// Let the rows say what they are.
    Type,
    /// Nothing else than to leave the rows out.
    LeaveOut,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LEAVE_OUT: &str = "exclude the table, start behind these rows, or set \
             canal.instance.filter.table.error=true to drop them";
        match self {
            Self::Adopt => write!(
                f,
                "Set binlog_row_metadata=FULL on the source for rows to come; for these set \
                 sluice.schema.adopt=current to take the table as it is now, {LEAVE_OUT}"
            ),
            Self::Make { adopts } => write!(
                f,
                "Make the table on the source as it was then, for as long as the instance reads \
                 these rows{}; or {LEAVE_OUT}",
                if *adopts { "" } else { ", and set sluice.schema.adopt=current" }
            ),
            Self::Database(name) => write!(
                f,
                "CREATE DATABASE {name} CHARACTER SET .. (it may be empty) on the source, with the \
                 set that it had; or {LEAVE_OUT}"
            ),
            Self::Grant(table) => {
                write!(f, "GRANT SELECT ON {table} to the account on the source; or {LEAVE_OUT}")
            }
            Self::Type => write!(
                f,
                "Set binlog_row_metadata=FULL on the source for rows to come: where a type is one of \
                 numbers or of text underneath, they are read as that; for these, {LEAVE_OUT}"
            ),
            Self::LeaveOut => write!(f, "To go on, {LEAVE_OUT}"),
        }
    }
}
/// How many different unknown verbs are said: a client cannot fill the log with them.
const MOST_UNKNOWN_VERBS: usize = 100;

/// The definitions at the place where the source reads.
#[derive(Debug)]
pub struct Schema {
    server: Server,
    adopt: Adopt,
    epoch: u64,
    model: Model,
    made: Made,
    scanned: Option<Scanned>,
    /// Where the last statement was that had an effect, on the server that is read.
    changed_at: Option<Place>,
    /// Tables with FULL metadata that the server was asked for in vain, or gave
    /// another definition of: their types' texts are derived.
    derived: HashSet<TableName>,
    /// Tables that the account sees some columns of only, as it was found when they were asked for.
    partly_seen: HashSet<TableName>,
    /// First words of statements that no server is known to log, each said once.
    unknown_verbs: HashSet<String>,
}

impl Schema {
    /// Knows nothing yet.
    pub fn new(server: Server, adopt: Adopt) -> Self {
        let mut model = Model::default();
        model.folds_case = server.lower_case_table_names != 0;
        model.fold_temporaries();
        Self {
            server,
            adopt,
            epoch: 0,
            model,
            made: Made::default(),
            scanned: None,
            changed_at: None,
            derived: HashSet::new(),
            partly_seen: HashSet::new(),
            unknown_verbs: HashSet::new(),
        }
    }

    /// Takes up the history as it was committed. Must come before anything is applied.
    pub fn restore(&mut self, history: History) {
        let folds_case = self.model.folds_case;
        self.model = history.model;
        self.model.folds_case = folds_case;
        self.model.fold_temporaries();
        tracing::info!(tables = self.model.len(), "schema history restored");
    }

    /// Knows nothing any more: the place is another one. The tables are to be read.
    pub fn forget(&mut self) {
        self.model.forget();
        self.set_to_be_surveyed();
    }

    /// Whether tables of the source are still to be read, by [`Schema::survey`].
    pub fn is_to_be_surveyed(&self) -> bool {
        self.model.to_read.is_some()
    }

    /// Notes in the history that the tables are to be read.
    pub fn set_to_be_surveyed(&mut self) {
        self.model.set_to_read(Some(ToRead::All));
    }

    /// Values are written in this time zone from here on: the history says so with the next commit.
    /// The zone that they were written in before, as far as it says that.
    pub fn set_zone(&mut self, zone: ServerZone) -> Option<ServerZone> {
        self.model.set_zone(zone)
    }

    /// The connection was made again, perhaps to another server: `reached` is the place
    /// behind the last transaction handed over, on the server of `reached_on`.
    pub fn reconnected(&mut self, server: Server, reached_on: &str, reached: &Place) {
        if *server.uuid != *reached_on {
            self.model.leave(reached);
            self.scanned = None;
            self.changed_at = None;
        }
        self.model.folds_case = server.lower_case_table_names != 0;
        self.model.fold_temporaries();
        self.server = server;
        self.epoch += 1;
    }

    /// The table that a flagged statement of a session changes, if it may be a temporary one that
    /// was made before the instance began.
    pub(crate) fn doubt(&self, session: SessionOf, reading: &Reading) -> Option<TableName> {
        self.model.doubt(session, reading)
    }

    /// The table that a flagged statement of a session makes another one like, where only a temporary
    /// one explains the flag, as far as is known here.
    pub(crate) fn doubtful_like(
        &self,
        session: SessionOf,
        reading: &Reading,
        place: &Place,
    ) -> Option<TableName> {
        let (like, made) = self.model.doubtful_like(session, reading)?;
        let replaces = reading.replaces && !self.model.was_absent(&made, place);
        (!replaces).then_some(like)
    }

    /// The session has turned out to have a temporary table of that name.
    pub(crate) fn set_temporary(&mut self, session: SessionOf, name: &TableName) {
        self.model.set_temporary(session, name);
    }

    /// Leaves out of a reading what concerns temporary tables of its session; `file` is the
    /// statement's.
    pub(crate) fn take_out_temporary(
        &mut self,
        session: SessionOf,
        flag: Flag,
        file: &FileName,
        reading: &mut Reading,
    ) {
        let noted = Noted { server: Arc::clone(&self.server.uuid), file: Arc::clone(file) };
        self.model.take_out_temporary(session, flag, noted, reading);
    }

    /// A server has started: its sessions have ended.
    pub(crate) fn server_started(&mut self, server: u32) {
        self.model.forget_sessions(Some(server));
    }

    /// The sessions of a server that have temporary tables, and where that was noted.
    pub(crate) fn sessions_of(&self, server: u32) -> Vec<(SessionOf, Option<Noted>)> {
        self.model.sessions_of(server)
    }

    /// The server was started, at a place that was not read: a session has ended.
    pub(crate) fn session_has_ended(&mut self, session: SessionOf) {
        self.model.forget_session(session);
    }

    /// Whether the server was started since is not known.
    pub(crate) fn session_may_have_ended(&mut self, session: SessionOf) {
        self.model.doubt_session(session);
    }

    /// Rises whenever table maps seen before may mean something else: look up again.
    /// (A new file voids them too; that is the source's to know.)
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What is known of a table: as it is at the place of the last statement applied,
    /// else as it was read from the server.
    pub fn definition(&self, name: &TableName) -> Option<Arc<Definition>> {
        let entry = self.model.table(name)?;
        entry.now.or(entry.read.map(|read| read.definition))
    }

    /// What is known of a table at a place: what was read ahead of it does not count.
    pub fn definition_at(&self, name: &TableName, place: &Place) -> Option<Arc<Definition>> {
        let entry = self.model.table(name)?;
        let read = entry.read.filter(|read| read.hi <= *place);
        read.map(|read| read.definition).or(entry.now)
    }

    /// What made a table unknown, in words.
    pub fn why_unknown(&self, name: &TableName) -> Option<String> {
        self.model.table(name)?.lost.as_ref().map(ToString::to_string)
    }

    /// What the server said of a table between two places.
    fn read(&self, definition: Definition, lo: Place, hi: Place) -> Read {
        let server = Arc::clone(&self.server.uuid);
        Read { definition: Arc::new(definition), lo, hi, server, stay: self.model.stay() }
    }

    /// Says which labels of a table that was read may not be what they are.
    fn say_doubtful_labels(name: &TableName, definition: &Definition) {
        for column in table::columns_of_doubtful_labels(definition) {
            tracing::warn!(table = %name, column, "the source shows labels of it with `?`: \
                information_schema shows letters beyond 16 bits so. With sluice.format.enum=label, \
                rows without FULL metadata come with `?` as well: SET GLOBAL binlog_row_metadata = \
                'FULL' on the source, and rows carry their labels themselves");
        }
    }

    /// How a statement is read: as the server that wrote it would, which may have been upgraded
    /// since.
    fn dialect_of(&self, statement: &Statement<'_>) -> Dialect {
        let dialect = self.dialect(statement.sql_mode, statement.client);
        Dialect { version: statement.version.unwrap_or(dialect.version), ..dialect }
    }

    /// `client` is the collation of the statement's text, if told.
    fn dialect(&self, sql_mode: u64, client: Option<u16>) -> Dialect {
        let charset = client.and_then(|id| Charset::from_collation(u32::from(id)));
        let wide_blank = charset.is_some_and(Charset::has_wide_blank);
        let Server { flavor, version, .. } = self.server;
        Dialect { flavor, version, sql_mode, wide_blank }
    }

    /// Applies one statement of a session without temporary tables.
    pub fn apply(&mut self, statement: &Statement<'_>) -> Applied {
        self.apply_reading(statement, self.reading(statement))
    }

    /// What a statement's text says, for who knows more of its session.
    pub(crate) fn reading(&self, statement: &Statement<'_>) -> Reading {
        ddl::read(statement.text, statement.schema, &self.dialect_of(statement))
    }

    /// Applies what is left of a statement's reading.
    pub(crate) fn apply_reading(&mut self, statement: &Statement<'_>, reading: Reading) -> Applied {
        let dialect = self.dialect_of(statement);
        let Reading { message, tables, effects, unknown, .. } = reading;
        let (message, mut effects) = as_it_ended(statement, message, effects);
        let is_unclear = self.server.utf8_is_unclear && unclear::names_utf8(statement.text);
        let of_unclear_default = if is_unclear { unclear::void(&mut effects) } else { Vec::new() };
        let place = Place::from(statement.place);
        let is_unknown = unknown.is_some();
        if let Some(verb) = unknown.filter(|_| self.unknown_verbs.len() < MOST_UNKNOWN_VERBS)
            && self.unknown_verbs.insert(verb.clone())
        {
            tracing::warn!(verb, at = %place, "a statement of an unknown kind is skipped, as are \
                more of them; if it changes tables, set binlog_row_metadata=FULL on the source");
        }
        let collation = statement.server_collation.map(u32::from);
        let charset = collation.and_then(Charset::from_collation).map(Charset::name);
        let server_charset = charset.unwrap_or(&self.server.charset);
        let has_effect = effect::of(statement, &dialect);
        let context = Context { dialect: &dialect, place: &place, server_charset, has_effect };
        for effect in &effects {
            if let Effect::Stale { name, why } = effect {
                tracing::warn!(table = %name, at = %place, why, "a statement changed the table in a way its text does not say: it is read again when rows of it come");
            }
            self.model.apply(effect, &context);
        }
        for database in of_unclear_default {
            self.model.forget_charset(&database);
        }
        for name in &tables {
            self.derived.remove(&self.model.fold(name));
        }
        self.forget_versions(&effects);
        let new_epoch = !effects.is_empty();
        if new_epoch {
            self.changed_at = Some(place.clone());
        }
        self.epoch += u64::from(new_epoch);
        let tables: Vec<_> = tables.iter().map(|name| self.model.fold(name)).collect();
        let mut named = Named::of(&effects, |name| self.model.fold(name));
        if message.as_ref().is_some_and(|message| message.is_ddl) {
            let others = tables.iter().filter(|name| !named.changed.contains(name));
            let others: Vec<_> = others.cloned().collect();
            named.changed.extend(others);
        }
        let message = message.as_ref().map(|message| self.named_by_the_server(message));
        Applied { message, tables, named, new_epoch, is_unknown }
    }

    /// A name as it is looked up.
    pub(crate) fn folded(&self, name: &TableName) -> TableName {
        self.model.fold(name)
    }

    /// A message with the names that rows of the table come under: with
    /// `lower_case_table_names` 1 and 2 the server looks tables up in lower case, whatever a
    /// statement says (`Query_block::add_table_to_list`, sql/sql_parse.cc), and table maps have
    /// the name that was looked up.
    fn named_by_the_server(&self, message: &Message) -> Message {
        let name = self.model.fold(&TableName::new(&*message.schema, &*message.table));
        Message {
            schema: name.schema.to_string(),
            table: name.table.to_string(),
            ..message.clone()
        }
    }

    /// The versions of tables that are not there any more.
    fn forget_versions(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::DropTable { name } | Effect::RenameTable { from: name, .. } => {
                    self.made.remove(&self.model.fold(name));
                }
                Effect::DropDatabase { name } => {
                    let schema = self.model.fold(&TableName::new(&**name, "")).schema;
                    self.made.remove_all_of(&schema);
                }
                Effect::CreateDatabase { .. }
                | Effect::AlterDatabase { .. }
                | Effect::CreateTable { .. }
                | Effect::AlterTable { .. }
                | Effect::PartitionToTable { .. }
                | Effect::Stale { .. } => {}
            }
        }
    }

    /// Whether a rollback undoes what was written to a table at the place of the last
    /// statement applied, by its engine then; `None` if the history does not say the engine.
    pub fn rolls_back(&self, name: &TableName) -> Option<bool> {
        self.model.table(name)?.now?.rolls_back()
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

    /// Rolls back what was applied since the last commit.
    pub fn rollback(&mut self) {
        self.epoch += u64::from(self.model.rollback());
    }
}

/// A CREATE OR REPLACE TABLE that failed is logged as it was sent, with its error, and has dropped
/// the table (`mysql_create_table`, sql/sql_table.cc of MariaDB).
fn as_it_ended(
    statement: &Statement<'_>,
    mut message: Option<Message>,
    mut effects: Vec<Effect>,
) -> (Option<Message>, Vec<Effect>) {
    if statement.error_code == 0 {
        return (message, effects);
    }
    for effect in &mut effects {
        if let Effect::CreateTable { name, .. } = effect {
            *effect = Effect::DropTable { name: name.clone() };
            if let Some(message) = &mut message {
                message.kind = StatementKind::Erase;
            }
        }
    }
    (message, effects)
}
