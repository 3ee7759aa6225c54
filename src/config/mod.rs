//! The settings: from the texts of `.properties` files and the environment to structs
//! that every module takes its own section of.
//!
//! ```text
//! bytes ─ properties ─▶ entries ─ layers ─▶ resolved texts ─ reader ─▶ typed values
//!                                  ▲                          ▲          │
//!                            environment                   keys table    ▼
//!                                              ServerConfig, InstanceConfig, Problems
//! ```
//!
//! Pure: the caller hands in a [`Files`] (two closures) and the environment. What holds:
//! every key is once in the table of [`keys`]; a key outside of it is a warning with
//! file, line and the nearest known key; a wrong value is an error; all errors of all
//! files come together; a password is a [`Secret`] from the moment it is read.

mod address;
mod broker;
mod cluster;
mod instance;
mod keys;
mod layers;
mod listener;
mod load;
mod nearest;
mod operation;
mod problem;
mod properties;
mod reader;
mod secret;
mod server;

#[cfg(test)]
mod tests;

pub use address::Address;
pub use broker::{Accepted, BrokerConfig, GroupConfig, LogConfig};
pub(crate) use cluster::is_compacted;
pub use cluster::{ClusterConfig, Properties, Reread};
pub use instance::{
    Adopt, BinaryForm, Compression, Detecting, EnumForm, FilterConfig, FormatConfig, GtidForm,
    Heartbeat, Instance, InstanceConfig, KeyStore, OnStatement, OnTableError, OnUnknownBranch,
    RouteConfig, SnapshotMode, SourceConfig, SourceServer, StartAt, Tls, TlsMode, TopicRule,
};
pub use keys::{Class, Home, KEYS, Key, Kind, MOST_PARTITIONS};
pub use layers::Environment;
pub(crate) use layers::closing_brace;
pub use listener::{Advertised, Listener};
pub use load::{Changes, Files, ListFolders, ReadFile, Settings, load};
pub use operation::{AlertConfig, AlertFormat, LinesConfig};
pub use problem::{Place, Problem, Problems, Severity};
pub use properties::properties;
pub use secret::Secret;
pub use server::{ServerConfig, Target};
