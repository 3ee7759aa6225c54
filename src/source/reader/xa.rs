//! XA branches: which are held, and what a statement about one means.

use std::sync::Arc;

use super::payload::Proof;
use super::{Reader, Stop};
use crate::change::{BranchEnd, BranchStep, EventPlace, Xid};
use crate::config::OnUnknownBranch;
use crate::source::Error;
use crate::source::assemble::{Input, XaVerb};

impl Reader<'_> {
    /// What a statement about a branch means for its transaction. `is_unlogged`: nothing of it is in
    /// the binlog.
    pub(super) fn xa(
        &mut self,
        verb: XaVerb,
        xid: Xid,
        is_unlogged: bool,
        place: &EventPlace,
    ) -> Result<Input, Stop> {
        let xid = Arc::new(xid);
        let is_held = self.held.contains(&xid);
        if self.quest.is_some() && matches!(verb, XaVerb::Commit | XaVerb::Rollback) {
            return Ok(Input::Statement(Vec::new()));
        }
        Ok(match verb {
            XaVerb::Start => Input::Start(xid),
            XaVerb::Prepare => Input::Prepare(xid),
            XaVerb::Commit if is_held => Input::End(xid, BranchEnd::Committed),
            XaVerb::Rollback if is_held => Input::End(xid, BranchEnd::RolledBack),
            // It was published.
            XaVerb::Commit if self.current.was_published => Input::Statement(Vec::new()),
            XaVerb::Commit if is_unlogged => {
                tracing::warn!(%xid, file = &*place.file, offset = place.offset,
                    "an XA branch is committed that the binlog has nothing of: it was prepared \
                     without being logged (sql_log_bin=0), and what it changed is in no replica \
                     either");
                self.held.touch(&xid);
                self.held.note_end(&xid);
                self.settings.remembered.branches(self.held.noticed());
                Input::Statement(Vec::new())
            }
            XaVerb::Commit => match self.settings.unknown_branch {
                OnUnknownBranch::Stop => {
                    let place = place.clone();
                    return Err(Error::UnknownBranch { place, xid: xid.to_string() }.into());
                }
                OnUnknownBranch::Skip => {
                    tracing::error!(%xid, file = &*place.file, offset = place.offset,
                        "THE ROWS OF AN XA BRANCH ARE LEFT OUT: it was prepared before this \
                         instance began (sluice.xa.unknown=skip)");
                    Input::Statement(Vec::new())
                }
            },
            XaVerb::Rollback => {
                tracing::info!(%xid, file = &*place.file, offset = place.offset,
                    "an XA branch that is not held was rolled back");
                self.progress.unknown_rollback();
                self.held.touch(&xid);
                self.held.note_end(&xid);
                self.settings.remembered.branches(self.held.noticed());
                Input::Statement(Vec::new())
            }
        })
    }

    /// A transaction was handed over that did this to a branch.
    pub(super) fn note_branch(&mut self, step: Option<&BranchStep>) {
        match step {
            None => return,
            Some(BranchStep { xid, end: BranchEnd::Prepared, place }) => {
                self.held.insert(Arc::clone(xid), (Arc::clone(&place.file), place.offset));
            }
            Some(BranchStep { xid, end: BranchEnd::Committed | BranchEnd::RolledBack, .. }) => {
                self.held.remove(xid);
            }
        }
        self.settings.remembered.branches(self.held.noticed());
    }

    /// Says what the server knows of branches, when that can be known.
    pub(super) fn judge_branches(&mut self) {
        let is_between = self.is_between() && matches!(self.proof, Proof::Given);
        if !is_between || self.tracker.created() == 0 {
            return;
        }
        if !self.held.judge(self.tracker.file(), self.tracker.offset()) {
            return;
        }
        let noticed = self.held.noticed();
        if !self.settings.remembered.branches(noticed) {
            return;
        }
        if !noticed.not_on_server.is_empty() {
            tracing::warn!(
                branches = noticed.not_on_server.join("; "),
                "XA branches are held that the server does not know any more, and whose end is not \
                 in its binlog: it lost them, or they were ended without the binlog; they stay held, \
                 and are published only if their XA COMMIT comes"
            );
        }
        if !noticed.before_begin.is_empty() {
            tracing::warn!(
                branches = noticed.before_begin.join("; "),
                "XA branches are prepared on the server that were prepared before this instance \
                 began: when they are committed, what they changed is looked for in the server's \
                 binlogs, which have to be kept until then"
            );
        }
    }
}
