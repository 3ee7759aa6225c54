//! Takes the tables that the survey left over, between two transactions.
//!
//! In: definitions, as `source::rest` reads them. Out: a commit at the place that is reached, by
//! which they are durable. Always: the position does not go back for them.

use tokio::sync::mpsc;

use super::payload::Proof;
use super::{Outlet, Reader};
use crate::source::Error;
use crate::source::rest::Found;

/// The next table; none if none are read. Cancel safe.
pub(super) async fn next(rest: &mut Option<mpsc::Receiver<Found>>) -> Option<Found> {
    rest.as_mut()?.recv().await
}

impl Reader<'_> {
    /// From where tables come that the survey left over.
    pub(in crate::source) fn takes_rest(&mut self, rest: mpsc::Receiver<Found>) {
        self.rest = Some(rest);
    }

    /// Whether what is applied is what is committed: then a definition is not rolled back with rows.
    pub(super) fn may_take_rest(&self) -> bool {
        let is_read = self.tracker.created() != 0 && self.begin.is_none() && self.quest.is_none();
        let is_behind = self.is_on_its_server()
            && *self.reached.file == **self.tracker.file()
            && self.reached.offset > self.tracker.offset();
        is_read && !is_behind && self.is_between() && matches!(self.proof, Proof::Given)
    }

    pub(super) fn take_rest(&mut self, found: Found, outlet: Outlet<'_>) -> Result<(), Error> {
        let Found { table, is_last, taken } = found;
        let is_taken = self.schema.take_later(table);
        if is_taken {
            if is_last {
                self.schema.has_read_all();
            }
            self.idle.note_place(&self.tracker, 0);
            self.flush_idle(outlet)?;
        }
        // Who asked may have ended.
        let _ = taken.send(is_taken);
        Ok(())
    }
}
