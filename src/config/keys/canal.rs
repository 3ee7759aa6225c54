//! The keys of `conf/canal.properties` that concern the process, not an instance.

use super::{Home, Key, Kind, as_shipped, idle, later, secret, served};

const HERE: Home = Home::Canal;
const PORT: Kind = Kind::Number(0, 65535);
const ROCKET: &str = "RocketMQ is not served: read the bundled log with any Kafka client";
const RABBIT: &str = "RabbitMQ is not served: read the bundled log with any Kafka client";
const PULSAR: &str = "Pulsar is not served: read the bundled log with any Kafka client";
const ADMIN: &str = "canal-admin is not used: the settings are these files";
const TCP: &str =
    "the protobuf port of Canal is not served yet: read the bundled log with any Kafka client";
const CLOUD: &str = "the vendor's cloud is not used";
const ZOOKEEPER: &str = "there is no ZooKeeper: what it kept lies in the log";
const BATCHES: &str = "batches form by themselves while the last is being synced";
const AT_ONCE: &str = "changes are published as they come";
const STATE: &str = "the position lies in the log, together with the rows";

pub(super) const KEYS: &[Key] = &[
    served(
        HERE,
        "canal.ip",
        Kind::Text,
        "",
        "address the health and metrics port is bound to; empty: all",
    ),
    served(
        HERE,
        "canal.metrics.pull.port",
        PORT,
        "11112",
        "HTTP port of /health, /metrics and the page",
    ),
    served(
        HERE,
        "sluice.admin.hosts",
        Kind::Text,
        "",
        "further names, by comma, under which browsers may ask for the page",
    ),
    served(
        HERE,
        "canal.serverMode",
        Kind::OneOf(&["embedded", "tcp", "kafka", "rocketMQ", "rabbitMQ", "pulsarMQ"]),
        "embedded",
        "where changes go: embedded, the bundled log; kafka, a Kafka cluster; tcp, until it is served, starts as embedded",
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
    // What RocketMQ and RabbitMQ took of canal.mq.
    idle(
        HERE,
        "canal.mq.transaction",
        "false",
        "a transaction of the source always becomes visible at once",
    ),
    idle(HERE, "canal.mq.producerGroup", "test", ROCKET),
    idle(HERE, "canal.mq.namespace", "", ROCKET),
    idle(HERE, "canal.mq.accessChannel", "local", ROCKET),
    idle(HERE, "canal.mq.access.channel", "local", ROCKET),
    idle(HERE, "canal.mq.enableMessageTrace", "false", ROCKET),
    idle(HERE, "canal.mq.customizedTraceTopic", "", ROCKET),
    idle(HERE, "canal.mq.username", "", RABBIT),
    secret(idle(HERE, "canal.mq.password", "", RABBIT)),
    idle(HERE, "canal.mq.vhost", "", RABBIT),
    idle(HERE, "canal.mq.exchange", "", RABBIT),
    idle(HERE, "canal.mq.aliyunuid", "", CLOUD),
    idle(HERE, "canal.mq.canalBatchSize", "50", BATCHES),
    idle(HERE, "canal.mq.canal.batch.size", "50", BATCHES),
    idle(HERE, "canal.mq.canalGetTimeout", "100", AT_ONCE),
    idle(HERE, "canal.mq.canal.fetch.timeout", "100", AT_ONCE),
    idle(HERE, "canal.mq.send.thread.size", "30", "one thread writes the log"),
    idle(HERE, "canal.mq.build.thread.size", "8", "one thread an instance decodes and formats"),
    idle(HERE, "canal.mq.parallelThreadSize", "8", "one thread an instance decodes and formats"),
    idle(HERE, "canal.mq.parallel.thread.size", "8", "one thread an instance decodes and formats"),
    idle(
        HERE,
        "canal.mq.flat.message",
        "true",
        "an early spelling of canal.mq.flatMessage: write that",
    ),
    // Other queues.
    idle(HERE, "rocketmq.producer.group", "test", ROCKET),
    idle(HERE, "rocketmq.enable.message.trace", "false", ROCKET),
    idle(HERE, "rocketmq.namesrv.addr", "127.0.0.1:9876", ROCKET),
    idle(HERE, "rocketmq.retry.times.when.send.failed", "0", ROCKET),
    idle(HERE, "rocketmq.vip.channel.enabled", "false", ROCKET),
    idle(HERE, "rocketmq.*", "", ROCKET),
    secret(idle(HERE, "rabbitmq.password", "", RABBIT)),
    idle(HERE, "rabbitmq.*", "", RABBIT),
    secret(idle(HERE, "pulsarmq.roleToken", "", PULSAR)),
    idle(HERE, "pulsarmq.*", "", PULSAR),
    // Ports and accounts of Canal's own.
    later(HERE, "canal.port", "11111", TCP),
    later(HERE, "canal.user", "canal", TCP),
    secret(later(HERE, "canal.passwd", "E3619321C1A937C46A0D8BD1DAC39F93B27D4458", TCP)),
    idle(HERE, "canal.withoutNetty", "false", TCP),
    as_shipped(idle(HERE, "canal.id", "1", "there is one server"), &["1001"]),
    idle(HERE, "canal.register.ip", "", ZOOKEEPER),
    idle(HERE, "canal.zkServers", "", ZOOKEEPER),
    idle(HERE, "canal.zookeeper.flush.period", "1000", ZOOKEEPER),
    idle(HERE, "canal.admin.manager", "127.0.0.1:8089", ADMIN),
    idle(HERE, "canal.admin.port", "11110", ADMIN),
    idle(HERE, "canal.admin.user", "admin", ADMIN),
    secret(idle(HERE, "canal.admin.passwd", "4ACFE3202A5FF5CF467898FC58AAB1D615029441", ADMIN)),
    idle(HERE, "canal.admin.jmx.port", "11113", ADMIN),
    idle(HERE, "canal.admin.register.auto", "true", ADMIN),
    idle(HERE, "canal.admin.register.*", "", ADMIN),
    idle(
        HERE,
        "canal.manager.jdbc.url",
        "jdbc:mysql://127.0.0.1:3306/canal_manager?useUnicode=true&characterEncoding=UTF-8",
        ADMIN,
    ),
    idle(HERE, "canal.manager.jdbc.username", "root", ADMIN),
    secret(idle(HERE, "canal.manager.jdbc.password", "121212", ADMIN)),
    idle(HERE, "canal.file.flush.period", "1000", STATE),
    idle(
        HERE,
        "canal.destinations.expr",
        "",
        "write the names into canal.destinations; canal.auto.scan finds every instance folder",
    ),
    idle(HERE, "canal.socketChannel", "", "there is one connection to MySQL"),
    idle(
        HERE,
        "canal.stopInstanceAsPossible",
        "true",
        "an instance is stopped by its folder, or by `sluice instance stop`",
    ),
    idle(HERE, "canal.alarm.*", "", "what is wrong is reported in the logs and in /health"),
    secret(idle(HERE, "canal.aliyun.accessKey", "", CLOUD)),
    secret(idle(HERE, "canal.aliyun.accesskey", "", CLOUD)),
    secret(idle(HERE, "canal.aliyun.secretKey", "", CLOUD)),
    secret(idle(HERE, "canal.aliyun.secretkey", "", CLOUD)),
    idle(HERE, "canal.aliyun.*", "", CLOUD),
];
