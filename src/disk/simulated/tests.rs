//! What the model keeps and drops, against what Linux does.

use super::*;

const EIO: i32 = Errno::IO.raw_os_error();

fn read(disk: &Simulated, path: &str) -> Vec<u8> {
    let file = disk.open(path, Mode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn what_a_failed_sync_held_is_seen_and_never_durable() {
    let disk = Simulated::new();
    let file = disk.open("f", Mode::Create).unwrap();
    disk.sync_dir("").unwrap();
    file.write_at(b"kept", 0).unwrap();
    file.sync().unwrap();
    file.write_at(b"lost", 4).unwrap();
    disk.fail_call(disk.calls() + 1, EIO);
    assert!(file.sync().is_err());
    file.write_at(b"late", 8).unwrap();
    file.sync().unwrap();
    assert_eq!(read(&disk, "f"), b"keptlostlate");
    assert_eq!(read(&disk.crash(Freeze::Keep), "f"), b"keptlostlate");
    assert_eq!(read(&disk.crash(Freeze::Keep).crash(Freeze::Lose), "f"), b"kept\0\0\0\0late");
    file.write_at(b"lost", 4).unwrap();
    file.sync().unwrap();
    assert_eq!(read(&disk.crash(Freeze::Lose), "f"), b"keptlostlate", "written again, it counts");
}

#[test]
fn what_a_killed_process_left_can_still_be_lost() {
    let disk = Simulated::new();
    let file = disk.open("f", Mode::Create).unwrap();
    disk.sync_dir("").unwrap();
    file.write_at(b"x", 0).unwrap();
    disk.open("g", Mode::Create).unwrap();
    let killed = disk.crash(Freeze::Keep);
    assert_eq!((read(&killed, "f"), killed.list("").unwrap().len()), (b"x".to_vec(), 2));
    let lost = killed.crash(Freeze::Lose);
    assert_eq!((read(&lost, "f"), lost.list("").unwrap().len()), (Vec::new(), 1));
    killed.open("f", Mode::Write).unwrap().sync().unwrap();
    killed.sync_dir("").unwrap();
    let kept = killed.crash(Freeze::Lose);
    assert_eq!((read(&kept, "f"), kept.list("").unwrap().len()), (b"x".to_vec(), 2));
}

#[test]
fn a_name_that_a_failed_sync_held_is_never_durable() {
    let disk = Simulated::new();
    disk.open("f", Mode::Create).unwrap();
    disk.fail_call(disk.calls() + 1, EIO);
    assert!(disk.sync_dir("").is_err());
    disk.sync_dir("").unwrap();
    assert_eq!(disk.crash(Freeze::Lose).list("").unwrap(), []);
}

#[test]
fn a_directory_takes_the_names_in_it_along() {
    let disk = Simulated::new();
    disk.create_dir("d").unwrap();
    disk.open("d/removed", Mode::Create).unwrap();
    disk.remove_dir("d").unwrap();
    disk.create_dir("d").unwrap();
    disk.open("d/moved", Mode::Create).unwrap();
    disk.rename("d", "e").unwrap();
    disk.create_dir("d").unwrap();
    for dir in ["", "d", "e"] {
        disk.sync_dir(dir).unwrap();
    }
    let lost = disk.crash(Freeze::Lose);
    let names = |dir| lost.list(dir).unwrap().into_iter().map(|one| one.name).collect::<Vec<_>>();
    assert_eq!((names(""), names("d"), names("e")), {
        let text = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        (text(&["d", "e"]), text(&[]), text(&["moved"]))
    });
}

#[test]
fn a_name_has_at_most_255_bytes() {
    let disk = Simulated::new();
    disk.create_dir(&"x".repeat(255)).unwrap();
    let too_long = format!("a/{}", "x".repeat(256));
    assert_eq!(disk.create_dir(&too_long).unwrap_err().raw_os_error(), Some(36));
    disk.open("f", Mode::Create).unwrap();
    assert_eq!(disk.rename("f", &"x".repeat(256)).unwrap_err().raw_os_error(), Some(36));
}
