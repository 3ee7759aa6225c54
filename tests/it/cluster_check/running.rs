//! An instance that runs under exactly the rights of `docs/kafka-settings.md`, and without each of
//! them: it stops with one sentence that names the right and what it is on, and goes on when it
//! has the right; or it does without, as the page says.

use super::LOGIN;
use super::node::{Node, Right};
use crate::harness::kafka::read;
use crate::harness::program::Sluice;
use crate::harness::servers::{mysql, run};
use crate::harness::{PATIENCE, say, wait_for};

/// What an instance does without a right.
enum Without {
    /// It stops and says this.
    Stops(&'static [&'static str]),
    /// It runs.
    Runs,
}

use Without::{Runs, Stops};

/// The rights of the page, in an order in which topics are missing as long as the right to make
/// them counts.
const RIGHTS: [(Right, Without); 15] = [
    (Right::topics("__sluice.a.", "Create"), Stops(&["topic __sluice.a.", "CREATE"])),
    (Right::topics("clusterrun.", "Create"), Stops(&["topic clusterrun.", "CREATE"])),
    (
        Right::transactional_id("__sluice.a", "Write"),
        Stops(&["no right to the transactional id", "WRITE"]),
    ),
    (Right::topics("__sluice.a.", "Read"), Stops(&["topic __sluice.a.", "READ"])),
    (Right::group("__sluice.a.lock", "Read"), Stops(&["group __sluice.a.lock", "READ"])),
    (Right::topics("__sluice.a.", "Write"), Stops(&["topic __sluice.a.positions ", "WRITE"])),
    (
        Right::topics("__sluice.a.", "DescribeConfigs"),
        Stops(&["topic __sluice.a.", "DESCRIBE_CONFIGS"]),
    ),
    (Right::topics("clusterrun.t", "Write"), Stops(&["topic clusterrun.t ", "WRITE"])),
    (Right::topics("clusterrun.u", "Write"), Stops(&["topic clusterrun.u ", "WRITE"])),
    (Right::topics("clusterrun.v", "Write"), Stops(&["topic clusterrun.v ", "WRITE"])),
    (Right::topics("a", "Write"), Stops(&["topic a ", "WRITE"])),
    (Right::topics("clusterrun.", "DescribeConfigs"), Runs),
    (Right::topics("clusterrun.", "Read"), Runs),
    (Right::topics("__sluice.a.parked", "Delete"), Runs),
    (Right::cluster("DescribeConfigs"), Runs),
];

/// That of the topic of statements without a table; other tests make databases at any time.
const STATEMENTS: Right = Right::topics("a", "Create");
const DELETE: Right = Right::topics("__sluice.a.parked", "Delete");
/// A right to see topics that may not be written.
const DESCRIBE: Right = Right::topics("clusterrun.", "Describe");

const TABLES: [&str; 3] = ["t", "u", "v"];

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_runs_with_the_rights_of_the_page_and_names_each_that_is_missing() {
    let (Some(mysql), Some(node)) = (mysql(), Node::start()) else { return };
    let mut source = mysql.database("clusterrun").await;
    for table in TABLES {
        run(&mut source, &format!("CREATE TABLE {table} (id INT PRIMARY KEY, pad TEXT)")).await;
    }
    let properties =
        [("canal.instance.filter.regex", r"clusterrun\..*"), ("sluice.table.error", "park")];
    let mut sluice = Sluice::with_instance("a", mysql, &properties);
    let password = sluice.folder("password");
    std::fs::write(&password, "s3cret").unwrap();
    let login = format!("{LOGIN} username=\"eve\" password=\"${{file:{}}}\";", password.display());
    for (key, value) in [
        ("canal.serverMode", "kafka"),
        ("kafka.bootstrap.servers", &*node.sasl_ssl()),
        ("kafka.security.protocol", "SASL_SSL"),
        ("kafka.sasl.mechanism", "SCRAM-SHA-512"),
        ("kafka.sasl.jaas.config", &*login),
        ("kafka.ssl.truststore.location", &*node.authority()),
        ("kafka.topic.max.message.bytes", "20000"),
    ] {
        sluice.canal(key, value);
    }
    for right in RIGHTS.iter().map(|(right, _)| right).chain([&STATEMENTS]) {
        node.allow(right).await;
    }
    let mut rows = 0;
    for (number, (right, without)) in RIGHTS.iter().enumerate() {
        say(&format!("without {right:?}"));
        node.deny(right).await;
        // A right to write has that to see in it: without it a topic is not there. And once it is
        // seen, and may not be written all the same.
        let is_seen = matches!(without, Stops(words) if words[0] == "topic clusterrun.u ");
        if is_seen {
            node.allow(&DESCRIBE).await;
        }
        // Before the instance has begun there is nothing to find.
        if number > 0 {
            rows += 1;
            run(&mut source, "CREATE DATABASE clusterrun_other").await;
            run(&mut source, "DROP DATABASE clusterrun_other").await;
            run(&mut source, "BEGIN").await;
            for table in TABLES {
                run(&mut source, &format!("INSERT INTO {table} VALUES ({rows}, '')")).await;
            }
            run(&mut source, "COMMIT").await;
        }
        begin(&mut sluice, number == 0);
        match without {
            Runs => {}
            Stops(words) => {
                let body = wait_for("it to stop", PATIENCE, || {
                    let (_, body) = sluice.health()?;
                    body.contains(r#""state":"stopped""#).then_some(body)
                });
                for word in *words {
                    assert!(body.contains(word), "without {right:?}: no `{word}` in {body}");
                }
                let advice = ["kafka-acls.sh", "allow "].iter().any(|word| body.contains(word));
                assert!(advice, "without {right:?}: {body}");
                assert!(!body.contains("s3cret"), "{body}");
                node.allow(right).await;
                let _ = sluice.command(&["instance", "start", "a"]);
            }
        }
        until_published(&sluice, &node, rows, right);
        let _ = sluice.command(&["instance", "stop", "a"]);
        if let Runs = without {
            node.allow(right).await;
        }
        if is_seen {
            node.deny(&DESCRIBE).await;
        }
    }

    // A password that is another since is read by the running process.
    node.set_password("an0ther").await;
    std::fs::write(&password, "an0ther").unwrap();
    let _ = sluice.command(&["instance", "start", "a"]);
    rows += 1;
    for table in TABLES {
        run(&mut source, &format!("INSERT INTO {table} VALUES ({rows}, '')")).await;
    }
    until_published(&sluice, &node, rows, &STATEMENTS);
    let _ = sluice.command(&["instance", "stop", "a"]);

    // Of what is parked no more the letters stay where they may not be removed.
    let _ = sluice.command(&["instance", "start", "a"]);
    run(&mut source, "INSERT INTO t VALUES (1000, REPEAT('x', 50000))").await;
    parked(&sluice, "takes 20000");
    node.deny(&DELETE).await;
    let dropped = sluice.command(&["instance", "drop-parked", "a", "clusterrun.t"]);
    assert_eq!(dropped.code, Some(0), "{}", dropped.said);
    let said = sluice.said();
    assert!(said.contains("DELETE") && said.contains("__sluice.a.parked"), "{said}");
    sluice.stop();
}

fn parked(sluice: &Sluice, word: &str) {
    wait_for("the table to be parked", PATIENCE, || {
        let (_, body) = sluice.health()?;
        let (_, parked) = body.split_once(r#""parked":[{"#)?;
        parked.contains(word).then_some(())
    });
}

fn begin(sluice: &mut Sluice, first: bool) {
    if first {
        sluice.launch();
    } else {
        let _ = sluice.command(&["instance", "start", "a"]);
    }
}

/// Waits until all tables have so many records, and the instance is well.
fn until_published(sluice: &Sluice, node: &Node, rows: usize, right: &Right) {
    let mut last = String::new();
    let published = || {
        let (status, body) = sluice.health()?;
        let all = status == 200
            && TABLES
                .iter()
                .all(|table| read(&node.plaintext(), &format!("clusterrun.{table}")).len() == rows);
        last = body;
        all.then_some(())
    };
    let came = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("all rows", PATIENCE, published);
    }));
    assert!(came.is_ok(), "{right:?}: {rows} rows are not there: {last}");
}
