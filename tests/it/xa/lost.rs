//! Held branches where the source goes on at a server that lacks the end.

use super::{FILTER, end, id, prepare};
use crate::harness::program::stopped;
use crate::harness::replication::{caught_up, promote, reads_from, replicate};
use crate::harness::servers::{self, Flavor, Server, run};
use crate::harness::{Sluice, topics};

/// What both servers have stays held, and is published when it is committed on the other one, even
/// where the binlog with its PREPARE is purged there. What was prepared in the end that is lost is
/// lost too: a branch of the same xid that the other server has is another.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_both_servers_have_stays_held_and_one_that_is_lost_is_named() {
    let servers = [servers::private_mysql(&[]), servers::private_mysql(&["--server-id=11"])];
    let [Some(a), Some(b)] = servers else { return };
    one_server_lacks_the_end([&a, &b], false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_loss_is_accepted_beforehand_both_go_on_alike() {
    let servers = [servers::private_mysql(&[]), servers::private_mysql(&["--server-id=11"])];
    let [Some(a), Some(b)] = servers else { return };
    one_server_lacks_the_end([&a, &b], true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_both_mariadb_servers_have_stays_held() {
    let chained = "--log-slave-updates=1";
    let servers = [
        servers::private_mariadb(&[chained]),
        servers::private_mariadb(&[chained, "--server-id=12"]),
    ];
    let [Some(a), Some(b)] = servers else { return };
    one_server_lacks_the_end([&a, &b], false).await;
}

async fn one_server_lacks_the_end([a, b]: [&Server; 2], unattended: bool) {
    let mut admin = a.database("xa").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    replicate(b, a).await;
    let standby = format!("{}:{}", b.host, b.port);
    let properties = [
        &FILTER[..],
        &[
            ("canal.instance.standby.address", &*standby),
            ("canal.instance.detecting.retry.threshold", "1"),
            ("sluice.failover.lost", if unattended { "accept" } else { "stop" }),
        ],
    ];
    let mut sluice = Sluice::with_instance("xa", a, &properties.concat());
    sluice.start();
    prepare(a, "'both'", &[1, 2]).await;
    prepare(a, "'again'", &[3]).await;
    prepare(a, "'ended in the end'", &[4]).await;
    run(&mut admin, "INSERT INTO t VALUES (5)").await;
    caught_up(b, a).await;
    let stop = if b.flavor == Flavor::MySql { "STOP REPLICA" } else { "STOP SLAVE" };
    run(&mut b.connect().await, stop).await;
    // The end, which the other one lacks.
    end(a, "XA ROLLBACK 'again'").await;
    prepare(a, "'again'", &[6]).await;
    prepare(a, "'lost'", &[7]).await;
    end(a, "XA COMMIT 'ended in the end'").await;
    run(&mut admin, "INSERT INTO t VALUES (8)").await;
    topics::read_at_least(&sluice.bootstrap(), "xa.t", 3);
    a.kill();
    promote(b).await;
    if !unattended {
        stopped(&sluice);
        let accept = ["position", "accept-loss", "xa", "--server", &standby];
        let accepted = sluice.command(&accept);
        assert_eq!(accepted.code, Some(0), "{}", accepted.said);
        for (xid, is_lost) in [("again", true), ("lost", true), ("both", false), ("ended", false)] {
            let hex = xid.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
            let named = accepted.said.contains(&format!("held XA branch X'{hex}"));
            assert_eq!(named, is_lost, "{xid}: {}", accepted.said);
        }
        assert_eq!(sluice.command(&["instance", "start", "xa"]).code, Some(0));
    }
    reads_from(&sluice, b).await;
    let mut admin = b.connect().await;
    run(&mut admin, "FLUSH BINARY LOGS; USE xa; INSERT INTO t VALUES (9)").await;
    // It was published, and is lost: as the other server has it, it is prepared.
    end(b, "XA COMMIT 'ended in the end'").await;
    end(b, "XA COMMIT 'again'").await;
    topics::read_at_least(&sluice.bootstrap(), "xa.t", 7);
    run(&mut admin, "PURGE BINARY LOGS TO 'binlog.000002'").await;
    sluice.kill();
    sluice.start();
    end(b, "XA COMMIT 'both'").await;
    run(&mut admin, "INSERT INTO t VALUES (10)").await;
    let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", 10);
    let lost: Vec<bool> = records.iter().map(|one| one.headers.contains_key("lost")).collect();
    let ids: Vec<usize> =
        records.iter().filter(|one| one.json()["data"].is_array()).map(id).collect();
    assert_eq!(ids, [5, 4, 8, 9, 4, 3, 1, 2, 10], "{:?}, unattended {unattended}", b.flavor);
    assert_eq!(lost.iter().filter(|lost| **lost).count(), 1, "one notice");
    sluice.stop();
}
