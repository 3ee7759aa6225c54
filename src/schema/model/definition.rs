//! One table's definition, and what CREATE TABLE makes of it.
//!
//! Holds only what decides how rows are read and named.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::schema::ddl::{CharsetChoice, ColumnText, Dialect};

use super::spelling;

/// A table's columns and key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// In the order of the row image.
    pub columns: Vec<ColumnDefinition>,
    /// The primary key's columns by name, in the order of the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub primary_key: Vec<String>,
    /// The default character set of columns to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
    /// MariaDB keeps its former rows by two more columns, which it shows in rows only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub versioned: bool,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDefinition {
    /// The name.
    pub name: String,
    /// The type as the server spells it.
    #[serde(rename = "type")]
    pub mysql_type: String,
    /// The character set of text, ENUM and SET; `None` for all else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
}

/// Whether two names are those of one column: the server compares them without case.
pub(crate) fn same(left: &str, right: &str) -> bool {
    left == right || left.to_lowercase() == right.to_lowercase()
}

/// The columns of a versioned table that only its rows show (`vers_create_sys_field`,
/// sql/handler.cc of MariaDB); the second is part of the primary key.
const HIDDEN: [&str; 2] = ["row_start", "row_end"];

impl Definition {
    /// As its rows have it.
    pub(crate) fn of_rows(&self) -> Cow<'_, Self> {
        if !self.versioned {
            return Cow::Borrowed(self);
        }
        let mut whole = self.clone();
        whole.columns.extend(HIDDEN.map(|name| ColumnDefinition {
            name: name.to_owned(),
            mysql_type: "timestamp(6)".to_owned(),
            charset: None,
        }));
        if !whole.primary_key.is_empty() {
            whole.primary_key.push(HIDDEN[1].to_owned());
        }
        Cow::Owned(whole)
    }

    /// What CREATE TABLE makes; `database` is the default of the table's database.
    pub(crate) fn create(
        columns: &[ColumnText],
        primary_key: &[String],
        charset: &CharsetChoice,
        database: Option<&str>,
        dialect: &Dialect,
    ) -> Option<Self> {
        let charset = chosen(charset, database, database);
        let columns = columns
            .iter()
            .map(|column| {
                spelling::column(&column.name, &column.data_type, charset.as_deref(), dialect)
            })
            .collect::<Option<Vec<_>>>()?;
        let primary_key = primary_key.to_vec();
        let definition = Self { columns, primary_key, charset, versioned: false };
        definition.is_sound().then_some(definition)
    }

    /// No name twice, and a key of columns that are there.
    pub(super) fn is_sound(&self) -> bool {
        let mut seen = std::collections::HashSet::new();
        let unique = self.columns.iter().all(|column| seen.insert(column.name.to_lowercase()));
        unique && self.primary_key.iter().all(|name| seen.contains(&name.to_lowercase()))
    }
}

/// What a choice comes to: `unsaid` if it says nothing, the database's if DEFAULT.
pub(crate) fn chosen(
    choice: &CharsetChoice,
    unsaid: Option<&str>,
    database: Option<&str>,
) -> Option<String> {
    match choice {
        CharsetChoice::Named(name) => Some(name.clone()),
        CharsetChoice::Default => database.map(str::to_owned),
        CharsetChoice::Unsaid => unsaid.map(str::to_owned),
    }
}
