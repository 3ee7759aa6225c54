//! How fast a backlog drains: from a MySQL server's binlog to the durable log, by the real binary.
//!
//! `cargo bench --bench backlog` fetches and starts a MySQL server, fills its binlog with
//! - one million rows as sysbench makes them (about 190 bytes a row in the binlog),
//! - 200,000 transactions of one such row,
//! - 200,000 rows of 26 columns of mixed types, and
//! - 100,000 transactions of one row, over 1,000 tables in turn,
//!
//! each behind the position where `sluice` was stopped before, and measures from its next
//! start until `/health` says that all rows are durable. The single-row transactions are then
//! drained once more by an instance that starts for the first time, at a position before them:
//! with MINIMAL metadata it has to look through the binlog first. Beside each it prints how long
//! merely receiving the same events takes (our replica connection, which throws them away) and how
//! long merely writing and syncing as many bytes as the log then holds takes, and the time of
//! draining as a multiple of both, so that a rate can be told from the machine it was measured
//! on. The targets are for two cores that nobody else uses, with less than 128 MB resident.
//!
//! `SLUICE_BENCH_AGAINST=path` drains each backlog by that other binary too, in turn with ours,
//! five times each (`SLUICE_BENCH_RUNS`), and prints the medians of both side by side: the time
//! of the other divided by ours (the median of the pairs), processor time and memory. So a ratio
//! can be told on a machine that others use too.
//!
//! `SLUICE_BENCH_ROWS`, `SLUICE_BENCH_TRANSACTIONS`, `SLUICE_BENCH_MIXED` (rows of 26 columns),
//! `SLUICE_BENCH_SPREAD` (rows over many tables) and `SLUICE_BENCH_TABLES` change the sizes.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark prints, reads the environment, writes files of its own, and may panic"
)]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/harness/mod.rs"]
mod harness;
mod loads;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::asked::number_or;
use harness::{Server, Sluice};
use loads::{
    Drained, Load, Place, drain, middle, place, prepare, prepare_mixed, prepare_spread, report,
};
use sluice::mysql::Endpoint;
use sluice::mysql::replica::{DumpFrom, Incoming, Replica, ReplicaSettings};
use sqlx::MySqlConnection;

fn main() {
    let rows = number_or("SLUICE_BENCH_ROWS", 1_000_000);
    let transactions = number_or("SLUICE_BENCH_TRANSACTIONS", 200_000);
    let mixed = number_or("SLUICE_BENCH_MIXED", 200_000);
    let spread = number_or("SLUICE_BENCH_SPREAD", 100_000);
    let tables = number_or("SLUICE_BENCH_TABLES", 1_000);
    let against = std::env::var_os("SLUICE_BENCH_AGAINST").map(PathBuf::from);
    let runs = number_or("SLUICE_BENCH_RUNS", if against.is_some() { 5 } else { 1 });
    let loads = [
        Load::bulk(rows, 300_000),
        Load::mixed(mixed, 100_000),
        Load::spread(spread, tables, 40_000),
        Load::singles(transactions, 60_000),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Some(server) = loads::server() else { return };
    runtime.block_on(async {
        let mut source = server.database("bench").await;
        prepare(&mut source).await;
        prepare_mixed(&mut source).await;
        prepare_spread(&mut source, tables).await;
        let mut begin = None;
        for load in &loads {
            begin = Some(measure(&server, &mut source, load, runs, against.as_deref()).await);
        }
        // Behind the last load, the single-row transactions.
        if let Some(begin) = begin {
            let bytes = place(&mut source).await.offset - begin.offset;
            first_start(&server, &begin, bytes, transactions);
        }
    });
}

/// Fills a backlog, drains it by each binary in turn, and prints what that took. Where the
/// backlog begins.
async fn measure(
    server: &Server,
    source: &mut MySqlConnection,
    load: &Load,
    runs: u64,
    against: Option<&Path>,
) -> Place {
    let Load { what, rows, target, .. } = load;
    let rows = *rows;
    println!("\n{rows} {what}, to drain at {target} a second: filling");
    // Ours first in one pair and last in the next, so that neither has the warmer caches.
    let mut homes = Vec::new();
    for pair in 0..runs {
        let mut of_pair = vec![(true, started(server, None))];
        if let Some(binary) = against {
            of_pair.push((false, started(server, Some(binary))));
        }
        if pair % 2 == 1 {
            of_pair.reverse();
        }
        homes.append(&mut of_pair);
    }
    let (begin, bytes) = loads::fill(source, load).await;
    let end = begin.offset + bytes;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (is_ours, mut sluice) in homes {
        let drained = drain(&mut sluice, rows);
        if is_ours { &mut ours } else { &mut theirs }.push(drained);
    }
    let ratios: Vec<f64> = ours
        .iter()
        .zip(&theirs)
        .map(|(our, their)| their.took.div_duration_f64(our.took))
        .collect();
    let drained = Drained::median(&ours);
    drained.report("drained", rows, bytes);
    if let Some(ratio) = middle(ratios) {
        let other = Drained::median(&theirs);
        other.report("other", rows, bytes);
        println!(
            "            {ratio:.2} times the rate of the other, {:.2} times its CPU, {:.2} times its memory",
            drained.cpu.div_duration_f64(other.cpu),
            quotient(drained.memory, other.memory),
        );
    }
    let received = receive(server, &begin, end).await;
    report("received", rows, bytes, received);
    let written = write(drained.log);
    report("written", rows, drained.log, written);
    println!(
        "            drained in {:.1} times as long as received, {:.1} times as long as written",
        drained.took.div_duration_f64(received),
        drained.took.div_duration_f64(written),
    );
    begin
}

/// A home whose instance has begun here, and stopped.
fn started(server: &Server, binary: Option<&Path>) -> Sluice {
    let filter = [("canal.instance.filter.regex", r"bench\..*")];
    let mut sluice = Sluice::with_instance("bench", server, &filter);
    if let Some(binary) = binary {
        sluice.binary = binary.to_path_buf();
    }
    sluice.start();
    sluice.stop();
    sluice
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn quotient(one: u64, other: u64) -> f64 {
    one as f64 / other as f64
}

/// Drains a backlog by an instance that has never run.
fn first_start(server: &Server, begin: &Place, bytes: u64, rows: u64) {
    println!("\nthe same, by an instance that starts for the first time");
    let offset = begin.offset.to_string();
    let settings = [
        ("canal.instance.filter.regex", r"bench\..*"),
        ("canal.instance.master.journal.name", &begin.file),
        ("canal.instance.master.position", &offset),
    ];
    let drained = drain(&mut Sluice::with_instance("first", server, &settings), rows);
    drained.report("drained", rows, bytes);
}

/// Receives the same events and throws them away.
async fn receive(server: &Server, begin: &Place, end: u64) -> Duration {
    let endpoint = Endpoint::new(&server.host, server.port, "canal", "canal");
    let settings = ReplicaSettings {
        server_id: 4711,
        uuid: "5f8c8a5e-0000-4000-8000-00000000bec4".to_owned(),
        heartbeat: Duration::from_secs(5),
        read_timeout: Duration::from_secs(30),
        first_event_timeout: Duration::from_mins(1),
    };
    let replica = Replica::connect(&endpoint, settings).await.unwrap();
    let from = DumpFrom::File { file: begin.file.as_str().into(), offset: begin.offset };
    let begun = Instant::now();
    let mut dump = replica.dump(&from).await.unwrap();
    let mut at = begin.offset;
    while at < end {
        if let Incoming::Event(event) = dump.next().await.unwrap() {
            // The header's last field but one: where the next event begins (0 in artificial ones).
            let next = u32::from_le_bytes(event[13..17].try_into().unwrap());
            at = at.max(u64::from(next));
        }
    }
    begun.elapsed()
}

/// Writes as many bytes as the log holds, 4 MiB a sync.
fn write(bytes: u64) -> Duration {
    let chunk = vec![0x5a; 4 << 20];
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-written");
    let mut file = std::fs::File::create(&path).unwrap();
    let begun = Instant::now();
    let mut left = bytes;
    while left > 0 {
        let now = left.min(chunk.len() as u64);
        file.write_all(&chunk[..usize::try_from(now).unwrap()]).unwrap();
        file.sync_data().unwrap();
        left -= now;
    }
    let took = begun.elapsed();
    std::fs::remove_file(&path).unwrap();
    took
}
