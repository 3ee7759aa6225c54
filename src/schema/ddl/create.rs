//! CREATE: tables, indexes, databases, and what takes the name of a table.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use crate::change::{StatementKind, TableName};

use super::Reader;
use super::column::{charset, choose, column};
use super::effect::{Body, CharsetChoice, ColumnText, Effect};
use super::key::{Key, key};
use super::token::Token;

/// Words that may stand between CREATE and what is created.
const MODIFIERS: &[&str] =
    &["unique", "fulltext", "spatial", "vector", "online", "offline", "external", "undo"];

impl Reader<'_> {
    pub(super) fn create(&mut self) {
        self.cursor.accept(&["or", "replace"]);
        if self.cursor.accept(&["temporary"]) {
            return;
        }
        while self.cursor.accept_any(MODIFIERS) {}
        if self.cursor.accept(&["table"]) {
            self.create_table();
        } else if self.cursor.accept(&["index"]) {
            self.create_index();
        } else if self.cursor.accept_any(&["database", "schema"]) {
            self.create_database();
        } else if self.cursor.accept(&["sequence"]) {
            // MariaDB: a table of fixed columns, whose one row changes are logged.
            self.cursor.accept(&["if", "not", "exists"]);
            if let Some(name) = self.table_name() {
                self.effect(Effect::Stale { name });
            }
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
            Some(charset) => Body::Columns { columns, primary_key, charset },
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

    /// What follows the list. `None`: more columns come from a query or versioning.
    fn table_options(&mut self) -> Option<CharsetChoice> {
        let mut chosen = CharsetChoice::Unsaid;
        while let Some(token) = self.cursor.peek() {
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
        Some(chosen)
    }

    /// Names a table that something other than this statement's own changes.
    pub(super) fn also_concerns(&mut self, name: Option<TableName>) {
        if let Some(name) = name {
            self.concern(&name);
        }
    }
}
