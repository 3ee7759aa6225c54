//! Time: groups are ticked when they are due, and offsets expire.
//!
//! One task for all groups; a group that comes to have an earlier deadline wakes it.

use std::sync::Arc;
use std::time::Duration;

use super::commits::wait;
use super::{Coordinator, Groups};
use crate::broker::group::state::Input;
use crate::broker::group::{offsets, records};

impl Coordinator {
    /// Ticks each group when its time is up, and lets old offsets go. Priorities: stop, an
    /// earlier deadline, retention, the nearest deadline.
    pub(super) async fn keep_time(self: Arc<Self>) {
        let check = Duration::from_millis(self.settings.retention_check_ms.max(1));
        let mut retention = tokio::time::interval_at(self.started + check, check);
        loop {
            let next = self.lock().due.first().map(|(due, _)| *due);
            let wait = next.map_or(check, |due| {
                Duration::from_millis(u64::try_from(due - self.now()).unwrap_or(0))
            });
            tokio::select! {
                biased;
                () = self.tasks.token().cancelled() => return,
                () = self.earlier.notified() => {}
                _ = retention.tick() => self.expire_offsets().await,
                () = tokio::time::sleep(wait) => self.tick(),
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
            if !held.group.is_empty() || held.writing || !held.writes.is_empty() {
                continue;
            }
            let places = offsets::expired(&held.offsets, held.empty_since, now, keep);
            let all = places.len() == held.offsets.len();
            if all || !places.is_empty() {
                tracing::info!(group = name, offsets = places.len(), "committed offsets expired");
                let changes = places.into_iter().map(|place| (place, None)).collect();
                let more = if all {
                    records::group_key(name).map(|key| vec![(key, None)])
                } else {
                    Ok(Vec::new())
                };
                let done = self.queue(held, name, changes, more);
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

impl Groups {
    /// Brings the deadline of a group up to date.
    pub(super) fn reschedule(&mut self, name: &str) {
        let Some(held) = self.by_name.get_mut(name) else { return };
        let due = held.group.deadline();
        if let Some(old) = std::mem::replace(&mut held.due, due) {
            self.due.remove(&(old, name.to_owned()));
        }
        if let Some(due) = due {
            self.due.insert((due, name.to_owned()));
        }
    }
}
