//! The text of a value, as Canal spells it.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::binlog::{Cell, DateTime, Error, Timestamp, Value, charset, json};
use crate::change::{Charset, ColumnType};
use crate::format::escape::escape_from;
use crate::format::java::{put_double, put_float};

use super::{BinaryForm, FlatPlan, LabelForm};

/// JSON as MySQL spaces it, with numbers and strings as Canal's decoder prints them.
const JSON_STYLE: json::Style = json::Style { double: put_json_double, string: put_json_string };

impl FlatPlan {
    /// Appends a value as JSON: a string, or null.
    pub(super) fn put_cell(
        &self,
        index: usize,
        kind: ColumnType,
        cell: Cell<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Cell::Raw(raw) = cell else {
            out.extend_from_slice(b"null");
            return Ok(());
        };
        out.push(b'"');
        let start = out.len();
        if self.put_text(index, kind, raw, out)? == Content::Free {
            escape_from(out, start);
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
    ) -> Result<Content, Error> {
        match Value::decode(kind, raw)? {
            Value::Null => {}
            Value::Int(number) => put_digits(out, number),
            Value::UInt(number) | Value::Bit(number) => put_digits(out, number),
            Value::Float(number) => put_float(out, number),
            Value::Double(number) => put_double(out, number),
            Value::Decimal(decimal) => decimal.write(out),
            Value::Year(0) => out.extend_from_slice(b"0000"),
            Value::Year(year) => put_digits(out, year),
            Value::Date(date) => date.write(out),
            Value::Time(time) => time.write(out),
            Value::DateTime(moment) => moment.write(out),
            Value::Timestamp(moment) => self.local(moment).write(out),
            Value::Text { bytes, charset } => return Ok(put_characters(bytes, charset, out)),
            Value::Bytes(bytes) | Value::Geometry(bytes) => {
                return Ok(self.put_binary(bytes, 0, out));
            }
            Value::Binary { bytes, length } => {
                let padding = usize::from(length).saturating_sub(bytes.len());
                return Ok(self.put_binary(bytes, padding, out));
            }
            Value::Enum(number) => return Ok(self.put_enum(index, number, out)),
            Value::Set(mask) => return Ok(self.put_set(index, mask, out)),
            Value::Json(document) => {
                json::write_text(document, JSON_STYLE, out)?;
                return Ok(Content::Free);
            }
            Value::Vector(floats) => put_vector(floats, out),
            Value::Plugin(value) => value.write(out),
            Value::Compressed(compressed) => {
                // MariaDB's compressed columns are the only values that are copied first
                let mut bytes = Vec::new();
                compressed.inflate(&mut bytes)?;
                return Ok(match compressed.charset {
                    Charset::Binary => self.put_binary(&bytes, 0, out),
                    charset => put_characters(&bytes, charset, out),
                });
            }
        }
        Ok(Content::Plain)
    }

    /// What clocks of the zone show; the zero timestamp is zero everywhere.
    fn local(&self, moment: Timestamp) -> DateTime {
        let offset = self.settings.zone.offset_at(moment.seconds);
        moment.at_offset(if moment.is_zero() { 0 } else { offset })
    }

    /// `padding` zero bytes belong to the value and are not in `bytes`.
    fn put_binary(&self, bytes: &[u8], padding: usize, out: &mut Vec<u8>) -> Content {
        match self.settings.binary {
            BinaryForm::CodePoints => {
                for byte in bytes {
                    let mut utf8 = [0; 2];
                    out.extend_from_slice(char::from(*byte).encode_utf8(&mut utf8).as_bytes());
                }
                out.resize(out.len() + padding, 0);
                Content::Free
            }
            BinaryForm::Base64 => {
                put_base64(bytes, padding, out);
                Content::Plain
            }
            BinaryForm::Hex => {
                let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0') as u8;
                for byte in bytes {
                    out.extend_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
                }
                out.resize(out.len() + 2 * padding, b'0');
                Content::Plain
            }
        }
    }

    fn put_enum(&self, index: usize, number: u16, out: &mut Vec<u8>) -> Content {
        let labels = self.labels(index);
        match (self.settings.labels, usize::from(number).checked_sub(1)) {
            (LabelForm::Label, None) => {} // the error value is the empty text
            (LabelForm::Label, Some(place)) if place < labels.len() => {
                out.extend_from_slice(labels[place].as_bytes());
                return Content::Free;
            }
            (LabelForm::Label | LabelForm::Number, _) => put_digits(out, number),
        }
        Content::Plain
    }

    fn put_set(&self, index: usize, mask: u64, out: &mut Vec<u8>) -> Content {
        let labels = self.labels(index);
        let unnamed = mask.checked_shr(u32::try_from(labels.len()).unwrap_or(64)).unwrap_or(0);
        if self.settings.labels == LabelForm::Number || unnamed != 0 {
            put_digits(out, mask);
            return Content::Plain;
        }
        let chosen = labels.iter().enumerate().filter(|(place, _)| mask >> place & 1 == 1);
        for (nth, (_, label)) in chosen.enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            out.extend_from_slice(label.as_bytes());
        }
        Content::Free
    }

    fn labels(&self, index: usize) -> &[String] {
        self.table.columns.get(index).map_or(&[], |column| &column.labels)
    }
}

/// Whether a text may hold what JSON has to escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Digits, signs, letters: never.
    Plain,
    /// Anything.
    Free,
}

fn put_digits(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn put_characters(bytes: &[u8], charset: Charset, out: &mut Vec<u8>) -> Content {
    charset::to_utf8(charset, bytes, out);
    Content::Free
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

/// As the server's `VECTOR_TO_STRING`: `[1.00000e+00,-2.50000e+00]`
/// (`from_vector_to_string`, vector-common/vector_conversion.h: C's `%.5e`.)
fn put_vector(floats: &[u8], out: &mut Vec<u8>) {
    out.push(b'[');
    let (floats, _) = floats.as_chunks::<4>();
    for (nth, float) in floats.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        put_c_exponential(f32::from_le_bytes(*float), out);
    }
    out.push(b']');
}

/// `%.5e`: Rust prints the same digits, but not the sign and the zero of the exponent.
fn put_c_exponential(number: f32, out: &mut Vec<u8>) {
    let start = out.len();
    if write!(out, "{number:.5e}").is_err() {
        return; // a vector takes all it is given
    }
    let Some(exponent) = out[start..].iter().position(|byte| *byte == b'e') else { return };
    let mut digits = start + exponent + 1;
    if out.get(digits) == Some(&b'-') {
        digits += 1;
    } else {
        out.insert(digits, b'+');
        digits += 1;
    }
    if out.len() - digits < 2 {
        out.insert(digits, b'0');
    }
}

fn put_json_double(number: f64, out: &mut Vec<u8>) {
    put_double(out, number);
}

/// A string inside a JSON document, quotes included: `\" \\ \n \r \t`, other control
/// characters up to U+00A0 as `\u00xx`. (Around it, the document is escaped once more.)
fn put_json_string(text: &str, out: &mut Vec<u8>) {
    // the C1 controls and U+00A0 begin with the byte 0xc2
    let plain = |byte: u8| byte >= 0x20 && !matches!(byte, b'"' | b'\\' | 0x7f | 0xc2);
    out.push(b'"');
    if text.bytes().all(plain) {
        out.extend_from_slice(text.as_bytes());
    } else {
        text.chars().for_each(|letter| put_json_character(letter, out));
    }
    out.push(b'"');
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
