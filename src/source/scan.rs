//! Walks one binlog file: to a place or a time, counting the GTIDs on the way.
//!
//! Of each event only the header and the GTID are looked at, so it is as fast as the network;
//! still it is a whole file, so it is done once in an instance's life.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::assemble::Verb;
use super::{Error, Settings};
use crate::binlog::{self, EventType, FIRST_EVENT, GtidEvent, Query, previous_gtids};
use crate::change::GtidSet;
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
    until: Until,
    walked: Walked,
    /// A GTID event has come, so QUERY BEGIN begins nothing.
    has_gtids: bool,
}

/// Walks `file` from its begin.
pub(crate) async fn walk(settings: &Settings, file: &str, until: Until) -> Result<Walked, Error> {
    let file: Arc<str> = Arc::from(file);
    let mut scan =
        Scan::open(&settings.endpoint, &settings.replica, Arc::clone(&file), FIRST_EVENT).await?;
    let walked = Walked { offset: FIRST_EVENT, created: 0, gtid_set: None, time: 0 };
    let mut walk = Walk { until, walked, has_gtids: false };
    while let Some(event) = scan.next().await.map_err(|error| refused(error, &file))? {
        // A file that ends in a crash has no ROTATE: the next one just begins.
        if event.header.event_type == EventType::Rotate || event.place.file != file {
            break;
        }
        if walk.event(&event)?.is_break() {
            break;
        }
    }
    Ok(walk.walked)
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
    fn event(&mut self, event: &Scanned) -> Result<ControlFlow<()>, Error> {
        match event.header.event_type {
            EventType::FormatDescription => self.walked.created = event.header.timestamp,
            EventType::PreviousGtids => {
                let set = previous_gtids(&event.body);
                self.walked.gtid_set = Some(set.map_err(|e| odd(event, "PREVIOUS_GTIDS", e))?);
            }
            // MariaDB's server is asked for the set of a place.
            EventType::GtidList => {}
            _ => {
                let begins = self.begins(event);
                if self.is_there(event, begins) {
                    return Ok(ControlFlow::Break(()));
                }
                self.count(event)?;
            }
        }
        self.walked.offset = event.place.offset + u64::from(event.header.event_size);
        if event.header.timestamp != 0 {
            self.walked.time = event.header.timestamp;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn begins(&self, event: &Scanned) -> bool {
        match event.header.event_type {
            EventType::Gtid
            | EventType::GtidTagged
            | EventType::AnonymousGtid
            | EventType::MariaDbGtid => true,
            EventType::Query if !self.has_gtids => {
                Query::parse(event.header.event_type, &event.body)
                    .is_ok_and(|query| Verb::of(&query.text) == Verb::Begin)
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

    /// Adds the GTID of a transaction that is passed.
    fn count(&mut self, event: &Scanned) -> Result<(), Error> {
        if !matches!(
            event.header.event_type,
            EventType::Gtid | EventType::GtidTagged | EventType::AnonymousGtid
        ) {
            return Ok(());
        }
        self.has_gtids = true;
        let gtid =
            GtidEvent::parse(&event.header, &event.body).map_err(|e| odd(event, "GTID", e))?;
        if let (Some(set), Some(gtid)) = (&mut self.walked.gtid_set, &gtid.gtid) {
            set.insert(gtid);
        }
        Ok(())
    }
}

fn odd(event: &Scanned, what: &str, source: binlog::Error) -> Error {
    Error::Event { place: event.place.clone(), what: what.to_owned(), source }
}
