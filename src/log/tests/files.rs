//! No more files can be opened: what needs one is refused, and the log goes on.
//!
//! One opening after the other fails, of all that a workload makes: of segments, indexes, the
//! journal, checkpoints and directories, those that are opened to be synced among them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;

use super::{batch, compacted_topic, tiny, topic, values};
use crate::disk::{Disk, Freeze, Mode, Simulated};
use crate::log::{Log, LogSettings, NewTopic, Produce, WriterError};
use crate::record::BatchBuilder;
use crate::shutdown::Tasks;

/// What `open` may say of a process or a machine that is short of something.
const SHORT: [Errno; 3] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];

/// Few bytes are enough for a checkpoint, which compacts and removes. The batches of these tests
/// have times of 1970.
fn settings() -> LogSettings {
    let tiny = tiny();
    let [reference_from, staged_above] = [1500, 3000];
    LogSettings { reference_from, staged_above, checkpoint_ms: 1, retention_ms: None, ..tiny }
}

/// The acknowledged values of each partition, and those that may be there beside them.
#[derive(Default)]
struct Model {
    values: BTreeMap<(&'static str, i32), Vec<String>>,
    refused: usize,
    /// The last error.
    last: String,
}

async fn open(disk: &Simulated) -> (Log, Tasks) {
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(disk.clone()), settings(), &tasks).await.unwrap();
    (log, tasks)
}

/// A log of some topics, nothing of which is open or was appended to.
async fn begun(disk: &Simulated) -> (Log, Tasks) {
    let (log, tasks) = open(disk).await;
    topic(&log, "a", 3).await;
    topic(&log, "gone", 1).await;
    compacted_topic(&log, "keyed").await;
    log.writer("example", "sluice").open().await.unwrap();
    (log, tasks)
}

impl Model {
    /// Notes what became of something; whatever it was, the log must not be read-only.
    fn note<T>(&mut self, case: &str, result: Result<T, impl ToString>) -> Option<T> {
        match result {
            Ok(done) => Some(done),
            Err(error) => {
                let error = error.to_string();
                assert!(!error.contains("read-only"), "{case}: {error}");
                self.refused += 1;
                self.last = format!("{case}: {error}");
                None
            }
        }
    }

    async fn append(&mut self, case: &str, log: &Log, to: (&'static str, i32), value: String) {
        let Some(topic) = log.topic(to.0) else { return };
        let produce = Produce { topic, partition: to.1, batch: batch(&[&value]) };
        let appended = log.append(vec![produce]).await.pop().unwrap();
        if self.note(case, appended).is_some() {
            self.values.entry(to).or_default().push(value);
        }
    }

    /// A transaction of an instance, large enough to be staged.
    async fn commit(&mut self, case: &str, log: &Log, number: usize) {
        let mut writer = log.writer("example", "sluice");
        let done: Result<(), WriterError> = async {
            writer.open().await?;
            for part in 0..4 {
                let mut rows = BatchBuilder::default();
                rows.push(None, Some(row(number, part).as_bytes()), &[]);
                writer.append(&Arc::from("rows"), 1, 0, rows.finish()).await?;
            }
            writer.commit(Bytes::from(number.to_string()), Vec::new()).await?.await
        }
        .await;
        if self.note(case, done).is_some() {
            let rows = self.values.entry(("rows", 0)).or_default();
            rows.extend((0..4).map(|part| row(number, part)));
        }
    }

    /// Inline, by reference and staged; small and large; a topic that goes and comes back.
    async fn work(&mut self, case: &str, log: &Log) {
        for number in 0..6 {
            for partition in 0..3 {
                let large = if number % 2 == 0 { 1600 } else { 10 };
                let value = format!("{number}.{partition} {}", "x".repeat(large));
                self.append(case, log, ("a", partition), value).await;
            }
            self.append(case, log, ("keyed", 0), format!("{number} {}", "k".repeat(900))).await;
            if number % 2 == 1 {
                self.commit(case, log, number).await;
            }
            match number {
                2 if log.topic("gone").is_some() => {
                    let deleted = log.delete_topic("gone").await;
                    if self.note(case, deleted).is_some() {
                        self.values.remove(&("gone", 0));
                    }
                }
                3 if log.topic("gone").is_none() => {
                    let new = NewTopic { name: "gone".to_owned(), ..NewTopic::default() };
                    self.note(case, log.create_topic(NewTopic { partitions: 1, ..new }).await);
                }
                4 => self.append(case, log, ("gone", 0), "it is back".to_owned()).await,
                _ => {}
            }
            // A checkpoint comes between.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// All that was acknowledged is there, in order.
    async fn check(&self, case: &str, log: &Log) {
        for ((name, partition), expected) in &self.values {
            if *name == "keyed" {
                continue; // the one without a key is what compaction takes
            }
            let found = values(log, name, *partition).await;
            let found: Vec<_> = found.into_iter().map(|(_, value)| value).collect();
            assert!(found == *expected, "{case}: {name}-{partition}: {:?}", shortened(&found));
        }
    }
}

fn row(number: usize, part: usize) -> String {
    format!("row {number}.{part} {}", "r".repeat(1000))
}

fn shortened(values: &[String]) -> Vec<&str> {
    values.iter().map(|value| value.split(' ').next().unwrap_or_default()).collect()
}

/// Ends a life, and looks at what the next one finds after a power failure.
async fn end(case: &str, model: &Model, log: Log, tasks: Tasks, disk: &Simulated) {
    model.check(case, &log).await;
    let crashed = disk.crash(Freeze::Lose);
    log.close().await;
    drop(log);
    assert_eq!(tasks.join().await, Vec::<&str>::new(), "{case}");
    let (log, tasks) = open(&crashed).await;
    model.check(case, &log).await;
    log.close().await;
    drop(log);
    tasks.join().await;
}

#[tokio::test]
async fn whichever_opening_fails_the_log_goes_on() {
    let stopped = Simulated::new();
    let (log, tasks) = begun(&stopped).await;
    log.close().await;
    drop(log);
    tasks.join().await;
    let mut refused = 0;
    for opening in 0_usize.. {
        let errno = SHORT[opening % SHORT.len()];
        let case = format!("opening {opening}, {errno:?}");
        let disk = stopped.crash(Freeze::Keep);
        let (log, tasks) = open(&disk).await;
        let fails = disk.openings() + opening as u64 + 1;
        disk.fail_open(fails, errno.raw_os_error());
        let mut model = Model::default();
        model.work(&case, &log).await;
        let met = disk.openings() >= fails;
        // One that was not met must not meet what comes now.
        disk.fail_open(0, 0);
        refused += model.refused;
        for to in [("a", 0), ("a", 1), ("a", 2), ("keyed", 0)] {
            let before = model.refused;
            model.append(&case, &log, to, "at last".to_owned()).await;
            assert!(met || model.refused == before, "{case}: {to:?}");
        }
        end(&case, &model, log, tasks, &disk).await;
        if !met {
            assert!(refused > 10, "{refused} of {opening}");
            return;
        }
    }
}

#[tokio::test]
async fn a_limit_of_files_that_is_used_up_ends_with_its_cause() {
    let disk = Simulated::new();
    let (log, tasks) = begun(&disk).await;
    let mut model = Model::default();
    for (round, more) in [Some(0), None, Some(1), None, Some(2), None].into_iter().enumerate() {
        let case = format!("round {round}, {more:?}");
        disk.limit_open_files(more);
        let before = model.refused;
        model.work(&case, &log).await;
        match more {
            Some(0) => assert!(model.refused > before, "{case}"),
            Some(_) => {}
            None => assert_eq!(model.refused, before, "{case}: {}", model.last),
        }
    }
    end("at last", &model, log, tasks, &disk).await;
}

/// Many more partitions, and segments, than files: who does not use them closes them.
#[tokio::test]
async fn more_partitions_and_segments_than_files_are_appended_to_and_read() {
    let disk = Simulated::new();
    let tasks = Tasks::new();
    let [retention_check_ms, checkpoint_ms] = [60_000, 60_000];
    let settings = LogSettings { retention_check_ms, checkpoint_ms, ..settings() };
    disk.set_files(30);
    let log = Log::open(Arc::new(disk.clone()), settings, &tasks).await.unwrap();
    topic(&log, "many", 200).await;
    topic(&log, "a", 3).await;
    disk.limit_open_files(Some(60));
    let mut model = Model::default();
    for round in 0..2 {
        for partition in 0..200 {
            let case = format!("round {round}, partition {partition}");
            model.append(&case, &log, ("many", partition), format!("{round} of them")).await;
            let large = format!("{round}.{partition} {}", "x".repeat(1000));
            model.append(&case, &log, ("a", 0), large).await;
        }
    }
    assert_eq!(model.refused, 0, "{}", model.last);
    model.values.retain(|(name, _), _| *name == "a");
    for _ in 0..3 {
        model.check("all segments", &log).await;
    }
    disk.limit_open_files(None);
    log.close().await;
    drop(log);
    tasks.join().await;
}

/// The bytes of the checkpoint.
pub(super) fn checkpoint(disk: &Simulated) -> Vec<u8> {
    let Ok(file) = disk.open("checkpoint", Mode::Read) else { return Vec::new() };
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    let read = file.read_at(&mut bytes, 0).unwrap();
    bytes.truncate(read);
    bytes
}

/// That is damage of its partition, and no other's business: checkpoints go on.
#[tokio::test]
async fn a_directory_that_is_removed_while_it_is_appended_to_takes_its_partition_offline() {
    for large in [10, 1600] {
        let disk = Simulated::new();
        let (log, tasks) = begun(&disk).await;
        let mut model = Model::default();
        model.work("at first", &log).await;
        disk.remove_dir("a-1").unwrap();
        for number in 0.. {
            let value = format!("{number} {}", "x".repeat(large));
            model.append("its own", &log, ("a", 1), value.clone()).await;
            model.append("another", &log, ("a", 2), value).await;
            if !log.damage().borrow().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let damage = log.damage().borrow().clone();
        assert!(matches!(damage.as_slice(), [(dir, _)] if dir == "a-1"), "{damage:?}");
        let before = checkpoint(&disk);
        let mut rounds = 0;
        while checkpoint(&disk) == before {
            let refused = model.refused;
            model.append("another", &log, ("a", 2), format!("{rounds} behind")).await;
            assert_eq!(model.refused, refused, "{}", model.last);
            tokio::time::sleep(Duration::from_millis(1)).await;
            rounds += 1;
            assert!(rounds < 5000, "there are no checkpoints any more");
        }
        model.values.remove(&("a", 1));
        model.check("behind", &log).await;
        log.close().await;
        drop(log);
        tasks.join().await;
    }
}

/// The system tells an error of writing back to who has the file open then. So whoever has few files
/// open must not close one that waits for its sync: its records would be lost behind a checkpoint.
#[tokio::test]
async fn an_error_of_writing_back_is_told_however_few_files_are_open() {
    let first = |partition: i32| format!("many-{partition}/00000000000000000000.log");
    for most in [0, 1, 4, 1000] {
        for rolled in [false, true] {
            let case = format!("{most} files, {rolled}");
            let disk = Simulated::new();
            disk.set_files(most);
            let tasks = Tasks::new();
            let [checkpoint_ms, checkpoint_inline_bytes] = [60_000, 20_000];
            let settings = LogSettings { checkpoint_inline_bytes, checkpoint_ms, ..settings() };
            let log = Log::open(Arc::new(disk.clone()), settings, &tasks).await.unwrap();
            topic(&log, "many", 6).await;
            let mut model = Model::default();
            for partition in 0..6 {
                model.append(&case, &log, ("many", partition), "before".to_owned()).await;
                if rolled {
                    for part in ["one", "two", "three"] {
                        let value = format!("{part} {}", "x".repeat(900));
                        model.append(&case, &log, ("many", partition), value).await;
                    }
                }
            }
            for partition in 0..6 {
                disk.fail_write_back(&first(partition));
            }
            // Until a checkpoint came, or the log is read-only, as it should be.
            let before = checkpoint(&disk);
            for n in 0..2000 {
                let produce = Produce {
                    topic: log.topic("many").unwrap(),
                    partition: n % 6,
                    batch: batch(&[&format!("{n} {}", "y".repeat(400))]),
                };
                let appended = log.append(vec![produce]).await.pop().unwrap();
                if appended.is_err() || (n > 50 && checkpoint(&disk) != before) {
                    break;
                }
            }
            let crashed = disk.crash(Freeze::Lose);
            drop(log);
            tasks.join().await;
            let (log, _tasks) = open(&crashed).await;
            for ((name, partition), expected) in &model.values {
                let found = values(&log, name, *partition).await;
                let found: Vec<_> = found.into_iter().map(|(_, value)| value).collect();
                assert!(found.starts_with(expected), "{case}: {:?}", shortened(&found));
            }
        }
    }
}

/// The directories have left, and come back; a checkpoint may have looked for them meanwhile.
#[tokio::test]
async fn a_deletion_that_is_refused_beside_a_checkpoint_leaves_the_log_as_it_was() {
    let mut refused = 0;
    for opening in 1..=6 {
        let case = format!("from opening {opening}");
        let disk = Simulated::new();
        let (log, tasks) = begun(&disk).await;
        let mut model = Model::default();
        for round in 0..25 {
            for partition in 0..3 {
                model.append(&case, &log, ("a", partition), format!("{round}")).await;
            }
            if log.topic("gone").is_none() {
                topic(&log, "gone", 1).await;
            }
            model.append(&case, &log, ("gone", 0), format!("{round} to come back")).await;
            disk.fail_opens_from(disk.openings() + opening, Errno::MFILE.raw_os_error());
            let deleted = log.delete_topic("gone").await;
            disk.fail_opens_from(u64::MAX, 0);
            if model.note(&case, deleted).is_some() {
                model.values.remove(&("gone", 0));
            }
        }
        refused += model.refused;
        end(&case, &model, log, tasks, &disk).await;
    }
    assert!(refused > 20, "{refused}");
}
