//! ALTER TABLE and ALTER DATABASE.
//!
//! A clause is known to change columns, known not to, or makes the table stale.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use crate::change::{StatementKind, TableName};

use super::Reader;
use super::column::{charset, choose, column};
use super::effect::{Alteration, ColumnAction, ColumnChange, ColumnPlace, Effect, Versioning};
use super::key::{Key, key};

/// First words of clauses that leave every column as it was, table options among them.
const WITHOUT_COLUMNS: &[&str] = &[
    "algorithm",
    "alter",
    "analyze",
    "auto_increment",
    "autoextend_size",
    "avg_row_length",
    "check",
    "checksum",
    "coalesce",
    "comment",
    "compression",
    "connection",
    "data",
    "default",
    "delay_key_write",
    "disable",
    "discard",
    "enable",
    "encrypted",
    "encryption",
    "encryption_key_id",
    "engine",
    "engine_attribute",
    "exchange",
    "force",
    "ietf_quotes",
    "import",
    "index",
    "insert_method",
    "key_block_size",
    "lock",
    "max_rows",
    "min_rows",
    "nowait",
    "optimize",
    "order",
    "pack_keys",
    "page_checksum",
    "page_compressed",
    "page_compression_level",
    "partition",
    "password",
    "rebuild",
    "remove",
    "reorganize",
    "repair",
    "row_format",
    "secondary_engine",
    "secondary_engine_attribute",
    "secondary_load",
    "secondary_unload",
    "sequence",
    "start",
    "stats_auto_recalc",
    "stats_persistent",
    "stats_sample_pages",
    "storage",
    "table_checksum",
    "tablespace",
    "transactional",
    "truncate",
    "type",
    "union",
    "upgrade",
    "validate",
    "wait",
    "with",
    "without",
];

/// What an ALTER TABLE has said so far.
#[derive(Default)]
struct Clauses {
    alteration: Alteration,
    renamed: Option<TableName>,
    stale: bool,
    kind: Option<StatementKind>,
}

impl Reader<'_> {
    pub(super) fn alter(&mut self) {
        while self.cursor.accept_any(&["online", "offline", "ignore"]) {}
        if self.cursor.accept(&["table"]) {
            self.alter_table();
        } else if self.cursor.accept_any(&["database", "schema"]) {
            let unnamed = ["character", "charset", "collate", "default"];
            let name = if unnamed.iter().any(|word| self.cursor.is_word(word)) {
                Some(self.schema.to_owned())
            } else {
                self.cursor.name()
            };
            let charset = self.database_charset();
            if let Some(name) = name {
                self.effect(Effect::AlterDatabase { name, charset });
            }
        }
    }

    fn alter_table(&mut self) {
        self.cursor.accept(&["if", "exists"]);
        let Some(name) = self.table_name() else { return };
        self.concern(&name);
        let mut clauses = Clauses::default();
        if self.cursor.accept(&["wait"]) {
            self.cursor.next();
        }
        self.cursor.accept(&["nowait"]);
        while self.cursor.peek().is_some() && !self.cursor.is_symbol(';') {
            if self.clause(&mut clauses).is_none() {
                clauses.stale = true;
            }
            self.cursor.skip_clause();
            if self.cursor.is_symbol(')') {
                clauses.stale = true; // an unbalanced text: nothing behind it can be trusted
                self.cursor.next();
            }
            self.cursor.accept_symbol(',');
        }
        self.finish_alter(&name, clauses);
    }

    fn finish_alter(&mut self, name: &TableName, clauses: Clauses) {
        let kind = clauses.kind.unwrap_or(StatementKind::Alter);
        match (&clauses.renamed, kind) {
            (Some(to), StatementKind::Rename) => self.publish(kind, to),
            _ => self.publish(kind, name),
        }
        if let (Some(to), StatementKind::Rename) = (&clauses.renamed, kind) {
            self.reading.tables.insert(0, to.clone());
        }
        let own = name.clone();
        self.effect(if clauses.stale {
            Effect::Stale { name: own }
        } else {
            Effect::AlterTable { name: own, alteration: clauses.alteration }
        });
        if let Some(to) = clauses.renamed {
            self.concern(&to);
            self.effect(Effect::RenameTable { from: name.clone(), to });
        }
    }

    /// Reads one clause, or enough of it; `None` if it could change columns unseen.
    fn clause(&mut self, clauses: &mut Clauses) -> Option<()> {
        let mut kind = Some(StatementKind::Alter);
        let alteration = &mut clauses.alteration;
        let mut read = Some(());
        if self.cursor.accept(&["add"]) {
            (read, kind) = self.add(alteration);
        } else if self.cursor.accept(&["drop"]) {
            (read, kind) = self.drop_clause(alteration);
        } else if self.cursor.accept(&["modify"]) {
            read = self.change(alteration, false);
        } else if self.cursor.accept(&["change"]) {
            read = self.change(alteration, true);
        } else if self.cursor.accept(&["rename"]) {
            if self.cursor.accept(&["column"]) {
                read = self.rename_column(alteration);
            } else if !self.cursor.accept_any(&["index", "key"]) {
                self.cursor.accept_any(&["to", "as"]);
                self.cursor.accept_symbol('=');
                clauses.renamed = self.table_name();
                kind = Some(StatementKind::Rename);
                read = clauses.renamed.as_ref().map(|_| ());
            }
        } else if self.cursor.accept(&["convert", "to"]) {
            let mut chosen = charset(&mut self.cursor)?;
            if let Some(collation) = charset(&mut self.cursor) {
                choose(&mut chosen, collation);
            }
            choose(&mut alteration.charset, chosen.clone());
            alteration.convert = Some(chosen);
        } else {
            read = self.options(alteration);
        }
        clauses.kind = clauses.kind.or(kind);
        read
    }

    fn add(&mut self, alteration: &mut Alteration) -> (Option<()>, Option<StatementKind>) {
        let column_word = self.cursor.accept(&["column"]);
        if !column_word {
            match key(&mut self.cursor) {
                Some(Key::Primary(columns)) => {
                    alteration.primary_key = Some(columns);
                    return (Some(()), Some(StatementKind::CreateIndex));
                }
                Some(Key::Index) => return (Some(()), Some(StatementKind::CreateIndex)),
                // Canal takes no notice of these: the next clause names the statement.
                Some(Key::Constraint) => return (Some(()), None),
                Some(Key::SystemPeriod) => return (None, Some(StatementKind::Alter)),
                None => {}
            }
            if self.cursor.accept(&["partition"]) {
                return (Some(()), Some(StatementKind::Alter));
            }
            if self.cursor.accept(&["system", "versioning"]) {
                alteration.versioning = Some(Versioning::Hidden);
                return (Some(()), Some(StatementKind::Alter));
            }
        }
        let keep = self.cursor.accept(&["if", "not", "exists"]);
        (self.add_columns(alteration, keep), Some(StatementKind::Alter))
    }

    /// `ADD a INT AFTER b`, or `ADD (a INT, b INT, KEY (a))`.
    fn add_columns(&mut self, alteration: &mut Alteration, keep: bool) -> Option<()> {
        let list = self.cursor.accept_symbol('(');
        loop {
            match if list { key(&mut self.cursor) } else { None } {
                Some(Key::Primary(columns)) => alteration.primary_key = Some(columns),
                Some(Key::Index | Key::Constraint) => {}
                Some(Key::SystemPeriod) => return None,
                None => {
                    let (column, place) = column(&mut self.cursor, self.dialect)?;
                    if column.is_key {
                        alteration.primary_key = Some(vec![column.name.clone()]);
                    }
                    let action = ColumnAction::Add { column, keep };
                    alteration.columns.push(ColumnChange { action, place });
                }
            }
            if !list {
                return Some(());
            }
            if !self.cursor.accept_symbol(',') {
                return self.cursor.accept_symbol(')').then_some(());
            }
        }
    }

    fn drop_clause(&mut self, alteration: &mut Alteration) -> (Option<()>, Option<StatementKind>) {
        let alter = Some(StatementKind::Alter);
        if self.cursor.accept(&["primary", "key"]) {
            alteration.drop_primary_key = true;
            return (Some(()), alter);
        }
        if self.cursor.accept_any(&["index", "key", "constraint"]) {
            self.cursor.accept(&["if", "exists"]);
            let name = self.cursor.name().unwrap_or_default();
            alteration.drop_primary_key |= name.eq_ignore_ascii_case("primary");
            return (Some(()), Some(StatementKind::DropIndex));
        }
        if self.cursor.accept(&["foreign", "key"]) {
            return (Some(()), Some(StatementKind::DropIndex));
        }
        if self.cursor.accept_any(&["check", "partition"]) || self.cursor.accept(&["period", "for"])
        {
            return (Some(()), alter);
        }
        if self.cursor.accept(&["system", "versioning"]) {
            alteration.versioning = Some(Versioning::Visible);
            return (Some(()), alter);
        }
        self.cursor.accept(&["column"]);
        let lenient = self.cursor.accept(&["if", "exists"]);
        let read = self.cursor.column_name().map(|name| alteration.dropped.push((name, lenient)));
        (read, alter)
    }

    /// MODIFY column, CHANGE old column.
    fn change(&mut self, alteration: &mut Alteration, renames: bool) -> Option<()> {
        self.cursor.accept(&["column"]);
        let lenient = self.cursor.accept(&["if", "exists"]);
        let old = if renames { Some(self.cursor.column_name()?) } else { None };
        let (column, place) = column(&mut self.cursor, self.dialect)?;
        if column.is_key {
            alteration.primary_key = Some(vec![column.name.clone()]);
        }
        let old = old.unwrap_or_else(|| column.name.clone());
        let action = ColumnAction::Change { old, column, lenient };
        alteration.columns.push(ColumnChange { action, place });
        Some(())
    }

    fn rename_column(&mut self, alteration: &mut Alteration) -> Option<()> {
        self.cursor.accept(&["if", "exists"]);
        let old = self.cursor.column_name()?;
        if !self.cursor.accept(&["to"]) {
            return None;
        }
        let action = ColumnAction::Rename { old, new: self.cursor.column_name()? };
        alteration.columns.push(ColumnChange { action, place: ColumnPlace::Unsaid });
        Some(())
    }

    /// Table options, which need no comma between them, and clauses without columns.
    fn options(&mut self, alteration: &mut Alteration) -> Option<()> {
        if self.cursor.is_word("order") || self.cursor.is_word_at(0, "partition") {
            while self.cursor.next().is_some() {} // their commas belong to them; both come last
            return Some(());
        }
        let exchange = self.cursor.is_word("exchange");
        let mut known = false;
        let mut first = true;
        while !self.cursor.is_clause_end() {
            if let Some(choice) = charset(&mut self.cursor) {
                choose(&mut alteration.charset, choice);
                known = true;
            } else if exchange && self.cursor.accept(&["table"]) {
                let other = self.table_name();
                self.also_concerns(other);
            } else {
                known |= first && WITHOUT_COLUMNS.iter().any(|word| self.cursor.is_word(word));
                self.cursor.skip_one();
            }
            first = false;
        }
        known.then_some(())
    }
}
