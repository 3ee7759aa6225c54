//! By what rate those that hold room have to come on, while others want it.
//!
//! In: who waits for room, who did without, and who got some. Out: the bytes a second that are
//! demanded of each that holds some. Always: nobody is pressed while there is room for all, nor in
//! the first moments; then the rate rises, so that the slowest end first, until nobody wants room
//! any more or one that got some says that it begins anew.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long somebody wants room before those that hold it have to come on.
const GRACE: Duration = Duration::from_secs(2);
/// By how many bytes a second then; twice as many after each second more.
const RATE: u64 = 4 << 10;
/// How often at most that is doubled.
const DOUBLED: u64 = 12;
/// For how long who did without is thought to want it still.
const WANTED: Duration = Duration::from_secs(2);

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Pressure(Mutex<Wanting>);

#[derive(Debug, Default)]
struct Wanting {
    waiting: usize,
    /// When somebody did without last.
    without: Option<Instant>,
    /// Since when nobody of them got any.
    since: Option<Instant>,
}

/// One that waits.
pub(super) struct Waits<'a>(&'a Pressure);

impl Wanting {
    fn is_any(&self) -> bool {
        self.waiting > 0 || self.without.is_some_and(|last| last.elapsed() <= WANTED)
    }

    /// Somebody wants room from now on.
    fn begin(&mut self) {
        if !self.is_any() {
            self.since = Some(Instant::now());
        }
    }
}

impl Pressure {
    /// Somebody waits for room until what is returned is dropped.
    pub(super) fn wait(&self) -> Waits<'_> {
        let mut wanting = self.wanting();
        wanting.begin();
        wanting.waiting += 1;
        Waits(self)
    }

    /// Somebody goes on without the room that he wants.
    pub(super) fn do_without(&self) {
        let mut wanting = self.wanting();
        wanting.begin();
        wanting.without = Some(Instant::now());
    }

    /// Somebody got all that he wants, and did not wait for it.
    pub(super) fn is_room(&self) {
        let mut wanting = self.wanting();
        if wanting.waiting == 0 {
            wanting.without = None;
        }
    }

    /// The bytes a second by which who holds room has to come on now.
    pub(super) fn demanded(&self) -> u64 {
        let wanting = self.wanting();
        let since = wanting.since.filter(|_| wanting.is_any());
        let pressed = since.and_then(|since| since.elapsed().checked_sub(GRACE));
        pressed.map_or(0, |pressed| RATE << pressed.as_secs().min(DOUBLED))
    }

    fn wanting(&self) -> MutexGuard<'_, Wanting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waits<'_> {
    /// It got some.
    pub(super) fn got_some(&self) {
        self.0.wanting().since = Some(Instant::now());
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.wanting().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_rises_for_as_long_as_somebody_wants_room_and_gets_none() {
        let pressure = Pressure::default();
        let second = Duration::from_secs(1);
        assert_eq!(pressure.demanded(), 0);
        let waits = pressure.wait();
        assert_eq!(pressure.demanded(), 0, "not at once");
        sleep(GRACE + 3 * second).await;
        assert_eq!(pressure.demanded(), RATE << 3);
        waits.got_some();
        assert_eq!(pressure.demanded(), 0, "it begins anew");
        sleep(GRACE + second).await;
        assert_eq!(pressure.demanded(), RATE << 1);
        drop(waits);
        assert_eq!(pressure.demanded(), 0);
        for _ in 0..5 {
            pressure.do_without();
            sleep(second).await;
        }
        assert_eq!(pressure.demanded(), RATE << 3, "who does without wants it still");
        pressure.is_room();
        assert_eq!(pressure.demanded(), 0);
        pressure.do_without();
        assert_eq!(pressure.demanded(), 0, "that is another time");
        sleep(3600 * second).await;
        assert_eq!(pressure.demanded(), 0, "and was long ago");
        let _waits = pressure.wait();
        sleep(3600 * second).await;
        assert_eq!(pressure.demanded(), RATE << DOUBLED);
    }
}
