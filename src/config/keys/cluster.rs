//! The keys of `conf/canal.properties` that are about a Kafka cluster as target. The families hold
//! every setting of Kafka's Java producer and of librdkafka: their tables are in `config::cluster`.

use super::{Class, Home, Key, Kind, as_shipped, secret};

const HERE: Home = Home::Canal;
const KRB5: &str = "\"../conf/kerberos/krb5.conf\"";
const LOGIN: &str = "\"../conf/kerberos/jaas.conf\"";
const OLD: &str = "the name up to Canal 1.1.4";
const KERBEROS: &str = "Kerberos, which is not built in";

/// A key that counts where changes go to a cluster.
const fn cluster(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, home: HERE, kind, default, doc, class: Class::Cluster, shipped: &[] }
}

const fn text(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    cluster(name, Kind::Text, default, doc)
}

pub(super) const KEYS: &[Key] = &[
    as_shipped(
        text("kafka.bootstrap.servers", "127.0.0.1:9092", "brokers to begin with, by comma"),
        &["127.0.0.1:6667"],
    ),
    cluster(
        "kafka.transactional",
        Kind::Flag,
        "true",
        "publish whole source transactions exactly once, by transactions of the cluster; false, for a cluster without them, repeats after a crash",
    ),
    cluster(
        "kafka.session.timeout.ms",
        Kind::Number(500, 1_800_000),
        "10000",
        "how long the active process of an instance may not be heard until a standby goes on with it",
    ),
    cluster(
        "sluice.standby.source.timeout",
        Kind::Number(1, 86_400),
        "30",
        "seconds for which the active process may not reach its source until it lets a standby try",
    ),
    cluster(
        "kafka.topic.partitions",
        Kind::Number(1, super::MOST_PARTITIONS),
        "",
        "partitions of a topic that is made; empty: what the instance says (canal.mq.partitionsNum and so on)",
    ),
    cluster(
        "kafka.topic.replication.factor",
        Kind::Number(1, 32767),
        "",
        "replicas of a topic that is made; empty: the cluster's default.replication.factor",
    ),
    text("kafka.topic.*", "", "settings of a change topic that is made: retention.ms and so on"),
    text("kafka.acks", "all", "with transactions always all"),
    text("kafka.compression.type", "none", "none, gzip, snappy, lz4 or zstd"),
    text("kafka.batch.size", "16384", "bytes of one partition's part of a request"),
    as_shipped(text("kafka.linger.ms", "1", "milliseconds that a batch waits for more"), &["100"]),
    text("kafka.max.request.size", "1048576", "largest message in bytes, before compression"),
    text("kafka.buffer.memory", "33554432", "bytes of messages that wait to be sent"),
    text("kafka.max.in.flight.requests.per.connection", "1", "requests under way to a broker"),
    text("kafka.retries", "0", "with transactions a message is sent until it is there"),
    text("kafka.security.protocol", "PLAINTEXT", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
    text("kafka.sasl.mechanism", "", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
    secret(text("kafka.sasl.jaas.config", "", "user and password, as a line for Java's clients")),
    text("kafka.ssl.truststore.location", "", "certificates of authorities: PEM or PKCS #12"),
    secret(text("kafka.ssl.truststore.password", "", "password of that file")),
    text("kafka.ssl.keystore.location", "", "our certificate and its key: PEM or PKCS #12"),
    secret(text("kafka.ssl.keystore.password", "", "password of that file")),
    text(
        "kafka.ssl.endpoint.identification.algorithm",
        "https",
        "empty: a broker's name is not checked",
    ),
    text("kafka.kerberos.enable", "false", KERBEROS),
    as_shipped(text("kafka.kerberos.krb5.file", "../conf/kerberos/krb5.conf", KERBEROS), &[KRB5]),
    as_shipped(text("kafka.kerberos.jaas.file", "../conf/kerberos/jaas.conf", KERBEROS), &[LOGIN]),
    text("kafka.*", "", "any setting of Kafka's Java producer, or of librdkafka"),
    as_shipped(text("canal.mq.servers", "127.0.0.1:6667", OLD), &["127.0.0.1:9092"]),
    text("canal.mq.acks", "all", OLD),
    text("canal.mq.compressionType", "none", OLD),
    text("canal.mq.retries", "0", OLD),
    text("canal.mq.batchSize", "16384", OLD),
    as_shipped(text("canal.mq.lingerMs", "1", OLD), &["100"]),
    text("canal.mq.maxRequestSize", "1048576", OLD),
    text("canal.mq.bufferMemory", "33554432", OLD),
    text("canal.mq.properties.*", "", OLD),
    text("canal.mq.kafka.kerberos.enable", "false", KERBEROS),
    text("canal.mq.kafka.kerberos.krb5FilePath", KRB5, KERBEROS),
    text("canal.mq.kafka.kerberos.jaasFilePath", LOGIN, KERBEROS),
    text("canal.mq.kafka.kerberos.*", "", KERBEROS),
];
