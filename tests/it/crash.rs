//! Exactly once, whatever is killed.
//!
//! A load of random transactions over several tables runs against a real server; meanwhile sluice
//! is killed (-9) at random moments and started again, or its connections are killed, or mysqld
//! is. Afterwards every committed row change is in its table's topic once and in order, what the
//! headers say of each transaction is whole, and a client that read all along saw what is there
//! now, and never a part of a transaction without the rest.
//!
//! The short form kills a few times; `SLUICE_CRASH_KILLS=20` is the long one. The seed is printed;
//! `SLUICE_CRASH_SEED` repeats the random choices (not the timing).

mod judgement;
mod load;
mod watcher;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::harness::{self, Server, Sluice, say};
use load::{Load, Random};
use watcher::Watcher;

const DATABASE: &str = "crash";

#[test]
fn killed_at_any_moment_it_publishes_each_change_once_and_in_order() {
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    under_load(&mysql, |sluice, random| {
        sluice.kill();
        // Sometimes it is killed again while it is still recovering.
        sluice.launch();
        if random.below(3) > 0 {
            sluice.wait_until_ready();
        }
    });
}

#[test]
fn on_mariadb_too_it_publishes_each_change_once_and_in_order() {
    let Some(mariadb) = harness::servers::private_mariadb(&[]) else { return };
    under_load(&mariadb, |sluice, _| {
        sluice.kill();
        sluice.start();
    });
}

#[test]
fn with_its_connections_killed_it_publishes_each_change_once_and_in_order() {
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    under_load(&mysql, |_, _| mysql.mysql_client("", KILL_CONNECTIONS));
}

#[test]
fn with_mysqld_killed_and_started_again_it_publishes_each_change_once_and_in_order() {
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    under_load(&mysql, |_, random| {
        if random.below(3) > 0 {
            mysql.kill();
        } else {
            mysql.stop();
        }
        std::thread::sleep(Duration::from_millis(random.below(500)));
        mysql.start();
    });
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
    let counts: Vec<usize> = committed.values().map(Vec::len).collect();
    assert!(counts.iter().all(|&count| count > 20), "the load has hardly worked: {counts:?}");
    for table in load::TABLES {
        let mut rows = BTreeMap::new();
        for change in committed.values().flatten().flatten().filter(|one| one.table == table) {
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

/// Runs the load, strikes at random moments, and judges what was published.
fn under_load(server: &Server, mut strike: impl FnMut(&mut Sluice, &mut Random)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("SLUICE_CRASH_SEED").unwrap_or_else(Random::any_seed);
    let strikes = number("SLUICE_CRASH_KILLS").unwrap_or(3);
    say(&format!("seed {seed}, {strikes} strikes"));
    let mut random = Random::new(seed);

    load::prepare(server);
    let filter = format!(r"{DATABASE}\..*");
    let only_ours = [("canal.instance.filter.regex", filter.as_str())];
    let mut sluice = Sluice::with_instance("crash", server, &only_ours);
    sluice.start();
    let load = Load::start(server, seed);
    let watcher = Watcher::start(&sluice.bootstrap());
    for _ in 0..strikes {
        std::thread::sleep(Duration::from_millis(500 + random.below(2000)));
        strike(&mut sluice, &mut random);
    }
    std::thread::sleep(Duration::from_millis(500));
    let committed = load.stop();
    sluice.wait_until_ready();

    let published = judgement::drained(&sluice.bootstrap(), &committed);
    let watched = watcher.stop(&published);
    judgement::each_change_once_and_in_order(&committed, &published);
    judgement::headers_number_each_transaction(&published);
    judgement::replayed_it_is_the_source(server, &published);
    judgement::seen_is_what_is_there(&watched, &published);
    judgement::never_a_part_of_a_transaction(&watched, &published);
    sluice.stop();
}
