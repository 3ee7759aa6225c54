//! The room that answers have in memory, over all connections.
//!
//! In: how many bytes an answer would like to carry. Out: how many it may, and what it holds
//! of the room until it is sent. Always: nobody waits for room. Who finds none gets a small
//! answer, so that clients that do not take theirs cannot stop the others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What answers hold together.
const ROOM: usize = 32 << 20;
/// What an answer may carry when there is no room: one batch at least goes with it.
const SMALL: usize = 16 << 10;
/// Room is counted in these.
const UNIT: usize = 1 << 10;

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
}
