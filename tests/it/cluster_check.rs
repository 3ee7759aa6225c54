//! `sluice check` against a real Kafka node that wants TLS, a login and rights: each wrong setting
//! and each missing right gives one sentence that says what to do, and nothing is taken from a
//! producer that is at work under the instance's transactional id.

mod node;
mod running;
mod starting;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use std::time::Duration;

use self::node::{Node, Right};
use crate::harness::program::{Ended, Sluice};
use crate::harness::servers::{mysql, run};
use crate::harness::{PATIENCE, say, wait_for};

const LOGIN: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required";

/// All that the user of the cluster needs.
const RIGHTS: [Right; 13] = [
    Right::topics("__sluice.a.", "Read"),
    Right::topics("__sluice.a.", "Write"),
    Right::topics("__sluice.a.", "Create"),
    Right::topics("__sluice.a.", "DescribeConfigs"),
    Right::topics("clustercheck.", "Write"),
    Right::topics("clustercheck.", "Create"),
    Right::topics("clustercheck.", "DescribeConfigs"),
    Right::cluster("DescribeConfigs"),
    Right::transactional_id("__sluice.a", "Write"),
    // Statements without a table.
    Right::topics("a", "Write"),
    Right::topics("a", "Create"),
    Right::topics("a", "DescribeConfigs"),
    Right::group("__sluice.a.lock", "Read"),
];

fn check(sluice: &Sluice) -> Ended {
    sluice.command(&["check"])
}

/// Runs it until what the authorizer knows has arrived, and the sentence with it.
fn says(sluice: &Sluice, what: &str, code: i32, words: &[&str]) {
    let mut last = String::new();
    let said = || {
        let ended = check(sluice);
        let known = ended.code == Some(code) && words.iter().all(|word| ended.said.contains(word));
        last = ended.said;
        known.then_some(())
    };
    let limit = Duration::from_secs(20);
    let came =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait_for(what, limit, said)));
    assert!(came.is_ok(), "{what}: no {words:?} with {code} in\n{last}");
    assert!(!last.contains("s3cret"), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_setting_and_each_missing_right_is_one_sentence_and_nobody_is_fenced() {
    let (Some(mysql), Some(node)) = (mysql(), Node::start()) else { return };
    let mut source = mysql.database("clustercheck").await;
    run(&mut source, "CREATE TABLE t (a INT PRIMARY KEY)").await;
    let mut sluice = Sluice::new();
    sluice.instance("a", mysql, &[("canal.instance.filter.regex", r"clustercheck\..*")]);
    let good = [
        ("canal.serverMode", "kafka"),
        ("kafka.bootstrap.servers", &*node.sasl_ssl()),
        ("kafka.security.protocol", "SASL_SSL"),
        ("kafka.sasl.mechanism", "SCRAM-SHA-512"),
        ("kafka.sasl.jaas.config", &*format!("{LOGIN} username=\"eve\" password=\"s3cret\";")),
        ("kafka.ssl.truststore.location", &*node.authority()),
        ("kafka.topic.min.insync.replicas", "1"),
        ("kafka.topic.replication.factor", "1"),
        ("kafka.transaction.timeout.ms", "60000"),
    ];
    let set = |sluice: &mut Sluice| good.iter().for_each(|(key, value)| sluice.canal(key, value));
    set(&mut sluice);

    // Settings, while there are no rights yet.
    let wrong: [(&str, &str, &str); 7] = [
        ("kafka.bootstrap.servers", "127.0.0.1:9", "127.0.0.1:9 cannot be reached"),
        ("kafka.bootstrap.servers", &node.plaintext(), "no TLS with"),
        ("kafka.security.protocol", "PLAINTEXT", "speaks TLS: write kafka.security.protocol = SSL"),
        (
            "kafka.sasl.jaas.config",
            &format!("{LOGIN} username=\"eve\" password=\"wrong\";"),
            "refuses the login of `eve` by SCRAM-SHA-512",
        ),
        (
            "kafka.sasl.jaas.config",
            &format!("{LOGIN} username=\"eve\" password=\"${{file:/nowhere}}\";"),
            "cannot read /nowhere",
        ),
        ("kafka.ssl.truststore.location", "", "is not accepted"),
        ("kafka.ssl.truststore.location", "/nowhere", "kafka.ssl.truststore.location, "),
    ];
    for (key, value, word) in wrong {
        sluice.canal(key, value);
        let ended = check(&sluice);
        assert!(
            ended.code == Some(1) && ended.said.contains(word),
            "{key} = {value}: {}",
            ended.said
        );
        let errors = ended.said.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(errors.count(), 1, "{key} = {value}: {}", ended.said);
        assert!(!ended.said.contains("s3cret"), "{}", ended.said);
        set(&mut sluice);
    }
    // The same user by the other mechanism, and by PLAIN, with a bare name of the host.
    for (mechanism, module) in [
        ("SCRAM-SHA-256", LOGIN),
        ("PLAIN", "org.apache.kafka.common.security.plain.PlainLoginModule required"),
    ] {
        sluice.canal("kafka.sasl.mechanism", mechanism);
        let line = format!("{module} username=\"eve\" password=\"s3cret\";");
        sluice.canal("kafka.sasl.jaas.config", &line);
        says(
            &sluice,
            mechanism,
            1,
            &[
                "they may not be seen: allow",
                "the right Write on transactional id __sluice.a is missing",
            ],
        );
    }
    set(&mut sluice);

    // Rights, one taken at a time; the topics are not there yet.
    for right in &RIGHTS {
        node.allow(right).await;
    }
    says(
        &sluice,
        "all rights",
        0,
        &["everything is ready", "a source transaction may take up to 900 s"],
    );
    let missing = [
        (2, 1, "they are not there and may not be made: allow Create"),
        (5, 1, "they are not there and may not be made: allow Create"),
        (7, 0, "may not be read (cluster authorization failed)"),
        (8, 1, "the right Write on transactional id __sluice.a is missing"),
        (12, 1, "the right Read on consumer group __sluice.a.lock is missing"),
    ];
    for (number, code, word) in missing {
        node.deny(&RIGHTS[number]).await;
        says(&sluice, word, code, &[word]);
        node.allow(&RIGHTS[number]).await;
    }
    // And of topics that are there.
    node.make("__sluice.a.positions", &[("cleanup.policy", "compact")]).await;
    node.make("clustercheck.t", &[("max.message.bytes", "5000")]).await;
    says(&sluice, "a topic's size", 0, &["topic clustercheck.t takes messages up to 5000 bytes"]);
    let missing = [
        (0, 1, "topics __sluice.a.positions: the right Read is missing"),
        (3, 1, "topics __sluice.a.positions: their settings may not be read"),
        (4, 1, "topics clustercheck.t: they may not be seen"),
        (6, 0, "the settings of topic clustercheck.t may not be read"),
    ];
    for (number, code, word) in missing {
        node.deny(&RIGHTS[number]).await;
        says(&sluice, word, code, &[word]);
        node.allow(&RIGHTS[number]).await;
    }

    // Topics that take nothing of ours, or lose it.
    node.make("__sluice.a.parked", &[]).await;
    node.make("__sluice.a.xa", &[]).await;
    node.make("clustercheck.k", &[("cleanup.policy", "compact,delete")]).await;
    run(&mut source, "CREATE TABLE k (a INT PRIMARY KEY)").await;
    says(
        &sluice,
        "topics as an administrator makes them",
        1,
        &[
            "topics __sluice.a.parked: their retention.ms is 604800000, and has to be -1",
            "--entity-name __sluice.a.parked --add-config retention.ms=-1",
            "topics __sluice.a.xa: their cleanup.policy is delete, and has to be compact",
            "topics clustercheck.k: they take no record without a key",
            "without the right Delete on topic __sluice.a.parked",
            "without the right Read on topic clustercheck.t",
        ],
    );
    sluice.canal("kafka.topic.cleanup.policy", "compact");
    says(&sluice, "a compacted topic is asked for", 1, &["kafka.topic.cleanup.policy: "]);
    sluice.canal("kafka.topic.cleanup.policy", "delete");
    run(&mut source, "DROP TABLE k").await;

    // What the cluster cannot do.
    for (key, value, word) in [
        (
            "kafka.topic.replication.factor",
            "3",
            "cannot be made with kafka.topic.replication.factor = 3",
        ),
        ("kafka.transaction.timeout.ms", "2000000", "write kafka.transaction.timeout.ms = 900000"),
    ] {
        sluice.canal(key, value);
        says(&sluice, word, 1, &[word]);
        set(&mut sluice);
    }
    node.make("clustercheck.u", &[("min.insync.replicas", "2")]).await;
    run(&mut source, "CREATE TABLE u (a INT PRIMARY KEY)").await;
    says(
        &sluice,
        "min.insync.replicas",
        1,
        &["topics clustercheck.u: with 1 replicas and min.insync.replicas = 2 they take nothing"],
    );

    // An owner at work is left alone.
    let mut settings = crate::harness::topics::settings(&node.plaintext());
    settings.set("transactional.id", "__sluice.a");
    let owner: BaseProducer = settings.create().unwrap();
    owner.init_transactions(PATIENCE).unwrap();
    owner.begin_transaction().unwrap();
    owner.send(BaseRecord::<(), str>::to("clustercheck.t").payload("one")).unwrap();
    owner.flush(PATIENCE).unwrap();
    for _ in 0..10 {
        says(&sluice, "beside an owner", 1, &["clustercheck.u"]);
    }
    owner.commit_transaction(PATIENCE).unwrap();
    say("the owner went on");
}
