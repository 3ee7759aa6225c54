//! What has the producer of an instance, on a thread of its own, and does what is ordered.
//!
//! In: [`Order`]s. Out: answers; for parts none, their errors come with the commit. All calls
//! block.
//!
//! Opening:
//!
//! ```text
//! the lock confirmed
//!   ─▶ topics listed, internal ones made
//!     ─▶ producer made: a former one is fenced, its open transaction rolled back
//!       ─▶ positions, schema, held branches read to their ends, side by side
//!         ─▶ "this process owns the instance" committed
//! ```
//!
//! Always: what is published follows what was committed last, whoever has committed it: behind each
//! new producer that is read from the cluster, or nobody else has opened the instance since.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::message::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinError;

use super::limits::TopicLimits;
use super::lock::Lock;
use super::patience::Patience;
use super::process::Process;
use super::producer::{Guarantee, Late, Producer};
use super::reader::{self, Reader};
use super::session::{
    InternalTopics, OWNER_KEY, Published, Session, Stored, find_branches, letter_record, send_part,
    send_records, stored,
};
use super::topics::Topics;
use super::{Error, Failed, Names, clients, topics};
use crate::change::{Position, StateRecord, StateTopic, Xid};
use crate::config::ClusterConfig;
use crate::shutdown::Tasks;
use crate::sink::held::OPEN_PLACES;
use crate::sink::position_record::{POSITION_BASE_KEY, POSITION_KEY, PositionRecords};
use crate::sink::{
    self, Committed, HeldPieces, HeldPlace, Letters, Moved, Newest, Part, TopicEnd, Turn, Waits,
};

/// How long an ordinary transaction may be open before the cluster rolls it back.
const TRANSACTION: Duration = Duration::from_mins(1);
/// No batch of librdkafka's is larger, unless a topic takes less, or one record is.
const BATCH_BYTES: usize = 1_000_000;
/// As many bytes of letters are read at once, or a single one.
const LETTERS_BYTES: usize = 1 << 20;

/// A verb of the sink.
pub(super) enum Order {
    /// Become the owner for a turn. The records of the schema history and of parked tables go to
    /// `records`.
    Open { records: mpsc::Sender<StateRecord>, turn: Turn, reply: Reply<Committed> },
    /// Send what a part has.
    Append(Part),
    /// Send a state record that is not of a branch.
    State(StateRecord),
    /// Read pieces of a held branch.
    ReadHeld { xid: Xid, place: HeldPlace, reply: Reply<HeldPieces> },
    /// Find where topics of changes end.
    TopicEnds { names: Vec<Arc<str>>, reply: Reply<Vec<TopicEnd>> },
    /// Send what a held branch has.
    Publish { xid: Xid, closing: Closing, reply: Reply<Bytes> },
    /// Send position and state records, and commit.
    Commit { position: Position, state: Vec<StateRecord>, reply: Reply<()> },
    /// Roll back.
    Abort { reply: Reply<()> },
    /// Find the newest record of ours in topics.
    Newest { topics: Vec<Arc<str>>, reply: Reply<Option<Newest>> },
    /// Read letters from an offset on.
    ReadLetters { offset: i64, reply: Reply<Letters> },
    /// Remove all letters.
    RemoveLetters { reply: Reply<()> },
}

type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What a held branch gets at its XA COMMIT, on its way to another thread.
pub(super) struct Closing {
    binlog: String,
    gtid: Option<String>,
    texts: [Vec<u8>; OPEN_PLACES],
}

impl Closing {
    pub(super) fn of(closing: &sink::Closing<'_>) -> Self {
        Self {
            binlog: closing.binlog.to_owned(),
            gtid: closing.gtid.map(str::to_owned),
            texts: closing.texts.map(<[u8]>::to_vec),
        }
    }

    fn lend(&self) -> sink::Closing<'_> {
        let Self { binlog, gtid, texts } = self;
        sink::Closing { binlog, gtid: gtid.as_deref(), texts: texts.each_ref().map(Vec::as_slice) }
    }
}

/// See the head of this file.
pub(super) struct Owner {
    names: Names,
    config: Arc<ClusterConfig>,
    limits: Arc<TopicLimits>,
    failed: Failed,
    patience: Patience,
    process: Process,
    lock: Lock,
    tasks: Tasks,
    /// A transaction took longer than an ordinary one may: the next may take as long as the
    /// cluster allows.
    is_slow: bool,
    /// The largest batch, smaller where a topic takes less.
    batch_bytes: usize,
    session: Option<Session>,
}

impl Owner {
    pub(super) fn new(
        names: Names,
        config: Arc<ClusterConfig>,
        limits: Arc<TopicLimits>,
        failed: Failed,
        lock: Lock,
        tasks: Tasks,
        waits: Waits,
    ) -> Self {
        let patience = Patience::new(tasks.token().clone(), waits);
        let process = Process::this(lock.home());
        let (is_slow, batch_bytes, session) = (false, BATCH_BYTES, None);
        Self {
            names,
            config,
            limits,
            failed,
            patience,
            process,
            lock,
            tasks,
            is_slow,
            batch_bytes,
            session,
        }
    }

    /// Does what is ordered until nobody can order any more.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        while let Some(order) = inbox.recv().await {
            // Who does not wait for an answer any more has no use for it.
            match order {
                Order::Open { records, turn, reply } => {
                    self.session = None;
                    self.patience = self.patience.within(turn);
                    let opened = self.open(&records).await;
                    drop(records);
                    self.failed.set(opened.as_ref().err().cloned());
                    let _ = reply.send(opened);
                }
                Order::Append(part) => {
                    if self.session.is_some() {
                        let appended = self.append(part).await;
                        let _ = self.judge(appended);
                    }
                }
                Order::State(record) => {
                    if self.session.is_some() {
                        let appended = self.append_state(&record).await;
                        let _ = self.judge(appended);
                    }
                }
                Order::ReadHeld { xid, place, reply } => {
                    let held = self.read_held(&xid, place);
                    let _ = reply.send(self.judge(held));
                }
                Order::TopicEnds { names, reply } => {
                    let ends = self.topic_ends(&names);
                    let _ = reply.send(self.judge(ends));
                }
                Order::Publish { xid, closing, reply } => {
                    let published = self.publish(&xid, &closing.lend()).await;
                    let _ = reply.send(self.judge(published));
                }
                Order::Commit { position, state, reply } => {
                    let committed = self.commit(&position, state).await;
                    let _ = reply.send(self.judge(committed));
                }
                Order::Abort { reply } => {
                    let aborted = self.abort();
                    let _ = reply.send(self.judge(aborted));
                }
                Order::Newest { topics, reply } => {
                    let newest = self.newest(&topics);
                    let _ = reply.send(self.judge(newest));
                }
                Order::ReadLetters { offset, reply } => {
                    let letters = self.read_letters(offset);
                    let _ = reply.send(self.judge(letters));
                }
                Order::RemoveLetters { reply } => {
                    let removed = self.remove_letters().await;
                    let _ = reply.send(self.judge(removed));
                }
            }
        }
    }

    /// Behind an error nothing is done until the sink is opened again: what is open is rolled back,
    /// with its producer.
    fn judge<T>(&mut self, done: Result<T, Error>) -> Result<T, Error> {
        let Err(mut error) = done else { return done };
        if let Some(session) = self.session.take() {
            let Session { producer, .. } = &session;
            // The cluster may have ended it before we have.
            if producer.is_late() == Some(Late::Slow) && matches!(error, Error::Failed(_)) {
                if self.is_slow {
                    error = Error::Slow { seconds: producer.limit().as_secs() };
                }
                self.is_slow = true;
            }
        }
        self.failed.set(Some(error.clone()));
        Err(error)
    }

    /// Passwords are read at each connect, not once in a process's life.
    async fn read_settings(&mut self) -> Result<(), Error> {
        self.config = self.config.read_anew().await.map_err(Error::Failed)?;
        Ok(())
    }

    async fn open(&mut self, records: &mpsc::Sender<StateRecord>) -> Result<Committed, Error> {
        self.read_settings().await?;
        self.note_smallest();
        // Who comes back from a long stop does not know what was decided meanwhile.
        self.lock.confirm().await?;
        tracing::debug!("opening: the lock is confirmed");
        let names = self.names.clone();
        let patience = || self.patience.clone();
        // They connect while the topics are asked about; then each reads one of them: together
        // they take as long as the slowest.
        let reader = || Reader::new(&self.config, &names, patience());
        let (reader, of_schema, of_xa) = (reader()?, reader()?, reader()?);
        let internal = InternalTopics {
            positions: names.topic(topics::POSITIONS),
            schema: names.topic(topics::SCHEMA),
            xa: names.topic(topics::XA),
            snapshot: None,
        };
        let letters = names.topic(topics::LETTERS);
        let snapshot = names.topic(topics::SNAPSHOT);
        let InternalTopics { positions, schema, xa, .. } = &internal;
        let all = [positions, schema, xa, &letters, &snapshot].map(Arc::clone);
        let topics = Topics::open(&self.config, &names, &self.limits, patience(), &all).await?;
        let snapshot = topics.has(&snapshot).then_some(snapshot);
        let internal = InternalTopics { snapshot, ..internal };
        tracing::debug!("opening: the topics are known");
        let producer = self.producer(&topics, &internal)?;
        tracing::debug!("opening: former owners are fenced");
        let (of, sender) = (internal.clone(), records.clone());
        let history = move || {
            send_records(&of_schema, (StateTopic::Schema, &of.schema), &sender)?;
            let copies = |topic| send_records(&of_schema, (StateTopic::Snapshot, topic), &sender);
            of.snapshot.as_deref().map_or(Ok(()), copies)
        };
        let history = self.tasks.spawn_blocking("read the schema history", history);
        let topic = Arc::clone(&internal.xa);
        let held = move || find_branches(&of_xa, &topic);
        let held = self.tasks.spawn_blocking("read the held branches", held);
        reader.settle(&internal.positions)?;
        let stored = stored(&reader, &internal.positions)?;
        let Stored { position, base, owner, parked, moved, topics: published } = stored;
        let read = if self.config.transactional {
            PositionRecords::read
        } else {
            PositionRecords::read_apart
        };
        let (positions, position) = read(position.as_deref(), base.as_deref())?;
        tracing::debug!("opening: the position is read");
        let panicked = |error: JoinError| Error::Failed(error.to_string());
        history.await.map_err(panicked)??;
        tracing::debug!("opening: the schema history is read");
        for (key, value) in parked {
            let record = StateRecord { topic: StateTopic::Parked, key, value: Some(value) };
            let _ = records.send(record).await;
        }
        let (end, (branches, held)) = held.await.map_err(panicked)??;
        producer.watched_ends(end);
        tracing::debug!("opening: the held branches are read");
        let letters_end = if topics.has(&letters) { reader.settle(&letters)? } else { 0 };
        let published = Published { stored: published, ..Published::default() };
        let mut session = Session { producer, topics, internal, positions, branches, published };
        if owner.as_deref() != Some(&*self.process.record()) {
            session.send_state(StateTopic::Parked, OWNER_KEY, Some(&self.process.record()))?;
            session.producer.commit()?;
        }
        tracing::debug!("opening: this process owns the instance");
        self.session = Some(session);
        let moved = moved.as_deref().map(Moved::read);
        Ok(Committed { position, held, letters_end, moved })
    }

    fn must_be_ours(&self, stored: &Stored) -> Result<(), Error> {
        let other = stored.owner.as_deref().and_then(|record| self.process.other(record));
        let text = |other| format!("another process has opened the instance since: {other}");
        other.map_or(Ok(()), |other| Err(Error::Failed(text(other))))
    }

    /// Makes the producer, which fences any other of the instance.
    fn producer(&self, topics: &Topics, internal: &InternalTopics) -> Result<Producer, Error> {
        let timeout = self.timeout(topics);
        let guarantee = if self.config.transactional {
            Guarantee::ExactlyOnce
        } else {
            tracing::warn!(
                "without transactions (kafka.transactional = false) messages may come twice behind \
                 a crash, and where another process goes on"
            );
            Guarantee::AtLeastOnce
        };
        let config = clients::producer(&self.config, &self.names, timeout, self.batch_bytes);
        let patience = self.patience.clone();
        Producer::open(&config, guarantee, timeout, &internal.xa, &self.limits, patience)
    }

    /// How long the cluster is to let the next transaction be open.
    fn timeout(&self, topics: &Topics) -> Duration {
        let set = self.config.producer.get("transaction.timeout.ms");
        let set = set.and_then(|millis| millis.parse().ok()).map(Duration::from_millis);
        match (self.is_slow, set) {
            (true, _) => topics.longest_transaction,
            (false, Some(set)) => set,
            (false, None) => TRANSACTION.min(topics.longest_transaction),
        }
    }

    fn reader(&self) -> Result<Reader, Error> {
        Reader::new(&self.config, &self.names, self.patience.clone())
    }

    /// Batches are to fit into each topic that was asked for.
    fn note_smallest(&mut self) {
        self.batch_bytes = self.batch_bytes.min(self.limits.smallest().unwrap_or(usize::MAX));
    }

    /// Makes another producer where a topic takes less than the batches of this one, or where
    /// transactions have another time than its own; unless it is within a transaction: then that
    /// fails, and is sent again.
    async fn fit(&mut self) -> Result<(), Error> {
        let before = self.batch_bytes;
        let Some(mut session) = self.session.take_if(|session| session.producer.is_idle()) else {
            return Ok(());
        };
        self.note_smallest();
        if self.batch_bytes < before || session.producer.timeout() != self.timeout(&session.topics)
        {
            self.lock.confirm().await?;
            let end = session.producer.end_of_watched();
            session.producer = self.producer(&session.topics, &session.internal)?;
            session.producer.watched_ends(end);
            // Who has opened the instance since is fenced by that, and goes on all the same.
            let positions = &session.internal.positions;
            let reader = self.reader()?;
            reader.settle(positions)?;
            self.must_be_ours(&stored(&reader, positions)?)?;
        }
        self.session = Some(session);
        Ok(())
    }

    async fn append(&mut self, part: Part) -> Result<(), Error> {
        self.must_be_in_time()?;
        self.fit().await?;
        let session = session(&mut self.session, &self.failed)?;
        if let Some(xid) = part.branch.clone() {
            let end = session.producer.end_of_watched();
            let pieces = session.branches.hold(end, &xid, part);
            return session.send_all(pieces);
        }
        send_part(session, part, self.batch_bytes).await
    }

    /// A transaction that is open for too long would be rolled back by the cluster, and its
    /// producer fenced.
    fn must_be_in_time(&self) -> Result<(), Error> {
        let Some(session) = &self.session else { return Ok(()) };
        let limit = session.producer.limit();
        match session.producer.is_late() {
            None => return Ok(()),
            Some(Late::Stalled) => {
                return Err(Error::Failed(format!(
                    "the Kafka cluster took nothing for most of the {} s that a transaction may \
                     take here: it is sent again",
                    limit.as_secs()
                )));
            }
            // It is judged where all errors are.
            Some(Late::Slow) => {}
        }
        Err(Error::Failed(format!(
            "a transaction of the source takes longer than {} s to get into the Kafka cluster: it \
             is sent again, and may take up to {} s",
            limit.as_secs(),
            session.topics.longest_transaction.as_secs()
        )))
    }

    async fn publish(&mut self, xid: &Xid, closing: &sink::Closing<'_>) -> Result<Bytes, Error> {
        self.fit().await?;
        let opened = session(&mut self.session, &self.failed)?;
        let mut publishing = opened.branches.publish(xid)?;
        let first = publishing.reads_from();
        let xa = Arc::clone(&opened.internal.xa);
        let reader = first.map(|_| self.reader()).transpose()?;
        // What our open transaction has written hides nothing before it.
        let mut reading = match (&reader, first) {
            (Some(reader), Some(first)) => Some(reader.read(&xa, first)?),
            _ => None,
        };
        loop {
            while let Some(part) = publishing.next(closing)? {
                self.must_be_in_time()?;
                let session = session(&mut self.session, &self.failed)?;
                send_part(session, part, self.batch_bytes).await?;
            }
            let Some(reading) = &mut reading else { break };
            if publishing.reads_from().is_none() {
                break;
            }
            let Some(message) = reading.next_expected()? else { break };
            publishing.take(message.key().unwrap_or_default(), message.payload());
        }
        publishing.finish()
    }

    /// The topic of snapshots is there, from now on, if any of the records is for it.
    async fn make_snapshot_topic(&mut self, records: &[StateRecord]) -> Result<(), Error> {
        let is_needed = records.iter().any(|record| record.topic == StateTopic::Snapshot);
        let session = session(&mut self.session, &self.failed)?;
        if is_needed && session.internal.snapshot.is_none() {
            let made = session.topics.internal(self.names.topic(topics::SNAPSHOT)).await?;
            session.internal.snapshot = Some(made);
        }
        Ok(())
    }

    async fn append_state(&mut self, record: &StateRecord) -> Result<(), Error> {
        self.must_be_in_time()?;
        self.make_snapshot_topic(std::slice::from_ref(record)).await?;
        let session = session(&mut self.session, &self.failed)?;
        session.send_state(record.topic, &record.key, record.value.as_deref())
    }

    fn read_held(&mut self, xid: &Xid, place: HeldPlace) -> Result<HeldPieces, Error> {
        let Session { branches, internal, .. } = session(&mut self.session, &self.failed)?;
        let mut collecting = branches.collect(xid, place)?;
        if let Some(offset) = collecting.reads_from() {
            let xa = Arc::clone(&internal.xa);
            let reader = self.reader()?;
            let mut reading = reader.read(&xa, offset)?;
            while collecting.reads_from().is_some()
                && let Some(message) = reading.next()?
            {
                let key = message.key().unwrap_or_default();
                collecting.take(message.offset(), key, message.payload());
            }
        }
        collecting.finish()
    }

    fn topic_ends(&mut self, names: &[Arc<str>]) -> Result<Vec<TopicEnd>, Error> {
        let Session { topics, published, .. } = session(&mut self.session, &self.failed)?;
        let all: BTreeSet<_> = names.iter().chain(&published.stored).map(Arc::clone).collect();
        let found = topics.found(&all.into_iter().collect::<Vec<_>>());
        let reader = self.reader()?;
        let ends = found.into_iter().map(|(name, there, partitions)| {
            let ends = (0..partitions).map(|partition| reader.settle_partition(&there, partition));
            Ok(TopicEnd { name, ends: ends.collect::<Result<_, _>>()?, there })
        });
        ends.collect()
    }

    fn newest(&mut self, names: &[Arc<str>]) -> Result<Option<Newest>, Error> {
        let Session { topics, internal, .. } = session(&mut self.session, &self.failed)?;
        let there = topics.partitions_of(names);
        let positions = Arc::clone(&internal.positions);
        reader::newest(&self.config, &self.names, &self.patience, &there, &positions)
    }

    async fn commit(&mut self, position: &Position, state: Vec<StateRecord>) -> Result<(), Error> {
        self.must_be_in_time()?;
        self.make_snapshot_topic(&state).await?;
        let session = session(&mut self.session, &self.failed)?;
        for record in state {
            match (record.topic, record.value) {
                (StateTopic::Schema | StateTopic::Parked | StateTopic::Snapshot, value) => {
                    session.send_state(record.topic, &record.key, value.as_deref())?;
                }
                (StateTopic::Xa, Some(about)) => {
                    let end = session.producer.end_of_watched();
                    let (last, held) = session.branches.prepare(end, record.key, about)?;
                    session.send_all(last)?;
                    session.send_all(held)?;
                }
                (StateTopic::Xa, None) => {
                    let ended = session.branches.end(&record.key);
                    session.send_all(ended)?;
                }
            }
        }
        session.producer.before_position()?;
        let written = session.positions.write(position)?;
        if let Some(base) = &written.base {
            session.send_state(StateTopic::Parked, POSITION_BASE_KEY, Some(base))?;
        }
        session.send_state(StateTopic::Parked, POSITION_KEY, Some(&written.position))?;
        session.producer.commit()?;
        session.published.committed();
        self.is_slow = false;
        Ok(())
    }

    fn abort(&mut self) -> Result<(), Error> {
        // What failed has been rolled back with its producer.
        let Some(session) = &mut self.session else { return Ok(()) };
        session.branches.abort();
        session.published.aborted();
        session.producer.abort()
    }

    fn read_letters(&mut self, offset: i64) -> Result<Letters, Error> {
        let session = session(&mut self.session, &self.failed)?;
        let topic = self.names.topic(topics::LETTERS);
        let mut letters = Letters { records: Vec::new(), next: offset };
        if !session.topics.has(&topic) {
            return Ok(letters);
        }
        // All of them are published in one transaction, and nobody sends it again.
        self.is_slow |= session.producer.is_idle();
        let reader = self.reader()?;
        let (mut reading, mut bytes) = (reader.read(&topic, offset)?, 0);
        while bytes < LETTERS_BYTES
            && let Some(message) = reading.next()?
        {
            bytes += message.payload_len();
            letters.next = message.offset() + 1;
            letters.records.extend(letter_record(&message));
        }
        Ok(letters)
    }

    async fn remove_letters(&mut self) -> Result<(), Error> {
        let session = session(&mut self.session, &self.failed)?;
        let topic = self.names.topic(topics::LETTERS);
        if session.topics.has(&topic) && !session.topics.remove_records(&topic).await? {
            tracing::warn!(
                topic = &*topic,
                "what was kept of tables that are parked no more stays in the topic, since it may \
                 not be removed: allow DELETE on it (kafka-acls.sh)"
            );
        }
        Ok(())
    }
}

/// The session; why there is none, if there is none.
fn session<'a>(
    session: &'a mut Option<Session>,
    failed: &Failed,
) -> Result<&'a mut Session, Error> {
    session.as_mut().ok_or_else(|| failed.get().unwrap_or(Error::Fenced))
}
