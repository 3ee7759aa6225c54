//! Whatever the system says when a file is written: what that is about decides what it leads to.
//!
//! Each number of [`CONCERNS`] is said of each file of a log: of the newest of a partition, open or
//! opened for each use; of one that a roll makes; of the journal; of all that there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;

use super::{batch, small, topic, values};
use crate::disk::{CONCERNS, Concern, Freeze, Simulated};
use crate::log::{AppendError, Log, LogSettings, Produce, Refusal, Topic, Writer, WriterError};
use crate::record::BatchBuilder;
use crate::shutdown::Tasks;

/// What cannot be written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// The segment that a partition appends to, which is open.
    Open,
    /// The same where each file is opened for each use.
    Closed,
    /// The next segment of the partition.
    Next,
    Journal,
    Everything,
}

const PLACES: [Place; 5] =
    [Place::Open, Place::Closed, Place::Next, Place::Journal, Place::Everything];

/// What was acknowledged, by topic and partition.
type Model = BTreeMap<(&'static str, i32), Vec<String>>;

struct Life {
    log: Log,
    tasks: Tasks,
    t: Arc<Topic>,
    /// One whose rows go to the partition that is hit, and one whose rows do not.
    hit: Writer,
    spared: Writer,
}

async fn begin(disk: &Simulated, place: Place) -> Life {
    if place == Place::Closed {
        disk.set_files(0);
    }
    let tasks = Tasks::new();
    let settings = LogSettings { look_again_ms: 3_600_000, checkpoint_ms: 3_600_000, ..small() };
    let log = Log::open(Arc::new(disk.clone()), settings, &tasks).await.unwrap();
    let t = match log.topic("t") {
        Some(t) => t,
        None => topic(&log, "t", 3).await,
    };
    let (mut hit, mut spared) = (log.writer("hit", "sluice"), log.writer("spared", "sluice"));
    hit.open().await.unwrap();
    spared.open().await.unwrap();
    Life { log, tasks, t, hit, spared }
}

/// What became of a group: each request for itself, both that are together with the partition that is
/// hit, those that are together without it, and the commits of the two instances.
struct Outcome {
    each: Vec<Result<(), AppendError>>,
    both: Result<(), AppendError>,
    others: Result<(), AppendError>,
    commits: [Result<(), WriterError>; 2],
}

impl Life {
    /// Requests that may come to one group, for all partitions. What is acknowledged goes to the
    /// model.
    async fn group(&mut self, model: &mut Model, name: &str, bytes: usize) -> Outcome {
        let value = |of: &str| format!("{name} {of} {}", "x".repeat(bytes));
        let produce = |partition: i32, of: &str| {
            let batch = batch(&[&value(of)]);
            Produce { topic: Arc::clone(&self.t), partition, batch }
        };
        let mut receipts = Vec::new();
        let writers = [(&mut self.hit, "t", 1), (&mut self.spared, "rows", 2)];
        for (writer, topic, partition) in writers {
            for part in 0..2 {
                let mut rows = BatchBuilder::default();
                rows.push(None, Some(value(&format!("row {part}")).as_bytes()), &[]);
                let added = writer.append(&Arc::from(topic), 3, partition, rows.finish()).await;
                receipts.push(match added {
                    Ok(()) => writer.commit(Bytes::from(name.to_owned()), Vec::new()).await,
                    Err(error) => Err(error),
                });
            }
        }
        let each = (0..3).map(|partition| produce(partition, "alone")).collect();
        let (each, both, others) = tokio::join!(
            self.log.append(each),
            self.log.append_atomic(vec![produce(0, "both"), produce(1, "both")]),
            self.log.append_atomic(vec![produce(0, "others"), produce(2, "others")]),
        );
        let each: Vec<_> = each.into_iter().map(|one| one.map(drop)).collect();
        let (both, others) = (both.map(drop), others.map(drop));
        let mut note = |of: &str, place| model.entry(place).or_default().push(value(of));
        let mut commits = [Ok(()), Ok(())];
        for (at, receipt) in receipts.into_iter().enumerate() {
            let done = match receipt {
                Ok(receipt) => receipt.await,
                Err(error) => Err(error),
            };
            let of = at / 2;
            match done {
                Ok(()) => note(&format!("row {}", at % 2), [("t", 1), ("rows", 2)][of]),
                Err(error) if commits[of].is_ok() => commits[of] = Err(error),
                Err(_) => {}
            }
        }
        for (partition, one) in (0..).zip(&each) {
            if one.is_ok() {
                note("alone", ("t", partition));
            }
        }
        for (result, of, partition) in [(&both, "both", 1), (&others, "others", 2)] {
            if result.is_ok() {
                note(of, ("t", 0));
                note(of, ("t", partition));
            }
        }
        Outcome { each, both, others, commits }
    }

    async fn end(self) {
        let Self { log, tasks, hit, spared, t } = self;
        log.close().await;
        drop((log, hit, spared, t));
        assert_eq!(tasks.join().await, Vec::<&str>::new());
    }
}

impl Outcome {
    fn is_whole(&self) -> bool {
        let Self { each, both, others, commits } = self;
        let appends = each.iter().chain([both, others]);
        appends.into_iter().all(Result::is_ok) && commits.iter().all(Result::is_ok)
    }

    /// What needs the partition was refused, with all of its group, though not because anything were
    /// damaged. `is_all`: nothing can have been in another group that was taken.
    fn is_refused(&self, is_full: bool, is_all: bool) -> bool {
        let Self { each, both, others, commits } = self;
        let refused = |one: &Result<(), AppendError>| match one {
            Err(AppendError::Full) => is_full,
            Err(AppendError::Failed(_)) => !is_full,
            Ok(()) | Err(_) => false,
        };
        let is_of_writer = |one: &Result<(), WriterError>| match one {
            Err(WriterError::Full) => is_full,
            Err(WriterError::Failed(_)) => !is_full,
            Ok(()) | Err(_) => false,
        };
        each.iter().chain([both]).all(refused)
            && is_of_writer(&commits[0])
            && (refused(others) || others.is_ok() && !is_all)
            && (is_of_writer(&commits[1]) || commits[1].is_ok() && !is_all)
    }

    /// All was taken but what needs the partition that is hit.
    fn is_spared(&self) -> bool {
        let Self { each, both, others, commits } = self;
        let is_offline = |one: &Result<(), AppendError>| match one {
            Err(AppendError::Offline { partition, .. }) => partition == "t-1",
            Ok(()) | Err(_) => false,
        };
        let is_stopped = matches!(
            &commits[0],
            Err(WriterError::Refused { reason: Refusal::Offline(partition, _), .. })
                if partition == "t-1"
        );
        [&each[0], &each[2], others].into_iter().all(Result::is_ok)
            && [&each[1], both].into_iter().all(is_offline)
            && is_stopped
            && commits[1].is_ok()
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { each, both, others, commits } = self;
        write!(f, "alone {each:?}, both {both:?}, others {others:?}, commits {commits:?}")
    }
}

/// All that was acknowledged is there, and nothing else. Requests of one group may come in any order.
async fn check(log: &Log, model: &Model, case: &str) {
    for ((topic, partition), expected) in model {
        let found = values(log, topic, *partition).await;
        let offsets: Vec<_> = found.iter().map(|(offset, _)| *offset).collect();
        assert!(offsets.iter().copied().eq((0..).take(offsets.len())), "{case}: {offsets:?}");
        let mut found: Vec<_> = found.into_iter().map(|(_, value)| value).collect();
        let mut expected = expected.clone();
        found.sort();
        expected.sort();
        assert!(found == expected, "{case}: {topic}-{partition}");
    }
}

async fn judge(concern: Concern, errno: Errno, place: Place, bytes: usize) {
    let case = format!("{errno:?} of {place:?}, {bytes} bytes");
    let disk = Simulated::new();
    let mut life = begin(&disk, place).await;
    let mut model = Model::new();
    assert!(life.group(&mut model, "first", 10).await.is_whole(), "{case}");
    if place == Place::Next {
        // What comes next rolls.
        let full = "f".repeat(4096);
        let produce = Produce { topic: Arc::clone(&life.t), partition: 1, batch: batch(&[&full]) };
        life.log.append(vec![produce]).await.pop().unwrap().unwrap();
        model.entry(("t", 1)).or_default().push(full);
    }
    let of_all = life.log.ends(&[(Arc::clone(&life.t), 1)]);
    let end = of_all.into_iter().next().unwrap().unwrap().high_watermark;
    let beginning = match place {
        Place::Open | Place::Closed => "t-1/00000000000000000000.log".to_owned(),
        Place::Next => format!("t-1/{end:020}."),
        Place::Journal => "journal".to_owned(),
        Place::Everything => String::new(),
    };
    disk.refuse_writes(&beginning, errno.raw_os_error());
    let outcome = life.group(&mut model, "hit", bytes).await;
    let is_of_partition = matches!(place, Place::Open | Place::Closed | Place::Next);
    let damage = life.log.damage().borrow().clone();
    if concern == Concern::File && is_of_partition {
        assert!(outcome.is_spared(), "{case}: {outcome}");
        assert!(damage.len() == 1 && damage[0].1.contains("t-1/"), "{case}: {damage:?}");
        assert_eq!(life.log.trouble().borrow().refused, None, "{case}");
        // It stays so, and hinders nobody any more.
        assert!(life.group(&mut model, "again", bytes).await.each[0].is_ok(), "{case}");
        disk.take_writes();
    } else if place == Place::Journal {
        // A frame that is there in part cannot be wiped either.
        assert!(life.log.trouble().borrow().read_only.is_some(), "{case}: {outcome}");
        assert_eq!(damage, [], "{case}");
        disk.take_writes();
    } else {
        let (is_full, is_all) = (concern == Concern::Room, place == Place::Everything);
        assert!(outcome.is_refused(is_full, is_all), "{case}: {outcome}");
        assert_eq!(damage, [], "{case}");
        disk.take_writes();
        life.hit.open().await.unwrap();
        life.spared.open().await.unwrap();
        let outcome = life.group(&mut model, "behind", 10).await;
        assert!(outcome.is_whole(), "{case}: {outcome}");
        check(&life.log, &model, &case).await;
    }
    let killed = disk.crash(Freeze::Lose);
    life.end().await;
    for (disk, how) in [(killed, "killed"), (disk, "stopped")] {
        let case = format!("{case}, {how}");
        let mut life = begin(&disk, Place::Open).await;
        assert_eq!(life.log.damage().borrow().clone(), [], "{case}");
        check(&life.log, &model, &case).await;
        let outcome = life.group(&mut model.clone(), "at last", 10).await;
        assert!(outcome.is_whole(), "{case}: {outcome}");
        life.end().await;
    }
}

/// A partition whose file cannot be written is offline by itself: others of the same group are
/// written, and the next start finds all of it. What concerns all of the disk refuses all, and passes.
#[tokio::test]
async fn what_the_system_says_of_a_file_hits_its_partition_and_no_other() {
    for (concern, all) in CONCERNS {
        for (at, errno) in all.iter().enumerate() {
            for place in PLACES {
                // Inline, and by reference.
                let bytes = if at % 2 == 0 { 10 } else { 2100 };
                judge(concern, *errno, place, bytes).await;
            }
        }
    }
}
