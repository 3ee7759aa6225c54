//! `sluice log backup`: a copy of the log of a process that goes on, opened by another one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::harness::servers::{mysql, run};
use crate::harness::{PATIENCE, Record, Sluice, topics, wait_for};

/// Produces numbers until told to stop; `acknowledged` says how many came back well.
fn produce(bootstrap: &str, stop: &AtomicBool, acknowledged: &AtomicU64) {
    let mut settings = topics::settings(bootstrap);
    let producer: BaseProducer = settings.set("enable.idempotence", "true").create().unwrap();
    let mut sent = 0;
    while !stop.load(Ordering::Acquire) {
        for _ in 0..20 {
            sent += 1;
            let value = format!("{sent} {}", "x".repeat(500));
            producer.send(BaseRecord::<(), _>::to("produced").payload(&value)).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        acknowledged.store(sent, Ordering::Release);
    }
}

/// How many numbered records there are, from 1 on and without a gap.
fn count(records: &[Record], number: impl Fn(&Record) -> u64) -> u64 {
    let numbers: Vec<u64> = records.iter().map(number).collect();
    let count = u64::try_from(numbers.len()).unwrap();
    assert!(numbers.iter().copied().eq(1..=count), "a gap or a repeat among {count}");
    count
}

fn produced(record: &Record) -> u64 {
    record.value.split(' ').next().unwrap().parse().unwrap()
}

fn row(record: &Record) -> u64 {
    record.json()["data"][0]["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_log_that_is_written_opens_with_all_that_was_acknowledged_before() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("log_backup").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, filler VARCHAR(200))").await;
    let only = [("canal.instance.filter.regex", r"log_backup\..*")];
    let mut sluice = Sluice::with_instance("example", mysql, &only);
    sluice.broker("num.partitions", "1");
    sluice.broker("log.flush.offset.checkpoint.interval.ms", "100");
    sluice.start();
    let bootstrap = sluice.bootstrap();

    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let copies = std::thread::scope(|scope| {
        scope.spawn(|| produce(&bootstrap, &stop, &acknowledged));
        scope.spawn(|| {
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                for id in 1.. {
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    let insert = format!("INSERT INTO t VALUES ({id}, REPEAT('r', 100))");
                    run(&mut source, &insert).await;
                }
            });
        });
        let mut copies = Vec::new();
        for name in ["first", "second"] {
            wait_for("records of both", PATIENCE, || {
                let rows = topics::list(&bootstrap).contains_key("log_backup.t");
                (rows && acknowledged.load(Ordering::Acquire) > 200).then_some(())
            });
            let rows = count(&topics::read(&bootstrap, "log_backup.t"), row);
            let before = acknowledged.load(Ordering::Acquire);
            let dir = sluice.folder(name).display().to_string();
            let ended = sluice.command(&["log", "backup", &dir]);
            assert_eq!(ended.code, Some(0), "{}", ended.said);
            assert!(ended.said.contains(&format!("log.dirs={dir}")), "{}", ended.said);
            copies.push((dir, before, rows));
        }
        stop.store(true, Ordering::Release);
        copies
    });

    for (dir, before, rows) in &copies {
        // Two of them would be one log.
        let ended = sluice.command(&["log", "backup", dir]);
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        assert!(ended.said.contains("not empty"), "{}", ended.said);
        let mut other = Sluice::new();
        other.broker("log.dirs", dir);
        other.start();
        let found = count(&topics::read(&other.bootstrap(), "produced"), produced);
        assert!(found >= *before, "{found} of {before} that were acknowledged");
        let found = count(&topics::read(&other.bootstrap(), "log_backup.t"), row);
        assert!(found >= *rows && *rows > 0, "{found} of {rows} rows");
        other.stop();
    }
    let inside = sluice.folder("data").join("copy").display().to_string();
    let ended = sluice.command(&["log", "backup", &inside]);
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("within the log itself"), "{}", ended.said);
    sluice.stop();
    let ended = sluice.command(&["log", "backup", &inside]);
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("sluice does not run"), "{}", ended.said);
}
