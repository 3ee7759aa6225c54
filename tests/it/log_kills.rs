//! Real kills (-9) while the log compacts, deletes topics, lets old records go and uses files of
//! its journal again, under idempotent producers that live on over them: nothing acknowledged is
//! lost or comes twice, nothing deleted comes back, and no file or descriptor is left over.
//!
//! `SLUICE_LOG_KILLS` says how many kills (3); `SLUICE_LOG_KILLS_SEED` repeats their moments.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

use crate::harness::{PATIENCE, Random, Sluice, asked, topics, wait_for};

/// Partitions of the topic that keeps all.
const PARTITIONS: i32 = 3;
/// Keys of the compacted topic.
const KEYS: u64 = 40;
/// Topics that come and go.
const PASSING: usize = 12;

/// An idempotent producer that goes on over any number of starts of the broker.
fn producer(bootstrap: &str, codec: &str) -> ThreadedProducer<DefaultProducerContext> {
    let mut settings = topics::settings(bootstrap);
    settings
        .set("enable.idempotence", "true")
        .set("compression.codec", codec)
        .set("linger.ms", "2")
        .set("message.timeout.ms", "300000")
        .set("retry.backoff.max.ms", "200");
    settings.create().unwrap()
}

fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    topics::client(bootstrap)
}

async fn create(admin: &AdminClient<DefaultClientContext>, name: &str, settings: &[(&str, &str)]) {
    let partitions = if name == "steady" { PARTITIONS } else { 1 };
    let mut new = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        new = new.set(key, value);
    }
    let made = admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
    made[0].as_ref().unwrap_or_else(|error| panic!("{name}: {error:?}"));
}

/// Sends until told to stop. Returns how many went to each partition of `steady`, the newest value
/// of each key of `keyed`, and how many went to `aged`.
fn load(bootstrap: &str, stop: &AtomicBool) -> (Vec<u64>, BTreeMap<String, Option<String>>, u64) {
    let (plain, packed) = (producer(bootstrap, "none"), producer(bootstrap, "lz4"));
    let mut steady = vec![0; PARTITIONS as usize];
    let (mut keyed, mut aged) = (BTreeMap::new(), 0);
    let filler = "x".repeat(300);
    let mut random = Random::new(77);
    for n in 0_u64.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let partition = usize::try_from(n).unwrap() % steady.len();
        let value = format!("{} {filler}", steady[partition]);
        let number = i32::try_from(partition).unwrap();
        let record = BaseRecord::<(), _>::to("steady").partition(number).payload(&value);
        if plain.send(record).is_ok() {
            steady[partition] += 1;
        }
        let key = format!("key {}", random.below(KEYS));
        let value = (random.below(4) > 0).then(|| format!("{n} {filler}"));
        let mut record = BaseRecord::<String, String>::to("keyed").partition(0).key(&key);
        if let Some(value) = &value {
            record = record.payload(value);
        }
        if packed.send(record).is_ok() {
            keyed.insert(key, value);
        }
        let value = format!("{aged} {filler}");
        if plain.send(BaseRecord::<(), _>::to("aged").partition(0).payload(&value)).is_ok() {
            aged += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    for producer in [&plain, &packed] {
        producer.flush(Timeout::After(PATIENCE)).unwrap();
        assert_eq!(producer.in_flight_count(), 0);
    }
    (steady, keyed, aged)
}

/// Makes and deletes topics until told to stop. Gives what became of each name: whether it must be
/// there; none if nobody can say.
async fn come_and_go(bootstrap: &str, stop: &AtomicBool) -> BTreeMap<String, Option<bool>> {
    let admin = admin(bootstrap);
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(2)));
    let mut known = BTreeMap::new();
    for n in 0.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let name = format!("passing.{}", n % PASSING);
        let is_there = known.get(&name).copied().flatten();
        let done = if is_there == Some(true) {
            let deleted = admin.delete_topics(&[&name], &options).await;
            deleted.is_ok_and(|all| all[0].is_ok()).then_some(false)
        } else {
            let new = NewTopic::new(&name, 2, TopicReplication::Fixed(1));
            let made = admin.create_topics([&new], &options).await;
            let made = made.is_ok_and(|all| all[0].is_ok());
            if made {
                let producer = producer(bootstrap, "none");
                for _ in 0..3 {
                    let _ = producer.send(BaseRecord::<(), _>::to(&name).payload("here"));
                }
                let _ = producer.flush(Duration::from_millis(300));
                producer.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
            }
            made.then_some(true)
        };
        known.insert(name, done);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    known
}

/// Offset, key and value of all that is in a partition, in order.
fn read(
    bootstrap: &str,
    topic: &str,
    partition: i32,
) -> Vec<(i64, Option<String>, Option<String>)> {
    let consumer: BaseConsumer = topics::client(bootstrap);
    let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, partition, Offset::Offset(low)).unwrap();
    consumer.assign(&from).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut found: Vec<(i64, Option<String>, Option<String>)> = Vec::new();
    while low < high && found.last().is_none_or(|(offset, ..)| *offset + 1 < high) {
        let message = consumer.poll(PATIENCE).expect("a record").unwrap();
        assert!(found.last().is_none_or(|(last, ..)| *last < message.offset()), "offsets go back");
        found.push((message.offset(), message.key().map(text), message.payload().map(text)));
    }
    found
}

fn number(value: Option<&String>) -> u64 {
    value.and_then(|value| value.split(' ').next()).unwrap().parse().unwrap()
}

/// Everything that was acknowledged, as often and in the order that it was sent.
fn judge(
    bootstrap: &str,
    (steady, keyed, aged): &(Vec<u64>, BTreeMap<String, Option<String>>, u64),
    passing: &BTreeMap<String, Option<bool>>,
    case: &str,
) {
    for (partition, count) in (0..).zip(steady) {
        let found = read(bootstrap, "steady", partition);
        let numbers: Vec<u64> = found.iter().map(|(_, _, value)| number(value.as_ref())).collect();
        let expected: Vec<u64> = (0..*count).collect();
        assert!(numbers == expected, "{case}: {} of {count} in {partition}", numbers.len());
    }
    let mut newest: BTreeMap<String, Option<String>> = BTreeMap::new();
    let records = read(bootstrap, "keyed", 0);
    for (_, key, value) in &records {
        newest.insert(key.clone().unwrap(), value.clone());
    }
    newest.retain(|_, value| value.is_some());
    let mut expected = keyed.clone();
    expected.retain(|_, value| value.is_some());
    assert!(newest == expected, "{case}: keys are lost, or came back");
    let kept = read(bootstrap, "aged", 0);
    let numbers: Vec<u64> = kept.iter().map(|(_, _, value)| number(value.as_ref())).collect();
    let first = numbers.first().copied().unwrap_or(*aged);
    assert!(numbers == (first..*aged).collect::<Vec<u64>>(), "{case}: a gap in what is kept");
    let listed = topics::list(bootstrap);
    for (name, is_there) in passing {
        if let Some(is_there) = is_there {
            assert_eq!(listed.contains_key(name), *is_there, "{case}: {name}");
        }
    }
}

/// Files that a process holds though nobody can find them any more.
fn left_open(sluice: &Sluice) -> Vec<String> {
    let process = sluice.seen_by_process("data");
    // /proc, its number, and what it sees.
    let files = process.components().take(3).collect::<PathBuf>().join("fd");
    let links = std::fs::read_dir(files).unwrap().flatten();
    let links = links.filter_map(|link| std::fs::read_link(link.path()).ok());
    let links = links.map(|link| link.display().to_string());
    links.filter(|link| link.contains("/data/") && link.ends_with("(deleted)")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_amid_all_housekeeping_lose_nothing_and_leave_nothing_over() {
    let kills: u64 = asked::number_or("SLUICE_LOG_KILLS", 3);
    let mut random = Random::seeded("SLUICE_LOG_KILLS_SEED");
    let mut sluice = Sluice::new();
    sluice.broker("log.flush.offset.checkpoint.interval.ms", "150");
    sluice.broker("log.retention.check.interval.ms", "100");
    sluice.start();
    let bootstrap = sluice.bootstrap();
    let first = admin(&bootstrap);
    create(&first, "steady", &[("internal.segment.bytes", "60000")]).await;
    let compacts = [
        ("cleanup.policy", "compact"),
        ("internal.segment.bytes", "15000"),
        ("min.cleanable.dirty.ratio", "0"),
        ("delete.retention.ms", "0"),
    ];
    create(&first, "keyed", &compacts).await;
    create(&first, "aged", &[("retention.ms", "1000"), ("internal.segment.bytes", "15000")]).await;

    let stop = AtomicBool::new(false);
    let (sent, passing) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| load(&bootstrap, &stop));
        let passing = scope.spawn(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(come_and_go(&bootstrap, &stop))
        });
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(700 + random.below(1500)));
            sluice.kill();
            sluice.start();
        }
        std::thread::sleep(Duration::from_millis(1500));
        stop.store(true, Ordering::Release);
        (sending.join().unwrap(), passing.join().unwrap())
    });
    println!("{:?} steady, {} aged, {} names", sent.0, sent.2, passing.len());
    judge(&bootstrap, &sent, &passing, "at the end");
    let (low, _) = {
        let consumer: BaseConsumer = topics::client(&bootstrap);
        consumer.fetch_watermarks("aged", 0, PATIENCE).unwrap()
    };
    assert!(low > 0, "retention removed nothing");
    let keyed = read(&bootstrap, "keyed", 0);
    let all = usize::try_from(keyed.last().map_or(0, |(offset, ..)| *offset)).unwrap();
    assert!(keyed.len() * 2 < all, "{} of {all} are left of the compacted", keyed.len());
    wait_for("files to be let go", PATIENCE, || left_open(&sluice).is_empty().then_some(()));
    sluice.stop();
    let names = topics_of_directories(&sluice);
    sluice.start();
    judge(&bootstrap, &sent, &passing, "after a stop");
    let listed = topics::list(&bootstrap);
    for name in &names {
        assert!(listed.contains_key(name) || name.starts_with("__"), "{name} is left over");
    }
    sluice.kill();
    sluice.start();
    judge(&bootstrap, &sent, &passing, "after another kill");
    sluice.stop();
}

/// The topics that have a directory; nothing else may lie there but the log's own files.
fn topics_of_directories(sluice: &Sluice) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(sluice.folder("data")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        match name.as_str() {
            "checkpoint" | "journal" | "ballast" | "lock" | ".lock" => {}
            "staged" | "compacted" => {
                let inside = std::fs::read_dir(entry.path()).unwrap().count();
                assert_eq!(inside, 0, "{name} holds files");
            }
            _ => match name.rsplit_once('-') {
                Some((topic, number)) if number.parse::<u32>().is_ok() => {
                    names.push(topic.to_owned());
                }
                _ => panic!("{name} is left over"),
            },
        }
    }
    names
}

/// What only the journal has is missed when a file of it is gone: no start goes on with less, and
/// none changes anything. Put back, it has all.
#[test]
fn a_start_without_the_journal_says_so_and_finds_all_when_it_is_put_back() {
    const RECORDS: u64 = 50;
    let mut sluice = Sluice::new();
    sluice.broker("log.flush.offset.checkpoint.interval.ms", "3600000");
    sluice.start();
    let bootstrap = sluice.bootstrap();
    let producer = producer(&bootstrap, "none");
    for n in 0..RECORDS {
        let value = n.to_string();
        producer.send(BaseRecord::<(), _>::to("kept").partition(0).payload(&value)).unwrap();
    }
    producer.flush(Timeout::After(PATIENCE)).unwrap();
    assert_eq!(producer.in_flight_count(), 0);
    sluice.kill();
    let journal = sluice.folder("data/journal");
    let files = std::fs::read_dir(&journal).unwrap().flatten().map(|entry| entry.path());
    let newest = files.filter(|path| path.extension().is_some()).max().unwrap();
    let aside = sluice.folder("aside");
    for gone in [&journal, &journal.join("current"), &newest] {
        std::fs::rename(gone, &aside).unwrap();
        let ended = sluice.run_to_its_end();
        let name = gone.file_name().unwrap().to_str().unwrap();
        assert_ne!(ended.code, Some(0), "without {name}: {}", ended.said);
        let said = ended.said.lines().find(|line| line.contains("the log is damaged"));
        let said = said.unwrap_or_else(|| panic!("without {name}: {}", ended.said));
        assert!(said.contains(name) && said.contains("is missing"), "{said}");
        assert!(said.contains("SLUICE_LOG_ACCEPT_DAMAGE"), "{said}");
        std::fs::rename(&aside, gone).unwrap();
    }
    sluice.start();
    let found = read(&bootstrap, "kept", 0);
    let numbers: Vec<u64> = found.iter().map(|(_, _, value)| number(value.as_ref())).collect();
    assert!(numbers == (0..RECORDS).collect::<Vec<u64>>(), "{numbers:?}");
    sluice.stop();
}
