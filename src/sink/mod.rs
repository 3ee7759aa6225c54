//! Where the records of an instance go: the verbs, and what they promise.
//!
//! A sink holds all the state there is: rows, source position, schema history, held XA
//! branches. What one [`Sink::commit`] ends becomes durable, and then visible, together or not
//! at all.

mod any;
mod branches;
mod embedded;
pub(crate) mod held;
mod kafka;
mod moved;
pub(crate) mod notice;
pub(crate) mod position_record;
mod refusal;
#[cfg(test)]
pub(crate) mod scripted;
mod turn;
mod waits;

pub use any::AnySink;
pub use embedded::Embedded;
pub(crate) use embedded::find_branches;
pub use held::Closing;
pub use kafka::{Kafka, Lock};
pub use moved::Moved;
pub use notice::Lost;
pub use refusal::Refusal;
pub use turn::{Turn, Waiting, here};
pub use waits::Waits;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::change::{Position, StateRecord, Xid};
use crate::log::WriterError;
use crate::record::{Batch, Spares};
pub use position_record::PositionError;

/// Bytes at which a partition's batch is cut; one record may exceed it.
pub(crate) const BATCH_BYTES: usize = 1 << 20;

/// Records of one topic and partition, encoded.
#[derive(Debug)]
pub struct Part {
    /// The topic, created with `partitions` partitions when it is not there.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: i32,
    /// How many partitions the topic has to have at least.
    pub partitions: i32,
    /// The records, in the order they are to be read.
    pub records: Batch,
    /// The XA branch that they are part of: held under it, and nowhere else, until
    /// [`Sink::publish_held`]. Their headers and some places of their values are open.
    pub branch: Option<Arc<Xid>>,
}

/// What was committed last: where a restart begins.
#[derive(Debug, Default)]
pub struct Committed {
    /// `None` before the first commit.
    pub position: Option<Position>,
    /// The XA branches that are held, and what the state record says of each.
    pub held: Vec<(Arc<Xid>, Bytes)>,
    /// The end of the topic of letters: an offset that none has yet.
    pub letters_end: i64,
    /// Where it was moved to, if it was.
    pub moved: Option<Moved>,
}

/// A record of the topic of letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterRecord {
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
    /// Its header `binlog`.
    pub binlog: String,
    /// Its header `gtid`, if it has one.
    pub gtid: Option<Arc<str>>,
}

/// The newest record of ours that topics hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its header `binlog`, `<file>:<offset>`.
    pub binlog: String,
    /// The topic that has no position.
    pub positions: Arc<str>,
}

/// Some records of the topic of letters, in order.
#[derive(Clone, Debug, Default)]
pub struct Letters {
    /// The records.
    pub records: Vec<LetterRecord>,
    /// Where to read on; where it was read from, if there are no more.
    pub next: i64,
}

/// Where to read on in a held XA branch; the default is its begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldPlace {
    /// The next piece, from 0.
    pub(crate) piece: u32,
    /// It does not lie before this offset of the topic.
    pub(crate) offset: i64,
}

/// Some pieces of a held XA branch (`sink/held.rs`), in order.
#[derive(Clone, Debug, Default)]
pub struct HeldPieces {
    /// The pieces.
    pub pieces: Vec<Bytes>,
    /// Where to read on; `None` if these were the last.
    pub next: Option<HeldPlace>,
}

/// Where a topic of changes ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicEnd {
    /// Its name by the instance's rules.
    pub name: Arc<str>,
    /// Its name where it is.
    pub there: Arc<str>,
    /// The offset that the next record gets, of each partition.
    pub ends: Vec<i64>,
}

/// Why a verb failed. After any error the sink refuses all until it is opened again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A newer owner has opened the sink, or the append does not follow the last.
    #[error("the sink belongs to a newer session of this instance")]
    Fenced,
    /// The disk is full; it may have room later.
    #[error("no room left on the disk of the log")]
    Full,
    /// Nobody can say whether it became durable; opening again shows it.
    #[error("{0}")]
    Failed(String),
    /// What is stored as the position is none that this build can read.
    #[error("{0}")]
    Position(String),
    /// A transaction of the source does not get through in the time that the cluster gives it.
    #[error(
        "a transaction of the source has not got into the Kafka cluster within {seconds} s, four \
         fifths of the cluster's transaction.max.timeout.ms"
    )]
    Slow {
        /// The seconds that there are.
        seconds: u64,
    },
    /// The cluster does not allow it.
    #[error("the Kafka cluster refuses: {0}")]
    Unauthorized(String),
    /// There is no position, and there are records of ours: the last position was lost.
    #[error("{0}")]
    Begun(String),
    /// The instance goes on elsewhere.
    #[error("{0}")]
    Moved(Box<Moved>),
    /// It is not there with this kind of sink.
    #[error("{0}")]
    Unserved(String),
    /// A topic cannot take the records as they are, whatever the number of tries.
    #[error("topic {topic} refused a record: {reason}")]
    Refused {
        /// The topic.
        topic: String,
        /// Why.
        reason: Refusal,
    },
}

impl From<WriterError> for Error {
    fn from(error: WriterError) -> Self {
        match error {
            WriterError::Fenced(_) => Self::Fenced,
            WriterError::Full => Self::Full,
            WriterError::Refused { topic, reason } => {
                Self::Refused { topic, reason: reason.into() }
            }
            WriterError::Failed(reason) => Self::Failed(format!("the log failed: {reason}")),
        }
    }
}

/// What raises the limit of a topic; shown as the begin of the command, with what goes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaisedBy {
    /// The command at the bundled log.
    Log,
    /// The producer's own limit, and the command at the user's cluster.
    Cluster,
}

impl fmt::Display for RaisedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "`bin/kafka-configs.sh",
            Self::Cluster => {
                "kafka.max.request.size where that is less, and in the cluster: \
                 `bin/kafka-configs.sh --bootstrap-server HOST:PORT"
            }
        })
    }
}

/// What topics take at most in one batch, in bytes, head included: asked by name whenever a
/// batch begins, on whatever thread that is. A topic that is not there yet takes what it is made
/// with.
#[derive(Clone)]
pub struct Limits {
    of: Arc<dyn Fn(&str) -> usize + Send + Sync>,
    raised_by: RaisedBy,
    spares: Spares,
}

impl Limits {
    /// Those that `of` says.
    pub fn new(of: impl Fn(&str) -> usize + Send + Sync + 'static) -> Self {
        Self { of: Arc::new(of), raised_by: RaisedBy::Log, spares: Spares::default() }
    }

    /// The same, with buffers for batches that the sink has done with.
    #[must_use]
    pub fn with_spares(self, spares: Spares) -> Self {
        Self { spares, ..self }
    }

    /// The same, where another command raises what a topic takes.
    #[must_use]
    pub fn with_raised_by(self, raised_by: RaisedBy) -> Self {
        Self { raised_by, ..self }
    }

    /// What raises what a topic takes.
    pub fn raised_by(&self) -> RaisedBy {
        self.raised_by
    }

    /// Where buffers for batches come from.
    pub fn spares(&self) -> &Spares {
        &self.spares
    }

    /// That of `topic`.
    pub fn of(&self, topic: &str) -> usize {
        /// The length of a batch has 32 bits.
        const MOST: usize = i32::MAX as usize;
        (self.of)(topic).min(MOST)
    }
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

/// How a sink likes to be committed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Most commits handed to it and not yet durable, as long as few bytes wait.
    pub most_in_flight: usize,
    /// How long a position that moved without any record may wait.
    pub idle_after: Duration,
    /// Bytes of records with which a commit no longer waits for one in flight.
    pub commit_bytes: usize,
    /// Most bytes of records that are committed and not yet durable.
    pub bytes_in_flight: usize,
}

impl Pace {
    /// A disk: one commit is synced while the next collects.
    pub const LOG: Self = Self {
        most_in_flight: 2,
        idle_after: Duration::from_secs(1),
        commit_bytes: BATCH_BYTES,
        bytes_in_flight: 4 * BATCH_BYTES,
    };
    /// A producer has one transaction, whose end costs several questions one after the other, so
    /// behind a backlog it pays to put much into it; and each position in a cluster is a
    /// transaction of its own, kept for long: after 30 s, so that idle instances do not fill it.
    pub const CLUSTER: Self = Self {
        most_in_flight: 1,
        idle_after: Duration::from_secs(30),
        commit_bytes: 8 * BATCH_BYTES,
        bytes_in_flight: 16 * BATCH_BYTES,
    };
}

/// Resolves when a commit is durable.
pub type Receipt = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// One owner at a time, one open append at a time.
pub trait Sink: Send {
    /// Waits until this process is to run the instance, where several processes have it; `waiting`
    /// hears why it is not.
    fn turn(
        &mut self,
        waiting: &mut (dyn FnMut(Waiting) + Send),
    ) -> impl Future<Output = Result<Turn, Error>> + Send {
        let _ = waiting;
        std::future::ready(Ok(Turn::default()))
    }

    /// For how long the source of the active process may not be reached until another may try;
    /// none where there is no other.
    fn gives_way_after(&self) -> Option<Duration> {
        None
    }

    /// Lets another process run the instance, if there is one: this one cannot. `stands_by`: and
    /// goes on when no other does.
    fn give_way(&mut self, stands_by: bool) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = stands_by;
        std::future::ready(Ok(()))
    }

    /// Fences a former owner of the instance and says what was committed. The records of the
    /// schema history and of parked tables go to `each`, one after the other, of each key the newest last: there can
    /// be more of them than fit into memory.
    fn open(
        &mut self,
        each: &mut (dyn FnMut(StateRecord) + Send),
    ) -> impl Future<Output = Result<Committed, Error>> + Send;

    /// How large the records of each topic may be. Can be asked before it is open.
    fn limits(&self) -> Limits;

    /// Whether records and position can be lost only together.
    fn loses_both_together(&self) -> bool {
        true
    }

    /// The newest record of ours in any of these topics. Open only.
    fn newest_of(
        &mut self,
        _topics: Vec<Arc<str>>,
    ) -> impl Future<Output = Result<Option<Newest>, Error>> + Send {
        async { Ok(None) }
    }

    /// What it waits for, where it can take long and nobody is asked to do anything.
    fn waits(&self) -> Waits {
        Waits::default()
    }

    /// How it likes to be committed to.
    fn pace(&self) -> Pace {
        Pace::LOG
    }

    /// Adds to the open append; the first part opens it. Nobody can read it yet.
    fn append(&mut self, part: Part) -> impl Future<Output = Result<(), Error>> + Send;

    /// Adds a state record that is not of [`StateTopic::Xa`](crate::change::StateTopic) to the open
    /// append: where there are too many to wait in memory for the commit.
    fn append_state(
        &mut self,
        record: StateRecord,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Durable pieces of a held XA branch, as [`held`] has them.
    fn read_held(
        &mut self,
        xid: &Xid,
        place: HeldPlace,
    ) -> impl Future<Output = Result<HeldPieces, Error>> + Send;

    /// Where the topics of changes end: those that the instance owns, or where topics have no
    /// owner those of `names` that are there.
    fn topic_ends(
        &mut self,
        names: Vec<Arc<str>>,
    ) -> impl Future<Output = Result<Vec<TopicEnd>, Error>> + Send;

    /// Adds the records of a held XA branch to the open append, with what they lacked; what the
    /// state record said of it. The branch stays held until a commit deletes its record.
    fn publish_held(
        &mut self,
        xid: &Xid,
        closing: &Closing<'_>,
    ) -> impl Future<Output = Result<Bytes, Error>> + Send;

    /// Adds a notice to the open append in each place that has records of transactions which the
    /// source has lost; the topics.
    fn append_loss_notices(
        &mut self,
        lost: &Lost,
    ) -> impl Future<Output = Result<Vec<String>, Error>> + Send;

    /// Ends the open append: its parts, `position` and `state` become durable, and then
    /// visible, together or not at all. Without a part only the position moves.
    ///
    /// A record of [`StateTopic::Xa`](crate::change::StateTopic) has the text of an xid for its
    /// key: with a value it makes the branch held whose parts were appended; without one the
    /// branch is held no more. An append may do one or the other to a branch, once.
    fn commit(
        &mut self,
        position: &Position,
        state: Vec<StateRecord>,
    ) -> impl Future<Output = Result<Receipt, Error>> + Send;

    /// Takes the open append back, if there is one.
    fn abort(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// The topic of letters, which keep the changes of parked tables: it has one partition, takes
    /// parts as others do, and loses nothing by itself.
    fn letters(&self) -> Arc<str>;

    /// Durable letters from an offset on.
    fn read_letters(&mut self, offset: i64) -> impl Future<Output = Result<Letters, Error>> + Send;

    /// Removes all letters.
    fn remove_letters(&mut self) -> impl Future<Output = Result<(), Error>> + Send;
}
