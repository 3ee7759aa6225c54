//! What the sources of one instance leave to one another, for as long as the process runs: each
//! lost connection and each failure ends one and begins the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::held::Noticed;
use super::horizon::{Retention, Watch};
use super::lag::Lag;
use super::search::Searches;
use super::snapshot::Copying;
use crate::change::GtidSet;

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    lag: Arc<Lag>,
    horizon: Arc<Watch>,
    warnings: Arc<Mutex<Vec<String>>>,
    searches: Searches,
    /// By the address of the standby.
    errant: Arc<Mutex<BTreeMap<String, String>>>,
    branches: Arc<Mutex<Noticed>>,
    /// The addresses of servers that ran without a binlog when they were looked at last.
    without_binlog: Arc<Mutex<BTreeSet<String>>>,
    copying: Copying,
}

impl Remembered {
    /// How far behind the instance is.
    pub fn lag(&self) -> &Lag {
        &self.lag
    }

    /// How long the server keeps what the instance still needs, when our clock shows `now`
    /// (milliseconds since 1970); `None` while it is not known.
    pub fn retention(&self, now: i64) -> Option<Retention> {
        self.horizon.look(self.lag.server_time(now))
    }

    /// How far tables are copied, and what is asked of that.
    pub fn copying(&self) -> &Copying {
        &self.copying
    }

    /// What searches for XA branches have learnt.
    pub(super) fn searches(&self) -> &Searches {
        &self.searches
    }

    pub(super) fn horizon(&self) -> &Watch {
        &self.horizon
    }

    /// The errant transactions of the standbys, by their addresses, as texts of GTID sets.
    pub fn errants(&self) -> BTreeMap<String, String> {
        self.errant.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What there is to be said of XA branches.
    pub fn noticed_branches(&self) -> Noticed {
        self.branches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes it; whether that is news.
    pub(super) fn branches(&self, noticed: &Noticed) -> bool {
        let mut known = self.branches.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = *known != *noticed;
        if is_news {
            known.clone_from(noticed);
        }
        is_news
    }

    /// Notes those of a standby; what they are, if that is news.
    pub(super) fn errant(&self, standby: &str, found: Option<GtidSet>) -> Option<String> {
        let mut known = self.errant.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = found.map(|found| found.to_string()) else {
            known.remove(standby);
            return None;
        };
        let before = known.insert(standby.to_owned(), found.clone());
        (before.as_ref() != Some(&found)).then_some(found)
    }

    /// Notes whether a server has a binlog; whether it had none before.
    pub(super) fn has_binlog(&self, address: &str, has: bool) -> bool {
        let mut without = self.without_binlog.lock().unwrap_or_else(PoisonError::into_inner);
        if has { without.remove(address) } else { !without.insert(address.to_owned()) }
    }

    /// Those of a server's warnings that it did not give the last time.
    pub(super) fn news(&self, warnings: Vec<String>) -> Vec<String> {
        let mut known = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        let news = warnings.iter().filter(|one| !known.contains(one)).cloned().collect();
        *known = warnings;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_news_once_and_again_after_it_had_ended() {
        let remembered = Remembered::default();
        let say = |words: &[&str]| {
            remembered.clone().news(words.iter().map(|&word| word.to_owned()).collect())
        };
        assert_eq!(say(&["a", "b"]), ["a", "b"]);
        assert_eq!(say(&["a", "b"]), [] as [&str; 0]);
        assert_eq!(say(&["b"]), [] as [&str; 0]);
        assert_eq!(say(&["a", "b"]), ["a"]);
    }
}
