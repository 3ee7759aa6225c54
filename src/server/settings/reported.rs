//! What `DescribeConfigs` shows as set: the broker's keys with the values that the process runs
//! by, as `server.properties` would have them. Must not hold secrets.

use std::collections::BTreeMap;

use super::millis;
use crate::config::{Advertised, BrokerConfig, Listener, LogConfig};

/// Each key of Kafka's that is served, and its value.
pub(super) fn reported(broker: &BrokerConfig, log: &LogConfig) -> BTreeMap<String, String> {
    let group = &broker.group;
    let retention = log.retention.map_or(-1, millis);
    let retention_bytes = log.retention_bytes.map_or("-1".to_owned(), |bytes| bytes.to_string());
    let idle = broker.idle_timeout.map_or(-1, millis);
    let minutes = group.offsets_retention.as_secs() / 60;
    let all = [
        ("advertised.listeners", joined(&broker.advertised, advertised)),
        ("auto.create.topics.enable", broker.auto_create_topics.to_string()),
        ("connections.max.idle.ms", idle.to_string()),
        ("delete.topic.enable", broker.delete_topics.to_string()),
        ("fetch.max.bytes", broker.fetch_max_bytes.to_string()),
        ("group.initial.rebalance.delay.ms", millis(group.initial_rebalance_delay).to_string()),
        ("group.max.session.timeout.ms", millis(group.max_session_timeout).to_string()),
        ("group.min.session.timeout.ms", millis(group.min_session_timeout).to_string()),
        ("listeners", joined(&broker.listeners, listener)),
        ("log.dirs", log.dir.display().to_string()),
        ("log.retention.bytes", retention_bytes),
        ("log.retention.check.interval.ms", millis(log.retention_check_interval).to_string()),
        ("log.retention.ms", retention.to_string()),
        ("log.roll.ms", millis(log.segment_age).to_string()),
        ("log.segment.bytes", log.segment_bytes.to_string()),
        ("max.connections", broker.max_connections.to_string()),
        ("message.max.bytes", log.message_max_bytes.to_string()),
        ("num.partitions", log.partitions.to_string()),
        ("offset.metadata.max.bytes", group.metadata_max_bytes.to_string()),
        ("offsets.retention.minutes", minutes.to_string()),
        ("offsets.topic.num.partitions", group.offsets_partitions.to_string()),
        ("socket.request.max.bytes", broker.request_max_bytes.to_string()),
    ];
    all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn joined<T>(all: &[T], text: impl Fn(&T) -> String) -> String {
    all.iter().map(text).collect::<Vec<_>>().join(",")
}

fn listener(one: &Listener) -> String {
    format!("{}://{}:{}", one.name, one.host.as_deref().unwrap_or_default(), one.port)
}

fn advertised(one: &Advertised) -> String {
    format!("{}://{}:{}", one.name, one.address.host, one.address.port)
}
