//! Databases: the default character set of their tables to come, and whether all their tables
//! are known.
//!
//! A default that was read from the server holds from the begin of the reading on, or is not
//! known: text columns made under one that is not known are unsettled, until a table map says their
//! character sets (MySQL's do), or the database is asked.

use serde::{Deserialize, Serialize};

use super::definition::chosen;
use super::{Context, Key, Known, Model, State, ToRead};
use crate::schema::Place;
use crate::schema::ddl::CharsetChoice;

/// What is known of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Database {
    /// The default character set of tables to come; `None` if it is not known.
    pub(crate) charset: Option<String>,
    /// What that was if the database was made by a statement with IF NOT EXISTS that says nothing
    /// of its effect: only to be used once nobody can be asked any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) assumed: Option<String>,
    /// From here on each of its tables has a definition, or something that made it unknown, or
    /// is not there. `None`: it may have tables that the history never met. (So it is of
    /// databases in the history of builds before.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) complete: Option<Place>,
}

impl Model {
    pub(crate) fn set_database(&mut self, name: &str, database: Option<Database>) {
        let name = self.fold_database(name);
        let old = self.databases.remove(&name);
        self.remember(Key::Database(name.clone()), old.map(Known::Database));
        if let Some(database) = database {
            self.databases.insert(name, database);
        }
    }

    /// From a place on each of its tables has an entry, or is not there.
    pub(crate) fn set_complete(&mut self, name: &str, from: &Place) {
        let database = self.databases.get(&self.fold_database(name)).cloned();
        if let Some(database) = database.filter(|database| database.complete.is_none()) {
            let complete = Some(from.clone());
            self.set_database(name, Some(Database { complete, ..database }));
        }
    }

    /// Whether the source had it when it was asked, or a statement made it since.
    pub(crate) fn has_database(&self, schema: &str) -> bool {
        self.databases.contains_key(&self.fold_database(schema))
    }

    /// Whether a table of it without an entry is not there; `schema` is folded.
    pub(super) fn has_all_tables(&self, schema: &str, place: &Place) -> bool {
        if self.to_read == Some(ToRead::All) {
            return false;
        }
        let complete = self.databases.get(schema).and_then(|database| database.complete.as_ref());
        complete.is_some_and(|from| from <= place)
    }

    /// The default character set of a database; `None` if it is not known.
    pub(super) fn database_charset(&self, schema: &str) -> Option<String> {
        self.databases.get(&self.fold_database(schema))?.charset.clone()
    }

    /// What a statement says of the default is not clear.
    pub(crate) fn forget_charset(&mut self, schema: &str) {
        if let Some(old) = self.databases.get(&self.fold_database(schema)).cloned() {
            self.set_database(schema, Some(Database { charset: None, assumed: None, ..old }));
        }
    }

    /// What that may be, for who can ask nobody.
    pub(crate) fn assumed_charset(&self, schema: &str) -> Option<String> {
        self.databases.get(&self.fold_database(schema))?.assumed.clone()
    }

    pub(super) fn create_database(
        &mut self,
        name: &str,
        charset: &CharsetChoice,
        keep: bool,
        context: &Context<'_>,
    ) {
        let server = Some(context.server_charset);
        let charset = chosen(charset, server, server);
        let known = self.databases.get(&self.fold_database(name)).filter(|_| keep).cloned();
        if let Some(known) = known {
            // What the server has by that name now may have been made later than this.
            if known.charset.is_none() && known.assumed.is_none() {
                self.set_database(name, Some(Database { assumed: charset, ..known }));
            }
            return;
        }
        let database = if !keep || context.has_effect.on_database {
            Database { charset, assumed: None, complete: Some(Place::begin()) }
        } else {
            // All databases may have been read once: one that the account does not see, or that was
            // made without a word in the binlog, was not.
            Database { charset: None, assumed: charset, complete: None }
        };
        self.set_database(name, Some(database));
    }

    pub(super) fn alter_database(
        &mut self,
        name: &str,
        charset: &CharsetChoice,
        context: &Context<'_>,
    ) {
        let old = self.databases.get(&self.fold_database(name)).cloned().unwrap_or_default();
        let server = Some(context.server_charset);
        // Text columns keep the one that they were made with.
        for table in self.names_in(&self.fold_database(name)) {
            let now = self.table(&table).and_then(|entry| entry.now);
            if now.is_some_and(|now| now.has_unsettled_text()) {
                self.define(&table, context, |_| {
                    context.unknown(
                        "text columns of it have the default character set that its database had \
                         before, which is not known",
                    )
                });
            }
        }
        let assumed = old.assumed.as_deref().and_then(|old| chosen(charset, Some(old), server));
        let charset = chosen(charset, old.charset.as_deref(), server);
        self.set_database(name, Some(Database { charset, assumed, ..old }));
    }

    /// None of its tables is there any more, and none can be before it is created again.
    pub(super) fn drop_database(&mut self, name: &str, context: &Context<'_>) {
        let folded = self.fold_database(name);
        for table in self.names_in(&folded) {
            self.define(&table, context, |_| State::Absent);
            self.change(&table, |entry| entry.absent &= entry.read.is_some());
        }
        self.set_database(name, None);
    }

    /// Places of the former server have no order with those of the next.
    pub(super) fn leave_databases(&mut self, reached: &Place) {
        let names: Vec<_> = self.databases.keys().cloned().collect();
        for name in names {
            let mut database = self.databases.get(&name).cloned().unwrap_or_default();
            let is_complete = database.complete.take().is_some_and(|from| from <= *reached);
            database.complete = is_complete.then(Place::begin);
            self.set_database(&name, Some(database));
        }
    }
}
