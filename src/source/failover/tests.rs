//! Which server follows which failure.

use std::io;

use super::*;
use crate::filter::TableFilter;
use crate::mysql;

/// Servers a, b, .. of which each may fail twice.
fn servers(names: &[&str]) -> Servers {
    configured(names, false)
}

fn configured(names: &[&str], accept_lost: bool) -> Servers {
    let endpoint = |name: &str| Endpoint::new(name, 3306, "canal", "canal");
    let filter = TableFilter::new(".*", "").unwrap();
    let mut settings = Settings::new(endpoint(names[0]), 7, String::new(), filter);
    let standbys = names[1..].iter();
    settings.failover.standbys = standbys
        .map(|name| Server { endpoint: endpoint(name), start: StartAt::default() })
        .collect();
    settings.failover.tries = 2;
    settings.failover.accept_lost = accept_lost;
    Servers::new(&settings)
}

fn silent() -> Error {
    let source = io::Error::from(io::ErrorKind::ConnectionRefused);
    mysql::Error::Connect { address: "x".to_owned(), source }.into()
}

fn behind(lost: &str) -> Error {
    Error::Behind { address: "x".to_owned(), lost: lost.to_owned() }
}

/// The server that is asked after each of the failures.
fn asked(servers: &mut Servers, failures: &[Error]) -> Vec<String> {
    let mut asked = Vec::new();
    for error in failures {
        let next = servers.failed(error);
        let host = servers.settings().endpoint.host.clone();
        if let Next::Other { address } = next {
            assert_eq!(address, format!("{host}:3306"));
        }
        asked.push(host);
    }
    asked
}

#[test]
fn a_server_is_left_when_its_tries_are_used_up_and_come_back_to_the_same_way() {
    let mut servers = servers(&["a", "b"]);
    let failures: Vec<Error> = (0..6).map(|_| silent()).collect();
    assert_eq!(asked(&mut servers, &failures), ["a", "a", "b", "b", "b", "a"]);
    servers.progressed();
    assert_eq!(asked(&mut servers, &failures[..2]), ["a", "a"], "it has its tries again");
}

#[test]
fn one_that_cannot_serve_the_position_is_left_at_once() {
    let mut servers = servers(&["a", "b", "c"]);
    let hole = || Error::GtidHole { missing: "u:1".to_owned() };
    let failures = [silent(), silent(), silent(), hole(), hole(), hole(), silent()];
    assert_eq!(asked(&mut servers, &failures), ["a", "a", "b", "c", "a", "b", "b"]);
}

#[test]
fn what_does_not_concern_the_server_moves_nobody() {
    let mut servers = servers(&["a", "b"]);
    for error in [Error::Closed, Error::Broken("a gap".to_owned()), Error::Start(String::new())] {
        assert_eq!(servers.failed(&error), Next::AsEver);
    }
    let mut alone = self::servers(&["a"]);
    for error in [silent(), silent(), silent(), Error::GtidHole { missing: String::new() }] {
        assert_eq!(alone.failed(&error), Next::AsEver);
    }
}

/// One that lacks something may only be late, and another may come back: three rounds without
/// any change decide.
#[test]
fn servers_that_lack_what_was_published_are_never_read() {
    for names in [&["a", "b"][..], &["a"]] {
        let mut servers = servers(names);
        let mut round = |lost: &str| {
            let mut next = Next::AsEver;
            for name in names {
                next = match *name {
                    "b" => servers.failed(&behind(lost)),
                    _ if names.len() == 1 => servers.failed(&behind(lost)),
                    // All its tries.
                    _ => [silent(), silent(), silent()]
                        .iter()
                        .map(|error| servers.failed(error))
                        .last()
                        .unwrap(),
                };
            }
            next
        };
        for lost in ["u:5-9", "u:6-9", "u:9", "u:9"] {
            assert_eq!(round(lost), Next::Again, "{lost}");
        }
        let next = round("u:9");
        let Next::Lost { lost, address, by_gtid: true } = next else {
            panic!("{names:?}: {next:?}")
        };
        let last = names[names.len() - 1];
        assert_eq!((&*lost, address), ("u:9", format!("{last}:3306")));
    }
}

/// Not at the first sight: a server may only be late.
#[test]
fn a_loss_is_accepted_unattended_when_it_is_sure_and_for_that_server_only() {
    let mut servers = configured(&["a"], true);
    for _ in 1..ROUNDS {
        assert_eq!(servers.failed(&behind("u:9")), Next::Again);
        assert!(!servers.settings().failover.accept_lost);
    }
    assert_eq!(servers.failed(&behind("u:9")), Next::Again);
    assert!(servers.settings().failover.accept_lost);
    servers.progressed();
    assert!(!servers.settings().failover.accept_lost);
}

#[test]
fn what_both_have_is_kept_and_the_rest_is_listed() {
    use crate::change::Flavor::{MariaDb, MySql};
    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "c6d57bf5-c75f-11f1-8d47-0242ac120002";
    for (flavor, ours, theirs, kept, published) in [
        (
            MySql,
            format!("{A}:1-9,{B}:1-5"),
            format!("{A}:1-7,{B}:1-3:8"),
            format!("{A}:1-7,{B}:1-3"),
            format!("{A}:8-9"),
        ),
        (
            MariaDb,
            "0-1-9,1-1-4".to_owned(),
            "0-1-7,1-1-4".to_owned(),
            "0-1-7,1-1-4".to_owned(),
            String::new(),
        ),
        (MariaDb, "0-1-9,1-1-4".to_owned(), "0-1-12".to_owned(), "0-1-9".to_owned(), String::new()),
    ] {
        let set = |text: &str| GtidSet::parse(flavor, text).unwrap();
        let (ours, theirs) = (set(&ours), set(&theirs));
        assert_eq!(ours.intersection(&theirs).to_string(), kept);
        let mut gtids = ours.clone();
        gtids.subtract(&theirs);
        let loss = Loss::new(gtids, B.into(), &set(&kept), None);
        let gtids = loss.published().gtids.unwrap();
        assert_eq!(gtids.to_string(), published, "B gives its numbers anew");
    }
}

/// Of MariaDB a domain's last number stands for all before it, of whichever server they are: what was
/// published is what the last one's server wrote behind what was kept.
#[test]
fn of_mariadb_those_come_no_second_time_that_the_lost_server_wrote_behind_what_was_kept() {
    use crate::change::{Flavor::MariaDb, Gtid};
    let set = |text: &str| GtidSet::parse(MariaDb, text).unwrap();
    let has = |loss: &Loss, domain, server, seq| {
        loss.published().contains(&Gtid::MariaDb { domain, server, seq })
    };
    let first = Loss::new(set("0-1-9,3-2-4"), "server-id:2".into(), &set("0-1-7,3-2-1"), None);
    for (domain, server, seq, wanted) in [
        (0, 1, 7, false),
        (0, 1, 8, true),
        (0, 1, 9, true),
        (0, 1, 10, false),
        (0, 2, 8, false),
        (1, 1, 8, false),
        // It gives its own numbers anew.
        (3, 2, 3, false),
    ] {
        assert_eq!(has(&first, domain, server, seq), wanted, "{domain}-{server}-{seq}");
    }
    // A second loss keeps the first.
    let second = Loss::new(set("0-2-12"), "server-id:3".into(), &set("0-2-10"), Some(&first));
    assert!(has(&second, 0, 1, 8) && has(&second, 0, 2, 11) && !has(&second, 0, 2, 10));
    let json = serde_json::to_string(&second).unwrap();
    assert_eq!(serde_json::from_str::<Loss>(&json).unwrap(), second);
    // As builds before have stored it.
    let old = r#"{"gtids":{"flavor":"mariadb","text":"0-1-9"},"on":"server-id:2"}"#;
    assert!(!has(&serde_json::from_str::<Loss>(old).unwrap(), 0, 1, 9));
}
