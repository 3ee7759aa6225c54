//! The position behind traffic that has nothing to publish: it moves once a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::binlog::Tracker;
use crate::change::{Commit, Gtid};

/// How long a position may wait for traffic that takes it along.
const WAIT: Duration = Duration::from_secs(1);
/// As many GTIDs wait at most.
const MOST_PASSED: usize = 10_000;

/// What was passed over since the last chunk.
#[derive(Debug)]
pub(super) struct Idle {
    commit: Option<Commit>,
    passed: Vec<Gtid>,
    due: Option<Instant>,
}

impl Idle {
    pub(super) fn new() -> Self {
        Self { commit: None, passed: Vec::new(), due: None }
    }

    /// A whole transaction had nothing to publish.
    pub(super) fn pass(&mut self, mut commit: Commit) {
        self.passed.extend(commit.gtid.take());
        self.commit = Some(commit);
        self.arm();
    }

    /// The source stands here, between transactions.
    pub(super) fn stand(&mut self, tracker: &Tracker, time: u32) {
        let time = if time == 0 { self.commit.as_ref().map_or(0, |c| c.event_time) } else { time };
        self.commit = Some(Commit {
            server_uuid: Arc::clone(tracker.server()),
            by_gtid: tracker.is_by_gtid(),
            file: Arc::clone(tracker.file()),
            offset: tracker.offset(),
            file_created: tracker.created(),
            event_time: time,
            gtid: None,
            passed: Vec::new(),
            state: Vec::new(),
            branch: None,
            trail: None,
        });
        self.arm();
    }

    fn arm(&mut self) {
        let now = Instant::now();
        self.due = Some(match self.due {
            _ if self.passed.len() >= MOST_PASSED => now,
            Some(due) => due,
            None => now + WAIT,
        });
    }

    /// Whether the position has waited long enough at `now`.
    pub(super) fn was_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Resolves when the position has waited long enough. Cancel safe.
    pub(super) async fn is_due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// The position and the GTIDs that it passed.
    pub(super) fn take(&mut self) -> Option<Commit> {
        self.due = None;
        let mut commit = self.commit.take()?;
        commit.passed = std::mem::take(&mut self.passed);
        Some(commit)
    }

    /// It is not the time for it: once more in a while.
    pub(super) fn put_back(&mut self, mut commit: Commit) {
        self.passed = std::mem::take(&mut commit.passed);
        self.commit = Some(commit);
        self.due = Some(Instant::now() + WAIT);
    }

    /// The GTIDs, for a commit that goes further than the position.
    pub(super) fn take_passed(&mut self) -> Vec<Gtid> {
        self.commit = None;
        self.due = None;
        std::mem::take(&mut self.passed)
    }
}
