//! The room that answers have in memory, over all connections.
//!
//! In: how many bytes an answer would like to carry. Out: how many it may, and what it holds
//! of the room until it is sent. Always: what answers hold is within [`ROOM`], beside [`SMALL`]
//! of each; one alone that is larger takes all of it. Who finds no room gets a small answer at
//! once. Only a single batch that is larger waits, in order, until those that do not read are
//! closed; one that takes its answer slowly, and never stops, holds its room for as long.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// What answers hold together.
pub(crate) const ROOM: usize = 24 << 20;
/// What an answer may carry when there is no room.
const SMALL: usize = 16 << 10;
/// Room is counted in these.
const UNIT: usize = 1 << 10;
/// How long an answer waits for room: longer than a client may take nothing of its own.
const PATIENCE: Duration = Duration::from_secs(15);

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Answers(Arc<Semaphore>);

/// Room that an answer holds.
#[derive(Debug)]
pub(crate) struct Held(OwnedSemaphorePermit);

impl Default for Answers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM / UNIT)))
    }
}

impl Answers {
    /// How many of `wanted` bytes an answer may carry, and what it holds for them.
    pub(crate) fn take(&self, wanted: usize) -> (usize, Option<Held>) {
        if wanted <= SMALL {
            return (wanted, None);
        }
        let mut units = wanted.div_ceil(UNIT).min(self.0.available_permits());
        while units * UNIT > SMALL {
            let taken = u32::try_from(units).ok();
            match taken.map(|units| Arc::clone(&self.0).try_acquire_many_owned(units)) {
                Some(Ok(permit)) => return (wanted.min(units * UNIT), Some(Held(permit))),
                // Somebody was faster.
                Some(Err(_)) | None => units = (units / 2).min(self.0.available_permits()),
            }
        }
        (SMALL, None)
    }

    /// Room for one batch of `bytes`, after a wait if there is none: nothing if there is none
    /// for too long. Cancel safe; who comes again waits behind the others.
    pub(crate) async fn wait(&self, bytes: usize) -> Option<Held> {
        let units = u32::try_from(bytes.div_ceil(UNIT).min(ROOM / UNIT)).ok()?;
        let room = timeout(PATIENCE, Arc::clone(&self.0).acquire_many_owned(units)).await;
        Some(Held(room.ok()?.ok()?))
    }
}

impl Held {
    /// Gives back what is not needed for `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let surplus = self.0.num_permits().saturating_sub(bytes.div_ceil(UNIT));
        drop(self.0.split(surplus));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_share_the_room_and_nobody_waits_for_it() {
        let answers = Answers::default();
        assert_eq!(answers.take(100).0, 100);
        let (most, mut first) = answers.take(ROOM * 2);
        assert_eq!(most, ROOM);
        assert_eq!(answers.take(1 << 20).0, SMALL, "there is no room");
        first.as_mut().unwrap().shrink(ROOM - (1 << 20));
        let (more, second) = answers.take(ROOM);
        assert_eq!(more, 1 << 20, "as much as there is");
        drop((first, second));
        assert_eq!(answers.take(ROOM).0, ROOM);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_its_room_and_one_larger_than_all_of_it_takes_all() {
        let answers = Answers::default();
        let held = answers.take(ROOM).1;
        let began = tokio::time::Instant::now();
        assert!(answers.wait(1 << 20).await.is_none());
        assert_eq!(began.elapsed(), PATIENCE);
        let freed = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(held);
        };
        let (large, ()) = tokio::join!(answers.wait(3 * ROOM), freed);
        assert!(large.is_some());
        assert_eq!(answers.take(1 << 20).0, SMALL);
        drop(large);
        assert_eq!(answers.0.available_permits(), ROOM / UNIT);
    }
}
