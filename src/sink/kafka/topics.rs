//! The topics of an instance in the cluster: found, made where missing, grown.
//!
//! In: names and how many partitions are needed. Out: the names they have there. All topics of
//! the cluster are listed once while the sink is open, never asked for by name: a client that asks
//! for a topic may have it made.
//!
//! Always: an internal topic has one partition, and keeps what is written there, or the sink is not
//! opened. A change topic is never shrunk, and its settings stay what its owner has made them.
//!
//! Kafka refuses two topics whose names differ by `.` and `_` only. The second is then called
//! `<name>-<8 hex digits of SHA-256(name)>`, and is found by that name ever after.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewPartitions, NewTopic, OwnedResourceSpecifier,
    ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, config::FromClientConfigAndContext as _};

use super::clients::{self, Said};
use super::error::{self, CREATE, is_denied};
use super::limits::{KAFKA_DEFAULT, TopicLimits};
use super::patience::{Patience, SLICE};
use super::produced::keyless;
use super::{Error, Names};
use crate::config::{ClusterConfig, is_compacted};
use crate::sink::Refusal;

/// Last words of the names of an instance's own topics.
pub(super) const POSITIONS: &str = "positions";
pub(super) const SCHEMA: &str = "schema";
pub(super) const XA: &str = "xa";
pub(super) const SNAPSHOT: &str = "snapshot";
/// That of the topic whose only partition the active process has; it has no records.
pub(super) const LOCK: &str = "lock";
/// That of the topic of letters.
pub(super) const LETTERS: &str = "parked";
/// How long the cluster may take for a question.
const LIMIT: Duration = Duration::from_secs(30);
/// How long until a cluster is said not to answer at all.
const REACHED: Duration = Duration::from_secs(10);
/// As often the settings of an internal topic are asked for again, and the pause between.
const MOST_ASKED: u32 = 10;
const BETWEEN_ASKED: Duration = Duration::from_millis(300);
/// How long one list of all topics may take: of many, from far away.
const LONGEST_LIST: Duration = Duration::from_secs(8);
/// Kafka's own default of transaction.max.timeout.ms.
const KAFKA_LONGEST: Duration = Duration::from_mins(15);

/// Settings of internal topics. Small segments are compacted soon, so that a start reads little.
const INTERNAL: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "16777216"),
    ("min.cleanable.dirty.ratio", "0.1"),
    ("max.message.bytes", "31457280"),
];
/// Settings of the topic of letters. Nobody else has these: they stay until they are published
/// after all, or dropped.
const OF_LETTERS: [(&str, &str); 3] =
    [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];

/// See the head of this file.
pub(super) struct Topics {
    admin: Arc<AdminClient<Said>>,
    config: Arc<ClusterConfig>,
    limits: Arc<TopicLimits>,
    letters: Arc<str>,
    snapshot: Arc<str>,
    patience: Patience,
    /// The partitions of each topic of the cluster.
    there: HashMap<String, i32>,
    /// The change topics that were used since the sink is open: their names there.
    used: HashMap<Arc<str>, Arc<str>>,
    /// The longest that the cluster lets a transaction be open.
    pub(super) longest_transaction: Duration,
}

/// All topics that an instance has for itself, with the settings that they are made with.
pub(super) fn internal(names: &Names) -> Vec<(String, Vec<(String, String)>)> {
    let with = |what, settings: &[(&str, &str)]| {
        (names.topic(what).to_string(), settings.iter().copied().map(owned).collect())
    };
    vec![
        with(POSITIONS, &INTERNAL),
        with(SCHEMA, &INTERNAL),
        with(XA, &INTERNAL),
        with(LOCK, &INTERNAL),
        with(LETTERS, &OF_LETTERS),
    ]
}

/// An internal topic that is as it has to be.
pub(super) type Internal = Arc<str>;

/// What a cluster, and topics of it, are set to; those that may not be asked about are left out.
#[derive(Default)]
struct Described {
    broker: HashMap<String, String>,
    topics: HashMap<String, HashMap<String, String>>,
}

impl Topics {
    /// Lists the topics of the cluster, makes those of the `internal` ones that are missing, and
    /// asks what they and the cluster are set to: in one question, since who opens is waited for.
    pub(super) async fn open(
        config: &Arc<ClusterConfig>,
        names: &Names,
        limits: &Arc<TopicLimits>,
        patience: Patience,
        internal: &[Internal],
    ) -> Result<Self, Error> {
        let settings = clients::admin(config, names);
        let admin = AdminClient::from_config_and_context(&settings, Said::default());
        let admin =
            admin.map_err(|error| Error::Failed(format!("make an administrator: {error}")))?;
        let mut topics = Self {
            admin: Arc::new(admin),
            config: Arc::clone(config),
            limits: Arc::clone(limits),
            letters: names.topic(LETTERS),
            snapshot: names.topic(SNAPSHOT),
            patience,
            there: HashMap::new(),
            used: HashMap::new(),
            longest_transaction: KAFKA_LONGEST,
        };
        let broker = topics.list()?;
        for name in internal {
            // Those of letters and of copies are made with their first record: most instances have
            // none.
            let comes_later = *name == topics.letters || *name == topics.snapshot;
            if !comes_later && !topics.has(name) {
                topics.make_internal(name).await?;
            }
        }
        let there = internal.iter().filter(|name| topics.has(name)).cloned().collect::<Vec<_>>();
        let set = topics.must_keep(broker, &there).await?;
        let number = |name: &str| set.get(name).and_then(|value| value.parse::<u64>().ok());
        // Where the cluster does not say, what the user has written is thought to be right.
        let written = config.producer.get("transaction.timeout.ms");
        let written = written.and_then(|millis| millis.parse().ok());
        if let Some(longest) = number("transaction.max.timeout.ms").or(written) {
            topics.longest_transaction = Duration::from_millis(longest);
        }
        let largest = number("message.max.bytes").and_then(|bytes| usize::try_from(bytes).ok());
        limits.begin(Arc::clone(&topics.admin), largest.unwrap_or(KAFKA_DEFAULT));
        Ok(topics)
    }

    /// Makes an internal topic that is there from its first record on.
    pub(super) async fn internal(&mut self, name: Internal) -> Result<Internal, Error> {
        if !self.has(&name) {
            self.make_internal(&name).await?;
        }
        let broker = self.list()?;
        self.must_keep(broker, std::slice::from_ref(&name)).await?;
        Ok(name)
    }

    async fn make_internal(&mut self, name: &str) -> Result<(), Error> {
        match self.make(name, 1, &INTERNAL.map(owned)).await {
            Err(Error::Refused { topic, reason: Refusal::Name(_) }) => {
                Err(Error::Unserved(format!(
                    "the cluster takes no topic {topic}, whose name has sluice.group and the name \
                     of the instance in it: rename one of them, with letters, digits, -, _ and . \
                     only, so that the topic's name has 249 at most, and is none that is there but \
                     for . and _"
                )))
            }
            made => made,
        }
    }

    /// Nobody else has what internal topics hold: it must not go by itself. What the broker is set
    /// to.
    async fn must_keep(
        &self,
        broker: i32,
        names: &[Internal],
    ) -> Result<HashMap<String, String>, Error> {
        for name in names {
            let partitions = self.there.get(&**name).copied().unwrap_or(1);
            if partitions != 1 {
                let text = format!("it has {partitions} partitions, and has to have one");
                let reason = Refusal::Internal(text);
                return Err(Error::Refused { topic: name.to_string(), reason });
            }
        }
        // A broker that has not heard of a new topic says as little as one that may not.
        let mut tries = 0;
        loop {
            let Described { broker, topics } = self.settings(broker, names).await?;
            let Some(unseen) = names.iter().find(|name| !topics.contains_key(&***name)) else {
                for (name, set) in &topics {
                    self.must_be_kept(name, set)?;
                }
                return Ok(broker);
            };
            if tries == MOST_ASKED {
                let reason = Refusal::Unauthorized("DESCRIBE_CONFIGS");
                return Err(Error::Refused { topic: unseen.to_string(), reason });
            }
            tries += 1;
            tokio::time::sleep(BETWEEN_ASKED).await;
        }
    }

    fn must_be_kept(&self, name: &str, set: &HashMap<String, String>) -> Result<(), Error> {
        let wanted = if *name == *self.letters { &OF_LETTERS[..] } else { &INTERNAL[..1] };
        for (key, value) in wanted {
            // One that is not said is none of that cluster's.
            if let Some(other) = set.get(*key).filter(|other| other != value) {
                let reason = Refusal::Internal(format!(
                    "its {key} is {other}, and has to be {value}, or it loses what nobody else has"
                ));
                return Err(Error::Refused { topic: name.to_owned(), reason });
            }
        }
        Ok(())
    }

    /// The partitions of those of `names` that are there, by the names that they have there.
    pub(super) fn partitions_of(&self, names: &[Arc<str>]) -> Vec<(Arc<str>, i32)> {
        let mut found = Vec::new();
        for name in names {
            let other: Arc<str> = other_name(name).into();
            for name in [name, &other] {
                let count = self.there.get(&**name).copied().unwrap_or_default();
                found.extend((0..count).map(|partition| (Arc::clone(name), partition)));
            }
        }
        found
    }

    /// Those of `names` that are there: the name, the name there, its partitions.
    pub(super) fn found(&self, names: &[Arc<str>]) -> Vec<(Arc<str>, Arc<str>, i32)> {
        let found = names.iter().filter_map(|name| {
            let other: Arc<str> = other_name(name).into();
            let there = [name, &other].into_iter().find(|one| self.has(one))?;
            let partitions = self.there.get(&**there).copied()?;
            Some((Arc::clone(name), Arc::clone(there), partitions))
        });
        found.collect()
    }

    /// The name in the cluster of a topic of changes or letters with so many partitions or more;
    /// how large its batches may be, if it was not used before.
    pub(super) async fn change_topic(
        &mut self,
        name: &Arc<str>,
        partitions: i32,
    ) -> Result<(Arc<str>, Option<usize>), Error> {
        let enough = |there: &HashMap<String, i32>, name: &str| {
            there.get(name).is_some_and(|count| *count >= partitions)
        };
        if let Some(used) = self.used.get(name)
            && enough(&self.there, used)
        {
            return Ok((Arc::clone(used), None));
        }
        let found = self.find_or_make(name, partitions).await?;
        if !enough(&self.there, &found) {
            self.grow(&found, partitions).await?;
        }
        let (limit, policy) = self.limits.learn_all(&self.admin, &found).await;
        if policy.is_some_and(|policy| is_compacted(&policy)) {
            return Err(Error::Refused { topic: found.to_string(), reason: keyless() });
        }
        self.used.insert(Arc::clone(name), Arc::clone(&found));
        Ok((found, Some(limit)))
    }

    /// Whether this is the topic of letters.
    pub(super) fn are_letters(&self, name: &str) -> bool {
        *self.letters == *name
    }

    /// Whether there is such a topic.
    pub(super) fn has(&self, name: &str) -> bool {
        self.there.contains_key(name)
    }

    /// Removes all records of a topic of one partition; false where we have no right to.
    pub(super) async fn remove_records(&self, name: &str) -> Result<bool, Error> {
        let failed = |error: KafkaError| Error::Failed(format!("empty topic {name}: {error}"));
        let mut ends = TopicPartitionList::new();
        ends.add_partition_offset(name, 0, Offset::End).map_err(failed)?;
        let removed = match self.admin.delete_records(&ends, &options()).await {
            Ok(removed) => removed,
            Err(error) if is_denied(&error) => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        for partition in removed.elements() {
            match partition.error() {
                Ok(()) => {}
                Err(error) if is_denied(&error) => return Ok(false),
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(true)
    }

    async fn find_or_make(&mut self, name: &Arc<str>, partitions: i32) -> Result<Arc<str>, Error> {
        let other: Arc<str> = other_name(name).into();
        for known in [name, &other] {
            if self.has(known) {
                return Ok(Arc::clone(known));
            }
        }
        let of_letters = *name == self.letters;
        let settings =
            if of_letters { OF_LETTERS.map(owned).to_vec() } else { self.config.topic.clone() };
        let asked = if of_letters { 1 } else { self.config.partitions.unwrap_or(1) };
        let may_collide = self.there.keys().any(|there| collide(there, name));
        let name = if may_collide {
            tracing::warn!(
                topic = &**name,
                other = &*other,
                "the cluster has a topic whose name \
                differs by . and _ only, which Kafka does not allow: using another name"
            );
            other
        } else {
            Arc::clone(name)
        };
        match self.make(&name, partitions.max(asked), &settings).await {
            // Of what is there since our list, one may forbid the name.
            Err(Error::Refused { reason: Refusal::Name(_), .. })
                if !may_collide && self.is_forbidden_now(&name)? =>
            {
                return Box::pin(self.find_or_make(&name, partitions)).await;
            }
            made => made?,
        }
        Ok(name)
    }

    /// Lists the topics anew; whether one of them has a name that forbids `name`.
    fn is_forbidden_now(&mut self, name: &str) -> Result<bool, Error> {
        self.list()?;
        Ok(self.there.keys().any(|there| collide(there, name)))
    }

    async fn make(
        &mut self,
        name: &str,
        partitions: i32,
        settings: &[(String, String)],
    ) -> Result<(), Error> {
        let replication = self.config.replication.map_or(-1, i32::from);
        let mut new = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
        for (key, value) in settings {
            new = new.set(key, value);
        }
        match answer(self.admin.create_topics([&new], &options()).await) {
            Ok(()) => {
                tracing::info!(topic = name, partitions, "topic made in the Kafka cluster");
                self.there.insert(name.to_owned(), partitions);
                Ok(())
            }
            // Somebody else has made it since; or it is there, and we may not see it.
            Err(Ok(Code::TopicAlreadyExists)) => {
                self.list()?;
                if self.has(name) {
                    return Ok(());
                }
                let reason = Refusal::Unauthorized("WRITE");
                Err(Error::Refused { topic: name.to_owned(), reason })
            }
            Err(Ok(code)) => Err(error::of_topic(name, CREATE, code)),
            Err(Err(error)) => Err(Error::Failed(format!("make topic {name}: {error}"))),
        }
    }

    async fn grow(&mut self, name: &str, partitions: i32) -> Result<(), Error> {
        let count = usize::try_from(partitions).unwrap_or(1);
        let wanted = NewPartitions::new(name, count);
        match answer(self.admin.create_partitions([&wanted], &options()).await) {
            Ok(()) => {
                tracing::info!(topic = name, partitions, "topic grown in the Kafka cluster");
                self.there.insert(name.to_owned(), partitions);
                Ok(())
            }
            // Somebody else has grown it since.
            Err(Ok(Code::InvalidPartitions)) => self.list().map(drop),
            Err(Ok(code)) => Err(error::of_topic(name, "grow", code)),
            Err(Err(error)) => Err(Error::Failed(format!("grow topic {name}: {error}"))),
        }
    }

    /// Lists the topics anew; a broker that answers.
    fn list(&mut self) -> Result<i32, Error> {
        let last = std::cell::RefCell::new(None);
        let what = || {
            let last = last.borrow();
            let reason = last.as_ref().map(|error: &KafkaError| format!(" ({error})"));
            let servers = &self.config.bootstrap;
            format!("the list of topics, of {servers}{}", reason.unwrap_or_default())
        };
        let client = self.admin.inner();
        // An answer that comes too late is thrown away, and asked for whole again: each time it is
        // given longer.
        let mut slice = SLICE;
        let listed =
            self.patience.wait(REACHED, what, || match client.fetch_metadata(None, slice) {
                Ok(listed) => Ok(Some(listed)),
                Err(error) => {
                    *last.borrow_mut() = Some(error);
                    slice = LONGEST_LIST.min(slice * 2);
                    Ok(None)
                }
            })?;
        self.there = listed
            .topics()
            .iter()
            .map(|topic| {
                let partitions = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
                (topic.name().to_owned(), partitions)
            })
            .collect();
        // The one that was asked, if it is known by then who that is.
        let asked = Some(listed.orig_broker_id()).filter(|id| *id >= 0);
        let any = || listed.brokers().first().map(rdkafka::metadata::MetadataBroker::id);
        Ok(asked.or_else(any).unwrap_or_default())
    }

    /// What a broker and topics are set to, as far as we may ask.
    async fn settings(&self, broker: i32, topics: &[Internal]) -> Result<Described, Error> {
        let failed =
            |reason: String| Error::Failed(format!("ask what a cluster is set to: {reason}"));
        let mut asked = vec![ResourceSpecifier::Broker(broker)];
        asked.extend(topics.iter().map(|name| ResourceSpecifier::Topic(name)));
        let answered = self.admin.describe_configs(&asked, &options()).await;
        let mut described = Described::default();
        for one in answered.map_err(|error| failed(error.to_string()))? {
            let ConfigResource { specifier, entries } = match one {
                Ok(one) => one,
                Err(Code::ClusterAuthorizationFailed | Code::TopicAuthorizationFailed) => continue,
                Err(code) => return Err(failed(code.to_string())),
            };
            // rdkafka 0.39 does not look at the error of a resource, which has no settings then
            // (`admin.rs`, `DescribeConfigsFuture`).
            if entries.is_empty() {
                continue;
            }
            let set = entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?)));
            match specifier {
                OwnedResourceSpecifier::Broker(_) => described.broker = set.collect(),
                OwnedResourceSpecifier::Topic(name) => {
                    described.topics.insert(name, set.collect());
                }
                OwnedResourceSpecifier::Group(_) => {}
            }
        }
        Ok(described)
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(LIMIT)).operation_timeout(Some(LIMIT))
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

/// The answer about the one topic that was asked for.
fn answer(answers: Result<Vec<TopicResult>, KafkaError>) -> Result<(), Result<Code, KafkaError>> {
    for answer in answers.map_err(Err)? {
        answer.map_err(|(_, code)| Ok(code))?;
    }
    Ok(())
}

/// Whether Kafka allows only one of two topics (`Topic.hasCollision`).
fn collide(one: &str, other: &str) -> bool {
    one != other && one.replace('.', "_") == other.replace('.', "_")
}

/// What a topic is called whose own name another one forbids. Names have 249 letters at most.
fn other_name(name: &str) -> String {
    const MOST: usize = 249 - "-12345678".len();
    let hash = openssl::sha::sha256(name.as_bytes());
    let mut other: String = name.chars().take(MOST).collect();
    other.push('-');
    for byte in &hash[..4] {
        let _ = write!(other, "{byte:02x}");
    }
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_by_dots_and_underscores_only_collide() {
        for (one, other, expected) in [
            ("a.b", "a_b", true),
            ("a_b.c", "a.b_c", true),
            ("a.b", "a.b", false),
            ("a.b", "a-b", false),
            ("a.b", "a.bc", false),
        ] {
            assert_eq!(collide(one, other), expected, "{one} {other}");
            assert_eq!(collide(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn the_other_name_is_chosen_by_the_name_alone() {
        // printf 'a.b' | sha256sum
        assert_eq!(other_name("a.b"), "a.b-2e7336dc");
        assert_ne!(other_name("a_b"), other_name("a.b"));
        assert_eq!(other_name(&"x".repeat(249)).len(), 249);
    }
}
