//! An instance's file that somebody is writing: what is read of it half-way is none to run by.
//!
//! In each way in which files are written, again and again while the folders are scanned: as long as
//! the file says in the end what it said before, the instance does not notice; when it says
//! something else, that is taken up.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use crate::harness::servers::{mysql, run};
use crate::harness::{PATIENCE, Sluice, topics, wait_for};

/// How a file comes to hold a text.
type Write = fn(&Path, &str);

const LOOK: Duration = Duration::from_millis(300);

/// How editors and others write, by name.
const WAYS: &[(&str, Write)] = &[
    ("truncated", |path, text| {
        fs::write(path, "").unwrap();
        std::thread::sleep(Duration::from_secs(4));
        fs::write(path, text).unwrap();
    }),
    ("half", |path, text| {
        fs::write(path, &text[..text.len() / 3]).unwrap();
        std::thread::sleep(LOOK);
        fs::write(path, text).unwrap();
    }),
    ("renamed", |path, text| {
        let other = path.with_extension("new");
        fs::write(&other, text).unwrap();
        fs::rename(other, path).unwrap();
    }),
    // As a backup is made first, and the file then written anew.
    ("removed", |path, text| {
        fs::rename(path, path.with_extension("old")).unwrap();
        std::thread::sleep(LOOK);
        fs::write(path, text).unwrap();
    }),
    // As a ConfigMap is: the file is a link into a folder that is one too.
    ("swung", |path, text| {
        let folder = path.parent().unwrap();
        let is_first = !path.is_symlink();
        let (old, new) = match fs::read_link(folder.join("..data")) {
            Ok(old) if old.ends_with("..1") => ("..1", "..2"),
            _ => ("..2", "..1"),
        };
        fs::create_dir_all(folder.join(new)).unwrap();
        fs::write(folder.join(new).join("instance.properties"), text).unwrap();
        let link = folder.join("..new");
        symlink(new, &link).unwrap();
        fs::rename(link, folder.join("..data")).unwrap();
        let _ = fs::remove_dir_all(folder.join(old));
        if is_first {
            fs::remove_file(path).unwrap();
            symlink("..data/instance.properties", path).unwrap();
        }
    }),
    // A folder that is taken away and copied back, file by file, and each in pieces.
    ("copied", |path, text| {
        let folder = path.parent().unwrap();
        fs::remove_dir_all(folder).unwrap();
        fs::create_dir(folder).unwrap();
        for end in [0, text.len() / 4, text.len() / 2, text.len()] {
            fs::write(path, &text[..end]).unwrap();
            std::thread::sleep(LOOK);
        }
    }),
];

#[tokio::test]
async fn files_that_are_being_written_are_not_believed() {
    let Some(server) = mysql() else { return };
    let mut source = server.database("written").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut sluice = Sluice::new();
    sluice.canal("canal.auto.scan", "true");
    sluice.canal("canal.auto.scan.interval", "1");
    sluice.canal("canal.destinations", "");
    for (name, _) in WAYS {
        let topic = format!("written-{name}");
        let properties =
            [("canal.instance.filter.regex", r"written\.t"), ("canal.mq.topic", &*topic)];
        sluice.instance(name, server, &properties);
    }
    sluice.start();
    let path = |name: &str| sluice.folder(&format!("instances/{name}/instance.properties"));
    let text = |name: &str| fs::read_to_string(path(name)).unwrap();
    let texts: Vec<String> = WAYS.iter().map(|(name, _)| text(name)).collect();
    let begun = |name: &str| {
        let log = sluice.folder(&format!("logs/{name}/{name}.log"));
        fs::read_to_string(log).unwrap().matches("asks for the binlog").count()
    };
    for new in [false, true] {
        std::thread::scope(|scope| {
            for ((name, write), text) in WAYS.iter().zip(&texts) {
                let path = path(name);
                scope.spawn(move || {
                    let text = if new { text.replace("written-", "new-") } else { text.clone() };
                    let times = if new { 1 } else { 8 };
                    for _ in 0..times {
                        write(&path, &text);
                        if *name == "truncated" {
                            break;
                        }
                        std::thread::sleep(LOOK);
                    }
                });
            }
        });
        if new {
            break;
        }
        // A scan behind it all.
        std::thread::sleep(Duration::from_secs(3));
        for (name, _) in WAYS {
            assert_eq!(begun(name), 1, "{name}: {}", sluice.said());
        }
    }
    wait_for("what they say now to be taken up", PATIENCE, || {
        WAYS.iter().all(|(name, _)| begun(name) == 2).then_some(())
    });
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    for (name, _) in WAYS {
        topics::read_at_least(&sluice.bootstrap(), &format!("new-{name}"), 1);
    }
    assert!(!sluice.said().contains("127.0.0.1:3306"), "{}", sluice.said());
    sluice.stop();
}
