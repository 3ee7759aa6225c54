//! What members ask: join, sync, heartbeat, leave, commit.
//!
//! In: one request and the group. Out: answers, and the rebalances that requests cause.
//! Always: a static member (with an instance id) is found by its instance, and one that
//! comes back takes its former place; a request under its former member id is fenced.

use super::{
    AfterStore, Group, Identity, Join, Joined, Member, Output, Phase, ResponseError, Sync, Synced,
    Ticket,
};

/// How long a member that never was in a generation may wait for its first
/// (`GroupCoordinator.NewMemberJoinTimeoutMs`).
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1000;

impl Group {
    pub(super) fn join(&mut self, now: i64, ticket: Ticket, join: Join, outputs: &mut Vec<Output>) {
        let outcome = if !self.would_agree(&join) {
            Err(ResponseError::InconsistentGroupProtocol)
        } else if join.identity.member.is_empty() {
            self.join_new(now, ticket, &join, outputs)
        } else {
            self.join_known(now, ticket, &join, outputs)
        };
        if let Err(error) = outcome {
            let id = if error == ResponseError::MemberIdRequired {
                join.new_id
            } else {
                join.identity.member
            };
            outputs.push(Output::Joined(ticket, Joined::refused(error, id)));
        }
    }

    /// Whether a protocol remains that all members support.
    fn would_agree(&self, join: &Join) -> bool {
        if join.protocol_type.is_empty() || join.protocols.is_empty() {
            return false;
        }
        self.members.is_empty()
            || (self.protocol_type.as_deref() == Some(&join.protocol_type)
                && join.protocols.iter().any(|(name, _)| self.is_supported_by_all(name)))
    }

    /// A client that has no member id.
    fn join_new(
        &mut self,
        now: i64,
        ticket: Ticket,
        join: &Join,
        outputs: &mut Vec<Output>,
    ) -> Result<(), ResponseError> {
        let former = join.identity.instance.as_ref().and_then(|name| self.statics.get(name));
        if let Some(former) = former.cloned() {
            self.replace(now, ticket, &former, join, outputs);
            return Ok(());
        }
        if self.members.len() + self.promised.len() >= self.max_size {
            return Err(ResponseError::GroupMaxSizeReached);
        }
        if join.id_first && join.identity.instance.is_none() {
            let until = now + i64::from(join.session_timeout_ms);
            self.promised.insert(join.new_id.clone(), until);
            return Err(ResponseError::MemberIdRequired);
        }
        self.add(now, ticket, join.new_id.clone(), join, outputs);
        Ok(())
    }

    /// A client that has a member id.
    fn join_known(
        &mut self,
        now: i64,
        ticket: Ticket,
        join: &Join,
        outputs: &mut Vec<Output>,
    ) -> Result<(), ResponseError> {
        let id = &join.identity.member;
        if self.promised.remove(id) {
            if join.identity.instance.is_some() {
                return Err(ResponseError::UnknownMemberId); // promises are for dynamic members
            }
            if self.members.len() >= self.max_size {
                return Err(ResponseError::GroupMaxSizeReached);
            }
            self.add(now, ticket, id.clone(), join, outputs);
            return Ok(());
        }
        self.find(&join.identity)?;
        let same = self.members.get(id).is_some_and(|member| member.protocols == join.protocols);
        let leads = self.leader.as_ref() == Some(id);
        match self.phase {
            Phase::Empty => return Err(ResponseError::UnknownMemberId),
            Phase::Preparing { .. } => self.rejoin(now, ticket, id, join, outputs),
            // It lost our answer: the same again.
            Phase::Completing if same => outputs.push(self.joined(ticket, id)),
            // A follower without news; a leader that joins asks for a rebalance.
            Phase::Stable if same && !leads => outputs.push(self.joined(ticket, id)),
            Phase::Completing | Phase::Stable => {
                self.rejoin(now, ticket, id, join, outputs);
                self.prepare(now, outputs);
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        now: i64,
        ticket: Ticket,
        id: String,
        join: &Join,
        outputs: &mut Vec<Output>,
    ) {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if let Some(instance) = &join.identity.instance {
            self.statics.insert(instance.clone(), id.clone());
        }
        let member = Member {
            instance: join.identity.instance.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            session_timeout_ms: join.session_timeout_ms,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            protocols: join.protocols.clone(),
            bytes: join.bytes(),
            assignment: bytes::Bytes::new(),
            joining: Some(ticket),
            syncing: None,
            is_new: true,
            expires: now + NEW_MEMBER_JOIN_TIMEOUT_MS,
        };
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        self.supported.add(&member.protocols);
        self.members.insert(id, member);
        if let Phase::Preparing { gathering: Some(gathering), .. } = &mut self.phase {
            gathering.somebody_came = true;
        }
        self.prepare(now, outputs);
    }

    /// Lets a present member wait for the next generation.
    fn rejoin(
        &mut self,
        now: i64,
        ticket: Ticket,
        id: &str,
        join: &Join,
        outputs: &mut Vec<Output>,
    ) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.session_timeout_ms = join.session_timeout_ms;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        self.supported.remove(&member.protocols);
        self.supported.add(&join.protocols);
        member.protocols.clone_from(&join.protocols);
        member.bytes = join.bytes();
        member.stay(now);
        if let Some(earlier) = member.joining.replace(ticket) {
            let error = ResponseError::RebalanceInProgress; // it asked again elsewhere
            outputs.push(Output::Joined(earlier, Joined::refused(error, id.to_owned())));
        }
    }

    /// A static member comes back without its id: it gets a new one, and the former is fenced.
    fn replace(
        &mut self,
        now: i64,
        ticket: Ticket,
        former: &str,
        join: &Join,
        outputs: &mut Vec<Output>,
    ) {
        let Some(mut member) = self.members.remove(former) else { return };
        let id = join.new_id.clone();
        let fenced = ResponseError::FencedInstanceId;
        if let Some(waiting) = member.joining.take() {
            outputs.push(Output::Joined(waiting, Joined::refused(fenced, former.to_owned())));
        }
        if let Some(waiting) = member.syncing.take() {
            outputs.push(Output::Synced(waiting, Err(fenced)));
        }
        self.supported.remove(&member.protocols);
        self.supported.add(&join.protocols);
        member.protocols.clone_from(&join.protocols);
        member.bytes = join.bytes();
        member.session_timeout_ms = join.session_timeout_ms;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.client_id.clone_from(&join.client_id);
        member.client_host.clone_from(&join.client_host);
        member.stay(now);
        self.members.insert(id.clone(), member);
        if let Some(instance) = &join.identity.instance {
            self.statics.insert(instance.clone(), id.clone());
        }
        if self.unsynced.remove(former) {
            self.unsynced.insert(id.clone());
        }
        let led = self.leader.as_deref() == Some(former);
        if led {
            self.leader = Some(id.clone());
        }
        if self.phase == Phase::Stable && self.protocol == self.choose_protocol() {
            let Output::Joined(_, mut joined) = self.joined(ticket, &id) else { return };
            if led && join.can_skip_assignment {
                joined.skip_assignment = true;
            } else if led {
                // It must not assign: told of its former self as leader, it does not.
                former.clone_into(&mut joined.leader);
                joined.members.clear();
            }
            self.store(AfterStore::Answer(ticket, Box::new(joined)), outputs);
        } else {
            self.rejoin(now, ticket, &id, join, outputs);
            self.prepare(now, outputs);
        }
    }

    pub(super) fn sync(&mut self, now: i64, ticket: Ticket, sync: Sync, outputs: &mut Vec<Output>) {
        if let Err(error) = self.sync_waits(now, ticket, sync, outputs) {
            outputs.push(Output::Synced(ticket, Err(error)));
        }
    }

    fn sync_waits(
        &mut self,
        now: i64,
        ticket: Ticket,
        sync: Sync,
        outputs: &mut Vec<Output>,
    ) -> Result<(), ResponseError> {
        let id = self.find(&sync.identity)?;
        if sync.generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        let differs = |told: &Option<String>, ours: &Option<String>| told.is_some() && told != ours;
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol, &self.protocol)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        match self.phase {
            Phase::Empty => return Err(ResponseError::UnknownMemberId),
            Phase::Preparing { .. } => return Err(ResponseError::RebalanceInProgress),
            Phase::Stable => {
                self.unsynced.remove(&id);
                outputs.push(self.synced(now, ticket, &id));
            }
            Phase::Completing => {
                self.unsynced.remove(&id);
                if let Some(earlier) =
                    self.members.get_mut(&id).and_then(|member| member.syncing.replace(ticket))
                {
                    let error = ResponseError::RebalanceInProgress;
                    outputs.push(Output::Synced(earlier, Err(error)));
                }
                if self.leader.as_ref() == Some(&id) && !self.is_storing_assignments() {
                    self.take_assignments(sync.assignments, outputs);
                }
            }
        }
        Ok(())
    }

    pub(super) fn is_storing_assignments(&self) -> bool {
        let ours =
            |after: &AfterStore| matches!(after, AfterStore::Assign(of) if *of == self.generation);
        self.stores.values().any(ours)
    }

    /// The leader has decided. A member it forgot gets an empty assignment.
    fn take_assignments(
        &mut self,
        assignments: Vec<(String, bytes::Bytes)>,
        outputs: &mut Vec<Output>,
    ) {
        for member in self.members.values_mut() {
            member.assignment = bytes::Bytes::new();
        }
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        self.store(AfterStore::Assign(self.generation), outputs);
    }

    pub(super) fn heartbeat(
        &mut self,
        now: i64,
        identity: &Identity,
        generation: i32,
    ) -> Result<(), ResponseError> {
        let id = self.find(identity)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.stay(now);
        }
        match self.phase {
            Phase::Empty => Err(ResponseError::UnknownMemberId),
            Phase::Preparing { .. } => Err(ResponseError::RebalanceInProgress),
            Phase::Completing | Phase::Stable => Ok(()),
        }
    }

    pub(super) fn leave(
        &mut self,
        now: i64,
        identity: &Identity,
        outputs: &mut Vec<Output>,
    ) -> Result<(), ResponseError> {
        if self.promised.remove(&identity.member) {
            return Ok(());
        }
        // An administrator removes a static member by its instance id alone.
        let by_instance = identity.instance.as_ref().filter(|_| identity.member.is_empty());
        let id = match by_instance {
            Some(instance) => {
                self.statics.get(instance).cloned().ok_or(ResponseError::UnknownMemberId)?
            }
            None => self.find(identity)?,
        };
        self.remove(now, &id, outputs);
        Ok(())
    }

    /// As Kafka's `validateOffsetCommit`: who is no member may commit while nobody is.
    pub(super) fn may_commit(
        &mut self,
        now: i64,
        identity: &Identity,
        generation: i32,
    ) -> Result<(), ResponseError> {
        if generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        if generation < 0 && identity.member.is_empty() && identity.instance.is_none() {
            return Err(ResponseError::UnknownMemberId);
        }
        let id = self.find(identity)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.stay(now);
        }
        match self.phase {
            // It knows the new generation, so it must not commit what the old one read.
            Phase::Completing => Err(ResponseError::RebalanceInProgress),
            Phase::Empty | Phase::Preparing { .. } | Phase::Stable => Ok(()),
        }
    }

    /// The member that sends, by instance id if it has one.
    fn find(&self, identity: &Identity) -> Result<String, ResponseError> {
        if let Some(instance) = &identity.instance {
            let id = self.statics.get(instance).ok_or(ResponseError::UnknownMemberId)?;
            if *id != identity.member {
                return Err(ResponseError::FencedInstanceId);
            }
        }
        if self.members.contains_key(&identity.member) {
            Ok(identity.member.clone())
        } else {
            Err(ResponseError::UnknownMemberId)
        }
    }

    /// The answer to a member of the present generation.
    pub(super) fn joined(&self, ticket: Ticket, id: &str) -> Output {
        let leads = self.leader.as_deref() == Some(id);
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let all = self.members.iter().filter(|_| leads).map(|(id, member)| {
            (id.clone(), member.instance.clone(), member.metadata(protocol).unwrap_or_default())
        });
        let joined = Joined {
            error: None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member: id.to_owned(),
            members: all.collect(),
        };
        Output::Joined(ticket, joined)
    }

    /// The assignment of a member.
    pub(super) fn synced(&mut self, now: i64, ticket: Ticket, id: &str) -> Output {
        let assignment = self.members.get_mut(id).map(|member| {
            member.stay(now);
            member.assignment.clone()
        });
        let synced = Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: assignment.unwrap_or_default(),
        };
        Output::Synced(ticket, Ok(synced))
    }
}
