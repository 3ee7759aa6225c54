//! The keys of `conf/canal.properties` that concern the process, not an instance.

use super::{Home, Key, Kind, idle, later, served};

const HERE: Home = Home::Canal;
const PORT: Kind = Kind::Number(0, 65535);
const ROCKET: &str = "RocketMQ is not served";
const RABBIT: &str = "RabbitMQ is not served";
const PULSAR: &str = "Pulsar is not served";
const ADMIN: &str = "canal-admin is not used: the settings are these files";
const TCP: &str = "the protobuf port of Canal is not served yet";
const KAFKA: &str = "a Kafka cluster as target is not served yet";
const CLOUD: &str = "the vendor's cloud is not used";
const STATE: &str = "the position lies in the log, together with the rows";

pub(super) const KEYS: &[Key] = &[
    served(
        HERE,
        "canal.ip",
        Kind::Text,
        "",
        "address the health and metrics port is bound to; empty: all",
    ),
    served(HERE, "canal.metrics.pull.port", PORT, "11112", "HTTP port of /health and /metrics"),
    served(
        HERE,
        "canal.serverMode",
        Kind::OneOf(&["embedded", "tcp", "kafka", "rocketMQ", "rabbitMQ", "pulsarMQ"]),
        "embedded",
        "where changes go: embedded, the bundled log; tcp, until it is served, starts as embedded",
    ),
    served(
        HERE,
        "canal.destinations",
        Kind::Text,
        "",
        "instances that must be there, by comma; with canal.auto.scan every folder with an instance.properties is one too",
    ),
    served(
        HERE,
        "canal.conf.dir",
        Kind::Path,
        "../conf",
        "where Canal's instance folders lie; relative paths count from bin/",
    ),
    served(
        HERE,
        "canal.auto.scan",
        Kind::Flag,
        "true",
        "start, restart and stop instances as their folders come, change and go",
    ),
    served(
        HERE,
        "canal.auto.scan.interval",
        Kind::Number(1, 86400),
        "5",
        "seconds between two looks at the folders",
    ),
    served(
        HERE,
        "sluice.group",
        Kind::Text,
        "sluice",
        "second word of the names of internal topics, __<group>.<instance>.positions and so on",
    ),
    later(HERE, "kafka.*", "", KAFKA),
    later(HERE, "canal.mq.servers", "127.0.0.1:6667", KAFKA),
    later(HERE, "canal.mq.acks", "all", KAFKA),
    later(HERE, "canal.mq.compressionType", "none", KAFKA),
    later(HERE, "canal.mq.retries", "0", KAFKA),
    later(HERE, "canal.mq.batchSize", "16384", KAFKA),
    later(HERE, "canal.mq.lingerMs", "1", KAFKA),
    later(HERE, "canal.mq.maxRequestSize", "1048576", KAFKA),
    later(HERE, "canal.mq.bufferMemory", "33554432", KAFKA),
    later(HERE, "canal.mq.kafka.kerberos.*", "", KAFKA),
    later(HERE, "canal.port", "11111", TCP),
    later(HERE, "canal.user", "canal", TCP),
    Key { kind: Kind::Secret, ..later(HERE, "canal.passwd", "", TCP) },
    idle(HERE, "canal.withoutNetty", "false", TCP),
    idle(HERE, "canal.id", "1", "there is one server"),
    idle(HERE, "canal.register.ip", "", "there is no ZooKeeper to register in"),
    idle(HERE, "canal.zkServers", "", "there is no ZooKeeper"),
    idle(HERE, "canal.zookeeper.flush.period", "1000", "there is no ZooKeeper"),
    idle(HERE, "canal.admin.manager", "", ADMIN),
    idle(HERE, "canal.admin.port", "11110", ADMIN),
    idle(HERE, "canal.admin.user", "admin", ADMIN),
    Key { kind: Kind::Secret, ..idle(HERE, "canal.admin.passwd", "", ADMIN) },
    idle(HERE, "canal.admin.jmx.port", "11113", ADMIN),
    idle(HERE, "canal.admin.register.*", "", ADMIN),
    idle(HERE, "canal.file.flush.period", "1000", STATE),
    idle(HERE, "canal.destinations.expr", "", "canal.auto.scan finds every instance folder"),
    idle(HERE, "canal.socketChannel", "", "there is one connection to MySQL"),
    idle(HERE, "canal.mq.accessChannel", "local", ROCKET),
    idle(
        HERE,
        "canal.mq.canalBatchSize",
        "50",
        "batches form by themselves while the last is being synced",
    ),
    idle(HERE, "canal.mq.canalGetTimeout", "100", "changes are published as they come"),
    idle(HERE, "canal.mq.send.thread.size", "30", "one thread writes the log"),
    idle(HERE, "canal.mq.build.thread.size", "8", "one thread an instance decodes and formats"),
    idle(HERE, "canal.aliyun.*", "", CLOUD),
    idle(HERE, "rocketmq.*", "", ROCKET),
    idle(HERE, "rabbitmq.*", "", RABBIT),
    idle(HERE, "pulsarmq.*", "", PULSAR),
];
