//! Compaction against the rule: of each key the newest record stays, a deleted key stays
//! deleted, whatever the batches are compressed with and however few keys fit the memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Random, append, asked, small, tiny};
use crate::disk::{Disk, Freeze, Simulated};
use crate::log::{Log, LogSettings, NewTopic, Produce, Topic};
use crate::record::{BatchBuilder, BatchView, Compression, batches, compressed};
use crate::shutdown::Tasks;

const KINDS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// Long enough on a machine with much else to do.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// Records of keys: the newest value of each.
type Newest = BTreeMap<Vec<u8>, Option<String>>;

async fn open(disk: &Simulated, settings: LogSettings) -> (Log, Tasks) {
    let tasks = Tasks::new();
    (Log::open(Arc::new(disk.clone()), settings, &tasks).await.unwrap(), tasks)
}

async fn compacted(log: &Log, more: &[(&str, &str)]) -> Arc<Topic> {
    let fixed = [
        ("cleanup.policy", "compact"),
        ("delete.retention.ms", "0"),
        ("min.cleanable.dirty.ratio", "0"),
        ("internal.segment.bytes", "1500"),
    ];
    let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let config = fixed.iter().chain(more).map(text).collect();
    let new = NewTopic { name: "keyed".to_owned(), partitions: 1, config, owner: None };
    log.create_topic(new).await.unwrap()
}

fn batch(records: &[(Vec<u8>, Option<String>)], compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::default();
    for (key, value) in records {
        builder.push(Some(key), value.as_ref().map(String::as_bytes), &[]);
    }
    let mut batch = builder.finish();
    batch.seal(1000);
    compressed(batch.as_bytes(), compression)
}

/// A batch whose records were made at this time.
pub(super) fn made_at(time: i64, records: &[(Vec<u8>, Option<String>)]) -> Bytes {
    let mut builder = BatchBuilder::default();
    for (key, value) in records {
        builder.push(Some(key), value.as_ref().map(String::as_bytes), &[]);
    }
    let mut batch = builder.finish();
    batch.seal(time);
    batch.into_bytes()
}

pub(super) async fn put(log: &Log, topic: &Arc<Topic>, batch: Bytes) {
    let produce = Produce { topic: Arc::clone(topic), partition: 0, batch };
    log.append(vec![produce]).await.pop().unwrap().unwrap();
}

/// All records with their offsets.
pub(super) async fn records(log: &Log) -> Vec<(i64, Vec<u8>, Option<String>)> {
    records_of(log, "keyed").await
}

async fn records_of(log: &Log, topic: &str) -> Vec<(i64, Vec<u8>, Option<String>)> {
    let topic = log.topic(topic).unwrap();
    let mut found = Vec::new();
    for piece in log.read_all(&topic, 0).await.unwrap() {
        for batch in batches(&piece) {
            let plain = batch.unwrap().uncompressed().unwrap();
            for record in BatchView::parse_stored(&plain).unwrap().records() {
                let record = record.unwrap();
                let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
                found.push((record.offset, record.key.unwrap().to_vec(), record.value.map(text)));
            }
        }
    }
    found
}

fn newest(records: &[(i64, Vec<u8>, Option<String>)]) -> Newest {
    let mut newest: Newest =
        records.iter().map(|(_, key, value)| (key.clone(), value.clone())).collect();
    newest.retain(|_, value| value.is_some());
    newest
}

/// Waits until nothing more is compacted away.
async fn settled(log: &Log) -> usize {
    let (mut last, mut equal) = (usize::MAX, 0);
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let count = records(log).await.len();
        equal = if count == last { equal + 1 } else { 0 };
        last = count;
        if equal == 5 {
            break;
        }
    }
    last
}

/// Fills segments with keys that occur once, so that what is before them is sealed, passed by
/// a checkpoint, and compacted.
async fn roll(log: &Log, topic: &Arc<Topic>, from: usize) {
    for n in from..from + 4 {
        let record = (format!("other {n}").into_bytes(), Some("o".repeat(900)));
        put(log, topic, batch(&[record], Compression::None)).await;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

#[tokio::test]
async fn a_deleted_key_stays_deleted_in_whatever_batches_it_was() {
    for value_in in KINDS {
        for tombstone_in in KINDS {
            let disk = Simulated::new();
            let (log, _tasks) = open(&disk, tiny()).await;
            let topic = compacted(&log, &[]).await;
            let key = b"key".to_vec();
            let stays = (b"stays".to_vec(), Some("s".to_owned()));
            let value = [(key.clone(), Some("value".to_owned())), stays.clone()];
            put(&log, &topic, batch(&value, value_in)).await;
            roll(&log, &topic, 0).await;
            put(&log, &topic, batch(&[(key.clone(), None)], tombstone_in)).await;
            for round in 1..4 {
                roll(&log, &topic, round * 4).await;
                let found = newest(&records(&log).await);
                let case = format!("{value_in:?}, {tombstone_in:?}");
                assert!(!found.contains_key(&key), "{case}: it is back");
                assert_eq!(found.get(&stays.0), Some(&stays.1), "{case}");
            }
            let left = records(&log).await;
            assert!(left.iter().all(|(_, found, _)| *found != key), "the tombstone went too");
        }
    }
}

/// Random keys, values and tombstones, while the memory holds few keys.
async fn play(seed: u64) {
    let mut random = Random::new(seed);
    let mut disk = Simulated::new();
    let settings = LogSettings { compaction_keys: 8 + random.below(30), ..tiny() };
    let mut expected = Newest::new();
    let keys = 5 + random.below(60);
    for life in 0..3 {
        let (log, tasks) = open(&disk, settings.clone()).await;
        let topic = match log.topic("keyed") {
            Some(topic) => topic,
            None => compacted(&log, &[]).await,
        };
        for n in 0..60 {
            let record = |random: &mut Random| {
                let key = format!("k{}", random.below(keys)).into_bytes();
                let value = format!("{life}.{n}.{}", "v".repeat(random.below(200)));
                (key, (random.below(3) > 0).then_some(value))
            };
            let all: Vec<_> = (0..=random.below(5)).map(|_| record(&mut random)).collect();
            put(&log, &topic, batch(&all, KINDS[random.below(KINDS.len())])).await;
            expected.extend(all);
            if random.below(8) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        expected.retain(|_, value| value.is_some());
        roll(&log, &topic, life * 100).await;
        let count = settled(&log).await;
        let found = records(&log).await;
        let mut live = newest(&found);
        live.retain(|key, _| key.starts_with(b"k"));
        assert_eq!(live, expected, "seed {seed}, life {life}");
        assert!(count < keys * 3 + 100, "seed {seed}, life {life}: {count} are left");
        disk = disk.crash([Freeze::Lose, Freeze::Keep, Freeze::Tear(seed)][random.below(3)]);
        drop(log);
        tasks.join().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_of_each_key_stays_however_few_fit_the_memory() {
    if let Some(seed) = asked("SLUICE_TEST_SEED") {
        return play(seed).await;
    }
    let seeds: u64 = asked("SLUICE_TEST_SEEDS").unwrap_or(6);
    for seed in 0..seeds {
        let round = Tasks::new().spawn("play", play(seed)).await;
        assert!(round.is_ok(), "failed with SLUICE_TEST_SEED={seed}");
    }
}

#[tokio::test]
async fn a_tombstone_stays_for_delete_retention_ms_from_its_first_compaction_on() {
    let disk = Simulated::new();
    let (log, _tasks) = open(&disk, tiny()).await;
    let topic = compacted(&log, &[("delete.retention.ms", "100000000")]).await;
    let key = b"key".to_vec();
    // The times of these batches are of 1970: a tombstone's own time says nothing.
    put(&log, &topic, batch(&[(key.clone(), Some("v".to_owned()))], Compression::None)).await;
    put(&log, &topic, batch(&[(key.clone(), None)], Compression::Lz4)).await;
    roll(&log, &topic, 0).await;
    roll(&log, &topic, 4).await;
    settled(&log).await;
    let found = records(&log).await;
    let of_key: Vec<_> = found.iter().filter(|(_, found, _)| *found == key).collect();
    assert_eq!(of_key, [&(1, key.clone(), None)]);
}

/// Deletion and compaction of topics of one name, over and over: what is acknowledged of the
/// newest one is there, and the log opens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_deleted_and_made_again_while_it_is_compacted_loses_nothing() {
    let disk = Simulated::new();
    let (log, tasks) = open(&disk, tiny()).await;
    let mut last = String::new();
    for round in 0..60 {
        let topic = compacted(&log, &[]).await;
        for n in 0..12 {
            last = format!("{round}.{n}{}", "v".repeat(600));
            let record = (b"key".to_vec(), Some(last.clone()));
            put(&log, &topic, batch(&[record], Compression::None)).await;
        }
        if round % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let found = newest(&records(&log).await);
        assert_eq!(found.values().next(), Some(&Some(last.clone())), "round {round}");
        if round < 59 {
            log.delete_topic("keyed").await.unwrap();
        }
    }
    let crashed = disk.crash(Freeze::Lose);
    drop(log);
    tasks.join().await;
    let (log, _tasks) = open(&crashed, tiny()).await;
    assert_eq!(newest(&records(&log).await).values().next(), Some(&Some(last)));
    assert_eq!(crashed.list("compacted").unwrap(), [], "nothing is left of what was stopped");
}

#[tokio::test]
async fn a_compacted_topic_whose_policy_becomes_delete_opens_after_a_crash() {
    for freeze in [Freeze::Lose, Freeze::Keep] {
        let disk = Simulated::new();
        let (log, tasks) = open(&disk, LogSettings { checkpoint_ms: 20, ..small() }).await;
        let topic = compacted(&log, &[]).await;
        for n in 0..20 {
            let record = (b"key".to_vec(), Some(format!("{n}{}", "v".repeat(600))));
            put(&log, &topic, batch(&[record], Compression::None)).await;
        }
        settled(&log).await;
        let policy = ("cleanup.policy".to_owned(), Some("delete".to_owned()));
        let keep = ("retention.ms".to_owned(), Some("-1".to_owned()));
        log.configure_topic("keyed", vec![policy, keep]).await.unwrap();
        append(&log, &topic, 0, &["last"]).await;
        let crashed = disk.crash(freeze);
        drop(log);
        tasks.join().await;
        let (log, _tasks) = open(&crashed, small()).await;
        let ends = log.ends(&[(log.topic("keyed").unwrap(), 0)]).pop().unwrap().unwrap();
        assert_eq!(ends.high_watermark, 21);
    }
}

/// Five segments, of which each but the last holds a value of one key that the next replaces.
pub(super) async fn five_values(log: &Log, topic: &Arc<Topic>, time: i64) {
    for n in 0..5 {
        let record = (b"key".to_vec(), Some(format!("{n}{}", "v".repeat(1400))));
        put(log, topic, made_at(time, &[record])).await;
    }
}

pub(super) async fn until_there_are(log: &Log, count: usize) {
    let until = Instant::now() + PATIENCE;
    loop {
        let there = records(log).await.len();
        if there == count {
            return;
        }
        assert!(Instant::now() < until, "never {count} records, but {there}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `min.compaction.lag.ms`: what is young waits, without anything appended, over a restart too.
#[tokio::test]
async fn a_segment_is_compacted_when_it_has_come_of_age() {
    let disk = Simulated::new();
    let settings = LogSettings { checkpoint_ms: 50, ..small() };
    let (log, tasks) = open(&disk, settings.clone()).await;
    let hour = [("min.compaction.lag.ms", "3600000")];
    let topic = compacted(&log, &hour).await;
    five_values(&log, &topic, 1000).await;
    until_there_are(&log, 2).await; // the last sealed one, and the one that is appended to
    five_values(&log, &topic, crate::clock::now_millis()).await;
    // What was active has been sealed, and its newer values are too young to be looked at.
    until_there_are(&log, 6).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(records(&log).await.len(), 6);
    let less = |ms: &str| vec![("min.compaction.lag.ms".to_owned(), Some(ms.to_owned()))];
    log.configure_topic("keyed", less("600000")).await.unwrap();
    log.close().await;
    tasks.join().await;
    let (log, _tasks) = open(&disk, settings).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(records(&log).await.len(), 6);
    log.configure_topic("keyed", less("1")).await.unwrap();
    until_there_are(&log, 2).await;
}

/// `max.compaction.lag.ms`: what is old is compacted though little of it is new.
#[tokio::test]
async fn what_is_too_old_is_compacted_however_little_it_is() {
    for (time, left) in [(1000, 2), (crate::clock::now_millis(), 5)] {
        let disk = Simulated::new();
        let (log, _tasks) = open(&disk, LogSettings { checkpoint_ms: 50, ..small() }).await;
        let rarely = [("min.cleanable.dirty.ratio", "1"), ("max.compaction.lag.ms", "3600000")];
        let topic = compacted(&log, &rarely).await;
        five_values(&log, &topic, time).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        until_there_are(&log, left).await;
    }
}

/// A record: its key, and its value or none.
type Put = (&'static str, Option<&'static str>);

/// What becomes of the first segment, and its records.
const CHANGES: [(&str, &[Put]); 3] = [
    ("shorter", &[("key", Some("first")), ("stays", Some("s"))]),
    // The tombstone gets a delete horizon, far from the times of the other records.
    ("longer", &[("deleted", None), ("stays", Some("s"))]),
    ("removed", &[("key", Some("first"))]),
];

/// Appends until compaction has changed something in the directory, and its sync failed.
async fn until_it_stops(disk: &Simulated, log: &Log, records: &[Put]) {
    let topic = compacted(log, &[("delete.retention.ms", "100000000")]).await;
    let text = |(key, value): &Put| (key.as_bytes().to_vec(), value.map(str::to_owned));
    let mut next: Vec<_> = records.iter().map(text).collect();
    for n in 0..400 {
        let produce = |records: &[_]| {
            let batch = batch(records, Compression::None);
            vec![Produce { topic: Arc::clone(&topic), partition: 0, batch }]
        };
        let _ = log.append(produce(&next)).await;
        // Each in a segment of its own.
        next = vec![(b"key".to_vec(), Some(format!("{n}{}", "v".repeat(1450))))];
        // Definitions enough for the metadata topic to be compacted too.
        let of_it = NewTopic { name: "t".to_owned(), partitions: 1, ..NewTopic::default() };
        let _ = log.create_topic(of_it).await;
        let _ = log.delete_topic("t").await;
        if !disk.is_to_stop() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing was compacted");
}

/// The next process sees what compaction did, which a power failure can take back all the same:
/// it must not go by it before it has made it durable itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_compaction_changed_before_a_sync_that_never_came_is_made_durable_by_the_next_process()
{
    let quiet = || LogSettings { checkpoint_ms: 3_600_000, ..small() };
    let mut wrong = Vec::new();
    for dir in ["keyed-0", "__sluice_metadata-0"] {
        for (change, first) in CHANGES {
            for errno in [None, Some(rustix::io::Errno::IO.raw_os_error())] {
                let case = format!("{dir}, {change}, {errno:?}");
                let disk = Simulated::new();
                let (log, tasks) = open(&disk, tiny()).await;
                disk.stop_behind_change_in(dir, errno);
                until_it_stops(&disk, &log, first).await;
                let killed = disk.crash(Freeze::Keep);
                drop(log);
                tasks.join().await;
                let (log, tasks) = open(&killed, quiet()).await;
                let topic = dir.strip_suffix("-0").unwrap();
                let seen = records_of(&log, topic).await;
                log.close().await;
                tasks.join().await;
                drop(log);
                let tasks = Tasks::new();
                let lost = Arc::new(killed.crash(Freeze::Lose));
                match Log::open(lost, quiet(), &tasks).await {
                    Err(error) => wrong.push(format!("{case}: {error}")),
                    Ok(log) => {
                        let damage = log.damage().borrow().clone();
                        let found = records_of(&log, topic).await;
                        if found != seen || !damage.is_empty() {
                            let (found, seen) = (found.len(), seen.len());
                            wrong.push(format!("{case}: {found} records, not {seen}; {damage:?}"));
                        }
                    }
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
