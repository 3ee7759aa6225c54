//! Groups over a log: what is decided about them and written later, beside what comes meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::broker::group::{Commit, Place};
use crate::clock::{Clock, Hands};
use crate::log::LogSettings;
use crate::log::simulated::Simulated;

fn place() -> Place {
    Place { topic: "t".to_owned(), partition: 0 }
}

fn at(offset: i64) -> Vec<(Place, Commit)> {
    let metadata = String::new();
    vec![(place(), Commit { offset, leader_epoch: -1, metadata, time: clock::now_millis() })]
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
        let settings = GroupSettings { offsets_retention_ms: 1, ..GroupSettings::default() };
        let open = |log: Log| Coordinator::open(log, settings.clone(), Tasks::new());
        let coordinator = open(log.clone()).await.unwrap();
        for group in ["a", "b"] {
            coordinator.commit(group, nobody(), -1, at(1)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        let end = async {
            if deletes {
                let _ = coordinator.delete("b").await;
            } else {
                coordinator.expire_offsets().await;
            }
        };
        let ((), commit) = tokio::join!(end, coordinator.commit("b", nobody(), -1, at(9)));
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
    let coordinator = Coordinator::open(log.clone(), GroupSettings::default(), Tasks::new());
    let coordinator = coordinator.await.unwrap();
    for group in ["a", "b"] {
        coordinator.commit(group, nobody(), -1, at(1)).await.unwrap();
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
    assert_eq!(coordinator.commit("a", nobody(), -1, at(2)).await, refused);
    assert_eq!(coordinator.delete("a").await, refused);
    assert_eq!(committed(&coordinator, "b"), Some(1));
    coordinator.commit("b", nobody(), -1, at(2)).await.unwrap();
}

/// Neither a clock that jumps nor a start of the program makes an offset live shorter or longer.
#[tokio::test]
async fn an_offset_expires_by_its_age_whatever_the_clock_does() {
    const DAY: i64 = 24 * 3_600_000;
    for jump in [8 * DAY, -8 * DAY] {
        let hands = Arc::new(Hands::default());
        hands.set(18_000 * DAY);
        let clock = Clock::of_hands(&hands);
        let settings = LogSettings { clock: clock.clone(), ..LogSettings::default() };
        let log = Log::open(Arc::new(Simulated::new()), settings, &Tasks::new()).await.unwrap();
        let open = |log: Log| Coordinator::open(log, GroupSettings::default(), Tasks::new());
        let commit = |offset| {
            let mut commits = at(offset);
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
