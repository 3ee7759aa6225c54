//! One consumer group as a step function: `step(now, input) -> outputs`.
//!
//! Owns the membership of a group of the classic protocol (KIP-62, 345, 394, 814): who is a
//! member, of which generation, with what assignment. In: what members ask, what the clock
//! says, and whether a snapshot became durable. Out: answers by ticket, and snapshots to
//! make durable. No clock, no randomness, no I/O: `now` (milliseconds of any steady clock)
//! and the ids of new members are arguments.
//!
//! ```text
//! Empty ──join──▶ Preparing ──all joined, or time is up──▶ Completing ──leader's sync──▶ Stable
//!   ▲                ▲ │ nobody left                           │ a member comes or goes     │
//!   └────────────────┼─┘◀──────────────────────────────────────┴────────────────────────────┘
//! ```
//!
//! Always: every ticket is answered once; the generation never falls; members are told
//! their assignments only after the snapshot that holds them is durable; outside Empty and
//! Preparing there is a protocol that all members support, and a leader that is a member.
//! The rules are Kafka's (`GroupCoordinator.scala` of 3.x), named after its states.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

mod membership;
mod promises;
mod rebalance;
mod supported;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::ResponseError;

use promises::Promises;
use supported::Supported;

/// A waiting request. Answered once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

/// A snapshot handed out to be made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StoreId(u64);

/// Who sends a request: by member id, and by instance id if the member is static.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
}

/// What happens to a group.
#[derive(Debug)]
pub(crate) enum Input {
    /// A `JoinGroup`.
    Join(Ticket, Box<Join>),
    /// A `SyncGroup`.
    Sync(Ticket, Sync),
    /// A Heartbeat of the given generation.
    Heartbeat(Ticket, Identity, i32),
    /// A `LeaveGroup`.
    Leave(Ticket, Vec<Identity>),
    /// Asks whether this sender, at this generation, may commit offsets.
    Commit(Ticket, Identity, i32),
    /// A snapshot became durable, or did not.
    Stored(StoreId, Result<(), ResponseError>),
    /// Time has passed.
    Tick,
}

/// A `JoinGroup` request.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    pub(crate) identity: Identity,
    /// The id to give if the member has none yet.
    pub(crate) new_id: String,
    /// From version 4 on a new dynamic member is first told its id (KIP-394).
    pub(crate) id_first: bool,
    /// From version 9 on a returning static leader is told not to assign again (KIP-814).
    pub(crate) can_skip_assignment: bool,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) protocol_type: String,
    /// Name and metadata, most wanted first.
    pub(crate) protocols: Protocols,
}

/// Protocols by name, each once, with what a member says for each.
pub(crate) type Protocols = Vec<(String, Bytes)>;

/// What a member takes in memory beside its names and bytes, and a protocol.
const MEMBER: usize = 512;
const PROTOCOL: usize = 128;

fn bytes_of(protocols: &Protocols) -> usize {
    protocols.iter().map(|(name, metadata)| PROTOCOL + name.len() + metadata.len()).sum()
}

impl Join {
    /// What a member takes in memory that joins so, about.
    pub(crate) fn bytes(&self) -> usize {
        let instance = self.identity.instance.as_ref().map_or(0, String::len);
        let names = self.client_id.len() + self.client_host.len() + instance;
        MEMBER + 2 * (self.identity.member.len() + names) + bytes_of(&self.protocols)
    }
}

/// A `SyncGroup` request.
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    pub(crate) identity: Identity,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    /// From the leader: member id and assignment.
    pub(crate) assignments: Vec<(String, Bytes)>,
}

/// What the owner of the group has to do.
#[derive(Debug)]
pub(crate) enum Output {
    /// Answers a `JoinGroup`.
    Joined(Ticket, Joined),
    /// Answers a `SyncGroup`.
    Synced(Ticket, Result<Synced, ResponseError>),
    /// Answers a Heartbeat or a Commit.
    Done(Ticket, Result<(), ResponseError>),
    /// Answers a `LeaveGroup`, member by member.
    Left(Ticket, Vec<Result<(), ResponseError>>),
    /// Make this durable, then say [`Input::Stored`].
    Store(StoreId, Snapshot),
}

/// The answer to a `JoinGroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) error: Option<ResponseError>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: String,
    pub(crate) skip_assignment: bool,
    pub(crate) member: String,
    /// To the leader: member id, instance id, metadata of the chosen protocol.
    pub(crate) members: Vec<(String, Option<String>, Bytes)>,
}

/// The answer to a `SyncGroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) assignment: Bytes,
}

/// What of a group has to survive a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: Option<String>,
    pub(crate) members: Vec<StoredMember>,
}

/// A member as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredMember {
    pub(crate) id: String,
    pub(crate) instance: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) subscription: Bytes,
    pub(crate) assignment: Bytes,
}

/// What the group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Without members; offsets may be there.
    Empty,
    /// Members are asked to join again, until the given time. While the first members of an
    /// empty group gather, that time is moved as more come.
    Preparing { until: i64, gathering: Option<Gathering> },
    /// The generation stands; the leader's assignments are awaited, or being made durable.
    Completing,
    /// Members work.
    Stable,
}

/// The first rebalance of an empty group waits for more members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gathering {
    remaining_ms: i64,
    somebody_came: bool,
}

/// A member.
#[derive(Clone, Debug)]
struct Member {
    instance: Option<String>,
    client_id: String,
    client_host: String,
    session_timeout_ms: i32,
    rebalance_timeout_ms: i32,
    protocols: Protocols,
    /// What it takes in memory without its assignment.
    bytes: usize,
    assignment: Bytes,
    /// Its `JoinGroup` that waits.
    joining: Option<Ticket>,
    /// Its `SyncGroup` that waits.
    syncing: Option<Ticket>,
    /// Never was in a generation. Only such a member can expire while it waits.
    is_new: bool,
    expires: i64,
}

/// What to do once a snapshot is durable.
#[derive(Debug)]
enum AfterStore {
    /// The members of this generation may have their assignments.
    Assign(i32),
    /// The returning static member may have its answer.
    Answer(Ticket, Box<Joined>),
    /// Nobody waits.
    Nothing,
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    phase: Phase,
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    supported: Supported,
    /// Instance id to member id.
    statics: BTreeMap<String, String>,
    /// Ids given out by `MEMBER_ID_REQUIRED`, and when they are forgotten.
    promised: Promises,
    /// Members of this generation that have not asked for their assignment, and until when
    /// they may.
    unsynced: BTreeSet<String>,
    sync_until: i64,
    stores: BTreeMap<StoreId, AfterStore>,
    next_store: u64,
    initial_delay_ms: i64,
    max_size: usize,
}

impl Group {
    /// An empty group that waits `initial_delay_ms` for more members when the first comes,
    /// and takes `max_size` at most.
    pub(crate) fn new(initial_delay_ms: i64, max_size: usize) -> Self {
        Self {
            phase: Phase::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            supported: Supported::default(),
            statics: BTreeMap::new(),
            promised: Promises::default(),
            unsynced: BTreeSet::new(),
            sync_until: 0,
            stores: BTreeMap::new(),
            next_store: 0,
            initial_delay_ms,
            max_size,
        }
    }

    /// Takes up what was stored: members may go on with their heartbeats as if nothing had
    /// happened, and have a whole session timeout from `now` to do so.
    pub(crate) fn restore(&mut self, now: i64, snapshot: Snapshot) {
        self.generation = snapshot.generation;
        self.protocol_type = Some(snapshot.protocol_type).filter(|name| !name.is_empty());
        let protocol = snapshot.protocol.clone().unwrap_or_default();
        self.protocol = snapshot.protocol;
        self.leader = snapshot.leader;
        self.members.clear();
        self.supported = Supported::default();
        self.statics.clear();
        for stored in snapshot.members {
            if let Some(instance) = &stored.instance {
                self.statics.insert(instance.clone(), stored.id.clone());
            }
            let protocols = vec![(protocol.clone(), stored.subscription)];
            self.supported.add(&protocols);
            let names = stored.id.len() + stored.client_id.len() + stored.client_host.len();
            let member = Member {
                bytes: MEMBER + 2 * names + bytes_of(&protocols),
                instance: stored.instance,
                client_id: stored.client_id,
                client_host: stored.client_host,
                session_timeout_ms: stored.session_timeout_ms,
                rebalance_timeout_ms: stored.rebalance_timeout_ms,
                protocols,
                assignment: stored.assignment,
                joining: None,
                syncing: None,
                is_new: false,
                expires: now + i64::from(stored.session_timeout_ms),
            };
            self.members.insert(stored.id, member);
        }
        self.phase = if self.members.is_empty() { Phase::Empty } else { Phase::Stable };
    }

    /// Takes one input. `now` never falls.
    pub(crate) fn step(&mut self, now: i64, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        match input {
            Input::Join(ticket, join) => self.join(now, ticket, *join, &mut outputs),
            Input::Sync(ticket, sync) => self.sync(now, ticket, sync, &mut outputs),
            Input::Heartbeat(ticket, identity, generation) => {
                let answer = self.heartbeat(now, &identity, generation);
                outputs.push(Output::Done(ticket, answer));
            }
            Input::Leave(ticket, members) => {
                let answers =
                    members.iter().map(|member| self.leave(now, member, &mut outputs)).collect();
                outputs.push(Output::Left(ticket, answers));
            }
            Input::Commit(ticket, identity, generation) => {
                let answer = self.may_commit(now, &identity, generation);
                outputs.push(Output::Done(ticket, answer));
            }
            Input::Stored(id, outcome) => self.stored(now, id, outcome, &mut outputs),
            Input::Tick => {}
        }
        self.expire(now, &mut outputs);
        self.settle(now, &mut outputs);
        outputs
    }

    /// When the next [`Input::Tick`] is due at the latest.
    pub(crate) fn deadline(&self) -> Option<i64> {
        let phase = match self.phase {
            Phase::Preparing { until, .. } => Some(until),
            Phase::Empty | Phase::Completing | Phase::Stable => None,
        };
        let sync = (!self.unsynced.is_empty()).then_some(self.sync_until);
        let members = self.members.values().filter(|member| member.can_expire());
        let members = members.map(|member| member.expires).min();
        let promised = self.promised.deadline();
        [phase, sync, members, promised].into_iter().flatten().min()
    }

    /// Whether nobody is a member or is about to be.
    pub(crate) fn is_empty(&self) -> bool {
        self.phase == Phase::Empty && self.promised.is_empty()
    }

    /// What it takes in memory, about, beside itself.
    pub(crate) fn bytes(&self) -> usize {
        let members = self.members.values().map(|member| member.bytes + member.assignment.len());
        members.sum::<usize>() + self.promised.bytes()
    }

    /// What one member takes of that, without its assignment.
    pub(crate) fn bytes_of_member(&self, identity: &Identity) -> usize {
        let by_instance = identity.instance.as_ref().and_then(|name| self.statics.get(name));
        let member = self.members.get(by_instance.unwrap_or(&identity.member));
        member.map_or(0, |member| member.bytes)
    }

    /// What the assignments take of that.
    pub(crate) fn bytes_of_assignments(&self) -> usize {
        self.members.values().map(|member| member.assignment.len()).sum()
    }

    /// What its members are; empty if none came yet.
    pub(crate) fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or_default()
    }

    /// Whether its members have their assignments, and nobody joins.
    pub(crate) fn is_stable(&self) -> bool {
        self.phase == Phase::Stable
    }

    /// The state's name in `DescribeGroups` and `ListGroups`.
    pub(crate) fn state_name(&self) -> &'static str {
        match self.phase {
            Phase::Empty => "Empty",
            Phase::Preparing { .. } => "PreparingRebalance",
            Phase::Completing => "CompletingRebalance",
            Phase::Stable => "Stable",
        }
    }

    /// What is stored, and what `DescribeGroups` shows.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let members = self.members.iter().map(|(id, member)| StoredMember {
            id: id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: self
                .protocol
                .as_deref()
                .and_then(|protocol| member.metadata(protocol))
                .unwrap_or_default(),
            assignment: member.assignment.clone(),
        });
        Snapshot {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: members.collect(),
        }
    }

    /// Hands out the present snapshot, with what to do once it is durable.
    fn store(&mut self, after: AfterStore, outputs: &mut Vec<Output>) {
        let id = StoreId(self.next_store);
        self.next_store += 1;
        self.stores.insert(id, after);
        outputs.push(Output::Store(id, self.snapshot()));
    }

    fn stored(
        &mut self,
        now: i64,
        id: StoreId,
        outcome: Result<(), ResponseError>,
        outputs: &mut Vec<Output>,
    ) {
        match (self.stores.remove(&id), outcome) {
            (Some(AfterStore::Assign(generation)), Ok(())) => self.assign(now, generation, outputs),
            (Some(AfterStore::Assign(generation)), Err(error)) => {
                self.take_back_assignments(now, generation, error, outputs);
            }
            (Some(AfterStore::Answer(ticket, joined)), Ok(())) => {
                outputs.push(Output::Joined(ticket, *joined));
            }
            (Some(AfterStore::Answer(ticket, joined)), Err(error)) => {
                outputs.push(Output::Joined(ticket, Joined::refused(error, joined.member)));
            }
            (Some(AfterStore::Nothing) | None, _) => {}
        }
    }
}

impl Member {
    /// Kafka's `hasSatisfiedHeartbeat`: a member that waits for us is alive.
    fn can_expire(&self) -> bool {
        self.is_new || (self.joining.is_none() && self.syncing.is_none())
    }

    fn metadata(&self, protocol: &str) -> Option<Bytes> {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, metadata)| metadata.clone())
    }

    fn stay(&mut self, now: i64) {
        self.expires = now + i64::from(self.session_timeout_ms);
    }
}

impl Joined {
    /// An answer that only carries an error, and the id it concerns.
    pub(crate) fn refused(error: ResponseError, member: String) -> Self {
        Self {
            error: Some(error),
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: String::new(),
            skip_assignment: false,
            member,
            members: Vec::new(),
        }
    }
}
