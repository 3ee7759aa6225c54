//! The clocks: the only place that reads them for what is kept.
//!
//! Owns: the clock of the wall, which a person or a time server may set, and a steady one, which
//! nobody sets. Out: the time that records are given, and between which times it is for certain.
//!
//! What holds: a clock that jumps takes nothing with it. When that of the wall jumps, ahead or
//! back, the time may be where it went, or go on from where it was, until it has stood for
//! [`DOUBT`]. So it is at a start at which it is far from the newest time that was stored: it may
//! have jumped while nobody looked. What is heard is as young as that allows ([`Moment::latest`]), and what expires is
//! so only if it is in either case ([`Moment::earliest`]).

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How far the clock of the wall may go off the steady one between two looks, in milliseconds: more
/// is a jump.
const LEEWAY: i64 = 60_000;

/// How long it has to stand where it jumped to until that is believed, in milliseconds.
const DOUBT: i64 = 3_600_000;

/// Milliseconds since 1970. 0 on a machine whose clock stands before that.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Whole seconds since 1970, as many as 32 bits hold.
pub fn now_seconds() -> u32 {
    u32::try_from(now_millis() / 1000).unwrap_or(u32::MAX)
}

/// What the clocks say at one moment, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The clock of the wall, since 1970. It may be ahead of the next moment's.
    pub wall: i64,
    /// The time since 1970 is this at least,
    pub earliest: i64,
    /// and this at most.
    pub latest: i64,
    /// Since some moment. Nobody sets it.
    pub steady: i64,
}

/// The clocks of the process; clones are the same.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    followed: Arc<Mutex<Option<Followed>>>,
}

#[derive(Clone, Debug)]
enum Source {
    System(Instant),
    Set(Arc<Hands>),
}

/// What a test sets clocks by, in milliseconds.
#[derive(Debug, Default)]
pub struct Hands {
    wall: AtomicI64,
    steady: AtomicI64,
}

/// How the clock of the wall was followed so far.
#[derive(Clone, Copy, Debug)]
struct Followed {
    /// The time that is believed, and the steady one then.
    believed: i64,
    steady: i64,
    doubted: Option<Doubt>,
}

/// The clock of the wall is elsewhere.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// Since when, by the steady one.
    since: i64,
    /// How far ahead of the time that is believed.
    ahead: i64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { source: Source::System(Instant::now()), followed: Arc::default() }
    }
}

impl Clock {
    /// Clocks that stand until they are set.
    pub fn of_hands(hands: &Arc<Hands>) -> Self {
        Self { source: Source::Set(Arc::clone(hands)), followed: Arc::default() }
    }

    /// What they say now. A jump is noticed by who asks before and behind it.
    pub fn now(&self) -> Moment {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, steady) = self.source.read();
        let doubted = followed.is_some_and(|followed| followed.doubted.is_some());
        let now = followed.map_or_else(|| at(wall, steady), |before| before.follow(wall, steady));
        *followed = Some(now);
        drop(followed);
        let believed = now.believed;
        match (doubted, now.doubted.is_some()) {
            (false, true) => tracing::warn!(
                by_ms = wall.saturating_sub(believed),
                "the clock of the system jumped: nothing expires by it until it has stood where \
                 it is for an hour"
            ),
            (true, false) => tracing::warn!("the clock of the system is believed again"),
            (true, true) | (false, false) => {}
        }
        Moment { wall, earliest: wall.min(believed), latest: wall.max(believed), steady }
    }

    /// `newest` is the newest time that a process before this one has stored, in milliseconds since
    /// 1970. Where the clock of the wall is farther from it than it is believed at once, it has to
    /// stand there first: that it was stopped for so long nobody can tell from a clock that is wrong.
    pub fn continue_from(&self, newest: i64) {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, steady) = self.source.read();
        let ahead = wall.saturating_sub(newest);
        if ahead.saturating_abs() <= DOUBT {
            return;
        }
        let doubted = Some(Doubt { since: steady, ahead });
        *followed = Some(Followed { believed: newest, steady, doubted });
        drop(followed);
        tracing::info!(
            by_ms = ahead,
            "the clock of the system is far from what was stored last: nothing expires by it until \
             it has stood where it is for an hour"
        );
    }
}

impl Source {
    /// The clock of the wall, and the steady one.
    fn read(&self) -> (i64, i64) {
        match self {
            Self::System(begin) => {
                let steady = i64::try_from(begin.elapsed().as_millis()).unwrap_or(i64::MAX);
                (now_millis(), steady)
            }
            Self::Set(hands) => {
                (hands.wall.load(Ordering::Acquire), hands.steady.load(Ordering::Acquire))
            }
        }
    }
}

/// The clock of the wall is believed.
fn at(wall: i64, steady: i64) -> Followed {
    Followed { believed: wall, steady, doubted: None }
}

impl Followed {
    fn follow(self, wall: i64, steady: i64) -> Self {
        let passed = steady.saturating_sub(self.steady);
        let believed = self.believed.saturating_add(passed);
        let ahead = wall.saturating_sub(believed);
        let is_near = |to: i64| ahead.saturating_sub(to).saturating_abs() <= LEEWAY;
        // Each jump has to stand for itself.
        let stands = self.doubted.filter(|doubt| is_near(doubt.ahead));
        let doubt = stands.unwrap_or(Doubt { since: steady, ahead });
        if is_near(0) || steady.saturating_sub(doubt.since) >= DOUBT {
            return at(wall, steady);
        }
        Self { believed, steady, doubted: Some(doubt) }
    }
}

impl Hands {
    /// Sets the clock of the wall, in milliseconds since 1970.
    pub fn set(&self, wall: i64) {
        self.wall.store(wall, Ordering::Release);
    }

    /// Moves the clock of the wall.
    pub fn jump(&self, millis: i64) {
        self.wall.fetch_add(millis, Ordering::AcqRel);
    }

    /// Lets time pass on both.
    pub fn pass(&self, millis: i64) {
        self.wall.fetch_add(millis, Ordering::AcqRel);
        self.steady.fetch_add(millis, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const YEAR: i64 = 365 * 24 * HOUR;

    #[test]
    fn a_second_jump_is_not_believed_for_the_time_that_the_first_has_stood() {
        let hands = Arc::new(Hands::default());
        hands.set(YEAR);
        let clock = Clock::of_hands(&hands);
        clock.now();
        hands.jump(600_000);
        clock.now();
        hands.pass(HOUR - 1000);
        hands.jump(10 * YEAR);
        clock.now();
        hands.pass(2000);
        let now = clock.now();
        assert_eq!(now.wall - now.earliest, 10 * YEAR + 600_000);
        hands.pass(HOUR);
        assert_eq!(clock.now().earliest, clock.now().wall);
    }

    #[test]
    fn a_clock_that_is_far_from_what_was_stored_is_believed_when_it_has_stood_for_an_hour() {
        let stored = 50 * YEAR;
        for (off, earliest, latest) in [
            (0, 0, 0),
            (HOUR, 0, 0),
            (-HOUR, 0, 0),
            (HOUR + 1, -HOUR - 1, 0),
            (YEAR, -YEAR, 0),
            (-YEAR, 0, YEAR),
        ] {
            let hands = Arc::new(Hands::default());
            hands.set(stored + off);
            let clock = Clock::of_hands(&hands);
            if off == YEAR {
                clock.now();
            }
            clock.continue_from(stored);
            for pass in [0, HOUR - 2000] {
                hands.pass(pass);
                let now = clock.now();
                let found = (now.earliest - now.wall, now.latest - now.wall);
                assert_eq!(found, (earliest, latest), "{off}");
            }
            hands.pass(2001);
            let now = clock.now();
            assert_eq!((now.earliest, now.latest), (now.wall, now.wall), "{off}");
        }
    }

    #[test]
    fn a_jump_is_believed_when_it_has_stood_for_an_hour() {
        let hands = Arc::new(Hands::default());
        hands.set(YEAR);
        let clock = Clock::of_hands(&hands);
        let start = clock.now();
        assert_eq!((start.earliest, start.wall, start.latest), (YEAR, YEAR, YEAR));
        // What is done to the clock, the time that passes then, and how far earliest and latest
        // are from the clock of the wall.
        for (what, jump, pass, earliest, latest) in [
            ("it goes", 0, 500, 0, 0),
            ("it is moved a little", 50_000, 500, 0, 0),
            ("it jumps ahead", YEAR, 500, -YEAR, 0),
            ("it stands there", 0, HOUR - 1000, -YEAR, 0),
            ("it goes back", -YEAR, 500, 0, 0),
            ("it jumps ahead again", 2 * HOUR, 0, -2 * HOUR, 0),
            ("it jumps farther", HOUR, HOUR / 2, -3 * HOUR, 0),
            ("it has stood there", 0, HOUR / 2, 0, 0),
            ("it jumps back", -3 * HOUR, 500, 0, 3 * HOUR),
            ("it stands there", 0, HOUR - 1000, 0, 3 * HOUR),
            ("it has stood there", 0, 500, 0, 0),
            ("nobody looks for long", 0, 30 * HOUR, 0, 0),
        ] {
            hands.jump(jump);
            clock.now();
            hands.pass(pass);
            let now = clock.now();
            assert_eq!(
                (now.earliest - now.wall, now.latest - now.wall),
                (earliest, latest),
                "{what}"
            );
        }
    }
}
