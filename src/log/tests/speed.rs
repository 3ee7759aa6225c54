//! How fast the log is on a real disk. Run by hand, optimised:
//! `SLUICE_SPEED_DIR=/some/dir cargo test --release --lib log::tests::speed -- --ignored --nocapture`.
//! The files stay, for Kafka's `DumpLogSegments` to judge.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::disk::Real;
use crate::log::{Log, LogSettings, Receipt, StateKind, StateWrite};
use crate::record::{Batch, BatchBuilder};
use crate::shutdown::Tasks;

fn rows(count: usize) -> Batch {
    let mut builder = BatchBuilder::with_capacity(count * 300);
    for n in 0..count {
        let value = format!("{{\"id\":{n},\"pad\":\"{}\"}}", "x".repeat(230));
        builder.push(None, Some(value.as_bytes()), &[("tx", b"1")]);
    }
    builder.finish()
}

#[expect(clippy::cast_precision_loss, reason = "rates are printed rounded")]
/// Commits `commits` transactions with `parts` batches of `count` rows over `topics`.
async fn load(log: &Log, name: &str, commits: usize, parts: usize, count: usize, topics: usize) {
    let mut writer = log.writer(name, "sluice");
    writer.open().await.unwrap();
    let names: Vec<Arc<str>> = (0..topics).map(|n| Arc::from(format!("{name}.{n}"))).collect();
    let batch = rows(count);
    let position = Bytes::from("p".repeat(200));
    let mut flying: std::collections::VecDeque<Receipt> = std::collections::VecDeque::new();
    let start = Instant::now();
    for n in 0..commits {
        for part in 0..parts {
            writer.append(&names[(n + part) % topics], 1, 0, batch.clone()).await.unwrap();
        }
        flying.push_back(writer.commit(position.clone(), Vec::new()).await.unwrap());
        if flying.len() > 2000 {
            flying.pop_front().unwrap().await.unwrap();
        }
    }
    for receipt in flying {
        receipt.await.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    let rows = (commits * parts * count) as f64 / seconds;
    let bytes = (commits * parts * batch.len()) as f64 / seconds / 1e6;
    let commits = commits as f64 / seconds;
    let line = format!("{name}: {rows:.0} rows/s, {commits:.0} commits/s, {bytes:.1} MB/s\n");
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "where to write is asked of the caller")]
async fn rows_and_transactions_a_second() {
    let dir = std::env::var("SLUICE_SPEED_DIR").unwrap();
    let tasks = Tasks::new();
    let disk = Arc::new(Real::new(&dir).unwrap());
    let settings = LogSettings { segment_bytes: 64 << 20, ..LogSettings::default() };
    let log = Log::open(disk.clone(), settings.clone(), &tasks).await.unwrap();
    load(&log, "bulk", 400, 1, 4000, 1).await;
    load(&log, "wide", 2000, 10, 100, 100).await;
    load(&log, "single", 100_000, 1, 1, 10).await;
    load(&log, "staged", 4, 20, 4000, 2).await;
    let mut writer = log.writer("bulk", "sluice");
    writer.open().await.unwrap();
    let state = StateWrite {
        kind: StateKind::Schema,
        key: Bytes::from_static(b"k"),
        value: Some(Bytes::from_static(b"v")),
    };
    writer.commit(Bytes::from_static(b"p"), vec![state]).await.unwrap().await.unwrap();
    drop(writer);
    log.close().await;
    tasks.join().await;
    let start = Instant::now();
    let tasks = Tasks::new();
    let log = Log::open(disk, settings, &tasks).await.unwrap();
    let line = format!("opened after {} ms\n", start.elapsed().as_millis());
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "where to write is asked of the caller")]
async fn opening_a_thousand_partitions() {
    let dir = std::env::var("SLUICE_SPEED_DIR").unwrap() + "/thousand";
    let disk = Arc::new(Real::new(&dir).unwrap());
    let settings = LogSettings::default();
    let tasks = Tasks::new();
    let log = Log::open(disk.clone(), settings.clone(), &tasks).await.unwrap();
    load(&log, "thousand", 20_000, 5, 10, 1000).await;
    log.close().await;
    tasks.join().await;
    for round in 0..2 {
        let start = Instant::now();
        let tasks = Tasks::new();
        let log = Log::open(disk.clone(), settings.clone(), &tasks).await.unwrap();
        let line = format!("opened after a clean stop in {} ms\n", start.elapsed().as_millis());
        std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
        if round == 0 {
            load(&log, "thousand", 20_000, 5, 10, 1000).await;
            // As a kill leaves it: a copy of the files as they are now.
            let copied =
                std::process::Command::new("cp").args(["-r", &dir, &(dir.clone() + "2")]).status();
            assert!(copied.unwrap().success());
        }
        log.close().await;
        tasks.join().await;
    }
    let start = Instant::now();
    let disk = Arc::new(Real::new(dir + "2").unwrap());
    let log = Log::open(disk, settings, &Tasks::new()).await.unwrap();
    let line = format!("opened after a kill in {} ms\n", start.elapsed().as_millis());
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    log.close().await;
}
