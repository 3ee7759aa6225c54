//! XA branches: a transaction that ends by being prepared, and the one that ends it.
//!
//! MySQL's XA START does not say whether the branch is committed in one phase; its last event
//! does. Whatever is handed over before is taken to be held.

use std::sync::Arc;

use super::{Assembler, Fault, Piece};
use crate::binlog::Tracker;
use crate::change::{BranchEnd, BranchStep, EventPlace, TransactionHead, Xid};

impl Assembler {
    pub(super) fn begin_unless_open(&mut self, place: &EventPlace) {
        if self.open.is_none() {
            let gtid = self.announced.take().and_then(|announced| announced.0);
            self.begin(gtid, false, place.offset);
        }
    }

    /// The open transaction is one of a branch, as far as is known.
    pub(super) fn start(&mut self, xid: Arc<Xid>, place: &EventPlace) {
        let Some(open) = &mut self.open else { return };
        if !self.hints.is_in_one_phase(&place.file, open.begin) {
            let TransactionHead { gtid, executed, .. } = &*open.head;
            let (gtid, executed) = (gtid.clone(), executed.clone());
            open.head =
                Arc::new(TransactionHead { gtid, executed, branch: Some(xid), snapshot: None });
        }
    }

    pub(super) fn prepare(
        &mut self,
        xid: Arc<Xid>,
        place: &EventPlace,
        behind: &Tracker,
    ) -> Result<Option<Piece>, Fault> {
        let begun = self.open.as_ref().and_then(|open| open.head.branch.as_ref());
        if begun.is_none_or(|begun| *begun != xid) {
            let (file, offset) = (Arc::clone(&place.file), place.offset);
            return Err(Fault::OtherBranch { file, offset, xid });
        }
        self.is_valid(place)?;
        let step = BranchStep { xid, end: BranchEnd::Prepared, place: place.clone() };
        Ok(self.commit_at(place.time, behind.offset(), behind, Some(step)))
    }

    /// If the open transaction is one of a branch, it is not held after all.
    pub(super) fn commit_in_one_phase(&mut self) {
        let Some(open) = &mut self.open else { return };
        let TransactionHead { gtid, executed, branch: Some(_), .. } = &*open.head else { return };
        open.in_one_phase = true;
        open.is_void |= open.sent.is_some();
        let (gtid, executed) = (gtid.clone(), executed.clone());
        open.head = Arc::new(TransactionHead { gtid, executed, ..TransactionHead::default() });
    }
}
