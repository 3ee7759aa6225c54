//! The tables that rows events name by id: the verdict of the filter, and the version.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::binlog::TableMapId;
use crate::change::Table;

/// What a table id stands for.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// The filter drops its rows.
    Dropped,
    /// Its definition is not known, and the settings let its rows drop.
    Unknown,
    /// Its definition is not known, and its rows are kept until it is.
    Parked(Arc<Table>),
    /// Its rows are published.
    Table(Arc<Table>),
}

struct Known {
    /// The whole body of the table map, id included; a copy, so that it keeps no buffer.
    body: Bytes,
    epoch: u64,
    entry: Entry,
}

/// The table maps seen since the file or the connection began, in two generations: the
/// older one goes when the younger is full. So those of the statement being read are there,
/// and the number of tables in memory is bounded.
#[derive(Default)]
pub(super) struct Tables {
    young: HashMap<TableMapId, Known>,
    old: HashMap<TableMapId, Known>,
}

/// More tables than one statement can name.
const GENERATION: usize = 4096;

impl Tables {
    /// A new file: its ids have nothing to do with those before.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether a table map was seen before, byte by byte, in the same epoch.
    pub(super) fn has(&self, id: TableMapId, body: &[u8], epoch: u64) -> bool {
        self.find(id).is_some_and(|known| known.epoch == epoch && known.body == body)
    }

    pub(super) fn insert(&mut self, id: TableMapId, body: &[u8], epoch: u64, entry: Entry) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, Known { body: Bytes::copy_from_slice(body), epoch, entry });
    }

    pub(super) fn get(&self, id: TableMapId) -> Option<&Entry> {
        self.find(id).map(|known| &known.entry)
    }

    /// The body of the table map.
    pub(super) fn body(&self, id: TableMapId) -> Option<Bytes> {
        self.find(id).map(|known| known.body.clone())
    }

    fn find(&self, id: TableMapId) -> Option<&Known> {
        self.young.get(&id).or_else(|| self.old.get(&id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_map_is_the_same_only_with_its_bytes_and_epoch() {
        let mut tables = Tables::default();
        let id = TableMapId(7);
        tables.insert(id, b"one", 1, Entry::Dropped);
        assert!(tables.has(id, b"one", 1));
        assert!(!tables.has(id, b"two", 1));
        assert!(!tables.has(id, b"one", 2));
        tables.clear();
        assert!(tables.get(id).is_none());
    }

    #[test]
    fn many_tables_leave_those_of_the_statement() {
        let mut tables = Tables::default();
        for id in 0..3 * GENERATION as u64 {
            tables.insert(TableMapId(id), b"map", 1, Entry::Dropped);
            assert!(tables.get(TableMapId(id.saturating_sub(100))).is_some());
        }
        assert!(tables.young.len() + tables.old.len() <= 2 * GENERATION);
    }
}
