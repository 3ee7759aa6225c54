//! A disk without room: refused with a clear error, and going on by itself.

use std::sync::Arc;

use super::{batch, open, small, topic, values};
use crate::disk::{Disk, Freeze, Simulated};
use crate::log::{AppendError, Appended, Log, LogSettings, Produce, Topic};
use crate::shutdown::Tasks;

async fn try_append(log: &Log, topic: &Arc<Topic>, value: &str) -> Result<Appended, AppendError> {
    let produce = Produce { topic: Arc::clone(topic), partition: 0, batch: batch(&[value]) };
    log.append(vec![produce]).await.pop().unwrap()
}

/// Appends until there is no room; how many went in.
async fn fill(log: &Log, topic: &Arc<Topic>, value: &str) -> usize {
    for n in 0.. {
        match try_append(log, topic, value).await {
            Ok(_) => {}
            Err(AppendError::Full) => return n,
            Err(other) => panic!("{other}"),
        }
    }
    0
}

#[tokio::test]
async fn a_file_system_of_32_mib_starts_fills_and_recovers() {
    let disk = Simulated::new();
    disk.set_capacity(Some(32 << 20));
    let settings = LogSettings { segment_bytes: 1 << 20, ..LogSettings::default() };
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(disk.clone()), settings.clone(), &tasks).await.unwrap();
    let t = topic(&log, "t", 1).await;
    let value = "x".repeat(100_000);
    let stored = fill(&log, &t, &value).await;
    assert!(stored > 150, "most of the disk is for records, {stored} went in");
    assert_eq!(values(&log, "t", 0).await.len(), stored, "readers are served");

    let crashed = disk.crash(Freeze::Lose);
    crashed.set_capacity(Some(32 << 20));
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(crashed.clone()), settings, &tasks).await.unwrap();
    assert_eq!(values(&log, "t", 0).await.len(), stored);
    let t = log.topic("t").unwrap();
    fill(&log, &t, &value).await;
    log.delete_records(&t, 0, -1).await.unwrap();
    // The files go with the next checkpoint, which a full disk asks for by itself.
    let mut more = 0;
    for _ in 0..50 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        more += fill(&log, &t, &value).await;
        if more > 100 {
            break;
        }
    }
    assert!(more > 100, "it goes on by itself, and took {more}");
}

#[tokio::test]
async fn deletion_works_on_a_full_disk_because_of_the_ballast() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let t = topic(&log, "t", 1).await;
    try_append(&log, &t, "x").await.unwrap();
    assert!(disk.list("").unwrap().iter().any(|entry| entry.name == "ballast"));
    disk.set_capacity(Some(1 << 20));
    fill(&log, &t, &"x".repeat(3000)).await;
    log.delete_topic("t").await.unwrap();
    assert!(log.topic("t").is_none());
}

#[tokio::test]
async fn a_failed_sync_makes_the_log_read_only_until_it_is_opened_again() {
    let disk = Simulated::new();
    let (log, tasks) = open(Arc::new(disk.clone())).await;
    let t = topic(&log, "t", 1).await;
    try_append(&log, &t, "first").await.unwrap();
    // Write to the segment, write of the frame, sync of the journal.
    disk.fail_call(disk.calls() + 3, rustix::io::Errno::IO.raw_os_error());
    let failed = try_append(&log, &t, "second").await;
    assert!(matches!(failed, Err(AppendError::ReadOnly(_))), "{failed:?}");
    let refused = try_append(&log, &t, "third").await;
    assert!(matches!(refused, Err(AppendError::ReadOnly(_))), "{refused:?}");
    assert_eq!(values(&log, "t", 0).await, [(0, "first".to_owned())], "readers are served");
    log.close().await;
    tasks.join().await;
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(disk), small(), &tasks).await.unwrap();
    try_append(&log, &log.topic("t").unwrap(), "fourth").await.unwrap();
}

/// A consumer's offsets go through while producers beside it are refused; positions of an
/// instance, which free nothing, do not.
#[tokio::test]
async fn offsets_of_groups_go_through_on_a_full_disk_beside_producers_that_retry() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let t = topic(&log, "t", 1).await;
    let offsets = topic(&log, "__consumer_offsets", 1).await;
    let mut writer = log.writer("example", "sluice");
    writer.open().await.unwrap();
    try_append(&log, &t, "x").await.unwrap();
    let keyed = || {
        let mut builder = crate::record::BatchBuilder::default();
        builder.push(Some(b"group"), Some(b"offset"), &[]);
        let mut batch = builder.finish();
        batch.seal(1000);
        Produce { topic: Arc::clone(&offsets), partition: 0, batch: batch.into_bytes() }
    };
    log.append_atomic(vec![keyed()]).await.unwrap();
    disk.set_capacity(Some(1 << 20));
    let large = "x".repeat(3000);
    fill(&log, &t, &large).await;
    for n in 0..10 {
        // In one group: the appender takes all that waits.
        let refused =
            log.enqueue(vec![Produce { topic: t.clone(), partition: 0, batch: batch(&[&large]) }]);
        let (refused, committed) = tokio::join!(refused, log.append_atomic(vec![keyed()]));
        assert!(committed.is_ok(), "commit {n}: {committed:?}");
        assert_eq!(refused.await, [Err(AppendError::Full)]);
    }
    let position = bytes::Bytes::from_static(b"idle");
    let receipt = writer.commit(position, Vec::new()).await.unwrap().await;
    assert!(matches!(receipt, Err(crate::log::WriterError::Full)), "{receipt:?}");
}
