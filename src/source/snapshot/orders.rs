//! What somebody asks of the copying of tables while it runs.
//!
//! In: orders, from any thread. Out: the orders, for the copier, which takes them between two chunks,
//! and an answer to each. They outlast a connection that is lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::copies::{Copies, Copy, CopyState, Ledger};
use crate::change::TableName;

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Say what a copy would take.
    Plan {
        /// The tables, as the filter's patterns; all if none.
        tables: Option<String>,
    },
    /// Copy tables, again if they were.
    Start {
        /// The tables, as the filter's patterns; all if none.
        tables: Option<String>,
        /// Only rows that it holds for.
        condition: Option<String>,
    },
    /// Copy nothing for now.
    Pause,
    /// Go on.
    Resume,
    /// Give up what is not copied yet.
    Stop {
        /// The tables, as the filter's patterns; all if none.
        tables: Option<String>,
    },
}

/// What came of it: a sentence, or why not.
pub type Answer = Result<String, String>;

/// What is known of the copying of an instance's tables, and what is asked of it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Copying(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    ledger: Ledger,
    orders: Mutex<Vec<(Order, oneshot::Sender<Answer>)>>,
    /// Tables whose rows cannot be published, and why.
    refused: Mutex<BTreeMap<TableName, String>>,
    /// Names that a RENAME has given to tables, or taken.
    renamed: Mutex<Vec<TableName>>,
    asked: Notify,
    /// Rows that were published, and the time that it took to read them.
    measured: Mutex<(u64, Duration)>,
}

impl Copying {
    /// Asks; the answer comes when the copier takes the order.
    pub fn ask(&self, order: Order) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        lock(&self.0.orders).push((order, answer));
        self.0.asked.notify_one();
        answered
    }

    /// The rows of a table cannot be published: it is not to be copied on.
    pub fn refuse(&self, table: TableName, reason: String) {
        lock(&self.0.refused).insert(table, reason);
        self.0.asked.notify_one();
    }

    /// A RENAME was about tables of these names.
    pub(in crate::source) fn renamed(&self, names: Vec<TableName>) {
        let is_open = |name: &TableName| self.0.ledger.of(name).is_some_and(|copy| copy.is_open());
        if names.iter().any(is_open) {
            lock(&self.0.renamed).extend(names);
            self.0.asked.notify_one();
        }
    }

    /// How far each table is, by name.
    pub fn tables(&self) -> Vec<(TableName, Copy)> {
        self.0.ledger.all()
    }

    /// Rises with each change of what is known.
    pub fn version(&self) -> u64 {
        self.0.ledger.version()
    }

    /// Whether nothing is to be copied for now.
    pub fn is_paused(&self) -> bool {
        self.0.ledger.is_paused()
    }

    pub(in crate::source) fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// What was committed is known, and nothing else.
    pub(in crate::source) fn restore(&self, copies: Copies) {
        self.0.ledger.restore(copies);
    }

    /// What was asked since.
    pub(super) fn take(&self) -> Vec<(Order, oneshot::Sender<Answer>)> {
        let mut orders = std::mem::take(&mut *lock(&self.0.orders));
        // Nobody waits any more: it was said that it has failed.
        orders.retain(|(_, answer)| !answer.is_closed());
        orders
    }

    /// Whether anything was asked.
    pub(super) fn is_asked(&self) -> bool {
        !lock(&self.0.orders).is_empty()
            || !lock(&self.0.refused).is_empty()
            || !lock(&self.0.renamed).is_empty()
    }

    /// The tables that could not be copied.
    pub(super) fn failed(&self) -> Vec<String> {
        let failed = self.tables().into_iter();
        let failed = failed.filter(|(_, copy)| copy.state == CopyState::Failed);
        failed.map(|(name, _)| name.to_string()).collect()
    }

    /// So many rows were copied in a time.
    pub(super) fn measured(&self, rows: u64, time: Duration) {
        let mut measured = lock(&self.0.measured);
        measured.0 += rows;
        measured.1 += time;
    }

    /// Rows a second, as far as it was measured.
    pub fn rate(&self) -> Option<u64> {
        let (rows, time) = *lock(&self.0.measured);
        let millis = u64::try_from(time.as_millis()).ok().filter(|millis| *millis > 0)?;
        Some(rows.saturating_mul(1000) / millis).filter(|rate| *rate > 0)
    }

    pub(super) fn take_renamed(&self) -> Vec<TableName> {
        std::mem::take(&mut *lock(&self.0.renamed))
    }

    pub(super) fn take_refused(&self) -> BTreeMap<TableName, String> {
        std::mem::take(&mut *lock(&self.0.refused))
    }

    /// Resolves when something was asked. Cancel safe.
    pub(super) async fn asked(&self) {
        self.0.asked.notified().await;
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
