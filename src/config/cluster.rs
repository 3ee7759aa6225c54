//! The user's own Kafka cluster: how it is reached, and how topics there are made.
//!
//! In: `kafka.<key>` as Canal hands it to the Java producer, the same under the names up to
//! Canal 1.1.4 (`canal.mq.*`), and what librdkafka has beyond. Out: [`ClusterConfig`], in
//! librdkafka's names.
//! Always: what librdkafka would not take is refused here, at its line; a key that has no effect
//! is named with the reason; nothing of a password is in a message or a debug print.

mod building;
mod ciphers;
mod jaas;
mod java;
mod native;
mod topic;
mod values;

#[cfg(test)]
mod tests;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use self::building::{Building, Written};
pub(crate) use self::topic::is_compacted;
use super::instance::KeyStore;
use super::problem::Place;
use super::reader::Reader;
use super::secret::Secret;

pub(super) use self::building::is_secret;

/// What every setting of the cluster begins with; the rest is Kafka's own name.
const FAMILY: &str = "kafka.";

/// Where Canal up to 1.1.4 took properties of the producer from.
const OLD_FAMILY: &str = "canal.mq.properties.";

/// The names up to Canal 1.1.4.
const OLD: &[(&str, &str)] = &[
    ("canal.mq.servers", "bootstrap.servers"),
    ("canal.mq.acks", "acks"),
    ("canal.mq.compressionType", "compression.type"),
    ("canal.mq.retries", "retries"),
    ("canal.mq.batchSize", "batch.size"),
    ("canal.mq.lingerMs", "linger.ms"),
    ("canal.mq.maxRequestSize", "max.request.size"),
    ("canal.mq.bufferMemory", "buffer.memory"),
    ("canal.mq.kafka.kerberos.enable", "kerberos.enable"),
    ("canal.mq.kafka.kerberos.krb5FilePath", "kerberos.krb5.file"),
    ("canal.mq.kafka.kerberos.jaasFilePath", "kerberos.jaas.file"),
];

/// Keys of ours in the family.
const TRANSACTIONAL: &str = "kafka.transactional";
const SOURCE: &str = "sluice.standby.source.timeout";
const SESSION: &str = "kafka.session.timeout.ms";
const PARTITIONS: &str = "kafka.topic.partitions";
const REPLICATION: &str = "kafka.topic.replication.factor";

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
    /// Certificates of the authorities that brokers are checked against, where they are a Java
    /// setting's file: PEM or PKCS #12, read when a client is made.
    pub trust_store: Option<KeyStore>,
    /// Our own certificate and its key, likewise.
    pub key_store: Option<KeyStore>,
    /// Second word of the names of internal topics, first of transactional ids.
    pub group: String,
    /// Whether transactions are used. Without them a crash repeats what was being sent.
    pub transactional: bool,
    /// Reads anew what the settings name: passwords are rotated, certificates renewed.
    pub reread: Option<Reread>,
    /// How long the active process of an instance may not be heard until another goes on.
    pub session: Duration,
    /// How long the active process may not reach its source until it lets another try.
    pub source_patience: Duration,
}

impl ClusterConfig {
    /// The largest message in bytes, whatever is written: one has to have room in the queue of the
    /// client library.
    pub const LARGEST_RECORD: usize = 30 << 20;

    /// The settings as they are now, with all that they name; the error is a sentence.
    pub async fn read_anew(self: &Arc<Self>) -> Result<Arc<Self>, String> {
        let Some(reread) = &self.reread else { return Ok(Arc::clone(self)) };
        Ok(Arc::new(Self { reread: Some(reread.clone()), ..reread.read().await? }))
    }
}

/// Reads the settings of the cluster anew, with all that they name; the error is a sentence.
#[derive(Clone)]
pub struct Reread(Arc<dyn Fn() -> Reading + Send + Sync>);

/// What [`Reread`] does.
type Reading = Pin<Box<dyn Future<Output = Result<ClusterConfig, String>> + Send>>;

impl Reread {
    /// One that reads by `read`.
    pub fn new(read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The settings as they are now.
    pub async fn read(&self) -> Result<ClusterConfig, String> {
        (self.0)().await
    }
}

impl fmt::Debug for Reread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reread")
    }
}

/// What reads the same settings is the same.
impl PartialEq for Reread {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Reread {}

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
    /// Reads what is written, and says what is wrong with it. Out with it come the places of its
    /// keys, under the names of today.
    pub(super) fn read(reader: &mut Reader<'_>, group: &str) -> (Self, Vec<(String, Place)>) {
        let config = Self {
            bootstrap: reader.text("kafka.bootstrap.servers"),
            client: Properties::default(),
            producer: Properties::default(),
            partitions: reader.optional_number(PARTITIONS),
            replication: reader.optional_number(REPLICATION),
            topic: topic::read(reader),
            trust_store: None,
            key_store: None,
            group: group.to_owned(),
            transactional: reader.flag(TRANSACTIONAL),
            reread: None,
            source_patience: reader.time(SOURCE, Duration::from_secs(1)).unwrap_or_default(),
            session: reader.time(SESSION, Duration::from_millis(1)).unwrap_or_default(),
        };
        let written = written(reader);
        let mut places: Vec<_> = written
            .iter()
            .rev()
            .map(|one| (format!("{FAMILY}{}", one.name), one.place.clone()))
            .collect();
        for key in [TRANSACTIONAL, SESSION, PARTITIONS, REPLICATION] {
            places.push((key.to_owned(), reader.place(key)));
        }
        (Building::build(reader, config, written), places)
    }
}

/// What is written, the names of today first.
fn written(reader: &mut Reader<'_>) -> Vec<Written> {
    let mut keys = reader.family(FAMILY);
    // A variable in upper case has lost its dots: only known names are looked for.
    if reader.has_variables("KAFKA_") {
        let known = java::SETTINGS.iter().map(|(name, _)| *name);
        let known = known.chain(native::all().map(|one| one.name));
        keys.extend(known.map(|name| format!("{FAMILY}{name}")));
    }
    keys.retain(|key| ![TRANSACTIONAL, SESSION, PARTITIONS, REPLICATION].contains(&&**key));
    keys.retain(|key| !topic::is_setting(key));
    let old = reader.family(OLD_FAMILY);
    let of = |key: String, family: &str| {
        let name = key.strip_prefix(family).unwrap_or_default().to_owned();
        (key, name)
    };
    let today = keys.into_iter().map(|key| of(key, FAMILY));
    let old_names = OLD.iter().map(|(key, name)| ((*key).to_owned(), (*name).to_owned()));
    let old = old_names.chain(old.into_iter().map(|key| of(key, OLD_FAMILY)));
    let mut found = Vec::new();
    for (key, name) in today.chain(old) {
        if let Some(text) = reader.written(&key) {
            found.push(Written { key, name, value: text.text, place: text.place });
        }
    }
    found
}
