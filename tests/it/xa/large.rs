//! A branch larger than memory should hold: held, and published.
//!
//! The short form has 60 MB; `SLUICE_XA_BRANCH_MB=300` is the long one.

use super::{FILTER, end};
use crate::harness::servers::{self, run};
use crate::harness::{PATIENCE, Sluice, asked, say, topics, wait_for};

const MEMORY: u64 = 128 << 20;
const ROW: usize = 100_000;

#[tokio::test]
async fn a_branch_larger_than_memory_is_held_and_published_in_bounded_memory() {
    let megabytes = asked::number_or("SLUICE_XA_BRANCH_MB", 60);
    let servers = [servers::private_mysql(&[]), servers::private_mariadb(&[])];
    for server in servers.into_iter().flatten() {
        let mut admin = server.database("xa").await;
        run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY, x LONGTEXT)").await;
        let mut sluice = Sluice::with_instance("xa", &server, &FILTER);
        sluice.start();
        let rows = megabytes * 1_000_000 / ROW;
        let mut connection = server.connect().await;
        run(&mut connection, "XA START 'large'; USE xa").await;
        for first in (0..rows).step_by(20) {
            let values = first..rows.min(first + 20);
            let values: Vec<String> =
                values.map(|row| format!("({row}, REPEAT('x', {ROW}))")).collect();
            run(&mut connection, &format!("INSERT INTO t VALUES {}", values.join(","))).await;
        }
        run(&mut connection, "XA END 'large'; XA PREPARE 'large'").await;
        sqlx::Connection::close(connection).await.unwrap();
        run(&mut admin, "INSERT INTO t VALUES (1000000, 'held')").await;
        assert_eq!(topics::read_at_least(&sluice.bootstrap(), "xa.t", 1).len(), 1);
        let holding = sluice.peak_memory();
        // Read from the log, as nothing of it is in memory.
        sluice.kill();
        sluice.start();
        end(&server, "XA COMMIT 'large'").await;
        run(&mut admin, "INSERT INTO t VALUES (1000001, 'published')").await;
        let read = |at_least| -> usize {
            let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", at_least);
            records.iter().map(|record| record.json()["data"].as_array().unwrap().len()).sum()
        };
        // What is published behind the branch may be there already.
        let seen = read(2);
        assert!(seen > rows, "{:?}: {seen} rows: all of the branch at once", server.flavor);
        wait_for("the row behind it", PATIENCE, || (read(2) >= rows + 2).then_some(()));
        assert_eq!(read(2), rows + 2, "{:?}", server.flavor);
        let publishing = sluice.peak_memory();
        say(&format!(
            "{:?}: a branch of {megabytes} MB: resident at most {} MB, and {} MB",
            server.flavor,
            holding >> 20,
            publishing >> 20
        ));
        assert!(holding < MEMORY && publishing < MEMORY, "resident: {holding}, {publishing}");
        sluice.stop();
    }
}
