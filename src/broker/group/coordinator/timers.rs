//! Time: groups are ticked when they are due, and offsets expire.
//!
//! One task for all groups; a group that comes to have an earlier deadline wakes it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::commits::wait;
use super::{Coordinator, Groups};
use crate::broker::group::offsets::{self, Place};
use crate::broker::group::records;
use crate::broker::group::state::{Group, Input};

/// The protocol type of groups whose members say what they subscribe to.
pub(super) const CONSUMER: &str = "consumer";

impl Coordinator {
    /// Ticks each group when its time is up, and lets old offsets go. What is due is done each
    /// time round, whatever woke it: so that no number of requests keeps it from that. Priorities:
    /// stop, retention, an earlier deadline, the nearest deadline.
    pub(super) async fn keep_time(self: Arc<Self>) {
        let check = Duration::from_millis(self.settings.retention_check_ms.max(1));
        let mut retention = tokio::time::interval_at(self.started + check, check);
        let mut expiring: Option<JoinHandle<()>> = None;
        loop {
            self.tick();
            let next = self.lock().due.first().map(|(due, _)| *due);
            let wait = next.map_or(check, |due| {
                Duration::from_millis(u64::try_from(due - self.now()).unwrap_or(0))
            });
            tokio::select! {
                biased;
                () = self.tasks.token().cancelled() => return,
                // It waits for the log, which nobody's session has to do.
                _ = retention.tick() => if expiring.as_ref().is_none_or(JoinHandle::is_finished) {
                    let all = Arc::clone(&self);
                    let expire = async move { all.expire_offsets().await };
                    expiring = Some(self.tasks.spawn("expire offsets", expire));
                },
                () = self.earlier.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn tick(self: &Arc<Self>) {
        let (now, mut groups) = (self.now(), self.lock());
        let names: Vec<String> = groups
            .due
            .iter()
            .take_while(|(due, _)| *due <= now)
            .map(|(_, name)| name.clone())
            .collect();
        for name in names {
            self.step(&mut groups, &name, Input::Tick);
        }
    }

    pub(super) async fn expire_offsets(self: &Arc<Self>) {
        // What a clock that jumps would take is not to be had back.
        let (now, keep) = (self.log.clock().now().earliest, self.settings.offsets_retention_ms);
        let mut expired = Vec::new();
        for (name, held) in &mut self.lock().by_name {
            // Of what is being written nobody knows yet whether it counts.
            if held.writing || !held.writes.is_empty() {
                continue;
            }
            let is_empty = held.group.is_empty();
            let places = if is_empty {
                offsets::expired(&held.offsets, held.empty_since, now, keep)
            } else {
                unread(&held.group, offsets::expired(&held.offsets, i64::MIN, now, keep))
            };
            let all = is_empty && places.len() == held.offsets.len();
            if all || !places.is_empty() {
                tracing::info!(group = name, offsets = places.len(), "committed offsets expired");
                let changes = places.into_iter().map(|place| (place, None)).collect();
                let done = self.queue(held, name, changes, all);
                expired.push((name.clone(), all, done));
            }
        }
        for (name, all, done) in expired {
            if wait(done).await.is_ok() && all {
                self.forget(&name);
            }
        }
    }
}

/// Those of the places that no member of a group reads any more, as far as that is known: of a stable
/// group of consumers (`ClassicGroup.offsetExpirationCondition`).
fn unread(group: &Group, places: Vec<Place>) -> Vec<Place> {
    if places.is_empty() || !group.is_stable() || group.protocol_type() != CONSUMER {
        return Vec::new();
    }
    let members = group.snapshot().members;
    let read = members.iter().map(|member| records::subscribed_topics(&member.subscription));
    let Some(read) = read.collect::<Option<Vec<_>>>() else { return Vec::new() };
    let read: BTreeSet<String> = read.into_iter().flatten().collect();
    places.into_iter().filter(|place| !read.contains(&place.topic)).collect()
}

impl Groups {
    /// Brings the deadline of a group up to date; whether the first of all is earlier then.
    pub(super) fn reschedule(&mut self, name: &str) -> bool {
        let Some(held) = self.by_name.get_mut(name) else { return false };
        let first = self.due.first().map(|(due, _)| *due);
        let due = held.group.deadline();
        if let Some(old) = std::mem::replace(&mut held.due, due) {
            self.due.remove(&(old, name.to_owned()));
        }
        if let Some(due) = due {
            self.due.insert((due, name.to_owned()));
        }
        due.is_some_and(|due| first.is_none_or(|first| due < first))
    }
}
