//! What operators read: the log files. Open to all modules.
//!
//! Lines have Canal's shape, `2024-05-01 08:00:00.123 [thread] LEVEL logger - message`, so
//! that what people grep for keeps working. Whatever is logged within the span of an
//! instance ([`instance_span`]) goes to `logs/<instance>/<instance>.log`, all else to
//! `logs/server.log`. Names and counts only: never cell values, never secrets.

mod files;

pub use files::{FlushLogs, LogFiles};

use std::path::Path;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Registry};

/// Environment variable with the levels to log, in the grammar of `tracing`'s `EnvFilter`.
pub const LEVELS_VARIABLE: &str = "SLUICE_LOG";

/// The span of everything an instance does; its name decides the log file.
pub fn instance_span(name: &str) -> tracing::Span {
    tracing::info_span!("instance", name)
}

/// Sends all log lines to files under `folder`. `levels` as in [`LEVELS_VARIABLE`]; what
/// cannot be read of it falls back to `info`. The guard flushes when it is dropped.
pub fn log_to_files(folder: &Path, levels: Option<&str>) -> FlushLogs {
    let (layer, guard) = LogFiles::new(folder);
    let filter = levels.and_then(|levels| EnvFilter::try_new(levels).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new("info"));
    let subscriber = Registry::default().with(filter).with(layer);
    // A second subscriber of the same process (tests) keeps the first.
    let _ = tracing::subscriber::set_global_default(subscriber);
    guard
}
