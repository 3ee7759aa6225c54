//! The XA branches that are held where the source stands.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::change::{
    CountedSet, EventPlace, FileName, HeldBranch, MySqlPosition, StateRecord, StateTopic, Xid,
};

/// Which branches are held, and since where every branch that was prepared is.
#[derive(Debug, Default)]
pub(super) struct Held {
    branches: HashSet<Arc<Xid>>,
    /// The server and the place; none when it is not known.
    since: Option<(Arc<str>, FileName, u64)>,
}

impl Held {
    /// Those of a committed position. Whatever is prepared behind it comes to be held, and what
    /// was prepared between the instance's begin and it is.
    pub(super) fn at(position: &MySqlPosition, branches: Vec<HeldBranch>) -> Self {
        let MySqlPosition { server_uuid, file, offset, .. } = position;
        let since = (Arc::clone(server_uuid), Arc::clone(file), *offset);
        let since = Some(since).filter(|(server, file, _)| !server.is_empty() && !file.is_empty());
        Self { branches: branches.into_iter().map(|branch| branch.xid).collect(), since }
    }

    pub(super) fn contains(&self, xid: &Xid) -> bool {
        self.branches.contains(xid)
    }

    pub(super) fn insert(&mut self, xid: Arc<Xid>) {
        self.branches.insert(xid);
    }

    pub(super) fn remove(&mut self, xid: &Xid) {
        self.branches.remove(xid);
    }

    /// Before which place a branch was prepared that is not held, and ends at `end`.
    pub(super) fn prepared_before(&self, server: &str, end: &EventPlace) -> (FileName, u64) {
        match &self.since {
            Some((of, file, offset)) if **of == *server => (Arc::clone(file), *offset),
            Some(_) | None => (Arc::clone(&end.file), end.offset),
        }
    }
}

/// Forgets the branches that `position` has lost, where it goes on at a server that lacks what was
/// published: what such a branch changed is nowhere any more, and one of the same xid that comes to
/// be committed there is another. Those whose XA PREPARE both servers have stay. The records that
/// make it so.
pub(super) fn forget_lost(
    held: &mut Vec<HeldBranch>,
    position: &MySqlPosition,
) -> Vec<StateRecord> {
    let kept = position.gtid_set.counted().map(CountedSet::whole);
    let is_lost = |branch: &mut HeldBranch| !kept.as_ref().is_some_and(|kept| branch.is_of(kept));
    let forgotten = held.extract_if(.., is_lost).map(|branch| {
        let HeldBranch { xid, gtid, place: (file, offset) } = branch;
        tracing::warn!(%xid, ?gtid, %file, offset, "a held XA branch is lost too: the server that \
            is gone on to does not have it as it was prepared");
        StateRecord { topic: StateTopic::Xa, key: Bytes::from(xid.to_string()), value: None }
    });
    forgotten.collect()
}
