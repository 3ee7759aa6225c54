//! The thread that owns every append.
//!
//! Owns: the tails of all partitions, the journal, the sessions of instances. In: requests
//! from the queue. Out: groups made durable (`flush`), then shown to readers.
//!
//! What holds: groups form by themselves: while one is being synced, the next collects in
//! the queue. An operation (a change of topics, a fence) stands between two groups. What
//! waits in the queue when the log is closed is still carried out.

mod compactions;
pub(super) mod failure;
mod flush;
mod group;
mod housekeeping;
pub(super) mod operation;
mod pause;
mod pieces;
mod retry;
mod session;
mod tail;
pub(super) mod topics;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use compactions::Compacting;
pub(super) use failure::Failure;
use group::{Answer, Committed, Content, Group, NewPosition};
pub(super) use group::{marker_of, time_of_append};
pub(super) use housekeeping::Removal;
use housekeeping::Since;
use pause::Pause;
use session::Sessions;
pub(super) use tail::{Tail, Tails};
use topics::Times;

use tokio::sync::oneshot;

use super::ballast::Ballast;
use super::catalog::Definition;
use super::checkpoint::Checkpoint;
use super::commit::Commit;
use super::error::{AppendError, OpenError, WriterError};
use super::journal::Journal;
use super::keeper::{Job, Outcome};
use super::producer::Repeated;
use super::queue::{Each, Request};
use super::segment::Segment;
use super::shared::Shared;
use super::topic::Topic;
use super::watermarks::Slot;
use super::{Appended, Produce};
use crate::clock::Moment;
use crate::record::{BatchBuilder, Head};

/// A group is carried out when it has so many bytes, though more waits.
const GROUP_BYTES: usize = 8 << 20;

/// How long the thread sleeps at most, so that checkpoints and retention are in time.
const PATIENCE: Duration = Duration::from_millis(500);

/// See the head of this file.
pub(super) struct Appender {
    shared: Arc<Shared>,
    journal: Journal,
    epoch: u64,
    sequence: u64,
    salt: u32,
    tails: Tails,
    group: Group,
    /// The buffer that frames are encoded in.
    frame: Vec<u8>,
    sessions: Sessions,
    /// Segments that the next checkpoint has to sync, and those that are complete.
    dirty: Vec<Arc<Segment>>,
    sealed: Vec<Arc<Segment>>,
    /// Partitions of compacted topics that were rolled, and those of the checkpoint that is
    /// being written, with the base offset of the first segment that was not yet sealed.
    rolled: BTreeSet<Slot>,
    compactable: BTreeMap<Slot, i64>,
    compacting: BTreeMap<Slot, Compacting>,
    /// What to remove once a checkpoint has passed the sequence.
    removals: VecDeque<(u64, Removal)>,
    /// Segments without a byte, by their paths without suffix: the last checkpoint names them, the
    /// next does not.
    emptied: Vec<String>,
    since: Since,
    retained: Instant,
    times: Times,
    producer_ids: std::ops::Range<i64>,
    /// How many producers the partitions remember, or more: what is forgotten is counted later.
    producers: usize,
    helpers: Helpers,
    ballast: Ballast,
    /// The last group found no room.
    full: bool,
    /// Another one is had by who makes a copy of the log.
    hold: Arc<()>,
    /// See [`Start::closed`].
    closed: Option<Box<Checkpoint>>,
    /// The last checkpoint could not be written, and is to be, whatever changes meanwhile.
    owes_checkpoint: bool,
    checkpoint_pause: Pause,
    /// When files were closed because something was refused.
    gave_files_back: Option<Instant>,
    read_only: Option<String>,
}

/// The threads that work for the appender.
pub(super) struct Helpers {
    /// Writes checkpoints.
    pub(super) keeper: mpsc::Sender<Job>,
    pub(super) compactor: mpsc::Sender<Job>,
    pub(super) outcomes: mpsc::Receiver<Outcome>,
}

/// What an opened log starts its appender with.
pub(super) struct Start {
    pub(super) journal: Journal,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) salt: u32,
    pub(super) tails: Tails,
    pub(super) producer_ids: i64,
    /// Bytes of frames that were recovered, and what the next checkpoint has to do for them.
    pub(super) inline: u64,
    pub(super) pending: Pending,
    /// The checkpoint to write before anything is changed: the one there is says that the log is
    /// closed.
    pub(super) closed: Option<Box<Checkpoint>>,
}

/// What waits for a checkpoint.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Segments to sync.
    pub(super) dirty: Vec<Arc<Segment>>,
    /// Segments that are complete.
    pub(super) sealed: Vec<Arc<Segment>>,
    /// What to remove when it has passed.
    pub(super) removals: Vec<Removal>,
}

impl Pending {
    pub(super) fn add(&mut self, more: Self) {
        let Self { dirty, sealed, removals } = more;
        self.dirty.extend(dirty);
        self.sealed.extend(sealed);
        self.removals.extend(removals);
    }
}

impl Appender {
    pub(super) fn new(shared: Arc<Shared>, start: Start, helpers: Helpers) -> Self {
        let Pending { dirty, sealed, removals } = start.pending;
        let Start { journal, epoch, sequence, salt, tails, producer_ids, inline, closed, .. } =
            start;
        let ballast = Ballast::new(&shared.disk, shared.settings.ballast_bytes);
        let now = shared.settings.clock.now();
        let waits = |tail: &&Tail| compactions::waits(tail, now);
        let rolled = tails.iter().filter(waits).map(|tail| tail.partition.slot).collect();
        Self {
            shared,
            journal,
            epoch,
            sequence,
            salt,
            tails,
            group: Group::default(),
            frame: Vec::new(),
            sessions: Sessions::default(),
            dirty,
            sealed,
            rolled,
            compactable: BTreeMap::new(),
            compacting: BTreeMap::new(),
            removals: removals.into_iter().map(|removal| (sequence, removal)).collect(),
            emptied: Vec::new(),
            since: Since { inline, ..Since::now() },
            retained: Instant::now(),
            times: Times::Idle,
            producer_ids: producer_ids..producer_ids,
            // Counted at once: as many as one could be too many.
            producers: usize::MAX,
            helpers,
            ballast,
            full: false,
            hold: Arc::default(),
            closed,
            owes_checkpoint: false,
            checkpoint_pause: Pause::default(),
            gave_files_back: None,
            read_only: None,
        }
    }

    /// Gives a new cluster its id, durably.
    pub(super) fn introduce(&mut self) -> Result<(), OpenError> {
        let cluster = Definition::Cluster(self.shared.cluster.clone());
        self.define(&[cluster]).map_err(|failure| OpenError::Io {
            doing: "write the first record of the log".to_owned(),
            source: io::Error::other(failure.to_string()),
        })
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut requests = VecDeque::new();
        while shared.queue.take(&mut requests, PATIENCE) {
            for request in requests.drain(..) {
                if self.group.bytes >= GROUP_BYTES {
                    let _ = self.flush();
                }
                self.admit(request);
            }
            if self.group.is_empty() {
                self.shared.spares.clear();
            }
            let _ = self.flush();
            self.keep_house();
        }
        self.close();
    }

    fn now(&self) -> Moment {
        self.shared.settings.clock.now()
    }

    /// Takes a request into the group, or carries the group out and then the operation.
    fn admit(&mut self, request: Request) {
        match request {
            Request::Each(batches, reply, room) => {
                self.group.rooms.push(room);
                self.admit_each(batches, reply);
            }
            Request::All(batches, reply, room) => {
                self.group.rooms.push(room);
                self.admit_all(batches, reply);
            }
            Request::Commit(commit, reply, room) => {
                self.group.rooms.push(room);
                match self.commit(*commit) {
                    Ok(made) => self.group.answers.push(Answer::Commit(reply, made)),
                    Err(error) => {
                        let _ = reply.send(Err(error));
                    }
                }
            }
            Request::Operation(operation) => {
                let _ = self.flush();
                self.operate(operation);
            }
        }
    }

    /// Takes batches, each for itself.
    fn admit_each(&mut self, batches: Vec<Produce>, reply: oneshot::Sender<Each>) {
        let now = self.now();
        let results = batches.iter().map(|produce| self.add(produce, true, now)).collect();
        self.group.answers.push(Answer::Each(results, reply, batches));
    }

    /// Takes batches that are appended together or not at all.
    fn admit_all(
        &mut self,
        batches: Vec<Produce>,
        reply: oneshot::Sender<Result<Vec<Appended>, AppendError>>,
    ) {
        if let Some(error) = batches.iter().find_map(|batch| self.check(batch).err()) {
            let _ = reply.send(Err(error));
            return;
        }
        let now = self.now();
        let add = |produce: &Produce| self.add(produce, false, now);
        match batches.iter().map(add).collect() {
            Ok(appended) => self.group.answers.push(Answer::All(appended, reply, batches)),
            // Not after the check above; if it were, it must not be half there.
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    /// The slot and head of a batch that may be appended.
    fn check(&self, produce: &Produce) -> Result<(Slot, Head), AppendError> {
        let Produce { topic, partition, batch } = produce;
        let unknown = || AppendError::UnknownPartition {
            topic: topic.name().to_string(),
            partition: *partition,
        };
        let found = topic.partition(*partition).ok_or_else(unknown)?;
        if let Some(damage) = found.offline() {
            let (partition, place) = (found.dir.clone(), damage.to_string());
            return Err(AppendError::Offline { partition, place });
        }
        let slot = found.slot;
        // The settings of the topic as they are now, not as the caller saw them.
        let max = self.tails[slot].topic.config().max_message_bytes;
        let size = batch.len();
        if size > max {
            return Err(AppendError::TooLarge { size, max });
        }
        let head = Head::parse(batch).map_err(|_| AppendError::Corrupt("its head is malformed"))?;
        if head.size() != size {
            return Err(AppendError::Corrupt("its length is not that of one batch"));
        }
        if head.last_offset_delta < 0 || head.count < 1 {
            return Err(AppendError::Corrupt("it has no records"));
        }
        Ok((slot, head))
    }

    fn add(
        &mut self,
        produce: &Produce,
        sequenced: bool,
        now: Moment,
    ) -> Result<Appended, AppendError> {
        let (slot, head) = self.check(produce)?;
        let tail = &mut self.tails[slot];
        if sequenced && let Some(repeated) = tail.producers.check(&head)? {
            let Repeated { base_offset, timestamp } = repeated;
            // The time that it got when it was appended (`UnifiedLog.append`).
            let log_append_time = timestamp.filter(|_| tail.topic.config().log_append_time);
            return Ok(Appended { base_offset, log_append_time, log_start: tail.start });
        }
        let Shared { disk, settings, .. } = &*self.shared;
        let content = Content::Stored(produce.batch.clone(), head);
        Ok(self.group.add(tail, content, now, disk, settings))
    }

    /// Takes what an instance commits; nothing of it if anything in it cannot be taken.
    fn commit(&mut self, commit: Commit) -> Result<Committed, WriterError> {
        let Commit { session, parts, staged, positions, position, state } = commit;
        let places = parts.iter().map(|(topic, partition, _)| (topic, *partition));
        let places = places.chain(staged.iter().map(|part| (&part.topic, part.partition)));
        let places = places.chain(state.iter().map(|(topic, _)| (topic, 0)));
        for (topic, partition) in places.chain([(&positions, 0)]) {
            if let Some(refused) = WriterError::of_partition(topic, partition) {
                self.sessions.break_off(&session.instance);
                return Err(refused);
            }
        }
        self.sessions.admit(&session)?;
        let now = self.now();
        let state = state.into_iter().map(|(topic, batch)| (topic, 0, batch));
        let Shared { disk, settings, .. } = &*self.shared;
        let mut batches = Vec::with_capacity(parts.len());
        for (topic, partition, batch) in parts.into_iter().chain(state) {
            let tail = &mut self.tails[slot_of(&topic, partition)];
            self.group.add(tail, Content::Open(batch), now, disk, settings);
            batches.extend(self.group.newest(tail));
        }
        let is_staged = !staged.is_empty();
        for part in staged {
            let tail = &mut self.tails[slot_of(&part.topic, part.partition)];
            for file in part.files {
                self.group.add_staged(tail, file, now, disk, settings);
            }
        }
        let instance = Arc::clone(&session.instance);
        self.group.positions.retain(|other| other.session.instance != instance);
        self.group.positions.push(NewPosition { session, topic: positions, position });
        Ok(Committed { instance, batches, is_staged })
    }

    /// One position for each instance of the group: the newest, since all of the group
    /// becomes durable together.
    fn add_positions(&mut self) {
        let now = self.now();
        let positions = std::mem::take(&mut self.group.positions);
        let Shared { disk, settings, .. } = &*self.shared;
        for NewPosition { topic, position, .. } in &positions {
            let mut batch = BatchBuilder::with_capacity(position.len() + 100);
            batch.push(Some(POSITION_KEY), Some(position), &[]);
            let tail = &mut self.tails[slot_of(topic, 0)];
            self.group.add(tail, Content::Open(batch.finish()), now, disk, settings);
        }
        self.group.positions = positions;
    }
}

/// The key of the record that holds an instance's position.
pub(super) const POSITION_KEY: &[u8] = b"position";
/// The key of the record beside it that holds what of a position seldom changes.
pub(super) const POSITION_BASE_KEY: &[u8] = b"position-base";

/// The slot of a partition that was found to be there.
fn slot_of(topic: &Topic, partition: i32) -> Slot {
    topic.partition(partition).map_or(Slot::NONE, |partition| partition.slot)
}
