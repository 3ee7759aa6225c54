//! What a crash at any moment leaves, and what the log makes of it.
//!
//! A script of transactions over several topics and partitions runs over the simulated
//! disk, once to count the syncs; then again for each sync, with the disk frozen there. The
//! disk as the next process finds it is opened, and must hold:
//!
//! 1. all that was acknowledged;
//! 2. a prefix of the transactions, whole, over all partitions at once;
//! 3. without a gap and without a repeat;
//! 4. with the position of the last of them;
//! 5. nothing less than any reader saw before;
//! 6. and going on from there gives the log of an uninterrupted run.
//!
//! `SLUICE_TEST_LONG=1` takes more kinds of torn writes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{open, small, tiny, try_values, values};
use crate::disk::{Freeze, Simulated};
use crate::log::{AcceptDamage, Log, LogSettings, OpenError, ReadError, Receipt, Writer};
use crate::record::BatchBuilder;
use crate::shutdown::Tasks;

/// How many transactions the script has.
const TRANSACTIONS: usize = 24;
/// How many commits may be on their way.
const IN_FLIGHT: usize = 3;
const TOPICS: [&str; 3] = ["db.a", "db.b", "db.c"];
const PARTITIONS: i32 = 2;

/// What the n-th transaction writes: topic, partition, value.
fn rows(n: usize) -> Vec<(usize, i32, String)> {
    let row = |k: usize| {
        // A few of them large enough for references, and each seventh to be staged.
        let length = match n % 7 {
            3 => 3000,
            6 => 4500,
            _ => 40 + (n * 31 + k * 17) % 400,
        };
        let partition = i32::try_from((n + k) % 2).unwrap();
        ((n + k) % TOPICS.len(), partition, format!("{n}.{k}.{}", "x".repeat(length)))
    };
    (0..=n % 4).map(row).collect()
}

type Contents = BTreeMap<(usize, i32), Vec<String>>;

/// What the partitions hold after the first `count` transactions.
fn expected(count: usize) -> Contents {
    let mut contents = Contents::new();
    for (topic, partition, value) in (0..count).flat_map(rows) {
        contents.entry((topic, partition)).or_default().push(value);
    }
    contents
}

/// What the partitions hold now that are not offline; offsets must be without a gap.
async fn contents(log: &Log) -> Contents {
    let mut contents = Contents::new();
    for (at, name) in TOPICS.iter().enumerate() {
        let Some(topic) = log.topic(name) else { continue };
        for partition in 0..topic.partitions() {
            let found = match try_values(log, name, partition).await {
                Ok(found) => found,
                Err(ReadError::Offline { .. }) => continue,
                Err(error) => panic!("{name}-{partition}: {error}"),
            };
            let offsets: Vec<i64> = found.iter().map(|(offset, _)| *offset).collect();
            let all: Vec<i64> = (0..).take(offsets.len()).collect();
            assert_eq!(offsets, all, "{name}-{partition} has a gap or a repeat");
            if !found.is_empty() {
                let values = found.into_iter().map(|(_, value)| value).collect();
                contents.insert((at, partition), values);
            }
        }
    }
    contents
}

/// How far a run came.
#[derive(Debug, Default)]
struct Run {
    /// Transactions whose receipt came.
    acknowledged: usize,
    /// The most that a reader saw of a partition.
    seen: Contents,
}

/// Runs the script from transaction `from` until its end, or until something fails.
async fn run(log: &Log, writer: &mut Writer, from: usize) -> Run {
    let mut run = Run { acknowledged: from, ..Run::default() };
    let mut flying: Vec<Receipt> = Vec::new();
    for n in from..TRANSACTIONS {
        let Ok(receipt) = write(writer, n).await else { break };
        flying.push(receipt);
        if flying.len() >= IN_FLIGHT {
            if flying.remove(0).await.is_err() {
                break;
            }
            run.acknowledged += 1;
            run.seen = contents(log).await;
        }
    }
    for receipt in flying {
        if receipt.await.is_err() {
            break;
        }
        run.acknowledged += 1;
    }
    let seen = contents(log).await;
    run.seen = seen;
    run
}

async fn write(writer: &mut Writer, n: usize) -> Result<Receipt, crate::log::WriterError> {
    for (topic, partition, value) in rows(n) {
        let mut batch = BatchBuilder::default();
        batch.push(None, Some(value.as_bytes()), &[]);
        let name = Arc::from(TOPICS[topic]);
        writer.append(&name, PARTITIONS, partition, batch.finish()).await?;
    }
    writer.commit(Bytes::from((n + 1).to_string()), Vec::new()).await
}

/// Opens the log and runs the script from where its position says.
async fn session(disk: &Simulated) -> Option<Run> {
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(disk.clone()), tiny(), &tasks).await.ok()?;
    let mut writer = log.writer("example", "sluice");
    let run = match writer.open().await {
        Ok(restored) => {
            let from = restored.position.map_or(0, |text| position(&text));
            Some(run(&log, &mut writer, from).await)
        }
        Err(_) => None,
    };
    drop(writer);
    log.close().await;
    drop(log);
    let panicked = tasks.join().await;
    assert!(panicked.is_empty() || disk.panics(), "{panicked:?}");
    run
}

fn position(text: &[u8]) -> usize {
    std::str::from_utf8(text).unwrap().parse().unwrap()
}

/// Opens what a crash left and asserts properties 1 to 6.
async fn check(crashed: &Simulated, before: &Run, what: &str) {
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(crashed.clone()), tiny(), &tasks).await;
    let log = log.unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = contents(&log).await;
    let mut writer = log.writer("example", "sluice");
    let restored = writer.open().await.unwrap();
    let committed = restored.position.map_or(0, |text| position(&text));
    assert!(committed >= before.acknowledged, "{what}: {committed} of {}", before.acknowledged);
    assert_eq!(found, expected(committed), "{what}: not the first {committed} transactions");
    for (partition, seen) in &before.seen {
        let kept = found.get(partition).map_or(0, Vec::len);
        assert!(kept >= seen.len(), "{what}: {partition:?} lost what a reader saw");
    }
    let after = run(&log, &mut writer, committed).await;
    assert_eq!(after.acknowledged, TRANSACTIONS, "{what}: it does not go on");
    assert_eq!(contents(&log).await, expected(TRANSACTIONS), "{what}: it goes on differently");
    drop(writer);
    log.close().await;
    tasks.join().await;
}

/// The disk as another crash leaves it, right behind the recovery from the first.
async fn crash_again(crashed: &Simulated) -> Simulated {
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(crashed.clone()), tiny(), &tasks).await;
    let twice = crashed.crash(Freeze::Lose);
    drop(log);
    tasks.join().await;
    twice
}

fn long() -> bool {
    #[expect(clippy::disallowed_methods, reason = "how long to test is asked of the caller")]
    std::env::var("SLUICE_TEST_LONG").is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_sync_keeps_a_prefix_of_whole_transactions() {
    let disk = Simulated::new();
    let whole = session(&disk).await.unwrap();
    assert_eq!(whole.acknowledged, TRANSACTIONS);
    let syncs = disk.syncs();
    let tears = if long() { 20 } else { 1 };
    for n in 0..=syncs {
        let disk = Simulated::new();
        disk.freeze_at_sync(n);
        let before = session(&disk).await.unwrap_or_default();
        if n % 4 == 0 || long() {
            let twice = crash_again(&disk.crash(Freeze::Lose)).await;
            check(&twice, &before, &format!("twice behind sync {n}")).await;
        }
        if n % 3 == 0 || long() {
            // Killed, started again, and only then the power fails.
            let killed = disk.crash(Freeze::Keep);
            killed.freeze_at_sync(4 + n * 7 % 40);
            let after = session(&killed).await;
            let what = format!("killed behind sync {n}, then lost");
            check(&killed.crash(Freeze::Lose), after.as_ref().unwrap_or(&before), &what).await;
        }
        let crashed = disk.crash(Freeze::Lose);
        check(&crashed, &before, &format!("lost behind sync {n}")).await;
        for tear in 0..tears {
            let seed = n * 1000 + tear;
            let what = format!("torn behind sync {n} with seed {seed}");
            check(&disk.crash(Freeze::Tear(seed)), &before, &what).await;
        }
    }
}

/// Every changing call fails once, with each error: going on, and after a restart.
async fn fail_each_call(errno: i32, name: &str) {
    let disk = Simulated::new();
    session(&disk).await.unwrap();
    let calls = disk.calls();
    let step = if long() { 1 } else { 7 };
    for n in (1..=calls).step_by(step) {
        let disk = Simulated::new();
        disk.fail_call(n, errno);
        let mut before = session(&disk).await.unwrap_or_default();
        // What failed may go on in the same process, with a writer opened again.
        let crashed = disk.crash(Freeze::Lose);
        check(&crashed, &before, &format!("{name} at call {n}, then a crash")).await;
        if let Some(again) = session(&disk).await {
            before = again;
        }
        // What the failed sync held is seen; it must not be taken for durable.
        for keep in [Freeze::Keep, Freeze::Lose] {
            let what = format!("{name} at call {n}, going on, then {keep:?}");
            check(&disk.crash(keep), &before, &what).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_disk_loses_nothing() {
    fail_each_call(rustix::io::Errno::IO.raw_os_error(), "EIO").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_room_loses_nothing() {
    fail_each_call(rustix::io::Errno::NOSPC.raw_os_error(), "ENOSPC").await;
}

/// Whichever thread it is: everybody gets an answer, and what was acknowledged is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_any_part_hangs_nobody_and_loses_nothing() {
    let disk = Simulated::new();
    session(&disk).await.unwrap();
    let step = if long() { 1 } else { 11 };
    for n in (1..=disk.calls()).step_by(step) {
        let disk = Simulated::new();
        disk.panic_in_call(n);
        let case = format!("a panic in call {n}");
        let before = tokio::time::timeout(Duration::from_mins(1), session(&disk)).await;
        let before = before.unwrap_or_else(|_| panic!("{case}: it hangs")).unwrap_or_default();
        check(&disk.crash(Freeze::Lose), &before, &case).await;
    }
}

#[tokio::test]
async fn a_panic_of_the_appender_or_its_helpers_is_told_to_whoever_asks() {
    for helper in [false, true] {
        let disk = Simulated::new();
        let (log, tasks) = open(Arc::new(disk.clone())).await;
        let failed = tasks.failed();
        super::append(&log, &super::topic(&log, "t", 1).await, 0, &["kept"]).await;
        if helper {
            disk.panic_for("checkpoint.new");
        } else {
            disk.panic_in_call(disk.calls() + 1);
        }
        let topic = log.topic("t").unwrap();
        let mut refused = None;
        for n in 0..400 {
            let batch = super::batch(&[&format!("{n}{}", "x".repeat(1000))]);
            let produce = crate::log::Produce { topic: topic.clone(), partition: 0, batch };
            if let Err(error) = log.append(vec![produce]).await.pop().unwrap() {
                refused = Some(error.to_string());
                break;
            }
        }
        let refused = refused.unwrap();
        let name = failed.await;
        let words = "an error in the program ended the task";
        let is_named = refused.contains(words) && refused.contains(name);
        // Who asks while it ends may be told no more than that.
        assert!(is_named || refused == "the log is closed", "{refused} does not name {name}");
        assert!(log.new_producer_ids(1).await.is_err());
        log.close().await;
        drop(log);
        assert_eq!(tasks.join().await, [name]);
    }
}

/// The deletion of a topic that was refused, and that a crash brought back behind the end of a
/// segment of the metadata topic which was then left for the next one, is no deletion.
#[tokio::test]
async fn a_deletion_behind_the_end_of_a_metadata_segment_that_was_left_is_none() {
    use crate::disk::{Disk, Mode};
    use crate::log::catalog::Definition;
    let disk = Simulated::new();
    let (log, tasks) = open(Arc::new(disk.clone())).await;
    super::append(&log, &super::topic(&log, "t", 1).await, 0, &["kept"]).await;
    log.close().await;
    tasks.join().await;
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let path = "__sluice_metadata-0/00000000000000000000.log";
    let file = disk.open(path, Mode::Write).unwrap();
    let mut refused = Definition::batch(&[Definition::Topic("t".to_owned(), None)]);
    refused.set_base_offset(2);
    refused.seal(1000);
    file.write_at(refused.as_bytes(), file.len().unwrap()).unwrap();
    file.sync().unwrap();
    // Too large for that segment.
    let owner = Some("x".repeat(4000));
    let new =
        crate::log::NewTopic { name: "u".to_owned(), partitions: 1, owner, ..Default::default() };
    log.create_topic(new).await.unwrap();
    let (log, _tasks) = open(Arc::new(disk.crash(Freeze::Lose))).await;
    let names: Vec<_> = log.topics().iter().map(|topic| topic.name().to_string()).collect();
    assert_eq!(names, ["__sluice_metadata", "t", "u"]);
    assert_eq!(values(&log, "t", 0).await, [(0, "kept".to_owned())]);
}

/// A sync of the keeper that fails may drop what the appender wrote meanwhile, whose own sync
/// then comes back well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failed_sync_of_the_keeper_dropped_is_not_acknowledged() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let (t, u) = (super::topic(&log, "t", 1).await, super::topic(&log, "u", 1).await);
    super::append(&log, &t, 0, &["first"]).await;
    disk.race_failed_sync("t-0/00000000000000000000.log");
    // Enough for a checkpoint, which syncs the other segment.
    while !disk.is_racing() {
        super::append(&log, &u, 0, &[&"u".repeat(1000)]).await;
    }
    let large = "x".repeat(3000);
    let produce = crate::log::Produce { topic: t, partition: 0, batch: super::batch(&[&large]) };
    let acknowledged = log.append(vec![produce]).await.pop().unwrap().is_ok();
    let (log, _tasks) = open(Arc::new(disk.crash(Freeze::Lose))).await;
    let found = values(&log, "t", 0).await;
    assert!(!acknowledged || found.len() == 2, "acknowledged and lost");
    assert_eq!(found[0], (0, "first".to_owned()));
}

/// A start on a disk with hardly any room removes files of the journal before it writes anything:
/// the checkpoint it goes by must be durable then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_full_disk_after_a_failed_sync_loses_nothing() {
    use crate::disk::Disk;
    let disk = Simulated::new();
    session(&disk).await.unwrap();
    let step = if long() { 1 } else { 5 };
    for n in (1..=disk.calls()).step_by(step) {
        let disk = Simulated::new();
        disk.fail_call(n, rustix::io::Errno::IO.raw_os_error());
        let before = session(&disk).await.unwrap_or_default();
        let killed = disk.crash(Freeze::Keep);
        let space = killed.space().unwrap();
        killed.set_capacity(Some(space.total - space.free + 20_000));
        killed.freeze_at_sync(n / step as u64 % 5);
        let tasks = Tasks::new();
        let opened = Log::open(Arc::new(killed.clone()), tiny(), &tasks).await;
        drop(opened);
        tasks.join().await;
        let what = format!("EIO at call {n}, then a start without room, then a crash");
        check(&killed.crash(Freeze::Lose), &before, &what).await;
    }
}

/// A crash may bring bytes of a refused group back, behind the end of a segment that was left
/// for the next one before any frame named it again.
#[tokio::test]
async fn bytes_behind_the_end_of_a_segment_that_was_left_are_no_records() {
    use crate::disk::{Disk, Mode};
    let disk = Simulated::new();
    let (log, tasks) = open(Arc::new(disk.clone())).await;
    let t = super::topic(&log, "t", 1).await;
    super::append(&log, &t, 0, &["first"]).await;
    log.close().await;
    tasks.join().await;
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let file = disk.open("t-0/00000000000000000000.log", Mode::Write).unwrap();
    file.write_at(&[7; 300], file.len().unwrap()).unwrap();
    file.sync().unwrap();
    let large = "x".repeat(4000);
    super::append(&log, &log.topic("t").unwrap(), 0, &[&large]).await;
    let (log, _tasks) = open(Arc::new(disk.crash(Freeze::Lose))).await;
    let expected = [(0, "first".to_owned()), (1, large)];
    assert!(values(&log, "t", 0).await == expected, "what was refused is read");
}

/// The directories and the first files are made in it: whichever name its failed sync lost, the
/// next process must not write to what it only sees.
#[tokio::test]
async fn what_is_appended_after_a_first_start_that_failed_is_durable() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let calls = disk.calls();
    drop(log);
    for call in 1..=calls {
        let disk = Simulated::new();
        disk.fail_call(call, rustix::io::Errno::IO.raw_os_error());
        let tasks = Tasks::new();
        let failed = Log::open(Arc::new(disk.clone()), small(), &tasks).await.map(drop);
        let killed = disk.crash(Freeze::Keep);
        tasks.join().await;
        let (log, _tasks) = open(Arc::new(killed.clone())).await;
        super::append(&log, &super::topic(&log, "t", 1).await, 0, &["kept"]).await;
        let lost = killed.crash(Freeze::Lose);
        let (log, _tasks) = open(Arc::new(lost)).await;
        let expected = [(0, "kept".to_owned())];
        assert!(log.topic("t").is_some(), "call {call} failed: {failed:?}");
        assert_eq!(values(&log, "t", 0).await, expected, "call {call} failed: {failed:?}");
    }
}

/// Retention took all; the file that then begins anew has the base offset of the end, and a
/// failed sync may have lost its name.
#[tokio::test]
async fn a_segment_that_begins_behind_retention_is_durable_after_a_failed_sync() {
    for call in 1..=10 {
        let disk = Simulated::new();
        let tasks = Tasks::new();
        let settings = LogSettings { retention_check_ms: 5, ..small() };
        let log = Log::open(Arc::new(disk.clone()), settings, &tasks).await.unwrap();
        let t = super::topic(&log, "t", 1).await;
        // Its time is long ago.
        super::append(&log, &t, 0, &["old"]).await;
        let all = [(Arc::clone(&t), 0)];
        while log.ends(&all)[0].as_ref().unwrap().log_start < 1 {
            // Each request lets the appender keep house.
            tokio::time::sleep(Duration::from_millis(6)).await;
            log.new_producer_ids(1).await.unwrap();
        }
        // A checkpoint says so.
        log.close().await;
        tasks.join().await;
        let (log, tasks) = open(Arc::new(disk.clone())).await;
        let t = log.topic("t").unwrap();
        disk.fail_call(disk.calls() + call, rustix::io::Errno::IO.raw_os_error());
        let produce = crate::log::Produce {
            topic: Arc::clone(&t),
            partition: 0,
            batch: super::batch(&["refused"]),
        };
        let refused = log.append(vec![produce]).await.pop().unwrap().is_err();
        let killed = disk.crash(Freeze::Keep);
        log.close().await;
        tasks.join().await;
        if !refused {
            continue;
        }
        let (log, tasks) = open(Arc::new(killed.clone())).await;
        let before = values(&log, "t", 0).await;
        super::append(&log, &log.topic("t").unwrap(), 0, &["kept"]).await;
        let expected = values(&log, "t", 0).await;
        assert_eq!(expected.len(), before.len() + 1);
        log.close().await;
        tasks.join().await;
        let (log, _tasks) = open(Arc::new(killed.crash(Freeze::Lose))).await;
        assert_eq!(values(&log, "t", 0).await, expected, "call {call}");
    }
}

#[tokio::test]
async fn a_staged_transaction_without_its_frame_vanishes() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let mut writer = log.writer("example", "sluice");
    writer.open().await.unwrap();
    for n in 0..20 {
        let mut batch = BatchBuilder::default();
        batch.push(None, Some("x".repeat(1000).as_bytes()), &[]);
        writer.append(&Arc::from("big"), 2, n % 2, batch.finish()).await.unwrap();
    }
    let staged = |disk: &Simulated| {
        use crate::disk::Disk;
        disk.list("staged").unwrap().len()
    };
    assert_eq!(staged(&disk), 8, "files of the staged transaction");
    let crashed = disk.crash(Freeze::Keep);
    let (log, _tasks) = open(Arc::new(crashed.clone())).await;
    assert_eq!(values(&log, "big", 0).await, []);
    assert_eq!(staged(&crashed), 0);
    writer.abort().await.unwrap();
    assert_eq!(staged(&disk), 0, "an abort deletes them too");
}

/// A disk on which some transactions were committed, and the process then killed.
async fn killed(settings: LogSettings) -> Simulated {
    let disk = Simulated::new();
    let tasks = Tasks::new();
    let log = Log::open(Arc::new(disk.clone()), settings, &tasks).await.unwrap();
    let mut writer = log.writer("example", "sluice");
    writer.open().await.unwrap();
    assert_eq!(run(&log, &mut writer, 0).await.acknowledged, TRANSACTIONS);
    disk.crash(Freeze::Lose)
}

#[tokio::test]
async fn a_flipped_bit_below_the_durable_end_is_reported_with_its_place() {
    use crate::disk::Disk;
    let settings = || LogSettings { checkpoint_inline_bytes: 1 << 30, ..small() };
    let disk = killed(settings()).await;
    let journal = format!("journal/{}", disk.list("journal").unwrap()[0].name);
    // The second frame of the first file: the head of its first entry.
    disk.flip_bit(&journal, 4096 + 50);
    let opened = Log::open(Arc::new(disk.clone()), settings(), &Tasks::new()).await;
    match opened {
        Err(OpenError::Damaged(text)) => assert!(text.contains("journal"), "{text}"),
        other => panic!("it should be reported: {other:?}"),
    }
    let told = LogSettings { accept_damage: AcceptDamage::All, ..settings() };
    Log::open(Arc::new(disk), told, &Tasks::new()).await.unwrap();
}

#[tokio::test]
async fn a_segment_that_lost_referenced_bytes_is_reported() {
    use crate::disk::{Disk, Mode};
    let settings = || LogSettings { checkpoint_inline_bytes: 1 << 30, ..small() };
    let disk = killed(settings()).await;
    // Find a record of 3000 bytes, which was written by reference.
    let mut flipped = false;
    for entry in disk.list("db.a-0").unwrap() {
        let path = format!("db.a-0/{}", entry.name);
        let file = disk.open(&path, Mode::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_at(&mut bytes, 0).unwrap();
        let mut at = 0;
        for run in bytes.split(|byte| *byte != b'x') {
            // Longer ones were staged.
            if run.len() == 3000 {
                disk.flip_bit(&path, at + 5);
                flipped = true;
            }
            at += run.len() as u64 + 1;
        }
    }
    assert!(flipped, "there is such a record");
    let log = Log::open(Arc::new(disk), settings(), &Tasks::new()).await.unwrap();
    let found = log.damage().borrow().clone();
    assert!(found.len() == 1 && found[0].1.contains("db.a-0/"), "{found:?}");
}
