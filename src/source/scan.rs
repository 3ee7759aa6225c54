//! Walks one binlog file over a dump that ends with the file: to a place or a time, counting
//! the GTIDs on the way.
//!
//! Of each event only the header and the GTID are looked at, so it is as fast as the network;
//! still it is a whole file, so it is done once in an instance's life.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::assemble::{Extent, Tracker, Verb};
use super::{Error, Settings};
use crate::binlog::{
    ChecksumAlgorithm, EventHeader, EventType, FormatDescription, GtidEvent, HEADER_LENGTH, Query,
    previous_gtids,
};
use crate::change::{EventPlace, GtidSet};
use crate::mysql;
use crate::mysql::replica::{DumpFrom, Incoming, Replica};

/// How far to walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// To this offset, or behind the head of the file if that is further.
    Offset(u64),
    /// To the first transaction that began at this second or later.
    Time(u32),
}

/// Where a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    /// The offset of a transaction boundary, or that asked for.
    pub(crate) offset: u64,
    /// Header timestamp of the file's `FORMAT_DESCRIPTION`.
    pub(crate) created: u32,
    /// What was executed before it; `None` if the file does not begin with a set.
    pub(crate) gtid_set: Option<GtidSet>,
    /// Header timestamp of the last event before it.
    pub(crate) time: u32,
}

struct Walk {
    tracker: Tracker,
    format: FormatDescription,
    until: Until,
    gtid_set: Option<GtidSet>,
    /// The head of the file has been passed.
    in_body: bool,
    /// A GTID event has come, so QUERY BEGIN begins nothing.
    has_gtids: bool,
    time: u32,
}

/// Walks `file` from its begin.
pub(crate) async fn walk(settings: &Settings, file: &str, until: Until) -> Result<Walked, Error> {
    let replica = Replica::connect(&settings.endpoint, settings.replica.clone()).await?;
    let checksum =
        if replica.has_checksums() { ChecksumAlgorithm::Crc32 } else { ChecksumAlgorithm::Off };
    let file: Arc<str> = Arc::from(file);
    let mut walk = Walk {
        tracker: Tracker::by_file(Arc::clone(&file), 4),
        format: unknown_format(checksum, replica.version()),
        until,
        gtid_set: None,
        in_body: false,
        has_gtids: false,
        time: 0,
    };
    let from = DumpFrom::File { file: Arc::clone(&file), offset: 4 };
    let mut dump = replica.scan(&from).await?;
    // The first piece of a compressed transaction holds its header, and nothing else is wanted.
    let mut payload: Option<Bytes> = None;
    loop {
        let done = match dump.next().await.map_err(|error| refused(error, &file))? {
            Incoming::Event(event) => walk.event(&event)?,
            Incoming::Piece { bytes, last } => {
                let head = payload.take().unwrap_or(bytes);
                if last {
                    walk.payload(&head)?
                } else {
                    payload = Some(head);
                    ControlFlow::Continue(())
                }
            }
            Incoming::End => ControlFlow::Break(()),
        };
        if done.is_break() {
            return Ok(walk.end());
        }
    }
}

fn refused(error: mysql::Error, file: &str) -> Error {
    match error.code() {
        Some(mysql::ERROR_READING_BINLOG) => {
            Error::Start(format!("cannot read {file} of the source: {error}"))
        }
        _ => Error::Mysql(error),
    }
}

/// What holds before the first `FORMAT_DESCRIPTION`.
pub(crate) fn unknown_format(checksum: ChecksumAlgorithm, version: &str) -> FormatDescription {
    FormatDescription {
        binlog_version: 4,
        server_version: version.to_owned(),
        created: 0,
        post_header_lengths: Vec::new(),
        checksum,
    }
}

impl Walk {
    fn event(&mut self, event: &Bytes) -> Result<ControlFlow<()>, Error> {
        let header = EventHeader::parse(event).map_err(|source| self.odd("an event", source))?;
        if header.event_type == EventType::FormatDescription {
            let body = event.get(HEADER_LENGTH..).unwrap_or_default();
            self.format = FormatDescription::parse(body)
                .map_err(|source| self.odd("FORMAT_DESCRIPTION", source))?;
            self.tracker.describe(header.timestamp);
            self.advance(&header)?;
            return Ok(ControlFlow::Continue(()));
        }
        if header.event_type == EventType::Rotate {
            // The first names our file; another one that the file has ended.
            let other = self.in_body && !header.is_artificial();
            return Ok(if other { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
        }
        let stripped =
            self.format.checksum.strip(event).map_err(|source| self.odd("an event", source))?;
        let body = stripped.get(HEADER_LENGTH..).unwrap_or_default();
        if header.event_type == EventType::PreviousGtids {
            let set = previous_gtids(body).map_err(|source| self.odd("PREVIOUS_GTIDS", source))?;
            self.gtid_set = Some(set);
            self.advance(&header)?;
            return Ok(ControlFlow::Continue(()));
        }
        if header.event_type == EventType::GtidList {
            self.advance(&header)?;
            return Ok(ControlFlow::Continue(()));
        }
        self.in_body = true;
        self.body(&header, body)
    }

    fn payload(&mut self, head: &Bytes) -> Result<ControlFlow<()>, Error> {
        let header =
            EventHeader::parse(head).map_err(|source| self.odd("TRANSACTION_PAYLOAD", source))?;
        self.body(&header, &[])
    }

    fn body(&mut self, header: &EventHeader, body: &[u8]) -> Result<ControlFlow<()>, Error> {
        if matches!(header.event_type, EventType::Heartbeat | EventType::HeartbeatV2) {
            return Ok(ControlFlow::Continue(()));
        }
        let begins = self.begins(header, body);
        if self.is_there(header, begins) {
            return Ok(ControlFlow::Break(()));
        }
        if matches!(
            header.event_type,
            EventType::Gtid | EventType::GtidTagged | EventType::AnonymousGtid
        ) {
            self.has_gtids = true;
            let event =
                GtidEvent::parse(header, body).map_err(|source| self.odd("GTID", source))?;
            if let (Some(set), Some(gtid)) = (&mut self.gtid_set, &event.gtid) {
                set.insert(gtid);
            }
        }
        self.advance(header)?;
        Ok(ControlFlow::Continue(()))
    }

    fn begins(&self, header: &EventHeader, body: &[u8]) -> bool {
        match header.event_type {
            EventType::Gtid
            | EventType::GtidTagged
            | EventType::AnonymousGtid
            | EventType::MariaDbGtid => true,
            EventType::Query if !self.has_gtids => Query::parse(header.event_type, body)
                .is_ok_and(|query| Verb::of(&query.text) == Verb::Begin),
            _ => false,
        }
    }

    /// Whether the event that comes is the first behind the place looked for.
    fn is_there(&self, header: &EventHeader, begins: bool) -> bool {
        match self.until {
            Until::Offset(offset) => self.tracker.offset() >= offset,
            Until::Time(time) => begins && header.timestamp >= time,
        }
    }

    fn advance(&mut self, header: &EventHeader) -> Result<(), Error> {
        let extent = Extent {
            time: header.timestamp,
            size: header.event_size,
            log_pos: header.log_pos,
            artificial: header.is_artificial(),
        };
        self.tracker.advance(extent).map_err(|fault| Error::Broken(fault.to_string()))?;
        if header.timestamp != 0 {
            self.time = header.timestamp;
        }
        Ok(())
    }

    fn end(self) -> Walked {
        let offset = self.tracker.offset();
        let created = self.tracker.created();
        Walked { offset, created, gtid_set: self.gtid_set, time: self.time }
    }

    fn odd(&self, what: &str, source: crate::binlog::Error) -> Error {
        let place = EventPlace {
            file: Arc::clone(self.tracker.file()),
            offset: self.tracker.offset(),
            time: self.time,
        };
        Error::Event { place, what: what.to_owned(), source }
    }
}
