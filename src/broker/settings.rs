//! What the broker is told: the settings of Kafka's `server.properties` that it obeys.
//!
//! What the operator's files say, with the defaults of `config::keys`, is filled in by `server`. The
//! defaults here are a small broker's for tests.

use std::collections::BTreeMap;

/// How the broker behaves. Names are Kafka's, in words.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// `node.id`: our number in Metadata. We are leader, controller and coordinator of all.
    pub node_id: i32,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `num.partitions`: of a topic that does not say how many.
    pub num_partitions: i32,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
    /// `socket.request.max.bytes`: a longer frame closes its connection.
    pub max_request_bytes: usize,
    /// `fetch.max.bytes`: the most one Fetch answer carries, whatever the client asks.
    pub max_fetch_bytes: usize,
    /// `max.connections`: more wait in the listener's queue.
    pub max_connections: usize,
    /// `max.connections.per.ip`: one more of an address is closed at once.
    pub max_connections_per_ip: usize,
    /// `connections.max.idle.ms`: a connection that is silent for longer is closed.
    pub max_idle_ms: u64,
    /// Settings of the group coordinator.
    pub groups: GroupSettings,
    /// `log.dirs`: what `DescribeLogDirs` names.
    pub log_dir: String,
    /// What `server.properties` settles, by Kafka's key: `DescribeConfigs` shows as set what
    /// of these is not the default, and all others with their defaults. Must not hold secrets.
    pub shown: BTreeMap<String, String>,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            node_id: 1,
            auto_create_topics: true,
            num_partitions: 1,
            delete_topics: true,
            max_request_bytes: 100 * 1024 * 1024,
            max_fetch_bytes: 55 * 1024 * 1024,
            max_connections: 10_000,
            max_connections_per_ip: usize::MAX,
            max_idle_ms: 600_000,
            groups: GroupSettings::default(),
            log_dir: "data".to_owned(),
            shown: BTreeMap::new(),
        }
    }
}

/// How the group coordinator behaves.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    /// `group.initial.rebalance.delay.ms`: how long a group that was empty waits for more.
    pub initial_rebalance_delay_ms: i64,
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout_ms: i32,
    /// `group.max.size`: members a group may have.
    pub max_size: usize,
    /// `offsets.retention.minutes`, in milliseconds: how long the offsets of a group live
    /// after it became empty.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub retention_check_ms: u64,
    /// `offsets.topic.num.partitions`.
    pub offsets_partitions: i32,
    /// `offset.metadata.max.bytes`.
    pub max_metadata_bytes: usize,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            initial_rebalance_delay_ms: 3_000,
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            max_size: usize::MAX,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            retention_check_ms: 600_000,
            offsets_partitions: 50,
            max_metadata_bytes: 4096,
        }
    }
}
