//! What groups have committed: set, told, deleted.
//!
//! In: requests of the APIs, and the topics and groups that go. Out: changes for `writes`;
//! they count once they are durable. Always: who commits is a member of the present
//! generation, or nobody is a member.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::writes::{Records, Then, Write};
use super::{Coordinator, Done, Held, Waiter};
use crate::broker::group::offsets::{Commit, Offsets, Place};
use crate::broker::group::records;
use crate::broker::group::state::{Identity, Input};

impl Coordinator {
    /// Commits offsets; resolves when they are durable. A group that is not there is made
    /// for a client that assigns partitions to itself (generation -1).
    pub(crate) async fn commit(
        self: &Arc<Self>,
        group: &str,
        member: Identity,
        generation: i32,
        commits: Vec<(Place, Commit)>,
    ) -> Done {
        let input = |ticket| Input::Commit(ticket, member, generation);
        let asked = self.ask(group, generation < 0, Waiter::Done, input).await;
        match asked {
            Err(ResponseError::UnknownMemberId) if generation >= 0 => {
                return Err(ResponseError::IllegalGeneration); // there is no such group
            }
            asked => asked??,
        }
        if commits.is_empty() {
            return Ok(());
        }
        let changes = commits.into_iter().map(|(place, commit)| (place, Some(commit)));
        self.change_offsets(group, changes.collect()).await
    }

    /// The committed offsets of a group, in the topics that there are.
    pub(crate) fn offsets(&self, group: &str) -> Offsets {
        let held = self.lock().by_name.get(group).map(|held| held.offsets.clone());
        let mut offsets = held.unwrap_or_default();
        offsets.retain(|_, commit| self.is_there(commit));
        offsets
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
            self.queue(held, group, changes, records::group_key(group).map(|key| vec![(key, None)]))
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
        let described = self.describe(group).ok_or(ResponseError::GroupIdNotFound)?;
        if !described.group.members.is_empty() && described.group.protocol_type != "consumer" {
            return Err(ResponseError::NonEmptyGroup);
        }
        let topics = described.group.members.iter();
        let topics: BTreeSet<String> = topics
            .filter_map(|member| records::subscribed_topics(&member.subscription))
            .flatten()
            .collect();
        let (kept, free): (Vec<Place>, Vec<Place>) =
            places.into_iter().partition(|place| topics.contains(&place.topic));
        let changes = free.iter().map(|place| (place.clone(), None)).collect();
        let done = self.change_offsets(group, changes).await;
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
    ) -> Option<oneshot::Receiver<Done>> {
        // Behind a commit that is on its way a deletion would bury it.
        held.looks_again = held.writing || !held.writes.is_empty();
        if held.looks_again {
            return None;
        }
        let gone = held.offsets.iter().filter(|(_, commit)| gone(commit));
        let gone: Vec<_> = gone.map(|(place, _)| (place.clone(), None)).collect();
        (!gone.is_empty()).then(|| self.queue(held, name, gone, Ok(Vec::new())))
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

    /// Sets and deletes offsets of a group that is there.
    async fn change_offsets(
        self: &Arc<Self>,
        group: &str,
        changes: Vec<(Place, Option<Commit>)>,
    ) -> Done {
        let done = {
            let mut groups = self.lock();
            if changes.iter().any(|(_, commit)| commit.is_some()) {
                groups.by_name.entry(group.to_owned()).or_insert_with(|| self.held());
            }
            let held = groups.by_name.get_mut(group).ok_or(ResponseError::GroupIdNotFound)?;
            self.queue(held, group, changes, Ok(Vec::new()))
        };
        wait(done).await
    }

    /// Puts changes of offsets, and more records, behind all that the group has to write. What is
    /// decided about a group is put here under the same lock: so nothing that comes later is
    /// written before it.
    pub(super) fn queue(
        self: &Arc<Self>,
        held: &mut Held,
        group: &str,
        changes: Vec<(Place, Option<Commit>)>,
        more: Records,
    ) -> oneshot::Receiver<Done> {
        let record = |(place, commit): &(Place, Option<Commit>)| {
            let value = commit.as_ref().map(records::offset_value).transpose()?;
            Ok((records::offset_key(group, place)?, value))
        };
        let records: Records = changes.iter().map(record).collect();
        let records = records.and_then(|records| Ok([records, more?].concat()));
        let (sender, done) = oneshot::channel();
        held.writes.push(Write { records, then: Then::Offsets(changes, sender) });
        self.begin_writing(held, group);
        done
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

pub(super) async fn wait(done: oneshot::Receiver<Done>) -> Done {
    done.await.map_err(|_| ResponseError::CoordinatorNotAvailable)?
}
