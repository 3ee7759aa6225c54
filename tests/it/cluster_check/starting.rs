//! A process that is started with a wrong setting of its cluster: it stays up, and says in one
//! sentence what is wrong and which setting to look at; with the right one it runs.

use super::LOGIN;
use super::node::{Node, Right};
use crate::harness::program::Sluice;
use crate::harness::servers::{mysql, run};
use crate::harness::{PATIENCE, say, wait_for};

/// What an instance needs that makes its own topics, and one of a table.
const RIGHTS: [Right; 10] = [
    Right::topics("__sluice.a.", "Read"),
    Right::topics("__sluice.a.", "Write"),
    Right::topics("__sluice.a.", "Create"),
    Right::topics("__sluice.a.", "DescribeConfigs"),
    Right::topics("clusterstart.", "Write"),
    Right::topics("clusterstart.", "Create"),
    Right::topics("a", "Write"),
    Right::topics("a", "Create"),
    Right::transactional_id("__sluice.a", "Write"),
    Right::group("__sluice.a.lock", "Read"),
];

#[tokio::test(flavor = "multi_thread")]
async fn started_with_a_wrong_setting_an_instance_names_it_and_with_the_right_one_it_runs() {
    let (Some(mysql), Some(node)) = (mysql(), Node::start()) else { return };
    let mut source = mysql.database("clusterstart").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    for right in &RIGHTS {
        node.allow(right).await;
    }
    let filter = ("canal.instance.filter.regex", r"clusterstart\..*");
    let mut sluice = Sluice::with_instance("a", mysql, &[filter]);
    let login = |password: &str| format!("{LOGIN} username=\"eve\" password=\"{password}\";");
    let good = [
        ("canal.serverMode", "kafka"),
        ("kafka.bootstrap.servers", &*node.sasl_ssl()),
        ("kafka.security.protocol", "SASL_SSL"),
        ("kafka.sasl.mechanism", "SCRAM-SHA-512"),
        ("kafka.sasl.jaas.config", &*login("s3cret")),
        ("kafka.ssl.truststore.location", &*node.authority()),
        ("kafka.topic.replication.factor", "1"),
        // Nothing has this key.
        ("kafka.compresion.type", "lz4"),
    ];
    let set = |sluice: &mut Sluice| good.iter().for_each(|(key, value)| sluice.canal(key, value));
    // Of an authority that nobody knows here.
    let other = sluice.folder("other.pem");
    std::fs::write(&other, super::node::unknown_authority()).unwrap();
    let other = other.display().to_string();
    let wrong = [
        (
            "kafka.sasl.jaas.config",
            &*login("wr0ng"),
            &["invalid credentials", "kafka.sasl.jaas.config"],
        ),
        (
            "kafka.ssl.truststore.location",
            &*other,
            &["certificate verify failed", "kafka.ssl.truststore.location"],
        ),
        (
            "kafka.topic.replication.factor",
            "3",
            &["not as many brokers", "ask for fewer copies (kafka.topic.replication.factor)"],
        ),
    ];
    for (key, value, words) in wrong {
        set(&mut sluice);
        sluice.canal(key, value);
        sluice.launch();
        let mut last = String::new();
        let said = || {
            let (code, body) = sluice.health()?;
            let all = code == 503 && words.iter().all(|word| body.contains(word));
            last = body;
            all.then_some(())
        };
        let came = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for("the setting to be named", PATIENCE, said);
        }));
        assert!(came.is_ok(), "{key}: no {words:?} in {last}");
        say(&format!("{key}: {last}"));
        for secret in ["s3cret", "wr0ng"] {
            assert!(!last.contains(secret) && !sluice.said().contains(secret), "{last}");
        }
        sluice.stop();
    }
    set(&mut sluice);
    sluice.start();
    let unknown = "unknown key kafka.compresion.type: did you mean kafka.compression.type?";
    assert!(sluice.said().contains(unknown), "{}", sluice.said());
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    wait_for("the row", PATIENCE, || {
        let read = crate::harness::kafka::read(&node.plaintext(), "clusterstart.t");
        (read.len() == 1).then_some(())
    });
    sluice.stop();
}
