//! Random transactions on a real server, and an exact account of what was committed.
//!
//! Each worker has rows and a connection of its own, so its transactions have one order. The first
//! statement of each transaction inserts `(worker, number)` into `ledger`: by it a worker whose
//! COMMIT was not answered learns afterwards what became of it. Now and then a transaction is large
//! (it is staged). One in five is an XA transaction in two phases, half of these are rolled back,
//! and some wait so long before their end that something is killed meanwhile. Beside them one
//! thread adds columns to the tables and drops them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, MySqlConnection, Row};

use super::DATABASE;
use crate::harness::servers::{Connector, try_run};
use crate::harness::{Random, Server};

pub(super) const TABLES: [&str; 3] = ["orders", "items", "stock"];
const WORKERS: u64 = 3;
/// The first worker has a large transaction so often, of rows of this size.
const LARGE_EVERY: Duration = Duration::from_secs(3);
const LARGE_ROW: u64 = 1_500_000;
/// How many ids of each table a worker draws from.
pub(super) const KEYS: u64 = 40;

/// A row change: table, INSERT, UPDATE or DELETE, the row's id, and its mark after the change
/// (before it, for a DELETE). Marks are unique, so a change is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    pub(super) table: String,
    pub(super) kind: &'static str,
    pub(super) id: u64,
    pub(super) mark: String,
}

/// A change of a table that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ddl {
    pub(super) table: &'static str,
    pub(super) sql: String,
    /// The column that it added or dropped.
    pub(super) column: String,
    pub(super) adds: bool,
}

/// What took effect.
pub(super) struct Committed {
    /// The transactions of each worker, in the order it committed them.
    pub(super) workers: BTreeMap<u64, Vec<Vec<Change>>>,
    pub(super) ddl: Vec<Ddl>,
}

impl Committed {
    pub(super) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.workers.values().flatten().flatten()
    }

    pub(super) fn transactions(&self) -> usize {
        self.workers.values().map(Vec::len).sum()
    }
}

/// Whether that transaction of a worker is an XA transaction in two phases.
pub(super) fn is_branch(worker: u64, number: u64) -> bool {
    (number + 2 * worker).is_multiple_of(5)
}

pub(super) struct Load {
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<(u64, Vec<Vec<Change>>)>>,
    ddl: JoinHandle<Vec<Ddl>>,
}

/// Makes the tables.
pub(super) fn prepare(server: &Server) {
    let tables = TABLES.map(|table| {
        format!("CREATE TABLE {table} (id INT PRIMARY KEY, mark VARCHAR(40), pad MEDIUMTEXT);")
    });
    let script = format!(
        "CREATE DATABASE {DATABASE}; USE {DATABASE};
         CREATE TABLE ledger (worker INT, number INT, PRIMARY KEY (worker, number)); {}",
        tables.concat()
    );
    server.mysql_client("", &script);
}

impl Load {
    pub(super) fn start(server: &Server, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ddl = {
            let mut alterer = Alterer {
                connector: server.connector(),
                random: Random::new(seed ^ 0xdd1),
                done: Vec::new(),
            };
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                runtime().block_on(alterer.work(&stop));
                alterer.done
            })
        };
        let workers = (0..WORKERS).map(|worker| {
            let connector = server.connector();
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut worker = Worker {
                    name: worker,
                    connector,
                    random: Random::new(seed ^ (worker + 1) << 32),
                    rows: BTreeMap::new(),
                    committed: Vec::new(),
                    large: Instant::now(),
                };
                runtime().block_on(worker.work(&stop));
                (worker.name, worker.committed)
            })
        });
        Self { workers: workers.collect(), stop, ddl }
    }

    /// Ends the load; answers what it committed.
    pub(super) fn stop(self) -> Committed {
        self.stop.store(true, Ordering::Relaxed);
        let workers = self.workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        Committed { workers, ddl: self.ddl.join().unwrap() }
    }
}

struct Worker {
    name: u64,
    connector: Connector,
    random: Random,
    /// The marks of its rows, by table and id.
    rows: BTreeMap<(usize, u64), String>,
    committed: Vec<Vec<Change>>,
    /// When it last had a large transaction.
    large: Instant,
}

impl Worker {
    async fn work(&mut self, stop: &AtomicBool) {
        let mut connection = None;
        for number in 1.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let (statements, changes, rows) = self.transaction(number);
            let mut open = match connection.take() {
                Some(open) => open,
                None => connect(&self.connector).await,
            };
            let committed = if is_branch(self.name, number) {
                self.commit_in_two_phases(&mut open, &statements, number).await
            } else {
                self.commit(&mut open, &statements).await
            };
            let committed = if let Ok(committed) = committed {
                committed
            } else {
                // Its fate is unknown until it is asked for over another connection.
                open = connect(&self.connector).await;
                self.is_in_ledger(&mut open, number).await
            };
            connection = Some(open);
            if committed {
                self.committed.push(changes);
                self.rows = rows;
            }
        }
    }

    /// Statements, what they change, and the worker's rows afterwards.
    #[expect(clippy::type_complexity, reason = "three results of one draw")]
    fn transaction(
        &mut self,
        number: u64,
    ) -> (Vec<String>, Vec<Change>, BTreeMap<(usize, u64), String>) {
        let mut rows = self.rows.clone();
        let mark = |step: u64| format!("{}-{number}-{step}", self.name);
        let mut statements = vec![format!("INSERT INTO ledger VALUES ({}, {number})", self.name)];
        let mut changes = vec![Change {
            table: "ledger".to_owned(),
            kind: "INSERT",
            id: number,
            mark: format!("{}-{number}", self.name),
        }];
        let (mut steps, mut least) = (self.random.below(8), 0);
        if self.name == 0 && self.large.elapsed() > LARGE_EVERY {
            self.large = Instant::now();
            (steps, least) = (8, LARGE_ROW);
        }
        for step in 0..=steps {
            let at = usize::try_from(self.random.below(3)).unwrap();
            let id = self.name * KEYS + self.random.below(KEYS);
            let table = TABLES[at];
            let (now, pad) = (mark(step), least + self.random.below(400));
            let kind = match rows.get(&(at, id)) {
                None => {
                    statements.push(format!(
                        "INSERT INTO {table} (id, mark, pad) \
                         VALUES ({id}, '{now}', REPEAT('x', {pad}))"
                    ));
                    "INSERT"
                }
                Some(_) if self.random.below(3) > 0 => {
                    statements.push(format!(
                        "UPDATE {table} SET mark = '{now}', pad = REPEAT('x', {pad}) WHERE id = {id}"
                    ));
                    "UPDATE"
                }
                Some(before) => {
                    statements.push(format!("DELETE FROM {table} WHERE id = {id}"));
                    let mark = before.clone();
                    changes.push(Change { table: table.to_owned(), kind: "DELETE", id, mark });
                    rows.remove(&(at, id));
                    continue;
                }
            };
            changes.push(Change { table: table.to_owned(), kind, id, mark: now.clone() });
            rows.insert((at, id), now);
        }
        (statements, changes, rows)
    }

    /// Whether it was committed; one in ten is rolled back, and nothing of it may be seen.
    async fn commit(
        &mut self,
        connection: &mut MySqlConnection,
        statements: &[String],
    ) -> sqlx::Result<bool> {
        try_run(connection, "BEGIN").await?;
        for sql in statements {
            try_run(connection, sql).await?;
        }
        let kept = self.random.below(10) > 0;
        try_run(connection, if kept { "COMMIT" } else { "ROLLBACK" }).await?;
        Ok(kept)
    }

    /// The same as an XA transaction, with its decision made before anything can fail.
    async fn commit_in_two_phases(
        &mut self,
        connection: &mut MySqlConnection,
        statements: &[String],
        number: u64,
    ) -> sqlx::Result<bool> {
        let xid = format!("'{}-{number}'", self.name);
        let kept = self.random.below(2) > 0;
        let pause = if self.random.below(5) > 0 { 0 } else { self.random.below(1500) };
        let end = format!("XA {} {xid}", if kept { "COMMIT" } else { "ROLLBACK" });
        let done: sqlx::Result<()> = async {
            try_run(connection, &format!("XA START {xid}")).await?;
            for sql in statements {
                try_run(connection, sql).await?;
            }
            try_run(connection, &format!("XA END {xid}; XA PREPARE {xid}")).await?;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            try_run(connection, &end).await
        }
        .await;
        if let Err(error) = done {
            // What was prepared stays so until somebody ends it.
            self.end_if_prepared(&end, number).await;
            return Err(error);
        }
        Ok(kept)
    }

    async fn end_if_prepared(&self, end: &str, number: u64) {
        let name = format!("{}-{number}", self.name);
        loop {
            let mut connection = connect(&self.connector).await;
            let Ok(rows) = sqlx::raw_sql("XA RECOVER").fetch_all(&mut connection).await else {
                continue;
            };
            let is_this = |row: &MySqlRow| row.get_unchecked::<Vec<u8>, _>(3) == name.as_bytes();
            if !rows.iter().any(is_this) {
                return;
            }
            let _ = try_run(&mut connection, end).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether that transaction was committed. Inserting the same key waits for one whose
    /// connection is lost and whose end is open; reading would not.
    async fn is_in_ledger(&self, connection: &mut MySqlConnection, number: u64) -> bool {
        let insert = format!("INSERT INTO ledger VALUES ({}, {number})", self.name);
        loop {
            let asked: sqlx::Result<bool> = async {
                try_run(connection, "BEGIN").await?;
                let there = match try_run(connection, &insert).await {
                    Ok(()) => false,
                    Err(sqlx::Error::Database(error)) if error.is_unique_violation() => true,
                    Err(error) => return Err(error),
                };
                try_run(connection, "ROLLBACK").await?;
                Ok(there)
            }
            .await;
            match asked {
                Ok(there) => return there,
                Err(_) => *connection = connect(&self.connector).await,
            }
        }
    }
}

/// A connection that uses the database, as soon as the server lets it.
async fn connect(connector: &Connector) -> MySqlConnection {
    loop {
        if let Ok(mut connection) = connector.connect().await
            && try_run(&mut connection, &format!("USE {DATABASE}")).await.is_ok()
        {
            return connection;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Adds columns and drops them.
struct Alterer {
    connector: Connector,
    random: Random,
    done: Vec<Ddl>,
}

impl Alterer {
    async fn work(&mut self, stop: &AtomicBool) {
        let mut connection = connect(&self.connector).await;
        for number in 1.. {
            tokio::time::sleep(Duration::from_millis(100 + self.random.below(600))).await;
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let ddl = self.draw(number);
            // An error does not say whether it was done: the table does.
            let done = try_run(&mut connection, &ddl.sql).await.is_ok()
                || self.is_there(&mut connection, &ddl).await == ddl.adds;
            if done {
                self.done.push(ddl);
            }
        }
    }

    /// Drops the column that the table has beside its own, or adds one.
    fn draw(&mut self, number: u64) -> Ddl {
        let table = TABLES[usize::try_from(self.random.below(3)).unwrap()];
        let last = self.done.iter().rfind(|ddl| ddl.table == table);
        if let Some(Ddl { column, .. }) = last.filter(|ddl| ddl.adds) {
            let sql = format!("ALTER TABLE {table} DROP COLUMN {column}");
            return Ddl { table, sql, column: column.clone(), adds: false };
        }
        let column = format!("c{number}");
        let place = ["", " FIRST", " AFTER mark"][usize::try_from(self.random.below(3)).unwrap()];
        let sql =
            format!("ALTER TABLE {table} ADD COLUMN {column} INT NOT NULL DEFAULT {number}{place}");
        Ddl { table, sql, column, adds: true }
    }

    /// Whether the table has that column; asked over a new connection until it is answered.
    async fn is_there(&self, connection: &mut MySqlConnection, ddl: &Ddl) -> bool {
        let Ddl { table, column, .. } = ddl;
        let query = format!(
            "SELECT 1 FROM information_schema.columns WHERE table_schema = '{DATABASE}' \
             AND table_name = '{table}' AND column_name = '{column}'"
        );
        loop {
            *connection = connect(&self.connector).await;
            let rows = sqlx::query(AssertSqlSafe(query.clone())).fetch_all(&mut *connection).await;
            if let Ok(rows) = rows {
                return !rows.is_empty();
            }
        }
    }
}

/// The rows of a table as the source has them now.
pub(super) fn rows_of(server: &Server, table: &str) -> BTreeMap<u64, String> {
    let rows = runtime().block_on(async {
        let mut connection = server.connect().await;
        let query = format!("SELECT id, mark FROM {DATABASE}.{table}");
        sqlx::query(AssertSqlSafe(query)).fetch_all(&mut connection).await.unwrap()
    });
    let number = |row: &MySqlRow| u64::try_from(row.get::<i32, _>(0)).unwrap();
    rows.iter().map(|row| (number(row), row.get(1))).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
