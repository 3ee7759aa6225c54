//! The clauses of ALTER TABLE.
//!
//! In: a table, the statement's other words being the caller's. Out: one clause, as often as it is
//! interesting. Always: the same choices of the random numbers give the same clause.

use sluice::change::TableName;

use super::{DEFAULTS, Grammar, Words, types, words};

/// What a clause is about.
struct Altered<'a> {
    table: &'a TableName,
    column: String,
    charset: String,
}

impl Grammar<'_> {
    /// Any clause; the ranges are how often of 34.
    pub(super) fn clause(&mut self, table: &TableName) -> Words {
        let column = self.column_of(table);
        let charset = self.pick(DEFAULTS);
        let it = Altered { table, column, charset };
        match self.random.below(34) {
            0..6 => self.add_column(&it),
            6 => self.add_columns(&it),
            7..10 => self.drop_column(&it),
            10..13 => self.modify_column(&it),
            13..16 => self.change_column(&it),
            16 | 17 => self.rename_column(&it),
            18 => self.swap_columns(&it),
            19 | 20 => self.add_key(&it),
            21 => self.replace_primary_key(&it),
            22 => words("DROP PRIMARY KEY"),
            23 => self.character_set(&it),
            24 if self.is_mariadb() && self.once_in(3) => words("COLLATE = DEFAULT"),
            24 => words(&format!("COLLATE = {}", types::collation(&it.charset))),
            25 => self.rename_table(),
            26 => self.alter_column(&it),
            27 => self.engine(),
            28 => vec!["COMMENT".to_owned(), types::odd_text(self)],
            29 => self.one_of(&["FORCE", "ALGORITHM = COPY", "LOCK = DEFAULT", "ENABLE KEYS"]),
            30 => self.add_check(&it),
            31 if self.is_mariadb() => {
                self.one_of(&["ADD SYSTEM VERSIONING", "DROP SYSTEM VERSIONING"])
            }
            32 => self.one_of(&[
                "TRUNCATE PARTITION p0",
                "COALESCE PARTITION 1",
                "DROP PARTITION p0",
                "ADD PARTITION PARTITIONS 2",
                "REBUILD PARTITION ALL",
            ]),
            33 if self.is_mariadb() && self.once_in(2) => self.convert_partition(),
            _ => [words("ORDER BY"), vec![self.name(&it.column)]].concat(),
        }
    }

    fn one_of(&mut self, texts: &[&str]) -> Words {
        words(&self.pick(texts))
    }

    fn add_column(&mut self, it: &Altered<'_>) -> Words {
        let mut text = words("ADD");
        self.column_word(&mut text);
        if self.is_mariadb() {
            self.if_not_exists(&mut text, 4);
        }
        self.new_field(it, &mut text);
        text.extend(self.place(it.table));
        text
    }

    fn add_columns(&mut self, it: &Altered<'_>) -> Words {
        let mut text = words("ADD (");
        for place in 0..=self.random.below(2) {
            if place > 0 {
                text.push(",".to_owned());
            }
            self.new_field(it, &mut text);
        }
        text.push(")".to_owned());
        text
    }

    /// The name and type of a column that is new.
    fn new_field(&mut self, it: &Altered<'_>, text: &mut Words) {
        let new = self.new_column();
        text.extend(self.field(it.table, &new));
        if self.is_mariadb() && self.once_in(12) {
            text.extend(words("INT PRIMARY KEY"));
        } else {
            text.extend(types::column(self, true));
        }
    }

    /// A verb, and the column that it is about.
    fn of_column(&mut self, verb: &str, it: &Altered<'_>) -> Words {
        let mut text = words(verb);
        self.column_word(&mut text);
        self.if_exists(&mut text);
        text.extend(self.field(it.table, &it.column));
        text
    }

    fn drop_column(&mut self, it: &Altered<'_>) -> Words {
        self.of_column("DROP", it)
    }

    fn modify_column(&mut self, it: &Altered<'_>) -> Words {
        let mut text = self.of_column("MODIFY", it);
        text.extend(types::column(self, true));
        text.extend(self.place(it.table));
        text
    }

    fn change_column(&mut self, it: &Altered<'_>) -> Words {
        let mut text = self.of_column("CHANGE", it);
        self.new_field(it, &mut text);
        text.extend(self.place(it.table));
        text
    }

    fn rename_column(&mut self, it: &Altered<'_>) -> Words {
        let mut text = words("RENAME COLUMN");
        self.if_exists(&mut text);
        let new = self.new_column();
        text.extend([self.name(&it.column), "TO".to_owned(), self.name(&new)]);
        text
    }

    fn swap_columns(&mut self, it: &Altered<'_>) -> Words {
        let other = self.column_of(it.table);
        let (one, two) = (self.name(&it.column), self.name(&other));
        let mut text = words("RENAME COLUMN");
        text.extend([one.clone(), "TO".to_owned(), two.clone(), ",".to_owned()]);
        text.extend(words("RENAME COLUMN"));
        text.extend([two, "TO".to_owned(), one]);
        text
    }

    fn add_key(&mut self, it: &Altered<'_>) -> Words {
        [words("ADD"), self.key(&it.column, true)].concat()
    }

    fn replace_primary_key(&mut self, it: &Altered<'_>) -> Words {
        let mut text = words("DROP PRIMARY KEY , ADD PRIMARY KEY");
        if self.is_mariadb() {
            self.if_not_exists(&mut text, 4);
        }
        text.extend(["(".to_owned(), self.name(&it.column), ")".to_owned()]);
        text
    }

    fn character_set(&mut self, it: &Altered<'_>) -> Words {
        let charset = &it.charset;
        let head = if self.once_in(2) { "CONVERT TO" } else { "DEFAULT" };
        let spelt = self.set_words();
        let set = match self.random.below(4) {
            0 => format!("{spelt} {charset} COLLATE {}", types::collation(charset)),
            1 if self.is_mariadb() => format!("{spelt} {charset} COLLATE DEFAULT"),
            _ => format!("{spelt} {charset}"),
        };
        words(&format!("{head} {set}"))
    }

    fn rename_table(&mut self) -> Words {
        let mut text = words("RENAME");
        match self.random.below(3) {
            0 => text.push("TO".to_owned()),
            1 => text.push("AS".to_owned()),
            _ => {}
        }
        let new = self.any_table();
        text.extend(self.qualified(&new));
        text
    }

    fn alter_column(&mut self, it: &Altered<'_>) -> Words {
        let mut text = words("ALTER");
        self.column_word(&mut text);
        text.push(self.name(&it.column));
        let what = ["SET DEFAULT NULL", "DROP DEFAULT", "SET INVISIBLE", "SET VISIBLE"];
        let all = if self.is_mariadb() { &what[..2] } else { &what[..] };
        text.extend(self.one_of(all));
        text
    }

    fn engine(&mut self) -> Words {
        let engine = self.pick(&["InnoDB", "MyISAM", "MEMORY", "InnoDB"]);
        words(&format!("ENGINE = {engine}"))
    }

    fn add_check(&mut self, it: &Altered<'_>) -> Words {
        let mut text = words("ADD CHECK (");
        text.extend([self.name(&it.column), "IS".to_owned(), "NOT".to_owned()]);
        text.extend(words("NULL OR 1 = 1 )"));
        text
    }

    fn convert_partition(&mut self) -> Words {
        let other = self.any_table();
        let mut text = words("CONVERT PARTITION p0 TO TABLE");
        text.extend(self.qualified(&other));
        text
    }
}
