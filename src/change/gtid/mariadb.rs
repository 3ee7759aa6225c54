//! Sets of MariaDB's GTIDs: the last one of each domain, which stands for all before it.
//!
//! Text: `0-1-100,7-2-33`, as `@@gtid_binlog_pos` has it. Always sorted by domain.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::fmt;
use std::str::FromStr;

use super::{Gtid, GtidError};
use crate::change::Span;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    domain: u32,
    server: u32,
    seq: u64,
}

/// A replication position of MariaDB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MariaDbGtids {
    domains: Vec<Last>,
}

impl MariaDbGtids {
    /// Whether no domain has a transaction.
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    /// The last GTID of each domain, by domain.
    pub fn iter(&self) -> impl Iterator<Item = Gtid> {
        self.domains.iter().map(|last| Gtid::MariaDb {
            domain: last.domain,
            server: last.server,
            seq: last.seq,
        })
    }

    /// Moves the domain to this GTID, be its number higher or not: without
    /// `gtid_strict_mode` numbers can go back, and the server looks for the last one written.
    pub fn insert(&mut self, domain: u32, server: u32, seq: u64) {
        let last = Last { domain, server, seq };
        match self.domains.binary_search_by_key(&domain, |last| last.domain) {
            Ok(place) => {
                if let Some(found) = self.domains.get_mut(place) {
                    *found = last;
                }
            }
            Err(place) => self.domains.insert(place, last),
        }
    }

    /// As [`MariaDbGtids::insert`]; a GTID of MySQL changes nothing.
    pub(crate) fn insert_last(&mut self, gtid: &Gtid) {
        match gtid {
            Gtid::MariaDb { domain, server, seq } => self.insert(*domain, *server, *seq),
            Gtid::MySql { .. } => {}
        }
    }

    /// Whether the domain has come to `seq`.
    pub fn contains(&self, domain: u32, seq: u64) -> bool {
        self.seq(domain).is_some_and(|reached| reached >= seq)
    }

    /// Whether `other` has come as far in each domain.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.domains.iter().all(|last| other.contains(last.domain, last.seq))
    }

    /// Moves each domain to the farther of the two.
    pub fn union(&mut self, other: &Self) {
        for last in &other.domains {
            if !self.contains(last.domain, last.seq) {
                self.insert(last.domain, last.server, last.seq);
            }
        }
    }

    /// The domains of both, each where the one that is behind has it.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let both = self.domains.iter().filter_map(|last| {
            if other.contains(last.domain, last.seq) {
                return Some(*last);
            }
            other.domains.iter().find(|theirs| theirs.domain == last.domain).copied()
        });
        Self { domains: both.collect() }
    }

    /// The domains of which `other` has nothing.
    pub(crate) fn domains_not_in(&self, other: &Self) -> Self {
        let domains = self.domains.iter().filter(|last| other.seq(last.domain).is_none()).copied();
        Self { domains: domains.collect() }
    }

    /// The domains whose last one is of this server.
    pub(crate) fn of(&self, server: u32) -> Self {
        let domains = self.domains.iter().filter(|last| last.server == server).copied();
        Self { domains: domains.collect() }
    }

    /// As [`GtidSet::spans_behind`](super::GtidSet::spans_behind).
    pub(crate) fn spans_behind(&self, kept: &Self) -> Vec<Span> {
        let spans = self.domains.iter().map(|last| {
            let Last { domain, server, seq: to } = *last;
            Span { domain, server, after: kept.seq(domain).unwrap_or(0), to }
        });
        spans.filter(|span| span.after < span.to).collect()
    }

    /// Keeps the domains in which `other` is behind.
    pub fn subtract(&mut self, other: &Self) {
        self.domains.retain(|last| !other.contains(last.domain, last.seq));
    }

    fn seq(&self, domain: u32) -> Option<u64> {
        let place = self.domains.binary_search_by_key(&domain, |last| last.domain).ok()?;
        self.domains.get(place).map(|last| last.seq)
    }
}

impl fmt::Display for MariaDbGtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Last { domain, server, seq }) in self.domains.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(f, "{comma}{domain}-{server}-{seq}")?;
        }
        Ok(())
    }
}

impl FromStr for MariaDbGtids {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let mut set = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || GtidError::new(part, "it is not of the form domain-server-number");
            let mut fields = part.split('-');
            let mut field = || fields.next().ok_or_else(wrong);
            let (domain, server, seq) = (field()?, field()?, field()?);
            if fields.next().is_some() {
                return Err(wrong());
            }
            let (domain, server) = (domain.parse(), server.parse());
            let (Ok(domain), Ok(server), Ok(seq)) = (domain, server, seq.parse()) else {
                return Err(wrong());
            };
            if set.seq(domain).is_some() {
                return Err(GtidError::new(part, "its domain occurs twice"));
            }
            set.insert(domain, server, seq);
        }
        Ok(set)
    }
}
