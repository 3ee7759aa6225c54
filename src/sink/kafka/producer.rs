//! The producer of an instance, transactional unless the cluster has no transactions.
//!
//! In: records, and where a transaction ends. Out: that all of them are committed, or an error,
//! behind which the producer is thrown away.
//!
//! Always: what is on its way is bounded by the client library's queue, and a full one is waited
//! for by what it delivers. A commit that nobody has answered is asked for again: the cluster
//! carries it out once. What is open when the producer is dropped is rolled back then, so that
//! readers do not wait for the cluster to do it. Without transactions what was sent stays sent:
//! what comes last is then sent when all before it is there ([`Producer::before_position`]), so
//! that a crash repeats something and loses nothing.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use tokio::time::Instant;

use super::clients::Said;
use super::error::{self, Outcome};
use super::limits::TopicLimits;
use super::patience::{Patience, SLICE};
use super::produced::{self, Verdict};
use crate::sink::{Error, Refusal};

/// How long the cluster may take to make this producer the owner.
const INIT: Duration = Duration::from_mins(1);
/// How long a topic may take to get the partitions that it has been given.
const GROWING: Duration = Duration::from_secs(30);
/// How long the cluster may take to roll back what a producer leaves.
const LEAVING: Duration = Duration::from_secs(3);
/// How long the library may take to say which topic it may not write.
const NAMING: Duration = Duration::from_secs(2);

/// See the head of this file.
pub(super) struct Producer {
    inner: ThreadedProducer<Deliveries>,
    patience: Patience,
    guarantee: Guarantee,
    limits: Arc<TopicLimits>,
    /// The cluster rolls back a transaction that is open for longer.
    timeout: Duration,
    /// When the open transaction was begun.
    begun: Option<Instant>,
}

/// How often a record is there behind a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guarantee {
    ExactlyOnce,
    AtLeastOnce,
}

/// Why a transaction is open for longer than is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// It takes that long to send.
    Slow,
    /// The cluster took nothing for most of the time, in one piece: it was away.
    Stalled,
}

/// A record of a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
}

impl Producer {
    /// Makes a producer that fences the former ones of its transactional id. `watched` is the
    /// topic whose end is to be known ([`Producer::end_of_watched`]).
    pub(super) fn open(
        config: &ClientConfig,
        guarantee: Guarantee,
        timeout: Duration,
        watched: &Arc<str>,
        limits: &Arc<TopicLimits>,
        patience: Patience,
    ) -> Result<Self, Error> {
        let made = config.create_with_context(Deliveries::of(watched));
        let inner: ThreadedProducer<_> =
            made.map_err(|error| Error::Failed(format!("make a producer: {error}")))?;
        let limits = Arc::clone(limits);
        let new = Self { inner, patience, guarantee, limits, timeout, begun: None };
        // A client that has no connection yet to a broker it was told of looks for its coordinator
        // half a second later (librdkafka 2.12, `rd_kafka_txn_coord_query`); asking the leader of a
        // topic makes one.
        let _ = new.inner.client().fetch_watermarks(watched, 0, SLICE);
        new.in_transaction(INIT, "become the owner of the instance", || {
            new.inner.init_transactions(SLICE)
        })?;
        Ok(new)
    }

    /// Why the open transaction is open for longer than is safe, if it is.
    pub(super) fn is_late(&self) -> Option<Late> {
        let open = match self.guarantee {
            Guarantee::ExactlyOnce => self.begun?.elapsed(),
            Guarantee::AtLeastOnce => return None,
        };
        if open <= self.limit() {
            return None;
        }
        let was_away = self.inner.context().state().stalled() > self.limit() / 2;
        Some(if was_away { Late::Stalled } else { Late::Slow })
    }

    /// How long the cluster lets its transactions be open.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether nothing was sent since the last commit.
    pub(super) fn is_idle(&self) -> bool {
        self.begun.is_none()
    }

    /// When a transaction has to be through, to be safe.
    pub(super) fn limit(&self) -> Duration {
        self.timeout * 4 / 5
    }

    /// Nothing that is sent from now on lies before this offset of the watched topic.
    pub(super) fn end_of_watched(&self) -> i64 {
        self.inner.context().state().end
    }

    /// The watched topic ends there.
    pub(super) fn watched_ends(&self, end: i64) {
        self.inner.context().state().end = end;
    }

    /// Sends a record in the open transaction, which the first one begins.
    pub(super) fn send<'h>(
        &mut self,
        record: Record<'_>,
        headers: impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    ) -> Result<(), Error> {
        self.begin()?;
        let Record { topic, partition, key, value } = record;
        let mut wanted = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
        wanted.key = key;
        wanted.payload = value;
        let mut all = OwnedHeaders::new();
        let mut any = false;
        for (name, value) in headers {
            let key = std::str::from_utf8(name).unwrap_or_default();
            all = all.insert(Header { key, value });
            any = true;
        }
        if any {
            wanted = wanted.headers(all);
        }
        self.hand_over(wanted)
    }

    /// The position comes next: it may not be there before all that it is behind.
    pub(super) fn before_position(&mut self) -> Result<(), Error> {
        match self.guarantee {
            Guarantee::ExactlyOnce => Ok(()),
            Guarantee::AtLeastOnce => self.deliver_all(),
        }
    }

    /// Commits the open transaction; an empty one is none.
    pub(super) fn commit(&mut self) -> Result<(), Error> {
        if self.begun.is_none() {
            return Ok(());
        }
        self.deliver_all()?;
        self.in_transaction(self.timeout, "whether the last transaction is committed", || {
            self.inner.commit_transaction(SLICE)
        })?;
        self.begun = None;
        Ok(())
    }

    /// Rolls the open transaction back.
    pub(super) fn abort(&mut self) -> Result<(), Error> {
        if self.begun.take().is_none() {
            return Ok(());
        }
        self.in_transaction(self.timeout, "roll a transaction back", || {
            self.inner.abort_transaction(SLICE)
        })?;
        self.inner.context().state().begin();
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Error> {
        if self.begun.is_none() {
            self.in_transaction(SLICE, "begin a transaction", || self.inner.begin_transaction())?;
            self.inner.context().state().begin();
            self.begun = Some(Instant::now());
        }
        Ok(())
    }

    /// Waits until the library takes the record: while its queue is full, and while it does not
    /// know of a partition that was added.
    fn hand_over(&self, record: BaseRecord<'_, [u8], [u8]>) -> Result<(), Error> {
        let (topic, partition) = (record.topic, record.partition);
        let size = record.payload.map_or(0, <[u8]>::len);
        let deliveries = self.inner.context();
        let mut wanted = Some(record);
        let number = partition.unwrap_or_default();
        let what = || {
            deliveries.with_reason(&format!("take a record of topic {topic}, partition {number}"))
        };
        let mut try_once = || -> Result<Option<()>, Error> {
            if let Some(failure) = self.failure() {
                return Err(failure);
            }
            let Some(record) = wanted.take() else { return Ok(Some(())) };
            deliveries.state().sent();
            let Err((error, back)) = self.inner.send(record) else { return Ok(Some(())) };
            deliveries.state().outstanding -= 1;
            wanted = Some(back);
            match error {
                KafkaError::MessageProduction(Code::QueueFull) => {
                    deliveries.wait_for_one();
                    Ok(None)
                }
                KafkaError::MessageProduction(Code::UnknownPartition | Code::UnknownTopic) => {
                    // An answer about the topic brings what the library knows up to date.
                    let _ = self.inner.client().fetch_metadata(Some(topic), SLICE);
                    Ok(None)
                }
                KafkaError::MessageProduction(code) => Err(match produced::verdict(code) {
                    Verdict::TooLarge => self.limits.refused(topic, size),
                    Verdict::Dropped => self.transaction_error(),
                    Verdict::Fenced
                    | Verdict::Late
                    | Verdict::Again
                    | Verdict::Never(_)
                    | Verdict::Unheard => {
                        produced::error(topic, code, deliveries.said.last().as_deref())
                    }
                }),
                other => Err(Error::Failed(format!("topic {topic}: {other}"))),
            }
        };
        // Most are taken at once.
        match try_once()? {
            Some(()) => Ok(()),
            None => self.patience.wait(self.timeout.max(GROWING), what, try_once),
        }
    }

    /// Why a record failed, if one has.
    fn failure(&self) -> Option<Error> {
        let deliveries = self.inner.context();
        let failure = {
            let mut state = deliveries.state();
            match state.failure.clone() {
                // Nothing is asked of the cluster twice.
                Some(Failure::Known(error)) => return Some(error),
                Some(failure) => failure,
                None if state.dropped && self.begun.is_some() => Failure::Dropped,
                None => {
                    state.dropped = false;
                    return None;
                }
            }
        };
        let error = match failure {
            Failure::Known(error) => error,
            // It is said with what keeps the cluster from it, as far as it says so.
            Failure::Late { topic, partition } => {
                let why = self.why_late(&topic, partition);
                Error::Failed(format!(
                    "topic {topic}, partition {partition}, takes no records: {why}"
                ))
            }
            Failure::TooLarge { topic, size } => self.limits.refused(&topic, size),
            Failure::Dropped => self.transaction_error(),
        };
        deliveries.state().failure = Some(Failure::Known(error.clone()));
        Some(error)
    }

    /// Why the open transaction can be rolled back only: what the library says to one who begins
    /// another, which changes nothing (librdkafka, `rd_kafka_txn_require_states0`).
    fn transaction_error(&self) -> Error {
        let what = "send the records of a transaction";
        match self.inner.begin_transaction() {
            Err(error) => self
                .error_of_call(what, &error)
                .unwrap_or_else(|| Error::Failed(format!("{what}: {error}"))),
            Ok(()) => Error::Failed(format!("{what}: they were dropped")),
        }
    }

    /// None if nobody knows yet what became of the call.
    fn error_of_call(&self, what: &str, error: &KafkaError) -> Option<Error> {
        if let KafkaError::Transaction(error) = error
            && error.code() == Code::TopicAuthorizationFailed
        {
            return Some(self.denied());
        }
        let said = self.inner.context().said.last();
        match error::of_transaction(what, error, said.as_deref()) {
            Outcome::Unknown => None,
            Outcome::Failed(error) => Some(error),
        }
    }

    /// A topic that may not be written cannot be added to a transaction. The error of the
    /// transaction does not say which that is; a line of the library's log does.
    fn denied(&self) -> Error {
        let deliveries = self.inner.context();
        let begun = Instant::now();
        loop {
            if let Some(topic) = deliveries.state().denied.take() {
                return Error::Refused { topic, reason: Refusal::Unauthorized("WRITE") };
            }
            if begun.elapsed() > NAMING {
                return Error::Unauthorized(
                    "no right to WRITE one of the topics of a transaction: `bin/sluice check` \
                     names it; allow it (kafka-acls.sh)"
                        .to_owned(),
                );
            }
            deliveries.wait_for_one();
        }
    }

    fn why_late(&self, topic: &str, partition: i32) -> String {
        let client = self.inner.client();
        let Ok(metadata) = client.fetch_metadata(Some(topic), SLICE) else {
            return "no broker answers".to_owned();
        };
        let mut partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        match partitions.find(|one| one.id() == partition) {
            None => "it is not there".to_owned(),
            Some(one) if one.leader() < 0 => "it has no leader".to_owned(),
            Some(one) => format!(
                "{} of its {} copies are in sync; its min.insync.replicas may ask for more",
                one.isr().len(),
                one.replicas().len()
            ),
        }
    }

    /// Waits until all that was sent is in the cluster. The library's own flush looks every
    /// tenth of a second only (rdkafka 0.39, `BaseProducer::flush`), so it is left nothing to do.
    fn deliver_all(&self) -> Result<(), Error> {
        let deliveries = self.inner.context();
        let what = || deliveries.with_reason("take the records of a transaction");
        let delivered = || {
            if let Some(failure) = self.failure() {
                return Err(failure);
            }
            Ok(deliveries.are_all_there().then_some(()))
        };
        match delivered()? {
            Some(()) => {}
            // A record that is late is said to be so by then.
            None => self.patience.wait(self.timeout * 2, what, delivered)?,
        }
        // A moment passes between the report of a record and its being forgotten.
        while self.inner.in_flight_count() > 0 {
            std::thread::sleep(Duration::from_micros(50));
            if let Some(failure) = self.failure() {
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Makes a call for a transaction until its outcome is known; none where there are no
    /// transactions.
    fn in_transaction(
        &self,
        limit: Duration,
        what: &str,
        call: impl Fn() -> Result<(), KafkaError>,
    ) -> Result<(), Error> {
        if self.guarantee == Guarantee::AtLeastOnce {
            return Ok(());
        }
        let deliveries = self.inner.context();
        self.patience.wait(
            limit,
            || deliveries.with_reason(what),
            || {
                let Err(error) = call() else { return Ok(Some(())) };
                // Why a record failed says more than that the transaction has.
                if let Some(failure) = self.failure() {
                    return Err(failure);
                }
                self.error_of_call(what, &error).map_or(Ok(None), Err)
            },
        )
    }
}

impl Drop for Producer {
    /// Rolls back what is open, as far as the cluster does it in a moment. What is being committed
    /// is left as it is: the library refuses to roll it back.
    fn drop(&mut self) {
        let is_open = self.begun.take().is_some() && self.guarantee == Guarantee::ExactlyOnce;
        if !is_open || self.inner.client().fatal_error().is_some() {
            return;
        }
        let begun = Instant::now();
        while let Err(KafkaError::Transaction(error)) = self.inner.abort_transaction(SLICE)
            && error.is_retriable()
            && begun.elapsed() < LEAVING
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Hears what became of each record.
struct Deliveries {
    said: Said,
    watched: Arc<str>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Records on their way.
    outstanding: usize,
    /// What became of the first that failed.
    failure: Option<Failure>,
    /// Some were dropped, since their transaction has failed, or was rolled back.
    dropped: bool,
    /// A topic that may not be written, as the library's log says.
    denied: Option<String>,
    /// Since when the cluster has taken none of those on their way.
    waiting: Option<Instant>,
    /// How long it took none in this transaction, at most.
    stalled: Duration,
    /// Behind the last record of the watched topic.
    end: i64,
}

/// Why a record failed.
#[derive(Clone)]
enum Failure {
    Known(Error),
    /// Asked about when the next call fails.
    Late {
        topic: String,
        partition: i32,
    },
    TooLarge {
        topic: String,
        size: usize,
    },
    Dropped,
}

impl State {
    /// Another transaction begins.
    fn begin(&mut self) {
        self.failure = None;
        self.dropped = false;
        self.denied = None;
        self.stalled = Duration::ZERO;
    }

    fn sent(&mut self) {
        if self.outstanding == 0 {
            self.waiting = Some(Instant::now());
        }
        self.outstanding += 1;
    }

    fn reported(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
        let now = Instant::now();
        if let Some(since) = self.waiting.replace(now) {
            self.stalled = self.stalled.max(now - since);
        }
    }

    /// How long the cluster took nothing in this transaction at most, now included.
    fn stalled(&self) -> Duration {
        let now = self.waiting.filter(|_| self.outstanding > 0).map(|since| since.elapsed());
        self.stalled.max(now.unwrap_or_default())
    }
}

impl Deliveries {
    fn of(watched: &Arc<str>) -> Self {
        let (said, watched) = (Said::default(), Arc::clone(watched));
        Self { said, watched, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next delivery, a moment at most.
    fn wait_for_one(&self) {
        let waited = self.changed.wait_timeout(self.state(), SLICE);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until nothing is on its way, or something failed; a moment at most.
    fn are_all_there(&self) -> bool {
        let open =
            |state: &mut State| state.outstanding > 0 && state.failure.is_none() && !state.dropped;
        let waited = self.changed.wait_timeout_while(self.state(), SLICE, open);
        waited.unwrap_or_else(PoisonError::into_inner).0.outstanding == 0
    }

    fn with_reason(&self, what: &str) -> String {
        match self.said.last() {
            Some(said) => format!("{what} ({said})"),
            None => what.to_owned(),
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some(topic) = denied_topic(facility, message) {
            self.state().denied.get_or_insert_with(|| topic.to_owned());
            self.changed.notify_all();
        }
        self.said.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.said.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut state = self.state();
        state.reported();
        match result {
            Ok(message) if message.topic() == &*self.watched => {
                state.end = state.end.max(message.offset() + 1);
            }
            Ok(_) => {}
            Err((error, message)) => {
                let (topic, size) = (message.topic(), message.payload_len());
                let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
                let failure = || match produced::verdict(code) {
                    Verdict::Dropped => None,
                    Verdict::Late => Some(Failure::Late {
                        topic: topic.to_owned(),
                        partition: message.partition(),
                    }),
                    Verdict::TooLarge => Some(Failure::TooLarge { topic: topic.to_owned(), size }),
                    Verdict::Fenced | Verdict::Again | Verdict::Never(_) | Verdict::Unheard => {
                        let said = self.said.last();
                        Some(Failure::Known(produced::error(topic, code, said.as_deref())))
                    }
                };
                if state.failure.is_none() {
                    state.failure = failure();
                    state.dropped |= state.failure.is_none();
                }
            }
        }
        drop(state);
        self.changed.notify_all();
    }
}

/// The topic that a line of the library's log says may not be added to a transaction (librdkafka,
/// `rd_kafka_txn_handle_AddPartitionsToTxn`).
fn denied_topic<'a>(facility: &str, message: &'a str) -> Option<&'a str> {
    let (_, rest) = message.split_once("Failed to add partition \"")?;
    let (topic, rest) = rest.split_once('"')?;
    (facility == "ADDPARTS" && rest.contains("authorization failed")).then_some(topic)
}
