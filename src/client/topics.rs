//! Topics: list, describe, make, configure, grow, delete.

use std::collections::BTreeMap;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic as Wanted,
    ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;

use super::error::reached;
use super::{Connection, Error, PATIENCE, lags};

/// A topic to make; what is not said is the broker's default.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: Option<i32>,
    /// How many copies.
    pub replication: Option<i32>,
    /// Its own settings.
    pub configs: BTreeMap<String, String>,
}

/// A topic as the cluster describes it.
#[derive(Clone, Debug)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionDescription>,
    /// Settings that are not the defaults.
    pub configs: BTreeMap<String, String>,
}

/// A partition as the cluster describes it.
#[derive(Clone, Debug)]
pub struct PartitionDescription {
    /// Its number.
    pub id: i32,
    /// Who serves it; -1 for nobody.
    pub leader: i32,
    /// Who holds it.
    pub replicas: Vec<i32>,
    /// Who of them is up to date.
    pub in_sync: Vec<i32>,
}

/// A setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value; none where it is a secret.
    pub value: Option<String>,
    /// Whether it is set on the topic itself.
    pub is_own: bool,
}

/// The first and the next offset of each partition.
pub type Offsets = BTreeMap<(String, i32), (i64, i64)>;

/// The topics of a cluster.
pub struct Topics {
    admin: AdminClient<DefaultClientContext>,
    connection: Connection,
    bootstrap: String,
}

impl Topics {
    /// Of this cluster.
    pub fn of(connection: &Connection) -> Result<Self, Error> {
        let bootstrap = connection.bootstrap().to_owned();
        let admin = connection.config().create()?;
        Ok(Self { admin, connection: connection.clone(), bootstrap })
    }

    /// All topics with their partitions, by name; without settings.
    pub fn list(&self) -> Result<Vec<TopicDescription>, Error> {
        let metadata = self
            .admin
            .inner()
            .fetch_metadata(None, PATIENCE)
            .map_err(|error| reached(&self.bootstrap, error))?;
        let topics = metadata.topics().iter().map(|topic| {
            let partitions = topic.partitions().iter().map(|one| PartitionDescription {
                id: one.id(),
                leader: one.leader(),
                replicas: one.replicas().to_vec(),
                in_sync: one.isr().to_vec(),
            });
            let mut partitions: Vec<_> = partitions.collect();
            partitions.sort_by_key(|one| one.id);
            TopicDescription { name: topic.name().to_owned(), partitions, configs: BTreeMap::new() }
        });
        let mut topics: Vec<_> = topics.collect();
        topics.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(topics)
    }

    /// Adds a topic's settings to its description, without those that are defaults.
    pub async fn describe(&self, topic: &mut TopicDescription) -> Result<(), Error> {
        let resource = ResourceSpecifier::Topic(&topic.name);
        let answers = self
            .admin
            .describe_configs([&resource], &options())
            .await
            .map_err(|error| reached(&self.bootstrap, error))?;
        for answer in answers {
            let resource =
                answer.map_err(|code| Error::Topic { topic: topic.name.clone(), code })?;
            let told = resource.entries.into_iter().filter(|entry| {
                // As Kafka's tool: what server.properties settles is told too.
                !matches!(entry.source, ConfigSource::Default | ConfigSource::Unknown)
            });
            topic.configs.extend(told.map(|entry| (entry.name, entry.value.unwrap_or_default())));
        }
        Ok(())
    }

    /// The settings that a topic has of its own.
    pub async fn own_configs(&self, topic: &str) -> Result<BTreeMap<String, String>, Error> {
        let resource = ResourceSpecifier::Topic(topic);
        let answers = self.admin.describe_configs([&resource], &options()).await;
        let mut configs = BTreeMap::new();
        for answer in answers.map_err(|error| reached(&self.bootstrap, error))? {
            let resource = answer.map_err(|code| Error::Topic { topic: topic.to_owned(), code })?;
            let own = resource.entries.into_iter();
            let own = own.filter(|entry| matches!(entry.source, ConfigSource::DynamicTopic));
            configs.extend(own.map(|entry| (entry.name, entry.value.unwrap_or_default())));
        }
        Ok(configs)
    }

    /// The first and the next offset of each partition of some topics.
    pub fn offsets(&self, topics: &[TopicDescription]) -> Result<Offsets, Error> {
        let partitions: Vec<(String, i32)> = topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|one| (topic.name.clone(), one.id)))
            .collect();
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let consumer: BaseConsumer = self.connection.reader("sluice-offsets").create()?;
        let starts = lags::starts(&consumer, &partitions);
        let starts = starts.map_err(|error| reached(&self.bootstrap, error))?;
        let ends = lags::ends(&consumer, &partitions);
        let ends = ends.map_err(|error| reached(&self.bootstrap, error))?;
        let both = |(key, start)| {
            let end = ends.get(&key).copied().unwrap_or(start);
            (key, (start, end))
        };
        Ok(starts.into_iter().map(both).collect())
    }

    /// All settings of a topic, by name.
    pub async fn settings(&self, topic: &str) -> Result<Vec<Setting>, Error> {
        let resource = ResourceSpecifier::Topic(topic);
        let answers = self.admin.describe_configs([&resource], &options()).await;
        let mut found = Vec::new();
        for answer in answers.map_err(|error| reached(&self.bootstrap, error))? {
            let resource = answer.map_err(|code| Error::Topic { topic: topic.to_owned(), code })?;
            found.extend(resource.entries.into_iter().map(|entry| Setting {
                value: entry.value.filter(|_| !entry.is_sensitive),
                is_own: matches!(entry.source, ConfigSource::DynamicTopic),
                name: entry.name,
            }));
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// Changes settings of a topic: those of `set`, and those of `unset` back to their defaults.
    /// The protocol's older request replaces all of them, so they are read first.
    pub async fn configure(
        &self,
        topic: &str,
        set: &[(String, String)],
        unset: &[String],
    ) -> Result<(), Error> {
        let mut configs = self.own_configs(topic).await?;
        configs.extend(set.iter().cloned());
        configs.retain(|key, _| !unset.contains(key));
        let mut wanted = AlterConfig::new(ResourceSpecifier::Topic(topic));
        for (key, value) in &configs {
            wanted = wanted.set(key, value);
        }
        let answers = self.admin.alter_configs([&wanted], &options()).await;
        for answer in answers.map_err(|error| reached(&self.bootstrap, error))? {
            answer.map_err(|(_, code)| Error::Topic { topic: topic.to_owned(), code })?;
        }
        Ok(())
    }

    /// Makes a topic.
    pub async fn create(&self, new: &NewTopic) -> Result<(), Error> {
        let replication = TopicReplication::Fixed(new.replication.unwrap_or(-1));
        let mut wanted = Wanted::new(&new.name, new.partitions.unwrap_or(-1), replication);
        for (name, value) in &new.configs {
            wanted = wanted.set(name, value);
        }
        let answers = self.admin.create_topics([&wanted], &options()).await;
        self.judge(answers)
    }

    /// Grows a topic to `partitions`.
    pub async fn grow(&self, topic: &str, partitions: usize) -> Result<(), Error> {
        let wanted = NewPartitions::new(topic, partitions);
        let answers = self.admin.create_partitions([&wanted], &options()).await;
        self.judge(answers)
    }

    /// Deletes a topic.
    pub async fn delete(&self, topic: &str) -> Result<(), Error> {
        let answers = self.admin.delete_topics(&[topic], &options()).await;
        self.judge(answers)
    }

    fn judge(&self, answers: Result<Vec<TopicResult>, KafkaError>) -> Result<(), Error> {
        for answer in answers.map_err(|error| reached(&self.bootstrap, error))? {
            answer.map_err(|(topic, code)| Error::Topic { topic, code })?;
        }
        Ok(())
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

/// Whether a topic's metadata says that it is there.
pub(super) fn is_there(error: Option<RDKafkaRespErr>) -> bool {
    error.is_none()
}
