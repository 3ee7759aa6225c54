//! The end of a partition, where the appender puts batches.
//!
//! What holds: what a group changes can be rolled back until the group is published.

use std::collections::HashMap;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use crate::log::checkpoint::PartitionState;
use crate::log::partition::Partition;
use crate::log::producer::{Known, Producers};
use crate::log::segment::Segment;
use crate::log::topic::Topic;
use crate::log::watermarks::Slot;
use crate::log::{Aborted, Ends};

#[derive(Debug)]
pub(in crate::log) struct Tail {
    pub(in crate::log) topic: Arc<Topic>,
    pub(in crate::log) partition: Arc<Partition>,
    pub(in crate::log) start: i64,
    /// The offset of the next record.
    pub(in crate::log) end: i64,
    /// The segment that is appended to; none before the first record.
    pub(in crate::log) active: Option<Arc<Segment>>,
    /// Where in it the next batch goes.
    pub(in crate::log) position: u64,
    /// The largest time of append: time does not go back within a partition.
    pub(in crate::log) last_time: i64,
    pub(in crate::log) producers: Producers,
    /// How many of them the appender has counted.
    counted: usize,
    /// How far compaction has looked at keys.
    pub(super) cleaned: i64,
    /// Segments that begin below it may be replaced behind the last checkpoint.
    pub(super) replaceable: i64,
    /// Transactions that the current group aborted.
    pub(super) aborted: Vec<Aborted>,
    /// The chunk of the current group that the next batch may join.
    pub(super) chunk: Option<usize>,
    saved: Option<Saved>,
    /// What a start found of a partition that is offline: it stays as it is.
    frozen: Option<PartitionState>,
}

/// The tails of all partitions, by their slots.
#[derive(Debug, Default)]
pub(in crate::log) struct Tails(Vec<Option<Tail>>);

impl Tails {
    /// Puts the tail of a new partition in its place.
    pub(in crate::log) fn put(&mut self, tail: Tail) {
        let at = tail.partition.slot.at();
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        self.0[at] = Some(tail);
    }

    /// That of a partition; none if it is no more.
    pub(super) fn get(&self, slot: Slot) -> Option<&Tail> {
        self.0.get(slot.at())?.as_ref().filter(|tail| tail.partition.slot == slot)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Tail> {
        self.0.get_mut(slot.at())?.as_mut().filter(|tail| tail.partition.slot == slot)
    }

    /// The partition is no more.
    pub(super) fn remove(&mut self, slot: Slot) {
        if self.get(slot).is_some() {
            self.0[slot.at()] = None;
        }
    }

    pub(in crate::log) fn iter(&self) -> impl Iterator<Item = &Tail> {
        self.0.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Tail> {
        self.0.iter_mut().flatten()
    }
}

impl Index<Slot> for Tails {
    type Output = Tail;

    fn index(&self, slot: Slot) -> &Tail {
        self.get(slot).expect("the appender looked that the partition is there")
    }
}

impl IndexMut<Slot> for Tails {
    fn index_mut(&mut self, slot: Slot) -> &mut Tail {
        self.get_mut(slot).expect("the appender looked that the partition is there")
    }
}

/// How a tail was before the current group.
#[derive(Debug)]
struct Saved {
    end: i64,
    active: Option<Arc<Segment>>,
    position: u64,
    last_time: i64,
    /// By id: a group may have as many as it has batches.
    producers: HashMap<i64, SavedProducer>,
}

/// What was known of a producer, and the sequence of its first batch in the group.
#[derive(Debug)]
struct SavedProducer {
    before: Option<Known>,
    first: Option<i32>,
}

impl Tail {
    /// The tail of a partition in the state that a checkpoint or recovery gives.
    pub(in crate::log) fn new(
        topic: Arc<Topic>,
        partition: Arc<Partition>,
        state: &PartitionState,
        active: Option<Arc<Segment>>,
        producers: Producers,
    ) -> Self {
        Self {
            topic,
            partition,
            start: state.start,
            end: state.end,
            active,
            position: state.position,
            last_time: state.last_time,
            producers,
            counted: 0,
            cleaned: state.cleaned,
            replaceable: state.replaceable,
            aborted: Vec::new(),
            chunk: None,
            saved: None,
            frozen: None,
        }
    }

    /// The tail of a partition that is offline: the next start finds what this one found.
    pub(in crate::log) fn freeze(&mut self, state: PartitionState) {
        self.frozen = Some(state);
    }

    /// Remembers how it is now, if it was not touched by this group before. Says whether
    /// it was not.
    pub(super) fn touch(&mut self) -> bool {
        if self.saved.is_some() {
            return false;
        }
        self.saved = Some(Saved {
            end: self.end,
            active: self.active.clone(),
            position: self.position,
            last_time: self.last_time,
            producers: HashMap::new(),
        });
        true
    }

    /// Remembers what was known of a producer, if this group did not change it before.
    pub(super) fn save_producer(&mut self, id: i64, before: Option<Known>, first: Option<i32>) {
        if let Some(saved) = &mut self.saved {
            saved.producers.entry(id).or_insert(SavedProducer { before, first });
        }
    }

    /// How many producers were counted of it before, and are now.
    pub(super) fn count_producers(&mut self) -> (usize, usize) {
        let count = self.producers.len();
        (std::mem::replace(&mut self.counted, count), count)
    }

    /// The group is published: there is no way back.
    pub(super) fn keep(&mut self) {
        self.saved = None;
        self.chunk = None;
        self.partition.add_aborted(&self.aborted);
        self.aborted.clear();
    }

    /// The group failed: everything is as it was before.
    pub(super) fn take_back(&mut self) {
        self.chunk = None;
        self.aborted.clear();
        let Some(saved) = self.saved.take() else { return };
        let Saved { end, active, position, last_time, producers } = saved;
        self.end = end;
        self.active = active;
        self.position = position;
        self.last_time = last_time;
        for (id, SavedProducer { before, first }) in producers {
            self.producers.restore(id, before, first);
        }
    }

    /// What may be read of it once everything it holds is durable.
    pub(in crate::log) fn ends(&self) -> Ends {
        Ends {
            log_start: self.start,
            high_watermark: self.end,
            last_stable: self.producers.first_open().unwrap_or(self.end),
        }
    }

    /// Its state for a checkpoint.
    pub(in crate::log) fn state(&self) -> PartitionState {
        let producers = self.producers.known().map(|(id, known)| (id, known.clone())).collect();
        if let Some(frozen) = &self.frozen {
            return PartitionState { producers, aborted: self.all_aborted(), ..frozen.clone() };
        }
        PartitionState {
            topic: self.topic.id(),
            partition: self.partition.number,
            start: self.start,
            end: self.end,
            segment: self.active.as_ref().map_or(self.end, |segment| segment.base()),
            position: self.position,
            last_time: self.last_time,
            cleaned: self.cleaned,
            replaceable: self.replaceable,
            emptied: self.replaceable > 0,
            segments: self
                .partition
                .segments()
                .iter()
                .map(|one| (one.base(), one.size()))
                .collect(),
            producers,
            aborted: self.all_aborted(),
            damaged: self.partition.offline().map(|damage| damage.segment),
        }
    }

    /// Producer, first and last offset of each.
    fn all_aborted(&self) -> Vec<(i64, i64, i64)> {
        let all = self.partition.aborted(i64::MIN, i64::MAX);
        all.iter().map(|one| (one.producer_id, one.first_offset, one.last_offset)).collect()
    }
}
