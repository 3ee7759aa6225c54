//! Changes of topics: made durable by a record of `__sluice_metadata`, then shown.
//!
//! What holds: the record is durable before the change is shown; files are removed only when
//! a checkpoint has passed every frame that names them.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use uuid::Uuid;

use super::group::Content;
use super::operation::Change;
use super::{Appender, Failure, Removal, Tail};
use crate::clock::Moment;
use crate::disk::{parent, was_not_begun};
use crate::log::Ends;
use crate::log::catalog::{Definition, METADATA_ID};
use crate::log::checkpoint::PartitionState;
use crate::log::error::TopicError;
use crate::log::keeper::Job;
use crate::log::partition::Partition;
use crate::log::place::{self, Left};
use crate::log::producer::Producers;
use crate::log::retention;
use crate::log::segment::Segment;
use crate::log::shared::Shared;
use crate::log::topic::{NewTopic, Topic, TopicRecord, check_name};
use crate::log::topic_config::TopicConfig;
use crate::log::watermarks::Slot;

/// As many as a topic may have: each costs a directory.
pub const MOST_PARTITIONS: i32 = 10_000;

/// So many starts are moved by one frame.
const MOVED_AT_ONCE: usize = 4096;

/// Times of so many segments are read before anything else is asked of the helper, and of so many
/// of one partition.
const READ_AT_ONCE: usize = 256;
const READ_AHEAD: usize = 16;

impl From<Left> for Failure {
    fn from(left: Left) -> Self {
        match left {
            Left::Refused(dir, error) => Self::refused(&dir, &error),
            Left::Lost(dir, error) => Self::of_sync(&dir, &error),
        }
    }
}

impl From<Failure> for TopicError {
    fn from(failure: Failure) -> Self {
        Self::Append(failure.to_append())
    }
}

impl Appender {
    /// Makes metadata records durable, in a group of their own.
    pub(super) fn define(&mut self, definitions: &[Definition]) -> Result<(), Failure> {
        let metadata = self.shared.catalog(|topics| topics.by_id(METADATA_ID).cloned());
        let topic = metadata.ok_or_else(|| Failure::Lost("no metadata topic".to_owned()))?;
        let batch = Content::Open(Definition::batch(definitions));
        let now = self.now();
        let tail = &mut self.tails[super::slot_of(&topic, 0)];
        let Shared { disk, settings, .. } = &*self.shared;
        self.group.add(tail, batch, now, disk, settings);
        self.flush()
    }

    pub(super) fn create_topic(&mut self, new: NewTopic) -> Result<Arc<Topic>, TopicError> {
        let resolved = judge(&self.shared, &new)?;
        let NewTopic { name, partitions, config, owner } = new;
        self.claim(&name, 0..partitions)?;
        let record = TopicRecord::new(Uuid::new_v4(), partitions, config, owner);
        self.define(&[Definition::Topic(name.clone(), Some(record.clone()))])?;
        let all = (0..partitions).map(|number| self.new_partition(&name, number)).collect();
        tracing::info!(topic = name, partitions, "created topic");
        Ok(self.show(Topic::new(&name, record, resolved, all)))
    }

    pub(super) fn change_topic(
        &mut self,
        name: &str,
        change: Change,
    ) -> Result<Arc<Topic>, TopicError> {
        let topic = self.find(name)?;
        let mut record = topic.record();
        let mut keys = Vec::new();
        match change {
            Change::Grow(partitions) => {
                check_growth(record.partitions, partitions)?;
                self.claim(name, record.partitions..partitions)?;
                record.partitions = partitions;
            }
            Change::Configure(settings) => {
                for (key, value) in settings {
                    keys.push(key.clone());
                    match value {
                        Some(value) => record.config.insert(key, value),
                        None => record.config.remove(&key),
                    };
                }
            }
            Change::Own(owner) => record.owner = owner,
        }
        let config = TopicConfig::changed(name, &record.config, &keys, &self.shared.settings)?;
        if record == topic.record() {
            return Ok(topic);
        }
        self.define(&[Definition::Topic(name.to_owned(), Some(record.clone()))])?;
        let mut all = topic.all_partitions().to_vec();
        for number in topic.partitions()..record.partitions {
            all.push(self.new_partition(name, number));
        }
        let topic = self.show(Topic::new(name, record, config, all));
        self.look_at_sealed(&topic);
        Ok(topic)
    }

    /// Deletes a topic. Its directories leave first, durably: their names are then free, and
    /// a crash before the record leaves a topic whose directories the next start finds.
    pub(super) fn delete_topic(&mut self, name: &str) -> Result<(), TopicError> {
        let topic = self.find(name)?;
        if let Some(reason) = &self.read_only {
            return Err(Failure::Lost(reason.clone()).into());
        }
        // It waits for a checkpoint, which waits for directories that are away.
        self.begin_in_any_case()?;
        topic.all_partitions().iter().for_each(|partition| partition.delete());
        let partitions = topic.all_partitions().iter();
        let segments: Vec<_> = partitions.flat_map(|partition| partition.segments()).collect();
        for segment in &segments {
            segment.moves();
        }
        let deleted = self.leave(&topic).and_then(|()| self.define_deleted(&topic));
        if let Err(failure) = deleted {
            for segment in &segments {
                segment.moves();
            }
            topic.all_partitions().iter().for_each(|partition| partition.undelete());
            return Err(failure.into());
        }
        self.shared.change_catalog(|topics| topics.remove(name));
        // Who waits for records learns that none will come.
        let slots = topic.all_partitions().iter().map(|partition| partition.slot);
        let ends: Vec<_> = slots.map(|slot| (slot, self.tails[slot].ends())).collect();
        self.shared.watermarks.publish(&ends);
        self.forget_removals(&topic);
        for partition in topic.all_partitions() {
            partition.segments().iter().for_each(|segment| segment.bury());
            let leaving = place::leaving(topic.id(), partition.number);
            self.removals.push_back((self.sequence, Removal::Dir(leaving)));
            partition.change(Vec::clear);
            self.shared.findings.forget(&partition.dir);
            self.tails.remove(partition.slot);
            self.shared.watermarks.free(partition.slot);
            self.rolled.remove(&partition.slot);
            self.compactable.remove(&partition.slot);
        }
        tracing::info!(topic = name, "deleted topic");
        Ok(())
    }

    /// Forgets what is to be removed of a topic: its paths may soon be those of another one. Many
    /// topics may be deleted before a checkpoint, so all of that is looked through once.
    fn forget_removals(&mut self, topic: &Topic) {
        let dirs: HashSet<&str> =
            topic.all_partitions().iter().map(|partition| partition.dir.as_str()).collect();
        let is_of_topic = |stem: &str| dirs.contains(parent(stem));
        self.removals
            .retain(|(_, removal)| !matches!(removal, Removal::Segment(stem) if is_of_topic(stem)));
        self.emptied.retain(|stem| !is_of_topic(stem));
    }

    fn begin_in_any_case(&mut self) -> Result<(), Failure> {
        match self.begin() {
            Err(Failure::Full) if self.ballast.release() => self.begin(),
            begun => begun,
        }
    }

    fn leave(&mut self, topic: &Topic) -> Result<(), Failure> {
        let left = place::leave(&*self.shared.disk, &self.shared.lost, topic);
        let Err(failure) = left.map_err(Failure::from) else { return Ok(()) };
        if let Failure::Lost(reason) = &failure {
            self.lose(reason.clone());
        }
        Err(failure)
    }

    /// Makes the deletion of a topic durable whose directories have left; they come back if
    /// that fails.
    fn define_deleted(&mut self, topic: &Topic) -> Result<(), Failure> {
        let mut definitions = vec![Definition::Topic(topic.name().to_string(), None)];
        for partition in topic.all_partitions() {
            if self.tails[partition.slot].start > 0 {
                definitions.push(Definition::Start(topic.id(), partition.number, None));
            }
        }
        let defined = self.define(&definitions);
        // Also if nobody can say whether it is durable: until the next start it can be read.
        if defined.is_err()
            && let Err(failure) = self.come_back(topic)
        {
            self.lose(failure.to_string());
        }
        defined
    }

    /// Gives the directories of a topic their names back, durably. A checkpoint that looked for them
    /// meanwhile looks again.
    fn come_back(&self, topic: &Topic) -> Result<(), Failure> {
        let Shared { disk, lost, .. } = &*self.shared;
        match place::come_back(&**disk, lost, topic) {
            // The next start finds either name.
            Err(error) if was_not_begun(&error) => Ok(()),
            back => back.map_err(|error| Failure::of_sync(topic.name(), &error)),
        }
    }

    /// Makes sure that the places of new partitions hold nothing.
    fn claim(&self, topic: &str, numbers: Range<i32>) -> Result<(), Failure> {
        for number in numbers {
            let dir = place::dir(topic, number);
            place::claim(&*self.shared.disk, &self.shared.lost, &dir, self.epoch)
                .map_err(Failure::from)?;
        }
        Ok(())
    }

    /// Moves the starts of partitions, durably and together, and lets the segments before them go.
    pub(super) fn move_starts(&mut self, moves: &[Move]) -> Result<(), Failure> {
        let has_effect = |one: &&Move| {
            let start = self.tails[one.slot].start;
            one.start > start || (one.start == start && one.rolls)
        };
        let moves: Vec<Move> = moves.iter().filter(has_effect).copied().collect();
        if moves.is_empty() {
            return Ok(());
        }
        let define = |one: &Move| {
            let tail = &self.tails[one.slot];
            Definition::Start(tail.topic.id(), tail.partition.number, Some(one.start))
        };
        self.define(&moves.iter().map(define).collect::<Vec<_>>())?;
        for one in &moves {
            self.tails[one.slot].start = one.start;
        }
        let ends = |one: &Move| (one.slot, self.tails[one.slot].ends());
        self.shared.watermarks.publish(&moves.iter().map(ends).collect::<Vec<_>>());
        for one in &moves {
            self.let_go_before(one);
        }
        Ok(())
    }

    /// Lets the segments before a start go that was moved.
    fn let_go_before(&mut self, Move { slot, start, rolls }: &Move) {
        let tail = &mut self.tails[*slot];
        tail.partition.forget_aborted(*start);
        let mut gone = Vec::new();
        tail.partition.change(|segments| {
            let bases: Vec<i64> = segments.iter().map(|segment| segment.base()).collect();
            let all = *rolls && *start == tail.end;
            let count = if all { bases.len() } else { retention::before(&bases, *start) };
            gone = segments.drain(..count).collect();
        });
        if tail.partition.segments().is_empty() {
            // The next append begins a file.
            tail.active = None;
            tail.position = 0;
        }
        for segment in gone {
            segment.retire();
            let removal = Removal::Segment(segment.stem().to_owned());
            self.removals.push_back((self.sequence, removal));
        }
    }

    /// Moves the starts of the partitions that have segments to delete. Where times of segments
    /// have to be read for it, which takes long, a helper is asked for some: it goes on when he has
    /// them.
    pub(super) fn retain(&mut self, now: Moment) {
        if self.times == Times::Read {
            self.times = Times::Idle;
        }
        let (mut due, mut unread) = (Vec::new(), Vec::new());
        for tail in self.tails.iter() {
            due.extend(expired(tail, now, &mut unread));
        }
        for moves in due.chunks(MOVED_AT_ONCE) {
            if let Err(failure) = self.move_starts(moves) {
                tracing::warn!(%failure, "retention could not move the starts of partitions");
                break;
            }
        }
        if !unread.is_empty() && self.times != Times::Asked {
            // Without a keeper the log is being closed.
            let asked = self.helpers.keeper.send(Job::Times(unread)).is_ok();
            self.times = if asked { Times::Asked } else { Times::Idle };
        }
    }

    fn find(&self, name: &str) -> Result<Arc<Topic>, TopicError> {
        let found = self.shared.catalog(|topics| topics.by_name(name).cloned());
        found.ok_or_else(|| TopicError::Unknown(name.to_owned()))
    }

    fn new_partition(&self, topic: &str, number: i32) -> Arc<Partition> {
        let slot = self.shared.watermarks.add(Ends::default());
        Arc::new(Partition::new(topic, number, slot, Vec::new(), Vec::new()))
    }

    /// Gives new partitions a tail, tells old ones of the change, and shows the topic.
    fn show(&mut self, topic: Topic) -> Arc<Topic> {
        let topic = Arc::new(topic);
        for partition in topic.all_partitions() {
            if let Some(tail) = self.tails.get_mut(partition.slot) {
                tail.topic = Arc::clone(&topic);
                continue;
            }
            let state = PartitionState::default();
            let producers = Producers::default();
            let (topic, partition) = (Arc::clone(&topic), Arc::clone(partition));
            self.tails.put(Tail::new(topic, partition, &state, None, producers));
        }
        self.shared.change_catalog(|topics| topics.insert(Arc::clone(&topic)));
        topic
    }
}

/// Times of segments that retention has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    Idle,
    /// A helper reads some.
    Asked,
    /// It has: retention goes on between two groups.
    Read,
}

/// A start to be moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) slot: Slot,
    pub(super) start: i64,
    /// If that is all of the partition, the segment that is appended to goes too.
    pub(super) rolls: bool,
}

/// Where retention wants a partition to start, if that is behind where it does. Segments whose
/// times have to be read before more can be said come to `unread`.
fn expired(tail: &Tail, now: Moment, unread: &mut Vec<Arc<Segment>>) -> Option<Move> {
    let config = tail.topic.config();
    if !config.delete || tail.partition.is_deleted() || tail.partition.offline().is_some() {
        return None;
    }
    let (time, bytes) = (config.retention_ms, config.retention_bytes);
    if time.is_none() && bytes.is_none() {
        return None;
    }
    let all = tail.partition.segments();
    let describe = |segment: &Arc<Segment>| retention::Held {
        base: segment.base(),
        size: segment.size(),
        time: segment.known_time(),
    };
    let segments: Vec<_> = all.iter().map(describe).collect();
    let ages = retention::Ages { keep: time, now, most_ahead: config.after_max_ms };
    let verdict = retention::start(&segments, tail.end, &ages, bytes);
    if let Some(at) = verdict.unread {
        // Where one goes, the next ones may.
        let most = if verdict.start.is_some() { READ_AHEAD } else { 1 };
        let is_unread = |one: &&Arc<Segment>| one.known_time().is_none();
        let room = READ_AT_ONCE.saturating_sub(unread.len()).min(most);
        unread.extend(all[at..].iter().filter(is_unread).take(room).cloned());
    }
    let start = verdict.start?;
    // A transaction that is not decided stays whole, with the segment it began in.
    let open = tail.producers.first_open().unwrap_or(i64::MAX);
    let start =
        if start > open { segments.iter().rev().find(|one| one.base <= open)?.base } else { start };
    let keeps_last = start < tail.end;
    (start > tail.start || (!keeps_last && !segments.is_empty())).then_some(Move {
        slot: tail.partition.slot,
        start,
        rolls: true,
    })
}

/// Whether a topic may be made, and what would hold for it.
pub(in crate::log) fn judge(shared: &Shared, new: &NewTopic) -> Result<TopicConfig, TopicError> {
    let NewTopic { name, partitions, config, owner } = new;
    check_name(name)?;
    if shared.catalog(|topics| topics.by_name(name).is_some()) {
        return Err(TopicError::Exists(name.clone()));
    }
    // Kafka's rule for names of its metrics. It binds who chooses a name, and no instance,
    // whose topics are named by tables that anybody may create.
    if owner.is_none() && shared.catalog(|topics| topics.collides(name).is_some()) {
        let reason = "it differs from another topic's by nothing but '.' and '_'";
        return Err(TopicError::InvalidName(name.clone(), reason));
    }
    check_partitions(*partitions)?;
    TopicConfig::resolve(name, config, &shared.settings)
}

/// Whether a topic of `now` partitions may have so many.
pub(in crate::log) fn check_growth(now: i32, partitions: i32) -> Result<(), TopicError> {
    check_partitions(partitions)?;
    if partitions < now {
        let reason = "it has more already, and partitions are never taken away";
        return Err(TopicError::InvalidPartitions(partitions, reason));
    }
    Ok(())
}

fn check_partitions(partitions: i32) -> Result<(), TopicError> {
    match partitions {
        1..=MOST_PARTITIONS => Ok(()),
        ..1 => Err(TopicError::InvalidPartitions(partitions, "it needs one at least")),
        _ => Err(TopicError::InvalidPartitions(partitions, "10000 are the most")),
    }
}
