//! Groups over a log: what is decided about them and written later, beside what comes meanwhile.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::broker::group::{Commit, Place};
use crate::clock::{self, Clock, Hands};
use crate::log::simulated::Simulated;
use crate::log::{LogSettings, NewTopic, Produce};
use crate::record::BatchBuilder;

fn place() -> Place {
    Place { topic: "t".to_owned(), partition: 0 }
}

/// The topic of [`place`].
async fn topic(log: &Log) -> Uuid {
    let (name, config) = (place().topic, BTreeMap::new());
    log.create_topic(NewTopic { name, partitions: 1, config, owner: None }).await.unwrap().id()
}

fn at(topic_id: Uuid, offset: i64) -> Vec<(Place, Commit)> {
    let (metadata, time) = (String::new(), clock::now_millis());
    vec![(place(), Commit { topic_id, offset, leader_epoch: -1, metadata, time })]
}

fn nobody() -> Identity {
    Identity { member: String::new(), instance: None }
}

fn committed(coordinator: &Coordinator, group: &str) -> Option<i64> {
    coordinator.offsets(group).get(&place()).map(|commit| commit.offset)
}

/// An expiry, and the deletion of a group, are decided before a commit and written behind others:
/// the commit counts all the same.
#[tokio::test]
async fn a_commit_that_comes_behind_an_expiry_or_a_deletion_is_not_buried() {
    for deletes in [false, true] {
        let disk = Simulated::new();
        let tasks = Tasks::new();
        let log = Log::open(Arc::new(disk.clone()), LogSettings::default(), &tasks).await.unwrap();
        let id = topic(&log).await;
        let settings = GroupSettings { offsets_retention_ms: 1, ..GroupSettings::default() };
        let open = |log: Log| Coordinator::open(log, settings.clone(), Tasks::new());
        let coordinator = open(log.clone()).await.unwrap();
        for group in ["a", "b"] {
            coordinator.commit(group, nobody(), -1, at(id, 1)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        let end = async {
            if deletes {
                let _ = coordinator.delete("b").await;
            } else {
                coordinator.expire_offsets().await;
            }
        };
        let ((), commit) = tokio::join!(end, coordinator.commit("b", nobody(), -1, at(id, 9)));
        commit.unwrap();
        assert_eq!(committed(&coordinator, "b"), Some(9), "deletes: {deletes}");
        let again = open(log).await.unwrap();
        assert_eq!(committed(&again, "b"), Some(9), "deletes: {deletes}: as stored");
        assert_eq!(committed(&again, "a"), deletes.then_some(1));
    }
}

/// The groups of a partition that is offline are not served as if they had nothing.
#[tokio::test]
async fn groups_whose_offsets_are_offline_are_refused_and_all_others_served() {
    let disk = Simulated::new();
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(disk.clone()), LogSettings::default(), &tasks).await.unwrap();
    let id = topic(&log).await;
    let coordinator = Coordinator::open(log.clone(), GroupSettings::default(), Tasks::new());
    let coordinator = coordinator.await.unwrap();
    for group in ["a", "b"] {
        coordinator.commit(group, nobody(), -1, at(id, 1)).await.unwrap();
    }
    log.close().await;
    drop((coordinator, log));
    tasks.join().await;
    let partition = offsets::partition_of("a", 50);
    let path = format!("{OFFSETS_TOPIC}-{partition}/00000000000000000000.log");
    disk.flip_bit(&path, 70);
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(disk), LogSettings::default(), &tasks).await.unwrap();
    let coordinator = Coordinator::open(log, GroupSettings::default(), Tasks::new()).await.unwrap();
    let refused = Err(ResponseError::CoordinatorNotAvailable);
    assert_eq!(coordinator.is_served("a"), refused);
    assert_eq!(coordinator.commit("a", nobody(), -1, at(id, 2)).await, refused);
    assert_eq!(coordinator.delete("a").await, refused);
    assert_eq!(committed(&coordinator, "b"), Some(1));
    coordinator.commit("b", nobody(), -1, at(id, 2)).await.unwrap();
}

/// What is stored of a group, the deletions too: its offsets by their topics' ids.
async fn stored(log: &Log, group: &str) -> Vec<Option<Uuid>> {
    let restored = restore::read(log).await.unwrap();
    let offsets = restored.get(group).map(|stored| stored.offsets.values());
    offsets.into_iter().flatten().map(|commit| Some(commit.topic_id)).collect()
}

async fn until_stored(log: &Log, group: &str, expected: &[Option<Uuid>]) {
    let limit = Duration::from_secs(10);
    let came = tokio::time::timeout(limit, async {
        while stored(log, group).await != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(came.await.is_ok(), "{:?} {expected:?}", stored(log, group).await);
}

/// The offset of a topic is not that of a later one of its name, wherever a crash or a commit
/// comes between the deletion of the topic and that of its offsets.
#[tokio::test]
async fn an_offset_of_a_deleted_topic_never_counts_for_the_next_one() {
    for restarts in [false, true] {
        let tasks = Tasks::new();
        let disk = Arc::new(Simulated::new());
        let log = Log::open(disk, LogSettings::default(), &tasks).await.unwrap();
        let open = || Coordinator::open(log.clone(), GroupSettings::default(), Tasks::new());
        let first = topic(&log).await;
        let mut coordinator = open().await.unwrap();
        for group in ["a", "b"] {
            coordinator.commit(group, nobody(), -1, at(first, 7)).await.unwrap();
        }
        // Its offsets are not deleted: the program ended here.
        log.delete_topic(&place().topic).await.unwrap();
        assert_eq!(committed(&coordinator, "a"), None);
        let second = topic(&log).await;
        if restarts {
            coordinator = open().await.unwrap();
            until_stored(&log, "a", &[]).await;
        }
        assert_eq!(committed(&coordinator, "a"), None, "restarts: {restarts}");
        coordinator.commit("a", nobody(), -1, at(second, 3)).await.unwrap();
        // Judged before the deletion, written behind it.
        coordinator.commit("b", nobody(), -1, at(first, 8)).await.unwrap();
        coordinator.forget_topics(&HashSet::from([first])).await;
        assert_eq!(committed(&coordinator, "a"), Some(3), "restarts: {restarts}");
        assert_eq!(committed(&coordinator, "b"), None, "restarts: {restarts}");
        until_stored(&log, "a", &[Some(second)]).await;
        until_stored(&log, "b", &[]).await;
    }
}

/// What was stored before there were ids counts as long as there is a topic of that name.
#[tokio::test]
async fn offsets_without_a_topic_id_count_for_the_topic_that_is_there_at_the_start() {
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(Simulated::new()), LogSettings::default(), &tasks).await.unwrap();
    let id = topic(&log).await;
    let coordinator = Coordinator::open(log.clone(), GroupSettings::default(), Tasks::new());
    coordinator.await.unwrap().commit("a", nobody(), -1, at(id, 7)).await.unwrap();
    let offsets = log.topic(OFFSETS_TOPIC).unwrap();
    // As `OffsetCommitValue` of version 3: offset, leader epoch, metadata, time.
    let value = [&3_i16.to_be_bytes()[..], &7_i64.to_be_bytes(), &[255; 4], &[0; 2], &[127; 8]];
    let (partition, mut batch) =
        (offsets::partition_of("a", offsets.partitions()), BatchBuilder::default());
    for name in ["t", "gone"] {
        let place = Place { topic: name.to_owned(), partition: 0 };
        batch.push(Some(&records::offset_key("a", &place).unwrap()), Some(&value.concat()), &[]);
    }
    let mut batch = batch.finish();
    batch.seal(clock::now_millis());
    let batch = batch.into_bytes();
    log.append_atomic(vec![Produce { topic: offsets, partition, batch }]).await.unwrap();
    let coordinator = Coordinator::open(log.clone(), GroupSettings::default(), Tasks::new());
    let coordinator = coordinator.await.unwrap();
    assert_eq!(committed(&coordinator, "a"), Some(7));
    until_stored(&log, "a", &[Some(Uuid::nil())]).await;
    let name = &place().topic;
    log.delete_topic(name).await.unwrap();
    topic(&log).await;
    assert_eq!(committed(&coordinator, "a"), None);
}

/// Names that do not fit a record are refused, and change nothing.
#[tokio::test]
async fn a_commit_that_cannot_be_written_is_refused_and_takes_no_other_with_it() {
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(Simulated::new()), LogSettings::default(), &tasks).await.unwrap();
    let id = topic(&log).await;
    let open = || Coordinator::open(log.clone(), GroupSettings::default(), Tasks::new());
    let coordinator = open().await.unwrap();
    let long = "g".repeat(32_767);
    let longer = format!("{long}A");
    let refused = Err(ResponseError::InvalidRequest);
    assert_eq!(coordinator.commit(&longer, nobody(), -1, at(id, 11)).await, refused);
    coordinator.commit(&long, nobody(), -1, at(id, 22)).await.unwrap();
    let mut metadata = at(id, 33);
    metadata[0].1.metadata = "\u{fc}".repeat(17_000);
    let (bad, good) = tokio::join!(
        coordinator.commit("m", nobody(), -1, metadata),
        coordinator.commit("m", nobody(), -1, at(id, 44)),
    );
    assert_eq!((bad, good), (refused, Ok(())));
    for coordinator in [&coordinator, &open().await.unwrap()] {
        let found = [&longer, &long, "m"].map(|group| committed(coordinator, group));
        assert_eq!(found, [None, Some(22), Some(44)]);
    }
}

const DAY: i64 = 24 * 3_600_000;

/// A log that goes by the hands of a clock.
async fn by_hands() -> (Log, Arc<Hands>, Clock) {
    let hands = Arc::new(Hands::default());
    hands.set(18_000 * DAY);
    let clock = Clock::of_hands(&hands);
    let settings = LogSettings { clock: clock.clone(), ..LogSettings::default() };
    let log = Log::open(Arc::new(Simulated::new()), settings, &Tasks::new()).await.unwrap();
    (log, hands, clock)
}

/// Neither a clock that jumps nor a start of the program makes an offset live shorter or longer.
#[tokio::test]
async fn an_offset_expires_by_its_age_whatever_the_clock_does() {
    for jump in [8 * DAY, -8 * DAY] {
        let (log, hands, clock) = by_hands().await;
        let id = topic(&log).await;
        let open = |log: Log| Coordinator::open(log, GroupSettings::default(), Tasks::new());
        let commit = |offset| {
            let mut commits = at(id, offset);
            commits[0].1.time = clock.now().latest;
            commits
        };
        let mut coordinator = open(log.clone()).await.unwrap();
        coordinator.commit("before", nobody(), -1, commit(1)).await.unwrap();
        hands.jump(jump);
        coordinator.commit("during", nobody(), -1, commit(2)).await.unwrap();
        coordinator.expire_offsets().await;
        hands.jump(-jump);
        for day in 0..7 {
            coordinator.expire_offsets().await;
            assert_eq!(committed(&coordinator, "before"), Some(1), "{jump}, day {day}");
            assert_eq!(committed(&coordinator, "during"), Some(2), "{jump}, day {day}");
            // It is counted from the commit, not from a start.
            coordinator = open(log.clone()).await.unwrap();
            hands.pass(DAY);
        }
        hands.pass(1);
        coordinator.expire_offsets().await;
        assert_eq!(committed(&coordinator, "before"), None, "{jump}");
    }
}

fn join() -> Join {
    Join {
        identity: nobody(),
        new_id: String::new(),
        id_first: false,
        can_skip_assignment: false,
        client_id: "c".to_owned(),
        client_host: "/h".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), bytes::Bytes::new())],
    }
}

/// However long the names of groups are, and however little is known of who wants to join them.
#[tokio::test]
async fn groups_that_nobody_has_joined_yet_are_within_what_members_may_take() {
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(Simulated::new()), LogSettings::default(), &tasks).await.unwrap();
    for (length, id_first) in [(32_767, true), (32_767, false), (5000, true)] {
        let open = Coordinator::open(log.clone(), GroupSettings::default(), Tasks::new());
        let coordinator = open.await.unwrap();
        let most = MOST_OF_MEMBERS / (2 * length);
        let mut names = (0..=most).map(|number| format!("{number:0length$}"));
        let refused = loop {
            let Some(name) = names.next() else { break None };
            let asked = coordinator.join(&name, Join { id_first, ..join() });
            match tokio::time::timeout(Duration::ZERO, asked).await.ok().and_then(|one| one.error) {
                // It waits for others.
                None => assert!(!id_first),
                Some(ResponseError::MemberIdRequired) => assert!(id_first),
                Some(error) => break Some(error),
            }
        };
        assert_eq!(refused, Some(ResponseError::GroupMaxSizeReached), "{length} {id_first}");
        let listed = coordinator.list();
        assert!(coordinator.lock().bytes <= MOST_OF_MEMBERS && listed.len() > most / 2);
        for group in listed {
            coordinator.lock().remove(&group.name);
        }
        assert_eq!(coordinator.lock().bytes, 0);
        coordinator.close().await;
    }
}

fn subscription(topics: &[&str]) -> bytes::Bytes {
    let mut bytes = vec![0, 0];
    bytes.extend(u32::try_from(topics.len()).unwrap().to_be_bytes());
    for topic in topics {
        bytes.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.into()
}

/// As Kafka's `ClassicGroup.offsetExpirationCondition`: of a stable group of consumers go the offsets of
/// topics that none of them subscribes to, by the time of their commit.
#[tokio::test]
async fn offsets_of_topics_that_a_live_group_reads_no_more_expire() {
    let (log, hands, clock) = by_hands().await;
    for name in ["t", "u"] {
        let new = NewTopic { name: name.to_owned(), partitions: 1, ..NewTopic::default() };
        log.create_topic(new).await.unwrap();
    }
    let settings = GroupSettings { initial_rebalance_delay_ms: 0, ..GroupSettings::default() };
    let coordinator = Coordinator::open(log.clone(), settings, Tasks::new()).await.unwrap();
    let groups = [
        ("reads t", "consumer", subscription(&["t"]), true, false),
        ("reads both", "consumer", subscription(&["u", "t"]), true, true),
        ("reads none", "consumer", subscription(&[]), false, false),
        ("other form", "consumer", bytes::Bytes::from_static(b"?"), true, true),
        ("other kind", "connect", subscription(&["t"]), true, true),
    ];
    let mut members = Vec::new();
    for (group, kind, metadata, ..) in &groups {
        let protocols = vec![("range".to_owned(), metadata.clone())];
        let asked = Join {
            protocol_type: (*kind).to_owned(),
            protocols,
            session_timeout_ms: 300_000,
            rebalance_timeout_ms: 300_000,
            ..join()
        };
        let joined = coordinator.join(group, asked).await;
        let member = Identity { member: joined.member, instance: None };
        let sync = Sync {
            identity: member.clone(),
            generation: joined.generation,
            protocol_type: None,
            protocol: None,
            assignments: Vec::new(),
        };
        coordinator.sync(group, sync).await.unwrap();
        let commits = ["t", "u"].map(|name| {
            let place = Place { topic: name.to_owned(), partition: 0 };
            let mut commit = at(log.topic(name).unwrap().id(), 7).remove(0).1;
            commit.time = clock.now().latest;
            (place, commit)
        });
        let done = coordinator.commit(group, member.clone(), joined.generation, commits.into());
        done.await.unwrap();
        members.push(member);
    }
    let there = |group: &str| {
        let offsets = coordinator.offsets(group);
        ["t", "u"].map(|name| offsets.keys().any(|place| place.topic == name))
    };
    hands.pass(7 * DAY - 1);
    coordinator.expire_offsets().await;
    for (group, ..) in &groups {
        assert_eq!(there(group), [true, true], "{group}: it is too early");
    }
    hands.pass(2);
    coordinator.expire_offsets().await;
    for ((group, .., t, u), member) in groups.iter().zip(members) {
        assert_eq!(there(group), [*t, *u], "{group}");
        assert_eq!(coordinator.heartbeat(group, member, 1).await, Ok(()), "{group} lives on");
    }
}

/// How long a group is empty is counted by the clock that its offsets are counted by.
#[tokio::test]
async fn the_offsets_of_a_group_that_was_left_expire_by_the_clock_of_the_log() {
    let (log, hands, clock) = by_hands().await;
    let id = topic(&log).await;
    let settings = GroupSettings { initial_rebalance_delay_ms: 0, ..GroupSettings::default() };
    let open = || Coordinator::open(log.clone(), settings.clone(), Tasks::new());
    let coordinator = open().await.unwrap();
    let joined = coordinator.join("g", join()).await;
    let member = Identity { member: joined.member, instance: None };
    let mut commits = at(id, 7);
    commits[0].1.time = clock.now().latest;
    let sync = Sync {
        identity: member.clone(),
        generation: joined.generation,
        protocol_type: None,
        protocol: None,
        assignments: Vec::new(),
    };
    coordinator.sync("g", sync).await.unwrap();
    coordinator.commit("g", member.clone(), joined.generation, commits).await.unwrap();
    assert_eq!(coordinator.leave("g", vec![member]).await, Ok(vec![Ok(())]));
    // Behind the record of the empty group.
    until_stored(&log, "g", &[Some(id)]).await;
    let mut other = at(id, 8);
    other[0].1.time = 0;
    coordinator.commit("g", nobody(), -1, other).await.unwrap();
    let again = open().await.unwrap();
    hands.pass(6 * DAY);
    again.expire_offsets().await;
    assert_eq!(committed(&again, "g"), Some(8));
    hands.pass(DAY + 1);
    again.expire_offsets().await;
    assert_eq!(committed(&again, "g"), None);
}

/// A group whose members wait is told in time, however much is asked of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebalance_ends_in_time_beside_any_number_of_requests() {
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(Simulated::new()), LogSettings::default(), &tasks).await.unwrap();
    let id = topic(&log).await;
    let settings = GroupSettings { initial_rebalance_delay_ms: 300, ..GroupSettings::default() };
    let coordinator = Coordinator::open(log, settings, Tasks::new()).await.unwrap();
    coordinator.commit("other", nobody(), -1, at(id, 1)).await.unwrap();
    let busy = Tasks::new();
    for _ in 0..2 {
        let (coordinator, stop) = (Arc::clone(&coordinator), busy.token().clone());
        busy.spawn("ask all the time", async move {
            while !stop.is_cancelled() {
                let told = coordinator.heartbeat("other", nobody(), 1).await;
                assert_eq!(told, Err(ResponseError::UnknownMemberId));
            }
        });
    }
    let limit = Duration::from_secs(10);
    let joined = tokio::time::timeout(limit, coordinator.join("g", join())).await;
    busy.cancel();
    assert!(busy.join().await.is_empty());
    assert_eq!(joined.map(|joined| joined.generation), Ok(1));
}

/// A group of more offsets than are written together goes whole.
#[tokio::test]
async fn a_group_of_many_offsets_is_deleted_in_several_steps() {
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(Simulated::new()), LogSettings::default(), &tasks).await.unwrap();
    let id = topic(&log).await;
    let open = || Coordinator::open(log.clone(), GroupSettings::default(), Tasks::new());
    let coordinator = open().await.unwrap();
    let group = "g".repeat(32_767);
    let part = |from: i32| -> Vec<_> {
        let place = |partition| Place { topic: "t".to_owned(), partition };
        (from..from + 100).map(|n| (place(n), at(id, 1).remove(0).1)).collect()
    };
    for from in [0, 100, 200, 300] {
        coordinator.commit(&group, nobody(), -1, part(from)).await.unwrap();
    }
    let too_many = [part(400), part(500)].concat();
    let refused = Err(ResponseError::InvalidCommitOffsetSize);
    assert_eq!(coordinator.commit(&group, nobody(), -1, too_many).await, refused);
    assert_eq!(coordinator.offsets(&group).len(), 400);
    assert_eq!(open().await.unwrap().offsets(&group).len(), 400);
    assert_eq!(coordinator.delete(&group).await, Ok(()));
    for coordinator in [&coordinator, &open().await.unwrap()] {
        assert!(coordinator.offsets(&group).is_empty());
        assert!(coordinator.list().is_empty());
    }
}
