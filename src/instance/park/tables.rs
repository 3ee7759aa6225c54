//! The parked tables of an instance as the loop counts what is kept of them.
//!
//! In: what was parked when the sink was opened, the tables that are to be parked now, each
//! letter. Out: a state record for each table that changed, with the commit that makes it so.
//!
//! Format: topic [`StateTopic::Parked`], key `["db","table"]`, value a [`ParkedTable`] as JSON
//! with `"version":1`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::change::{EventPlace, HeldLetters, ParkedTable, StateRecord, StateTopic, TableName};

const VERSION: u32 = 1;

/// So many names one record has at most: it is written whole with each commit that changes it.
pub(crate) const MOST_NAMES: usize = 1000;

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    #[serde(flatten)]
    table: ParkedTable,
}

/// Why a table is to be parked, and from where on.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    /// The event that cannot be published.
    pub(crate) place: EventPlace,
    /// Why not.
    pub(crate) reason: String,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct ParkedTables {
    tables: BTreeMap<TableName, ParkedTable>,
    causes: BTreeMap<TableName, Cause>,
    /// Where the next letter goes at the earliest.
    end: i64,
    /// What the tables that the transaction at hand changed were before it.
    before: BTreeMap<TableName, Option<ParkedTable>>,
    /// Those that a branch at hand has changes of, and how many.
    of_branch: BTreeMap<TableName, HeldLetters>,
    /// Those whose records are not handed over yet.
    changed: BTreeSet<TableName>,
}

impl ParkedTables {
    /// Those that are parked, and those that are to be from now on. `end` is the end of the topic
    /// of letters.
    pub(crate) fn new(
        tables: Vec<ParkedTable>,
        causes: BTreeMap<TableName, Cause>,
        end: i64,
    ) -> Self {
        let tables = tables.into_iter().map(|table| (table.name(), table)).collect();
        Self { tables, causes, end, ..Self::default() }
    }

    /// Whether nothing is parked, and nothing is to be.
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.causes.is_empty()
    }

    /// Why the table is parked.
    pub(crate) fn reason(&self, table: &TableName) -> &str {
        let table = &self.root_of(table);
        let parked = self.tables.get(table).map(|parked| &*parked.reason);
        parked.or_else(|| self.causes.get(table).map(|cause| &*cause.reason)).unwrap_or_default()
    }

    /// The name of the parked table that changes under this one are kept with: its own, unless it
    /// came by a statement, or its database is parked.
    fn root_of(&self, name: &TableName) -> TableName {
        let with = || self.tables.values().find(|table| table.from_of(name).is_some());
        let to_be = || self.causes.keys().find(|cause| cause.covers(name));
        if self.tables.contains_key(name) {
            return name.clone();
        }
        with().map(ParkedTable::name).or_else(|| to_be().cloned()).unwrap_or_else(|| name.clone())
    }

    /// Parks tables together from the statement at `place` on: what is kept of them comes back in
    /// one order. The parked one, if that has too many names now: the transaction at hand cannot be
    /// kept.
    pub(crate) fn join(&mut self, names: &[TableName], place: &EventPlace) -> Option<TableName> {
        let is_parked =
            |root: &TableName| self.tables.contains_key(root) || self.causes.contains_key(root);
        let roots: BTreeSet<TableName> =
            names.iter().map(|name| self.root_of(name)).filter(is_parked).collect();
        let first = roots.first()?;
        let mut all = self.take_out(first, place);
        let before = all.names.len();
        for other in roots.iter().skip(1) {
            let other = self.take_out(other, place);
            all.take_in(other);
        }
        for name in names {
            let is_new = match &*name.table {
                "" => !all.all_names().any(|one| one == *name),
                _ => all.from_of(name).is_none(),
            };
            if is_new {
                all.add_name(name, self.end);
            }
        }
        let are_too_many = all.names.len() > MOST_NAMES.max(before);
        self.tables.insert(first.clone(), all);
        are_too_many.then(|| first.clone())
    }

    /// A database is parked for a cause of its own: what of it is parked already comes back with
    /// it, in one order. Else changes of such a table would be of both, and be published twice.
    fn take_in_tables_of(&mut self, database: &TableName, place: &EventPlace) {
        let is_of_it = |table: &&ParkedTable| table.all_names().any(|name| database.covers(&name));
        let tables = self.tables.values().filter(is_of_it).map(ParkedTable::name);
        let names: Vec<_> = std::iter::once(database.clone()).chain(tables).collect();
        if names.len() > 1 {
            // However many: no name is new.
            self.join(&names, place);
        }
    }

    /// Takes a table out to change it; one that is to be parked and has no letter yet is made.
    fn take_out(&mut self, root: &TableName, place: &EventPlace) -> ParkedTable {
        let now = self.tables.remove(root);
        self.before.entry(root.clone()).or_insert_with(|| now.clone());
        now.unwrap_or_else(|| {
            let cause = self.causes.get(root);
            let (place, time) = (cause.map_or(place, |cause| &cause.place), place.time);
            ParkedTable {
                schema: root.schema.to_string(),
                table: root.table.to_string(),
                reason: cause.map_or_else(String::new, |cause| cause.reason.clone()),
                file: place.file.to_string(),
                offset: place.offset,
                time,
                from: self.end,
                ..ParkedTable::default()
            }
        })
    }

    /// Counts a letter of `bytes` bytes.
    pub(crate) fn keep(&mut self, table: &TableName, place: &EventPlace, bytes: u64, held: bool) {
        let table = &self.root_of(table);
        if table.table.is_empty() && !self.tables.contains_key(table) {
            self.take_in_tables_of(table, place);
        }
        let mut next = self.take_out(table, place);
        next.events += 1;
        next.bytes += bytes;
        self.tables.insert(table.clone(), next);
        if held {
            let of_branch = self.of_branch.entry(table.clone()).or_default();
            of_branch.events += 1;
            of_branch.bytes += bytes;
        }
    }

    /// The transaction at hand is whole.
    pub(crate) fn end_transaction(&mut self) {
        self.changed.extend(std::mem::take(&mut self.before).into_keys());
    }

    /// It never was.
    pub(crate) fn roll_back(&mut self) {
        for (name, before) in std::mem::take(&mut self.before) {
            match before {
                Some(before) => drop(self.tables.insert(name, before)),
                None => drop(self.tables.remove(&name)),
            }
        }
        self.of_branch.clear();
    }

    /// The branch at hand is prepared.
    pub(crate) fn end_branch(&mut self, xid: &str) {
        // One of the same xid that the server lost in a crash.
        self.forget_branch(xid, false);
        for (name, held) in std::mem::take(&mut self.of_branch) {
            if let Some(table) = self.tables.get_mut(&name) {
                table.branches.push(xid.to_owned());
                table.held.insert(xid.to_owned(), held);
            }
        }
        self.end_transaction();
    }

    /// A prepared branch has ended.
    pub(crate) fn forget_branch(&mut self, xid: &str, committed: bool) {
        for (name, table) in &mut self.tables {
            if table.end_branch(xid, committed) {
                self.changed.insert(name.clone());
            }
        }
    }

    /// The records of what changed since this was asked last.
    pub(crate) fn take_records(&mut self) -> Vec<StateRecord> {
        let changed = std::mem::take(&mut self.changed);
        changed.iter().map(|name| record(name, self.tables.get(name))).collect()
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<ParkedTable> {
        self.tables.values().cloned().collect()
    }
}

/// The record of a table, or that it is parked no more.
pub(crate) fn record(name: &TableName, table: Option<&ParkedTable>) -> StateRecord {
    let key = serde_json::json!([&*name.schema, &*name.table]).to_string();
    let value = table.map(|table| {
        let record = Record { version: VERSION, table: table.clone() };
        // Of strings and numbers.
        Bytes::from(serde_json::to_vec(&record).unwrap_or_default())
    });
    StateRecord { topic: StateTopic::Parked, key: Bytes::from(key), value }
}

/// Reads the record of a table; none for one that is deleted.
pub(crate) fn read(record: &StateRecord) -> Result<Option<ParkedTable>, String> {
    let Some(value) = &record.value else { return Ok(None) };
    let odd = |why: String| format!("the record of a parked table cannot be read: {why}");
    let record: Record = serde_json::from_slice(value).map_err(|error| odd(error.to_string()))?;
    match record.version {
        VERSION => Ok(Some(record.table)),
        other => Err(odd(format!("its version is {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_never_was_leaves_the_tables_as_they_were() {
        let (a, b) = (TableName::new("db", "a"), TableName::new("db", "b"));
        let place = |offset| EventPlace { file: "b.1".into(), offset, time: 7 };
        let cause = Cause { place: place(90), reason: "too large".to_owned() };
        let causes = [(a.clone(), cause)].into_iter().collect();
        let mut parked = ParkedTables::new(Vec::new(), causes, 12);
        parked.keep(&a, &place(100), 10, false);
        parked.end_transaction();
        let records = parked.take_records();
        let [record] = &records[..] else { panic!("{records:?}") };
        let table = read(record).unwrap().unwrap();
        assert_eq!((table.events, table.bytes, table.offset, table.from), (1, 10, 90, 12));
        assert_eq!((table.name(), &*table.reason), (a.clone(), "too large"));
        parked.keep(&a, &place(200), 10, false);
        parked.keep(&b, &place(300), 10, true);
        parked.roll_back();
        parked.end_branch("x");
        assert_eq!(parked.all(), [table]);
        assert!(parked.take_records().is_empty());
        parked.keep(&a, &place(400), 5, true);
        parked.end_branch("x");
        assert_eq!(parked.all()[0].branches, ["x"]);
        parked.take_records();
        parked.forget_branch("x", true);
        assert_eq!(parked.all()[0].branches.len(), 0);
        let counted = |parked: &ParkedTables| (parked.all()[0].events, parked.all()[0].bytes);
        assert_eq!((counted(&parked), parked.take_records().len()), ((2, 15), 1));
        // Rolled back, and prepared again under the same name.
        for (events, bytes) in [(3, 22), (4, 29)] {
            for _ in 2..events {
                parked.keep(&a, &place(500), 7, true);
            }
            parked.end_branch("y");
            assert_eq!((counted(&parked), parked.all()[0].branches.len()), ((events, bytes), 1));
        }
        parked.forget_branch("y", false);
        assert_eq!((counted(&parked), &*parked.all()[0].branches), ((2, 15), &[][..]));
        assert!(parked.all()[0].held.is_empty());
    }

    #[test]
    fn tables_that_are_parked_together_have_one_record_and_each_name_its_offset() {
        let [a, b, c] = ["a", "b", "c"].map(|table| TableName::new("db", table));
        let place = |offset| EventPlace { file: "b.1".into(), offset, time: 7 };
        let of = |name: &TableName, from| ParkedTable {
            schema: name.schema.to_string(),
            table: name.table.to_string(),
            events: 1,
            from,
            ..ParkedTable::default()
        };
        let before = vec![of(&a, 9), of(&b, 3)];
        let mut parked = ParkedTables::new(before.clone(), BTreeMap::new(), 12);
        parked.join(&[a.clone(), b.clone(), c.clone()], &place(100));
        parked.keep(&c, &place(100), 5, false);
        parked.roll_back();
        assert_eq!(parked.all(), before);
        parked.join(&[b.clone(), a.clone(), c.clone()], &place(100));
        parked.keep(&c, &place(100), 5, false);
        parked.end_transaction();
        let records = parked.take_records();
        let read: Vec<_> = records.iter().map(|record| read(record).unwrap()).collect();
        let [Some(all), None] = &read[..] else { panic!("{read:?}") };
        assert_eq!((all.name(), all.events, all.first_offset()), (a.clone(), 3, 3));
        let offsets = [&a, &b, &c].map(|name| all.from_of(name));
        assert_eq!(offsets, [Some(9), Some(3), Some(12)]);
        let database = TableName::of_database("db");
        parked.join(&[database.clone(), c.clone()], &place(200));
        parked.keep(&TableName::new("db", "any"), &place(300), 5, false);
        let [all] = &parked.all()[..] else { panic!("{parked:?}") };
        assert_eq!((all.events, all.all_names().count()), (4, 4));
        assert_eq!(all.from_of(&TableName::new("db", "any")), Some(12));
        assert_eq!(all.from_of(&TableName::new("other", "c")), None);
    }

    #[test]
    fn a_database_that_is_parked_takes_in_what_of_it_is_parked_already() {
        let [a, b, other] = [("db", "a"), ("db", "b"), ("x", "a")]
            .map(|(schema, table)| TableName::new(schema, table));
        let database = TableName::of_database("db");
        let place = |offset| EventPlace { file: "b.1".into(), offset, time: 7 };
        let cause = |offset| Cause { place: place(offset), reason: "too large".to_owned() };
        let causes = [&a, &other].map(|name| (name.clone(), cause(90))).into();
        let mut parked = ParkedTables::new(Vec::new(), causes, 12);
        parked.keep(&a, &place(90), 1, true);
        parked.end_branch("x");
        parked.keep(&other, &place(95), 1, false);
        parked.end_transaction();
        let causes = [(database.clone(), cause(100))].into();
        let mut parked = ParkedTables::new(parked.all(), causes, 20);
        let before = parked.all();
        parked.keep(&database, &place(100), 1, false);
        parked.roll_back();
        assert_eq!(parked.all(), before);
        parked.keep(&database, &place(100), 1, false);
        for table in [&a, &b, &other] {
            parked.keep(table, &place(110), 1, false);
        }
        parked.end_transaction();
        let deleted = parked.take_records().iter().filter(|one| one.value.is_none()).count();
        let [all, of_other] = &parked.all()[..] else { panic!("{parked:?}") };
        assert_eq!(
            (all.name(), all.events, &*all.branches, deleted),
            (database, 4, &["x".to_owned()][..], 1)
        );
        assert_eq!([&a, &b].map(|name| all.from_of(name)), [Some(12), Some(20)]);
        assert_eq!((of_other.name(), of_other.events), (other, 2));
    }

    #[test]
    fn one_record_does_not_take_in_names_without_bound() {
        let name = |number: usize| TableName::new("db", format!("t{number}"));
        let place = EventPlace { file: "b.1".into(), offset: 4, time: 7 };
        let cause = Cause { place: place.clone(), reason: "too large".to_owned() };
        let causes = [(name(0), cause)].into_iter().collect();
        let mut parked = ParkedTables::new(Vec::new(), causes, 0);
        for number in 1..=MOST_NAMES {
            assert_eq!(parked.join(&[name(number - 1), name(number)], &place), None);
            parked.end_transaction();
        }
        let refused = parked.join(&[name(0), name(MOST_NAMES + 1)], &place);
        assert_eq!(refused, Some(name(0)));
        parked.roll_back();
        assert_eq!(parked.all()[0].names.len(), MOST_NAMES);
        assert_eq!(parked.join(&[name(0), name(7)], &place), None);
    }

    /// What is stored was written by builds before, and read by them where nothing is new.
    #[test]
    fn a_record_without_further_names_is_what_it_was() {
        let name = TableName::new("db", "a");
        let record = record(&name, Some(&ParkedTable { events: 1, ..ParkedTable::default() }));
        let text = String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap();
        assert!(!text.contains("names"), "{text}");
        assert_eq!(read(&record).unwrap().unwrap().names, []);
    }

    #[test]
    fn a_record_of_a_later_version_is_refused() {
        let name = TableName::new("db", "a");
        let mut record = record(&name, Some(&ParkedTable::default()));
        let text = String::from_utf8(record.value.take().unwrap().to_vec()).unwrap();
        record.value = Some(Bytes::from(text.replace("\"version\":1", "\"version\":2")));
        assert!(read(&record).unwrap_err().contains("version is 2"));
    }
}
