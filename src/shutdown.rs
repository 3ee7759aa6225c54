//! The one door to `tokio::spawn`: tasks that are owned, told to stop, and joined.
//!
//! A [`Tasks`] owns what it spawns. `cancel` asks all of them (and those of its children)
//! to stop; `join` waits until they have, and says by name which of them panicked: a
//! panic is an error of the owner, and of the owner's owner, never a silence. What the
//! program cannot go on without is spawned as critical; [`Tasks::failed`] tells of its panic
//! at once, so that the process can be ended with the reason.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A set of tasks with one owner.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    token: CancellationToken,
    panics: Arc<Panics>,
}

/// Which tasks of a set, and of its children, panicked.
#[derive(Debug, Default)]
struct Panics {
    names: Mutex<Vec<&'static str>>,
    /// The first critical one.
    critical: watch::Sender<Option<&'static str>>,
    parent: Option<Arc<Panics>>,
}

impl Panics {
    fn note(&self, name: &'static str, critical: bool) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        if critical {
            self.critical.send_if_modified(|first| first.replace(name).is_none());
        }
        if let Some(parent) = &self.parent {
            parent.note(name, critical);
        }
    }
}

impl Tasks {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// A set that is cancelled with this one, but joined by itself. Its panics are told here
    /// too.
    #[must_use]
    pub fn child(&self) -> Self {
        let parent = Some(Arc::clone(&self.panics));
        let panics = Arc::new(Panics { parent, ..Panics::default() });
        Self { token: self.token.child_token(), panics, tracker: TaskTracker::default() }
    }

    /// What a task watches to know that it should stop.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Starts `task` under `name`.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.start(self.witness(name, false), task)
    }

    /// Starts a task without which the program cannot go on.
    pub fn spawn_critical<T: Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.start(self.witness(name, true), task)
    }

    /// Runs blocking work on the runtime's blocking pool, under `name`.
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.start_blocking(self.witness(name, false), work)
    }

    /// Runs blocking work without which the program cannot go on.
    pub fn spawn_blocking_critical<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.start_blocking(self.witness(name, true), work)
    }

    /// Drives `task` on a thread of its own, under `name`: for work that would keep a worker of
    /// the runtime from all others for long. What it awaits is the runtime's, as everywhere.
    ///
    /// An error says that the system starts no more threads.
    pub fn spawn_thread(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let (witness, tracked) = (self.witness(name, false), self.tracker.token());
        let runtime = Handle::current();
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(move || {
            let _tracked = tracked;
            // Dropped first, so that a panic is noted before the owner sees the end.
            let _witness = witness;
            runtime.block_on(task);
        })?;
        Ok(())
    }

    fn witness(&self, name: &'static str, critical: bool) -> Witness {
        Witness { name, critical, panics: Arc::clone(&self.panics) }
    }

    fn start<T: Send + 'static>(
        &self,
        witness: Witness,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        #[expect(clippy::disallowed_methods, reason = "this is the door")]
        // An async block that awaits what it captured has room for it twice.
        tokio::spawn(self.tracker.track_future(task.map(move |done| {
            drop(witness);
            done
        })))
    }

    fn start_blocking<T: Send + 'static>(
        &self,
        witness: Witness,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.tracker.spawn_blocking(move || {
            let _witness = witness;
            work()
        })
    }

    /// Resolves with its name when a critical task, of this set or of a child, has panicked.
    pub fn failed(&self) -> impl Future<Output = &'static str> + Send + use<> {
        let mut critical = self.panics.critical.subscribe();
        async move {
            match critical.wait_for(Option::is_some).await.map(|name| *name) {
                Ok(Some(name)) => name,
                Ok(None) | Err(_) => std::future::pending().await,
            }
        }
    }

    /// Asks all tasks to stop.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// How many tasks still run.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Waits until every task has ended, and returns the names of those that panicked.
    /// Cancel safe.
    pub async fn join(&self) -> Vec<&'static str> {
        self.tracker.close();
        self.tracker.wait().await;
        std::mem::take(&mut *self.panics.names.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Notes the name of a task that is unwound.
struct Witness {
    name: &'static str,
    critical: bool,
    panics: Arc<Panics>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.name, "a task panicked");
            self.panics.note(self.name, self.critical);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_to_the_owner_by_name() {
        let tasks = Tasks::new();
        tasks.spawn("fine", async {});
        tasks.spawn("broken", async { panic!("on purpose") });
        assert_eq!(tasks.join().await, ["broken"]);
    }

    #[tokio::test]
    async fn a_panic_of_a_child_is_told_to_all_above_it() {
        let tasks = Tasks::new();
        let (child, other) = (tasks.child(), tasks.child());
        let grandchild = child.child();
        grandchild.spawn_blocking("broken", || panic!("on purpose"));
        assert_eq!(grandchild.join().await, ["broken"]);
        assert_eq!(child.join().await, ["broken"]);
        assert_eq!(tasks.join().await, ["broken"]);
        assert_eq!(other.join().await, Vec::<&str>::new());
    }

    #[tokio::test]
    async fn the_panic_of_a_critical_task_is_told_at_once() {
        let tasks = Tasks::new();
        let (failed, child) = (tasks.failed(), tasks.child());
        tasks.spawn("runs on", std::future::pending::<()>());
        child.spawn("not critical", async { panic!("on purpose") });
        child.join().await;
        child.spawn_critical("critical", async { panic!("on purpose") });
        assert_eq!(failed.await, "critical");
        assert_eq!(tasks.failed().await, "critical", "also to who asks later");
    }

    #[tokio::test]
    async fn a_thread_waits_on_the_runtime_and_is_owned_like_a_task() {
        let tasks = Tasks::new();
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let token = tasks.token().clone();
        let task = async move {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            said.send(std::thread::current().name().map(str::to_owned)).unwrap();
            token.cancelled().await;
            panic!("on purpose");
        };
        tasks.spawn_thread("works", task).unwrap();
        assert_eq!(heard.recv().await.unwrap().as_deref(), Some("works"));
        assert_eq!(tasks.len(), 1);
        tasks.cancel();
        assert_eq!(tasks.join().await, ["works"]);
    }

    #[tokio::test]
    async fn cancelling_the_owner_reaches_the_children() {
        let tasks = Tasks::new();
        let child = tasks.child();
        let token = child.token().clone();
        child.spawn("waits", async move { token.cancelled().await });
        tasks.cancel();
        assert!(child.join().await.is_empty());
    }
}
