//! Which tables are parked, and from where on.

use std::collections::HashMap;

use crate::change::{EventPlace, FileName, TableName};
use crate::schema::Named;

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

    /// Whether a change of the table at `place` is to be kept: it is parked, or its database.
    pub(crate) fn keeps(&mut self, table: &TableName, place: &EventPlace) -> bool {
        if self.tables.is_empty() {
            return false;
        }
        self.is_parked(table, place)
            || self.is_parked(&TableName::of_database(table.schema.clone()), place)
    }

    /// Follows a statement at `place`: if it concerns anything that is parked, all that it changes
    /// is parked from there on, as it means what it does only behind the statement. Which names
    /// those are, with the parked ones; none if nothing of it is parked.
    pub(crate) fn follow(&mut self, named: &Named, place: &EventPlace) -> Vec<TableName> {
        if self.tables.is_empty() {
            return Vec::new();
        }
        let Named { changed, read, databases, dropped } = named;
        let mut together: Vec<TableName> =
            changed.iter().chain(read).filter(|name| self.keeps(name, place)).cloned().collect();
        together.extend(databases.iter().filter(|name| self.is_parked(name, place)).cloned());
        let of_dropped = |name: &&TableName| dropped.iter().any(|one| one.covers(name));
        let lost: Vec<TableName> = self.tables.keys().filter(of_dropped).cloned().collect();
        together.extend(lost.into_iter().filter(|name| self.is_parked(name, place)));
        if together.is_empty() {
            return together;
        }
        for name in changed.iter().chain(dropped) {
            if !self.keeps(name, place) {
                self.park(name.clone());
            }
            together.push(name.clone());
        }
        together.sort_unstable();
        together.dedup();
        together
    }

    /// Whether that name is parked, and `place` is behind where that begins.
    fn is_parked(&mut self, table: &TableName, place: &EventPlace) -> bool {
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

    #[test]
    fn what_a_statement_on_a_parked_table_names_is_parked_from_there_on() {
        let name = |table: &str| TableName::new("db", table);
        let place = |offset| EventPlace { file: "b.1".into(), offset, time: 0 };
        let renames = |from, to| Named { changed: vec![name(from), name(to)], ..Named::default() };
        let mut parking = Parking::default();
        parking.park_from(name("t"), &place(100));
        assert_eq!(parking.follow(&renames("t", "x"), &place(90)), []);
        assert_eq!(parking.follow(&renames("n", "y"), &place(110)), []);
        assert_eq!(parking.follow(&renames("t", "x"), &place(120)), [name("t"), name("x")]);
        assert!(parking.keeps(&name("x"), &place(130)));
        assert_eq!(parking.follow(&renames("n", "t"), &place(140)), [name("n"), name("t")]);
        let like = Named { changed: vec![name("l")], read: vec![name("x")], ..Named::default() };
        assert_eq!(parking.follow(&like, &place(150)), [name("l"), name("x")]);
        let read = Named { changed: vec![name("x")], read: vec![name("z")], ..Named::default() };
        assert_eq!(parking.follow(&read, &place(160)), [name("x")]);
        assert!(!parking.keeps(&name("z"), &place(160)), "its definition was read, no more");
        let database = TableName::of_database("db");
        let made = Named { databases: vec![database.clone()], ..Named::default() };
        assert_eq!(parking.follow(&made, &place(170)), []);
        let dropped = Named { dropped: vec![database.clone()], ..Named::default() };
        let all = [database.clone(), name("l"), name("n"), name("t"), name("x")];
        assert_eq!(parking.follow(&dropped, &place(180)), all);
        assert!(parking.keeps(&name("z"), &place(190)));
        assert_eq!(parking.follow(&made, &place(200)), [database]);
        assert!(!parking.keeps(&TableName::new("other", "t"), &place(200)));
        assert!(!parking.keeps(&TableName::new("", ""), &place(200)));
    }
}
