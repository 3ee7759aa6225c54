//! The one door to `tokio::spawn`: tasks that are owned, told to stop, and joined.
//!
//! A [`Tasks`] owns what it spawns. `cancel` asks all of them (and those of its children)
//! to stop; `join` waits until they have, and says by name which of them panicked: a
//! panic is an error of the owner, never a silence.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A set of tasks with one owner.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    token: CancellationToken,
    panicked: Arc<Mutex<Vec<&'static str>>>,
}

impl Tasks {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// A set that is cancelled with this one, but joined by itself.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token(), ..Self::default() }
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
        let witness = self.witness(name);
        #[expect(clippy::disallowed_methods, reason = "this is the door")]
        tokio::spawn(self.tracker.track_future(async move {
            let _witness = witness;
            task.await
        }))
    }

    /// Runs blocking work on the runtime's blocking pool, under `name`.
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let witness = self.witness(name);
        self.tracker.spawn_blocking(move || {
            let _witness = witness;
            work()
        })
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
        let (witness, tracked) = (self.witness(name), self.tracker.token());
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

    fn witness(&self, name: &'static str) -> Witness {
        Witness { name, panicked: Arc::clone(&self.panicked) }
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
        std::mem::take(&mut *self.panicked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Notes the name of a task that is unwound.
struct Witness {
    name: &'static str,
    panicked: Arc<Mutex<Vec<&'static str>>>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.name, "a task panicked");
            self.panicked.lock().unwrap_or_else(PoisonError::into_inner).push(self.name);
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
