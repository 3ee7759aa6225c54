//! A disk without room: said at the start, waited for while running, nothing lost.

use std::path::Path;

use crate::harness::servers::{mysql, run};
use crate::harness::{PATIENCE, Sluice, process, say, topics, wait_for};

const MIB: u32 = 64;

/// Whether this machine lets a test have a small file system of its own.
fn may_mount() -> bool {
    let may = process::may_mount();
    if !may {
        say("NOT RUN: it needs to mount a tmpfs (root, or user namespaces)");
    }
    may
}

/// Takes all the room there is.
fn fill(filler: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(filler).unwrap();
    let mut size = 1 << 20;
    while size > 0 {
        match file.write_all(&vec![0; size]) {
            Ok(()) => {}
            Err(_) => size /= 2,
        }
    }
}

#[test]
fn a_disk_that_is_full_at_the_start_is_named() {
    if !may_mount() {
        return;
    }
    let mut sluice = Sluice::new();
    sluice.on_small_disk(MIB, true);
    let ended = sluice.run_to_its_end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    let data = sluice.folder("data").display().to_string();
    for words in [data.as_str(), "No space left", "make room"] {
        assert!(ended.said.contains(words), "{words} is not said:\n{}", ended.said);
    }
}

#[tokio::test]
async fn on_a_full_disk_the_instance_waits_and_goes_on_when_there_is_room() {
    let Some(mysql) = mysql() else { return };
    if !may_mount() {
        return;
    }
    let mut source = mysql.database("full_disk").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, filler LONGTEXT)").await;
    let filter = [("canal.instance.filter.regex", r"full_disk\..*")];
    let mut sluice = Sluice::with_instance("example", mysql, &filter);
    sluice.on_small_disk(MIB, false);
    sluice.start();
    run(&mut source, "INSERT INTO t VALUES (1, 'before')").await;
    let before = topics::read_at_least(&sluice.bootstrap(), "full_disk.t", 1);

    let filler = sluice.seen_by_process("data/filler");
    fill(&filler);
    for id in 2..6 {
        let sql = format!("INSERT INTO t VALUES ({id}, REPEAT('x', 1000000))");
        run(&mut source, &sql).await;
    }
    wait_for("the instance to wait for room", PATIENCE, || {
        let (status, body) = sluice.health()?;
        let waits = body.contains(r#""state":"waiting""#) && body.contains("no room");
        (status == 503 && waits).then_some(())
    });
    let during = topics::read(&sluice.bootstrap(), "full_disk.t");
    assert_eq!(during[..1], before, "readers are served");

    std::fs::remove_file(&filler).unwrap();
    wait_for("the instance to go on", PATIENCE, || {
        let (status, _) = sluice.health()?;
        (status == 200).then_some(())
    });
    let after = topics::read_at_least(&sluice.bootstrap(), "full_disk.t", 5);
    let ids: Vec<_> = after.iter().map(|one| one.json()["data"][0]["id"].clone()).collect();
    assert_eq!(ids, ["1", "2", "3", "4", "5"], "each row once, in order");
    sluice.stop();
}
