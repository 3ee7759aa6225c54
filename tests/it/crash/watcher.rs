//! A client that reads all along.
//!
//! It notes every record as it comes, and now and then asks for the ends of all partitions. What
//! it had seen before it asked must lie, with all the rest of its transactions, before those ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::DATABASE;
use super::judgement::{Published, shortened};
use crate::harness::{PATIENCE, Record, topics};

/// What a client saw.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) records: Vec<Record>,
    pub(super) looks: Vec<Look>,
}

/// The ends of all partitions, asked for when so many records had been seen.
pub(super) struct Look {
    pub(super) seen: usize,
    pub(super) ends: BTreeMap<String, i64>,
}

pub(super) struct Watcher {
    /// How many records are enough: known when the load is over.
    enough: Arc<AtomicUsize>,
    thread: JoinHandle<Watched>,
}

const ASK: Duration = Duration::from_millis(30);

impl Watcher {
    pub(super) fn start(bootstrap: &str) -> Self {
        let enough = Arc::new(AtomicUsize::new(usize::MAX));
        let is_enough = Arc::clone(&enough);
        let consumer: BaseConsumer = topics::client(bootstrap);
        let thread = std::thread::spawn(move || watch(&consumer, &is_enough));
        Self { enough, thread }
    }

    /// Lets it read to the end of what is published.
    pub(super) fn stop(self, published: &Published) -> Watched {
        self.enough.store(published.values().map(Vec::len).sum(), Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn watch(consumer: &BaseConsumer, enough: &AtomicUsize) -> Watched {
    let mut watched = Watched::default();
    let mut moved = Instant::now();
    let mut known = Vec::new();
    let mut asked = Instant::now();
    let awaits = |seen: usize, moved: Instant| {
        let enough = enough.load(Ordering::Relaxed);
        seen < enough && (enough == usize::MAX || moved.elapsed() < PATIENCE)
    };
    while awaits(watched.records.len(), moved) {
        if known.len() < 1 + super::load::TABLES.len() {
            assign_new(consumer, &mut known);
        }
        // Errors are the broker's absence; the client library connects again.
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) {
            watched.records.push(shortened(Record::of(&message)));
            moved = Instant::now();
        }
        if asked.elapsed() > ASK {
            look(consumer, &known, &mut watched);
            asked = Instant::now();
        }
    }
    watched
}

/// Reads topics that have come into being from their beginning, beside the others.
fn assign_new(consumer: &BaseConsumer, known: &mut Vec<String>) {
    let Ok(metadata) = consumer.fetch_metadata(None, Duration::from_millis(500)) else { return };
    for topic in metadata.topics() {
        let name = topic.name().to_owned();
        if name.starts_with(DATABASE) && !known.contains(&name) {
            let mut new = TopicPartitionList::new();
            new.add_partition_offset(&name, 0, Offset::Beginning).unwrap();
            consumer.incremental_assign(&new).unwrap();
            known.push(name);
        }
    }
}

fn look(consumer: &BaseConsumer, known: &[String], watched: &mut Watched) {
    let seen = watched.records.len();
    let ends: Option<BTreeMap<String, i64>> = known
        .iter()
        .map(|topic| {
            let (_, end) = consumer.fetch_watermarks(topic, 0, Duration::from_millis(500)).ok()?;
            Some((topic.clone(), end))
        })
        .collect();
    if let Some(ends) = ends {
        watched.looks.push(Look { seen, ends });
    }
}
