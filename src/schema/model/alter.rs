//! What ALTER TABLE makes of a definition.
//!
//! As in the server's `prepare_fields_and_keys` (sql/sql_table.cc): first the old columns in
//! their order (dropped, changed, or as they were), then those that are added or get another
//! place, in the order of the clauses: until its own clause moves it, a column is where it was,
//! under its new name. Otherwise names are those of before. A change that cannot
//! be carried out (a column that is not there) proves that the definition is not the table's:
//! then there is none, rather than a wrong one.

use crate::schema::ddl::{
    Alteration, CharsetChoice, ColumnAction, ColumnChange, ColumnPlace, ColumnText, Dialect,
    Versioning,
};

use super::definition::{ColumnDefinition, Counter, Definition, GENERATED_KEY, chosen, same};
use super::spelling;

impl Definition {
    /// What ALTER TABLE makes of it; `database` is the default of the table's database. Or why
    /// that cannot be known.
    pub(crate) fn alter(
        &self,
        alteration: &Alteration,
        database: Option<&str>,
        dialect: &Dialect,
    ) -> Result<Self, String> {
        let charset = chosen(&alteration.charset, self.charset.as_deref(), database);
        let convert = match &alteration.convert {
            Some(choice) => {
                let unknown = "the default character set of its database is not known";
                Some(chosen(choice, None, database).ok_or(unknown)?)
            }
            None => None,
        };
        let mut altered = Altered {
            before: self,
            alteration,
            charset: charset.as_deref(),
            convert: convert.as_deref(),
            dialect,
            columns: Vec::new(),
            changed: Vec::new(),
            pending: alteration.columns.iter().collect(),
        };
        altered.check_dropped()?;
        for old in &self.columns {
            altered.old_column(old)?;
        }
        for change in std::mem::take(&mut altered.pending) {
            altered.late_column(change)?;
        }
        altered.set_visibility()?;
        altered.keep_generated_key_first()?;
        let key = altered.key();
        let Altered { columns, .. } = altered;
        // The table's default is not known, and not that of its database, which may be another since.
        // (MySQL's table maps have it.)
        let is_apart = dialect.is_mariadb() && charset.is_none() && database.is_some();
        let is_new = |column: &&ColumnDefinition| !self.columns.contains(column);
        let is_text = |column: &ColumnDefinition| !spelling::is_labelled(&column.mysql_type);
        if is_apart && columns.iter().filter(is_new).any(|new| new.unsettled && is_text(new)) {
            return Err("text that is added has the table's default character set, which is not \
                        known"
                .to_owned());
        }
        // As `handle_if_exists_options` (sql/sql_table.cc of MariaDB) does.
        let is_kept = alteration.keeps_primary_key && !self.primary_key.is_empty();
        let primary_key = match &alteration.primary_key {
            Some(new) if !is_kept => new.clone(),
            _ if is_kept && !alteration.drop_primary_key => key,
            Some(_) => Vec::new(),
            None if alteration.drop_primary_key => Vec::new(),
            None => key,
        };
        let definition = Self {
            columns,
            primary_key,
            charset,
            versioned: self.versioned_by(alteration.versioning)?,
            engine: alteration.engine.clone().or_else(|| self.engine.clone()),
            partitioned: alteration.partitioned.unwrap_or(self.partitioned),
            uniques: if dialect.is_mariadb() {
                self.uniques.saturating_add(alteration.uniques)
            } else {
                0
            },
        };
        definition.check()?;
        Ok(definition)
    }

    fn versioned_by(&self, versioning: Option<Versioning>) -> Result<bool, String> {
        match versioning {
            None => Ok(self.versioned),
            Some(Versioning::Hidden) if !self.versioned => Ok(true),
            Some(Versioning::Visible) if self.versioned => Ok(false),
            // By columns that it shows: which of them are in the key is not known here.
            Some(_) => Err("SYSTEM VERSIONING by columns that it shows".to_owned()),
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
    /// Columns that CHANGE, MODIFY and RENAME name: by their names of now, with those of before.
    changed: Vec<(String, String)>,
    /// Clauses that have put no column in its place yet.
    pending: Vec<&'a ColumnChange>,
}

impl Altered<'_> {
    fn check_dropped(&self) -> Result<(), String> {
        let mut dropped = self.alteration.dropped.iter();
        match dropped.find(|(name, lenient)| !*lenient && !self.before.has(name)) {
            Some((name, _)) => Err(not_there(name)),
            None => Ok(()),
        }
    }

    /// Drops an old column, keeps it, or changes it; one that moves is only there for the time
    /// being.
    fn old_column(&mut self, old: &ColumnDefinition) -> Result<(), String> {
        if self.alteration.dropped.iter().any(|(name, _)| same(name, &old.name)) {
            return Ok(());
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
            return Ok(());
        };
        let change = self.pending[place];
        let new = match &change.action {
            ColumnAction::Change { column, .. } => self.defined(column)?,
            ColumnAction::Rename { new, .. } => {
                ColumnDefinition { name: new.clone(), ..self.kept(old)? }
            }
            ColumnAction::Add { .. } => return Ok(()),
        };
        self.changed.push((new.name.clone(), old.name.clone()));
        self.columns.push(new);
        if change.place == ColumnPlace::Unsaid {
            self.pending.remove(place);
        }
        Ok(())
    }

    /// Puts a column in its place that is new, or moves.
    fn late_column(&mut self, change: &ColumnChange) -> Result<(), String> {
        let column = match &change.action {
            ColumnAction::Add { column, keep } => {
                // There before, or by an earlier clause (`handle_if_exists_options`,
                // sql/sql_table.cc of MariaDB).
                let added = self.columns.iter().any(|other| same(&other.name, &column.name));
                if *keep && (added || self.before.has(&column.name)) {
                    return Ok(());
                }
                column
            }
            ColumnAction::Change { old, column, .. } if self.before.has(old) => {
                let is_moved = |other: &ColumnDefinition| same(&other.name, &column.name);
                let moved = self.columns.iter().position(is_moved);
                self.columns.remove(moved.ok_or_else(|| not_there(old))?);
                column
            }
            ColumnAction::Change { old, lenient, .. }
            | ColumnAction::Rename { old, lenient, .. } => {
                return if *lenient { Ok(()) } else { Err(not_there(old)) };
            }
        };
        let column = self.defined(column)?;
        let index = match &change.place {
            ColumnPlace::Unsaid => self.columns.len(),
            ColumnPlace::First => 0,
            ColumnPlace::After(name) => {
                let before = self.columns.iter().position(|other| same(&other.name, name));
                before.ok_or_else(|| not_there(name))? + 1
            }
        };
        self.columns.insert(index, column);
        Ok(())
    }

    /// A column as the statement defines it. CONVERT TO overrides a character set of its own,
    /// but for one of bytes.
    fn defined(&self, column: &ColumnText) -> Result<ColumnDefinition, String> {
        let binary = CharsetChoice::Named("binary".to_owned());
        let Some(charset) = self.convert.filter(|_| column.data_type.charset != binary) else {
            return spelling::column(column, self.charset, self.dialect);
        };
        let mut converted = column.clone();
        converted.data_type.charset = CharsetChoice::Named(charset.to_owned());
        let new = spelling::column(&converted, self.charset, self.dialect)?;
        // MariaDB's JSON has one of its own otherwise.
        Ok(if new.charset.is_some() { new.settle(charset) } else { new })
    }

    /// An old column that no clause names.
    fn kept(&self, old: &ColumnDefinition) -> Result<ColumnDefinition, String> {
        match self.convert {
            Some(charset) => spelling::converted(old, charset, self.dialect),
            None => Ok(old.clone()),
        }
    }

    /// ALTER COLUMN .. SET VISIBLE or INVISIBLE, by the names of before.
    fn set_visibility(&mut self) -> Result<(), String> {
        for (name, visible) in &self.alteration.visibility {
            let column = self.columns.iter_mut().find(|column| same(&column.name, name));
            let column = column.ok_or_else(|| not_there(name))?;
            let set = if *visible { Counter::Visible } else { Counter::Invisible };
            column.counter = column.counter.map(|_| set);
        }
        Ok(())
    }

    /// What FIRST puts before a generated primary key comes behind it
    /// (`adjust_generated_invisible_primary_key_column_position`, sql/sql_gipk.cc).
    fn keep_generated_key_first(&mut self) -> Result<(), String> {
        let is_key = |column: &ColumnDefinition| same(&column.name, GENERATED_KEY);
        let Some(index) = self.columns.iter().position(is_key).filter(|index| *index > 0) else {
            return Ok(());
        };
        let is_dropped = self.alteration.dropped.iter().any(|(name, _)| same(name, GENERATED_KEY));
        let engine = self.alteration.engine.as_deref();
        if is_dropped || engine.is_some_and(|engine| engine != "innodb" && engine != "?") {
            return Ok(());
        }
        match self.before.has_generated_key(self.dialect) {
            Some(false) => {}
            // It is kept first in an engine that generates keys alone.
            Some(true) if engine == Some("?") => {
                return Err(
                    "whether the server has the engine that it names is not known".to_owned()
                );
            }
            Some(true) => {
                let key = self.columns.remove(index);
                self.columns.insert(0, key);
            }
            None => {
                let unknown = "whether its primary key my_row_id was generated is not known";
                return Err(unknown.to_owned());
            }
        }
        Ok(())
    }

    /// The columns of the key: each is found by its name of before, which a column that is changed
    /// still goes by, and a new one may have too. The first of the table takes it
    /// (`prepare_fields_and_keys`).
    fn key(&self) -> Vec<String> {
        let name_before = |column: &ColumnDefinition| {
            let changed = self.changed.iter().find(|(now, _)| same(now, &column.name));
            changed.map_or_else(|| column.name.clone(), |(_, before)| before.clone())
        };
        let find = |name: &String| {
            let mut columns = self.columns.iter();
            columns
                .find(|column| same(&name_before(column), name))
                .map(|column| column.name.clone())
        };
        self.before.primary_key.iter().filter_map(find).collect()
    }
}

fn not_there(column: &str) -> String {
    format!("it names column `{column}`, which the history does not have")
}
