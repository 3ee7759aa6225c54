//! Rows events: which rows of a table were inserted, updated or deleted.
//!
//! Post-header: table id u48 (u32 in the first releases of 5.1), flags u16; version 2 has extra
//! data, whose u16 length counts itself. Body: count of columns (length-encoded), a bit for each
//! that is in the images (of an UPDATE twice: before and after), then the images. In MariaDB's
//! compressed types the images are one compressed block.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use bytes::Bytes;

use super::cursor::Cursor;
use super::{Error, EventType, FormatDescription, TableMapId, compressed};
use crate::change::{ColumnSet, RowsKind};

/// The largest images that compressed ones inflate to: the largest event of a server.
const LARGEST_IMAGES: u64 = 1 << 30;

/// A rows event. Its images share the bytes of the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsEvent {
    /// Its table map, read before.
    pub table: TableMapId,
    /// See [`Self::ends_statement`].
    pub flags: u16,
    /// What happened.
    pub kind: RowsKind,
    /// How many columns the table has.
    pub column_count: usize,
    /// Columns in the first image of a row.
    pub columns: ColumnSet,
    /// Columns in the second one of an UPDATE.
    pub after_columns: Option<ColumnSet>,
    /// The images, back to back.
    pub images: Bytes,
    /// Whether after images may hold partial JSON; then they are not to be walked before
    /// [`super::json::expand_partial`] made them whole.
    pub partial_json: bool,
}

impl RowsEvent {
    /// Reads the body of any rows event.
    pub fn parse(
        format: &FormatDescription,
        event_type: EventType,
        body: &Bytes,
    ) -> Result<Self, Error> {
        let mut cursor = Cursor::new("a rows event", body);
        let (kind, shape) = kind_and_shape(event_type)
            .ok_or_else(|| cursor.impossible(u64::from(event_type.code())))?;
        let table = TableMapId(cursor.uint(format.table_id_length(event_type))?);
        let flags = cursor.u16()?;
        if shape.extra_data {
            let length = cursor.u16()?;
            let length = length.checked_sub(2).ok_or_else(|| cursor.impossible(2))?;
            cursor.take(usize::from(length))?;
        }
        let column_count = cursor.lenenc()?;
        let set_bytes = column_count.div_ceil(8);
        let columns = ColumnSet(body.slice_ref(cursor.take_long(set_bytes)?));
        let after_columns = match kind {
            RowsKind::Update => Some(ColumnSet(body.slice_ref(cursor.take_long(set_bytes)?))),
            RowsKind::Insert | RowsKind::Delete => None,
        };
        let images = if shape.compressed {
            let mut images = Vec::new();
            compressed::inflate_event(cursor.rest(), LARGEST_IMAGES, &mut images)?;
            Bytes::from(images)
        } else {
            body.slice_ref(cursor.rest())
        };
        let column_count = usize::try_from(column_count).unwrap_or(usize::MAX);
        let partial_json = shape.partial_json;
        Ok(Self { table, flags, kind, column_count, columns, after_columns, images, partial_json })
    }

    /// Whether the table maps before it are void after it.
    pub fn ends_statement(&self) -> bool {
        self.flags & 1 == 1
    }

    /// Whether it only ends a statement, and names no table.
    pub fn is_dummy(&self) -> bool {
        self.table == TableMapId::DUMMY
    }
}

#[derive(Clone, Copy)]
struct Shape {
    extra_data: bool,
    compressed: bool,
    partial_json: bool,
}

fn kind_and_shape(event_type: EventType) -> Option<(RowsKind, Shape)> {
    use EventType as T;
    let kind = match event_type {
        T::WriteRowsV1 | T::WriteRows | T::WriteRowsCompressedV1 | T::WriteRowsCompressed => {
            RowsKind::Insert
        }
        T::UpdateRowsV1
        | T::UpdateRows
        | T::PartialUpdateRows
        | T::UpdateRowsCompressedV1
        | T::UpdateRowsCompressed => RowsKind::Update,
        T::DeleteRowsV1 | T::DeleteRows | T::DeleteRowsCompressedV1 | T::DeleteRowsCompressed => {
            RowsKind::Delete
        }
        _ => return None,
    };
    let shape = Shape {
        extra_data: matches!(event_type.code(), 30..=32 | 39 | 169..=171),
        compressed: matches!(event_type.code(), 166..=171),
        partial_json: event_type == T::PartialUpdateRows,
    };
    Some((kind, shape))
}
