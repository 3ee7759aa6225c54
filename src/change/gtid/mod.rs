//! Global transaction identifiers of MySQL (tagged ones too) and MariaDB, and sets of them.
//!
//! A set never mixes the flavours: what one server executed is of one. It is kept as
//! numbers; its text is made only to be printed or stored. As JSON:
//! `{"flavor":"mysql","text":"..."}`.

mod counted;
mod mariadb;
mod mysql;
#[cfg(test)]
mod tests;
mod varint;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Span;

pub use counted::CountedSet;
pub use mariadb::MariaDbGtids;
pub(crate) use mysql::is_tag;
pub use mysql::{Interval, MySqlGtids};
pub(crate) use varint::{read_signed, read_unsigned};

/// Whose GTIDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavor {
    /// MySQL and what descends from it.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// A server's UUID, as GTIDs carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sid(pub [u8; 16]);

/// One transaction's identifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Gtid {
    /// `uuid:gno` or `uuid:tag:gno`.
    MySql {
        /// The server it was first committed on.
        sid: Sid,
        /// Lower case; `None` for the common kind without one.
        tag: Option<Arc<str>>,
        /// From 1.
        gno: u64,
    },
    /// `domain-server-seq`.
    MariaDb {
        /// The replication domain.
        domain: u32,
        /// The server id it was first committed on.
        server: u32,
        /// Its number in the domain.
        seq: u64,
    },
}

/// A set of executed transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GtidSet {
    /// `uuid:1-5:7:tag:1-2,uuid2:3`.
    MySql(MySqlGtids),
    /// The last GTID of each domain: `0-1-100,7-2-33`.
    MariaDb(MariaDbGtids),
}

/// Why bytes or a text are no GTID or no set of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no GTID set: {reason}")]
pub struct GtidError {
    /// The text, or the part of it that is wrong.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl GtidError {
    fn new(text: &str, reason: &'static str) -> Self {
        Self { text: text.to_owned(), reason }
    }
}

impl GtidSet {
    /// Nothing executed.
    pub fn empty(flavor: Flavor) -> Self {
        match flavor {
            Flavor::MySql => Self::MySql(MySqlGtids::default()),
            Flavor::MariaDb => Self::MariaDb(MariaDbGtids::default()),
        }
    }

    /// Whose GTIDs it holds.
    pub fn flavor(&self) -> Flavor {
        match self {
            Self::MySql(_) => Flavor::MySql,
            Self::MariaDb(_) => Flavor::MariaDb,
        }
    }

    /// Whether nothing was executed.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::MySql(set) => set.is_empty(),
            Self::MariaDb(set) => set.is_empty(),
        }
    }

    /// Adds one transaction. One of the other flavour changes nothing.
    pub fn insert(&mut self, gtid: &Gtid) {
        match (self, gtid) {
            (Self::MySql(set), Gtid::MySql { sid, tag, gno }) => {
                set.insert(*sid, tag.as_ref(), *gno);
            }
            (Self::MariaDb(set), Gtid::MariaDb { domain, server, seq }) => {
                set.insert(*domain, *server, *seq);
            }
            (Self::MySql(_), Gtid::MariaDb { .. }) | (Self::MariaDb(_), Gtid::MySql { .. }) => {}
        }
    }

    /// Whether the transaction was executed. Of MariaDB: whether its domain has come as far.
    pub fn contains(&self, gtid: &Gtid) -> bool {
        match (self, gtid) {
            (Self::MySql(set), Gtid::MySql { sid, tag, gno }) => {
                set.contains(*sid, tag.as_deref(), *gno)
            }
            (Self::MariaDb(set), Gtid::MariaDb { domain, seq, .. }) => set.contains(*domain, *seq),
            (Self::MySql(_), Gtid::MariaDb { .. }) | (Self::MariaDb(_), Gtid::MySql { .. }) => {
                false
            }
        }
    }

    /// Whether it has that one transaction; `gtid` is its text, as the servers write it.
    pub fn has(&self, gtid: &str) -> bool {
        Self::parse(self.flavor(), gtid).is_ok_and(|one| !one.is_empty() && one.is_subset_of(self))
    }

    /// Whether `other` has all of it. Between flavours only the empty set is a subset.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::MySql(a), Self::MySql(b)) => a.is_subset_of(b),
            (Self::MariaDb(a), Self::MariaDb(b)) => a.is_subset_of(b),
            (Self::MySql(_), Self::MariaDb(_)) | (Self::MariaDb(_), Self::MySql(_)) => {
                self.is_empty()
            }
        }
    }

    /// Adds all of `other`. A set of the other flavour changes nothing.
    pub fn union(&mut self, other: &Self) {
        match (self, other) {
            (Self::MySql(a), Self::MySql(b)) => a.union(b),
            (Self::MariaDb(a), Self::MariaDb(b)) => a.union(b),
            (Self::MySql(_), Self::MariaDb(_)) | (Self::MariaDb(_), Self::MySql(_)) => {}
        }
    }

    /// Adds what was executed later, in this order: of MariaDB each domain moves to where
    /// `later` has it, be its number higher or not.
    pub fn extend(&mut self, later: &Self) {
        match (self, later) {
            (Self::MySql(a), Self::MySql(b)) => a.union(b),
            (Self::MariaDb(a), Self::MariaDb(b)) => {
                b.iter().for_each(|gtid| a.insert_last(&gtid));
            }
            (Self::MySql(_), Self::MariaDb(_)) | (Self::MariaDb(_), Self::MySql(_)) => {}
        }
    }

    /// Whether its text may have more than `bytes`, by a quick look.
    pub(crate) fn is_longer_than(&self, bytes: usize) -> bool {
        match self {
            Self::MySql(set) => set.text_bound() > bytes,
            // As many domains as there are: they do not grow by counting.
            Self::MariaDb(_) => false,
        }
    }

    /// Takes all of `other` away: what is left is what `other` lacks. Of MariaDB: the
    /// domains in which `other` is behind.
    pub fn subtract(&mut self, other: &Self) {
        match (self, other) {
            (Self::MySql(a), Self::MySql(b)) => a.subtract(b),
            (Self::MariaDb(a), Self::MariaDb(b)) => a.subtract(b),
            (Self::MySql(_), Self::MariaDb(_)) | (Self::MariaDb(_), Self::MySql(_)) => {}
        }
    }

    /// MariaDB: the domains of which `other` has nothing.
    #[must_use]
    pub(crate) fn domains_not_in(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::MariaDb(a), Self::MariaDb(b)) => Self::MariaDb(a.domains_not_in(b)),
            (Self::MySql(_), _) | (Self::MariaDb(_), Self::MySql(_)) => Self::empty(self.flavor()),
        }
    }

    /// What both have. Of MariaDB: of each domain, how far both have come.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::MySql(a), Self::MySql(b)) => {
                let (mut lacking, mut both) = (a.clone(), a.clone());
                lacking.subtract(b);
                both.subtract(&lacking);
                Self::MySql(both)
            }
            (Self::MariaDb(a), Self::MariaDb(b)) => Self::MariaDb(a.intersection(b)),
            (Self::MySql(_), Self::MariaDb(_)) | (Self::MariaDb(_), Self::MySql(_)) => {
                Self::empty(self.flavor())
            }
        }
    }

    /// Those that were not first committed on the server of that UUID. Of MariaDB none: in a
    /// domain the later stands for all before it.
    pub(crate) fn not_of(&self, server: &str) -> Self {
        match (self, server.parse()) {
            (Self::MySql(set), Ok(sid)) => Self::MySql(set.not_of(sid)),
            (Self::MySql(set), Err(_)) => Self::MySql(set.clone()),
            (Self::MariaDb(_), _) => Self::empty(Flavor::MariaDb),
        }
    }

    /// Of MariaDB: the last one of each domain in which `kept` is behind, and all of the same server
    /// since.
    pub(crate) fn spans_behind(&self, kept: &Self) -> Vec<Span> {
        match (self, kept) {
            (Self::MariaDb(a), Self::MariaDb(b)) => a.spans_behind(b),
            (Self::MySql(_), _) | (Self::MariaDb(_), Self::MySql(_)) => Vec::new(),
        }
    }

    /// Those that were first committed on the server of that UUID (`server-id:<id>` of MariaDB's:
    /// of a domain the last one says whose it is).
    pub(crate) fn of(&self, server: &str) -> Self {
        match (self, server.parse(), server.strip_prefix("server-id:").map(str::parse)) {
            (Self::MySql(set), Ok(sid), _) => Self::MySql(set.of(sid)),
            (Self::MariaDb(set), _, Some(Ok(id))) => Self::MariaDb(set.of(id)),
            (Self::MySql(_), Err(_), _) | (Self::MariaDb(_), _, _) => Self::empty(self.flavor()),
        }
    }

    /// Reads the server's text form; white space between its parts does not count.
    pub fn parse(flavor: Flavor, text: &str) -> Result<Self, GtidError> {
        Ok(match flavor {
            Flavor::MySql => Self::MySql(text.parse()?),
            Flavor::MariaDb => Self::MariaDb(text.parse()?),
        })
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MySql(set) => set.fmt(f),
            Self::MariaDb(set) => set.fmt(f),
        }
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MySql { sid, tag: None, gno } => write!(f, "{sid}:{gno}"),
            Self::MySql { sid, tag: Some(tag), gno } => write!(f, "{sid}:{tag}:{gno}"),
            Self::MariaDb { domain, server, seq } => write!(f, "{domain}-{server}-{seq}"),
        }
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Uuid::from_bytes(self.0).hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl FromStr for Sid {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let wrong = || GtidError::new(text, "the UUID of a server has 32 hexadecimal digits");
        let mut sid = [0; 16];
        let mut digits = text.chars().filter(|letter| *letter != '-');
        for byte in &mut sid {
            let mut digit = || digits.next().and_then(|digit| digit.to_digit(16)).ok_or_else(wrong);
            *byte = u8::try_from(digit()? << 4 | digit()?).map_err(|_| wrong())?;
        }
        if digits.next().is_some() {
            return Err(wrong());
        }
        Ok(Self(sid))
    }
}

/// The JSON form.
#[derive(Serialize, Deserialize)]
struct Stored {
    flavor: Flavor,
    text: String,
}

impl Serialize for GtidSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Stored { flavor: self.flavor(), text: self.to_string() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for GtidSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        Self::parse(stored.flavor, &stored.text).map_err(serde::de::Error::custom)
    }
}
