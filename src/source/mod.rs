//! One replica session as a channel of transactions: where to begin, what the events make,
//! and what stops it.
//!
//! ```text
//! prepare ─ probe, check, begin ─▶ FirstAppend (made durable by the caller)
//! survey ─ the source's tables, page by page (made durable by the caller)
//! run ─ resume ─▶ mysql::replica ─▶ reader ─▶ assemble ─▶ channel ─▶ the instance
//!                                     └ schema, filter
//! ```

mod assemble;
pub mod channel;
mod check;
mod errant;
mod error;
pub mod failover;
mod heartbeat;
mod held;
mod horizon;
mod kept;
mod lag;
mod meta_dat;
mod parking;
mod progress;
mod reader;
mod remembered;
mod rest;
mod scan;
mod search;
mod session;
mod settings;
pub mod snapshot;
mod start;
mod trail;

pub use check::{Finding, Severity, check, tables, zone};
pub use errant::of as errant;
pub(crate) use error::DAMAGED;
pub use error::Error;
pub use heartbeat::{Heartbeat, NoTable};
pub use held::Noticed;
pub use horizon::{Retention, retention};
pub use kept::Kept;
pub use lag::Lag;
pub use meta_dat::Left;
pub use parking::Parking;
pub use progress::{Counts, Progress};
pub use remembered::Remembered;
pub use session::{Before, FirstAppend, Source, Surveyed};
pub use settings::{Accepted, NamedGtids, Settings, StartAt, Statements};
pub use snapshot::{Copies, Copy, CopyState, Copying, Order};
