//! All groups: who waits for an answer, whose time is up, what is written.
//!
//! Owns: the map of groups, their timers, their waiting requests, and their records in
//! `__consumer_offsets`. In: requests of the APIs. Out: answers, once what they say is
//! durable. One lock over all groups, held for a step and never across an await; one task
//! for all timers; one writing task a group, only while it has something to write, so that
//! a group's records have one order and what gathers meanwhile goes out together.
//!
//! Always: an offset is seen by `OffsetFetch` only when it is durable. Dropping a request's
//! future leaves its ticket to be answered into nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kafka_protocol::ResponseError;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::offsets::{self, Commit, Offsets, Place};
use super::records;
use super::state::{
    Group, Identity, Input, Join, Joined, Output, Snapshot, StoreId, Sync, Synced, Ticket,
};
use super::{OFFSETS_TOPIC, restore};
use crate::broker::GroupSettings;
use crate::clock;
use crate::log::{Log, NewTopic, Produce, ReadError, Topic, TopicError};
use crate::record::BatchBuilder;
use crate::shutdown::Tasks;

/// A record: key, and value or deletion.
type Record = (Vec<u8>, Option<Vec<u8>>);
type Done = Result<(), ResponseError>;

/// The coordinator of all groups.
#[derive(Debug)]
pub(crate) struct Coordinator {
    log: Log,
    settings: GroupSettings,
    tasks: Tasks,
    /// The origin of the steps' clock.
    started: Instant,
    groups: Mutex<Groups>,
    /// A group may have an earlier deadline than the timer waits for.
    earlier: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Groups {
    by_name: BTreeMap<String, Held>,
    /// Deadlines and whose they are.
    due: BTreeSet<(i64, String)>,
    next_ticket: u64,
}

/// A group and what surrounds its membership.
#[derive(Debug)]
pub(super) struct Held {
    group: Group,
    offsets: Offsets,
    /// Since when nobody is a member, in milliseconds since 1970.
    empty_since: i64,
    waiting: BTreeMap<Ticket, Waiter>,
    due: Option<i64>,
    /// Not yet handed to the log, in order.
    writes: Vec<Write>,
    writing: bool,
}

#[derive(Debug)]
enum Waiter {
    Joined(oneshot::Sender<Joined>),
    Synced(oneshot::Sender<Result<Synced, ResponseError>>),
    Done(oneshot::Sender<Done>),
    Left(oneshot::Sender<Vec<Done>>),
}

/// What is written in one go, and what it changes once it is durable.
#[derive(Debug)]
struct Write {
    records: Vec<Record>,
    then: Then,
}

#[derive(Debug)]
enum Then {
    /// A snapshot of the membership.
    Stored(StoreId),
    /// Offsets, set or deleted.
    Offsets(Vec<(Place, Option<Commit>)>, oneshot::Sender<Done>),
}

/// A line of `ListGroups`.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) protocol_type: String,
    pub(crate) state: &'static str,
}

/// A group as `DescribeGroups` shows it.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) state: &'static str,
    pub(crate) group: Snapshot,
}

impl Coordinator {
    /// Restores all groups from the log and starts their timers.
    pub(crate) async fn open(
        log: Log,
        settings: GroupSettings,
        tasks: Tasks,
    ) -> Result<Arc<Self>, ReadError> {
        let restored = restore::read(&log).await?;
        let coordinator = Arc::new(Self {
            log,
            settings,
            tasks,
            started: Instant::now(),
            groups: Mutex::default(),
            earlier: Notify::new(),
        });
        coordinator.take_up(restored);
        let timers = Arc::clone(&coordinator);
        coordinator.tasks.spawn("group timers", async move { timers.keep_time().await });
        Ok(coordinator)
    }

    /// Waits for the timers and for what is being written. The log must still be open.
    pub(crate) async fn close(&self) {
        self.tasks.cancel();
        self.tasks.join().await;
    }

    fn take_up(&self, restored: restore::Restored) {
        let (now, mut groups) = (self.now(), self.lock());
        for (name, restore::Stored { snapshot, offsets }) in restored {
            let mut held = self.held();
            held.offsets = offsets;
            if let Some((snapshot, since)) = snapshot {
                held.empty_since = since;
                held.group.restore(now, snapshot);
            }
            groups.by_name.insert(name.clone(), held);
            groups.reschedule(&name);
        }
        tracing::info!(groups = groups.by_name.len(), "consumer groups restored");
    }

    fn held(&self) -> Held {
        Held {
            group: Group::new(self.settings.initial_rebalance_delay_ms, self.settings.max_size),
            offsets: Offsets::new(),
            empty_since: clock::now_millis(),
            waiting: BTreeMap::new(),
            due: None,
            writes: Vec::new(),
            writing: false,
        }
    }

    fn now(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// A panic while it was held leaves no half-made step behind that another could not
    /// take: so a poisoned lock is taken.
    fn lock(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What the APIs ask.

    /// Joins; resolves when the rebalance is through. Makes the group if it is not there.
    pub(crate) async fn join(self: &Arc<Self>, group: &str, mut join: Join) -> Joined {
        let session = self.settings.min_session_timeout_ms..=self.settings.max_session_timeout_ms;
        let id = join.identity.member.clone();
        if !session.contains(&join.session_timeout_ms) {
            return Joined::refused(ResponseError::InvalidSessionTimeout, id);
        }
        let prefix = join.identity.instance.as_ref().unwrap_or(&join.client_id);
        join.new_id = format!("{prefix}-{}", Uuid::new_v4());
        let create = id.is_empty();
        let input = |ticket| Input::Join(ticket, Box::new(join));
        match self.ask(group, create, Waiter::Joined, input).await {
            Ok(joined) => joined,
            Err(error) => Joined::refused(error, id),
        }
    }

    /// Asks for the assignment; resolves when the leader has given it.
    pub(crate) async fn sync(
        self: &Arc<Self>,
        group: &str,
        sync: Sync,
    ) -> Result<Synced, ResponseError> {
        self.ask(group, false, Waiter::Synced, |ticket| Input::Sync(ticket, sync)).await?
    }

    /// Says that a member lives.
    pub(crate) async fn heartbeat(
        self: &Arc<Self>,
        group: &str,
        member: Identity,
        generation: i32,
    ) -> Done {
        let input = |ticket| Input::Heartbeat(ticket, member, generation);
        self.ask(group, false, Waiter::Done, input).await?
    }

    /// Takes members out.
    pub(crate) async fn leave(
        self: &Arc<Self>,
        group: &str,
        members: Vec<Identity>,
    ) -> Result<Vec<Done>, ResponseError> {
        self.ask(group, false, Waiter::Left, |ticket| Input::Leave(ticket, members)).await
    }

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
        let changes = commits.into_iter().map(|(place, commit)| (place, Some(commit)));
        self.change_offsets(group, changes.collect()).await
    }

    /// The committed offsets of a group.
    pub(crate) fn offsets(&self, group: &str) -> Offsets {
        self.lock().by_name.get(group).map(|held| held.offsets.clone()).unwrap_or_default()
    }

    /// All groups.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let groups = self.lock();
        let listed = groups.by_name.iter().map(|(name, held)| Listed {
            name: name.clone(),
            protocol_type: held.group.snapshot().protocol_type,
            state: held.group.state_name(),
        });
        listed.collect()
    }

    /// One group.
    pub(crate) fn describe(&self, group: &str) -> Option<Described> {
        let groups = self.lock();
        let held = groups.by_name.get(group)?;
        Some(Described { state: held.group.state_name(), group: held.group.snapshot() })
    }

    /// Deletes a group without members, and its offsets.
    pub(crate) async fn delete(self: &Arc<Self>, group: &str) -> Done {
        let (places, gone) = {
            let groups = self.lock();
            let held = groups.by_name.get(group).ok_or(ResponseError::GroupIdNotFound)?;
            if !held.group.is_empty() {
                return Err(ResponseError::NonEmptyGroup);
            }
            (held.offsets.keys().cloned().collect::<Vec<_>>(), records::group_key(group))
        };
        let changes = places.into_iter().map(|place| (place, None)).collect();
        let written = self.write_offsets(group, changes, vec![(gone, None)]).await;
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

    // Steps.

    /// Feeds one input and waits for its answer. Ends with `NOT_COORDINATOR` when the broker
    /// stops, so that clients ask elsewhere or again.
    async fn ask<T>(
        self: &Arc<Self>,
        group: &str,
        create: bool,
        waiter: impl FnOnce(oneshot::Sender<T>) -> Waiter,
        input: impl FnOnce(Ticket) -> Input,
    ) -> Result<T, ResponseError> {
        if group.is_empty() && !create {
            return Err(ResponseError::InvalidGroupId);
        }
        let (sender, answer) = oneshot::channel();
        {
            let mut groups = self.lock();
            let ticket = Ticket(groups.next_ticket);
            groups.next_ticket += 1;
            if create {
                groups.by_name.entry(group.to_owned()).or_insert_with(|| self.held());
            }
            let held = groups.by_name.get_mut(group).ok_or(ResponseError::UnknownMemberId)?;
            held.waiting.insert(ticket, waiter(sender));
            self.step(&mut groups, group, input(ticket));
        }
        tokio::select! {
            biased;
            answer = answer => answer.map_err(|_| ResponseError::NotCoordinator),
            () = self.tasks.token().cancelled() => Err(ResponseError::NotCoordinator),
        }
    }

    /// One step of one group, and all that follows from it but the writing.
    fn step(self: &Arc<Self>, groups: &mut Groups, name: &str, input: Input) {
        let Some(held) = groups.by_name.get_mut(name) else { return };
        let was_empty = held.group.is_empty();
        for output in held.group.step(self.now(), input) {
            held.take(name, output);
        }
        if !was_empty && held.group.is_empty() {
            held.empty_since = clock::now_millis();
        }
        self.begin_writing(held, name);
        groups.reschedule(name);
        self.earlier.notify_one();
        groups.drop_if_void(name);
    }

    /// Sees to it that what the group has to write is being written.
    fn begin_writing(self: &Arc<Self>, held: &mut Held, name: &str) {
        if held.writes.is_empty() || held.writing {
            return;
        }
        held.writing = true;
        let (writer, name) = (Arc::clone(self), name.to_owned());
        self.tasks.spawn("write group", async move { writer.write_out(&name).await });
    }

    /// Writes what the group has to write until there is nothing left.
    async fn write_out(self: Arc<Self>, name: &str) {
        loop {
            let writes = {
                let mut groups = self.lock();
                let Some(held) = groups.by_name.get_mut(name) else { return };
                if held.writes.is_empty() {
                    held.writing = false;
                    return;
                }
                std::mem::take(&mut held.writes)
            };
            let outcome = self.append(name, &writes).await;
            let mut groups = self.lock();
            for write in writes {
                match write.then {
                    Then::Stored(id) => self.step(&mut groups, name, Input::Stored(id, outcome)),
                    Then::Offsets(changes, done) => {
                        if let (Ok(()), Some(held)) = (outcome, groups.by_name.get_mut(name)) {
                            held.change(changes);
                        }
                        let _ = done.send(outcome); // nobody may be waiting any more
                    }
                }
            }
        }
    }

    async fn append(&self, group: &str, writes: &[Write]) -> Done {
        let mut batch = BatchBuilder::default();
        for (key, value) in writes.iter().flat_map(|write| &write.records) {
            batch.push(Some(key), value.as_deref(), &[]);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let topic = self.topic().await.map_err(|error| {
            tracing::error!(%error, "no {OFFSETS_TOPIC}");
            ResponseError::CoordinatorNotAvailable
        })?;
        let partition = offsets::partition_of(group, topic.partitions());
        let mut batch = batch.finish();
        batch.seal(clock::now_millis());
        let batch = Produce { topic, partition, batch: batch.into_bytes() };
        self.log.append_atomic(vec![batch]).await.map(|_| ()).map_err(|error| {
            tracing::error!(group, %error, "a consumer group could not be written");
            // Kafka's translation of a failed append: clients ask again.
            ResponseError::CoordinatorNotAvailable
        })
    }

    /// The topic of the offsets, made when it is first needed.
    async fn topic(&self) -> Result<Arc<Topic>, TopicError> {
        if let Some(topic) = self.log.topic(OFFSETS_TOPIC) {
            return Ok(topic);
        }
        let new = NewTopic {
            name: OFFSETS_TOPIC.to_owned(),
            partitions: self.settings.offsets_partitions,
            config: BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]),
            owner: None,
        };
        match self.log.create_topic(new).await {
            Err(TopicError::Exists(name)) => self.log.topic(&name).ok_or(TopicError::Unknown(name)),
            made => made,
        }
    }

    /// Sets and deletes offsets of a group that is there.
    async fn change_offsets(
        self: &Arc<Self>,
        group: &str,
        changes: Vec<(Place, Option<Commit>)>,
    ) -> Done {
        self.write_offsets(group, changes, Vec::new()).await
    }

    async fn write_offsets(
        self: &Arc<Self>,
        group: &str,
        changes: Vec<(Place, Option<Commit>)>,
        more: Vec<Record>,
    ) -> Done {
        let mut records: Vec<Record> = changes
            .iter()
            .map(|(place, commit)| {
                (records::offset_key(group, place), commit.as_ref().map(records::offset_value))
            })
            .collect();
        records.extend(more);
        let (sender, done) = oneshot::channel();
        {
            let mut groups = self.lock();
            if changes.iter().any(|(_, commit)| commit.is_some()) {
                groups.by_name.entry(group.to_owned()).or_insert_with(|| self.held());
            }
            let held = groups.by_name.get_mut(group).ok_or(ResponseError::GroupIdNotFound)?;
            held.writes.push(Write { records, then: Then::Offsets(changes, sender) });
            self.begin_writing(held, group);
        }
        done.await.map_err(|_| ResponseError::CoordinatorNotAvailable)?
    }

    fn forget(&self, group: &str) {
        let mut groups = self.lock();
        let unused = |held: &Held| {
            held.group.is_empty() && held.offsets.is_empty() && held.waiting.is_empty()
        };
        if groups.by_name.get(group).is_some_and(unused) {
            groups.remove(group);
        }
    }

    // Time.

    /// Ticks each group when its time is up, and lets old offsets go. Priorities: stop, an
    /// earlier deadline, retention, the nearest deadline.
    async fn keep_time(self: Arc<Self>) {
        let check = Duration::from_millis(self.settings.retention_check_ms.max(1));
        let mut retention = tokio::time::interval_at(self.started + check, check);
        loop {
            let next = self.lock().due.first().map(|(due, _)| *due);
            let wait = next.map_or(check, |due| {
                Duration::from_millis(u64::try_from(due - self.now()).unwrap_or(0))
            });
            tokio::select! {
                biased;
                () = self.tasks.token().cancelled() => return,
                () = self.earlier.notified() => {}
                _ = retention.tick() => self.expire_offsets().await,
                () = tokio::time::sleep(wait) => self.tick(),
            }
        }
    }

    fn tick(self: &Arc<Self>) {
        let (now, mut groups) = (self.now(), self.lock());
        let names: Vec<String> = groups
            .due
            .iter()
            .take_while(|(due, _)| *due <= now)
            .map(|(_, name)| name.clone())
            .collect();
        for name in names {
            self.step(&mut groups, &name, Input::Tick);
        }
    }

    async fn expire_offsets(self: &Arc<Self>) {
        let (now, keep) = (clock::now_millis(), self.settings.offsets_retention_ms);
        let expired: Vec<(String, Vec<Place>, bool)> = {
            let groups = self.lock();
            let idle = groups.by_name.iter().filter(|(_, held)| held.group.is_empty());
            let expired = idle.map(|(name, held)| {
                let places = offsets::expired(&held.offsets, held.empty_since, now, keep);
                let all = places.len() == held.offsets.len();
                (name.clone(), places, all)
            });
            expired.filter(|(_, places, all)| *all || !places.is_empty()).collect()
        };
        for (name, places, all) in expired {
            tracing::info!(group = name, offsets = places.len(), "committed offsets expired");
            let changes = places.into_iter().map(|place| (place, None)).collect();
            let group = all.then(|| (records::group_key(&name), None));
            let written = self.write_offsets(&name, changes, group.into_iter().collect()).await;
            if written.is_ok() && all {
                self.forget(&name);
            }
        }
    }
}

impl Groups {
    /// Brings the deadline of a group up to date.
    fn reschedule(&mut self, name: &str) {
        let Some(held) = self.by_name.get_mut(name) else { return };
        let due = held.group.deadline();
        if let Some(old) = std::mem::replace(&mut held.due, due) {
            self.due.remove(&(old, name.to_owned()));
        }
        if let Some(due) = due {
            self.due.insert((due, name.to_owned()));
        }
    }

    fn remove(&mut self, name: &str) {
        if let Some(Held { due: Some(due), .. }) = self.by_name.remove(name) {
            self.due.remove(&(due, name.to_owned()));
        }
    }

    /// A group that never came to anything leaves nothing behind.
    fn drop_if_void(&mut self, name: &str) {
        let void = |held: &Held| {
            held.group.is_empty()
                && held.group.snapshot().generation == 0
                && held.offsets.is_empty()
                && held.writes.is_empty()
                && !held.writing
                && held.waiting.is_empty()
        };
        if self.by_name.get(name).is_some_and(void) {
            self.remove(name);
        }
    }
}

impl Held {
    /// Hands an answer to who waits for it, or puts a snapshot to the writes.
    fn take(&mut self, name: &str, output: Output) {
        // The other end of an answer may have gone away: that is its own affair.
        let ticket = match &output {
            Output::Joined(ticket, _)
            | Output::Synced(ticket, _)
            | Output::Done(ticket, _)
            | Output::Left(ticket, _) => self.waiting.remove(ticket),
            Output::Store(..) => None,
        };
        match (output, ticket) {
            (Output::Joined(_, joined), Some(Waiter::Joined(waiter))) => {
                let _ = waiter.send(joined);
            }
            (Output::Synced(_, synced), Some(Waiter::Synced(waiter))) => {
                let _ = waiter.send(synced);
            }
            (Output::Done(_, done), Some(Waiter::Done(waiter))) => {
                let _ = waiter.send(done);
            }
            (Output::Left(_, left), Some(Waiter::Left(waiter))) => {
                let _ = waiter.send(left);
            }
            (Output::Store(id, snapshot), _) => {
                let value = records::group_value(&snapshot, clock::now_millis());
                let records = vec![(records::group_key(name), Some(value))];
                self.writes.push(Write { records, then: Then::Stored(id) });
            }
            (Output::Joined(..) | Output::Synced(..) | Output::Done(..) | Output::Left(..), _) => {
                debug_assert!(false, "a ticket answered twice, or by the wrong answer");
            }
        }
    }

    fn change(&mut self, changes: Vec<(Place, Option<Commit>)>) {
        for (place, commit) in changes {
            match commit {
                Some(commit) => self.offsets.insert(place, commit),
                None => self.offsets.remove(&place),
            };
        }
    }
}
