//! The header that every event has, the types of events, and what is done with each.
//!
//! Header, 19 bytes: timestamp u32, type u8, server id u32, size of the whole event u32, offset
//! behind it u32 (wraps at 4 GiB), flags u16.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::Error;
use super::cursor::Cursor;

/// Bytes of a header.
pub const HEADER_LENGTH: usize = 19;

/// What all events begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventHeader {
    /// Seconds since 1970; 0 in artificial events.
    pub timestamp: u32,
    /// What the body is.
    pub event_type: EventType,
    /// The server that wrote it first.
    pub server_id: u32,
    /// Bytes of header, body and checksum.
    pub event_size: u32,
    /// Offset behind the event, modulo 4 GiB; 0 where the server does not say (artificial
    /// events, and all but the last of a group of MariaDB 11.4 and later).
    pub log_pos: u32,
    /// See the constants of this type.
    pub flags: u16,
}

impl EventHeader {
    /// The file was not closed (format descriptions only).
    pub const IN_USE: u16 = 0x01;
    /// The statement used something of its session: a temporary table, or CONNECTION_ID(), be it
    /// in the default of a column.
    pub const THREAD_SPECIFIC: u16 = 0x04;
    /// Made by the dump thread; it is in no file.
    pub const ARTIFICIAL: u16 = 0x20;
    /// Who does not know the type may leave it out.
    pub const IGNORABLE: u16 = 0x80;

    /// Reads the header at the front of an event.
    pub fn parse(event: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new("the header of an event", event);
        let header = Self {
            timestamp: cursor.u32()?,
            event_type: EventType::from(cursor.u8()?),
            server_id: cursor.u32()?,
            event_size: cursor.u32()?,
            log_pos: cursor.u32()?,
            flags: cursor.u16()?,
        };
        if (header.event_size as usize) < HEADER_LENGTH {
            return Err(cursor.impossible(u64::from(header.event_size)));
        }
        Ok(header)
    }

    /// Whether one of the flags is set.
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Whether the dump thread made it: it must not move a position.
    pub fn is_artificial(&self) -> bool {
        // An event of a file may have neither: `SET timestamp = 0.5`, and the transaction's cache of
        // MariaDB 11.4 and later has no offsets.
        self.has(Self::ARTIFICIAL)
            || (self.event_type == EventType::Rotate && self.timestamp == 0 && self.log_pos == 0)
    }

    /// Whether the event is a part of the file: not made by the dump thread, nor, as the
    /// description in a dump that begins within its file, and what says that it is encrypted, a
    /// copy of what is elsewhere (`send_format_descriptor_event`, sql/sql_repl.cc of MariaDB).
    pub(crate) fn is_in_file(&self) -> bool {
        match self.event_type {
            EventType::Heartbeat | EventType::HeartbeatV2 => false,
            EventType::FormatDescription | EventType::StartEncryption if self.log_pos == 0 => false,
            _ => !self.is_artificial(),
        }
    }

    /// What to do with the event.
    pub fn policy(&self) -> Policy {
        match self.event_type.policy() {
            Policy::ByFlag if self.has(Self::IGNORABLE) => {
                Policy::Skip("its type is unknown, and it is flagged as ignorable")
            }
            Policy::ByFlag => Policy::Stop("its type is unknown and not flagged as ignorable"),
            policy @ (Policy::Apply | Policy::Statement | Policy::Skip(_) | Policy::Stop(_)) => {
                policy
            }
        }
    }
}

/// What to do with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Decode and use it.
    Apply,
    /// Part of a change written as a statement, which has no rows: as the instance is told to
    /// treat those; never silently left out.
    Statement,
    /// Harmless to leave out, with the reason.
    Skip(&'static str),
    /// Going on would lose changes, with the reason.
    Stop(&'static str),
    /// Unknown: the header's [`EventHeader::IGNORABLE`] decides.
    ByFlag,
}

const BEFORE_5_1: Policy = Policy::Stop("only servers before 5.1.15 wrote it");

/// Declares the types with their numbers and policies, so that none can go without.
macro_rules! event_types {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $policy:expr;)*) => {
        /// The types of events of MySQL up to 9.7 and of MariaDB up to 12.3.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EventType {
            $($(#[$doc])* $name,)*
            /// Younger than this program, or no type at all.
            Unknown(u8),
        }

        impl EventType {
            /// The number in the header.
            pub const fn code(self) -> u8 {
                match self {
                    $(Self::$name => $code,)*
                    Self::Unknown(code) => code,
                }
            }

            /// What to do with events of this type.
            pub const fn policy(self) -> Policy {
                match self {
                    $(Self::$name => $policy,)*
                    Self::Unknown(0) => Policy::Stop("0 is no type of event"),
                    Self::Unknown(_) => Policy::ByFlag,
                }
            }
        }

        impl From<u8> for EventType {
            fn from(code: u8) -> Self {
                match code {
                    $($code => Self::$name,)*
                    code => Self::Unknown(code),
                }
            }
        }
    };
}

event_types! {
    /// Head of files before 5.0.
    StartV3 = 1, BEFORE_5_1;
    /// A statement, or BEGIN, COMMIT and the like.
    Query = 2, Policy::Apply;
    /// The server was shut down.
    Stop = 3, Policy::Skip("the server was shut down, the next file follows");
    /// Another file follows.
    Rotate = 4, Policy::Apply;
    /// `LAST_INSERT_ID` of the statement that follows.
    Intvar = 5, Policy::Skip("context of a statement, which is reported itself");
    /// Old LOAD DATA.
    Load = 6, BEFORE_5_1;
    /// Never sent.
    Slave = 7, BEFORE_5_1;
    /// Old LOAD DATA.
    CreateFile = 8, BEFORE_5_1;
    /// Data of a LOAD DATA in statement format.
    AppendBlock = 9, Policy::Statement;
    /// Old LOAD DATA.
    ExecLoad = 10, BEFORE_5_1;
    /// A LOAD DATA in statement format failed.
    DeleteFile = 11, Policy::Statement;
    /// Old LOAD DATA.
    NewLoad = 12, BEFORE_5_1;
    /// RAND seeds of the statement that follows.
    Rand = 13, Policy::Skip("context of a statement, which is reported itself");
    /// A user variable of the statement that follows.
    UserVar = 14, Policy::Skip("context of a statement, which is reported itself");
    /// Head of each file.
    FormatDescription = 15, Policy::Apply;
    /// A transaction is committed.
    Xid = 16, Policy::Apply;
    /// Begin of a LOAD DATA in statement format.
    BeginLoadQuery = 17, Policy::Statement;
    /// A LOAD DATA in statement format.
    ExecuteLoadQuery = 18, Policy::Statement;
    /// Names and types of the table of the rows that follow.
    TableMap = 19, Policy::Apply;
    /// Rows of 5.1 before its release.
    PreGaWriteRows = 20, BEFORE_5_1;
    /// Rows of 5.1 before its release.
    PreGaUpdateRows = 21, BEFORE_5_1;
    /// Rows of 5.1 before its release.
    PreGaDeleteRows = 22, BEFORE_5_1;
    /// Inserted rows.
    WriteRowsV1 = 23, Policy::Apply;
    /// Updated rows.
    UpdateRowsV1 = 24, Policy::Apply;
    /// Deleted rows.
    DeleteRowsV1 = 25, Policy::Apply;
    /// The server says that changes are missing.
    Incident = 26, Policy::Stop("the server says that changes are missing from its binlog");
    /// The server is alive.
    Heartbeat = 27, Policy::Apply;
    /// May be left out.
    Ignorable = 28, Policy::Skip("ignorable by definition");
    /// The statement that made the rows that follow.
    RowsQuery = 29, Policy::Apply;
    /// Inserted rows.
    WriteRows = 30, Policy::Apply;
    /// Updated rows.
    UpdateRows = 31, Policy::Apply;
    /// Deleted rows.
    DeleteRows = 32, Policy::Apply;
    /// A transaction begins.
    Gtid = 33, Policy::Apply;
    /// A transaction without GTID begins.
    AnonymousGtid = 34, Policy::Apply;
    /// What was executed before this file.
    PreviousGtids = 35, Policy::Apply;
    /// Certification of group replication.
    TransactionContext = 36, Policy::Skip("certification of group replication");
    /// Members of group replication.
    ViewChange = 37, Policy::Skip("members of group replication; its GTID counts");
    /// An XA transaction is prepared.
    XaPrepare = 38, Policy::Apply;
    /// Updated rows with partial JSON.
    PartialUpdateRows = 39, Policy::Apply;
    /// A whole transaction, compressed.
    TransactionPayload = 40, Policy::Apply;
    /// The server is alive.
    HeartbeatV2 = 41, Policy::Apply;
    /// A transaction whose GTID has a tag begins.
    GtidTagged = 42, Policy::Apply;
    /// MariaDB: the statement that made the rows that follow.
    AnnotateRows = 160, Policy::Apply;
    /// MariaDB: for its crash recovery.
    BinlogCheckpoint = 161, Policy::Skip("for the server's own crash recovery");
    /// MariaDB: a transaction begins.
    MariaDbGtid = 162, Policy::Apply;
    /// MariaDB: what was executed before this file.
    GtidList = 163, Policy::Apply;
    /// MariaDB: the file is encrypted; on the wire it is not.
    StartEncryption = 164, Policy::Skip("the server decrypts what it sends");
    /// MariaDB: a statement, compressed.
    QueryCompressed = 165, Policy::Apply;
    /// MariaDB: inserted rows, compressed.
    WriteRowsCompressedV1 = 166, Policy::Apply;
    /// MariaDB: updated rows, compressed.
    UpdateRowsCompressedV1 = 167, Policy::Apply;
    /// MariaDB: deleted rows, compressed.
    DeleteRowsCompressedV1 = 168, Policy::Apply;
    /// MariaDB: inserted rows, compressed.
    WriteRowsCompressed = 169, Policy::Apply;
    /// MariaDB: updated rows, compressed.
    UpdateRowsCompressed = 170, Policy::Apply;
    /// MariaDB: deleted rows, compressed.
    DeleteRowsCompressed = 171, Policy::Apply;
    /// MariaDB: a piece of a rows event.
    PartialRowData = 172, Policy::Apply;
}
