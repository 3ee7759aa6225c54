//! Global transaction identifiers of MySQL (tagged ones too) and MariaDB, and sets of them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Whose GTIDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    MySql { sid: Sid, tag: Option<Arc<str>>, gno: u64 },
    /// `domain-server-seq`.
    MariaDb { domain: u32, server: u32, seq: u64 },
}

/// A set of executed transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GtidSet {
    /// `uuid:1-5:7:tag:1-2,uuid2:3`.
    MySql(()),
    /// The last GTID of each domain.
    MariaDb(()),
}

/// Why a text is no GTID or no set of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no GTID set: {reason}")]
pub struct GtidError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl GtidSet {
    /// Adds one transaction. One of the other flavour changes nothing.
    pub fn insert(&mut self, _gtid: &Gtid) {
        todo!()
    }

    /// Reads the server's text form.
    pub fn parse(_flavor: Flavor, _text: &str) -> Result<Self, GtidError> {
        todo!()
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl Serialize for GtidSet {
    fn serialize<S: serde::Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        todo!()
    }
}

impl<'de> Deserialize<'de> for GtidSet {
    fn deserialize<D: serde::Deserializer<'de>>(_deserializer: D) -> Result<Self, D::Error> {
        todo!()
    }
}
