//! All definitions at the place where the source reads, and what was read ahead of it.
//!
//! A table is known, absent, or unknown ([`State`]): a statement that may have no effect (IF NOT
//! EXISTS) leaves an unknown one unknown, and what made it so is kept, to be said when its rows
//! come; of an absent one it makes an unknown one, unless the server says that it had an effect. A
//! table without an entry is absent if its database's tables are all known, else unknown.
//!
//! Every table has up to two definitions: the one valid *now*, which followed the DDL up
//! to here, and one *read* from the server, valid from the source's end after reading
//! (`hi`) on. DDL before `lo` is in what was read and does not change it; DDL between the
//! two may be in it or not, and voids it; DDL behind changes it, once it has become the
//! one of now.
//!
//! Changes since the last commit can be rolled back, and become the state records of the
//! next: see [`Model::commit`].

mod alter;
mod database;
mod definition;
mod packed;
mod sessions;
mod spelling;
mod stays;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::change::{ServerZone, TableName};

use super::case::lower;
use super::ddl::{Body, Dialect, Effect};
use super::effect::HasEffect;
use super::{Own, Place, SessionOf, Temporaries};

pub(crate) use database::Database;
pub(crate) use definition::same;
pub use definition::{ColumnDefinition, Counter, Definition};
pub(crate) use packed::Packed;
pub(crate) use spelling::quoted;
pub(crate) use stays::Stays;

/// What is known of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Valid at the place where the source reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) now: Option<Arc<Definition>>,
    /// Read from the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) read: Option<Read>,
    /// What made it unknown, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lost: Option<Lost>,
    /// It is not there, in a database whose other tables are not all known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) absent: bool,
}

/// What made a table unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost {
    /// The statement.
    pub(crate) place: Place,
    /// What of it is not understood, in words.
    pub(crate) why: String,
}

impl Lost {
    pub(crate) fn new(place: &Place, why: impl Into<String>) -> Self {
        Self { place: place.clone(), why: why.into() }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the statement at {} left it without a definition: {}", self.place, self.why)
    }
}

/// What is known of a table at the place where the source reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its definition.
    Known(Arc<Definition>),
    /// There is no such table.
    Absent,
    /// It may be there or not, and nobody knows how it looks.
    Unknown(Lost),
}

/// A definition that was read from a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Read {
    pub(crate) definition: Arc<Definition>,
    /// The source's end before reading.
    pub(crate) lo: Place,
    /// The source's end after reading.
    pub(crate) hi: Place,
    /// Whose places these are.
    pub(crate) server: Arc<str>,
    /// In which stay at a server it was read: see [`Stays`].
    #[serde(default, skip_serializing_if = "definition::is_zero")]
    pub(crate) stay: u32,
}

impl Entry {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What was read becomes what is, when the source has come so far.
    pub(crate) fn settle(&mut self, place: &Place) {
        if let Some(read) = self.read.take_if(|read| read.hi <= *place) {
            *self = Self { now: Some(read.definition), ..Self::default() };
        }
    }
}

/// What a record of the history is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// Which of the source's tables are still to be read.
    Survey,
    Database(String),
    Table(TableName),
    /// The temporary tables of a session.
    Session(SessionOf),
    /// The stays at servers.
    Stays,
    /// The time zone that values are written in.
    Zone,
}

/// What it says; `None` in its place: that there is no such thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Survey(ToRead),
    Database(Database),
    Table(Packed),
    Session(Own),
    Stays(Stays),
    Zone(ServerZone),
}

/// Which of the source's tables are still to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToRead {
    /// All: an entry that is not there says nothing.
    All,
    /// Those that the reading left over; databases say of themselves whether they are complete.
    Rest,
}

/// What a statement needs besides its effects.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) dialect: &'a Dialect,
    pub(crate) place: &'a Place,
    /// The default of databases created without a character set.
    pub(crate) server_charset: &'a str,
    /// What is known of IF NOT EXISTS.
    pub(crate) has_effect: HasEffect,
}

/// The definitions of all tables and databases.
#[derive(Debug, Default)]
pub(crate) struct Model {
    databases: HashMap<String, Database>,
    /// By database and name, without a database that has none.
    tables: HashMap<Box<str>, HashMap<Box<str>, Packed>>,
    /// Names are compared without case (`lower_case_table_names` is not 0).
    pub(crate) folds_case: bool,
    temporaries: Temporaries,
    /// Which of the source's tables are still to be read, if any are.
    pub(crate) to_read: Option<ToRead>,
    stays: Stays,
    /// The time zone of the server that was read last, where values were written in it.
    zone: Option<ServerZone>,
    /// What was before the first change since the last commit.
    before: HashMap<Key, Option<Known>>,
}

impl Model {
    /// What is known of a table; changes to it are made by [`Model::change`].
    pub(crate) fn table(&self, name: &TableName) -> Option<Entry> {
        self.packed(&self.fold(name)).map(|packed| self.unpack(packed))
    }

    /// Whether anything is known of it.
    pub(crate) fn has_table(&self, name: &TableName) -> bool {
        self.packed(&self.fold(name)).is_some()
    }

    /// The stay in which definitions are read.
    pub(crate) fn stay(&self) -> u32 {
        self.stays.now
    }

    /// How many tables something is known of.
    pub(crate) fn len(&self) -> usize {
        self.tables.values().map(HashMap::len).sum()
    }

    fn packed(&self, folded: &TableName) -> Option<&Packed> {
        self.tables.get(&*folded.schema)?.get(&*folded.table)
    }

    fn insert(&mut self, folded: &TableName, packed: Packed) {
        let tables = match self.tables.get_mut(&*folded.schema) {
            Some(tables) => tables,
            None => self.tables.entry(Box::from(&*folded.schema)).or_default(),
        };
        tables.insert(Box::from(&*folded.table), packed);
    }

    fn remove(&mut self, folded: &TableName) -> Option<Packed> {
        let tables = self.tables.get_mut(&*folded.schema)?;
        let removed = tables.remove(&*folded.table);
        if tables.is_empty() {
            self.tables.remove(&*folded.schema);
        }
        removed
    }

    /// All tables of a database of which something is known.
    fn names_in(&self, schema: &str) -> Vec<TableName> {
        let tables = self.tables.get(schema).into_iter().flat_map(HashMap::keys);
        let schema: Arc<str> = Arc::from(schema);
        tables.map(|table| TableName::new(Arc::clone(&schema), &**table)).collect()
    }

    fn names(&self) -> Vec<TableName> {
        self.tables.keys().flat_map(|schema| self.names_in(schema)).collect()
    }

    /// The name by which the model knows a table.
    pub(crate) fn fold(&self, name: &TableName) -> TableName {
        if self.folds_case {
            TableName::new(lower(&name.schema), lower(&name.table))
        } else {
            name.clone()
        }
    }

    fn fold_database(&self, name: &str) -> String {
        if self.folds_case { lower(name) } else { name.to_owned() }
    }

    /// Forgets every table and database.
    pub(crate) fn forget(&mut self) {
        for name in self.names() {
            self.change(&name, |entry| *entry = Entry::default());
        }
        for name in self.databases.keys().cloned().collect::<Vec<_>>() {
            self.set_database(&name, None);
        }
        self.forget_sessions(None);
    }

    /// Changes a table's entry; an empty one is forgotten.
    pub(crate) fn change(&mut self, name: &TableName, change: impl FnOnce(&mut Entry)) {
        let name = self.fold(name);
        let old = self.remove(&name);
        let mut new = old.as_ref().map(|packed| self.unpack(packed)).unwrap_or_default();
        change(&mut new);
        self.remember(Key::Table(name.clone()), old.map(Known::Table));
        if !new.is_empty() {
            self.insert(&name, Packed::pack(&new));
        }
    }

    pub(crate) fn set_to_read(&mut self, to_read: Option<ToRead>) {
        let old = std::mem::replace(&mut self.to_read, to_read);
        self.remember(Key::Survey, old.map(Known::Survey));
    }

    /// Values are written in this zone from here on; the one before.
    pub(crate) fn set_zone(&mut self, zone: ServerZone) -> Option<ServerZone> {
        let old = self.zone.replace(zone);
        self.remember(Key::Zone, old.clone().map(Known::Zone));
        old
    }

    fn remember(&mut self, key: Key, old: Option<Known>) {
        self.before.entry(key).or_insert(old);
    }

    /// What has changed since the last commit, as it is now.
    pub(crate) fn commit(&mut self) -> Vec<(Key, Option<Known>)> {
        let mut changed = Vec::with_capacity(self.before.len());
        for (key, before) in std::mem::take(&mut self.before) {
            let now = match &key {
                Key::Survey => self.to_read.map(Known::Survey),
                Key::Database(name) => self.databases.get(name).cloned().map(Known::Database),
                Key::Table(name) => self.packed(name).cloned().map(Known::Table),
                Key::Session(session) => self.temporaries.of(*session).cloned().map(Known::Session),
                Key::Stays => self.stays_known(),
                Key::Zone => self.zone.clone().map(Known::Zone),
            };
            if now != before {
                changed.push((key, now));
            }
        }
        changed.sort_by(|left, right| left.0.cmp(&right.0));
        changed
    }

    /// Goes back to the last commit, but not to the server that was read then, nor to its zone. True if that changed
    /// anything.
    pub(crate) fn rollback(&mut self) -> bool {
        let mut before = std::mem::take(&mut self.before);
        for of_server in [Key::Stays, Key::Zone] {
            if let Some((key, known)) = before.remove_entry(&of_server) {
                self.before.insert(key, known);
            }
        }
        let changed = !before.is_empty();
        for (key, known) in before {
            self.set(key, known);
        }
        changed
    }

    /// Takes over what the history says.
    pub(crate) fn set(&mut self, key: Key, known: Option<Known>) {
        match (key, known) {
            (Key::Survey, Some(Known::Survey(to_read))) => self.to_read = Some(to_read),
            (Key::Survey, _) => self.to_read = None,
            (Key::Database(name), Some(Known::Database(database))) => {
                self.databases.insert(name, database);
            }
            (Key::Table(name), Some(Known::Table(packed))) => self.insert(&name, packed),
            (Key::Session(session), Some(Known::Session(own))) => {
                self.temporaries.set(session, Some(own));
            }
            (Key::Session(session), _) => self.temporaries.set(session, None),
            (Key::Stays, Some(Known::Stays(stays))) => self.stays = stays,
            (Key::Stays, _) => self.stays = Stays::default(),
            (Key::Zone, Some(Known::Zone(zone))) => self.zone = Some(zone),
            (Key::Zone, _) => self.zone = None,
            (Key::Database(name), _) => {
                self.databases.remove(&name);
            }
            (Key::Table(name), _) => drop(self.remove(&name)),
        }
    }

    /// Carries out one effect.
    pub(crate) fn apply(&mut self, effect: &Effect, context: &Context<'_>) {
        match effect {
            Effect::CreateDatabase { name, charset, keep } => {
                self.create_database(name, charset, *keep, context);
            }
            Effect::AlterDatabase { name, charset } => {
                self.alter_database(name, charset, context);
            }
            Effect::DropDatabase { name } => self.drop_database(name, context),
            Effect::CreateTable { name, keep, body } => {
                self.create_table(name, *keep, body, context);
            }
            Effect::AlterTable { name, lenient, alteration } => {
                let charset = self.database_charset(&name.schema);
                self.define(name, context, |old| match old {
                    State::Known(old) => {
                        let new = old.alter(alteration, charset.as_deref(), context.dialect);
                        context.known(new)
                    }
                    State::Absent if *lenient => State::Absent,
                    State::Absent => context.unknown("the history does not have the table"),
                    State::Unknown(lost) => State::Unknown(lost),
                });
            }
            Effect::RenameTable { from, to, lenient } => {
                self.rename_table(from, to, *lenient, context);
            }
            Effect::PartitionToTable { from, to } => {
                let like = match self.state_for(to, from, context) {
                    State::Known(whole) => State::Known(Arc::new(Definition {
                        partitioned: false,
                        ..(*whole).clone()
                    })),
                    State::Absent | State::Unknown(_) => {
                        context.unknown(format!("it was a partition of {from}, which is not known"))
                    }
                };
                self.define(to, context, |_| like);
            }
            Effect::DropTable { name } => self.define(name, context, |_| State::Absent),
            Effect::Stale { name, why } => self.define(name, context, |old| match old {
                State::Unknown(lost) => State::Unknown(lost),
                State::Known(_) | State::Absent => context.unknown(why.clone()),
            }),
        }
    }

    /// What is known of a table at the place of a statement.
    fn state(&self, name: &TableName, context: &Context<'_>) -> State {
        let name = self.fold(name);
        let Some(entry) = self.packed(&name).map(|packed| self.unpack(packed)) else {
            return if self.has_all_tables(&name.schema, context.place) {
                State::Absent
            } else {
                context.unknown("the history does not reach back to it")
            };
        };
        let settled = entry.read.as_ref().filter(|read| read.hi <= *context.place);
        match (settled.map(|read| &read.definition).or(entry.now.as_ref()), entry.lost) {
            (Some(known), _) => State::Known(Arc::clone(known)),
            (None, Some(lost)) => State::Unknown(lost),
            (None, None) if entry.absent => State::Absent,
            (None, None) => context.unknown("it was read from the source later than this"),
        }
    }

    /// Whether there was no such table at a place, for sure.
    pub(crate) fn was_absent(&self, name: &TableName, place: &Place) -> bool {
        let name = self.fold(name);
        let Some(entry) = self.packed(&name).map(|packed| self.unpack(packed)) else {
            return self.has_all_tables(&name.schema, place);
        };
        let is_read = entry.read.is_some_and(|read| read.hi <= *place);
        !is_read && entry.now.is_none() && entry.lost.is_none() && entry.absent
    }

    /// What is known of a table for another one that becomes like it. In another database the default
    /// character set is another one.
    fn state_for(&self, name: &TableName, like: &TableName, context: &Context<'_>) -> State {
        let is_elsewhere = || self.fold_database(&name.schema) != self.fold_database(&like.schema);
        match self.state(like, context) {
            State::Known(known) if known.has_unsettled_text() && is_elsewhere() => {
                context.unknown(format!(
                    "text columns of it have the default character set that database {} had when {like} \
                     was made, which is not known",
                    like.schema
                ))
            }
            state @ (State::Known(_) | State::Unknown(_) | State::Absent) => state,
        }
    }

    /// Changes what a table is now, and voids what was read while this happened.
    fn define(
        &mut self,
        name: &TableName,
        context: &Context<'_>,
        definition: impl FnOnce(State) -> State,
    ) {
        let new = definition(self.state(name, context));
        let is_absent = !self.has_all_tables(&self.fold_database(&name.schema), context.place);
        self.change(name, |entry| {
            entry.settle(context.place);
            entry.read.take_if(|read| read.lo <= *context.place);
            (entry.now, entry.lost, entry.absent) = match new {
                State::Known(definition) => (Some(definition), None, false),
                // Without an entry it would be unknown, or so it would be once what was read
                // ahead of this place has become void.
                State::Absent => (None, None, is_absent || entry.read.is_some()),
                State::Unknown(lost) => (None, Some(lost), false),
            };
        });
    }

    fn create_table(&mut self, name: &TableName, keep: bool, body: &Body, context: &Context<'_>) {
        let new = match body {
            Body::Columns { columns, primary_key, uniques, options } => {
                let database = self.database_charset(&name.schema);
                let database = database.as_deref();
                let dialect = context.dialect;
                let new =
                    Definition::create(columns, primary_key, *uniques, options, database, dialect);
                context.known(new)
            }
            Body::Like(other) => match self.state_for(name, other, context) {
                State::Known(definition) => State::Known(definition),
                State::Absent => context
                    .unknown(format!("it was made LIKE {other}, which the history does not have")),
                State::Unknown(lost) => context.unknown(format!(
                    "it was made LIKE {other}, which was not known: {}, at {}",
                    lost.why, lost.place
                )),
            },
            Body::Unknown(why) => context.unknown(why.clone()),
        };
        let may_be_kept = keep && !context.has_effect.on_table;
        let is_said = context.has_effect.is_said_of_innodb && may_be_innodb(body);
        self.define(name, context, |old| match old {
            State::Known(_) | State::Unknown(_) if may_be_kept => old,
            State::Absent if may_be_kept && is_said => context.unknown(
                "the server says that IF NOT EXISTS found it there, and the history does not have it",
            ),
            // Where the server does not say it, absent is what an account that sees all of the
            // database did not see, or what was dropped since. That a session made it without a word
            // in the binlog (`sql_log_bin`) is the rarer case by far, and unknown would stop each
            // script that makes a table, fills it and drops it.
            State::Known(_) | State::Unknown(_) | State::Absent => new,
        });
    }

    fn rename_table(
        &mut self,
        from: &TableName,
        to: &TableName,
        lenient: bool,
        context: &Context<'_>,
    ) {
        let moved = match self.state_for(to, from, context) {
            State::Absent if lenient => return,
            State::Absent => context
                .unknown(format!("it was renamed from {from}, which the history does not have")),
            known @ (State::Known(_) | State::Unknown(_)) => known,
        };
        self.define(from, context, |_| State::Absent);
        self.define(to, context, |_| moved);
    }
}

/// Whether a new table may be one of InnoDB, as far as its statement says.
fn may_be_innodb(body: &Body) -> bool {
    match body {
        Body::Columns { options, .. } => {
            options.engine.as_deref().is_none_or(|engine| engine == "innodb" || engine == "?")
        }
        Body::Like(_) | Body::Unknown(_) => true,
    }
}

impl Context<'_> {
    fn unknown(&self, why: impl Into<String>) -> State {
        State::Unknown(Lost::new(self.place, why))
    }

    fn known(&self, definition: Result<Definition, String>) -> State {
        match definition {
            Ok(definition) => State::Known(Arc::new(definition)),
            Err(why) => self.unknown(why),
        }
    }
}
