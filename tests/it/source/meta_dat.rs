//! Where an instance begins that takes over a Canal's `meta.dat`: on the server that the file is
//! of, on another one, and when the file is of no use.

use sluice::change::Change;
use sluice::source::{Before, Error, Left, Settings, Source};

use super::{Running, ask, settings};
use crate::harness::Server;
use crate::harness::servers::{self, here, run};

/// The file as Canal 1.1.8 writes it.
fn left(address: (&str, u16), server_id: u32, place: (&str, u64), timestamp: u64) -> Before {
    let ((address, port), (file, offset)) = (address, place);
    let content = format!(
        r#"{{"clientDatas":[{{"clientIdentity":{{"clientId":1001,"destination":"example","filter":""}},"cursor":{{"identity":{{"slaveId":-1,"sourceAddress":{{"address":"{address}","port":{port}}}}},"postion":{{"gtid":"","included":false,"journalName":"{file}","position":{offset},"serverId":{server_id},"timestamp":{timestamp}}}}}}}],"destination":"example"}}"#
    );
    let left = Left { path: "/canal/conf/example/meta.dat".into(), content: content.into_bytes() };
    Before { meta_dat: Some(left), ..Before::default() }
}

/// The ids of the rows that come from there to the end, which is 4.
async fn rows(settings: Settings, before: Before) -> Vec<u8> {
    let mut source = Running::start(settings, before).await;
    let mut ids = Vec::new();
    while ids.last() != Some(&4) {
        if let Change::Rows(rows) = &source.next().await.changes[0] {
            ids.push(rows.images[1]);
        }
    }
    source.stop().await;
    ids
}

async fn refusal(settings: Settings, before: Before) -> String {
    let error = Source::prepare(settings, before).await.err().expect("a refusal");
    assert!(matches!(error, Error::MetaDat { .. }), "{error}");
    let text = error.to_string();
    for part in ["/canal/conf/example/meta.dat", "remove the file", "`bin/sluice position set`"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("configured start"), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meta_dat_counts_by_place_on_its_own_server_and_by_time_on_another() {
    let servers = [servers::private_mysql(&[]), servers::private_mariadb(&[])];
    for server in servers.iter().flatten() {
        judged(server).await;
    }
}

async fn judged(server: &Server) {
    let mut admin = server.database("left").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let own: u32 = ask(&mut admin, "SELECT CAST(@@server_id AS CHAR)", 0).await.parse().unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let second = "SELECT CAST(UNIX_TIMESTAMP() AS CHAR)";
    let mut time = 0;
    let mut place = (String::new(), 0);
    for id in 1..=4 {
        if id == 2 {
            tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
            time = ask(&mut admin, second, 0).await.parse::<u64>().unwrap();
        }
        if id == 4 {
            place = here(server).await;
        }
        run(&mut admin, &format!("INSERT INTO t VALUES ({id})")).await;
    }
    // A minute later, of which the fallback takes a minute off.
    let late = (time + 60) * 1000;
    let here = (place.0.as_str(), place.1);
    let address = (server.host.as_str(), server.port);
    let wanted = || settings(server, "left");
    let flavor = server.flavor;

    let other = if server.host == "127.0.0.1" { "localhost" } else { "LOCALHOST" };
    for (what, before, expected) in [
        ("the same address", left(address, own, here, late), &[4][..]),
        ("another name of it", left((other, server.port), own, here, late), &[4]),
        ("no server id", left(address, 0, here, late), &[4]),
        ("another host", left(("db-old.invalid", server.port), own, here, late), &[2, 3, 4]),
        ("another port", left((&server.host, 1), 77, here, late), &[2, 3, 4]),
        ("another server id", left(address, 77, here, late), &[2, 3, 4]),
        ("the same for no file of it", left(address, 77, ("x.000001", 4), late), &[2, 3, 4]),
    ] {
        assert_eq!(rows(wanted(), before).await, expected, "{flavor:?}: {what}");
    }
    let mut shorter = wanted();
    shorter.fallback = std::time::Duration::from_secs(0);
    let before = left(("db-old.invalid", 3306), own, here, time * 1000);
    assert_eq!(rows(shorter, before).await, [2, 3, 4], "{flavor:?}: another fallback");

    let stop = |before| refusal(wanted(), before);
    let text = stop(left(("db-old.invalid", 3306), own, here, 0)).await;
    assert!(text.contains("db-old.invalid:3306"), "{text}");
    assert!(text.contains(&format!("{}:{}", server.host, server.port)), "{text}");
    let text = stop(left(("db-old.invalid", 3306), own, here, 1_600_000_000_000)).await;
    assert!(text.contains("2020-09-13T12:25:40Z"), "{text}");
    assert!(text.contains("db-old.invalid:3306"), "{text}");
    let text = stop(left(address, own, ("mysql-bin.000029", 4), late)).await;
    assert!(text.contains("mysql-bin.000029, which the source does not have"), "{text}");
    let text = stop(left(address, own, (here.0, here.1 + 3), late)).await;
    assert!(text.contains("in the middle of an event"), "{text}");
    let mut torn = left(address, own, here, late);
    torn.meta_dat.as_mut().unwrap().content.truncate(60);
    stop(torn).await;
}
