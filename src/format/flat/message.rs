//! The message of a rows event, written in one pass over its images.

use crate::binlog::digits::put_signed;
use crate::binlog::{self, Cell, CellSpans, Images, count_present};
use crate::change::{ColumnSet, RowsChange, RowsKind};

use super::plan::{PlannedColumn, close_object, put_mysql_types, put_sql_types};
use super::statement::{put_gtid_and_id, put_type};
use super::{Error, FlatPlan, Stamp, StampPlaces};

/// A row of an event with fewer bytes than this is written without asking first whether it can
/// have room at all.
const LARGE_EVENT: usize = 1 << 20;

/// Which rows of an event a message holds.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// All.
    All,
    /// Those with these indexes, ascending.
    Chosen(&'a [usize]),
}

impl Rows<'_> {
    /// Whether `row` belongs to the message; asked for each row of the event in order.
    fn take(&mut self, row: usize) -> bool {
        match self {
            Self::All => true,
            Self::Chosen(rows) => match rows.split_first() {
                Some((first, rest)) if *first == row => {
                    *rows = rest;
                    true
                }
                _ => false,
            },
        }
    }
}

/// The rows of an event that no message holds yet.
#[derive(Clone, Debug)]
pub struct Unwritten<'a> {
    change: &'a RowsChange,
    images: Images<'a>,
    rows: Rows<'a>,
    /// The index of the next row.
    row: usize,
}

impl<'a> Unwritten<'a> {
    /// `rows` of `change`.
    pub fn of(change: &'a RowsChange, rows: Rows<'a>) -> Self {
        Self { change, images: Images::of(change), rows, row: 0 }
    }

    /// Whether all of them are in messages.
    pub fn is_empty(&self) -> bool {
        self.images.is_done() || matches!(self.rows, Rows::Chosen([]))
    }
}

/// What writing needs room for; kept from message to message so that it allocates nothing.
#[derive(Debug, Default)]
pub struct Workspace {
    /// The `old` objects, which come behind all of `data`.
    old: Vec<u8>,
    before: CellSpans,
    after: CellSpans,
    /// By column, where types vary: the number that the last row gave.
    sql_types: Vec<i16>,
    /// A text before it is escaped, or for a partition hash.
    text: Vec<u8>,
}

impl FlatPlan {
    /// Appends a message of the next rows of `left`, which must be of this plan's table
    /// version, and returns how many rows it has, and where its stamp is. It has all of
    /// them, or as many as `room` bytes have room for; what is left then makes messages of its
    /// own, each with the types that its own last row decides. After an error `out` holds a part
    /// of it.
    pub fn write(
        &self,
        left: &mut Unwritten<'_>,
        room: usize,
        stamp: &Stamp<'_>,
        work: &mut Workspace,
        out: &mut Vec<u8>,
    ) -> Result<(usize, StampPlaces), Error> {
        let change = left.change;
        let begin = out.len();
        work.old.clear();
        work.sql_types.clear();
        work.sql_types.resize(self.columns.len(), 0);
        out.extend_from_slice(b"{\"data\":[");
        let start = out.len();
        let certain = room.saturating_sub(self.longest_tail(stamp));
        let is_large = change.images.len() > LARGE_EVENT;
        let (mut taken, mut last) = (0, 0);
        while !left.images.is_done() {
            let before = (out.len(), work.old.len(), left.images.offset(), left.rows);
            if !left.rows.take(left.row) {
                self.skip_row(change.kind, &mut left.images, work)
                    .map_err(|reason| self.unreadable(reason))?;
                left.row += 1;
                continue;
            }
            let mut length = if is_large { self.least_length(left, work)? } else { 0 };
            if length <= room {
                match change.kind {
                    RowsKind::Insert | RowsKind::Delete => {
                        self.put_row(&mut left.images, work, out)
                    }
                    RowsKind::Update => self.put_update(change, &mut left.images, work, out),
                }
                .map_err(|reason| self.unreadable(reason))?;
                length = out.len() - begin + work.old.len();
                if length > certain {
                    length = self.length(change, stamp, work, out, (begin, start));
                }
            }
            if length > room {
                if taken == 0 {
                    return Err(Error::TooLarge { table: self.table.name.clone(), length });
                }
                let (written, old, at, rows) = before;
                out.truncate(written);
                work.old.truncate(old);
                left.images.go_back(at);
                left.rows = rows;
                self.note_types_of(left, last, work)?;
                break;
            }
            (taken, last) = (taken + 1, before.2);
            left.row += 1;
        }
        if out.len() > start {
            out.pop(); // the comma behind the last row
        }
        let end = out.len();
        let mut places = self.put_tail(change, stamp, work, out, begin);
        if out.len() - begin > room && taken > 0 {
            // Rows of other messages made the types longer.
            out.truncate(end);
            self.note_types_of(left, last, work)?;
            places = self.put_tail(change, stamp, work, out, begin);
        }
        Ok((taken, places))
    }

    /// The length of the message that begins at `begin`, with its rows at `start`, if the row
    /// before were its last.
    fn length(
        &self,
        change: &RowsChange,
        stamp: &Stamp<'_>,
        work: &Workspace,
        out: &mut Vec<u8>,
        (begin, start): (usize, usize),
    ) -> usize {
        let end = out.len();
        self.put_tail(change, stamp, work, out, begin);
        let comma = usize::from(end > start);
        let length = out.len() - begin - comma;
        out.truncate(end);
        length
    }

    /// Bytes that the values of the next row need for certain.
    fn least_length(&self, left: &Unwritten<'_>, work: &mut Workspace) -> Result<usize, Error> {
        let Unwritten { change, images, .. } = left;
        let mut images = images.clone();
        let is_update = change.kind == RowsKind::Update;
        let located = if is_update { images.locate(&mut work.before) } else { Ok(true) };
        let mut length = 0;
        let walked = located.and_then(|_| {
            images.visit(|index, _, cell| -> Result<(), binlog::Error> {
                let Some(column) = self.columns.get(index).filter(|column| column.is_included)
                else {
                    return Ok(());
                };
                length += column.least_length(cell);
                if is_update {
                    let before = work.before.cell(&change.images, index);
                    length += if before == cell { 0 } else { column.least_length(before) };
                }
                Ok(())
            })
        });
        walked.map_err(|reason| self.unreadable(reason))?;
        Ok(length)
    }

    /// Notes the types as the row at `at` has them.
    fn note_types_of(
        &self,
        left: &Unwritten<'_>,
        at: usize,
        work: &mut Workspace,
    ) -> Result<(), Error> {
        let mut images = left.images.clone();
        images.go_back(at);
        let noted = self.skip_row(left.change.kind, &mut images, work);
        noted.map_err(|reason| self.unreadable(reason))
    }

    /// Gives `each` the index of a row and the text of a column as the message shows it
    /// (`None` when NULL), for each row and, within it, each of `columns`: what a partition
    /// hash needs. Of an UPDATE it is the text after it, or, where the image has none, the
    /// one before: a MINIMAL image leaves an unchanged key out.
    pub fn visit_texts(
        &self,
        change: &RowsChange,
        columns: &[usize],
        work: &mut Workspace,
        mut each: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<(), Error> {
        let mut images = Images::of(change);
        let mut row = 0;
        while !images.is_done() {
            let walked =
                self.visit_row_texts(change, columns, &mut images, work, |text| each(row, text));
            walked.map_err(|reason| self.unreadable(reason))?;
            row += 1;
        }
        Ok(())
    }

    fn visit_row_texts(
        &self,
        change: &RowsChange,
        columns: &[usize],
        images: &mut Images<'_>,
        work: &mut Workspace,
        mut each: impl FnMut(Option<&[u8]>),
    ) -> Result<(), binlog::Error> {
        images.locate(&mut work.after)?;
        if change.kind == RowsKind::Update {
            std::mem::swap(&mut work.before, &mut work.after);
            images.locate(&mut work.after)?;
        }
        for column in columns {
            let mut cell = work.after.cell(&change.images, *column);
            if cell == Cell::Absent && change.kind == RowsKind::Update {
                cell = work.before.cell(&change.images, *column);
            }
            match (cell, self.columns.get(*column)) {
                (Cell::Raw(raw), Some(planned)) => {
                    work.text.clear();
                    self.put_text(*column, planned.kind, raw, &mut work.text)?;
                    each(Some(&work.text));
                }
                _ => each(None),
            }
        }
        Ok(())
    }

    /// The one image of a row of INSERT or DELETE.
    fn put_row(
        &self,
        images: &mut Images<'_>,
        work: &mut Workspace,
        out: &mut Vec<u8>,
    ) -> Result<(), binlog::Error> {
        let start = out.len();
        images.visit(|index, _, cell| -> Result<(), binlog::Error> {
            let Some(column) = self.columns.get(index).filter(|column| column.is_included) else {
                return Ok(());
            };
            note_type(index, column, cell, &mut work.sql_types);
            self.put_member(index, column, cell, &mut work.text, out)
        })?;
        end_row(out, start);
        Ok(())
    }

    /// Before and after image of a row of UPDATE. `old` gets the values before of the
    /// columns that are in both and print differently: bytes can differ where the text
    /// does not (a JSON document in another layout).
    fn put_update(
        &self,
        change: &RowsChange,
        images: &mut Images<'_>,
        work: &mut Workspace,
        out: &mut Vec<u8>,
    ) -> Result<(), binlog::Error> {
        images.locate(&mut work.before)?;
        let (start, old_start) = (out.len(), work.old.len());
        images.visit(|index, _, cell| -> Result<(), binlog::Error> {
            let Some(column) = self.columns.get(index).filter(|column| column.is_included) else {
                return Ok(());
            };
            note_type(index, column, cell, &mut work.sql_types);
            let member = out.len();
            self.put_member(index, column, cell, &mut work.text, out)?;
            let before = work.before.cell(&change.images, index);
            if before == cell || before == Cell::Absent {
                return Ok(());
            }
            let old_member = work.old.len();
            self.put_member(index, column, before, &mut work.text, &mut work.old)?;
            if work.old.get(old_member..) == out.get(member..) {
                work.old.truncate(old_member);
            }
            Ok(())
        })?;
        end_row(out, start);
        close_object(&mut work.old, old_start);
        work.old.push(b',');
        Ok(())
    }

    /// A row of another message. Its values still count for the types: Canal merges them
    /// over the whole event before it splits it.
    fn skip_row(
        &self,
        kind: RowsKind,
        images: &mut Images<'_>,
        work: &mut Workspace,
    ) -> Result<(), binlog::Error> {
        if kind == RowsKind::Update {
            images.skip()?;
        }
        if self.sql_types.varying.is_empty() {
            return images.skip().map(drop);
        }
        let noted = images.visit(|index, _, cell| -> Result<(), binlog::Error> {
            if let Some(column) = self.columns.get(index) {
                note_type(index, column, cell, &mut work.sql_types);
            }
            Ok(())
        });
        noted.map(drop)
    }

    /// Everything behind the rows.
    fn put_tail(
        &self,
        change: &RowsChange,
        stamp: &Stamp<'_>,
        work: &Workspace,
        out: &mut Vec<u8>,
        begin: usize,
    ) -> StampPlaces {
        let present = change.after_columns.as_ref().unwrap_or(&change.columns);
        let whole = self.is_whole(present);
        let columns = || {
            let all = self.columns.iter().enumerate();
            all.filter(|(index, column)| column.is_included && present.contains(*index))
        };
        out.push(b']');
        out.extend_from_slice(&self.database);
        put_signed(out, stamp.es);
        let (gtid, id) = put_gtid_and_id(out, stamp, begin);
        out.extend_from_slice(b",\"isDdl\":false,\"mysqlType\":");
        if whole {
            out.extend_from_slice(&self.mysql_types);
        } else {
            put_mysql_types(out, columns().map(|(_, column)| column));
        }
        out.extend_from_slice(b",\"old\":");
        match (change.kind, work.old.split_last()) {
            (RowsKind::Insert | RowsKind::Delete, _) => out.extend_from_slice(b"null"),
            (RowsKind::Update, None) => out.extend_from_slice(b"[]"),
            (RowsKind::Update, Some((_comma, objects))) => {
                out.push(b'[');
                out.extend_from_slice(objects);
                out.push(b']');
            }
        }
        out.extend_from_slice(&self.key);
        let noted = |index: usize| work.sql_types.get(index).copied().unwrap_or_default();
        if whole {
            for (index, before) in &self.sql_types.varying {
                out.extend_from_slice(before);
                put_signed(out, i64::from(noted(*index)));
            }
            out.extend_from_slice(&self.sql_types.rest);
        } else {
            let number = |(index, column): (usize, _)| {
                let column: &PlannedColumn = column;
                let varies = column.sql_type.depends_on_value();
                (column, if varies { noted(index) } else { column.sql_type.of(Cell::Null) })
            };
            put_sql_types(out, columns().map(number));
        }
        out.extend_from_slice(&self.name);
        let ts = out.len() - begin;
        put_signed(out, stamp.ts);
        let ts = ts..out.len() - begin;
        put_type(
            out,
            match change.kind {
                RowsKind::Insert => "INSERT",
                RowsKind::Update => "UPDATE",
                RowsKind::Delete => "DELETE",
            },
        );
        StampPlaces { gtid, id, ts }
    }

    /// Whether an image with these columns has all that are shown.
    fn is_whole(&self, present: &ColumnSet) -> bool {
        if count_present(present, self.columns.len()) == self.columns.len() {
            return true;
        }
        self.columns.iter().enumerate().all(|(index, c)| !c.is_included || present.contains(index))
    }

    fn unreadable(&self, reason: binlog::Error) -> Error {
        Error::Unreadable { table: self.table.name.clone(), reason }
    }
}

/// Notes the number of a column's type, where its values decide it.
#[inline]
fn note_type(index: usize, column: &PlannedColumn, cell: Cell<'_>, noted: &mut [i16]) {
    if column.sql_type.depends_on_value()
        && let Some(place) = noted.get_mut(index)
    {
        *place = column.sql_type.of(cell);
    }
}

/// Ends the row whose members are in `out` from `start` on. Canal leaves out a row of
/// which nothing is shown.
fn end_row(out: &mut Vec<u8>, start: usize) {
    if out.len() > start {
        close_object(out, start);
        out.push(b',');
    }
}
