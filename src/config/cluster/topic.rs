//! `kafka.topic.<setting>`: what a change topic is made with.

use super::native;
use crate::config::nearest::nearest;
use crate::config::problem::Problem;
use crate::config::reader::Reader;

const FAMILY: &str = "kafka.topic.";

/// The settings of a topic, as Kafka 4.3 has them; a test compares them with its list.
const SETTINGS: &[&str] = &[
    "cleanup.policy",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "delete.retention.ms",
    "file.delete.delay.ms",
    "flush.messages",
    "flush.ms",
    "follower.replication.throttled.replicas",
    "index.interval.bytes",
    "internal.segment.bytes",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "max.compaction.lag.ms",
    "max.message.bytes",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.type",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "min.insync.replicas",
    "preallocate",
    "remote.log.copy.disable",
    "remote.log.delete.on.disable",
    "remote.storage.enable",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "segment.index.bytes",
    "segment.jitter.ms",
    "segment.ms",
    "unclean.leader.election.enable",
];

/// Whether a key is of the family; librdkafka has properties that begin with `topic.` too.
pub(super) fn is_setting(key: &str) -> bool {
    let native = key.strip_prefix("kafka.").and_then(native::find);
    key.starts_with(FAMILY) && native.is_none()
}

/// What is written, in the order of the names. One that Kafka does not know is said, and handed
/// on: another version, or another make, may.
pub(super) fn read(reader: &mut Reader<'_>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut keys = reader.family(FAMILY);
    if reader.has_variables("KAFKA_TOPIC_") {
        keys.extend(SETTINGS.iter().map(|name| format!("{FAMILY}{name}")));
    }
    keys.retain(|key| {
        is_setting(key) && ![super::PARTITIONS, super::REPLICATION].contains(&&**key)
    });
    for key in keys {
        let Some(text) = reader.written(&key).filter(|found| !found.text.is_empty()) else {
            continue;
        };
        let name = key.strip_prefix(FAMILY).unwrap_or_default();
        if !SETTINGS.contains(&name) {
            let ours = [super::PARTITIONS, super::REPLICATION];
            let ours = ours.into_iter().filter_map(|key| key.strip_prefix(FAMILY));
            let hint = match nearest(name, ours.chain(SETTINGS.iter().copied())) {
                Some(known) => format!(": did you mean {FAMILY}{known}?"),
                None => String::new(),
            };
            let text = format!("{key}: Kafka 4.3 has no such setting of a topic{hint}");
            reader.problems.push(Problem::warning(reader.place(&key), text));
        }
        if name == "cleanup.policy" && is_compacted(&text.text) {
            let text = format!(
                "{key}: the records of changes have no key, and a compacted topic takes none \
                 without: write delete"
            );
            reader.problems.push(Problem::error(reader.place(&key), text));
        }
        found.push((name.to_owned(), text.text));
    }
    found
}

/// Whether a topic of this `cleanup.policy` is compacted, and takes no record without a key.
pub(crate) fn is_compacted(policy: &str) -> bool {
    policy.split(',').any(|one| one.trim() == "compact")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_a_topic_are_kafkas() {
        let golden = include_str!("../../../tests/golden/kafka/keys.txt");
        let kafkas: Vec<&str> = golden.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(SETTINGS, kafkas);
    }
}
