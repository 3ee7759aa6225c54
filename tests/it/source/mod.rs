//! The source against real servers: what comes out of the channel.
//!
//! In: statements run on MySQL and MariaDB. Out: transactions, whole and in order, with the
//! positions that the servers themselves report.

mod begin;
mod dml;
mod encrypted;
mod images;
mod login;
mod meta_dat;
mod overlap;
mod pairs;
mod policies;
mod retried;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use sluice::change::{Change, Chunk, ChunkEnd, Commit, Generation, MySqlPosition, RowsKind};
use sluice::filter::TableFilter;
use sluice::mysql::Endpoint;
use sluice::shutdown::Tasks;
use sluice::source::channel::{Receiver, channel};
use sluice::source::{Before, Error, FirstAppend, Settings, Source};

use crate::harness::{PATIENCE, Server};

/// A transaction, with its chunks put together.
#[derive(Debug)]
struct Transaction {
    gtid: Option<Arc<str>>,
    changes: Vec<Change>,
    commit: Commit,
    chunks: usize,
}

impl Transaction {
    /// `+table`, `-table`, `~table` for rows, the text of statements.
    fn texts(&self) -> Vec<String> {
        let text_of = |change: &Change| match change {
            Change::Rows(rows) => {
                let sign = match rows.kind {
                    RowsKind::Insert => '+',
                    RowsKind::Update => '~',
                    RowsKind::Delete => '-',
                };
                format!("{sign}{}", rows.table.name.table)
            }
            Change::Statement(statement) => statement.sql.clone(),
            Change::Together(together) => format!("{:?}", together.names),
        };
        self.changes.iter().map(text_of).collect()
    }

    fn image_bytes(&self) -> usize {
        let bytes = self.changes.iter().map(|change| match change {
            Change::Rows(rows) => rows.images.len(),
            Change::Statement(_) | Change::Together(_) => 0,
        });
        bytes.sum()
    }
}

/// Settings for the tests' account, for the tables of one database.
fn settings(server: &Server, database: &str) -> Settings {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(7000);
    let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let endpoint = Endpoint::new(&server.host, server.port, "canal", "canal");
    let filter = TableFilter::new(&format!("{database}\\..*"), "").unwrap();
    let uuid = format!("7f1c8e6a-0000-4000-8000-00000000{id}");
    let mut settings = Settings::new(endpoint, id, uuid, filter);
    settings.replica.heartbeat = Duration::from_secs(1);
    // The databases that other tests make on a shared server.
    settings.statements.dcl = false;
    settings
}

/// A source that runs.
struct Running {
    tasks: Tasks,
    chunks: Receiver,
    begin: MySqlPosition,
    first: Option<FirstAppend>,
    done: tokio::task::JoinHandle<(Source, Result<(), Error>)>,
}

impl Running {
    /// From the committed position if there is one.
    async fn start(settings: Settings, before: Before) -> Self {
        let (mut source, mut first) = Source::prepare(settings, before).await.unwrap();
        while let Some(page) = source.survey().await.unwrap() {
            if let Some(first) = &mut first {
                first.state.extend(page.state);
            }
        }
        Self::go(source, first)
    }

    fn go(mut source: Source, first: Option<FirstAppend>) -> Self {
        let tasks = Tasks::new();
        let (sender, chunks) = channel(16 << 20);
        let begin = source.reached().clone();
        let token = tasks.token().clone();
        let done = tasks.spawn("source", async move {
            let ended = source.run(Generation(1), &sender, &token).await;
            (source, ended)
        });
        Self { tasks, chunks, begin, first, done }
    }

    async fn chunk(&mut self) -> Chunk {
        let chunk = tokio::time::timeout(PATIENCE, self.chunks.recv()).await;
        match chunk.expect("a chunk in time") {
            Some(chunk) => chunk,
            None => panic!("the source has ended: {:?}", (&mut self.done).await.unwrap().1),
        }
    }

    /// The next transaction, empty ones too.
    async fn any(&mut self) -> Transaction {
        let (mut changes, mut chunks) = (Vec::new(), 0);
        loop {
            let chunk = self.chunk().await;
            changes.extend(chunk.changes);
            chunks += 1;
            match chunk.end {
                ChunkEnd::More => {}
                ChunkEnd::Abort => (changes, chunks) = (Vec::new(), 0),
                ChunkEnd::Commit(commit) => {
                    let gtid = chunk.head.gtid.clone();
                    return Transaction { gtid, changes, commit: *commit, chunks };
                }
            }
        }
    }

    /// The next transaction that holds something.
    async fn next(&mut self) -> Transaction {
        loop {
            let transaction = self.any().await;
            if !transaction.changes.is_empty() {
                return transaction;
            }
        }
    }

    /// Stops it; the source, to go on with.
    async fn stop(self) -> Source {
        self.tasks.cancel();
        let (source, ended) = self.done.await.unwrap();
        ended.unwrap();
        source
    }

    /// Waits until it ends by itself, with an error.
    async fn error(self) -> Error {
        let (_, ended) = tokio::time::timeout(PATIENCE, self.done).await.unwrap().unwrap();
        ended.unwrap_err()
    }
}

/// A value that the server gives.
async fn ask(connection: &mut sqlx::MySqlConnection, sql: &str, column: usize) -> String {
    use sqlx::Row;
    let row =
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(connection).await.unwrap();
    let number = |_| row.try_get::<u64, _>(column).map(|number| number.to_string());
    let signed = |_| row.try_get::<i64, _>(column).map(|number| number.to_string());
    row.try_get(column).or_else(number).or_else(signed).unwrap()
}
