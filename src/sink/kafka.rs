//! The sink into the user's own Kafka cluster: rows, state records and position in one Kafka
//! transaction.
//!
//! In: parts, a position, state records. Out: receipts. All calls of librdkafka block, so they
//! are made on a thread of their own, which has the producer ([`Owner`]); this file hands it the
//! verbs in order, and brings its answers back.
//!
//! ```text
//! instance's thread        this file           owner's thread
//! append(part)      ──▶  order, 4 at most ──▶  begin if need be, produce each record
//! commit(position)  ──▶  order            ──▶  state, position; commit; again if ambiguous
//!          receipt  ◀──  answer           ◀──
//! ```
//!
//! Always: one Kafka transaction carries whole source transactions with their position, so that
//! what `read_committed` consumers see and where a restart begins never disagree. After an error
//! nothing is done until the sink is opened again: then a new producer fences the old one, whose
//! open transaction the cluster rolls back, and the position is read from the cluster. So whatever
//! is not known of a commit is known then.

mod clients;
mod error;
mod limits;
mod lock;
mod member;
mod owner;
mod patience;
mod process;
mod produced;
mod producer;
mod reader;
mod session;
mod topics;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use self::limits::TopicLimits;
pub use self::lock::Lock;
use self::owner::{Closing as OwnedClosing, Order, Owner};
use super::{
    Closing, Committed, Error, HeldPieces, HeldPlace, Letters, Limits, Lost, Newest, Pace, Part,
    RaisedBy, Receipt, Sink, TopicEnd, Turn, Waiting, Waits,
};
use crate::change::{Position, StateRecord, Xid};
use crate::config::ClusterConfig;
use crate::log::internal_topic_name;
use crate::shutdown::Tasks;

/// Orders that wait for the owner: parts of about a MiB each, most of the time.
const MOST_ORDERS: usize = 4;
/// State records on their way from the owner's thread.
const MOST_RECORDS: usize = 64;

/// See the head of this file.
#[derive(Debug)]
pub struct Kafka {
    names: Names,
    config: Arc<ClusterConfig>,
    tasks: Tasks,
    limits: Arc<TopicLimits>,
    lock: Lock,
    /// That this process has, or had last.
    turn: Turn,
    /// For what its thread waits.
    waits: Waits,
    /// None before the sink is opened for the first time.
    orders: Option<mpsc::Sender<Order>>,
    /// Why the owner takes nothing any more, until it is opened again.
    failed: Failed,
}

/// What stopped the owner, for verbs that have no answer of their own.
#[derive(Clone, Debug, Default)]
struct Failed(Arc<Mutex<Option<Error>>>);

impl Failed {
    fn set(&self, error: Option<Error>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn get(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The names of what an instance has in the cluster.
#[derive(Clone, Debug)]
struct Names {
    instance: Arc<str>,
    group: Arc<str>,
}

impl Names {
    fn of(group: &str, instance: &str) -> Self {
        Self { instance: instance.into(), group: group.into() }
    }

    /// An internal topic.
    fn topic(&self, what: &str) -> Arc<str> {
        internal_topic_name(&self.group, &self.instance, what).into()
    }

    fn transactional_id(&self) -> String {
        let Self { instance, group } = self;
        format!("__{group}.{instance}")
    }
}

impl Kafka {
    /// A sink of `instance`, not yet open. Its thread is one of `tasks`; once these are cancelled
    /// it waits for the cluster only briefly.
    pub fn new(config: Arc<ClusterConfig>, instance: &str, lock: Lock, tasks: &Tasks) -> Self {
        let names = Names::of(&config.group, instance);
        let limits = Arc::new(TopicLimits::new(&config, tasks.clone()));
        let (tasks, failed) = (tasks.clone(), Failed::default());
        let (turn, waits) = (Turn::default(), Waits::default());
        Self { names, config, tasks, limits, lock, turn, waits, orders: None, failed }
    }

    /// What an instance fences others by.
    pub fn transactional_id(group: &str, instance: &str) -> String {
        Names::of(group, instance).transactional_id()
    }

    /// The group, and the topic, that decide which of several processes runs an instance.
    pub fn lock(group: &str, instance: &str) -> String {
        Names::of(group, instance).topic(topics::LOCK).to_string()
    }

    /// The topics that an instance has for itself, with the settings that they are made with.
    pub fn internal_topics(group: &str, instance: &str) -> Vec<(String, Vec<(String, String)>)> {
        topics::internal(&Names::of(group, instance))
    }

    /// The owner's inbox; its thread is started with the first order.
    fn orders(&mut self) -> Result<mpsc::Sender<Order>, Error> {
        if let Some(orders) = &self.orders {
            return Ok(orders.clone());
        }
        let (orders, inbox) = mpsc::channel(MOST_ORDERS);
        let Self { names, config, limits, lock, failed, waits, .. } = self;
        let owner = Owner::new(
            names.clone(),
            Arc::clone(config),
            Arc::clone(limits),
            failed.clone(),
            lock.clone(),
            self.tasks.clone(),
            waits.clone(),
        );
        // What it says is the instance's.
        let owner = owner.run(inbox).in_current_span();
        self.tasks.spawn_thread("kafka sink", owner).map_err(|error| {
            Error::Failed(format!("the system starts no thread for the Kafka sink: {error}"))
        })?;
        self.orders = Some(orders.clone());
        Ok(orders)
    }

    async fn order(&mut self, order: Order) -> Result<(), Error> {
        self.orders()?.send(order).await.map_err(|_| ended())
    }

    /// Has something done and waits for the answer.
    async fn ask<T>(
        &mut self,
        order: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Order,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.order(order(reply)).await?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// The owner's thread is gone, which a panic alone can do.
fn ended() -> Error {
    Error::Failed("the thread of the Kafka sink has ended".to_owned())
}

impl Sink for Kafka {
    async fn turn(&mut self, waiting: &mut (dyn FnMut(Waiting) + Send)) -> Result<Turn, Error> {
        if self.turn.over.is_cancelled() {
            // Whoever has it fences what is left of the session; nothing of it is kept.
            self.orders = None;
        }
        self.turn = self.lock.turn(waiting).await?;
        Ok(self.turn.clone())
    }

    fn gives_way_after(&self) -> Option<Duration> {
        Some(self.config.source_patience)
    }

    async fn give_way(&mut self, stands_by: bool) -> Result<(), Error> {
        self.orders = None;
        if stands_by {
            self.lock.give_way().await
        } else {
            self.lock.leave().await;
            Ok(())
        }
    }

    async fn open(
        &mut self,
        each: &mut (dyn FnMut(StateRecord) + Send),
    ) -> Result<Committed, Error> {
        let (records, mut read) = mpsc::channel(MOST_RECORDS);
        let (reply, answer) = oneshot::channel();
        self.order(Order::Open { records, turn: self.turn.clone(), reply }).await?;
        while let Some(record) = read.recv().await {
            each(record);
        }
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    fn limits(&self) -> Limits {
        let limits = Arc::clone(&self.limits);
        Limits::new(move |topic| limits.of(topic)).with_raised_by(RaisedBy::Cluster)
    }

    fn loses_both_together(&self) -> bool {
        false
    }

    async fn newest_of(&mut self, topics: Vec<Arc<str>>) -> Result<Option<Newest>, Error> {
        self.ask(|reply| Order::Newest { topics, reply }).await
    }

    fn waits(&self) -> Waits {
        self.waits.clone()
    }

    fn pace(&self) -> Pace {
        Pace::CLUSTER
    }

    async fn append(&mut self, part: Part) -> Result<(), Error> {
        if let Some(error) = self.failed.get() {
            return Err(error);
        }
        self.order(Order::Append(part)).await
    }

    async fn append_state(&mut self, record: StateRecord) -> Result<(), Error> {
        if let Some(error) = self.failed.get() {
            return Err(error);
        }
        self.order(Order::State(record)).await
    }

    async fn read_held(&mut self, xid: &Xid, place: HeldPlace) -> Result<HeldPieces, Error> {
        let xid = xid.clone();
        self.ask(|reply| Order::ReadHeld { xid, place, reply }).await
    }

    async fn topic_ends(&mut self, names: Vec<Arc<str>>) -> Result<Vec<TopicEnd>, Error> {
        self.ask(|reply| Order::TopicEnds { names, reply }).await
    }

    async fn publish_held(&mut self, xid: &Xid, closing: &Closing<'_>) -> Result<Bytes, Error> {
        let (xid, closing) = (xid.clone(), OwnedClosing::of(closing));
        self.ask(|reply| Order::Publish { xid, closing, reply }).await
    }

    async fn append_loss_notices(&mut self, _: &Lost) -> Result<Vec<String>, Error> {
        Err(Error::Unserved(
            "going on behind a loss of the source (position accept-loss, \
             sluice.failover.lost=accept) is not there with a Kafka cluster as the log"
                .to_owned(),
        ))
    }

    async fn commit(
        &mut self,
        position: &Position,
        state: Vec<StateRecord>,
    ) -> Result<Receipt, Error> {
        let (reply, answer) = oneshot::channel();
        let position = position.clone();
        self.order(Order::Commit { position, state, reply }).await?;
        Ok(Box::pin(async move { answer.await.unwrap_or_else(|_| Err(ended())) }))
    }

    async fn abort(&mut self) -> Result<(), Error> {
        self.ask(|reply| Order::Abort { reply }).await
    }

    fn letters(&self) -> Arc<str> {
        self.names.topic(topics::LETTERS)
    }

    async fn read_letters(&mut self, offset: i64) -> Result<Letters, Error> {
        self.ask(|reply| Order::ReadLetters { offset, reply }).await
    }

    async fn remove_letters(&mut self) -> Result<(), Error> {
        self.ask(|reply| Order::RemoveLetters { reply }).await
    }
}
