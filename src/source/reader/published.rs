//! What was published before, was accepted as lost, and comes after all: a server that lacked it had
//! received it and applies it later, or gets it from another one.
//!
//! In: what the events of such a transaction mean. Out: what they still mean. Always: nothing of it
//! is published a second time. Its statements change the definitions all the same, which were
//! forgotten with the loss, and its GTID counts as executed. A branch that it prepares is held:
//! the branch was forgotten with the loss, and may be committed later. One that it commits was
//! published.

use std::collections::HashSet;

use super::Reader;
use crate::change::{BranchEnd, Change, Gtid};
use crate::source::assemble::Input;

impl Reader<'_> {
    /// Whether a transaction was published before.
    pub(super) fn was_published(&self, gtid: Option<&Gtid>) -> bool {
        let published = gtid.is_some_and(|gtid| self.published.contains(gtid));
        if published && let Some(gtid) = gtid {
            tracing::debug!(%gtid, file = &**self.tracker.file(), offset = self.tracker.offset(),
                "a transaction that was accepted as lost comes after all: it was published before, \
                 and is left out");
        }
        published
    }

    /// Whether the rows of the transaction that is being read are of no interest.
    pub(super) fn leaves_out_rows(&self) -> bool {
        self.current.was_published && !self.assembler.is_in_branch()
    }

    /// What an event means of a transaction that was published.
    pub(super) fn of_published(&self, input: Input) -> Input {
        let is_in_branch = self.assembler.is_in_branch();
        let kept = HashSet::new();
        match input {
            // Of an XA branch in one phase the rows have come.
            Input::Commit | Input::Rollback { .. } => Input::Rollback { kept },
            Input::End(xid, BranchEnd::Committed) => Input::End(xid, BranchEnd::RolledBack),
            Input::Statement(mut changes) => {
                changes.retain(|change| matches!(change, Change::Together(_)));
                Input::Statement(changes)
            }
            Input::RowsQuery(..) if !is_in_branch => Input::FilteredRows { ends_statement: false },
            Input::Gtid { .. }
            | Input::GtidOfBranch { .. }
            | Input::Begin
            | Input::Start(_)
            | Input::Prepare(_)
            | Input::End(_, BranchEnd::Prepared | BranchEnd::RolledBack)
            | Input::Savepoint(_)
            | Input::RollbackTo { .. }
            | Input::Rows { .. }
            | Input::FilteredRows { .. }
            | Input::RowsQuery(..)
            | Input::NewFile => input,
        }
    }
}
