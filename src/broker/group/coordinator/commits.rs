//! What groups have committed: set, told, deleted.
//!
//! In: requests of the APIs, and the topics and groups that go. Out: changes for `writes`;
//! they count once they are durable. Always: who commits is a member of the present
//! generation, or nobody is a member: that is judged, and its offsets queued, in one hold of the
//! lock, so that nothing of a later generation comes between.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::timers::CONSUMER;
use super::writes::{Change, LARGEST, Write, record_bytes};
use super::{Coordinator, Done, Held, Waiter};
use crate::broker::group::offsets::{Commit, Offsets, Place};
use crate::broker::group::records;
use crate::broker::group::state::{Identity, Input};

impl Coordinator {
    /// Commits offsets; resolves when they are durable. A group that is not there is made
    /// for a client that assigns partitions to itself (generation -1). Of a partition that is
    /// named more than once the last counts. What would be more than [`LARGEST`] as records is
    /// refused whole (`INVALID_COMMIT_OFFSET_SIZE`, as Kafka does above `message.max.bytes`).
    pub(crate) async fn commit(
        self: &Arc<Self>,
        group: &str,
        member: Identity,
        generation: i32,
        commits: Vec<(Place, Commit)>,
    ) -> Done {
        self.is_served(group)?;
        let commits: Offsets = commits.into_iter().collect();
        let changes = commits.into_iter().map(|(place, commit)| (place, Some(commit)));
        let changes: Vec<Change> = changes.collect();
        let bytes: usize = changes.iter().map(|change| record_bytes(group, change)).sum();
        let input = |ticket| Input::Commit(ticket, member, generation);
        let (sender, mut judged) = oneshot::channel();
        let done = {
            let mut groups = self.lock();
            match self.begin(&mut groups, group, generation < 0, Waiter::Done(sender), input) {
                Err(ResponseError::UnknownMemberId) if generation >= 0 => {
                    return Err(ResponseError::IllegalGeneration); // there is no such group
                }
                begun => begun?,
            }
            // It is answered in the step itself.
            judged.try_recv().map_err(|_| ResponseError::NotCoordinator)??;
            if changes.is_empty() {
                return Ok(());
            }
            if bytes > LARGEST {
                return Err(ResponseError::InvalidCommitOffsetSize);
            }
            let made = || self.held();
            let held = groups.by_name.entry(group.to_owned()).or_insert_with(made);
            self.queue(held, group, changes, false)
        };
        wait(done).await
    }

    /// The committed offsets of a group, in the topics that there are.
    pub(crate) fn offsets(&self, group: &str) -> Offsets {
        let held = self.lock().by_name.get(group).map(|held| held.offsets.clone());
        let mut offsets = held.unwrap_or_default();
        offsets.retain(|_, commit| self.is_there(commit));
        offsets
    }

    /// Those of the offsets of a group, in the topics that there are.
    pub(crate) fn offsets_of(&self, group: &str, places: &[Place]) -> Vec<Option<Commit>> {
        let found = {
            let groups = self.lock();
            let offsets = groups.by_name.get(group).map(|held| &held.offsets);
            let one = |place| offsets.and_then(|offsets| offsets.get(place)).cloned();
            places.iter().map(one).collect::<Vec<_>>()
        };
        found.into_iter().map(|commit| commit.filter(|commit| self.is_there(commit))).collect()
    }

    /// How many bytes all offsets of a group have, with so many each beside names and metadata.
    pub(crate) fn size_of_offsets(&self, group: &str, each: usize) -> usize {
        let groups = self.lock();
        let offsets = groups.by_name.get(group).map(|held| &held.offsets);
        let size =
            |(place, commit): (&Place, &Commit)| each + place.topic.len() + commit.metadata.len();
        offsets.map_or(0, |offsets| offsets.iter().map(size).sum())
    }

    /// Whether there still is the topic that it was committed for.
    pub(super) fn is_there(&self, commit: &Commit) -> bool {
        self.log.topic_by_id(commit.topic_id).is_some()
    }

    /// Deletes a group without members, and its offsets.
    pub(crate) async fn delete(self: &Arc<Self>, group: &str) -> Done {
        self.is_served(group)?;
        let done = {
            let mut groups = self.lock();
            let held = groups.by_name.get_mut(group).ok_or(ResponseError::GroupIdNotFound)?;
            if !held.group.is_empty() {
                return Err(ResponseError::NonEmptyGroup);
            }
            let changes = held.offsets.keys().map(|place| (place.clone(), None)).collect();
            self.queue(held, group, changes, true)
        };
        let written = wait(done).await;
        if written.is_ok() {
            self.forget(group);
        }
        written
    }

    /// Deletes offsets of a group, save those of topics its members subscribe to.
    pub(crate) async fn delete_offsets(
        self: &Arc<Self>,
        group: &str,
        places: Vec<Place>,
    ) -> Result<Vec<(Place, Done)>, ResponseError> {
        self.is_served(group)?;
        let (kept, free, done) = {
            let mut groups = self.lock();
            let held = groups.by_name.get_mut(group).ok_or(ResponseError::GroupIdNotFound)?;
            let described = held.group.snapshot();
            if !described.members.is_empty() && described.protocol_type != CONSUMER {
                return Err(ResponseError::NonEmptyGroup);
            }
            let topics = described.members.iter();
            let topics: BTreeSet<String> = topics
                .filter_map(|member| records::subscribed_topics(&member.subscription))
                .flatten()
                .collect();
            let (kept, free): (Vec<Place>, Vec<Place>) =
                places.into_iter().partition(|place| topics.contains(&place.topic));
            // Of what is being written nobody knows yet whether it counts.
            let pending = held.writing || !held.writes.is_empty();
            let there = |place: &&Place| pending || held.offsets.contains_key(place);
            let there: BTreeSet<Place> = free.iter().filter(there).cloned().collect();
            let changes = there.into_iter().map(|place| (place, None)).collect();
            let done = self.queue(held, group, changes, false);
            (kept, free, done)
        };
        let done = wait(done).await;
        let kept =
            kept.into_iter().map(|place| (place, Err(ResponseError::GroupSubscribedToTopic)));
        Ok(free.into_iter().map(|place| (place, done)).chain(kept).collect())
    }

    /// Deletes the offsets of topics that were deleted; resolves when that is durable. What a
    /// group is writing meanwhile is looked at when it is written.
    pub(crate) async fn forget_topics(self: &Arc<Self>, deleted: &HashSet<Uuid>) {
        let gone = |commit: &Commit| deleted.contains(&commit.topic_id);
        let begun: Vec<_> = {
            let mut groups = self.lock();
            let all = groups.by_name.iter_mut();
            let begun =
                all.map(|(name, held)| Some((name.clone(), self.let_go(held, name, gone)?)));
            begun.flatten().collect()
        };
        for (group, done) in begun {
            if let Err(error) = wait(done).await {
                tracing::warn!(group, %error, "offsets of a deleted topic remain stored");
            }
        }
    }

    /// Begins to delete the offsets of all topics that are no more.
    pub(super) fn begin_to_forget(self: &Arc<Self>) {
        for (name, held) in &mut self.lock().by_name {
            self.let_go(held, name, |commit| !self.is_there(commit));
        }
    }

    /// Deletes what a group has of topics that are no more: at once if nothing of it is being
    /// written, else then. They do not count any more in any case.
    pub(super) fn let_go(
        self: &Arc<Self>,
        held: &mut Held,
        name: &str,
        gone: impl Fn(&Commit) -> bool,
    ) -> Option<Queued> {
        // Behind a commit that is on its way a deletion would bury it.
        held.looks_again = held.writing || !held.writes.is_empty();
        if held.looks_again {
            return None;
        }
        let gone = held.offsets.iter().filter(|(_, commit)| gone(commit));
        let gone: Vec<_> = gone.map(|(place, _)| (place.clone(), None)).collect();
        (!gone.is_empty()).then(|| self.queue(held, name, gone, false))
    }

    /// Takes up changes that have become durable.
    pub(super) fn change(&self, held: &mut Held, changes: Vec<(Place, Option<Commit>)>) {
        for (place, commit) in changes {
            match commit {
                Some(commit) => {
                    // Its topic may have been deleted since the commit was judged.
                    held.looks_again |= !self.is_there(&commit);
                    held.offsets.insert(place, commit);
                }
                None => {
                    held.offsets.remove(&place);
                }
            }
        }
    }

    /// Puts changes of offsets behind all that the group has to write, and the end of the group
    /// behind them. What is decided about a group is put here under the same lock: so nothing that
    /// comes later is written before it. More than [`LARGEST`] is written in several steps.
    pub(super) fn queue(
        self: &Arc<Self>,
        held: &mut Held,
        group: &str,
        changes: Vec<Change>,
        ends_group: bool,
    ) -> Queued {
        let mut queued = Vec::new();
        let mut changes = changes.into_iter().peekable();
        loop {
            let (mut some, mut bytes) = (Vec::new(), 0);
            while let Some(next) = changes.next_if(|next| {
                bytes += record_bytes(group, next);
                bytes <= LARGEST || some.is_empty()
            }) {
                some.push(next);
            }
            let is_last = changes.peek().is_none();
            let (done, receiver) = oneshot::channel();
            queued.push(receiver);
            let ends_group = ends_group && is_last;
            held.writes.push_back(Write::Offsets { changes: some, ends_group, done });
            if is_last {
                break;
            }
        }
        self.begin_writing(held, group);
        Queued(queued)
    }

    /// Lets a group go that has nothing any more.
    pub(super) fn forget(&self, group: &str) {
        let mut groups = self.lock();
        let unused = |held: &Held| {
            let idle = held.writes.is_empty() && !held.writing;
            idle && held.group.is_empty() && held.offsets.is_empty() && held.waiting.is_empty()
        };
        if groups.by_name.get(group).is_some_and(unused) {
            groups.remove(group);
        }
    }
}

/// What was put to the writes, in as many steps as it takes.
#[must_use]
pub(super) struct Queued(Vec<oneshot::Receiver<Done>>);

/// Resolves when all of it is durable; with an error if any of it is not.
pub(super) async fn wait(queued: Queued) -> Done {
    let mut outcome = Ok(());
    for done in queued.0 {
        let done = done.await.map_err(|_| ResponseError::CoordinatorNotAvailable);
        outcome = outcome.and(done.flatten());
    }
    outcome
}
