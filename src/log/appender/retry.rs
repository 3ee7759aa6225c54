//! A group that failed because of one partition is carried out once more without it.
//!
//! In: a group that was taken back, a partition of which is offline since. Out: what does not need
//! that partition, in a group of its own; all else is answered that it is offline.
//!
//! What holds: what was asked for together is carried out together or not at all; of an instance
//! whose commit needs the partition no commit of the group is, as they follow each other. One with
//! staged files is refused as the group was: the files are no more, and its writer makes them again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::group::{Answer, Chunk, Committed, Content, NewPosition};
use super::{Appender, Failure, slot_of};
use crate::log::error::WriterError;
use crate::log::shared::Shared;
use crate::log::watermarks::Slot;
use crate::record::Head;

/// What a group that failed leaves out.
pub(super) struct Offline {
    slots: BTreeSet<Slot>,
    failure: Failure,
}

impl Appender {
    /// Which partitions of the group are offline, if it was refused and somebody waits for it.
    pub(super) fn hit_offline(&self, failure: Option<&Failure>) -> Option<Offline> {
        let failure = failure.filter(|failure| matches!(failure, Failure::Refused(_)))?.clone();
        if self.group.answers.is_empty() {
            return None;
        }
        let touched = self.group.touched.iter().copied();
        let slots: BTreeSet<Slot> = touched.filter(|slot| self.is_offline(*slot)).collect();
        (!slots.is_empty()).then_some(Offline { slots, failure })
    }

    fn is_offline(&self, slot: Slot) -> bool {
        self.tails.get(slot).is_some_and(|tail| tail.partition.offline().is_some())
    }

    /// Carries the group out that was taken back, but for what needs a partition that is offline.
    pub(super) fn carry_out_without(&mut self, offline: &Offline) -> Result<(), Failure> {
        let chunks = std::mem::take(&mut self.group.chunks);
        let positions = std::mem::take(&mut self.group.positions);
        let answers = std::mem::take(&mut self.group.answers);
        let rooms = std::mem::take(&mut self.group.rooms);
        self.give_files_back();
        self.group.clear(&self.shared.spares);
        self.group.rooms = rooms;
        let left_out = self.left_out(&answers, &chunks, &positions, offline);
        self.group.positions = positions;
        self.group.positions.retain(|one| !left_out.contains(&one.session.instance));
        for instance in &left_out {
            self.sessions.break_off(instance);
        }
        for answer in answers {
            match answer {
                Answer::Each(_, reply, batches) => self.admit_each(batches, reply),
                Answer::All(_, reply, batches) => self.admit_all(batches, reply),
                Answer::Commit(reply, made) if left_out.contains(&made.instance) => {
                    let _ = reply.send(Err(self.refusal(&made, &chunks, offline)));
                }
                Answer::Commit(reply, made) => {
                    let batches = self.commit_again(&made, &chunks);
                    let made = Committed { batches, ..made };
                    self.group.answers.push(Answer::Commit(reply, made));
                }
            }
        }
        self.flush()
    }

    /// The instances no commit of which is carried out.
    fn left_out(
        &self,
        answers: &[Answer],
        chunks: &[Chunk],
        positions: &[NewPosition],
        offline: &Offline,
    ) -> BTreeSet<Arc<str>> {
        let is_offline = |(chunk, _): &(usize, usize)| {
            chunks.get(*chunk).is_none_or(|chunk| offline.slots.contains(&chunk.slot))
        };
        let mut left_out = BTreeSet::new();
        for answer in answers {
            if let Answer::Commit(_, made) = answer
                && (made.is_staged || made.batches.iter().any(is_offline))
            {
                left_out.insert(Arc::clone(&made.instance));
            }
        }
        for NewPosition { session, topic, .. } in positions {
            if self.is_offline(slot_of(topic, 0)) {
                left_out.insert(Arc::clone(&session.instance));
            }
        }
        left_out
    }

    /// What the writer of a commit that is left out is told.
    fn refusal(&self, made: &Committed, chunks: &[Chunk], offline: &Offline) -> WriterError {
        let of_it = made.batches.iter().filter_map(|(chunk, _)| chunks.get(*chunk));
        let hit = of_it.map(|chunk| chunk.slot).find(|slot| offline.slots.contains(slot));
        let tail = hit.and_then(|slot| self.tails.get(slot));
        tail.and_then(|tail| WriterError::of_partition(&tail.topic, tail.partition.number))
            .unwrap_or_else(|| WriterError::from(&offline.failure))
    }

    /// Adds the batches of a commit again, whose bytes are in the chunks it had.
    fn commit_again(&mut self, made: &Committed, chunks: &[Chunk]) -> Vec<(usize, usize)> {
        let now = self.now();
        let mut batches = Vec::with_capacity(made.batches.len());
        for (chunk, mark) in &made.batches {
            let chunk = &chunks[*chunk];
            let batch = chunk.batch(*mark).expect("a commit without staged files has its batches");
            let head = Head::parse(&batch).expect("the log has made the batch");
            let tail = &mut self.tails[chunk.slot];
            let Shared { disk, settings, .. } = &*self.shared;
            self.group.add(tail, Content::Stored(batch, head), now, disk, settings);
            batches.extend(self.group.newest(tail));
        }
        batches
    }
}
