//! What ALTER TABLE makes of a definition.
//!
//! As in the server's `prepare_fields_and_keys` (sql/sql_table.cc): first the old columns in
//! their order (dropped, changed in place, or as they were), then those that are added or get
//! another place, in the order of the clauses. Names are those of before. A change that cannot
//! be carried out (a column that is not there) proves that the definition is not the table's:
//! then there is none, rather than a wrong one.

use crate::schema::ddl::{
    Alteration, ColumnAction, ColumnChange, ColumnPlace, ColumnText, Dialect, Versioning,
};

use super::definition::{ColumnDefinition, Definition, chosen, same};
use super::spelling;

impl Definition {
    /// What ALTER TABLE makes of it; `database` is the default of the table's database.
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
        let mut altered = Altered {
            before: self,
            alteration,
            charset: charset.as_deref(),
            convert: convert.as_deref(),
            dialect,
            columns: Vec::new(),
            key: self.primary_key.iter().cloned().map(Some).collect(),
            pending: alteration.columns.iter().collect(),
        };
        altered.check_dropped()?;
        for old in &self.columns {
            altered.old_column(old)?;
        }
        for change in std::mem::take(&mut altered.pending) {
            altered.late_column(change)?;
        }
        let Altered { columns, key, .. } = altered;
        let primary_key = match &alteration.primary_key {
            Some(new) => new.clone(),
            None if alteration.drop_primary_key => Vec::new(),
            None => key.into_iter().flatten().collect(),
        };
        let versioned = self.versioned_by(alteration.versioning)?;
        let definition = Self { columns, primary_key, charset, versioned };
        definition.is_sound().then_some(definition)
    }

    fn versioned_by(&self, versioning: Option<Versioning>) -> Option<bool> {
        match versioning {
            None => Some(self.versioned),
            Some(Versioning::Hidden) if !self.versioned => Some(true),
            Some(Versioning::Visible) if self.versioned => Some(false),
            // By columns that it shows: which of them are in the key is not known here.
            Some(_) => None,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|column| same(&column.name, name))
    }
}

/// A definition that is being altered.
struct Altered<'a> {
    before: &'a Definition,
    alteration: &'a Alteration,
    /// The default of columns to come.
    charset: Option<&'a str>,
    /// CONVERT TO CHARACTER SET.
    convert: Option<&'a str>,
    dialect: &'a Dialect,
    columns: Vec<ColumnDefinition>,
    /// The columns of the key by rank, found by their names of before, so that two of them can
    /// swap theirs; `None`: dropped.
    key: Vec<Option<String>>,
    /// Clauses that have put no column in its place yet.
    pending: Vec<&'a ColumnChange>,
}

impl Altered<'_> {
    fn check_dropped(&self) -> Option<()> {
        let dropped = &self.alteration.dropped;
        dropped.iter().all(|(name, lenient)| *lenient || self.before.has(name)).then_some(())
    }

    /// Drops an old column, keeps it, or changes it; a changed one that moves comes later.
    fn old_column(&mut self, old: &ColumnDefinition) -> Option<()> {
        if self.alteration.dropped.iter().any(|(name, _)| same(name, &old.name)) {
            self.set_in_key(&old.name, None);
            return Some(());
        }
        let is_meant = |change: &&ColumnChange| match &change.action {
            ColumnAction::Add { .. } => false,
            ColumnAction::Change { old: name, .. } | ColumnAction::Rename { old: name, .. } => {
                same(name, &old.name)
            }
        };
        let Some(place) = self.pending.iter().position(is_meant) else {
            let kept = self.kept(old)?;
            self.columns.push(kept);
            return Some(());
        };
        let change = self.pending[place];
        let new = match &change.action {
            ColumnAction::Change { column, .. } => self.defined(column)?,
            ColumnAction::Rename { new, .. } => {
                ColumnDefinition { name: new.clone(), ..self.kept(old)? }
            }
            ColumnAction::Add { .. } => return None,
        };
        self.set_in_key(&old.name, Some(&new.name));
        if change.place == ColumnPlace::Unsaid {
            self.columns.push(new);
            self.pending.remove(place);
        }
        Some(())
    }

    /// Puts a column in its place that is new, or moves.
    fn late_column(&mut self, change: &ColumnChange) -> Option<()> {
        let column = match &change.action {
            ColumnAction::Add { column, keep } => {
                // There before, or by an earlier clause (`handle_if_exists_options`,
                // sql/sql_table.cc of MariaDB).
                let added = self.columns.iter().any(|other| same(&other.name, &column.name));
                if *keep && (added || self.before.has(&column.name)) {
                    return Some(());
                }
                column
            }
            ColumnAction::Change { old, column, .. } if self.before.has(old) => column,
            ColumnAction::Change { lenient, .. } => return lenient.then_some(()),
            ColumnAction::Rename { .. } => return None,
        };
        let column = self.defined(column)?;
        let index = match &change.place {
            ColumnPlace::Unsaid => self.columns.len(),
            ColumnPlace::First => 0,
            ColumnPlace::After(name) => {
                self.columns.iter().position(|other| same(&other.name, name))? + 1
            }
        };
        self.columns.insert(index, column);
        Some(())
    }

    /// A column as the statement defines it.
    fn defined(&self, column: &ColumnText) -> Option<ColumnDefinition> {
        let new = spelling::column(&column.name, &column.data_type, self.charset, self.dialect)?;
        Some(match (self.convert, &new.charset) {
            // New columns are not widened, unlike those that hold text already.
            (Some(charset), Some(_)) => {
                ColumnDefinition { charset: Some(charset.to_owned()), ..new }
            }
            _ => new,
        })
    }

    /// An old column that no clause names.
    fn kept(&self, old: &ColumnDefinition) -> Option<ColumnDefinition> {
        match self.convert {
            Some(charset) => spelling::converted(old, charset),
            None => Some(old.clone()),
        }
    }

    fn set_in_key(&mut self, old: &str, new: Option<&str>) {
        let rank = self.before.primary_key.iter().position(|name| same(name, old));
        if let Some(column) = rank.and_then(|rank| self.key.get_mut(rank)) {
            *column = new.map(str::to_owned);
        }
    }
}
