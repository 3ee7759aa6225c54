//! What flows between the running parts and whoever watches them: status out ([`Board`]),
//! commands in ([`Commands`]).
//!
//! The server and the instances hold the one end, `admin` the other; neither names the
//! other. A status is data that survives JSON, so that the commands of another process
//! read the same types.

mod alerts;
mod board;
mod command;
mod counts;
mod status;
mod tables;

pub use alerts::{Alerts, Kind, Message, Rules, Status};
pub use board::{Board, Done, Received, Reporter};
pub use command::{Asked, Command, Commands, Outcome, Place, SnapshotOrder, commands};
pub use counts::{BOUNDS, Counted, Counts, Latency, Stages, Tally};
pub use status::{
    AlertStatus, Branches, Copying, InstanceState, InstanceStatus, Phase, Progress, Retention,
    RetentionLevel, Snapshot, TableCopy, Tables,
};
pub use tables::{TableCount, TableCounts, TableStatus};
