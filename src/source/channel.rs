//! The channel between a source and its instance, bounded in bytes.
//!
//! In: chunks with what they keep in memory. Out: the chunks, in order. Always: what lies in
//! the channel weighs no more than the bound, or is a single chunk that weighs more: so a
//! chunk of any size passes, and a full channel is all the back pressure there is. What a
//! chunk weighs is the bytes that were received for it, kept or not: its slices keep the
//! buffers they point into.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::change::Chunk;

/// A chunk weighs at least this, so that many small ones are bounded too.
const LEAST_WEIGHT: usize = 512;

/// Where a source puts chunks.
#[derive(Clone, Debug)]
pub struct Sender {
    chunks: mpsc::UnboundedSender<Weighed>,
    room: Arc<Semaphore>,
    bound: u32,
}

/// Where an instance takes them.
#[derive(Debug)]
pub struct Receiver {
    chunks: mpsc::UnboundedReceiver<Weighed>,
}

#[derive(Debug)]
struct Weighed {
    chunk: Chunk,
    _room: OwnedSemaphorePermit,
}

/// The other side is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes the changes any more")]
pub struct Closed;

/// A channel that holds `bound` bytes.
pub fn channel(bound: u32) -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(bound as usize));
    (Sender { chunks: sender, room, bound }, Receiver { chunks: receiver })
}

impl Sender {
    /// Puts a chunk in that keeps `bytes` in memory, when there is room for it. Cancel safe:
    /// given up, the chunk was not put in.
    pub async fn send(&self, chunk: Chunk, bytes: usize) -> Result<(), Closed> {
        let weight = u32::try_from(bytes.max(LEAST_WEIGHT)).unwrap_or(u32::MAX).min(self.bound);
        tokio::select! {
            biased;
            () = self.chunks.closed() => Err(Closed),
            room = Arc::clone(&self.room).acquire_many_owned(weight) => {
                let room = room.map_err(|_| Closed)?;
                self.chunks.send(Weighed { chunk, _room: room }).map_err(|_| Closed)
            }
        }
    }
}

impl Receiver {
    /// The next chunk; `None` when the source is gone. Cancel safe. The room of a chunk is
    /// free again as soon as it is taken.
    pub async fn recv(&mut self) -> Option<Chunk> {
        self.chunks.recv().await.map(|weighed| weighed.chunk)
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

    #[tokio::test]
    async fn a_sender_learns_that_nobody_takes() {
        let (sender, receiver) = channel(1_000);
        sender.send(chunk(1), 1_000).await.unwrap();
        drop(receiver);
        assert_eq!(sender.send(chunk(2), 1).await, Err(Closed));
    }
}
