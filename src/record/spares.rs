//! Buffers of batches that have been written, for batches to come.
//!
//! A batch of a backlog fills a MiB. Taken from the system anew for each, all its pages are faults,
//! which cost more than what is written into them.
//!
//! In: buffers whose bytes are durable. Out: the same, empty. Always: few are kept, none that is
//! very large, and none after [`Spares::clear`], which is asked for when nothing is to be done.

use std::sync::{Arc, Mutex, PoisonError};

/// How many are kept: as many batches as an instance has on their way to the disk, and one that it
/// fills.
const MOST: usize = 6;
/// What a buffer that is kept has room for, in bytes: a batch, and the record that passes its
/// limit.
const KEPT: std::ops::RangeInclusive<usize> = 1 << 20..=2 << 20;
/// Who wants room for fewer bytes does not get one of them.
const LARGE: usize = 64 << 10;

/// See the head of this file. A clone is the same store.
#[derive(Clone, Debug, Default)]
pub struct Spares(Arc<Mutex<Vec<Vec<u8>>>>);

impl Spares {
    /// An empty buffer with room for about so many bytes.
    pub fn take(&self, capacity: usize) -> Vec<u8> {
        let kept = if capacity >= LARGE { self.kept().pop() } else { None };
        kept.unwrap_or_else(|| Vec::with_capacity(capacity))
    }

    /// Takes a buffer that nobody needs any more.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let mut kept = self.kept();
        if KEPT.contains(&buffer.capacity()) && kept.len() < MOST {
            buffer.clear();
            kept.push(buffer);
        }
    }

    /// Lets go of all.
    pub fn clear(&self) {
        self.kept().clear();
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_batches_come_back_empty_and_others_are_not_kept() {
        let spares = Spares::default();
        let mut given = vec![1; 1 << 20];
        let address = given.as_ptr();
        for other in [Vec::with_capacity(100), Vec::with_capacity(3 << 20)] {
            spares.give(other);
        }
        spares.give(std::mem::take(&mut given));
        assert_eq!(spares.take(100).capacity(), 100);
        let taken = spares.take(1 << 20);
        assert_eq!((taken.as_ptr(), taken.len()), (address, 0));
        assert!(spares.kept().is_empty());
    }

    #[test]
    fn few_are_kept_and_none_behind_a_rest() {
        let spares = Spares::default();
        (0..20).for_each(|_| spares.give(Vec::with_capacity(1 << 20)));
        assert_eq!(spares.kept().len(), MOST);
        spares.clear();
        assert!(spares.kept().is_empty());
    }
}
