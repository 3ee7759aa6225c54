//! Into a cluster of three real nodes, of which some die: with one of them gone it goes on, with two
//! it waits and says for what, and goes on by itself.
//!
//! What is read is what a `read_committed` consumer sees: each change once, in order.

use std::time::{Duration, Instant};

use crate::harness::cluster::{Cluster, three_nodes};
use crate::harness::load::Load;
use crate::harness::servers::{mysql, run};
use crate::harness::{PATIENCE, Random, Sluice, asked, say, wait_for};

const TOPICS: [&str; 2] = ["three_nodes.t", "three_nodes.u"];

fn ids(cluster: &Cluster, topic: &str) -> Vec<u64> {
    let records = cluster.read(topic);
    let rows = records.iter().flat_map(|record| record.json()["data"].as_array().unwrap().clone());
    rows.map(|row| row["id"].as_str().unwrap().parse().unwrap()).collect()
}

/// Waits until what is committed now is published.
fn goes_on(cluster: &Cluster, load: &Load) -> Duration {
    let (begun, wanted) = (Instant::now(), load.last() + 1);
    wait_for(&format!("row {wanted}"), PATIENCE, || {
        ids(cluster, TOPICS[0]).last().is_some_and(|last| *last >= wanted).then_some(())
    });
    begun.elapsed()
}

/// Each change once, in order, and nothing that is open.
fn is_whole(cluster: &Cluster, last: u64) {
    let wanted: Vec<u64> = (1..=last).collect();
    for topic in TOPICS {
        wait_for(&format!("row {last} in {topic}"), PATIENCE, || {
            ids(cluster, topic).contains(&last).then_some(())
        });
        let seen = ids(cluster, topic);
        assert_eq!(seen.len(), wanted.len(), "of {topic}, of which the last is {:?}", seen.last());
        assert_eq!(seen, wanted, "{topic}");
    }
}

/// `SLUICE_THREE_TURNS` as many random turns behind it, in which nodes die and come back.
#[tokio::test(flavor = "multi_thread")]
async fn with_one_node_gone_it_goes_on_and_with_two_it_waits_and_says_for_what() {
    let Some(mysql) = mysql() else { return };
    let Some(cluster) = three_nodes() else { return };
    let mut source = mysql.database("three_nodes").await;
    for table in ["t", "u"] {
        run(&mut source, &format!("CREATE TABLE {table} (id INT PRIMARY KEY, pad TEXT)")).await;
    }
    let filter = ("canal.instance.filter.regex", r"three_nodes\..*");
    let mut sluice = Sluice::with_instance("three", mysql, &[filter]);
    sluice.canal("canal.serverMode", "kafka");
    sluice.canal("kafka.bootstrap.servers", &cluster.bootstrap());
    sluice.start();
    let load = Load::begin(mysql, "three_nodes", Duration::from_millis(20)).await;
    goes_on(&cluster, &load);
    cluster.until_all_are_there();

    let leader = cluster.leader(TOPICS[0]);
    cluster.kill(leader);
    let after = goes_on(&cluster, &load);
    say(&format!("without the leader of {} it went on after {after:?}", TOPICS[0]));
    cluster.launch(leader);
    cluster.until_all_are_there();

    // The coordinator of its transactions, and the next.
    let coordinator = cluster.coordinator("__sluice.three").await;
    let two = [coordinator, (coordinator + 1) % 3];
    for node in two {
        cluster.kill(node);
    }
    let body = wait_for("it to say what it waits for", PATIENCE, || {
        let (code, body) = sluice.health()?;
        let named = two.iter().any(|node| body.contains(&cluster.address(*node)));
        (code == 503 && body.contains("Kafka cluster") && named).then_some(body)
    });
    say(&format!("without two: {body}"));
    let said = sluice.said();
    assert!(said.contains("Kafka cluster"), "nothing of it is in the log: {said}");
    for node in two {
        cluster.launch(node);
    }
    let after = goes_on(&cluster, &load);
    say(&format!("with both back it went on after {after:?}"));
    sluice.wait_until_ready();

    let turns = asked::number("SLUICE_THREE_TURNS").unwrap_or_default();
    let mut random = Random::seeded("SLUICE_THREE_SEED");
    for turn in 0..turns {
        let first = usize::try_from(random.below(3)).unwrap();
        let dying = [first, (first + 1) % 3];
        let dying = &dying[..=usize::from(random.once_in(3))];
        for node in dying {
            cluster.kill(*node);
        }
        std::thread::sleep(Duration::from_millis(random.below(8000)));
        for node in dying {
            cluster.launch(*node);
        }
        if random.below(2) == 0 {
            cluster.until_all_are_there();
        }
        let after = goes_on(&cluster, &load);
        say(&format!("turn {turn}: without {dying:?}, it went on after {after:?}"));
    }

    let last = load.end().await;
    is_whole(&cluster, last);
    sluice.stop();
    cluster.until_all_are_there();
    wait_for("no transaction to be open", PATIENCE, || cluster.hidden().is_empty().then_some(()));
    let listed = cluster.transactions();
    assert!(listed.contains("__sluice.three"), "{listed}");
    assert!(!listed.contains("Ongoing") && !listed.contains("Prepare"), "{listed}");
    is_whole(&cluster, last);
}
