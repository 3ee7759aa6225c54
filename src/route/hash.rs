//! The partition of a row: Java's hash of the values that a Canal message shows.

/// The columns whose values decide, and what they are mixed into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashRule {
    columns: Vec<usize>,
    seed: i32,
    partitions: i32,
}

impl HashRule {
    pub(super) fn new(columns: Vec<usize>, seed: i32, partitions: i32) -> Self {
        Self { columns, seed, partitions }
    }

    /// Indexes of the columns, each to be given to [`RowHash::add`] in any order.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Begins the hash of a row.
    pub fn row(&self) -> RowHash {
        RowHash { hash: self.seed, partitions: self.partitions }
    }
}

/// The hash of a row, growing.
#[derive(Clone, Copy, Debug)]
pub struct RowHash {
    hash: i32,
    partitions: i32,
}

impl RowHash {
    /// Mixes in the text of a value, as the message shows it and before its escaping. NULL
    /// and absent values are not added: Canal takes them for the empty text, whose hash
    /// is 0.
    pub fn add(&mut self, text: &[u8]) {
        self.hash ^= java_hash(text);
    }

    /// The partition of the row.
    pub fn partition(self) -> i32 {
        partition(self.hash, self.partitions)
    }
}

/// `Math.abs(Math.abs(hash) % n)`: the inner one leaves `i32::MIN` as it is.
pub(super) fn partition(hash: i32, partitions: i32) -> i32 {
    (hash.wrapping_abs() % partitions).abs()
}

/// `String.hashCode()`: over the UTF-16 units, in wrapping 32-bit arithmetic. Bytes that
/// are no UTF-8 count as U+FFFD.
pub(super) fn java_hash(text: &[u8]) -> i32 {
    let step = |hash: i32, unit: i32| hash.wrapping_mul(31).wrapping_add(unit);
    if text.is_ascii() {
        return text.iter().fold(0, |hash, byte| step(hash, i32::from(*byte)));
    }
    text.utf8_chunks().fold(0, |hash, chunk| {
        let hash = chunk.valid().encode_utf16().fold(hash, |h, unit| step(h, i32::from(unit)));
        if chunk.invalid().is_empty() { hash } else { step(hash, 0xfffd) }
    })
}
