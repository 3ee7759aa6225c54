//! Lines in, files out; and disks that take none.

use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

fn subscriber(layer: LogFiles) -> impl Subscriber {
    tracing_subscriber::Registry::default().with(layer)
}

const KEEPING: Keeping =
    Keeping { style: Style::Text, limits: Limits { bytes: 1 << 20, files: 3 }, console: false };

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Waits until `found` answers something.
fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "waiting for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn lines_of_an_instance_go_to_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let (layer, guard) = LogFiles::new(folder.path(), KEEPING, |text| panic!("{text}"));
    let trouble = layer.trouble();
    tracing::subscriber::with_default(subscriber(layer), || {
        tracing::info!(port = 9092, "the server listens");
        crate::telemetry::instance_span("example").in_scope(|| {
            tracing::warn!("the position is old");
        });
    });
    drop(guard);
    let server = read(folder.path().join("server.log"));
    let example = read(folder.path().join("example/example.log"));
    assert!(server.ends_with("- the server listens port=9092\n"), "{server}");
    assert!(example.contains("] WARN  sluice::"), "{example}");
    assert!(example.ends_with("- the position is old\n"), "{example}");
    assert_eq!(trouble.list(), Vec::<String>::new());
}

#[test]
fn lines_are_objects_where_json_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let keeping = Keeping { style: Style::Json, ..KEEPING };
    let (layer, guard) = LogFiles::new(folder.path(), keeping, |text| panic!("{text}"));
    tracing::subscriber::with_default(subscriber(layer), || {
        crate::telemetry::instance_span("example").in_scope(|| {
            tracing::warn!(port = 9092, ok = true, who = "\"me\"\n", "it is\n\"old\"");
        });
    });
    drop(guard);
    let text = read(folder.path().join("example/example.log"));
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["message"], "it is\n\"old\"");
    assert_eq!((&line["level"], &line["instance"]), (&"WARN".into(), &"example".into()));
    assert_eq!(line["fields"], serde_json::json!({"port": 9092, "ok": true, "who": "\"me\"\n"}));
    let time: jiff::Timestamp = line["time"].as_str().unwrap().parse().unwrap();
    assert!(time.as_second() > 1_700_000_000);
}

/// A pipe without a reader: whoever opens it waits, as on a disk that hangs.
#[test]
fn a_disk_that_hangs_stalls_nobody_and_the_missing_lines_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("server.log");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let (layer, guard) = LogFiles::new(folder.path(), KEEPING, |text| panic!("{text}"));
    let trouble = layer.trouble();
    let dispatch = tracing::Dispatch::new(subscriber(layer));
    let lines = WAITING_LINES + 500;
    tracing::dispatcher::with_default(&dispatch, || {
        let begun = Instant::now();
        for n in 0..lines {
            tracing::info!(n, "a line");
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        crate::telemetry::instance_span("example").in_scope(|| tracing::info!("goes on"));
    });
    let example = folder.path().join("example/example.log");
    wait_for("the other file", || {
        std::fs::read_to_string(&example).ok().filter(|text| text.contains("goes on"))
    });
    let told = trouble.list();
    assert_eq!(told.len(), 1, "{told:?}");
    let count: usize =
        told[0].split("lacks ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((400..=500).contains(&count), "{told:?}");

    let reader = std::thread::spawn(move || read(pipe));
    tracing::dispatcher::with_default(&dispatch, || {
        wait_for("the queue to have room", || {
            let before = trouble.list();
            tracing::info!("the disk is back");
            std::thread::sleep(Duration::from_millis(20));
            (before == trouble.list()).then_some(())
        });
    });
    drop((dispatch, guard));
    let text = reader.join().unwrap();
    let missing = text.lines().filter_map(|line| line.split_once(" lines are missing"));
    let missing =
        missing.map(|(line, _)| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap());
    let written = text.lines().filter(|line| line.contains(" - a line")).count();
    assert!(text.contains("the disk is back"), "{text}");
    let lost = lines - written;
    assert!(missing.sum::<usize>() >= lost && lost >= 400, "{lost} of {lines}");
}

#[test]
fn a_folder_that_cannot_be_made_is_said_once_and_shown_until_it_can() {
    static SAID: AtomicUsize = AtomicUsize::new(0);
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(&logs, "no folder").unwrap();
    let (layer, guard) = LogFiles::new(&logs, KEEPING, |text| {
        assert!(
            text.starts_with("cannot write the log file ") && text.contains("logs/server.log"),
            "{text}"
        );
        SAID.fetch_add(1, Ordering::Relaxed);
    });
    let trouble = layer.trouble();
    let dispatch = tracing::Dispatch::new(subscriber(layer));
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::info!("one");
        tracing::info!("two");
    });
    let told = wait_for("the refusal", || {
        Some(trouble.list()).filter(|told| told.iter().any(|text| text.contains("2 lines")))
    });
    assert!(told[0].contains("logs/server.log cannot be written: "), "{told:?}");
    assert!(!told[0].contains("failed to create"), "the reason itself: {told:?}");
    assert_eq!(SAID.load(Ordering::Relaxed), 1);
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::remove_file(&logs).unwrap();
    tracing::dispatcher::with_default(&dispatch, || tracing::info!("three"));
    drop((dispatch, guard));
    let text = read(logs.join("server.log"));
    assert!(text.contains("2 lines are missing"), "{text}");
    assert!(text.ends_with("- three\n"), "{text}");
    assert_eq!(trouble.list().len(), 1, "what is missing stays told");
}
