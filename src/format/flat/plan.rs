//! What is the same in all messages of a table version, made once.

use std::sync::Arc;

use crate::binlog::digits::{put_short, put_signed};
use crate::binlog::{Cell, prefix_length};
use crate::change::{Charset, ColumnType, Table};
use crate::format::escape::put_string;

use super::sql_type::SqlType;
use super::{BinaryForm, EnumForm, FlatSettings, Stamp};

/// A table version, ready to be written.
#[derive(Clone, Debug)]
pub struct FlatPlan {
    pub(super) table: Arc<Table>,
    pub(super) settings: FlatSettings,
    /// By index of the table's columns.
    pub(super) columns: Vec<PlannedColumn>,
    /// `,"database":"db","es":`
    pub(super) database: Vec<u8>,
    /// The object of `mysqlType` with all columns that are included.
    pub(super) mysql_types: Vec<u8>,
    pub(super) sql_types: SqlTypes,
    /// `,"pkNames":["id"],"sql":"","sqlType":`
    pub(super) key: Vec<u8>,
    /// `,"table":"t","ts":`
    pub(super) name: Vec<u8>,
    /// No tail of a message is longer, save for its GTID set.
    longest_tail: usize,
}

/// The object of `sqlType` with all columns that are included, in pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct SqlTypes {
    /// The columns whose number depends on their values, each with what is before it.
    pub(super) varying: Vec<(usize, Vec<u8>)>,
    /// What is behind the last of them.
    pub(super) rest: Vec<u8>,
}

/// What a tail has at most beside the names, types and texts of its table: numbers of 20 digits,
/// and the names of members.
const OTHER_TAIL: usize = 192;

impl SqlTypes {
    /// No object of them is longer.
    fn longest(&self) -> usize {
        /// Digits of a number, and its sign.
        const NUMBER: usize = 6;
        let pieces = self.varying.iter().map(|(_, piece)| piece.len() + NUMBER);
        pieces.sum::<usize>() + self.rest.len()
    }

    fn new(columns: &[PlannedColumn]) -> Self {
        let (mut varying, mut piece) = (Vec::new(), b"{".to_vec());
        for (index, column) in columns.iter().enumerate().filter(|(_, column)| column.is_included) {
            let is_first = varying.is_empty() && piece.len() == 1;
            piece.extend_from_slice(&column.member.bare()[usize::from(is_first)..]);
            if column.sql_type.depends_on_value() {
                varying.push((index, std::mem::take(&mut piece)));
            } else {
                put_signed(&mut piece, i64::from(column.sql_type.of(Cell::Null)));
            }
        }
        piece.push(b'}');
        Self { varying, rest: piece }
    }
}

/// A column, ready to be written.
#[derive(Clone, Debug)]
pub(super) struct PlannedColumn {
    /// Whether it is published.
    pub(super) is_included: bool,
    /// The first of an object has its comma replaced.
    pub(super) member: Member,
    /// The text of its type, as a JSON string.
    pub(super) mysql_type: Vec<u8>,
    pub(super) sql_type: SqlType,
    pub(super) kind: ColumnType,
    pub(super) content: Content,
}

/// What a value's text may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Digits, signs, letters: nothing that JSON has to escape.
    Plain,
    /// Characters of this set, as they are in the row image.
    Characters(Charset),
    /// Bytes, each of which is the character of the same number.
    CodePoints,
    /// A JSON document.
    Json,
    /// Anything, once it has been written.
    Free,
}

impl Content {
    fn of(kind: ColumnType, settings: &FlatSettings) -> Self {
        match kind {
            ColumnType::Char { charset, .. }
            | ColumnType::VarChar { charset, .. }
            | ColumnType::Text { charset, .. } => Self::Characters(charset),
            ColumnType::CompressedVarChar { .. } | ColumnType::CompressedText { .. } => Self::Free,
            ColumnType::Json { .. } => Self::Json,
            ColumnType::Binary { .. }
            | ColumnType::VarBinary { .. }
            | ColumnType::Blob { .. }
            | ColumnType::Geometry { .. } => match settings.binary {
                BinaryForm::Latin1 => Self::CodePoints,
                BinaryForm::Base64 | BinaryForm::Hex => Self::Plain,
            },
            ColumnType::Enum { .. } | ColumnType::Set { .. } => match settings.labels {
                EnumForm::Index => Self::Plain,
                EnumForm::Label => Self::Free,
            },
            ColumnType::Tiny { .. }
            | ColumnType::Short { .. }
            | ColumnType::Int24 { .. }
            | ColumnType::Long { .. }
            | ColumnType::LongLong { .. }
            | ColumnType::Float
            | ColumnType::Double
            | ColumnType::Decimal { .. }
            | ColumnType::Bit { .. }
            | ColumnType::Year
            | ColumnType::Date
            | ColumnType::OldTime
            | ColumnType::Time { .. }
            | ColumnType::OldDateTime
            | ColumnType::DateTime { .. }
            | ColumnType::OldTimestamp
            | ColumnType::HiresTime { .. }
            | ColumnType::HiresDateTime { .. }
            | ColumnType::HiresTimestamp { .. }
            | ColumnType::Timestamp { .. }
            | ColumnType::Vector { .. }
            | ColumnType::Plugin(_) => Self::Plain,
        }
    }
}

/// Bytes of most names with what is around them.
const SHORT_MEMBER: usize = 32;

/// The name of a member of an object, ready to be appended: `,"name":"`, with the quote that
/// begins a value.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Padded, so that a short one is copied without a call.
    bytes: Vec<u8>,
    length: usize,
}

impl Member {
    fn new(name: &str) -> Self {
        let mut bytes = [&b","[..], &string(name), b":\""].concat();
        let length = bytes.len();
        bytes.resize(length.max(SHORT_MEMBER), 0);
        Self { bytes, length }
    }

    /// Appends it with the quote of a value.
    #[inline]
    pub(super) fn put_quoted(&self, out: &mut Vec<u8>) {
        match self.bytes.first_chunk::<SHORT_MEMBER>() {
            Some(bytes) if self.length <= SHORT_MEMBER => put_short(out, bytes, self.length),
            _ => out.extend_from_slice(&self.bytes),
        }
    }

    /// `,"name":`
    #[inline]
    pub(super) fn bare(&self) -> &[u8] {
        &self.bytes[..self.length - 1]
    }
}

impl PlannedColumn {
    /// Bytes that a value of the column has for certain when it is written. Short ones count for
    /// nothing.
    pub(super) fn least_length(&self, cell: Cell<'_>) -> usize {
        const SHORT: usize = 1 << 10;
        let Cell::Raw(raw) = cell else { return 0 };
        if raw.len() < SHORT {
            return 0;
        }
        let bytes = raw.len() - prefix_length(self.kind);
        match (self.content, self.kind) {
            // UTF-32 has four bytes for a letter of one; numbers of JSON documents, and what is
            // compressed badly, may be longer than their texts too.
            (Content::Characters(charset), _) => match charset {
                Charset::Utf8Mb3 | Charset::Utf8Mb4 | Charset::Ascii | Charset::Latin1 => bytes,
                _ => bytes / 4,
            },
            (
                _,
                ColumnType::Json { .. }
                | ColumnType::CompressedText { .. }
                | ColumnType::CompressedVarChar { .. },
            ) => bytes / 4,
            (Content::Plain | Content::Free | Content::CodePoints | Content::Json, _) => bytes,
        }
    }
}

impl FlatPlan {
    /// Prepares `table`, of which the `included` columns are published (indexes, ascending).
    pub fn new(table: Arc<Table>, included: &[usize], settings: &FlatSettings) -> Self {
        let columns: Vec<PlannedColumn> = table
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| PlannedColumn {
                is_included: included.contains(&index),
                member: Member::new(&column.name),
                mysql_type: string(&column.mysql_type),
                sql_type: SqlType::new(column.kind, settings),
                kind: column.kind,
                content: Content::of(column.kind, settings),
            })
            .collect();
        let visible = || columns.iter().filter(|column| column.is_included);
        let key = table.primary_key.iter().filter(|index| included.contains(index));
        let key = key.filter_map(|index| table.columns.get(*index));
        let key: Vec<Vec<u8>> = key.map(|column| string(&column.name)).collect();
        let key = if key.is_empty() { b"null".to_vec() } else { list(&key) };
        let mut mysql_types = Vec::new();
        put_mysql_types(&mut mysql_types, visible());
        let sql_types = SqlTypes::new(&columns);
        let database = [&b",\"database\":"[..], &string(&table.name.schema), b",\"es\":"].concat();
        let key = [&b",\"pkNames\":"[..], &key, b",\"sql\":\"\",\"sqlType\":"].concat();
        let name = [&b",\"table\":"[..], &string(&table.name.table), b",\"ts\":"].concat();
        let pieces = [&database, &mysql_types, &key, &name].map(Vec::len).iter().sum::<usize>();
        Self {
            longest_tail: OTHER_TAIL + pieces + sql_types.longest(),
            sql_types,
            database,
            mysql_types,
            key,
            name,
            columns,
            settings: settings.clone(),
            table,
        }
    }

    /// No message has more behind its rows and their `old` objects.
    pub(super) fn longest_tail(&self, stamp: &Stamp<'_>) -> usize {
        /// Bytes of an escaped character.
        const ESCAPED: usize = 6;
        self.longest_tail + ESCAPED * stamp.gtid.len()
    }
}

/// Appends the object of `mysqlType`.
pub(super) fn put_mysql_types<'a>(
    out: &mut Vec<u8>,
    columns: impl Iterator<Item = &'a PlannedColumn>,
) {
    put_object(out, columns, |out, column| {
        out.extend_from_slice(column.member.bare());
        out.extend_from_slice(&column.mysql_type);
    });
}

/// Appends the object of `sqlType`.
pub(super) fn put_sql_types<'a>(
    out: &mut Vec<u8>,
    columns: impl Iterator<Item = (&'a PlannedColumn, i16)>,
) {
    put_object(out, columns, |out, (column, number)| {
        out.extend_from_slice(column.member.bare());
        put_signed(out, i64::from(number));
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

/// Makes an object of the members that are in `out` from `start` on, each with a comma
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
