//! Who waits for what, and what is found by time.

use std::sync::Arc;
use std::time::Duration;

use super::{Random, append, open, small, topic};
use crate::disk::{Freeze, Simulated};
use crate::log::reader::Trouble;
use crate::log::{Log, LogSettings, Produce, ReadError, Topic};
use crate::record::{BatchBuilder, batches};
use crate::shutdown::Tasks;

async fn is_woken(waiter: &crate::log::Waiter) -> bool {
    tokio::time::timeout(Duration::from_millis(100), waiter.moved()).await.is_ok()
}

#[tokio::test]
async fn who_waits_is_woken_by_its_own_partitions_only() {
    let (log, _tasks) = open(Arc::new(Simulated::new())).await;
    let (own, other) = (topic(&log, "own", 2).await, topic(&log, "other", 1).await);
    let waiter = log.waiter(&[(own.clone(), 0), (own.clone(), 1)]);
    append(&log, &other, 0, &["x"]).await;
    assert!(!is_woken(&waiter).await, "by another topic");
    for partition in 0..2 {
        append(&log, &own, partition, &["x"]).await;
        assert!(is_woken(&waiter).await, "by partition {partition}");
    }
    log.delete_records(&own, 0, -1).await.unwrap();
    assert!(is_woken(&waiter).await, "by a move of the start");
    log.delete_topic("own").await.unwrap();
    assert!(is_woken(&waiter).await, "by the deletion");
    drop(waiter);
    assert_eq!(log.shared().watermarks.count_waiting(), 0);
}

async fn append_at(log: &Log, topic: &Arc<Topic>, times: &[i64]) {
    for time in times {
        let mut builder = BatchBuilder::default();
        builder.push(None, Some(&[b'x'; 300]), &[]);
        let mut batch = builder.finish();
        batch.seal(*time);
        let produce = Produce { topic: Arc::clone(topic), partition: 0, batch: batch.into_bytes() };
        log.append(vec![produce]).await.pop().unwrap().unwrap();
    }
}

/// Times at random, over many segments: the first of the largest, whatever the start and limit.
#[tokio::test]
async fn the_newest_time_is_that_of_the_records_between_start_and_limit() {
    for seed in 0..8 {
        let mut random = Random::new(seed);
        let disk = Simulated::new();
        let (log, tasks) = open(Arc::new(disk.clone())).await;
        let config = [("retention.ms".to_owned(), "-1".to_owned())].into();
        let new = crate::log::NewTopic { name: "t".to_owned(), partitions: 1, config, owner: None };
        let t = log.create_topic(new).await.unwrap();
        let time = |random: &mut Random| i64::try_from(1000 + random.below(50)).unwrap();
        let times: Vec<i64> = (0..60).map(|_| time(&mut random)).collect();
        append_at(&log, &t, &times).await;
        let start = random.below(times.len());
        log.delete_records(&t, 0, i64::try_from(start).unwrap()).await.unwrap();
        for reopened in [false, true] {
            let log = if reopened {
                open(Arc::new(disk.crash(Freeze::Lose))).await.0
            } else {
                log.clone()
            };
            let t = log.topic("t").unwrap();
            for limit in start..=times.len() {
                let within = times.iter().enumerate().take(limit).skip(start);
                let newest = within.rev().max_by_key(|(_, time)| **time);
                let expected = newest.map(|(at, time)| (i64::try_from(at).unwrap(), *time));
                let found = log.newest_time(&t, 0, i64::try_from(limit).unwrap()).await.unwrap();
                assert_eq!(found, expected, "seed {seed}, {start}..{limit}, reopened: {reopened}");
            }
        }
        drop(log);
        tasks.join().await;
    }
}

/// The first offset that a read at each offset gives.
async fn read_each(log: &Log, count: i64) {
    let t = log.topic("t").unwrap();
    for offset in 0..count {
        let bytes = log.read(&t, 0, offset, count, 1, true).await.unwrap();
        let first = batches(&bytes).next().unwrap().unwrap().head().base_offset;
        assert_eq!(first, offset);
    }
}

fn entries_of_active(log: &Log) -> usize {
    let t = log.topic("t").unwrap();
    t.partition(0).unwrap().segments().last().unwrap().index_entries()
}

/// A checkpoint leaves the entries of a segment that is appended to to its files; who reads finds
/// every offset, from the files and from memory.
#[tokio::test]
async fn indexes_leave_memory_at_a_checkpoint() {
    let disk = Simulated::new();
    let settings = LogSettings { segment_bytes: 1 << 20, checkpoint_ms: 20, ..small() };
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(disk.clone()), settings.clone(), &tasks).await.unwrap();
    let t = topic(&log, "t", 1).await;
    let mut count = 0;
    for round in 0..3 {
        for _ in 0..100 {
            append(&log, &t, 0, &[&"x".repeat(400)]).await;
            count += 1;
        }
        read_each(&log, count).await;
        let mut left = entries_of_active(&log);
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            // Each request lets the appender keep house.
            log.new_producer_ids(1000).await.unwrap();
            left = entries_of_active(&log);
            if left <= 64 {
                break;
            }
        }
        assert!(left <= 64, "{left} in round {round}");
        read_each(&log, count).await;
    }
    append(&log, &t, 0, &["behind the checkpoint"]).await;
    let killed = disk.crash(Freeze::Keep);
    let log = Log::open(Arc::new(killed), settings, &tasks).await.unwrap();
    read_each(&log, count + 1).await;
    assert!(entries_of_active(&log) <= 64, "what the files have is read back");
}

/// Retention takes a segment away that a reader has found, and not yet opened: its name may be that
/// of another file by now. It looks again, and finds that its offset is out of range.
#[tokio::test]
async fn who_comes_too_late_for_a_segment_that_retention_took_looks_again() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let t = topic(&log, "t", 1).await;
    for n in 0..9 {
        append(&log, &t, 0, &[&format!("{n}{}", "x".repeat(1900))]).await;
    }
    let partition = Arc::clone(t.partition(0).unwrap());
    let segments = partition.segments();
    for segment in &segments {
        segment.let_go();
    }
    log.delete_records(&t, 0, 5).await.unwrap();
    let kind = std::io::ErrorKind::NotFound;
    let (taken, kept) = (&segments[0], segments.last().unwrap());
    assert_eq!(taken.file().map(drop).unwrap_err().kind(), kind);
    kept.file().unwrap();
    let trouble = |segment: &Arc<_>| Trouble { segment: Arc::clone(segment), error: kind.into() };
    assert!(log.judge::<()>(&partition, Err(trouble(taken))).is_none());
    let read = log.read(&t, 0, 0, 9, 100, true).await;
    assert!(matches!(read, Err(ReadError::OffsetOutOfRange { start: 5, .. })), "{read:?}");
    assert_eq!(*log.damage().borrow(), []);
    // One that is the partition's is damaged if it is not there.
    let told = log.judge::<()>(&partition, Err(trouble(kept)));
    assert!(matches!(told, Some(Err(ReadError::Offline { .. }))), "{told:?}");
}

/// A reader waits for its turn at the disk, and retention takes the segment of its offset, so that
/// the first one there is lies behind it: records that nobody told it are gone would be left out.
#[tokio::test]
async fn who_waits_while_the_start_moves_past_its_offset_is_told_and_gets_nothing_later() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let t = topic(&log, "t", 1).await;
    for n in 0..9 {
        append(&log, &t, 0, &[&format!("{n}{}", "x".repeat(1900))]).await;
    }
    disk.make_cold(true);
    let turns = Arc::clone(&log.shared().cold_reads);
    let all = u32::try_from(turns.available_permits()).unwrap();
    let taken = turns.acquire_many_owned(all).await.unwrap();
    let reading = log.read(&t, 0, 3, 9, 100, true);
    let moving = async {
        tokio::task::yield_now().await;
        log.delete_records(&t, 0, 5).await.unwrap();
        drop(taken);
    };
    let (read, ()) = tokio::join!(reading, moving);
    assert!(matches!(read, Err(ReadError::OffsetOutOfRange { start: 5, .. })), "{read:?}");
}
