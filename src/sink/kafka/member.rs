//! The member that a process has in the group of an instance's lock, on a thread of its own.
//!
//! In: what the cluster says of the group. Out: [`Standing`], for whoever waits for a turn; and
//! beside the offset of the lock's partition, who has it ([`Process`]).
//!
//! Members are sorted by their ids, which begin with their client.id, and the first gets the
//! partition (librdkafka, `rd_kafka_range_assignor_assign_cb`). So a client.id begins with a hash of
//! process and instance: of many instances each process gets its share, and gets the same when it
//! comes back. One that gave way comes behind all others.
//!
//! The group's protocol is the eager one, by which each member gives up what it has before a new
//! vote. What is given up so is kept until the vote says otherwise, or has not ended in the time of
//! a session: in most votes nothing changes.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;
use tokio::time::Instant;

use super::clients::{self, Said};
use super::limits::TopicLimits;
use super::lock::Standing;
use super::patience::Patience;
use super::process::Process;
use super::topics::{self, Topics};
use super::{Error, Names};
use crate::config::ClusterConfig;
use crate::shutdown::Tasks;
use crate::sink::{Refusal, Turn, Waits};

/// How long a poll may take: so long a stop waits.
const POLL: Duration = Duration::from_millis(20);
/// How long one question may take.
const ASK: Duration = Duration::from_millis(500);
/// How often one that stands by asks who is active.
const LOOK: Duration = Duration::from_secs(1);
/// The pause before another try.
const PAUSE: Duration = Duration::from_millis(500);

/// See the head of this file.
pub(super) struct Member {
    pub(super) names: Names,
    pub(super) config: Arc<ClusterConfig>,
    pub(super) process: Arc<Process>,
    pub(super) vote: Arc<Vote>,
    pub(super) tasks: Tasks,
}

/// The member's client.
pub(super) struct Vote {
    consumer: BaseConsumer<Heard>,
    topic: Arc<str>,
}

/// What the member hears of its group.
struct Heard {
    said: Said,
    standing: Arc<watch::Sender<Standing>>,
    state: Mutex<State>,
}

struct State {
    voted: Voted,
    /// When the partition was given up for a vote that has not ended.
    revoked: Option<Instant>,
}

impl Default for State {
    fn default() -> Self {
        Self { voted: Voted::Undecided, revoked: None }
    }
}

impl Member {
    /// Votes until its tasks are cancelled, or the cluster refuses it. `at_once`: whether what this
    /// process ran last is its own without a vote.
    pub(super) async fn run(self, at_once: bool) {
        let _ended = Ended(Arc::clone(&self.vote));
        let stop = self.tasks.token().clone();
        match self.vote(at_once).await {
            Ok(()) => {}
            Err(_) if stop.is_cancelled() => {}
            Err(error) => self.vote.heard().now(Standing::Refused(error)),
        }
        // Here the member leaves its group.
    }

    async fn vote(&self, at_once: bool) -> Result<(), Error> {
        if at_once && self.is_ours()? {
            self.vote.heard().active();
        }
        if !self.make_topic().await? {
            return Ok(());
        }
        let subscribed = self.vote.consumer.subscribe(&[&self.vote.topic]);
        subscribed.map_err(|error| failed("subscribe to the lock", &error))?;
        let (stop, heard) = (self.tasks.token(), self.vote.heard());
        let mut look = Instant::now();
        let mut named = false;
        while !stop.is_cancelled() {
            match self.vote.consumer.poll(POLL) {
                // The topic has no records.
                None | Some(Ok(_)) => {}
                Some(Err(error)) => heard.error(&error, &self.vote.topic)?,
            }
            heard.expire(self.config.session);
            match heard.voted() {
                Voted::Standby if look <= Instant::now() => {
                    look = Instant::now() + LOOK;
                    named = false;
                    if let Ok(owner) = self.vote.owner() {
                        let active = owner.as_ref().map(Process::words);
                        heard.look(active);
                    }
                }
                // Where nobody waited for the vote, it is said now who is active.
                Voted::Active if !named => {
                    named = true;
                    let (vote, text) = (Arc::clone(&self.vote), self.process.text());
                    self.tasks.spawn_blocking("name the active process", move || {
                        vote.confirm(&text).map_err(|error| tracing::debug!("{error}"))
                    });
                }
                Voted::Active | Voted::Standby | Voted::Undecided => {}
            }
        }
        if heard.voted() == Voted::Active {
            // Whoever starts next need not wait for a vote.
            let _ = self.vote.write_owner("");
        }
        Ok(())
    }

    /// Whether nobody, or a process of this place, ran the instance last.
    fn is_ours(&self) -> Result<bool, Error> {
        while !self.tasks.token().is_cancelled() {
            match self.vote.owner() {
                Ok(owner) => {
                    return Ok(owner.is_none_or(|owner| owner.place() == self.process.place()));
                }
                Err(error) => self.vote.heard().error(&error, &self.vote.topic)?,
            }
            // What the group's coordinator refuses the library tells here only.
            if let Some(Err(error)) = self.vote.consumer.poll(POLL) {
                self.vote.heard().error(&error, &self.vote.topic)?;
            }
        }
        Ok(false)
    }

    /// Sees to the lock's topic; whether it is there.
    async fn make_topic(&self) -> Result<bool, Error> {
        let stop = self.tasks.token();
        let limits = Arc::new(TopicLimits::new(&self.config, self.tasks.clone()));
        while !stop.is_cancelled() {
            let patience = Patience::new(stop.clone(), Waits::default());
            let lock = [Arc::clone(&self.vote.topic)];
            match Topics::open(&self.config, &self.names, &limits, patience, &lock).await {
                Ok(_) => return Ok(true),
                Err(Error::Failed(reason)) => self.vote.heard().undecided(&reason),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(false)
    }
}

impl Vote {
    /// A member that is not yet in the group. `gave_way`: when it let others go first.
    pub(super) fn new(
        config: &ClusterConfig,
        names: &Names,
        process: &Process,
        standing: &Arc<watch::Sender<Standing>>,
        gave_way: Option<i64>,
    ) -> Result<Arc<Self>, Error> {
        let place = place(process, &names.instance, gave_way);
        let heard = Heard {
            said: Said::default(),
            standing: Arc::clone(standing),
            state: Mutex::default(),
        };
        let made = clients::member(config, names, &place).create_with_context(heard);
        let consumer = made.map_err(|error| failed("make a member of the lock's group", &error))?;
        Ok(Arc::new(Self { consumer, topic: names.topic(topics::LOCK) }))
    }

    /// Has the cluster confirm that this member has the partition, and keep `owner` beside its
    /// offset. Blocking.
    pub(super) fn confirm(&self, owner: &str) -> Result<(), Error> {
        // Nothing to confirm before the first vote.
        if self.heard().voted() == Voted::Undecided {
            let standing = self.heard().standing.borrow().clone();
            return match standing {
                Standing::Active(_) => Ok(()),
                Standing::Joining { .. } | Standing::Standby { .. } => Err(moved()),
                Standing::Refused(error) => Err(error),
            };
        }
        self.write_owner(owner).map_err(|error| match error.rdkafka_error_code() {
            Some(
                Code::IllegalGeneration
                | Code::UnknownMemberId
                | Code::RebalanceInProgress
                | Code::FencedInstanceId,
            ) => moved(),
            _ => failed("confirm that this process is to run the instance", &error),
        })
    }

    fn write_owner(&self, owner: &str) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, 0, Offset::Offset(0))?;
        if let Some(mut partition) = list.find_partition(&self.topic, 0) {
            partition.set_metadata(owner);
        }
        self.consumer.commit(&list, CommitMode::Sync)
    }

    /// Who was active last; none if nobody is known.
    fn owner(&self) -> Result<Option<Process>, KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, 0);
        let committed = self.consumer.committed_offsets(list, ASK)?;
        let partition = committed.find_partition(&self.topic, 0);
        let Some(partition) = partition else { return Ok(None) };
        partition.error()?;
        Ok(Process::read(partition.metadata()))
    }

    fn heard(&self) -> &Heard {
        self.consumer.context()
    }
}

/// Where members stand in their row: those that gave way behind all others, in their order.
fn place(process: &Process, instance: &str, gave_way: Option<i64>) -> String {
    let (host, home) = process.place();
    let hash = openssl::sha::sha256(format!("{host}\0{home}\0{instance}").as_bytes());
    let mut place = gave_way.map(|millis| format!("z{millis:020}-")).unwrap_or_default();
    for byte in &hash[..4] {
        let _ = write!(place, "{byte:02x}");
    }
    place
}

/// Of votes, the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voted {
    /// None has ended.
    Undecided,
    /// The partition is this process's.
    Active,
    /// It is another's.
    Standby,
}

impl Heard {
    fn voted(&self) -> Voted {
        self.state().voted
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This process is to run the instance: from now on, if it was not before.
    fn active(&self) {
        self.standing.send_if_modified(|standing| {
            let is = matches!(standing, Standing::Active(turn) if !turn.over.is_cancelled());
            if !is {
                *standing = Standing::Active(Turn::default());
            }
            !is
        });
    }

    /// It is not.
    fn now(&self, new: Standing) {
        if let Standing::Active(turn) = self.standing.send_replace(new) {
            turn.over.cancel();
        }
    }

    /// Who is active now, as far as one that stands by knows.
    fn look(&self, active: Option<String>) {
        self.standing.send_if_modified(|standing| match standing {
            Standing::Standby { active: known } if *known != active => {
                *known = active;
                true
            }
            _ => false,
        });
    }

    fn undecided(&self, reason: &str) {
        self.standing.send_if_modified(|standing| match standing {
            Standing::Joining { reason: known } if known.as_deref() != Some(reason) => {
                *known = Some(reason.to_owned());
                true
            }
            _ => false,
        });
    }

    /// A vote has ended.
    fn voted_for(&self, this: bool) {
        let voted = if this { Voted::Active } else { Voted::Standby };
        *self.state() = State { voted, revoked: None };
        if this {
            self.active();
        } else {
            tracing::info!("another process runs the instance: standing by");
            self.now(Standing::Standby { active: None });
        }
    }

    /// The cluster counts this process as a member no more.
    fn lost(&self) {
        *self.state() = State::default();
        let reason = self.said.last().unwrap_or_else(|| "it was not heard for too long".to_owned());
        tracing::warn!(
            "the Kafka cluster does not count this process as one that is there: {reason}"
        );
        self.now(Standing::Joining { reason: Some(reason) });
    }

    /// A vote that has not ended for so long is as good as lost.
    fn expire(&self, session: Duration) {
        if self.state().revoked.is_some_and(|since| since.elapsed() > session) {
            self.lost();
        }
    }

    /// What goes wrong goes on, unless the cluster refuses us.
    fn error(&self, error: &KafkaError, topic: &str) -> Result<(), Error> {
        let refused = |text: String| Err(Error::Unauthorized(text));
        match error.rdkafka_error_code() {
            Some(Code::GroupAuthorizationFailed) => {
                refused(format!("no right to the consumer group {topic}: allow READ on it"))
            }
            Some(Code::TopicAuthorizationFailed) => {
                let reason = Refusal::Unauthorized("READ");
                Err(Error::Refused { topic: topic.to_owned(), reason })
            }
            Some(Code::InvalidSessionTimeout) => refused(
                "kafka.session.timeout.ms does not lie between group.min.session.timeout.ms and \
                 group.max.session.timeout.ms of its brokers"
                    .to_owned(),
            ),
            Some(Code::AllBrokersDown) => {
                self.undecided(&self.said.last().unwrap_or_else(|| error.to_string()));
                Ok(())
            }
            _ => {
                self.undecided(&error.to_string());
                Ok(())
            }
        }
    }
}

impl ClientContext for Heard {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.said.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.said.error(error, reason);
        if let Some(said) = self.said.last() {
            self.undecided(&said);
        }
    }
}

impl ConsumerContext for Heard {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(_) => {}
            Rebalance::Revoke(_) if consumer.assignment_lost() => self.lost(),
            Rebalance::Revoke(_) => self.state().revoked = Some(Instant::now()),
            Rebalance::Error(_) => self.lost(),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            // There is nothing to read.
            let _ = consumer.pause(partitions);
            self.voted_for(partitions.count() > 0);
        }
    }
}

/// Says that a member has ended that was not to.
struct Ended(Arc<Vote>);

impl Drop for Ended {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = "an error in the program ended the thread of the Kafka lock".to_owned();
            self.0.heard().now(Standing::Refused(Error::Failed(text)));
        }
    }
}

fn moved() -> Error {
    Error::Failed("another process is to run the instance from here on".to_owned())
}

fn failed(what: &str, error: &KafkaError) -> Error {
    Error::Failed(format!("{what}: {error}"))
}
