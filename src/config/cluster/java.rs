//! What becomes of each setting of Kafka's Java clients: the table of them all.
//!
//! A test compares the names with Kafka's own list (`tests/golden/kafka/client-keys.txt`), so that
//! none is unknown. Names outside of it are asked for in librdkafka's table.

use super::building::{Building, Written};

/// What becomes of a setting.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    /// librdkafka's property of this name takes the value as it is.
    As(&'static str),
    /// Its value means something else there, or we decide in its place.
    By(fn(&mut Building, &Written)),
    /// Nothing here needs it, for this reason; nothing is said of what stands in every file.
    Idle(&'static str),
    /// It cannot be had; this is to be done in its place.
    Refused(&'static str),
}

use Outcome::{As, By, Idle, Refused};

const CLASSES: &str = "Java classes are not run here: a message is published as sluice.format says";
pub(super) const CODE: &str =
    "it names a Java class, which cannot be run here: take the setting out";
const METRICS: &str = "figures are served at /metrics (canal.metrics.pull.port)";
const PARTITION: &str =
    "a message's partition is that of canal.mq.partition, canal.mq.partitionHash and so on";
const JAVA_TLS: &str = "TLS is OpenSSL's here, not Java's";
const NEWEST: &str = "client and broker agree on the newest version of TLS that both have; OpenSSL's own configuration (MinProtocol) bounds it";
const CONSUMERS: &str = "it is a setting of consumers";
const OURS: &str =
    "transactions are named by sluice.group and the instance, and begun and ended here";
const TIMEOUTS: &str = "what the cluster does not take yet waits, and is reported";
pub(super) const KERBEROS: &str = "Kerberos is not built in: let the cluster offer SCRAM-SHA-512 or client certificates on a listener, and write kafka.sasl.mechanism and kafka.sasl.jaas.config, or kafka.ssl.keystore.location, for it";
pub(super) const OAUTH: &str = "OAUTHBEARER is not built in (its tokens are fetched over HTTP): let the cluster offer SCRAM-SHA-512, PLAIN or client certificates on a listener, and write the settings of that";
pub(super) const IAM: &str = "AWS's IAM login is not built in: associate a secret AmazonMSK_.. with the MSK cluster, connect to its SASL/SCRAM port 9096 with kafka.security.protocol = SASL_SSL and kafka.sasl.mechanism = SCRAM-SHA-512, or use client certificates (port 9094)";
const NO_OAUTH: &str = "OAUTHBEARER is not built in";
const NO_KERBEROS: &str = "Kerberos is not built in";

/// The table, by name.
pub(super) const SETTINGS: &[(&str, Outcome)] = &[
    ("acks", By(Building::acks)),
    ("auto.include.jmx.reporter", Idle(METRICS)),
    ("batch.size", By(Building::batch_size)),
    (
        "bootstrap.controllers",
        Refused(
            "controllers take no messages: write the addresses of brokers as kafka.bootstrap.servers",
        ),
    ),
    ("bootstrap.servers", By(Building::bootstrap)),
    ("buffer.memory", By(Building::buffer_memory)),
    ("client.dns.lookup", As("client.dns.lookup")),
    ("client.id", As("client.id")),
    ("client.rack", Idle(CONSUMERS)),
    ("compression.gzip.level", By(Building::compression_level)),
    ("compression.lz4.level", By(Building::compression_level)),
    ("compression.type", As("compression.type")),
    ("compression.zstd.level", By(Building::compression_level)),
    (
        "config.providers",
        Refused(
            "config providers are Java classes: write ${file:PATH} or ${exec:COMMAND} in the password itself",
        ),
    ),
    ("connections.max.idle.ms", By(Building::idle_time)),
    ("default.api.timeout.ms", Idle(TIMEOUTS)),
    ("delivery.timeout.ms", By(Building::delivery_timeout)),
    ("enable.idempotence", By(Building::idempotence)),
    ("enable.metrics.push", As("enable.metrics.push")),
    ("group.id", Idle(CONSUMERS)),
    ("group.instance.id", Idle(CONSUMERS)),
    ("heartbeat.interval.ms", Idle(CONSUMERS)),
    ("interceptor.classes", Idle(CLASSES)),
    ("kerberos.enable", By(Building::kerberos)),
    ("kerberos.jaas.file", By(Building::without_kerberos)),
    ("kerberos.krb5.file", By(Building::without_kerberos)),
    ("key.serializer", Idle(CLASSES)),
    ("linger.ms", As("linger.ms")),
    ("max.block.ms", Idle(TIMEOUTS)),
    ("max.in.flight.requests.per.connection", By(Building::in_flight)),
    ("max.poll.interval.ms", Idle(CONSUMERS)),
    ("max.request.size", By(Building::largest_request)),
    ("metadata.max.age.ms", As("topic.metadata.refresh.interval.ms")),
    ("metadata.max.idle.ms", Idle("topics are kept in mind as long as they are written to")),
    ("metadata.recovery.rebootstrap.trigger.ms", As("metadata.recovery.rebootstrap.trigger.ms")),
    ("metadata.recovery.strategy", By(Building::lower_case)),
    ("metric.reporters", Idle(METRICS)),
    ("metrics.num.samples", Idle(METRICS)),
    ("metrics.recording.level", Idle(METRICS)),
    ("metrics.sample.window.ms", Idle(METRICS)),
    ("partitioner.adaptive.partitioning.enable", Idle(PARTITION)),
    ("partitioner.availability.timeout.ms", Idle(PARTITION)),
    ("partitioner.class", Idle(PARTITION)),
    ("partitioner.ignore.keys", Idle(PARTITION)),
    ("rebalance.timeout.ms", Idle(CONSUMERS)),
    ("receive.buffer.bytes", By(Building::receive_buffer)),
    ("reconnect.backoff.max.ms", As("reconnect.backoff.max.ms")),
    ("reconnect.backoff.ms", As("reconnect.backoff.ms")),
    ("request.timeout.ms", By(Building::request_timeout)),
    ("retries", By(Building::retries)),
    ("retry.backoff.max.ms", As("retry.backoff.max.ms")),
    ("retry.backoff.ms", As("retry.backoff.ms")),
    ("sasl.client.callback.handler.class", By(Building::callback_handler)),
    ("sasl.jaas.config", By(Building::jaas)),
    ("sasl.kerberos.kinit.cmd", Idle(NO_KERBEROS)),
    ("sasl.kerberos.min.time.before.relogin", Idle(NO_KERBEROS)),
    ("sasl.kerberos.service.name", Idle(NO_KERBEROS)),
    ("sasl.kerberos.ticket.renew.jitter", Idle(NO_KERBEROS)),
    ("sasl.kerberos.ticket.renew.window.factor", Idle(NO_KERBEROS)),
    ("sasl.login.callback.handler.class", By(Building::callback_handler)),
    ("sasl.login.class", Refused(CODE)),
    ("sasl.login.connect.timeout.ms", Idle(NO_OAUTH)),
    ("sasl.login.read.timeout.ms", Idle(NO_OAUTH)),
    ("sasl.login.refresh.buffer.seconds", Idle(NO_OAUTH)),
    ("sasl.login.refresh.min.period.seconds", Idle(NO_OAUTH)),
    ("sasl.login.refresh.window.factor", Idle(NO_OAUTH)),
    ("sasl.login.refresh.window.jitter", Idle(NO_OAUTH)),
    ("sasl.login.retry.backoff.max.ms", Idle(NO_OAUTH)),
    ("sasl.login.retry.backoff.ms", Idle(NO_OAUTH)),
    ("sasl.mechanism", By(Building::mechanism)),
    ("sasl.oauthbearer.assertion.algorithm", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.assertion.claim.aud", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.assertion.claim.exp.seconds", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.assertion.claim.iss", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.assertion.claim.jti.include", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.assertion.claim.nbf.seconds", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.assertion.claim.sub", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.assertion.file", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.assertion.private.key.file", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.assertion.private.key.passphrase", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.assertion.template.file", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.client.credentials.client.id", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.client.credentials.client.secret", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.clock.skew.seconds", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.expected.audience", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.expected.issuer", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.header.urlencode", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.jwks.endpoint.refresh.ms", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.jwks.endpoint.url", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.jwt.retriever.class", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.jwt.validator.class", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.scope", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.scope.claim.name", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.sub.claim.name", Idle(NO_OAUTH)),
    ("sasl.oauthbearer.token.endpoint.url", Idle(NO_OAUTH)),
    ("security.protocol", By(Building::protocol)),
    ("security.providers", Idle(JAVA_TLS)),
    ("send.buffer.bytes", By(Building::send_buffer)),
    ("session.timeout.ms", Idle(CONSUMERS)),
    (
        "socket.connection.setup.timeout.max.ms",
        Idle("the time that a connection may take does not grow"),
    ),
    ("socket.connection.setup.timeout.ms", As("socket.connection.setup.timeout.ms")),
    ("ssl.cipher.suites", By(Building::ciphers)),
    ("ssl.enabled.protocols", Idle(NEWEST)),
    ("ssl.endpoint.identification.algorithm", By(Building::endpoint)),
    ("ssl.engine.factory.class", Refused(CODE)),
    ("ssl.key.password", By(Building::key_password)),
    ("ssl.keymanager.algorithm", Idle(JAVA_TLS)),
    ("ssl.keystore.certificate.chain", As("ssl.certificate.pem")),
    ("ssl.keystore.key", As("ssl.key.pem")),
    ("ssl.keystore.location", By(Building::key_store)),
    ("ssl.keystore.password", By(Building::store_password)),
    ("ssl.keystore.type", By(Building::store_type)),
    ("ssl.protocol", Idle(NEWEST)),
    ("ssl.provider", Idle(JAVA_TLS)),
    ("ssl.secure.random.implementation", Idle(JAVA_TLS)),
    ("ssl.trustmanager.algorithm", Idle(JAVA_TLS)),
    ("ssl.truststore.certificates", As("ssl.ca.pem")),
    ("ssl.truststore.location", By(Building::trust_store)),
    ("ssl.truststore.password", By(Building::store_password)),
    ("ssl.truststore.type", By(Building::store_type)),
    ("transaction.timeout.ms", As("transaction.timeout.ms")),
    ("transaction.two.phase.commit.enable", Idle(OURS)),
    ("transactional.id", Idle(OURS)),
    ("value.serializer", Idle(CLASSES)),
];

/// What becomes of `name`; none if the Java clients have no such setting.
pub(super) fn outcome(name: &str) -> Option<Outcome> {
    SETTINGS.iter().find(|(known, _)| *known == name).map(|(_, outcome)| *outcome)
}
