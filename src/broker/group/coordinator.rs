//! All groups: who is asked, who waits for an answer, who is told.
//!
//! Owns: the map of groups and their waiting requests; `commits` is their offsets, `writes`
//! their records in `__consumer_offsets`, `timers` their deadlines. In: requests of the
//! APIs. Out: answers, once what they say is durable. One lock over all groups, held for a
//! step and never across an await.
//!
//! Always: an offset is seen by `OffsetFetch` only when it is durable. Dropping a request's
//! future leaves its ticket to be answered into nothing.

mod commits;
#[cfg(test)]
mod tests;
mod timers;
mod writes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kafka_protocol::ResponseError;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::OFFSETS_TOPIC;
use super::offsets::{self, Offsets};
use super::records;
use super::restore;
use super::state::{Group, Identity, Input, Join, Joined, Output, Snapshot, Sync, Synced, Ticket};
use crate::broker::GroupSettings;
use crate::log::{Log, ReadError};
use crate::shutdown::Tasks;
use writes::{Room, Write};

/// The longest id of a member: answers and records have an i16 for its length.
const MAX_ID_BYTES: usize = i16::MAX as usize;

/// What the members of all groups may take in memory: their names, protocols and assignments, and
/// the groups that are there for them. Less than one record of `__consumer_offsets` may have.
const MOST_OF_MEMBERS: usize = 48 << 20;
/// What a group takes beside its members and its name, with its places in the maps, about.
const GROUP: usize = size_of::<Held>() + 256;

/// The outcome of what has nothing to tell.
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
    room: Room,
}

#[derive(Debug, Default)]
struct Groups {
    by_name: BTreeMap<String, Held>,
    /// Deadlines and whose they are.
    due: BTreeSet<(i64, String)>,
    next_ticket: u64,
    /// What the members of all of them take in memory.
    bytes: usize,
}

/// A group and what surrounds its membership.
#[derive(Debug)]
struct Held {
    group: Group,
    offsets: Offsets,
    /// Since when nobody is a member, in milliseconds since 1970.
    empty_since: i64,
    waiting: BTreeMap<Ticket, Waiter>,
    due: Option<i64>,
    /// What its members take in memory.
    bytes: usize,
    /// Not yet handed to the log, in order.
    writes: VecDeque<Write>,
    writing: bool,
    /// Offsets of topics that are no more are looked for when all is written.
    looks_again: bool,
}

#[derive(Debug)]
enum Waiter {
    Joined(oneshot::Sender<Joined>),
    Synced(oneshot::Sender<Result<Synced, ResponseError>>),
    Done(oneshot::Sender<Done>),
    Left(oneshot::Sender<Vec<Done>>),
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
            room: Room::default(),
        });
        coordinator.take_up(restored);
        // A crash may have come between the deletion of a topic and that of its offsets.
        coordinator.begin_to_forget();
        let timers = Arc::clone(&coordinator);
        coordinator.tasks.spawn_critical("group timers", async move { timers.keep_time().await });
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
            for (place, commit) in &mut held.offsets {
                if commit.topic_id.is_nil() {
                    let topic = self.log.topic(&place.topic);
                    commit.topic_id = topic.map_or(Uuid::nil(), |topic| topic.id());
                }
            }
            // Without one nobody was ever a member: the commits alone have an age.
            held.empty_since = i64::MIN;
            if let Some((snapshot, since)) = snapshot {
                held.empty_since = since;
                held.group.restore(now, snapshot);
            }
            held.bytes = held.bytes_of_members(&name);
            groups.bytes += held.bytes;
            groups.by_name.insert(name.clone(), held);
            groups.reschedule(&name);
        }
        tracing::info!(groups = groups.by_name.len(), "consumer groups restored");
    }

    fn held(&self) -> Held {
        Held {
            group: Group::new(self.settings.initial_rebalance_delay_ms, self.settings.max_size),
            offsets: Offsets::new(),
            empty_since: self.log.clock().now().latest,
            waiting: BTreeMap::new(),
            due: None,
            bytes: 0,
            writes: VecDeque::new(),
            writing: false,
            looks_again: false,
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

    /// Joins; resolves when the rebalance is through. Makes the group if it is not there.
    pub(crate) async fn join(self: &Arc<Self>, group: &str, mut join: Join) -> Joined {
        let session = self.settings.min_session_timeout_ms..=self.settings.max_session_timeout_ms;
        let id = join.identity.member.clone();
        if !session.contains(&join.session_timeout_ms) {
            return Joined::refused(ResponseError::InvalidSessionTimeout, id);
        }
        let prefix = join.identity.instance.as_ref().unwrap_or(&join.client_id);
        join.new_id = format!("{prefix}-{}", Uuid::new_v4());
        if join.new_id.len() > MAX_ID_BYTES {
            return Joined::refused(ResponseError::InvalidRequest, id);
        }
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

    /// All groups.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let groups = self.lock();
        let listed = groups.by_name.iter().map(|(name, held)| Listed {
            name: name.clone(),
            protocol_type: held.group.protocol_type().to_owned(),
            state: held.group.state_name(),
        });
        listed.collect()
    }

    /// How many bytes all groups are as [`Coordinator::list`] shows them, with so many each beside
    /// their names.
    pub(crate) fn size_of_list(&self, each: usize) -> usize {
        let groups = self.lock();
        let size = |(name, held): (&String, &Held)| {
            each + 2 * (name.len() + held.group.protocol_type().len())
        };
        groups.by_name.iter().map(size).sum()
    }

    /// One group.
    pub(crate) fn describe(&self, group: &str) -> Option<Described> {
        let groups = self.lock();
        let held = groups.by_name.get(group)?;
        Some(Described { state: held.group.state_name(), group: held.group.snapshot() })
    }

    /// How many bytes a group is as [`Coordinator::describe`] shows it, about.
    pub(crate) fn size_of_members(&self, group: &str) -> usize {
        self.lock().by_name.get(group).map_or(0, |held| held.group.bytes())
    }

    /// Refuses groups whose partition of `__consumer_offsets` is offline: what is in memory may
    /// not be all they had.
    pub(crate) fn is_served(&self, group: &str) -> Done {
        let Some(topic) = self.log.topic(OFFSETS_TOPIC) else { return Ok(()) };
        let partition = offsets::partition_of(group, topic.partitions());
        match self.log.ends(&[(topic, partition)]).pop() {
            Some(Err(ReadError::Offline { .. })) => Err(ResponseError::CoordinatorNotAvailable),
            Some(_) | None => Ok(()),
        }
    }

    /// Feeds one input and waits for its answer. Ends with `NOT_COORDINATOR` when the broker
    /// stops, so that clients ask elsewhere or again.
    async fn ask<T>(
        self: &Arc<Self>,
        group: &str,
        create: bool,
        waiter: impl FnOnce(oneshot::Sender<T>) -> Waiter,
        input: impl FnOnce(Ticket) -> Input,
    ) -> Result<T, ResponseError> {
        self.is_served(group)?;
        let (sender, answer) = oneshot::channel();
        self.begin(&mut self.lock(), group, create, waiter(sender), input)?;
        tokio::select! {
            biased;
            answer = answer => answer.map_err(|_| ResponseError::NotCoordinator),
            () = self.tasks.token().cancelled() => Err(ResponseError::NotCoordinator),
        }
    }

    /// Feeds one input, whose answer goes to the waiter.
    fn begin(
        self: &Arc<Self>,
        groups: &mut Groups,
        group: &str,
        create: bool,
        waiter: Waiter,
        input: impl FnOnce(Ticket) -> Input,
    ) -> Done {
        if group.is_empty() && !create {
            return Err(ResponseError::InvalidGroupId);
        }
        let ticket = Ticket(groups.next_ticket);
        groups.next_ticket += 1;
        let input = input(ticket);
        groups.check_room(group, &input)?;
        if create {
            groups.by_name.entry(group.to_owned()).or_insert_with(|| self.held());
        }
        let held = groups.by_name.get_mut(group).ok_or(ResponseError::UnknownMemberId)?;
        held.waiting.insert(ticket, waiter);
        self.step(groups, group, input);
        Ok(())
    }

    /// One step of one group, and all that follows from it but the writing.
    fn step(self: &Arc<Self>, groups: &mut Groups, name: &str, input: Input) {
        let Some(held) = groups.by_name.get_mut(name) else { return };
        let was_empty = held.group.is_empty();
        let since = self.log.clock().now().latest;
        for output in held.group.step(self.now(), input) {
            held.take(output, since);
        }
        if !was_empty && held.group.is_empty() {
            held.empty_since = since;
        }
        self.begin_writing(held, name);
        let bytes = held.bytes_of_members(name);
        let was = std::mem::replace(&mut held.bytes, bytes);
        groups.bytes = groups.bytes + held.bytes - was;
        if groups.reschedule(name) {
            self.earlier.notify_one();
        }
        groups.drop_if_void(name);
    }
}

impl Groups {
    /// Whether there is room for what an input brings that the group keeps, beside the members of
    /// all groups. What takes the place of as much or more always has room.
    fn check_room(&self, name: &str, input: &Input) -> Done {
        let held = self.by_name.get(name);
        let group = held.map(|held| &held.group);
        let (brings, has) = match input {
            Input::Join(_, join) => {
                let is_first = held.is_none_or(|held| held.bytes == 0);
                let brings = join.bytes() + if is_first { bytes_around(name) } else { 0 };
                (brings, group.map_or(0, |group| group.bytes_of_member(&join.identity)))
            }
            Input::Sync(_, sync) => {
                let brings = sync.assignments.iter().map(|(_, bytes)| bytes.len()).sum();
                (brings, group.map_or(0, Group::bytes_of_assignments))
            }
            Input::Heartbeat(..)
            | Input::Leave(..)
            | Input::Commit(..)
            | Input::Stored(..)
            | Input::Tick => return Ok(()),
        };
        if brings > has && (self.bytes + brings).saturating_sub(has) > MOST_OF_MEMBERS {
            return Err(ResponseError::GroupMaxSizeReached);
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) {
        let Some(held) = self.by_name.remove(name) else { return };
        self.bytes -= held.bytes;
        if let Some(due) = held.due {
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

/// What a group takes in memory beside its members: its name is there twice.
fn bytes_around(name: &str) -> usize {
    GROUP + 2 * name.len()
}

impl Held {
    /// What its members take in memory, and it for their sake. What only has offsets is not
    /// counted: they are stored, and have to be there.
    fn bytes_of_members(&self, name: &str) -> usize {
        match self.group.bytes() {
            0 => 0,
            members => members + bytes_around(name),
        }
    }

    /// Hands an answer to who waits for it, or puts a snapshot of a group that is so since then to
    /// the writes.
    fn take(&mut self, output: Output, since: i64) {
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
                let value = records::group_value(&snapshot, since);
                self.writes.push_back(Write::Snapshot { id, value });
            }
            (Output::Joined(..) | Output::Synced(..) | Output::Done(..) | Output::Left(..), _) => {
                debug_assert!(false, "a ticket answered twice, or by the wrong answer");
            }
        }
    }
}
