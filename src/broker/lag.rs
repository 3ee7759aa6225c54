//! How far consumer groups are behind, in messages and in seconds.
//!
//! In: committed offsets, and the log. Out: a list, as old as [`EVERY`] at most. It is made only while
//! somebody asks for it: seconds are those since the first unread record was written, and its batch
//! has to be looked up on the disk. Always: of one list at most [`MOST_LOOKED_UP`] batches are; of what
//! is beyond only messages are known. Nobody who asks waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Broker;
use super::group::{Commit, Place};
use crate::clock;
use crate::log::{Ends, Topic};

/// How often a list is made.
const EVERY: Duration = Duration::from_secs(5);

/// How long after the last question lists are made.
const ASKED_WITHIN: Duration = Duration::from_mins(2);

/// Batches that are looked up for a list.
const MOST_LOOKED_UP: usize = 1000;

/// How far a group is behind in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLag {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// Records that it has not committed, over the partitions that it has committed any of.
    pub messages: i64,
    /// Since the oldest of them was written; 0 if there is none, none if it is not known.
    pub seconds: Option<i64>,
}

/// The list that was made last.
#[derive(Debug, Default)]
pub(super) struct Lags {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    asked: Option<Instant>,
    list: Vec<GroupLag>,
}

impl Lags {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Broker {
    /// How far each group is behind in each topic, as was found last: nothing before anybody asked.
    pub fn group_lags(&self) -> Vec<GroupLag> {
        self.lags.with(|state| {
            state.asked = Some(Instant::now());
            state.list.clone()
        })
    }

    /// Makes lists until `stopped`.
    pub(super) async fn watch_lags(self: Arc<Self>, stopped: CancellationToken) {
        loop {
            let is_asked =
                |state: &mut State| state.asked.is_some_and(|asked| asked.elapsed() < ASKED_WITHIN);
            let making = async {
                if self.lags.with(is_asked) {
                    let list = self.find_lags().await;
                    self.lags.with(|state| state.list = list);
                }
                tokio::time::sleep(EVERY).await;
            };
            tokio::select! {
                biased;
                () = stopped.cancelled() => return,
                () = making => {}
            }
        }
    }

    async fn find_lags(&self) -> Vec<GroupLag> {
        let mut list = Vec::new();
        let mut room = MOST_LOOKED_UP;
        for group in self.groups.list() {
            // In the order of topics.
            for (place, commit) in self.groups.offsets(&group.name) {
                let Some((messages, seconds)) = self.lag(&place, &commit, &mut room).await else {
                    continue;
                };
                let last = list.last_mut();
                match last.filter(|one: &&mut GroupLag| {
                    one.group == group.name && one.topic == place.topic
                }) {
                    Some(one) => {
                        one.messages += messages;
                        one.seconds = one.seconds.zip(seconds).map(|(one, more)| one.max(more));
                    }
                    None => list.push(GroupLag {
                        group: group.name.clone(),
                        topic: place.topic,
                        messages,
                        seconds,
                    }),
                }
            }
        }
        list
    }

    /// Of one partition: messages, and seconds if they are known.
    async fn lag(
        &self,
        place: &Place,
        commit: &Commit,
        room: &mut usize,
    ) -> Option<(i64, Option<i64>)> {
        let topic: Arc<Topic> = self.log.topic(&place.topic)?;
        let partition = (Arc::clone(&topic), place.partition);
        let Ends { log_start, high_watermark, .. } = self.log.ends(&[partition]).pop()?.ok()?;
        let next = commit.offset.max(log_start);
        let messages = (high_watermark - next).max(0);
        if messages == 0 {
            return Some((0, Some(0)));
        }
        if *room == 0 {
            return Some((messages, None));
        }
        *room -= 1;
        let written = self.log.time_at(&topic, place.partition, next, high_watermark).await;
        let seconds = written.ok().flatten().map(|at| (clock::now_millis() - at).max(0) / 1000);
        Some((messages, seconds))
    }
}
