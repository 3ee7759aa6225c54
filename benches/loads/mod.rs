//! What the benchmarks of backlogs share: the tables and how they are filled, and how long a running
//! `sluice` takes until all rows are durable.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::{MySqlConnection, Row};

use crate::harness::servers::{private_mysql, run};
use crate::harness::{Server, Sluice, wait_for};

/// A place in the binlog.
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) offset: u64,
}

/// A kind of backlog.
pub(crate) struct Load {
    pub(crate) what: &'static str,
    /// The statement that makes it.
    pub(crate) fill: String,
    pub(crate) rows: u64,
    /// Rows a second.
    pub(crate) target: u64,
}

impl Load {
    /// Rows of statements that insert ten thousand each. Of [`prepare`].
    pub(crate) fn bulk(rows: u64, target: u64) -> Self {
        Self { what: "rows of a bulk load", fill: format!("CALL bulk({rows})"), rows, target }
    }

    /// Transactions of one row each. Of [`prepare`].
    pub(crate) fn singles(rows: u64, target: u64) -> Self {
        Self {
            what: "single-row transactions",
            fill: format!("CALL singles({rows})"),
            rows,
            target,
        }
    }

    /// Of [`prepare_mixed`].
    pub(crate) fn mixed(rows: u64, target: u64) -> Self {
        Self { what: "rows of 26 mixed columns", fill: format!("CALL mixed({rows})"), rows, target }
    }

    /// Transactions of one row each. Of [`prepare_spread`].
    pub(crate) fn spread(rows: u64, tables: u64, target: u64) -> Self {
        let what = "single-row transactions over many tables";
        Self { what, fill: format!("CALL spread({rows}, {tables})"), rows, target }
    }
}

/// A server whose binlog holds a backlog in one file; `None`, said aloud, if the caller chose to
/// go without.
pub(crate) fn server() -> Option<Server> {
    private_mysql(&["--max-binlog-size=1G", "--innodb-buffer-pool-size=512M"])
}

/// Fills a backlog. Where it begins, and its bytes.
pub(crate) async fn fill(source: &mut MySqlConnection, load: &Load) -> (Place, u64) {
    let begin = place(source).await;
    run(source, &load.fill).await;
    let end = place(source).await;
    assert_eq!(begin.file, end.file, "the backlog lies in one binlog file");
    let bytes = end.offset - begin.offset;
    println!("  backlog   {} MB of binlog, {} bytes a row", bytes >> 20, bytes / load.rows);
    (begin, bytes)
}

/// The table as sysbench's oltp tests make it, and procedures that fill it.
pub(crate) async fn prepare(source: &mut MySqlConnection) {
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
pub(crate) async fn prepare_mixed(source: &mut MySqlConnection) {
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
pub(crate) async fn prepare_spread(source: &mut MySqlConnection, tables: u64) {
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

pub(crate) async fn place(source: &mut MySqlConnection) -> Place {
    let row = sqlx::query("SHOW BINARY LOG STATUS").fetch_one(source).await.unwrap();
    Place { file: row.get(0), offset: row.get(1) }
}

/// The one in the middle, the larger of two.
pub(crate) fn middle<T: PartialOrd + Copy>(mut all: Vec<T>) -> Option<T> {
    all.sort_by(|one, other| one.partial_cmp(other).unwrap());
    all.get(all.len() / 2).copied()
}

pub(crate) fn report(verb: &str, rows: u64, bytes: u64, took: Duration) {
    let seconds = took.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let (rows, bytes) = (rows as f64, bytes as f64);
    println!(
        "  {verb:9} {seconds:6.2} s  {:9.0} rows/s  {:6.1} MB/s",
        rows / seconds,
        bytes / seconds / 1e6
    );
}

/// What draining a backlog took.
pub(crate) struct Drained {
    pub(crate) took: Duration,
    ready: Duration,
    pub(crate) cpu: Duration,
    /// The largest resident set, in bytes.
    pub(crate) memory: u64,
    /// The bytes of our log: none where a cluster is written to.
    pub(crate) log: u64,
}

impl Drained {
    /// The median of each figure.
    pub(crate) fn median(all: &[Self]) -> Self {
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

    pub(crate) fn report(&self, verb: &str, rows: u64, bytes: u64) {
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
pub(crate) fn drain(sluice: &mut Sluice, rows: u64) -> Drained {
    let begun = Instant::now();
    sluice.launch();
    let mut ready = None;
    let took = wait_for("the backlog to drain", Duration::from_mins(10), || {
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

/// The bytes of all files in it: none, if it is not there.
fn folder_size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| {
        let path = entry.path();
        if path.is_dir() { folder_size(&path) } else { entry.metadata().unwrap().len() }
    });
    sizes.sum()
}
