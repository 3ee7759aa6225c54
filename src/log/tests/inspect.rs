//! What `sluice dump` shows: nothing wrong in what a log wrote, and each byte that is not as it
//! was written.

use std::sync::Arc;

use super::{Random, append, open, topic};
use crate::disk::{Disk, Mode, Simulated};
use crate::log::{WRONG, inspect};

const FIRST: &str = "00000000000000000000.log";

/// All files of a log that can be looked into: directory, and name.
fn files(disk: &Simulated) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in disk.list("").unwrap() {
        if entry.is_dir {
            let inside = disk.list(&entry.name).unwrap();
            found.extend(inside.into_iter().map(|one| (entry.name.clone(), one.name)));
        } else {
            found.push((String::new(), entry.name));
        }
    }
    let known = ["log", "index", "timeindex", "journal"];
    found.retain(|(_, name)| {
        let kind = name.rsplit_once('.').map_or("", |(_, kind)| kind);
        let others = ["checkpoint", "current", "partition.metadata"];
        known.contains(&kind) || others.contains(&name.as_str())
    });
    found
}

/// The lines, and how many of them are faults.
fn look(disk: &Simulated, dir: &str, name: &str) -> (Vec<String>, usize) {
    let mut lines = Vec::new();
    let say = |line: &str| {
        lines.push(line.to_owned());
        Ok(())
    };
    let faults = inspect(disk, dir, name, say).unwrap();
    assert_eq!(faults, lines.iter().filter(|line| line.starts_with(WRONG)).count());
    (lines, faults)
}

/// A log with segments, indexes, a checkpoint and frames.
async fn written() -> Simulated {
    let disk = Simulated::new();
    let (log, tasks) = open(Arc::new(disk.clone())).await;
    let t = topic(&log, "t", 2).await;
    for n in 0..60 {
        append(&log, &t, n % 2, &[&format!("{n}{}", "x".repeat(200)), "second"]).await;
    }
    log.close().await;
    tasks.join().await;
    disk
}

#[tokio::test]
async fn each_file_of_a_log_is_shown_and_nothing_is_wrong_in_it() {
    let disk = written().await;
    let files = files(&disk);
    for kind in [".log", ".index", ".timeindex", ".journal", "checkpoint", "current", ".metadata"] {
        assert!(
            files.iter().any(|(_, name)| name.strip_suffix(kind).is_some()),
            "{kind}: {files:?}"
        );
    }
    for (dir, name) in &files {
        let (lines, faults) = look(&disk, dir, name);
        assert_eq!(faults, 0, "{dir}/{name}: {lines:#?}");
        let size = disk.open(&format!("{dir}/{name}"), Mode::Read);
        let size = size.map_or(0, |file| file.len().unwrap());
        assert!(size == 0 || dir.is_empty() || !lines.is_empty(), "{dir}/{name} is silent");
    }
    let (first, _) = look(&disk, "t-0", FIRST);
    assert!(first[0].starts_with("at 0: offsets 0 to 1, 2 records in "), "{first:?}");
    for (dir, name) in [("", "ballast"), ("t-0", "other.log"), ("staged", FIRST)] {
        let error = inspect(&disk, dir, name, |_| Ok(())).unwrap_err();
        let kinds = [std::io::ErrorKind::InvalidInput, std::io::ErrorKind::NotFound];
        assert!(kinds.contains(&error.kind()), "{dir}/{name}: {error}");
    }
}

/// What is being built, and what a crash left on its way to its place, as the page on the format
/// names them.
#[tokio::test]
async fn a_file_that_is_not_in_its_place_yet_is_shown_too() {
    let disk = written().await;
    let compacted = format!("{}-0-00000000000000000000", uuid::Uuid::from_u128(7));
    let (first, _) = look(&disk, "t-0", FIRST);
    for (dir, stem, ending, kinds) in [
        ("staged", "0000000003-0000000012", "", ["log"].as_slice()),
        ("compacted", &compacted, "", &["log", "index", "timeindex"]),
        ("moved-0", "00000000000000000000", ".moving", &["log", "index", "timeindex"]),
    ] {
        disk.create_dir(dir).unwrap();
        for kind in kinds {
            let name = format!("{stem}.{kind}{ending}");
            copy(&disk, &format!("t-0/00000000000000000000.{kind}"), &format!("{dir}/{name}"));
            let (lines, faults) = look(&disk, dir, &name);
            assert_eq!(faults, 0, "{dir}/{name}: {lines:#?}");
            assert_eq!(*kind == "log", lines == first, "{dir}/{name}: {lines:#?}");
            assert!(!lines.iter().any(|line| line.contains("is not here")), "{dir}/{name}");
        }
    }
}

fn copy(disk: &Simulated, from: &str, to: &str) {
    let from = disk.open(from, Mode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(from.len().unwrap()).unwrap()];
    from.read_exact_at(&mut bytes, 0).unwrap();
    disk.open(to, Mode::Create).unwrap().write_at(&bytes, 0).unwrap();
}

/// Who reads the lines may have seen enough after the first: of the file no more is read.
#[tokio::test]
async fn lines_are_said_when_they_are_found() {
    let disk = written().await;
    let mut said = Vec::new();
    let say = |line: &str| {
        said.push(line.to_owned());
        Err(std::io::ErrorKind::BrokenPipe.into())
    };
    let error = inspect(&disk, "t-0", FIRST, say).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(said.len(), 1);
}

#[tokio::test]
async fn a_byte_that_is_not_as_it_was_written_is_a_fault() {
    let mut random = Random::new(77);
    let disk = written().await;
    for (dir, name) in files(&disk) {
        let path = if dir.is_empty() { name.clone() } else { format!("{dir}/{name}") };
        let size = disk.open(&path, Mode::Read).unwrap().len().unwrap();
        // A frame that is torn, or an earlier one, is no fault of its file.
        if size == 0 || dir == "journal" || name == "partition.metadata" {
            continue;
        }
        for _ in 0..40 {
            let byte = random.below(usize::try_from(size).unwrap()) as u64;
            // No checksum covers the base offset and the leader's epoch; what is behind the
            // right offset may also be that of a compacted segment.
            if name.strip_suffix(".log").is_some() && is_uncovered(&disk, &path, byte) {
                continue;
            }
            disk.flip_bit(&path, byte);
            assert!(look(&disk, &dir, &name).1 > 0, "{path}, byte {byte}");
            disk.flip_bit(&path, byte);
            assert_eq!(look(&disk, &dir, &name).1, 0, "{path}, byte {byte} and back");
        }
    }
}

/// Whether a byte of a segment is one of a head that its checksum does not cover.
fn is_uncovered(disk: &Simulated, path: &str, byte: u64) -> bool {
    let file = disk.open(path, Mode::Read).unwrap();
    let mut at = 0;
    loop {
        let mut length = [0; 4];
        file.read_exact_at(&mut length, at + 8).unwrap();
        let end = at + 12 + u64::from(u32::from_be_bytes(length));
        if byte < end {
            return byte - at < 8 || (12..16).contains(&(byte - at));
        }
        at = end;
    }
}
