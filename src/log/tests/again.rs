//! What failed behind the appends is tried again by itself: checkpoints behind pauses that grow, and
//! compaction, whatever the system said. What a start finds, or a setting makes due, is taken up too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::compaction::{PATIENCE, five_values, made_at, put, records, until_there_are};
use super::{Released, batch, compacted_topic, small, topic};
use crate::disk::{CONCERNS, Freeze, Hang, Simulated};
use crate::log::{Log, LogSettings, NewTopic, Produce};
use crate::shutdown::Tasks;

async fn open(disk: &Simulated, settings: LogSettings) -> (Log, Tasks) {
    let tasks = Tasks::new();
    (Log::open(Arc::new(disk.clone()), settings, &tasks).await.unwrap(), tasks)
}

async fn close(log: Log, tasks: Tasks) {
    log.close().await;
    drop(log);
    assert_eq!(tasks.join().await, Vec::<&str>::new());
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How long so many failures take at least, when the first pause is `first`.
fn pauses(failures: u64, first: Duration) -> Duration {
    (1..failures).map(|n| first * (1 << (n - 1).min(6))).sum()
}

/// Many segments wait for their sync, so that a checkpoint is due at once, and none can be written.
#[tokio::test]
async fn checkpoints_that_fail_are_tried_behind_growing_pauses_and_sync_each_segment_once() {
    const PARTITIONS: i32 = 10;
    let first = Duration::from_millis(2);
    let disk = Simulated::new();
    disk.set_files(12);
    let settings = LogSettings {
        segment_bytes: 1 << 20,
        checkpoint_inline_bytes: 1 << 30,
        checkpoint_ms: 3_600_000,
        checkpoint_retry_ms: 2,
        ..small()
    };
    let (log, tasks) = open(&disk, settings).await;
    let t = topic(&log, "t", PARTITIONS).await;
    let of_all = || {
        let produce =
            |partition| Produce { topic: Arc::clone(&t), partition, batch: batch(&["again"]) };
        (0..PARTITIONS).map(produce).collect()
    };
    disk.refuse_writes("checkpoint.new", Errno::ACCESS.raw_os_error());
    let begun = Instant::now();
    while disk.refusals() < 16 {
        assert!(log.append(of_all()).await.iter().all(Result::is_ok));
        assert!(begun.elapsed() < PATIENCE, "it is tried no more");
    }
    let (elapsed, failures) = (begun.elapsed(), disk.refusals());
    assert!(elapsed >= pauses(failures, first), "{failures} failures in {elapsed:?}");
    // What the next one does: each segment, its two indexes, and some directories.
    let before = disk.syncs();
    disk.take_writes();
    until("a checkpoint", || log.trouble().borrow().checkpoint.is_none()).await;
    let syncs = disk.syncs() - before;
    assert!(syncs <= 3 * 10 + 20, "{syncs} syncs");
    close(log, tasks).await;
}

/// A compaction that can build nothing, or cannot put it in place, and then can.
async fn compacts_at_last(errno: Errno, place: &'static str) {
    let case = format!("{errno:?} of {place}");
    let disk = Simulated::new();
    let (log, tasks) = open(&disk, LogSettings { checkpoint_ms: 5, ..small() }).await;
    let t = compacted_topic(&log, "keyed").await;
    for n in 0..5 {
        if n == 1 {
            disk.refuse_writes(place, errno.raw_os_error());
        }
        let record = (b"key".to_vec(), Some(format!("{n}{}", "v".repeat(1400))));
        put(&log, &t, made_at(1000, &[record])).await;
    }
    // Nothing is appended any more, and nothing rolls.
    until(&case, || disk.refusals() >= 3).await;
    assert_eq!(records(&log).await.len(), 5, "{case}");
    assert_eq!(log.damage().borrow().clone(), [], "{case}");
    disk.take_writes();
    until_there_are(&log, 2).await;
    close(log, tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_that_failed_is_tried_again_by_itself_whatever_the_system_said() {
    let tasks = Tasks::new();
    let mut cases = Vec::new();
    for errno in CONCERNS.iter().flat_map(|(_, all)| *all) {
        for place in ["compacted", "keyed-0/00000000000000000000.log"] {
            cases.push(tasks.spawn("case", compacts_at_last(*errno, place)));
        }
    }
    for case in cases {
        case.await.unwrap();
    }
}

/// One segment cannot be put in its place, and while the next is still being built a checkpoint
/// passes that was to begin all anew.
#[tokio::test]
async fn a_checkpoint_that_passes_while_a_failed_compaction_comes_to_its_end_tries_it_again() {
    let disk = Simulated::new();
    let (log, tasks) = open(&disk, LogSettings { checkpoint_ms: 5, ..small() }).await;
    let t = compacted_topic(&log, "keyed").await;
    disk.hang(Some((Hang::Sync, "-0-00000000000000000001.log")));
    let _released = Released(disk.clone());
    for n in 0..5 {
        let mut all = vec![(b"key".to_vec(), Some(format!("{n}{}", "v".repeat(1400))))];
        if n == 1 {
            // Something is to be built in the place of this segment.
            disk.refuse_writes("keyed-0/00000000000000000000.log", Errno::IO.raw_os_error());
            all.push((b"stays".to_vec(), Some("s".to_owned())));
        }
        put(&log, &t, made_at(1000, &all)).await;
    }
    until("a refusal", || disk.refusals() > 0).await;
    until("the next is being built", || disk.hanging() > 0).await;
    // Longer than the appender sleeps: all checkpoints are written that something asks for.
    let mut checkpoints = 0;
    while checkpoints != disk.opened("checkpoint.new") {
        checkpoints = disk.opened("checkpoint.new");
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    disk.take_writes();
    disk.hang(None);
    until_there_are(&log, 3).await;
    close(log, tasks).await;
}

/// A stop, or a crash, within a minute of a roll; and nothing rolls any more.
#[tokio::test]
async fn a_start_compacts_what_was_sealed_before_and_nothing_where_there_is_nothing_to_do() {
    let never = || LogSettings { checkpoint_ms: 3_600_000, ..small() };
    let soon = || LogSettings { checkpoint_ms: 5, ..small() };
    for is_clean in [true, false] {
        let disk = Simulated::new();
        let (log, tasks) = open(&disk, never()).await;
        let t = compacted_topic(&log, "keyed").await;
        five_values(&log, &t, 1000).await;
        assert_eq!(records(&log).await.len(), 5);
        let crashed = disk.crash(Freeze::Lose);
        drop(t);
        close(log, tasks).await;
        let disk = if is_clean { disk } else { crashed };
        let (log, tasks) = open(&disk, soon()).await;
        until_there_are(&log, 2).await;
        // What was compacted is known to be.
        tokio::time::sleep(Duration::from_millis(700)).await;
        close(log, tasks).await;
        let before = disk.calls();
        let (log, tasks) = open(&disk, soon()).await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
        close(log, tasks).await;
        assert_eq!(disk.calls(), before, "clean {is_clean}: a start that has nothing to do");
    }
}

#[tokio::test]
async fn a_topic_that_becomes_compacted_is_compacted_without_a_roll() {
    let from_to = [
        [("cleanup.policy", "delete"), ("cleanup.policy", "compact")],
        [("cleanup.policy", "delete"), ("cleanup.policy", "compact,delete")],
        [("min.cleanable.dirty.ratio", "1"), ("min.cleanable.dirty.ratio", "0")],
        [("min.compaction.lag.ms", "9000000000000"), ("min.compaction.lag.ms", "0")],
    ];
    for [from, (key, value)] in from_to {
        let disk = Simulated::new();
        let (log, tasks) = open(&disk, LogSettings { checkpoint_ms: 5, ..small() }).await;
        let fixed = [
            ("cleanup.policy", "compact"),
            ("min.cleanable.dirty.ratio", "0"),
            ("internal.segment.bytes", "1500"),
            ("retention.ms", "-1"),
        ];
        let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let config = fixed.into_iter().chain([from]).map(text).collect();
        let new = NewTopic { name: "keyed".to_owned(), partitions: 1, config, owner: None };
        let t = log.create_topic(new).await.unwrap();
        five_values(&log, &t, crate::clock::now_millis()).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(records(&log).await.len(), 5, "{from:?}");
        let changed = vec![(key.to_owned(), Some(value.to_owned()))];
        log.configure_topic("keyed", changed).await.unwrap();
        until_there_are(&log, 2).await;
        drop(t);
        close(log, tasks).await;
    }
}
