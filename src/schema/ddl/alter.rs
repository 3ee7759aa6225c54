//! ALTER TABLE and ALTER DATABASE.
//!
//! A clause is known to change columns, known not to, or makes the table stale.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use crate::change::{StatementKind, TableName};

use super::Reader;
use super::column::{charset, choose, column};
use super::create::SYSTEM_PERIOD;
use super::effect::{
    Alteration, CharsetChoice, ColumnAction, ColumnChange, ColumnPlace, Effect, Versioning,
};
use super::key::{Key, PrimaryKey, key};

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

/// First words of CHARACTER SET and COLLATE.
const STARTS_CHARSET: &[&str] = &["char", "character", "charset", "collate"];

/// What an ALTER TABLE has said so far.
#[derive(Default)]
struct Clauses {
    alteration: Alteration,
    renamed: Option<TableName>,
    /// The first clause that could change columns and is not understood.
    stale: Option<String>,
    kind: Option<StatementKind>,
    /// Effects on other tables.
    others: Vec<Effect>,
}

impl Reader<'_> {
    pub(super) fn alter(&mut self) {
        while self.cursor.accept_any(&["online", "offline", "ignore"]) {}
        if self.cursor.accept(&["table"]) {
            self.alter_table();
        } else if self.cursor.accept_any(&["database", "schema"]) {
            // Reserved words, save CHARSET; or any option, where a name would be.
            let unnamed = ["char", "character", "charset", "collate", "default", "read"];
            let is_unnamed = unnamed.iter().any(|word| self.cursor.is_word(word));
            let name = if is_unnamed || self.cursor.is_symbol_at(1, '=') {
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
        let lenient = self.cursor.accept(&["if", "exists"]);
        let Some(name) = self.table_name() else { return };
        self.concern(&name);
        let mut clauses = Clauses::default();
        if self.cursor.accept(&["wait"]) {
            self.cursor.next();
        }
        self.cursor.accept(&["nowait"]);
        while self.cursor.peek().is_some() && !self.cursor.is_symbol(';') {
            if let Err(why) = self.clause(&name, &mut clauses) {
                clauses.stale.get_or_insert(why);
            }
            self.partition_clause(&mut clauses.alteration);
            self.cursor.skip_clause();
            if self.cursor.is_symbol(')') {
                // Nothing behind it can be trusted.
                clauses.stale.get_or_insert("its parentheses are not balanced".to_owned());
                self.cursor.next();
            }
            self.cursor.accept_symbol(',');
        }
        self.finish_alter(&name, lenient, clauses);
    }

    /// PARTITION BY and REMOVE PARTITIONING, which need no comma before them; the first's commas
    /// belong to it, and it comes last.
    fn partition_clause(&mut self, alteration: &mut Alteration) -> bool {
        if self.cursor.accept(&["partition", "by"]) {
            alteration.partitioned = Some(true);
            while self.cursor.next().is_some() {}
            return true;
        }
        let removed = self.cursor.accept(&["remove", "partitioning"]);
        if removed {
            alteration.partitioned = Some(false);
        }
        removed
    }

    fn finish_alter(&mut self, name: &TableName, lenient: bool, clauses: Clauses) {
        let kind = clauses.kind.unwrap_or(StatementKind::Alter);
        match (&clauses.renamed, kind) {
            (Some(to), StatementKind::Rename) => self.publish(kind, to),
            _ => self.publish(kind, name),
        }
        if let (Some(to), StatementKind::Rename) = (&clauses.renamed, kind) {
            self.reading.tables.insert(0, to.clone());
        }
        let own = name.clone();
        self.effect(match clauses.stale {
            Some(why) => Effect::Stale { name: own, why },
            None => Effect::AlterTable { name: own, lenient, alteration: clauses.alteration },
        });
        for effect in clauses.others {
            self.effect(effect);
        }
        if let Some(to) = clauses.renamed {
            self.concern(&to);
            self.effect(Effect::RenameTable { from: name.clone(), to, lenient });
        }
    }

    /// Reads one clause, or enough of it; or says what could change columns unseen.
    fn clause(&mut self, name: &TableName, clauses: &mut Clauses) -> Result<(), String> {
        let mut kind = Some(StatementKind::Alter);
        let alteration = &mut clauses.alteration;
        let mut read = Ok(());
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
                read = clauses.renamed.as_ref().map(|_| ()).ok_or("it has no new name".to_owned());
            }
        } else if self.cursor.accept(&["convert", "to"]) {
            read = self.convert(alteration);
        } else if self.cursor.accept(&["convert"]) {
            read = self.convert_partition(name, &mut clauses.others);
        } else if self.cursor.is_word("alter") {
            self.alter_column(alteration);
        } else {
            read = self.options(alteration);
        }
        clauses.kind = clauses.kind.or(kind);
        read
    }

    /// CONVERT TO CHARACTER SET.
    fn convert(&mut self, alteration: &mut Alteration) -> Result<(), String> {
        let Some(mut chosen) = charset(&mut self.cursor) else {
            return Err(format!("`CONVERT TO {}`", self.cursor.clause_text()));
        };
        if let Some(collation) = charset(&mut self.cursor) {
            choose(&mut chosen, collation);
        }
        let said = std::mem::replace(&mut alteration.charset, chosen.clone());
        alteration.convert = Some(chosen);
        one_charset(&said, alteration)
    }

    /// MariaDB: CONVERT PARTITION p TO TABLE t, and CONVERT TABLE t TO PARTITION p ..
    fn convert_partition(
        &mut self,
        name: &TableName,
        others: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let to_table = self.cursor.accept(&["partition"]);
        if to_table {
            self.cursor.name();
            self.cursor.accept(&["to"]);
        }
        if !self.cursor.accept(&["table"]) {
            return Err(format!("`CONVERT {}`", self.cursor.clause_text()));
        }
        let Some(other) = self.table_name() else {
            return Err("CONVERT of no table".to_owned());
        };
        self.concern(&other);
        others.push(if to_table {
            Effect::PartitionToTable { from: name.clone(), to: other }
        } else {
            Effect::DropTable { name: other }
        });
        Ok(())
    }

    /// ALTER COLUMN: of what it sets, only the visibility may matter.
    fn alter_column(&mut self, alteration: &mut Alteration) {
        self.cursor.next();
        if self.cursor.accept_any(&["index", "key", "check", "constraint"]) {
            return;
        }
        self.cursor.accept(&["column"]);
        self.cursor.accept(&["if", "exists"]);
        let Some(column) = self.cursor.column_name() else { return };
        if self.cursor.accept(&["set", "visible"]) {
            alteration.visibility.push((column, true));
        } else if self.cursor.accept(&["set", "invisible"]) {
            alteration.visibility.push((column, false));
        }
    }

    fn add(&mut self, alteration: &mut Alteration) -> (Result<(), String>, Option<StatementKind>) {
        let column_word = self.cursor.accept(&["column"]);
        if !column_word {
            match key(&mut self.cursor) {
                Some(Key::Primary(key)) => {
                    let read = take_primary_key(alteration, key);
                    return (read, Some(StatementKind::CreateIndex));
                }
                Some(Key::Unique) => {
                    alteration.uniques += 1;
                    return (Ok(()), Some(StatementKind::CreateIndex));
                }
                Some(Key::Index) => return (Ok(()), Some(StatementKind::CreateIndex)),
                // Canal takes no notice of these: the next clause names the statement.
                Some(Key::Constraint | Key::Period(_)) => return (Ok(()), None),
                Some(Key::SystemPeriod) => {
                    return (Err(SYSTEM_PERIOD.to_owned()), Some(StatementKind::Alter));
                }
                None => {}
            }
            if self.cursor.accept(&["partition"]) {
                return (Ok(()), Some(StatementKind::Alter));
            }
            if self.cursor.accept(&["system", "versioning"]) {
                alteration.versioning = Some(Versioning::Hidden);
                return (Ok(()), Some(StatementKind::Alter));
            }
        }
        let keep = self.cursor.accept(&["if", "not", "exists"]);
        (self.add_columns(alteration, keep), Some(StatementKind::Alter))
    }

    /// `ADD a INT AFTER b`, or `ADD (a INT, b INT, KEY (a))`.
    fn add_columns(&mut self, alteration: &mut Alteration, keep: bool) -> Result<(), String> {
        let list = self.cursor.accept_symbol('(');
        loop {
            match if list { key(&mut self.cursor) } else { None } {
                Some(Key::Primary(key)) => take_primary_key(alteration, key)?,
                Some(Key::Unique) => alteration.uniques += 1,
                Some(Key::Index | Key::Constraint | Key::Period(_)) => {}
                Some(Key::SystemPeriod) => return Err(SYSTEM_PERIOD.to_owned()),
                None => {
                    let (column, place) = column(&mut self.cursor, self.dialect)?;
                    if column.is_key {
                        alteration.primary_key = Some(vec![column.name.clone()]);
                        alteration.keeps_primary_key = keep;
                    }
                    alteration.uniques += column.uniques;
                    let action = ColumnAction::Add { column, keep };
                    alteration.columns.push(ColumnChange { action, place });
                }
            }
            if !list || self.cursor.accept_symbol(')') {
                return Ok(());
            }
            if !self.cursor.accept_symbol(',') {
                return Err(format!("`{}` is not understood", self.cursor.clause_text()));
            }
        }
    }

    fn drop_clause(
        &mut self,
        alteration: &mut Alteration,
    ) -> (Result<(), String>, Option<StatementKind>) {
        let alter = Some(StatementKind::Alter);
        if self.cursor.accept(&["primary", "key"]) {
            alteration.drop_primary_key = true;
            return (Ok(()), alter);
        }
        if self.cursor.accept_any(&["index", "key", "constraint"]) {
            self.cursor.accept(&["if", "exists"]);
            let name = self.cursor.name().unwrap_or_default();
            alteration.drop_primary_key |= name.eq_ignore_ascii_case("primary");
            return (Ok(()), Some(StatementKind::DropIndex));
        }
        if self.cursor.accept(&["foreign", "key"]) {
            return (Ok(()), Some(StatementKind::DropIndex));
        }
        if self.cursor.accept_any(&["check", "partition"]) || self.cursor.accept(&["period", "for"])
        {
            return (Ok(()), alter);
        }
        if self.cursor.accept(&["system", "versioning"]) {
            alteration.versioning = Some(Versioning::Visible);
            return (Ok(()), alter);
        }
        self.cursor.accept(&["column"]);
        let lenient = self.cursor.accept(&["if", "exists"]);
        let Some(name) = self.cursor.column_name() else {
            return (Err(format!("`DROP {}`", self.cursor.clause_text())), alter);
        };
        alteration.dropped.push((name, lenient));
        (Ok(()), alter)
    }

    /// MODIFY column, CHANGE old column.
    fn change(&mut self, alteration: &mut Alteration, renames: bool) -> Result<(), String> {
        self.cursor.accept(&["column"]);
        let lenient = self.cursor.accept(&["if", "exists"]);
        let old = if renames { self.cursor.column_name() } else { None };
        let (column, place) = column(&mut self.cursor, self.dialect)?;
        if column.is_key {
            alteration.primary_key = Some(vec![column.name.clone()]);
            alteration.keeps_primary_key = lenient;
        }
        alteration.uniques += column.uniques;
        let old = old.unwrap_or_else(|| column.name.clone());
        let action = ColumnAction::Change { old, column, lenient };
        alteration.columns.push(ColumnChange { action, place });
        Ok(())
    }

    fn rename_column(&mut self, alteration: &mut Alteration) -> Result<(), String> {
        let lenient = self.cursor.accept(&["if", "exists"]);
        let old = self.cursor.column_name();
        self.cursor.accept(&["to"]);
        let (Some(old), Some(new)) = (old, self.cursor.column_name()) else {
            return Err("a RENAME COLUMN without names".to_owned());
        };
        let action = ColumnAction::Rename { old, new, lenient };
        alteration.columns.push(ColumnChange { action, place: ColumnPlace::Unsaid });
        Ok(())
    }

    /// Table options, which need no comma between them, and clauses without columns.
    fn options(&mut self, alteration: &mut Alteration) -> Result<(), String> {
        if self.cursor.is_word("order") {
            while self.cursor.next().is_some() {} // its commas belong to it, and it comes last
            return Ok(());
        }
        let exchange = self.cursor.is_word("exchange");
        let known = WITHOUT_COLUMNS.iter().any(|word| self.cursor.is_word(word));
        if !known && !STARTS_CHARSET.iter().any(|word| self.cursor.is_word(word)) {
            return Err(format!("`{}` is not understood", self.cursor.clause_text()));
        }
        while !self.cursor.is_clause_end() {
            if let Some(choice) = charset(&mut self.cursor) {
                if alteration.convert.is_some() {
                    one_charset(&choice, alteration)?;
                } else {
                    choose(&mut alteration.charset, choice);
                }
            } else if let Some(engine) = self.engine() {
                alteration.engine = Some(engine);
            } else if exchange && self.cursor.accept(&["table"]) {
                let other = self.table_name();
                self.also_concerns(other);
            } else if !self.partition_clause(alteration) {
                self.cursor.skip_one();
            }
        }
        Ok(())
    }
}

/// A period that the table had before is not known here.
fn take_primary_key(alteration: &mut Alteration, key: PrimaryKey) -> Result<(), String> {
    alteration.keeps_primary_key = key.keep;
    alteration.primary_key = Some(key.resolve(&[])?);
    Ok(())
}

/// Which of two wins, CONVERT TO or another default beside it, each server has its own rules for.
fn one_charset(other: &CharsetChoice, alteration: &Alteration) -> Result<(), String> {
    if *other == CharsetChoice::Unsaid || Some(other) == alteration.convert.as_ref() {
        return Ok(());
    }
    Err("CONVERT TO is beside another default character set".to_owned())
}
