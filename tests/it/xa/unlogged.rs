//! Branches that are prepared with `sql_log_bin=0`: MariaDB writes their XA COMMIT all the same,
//! where another session ends them, and MySQL does not.

use super::{FILTER, end, id, prepare};
use crate::harness::servers::{self, Server, run};
use crate::harness::{Sluice, topics};

#[tokio::test]
async fn a_branch_that_was_never_logged_stops_nothing_and_hides_no_other_of_its_name() {
    for server in [servers::private_mysql(&[]), servers::private_mariadb(&[])].into_iter().flatten()
    {
        never_logged(&server).await;
    }
}

async fn never_logged(server: &Server) {
    let mut admin = server.database("xa").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    // One that was prepared before the begin, and lies in a file that is there.
    prepare(server, "'before'", &[1]).await;
    prepare(server, "'before too'", &[4]).await;
    let mut sluice = Sluice::with_instance("xa", server, &FILTER);
    sluice.start();
    unlogged(server, "'a'", 100).await;
    end(server, "XA COMMIT 'a'").await;
    // The same name, logged, and then not.
    prepare(server, "'a'", &[2]).await;
    end(server, "XA COMMIT 'a'").await;
    unlogged(server, "'a'", 101).await;
    end(server, "XA COMMIT 'a'").await;
    end(server, "XA COMMIT 'before'").await;
    unlogged(server, "'before'", 102).await;
    end(server, "XA COMMIT 'before'").await;
    unlogged(server, "'c'", 103).await;
    unlogged(server, "'d'", 104).await;
    end(server, "XA COMMIT 'c'").await;
    end(server, "XA ROLLBACK 'd'").await;
    run(&mut admin, "INSERT INTO t VALUES (3)").await;
    let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", 3);
    let ids: Vec<usize> = records.iter().map(id).collect();
    assert_eq!(ids, [2, 1, 3], "{:?}", server.flavor);

    // Nor one that was prepared before a start of ours and ends behind it; one from before the
    // begin is found all the same.
    unlogged(server, "'over a start'", 105).await;
    prepare(server, "'held'", &[6]).await;
    run(&mut admin, "INSERT INTO t VALUES (7)").await;
    topics::read_at_least(&sluice.bootstrap(), "xa.t", 4);
    for xid in ["'over a start'", "'before too'", "'held'"] {
        sluice.kill();
        sluice.start();
        end(server, &format!("XA COMMIT {xid}")).await;
    }
    run(&mut admin, "INSERT INTO t VALUES (8)").await;
    let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", 7);
    let ids: Vec<usize> = records.iter().map(id).collect();
    assert_eq!(ids, [2, 1, 3, 7, 4, 6, 8], "{:?}", server.flavor);
    let health = sluice.health().unwrap().1;
    assert!(health.contains(r#""state":"running""#), "{health}");
    sluice.stop();
}

async fn unlogged(server: &Server, xid: &str, row: usize) {
    let mut session = server.connect().await;
    let script = format!(
        "SET SESSION sql_log_bin = 0; XA START {xid}; INSERT INTO xa.t VALUES ({row}); \
         XA END {xid}; XA PREPARE {xid}"
    );
    run(&mut session, &script).await;
    let _ = sqlx::Connection::close(session).await;
}
