//! What the 71 statements of `tests/golden/ddl/statements.txt` mean, what real Canal
//! publishes of a run over a real server, and that no text makes the reader fall.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]
#![expect(clippy::format_push_string, reason = "descriptions are short")]

use super::*;
use crate::schema::ddl::effect::ColumnChange;

fn mysql() -> Dialect {
    Dialect { flavor: Flavor::MySql, version: 90_704, sql_mode: 0, wide_blank: false }
}

fn mariadb() -> Dialect {
    Dialect { flavor: Flavor::MariaDb, version: 101_106, sql_mode: 0, wide_blank: false }
}

/// One line an effect, short enough to be read beside the statement.
fn effects(text: &str, dialect: &Dialect) -> Vec<String> {
    read(text, "d", dialect).effects.iter().map(describe).collect()
}

fn describe(effect: &Effect) -> String {
    match effect {
        Effect::CreateDatabase { name, charset, keep } => {
            format!("create database {name}{}{}", charset_of(charset), unless(*keep))
        }
        Effect::AlterDatabase { name, charset } => {
            format!("alter database {name}{}", charset_of(charset))
        }
        Effect::DropDatabase { name } => format!("drop database {name}"),
        Effect::CreateTable { name, keep, body } => {
            let body = match body {
                Body::Columns { columns, primary_key, uniques, options } => {
                    let columns: Vec<_> = columns.iter().map(column_of).collect();
                    let key = primary_key.join(",");
                    let versioned = match options.versioning {
                        Versioning::Visible => "",
                        Versioning::Hidden => " versioned",
                    };
                    let charset = charset_of(&options.charset);
                    let uniques = uniques_of(*uniques);
                    format!("({}) key({key}){uniques}{charset}{versioned}", columns.join(", "))
                }
                Body::Like(other) => format!("like {other}"),
                Body::Unknown(_) => "?".to_owned(),
            };
            format!("create {name} {body}{}", unless(*keep))
        }
        Effect::AlterTable { name, alteration, .. } => {
            format!("alter {name}{}", alteration_of(alteration))
        }
        Effect::RenameTable { from, to, .. } => format!("rename {from} {to}"),
        Effect::PartitionToTable { from, to } => format!("part {from} {to}"),
        Effect::DropTable { name } => format!("drop {name}"),
        Effect::Stale { name, .. } => format!("stale {name}"),
    }
}

fn alteration_of(alteration: &Alteration) -> String {
    let mut said = String::new();
    for (name, lenient) in &alteration.dropped {
        said += &format!(" drop {name}{}", if *lenient { " if there" } else { "" });
    }
    for ColumnChange { action, place } in &alteration.columns {
        said += &match action {
            ColumnAction::Add { column, keep } => {
                format!(" add {}{}", column_of(column), unless(*keep))
            }
            ColumnAction::Change { old, column, .. } => {
                format!(" change {old} {}", column_of(column))
            }
            ColumnAction::Rename { old, new, .. } => format!(" rename {old} {new}"),
        };
        said += &match place {
            ColumnPlace::Unsaid => String::new(),
            ColumnPlace::First => " first".to_owned(),
            ColumnPlace::After(name) => format!(" after {name}"),
        };
    }
    if alteration.drop_primary_key {
        said += " -key";
    }
    if let Some(key) = &alteration.primary_key {
        said += &format!(" +key({})", key.join(","));
    }
    said += &uniques_of(alteration.uniques);
    if let Some(charset) = &alteration.convert {
        said += &format!(" convert{}", charset_of(charset));
    }
    said + &charset_of(&alteration.charset)
}

fn uniques_of(count: u32) -> String {
    if count == 0 { String::new() } else { format!(" unique({count})") }
}

fn column_of(column: &ColumnText) -> String {
    let text = &column.data_type;
    let mut said = format!("{} {:?}", column.name, text.base);
    let numbers: Vec<_> = text.length.iter().chain(&text.decimals).map(u64::to_string).collect();
    if !numbers.is_empty() || !text.labels.is_empty() {
        said += &format!("({}{})", numbers.join(","), text.labels.join("|"));
    }
    said += if text.unsigned { " unsigned" } else { "" };
    said += if text.zerofill { " zerofill" } else { "" };
    said + &charset_of(&text.charset)
}

fn charset_of(charset: &CharsetChoice) -> String {
    match charset {
        CharsetChoice::Unsaid => String::new(),
        CharsetChoice::Default => " DEFAULT".to_owned(),
        CharsetChoice::Unknown => " ?".to_owned(),
        CharsetChoice::Named(name) => format!(" {name}"),
    }
}

fn unless(keep: bool) -> &'static str {
    if keep { " unless there" } else { "" }
}

/// Line number, dialect, what it must mean: by the servers' manuals.
const MEANINGS: &[(usize, &[&str])] = &[
    (
        1,
        &[
            "create d.t (id BigInt(20) unsigned, name VarChar(64) utf8mb4, st Enum(a|b'c), ss Set(x|y), ts Temporal(\"timestamp\")(3), j Json) key(id) unique(1) utf8mb4",
        ],
    ),
    (2, &["alter d.t add c1 Int after id"]),
    (3, &["alter d.t drop c9 add c0 Int first add c2 Int add c3 VarChar(10)"]),
    (4, &["alter db.t add c4 Decimal(10,2) unsigned zerofill"]),
    (5, &["alter d.t change c1 c1 BigInt unsigned first"]),
    (6, &["alter d.t change c1 c1 VarChar(255) latin1 after c2"]),
    (7, &["alter d.t change old new VarChar(10) after id"]),
    (8, &["alter d.t change old new Int"]),
    (9, &["alter d.t rename a b"]),
    (10, &["alter d.t", "rename d.t d.t2"]),
    (11, &["alter d.t", "rename d.t d.t2"]),
    (12, &["alter d.t", "rename d.t db2.t2"]),
    (13, &["rename d.a d.b", "rename d.c d.d"]),
    (14, &["rename db.t db._t_del", "rename db._t_gho db.t"]),
    (15, &["rename d.a d.b"]),
    (16, &["create d.t2 like d.t"]),
    (17, &["create db._t_new like db.t unless there"]),
    (18, &["create d.t3 ?"]),
    (19, &["create d.t4 (id Int, n VarChar(10)) key()"]),
    (20, &["create d.t5 ?"]),
    (21, &["drop d.a", "drop d.b"]),
    (22, &["drop d.a"]),
    (23, &[]),
    (24, &[]),
    (25, &[]),
    (26, &["alter d.t convert utf8mb4 utf8mb4"]),
    (27, &["alter d.t utf8mb4"]),
    (28, &["alter d.t"]),
    (29, &["alter d.t add g Int add h Int"]),
    (30, &["alter d.t -key +key(id)"]),
    (31, &["alter d.t"]),
    (32, &["alter d.t"]),
    (33, &["alter d.t"]),
    (34, &["alter d.t"]),
    (35, &["alter d.t"]),
    (36, &["alter d.t"]),
    (37, &["alter d.t"]),
    (38, &["create d.p (id Int, d Plain(\"date\")) key()"]),
    (39, &["create d.p2 (id Int, k Int) key()"]),
    (40, &["alter d.t"]),
    (41, &["create d.vc (id Int) key()"]),
    (42, &["create d.ch (a Int, b Int, c Binary(16)) key()"]),
    (
        43,
        &[
            "create d.ty (a TinyInt(1), b MediumInt unsigned, c Double(10,2), d Bit(8), e Year(4), f Text(Medium), g VarBinary(16), h Plain(\"geometry\"), i Plain(\"point\"), k Temporal(\"time\")(6), l VarChar(10) utf8mb3, m Text(Medium), n VarChar(5), o BigInt unsigned) key() unique(1)",
        ],
    ),
    (44, &["create d.v (id Int, e Vector(3)) key(id)"]),
    (
        45,
        &[
            "create d.m (id Int, i6 Plain(\"inet6\"), u Plain(\"uuid\"), x Int, c Text(Plain)) key() versioned",
        ],
    ),
    (46, &["create d.m2 (id Int) key()"]),
    (47, &["alter d.m drop x if there add y Int unless there"]),
    (48, &["alter d.t add z Int"]),
    (49, &["alter d.t"]),
    (50, &[]),
    (51, &[]),
    (52, &["alter d.t"]),
    (53, &["alter d.t"]),
    (54, &["alter d.t"]),
    (55, &["alter d.t add c1 Int"]),
    (56, &["alter database db utf8mb4"]),
    (57, &["create database x utf8mb4 unless there"]),
    (58, &["drop database x"]),
    (59, &["create a-b.表 (列 Int) key()"]),
    (60, &["alter test._sbtest1_gho add c2 Int after k"]),
    (
        61,
        &[
            "create test._sbtest1_ghc (id BigInt unsigned, last_update Temporal(\"timestamp\"), hint VarChar(64) ascii, value VarChar(4096) ascii) key(id) unique(1)",
        ],
    ),
    (62, &[]),
    (63, &[]),
    (64, &[]),
    (65, &[]),
    (66, &[]),
    (67, &[]),
    (68, &[]),
    (69, &[]),
    (70, &["create d.t (id Int) key()"]),
    (
        71,
        &[
            "alter d.t add d Temporal(\"datetime\") add e TinyInt(1) add f Int(11) add g Decimal(5,2)",
        ],
    ),
];

#[test]
fn each_of_the_71_statements_means_what_the_manuals_say() {
    let statements = include_str!("../../../tests/golden/ddl/statements.txt");
    let statements: Vec<_> = statements.lines().collect();
    assert_eq!(statements.len(), MEANINGS.len());
    for (line, meaning) in MEANINGS {
        let text = statements[line - 1];
        let dialect = if (45..=48).contains(line) { mariadb() } else { mysql() };
        assert_eq!(effects(text, &dialect), *meaning, "line {line}: {text}");
    }
}

/// The messages that real Canal published, and what ours must say of the same texts.
#[test]
fn every_statement_is_published_as_canal_does() {
    let lines = include_str!("../../../tests/golden/canal/ddl.single.jsonl");
    let mut compared = 0;
    for (number, line) in lines.lines().enumerate() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let value: serde_json::Value =
            serde_json::from_str(record["value"].as_str().unwrap()).unwrap();
        let sql = value["sql"].as_str().unwrap();
        if sql.is_empty() {
            continue;
        }
        compared += 1;
        let message = read(sql, "gl", &mysql()).message;
        if sql.contains(" VIEW ") {
            // Canal cannot read ALTER VIEW; ours says nothing, as of all views.
            assert_eq!(message, None, "line {}: {sql}", number + 1);
            continue;
        }
        let message = message.unwrap_or_else(|| panic!("line {}: nothing of {sql}", number + 1));
        let expected = |name: &str| value[name].as_str().unwrap().to_owned();
        let kind = format!("{:?}", message.kind).to_uppercase();
        let kind = kind.replace("CREATEINDEX", "CINDEX").replace("DROPINDEX", "DINDEX");
        assert_eq!(
            (kind, message.schema, message.table, message.is_ddl),
            (
                expected("type"),
                expected("database"),
                expected("table"),
                value["isDdl"].as_bool().unwrap()
            ),
            "line {}: {sql}",
            number + 1
        );
    }
    assert!(compared > 70, "{compared}");
}

/// Statements of the same run that Canal said nothing of.
#[test]
fn what_canal_ignores_is_ignored() {
    for text in [
        "CREATE TEMPORARY TABLE tmp1 (id INT)",
        "DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `tmp1`",
        "ALTER DATABASE gl2 CHARACTER SET latin1",
        "CREATE ALGORITHM=UNDEFINED DEFINER=`root`@`localhost` SQL SECURITY DEFINER VIEW `v1` AS SELECT id FROM users",
        "CREATE OR REPLACE VIEW v1 AS SELECT 1",
        "DROP VIEW v1",
        "CREATE DEFINER=`root`@`localhost` FUNCTION `f1`(x INT) RETURNS int DETERMINISTIC RETURN x + 1",
        "CREATE DEFINER=`root`@`localhost` TRIGGER tr AFTER DELETE ON t FOR EACH ROW DELETE FROM u",
        "CREATE DEFINER=`root`@`localhost` EVENT e1 ON SCHEDULE EVERY 1 YEAR DO SET @x = 1",
        "CREATE USER 'g'@'%' IDENTIFIED WITH 'caching_sha2_password' AS '$A$'",
        "GRANT SELECT ON gl.* TO 'g_user'@'localhost'",
        "ALTER USER 'g_user'@'localhost' ACCOUNT LOCK",
        "FLUSH PRIVILEGES",
        "ANALYZE TABLE users",
        "OPTIMIZE TABLE users",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT a",
        "XA START X'7831',X'',1",
        "# Dummy event replacing event type 160",
        "",
    ] {
        let reading = read(text, "gl", &mysql());
        assert_eq!(reading.message, None, "{text}");
        assert_eq!(reading.unknown, None, "{text}");
    }
}

/// Inputs that stop Canal or cost it the table's name (tests/golden/canal/stops).
#[test]
fn what_canal_cannot_read_is_published_under_its_own_name() {
    for (text, kind) in [
        (
            "CREATE TABLE gs.t (id INT NOT NULL PRIMARY KEY, w INT, CONSTRAINT cw CHECK (w < 10) NOT ENFORCED)",
            StatementKind::Create,
        ),
        ("CREATE TABLE gs.t (id INT PRIMARY KEY, ps POINT SRID 4326)", StatementKind::Create),
        ("ALTER TABLE gs.t ADD COLUMN inv INT DEFAULT 42 INVISIBLE", StatementKind::Alter),
        (
            "CREATE TABLE gs.t (id INT PRIMARY KEY, lv LONG VARCHAR, lb LONG VARBINARY)",
            StatementKind::Create,
        ),
        ("ALTER TABLE gs.t FROBNICATE THE COLUMNS", StatementKind::Alter),
        (
            "ALTER TABLE gs.t ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id)",
            StatementKind::Alter,
        ),
        (
            "ALTER TABLE gs.t ADD CONSTRAINT c CHECK (a > 0), ADD INDEX (b)",
            StatementKind::CreateIndex,
        ),
    ] {
        let message = read(text, "", &mysql()).message.unwrap();
        assert_eq!((message.kind, &*message.schema, &*message.table), (kind, "gs", "t"), "{text}");
    }
}

#[test]
fn an_unknown_clause_makes_the_table_stale_and_no_other() {
    assert_eq!(effects("ALTER TABLE t ADD COLUMN a INT, FROBNICATE b", &mysql()), ["stale d.t"]);
    assert_eq!(effects("ALTER TABLE t ADD COLUMN a NEWTYPE(3)", &mysql()), ["stale d.t"]);
    assert_eq!(effects("ALTER TABLE t ADD COLUMN a ENUM(x'c3a4')", &mysql()), ["stale d.t"]);
    assert_eq!(
        effects("ALTER TABLE t ADD COLUMN a ENUM(x'61', 0x6263)", &mysql()),
        ["alter d.t add a Enum(a|bc)"]
    );
    assert_eq!(
        effects("ALTER TABLE t CONVERT PARTITION p TO TABLE x.u", &mariadb()),
        ["alter d.t", "part d.t x.u"]
    );
    assert_eq!(
        effects("ALTER TABLE t CONVERT TABLE u TO PARTITION p VALUES LESS THAN (9)", &mariadb()),
        ["alter d.t", "drop d.u"]
    );
    assert_eq!(effects("CREATE TABLE t (a NEWTYPE)", &mysql()), ["create d.t ?"]);
    assert_eq!(
        effects("ALTER TABLE t ENGINE=InnoDB CHARSET=latin1", &mysql()),
        ["alter d.t latin1"]
    );
    assert_eq!(
        effects(
            "ALTER TABLE t ADD a INT DEFAULT -1 COMMENT 'x, DROP b' REFERENCES u (x) ON DELETE SET NULL, DROP b",
            &mysql()
        ),
        ["alter d.t drop b add a Int"]
    );
}

/// As MariaDB 10.11 logs a DROP that began with a comment.
#[test]
fn comments_that_the_server_moves_are_no_names() {
    for text in [
        "DROP TABLE IF EXISTS /*! DROP*/ `t` /* generated by server */",
        "DROP TABLE /*!50000 DROP */ t /* generated by server */",
        "DROP TABLE /*M!100100 `a b`*/ `d`.`t` /* generated by server */",
        "DROP TABLE IF EXISTS t RESTRICT",
        "DROP TABLE t WAIT 5",
    ] {
        assert_eq!(effects(text, &mariadb()), ["drop d.t"], "{text}");
    }
}

#[test]
fn all_tables_of_a_statement_are_named_the_messages_first() {
    let tables = |text| -> Vec<String> {
        read(text, "d", &mysql()).tables.iter().map(ToString::to_string).collect()
    };
    assert_eq!(tables("RENAME TABLE a TO b, c TO a"), ["d.b", "d.a", "d.c"]);
    assert_eq!(tables("ALTER TABLE a RENAME TO x.b"), ["x.b", "d.a"]);
    assert_eq!(tables("ALTER TABLE a ADD c INT, RENAME TO b"), ["d.a", "d.b"]);
    assert_eq!(tables("DROP TABLE a, x.b"), ["d.a", "x.b"]);
    assert_eq!(tables("ALTER TABLE t EXCHANGE PARTITION p0 WITH TABLE t9"), ["d.t", "d.t9"]);
    assert_eq!(tables("DELETE a.* FROM a JOIN b"), ["d.a"]);
    assert_eq!(tables("INSERT LOW_PRIORITY IGNORE INTO x.a VALUES (1)"), ["x.a"]);
    assert_eq!(tables("LOAD DATA LOCAL INFILE 'f' IGNORE INTO TABLE a"), ["d.a"]);
    assert_eq!(tables("SET STATEMENT max_statement_time=1 FOR ALTER TABLE a ADD b INT"), ["d.a"]);
}

/// A generator that every run repeats (xorshift).
struct Seeded(u64);

impl Seeded {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }
}

#[test]
fn no_text_makes_the_reader_fall_or_stand_still() {
    let statements = include_str!("../../../tests/golden/ddl/statements.txt");
    let whole: Vec<_> = statements.lines().collect();
    let pieces: Vec<_> = statements.split_inclusive([' ', ',', '(', ')']).collect();
    let mut seeded = Seeded(0x5eed_0001);
    for _ in 0..20_000 {
        let mut text: String = match seeded.next(3) {
            0 => whole[seeded.next(whole.len())].to_owned(),
            1 => format!("ALTER TABLE t {}", pieces[seeded.next(pieces.len())]),
            _ => String::new(),
        };
        for _ in 0..seeded.next(12) {
            text.push_str(pieces[seeded.next(pieces.len())]);
        }
        let letters: Vec<char> = text.chars().collect();
        let mut letters = letters;
        for _ in 0..seeded.next(4) {
            if !letters.is_empty() {
                let place = seeded.next(letters.len());
                letters[place] =
                    ['\'', '`', '(', ')', '\\', '\0', '/', '*', '!', '"', '表'][seeded.next(11)];
            }
        }
        let text: String = letters.into_iter().collect();
        let sql_mode = [0, 0x4, 0x10_0000, u64::MAX][seeded.next(4)];
        for dialect in [mysql(), mariadb()] {
            read(&text, "d", &Dialect { sql_mode, ..dialect });
        }
    }
}

/// As MariaDB 10.11 logs `CREATE TABLE t2 DEFAULT CHARACTER SET latin1 AS SELECT * FROM src` in
/// these modes, in a database of another character set; MySQL 9.7 a table that it gives a key, in
/// mode ANSI.
#[test]
fn a_text_that_lacks_the_tables_options_does_not_say_its_character_set() {
    let is_unknown = |text: &str, sql_mode: u64, dialect: Dialect| match &read(
        text,
        "orc",
        &Dialect { sql_mode, ..dialect },
    )
    .effects[..]
    {
        [Effect::CreateTable { body, .. }] => matches!(body, Body::Unknown(_)),
        other => panic!("{other:?}"),
    };
    let charset = |text: &str, sql_mode: u64, dialect: Dialect| {
        let mut effects = read(text, "orc", &Dialect { sql_mode, ..dialect }).effects;
        match effects.pop() {
            Some(Effect::CreateTable { body: Body::Columns { options, .. }, .. }) => {
                options.charset
            }
            other => panic!("{other:?}"),
        }
    };
    let made = "CREATE OR REPLACE TABLE \"t2\" (\n  \"a\" varchar(10) DEFAULT NULL,\n  \"b\" int(11) NOT NULL\n)";
    let with_options = format!("{made} DEFAULT CHARSET=latin1");
    for mode in (0..21).map(|bit| 1_u64 << bit) {
        let lacks = [0x100, 0x200, 0x400, 0x800, 0x1000, 0x4000, 0x1_0000, 0x2_0000, 0x4_0000];
        let lacks = lacks.contains(&mode);
        let (quotes, back) = (mode | 0x4, made.replace('"', "`"));
        assert_eq!(is_unknown(made, quotes, mariadb()), lacks, "{mode:x}");
        assert_eq!(is_unknown(&back, mode, mariadb()), lacks, "{mode:x}");
        assert_eq!(is_unknown(made, quotes, mysql()), lacks, "{mode:x}");
        assert!(!is_unknown(&with_options, quotes, mariadb()), "{mode:x}");
        let numbers = made.replace("varchar(10)", "int(11)");
        for dialect in [mariadb(), mysql()] {
            // That of the database, or one that the text does not say: texts added later have it.
            let expected = if lacks { CharsetChoice::Unknown } else { CharsetChoice::Unsaid };
            assert_eq!(charset(&numbers, quotes, dialect), expected, "{mode:x}");
        }
        let sent = "CREATE TABLE t2 (a VARCHAR(10))";
        assert!(!is_unknown(sent, mode, mariadb()), "a statement as it was sent");
    }
}

/// Both servers, for `CREATE TABLE n3 SELECT * FROM n` where a label of `n.e` is one backslash.
#[test]
fn backslashes_of_a_servers_own_text_do_not_say_how_many_there_are() {
    for (labels, sql_mode, unknown) in [
        (r"'\\','a'", 0x10_0000, true),
        (r"'a\nb'", 0x10_0000, true),
        ("'a','it''s'", 0x10_0000, false),
        (r"'\\','a'", 0, false),
    ] {
        let shown = format!("CREATE TABLE `n3` (\n  `e` enum({labels}) DEFAULT NULL\n)");
        let sent = format!("CREATE TABLE n3 (e ENUM({labels}))");
        for dialect in [mysql(), mariadb()] {
            let dialect = Dialect { sql_mode, ..dialect };
            for (text, unknown) in [(&shown, unknown), (&sent, false)] {
                match &read(text, "d", &dialect).effects[..] {
                    [Effect::CreateTable { body, .. }] => {
                        assert_eq!(matches!(body, Body::Unknown(_)), unknown, "{text}");
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

/// MariaDB logs nothing of the tables that go with it.
#[test]
fn a_database_that_is_replaced_loses_its_tables() {
    let replaced = ["drop database d", "create database d"];
    assert_eq!(effects("CREATE OR REPLACE DATABASE d", &mariadb()), replaced);
    assert_eq!(effects("CREATE OR REPLACE SCHEMA `d`", &mariadb()), replaced);
    assert_eq!(effects("CREATE DATABASE d", &mariadb()), replaced[1..]);
}

/// What changes rows names the tables that it changes, and none that it only reads.
#[test]
fn a_change_of_rows_names_the_tables_that_it_changes() {
    for (text, changed) in [
        ("UPDATE a JOIN b ON a.i = b.i SET b.x = a.x", "d.b"),
        ("UPDATE a, e.b SET a.x = 1, e.b.y = 2", "d.a e.b"),
        ("UPDATE a p JOIN e.a q SET q.x = 1", "e.a"),
        ("UPDATE a JOIN b SET x = 1", "d.a d.b"),
        ("UPDATE (SELECT i FROM c) q JOIN (b, a) SET a.x = 1", "d.a"),
        ("UPDATE {OJ a LEFT OUTER JOIN b ON a.i = b.i} SET b.x = 1", "d.b"),
        ("WITH c AS (SELECT 1) UPDATE a JOIN c SET a.x = 1", "d.a"),
        ("DELETE p, b FROM a p, b", "d.a d.b"),
        ("DELETE FROM b.* USING a JOIN e.b", "e.b"),
        ("DELETE FROM a WHERE i IN (SELECT i FROM b)", "d.a"),
        ("REPLACE INTO e.a SELECT * FROM b", "e.a"),
        ("SELECT `e`.`f`(1)", ""),
    ] {
        let reading = read(text, "d", &mysql());
        let names: Vec<_> = reading.tables.iter().map(TableName::to_string).collect();
        assert_eq!(names.join(" "), changed, "{text}");
        assert!(reading.message.is_some_and(|message| !message.is_ddl), "{text}");
    }
}
