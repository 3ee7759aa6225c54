//! What the source hands to the instance: transactions, in chunks.

use std::sync::Arc;

use bytes::Bytes;

use super::{EventPlace, FileName, Gtid, GtidSet, Prepared, RowsChange, TableName, Trail, Xid};

/// Counts the sessions of a source within a process. What carries an older one than the
/// newest is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// A piece of a transaction, a few MiB at most.
#[derive(Debug)]
pub struct Chunk {
    /// The session it came from.
    pub generation: Generation,
    /// What all chunks of the transaction share.
    pub head: Arc<TransactionHead>,
    /// What was changed, in the order of the binlog.
    pub changes: Vec<Change>,
    /// Whether more follows.
    pub end: ChunkEnd,
}

/// What is known of a transaction when it begins.
#[derive(Debug, Default)]
pub struct TransactionHead {
    /// The text of its one GTID.
    pub gtid: Option<Arc<str>>,
    /// What messages say of GTIDs: the text of the whole executed set, this transaction
    /// included, or that of its own (`sluice.format.gtid`); only where the format asks for it
    /// (`canal.instance.gtidon`).
    pub executed: Option<Arc<str>>,
    /// The XA branch that these changes are part of: they are held when it is prepared, and
    /// published at its XA COMMIT. None for one that is committed in one phase.
    pub branch: Option<Arc<Xid>>,
    /// The chunk of a snapshot that these rows are, as its messages name it: they were read, not
    /// streamed. None for a transaction of the source.
    pub snapshot: Option<Arc<str>>,
}

/// How a chunk ends.
#[derive(Debug)]
pub enum ChunkEnd {
    /// More of the transaction follows.
    More,
    /// The transaction is whole; the source is positioned behind it.
    Commit(Box<Commit>),
    /// The connection was lost: what came of the transaction is void.
    Abort,
}

/// The position of the source after a transaction.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The server that it came from, as [`super::MySqlPosition::server_uuid`].
    pub server_uuid: Arc<str>,
    /// Whether the server was asked by GTID, as [`super::MySqlPosition::by_gtid`].
    pub by_gtid: bool,
    /// The binlog file.
    pub file: FileName,
    /// Offset behind the transaction, in bytes.
    pub offset: u64,
    /// Header timestamp of the file's FORMAT_DESCRIPTION, in seconds.
    pub file_created: u32,
    /// Header timestamp of the last event, in seconds; 0 when unknown (heartbeats).
    pub event_time: u32,
    /// As [`super::MySqlPosition::server_time`].
    pub server_time: u32,
    /// What the executed set gains.
    pub gtid: Option<Gtid>,
    /// What it gains besides: transactions between this commit and the one before it that
    /// held nothing to publish, and were not handed over one by one.
    pub filtered: Vec<Gtid>,
    /// What has to become durable with the position: schema history.
    pub state: Vec<StateRecord>,
    /// What becomes of an XA branch here.
    pub branch: Option<Box<BranchStep>>,
    /// As [`super::MySqlPosition::trail`].
    pub trail: Option<Arc<Trail>>,
    /// As [`super::MySqlPosition::prepared`].
    pub prepared: Option<Arc<Prepared>>,
}

/// What a transaction does to an XA branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchStep {
    /// Which branch.
    pub xid: Arc<Xid>,
    /// What becomes of it.
    pub end: BranchEnd,
    /// Where the event is that says so.
    pub place: EventPlace,
}

/// An XA branch that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBranch {
    /// Which branch.
    pub xid: Arc<Xid>,
    /// The transaction that ended with its XA PREPARE; none where there are no GTIDs, and of
    /// branches that an older build held.
    pub gtid: Option<Arc<str>>,
    /// Where that XA PREPARE is, on the server that was read then.
    pub place: (FileName, u64),
}

impl HeldBranch {
    /// Whether a server that has executed these has the branch too. What is not known to be
    /// there is not taken to be: an xid can be used again.
    pub fn is_of(&self, executed: &GtidSet) -> bool {
        self.gtid.as_deref().is_some_and(|gtid| executed.has(gtid))
    }
}

/// What becomes of an XA branch at the end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BranchEnd {
    /// XA PREPARE: the changes of this transaction are held.
    Prepared,
    /// XA COMMIT: what is held is published, as the changes of this transaction.
    Committed,
    /// XA ROLLBACK: what is held is dropped.
    RolledBack,
}

/// One change of a transaction.
#[derive(Debug)]
pub enum Change {
    /// Rows.
    Rows(RowsChange),
    /// A statement that has no rows: DDL, or DML in statement format.
    Statement(StatementChange),
    /// Nothing to publish: tables that are parked together from here on.
    Together(ParkedTogether),
}

/// A statement concerns a parked table, and these: what comes later of any of them means what it
/// does only behind that statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedTogether {
    /// One at least is parked; one without a table stands for all of its database.
    pub names: Vec<TableName>,
    /// Where its event is.
    pub place: EventPlace,
}

/// A statement to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementChange {
    /// What it does.
    pub kind: StatementKind,
    /// False for DML in statement format and for rows query events.
    pub is_ddl: bool,
    /// The database it concerns; empty when unknown.
    pub schema: String,
    /// The table it concerns first; empty when unknown or none.
    pub table: String,
    /// The statement, in UTF-8.
    pub sql: String,
    /// Where its event is.
    pub place: EventPlace,
    /// What is to be parked if it cannot be published: the table that it is about, or whose rows
    /// it is logged beside; of one about a database, all of that; of another, what has no name.
    pub subject: TableName,
    /// The table that it is about, if that is parked: then it is not published.
    pub parked: Option<TableName>,
}

/// What a statement does, in Canal's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// CREATE TABLE.
    Create,
    /// ALTER TABLE.
    Alter,
    /// DROP TABLE.
    Erase,
    /// RENAME TABLE, and ALTER TABLE that does nothing else.
    Rename,
    /// TRUNCATE TABLE.
    Truncate,
    /// CREATE INDEX, and ALTER TABLE that begins with adding one.
    CreateIndex,
    /// DROP INDEX, and ALTER TABLE that begins with dropping one.
    DropIndex,
    /// CREATE DATABASE, DROP DATABASE, and what fits nowhere else.
    Query,
    /// INSERT or REPLACE in statement format.
    Insert,
    /// UPDATE in statement format.
    Update,
    /// DELETE in statement format.
    Delete,
}

impl StatementKind {
    /// Whether it changes rows: DML, in statement format.
    pub(crate) fn changes_rows(self) -> bool {
        match self {
            Self::Insert | Self::Update | Self::Delete => true,
            Self::Create
            | Self::Alter
            | Self::Erase
            | Self::Rename
            | Self::Truncate
            | Self::CreateIndex
            | Self::DropIndex
            | Self::Query => false,
        }
    }

    const WORDS: [(Self, &'static str); 11] = [
        (Self::Create, "create"),
        (Self::Alter, "alter"),
        (Self::Erase, "erase"),
        (Self::Rename, "rename"),
        (Self::Truncate, "truncate"),
        (Self::CreateIndex, "create index"),
        (Self::DropIndex, "drop index"),
        (Self::Query, "query"),
        (Self::Insert, "insert"),
        (Self::Update, "update"),
        (Self::Delete, "delete"),
    ];

    /// The word that it is stored under.
    pub(crate) fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(kind, _)| *kind == self).map_or("query", |(_, word)| word)
    }

    /// What is stored under a word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
    }
}

/// A record that is kept beside the rows and is part of the same atomic append. The sink
/// does not look into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRecord {
    /// Which of the instance's internal topics.
    pub topic: StateTopic,
    /// The newest record of a key counts.
    pub key: Bytes,
    /// `None` deletes the key.
    pub value: Option<Bytes>,
}

/// The internal topics of an instance that hold state records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateTopic {
    /// `__<group>.<instance>.schema`: the history of table definitions.
    Schema,
    /// `__<group>.<instance>.xa`: prepared XA branches.
    Xa,
    /// Beside the position: the tables that are parked.
    Parked,
    /// `__<group>.<instance>.snapshot`: how far each table is copied.
    Snapshot,
}
