//! What keeps the log from taking what is written to it, for as long as it does.
//!
//! Owns: the state that is told to operators, and counts. In: how groups and checkpoints went, from
//! the appender. Out: [`Trouble`] for who watches, a line at each change of it, [`Figures`].
//!
//! What holds: what was refused is trouble until something is taken, or could be. A checkpoint
//! that could not be written is tried again: it is trouble when the next one fails too.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::appender::Failure;

/// What is wrong now; nothing if all is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Why nothing is written until the process starts again.
    pub read_only: Option<String>,
    /// Why what was written last was refused.
    pub refused: Option<String>,
    /// Why no checkpoint could be written.
    pub checkpoint: Option<String>,
}

impl Trouble {
    /// A sentence for each.
    pub fn sentences(&self) -> Vec<String> {
        let Self { read_only, refused, checkpoint } = self;
        let told = [
            ("it is read-only until the program starts again", read_only),
            ("it refuses what is written to it", refused),
            ("no checkpoint can be written, and its journal grows", checkpoint),
        ];
        let told = told.into_iter().filter_map(|(what, reason)| Some((what, reason.as_ref()?)));
        told.map(|(what, reason)| format!("{what}: {reason}")).collect()
    }
}

/// Why a group was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There was no room.
    Full,
    /// The disk, or the system, refused.
    Error,
    /// The log is read-only.
    ReadOnly,
}

/// What the log counted since it was opened.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Requests to append that were refused, by cause.
    pub refused: [(Cause, u64); 3],
    /// Since the last checkpoint.
    pub checkpoint_age: Duration,
    /// Room on the disk, in bytes; none if the system does not say.
    pub free_bytes: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Troubles {
    now: watch::Sender<Trouble>,
    full: AtomicU64,
    error: AtomicU64,
    read_only: AtomicU64,
    /// How many checkpoints failed one behind the other.
    failed: AtomicU32,
    last: Mutex<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    checkpoint: Instant,
    refused: Instant,
}

impl Default for Troubles {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            now: watch::Sender::new(Trouble::default()),
            full: AtomicU64::new(0),
            error: AtomicU64::new(0),
            read_only: AtomicU64::new(0),
            failed: AtomicU32::new(0),
            last: Mutex::new(Last { checkpoint: now, refused: now }),
        }
    }
}

impl Troubles {
    pub(super) fn watch(&self) -> watch::Receiver<Trouble> {
        self.now.subscribe()
    }

    /// What was counted, but for the room.
    pub(super) fn figures(&self) -> Figures {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Figures {
            refused: [
                (Cause::Full, count(&self.full)),
                (Cause::Error, count(&self.error)),
                (Cause::ReadOnly, count(&self.read_only)),
            ],
            checkpoint_age: self.last(|last| last.checkpoint.elapsed()),
            free_bytes: None,
        }
    }

    fn last<T>(&self, look: impl FnOnce(&mut Last) -> T) -> T {
        look(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// So many requests were refused.
    pub(super) fn refused(&self, failure: &Failure, requests: usize) {
        let count = match failure {
            Failure::Full => &self.full,
            Failure::Refused(_) => &self.error,
            Failure::Lost(_) => &self.read_only,
        };
        count.fetch_add(requests as u64, Ordering::Relaxed);
        self.last(|last| last.refused = Instant::now());
        if matches!(failure, Failure::Lost(_)) {
            return; // it was told before
        }
        let reason = failure.to_string();
        let is_new = self.now.send_if_modified(|trouble| {
            let is_new = trouble.refused.is_none();
            if is_new {
                trouble.refused = Some(reason.clone());
            }
            is_new
        });
        if is_new {
            tracing::error!(reason, "the log refuses what is written to it, and tries on");
        }
    }

    /// Since when nothing was refused, if something was and nothing was taken since.
    pub(super) fn refused_before(&self) -> Option<Duration> {
        self.now.borrow().refused.as_ref()?;
        Some(self.last(|last| last.refused.elapsed()))
    }

    /// Something was taken, or could be.
    pub(super) fn takes(&self) {
        if self.now.borrow().refused.is_none() {
            return;
        }
        self.now.send_modify(|trouble| trouble.refused = None);
        tracing::info!("the log takes what is written to it again");
    }

    /// Nothing is written any more. Who makes it so says it in the log.
    pub(super) fn read_only(&self, reason: &str) {
        self.now.send_modify(|trouble| {
            trouble.read_only = Some(reason.to_owned());
            trouble.refused = None;
        });
    }

    /// A checkpoint was written.
    pub(super) fn checkpoint_written(&self) {
        self.last(|last| last.checkpoint = Instant::now());
        self.failed.store(0, Ordering::Relaxed);
        let written = |trouble: &mut Trouble| trouble.checkpoint.take().is_some();
        self.now.send_if_modified(written);
    }

    /// A checkpoint could not be written.
    pub(super) fn checkpoint_failed(&self, failure: &Failure) {
        if self.failed.fetch_add(1, Ordering::Relaxed) > 0 {
            self.now.send_modify(|trouble| trouble.checkpoint = Some(failure.to_string()));
        }
    }
}
