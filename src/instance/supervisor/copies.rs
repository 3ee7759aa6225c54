//! How far tables are copied, as it is shown.

use crate::control::{Copying, Reporter, TableCopy};
use crate::source::{self, Copy, CopyState};

/// As many tables are shown that are not done.
const MOST_SHOWN: usize = 200;

/// What was shown last.
#[derive(Debug, Default)]
pub(super) struct Shown {
    version: Option<u64>,
}

impl Shown {
    /// Shows what has changed, if anything has.
    pub(super) fn show(&mut self, copying: &source::Copying, reporter: &Reporter) {
        let version = Some(copying.version());
        if self.version == version {
            return;
        }
        self.version = version;
        let tables = copying.tables();
        if tables.is_empty() {
            return reporter.copying(None);
        }
        let count = |state| tables.iter().filter(|(_, copy)| copy.state == state).count();
        let unfinished = tables.iter().filter(|(_, copy)| copy.state != CopyState::Done);
        reporter.copying(Some(Copying {
            tables: tables.len(),
            done: count(CopyState::Done),
            failed: count(CopyState::Failed),
            rows: tables.iter().map(|(_, copy)| copy.rows).sum(),
            estimate: tables.iter().map(|(_, copy)| copy.estimate).sum(),
            rows_per_second: copying.rate().unwrap_or(0),
            paused: copying.is_paused(),
            unfinished: unfinished
                .take(MOST_SHOWN)
                .map(|(name, copy)| TableCopy {
                    table: name.to_string(),
                    state: word(copy).to_owned(),
                    rows: copy.rows,
                    estimate: copy.estimate,
                    reason: copy.reason.clone(),
                })
                .collect(),
        }));
    }
}

fn word(copy: &Copy) -> &'static str {
    match copy.state {
        CopyState::Pending => "pending",
        CopyState::Copying => "copying",
        CopyState::Done => "done",
        CopyState::Stopped => "stopped",
        CopyState::Failed => "failed",
    }
}
