//! The offsets that groups have committed, and which partition of `__consumer_offsets` a
//! group's records go to.

use std::collections::BTreeMap;

use uuid::Uuid;

/// Where groups and offsets are kept, as in Kafka.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) topic: String,
    pub(crate) partition: i32,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Of the topic it was committed for: a later topic of the same name is another one. Nil in
    /// what was stored before there were ids.
    pub(crate) topic_id: Uuid,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    /// What the client said of it, given back unchanged.
    pub(crate) metadata: String,
    /// When it was committed, in milliseconds since 1970.
    pub(crate) time: i64,
}

/// The offsets of one group.
pub(crate) type Offsets = BTreeMap<Place, Commit>;

/// The partition of a group: `Utils.abs(groupId.hashCode) % partitions`, as in Kafka, so
/// that tools find it where they look.
pub(super) fn partition_of(group: &str, partitions: i32) -> i32 {
    let hash = group
        .encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (hash & i32::MAX) % partitions.max(1)
}

/// The offsets that have outlived their group: `retention_ms` after both the commit and the
/// time at which the group became empty.
pub(super) fn expired(
    offsets: &Offsets,
    empty_since: i64,
    now: i64,
    retention_ms: i64,
) -> Vec<Place> {
    let late = |commit: &Commit| commit.time.max(empty_since).saturating_add(retention_ms) <= now;
    offsets.iter().filter(|(_, commit)| late(commit)).map(|(place, _)| place.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `"…".hashCode()` in Java.
    #[test]
    fn groups_lie_where_kafka_puts_them() {
        assert_eq!(partition_of("", 50), 0);
        assert_eq!(partition_of("test", 50), 3_556_498 % 50);
        // hashCode of "polygenelubricants" is Integer.MIN_VALUE; Kafka's abs makes it 0.
        assert_eq!(partition_of("polygenelubricants", 50), 0);
    }

    #[test]
    fn an_offset_lives_for_the_retention_after_its_group_was_empty() {
        let place = Place { topic: "t".to_owned(), partition: 0 };
        let (topic_id, metadata) = (Uuid::nil(), String::new());
        let commit = Commit { topic_id, offset: 1, leader_epoch: -1, metadata, time: 100 };
        let offsets = BTreeMap::from([(place.clone(), commit)]);
        assert_eq!(expired(&offsets, 500, 1499, 1000), []);
        assert_eq!(expired(&offsets, 500, 1500, 1000), [place]);
    }
}
