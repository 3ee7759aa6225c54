//! Looks through the source's binlogs for the PREPARE of an XA branch that is not held.
//!
//! In: the xid, the place of its XA COMMIT, and before which place it was prepared. Out: where
//! the branch's transaction begins, or that it is not there. Files are read the newest first,
//! each over a connection that does not wait and is no replica (server id 0, no UUID); behind an
//! earlier end of the same xid there is nothing to look for.
//!
//! Always: of an event only the header is looked at, unless it can be about a branch, and of a
//! compressed transaction no more than its first statement; but all of it is held against its
//! checksum and its size before anything that was seen is believed, since a damaged byte can hide
//! an XA PREPARE, or make it another's. At a file that was purged meanwhile or is damaged the
//! search ends: an older branch of the same xid may have ended there. Only a
//! connection that is lost is an error, and the next search goes on at the file where this one was.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::assemble::{Verb, XaVerb};
use super::{Error, Settings};
use crate::binlog::payload::Inflater;
use crate::binlog::{
    self, ChecksumOfPieces, EventHeader, EventType, FIRST_EVENT, FormatDescription, GtidEvent,
    HEADER_LENGTH, Query, Tracker, XaPrepare,
};
use crate::change::{EventPlace, FileName, Xid};
use crate::mysql::replica::{DumpFrom, Incoming, Replica, ReplicaSettings};
use crate::mysql::{self, Session, probe};

/// So often a file is read that came damaged, since the damage may be on the way.
const TRIES: u32 = 3;
/// What is kept of so many searches.
const MOST_SEARCHES: usize = 64;

/// What is looked for.
pub(super) struct Search<'a> {
    pub(super) settings: &'a Settings,
    pub(super) xid: &'a Xid,
    /// The server, as positions name it, and the place of the XA COMMIT.
    pub(super) end: (&'a Arc<str>, &'a EventPlace),
    /// Before which place it was prepared.
    pub(super) before: (FileName, u64),
}

/// Where a branch's transaction begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) file: FileName,
    pub(super) begin: u64,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Searched {
    Found(Found),
    /// Behind the end of an older branch of the same xid it was not prepared: nothing of it is in
    /// the binlog.
    NotPrepared,
    /// It is in no file that is there and can be read.
    NotThere,
}

/// What searches have learnt, for those that go on after a lost connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Searches(Arc<Mutex<VecDeque<Learnt>>>);

#[derive(Clone, Debug)]
struct Learnt {
    server: Arc<str>,
    /// The XA COMMIT.
    end: (FileName, u64),
    /// The oldest file that was read to its end.
    read: Option<FileName>,
    found: Option<Found>,
}

impl Searches {
    fn of(&self, server: &str, end: &EventPlace) -> Option<Learnt> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |one: &&Learnt| {
            *one.server == *server && *one.end.0 == *end.file && one.end.1 == end.offset
        };
        known.iter().find(is_it).cloned()
    }

    fn learn(&self, learnt: Learnt) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|one| one.server != learnt.server || one.end != learnt.end);
        known.push_back(learnt);
        if known.len() > MOST_SEARCHES {
            known.pop_front();
        }
    }
}

impl Search<'_> {
    /// Looks through file after file. An error is one of the connection, or of the account.
    pub(super) async fn run(&self) -> Result<Searched, Error> {
        let searches = self.settings.remembered.searches();
        let (server, end) = self.end;
        let mut learnt = searches.of(server, end).unwrap_or_else(|| Learnt {
            server: Arc::clone(server),
            end: (Arc::clone(&end.file), end.offset),
            read: None,
            found: None,
        });
        if let Some(found) = learnt.found {
            return Ok(Searched::Found(found));
        }
        let mut session = Session::connect(&self.settings.endpoint).await?;
        let files = probe::binlog_files(&mut session).await?;
        session.close().await;
        let place_of = |name: &str| files.iter().position(|file| file.name == name);
        // All that is older than a file that was purged was purged too.
        let Some(last) = place_of(&self.before.0) else { return Ok(Searched::NotThere) };
        let until = match &learnt.read {
            Some(read) => place_of(read).unwrap_or(0),
            None => last + 1,
        };
        for file in files.iter().take(until).rev() {
            let file: FileName = Arc::from(file.name.as_str());
            match self.read(&file).await? {
                None => learnt.read = Some(file),
                Some(Seen::End) => return Ok(Searched::NotPrepared),
                Some(Seen::Unreadable) => return Ok(Searched::NotThere),
                Some(Seen::Prepared(begin)) => learnt.found = Some(Found { file, begin }),
            }
            searches.learn(learnt.clone());
            if let Some(found) = learnt.found {
                return Ok(Searched::Found(found));
            }
        }
        Ok(Searched::NotThere)
    }

    async fn read(&self, file: &FileName) -> Result<Option<Seen>, Error> {
        let mut reason = String::new();
        for _ in 0..TRIES {
            match self.look_through(file).await {
                Ok(seen) => return Ok(seen),
                Err(Fault::Connection(error)) => return Err(error.into()),
                Err(Fault::File(error)) => {
                    reason = error;
                    break;
                }
                Err(Fault::Damage(error)) => reason = error,
            }
        }
        tracing::warn!(xid = %self.xid, %file, reason,
            "a binlog file cannot be looked through for an XA branch: it is not found");
        Ok(Some(Seen::Unreadable))
    }

    async fn look_through(&self, file: &FileName) -> Result<Option<Seen>, Fault> {
        let Settings { endpoint, replica, .. } = self.settings;
        let replica = ReplicaSettings { server_id: 0, uuid: String::new(), ..replica.clone() };
        let replica = Replica::connect(endpoint, replica).await?;
        let before = if *file == self.before.0 { self.before.1 } else { u64::MAX };
        let mut look = Look {
            xid: self.xid,
            before,
            tracker: Tracker::by_file(Arc::from(""), Arc::clone(file), FIRST_EVENT),
            format: FormatDescription::expected(replica.version(), replica.has_checksums()),
            begin: None,
            starting: None,
            payload: None,
            seen: None,
        };
        let from = DumpFrom::File { file: Arc::clone(file), offset: FIRST_EVENT };
        let mut dump = replica.scan(&from).await?;
        loop {
            let done = match dump.next().await? {
                Incoming::Event(event) => look.event(&event)?,
                Incoming::Piece { bytes, last } => look.piece(&bytes, last)?,
                Incoming::End => ControlFlow::Break(()),
            };
            if done.is_break() {
                return Ok(look.seen);
            }
        }
    }
}

/// Why a file was not read to its end.
enum Fault {
    Connection(mysql::Error),
    /// The server does not send it.
    File(String),
    /// What came is not what a server writes.
    Damage(String),
}

impl From<mysql::Error> for Fault {
    fn from(error: mysql::Error) -> Self {
        match error {
            error if is_not_sent(&error) => Self::File(error.to_string()),
            mysql::Error::Protocol { .. } | mysql::Error::Event { .. } => {
                Self::Damage(error.to_string())
            }
            error => Self::Connection(error),
        }
    }
}

/// Whether the server says that it has no such file, or cannot read it: by 1236 where it was
/// purged, by errors of its system (29, "File not found") where the file is missing or is damaged.
pub(super) fn is_not_sent(error: &mysql::Error) -> bool {
    matches!(error, mysql::Error::Server { .. }) && !error.is_transient()
}

impl From<binlog::Error> for Fault {
    fn from(error: binlog::Error) -> Self {
        Self::Damage(error.to_string())
    }
}

/// The last that a file says of the branch.
#[derive(Clone, Copy, Debug)]
enum Seen {
    /// It was prepared; its transaction begins there.
    Prepared(u64),
    /// One of the same xid was committed or rolled back.
    End,
    /// That may have been.
    Unreadable,
}

/// The reading of one file.
struct Look<'a> {
    xid: &'a Xid,
    before: u64,
    tracker: Tracker,
    format: FormatDescription,
    /// Where the last GTID is.
    begin: Option<u64>,
    /// Where the transaction begins that is the branch's, and open.
    starting: Option<u64>,
    payload: Option<Payload>,
    seen: Option<Seen>,
}

/// A compressed transaction that is arriving.
struct Payload {
    place: u64,
    size: usize,
    checksum: ChecksumOfPieces,
    inflater: Inflater,
    /// Its first statement was not the branch's XA START.
    is_another: bool,
}

impl Payload {
    fn new(place: u64, size: usize) -> Self {
        let (checksum, inflater) = (ChecksumOfPieces::default(), Inflater::default());
        Self { place, size, checksum, inflater, is_another: false }
    }

    /// All of it came. Of another's the rest was not inflated.
    fn judge(self, format: &FormatDescription) -> Result<(), Fault> {
        let received = self.checksum.received();
        if received != self.size {
            return Err(Fault::Damage(format!(
                "a compressed transaction at {} says that it has {} bytes, and has {received}",
                self.place, self.size
            )));
        }
        if !self.checksum.is_right(format.checksum) {
            return Err(binlog::Error::Checksum.into());
        }
        if self.is_another { Ok(()) } else { Ok(self.inflater.finish()?) }
    }
}

impl Look<'_> {
    fn event(&mut self, event: &Bytes) -> Result<ControlFlow<()>, Fault> {
        let header = EventHeader::parse(event)?;
        if header.event_type == EventType::Rotate {
            // The first names the file that was asked for.
            let is_first = self.tracker.created() == 0;
            return Ok(if is_first { ControlFlow::Continue(()) } else { ControlFlow::Break(()) });
        }
        if header.event_type == EventType::FormatDescription {
            let body = event.get(HEADER_LENGTH..).unwrap_or_default();
            self.format = FormatDescription::parse(body)?;
            self.tracker.describe(header.timestamp);
        }
        let place = self.tracker.advance(&header)?.offset;
        if place >= self.before {
            return Ok(ControlFlow::Break(()));
        }
        let end = self.format.checksum.strip(event)?.len().max(HEADER_LENGTH);
        if let Some(kind) = Kind::of(header.event_type) {
            self.look_at(kind, &header, &event.slice(HEADER_LENGTH..end), place)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn piece(&mut self, bytes: &Bytes, last: bool) -> Result<ControlFlow<()>, Fault> {
        let (mut payload, body) = if let Some(payload) = self.payload.take() {
            (payload, bytes.clone())
        } else {
            let header = EventHeader::parse(bytes)?;
            let place = self.tracker.advance(&header)?.offset;
            if place >= self.before {
                return Ok(ControlFlow::Break(()));
            }
            let size = header.event_size as usize;
            (Payload::new(place, size), bytes.slice(HEADER_LENGTH..))
        };
        payload.checksum.push(bytes);
        if !payload.is_another {
            payload.inflater.push(body);
        }
        while !payload.is_another
            && let Some(event) = payload.inflater.next_event()?
        {
            let header = EventHeader::parse(&event)?;
            if let Some(kind) = Kind::of(header.event_type) {
                self.look_at(kind, &header, &event.slice(HEADER_LENGTH..), payload.place)?;
            }
            payload.is_another = self.starting.is_none();
        }
        if last {
            payload.judge(&self.format)?;
        } else {
            self.payload = Some(payload);
        }
        Ok(ControlFlow::Continue(()))
    }

    fn look_at(
        &mut self,
        kind: Kind,
        header: &EventHeader,
        body: &Bytes,
        place: u64,
    ) -> Result<(), Fault> {
        match kind {
            Kind::Statement => {
                let query = Query::parse(header.event_type, body)?;
                if let Verb::Xa(verb, xid) = Verb::of(&query.text)
                    && xid == *self.xid
                {
                    self.statement(verb, place);
                }
            }
            Kind::Prepare => {
                let XaPrepare { one_phase, xid } = XaPrepare::parse(body)?;
                if xid == *self.xid {
                    self.prepared(one_phase);
                }
            }
            Kind::Gtid => {
                self.begin = Some(place);
                let event = GtidEvent::parse(header, body)?;
                if event.flags.prepared_xa && event.xid.as_ref() == Some(self.xid) {
                    self.starting = Some(place);
                }
            }
        }
        Ok(())
    }

    fn statement(&mut self, verb: XaVerb, place: u64) {
        match verb {
            XaVerb::Start => self.starting = Some(self.begin.unwrap_or(place)),
            XaVerb::Prepare => self.prepared(false),
            XaVerb::Commit | XaVerb::Rollback => {
                (self.starting, self.seen) = (None, Some(Seen::End));
            }
        }
    }

    fn prepared(&mut self, one_phase: bool) {
        if let Some(begin) = self.starting.take() {
            self.seen = Some(if one_phase { Seen::End } else { Seen::Prepared(begin) });
        }
    }
}

/// An event that can be about a branch.
#[derive(Clone, Copy)]
enum Kind {
    Statement,
    Prepare,
    Gtid,
}

impl Kind {
    fn of(kind: EventType) -> Option<Self> {
        let is_gtid = matches!(
            kind,
            EventType::Gtid
                | EventType::GtidTagged
                | EventType::AnonymousGtid
                | EventType::MariaDbGtid
        );
        if is_gtid {
            Some(Self::Gtid)
        } else if matches!(kind, EventType::Query | EventType::QueryCompressed) {
            Some(Self::Statement)
        } else {
            (kind == EventType::XaPrepare).then_some(Self::Prepare)
        }
    }
}
