//! The reading of the configuration while the process runs, on a thread that may wait: for a
//! disk, and for the name server, which a plan asks for the way to its source.
//!
//! In: that it is time to read. Out: what is there now against what was, with the plans
//! built; and whoever asked for it and waits. One reading at a time: who asks during one gets
//! the next, since this one may have gone beyond the file that was changed. What differs is read
//! until the files are at rest ([`at_rest`]): somebody may be writing them.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::{Changes, Problems, Settings};
use crate::control::Outcome;
use crate::shutdown::Tasks;

use super::Reload;
use super::at_rest::{self, Reloaded, Stamps};
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
    /// Those that it was read from.
    pub(super) files: Stamps,
}

/// See the head of this file.
pub(super) struct Reading {
    reload: Reload,
    /// Those that were taken up.
    files: Stamps,
    /// Never joined: a disk that hangs must not keep the process from ending.
    tasks: Tasks,
    running: Option<JoinHandle<Result<Read, Problems>>>,
    /// Who waits for the reading that runs, and who for the next.
    answers: Vec<Answer>,
    next: Vec<Answer>,
    long: bool,
}

impl Reading {
    pub(super) fn new(reload: Reload, files: Stamps) -> Self {
        let (answers, next) = (Vec::new(), Vec::new());
        Self { reload, files, tasks: Tasks::new(), running: None, answers, next, long: false }
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
        let (files, tasks) = (self.files.clone(), self.tasks.clone());
        let work = async move {
            let Reloaded { settings, files } = read_at_rest(&reload, &now, &files, &tasks).await;
            let settings = settings?;
            let build = move || {
                let changes = now.changes(&settings);
                let plans = if changes.has_instances() {
                    instances::plans(&settings)?
                } else {
                    Plans::new()
                };
                Ok(Read { settings, changes, plans, files })
            };
            blocking(&tasks, "build the plans", build).await
        };
        self.running = Some(self.tasks.spawn("read the configuration", work));
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
        let mut read = read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        if let Ok(read) = &mut read {
            self.files = std::mem::take(&mut read.files);
        }
        (read, answers)
    }
}

/// Reads until nothing differs from `now`, or until what differs is at rest. `files` are those of
/// `now`.
async fn read_at_rest(reload: &Reload, now: &Settings, files: &Stamps, tasks: &Tasks) -> Reloaded {
    let read = || {
        let reload = Arc::clone(reload);
        blocking(tasks, "read the files", move || reload())
    };
    let begun = Instant::now();
    let (mut last, mut since) = (read().await, begun);
    loop {
        let differs = last.settings.as_ref().map_or(true, |read| now.changes(read).is_some());
        if !differs || since.elapsed() >= at_rest::quiet(&last.files, files) {
            return last;
        }
        tokio::time::sleep(at_rest::LOOK_EVERY).await;
        let next = read().await;
        if next.files != last.files {
            since = Instant::now();
            if begun.elapsed() >= at_rest::MOST {
                let settings = Err(at_rest::restless(&last.files, &next.files));
                return Reloaded { settings, ..next };
            }
        }
        last = next;
    }
}

/// What may wait for a disk or for a name server.
async fn blocking<T: Send + 'static>(
    tasks: &Tasks,
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let done = tasks.spawn_blocking(name, work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
