//! What a start, a stop and a first append cost, counted in changes and syncs of the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{append, batch, open, publish_rows, small, topic, values};
use crate::disk::{Disk, Entry, Freeze, Mode, Simulated};
use crate::log::{Log, LogSettings, METADATA_TOPIC, NewTopic, Produce};
use crate::record::BatchBuilder;
use crate::shutdown::Tasks;

const PARTITIONS: i32 = 1000;

/// One frame has all of it: names become durable with the next checkpoint, each directory's once.
#[tokio::test]
async fn a_first_append_to_a_thousand_partitions_is_one_sync() {
    let settings = || LogSettings {
        journal_file_min: 1 << 20,
        journal_file_max: 1 << 20,
        checkpoint_inline_bytes: 1 << 30,
        ..small()
    };
    let disk = Simulated::new();
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(disk.clone()), settings(), &tasks).await.unwrap();
    let many = topic(&log, "many", PARTITIONS).await;
    append(&log, &topic(&log, "other", 1).await, 0, &["there is a journal"]).await;
    let one = |partition| Produce {
        topic: Arc::clone(&many),
        partition,
        batch: batch(&[&format!("first of {partition}")]),
    };
    let before = disk.syncs();
    let appended = log.append((0..PARTITIONS).map(one).collect()).await;
    assert_eq!(disk.syncs() - before, 1);
    assert!(appended.iter().all(Result::is_ok));

    let lost = disk.crash(Freeze::Lose);
    let before = disk.syncs();
    log.close().await;
    // Of each partition its records and its directory.
    let at_close = disk.syncs() - before;
    assert!(at_close < 2 * u64::try_from(PARTITIONS).unwrap() + 20, "{at_close} syncs");
    drop(log);
    tasks.join().await;
    for (disk, what) in [(lost, "behind a crash"), (disk.crash(Freeze::Lose), "behind a stop")] {
        let log = Log::open(Arc::new(disk), settings(), &Tasks::new()).await.unwrap();
        for partition in 0..PARTITIONS {
            let expected = [(0, format!("first of {partition}"))];
            assert_eq!(values(&log, "many", partition).await, expected, "{what}");
        }
    }
}

/// All files with the CRCs of their bytes, but those that need not be durable.
fn everything(disk: &Simulated) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![String::new()];
    while let Some(dir) = dirs.pop() {
        for Entry { name, is_dir } in disk.list(&dir).unwrap() {
            let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
            if is_dir {
                dirs.push(path);
                continue;
            }
            let file = disk.open(&path, Mode::Read).unwrap();
            let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            if name_of(&path) != "partition.metadata" {
                found.insert(path, crc32c::crc32c(&bytes));
            }
        }
    }
    found
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// Fills a log with what there is: topics with and without records, deleted ones, records that were
/// deleted, an instance's, a staged transaction.
async fn fill(log: &Log) {
    for name in ["a", "b", "empty", "deleted"] {
        let one = topic(log, name, 3).await;
        for n in 0..20 {
            if name != "empty" {
                append(log, &one, n % 3, &[&format!("{n}{}", "x".repeat(900))]).await;
            }
        }
    }
    log.delete_topic("deleted").await.unwrap();
    log.delete_records(&log.topic("b").unwrap(), 0, 4).await.unwrap();
    log.delete_records(&log.topic("b").unwrap(), 1, -1).await.unwrap();
    let config = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
    let new = NewTopic { name: "keyed".to_owned(), partitions: 1, config, owner: None };
    append(log, &log.create_topic(new).await.unwrap(), 0, &["without a key"]).await;
    log.new_producer_ids(1).await.unwrap();
    drop(publish_rows(log).await);
}

#[tokio::test]
async fn a_start_after_a_clean_stop_changes_nothing_until_something_is_appended() {
    let disk = Simulated::new();
    let (log, tasks) = open(Arc::new(disk.clone())).await;
    fill(&log).await;
    log.close().await;
    drop(log);
    tasks.join().await;
    let stopped = everything(&disk);
    assert!(
        stopped.keys().filter(|path| path.starts_with("journal/")).count() > 1,
        "they are kept"
    );
    // What the stop left is durable, but for what can be made again; what it removed may come back.
    let lost = everything(&disk.crash(Freeze::Lose));
    let differs = stopped.iter().filter(|(path, crc)| lost.get(*path) != Some(crc));
    let differs: Vec<_> = differs.filter(|(path, _)| !path.ends_with("index")).collect();
    assert_eq!(differs, []);
    for start in 0..3 {
        let before = (disk.calls(), disk.syncs());
        let (log, tasks) = open(Arc::new(disk.clone())).await;
        assert_eq!(values(&log, "a", 0).await.len(), 7);
        let mut writer = log.writer("example", "sluice");
        assert_eq!(writer.open().await.unwrap().position.as_deref(), Some(b"p".as_slice()));
        drop(writer);
        if start == 2 {
            append(&log, &log.topic("a").unwrap(), 0, &["one more"]).await;
            // The checkpoint that says that the log is open, which file of the journal is written
            // to, the names of both, and the frame.
            assert_eq!(disk.syncs() - before.1, 5);
            // A power failure shows what was appended, a start behind it too.
            let crashed = disk.crash(Freeze::Lose);
            for _ in 0..2 {
                let (log, tasks) = open(Arc::new(crashed.clone())).await;
                assert_eq!(values(&log, "a", 0).await.len(), 8);
                log.close().await;
                drop(log);
                tasks.join().await;
            }
        }
        log.close().await;
        drop(log);
        tasks.join().await;
        if start < 2 {
            assert_eq!((disk.calls(), disk.syncs()), before, "start {start}");
            assert!(everything(&disk) == stopped, "start {start}");
        }
    }
}

/// Whatever fails of the first change behind a clean stop, the next start knows of it.
#[tokio::test]
async fn what_a_first_append_behind_a_clean_stop_leaves_is_recovered() {
    let stopped = Simulated::new();
    let (log, tasks) = open(Arc::new(stopped.clone())).await;
    append(&log, &topic(&log, "t", 1).await, 0, &["before"]).await;
    log.close().await;
    drop(log);
    tasks.join().await;
    for call in 0..20 {
        for errno in [None, Some(rustix::io::Errno::IO), Some(rustix::io::Errno::NOSPC)] {
            for keep in [Freeze::Lose, Freeze::Keep, Freeze::Tear(call)] {
                let case = format!("call {call}, {errno:?}, {keep:?}");
                let disk = stopped.crash(Freeze::Keep);
                let (log, tasks) = open(Arc::new(disk.clone())).await;
                match errno {
                    Some(errno) => disk.fail_call(disk.calls() + call + 1, errno.raw_os_error()),
                    None => disk.freeze_at_sync(disk.syncs() + call),
                }
                let t = log.topic("t").unwrap();
                let produce = Produce { topic: t, partition: 0, batch: batch(&["behind"]) };
                let acknowledged = log.append(vec![produce]).await.pop().unwrap().is_ok();
                let deleted = call % 2 == 1 && log.delete_topic("t").await.is_ok();
                let crashed = disk.crash(keep);
                drop(log);
                tasks.join().await;
                // Seen twice: the second time nothing that was only seen may be lost.
                for _ in 0..2 {
                    let tasks = Tasks::new();
                    let log = Log::open(Arc::new(crashed.clone()), small(), &tasks).await;
                    let log = log.unwrap_or_else(|error| panic!("{case}: {error}"));
                    if log.topic("t").is_some() {
                        assert!(!deleted, "{case}: it is back");
                        let found = values(&log, "t", 0).await;
                        let least = 1 + usize::from(acknowledged);
                        assert!(found.len() >= least, "{case}: {found:?}");
                    } else {
                        assert!(call % 2 == 1, "{case}: the topic is lost");
                    }
                    drop(log);
                    tasks.join().await;
                }
            }
        }
    }
}

/// Puts a segment into a directory as a refused group leaves one: its removal was not durable, and a
/// crash took that back.
fn bring_back(disk: &Simulated, dir: &str, base: i64) {
    let mut builder = BatchBuilder::default();
    builder.push(None, Some(b"refused"), &[]);
    let mut batch = builder.finish();
    batch.set_base_offset(base);
    batch.seal(1000);
    let file = disk.open(&format!("{dir}/{base:020}.log"), Mode::Create).unwrap();
    file.write_at(batch.as_bytes(), 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(dir).unwrap();
}

/// The offsets between the bases of its segments.
fn between_segments(log: &Log, topic: &str) -> Vec<i64> {
    let segments = log.topic(topic).unwrap().partition(0).unwrap().segments();
    let bases: Vec<i64> = segments.iter().map(|segment| segment.base()).collect();
    (0..bases[bases.len() - 1]).filter(|offset| !bases.contains(offset)).collect()
}

#[tokio::test]
async fn a_segment_of_a_refused_group_is_none_however_late_it_comes_back() {
    for is_clean in [true, false] {
        let disk = Simulated::new();
        let (log, tasks) = open(Arc::new(disk.clone())).await;
        let t = topic(&log, "t", 1).await;
        for n in 0..20 {
            append(&log, &t, 0, &[&format!("{n}{}", "x".repeat(700))]).await;
            topic(&log, &format!("other-{n}-{}", "x".repeat(200)), 1).await;
        }
        let before = values(&log, "t", 0).await;
        let in_topic = between_segments(&log, "t");
        let in_metadata = between_segments(&log, METADATA_TOPIC);
        assert!(!in_topic.is_empty() && !in_metadata.is_empty(), "segments hold one record each");
        if is_clean {
            log.close().await;
        }
        drop((t, log));
        let mut disk = disk.crash(Freeze::Keep);
        tasks.join().await;
        for (dir, places) in
            [("t-0".to_owned(), in_topic), (format!("{METADATA_TOPIC}-0"), in_metadata)]
        {
            for base in places {
                bring_back(&disk, &dir, base);
            }
        }
        for _ in 0..2 {
            let (log, tasks) = open(Arc::new(disk.clone())).await;
            assert_eq!(values(&log, "t", 0).await, before, "clean: {is_clean}");
            assert!(
                (0..20).all(|n| log.topic(&format!("other-{n}-{}", "x".repeat(200))).is_some())
            );
            assert_eq!(*log.damage().borrow(), []);
            disk = disk.crash(Freeze::Lose);
            drop(log);
            tasks.join().await;
        }
    }
}
