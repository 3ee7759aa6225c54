//! What waits for the appender.
//!
//! What holds: requests are taken in the order they were put; together they hold no more
//! bytes than the settings allow, and who has more to append waits for room. A request
//! that was put is carried out, whoever stops waiting for its answer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::appender::operation::Operation;
use super::commit::Commit;
use super::error::{AppendError, WriterError};
use super::{Appended, Produce};

/// Room is counted in these.
const UNIT: usize = 1 << 10;

/// The bytes that a request holds in the queue, given back when it is done.
pub(super) type Room = OwnedSemaphorePermit;

/// One answer for each batch.
pub(super) type Each = Vec<Result<Appended, AppendError>>;

#[derive(Debug)]
pub(super) enum Request {
    /// Batches, each for itself.
    Each(Vec<Produce>, oneshot::Sender<Each>, Room),
    /// Batches that are appended together or not at all.
    All(Vec<Produce>, oneshot::Sender<Result<Vec<Appended>, AppendError>>, Room),
    /// What an instance commits.
    Commit(Box<Commit>, oneshot::Sender<Result<(), WriterError>>, Room),
    /// What is done between two groups.
    Operation(Operation),
}

#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    room: Arc<Semaphore>,
    units: u32,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<Request>,
    closed: bool,
    /// A helper has something for the appender.
    woken: bool,
}

impl Queue {
    pub(super) fn new(bytes: usize) -> Self {
        let units = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).clamp(1, 1 << 28);
        Self {
            waiting: Mutex::default(),
            arrived: Condvar::new(),
            room: Arc::new(Semaphore::new(units as usize)),
            units,
        }
    }

    /// Waits for room for `bytes`; what is larger than all the room takes all of it.
    pub(super) async fn room(&self, bytes: usize) -> Result<Room, AppendError> {
        let units = u32::try_from(bytes / UNIT + 1).unwrap_or(u32::MAX).min(self.units);
        let room = Arc::clone(&self.room).acquire_many_owned(units).await;
        room.map_err(|_| AppendError::Closed)
    }

    /// Puts a request. A closed queue gives it back.
    pub(super) fn put(&self, request: Request) -> Result<(), Box<Request>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            return Err(Box::new(request));
        }
        waiting.requests.push_back(request);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes all that waits, after waiting for something or to be woken, but not longer than
    /// `patience`.
    /// False when the queue is closed and empty.
    pub(super) fn take(&self, into: &mut VecDeque<Request>, patience: Duration) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |waiting: &mut Waiting| {
            waiting.requests.is_empty() && !waiting.closed && !waiting.woken
        };
        if idle(&mut waiting) {
            let woken = self.arrived.wait_timeout_while(waiting, patience, idle);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.woken = false;
        std::mem::swap(into, &mut waiting.requests);
        !(into.is_empty() && waiting.closed)
    }

    /// Lets the appender look for what its helpers have done.
    pub(super) fn wake(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).woken = true;
        self.arrived.notify_one();
    }

    /// Whether it takes no more requests.
    pub(super) fn is_closed(&self) -> bool {
        self.room.is_closed()
    }

    /// There is nobody any more who takes requests: those that wait are dropped, so that who
    /// waits for an answer learns it.
    pub(super) fn abandon(&self) {
        self.close();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = std::mem::take(&mut waiting.requests);
        drop(waiting);
        drop(requests);
    }

    /// Takes no more requests; what waits is still carried out.
    pub(super) fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.room.close();
        self.arrived.notify_one();
    }
}
