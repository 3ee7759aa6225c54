//! TIMESTAMP values of servers in all kinds of time zones: what is published is what the server
//! itself shows under its own zone, for random moments and those at which its clocks change.
//!
//! `SLUICE_ZONES=all` tries every zone of the list on both servers; otherwise two of them a
//! server, by a seed, which `SLUICE_ZONES_SEED` sets.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sqlx::{AssertSqlSafe, MySqlConnection, Row};

use crate::harness::servers::{self, Flavor, run};
use crate::harness::{PATIENCE, Random, Record, Server, Sluice, asked, say, topics, wait_for};

/// Zones with summer time on both halves of the world, by half an hour (Lord Howe) and by two
/// (Troll), with halves of hours and none (Kolkata), one that had it long ago (Shanghai), and one
/// that left out a day (Apia).
const ZONES: [&str; 9] = [
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "Australia/Sydney",
    "Asia/Shanghai",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Antarctica/Troll",
];

/// Moments of each zone, and rows of one statement.
const MOMENTS: usize = 3000;

#[tokio::test]
async fn timestamps_are_what_mysql_shows_in_its_own_zone() {
    follow(Flavor::MySql).await;
}

#[tokio::test]
async fn timestamps_are_what_mariadb_shows_in_its_own_zone() {
    follow(Flavor::MariaDb).await;
}

/// What is written before is in the zone before: a topic says which rows are in which by nothing but
/// the warning, so it must not be missing, and nothing else of the change may show.
#[tokio::test]
async fn a_zone_that_is_set_anew_is_noticed_and_said_by_an_instance_that_runs_and_by_one_that_did_not()
 {
    let servers = [servers::private_mysql(&[]), servers::private_mariadb(&[])];
    for server in servers.into_iter().flatten() {
        let mut source = server.database("zones").await;
        run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP(1) NULL)").await;
        let filter = [("canal.instance.filter.regex", r"zones\..*")];
        let mut sluice = Sluice::with_instance("zones", &server, &filter);
        sluice.start();
        run(&mut source, "SET time_zone = '+00:00'").await;
        run(&mut source, "INSERT INTO t VALUES (0, '2024-05-06 07:08:09')").await;
        topics::read_at_least(&sluice.bootstrap(), "zones.t", 1);
        assert!(!sluice.said().contains("has changed"), "{}", sluice.said());

        run(&mut source, "SET GLOBAL time_zone = '+05:30'").await;
        let said = "the server's time zone has changed: it was +00:00: +00:00 always, and is \
                    +05:30: +05:30 always";
        wait_for("the change to be said", PATIENCE, || sluice.said().contains(said).then_some(()));
        run(&mut source, "INSERT INTO t VALUES (1, '2024-05-06 07:08:09')").await;
        topics::read_at_least(&sluice.bootstrap(), "zones.t", 2);

        // What it was is known to the next process too.
        sluice.kill();
        run(&mut source, "SET GLOBAL time_zone = '-03:00'").await;
        sluice.start();
        let said = "it was +05:30: +05:30 always, and is -03:00: -03:00 always";
        wait_for("the change to be said", PATIENCE, || sluice.said().contains(said).then_some(()));
        run(&mut source, "INSERT INTO t VALUES (2, '2024-05-06 07:08:09')").await;
        let records = topics::read_at_least(&sluice.bootstrap(), "zones.t", 3);
        let shown: Vec<String> = records
            .iter()
            .map(|record| record.json()["data"][0]["at"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            shown,
            ["2024-05-06 07:08:09.0", "2024-05-06 12:38:09.0", "2024-05-06 04:08:09.0"],
            "{:?}",
            server.flavor
        );
        // It is said once.
        sluice.stop();
        let before = sluice.said().matches("has changed").count();
        sluice.start();
        sluice.stop();
        assert_eq!(sluice.said().matches("has changed").count(), before, "{}", sluice.said());
    }
}

async fn follow(flavor: Flavor) {
    let private = match flavor {
        Flavor::MySql => servers::private_mysql,
        Flavor::MariaDb => servers::private_mariadb,
    };
    let mut random = Random::seeded("SLUICE_ZONES_SEED");
    let mut zones = ZONES.to_vec();
    if !asked::is_set("SLUICE_ZONES") {
        let second = (1 + random.place(ZONES.len() - 1)) % ZONES.len();
        zones = vec![zones[second], zones[0]]; // summer time at least once
    }
    say(&format!("{zones:?}"));
    let begun = format!("TZ={}", zones[0]);
    let Some(server) = private(&["--default-time-zone=SYSTEM", &begun]) else { return };
    let mut source = server.database("zones").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP(1) NULL)").await;
    let filter = [("canal.instance.filter.regex", r"zones\..*")];
    let mut sluice = Sluice::with_instance("zones", &server, &filter);
    sluice.start();
    for (nth, zone) in zones.iter().enumerate() {
        if nth > 0 {
            if !server.set_zone(zone) {
                say("NOT RUN: a container keeps its time zone");
                break;
            }
            // The instance goes on; the server comes back with other clocks.
            drop(source);
            server.stop();
            server.start();
            source = server.connect().await;
            run(&mut source, "USE zones").await;
        }
        compare(&server, &mut source, &sluice, zone, &mut random).await;
        let said = sluice.said();
        assert_eq!(said.contains("the server's time zone has changed"), nth > 0, "{said}");
    }
    let check = sluice.command(&["check"]);
    assert!(check.said.contains("changes of its clocks since 1970"), "{}", check.said);

    // A zone of the server's own making, by name: no other program knows its tables.
    run(&mut source, NAMED).await;
    drop(source);
    server.stop();
    server.start();
    source = server.connect().await;
    run(&mut source, "SET GLOBAL time_zone = 'Own/Zone'").await;
    sluice.stop();
    sluice.start();
    source = server.connect().await;
    run(&mut source, "USE zones").await;
    compare(&server, &mut source, &sluice, "Own/Zone", &mut random).await;
    sluice.stop();
    drop(server);
}

/// Clocks that are 3,750 seconds ahead from 2000 on, and 7,200 from 2010 on.
const NAMED: &str = "INSERT INTO mysql.time_zone (Time_zone_id, Use_leap_seconds) VALUES (900, 'N');
INSERT INTO mysql.time_zone_name VALUES ('Own/Zone', 900);
INSERT INTO mysql.time_zone_transition VALUES (900, 946684800, 0), (900, 1262304000, 1);
INSERT INTO mysql.time_zone_transition_type VALUES (900, 0, 3750, 0, 'ONE'), (900, 1, 7200, 1, 'TWO')";

/// Publishes moments of a zone and holds them against the server.
async fn compare(
    server: &Server,
    source: &mut MySqlConnection,
    sluice: &Sluice,
    zone: &str,
    random: &mut Random,
) {
    let moments = moments(zone, random);
    let before = count(source).await;
    run(source, "SET time_zone = '+00:00'").await;
    let rows = moments.iter().enumerate().map(|(id, at)| {
        let utc = Timestamp::from_second(*at).unwrap();
        format!("({}, '{}')", before + id, utc.strftime("%Y-%m-%d %H:%M:%S"))
    });
    run(source, &format!("INSERT INTO t VALUES {}", rows.collect::<Vec<_>>().join(","))).await;
    let mut fresh = server.connect().await;
    // The client library has set another.
    run(&mut fresh, "SET time_zone = @@global.time_zone; USE zones").await;
    let wanted = published(&mut fresh, before).await;

    let rows = wait_for("all rows", PATIENCE, || {
        let records = topics::read(&sluice.bootstrap(), "zones.t");
        let inserts = records.iter().map(Record::json).filter(|json| json["type"] == "INSERT");
        let rows = inserts.flat_map(|json| json["data"].as_array().unwrap().clone());
        let rows: Vec<serde_json::Value> = rows.skip(before).collect();
        (rows.len() >= moments.len()).then_some(rows)
    });
    assert_eq!(rows.len(), moments.len(), "{zone}");
    assert_has_zone(zone, &moments, &wanted);
    for ((row, at), wanted) in rows.iter().zip(&moments).zip(&wanted) {
        assert_eq!(row["at"].as_str().unwrap(), wanted, "{at} in {zone}");
    }
}

/// The server does run in that zone: else it would prove nothing.
fn assert_has_zone(zone: &str, moments: &[i64], shown: &[String]) {
    let Ok(known) = TimeZone::get(zone) else { return };
    let agree = moments.iter().zip(shown).filter(|(at, shown)| {
        let local = Timestamp::from_second(**at).unwrap().to_zoned(known.clone());
        shown.starts_with(&local.strftime("%Y-%m-%d %H:%M:%S").to_string())
    });
    let agree = agree.count();
    assert!(agree > MOMENTS / 10 * 9, "{zone}: {agree} of {MOMENTS}");
}

/// How many rows the table has.
async fn count(source: &mut MySqlConnection) -> usize {
    let row = sqlx::raw_sql("SELECT COUNT(*) FROM t").fetch_one(source).await.unwrap();
    usize::try_from(row.get::<i64, _>(0)).unwrap()
}

/// What the server shows of the table, from a row on.
async fn published(source: &mut MySqlConnection, from: usize) -> Vec<String> {
    let statement = format!("SELECT CAST(at AS CHAR) FROM t WHERE id >= {from} ORDER BY id");
    let rows = sqlx::raw_sql(AssertSqlSafe(statement)).fetch_all(source).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Moments between 1970 and 2038: any, and around the changes of the zone's clocks.
fn moments(zone: &str, random: &mut Random) -> Vec<i64> {
    let last = i64::from(i32::MAX);
    let mut changes: Vec<i64> = match TimeZone::get(zone) {
        Ok(zone) => zone
            .following(Timestamp::from_second(1).unwrap())
            .map(|change| change.timestamp().as_second())
            .take_while(|at| *at < last)
            .collect(),
        Err(_) => vec![946_684_800, 1_262_304_000],
    };
    changes.push(last);
    let any = |random: &mut Random, below: i64| {
        i64::try_from(random.below(u64::try_from(below).unwrap())).unwrap()
    };
    (0..MOMENTS)
        .map(|nth| match nth % 3 {
            0 => any(random, last),
            1 => random.pick(&changes) - 2 + any(random, 4),
            _ => random.pick(&changes) - 7200 + any(random, 14_400),
        })
        .map(|at| at.clamp(1, last))
        .collect()
}
