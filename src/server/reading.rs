//! The reading of the configuration while the process runs, on a thread that may wait: for a
//! disk, and for the name server, which a plan asks for the way to its source.
//!
//! In: that it is time to read. Out: what is there now against what was, with the plans
//! built; and whoever asked for it and waits. One reading at a time: who asks during one gets
//! the next, since this one may have gone beyond the file that was changed.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::{Changes, Problems, Settings};
use crate::control::Outcome;
use crate::shutdown::Tasks;

use super::Reload;
use super::instances::{self, Plans};

/// A reading that takes longer is said in the log.
const LONG: Duration = Duration::from_secs(30);

/// Where the outcome is sent.
pub(super) type Answer = oneshot::Sender<Outcome>;

/// What was read.
pub(super) struct Read {
    pub(super) settings: Settings,
    /// What differs from before.
    pub(super) changes: Changes,
    /// Of all instances; empty if none differs.
    pub(super) plans: Plans,
}

/// See the head of this file.
pub(super) struct Reading {
    reload: Reload,
    /// Never joined: a disk that hangs must not keep the process from ending.
    tasks: Tasks,
    running: Option<JoinHandle<Result<Read, Problems>>>,
    /// Who waits for the reading that runs, and who for the next.
    answers: Vec<Answer>,
    next: Vec<Answer>,
    long: bool,
}

impl Reading {
    pub(super) fn new(reload: Reload) -> Self {
        let (answers, next) = (Vec::new(), Vec::new());
        Self { reload, tasks: Tasks::new(), running: None, answers, next, long: false }
    }

    /// The plans of settings that were read already.
    pub(super) async fn plans(&self, settings: &Settings) -> Result<Plans, Problems> {
        let settings = settings.clone();
        let work = move || instances::plans(&settings);
        let built = self.tasks.spawn_blocking("build the plans", work).await;
        built.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// Begins to read, if nothing is being read; compared with `now`.
    pub(super) fn begin(&mut self, now: &Settings, answer: Option<Answer>) {
        if self.running.is_some() {
            self.next.extend(answer);
            return;
        }
        self.answers.extend(answer);
        let (reload, now) = (Arc::clone(&self.reload), now.clone());
        let work = move || {
            let settings = reload()?;
            let changes = now.changes(&settings);
            let plans =
                if changes.has_instances() { instances::plans(&settings)? } else { Plans::new() };
            Ok(Read { settings, changes, plans })
        };
        self.running = Some(self.tasks.spawn_blocking("read the configuration", work));
        self.long = false;
    }

    /// Begins the next reading, if somebody asked for it during the last.
    pub(super) fn begin_next(&mut self, now: &Settings) {
        if !self.next.is_empty() {
            self.answers = std::mem::take(&mut self.next);
            self.begin(now, None);
        }
    }

    /// What was read, and who waits for it. Pending while nothing is read. Cancel safe.
    pub(super) async fn done(&mut self) -> (Result<Read, Problems>, Vec<Answer>) {
        let Some(running) = &mut self.running else { return pending().await };
        let read = if self.long {
            running.await
        } else if let Ok(read) = tokio::time::timeout(LONG, &mut *running).await {
            read
        } else {
            tracing::warn!(
                "reading the configuration takes long: a disk or the name server hangs; changes \
                 are not taken up meanwhile"
            );
            self.long = true;
            running.await
        };
        self.running = None;
        let answers = std::mem::take(&mut self.answers);
        let read = read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        (read, answers)
    }
}
