//! The settings that `DescribeConfigs` shows: Kafka's keys, types and defaults, and where a
//! value comes from.
//!
//! In: what was set for a topic, and in `server.properties`. Out: every key with its value
//! and source. A topic's value comes from the topic, else from the broker's key of the same
//! meaning, else from the default; a broker's value that is the default is shown as that,
//! so that tools list what is special. Judging values is the log's affair.

use std::collections::BTreeMap;

/// `ConfigDef.Type` as the wire numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// `ConfigEntry.ConfigSource` as the wire numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Topic = 1,
    Broker = 4,
    Default = 5,
}

/// A setting as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) key: &'static str,
    pub(crate) value: String,
    pub(crate) default: &'static str,
    pub(crate) source: Source,
    pub(crate) kind: Kind,
    pub(crate) read_only: bool,
    /// The broker's key of the same meaning.
    pub(crate) synonym: Option<&'static str>,
}

/// Key, type, default, and for a topic's key the broker's of the same meaning.
type Key = (&'static str, Kind, &'static str, Option<&'static str>);

const TOPIC_KEYS: &[Key] = &[
    ("cleanup.policy", Kind::List, "delete", Some("log.cleanup.policy")),
    ("compression.gzip.level", Kind::Int, "-1", Some("compression.gzip.level")),
    ("compression.lz4.level", Kind::Int, "9", Some("compression.lz4.level")),
    ("compression.type", Kind::String, "producer", Some("compression.type")),
    ("compression.zstd.level", Kind::Int, "3", Some("compression.zstd.level")),
    ("delete.retention.ms", Kind::Long, "86400000", Some("log.cleaner.delete.retention.ms")),
    ("file.delete.delay.ms", Kind::Long, "60000", Some("log.segment.delete.delay.ms")),
    ("flush.messages", Kind::Long, "9223372036854775807", Some("log.flush.interval.messages")),
    ("flush.ms", Kind::Long, "9223372036854775807", Some("log.flush.interval.ms")),
    ("follower.replication.throttled.replicas", Kind::List, "", None),
    ("index.interval.bytes", Kind::Int, "4096", Some("log.index.interval.bytes")),
    ("leader.replication.throttled.replicas", Kind::List, "", None),
    ("local.retention.bytes", Kind::Long, "-2", Some("log.local.retention.bytes")),
    ("local.retention.ms", Kind::Long, "-2", Some("log.local.retention.ms")),
    (
        "max.compaction.lag.ms",
        Kind::Long,
        "9223372036854775807",
        Some("log.cleaner.max.compaction.lag.ms"),
    ),
    ("max.message.bytes", Kind::Int, "1048588", Some("message.max.bytes")),
    (
        "message.timestamp.after.max.ms",
        Kind::Long,
        "3600000",
        Some("log.message.timestamp.after.max.ms"),
    ),
    (
        "message.timestamp.before.max.ms",
        Kind::Long,
        "9223372036854775807",
        Some("log.message.timestamp.before.max.ms"),
    ),
    ("message.timestamp.type", Kind::String, "CreateTime", Some("log.message.timestamp.type")),
    ("min.cleanable.dirty.ratio", Kind::Double, "0.5", Some("log.cleaner.min.cleanable.ratio")),
    ("min.compaction.lag.ms", Kind::Long, "0", Some("log.cleaner.min.compaction.lag.ms")),
    ("min.insync.replicas", Kind::Int, "1", Some("min.insync.replicas")),
    ("preallocate", Kind::Boolean, "false", Some("log.preallocate")),
    ("remote.log.copy.disable", Kind::Boolean, "false", None),
    ("remote.log.delete.on.disable", Kind::Boolean, "false", None),
    ("remote.storage.enable", Kind::Boolean, "false", None),
    ("retention.bytes", Kind::Long, "-1", Some("log.retention.bytes")),
    ("retention.ms", Kind::Long, "604800000", Some("log.retention.ms")),
    ("segment.bytes", Kind::Int, "1073741824", Some("log.segment.bytes")),
    ("segment.index.bytes", Kind::Int, "10485760", Some("log.index.size.max.bytes")),
    ("segment.jitter.ms", Kind::Long, "0", Some("log.roll.jitter.ms")),
    ("segment.ms", Kind::Long, "604800000", Some("log.roll.ms")),
    (
        "unclean.leader.election.enable",
        Kind::Boolean,
        "false",
        Some("unclean.leader.election.enable"),
    ),
];

const BROKER_KEYS: &[Key] = &[
    ("advertised.listeners", Kind::String, "", None),
    ("auto.create.topics.enable", Kind::Boolean, "true", None),
    ("compression.type", Kind::String, "producer", None),
    ("connections.max.idle.ms", Kind::Long, "600000", None),
    ("default.replication.factor", Kind::Int, "1", None),
    ("delete.topic.enable", Kind::Boolean, "true", None),
    ("fetch.max.bytes", Kind::Int, "57671680", None),
    ("group.initial.rebalance.delay.ms", Kind::Int, "3000", None),
    ("group.max.session.timeout.ms", Kind::Int, "1800000", None),
    ("group.min.session.timeout.ms", Kind::Int, "6000", None),
    ("inter.broker.protocol.version", Kind::String, "3.9-IV0", None),
    ("listeners", Kind::String, "PLAINTEXT://:9092", None),
    ("log.cleaner.delete.retention.ms", Kind::Long, "86400000", None),
    ("log.cleanup.policy", Kind::List, "delete", None),
    ("log.dirs", Kind::String, "", None),
    ("log.flush.offset.checkpoint.interval.ms", Kind::Int, "60000", None),
    ("log.message.timestamp.type", Kind::String, "CreateTime", None),
    ("log.retention.bytes", Kind::Long, "-1", None),
    ("log.retention.check.interval.ms", Kind::Long, "300000", None),
    ("log.retention.hours", Kind::Int, "168", None),
    ("log.retention.ms", Kind::Long, "604800000", None),
    ("log.roll.ms", Kind::Long, "604800000", None),
    ("log.segment.bytes", Kind::Int, "1073741824", None),
    ("max.connections", Kind::Int, "2147483647", None),
    ("message.max.bytes", Kind::Int, "1048588", None),
    ("min.insync.replicas", Kind::Int, "1", None),
    ("num.partitions", Kind::Int, "1", None),
    ("offset.metadata.max.bytes", Kind::Int, "4096", None),
    ("offsets.retention.minutes", Kind::Int, "10080", None),
    ("offsets.topic.num.partitions", Kind::Int, "50", None),
    ("offsets.topic.replication.factor", Kind::Int, "1", None),
    ("process.roles", Kind::List, "broker,controller", None),
    ("socket.request.max.bytes", Kind::Int, "104857600", None),
    ("unclean.leader.election.enable", Kind::Boolean, "false", None),
];

/// All settings of a topic, `set` being its own and `broker` those of `server.properties`.
pub(crate) fn of_topic(
    set: &BTreeMap<String, String>,
    broker: &BTreeMap<String, String>,
) -> Vec<Shown> {
    let shown = TOPIC_KEYS.iter().map(|(key, kind, default, synonym)| {
        let (value, source) = if let Some(value) = set.get(*key) {
            (value.clone(), Source::Topic)
        } else {
            of_broker_or_default(synonym.and_then(|synonym| broker.get(synonym)), default)
        };
        Shown { key, value, default, source, kind: *kind, read_only: false, synonym: *synonym }
    });
    shown.collect()
}

/// All settings of the broker.
pub(crate) fn of_broker(node_id: i32, set: &BTreeMap<String, String>) -> Vec<Shown> {
    let shown = BROKER_KEYS.iter().map(|(key, kind, default, synonym)| {
        let (value, source) = of_broker_or_default(set.get(*key), default);
        Shown { key, value, default, source, kind: *kind, read_only: true, synonym: *synonym }
    });
    // Kafka shows both names of it.
    let ids = ["broker.id", "node.id"].into_iter().map(|key| Shown {
        key,
        value: node_id.to_string(),
        default: "1",
        source: Source::Broker,
        kind: Kind::Int,
        read_only: true,
        synonym: None,
    });
    shown.chain(ids).collect()
}

/// The broker's value, unless it is the default.
fn of_broker_or_default(broker: Option<&String>, default: &str) -> (String, Source) {
    match broker {
        Some(value) if value != default => (value.clone(), Source::Broker),
        Some(_) | None => (default.to_owned(), Source::Default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topics_value_beats_the_brokers_which_beats_the_default() {
        let one = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let retention = |topic: &BTreeMap<_, _>, broker: &BTreeMap<_, _>| {
            let shown = of_topic(topic, broker);
            let shown = shown.into_iter().find(|shown| shown.key == "retention.ms").unwrap();
            (shown.value, shown.source)
        };
        let (none, broker) = (BTreeMap::new(), one("log.retention.ms", "2"));
        assert_eq!(retention(&none, &none), ("604800000".to_owned(), Source::Default));
        assert_eq!(retention(&none, &broker), ("2".to_owned(), Source::Broker));
        let same = one("log.retention.ms", "604800000");
        assert_eq!(retention(&none, &same), ("604800000".to_owned(), Source::Default));
        assert_eq!(retention(&one("retention.ms", "1"), &broker), ("1".to_owned(), Source::Topic));
    }

    #[test]
    fn keys_are_sorted_and_unique() {
        for keys in [TOPIC_KEYS, BROKER_KEYS] {
            assert!(keys.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }
}
