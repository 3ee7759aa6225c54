//! The rows of XA branches that are prepared while tables are copied: they take effect at the XA
//! COMMIT, which does not say them.
//!
//! Always: what is kept is bounded; a branch of which not all is kept is not known.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::change::{Change, RowsChange, Xid};

/// As many bytes of rows are kept in all.
const MOST_BYTES: usize = 16 << 20;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Branches {
    /// None of those of which not all could be kept.
    kept: HashMap<Arc<Xid>, Option<Vec<RowsChange>>>,
    bytes: usize,
}

impl Branches {
    /// Keeps the rows of a branch, if these are all.
    pub(super) fn keep(&mut self, xid: &Arc<Xid>, changes: &[Change], is_whole: bool) {
        if !is_whole {
            self.take(xid);
            self.kept.insert(Arc::clone(xid), None);
            return;
        }
        for change in changes {
            let Change::Rows(rows) = change else { continue };
            let length = rows.images.len();
            let kept = self.kept.entry(Arc::clone(xid)).or_insert_with(|| Some(Vec::new()));
            let Some(all) = kept else { continue };
            if self.bytes + length > MOST_BYTES {
                self.bytes -= all.iter().map(|rows| rows.images.len()).sum::<usize>();
                *kept = None;
                continue;
            }
            self.bytes += length;
            // A copy: the slice keeps a whole buffer of the connection.
            all.push(RowsChange { images: Bytes::copy_from_slice(&rows.images), ..rows.clone() });
        }
    }

    /// All rows of a branch that has ended; none if they are not known.
    pub(super) fn take(&mut self, xid: &Xid) -> Option<Vec<RowsChange>> {
        let rows = self.kept.remove(xid)??;
        self.bytes -= rows.iter().map(|rows| rows.images.len()).sum::<usize>();
        Some(rows)
    }
}
