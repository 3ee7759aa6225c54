//! How far behind the server an instance is.
//!
//! In: what became durable, what the server's heartbeats say, and its clock. Out: milliseconds.
//! Always: 0 only while a fresh heartbeat names the very place that everything is durable up to;
//! else the time, by the server's clock, since that was last known to be so or since the last
//! durable transaction was written, whichever is later. So it grows while nothing is heard, and
//! does not jump while a backlog is read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::change::{FileName, Position};

/// A heartbeat may be late by so much.
const LATE: Duration = Duration::from_millis(1500);

/// One instance's, for as long as the process runs.
#[derive(Debug, Default)]
pub struct Lag {
    state: Mutex<State>,
    /// An event of the binlog came since the last heartbeat.
    has_moved: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// When there was first something to measure, by our clock.
    begun: i64,
    /// How far the server's clock is ahead of ours.
    ahead: i64,
    /// How long a heartbeat counts.
    fresh: i64,
    /// Everything up to here is durable, and when the last of it was written, by the server's
    /// clock; 0 where that is not known.
    durable: Option<(FileName, u64, i64)>,
    /// Header timestamp of that file's `FORMAT_DESCRIPTION`; 0 where it is not known.
    created: u32,
    /// What the last heartbeat named, and when it came, by our clock.
    heartbeat: Option<(FileName, u64, i64)>,
    /// When nothing was outstanding for the last time, by the server's clock.
    complete: i64,
    /// When something went from the server through to durable, by our clock; 0: never.
    through: i64,
    reads: Reads,
}

/// Which file is needed of the server.
#[derive(Debug, Default, PartialEq, Eq)]
enum Reads {
    /// That of what is durable.
    #[default]
    Durable,
    /// It was asked by GTID, and has not said in which file it begins.
    Unknown,
    /// It begins in this one, whatever file the durable position names.
    Found(FileName),
}

impl Lag {
    /// Everything up to `position` is durable; `now` in milliseconds since 1970, by our clock.
    pub fn durable(&self, position: &Position, now: i64) {
        let Position::MySql(position) = position;
        let mut state = self.state();
        if state.begun == 0 {
            state.begun = now;
        }
        let is_in = |(file, ..): &(FileName, u64, i64)| **file == *position.file;
        if matches!(state.reads, Reads::Found(_)) && !state.durable.as_ref().is_some_and(is_in) {
            state.reads = Reads::Durable;
        }
        let written = i64::from(position.event_time) * 1000;
        state.durable = Some((FileName::clone(&position.file), position.offset, written));
        state.created = position.file_created;
    }

    /// What the server sent since became durable.
    pub fn passed(&self, now: i64) {
        self.state().through = now;
    }

    /// When something, a transaction or a heartbeat, last went from the server through to where
    /// consumers see all that is before it, in milliseconds since 1970 by our clock; none if nothing
    /// has.
    pub fn through(&self) -> Option<i64> {
        Some(self.state().through).filter(|through| *through > 0)
    }

    /// When the file of what is durable was begun: the header timestamp of its
    /// `FORMAT_DESCRIPTION`, in seconds since 1970; 0 where it is not known.
    pub(super) fn created(&self) -> u32 {
        self.state().created
    }

    /// The file that is needed from here on: that of what is durable; behind a jump by GTID the one
    /// that the server has found.
    pub(super) fn needed(&self) -> Option<FileName> {
        let state = self.state();
        match &state.reads {
            Reads::Unknown => None,
            Reads::Found(file) => Some(FileName::clone(file)),
            Reads::Durable => {
                // Without a file only the GTID set gives the place.
                let named = state.durable.as_ref().filter(|(file, ..)| !file.is_empty());
                named.map(|(file, ..)| FileName::clone(file))
            }
        }
    }

    /// The place that the server's last heartbeat named, if everything up to it is durable and no
    /// event has come since.
    pub(super) fn idle(&self) -> Option<(FileName, u64)> {
        let state = self.state();
        let (file, offset, _) = state.durable.as_ref()?;
        let (heard, at, _) = state.heartbeat.as_ref()?;
        let is_idle = (heard, at) == (file, offset) && !self.has_moved.load(Ordering::Relaxed);
        is_idle.then(|| (FileName::clone(file), *offset))
    }

    /// Joined a server whose clock is `ahead` milliseconds ahead of ours, and which is asked
    /// for a heartbeat after so much silence.
    pub(super) fn joined(&self, ahead: i64, heartbeat: Duration) {
        let mut state = self.state();
        state.ahead = ahead;
        state.fresh = i64::try_from((heartbeat + LATE).as_millis()).unwrap_or(i64::MAX);
        state.heartbeat = None;
        state.reads = Reads::Durable;
    }

    /// The server is asked by GTID: where it begins it says itself.
    pub(super) fn asked_by_gtid(&self) {
        self.state().reads = Reads::Unknown;
    }

    /// It begins in this file.
    pub(super) fn found(&self, file: &FileName) {
        let mut state = self.state();
        if state.reads == Reads::Unknown {
            state.reads = Reads::Found(FileName::clone(file));
        }
    }

    /// The server's clock, in milliseconds since 1970, when ours shows `now`.
    pub(super) fn server_time(&self, now: i64) -> i64 {
        now + self.state().ahead
    }

    /// A heartbeat says that the server has nothing behind this place.
    pub(super) fn heartbeat(&self, file: &FileName, offset: u64, now: i64) {
        self.has_moved.store(false, Ordering::Relaxed);
        self.state().heartbeat = Some((file.clone(), offset, now));
    }

    /// An event of the binlog came.
    pub(super) fn moved(&self) {
        self.has_moved.store(true, Ordering::Relaxed);
    }

    /// The lag in milliseconds when our clock shows `now`; 0 before there is a position.
    pub fn millis(&self, now: i64) -> u64 {
        let state = &mut *self.state();
        let Some((file, offset, written)) = &state.durable else { return 0 };
        if let Some((heard_file, heard_offset, heard)) = &state.heartbeat
            && (heard_file, heard_offset) == (file, offset)
        {
            state.complete = state.complete.max(heard + state.ahead);
            state.through = state.through.max(*heard);
            if !self.has_moved.load(Ordering::Relaxed) && now - heard <= state.fresh {
                return 0;
            }
        }
        let known = match state.complete.max(*written) {
            0 => state.begun + state.ahead,
            known => known,
        };
        (now + state.ahead - known).max(0).unsigned_abs()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::change::MySqlPosition;

    fn durable(lag: &Lag, offset: u64, event_time: u32, now: i64) {
        durable_in(lag, "b.1", offset, event_time, now);
    }

    fn durable_in(lag: &Lag, file: &str, offset: u64, event_time: u32, now: i64) {
        let position = MySqlPosition {
            file: Arc::from(file),
            offset,
            server_uuid: Arc::from("u"),
            file_created: 1,
            event_time,
            ..MySqlPosition::default()
        };
        lag.durable(&Position::MySql(position), now);
    }

    /// A server whose clock is 3 s ahead, asked for a heartbeat each second.
    fn lag() -> Lag {
        let lag = Lag::default();
        lag.joined(3_000, Duration::from_secs(1));
        lag
    }

    #[test]
    fn it_is_0_while_a_fresh_heartbeat_names_our_place_and_grows_when_none_comes() {
        let lag = lag();
        assert_eq!(lag.millis(5), 0, "there is nothing to measure");
        durable(&lag, 100, 10, 9_000);
        assert_eq!(lag.millis(9_000), 2_000);
        lag.heartbeat(&Arc::from("b.1"), 100, 10_000);
        assert_eq!(lag.millis(12_500), 0);
        assert_eq!(lag.millis(18_000), 8_000, "the network is dead since 10");
        assert_eq!(lag.millis(19_000), 9_000);
    }

    #[test]
    fn what_is_through_is_the_last_transaction_or_the_last_heartbeat_that_names_our_place() {
        let lag = lag();
        durable(&lag, 100, 10, 9_000);
        lag.millis(9_500);
        assert_eq!(lag.through(), None, "that is where it begins");
        lag.heartbeat(&Arc::from("b.1"), 100, 10_000);
        lag.millis(10_500);
        assert_eq!(lag.through(), Some(10_000));
        lag.heartbeat(&Arc::from("b.1"), 300, 12_000);
        lag.millis(12_500);
        assert_eq!(lag.through(), Some(10_000), "what it names is not durable");
        durable(&lag, 200, 11, 13_000);
        lag.passed(13_000);
        lag.millis(13_500);
        assert_eq!(lag.through(), Some(13_000));
    }

    #[test]
    fn a_heartbeat_that_names_another_place_says_that_we_are_behind() {
        let lag = lag();
        durable(&lag, 100, 10, 9_000);
        lag.heartbeat(&Arc::from("b.1"), 400, 10_000);
        assert_eq!(lag.millis(10_000), 3_000);
        lag.heartbeat(&Arc::from("b.2"), 100, 10_000);
        assert_eq!(lag.millis(10_000), 3_000);
    }

    #[test]
    fn what_came_behind_a_heartbeat_is_outstanding_until_it_is_durable() {
        let lag = lag();
        durable(&lag, 100, 10, 9_000);
        lag.heartbeat(&Arc::from("b.1"), 100, 10_000);
        lag.moved();
        assert_eq!(lag.millis(10_000), 0);
        assert_eq!(lag.millis(11_000), 1_000);
        durable(&lag, 200, 14, 11_500);
        assert_eq!(lag.millis(11_500), 500);
    }

    /// The file of the position may be purged by then, which endangers nothing.
    #[test]
    fn behind_a_jump_by_gtid_the_file_is_needed_that_the_server_begins_with() {
        let lag = lag();
        durable(&lag, 100, 10, 9_000);
        assert_eq!(lag.needed().as_deref(), Some("b.1"));
        lag.asked_by_gtid();
        assert_eq!(lag.needed(), None);
        lag.found(&Arc::from("b.7"));
        lag.found(&Arc::from("b.8"));
        durable(&lag, 100, 10, 9_000);
        assert_eq!(lag.needed().as_deref(), Some("b.7"));
        durable_in(&lag, "b.8", 4, 10, 9_000);
        assert_eq!(lag.needed().as_deref(), Some("b.8"));
        lag.found(&Arc::from("b.9"));
        lag.joined(0, Duration::from_secs(1));
        assert_eq!(lag.needed().as_deref(), Some("b.8"));
    }

    #[test]
    fn a_backlog_is_as_old_as_what_is_durable_of_it() {
        let lag = lag();
        for hour in 1..20 {
            durable(&lag, hour, u32::try_from(hour).unwrap() * 3600, 72_000_000);
            let millis = lag.millis(72_000_000);
            assert_eq!(millis, 72_003_000 - hour * 3_600_000);
        }
    }
}
