//! One replica session as a channel of transactions: where to start, what the events make,
//! and what stops it.

mod assemble;
pub mod channel;
