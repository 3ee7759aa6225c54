//! Branches in the bundled log, over a disk that loses what was not synced: crashed behind any
//! sync, what is held is what the position says, and going on gives what an undisturbed run gives.
//! The topic of the branches is rolled and compacted meanwhile. The short form takes each ninth
//! sync, `SLUICE_TEST_LONG` every one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::change::MySqlPosition;
use crate::log::simulated::{Freeze, Simulated};
use crate::log::{Log, LogSettings};
use crate::record::BatchBuilder;
use crate::shutdown::Tasks;
use crate::sink::held::{OpenPlaces, leave_open};

const CLOSING: Closing<'static> =
    Closing { binlog: "b.1:4", gtid: None, texts: [b"g", b"1", b"2"] };

#[derive(Clone, Copy)]
enum Step {
    /// A branch with so many bytes.
    Prepare(&'static str, usize),
    Commit(&'static str),
    Rollback(&'static str),
    Plain(&'static str),
}

const BEGIN: [Step; 12] = [
    Step::Prepare("x", 10),
    Step::Plain("one"),
    // Held over all that follows, and each compaction.
    Step::Prepare("kept", 30_000),
    Step::Prepare("dropped", 30_000),
    // Several pieces, and staged.
    Step::Prepare("y", 600_000),
    Step::Rollback("x"),
    Step::Prepare("x", 20),
    Step::Prepare("z", 0),
    Step::Commit("y"),
    Step::Commit("x"),
    Step::Plain("two"),
    Step::Rollback("z"),
];
/// Branches that come and go, each more than a segment of the topic has.
const ROUNDS: usize = 12;
const END: [Step; 3] = [Step::Rollback("dropped"), Step::Commit("kept"), Step::Plain("three")];

fn script() -> Vec<Step> {
    let rounds = (0..ROUNDS).flat_map(|round| {
        let end = if round % 2 == 0 { Step::Rollback("w") } else { Step::Commit("w") };
        [Step::Prepare("w", 20_000 + round), end]
    });
    BEGIN.into_iter().chain(rounds).chain(END).collect()
}

/// What is held, and the lengths of what is published, after the first `count` steps.
fn expected(count: usize) -> (Vec<String>, Vec<usize>) {
    let (mut held, mut published) = (BTreeMap::new(), Vec::new());
    for step in &script()[..count] {
        match step {
            Step::Prepare(name, bytes) => drop(held.insert(xid(name).to_string(), *bytes)),
            Step::Commit(name) => {
                let bytes = held.remove(&xid(name).to_string()).unwrap();
                published.push(bytes + "g12".len());
            }
            Step::Rollback(name) => drop(held.remove(&xid(name).to_string())),
            Step::Plain(text) => published.push(text.len()),
        }
    }
    (held.into_keys().collect(), published)
}

fn xid(name: &str) -> Arc<Xid> {
    Arc::new(Xid { format: 1, gtrid: name.as_bytes().to_vec(), bqual: Vec::new() })
}

fn part(records: BatchBuilder, branch: Option<Arc<Xid>>) -> Part {
    Part { topic: "db.t".into(), partition: 0, partitions: 1, records: records.finish(), branch }
}

fn held_part(name: &str, bytes: usize) -> Part {
    let mut builder = BatchBuilder::default();
    let written: Result<usize, std::convert::Infallible> = builder.open(None, |out| {
        out.resize(out.len() + bytes, b'x');
        Ok(())
    });
    let Ok(_) = written;
    leave_open(&mut builder, b"0/end", None, &OpenPlaces::default());
    part(builder, Some(xid(name)))
}

fn position(offset: usize) -> Position {
    Position::from(MySqlPosition {
        file: "b.1".into(),
        offset: offset as u64,
        server_uuid: "server".into(),
        ..MySqlPosition::default()
    })
}

/// Runs the steps from `from` on until the end or an error; how many are known to be durable.
async fn run(sink: &mut Embedded, from: usize) -> usize {
    let mut durable = from;
    let mut flying: Option<Receipt> = None;
    for (at, step) in script().iter().enumerate().skip(from) {
        let Ok(receipt) = take(sink, *step, at + 1).await else { return durable };
        if let Some(former) = flying.replace(receipt) {
            if former.await.is_err() {
                return durable;
            }
            durable = at;
        }
    }
    let Some(last) = flying else { return durable };
    if last.await.is_ok() { script().len() } else { durable }
}

async fn take(sink: &mut Embedded, step: Step, offset: usize) -> Result<Receipt, Error> {
    let record = |name: &str, value: Option<&'static [u8]>| {
        let key = Bytes::from(xid(name).to_string());
        vec![StateRecord { topic: StateTopic::Xa, key, value: value.map(Bytes::from_static) }]
    };
    let state = match step {
        Step::Prepare(name, bytes) => {
            sink.append(held_part(name, bytes)).await?;
            record(name, Some(b"{}"))
        }
        Step::Commit(name) => {
            sink.publish_held(&xid(name), &CLOSING).await?;
            record(name, None)
        }
        Step::Rollback(name) => record(name, None),
        Step::Plain(text) => {
            let mut builder = BatchBuilder::default();
            builder.push(None, Some(text.as_bytes()), &[]);
            sink.append(part(builder, None)).await?;
            Vec::new()
        }
    };
    sink.commit(&position(offset), state).await
}

async fn open(disk: &Simulated) -> Option<(Log, Tasks)> {
    let tasks = Tasks::new();
    let settings = LogSettings {
        segment_bytes: 64 << 10,
        internal_segment_bytes: 16 << 10,
        staged_above: 256 << 10,
        reference_from: 64 << 10,
        checkpoint_inline_bytes: 64 << 10,
        ballast_bytes: 4096,
        ..LogSettings::default()
    };
    let log = Log::open(Arc::new(disk.clone()), settings, &tasks).await.ok()?;
    Some((log, tasks))
}

async fn published(log: &Log) -> Vec<usize> {
    let Some(topic) = log.topic("db.t") else { return Vec::new() };
    let pieces = log.read_all(&topic, 0).await.unwrap();
    let batches = pieces.iter().flat_map(|piece| crate::record::batches(piece));
    let records = batches.flat_map(|batch| batch.unwrap().records());
    records.map(|record| record.unwrap().value.unwrap().len()).collect()
}

/// The records that hold something, and how many the topic has in all.
async fn kept(sink: &Embedded) -> (BTreeSet<String>, usize) {
    let (mut live, mut all, mut offset) = (BTreeSet::new(), 0, 0);
    loop {
        let read = sink.writer.read_state(StateKind::Xa, offset).await.unwrap();
        for (_, key, value) in read.records {
            let key = String::from_utf8(key.to_vec()).unwrap();
            all += 1;
            if value.is_some() {
                live.insert(key)
            } else {
                live.remove(&key)
            };
        }
        if read.next == offset {
            return (live, all);
        }
        offset = read.next;
    }
}

/// No piece is kept of a branch that is not held.
async fn is_nothing_left_behind(sink: &Embedded) {
    let (live, _) = kept(sink).await;
    let heads = live.iter().filter(|key| !key.starts_with('#')).count();
    assert_eq!(heads == 0, live.is_empty(), "{live:?}");
}

async fn session(disk: &Simulated) -> usize {
    let Some((log, tasks)) = open(disk).await else { return 0 };
    let mut sink = Embedded::new(log.writer("example", "sluice"));
    let durable = match sink.open(&mut |_| {}).await {
        Ok(_) => run(&mut sink, 0).await,
        Err(_) => 0,
    };
    drop(sink);
    log.close().await;
    tasks.join().await;
    durable
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_sync_holds_what_the_position_says() {
    let disk = Simulated::new();
    assert_eq!(session(&disk).await, script().len());
    is_compacted(&disk).await;
    let all = std::env::var_os("SLUICE_TEST_LONG").is_some();
    for n in (0..=disk.syncs()).step_by(if all { 1 } else { 9 }) {
        let disk = Simulated::new();
        disk.freeze_at_sync(n);
        let durable = session(&disk).await;
        let freeze = if n % 2 == 0 { Freeze::Lose } else { Freeze::Tear(n) };
        {
            let crashed = disk.crash(freeze);
            let (log, tasks) = open(&crashed).await.unwrap();
            let mut sink = Embedded::new(log.writer("example", "sluice"));
            let Committed { position, held, .. } = sink.open(&mut |_| {}).await.unwrap();
            let at = match position {
                None => 0,
                Some(Position::MySql(position)) => usize::try_from(position.offset).unwrap(),
            };
            assert!(at >= durable, "behind sync {n}: {at} of {durable}");
            let mut held: Vec<String> = held.iter().map(|(xid, _)| xid.to_string()).collect();
            held.sort();
            assert_eq!((held, published(&log).await), expected(at), "behind sync {n}, at {at}");
            assert_eq!(run(&mut sink, at).await, script().len(), "behind sync {n}, at {at}");
            assert_eq!(published(&log).await, expected(script().len()).1, "behind sync {n}");
            is_nothing_left_behind(&sink).await;
            drop(sink);
            log.close().await;
            tasks.join().await;
        }
    }
}

/// What is above is worth nothing unless records go meanwhile.
async fn is_compacted(disk: &Simulated) {
    let (log, tasks) = open(disk).await.unwrap();
    let mut sink = Embedded::new(log.writer("example", "sluice"));
    sink.open(&mut |_| {}).await.unwrap();
    let (live, all) = kept(&sink).await;
    assert_eq!(live, BTreeSet::new());
    let end = sink.writer.state_end(StateKind::Xa).unwrap();
    assert!(all < usize::try_from(end).unwrap(), "{all} of {end} records are there");
    drop(sink);
    log.close().await;
    tasks.join().await;
}
