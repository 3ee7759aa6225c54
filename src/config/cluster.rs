//! The user's own Kafka cluster: how it is reached, and how topics there are made.
//!
//! In: `kafka.<key>` as Canal hands it to the Java producer, the same under the names up to
//! Canal 1.1.4 (`canal.mq.*`), and what librdkafka has beyond. Out: [`ClusterConfig`], in
//! librdkafka's names.
//! Always: what librdkafka would not take is refused here, at its line; a key that has no effect
//! is named with the reason; nothing of a password is in a message or a debug print.

use std::fmt;

use super::reader::Reader;
use super::secret::Secret;

/// How to reach the user's Kafka cluster, and how to write to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Brokers to begin with, `host:port` by comma.
    pub bootstrap: String,
    /// What every client of the cluster is made with, in librdkafka's names.
    pub client: Properties,
    /// What the producer is made with besides, in librdkafka's names.
    pub producer: Properties,
    /// Partitions of a topic that is made; none for what the instance says, or the cluster.
    pub partitions: Option<i32>,
    /// Replication factor of a topic that is made; none for the cluster's default.
    pub replication: Option<i16>,
    /// Settings of a change topic that is made, in Kafka's names.
    pub topic: Vec<(String, String)>,
    /// Second word of the names of internal topics, first of transactional ids.
    pub group: String,
    /// Whether transactions are used. Without them a crash repeats what was being sent.
    pub transactional: bool,
}

/// Properties of a client by name, each name once. No value that is a secret is printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(Vec<(String, Secret)>);

impl Properties {
    /// Sets one; what was set before under this name is gone.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), Secret::new(value)));
    }

    /// The value of one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.reveal())
    }

    /// All of them, secrets too, in the order in which they were set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, value.reveal()))
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value)| (name, if is_hidden(name) { "***" } else { value });
        f.debug_map().entries(self.iter().map(shown)).finish()
    }
}

/// Whether a property's value is never shown. Names of librdkafka and of the Java clients.
pub(super) fn is_hidden(name: &str) -> bool {
    const HIDDEN: [&str; 8] = [
        "passw",
        "passphrase",
        "secret",
        "jaas",
        ".pem",
        "keystore.key",
        "oauthbearer.config",
        "ssl_key",
    ];
    HIDDEN.iter().any(|word| name.contains(word))
}

impl ClusterConfig {
    pub(super) fn read(reader: &mut Reader<'_>, group: &str) -> Self {
        let _ = reader;
        Self {
            bootstrap: String::new(),
            client: Properties::default(),
            producer: Properties::default(),
            partitions: None,
            replication: None,
            topic: Vec::new(),
            group: group.to_owned(),
            transactional: true,
        }
    }
}
