//! What a cluster must be so that instances can write there: brokers, versions, rights, topics.
//!
//! In: how the cluster is reached, and what each instance wants there. Out: sentences, each a fact,
//! a warning or an error that says what to do.
//! Always: nothing is made, and nothing is taken from an instance that is running: topics are asked
//! for with `validate_only`, and a transactional id by a request that no coordinator carries out.

mod answers;
mod group;

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    CreateTopicsRequest, FindCoordinatorRequest, InitProducerIdRequest, MetadataRequest,
    MetadataResponse, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfig as _;
use rdkafka::producer::BaseProducer;

use self::answers::{Limits, operations, sentence};
pub use self::group::members;
use super::wire::Wire;
use crate::config::{ClusterConfig, is_compacted};

/// What an instance wants of the cluster.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub instance: String,
    /// What it fences others by.
    pub transactional_id: String,
    /// The consumer group that decides which of several processes runs it.
    pub lock: String,
    /// Its internal topics, with the settings that they are made with.
    pub internal: Vec<(String, Vec<(String, String)>)>,
    /// Change topics that it writes, as far as they are known.
    pub changes: Vec<String>,
}

/// A sentence about the cluster, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Good to know.
    Fact(String),
    /// Something is probably not as it was meant.
    Warning(String),
    /// An instance cannot write.
    Error(String),
}

/// How often, and how long apart, the coordinator of transactions is asked for.
const COORDINATOR_TRIES: usize = 20;
const COORDINATOR_PAUSE: Duration = Duration::from_millis(500);

/// Settings of internal topics without which they lose something.
const KEEPING: [&str; 3] = ["cleanup.policy", "retention.ms", "retention.bytes"];

/// Milliseconds that a transaction has where nothing is written.
const TRANSACTION: i64 = 60_000;

/// Asks the cluster.
pub fn probe(config: &ClusterConfig, wanted: &[Wanted]) -> Vec<Finding> {
    let mut probe = Probe { config, found: Vec::new(), topics: BTreeMap::new() };
    if let Err(error) = probe.all(wanted) {
        probe.found.push(Finding::Error(error));
    }
    probe.found
}

struct Probe<'a> {
    config: &'a ClusterConfig,
    found: Vec<Finding>,
    /// What is wrong with topics of the instance that is looked at: the same is said once.
    topics: BTreeMap<String, Vec<String>>,
}

impl Probe<'_> {
    fn fact(&mut self, text: String) {
        self.found.push(Finding::Fact(text));
    }

    fn warn(&mut self, text: String) {
        self.found.push(Finding::Warning(text));
    }

    fn refuse(&mut self, text: String) {
        self.found.push(Finding::Error(text));
    }

    fn refuse_topic(&mut self, topic: &Topic<'_>, text: String) {
        self.topics.entry(text).or_default().push(topic.name.to_owned());
    }

    fn all(&mut self, wanted: &[Wanted]) -> Result<(), String> {
        self.settings()?;
        let mut first = self.first()?;
        let names = wanted
            .iter()
            .flat_map(|one| one.internal.iter().map(|(name, _)| name).chain(&one.changes));
        let names: Vec<&str> = names.map(String::as_str).collect();
        let metadata = metadata(&mut first, &names)?;
        self.brokers(&first, &metadata);
        let limits = self.limits(&mut first, &metadata)?;
        if !self.config.transactional {
            self.warn("kafka.transactional is false: behind a crash changes that were being sent come twice".to_owned());
        } else if !first.knows(22) || !first.knows(26) {
            return Err("this cluster has no transactions: write kafka.transactional = false, and changes come at least once".to_owned());
        }
        for one in wanted {
            for (name, settings) in &one.internal {
                self.topic(
                    &mut first,
                    &metadata,
                    &limits,
                    &Topic { one, name, settings, is_internal: true },
                )?;
            }
            for name in &one.changes {
                let settings = &self.config.topic;
                self.topic(
                    &mut first,
                    &metadata,
                    &limits,
                    &Topic { one, name, settings, is_internal: false },
                )?;
            }
            for (text, topics) in std::mem::take(&mut self.topics) {
                let topics = topics.join(", ");
                self.refuse(format!("instance {}, topics {topics}: {text}", one.instance));
            }
            self.lock(&mut first, one)?;
            if self.config.transactional {
                self.transactional_id(&mut first, one)?;
            }
        }
        Ok(())
    }

    /// librdkafka itself takes them; files of certificates are read here.
    fn settings(&self) -> Result<(), String> {
        let mut all = ClientConfig::new();
        all.set("log_level", "0").set("bootstrap.servers", &self.config.bootstrap);
        for (name, value) in self.config.client.iter().chain(self.config.producer.iter()) {
            all.set(name, value);
        }
        if self.config.transactional {
            all.set("transactional.id", "sluice-check");
        }
        let made = BaseProducer::from_config(&all);
        made.map(drop)
            .map_err(|error| format!("no producer can be made with the settings kafka.*: {error}"))
    }

    /// The first of the brokers to begin with that answers; what is wrong with those before it.
    fn first(&mut self) -> Result<Wire, String> {
        let mut failures = Vec::new();
        for address in self.config.bootstrap.split(',') {
            match Wire::connect(address, &self.config.client) {
                Ok(wire) => {
                    for failure in failures {
                        self.warn(failure);
                    }
                    return Ok(wire);
                }
                Err(failure) => failures.push(failure),
            }
        }
        Err(failures.join("; "))
    }

    /// Which there are; clients connect to each by the address that it advertises.
    fn brokers(&mut self, first: &Wire, metadata: &MetadataResponse) {
        let mut brokers = Vec::new();
        for broker in &metadata.brokers {
            let address = address(&broker.host, broker.port);
            brokers.push(format!("{} at {address}", broker.node_id.0));
            if let Err(error) = Wire::connect(&address, &self.config.client) {
                self.refuse(format!(
                    "broker {} says that it is reached at {address} (its advertised.listeners), but {error}",
                    broker.node_id.0
                ));
            }
        }
        let version = match first.metadata_version {
            Some(version) => format!(", metadata.version {version}"),
            None => String::new(),
        };
        self.fact(format!("{} brokers{version}: {}", brokers.len(), brokers.join(", ")));
    }

    /// What the brokers' own configuration allows.
    fn limits(&mut self, wire: &mut Wire, metadata: &MetadataResponse) -> Result<Limits, String> {
        let Some(broker) = metadata.brokers.first() else {
            return Err("the cluster names no broker: is it starting?".to_owned());
        };
        let limits = match answers::of_broker(wire, broker.node_id.0)? {
            Ok(limits) => limits,
            Err(reason) => {
                self.warn(format!("the configuration of the brokers may not be read ({reason}), so that transaction.max.timeout.ms is not known: allow DescribeConfigs on the cluster"));
                return Ok(Limits::default());
            }
        };
        if self.config.transactional {
            let asked = self.config.producer.get("transaction.timeout.ms");
            let asked = asked.and_then(|millis| millis.parse().ok());
            match limits.transaction_millis {
                Some(most) if asked.unwrap_or(TRANSACTION) > most => {
                    let text = format!(
                        "a transaction may take {most} ms here (transaction.max.timeout.ms of the brokers), less than the {} ms asked for: raise it there, or write kafka.transaction.timeout.ms = {most}",
                        asked.unwrap_or(TRANSACTION)
                    );
                    if asked.is_some() { self.refuse(text) } else { self.warn(text) }
                }
                Some(most) => self.fact(format!(
                    "a source transaction may take up to {} s (transaction.max.timeout.ms)",
                    most / 1000
                )),
                None => {}
            }
            let brokers = i64::try_from(metadata.brokers.len()).unwrap_or(i64::MAX);
            for (setting, needed) in [
                ("transaction.state.log.replication.factor", limits.state_replicas),
                ("transaction.state.log.min.isr", limits.state_min_insync),
            ] {
                if let Some(needed) = needed.filter(|needed| *needed > brokers) {
                    self.refuse(format!("transactions need {needed} brokers ({setting}), and {brokers} are there: start the others, or lower it in the brokers' server.properties before the first transaction"));
                }
            }
        }
        Ok(limits)
    }

    fn topic(
        &mut self,
        wire: &mut Wire,
        metadata: &MetadataResponse,
        limits: &Limits,
        topic: &Topic<'_>,
    ) -> Result<(), String> {
        let Topic { one, name, .. } = topic;
        let found = metadata
            .topics
            .iter()
            .find(|found| found.name.as_ref().is_some_and(|found| found.0.as_str() == *name));
        let Some(found) = found else { return Ok(()) };
        match ResponseError::try_from_code(found.error_code) {
            None => {}
            Some(ResponseError::UnknownTopicOrPartition) => {
                return self.ask_to_make(wire, limits, topic);
            }
            Some(ResponseError::TopicAuthorizationFailed) => {
                let rights = topic.rights().join(", ");
                self.refuse_topic(topic, format!("they may not be seen: allow {rights}, and Create where they are not there, to the user of kafka.sasl.jaas.config"));
                return Ok(());
            }
            Some(error) => {
                self.refuse_topic(topic, sentence(error));
                return Ok(());
            }
        }
        let missing = operations(found.topic_authorized_operations, &topic.rights());
        if !missing.is_empty() {
            let missing = missing.join(", ");
            self.refuse_topic(
                topic,
                format!(
                    "the right {missing} is missing: allow it to the user of kafka.sasl.jaas.config"
                ),
            );
        }
        let own = match answers::of_topic(wire, name)? {
            Ok(own) => own,
            Err(reason) if topic.is_internal => {
                self.refuse_topic(topic, format!("their settings may not be read ({reason}), so that nobody knows whether they keep what they hold: allow DescribeConfigs on them to the user of kafka.sasl.jaas.config"));
                return Ok(());
            }
            Err(reason) => {
                self.warn(format!("the settings of topic {name} may not be read ({reason}), so that a message too large for it is found out when it is sent: allow DescribeConfigs on it"));
                return Ok(());
            }
        };
        self.keeps(topic, found.partitions.len(), &own);
        self.of_use(topic, found.topic_authorized_operations);
        let replicas = found.partitions.iter().map(|one| one.replica_nodes.len()).min();
        let in_sync = found.partitions.iter().map(|one| one.isr_nodes.len()).min();
        let (replicas, in_sync) = (replicas.unwrap_or_default(), in_sync.unwrap_or_default());
        if !self.replicas(topic, own.min_insync, replicas)
            && own.min_insync.is_some_and(|least| least > count(in_sync))
        {
            self.warn(format!("instance {}: topic {name} has {in_sync} replicas in sync, and takes nothing below {} (min.insync.replicas): start the brokers that are down", one.instance, own.min_insync.unwrap_or_default()));
        }
        self.size(name, own.message_bytes);
        Ok(())
    }

    /// Whether a topic that is there takes what an instance writes, and keeps it.
    fn keeps(&mut self, topic: &Topic<'_>, partitions: usize, own: &Limits) {
        let policy = own.set.get("cleanup.policy").map_or("", String::as_str);
        if !topic.is_internal {
            if is_compacted(policy) {
                self.refuse_topic(topic, "they take no record without a key, and the records of changes have none: take compact out of their cleanup.policy (kafka-configs.sh), or route the tables to other topics".to_owned());
            }
            return;
        }
        if partitions != 1 {
            self.refuse_topic(topic, format!("they have {partitions} partitions, and have to have one: delete them if nobody needs what they hold"));
        }
        for (key, value) in topic.settings.iter().filter(|(key, _)| KEEPING.contains(&&**key)) {
            if let Some(other) = own.set.get(key).filter(|other| *other != value) {
                self.refuse_topic(topic, format!("their {key} is {other}, and has to be {value}, or they lose what nobody else has: kafka-configs.sh --alter --entity-type topics --entity-name {} --add-config {key}={value}", topic.name));
            }
        }
    }

    /// Rights that an instance can do without.
    fn of_use(&mut self, topic: &Topic<'_>, allowed: i32) {
        let (right, why) = match (topic.is_internal, topic.name.ends_with(".parked")) {
            (true, true) => {
                ("Delete", "what was kept of tables that are parked no more stays there")
            }
            (true, false) => return,
            (false, _) => (
                "Read",
                "a start without a position cannot see whether the instance has published there before, and stops",
            ),
        };
        if !operations(allowed, &[right]).is_empty() {
            self.warn(format!(
                "instance {}: without the right {right} on topic {} {why}",
                topic.one.instance, topic.name
            ));
        }
    }

    /// Says where a message is divided.
    fn size(&mut self, name: &str, bytes: Option<i64>) {
        let asked = self.config.producer.get("message.max.bytes");
        let asked = asked.and_then(|bytes| bytes.parse::<i64>().ok());
        match (bytes, asked) {
            (Some(most), Some(asked)) if asked > most => self.warn(format!("topic {name} takes messages up to {most} bytes (max.message.bytes), less than kafka.max.request.size = {asked}: changes are divided at {most}; raise the topic's setting if they should not be")),
            (Some(most), _) => self.fact(format!("topic {name} takes messages up to {most} bytes")),
            (None, _) => {}
        }
    }

    /// Whether too few replicas keep the topic from ever taking anything.
    fn replicas(&mut self, topic: &Topic<'_>, least: Option<i64>, replicas: usize) -> bool {
        let Some(least) = least.filter(|least| *least > count(replicas)) else { return false };
        self.refuse_topic(topic, format!("with {replicas} replicas and min.insync.replicas = {least} they take nothing: raise the replicas (kafka.topic.replication.factor for new ones), or lower kafka.topic.min.insync.replicas, or the topic's own"));
        true
    }

    /// A topic that is not there yet: the cluster says whether it would make it.
    fn ask_to_make(
        &mut self,
        wire: &mut Wire,
        limits: &Limits,
        topic: &Topic<'_>,
    ) -> Result<(), String> {
        let Topic { name, settings, is_internal, .. } = topic;
        let configs = settings.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string(name.clone()))
                .with_value(Some(StrBytes::from_string(value.clone())))
        });
        let partitions = if *is_internal { 1 } else { self.config.partitions.unwrap_or(1) };
        let new = CreatableTopic::default()
            .with_name(TopicName(StrBytes::from_string((*name).to_owned())))
            .with_num_partitions(partitions)
            .with_replication_factor(self.config.replication.unwrap_or(-1))
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![new])
            .with_timeout_ms(5000)
            .with_validate_only(true);
        let answer = wire.ask(&request, 5)?;
        let Some(made) = answer.topics.first() else { return Ok(()) };
        let said =
            made.error_message.as_ref().map_or("", |said| said.as_str().trim_end_matches('.'));
        let text = match ResponseError::try_from_code(made.error_code) {
            None => {
                let replicas = usize::try_from(made.replication_factor).unwrap_or_default();
                let configs = made.configs.iter().flatten();
                let mut least = configs.filter(|one| one.name.as_str() == "min.insync.replicas");
                let least = least.next().and_then(|one| one.value.as_ref()?.as_str().parse().ok());
                if replicas > 0 {
                    self.replicas(topic, least.or(limits.min_insync), replicas);
                }
                return Ok(());
            }
            Some(ResponseError::TopicAuthorizationFailed | ResponseError::ClusterAuthorizationFailed) => {
                "they are not there and may not be made: allow Create on them, or on the cluster, to the user of kafka.sasl.jaas.config, or make them yourself".to_owned()
            }
            Some(ResponseError::InvalidReplicationFactor) => match self.config.replication {
                Some(factor) => format!("they cannot be made with kafka.topic.replication.factor = {factor}: {said}; lower it, or start more brokers"),
                None => format!("they cannot be made: {said}; write kafka.topic.replication.factor, or lower default.replication.factor of the brokers"),
            },
            Some(ResponseError::InvalidConfig) => {
                format!("they cannot be made with the settings kafka.topic.*: {said}")
            }
            Some(error) => format!("they cannot be made ({}): {said}", sentence(error)),
        };
        self.refuse_topic(topic, text);
        Ok(())
    }

    /// Whether transactions may be begun by this name. Kafka looks at the right first, and then
    /// refuses a request that names an epoch without a producer id (`KafkaApis.
    /// handleInitProducerIdRequest`), so that nothing reaches the coordinator's state.
    fn transactional_id(&mut self, first: &mut Wire, one: &Wanted) -> Result<(), String> {
        let id = &one.transactional_id;
        let denied = format!(
            "instance {}: the right Write on transactional id {id} is missing: allow it (and Describe) to the user of kafka.sasl.jaas.config",
            one.instance
        );
        let request = FindCoordinatorRequest::default()
            .with_key(StrBytes::from_string(id.clone()))
            .with_key_type(1);
        let mut answer = first.ask(&request, 3)?;
        // The first question of all makes the coordinator's topic.
        let absent = ResponseError::CoordinatorNotAvailable.code();
        for _ in 0..COORDINATOR_TRIES {
            if answer.error_code != absent {
                break;
            }
            std::thread::sleep(COORDINATOR_PAUSE);
            answer = first.ask(&request, 3)?;
        }
        match ResponseError::try_from_code(answer.error_code) {
            None => {}
            Some(ResponseError::TransactionalIdAuthorizationFailed) => {
                self.refuse(denied);
                return Ok(());
            }
            Some(error) => {
                self.refuse(format!(
                    "instance {}: transactional id {id}: {}",
                    one.instance,
                    sentence(error)
                ));
                return Ok(());
            }
        }
        if first.metadata_version.is_none() {
            self.warn(format!("instance {}: the right Write on transactional id {id} cannot be judged here without taking it from a running instance", one.instance));
            return Ok(());
        }
        let mut coordinator =
            Wire::connect(&address(&answer.host, answer.port), &self.config.client)?;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(StrBytes::from_string(id.clone()))))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(0);
        let answer = coordinator.ask(&request, 4)?;
        match ResponseError::try_from_code(answer.error_code) {
            Some(ResponseError::InvalidRequest) => {}
            Some(ResponseError::TransactionalIdAuthorizationFailed) => self.refuse(denied),
            Some(error) => self.refuse(format!("instance {}: transactional id {id}: {}", one.instance, sentence(error))),
            None => self.warn(format!("instance {}: the cluster began transactional id {id} anew: a running instance begins a new producer", one.instance)),
        }
        Ok(())
    }
}

/// A topic that an instance wants.
struct Topic<'a> {
    one: &'a Wanted,
    name: &'a str,
    settings: &'a [(String, String)],
    is_internal: bool,
}

impl Topic<'_> {
    fn rights(&self) -> Vec<&'static str> {
        if self.is_internal { vec!["Read", "Write", "Describe"] } else { vec!["Write", "Describe"] }
    }
}

fn metadata(wire: &mut Wire, names: &[&str]) -> Result<MetadataResponse, String> {
    let topics = names.iter().map(|name| {
        let name = TopicName(StrBytes::from_string((*name).to_owned()));
        MetadataRequestTopic::default().with_name(Some(name))
    });
    let request = MetadataRequest::default()
        .with_topics(Some(topics.collect()))
        .with_allow_auto_topic_creation(false)
        .with_include_topic_authorized_operations(true);
    wire.ask(&request, 12)
}

fn address(host: &StrBytes, port: i32) -> String {
    let host = host.as_str();
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
