//! What waits for the disk, and what does not: counted in calls of a thread, in syncs, and in what
//! goes on while a call hangs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::compaction::{five_values, made_at, put, records};
use super::{Random, Released, append, batch, open, publish_rows, small, topic, values};
use crate::disk::{Freeze, Hang, Simulated};
use crate::log::segment::Segment;
use crate::log::{Log, LogSettings, NewTopic, Produce, Topic};
use crate::record::BatchBuilder;
use crate::shutdown::Tasks;

/// Longer than anything here takes that does not hang.
const LONG: Duration = Duration::from_secs(20);

/// What must not wait for what hangs.
async fn at_once<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(LONG, work).await;
    done.unwrap_or_else(|_| panic!("{what} waits"))
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether the sum of all calls of the watched thread stays 0.
fn none_waited(disk: &Simulated, what: &str) {
    assert_eq!(disk.calls_of_thread(), 0, "{what}");
}

/// A topic whose segments are never too old, to be kept or to be appended to.
async fn kept_topic(log: &Log, name: &str, partitions: i32, more: &[(&str, &str)]) -> Arc<Topic> {
    let never = [("retention.ms", "-1"), ("segment.ms", "9000000000000")];
    let config = never.iter().chain(more);
    let config = config.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let new = NewTopic { name: name.to_owned(), partitions, config, owner: None };
    log.create_topic(new).await.unwrap()
}

/// Everything that is asked of a log, on one worker, over segments that are active, sealed, and of
/// the process before, in the page cache and not: the worker never waits for the disk.
#[tokio::test]
async fn no_worker_waits_for_the_disk() {
    let mut disk = Simulated::new();
    for life in 0..3 {
        for is_cold in [false, true] {
            disk.make_cold(is_cold);
            disk.watch_thread(std::thread::current().id());
            let (log, tasks) = open(Arc::new(disk.clone())).await;
            none_waited(&disk, "open");
            if log.topic("t").is_none() {
                kept_topic(&log, "t", 2, &[]).await;
            }
            let t = log.topic("t").unwrap();
            for n in 0..20 {
                append(&log, &t, n % 2, &[&"x".repeat(900)]).await;
            }
            none_waited(&disk, "append");
            let end = log.ends(&[(t.clone(), 0)]).pop().unwrap().unwrap().high_watermark;
            for offset in 0..end {
                log.read(&t, 0, offset, end, 1, true).await.unwrap();
                log.read_within(&t, 0, offset, end, 5000).await.unwrap();
            }
            none_waited(&disk, "read");
            for time in [-1, 0, 1000, 1001] {
                log.offset_for_time(&t, 0, time, end).await.unwrap();
            }
            log.newest_time(&t, 1, end).await.unwrap();
            let _ = (log.size(&t, 0), log.tips(&[(t.clone(), 0)]), log.figures());
            none_waited(&disk, "look for a time");
            let writer = publish_rows(&log).await;
            none_waited(&disk, "write as an instance");
            log.delete_records(&t, 1, 5 * (life + 1)).await.unwrap();
            log.backup(Arc::new(Simulated::new())).await.unwrap();
            topic(&log, "passing", 3).await;
            log.delete_topic("passing").await.unwrap();
            none_waited(&disk, "operate");
            log.close().await;
            drop((writer, log));
            tasks.join().await;
            none_waited(&disk, "close");
        }
        disk = disk.crash(if life == 0 { Freeze::Keep } else { Freeze::Lose });
    }
}

/// One large segment, whose index is worth writing.
fn large() -> LogSettings {
    LogSettings { segment_bytes: 1 << 20, checkpoint_ms: 20, ..small() }
}

async fn open_large(disk: &Simulated) -> (Log, Tasks) {
    let tasks = Tasks::new();
    (Log::open(Arc::new(disk.clone()), large(), &tasks).await.unwrap(), tasks)
}

fn active(log: &Log) -> Arc<Segment> {
    log.topic("t").unwrap().partition(0).unwrap().last_segment().unwrap()
}

/// Appends, and reads what is in memory of the index.
async fn goes_on(log: &Log, count: &mut i64) {
    let t = log.topic("t").unwrap();
    for _ in 0..3 {
        let appended = at_once("an append", append(log, &t, 0, &[&"x".repeat(400)])).await;
        assert_eq!(appended.base_offset, *count);
        *count += 1;
    }
    let read = log.read(&t, 0, *count - 1, *count, 1, true);
    assert!(!at_once("a read at the end", read).await.unwrap().is_empty());
}

/// Whatever hangs of writing an index, looking through it and making it again, appends to its
/// segment go on, and so does who reads at the end.
#[tokio::test]
async fn an_index_is_never_locked_while_the_disk_is_waited_for() {
    let disk = Simulated::new();
    let _released = Released(disk.clone());
    let (log, tasks) = open_large(&disk).await;
    kept_topic(&log, "t", 1, &[]).await;
    let mut count = 0;
    for ending in [".index", ".timeindex"] {
        disk.hang(Some((Hang::Sync, ending)));
        for _ in 0..40 {
            goes_on(&log, &mut count).await;
        }
        until("no checkpoint syncs an index", || disk.hanging() > 0).await;
        goes_on(&log, &mut count).await;
        disk.hang(None);
        until("a sync still hangs", || disk.hanging() == 0).await;
    }
    log.close().await;
    drop(log);
    tasks.join().await;
    // A start looks through the index of what it found.
    for (kind, ending, is_damaged) in [
        (Hang::Read, ".timeindex", false),
        (Hang::Read, ".log", false),
        (Hang::Read, ".log", true),
        (Hang::Sync, ".index", true),
        (Hang::Sync, ".timeindex", true),
    ] {
        let case = format!("{kind:?} of {ending}, damaged: {is_damaged}");
        let (log, tasks) = open_large(&disk).await;
        goes_on(&log, &mut count).await;
        let segment = active(&log);
        if is_damaged {
            disk.flip_bit(&format!("{}.index", segment.stem()), 7);
        }
        disk.hang(Some((kind, ending)));
        let mending = std::thread::spawn(move || segment.mend_index());
        until(&case, || disk.hanging() > 0).await;
        goes_on(&log, &mut count).await;
        disk.hang(None);
        let mended = tokio::task::spawn_blocking(move || mending.join().unwrap().unwrap());
        assert_eq!(at_once(&case, mended).await.unwrap(), is_damaged, "{case}");
        assert!(!active(&log).mend_index().unwrap(), "{case}: it fits now");
        assert_eq!(i64::try_from(values(&log, "t", 0).await.len()).unwrap(), count, "{case}");
        log.close().await;
        drop(log);
        tasks.join().await;
    }
}

/// Indexes that are made again while batches are published lack none of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_made_again_beside_appends_has_all_of_them() {
    let disk = Simulated::new();
    let (log, tasks) = open_large(&disk).await;
    let t = kept_topic(&log, "t", 1, &[]).await;
    let mut random = Random::new(7);
    let mut count = 0;
    // Each is younger than the one before, as the index has to know.
    let mut append = async || {
        let mut rows = BatchBuilder::default();
        rows.push(None, Some("x".repeat(random.below(3000)).as_bytes()), &[]);
        let mut batch = rows.finish();
        count += 1;
        batch.seal(count);
        let produce = Produce { topic: Arc::clone(&t), partition: 0, batch: batch.into_bytes() };
        log.append(vec![produce]).await.pop().unwrap().unwrap();
        count
    };
    let mut newest = append().await;
    while active(&log).size() < 600 << 10 {
        if newest % 20 == 0 {
            let segment = active(&log);
            let remade =
                tasks.spawn_blocking("make an index again", move || segment.remake_index());
            append().await;
            remade.await.unwrap().unwrap();
            newest = append().await;
            assert_eq!(active(&log).largest_timestamp().unwrap(), newest);
        }
        newest = append().await;
    }
    let count = newest;
    assert!(!active(&log).mend_index().unwrap());
    for offset in 0..count {
        let read = log.read(&t, 0, offset, count, 1, true).await.unwrap();
        let head = crate::record::batches(&read).next().unwrap().unwrap();
        assert_eq!(head.head().base_offset, offset);
    }
}

fn segments(log: &Log, partition: i32) -> usize {
    log.topic("t").unwrap().partition(partition).unwrap().segments().len()
}

/// Behind a start nobody knows the times of sealed segments. Retention has them read by a helper,
/// those only that decide, and no append waits for it.
#[tokio::test]
async fn no_append_waits_for_the_times_that_retention_wants_to_know() {
    const PARTITIONS: i32 = 20;
    let disk = Simulated::new();
    let _released = Released(disk.clone());
    let (log, tasks) = open(Arc::new(disk.clone())).await;
    let t = kept_topic(&log, "t", PARTITIONS, &[]).await;
    for n in 0..PARTITIONS * 12 {
        append(&log, &t, n % PARTITIONS, &[&"x".repeat(1900)]).await;
    }
    let before = segments(&log, 0);
    assert!(before > 4);
    log.close().await;
    drop(log);
    tasks.join().await;

    let settings = LogSettings { retention_check_ms: 5, checkpoint_ms: 3_600_000, ..small() };
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(disk.clone()), settings, &tasks).await.unwrap();
    let retain = async |key: &str, value: &str| {
        let change = vec![(key.to_owned(), Some(value.to_owned()))];
        at_once("a change of a topic", log.configure_topic("t", change)).await.unwrap();
        let t = log.topic("t").unwrap();
        for _ in 0..10 {
            at_once("an append", append(&log, &t, 0, &["x"])).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // The look behind the start has them read too.
    until("the look is at its end", || disk.opened(".timeindex") > 0).await;
    let t = log.topic("t").unwrap();
    let is_known = |n: i32, at: usize| {
        t.partition(n).unwrap().segments()[at].known_largest_timestamp().is_some()
    };
    retain("retention.ms", "-1").await;
    assert!(!is_known(0, 0), "nothing has to be known");
    retain("retention.bytes", "1000000").await;
    assert!(!is_known(0, 0), "nothing has to be known for that");
    disk.hang(Some((Hang::Read, ".timeindex")));
    retain("retention.ms", "9000000000000").await;
    assert!(disk.hanging() > 0, "nobody reads them");
    disk.hang(None);
    until("they are not read", || (0..PARTITIONS).all(|n| is_known(n, 0))).await;
    assert!(!is_known(1, 1), "the second does not count where the first stays");
    assert_eq!(segments(&log, 1), before);

    let syncs = disk.syncs();
    let change = vec![("retention.ms".to_owned(), Some("1".to_owned()))];
    log.configure_topic("t", change).await.unwrap();
    until("they do not go", || (1..PARTITIONS).all(|n| segments(&log, n) == 0)).await;
    let syncs = disk.syncs() - syncs;
    // Each round moves all that are due by one frame, and has the times of the next ones read.
    assert!(syncs < 12, "{syncs} syncs");
    let ends = log.ends(&(0..PARTITIONS).map(|n| (t.clone(), n)).collect::<Vec<_>>());
    assert!(ends.iter().skip(1).all(|ends| ends.as_ref().unwrap().log_start == 12));
    // A start finds them where they were moved to.
    let crashed = disk.crash(Freeze::Lose);
    let (log, _tasks) = open(Arc::new(crashed)).await;
    assert_eq!(values(&log, "t", 3).await, []);
    let (topic, batch) = (log.topic("t").unwrap(), batch(&["behind"]));
    let produce = Produce { topic, partition: 3, batch };
    assert_eq!(log.append(vec![produce]).await.pop().unwrap().unwrap().base_offset, 12);
}

/// Behind a start nobody knows the ages of sealed segments. The compactor reads those that say
/// whether it has something to do, and no append waits for it.
#[tokio::test]
async fn no_append_waits_for_the_ages_that_compaction_wants_to_know() {
    let lags: [&[(&str, &str)]; 2] = [
        &[("min.compaction.lag.ms", "1"), ("min.cleanable.dirty.ratio", "0")],
        &[("max.compaction.lag.ms", "3600000"), ("min.cleanable.dirty.ratio", "1")],
    ];
    for (ending, lag) in [".timeindex", ".log"].into_iter().zip(lags) {
        let disk = Simulated::new();
        let _released = Released(disk.clone());
        let (log, tasks) = open(Arc::new(disk.clone())).await;
        let small_ones = [("internal.segment.bytes", "1500")];
        let t = kept_topic(&log, "keyed", 1, &small_ones).await;
        five_values(&log, &t, 1000).await;
        log.close().await;
        drop((t, log));
        tasks.join().await;

        let settings = LogSettings { checkpoint_ms: 5, ..small() };
        let tasks = Tasks::new();
        let log = Log::open(Arc::new(disk.clone()), settings, &tasks).await.unwrap();
        // The look behind the start reads them too, and keeps nothing of what retention asks.
        until("the look is at its end", || disk.opened(".timeindex") > 0).await;
        disk.hang(Some((Hang::Read, ending)));
        let change = [("cleanup.policy", "compact")].iter().chain(lag);
        let change = change.map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())));
        let change = log.configure_topic("keyed", change.collect());
        at_once("a change of a topic", change).await.unwrap();
        let t = log.topic("keyed").unwrap();
        for n in 0..60 {
            let record = (b"key".to_vec(), Some(n.to_string()));
            at_once("an append", put(&log, &t, made_at(1000, &[record]))).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        until("nobody reads them", || disk.hanging() > 0).await;
        assert!(segments_there(&t) > 4, "{ending}: it is compacted");
        disk.hang(None);
        let until = Instant::now() + LONG;
        while records(&log).await.len() > 61 {
            assert!(Instant::now() < until, "{ending}: it is not compacted");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        log.close().await;
    }
}

/// How many segments there are.
fn segments_there(topic: &Topic) -> usize {
    topic.partition(0).unwrap().segments().len()
}
