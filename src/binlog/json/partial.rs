//! Partial JSON updates (`binlog_row_value_options=PARTIAL_JSON`) made whole.
//!
//! In a `PARTIAL_UPDATE_ROWS` event each after image has, before its null bits, a length-encoded
//! number of options; where its bit 0 is set, one bit follows for each JSON column of the table
//! (present or not) that says whether its value is a list of diffs. A diff: operation u8
//! (0 replace, 1 insert, 2 remove), path (length-encoded length, text), and but for remove a
//! value (length-encoded length, binary JSON). They apply in order to the value of the before
//! image (`Json_diff_vector::read_binary`, `sql-common/json_diff.cc`; `unpack_row`,
//! `sql/rpl_record.cc`).

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::cmp::Ordering;

use super::document::Document;
use crate::binlog::cursor::Cursor;
use crate::binlog::image::count_present;
use crate::binlog::value::prefix_length;
use crate::binlog::{Cell, CellSpans, Error, Images, RowsEvent};
use crate::change::{Column, ColumnSet, ColumnType};

const WHAT: &str = "a partial JSON update";

/// The same event with whole documents, as if the option had been off. An event that is of
/// another type comes back as it is.
pub fn expand_partial(event: RowsEvent, columns: &[Column]) -> Result<RowsEvent, Error> {
    let (true, Some(after)) = (event.partial_json, &event.after_columns) else {
        return Ok(event);
    };
    let mut whole = Vec::with_capacity(event.images.len());
    let mut rest: &[u8] = &event.images;
    let mut spans = CellSpans::default();
    while !rest.is_empty() {
        let mut before = Images::new(columns, &event.columns, None, rest);
        before.locate(&mut spans)?;
        let (image, behind) = rest.split_at_checked(before.offset()).unwrap_or_default();
        whole.extend_from_slice(image);
        rest =
            expand_after(columns, after, |column| spans.cell(image, column), behind, &mut whole)?;
    }
    let images = whole.into();
    Ok(RowsEvent { images, partial_json: false, ..event })
}

/// Writes the after image at the front of `bytes` and gives what follows it.
fn expand_after<'a>(
    columns: &[Column],
    present: &ColumnSet,
    before: impl Fn(usize) -> Cell<'a>,
    bytes: &'a [u8],
    out: &mut Vec<u8>,
) -> Result<&'a [u8], Error> {
    let mut cursor = Cursor::new(WHAT, bytes);
    let is_json = |column: &Column| matches!(column.kind, ColumnType::Json { .. });
    let partial = if cursor.lenenc()? & 1 == 1 {
        cursor.take(columns.iter().filter(|column| is_json(column)).count().div_ceil(8))?
    } else {
        &[]
    };
    let image = cursor.rest();
    let null_bytes = count_present(present, columns.len()).div_ceil(8);
    out.extend_from_slice(Cursor::new(WHAT, image).take(null_bytes)?);
    let mut after = Images::new(columns, present, None, image);
    after.visit::<Error>(|index, column, cell| {
        let Cell::Raw(raw) = cell else { return Ok(()) };
        let json_place = columns.iter().take(index).filter(|column| is_json(column)).count();
        let is_partial = is_json(column)
            && partial.get(json_place / 8).is_some_and(|b| b >> (json_place % 8) & 1 == 1);
        if !is_partial {
            out.extend_from_slice(raw);
            return Ok(());
        }
        let prefix = prefix_length(column.kind);
        let diffs = raw.get(prefix..).unwrap_or_default();
        let Cell::Raw(old) = before(index) else {
            return Err(Error::JsonDiff("the value before is not in the event"));
        };
        let start = out.len();
        out.resize(start + prefix, 0);
        apply(old.get(prefix..).unwrap_or_default(), diffs, out)?;
        let length = out.len() - start - prefix;
        for (to, from) in out.iter_mut().skip(start).take(prefix).zip(length.to_le_bytes()) {
            *to = from;
        }
        Ok(())
    })?;
    Ok(image.get(after.offset()..).unwrap_or_default())
}

/// Appends the document that the diffs make of `old`.
fn apply(old: &[u8], diffs: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let mut document = Document::parse(old)?;
    let mut cursor = Cursor::new(WHAT, diffs);
    while !cursor.is_empty() {
        let operation = cursor.u8()?;
        let path = parse_path(cursor.lenenc_bytes()?)?;
        let (last, parents) = path.split_last().ok_or(Error::JsonDiff("its path is the root"))?;
        let parent = find(&mut document, parents)?;
        match operation {
            0 => *step(parent, last)? = Document::parse(cursor.lenenc_bytes()?)?,
            1 => insert(parent, last, Document::parse(cursor.lenenc_bytes()?)?)?,
            2 => remove(parent, last)?,
            other => return Err(cursor.impossible(u64::from(other))),
        }
    }
    document.write(out);
    Ok(())
}

/// One step of a path.
enum Leg {
    Key(Vec<u8>),
    Index(usize),
    /// `last` is 0, `last-1` is 1.
    FromEnd(usize),
}

/// `$.a[1]."b c"[last-1]`: keys that are no identifiers are in quotes, as JSON strings.
fn parse_path(path: &[u8]) -> Result<Vec<Leg>, Error> {
    let wrong = Error::JsonDiff("its path is none");
    let text = std::str::from_utf8(path).map_err(|_| wrong.clone())?;
    let mut rest = text.strip_prefix('$').ok_or_else(|| wrong.clone())?;
    let mut legs = Vec::new();
    while !rest.is_empty() {
        if let Some(index) = rest.strip_prefix('[') {
            let (number, behind) = index.split_once(']').ok_or_else(|| wrong.clone())?;
            legs.push(parse_index(number.trim()).ok_or_else(|| wrong.clone())?);
            rest = behind;
        } else if let Some(key) = rest.strip_prefix('.') {
            let end = key_end(key).ok_or_else(|| wrong.clone())?;
            let (key, behind) = key.split_at_checked(end).ok_or_else(|| wrong.clone())?;
            let key = if key.starts_with('"') {
                serde_json::from_str(key).map_err(|_| wrong.clone())?
            } else {
                key.to_owned()
            };
            legs.push(Leg::Key(key.into_bytes()));
            rest = behind;
        } else {
            return Err(wrong);
        }
    }
    Ok(legs)
}

fn parse_index(text: &str) -> Option<Leg> {
    let Some(from_end) = text.strip_prefix("last").map(str::trim_start) else {
        return text.parse().ok().map(Leg::Index);
    };
    let behind = match from_end.strip_prefix('-') {
        Some(number) => number.trim_start().parse().ok()?,
        None if from_end.is_empty() => 0,
        None => return None,
    };
    Some(Leg::FromEnd(behind))
}

/// Bytes of the key at the front of a path, its quotes included.
fn key_end(path: &str) -> Option<usize> {
    if !path.starts_with('"') {
        return Some(path.find(['.', '[']).unwrap_or(path.len()));
    }
    let mut escaped = false;
    for (place, byte) in path.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(place + 1),
            _ => {}
        }
    }
    None
}

fn find<'d, 'a>(
    document: &'d mut Document<'a>,
    legs: &[Leg],
) -> Result<&'d mut Document<'a>, Error> {
    legs.iter().try_fold(document, step)
}

fn step<'d, 'a>(document: &'d mut Document<'a>, leg: &Leg) -> Result<&'d mut Document<'a>, Error> {
    let found = match (document, leg) {
        (Document::Object(members), Leg::Key(key)) => search(members, key)
            .ok()
            .and_then(|place| members.get_mut(place))
            .map(|(_, value)| value),
        (Document::Array(elements), Leg::Index(index)) => elements.get_mut(*index),
        (Document::Array(elements), Leg::FromEnd(behind)) => elements.iter_mut().nth_back(*behind),
        (Document::Object(_) | Document::Array(_) | Document::Leaf(_), _) => None,
    };
    found.ok_or(Error::JsonDiff("the value before lacks what its path names"))
}

/// An element behind the end of an array is added at its end, and one before its begin there
/// (`Json_array_index`, `sql-common/json_path.h`).
fn insert<'a>(parent: &mut Document<'a>, leg: &Leg, value: Document<'a>) -> Result<(), Error> {
    match (parent, leg) {
        (Document::Object(members), Leg::Key(key)) => match search(members, key) {
            Ok(_) => Err(Error::JsonDiff("the value before has the key that is added")),
            Err(place) => {
                members.insert(place, (key.clone(), value));
                Ok(())
            }
        },
        (Document::Array(elements), Leg::Index(index)) => {
            elements.insert((*index).min(elements.len()), value);
            Ok(())
        }
        (Document::Array(elements), Leg::FromEnd(behind)) => {
            elements.insert(elements.len().saturating_sub(behind.saturating_add(1)), value);
            Ok(())
        }
        (Document::Object(_) | Document::Array(_) | Document::Leaf(_), _) => {
            Err(Error::JsonDiff("the value before cannot hold what is added"))
        }
    }
}

fn remove(parent: &mut Document<'_>, leg: &Leg) -> Result<(), Error> {
    step(parent, leg)?;
    match (parent, leg) {
        (Document::Object(members), Leg::Key(key)) => {
            if let Ok(place) = search(members, key) {
                members.remove(place);
            }
        }
        (Document::Array(elements), Leg::Index(index)) => {
            elements.remove(*index);
        }
        (Document::Array(elements), Leg::FromEnd(behind)) => {
            elements.remove(elements.len().saturating_sub(behind.saturating_add(1)));
        }
        (Document::Object(_) | Document::Array(_) | Document::Leaf(_), _) => {}
    }
    Ok(())
}

fn search(members: &[(Vec<u8>, Document<'_>)], key: &[u8]) -> Result<usize, usize> {
    members.binary_search_by(|(member, _)| match member.len().cmp(&key.len()) {
        Ordering::Equal => member.as_slice().cmp(key),
        order @ (Ordering::Less | Ordering::Greater) => order,
    })
}
