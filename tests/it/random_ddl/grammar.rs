//! Random statements that change tables: what is in them, and how their text is spelt.
//!
//! In: a repeatable source of choices, and the tables as the server has them. Out: the text of
//! one statement, which the server may refuse: nobody here judges it. Blanks, comments of all
//! kinds, executed ones among them, and quotes come between and around the words at random.

mod clauses;

use std::collections::BTreeMap;

use sluice::change::TableName;
use sluice::schema::Definition;

use super::types::{self, DEFAULTS};
use crate::harness::Random;
use crate::harness::servers::Flavor;

/// The databases it works in; the second comes and goes.
pub(super) const DATABASES: [&str; 2] = ["ddl_a", "ddl b.`x"];

const TABLES: &[&str] =
    &["t1", "t2", "t3", "t4", "T1", "a.b", "t`q", "表", "order", "t t", "a\"b", "check", "--x"];

const COLUMNS: &[&str] = &[
    "id",
    "a",
    "b",
    "c",
    "d",
    "val",
    "A",
    "comment",
    "first",
    "after",
    "date",
    "time",
    "type",
    "data",
    "status",
    "engine",
    "year",
    "text",
    "no",
    "value",
    "action",
    "visible",
    "invisible",
    "period",
    "versioning",
    "sequence",
    "timestamp",
    "enum",
    "bit",
    "json",
    "point",
    "start",
    "storage",
    "a b",
    "a.b",
    "a`b",
    "a\"b",
    "a,b",
    "a)b",
    "列",
    "ä",
    "it's",
    "a/*b",
    "#x",
    "primary",
    "key",
    "add",
    "table",
    "select",
    "my_row_id",
    "MY_ROW_ID",
    "1a",
    "$x",
    " x",
    "t1",
    "t2",
    "column",
    "index",
    "default",
    "charset",
    "ascii",
    "unsigned",
    "t3",
    "serial",
    "with",
    "partition",
    "to",
];

/// What is needed to write a statement.
pub(super) struct Grammar<'a> {
    pub(super) random: &'a mut Random,
    pub(super) flavor: Flavor,
    /// The session's `sql_mode`.
    pub(super) sql_mode: &'a str,
    /// The session's default database.
    pub(super) database: &'a str,
    pub(super) tables: &'a BTreeMap<TableName, Definition>,
}

/// The words of a statement, in order.
pub(super) type Words = Vec<String>;

pub(super) fn words(text: &str) -> Words {
    text.split(' ').map(str::to_owned).collect()
}

impl Grammar<'_> {
    /// One statement, as a client might send it.
    pub(super) fn statement(&mut self) -> String {
        let words = match self.random.below(100) {
            _ if self.tables.len() < 3 => self.create(),
            0..18 => self.create(),
            18..68 => self.alter(),
            68..73 => self.create_like(),
            73..76 => self.create_select(),
            76..83 => self.rename(),
            83..88 => self.drop(),
            88..90 => self.index(),
            90..92 => self.truncate(),
            92..96 => self.database_statement(),
            96..98 => self.exchange(),
            _ => self.other(),
        };
        self.spell(&words)
    }

    pub(super) fn is_mariadb(&self) -> bool {
        self.flavor == Flavor::MariaDb
    }

    /// By itself, or by a mode that stands for others.
    pub(super) fn has_ansi_quotes(&self) -> bool {
        ["ANSI", "ORACLE", "MAXDB", "POSTGRESQL", "MSSQL"]
            .iter()
            .any(|mode| self.sql_mode.contains(mode))
    }

    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.random.once_in(times)
    }

    pub(super) fn pick(&mut self, from: &[&str]) -> String {
        (*self.random.pick(from)).to_owned()
    }

    /// Quoted if it must be, and sometimes if not.
    pub(super) fn name(&mut self, name: &str) -> String {
        let plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
            || name == "表"
            || name == "列"
            || name == "ä";
        let ansi = self.has_ansi_quotes();
        if plain && !self.once_in(3) {
            name.to_owned()
        } else if ansi && self.once_in(2) {
            format!("\"{}\"", name.replace('"', "\"\""))
        } else {
            format!("`{}`", name.replace('`', "``"))
        }
    }

    fn qualified(&mut self, name: &TableName) -> Words {
        let table = self.name(&name.table);
        if *name.schema == *self.database && !self.once_in(4) {
            return vec![table];
        }
        vec![self.name(&name.schema), ".".to_owned(), table]
    }

    fn any_table(&mut self) -> TableName {
        let database = if self.once_in(4) { DATABASES[1] } else { DATABASES[0] };
        TableName::new(database, *self.random.pick(TABLES))
    }

    /// A table that is there, mostly.
    fn table(&mut self) -> TableName {
        let all: Vec<_> = self.tables.keys().cloned().collect();
        if all.is_empty() || self.once_in(30) {
            return self.any_table();
        }
        self.random.pick(&all).clone()
    }

    pub(super) fn new_column(&mut self) -> String {
        (*self.random.pick(COLUMNS)).to_owned()
    }

    fn column_of(&mut self, table: &TableName) -> String {
        match self.tables.get(table) {
            Some(definition) if !definition.columns.is_empty() && !self.once_in(40) => {
                self.random.pick(&definition.columns).name.clone()
            }
            _ => self.new_column(),
        }
    }

    /// A column's name where MariaDB takes its table's before it.
    fn field(&mut self, table: &TableName, column: &str) -> Words {
        let name = self.name(column);
        if !self.is_mariadb() || !self.once_in(6) {
            return vec![name];
        }
        let own = self.name(&table.table);
        match self.random.below(3) {
            0 => vec![".".to_owned(), name],
            1 => vec![own, ".".to_owned(), name],
            _ => {
                let schema = self.name(&table.schema);
                vec![schema, ".".to_owned(), own, ".".to_owned(), name]
            }
        }
    }

    fn if_not_exists(&mut self, text: &mut Words, times: u64) {
        if self.once_in(times) {
            text.extend(words("IF NOT EXISTS"));
        }
    }

    fn if_exists(&mut self, text: &mut Words) {
        if self.is_mariadb() && self.once_in(4) {
            text.extend(words("IF EXISTS"));
        }
    }

    fn create(&mut self) -> Words {
        let mut text = words("CREATE");
        let replaces = self.is_mariadb() && self.once_in(6);
        if replaces {
            text.extend(words("OR REPLACE"));
        }
        text.push("TABLE".to_owned());
        if !replaces {
            self.if_not_exists(&mut text, 4);
        }
        let table = self.any_table();
        text.extend(self.qualified(&table));
        text.push("(".to_owned());
        let mut columns: Vec<String> = Vec::new();
        let has_key = self.once_in(2);
        for place in 0..=self.random.below(6) {
            let column = self.new_column();
            if columns.iter().any(|one| one.to_lowercase() == column.to_lowercase()) {
                continue;
            }
            if place > 0 {
                text.push(",".to_owned());
            }
            text.extend(self.field(&table, &column));
            if place == 0 && has_key {
                text.extend(types::key_column(self));
            } else {
                text.extend(types::column(self, false));
            }
            columns.push(column);
        }
        if self.once_in(5) {
            text.push(",".to_owned());
            let column = self.random.pick(&columns).clone();
            text.extend(self.key(&column, !has_key));
        }
        let has_key = has_key || text.iter().any(|word| word == "PRIMARY");
        if self.is_mariadb() && self.once_in(12) {
            text.extend(self.period(!has_key));
        }
        text.push(")".to_owned());
        text.extend(self.table_options(true));
        if self.once_in(8) {
            let first = columns[0].clone();
            text.extend(self.partition_by(&first));
        }
        text
    }

    /// A period of two columns, and sometimes a key that may not overlap in it.
    fn period(&mut self, may_be_primary: bool) -> Words {
        let mut text = words(", s DATE , e DATE , PERIOD FOR p ( s , e )");
        let key = if may_be_primary { "PRIMARY KEY" } else { "UNIQUE" };
        match self.random.below(3) {
            0 => text.extend(words(&format!(", {key} ( s2 , p WITHOUT OVERLAPS ) , s2 INT"))),
            1 => {
                let first = words(&format!(", s2 INT , {key} ( s2 , p WITHOUT OVERLAPS )"));
                text.splice(0..0, first);
            }
            _ => {}
        }
        text
    }

    fn key(&mut self, column: &str, may_be_primary: bool) -> Words {
        let mut text = Words::new();
        if self.once_in(4) {
            text.push("CONSTRAINT".to_owned());
            if self.once_in(2) {
                text.push(self.name("key 1"));
            }
            text.extend(words(if may_be_primary { "PRIMARY KEY" } else { "UNIQUE KEY" }));
        } else if may_be_primary && self.once_in(2) {
            text.extend(words("PRIMARY KEY"));
            if self.is_mariadb() {
                self.if_not_exists(&mut text, 3);
            }
        } else {
            text.push(self.pick(&["INDEX", "KEY", "UNIQUE", "UNIQUE INDEX"]));
            if self.is_mariadb() {
                self.if_not_exists(&mut text, 4);
            }
            if self.once_in(2) {
                text.push(self.name("i"));
            }
        }
        text.extend(["(".to_owned(), self.name(column), ")".to_owned()]);
        text
    }

    fn table_options(&mut self, with_versioning: bool) -> Words {
        let mut text = Words::new();
        for _ in 0..self.random.below(3) {
            if !text.is_empty() && self.once_in(3) {
                text.push(",".to_owned());
            }
            let charset = self.pick(DEFAULTS);
            let set = self.set_words();
            let option = match self.random.below(11) {
                0 => "ENGINE = InnoDB".to_owned(),
                1 => format!("ENGINE {}", self.pick(&["MyISAM", "MEMORY", "InnoDB", "'innodb'"])),
                2 => format!("DEFAULT CHARSET = {charset}"),
                3 => format!("{set} {charset}"),
                7 if self.is_mariadb() => format!("{set} = {charset} COLLATE = DEFAULT"),
                8 => format!("DEFAULT {set} = {charset} COLLATE {}", types::collation(&charset)),
                9 if self.is_mariadb() => "COLLATE = DEFAULT".to_owned(),
                4 => format!("COLLATE = {}", types::collation(&charset)),
                5 => "ROW_FORMAT = DYNAMIC".to_owned(),
                6 if with_versioning && self.is_mariadb() => "WITH SYSTEM VERSIONING".to_owned(),
                _ => {
                    text.push("COMMENT".to_owned());
                    text.push(types::odd_text(self));
                    continue;
                }
            };
            text.extend(words(&option));
        }
        text
    }

    /// How CHARACTER SET may be spelt.
    pub(super) fn set_words(&mut self) -> String {
        self.pick(&["CHARACTER SET", "CHARSET", "CHAR SET"])
    }

    fn partition_by(&mut self, column: &str) -> Words {
        let name = self.name(column);
        match self.random.below(3) {
            0 => words(&format!("PARTITION BY HASH ( {name} ) PARTITIONS 2")),
            1 => words(&format!("PARTITION BY KEY ( {name} ) PARTITIONS 3")),
            _ => words(&format!(
                "PARTITION BY RANGE ( {name} ) ( PARTITION p0 VALUES LESS THAN (10) , PARTITION p1 VALUES LESS THAN MAXVALUE )"
            )),
        }
    }

    fn alter(&mut self) -> Words {
        let table = self.table();
        let mut text = words("ALTER");
        if self.is_mariadb() && self.once_in(8) {
            text.push(self.pick(&["ONLINE", "IGNORE"]));
        }
        text.push("TABLE".to_owned());
        self.if_exists(&mut text);
        text.extend(self.qualified(&table));
        let count = [1, 1, 1, 2, 2, 3][self.random.place(6)];
        for place in 0..count {
            if place > 0 {
                text.push(",".to_owned());
            }
            text.extend(self.clause(&table));
        }
        match self.random.below(30) {
            0 => {
                let column = self.column_of(&table);
                text.extend(self.partition_by(&column));
            }
            1 => text.extend(words("REMOVE PARTITIONING")),
            _ => {}
        }
        text
    }

    fn place(&mut self, table: &TableName) -> Words {
        match self.random.below(4) {
            0 => words("FIRST"),
            1 => {
                let column = self.column_of(table);
                vec!["AFTER".to_owned(), self.name(&column)]
            }
            _ => Words::new(),
        }
    }

    fn column_word(&mut self, text: &mut Words) {
        if self.once_in(2) {
            text.push("COLUMN".to_owned());
        }
    }

    fn create_like(&mut self) -> Words {
        let mut text = words("CREATE TABLE");
        self.if_not_exists(&mut text, 3);
        let (new, old) = (self.any_table(), self.table());
        text.extend(self.qualified(&new));
        let braces = self.once_in(2);
        text.extend(words(if braces { "( LIKE" } else { "LIKE" }));
        text.extend(self.qualified(&old));
        if braces {
            text.push(")".to_owned());
        }
        text
    }

    fn create_select(&mut self) -> Words {
        let mut text = words("CREATE TABLE");
        self.if_not_exists(&mut text, 3);
        let (new, old) = (self.any_table(), self.table());
        text.extend(self.qualified(&new));
        if self.once_in(3) {
            text.push("(".to_owned());
            text.push(self.name("made"));
            text.extend(types::column(self, false));
            text.push(")".to_owned());
        }
        text.extend(self.table_options(false));
        if self.once_in(2) {
            text.push("AS".to_owned());
        }
        text.extend(words("SELECT * FROM"));
        text.extend(self.qualified(&old));
        text.extend(words("LIMIT 0")); // rows would come besides those that are awaited
        text
    }

    fn rename(&mut self) -> Words {
        let mut text = words("RENAME");
        text.push(self.pick(&["TABLE", "TABLES"]));
        self.if_exists(&mut text);
        let (old, new) = (self.table(), self.any_table());
        let mut pairs = vec![(old.clone(), new.clone())];
        match self.random.below(4) {
            0 => {
                let between = TableName::new(DATABASES[0], "between");
                let other = self.table();
                pairs =
                    vec![(old.clone(), between.clone()), (other.clone(), old), (between, other)];
            }
            1 => {
                let next = self.any_table();
                pairs.push((new, next));
            }
            _ => {}
        }
        for (place, (from, to)) in pairs.iter().enumerate() {
            if place > 0 {
                text.push(",".to_owned());
            }
            text.extend(self.qualified(from));
            text.push("TO".to_owned());
            text.extend(self.qualified(to));
        }
        text
    }

    fn drop(&mut self) -> Words {
        let mut text = words("DROP");
        text.push(self.pick(&["TABLE", "TABLES"]));
        let many = self.once_in(3);
        if many || self.once_in(3) {
            text.extend(words("IF EXISTS"));
        }
        let table = self.table();
        text.extend(self.qualified(&table));
        if many {
            text.push(",".to_owned());
            let other = self.any_table();
            text.extend(self.qualified(&other));
        }
        if self.once_in(4) {
            text.push("RESTRICT".to_owned());
        }
        text
    }

    fn index(&mut self) -> Words {
        let table = self.table();
        let column = self.column_of(&table);
        let mut text = words(if self.once_in(3) { "DROP INDEX" } else { "CREATE INDEX" });
        let drops = text[0] == "DROP";
        if self.is_mariadb() && !drops && self.once_in(3) {
            text.insert(1, "UNIQUE".to_owned());
        }
        text.push(if drops && self.once_in(3) { "`PRIMARY`".to_owned() } else { self.name("i") });
        text.push("ON".to_owned());
        text.extend(self.qualified(&table));
        if !drops {
            text.extend(["(".to_owned(), self.name(&column), ")".to_owned()]);
        }
        text
    }

    fn truncate(&mut self) -> Words {
        let mut text = words("TRUNCATE");
        if self.once_in(2) {
            text.push("TABLE".to_owned());
        }
        let table = self.table();
        text.extend(self.qualified(&table));
        text
    }

    fn database_statement(&mut self) -> Words {
        let charset = self.pick(DEFAULTS);
        let word = self.pick(&["DATABASE", "SCHEMA"]);
        let second = self.name(DATABASES[1]);
        let mut text = Words::new();
        let set = self.set_words();
        match self.random.below(9) {
            0 => text.extend(["DROP".to_owned(), word, second]),
            1 | 2 => {
                text.extend(["CREATE".to_owned(), word]);
                self.if_not_exists(&mut text, 2);
                text.push(second);
                if self.once_in(2) {
                    text.extend(words(&format!("DEFAULT CHARACTER SET = {charset}")));
                }
            }
            3 => {
                text.extend(["ALTER".to_owned(), word, second]);
                text.extend(words(&format!("COLLATE {}", types::collation(&charset))));
            }
            4 => text.extend(words(&format!("ALTER {word} {set} {charset}"))),
            5 => text.extend(words(&format!("ALTER {word} DEFAULT {set} = {charset}"))),
            6 => {
                let collation = types::collation(&charset);
                text.extend(words(&format!("ALTER {word} COLLATE {collation}")));
            }
            7 if self.is_mariadb() => {
                text.extend(words(&format!("ALTER {word} {set} {charset} COLLATE DEFAULT")));
            }
            _ => {
                text.extend(["ALTER".to_owned(), word, self.name(DATABASES[0])]);
                text.extend(words(&format!("DEFAULT CHARSET {charset}")));
            }
        }
        text
    }

    fn exchange(&mut self) -> Words {
        let (table, other) = (self.table(), self.table());
        let mut text = words("ALTER TABLE");
        text.extend(self.qualified(&table));
        text.extend(words("EXCHANGE PARTITION p0 WITH TABLE"));
        text.extend(self.qualified(&other));
        text
    }

    fn other(&mut self) -> Words {
        let table = self.any_table();
        let name = self.qualified(&table);
        let mut text = Words::new();
        match self.random.below(5) {
            0 => {
                text.extend(words("CREATE OR REPLACE VIEW"));
                text.push(self.name("a view"));
                text.extend(words("AS SELECT 1"));
            }
            1 => text.extend(words("DROP VIEW IF EXISTS `a view`")),
            2 if self.is_mariadb() => {
                text.extend(words("CREATE OR REPLACE SEQUENCE"));
                text.push(self.name("a sequence"));
            }
            3 if self.is_mariadb() => {
                text.extend(words("SET STATEMENT max_statement_time = 10 FOR ALTER TABLE"));
                text.extend(name);
                text.extend(words("FORCE"));
            }
            _ => {
                text.extend(words("DROP TEMPORARY TABLE IF EXISTS"));
                text.extend(name);
            }
        }
        text
    }
}
