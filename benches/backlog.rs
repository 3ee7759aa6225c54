//! How fast a backlog drains: from a MySQL server's binlog to the durable log, by the real binary.
//!
//! `cargo bench --bench backlog` fetches and starts a MySQL server, fills its binlog with
//! - one million rows as sysbench makes them (about 190 bytes a row in the binlog), and
//! - 200,000 transactions of one such row,
//!
//! each behind the position where `sluice` was stopped before, and measures from its next
//! start until `/health` says that all rows are durable. The transactions are then drained once
//! more by an instance that starts for the first time, at a position before them: with MINIMAL
//! metadata it has to look through the binlog first. Beside each it prints how long merely
//! receiving the same events takes (our replica connection, which throws them away) and how
//! long merely writing and syncing as many bytes as the log then holds takes, and the time of
//! draining as a multiple of both, so that a rate can be told from the machine it was measured
//! on. The targets are for two cores that nobody else uses, with less than 128 MB resident.
//! `SLUICE_BENCH_ROWS` and `SLUICE_BENCH_TRANSACTIONS` change the sizes.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark prints, reads the environment, writes files of its own, and may panic"
)]

#[expect(dead_code, unused_imports, reason = "the tests use the rest")]
#[path = "../tests/it/harness/mod.rs"]
mod harness;

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::servers::{private_mysql, run};
use harness::{Server, Sluice};
use sluice::mysql::Endpoint;
use sluice::mysql::replica::{DumpFrom, Incoming, Replica, ReplicaSettings};
use sqlx::{MySqlConnection, Row};

/// A place in the binlog.
struct Place {
    file: String,
    offset: u64,
}

fn main() {
    let size = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |value| value.parse().unwrap())
    };
    let rows = size("SLUICE_BENCH_ROWS", 1_000_000);
    let transactions = size("SLUICE_BENCH_TRANSACTIONS", 200_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = ["--max-binlog-size=1G", "--innodb-buffer-pool-size=512M"];
    let Some(server) = private_mysql(&options) else { return };
    runtime.block_on(async {
        let mut source = server.database("bench").await;
        prepare(&mut source).await;
        let bulk = format!("CALL bulk({rows})");
        measure(&server, &mut source, "rows of a bulk load", &bulk, rows, 300_000).await;
        let single = format!("CALL singles({transactions})");
        let begin =
            measure(&server, &mut source, "single-row transactions", &single, transactions, 60_000)
                .await;
        let bytes = place(&mut source).await.offset - begin.offset;
        first_start(&server, &begin, bytes, transactions);
    });
}

/// The table as sysbench's oltp tests make it, and procedures that fill it.
async fn prepare(source: &mut MySqlConnection) {
    run(
        source,
        "CREATE TABLE sbtest (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL DEFAULT 0, \
         c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '')",
    )
    .await;
    let row = "FLOOR(RAND() * 1000000), \
        SUBSTRING(CONCAT_WS('-', RAND(), RAND(), RAND(), RAND(), RAND(), RAND(), RAND(), '0000'), 1, 119), \
        SUBSTRING(CONCAT_WS('-', RAND(), RAND(), RAND(), '000000'), 1, 59)";
    run(
        source,
        &format!(
            "CREATE PROCEDURE bulk (IN n INT) BEGIN \
               SET SESSION cte_max_recursion_depth = 100000; \
               WHILE n > 0 DO \
                 INSERT INTO sbtest (k, c, pad) WITH RECURSIVE s (i) AS \
                   (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < LEAST(n, 10000)) SELECT {row} FROM s; \
                 SET n = n - 10000; \
               END WHILE; \
             END"
        ),
    )
    .await;
    run(
        source,
        &format!(
            "CREATE PROCEDURE singles (IN n INT) BEGIN \
               WHILE n > 0 DO INSERT INTO sbtest (k, c, pad) SELECT {row}; SET n = n - 1; END WHILE; \
             END"
        ),
    )
    .await;
}

async fn place(source: &mut MySqlConnection) -> Place {
    let row = sqlx::query("SHOW BINARY LOG STATUS").fetch_one(source).await.unwrap();
    Place { file: row.get(0), offset: row.get(1) }
}

/// Fills a backlog by `fill`, drains it, and prints what that took; `target` is in rows a second.
/// Where the backlog begins.
async fn measure(
    server: &Server,
    source: &mut MySqlConnection,
    what: &str,
    fill: &str,
    rows: u64,
    target: u64,
) -> Place {
    println!("\n{rows} {what}, to drain at {target} a second: filling");
    let mut sluice =
        Sluice::with_instance("bench", server, &[("canal.instance.filter.regex", r"bench\..*")]);
    sluice.start();
    sluice.stop();
    let begin = place(source).await;
    run(source, fill).await;
    let end = place(source).await;
    assert_eq!(begin.file, end.file, "the backlog lies in one binlog file");
    let bytes = end.offset - begin.offset;
    println!("  backlog   {} MB of binlog, {} bytes a row", bytes >> 20, bytes / rows);

    let drained = drain(&mut sluice, rows);
    drained.report(rows, bytes);
    let received = receive(server, &begin, &end).await;
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
    drained.report(rows, bytes);
}

fn report(verb: &str, rows: u64, bytes: u64, took: Duration) {
    let seconds = took.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let (rows, bytes) = (rows as f64, bytes as f64);
    println!(
        "  {verb:9} {seconds:6.2} s  {:9.0} rows/s  {:6.1} MB/s",
        rows / seconds,
        bytes / seconds / 1e6
    );
}

struct Drained {
    took: Duration,
    ready: Duration,
    cpu: Duration,
    memory: u64,
    log: u64,
}

impl Drained {
    fn report(&self, rows: u64, bytes: u64) {
        report("drained", rows, bytes, self.took);
        println!(
            "            {:.1} s of CPU, {} MB resident at most, ready after {:.2?}, {} MB in the log",
            self.cpu.as_secs_f64(),
            self.memory >> 20,
            self.ready,
            self.log >> 20,
        );
    }
}

/// From the start of the process until all rows are durable.
fn drain(sluice: &mut Sluice, rows: u64) -> Drained {
    let begun = Instant::now();
    sluice.launch();
    let mut ready = None;
    let took = harness::wait_for("the backlog to drain", Duration::from_mins(10), || {
        let (status, body) = sluice.health()?;
        if status == 200 {
            ready.get_or_insert(begun.elapsed());
        }
        let health: serde_json::Value = serde_json::from_str(&body).ok()?;
        let durable = health["instances"][0]["progress"]["rows"].as_u64()?;
        (durable >= rows).then(|| begun.elapsed())
    });
    let drained = Drained {
        took,
        ready: ready.unwrap_or_default(),
        cpu: sluice.cpu_time(),
        memory: sluice.peak_memory(),
        log: folder_size(&sluice.folder("data")),
    };
    sluice.stop();
    drained
}

/// Receives the same events and throws them away.
async fn receive(server: &Server, begin: &Place, end: &Place) -> Duration {
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
    while at < end.offset {
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

fn folder_size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let sizes = entries.map(|entry| {
        let path = entry.path();
        if path.is_dir() { folder_size(&path) } else { entry.metadata().unwrap().len() }
    });
    sizes.sum()
}
