//! The one door to `tokio::spawn`: tasks that are owned, told to stop, and joined.
//!
//! A [`Tasks`] owns what it spawns. `cancel` asks all of them (and those of its children)
//! to stop; `join` waits until they have, and says by name which of them panicked: a
//! panic is an error of the owner, never a silence.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

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
        let witness = Witness { name, panicked: Arc::clone(&self.panicked) };
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
        let witness = Witness { name, panicked: Arc::clone(&self.panicked) };
        self.tracker.spawn_blocking(move || {
            let _witness = witness;
            work()
        })
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
    async fn cancelling_the_owner_reaches_the_children() {
        let tasks = Tasks::new();
        let child = tasks.child();
        let token = child.token().clone();
        child.spawn("waits", async move { token.cancelled().await });
        tasks.cancel();
        assert!(child.join().await.is_empty());
    }
}
