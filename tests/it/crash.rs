//! Exactly once, whatever is killed.
//!
//! A load of random transactions over several tables, some of them large, and of changes of those
//! tables runs against a real server; meanwhile sluice is killed (-9) at random moments and
//! started again, or its connections are killed, or the server is, or the network between them
//! cuts, stalls, flips bits and delivers in tiny pieces. Afterwards every committed row
//! change is in its table's topic once and in order, every ALTER once and between the right rows,
//! and what the headers say of each transaction is whole. Two clients read all along: what they
//! saw is there now, and neither ever had a part of a transaction without the rest.
//!
//! The short form kills a few times; `SLUICE_CRASH_KILLS=20` is the long one. The seed is printed;
//! `SLUICE_CRASH_SEED` repeats the random choices (not the timing).

mod cluster;
pub(crate) mod failover;
mod fetcher;
mod heartbeat;
mod judgement;
mod load;
mod watcher;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::harness::proxy::{Events, Fault, Proxy};
use crate::harness::{self, PATIENCE, Random, Server, Sluice, asked, say, topics, wait_for};
use fetcher::Fetcher;
use load::Load;
use sqlx::Row as _;
use watcher::Watcher;

const DATABASE: &str = "crash";
const FILTER: (&str, &str) = ("canal.instance.filter.regex", r"crash\..*");

/// The position of sluice in the source's binlog.
#[derive(Clone, Copy)]
enum By {
    File,
    Gtid,
}

#[test]
fn killed_at_any_moment_it_publishes_each_change_once_and_in_order() {
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    under_load(&mysql, By::File, kill_or_stop);
}

#[test]
fn killed_and_going_on_by_gtid_it_publishes_each_change_once_and_in_order() {
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    under_load(&mysql, By::Gtid, kill_or_stop);
}

#[test]
fn on_mariadb_too_it_publishes_each_change_once_and_in_order() {
    let Some(mariadb) = harness::servers::private_mariadb(&[]) else { return };
    under_load(&mariadb, By::File, kill_or_stop);
}

#[test]
fn with_its_connections_killed_it_publishes_each_change_once_and_in_order() {
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    under_load(&mysql, By::File, |_, _| mysql.mysql_client("", KILL_CONNECTIONS));
}

#[test]
fn with_mysqld_killed_and_started_again_it_publishes_each_change_once_and_in_order() {
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    under_load(&mysql, By::File, |_, random| restart(&mysql, random));
}

#[test]
fn with_mariadbd_killed_and_started_again_it_publishes_each_change_once_and_in_order() {
    let Some(mariadb) = harness::servers::private_mariadb(&[]) else { return };
    under_load(&mariadb, By::Gtid, |_, random| {
        if random.below(2) > 0 {
            mariadb.mysql_client("", KILL_CONNECTIONS);
        } else {
            restart(&mariadb, random);
        }
    });
}

#[test]
fn over_a_network_of_all_faults_it_publishes_each_change_once_and_in_order() {
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    through_a_proxy(&mysql, By::File);
}

#[test]
fn over_a_network_of_all_faults_and_by_compressed_transactions_it_does_too() {
    let compressed = ["--binlog-transaction-compression=ON"];
    let Some(mysql) = harness::servers::private_mysql(&compressed) else { return };
    through_a_proxy(&mysql, By::Gtid);
}

#[test]
fn over_a_network_of_all_faults_it_does_so_of_mariadb_too() {
    let Some(mariadb) = harness::servers::private_mariadb(&[]) else { return };
    through_a_proxy(&mariadb, By::File);
}

/// Each kind of fault comes once before the first comes again.
fn through_a_proxy(server: &Server, by: By) {
    let proxy = Proxy::to(server);
    let address = proxy.address();
    let properties = [
        ("canal.instance.master.address", address.as_str()),
        ("canal.instance.master.sslMode", "DISABLED"),
    ];
    let mut kinds = 0..;
    let strike = |sluice: &mut Sluice, random: &mut Random| {
        strike_network((server, sluice, &proxy), random, kinds.next().unwrap());
    };
    under_load_by(server, by, &properties, NETWORK_FAULTS, strike);
}

/// What each connection of a server does, for a message about one that does not go on.
fn processlist(server: &Server) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rows = runtime.block_on(async {
        let mut connection = server.connect().await;
        sqlx::raw_sql("SHOW PROCESSLIST").fetch_all(&mut connection).await.unwrap()
    });
    let text = |row: &sqlx::mysql::MySqlRow, column| {
        row.try_get_unchecked::<Option<String>, _>(column).ok().flatten().unwrap_or_default()
    };
    let line = |row| {
        let columns = ["Id", "User", "Command", "Time", "State", "Info"];
        columns.map(|column| text(row, column)).join(" | ")
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// How many kinds [`strike_network`] knows.
const NETWORK_FAULTS: u64 = 7;

fn strike_network(
    (server, sluice, proxy): (&Server, &Sluice, &Proxy),
    random: &mut Random,
    kind: u64,
) {
    let happens = |fault| {
        proxy.set(fault);
        let begun = Instant::now();
        while proxy.fault() != Fault::None {
            assert!(
                begun.elapsed() < PATIENCE,
                "no event came through for {fault:?}\n{:?}\n{}",
                sluice.health(),
                processlist(server),
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let thousandths = random.place(1000);
    let bit = u8::try_from(random.below(8)).unwrap();
    let flip = Fault::Flip { of: Events::All, thousandths, bit };
    let lasts = Duration::from_millis(300 + random.below(1500));
    match kind % NETWORK_FAULTS {
        0 => happens(Fault::Cut { in_header: true, thousandths }),
        1 => happens(Fault::Cut { in_header: false, thousandths }),
        2 => happens(flip),
        3 => happens(Fault::FlipPacket { byte: random.place(5), bit }),
        // In what comes first of the next connection.
        4 => {
            happens(Fault::Cut { in_header: true, thousandths: 0 });
            happens(flip);
        }
        5 => {
            proxy.set(Fault::Pieces { most: 1 + random.place(2000) });
            std::thread::sleep(lasts);
            proxy.set(Fault::None);
        }
        _ => {
            proxy.set(Fault::Silence);
            std::thread::sleep(lasts);
            proxy.set(Fault::None);
        }
    }
}

/// Stopped or killed while a large transaction is on its way, it leaves nothing of it behind, and
/// publishes it whole when it is started again.
#[test]
fn cut_in_the_middle_of_a_large_transaction_it_begins_it_again() {
    const ROWS: usize = 1500;
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    mysql.mysql_client(
        "",
        "CREATE DATABASE crash; CREATE TABLE crash.big (id INT PRIMARY KEY, pad TEXT);
         CREATE TABLE crash.seen (id INT PRIMARY KEY);",
    );
    let mut sluice = Sluice::with_instance("big", &mysql, &[FILTER]);
    sluice.start();
    mysql.mysql_client("crash", "INSERT INTO seen VALUES (0)");
    assert_eq!(topics::read_at_least(&sluice.bootstrap(), "crash.seen", 1).len(), 1);
    let staged = sluice.folder("data/staged");
    let is_staging =
        || std::fs::read_dir(&staged).is_ok_and(|mut files| files.next().is_some()).then_some(());
    for round in 1..=4 {
        let first = round * ROWS;
        mysql.mysql_client(
            "crash",
            &format!(
                "SET SESSION cte_max_recursion_depth = 100000; BEGIN; INSERT INTO seen VALUES ({round});
                 INSERT INTO big WITH RECURSIVE n (i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n
                 WHERE i < {first} + {ROWS} - 1) SELECT i, REPEAT('x', 20000) FROM n; COMMIT",
            ),
        );
        wait_for("a staged file", PATIENCE, is_staging);
        let begun = Instant::now();
        if round % 2 == 0 {
            sluice.kill();
        } else {
            sluice.stop();
            assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
            assert_eq!(is_staging(), None, "it left a staged file behind");
        }
        sluice.start();
        let seen = topics::read_at_least(&sluice.bootstrap(), "crash.seen", 1 + round);
        assert_eq!(seen.len(), 1 + round);
        let big = topics::read(&sluice.bootstrap(), "crash.big");
        let rows = big.iter().map(|one| one.value.matches(r#""pad":"x"#).count());
        assert_eq!(rows.sum::<usize>(), round * ROWS, "round {round}");
        assert_eq!(is_staging(), None, "a staged file is left");
    }
    sluice.stop();
}

/// Neither while it reads nor while it connects does a stop wait for the server.
#[test]
fn a_server_that_does_not_answer_does_not_hold_up_a_stop() {
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    let mut sluice = Sluice::with_instance("silent", &mysql, &[]);
    sluice.start();
    for is_connected in [true, false] {
        mysql.signal("STOP");
        if !is_connected {
            sluice.launch();
            wait_for("the admin port", PATIENCE, || sluice.health());
            std::thread::sleep(Duration::from_millis(500));
        }
        let begun = Instant::now();
        sluice.stop();
        assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
        mysql.signal("CONT");
    }
}

/// What the filter drops moves the position, and an orderly end stores how far, at once.
#[tokio::test]
async fn a_stop_stores_the_position_behind_filtered_traffic() {
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    let mut source = mysql.database("filtered").await;
    harness::servers::run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut sluice = Sluice::with_instance("idle", &mysql, &[FILTER]);
    sluice.start();
    for round in 0..3 {
        let insert = format!("INSERT INTO t VALUES ({round})");
        harness::servers::run(&mut source, &insert).await;
        let status = sqlx::query("SHOW BINARY LOG STATUS").fetch_one(&mut source).await.unwrap();
        let (file, offset): (String, u64) = (status.get(0), status.get(1));
        // On its way to sluice, but not for a second.
        std::thread::sleep(Duration::from_millis(200));
        sluice.stop();
        let shown = sluice.command(&["position", "show", "idle"]).said;
        for part in [file, offset.to_string()] {
            assert!(shown.contains(&part), "{part} is not the stored position:\n{shown}");
        }
        sluice.start();
    }
    sluice.stop();
}

/// Often -9, now and then an orderly end.
fn kill_or_stop(sluice: &mut Sluice, random: &mut Random) {
    if random.below(4) > 0 {
        sluice.kill();
    } else {
        sluice.stop();
    }
    sluice.launch();
    // Sometimes it is killed again while it is still recovering.
    if random.below(3) > 0 {
        sluice.wait_until_ready();
    } else {
        std::thread::sleep(Duration::from_millis(random.below(300)));
        sluice.kill();
        sluice.start();
    }
}

fn restart(server: &Server, random: &mut Random) {
    if random.below(3) > 0 {
        server.kill();
    } else {
        server.stop();
    }
    std::thread::sleep(Duration::from_millis(random.below(500)));
    server.start();
}

/// The judge judged: without sluice, what the load says it committed is what the source has.
#[test]
fn the_account_of_the_load_is_what_the_source_has() {
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    load::prepare(&mysql);
    let load = Load::start(&mysql, 1);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1500));
        mysql.kill();
        mysql.start();
    }
    let committed = load.stop();
    let transactions = committed.transactions();
    assert!(transactions > 20, "the load has hardly worked: {transactions} transactions");
    for table in load::TABLES {
        let mut rows = BTreeMap::new();
        for change in committed.changes().filter(|one| one.table == table) {
            rows.remove(&change.id);
            if change.kind != "DELETE" {
                rows.insert(change.id, change.mark.clone());
            }
        }
        assert_eq!(rows, load::rows_of(&mysql, table), "{table}");
    }
}

/// Ends every connection of the account `canal`, by a prepared statement for each.
const KILL_CONNECTIONS: &str = "
SELECT GROUP_CONCAT('KILL ', id SEPARATOR ';') INTO @all FROM information_schema.processlist WHERE user = 'canal';
SELECT MIN(id) INTO @one FROM information_schema.processlist WHERE user = 'canal';
SET @kill = CONCAT('KILL ', @one); PREPARE kill_one FROM @kill; EXECUTE kill_one;
SELECT MAX(id) INTO @one FROM information_schema.processlist WHERE user = 'canal';
SET @kill = CONCAT('KILL ', @one); PREPARE kill_one FROM @kill; EXECUTE kill_one;
";

fn under_load(server: &Server, by: By, strike: impl FnMut(&mut Sluice, &mut Random)) {
    under_load_by(server, by, &[], 3, strike);
}

/// Runs the load, strikes at random moments, so often unless the environment asks for more, and
/// judges what was published.
fn under_load_by(
    server: &Server,
    by: By,
    more: &[(&str, &str)],
    ordinary: u64,
    mut strike: impl FnMut(&mut Sluice, &mut Random),
) {
    let seed = asked::seed("SLUICE_CRASH_SEED");
    let strikes = asked::number_or("SLUICE_CRASH_KILLS", ordinary);
    let mut random = Random::new(seed);

    load::prepare(server);
    let gtidon = match by {
        By::File => "false",
        By::Gtid => "true",
    };
    let mut properties = vec![FILTER, ("canal.instance.gtidon", gtidon)];
    properties.extend(more);
    let mut sluice = Sluice::with_instance("crash", server, &properties);
    sluice.start();
    let load = Load::start(server, seed);
    let watcher = Watcher::start(&sluice.bootstrap());
    let fetcher = Fetcher::start(&sluice.bootstrap());
    for _ in 0..strikes {
        std::thread::sleep(Duration::from_millis(500 + random.below(2000)));
        strike(&mut sluice, &mut random);
    }
    std::thread::sleep(Duration::from_millis(500));
    let committed = load.stop();
    sluice.wait_until_ready();

    let published = judgement::drained(&sluice.bootstrap(), &committed);
    let watched = watcher.stop(&published);
    let fetched = fetcher.stop(&published);
    let records: usize = published.values().map(Vec::len).sum();
    say(&format!(
        "{} transactions and {} ALTERs in {records} records; the watcher looked {} times, the \
         fetcher had {} answers with records",
        committed.transactions(),
        committed.ddl.len(),
        watched.looks.len(),
        fetched.judged,
    ));
    judgement::each_change_once_and_in_order(&committed, &published);
    judgement::each_alter_once_and_between_its_rows(&committed, &published);
    judgement::headers_number_each_transaction(&published);
    judgement::replayed_it_is_the_source(server, &published);
    judgement::seen_is_what_is_there(&watched, &published);
    judgement::never_a_part_of_a_transaction(&watched, &published);
    judgement::each_answer_ended_between_transactions(&fetched, &published);
    sluice.stop();
}
