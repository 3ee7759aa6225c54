//! Branches by all kinds of names: what the binlog says becomes of each is what is published.
//!
//! Names that a server refuses, or takes for one that is prepared, are left out: it is the judge.
//! What is expected is read from the server's own SHOW BINLOG EVENTS.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

use super::{FILTER, end, id, prepare, recover};
use crate::harness::servers::{self, Server, run, try_run};
use crate::harness::{Random, Sluice, say, topics};

/// As statements spell them: formats, lengths of both parts, bytes that mean something to
/// somebody, and the forms that a literal can have.
fn names() -> Vec<String> {
    let formats = [
        "0",
        "1",
        "2",
        "7",
        "255",
        "256",
        "65535",
        "65536",
        "2147483647",
        "2147483648",
        "4294967294",
        "4294967295",
        "4294967296",
        "4294967297",
        "4294967303",
        "9223372036854775806",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551614",
        "18446744073709551615",
        "18446744073709551616",
        "0x1F",
        "0x100000001",
        "007",
        "1.5",
        "0",
    ];
    // No server prepares two branches that differ by the format only.
    let same = formats.iter().map(|format| format!("'a','b',{format}"));
    let own = formats.iter().enumerate().map(|(nth, format)| format!("'f{nth}','b',{format}"));
    let mut names: Vec<String> = own.chain(same).collect();
    let mut long = |gtrid: usize, bqual: usize| {
        names.push(format!("'{}','{}'", "g".repeat(gtrid), "b".repeat(bqual)));
    };
    for length in [0, 1, 2, 31, 32, 63, 64] {
        long(length, 0);
        long(1, length);
        long(64, length);
        // The same bytes, divided elsewhere.
        long(length, 64 - length);
    }
    names.extend(
        [
            "'x'",
            "'x',''",
            "'x','',1",
            "'x','',2",
            "X'78',X'79'",
            "x'7879'",
            "0x7879,0x",
            "'xy'",
            "'X'",
            "' x'",
            "'x '",
            "X'00'",
            "X'0000'",
            "X'00',X'00'",
            "'',X'00'",
            "X'ff'",
            "X'27'",
            "X'5c'",
            "X'5c27',X'2c27'",
            "'it''s'",
            "'a\\'b\\\\c'",
            "\"double\"",
            "X'585827273131',X'2c31'",
            "'X''61'',X'''',1'",
            "'a,b','c,d'",
            "b'01100001'",
            "'\n\t\0'",
            "'é','ü'",
            "_utf8mb4'é'",
            "_latin1 X'e9'",
            "X'e9'",
            "'--','#'",
            "'/*','*/'",
            "';',';'",
            "X'8080',X'c3a9',3",
            "X'e9ff00',X'00ff'",
            "X'e9ff',X'0000ff'",
        ]
        .map(str::to_owned),
    );
    names
}

#[tokio::test]
async fn branches_of_any_name_are_published_as_the_binlog_says_on_mysql() {
    let Some(mysql) = servers::private_mysql(&["--binlog-rows-query-log-events=ON"]) else {
        return;
    };
    prepared_all_at_once(&mysql, Fate::Lives).await;
}

#[tokio::test]
async fn branches_of_any_name_are_published_as_the_binlog_says_on_mariadb() {
    for server in [servers::private_mariadb(&[]), servers::private_newest_mariadb(&[])] {
        let Some(server) = server else { return };
        prepared_all_at_once(&server, Fate::Lives).await;
    }
}

/// A server that was killed may know fewer branches than it had prepared, or take one for another;
/// and some of what it then says is in the binlog.
#[tokio::test]
async fn after_a_crash_of_the_server_branches_are_published_as_the_binlog_says() {
    for server in [
        servers::private_mysql(&["--binlog-rows-query-log-events=ON"]),
        servers::private_mariadb(&[]),
    ] {
        let Some(server) = server else { return };
        prepared_all_at_once(&server, Fate::Crashes).await;
    }
}

/// MySQL 5.6 logs a branch when it is committed, as any transaction.
#[tokio::test]
async fn branches_of_any_name_are_published_on_mysql_5_6() {
    let Some(server) = servers::private_mysql_56(&[]) else { return };
    let mut admin = server.database("xa").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut sluice = Sluice::with_instance("xa", &server, &FILTER);
    sluice.start();
    let mut wanted = Vec::new();
    for (row, name) in names().iter().enumerate() {
        let begun = format!("XA START {name}; INSERT INTO t VALUES ({row}); XA END {name}");
        if try_run(&mut admin, &begun).await.is_err() {
            admin = server.connect().await;
            run(&mut admin, "USE xa").await;
            continue;
        }
        let end = match row % 3 {
            0 => format!("XA PREPARE {name}; XA ROLLBACK {name}"),
            1 => format!("XA PREPARE {name}; XA COMMIT {name}"),
            _ => format!("XA COMMIT {name} ONE PHASE"),
        };
        run(&mut admin, &end).await;
        if row % 3 != 0 {
            wanted.push(row);
        }
    }
    assert!(wanted.len() > 20, "{wanted:?}");
    let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", wanted.len());
    assert_eq!(records.iter().map(id).collect::<Vec<_>>(), wanted);
    sluice.stop();
}

/// What becomes of the server while branches are prepared.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Lives,
    Crashes,
}

async fn prepared_all_at_once(server: &Server, fate: Fate) {
    let mut random = Random::seeded("SLUICE_XA_SEED");
    let mut admin = server.database("xa").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    recover::allowed(server, true).await;
    let mut sluice = Sluice::with_instance("xa", server, &FILTER);
    sluice.start();
    // By turns they are rolled back and committed, and prepared anew meanwhile.
    let mut prepared: Vec<String> = Vec::new();
    let mut rows = 0;
    let mut refused = 0;
    for round in 0..2 {
        for name in names() {
            let sql = format!(
                "XA START {name}; INSERT INTO t VALUES ({rows}); XA END {name}; XA PREPARE {name}"
            );
            let mut connection = server.connect().await;
            run(&mut connection, "USE xa").await;
            if try_run(&mut connection, &sql).await.is_ok() {
                prepared.push(name);
            } else {
                refused += 1;
            }
            let _ = sqlx::Connection::close(connection).await;
            rows += 1;
        }
        if round == 0 && fate == Fate::Lives {
            prepare(server, "'vanished'", &[rows]).await;
            run(&mut admin, &format!("INSERT INTO t VALUES ({})", rows + 1)).await;
            rows += 2;
            topics::read_at_least(&sluice.bootstrap(), "xa.t", 1);
        }
        if round == 0 {
            sluice.kill();
            if fate == Fate::Lives {
                end(server, "SET SESSION sql_log_bin = 0; XA ROLLBACK 'vanished'").await;
            }
            sluice.start();
        }
        if round == 0 && fate == Fate::Lives {
            // The server names each of the others as the binlog does.
            recover::until(&sluice, [&["X'76616e6973686564',X'',1 since "], &[]]);
        }
        if fate == Fate::Crashes {
            server.kill();
            server.start();
            admin = server.connect().await;
            run(&mut admin, "USE xa").await;
        }
        for place in (0..prepared.len()).rev() {
            prepared.swap(place, random.place(place + 1));
        }
        // The second time all, so that none keeps the server from its end.
        let some = if round == 0 { prepared.len() / 2 } else { prepared.len() };
        for name in prepared.drain(..some) {
            let verb = if random.below(3) == 0 { "ROLLBACK" } else { "COMMIT" };
            for _ in 0..50 {
                // Known when the connection that prepared it has ended.
                if try_run(&mut admin, &format!("XA {verb} {name}")).await.is_ok()
                    || fate == Fate::Crashes
                {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    }
    run(&mut admin, &format!("INSERT INTO t VALUES ({rows})")).await;
    let wanted = as_the_binlog_says(server, &mut admin).await;
    say(&format!("{refused} names were refused, {} rows", wanted.len()));
    let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", wanted.len());
    let ids: Vec<usize> = records.iter().map(id).collect();
    assert_eq!(ids, wanted, "{:?}", server.flavor);
    if fate == Fate::Lives {
        let committed = sqlx::raw_sql("SELECT id FROM t").fetch_all(&mut admin).await.unwrap();
        let mut committed: Vec<usize> =
            committed.iter().map(|row| row.get::<i32, _>(0).try_into().unwrap()).collect();
        committed.sort_unstable();
        let mut published = ids;
        published.sort_unstable();
        assert_eq!(published, committed, "the server has these");
    }
    sluice.stop();
}

/// The rows in the order in which the binlog commits them. Its rows events are counted: each row
/// that was inserted has one, in the order of the statements that worked or were rolled back by a
/// branch; which row it is says a query event of the statement before it (`binlog_rows_query`,
/// `binlog_annotate_row_events`).
async fn as_the_binlog_says(server: &Server, admin: &mut MySqlConnection) -> Vec<usize> {
    let logs = sqlx::raw_sql("SHOW BINARY LOGS").fetch_all(&mut *admin).await.unwrap();
    let mut text = String::new();
    for log in logs {
        let name: String = log.get(0);
        let events = AssertSqlSafe(format!("SHOW BINLOG EVENTS IN '{name}'"));
        for event in sqlx::raw_sql(events).fetch_all(&mut *admin).await.unwrap() {
            let info: Vec<u8> = event.get_unchecked(5);
            let _ = writeln!(text, "{}", String::from_utf8_lossy(&info));
        }
    }
    let (mut held, mut open, mut rows) = (BTreeMap::new(), None, Vec::new());
    let mut committed = Vec::new();
    for line in text.lines() {
        let words = |verb: &str| {
            let rest = line.split_once(verb)?.1;
            // MariaDB puts its GTID behind it.
            Some(rest.split(' ').next().unwrap_or_default().to_owned())
        };
        if let Some(xid) = words("XA START ") {
            open = Some(xid);
        } else if let Some(row) = words("INSERT INTO t VALUES (") {
            rows.push(row.trim_end_matches(')').parse().unwrap());
        } else if words("XA PREPARE ").is_some() {
            let xid = open.take().expect("it was started");
            held.insert(xid, std::mem::take(&mut rows));
        } else if let Some(xid) = words("XA COMMIT ") {
            committed.extend(held.remove(&xid).unwrap_or_default());
        } else if let Some(xid) = words("XA ROLLBACK ") {
            held.remove(&xid);
        } else if open.is_none() && (line.contains("COMMIT") || line.contains("xid=")) {
            committed.append(&mut rows);
        }
    }
    assert!(!committed.is_empty(), "{:?}: {text}", server.flavor);
    committed
}
