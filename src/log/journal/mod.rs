//! The journal: what makes many partitions durable with one sync.
//!
//! Owns: the files under `journal/`, the frames in them, their numbering. In: the entries
//! of a group. Out: durability; at start, the frames that a checkpoint has not seen.
//!
//! What holds: a frame is written only after the sync of the one before returned; its
//! sequence is the next; files are prewritten, so that a sync moves no metadata; a file is
//! used again only when a checkpoint has passed its frames; which file is written to is durable
//! before its first frame, so that a start misses one that is gone.

mod file;
mod frame;
mod mark;
mod scan;

pub(super) use file::{Journal, WriteError, are_there, remove_unused};
pub(super) use frame::{Entry, Frame, Kind};
pub(super) use mark::{Mark, is_there, missing};
pub(super) use scan::{Found, SegmentKey, scan};

/// The directory of the journal.
pub(super) const DIR: &str = "journal";

/// Frames begin at multiples of this: the unit in which disks and caches write.
pub(super) const PAGE: u64 = 4096;

/// The length of a frame in a file.
pub(super) fn padded(length: u64) -> u64 {
    length.next_multiple_of(PAGE)
}
