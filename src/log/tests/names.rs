//! Topics of every name that is allowed: made, deleted, made again, over clean and unclean
//! stops. `SLUICE_TEST_SEED` gives other characters.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Random, append, asked, open, small, topic, values};
use crate::disk::{Disk, Freeze, Mode, Real, Simulated};
use crate::log::{Log, TopicError};
use crate::shutdown::Tasks;

const LEGAL: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

/// A name of each length, of any of the characters, and names like those of directories.
fn names() -> Vec<String> {
    let mut random = Random::new(asked("SLUICE_TEST_SEED").unwrap_or(1));
    let mut names: Vec<String> = (1..=249)
        .map(|length| {
            let mut one = || LEGAL[random.below(LEGAL.len())] as char;
            (0..length).map(|_| one()).collect()
        })
        .collect();
    let long = |ending: &str| format!("{}{ending}", "n".repeat(249 - ending.len()));
    for ending in ["-0", "-1", "-0-0", ".1-delete", "-delete", ".1.unknown", ".log", ".-"] {
        names.extend([format!("t{ending}"), long(ending)]);
    }
    names.extend(["journal", "staged", "ballast", "checkpoint", "..."].map(str::to_owned));
    names.push("3fa85f64-5717-4562-b3fc-2c963f66afa6.0-delete".to_owned());
    names.sort();
    names.dedup();
    names
}

type Contents = BTreeMap<String, Vec<String>>;

/// Makes each topic, deletes it, makes it again, and leaves each third one deleted.
async fn make_and_delete(log: &Log, round: usize) -> Contents {
    let mut contents = Contents::new();
    for (at, name) in names().iter().enumerate() {
        let new = super::NewTopic { name: name.clone(), partitions: 2, ..Default::default() };
        let first = match log.create_topic(new.clone()).await {
            Ok(first) => first,
            // Names that differ by '.' and '_' only, among the short ones; or "." itself.
            Err(TopicError::InvalidName(..)) if name.len() < 4 => continue,
            Err(other) => panic!("{name}: {other}"),
        };
        append(log, &first, 1, &["of the first"]).await;
        append(log, &first, 1, &[&"x".repeat(5000), "of the first too"]).await;
        log.delete_topic(name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        if at % 3 == round % 3 {
            continue;
        }
        let second = log.create_topic(new).await.unwrap();
        let value = format!("{round} of the second");
        append(log, &second, 1, &[&value]).await;
        contents.insert(name.clone(), vec![value]);
    }
    contents
}

async fn compare(log: &Log, contents: &Contents, what: &str) {
    for name in names() {
        match contents.get(&name) {
            None => assert!(log.topic(&name).is_none(), "{what}: {name} is back"),
            Some(expected) => {
                let found = values(log, &name, 1).await;
                let found: Vec<String> = found.into_iter().map(|(_, value)| value).collect();
                assert_eq!(found, *expected, "{what}: {name}");
            }
        }
    }
}

async fn delete_all(log: &Log, contents: &Contents) {
    for name in contents.keys() {
        log.delete_topic(name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// What is left of topics that are gone.
fn left_over(disk: &dyn Disk) -> Vec<String> {
    let entries = disk.list("").unwrap().into_iter();
    let odd = |name: &String| name.ends_with("-delete") || name.ends_with(".unknown");
    entries.map(|entry| entry.name).filter(odd).collect()
}

#[tokio::test]
async fn a_topic_of_any_name_is_deleted_and_made_again_over_any_stop() {
    let mut disk = Simulated::new();
    for (round, stop) in [Some(Freeze::Lose), None, Some(Freeze::Keep)].into_iter().enumerate() {
        let (log, tasks) = open(Arc::new(disk.clone())).await;
        let contents = make_and_delete(&log, round).await;
        compare(&log, &contents, "before the stop").await;
        if let Some(freeze) = stop {
            disk = disk.crash(freeze);
        } else {
            log.close().await;
            tasks.join().await;
        }
        let (log, tasks) = open(Arc::new(disk.clone())).await;
        compare(&log, &contents, &format!("after {stop:?}")).await;
        delete_all(&log, &contents).await;
        log.close().await;
        tasks.join().await;
        assert_eq!(left_over(&disk), Vec::<String>::new(), "after {stop:?}");
    }
}

#[tokio::test]
async fn a_real_file_system_takes_each_name_too() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(Real::new(dir.path()).unwrap());
    let name = |length: usize| "r".repeat(length);
    let (log, tasks) = open(Arc::clone(&disk)).await;
    for length in [1, 200, 211, 212, 230, 249] {
        let first = topic(&log, &name(length), 1).await;
        append(&log, &first, 0, &["first"]).await;
        log.delete_topic(&name(length)).await.unwrap();
        let second = topic(&log, &name(length), 1).await;
        append(&log, &second, 0, &["second"]).await;
    }
    log.close().await;
    tasks.join().await;
    let (log, _tasks) = open(disk).await;
    for length in [1, 200, 211, 212, 230, 249] {
        assert_eq!(values(&log, &name(length), 0).await, [(0, "second".to_owned())], "{length}");
    }
}

/// The calls of a deletion fail one after the other: the topic is there, whole, or it is gone.
#[tokio::test]
async fn a_deletion_that_fails_leaves_the_topic_or_takes_it() {
    let long = "d".repeat(249);
    for errno in [rustix::io::Errno::IO, rustix::io::Errno::NOSPC] {
        for call in 1..12 {
            let disk = Simulated::new();
            let (log, tasks) = open(Arc::new(disk.clone())).await;
            let made = topic(&log, &long, 3).await;
            for partition in 0..3 {
                append(&log, &made, partition, &["kept"]).await;
            }
            disk.fail_call(disk.calls() + call, errno.raw_os_error());
            let deleted = log.delete_topic(&long).await;
            let case = format!("{errno:?} at call {call}: {deleted:?}");
            if deleted.is_err() {
                for partition in 0..3 {
                    let found = values(&log, &long, partition).await;
                    assert_eq!(found, [(0, "kept".to_owned())], "{case}");
                }
            }
            drop(log);
            tasks.join().await;
            for freeze in [Freeze::Lose, Freeze::Keep] {
                let (log, _tasks) = open(Arc::new(disk.crash(freeze))).await;
                if deleted.is_ok() {
                    assert!(log.topic(&long).is_none(), "{case}: it is back");
                } else if log.topic(&long).is_some() {
                    for partition in 0..3 {
                        let found = values(&log, &long, partition).await;
                        assert_eq!(found, [(0, "kept".to_owned())], "{case}, {freeze:?}");
                    }
                }
            }
        }
    }
}

/// What an earlier version could not rename, and whatever else lies about, hinders no start.
#[tokio::test]
async fn no_left_over_hinders_a_start_or_gets_into_a_topic() {
    let disk = Simulated::new();
    let long = "l".repeat(249);
    let (log, tasks) = open(Arc::new(disk.clone())).await;
    append(&log, &topic(&log, &long, 1).await, 0, &["old"]).await;
    log.close().await;
    tasks.join().await;
    // The same directory under a name that no topic knows, twice, one without its id.
    for (dir, named) in [(format!("{}-0", "m".repeat(253)), true), ("stray-0".to_owned(), false)] {
        disk.create_dir(&dir).unwrap();
        for entry in disk.list(&format!("{long}-0")).unwrap() {
            if named || entry.name != "partition.metadata" {
                copy(&disk, &format!("{long}-0/{}", entry.name), &format!("{dir}/{}", entry.name));
            }
        }
    }
    let (log, tasks) = open(Arc::new(disk.clone())).await;
    assert_eq!(left_over(&disk).len(), 2, "{:?}", left_over(&disk));
    append(&log, &topic(&log, "stray", 1).await, 0, &["new"]).await;
    assert_eq!(values(&log, "stray", 0).await, [(0, "new".to_owned())]);
    // One that comes while the log is open is no part of a topic that is made then.
    disk.create_dir("late-0").unwrap();
    copy(&disk, &format!("{long}-0/00000000000000000000.log"), "late-0/00000000000000000009.log");
    append(&log, &topic(&log, "late", 1).await, 0, &["new"]).await;
    drop(log);
    tasks.join().await;
    let (log, _tasks) = open(Arc::new(disk.crash(Freeze::Keep))).await;
    for name in ["stray", "late"] {
        assert_eq!(values(&log, name, 0).await, [(0, "new".to_owned())], "{name}");
    }
}

fn copy(disk: &Simulated, from: &str, to: &str) {
    let file = disk.open(from, crate::disk::Mode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    disk.open(to, crate::disk::Mode::Create).unwrap().write_at(&bytes, 0).unwrap();
}

/// A directory that holds the id of another topic is none of the topic's, whatever its name.
#[tokio::test]
async fn a_directory_belongs_to_the_topic_whose_id_is_in_it() {
    let disk = Simulated::new();
    let (log, tasks) = open(Arc::new(disk.clone())).await;
    append(&log, &topic(&log, "first", 1).await, 0, &["of the first"]).await;
    topic(&log, "second", 1).await;
    drop(log);
    tasks.join().await;
    let killed = disk.crash(Freeze::Keep);
    killed.create_dir("second-0").unwrap();
    for file in ["partition.metadata", "00000000000000000000.log"] {
        copy(&killed, &format!("first-0/{file}"), &format!("second-0/{file}"));
    }
    let (log, _tasks) = open(Arc::new(killed.crash(Freeze::Keep))).await;
    let second = log.topic("second").unwrap();
    append(&log, &second, 0, &["of the second"]).await;
    assert_eq!(values(&log, "second", 0).await, [(0, "of the second".to_owned())]);
    assert_eq!(values(&log, "first", 0).await, [(0, "of the first".to_owned())]);
}

/// The place of a deleted partition is used again, and no old handle reaches who has it then.
#[tokio::test]
async fn places_are_used_again_and_old_handles_reach_nobody() {
    use crate::log::{AppendError, Produce, ReadError};
    let (log, _tasks) = open(Arc::new(Simulated::new())).await;
    let mut old = topic(&log, "t", 3).await;
    let places = log.shared().watermarks.count();
    for n in 0..20 {
        append(&log, &old, 1, &["old"]).await;
        let waiter = log.waiter(&[(Arc::clone(&old), 1)]);
        log.delete_topic(old.name()).await.unwrap();
        waiter.moved().await;
        let new = topic(&log, &format!("t{n}"), 3).await;
        append(&log, &new, 1, &["new"]).await;
        assert!(
            log.read(&old, 1, 0, 1, 100, true)
                .await
                .is_err_and(|error| { matches!(error, ReadError::UnknownPartition { .. }) })
        );
        assert!(log.ends(&[(Arc::clone(&old), 1)]).pop().unwrap().is_err());
        let produce = Produce { topic: old, partition: 1, batch: super::batch(&["late"]) };
        let refused = log.append(vec![produce]).await.pop().unwrap();
        assert!(matches!(refused, Err(AppendError::UnknownPartition { .. })), "{refused:?}");
        assert_eq!(values(&log, new.name(), 1).await, [(0, "new".to_owned())]);
        old = new;
    }
    assert_eq!(log.shared().watermarks.count(), places);
}

/// Makes a directory that no topic knows in the place of `t-0`, durably.
fn put_unknown(disk: &Simulated) {
    disk.create_dir("t-0").unwrap();
    let file = disk.open("t-0/00000000000000000000.log", Mode::Create).unwrap();
    file.write_at(b"of nobody", 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir("t-0").unwrap();
    disk.sync_dir("").unwrap();
}

/// How many files hold what nobody knows, and where.
fn unknown(disk: &Simulated) -> Vec<String> {
    let mut found = Vec::new();
    for dir in disk.list("").unwrap().into_iter().filter(|entry| entry.is_dir) {
        let path = format!("{}/00000000000000000000.log", dir.name);
        let mut bytes = [0; 9];
        if let Ok(file) = disk.open(&path, Mode::Read)
            && file.read_at(&mut bytes, 0).is_ok()
            && &bytes == b"of nobody"
        {
            found.push(dir.name);
        }
    }
    found
}

/// A sync that fails may drop the rename of a directory: it is seen, and a power failure gives it
/// its old name back, under which a topic has written since.
#[tokio::test]
async fn a_directory_set_aside_before_a_sync_that_failed_never_comes_back_as_a_topics() {
    for at_start in [false, true] {
        for call in 1..=24 {
            let case = format!("at start {at_start}, call {call}");
            let disk = Simulated::new();
            let (log, tasks) = open(Arc::new(disk.clone())).await;
            topic(&log, "other", 1).await;
            if at_start {
                log.close().await;
                drop(log);
                tasks.join().await;
                put_unknown(&disk);
                disk.fail_call(disk.calls() + call, rustix::io::Errno::IO.raw_os_error());
                let tasks = Tasks::new();
                let opened = Log::open(Arc::new(disk.clone()), small(), &tasks).await;
                if let Ok(log) = opened {
                    let new = super::NewTopic {
                        name: "x".to_owned(),
                        partitions: 1,
                        ..Default::default()
                    };
                    let _ = log.create_topic(new).await;
                }
                tasks.join().await;
            } else {
                put_unknown(&disk);
                disk.fail_call(disk.calls() + call, rustix::io::Errno::IO.raw_os_error());
                let new =
                    super::NewTopic { name: "t".to_owned(), partitions: 1, ..Default::default() };
                let _ = log.create_topic(new).await;
                drop(log);
                tasks.join().await;
            }
            let killed = disk.crash(Freeze::Keep);
            let (log, tasks) = open(Arc::new(killed.clone())).await;
            let t = match log.topic("t") {
                Some(topic) => topic,
                None => topic(&log, "t", 1).await,
            };
            append(&log, &t, 0, &["kept"]).await;
            log.close().await;
            drop(log);
            tasks.join().await;
            let lost = killed.crash(Freeze::Lose);
            let (log, tasks) = open(Arc::new(lost.clone())).await;
            assert_eq!(values(&log, "t", 0).await, [(0, "kept".to_owned())], "{case}");
            let aside = unknown(&lost);
            assert!(aside.len() == 1 && aside[0].ends_with(".unknown"), "{case}: {aside:?}");
            drop(log);
            tasks.join().await;
        }
    }
}

/// The deletion of a topic fails somewhere, and then the start that gives its directories their
/// names back: what is appended after that is there.
#[tokio::test]
async fn a_topic_whose_deletion_and_next_start_failed_keeps_what_it_gets() {
    for first in 1..=6 {
        for second in 1..=16 {
            let case = format!("call {first} of the deletion, call {second} of the start");
            let error = rustix::io::Errno::IO.raw_os_error();
            let disk = Simulated::new();
            let (log, tasks) = open(Arc::new(disk.clone())).await;
            append(&log, &topic(&log, "t", 1).await, 0, &["before"]).await;
            disk.fail_call(disk.calls() + first, error);
            if log.delete_topic("t").await.is_ok() {
                continue;
            }
            drop(log);
            tasks.join().await;
            let killed = disk.crash(Freeze::Keep);
            killed.fail_call(second, error);
            let tasks = Tasks::new();
            drop(Log::open(Arc::new(killed.clone()), small(), &tasks).await);
            tasks.join().await;
            let killed = killed.crash(Freeze::Keep);
            let (log, tasks) = open(Arc::new(killed.clone())).await;
            let Some(t) = log.topic("t") else { continue };
            append(&log, &t, 0, &["behind"]).await;
            let lost = killed.crash(Freeze::Lose);
            drop(log);
            tasks.join().await;
            let (log, tasks) = open(Arc::new(lost)).await;
            let expected = [(0, "before".to_owned()), (1, "behind".to_owned())];
            assert_eq!(values(&log, "t", 0).await, expected, "{case}");
            drop(log);
            tasks.join().await;
        }
    }
}
