//! The position of a source: the point from which everything after is still to come.
//!
//! Always: a position is a transaction boundary of one server, the one that its last commit
//! came from. Positions of two servers have no order; only their GTID sets compare.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Commit, CountedSet, Gtid, GtidSet, Prepared, Trail};

/// The name of a binlog file, shared by all events of it.
pub type FileName = Arc<str>;

/// The position of a source, by its kind. Cheap to clone, whatever the size of a GTID set.
///
/// As JSON it is what status shows; how it is stored is the sink's to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Position {
    /// In the binlog of a MySQL or MariaDB server.
    MySql(MySqlPosition),
}

/// A transaction boundary of one MySQL or MariaDB server. The default is none: it names no file and
/// no set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MySqlPosition {
    /// The binlog file; empty where only the GTID set gives the place.
    pub file: FileName,
    /// Offset in `file` behind the last event taken, in bytes. Wider than the 32 bits
    /// that event headers have: files can exceed 4 GiB.
    pub offset: u64,
    /// Everything executed up to here.
    #[serde(default)]
    pub gtid_set: Executed,
    /// `@@server_uuid` of the server whose file this is; MariaDB, which has none, is named by
    /// `server-id:<server_id>`. Empty when somebody named the place without a server: then
    /// it is of the one that answers at the next start.
    pub server_uuid: Arc<str>,
    /// Whether its last commit came of a dump by GTID. A server that had another order than
    /// the one before it may hold behind this place what was executed already: from here
    /// only the GTID set leads on.
    #[serde(default)]
    pub by_gtid: bool,
    /// Header timestamp of the file's FORMAT_DESCRIPTION event, in seconds: it alone
    /// distinguishes a file from one of the same name made after RESET BINARY LOGS. 0 when unknown.
    pub file_created: u32,
    /// Header timestamp of the last event taken, in seconds since 1970. 0 when unknown.
    pub event_time: u32,
    /// When the last transaction before it was written, in seconds since 1970 by the clock of the
    /// server whose file this is. Unlike `event_time` no session sets it (`SET timestamp`). 0 when
    /// unknown: MySQL says it since 8.0.1, MariaDB does not.
    #[serde(default)]
    pub server_time: u32,
    /// What was published and is not on the server that is read: somebody accepted the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Box<Loss>>,
    /// What gives the place on another server where there are no GTIDs; nobody's to look at.
    #[serde(skip)]
    pub trail: Option<Arc<Trail>>,
    /// What shows of an XA branch that it was never logged; nobody's to look at.
    #[serde(skip)]
    pub prepared: Option<Arc<Prepared>>,
}

/// Transactions that were published, and that a server lacks which was failed over to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Which.
    pub gtids: GtidSet,
    /// The server that lacked them, as [`MySqlPosition::server_uuid`]: it may give their
    /// numbers to others.
    pub on: Arc<str>,
    /// Of MariaDB, whose sets name the last one of a domain only: which they are, as far as that
    /// shows. Another server that wrote into the domain between is not known any more. Builds
    /// before noted nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<Span>,
}

/// Transactions of one server that follow each other in a domain of MariaDB's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The domain.
    pub domain: u32,
    /// The server id.
    pub server: u32,
    /// The number of the last one that is not among them; 0 if all from the first on are.
    pub after: u64,
    /// The number of the last one that is.
    pub to: u64,
}

impl Loss {
    /// What a server lacks that has `kept` of it, beside what was lost before.
    pub(crate) fn new(gtids: GtidSet, on: Arc<str>, kept: &GtidSet, before: Option<&Self>) -> Self {
        let mut spans = before.map_or_else(Vec::new, |before| before.spans.clone());
        let lost = gtids.spans_behind(kept);
        spans.extend(lost.into_iter().filter(|span| *on != *format!("server-id:{}", span.server)));
        Self { gtids, on, spans }
    }

    /// Those that come no second time, wherever they turn up: none of those whose numbers
    /// are given anew.
    pub fn published(&self) -> Published {
        Published { gtids: Some(self.gtids.not_of(&self.on)), spans: self.spans.clone() }
    }
}

/// What was published, and may turn up on a server that lacked it: it had received it, and
/// applies it later, or gets it from another one.
#[derive(Debug, Default)]
pub struct Published {
    /// Of MySQL; of MariaDB the spans tell.
    pub gtids: Option<GtidSet>,
    spans: Vec<Span>,
}

impl Published {
    /// Whether the transaction is one of them. Of MariaDB: one of the same server, and between the
    /// last one that was kept and the last one that was lost. Another server's was never published.
    pub fn contains(&self, gtid: &Gtid) -> bool {
        match gtid {
            Gtid::MySql { .. } => self.gtids.as_ref().is_some_and(|gtids| gtids.contains(gtid)),
            Gtid::MariaDb { domain, server, seq } => self.spans.iter().any(|span| {
                (span.domain, span.server) == (*domain, *server)
                    && span.after < *seq
                    && *seq <= span.to
            }),
        }
    }
}

/// What was executed up to a position: complete, or not known. A partial set would start a
/// GTID dump at the wrong place, so there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Executed {
    /// All of it.
    Counted(CountedSet),
    /// It cannot be known: the server has no GTIDs.
    #[default]
    Absent,
    /// Somebody named the place: the next start counts what comes before it.
    Uncounted,
}

impl Executed {
    /// The set, where it is known.
    pub fn counted(&self) -> Option<&CountedSet> {
        match self {
            Self::Counted(set) => Some(set),
            Self::Absent | Self::Uncounted => None,
        }
    }

    /// Whether the set is known.
    pub fn is_counted(&self) -> bool {
        self.counted().is_some()
    }
}

impl From<GtidSet> for Executed {
    fn from(set: GtidSet) -> Self {
        Self::Counted(CountedSet::from(set))
    }
}

impl From<Option<GtidSet>> for Executed {
    fn from(set: Option<GtidSet>) -> Self {
        set.map_or(Self::Absent, Self::from)
    }
}

impl Position {
    /// Moves behind a committed transaction.
    pub fn advance(&mut self, commit: &Commit) {
        match self {
            Self::MySql(position) => position.advance(commit),
        }
    }

    /// Keeps the changing part of a GTID set small, so that storing it stays cheap.
    pub fn settle(&mut self) {
        match self {
            Self::MySql(position) => position.settle(),
        }
    }

    /// The file that it is in.
    pub fn file(&self) -> &str {
        match self {
            Self::MySql(position) => &position.file,
        }
    }

    /// How far in the file it is, in bytes.
    pub fn offset(&self) -> u64 {
        match self {
            Self::MySql(position) => position.offset,
        }
    }

    /// When the last change before it was made, in seconds since 1970. 0 when unknown.
    pub fn event_time(&self) -> u32 {
        match self {
            Self::MySql(position) => position.event_time,
        }
    }
}

impl MySqlPosition {
    /// Moves behind a committed transaction, to the server that it came from. The GTID set
    /// gains its number and those of the transactions filtered out; it is never rebuilt.
    pub fn advance(&mut self, commit: &Commit) {
        if !Arc::ptr_eq(&self.file, &commit.file) {
            self.file = Arc::clone(&commit.file);
        }
        if *self.server_uuid != *commit.server_uuid || commit.server_time != 0 {
            self.server_time = commit.server_time;
        }
        if !Arc::ptr_eq(&self.server_uuid, &commit.server_uuid) {
            self.server_uuid = Arc::clone(&commit.server_uuid);
        }
        self.offset = commit.offset;
        self.by_gtid = commit.by_gtid;
        self.file_created = commit.file_created;
        if commit.event_time != 0 {
            self.event_time = commit.event_time;
        }
        self.trail.clone_from(&commit.trail);
        self.prepared.clone_from(&commit.prepared);
        if let Executed::Counted(set) = &mut self.gtid_set {
            commit.filtered.iter().chain(&commit.gtid).for_each(|gtid| set.insert(gtid));
        }
    }

    /// What comes no second time though the set does not hold it.
    pub fn published(&self) -> Published {
        self.lost.as_ref().map_or_else(Published::default, |lost| lost.published())
    }

    /// As [`Position::settle`].
    pub fn settle(&mut self) {
        if let Executed::Counted(set) = &mut self.gtid_set {
            set.settle();
        }
    }
}

impl From<MySqlPosition> for Position {
    fn from(position: MySqlPosition) -> Self {
        Self::MySql(position)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MySql(position) => position.fmt(f),
        }
    }
}

impl fmt::Display for MySqlPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.gtid_set {
            Executed::Counted(set) if self.file.is_empty() => write!(f, "behind {set}"),
            Executed::Counted(_) | Executed::Absent | Executed::Uncounted => {
                write!(f, "{}:{}", self.file, self.offset)
            }
        }
    }
}
