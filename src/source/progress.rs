//! Counters of a source, for status and metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a source has done since it was prepared. Each only rises, but for `last_packet`.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    skipped_events: AtomicU64,
    dropped_rows_events: AtomicU64,
    unknown_rollbacks: AtomicU64,
    last_packet: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes received.
    pub bytes: u64,
    /// Events left out as harmless.
    pub skipped_events: u64,
    /// Rows events of tables without a definition that the settings let drop.
    pub dropped_rows_events: u64,
    /// XA ROLLBACKs of branches that were not held.
    pub unknown_rollbacks: u64,
    /// When the server was last heard, in milliseconds since 1970.
    pub last_packet: u64,
}

impl Progress {
    /// Reads all.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            bytes: read(&self.bytes),
            skipped_events: read(&self.skipped_events),
            dropped_rows_events: read(&self.dropped_rows_events),
            unknown_rollbacks: read(&self.unknown_rollbacks),
            last_packet: read(&self.last_packet),
        }
    }

    pub(super) fn packet(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Once a second at most: the clock is not asked for each packet.
    pub(super) fn heard(&self, now_millis: i64) {
        self.last_packet.store(u64::try_from(now_millis).unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn skipped(&self) {
        self.skipped_events.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn unknown_rollback(&self) {
        self.unknown_rollbacks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped_rows(&self) {
        self.dropped_rows_events.fetch_add(1, Ordering::Relaxed);
    }
}
