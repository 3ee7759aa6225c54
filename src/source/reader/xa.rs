//! XA branches: which are held, and what a statement about one means.

use std::sync::Arc;

use super::{Reader, Stop};
use crate::change::{BranchEnd, BranchStep, EventPlace, Xid};
use crate::source::Error;
use crate::source::assemble::{Input, XaVerb};
use crate::source::settings::UnknownBranch;

impl Reader<'_> {
    /// What a statement about a branch means for its transaction.
    pub(super) fn xa(&mut self, verb: XaVerb, xid: Xid, place: &EventPlace) -> Result<Input, Stop> {
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
            XaVerb::Commit => match self.settings.unknown_branch {
                UnknownBranch::Stop => {
                    let place = place.clone();
                    return Err(Error::UnknownBranch { place, xid: xid.to_string() }.into());
                }
                UnknownBranch::Skip => {
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
                Input::Statement(Vec::new())
            }
        })
    }

    /// A transaction was handed over that did this to a branch.
    pub(super) fn note_branch(&mut self, step: Option<&BranchStep>) {
        match step {
            None => {}
            Some(BranchStep { xid, end: BranchEnd::Prepared, .. }) => {
                self.held.insert(Arc::clone(xid));
            }
            Some(BranchStep { xid, end: BranchEnd::Committed | BranchEnd::RolledBack, .. }) => {
                self.held.remove(xid);
            }
        }
    }
}
