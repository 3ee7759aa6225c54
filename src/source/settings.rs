//! What a source has to be given: where, as whom, from where on, and how patiently.
//!
//! Plain data; whoever reads the configuration fills it in.

use std::time::Duration;

use super::{Heartbeat, Parking, Remembered};
use crate::change::GtidSet;
use crate::config::{Adopt, OnUnknownBranch, SnapshotMode};
use crate::filter::TableFilter;
use crate::mysql::Endpoint;
use crate::mysql::replica::ReplicaSettings;

use super::failover::Failover;

/// All of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server and the account.
    pub endpoint: Endpoint,
    /// How we present ourselves as a replica, and how patient we are.
    pub replica: ReplicaSettings,
    /// Whether to ask for the binlog by GTID (`canal.instance.gtidon`). A failover does so
    /// anyway.
    pub by_gtid: bool,
    /// Which GTIDs the messages of a transaction name.
    pub named_gtids: NamedGtids,
    /// Whether to ask for the server's time zone: TIMESTAMP values are written in it.
    pub asks_zone: bool,
    /// Where to begin when nothing is committed.
    pub start: StartAt,
    /// How far before its time to begin from a `meta.dat` of another server, whose clock may
    /// differ (`canal.instance.fallbackIntervalInSeconds`).
    pub fallback: Duration,
    /// Which tables are included.
    pub filter: TableFilter,
    /// What to do with rows older than any known definition.
    pub adopt: Adopt,
    /// What to do at an XA COMMIT of a branch that is nowhere to be found.
    pub unknown_branch: OnUnknownBranch,
    /// Which tables are copied beside the stream.
    pub snapshot: SnapshotMode,
    /// What is published beside rows.
    pub statements: Statements,
    /// Rows of a table without a definition: dropped, counted, and said loudly, instead of
    /// stopping (`canal.instance.filter.table.error`).
    pub drop_unknown_tables: bool,
    /// The tables whose changes are not published for now.
    pub parking: Parking,
    /// What one source leaves to the next of the same instance.
    pub remembered: Remembered,
    /// What the server may be set to.
    pub accepted: Accepted,
    /// Other servers, and what leads to them.
    pub failover: Failover,
    /// The farthest offset in a file that a dump is asked for from: the command has 32 bits for it
    /// (`com_binlog_dump`, sql/rpl_source.cc).
    pub dump_reach: u64,
    /// A statement that is run again and again on the server that is read.
    pub heartbeat: Option<Heartbeat>,
}

/// What heads carry for the member `gtid` of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedGtids {
    /// Nothing, as Canal without gtidon.
    None,
    /// The text of the executed set, as Canal with gtidon.
    Executed,
    /// That of the transaction alone (`sluice.format.gtid = transaction`).
    Own,
}

/// Values of the server's variables that are accepted, upper case; empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Of `binlog_format` (`canal.instance.binlog.format`).
    pub formats: Vec<String>,
    /// Of `binlog_row_image` (`canal.instance.binlog.image`).
    pub images: Vec<String>,
}

/// Which statements are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of Canal's")]
pub struct Statements {
    /// DDL (not `canal.instance.filter.query.ddl`).
    pub ddl: bool,
    /// INSERT, UPDATE and DELETE in statement format (not `…filter.query.dml`).
    pub dml: bool,
    /// GRANT and what else is about no table (not `…filter.query.dcl`).
    pub dcl: bool,
    /// Whether DML in statement format stops the instance instead.
    pub dml_stops: bool,
    /// The statements behind the rows (`binlog_rows_query_log_events`).
    pub rows_query: bool,
}

impl Default for Statements {
    fn default() -> Self {
        Self { ddl: true, dml: true, dcl: true, dml_stops: false, rows_query: true }
    }
}

/// The configured begin, `canal.instance.master.journal.name` and its like. All empty: the
/// server's current end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartAt {
    /// A binlog file.
    pub file: Option<String>,
    /// An offset in it: a transaction boundary.
    pub offset: Option<u64>,
    /// A time, in milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// An executed set.
    pub gtid_set: Option<GtidSet>,
}

impl Settings {
    /// Ordinary settings for a server: everything is included, from its current end on.
    pub fn new(endpoint: Endpoint, server_id: u32, uuid: String, filter: TableFilter) -> Self {
        Self {
            endpoint,
            replica: ReplicaSettings {
                server_id,
                uuid,
                heartbeat: Duration::from_secs(5),
                read_timeout: Duration::from_secs(25),
                first_event_timeout: Duration::from_mins(10),
            },
            by_gtid: false,
            named_gtids: NamedGtids::None,
            asks_zone: false,
            start: StartAt::default(),
            fallback: Duration::from_mins(1),
            filter,
            adopt: Adopt::default(),
            unknown_branch: OnUnknownBranch::default(),
            snapshot: SnapshotMode::default(),
            statements: Statements::default(),
            drop_unknown_tables: false,
            parking: Parking::default(),
            remembered: Remembered::default(),
            accepted: Accepted::default(),
            failover: Failover::default(),
            dump_reach: u64::from(u32::MAX),
            heartbeat: None,
        }
    }
}
