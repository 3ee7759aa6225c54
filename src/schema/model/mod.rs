//! All definitions at the place where the source reads, and what was read ahead of it.
//!
//! Every table has up to two definitions: the one valid *now*, which followed the DDL up
//! to here, and one *read* from the server, valid from the source's end after reading
//! (`hi`) on. DDL before `lo` is in what was read and does not change it; DDL between the
//! two may be in it or not, and voids it; DDL behind changes it, once it has become the
//! one of now.
//!
//! Changes since the last commit can be taken back, and become the state records of the
//! next: see [`Model::commit`].

mod alter;
mod definition;
mod spelling;

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::change::TableName;

use super::Place;
use super::ddl::{Body, CharsetChoice, Dialect, Effect, Versioning};

use definition::chosen;
pub(crate) use definition::same;
pub use definition::{ColumnDefinition, Definition};
pub(crate) use spelling::quoted;

/// What is known of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Valid at the place where the source reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) now: Option<Arc<Definition>>,
    /// Read from the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) read: Option<Read>,
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
}

impl Entry {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What was read becomes what is, when the source has come so far.
    pub(crate) fn settle(&mut self, place: &Place) {
        if let Some(read) = self.read.take_if(|read| read.hi <= *place) {
            self.now = Some(read.definition);
        }
    }
}

/// What is known of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Database {
    /// The default character set of tables to come.
    pub(crate) charset: Option<String>,
}

/// What a record of the history is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// That the source's tables are still to be read.
    Survey,
    Database(String),
    Table(TableName),
}

/// What it says; `None` in its place: that there is no such thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Survey,
    Database(Database),
    Table(Entry),
}

/// What a statement needs besides its effects.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) dialect: &'a Dialect,
    pub(crate) place: &'a Place,
    /// The default of databases created without a character set.
    pub(crate) server_charset: &'a str,
}

/// The definitions of all tables and databases.
#[derive(Debug, Default)]
pub(crate) struct Model {
    databases: HashMap<String, Database>,
    tables: HashMap<TableName, Entry>,
    /// Names are compared without case (`lower_case_table_names` is not 0).
    pub(crate) folds_case: bool,
    /// The source's tables are still to be read: an entry that is not there says nothing.
    pub(crate) is_to_be_surveyed: bool,
    /// What was before the first change since the last commit.
    before: HashMap<Key, Option<Known>>,
}

impl Model {
    /// Reads what a table's entry is; changes to it are made by [`Model::change`].
    pub(crate) fn table(&self, name: &TableName) -> Option<&Entry> {
        self.tables.get(&self.fold(name))
    }

    /// How many tables have a definition.
    pub(crate) fn len(&self) -> usize {
        self.tables.len()
    }

    /// The name by which the model knows a table.
    pub(crate) fn fold(&self, name: &TableName) -> TableName {
        if self.folds_case {
            TableName::new(name.schema.to_lowercase(), name.table.to_lowercase())
        } else {
            name.clone()
        }
    }

    fn fold_database(&self, name: &str) -> String {
        if self.folds_case { name.to_lowercase() } else { name.to_owned() }
    }

    /// Changes a table's entry; an empty one is forgotten.
    pub(crate) fn change(&mut self, name: &TableName, change: impl FnOnce(&mut Entry)) {
        let name = self.fold(name);
        let old = self.tables.remove(&name);
        let mut new = old.clone().unwrap_or_default();
        change(&mut new);
        self.remember(Key::Table(name.clone()), old.map(Known::Table));
        if !new.is_empty() {
            self.tables.insert(name, new);
        }
    }

    pub(crate) fn set_database(&mut self, name: &str, database: Option<Database>) {
        let name = self.fold_database(name);
        let old = self.databases.remove(&name);
        self.remember(Key::Database(name.clone()), old.map(Known::Database));
        if let Some(database) = database {
            self.databases.insert(name, database);
        }
    }

    pub(crate) fn has_database(&self, name: &str) -> bool {
        self.databases.contains_key(&self.fold_database(name))
    }

    pub(crate) fn set_to_be_surveyed(&mut self, is_to_be: bool) {
        let old = std::mem::replace(&mut self.is_to_be_surveyed, is_to_be);
        self.remember(Key::Survey, old.then_some(Known::Survey));
    }

    fn remember(&mut self, key: Key, old: Option<Known>) {
        self.before.entry(key).or_insert(old);
    }

    /// What has changed since the last commit, as it is now.
    pub(crate) fn commit(&mut self) -> Vec<(Key, Option<Known>)> {
        let mut changed = Vec::with_capacity(self.before.len());
        for (key, before) in std::mem::take(&mut self.before) {
            let now = match &key {
                Key::Survey => self.is_to_be_surveyed.then_some(Known::Survey),
                Key::Database(name) => self.databases.get(name).cloned().map(Known::Database),
                Key::Table(name) => self.tables.get(name).cloned().map(Known::Table),
            };
            if now != before {
                changed.push((key, now));
            }
        }
        changed.sort_by(|left, right| left.0.cmp(&right.0));
        changed
    }

    /// Goes back to the last commit. True if that changed anything.
    pub(crate) fn rollback(&mut self) -> bool {
        let before = std::mem::take(&mut self.before);
        let changed = !before.is_empty();
        for (key, known) in before {
            self.set(key, known);
        }
        changed
    }

    /// Takes over what the history says.
    pub(crate) fn set(&mut self, key: Key, known: Option<Known>) {
        match (key, known) {
            (Key::Survey, known) => self.is_to_be_surveyed = known.is_some(),
            (Key::Database(name), Some(Known::Database(database))) => {
                self.databases.insert(name, database);
            }
            (Key::Table(name), Some(Known::Table(entry))) => {
                self.tables.insert(name, entry);
            }
            (Key::Database(name), _) => {
                self.databases.remove(&name);
            }
            (Key::Table(name), _) => {
                self.tables.remove(&name);
            }
        }
    }

    /// The source reads another server from here on: what was read from the former one
    /// has become true, or has no place any more.
    pub(crate) fn leave(&mut self, reached: &Place) {
        let names: Vec<_> = self.tables.iter().filter(|(_, entry)| entry.read.is_some()).collect();
        let names: Vec<_> = names.into_iter().map(|(name, _)| name.clone()).collect();
        for name in names {
            self.change(&name, |entry| {
                entry.settle(reached);
                entry.read = None;
            });
        }
    }

    /// Carries out one effect.
    pub(crate) fn apply(&mut self, effect: &Effect, context: &Context<'_>) {
        match effect {
            Effect::CreateDatabase { name, charset, keep } => {
                if !(*keep && self.databases.contains_key(&self.fold_database(name))) {
                    self.define_database(name, charset, Some(context.server_charset), context);
                }
            }
            Effect::AlterDatabase { name, charset } => {
                let old = self.databases.get(&self.fold_database(name));
                let old = old.and_then(|database| database.charset.clone());
                self.define_database(name, charset, old.as_deref(), context);
            }
            Effect::DropDatabase { name } => {
                let folded = self.fold_database(name);
                let tables = self.tables.keys().filter(|table| *table.schema == *folded);
                for table in tables.cloned().collect::<Vec<_>>() {
                    self.define(&table, context, |_| None);
                }
                self.set_database(name, None);
            }
            Effect::CreateTable { name, keep, body } => {
                self.create_table(name, *keep, body, context);
            }
            Effect::AlterTable { name, alteration } => {
                let charset = self.database_charset(&name.schema);
                self.define(name, context, |old| {
                    old?.alter(alteration, charset.as_deref(), context.dialect).map(Arc::new)
                });
            }
            Effect::RenameTable { from, to } => {
                let mut moved = None;
                self.define(from, context, |old| {
                    moved = old;
                    None
                });
                self.define(to, context, |_| moved);
            }
            Effect::DropTable { name } | Effect::Stale { name } => {
                self.define(name, context, |_| None);
            }
        }
    }

    /// Changes what a table is now, and voids what was read while this happened.
    fn define(
        &mut self,
        name: &TableName,
        context: &Context<'_>,
        definition: impl FnOnce(Option<Arc<Definition>>) -> Option<Arc<Definition>>,
    ) {
        self.change(name, |entry| {
            entry.settle(context.place);
            entry.read.take_if(|read| read.lo <= *context.place);
            entry.now = definition(entry.now.take());
        });
    }

    fn create_table(&mut self, name: &TableName, keep: bool, body: &Body, context: &Context<'_>) {
        let database = self.database_charset(&name.schema);
        let new = match body {
            Body::Columns { columns, primary_key, charset, versioning } => {
                let definition = Definition::create(
                    columns,
                    primary_key,
                    charset,
                    database.as_deref(),
                    context.dialect,
                );
                let is_hidden = *versioning == Versioning::Hidden;
                definition.map(|one| Arc::new(Definition { versioned: is_hidden, ..one }))
            }
            Body::Like(other) => {
                self.change(other, |entry| entry.settle(context.place));
                self.table(other).and_then(|entry| entry.now.clone())
            }
            Body::Unknown => None,
        };
        // Read from a server that is ahead: nobody knows whether it was there already.
        let maybe_there = keep && self.table(name).is_some_and(|entry| entry.read.is_some());
        let new = if maybe_there { None } else { new };
        self.define(name, context, |old| if keep && old.is_some() { old } else { new });
    }

    pub(crate) fn database_charset(&self, schema: &str) -> Option<String> {
        self.databases.get(&self.fold_database(schema))?.charset.clone()
    }

    fn define_database(
        &mut self,
        name: &str,
        charset: &CharsetChoice,
        unsaid: Option<&str>,
        context: &Context<'_>,
    ) {
        let charset = chosen(charset, unsaid, Some(context.server_charset));
        self.set_database(name, Some(Database { charset }));
    }
}
