//! Walks one binlog file: to a place or a time, counting the GTIDs on the way.
//!
//! Of each event only the header and the GTID are looked at, so it is as fast as the network;
//! still it is a whole file, so it is done once in an instance's life.
//!
//! It is the one place where an offset and a GTID set are paired. What the server itself says
//! does not do: the set beside the offset in SHOW BINARY LOG STATUS is what was *committed* when
//! it was asked, and transactions are in the binlog before that
//! (`MYSQL_BIN_LOG::ordered_commit`, `sql/binlog.cc`).

use std::ops::ControlFlow;
use std::sync::Arc;

use super::assemble::Verb;
use super::{Error, Settings};
use crate::binlog::{self, EventType, FIRST_EVENT, GtidEvent, Query, gtid_list, previous_gtids};
use crate::change::{Gtid, GtidSet};
use crate::mysql::{self, Scan, Scanned};

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
    /// A transaction boundary: the place asked for, or the begin of the transaction that it
    /// is in; before it, if the file does not reach so far yet.
    pub(crate) offset: u64,
    /// Header timestamp of the file's `FORMAT_DESCRIPTION`.
    pub(crate) created: u32,
    /// What was executed before `offset`; `None` if the file does not begin with a set.
    pub(crate) gtid_set: Option<GtidSet>,
    /// Header timestamp of the last event before it.
    pub(crate) time: u32,
    /// As [`crate::change::MySqlPosition::server_time`].
    pub(crate) server_time: u32,
    /// How the place asked for lies to `offset`.
    pub(crate) asked: Asked,
    /// `server_id` in the head of the event at the offset asked for, if one begins there: of the
    /// server that made it, wherever it is replicated to.
    pub(crate) server_id: Option<u32>,
}

impl Walked {
    /// Adds what was executed before all files that there are.
    pub(crate) fn add(&mut self, elsewhere: Option<&GtidSet>) {
        if let (Some(set), Some(elsewhere)) = (&mut self.gtid_set, elsewhere) {
            set.union(elsewhere);
        }
    }
}

/// What is at the offset that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A boundary of transactions, or the first event behind a GTID: Canal notes the BEGIN.
    Boundary,
    /// The middle of a transaction.
    Inside,
    /// The middle of an event; the next one begins there.
    InEvent(u64),
    /// The server has not written so far, or does not send it yet.
    Beyond,
}

struct Walk {
    until: Until,
    walked: Walked,
    /// Where the head of the file ends.
    head: u64,
    /// A GTID event has come, so nothing else begins a transaction.
    has_gtids: bool,
    /// Without them: it is behind a BEGIN, whose end has not come,
    is_inside: bool,
    /// or behind events that belong to the statement that comes.
    is_led: bool,
    /// The transaction that is being walked through: it counts when it is behind.
    open: Option<Begun>,
}

struct Begun {
    offset: u64,
    gtid: Option<Gtid>,
    /// Header timestamp of the last event before it.
    time: u32,
    /// As [`GtidEvent::server_time`].
    server_time: u32,
    /// Where its first event behind the GTID is.
    first: u64,
}

/// Walks `file` from its begin.
pub(crate) async fn walk(settings: &Settings, file: &str, until: Until) -> Result<Walked, Error> {
    let file: Arc<str> = Arc::from(file);
    let mut scan =
        Scan::open(&settings.endpoint, &settings.replica, Arc::clone(&file), FIRST_EVENT).await?;
    let mut walk = Walk::new(until);
    while let Some(event) = scan.next().await.map_err(|error| refused(error, &file))? {
        // A file that ends in a crash has no ROTATE: the next one just begins.
        if event.header.event_type == EventType::Rotate || event.place.file != file {
            break;
        }
        if walk.event(&event)?.is_break() {
            return Ok(walk.walked);
        }
    }
    Ok(walk.ended())
}

fn refused(error: mysql::Error, file: &str) -> Error {
    match error.code() {
        Some(mysql::ERROR_READING_BINLOG) => {
            Error::Start(format!("cannot read {file} of the source: {error}"))
        }
        _ => Error::Mysql(error),
    }
}

impl Walk {
    fn new(until: Until) -> Self {
        let walked = Walked {
            offset: FIRST_EVENT,
            created: 0,
            gtid_set: None,
            time: 0,
            server_time: 0,
            asked: Asked::Boundary,
            server_id: None,
        };
        Self {
            until,
            walked,
            head: FIRST_EVENT,
            has_gtids: false,
            is_inside: false,
            is_led: false,
            open: None,
        }
    }

    fn event(&mut self, event: &Scanned) -> Result<ControlFlow<()>, Error> {
        match event.header.event_type {
            EventType::FormatDescription => self.walked.created = event.header.timestamp,
            EventType::PreviousGtids => {
                let set = previous_gtids(&event.body);
                self.walked.gtid_set = Some(set.map_err(|e| odd(event, "PREVIOUS_GTIDS", e))?);
            }
            EventType::GtidList => {
                let set = gtid_list(&event.body);
                self.walked.gtid_set = Some(set.map_err(|e| odd(event, "GTID_LIST", e))?);
            }
            _ => {
                if self.head == FIRST_EVENT {
                    self.head = event.place.offset;
                }
                let begins = self.begins(event);
                if begins || is_between(event.header.event_type) {
                    self.close();
                }
                if self.is_there(event, begins) {
                    if self.until == Until::Offset(event.place.offset) {
                        self.walked.server_id = Some(event.header.server_id);
                    }
                    self.arrive(event.place.offset);
                    return Ok(ControlFlow::Break(()));
                }
                if begins {
                    self.begin(event)?;
                }
            }
        }
        self.walked.offset = event.place.offset + u64::from(event.header.event_size);
        if event.header.timestamp != 0 {
            self.walked.time = event.header.timestamp;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether a transaction begins with the event: with its GTID; on servers that write none
    /// (MySQL 5.6) with its BEGIN, and any statement outside of one is a transaction of its own.
    fn begins(&mut self, event: &Scanned) -> bool {
        match event.header.event_type {
            kind if is_gtid(kind) => true,
            _ if self.has_gtids => false,
            EventType::Query => {
                let query = Query::parse(event.header.event_type, &event.body);
                match query.map(|query| Verb::of(&query.text)) {
                    Ok(Verb::Begin) => {
                        self.is_inside = true;
                        true
                    }
                    Ok(Verb::Commit | Verb::Rollback) => {
                        self.is_inside = false;
                        false
                    }
                    Ok(
                        Verb::Savepoint
                        | Verb::RollbackTo
                        | Verb::Nothing
                        | Verb::Xa(..)
                        | Verb::OtherXa
                        | Verb::Statement,
                    )
                    | Err(_) => !std::mem::take(&mut self.is_led) && !self.is_inside,
                }
            }
            EventType::ExecuteLoadQuery => !std::mem::take(&mut self.is_led) && !self.is_inside,
            EventType::Intvar
            | EventType::Rand
            | EventType::UserVar
            | EventType::BeginLoadQuery
            | EventType::AppendBlock => {
                !self.is_inside && !std::mem::replace(&mut self.is_led, true)
            }
            EventType::Xid => {
                self.is_inside = false;
                false
            }
            _ => false,
        }
    }

    /// Whether the event that comes is the first behind the place looked for.
    fn is_there(&self, event: &Scanned, begins: bool) -> bool {
        match self.until {
            Until::Offset(offset) => event.place.offset >= offset,
            Until::Time(time) => begins && event.header.timestamp >= time,
        }
    }

    fn begin(&mut self, event: &Scanned) -> Result<(), Error> {
        let (gtid, server_time) = if is_gtid(event.header.event_type) {
            self.has_gtids = true;
            let gtid = GtidEvent::parse(&event.header, &event.body);
            let gtid = gtid.map_err(|e| odd(event, "GTID", e))?;
            (gtid.gtid.clone(), gtid.server_time())
        } else {
            (None, 0)
        };
        let (offset, time) = (event.place.offset, self.walked.time);
        let first = offset + u64::from(event.header.event_size);
        self.open = Some(Begun { offset, gtid, time, server_time, first });
        Ok(())
    }

    /// The open transaction is behind.
    fn close(&mut self) {
        let Some(Begun { gtid, server_time, .. }) = self.open.take() else { return };
        if server_time != 0 {
            self.walked.server_time = server_time;
        }
        if let (Some(gtid), Some(set)) = (gtid, &mut self.walked.gtid_set) {
            set.insert(&gtid);
        }
    }

    /// The next event would be the first at or behind the place: `found` is where it is.
    fn arrive(&mut self, found: u64) {
        let Until::Offset(asked) = self.until else { return };
        self.walked.asked = match &self.open {
            _ if asked < self.head => return,
            _ if found > asked => Asked::InEvent(found),
            // Without GTIDs nothing says where a transaction ended, but the BEGIN of the next.
            Some(open) if self.has_gtids && open.first != asked => Asked::Inside,
            Some(_) if !self.has_gtids => return,
            Some(_) | None => Asked::Boundary,
        };
        if let Some(open) = self.open.take() {
            (self.walked.offset, self.walked.time) = (open.offset, open.time);
        }
    }

    /// The file has no more: it ends between transactions, since the server hands on no part of
    /// one.
    fn ended(mut self) -> Walked {
        self.close();
        if let Until::Offset(asked) = self.until
            && self.walked.offset < asked
        {
            self.walked.asked = Asked::Beyond;
        }
        self.walked
    }
}

fn is_gtid(kind: EventType) -> bool {
    matches!(
        kind,
        EventType::Gtid | EventType::GtidTagged | EventType::AnonymousGtid | EventType::MariaDbGtid
    )
}

/// Events that no transaction holds.
fn is_between(kind: EventType) -> bool {
    matches!(
        kind,
        EventType::Rotate
            | EventType::Stop
            | EventType::Incident
            | EventType::BinlogCheckpoint
            | EventType::StartEncryption
    )
}

fn odd(event: &Scanned, what: &str, source: binlog::Error) -> Error {
    Error::Event { place: event.place.clone(), what: what.to_owned(), source }
}
