//! The clients of librdkafka, each made with what the user has set and with what has to be so.
//!
//! In: the settings of the cluster. Out: configurations of the producer, of readers, of the
//! administrator. Always: what exactly-once rests on cannot be set otherwise.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::{Names, topics};
use crate::config::ClusterConfig;

/// What librdkafka may hold of records that are on their way, in KiB, if the user does not let it
/// hold more: the largest record has to fit.
const QUEUE_KIB: usize = 32 << 10;
/// The largest record that is handed to it: one has to fit into its queue.
pub(super) const LARGEST_RECORD: usize = ClusterConfig::LARGEST_RECORD;

/// What the library has to say beside the answers of its calls. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(Arc<Mutex<Option<String>>>);

impl Said {
    /// The last error, which is often the reason of the next call that fails.
    pub(super) fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Said {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            // Nothing of it is said but where somebody asks for it (`kafka.debug`).
            RDKafkaLogLevel::Debug => tracing::info!(facility, "librdkafka: {message}"),
            // What matters of it comes as an error, too.
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning
            | RDKafkaLogLevel::Notice
            | RDKafkaLogLevel::Info => tracing::debug!(facility, "librdkafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "librdkafka: {reason}");
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // That none is left says less than why one is not there.
        if last.is_none() || error.rdkafka_error_code() != Some(Code::AllBrokersDown) {
            *last = Some(with_advice(&error, reason));
        }
    }
}

impl ConsumerContext for Said {}

/// What the library says of an error, with what to do where somebody has to do something.
pub(super) fn with_advice(error: &KafkaError, reason: &str) -> String {
    match error.rdkafka_error_code() {
        Some(Code::Authentication) => format!(
            "{reason}: are user and password in kafka.sasl.jaas.config right, and \
             kafka.sasl.mechanism? `bin/sluice check` asks each broker"
        ),
        Some(Code::SSL) => format!(
            "{reason}: is the authority of the brokers' certificates in \
             kafka.ssl.truststore.location, and kafka.security.protocol right? `bin/sluice check` \
             asks each broker"
        ),
        _ => reason.to_owned(),
    }
}

/// How often the cluster hears a member, which is how soon a standby goes on behind an end that was
/// said.
const HEARTBEAT: Duration = Duration::from_millis(300);
const LONGEST_POLL: Duration = Duration::from_mins(5);
/// What a request takes at the least, on a busy machine.
const SHORTEST_ANSWER: Duration = Duration::from_secs(1);

fn base(config: &ClusterConfig, names: &Names) -> ClientConfig {
    let mut all = ClientConfig::new();
    all.set("client.id", format!("sluice-{}", names.instance));
    // A broker that comes back is found soon.
    all.set("reconnect.backoff.max.ms", "2000");
    for (name, value) in config.client.iter() {
        all.set(name, value);
    }
    all.set("bootstrap.servers", &config.bootstrap);
    // A topic that was deleted is made anew as `kafka.topic.*` says, and not as brokers make one
    // that a client asks for; producers ask by default.
    all.set("allow.auto.create.topics", "false");
    // By itself rdkafka goes by the crate `log`, to which nothing is connected here.
    let asks = config.client.get("debug").is_some_and(|words| !words.is_empty());
    all.set_log_level(if asks { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Warning });
    all
}

/// The producer of an instance. No batch is larger than `batch_bytes`, unless a single record is.
pub(super) fn producer(
    config: &ClusterConfig,
    names: &Names,
    timeout: Duration,
    batch_bytes: usize,
) -> ClientConfig {
    let mut all = base(config, names);
    all.set("linger.ms", "1");
    for (name, value) in config.producer.iter() {
        all.set(name, value);
    }
    // What the user sets bounds change records, where they are made; our own may be larger.
    all.set("message.max.bytes", LARGEST_RECORD.to_string());
    let queue = config.producer.get("queue.buffering.max.kbytes");
    let queue = queue.and_then(|kib| kib.parse().ok()).map_or(QUEUE_KIB, |kib| QUEUE_KIB.max(kib));
    all.set("queue.buffering.max.kbytes", queue.to_string());
    let set = config.producer.get("batch.size").and_then(|bytes| bytes.parse().ok());
    let batch_bytes = set.map_or(batch_bytes, |set: usize| set.min(batch_bytes));
    all.set("batch.size", batch_bytes.to_string());
    if config.producer.get("queue.buffering.max.messages").is_none() {
        all.set("queue.buffering.max.messages", "1000000");
    }
    if config.transactional {
        all.set("acks", "all");
        all.set("enable.idempotence", "true");
        all.set("transactional.id", names.transactional_id());
        all.set("transaction.timeout.ms", timeout.as_millis().to_string());
        // librdkafka takes no longer one (`rd_kafka_conf_finalize`).
        let answer = config.client.get("socket.timeout.ms");
        let answer = answer.and_then(|millis| millis.parse::<u128>().ok());
        if answer.is_some_and(|millis| millis > timeout.as_millis()) {
            all.set("socket.timeout.ms", timeout.as_millis().to_string());
        }
    }
    all
}

/// A reader without a group. `committed`: of what is committed; else of all that there is.
pub(super) fn reader(config: &ClusterConfig, names: &Names, committed: bool) -> ClientConfig {
    let mut all = base(config, names);
    all.set("isolation.level", if committed { "read_committed" } else { "read_uncommitted" });
    // librdkafka wants a name even where no group is joined.
    all.set("group.id", names.transactional_id());
    all.set("enable.auto.commit", "false");
    all.set("enable.partition.eof", "true");
    all.set("auto.offset.reset", "earliest");
    // At the end of a partition the answer is waited for.
    all.set("fetch.wait.max.ms", "20");
    all.set("queued.max.messages.kbytes", "4096");
    all
}

/// A member of the group of the instance's lock. Members are sorted by `place`.
pub(super) fn member(config: &ClusterConfig, names: &Names, place: &str) -> ClientConfig {
    let mut all = base(config, names);
    let lock = names.topic(topics::LOCK);
    let millis = |time: Duration| time.as_millis().to_string();
    all.set("client.id", format!("{place}-sluice-{}", names.instance));
    all.set("group.id", &*lock);
    all.set("group.protocol", "classic");
    all.set("partition.assignment.strategy", "range");
    all.set("session.timeout.ms", millis(config.session));
    all.set("heartbeat.interval.ms", millis(HEARTBEAT.min(config.session / 4)));
    // The vote is heard all the time; librdkafka wants it no less than a session.
    all.set("max.poll.interval.ms", millis(LONGEST_POLL.max(config.session)));
    // Who does not answer for a session is not there.
    all.set("socket.timeout.ms", millis(config.session.clamp(SHORTEST_ANSWER, LONGEST_POLL)));
    all.set("enable.auto.commit", "false");
    all.set("allow.auto.create.topics", "false");
    all.set("auto.offset.reset", "earliest");
    all
}

/// The administrator.
pub(super) fn admin(config: &ClusterConfig, names: &Names) -> ClientConfig {
    base(config, names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Properties;

    #[test]
    fn the_queue_is_as_large_as_is_asked_for_and_never_too_small_for_a_record() {
        for (asked, expected) in [(None, "32768"), (Some("65536"), "65536"), (Some("16"), "32768")]
        {
            let mut producer_properties = Properties::default();
            if let Some(kib) = asked {
                producer_properties.set("queue.buffering.max.kbytes", kib);
            }
            let config = ClusterConfig {
                bootstrap: "127.0.0.1:9092".to_owned(),
                client: Properties::default(),
                producer: producer_properties,
                partitions: None,
                replication: None,
                topic: Vec::new(),
                trust_store: None,
                key_store: None,
                group: "sluice".to_owned(),
                transactional: true,
                reread: None,
                session: Duration::from_secs(10),
                source_patience: Duration::from_secs(30),
            };
            let made = producer(&config, &Names::of("sluice", "a"), Duration::from_mins(1), 1000);
            assert_eq!(made.get("queue.buffering.max.kbytes"), Some(expected), "{asked:?}");
        }
    }
}
