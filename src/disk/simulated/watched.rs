//! Who waits for the simulated disk, and how long.
//!
//! In: a thread to watch, calls that are to hang. Out: how often that thread called what may wait
//! for a medium, and how many calls hang. What holds: what only looks into memory (room, open files,
//! reads of cached bytes) is no such call.

use std::thread::ThreadId;
use std::time::Duration;

use super::{MutexGuard, Simulated, State};

/// A kind of call that may hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hang {
    /// Syncs of files and directories.
    Sync,
    /// Reads that may wait for the medium.
    Read,
}

/// How often it is looked whether a call hangs no more.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

#[derive(Debug, Default)]
pub(super) struct Watched {
    thread: Option<ThreadId>,
    calls: u64,
    /// Calls of this kind hang whose path ends so.
    hangs: Option<(Hang, String)>,
    hanging: usize,
    /// Whether nothing is in the page cache.
    pub(super) is_cold: bool,
}

impl Simulated {
    /// Counts from now on the calls of this thread that may wait for the medium.
    pub fn watch_thread(&self, thread: ThreadId) {
        let watched = &mut self.state().watched;
        (watched.thread, watched.calls) = (Some(thread), 0);
    }

    /// How many calls there were of the thread that is watched.
    pub fn calls_of_thread(&self) -> u64 {
        self.state().watched.calls
    }

    /// Lets calls of a kind hang whose path ends so, or none any more: those that hang then go on.
    pub fn hang(&self, calls: Option<(Hang, &str)>) {
        self.state().watched.hangs = calls.map(|(kind, ending)| (kind, ending.to_owned()));
    }

    /// How many calls hang.
    pub fn hanging(&self) -> usize {
        self.state().watched.hanging
    }

    /// Lets nothing be in the page cache from now on, or all.
    pub fn make_cold(&self, is_cold: bool) {
        self.state().watched.is_cold = is_cold;
    }

    /// The state, for a call that may wait for the medium.
    pub(super) fn call(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let watched = &mut state.watched;
        watched.calls += u64::from(watched.thread == Some(std::thread::current().id()));
        state
    }

    /// Waits while calls of this kind hang for what it is for.
    pub(super) fn hang_on(&self, kind: Hang, path: impl Fn(&State) -> Option<String>) {
        let hangs = || {
            let state = self.state();
            let (of, ending) = state.watched.hangs.as_ref().filter(|(of, _)| *of == kind)?;
            path(&state).filter(|path| *of == kind && path.ends_with(ending))
        };
        if hangs().is_none() {
            return;
        }
        self.state().watched.hanging += 1;
        while hangs().is_some() {
            std::thread::sleep(LOOK_AGAIN);
        }
        self.state().watched.hanging -= 1;
    }
}
