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
use crate::binlog::payload::Inflater;
use crate::binlog::{
    self, ChecksumAlgorithm, ChecksumOfPieces, EventHeader, EventType, FIRST_EVENT,
    FormatDescription, HEADER_LENGTH, Rotate, Tracker,
};
use crate::change::{EventPlace, FileName};

/// An event of a scan.
#[derive(Clone, Debug)]
pub(crate) struct Scanned {
    pub(crate) header: EventHeader,
    pub(crate) place: EventPlace,
    /// Without the checksum; empty for a compressed transaction.
    pub(crate) body: Bytes,
    /// Of an event inside a compressed transaction, how many are before it there; its place is that
    /// of the transaction.
    pub(crate) inner: Option<u32>,
}

/// A running scan.
pub(crate) struct Scan {
    dump: Dump,
    tracker: Tracker,
    format: FormatDescription,
    payload: Option<Payload>,
    /// Whether events inside compressed transactions are of interest.
    inflates: bool,
}

/// A compressed transaction that is arriving.
struct Payload {
    header: EventHeader,
    place: EventPlace,
    /// What is in it, where that is of interest.
    inside: Option<Inside>,
    has_come: bool,
}

#[derive(Default)]
struct Inside {
    inflater: Inflater,
    checksum: ChecksumOfPieces,
    count: u32,
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
        Ok(Self { dump, tracker, format, payload: None, inflates: false })
    }

    /// Gives what is inside compressed transactions too, before the transaction itself: only that
    /// shows that they came as they were written.
    pub(crate) fn inflating(self) -> Self {
        Self { inflates: true, ..self }
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
            if let Some(mut payload) = self.payload.take() {
                let next = payload.next(self.format.checksum);
                if let Some(scanned) = next.map_err(|e| self.odd(e))? {
                    self.payload = Some(payload).filter(|_| scanned.inner.is_some());
                    return Ok(Some(scanned));
                }
                self.payload = Some(payload);
            }
            match self.dump.next().await? {
                Incoming::Event(event) => {
                    if let Some(scanned) = self.event(&event)? {
                        return Ok(Some(scanned));
                    }
                }
                Incoming::Piece { bytes, last } => self.piece(&bytes, last)?,
                Incoming::End => return Ok(None),
            }
        }
    }

    fn piece(&mut self, bytes: &Bytes, last: bool) -> Result<(), Error> {
        let mut payload = if let Some(payload) = self.payload.take() {
            payload
        } else {
            let header = EventHeader::parse(bytes).map_err(|e| self.odd(e))?;
            let place = self.tracker.advance(&header).map_err(|e| self.odd(e))?;
            let inside = self.inflates.then(Inside::default);
            Payload { header, place, inside, has_come: false }
        };
        payload.push(bytes, last);
        self.payload = Some(payload);
        Ok(())
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
        Ok(header.is_in_file().then_some(Scanned { header, place, body, inner: None }))
    }

    fn odd(&self, source: binlog::Error) -> Error {
        let file = Arc::clone(self.tracker.file());
        Error::Event { file, offset: self.tracker.offset(), source }
    }
}

impl Payload {
    fn push(&mut self, bytes: &Bytes, last: bool) {
        self.has_come = last;
        let Some(inside) = &mut self.inside else { return };
        let is_first = inside.checksum.received() == 0;
        let body = if is_first { bytes.slice(HEADER_LENGTH..) } else { bytes.clone() };
        inside.checksum.push(bytes);
        inside.inflater.push(body);
    }

    /// The next event in it, and behind the last one itself; `None` until more of it comes.
    fn next(&mut self, algorithm: ChecksumAlgorithm) -> Result<Option<Scanned>, binlog::Error> {
        if let Some(inside) = &mut self.inside
            && let Some(event) = inside.inflater.next_event()?
        {
            let header = EventHeader::parse(&event)?;
            let inner = Some(inside.count);
            inside.count += 1;
            let body = event.slice(HEADER_LENGTH.min(event.len())..);
            return Ok(Some(Scanned { header, place: self.place.clone(), body, inner }));
        }
        if !self.has_come {
            return Ok(None);
        }
        if let Some(Inside { inflater, checksum, .. }) = self.inside.take() {
            let is_whole = checksum.received() == self.header.event_size as usize;
            if !is_whole || !checksum.is_right(algorithm) {
                return Err(binlog::Error::Checksum);
            }
            inflater.finish()?;
        }
        let (place, body) = (self.place.clone(), Bytes::new());
        Ok(Some(Scanned { header: self.header, place, body, inner: None }))
    }
}
