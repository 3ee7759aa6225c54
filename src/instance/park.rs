//! Parked tables: what is known of them, and what is kept of their changes.
//!
//! A table is parked when a row of it cannot be published and the instance is to go on
//! (`sluice.table.error=park`). From that event on its rows events and statements become
//! [letters](letter) in the instance's `.parked` topic, in the same append as the rest of their
//! transaction; a state record says that the table is parked, since when and why. [`retry()`]
//! publishes the letters in their order and takes the table back.
//!
//! Always: a table is parked in the sink as soon as a letter of it is, and as long as it is, all
//! its changes become letters. So its topic has all changes in order, whenever that is.

pub(super) mod letter;
pub(super) mod retry;
pub(super) mod tables;

pub use retry::{drop_parked, retry};
