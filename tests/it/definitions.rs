//! Statements that once led to wrong names, or to a stop, read from behind under the metadata that
//! servers write by default: each row comes under the names that it was written under.

use crate::harness::message::Message;
use crate::harness::program::{from, stopped};
use crate::harness::servers::{self, Flavor, here, run};
use crate::harness::{Record, Server, Sluice, topics};

/// What is executed in a database of the case's name, and the rows that must come of it.
struct Case {
    name: &'static str,
    on: &'static [Flavor],
    statements: &'static [&'static str],
    rows: &'static [&'static str],
}

const BOTH: &[Flavor] = &[Flavor::MySql, Flavor::MariaDb];
const MYSQL: &[Flavor] = &[Flavor::MySql];
const MARIADB: &[Flavor] = &[Flavor::MariaDb];

const CASES: &[Case] = &[
    Case {
        name: "comment",
        on: BOTH,
        statements: &[
            "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)",
            "INSERT INTO t VALUES (1, 10, 20)",
            "/* from src/*.sql */ ALTER TABLE t RENAME COLUMN a TO x, RENAME COLUMN b TO a",
            "INSERT INTO t VALUES (2, 11, 21)",
            "/* x /* y */ CREATE TABLE u (id INT PRIMARY KEY, v INT)",
            "INSERT INTO u VALUES (1, 2)",
        ],
        rows: &["t id=1 a=10 b=20", "t id=2 x=11 a=21", "u id=1 v=2"],
    },
    Case {
        name: "vertical_tab",
        on: BOTH,
        statements: &[
            "create table\u{b}t(id int primary key, a int, b int)",
            "INSERT INTO t VALUES (1, 10, 20)",
            "alter\u{b}table t\u{b}rename column a to x,\u{b}rename column b to a",
            "INSERT INTO t VALUES (2, 11, 21)",
        ],
        rows: &["t id=1 a=10 b=20", "t id=2 x=11 a=21"],
    },
    Case {
        name: "qualified",
        on: MARIADB,
        statements: &[
            "CREATE TABLE t (id INT PRIMARY KEY, t INT, foo INT, bar INT)",
            "INSERT INTO t VALUES (1, 2, 3, 4)",
            "ALTER TABLE t DROP t.foo",
            "INSERT INTO t VALUES (2, 12, 14)",
            "ALTER TABLE t ADD t.baz INT",
            "ALTER TABLE t CHANGE t.bar t.bar2 INT",
            "CREATE TABLE s (s.id INT PRIMARY KEY, s.b INT)",
            "INSERT INTO t VALUES (3, 12, 14, 15)",
            "INSERT INTO s VALUES (1, 2)",
        ],
        rows: &[
            "t id=1 t=2 foo=3 bar=4",
            "t id=2 t=12 bar=14",
            "t id=3 t=12 bar2=14 baz=15",
            "s id=1 b=2",
        ],
    },
    Case {
        name: "without_effect",
        on: MYSQL,
        statements: &[
            "CREATE TABLE e (id INT PRIMARY KEY, a INT, b INT)",
            "ALTER TABLE e ADD en ENUM(0x61,0x62), RENAME COLUMN a TO b, RENAME COLUMN b TO a",
            "CREATE TABLE IF NOT EXISTS e (id INT PRIMARY KEY, a INT, b INT, en ENUM('a','b'))",
            "INSERT INTO e VALUES (1, 10, 20, 1)",
        ],
        rows: &["e id=1 b=10 a=20 en=1"],
    },
    // Labels that are no ASCII are bytes of a character set: the text alone does not say.
    Case {
        name: "without_effect_2",
        on: BOTH,
        statements: &[
            "CREATE TABLE e (id INT PRIMARY KEY, a INT, b INT)",
            "ALTER TABLE e ADD en ENUM(0xC3A4,0x62), RENAME COLUMN a TO b, RENAME COLUMN b TO a",
            "CREATE TABLE IF NOT EXISTS e (id INT PRIMARY KEY, a INT, b INT, en ENUM('a','b'))",
            "INSERT INTO e VALUES (1, 10, 20, 2)",
        ],
        rows: &["e id=1 b=10 a=20 en=2"],
    },
    Case {
        name: "generated_key",
        on: MYSQL,
        statements: &[
            "SET sql_generate_invisible_primary_key = 1",
            "CREATE TABLE a (x INT, tok VARCHAR(64) NOT NULL)",
            "INSERT INTO a (x, tok) VALUES (1, 't1')",
            "ALTER TABLE a ADD COLUMN n BIGINT UNSIGNED NOT NULL DEFAULT 7 FIRST",
            "INSERT INTO a (x, tok) VALUES (2, 't2')",
            "CREATE TABLE b LIKE a",
            "ALTER TABLE b MODIFY x INT FIRST, CHANGE n m BIGINT UNSIGNED NOT NULL DEFAULT 9 FIRST",
            "INSERT INTO b (x, tok) VALUES (3, 't3')",
            "SET sql_generate_invisible_primary_key = 0",
        ],
        rows: &[
            "a my_row_id=1 x=1 tok=t1",
            "a my_row_id=2 n=7 x=2 tok=t2",
            "b my_row_id=1 m=9 x=3 tok=t3",
        ],
    },
    Case {
        name: "compressed",
        on: MARIADB,
        statements: &[
            "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(100) COMPRESSED DEFAULT 'z')",
            "INSERT INTO t (id) VALUES (1)",
            "ALTER TABLE t CONVERT TO CHARACTER SET latin1",
            "INSERT INTO t (id) VALUES (2)",
            "ALTER TABLE t ADD k INT",
            "INSERT INTO t (id) VALUES (3)",
        ],
        rows: &["t id=1 v=z", "t id=2 v=z", "t id=3 v=z k=NULL"],
    },
    Case {
        name: "oracle",
        on: MARIADB,
        statements: &[
            "SET sql_mode = 'oracle'",
            "CREATE TABLE o (id NUMBER(10) PRIMARY KEY, d DATE, v VARCHAR2(20), n NUMBER, c CLOB, r RAW(16))",
            "SET sql_mode = ''",
            "INSERT INTO o (id, d, v) VALUES (1, '2020-01-02 03:04:05', 'x')",
            "SET sql_mode = 'oracle'",
            "ALTER TABLE o ADD d2 DATE",
            "SET sql_mode = ''",
            "INSERT INTO o (id, d) VALUES (2, '2020-01-02 03:04:05')",
        ],
        rows: &[
            "o id=1 d=2020-01-02 03:04:05 v=x n=NULL c=NULL r=NULL",
            "o id=2 d=2020-01-02 03:04:05 v=NULL n=NULL c=NULL r=NULL d2=NULL",
        ],
    },
    // In this mode MariaDB words CREATE .. SELECT anew, without the options of the table.
    Case {
        name: "oracle_select",
        on: MARIADB,
        statements: &[
            "SET sql_mode = 'oracle'",
            "CREATE TABLE q (v VARCHAR2(9)) CHARACTER SET latin1 AS SELECT 1 AS id",
            "SET sql_quote_show_create = 0",
            "CREATE TABLE u (v VARCHAR2(9)) CHARACTER SET latin1 AS SELECT 1 AS id",
            "CREATE TABLE two_lines (\n  v VARCHAR2(9)\n) CHARACTER SET latin1",
            "SET sql_mode = '', sql_quote_show_create = 1, NAMES utf8mb4",
            "INSERT INTO q VALUES ('é', 2)",
            "INSERT INTO u VALUES ('é', 2)",
            "INSERT INTO two_lines VALUES ('é')",
        ],
        rows: &["q v=NULL id=1", "u v=NULL id=1", "q v=é id=2", "u v=é id=2", "two_lines v=é"],
    },
    // A client's text over lines is no server's own: it takes the database's character set.
    Case {
        name: "lines",
        on: BOTH,
        statements: &[
            "SET sql_mode = 'ANSI', NAMES utf8mb4",
            "CREATE TABLE a (\n  id INT PRIMARY KEY,\n  v VARCHAR(20)\n)",
            "CREATE TABLE b (\r\n\tid int NOT NULL,\r\n\tv varchar(20) DEFAULT NULL\r\n)",
            "CREATE TABLE \"c\" (\n  \"id\" bigint NOT NULL,\n  \"v\" varchar(20) DEFAULT NULL,\n  PRIMARY KEY (\"id\")\n) ENGINE=InnoDB",
            "CREATE TABLE d (\n    id int NOT NULL\n  , v varchar(20) NOT NULL\n)",
            "create table e (\n  v varchar(20) default null\n)",
            "SET sql_mode = 'NO_BACKSLASH_ESCAPES'",
            "CREATE TABLE f (\n  id INT,\n  v ENUM('a\\\\b', 'c')\n)",
            "SET sql_mode = ''",
            "INSERT INTO a VALUES (1, 'é')",
            "INSERT INTO b VALUES (1, 'é')",
            "INSERT INTO c VALUES (1, 'é')",
            "INSERT INTO d VALUES (1, 'é')",
            "INSERT INTO e VALUES ('é')",
            "INSERT INTO f VALUES (1, 2)",
            "ALTER TABLE a ADD k INT",
            "ALTER TABLE b ADD k INT",
            "ALTER TABLE c ADD k INT",
            "ALTER TABLE d ADD k INT",
            "ALTER TABLE e ADD k INT",
            "ALTER TABLE f ADD k INT",
            "INSERT INTO a VALUES (2, 'é', 3)",
        ],
        rows: &[
            "a id=1 v=é",
            "b id=1 v=é",
            "c id=1 v=é",
            "d id=1 v=é",
            "e v=é",
            "f id=1 v=2",
            "a id=2 v=é k=3",
        ],
    },
    Case {
        name: "oracle_lines",
        on: MARIADB,
        statements: &[
            "SET sql_mode = 'oracle', NAMES utf8mb4",
            "CREATE TABLE o (\n  id NUMBER(10) PRIMARY KEY,\n  v VARCHAR2(20)\n)",
            "CREATE TABLE p (\n  id int,\n  v varchar(20)\n)",
            "SET sql_mode = ''",
            "INSERT INTO o VALUES (1, 'é')",
            "INSERT INTO p VALUES (1, 'é')",
            "ALTER TABLE o ADD k INT",
            "ALTER TABLE p ADD k INT",
            "INSERT INTO o VALUES (2, 'é', 3)",
        ],
        rows: &["o id=1 v=é", "p id=1 v=é", "o id=2 v=é k=3"],
    },
    // Of the character set that stands before it COLLATE DEFAULT says nothing.
    Case {
        name: "collate_default",
        on: MARIADB,
        statements: &[
            "SET NAMES utf8mb4",
            "CREATE TABLE c (id INT, v VARCHAR(9) CHARACTER SET latin1 COLLATE DEFAULT)",
            "CREATE TABLE t (v VARCHAR(9)) CHARSET=latin1 COLLATE=DEFAULT",
            "CREATE TABLE k (v VARCHAR(9))",
            "INSERT INTO c VALUES (1, 'é')",
            "INSERT INTO t VALUES ('é')",
            "ALTER TABLE k CONVERT TO CHARACTER SET latin1 COLLATE DEFAULT",
            "INSERT INTO k VALUES ('é')",
            "ALTER DATABASE CHARACTER SET latin1 COLLATE DEFAULT",
            "CREATE TABLE d (v VARCHAR(9))",
            "INSERT INTO d VALUES ('é')",
            "ALTER DATABASE CHAR SET utf8mb4",
            "CREATE TABLE e (v VARCHAR(9))",
            "INSERT INTO e VALUES ('é')",
        ],
        rows: &["c id=1 v=é", "t v=é", "k v=é", "d v=é", "e v=é"],
    },
    // A period that a key is without overlaps of stands for its two columns.
    Case {
        name: "overlaps",
        on: MARIADB,
        statements: &[
            "CREATE TABLE b (id INT, s DATE, e DATE, PERIOD FOR p (s, e), \
             PRIMARY KEY (id, p WITHOUT OVERLAPS))",
            "INSERT INTO b VALUES (1, '2020-01-01', '2020-01-02')",
            "ALTER TABLE b ADD k INT",
            "INSERT INTO b VALUES (2, '2020-01-01', '2020-01-02', 3)",
        ],
        rows: &["b id=1 s=2020-01-01 e=2020-01-02", "b id=2 s=2020-01-01 e=2020-01-02 k=3"],
    },
    // Which rows a rollback leaves is judged by the engine of then, not of now. (MySQL with GTIDs
    // refuses such a transaction.)
    Case {
        name: "engine",
        on: MARIADB,
        statements: &[
            "CREATE TABLE m (id INT) ENGINE=MyISAM",
            "CREATE TABLE i (id INT) ENGINE=InnoDB",
            "CREATE TABLE c (id INT) ENGINE=InnoDB",
            "ALTER TABLE c ENGINE=MyISAM",
            "SET autocommit = 0",
            "INSERT INTO i VALUES (1)",
            "INSERT INTO m VALUES (2)",
            "INSERT INTO c VALUES (3)",
            "ROLLBACK",
            "SET autocommit = 1",
            "DROP TABLE m",
            "ALTER TABLE c ENGINE=InnoDB",
        ],
        rows: &["m id=2", "c id=3"],
    },
];

#[tokio::test]
async fn rows_come_under_the_names_they_were_written_under_on_mysql() {
    if let Some(server) = servers::mysql() {
        each_case(server).await;
    }
}

#[tokio::test]
async fn rows_come_under_the_names_they_were_written_under_on_mariadb() {
    if let Some(server) = servers::mariadb() {
        each_case(server).await;
    }
}

async fn each_case(server: &Server) {
    let begin = here(server).await;
    let cases: Vec<&Case> = CASES.iter().filter(|case| case.on.contains(&server.flavor)).collect();
    for case in &cases {
        let mut source = server.database(&database(case)).await;
        for statement in case.statements {
            run(&mut source, statement).await;
        }
    }
    let mut sluice = from(server, &begin, r"definitions_.*\..*", &[]);
    sluice.start();
    let count = cases.iter().map(|case| case.rows.len()).sum();
    let records = topics::read_at_least(&sluice.bootstrap(), "all", count);
    for case in cases {
        let of = database(case);
        let rows: Vec<String> = records.iter().flat_map(|record| rows(record, &of)).collect();
        assert_eq!(rows, case.rows, "{}", case.name);
    }
    sluice.stop();
}

/// That of the servers' own accounts is a database like any other.
#[tokio::test]
async fn tables_of_the_servers_own_database_may_come_and_go() {
    for server in [servers::mysql(), servers::mariadb()].into_iter().flatten() {
        let mut source = server.connect().await;
        let begin = here(server).await;
        for statement in [
            "CREATE TABLE mysql.definitions_gone (id INT PRIMARY KEY, n VARCHAR(10))",
            "INSERT INTO mysql.definitions_gone VALUES (1, 'a')",
            "DROP TABLE mysql.definitions_gone",
        ] {
            run(&mut source, statement).await;
        }
        let mut sluice = from(server, &begin, r"mysql\.definitions_gone", &[]);
        sluice.start();
        let records = topics::read_at_least(&sluice.bootstrap(), "all", 1);
        let rows: Vec<String> = records.iter().flat_map(|record| rows(record, "mysql")).collect();
        assert_eq!(rows, ["definitions_gone id=1 n=a"], "{:?}", server.flavor);
        sluice.stop();
    }
}

fn database(case: &Case) -> String {
    format!("definitions_{}", case.name)
}

/// The rows of a message about a database's table, each as `table name=value ..`.
fn rows(record: &Record, of: &str) -> Vec<String> {
    let message: Message = serde_json::from_str(&record.value).unwrap();
    let Message { database, table, data, .. } = message;
    let data = data.filter(|_| database == of).unwrap_or_default();
    let row = |row: crate::harness::message::Members<Option<String>>| {
        let cell = |(name, value): &(String, Option<String>)| {
            format!(" {name}={}", value.as_deref().unwrap_or("NULL"))
        };
        format!("{table}{}", row.0.iter().map(cell).collect::<String>())
    };
    data.into_iter().map(row).collect()
}

#[tokio::test]
async fn a_default_character_set_that_is_not_known_is_the_reason_and_making_the_database_the_cure_on_mysql()
 {
    if let Some(server) = servers::mysql() {
        without_database(server).await;
    }
}

#[tokio::test]
async fn a_default_character_set_that_is_not_known_is_the_reason_and_making_the_database_the_cure_on_mariadb()
 {
    if let Some(server) = servers::mariadb() {
        without_database(server).await;
    }
}

async fn without_database(server: &Server) {
    let mut source = server.connect().await;
    run(&mut source, "DROP DATABASE IF EXISTS gone_before; CREATE DATABASE gone_before").await;
    let begin = here(server).await;
    for statement in [
        "CREATE TABLE gone_before.plain (id INT, n VARCHAR(9) CHARACTER SET latin1)",
        "INSERT INTO gone_before.plain VALUES (1, 'a')",
        "CREATE TABLE gone_before.whole (n VARCHAR(9)) CHARACTER SET latin1",
        "INSERT INTO gone_before.whole VALUES ('b')",
        "CREATE TABLE gone_before.t (id INT PRIMARY KEY, n VARCHAR(9))",
        "INSERT INTO gone_before.t VALUES (1, 'c')",
        "DROP DATABASE gone_before",
    ] {
        run(&mut source, statement).await;
    }
    let mut sluice = from(server, &begin, r"gone_before\..*", &[]);
    sluice.launch();
    let said = stopped(&sluice);
    for words in [
        "no definition of gone_before.t ",
        "the default character set of database gone_before is not known",
        "CREATE DATABASE gone_before CHARACTER SET",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("sluice.schema.adopt"), "{said}");
    sluice.stop();

    run(&mut source, "CREATE DATABASE gone_before").await;
    sluice.start();
    let records = topics::read_at_least(&sluice.bootstrap(), "all", 3);
    let rows: Vec<String> = records.iter().flat_map(|record| rows(record, "gone_before")).collect();
    assert_eq!(rows, ["plain id=1 n=a", "whole n=b", "t id=1 n=c"]);
    sluice.stop();
    run(&mut source, "DROP DATABASE gone_before").await;
}

#[tokio::test]
async fn a_stop_names_the_statement_that_lost_the_definition_and_advises_what_helps() {
    let Some(server) = servers::mysql() else { return };
    let mut source = server.database("lost_definition").await;
    let begin = here(server).await;
    for statement in [
        "CREATE TABLE t (id INT PRIMARY KEY, a INT)",
        "ALTER TABLE t ADD e ENUM(0xC3A4)",
        "ALTER TABLE t ADD b INT",
        "INSERT INTO t VALUES (1, 2, NULL, 3)",
        "ALTER TABLE t ADD c INT",
    ] {
        run(&mut source, statement).await;
    }
    let filter = r"lost_definition\..*";
    let mut sluice = from(server, &begin, filter, &[]);
    sluice.launch();
    let said = stopped(&sluice);
    for words in [
        "the type of column `e`",
        "left it without a definition",
        "changed it since",
        "adopt=current",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    sluice.stop();

    // What is there now does not agree with the rows: to set what is set would not help.
    let mut sluice = from(server, &begin, filter, &[("sluice.schema.adopt", "current")]);
    sluice.launch();
    let said = stopped(&sluice);
    assert!(said.contains("5 columns, the rows have 4"), "{said}");
    assert!(said.contains("Make the table on the source as it was"), "{said}");
    assert!(!said.contains("adopt=current"), "{said}");
    sluice.stop();

    run(&mut source, "DROP TABLE t").await;
    let mut sluice = from(server, &begin, filter, &[]);
    sluice.launch();
    let said = stopped(&sluice);
    assert!(said.contains("no such table now"), "{said}");
    assert!(said.contains("Make the table on the source as it was"), "{said}");
    assert!(said.contains("canal.instance.filter.table.error=true"), "{said}");
    sluice.stop();
}

/// It may have been about a temporary table: nobody can be asked any more.
#[tokio::test]
async fn a_flagged_statement_about_a_table_that_was_dropped_makes_it_unknown() {
    for server in [servers::mysql(), servers::mariadb()].into_iter().flatten() {
        let mut source = server.database("flagged").await;
        let begin = here(server).await;
        for statement in [
            "CREATE TABLE c (id INT, c INT DEFAULT (CONNECTION_ID()))",
            "INSERT INTO c VALUES (1, 2)",
            "ALTER TABLE c ADD x INT FIRST",
            "INSERT INTO c VALUES (3, 1, 2)",
            "DROP TABLE c",
        ] {
            run(&mut source, statement).await;
        }
        let mut sluice = from(server, &begin, r"flagged\..*", &[]);
        sluice.launch();
        let said = stopped(&sluice);
        for words in ["it may have been about a temporary table", "no such table now"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        let records = topics::read_at_least(&sluice.bootstrap(), "all", 1);
        let rows: Vec<String> = records.iter().flat_map(|record| rows(record, "flagged")).collect();
        assert_eq!(rows, ["c id=1 c=2"], "{:?}", server.flavor);
        sluice.stop();
    }
}

/// One table, whatever the case it is spelt in: one topic, and the server's names.
#[tokio::test]
async fn names_are_those_of_the_server_where_it_folds_them() {
    let Some(server) = servers::private_mariadb(&["--lower-case-table-names=1"]) else { return };
    let filter = [("canal.instance.filter.regex", r"shop\..*")];
    let mut sluice = Sluice::with_instance("folded", &server, &filter);
    sluice.start();
    let mut source = server.connect().await;
    for statement in [
        "CREATE DATABASE Shop",
        "USE Shop",
        "CREATE TABLE Orders (id INT PRIMARY KEY, a INT)",
        "INSERT INTO ORDERS VALUES (1, 2)",
        "ALTER TABLE OrderS ADD c INT",
        "ALTER TABLE SHOP.ORDERS ADD d INT",
        "CREATE TABLE `ÄÖ İ` (id INT)",
        "INSERT INTO `ÄÖ İ` VALUES (1)",
    ] {
        run(&mut source, statement).await;
    }
    let kinds = |topic: &str, count| {
        let records = topics::read_at_least(&sluice.bootstrap(), topic, count);
        let message = |record: &Record| {
            let message: Message = serde_json::from_str(&record.value).unwrap();
            format!("{} {}.{}", message.kind, message.database, message.table)
        };
        records.iter().map(message).collect::<Vec<_>>()
    };
    assert_eq!(
        kinds("shop.orders", 4),
        ["CREATE shop.orders", "INSERT shop.orders", "ALTER shop.orders", "ALTER shop.orders"]
    );
    let topics = topics::list(&sluice.bootstrap());
    assert!(topics.keys().all(|topic| !topic.contains("Orders")), "{topics:?}");
    sluice.stop();
    drop(server);
}
