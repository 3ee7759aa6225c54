//! Why a connection to MySQL failed: what, where, and what to do about it.
//!
//! Kinds are distinguished because they lead to different reactions: a lost connection is
//! tried again, a wrong password is not.

use std::io;
use std::time::Duration;

use super::attempts::Login;
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
        "{address} refuses user `{user}`: error {code}: {message}; {}",
        advice_for(*code, *without_certificate)
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
        /// Whether TLS was there for a certificate of ours, and none was presented.
        without_certificate: bool,
        /// Whether the next attempt may show another password.
        rotates: bool,
    },
    /// The server lets this account in over TLS only.
    #[error(
        "{address} lets user `{user}` in over TLS only; \
         set canal.instance.master.sslMode to REQUIRED, or to VERIFY_CA or VERIFY_IDENTITY"
    )]
    TlsDemanded {
        /// `host:port`.
        address: String,
        /// The account.
        user: String,
    },
    /// A password or certificate cannot be had now.
    #[error("cannot log in to {address}: {reason}")]
    Credentials {
        /// `host:port`.
        address: String,
        /// Key, place, and why.
        reason: String,
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
    /// The server does not give the local time of moments that every server knows.
    #[error(
        "{address} does not give its time zone ({zone}): FROM_UNIXTIME() gives NULL; look at its \
         time_zone and its tables mysql.time_zone*, or set sluice.timezone"
    )]
    Zone {
        /// `host:port`.
        address: String,
        /// Its name for the zone.
        zone: String,
    },
    /// An event of the binlog that cannot be read.
    #[error("cannot read the event at {file}:{offset} of the binlog: {source}")]
    Event {
        /// The binlog file.
        file: FileName,
        /// Where the event is.
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

/// `ER_SLAVE_SAME_ID` of MariaDB since 10.6; others say it as [`ERROR_READING_BINLOG`].
const SAME_ID: u16 = 4052;

/// What all of them say then, MySQL with `replica` in place of `slave` since 8.0.26.
const SAME_ID_WORDS: &str = "with the same server_";

/// `ER_ACCESS_DENIED_ERROR`: no such account from that host, another password, or a demand for
/// TLS or a certificate that is not met.
pub(super) const ACCESS_DENIED: u16 = 1045;

/// `ER_SECURE_TRANSPORT_REQUIRED`.
const TLS_REQUIRED: u16 = 3159;

impl Error {
    /// What the server answered before it let anybody in.
    pub(super) fn refusal(
        login: &Login<'_>,
        code: u16,
        message: String,
        what: &'static str,
    ) -> Self {
        let (address, user) = (login.address(), login.credentials.user.clone());
        let Meaning::Account(_) = meaning(code) else {
            return Self::Server { address, what: what.to_owned(), code, message };
        };
        if code == TLS_REQUIRED {
            return Self::TlsDemanded { address, user };
        }
        let without_certificate = login.encrypted && login.credentials.identity.is_none();
        let rotates = login.endpoint.ask.is_some();
        Self::Denied { address, user, code, message, without_certificate, rotates }
    }

    /// The server's error number, if the server answered with one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Denied { code, .. } | Self::Server { code, .. } => Some(*code),
            Self::TlsDemanded { .. } => Some(TLS_REQUIRED),
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Lost { .. }
            | Self::Ended { .. }
            | Self::Tls { .. }
            | Self::Authentication { .. }
            | Self::Credentials { .. }
            | Self::Event { .. }
            | Self::Zone { .. }
            | Self::Protocol { .. } => None,
        }
    }

    /// Whether the same attempt may succeed later without anybody doing anything here.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Lost { .. }
            | Self::Ended { .. }
            // A file that is being replaced, a command that asks a server of its own.
            | Self::Credentials { .. }
            // Its tables are being loaded.
            | Self::Zone { .. }
            // A byte lost or doubled on the way: a new connection begins clean.
            | Self::Protocol { .. } => true,
            Self::Server { code, .. } => meaning(*code) == Meaning::Transient,
            // A password that was changed on one side only so far.
            Self::Denied { code, rotates, .. } => *rotates && *code == ACCESS_DENIED,
            Self::TlsDemanded { .. }
            | Self::Tls { .. }
            | Self::Authentication { .. }
            | Self::Event { .. } => false,
        }
    }

    /// What to do about an error that is not transient; empty where its own words say it.
    pub fn advice(&self) -> &'static str {
        match self {
            // Behind the login it is a right that lacks.
            Self::Server { code: ACCESS_DENIED, .. } => GRANTS,
            Self::Server { code, .. } => match meaning(*code) {
                Meaning::Account(advice) | Meaning::Right(advice) => advice,
                Meaning::Transient => "",
                Meaning::Unknown => {
                    "look the number up in the server's list of errors, mend what it names, \
                     then start again"
                }
            },
            Self::Event { .. } => DAMAGED,
            Self::Denied { .. }
            | Self::TlsDemanded { .. }
            | Self::Tls { .. }
            | Self::Authentication { .. }
            | Self::Credentials { .. }
            | Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Lost { .. }
            | Self::Ended { .. }
            | Self::Zone { .. }
            | Self::Protocol { .. } => "",
        }
    }

    /// Whether the server ended the dump because another replica came with our `server_id`.
    pub fn is_of_same_id(&self) -> bool {
        matches!(self, Self::Server { code: SAME_ID | ERROR_READING_BINLOG, message, .. }
            if message.contains(SAME_ID_WORDS))
    }

    /// Whether encryption failed: for good, or because the server went away meanwhile.
    pub fn is_of_tls(&self) -> bool {
        matches!(self, Self::Tls { .. })
    }
}

/// What to do about an account that is not let in.
fn advice_for(code: u16, without_certificate: bool) -> &'static str {
    match meaning(code) {
        Meaning::Account(_) if code == ACCESS_DENIED && without_certificate => {
            ACCOUNT_OR_CERTIFICATE
        }
        Meaning::Account(advice) | Meaning::Right(advice) => advice,
        Meaning::Transient | Meaning::Unknown => "",
    }
}

/// What an error number of the server says about going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// It goes away, by itself or by what somebody does at the server: try again.
    Transient,
    /// This account is not let in, and what to do about it.
    Account(&'static str),
    /// This account may not do that, and what to do about it.
    Right(&'static str),
    /// None of those that a connection of ours is known to meet.
    Unknown,
}

/// What to do about a place of a binlog that cannot be read, again and again.
pub(crate) const DAMAGED: &str = "look at the place with mysqlbinlog: where the server's file is \
    damaged, copy what it had there another way, and let `bin/sluice position set` go on behind it; \
    where it is whole, report it";
const ACCOUNT: &str = "set canal.instance.dbUsername and canal.instance.dbPassword to an account \
    of that server that is allowed in from this machine";
const ACCOUNT_OR_CERTIFICATE: &str = "set canal.instance.dbUsername and \
    canal.instance.dbPassword to an account of that server that is allowed in from this machine; \
    if the account demands a certificate (REQUIRE X509), set \
    canal.instance.master.clientCertificateKeyStoreUrl";
const HOST: &str = "create the account for this machine's address, \
    or correct canal.instance.master.address";
const EXPIRED: &str = "the password has expired: ALTER USER .. IDENTIFIED BY a new one, \
    and set canal.instance.dbPassword to it";
const LOCKED: &str = "the account is locked: ALTER USER .. ACCOUNT UNLOCK";
const ERRORS: &str = "the account is blocked after too many wrong passwords: correct \
    canal.instance.dbPassword, then unblock it (MySQL: ALTER USER .. ACCOUNT UNLOCK, \
    MariaDB: FLUSH PRIVILEGES)";
const METHOD: &str = "give the account a password method that the server has \
    (ALTER USER .. IDENTIFIED WITH caching_sha2_password BY ..; MariaDB: mysql_native_password)";
const GRANTS: &str = "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* to the account, \
    then start again";
const PACKET: &str = "raise max_allowed_packet of the server, then start again";

/// The numbers that connecting, asking for metadata and replicating can meet. Names and numbers:
/// share/messages_to_clients.txt (MySQL), sql/share/errmsg-utf8.txt (MariaDB).
fn meaning(code: u16) -> Meaning {
    match code {
        // Out of something: disk, memory, connections, threads, file handles.
        1021 // DISK_FULL
        | 1037 // OUTOFMEMORY
        | 1038 // OUT_OF_SORTMEMORY
        | 1040 // CON_COUNT_ERROR
        | 1041 // OUT_OF_RESOURCES
        | 1135 // CANT_CREATE_THREAD
        | 1203 // TOO_MANY_USER_CONNECTIONS
        | 1226 // USER_LIMIT_REACHED
        | 3170 // CAPACITY_EXCEEDED
        // The way to the server, as it sees it: its resolver, its opinion of this host.
        | 1042 // BAD_HOST_ERROR
        | 1043 // HANDSHAKE_ERROR
        | 1047 // UNKNOWN_COM_ERROR: what a proxy says without a server behind it
        | 1129 // HOST_IS_BLOCKED
        | 1152 | 1184 // ABORTING_CONNECTION
        | 1154..=1161 // NET_READ_ERROR_FROM_PIPE to NET_WRITE_INTERRUPTED
        // It ends, begins, or serves nobody now.
        | 1053 // SERVER_SHUTDOWN
        | 1077..=1080 // NORMAL_SHUTDOWN, GOT_SIGNAL, SHUTDOWN_COMPLETE, FORCING_CLOSE
        | 3032 // SERVER_OFFLINE_MODE
        | 3168 // SERVER_ISNT_AVAILABLE
        | 1835 // MALFORMED_PACKET
        // This connection or statement was ended for others' sake.
        | 1105 // UNKNOWN_ERROR: what proxies say of any trouble of their own
        | 1205 // LOCK_WAIT_TIMEOUT
        | 1206 // LOCK_TABLE_FULL
        | 1213 // LOCK_DEADLOCK
        | 1317 // QUERY_INTERRUPTED
        | 1412 // TABLE_DEF_CHANGED
        | 1615 // NEED_REPREPARE
        | 1927 | 3169 // CONNECTION_KILLED (MariaDB), SESSION_WAS_KILLED (MySQL)
        | 1969 | 3024 // STATEMENT_TIMEOUT (MariaDB), QUERY_TIMEOUT (MySQL)
        | 3572 // LOCK_NOWAIT
        // Since 8.0.24 the answer to the next statement after wait_timeout.
        | 4031 // CLIENT_INTERACTION_TIMEOUT
        => Meaning::Transient,

        1044 => Meaning::Account(GRANTS), // DBACCESS_DENIED_ERROR
        ACCESS_DENIED | 1698 => Meaning::Account(ACCOUNT), // and without a password
        1130 => Meaning::Account(HOST), // HOST_NOT_PRIVILEGED
        1820 | 1862 => Meaning::Account(EXPIRED), // MUST_CHANGE_PASSWORD, .._LOGIN
        3118 | 4151 => Meaning::Account(LOCKED), // ACCOUNT_HAS_BEEN_LOCKED (MySQL, MariaDB)
        // BLOCKED_BY_PASSWORD_LOCK (MySQL), USER_IS_BLOCKED (MariaDB)
        3955 | 4150 => Meaning::Account(ERRORS),
        // NOT_SUPPORTED_AUTH_MODE, PLUGIN_IS_NOT_LOADED, SERVER_IS_IN_SECURE_AUTH_MODE
        1251 | 1275 | 1524 => Meaning::Account(METHOD),
        TLS_REQUIRED => Meaning::Account(""), // says it by itself

        // TABLEACCESS_DENIED, COLUMNACCESS_DENIED, SPECIFIC_ACCESS_DENIED, PROCACCESS_DENIED
        1142 | 1143 | 1227 | 1370 => Meaning::Right(GRANTS),
        1153 => Meaning::Right(PACKET), // NET_PACKET_TOO_LARGE
        _ => Meaning::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::{Credentials, Endpoint};

    fn refused(code: u16) -> Error {
        let endpoint = Endpoint::new("db", 3306, "canal", "x");
        let credentials = Credentials { user: "canal".to_owned(), ..Credentials::default() };
        let login = Login { endpoint: &endpoint, credentials: &credentials, encrypted: false };
        Error::refusal(&login, code, "words".to_owned(), "the login")
    }

    fn answered(code: u16) -> Error {
        let (address, what) = ("db:3306".to_owned(), "SELECT".to_owned());
        Error::Server { address, what, code, message: "words".to_owned() }
    }

    #[test]
    fn what_a_server_may_run_out_of_or_end_is_tried_again() {
        let transient = [
            1021, 1037, 1040, 1041, 1042, 1043, 1053, 1077, 1079, 1080, 1129, 1135, 1158, 1161,
            1203, 1205, 1213, 1226, 1317, 1927, 1969, 3024, 3032, 3168, 3169, 4031,
        ];
        for code in transient {
            for error in [refused(code), answered(code)] {
                assert!(error.is_transient(), "{error}");
                assert!(matches!(error, Error::Server { .. }), "{error:?}");
            }
        }
    }

    #[test]
    fn each_refusal_says_what_to_do_about_it() {
        let words = [
            (1044, "GRANT"),
            (1045, "dbPassword"),
            (1130, "this machine's address"),
            (1251, "IDENTIFIED WITH"),
            (1275, "IDENTIFIED WITH"),
            (1524, "IDENTIFIED WITH"),
            (1698, "dbPassword"),
            (1820, "expired"),
            (1862, "expired"),
            (3118, "ACCOUNT UNLOCK"),
            (3159, "sslMode"),
            (3955, "wrong passwords"),
            (4150, "wrong passwords"),
            (4151, "ACCOUNT UNLOCK"),
        ];
        for (code, awaited) in words {
            let error = refused(code);
            assert!(!error.is_transient() && error.to_string().contains(awaited), "{error}");
            assert_eq!(error.advice(), "", "{error}");
            assert_eq!(error.code(), Some(code));
        }
        for (code, awaited) in [(1142, "GRANT"), (1227, "GRANT"), (1153, "max_allowed_packet")] {
            let error = answered(code);
            assert!(!error.is_transient() && error.advice().contains(awaited), "{error}");
        }
        let unknown = answered(1064);
        assert!(!unknown.is_transient() && unknown.advice().contains("start again"), "{unknown}");
    }
}
