//! What a sink waits for, while it does: for whoever shows what the instance does.
//!
//! In: a sentence, from the thread that waits. Out: the same, until it waits no more. Always: what
//! is said here changes nothing; what comes of the wait is the answer of the verb.

use std::sync::Arc;

use tokio::sync::watch;

/// See the head of this file. A clone is the same.
#[derive(Clone, Debug)]
pub struct Waits(Arc<watch::Sender<Option<String>>>);

impl Default for Waits {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Waits {
    /// Says what is waited for; none: nothing any more.
    pub(super) fn say(&self, what: Option<String>) {
        self.0.send_if_modified(|said| {
            let is_new = *said != what;
            *said = what;
            is_new
        });
    }

    /// What is waited for now, and each change of it.
    pub fn watch(&self) -> watch::Receiver<Option<String>> {
        self.0.subscribe()
    }

    /// Whether something is waited for.
    pub fn is_any(&self) -> bool {
        self.0.borrow().is_some()
    }
}
