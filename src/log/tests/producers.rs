//! Idempotent producers and their transactions.

use std::sync::Arc;

use bytes::Bytes;

use super::{open, small, topic};
use crate::disk::{Disk, Freeze, Simulated};
use crate::log::{AppendError, Appended, Ends, Log, LogSettings, NewTopic, Produce, Topic};
use crate::record::{BatchBuilder, HEAD_LENGTH, Head};
use crate::shutdown::Tasks;

const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// A batch of `count` records of producer 7.
pub(super) fn sequenced(epoch: i16, sequence: i32, count: usize, attributes: i16) -> Bytes {
    let mut builder = BatchBuilder::default();
    for _ in 0..count {
        builder.push(None, Some(b"v"), &[]);
    }
    with_producer(builder, 7, epoch, sequence, attributes)
}

/// The marker that ends the transaction of producer 7: 0 aborts, 1 commits.
fn marker(epoch: i16, kind: u8) -> Bytes {
    let mut builder = BatchBuilder::default();
    builder.push(Some(&[0, 0, 0, kind]), Some(&[0, 0, 0, 0, 0, 0]), &[]);
    with_producer(builder, 7, epoch, -1, TRANSACTIONAL | CONTROL)
}

fn with_producer(
    builder: BatchBuilder,
    producer: i64,
    epoch: i16,
    sequence: i32,
    attributes: i16,
) -> Bytes {
    let mut bytes = builder.finish().as_bytes().to_vec();
    let mut head = Head::parse(&bytes).unwrap();
    head.producer_id = producer;
    head.producer_epoch = epoch;
    head.base_sequence = sequence;
    head.attributes = attributes;
    bytes[..HEAD_LENGTH].copy_from_slice(&head.to_bytes());
    head.crc = crc32c::crc32c(&bytes[21..]);
    bytes[..HEAD_LENGTH].copy_from_slice(&head.to_bytes());
    Bytes::from(bytes)
}

pub(super) async fn send(
    log: &Log,
    topic: &Arc<Topic>,
    batch: Bytes,
) -> Result<Appended, AppendError> {
    let produce = Produce { topic: Arc::clone(topic), partition: 0, batch };
    log.append(vec![produce]).await.pop().unwrap()
}

fn ends(log: &Log, topic: &Arc<Topic>) -> Ends {
    log.ends(&[(Arc::clone(topic), 0)]).pop().unwrap().unwrap()
}

#[tokio::test]
async fn a_repeated_batch_is_answered_with_its_first_offset_even_after_a_crash() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let t = topic(&log, "t", 1).await;
    assert_eq!(send(&log, &t, sequenced(0, 5, 3, 0)).await.unwrap().base_offset, 0);
    for n in 0..6 {
        send(&log, &t, sequenced(0, 8 + n, 1, 0)).await.unwrap();
    }
    let (log, _tasks) = open(Arc::new(disk.crash(Freeze::Lose))).await;
    let t = log.topic("t").unwrap();
    assert_eq!(send(&log, &t, sequenced(0, 11, 1, 0)).await.unwrap().base_offset, 6);
    let gap = send(&log, &t, sequenced(0, 20, 1, 0)).await;
    assert_eq!(gap, Err(AppendError::OutOfOrderSequence { producer_id: 7, got: 20, expected: 14 }));
    assert!(send(&log, &t, sequenced(1, 3, 1, 0)).await.is_err(), "a new epoch begins at 0");
    send(&log, &t, sequenced(1, 0, 1, 0)).await.unwrap();
    let old = send(&log, &t, sequenced(0, 14, 1, 0)).await;
    assert_eq!(old, Err(AppendError::InvalidProducerEpoch { producer_id: 7, got: 0, current: 1 }));
    let known = log.producers(&t, 0).await.unwrap();
    assert_eq!((known[0].producer_id, known[0].epoch, known[0].last_sequence), (7, 1, 0));
}

/// Who sends a batch again, as its answer was lost, is told the time that it was given.
#[tokio::test]
async fn a_repeated_batch_is_answered_with_its_time_of_append_even_after_a_restart() {
    let disk = Simulated::new();
    let (log, tasks) = open(Arc::new(disk.clone())).await;
    let config = [("message.timestamp.type".to_owned(), "LogAppendTime".to_owned())].into();
    let new = NewTopic { name: "stamped".to_owned(), partitions: 1, config, owner: None };
    let stamped = log.create_topic(new).await.unwrap();
    let own = topic(&log, "own", 1).await;
    let mut times = Vec::new();
    for n in 0..3 {
        times.push(send(&log, &stamped, sequenced(0, n, 1, 0)).await.unwrap().log_append_time);
        assert_eq!(send(&log, &own, sequenced(0, n, 1, 0)).await.unwrap().log_append_time, None);
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    assert!(times.is_sorted_by(|a, b| a.is_some() && a < b), "{times:?}");
    let crashed = disk.crash(Freeze::Lose);
    let again = async |log: &Log, case: &str| {
        for (n, time) in (0..).zip(&times) {
            let repeated = sequenced(0, n, 1, 0);
            let told = send(log, &log.topic("stamped").unwrap(), repeated.clone()).await.unwrap();
            let expected = (i64::from(n), *time);
            assert_eq!((told.base_offset, told.log_append_time), expected, "{case}");
            let told = send(log, &log.topic("own").unwrap(), repeated).await.unwrap();
            assert_eq!((told.base_offset, told.log_append_time), (i64::from(n), None), "{case}");
        }
    };
    again(&log, "as it goes on").await;
    log.close().await;
    drop((log, stamped, own));
    tasks.join().await;
    for (disk, case) in [(disk, "after a stop"), (crashed, "after a crash")] {
        let (log, _tasks) = open(Arc::new(disk)).await;
        again(&log, case).await;
    }
}

#[tokio::test]
async fn sequences_wrap_to_zero() {
    let (log, _tasks) = open(Arc::new(Simulated::new())).await;
    let t = topic(&log, "t", 1).await;
    send(&log, &t, sequenced(0, i32::MAX - 1, 3, 0)).await.unwrap();
    send(&log, &t, sequenced(0, 1, 1, 0)).await.unwrap();
}

#[tokio::test]
async fn an_open_transaction_holds_the_last_stable_offset_until_its_marker() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let t = topic(&log, "t", 1).await;
    send(&log, &t, sequenced(0, 0, 2, TRANSACTIONAL)).await.unwrap();
    super::append(&log, &t, 0, &["of another"]).await;
    assert_eq!(ends(&log, &t), Ends { log_start: 0, high_watermark: 3, last_stable: 0 });
    let (log, _tasks) = open(Arc::new(disk.crash(Freeze::Lose))).await;
    let t = log.topic("t").unwrap();
    assert_eq!(ends(&log, &t).last_stable, 0, "a crash does not forget it");
    let abort = Produce { topic: Arc::clone(&t), partition: 0, batch: marker(0, 0) };
    log.append_atomic(vec![abort]).await.unwrap();
    assert_eq!(ends(&log, &t), Ends { log_start: 0, high_watermark: 4, last_stable: 4 });
    let aborted = log.aborted(&t, 0, 0, 4).unwrap();
    assert_eq!(aborted.len(), 1);
    assert_eq!(
        (aborted[0].producer_id, aborted[0].first_offset, aborted[0].last_offset),
        (7, 0, 3)
    );
    assert!(log.aborted(&t, 0, 4, 9).unwrap().is_empty());

    send(&log, &t, sequenced(0, 2, 1, TRANSACTIONAL)).await.unwrap();
    let commit = Produce { topic: Arc::clone(&t), partition: 0, batch: marker(0, 1) };
    log.append_atomic(vec![commit]).await.unwrap();
    assert_eq!(ends(&log, &t).last_stable, 6);
    assert_eq!(log.aborted(&t, 0, 0, 9).unwrap().len(), 1, "a committed one is not aborted");
}

#[tokio::test]
async fn an_atomic_append_with_one_bad_batch_appends_none() {
    let (log, _tasks) = open(Arc::new(Simulated::new())).await;
    let t = topic(&log, "t", 1).await;
    let one = |partition| Produce { topic: Arc::clone(&t), partition, batch: super::batch(&["v"]) };
    assert!(log.append_atomic(vec![one(0), one(1)]).await.is_err());
    assert_eq!(ends(&log, &t).high_watermark, 0);
    let large = small().message_max_bytes + 1;
    let produce = Produce { batch: super::batch(&[&"x".repeat(large)]), ..one(0) };
    let refused = log.append(vec![produce]).await.pop().unwrap();
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })));
}

#[tokio::test]
async fn producer_ids_are_never_given_twice() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let first = log.new_producer_ids(1).await.unwrap();
    assert_eq!(log.new_producer_ids(5).await.unwrap(), first + 1);
    let (log, _tasks) = open(Arc::new(disk.crash(Freeze::Lose))).await;
    assert!(log.new_producer_ids(1).await.unwrap() >= first + 6);
}

#[tokio::test]
async fn an_older_writer_of_an_instance_is_fenced() {
    let (log, _tasks) = open(Arc::new(Simulated::new())).await;
    let mut old = log.writer("example", "sluice");
    old.open().await.unwrap();
    let queued = old.commit(Bytes::from_static(b"1"), Vec::new()).await.unwrap();
    let mut new = log.writer("example", "sluice");
    let restored = new.open().await.unwrap();
    assert_eq!(restored.position.as_deref(), Some(b"1".as_slice()), "what was queued counts");
    queued.await.unwrap();
    let late = old.commit(Bytes::from_static(b"2"), Vec::new()).await.unwrap().await;
    assert!(matches!(late, Err(crate::log::WriterError::Fenced(_))));
    new.commit(Bytes::from_static(b"3"), Vec::new()).await.unwrap().await.unwrap();
    let mut other = log.writer("other", "sluice");
    assert_eq!(other.open().await.unwrap().position, None, "each has its own");
}

/// What a client sends behind a batch that found no room must not get before it.
#[tokio::test]
async fn a_new_producer_that_found_no_room_begins_where_it_began() {
    let disk = Simulated::new();
    let (log, _tasks) = open(Arc::new(disk.clone())).await;
    let t = topic(&log, "t", 1).await;
    super::append(&log, &t, 0, &["of another"]).await;
    let space = disk.space().unwrap();
    disk.set_capacity(Some(space.total - space.free));
    assert_eq!(send(&log, &t, sequenced(0, 4, 9, 0)).await, Err(AppendError::Full));
    assert_eq!(log.producers(&t, 0).await.unwrap(), [], "nothing of it is there");
    disk.set_capacity(None);
    let early = send(&log, &t, sequenced(0, 13, 1, 0)).await;
    assert_eq!(
        early,
        Err(AppendError::OutOfOrderSequence { producer_id: 7, got: 13, expected: 4 })
    );
    assert_eq!(send(&log, &t, sequenced(0, 4, 9, 0)).await.unwrap().base_offset, 1);
    assert_eq!(send(&log, &t, sequenced(0, 13, 1, 0)).await.unwrap().base_offset, 10);
    // One that gives up comes back with a higher epoch, and begins at 0.
    assert_eq!(send(&log, &t, sequenced(1, 0, 1, 0)).await.unwrap().base_offset, 11);
}

/// A batch of one record of a producer.
fn of(producer: i64, sequence: i32) -> Bytes {
    of_with(producer, sequence, 0)
}

fn of_with(producer: i64, sequence: i32, attributes: i16) -> Bytes {
    let mut builder = BatchBuilder::default();
    builder.push(None, Some(b"v"), &[]);
    with_producer(builder, producer, 0, sequence, attributes)
}

async fn known(log: &Log, topic: &Arc<Topic>, partition: i32) -> Vec<i64> {
    let all = log.producers(topic, partition).await.unwrap();
    all.into_iter().map(|one| one.producer_id).collect()
}

/// Any client may name any id. Who keeps writing, or has a transaction open, is remembered whatever
/// others do; who was silent is answered as Kafka answers one that it has forgotten.
#[tokio::test]
async fn no_more_producers_are_remembered_than_a_bound_and_the_longest_silent_go_first() {
    const SILENT: i64 = 1;
    const OPEN: i64 = 2;
    const BUSY: i64 = 3;
    const OF_PARTITION: usize = 100;
    const OF_ALL: usize = 250;
    let settings =
        || LogSettings { producers_of_partition: OF_PARTITION, producers: OF_ALL, ..small() };
    let begin = async |disk: &Simulated| {
        let tasks = Tasks::new();
        (Log::open(Arc::new(disk.clone()), settings(), &tasks).await.unwrap(), tasks)
    };
    let disk = Simulated::new();
    let (log, tasks) = begin(&disk).await;
    let t = topic(&log, "t", 4).await;
    send(&log, &t, of(SILENT, 0)).await.unwrap();
    send(&log, &t, of_with(OPEN, 0, TRANSACTIONAL)).await.unwrap();
    let mut busy = 0;
    for stranger in 100..600 {
        send(&log, &t, of(stranger, 7)).await.unwrap();
        if stranger % 20 == 0 {
            send(&log, &t, of(BUSY, busy)).await.unwrap();
            busy += 1;
            assert!(known(&log, &t, 0).await.len() <= OF_PARTITION);
        }
    }
    // As many in one request.
    let produce = |partition: i32, batch| Produce { topic: Arc::clone(&t), partition, batch };
    let many = (1000..1400).map(|stranger| produce(0, of(stranger, 0))).collect();
    assert!(log.append(many).await.iter().all(Result::is_ok));
    let left = known(&log, &t, 0).await;
    assert!(left.len() <= OF_PARTITION && left.contains(&OPEN), "{left:?}");
    assert!(left.contains(&1399) && !left.contains(&SILENT), "{left:?}");
    assert!(send(&log, &t, of(SILENT, 5)).await.is_ok(), "it may begin anywhere");
    // And over all partitions: those of another one are the newest.
    send(&log, &t, of(BUSY, busy)).await.unwrap();
    for stranger in 2000..2300 {
        let partition = i32::try_from(stranger % 3).unwrap() + 1;
        let appended = log.append(vec![produce(partition, of(stranger, 0))]).await;
        assert!(appended[0].is_ok());
        let mut all = 0;
        for partition in 0..4 {
            all += known(&log, &t, partition).await.len();
        }
        assert!(all <= OF_ALL, "{all}");
    }
    let crashed = disk.crash(Freeze::Lose);
    drop(t);
    log.close().await;
    drop(log);
    tasks.join().await;
    let checkpoint = super::files::checkpoint(&disk).len();
    assert!(checkpoint < OF_ALL * 300, "a checkpoint of {checkpoint} bytes");
    for disk in [disk, crashed] {
        let (log, _tasks) = begin(&disk).await;
        let t = log.topic("t").unwrap();
        // The bound holds from the first append on.
        super::append(&log, &t, 0, &["any"]).await;
        let mut all = Vec::new();
        for partition in 0..4 {
            all.extend(known(&log, &t, partition).await);
        }
        assert!(all.len() <= OF_ALL && all.contains(&OPEN), "{}", all.len());
        assert!(all.contains(&2299), "the newest");
    }
}

/// One that writes on and on is told of its repeats, however many others come between.
#[tokio::test]
async fn a_flood_of_producers_does_not_hide_the_repeats_of_one_that_writes() {
    let disk = Simulated::new();
    let tasks = Tasks::new();
    let settings = LogSettings { producers_of_partition: 40, producers: 60, ..small() };
    let log = Log::open(Arc::new(disk.clone()), settings, &tasks).await.unwrap();
    let t = topic(&log, "t", 3).await;
    let mut stranger = 100;
    for sequence in 0..50 {
        let first = send(&log, &t, of(7, sequence)).await.unwrap().base_offset;
        for _ in 0..20 {
            stranger += 1;
            let partition = i32::try_from(stranger % 3).unwrap();
            let produce = Produce { topic: Arc::clone(&t), partition, batch: of(stranger, 0) };
            log.append(vec![produce]).await.pop().unwrap().unwrap();
        }
        assert_eq!(send(&log, &t, of(7, sequence)).await.unwrap().base_offset, first);
        let gap = send(&log, &t, of(7, sequence + 2)).await;
        assert!(matches!(gap, Err(AppendError::OutOfOrderSequence { .. })), "{gap:?}");
    }
}

/// A request may have as many producers as batches.
#[tokio::test]
async fn many_producers_of_one_request_cost_no_more_than_one() {
    const BATCHES: i32 = 40_000;
    let (log, _tasks) = open(Arc::new(Simulated::new())).await;
    let [few, many] = [topic(&log, "few", 1).await, topic(&log, "many", 1).await];
    let (mut least, mut round) = (f64::MAX, 0);
    while least > 4.0 && round < 5 {
        let mut took = [0.0, 0.0];
        for (topic, took) in [&few, &many].into_iter().zip(&mut took) {
            let is_one = Arc::ptr_eq(topic, &few);
            let batch = |n| {
                let first = round * BATCHES;
                if is_one { of(7, first + n) } else { of(i64::from(100 + first + n), 0) }
            };
            let produce = |n| Produce { topic: Arc::clone(topic), partition: 0, batch: batch(n) };
            let batches: Vec<_> = (0..BATCHES).map(produce).collect();
            let begun = std::time::Instant::now();
            assert!(log.append(batches).await.iter().all(Result::is_ok));
            *took = begun.elapsed().as_secs_f64();
        }
        let [one, all] = took;
        least = f64::min(least, all / one);
        round += 1;
    }
    assert!(least <= 4.0, "{BATCHES} producers took {least} times as long as one");
}
