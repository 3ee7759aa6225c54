//! What the process was configured with, handed to log and broker in their own words.

mod cluster;
mod plan;
mod reported;
mod secrets;
mod stores;

use crate::broker::{BrokerSettings, Endpoint, GroupSettings};
use crate::config::{Accepted, BrokerConfig, GroupConfig, Listener, LogConfig};
use crate::log::{AcceptDamage, LogSettings};

pub use cluster::cluster;
pub use plan::plan;
pub(super) use secrets::read_text as read_secret;

/// Clients have at most one in so many of the files that the process may have open, and so do the
/// segments that are appended to: the rest is for what is opened for a moment, and for instances.
const SHARES_OF_CLIENTS: usize = 2;
const SHARES_OF_SEGMENTS: usize = 4;

/// How many files the log may have open for long. The process may have `files` open.
pub(super) fn log_files(files: Option<u64>) -> usize {
    share(files, SHARES_OF_SEGMENTS)
}

/// The log's settings.
pub(super) fn log(config: &LogConfig) -> LogSettings {
    LogSettings {
        segment_bytes: u64::from(config.segment_bytes),
        segment_ms: millis(config.segment_age),
        retention_ms: config.retention.map(millis),
        retention_bytes: config.retention_bytes,
        retention_check_ms: millis(config.retention_check_interval).unsigned_abs(),
        checkpoint_ms: millis(config.checkpoint_interval).unsigned_abs(),
        message_max_bytes: config.message_max_bytes as usize,
        index_interval_bytes: u64::from(config.index_interval_bytes),
        accept_damage: match &config.accept_damage {
            Accepted::Nothing => AcceptDamage::None,
            Accepted::All => AcceptDamage::All,
            Accepted::Of(partitions) => AcceptDamage::Of(partitions.iter().cloned().collect()),
        },
        ..LogSettings::default()
    }
}

/// The broker's settings. The process may have `files` open.
pub(super) fn broker(config: &BrokerConfig, log: &LogConfig, files: Option<u64>) -> BrokerSettings {
    let files = share(files, SHARES_OF_CLIENTS);
    BrokerSettings {
        node_id: config.node_id,
        auto_create_topics: config.auto_create_topics,
        num_partitions: log.partitions,
        delete_topics: config.delete_topics,
        max_request_bytes: at_least_zero(config.request_max_bytes),
        max_fetch_bytes: at_least_zero(config.fetch_max_bytes),
        max_connections: at_least_zero(config.max_connections).min(files),
        max_connections_per_ip: at_least_zero(config.max_connections_per_ip),
        max_idle_ms: config.idle_timeout.map_or(u64::MAX, |idle| millis(idle).unsigned_abs()),
        groups: groups(&config.group),
        log_dir: log.dir.display().to_string(),
        shown: reported::reported(config, log),
    }
}

/// One in `shares` of the files, of which there may be any number.
fn share(files: Option<u64>, shares: usize) -> usize {
    let files = files.and_then(|files| usize::try_from(files).ok());
    files.map_or(usize::MAX, |files| (files / shares).max(1))
}

fn groups(config: &GroupConfig) -> GroupSettings {
    GroupSettings {
        initial_rebalance_delay_ms: millis(config.initial_rebalance_delay),
        min_session_timeout_ms: clamped(config.min_session_timeout),
        max_session_timeout_ms: clamped(config.max_session_timeout),
        max_size: at_least_zero(config.max_size),
        offsets_retention_ms: millis(config.offsets_retention),
        retention_check_ms: millis(config.offsets_check_interval).unsigned_abs(),
        offsets_partitions: config.offsets_partitions,
        max_metadata_bytes: at_least_zero(config.metadata_max_bytes),
    }
}

/// What clients of `listener` are given to connect to.
pub(super) fn advertised(config: &BrokerConfig, listener: &Listener) -> Option<Endpoint> {
    let advertised = config.advertised.iter().find(|one| one.name == listener.name)?;
    let crate::config::Address { host, port } = advertised.address.clone();
    Some(Endpoint { host, port })
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn clamped(duration: std::time::Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn at_least_zero(number: i32) -> usize {
    usize::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests;
