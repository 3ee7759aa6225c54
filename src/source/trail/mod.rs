//! What has come since the last heartbeat, in a form that another server's binlog can be held
//! against.
//!
//! In: the events of a binlog. Out: at each boundary of transactions the [`Trail`] of it. Always:
//! it is made of nothing but what a replica keeps as it was; two binlogs with the same trail hold
//! the same transactions in the same order since that heartbeat. Where servers say to the
//! microsecond when a transaction was first committed (MySQL since 8.0.1), it is that, and who made
//! it: a replica keeps it (`original_commit_timestamp`), as who replays a binlog does, and it holds
//! whatever the format, the row images or the compression on either side. Else it is who made it,
//! when, and what it changed, in the format that it is logged in; what a replica may write
//! otherwise even so is left out: table ids, the cutting of rows into events, commit numbers. What
//! cannot be compared ends the trail, and the next heartbeat begins another one.
//!
//! Builds before made it of what a transaction changed even where they knew when it was committed. A
//! trail that such a one stored goes on in both ways until the next heartbeat, as it does not say
//! which is its own.

mod find;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use openssl::sha::Sha256;

pub(super) use find::find;

use super::assemble::{Verb, XaVerb};
use crate::binlog::{
    Error, EventHeader, EventType, FormatDescription, GtidEvent, Query, RowsEvent, TableMap,
    TableMapId, XaPrepare,
};
use crate::change::{Digest, FileName, RowsKind, TableName, Trail};

/// A transaction that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended {
    /// None if it cannot be compared.
    digest: Option<Digest>,
    /// In the older way, where that is asked for.
    older: Option<Digest>,
    /// Whether it changed the heartbeat's table, and nothing else.
    is_beat: bool,
    /// When it was made, in seconds, and whether the microsecond is known too.
    time: u32,
    is_exact: bool,
    /// The server that made it.
    server_id: u32,
}

/// Cuts events into transactions, and makes a digest of each.
struct Transactions {
    /// The heartbeat's table.
    beats: TableName,
    names: HashMap<TableMapId, TableName>,
    open: Option<Open>,
    /// The server that made the transaction before, and when: what gives one.
    last: Option<(u32, u64)>,
    /// Whether the older way is asked for too.
    with_older: bool,
}

/// A transaction that is being read.
struct Open {
    /// What it changed; none where nobody asks.
    contents: Option<Sha256>,
    server_id: u32,
    time: u32,
    /// When it was first committed, in microseconds since 1970.
    committed: Option<u64>,
    /// Behind BEGIN: only COMMIT and its like end it.
    begun: bool,
    changes: Changes,
    /// What the rows before were of: rows of the same go on with them.
    rows: Option<(RowsKind, TableMapId)>,
    is_comparable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Changes {
    None,
    /// Rows of the heartbeat's table.
    Beat,
    Others,
}

/// What an event did.
enum Step {
    Goes,
    Ended(Ended),
    /// A transaction has ended that cannot be compared, or something is between transactions
    /// that cannot.
    Incomparable,
}

impl Transactions {
    fn new(beats: TableName, with_older: bool) -> Self {
        Self { beats, names: HashMap::new(), open: None, last: None, with_older }
    }

    /// A file begins: what was open was cut by a crash.
    fn new_file(&mut self) {
        self.open = None;
        self.names.clear();
    }

    fn event(
        &mut self,
        header: &EventHeader,
        body: &Bytes,
        format: &FormatDescription,
    ) -> Result<Step, Error> {
        match header.event_type {
            EventType::Gtid | EventType::AnonymousGtid | EventType::GtidTagged => {
                let event = GtidEvent::parse(header, body)?;
                let mut open = Open::new(header);
                // 0: the server that made it did not say.
                open.committed = event.original_commit_timestamp.filter(|time| *time != 0);
                match open.committed {
                    Some(time) if self.with_older => open.add(b'g', &[&time.to_le_bytes()]),
                    Some(_) => open.contents = None,
                    None => {}
                }
                self.open = Some(open);
                Ok(Step::Goes)
            }
            EventType::Query => self.query(header, body),
            EventType::Xid => Ok(self.end(header, "commit")),
            EventType::XaPrepare => {
                let xa = XaPrepare::parse(body)?;
                let verb = if xa.one_phase { "one phase" } else { "prepare" };
                self.open(header).add(b'x', &[xa.xid.to_string().as_bytes()]);
                Ok(self.end(header, verb))
            }
            EventType::TableMap => {
                let (id, schema, table) = TableMap::peek(format, body)?;
                self.names.insert(id, TableName::new(schema, table));
                Ok(Step::Goes)
            }
            EventType::WriteRowsV1
            | EventType::UpdateRowsV1
            | EventType::DeleteRowsV1
            | EventType::WriteRows
            | EventType::UpdateRows
            | EventType::DeleteRows
            | EventType::PartialUpdateRows => self.rows(header, body, format),
            // Values of the statement that follows.
            EventType::Intvar | EventType::Rand | EventType::UserVar => {
                self.open(header).add(b'v', &[body]);
                Ok(Step::Goes)
            }
            EventType::Rotate
            | EventType::FormatDescription
            | EventType::Stop
            | EventType::PreviousGtids
            | EventType::Heartbeat
            | EventType::HeartbeatV2
            | EventType::RowsQuery
            | EventType::Ignorable => Ok(Step::Goes),
            // A scan does not look into it, and need not: it is a whole transaction.
            EventType::TransactionPayload
                if self.open.as_ref().is_some_and(|open| open.committed.is_some()) =>
            {
                self.open(header).contents = None;
                Ok(self.end(header, "commit"))
            }
            // Blocks of files have numbers of the server's own; the others are of servers that
            // have GTIDs, or of none that is served, or arrive as what is in them.
            EventType::BeginLoadQuery
            | EventType::AppendBlock
            | EventType::ExecuteLoadQuery
            | EventType::DeleteFile
            | EventType::StartV3
            | EventType::Load
            | EventType::Slave
            | EventType::CreateFile
            | EventType::ExecLoad
            | EventType::NewLoad
            | EventType::PreGaWriteRows
            | EventType::PreGaUpdateRows
            | EventType::PreGaDeleteRows
            | EventType::Incident
            | EventType::TransactionContext
            | EventType::ViewChange
            | EventType::TransactionPayload
            | EventType::AnnotateRows
            | EventType::BinlogCheckpoint
            | EventType::MariaDbGtid
            | EventType::GtidList
            | EventType::StartEncryption
            | EventType::QueryCompressed
            | EventType::WriteRowsCompressedV1
            | EventType::UpdateRowsCompressedV1
            | EventType::DeleteRowsCompressedV1
            | EventType::WriteRowsCompressed
            | EventType::UpdateRowsCompressed
            | EventType::DeleteRowsCompressed
            | EventType::PartialRowData
            | EventType::Unknown(_) => {
                if let Some(open) = &mut self.open {
                    open.is_comparable = false;
                    return Ok(Step::Goes);
                }
                Ok(Step::Incomparable)
            }
        }
    }

    fn query(&mut self, header: &EventHeader, body: &[u8]) -> Result<Step, Error> {
        let query = Query::parse(header.event_type, body)?;
        match Verb::of(&query.text) {
            Verb::Begin | Verb::Xa(XaVerb::Start, _) => {
                self.open(header).begun = true;
                Ok(Step::Goes)
            }
            Verb::Commit => Ok(self.end(header, "commit")),
            Verb::Rollback => Ok(self.end(header, "rollback")),
            Verb::Nothing => Ok(Step::Goes),
            Verb::Xa(XaVerb::Prepare | XaVerb::Commit | XaVerb::Rollback, _) => {
                self.open(header).add(b's', &[query.text.as_bytes()]);
                Ok(self.end(header, "xa"))
            }
            Verb::Savepoint | Verb::RollbackTo | Verb::OtherXa | Verb::Statement => {
                let open = self.open(header);
                let time = header.timestamp.to_le_bytes();
                let error = query.error_code.to_le_bytes();
                let text = query.text.trim_end().as_bytes();
                open.add(b's', &[&time, &error, query.schema.as_bytes(), text]);
                open.changes = Changes::Others;
                let begun = open.begun;
                Ok(if begun { Step::Goes } else { self.end(header, "statement") })
            }
        }
    }

    fn rows(
        &mut self,
        header: &EventHeader,
        body: &Bytes,
        format: &FormatDescription,
    ) -> Result<Step, Error> {
        let event = RowsEvent::parse(format, header.event_type, body)?;
        if event.is_dummy() {
            return Ok(Step::Goes);
        }
        let name = self.names.get(&event.table).cloned();
        let is_beat = name.as_ref().is_some_and(|name| is_same(name, &self.beats));
        let open = self.open(header);
        let Some(name) = name.filter(|_| open.begun) else {
            open.is_comparable = false;
            return Ok(Step::Goes);
        };
        open.changes = match open.changes {
            Changes::None | Changes::Beat if is_beat => Changes::Beat,
            Changes::None | Changes::Beat | Changes::Others => Changes::Others,
        };
        let this = Some((event.kind, event.table));
        if open.rows != this {
            open.rows = this;
            let kind = format!("{:?}", event.kind);
            let (time, after) = (header.timestamp.to_le_bytes(), event.after_columns.as_ref());
            let after = after.map_or(&[][..], |columns| &columns.0);
            let (schema, table) = (name.schema.as_bytes(), name.table.as_bytes());
            open.add(b'r', &[kind.as_bytes(), schema, table, &event.columns.0, after, &time]);
        }
        if let Some(contents) = &mut open.contents {
            contents.update(&event.images);
        }
        Ok(Step::Goes)
    }

    fn open(&mut self, header: &EventHeader) -> &mut Open {
        self.open.get_or_insert_with(|| Open::new(header))
    }

    fn end(&mut self, header: &EventHeader, verb: &str) -> Step {
        let mut open = self.open.take().unwrap_or_else(|| Open::new(header));
        let this = open.committed.map(|time| (open.server_id, time));
        let before = std::mem::replace(&mut self.last, this);
        let server_id = open.server_id.to_le_bytes();
        open.add(b'e', &[verb.as_bytes(), &server_id]);
        let contents = open.contents.take().filter(|_| open.is_comparable).map(cut);
        let digest = match open.committed {
            // Nothing would tell the two apart, were they the other way round.
            Some(_) if before == this => None,
            Some(time) => {
                open.contents = Some(Sha256::new());
                open.add(b'g', &[&time.to_le_bytes(), &server_id]);
                open.contents.map(cut)
            }
            None => contents,
        };
        let older = contents.filter(|_| self.with_older);
        if digest.is_none() && older.is_none() {
            return Step::Incomparable;
        }
        let Open { server_id, time, committed, changes, .. } = open;
        let (is_beat, is_exact) = (changes == Changes::Beat, committed.is_some());
        Step::Ended(Ended { digest, older, is_beat, time, is_exact, server_id })
    }
}

/// Names of a heartbeat's table may be written otherwise than the server does.
fn is_same(one: &TableName, other: &TableName) -> bool {
    let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
    same(&one.schema, &other.schema) && same(&one.table, &other.table)
}

impl Open {
    fn new(header: &EventHeader) -> Self {
        Self {
            contents: Some(Sha256::new()),
            server_id: header.server_id,
            time: header.timestamp,
            committed: None,
            begun: false,
            changes: Changes::None,
            rows: None,
            is_comparable: true,
        }
    }

    /// Adds parts, each with its length: none of them runs into the next.
    fn add(&mut self, kind: u8, parts: &[&[u8]]) {
        if kind != b'r' {
            self.rows = None;
        }
        let Some(contents) = &mut self.contents else { return };
        contents.update(&[kind]);
        for part in parts {
            contents.update(&(part.len() as u64).to_le_bytes());
            contents.update(part);
        }
    }
}

fn cut(hash: Sha256) -> Digest {
    Digest(hash.finish().first_chunk().copied().unwrap_or_default())
}

/// All transactions so far, and one more.
fn chained(before: Digest, next: Digest) -> Digest {
    let mut hash = Sha256::new();
    hash.update(&before.0);
    hash.update(&next.0);
    cut(hash)
}

/// Follows what is read of a server that has no GTIDs.
pub(super) struct Tracer {
    transactions: Transactions,
    trail: Option<Arc<Trail>>,
}

impl Tracer {
    /// Goes on at a boundary of transactions; `beats` is the heartbeat's table.
    pub(super) fn new(beats: TableName, trail: Option<Arc<Trail>>) -> Self {
        let trail = trail.map(|trail| Arc::new(Trail::clone(&trail).upgraded()));
        let with_older = trail.as_ref().is_some_and(|trail| trail.older.is_some());
        Self { transactions: Transactions::new(beats, with_older), trail }
    }

    /// A file begins.
    pub(super) fn new_file(&mut self) {
        self.transactions.new_file();
    }

    /// One event, which ends at this place.
    pub(super) fn event(
        &mut self,
        header: &EventHeader,
        body: &Bytes,
        format: &FormatDescription,
        (file, offset): (&FileName, u64),
    ) -> Result<(), Error> {
        let ended = match self.transactions.event(header, body, format)? {
            Step::Goes => return Ok(()),
            Step::Ended(ended) => ended,
            Step::Incomparable => {
                self.trail = None;
                return Ok(());
            }
        };
        let Ended { digest: Some(digest), older, .. } = ended else {
            self.trail = None;
            return Ok(());
        };
        let is_same = |trail: &Arc<Trail>| trail.beat == digest || Some(trail.beat) == older;
        if ended.is_beat && !self.trail.as_ref().is_some_and(is_same) {
            self.trail = Some(Arc::new(Trail::at(digest, ended.time)));
            self.transactions.with_older = false;
        } else if let Some(trail) = &mut self.trail {
            let digest = chained(trail.digest, digest);
            let trail = Arc::make_mut(trail);
            trail.push(Arc::clone(file), offset, digest);
            trail.older = trail.older.zip(older).map(|(before, next)| chained(before, next));
        }
        Ok(())
    }

    /// The trail of where it is; none within a transaction.
    pub(super) fn trail(&self) -> Option<Arc<Trail>> {
        self.trail.clone().filter(|_| self.transactions.open.is_none())
    }
}
