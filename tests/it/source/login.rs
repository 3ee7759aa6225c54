//! Who is let in, over what, and what is said to who is not.

use sluice::mysql::TlsMode;
use sluice::source::{Before, Error, Severity, Source, check};

use super::{Running, settings};
use crate::harness::servers::{self, Flavor, run};

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_let_in_with_and_without_tls_whatever_the_cache_knows() {
    let Some(server) = servers::mysql() else { return };
    let mut admin = server.database("login").await;
    run(&mut admin, "CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY AUTO_INCREMENT)").await;
    for mode in [TlsMode::Disabled, TlsMode::Required, TlsMode::Preferred] {
        // An empty cache asks for the password itself: by RSA, or inside TLS.
        run(&mut admin, "FLUSH PRIVILEGES").await;
        for _ in 0..2 {
            let mut wanted = settings(server, "login");
            wanted.endpoint.tls = mode;
            let mut source = Running::start(wanted, Before::default()).await;
            run(&mut admin, "INSERT INTO t VALUES ()").await;
            assert_eq!(source.next().await.texts(), ["+t"], "{mode:?}");
            source.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_missing_is_one_sentence_that_says_what_to_do() {
    let servers = [servers::mysql(), servers::mariadb()];
    for server in servers.into_iter().flatten() {
        let mut admin = server.connect().await;
        run(&mut admin, "CREATE USER IF NOT EXISTS poor@'%' IDENTIFIED BY 'poor'; GRANT SELECT ON *.* TO poor@'%'").await;
        let mut wanted = settings(server, "login");
        wanted.endpoint.password = "wrong".to_owned();
        let error = Source::prepare(wanted, Before::default()).await.err().unwrap();
        assert!(matches!(&error, Error::Mysql(sluice::mysql::Error::Denied { .. })), "{error:?}");

        let mut wanted = settings(server, "login");
        (wanted.endpoint.user, wanted.endpoint.password) = ("poor".to_owned(), "poor".to_owned());
        let findings = check(&wanted).await.unwrap();
        let errors: Vec<&str> = findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| finding.text.as_str())
            .collect();
        assert_eq!(
            errors,
            ["the account `poor` lacks REPLICATION SLAVE, REPLICATION CLIENT: \
              GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'poor'@'%'"],
            "{:?}",
            server.flavor
        );
        let mut wanted = settings(server, "login");
        wanted.replica.server_id = if server.flavor == Flavor::MySql { 1 } else { 2 };
        let error = Source::prepare(wanted, Before::default()).await.err().unwrap();
        assert!(error.to_string().contains("canal.instance.mysql.slaveId"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_binlog_is_refused_and_one_with_statements_in_it_is_warned_of() {
    let Some(server) = servers::private_mysql(&["--skip-log-bin"]) else { return };
    let error = Source::prepare(settings(&server, "x"), Before::default()).await.err().unwrap();
    assert!(error.to_string().contains("set log_bin"), "{error}");
    let Some(server) = servers::private_mariadb(&["--binlog-format=MIXED"]) else { return };
    Source::prepare(settings(&server, "x"), Before::default()).await.unwrap();
    let findings = check(&settings(&server, "x")).await.unwrap();
    let warned = findings.iter().find(|one| one.text.contains("binlog_format is MIXED")).unwrap();
    assert_eq!(warned.severity, Severity::Warning);
}
