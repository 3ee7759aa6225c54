//! A clock that is set, ahead and back, for a moment and for good: nothing is rolled, forgotten or
//! removed by it that would not be without, and nothing that would be is not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::files::checkpoint;
use super::producers::{send, sequenced};
use super::{append, tiny, values};
use crate::clock::{Clock, Hands};
use crate::disk::{Disk, Simulated};
use crate::log::{Log, LogSettings, NewTopic, Topic};
use crate::record::{BatchBuilder, batches};
use crate::shutdown::Tasks;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// What the clock says at first: it is the year 2020.
const START: i64 = 50 * YEAR;

/// Jumps from which the clock comes back.
const JUMPS: [i64; 6] = [YEAR, 8 * DAY, 2 * HOUR, -2 * HOUR, -8 * DAY, -YEAR];

struct Machine {
    disk: Simulated,
    hands: Arc<Hands>,
    log: Log,
    tasks: Tasks,
}

impl Machine {
    async fn start(disk: Simulated, hands: Arc<Hands>) -> Self {
        let tasks = Tasks::new();
        let clock = Clock::of_hands(&hands);
        let settings = LogSettings { segment_bytes: 1 << 20, clock, ..tiny() };
        let log = Log::open(Arc::new(disk.clone()), settings, &tasks).await.unwrap();
        Self { disk, hands, log, tasks }
    }

    async fn new() -> Self {
        let hands = Arc::new(Hands::default());
        hands.set(START);
        Self::start(Simulated::new(), hands).await
    }

    async fn restart(self) -> Self {
        let Self { disk, hands, log, tasks } = self;
        log.close().await;
        drop(log);
        assert!(tasks.join().await.is_empty());
        Self::start(disk, hands).await
    }

    async fn topic(&self, name: &str, settings: &[(&str, &str)]) -> Arc<Topic> {
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let config = settings.iter().map(text).collect::<BTreeMap<_, _>>();
        let new = NewTopic { name: name.to_owned(), partitions: 1, config, owner: None };
        self.log.create_topic(new).await.unwrap()
    }

    fn segments(&self, dir: &str) -> usize {
        let names = self.disk.list(dir).unwrap();
        names.iter().filter(|entry| entry.name.rsplit_once('.').unwrap().1 == "log").count()
    }

    /// Appends to a topic with times of append.
    async fn append(&self, topic: &Arc<Topic>, value: &str) -> i64 {
        append(&self.log, topic, 0, &[value]).await.base_offset
    }

    /// Appends until the log has kept house, with a checkpoint that began behind now: it does so
    /// by times of its own.
    async fn keep_house(&self, topic: &Arc<Topic>) {
        for _ in 0..2 {
            let before = checkpoint(&self.disk);
            while checkpoint(&self.disk) == before {
                self.append(topic, "on and on").await;
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    }

    async fn commit(&self, name: &str) {
        let mut writer = self.log.writer("example", "sluice");
        writer.open().await.unwrap();
        let mut rows = BatchBuilder::default();
        rows.push(None, Some(b"row"), &[]);
        writer.append(&Arc::from(name), 1, 0, rows.finish()).await.unwrap();
        writer.commit(Bytes::from_static(b"p"), Vec::new()).await.unwrap().await.unwrap();
    }

    async fn times(&self, name: &str) -> Vec<i64> {
        let topic = self.log.topic(name).unwrap();
        let pieces = self.log.read_all(&topic, 0).await.unwrap();
        let all = pieces.iter().flat_map(|piece| batches(piece));
        all.map(|batch| batch.unwrap().head().max_timestamp).collect()
    }
}

#[tokio::test]
async fn segments_are_rolled_by_their_age_whatever_the_clock_does() {
    for jump in JUMPS {
        let mut machine = Machine::new().await;
        for (restarts, name) in [(false, "goes-on"), (true, "restarts")] {
            let settings = [("segment.ms", "60000"), ("message.timestamp.type", "LogAppendTime")];
            let topic = machine.topic(name, &settings).await;
            machine.append(&topic, "before").await;
            machine.hands.jump(jump);
            machine.append(&topic, "during").await;
            machine.hands.jump(-jump);
            machine.append(&topic, "behind").await;
            let dir = format!("{name}-0");
            assert_eq!(machine.segments(&dir), 1, "{jump}: a jump is no age");
            if restarts {
                machine = machine.restart().await;
            }
            let topic = machine.log.topic(name).unwrap();
            for expected in 2..5 {
                machine.append(&topic, "again").await;
                machine.hands.pass(MINUTE);
                machine.append(&topic, "a minute later").await;
                assert_eq!(machine.segments(&dir), expected, "{jump} {name}");
            }
        }
    }
}

/// What instances write has the time at which it was appended.
#[tokio::test]
async fn times_of_append_do_not_stay_where_a_clock_once_was() {
    for jump in JUMPS {
        let mut machine = Machine::new().await;
        machine.commit("rows").await;
        machine.hands.jump(jump);
        machine.commit("rows").await;
        machine.hands.jump(-jump);
        machine = machine.restart().await;
        machine.hands.pass(MINUTE);
        machine.commit("rows").await;
        let times = machine.times("rows").await;
        assert_eq!(times, [START, START + jump, START + MINUTE], "{jump}");
    }
    // A little is not gone back.
    let machine = Machine::new().await;
    for jump in [MINUTE, -MINUTE / 2, -MINUTE] {
        machine.hands.jump(jump);
        machine.commit("rows").await;
    }
    assert_eq!(machine.times("rows").await, [START + MINUTE; 3]);
}

#[tokio::test]
async fn a_producer_is_known_over_every_jump_of_the_clock() {
    for jump in JUMPS {
        for restarts in [false, true] {
            let mut machine = Machine::new().await;
            let other = machine.topic("other", &[("retention.ms", "-1")]).await;
            let topic = machine.topic("t", &[("retention.ms", "-1")]).await;
            let case = format!("{jump} {restarts}");
            let sent = send(&machine.log, &topic, sequenced(0, 0, 1, 0)).await.unwrap();
            machine.hands.jump(jump);
            machine.keep_house(&other).await;
            machine.hands.jump(-jump);
            if restarts {
                machine = machine.restart().await;
            }
            machine.hands.pass(MINUTE);
            let [topic, other] = ["t", "other"].map(|name| machine.log.topic(name).unwrap());
            machine.keep_house(&other).await;
            let again = send(&machine.log, &topic, sequenced(0, 0, 1, 0)).await.unwrap();
            assert_eq!(again.base_offset, sent.base_offset, "{case}");
            assert_eq!(machine.log.producers(&topic, 0).await.unwrap().len(), 1, "{case}");
            // It is forgotten in time.
            machine.hands.pass(25 * HOUR);
            machine.keep_house(&other).await;
            assert_eq!(machine.log.producers(&topic, 0).await.unwrap(), [], "{case}");
        }
    }
}

#[tokio::test]
async fn retention_believes_no_jump_of_the_clock_and_goes_on_behind_it() {
    for jump in JUMPS {
        let machine = Machine::new().await;
        let settings = [
            ("segment.ms", "60000"),
            ("retention.ms", "3600000"),
            ("message.timestamp.type", "LogAppendTime"),
        ];
        let topic = machine.topic("t", &settings).await;
        machine.append(&topic, "before").await;
        machine.hands.jump(jump);
        machine.keep_house(&topic).await;
        machine.append(&topic, "during").await;
        let found = values(&machine.log, "t", 0).await;
        assert_eq!(found.first().unwrap().1, "before", "{jump}");
        machine.hands.jump(-jump);
        machine.hands.pass(2 * MINUTE);
        machine.append(&topic, "behind").await;
        machine.hands.pass(4 * HOUR);
        let last = machine.append(&topic, "last").await;
        machine.keep_house(&topic).await;
        let found = values(&machine.log, "t", 0).await;
        assert_eq!(found.first().unwrap(), &(last, "last".to_owned()), "{jump}");
    }
}

/// The clock was set while nothing ran: what it says first is not believed either.
#[tokio::test]
async fn nothing_expires_by_a_clock_that_is_ahead_at_a_start_until_it_has_stood() {
    for killed in [false, true] {
        let mut machine = Machine::new().await;
        let settings = [
            ("segment.ms", "60000"),
            ("retention.ms", "3600000"),
            ("message.timestamp.type", "LogAppendTime"),
        ];
        let topic = machine.topic("t", &settings).await;
        let kept = machine.topic("kept", &[("retention.ms", "-1")]).await;
        let other = machine.topic("other", &[("retention.ms", "-1")]).await;
        machine.append(&topic, "before").await;
        let sent = send(&machine.log, &kept, sequenced(0, 0, 1, 0)).await.unwrap();
        drop((topic, kept, other));
        if killed {
            let Machine { disk, hands, log, tasks } = machine;
            let crashed = disk.crash(crate::disk::Freeze::Keep);
            hands.jump(YEAR);
            machine = Machine::start(crashed, hands).await;
            drop((log, tasks));
        } else {
            machine.hands.jump(YEAR);
            machine = machine.restart().await;
        }
        let [topic, kept, other] =
            ["t", "kept", "other"].map(|name| machine.log.topic(name).unwrap());
        for pass in [0, HOUR - MINUTE] {
            machine.hands.pass(pass);
            machine.keep_house(&other).await;
            let found = values(&machine.log, "t", 0).await;
            assert_eq!(found.first().map(|one| &*one.1), Some("before"), "{killed}, {pass}");
            let again = send(&machine.log, &kept, sequenced(0, 0, 1, 0)).await.unwrap();
            assert_eq!(again.base_offset, sent.base_offset, "{killed}, {pass}");
        }
        machine.hands.pass(2 * MINUTE);
        machine.keep_house(&other).await;
        machine.append(&topic, "behind").await;
        machine.keep_house(&other).await;
        let found = values(&machine.log, "t", 0).await;
        assert_eq!(found.first().map(|one| &*one.1), Some("behind"), "{killed}: it stays for ever");
    }
}
