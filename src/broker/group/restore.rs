//! Reads all groups back from `__consumer_offsets`: the newest record of each key counts.
//!
//! In: the log. Out: each group's snapshot and offsets. A record that we cannot read (a
//! newer layout, a share group's) is left alone and counted.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::OFFSETS_TOPIC;
use super::offsets::Offsets;
use super::records::{self, Key};
use super::state::Snapshot;
use crate::log::{Log, ReadError};
use crate::record;

/// What is stored of one group.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// With the time since when it was in its state.
    pub(super) snapshot: Option<(Snapshot, i64)>,
    pub(super) offsets: Offsets,
}

/// Groups by name.
pub(super) type Restored = BTreeMap<String, Stored>;

/// Reads the whole topic.
pub(super) async fn read(log: &Log) -> Result<Restored, ReadError> {
    let mut restored = Restored::new();
    let Some(topic) = log.topic(OFFSETS_TOPIC) else { return Ok(restored) };
    let mut unread = 0_usize;
    for partition in 0..topic.partitions() {
        let take = |piece: Bytes| unread += take_batches(&mut restored, &piece);
        match log.read_each(&topic, partition, take).await {
            // Its groups are not served (`Coordinator::is_served`); all others are.
            Ok(()) | Err(ReadError::Offline { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if unread > 0 {
        tracing::warn!(
            unread,
            "records of {OFFSETS_TOPIC} in a form that is not known were left out"
        );
    }
    restored.retain(|_, stored| stored.snapshot.is_some() || !stored.offsets.is_empty());
    Ok(restored)
}

/// Applies the records of batches in order; returns how many could not be read.
fn take_batches(restored: &mut Restored, bytes: &[u8]) -> usize {
    let mut unread = 0;
    for batch in record::batches(bytes) {
        let Ok(batch) = batch else { return unread + 1 };
        if batch.head().is_control() {
            continue;
        }
        for record in batch.records() {
            let taken =
                record.ok().and_then(|record| take_record(restored, record.key?, record.value));
            unread += usize::from(taken.is_none());
        }
    }
    unread
}

fn take_record(restored: &mut Restored, key: &[u8], value: Option<&[u8]>) -> Option<()> {
    match (records::read_key(key)?, value) {
        (Key::Offset { group, place }, Some(value)) => {
            let commit = records::read_offset(value)?;
            restored.entry(group).or_default().offsets.insert(place, commit);
        }
        (Key::Offset { group, place }, None) => {
            restored.entry(group).or_default().offsets.remove(&place);
        }
        (Key::Group { group }, Some(value)) => {
            let snapshot = records::read_group(value)?;
            restored.entry(group).or_default().snapshot = Some(snapshot);
        }
        (Key::Group { group }, None) => restored.entry(group).or_default().snapshot = None,
    }
    Some(())
}
