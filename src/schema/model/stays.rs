//! How long each server was read: what shows, of a definition read from one, whether it has become
//! true before another was read, or has no place any more.
//!
//! Going to another server changes no entry: each says in which stay it was read, and is taken by
//! the end of that stay whenever it is looked at. So a failover is one record, however many tables
//! there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::definition::is_zero;
use super::{Entry, Key, Known, Lost, Model, Packed};
use crate::schema::Place;

/// The stays at servers, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stays {
    /// The one that lasts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) now: u32,
    /// Where those ended of which some definition is left.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ended: BTreeMap<u32, Place>,
}

impl Model {
    /// The source reads another server from here on: what was read from the former one
    /// has become true, or has no place any more.
    pub(crate) fn leave(&mut self, reached: &Place) {
        let of_entry = |packed: &Packed| Some(packed.unpack().read?.stay);
        let packed = self.tables.values().flat_map(HashMap::values);
        let wanted: BTreeSet<u32> = packed.filter_map(of_entry).collect();
        self.remember_stays();
        let Stays { now, ended } = &mut self.stays;
        ended.insert(*now, reached.clone());
        ended.retain(|stay, _| wanted.contains(stay));
        *now = now.wrapping_add(1);
        self.leave_databases(reached);
    }

    /// An entry as it is now that its stay may have ended.
    pub(super) fn unpack(&self, packed: &Packed) -> Entry {
        let mut entry = packed.unpack();
        let Some(read) = entry.read.take_if(|read| read.stay != self.stays.now) else {
            return entry;
        };
        let end = self.stays.ended.get(&read.stay);
        if end.is_some_and(|end| read.hi <= *end) {
            return Entry { now: Some(read.definition), ..Entry::default() };
        }
        if entry.now.is_none() {
            let why = "it was read from another server than the one that is read now";
            entry.lost.get_or_insert_with(|| Lost::new(end.unwrap_or(&read.lo), why));
        }
        entry
    }

    fn remember_stays(&mut self) {
        let old = self.stays_known();
        self.remember(Key::Stays, old);
    }

    pub(super) fn stays_known(&self) -> Option<Known> {
        (self.stays != Stays::default()).then(|| Known::Stays(self.stays.clone()))
    }
}
