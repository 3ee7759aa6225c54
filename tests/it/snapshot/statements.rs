//! Statements that change tables while these are copied, and rows that cannot be.

use std::time::Duration;

use crate::harness::program::limit;
use crate::harness::servers::{private_mariadb, private_mysql};
use crate::harness::{PATIENCE, Random, Server, Sluice, asked, topics, wait_for};

use super::{
    FILTER, INITIAL, Load, ROWS, T, drained, is_the_table, make_tables, never_went_back,
    wait_until_copied,
};

#[test]
fn altered_while_it_is_copied_the_topic_is_the_table() {
    let Some(mysql) = private_mysql(&[]) else { return };
    altered_while_it_is_copied(&mysql);
}

#[test]
fn altered_while_it_is_copied_the_topic_is_the_table_of_mariadb_too() {
    let Some(mariadb) = private_mariadb(&[]) else { return };
    altered_while_it_is_copied(&mariadb);
}

fn altered_while_it_is_copied(server: &Server) {
    let seed = asked::seed("SLUICE_SNAPSHOT_SEED");
    let mut random = Random::new(seed);
    make_tables(server, &[T], ROWS / 2);
    server.mysql_client(
        "copied",
        "CREATE TABLE dropped LIKE t; INSERT INTO dropped SELECT * FROM t;
         CREATE TABLE emptied LIKE t; INSERT INTO emptied SELECT * FROM t;
         CREATE TABLE renamed LIKE t; INSERT INTO renamed SELECT * FROM t;",
    );
    let mut sluice = Sluice::with_instance("copy", server, &[FILTER, INITIAL]);
    sluice.start();
    let load = Load::start(server, (&[T], ROWS / 2), seed);
    let mut step = |sql: &str| {
        server.mysql_client("copied", sql);
        std::thread::sleep(Duration::from_millis(random.below(150)));
    };
    step("DROP TABLE dropped");
    step("TRUNCATE emptied");
    step("INSERT INTO emptied VALUES (5, 5, 10, 'after')");
    step("RENAME TABLE renamed TO moved");
    for turn in 0..4 {
        step(&format!("ALTER TABLE t ADD COLUMN more{turn} INT DEFAULT 7"));
        step(&format!("ALTER TABLE t DROP COLUMN more{turn}"));
    }
    wait_until_copied(&sluice, &[T]);
    load.stop();
    let own = sluice.bootstrap();
    let records = drained(server, "t", &|| topics::read(&own, "copied.t"));
    is_the_table(server, "t", &records);
    never_went_back(&records);
    let status = wait_for("the end of the copy", PATIENCE, || {
        let status = sluice.command(&["snapshot", "status"]).said;
        (!status.contains("pending") && !status.contains("copying")).then_some(status)
    });
    assert!(!status.contains("FAILED"), "{status}");
    let emptied = topics::read(&sluice.bootstrap(), "copied.emptied");
    let last = emptied.iter().rposition(|record| record.value.contains("TRUNCATE")).unwrap();
    let behind: Vec<_> =
        emptied[last + 1..].iter().filter(|record| record.value.contains("\"row ")).collect();
    assert!(behind.is_empty(), "rows from before the TRUNCATE behind it: {behind:?}");
    sluice.stop();
}

#[test]
fn a_table_that_cannot_be_copied_does_not_hold_up_the_others() {
    let Some(mysql) = private_mysql(&[]) else { return };
    let long = "x".repeat(3000);
    mysql.mysql_client(
        "",
        "CREATE DATABASE copied; USE copied; CREATE TABLE a (id INT PRIMARY KEY, text TEXT);
         CREATE TABLE b (id INT PRIMARY KEY, text TEXT);",
    );
    let mut sluice = Sluice::with_instance("copy", &mysql, &[FILTER]);
    sluice.start();
    mysql.mysql_client("copied", "INSERT INTO a VALUES (1, 'a'); INSERT INTO b VALUES (1, 'b');");
    topics::read_at_least(&sluice.bootstrap(), "copied.a", 1);
    topics::read_at_least(&sluice.bootstrap(), "copied.b", 1);
    // What is longer than its topic takes from now on was not, when it was written.
    mysql.mysql_client("copied", &format!("INSERT INTO a VALUES (2, '{long}')"));
    topics::read_at_least(&sluice.bootstrap(), "copied.a", 2);
    limit(&sluice, "copied.a", 1500);
    let none = sluice.command(&["snapshot", "status"]);
    assert!(none.said.contains("no table is copied, nor was"), "{none:?}");

    let plan = sluice.command(&["snapshot", "plan", "copy"]);
    assert!(plan.said.contains("in all: 2 tables"), "{plan:?}");
    let paused = sluice.command(&["snapshot", "pause", "copy"]);
    assert_eq!(paused.code, Some(0), "{paused:?}");
    let started = sluice.command(&["snapshot", "start", "copy"]);
    assert!(started.said.contains("2 tables are to be copied"), "{started:?}");
    // Over a restart too.
    sluice.stop();
    sluice.start();
    let status = wait_for("the status", PATIENCE, || {
        let status = sluice.command(&["snapshot", "status", "copy"]).said;
        status.contains("PAUSED").then_some(status)
    });
    assert!(
        status.contains("copied.a: pending") && status.contains("copied.b: pending"),
        "{status}"
    );
    let resumed = sluice.command(&["snapshot", "resume", "copy"]);
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    let status = wait_for("the end of the copy", PATIENCE, || {
        let status = sluice.command(&["snapshot", "status"]);
        (status.said.contains("1 of 2 tables") && status.said.contains("1 FAILED"))
            .then_some(status)
    });
    assert_eq!(status.code, Some(3), "{status:?}");
    assert!(status.said.contains("copied.a: failed") && status.said.contains("max.message.bytes"));
    let copied = |table: &str| {
        let records = topics::read(&sluice.bootstrap(), &format!("copied.{table}"));
        records.into_iter().filter(|record| record.headers.contains_key("snapshot")).count()
    };
    assert_eq!((copied("a"), copied("b")), (0, 1));

    // It goes on by itself, and with what is asked for only.
    limit(&sluice, "copied.a", 1 << 20);
    let arguments = ["snapshot", "start", "copy", "--tables", r"copied\.a", "--where", "id = 2"];
    let again = sluice.command(&arguments);
    assert!(again.said.contains("1 tables are to be copied"), "{again:?}");
    wait_for("the row", PATIENCE, || (copied("a") == 1).then_some(()));
    let wrong = sluice.command(&["snapshot", "start", "copy", "--tables", r"other\..*"]);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.said.contains("no such table"), "{wrong:?}");
    sluice.stop();
}

/// What a table that was made since has came by the stream: it counts as copied. One that a wider
/// filter takes in does not.
#[test]
fn of_missing_tables_those_are_copied_that_were_never_published() {
    let Some(mysql) = private_mysql(&[]) else { return };
    mysql.mysql_client(
        "",
        "CREATE DATABASE copied; CREATE DATABASE later; CREATE TABLE copied.a (id INT PRIMARY KEY);
         CREATE TABLE later.b (id INT PRIMARY KEY); INSERT INTO copied.a VALUES (1);
         INSERT INTO later.b VALUES (1);",
    );
    let missing = ("sluice.snapshot", "missing");
    let mut sluice = Sluice::with_instance("copy", &mysql, &[FILTER, missing]);
    sluice.start();
    let copied = |sluice: &Sluice, topic: &str| {
        let records = topics::read(&sluice.bootstrap(), topic);
        records.iter().filter(|record| record.headers.contains_key("snapshot")).count()
    };
    let wait = |sluice: &Sluice, words: &str| {
        wait_for(words, PATIENCE, || {
            sluice.command(&["snapshot", "status"]).said.contains(words).then_some(())
        });
    };
    wait(&sluice, "1 of 1 tables");
    mysql.mysql_client(
        "copied",
        "CREATE TABLE made (id INT PRIMARY KEY); INSERT INTO made VALUES (1), (2);
         CREATE TABLE IF NOT EXISTS a (id INT PRIMARY KEY);",
    );
    wait(&sluice, "2 of 2 tables");
    sluice.stop();
    let wider = ("canal.instance.filter.regex", r"copied\..*,later\..*");
    sluice.instance("copy", &mysql, &[wider, missing]);
    sluice.start();
    wait(&sluice, "3 of 3 tables");
    let counts = ["copied.a", "copied.made", "later.b"].map(|topic| copied(&sluice, topic));
    assert_eq!(counts, [1, 0, 1]);
    sluice.stop();
}

/// The instance ends when nothing is left to be copied, and says so.
#[test]
fn an_instance_that_only_copies_ends_when_it_has() {
    let Some(mysql) = private_mysql(&[]) else { return };
    mysql.mysql_client(
        "",
        "CREATE DATABASE copied; CREATE TABLE copied.a (id INT PRIMARY KEY);
         INSERT INTO copied.a VALUES (1), (2);",
    );
    let mut sluice = Sluice::with_instance("copy", &mysql, &[FILTER, ("sluice.snapshot", "only")]);
    sluice.launch();
    wait_for("the end", PATIENCE, || {
        let (_, health) = sluice.health()?;
        health.contains("all tables are copied").then_some(())
    });
    let records = topics::read(&sluice.bootstrap(), "copied.a");
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].headers["snapshot"], "copied.a:0/end");
    sluice.stop();
}
