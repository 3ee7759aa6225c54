//! Every file and directory of a log, gone while it was closed or behind a kill: one at a time, and
//! two. A start reads all that was acknowledged, or says what is missing; never silently less.
//!
//! All pairs are taken with `SLUICE_TEST_LONG`, some of them without.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Random, asked, batch, compacted_topic, small, topic};
use crate::disk::{Disk, Entry, Freeze, Mode, Simulated};
use crate::log::{AcceptDamage, Log, LogSettings, OpenError, Produce, ReadError};
use crate::record::{BatchBuilder, batches};
use crate::shutdown::Tasks;

/// A key that stays, of the topic that is compacted, is newest here.
type Expected = BTreeMap<(String, i32), BTreeMap<String, String>>;

/// Some checkpoints come, and what lies behind the last fills more than one file of the journal.
fn settings() -> LogSettings {
    LogSettings {
        internal_segment_bytes: 600,
        checkpoint_inline_bytes: 80 << 10,
        checkpoint_ms: 3_600_000,
        journal_file_max: 16 << 10,
        retention_ms: None,
        ..small()
    }
}

async fn append(log: &Log, name: &str, number: i32, key: &str, value: &str) {
    let mut records = BatchBuilder::default();
    records.push(Some(key.as_bytes()), Some(value.as_bytes()), &[]);
    let mut records = records.finish();
    records.seal(1000);
    let batch = records.into_bytes();
    let produce = Produce { topic: log.topic(name).unwrap(), partition: number, batch };
    log.append(vec![produce]).await.pop().unwrap().unwrap();
}

struct Filling {
    log: Log,
    expected: Expected,
}

impl Filling {
    async fn put(&mut self, name: &str, number: i32, key: String, length: usize) {
        let value = format!("{key} {}", "x".repeat(length));
        append(&self.log, name, number, &key, &value).await;
        self.expected.entry((name.to_owned(), number)).or_default().insert(key, value);
    }

    /// Inline and by reference, in several segments; a topic whose segments are compacted, some of
    /// them to nothing; topics that come and go.
    async fn round(&mut self, round: usize) {
        for n in 0..8 {
            let large = if n == 5 { 2500 } else { 300 };
            self.put("t", n % 2, format!("{round}.{n}"), large).await;
            self.put("keyed", 0, format!("key {}", n % 2), 700).await;
        }
        let name = format!("of {round}").replace(' ', "-");
        topic(&self.log, &name, 1).await;
        self.put(&name, 0, "only".to_owned(), 10).await;
        let passing = format!("passing{round}");
        topic(&self.log, &passing, 1).await;
        self.log.delete_topic(&passing).await.unwrap();
    }

    async fn commit(&mut self, number: usize) {
        let mut writer = self.log.writer("example", "sluice");
        writer.open().await.unwrap();
        for part in 0..10 {
            let mut rows = BatchBuilder::default();
            let (key, value) = (format!("{number}.{part}"), "r".repeat(1000));
            rows.push(Some(key.as_bytes()), Some(value.as_bytes()), &[]);
            writer.append(&Arc::from("rows"), 1, 0, rows.finish()).await.unwrap();
            self.expected.entry(("rows".to_owned(), 0)).or_default().insert(key, value);
        }
        writer.commit(Bytes::from_static(b"p"), Vec::new()).await.unwrap().await.unwrap();
    }
}

/// What a kill leaves, what a stop in order leaves, and what must be read of both.
async fn filled() -> (Simulated, Simulated, Expected) {
    let disk = Simulated::new();
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(disk.clone()), settings(), &tasks).await.unwrap();
    topic(&log, "t", 2).await;
    compacted_topic(&log, "keyed").await;
    let mut filling = Filling { log, expected: Expected::new() };
    let numbers = || disk.list("journal").unwrap();
    for round in 0..6 {
        filling.round(round).await;
        if round % 3 == 0 {
            filling.commit(round).await;
        }
        // A checkpoint passes, and what it lets compact is compacted.
        for _ in 0..20 {
            filling.log.new_producer_ids(1).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let killed = disk.crash(Freeze::Keep);
    assert!(numbers().len() > 3, "{:?}", numbers());
    filling.log.close().await;
    let expected = filling.expected;
    drop(filling.log);
    assert_eq!(tasks.join().await, Vec::<&str>::new());
    (killed, disk, expected)
}

/// All files and directories, but what means nothing.
fn everything(disk: &Simulated) -> Vec<String> {
    let mut found = Vec::new();
    for Entry { name, is_dir } in disk.list("").unwrap() {
        if is_dir {
            let inside = disk.list(&name).unwrap();
            found.extend(inside.into_iter().map(|entry| format!("{name}/{}", entry.name)));
        }
        found.push(name);
    }
    found.retain(|path| {
        !["ballast", "staged", "compacted"].iter().any(|none| path.starts_with(none))
    });
    found
}

/// The newest value of each key, or why nothing is read.
async fn read(log: &Log, name: &str, number: i32) -> Result<BTreeMap<String, String>, String> {
    let Some(topic) = log.topic(name) else { return Ok(BTreeMap::new()) };
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let mut found = BTreeMap::new();
    match log.read_all(&topic, number).await {
        Ok(pieces) => {
            for batch in pieces.iter().flat_map(|piece| batches(piece)) {
                for record in batch.unwrap().records() {
                    let record = record.unwrap();
                    found.insert(text(record.key), text(record.value));
                }
            }
            Ok(found)
        }
        Err(ReadError::Offline { place, .. }) => Err(place),
        Err(other) => panic!("{name}-{number}: {other}"),
    }
}

/// What became of a start.
#[derive(Debug, Default)]
struct Outcomes {
    refused: usize,
    offline: usize,
    whole: usize,
}

/// Whether a text names one of the paths, or what is in it.
fn names_one(text: &str, gone: &[&str]) -> bool {
    gone.iter().any(|path| {
        let stem = path.strip_suffix(".log").unwrap_or(path);
        // A directory of the journal lacks a file: which, its last frame does not say.
        text.contains(stem) || (path.starts_with("journal/") && text.contains("of the journal"))
    })
}

impl Outcomes {
    async fn judge(&mut self, whole: &Simulated, gone: &[&str], expected: &Expected, when: &str) {
        let case = format!("{when}, without {gone:?}");
        let disk = whole.crash(Freeze::Keep);
        for path in gone {
            disk.remove_file(path).unwrap();
            disk.sync_dir(crate::disk::parent(path)).unwrap_or_default();
        }
        // The second start finds what the first one left.
        let mut before = None;
        for start in 0..2 {
            let tasks = Tasks::new();
            let opened = Log::open(Arc::new(disk.clone()), settings(), &tasks).await;
            let log = match opened {
                Ok(log) => log,
                Err(OpenError::Damaged(text) | OpenError::Torn(text)) => {
                    assert!(names_one(&text, gone), "{case}: {text} does not say what is missing");
                    assert_ne!(before, Some(false), "{case}: the second start refuses: {text}");
                    self.refused += 1;
                    before = Some(true);
                    continue;
                }
                Err(other) => panic!("{case}: {other}"),
            };
            assert_ne!(before, Some(true), "{case}: the second start does not refuse");
            before = Some(false);
            let mut offline = BTreeSet::new();
            for ((name, number), expected) in expected {
                match read(&log, name, *number).await {
                    Ok(found) => {
                        let lost: Vec<_> =
                            expected.iter().filter(|(key, _)| !found.contains_key(*key)).collect();
                        assert!(lost.is_empty(), "{case}: {name}-{number} lost {}", lost.len());
                        assert!(found == *expected, "{case}: {name}-{number} has other values");
                    }
                    Err(place) => {
                        assert!(names_one(&place, gone), "{case}: {place}");
                        offline.insert(format!("{name}-{number}"));
                    }
                }
            }
            let told: BTreeSet<_> =
                log.damage().borrow().iter().map(|(dir, _)| dir.clone()).collect();
            assert!(told.is_superset(&offline), "{case}: {told:?} and not {offline:?}");
            let outcome = if offline.is_empty() { &mut self.whole } else { &mut self.offline };
            *outcome += 1;
            if start == 0 && gone.len().is_multiple_of(2) {
                log.close().await;
            }
            drop(log);
            tasks.join().await;
        }
    }
}

#[tokio::test]
async fn what_is_missing_is_named_or_all_is_read() {
    let (killed, stopped, expected) = filled().await;
    let seed = asked("SLUICE_TEST_SEED").unwrap_or(20_261_128);
    let is_long = asked::<u64>("SLUICE_TEST_LONG").is_some();
    let mut random = Random::new(seed);
    for (whole, when) in [(&killed, "killed"), (&stopped, "stopped")] {
        let mut outcomes = Outcomes::default();
        let all = everything(whole);
        outcomes.judge(whole, &[], &expected, when).await;
        assert_eq!(outcomes.whole, 2, "{when}: {outcomes:?}");
        for path in &all {
            outcomes.judge(whole, &[path], &expected, when).await;
        }
        assert!(outcomes.offline > 20 && outcomes.refused > 2, "{when}: {outcomes:?}");
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                if is_long || random.below(300) == 0 {
                    let case = format!("seed {seed}, {when}");
                    outcomes.judge(whole, &[one, other], &expected, &case).await;
                }
            }
        }
    }
}

/// Checkpoints of builds before say nothing of a journal: what lies behind them tells.
#[tokio::test]
async fn a_journal_of_an_earlier_build_is_missed_by_what_it_would_explain() {
    let disk = Simulated::new();
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(disk.clone()), small(), &tasks).await.unwrap();
    let t = topic(&log, "t", 1).await;
    super::append(&log, &t, 0, &["before"]).await;
    log.close().await;
    tasks.join().await;
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(disk.clone()), small(), &tasks).await.unwrap();
    let before = disk.crash(Freeze::Keep);
    super::append(&log, &log.topic("t").unwrap(), 0, &["behind"]).await;
    let old = disk.crash(Freeze::Keep);
    log.new_producer_ids(1).await.unwrap();
    let metadata = disk.crash(Freeze::Keep);
    drop((log, tasks));
    for (disk, expected) in [(before, "whole"), (old, "offline"), (metadata, "refused")] {
        let file = disk.open("checkpoint", Mode::Write).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let json = text.split_once('\n').unwrap().1.replace(",\"journal\":true", "");
        let crc = crc32c::crc32c(json.as_bytes());
        file.set_len(0).unwrap();
        file.write_at(format!("sluice checkpoint 2 {crc:08x}\n{json}").as_bytes(), 0).unwrap();
        disk.remove_dir("journal").unwrap();
        let opened = Log::open(Arc::new(disk.clone()), small(), &Tasks::new()).await;
        match (expected, opened) {
            ("whole", Ok(log)) => assert_eq!(super::values(&log, "t", 0).await.len(), 1),
            ("offline", Ok(log)) => {
                let told = log.damage().borrow().clone();
                assert!(told.len() == 1 && told[0].1.contains("journal is missing"), "{told:?}");
            }
            ("refused", Err(OpenError::Damaged(text))) => {
                assert!(text.contains("journal is missing"), "{text}");
            }
            (expected, other) => panic!("{expected}: {other:?}"),
        }
    }
}

/// Told to, it goes on with what the checkpoint knew, and with all that comes behind.
#[tokio::test]
async fn a_log_whose_journal_is_missing_goes_on_when_it_is_told_to() {
    let (killed, ..) = filled().await;
    let disk = killed.crash(Freeze::Keep);
    disk.remove_dir("journal").unwrap();
    let told = LogSettings { accept_damage: AcceptDamage::All, ..settings() };
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(disk.clone()), told, &tasks).await.unwrap();
    let behind = topic(&log, "behind", 1).await;
    let produce = Produce { topic: behind, partition: 0, batch: batch(&["kept"]) };
    log.append(vec![produce]).await.pop().unwrap().unwrap();
    let crashed = disk.crash(Freeze::Lose);
    drop(log);
    tasks.join().await;
    let log = Log::open(Arc::new(crashed), settings(), &Tasks::new()).await.unwrap();
    assert_eq!(super::values(&log, "behind", 0).await, [(0, "kept".to_owned())]);
}
