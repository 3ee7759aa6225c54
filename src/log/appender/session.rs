//! Which writer of an instance may commit. Pure.
//!
//! What holds: only the newest session of an instance is let in, its commits in the order
//! they were numbered, and after a failed one none of them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::log::commit::Session;
use crate::log::error::WriterError;

#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<Arc<str>, State>);

#[derive(Debug, Default)]
struct State {
    epoch: u64,
    next: u64,
    broken: bool,
}

impl Sessions {
    /// A new session, which ends all before it.
    pub(super) fn open(&mut self, instance: &Arc<str>) -> Session {
        let state = self.0.entry(Arc::clone(instance)).or_default();
        state.epoch += 1;
        state.next = 0;
        state.broken = false;
        Session { instance: Arc::clone(instance), epoch: state.epoch, number: 0 }
    }

    /// Lets a commit in, if it is the next of the newest session.
    pub(super) fn admit(&mut self, session: &Session) -> Result<(), WriterError> {
        let Session { instance, epoch, number } = session;
        let state = self.0.get_mut(instance);
        match state.filter(|state| !state.broken && state.epoch == *epoch && state.next == *number)
        {
            Some(state) => {
                state.next += 1;
                Ok(())
            }
            None => Err(WriterError::Fenced(instance.to_string())),
        }
    }

    /// A commit failed: what the session queued behind it does not count.
    pub(super) fn break_off(&mut self, instance: &Arc<str>) {
        if let Some(state) = self.0.get_mut(instance) {
            state.broken = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_session_fences_an_older_one() {
        let mut sessions = Sessions::default();
        let instance = Arc::from("example");
        let old = sessions.open(&instance);
        sessions.admit(&old).unwrap();
        let new = sessions.open(&instance);
        assert!(sessions.admit(&Session { number: 1, ..old }).is_err());
        sessions.admit(&new).unwrap();
    }

    #[test]
    fn commits_are_continuous_and_end_with_a_failure() {
        let mut sessions = Sessions::default();
        let instance = Arc::from("example");
        let first = sessions.open(&instance);
        assert!(sessions.admit(&Session { number: 1, ..first.clone() }).is_err(), "a gap");
        sessions.admit(&first).unwrap();
        assert!(sessions.admit(&first).is_err(), "twice");
        sessions.break_off(&instance);
        assert!(sessions.admit(&Session { number: 1, ..first }).is_err(), "after a failure");
    }
}
