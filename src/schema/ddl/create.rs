//! CREATE: tables, indexes, databases, and what takes the name of a table.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use crate::change::{StatementKind, TableName};

use super::Reader;
use super::column::{charset, choose, column};
use super::effect::{
    Alteration, Body, CharsetChoice, ColumnText, Effect, TableOptions, TemporaryTable, Versioning,
};
use super::key::{Key, PrimaryKey, key};
use super::token::Token;

/// The table that a sequence of MariaDB is (`sequence_structure`, sql/sql_sequence.cc).
const SEQUENCE: &str = "CREATE TABLE sequence (next_not_cached_value BIGINT(21), \
    minimum_value BIGINT(21), maximum_value BIGINT(21), start_value BIGINT(21), \
    increment BIGINT(21), cache_size BIGINT(21) UNSIGNED, cycle_option TINYINT(1) UNSIGNED, \
    cycle_count BIGINT(21))";

/// Whether its character set is the table's.
fn takes_default(column: &ColumnText) -> bool {
    column.data_type.charset == CharsetChoice::Unsaid && column.data_type.base.has_charset()
}

/// Words that may stand between CREATE and what is created.
const MODIFIERS: &[&str] =
    &["unique", "fulltext", "spatial", "vector", "online", "offline", "external", "undo"];

/// In place of the engine that a statement names, where the server takes its default for one
/// that it does not offer.
const SUBSTITUTED: &str = "?";

/// Why a table with that clause is not read by its text.
pub(super) const SYSTEM_PERIOD: &str = "PERIOD FOR SYSTEM_TIME changes the key";

impl Reader<'_> {
    pub(super) fn create(&mut self) {
        let replaces = self.cursor.accept(&["or", "replace"]);
        self.reading.replaces = replaces;
        if self.cursor.accept(&["temporary"]) {
            return self.create_temporary();
        }
        let is_unique = self.cursor.is_word("unique");
        while self.cursor.accept_any(MODIFIERS) {}
        if self.cursor.accept(&["table"]) {
            self.create_table();
        } else if self.cursor.accept(&["index"]) {
            self.create_index(is_unique);
        } else if self.cursor.accept_any(&["database", "schema"]) {
            self.create_database(replaces);
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
            let why = "a sequence of another type than BIGINT".to_owned();
            return self.effect(Effect::Stale { name, why });
        }
        let columns = super::read(SEQUENCE, "", self.dialect).effects.pop();
        if let Some(Effect::CreateTable { body, .. }) = columns {
            self.effect(Effect::CreateTable { name, keep, body });
        }
    }

    /// With OR REPLACE the tables of the old one are dropped, and no other statement says so
    /// (MariaDB: `mysql_create_db_internal`, sql/sql_db.cc).
    fn create_database(&mut self, replaces: bool) {
        let keep = self.cursor.accept(&["if", "not", "exists"]);
        let Some(name) = self.cursor.name() else { return };
        self.publish_database(&name);
        let charset = self.database_charset();
        if replaces {
            self.effect(Effect::DropDatabase { name: name.clone() });
        }
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

    /// Only MariaDB's unique ones may change what rows have.
    fn create_index(&mut self, is_unique: bool) {
        self.cursor.accept(&["if", "not", "exists"]);
        while self.cursor.peek().is_some() && !self.cursor.is_word("on") {
            self.cursor.next();
        }
        self.cursor.next();
        if let Some(name) = self.table_name() {
            self.publish(StatementKind::CreateIndex, &name);
            self.concern(&name);
            if is_unique && self.dialect.is_mariadb() {
                let alteration = Alteration { uniques: 1, ..Alteration::default() };
                self.effect(Effect::AlterTable { name, lenient: false, alteration });
            }
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
        let like = |name: Option<TableName>| {
            name.map_or_else(|| Body::Unknown("LIKE no table".to_owned()), Body::Like)
        };
        if self.cursor.accept(&["like"]) {
            return like(self.table_name());
        }
        let from_query = || Body::Unknown("its columns come from a query".to_owned());
        if !self.cursor.accept_symbol('(') {
            return from_query();
        }
        if self.cursor.accept(&["like"]) {
            return like(self.table_name());
        }
        let (columns, primary_key, uniques) = match self.elements() {
            Ok(elements) => elements,
            Err(why) => return Body::Unknown(why),
        };
        match self.table_options() {
            Some(_) if self.is_show_form && self.has_doubled_backslashes(&columns) => Body::Unknown(
                "in sql_mode NO_BACKSLASH_ESCAPES a server doubles the backslashes of its own text"
                    .to_owned(),
            ),
            Some(options) if self.lacks_charset(&options) && columns.iter().any(takes_default) => {
                Body::Unknown("in this sql_mode its text lacks its character set".to_owned())
            }
            Some(mut options) => {
                // Columns that are added later take it.
                if self.lacks_charset(&options) {
                    options.charset = CharsetChoice::Unknown;
                }
                if columns.iter().any(|column| column.versioning == Versioning::Hidden) {
                    options.versioning = Versioning::Hidden;
                }
                Body::Columns { columns, primary_key, uniques, options }
            }
            None => from_query(),
        }
    }

    /// Whether it is a server's own text, without the character set that the table has.
    fn lacks_charset(&self, options: &TableOptions) -> bool {
        self.is_show_form
            && self.dialect.show_create_lacks_charset()
            && options.charset == CharsetChoice::Unsaid
    }

    /// Whether some label may have more backslashes, or other letters, than the table's
    /// (`append_unescaped`, sql/sql_show.cc: it takes no notice of the mode).
    fn has_doubled_backslashes(&self, columns: &[ColumnText]) -> bool {
        let mut labels = columns.iter().flat_map(|column| &column.data_type.labels);
        !self.dialect.escapes() && labels.any(|label| label.contains('\\'))
    }

    /// The list in parentheses, up to and with the closing one: columns, primary key, how many
    /// other unique keys; or what of it is not understood.
    fn elements(&mut self) -> Result<(Vec<ColumnText>, Vec<String>, u32), String> {
        let mut columns = Vec::new();
        let mut primary_key = PrimaryKey::default();
        let mut periods = Vec::new();
        let mut uniques = 0;
        loop {
            match key(&mut self.cursor) {
                Some(Key::Primary(key)) => primary_key = key,
                Some(Key::Period(period)) => periods.push(period),
                Some(Key::Unique) => uniques += 1,
                Some(Key::Index | Key::Constraint) => {}
                // Its columns become part of the key by rules of the server's own.
                Some(Key::SystemPeriod) => return Err(SYSTEM_PERIOD.to_owned()),
                None => {
                    let (column, _) = column(&mut self.cursor, self.dialect)?;
                    if column.is_key {
                        primary_key.columns = vec![column.name.clone()];
                    }
                    uniques += column.uniques;
                    columns.push(column);
                }
            }
            if self.cursor.accept_symbol(')') {
                return Ok((columns, primary_key.resolve(&periods)?, uniques));
            }
            if !self.cursor.accept_symbol(',') {
                return Err(format!("`{}` is not understood", self.cursor.clause_text()));
            }
        }
    }

    /// What follows the list. `None`: more columns come from a query.
    fn table_options(&mut self) -> Option<TableOptions> {
        let mut options = TableOptions::default();
        loop {
            while self.cursor.accept(&["with", "system", "versioning"]) {
                options.versioning = Versioning::Hidden;
            }
            let Some(token) = self.cursor.peek() else { return Some(options) };
            let more_columns = match token {
                Token::Word(word) => ["as", "select", "values", "table", "with"]
                    .iter()
                    .any(|source| word.eq_ignore_ascii_case(source)),
                Token::Symbol('(') => {
                    self.cursor.is_word_at(1, "select") || self.cursor.is_symbol_at(1, '(')
                }
                Token::Quoted(_) | Token::Text(_) | Token::Bits(_) | Token::Symbol(_) => false,
            };
            if more_columns {
                return None;
            }
            if let Some(choice) = charset(&mut self.cursor) {
                choose(&mut options.charset, choice);
            } else if let Some(engine) = self.engine() {
                options.engine = Some(engine);
            } else if self.cursor.accept(&["partition", "by"]) {
                options.partitioned = true;
                self.partitioning();
            } else {
                self.cursor.skip_one();
            }
        }
    }

    /// ENGINE = name, [`SUBSTITUTED`] if the server may have taken another.
    pub(super) fn engine(&mut self) -> Option<String> {
        if !self.cursor.accept_any(&["engine", "type"]) {
            return None;
        }
        self.cursor.accept_symbol('=');
        let name = self.cursor.name_or_text().unwrap_or_default().to_ascii_lowercase();
        let name = match name.as_str() {
            "heap" => "memory",
            "merge" => "mrg_myisam",
            "innobase" => "innodb",
            "ndb" => "ndbcluster",
            other => other,
        };
        let is_certain = name == "innodb" || self.dialect.takes_engine_literally();
        Some(if is_certain { name.to_owned() } else { SUBSTITUTED.to_owned() })
    }

    /// Steps over what follows PARTITION BY, up to the definitions of partitions and with them:
    /// only there and behind them a parenthesis may begin something else.
    fn partitioning(&mut self) {
        while !self.cursor.skip_group() && self.cursor.peek().is_some() {
            self.cursor.next();
        }
    }

    /// Names a table that something other than this statement's own changes.
    pub(super) fn also_concerns(&mut self, name: Option<TableName>) {
        if let Some(name) = name {
            self.concern(&name);
        }
    }
}
