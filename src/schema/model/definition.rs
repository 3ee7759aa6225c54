//! One table's definition, and what CREATE and ALTER TABLE make of it.
//!
//! Holds only what decides how rows are read and named. A change that cannot be carried
//! out on it (a column that is not there) proves that the definition is not the table's:
//! then there is none, rather than a wrong one.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::schema::ddl::{
    Alteration, CharsetChoice, ColumnAction, ColumnPlace, ColumnText, Dialect, Versioning,
};

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

    /// What ALTER TABLE makes of it.
    pub(crate) fn alter(
        &self,
        alteration: &Alteration,
        database: Option<&str>,
        dialect: &Dialect,
    ) -> Option<Self> {
        let charset = chosen(&alteration.charset, self.charset.as_deref(), database);
        let convert = match &alteration.convert {
            Some(choice) => Some(chosen(choice, None, database)?),
            None => None,
        };
        // By the names of before, so that two columns of the key can swap theirs.
        let mut key = self.primary_key.iter().cloned().map(Some).collect::<Vec<_>>();
        let in_key = |old: &str| self.primary_key.iter().position(|name| same(name, old));
        let mut columns = Vec::new();
        let mut pending = alteration.columns.iter().collect::<Vec<_>>();
        let text = |column: &ColumnText| -> Option<ColumnDefinition> {
            let new =
                spelling::column(&column.name, &column.data_type, charset.as_deref(), dialect)?;
            Some(match (&convert, &new.charset) {
                // New columns are not widened, unlike those that hold text already.
                (Some(charset), Some(_)) => {
                    ColumnDefinition { charset: Some(charset.clone()), ..new }
                }
                _ => new,
            })
        };

        // The old columns in their order: dropped, changed in place, or as they were.
        // Those that get a new place come with the added ones, as in the server's
        // `prepare_fields_and_keys`.
        for old in &self.columns {
            if alteration.dropped.iter().any(|(name, _)| same(name, &old.name)) {
                if let Some(rank) = in_key(&old.name) {
                    key[rank] = None;
                }
                continue;
            }
            let change = pending.iter().position(|change| match &change.action {
                ColumnAction::Add { .. } => false,
                ColumnAction::Change { old: name, .. } | ColumnAction::Rename { old: name, .. } => {
                    same(name, &old.name)
                }
            });
            let Some(change) = change else {
                columns.push(match &convert {
                    Some(charset) => spelling::converted(old, charset)?,
                    None => old.clone(),
                });
                continue;
            };
            let new = match &pending[change].action {
                ColumnAction::Change { column, .. } => text(column)?,
                ColumnAction::Rename { new, .. } => {
                    let kept = match &convert {
                        Some(charset) => spelling::converted(old, charset)?,
                        None => old.clone(),
                    };
                    ColumnDefinition { name: new.clone(), ..kept }
                }
                ColumnAction::Add { .. } => return None,
            };
            if let Some(rank) = in_key(&old.name) {
                key[rank] = Some(new.name.clone());
            }
            if pending[change].place == ColumnPlace::Unsaid {
                columns.push(new);
                pending.remove(change);
            }
        }
        let missing = |name: &String| !self.columns.iter().any(|column| same(&column.name, name));
        if alteration.dropped.iter().any(|(name, lenient)| !lenient && missing(name)) {
            return None;
        }
        for change in pending {
            match &change.action {
                ColumnAction::Add { column, keep } => {
                    // There before, or by an earlier clause (`handle_if_exists_options`,
                    // sql/sql_table.cc of MariaDB).
                    let added = columns.iter().any(|other| same(&other.name, &column.name));
                    if *keep && (added || !missing(&column.name)) {
                        continue;
                    }
                    insert(&mut columns, text(column)?, &change.place)?;
                }
                ColumnAction::Change { old, column, lenient } => {
                    if !missing(old) {
                        insert(&mut columns, text(column)?, &change.place)?;
                    } else if !lenient {
                        return None;
                    }
                }
                ColumnAction::Rename { .. } => return None,
            }
        }
        let primary_key = match &alteration.primary_key {
            Some(new) => new.clone(),
            None if alteration.drop_primary_key => Vec::new(),
            None => key.into_iter().flatten().collect(),
        };
        let versioned = match alteration.versioning {
            None => self.versioned,
            Some(Versioning::Hidden) if !self.versioned => true,
            Some(Versioning::Visible) if self.versioned => false,
            // By columns that it shows: which of them are in the key is not known here.
            Some(_) => return None,
        };
        let definition = Self { columns, primary_key, charset, versioned };
        definition.is_sound().then_some(definition)
    }

    /// No name twice, and a key of columns that are there.
    fn is_sound(&self) -> bool {
        let mut seen = std::collections::HashSet::new();
        let unique = self.columns.iter().all(|column| seen.insert(column.name.to_lowercase()));
        unique && self.primary_key.iter().all(|name| seen.contains(&name.to_lowercase()))
    }
}

/// Puts a column where it is to stand.
fn insert(
    columns: &mut Vec<ColumnDefinition>,
    column: ColumnDefinition,
    place: &ColumnPlace,
) -> Option<()> {
    let index = match place {
        ColumnPlace::Unsaid => columns.len(),
        ColumnPlace::First => 0,
        ColumnPlace::After(name) => columns.iter().position(|old| same(&old.name, name))? + 1,
    };
    columns.insert(index, column);
    Some(())
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
