//! The thread that owns every append.
//!
//! Owns: the tails of all partitions, the journal, the sessions of instances. In: requests
//! from the queue. Out: groups made durable (`flush`), then shown to readers.
//!
//! What holds: groups form by themselves: while one is being synced, the next collects in
//! the queue. An operation (a change of topics, a fence) stands between two groups. What
//! waits in the queue when the log is closed is still carried out.

mod flush;
mod group;
pub(super) mod operation;
mod session;
mod tail;
mod topics;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

pub(super) use group::marker_of;
use group::{Answer, Chunk, Content, Group, NewPosition};
use session::Sessions;
pub(super) use tail::Tail;

use super::ballast::Ballast;
use super::catalog::Definition;
use super::checkpoint::Checkpoint;
use super::compaction::{CompactionJob, Replaced};
use super::error::{AppendError, OpenError, WriterError};
use super::instance_writer::Commit;
use super::journal::Journal;
use super::keeper::{CheckpointJob, CheckpointOutcome, Job, Outcome};
use super::queue::Request;
use super::segment::Segment;
use super::shared::Shared;
use super::topic::Topic;
use super::watermarks::Slot;
use super::{Appended, Produce};
use crate::clock::now_millis;
use crate::record::{BatchBuilder, Head};

/// A group is carried out when it has so many bytes, though more waits.
const GROUP_BYTES: usize = 8 << 20;

/// How long the thread sleeps at most, so that checkpoints and retention are in time.
const PATIENCE: Duration = Duration::from_millis(500);

/// On a full disk checkpoints come as often, at most.
const FULL_RETRY_MS: i64 = 1000;

/// A producer that was silent so long is forgotten: `producer.id.expiration.ms`.
const PRODUCER_EXPIRATION_MS: i64 = 24 * 3600 * 1000;

/// Behind the last checkpoint, in bytes and since when.
#[derive(Debug, Default)]
struct Since {
    inline: u64,
    reference: u64,
    time: i64,
    /// A checkpoint is being written.
    running: bool,
}

/// Why a group was refused.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// There is no room; the log goes on.
    Full,
    /// The disk refused; the log goes on.
    Refused(String),
    /// Nobody can say what is durable: read-only from now on.
    Lost(String),
}

impl Failure {
    pub(super) fn refused(place: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full,
            _ => Self::Refused(format!("write to {place}: {error}")),
        }
    }

    fn of_write(doing: &str, chunk: &Chunk, error: &io::Error) -> Self {
        Self::refused(&format!("{doing} {}", chunk.segment.path()), error)
    }

    pub(super) fn of_sync(place: &str, error: &io::Error) -> Self {
        let place = if place.is_empty() { "the log directory" } else { place };
        Self::Lost(format!("sync {place}: {error}"))
    }

    fn to_append(&self) -> AppendError {
        match self {
            Self::Full => AppendError::Full,
            Self::Refused(reason) => AppendError::Failed(reason.clone()),
            Self::Lost(reason) => AppendError::ReadOnly(reason.clone()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_append().fmt(f)
    }
}

impl From<&Failure> for WriterError {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Full => Self::Full,
            Failure::Refused(_) | Failure::Lost(_) => Self::Failed(failure.to_string()),
        }
    }
}

/// See the head of this file.
pub(super) struct Appender {
    shared: Arc<Shared>,
    journal: Journal,
    epoch: u64,
    sequence: u64,
    salt: u32,
    tails: Vec<Tail>,
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
    compacting: usize,
    /// What to remove once a checkpoint has passed the sequence.
    removals: VecDeque<(u64, Removal)>,
    since: Since,
    retained: i64,
    producer_ids: std::ops::Range<i64>,
    keeper: mpsc::Sender<Job>,
    outcomes: mpsc::Receiver<Outcome>,
    ballast: Ballast,
    /// The last group found no room.
    full: bool,
    read_only: Option<String>,
}

/// What is removed when nothing needs it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// A segment, by its path without suffix.
    Segment(String),
    /// A directory.
    Dir(String),
}

/// What an opened log starts its appender with.
pub(super) struct Start {
    pub(super) journal: Journal,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) salt: u32,
    pub(super) tails: Vec<Tail>,
    pub(super) producer_ids: i64,
}

impl Appender {
    pub(super) fn new(
        shared: Arc<Shared>,
        start: Start,
        keeper: mpsc::Sender<Job>,
        outcomes: mpsc::Receiver<Outcome>,
    ) -> Self {
        let now = now_millis();
        let Start { journal, epoch, sequence, salt, tails, producer_ids } = start;
        let ballast = Ballast::new(&shared.disk, shared.settings.ballast_bytes);
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
            dirty: Vec::new(),
            sealed: Vec::new(),
            rolled: BTreeSet::new(),
            compactable: BTreeMap::new(),
            compacting: 0,
            removals: VecDeque::new(),
            since: Since { time: now, ..Since::default() },
            retained: now,
            producer_ids: producer_ids..producer_ids,
            keeper,
            outcomes,
            ballast,
            full: false,
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
            let _ = self.flush();
            self.keep_house(now_millis());
        }
        self.close();
    }

    /// Takes a request into the group, or carries the group out and then the operation.
    fn admit(&mut self, request: Request) {
        match request {
            Request::Each(batches, reply, room) => {
                let now = now_millis();
                let add = |produce| self.add(produce, true, now);
                let results = batches.into_iter().map(add).collect();
                self.group.rooms.push(room);
                self.group.answers.push(Answer::Each(results, reply));
            }
            Request::All(batches, reply, room) => {
                if let Some(error) = batches.iter().find_map(|batch| self.check(batch).err()) {
                    let _ = reply.send(Err(error));
                    return;
                }
                let now = now_millis();
                let add = |produce| self.add(produce, false, now);
                match batches.into_iter().map(add).collect() {
                    Ok(appended) => self.group.answers.push(Answer::All(appended, reply)),
                    // Not after the check above; if it were, it must not be half there.
                    Err(error) => {
                        let _ = reply.send(Err(error));
                    }
                }
                self.group.rooms.push(room);
            }
            Request::Commit(commit, reply, room) => {
                self.group.rooms.push(room);
                match self.commit(*commit) {
                    Ok(()) => self.group.answers.push(Answer::Commit(reply)),
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

    /// The slot and head of a batch that may be appended.
    fn check(&self, produce: &Produce) -> Result<(Slot, Head), AppendError> {
        let Produce { topic, partition, batch } = produce;
        let unknown = || AppendError::UnknownPartition {
            topic: topic.name().to_string(),
            partition: *partition,
        };
        let slot = topic.partition(*partition).ok_or_else(unknown)?.slot;
        // The settings of the topic as they are now, not as the caller saw them.
        let max = self.tails[slot.0].topic.config().max_message_bytes;
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
        produce: Produce,
        sequenced: bool,
        now: i64,
    ) -> Result<Appended, AppendError> {
        let (slot, head) = self.check(&produce)?;
        let tail = &mut self.tails[slot.0];
        if sequenced && let Some(base_offset) = tail.producers.check(&head)? {
            return Ok(Appended { base_offset, log_append_time: None, log_start: tail.start });
        }
        let Shared { disk, settings, .. } = &*self.shared;
        let content = Content::Stored(produce.batch, head);
        Ok(self.group.add(tail, content, now, disk, settings))
    }

    /// Takes what an instance commits; nothing of it if anything in it cannot be taken.
    fn commit(&mut self, commit: Commit) -> Result<(), WriterError> {
        let Commit { session, parts, staged, positions, position, state } = commit;
        let places = parts.iter().map(|(topic, partition, _)| (topic, *partition));
        let places = places.chain(staged.iter().map(|part| (&part.topic, part.partition)));
        let places = places.chain(state.iter().map(|(topic, _)| (topic, 0)));
        for (topic, partition) in places.chain([(&positions, 0)]) {
            if topic.partition(partition).is_none() {
                self.sessions.break_off(&session.instance);
                let topic = topic.name().to_string();
                let reason = format!("it was deleted, or never had partition {partition}");
                return Err(WriterError::Refused { topic, reason });
            }
        }
        self.sessions.admit(&session)?;
        let now = now_millis();
        let state = state.into_iter().map(|(topic, batch)| (topic, 0, batch));
        let Shared { disk, settings, .. } = &*self.shared;
        for (topic, partition, batch) in parts.into_iter().chain(state) {
            let tail = &mut self.tails[slot_of(&topic, partition)];
            self.group.add(tail, Content::Open(batch), now, disk, settings);
        }
        for part in staged {
            let tail = &mut self.tails[slot_of(&part.topic, part.partition)];
            for file in part.files {
                self.group.add_staged(tail, file, disk, settings);
            }
        }
        self.group.positions.retain(|other| other.session.instance != session.instance);
        self.group.positions.push(NewPosition { session, topic: positions, position });
        Ok(())
    }

    /// One position for each instance of the group: the newest, since all of the group
    /// becomes durable together.
    fn add_positions(&mut self) {
        let now = now_millis();
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

    /// What is due between groups: checkpoints and retention.
    fn keep_house(&mut self, now: i64) {
        while let Ok(outcome) = self.outcomes.try_recv() {
            self.take_outcome(outcome);
        }
        let settings = &self.shared.settings;
        let every = i64::try_from(settings.retention_check_ms).unwrap_or(i64::MAX);
        if now - self.retained >= every {
            self.retained = now;
            self.retain(now);
        }
        let settings = &self.shared.settings;
        let every = i64::try_from(settings.checkpoint_ms).unwrap_or(i64::MAX);
        let due = self.since.inline >= settings.checkpoint_inline_bytes
            || self.since.reference >= settings.checkpoint_reference_bytes
            || (now - self.since.time >= every && self.has_changed())
            // A checkpoint gives files of the journal back.
            || (self.full && now - self.since.time >= FULL_RETRY_MS && self.has_changed());
        if due && !self.since.running && self.read_only.is_none() {
            self.start_checkpoint(now);
        }
    }

    fn has_changed(&self) -> bool {
        self.since.inline > 0 || !self.removals.is_empty() || !self.sealed.is_empty()
    }

    fn start_checkpoint(&mut self, now: i64) {
        for tail in &mut self.tails {
            tail.producers.expire(now - PRODUCER_EXPIRATION_MS);
        }
        let job = self.checkpoint_job(false);
        self.since = Since { time: now, running: true, ..Since::default() };
        // Without a keeper the log is being closed, which writes a checkpoint itself.
        let _ = self.keeper.send(Job::Checkpoint(job));
    }

    fn checkpoint_job(&mut self, clean: bool) -> CheckpointJob {
        let active = |slot: &Slot| self.tails[slot.0].active.as_ref().map(|one| one.base());
        self.compactable =
            self.rolled.iter().filter_map(|slot| active(slot).map(|base| (*slot, base))).collect();
        self.rolled.clear();
        let partitions = self
            .tails
            .iter()
            .filter(|tail| tail.end > 0 && !tail.partition.is_deleted())
            .map(Tail::state)
            .collect();
        for segment in &self.dirty {
            segment.dirty.store(false, Ordering::Relaxed);
        }
        CheckpointJob {
            checkpoint: Checkpoint {
                epoch: self.epoch,
                sequence: self.sequence,
                salt: self.salt,
                clean,
                partitions,
            },
            dirty: std::mem::take(&mut self.dirty),
            sealed: std::mem::take(&mut self.sealed),
        }
    }

    fn take_outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Checkpoint(outcome) => self.passed(outcome),
            Outcome::Compaction(slot, replaced) => self.compacted(slot, replaced),
        }
    }

    /// A checkpoint is durable, or failed.
    fn passed(&mut self, outcome: CheckpointOutcome) {
        self.since.running = false;
        let compactable = std::mem::take(&mut self.compactable);
        match outcome.result {
            Ok(sequence) => {
                self.remove_passed(sequence);
                self.start_compactions(&compactable);
                if let Err(error) = self.journal.passed(sequence) {
                    tracing::warn!(%error, "a file of the journal could not be used again");
                }
            }
            Err(Failure::Lost(reason)) => self.lose(reason),
            Err(failure @ (Failure::Full | Failure::Refused(_))) => {
                tracing::warn!(%failure, "no checkpoint could be written; the next is tried");
                for segment in &outcome.dirty {
                    segment.dirty.store(true, Ordering::Relaxed);
                }
                self.dirty.extend(outcome.dirty);
                self.sealed.extend(outcome.sealed);
                self.rolled.extend(compactable.into_keys());
                if matches!(failure, Failure::Full) {
                    self.ballast.release();
                }
            }
        }
    }

    /// Of partitions that were rolled before the checkpoint, what was sealed then.
    fn start_compactions(&mut self, compactable: &BTreeMap<Slot, i64>) {
        let now = now_millis();
        for (slot, before) in compactable {
            let tail = &self.tails[slot.0];
            let job = CompactionJob {
                slot: *slot,
                dir: tail.partition.dir.clone(),
                segments: tail.partition.segments(),
                before: *before,
                tombstones_before: now - tail.topic.config().delete_retention_ms,
                interval: self.shared.settings.index_interval_bytes,
            };
            if self.keeper.send(Job::Compaction(job)).is_ok() {
                self.compacting += 1;
            }
        }
    }

    /// Puts compacted segments in their places.
    fn compacted(&mut self, slot: Slot, replaced: Vec<Replaced>) {
        self.compacting -= 1;
        self.tails[slot.0].partition.change(|segments| {
            for Replaced { old, new } in replaced {
                if let Some(at) = segments.iter().position(|one| Arc::ptr_eq(one, &old)) {
                    segments.splice(at..=at, new);
                }
            }
        });
    }

    /// Nobody can say what is durable any more.
    fn lose(&mut self, reason: String) {
        if self.read_only.is_none() {
            tracing::error!(reason, "the log is read-only until the process starts again");
            self.read_only = Some(reason);
        }
    }

    fn remove_passed(&mut self, sequence: u64) {
        while self.removals.front().is_some_and(|(at, _)| *at <= sequence) {
            let Some((_, removal)) = self.removals.pop_front() else { return };
            let disk = &*self.shared.disk;
            let removed = match &removal {
                Removal::Segment(stem) => super::segment::remove(disk, stem),
                Removal::Dir(dir) => disk.remove_dir(dir),
            };
            if let Err(error) = removed {
                tracing::warn!(%error, ?removal, "could not remove; the next start does");
            }
        }
    }

    /// The last checkpoint: the next start has nothing to recover.
    fn close(mut self) {
        // The keeper must not replace the last checkpoint by an older one.
        while self.since.running || self.compacting > 0 {
            let Ok(outcome) = self.outcomes.recv() else { break };
            self.take_outcome(outcome);
        }
        if self.read_only.is_some() {
            return;
        }
        let outcome = self.checkpoint_job(true).carry_out(&*self.shared.disk);
        match outcome.result {
            Ok(sequence) => {
                self.remove_passed(sequence);
                if let Err(error) = self.journal.shrink() {
                    tracing::warn!(%error, "the journal keeps its files");
                }
                tracing::info!(sequence, "closed the log");
            }
            Err(failure) => tracing::error!(%failure, "the next start has to recover the log"),
        }
    }
}

/// The key of the record that holds an instance's position.
pub(super) const POSITION_KEY: &[u8] = b"position";

/// The slot of a partition that was found to be there.
fn slot_of(topic: &Topic, partition: i32) -> usize {
    topic.partition(partition).map_or(usize::MAX, |partition| partition.slot.0)
}
