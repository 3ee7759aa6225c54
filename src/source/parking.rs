//! Which tables are parked, and from where on.

use std::collections::HashMap;

use crate::change::{EventPlace, FileName, TableName};

/// The tables whose changes are kept as they come.
#[derive(Clone, Debug, Default)]
pub struct Parking {
    /// From which event on; none: all.
    tables: HashMap<TableName, Option<(FileName, u64)>>,
}

impl Parking {
    /// Parks all changes of a table.
    pub fn park(&mut self, table: TableName) {
        self.tables.insert(table, None);
    }

    /// Parks the changes of a table from the event at `place` on. Whoever never comes by that
    /// place meets what was wrong there again.
    pub fn park_from(&mut self, table: TableName, place: &EventPlace) {
        self.tables.insert(table, Some((FileName::clone(&place.file), place.offset)));
    }

    /// Whether a change of the table at `place` is to be kept.
    pub(crate) fn keeps(&mut self, table: &TableName, place: &EventPlace) -> bool {
        if self.tables.is_empty() {
            return false;
        }
        let Some(from) = self.tables.get_mut(table) else { return false };
        if let Some((file, offset)) = from
            && **file == *place.file
            && place.offset >= *offset
        {
            *from = None;
        }
        from.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_parked_from_its_event_on() {
        let name = TableName::new("db", "t");
        let place = |file: &str, offset| EventPlace { file: file.into(), offset, time: 0 };
        let mut parking = Parking::default();
        assert!(!parking.keeps(&name, &place("b.1", 4)));
        parking.park_from(name.clone(), &place("b.2", 100));
        for (file, offset, wanted) in
            [("b.1", 500, false), ("b.2", 99, false), ("b.2", 100, true), ("b.3", 4, true)]
        {
            assert_eq!(parking.keeps(&name, &place(file, offset)), wanted, "{file}:{offset}");
        }
        assert!(!parking.keeps(&TableName::new("db", "u"), &place("b.3", 4)));
    }
}
