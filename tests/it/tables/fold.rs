//! Messages, applied one after the other to what the tables held before.
//!
//! Always: a message that does not agree (a row changed that is not there, another spelling of a
//! type, a key or a number of a type that the server does not have) is a failure that names it.

use std::collections::BTreeSet;

use crate::harness::message::{Members, Message};

use super::snapshot::{Column, Row, Snapshot, Table};
use super::workload::{Images, Published};

/// Applies the message of a statement, which must be the one awaited, behind which the tables
/// are as `after` has them.
pub(super) fn statement(
    tables: &mut Snapshot,
    message: &Message,
    awaited: &Published,
    after: &Snapshot,
) {
    let said = (message.kind.as_str(), message.table.as_str(), message.is_ddl);
    assert_eq!(said, (awaited.kind, awaited.table.as_str(), true), "{message:?}");
    if let Some(sql) = &awaited.sql {
        assert_eq!(&message.sql, sql);
    }
    assert!(
        message.data.is_none() && message.old.is_none() && message.pk_names.is_none(),
        "{message:?}"
    );
    tables.clone_from(after);
    if awaited.creates
        && let Some(new) = tables.get_mut(&awaited.table)
    {
        new.rows.clear();
    }
}

/// Applies a message of rows, as far as it says which.
pub(super) fn rows(tables: &mut Snapshot, message: &Message, images: Images) {
    assert!(!message.is_ddl && message.sql.is_empty(), "{message:?}");
    let table = tables.get_mut(&message.table);
    let table = table.unwrap_or_else(|| panic!("no such table: {message:?}"));
    let data = message.data.as_deref().unwrap();
    assert_head(message, table, data, images);
    if images == Images::Minimal {
        return;
    }
    for (nth, image) in data.iter().enumerate() {
        match message.kind.as_str() {
            "INSERT" => table.rows.push(whole(table, image)),
            "DELETE" => {
                let place = images.find(table, image, &Members(Vec::new()), message);
                table.rows.swap_remove(place);
            }
            "UPDATE" => {
                let old = &message.old.as_ref().unwrap()[nth];
                let place = images.find(table, image, old, message);
                for (column, value) in table.columns.iter().zip(&mut table.rows[place]) {
                    if let Some(new) = image.get(&column.name) {
                        assert!(old.get(&column.name) != Some(new), "{message:?}");
                        value.clone_from(new);
                    }
                }
            }
            other => panic!("{other}: {message:?}"),
        }
    }
}

/// Names, types and key are those of the table.
fn assert_head(message: &Message, table: &Table, data: &[Members<Option<String>>], images: Images) {
    let Some(last) = data.last() else {
        assert_eq!(images, Images::Minimal, "no column of a row: {message:?}");
        return;
    };
    let shown: Vec<&Column> =
        table.columns.iter().filter(|column| last.get(&column.name).is_some()).collect();
    assert!(images != Images::Full || shown.len() == table.columns.len(), "{message:?}");
    let names: Vec<&str> = shown.iter().map(|column| column.name.as_str()).collect();
    for row in data {
        assert_eq!(row.names(), names, "{message:?}");
    }
    let texts: Vec<(String, String)> =
        shown.iter().map(|one| (one.name.clone(), one.type_text.clone())).collect();
    assert_eq!(message.mysql_type.as_ref().unwrap().0, texts, "{message:?}");
    assert_eq!(message.pk_names, table.key, "{message:?}");
    let numbers: Vec<(String, i64)> = shown
        .iter()
        .map(|one| (one.name.clone(), one.sql_type(last.get(&one.name).unwrap().as_deref())))
        .collect();
    assert_eq!(message.sql_type.as_ref().unwrap().0, numbers, "{message:?}");
}

fn whole(table: &Table, image: &Members<Option<String>>) -> Row {
    // Of a blob that was not named, NOBLOB says nothing.
    table.columns.iter().map(|column| image.get(&column.name).cloned().flatten()).collect()
}

impl Images {
    /// Where the row is that had the values of `image` and, where they differ, of `old`.
    fn find(
        self,
        table: &Table,
        image: &Members<Option<String>>,
        old: &Members<Option<String>>,
        message: &Message,
    ) -> usize {
        let is_it = |row: &Row| {
            table.columns.iter().zip(row).all(|(column, value)| {
                match old.get(&column.name).or_else(|| image.get(&column.name)) {
                    // The old value of a blob may not have been sent.
                    Some(before) => before == value || self == Self::NoBlob && column.is_blob(),
                    None => true,
                }
            })
        };
        let place = table.rows.iter().position(is_it);
        place.unwrap_or_else(|| panic!("changes a row that is not there: {message:?}\n{table:#?}"))
    }
}

/// How the tables are not those of `after`.
pub(super) fn differences(tables: &Snapshot, after: &Snapshot) -> Vec<String> {
    let mut different = Vec::new();
    let names: BTreeSet<&String> = tables.keys().chain(after.keys()).collect();
    for name in names {
        let (Some(folded), Some(read)) = (tables.get(name), after.get(name)) else {
            different.push(format!("{name} is not in both"));
            continue;
        };
        assert_eq!((&folded.columns, &folded.key), (&read.columns, &read.key), "{name}");
        let mut missing = read.rows.clone();
        let mut wrong = folded.rows.clone();
        wrong.retain(|row| match missing.iter().position(|other| other == row) {
            Some(place) => {
                missing.swap_remove(place);
                false
            }
            None => true,
        });
        if !(missing.is_empty() && wrong.is_empty()) {
            different.push(format!("{name}: published {wrong:?}, read {missing:?}"));
        }
    }
    different
}
