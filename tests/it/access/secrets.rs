//! Secrets that are not in the configuration: read at each connect, and shown nowhere.

use super::certificates::{Authority, Kind};
use super::{Certified, in_folder};
use crate::harness::servers::run;
use crate::harness::{PATIENCE, Sluice, topics, wait_for};

#[tokio::test]
async fn rotated_secrets_are_read_at_each_connect_and_shown_nowhere() {
    let authority = Authority::new("ours");
    let Some(server) = Certified::mysql(&authority) else { return };
    let folder = &server.folder;
    let client = authority.sign(Kind::CommonName);
    std::fs::write(folder.path().join("client.pem"), client.pem()).unwrap();
    let secret = folder.path().join("password");
    std::fs::write(&secret, "first-s3cret\n").unwrap();
    let mut source = server.server.database("rotated").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let account = "CREATE USER rotated@'%' IDENTIFIED BY 'first-s3cret' REQUIRE X509; \
        GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO rotated@'%'";
    run(&mut source, account).await;

    let password = format!("${{exec:cat {}}}", secret.display());
    let url = |file: &str| format!("file:{}", in_folder(folder, file));
    let address = format!("localhost:{}", server.server.port);
    let settings = [
        ("canal.instance.master.address", address.as_str()),
        ("canal.instance.dbUsername", "rotated"),
        ("canal.instance.dbPassword", password.as_str()),
        ("canal.instance.filter.regex", r"rotated\..*"),
        ("canal.instance.master.sslMode", "VERIFY_IDENTITY"),
        ("canal.instance.master.trustCertificateKeyStoreUrl", &url("ca.pem")),
        ("canal.instance.master.clientCertificateKeyStoreUrl", &url("client.pem")),
    ];
    let mut sluice = Sluice::with_instance("rotated", &server.server, &settings);
    sluice.start();
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    topics::read_at_least(&sluice.bootstrap(), "rotated.t", 1);

    // The password changes on both sides, and the connection breaks.
    run(&mut source, "ALTER USER rotated@'%' IDENTIFIED BY 'second-s3cret'").await;
    std::fs::write(&secret, "second-s3cret\n").unwrap();
    cut(&mut source).await;
    run(&mut source, "INSERT INTO t VALUES (2)").await;
    topics::read_at_least(&sluice.bootstrap(), "rotated.t", 2);

    // It changes on one side first: it is tried again.
    run(&mut source, "ALTER USER rotated@'%' IDENTIFIED BY 'third-s3cret'").await;
    cut(&mut source).await;
    awaited(&sluice, "refuses user `rotated`");
    std::fs::remove_file(&secret).unwrap();
    let place = "instances/rotated/instance.properties:";
    let said = awaited(&sluice, "canal.instance.dbPassword (");
    assert!(said.contains(place) && said.contains("exit status"), "{said}");
    std::fs::write(&secret, "third-s3cret").unwrap();
    run(&mut source, "INSERT INTO t VALUES (3)").await;
    topics::read_at_least(&sluice.bootstrap(), "rotated.t", 3);

    let metrics = sluice.metrics().unwrap().1;
    let health = sluice.health().unwrap().1;
    sluice.stop();
    for text in [sluice.said(), metrics, health] {
        assert!(!text.contains("s3cret"), "{text}");
    }
    drop(server);
}

/// Waits until `/health` says so.
fn awaited(sluice: &Sluice, words: &str) -> String {
    wait_for(words, PATIENCE, || {
        let health = sluice.health()?.1;
        assert!(!health.contains(r#""state":"stopped""#), "{health}");
        health.contains(words).then_some(health)
    })
}

/// Kills all connections of the account; one that has just ended by itself counts too.
async fn cut(source: &mut sqlx::MySqlConnection) {
    let ids: Vec<(u64,)> =
        sqlx::query_as("SELECT id FROM information_schema.processlist WHERE user = 'rotated'")
            .fetch_all(&mut *source)
            .await
            .unwrap();
    assert!(!ids.is_empty());
    for (id,) in ids {
        let killed =
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("KILL {id}"))).execute(&mut *source).await;
        if let Err(error) = killed {
            assert!(error.to_string().contains("Unknown thread id"), "{error}");
        }
    }
}
