//! Transactions that go on while a test does something else.
//!
//! In: a database that has tables `t` and `u` of an id and a text. Out: a row in each, of one
//! transaction, again and again; and the last id.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::servers::{Server, run};

/// What is written, until it is ended.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    last: Arc<AtomicU64>,
    running: JoinHandle<()>,
}

impl Load {
    /// Begins, with a pause between two transactions.
    pub(crate) async fn begin(server: &Server, database: &str, pause: Duration) -> Self {
        let mut connection = server.connect().await;
        run(&mut connection, &format!("USE {database}")).await;
        let (stop, last) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, written) = (Arc::clone(&stop), Arc::clone(&last));
        let running = tokio::spawn(async move {
            let mut id = 0;
            while !stopped.load(Ordering::Relaxed) {
                id += 1;
                let sql = format!(
                    "BEGIN; INSERT INTO t VALUES ({id}, ''); INSERT INTO u VALUES ({id}, ''); COMMIT"
                );
                run(&mut connection, &sql).await;
                written.store(id, Ordering::Relaxed);
                tokio::time::sleep(pause).await;
            }
        });
        Self { stop, last, running }
    }

    /// The last id that is committed.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Ends it: the last id.
    pub(crate) async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.running.await.unwrap();
        self.last.load(Ordering::Relaxed)
    }
}
