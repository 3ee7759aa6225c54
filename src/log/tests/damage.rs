//! Whatever of a closed log's files is damaged: it is mended without loss, or refused with
//! its place, or told to who reads it. Never is anything wrong handed out, and nothing that
//! is whole is lost. `SLUICE_DAMAGE_SEEDS` sets how many damages are tried.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{append, open, small, topic, values};
use crate::disk::{Disk, Freeze, Mode, Simulated};
use crate::log::{Log, LogSettings, OpenError, ReadError, StateKind, StateWrite, Writer};
use crate::record::{BatchBuilder, batches};
use crate::shutdown::Tasks;

const TOPICS: [(&str, i32); 3] = [("db.a", 0), ("db.b", 0), ("db.b", 1)];
const LAST: &str = "position 149";

/// Offsets and values by topic and partition.
type Contents = BTreeMap<(&'static str, i32), Vec<(i64, String)>>;

/// A log of many small segments, closed.
async fn filled() -> (Simulated, Contents) {
    let disk = Simulated::new();
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(disk.clone()), small(), &tasks).await.unwrap();
    let mut writer = log.writer("example", "sluice");
    writer.open().await.unwrap();
    for n in 0..150_usize {
        for (at, (topic, partition)) in TOPICS.iter().enumerate() {
            let mut batch = BatchBuilder::default();
            let value = format!("{n} {}", "x".repeat((n * 37 + at * 101) % 700));
            batch.push(None, Some(value.as_bytes()), &[]);
            writer.append(&Arc::from(*topic), 2, *partition, batch.finish()).await.unwrap();
        }
        let position = Bytes::from(format!("position {n}"));
        let (key, value) = (Bytes::from(format!("key {n}")), Some(Bytes::from_static(b"state")));
        let state = StateWrite { kind: StateKind::Schema, key, value };
        writer.commit(position, vec![state]).await.unwrap().await.unwrap();
    }
    let mut contents = Contents::new();
    for (topic, partition) in TOPICS {
        contents.insert((topic, partition), values(&log, topic, partition).await);
    }
    log.close().await;
    tasks.join().await;
    (disk, contents)
}

/// All files, the lock and the ballast left out, and all but one of those of the journal: behind a
/// clean stop nothing in them is read.
fn files(disk: &Simulated) -> Vec<String> {
    let mut files = Vec::new();
    for entry in disk.list("").unwrap() {
        if entry.is_dir {
            let mut inside = disk.list(&entry.name).unwrap();
            if entry.name == "journal" {
                inside.truncate(1);
            }
            files.extend(inside.iter().map(|file| format!("{}/{}", entry.name, file.name)));
        } else if entry.name == "checkpoint" {
            files.push(entry.name);
        }
    }
    files
}

/// A repeatable source of choices.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}

/// Damages one file somehow, and says how.
fn harm(disk: &Simulated, random: &mut Random) -> (String, String) {
    let files = files(disk);
    let path = files[usize::try_from(random.below(files.len() as u64)).unwrap()].clone();
    let file = disk.open(&path, Mode::Write).unwrap();
    let length = file.len().unwrap();
    let at = random.below(length);
    let how = match random.below(4) {
        0 | 1 if length > 0 => {
            disk.flip_bit(&path, at);
            format!("bit flipped at {at} of {length}")
        }
        2 if length > 0 => {
            let page = at / 512 * 512;
            let zeros = vec![0; usize::try_from((length - page).min(512)).unwrap()];
            file.write_at(&zeros, page).unwrap();
            format!("page zeroed at {page} of {length}")
        }
        3 if random.below(2) == 0 => {
            file.set_len(at).unwrap();
            format!("cut from {length} to {at}")
        }
        _ => {
            disk.remove_file(&path).unwrap();
            "removed".to_owned()
        }
    };
    (path, how)
}

/// What of a partition can be read, and whether somewhere damage was told.
async fn readable(
    log: &Log,
    topic: &str,
    partition: i32,
    case: &str,
) -> (Vec<(i64, String)>, bool) {
    let Some(found) = log.topic(topic) else { return (Vec::new(), false) };
    let ends = match log.ends(&[(Arc::clone(&found), partition)]).pop().unwrap() {
        Err(ReadError::Offline { .. }) => return (Vec::new(), true),
        ends => ends.unwrap(),
    };
    let (mut read, mut told, mut offset) = (Vec::new(), false, ends.log_start);
    while offset < ends.high_watermark {
        match log.read(&found, partition, offset, ends.high_watermark, 2000, true).await {
            Ok(bytes) => {
                assert!(!bytes.is_empty(), "{case}: nothing at {offset} of {ends:?}, and no error");
                for record in batches(&bytes).flat_map(|batch| batch.unwrap().records()) {
                    let record = record.unwrap();
                    let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                    if record.offset >= offset {
                        read.push((record.offset, value));
                    }
                }
                offset = read.last().unwrap().0 + 1;
            }
            Err(ReadError::Offline { .. } | ReadError::Io { .. }) => {
                told = true;
                offset += 1;
            }
            Err(other) => panic!("{case}: {other}"),
        }
    }
    (read, told)
}

/// How many state records there are; `None` if they cannot be read.
async fn states(writer: &Writer) -> Option<usize> {
    let (mut count, mut offset) = (0, 0);
    loop {
        let read = writer.read_state(StateKind::Schema, offset).await.ok()?;
        if read.next == offset {
            return Some(count);
        }
        (count, offset) = (count + read.records.len(), read.next);
    }
}

#[tokio::test]
async fn no_damage_passes_for_data() {
    #[expect(clippy::disallowed_methods, reason = "the long form is asked for by hand")]
    let seeds = std::env::var("SLUICE_DAMAGE_SEEDS");
    let seeds = seeds.map_or(150, |seeds| seeds.parse().unwrap());
    let (whole, contents) = filled().await;
    let (mut refused, mut told, mut mended) = (0, 0, 0);
    for seed in 1..=seeds {
        let disk = whole.crash(Freeze::Keep);
        let mut random = Random(seed);
        // Neighbouring seeds begin alike.
        for _ in 0..10 {
            random.below(1);
        }
        let (path, how) = harm(&disk, &mut random);
        let case = format!("seed {seed}: {path}, {how}");
        let tasks = Tasks::new();
        let log = match Log::open(Arc::new(disk.clone()), small(), &tasks).await {
            Ok(log) => log,
            Err(OpenError::Damaged(text) | OpenError::Torn(text)) => {
                let stem = path.split('.').next().unwrap();
                let place = text.contains(stem) || path.starts_with("__sluice_metadata");
                assert!(place, "{case}: {text} does not say where");
                refused += 1;
                continue;
            }
            Err(other) => panic!("{case}: {other}"),
        };
        let mut any_told = false;
        for ((topic, partition), expected) in &contents {
            let (read, told) = readable(&log, topic, *partition, &case).await;
            assert!(read.iter().all(|one| expected.contains(one)), "{case}: wrong data");
            assert!(told || read == *expected, "{case}: data is missing, and nobody was told");
            any_told |= told;
        }
        let mut writer = log.writer("example", "sluice");
        match writer.open().await {
            Ok(restored) => {
                assert_eq!(restored.position.as_deref(), Some(LAST.as_bytes()), "{case}");
                any_told |= states(&writer).await.is_none_or(|states| {
                    assert_eq!(states, 150, "{case}: state is missing, and nobody was told");
                    false
                });
            }
            Err(_) => any_told = true,
        }
        told += usize::from(any_told);
        mended += usize::from(!any_told);
        let is_index = path.ends_with("index");
        assert!(!is_index || !any_told, "{case}: only batches cannot be mended");
        log.close().await;
        tasks.join().await;
    }
    assert!(refused > 0 && told > 0 && mended > 0, "{refused} {told} {mended}");
}

/// How many indexes do not fit their batches, of all segments that there are.
fn damaged_indexes(log: &Log) -> (Vec<String>, usize) {
    let topics = log.shared().catalog(crate::log::catalog::Catalog::all);
    let partitions = topics.iter().flat_map(|topic| topic.all_partitions());
    let segments: Vec<_> = partitions.flat_map(|partition| partition.segments()).collect();
    let damaged = segments.iter().filter(|segment| segment.mend_index().unwrap());
    (damaged.map(|segment| segment.path()).collect(), segments.len())
}

#[tokio::test]
async fn no_index_is_taken_for_damaged_that_nobody_harmed() {
    let (disk, _) = filled().await;
    let mut disk = disk;
    // Ended in order, killed, ended in order; with and without something written between.
    for (start, end) in
        [None, None, Some(Freeze::Keep), Some(Freeze::Lose), None, None].into_iter().enumerate()
    {
        let (log, tasks) = open(Arc::new(disk.clone())).await;
        let (damaged, segments) = damaged_indexes(&log);
        assert_eq!(damaged, Vec::<String>::new(), "start {start}");
        assert!(segments > 30, "{segments}");
        let topic = match log.topic("own") {
            Some(topic) => topic,
            None => topic(&log, "own", 1).await,
        };
        if start % 2 == 0 {
            for n in 0..=start * 20 {
                append(&log, &topic, 0, &[&"y".repeat(n * 7 % 300)]).await;
            }
        }
        if let Some(freeze) = end {
            disk = disk.crash(freeze);
        } else {
            log.close().await;
            tasks.join().await;
        }
    }
}

/// Many partitions, each with a little: more than a start looks at.
#[tokio::test]
async fn a_start_after_a_clean_stop_finds_nothing_wrong_with_many_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(crate::disk::Real::new(dir.path()).unwrap());
    for start in 0..3 {
        let tasks = Tasks::new();
        let log = Log::open(Arc::clone(&disk), LogSettings::default(), &tasks).await.unwrap();
        let (damaged, _) = damaged_indexes(&log);
        assert_eq!(damaged, Vec::<String>::new(), "start {start}");
        let topic = match log.topic("many") {
            Some(topic) => topic,
            None => topic(&log, "many", 300).await,
        };
        let produce = |partition| {
            let mut builder = BatchBuilder::default();
            builder.push(None, Some(&[b'x'; 2000]), &[]);
            let mut batch = builder.finish();
            batch.seal(crate::clock::now_millis());
            crate::log::Produce { topic: Arc::clone(&topic), partition, batch: batch.into_bytes() }
        };
        for _ in 0..=start {
            let all = log.append((0..300).map(produce).collect()).await;
            assert!(all.iter().all(Result::is_ok));
        }
        log.close().await;
        tasks.join().await;
    }
}
