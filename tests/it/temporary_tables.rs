//! Temporary tables whose statements are logged (MIXED on MariaDB, STATEMENT on MySQL) are nobody
//! else's, and the real tables that they hide are those of everybody.
//!
//! The table of cases says what each statement is published as; which of them carry the flag
//! `THREAD_SPECIFIC` was looked up in the binlogs of both servers: it is on all but RENAME
//! TABLE, and as well on statements about real tables that read a temporary one, and on all about
//! a table with CONNECTION_ID() in the default of a column, in row format too.

use std::io::Read as _;
use std::net::TcpStream;

use sqlx::{MySqlConnection, Row};

use crate::harness::replication::{caught_up, promote, replicate};
use crate::harness::servers::{Flavor, here, private_mariadb, private_mysql, run, try_run};
use crate::harness::{Record, Server, Sluice, topics};

/// A statement, and what is published for it: type and table, of rows with names and values.
type Case = (&'static str, &'static [&'static str]);

/// In row format.
const REAL: &[Case] = &[
    ("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)", &["CREATE t"]),
    ("INSERT INTO t VALUES (1, 10, 20)", &["INSERT t id=1,a=10,b=20"]),
    ("CREATE TABLE r (id INT, a INT)", &["CREATE r"]),
    ("CREATE TABLE c (id INT, c INT DEFAULT (CONNECTION_ID()))", &["CREATE c"]),
    ("CREATE TABLE m (id INT, c INT DEFAULT (CONNECTION_ID())) ENGINE=MyISAM", &["CREATE m"]),
    ("ALTER TABLE c ADD x INT", &["ALTER c"]),
    ("ALTER TABLE m ADD x INT", &["ALTER m"]),
    ("CREATE INDEX i ON m (x)", &["CINDEX m"]),
    ("TRUNCATE TABLE c", &["TRUNCATE c"]),
    ("TRUNCATE TABLE m", &["TRUNCATE m"]),
    ("CREATE TABLE lc LIKE c", &["CREATE lc"]),
    ("INSERT INTO lc (id, c, x) VALUES (1, 2, 3)", &["INSERT lc id=1,c=2,x=3"]),
    ("CREATE TABLE d (id INT)", &["CREATE d"]),
    ("ALTER TABLE d ADD z INT DEFAULT (CONNECTION_ID())", &["ALTER d"]),
    ("INSERT INTO c (id, c, x) VALUES (1, 2, 3)", &["INSERT c id=1,c=2,x=3"]),
];

/// In a session with statements in the binlog. Before what only one server does, its name.
const SHADOWS: &[Case] = &[
    ("CREATE TEMPORARY TABLE t (id INT, b INT, a INT)", &[]),
    ("ALTER TABLE t RENAME COLUMN a TO q, RENAME COLUMN b TO w", &[]),
    ("TRUNCATE TABLE t", &[]),
    ("CREATE INDEX i ON t (id)", &[]),
    ("DROP INDEX i ON t", &[]),
    ("INSERT INTO t VALUES (1, 2, 3)", &[]),
    ("UPDATE t SET w = 5", &[]),
    ("REPLACE INTO t VALUES (2, 3, 4)", &[]),
    ("DELETE FROM t WHERE id = 2", &[]),
    // Under MIXED it is no statement, and nor is what follows.
    ("mysql SELECT 5, 6, 7 INTO OUTFILE 'shadow.txt'", &[]),
    ("mysql LOAD DATA INFILE 'shadow.txt' INTO TABLE t", &[]),
    ("INSERT INTO r (id) SELECT id FROM t", &["INSERT r"]),
    ("INSERT INTO r (id) VALUES (CONNECTION_ID())", &["INSERT r"]),
    ("UPDATE r SET a = 5 WHERE id IN (SELECT id FROM t)", &["UPDATE r"]),
    ("UPDATE r, t SET r.a = 6, t.w = 7 WHERE r.id = t.id", &["UPDATE r"]),
    ("UPDATE t JOIN r ON r.id = t.id SET r.a = 7", &["UPDATE r"]),
    ("DELETE r FROM r JOIN t ON r.id = t.id", &["DELETE r"]),
    ("DELETE t, r FROM t JOIN r ON r.id = t.id", &["DELETE r"]),
    ("CREATE TABLE s AS SELECT * FROM t", &["CREATE s"]),
    ("CREATE TABLE l LIKE t", &["CREATE l"]),
    ("CREATE TEMPORARY TABLE t2 (id INT)", &[]),
    ("CREATE TEMPORARY TABLE IF NOT EXISTS t3 LIKE r", &[]),
    ("CREATE TEMPORARY TABLE t4 AS SELECT * FROM r", &[]),
    ("ALTER TABLE t2 RENAME TO t5", &[]),
    ("ALTER TABLE t5 RENAME t6, ADD y INT", &[]),
    ("ALTER TABLE t6 ADD z INT", &[]),
    ("mariadb RENAME TABLE t6 TO t7", &[]),
    ("mariadb RENAME TABLE t7 TO t6, s TO s2", &["RENAME s2"]),
    ("mariadb RENAME TABLE s2 TO s, t3 TO t8", &["RENAME s"]),
    ("mariadb RENAME TABLE t8 TO t3", &[]),
    ("OPTIMIZE TABLE t6", &[]),
    ("DROP TABLE s, t6", &["ERASE s"]),
    ("DROP TEMPORARY TABLE IF EXISTS t4, nothing", &[]),
    ("ALTER TABLE c ADD y INT", &["ALTER c"]),
    ("ALTER TABLE m ADD y INT", &["ALTER m"]),
    ("TRUNCATE TABLE m", &["TRUNCATE m"]),
    ("DROP INDEX i ON m", &["DINDEX m"]),
    ("CREATE TABLE t6 (id INT)", &["CREATE t6"]),
    ("ALTER TABLE t6 ADD real_one INT", &["ALTER t6"]),
];

#[tokio::test]
async fn statements_of_temporary_tables_concern_nobody() {
    for server in [private_mysql(&[]), private_mariadb(&[])].into_iter().flatten() {
        shadows(&server).await;
    }
}

async fn shadows(server: &Server) {
    let mut source = server.database("shadows").await;
    let properties =
        [("canal.instance.filter.regex", r"shadows\..*"), ("canal.mq.topic", "shadows")];
    let mut sluice = Sluice::with_instance("shadows", server, &properties);
    sluice.start();
    let mut judge = Judge { server, expected: Vec::new() };
    let mut other = server.connect().await;
    run(&mut other, "USE shadows").await;
    judge.run(&mut source, REAL).await;
    judge.check(&sluice);

    let (format, own, foreign) = match server.flavor {
        Flavor::MySql => ("STATEMENT", "mysql ", "mariadb "),
        Flavor::MariaDb => ("MIXED", "mariadb ", "mysql "),
    };
    // What time it is a session says itself; it is not before the server was started.
    let says = format!("SET SESSION binlog_format = {format}, timestamp = 1000000000");
    run(&mut source, &says).await;
    for (statement, messages) in SHADOWS {
        if !statement.starts_with(foreign) {
            let statement = statement.strip_prefix(own).unwrap_or(statement);
            judge.run(&mut source, &[(statement, messages)]).await;
        }
    }
    judge.check(&sluice);

    // Another session sees the real ones only, with the names that they have.
    let beside: &[Case] = &[
        ("INSERT INTO t VALUES (2, 10, 20)", &["INSERT t id=2,a=10,b=20"]),
        ("ALTER TABLE t ADD k INT FIRST", &["ALTER t"]),
        ("INSERT INTO t VALUES (0, 3, 10, 20)", &["INSERT t k=0,id=3,a=10,b=20"]),
        ("INSERT INTO l VALUES (1, 2, 3)", &["INSERT l id=1,w=2,q=3"]),
        ("INSERT INTO c VALUES (1, 2, 3, 4)", &["INSERT c id=1,c=2,x=3,y=4"]),
    ];
    judge.run(&mut other, beside).await;
    judge.check(&sluice);

    // Nor does a restart make them real: RENAME TABLE is known by nothing else.
    sluice.kill();
    sluice.start();
    let after: &[Case] = &[
        ("mariadb RENAME TABLE t TO t0", &[]),
        ("mariadb RENAME TABLE t0 TO t", &[]),
        ("INSERT INTO t VALUES (7, 8, 9)", &[]),
        ("UPDATE r, t SET r.a = 8, t.w = 9 WHERE r.id = t.id", &["UPDATE r"]),
        ("CREATE INDEX i2 ON t (id)", &[]),
        ("DROP INDEX i2 ON t", &[]),
        ("ALTER TABLE t ADD w2 INT", &[]),
        ("TRUNCATE TABLE t", &[]),
        ("ALTER TABLE t RENAME TO t9", &[]),
        ("ALTER TABLE t9 RENAME TO t", &[]),
        ("ALTER TABLE c ADD y2 INT", &["ALTER c"]),
        ("DROP TABLE t", &[]),
        ("ALTER TABLE t ADD k2 INT FIRST", &["ALTER t"]),
    ];
    for (statement, messages) in after {
        if !statement.starts_with(foreign) {
            let statement = statement.strip_prefix(own).unwrap_or(statement);
            judge.run(&mut source, &[(statement, messages)]).await;
        }
    }
    let beside: &[Case] =
        &[("INSERT INTO t VALUES (9, 0, 4, 10, 20)", &["INSERT t k2=9,k=0,id=4,a=10,b=20"])];
    judge.run(&mut other, beside).await;
    judge.check(&sluice);
    sluice.stop();
}

#[tokio::test]
async fn a_row_older_than_what_was_done_to_others_of_its_name_is_read_from_behind() {
    for server in [private_mysql(&[]), private_mariadb(&[])].into_iter().flatten() {
        let mut source = server.database("shadows").await;
        run(&mut source, "CREATE TABLE u (id INT, a INT, b INT)").await;
        let format = match server.flavor {
            Flavor::MySql => "STATEMENT",
            Flavor::MariaDb => "MIXED",
        };
        let (file, offset) = here(&server).await;
        let offset = offset.to_string();
        run(&mut source, "INSERT INTO u VALUES (1, 10, 10), (1, 10, 10)").await;
        if server.flavor == Flavor::MariaDb {
            run(&mut source, "SET SESSION binlog_alter_two_phase = 1").await;
            let fails = "ALTER TABLE u DROP a, ADD UNIQUE (id), ALGORITHM = COPY";
            assert!(try_run(&mut source, fails).await.is_err());
        }
        run(&mut source, &format!("SET SESSION binlog_format = {format}")).await;
        for statement in [
            "CREATE TEMPORARY TABLE u (id INT, b INT, a INT)",
            "ALTER TABLE u DROP a",
            "TRUNCATE TABLE u",
            "ALTER TABLE u RENAME TO w",
            "DROP TABLE w",
        ] {
            run(&mut source, statement).await;
        }
        let properties = [
            ("canal.instance.filter.regex", r"shadows\..*"),
            ("canal.mq.topic", "shadows"),
            ("canal.instance.master.journal.name", file.as_str()),
            ("canal.instance.master.position", offset.as_str()),
        ];
        let mut sluice = Sluice::with_instance("behind", &server, &properties);
        sluice.start();
        run(&mut source, "CREATE TABLE last_one (id INT)").await;
        let records = topics::read_at_least(&sluice.bootstrap(), "shadows", 2);
        let seen: Vec<String> = records.iter().map(words_of).collect();
        let expected = ["INSERT u id=1,a=10,b=10 id=1,a=10,b=10", "CREATE last_one"];
        assert_eq!(seen, expected, "{:?}", server.flavor);
        sluice.stop();
    }
}

/// The number of the sessions with temporary tables: servers come so far again after a start.
const NUMBER: u64 = 90;

/// The session of that number, which those before it are counted up to.
async fn session(server: &Server, number: u64) -> MySqlConnection {
    while greeted_as(server) + 1 < number {}
    let mut connection = server.connect().await;
    let id = sqlx::raw_sql("SELECT CAST(CONNECTION_ID() AS UNSIGNED)");
    let id: u64 = id.fetch_one(&mut connection).await.unwrap().get(0);
    assert_eq!(id, number, "the number was given to somebody else");
    let format = match server.flavor {
        Flavor::MySql => "STATEMENT",
        Flavor::MariaDb => "MIXED",
    };
    run(&mut connection, &format!("USE shadows; SET SESSION binlog_format = {format}")).await;
    connection
}

/// The number of a session that comes no further than the greeting, which says it behind the text
/// of the version.
fn greeted_as(server: &Server) -> u64 {
    let mut stream = TcpStream::connect((server.host.as_str(), server.port)).unwrap();
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let mut greeting = vec![0; usize::from(u16::from_le_bytes([head[0], head[1]]))];
    stream.read_exact(&mut greeting).unwrap();
    let end = greeting.iter().position(|byte| *byte == 0).expect("the version ends");
    u64::from(u32::from_le_bytes(greeting[end + 1..end + 5].try_into().unwrap()))
}

const HIDDEN: &[Case] = &[
    ("CREATE TEMPORARY TABLE t (id INT, x INT)", &[]),
    ("ALTER TABLE t ADD y INT", &[]),
    ("INSERT INTO t VALUES (1, 2, 3)", &[]),
];

/// As a session does that has no temporary tables, whatever one of its number had before.
const NOT_HIDDEN: &[Case] = &[
    ("RENAME TABLE t TO u", &["RENAME u"]),
    ("ALTER TABLE u COMMENT 'c'", &["ALTER u"]),
    ("TRUNCATE TABLE u", &["TRUNCATE u"]),
    ("RENAME TABLE u TO t", &["RENAME t"]),
];

#[tokio::test]
async fn a_start_of_the_server_ends_its_sessions() {
    for server in [private_mysql(&[]), private_mariadb(&[])].into_iter().flatten() {
        let mut source = server.database("shadows").await;
        let properties =
            [("canal.instance.filter.regex", r"shadows\..*"), ("canal.mq.topic", "shadows")];
        let mut sluice = Sluice::with_instance("started", &server, &properties);
        sluice.start();
        let mut judge = Judge { server: &server, expected: Vec::new() };
        let real: &[Case] = &[("CREATE TABLE t (id INT)", &["CREATE t"])];
        judge.run(&mut source, real).await;
        // A start counts anew, and comes behind what was counted before it.
        for (killed, number) in [(true, NUMBER), (false, 2 * NUMBER)] {
            let mut hidden = session(&server, number).await;
            judge.run(&mut hidden, HIDDEN).await;
            let mut beside = server.connect().await;
            run(&mut beside, "USE shadows").await;
            let row: &[Case] = &[("INSERT INTO t VALUES (1)", &["INSERT t id=1"])];
            judge.run(&mut beside, row).await;
            judge.check(&sluice);
            if killed {
                server.kill();
            } else {
                server.stop();
            }
            server.start();
            judge.run(&mut session(&server, number).await, NOT_HIDDEN).await;
            judge.check(&sluice);
        }
        sluice.stop();
    }
}

/// A server that was started while another was read is read again behind that start.
#[tokio::test]
async fn a_start_that_is_not_read_ends_them_too() {
    let chained = "--log-slave-updates=1";
    let servers = [private_mariadb(&[chained]), private_mariadb(&[chained, "--server-id=12"])];
    let [Some(a), Some(b)] = servers else { return };
    let mut source = a.database("shadows").await;
    replicate(&b, &a).await;
    let standby = format!("{}:{}", b.host, b.port);
    let properties = [
        ("canal.instance.filter.regex", r"shadows\..*"),
        ("canal.mq.topic", "shadows"),
        ("canal.instance.standby.address", &*standby),
        ("canal.instance.detecting.retry.threshold", "1"),
    ];
    let mut sluice = Sluice::with_instance("back", &a, &properties);
    sluice.start();
    let mut judge = Judge { server: &a, expected: Vec::new() };
    let real: &[Case] = &[("CREATE TABLE t (id INT)", &["CREATE t"])];
    judge.run(&mut source, real).await;
    let mut hidden = session(&a, NUMBER).await;
    judge.run(&mut hidden, HIDDEN).await;
    let row: &[Case] = &[("INSERT INTO t VALUES (1)", &["INSERT t id=1"])];
    judge.run(&mut source, row).await;
    judge.check(&sluice);
    caught_up(&b, &a).await;

    a.kill();
    promote(&b).await;
    let mut beside = b.connect().await;
    run(&mut beside, "USE shadows").await;
    judge.run(&mut beside, row).await;
    judge.check(&sluice);
    a.start();
    replicate(&a, &b).await;
    caught_up(&a, &b).await;
    // Then the file that begins with the start is left out.
    run(&mut a.connect().await, "FLUSH BINARY LOGS").await;
    b.kill();
    promote(&a).await;
    judge.run(&mut session(&a, NUMBER).await, NOT_HIDDEN).await;
    judge.check(&sluice);
    sluice.stop();
}

struct Judge<'a> {
    server: &'a Server,
    expected: Vec<(String, &'static str)>,
}

impl Judge<'_> {
    async fn run(&mut self, connection: &mut MySqlConnection, cases: &[Case]) {
        for (statement, messages) in cases {
            run(connection, statement).await;
            self.expected
                .extend(messages.iter().map(|&message| ((*statement).to_owned(), message)));
        }
    }

    fn check(&self, sluice: &Sluice) {
        let records = topics::read_at_least(&sluice.bootstrap(), "shadows", self.expected.len());
        let seen: Vec<String> = records.iter().map(words_of).collect();
        for (index, (statement, message)) in self.expected.iter().enumerate() {
            assert_eq!(
                seen.get(index).map(String::as_str),
                Some(*message),
                "{:?}: {statement}; all: {seen:#?}",
                self.server.flavor
            );
        }
        assert_eq!(seen.len(), self.expected.len(), "{:?}: {seen:#?}", self.server.flavor);
    }
}

fn words_of(record: &Record) -> String {
    let message: crate::harness::message::Message = serde_json::from_str(&record.value).unwrap();
    let mut words = format!("{} {}", message.kind, message.table);
    for row in message.data.iter().flatten() {
        let values = row
            .0
            .iter()
            .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("NULL")));
        words = format!("{words} {}", values.collect::<Vec<_>>().join(","));
    }
    words
}
