//! The room that answers have in memory, over all connections.
//!
//! In: how many bytes an answer would like to carry, and how fast its client takes answers. Out:
//! how many it may carry, and what it holds of the room until it is sent. Always: what answers
//! hold is within [`ROOM`], beside [`SMALL`] of each. No answer takes more than [`LARGEST`] of it,
//! and one to a client that is slow, or not known yet, less: so a few that take theirs slowly leave
//! room to the others; a part is kept for those that took their last answer quickly. Who finds no
//! room gets a small answer at once. Only a single batch that is larger waits, in order, and one
//! that is larger than all that is not kept takes all of that. While somebody waits, or did
//! without, those that hold room have to take theirs, by a rate that rises until nobody does
//! (`pressure`); an answer that is taken within moments is never too slow.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::pressure::Pressure;

/// What answers hold together.
pub(crate) const ROOM: usize = 16 << 20;
/// What one answer takes of it, but for a single batch that is larger.
const LARGEST: usize = ROOM / 4;
/// What is kept of it for clients that are quick.
const KEPT: usize = LARGEST;
/// What the first answer to a client takes.
const FIRST: usize = 1 << 20;
/// What an answer may carry when there is no room.
const SMALL: usize = 16 << 10;
/// Room is counted in these.
pub(super) const UNIT: usize = 1 << 10;
/// How long an answer waits for room: longer than a client may take nothing of its own.
const PATIENCE: Duration = Duration::from_secs(15);
/// Who takes an answer within this time gets twice as much next time.
const QUICK: Duration = Duration::from_millis(500);
/// Who takes longer gets what it takes in this time.
const SLOW: Duration = Duration::from_secs(2);

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Answers {
    /// What all may have.
    room: Arc<Semaphore>,
    kept: Arc<Semaphore>,
    pressure: Pressure,
}

/// Room that an answer holds.
#[derive(Debug)]
pub(crate) struct Held(OwnedSemaphorePermit);

/// What an answer to one client may take of the room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    bytes: usize,
    /// It took the last answer that tells quickly.
    is_quick: bool,
}

impl Default for Answers {
    fn default() -> Self {
        let units = |bytes: usize| Arc::new(Semaphore::new(bytes / UNIT));
        Self { room: units(ROOM - KEPT), kept: units(KEPT), pressure: Pressure::default() }
    }
}

impl Default for Share {
    fn default() -> Self {
        Self { bytes: FIRST, is_quick: false }
    }
}

impl Share {
    /// It took an answer of so many bytes within that time.
    pub(crate) fn learn(&mut self, bytes: usize, took: Duration) {
        if took <= QUICK && bytes >= SMALL {
            self.is_quick = true;
            if bytes >= self.bytes / 2 {
                self.bytes = (2 * self.bytes).min(LARGEST);
            }
        } else if took > SLOW {
            self.is_quick = false;
            let of_time = SLOW.as_secs_f64() / took.as_secs_f64();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "less")]
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let taken = (bytes as f64 * of_time) as usize;
            self.bytes = taken.clamp(SMALL, LARGEST);
        }
    }

    /// How many bytes it is.
    pub(crate) fn bytes(self) -> usize {
        self.bytes
    }
}

impl Answers {
    /// How many of `wanted` bytes an answer may carry, and what it holds for them.
    pub(crate) fn take(&self, wanted: usize, share: Share) -> (usize, Option<Held>) {
        if wanted <= SMALL {
            return (wanted, None);
        }
        let wanted = wanted.min(share.bytes);
        let kept = share.is_quick.then_some(&self.kept);
        for room in [Some(&self.room), kept].into_iter().flatten() {
            if let Some((bytes, held)) = Self::take_of(room, wanted) {
                if bytes == wanted {
                    self.pressure.is_room();
                }
                return (bytes, Some(held));
            }
        }
        if wanted > SMALL {
            self.pressure.do_without();
        }
        (wanted.min(SMALL), None)
    }

    /// As much of `wanted` bytes as there is, if it is worth while.
    fn take_of(room: &Arc<Semaphore>, wanted: usize) -> Option<(usize, Held)> {
        let mut units = wanted.div_ceil(UNIT).min(room.available_permits());
        while units * UNIT > SMALL {
            match Arc::clone(room).try_acquire_many_owned(u32::try_from(units).ok()?) {
                Ok(permit) => return Some((wanted.min(units * UNIT), Held(permit))),
                // Somebody was faster.
                Err(_) => units = (units / 2).min(room.available_permits()),
            }
        }
        None
    }

    /// Room for one batch of `bytes`, after a wait if there is none: nothing if there is none
    /// for too long. Cancel safe; who comes again waits behind the others.
    pub(crate) async fn wait(&self, bytes: usize, share: Share) -> Option<Held> {
        let units = |most: usize| u32::try_from(bytes.min(most).div_ceil(UNIT)).ok();
        let (of_all, of_kept) = (units(ROOM - KEPT)?, units(KEPT)?);
        let may_have_kept = share.is_quick && bytes <= KEPT;
        if let Ok(held) = Arc::clone(&self.room).try_acquire_many_owned(of_all) {
            return Some(Held(held));
        }
        let _waits = self.pressure.wait();
        let held = tokio::select! {
            biased;
            held = Arc::clone(&self.room).acquire_many_owned(of_all) => held,
            held = Arc::clone(&self.kept).acquire_many_owned(of_kept), if may_have_kept => held,
            () = sleep(PATIENCE) => return None,
        };
        held.ok().map(Held)
    }

    /// The bytes a second by which who holds room has to take its answer now.
    pub(crate) fn demanded(&self) -> u64 {
        self.pressure.demanded()
    }
}

impl Held {
    /// Room that was had elsewhere, in the same units.
    pub(super) fn of(room: OwnedSemaphorePermit) -> Self {
        Self(room)
    }

    /// Gives back what is not needed for `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let surplus = self.0.num_permits().saturating_sub(bytes.div_ceil(UNIT));
        drop(self.0.split(surplus));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Share = Share { bytes: LARGEST, is_quick: false };

    #[test]
    fn answers_share_the_room_and_nobody_waits_for_it() {
        let answers = Answers::default();
        assert_eq!(answers.take(100, MOST).0, 100);
        let mut all: Vec<_> = (0..3).map(|_| answers.take(ROOM * 2, MOST)).collect();
        assert!(all.iter().all(|(most, _)| *most == LARGEST));
        assert_eq!(answers.take(1 << 20, MOST).0, SMALL, "there is no room");
        let quick = answers.take(LARGEST, Share { is_quick: true, ..MOST });
        assert_eq!(quick.0, LARGEST, "but for those that are quick");
        all[0].1.as_mut().unwrap().shrink(LARGEST - (1 << 20));
        let (more, last) = answers.take(ROOM, MOST);
        assert_eq!(more, 1 << 20, "as much as there is");
        drop((all, last));
        assert_eq!(answers.take(ROOM, MOST).0, LARGEST);
        assert_eq!(answers.take(ROOM, Share::default()).0, FIRST);
    }

    #[test]
    fn who_takes_quickly_gets_more_and_who_is_slow_what_it_takes() {
        let seconds = Duration::from_secs;
        let mut share = Share::default();
        share.learn(100, Duration::ZERO);
        assert_eq!((share.bytes, share.is_quick), (FIRST, false), "that says nothing");
        share.learn(SMALL, Duration::ZERO);
        assert_eq!((share.bytes, share.is_quick), (FIRST, true));
        share.learn(FIRST, Duration::ZERO);
        assert_eq!(share.bytes, 2 * FIRST);
        for _ in 0..10 {
            share.learn(share.bytes, QUICK);
        }
        assert_eq!(share.bytes, LARGEST);
        share.learn(LARGEST, seconds(1));
        assert_eq!((share.bytes, share.is_quick), (LARGEST, true), "neither");
        share.learn(LARGEST, seconds(4));
        assert_eq!((share.bytes, share.is_quick), (LARGEST / 2, false));
        share.learn(LARGEST / 2, seconds(3600));
        assert_eq!(share.bytes, SMALL);
        share.learn(SMALL, QUICK);
        assert_eq!(share.bytes, 2 * SMALL, "it gets another chance");
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_its_room_and_one_larger_than_all_of_it_takes_all() {
        let answers = Answers::default();
        let quick = Share { is_quick: true, ..MOST };
        let held: Vec<_> = (0..3).map(|_| answers.take(ROOM, MOST).1).collect();
        let began = tokio::time::Instant::now();
        assert!(answers.wait(1 << 20, MOST).await.is_none());
        assert_eq!(began.elapsed(), PATIENCE);
        let kept = answers.wait(KEPT, quick).await;
        assert!(kept.is_some());
        assert_eq!(began.elapsed(), PATIENCE, "what is kept is there at once");
        assert!(answers.wait(1 << 20, quick).await.is_none());
        let freed = async {
            sleep(Duration::from_secs(5)).await;
            assert!(answers.demanded() > 0);
            drop((held, kept));
        };
        let (large, ()) = tokio::join!(answers.wait(3 * ROOM, quick), freed);
        assert!(large.is_some());
        assert_eq!(answers.demanded(), 0);
        assert_eq!(answers.take(1 << 20, MOST).0, SMALL);
        drop(large);
        assert_eq!(answers.room.available_permits(), (ROOM - KEPT) / UNIT);
        assert_eq!(answers.kept.available_permits(), KEPT / UNIT);
    }
}
