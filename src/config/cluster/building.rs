//! From what is written to [`ClusterConfig`]: each setting by its row of the table, what contradicts
//! another or is decided by us said at its line.
//!
//! With transactions (the default) librdkafka demands acks=all, idempotence and at most five requests
//! under way, and keeps the order with five; so values that Canal ships because it has none of that
//! (`retries = 0`, one request under way) ask for nothing here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::java::{self, Outcome};
use super::native::{self, Native};
use super::{ClusterConfig, Properties, is_hidden};
use crate::config::nearest::nearest;
use crate::config::problem::{Place, Problem, Problems};
use crate::config::reader::{Reader, join};

/// What the queue of messages may hold by default: Kafka's own `buffer.memory`.
const QUEUE_KILOBYTES: &str = "32768";

/// Other names that librdkafka has for the same.
const ALIASES: &[(&str, &str)] = &[
    ("compression.codec", "compression.type"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("message.send.max.retries", "retries"),
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("metadata.broker.list", "bootstrap.servers"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("request.required.acks", "acks"),
    ("sasl.mechanisms", "sasl.mechanism"),
    ("socket.timeout.ms", "request.timeout.ms"),
];

/// Properties of librdkafka that we decide; the reason.
const OURS: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "topics are made as kafka.topic.* says"),
    ("delivery.report.only.error", "each message's delivery is waited for"),
    ("enabled_events", "what happens is reported in the logs and in /health"),
    ("enable.gapless.guarantee", "a message that fails makes its transaction be sent again"),
    ("interceptors", "nothing is loaded into this process"),
    ("internal.termination.signal", "this process has signals of its own"),
    ("log.queue", "what happens is reported in the logs and in /health"),
    (
        "partitioner",
        "a message's partition is that of canal.mq.partition, canal.mq.partitionHash and so on",
    ),
    ("plugin.library.paths", "nothing is loaded into this process"),
    ("queuing.strategy", "messages keep their order"),
    ("statistics.interval.ms", "figures are served at /metrics"),
    (
        "sticky.partitioning.linger.ms",
        "a message's partition is that of canal.mq.partition, canal.mq.partitionHash and so on",
    ),
    ("topic.blacklist", "which tables are published is said by canal.instance.filter.regex"),
];

/// What stands in files that nobody thought about: nothing is said of it.
const USUAL: &[(&str, &[&str])] = &[
    (
        "key.serializer",
        &[
            "org.apache.kafka.common.serialization.StringSerializer",
            "org.apache.kafka.common.serialization.ByteArraySerializer",
        ],
    ),
    (
        "value.serializer",
        &[
            "org.apache.kafka.common.serialization.StringSerializer",
            "org.apache.kafka.common.serialization.ByteArraySerializer",
        ],
    ),
    ("ssl.protocol", &["TLS", "TLSv1.2", "TLSv1.3"]),
    ("ssl.enabled.protocols", &["TLSv1.2", "TLSv1.2,TLSv1.3", "TLSv1.3,TLSv1.2"]),
    ("ssl.keymanager.algorithm", &["SunX509", "PKIX"]),
    ("ssl.trustmanager.algorithm", &["PKIX", "SunX509"]),
];

/// A setting as it is written.
pub(super) struct Written {
    /// The key, as it is written.
    pub(super) key: String,
    /// Its name among Kafka's settings.
    pub(super) name: String,
    /// Its value, placeholders replaced.
    pub(super) value: String,
    /// Where it is.
    pub(super) place: Place,
}

/// What is being made.
pub(super) struct Building {
    /// What relative paths count from.
    pub(super) base: PathBuf,
    problems: Problems,
    pub(super) config: ClusterConfig,
    written: BTreeMap<String, Written>,
}

impl Building {
    /// All that was written, made into `config`.
    pub(super) fn build(
        reader: &mut Reader<'_>,
        config: ClusterConfig,
        written: Vec<Written>,
    ) -> ClusterConfig {
        let (base, problems) = (reader.base().to_owned(), Problems::default());
        let mut building = Self { base, problems, config, written: BTreeMap::new() };
        for mut one in written {
            if let Some((_, name)) = ALIASES.iter().find(|(alias, _)| *alias == one.name) {
                (*name).clone_into(&mut one.name);
            }
            building.take_in(one);
        }
        let all = std::mem::take(&mut building.written);
        // Looked up while each is translated.
        let names: Vec<String> = all.keys().cloned().collect();
        building.written = all;
        for name in names {
            if let Some(one) = building.written.remove(&name) {
                building.translate(&one);
                building.written.insert(name, one);
            }
        }
        building.finish();
        reader.problems.extend(building.problems);
        building.config
    }

    /// Of a setting that is written under two names the first counts.
    fn take_in(&mut self, one: Written) {
        let Some(first) = self.written.get(&one.name) else {
            self.written.insert(one.name.clone(), one);
            return;
        };
        if first.value != one.value {
            let text = format!(
                "{} has no effect: {} is written too ({})",
                one.key, first.key, first.place
            );
            self.problems.push(Problem::warning(one.place, text));
        }
    }

    /// The value of another setting, if there is one.
    pub(super) fn value_of(&self, name: &str) -> Option<&str> {
        self.written.get(name).map(|one| &*one.value).filter(|value| !value.is_empty())
    }

    pub(super) fn refuse(&mut self, one: &Written, text: impl AsRef<str>) {
        let text = format!("{}: {}", one.key, text.as_ref());
        self.problems.push(Problem::error(one.place.clone(), text));
    }

    pub(super) fn warn(&mut self, one: &Written, text: impl AsRef<str>) {
        let text = format!("{}: {}", one.key, text.as_ref());
        self.problems.push(Problem::warning(one.place.clone(), text));
    }

    pub(super) fn idle(&mut self, one: &Written, reason: &str) {
        let usual = USUAL.iter().find(|(name, _)| *name == one.name).map(|(_, values)| *values);
        if usual.is_some_and(|values| values.contains(&&*one.value)) {
            return;
        }
        let text = format!("{} has no effect: {reason}", one.key);
        self.problems.push(Problem::warning(one.place.clone(), text));
    }

    fn translate(&mut self, one: &Written) {
        let security = ["ssl.", "sasl."].into_iter().find(|family| one.name.starts_with(family));
        // An empty text is a value of this one alone: it switches the check off.
        if one.value.is_empty() && one.name != "ssl.endpoint.identification.algorithm" {
            return;
        }
        if let Some(family) = security
            && !self.uses(family)
        {
            let reason = format!(
                "kafka.security.protocol is {}",
                self.value_of("security.protocol").unwrap_or("PLAINTEXT")
            );
            self.idle(one, &reason);
            return;
        }
        match java::outcome(&one.name) {
            Some(Outcome::As(property)) => self.set(one, property, &one.value),
            Some(Outcome::By(translate)) => translate(self, one),
            Some(Outcome::Idle(reason)) => self.idle(one, reason),
            Some(Outcome::Refused(way_out)) => self.refuse(one, way_out),
            None => self.translate_native(one),
        }
    }

    /// Whether the protocol has TLS (`ssl.`) or a login (`sasl.`).
    pub(super) fn uses(&self, family: &str) -> bool {
        let protocol = self.value_of("security.protocol").unwrap_or_default().to_uppercase();
        match family {
            "ssl." => protocol.ends_with("SSL"),
            _ => protocol.starts_with("SASL"),
        }
    }

    fn translate_native(&mut self, one: &Written) {
        let Some(native) = native::find(&one.name) else {
            let known = java::SETTINGS.iter().map(|(name, _)| *name);
            let hint = match nearest(&one.name, known.chain(native::all().map(|one| one.name))) {
                Some(known) => format!(": did you mean kafka.{known}?"),
                None => String::new(),
            };
            let text = format!("unknown key {}{hint}", one.key);
            self.problems.push(Problem::warning(one.place.clone(), text));
            return;
        };
        let ours = OURS.iter().find(|(name, _)| *name == one.name).map(|(_, reason)| *reason);
        let reason = match ours {
            Some(reason) => Some(reason),
            None if native.is_consumers() => Some("it is a setting of consumers"),
            None => not_built_in(&one.name),
        };
        match reason {
            Some(reason) => self.idle(one, reason),
            None if is_path(native) && one.value != "probe" => {
                let path = join(&self.base, &one.value).display().to_string();
                self.set(one, native.name, &path);
            }
            None => self.set(one, native.name, &one.value),
        }
    }

    /// Sets librdkafka's `property`, if it takes the value.
    pub(super) fn set(&mut self, one: &Written, property: &str, value: &str) {
        let Some(native) = native::find(property) else { return };
        if let Err(reason) = native.check(value) {
            self.refuse(one, reason);
            return;
        }
        self.properties(native).set(property, value);
    }

    fn properties(&mut self, native: Native) -> &mut Properties {
        // librdkafka bounds what a producer sends by it, and nothing of a consumer.
        if native.is_producers() || native.name == "message.max.bytes" {
            &mut self.config.producer
        } else {
            &mut self.config.client
        }
    }

    /// A whole number of at least `least`.
    pub(super) fn number(&mut self, one: &Written, least: i64) -> Option<i64> {
        match one.value.parse::<i64>() {
            Ok(number) if number >= least => Some(number),
            _ => {
                let text = format!("`{}` is no whole number of at least {least}", one.value);
                self.refuse(one, text);
                None
            }
        }
    }

    /// What holds where nothing was written.
    fn finish(&mut self) {
        let config = &mut self.config;
        if config.producer.get("queue.buffering.max.kbytes").is_none() {
            config.producer.set("queue.buffering.max.kbytes", QUEUE_KILOBYTES);
        }
        if !config.transactional {
            // Without idempotence only one request under way keeps the order.
            let idempotent = config.producer.get("enable.idempotence") == Some("true");
            if !idempotent {
                config.producer.set("enable.idempotence", "false");
                config.producer.set("max.in.flight.requests.per.connection", "1");
            }
        }
        if self.uses("sasl.") {
            self.judge_login();
        }
    }

    /// A login needs a mechanism and credentials; Java's default mechanism is Kerberos.
    fn judge_login(&mut self) {
        let Some(protocol) = self.written.remove("security.protocol") else { return };
        let mechanism = self.value_of("sasl.mechanism").is_some();
        let named = self.value_of("sasl.jaas.config").is_some()
            || self.config.client.get("sasl.username").is_some();
        if !mechanism {
            self.refuse(&protocol, "a login needs kafka.sasl.mechanism: write PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 (Java's default, Kerberos, is not built in)");
        } else if !named && self.config.client.get("sasl.mechanism").is_some() {
            self.refuse(&protocol, "a login needs kafka.sasl.jaas.config: write org.apache.kafka.common.security.scram.ScramLoginModule required username=\"..\" password=\"..\";");
        }
        self.written.insert(protocol.name.clone(), protocol);
    }
}

/// Properties of what was left out when librdkafka was built.
fn not_built_in(name: &str) -> Option<&'static str> {
    let oauth = ["sasl.oauthbearer.", "https.ca.", "enable.sasl.oauthbearer."];
    if oauth.iter().any(|family| name.starts_with(family)) {
        return Some("OAUTHBEARER is not built in");
    }
    name.starts_with("sasl.kerberos.").then_some("Kerberos is not built in")
}

fn is_path(native: Native) -> bool {
    native.name.starts_with("ssl.") && native.name.ends_with(".location")
}

/// Whether the value of a key is never shown: keys of the cluster's family.
pub(in crate::config) fn is_secret(key: &str) -> bool {
    ["kafka.", "canal.mq.properties."]
        .iter()
        .any(|family| key.strip_prefix(family).is_some_and(is_hidden))
}
