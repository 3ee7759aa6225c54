//! What the server says of prepared branches is reported, and nothing follows from it.

use std::time::Duration;

use serde_json::Value;

use super::{FILTER, end, id, prepare};
use crate::harness::servers::{self, Flavor, Server, run};
use crate::harness::{PATIENCE, Sluice, topics, wait_for};

/// `not_on_server` and `before_begin` of the one instance.
fn branches(sluice: &Sluice) -> [Vec<String>; 2] {
    let (_, body) = sluice.health().expect("it runs");
    let health: Value = serde_json::from_str(&body).unwrap();
    let branches = &health["instances"][0]["progress"]["branches"];
    ["not_on_server", "before_begin"].map(|name| {
        let texts = branches[name].as_array().unwrap().iter();
        texts.map(|text| text.as_str().unwrap().to_owned()).collect()
    })
}

/// Waits until these are reported, each by how its text begins.
pub(super) fn until(sluice: &Sluice, wanted: [&[&str]; 2]) {
    let is_so = |found: &[String], wanted: &[&str]| {
        found.len() == wanted.len() && found.iter().zip(wanted).all(|(a, b)| a.starts_with(b))
    };
    let mut seen = Default::default();
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_mins(1) {
        seen = branches(sluice);
        if is_so(&seen[0], wanted[0]) && is_so(&seen[1], wanted[1]) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{seen:?}, and not {wanted:?}");
}

/// Whether the account of the instances may ask for prepared branches.
pub(super) async fn allowed(server: &Server, allowed: bool) {
    if server.flavor == Flavor::MySql {
        let verb = if allowed { ["GRANT", "TO"] } else { ["REVOKE", "FROM"] };
        let sql = format!("{} XA_RECOVER_ADMIN ON *.* {} 'canal'@'%'", verb[0], verb[1]);
        run(&mut server.connect().await, &sql).await;
    }
}

#[tokio::test]
async fn branches_that_only_one_side_knows_are_reported_and_nothing_is_dropped() {
    let servers = [servers::private_mysql(&[]), servers::private_mariadb(&[])];
    for server in servers.into_iter().flatten() {
        let mut admin = server.database("xa").await;
        run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
        prepare(&server, "'before'", &[1]).await;
        prepare(&server, "'before too'", &[2]).await;
        run(&mut admin, "FLUSH BINARY LOGS").await;
        allowed(&server, true).await;
        let mut sluice = Sluice::with_instance("xa", &server, &FILTER);
        sluice.start();
        let [before, before_too] = ["X'6265666f7265',X'',1", "X'6265666f726520746f6f',X'',1"];
        until(&sluice, [&[], &[before, before_too]]);
        let checked = sluice.command(&["check"]);
        assert!(
            checked.said.contains(before) && checked.said.contains("prepared"),
            "{}",
            checked.said
        );
        prepare(&server, "'held'", &[3]).await;
        prepare(&server, "'vanished'", &[4]).await;
        end(&server, "XA ROLLBACK 'before too'").await;
        run(&mut admin, "INSERT INTO t VALUES (5)").await;
        topics::read_at_least(&sluice.bootstrap(), "xa.t", 1);
        until(&sluice, [&[], &[before]]);
        // Ended where no binlog says so, and some more while nobody reads.
        sluice.kill();
        end(&server, "SET SESSION sql_log_bin = 0; XA ROLLBACK 'vanished'").await;
        end(&server, "XA COMMIT 'held'").await;
        prepare(&server, "'new'", &[6]).await;
        sluice.start();
        until(&sluice, [&["X'76616e6973686564',X'',1 since binlog.00000"], &[before]]);
        let said = sluice.said();
        assert!(said.contains("does not know any more") && said.contains("X'76616e"), "{said}");
        end(&server, "XA COMMIT 'before'").await;
        end(&server, "XA COMMIT 'new'").await;
        // What was held under that name is replaced.
        prepare(&server, "'vanished'", &[7]).await;
        end(&server, "XA COMMIT 'vanished'").await;
        let records = topics::read_at_least(&sluice.bootstrap(), "xa.t", 5);
        assert_eq!(
            records.iter().map(id).collect::<Vec<_>>(),
            [5, 3, 1, 6, 7],
            "{:?}",
            server.flavor
        );
        until(&sluice, [&[], &[]]);
        if server.flavor == Flavor::MySql {
            // Who may not ask learns nothing, and reads on.
            allowed(&server, false).await;
            prepare(&server, "'left'", &[8]).await;
            sluice.kill();
            sluice.start();
            end(&server, "XA COMMIT 'left'").await;
            wait_for("the last", PATIENCE, || {
                (topics::read(&sluice.bootstrap(), "xa.t").len() == 6).then_some(())
            });
            assert_eq!(branches(&sluice), [const { Vec::<String>::new() }; 2]);
        }
        sluice.stop();
    }
}
