//! sluice: MySQL change-data-capture with a bundled log that speaks the Kafka protocol.
//!
//! ```text
//! MySQL ──▶ source ──▶ instance ──▶ sink ──▶ log ◀── broker ◀── Kafka clients
//!           binlog     filter        │        │
//!           schema     format        │        └─ journal + segments on disk
//!                      route         └─ rdkafka ──▶ a Kafka cluster
//! admin ◀── control ◀── server (owns instances, broker, admin, log)
//! ```
//!
//! One line of numbers runs through it:
//! `durable position <= appended position <= decoded position <= received position`.

pub mod admin;
pub mod binlog;
pub mod broker;
pub mod change;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod control;
pub mod disk;
pub mod filter;
pub mod format;
pub mod instance;
pub mod log;
pub mod mysql;
pub mod record;
pub mod route;
pub mod schema;
pub mod server;
pub mod shutdown;
pub mod sink;
pub mod source;
pub mod telemetry;
pub mod verify;
