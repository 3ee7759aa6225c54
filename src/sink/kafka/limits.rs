//! What each topic of the cluster takes in one batch.
//!
//! In: names, on whatever thread. Out: bytes. A topic is asked for once while the sink is open;
//! until the cluster has said otherwise, one takes what it would be made with.
//!
//! Always: what a topic has refused is not sent to it again: where the cluster says nothing of it
//! that is new, half as much is tried, until what cannot be divided is too large.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};

use super::clients::{LARGEST_RECORD, Said};
use crate::config::ClusterConfig;
use crate::shutdown::Tasks;
use crate::sink::{Error, Refusal};

const SETTING: &str = "max.message.bytes";
/// Kafka's own default of message.max.bytes.
pub(super) const KAFKA_DEFAULT: usize = 1_048_588;
/// How long whoever makes records waits for the cluster to say how large they may be.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the head of this file.
#[derive(Debug)]
pub(super) struct TopicLimits {
    tasks: Tasks,
    /// What the producer takes.
    most: usize,
    /// What a topic is made with, if the user says it.
    made_with: Option<usize>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// None while the sink is not open.
    admin: Option<Arc<AdminClient<Said>>>,
    default: Option<usize>,
    topics: HashMap<String, usize>,
    /// What was thought of each that has refused something, and how much of it is tried since.
    refused: HashMap<String, Halved>,
}

/// A topic that takes less than it says, or says nothing.
#[derive(Clone, Copy)]
struct Halved {
    /// What was thought at first.
    thought: usize,
    /// What is tried.
    tried: usize,
}

/// A batch is larger than its one record by no more than this (61 bytes of the batch's head, and
/// what says how long the record's parts are).
const AROUND: usize = 100;

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("topics", &self.topics).finish_non_exhaustive()
    }
}

impl TopicLimits {
    pub(super) fn new(config: &ClusterConfig, tasks: Tasks) -> Self {
        let number = |text: &str| text.parse::<usize>().ok();
        let most = config.producer.get("message.max.bytes").and_then(number);
        let made_with = config.topic.iter().find(|(name, _)| name == SETTING);
        Self {
            tasks,
            most: most.unwrap_or(LARGEST_RECORD).min(LARGEST_RECORD),
            made_with: made_with.and_then(|(_, value)| number(value)),
            known: Mutex::default(),
        }
    }

    /// The sink is open: what was known may be so no more.
    pub(super) fn begin(&self, admin: Arc<AdminClient<Said>>, default: usize) {
        let mut known = self.known();
        known.admin = Some(admin);
        known.default = Some(default);
        known.topics.clear();
    }

    /// The topic has refused a batch with a record of `size` bytes: what to do.
    pub(super) fn refused(&self, topic: &str, size: usize) -> Error {
        let default = self.default();
        let mut known = self.known();
        let thought = known.topics.get(topic).copied().unwrap_or(default);
        let halved = known.refused.get(topic).copied();
        let first = halved.map_or(thought, |halved| halved.thought);
        let tried = thought.min(halved.map_or(usize::MAX, |halved| halved.tried)) / 2;
        known.refused.insert(topic.to_owned(), Halved { thought: first, tried });
        drop(known);
        if size + AROUND > thought {
            let reason = Refusal::TooLarge { size: size + AROUND, max: thought };
            return Error::Refused { topic: topic.to_owned(), reason };
        }
        Error::Failed(format!(
            "topic {topic} does not take a batch with a record of {size} bytes, and batches of \
             {thought} bytes were thought to be small enough: going on with smaller ones"
        ))
    }

    /// What is taken by a topic that says `said`, as far as it has not refused that.
    fn but_for_refused(&self, topic: &str, said: usize) -> usize {
        match self.known().refused.get(topic) {
            // It says something new.
            Some(halved) if said != halved.thought => said,
            Some(halved) => halved.tried,
            None => said,
        }
    }

    /// What `topic` takes in one batch, in bytes; waits for the cluster if it is not known yet.
    pub(super) fn of(self: &Arc<Self>, topic: &str) -> usize {
        let admin = {
            let known = self.known();
            if let Some(bytes) = known.topics.get(topic) {
                return *bytes;
            }
            known.admin.clone()
        };
        let Some(admin) = admin else { return self.default() };
        let (reply, answer) = mpsc::channel();
        let (limits, name) = (Arc::clone(self), topic.to_owned());
        self.tasks.spawn("ask what a topic takes", async move {
            let _ = reply.send(limits.learn(&admin, &name).await);
        });
        answer.recv_timeout(PATIENCE).unwrap_or_else(|_| self.default())
    }

    /// The least that a topic takes of those that were asked for while the sink is open.
    pub(super) fn smallest(&self) -> Option<usize> {
        let known = self.known();
        let tried = known.refused.iter().filter(|(topic, _)| !known.topics.contains_key(&**topic));
        let tried = tried.map(|(_, halved)| halved.tried);
        known.topics.values().copied().chain(tried).min()
    }

    /// Asks the cluster what a topic takes, and keeps it.
    pub(super) async fn learn(&self, admin: &AdminClient<Said>, topic: &str) -> usize {
        self.learn_all(admin, topic).await.0
    }

    /// The same; and its cleanup.policy, if we have the right to know it.
    pub(super) async fn learn_all(
        &self,
        admin: &AdminClient<Said>,
        topic: &str,
    ) -> (usize, Option<String>) {
        let resource = ResourceSpecifier::Topic(topic);
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let described = admin.describe_configs([&resource], &options).await;
        let described = described.ok().and_then(|all| all.into_iter().next()?.ok());
        let text = |name| described.as_ref().and_then(|topic| topic.get(name)?.value.clone());
        let bytes = text(SETTING).and_then(|value| value.parse().ok());
        let bytes = bytes.unwrap_or_else(|| self.default()).min(self.most);
        let bytes = self.but_for_refused(topic, bytes);
        self.known().topics.insert(topic.to_owned(), bytes);
        (bytes, text("cleanup.policy"))
    }

    /// What a topic takes that is not there.
    fn default(&self) -> usize {
        let default = self.known().default.unwrap_or(KAFKA_DEFAULT);
        self.made_with.unwrap_or(default).min(self.most)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
