//! Any table: random tables, rows and DDL on real servers, whose messages must say exactly what
//! an independent reading of the server says.
//!
//! A seed makes some tables, changes their rows, and alters them between. Behind each step a
//! row goes into the table `marker`, and the whole database is read. The messages of each step,
//! applied to what was there before it, must lead to what was read: every row, every
//! `mysqlType`, `sqlType` and `pkNames`, and one message for each DDL.
//!
//! `SLUICE_TABLES_SEEDS=n` runs so many seeds, `SLUICE_TABLES_SEED=s` begins with that one.

mod columns;
mod fold;
mod snapshot;
mod types;
mod workload;

use sqlx::MySqlConnection;

use crate::harness::message::Message;
use crate::harness::servers::{self, Flavor, run, try_run};
use crate::harness::{PATIENCE, Server, Sluice, asked, say, topics, wait_for};
use fold::differences;
use snapshot::Snapshot;
use workload::{Images, Published, Workload};

/// Seeds of a run that asks for no number, and statements of each step.
const SEEDS: u64 = 2;
const STEPS: u64 = 24;
const STATEMENTS: u64 = 6;

/// What was run between two markers.
struct Step {
    sql: Vec<String>,
    what: What,
    after: Snapshot,
}

enum What {
    /// Rows were changed, logged with such images.
    Rows(Images),
    /// A table was made or changed, which is published so.
    Ddl(Option<Published>),
}

#[tokio::test]
async fn any_table_of_mysql_is_published_as_the_server_reads_it() {
    if let Some(server) = servers::private_mysql(&["--lower-case-table-names=0"]) {
        follow(server, "binlog_row_metadata").await;
    }
}

#[tokio::test]
async fn any_table_of_mariadb_is_published_as_the_server_reads_it() {
    if let Some(server) = servers::private_mariadb(&["--log-bin-compress-min-len=10"]) {
        follow(server, "binlog_row_metadata").await;
    }
}

async fn follow(server: Server, metadata: &str) {
    let topic_per_database = [
        ("canal.mq.dynamicTopic", ".*"),
        ("canal.instance.filter.regex", r"tables_.*\..*"),
        ("sluice.timezone", "+00:00"),
    ];
    let mut sluice = Sluice::with_instance("tables", &server, &topic_per_database);
    sluice.start();
    let first = asked::number_or("SLUICE_TABLES_SEED", 1);
    let seeds = asked::number_or("SLUICE_TABLES_SEEDS", SEEDS);
    for seed in first..first + seeds {
        say(&format!("SLUICE_TABLES_SEED={seed}"));
        let database = format!("tables_{seed}");
        let mut source = server.database(&database).await;
        let level = if seed % 2 == 0 { "FULL" } else { "MINIMAL" };
        run(&mut source, &format!("SET GLOBAL {metadata} = {level}")).await;
        if server.flavor == Flavor::MariaDb {
            let compress = u8::from(seed % 4 > 1);
            run(&mut source, &format!("SET GLOBAL log_bin_compress = {compress}")).await;
        }
        // What a session logs is decided when it begins.
        let mut source = server.connect().await;
        run(&mut source, &format!("USE `{database}`")).await;
        let steps = change(&mut source, &mut Workload::new(seed, server.flavor)).await;
        compare(&messages(&sluice, &database, steps.len()), &steps);
        assert_no_reading(&sluice, &steps);
    }
    sluice.stop();
    drop(server);
}

/// The statements said all: no table had to be read again.
fn assert_no_reading(sluice: &Sluice, steps: &[Step]) {
    let said = sluice.said();
    let Some(line) = said.lines().find(|line| line.contains("reading the table")) else { return };
    let ddl = steps.iter().filter(|step| matches!(step.what, What::Ddl(_)));
    let ddl: Vec<&String> = ddl.flat_map(|step| &step.sql).collect();
    panic!("{line}\n{ddl:#?}");
}

/// Runs the seed's statements; what each step did.
async fn change(source: &mut MySqlConnection, workload: &mut Workload) -> Vec<Step> {
    run(source, "CREATE TABLE marker (n INT PRIMARY KEY)").await;
    let mut steps = Vec::new();
    mark(source, &mut steps, Vec::new(), What::Rows(Images::Full)).await;
    for ddl in workload.first() {
        run(source, &ddl.sql).await;
        mark(source, &mut steps, vec![ddl.sql], What::Ddl(ddl.published)).await;
    }
    while steps.len() < usize::try_from(STEPS).unwrap() {
        let tables = steps.last().unwrap().after.clone();
        if tables.len() < 3 || workload.random.once_in(2) {
            let ddl = if tables.len() < 3 { workload.create() } else { workload.ddl(&tables) };
            if try_run(source, &ddl.sql).await.is_ok() {
                mark(source, &mut steps, vec![ddl.sql], What::Ddl(ddl.published)).await;
            }
        } else {
            let (session, images) = workload.session();
            for statement in session {
                run(source, statement).await;
            }
            let mut ran = Vec::new();
            for _ in 0..STATEMENTS {
                let sql = workload.dml(&tables);
                if try_run(source, &sql).await.is_ok() {
                    ran.push(sql);
                }
            }
            run(source, "SET SESSION binlog_row_image = 'FULL'").await;
            mark(source, &mut steps, ran, What::Rows(images)).await;
        }
    }
    steps
}

/// Ends a step.
async fn mark(source: &mut MySqlConnection, steps: &mut Vec<Step>, sql: Vec<String>, what: What) {
    run(source, &format!("INSERT INTO marker VALUES ({})", steps.len())).await;
    let mut after = snapshot::take(source).await;
    after.remove("marker");
    steps.push(Step { sql, what, after });
}

/// The number of the marker that a message is.
fn marker(message: &Message) -> Option<usize> {
    let rows = message.data.as_ref().filter(|_| message.table == "marker")?;
    rows[0].0[0].1.as_ref()?.parse().ok()
}

/// All messages of the database, up to the last marker.
fn messages(sluice: &Sluice, database: &str, steps: usize) -> Vec<Message> {
    wait_for(&format!("marker {}", steps - 1), PATIENCE, || {
        let health = sluice.health().unwrap().1;
        assert!(!health.contains(r#""state":"stopped""#), "{health}");
        let records = topics::read(&sluice.bootstrap(), database);
        let messages: Vec<Message> =
            records.iter().map(|record| serde_json::from_str(&record.value).unwrap()).collect();
        assert!(messages.iter().all(|message| message.database == database));
        (messages.iter().rev().find_map(marker) == Some(steps - 1)).then_some(messages)
    })
}

fn compare(messages: &[Message], steps: &[Step]) {
    // Up to the first marker: the databases and the table of the markers itself.
    let begun = messages.iter().position(|message| marker(message) == Some(0)).unwrap();
    let mut rest = &messages[begun + 1..];
    let mut tables = steps[0].after.clone();
    for (number, step) in steps.iter().enumerate().skip(1) {
        let end = rest.iter().position(|message| marker(message) == Some(number)).unwrap();
        let (own, behind) = rest.split_at(end + 1);
        rest = behind;
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            judge(own, step, &mut tables);
        }));
        if let Err(reason) = judged {
            println!("in step {number}: {:#?}", step.sql);
            std::panic::resume_unwind(reason);
        }
    }
}

/// Whether the messages of a step, the last of which is its marker, say what it did.
fn judge(messages: &[Message], step: &Step, tables: &mut Snapshot) {
    let (_marker, mut rows) = messages.split_last().unwrap();
    let images = match &step.what {
        What::Rows(images) => *images,
        What::Ddl(None) => {
            assert!(rows.is_empty(), "{rows:#?}");
            tables.clone_from(&step.after);
            return;
        }
        What::Ddl(Some(awaited)) => {
            let statement;
            (statement, rows) = rows.split_first().expect("a message of the statement");
            fold::statement(tables, statement, awaited, &step.after);
            Images::Full
        }
    };
    for message in rows {
        fold::rows(tables, message, images);
    }
    if images != Images::Full {
        tables.clone_from(&step.after); // the messages do not say all of it
    }
    let different = differences(tables, &step.after);
    assert!(different.is_empty(), "{}", different.join("\n"));
}
