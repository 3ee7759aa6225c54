//! What the commands need of any Kafka cluster, ours or another: reading, writing, topics
//! and groups, over librdkafka with all it knows of SASL and TLS.
//!
//! In: the properties of Apache Kafka's Java clients, as its tools take them; what the
//! Java clients have and librdkafka has not is translated or, where it changes nothing
//! here, left out. Calls block; the commands have nothing else to do.

mod consume;
mod error;
mod groups;
mod lags;
mod peek;
mod probe;
mod produce;
mod sizes;
#[cfg(test)]
mod tests;
mod topics;
mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

pub use consume::{Extent, From, Record, Selection, Stamp, consume, extents};
pub use error::Error;
pub use groups::{
    Group, GroupDescription, Groups, Member, OffsetChange, OffsetRow, Target, Unread,
};
pub use lags::{Lag, lags};
pub use peek::{Message, PeekFrom, Peeked, peek};
pub use probe::{Finding, Wanted, members, probe};
pub use produce::{Produced, Producer};
pub use sizes::sizes;
pub use topics::{NewTopic, Offsets, PartitionDescription, Setting, TopicDescription, Topics};

use crate::config::{ClusterConfig, Properties};

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// How to reach a cluster, in librdkafka's property names.
#[derive(Clone, Debug)]
pub struct Connection {
    properties: BTreeMap<String, String>,
}

impl Connection {
    /// Brokers to begin with, `host:port` by comma.
    pub fn new(bootstrap: &str) -> Self {
        let properties = [
            ("bootstrap.servers", bootstrap),
            ("client.id", "sluice"),
            // What fails is said by the call that fails.
            ("log_level", "0"),
            ("broker.address.ttl", "1000"),
            ("socket.connection.setup.timeout.ms", "10000"),
        ];
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { properties: properties.into_iter().collect() }
    }

    /// The cluster that changes go to, with what its settings say of logins and TLS.
    pub fn of_cluster(config: &ClusterConfig) -> Self {
        let mut connection = Self::new(&config.bootstrap);
        for (name, value) in config.client.iter() {
            connection.put(name, value);
        }
        connection.put("bootstrap.servers", &config.bootstrap);
        connection
    }

    /// The same properties, for single questions.
    fn wire(&self) -> Properties {
        let mut all = Properties::default();
        for (name, value) in &self.properties {
            all.set(name, value);
        }
        all
    }

    /// Sets a property of the Java clients. False if nothing here knows it; it then counts
    /// for nothing, as with those.
    pub fn set(&mut self, name: &str, value: &str) -> bool {
        match name {
            // Bytes are bytes here; records are counted by the caller; there are no Java classes.
            "key.serializer"
            | "value.serializer"
            | "key.deserializer"
            | "value.deserializer"
            | "max.poll.records"
            | "default.api.timeout.ms"
            | "metadata.max.idle.ms"
            | "client.dns.lookup"
            | "interceptor.classes"
            | "metric.reporters"
            | "metrics.recording.level"
            | "key.deserializer.encoding"
            | "value.deserializer.encoding" => {}
            "buffer.memory" => {
                let kilobytes = value.parse::<u64>().unwrap_or(32 << 20) / 1024;
                self.put("queue.buffering.max.kbytes", &kilobytes.max(1).to_string());
            }
            "max.request.size" => self.put("message.max.bytes", value),
            "delivery.timeout.ms" | "max.block.ms" => self.put("message.timeout.ms", value),
            "fetch.max.wait.ms" => self.put("fetch.wait.max.ms", value),
            "ssl.truststore.location" | "ssl.truststore.certificates" => {
                self.put("ssl.ca.location", value);
            }
            "ssl.endpoint.identification.algorithm" if value.is_empty() => self.put(name, "none"),
            "sasl.jaas.config" => {
                for (option, property) in
                    [("username", "sasl.username"), ("password", "sasl.password")]
                {
                    if let Some(value) = jaas_option(value, option) {
                        self.put(property, &value);
                    }
                }
            }
            _ if !is_known(name, value) => return false,
            _ => self.put(name, value),
        }
        true
    }

    fn put(&mut self, name: &str, value: &str) {
        self.properties.insert(name.to_owned(), value.to_owned());
    }

    /// Where it begins, for messages.
    fn bootstrap(&self) -> &str {
        self.properties.get("bootstrap.servers").map_or("", String::as_str)
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    /// A configuration that carries only what an admin or a consumer without a group of
    /// its own understands.
    fn reader(&self, group: &str) -> ClientConfig {
        let mut config = self.config();
        config.set("group.id", group).set("enable.auto.commit", "false");
        config
    }
}

/// Whether librdkafka has a property of this name. A wrong value is told when it is used.
fn is_known(name: &str, value: &str) -> bool {
    let tried = ClientConfig::new().set(name, value).create_native_config();
    let unknown = RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN;
    !matches!(tried, Err(KafkaError::ClientConfig(result, ..)) if result == unknown)
}

/// The value of `name="value"` in a line of a Java login module.
fn jaas_option(line: &str, name: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!("{name}="))?;
    let quoted = rest.strip_prefix('"');
    let end = quoted.map_or_else(
        || rest.find([' ', ';']).unwrap_or(rest.len()),
        |text| text.find('"').unwrap_or(text.len()),
    );
    Some(quoted.unwrap_or(rest).get(..end)?.to_owned())
}

#[cfg(test)]
mod translation {
    use super::*;

    #[test]
    fn properties_of_the_java_clients_are_translated() {
        let mut connection = Connection::new("a:1");
        assert!(connection.set("sasl.mechanism", "SCRAM-SHA-256"));
        connection.set(
            "sasl.jaas.config",
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"alice\" password=\"a b;c\";",
        );
        connection
            .set("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        let get = |name: &str| connection.properties.get(name).map(String::as_str);
        assert_eq!(get("sasl.username"), Some("alice"));
        assert_eq!(get("sasl.password"), Some("a b;c"));
        assert_eq!(get("sasl.mechanism"), Some("SCRAM-SHA-256"));
        assert_eq!(get("key.deserializer"), None);
    }

    #[test]
    fn an_unknown_property_is_told_and_left_out() {
        let mut connection = Connection::new("a:1");
        assert!(!connection.set("no.such.property", "1"));
        assert!(connection.config().create_native_config().is_ok());
        assert!(connection.set("linger.ms", "5") && connection.set("max.poll.records", "5"));
    }

    /// What librdkafka says to a value.
    fn said(name: &str, value: &str) -> Result<(), (RDKafkaConfRes, String)> {
        match ClientConfig::new().set(name, value).create_native_config() {
            Err(KafkaError::ClientConfig(result, text, ..)) => Err((result, text)),
            _ => Ok(()),
        }
    }

    /// The table by which the settings of a cluster are checked, row by row.
    #[test]
    fn the_table_of_librdkafkas_properties_is_what_it_says_itself() {
        let (mut ranges, mut words, mut left_out) = (0, 0, 0);
        for line in include_str!("../config/cluster/native.txt").lines() {
            let cells: Vec<&str> = line.split('\t').collect();
            let [_, name, range] = cells[..] else { panic!("{line}") };
            let first = range.split([' ', ',']).next().unwrap_or("x");
            let first = if first.is_empty() { "x" } else { first };
            if let Err((result, text)) = said(name, first)
                && (result == RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN || !range.is_empty())
            {
                let families = [
                    "sasl.oauthbearer.",
                    "https.ca.",
                    "sasl.kerberos.",
                    "enable.sasl.oauthbearer.",
                ];
                let expected = families.iter().any(|family| name.starts_with(family));
                assert!(expected, "{name}={first}: {text}");
                left_out += 1;
                continue;
            }
            if let Some((least, most)) = range.split_once(" .. ") {
                for (value, is_good) in [
                    (least.to_owned(), true),
                    (most.to_owned(), true),
                    ((least.parse::<i64>().unwrap() - 1).to_string(), false),
                    ((most.parse::<i64>().unwrap() + 1).to_string(), false),
                ] {
                    // What is one too large for its 32 bits may come around.
                    if is_good || !value.starts_with("21474836") {
                        assert_eq!(said(name, &value).is_ok(), is_good, "{name}={value}");
                    }
                }
                ranges += 1;
            } else if range.contains(", ") {
                for word in range.split(", ") {
                    assert_eq!(said(name, word), Ok(()), "{name}={word}");
                }
                assert!(said(name, "nonsense").is_err(), "{name}");
                words += 1;
            }
        }
        assert!(ranges > 60 && words > 20 && left_out > 5, "{ranges} {words} {left_out}");
    }
}
