//! What a session can do around a branch: each script's rows come in the order of its commits.

use sqlx::Row as _;

use super::{FILTER, end, id, prepare};
use crate::harness::servers::{self, Server, run, try_run};
use crate::harness::{Sluice, say, topics};

/// What one session does, and which rows of `t` that publishes, in this order. A server that
/// refuses a statement does not know it: its script is left out there.
const SCRIPTS: &[(&str, &[usize])] = &[
    // The session goes on while its branch is prepared, where that is detached.
    (
        "SET SESSION xa_detach_on_prepare = ON; XA START 'a'; INSERT INTO t VALUES (1); XA END 'a'; \
         XA PREPARE 'a'; INSERT INTO t VALUES (2); XA COMMIT 'a'",
        &[2, 1],
    ),
    (
        "SET SESSION xa_detach_on_prepare = OFF; XA START 'a'; INSERT INTO t VALUES (1); XA END 'a'; \
         XA PREPARE 'a'; XA COMMIT 'a'; INSERT INTO t VALUES (2)",
        &[1, 2],
    ),
    (
        "XA START 'a'; INSERT INTO hidden VALUES (1); INSERT INTO t VALUES (1); \
         INSERT INTO hidden VALUES (2); INSERT INTO t VALUES (2); XA END 'a'; XA PREPARE 'a'; \
         XA COMMIT 'a'",
        &[1, 2],
    ),
    (
        "XA START 'a'; SAVEPOINT s; INSERT INTO t VALUES (1); ROLLBACK TO s; XA END 'a'; \
         XA PREPARE 'a'; XA COMMIT 'a'; INSERT INTO t VALUES (2)",
        &[2],
    ),
    (
        "XA START 'a'; INSERT INTO t VALUES (1); SAVEPOINT s; INSERT INTO t VALUES (2); \
         SAVEPOINT r; INSERT INTO t VALUES (3); ROLLBACK TO r; RELEASE SAVEPOINT s; \
         INSERT INTO t VALUES (4); XA END 'a'; XA PREPARE 'a'; XA COMMIT 'a'",
        &[1, 2, 4],
    ),
    (
        "XA START 'a'; INSERT INTO t VALUES (1); XA END 'a'; XA COMMIT 'a' ONE PHASE; \
         XA START 'a'; INSERT INTO t VALUES (2); XA END 'a'; XA PREPARE 'a'; XA COMMIT 'a'",
        &[1, 2],
    ),
    (
        "XA START 'a'; INSERT INTO t VALUES (1); XA END 'a'; XA ROLLBACK 'a'; \
         INSERT INTO t VALUES (2)",
        &[2],
    ),
    (
        "XA START 'a'; INSERT INTO t VALUES (1); XA END 'a'; XA PREPARE 'a'; XA ROLLBACK 'a'; \
         INSERT INTO t VALUES (2)",
        &[2],
    ),
    // DDL of another table, and of the same behind the end.
    (
        "XA START 'a'; INSERT INTO t VALUES (1); XA END 'a'; XA PREPARE 'a'; \
         CREATE TABLE between_them (id INT); DROP TABLE between_them; XA COMMIT 'a'; \
         ALTER TABLE t ADD COLUMN c INT; INSERT INTO t (id) VALUES (2)",
        &[1, 2],
    ),
];

#[tokio::test]
async fn whatever_a_session_does_around_a_branch_comes_in_the_order_of_its_commits() {
    let servers = [
        servers::private_mysql(&["--binlog-transaction-compression=ON"]),
        servers::private_mysql(&[]),
        servers::private_mariadb(&[]),
        servers::private_newest_mariadb(&[]),
    ];
    for server in servers.into_iter().flatten() {
        each_script(&server).await;
    }
}

async fn each_script(server: &Server) {
    let mut admin = server.database("xa").await;
    for table in ["t", "hidden"] {
        run(&mut admin, &format!("CREATE TABLE {table} (id INT)")).await;
    }
    let mut sluice = Sluice::with_instance("xa", server, &FILTER);
    sluice.start();
    let (mut wanted, mut refused) = (Vec::new(), 0);
    for (script, rows) in SCRIPTS {
        let before: i64 = count(&mut admin).await;
        let mut connection = server.connect().await;
        run(&mut connection, "USE xa").await;
        let done = try_run(&mut connection, script).await;
        let _ = sqlx::Connection::close(connection).await;
        if let Err(error) = done {
            say(&format!("{:?} refuses a script: {error}: {script}", server.flavor));
            refused += 1;
            let _ = try_run(&mut admin, "XA ROLLBACK 'a'").await;
            let now = count(&mut admin).await;
            assert_eq!(now, before, "a refused script left rows: {script}");
            continue;
        }
        wanted.extend_from_slice(rows);
        let count = count(&mut admin).await - before;
        assert_eq!(count, i64::try_from(rows.len()).unwrap(), "{:?}: {script}", server.flavor);
    }
    // MariaDB detaches no branch, and has no DDL in a session that prepared one.
    let (known, ddl) = if server.flavor == servers::Flavor::MariaDb { (3, 0) } else { (0, 1) };
    assert_eq!(refused, known, "{:?}", server.flavor);
    let data = |records: &[crate::harness::Record]| -> Vec<usize> {
        records.iter().filter(|one| one.json()["isDdl"] == false).map(id).collect()
    };
    let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", wanted.len() + ddl);
    assert_eq!(data(&records), wanted, "{:?}", server.flavor);
    let hidden = topics::list(&sluice.bootstrap());
    assert!(!hidden.contains_key("xa.hidden"), "{hidden:?}");
    sluice.stop();
}

async fn count(admin: &mut sqlx::MySqlConnection) -> i64 {
    sqlx::raw_sql("SELECT COUNT(*) FROM xa.t").fetch_one(admin).await.unwrap().get(0)
}

/// A position behind the PREPARE has the branch searched for, one before it has it read again.
#[tokio::test]
async fn a_branch_prepared_before_or_behind_a_named_position_is_published_once() {
    for server in [servers::private_mysql(&[]), servers::private_mariadb(&[])] {
        let Some(server) = server else { return };
        let mut admin = server.database("xa").await;
        run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut sluice = Sluice::with_instance("xa", &server, &FILTER);
        sluice.start();
        let mut wanted = Vec::new();
        for (round, behind) in [true, false].into_iter().enumerate() {
            let row = 10 * round;
            run(&mut admin, "FLUSH BINARY LOGS").await;
            let before = last_file(&mut admin).await;
            prepare(&server, "'a'", &[row, row + 1]).await;
            run(&mut admin, &format!("INSERT INTO t VALUES ({})", row + 2)).await;
            wanted.push(row + 2);
            topics::read_at_least(&sluice.bootstrap(), "xa.t", wanted.len());
            sluice.stop();
            run(&mut admin, "FLUSH BINARY LOGS").await;
            let after = last_file(&mut admin).await;
            let file = if behind { after } else { before };
            let set = sluice.command(&["position", "set", "xa", "--file", &file]);
            assert_eq!(set.code, Some(0), "{}", set.said);
            if !behind {
                wanted.push(row + 2);
            }
            sluice.start();
            end(&server, "XA COMMIT 'a'").await;
            wanted.extend([row, row + 1]);
            let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", wanted.len());
            assert_eq!(records.iter().map(id).collect::<Vec<_>>(), wanted, "{:?}", server.flavor);
        }
        sluice.stop();
    }
}

async fn last_file(admin: &mut sqlx::MySqlConnection) -> String {
    let files = sqlx::raw_sql("SHOW BINARY LOGS").fetch_all(admin).await.unwrap();
    files.last().unwrap().get(0)
}
