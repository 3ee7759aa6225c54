//! One table's definition, and what CREATE TABLE makes of it.
//!
//! Holds only what decides how rows are read and named.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::schema::case::lower;
use crate::schema::ddl::{CharsetChoice, ColumnText, Dialect, TableOptions, Versioning};

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
    /// The storage engine, in lower case; `None` if the history does not say, `?` if a statement
    /// named one that the server may have replaced by another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Whether it has partitions. (Not known of definitions of builds before.)
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partitioned: bool,
    /// Of MariaDB: how many unique keys it may have besides the primary one, each of which may
    /// add a hidden column to rows. Those that were dropped may count. (Not known of definitions
    /// of builds before: 0.)
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uniques: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
pub(crate) fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDefinition {
    /// The name.
    pub name: String,
    /// The type as the server spells it.
    #[serde(rename = "type")]
    pub mysql_type: String,
    /// The character set of text, ENUM and SET; `None` for all else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
    /// Its character set is the default of its database, which is not known: see
    /// [`Definition::settle`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsettled: bool,
    /// Of an `AUTO_INCREMENT` column, whether it is shown. (Not known of definitions of builds
    /// before.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<Counter>,
}

impl ColumnDefinition {
    /// As it is now that its character set is known.
    pub(crate) fn settle(&self, charset: &str) -> Self {
        spelling::settled(self, charset)
    }
}

/// An `AUTO_INCREMENT` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Counter {
    /// `SELECT *` shows it.
    Visible,
    /// INVISIBLE: if it is called `my_row_id`, the server may keep it first.
    Invisible,
}

impl Counter {
    pub(super) fn of(text: &ColumnText) -> Option<Self> {
        let kind = if text.invisible { Self::Invisible } else { Self::Visible };
        text.counts.then_some(kind)
    }
}

/// Whether two names are those of one column: the server compares them without case.
pub(crate) fn same(left: &str, right: &str) -> bool {
    left == right || lower(left) == lower(right)
}

/// The columns of a versioned table that only its rows show (`vers_create_sys_field`,
/// sql/handler.cc of MariaDB); the second is part of the primary key.
const HIDDEN: [&str; 2] = ["row_start", "row_end"];

/// The column of a generated primary key.
pub(super) const GENERATED_KEY: &str = "my_row_id";

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
            ..ColumnDefinition::default()
        }));
        if !whole.primary_key.is_empty() {
            whole.primary_key.push(HIDDEN[1].to_owned());
        }
        Cow::Owned(whole)
    }

    /// What CREATE TABLE makes; `database` is the default of the table's database. Or why that
    /// cannot be known.
    pub(crate) fn create(
        columns: &[ColumnText],
        primary_key: &[String],
        uniques: u32,
        options: &TableOptions,
        database: Option<&str>,
        dialect: &Dialect,
    ) -> Result<Self, String> {
        let charset = chosen(&options.charset, database, database);
        let columns = columns
            .iter()
            .map(|column| spelling::column(column, charset.as_deref(), dialect))
            .collect::<Result<Vec<_>, _>>()?;
        let definition = Self {
            columns,
            primary_key: primary_key.to_vec(),
            charset,
            versioned: options.versioning == Versioning::Hidden,
            engine: options.engine.clone(),
            partitioned: options.partitioned,
            uniques: if dialect.is_mariadb() { uniques } else { 0 },
        };
        definition.check()?;
        Ok(definition)
    }

    /// No name twice, and a key of columns that are there.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut seen = std::collections::HashSet::new();
        for column in &self.columns {
            if !seen.insert(lower(&column.name)) {
                return Err(format!("it would have two columns `{}`", column.name));
            }
        }
        match self.primary_key.iter().find(|name| !seen.contains(&lower(name))) {
            Some(name) => Err(format!("its primary key has `{name}`, which is not there")),
            None => Ok(()),
        }
    }

    /// How many hashes of unique keys its rows may end in: none, where all that it has is short
    /// enough for an index. The smallest limit of an engine is 767 bytes a column.
    pub(crate) fn most_hashes(&self) -> u32 {
        let lengths = self.columns.iter().map(|column| spelling::most_bytes(&column.mysql_type));
        let all = lengths.fold(0_u64, u64::saturating_add);
        if all > 767 { self.uniques } else { 0 }
    }

    /// Whether the engine takes back what a rollback takes back; `None` if the history does not
    /// tell.
    pub(crate) fn rolls_back(&self) -> Option<bool> {
        match self.engine.as_deref()? {
            "innodb" | "ndbcluster" | "rocksdb" | "tokudb" => Some(true),
            "myisam" | "aria" | "memory" | "csv" | "archive" | "blackhole" | "mrg_myisam" => {
                Some(false)
            }
            _ => None,
        }
    }

    /// Some column has the default character set of its database, which was not known.
    pub fn is_unsettled(&self) -> bool {
        self.columns.iter().any(|column| column.unsettled)
    }

    /// Values of such a column cannot be read: those of ENUM and SET are numbers.
    pub(crate) fn has_unsettled_text(&self) -> bool {
        let is_text = |column: &&ColumnDefinition| !spelling::is_labelled(&column.mysql_type);
        self.columns.iter().filter(|column| column.unsettled).any(|column| is_text(&column))
    }

    /// As it is now that the default character set of its database is known.
    pub(crate) fn settle(&self, charset: &str) -> Self {
        let mut settled = self.clone();
        settled.charset.get_or_insert_with(|| charset.to_owned());
        for column in settled.columns.iter_mut().filter(|column| column.unsettled) {
            *column = column.settle(charset);
        }
        settled
    }

    /// Whether its first column is a primary key that the server has generated, and keeps first
    /// (`find_generated_invisible_primary_key`, sql/sql_gipk.cc of MySQL 8.0.30 and later).
    /// `None`: the history of a build before does not say.
    pub(super) fn has_generated_key(&self, dialect: &Dialect) -> Option<bool> {
        let Some(first) = self.columns.first() else { return Some(false) };
        let may_be = dialect.generates_keys()
            && same(&first.name, GENERATED_KEY)
            && first.mysql_type == "bigint unsigned"
            && matches!(&*self.primary_key, [only] if same(only, &first.name))
            && !self.partitioned
            && self.engine.as_deref().is_none_or(|engine| engine == "innodb" || engine == "?");
        if !may_be || first.counter == Some(Counter::Visible) {
            return Some(false);
        }
        if self.engine.as_deref() == Some("?") {
            return None;
        }
        first.counter.map(|counter| counter == Counter::Invisible)
    }
}

/// What a choice comes to, if that is known: `unsaid` if it says nothing, the database's if DEFAULT.
pub(crate) fn chosen(
    choice: &CharsetChoice,
    unsaid: Option<&str>,
    database: Option<&str>,
) -> Option<String> {
    match choice {
        CharsetChoice::Named(name) => Some(name.clone()),
        CharsetChoice::Default => database.map(str::to_owned),
        CharsetChoice::Unsaid => unsaid.map(str::to_owned),
        CharsetChoice::Unknown => None,
    }
}
