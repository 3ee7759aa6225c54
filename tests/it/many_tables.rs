//! Many tables: the first start and a restart over them, in little memory, with progress reported.
//!
//! `SLUICE_TABLES=100000` is the long form: so many tables on MySQL 9.7 and MariaDB 10.11, a tenth
//! of them on MySQL 5.6 and the newest MariaDB, each start below 128 MB. The ordinary run makes
//! few, and looks at what each of them adds: what holds a whole definition for each would show.

use std::time::{Duration, Instant};

use sqlx::Row as _;

use crate::harness::servers::{
    private_mariadb, private_mysql, private_mysql_56, private_newest_mariadb, run,
};
use crate::harness::{Server, Sluice, asked, say, topics, wait_for};

/// Tables of a run that asks for no number.
const FEW: usize = 1500;
/// Connections that make them.
const MAKERS: usize = 3;
const MOST_MEMORY: u64 = 128 << 20;
/// What a table of ten columns may add to the memory of a start: it is packed into 350 bytes.
const MOST_A_TABLE: u64 = 1500;
/// What the memory of two equal starts differs by.
const NOISE: u64 = 4 << 20;
const LONG: Duration = Duration::from_mins(20);

const ECONOMIES: &[&str] = &[
    "--innodb-file-per-table=OFF",
    "--skip-innodb-doublewrite",
    "--innodb-flush-log-at-trx-commit=0",
    "--sync-binlog=0",
];

#[tokio::test]
async fn a_start_over_many_tables_takes_little_memory_on_mysql() {
    start_and_restart(private_mysql(ECONOMIES), 1).await;
}

#[tokio::test]
async fn a_start_over_many_tables_takes_little_memory_on_mariadb() {
    start_and_restart(private_mariadb(ECONOMIES), 1).await;
}

/// The long form only: what they would show otherwise the others do.
#[tokio::test]
async fn a_start_over_many_tables_takes_little_memory_on_other_releases() {
    if !asked::is_set("SLUICE_TABLES") {
        return say("NOT RUN: other releases are for the long form, SLUICE_TABLES");
    }
    start_and_restart(private_mysql_56(ECONOMIES), 10).await;
    start_and_restart(private_newest_mariadb(ECONOMIES), 10).await;
}

async fn start_and_restart(server: Option<Server>, share: usize) {
    let Some(server) = server else { return };
    let count = asked::number_or("SLUICE_TABLES", FEW) / share;
    let begun = Instant::now();
    make(&server, count).await;
    say(&format!("{count} tables made in {:?}", begun.elapsed()));
    // What a start takes without them.
    let nothing = ("canal.instance.filter.regex", r"nothing\..*");
    let mut sluice = Sluice::with_instance("few", &server, &[nothing]);
    sluice.start();
    let alone = sluice.peak_memory();
    sluice.stop();

    let mut sluice = Sluice::with_instance("many", &server, &[]);
    let first = start(&mut sluice, &server, "first start").await;
    let reported = &first.reported;
    assert!(
        reported.len() > 1 && reported.is_sorted(),
        "progress in /health bit by bit: {reported:?}"
    );
    assert!(reported.iter().all(|(read, of)| read <= of && *of == count), "{reported:?}");
    sluice.stop();
    let again = start(&mut sluice, &server, "restart").await;
    assert_eq!(again.reported, [], "nothing is read again");
    assert!(sluice.said().contains(&format!("schema history restored tables={count}")));
    for started in [first, again] {
        let bound = alone + count as u64 * MOST_A_TABLE + NOISE;
        let memory = started.memory;
        assert!(memory < bound.min(MOST_MEMORY), "{memory} bytes, {alone} without the tables");
    }
    rows_are_named(&sluice, &server, count).await;
    sluice.stop();
}

/// Makes the tables, each with columns of its own names.
async fn make(server: &Server, count: usize) {
    let mut admin = server.database("many").await;
    run(&mut admin, PROCEDURE).await;
    let makers = (0..MAKERS).map(|maker| {
        let connector = server.connector();
        async move {
            let mut connection = connector.connect().await.unwrap();
            let (first, last) = (count * maker / MAKERS, count * (maker + 1) / MAKERS);
            run(&mut connection, &format!("CALL many.make({first}, {last})")).await;
        }
    });
    futures_util::future::join_all(makers).await;
    run(&mut admin, "DROP PROCEDURE many.make").await;
}

const PROCEDURE: &str = "CREATE PROCEDURE many.make(first INT, last INT) BEGIN
    DECLARE n INT DEFAULT first;
    SET SESSION sql_log_bin = 0;
    WHILE n < last DO
        SET @made = CONCAT('CREATE TABLE many.customer_orders_', n, ' (
            id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, customer_name VARCHAR(64),
            email VARCHAR(255), amount DECIMAL(12,2), state ENUM(''new'',''paid'',''sent''),
            created_at TIMESTAMP NULL, updated_at DATETIME, note TEXT, flags INT UNSIGNED,
            ratio_', n, ' DOUBLE)');
        PREPARE made FROM @made;
        EXECUTE made;
        SET n = n + 1;
    END WHILE;
END";

/// What a start took.
struct Started {
    memory: u64,
    /// Tables read, of all, as `/health` showed them.
    reported: Vec<(usize, usize)>,
}

async fn start(sluice: &mut Sluice, server: &Server, what: &str) -> Started {
    let mut admin = server.connect().await;
    let connections = connections(&mut admin).await;
    let (begun, mut reported) = (Instant::now(), Vec::new());
    sluice.launch();
    wait_for("sluice to have read all tables", LONG, || {
        let (code, health) = sluice.health()?;
        assert!(!health.contains(r#""state":"stopped""#), "{health}");
        if let Some(read) = progress(&health)
            && reported.last() != Some(&read)
        {
            reported.push(read);
        }
        (code == 200).then_some(())
    });
    let (took, memory) = (begun.elapsed(), sluice.peak_memory());
    let made = self::connections(&mut admin).await - connections;
    say(&format!("{what}: {} MiB, {took:?}, {made} connections", memory >> 20));
    Started { memory, reported }
}

/// `"tables":{"read":n,"of":m}`.
fn progress(health: &str) -> Option<(usize, usize)> {
    let tables: serde_json::Value = serde_json::from_str(health).unwrap();
    let tables = &tables["instances"][0]["progress"]["tables"];
    let number = |name: &str| usize::try_from(tables[name].as_u64()?).ok();
    Some((number("read")?, number("of")?))
}

/// How many the server has seen in all.
async fn connections(admin: &mut sqlx::MySqlConnection) -> u64 {
    let row =
        sqlx::raw_sql("SHOW GLOBAL STATUS LIKE 'Connections'").fetch_one(admin).await.unwrap();
    row.get::<String, _>(1).parse().unwrap()
}

/// Rows of tables here and there have the names and types of their columns, which only the
/// definitions have.
async fn rows_are_named(sluice: &Sluice, server: &Server, count: usize) {
    let mut source = server.connect().await;
    for n in [0, count / 2, count - 1] {
        run(&mut source, &format!("INSERT INTO many.customer_orders_{n} (flags) VALUES ({n})"))
            .await;
    }
    for n in [0, count / 2, count - 1] {
        let topic = format!("many.customer_orders_{n}");
        let record = topics::read_at_least(&sluice.bootstrap(), &topic, 1).remove(0);
        let column = format!(r#""ratio_{n}":"double""#);
        assert!(record.value.contains(&column), "{column}: {}", record.value);
        assert!(record.value.contains(r#""id":"bigint"#), "{}", record.value);
    }
}
