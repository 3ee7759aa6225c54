//! The group as its members see it: scenes of the protocol, and random lives from seeds.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a test may panic, and its random numbers are small"
)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::{
    Group, Identity, Input, Join, Joined, Output, Snapshot, StoreId, Sync, Synced, Ticket,
};

const SESSION: i32 = 10_000;
const REBALANCE: i32 = 60_000;

fn join(member: &str, new_id: &str, protocols: &[&str]) -> Join {
    Join {
        identity: Identity { member: member.to_owned(), instance: None },
        new_id: new_id.to_owned(),
        id_first: false,
        can_skip_assignment: false,
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: SESSION,
        rebalance_timeout_ms: REBALANCE,
        protocol_type: "consumer".to_owned(),
        protocols: protocols
            .iter()
            .map(|name| ((*name).to_owned(), Bytes::from(format!("{name}-of-{member}{new_id}"))))
            .collect(),
    }
}

fn identity(member: &str) -> Identity {
    Identity { member: member.to_owned(), instance: None }
}

/// A group, its clock, and the answers that came out.
struct Scene {
    group: Group,
    now: i64,
    next: u64,
    /// Snapshots are made durable at once, unless held.
    hold_stores: bool,
    held: Vec<(StoreId, Snapshot)>,
    joined: BTreeMap<Ticket, Joined>,
    synced: BTreeMap<Ticket, Result<Synced, ResponseError>>,
    done: BTreeMap<Ticket, Result<(), ResponseError>>,
    left: BTreeMap<Ticket, Vec<Result<(), ResponseError>>>,
}

impl Scene {
    fn new(initial_delay: i64) -> Self {
        Self {
            group: Group::new(initial_delay, usize::MAX),
            now: 1_000,
            next: 0,
            hold_stores: false,
            held: Vec::new(),
            joined: BTreeMap::new(),
            synced: BTreeMap::new(),
            done: BTreeMap::new(),
            left: BTreeMap::new(),
        }
    }

    fn feed(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for output in self.group.step(self.now, input) {
                let twice = match output {
                    Output::Joined(ticket, answer) => self.joined.insert(ticket, answer).is_some(),
                    Output::Synced(ticket, answer) => self.synced.insert(ticket, answer).is_some(),
                    Output::Done(ticket, answer) => self.done.insert(ticket, answer).is_some(),
                    Output::Left(ticket, answer) => self.left.insert(ticket, answer).is_some(),
                    Output::Store(id, snapshot) if self.hold_stores => {
                        self.held.push((id, snapshot));
                        false
                    }
                    Output::Store(id, _) => {
                        inputs.push(Input::Stored(id, Ok(())));
                        false
                    }
                };
                assert!(!twice, "a ticket was answered twice");
            }
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next += 1;
        Ticket(self.next)
    }

    fn join(&mut self, join: Join) -> Ticket {
        let ticket = self.ticket();
        self.feed(Input::Join(ticket, Box::new(join)));
        ticket
    }

    fn sync(&mut self, member: &str, generation: i32, assignments: &[(&str, &str)]) -> Ticket {
        let ticket = self.ticket();
        let assignments = assignments
            .iter()
            .map(|(id, text)| ((*id).to_owned(), Bytes::copy_from_slice(text.as_bytes())));
        let sync = Sync {
            identity: identity(member),
            generation,
            protocol_type: None,
            protocol: None,
            assignments: assignments.collect(),
        };
        self.feed(Input::Sync(ticket, sync));
        ticket
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> Result<(), ResponseError> {
        let ticket = self.ticket();
        self.feed(Input::Heartbeat(ticket, identity(member), generation));
        self.done[&ticket]
    }

    fn commit(&mut self, member: &str, generation: i32) -> Result<(), ResponseError> {
        let ticket = self.ticket();
        self.feed(Input::Commit(ticket, identity(member), generation));
        self.done[&ticket]
    }

    fn leave(&mut self, member: &str) -> Result<(), ResponseError> {
        let ticket = self.ticket();
        self.feed(Input::Leave(ticket, vec![identity(member)]));
        self.left[&ticket][0]
    }

    fn pass(&mut self, ms: i64) {
        let until = self.now + ms;
        while let Some(due) = self.group.deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.feed(Input::Tick);
            let later = self.group.deadline().is_none_or(|due| due > self.now);
            assert!(later, "the clock stands still at {}: {:?}", self.now, self.group);
        }
        self.now = until;
    }

    /// Two members, assigned: generation 1, "a" leads.
    fn stable() -> Self {
        let mut scene = Self::new(0);
        let a = scene.join(join("", "a", &["range"]));
        assert_eq!(scene.joined[&a].generation, 1);
        let b = scene.join(join("", "b", &["range"]));
        assert!(!scene.joined.contains_key(&b), "b has to wait for a");
        scene.join(join("a", "", &["range"]));
        assert_eq!(scene.joined[&b].generation, 2);
        scene.sync("b", 2, &[]);
        scene.sync("a", 2, &[("a", "one"), ("b", "two")]);
        assert_eq!(scene.group.state_name(), "Stable");
        scene
    }
}

#[test]
fn the_first_members_gather_for_the_initial_delay() {
    let mut scene = Scene::new(3_000);
    let a = scene.join(join("", "a", &["range", "sticky"]));
    scene.pass(2_000);
    let b = scene.join(join("", "b", &["sticky", "range"]));
    scene.pass(2_000); // b came within the delay, so it is prolonged
    assert!(scene.joined.is_empty());
    scene.pass(3_000);
    let (a, b) = (&scene.joined[&a], &scene.joined[&b]);
    assert_eq!((a.generation, b.generation), (1, 1));
    assert_eq!((a.leader.as_str(), b.leader.as_str()), ("a", "a"));
    assert_eq!((a.members.len(), b.members.len()), (2, 0), "only the leader learns the members");
    assert_eq!(a.protocol, b.protocol);
}

#[test]
fn a_new_member_is_first_told_its_id_and_nobody_waits_for_a_broken_promise() {
    let mut scene = Scene::new(0);
    let told = scene.join(Join { id_first: true, ..join("", "a", &["range"]) });
    assert_eq!(scene.joined[&told].error, Some(ResponseError::MemberIdRequired));
    assert_eq!(scene.joined[&told].member, "a");
    let joined = scene.join(Join { id_first: true, ..join("a", "", &["range"]) });
    assert_eq!((scene.joined[&joined].error, scene.joined[&joined].generation), (None, 1));
    scene.join(Join { id_first: true, ..join("", "never", &["range"]) });
    scene.pass(i64::from(SESSION));
    let late = scene.join(Join { id_first: true, ..join("never", "", &["range"]) });
    assert_eq!(scene.joined[&late].error, Some(ResponseError::UnknownMemberId));
}

#[test]
fn assignments_are_told_only_when_they_are_durable() {
    let mut scene = Scene::new(0);
    scene.join(join("", "a", &["range"]));
    scene.hold_stores = true;
    let sync = scene.sync("a", 1, &[("a", "all")]);
    assert!(scene.synced.is_empty());
    let (id, snapshot) = scene.held.pop().unwrap();
    assert_eq!(snapshot.members[0].assignment, "all");
    scene.feed(Input::Stored(id, Ok(())));
    assert_eq!(scene.synced[&sync].as_ref().unwrap().assignment, "all");
}

#[test]
fn assignments_that_cannot_be_stored_are_taken_back() {
    let mut scene = Scene::new(0);
    scene.join(join("", "a", &["range"]));
    scene.hold_stores = true;
    let sync = scene.sync("a", 1, &[("a", "all")]);
    let (id, _) = scene.held.pop().unwrap();
    scene.feed(Input::Stored(id, Err(ResponseError::CoordinatorNotAvailable)));
    assert_eq!(scene.synced[&sync], Err(ResponseError::CoordinatorNotAvailable));
    assert_eq!(scene.heartbeat("a", 1), Err(ResponseError::RebalanceInProgress));
}

#[test]
fn a_member_that_leaves_makes_the_others_join_again() {
    let mut scene = Scene::stable();
    assert_eq!(scene.leave("b"), Ok(()));
    assert_eq!(scene.heartbeat("a", 2), Err(ResponseError::RebalanceInProgress));
    let again = scene.join(join("a", "", &["range"]));
    assert_eq!(scene.joined[&again].generation, 3);
    assert_eq!(scene.joined[&again].members.len(), 1);
    assert_eq!(scene.heartbeat("b", 3), Err(ResponseError::UnknownMemberId));
}

#[test]
fn a_silent_member_is_put_out_after_its_session_timeout() {
    let mut scene = Scene::stable();
    scene.pass(i64::from(SESSION) - 1);
    assert_eq!(scene.heartbeat("a", 2), Ok(()));
    scene.pass(1);
    assert_eq!(scene.heartbeat("a", 2), Err(ResponseError::RebalanceInProgress));
    assert_eq!(scene.heartbeat("b", 2), Err(ResponseError::UnknownMemberId));
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let mut scene = Scene::stable();
    let c = scene.join(join("", "c", &["range"]));
    scene.join(join("a", "", &["range"]));
    for _ in 0..6 {
        scene.pass(9_000);
        let _ = scene.heartbeat("b", 2); // alive, but it does not join
    }
    assert!(!scene.joined.contains_key(&c));
    scene.pass(6_000);
    assert_eq!(scene.joined[&c].generation, 3);
    assert_eq!(scene.heartbeat("b", 3), Err(ResponseError::UnknownMemberId));
}

#[test]
fn a_member_without_a_common_protocol_is_refused() {
    let mut scene = Scene::stable();
    let other = scene.join(join("", "c", &["sticky"]));
    assert_eq!(scene.joined[&other].error, Some(ResponseError::InconsistentGroupProtocol));
    let mut connect = join("", "c", &["range"]);
    connect.protocol_type = "connect".to_owned();
    let connect = scene.join(connect);
    assert_eq!(scene.joined[&connect].error, Some(ResponseError::InconsistentGroupProtocol));
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_its_former_self_is_fenced() {
    let mut scene = Scene::new(0);
    let with = |member: &str, new_id: &str| {
        let identity = Identity { member: member.to_owned(), instance: Some("i".to_owned()) };
        Join { identity, ..join(member, new_id, &["range"]) }
    };
    let first = with("", "old");
    let mut back = with("", "new");
    back.protocols.clone_from(&first.protocols);
    scene.join(first);
    scene.sync("old", 1, &[("old", "mine")]);
    let again = scene.join(back.clone());
    let answer = &scene.joined[&again];
    assert_eq!((answer.error, answer.generation, answer.member.as_str()), (None, 1, "new"));
    assert_eq!(answer.leader, "old", "it must not assign again");
    let sync = scene.sync("new", 1, &[]);
    assert_eq!(scene.synced[&sync].as_ref().unwrap().assignment, "mine");
    let ticket = scene.ticket();
    let former = Identity { member: "old".to_owned(), instance: Some("i".to_owned()) };
    scene.feed(Input::Heartbeat(ticket, former, 1));
    assert_eq!(scene.done[&ticket], Err(ResponseError::FencedInstanceId));
    let skips = scene.join(Join { can_skip_assignment: true, new_id: "newer".to_owned(), ..back });
    let answer = &scene.joined[&skips];
    assert!(answer.skip_assignment && answer.leader == "newer");
}

#[test]
fn only_members_of_the_generation_commit_and_anybody_while_nobody_is() {
    let mut scene = Scene::new(0);
    assert_eq!(scene.commit("", -1), Ok(()));
    let mut scene = Scene::stable();
    assert_eq!(scene.commit("", -1), Err(ResponseError::UnknownMemberId));
    assert_eq!(scene.commit("a", 1), Err(ResponseError::IllegalGeneration));
    assert_eq!(scene.commit("x", 2), Err(ResponseError::UnknownMemberId));
    assert_eq!(scene.commit("a", 2), Ok(()));
    scene.leave("b").unwrap();
    assert_eq!(scene.commit("a", 2), Ok(()), "the old generation may still commit");
    scene.join(join("a", "", &["range"]));
    assert_eq!(scene.commit("a", 3), Err(ResponseError::RebalanceInProgress));
}

#[test]
fn a_restored_group_goes_on_as_if_nothing_had_happened() {
    let before = Scene::stable();
    let mut after = Scene::new(0);
    after.group.restore(after.now, before.group.snapshot());
    assert_eq!(after.heartbeat("a", 2), Ok(()));
    let sync = after.sync("b", 2, &[]);
    assert_eq!(after.synced[&sync].as_ref().unwrap().assignment, "two");
    after.pass(i64::from(SESSION));
    after.pass(i64::from(REBALANCE));
    assert!(after.group.is_empty());
}

/// A small generator (splitmix64), so that a seed is a life.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What a client of the random life believes.
#[derive(Clone, Default)]
struct Client {
    id: String,
    instance: Option<String>,
    generation: i32,
    leader: bool,
    members: Vec<String>,
    waits: Option<Ticket>,
}

/// Joins, syncs, heartbeats, leaves, deaths, failing and slow stores, and time, at random.
fn live(seed: u64) {
    let mut random = Random(seed);
    let mut scene = Scene::new([0, 3_000][random.below(2) as usize]);
    let mut clients: Vec<Client> = (0..5)
        .map(|n| Client { instance: (n == 0).then(|| "i".to_owned()), ..Client::default() })
        .collect();
    let (mut asked, mut generation) = (BTreeSet::new(), 0);
    let mut decided: BTreeMap<i32, BTreeMap<String, Bytes>> = BTreeMap::new();
    let mut of_sync: BTreeMap<Ticket, (i32, String)> = BTreeMap::new();
    for round in 0..300 {
        scene.hold_stores = random.below(3) == 0;
        let client = random.below(5) as usize;
        let mut now = clients[client].clone();
        let identity = Identity { member: now.id.clone(), instance: now.instance.clone() };
        match random.below(10) {
            0..=3 if now.waits.is_none() => {
                let id_first = random.below(2) == 0;
                let protocols: &[&str] =
                    [&["range"][..], &["sticky", "range"]][random.below(2) as usize];
                let join = join(&now.id, &format!("m{client}-{round}"), protocols);
                let ticket = scene.join(Join { identity, id_first, ..join });
                asked.insert(ticket);
                now.waits = Some(ticket);
            }
            4..=6 if now.generation > 0 => {
                let ticket = scene.ticket();
                let all =
                    now.members.iter().map(|id| (id.clone(), Bytes::from(format!("{id}@{round}"))));
                let assignments: Vec<_> = all.filter(|_| now.leader).collect();
                // A leader's first word counts.
                if now.leader
                    && scene.group.generation == now.generation
                    && scene.group.state_name() == "CompletingRebalance"
                    && !scene.group.is_storing_assignments()
                {
                    decided.insert(now.generation, assignments.iter().cloned().collect());
                }
                of_sync.insert(ticket, (now.generation, now.id.clone()));
                asked.insert(ticket);
                let sync = Sync {
                    identity,
                    generation: now.generation,
                    protocol_type: None,
                    protocol: None,
                    assignments,
                };
                scene.feed(Input::Sync(ticket, sync));
            }
            7 => {
                let ticket = scene.ticket();
                scene.feed(Input::Heartbeat(ticket, identity, now.generation));
                asked.insert(ticket);
            }
            8 if random.below(4) == 0 => {
                let ticket = scene.ticket();
                scene.feed(Input::Leave(ticket, vec![identity]));
                asked.insert(ticket);
                now = Client { instance: now.instance, waits: now.waits, ..Client::default() };
            }
            _ => scene.pass(random.below(9_000) as i64),
        }
        if random.below(2) == 0 && !scene.held.is_empty() {
            let (id, _) = scene.held.remove(0);
            let lost = random.below(8) == 0;
            let outcome = if lost { Err(ResponseError::CoordinatorNotAvailable) } else { Ok(()) };
            scene.feed(Input::Stored(id, outcome));
        }
        clients[client] = now;
        for client in &mut clients {
            let Some(joined) = client.waits.and_then(|ticket| scene.joined.get(&ticket)) else {
                continue;
            };
            client.waits = None;
            client.generation = joined.generation.max(0);
            client.leader = joined.error.is_none() && joined.leader == joined.member;
            client.members = joined.members.iter().map(|(id, ..)| id.clone()).collect();
            match joined.error {
                None | Some(ResponseError::MemberIdRequired) => {
                    client.id.clone_from(&joined.member);
                }
                Some(ResponseError::RebalanceInProgress) => {}
                Some(_) => client.id.clear(),
            }
        }
        assert!(scene.group.generation >= generation, "the generation fell");
        generation = scene.group.generation;
        check(&scene.group);
    }
    scene.hold_stores = false;
    for (id, _) in std::mem::take(&mut scene.held) {
        scene.feed(Input::Stored(id, Ok(())));
    }
    scene.pass(10 * i64::from(REBALANCE));
    assert!(scene.group.is_empty(), "silent members stayed: {:?}", scene.group);
    for ticket in asked {
        let answers = usize::from(scene.joined.contains_key(&ticket))
            + usize::from(scene.synced.contains_key(&ticket))
            + usize::from(scene.done.contains_key(&ticket))
            + usize::from(scene.left.contains_key(&ticket));
        assert_eq!(answers, 1, "{ticket:?}");
    }
    for (ticket, (generation, id)) in of_sync {
        let Some(Ok(synced)) = scene.synced.get(&ticket) else { continue };
        if let Some(expected) = decided.get(&generation).and_then(|all| all.get(&id)) {
            assert_eq!(synced.assignment, expected, "generation {generation}, member {id}");
        }
    }
}

fn check(group: &Group) {
    let protocols = group.members.values().flat_map(|member| &member.protocols);
    let mut counts = BTreeMap::<&str, usize>::new();
    for (name, _) in protocols {
        *counts.entry(name).or_default() += 1;
    }
    assert!(counts.iter().all(|(name, count)| group.supported.by(name) == *count));
    let ids: BTreeSet<_> = group.members.keys().collect();
    for (instance, id) in &group.statics {
        assert_eq!(group.members[id].instance.as_ref(), Some(instance));
    }
    match group.state_name() {
        "Empty" => assert!(ids.is_empty()),
        "Stable" | "CompletingRebalance" => {
            assert!(group.leader.as_ref().is_some_and(|leader| ids.contains(leader)));
            let protocol = group.protocol.as_deref().expect("a generation has a protocol");
            assert!(group.is_supported_by_all(protocol));
            assert!(group.members.values().all(|member| member.joining.is_none()));
        }
        _ => {}
    }
    if group.state_name() != "CompletingRebalance" {
        assert!(group.members.values().all(|member| member.syncing.is_none()));
    }
}

#[test]
fn random_lives_answer_each_ticket_once_and_come_to_rest() {
    let seeds = 0..400;
    for seed in seeds {
        let life = std::panic::catch_unwind(|| live(seed));
        assert!(life.is_ok(), "seed {seed}");
    }
}
