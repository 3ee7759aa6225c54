//! The log against vectors, with reopening among the operations. A failing seed is
//! printed; give it in `SLUICE_TEST_SEED` to run it alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Random, batch, open, values};
use crate::disk::{Freeze, Simulated};
use crate::log::{Log, NewTopic, Produce};
use crate::shutdown::Tasks;

/// What a topic holds: first kept offset and all values ever, of each partition.
type Model = BTreeMap<String, Vec<(usize, Vec<String>)>>;

struct Play {
    disk: Simulated,
    log: Log,
    tasks: Tasks,
    model: Model,
    random: Random,
    count: usize,
}

impl Play {
    async fn step(&mut self) {
        match self.random.below(20) {
            0..12 => self.append().await,
            12..14 => self.create().await,
            14 => self.delete().await,
            15 => self.delete_records().await,
            16 => self.grow().await,
            17 => self.reopen(true).await,
            18 => self.reopen(false).await,
            _ => self.compare().await,
        }
    }

    fn pick(&mut self) -> Option<String> {
        let at = self.random.below(self.model.len().max(1));
        self.model.keys().nth(at).cloned()
    }

    /// Some batches at once, of which all have to be there.
    async fn append(&mut self) {
        let mut produces = Vec::new();
        for _ in 0..=self.random.below(4) {
            let Some(name) = self.pick() else { return };
            let topic = self.log.topic(&name).unwrap();
            let partitions = self.model.get_mut(&name).unwrap();
            let partition = self.random.below(partitions.len());
            let mut texts = Vec::new();
            for _ in 0..=self.random.below(3) {
                self.count += 1;
                texts.push(format!("{}{}", self.count, "x".repeat(self.random.below(1500))));
            }
            let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
            let batch = batch(&refs);
            let base = partitions[partition].1.len();
            partitions[partition].1.extend(texts);
            let partition = i32::try_from(partition).unwrap();
            produces.push((base, Produce { topic, partition, batch }));
        }
        let (bases, produces): (Vec<_>, Vec<_>) = produces.into_iter().unzip();
        for (base, result) in bases.into_iter().zip(self.log.append(produces).await) {
            assert_eq!(result.unwrap().base_offset, offset(base));
        }
    }

    async fn create(&mut self) {
        let name = format!("t{}", self.random.below(5));
        let partitions = 1 + self.random.below(3);
        let new = NewTopic {
            name: name.clone(),
            partitions: i32::try_from(partitions).unwrap(),
            ..NewTopic::default()
        };
        let created = self.log.create_topic(new).await;
        assert_eq!(created.is_ok(), !self.model.contains_key(&name));
        self.model.entry(name).or_insert_with(|| vec![(0, Vec::new()); partitions]);
    }

    async fn delete(&mut self) {
        let Some(name) = self.pick() else { return };
        self.log.delete_topic(&name).await.unwrap();
        self.model.remove(&name);
    }

    async fn delete_records(&mut self) {
        let Some(name) = self.pick() else { return };
        let topic = self.log.topic(&name).unwrap();
        let partitions = self.model.get_mut(&name).unwrap();
        let at = self.random.below(partitions.len());
        let (start, all) = &mut partitions[at];
        let wanted = self.random.below(all.len() + 1);
        let number = i32::try_from(at).unwrap();
        let got = self.log.delete_records(&topic, number, offset(wanted)).await.unwrap();
        *start = wanted.max(*start);
        assert_eq!(got, offset(*start));
    }

    async fn grow(&mut self) {
        let Some(name) = self.pick() else { return };
        let partitions = self.model.get_mut(&name).unwrap();
        partitions.push((0, Vec::new()));
        let count = i32::try_from(partitions.len()).unwrap();
        self.log.grow_topic(&name, count).await.unwrap();
    }

    async fn reopen(&mut self, clean: bool) {
        if clean {
            self.log.close().await;
            self.tasks.join().await;
        } else {
            let seed = self.random.below(1 << 30) as u64;
            self.disk = self.disk.crash(Freeze::Tear(seed));
        }
        (self.log, self.tasks) = open(Arc::new(self.disk.clone())).await;
        self.compare().await;
    }

    async fn compare(&mut self) {
        let names: Vec<_> =
            self.log.topics().iter().map(|topic| topic.name().to_string()).collect();
        let expected: Vec<_> = std::iter::once(crate::log::METADATA_TOPIC.to_owned())
            .chain(self.model.keys().cloned())
            .collect();
        assert_eq!(names, expected);
        for (name, partitions) in &self.model {
            for (number, (start, all)) in partitions.iter().enumerate() {
                let mut found = values(&self.log, name, i32::try_from(number).unwrap()).await;
                // Batches come whole, also those that begin before the start.
                found.retain(|(at, _)| *at >= offset(*start));
                let kept = all.iter().enumerate().skip(*start);
                let expected: Vec<_> =
                    kept.map(|(at, value)| (offset(at), value.clone())).collect();
                // Without the values: they are long.
                let offsets =
                    |all: &[(i64, String)]| all.iter().map(|one| one.0).collect::<Vec<_>>();
                assert_eq!(offsets(&found), offsets(&expected), "{name}-{number}");
                assert!(found == expected, "{name}-{number} has other values");
            }
        }
    }
}

fn offset(count: usize) -> i64 {
    i64::try_from(count).unwrap()
}

async fn play(seed: u64) {
    let disk = Simulated::new();
    let (log, tasks) = open(Arc::new(disk.clone())).await;
    let (model, random) = (Model::new(), Random::new(seed));
    let mut play = Play { disk, log, tasks, model, random, count: 0 };
    for _ in 0..120 {
        play.step().await;
    }
    play.reopen(true).await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how long to test is asked of the caller")]
async fn the_log_behaves_like_vectors() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SLUICE_TEST_SEED") {
        return play(seed).await;
    }
    let rounds = if std::env::var("SLUICE_TEST_LONG").is_ok() { 500 } else { 25 };
    for seed in 0..rounds {
        let round = Tasks::new().spawn("play", play(seed)).await;
        assert!(round.is_ok(), "failed with SLUICE_TEST_SEED={seed}");
    }
}
