//! Why a connection to MySQL failed: what, where, and what to do about it.
//!
//! Kinds are told apart because they lead to different reactions: a lost connection is
//! tried again, a wrong password is not.

use std::io;
use std::time::Duration;

use crate::binlog;
use crate::change::FileName;

/// Why something asked of a server did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers there.
    #[error("cannot connect to {address}: {source}; is the server up, and the address right?")]
    Connect {
        /// `host:port`.
        address: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// An answer did not come in time.
    #[error("{address} did not answer within {after:?} while {what}")]
    Timeout {
        /// `host:port`.
        address: String,
        /// What was waited for.
        what: &'static str,
        /// For how long.
        after: Duration,
    },
    /// The connection broke.
    #[error("lost the connection to {address} while {what}: {reason}")]
    Lost {
        /// `host:port`.
        address: String,
        /// What was going on.
        what: &'static str,
        /// What was seen.
        reason: String,
    },
    /// The server ended the stream by itself: it shuts down, or killed this connection.
    #[error("{address} ended the binlog stream")]
    Ended {
        /// `host:port`.
        address: String,
    },
    /// The server does not let this account in.
    #[error(
        "{address} refuses user `{user}`: error {code}: {message}; \
         set canal.instance.dbUsername and canal.instance.dbPassword to an account of that server"
    )]
    Denied {
        /// `host:port`.
        address: String,
        /// The account.
        user: String,
        /// The server's error number.
        code: u16,
        /// The server's words.
        message: String,
    },
    /// Encryption cannot be had as demanded.
    #[error("no TLS with {address}: {reason}")]
    Tls {
        /// `host:port`.
        address: String,
        /// Why.
        reason: String,
    },
    /// The server wants an authentication that is not known or not allowed here.
    #[error("cannot authenticate user `{user}` at {address}: {reason}")]
    Authentication {
        /// `host:port`.
        address: String,
        /// The account.
        user: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The server answered with an error.
    #[error("{address} answered {what} with error {code}: {message}")]
    Server {
        /// `host:port`.
        address: String,
        /// What was asked, shortened.
        what: String,
        /// The server's error number.
        code: u16,
        /// The server's words.
        message: String,
    },
    /// An event of the binlog that cannot be read.
    #[error("cannot read the event at {file}:{offset} of the binlog: {source}")]
    Event {
        /// The binlog file.
        file: FileName,
        /// Where the event stands.
        offset: u64,
        /// What is wrong with it.
        source: binlog::Error,
    },
    /// What came is not what the protocol says.
    #[error("{address} broke the protocol: {reason}")]
    Protocol {
        /// `host:port`.
        address: String,
        /// What was wrong.
        reason: String,
    },
}

/// `ER_MASTER_FATAL_ERROR_READING_BINLOG`: the dump cannot go on where it was asked to.
pub(crate) const ERROR_READING_BINLOG: u16 = 1236;

impl Error {
    /// The server's error number, if the server answered with one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Denied { code, .. } | Self::Server { code, .. } => Some(*code),
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Lost { .. }
            | Self::Ended { .. }
            | Self::Tls { .. }
            | Self::Authentication { .. }
            | Self::Event { .. }
            | Self::Protocol { .. } => None,
        }
    }

    /// Whether the same attempt may succeed later without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Lost { .. }
            | Self::Ended { .. }
            // A byte lost or doubled on the way: a new connection begins clean.
            | Self::Protocol { .. } => true,
            Self::Server { code, .. } => passes(*code),
            Self::Denied { .. }
            | Self::Tls { .. }
            | Self::Authentication { .. }
            | Self::Event { .. } => false,
        }
    }

    /// Whether encryption failed: for good, or because the server went away meanwhile.
    pub fn is_of_tls(&self) -> bool {
        matches!(self, Self::Tls { .. })
    }
}

/// Server errors that go away: too many connections (1040, 1203), shutdown in progress
/// (1053, 1080), lock wait (1205), deadlock (1213), query killed (1317), no connection to spare
/// for the user (1226), connection killed (1927 MariaDB, 3169 MySQL), a statement took too long
/// (1969 MariaDB, 3024 MySQL), a slave with the same uuid took over and such `server is in
/// offline mode` (3032), not available (3168), the session was idle for too long (4031: since
/// 8.0.24 the answer to the next statement is this error, not a closed connection).
fn passes(code: u16) -> bool {
    matches!(
        code,
        1040 | 1053 | 1080 | 1158
            ..=1161
                | 1203
                | 1205
                | 1213
                | 1226
                | 1317
                | 1927
                | 1969
                | 3024
                | 3032
                | 3168
                | 3169
                | 4031
    )
}

/// The server's error numbers that mean "this account may not come in": access denied to a
/// database (1044), wrong password (1045), host not allowed (1130), denied without password
/// (1698), password expired (1820, 1862), account locked (3118, 4151 MariaDB).
pub(super) fn is_denial(code: u16) -> bool {
    matches!(code, 1044 | 1045 | 1130 | 1698 | 1820 | 1862 | 3118 | 4151)
}
