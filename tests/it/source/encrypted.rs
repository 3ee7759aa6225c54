//! A MariaDB that encrypts its binlog: it sends the events as they are, and what says so of a file
//! besides, which a dump that begins within the file gets as a copy.

use std::time::Duration;

use sluice::source::{Before, StartAt};

use super::{Running, ask, settings};
use crate::harness::servers::{Release, private_encrypting_mariadb, run};

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_binlog_is_read_from_each_place_that_a_session_begins_at() {
    for release in [Release::MariaDb, Release::NewestMariaDb] {
        let Some(server) = private_encrypting_mariadb(release) else { continue };
        let mut admin = server.database("secret").await;
        run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY); FLUSH BINARY LOGS").await;
        run(&mut admin, "INSERT INTO t VALUES (1)").await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let now = ask(&mut admin, "SELECT CAST(UNIX_TIMESTAMP() AS CHAR)", 0).await;
        let file = ask(&mut admin, "SHOW MASTER STATUS", 0).await;
        run(&mut admin, "XA START 'x'; INSERT INTO t VALUES (2); XA END 'x'; XA PREPARE 'x'").await;
        drop(admin);
        let mut admin = server.connect().await;
        run(&mut admin, "USE secret").await;
        let at_end = StartAt::default();
        let of_file = StartAt { file: Some(file.clone()), ..StartAt::default() };
        let seconds = now.parse::<i64>().unwrap();
        let by_time = StartAt { timestamp: Some(seconds * 1000), ..StartAt::default() };
        let in_file = StartAt { timestamp: by_time.timestamp, ..of_file.clone() };
        for (number, start) in [at_end, of_file, by_time, in_file].into_iter().enumerate() {
            for by_gtid in [false, true] {
                let mut wanted = settings(&server, "secret");
                (wanted.by_gtid, wanted.start) = (by_gtid, start.clone());
                let mut source = Running::start(wanted, Before::default()).await;
                let insert = format!("INSERT INTO t VALUES ({})", 10 * (number + 1));
                run(&mut admin, &format!("{insert}; DELETE FROM t WHERE id > 9")).await;
                while source.next().await.texts() != ["-t"] {}
                // Both a new connection within the file, and another file.
                let mut source = Running::go(source.stop().await, None);
                run(
                    &mut admin,
                    &format!("{insert}; FLUSH BINARY LOGS; DELETE FROM t WHERE id > 9"),
                )
                .await;
                for text in ["+t", "-t"] {
                    let next = source.next().await.texts();
                    assert_eq!(next, [text], "{release:?}, {start:?}, by GTID: {by_gtid}");
                }
                let mut source = Running::go(source.stop().await, None);
                // What says no time, as a transaction's events of 11.4 and later say no place.
                run(&mut admin, "SET timestamp = 0.5; INSERT INTO t VALUES (99)").await;
                run(&mut admin, "SET timestamp = DEFAULT; DELETE FROM t WHERE id > 9").await;
                for text in ["+t", "-t"] {
                    let next = source.next().await.texts();
                    assert_eq!(next, [text], "{release:?}, {start:?}, by GTID: {by_gtid}");
                }
                source.stop().await;
            }
        }
        // Its rows are looked for before the begin.
        let mut source = Running::start(settings(&server, "secret"), Before::default()).await;
        run(&mut admin, "XA COMMIT 'x'").await;
        assert_eq!(source.next().await.texts(), ["+t"], "{release:?}");
        source.stop().await;
    }
}
