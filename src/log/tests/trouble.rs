//! What keeps the log from taking what is written to it is told while it lasts, and counted.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::{batch, tiny, topic};
use crate::disk::Simulated;
use crate::log::{AppendError, Cause, Log, LogSettings, Produce, Topic, Trouble};
use crate::shutdown::Tasks;

async fn open(disk: &Simulated) -> (Log, Tasks) {
    let tasks = Tasks::new();
    let settings = LogSettings {
        segment_bytes: 1 << 20,
        retention_ms: None,
        // What is open has room for all of a test.
        journal_file_min: 8 << 20,
        journal_file_max: 8 << 20,
        look_again_ms: 5,
        ..tiny()
    };
    let log = Log::open(Arc::new(disk.clone()), settings, &tasks).await.unwrap();
    (log, tasks)
}

async fn append(log: &Log, topic: &Arc<Topic>, bytes: usize) -> Result<(), AppendError> {
    let value = "x".repeat(bytes);
    let produce = Produce { topic: Arc::clone(topic), partition: 0, batch: batch(&[&value]) };
    log.append(vec![produce]).await.pop().unwrap().map(drop)
}

fn count(log: &Log, cause: Cause) -> u64 {
    log.figures().refused.iter().find(|(one, _)| *one == cause).unwrap().1
}

/// Waits until it is as it should be.
async fn until(log: &Log, is_so: impl Fn(&Trouble) -> bool) -> Trouble {
    let mut trouble = log.trouble();
    let found = tokio::time::timeout(Duration::from_mins(1), trouble.wait_for(is_so)).await;
    found.expect("it is told within a minute").unwrap().clone()
}

fn is_well(trouble: &Trouble) -> bool {
    *trouble == Trouble::default()
}

#[tokio::test]
async fn a_full_disk_is_told_until_something_is_taken_or_could_be() {
    let disk = Simulated::new();
    let (log, _tasks) = open(&disk).await;
    let t = topic(&log, "t", 1).await;
    append(&log, &t, 100).await.unwrap();
    assert!(is_well(&log.trouble().borrow()));
    for writes in [true, false] {
        disk.set_capacity(Some(1));
        let before = count(&log, Cause::Full);
        assert_eq!(append(&log, &t, 2000).await, Err(AppendError::Full));
        let told = until(&log, |trouble| trouble.refused.is_some()).await;
        let sentences = told.sentences();
        assert!(sentences[0].contains("refuses what is written to it: no room"), "{sentences:?}");
        assert_eq!(count(&log, Cause::Full), before + 1);
        disk.set_capacity(None);
        if writes {
            append(&log, &t, 2000).await.unwrap();
        }
        until(&log, is_well).await;
    }
    assert!(log.figures().free_bytes.is_some());
}

#[tokio::test]
async fn what_the_system_refuses_is_told() {
    let disk = Simulated::new();
    let (log, _tasks) = open(&disk).await;
    let [t, other] = [topic(&log, "t", 1).await, topic(&log, "other", 1).await];
    append(&log, &t, 100).await.unwrap();
    disk.limit_open_files(Some(0));
    assert!(matches!(append(&log, &other, 100).await, Err(AppendError::Failed(_))));
    let told = until(&log, |trouble| trouble.refused.is_some()).await;
    assert!(told.refused.unwrap().contains("other-0"));
    assert_eq!(count(&log, Cause::Error), 1);
    disk.limit_open_files(None);
    append(&log, &other, 100).await.unwrap();
    until(&log, is_well).await;
}

#[tokio::test]
async fn checkpoints_that_fail_again_and_again_are_told() {
    let disk = Simulated::new();
    let (log, _tasks) = open(&disk).await;
    let t = topic(&log, "t", 1).await;
    append(&log, &t, 100).await.unwrap();
    disk.limit_open_files(Some(0));
    // It needs no more files for what it has open.
    while log.trouble().borrow().checkpoint.is_none() {
        let _ = append(&log, &t, 10).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    disk.limit_open_files(None);
    while log.trouble().borrow().checkpoint.is_some() {
        let _ = append(&log, &t, 10).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    until(&log, is_well).await;
    assert!(log.figures().checkpoint_age < Duration::from_mins(1));
}

#[tokio::test]
async fn a_log_that_is_read_only_says_so() {
    let disk = Simulated::new();
    let (log, _tasks) = open(&disk).await;
    let mut t = topic(&log, "t", 1).await;
    let mut tries = 0;
    // One of the next calls is the sync of a group; what goes on beside makes others.
    for call in (1..=12).cycle() {
        tries += 1;
        disk.fail_call(disk.calls() + call, Errno::IO.raw_os_error());
        match append(&log, &t, 100).await {
            Ok(()) | Err(AppendError::Failed(_) | AppendError::Full) => {}
            Err(AppendError::ReadOnly(_)) => break,
            // It was the write to its segment.
            Err(AppendError::Offline { .. }) => t = topic(&log, &format!("t{tries}"), 1).await,
            Err(other) => panic!("{other}"),
        }
        assert!(tries < 1000, "no sync failed");
    }
    let told = until(&log, |trouble| trouble.read_only.is_some()).await;
    assert!(told.sentences()[0].contains("read-only until the program starts again: "));
    let before = count(&log, Cause::ReadOnly);
    assert!(append(&log, &t, 100).await.is_err());
    assert_eq!(count(&log, Cause::ReadOnly), before + 1);
}
