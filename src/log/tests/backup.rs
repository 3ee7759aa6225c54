//! A copy of a log that goes on: it opens, has what was acknowledged before, and of each
//! transaction all or nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::{append, batch, open, small, tiny, topic, values};
use crate::disk::{Disk, Freeze, Simulated};
use crate::log::{BackupError, Log, NewTopic, Produce, Writer};
use crate::record::BatchBuilder;
use crate::shutdown::Tasks;

/// What goes on meanwhile.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    /// Transactions that were acknowledged.
    acknowledged: AtomicUsize,
}

/// One row in each of two topics, some of them so large that they are staged.
async fn write(mut writer: Writer, load: Arc<Load>) {
    for n in 1.. {
        if load.stop.load(Ordering::Acquire) {
            return;
        }
        let filler = "r".repeat(if n % 9 == 0 { 5000 } else { 200 });
        for name in ["rows.a", "rows.b"] {
            let mut rows = BatchBuilder::default();
            rows.push(None, Some(format!("{n}.{filler}").as_bytes()), &[]);
            writer.append(&Arc::from(name), 1, 0, rows.finish()).await.unwrap();
        }
        let position = Bytes::from(n.to_string());
        writer.commit(position, Vec::new()).await.unwrap().await.unwrap();
        load.acknowledged.store(n, Ordering::Release);
    }
}

/// A topic is made, written, emptied and deleted; another is compacted.
async fn keep_busy(log: Log, load: Arc<Load>) {
    let setting = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let new = |name: &str, config: &[(String, String)]| NewTopic {
        name: name.to_owned(),
        partitions: 1,
        config: config.iter().cloned().collect(),
        owner: None,
    };
    let compact = [
        setting("cleanup.policy", "compact"),
        setting("min.cleanable.dirty.ratio", "0"),
        setting("internal.segment.bytes", "1500"),
    ];
    let keyed = log.create_topic(new("keyed", &compact)).await.unwrap();
    let keep = [setting("retention.ms", "-1")];
    for n in 0_u64.. {
        if load.stop.load(Ordering::Acquire) {
            return;
        }
        let passing = log.create_topic(new("passing", &keep)).await.unwrap();
        for m in 0..6 {
            append(&log, &passing, 0, &[&format!("{n}.{m}{}", "p".repeat(900))]).await;
            let mut record = BatchBuilder::default();
            record.push(Some(b"key"), Some(format!("{n}.{m}{}", "k".repeat(700)).as_bytes()), &[]);
            let mut record = record.finish();
            record.seal(1000);
            let batch = record.into_bytes();
            let produce = Produce { topic: Arc::clone(&keyed), partition: 0, batch };
            log.append(vec![produce]).await.pop().unwrap().unwrap();
        }
        log.delete_records(&passing, 0, 4).await.unwrap();
        log.delete_topic("passing").await.unwrap();
    }
}

/// Opens a copy and says how many transactions are in it.
async fn count(copy: Simulated) -> usize {
    let (log, tasks) = open(Arc::new(copy)).await;
    let a = values(&log, "rows.a", 0).await;
    let numbers: Vec<usize> =
        a.iter().map(|(_, value)| value.split('.').next().unwrap().parse().unwrap()).collect();
    assert!(numbers.iter().copied().eq(1..=a.len()), "a gap or a repeat");
    assert_eq!(values(&log, "rows.b", 0).await, a);
    let mut writer = log.writer("example", "sluice");
    let position = writer.open().await.unwrap().position.unwrap();
    assert_eq!(String::from_utf8(position.to_vec()).unwrap(), a.len().to_string());
    let keyed = log.topic("keyed").unwrap();
    log.read_all(&keyed, 0).await.unwrap();
    if let Some(passing) = log.topic("passing") {
        log.read_all(&passing, 0).await.unwrap();
    }
    assert_eq!(*log.damage().borrow(), []);
    // It goes on as any log.
    append(&log, &topic(&log, "new", 1).await, 0, &["behind"]).await;
    drop(writer);
    log.close().await;
    drop(log);
    tasks.join().await;
    a.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_under_load_opens_with_all_that_was_acknowledged_before() {
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(Simulated::new()), tiny(), &tasks).await.unwrap();
    let mut writer = log.writer("example", "sluice");
    writer.open().await.unwrap();
    let load = Arc::new(Load::default());
    let work = Tasks::new();
    let writing = work.spawn("write", write(writer, Arc::clone(&load)));
    let busy = work.spawn("keep busy", keep_busy(log.clone(), Arc::clone(&load)));
    for round in 0..12 {
        while load.acknowledged.load(Ordering::Acquire) < (round + 1) * 8 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let before = load.acknowledged.load(Ordering::Acquire);
        let to = Simulated::new();
        let backup = log.backup(Arc::new(to.clone())).await.unwrap();
        assert!(backup.partitions >= 3 && backup.offline == 0, "{backup:?}");
        // A power failure right behind it takes nothing of it.
        let found = count(to.crash(Freeze::Lose)).await;
        assert!(found >= before, "round {round}: {found} of {before}");
    }
    load.stop.store(true, Ordering::Release);
    writing.await.unwrap();
    busy.await.unwrap();
    log.close().await;
}

#[tokio::test]
async fn no_copy_is_made_where_there_is_something_or_no_room_and_a_part_of_one_does_not_open() {
    let (log, _tasks) = open(Arc::new(Simulated::new())).await;
    let t = topic(&log, "t", 1).await;
    for n in 0..10 {
        append(&log, &t, 0, &[&format!("{n}{}", "x".repeat(1000))]).await;
    }
    let to = Simulated::new();
    to.create_dir("something").unwrap();
    let refused = log.backup(Arc::new(to)).await;
    assert!(matches!(refused, Err(BackupError::NotEmpty)), "{refused:?}");
    let to = Simulated::new();
    to.set_capacity(Some(5000));
    let refused = log.backup(Arc::new(to)).await;
    assert!(matches!(refused, Err(BackupError::NoRoom { .. })), "{refused:?}");
    let whole = Simulated::new();
    log.backup(Arc::new(whole.clone())).await.unwrap();
    for call in 1..=whole.calls() {
        let to = Simulated::new();
        to.fail_call(call, rustix::io::Errno::IO.raw_os_error());
        let refused = log.backup(Arc::new(to.clone())).await;
        assert!(matches!(refused, Err(BackupError::Write { .. })), "call {call}: {refused:?}");
        let opened = Log::open(Arc::new(to.crash(Freeze::Keep)), small(), &Tasks::new()).await;
        if let Ok(copy) = opened {
            // Nothing is in it yet, or all of it.
            let is_whole = copy.topic("t").is_some();
            assert!(!is_whole || values(&copy, "t", 0).await.len() == 10, "call {call}");
        }
    }
    // What was copied is as it was appended to until then, not behind.
    log.append(vec![Produce { topic: t, partition: 0, batch: batch(&["later"]) }]).await;
    let (copy, _tasks) = open(Arc::new(whole)).await;
    assert_eq!(values(&copy, "t", 0).await.len(), 10);
}

/// A medium that dies is when a copy is wanted: what it does not give back keeps nothing else from
/// being copied.
#[tokio::test]
async fn what_cannot_be_read_is_left_out_of_a_copy_and_named() {
    enum Harm {
        Unreadable,
        Missing,
        Flipped,
    }
    for (harm, path) in [
        (Harm::Unreadable, "t-1/00000000000000000000.log"),
        (Harm::Missing, "t-1/00000000000000000000.log"),
        (Harm::Flipped, "t-1/00000000000000000000.log"),
        (Harm::Missing, "t-1"),
    ] {
        for (offline_before, deleted) in [(false, false), (true, false), (true, true)] {
            let disk = Simulated::new();
            let (log, tasks) = open(Arc::new(disk.clone())).await;
            let t = topic(&log, "t", 3).await;
            for n in 0..30 {
                append(&log, &t, n % 3, &[&format!("{n}{}", "x".repeat(900))]).await;
            }
            log.close().await;
            drop((log, t));
            tasks.join().await;
            let (log, _tasks) = open(Arc::new(disk.clone())).await;
            match harm {
                Harm::Unreadable => disk.make_unreadable(path),
                Harm::Missing => disk.remove_dir(path).unwrap(),
                Harm::Flipped => disk.flip_bit(path, 100),
            }
            let t = log.topic("t").unwrap();
            if offline_before {
                let _ = log.read_all(&t, 1).await;
            }
            if deleted {
                log.delete_topic("t").await.unwrap();
                append(&log, &topic(&log, "other", 1).await, 0, &["behind"]).await;
            }
            for round in 0..2 {
                let case = format!("{path}, {offline_before}, {deleted}, round {round}");
                let to = Simulated::new();
                let backup = log.backup(Arc::new(to.clone())).await;
                let backup = backup.unwrap_or_else(|error| panic!("{case}: {error}"));
                let tasks = Tasks::new();
                let copy = Log::open(Arc::new(to), small(), &tasks).await.unwrap();
                if deleted {
                    assert_eq!((backup.offline, &*backup.lacking), (0, &[][..]), "{case}");
                    assert_eq!(values(&copy, "other", 0).await.len(), 1, "{case}");
                    continue;
                }
                assert_eq!(backup.offline, 1, "{case}: {backup:?}");
                let expected: &[String] = match harm {
                    Harm::Unreadable => &[path.to_owned()],
                    Harm::Missing | Harm::Flipped => &[],
                };
                assert_eq!(backup.lacking, expected, "{case}");
                for partition in [0, 2] {
                    assert_eq!(values(&copy, "t", partition).await.len(), 10, "{case}");
                }
                let told = copy.damage().borrow().clone();
                assert!(told.len() == 1 && told[0].0 == "t-1", "{case}: {told:?}");
                drop(copy);
                tasks.join().await;
            }
        }
    }
}
