//! Definitions in random dress, as messages of their own (`canal.instance.filter.query.ddl=false`):
//! comments, executed ones too, and all blanks before, between and behind their words.
//!
//! Beside each statement stands what the real Canal publishes of the plain one (`golden/canal`): its
//! type, and the database and table of its first clause. Dress changes nothing of that; the text is
//! what the server logged, by its own SHOW BINLOG EVENTS. `SLUICE_DRESSED_SEED` repeats a run.

use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

use crate::harness::message::Message;
use crate::harness::servers::{self, Server, run, try_run};
use crate::harness::{Random, Sluice, say, topics};
use crate::random_ddl::BLANKS;

/// Words of a statement, and what is published of it.
type Case = (&'static str, &'static str);

/// In their order each has something to do.
const CASES: &[Case] = &[
    ("CREATE DATABASE two", "QUERY two."),
    ("CREATE TABLE t ( id INT PRIMARY KEY , v INT )", "CREATE dressed.t"),
    ("CREATE TABLE two . `x y` ( id INT , v INT )", "CREATE two.x y"),
    ("CREATE TABLE IF NOT EXISTS u LIKE t", "CREATE dressed.u"),
    ("ALTER TABLE t ADD COLUMN c INT", "ALTER dressed.t"),
    ("ALTER TABLE t MODIFY v BIGINT , ADD w INT FIRST", "ALTER dressed.t"),
    ("ALTER TABLE two . `x y` CHANGE v `v w` CHAR ( 5 )", "ALTER two.x y"),
    ("ALTER TABLE t ADD INDEX i ( v )", "CINDEX dressed.t"),
    ("CREATE INDEX j ON t ( w )", "CINDEX dressed.t"),
    ("CREATE UNIQUE INDEX k ON two . `x y` ( id )", "CINDEX two.x y"),
    ("ALTER TABLE t DROP INDEX i", "DINDEX dressed.t"),
    ("DROP INDEX j ON t", "DINDEX dressed.t"),
    ("ALTER TABLE t DROP COLUMN w , ENGINE = InnoDB", "ALTER dressed.t"),
    ("TRUNCATE TABLE t", "TRUNCATE dressed.t"),
    ("TRUNCATE u", "TRUNCATE dressed.u"),
    ("RENAME TABLE u TO two . u", "RENAME two.u"),
    ("RENAME TABLE t TO s , two . u TO t", "RENAME dressed.s"),
    ("ALTER TABLE s RENAME TO two . s", "RENAME two.s"),
    ("ALTER TABLE two . s COMMENT 'ALTER /* TABLE */ x'", "ALTER two.s"),
    ("DROP TABLE t", "ERASE dressed.t"),
    ("DROP TABLE IF EXISTS two . s , two . `x y`", "ERASE two.s"),
    ("DROP DATABASE two", "QUERY two."),
];

/// Each case so often on each server.
const ROUNDS: usize = 6;

#[tokio::test]
async fn a_definition_is_published_by_its_kind_and_table_however_it_is_dressed() {
    let servers = [servers::private_mysql(&[]), servers::private_mariadb(&[])];
    for server in servers.into_iter().flatten() {
        dressed(&server, &mut Random::seeded("SLUICE_DRESSED_SEED")).await;
    }
}

async fn dressed(server: &Server, random: &mut Random) {
    let mut source = server.database("dressed").await;
    run(&mut source, "FLUSH BINARY LOGS").await;
    let settings = [
        ("canal.instance.filter.regex", r"(dressed|two)\..*,dressed,two"),
        ("canal.instance.filter.query.ddl", "false"),
        ("canal.mq.topic", "all"),
    ];
    let mut sluice = Sluice::with_instance("dressed", server, &settings);
    sluice.start();
    let (mut wanted, mut refused) = (Vec::new(), 0);
    for (words, message) in CASES.iter().cycle().take(ROUNDS * CASES.len()) {
        loop {
            let text = dress(words, random);
            match try_run(&mut source, &text).await {
                Ok(()) => break wanted.push((*message, text)),
                // It ends within a comment, say: in other dress, then.
                Err(_) => refused += 1,
            }
            assert!(refused < 1000, "{words}");
        }
    }
    say(&format!("{} statements, {refused} dresses refused", wanted.len()));
    let logged = logged(&mut source).await;
    assert_eq!(logged.len(), wanted.len(), "each is in the binlog");
    let records = topics::read_at_least(&sluice.bootstrap(), "all", wanted.len());
    assert_eq!(records.len(), wanted.len());
    for ((record, (message, text)), logged) in records.iter().zip(&wanted).zip(&logged) {
        let Message { kind, database, table, is_ddl, sql, data, .. } =
            serde_json::from_str(&record.value).unwrap();
        let server = server.flavor;
        assert_eq!(format!("{kind} {database}.{table}"), *message, "{server:?}: {text:?}");
        assert_eq!(sql, *logged, "{server:?}: {text:?}");
        assert!(is_ddl && data.is_none(), "{server:?}: {text:?}");
    }
    sluice.stop();
}

/// The words with anything between them that separates words.
fn dress(words: &str, random: &mut Random) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    let executed = random.once_in(4).then(|| random.place(words.len()));
    let mut text = String::new();
    let mut is_open = false;
    let mut is_quoted = false;
    for (place, word) in words.iter().enumerate() {
        let in_name = is_quoted;
        is_quoted ^= word.bytes().filter(|byte| matches!(byte, b'`' | b'\'')).count() % 2 == 1;
        match (place, in_name) {
            (_, true) => text.push(' '),
            (0, _) if random.once_in(2) => {}
            _ => text.push_str(random.pick::<&str>(BLANKS)),
        }
        if executed == Some(place) && !in_name {
            text.push_str(random.pick::<&str>(&["/*! ", "/*!50003 ", "/*!40101\u{b}"]));
            is_open = true;
        }
        text.push_str(word);
        if is_open && !is_quoted && random.once_in(2) {
            text.push_str(" */");
            is_open = false;
        }
    }
    if is_open {
        text.push_str(" */");
    }
    text.push_str(random.pick::<&str>(&[
        "",
        "",
        " -- behind",
        " # behind",
        "\u{b}/* behind */",
        ";",
        "\u{c}",
    ]));
    text
}

/// The statements in the server's newest binlog, as it shows them.
async fn logged(source: &mut MySqlConnection) -> Vec<String> {
    let logs = sqlx::raw_sql("SHOW BINARY LOGS").fetch_all(&mut *source).await.unwrap();
    let newest: String = logs.last().unwrap().get(0);
    let events = AssertSqlSafe(format!("SHOW BINLOG EVENTS IN '{newest}'"));
    let events = sqlx::raw_sql(events).fetch_all(&mut *source).await.unwrap();
    let queries = events.iter().filter(|event| event.get::<String, _>(2) == "Query");
    queries
        .map(|event| {
            let info: Vec<u8> = event.get_unchecked(5);
            let info = String::from_utf8(info).unwrap();
            let statement = info.strip_prefix("use `dressed`; ").unwrap_or(&info);
            // MySQL shows the number of its transaction behind it.
            let without = statement.rfind(" /* xid=").map(|from| &statement[..from]);
            without.unwrap_or(statement).to_owned()
        })
        .collect()
}
