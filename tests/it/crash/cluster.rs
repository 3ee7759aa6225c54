//! Exactly once into a Kafka cluster, whatever is killed.
//!
//! The same load as into the bundled log, and the same judges, but what a `read_committed`
//! consumer sees counts: transactions that were rolled back are there, and are nobody's business.
//! Killed (-9) are sluice, the broker, and both at once. The short form kills three times;
//! `SLUICE_CLUSTER_KILLS=40` is the long one.

use std::time::Duration;

use super::load::{self, Load};
use super::watcher::Watcher;
use super::{FILTER, judgement};
use crate::harness::{self, Kafka, Random, Sluice, asked, say};

/// Some rows of the load have 1.5 MB.
const LARGE: &str = "message.max.bytes=4000000\n";

#[test]
fn into_a_cluster_it_publishes_each_change_once_and_in_order() {
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    let Some(kafka) = harness::kafka::private_kafka(LARGE) else { return };
    let seed = asked::seed("SLUICE_CRASH_SEED");
    let strikes: u64 = asked::number_or("SLUICE_CLUSTER_KILLS", 3);
    let mut random = Random::new(seed);

    load::prepare(&mysql);
    let mut sluice = Sluice::with_instance("crash", &mysql, &[FILTER]);
    sluice.use_cluster(&kafka);
    sluice.start();
    let load = Load::start(&mysql, seed);
    let watcher = Watcher::start(&kafka.bootstrap());
    for strike in 0..strikes {
        std::thread::sleep(Duration::from_millis(500 + random.below(2000)));
        kill(strike, &mut sluice, &kafka, &mut random);
    }
    std::thread::sleep(Duration::from_millis(500));
    let committed = load.stop();
    sluice.wait_until_ready();

    let published = judgement::drained_of(&committed, |topic| kafka.read(topic));
    let watched = watcher.stop(&published);
    let records: usize = published.values().map(Vec::len).sum();
    say(&format!(
        "{} transactions and {} ALTERs in {records} records",
        committed.transactions(),
        committed.ddl.len(),
    ));
    judgement::each_change_once_and_in_order(&committed, &published);
    judgement::each_alter_once_and_between_its_rows(&committed, &published);
    judgement::headers_number_each_transaction(&published);
    judgement::replayed_it_is_the_source(&mysql, &published);
    judgement::seen_is_what_is_there(&watched, &published);
    sluice.stop();
}

/// Sluice, the broker, both: each once before the first comes again.
fn kill(strike: u64, sluice: &mut Sluice, kafka: &Kafka, random: &mut Random) {
    let pause = || Duration::from_millis(500);
    match strike % 3 {
        0 => {
            sluice.kill();
            sluice.launch();
        }
        1 => {
            kafka.kill();
            std::thread::sleep(pause());
            kafka.start();
        }
        _ => {
            kafka.kill();
            sluice.kill();
            sluice.launch();
            std::thread::sleep(pause());
            kafka.start();
        }
    }
    // Sometimes it is struck again while it still opens its sink.
    if random.below(3) > 0 {
        sluice.wait_until_ready();
    }
}
