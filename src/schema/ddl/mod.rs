//! Reading DDL: what a statement's text changes in the schema, and what it is published
//! as. Pure.
//!
//! A tolerant reader of what matters to row images, not of SQL: clauses that cannot
//! change columns are stepped over by balanced parentheses, a clause that could and is
//! not understood makes the table stale (it is read from the server again). So one
//! unknown clause never costs the ADD COLUMN beside it, and never leads to a guess.
//!
//! The message is the one real Canal publishes (`tests/golden/ddl`): kind, database and
//! table of the first clause that it takes notice of. Where it gives up on a text that
//! the server ran, ours carries the table's own name.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

mod alter;
mod column;
mod create;
mod cursor;
mod effect;
mod key;
#[cfg(test)]
mod tests;
mod token;

use crate::change::{Flavor, StatementKind, TableName};

pub use effect::Message;
pub(crate) use effect::{
    Alteration, Base, Body, CharsetChoice, ColumnAction, ColumnChange, ColumnPlace, ColumnText,
    Effect, LabelForm, LobSize, Reading, TableOptions, TemporaryTable, TypeText, Versioning,
};

use cursor::Cursor;
use token::Token;

/// What decides how a text is read.
#[derive(Clone, Debug)]
pub(crate) struct Dialect {
    pub(crate) flavor: Flavor,
    /// As executed comments have it: 90704 is 9.7.4.
    pub(crate) version: u32,
    /// As status variable 1 of a QUERY event has it.
    pub(crate) sql_mode: u64,
}

impl Dialect {
    /// Bits of `sql_mode`: `sql/query_options.h`, `system_variables.h` of the servers.
    const REAL_AS_FLOAT: u64 = 0x1;
    const ANSI_QUOTES: u64 = 0x4;
    const ORACLE: u64 = 0x200;
    const MAXDB: u64 = 0x1000;
    const NO_BACKSLASH_ESCAPES: u64 = 0x10_0000;
    const NO_ENGINE_SUBSTITUTION: u64 = 0x4000_0000;

    fn ansi_quotes(&self) -> bool {
        self.sql_mode & Self::ANSI_QUOTES != 0
    }

    fn escapes(&self) -> bool {
        self.sql_mode & Self::NO_BACKSLASH_ESCAPES == 0
    }

    /// MariaDB reads some types as Oracle means them.
    fn is_oracle(&self) -> bool {
        self.is_mariadb() && self.sql_mode & Self::ORACLE != 0
    }

    /// A TIMESTAMP is a DATETIME: MariaDB, and MySQL before 8.0.
    fn is_maxdb(&self) -> bool {
        self.sql_mode & Self::MAXDB != 0
    }

    /// Without it the server may take its default for an engine that it does not offer.
    fn takes_engine_literally(&self) -> bool {
        self.sql_mode & Self::NO_ENGINE_SUBSTITUTION != 0
    }

    /// Tables may have an invisible primary key that the server made.
    pub(crate) fn generates_keys(&self) -> bool {
        !self.is_mariadb() && self.version >= 80_030
    }

    fn real_is_float(&self) -> bool {
        self.sql_mode & Self::REAL_AS_FLOAT != 0
    }

    pub(crate) fn is_mariadb(&self) -> bool {
        matches!(self.flavor, Flavor::MariaDb)
    }

    /// Renamed in MySQL 8.0.
    fn geometry_collection(&self) -> &'static str {
        if self.is_mariadb() || self.version < 80_000 {
            "geometrycollection"
        } else {
            "geomcollection"
        }
    }
}

/// Reads one statement; `schema` is the session's default database.
pub(crate) fn read(text: &str, schema: &str, dialect: &Dialect) -> Reading {
    let mut reader =
        Reader { cursor: Cursor::new(text, dialect), schema, dialect, reading: Reading::default() };
    reader.statement();
    reader.reading
}

/// What may stand behind the names of DROP TABLE.
fn is_drop_option(word: &str) -> bool {
    ["restrict", "cascade", "wait", "nowait"].iter().any(|option| word.eq_ignore_ascii_case(option))
}

/// Reads a statement into a [`Reading`]. What it does with the verbs CREATE and ALTER
/// stands in the modules of that name.
struct Reader<'a> {
    cursor: Cursor<'a>,
    schema: &'a str,
    dialect: &'a Dialect,
    reading: Reading,
}

/// Verbs of statements that have neither rows nor columns to change.
const WITHOUT_EFFECT: &[&str] = &[
    "analyze",
    "backup",
    "begin",
    "binlog",
    "cache",
    "call",
    "change",
    "check",
    "checksum",
    "clone",
    "commit",
    "deallocate",
    "desc",
    "describe",
    "do",
    "execute",
    "explain",
    "flush",
    "grant",
    "handler",
    "help",
    "install",
    "kill",
    "lock",
    "optimize",
    "prepare",
    "purge",
    "release",
    "repair",
    "reset",
    "resignal",
    "restart",
    "revoke",
    "rollback",
    "savepoint",
    "select",
    "set",
    "show",
    "shutdown",
    "signal",
    "start",
    "stop",
    "uninstall",
    "unlock",
    "use",
    "xa",
];

impl Reader<'_> {
    fn statement(&mut self) {
        // MariaDB: SET STATEMENT variable = value, ... FOR statement
        if self.cursor.accept(&["set", "statement"]) {
            while !self.cursor.is_word("for") && self.cursor.peek().is_some() {
                self.cursor.skip_one();
            }
            self.cursor.next();
        }
        if self.cursor.accept(&["with"]) {
            self.skip_common_tables();
        }
        let verb = match self.cursor.next() {
            Some(Token::Word(verb)) => verb.to_ascii_lowercase(),
            // `(SELECT ..)`, or nothing but comments.
            Some(Token::Symbol('(' | ';')) | None => return,
            Some(Token::Quoted(_) | Token::Text(_) | Token::Bits(_) | Token::Symbol(_)) => {
                self.reading.unknown = Some(String::new());
                return;
            }
        };
        match verb.as_str() {
            "create" => self.create(),
            "alter" => self.alter(),
            "drop" => self.drop(),
            "rename" => self.rename(),
            "truncate" => self.truncate(),
            "insert" | "replace" => self.rows(StatementKind::Insert, &["into"]),
            "update" => self.rows(StatementKind::Update, &[]),
            "delete" => self.rows(StatementKind::Delete, &["from"]),
            "load" => self.load(),
            other if WITHOUT_EFFECT.contains(&other) => {}
            _ => self.reading.unknown = Some(verb.chars().take(64).collect()),
        }
    }

    /// WITH name AS (..), ... before UPDATE or DELETE.
    fn skip_common_tables(&mut self) {
        let verbs = ["insert", "replace", "update", "delete", "select"];
        while self.cursor.peek().is_some() && !verbs.iter().any(|verb| self.cursor.is_word(verb)) {
            self.cursor.skip_one();
        }
    }

    /// `name` or `database.name`.
    fn table_name(&mut self) -> Option<TableName> {
        self.cursor.accept_symbol('.');
        let first = self.cursor.name()?;
        if self.cursor.is_symbol('.') && !self.cursor.is_symbol_at(1, '*') {
            self.cursor.next();
            let table = self.cursor.name()?;
            return Some(TableName::new(first, table));
        }
        Some(TableName::new(self.schema, first))
    }

    fn publish(&mut self, kind: StatementKind, name: &TableName) {
        let (schema, table) = (name.schema.to_string(), name.table.to_string());
        self.reading.message.get_or_insert(Message { kind, is_ddl: true, schema, table });
    }

    fn publish_database(&mut self, name: &str) {
        self.reading.message = Some(Message {
            kind: StatementKind::Query,
            is_ddl: true,
            schema: name.to_owned(),
            table: String::new(),
        });
    }

    fn concern(&mut self, name: &TableName) {
        if !self.reading.tables.contains(name) {
            self.reading.tables.push(name.clone());
        }
    }

    fn effect(&mut self, effect: Effect) {
        self.reading.effects.push(effect);
    }

    fn drop(&mut self) {
        if self.cursor.accept(&["temporary"]) {
            return self.drop_temporary();
        }
        if self.cursor.accept_any(&["database", "schema"]) {
            self.cursor.accept(&["if", "exists"]);
            if let Some(name) = self.cursor.name() {
                self.publish_database(&name);
                self.effect(Effect::DropDatabase { name });
            }
        } else if self.cursor.accept_any(&["table", "tables"]) {
            self.drop_tables();
        } else if self.cursor.accept(&["sequence"]) {
            self.drop_tables();
            self.reading.message = None;
        } else if self.cursor.accept(&["index"]) {
            self.drop_index();
        }
    }

    fn drop_temporary(&mut self) {
        if self.cursor.accept_any(&["table", "tables", "sequence"]) {
            self.cursor.accept(&["if", "exists"]);
            while let Some(name) = self.table_name() {
                self.reading.temporary.push(TemporaryTable::Dropped(name));
                if !self.cursor.accept_symbol(',') {
                    break;
                }
            }
        }
    }

    fn drop_tables(&mut self) {
        self.cursor.accept(&["if", "exists"]);
        // MariaDB puts the comments before the client's DROP behind its own, executed ones too
        // (`mysql_rm_table_no_locks`, sql/sql_table.cc): DROP TABLE IF EXISTS /*! DROP */ `t`
        while matches!(self.cursor.peek(), Some(Token::Word(_)))
            && matches!(self.cursor.peek_at(1), Some(Token::Word(name)) if !is_drop_option(name))
            || matches!(self.cursor.peek(), Some(Token::Word(_)))
                && matches!(self.cursor.peek_at(1), Some(Token::Quoted(_)))
        {
            self.cursor.next();
        }
        while let Some(name) = self.table_name() {
            self.publish(StatementKind::Erase, &name);
            self.concern(&name);
            self.effect(Effect::DropTable { name });
            if !self.cursor.accept_symbol(',') {
                break;
            }
        }
    }

    /// DROP INDEX name ON table: of columns, only the index called PRIMARY says something.
    fn drop_index(&mut self) {
        self.cursor.accept(&["if", "exists"]);
        let index = self.cursor.name().unwrap_or_default();
        if !self.cursor.accept(&["on"]) {
            return;
        }
        let Some(name) = self.table_name() else { return };
        self.publish(StatementKind::DropIndex, &name);
        self.concern(&name);
        let drop_primary_key = index.eq_ignore_ascii_case("primary");
        let alteration = Alteration { drop_primary_key, ..Alteration::default() };
        self.effect(Effect::AlterTable { name, lenient: false, alteration });
    }

    /// RENAME TABLE a TO b, ...: named after the first pair's new name.
    fn rename(&mut self) {
        if !self.cursor.accept_any(&["table", "tables"]) {
            return;
        }
        self.reading.renames_temporary = self.dialect.is_mariadb();
        let lenient = self.cursor.accept(&["if", "exists"]);
        while let Some(from) = self.table_name() {
            if self.cursor.accept(&["wait"]) {
                self.cursor.next();
            }
            self.cursor.accept(&["nowait"]);
            if !self.cursor.accept(&["to"]) {
                break;
            }
            let Some(to) = self.table_name() else { break };
            self.publish(StatementKind::Rename, &to);
            self.concern(&to);
            self.concern(&from);
            self.effect(Effect::RenameTable { from, to, lenient });
            if !self.cursor.accept_symbol(',') {
                break;
            }
        }
    }

    fn truncate(&mut self) {
        self.cursor.accept(&["table"]);
        if let Some(name) = self.table_name() {
            self.publish(StatementKind::Truncate, &name);
            self.concern(&name);
        }
    }

    /// DML in statement format: the first table it names.
    fn rows(&mut self, kind: StatementKind, before_name: &[&str]) {
        let options = ["low_priority", "delayed", "high_priority", "quick", "ignore"];
        while self.cursor.accept_any(&options) {}
        self.cursor.accept_any(before_name);
        self.rows_of(kind);
        if matches!(kind, StatementKind::Update | StatementKind::Delete) {
            self.other_tables();
        }
    }

    /// `a, b` and `a JOIN b` in front of SET, FROM or USING.
    fn other_tables(&mut self) {
        let ends = ["set", "from", "using", "where"];
        while self.cursor.peek().is_some() && !ends.iter().any(|end| self.cursor.is_word(end)) {
            if self.cursor.accept_symbol(',') || self.cursor.accept_any(&["join", "straight_join"])
            {
                let name = self.table_name(); // a subquery has none
                self.reading.others.extend(name);
            } else {
                self.cursor.skip_one();
            }
        }
    }

    /// LOAD DATA or XML ... INTO TABLE name.
    fn load(&mut self) {
        while self.cursor.peek().is_some() && !self.cursor.is_word("into") {
            self.cursor.next();
        }
        self.cursor.accept(&["into", "table"]);
        self.rows_of(StatementKind::Insert);
    }

    fn rows_of(&mut self, kind: StatementKind) {
        let name = self.table_name();
        let (schema, table) = name.as_ref().map_or_else(
            || (self.schema.to_owned(), String::new()),
            |name| (name.schema.to_string(), name.table.to_string()),
        );
        self.reading.message = Some(Message { kind, is_ddl: false, schema, table });
        self.reading.tables.extend(name);
    }
}
