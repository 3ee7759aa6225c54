//! Leaves out what was executed before the position, and lies behind it in the server's binlog.
//!
//! In: the position's GTID set, where another server's order led to it, and where the server's
//! binlog ended when it was joined. Out: which events are not applied. Always: behind that end
//! nothing comes that the set holds: from there on the file alone gives the place. What has no GTID
//! and lies before it may have been published or not, unless the server has made it behind all that
//! the set holds: it is refused, as the server does where it is asked by GTID
//! (`Binlog_sender::send_events`, sql/rpl_binlog_sender.cc).
//!
//! By GTID alone a server begins at the newest file that begins within the set, and of what has
//! none it says nothing. So the file is read on, and the set tells what is left out.

use std::sync::Arc;

use super::{Reader, Stop};
use crate::binlog::{EventHeader, EventType, GtidEvent, Heartbeat};
use crate::change::{CountedSet, EventPlace, FileName, Flavor, GtidSet, MySqlPosition};
use crate::clock;
use crate::mysql::Session;
use crate::mysql::probe::{self, Probe};
use crate::mysql::replica::DumpFrom;
use crate::schema::Place;
use crate::source::Error;

/// Until the next one begins.
const UNSAID: u64 = u64::MAX;

/// What may come a second time.
#[derive(Debug)]
pub(in crate::source) struct Overlap {
    /// These are left out, up to `end`.
    executed: GtidSet,
    /// Where the binlog ended when the server was joined; `None` once it was reached.
    end: Option<Place>,
    /// Where the transaction ends that is being left out; [`UNSAID`] on servers that do not say it.
    open: Option<u64>,
    /// Whether there was one.
    has_left_out: bool,
}

impl Overlap {
    /// What there is of it at a position; `None` where the place says it all, and on MariaDB, which
    /// gives a GTID to everything and is asked by GTID. The server was asked before what it has
    /// executed: its binlog has that up to the end.
    pub(in crate::source) async fn at(
        position: &MySqlPosition,
        from: &DumpFrom,
        (session, probe): (&mut Session, &Probe),
    ) -> Result<Option<Self>, Error> {
        if probe.flavor == Flavor::MariaDb {
            return Ok(None);
        }
        let (executed, open) = match (from, position.gtid_set.counted()) {
            // The server leaves out what the set holds.
            (DumpFrom::Gtid(_), _) => (GtidSet::empty(probe.flavor), None),
            // A build before may have stored a place inside of what the server left out.
            (DumpFrom::File { .. }, Some(set)) if position.by_gtid => {
                (CountedSet::whole(set), Some(UNSAID))
            }
            (DumpFrom::File { .. }, _) => return Ok(None),
        };
        let end = probe::binlog_place(session).await?;
        let end = end.map(|(file, offset)| Place { file, offset });
        Ok(Some(Self { executed, end, open, has_left_out: false }))
    }

    /// Whether a position may still be one behind which the set alone leads on.
    pub(in crate::source) fn is_by_gtid(&self) -> bool {
        self.end.is_some()
    }

    /// Whether a transaction without GTID may have been published before. One that the server has
    /// made itself was not, as long as nothing came that was: a server's own order is that of its
    /// places. One from elsewhere has another commit time there.
    fn may_hold(&self, event: &GtidEvent) -> bool {
        let GtidEvent {
            original_commit_timestamp: made, immediate_commit_timestamp: there, ..
        } = event;
        let is_own = made.is_some() && made == there;
        !self.executed.is_empty() && (self.has_left_out || !is_own)
    }

    /// Nothing is to be left out any more.
    fn is_over(&self) -> bool {
        let Self { executed, end, open, has_left_out: _ } = self;
        end.is_none() && open.is_none() && executed.is_empty()
    }
}

impl Reader<'_> {
    /// Between transactions, and behind none that is left out.
    pub(super) fn is_between(&self) -> bool {
        self.assembler.is_between() && self.overlap.as_ref().is_none_or(|one| one.open.is_none())
    }

    /// Whether the event that ends where the tracker is now was executed before. Of a piece of one
    /// there is no body.
    pub(super) fn was_executed(
        &mut self,
        header: &EventHeader,
        body: &[u8],
        place: &EventPlace,
    ) -> Result<bool, Stop> {
        if header.is_in_file() {
            self.note_overtaken(&place.file, place.offset);
        }
        let Some(overlap) = &mut self.overlap else { return Ok(false) };
        match header.event_type {
            EventType::Gtid | EventType::GtidTagged | EventType::AnonymousGtid => {
                overlap.open = None;
                let event = GtidEvent::parse(header, body);
                let event = event.map_err(|e| super::odd(place, "GTID", e))?;
                match &event.gtid {
                    Some(gtid) if overlap.executed.contains(gtid) => {
                        overlap.has_left_out = true;
                        let length = event.transaction_length;
                        overlap.open = Some(length.map_or(UNSAID, |length| place.offset + length));
                        tracing::debug!(%gtid, file = &*place.file, offset = place.offset,
                            "left out: it was published before");
                    }
                    None if overlap.may_hold(&event) => {
                        return Err(Error::Doubtful { place: place.clone() }.into());
                    }
                    Some(_) | None => {}
                }
            }
            _ if !header.is_in_file() => return Ok(false),
            // Those are outside of transactions.
            EventType::Rotate | EventType::Stop | EventType::PreviousGtids => overlap.open = None,
            _ => {}
        }
        let is_left_out = overlap.open.is_some();
        let offset = self.tracker.offset();
        overlap.open.take_if(|end| *end <= offset);
        let file = FileName::clone(self.tracker.file());
        self.note_overtaken(&file, offset);
        if is_left_out {
            self.note_idle(0);
        }
        self.overlap.take_if(|overlap| overlap.is_over());
        Ok(is_left_out)
    }

    /// Behind the end that the binlog had, the place says it all.
    fn note_overtaken(&mut self, file: &FileName, offset: u64) {
        let Some(overlap) = &mut self.overlap else { return };
        if overlap.end.take_if(|end| end.file == *file && end.offset <= offset).is_some() {
            self.overtook();
        }
    }

    /// Another file follows this one.
    pub(super) fn leaves_file(&mut self, file: &FileName) {
        let Some(overlap) = &mut self.overlap else { return };
        overlap.open = None;
        if overlap.end.take_if(|end| end.file == *file).is_some() {
            self.overtook();
        }
    }

    fn overtook(&mut self) {
        self.tracker.is_told_by_place();
        if let Some(overlap) = &mut self.overlap {
            overlap.executed = GtidSet::empty(Flavor::MySql);
        }
    }

    /// The server has nothing to send up to there.
    pub(super) fn heartbeat(&mut self, header: &EventHeader, body: &[u8]) -> Result<(), Stop> {
        let heartbeat = Heartbeat::parse(header, body).map_err(|e| self.odd("HEARTBEAT", e))?;
        let is_here = *heartbeat.file == **self.tracker.file();
        let offset = self.tracker.offset();
        if self.tracker.leaves_out() {
            // While a server leaves a transaction out it names events inside of it
            // (`Binlog_sender::send_events`). Each once: a place that it names again, with nothing
            // sent in between, is where it has nothing more.
            let named = (FileName::from(heartbeat.file), offset, heartbeat.position);
            let is_first = self.named.as_ref() != Some(&named);
            self.named = Some(named);
            if is_first && heartbeat.position != offset {
                return Ok(());
            }
        } else if is_here
            && heartbeat.position == offset
            && let Some(overlap) = &mut self.overlap
        {
            // By file it names ends of what was sent, and those are ends of transactions.
            overlap.open = None;
        }
        if self.is_between() {
            self.tracker.skip_to(heartbeat.file, heartbeat.position);
            let (file, offset) = (FileName::clone(self.tracker.file()), self.tracker.offset());
            self.note_overtaken(&file, offset);
            self.note_idle(0);
            if is_here {
                let (file, offset) = (self.tracker.file(), self.tracker.offset());
                self.settings.remembered.lag().heartbeat(file, offset, clock::now_millis());
            }
        }
        Ok(())
    }
}

/// A place that a heartbeat named, and how far the file was received then.
pub(super) type Named = (Arc<str>, u64, u64);
