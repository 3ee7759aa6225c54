//! An executed set that only grows, for positions: a base, shared by all clones, and what
//! came since.
//!
//! A set of thousands of UUIDs is neither copied nor written for each transaction: a clone
//! copies the small delta, and a store writes the base once and the delta each time.
//! Always: the delta holds what was inserted since the base, whatever the base holds.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Flavor, Gtid, GtidSet};

/// Beyond this many bytes of text the delta becomes part of a new base.
const LARGEST_DELTA: usize = 4096;

/// See the head of this file. As JSON it is the whole set.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(from = "GtidSet", into = "GtidSet")]
pub struct CountedSet {
    base: Arc<GtidSet>,
    delta: GtidSet,
}

impl CountedSet {
    /// A set as it was stored.
    pub fn new(base: Arc<GtidSet>, delta: GtidSet) -> Self {
        Self { base, delta }
    }

    /// What clones share: the same pointer as long as it is the same.
    pub fn base(&self) -> &Arc<GtidSet> {
        &self.base
    }

    /// What came since the base.
    pub fn delta(&self) -> &GtidSet {
        &self.delta
    }

    /// Whose GTIDs it holds.
    pub fn flavor(&self) -> Flavor {
        self.base.flavor()
    }

    /// All of it, as one set. Costs as much as the set is large.
    pub fn whole(&self) -> GtidSet {
        let mut whole = GtidSet::clone(&self.base);
        whole.extend(&self.delta);
        whole
    }

    /// Adds one transaction.
    pub fn insert(&mut self, gtid: &Gtid) {
        self.delta.insert(gtid);
    }

    /// Makes a new base when the delta has become large.
    pub fn settle(&mut self) {
        if self.delta.is_longer_than(LARGEST_DELTA) {
            *self = Self::from(self.whole());
        }
    }
}

impl From<GtidSet> for CountedSet {
    fn from(set: GtidSet) -> Self {
        let delta = GtidSet::empty(set.flavor());
        Self { base: Arc::new(set), delta }
    }
}

impl From<CountedSet> for GtidSet {
    fn from(set: CountedSet) -> Self {
        set.whole()
    }
}

/// Whether they hold the same transactions.
impl PartialEq for CountedSet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.base, &other.base) && self.delta == other.delta
            || self.whole() == other.whole()
    }
}

impl Eq for CountedSet {}

impl fmt::Display for CountedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole().fmt(f)
    }
}
