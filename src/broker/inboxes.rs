//! The room that requests have in memory while they arrive, over all connections.
//!
//! In: how many bytes a connection wants to hold. Out: room for them, after a wait if there is
//! none. Always: the first [`FREE`] bytes of each connection need no room; and one connection at
//! a time may go beyond it, so that requests which wait for each other's room come to an end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// What all connections hold together.
const ROOM: usize = 32 << 20;
/// What each holds beside that.
pub(crate) const FREE: usize = 4 << 10;
/// Room is counted in these.
const UNIT: usize = 1 << 10;
/// How long a connection waits for room.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the head of this file. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Inboxes {
    room: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
}

/// Room that a connection holds.
#[derive(Debug, Default)]
pub(crate) struct Room {
    units: Option<OwnedSemaphorePermit>,
    /// It is the one that may go beyond.
    beyond: Option<OwnedSemaphorePermit>,
    waits_since: Option<Instant>,
}

/// There was no room for so long.
#[derive(Debug)]
pub(crate) struct NoRoom;

impl Default for Inboxes {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(ROOM / UNIT)), beyond: Arc::new(Semaphore::new(1)) }
    }
}

impl Inboxes {
    /// Lets `held` grow to room for `bytes`. Cancel safe: who comes again goes on waiting.
    pub(crate) async fn grow(&self, held: &mut Room, bytes: usize) -> Result<(), NoRoom> {
        let has = held.units.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.saturating_sub(FREE).div_ceil(UNIT).saturating_sub(has);
        if more == 0 || held.beyond.is_some() {
            return Ok(());
        }
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if let Ok(units) = Arc::clone(&self.room).try_acquire_many_owned(more) {
            held.add(units);
            return Ok(());
        }
        let until = *held.waits_since.get_or_insert_with(Instant::now) + PATIENCE;
        tokio::select! {
            biased;
            Ok(beyond) = Arc::clone(&self.beyond).acquire_owned() => held.beyond = Some(beyond),
            Ok(units) = Arc::clone(&self.room).acquire_many_owned(more) => held.add(units),
            () = sleep_until(until) => return Err(NoRoom),
        }
        held.waits_since = None;
        Ok(())
    }
}

impl Room {
    fn add(&mut self, units: OwnedSemaphorePermit) {
        match &mut self.units {
            Some(held) => held.merge(units),
            None => self.units = Some(units),
        }
    }

    /// The room of `bytes` of what is held, for whoever takes them away; all of it with the last.
    pub(crate) fn split(&mut self, bytes: usize, is_last: bool) -> Self {
        if is_last {
            return std::mem::take(self);
        }
        let units = self.units.as_mut().and_then(|units| {
            let count = bytes.div_ceil(UNIT).min(units.num_permits());
            units.split(count)
        });
        Self { units, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_share_the_room_and_one_may_always_go_on() {
        let inboxes = Inboxes::default();
        let [mut first, mut second, mut third] = std::array::from_fn(|_| Room::default());
        inboxes.grow(&mut first, FREE).await.unwrap();
        assert!(first.units.is_none(), "small ones take none");
        inboxes.grow(&mut first, ROOM / 2).await.unwrap();
        inboxes.grow(&mut second, ROOM / 2).await.unwrap();
        // Neither fits, and both would wait for ever: the first that asks goes on.
        inboxes.grow(&mut first, ROOM).await.unwrap();
        inboxes.grow(&mut first, 3 * ROOM).await.unwrap();
        assert!(inboxes.grow(&mut second, ROOM).await.is_err());
        let began = Instant::now();
        assert!(inboxes.grow(&mut third, ROOM).await.is_err());
        assert_eq!(began.elapsed(), PATIENCE);
        drop(first);
        inboxes.grow(&mut second, ROOM).await.unwrap();
        drop((second, third));
        assert_eq!(inboxes.room.available_permits() * UNIT, ROOM);
        assert_eq!(inboxes.beyond.available_permits(), 1);
    }
}
