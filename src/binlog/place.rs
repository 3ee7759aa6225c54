//! The position of the source in its binlog: file names and 64-bit offsets out of event headers
//! that have 32 bits for an offset, or none.
//!
//! Always: an offset is that of the server's file, whatever its length; it moves only
//! behind events that are in the file (artificial ones do not); in a dump by file each
//! event begins where the one before ended, else events were lost. (binlog.md 3, 8)

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::sync::Arc;

use super::{Error, EventHeader};
use crate::change::{EventPlace, FileName};

/// Offset of the first event of a file, behind its magic number.
pub(crate) const FIRST_EVENT: u64 = 4;

/// Follows the offsets of one dump.
#[derive(Clone, Debug)]
pub(crate) struct Tracker {
    server: Arc<str>,
    file: FileName,
    offset: u64,
    created: u32,
    server_time: u32,
    /// Whether the server may leave events out: those of a GTID set, or of its own.
    leaves_out: bool,
    /// Whether a position needs its GTID set beside its place.
    by_gtid: bool,
    /// Until the first file of a GTID dump is named, the place is not known.
    found: bool,
}

impl Tracker {
    /// A dump by file: it begins exactly there.
    pub(crate) fn by_file(server: Arc<str>, file: FileName, offset: u64) -> Self {
        Self {
            server,
            file,
            offset,
            created: 0,
            server_time: 0,
            leaves_out: false,
            by_gtid: false,
            found: true,
        }
    }

    /// A dump by GTID: the server finds the place, and leaves out what the set holds.
    pub(crate) fn by_gtid(server: Arc<str>, file: FileName) -> Self {
        let (offset, created, server_time) = (FIRST_EVENT, 0, 0);
        Self {
            server,
            file,
            offset,
            created,
            server_time,
            leaves_out: true,
            by_gtid: true,
            found: false,
        }
    }

    /// The server whose binlog it is, as positions name it.
    pub(crate) fn server(&self) -> &Arc<str> {
        &self.server
    }

    /// Whether the server leaves out what a GTID set holds.
    pub(crate) fn leaves_out(&self) -> bool {
        self.leaves_out
    }

    /// Whether behind this place may be what was executed, as
    /// [`crate::change::MySqlPosition::by_gtid`].
    pub(crate) fn is_by_gtid(&self) -> bool {
        self.by_gtid
    }

    /// Behind this place may be what was executed.
    pub(crate) fn is_told_by_gtids(&mut self) {
        self.by_gtid = true;
    }

    /// Nothing behind this place was executed before.
    pub(crate) fn is_told_by_place(&mut self) {
        self.by_gtid = false;
    }

    pub(crate) fn file(&self) -> &FileName {
        &self.file
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Header timestamp of the file's `FORMAT_DESCRIPTION`; 0 before it came.
    pub(crate) fn created(&self) -> u32 {
        self.created
    }

    /// When the last transaction was written, in seconds since 1970 by the server's own clock; 0
    /// before one said so.
    pub(crate) fn server_time(&self) -> u32 {
        self.server_time
    }

    /// A transaction said when it was written (see [`super::GtidEvent::server_time`]).
    pub(crate) fn written_at(&mut self, server_time: u32) {
        if server_time != 0 {
            self.server_time = server_time;
        }
    }

    /// `FORMAT_DESCRIPTION` came.
    pub(crate) fn describe(&mut self, time: u32) {
        self.created = time;
    }

    /// A ROTATE came; true when another file begins. Whether it is artificial does not
    /// matter: after a crash of the server there is no other.
    pub(crate) fn rotate(&mut self, file: &str) -> bool {
        let other = *self.file != *file || !self.found;
        if other {
            if *self.file != *file {
                self.file = Arc::from(file);
            }
            self.offset = FIRST_EVENT;
            self.created = 0;
            self.found = true;
        }
        other
    }

    /// A heartbeat said how far the server has read.
    pub(crate) fn skip_to(&mut self, file: &str, offset: u64) {
        if *self.file == *file && offset > self.offset {
            self.offset = offset;
        }
    }

    /// Moves behind an event; where it was.
    pub(crate) fn advance(&mut self, header: &EventHeader) -> Result<EventPlace, Error> {
        let offset = self.step_over(header)?;
        Ok(EventPlace { file: Arc::clone(&self.file), offset, time: header.timestamp })
    }

    /// Moves behind an event; writes where it was into `place`, which is that of an event
    /// before it: a count of shared names that does not change need not be touched.
    pub(crate) fn advance_from(
        &mut self,
        place: &mut EventPlace,
        header: &EventHeader,
    ) -> Result<(), Error> {
        place.offset = self.step_over(header)?;
        place.time = header.timestamp;
        if !Arc::ptr_eq(&place.file, &self.file) {
            place.file = Arc::clone(&self.file);
        }
        Ok(())
    }

    /// Moves behind an event; the offset where it was.
    fn step_over(&mut self, header: &EventHeader) -> Result<u64, Error> {
        let size = u64::from(header.event_size);
        if !header.is_in_file() {
            return Ok(self.offset);
        }
        let expected = self.offset + size;
        let end = if header.log_pos == 0 || low(expected) == header.log_pos {
            expected
        } else if self.leaves_out {
            widen(header.log_pos, expected)
        } else {
            return Err(Error::Gap {
                file: Arc::clone(&self.file),
                offset: self.offset,
                size: header.event_size,
                log_pos: header.log_pos,
            });
        };
        self.offset = end;
        Ok(end.saturating_sub(size))
    }
}

/// The lower 32 bits, as headers have them.
#[expect(clippy::cast_possible_truncation, reason = "the cut is what headers do")]
fn low(offset: u64) -> u32 {
    offset as u32
}

/// The first offset from `least` on that a header would write as `log_pos`.
fn widen(log_pos: u32, least: u64) -> u64 {
    const WRAP: u64 = 1 << 32;
    let candidate = (least & !(WRAP - 1)) | u64::from(log_pos);
    if candidate < least { candidate + WRAP } else { candidate }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::EventType;

    fn event(event_size: u32, log_pos: u32) -> EventHeader {
        EventHeader {
            timestamp: 7,
            event_type: EventType::Xid,
            server_id: 1,
            event_size,
            log_pos,
            flags: 0,
        }
    }

    #[test]
    fn offsets_go_on_beyond_4_gib() {
        let mut tracker =
            Tracker::by_file(Arc::from("s"), Arc::from("b.000001"), u64::from(u32::MAX) - 50);
        let place = tracker.advance(&event(100, 49)).unwrap();
        assert_eq!(place.offset, u64::from(u32::MAX) - 50);
        assert_eq!(tracker.offset(), (1 << 32) + 49);
    }

    #[test]
    fn events_without_a_position_are_counted() {
        // MariaDB 11.4 writes 0 on all but the last of a group.
        let mut tracker = Tracker::by_file(Arc::from("s"), Arc::from("b.000001"), 1000);
        tracker.advance(&event(40, 0)).unwrap();
        assert_eq!(tracker.advance(&event(60, 0)).unwrap().offset, 1040);
        assert_eq!(tracker.advance(&event(31, 1131)).unwrap().offset, 1100);
    }

    #[test]
    fn a_missing_event_is_noticed_in_a_dump_by_file() {
        let mut tracker = Tracker::by_file(Arc::from("s"), Arc::from("b.000001"), 1000);
        let fault = tracker.advance(&event(40, 1100)).unwrap_err();
        assert!(fault.to_string().contains("b.000001:1000"), "{fault}");
    }

    #[test]
    fn a_dump_by_gtid_may_leave_events_out() {
        let mut tracker = Tracker::by_gtid(Arc::from("s"), Arc::from("b.000001"));
        assert!(tracker.rotate("b.000001"), "its place was unknown");
        tracker.advance(&event(122, 126)).unwrap();
        assert_eq!(tracker.advance(&event(80, 5000)).unwrap().offset, 4920);
    }

    #[test]
    fn any_rotate_to_another_name_begins_a_file_and_one_to_the_same_does_not() {
        let mut tracker = Tracker::by_file(Arc::from("s"), Arc::from("b.999999"), 1000);
        assert!(!tracker.rotate("b.999999"));
        assert_eq!(tracker.offset(), 1000);
        assert!(tracker.rotate("b.1000000"));
        assert_eq!((&**tracker.file(), tracker.offset()), ("b.1000000", 4));
    }

    #[test]
    fn artificial_events_have_no_length() {
        let mut tracker = Tracker::by_file(Arc::from("s"), Arc::from("b.000001"), 1000);
        let flags = EventHeader::ARTIFICIAL;
        tracker.advance(&EventHeader { timestamp: 0, flags, ..event(44, 0) }).unwrap();
        assert_eq!(tracker.offset(), 1000);
    }

    #[test]
    fn the_place_of_an_event_before_becomes_that_of_the_next() {
        let mut tracker = Tracker::by_file(Arc::from("s"), Arc::from("b.000001"), 1000);
        let mut place = tracker.advance(&event(40, 1040)).unwrap();
        tracker.advance_from(&mut place, &event(60, 1100)).unwrap();
        assert_eq!((&*place.file, place.offset, place.time), ("b.000001", 1040, 7));
        tracker.rotate("b.000002");
        tracker.advance_from(&mut place, &event(100, 104)).unwrap();
        assert_eq!((&*place.file, place.offset), ("b.000002", 4));
    }
}
