//! Changes to JSON, straight into the bytes of a record. Pure.
//!
//! In: a [`crate::change::RowsChange`] whose rows are still the server's bytes, or a
//! statement. Out: the bytes of one message, appended to a vector that the caller owns.
//! What a message says about a table is the same for all its rows: a *plan* holds it
//! ready, made once per table version, with the names already escaped.
//!
//! Always holds: nothing is allocated per row or per message once the vectors have grown;
//! each value is decoded once and in place; what a row image does not hold is left out,
//! never invented.

pub mod flat;

mod escape;
mod java;
mod zone;

pub use zone::{Zone, ZoneError};
