//! The rows that were there before: tables copied, chunk by chunk, while the stream runs.
//!
//! In: which tables, and how far each is. Out: chunks, as transactions of their own kind, with what
//! is to be remembered of them in the same append. Nothing is written to the source.
//!
//! ```text
//! copier                                   reader (between two transactions, at place s)
//!   Open(table)            ──────────▶       from s on, notes the keys that rows of it have
//!   waits until the server shows s
//!   reads the chunk by key
//!   mark = end of the binlog
//!   Close(rows, mark)      ──────────▶       at or behind the mark: publishes the rows whose keys
//!                          ◀──────────       were not met, at the position that it has anyway
//! ```
//!
//! Why this is right: what is read shows all that was committed up to s, and nothing from behind the
//! mark. A row that nothing between the two touched is at the mark as it was read; one that was
//! touched comes by the stream. A row is known by the bytes of its key: whatever version of it was
//! read, the event that made that version, or that ended it, lies in the window with those bytes, or
//! none does. What a window cannot tell (a statement that changes the table, rows without their key,
//! the commit of an XA branch whose rows came before) voids it, and the chunk is read again.
//!
//! A table without a key is read as a whole, in one snapshot of the server. Its rows cannot be told
//! apart, so they count only if nothing touched the table between s and the boundary where they are
//! published; there the stream waits until they are read.
//!
//! Always: positions do not move by a chunk; nothing newer is overwritten by something older; a row
//! that is not changed meanwhile comes once.

mod branches;
mod chunk;
mod copier;
mod copies;
mod estimate;
mod key;
mod literal;
mod orders;
pub mod row;
mod shown;
mod window;

pub(super) use copier::run;
pub(super) use copies::Notes;
pub use copies::{Copies, Copy, CopyState};
pub use orders::{Answer, Copying, Order};
pub(super) use window::{Next, Opened, Publishing, Request, Windows};
