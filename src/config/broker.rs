//! `conf/server.properties`: the bundled log and its broker, in Apache Kafka's key names.

use std::path::PathBuf;
use std::time::Duration;

use super::listener::{self, Advertised, Listener};
use super::reader::Reader;

const MILLI: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// What serves the Kafka protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    /// What to listen on.
    pub listeners: Vec<Listener>,
    /// What clients are given; a listener without one gives the address they connected to.
    pub advertised: Vec<Advertised>,
    /// Our id as clients see it.
    pub node_id: i32,
    /// Make a topic when a client first asks for it.
    pub auto_create_topics: bool,
    /// Let clients delete topics.
    pub delete_topics: bool,
    /// Largest request in bytes.
    pub request_max_bytes: i32,
    /// When a silent connection is closed; none for never.
    pub idle_timeout: Option<Duration>,
    /// How many connections at once.
    pub max_connections: i32,
    /// And of one address.
    pub max_connections_per_ip: i32,
    /// Most bytes of one fetch.
    pub fetch_max_bytes: i32,
    /// Consumer groups.
    pub group: GroupConfig,
}

/// Consumer groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// How long an empty group waits for more members.
    pub initial_rebalance_delay: Duration,
    /// Shortest session timeout a member may ask for.
    pub min_session_timeout: Duration,
    /// Longest.
    pub max_session_timeout: Duration,
    /// Most members.
    pub max_size: i32,
    /// How long the offsets of an empty group are kept.
    pub offsets_retention: Duration,
    /// How often that is looked at.
    pub offsets_check_interval: Duration,
    /// Partitions of `__consumer_offsets`.
    pub offsets_partitions: i32,
    /// Most bytes of metadata kept with an offset.
    pub metadata_max_bytes: i32,
}

/// The log. Most are defaults that a topic's own configuration overrides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Its directory: all state there is.
    pub dir: PathBuf,
    /// Which damage to start over, losing what it hit.
    pub accept_damage: Accepted,
    /// Partitions of a topic made without a number.
    pub partitions: i32,
    /// How long records are kept; none for ever.
    pub retention: Option<Duration>,
    /// How many bytes a partition keeps; none without bound.
    pub retention_bytes: Option<u64>,
    /// How often both are looked at.
    pub retention_check_interval: Duration,
    /// How often a checkpoint is written while the log changes.
    pub checkpoint_interval: Duration,
    /// Size at which a new segment is begun, in bytes.
    pub segment_bytes: u32,
    /// Age at which a new segment is begun.
    pub segment_age: Duration,
    /// Bytes between two entries of an index.
    pub index_interval_bytes: u32,
    /// Largest record batch in bytes.
    pub message_max_bytes: u32,
}

/// The damage that a start skips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// None.
    Nothing,
    /// Whatever there is.
    All,
    /// That of partitions, each as `<topic>-<number>`.
    Of(Vec<String>),
}

impl Accepted {
    fn read(reader: &mut Reader<'_>) -> Self {
        const KEY: &str = "sluice.log.accept.damage";
        let words = reader.list(KEY);
        match words.as_slice() {
            [] => Self::Nothing,
            [word] if super::reader::flag(word) == Some(false) => Self::Nothing,
            [word] if super::reader::flag(word) == Some(true) => Self::All,
            partitions => {
                let is_partition = |text: &String| {
                    text.rsplit_once('-').is_some_and(|(topic, number)| {
                        !topic.is_empty() && number.parse::<u32>().is_ok()
                    })
                };
                if let Some(wrong) = partitions.iter().find(|text| !is_partition(text)) {
                    let why = format!(
                        "`{wrong}` is no partition: write true, false, or <topic>-<number> of each"
                    );
                    reader.refuse(KEY, why);
                }
                Self::Of(words)
            }
        }
    }
}

impl BrokerConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        for alone in [
            "default.replication.factor",
            "offsets.topic.replication.factor",
            "transaction.state.log.replication.factor",
        ] {
            let _: i32 = reader.number(alone);
        }
        let listeners = listener::listeners(reader);
        Self {
            advertised: listener::advertised(reader, &listeners),
            listeners,
            node_id: node_id(reader),
            auto_create_topics: reader.flag("auto.create.topics.enable"),
            delete_topics: reader.flag("delete.topic.enable"),
            request_max_bytes: reader.number("socket.request.max.bytes"),
            idle_timeout: reader.time("connections.max.idle.ms", MILLI),
            max_connections: reader.number("max.connections"),
            max_connections_per_ip: reader.number("max.connections.per.ip"),
            fetch_max_bytes: reader.number("fetch.max.bytes"),
            group: GroupConfig::read(reader),
        }
    }
}

/// `broker.id` counts where only it is written.
fn node_id(reader: &mut Reader<'_>) -> i32 {
    let old = reader.optional_number("broker.id");
    let new = reader.number("node.id");
    let only_old = reader.place("node.id") == super::problem::Place::Default;
    old.filter(|_| only_old).unwrap_or(new)
}

impl GroupConfig {
    fn read(reader: &mut Reader<'_>) -> Self {
        let mut time = |name, unit| reader.time(name, unit).unwrap_or_default();
        Self {
            initial_rebalance_delay: time("group.initial.rebalance.delay.ms", MILLI),
            min_session_timeout: time("group.min.session.timeout.ms", MILLI),
            max_session_timeout: time("group.max.session.timeout.ms", MILLI),
            offsets_retention: time("offsets.retention.minutes", MINUTE),
            offsets_check_interval: time("offsets.retention.check.interval.ms", MILLI),
            max_size: reader.number("group.max.size"),
            offsets_partitions: reader.number("offsets.topic.num.partitions"),
            metadata_max_bytes: reader.number("offset.metadata.max.bytes"),
        }
    }
}

impl LogConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            dir: directory(reader),
            accept_damage: Accepted::read(reader),
            partitions: reader.number("num.partitions"),
            retention: first_time(
                reader,
                &[
                    ("log.retention.ms", MILLI),
                    ("log.retention.minutes", MINUTE),
                    ("log.retention.hours", HOUR),
                ],
            ),
            retention_bytes: reader.optional_number("log.retention.bytes"),
            retention_check_interval: reader
                .time("log.retention.check.interval.ms", MILLI)
                .unwrap_or_default(),
            checkpoint_interval: reader
                .time("log.flush.offset.checkpoint.interval.ms", MILLI)
                .unwrap_or_default(),
            segment_bytes: reader.number("log.segment.bytes"),
            segment_age: first_time(reader, &[("log.roll.ms", MILLI), ("log.roll.hours", HOUR)])
                .unwrap_or_default(),
            index_interval_bytes: reader.number("log.index.interval.bytes"),
            message_max_bytes: reader.number("message.max.bytes"),
        }
    }
}

/// The first of `keys` that is written, else the last one's default; -1 is for ever.
fn first_time(reader: &mut Reader<'_>, keys: &[(&'static str, Duration)]) -> Option<Duration> {
    let mut time = None;
    for (name, unit) in keys.iter().rev() {
        if reader.optional_number::<i64>(name).is_some() {
            time = reader.time(name, *unit);
        }
    }
    time
}

fn directory(reader: &mut Reader<'_>) -> PathBuf {
    if reader.text("log.dirs").contains(',') {
        reader.refuse("log.dirs", "the log lies in one directory: write one path");
    }
    let dirs = reader.path("log.dirs");
    let dir = reader.path("log.dir");
    dirs.or(dir).unwrap_or_default()
}
