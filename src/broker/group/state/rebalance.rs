//! How a group goes from one generation to the next, and what time does to it.
//!
//! In: the group after a request, and `now`. Out: the answers that a new generation, or its
//! assignments, release. Always: a rebalance ends, at the latest when its time is up.

use std::collections::HashMap;

use super::{AfterStore, Gathering, Group, Joined, Output, Phase, ResponseError};

impl Group {
    /// Asks all members to join again, unless they are being asked.
    pub(super) fn prepare(&mut self, now: i64, outputs: &mut Vec<Output>) {
        self.unsynced.clear();
        let gathering = match self.phase {
            Phase::Preparing { .. } => return,
            Phase::Empty => {
                let remaining_ms = (self.rebalance_timeout() - self.initial_delay_ms).max(0);
                Some(Gathering { remaining_ms, somebody_came: false })
            }
            Phase::Completing => {
                self.refuse_syncs(now, ResponseError::RebalanceInProgress, outputs);
                None
            }
            Phase::Stable => None,
        };
        let wait =
            if gathering.is_some() { self.initial_delay_ms } else { self.rebalance_timeout() };
        self.phase = Phase::Preparing { until: now + wait, gathering };
    }

    /// The longest that any member asked to be waited for.
    fn rebalance_timeout(&self) -> i64 {
        let longest = self.members.values().map(|member| member.rebalance_timeout_ms).max();
        i64::from(longest.unwrap_or_default())
    }

    /// Takes a member out, whatever it waits for, and lets the others rebalance.
    pub(super) fn remove(&mut self, now: i64, id: &str, outputs: &mut Vec<Output>) {
        self.forget(id, outputs);
        match self.phase {
            Phase::Empty | Phase::Preparing { .. } => {}
            Phase::Completing | Phase::Stable => self.prepare(now, outputs),
        }
    }

    fn forget(&mut self, id: &str, outputs: &mut Vec<Output>) {
        let Some(member) = self.members.remove(id) else { return };
        self.supported.remove(&member.protocols);
        let gone = ResponseError::UnknownMemberId;
        if let Some(ticket) = member.joining {
            outputs.push(Output::Joined(ticket, Joined::refused(gone, id.to_owned())));
        }
        if let Some(ticket) = member.syncing {
            outputs.push(Output::Synced(ticket, Err(gone)));
        }
        if let Some(instance) = &member.instance {
            self.statics.remove(instance);
        }
        self.unsynced.remove(id);
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Lets go of whom the time has overtaken.
    pub(super) fn expire(&mut self, now: i64, outputs: &mut Vec<Output>) {
        self.promised.expire(now);
        let mut late: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| member.can_expire() && member.expires <= now)
            .map(|(id, _)| id.clone())
            .collect();
        if self.sync_until <= now {
            late.extend(std::mem::take(&mut self.unsynced));
        }
        for id in late {
            self.remove(now, &id, outputs);
        }
    }

    /// Ends the preparation if all have joined or its time is up.
    pub(super) fn settle(&mut self, now: i64, outputs: &mut Vec<Output>) {
        let Phase::Preparing { until, gathering } = self.phase else { return };
        let all_here = self.promised.is_empty()
            && self.members.values().all(|member| member.joining.is_some());
        match gathering {
            Some(_) if self.members.is_empty() => self.next_generation(now, outputs),
            Some(gathering) if now >= until => self.gather_on(now, gathering, outputs),
            None if all_here || now >= until => self.complete(now, outputs),
            Some(_) | None => {}
        }
    }

    fn gather_on(&mut self, now: i64, gathering: Gathering, outputs: &mut Vec<Output>) {
        let wait = self.initial_delay_ms.min(gathering.remaining_ms);
        if gathering.somebody_came && wait > 0 {
            let remaining_ms = gathering.remaining_ms - wait;
            let gathering = Some(Gathering { remaining_ms, somebody_came: false });
            self.phase = Phase::Preparing { until: now + wait, gathering };
        } else {
            self.complete(now, outputs);
        }
    }

    /// Who did not come is out, save static members, who may still be restarting.
    fn complete(&mut self, now: i64, outputs: &mut Vec<Output>) {
        let absent =
            self.members.iter().filter(|(_, m)| m.joining.is_none() && m.instance.is_none());
        let absent: Vec<String> = absent.map(|(id, _)| id.clone()).collect();
        for id in absent {
            self.forget(&id, outputs);
        }
        let came = |id: &String| self.members.get(id).is_some_and(|m| m.joining.is_some());
        if !self.leader.as_ref().is_some_and(came) {
            let first = self.members.iter().find(|(_, member)| member.joining.is_some());
            match first.map(|(id, _)| id.clone()) {
                Some(id) => self.leader = Some(id),
                None if self.members.is_empty() => {}
                None => {
                    // Only absent static members: wait for one of them, or their sessions' end.
                    let until = now + self.rebalance_timeout().max(1);
                    self.phase = Phase::Preparing { until, gathering: None };
                    return;
                }
            }
        }
        self.next_generation(now, outputs);
    }

    fn next_generation(&mut self, now: i64, outputs: &mut Vec<Output>) {
        self.generation = self.generation.wrapping_add(1).max(1);
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            self.protocol = None;
            self.leader = None;
            self.store(AfterStore::Nothing, outputs);
            return;
        }
        self.protocol = self.choose_protocol();
        self.phase = Phase::Completing;
        self.sync_until = now + self.rebalance_timeout();
        self.unsynced = self.members.keys().cloned().collect();
        let mut released = Vec::new();
        for (id, member) in &mut self.members {
            member.is_new = false;
            member.stay(now);
            if let Some(ticket) = member.joining.take() {
                released.push((ticket, id.clone()));
            }
        }
        for (ticket, id) in released {
            outputs.push(self.joined(ticket, &id));
        }
    }

    pub(super) fn is_supported_by_all(&self, protocol: &str) -> bool {
        self.supported.by(protocol) == self.members.len()
    }

    /// Each member votes for the first of its protocols that all support.
    pub(super) fn choose_protocol(&self) -> Option<String> {
        let first = self.members.values().next()?;
        let mut votes = HashMap::<&str, usize>::new();
        for member in self.members.values() {
            let mut names = member.protocols.iter().map(|(name, _)| name.as_str());
            if let Some(choice) = names.find(|name| self.is_supported_by_all(name)) {
                *votes.entry(choice).or_default() += 1;
            }
        }
        let mut best: Option<(usize, &str)> = None;
        for (name, _) in &first.protocols {
            let count = votes.get(name.as_str()).copied().unwrap_or_default();
            if self.is_supported_by_all(name) && best.is_none_or(|(most, _)| count > most) {
                best = Some((count, name));
            }
        }
        best.map(|(_, name)| name.to_owned())
    }

    /// The snapshot that holds the assignments is durable: the members may have them.
    pub(super) fn assign(&mut self, now: i64, generation: i32, outputs: &mut Vec<Output>) {
        if self.phase != Phase::Completing || self.generation != generation {
            return; // a rebalance overtook it
        }
        self.phase = Phase::Stable;
        let waiting = self.members.iter_mut();
        let waiting: Vec<_> =
            waiting.filter_map(|(id, m)| Some((m.syncing.take()?, id.clone()))).collect();
        for (ticket, id) in waiting {
            let synced = self.synced(now, ticket, &id);
            outputs.push(synced);
        }
    }

    /// The assignments could not be made durable: nobody gets any, and all join again.
    pub(super) fn take_back_assignments(
        &mut self,
        now: i64,
        generation: i32,
        error: ResponseError,
        outputs: &mut Vec<Output>,
    ) {
        if self.phase != Phase::Completing || self.generation != generation {
            return;
        }
        self.refuse_syncs(now, error, outputs);
        self.prepare(now, outputs);
    }

    /// Answers all waiting `SyncGroups` with an error, and takes back their assignments.
    fn refuse_syncs(&mut self, now: i64, error: ResponseError, outputs: &mut Vec<Output>) {
        for member in self.members.values_mut() {
            member.assignment = bytes::Bytes::new();
            if let Some(ticket) = member.syncing.take() {
                member.stay(now); // it waited for us: its time begins anew
                outputs.push(Output::Synced(ticket, Err(error)));
            }
        }
    }
}
