//! The keys of `conf/server.properties`: Apache Kafka's names, for the bundled log and
//! its broker. Our own keys for the log have no `sluice.` prefix only where Kafka has one.

use super::{Home, Key, Kind, MOST_PARTITIONS, idle, later, served};

const HERE: Home = Home::Broker;
const COUNT: Kind = Kind::Number(1, i32::MAX as i64);
const PARTITIONS: Kind = Kind::Number(1, MOST_PARTITIONS);
const LIMIT: Kind = Kind::Number(-1, i64::MAX);
const MILLIS: Kind = Kind::Number(0, i32::MAX as i64);
const ONE: Kind = Kind::Number(1, 1);
const ALONE: &str = "there is one broker, and it is its own controller";
const SYNCED: &str = "every acknowledged record is synced to disk";
const THREADS: &str = "the runtime sizes its own threads";
const SECURITY: &str = "encrypted and authenticated listeners are not served yet";

pub(super) const KEYS: &[Key] = &[
    served(
        HERE,
        "listeners",
        Kind::Text,
        "PLAINTEXT://:9092",
        "addresses Kafka clients connect to, name://host:port, by comma",
    ),
    served(
        HERE,
        "advertised.listeners",
        Kind::Text,
        "",
        "addresses given to clients; empty: the one the client connected to",
    ),
    served(
        HERE,
        "listener.security.protocol.map",
        Kind::Text,
        "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
        "security protocol of each listener name",
    ),
    served(
        HERE,
        "node.id",
        Kind::Number(0, i32::MAX as i64),
        "1",
        "the broker's id as clients see it",
    ),
    served(HERE, "broker.id", Kind::Number(0, i32::MAX as i64), "", "older name of node.id"),
    served(
        HERE,
        "log.dirs",
        Kind::Path,
        "",
        "the directory of the log, all state there is; relative paths count from SLUICE_HOME",
    ),
    served(HERE, "log.dir", Kind::Path, "data", "older name of log.dirs"),
    served(
        HERE,
        "sluice.log.accept.damage",
        Kind::Text,
        "false",
        "start over damage, losing what it hit: partitions as <topic>-<number>, or true for all \
         there is; meant for one start",
    ),
    served(HERE, "num.partitions", PARTITIONS, "1", "partitions of a topic made without a number"),
    served(HERE, "default.replication.factor", ONE, "1", "one broker here: 1"),
    served(HERE, "offsets.topic.replication.factor", ONE, "1", "one broker here: 1"),
    served(HERE, "transaction.state.log.replication.factor", ONE, "1", "one broker here: 1"),
    served(
        HERE,
        "auto.create.topics.enable",
        Kind::Flag,
        "true",
        "make a topic when a client first asks for it",
    ),
    served(HERE, "delete.topic.enable", Kind::Flag, "true", "let clients delete topics"),
    // Retention and segments.
    served(HERE, "log.retention.hours", LIMIT, "168", "how long records are kept; -1: for ever"),
    served(HERE, "log.retention.minutes", LIMIT, "", "the same in minutes, before hours"),
    served(HERE, "log.retention.ms", LIMIT, "", "the same in milliseconds, before both"),
    served(
        HERE,
        "log.retention.bytes",
        LIMIT,
        "-1",
        "how many bytes a partition keeps; -1: no bound",
    ),
    served(
        HERE,
        "log.retention.check.interval.ms",
        Kind::Number(1, i64::MAX),
        "300000",
        "how often that is looked at",
    ),
    served(
        HERE,
        "log.flush.offset.checkpoint.interval.ms",
        Kind::Number(1, i64::MAX),
        "60000",
        "how often a checkpoint is written while the log changes: a start goes on from it",
    ),
    served(
        HERE,
        "log.segment.bytes",
        Kind::Number(14, i32::MAX as i64),
        "1073741824",
        "size at which a new segment is begun",
    ),
    served(HERE, "log.roll.hours", COUNT, "168", "age at which a new segment is begun"),
    served(
        HERE,
        "log.roll.ms",
        Kind::Number(1, i64::MAX),
        "",
        "the same in milliseconds, before hours",
    ),
    served(
        HERE,
        "log.index.interval.bytes",
        Kind::Number(0, i32::MAX as i64),
        "4096",
        "bytes between two entries of an index",
    ),
    served(
        HERE,
        "message.max.bytes",
        Kind::Number(0, i32::MAX as i64),
        "1048588",
        "largest record batch; topics that an instance writes have 64 MiB",
    ),
    // Connections and requests.
    served(HERE, "socket.request.max.bytes", COUNT, "104857600", "largest request"),
    served(
        HERE,
        "connections.max.idle.ms",
        Kind::Number(-1, i64::MAX),
        "600000",
        "when a silent connection is closed",
    ),
    served(
        HERE,
        "max.connections",
        COUNT,
        "2147483647",
        "how many connections at once; never more than half of the files that the process may have open",
    ),
    served(
        HERE,
        "max.connections.per.ip",
        Kind::Number(0, i32::MAX as i64),
        "2147483647",
        "how many connections one address has at once; one more is closed",
    ),
    served(
        HERE,
        "fetch.max.bytes",
        Kind::Number(1024, i32::MAX as i64),
        "57671680",
        "most bytes of one fetch",
    ),
    // Groups.
    served(
        HERE,
        "group.initial.rebalance.delay.ms",
        MILLIS,
        "3000",
        "how long an empty group waits for more members",
    ),
    served(
        HERE,
        "group.min.session.timeout.ms",
        COUNT,
        "6000",
        "shortest session timeout a member may ask for",
    ),
    served(HERE, "group.max.session.timeout.ms", COUNT, "1800000", "longest"),
    served(HERE, "group.max.size", COUNT, "2147483647", "most members of a group"),
    served(
        HERE,
        "offsets.retention.minutes",
        COUNT,
        "10080",
        "how long the offsets of an empty group are kept",
    ),
    served(
        HERE,
        "offsets.retention.check.interval.ms",
        Kind::Number(1, i64::MAX),
        "600000",
        "how often that is looked at",
    ),
    served(
        HERE,
        "offset.metadata.max.bytes",
        COUNT,
        "4096",
        "most metadata a client may keep with an offset",
    ),
    served(
        HERE,
        "offsets.topic.num.partitions",
        PARTITIONS,
        "50",
        "partitions of __consumer_offsets",
    ),
    // Later.
    later(
        HERE,
        "transactional.id.expiration.ms",
        "604800000",
        "transactions of clients are not served yet",
    ),
    later(HERE, "transaction.*", "", "transactions of clients are not served yet"),
    later(HERE, "producer.id.expiration.ms", "86400000", "producer ids are kept"),
    later(
        HERE,
        "log.cleanup.policy",
        "delete",
        "a topic says it by its own cleanup.policy (kafka-topics.sh --create --config)",
    ),
    later(
        HERE,
        "log.cleaner.delete.retention.ms",
        "86400000",
        "a topic says it by its own delete.retention.ms (kafka-topics.sh --create --config)",
    ),
    later(
        HERE,
        "log.message.timestamp.type",
        "CreateTime",
        "a topic says it by its own message.timestamp.type (kafka-topics.sh --create --config)",
    ),
    idle(
        HERE,
        "log.index.size.max.bytes",
        "10485760",
        "an index ends with its segment (log.segment.bytes)",
    ),
    later(
        HERE,
        "log.cleaner.*",
        "",
        "a topic says it by its own delete.retention.ms, min.compaction.lag.ms and so on",
    ),
    later(
        HERE,
        "compression.type",
        "producer",
        "a topic says it by its own compression.type (kafka-topics.sh --create --config)",
    ),
    later(HERE, "ssl.*", "", SECURITY),
    later(HERE, "sasl.*", "", SECURITY),
    later(HERE, "security.*", "", SECURITY),
    later(HERE, "listener.name.*", "", SECURITY),
    later(HERE, "authorizer.class.name", "", SECURITY),
    later(HERE, "super.users", "", SECURITY),
    later(HERE, "allow.everyone.if.no.acl.found", "", SECURITY),
    // Without meaning for one broker.
    idle(HERE, "process.roles", "broker,controller", ALONE),
    idle(HERE, "controller.*", "", ALONE),
    idle(HERE, "inter.broker.*", "", ALONE),
    idle(HERE, "zookeeper.*", "", ALONE),
    idle(HERE, "broker.rack", "", ALONE),
    idle(HERE, "min.insync.replicas", "1", ALONE),
    idle(HERE, "share.coordinator.*", "", ALONE),
    idle(HERE, "replica.*", "", ALONE),
    idle(HERE, "unclean.leader.election.enable", "false", ALONE),
    idle(HERE, "auto.leader.rebalance.enable", "true", ALONE),
    idle(HERE, "num.network.threads", "3", THREADS),
    idle(HERE, "num.io.threads", "8", THREADS),
    idle(
        HERE,
        "num.recovery.threads.per.data.dir",
        "1",
        "recovery reads the journal, not the segments",
    ),
    idle(HERE, "num.replica.fetchers", "1", ALONE),
    idle(HERE, "queued.max.requests", "500", "every connection answers its own requests"),
    idle(HERE, "background.threads", "10", THREADS),
    idle(HERE, "socket.send.buffer.bytes", "102400", "it is always that"),
    idle(HERE, "socket.receive.buffer.bytes", "102400", "the system sizes its buffers"),
    idle(HERE, "log.flush.*", "", SYNCED),
    idle(HERE, "log.segment.delete.delay.ms", "60000", "files go with the next checkpoint"),
];
