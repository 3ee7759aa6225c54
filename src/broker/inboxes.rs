//! The room that requests have in memory, over all connections: while they arrive, and while they
//! are worked on.
//!
//! In: how many bytes a connection wants to hold. Out: room for them; what arrives waits if there
//! is none, and what has arrived does not. Always: the first [`FREE`] bytes of each connection
//! need no room; and one connection at a time may go beyond it, so that requests which wait for
//! each other's room come to an end. Who waits for records holds nothing that arrivals need. While
//! somebody waits, those that hold room have to come on, by a rate that rises until there is some.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};

use super::pressure::Pressure;

/// What all connections hold together.
const ROOM: usize = 24 << 20;
/// What each holds beside that.
pub(crate) const FREE: usize = 4 << 10;
/// Room is counted in these.
const UNIT: usize = 1 << 10;
/// How long a connection waits for room.
const PATIENCE: Duration = Duration::from_secs(30);
/// What requests hold together that were read, and wait for records.
const WAITING: usize = 32 << 20;
/// What all others hold together while they are worked on.
const WORK: usize = 32 << 20;
/// Produce requests that wait for the log, beside the first few of each connection: a small one
/// holds no room of the others, and yet some kilobytes.
const PRODUCES: usize = 2048;
/// How often who holds room and does not come on is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// See the head of this file. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Inboxes {
    room: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    work: Arc<Semaphore>,
    produces: Arc<Semaphore>,
    pressure: Arc<Pressure>,
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
        let units = |bytes: usize| Arc::new(Semaphore::new(bytes / UNIT));
        Self {
            room: units(ROOM),
            beyond: units(UNIT),
            waiting: units(WAITING),
            work: units(WORK),
            produces: Arc::new(Semaphore::new(PRODUCES)),
            pressure: Arc::default(),
        }
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
        let waits = self.pressure.wait();
        let until = *held.waits_since.get_or_insert_with(Instant::now) + PATIENCE;
        tokio::select! {
            biased;
            // Those that hold the room came on by nothing.
            Ok(beyond) = Arc::clone(&self.beyond).acquire_owned() => held.beyond = Some(beyond),
            Ok(units) = Arc::clone(&self.room).acquire_many_owned(more) => {
                held.add(units);
                waits.got_some();
            }
            () = sleep_until(until) => return Err(NoRoom),
        }
        held.waits_since = None;
        Ok(())
    }

    /// The bytes a second by which who holds room has to come on now.
    pub(crate) fn demanded(&self) -> u64 {
        self.pressure.demanded()
    }

    /// Resolves when others want the room of `bytes` that do not come on; never for those that
    /// need no room.
    pub(crate) async fn wanted(&self, bytes: usize) {
        if bytes <= FREE {
            return std::future::pending().await;
        }
        let (began, bytes) = (Instant::now(), u64::try_from(bytes).unwrap_or(u64::MAX));
        while bytes >= self.demanded().saturating_mul(began.elapsed().as_secs()) {
            sleep(LOOK).await;
        }
    }

    /// Room for a request of `bytes` that may wait for records; `None` if there is none.
    pub(crate) fn waiting(&self, bytes: usize) -> Option<Room> {
        Self::at_once(&self.waiting, bytes)
    }

    /// Room for a request of `bytes` while it is worked on; `None` if there is none.
    pub(crate) fn work(&self, bytes: usize) -> Option<Room> {
        // One that is larger than all of the room takes all of it.
        Self::at_once(&self.work, bytes.min(WORK + FREE))
    }

    /// Whether one more Produce request may wait for the log, beyond those that each connection
    /// may have; somebody else may be faster.
    pub(crate) fn may_produce(&self) -> bool {
        self.produces.available_permits() > 0
    }

    /// Lets one more of them wait, as long as the permit is held.
    pub(crate) fn produce(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.produces).try_acquire_owned().ok()
    }

    fn at_once(room: &Arc<Semaphore>, bytes: usize) -> Option<Room> {
        let units = u32::try_from(bytes.saturating_sub(FREE).div_ceil(UNIT)).ok()?;
        let units = Arc::clone(room).try_acquire_many_owned(units).ok()?;
        Some(Room { units: Some(units), ..Room::default() })
    }
}

impl Room {
    fn add(&mut self, units: OwnedSemaphorePermit) {
        match &mut self.units {
            Some(held) => held.merge(units),
            None => self.units = Some(units),
        }
    }

    /// All but the room of `bytes`, which stay, for whoever takes the others away.
    pub(crate) fn leave(&mut self, bytes: usize) -> Self {
        let stays = bytes.saturating_sub(FREE).div_ceil(UNIT);
        if stays == 0 {
            return std::mem::take(self);
        }
        let taken = self.units.as_mut().and_then(|units| {
            let surplus = units.num_permits().checked_sub(stays)?;
            units.split(surplus)
        });
        // Without enough units for what stays, it goes on beyond them.
        let beyond = if taken.is_some() { self.beyond.take() } else { None };
        Self { units: taken, beyond, waits_since: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worked_on_and_what_waits_for_records_takes_nothing_of_the_arrivals() {
        let inboxes = Inboxes::default();
        let waiting = [WAITING / 2, WAITING / 2].map(|bytes| inboxes.waiting(bytes).unwrap());
        assert!(inboxes.waiting(WAITING / 2).is_none());
        assert!(inboxes.waiting(FREE).is_some(), "small ones need none");
        let work = inboxes.work(WORK + FREE).unwrap();
        assert!(inboxes.work(2 * FREE).is_none());
        assert_eq!(inboxes.room.available_permits() * UNIT, ROOM);
        drop((waiting, work));
        let all = inboxes.work(3 * WORK).unwrap();
        assert_eq!(inboxes.work.available_permits(), 0, "one larger than all takes all");
        drop(all);
        assert_eq!(inboxes.waiting.available_permits() * UNIT, WAITING);
        assert_eq!(inboxes.work.available_permits() * UNIT, WORK);
    }

    #[tokio::test]
    async fn what_stays_keeps_its_own_room_and_no_more() {
        let inboxes = Inboxes::default();
        let all = || inboxes.room.available_permits() * UNIT;
        for (stays, held) in [(0, 0), (FREE, 0), (FREE + 1, UNIT), (2 << 20, (2 << 20) - FREE)] {
            let mut room = Room::default();
            inboxes.grow(&mut room, 8 << 20).await.unwrap();
            drop(room.leave(stays));
            assert_eq!(ROOM - all(), held, "{stays} bytes stay");
        }
        let [mut other, mut room] = std::array::from_fn(|_| Room::default());
        inboxes.grow(&mut other, ROOM - (1 << 20)).await.unwrap();
        inboxes.grow(&mut room, 1 << 20).await.unwrap();
        inboxes.grow(&mut room, 9 << 20).await.unwrap();
        assert_eq!(inboxes.beyond.available_permits(), 0);
        drop(room.leave(5 << 20));
        assert_eq!(inboxes.beyond.available_permits(), 0, "it is more than there is room for");
        drop(room.leave(1 << 10));
        assert_eq!(inboxes.beyond.available_permits(), 1);
    }

    /// Those that come one behind the other to the place beyond it do not help those that hold it.
    #[tokio::test(start_paused = true)]
    async fn who_goes_beyond_the_room_does_not_let_those_rest_that_hold_it() {
        let inboxes = Inboxes::default();
        let mut slow = Room::default();
        inboxes.grow(&mut slow, ROOM).await.unwrap();
        let second = Duration::from_secs(1);
        let upload = async || {
            let mut room = Room::default();
            inboxes.grow(&mut room, 1 << 20).await.unwrap();
            sleep(second).await;
        };
        let watch = async {
            sleep(6 * second).await;
            assert!(inboxes.demanded() > 0, "room is wanted for so long, and none is given back");
            drop(slow);
        };
        let uploads = futures_util::future::join_all((0..8).map(|_| upload()));
        tokio::join!(uploads, watch);
        assert_eq!(inboxes.demanded(), 0);
    }

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
