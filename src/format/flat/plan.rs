//! What is the same in all messages of a table version, made once.

use std::sync::Arc;

use crate::change::{ColumnType, Table};
use crate::format::escape::put_string;

use super::FlatSettings;
use super::sql_type::SqlType;

/// A table version, ready to be written.
#[derive(Clone, Debug)]
pub struct FlatPlan {
    pub(super) table: Arc<Table>,
    pub(super) settings: FlatSettings,
    /// By index of the table's columns.
    pub(super) columns: Vec<PlannedColumn>,
    /// Whether the number of some column's type depends on its value.
    pub(super) types_vary: bool,
    /// `,"database":"db","es":`
    pub(super) database: Vec<u8>,
    /// The object of `mysqlType` with all columns that are shown.
    pub(super) mysql_types: Vec<u8>,
    /// The object of `sqlType` with all columns that are shown; of no use if types vary.
    pub(super) sql_types: Vec<u8>,
    /// `,"pkNames":["id"],"sql":"","sqlType":`
    pub(super) key: Vec<u8>,
    /// `,"table":"t","ts":`
    pub(super) name: Vec<u8>,
}

/// A column, ready to be written.
#[derive(Clone, Debug)]
pub(super) struct PlannedColumn {
    /// Whether it is published.
    pub(super) shown: bool,
    /// `,"name":`; the first of an object has its comma replaced.
    pub(super) member: Vec<u8>,
    /// The text of its type, as a JSON string.
    pub(super) mysql_type: Vec<u8>,
    pub(super) sql_type: SqlType,
    pub(super) kind: ColumnType,
}

impl FlatPlan {
    /// Prepares `table`, of which the `shown` columns are published (indexes, ascending).
    pub fn new(table: Arc<Table>, shown: &[usize], settings: &FlatSettings) -> Self {
        let columns: Vec<PlannedColumn> = table
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| PlannedColumn {
                shown: shown.contains(&index),
                member: [&b","[..], &string(&column.name), b":"].concat(),
                mysql_type: string(&column.mysql_type),
                sql_type: SqlType::new(column.kind, settings),
                kind: column.kind,
            })
            .collect();
        let visible = || columns.iter().filter(|column| column.shown);
        let key = table.primary_key.iter().filter(|index| shown.contains(index));
        let key = key.filter_map(|index| table.columns.get(*index));
        let key: Vec<Vec<u8>> = key.map(|column| string(&column.name)).collect();
        let key = if key.is_empty() { b"null".to_vec() } else { list(&key) };
        let (mut mysql_types, mut sql_types) = (Vec::new(), Vec::new());
        put_mysql_types(&mut mysql_types, visible());
        put_sql_types(
            &mut sql_types,
            visible().map(|c| (c, c.sql_type.of(crate::binlog::Cell::Null))),
        );
        Self {
            types_vary: visible().any(|column| column.sql_type.depends_on_value()),
            database: [&b",\"database\":"[..], &string(&table.name.schema), b",\"es\":"].concat(),
            mysql_types,
            sql_types,
            key: [&b",\"pkNames\":"[..], &key, b",\"sql\":\"\",\"sqlType\":"].concat(),
            name: [&b",\"table\":"[..], &string(&table.name.table), b",\"ts\":"].concat(),
            columns,
            settings: settings.clone(),
            table,
        }
    }
}

/// Appends the object of `mysqlType`.
pub(super) fn put_mysql_types<'a>(
    out: &mut Vec<u8>,
    columns: impl Iterator<Item = &'a PlannedColumn>,
) {
    put_object(out, columns, |out, column| {
        out.extend_from_slice(&column.member);
        out.extend_from_slice(&column.mysql_type);
    });
}

/// Appends the object of `sqlType`.
pub(super) fn put_sql_types<'a>(
    out: &mut Vec<u8>,
    columns: impl Iterator<Item = (&'a PlannedColumn, i16)>,
) {
    put_object(out, columns, |out, (column, number)| {
        out.extend_from_slice(&column.member);
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    });
}

/// Appends an object; `put` writes each member with a comma before it.
fn put_object<T>(
    out: &mut Vec<u8>,
    members: impl Iterator<Item = T>,
    put: impl Fn(&mut Vec<u8>, T),
) {
    let start = out.len();
    members.for_each(|member| put(out, member));
    close_object(out, start);
}

/// Makes an object of the members that stand in `out` from `start` on, each with a comma
/// before it: the first comma becomes the brace.
pub(super) fn close_object(out: &mut Vec<u8>, start: usize) {
    if let Some(comma) = out.get_mut(start) {
        *comma = b'{';
    } else {
        out.push(b'{');
    }
    out.push(b'}');
}

fn string(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    put_string(&mut out, text);
    out
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [&b"["[..], &items.join(&b','), b"]"].concat()
}
