//! Every file of a partition, harmed in every way, while the log is closed, after a kill, and
//! while it is open: that partition is offline, told with its place, or as it was; all others go
//! on. Told to go on without, it does so with all that is whole, and gives no offset twice.

use std::sync::Arc;

use bytes::Bytes;

use super::{Random, append, batch, small, topic, values};
use crate::disk::{Disk, Freeze, Mode, Simulated};
use crate::log::segment::base_of;
use crate::log::{
    AcceptDamage, AppendError, Appended, Log, LogSettings, NewTopic, Produce, ReadError, Refusal,
    Topic, WriterError,
};
use crate::record::{BatchBuilder, batches};
use crate::shutdown::Tasks;

/// The partition that is harmed, and its neighbours.
const HARMED: (&str, i32) = ("t", 1);
const OTHERS: [(&str, i32); 2] = [("t", 0), ("other", 0)];
const RECORDS: usize = 60;

#[derive(Clone, Copy, Debug)]
enum Harm {
    Missing,
    Short,
    Empty,
    Flipped,
    Zeroed,
    Unreadable,
}

const HARMS: [Harm; 6] =
    [Harm::Missing, Harm::Short, Harm::Empty, Harm::Flipped, Harm::Zeroed, Harm::Unreadable];

/// When the files are harmed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Stopped,
    Killed,
    Open,
}

impl Harm {
    fn inflict(self, disk: &Simulated, path: &str, random: &mut Random) {
        let file = disk.open(path, Mode::Write).unwrap();
        let length = usize::try_from(file.len().unwrap()).unwrap();
        let at = random.below(length);
        match self {
            Self::Missing => disk.remove_file(path).unwrap(),
            Self::Short => file.set_len(at as u64).unwrap(),
            Self::Empty => file.set_len(0).unwrap(),
            // Some indexes are empty.
            Self::Flipped if length == 0 => {}
            Self::Flipped => disk.flip_bit(path, at as u64),
            Self::Zeroed => {
                let page = at / 512 * 512;
                file.write_at(&vec![0; (length - page).min(512)], page as u64).unwrap();
            }
            Self::Unreadable => disk.make_unreadable(path),
        }
        let _ = file.sync();
        let _ = disk.sync_dir(crate::disk::parent(path));
    }
}

/// Little enough stays in the journal, and some of it does.
fn settings() -> LogSettings {
    LogSettings { checkpoint_inline_bytes: 24 << 10, ..small() }
}

async fn open_with(disk: &Simulated, accept_damage: AcceptDamage) -> (Log, Tasks) {
    let tasks = Tasks::new();
    let settings = LogSettings { accept_damage, ..settings() };
    let log = Log::open(Arc::new(disk.clone()), settings, &tasks).await;
    (log.unwrap_or_else(|error| panic!("a start was refused: {error}")), tasks)
}

fn value(n: usize, partition: usize) -> String {
    format!("{n} {}", "x".repeat((n * 37 + partition * 101) % 900))
}

/// A log with three partitions of some segments each.
async fn filled(disk: &Simulated) -> (Log, Tasks) {
    let (log, tasks) = open_with(disk, AcceptDamage::None).await;
    let topics = [topic(&log, "t", 2).await, topic(&log, "other", 1).await];
    for n in 0..RECORDS {
        for (at, (topic, partition)) in [(0, 0), (0, 1), (1, 0)].into_iter().enumerate() {
            append(&log, &topics[topic], partition, &[&value(n, at)]).await;
        }
    }
    (log, tasks)
}

/// What a partition holds, or why it is offline.
async fn read(log: &Log, (name, partition): (&str, i32)) -> Result<Vec<(i64, String)>, String> {
    let topic = log.topic(name).unwrap();
    let mut found = Vec::new();
    match log.read_all(&topic, partition).await {
        Ok(pieces) => {
            for record in pieces.iter().flat_map(|piece| batches(piece)) {
                for record in record.unwrap().records() {
                    let record = record.unwrap();
                    let value = record.value.unwrap().to_vec();
                    found.push((record.offset, String::from_utf8(value).unwrap()));
                }
            }
            Ok(found)
        }
        Err(ReadError::Offline { place, .. }) => Err(place),
        Err(other) => panic!("{other}"),
    }
}

async fn try_append(log: &Log, (name, number): (&str, i32)) -> Result<Appended, AppendError> {
    let topic = log.topic(name).unwrap();
    let produce = Produce { topic, partition: number, batch: batch(&["more"]) };
    log.append(vec![produce]).await.pop().unwrap()
}

/// All that clients do is refused alike.
async fn is_refused_everywhere(log: &Log, case: &str) {
    let (name, number) = HARMED;
    let topic: Arc<Topic> = log.topic(name).unwrap();
    let offline = |error: &ReadError| matches!(error, ReadError::Offline { .. });
    let ends = log.ends(&[(Arc::clone(&topic), number)]).pop().unwrap();
    assert!(ends.is_err_and(|error| offline(&error)), "{case}: ends");
    let read = log.read(&topic, number, 0, 10, 100, true).await;
    assert!(read.is_err_and(|error| offline(&error)), "{case}: read");
    let by_time = log.offset_for_time(&topic, number, 5, 10).await;
    assert!(by_time.is_err_and(|error| offline(&error)), "{case}: by time");
    let newest = log.newest_time(&topic, number, 10).await;
    assert!(newest.is_err_and(|error| offline(&error)), "{case}: newest");
    let offline = |error: &AppendError| matches!(error, AppendError::Offline { .. });
    let appended = try_append(log, HARMED).await;
    assert!(appended.is_err_and(|error| offline(&error)), "{case}: append");
    let deleted = log.delete_records(&topic, number, -1).await;
    assert!(deleted.is_err_and(|error| offline(&error)), "{case}: delete records");
}

/// Neighbours hold all they held, and take more.
async fn neighbours_go_on(log: &Log, more: usize, case: &str) {
    for (at, place) in [(0, OTHERS[0]), (2, OTHERS[1])] {
        let found = read(log, place).await.unwrap_or_else(|why| panic!("{case}: {place:?} {why}"));
        let mut expected: Vec<_> = (0..RECORDS).map(|n| value(n, at)).collect();
        expected.extend((0..more).map(|_| "more".to_owned()));
        let found: Vec<_> = found.into_iter().map(|(_, value)| value).collect();
        assert!(found == expected, "{case}: a neighbour changed");
        try_append(log, place).await.unwrap_or_else(|why| panic!("{case}: {place:?} {why}"));
    }
}

/// Which files a partition has: the first, one in the middle and the last segment.
fn files(disk: &Simulated) -> Vec<String> {
    let all = disk.list("t-1").unwrap();
    let logs: Vec<_> = all.iter().filter(|entry| base_of(&entry.name).is_some()).collect();
    assert!(logs.len() > 3, "{all:?}");
    let wanted = [logs[0], logs[logs.len() / 2], logs[logs.len() - 1]];
    let mut files = vec!["partition.metadata".to_owned()];
    for log in wanted {
        let stem = log.name.strip_suffix(".log").unwrap();
        let of_stem = all.iter().filter(|entry| entry.name.starts_with(stem));
        files.extend(of_stem.map(|entry| entry.name.clone()));
    }
    files
}

async fn close(log: Log, tasks: Tasks) {
    log.close().await;
    drop(log);
    assert_eq!(tasks.join().await, Vec::<&str>::new());
}

/// One case. Says whether the partition was offline.
async fn judge(whole: &Simulated, file: &str, harm: Harm, when: When, seed: u64) -> bool {
    let path = format!("t-1/{file}");
    let case = format!("{path} {harm:?} {when:?}");
    let mut random = Random::new(seed);
    let expected: Vec<_> = (0..).zip((0..RECORDS).map(|n| value(n, 1))).collect();
    let mut disk = whole.crash(Freeze::Keep);
    let mut more = 0;
    let (log, tasks) = if when == When::Open {
        let (log, tasks) = open_with(&disk, AcceptDamage::None).await;
        harm.inflict(&disk, &path, &mut random);
        (log, tasks)
    } else {
        harm.inflict(&disk, &path, &mut random);
        open_with(&disk, AcceptDamage::None).await
    };
    neighbours_go_on(&log, more, &case).await;
    more += 1;
    let found = read(&log, HARMED).await;
    let is_offline = found.is_err();
    if let Err(place) = &found {
        let stem = path.split('.').next().unwrap();
        assert!(base_of(file).is_some(), "{case}: only records can be lost: {place}");
        assert!(place.contains(stem), "{case}: {place} does not say where");
        is_refused_everywhere(&log, &case).await;
        let told = log.damage().borrow().clone();
        assert!(told.len() == 1 && told[0].1.contains(place), "{case}: {told:?}");
    } else {
        assert!(found.as_ref() == Ok(&expected), "{case}: wrong data, or a silent loss");
        assert_eq!(try_append(&log, HARMED).await.unwrap().base_offset, 60, "{case}");
    }
    // Offline is not forgotten over a stop, in order or not, nor does it hinder one.
    if when == When::Killed {
        disk = disk.crash(Freeze::Keep);
        drop(log);
    } else {
        close(log, tasks).await;
    }
    if !is_offline {
        return false;
    }
    let (log, tasks) = open_with(&disk, AcceptDamage::None).await;
    assert!(read(&log, HARMED).await.is_err(), "{case}: it came back by itself");
    neighbours_go_on(&log, more, &case).await;
    more += 1;
    close(log, tasks).await;
    let accept = AcceptDamage::Of(["t-1".to_owned()].into());
    let (log, tasks) = open_with(&disk, accept).await;
    let kept = read(&log, HARMED).await.unwrap_or_else(|why| panic!("{case}: accepted: {why}"));
    assert!(kept.iter().all(|one| expected.contains(one)), "{case}: wrong data");
    assert!(kept.is_sorted_by_key(|(offset, _)| *offset), "{case}: {kept:?}");
    let lost = expected.len() - kept.len();
    assert!(lost > 0 && lost < 40, "{case}: {lost} of {RECORDS} are lost");
    assert_eq!(try_append(&log, HARMED).await.unwrap().base_offset, 60, "{case}: an offset twice");
    neighbours_go_on(&log, more, &case).await;
    assert!(log.damage().borrow().is_empty(), "{case}");
    disk = disk.crash(if seed.is_multiple_of(2) { Freeze::Lose } else { Freeze::Keep });
    drop((log, tasks));
    let (log, tasks) = open_with(&disk, AcceptDamage::None).await;
    let mut expected = kept;
    expected.push((60, "more".to_owned()));
    assert_eq!(read(&log, HARMED).await, Ok(expected), "{case}: after accepting");
    close(log, tasks).await;
    true
}

#[tokio::test]
async fn damage_takes_its_partition_offline_and_no_other() {
    let disk = Simulated::new();
    let (log, tasks) = filled(&disk).await;
    let killed = disk.crash(Freeze::Lose);
    close(log, tasks).await;
    let (mut offline, mut cases) = (0, 0);
    for (when, whole) in [(When::Stopped, &disk), (When::Killed, &killed), (When::Open, &disk)] {
        for file in files(whole) {
            for harm in HARMS {
                cases += 1;
                offline += usize::from(judge(whole, &file, harm, when, cases).await);
            }
        }
    }
    assert!(offline > 30, "{offline} of {cases} cases took the partition offline");
}

#[tokio::test]
async fn an_instance_stops_at_a_partition_that_is_offline_and_others_go_on() {
    let disk = Simulated::new();
    let (log, tasks) = filled(&disk).await;
    close(log, tasks).await;
    Harm::Missing.inflict(&disk, "t-1/00000000000000000000.log", &mut Random::new(1));
    let (log, _tasks) = open_with(&disk, AcceptDamage::None).await;
    let row = || {
        let mut rows = BatchBuilder::default();
        rows.push(None, Some(b"row"), &[]);
        rows.finish()
    };
    let (mut hit, mut spared) = (log.writer("hit", "sluice"), log.writer("spared", "sluice"));
    hit.open().await.unwrap();
    spared.open().await.unwrap();
    match hit.append(&Arc::from("t"), 2, 1, row()).await {
        Err(WriterError::Refused { topic, reason: Refusal::Offline(partition, place) }) => {
            assert_eq!((&*topic, &*partition), ("t", "t-1"));
            assert!(place.contains("t-1/00000000000000000000.log is missing"), "{place}");
        }
        other => panic!("{other:?}"),
    }
    spared.append(&Arc::from("theirs"), 1, 0, row()).await.unwrap();
    spared.commit(Bytes::from_static(b"p"), Vec::new()).await.unwrap().await.unwrap();
    // Deleting the topic is a way out too.
    log.delete_topic("t").await.unwrap();
    assert!(log.damage().borrow().is_empty());
    assert_eq!(values(&log, "theirs", 0).await.len(), 1);
}

/// Put back as it was, the file makes the partition whole again.
#[tokio::test]
async fn a_partition_whose_file_was_put_back_is_online_again() {
    for file in ["00000000000000000000", "last"] {
        let disk = Simulated::new();
        let (log, tasks) = filled(&disk).await;
        close(log, tasks).await;
        let segments = disk.list("t-1").unwrap();
        let last = segments.iter().rfind(|entry| base_of(&entry.name).is_some()).unwrap();
        let name = if file == "last" { last.name.clone() } else { format!("{file}.log") };
        let path = format!("t-1/{name}");
        let mut kept = vec![0; 5000];
        let read_bytes = disk.open(&path, Mode::Read).unwrap().read_at(&mut kept, 0).unwrap();
        disk.flip_bit(&path, 70);
        let (log, tasks) = open_with(&disk, AcceptDamage::None).await;
        assert!(read(&log, HARMED).await.is_err());
        close(log, tasks).await;
        disk.open(&path, Mode::Write).unwrap().write_at(&kept[..read_bytes], 0).unwrap();
        let (log, tasks) = open_with(&disk, AcceptDamage::None).await;
        assert_eq!(read(&log, HARMED).await.unwrap().len(), RECORDS, "{path}");
        assert_eq!(try_append(&log, HARMED).await.unwrap().base_offset, 60);
        close(log, tasks).await;
    }
}

/// Compaction comes upon it before any reader does.
#[tokio::test]
async fn damage_that_compaction_finds_takes_the_partition_offline() {
    let disk = Simulated::new();
    let tasks = Tasks::new();
    let settings = LogSettings { checkpoint_ms: 10, segment_bytes: 3000, ..small() };
    let log = Log::open(Arc::new(disk.clone()), settings, &tasks).await.unwrap();
    let config = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")];
    let config = config.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let new = NewTopic { name: "t".to_owned(), partitions: 1, config, owner: None };
    let t = log.create_topic(new).await.unwrap();
    let first = "t-0/00000000000000000000.log";
    for n in 0..200 {
        let mut records = BatchBuilder::default();
        records.push(Some(format!("key {n}").as_bytes()), Some(&[b'x'; 500]), &[]);
        let mut records = records.finish();
        records.seal(1000);
        let batch = records.into_bytes();
        let produce = Produce { topic: Arc::clone(&t), partition: 0, batch };
        if n == 3 {
            disk.flip_bit(first, 300);
        }
        if log.append(vec![produce]).await.pop().unwrap().is_err() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let told = log.damage().borrow().clone();
    assert!(told.len() == 1 && told[0].1.contains(first), "{told:?}");
}

/// A file that the process may not open may be whole: its partition is offline, no other is, and
/// nothing of it is given up, whatever is accepted. Once it may be opened all is there.
#[tokio::test]
async fn a_file_that_may_not_be_opened_takes_its_partition_offline_and_is_kept() {
    let stopped = Simulated::new();
    let (log, tasks) = filled(&stopped).await;
    let killed = stopped.crash(Freeze::Lose);
    close(log, tasks).await;
    let expected = || (0..).zip((0..RECORDS).map(|n| value(n, 1))).collect::<Vec<_>>();
    let mut refused = 0;
    for (when, whole) in
        [(When::Stopped, &stopped), (When::Killed, &killed), (When::Open, &stopped)]
    {
        let all = files(whole);
        for file in all.iter().filter(|name| base_of(name).is_some()) {
            let path = format!("t-1/{file}");
            let case = format!("{path} {when:?}");
            let disk = whole.crash(Freeze::Keep);
            let forbid = |is| disk.forbid(&path, is);
            let (log, tasks) = if when == When::Open {
                // It is opened for each use.
                disk.set_files(0);
                let opened = open_with(&disk, AcceptDamage::None).await;
                forbid(true);
                opened
            } else {
                forbid(true);
                let tasks = Tasks::new();
                match Log::open(Arc::new(disk.clone()), settings(), &tasks).await {
                    Ok(log) => (log, tasks),
                    // The journal has records for it: a start without would lose them.
                    Err(error) => {
                        let told = error.to_string();
                        assert!(when == When::Killed && told.contains("t-1"), "{case}: {told}");
                        assert!(told.contains("ermission denied"), "{case}: {told}");
                        refused += 1;
                        forbid(false);
                        let (log, tasks) = open_with(&disk, AcceptDamage::None).await;
                        assert!(read(&log, HARMED).await == Ok(expected()), "{case}");
                        close(log, tasks).await;
                        continue;
                    }
                }
            };
            let place = read(&log, HARMED).await.unwrap_err();
            assert!(place.contains(&path) && place.contains("ermission denied"), "{case}: {place}");
            is_refused_everywhere(&log, &case).await;
            neighbours_go_on(&log, 0, &case).await;
            close(log, tasks).await;
            for accept in [AcceptDamage::All, AcceptDamage::Of(["t-1".to_owned()].into())] {
                let (log, tasks) = open_with(&disk, accept).await;
                assert!(read(&log, HARMED).await.is_err(), "{case}: it was given up");
                close(log, tasks).await;
            }
            forbid(false);
            let (log, tasks) = open_with(&disk, AcceptDamage::None).await;
            assert!(read(&log, HARMED).await == Ok(expected()), "{case}: something is lost");
            assert_eq!(try_append(&log, HARMED).await.unwrap().base_offset, 60, "{case}");
            close(log, tasks).await;
        }
    }
    assert!(refused > 0, "no journal had records for it");
}

/// One that is appended to with others in one request: they are carried out without it.
#[tokio::test]
async fn an_append_to_a_file_that_may_not_be_opened_hinders_no_neighbour() {
    let disk = Simulated::new();
    // Each file is opened for each use.
    disk.set_files(0);
    let (log, _tasks) = open_with(&disk, AcceptDamage::None).await;
    let t = topic(&log, "t", 2).await;
    let one = |partition| Produce { topic: Arc::clone(&t), partition, batch: batch(&["one"]) };
    assert!(log.append(vec![one(0), one(1)]).await.iter().all(Result::is_ok));
    let path = "t-1/00000000000000000000.log";
    disk.forbid(path, true);
    let both = log.append(vec![one(0), one(1)]).await;
    assert!(both[0].is_ok() && both[1].is_err(), "{both:?}");
    try_append(&log, ("t", 0)).await.unwrap();
    let place = read(&log, HARMED).await.unwrap_err();
    assert!(place.contains(path) && place.contains("ermission denied"), "{place}");
}
