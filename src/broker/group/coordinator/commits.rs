//! What groups have committed: set, told, deleted.
//!
//! In: requests of the APIs, and the topics and groups that go. Out: changes for `writes`;
//! they count once they are durable. Always: who commits is a member of the present
//! generation, or nobody is a member.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use tokio::sync::oneshot;

use super::writes::{Record, Then, Write};
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

    /// The committed offsets of a group.
    pub(crate) fn offsets(&self, group: &str) -> Offsets {
        self.lock().by_name.get(group).map(|held| held.offsets.clone()).unwrap_or_default()
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
            self.queue(held, group, changes, vec![(records::group_key(group), None)])
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

    /// Deletes the offsets of a topic that is no more.
    pub(crate) async fn forget_topic(self: &Arc<Self>, topic: &str) {
        let of_topic = |held: &Held| -> Vec<_> {
            let places = held.offsets.keys().filter(|place| place.topic == topic);
            places.map(|place| (place.clone(), None)).collect()
        };
        let groups: Vec<_> = {
            let groups = self.lock();
            groups.by_name.iter().map(|(name, held)| (name.clone(), of_topic(held))).collect()
        };
        for (name, changes) in groups.into_iter().filter(|(_, changes)| !changes.is_empty()) {
            if let Err(error) = self.change_offsets(&name, changes).await {
                tracing::warn!(group = name, topic, %error, "offsets of a deleted topic remain");
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
            self.queue(held, group, changes, Vec::new())
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
        more: Vec<Record>,
    ) -> oneshot::Receiver<Done> {
        let record = |(place, commit): &(Place, Option<Commit>)| {
            (records::offset_key(group, place), commit.as_ref().map(records::offset_value))
        };
        let mut records: Vec<Record> = changes.iter().map(record).collect();
        records.extend(more);
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

impl Held {
    /// Takes up changes that have become durable.
    pub(super) fn change(&mut self, changes: Vec<(Place, Option<Commit>)>) {
        for (place, commit) in changes {
            match commit {
                Some(commit) => self.offsets.insert(place, commit),
                None => self.offsets.remove(&place),
            };
        }
    }
}
