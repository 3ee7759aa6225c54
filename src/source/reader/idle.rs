//! The position behind traffic that has nothing to publish: it moves once a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::binlog::Tracker;
use crate::change::{Commit, Gtid};

/// How long a position may wait for traffic that takes it along.
const WAIT: Duration = Duration::from_secs(1);
/// As many GTIDs wait at most.
const MOST_FILTERED: usize = 10_000;

/// What was filtered since the last chunk.
#[derive(Debug)]
pub(super) struct Idle {
    commit: Option<Commit>,
    filtered: Vec<Gtid>,
    due: Option<Instant>,
}

impl Idle {
    pub(super) fn new() -> Self {
        Self { commit: None, filtered: Vec::new(), due: None }
    }

    /// A whole transaction had nothing to publish.
    pub(super) fn note_filtered(&mut self, mut commit: Commit) {
        self.filtered.extend(commit.gtid.take());
        self.commit = Some(commit);
        self.arm();
    }

    /// The source is here, between transactions.
    pub(super) fn note_place(&mut self, tracker: &Tracker, time: u32) {
        let time = if time == 0 { self.commit.as_ref().map_or(0, |c| c.event_time) } else { time };
        self.commit = Some(Commit {
            server_uuid: Arc::clone(tracker.server()),
            by_gtid: tracker.is_by_gtid(),
            file: Arc::clone(tracker.file()),
            offset: tracker.offset(),
            file_created: tracker.created(),
            event_time: time,
            server_time: tracker.server_time(),
            gtid: None,
            filtered: Vec::new(),
            state: Vec::new(),
            branch: None,
            trail: None,
            prepared: None,
        });
        self.arm();
    }

    fn arm(&mut self) {
        let now = Instant::now();
        self.due = Some(match self.due {
            _ if self.filtered.len() >= MOST_FILTERED => now,
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

    /// The position and the GTIDs of what was filtered before it.
    pub(super) fn take(&mut self) -> Option<Commit> {
        self.due = None;
        let mut commit = self.commit.take()?;
        commit.filtered = std::mem::take(&mut self.filtered);
        Some(commit)
    }

    /// It is not the time for it: once more in a while.
    pub(super) fn put_back(&mut self, mut commit: Commit) {
        self.filtered = std::mem::take(&mut commit.filtered);
        self.commit = Some(commit);
        self.due = Some(Instant::now() + WAIT);
    }

    /// The GTIDs, for a commit that goes further than the position.
    pub(super) fn take_filtered(&mut self) -> Vec<Gtid> {
        self.commit = None;
        self.due = None;
        std::mem::take(&mut self.filtered)
    }
}
