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

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::asked::number_or;
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

/// A kind of backlog.
struct Load {
    what: &'static str,
    fill: String,
    rows: u64,
    /// Rows a second.
    target: u64,
}

fn main() {
    let rows = number_or("SLUICE_BENCH_ROWS", 1_000_000);
    let transactions = number_or("SLUICE_BENCH_TRANSACTIONS", 200_000);
    let mixed = number_or("SLUICE_BENCH_MIXED", 200_000);
    let spread = number_or("SLUICE_BENCH_SPREAD", 100_000);
    let tables = number_or("SLUICE_BENCH_TABLES", 1_000);
    let against = std::env::var_os("SLUICE_BENCH_AGAINST").map(PathBuf::from);
    let runs = number_or("SLUICE_BENCH_RUNS", if against.is_some() { 5 } else { 1 });
    let loads = [
        Load {
            what: "rows of a bulk load",
            fill: format!("CALL bulk({rows})"),
            rows,
            target: 300_000,
        },
        Load {
            what: "rows of 26 mixed columns",
            fill: format!("CALL mixed({mixed})"),
            rows: mixed,
            target: 100_000,
        },
        Load {
            what: "single-row transactions over many tables",
            fill: format!("CALL spread({spread}, {tables})"),
            rows: spread,
            target: 40_000,
        },
        Load {
            what: "single-row transactions",
            fill: format!("CALL singles({transactions})"),
            rows: transactions,
            target: 60_000,
        },
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = ["--max-binlog-size=1G", "--innodb-buffer-pool-size=512M"];
    let Some(server) = private_mysql(&options) else { return };
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

/// A table of 26 columns of mixed types, and a procedure that fills it.
async fn prepare_mixed(source: &mut MySqlConnection) {
    let columns = [
        ("a TINYINT", "FLOOR(RAND() * 100)"),
        ("b SMALLINT UNSIGNED", "FLOOR(RAND() * 60000)"),
        ("c MEDIUMINT", "FLOOR(RAND() * 100000)"),
        ("d INT", "FLOOR(RAND() * 1000000)"),
        ("e BIGINT UNSIGNED", "FLOOR(RAND() * 1e15)"),
        ("f FLOAT", "RAND()"),
        ("g DOUBLE", "RAND() * 1e9"),
        ("h DECIMAL(20,6)", "RAND() * 1e9"),
        ("i DECIMAL(5,2)", "RAND() * 100"),
        ("j DATE", "'2001-01-01' + INTERVAL FLOOR(RAND() * 5000) DAY"),
        ("k DATETIME", "'2001-01-01' + INTERVAL FLOOR(RAND() * 1e8) SECOND"),
        ("l DATETIME(6)", "'2001-01-01' + INTERVAL FLOOR(RAND() * 1e14) MICROSECOND"),
        ("m TIMESTAMP NULL", "FROM_UNIXTIME(1 + FLOOR(RAND() * 1e9))"),
        ("n TIMESTAMP(3) NULL", "FROM_UNIXTIME(1 + RAND() * 1e9)"),
        ("o TIME", "SEC_TO_TIME(FLOOR(RAND() * 86400))"),
        ("p YEAR", "2000 + FLOOR(RAND() * 20)"),
        ("q CHAR(10)", "LEFT(RAND(), 10)"),
        ("r VARCHAR(40)", "CONCAT('name ', RAND())"),
        ("s VARCHAR(200) CHARACTER SET latin1", "CONCAT('street ', RAND(), RAND())"),
        ("t TEXT", "REPEAT('lorem \"ipsum\" ', 1 + FLOOR(RAND() * 8))"),
        ("u BINARY(8)", "UNHEX(LPAD(HEX(FLOOR(RAND() * 1e9)), 16, '0'))"),
        ("v BLOB", "UNHEX(SHA2(RAND(), 256))"),
        ("w ENUM('new','open','done')", "1 + FLOOR(RAND() * 3)"),
        ("x SET('a','b','c','d')", "FLOOR(RAND() * 16)"),
        ("y JSON", "JSON_OBJECT('id', FLOOR(RAND() * 1e6), 'tags', JSON_ARRAY('x', RAND()))"),
    ];
    let definitions = columns.map(|(definition, _)| definition).join(", ");
    let names = columns.map(|(definition, _)| &definition[..1]).join(", ");
    let values = columns.map(|(_, value)| value).join(", ");
    run(source, &format!("CREATE TABLE mixed (id INT AUTO_INCREMENT PRIMARY KEY, {definitions})"))
        .await;
    run(
        source,
        &format!(
            "CREATE PROCEDURE mixed (IN n INT) BEGIN \
               SET SESSION cte_max_recursion_depth = 100000; \
               WHILE n > 0 DO \
                 INSERT INTO mixed ({names}) WITH RECURSIVE series (i) AS \
                   (SELECT 1 UNION ALL SELECT i + 1 FROM series WHERE i < LEAST(n, 10000)) \
                   SELECT {values} FROM series; \
                 SET n = n - 10000; \
               END WHILE; \
             END"
        ),
    )
    .await;
}

/// Many tables, and a procedure that fills them in turn.
async fn prepare_spread(source: &mut MySqlConnection, tables: u64) {
    for number in 0..tables {
        run(
            source,
            &format!("CREATE TABLE t{number} (id INT AUTO_INCREMENT PRIMARY KEY, a CHAR(20))"),
        )
        .await;
    }
    run(
        source,
        "CREATE PROCEDURE spread (IN n INT, IN tables INT) BEGIN \
           WHILE n > 0 DO \
             SET @sql = CONCAT('INSERT INTO t', n % tables, ' (a) VALUES (LEFT(RAND(), 20))'); \
             PREPARE s FROM @sql; EXECUTE s; DEALLOCATE PREPARE s; \
             SET n = n - 1; \
           END WHILE; \
         END",
    )
    .await;
}

async fn place(source: &mut MySqlConnection) -> Place {
    let row = sqlx::query("SHOW BINARY LOG STATUS").fetch_one(source).await.unwrap();
    Place { file: row.get(0), offset: row.get(1) }
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
    let Load { what, fill, rows, target } = load;
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
    let begin = place(source).await;
    run(source, fill).await;
    let end = place(source).await;
    assert_eq!(begin.file, end.file, "the backlog lies in one binlog file");
    let bytes = end.offset - begin.offset;
    println!("  backlog   {} MB of binlog, {} bytes a row", bytes >> 20, bytes / rows);

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

/// The one in the middle, the larger of two.
fn middle<T: PartialOrd + Copy>(mut all: Vec<T>) -> Option<T> {
    all.sort_by(|one, other| one.partial_cmp(other).unwrap());
    all.get(all.len() / 2).copied()
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
    /// The median of each figure.
    fn median(all: &[Self]) -> Self {
        fn of<T: PartialOrd + Copy>(all: &[Drained], figure: impl Fn(&Drained) -> T) -> T {
            middle(all.iter().map(figure).collect()).unwrap()
        }
        Self {
            took: of(all, |one| one.took),
            ready: of(all, |one| one.ready),
            cpu: of(all, |one| one.cpu),
            memory: of(all, |one| one.memory),
            log: of(all, |one| one.log),
        }
    }

    fn report(&self, verb: &str, rows: u64, bytes: u64) {
        report(verb, rows, bytes, self.took);
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
