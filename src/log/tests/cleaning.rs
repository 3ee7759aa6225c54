//! What goes: by retention, by deletion, by compaction; and what is found by time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{append, open, small, topic, values};
use crate::clock::{Clock, Hands};
use crate::disk::{Disk, Freeze, Simulated};
use crate::log::{Log, LogSettings, NewTopic, Produce, ReadError};
use crate::record::batches;
use crate::shutdown::Tasks;

fn quick() -> LogSettings {
    LogSettings { checkpoint_ms: 50, retention_check_ms: 50, ..small() }
}

async fn open_quick(disk: &Simulated) -> (Log, Tasks) {
    let tasks = Tasks::new();
    (Log::open(Arc::new(disk.clone()), quick(), &tasks).await.unwrap(), tasks)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..100 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

fn segments(disk: &Simulated, dir: &str) -> usize {
    let entries = disk.list(dir).unwrap();
    entries.iter().filter(|entry| entry.name.rsplit_once('.').unwrap().1 == "log").count()
}

#[tokio::test]
async fn retention_by_size_moves_the_start_and_deletes_files() {
    let disk = Simulated::new();
    let (log, tasks) = open_quick(&disk).await;
    let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let config = [("retention.bytes", "8000"), ("retention.ms", "-1")].map(text).into();
    let new = NewTopic { name: "t".to_owned(), partitions: 1, config, owner: None };
    let t = log.create_topic(new).await.unwrap();
    for n in 0..30 {
        append(&log, &t, 0, &[&format!("{n}{}", "x".repeat(1000))]).await;
    }
    until("only two or three segments are left", async || segments(&disk, "t-0") <= 4).await;
    let ends = log.ends(&[(Arc::clone(&t), 0)]).pop().unwrap().unwrap();
    assert!(ends.log_start > 0 && ends.high_watermark == 30, "{ends:?}");
    let too_early = log.read(&t, 0, 0, 30, 1000, true).await;
    assert!(matches!(too_early, Err(ReadError::OffsetOutOfRange { .. })));
    assert_eq!(values(&log, "t", 0).await[0].0, ends.log_start);

    let (log, _tasks) = open(Arc::new(disk.crash(Freeze::Lose))).await;
    let t = log.topic("t").unwrap();
    assert_eq!(log.ends(&[(t, 0)]).pop().unwrap().unwrap(), ends, "a crash changes nothing");
    drop(tasks);
}

#[tokio::test]
async fn retention_by_time_keeps_what_is_young() {
    let disk = Simulated::new();
    let (log, _tasks) = open_quick(&disk).await;
    // The batches of these tests carry a timestamp of 1970.
    let t = topic(&log, "old", 1).await;
    let config =
        BTreeMap::from([("message.timestamp.type".to_owned(), "LogAppendTime".to_owned())]);
    let new = NewTopic { name: "young".to_owned(), partitions: 1, config, owner: None };
    let young = log.create_topic(new).await.unwrap();
    for n in 0..12 {
        let value = format!("{n}{}", "x".repeat(1000));
        append(&log, &t, 0, &[&value]).await;
        assert!(append(&log, &young, 0, &[&value]).await.log_append_time.is_some());
    }
    until("the old segments are gone", async || segments(&disk, "old-0") == 0).await;
    assert_eq!(values(&log, "young", 0).await.len(), 12);
    for piece in log.read_all(&young, 0).await.unwrap() {
        assert!(batches(&piece).all(|batch| batch.unwrap().head().has_append_time()));
    }
}

/// Kafka rolls the segment that is appended to when all its records are too old.
#[tokio::test]
async fn a_record_goes_by_its_age_though_nothing_follows_it() {
    let disk = Simulated::new();
    let (log, tasks) = open_quick(&disk).await;
    let t = topic(&log, "t", 1).await;
    let mut end = 0;
    for round in 0..3 {
        append(&log, &t, 0, &["of 1970"]).await;
        end += 1;
        let start = || log.ends(&[(Arc::clone(&t), 0)]).pop().unwrap().unwrap().log_start;
        until("the record is gone", async || start() == end).await;
        until("so is its file", async || segments(&disk, "t-0") == 0).await;
        assert_eq!(values(&log, "t", 0).await, [], "round {round}");
    }
    let crashed = disk.crash(Freeze::Lose);
    drop(log);
    tasks.join().await;
    let (log, tasks) = open(Arc::new(crashed.clone())).await;
    let t = log.topic("t").unwrap();
    assert_eq!(append(&log, &t, 0, &["next"]).await.base_offset, end);
    log.close().await;
    tasks.join().await;
    let (log, _tasks) = open(Arc::new(crashed)).await;
    assert_eq!(values(&log, "t", 0).await, [(end, "next".to_owned())]);
}

fn timeless(value: &str) -> Bytes {
    let mut builder = crate::record::BatchBuilder::default();
    builder.push(None, Some(value.as_bytes()), &[]);
    let mut batch = builder.finish();
    batch.seal(-1);
    batch.into_bytes()
}

/// Records that have no time are as old as the last append of their segment, in the process that
/// appends them and in the next one: they neither stay for ever nor hold back what is behind them.
#[tokio::test]
async fn records_without_a_time_go_when_their_segment_was_appended_to_too_long_ago() {
    const HOUR: i64 = 3_600_000;
    let hands = Arc::new(Hands::default());
    let start = 50 * 365 * 24 * HOUR;
    let settings = || LogSettings { clock: Clock::of_hands(&hands), ..quick() };
    for restarts in [false, true] {
        let disk = Simulated::new();
        hands.set(start);
        disk.set_time(start);
        let mut tasks = Tasks::new();
        let mut log = Log::open(Arc::new(disk.clone()), settings(), &tasks).await.unwrap();
        let config = BTreeMap::from([("retention.ms".to_owned(), (2 * HOUR).to_string())]);
        let new = NewTopic { name: "t".to_owned(), partitions: 1, config, owner: None };
        let mut t = log.create_topic(new).await.unwrap();
        for round in 0..12 {
            let batch = timeless(&format!("{round}{}", "x".repeat(1000)));
            let produce = Produce { topic: Arc::clone(&t), partition: 0, batch };
            log.append(vec![produce]).await.pop().unwrap().unwrap();
        }
        let kept = segments(&disk, "t-0");
        assert!(kept > 2);
        for (minutes, expected) in [(59, kept), (118, kept), (177, 0)] {
            hands.pass(59 * 60_000);
            disk.set_time(start + minutes * 60_000);
            if restarts && minutes == 118 {
                log.close().await;
                drop((t, log));
                tasks.join().await;
                tasks = Tasks::new();
                log = Log::open(Arc::new(disk.clone()), settings(), &tasks).await.unwrap();
                t = log.topic("t").unwrap();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            // A request lets the appender keep house.
            log.new_producer_ids(1).await.unwrap();
            until("what is too old is gone, and nothing else", async || {
                log.new_producer_ids(1).await.unwrap();
                segments(&disk, "t-0") == expected
            })
            .await;
        }
        let ends = log.ends(&[(t, 0)]).pop().unwrap().unwrap();
        assert_eq!((ends.log_start, ends.high_watermark), (12, 12), "restarts: {restarts}");
    }
}

#[tokio::test]
async fn deleting_records_moves_the_start_durably() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let t = topic(&log, "t", 1).await;
    for n in 0..10 {
        append(&log, &t, 0, &[&n.to_string()]).await;
    }
    assert_eq!(log.delete_records(&t, 0, 4).await, Ok(4));
    assert_eq!(log.delete_records(&t, 0, 2).await, Ok(4), "it does not go back");
    assert!(log.delete_records(&t, 0, 11).await.is_err(), "it does not go beyond the end");
    let (log, _tasks) = open(Arc::new(disk.crash(Freeze::Lose))).await;
    let t = log.topic("t").unwrap();
    assert_eq!(log.ends(&[(t, 0)]).pop().unwrap().unwrap().log_start, 4);
}

#[tokio::test]
async fn a_deleted_topic_is_gone_and_its_name_is_free() {
    let disk = Simulated::new();
    let (log, tasks) = open_quick(&disk).await;
    let old = topic(&log, "t", 1).await;
    append(&log, &old, 0, &["old"]).await;
    log.delete_topic("t").await.unwrap();
    assert!(log.read(&old, 0, 0, 1, 100, true).await.is_err());
    // The batches of these tests have times of 1970.
    let config = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
    let new = NewTopic { name: "t".to_owned(), partitions: 1, config, owner: None };
    let new = log.create_topic(new).await.unwrap();
    assert_ne!(new.id(), old.id());
    assert_eq!(append(&log, &new, 0, &["new"]).await.base_offset, 0);
    let crashed = disk.crash(Freeze::Lose);
    let (again, _tasks) = open(Arc::new(crashed)).await;
    assert_eq!(values(&again, "t", 0).await, [(0, "new".to_owned())]);
    let asides =
        || disk.list("").unwrap().iter().filter(|one| one.name.ends_with("-delete")).count();
    until("the files are deleted", async || asides() == 0).await;
    drop(tasks);
}

/// What waits for a checkpoint to be removed is looked through once for each topic, not for each
/// partition of it: while that lasts nobody appends.
#[tokio::test]
async fn a_topic_is_deleted_as_fast_behind_many_others() {
    let disk = Simulated::new();
    let tasks = Tasks::new();
    let settings = LogSettings { checkpoint_ms: 3_600_000, ..LogSettings::default() };
    let log = Log::open(Arc::new(disk), settings, &tasks).await.unwrap();
    let mut times = Vec::new();
    for number in 0..8 {
        let name = format!("t{number}");
        topic(&log, &name, 10_000).await;
        let begun = std::time::Instant::now();
        log.delete_topic(&name).await.unwrap();
        times.push(begun.elapsed());
    }
    let [first, .., last] = times[..] else { unreachable!("there are eight") };
    assert!(last < first * 4 + Duration::from_secs(1), "{times:?}");
}

#[tokio::test]
async fn an_unknown_directory_is_set_aside() {
    let disk = Simulated::new();
    let (log, tasks) = open(Arc::new(disk.clone())).await;
    log.close().await;
    tasks.join().await;
    disk.create_dir("foreign-7").unwrap();
    open(Arc::new(disk.clone())).await;
    let names: Vec<_> = disk.list("").unwrap().into_iter().map(|entry| entry.name).collect();
    assert!(names.iter().any(|name| name.starts_with("foreign-7.")), "{names:?}");
    assert!(!names.contains(&"foreign-7".to_owned()));
}

#[tokio::test]
async fn compaction_keeps_the_newest_record_of_each_key_at_its_offset() {
    let disk = Simulated::new();
    let (log, tasks) = open_quick(&disk).await;
    let mut writer = log.writer("example", "sluice");
    writer.open().await.unwrap();
    for n in 0..300 {
        let position = Bytes::from(format!("{n}{}", "x".repeat(200)));
        writer.commit(position, Vec::new()).await.unwrap().await.unwrap();
    }
    let dir = "__sluice.example.positions-0";
    until("one or two segments are left", async || segments(&disk, dir) <= 2).await;
    let name = "__sluice.example.positions";
    until("few records are left", async || values(&log, name, 0).await.len() < 50).await;
    assert_eq!(values(&log, name, 0).await.last().unwrap().0, 299);
    drop((writer, log, tasks));
    let (log, _tasks) = open(Arc::new(disk.crash(Freeze::Lose))).await;
    assert_eq!(values(&log, name, 0).await.last().unwrap().0, 299);
    let restored = log.writer("example", "sluice").open().await.unwrap();
    assert!(restored.position.unwrap().starts_with(b"299"));
}

#[tokio::test]
async fn an_offset_is_found_by_time_in_any_segment() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let t = topic(&log, "t", 1).await;
    for n in 0..40 {
        let mut builder = crate::record::BatchBuilder::default();
        builder.push(None, Some(&[b'x'; 500]), &[]);
        let mut batch = builder.finish();
        batch.seal(1000 + n * 10);
        let batch = batch.into_bytes();
        let produce = crate::log::Produce { topic: Arc::clone(&t), partition: 0, batch };
        log.append(vec![produce]).await.pop().unwrap().unwrap();
    }
    assert!(segments(&disk, "t-0") > 3);
    for n in 0..40 {
        for time in [1000 + n * 10, 1000 + n * 10 - 3] {
            let found = log.offset_for_time(&t, 0, time, 40).await.unwrap();
            assert_eq!(found, Some((n, 1000 + n * 10)), "time {time}");
        }
    }
    assert_eq!(log.offset_for_time(&t, 0, 1391, 40).await.unwrap(), None);
    assert_eq!(log.offset_for_time(&t, 0, 1390, 39).await.unwrap(), None, "behind the limit");
}

/// On the appender's thread everybody waits.
#[tokio::test]
async fn retention_opens_no_index_again() {
    let disk = Simulated::new();
    let (log, tasks) = open(Arc::new(disk.clone())).await;
    let t = topic(&log, "t", 1).await;
    for _ in 0..10 {
        append(&log, &t, 0, &[&"x".repeat(3000)]).await;
    }
    log.configure_topic("t", vec![("retention.ms".to_owned(), Some("-1".to_owned()))])
        .await
        .unwrap();
    log.close().await;
    tasks.join().await;
    let tasks = Tasks::new();
    let settings = LogSettings { retention_check_ms: 1, ..small() };
    let log = Log::open(Arc::new(disk.clone()), settings, &tasks).await.unwrap();
    let mut opened = 0;
    for round in 0..40 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        // Each request lets the appender keep house.
        log.new_producer_ids(1).await.unwrap();
        if round == 20 {
            opened = disk.opened(".timeindex");
        }
    }
    assert!(opened > 0, "it looked at nothing");
    assert_eq!(disk.opened(".timeindex"), opened);
}
