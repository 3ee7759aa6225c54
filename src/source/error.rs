//! What stops a source: each kind by itself, with its place and what to do.

use std::path::PathBuf;

use crate::change::{EventPlace, FileName, MySqlPosition, TableName};
use crate::{binlog, mysql, schema};

/// What to do about a place of a binlog that cannot be read, again and again.
pub(crate) const DAMAGED: &str = mysql::DAMAGED;

/// Why a source does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server, or the way to it.
    #[error(transparent)]
    Mysql(#[from] mysql::Error),
    /// The definitions of tables.
    #[error("at {}:{}: {source}", .place.file, .place.offset)]
    Schema {
        /// Where they were needed.
        place: EventPlace,
        /// What was wrong.
        source: schema::Error,
    },
    /// The definitions could not be read at the start.
    #[error(transparent)]
    Capture(#[from] schema::Error),
    /// An event that cannot be decoded: damaged on the way, or by a bug of either side.
    #[error("cannot decode {what} at {}:{}: {source}", .place.file, .place.offset)]
    Event {
        /// Where it is.
        place: EventPlace,
        /// Its type.
        what: String,
        /// What is wrong with it.
        source: binlog::Error,
    },
    /// The rows of one table cannot be read.
    #[error("cannot read the rows of {table} at {}:{}: {reason}", .place.file, .place.offset)]
    Rows {
        /// The table.
        table: TableName,
        /// Where their event is.
        place: EventPlace,
        /// Why not, and what to do.
        reason: String,
    },
    /// Events are missing, or make no transactions.
    #[error("{0}")]
    Broken(String),
    /// An event that may not be left out, and is not supported.
    #[error("at {}:{}: {what}: {reason}; {advice}", .place.file, .place.offset)]
    Unsupported {
        /// Where it is.
        place: EventPlace,
        /// Its type.
        what: String,
        /// Why not.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// DML in statement format, which the settings do not allow.
    #[error(
        "a statement in statement format at {}:{} has no rows; set binlog_format=ROW on the \
         source for all sessions; sluice.statement=publish goes on, and publishes such statements \
         as their text, without rows",
        .place.file, .place.offset
    )]
    Statement {
        /// Where it is.
        place: EventPlace,
    },
    /// An XA COMMIT of a branch that is not held, and was not found in the source's binlogs.
    #[error(
        "the XA COMMIT of {xid} at {}:{} is of a branch that is not held, and the source's binlogs do \
         not have its rows: it was prepared before the oldest of them, or without being logged \
         (sql_log_bin=0); if others have to see what it changed, copy the tables anew, and set \
         sluice.xa.unknown=skip to go on without it",
        .place.file, .place.offset
    )]
    UnknownBranch {
        /// Where it is.
        place: EventPlace,
        /// The text of its xid.
        xid: String,
    },
    /// Nothing is to follow the copy of the tables.
    #[error(
        "all tables are copied{}, and no more is to be done (sluice.snapshot=only): set \
         sluice.snapshot=none to go on with the changes that came since", but(.failed)
    )]
    Copied {
        /// Tables that could not be.
        failed: Vec<String>,
    },
    /// The server writes no binlog.
    #[error("the source {address} writes no binlog: set log_bin there and restart it")]
    NoBinlog {
        /// `host:port`.
        address: String,
    },
    /// The server that is read was started without its binlog.
    #[error(
        "the source {address} runs without a binlog, and the instance stands at {position}: start it \
         with its binlog again (log_bin), and the instance goes on by itself; what is written until \
         then is in no binlog, and is never published"
    )]
    WithoutBinlog {
        /// `host:port`.
        address: String,
        /// Where the instance goes on.
        position: Box<MySqlPosition>,
    },
    /// The binlog file of the position was purged.
    #[error(
        "the source has purged {file}, where the position {position} is; it has {has}: what \
         was written between cannot be read any more; copy it another way, then let \
         `bin/sluice position reset` begin anew"
    )]
    Purged {
        /// The file.
        file: FileName,
        /// The position.
        position: Box<MySqlPosition>,
        /// The files it has.
        has: String,
    },
    /// The same, where by GTID nothing is missing.
    #[error(
        "the source has purged {file}, where the position {position} is; by GTID nothing is \
         missing, but what a server writes while its gtid_mode is not ON has no GTID, and nothing \
         proves that it was ON since; if it was, `bin/sluice position set` with --file {oldest} \
         --offset 4 goes on without loss, but for XA branches that are held: those that were \
         prepared in a purged file are not found again; else copy what was written between another \
         way first"
    )]
    Unproved {
        /// The file.
        file: FileName,
        /// The position.
        position: Box<MySqlPosition>,
        /// The oldest file that it has.
        oldest: String,
    },
    /// The binlogs were reset, or their end was cut off.
    #[error(
        "the source's {file} ends at {size}, before the position {position}: its binlogs were reset, \
         or the file was cut; `bin/sluice position set` with --file {oldest} --offset 4 goes on with \
         all that it has now, `bin/sluice position reset` at its end"
    )]
    Cut {
        /// The file.
        file: FileName,
        /// Its length in bytes.
        size: u64,
        /// The position.
        position: Box<MySqlPosition>,
        /// The oldest file that the source has.
        oldest: String,
    },
    /// Transactions that we lack are in no binlog any more.
    #[error(
        "the source has purged transactions that were not read yet ({missing}): copy what they \
         changed another way, then let `bin/sluice position reset` begin anew"
    )]
    GtidHole {
        /// Which.
        missing: String,
    },
    /// The server lacks transactions that we have published.
    #[error(
        "{address} lacks transactions that were published already ({lost}): it is behind, or another \
         line of history, or its binlogs were reset"
    )]
    Behind {
        /// `host:port`.
        address: String,
        /// Which.
        lost: String,
    },
    /// The same, without GTIDs.
    #[error(
        "{address} lacks transactions that were published already ({lacking}): it is behind, or \
         another line of history"
    )]
    Lacks {
        /// `host:port`.
        address: String,
        /// Which.
        lacking: String,
    },
    /// Without GTIDs: nothing proves where our place is on another server.
    #[error(
        "the position {position} is of another server than {address}, which has no GTIDs in \
         common with it, and its place there cannot be proved: {reason}; `bin/sluice position \
         set` names a place on this server"
    )]
    NoPlace {
        /// The position.
        position: Box<MySqlPosition>,
        /// `host:port`.
        address: String,
        /// Why not.
        reason: String,
    },
    /// A server sends its binlog to one replica of each `server_id` only: to the newest.
    #[error(
        "another replica with the server id {server_id} connected to {address}, which ended our \
         dump for it: give each its own canal.instance.mysql.slaveId; where it is an instance of \
         the same name on this machine, one of the two is to be stopped, or renamed"
    )]
    SameId {
        /// The server.
        address: String,
        /// The id of both.
        server_id: u32,
    },
    /// The server does not answer the heartbeat, and another one is to be read.
    #[error("the heartbeat of {address} failed {failed} times in a row: {reason}")]
    Heartbeat {
        /// `host:port`.
        address: String,
        /// How often.
        failed: u32,
        /// The last failure.
        reason: String,
    },
    /// The server was given another time zone, which values are to be written in.
    #[error(
        "the time zone of {address} was changed from {was} to {is}: TIMESTAMP values are written in \
         the new one from here on; set sluice.timezone to have one that stays"
    )]
    ZoneChanged {
        /// `host:port`.
        address: String,
        /// What it was.
        was: String,
        /// What it is.
        is: String,
    },
    /// Another server, and nothing that gives our place on it.
    #[error(
        "the position {position} is of the server {was}, this is {is}, and there is no GTID set \
         to find the place by; `bin/sluice position set` names a place on this server"
    )]
    OtherServer {
        /// The position.
        position: Box<MySqlPosition>,
        /// The server it is of.
        was: String,
        /// The server that answered.
        is: String,
    },
    /// The file of the position is another one of the same name.
    #[error(
        "{file} is not the file that the position {position} was in (it was made at \
         {made}, not at {expected}): the binlogs of the source were reset; \
         `bin/sluice position set` with its oldest file and --offset 4 goes on with all that it has \
         now, `bin/sluice position reset` at its end"
    )]
    Reset {
        /// The file.
        file: FileName,
        /// The position.
        position: Box<MySqlPosition>,
        /// When this one was made, in seconds since 1970.
        made: u32,
        /// When the other was.
        expected: u32,
    },
    /// A transaction without GTID, before the end that a server's binlog had when it was failed over
    /// to.
    #[error(
        "the transaction at {}:{} has no GTID: whether it was published before the source moved to this \
         server cannot be known; look at it with mysqlbinlog, and go on with it by `bin/sluice \
         position set` with --file {} --offset {}, or without it by the offset behind it",
        .place.file, .place.offset, .place.file, .place.offset
    )]
    Doubtful {
        /// Where it begins.
        place: EventPlace,
    },
    /// The server refuses to dump from where it was asked to.
    #[error(
        "the source refuses to send its binlog from {position}: {message}; if the place is no \
         transaction boundary or was purged, `bin/sluice position set` names another, and \
         `bin/sluice position reset` begins anew"
    )]
    Refused {
        /// From where.
        position: Box<MySqlPosition>,
        /// The server's words.
        message: String,
    },
    /// The configured start cannot be used.
    #[error("{0}")]
    Start(String),
    /// What a Canal left cannot be continued from.
    #[error(
        "Canal's {} {reason}; mend or remove the file (without it the instance begins where the \
         configuration says, or at the source's current end), or name the place to go on from \
         with `bin/sluice position set`", .path.display()
    )]
    MetaDat {
        /// The `meta.dat`.
        path: PathBuf,
        /// Why not, as it goes on behind the file's name.
        reason: String,
    },
    /// Things that have to be mended on the source or in the settings before starting.
    #[error("{}", .0.join("; "))]
    Requirements(Vec<String>),
    /// Nobody takes the changes any more.
    #[error("nobody takes the changes any more")]
    Closed,
}

impl Error {
    /// The one table that is at fault, and the first of its events that cannot be read.
    pub fn table(&self) -> Option<(&TableName, &EventPlace)> {
        match self {
            Self::Rows { table, place, .. }
            | Self::Schema { place, source: schema::Error::Unknown { table, .. } } => {
                Some((table, place))
            }
            _ => None,
        }
    }

    /// Whether trying again may help without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Mysql(error)
            | Self::Schema { source: schema::Error::Server(error), .. }
            | Self::Capture(schema::Error::Server(error)) => error.is_transient(),
            // A byte damaged on the way comes whole the next time.
            Self::Event { source: binlog::Error::Checksum, .. }
            | Self::Broken(_)
            // A server that has no binlog now was started in between: the next try finds out as what.
            | Self::Schema { source: schema::Error::NotSent { .. } | schema::Error::NoBinlog, .. }
            | Self::Capture(schema::Error::NotSent { .. } | schema::Error::NoBinlog)
            // It is started with it again.
            | Self::WithoutBinlog { .. }
            // The other one may be gone by then, or be ended in its turn.
            | Self::SameId { .. }
            | Self::Heartbeat { .. } => true,
            Self::Schema { .. }
            | Self::Capture(_)
            | Self::Event { .. }
            | Self::Rows { .. }
            | Self::Unsupported { .. }
            | Self::Statement { .. }
            | Self::UnknownBranch { .. }
            | Self::Copied { .. }
            | Self::NoBinlog { .. }
            | Self::Purged { .. }
            | Self::Unproved { .. }
            | Self::Cut { .. }
            | Self::GtidHole { .. }
            | Self::Behind { .. }
            | Self::Lacks { .. }
            | Self::NoPlace { .. }
            | Self::ZoneChanged { .. }
            | Self::OtherServer { .. }
            | Self::Reset { .. }
            | Self::Refused { .. }
            | Self::Doubtful { .. }
            | Self::Start(_)
            | Self::MetaDat { .. }
            | Self::Requirements(_)
            | Self::Closed => false,
        }
    }
}

fn but(failed: &[String]) -> String {
    if failed.is_empty() { String::new() } else { format!(" but for {}", failed.join(", ")) }
}
