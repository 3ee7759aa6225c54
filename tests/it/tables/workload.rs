//! Random statements over the tables that are there.
//!
//! In: a seed and, before each statement, what the database holds. Out: SQL, and for DDL the
//! message that real Canal makes of it (`tests/golden/canal/ddl.jsonl`). A statement that the
//! server refuses has done nothing.

use super::columns::{attributes, charset, data_type, key_type, literal, new_name};
use super::snapshot::{Column, Snapshot, Table, quoted};
use crate::harness::Random;
use crate::harness::servers::Flavor;

/// What the row images of a step hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Images {
    Full,
    NoBlob,
    Minimal,
}

/// The message of a statement.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) kind: &'static str,
    pub(super) table: String,
    /// `None`: the server logs a text of its own.
    pub(super) sql: Option<String>,
    /// The table begins without rows.
    pub(super) creates: bool,
}

/// A statement that changes tables.
pub(super) struct Ddl {
    pub(super) sql: String,
    /// `None`: nothing is published.
    pub(super) published: Option<Published>,
}

pub(super) struct Workload {
    pub(super) random: Random,
    pub(super) flavor: Flavor,
    made: u64,
}

impl Workload {
    pub(super) fn new(seed: u64, flavor: Flavor) -> Self {
        Self { random: Random::new(seed), flavor, made: 0 }
    }

    /// What every seed begins with: types whose columns the lists of character sets count on one
    /// server only, and a trigger.
    pub(super) fn first(&self) -> Vec<Ddl> {
        let own = match self.flavor {
            Flavor::MySql => "e VECTOR(3), f JSON",
            Flavor::MariaDb => "e UUID, f INET4, g INET6",
        };
        let all = format!(
            "CREATE TABLE al_l (id INT, {own}, a VARCHAR(9) CHARACTER SET utf16, p POINT, \
             b CHAR(3) CHARACTER SET gbk, c TEXT CHARACTER SET ucs2, d VARBINARY(9), \
             PRIMARY KEY (id)) DEFAULT CHARSET=latin1"
        );
        let audit = "CREATE TABLE audit (n INT AUTO_INCREMENT, what CHAR(9), PRIMARY KEY (n))";
        let trigger = "CREATE TRIGGER follow AFTER INSERT ON al_l FOR EACH ROW \
            INSERT INTO audit (what) VALUES (NEW.id)";
        vec![
            published("CREATE", "al_l".to_owned(), all, true),
            published("CREATE", "audit".to_owned(), audit.to_owned(), true),
            Ddl { sql: trigger.to_owned(), published: None },
        ]
    }

    /// What the session sets before the statements of a step, and the images it then logs.
    pub(super) fn session(&mut self) -> (Vec<&'static str>, Images) {
        let mut said = vec![match self.random.below(3) {
            0 => "SET SESSION sql_mode = 'STRICT_TRANS_TABLES'",
            _ => "SET SESSION sql_mode = ''",
        }];
        let (image, images) = match self.random.below(8) {
            0 => ("SET SESSION binlog_row_image = 'MINIMAL'", Images::Minimal),
            1 => ("SET SESSION binlog_row_image = 'NOBLOB'", Images::NoBlob),
            _ => ("SET SESSION binlog_row_image = 'FULL'", Images::Full),
        };
        said.push(image);
        if self.flavor == Flavor::MySql {
            said.push(match self.random.below(3) {
                0 if images == Images::Full => {
                    "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'"
                }
                _ => "SET SESSION binlog_row_value_options = ''",
            });
            said.push(match self.random.below(3) {
                0 => "SET SESSION binlog_transaction_compression = ON",
                _ => "SET SESSION binlog_transaction_compression = OFF",
            });
        }
        (said, images)
    }

    fn new_table(&mut self) -> String {
        self.made += 1;
        let style = ["t", "Orders", "a b", "x`y", "it's", "k.l", "表", "order", "é\"q"];
        format!("{}{}", self.random.pick(&style), self.made)
    }

    fn one_of<'a>(&mut self, tables: &'a Snapshot) -> (&'a String, &'a Table) {
        let place = self.random.place(tables.len());
        tables.iter().nth(place).unwrap()
    }

    /// CREATE TABLE with columns of its own.
    pub(super) fn create(&mut self) -> Ddl {
        let name = self.new_table();
        let (random, flavor) = (&mut self.random, self.flavor);
        let count = if random.once_in(12) { 310 } else { 1 + random.below(11) };
        let keys = random.below(4);
        let mut columns: Vec<(String, String)> = Vec::new();
        let mut known: Vec<Column> = Vec::new();
        let mut key = Vec::new();
        for nth in 0..count {
            let name = if count > 100 { format!("c{nth}") } else { new_name(random, &known) };
            let text = if count > 100 {
                (*random.pick(&["INT", "CHAR(3)", "DATE", "TINYINT UNSIGNED", "BIT(3)", "TEXT"]))
                    .to_owned()
            } else if nth < keys {
                key.push(quoted(&name));
                key_type(random) + " NOT NULL"
            } else {
                data_type(random, flavor) + attributes(random, flavor)
            };
            let place = random.place(columns.len() + 1);
            columns.insert(place, (name.clone(), text));
            known.push(unread(name));
        }
        if random.once_in(2) {
            key.reverse();
        }
        let mut parts: Vec<String> =
            columns.iter().map(|(name, text)| format!("{} {text}", quoted(name))).collect();
        if let Some((name, _)) = columns.first().filter(|_| random.once_in(4)) {
            let stored = random.pick(&["VIRTUAL", "STORED"]);
            parts.push(format!("gen INT GENERATED ALWAYS AS (LENGTH({})) {stored}", quoted(name)));
        }
        if !key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
        }
        if flavor == Flavor::MySql && random.once_in(5) {
            parts.push(format!("KEY fx ((LENGTH({}) + 1))", quoted(&columns[0].0)));
        }
        let options = match random.below(6) {
            0 => format!(" DEFAULT CHARSET={}", charset(random, flavor)),
            1 => " ENGINE=MyISAM COMMENT='a, b'".to_owned(),
            2 => format!(" CHARACTER SET {} ROW_FORMAT=DYNAMIC", charset(random, flavor)),
            _ => String::new(),
        };
        let sql = format!("CREATE TABLE {} ({}){options}", quoted(&name), parts.join(", "));
        published("CREATE", name, sql, true)
    }

    /// Any DDL over the tables that are there.
    pub(super) fn ddl(&mut self, tables: &Snapshot) -> Ddl {
        let (old, table) = self.one_of(tables);
        let name = quoted(old);
        match self.random.below(16) {
            0 => self.create(),
            1 => {
                let new = self.new_table();
                published(
                    "CREATE",
                    new.clone(),
                    format!("CREATE TABLE {} LIKE {name}", quoted(&new)),
                    true,
                )
            }
            2 => {
                let new = self.new_table();
                let sql = format!("CREATE TABLE {} SELECT * FROM {name}", quoted(&new));
                let mut ddl = published("CREATE", new, sql, true);
                ddl.published.as_mut().unwrap().sql = None;
                ddl
            }
            3 if tables.len() > 3 => {
                let mut ddl = published("ERASE", old.clone(), format!("DROP TABLE {name}"), false);
                ddl.published.as_mut().unwrap().sql = None;
                ddl
            }
            4 => published("TRUNCATE", old.clone(), format!("TRUNCATE TABLE {name}"), false),
            5 => {
                let new = self.new_table();
                let sql = format!("RENAME TABLE {name} TO {}", quoted(&new));
                published("RENAME", new, sql, false)
            }
            6 => {
                let new = self.new_table();
                let word = self.random.pick(&["TO ", "AS ", ""]);
                let sql = format!("ALTER TABLE {name} RENAME {word}{}", quoted(&new));
                published("RENAME", new, sql, false)
            }
            7 => {
                let other = self.one_of(tables).0.clone();
                let sql = format!(
                    "RENAME TABLE {name} TO swap_, {} TO {name}, swap_ TO {}",
                    quoted(&other),
                    quoted(&other)
                );
                published("RENAME", "swap_".to_owned(), sql, false)
            }
            8 => {
                let column = quoted(&self.random.pick(&table.columns).name);
                let sql = format!("CREATE INDEX `ix{}` ON {name} ({column})", self.made);
                published("CINDEX", old.clone(), sql, false)
            }
            9 => {
                let charset = charset(&mut self.random, self.flavor);
                let sql = format!("ALTER TABLE {name} CONVERT TO CHARACTER SET {charset}");
                published("ALTER", old.clone(), sql, false)
            }
            10 => {
                let charset = charset(&mut self.random, self.flavor);
                let sql = format!("ALTER DATABASE CHARACTER SET {charset}");
                Ddl { sql, published: None }
            }
            _ => self.alter(old, table),
        }
    }

    /// ALTER TABLE of several clauses about columns.
    fn alter(&mut self, name: &str, table: &Table) -> Ddl {
        let mut clauses = Vec::new();
        let mut kind = None;
        for _ in 0..=self.random.below(3) {
            let (clause, its) = self.clause(table);
            clauses.push(clause);
            kind = kind.or(Some(its));
        }
        let comment = self.random.pick(&["", "/* c, d */ ", "/*!50001 */", "-- x\n "]);
        let sql = format!("ALTER TABLE {} {comment}{}", quoted(name), clauses.join(", "));
        published(kind.unwrap(), name.to_owned(), sql, false)
    }

    fn clause(&mut self, table: &Table) -> (String, &'static str) {
        let (random, flavor) = (&mut self.random, self.flavor);
        let column = quoted(&random.pick(&table.columns).name);
        let other = quoted(&random.pick(&table.columns).name);
        let new = quoted(&new_name(random, &table.columns));
        let text = data_type(random, flavor) + attributes(random, flavor);
        let place = match random.below(4) {
            0 => " FIRST".to_owned(),
            1 => format!(" AFTER {other}"),
            _ => String::new(),
        };
        let clause = match random.below(12) {
            0..3 => format!("ADD COLUMN {new} {text}{place}"),
            3 => format!("ADD ({new} {text}, KEY ({other}))"),
            4 => format!("DROP COLUMN {column}"),
            5 => format!("DROP {column}"),
            6 => format!("MODIFY {column} {text}{place}"),
            7 => format!("CHANGE COLUMN {column} {new} {text}{place}"),
            8 => format!("RENAME COLUMN {column} TO {new}"),
            9 if flavor == Flavor::MySql => format!("ADD {new} {text}{place}, ALGORITHM=INSTANT"),
            9 => format!(
                "ADD COLUMN IF NOT EXISTS {column} INT, ADD COLUMN IF NOT EXISTS {new} {text}"
            ),
            10 => return (format!("ADD INDEX ({column})"), "CINDEX"),
            _ => match table.key {
                Some(_) => "DROP PRIMARY KEY".to_owned(),
                None => return (format!("ADD PRIMARY KEY ({column})"), "CINDEX"),
            },
        };
        (clause, "ALTER")
    }

    /// A statement that changes rows.
    pub(super) fn dml(&mut self, tables: &Snapshot) -> String {
        let (name, table) = self.one_of(tables);
        let name = quoted(name);
        let settable: Vec<&Column> =
            table.columns.iter().filter(|column| !column.generated).collect();
        let random = &mut self.random;
        match random.below(12) {
            0..6 => {
                let verb = *random.pick(&["INSERT", "INSERT IGNORE", "REPLACE"]);
                insert(random, verb, &name, &settable)
            }
            6 => {
                let column = *random.pick(&settable);
                let insert = insert(random, "INSERT", &name, &settable);
                let value = literal(random, column);
                format!("{insert} ON DUPLICATE KEY UPDATE {} = {value}", quoted(&column.name))
            }
            7 => format!("DELETE FROM {name} LIMIT {}", 1 + random.below(2)),
            8 => update_json(random, &name, &settable),
            _ => {
                let changes: Vec<String> = (0..=random.below(3))
                    .map(|_| {
                        let column = *random.pick(&settable);
                        format!("{} = {}", quoted(&column.name), literal(random, column))
                    })
                    .collect();
                let ignore = if random.once_in(2) { "IGNORE " } else { "" };
                let limit = 1 + random.below(4);
                format!("UPDATE {ignore}{name} SET {} LIMIT {limit}", changes.join(", "))
            }
        }
    }
}

/// A column of which only the name is known yet.
fn unread(name: String) -> Column {
    Column {
        name,
        data_type: String::new(),
        type_text: String::new(),
        charset: None,
        generated: false,
    }
}

fn published(kind: &'static str, table: String, sql: String, creates: bool) -> Ddl {
    let published = Published { kind, table, sql: Some(sql.clone()), creates };
    Ddl { sql, published: Some(published) }
}

fn insert(random: &mut Random, verb: &str, name: &str, columns: &[&Column]) -> String {
    let chosen: Vec<&&Column> = columns.iter().filter(|_| !random.once_in(9)).collect();
    let names: Vec<String> = chosen.iter().map(|column| quoted(&column.name)).collect();
    let rows: Vec<String> = (0..=random.below(4))
        .map(|_| {
            let values: Vec<String> = chosen.iter().map(|one| literal(random, one)).collect();
            format!("({})", values.join(", "))
        })
        .collect();
    format!("{verb} INTO {name} ({}) VALUES {}", names.join(", "), rows.join(", "))
}

/// A change inside documents, which PARTIAL_JSON logs as such.
fn update_json(random: &mut Random, name: &str, columns: &[&Column]) -> String {
    let json: Vec<&&Column> = columns.iter().filter(|one| one.data_type == "json").collect();
    if json.is_empty() {
        return format!("DELETE FROM {name} LIMIT 1");
    }
    let column = quoted(&random.pick(&json).name);
    let change = match random.below(5) {
        0 => format!("JSON_SET({column}, '$.b', 'new', '$.\"a b\"', 1.5)"),
        1 => format!("JSON_REMOVE({column}, '$.aa')"),
        2 => format!("JSON_REPLACE({column}, '$[0]', 17, '$.a.b[1]', JSON_ARRAY(1, 2))"),
        3 => format!("JSON_SET({column}, '$[9]', 'end')"),
        _ => format!("JSON_ARRAY_INSERT({column}, '$[0]', 'first')"),
    };
    format!("UPDATE {name} SET {column} = {change}")
}
