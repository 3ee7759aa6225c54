//! XA transactions in two phases, on real servers: what a branch changed is published once, at its
//! XA COMMIT, as one transaction; and nothing of one that is rolled back.
//!
//! A script is a list of steps, each over a connection of its own. A model follows it, and the
//! server is the judge of what a step may do: one that it refuses did not happen. Fixed scripts
//! hold the orders that matter; a random one mixes all steps (its seed is printed,
//! `SLUICE_XA_SEED` repeats it, `SLUICE_XA_STEPS` is how long it is).

mod held;
mod kinds;
mod large;
mod late;
mod lost;
mod names;
mod recover;
mod search;
mod unlogged;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, Row as _};

use crate::harness::servers::{self, Flavor, Server, run, try_run};
use crate::harness::{PATIENCE, Random, Record, Sluice, asked, say, topics, wait_for};

const FILTER: [(&str, &str); 2] = [
    ("canal.instance.filter.regex", r"xa\..*"),
    ("canal.instance.filter.black.regex", r"xa\.hidden"),
];

/// Names of branches that differ in one part only.
const XIDS: [&str; 6] =
    ["'a'", "'a','b'", "'a','b',7", "'b'", "'a','c'", "X'00ff2c27','b',2147483647"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A branch is prepared with so many rows (in two tables, by turns).
    Prepare(usize, usize),
    /// The same in a table that the filter drops.
    PrepareHidden(usize),
    /// With rows behind a savepoint that are rolled back.
    PreparePartly(usize),
    /// Without anything.
    PrepareEmpty(usize),
    Commit(usize),
    Rollback(usize),
    OnePhase(usize),
    /// An ordinary transaction.
    Plain,
    /// A table gets another column; waits for no prepared branch.
    Alter,
    /// Another binlog file.
    Rotate,
    /// kill -9 of sluice.
    Kill,
    /// An orderly end of sluice.
    Stop,
    /// kill -9 of the server.
    KillServer,
}

use Step::{
    Alter, Commit, Kill, KillServer, OnePhase, Plain, Prepare, PrepareEmpty, PrepareHidden,
    PreparePartly, Rollback, Rotate, Stop,
};

impl Step {
    fn branch(self) -> Option<usize> {
        match self {
            Prepare(branch, _)
            | PrepareHidden(branch)
            | PreparePartly(branch)
            | PrepareEmpty(branch)
            | Commit(branch)
            | Rollback(branch)
            | OnePhase(branch) => Some(branch),
            Plain | Alter | Rotate | Kill | Stop | KillServer => None,
        }
    }
}

/// Orders that matter.
const SCRIPTS: &[&[Step]] = &[
    &[Prepare(0, 1), Commit(0)],
    &[Prepare(0, 3), Plain, Commit(0), Plain],
    &[Prepare(0, 3), Rollback(0), Plain],
    &[Prepare(0, 2), Prepare(1, 2), Prepare(2, 2), Commit(1), Rollback(2), Commit(0)],
    &[Prepare(3, 2), Prepare(4, 2), Prepare(5, 2), Rollback(3), Commit(5), Commit(4)],
    // The same name again, and again.
    &[Prepare(0, 1), Commit(0), Prepare(0, 2), Rollback(0), Prepare(0, 3), Commit(0)],
    &[OnePhase(0), Prepare(0, 1), OnePhase(1), Commit(0), OnePhase(0)],
    &[PrepareHidden(0), Plain, Commit(0), PrepareHidden(0), Rollback(0)],
    &[
        PrepareEmpty(0),
        Commit(0),
        PreparePartly(1),
        Alter,
        Commit(1),
        PreparePartly(1),
        Rollback(1),
    ],
    &[Prepare(0, 2), Rotate, Plain, Rotate, Commit(0)],
    &[Prepare(0, 2), Prepare(1, 1), Kill, Commit(0), Kill, Rollback(1), Plain],
    &[
        Prepare(0, 2),
        PrepareHidden(1),
        Prepare(2, 2),
        KillServer,
        Alter,
        Commit(3),
        Commit(1),
        Commit(0),
    ],
    &[Prepare(0, 2), Stop, Plain],
    &[Rotate, Commit(0)],
];

#[tokio::test]
async fn a_branch_is_published_at_its_commit_on_mysql() {
    let Some(mysql) = servers::private_mysql(&[]) else { return };
    play(&mysql, "false").await;
}

#[tokio::test]
async fn a_branch_is_published_at_its_commit_on_mysql_with_compressed_transactions_by_gtid() {
    let Some(mysql) = servers::private_mysql(&["--binlog-transaction-compression=ON"]) else {
        return;
    };
    play(&mysql, "true").await;
}

#[tokio::test]
async fn a_branch_is_published_at_its_commit_on_mariadb() {
    let Some(mariadb) = servers::private_mariadb(&[]) else { return };
    play(&mariadb, "false").await;
}

/// The rows of a branch that was prepared before the instance began are still in the source's
/// binlogs.
#[tokio::test]
async fn a_branch_prepared_before_the_begin_is_found_in_the_binlogs() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        let server = match flavor {
            Flavor::MySql => servers::private_mysql(&["--binlog-transaction-compression=ON"]),
            Flavor::MariaDb => servers::private_mariadb(&[]),
        };
        let Some(server) = &server else { return };
        let mut admin = server.database("xa").await;
        run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
        // The xid was used before, and a neighbour has nearly the same.
        prepare(server, "'a'", &[1]).await;
        end(server, "XA ROLLBACK 'a'").await;
        prepare(server, "'a'", &[2, 3]).await;
        prepare(server, "'a','b'", &[4]).await;
        run(&mut admin, "FLUSH BINARY LOGS; INSERT INTO t VALUES (5); FLUSH BINARY LOGS").await;
        let mut sluice = Sluice::with_instance("xa", server, &FILTER);
        sluice.start();
        end(server, "XA COMMIT 'a'").await;
        prepare(server, "'a'", &[6]).await;
        end(server, "XA COMMIT 'a'").await;
        end(server, "XA ROLLBACK 'a','b'").await;
        run(&mut admin, "INSERT INTO t VALUES (7)").await;
        let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", 4);
        let ids: Vec<usize> = records.iter().map(id).collect();
        assert_eq!(ids, [2, 3, 6, 7], "{flavor:?}");
        whole_and_at_its_place(server, &mut admin, records[..2].to_vec(), true).await;
        wait_for("the unknown rollback to be counted", PATIENCE, || {
            let metrics = sluice.metrics()?.1;
            let counted = |line: &&str| line.starts_with("sluice_instance_unknown_xa_rollbacks");
            metrics.lines().find(counted)?.ends_with(" 1").then_some(())
        });
        sluice.stop();
    }
}

#[tokio::test]
async fn a_branch_that_is_nowhere_stops_the_instance_or_is_left_out() {
    let Some(server) = servers::private_mysql(&[]) else { return };
    let mut admin = server.database("xa").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    prepare(&server, "'lost'", &[1]).await;
    run(&mut admin, "FLUSH BINARY LOGS; PURGE BINARY LOGS TO 'binlog.000002'").await;
    let mut sluice = Sluice::with_instance("xa", &server, &FILTER);
    sluice.start();
    end(&server, "XA COMMIT 'lost'").await;
    run(&mut admin, "INSERT INTO t VALUES (2)").await;
    let begun = Instant::now();
    let said = loop {
        let said = sluice.health().map(|health| health.1).unwrap_or_default();
        if said.contains("X'6c6f7374',X'',1") {
            break said;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{said}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(said.contains("binlog.000002:") && said.contains("sluice.xa.unknown=skip"), "{said}");
    sluice.stop();
    sluice.instance("xa", &server, &[&FILTER[..], &[("sluice.xa.unknown", "skip")]].concat());
    sluice.start();
    let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", 1);
    assert_eq!(records.iter().map(id).collect::<Vec<_>>(), [2]);
    sluice.stop();
}

async fn prepare(server: &Server, xid: &str, ids: &[usize]) {
    let rows: Vec<String> =
        ids.iter().map(|id| format!("INSERT INTO xa.t (id) VALUES ({id});")).collect();
    let mut connection = server.connect().await;
    let rows = rows.concat();
    run(&mut connection, &format!("XA START {xid}; {rows} XA END {xid}; XA PREPARE {xid}")).await;
    connection.close().await.unwrap();
}

/// The connection that prepared it may not have ended yet.
async fn end(server: &Server, sql: &str) {
    for _ in 0..100 {
        let mut connection = server.connect().await;
        if try_run(&mut connection, sql).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{sql} does not work");
}

async fn play(server: &Server, gtidon: &str) {
    let mut random = Random::seeded("SLUICE_XA_SEED");
    let steps: u64 = asked::number_or("SLUICE_XA_STEPS", 60);
    let mut admin = server.database("xa").await;
    let table = |name: &str| format!("CREATE TABLE {name} (id INT PRIMARY KEY, x INT DEFAULT 0)");
    for name in ["t", "u", "hidden"] {
        run(&mut admin, &table(name)).await;
    }
    let properties = [&FILTER[..], &[("canal.instance.gtidon", gtidon)]].concat();
    let mut sluice = Sluice::with_instance("xa", server, &properties);
    sluice.start();
    let mut stage = Stage { server, sluice, model: Model::default(), columns: 0 };
    for step in SCRIPTS.concat() {
        stage.step(step).await;
    }
    for _ in 0..steps {
        let mut step = draw(&mut random);
        // Seen of MariaDB 10.11: after a crash it takes branches for the same that differ in
        // their format only.
        while server.flavor == Flavor::MariaDb && step.branch() == Some(2) {
            step = draw(&mut random);
        }
        stage.step(step).await;
    }
    for branch in 0..XIDS.len() {
        stage.step(if random.below(2) > 0 { Commit(branch) } else { Rollback(branch) }).await;
    }
    stage.step(Plain).await;
    stage.judge().await;
}

fn draw(random: &mut Random) -> Step {
    let mut below = |limit: usize| usize::try_from(random.below(limit as u64)).unwrap();
    let branch = below(XIDS.len());
    match below(100) {
        0..30 => Prepare(branch, 1 + below(4)),
        30..34 => PrepareHidden(branch),
        34..40 => PreparePartly(branch),
        40..42 => PrepareEmpty(branch),
        42..65 => Commit(branch),
        65..80 => Rollback(branch),
        80..84 => OnePhase(branch),
        84..93 => Plain,
        93..95 => Alter,
        95..97 => Rotate,
        97..98 => Kill,
        98..99 => Stop,
        _ => KillServer,
    }
}

/// A row: its table and its id.
type Rows = Vec<(&'static str, usize)>;

#[derive(Default)]
struct Model {
    next: usize,
    held: BTreeMap<usize, Rows>,
    /// What is to be published, transaction by transaction, and whether by an XA COMMIT.
    published: Vec<(Rows, bool)>,
}

impl Model {
    fn rows(&mut self, count: usize) -> Rows {
        let first = self.next;
        self.next += count;
        (first..self.next).map(|id| (["t", "u"][id % 2], id)).collect()
    }
}

struct Stage<'a> {
    server: &'a Server,
    sluice: Sluice,
    model: Model,
    columns: usize,
}

fn inserts(rows: &Rows) -> String {
    let insert = |(table, id): &(&str, usize)| format!("INSERT INTO {table} (id) VALUES ({id});");
    rows.iter().map(insert).collect::<Vec<_>>().concat()
}

impl Stage<'_> {
    async fn step(&mut self, step: Step) {
        match step {
            Prepare(branch, count) => {
                let rows = self.model.rows(count);
                self.prepare(branch, &inserts(&rows), rows).await;
            }
            PrepareHidden(branch) => {
                let id = self.model.rows(1)[0].1;
                let insert = format!("INSERT INTO hidden (id) VALUES ({id})");
                self.prepare(branch, &insert, Rows::new()).await;
            }
            PreparePartly(branch) => {
                let (kept, undone, more) =
                    (self.model.rows(2), self.model.rows(2), self.model.rows(1));
                let [first, second, third] = [&kept, &undone, &more].map(inserts);
                let sql = format!("{first} SAVEPOINT s; {second} ROLLBACK TO s; {third}");
                self.prepare(branch, &sql, [kept, more].concat()).await;
            }
            // MariaDB forgets such a branch when its connection ends.
            PrepareEmpty(branch) => {
                let xid = XIDS[branch];
                self.run(&format!("XA START {xid}; DO 0; XA END {xid}; XA PREPARE {xid}")).await;
            }
            Commit(branch) => {
                if self.end("COMMIT", branch).await
                    && let Some(rows) = self.model.held.remove(&branch)
                {
                    self.model.published.push((rows, true));
                }
            }
            Rollback(branch) => {
                if self.end("ROLLBACK", branch).await {
                    self.model.held.remove(&branch);
                }
            }
            OnePhase(branch) => {
                let rows = self.model.rows(2);
                let xid = XIDS[branch];
                let sql = format!(
                    "XA START {xid}; {} XA END {xid}; XA COMMIT {xid} ONE PHASE",
                    inserts(&rows)
                );
                if self.run(&sql).await {
                    self.model.published.push((rows, false));
                }
            }
            Plain => {
                let rows = self.model.rows(2);
                assert!(self.run(&format!("BEGIN; {} COMMIT", inserts(&rows))).await);
                self.model.published.push((rows, false));
            }
            Alter => {
                self.columns += 1;
                let name = self.columns;
                self.run(&format!(
                    "SET SESSION lock_wait_timeout = 1; ALTER TABLE t ADD c{name} INT FIRST"
                ))
                .await;
            }
            Rotate => assert!(self.run("FLUSH BINARY LOGS").await),
            Kill => {
                self.sluice.kill();
                self.sluice.start();
            }
            Stop => {
                self.sluice.stop();
                self.sluice.start();
            }
            KillServer => {
                self.server.kill();
                self.server.start();
                self.forget_what_the_server_forgot().await;
                self.sluice.wait_until_ready();
            }
        }
    }

    /// A branch whose PREPARE is in the binlog need not have survived in the engine.
    async fn forget_what_the_server_forgot(&mut self) {
        let mut admin = self.connection().await;
        let rows = sqlx::raw_sql("XA RECOVER").fetch_all(&mut admin).await.unwrap();
        let text = |row: &sqlx::mysql::MySqlRow| {
            let numbers: [i64; 3] = std::array::from_fn(|column| row.get_unchecked(column));
            let data: Vec<u8> = row.get_unchecked(3);
            format!("{numbers:?} {data:02x?}")
        };
        let known: Vec<String> = rows.iter().map(text).collect();
        let before = self.model.held.len();
        self.model.held.retain(|branch, _| {
            let (format, gtrid, data): (i64, usize, &[u8]) = [
                (1, 1, b"a".as_slice()),
                (1, 1, b"ab"),
                (7, 1, b"ab"),
                (1, 1, b"b"),
                (1, 1, b"ac"),
                (2_147_483_647, 4, b"\x00\xff\x2c\x27b"),
            ][*branch];
            let bqual = data.len() - gtrid;
            known.contains(&format!("[{format}, {gtrid}, {bqual}] {data:02x?}"))
        });
        if self.model.held.len() < before {
            say(&format!("the server forgot {} branches", before - self.model.held.len()));
        }
    }

    async fn prepare(&mut self, branch: usize, changes: &str, rows: Rows) {
        let xid = XIDS[branch];
        let sql = format!("XA START {xid}; {changes}; XA END {xid}; XA PREPARE {xid}");
        if self.run(&sql).await {
            self.model.held.insert(branch, rows);
        }
    }

    /// Whether the server did it. It knows a branch only when the connection that prepared it
    /// has ended, and says 1397 until then.
    async fn end(&self, verb: &str, branch: usize) -> bool {
        let sql = format!("XA {verb} {}", XIDS[branch]);
        let patience = if self.model.held.contains_key(&branch) { 50 } else { 1 };
        for _ in 0..patience {
            if self.run(&sql).await {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if self.model.held.contains_key(&branch) {
            let mut connection = self.connection().await;
            let error = try_run(&mut connection, &sql).await.unwrap_err();
            panic!("{sql}: {error}, of {:?}", self.model.held);
        }
        false
    }

    async fn run(&self, sql: &str) -> bool {
        let mut connection = self.connection().await;
        let done = try_run(&mut connection, sql).await.is_ok();
        let _ = connection.close().await;
        done
    }

    async fn connection(&self) -> MySqlConnection {
        let mut connection = self.server.connect().await;
        run(&mut connection, "USE xa").await;
        connection
    }

    async fn judge(mut self) {
        let wanted = |table: &str| -> Vec<usize> {
            let rows = self.model.published.iter().flat_map(|(rows, _)| rows);
            rows.filter(|row| row.0 == table).map(|row| row.1).collect()
        };
        let (mut records, begun) = (Vec::new(), Instant::now());
        for table in ["t", "u"] {
            let wanted = wanted(table);
            let read = || -> Vec<Record> {
                let all = topics::read(&self.sluice.bootstrap(), &format!("xa.{table}"));
                all.into_iter().filter(|one| one.json()["isDdl"] == false).collect()
            };
            let mut got = read();
            while got.len() < wanted.len() && begun.elapsed() < Duration::from_secs(30) {
                std::thread::sleep(Duration::from_millis(100));
                got = read();
            }
            let ids: Vec<usize> = got.iter().map(id).collect();
            assert_eq!(ids, wanted, "the rows of {table}");
            records.extend(got);
        }
        let hidden = topics::list(&self.sluice.bootstrap());
        assert!(!hidden.contains_key("xa.hidden"), "{hidden:?}");
        let mut by_row: BTreeMap<usize, Record> =
            records.into_iter().map(|record| (id(&record), record)).collect();
        let mut admin = self.connection().await;
        for (rows, is_branch) in &self.model.published {
            let records = rows.iter().map(|(_, id)| by_row.remove(id).unwrap());
            whole_and_at_its_place(self.server, &mut admin, records.collect(), *is_branch).await;
        }
        self.sluice.stop();
    }
}

/// The records of one transaction, in the order of its rows.
async fn whole_and_at_its_place(
    server: &Server,
    admin: &mut MySqlConnection,
    records: Vec<Record>,
    is_branch: bool,
) {
    let Some(first) = records.first() else { return };
    for (number, record) in records.iter().enumerate() {
        let end = if number + 1 == records.len() { "/end" } else { "" };
        assert_eq!(record.headers["tx"], format!("{number}{end}"), "{record:?}");
        assert_eq!(record.headers["gtid"], first.headers["gtid"], "{record:?}");
        let gtid = record.json()["gtid"].as_str().unwrap().to_owned();
        assert_eq!(gtid, first.json()["gtid"].as_str().unwrap(), "{record:?}");
    }
    if !is_branch {
        return;
    }
    let place = &first.headers["binlog"];
    assert!(records.iter().all(|record| record.headers["binlog"] == *place), "{records:?}");
    let (file, offset) = place.rsplit_once(':').unwrap();
    let events = format!("SHOW BINLOG EVENTS IN '{file}' FROM {offset} LIMIT 1");
    let event = sqlx::query(AssertSqlSafe(events)).fetch_one(admin).await.unwrap();
    let text: String = event.get(5);
    assert!(text.contains("XA COMMIT X'"), "{:?} at {place}: {text}", server.flavor);
}

fn id(record: &Record) -> usize {
    record.json()["data"][0]["id"].as_str().unwrap().parse().unwrap()
}
