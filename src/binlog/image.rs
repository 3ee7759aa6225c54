//! Walks row images: finds the bytes of each value without decoding it.
//!
//! An image: a bit for each column **present** in it, set when the value is NULL; then the values
//! of the others, back to back. Finding a value needs its length only, so a caller can compare
//! before and after as bytes and decode ([`Value::decode`](super::Value::decode)) what it wants.
//! Nothing is allocated.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::ops::Range;

use super::Error;
use super::value::encoded_length;
use crate::change::{Column, ColumnSet, RowsChange};

/// A value of an image, as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// The column is not in the image.
    Absent,
    /// NULL.
    Null,
    /// The bytes of the value, with the length they begin with where their type has one.
    Raw(&'a [u8]),
}

/// The images of a rows event: of INSERT and DELETE one a row, of UPDATE before and after in turn.
#[derive(Clone, Debug)]
pub struct Images<'a> {
    columns: &'a [Column],
    /// The columns of the next image, and of the one behind it, with how many they are.
    present: (&'a ColumnSet, usize),
    next_present: (&'a ColumnSet, usize),
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Images<'a> {
    /// Those of `change`.
    pub fn of(change: &'a RowsChange) -> Self {
        let after = change.after_columns.as_ref();
        Self::new(&change.table.columns, &change.columns, after, &change.images)
    }

    /// Those in `bytes`, with the columns of `present`, or of `present` and `after_present` in
    /// turn.
    pub fn new(
        columns: &'a [Column],
        present: &'a ColumnSet,
        after_present: Option<&'a ColumnSet>,
        bytes: &'a [u8],
    ) -> Self {
        let counted = |present| (present, count_present(present, columns.len()));
        let present = counted(present);
        Self {
            columns,
            present,
            next_present: after_present.map_or(present, counted),
            bytes,
            at: 0,
        }
    }

    /// How many bytes the images walked so far take.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Goes back to the begin of a row that was walked: `at` is what [`Images::offset`] was there.
    pub fn go_back(&mut self, at: usize) {
        self.at = self.at.min(at);
    }

    /// Whether all were walked.
    pub fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Walks the next image: `each` gets the index, the column, and the value of each column that
    /// is present. False when there is no image left.
    #[inline]
    pub fn visit<E: From<Error>>(
        &mut self,
        mut each: impl FnMut(usize, &'a Column, Cell<'a>) -> Result<(), E>,
    ) -> Result<bool, E> {
        if self.is_done() {
            return Ok(false);
        }
        let (present, count) = self.present;
        std::mem::swap(&mut self.present, &mut self.next_present);
        let has_all = count == self.columns.len();
        let image = self.bytes.get(self.at..).unwrap_or_default();
        let Some((nulls, mut rest)) = image.split_at_checked(count.div_ceil(8)) else {
            return Err(cut(count.div_ceil(8), image.len()).into());
        };
        let mut place = 0;
        for (index, column) in self.columns.iter().enumerate() {
            if !has_all && !present.contains(index) {
                continue;
            }
            let null = nulls.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1);
            place += 1;
            if null {
                each(index, column, Cell::Null)?;
                continue;
            }
            let length = encoded_length(column.kind, rest)?;
            let Some((raw, behind)) = rest.split_at_checked(length) else {
                return Err(cut(length, rest.len()).into());
            };
            rest = behind;
            each(index, column, Cell::Raw(raw))?;
        }
        let length = image.len() - rest.len();
        if length == 0 {
            // A table without columns in the image: nothing would ever be walked.
            return Err(Error::Columns { image: count, table: self.columns.len() }.into());
        }
        self.at += length;
        Ok(true)
    }

    /// Walks the next image without looking at it. False when there is none left.
    pub fn skip(&mut self) -> Result<bool, Error> {
        self.visit(|_, _, _| Ok(()))
    }

    /// Walks the next image and notes where its values are. False when there is none left.
    pub fn locate(&mut self, spans: &mut CellSpans) -> Result<bool, Error> {
        let bytes = self.bytes;
        spans.0.clear();
        spans.0.resize(self.columns.len(), Span::Absent);
        self.visit(|index, _, cell| {
            if let Some(span) = spans.0.get_mut(index) {
                *span = match cell {
                    Cell::Absent => Span::Absent,
                    Cell::Null => Span::Null,
                    Cell::Raw(raw) => {
                        let start = raw.as_ptr().addr() - bytes.as_ptr().addr();
                        Span::At(start..start + raw.len())
                    }
                };
            }
            Ok(())
        })
    }
}

#[derive(Clone, Debug)]
enum Span {
    Absent,
    Null,
    At(Range<usize>),
}

/// Where the values of one image are in the bytes of the images: by column, and reused from
/// row to row and from event to event.
#[derive(Clone, Debug, Default)]
pub struct CellSpans(Vec<Span>);

impl CellSpans {
    /// The value of a column; `images` are the bytes that were walked.
    #[inline]
    pub fn cell<'a>(&self, images: &'a [u8], column: usize) -> Cell<'a> {
        match self.0.get(column) {
            Some(Span::At(range)) => images.get(range.clone()).map_or(Cell::Absent, Cell::Raw),
            Some(Span::Null) => Cell::Null,
            Some(Span::Absent) | None => Cell::Absent,
        }
    }
}

pub(crate) fn count_present(present: &ColumnSet, columns: usize) -> usize {
    let whole = columns / 8;
    let bits = |byte: u8| byte.count_ones() as usize;
    let bytes = present.0.iter().take(whole).map(|byte| bits(*byte)).sum::<usize>();
    let last = present.0.get(whole).map_or(0, |byte| bits(byte & ((1 << (columns % 8)) - 1)));
    bytes + last
}

#[cold]
fn cut(needed: usize, left: usize) -> Error {
    Error::Cut { what: "a row image", needed, left }
}
