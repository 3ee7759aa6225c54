//! CREATE: tables, indexes, databases, and what takes the name of a table.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use crate::change::{StatementKind, TableName};

use super::Reader;
use super::column::{charset, choose, column};
use super::effect::{Body, CharsetChoice, ColumnText, Effect, TemporaryTable, Versioning};
use super::key::{Key, key};
use super::token::Token;

/// The table that a sequence of MariaDB is (`sequence_structure`, sql/sql_sequence.cc).
const SEQUENCE: &str = "CREATE TABLE sequence (next_not_cached_value BIGINT(21), \
    minimum_value BIGINT(21), maximum_value BIGINT(21), start_value BIGINT(21), \
    increment BIGINT(21), cache_size BIGINT(21) UNSIGNED, cycle_option TINYINT(1) UNSIGNED, \
    cycle_count BIGINT(21))";

/// Words that may stand between CREATE and what is created.
const MODIFIERS: &[&str] =
    &["unique", "fulltext", "spatial", "vector", "online", "offline", "external", "undo"];

impl Reader<'_> {
    pub(super) fn create(&mut self) {
        self.cursor.accept(&["or", "replace"]);
        if self.cursor.accept(&["temporary"]) {
            return self.create_temporary();
        }
        while self.cursor.accept_any(MODIFIERS) {}
        if self.cursor.accept(&["table"]) {
            self.create_table();
        } else if self.cursor.accept(&["index"]) {
            self.create_index();
        } else if self.cursor.accept_any(&["database", "schema"]) {
            self.create_database();
        } else if self.cursor.accept(&["sequence"]) {
            self.create_sequence();
        }
    }

    /// A table that only its session sees.
    fn create_temporary(&mut self) {
        if self.cursor.accept_any(&["table", "sequence"]) {
            self.cursor.accept(&["if", "not", "exists"]);
            let name = self.table_name();
            self.reading.temporary.extend(name.map(TemporaryTable::Made));
        }
    }

    /// A table of one row, whose changes are logged.
    fn create_sequence(&mut self) {
        let keep = self.cursor.accept(&["if", "not", "exists"]);
        let Some(name) = self.table_name() else { return };
        if self.cursor.is_word("as") {
            return self.effect(Effect::Stale { name }); // of another type than BIGINT
        }
        let columns = super::read(SEQUENCE, "", self.dialect).effects.pop();
        if let Some(Effect::CreateTable { body, .. }) = columns {
            self.effect(Effect::CreateTable { name, keep, body });
        }
    }

    fn create_database(&mut self) {
        let keep = self.cursor.accept(&["if", "not", "exists"]);
        let Some(name) = self.cursor.name() else { return };
        self.publish_database(&name);
        let charset = self.database_charset();
        self.effect(Effect::CreateDatabase { name, charset, keep });
    }

    /// The options of CREATE or ALTER DATABASE.
    pub(super) fn database_charset(&mut self) -> CharsetChoice {
        let mut chosen = CharsetChoice::Unsaid;
        while self.cursor.peek().is_some() {
            match charset(&mut self.cursor) {
                Some(choice) => choose(&mut chosen, choice),
                None => self.cursor.skip_one(),
            }
        }
        chosen
    }

    fn create_index(&mut self) {
        self.cursor.accept(&["if", "not", "exists"]);
        while self.cursor.peek().is_some() && !self.cursor.is_word("on") {
            self.cursor.next();
        }
        self.cursor.next();
        if let Some(name) = self.table_name() {
            self.publish(StatementKind::CreateIndex, &name);
            self.concern(&name);
        }
    }

    fn create_table(&mut self) {
        let keep = self.cursor.accept(&["if", "not", "exists"]);
        let Some(name) = self.table_name() else { return };
        self.publish(StatementKind::Create, &name);
        self.concern(&name);
        let body = self.body();
        self.effect(Effect::CreateTable { name, keep, body });
    }

    fn body(&mut self) -> Body {
        if self.cursor.accept(&["like"]) {
            return self.table_name().map_or(Body::Unknown, Body::Like);
        }
        if !self.cursor.accept_symbol('(') {
            return Body::Unknown;
        }
        if self.cursor.accept(&["like"]) {
            return self.table_name().map_or(Body::Unknown, Body::Like);
        }
        let Some((columns, primary_key)) = self.elements() else { return Body::Unknown };
        match self.table_options() {
            Some((charset, versioning)) => {
                Body::Columns { columns, primary_key, charset, versioning }
            }
            None => Body::Unknown,
        }
    }

    /// The list in parentheses, up to and with the closing one.
    fn elements(&mut self) -> Option<(Vec<ColumnText>, Vec<String>)> {
        let mut columns = Vec::new();
        let mut primary_key = Vec::new();
        loop {
            match key(&mut self.cursor) {
                Some(Key::Primary(names)) => primary_key = names,
                Some(Key::Index | Key::Constraint) => {}
                // Its columns become part of the key by rules of the server's own.
                Some(Key::SystemPeriod) => return None,
                None => {
                    let (column, _) = column(&mut self.cursor, self.dialect)?;
                    if column.is_key {
                        primary_key = vec![column.name.clone()];
                    }
                    columns.push(column);
                }
            }
            if self.cursor.accept_symbol(')') {
                return Some((columns, primary_key));
            }
            if !self.cursor.accept_symbol(',') {
                return None;
            }
        }
    }

    /// What follows the list. `None`: more columns come from a query.
    fn table_options(&mut self) -> Option<(CharsetChoice, Versioning)> {
        let mut chosen = CharsetChoice::Unsaid;
        let mut versioning = Versioning::Visible;
        loop {
            if self.cursor.accept(&["with", "system", "versioning"]) {
                versioning = Versioning::Hidden;
            }
            let Some(token) = self.cursor.peek() else { return Some((chosen, versioning)) };
            let more_columns = match token {
                Token::Word(word) => ["as", "select", "values", "table", "with"]
                    .iter()
                    .any(|source| word.eq_ignore_ascii_case(source)),
                Token::Symbol('(') => self.cursor.is_word_at(1, "select"),
                Token::Quoted(_) | Token::Text(_) | Token::Bits | Token::Symbol(_) => false,
            };
            if more_columns {
                return None;
            }
            match charset(&mut self.cursor) {
                Some(choice) => choose(&mut chosen, choice),
                None => self.cursor.skip_one(),
            }
        }
    }

    /// Names a table that something other than this statement's own changes.
    pub(super) fn also_concerns(&mut self, name: Option<TableName>) {
        if let Some(name) = name {
            self.concern(&name);
        }
    }
}
