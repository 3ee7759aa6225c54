//! Where running parts put their status up, and others read it.
//!
//! In: the server's [`Phase`], each instance's state and progress through its
//! [`Reporter`]. Out: a [`Snapshot`] at any time, and a wake-up at each change of a phase
//! or state (progress alone wakes nobody). Locks are held for a few assignments, never
//! across an await.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::change::{ParkedTable, Position};

use super::alerts::{Alerts, Kind};
use super::counts::{Counted, Counts, Ledger};
use super::status::{
    AlertStatus, Branches, Copying, InstanceState, InstanceStatus, Phase, Progress, Retention,
    Snapshot, Tables,
};
use super::tables::TableCounts;

/// Tables that are shown by name if nobody says otherwise.
const BUSIEST: usize = 200;

/// The board of one process; clones show the same.
#[derive(Clone, Debug)]
pub struct Board {
    reported: Arc<Mutex<Reported>>,
    /// Apart, since the busiest tables are sorted under its lock.
    counts: Arc<Mutex<Ledger>>,
    changed: Arc<watch::Sender<u64>>,
}

#[derive(Debug)]
struct Reported {
    phase: Phase,
    home: String,
    cluster: String,
    listeners: Vec<String>,
    instances: BTreeMap<String, InstanceStatus>,
    tables: BTreeMap<String, TableCounts>,
    damage: Vec<String>,
    log: Vec<String>,
    log_files: Vec<String>,
    refused: Vec<String>,
    free_bytes: Option<u64>,
    alerts: AlertStatus,
    through: BTreeMap<String, Instant>,
    busiest: usize,
}

impl Reported {
    /// The status of an instance, with the age of what came through last.
    fn dated(&self, one: &InstanceStatus) -> InstanceStatus {
        let mut status = one.clone();
        let at = self.through.get(&one.name).filter(|_| one.progress.through_ms.is_some());
        status.progress.through_seconds_ago = at.map(|at| at.elapsed().as_secs());
        status
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

impl Board {
    /// An empty board of a process that starts.
    pub fn new() -> Self {
        let reported = Reported {
            phase: Phase::Starting { doing: "read the configuration".to_owned() },
            home: String::new(),
            cluster: String::new(),
            listeners: Vec::new(),
            instances: BTreeMap::new(),
            tables: BTreeMap::new(),
            damage: Vec::new(),
            log: Vec::new(),
            log_files: Vec::new(),
            refused: Vec::new(),
            free_bytes: None,
            alerts: AlertStatus::default(),
            through: BTreeMap::new(),
            busiest: BUSIEST,
        };
        Self {
            reported: Arc::new(Mutex::new(reported)),
            counts: Arc::default(),
            changed: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Moves the process on in its life.
    pub fn phase(&self, phase: Phase) {
        self.lock().phase = phase;
        self.wake();
    }

    /// Shows whose process this is.
    pub fn home(&self, home: &Path) {
        self.lock().home = home.display().to_string();
    }

    /// Shows the id of the log's cluster.
    pub fn cluster(&self, id: &str) {
        id.clone_into(&mut self.lock().cluster);
    }

    /// Shows where Kafka clients connect.
    pub fn listeners(&self, listeners: Vec<String>) {
        self.lock().listeners = listeners;
        self.wake();
    }

    /// Shows what of the log was found damaged.
    pub fn damage(&self, found: Vec<String>) {
        self.lock().damage = found;
        self.wake();
    }

    /// Shows what keeps the log from taking what is written to it.
    pub fn log(&self, troubles: Vec<String>) {
        self.lock().log = troubles;
        self.wake();
    }

    /// Shows what is wrong with the files of log lines.
    pub fn log_files(&self, found: Vec<String>) {
        self.lock().log_files = found;
    }

    /// Shows what of the configuration as it is written now is not taken up, and why.
    pub fn refused(&self, problems: Vec<String>) {
        self.lock().refused = problems;
        self.wake();
    }

    /// Shows the room on the disk of the log.
    pub fn free_bytes(&self, free: Option<u64>) {
        self.lock().free_bytes = free;
    }

    /// Shows which alerts are told and not over.
    pub fn alerts_firing(&self, alerts: &Alerts) {
        let firing = Kind::ALL.map(|kind| (kind, alerts.firing(kind)));
        self.lock().alerts.firing = firing.into_iter().filter(|(_, count)| *count > 0).collect();
    }

    /// Counts an alert that its receiver took.
    pub fn alert_sent(&self) {
        self.lock().alerts.sent += 1;
    }

    /// Counts an alert that was given up, and shows why.
    pub fn alert_failed(&self, reason: String) {
        let alerts = &mut self.lock().alerts;
        alerts.failed += 1;
        alerts.reason = Some(reason);
    }

    /// Shows an instance, in the state `Starting`, and returns what it reports through. Tables
    /// that were parked stay so over its starts, and are reported until it has read which they are.
    pub fn instance(&self, name: &str, now_ms: i64) -> Reporter {
        let mut reported = self.lock();
        let parked = reported.instances.remove(name).map(|before| before.progress.parked);
        let status = InstanceStatus {
            name: name.to_owned(),
            state: InstanceState::Starting,
            since_ms: now_ms,
            progress: Progress { parked: parked.unwrap_or_default(), ..Progress::default() },
        };
        reported.instances.insert(name.to_owned(), status);
        drop(reported);
        self.wake();
        Reporter { board: self.clone(), name: name.into() }
    }

    /// What an instance that is reported of already reports through.
    pub fn reporter(&self, name: &str) -> Reporter {
        Reporter { board: self.clone(), name: name.into() }
    }

    /// Takes an instance down: its folder was removed.
    pub fn remove(&self, name: &str) {
        let mut reported = self.lock();
        reported.instances.remove(name);
        reported.through.remove(name);
        reported.tables.remove(name);
        drop(reported);
        self.ledger().remove(name);
        self.wake();
    }

    /// What was encoded of the tables of an instance.
    pub fn tables(&self, instance: &str) -> TableCounts {
        self.lock().tables.get(instance).cloned().unwrap_or_default()
    }

    /// Everything at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let reported = self.lock();
        Snapshot {
            phase: reported.phase.clone(),
            pid: std::process::id(),
            home: reported.home.clone(),
            cluster: reported.cluster.clone(),
            listeners: reported.listeners.clone(),
            instances: reported.instances.values().map(|one| reported.dated(one)).collect(),
            damage: reported.damage.clone(),
            log: reported.log.clone(),
            log_files: reported.log_files.clone(),
            refused: reported.refused.clone(),
            free_bytes: reported.free_bytes,
            alerts: reported.alerts.clone(),
        }
    }

    /// How many tables are shown by name in [`Board::counts`].
    pub fn show_busiest(&self, tables: usize) {
        self.lock().busiest = tables;
    }

    /// What instances did, by the busiest tables and by stage; since the process began.
    pub fn counts(&self) -> Vec<Counts> {
        let most = self.lock().busiest;
        self.ledger().counts(most)
    }

    /// Rises at each change of a phase or state.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn wake(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Reported> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one instance reports through.
#[derive(Clone, Debug)]
pub struct Reporter {
    board: Board,
    name: Arc<str>,
}

impl Reporter {
    /// The instance's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether another process runs the instance, as was shown last.
    pub fn stands_by(&self) -> bool {
        let standby =
            |status: &mut InstanceStatus| matches!(status.state, InstanceState::Standby { .. });
        self.update(standby).unwrap_or_default()
    }

    /// Changes the state; one that is the same already keeps its time.
    pub fn state(&self, state: InstanceState, now_ms: i64) {
        let changed = self.update(|status| {
            let changed = status.state != state;
            if changed {
                status.state = state;
                status.since_ms = now_ms;
            }
            changed
        });
        if changed == Some(true) {
            self.board.wake();
        }
    }

    /// Shows for what it waits now; another reason keeps the time of the first. What it did before.
    pub fn waits(&self, reason: String, now_ms: i64) -> Option<InstanceState> {
        let new = InstanceState::Waiting { reason };
        let before = self.update(|status| {
            if !matches!(status.state, InstanceState::Waiting { .. }) {
                status.since_ms = now_ms;
            }
            std::mem::replace(&mut status.state, new)
        });
        self.board.wake();
        before
    }

    /// What counts the tables of the instance, over its starts.
    pub fn tables_encoded(&self) -> TableCounts {
        self.board.lock().tables.entry(self.name().to_owned()).or_default().clone()
    }

    /// Counts what was received of the binlog.
    pub fn received(&self, received: Received) {
        self.update(|status| {
            let progress = &mut status.progress;
            progress.received_bytes += received.bytes;
            progress.skipped_events += received.skipped_events;
            progress.dropped_rows_events += received.dropped_rows_events;
            progress.unknown_rollbacks += received.unknown_rollbacks;
            progress.heard_ms = received.heard_ms;
        });
    }

    /// Counts what became durable, up to `position`.
    pub fn durable(&self, position: &Position, done: Done) {
        self.update(|status| {
            let progress = &mut status.progress;
            progress.transactions += done.transactions;
            progress.rows += done.rows;
            progress.messages += done.messages;
            progress.bytes += done.bytes;
            progress.position = Some(position.clone());
        });
    }

    /// Counts by table and stage what became durable.
    pub fn counted(&self, counted: Counted) {
        self.board.ledger().add(&self.name, counted);
    }

    /// Shows where the instance is positioned; none: where the settings say, when it starts.
    pub fn position(&self, position: Option<Position>) {
        self.update(|status| status.progress.position = position);
    }

    /// Shows which tables are parked.
    pub fn parked(&self, parked: Vec<ParkedTable>) {
        self.update(|status| status.progress.parked = parked);
    }

    /// Shows how far tables are copied.
    pub fn copying(&self, copying: Option<Copying>) {
        self.update(|status| status.progress.copying = copying);
    }

    /// Shows how far the reading of the source's tables has come; none: it is over.
    pub fn tables(&self, tables: Option<Tables>) {
        self.update(|status| status.progress.tables = tables);
    }

    /// Shows how far the durable position is behind the server, and how long that keeps what
    /// is behind it.
    pub fn behind(&self, millis: u64, retention: Option<Retention>) {
        self.update(|status| {
            status.progress.delay_ms = millis;
            status.progress.retention = retention;
        });
    }

    /// Shows when something last went from the server through to consumers.
    pub fn through(&self, at_ms: Option<i64>) {
        let mut reported = self.board.lock();
        let Some(status) = reported.instances.get_mut(&*self.name) else { return };
        if status.progress.through_ms == at_ms {
            return;
        }
        status.progress.through_ms = at_ms;
        // By a clock that does not jump, and that nobody has to keep running.
        reported.through.insert(self.name.to_string(), Instant::now());
    }

    /// Shows the errant transactions of standbys.
    pub fn errant(&self, errant: BTreeMap<String, String>) {
        self.update(|status| status.progress.errant = errant);
    }

    /// Shows what there is to be said of prepared XA branches.
    pub fn branches(&self, branches: Branches) {
        self.update(|status| status.progress.branches = branches);
    }

    /// None once the instance was taken down.
    fn update<T>(&self, change: impl FnOnce(&mut InstanceStatus) -> T) -> Option<T> {
        self.board.lock().instances.get_mut(&*self.name).map(change)
    }
}

/// What came of the binlog since the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Bytes.
    pub bytes: u64,
    /// Events left out as harmless.
    pub skipped_events: u64,
    /// Rows events dropped for want of a definition.
    pub dropped_rows_events: u64,
    /// XA ROLLBACKs of branches that were not held.
    pub unknown_rollbacks: u64,
    /// When the server was last heard, in milliseconds since 1970.
    pub heard_ms: u64,
}

/// What a commit added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Source transactions.
    pub transactions: u64,
    /// Rows.
    pub rows: u64,
    /// Messages.
    pub messages: u64,
    /// Bytes of messages.
    pub bytes: u64,
}

impl Done {
    /// Adds what another commit added.
    pub fn add(&mut self, other: Self) {
        self.transactions += other.transactions;
        self.rows += other.rows;
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_of_state_wakes_and_progress_does_not() {
        let board = Board::new();
        let reporter = board.instance("a", 1);
        let mut changes = board.changes();
        reporter.received(Received { bytes: 7, ..Received::default() });
        assert!(!changes.has_changed().unwrap());
        reporter.state(InstanceState::Running, 2);
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        reporter.state(InstanceState::Running, 3);
        assert!(!changes.has_changed().unwrap());
        let status = board.snapshot().instances.remove(0);
        assert_eq!((status.since_ms, status.progress.received_bytes), (2, 7));
    }

    #[test]
    fn a_wait_keeps_its_time_whatever_its_reason() {
        let board = Board::new();
        let reporter = board.instance("a", 1);
        reporter.state(InstanceState::Running, 2);
        assert_eq!(reporter.waits("one broker".to_owned(), 3), Some(InstanceState::Running));
        reporter.waits("two brokers".to_owned(), 4);
        let status = board.snapshot().instances.remove(0);
        assert_eq!((status.since_ms, status.state.reason()), (3, Some("two brokers")));
        assert!(!board.snapshot().is_ready());
    }

    #[test]
    fn ready_means_serving_and_every_instance_running() {
        let board = Board::new();
        board.phase(Phase::Serving);
        assert!(board.snapshot().is_ready());
        let reporter = board.instance("a", 1);
        assert!(!board.snapshot().is_ready());
        reporter.state(InstanceState::Running, 2);
        assert!(board.snapshot().is_ready());
        board.phase(Phase::Draining);
        assert!(!board.snapshot().is_ready());
    }

    #[test]
    fn what_was_parked_is_reported_over_a_start_of_the_instance() {
        let board = Board::new();
        let reporter = board.instance("a", 1);
        let table = ParkedTable { table: "t".to_owned(), ..ParkedTable::default() };
        reporter.parked(vec![table]);
        reporter.received(Received { bytes: 7, ..Received::default() });
        board.instance("a", 2);
        let progress = board.snapshot().instances.remove(0).progress;
        assert_eq!((&*progress.parked[0].table, progress.received_bytes), ("t", 0));
    }

    #[test]
    fn a_reporter_of_an_instance_that_was_removed_changes_nothing() {
        let board = Board::new();
        let reporter = board.instance("a", 1);
        board.remove("a");
        reporter.state(InstanceState::Running, 2);
        assert!(board.snapshot().instances.is_empty());
    }

    #[test]
    fn a_snapshot_survives_its_json() {
        let board = Board::new();
        let reporter = board.instance("a", 1);
        let reason = "no route to host".to_owned();
        reporter.state(InstanceState::Retrying { reason }, 2);
        let json = serde_json::to_string(&board.snapshot()).unwrap();
        assert!(json.contains(r#""state":"retrying","reason":"no route to host""#), "{json}");
        assert_eq!(serde_json::from_str::<Snapshot>(&json).unwrap(), board.snapshot());
    }
}
