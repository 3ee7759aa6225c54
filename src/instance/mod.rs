//! One instance: a source, what of it is published, and the sink it goes to.
//!
//! [`run`] supervises: it opens the sink, starts the source where the sink says, runs the
//! pipeline between them, and does what each error asks for. The way of a row:
//! `source` → channel → `pipeline` → `encode` → `gather` → sink. It has a thread of its own, or
//! encoding would hold one of the runtime's.

mod anew;
mod branch;
mod encode;
mod gather;
mod park;
pub(crate) mod pipeline;
mod plan;
mod progress;
mod reaction;
mod recent;
mod supervisor;
mod tally;

pub(crate) use branch::held_branch;
pub(crate) use park::tables::{read as parked_table, record as parked_record};
pub use park::{drop_parked, retry};
pub use plan::{MetaDat, Plan, Publication, ReadFile, Renamed};
pub use reaction::Error;
pub use supervisor::run;
