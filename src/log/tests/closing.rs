//! What a clean stop costs, and what is left of one that does not come to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Released, append, batch, open, small, topic, values};
use crate::disk::{Freeze, Hang, Simulated};
use crate::log::{Log, LogSettings, NewTopic, Produce};
use crate::shutdown::Tasks;

const LONG: Duration = Duration::from_secs(20);

fn number(n: usize) -> i32 {
    i32::try_from(n).unwrap()
}

/// One batch for each of the first partitions of `t`, in one group.
async fn append_to(log: &Log, partitions: usize, value: &str) {
    let t = log.topic("t").unwrap();
    let one = |n| Produce { topic: Arc::clone(&t), partition: number(n), batch: batch(&[value]) };
    for appended in log.append((0..partitions).map(one).collect()).await {
        appended.unwrap();
    }
}

/// Closes the log, and counts its syncs.
async fn close(disk: &Simulated, log: Log, tasks: &Tasks) -> usize {
    let before = disk.syncs();
    log.close().await;
    drop(log);
    tasks.join().await;
    usize::try_from(disk.syncs() - before).unwrap()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Only what was written to is synced: new segments with their names, others once.
#[tokio::test]
async fn a_stop_syncs_what_was_written_to_and_nothing_else() {
    let mut few = Vec::new();
    for partitions in [40, 400] {
        let disk = Simulated::new();
        let (log, tasks) = open(Arc::new(disk.clone())).await;
        // The times of these batches are of 1970.
        let never = [("retention.ms", "-1"), ("segment.ms", "9000000000000")];
        let config = never.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let new =
            NewTopic { name: "t".to_owned(), partitions: number(partitions), config, owner: None };
        log.create_topic(new).await.unwrap();
        append_to(&log, partitions, "first").await;
        let new = close(&disk, log, &tasks).await;
        assert!(new <= 2 * partitions + 10, "{new} syncs for {partitions} new partitions");

        let (log, tasks) = open(Arc::new(disk.clone())).await;
        append_to(&log, partitions, "second").await;
        append_to(&log, partitions, "third").await;
        let changed = close(&disk, log, &tasks).await;
        assert!(changed <= partitions + 10, "{changed} syncs for {partitions} partitions");

        let (log, tasks) = open(Arc::new(disk.clone())).await;
        append_to(&log, 1, "fourth").await;
        few.push(close(&disk, log, &tasks).await);
        let (log, tasks) = open(Arc::new(disk.clone())).await;
        assert_eq!(close(&disk, log, &tasks).await, 0, "nothing was changed");

        let (log, _tasks) = open(Arc::new(disk.crash(Freeze::Lose))).await;
        for n in 0..number(partitions) {
            let expected = if n == 0 { 4 } else { 3 };
            assert_eq!(values(&log, "t", n).await.len(), expected, "partition {n}");
        }
    }
    assert_eq!(few[0], few[1], "it is the same for few partitions and for many");
    assert!(few[0] <= 6, "{few:?}");
}

/// A checkpoint that nobody waits for leaves the disk to others; who closes the log waits, and then
/// many syncs are under way at once. What a stop left that does not come to its end is recovered.
#[tokio::test]
async fn a_stop_has_many_syncs_under_way_at_once_and_may_be_broken_off() {
    const PARTITIONS: usize = 60;
    for (ending, is_running) in
        [(".log", true), (".log", false), ("-7", true), ("checkpoint.new", false)]
    {
        let case = format!("{ending}, beside a checkpoint: {is_running}");
        let disk = Simulated::new();
        let _released = Released(disk.clone());
        let tasks = Tasks::new();
        let checkpoint_ms = if is_running { 20 } else { 3_600_000 };
        let settings = LogSettings { checkpoint_ms, ..small() };
        let log = Log::open(Arc::new(disk.clone()), settings, &tasks).await.unwrap();
        topic(&log, "t", number(PARTITIONS)).await;
        disk.hang(Some((Hang::Sync, ending)));
        append_to(&log, PARTITIONS, "first").await;
        if is_running {
            until(&case, || disk.hanging() > 0).await;
            append_to(&log, PARTITIONS, "second").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(disk.hanging(), 1, "{case}: nobody waits for it");
        }
        let closing = log.clone();
        let closed = tasks.spawn("close the log", async move { closing.close().await });
        // The one that the checkpoint waits for is looked behind.
        let most = if ending == ".log" && !is_running { 16 } else { 1 };
        until(&case, || disk.hanging() == most).await;
        assert!(!closed.is_finished());
        let left = [Freeze::Lose, Freeze::Keep, Freeze::Tear(7)].map(|keep| disk.crash(keep));
        disk.hang(None);
        closed.await.unwrap();
        drop(log);
        tasks.join().await;
        for disk in left.into_iter().chain([disk.crash(Freeze::Lose)]) {
            // The second start finds what the first left.
            for _ in 0..2 {
                let (log, tasks) = open(Arc::new(disk.crash(Freeze::Keep))).await;
                for n in 0..number(PARTITIONS) {
                    let found = values(&log, "t", n).await.len();
                    assert_eq!(found, 1 + usize::from(is_running), "{case}: partition {n}");
                }
                append(&log, &log.topic("t").unwrap(), 0, &["behind"]).await;
                drop(log);
                tasks.join().await;
            }
        }
    }
}

/// Whichever call of a stop fails, or is the last before the machine stops.
#[tokio::test]
async fn a_stop_that_fails_loses_nothing() {
    const PARTITIONS: usize = 30;
    let errors =
        [rustix::io::Errno::IO, rustix::io::Errno::NOSPC].map(rustix::io::Errno::raw_os_error);
    for call in 0..20 {
        for errno in errors.into_iter().map(Some).chain([None]) {
            let disk = Simulated::new();
            let (log, tasks) = open(Arc::new(disk.clone())).await;
            topic(&log, "t", number(PARTITIONS)).await;
            append_to(&log, PARTITIONS, "first").await;
            match errno {
                Some(errno) => disk.fail_call(disk.calls() + 4 * call + 1, errno),
                None => disk.freeze_at_sync(disk.syncs() + 4 * call),
            }
            log.close().await;
            drop(log);
            tasks.join().await;
            for keep in [Freeze::Lose, Freeze::Keep, Freeze::Tear(call)] {
                let case = format!("call {call}, {errno:?}, {keep:?}");
                let (log, tasks) = open(Arc::new(disk.crash(keep))).await;
                for n in 0..number(PARTITIONS) {
                    let found = values(&log, "t", n).await;
                    assert_eq!(found, [(0, "first".to_owned())], "{case}: partition {n}");
                }
                drop(log);
                tasks.join().await;
            }
        }
    }
}
