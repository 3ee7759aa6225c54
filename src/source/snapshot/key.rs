//! The key that a table is read by, chunk by chunk.
//!
//! In: what the server says of a table's indexes. Out: the one to go by, and the conditions of a
//! chunk. A composite key is compared in expanded form, `a >= ? AND (a > ? OR (a = ? AND b > ?))`:
//! for the row comparison `(a, b) > (?, ?)` the servers read the whole index. All comparing is the
//! server's, in the collation of the column.
//!
//! Always: a key identifies a row: it is unique, and none of its columns may be NULL or counts by a
//! part of it only.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::copies::KeyColumn;
use super::literal::Literal;
use crate::binlog::{self, Cell, CellSpans};
use crate::change::{Column, ColumnType, Table};
use crate::mysql::{self, Session, identifier};

/// See the head of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The name of the index.
    pub(super) index: String,
    /// Its columns, in its order.
    pub(super) columns: Vec<usize>,
    /// What each is compared by, where it is a text.
    pub(super) collations: Vec<Option<String>>,
}

/// An index, as far as it may be the key.
#[derive(Default)]
struct Candidate {
    columns: Vec<(u64, usize)>,
    is_unfit: bool,
}

impl Key {
    /// The key of a table: its primary key, else the shortest unique one; none if it has none.
    pub(super) async fn find(
        session: &mut Session,
        table: &Table,
    ) -> Result<Option<Self>, mysql::Error> {
        let name = &table.name;
        let ask =
            format!("SHOW KEYS FROM {}.{}", identifier(&name.schema), identifier(&name.table));
        let mut candidates = BTreeMap::<String, Candidate>::new();
        for row in session.query(&ask).await? {
            let Some(index) = row.text("Key_name") else { continue };
            let candidate = candidates.entry(index.to_owned()).or_default();
            let is = |column: &str, wanted: &str| {
                row.text(column).is_none_or(|text| text.eq_ignore_ascii_case(wanted))
            };
            let column = row.text("Column_name").and_then(|column| position(table, column));
            let is_fit = row.number("Non_unique") == Some(0)
                && row.bytes("Sub_part").is_none()
                && !row.text("Null").is_some_and(|text| text.eq_ignore_ascii_case("yes"))
                && is("Index_type", "BTREE")
                && is("Visible", "YES")
                && is("Ignored", "NO");
            match column {
                Some(column) if is_fit && is_usable(table.columns[column].kind) => {
                    let place = row.number("Seq_in_index").unwrap_or_default();
                    candidate.columns.push((place, column));
                }
                Some(_) | None => candidate.is_unfit = true,
            }
        }
        let ask = format!(
            "SHOW FULL COLUMNS FROM {}.{}",
            identifier(&name.schema),
            identifier(&name.table)
        );
        let mut collations = vec![None; table.columns.len()];
        for row in session.query(&ask).await? {
            if let Some(column) = row.text("Field").and_then(|column| position(table, column)) {
                collations[column] = row.text("Collation").map(str::to_owned);
            }
        }
        let fit = candidates.into_iter().filter(|(_, candidate)| !candidate.is_unfit);
        let keys = fit.map(|(index, mut candidate)| {
            candidate.columns.sort_unstable();
            let columns: Vec<_> = candidate.columns.iter().map(|(_, column)| *column).collect();
            let collations = columns.iter().map(|column| collations[*column].clone()).collect();
            Self { index, columns, collations }
        });
        Ok(keys.min_by_key(|key| (key.index != "PRIMARY", key.columns.len(), key.index.clone())))
    }

    /// What is stored of it.
    pub(super) fn stored(&self, table: &Table) -> Vec<KeyColumn> {
        let columns = self.of(table).zip(&self.collations);
        let stored = columns.map(|(Column { name, mysql_type, .. }, collation)| KeyColumn {
            name: name.clone(),
            mysql_type: mysql_type.clone(),
            collation: collation.clone(),
        });
        stored.collect()
    }

    fn of<'t>(&'t self, table: &'t Table) -> impl Iterator<Item = &'t Column> {
        self.columns.iter().map(|column| &table.columns[*column])
    }

    /// Its columns, to be selected behind those of the row. Of ENUM and SET, the number: that is
    /// what their order goes by.
    pub(super) fn select_list(&self, table: &Table) -> String {
        let columns = self.of(table).map(|column| {
            let name = identifier(&column.name);
            if is_numbered(column.kind) { format!("{name}+0") } else { name }
        });
        columns.collect::<Vec<_>>().join(", ")
    }

    /// What rows are ordered by.
    pub(super) fn order(&self, table: &Table, descending: bool) -> String {
        let direction = if descending { " DESC" } else { "" };
        let columns = self.of(table).map(|column| identifier(&column.name) + direction);
        columns.collect::<Vec<_>>().join(", ")
    }

    /// Its values of a row that was selected with [`Key::select_list`] from the value at `first` on.
    pub(super) fn literals(
        &self,
        table: &Table,
        row: &mysql::Row,
        first: usize,
    ) -> Option<Vec<Literal>> {
        let values = self.of(table).zip(first..);
        values.map(|(column, at)| Literal::of(column, row.value_at(at)?)).collect()
    }

    /// The rows behind `after`, and up to `upto` with it.
    pub(super) fn condition(
        &self,
        table: &Table,
        after: Option<&[Literal]>,
        upto: Option<&[Literal]>,
    ) -> String {
        let names: Vec<String> = self.of(table).map(|column| identifier(&column.name)).collect();
        let after = after.map(|values| compared(&names, values, '>', false));
        let upto = upto.map(|values| compared(&names, values, '<', true));
        let both: Vec<String> = after.into_iter().chain(upto).collect();
        if both.is_empty() { "TRUE".to_owned() } else { both.join(" AND ") }
    }

    /// Appends the key of a row of an image, as bytes: those of two rows are equal only if the bytes
    /// are. False if the image lacks a column of it.
    pub(super) fn put(
        columns: &[usize],
        spans: &CellSpans,
        images: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        for column in columns {
            match spans.cell(images, *column) {
                Cell::Raw(raw) => {
                    out.extend_from_slice(&(raw.len() as u64).to_le_bytes());
                    out.extend_from_slice(raw);
                }
                Cell::Null | Cell::Absent => return false,
            }
        }
        true
    }
}

/// `a >= 1 AND (a > 1 OR (a = 1 AND (b > 2)))`
fn compared(names: &[String], values: &[Literal], sign: char, or_equal: bool) -> String {
    let mut text = String::new();
    let last = names.len().saturating_sub(1);
    let mut open = 0;
    for (place, (name, value)) in names.iter().zip(values).enumerate() {
        // Writing to a string cannot fail.
        if place == last {
            let equal = if or_equal { "=" } else { "" };
            let _ = write!(text, "{name} {sign}{equal} {value}");
        } else {
            let _ = write!(
                text,
                "{name} {sign}= {value} AND ({name} {sign} {value} OR ({name} = {value} AND "
            );
            open += 2;
        }
    }
    text.extend(std::iter::repeat_n(')', open));
    format!("({text})")
}

fn position(table: &Table, name: &str) -> Option<usize> {
    let same = |column: &Column| column.name.to_lowercase() == name.to_lowercase();
    table.columns.iter().position(same)
}

fn is_numbered(kind: ColumnType) -> bool {
    matches!(kind, ColumnType::Enum { .. } | ColumnType::Set { .. })
}

/// Whether rows can be in the order of the type, and its values be written as SQL has them.
fn is_usable(kind: ColumnType) -> bool {
    use ColumnType as T;
    match kind {
        T::Tiny { .. }
        | T::Short { .. }
        | T::Int24 { .. }
        | T::Long { .. }
        | T::LongLong { .. }
        | T::Float
        | T::Double
        | T::Decimal { .. }
        | T::Bit { .. }
        | T::Year
        | T::Date
        | T::OldTime
        | T::Time { .. }
        | T::OldDateTime
        | T::DateTime { .. }
        | T::OldTimestamp
        | T::HiresTime { .. }
        | T::HiresDateTime { .. }
        | T::HiresTimestamp { .. }
        | T::Timestamp { .. }
        | T::Char { .. }
        | T::Binary { .. }
        | T::VarChar { .. }
        | T::VarBinary { .. }
        | T::Enum { .. }
        | T::Plugin(_) => true,
        // A server compares it with a number as a DOUBLE, which tells no 64 bits apart.
        T::Set { bytes } => bytes < 8,
        // MariaDB allows no key over the first two; the others count by a part of them at most.
        T::CompressedVarChar { .. }
        | T::CompressedText { .. }
        | T::Text { .. }
        | T::Blob { .. }
        | T::Json { .. }
        | T::Geometry { .. }
        | T::Vector { .. } => false,
    }
}

/// The cells of an image were not found: it is not as its table says.
pub(super) fn odd(error: &binlog::Error) -> String {
    format!("a row image cannot be walked: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{TableName, TableVersion};

    #[test]
    fn a_chunk_of_a_composite_key_is_asked_for_in_expanded_form() {
        let column = |name: &str| Column {
            name: name.to_owned(),
            mysql_type: "int".to_owned(),
            kind: ColumnType::Long { unsigned: false },
            labels: Vec::new(),
        };
        let table = Table {
            version: TableVersion(1),
            name: TableName::new("db", "t"),
            columns: vec![column("x"), column("b"), column("a`")],
            primary_key: vec![1, 2],
            hidden: 0,
        };
        let (index, columns) = ("PRIMARY".to_owned(), vec![2, 1]);
        let key = Key { index, columns, collations: vec![None, None] };
        let values = |numbers: [i64; 2]| numbers.map(Literal::number).to_vec();
        let (after, upto) = (values([1, 2]), values([5, 6]));
        assert_eq!(
            key.condition(&table, Some(&after), Some(&upto)),
            "(`a``` >= 1 AND (`a``` > 1 OR (`a``` = 1 AND `b` > 2))) AND \
             (`a``` <= 5 AND (`a``` < 5 OR (`a``` = 5 AND `b` <= 6)))"
        );
        assert_eq!(key.condition(&table, None, None), "TRUE");
        assert_eq!(key.order(&table, false), "`a```, `b`");
        assert_eq!(key.order(&table, true), "`a``` DESC, `b` DESC");
        assert_eq!(key.select_list(&table), "`a```, `b`");
    }
}
