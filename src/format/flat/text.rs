//! The text of a value, as Canal spells it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::binlog::digits::{put_signed, put_unsigned};
use crate::binlog::{Cell, DateTime, Error, Timestamp, Value, charset, json, prefix_length};
use crate::change::{Charset, ColumnType};
use crate::format::escape::{put_escaped, put_escaped_code_points};
use crate::format::java::{put_double, put_exact_float, put_float};

use super::plan::{Content, PlannedColumn};
use super::{BinaryForm, EnumForm, FlatPlan};

/// JSON as MySQL spaces it, with numbers and strings as Canal's decoder prints them.
const JSON_STYLE: json::Style =
    json::Style { quote: b"\"", double: put_json_double, string: put_json_string };
/// The same as the inside of a string, escaped on the way: the only bytes to be escaped are the
/// quotes, and what escapes in its strings begin with.
const ESCAPED_JSON_STYLE: json::Style =
    json::Style { quote: b"\\\"", double: put_json_double, string: put_escaped_json_string };

impl FlatPlan {
    /// Appends a member of a row: its name, and its value as a string, or null. `scratch` is
    /// written over.
    #[inline]
    pub(super) fn put_member(
        &self,
        index: usize,
        column: &PlannedColumn,
        cell: Cell<'_>,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Cell::Raw(raw) = cell else {
            out.extend_from_slice(column.member.bare());
            out.extend_from_slice(b"null");
            return Ok(());
        };
        column.member.put_quoted(out);
        match column.content {
            Content::Plain => self.put_text(index, column.kind, raw, out)?,
            Content::Characters(charset) => {
                let bytes = raw.get(prefix_length(column.kind)..).unwrap_or_default();
                put_characters(charset, bytes, scratch, out);
            }
            Content::CodePoints => {
                let bytes = raw.get(prefix_length(column.kind)..).unwrap_or_default();
                put_escaped_code_points(out, bytes);
                // The binlog lacks trailing zeros of a BINARY.
                if let ColumnType::Binary { length } = column.kind {
                    let padding = usize::from(length).saturating_sub(bytes.len());
                    (0..padding).for_each(|_| put_escaped_code_points(out, &[0]));
                }
            }
            Content::Json => {
                let document = raw.get(prefix_length(column.kind)..).unwrap_or_default();
                json::write_text(document, ESCAPED_JSON_STYLE, out)?;
            }
            Content::Free => {
                scratch.clear();
                self.put_text(index, column.kind, raw, scratch)?;
                put_escaped(out, scratch);
            }
        }
        out.push(b'"');
        Ok(())
    }

    /// Appends the text of a value, before any escaping.
    pub(super) fn put_text(
        &self,
        index: usize,
        kind: ColumnType,
        raw: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match Value::decode(kind, raw)? {
            Value::Null => {}
            Value::Int(number) => put_signed(out, number),
            Value::UInt(number) | Value::Bit(number) => put_unsigned(out, number),
            Value::Float(number) => put_float(out, number),
            Value::Double(number) => put_double(out, number),
            Value::Decimal(decimal) => decimal.write(out),
            Value::Year(0) => out.extend_from_slice(b"0000"),
            Value::Year(year) => put_unsigned(out, u64::from(year)),
            Value::Date(date) => date.write(out),
            Value::Time(time) => time.write(out),
            Value::DateTime(moment) => moment.write(out),
            Value::Timestamp(moment) => self.local(moment).write(out),
            Value::Text { bytes, charset } => {
                charset::to_utf8(charset, bytes, out);
            }
            Value::Bytes(bytes) | Value::Geometry(bytes) => self.put_binary(bytes, 0, out),
            Value::Binary { bytes, length } => {
                let padding = usize::from(length).saturating_sub(bytes.len());
                self.put_binary(bytes, padding, out);
            }
            Value::Enum(number) => self.put_enum(index, number, out),
            Value::Set(mask) => self.put_set(index, mask, out),
            Value::Json(document) => json::write_text(document, JSON_STYLE, out)?,
            Value::Vector(floats) => put_vector(floats, out),
            Value::Plugin(value) => value.write(out),
            Value::Compressed(compressed) => {
                // MariaDB's compressed columns are the only values that are copied first
                let mut bytes = Vec::new();
                compressed.inflate(&mut bytes)?;
                match compressed.charset {
                    Charset::Binary => self.put_binary(&bytes, 0, out),
                    charset => {
                        charset::to_utf8(charset, &bytes, out);
                    }
                }
            }
        }
        Ok(())
    }

    /// What clocks of the zone show; the zero timestamp is zero everywhere.
    fn local(&self, moment: Timestamp) -> DateTime {
        let offset = self.settings.zone.offset_at(moment.seconds);
        moment.at_offset(if moment.is_zero() { 0 } else { offset })
    }

    /// `padding` zero bytes belong to the value and are not in `bytes`.
    fn put_binary(&self, bytes: &[u8], padding: usize, out: &mut Vec<u8>) {
        match self.settings.binary {
            BinaryForm::Latin1 => {
                for byte in bytes {
                    let mut utf8 = [0; 2];
                    out.extend_from_slice(char::from(*byte).encode_utf8(&mut utf8).as_bytes());
                }
                out.resize(out.len() + padding, 0);
            }
            BinaryForm::Base64 => put_base64(bytes, padding, out),
            BinaryForm::Hex => {
                let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0') as u8;
                for byte in bytes {
                    out.extend_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
                }
                out.resize(out.len() + 2 * padding, b'0');
            }
        }
    }

    fn put_enum(&self, index: usize, number: u16, out: &mut Vec<u8>) {
        let labels = self.labels(index);
        match (self.settings.labels, usize::from(number).checked_sub(1)) {
            (EnumForm::Label, None) => {} // the error value is the empty text
            (EnumForm::Label, Some(place)) if place < labels.len() => {
                out.extend_from_slice(labels[place].as_bytes());
            }
            (EnumForm::Label | EnumForm::Index, _) => put_unsigned(out, u64::from(number)),
        }
    }

    fn put_set(&self, index: usize, mask: u64, out: &mut Vec<u8>) {
        let labels = self.labels(index);
        let unnamed = mask.checked_shr(u32::try_from(labels.len()).unwrap_or(64)).unwrap_or(0);
        if self.settings.labels == EnumForm::Index || unnamed != 0 {
            return put_unsigned(out, mask);
        }
        let chosen = labels.iter().enumerate().filter(|(place, _)| mask >> place & 1 == 1);
        for (nth, (_, label)) in chosen.enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            out.extend_from_slice(label.as_bytes());
        }
    }

    fn labels(&self, index: usize) -> &[String] {
        self.table.columns.get(index).map_or(&[], |column| &column.labels)
    }
}

/// Text of a character set. In most sets, and most often, it is ASCII, which escaping finds out: so
/// it is taken for UTF-8 first, and looked at once more only where it is not ASCII.
#[inline]
fn put_characters(charset: Charset, bytes: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    let start = out.len();
    if charset::holds_ascii(charset) {
        if put_escaped(out, bytes) || charset::borrow_utf8(charset, bytes).is_some() {
            return;
        }
        out.truncate(start);
    }
    scratch.clear();
    charset::to_utf8(charset, bytes, scratch);
    put_escaped(out, scratch);
}

/// Base64 of `bytes` and `padding` zeros behind them.
fn put_base64(bytes: &[u8], padding: usize, out: &mut Vec<u8>) {
    // whole groups of three first, then what is left of them with the zeros
    let mut groups = bytes.chunks_exact(3);
    let mut put = |group: &[u8]| {
        let mut digits = [0; 4];
        if let Ok(length) = STANDARD.encode_slice(group, &mut digits) {
            out.extend_from_slice(&digits[..length]);
        }
    };
    groups.by_ref().for_each(&mut put);
    let rest = groups.remainder();
    let mut left = rest.len() + padding;
    let mut group = [0; 3];
    group[..rest.len()].copy_from_slice(rest);
    while left > 0 {
        put(&group[..left.min(3)]);
        left = left.saturating_sub(3);
        group = [0; 3];
    }
}

/// `[1.0,-2.5E-8]`: each number as a FLOAT is spelt, so that the server's `STRING_TO_VECTOR`
/// reads the same bytes back. Its own `VECTOR_TO_STRING` prints six digits (C's `%.5e`,
/// `from_vector_to_string`, vector-common/vector_conversion.h) and loses the rest.
fn put_vector(floats: &[u8], out: &mut Vec<u8>) {
    out.push(b'[');
    let (floats, _) = floats.as_chunks::<4>();
    for (nth, float) in floats.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        match f32::from_le_bytes(*float) {
            number if number.is_subnormal() => put_exact_float(out, number),
            number => put_float(out, number),
        }
    }
    out.push(b']');
}

fn put_json_double(number: f64, out: &mut Vec<u8>) {
    put_double(out, number);
}

/// A string inside a JSON document, quotes included: `\" \\ \n \r \t`, other control
/// characters up to U+00A0 as `\u00xx`.
fn put_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    put_json_inside(text, out);
    out.push(b'"');
}

/// The same as the inside of a string, escaped once more.
fn put_escaped_json_string(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\\"");
    if is_plain_json(text) {
        out.extend_from_slice(text.as_bytes());
    } else {
        let mut inside = Vec::with_capacity(text.len() + text.len() / 8);
        put_json_inside(text, &mut inside);
        put_escaped(out, &inside);
    }
    out.extend_from_slice(b"\\\"");
}

/// Whether nothing in it has to be escaped inside a JSON document.
fn is_plain_json(text: &str) -> bool {
    // the C1 controls and U+00A0 begin with the byte 0xc2
    let is_plain = |byte: u8| byte >= 0x20 && !matches!(byte, b'"' | b'\\' | 0x7f | 0xc2);
    // without a short cut, so that it becomes vector code
    text.bytes().fold(true, |all, byte| all & is_plain(byte))
}

fn put_json_inside(text: &str, out: &mut Vec<u8>) {
    if is_plain_json(text) {
        out.extend_from_slice(text.as_bytes());
    } else {
        text.chars().for_each(|letter| put_json_character(letter, out));
    }
}

fn put_json_character(letter: char, out: &mut Vec<u8>) {
    let short = match letter {
        '"' => br#"\""#,
        '\\' => br"\\",
        '\n' => br"\n",
        '\r' => br"\r",
        '\t' => br"\t",
        '\0'..='\x1f' | '\x7f'..='\u{a0}' => {
            let digit = |half: u32| char::from_digit(half & 0xf, 16).unwrap_or('0') as u8;
            let code = u32::from(letter);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(code >> 4), digit(code)]);
            return;
        }
        _ => {
            let mut utf8 = [0; 4];
            out.extend_from_slice(letter.encode_utf8(&mut utf8).as_bytes());
            return;
        }
    };
    out.extend_from_slice(short);
}
