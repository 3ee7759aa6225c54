//! Consumer groups: membership, assignments, committed offsets.
//!
//! [`state`] is one group as a pure step function; [`Coordinator`] owns all groups, their
//! timers and their writes; `records` is the form in which they lie in
//! `__consumer_offsets`, Kafka's own.

mod coordinator;
mod offsets;
mod records;
mod restore;

pub(crate) mod state;

pub(crate) use coordinator::{Coordinator, Listed};
pub(crate) use offsets::{Commit, OFFSETS_TOPIC, Place};
