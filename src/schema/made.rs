//! The newest version made of each table met lately, to be found again when nothing changed.
//!
//! In two generations: the older one goes when the younger is full. So the number in memory is
//! bounded; a table that comes again later only gets another version.

use std::collections::HashMap;
use std::sync::Arc;

use crate::change::{Table, TableName};

/// Tables of ten columns take some 2 KiB each.
const GENERATION: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Made {
    young: HashMap<TableName, Arc<Table>>,
    old: HashMap<TableName, Arc<Table>>,
}

impl Made {
    /// The newest version of a table; asked for, it stays.
    pub(super) fn get(&mut self, name: &TableName) -> Option<Arc<Table>> {
        if let Some(made) = self.young.get(name) {
            return Some(Arc::clone(made));
        }
        let made = self.old.remove(name)?;
        self.insert(&made);
        Some(made)
    }

    pub(super) fn insert(&mut self, made: &Arc<Table>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&made.name);
        self.young.insert(made.name.clone(), Arc::clone(made));
    }

    pub(super) fn remove(&mut self, name: &TableName) {
        self.young.remove(name);
        self.old.remove(name);
    }

    /// Those of a database.
    pub(super) fn remove_all_of(&mut self, schema: &str) {
        for tables in [&mut self.young, &mut self.old] {
            tables.retain(|table, _| *table.schema != *schema);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::TableVersion;

    #[test]
    fn what_is_in_use_stays_and_the_rest_is_bounded() {
        let table = |number: usize| {
            let version = TableVersion(number as u64);
            let name = TableName::new("d", number.to_string());
            Arc::new(Table {
                version,
                name,
                columns: Vec::new(),
                primary_key: Vec::new(),
                hidden: 0,
            })
        };
        let mut made = Made::default();
        let used = table(0);
        made.insert(&used);
        for number in 1..3 * GENERATION {
            made.insert(&table(number));
            assert!(made.get(&used.name).is_some_and(|found| Arc::ptr_eq(&found, &used)));
            assert!(made.young.len() + made.old.len() <= 2 * GENERATION);
        }
        assert!(made.get(&table(1).name).is_none());
        made.remove_all_of("d");
        assert!(made.get(&used.name).is_none());
    }
}
