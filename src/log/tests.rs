//! The log as its users meet it: appended, read, reopened.

mod again;
mod backup;
mod cleaning;
mod clocks;
mod closing;
mod compaction;
mod crash;
mod damage;
mod files;
mod housekeeping;
mod inspect;
mod missing;
mod model;
mod names;
mod offline;
mod producers;
mod reading;
mod refused;
mod room;
mod starts;
mod trouble;
mod waiting;

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::disk::{Disk, Real, Simulated};
use crate::record::{BatchBuilder, batches};
use crate::shutdown::Tasks;

/// Segments, journal and staging so small that a short test meets their ends.
fn small() -> LogSettings {
    LogSettings {
        segment_bytes: 4096,
        internal_segment_bytes: 4096,
        index_interval_bytes: 256,
        staged_above: 8192,
        reference_from: 2048,
        journal_file_min: 16 << 10,
        journal_file_max: 64 << 10,
        checkpoint_inline_bytes: 64 << 10,
        ballast_bytes: 4096,
        ..LogSettings::default()
    }
}

/// Still smaller: between any two crashes there are checkpoints, journal files that are used
/// again, and segments to compact and to remove.
fn tiny() -> LogSettings {
    LogSettings {
        segment_bytes: 2500,
        internal_segment_bytes: 600,
        checkpoint_inline_bytes: 3000,
        checkpoint_ms: 20,
        retention_check_ms: 5,
        ..small()
    }
}

/// A small generator (xorshift), so that a seed replays.
struct Random(u64);

impl Random {
    /// Neighbouring seeds give different rows.
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2_654_435_761) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap()
    }
}

/// Lets nothing of a disk hang any more at the end of a test, also of one that fails.
struct Released(Simulated);

impl Drop for Released {
    fn drop(&mut self) {
        self.0.hang(None);
    }
}

/// A number that the caller gives for a longer form, or to repeat one seed.
fn asked<T: std::str::FromStr>(name: &str) -> Option<T> {
    #[expect(clippy::disallowed_methods, reason = "how long to test is asked of the caller")]
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// A sealed batch of records, as a client sends it.
fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::default();
    for value in values {
        builder.push(None, Some(value.as_bytes()), &[]);
    }
    let mut batch = builder.finish();
    batch.seal(1000);
    batch.into_bytes()
}

async fn open(disk: Arc<dyn Disk>) -> (Log, Tasks) {
    let tasks = Tasks::new();
    let log = Log::open(disk, small(), &tasks).await.unwrap();
    (log, tasks)
}

async fn topic(log: &Log, name: &str, partitions: i32) -> Arc<Topic> {
    let new = NewTopic { name: name.to_owned(), partitions, ..NewTopic::default() };
    log.create_topic(new).await.unwrap()
}

/// A topic that is compacted whenever it may be, with small segments.
async fn compacted_topic(log: &Log, name: &str) -> Arc<Topic> {
    let config = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0"),
        ("internal.segment.bytes", "1500"),
    ];
    let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let config = config.into_iter().map(text).collect();
    let new = NewTopic { name: name.to_owned(), partitions: 1, config, owner: None };
    log.create_topic(new).await.unwrap()
}

/// Publishes what an instance does: rows of two partitions, in a commit. Returns its writer.
async fn publish_rows(log: &Log) -> Writer {
    let mut writer = log.writer("example", "sluice");
    writer.open().await.unwrap();
    for n in 0..20 {
        let mut rows = BatchBuilder::default();
        rows.push(None, Some("x".repeat(1000).as_bytes()), &[]);
        writer.append(&Arc::from("rows"), 2, n % 2, rows.finish()).await.unwrap();
    }
    writer.commit(Bytes::from_static(b"p"), Vec::new()).await.unwrap().await.unwrap();
    writer
}

async fn append(log: &Log, topic: &Arc<Topic>, partition: i32, values: &[&str]) -> Appended {
    let produce = Produce { topic: Arc::clone(topic), partition, batch: batch(values) };
    log.append(vec![produce]).await.pop().unwrap().unwrap()
}

/// All values of a partition with their offsets.
async fn values(log: &Log, name: &str, partition: i32) -> Vec<(i64, String)> {
    try_values(log, name, partition).await.unwrap()
}

async fn try_values(
    log: &Log,
    name: &str,
    partition: i32,
) -> Result<Vec<(i64, String)>, ReadError> {
    let topic = log.topic(name).unwrap();
    let mut found = Vec::new();
    for piece in log.read_all(&topic, partition).await? {
        for batch in batches(&piece) {
            for record in batch.unwrap().records() {
                let record = record.unwrap();
                let value = String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap();
                found.push((record.offset, value));
            }
        }
    }
    Ok(found)
}

#[tokio::test]
async fn what_was_appended_is_read_and_outlives_a_clean_stop() {
    let disk = Simulated::new();
    let (log, tasks) = open(Arc::new(disk.clone())).await;
    let t = topic(&log, "t", 2).await;
    assert_eq!(append(&log, &t, 0, &["a", "b"]).await.base_offset, 0);
    assert_eq!(append(&log, &t, 0, &["c"]).await.base_offset, 2);
    let expected = [(0, "a".to_owned()), (1, "b".to_owned()), (2, "c".to_owned())];
    assert_eq!(values(&log, "t", 0).await, expected);
    log.close().await;
    assert!(tasks.join().await.is_empty());
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    assert_eq!(values(&log, "t", 0).await, expected);
    assert_eq!(log.topic("t").unwrap().partitions(), 2);
    assert_eq!(append(&log, &log.topic("t").unwrap(), 0, &["d"]).await.base_offset, 3);
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_crash() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let t = topic(&log, "t", 1).await;
    let mut expected = Vec::new();
    for n in 0..500_i32 {
        let value = format!("{n}{}", "x".repeat(usize::try_from(n % 300).unwrap()));
        assert_eq!(append(&log, &t, 0, &[&value]).await.base_offset, i64::from(n));
        expected.push((i64::from(n), value));
    }
    let crashed = disk.crash(crate::disk::Freeze::Lose);
    let (log, _tasks) = open(Arc::new(crashed)).await;
    assert_eq!(values(&log, "t", 0).await, expected);
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let disk = || Arc::new(Real::new(dir.path()).unwrap());
    let (log, _tasks) = open(disk()).await;
    let again = Log::open(disk(), small(), &Tasks::new()).await;
    assert!(matches!(again, Err(OpenError::Locked)));
    log.close().await;
    open(disk()).await;
}

#[tokio::test]
async fn an_instance_finds_its_position_and_its_state() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let mut writer = log.writer("example", "sluice");
    assert_eq!(writer.open().await.unwrap().position, None);
    let name: Arc<str> = Arc::from("bigdata.test");
    let mut builder = BatchBuilder::default();
    builder.push(None, Some(b"row"), &[]);
    writer.append(&name, 3, 1, builder.finish()).await.unwrap();
    let state = StateWrite {
        kind: StateKind::Schema,
        key: Bytes::from_static(b"k"),
        value: Some(Bytes::from_static(b"v")),
    };
    let receipt = writer.commit(Bytes::from_static(b"p1"), vec![state]).await.unwrap();
    receipt.await.unwrap();
    let crashed = disk.crash(crate::disk::Freeze::Lose);
    let (log, _tasks) = open(Arc::new(crashed)).await;
    let mut writer = log.writer("example", "sluice");
    let restored = writer.open().await.unwrap();
    assert_eq!(restored.position.as_deref(), Some(b"p1".as_slice()));
    let state = writer.read_state(StateKind::Schema, 0).await.unwrap();
    let (key, value) = (Bytes::from_static(b"k"), Bytes::from_static(b"v"));
    assert_eq!(state.records, [(0, key, Some(value))]);
    assert_eq!(values(&log, "bigdata.test", 1).await, [(0, "row".to_owned())]);
    assert_eq!(log.topic("bigdata.test").unwrap().owner(), Some("example"));
}

#[tokio::test]
async fn a_large_transaction_is_staged_and_appears_at_once() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let mut writer = log.writer("example", "sluice");
    writer.open().await.unwrap();
    let name: Arc<str> = Arc::from("big");
    let large = "x".repeat(1000);
    for n in 0..30 {
        let mut builder = BatchBuilder::default();
        builder.push(None, Some(format!("{n}{large}").as_bytes()), &[]);
        writer.append(&name, 2, n % 2, builder.finish()).await.unwrap();
    }
    assert_eq!(values(&log, "big", 0).await, []);
    writer.commit(Bytes::from_static(b"p"), Vec::new()).await.unwrap().await.unwrap();
    let expected: Vec<_> = (0..15).map(|n| (n, format!("{}{large}", n * 2))).collect();
    assert_eq!(values(&log, "big", 0).await, expected);
    let crashed = disk.crash(crate::disk::Freeze::Lose);
    let (log, _tasks) = open(Arc::new(crashed)).await;
    assert_eq!(values(&log, "big", 0).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_snapshot_of_the_ends_ever_splits_a_transaction() {
    let (log, tasks) = open(Arc::new(Simulated::new())).await;
    let mut writer = log.writer("example", "sluice");
    writer.open().await.unwrap();
    let both = [topic(&log, "a", 1).await, topic(&log, "b", 1).await];
    let all: Vec<_> = both.iter().map(|topic| (Arc::clone(topic), 0)).collect();
    let reader = log.clone();
    let looks = tasks.spawn("reader", async move {
        let mut published = reader.published();
        loop {
            let ends: Vec<i64> =
                reader.ends(&all).into_iter().map(|ends| ends.unwrap().high_watermark).collect();
            assert_eq!(ends[0], ends[1]);
            if ends[0] == 300 {
                return;
            }
            published.changed().await.unwrap();
        }
    });
    let mut last = None;
    for _ in 0..300 {
        for name in ["a", "b"] {
            let mut builder = BatchBuilder::default();
            builder.push(None, Some(b"row"), &[]);
            writer.append(&Arc::from(name), 1, 0, builder.finish()).await.unwrap();
        }
        last = Some(writer.commit(Bytes::from_static(b"p"), Vec::new()).await.unwrap());
    }
    last.unwrap().await.unwrap();
    looks.await.unwrap();
}
