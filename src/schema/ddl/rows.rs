//! Changes of rows in statement format: which tables they change.
//!
//! A table that is only read is none of them, so that a change of others is not taken for one of it;
//! where the text does not say which of several a column is of, all count.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::Reader;
use super::effect::Message;
use super::token::Token;
use crate::change::{StatementKind, TableName};

/// Words that may stand between the verb and the table.
const OPTIONS: &[&str] = &["low_priority", "delayed", "high_priority", "quick", "ignore"];

/// What may follow a table, and so is no alias of it.
const NO_ALIAS: &[&str] = &[
    "cross",
    "for",
    "force",
    "from",
    "ignore",
    "inner",
    "join",
    "left",
    "limit",
    "natural",
    "on",
    "order",
    "outer",
    "partition",
    "returning",
    "right",
    "set",
    "straight_join",
    "use",
    "using",
    "where",
];

/// A table that a statement joins, and what it calls it.
struct Joined {
    /// None of a subquery.
    table: Option<TableName>,
    alias: Option<String>,
}

impl Joined {
    /// Whether `name`, behind a database or not, means this one.
    fn is_called(&self, schema: Option<&str>, name: &str) -> bool {
        let same = |one: &str| one.eq_ignore_ascii_case(name);
        match (&self.alias, &self.table) {
            (Some(alias), _) => schema.is_none() && same(alias),
            (None, Some(table)) => {
                same(&table.table)
                    && schema.is_none_or(|schema| table.schema.eq_ignore_ascii_case(schema))
            }
            (None, None) => false,
        }
    }
}

impl Reader<'_> {
    pub(super) fn insert(&mut self) {
        while self.cursor.accept_any(OPTIONS) {}
        self.cursor.accept(&["into"]);
        let name = self.table_name();
        self.change_rows(StatementKind::Insert, name.into_iter().collect());
    }

    /// LOAD DATA or XML ... INTO TABLE name.
    pub(super) fn load(&mut self) {
        while self.cursor.peek().is_some() && !self.cursor.is_word("into") {
            self.cursor.next();
        }
        self.cursor.accept(&["into", "table"]);
        let name = self.table_name();
        self.change_rows(StatementKind::Insert, name.into_iter().collect());
    }

    /// UPDATE a JOIN b SET b.x = ..
    pub(super) fn update(&mut self) {
        while self.cursor.accept_any(OPTIONS) {}
        let joined = self.joined(&["set"]);
        self.cursor.accept(&["set"]);
        let mut changed = Vec::new();
        let ends = ["where", "order", "limit", "returning"];
        while self.cursor.peek().is_some() && !ends.iter().any(|end| self.cursor.is_word(end)) {
            let column = self.path();
            let of = match &column[..] {
                [schema, table, _] => Some((Some(schema.as_str()), table)),
                [table, _] => Some((None, table)),
                _ => None,
            };
            add(&mut changed, &joined, of.map(|(schema, table)| (schema, table.as_str())));
            while self.cursor.peek().is_some()
                && !self.cursor.is_symbol(',')
                && !ends.iter().any(|end| self.cursor.is_word(end))
            {
                self.cursor.skip_one();
            }
            self.cursor.accept_symbol(',');
        }
        self.change_rows(StatementKind::Update, changed);
    }

    /// DELETE FROM a, DELETE a FROM a JOIN b, DELETE FROM a USING a JOIN b.
    pub(super) fn delete(&mut self) {
        while self.cursor.accept_any(OPTIONS) {}
        let is_from = self.cursor.accept(&["from"]);
        let mut targets = Vec::new();
        loop {
            let mut target = self.path();
            target.retain(|part| part != "*");
            targets.push(target);
            if !self.cursor.accept_symbol(',') {
                break;
            }
        }
        let is_of_several =
            if is_from { self.cursor.accept(&["using"]) } else { self.cursor.accept(&["from"]) };
        let joined = if is_of_several { self.joined(&["where"]) } else { Vec::new() };
        let mut changed = Vec::new();
        for target in &targets {
            let (schema, table) = match &target[..] {
                [schema, table] => (Some(schema.as_str()), table),
                [table] => (None, table),
                _ => continue,
            };
            if joined.iter().any(|one| one.is_called(schema, table)) {
                add(&mut changed, &joined, Some((schema, table)));
            } else {
                let name = TableName::new(schema.unwrap_or(self.schema), table.as_str());
                if !changed.contains(&name) {
                    changed.push(name);
                }
            }
        }
        self.change_rows(StatementKind::Delete, changed);
    }

    /// SELECT and DO are logged as statements where a function that they invoke changes rows, which
    /// its own statements do not show (`sp_head::execute_function`, sql/sp_head.cc).
    pub(super) fn invoke(&mut self) {
        let function = self.path();
        let schema = match &function[..] {
            [schema, _] => schema.clone(),
            _ => self.schema.to_owned(),
        };
        let (kind, table) = (StatementKind::Query, String::new());
        self.reading.message = Some(Message { kind, is_ddl: false, schema, table });
    }

    /// `a`, `a.b`, `a.b.c`, with `*` for the last.
    fn path(&mut self) -> Vec<String> {
        let mut path = Vec::new();
        self.cursor.accept_symbol('.');
        while let Some(name) = self.cursor.name() {
            path.push(name);
            if !self.cursor.accept_symbol('.') || self.cursor.accept_symbol('*') {
                break;
            }
        }
        path
    }

    /// Tables with commas and JOINs between them, up to one of these words.
    fn joined(&mut self, ends: &[&str]) -> Vec<Joined> {
        let mut joined = Vec::new();
        let mut is_next = true;
        while self.cursor.peek().is_some() && !ends.iter().any(|end| self.cursor.is_word(end)) {
            if is_next && self.cursor.is_symbol('(') {
                if ["select", "with", "values"].iter().any(|verb| self.cursor.is_word_at(1, verb)) {
                    self.cursor.skip_group();
                    joined.push(Joined { table: None, alias: self.alias() });
                    is_next = false;
                } else {
                    // Several in parentheses.
                    self.cursor.next();
                }
            } else if is_next {
                is_next = false;
                // `{OJ a LEFT JOIN b ..}`
                self.cursor.accept_symbol('{');
                self.cursor.accept(&["oj"]);
                let table = self.table_name();
                if self.cursor.accept(&["partition"]) {
                    self.cursor.skip_group();
                }
                let alias = self.alias();
                if table.is_some() {
                    joined.push(Joined { table, alias });
                } else {
                    self.cursor.skip_one();
                }
            } else if self.cursor.accept_symbol(',')
                || self.cursor.accept_any(&["join", "straight_join"])
            {
                is_next = true;
            } else {
                self.cursor.skip_one();
            }
        }
        joined
    }

    fn alias(&mut self) -> Option<String> {
        let is_said = self.cursor.accept(&["as"]);
        match self.cursor.peek() {
            Some(Token::Word(word))
                if is_said || !NO_ALIAS.iter().any(|no| no.eq_ignore_ascii_case(word)) =>
            {
                self.cursor.name()
            }
            Some(Token::Quoted(_)) => self.cursor.name(),
            Some(Token::Word(_) | Token::Text(_) | Token::Bits(_) | Token::Symbol(_)) | None => {
                None
            }
        }
    }

    /// It is named after the first table that it changes.
    fn change_rows(&mut self, kind: StatementKind, changed: Vec<TableName>) {
        let (schema, table) = changed.first().map_or_else(
            || (self.schema.to_owned(), String::new()),
            |name| (name.schema.to_string(), name.table.to_string()),
        );
        self.reading.message = Some(Message { kind, is_ddl: false, schema, table });
        self.reading.others = changed.iter().skip(1).cloned().collect();
        self.reading.tables.extend(changed);
    }
}

/// Adds the table that is called so; all of them where none is, or nothing says which.
fn add(changed: &mut Vec<TableName>, joined: &[Joined], called: Option<(Option<&str>, &str)>) {
    let is_it = |one: &&Joined| called.is_some_and(|(schema, name)| one.is_called(schema, name));
    let found: Vec<_> = joined.iter().filter(is_it).collect();
    let all = if found.is_empty() { joined.iter().collect() } else { found };
    for table in all.into_iter().filter_map(|one| one.table.as_ref()) {
        if !changed.contains(table) {
            changed.push(table.clone());
        }
    }
}
