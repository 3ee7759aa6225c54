//! The server's binlog as it is now: events with their places, from one place to the end.
//!
//! In: where to begin. Out: one event after the other, checked and without its checksum,
//! file after file. Always: the scan is no replica (server id 0, no UUID, as mysqlbinlog), so
//! it neither disturbs a running dump of ours nor is seen as one; it holds one event at a time.
//! It runs as fast as the network, which SHOW BINLOG EVENTS does not by far.

use std::sync::Arc;

use bytes::Bytes;

use super::replica::{Dump, DumpFrom, Incoming, Replica, ReplicaSettings};
use super::{Endpoint, Error};
use crate::binlog::{
    self, EventHeader, EventType, FIRST_EVENT, FormatDescription, HEADER_LENGTH, Rotate, Tracker,
};
use crate::change::{EventPlace, FileName};

/// An event of a scan.
#[derive(Clone, Debug)]
pub(crate) struct Scanned {
    pub(crate) header: EventHeader,
    pub(crate) place: EventPlace,
    /// Without the checksum; empty for a compressed transaction.
    pub(crate) body: Bytes,
}

/// A running scan.
pub(crate) struct Scan {
    dump: Dump,
    tracker: Tracker,
    format: FormatDescription,
    /// The first piece of a compressed transaction that is arriving: it holds the header.
    payload: Option<Bytes>,
}

impl Scan {
    /// Begins at an event of `file`, or at the begin of the file where the dump command has
    /// no room for the offset: then more comes than was asked for.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        settings: &ReplicaSettings,
        file: FileName,
        offset: u64,
    ) -> Result<Self, Error> {
        let offset = if u32::try_from(offset).is_ok() { offset } else { FIRST_EVENT };
        let settings = ReplicaSettings { server_id: 0, uuid: String::new(), ..settings.clone() };
        let replica = Replica::connect(endpoint, settings).await?;
        let format = FormatDescription::expected(replica.version(), replica.has_checksums());
        let tracker = Tracker::by_file(Arc::from(""), Arc::clone(&file), offset);
        let dump = replica.scan(&DumpFrom::File { file, offset }).await?;
        Ok(Self { dump, tracker, format, payload: None })
    }

    /// The format of the file that it is in.
    pub(crate) fn format(&self) -> &FormatDescription {
        &self.format
    }

    /// When that file was begun, in seconds since 1970.
    pub(crate) fn created(&self) -> u32 {
        self.tracker.created()
    }

    /// The next event; `None` at the end of the binlog.
    pub(crate) async fn next(&mut self) -> Result<Option<Scanned>, Error> {
        loop {
            match self.dump.next().await? {
                Incoming::Event(event) => {
                    if let Some(scanned) = self.event(&event)? {
                        return Ok(Some(scanned));
                    }
                }
                Incoming::Piece { bytes, last } => {
                    let head = self.payload.take().unwrap_or(bytes);
                    if last {
                        let header = EventHeader::parse(&head).map_err(|e| self.odd(e))?;
                        let place = self.tracker.advance(&header).map_err(|e| self.odd(e))?;
                        return Ok(Some(Scanned { header, place, body: Bytes::new() }));
                    }
                    self.payload = Some(head);
                }
                Incoming::End => return Ok(None),
            }
        }
    }

    /// `None` for what the dump thread says of itself.
    fn event(&mut self, event: &Bytes) -> Result<Option<Scanned>, Error> {
        let header = EventHeader::parse(event).map_err(|e| self.odd(e))?;
        if header.event_type == EventType::Rotate
            && header.is_artificial()
            && self.tracker.created() == 0
        {
            return Ok(None); // names the file that was asked for
        }
        if header.event_type == EventType::FormatDescription {
            let body = event.get(HEADER_LENGTH..).unwrap_or_default();
            self.format = FormatDescription::parse(body).map_err(|e| self.odd(e))?;
            self.tracker.describe(header.timestamp);
        }
        let end = self.format.checksum.strip(event).map_err(|e| self.odd(e))?.len();
        let body = event.slice(HEADER_LENGTH..end.max(HEADER_LENGTH));
        let place = self.tracker.advance(&header).map_err(|e| self.odd(e))?;
        if header.event_type == EventType::Rotate {
            let rotate = Rotate::parse(&body).map_err(|e| self.odd(e))?;
            self.tracker.rotate(rotate.file);
        }
        Ok(header.is_in_file().then_some(Scanned { header, place, body }))
    }

    fn odd(&self, source: binlog::Error) -> Error {
        let file = Arc::clone(self.tracker.file());
        Error::Event { file, offset: self.tracker.offset(), source }
    }
}
