//! How long something that failed waits until it is tried again. Pure.
//!
//! What holds: each failure in a row doubles the pause, up to [`LONGEST`] times the first.

use std::time::{Duration, Instant};

/// The longest pause, in first ones.
const LONGEST: u32 = 64;

#[derive(Debug, Default)]
pub(super) struct Pause(Option<Failed>);

#[derive(Clone, Copy, Debug)]
struct Failed {
    at: Instant,
    pause: Duration,
}

impl Pause {
    /// It failed at `now`; `first` is the pause behind a first failure.
    pub(super) fn failed(&mut self, now: Instant, first: Duration) {
        let longest = first.saturating_mul(LONGEST);
        let pause = self.0.map_or(first, |before| before.pause.saturating_mul(2).min(longest));
        self.0 = Some(Failed { at: now, pause });
    }

    pub(super) fn succeeded(&mut self) {
        self.0 = None;
    }

    /// Whether it may be tried.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.0.is_none_or(|failed| now.saturating_duration_since(failed.at) >= failed.pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_pause_up_to_a_bound_and_a_success_ends_it() {
        let first = Duration::from_millis(100);
        let mut now = Instant::now();
        let mut pause = Pause::default();
        for expected in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
            pause.failed(now, first);
            let over = now + first * expected;
            assert!(!pause.is_over(over.checked_sub(Duration::from_millis(1)).unwrap()));
            assert!(pause.is_over(over));
            now = over;
        }
        pause.succeeded();
        assert!(pause.is_over(now));
        pause.failed(now, first);
        assert!(pause.is_over(now + first));
    }
}
