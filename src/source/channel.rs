//! The channel between a source and its instance, bounded in bytes.
//!
//! In: chunks with what they keep in memory, one or several in a parcel: waking the other
//! side costs more than a small transaction does. Out: the chunks, in order. Always: what
//! lies in the channel weighs no more than the bound, or is a single parcel that weighs more:
//! so a chunk of any size is sent, and a full channel is all the back pressure there is. What
//! a chunk weighs is the bytes that were received for it, kept or not: its slices keep the
//! buffers they point into.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use crate::change::Chunk;

/// What a chunk takes beside the bytes it keeps: its list of changes, what is known of its
/// transaction, its commit. Of a small one it is more than the bytes.
const OWN_WEIGHT: usize = 1024;

/// Where a source puts chunks.
#[derive(Clone, Debug)]
pub struct Sender {
    parcels: mpsc::UnboundedSender<Parcel>,
    room: Arc<Semaphore>,
    bound: u32,
    blocked: Arc<AtomicU64>,
}

/// Where an instance takes them.
#[derive(Debug)]
pub struct Receiver {
    parcels: mpsc::UnboundedReceiver<Parcel>,
    /// What is left of the parcel that was opened last.
    at_hand: std::vec::IntoIter<Chunk>,
    /// How long that was in the channel.
    waited: Duration,
    /// Microseconds that senders waited for room.
    blocked: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Parcel {
    chunks: Vec<Chunk>,
    sent: Instant,
    _room: OwnedSemaphorePermit,
}

/// The other side has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes the changes any more")]
pub struct Closed;

/// A channel that holds `bound` bytes.
pub fn channel(bound: u32) -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(bound as usize));
    let at_hand = Vec::new().into_iter();
    let blocked = Arc::default();
    let receiver = Receiver {
        parcels: receiver,
        at_hand,
        waited: Duration::ZERO,
        blocked: Arc::clone(&blocked),
    };
    (Sender { parcels: sender, room, bound, blocked }, receiver)
}

impl Sender {
    /// Puts a chunk in that keeps `bytes` in memory, when there is room for it. Cancel safe:
    /// given up, the chunk was not put in.
    pub async fn send(&self, chunk: Chunk, bytes: usize) -> Result<(), Closed> {
        self.send_all(vec![chunk], bytes).await
    }

    /// As [`Sender::send`], for chunks that together keep `bytes` in memory.
    pub async fn send_all(&self, chunks: Vec<Chunk>, bytes: usize) -> Result<(), Closed> {
        let bytes = bytes + OWN_WEIGHT * chunks.len();
        let weight = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bound);
        let begun = Instant::now();
        tokio::select! {
            biased;
            () = self.parcels.closed() => Err(Closed),
            room = Arc::clone(&self.room).acquire_many_owned(weight) => {
                let room = room.map_err(|_| Closed)?;
                let sent = Instant::now();
                let blocked = u64::try_from((sent - begun).as_micros()).unwrap_or(u64::MAX);
                self.blocked.fetch_add(blocked, Ordering::Relaxed);
                self.parcels.send(Parcel { chunks, sent, _room: room }).map_err(|_| Closed)
            }
        }
    }
}

impl Receiver {
    /// The next chunk; `None` when the source has closed. Cancel safe. The room of a parcel is
    /// free again as soon as it is opened.
    pub async fn recv(&mut self) -> Option<Chunk> {
        loop {
            if let Some(chunk) = self.at_hand.next() {
                return Some(chunk);
            }
            let parcel = self.parcels.recv().await?;
            self.waited = parcel.sent.elapsed();
            self.at_hand = parcel.chunks.into_iter();
        }
    }

    /// How long the parcel that was opened last was in the channel.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// How many microseconds the source waited for room since this was asked last.
    pub fn take_blocked(&self) -> u64 {
        self.blocked.swap(0, Ordering::Relaxed)
    }

    /// The next chunk of those that came together with the last.
    pub fn at_hand(&mut self) -> Option<Chunk> {
        self.at_hand.next()
    }

    /// Whether the next chunk is certain to come without waiting.
    pub fn has_more(&self) -> bool {
        self.at_hand.len() > 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::change::{ChunkEnd, Generation, TransactionHead};

    fn chunk(generation: u64) -> Chunk {
        Chunk {
            generation: Generation(generation),
            head: Arc::new(TransactionHead::default()),
            changes: Vec::new(),
            end: ChunkEnd::More,
        }
    }

    async fn has_room(sender: &Sender, bytes: usize) -> bool {
        tokio::time::timeout(Duration::from_millis(1), sender.send(chunk(9), bytes)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_channel_makes_the_sender_wait() {
        let (sender, mut receiver) = channel(10_000);
        sender.send(chunk(1), 6_000).await.unwrap();
        assert!(!has_room(&sender, 6_000).await);
        assert_eq!(receiver.recv().await.unwrap().generation, Generation(1));
        assert!(has_room(&sender, 6_000).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_chunk_above_the_bound_passes_an_empty_channel_alone() {
        let (sender, mut receiver) = channel(10_000);
        sender.send(chunk(1), 1 << 40).await.unwrap();
        assert!(!has_room(&sender, 0).await);
        receiver.recv().await.unwrap();
        assert!(has_room(&sender, 0).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_parcel_comes_chunk_by_chunk_and_frees_its_room_at_once() {
        let (sender, mut receiver) = channel(10_000);
        sender.send_all(vec![chunk(1), chunk(2)], 6_000).await.unwrap();
        assert!(!has_room(&sender, 6_000).await);
        assert_eq!(receiver.recv().await.unwrap().generation, Generation(1));
        assert!(receiver.has_more());
        assert!(has_room(&sender, 6_000).await);
        assert_eq!(receiver.recv().await.unwrap().generation, Generation(2));
        assert!(!receiver.has_more());
    }

    #[tokio::test]
    async fn a_sender_learns_that_nobody_takes() {
        let (sender, receiver) = channel(1_000);
        sender.send(chunk(1), 1_000).await.unwrap();
        drop(receiver);
        assert_eq!(sender.send(chunk(2), 1).await, Err(Closed));
    }
}
