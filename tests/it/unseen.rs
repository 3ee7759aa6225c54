//! An account that does not see every table, and tables that no binlog names: what is not known to
//! be absent is not taken for absent, so that each row comes under the server's names or not at
//! all.

use crate::harness::program::{from, stopped};
use crate::harness::servers::{self, Flavor, here, run};
use crate::harness::{Server, Sluice, topics};

#[tokio::test]
async fn what_an_account_does_not_see_is_not_taken_for_absent_on_mysql() {
    if let Some(server) = servers::mysql() {
        unseen(server).await;
    }
}

#[tokio::test]
async fn what_an_account_does_not_see_is_not_taken_for_absent_on_mariadb() {
    if let Some(server) = servers::mariadb() {
        unseen(server).await;
    }
}

async fn unseen(server: &Server) {
    let mut source = server.database("unseen").await;
    for statement in [
        "DROP DATABASE IF EXISTS unseen_2",
        "DROP DATABASE IF EXISTS unseen_3",
        "CREATE TABLE seen (a INT, b INT)",
        "CREATE TABLE hidden (a INT, b INT)",
        "CREATE DATABASE unseen_2 CHARACTER SET latin1",
        "CREATE TABLE unseen_2.t (a INT, b INT)",
        "DROP USER IF EXISTS unseen",
        "CREATE USER unseen IDENTIFIED BY 'unseen'",
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO unseen",
        "GRANT SELECT ON unseen.seen TO unseen",
    ] {
        run(&mut source, statement).await;
    }
    let mut sluice = Sluice::with_instance(
        "unseen",
        server,
        &[
            ("canal.instance.dbUsername", "unseen"),
            ("canal.instance.dbPassword", "unseen"),
            ("canal.instance.filter.regex", r"unseen\..*,unseen_2\..*,unseen_3\..*"),
            ("canal.instance.filter.query.ddl", "true"),
            ("canal.instance.filter.query.dcl", "true"),
            ("canal.mq.topic", "all"),
        ],
    );
    let check = sluice.command(&["check"]);
    assert!(
        check.said.contains("the account `unseen` does not see every table of unseen, unseen_2"),
        "{}",
        check.said
    );
    sluice.start();

    let statements = [
        // There, and not seen.
        "CREATE TABLE IF NOT EXISTS hidden (b INT, a INT)",
        "CREATE DATABASE IF NOT EXISTS unseen_2",
        "CREATE TABLE IF NOT EXISTS unseen_2.t (b INT, a INT)",
        // Made without a word in the binlog.
        "SET sql_log_bin = 0",
        "CREATE TABLE silent (a INT, b INT)",
        "CREATE TABLE unseen_2.silent (a INT, b INT)",
        "SET sql_log_bin = 1",
        "CREATE TABLE IF NOT EXISTS silent (b INT, a INT)",
        "CREATE TABLE IF NOT EXISTS unseen_2.silent (b INT, a INT)",
        "GRANT SELECT ON unseen.* TO unseen",
        "GRANT SELECT ON unseen_2.* TO unseen",
        "INSERT INTO hidden VALUES (1, 2)",
        "INSERT INTO unseen_2.t VALUES (3, 4)",
        "INSERT INTO silent VALUES (5, 6)",
        "INSERT INTO unseen_2.silent VALUES (7, 8)",
    ];
    for statement in statements {
        run(&mut source, statement).await;
    }
    let rows = rows(&sluice, 4);
    assert_eq!(
        rows,
        [
            r#"hidden {"a":"1","b":"2"}"#,
            r#"t {"a":"3","b":"4"}"#,
            r#"silent {"a":"5","b":"6"}"#,
            r#"silent {"a":"7","b":"8"}"#
        ]
    );
    sluice.stop();
    run(&mut source, "DROP USER unseen").await;
    run(&mut source, "DROP DATABASE unseen_2").await;
}

#[tokio::test]
async fn a_table_seen_by_some_of_its_columns_is_not_taken_for_the_whole() {
    for server in [servers::mysql(), servers::mariadb()].into_iter().flatten() {
        partly_seen(server).await;
    }
}

async fn partly_seen(server: &Server) {
    let mut source = server.database("partly").await;
    for statement in [
        "CREATE TABLE t (a INT, b INT, c INT)",
        "CREATE TABLE whole (a INT, b INT)",
        "CREATE TABLE written (a INT, b INT)",
        "DROP USER IF EXISTS partly",
        "CREATE USER partly IDENTIFIED BY 'partly'",
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO partly",
        "GRANT SELECT (a, c) ON partly.t TO partly",
        "GRANT SELECT ON partly.whole TO partly",
        "GRANT INSERT, UPDATE (a) ON partly.written TO partly",
    ] {
        run(&mut source, statement).await;
    }
    let mut sluice = Sluice::with_instance(
        "partly",
        server,
        &[
            ("canal.instance.dbUsername", "partly"),
            ("canal.instance.dbPassword", "partly"),
            ("canal.instance.filter.regex", r"partly\..*"),
            ("canal.instance.filter.query.ddl", "true"),
            ("canal.instance.filter.query.dcl", "true"),
            ("canal.mq.topic", "all"),
        ],
    );
    sluice.start();
    let lines = sluice.said();
    assert_eq!(lines.matches("not read before rows of it come").count(), 1, "{lines}");
    // With the columns that are seen this makes as many as there are, under other names.
    let alter = match server.flavor {
        Flavor::MySql => "ALTER TABLE t RENAME COLUMN b TO bb",
        Flavor::MariaDb => "ALTER TABLE t ADD COLUMN IF NOT EXISTS b INT",
    };
    for statement in [
        "INSERT INTO whole VALUES (1, 2)",
        "INSERT INTO written VALUES (3, 4)",
        alter,
        "INSERT INTO t VALUES (5, 6, 7)",
    ] {
        run(&mut source, statement).await;
    }
    let rows = rows(&sluice, 2);
    assert_eq!(rows, [r#"whole {"a":"1","b":"2"}"#, r#"written {"a":"3","b":"4"}"#]);
    let stopped = stopped(&sluice);
    assert!(stopped.contains("privileges on some of its columns only"), "{stopped}");
    assert!(stopped.contains("GRANT SELECT ON partly.t to the account"), "{stopped}");
    run(&mut source, "GRANT SELECT ON partly.t TO partly").await;
    sluice.stop();
    sluice.start();
    let last = self::rows(&sluice, 3).pop().unwrap();
    let expected = match server.flavor {
        Flavor::MySql => r#"t {"a":"5","bb":"6","c":"7"}"#,
        Flavor::MariaDb => r#"t {"a":"5","b":"6","c":"7"}"#,
    };
    assert_eq!(last, expected);
    sluice.stop();
    run(&mut source, "DROP USER partly").await;
}

/// What was made by IF NOT EXISTS, and was dropped: the statements alone say what it was, and the
/// server which of them made something.
#[tokio::test]
async fn a_table_made_by_if_not_exists_is_known_without_asking_on_mysql() {
    if let Some(server) = servers::mysql() {
        made(server).await;
    }
}

#[tokio::test]
async fn a_table_made_by_if_not_exists_is_known_without_asking_on_mariadb() {
    if let Some(server) = servers::mariadb() {
        made(server).await;
    }
}

async fn made(server: &Server) {
    let mut source = server.database("made").await;
    run(&mut source, "DROP DATABASE IF EXISTS made_2; DROP DATABASE IF EXISTS made_3; DROP DATABASE IF EXISTS made_4").await;
    run(&mut source, "CREATE TABLE old (x INT, y INT)").await;
    let begin = here(server).await;
    for statement in [
        "CREATE TABLE IF NOT EXISTS plain (a INT, b INT)",
        "CREATE TABLE IF NOT EXISTS plain (b INT, a INT)",
        "CREATE TABLE IF NOT EXISTS alike LIKE plain",
        "CREATE TABLE IF NOT EXISTS alike LIKE old",
        "CREATE TABLE IF NOT EXISTS chosen SELECT a AS c, b AS d FROM plain",
        "CREATE TEMPORARY TABLE tmp (e INT, f INT)",
        "CREATE TABLE IF NOT EXISTS of_tmp LIKE tmp",
        "CREATE DATABASE IF NOT EXISTS made_2",
        "CREATE TABLE IF NOT EXISTS made_2.t (g INT, h VARCHAR(5))",
        "CREATE DATABASE made_3 CHARACTER SET latin1",
        "CREATE DATABASE IF NOT EXISTS made_3 CHARACTER SET utf8mb4",
        "CREATE TABLE made_3.t (i INT, j VARCHAR(5))",
        "INSERT INTO plain VALUES (1, 2)",
        "INSERT INTO alike VALUES (3, 4)",
        "INSERT INTO chosen VALUES (5, 6)",
        "INSERT INTO of_tmp VALUES (7, 8)",
        "INSERT INTO made_2.t VALUES (9, 'é')",
        "INSERT INTO made_3.t VALUES (10, 'é')",
        // The server has another of that name by now.
        "CREATE DATABASE IF NOT EXISTS made_4 CHARACTER SET latin1",
        "CREATE TABLE made_4.t (k INT, l TEXT)",
        "INSERT INTO made_4.t VALUES (11, 'é')",
        "DROP DATABASE made_4",
        "CREATE DATABASE made_4 CHARACTER SET utf8mb4",
        "DROP TEMPORARY TABLE tmp",
        "DROP TABLE plain, alike, chosen, of_tmp",
        "DROP DATABASE made_2",
        "DROP DATABASE made_3",
    ] {
        run(&mut source, statement).await;
    }
    let mut sluice = from(server, &begin, r"made\..*,made_[234]\..*", &[]);
    sluice.start();
    let rows = rows(&sluice, 7);
    assert_eq!(
        rows,
        [
            r#"plain {"a":"1","b":"2"}"#,
            r#"alike {"a":"3","b":"4"}"#,
            r#"chosen {"c":"5","d":"6"}"#,
            r#"of_tmp {"e":"7","f":"8"}"#,
            r#"t {"g":"9","h":"é"}"#,
            r#"t {"i":"10","j":"é"}"#,
            r#"t {"k":"11","l":"é"}"#
        ]
    );
    sluice.stop();
}

fn rows(sluice: &Sluice, count: usize) -> Vec<String> {
    let records = topics::read_at_least(&sluice.bootstrap(), "all", count);
    let messages = records.iter().map(crate::harness::Record::json);
    let messages = messages.filter(|message| message["type"] == "INSERT");
    messages
        .map(|message| format!("{} {}", message["table"].as_str().unwrap(), message["data"][0]))
        .collect()
}
