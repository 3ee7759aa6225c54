//! What is random of a crash of the simulated disk.
//!
//! In: a seed. Out: numbers. What holds: the same seed gives the same ones.

/// A small generator (xorshift), so that a seed replays.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap_or(0)
    }
}
