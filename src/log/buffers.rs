//! Buffers for reading, used again.
//!
//! In: how many bytes are to be read. Out: a buffer of that length, whose memory comes back
//! when the last slice of it is dropped. Always: no more than [`KEPT`] of at most
//! [`LARGEST_KEPT`] bytes wait; memory that was used once is not zeroed again, and a reader
//! gets nothing of what an earlier one left but where its own read has filled it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// How many buffers wait for use.
const KEPT: usize = 8;
/// A larger one is given back to the system: what a client asks of a partition, and a little.
const LARGEST_KEPT: usize = (1 << 20) + (64 << 10);
/// A smaller one costs less than the look for one that waits.
const SMALLEST_KEPT: usize = 16 << 10;

/// See the head of this file. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer in use.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    home: Buffers,
}

impl Buffers {
    /// A buffer of this length; what it holds is to be written over.
    pub(super) fn take(&self, length: usize) -> Buffer {
        let bytes = self.fitting(length).unwrap_or_else(|| vec![0; length]);
        Buffer { bytes, length, home: self.clone() }
    }

    /// One that waits, and is not so large that an answer would hold much more than it carries.
    fn fitting(&self, length: usize) -> Option<Vec<u8>> {
        if !(SMALLEST_KEPT..=LARGEST_KEPT).contains(&length) {
            return None;
        }
        let mut kept = self.kept();
        let fits = |one: &Vec<u8>| (length..=2 * length).contains(&one.len());
        let at = kept.iter().position(fits)?;
        Some(kept.swap_remove(at))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }

    /// The bytes, shared from now on.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if (SMALLEST_KEPT..=LARGEST_KEPT).contains(&bytes.len()) {
            let mut kept = self.home.kept();
            if kept.len() < KEPT {
                kept.push(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_with_the_last_slice_and_no_more_is_kept_than_may_be() {
        let buffers = Buffers::default();
        let mut first = buffers.take(100_000);
        first.as_mut().fill(7);
        let bytes = first.freeze();
        let slice = bytes.slice(10..20);
        drop(bytes);
        assert_eq!((buffers.kept().len(), slice[0]), (0, 7));
        drop(slice);
        assert_eq!(buffers.kept().len(), 1);
        let again = buffers.take(50_000);
        assert_eq!(again.as_ref().len(), 50_000);
        assert_eq!(buffers.kept().len(), 0, "it is the one that came back");
        drop(again);
        let again = buffers.take(40_000);
        assert_eq!(buffers.kept().len(), 1, "it is too large for so little");
        let larger = buffers.take(200_000);
        assert!(larger.as_ref().iter().all(|byte| *byte == 0));
        let many: Vec<_> = (0..3 * KEPT).map(|_| buffers.take(20_000)).collect();
        drop((again, larger, many, buffers.take(LARGEST_KEPT + 1), buffers.take(10)));
        assert_eq!(buffers.kept().len(), KEPT);
        assert!(buffers.kept().iter().all(|one| one.len() <= LARGEST_KEPT));
    }
}
