//! Crash upon crash, with all housekeeping between them: checkpoints, journal files that are
//! used again, compaction, retention, topics deleted and made again.
//!
//! One operation at a time is asked of the log, beside a model of what it must hold. In each
//! life of a process the disk stops at some sync, or some call fails, or the log is closed;
//! then the next life begins on what a crash leaves. Found must be what the model holds, with
//! or without the one operation that was not acknowledged.
//!
//! `SLUICE_TEST_SEED` repeats one seed; `SLUICE_TEST_MINUTES` goes on with new ones so long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Random, asked, tiny};
use crate::disk::{Freeze, Simulated};
use crate::log::{Log, NewTopic, Produce, ReadError, Writer};
use crate::record::{BatchBuilder, BatchView, Compression, batches, compressed};
use crate::shutdown::Tasks;

/// How many lives of a process one seed has.
const LIVES: usize = 12;
/// How many operations a life has at most.
const OPERATIONS: usize = 40;
/// Each fault of the disk that a program has to expect.
const ERRORS: [rustix::io::Errno; 2] = [rustix::io::Errno::IO, rustix::io::Errno::NOSPC];

/// Topics that are made and deleted; the names are long and short, and like directories.
fn passing() -> [String; 3] {
    ["x".repeat(249), "a-1".to_owned(), "y".repeat(213)]
}

/// What the log must hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    /// The newest value of each key of the compacted topic; none for a deleted one.
    keyed: BTreeMap<u8, Option<String>>,
    /// All values ever of the topic with retention.
    aged: Vec<String>,
    /// All values of the passing topics that are there.
    passing: BTreeMap<String, Vec<String>>,
    /// The number of the last commit of the instance.
    position: usize,
}

#[derive(Clone, Debug)]
enum Operation {
    Put(Vec<(u8, Option<String>)>),
    Age(String),
    Create(String),
    Delete(String),
    Append(String, String),
    Commit(usize, bool),
}

impl Model {
    fn apply(&mut self, operation: &Operation) {
        match operation.clone() {
            Operation::Put(records) => self.keyed.extend(records),
            Operation::Age(value) => self.aged.push(value),
            Operation::Create(name) => {
                self.passing.insert(name, Vec::new());
            }
            Operation::Delete(name) => {
                self.passing.remove(&name);
            }
            Operation::Append(name, value) => self.passing.entry(name).or_default().push(value),
            Operation::Commit(position, _) => self.position = position,
        }
    }

    fn choose(&self, random: &mut Random, count: usize) -> Operation {
        let value = |random: &mut Random| format!("{count}.{}", "v".repeat(random.below(500)));
        let names = passing();
        let name = names[random.below(names.len())].clone();
        match random.below(12) {
            0..4 => {
                let record = |random: &mut Random| {
                    let value = (random.below(3) > 0).then(|| value(random));
                    (u8::try_from(random.below(6)).unwrap(), value)
                };
                Operation::Put((0..=random.below(4)).map(|_| record(random)).collect())
            }
            4..6 => Operation::Age(value(random)),
            6..10 if !self.passing.contains_key(&name) => Operation::Create(name),
            6 => Operation::Delete(name),
            7..10 => Operation::Append(name, value(random)),
            _ => Operation::Commit(self.position + 1, random.below(8) == 0),
        }
    }
}

struct Life {
    log: Log,
    tasks: Tasks,
    writer: Writer,
}

impl Life {
    async fn begin(disk: &Simulated) -> Result<Self, String> {
        let tasks = Tasks::new();
        let opened = Log::open(Arc::new(disk.clone()), tiny(), &tasks).await;
        let log = opened.map_err(|error| error.to_string())?;
        let mut writer = log.writer("example", "sluice");
        writer.open().await.map_err(|error| error.to_string())?;
        Ok(Self { log, tasks, writer })
    }

    async fn create_fixed(&self) {
        for (name, key, value) in
            [("keyed", "cleanup.policy", "compact"), ("aged", "retention.bytes", "5000")]
        {
            let settings = [
                (key, value),
                ("delete.retention.ms", "0"),
                ("min.cleanable.dirty.ratio", "0"),
                ("retention.ms", "-1"),
                ("internal.segment.bytes", "1500"),
            ];
            let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
            let config = settings.into_iter().map(text).collect();
            let new = NewTopic { name: name.to_owned(), partitions: 1, config, owner: None };
            self.log.create_topic(new).await.unwrap();
        }
    }

    async fn append(&self, topic: &str, batch: Bytes) -> Result<(), String> {
        let topic = self.log.topic(topic).ok_or("it is not there")?;
        let produce = Produce { topic, partition: 0, batch };
        let appended = self.log.append(vec![produce]).await.pop().unwrap();
        appended.map(drop).map_err(|error| error.to_string())
    }

    async fn carry_out(&mut self, operation: &Operation) -> Result<(), String> {
        match operation.clone() {
            Operation::Put(records) => self.append("keyed", keyed(&records)).await,
            Operation::Age(value) => self.append("aged", super::batch(&[&value])).await,
            Operation::Append(name, value) => self.append(&name, super::batch(&[&value])).await,
            Operation::Create(name) => {
                // The batches of these tests have times of 1970.
                let config = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
                let new = NewTopic { name, partitions: 1, config, owner: None };
                self.log.create_topic(new).await.map(drop).map_err(|error| error.to_string())
            }
            Operation::Delete(name) => {
                self.log.delete_topic(&name).await.map_err(|error| error.to_string())
            }
            Operation::Commit(position, large) => self.commit(position, large).await,
        }
    }

    async fn commit(&mut self, position: usize, large: bool) -> Result<(), String> {
        let text = |error: crate::log::WriterError| error.to_string();
        for part in 0..if large { 10 } else { 1 } {
            let mut batch = BatchBuilder::default();
            let filler = if large { "r".repeat(1000) } else { String::new() };
            batch.push(None, Some(format!("{position}.{part}{filler}").as_bytes()), &[]);
            self.writer.append(&Arc::from("rows"), 1, 0, batch.finish()).await.map_err(text)?;
        }
        let position = Bytes::from(position.to_string());
        let receipt = self.writer.commit(position, Vec::new()).await.map_err(text)?;
        receipt.await.map_err(text)
    }

    /// What of the model the log holds, what was aged out taken from `before`.
    async fn found(&mut self, before: &Model) -> Model {
        let mut keyed = BTreeMap::new();
        self.each("keyed", |_, key, value| {
            keyed.insert(key.unwrap()[0], value);
        })
        .await;
        let mut aged = before.aged.clone();
        let mut next = 0;
        self.each("aged", |offset, _, value| {
            next = usize::try_from(offset).unwrap();
            aged.truncate(next);
            assert_eq!(aged.len(), next, "there is a gap in what was aged");
            aged.push(value.unwrap());
            next += 1;
        })
        .await;
        let topic = self.log.topic("aged").unwrap();
        let ends = self.log.ends(&[(topic, 0)]).pop().unwrap().unwrap();
        aged.truncate(usize::try_from(ends.high_watermark).unwrap());
        assert!(next == aged.len() || ends.log_start == ends.high_watermark, "{ends:?}");
        let mut passing_found = BTreeMap::new();
        for name in passing() {
            if self.log.topic(&name).is_some() {
                let mut values = Vec::new();
                self.each(&name, |_, _, value| values.push(value.unwrap())).await;
                passing_found.insert(name, values);
            }
        }
        let restored = self.writer.open().await.unwrap().position;
        let position = restored.map_or(0, |text| String::from_utf8_lossy(&text).parse().unwrap());
        let mut rows = 0;
        self.each("rows", |offset, _, value| {
            let number: usize = value.unwrap().split('.').next().unwrap().parse().unwrap();
            assert!(number == rows || number == rows + 1, "row {number} at {offset} behind {rows}");
            rows = number;
        })
        .await;
        assert_eq!(rows, position, "the position is not that of the rows");
        Model { keyed, aged, passing: passing_found, position }
    }

    async fn each(&self, topic: &str, mut visit: impl FnMut(i64, Option<&[u8]>, Option<String>)) {
        let Some(topic) = self.log.topic(topic) else { return };
        let pieces = loop {
            match self.log.read_all(&topic, 0).await {
                // Retention was faster.
                Err(ReadError::OffsetOutOfRange { .. }) => {}
                pieces => break pieces.unwrap(),
            }
        };
        let mut next = 0;
        for piece in pieces {
            for batch in batches(&piece) {
                let plain = batch.unwrap().uncompressed().unwrap();
                for record in BatchView::parse_stored(&plain).unwrap().records() {
                    let record = record.unwrap();
                    assert!(record.offset >= next, "offsets go back");
                    next = record.offset + 1;
                    let value =
                        record.value.map(|value| String::from_utf8(value.to_vec()).unwrap());
                    visit(record.offset, record.key, value);
                }
            }
        }
    }
}

/// Some are compressed.
fn keyed(records: &[(u8, Option<String>)]) -> Bytes {
    let kinds = [Compression::None, Compression::Lz4, Compression::Zstd, Compression::None];
    let mut builder = BatchBuilder::default();
    for (key, value) in records {
        builder.push(Some(&[*key]), value.as_ref().map(String::as_bytes), &[]);
    }
    let mut batch = builder.finish();
    batch.seal(1000);
    compressed(batch.as_bytes(), kinds[batch.as_bytes().len() % kinds.len()])
}

/// A deleted key is as one that never was: compaction takes the tombstone too.
fn same(found: &Model, expected: &Model) -> bool {
    let live = |model: &Model| {
        let mut model = model.clone();
        model.keyed.retain(|_, value| value.is_some());
        model
    };
    live(found) == live(expected)
}

async fn play(seed: u64) {
    let mut random = Random::new(seed);
    let mut disk = Simulated::new();
    let mut model = Model::default();
    let mut asked_last: Option<Operation> = None;
    let mut count = 0;
    for number in 0..LIVES {
        let case = format!("seed {seed}, life {number}");
        let mut life = Life::begin(&disk).await.unwrap_or_else(|why| panic!("{case}: {why}"));
        if number == 0 {
            life.create_fixed().await;
        }
        let found = life.found(&model).await;
        let mut with = model.clone();
        if let Some(operation) = &asked_last {
            with.apply(operation);
        }
        if same(&found, &with) {
            model = with;
        } else {
            let text = format!("{asked_last:?}\n{found:?}\nis not\n{model:?}");
            assert!(same(&found, &model), "{case}: {}", text.replace(['v', 'x', 'y'], ""));
        }
        asked_last = None;
        let fault = random.below(4);
        match fault {
            0 | 1 => disk.freeze_at_sync(disk.syncs() + random.below(60) as u64),
            2 => {
                let errno = ERRORS[random.below(ERRORS.len())].raw_os_error();
                disk.fail_call(disk.calls() + random.below(200) as u64, errno);
            }
            _ => {}
        }
        for _ in 0..random.below(OPERATIONS) {
            count += 1;
            let operation = model.choose(&mut random, count);
            if random.below(10) == 0 {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            match life.carry_out(&operation).await {
                Ok(()) => model.apply(&operation),
                Err(why) => {
                    assert!(fault < 3, "{case}: {operation:?}: {why}");
                    asked_last = Some(operation);
                    break;
                }
            }
        }
        disk = end(life, &disk, &mut random, fault).await;
    }
}

/// Ends a life, and gives the disk that the next one finds.
async fn end(life: Life, disk: &Simulated, random: &mut Random, fault: usize) -> Simulated {
    let Life { log, tasks, writer } = life;
    drop(writer);
    let keep = match random.below(4) {
        0 => Freeze::Lose,
        1 => Freeze::Keep,
        _ => Freeze::Tear(random.below(1 << 30) as u64),
    };
    if fault == 3 && random.below(2) == 0 {
        log.close().await;
    }
    let next = disk.crash(keep);
    log.close().await;
    drop(log);
    assert_eq!(tasks.join().await, Vec::<&str>::new());
    next
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_upon_crash_with_all_housekeeping_loses_nothing_and_brings_nothing_back() {
    if let Some(seed) = asked("SLUICE_TEST_SEED") {
        return play(seed).await;
    }
    let minutes: u64 = asked("SLUICE_TEST_MINUTES").unwrap_or(0);
    let until = Instant::now() + Duration::from_secs(minutes * 60);
    for seed in 0.. {
        if seed >= 20 && Instant::now() >= until {
            return;
        }
        let round = Tasks::new().spawn("play", play(seed)).await;
        assert!(round.is_ok(), "failed with SLUICE_TEST_SEED={seed}");
    }
}
