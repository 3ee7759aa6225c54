//! The binary form of a document, from the text that the server prints for it.
//!
//! In: UTF-8 text. Out: the document, as the server itself would store that text, with two
//! differences where the text shows that more was stored: a number that no double is printed as is
//! a DECIMAL, and a double stays one though it is integral. What a text does not show is lost:
//! dates, times and opaque values become the strings that they are printed as (the same text is
//! printed of both), and a DECIMAL that is spelt as a double is becomes a double.
//!
//! One pass takes the text apart into a list of values, which also finds their sizes, inner ones
//! first; a second one writes them, outer ones first. The lists are reused.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::number::write_server_double;
use super::{DEEPEST, WHAT};
use crate::binlog::column::code;
use crate::binlog::{Decimal, Error};

/// Turns texts into documents; keeps the room that it needs for it.
#[derive(Clone, Debug, Default)]
pub struct FromText {
    values: Vec<Entry>,
    /// Strings, keys and decimals, back to back.
    bytes: Vec<u8>,
    scratch: Vec<u8>,
}

/// A part of `bytes`.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    start: usize,
    length: usize,
}

/// A value, with those inside of it behind it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Part,
    form: Form,
    /// Bytes without the type.
    size: usize,
    /// The place behind it and all inside of it.
    next: usize,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    /// 0 null, 1 true, 2 false.
    Literal(u8),
    Int(i64),
    UInt(u64),
    Double(f64),
    String(Part),
    /// Precision, scale, and the packed digits.
    Decimal(Part),
    Container {
        count: usize,
        keyed: bool,
        large: bool,
    },
}

/// Bytes of the length before a string.
const fn length_of_length(length: usize) -> usize {
    let mut bytes = 1;
    let mut rest = length >> 7;
    while rest > 0 {
        bytes += 1;
        rest >>= 7;
    }
    bytes
}

const fn width(large: bool) -> usize {
    if large { 4 } else { 2 }
}

impl Form {
    /// The byte of its type.
    fn code(self) -> u8 {
        match self {
            Self::Literal(_) => 4,
            // Numbers take the smallest type that holds them.
            Self::Int(value) if i16::try_from(value).is_ok() => 5,
            Self::Int(value) if i32::try_from(value).is_ok() => 7,
            Self::Int(_) => 9,
            Self::UInt(value) if u16::try_from(value).is_ok() => 6,
            Self::UInt(value) if u32::try_from(value).is_ok() => 8,
            Self::UInt(_) => 10,
            Self::Double(_) => 11,
            Self::String(_) => 12,
            Self::Decimal(_) => 15,
            Self::Container { keyed, large, .. } => u8::from(large) + if keyed { 0 } else { 2 },
        }
    }

    /// Bytes of a value that is no container.
    fn size(self) -> usize {
        match self {
            Self::Literal(_) => 1,
            Self::Int(_) | Self::UInt(_) => match self.code() {
                5 | 6 => 2,
                7 | 8 => 4,
                _ => 8,
            },
            Self::Double(_) => 8,
            Self::String(part) => length_of_length(part.length) + part.length,
            Self::Decimal(part) => 1 + length_of_length(part.length) + part.length,
            Self::Container { .. } => 0,
        }
    }

    /// Whether it is stored in its entry.
    fn is_inlined(self, large: bool) -> bool {
        matches!(self.code(), 4..=6) || (large && matches!(self.code(), 7 | 8))
    }
}

impl FromText {
    /// Appends the document of `text`. An empty text is an empty document, which reads as null.
    pub fn write(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if text.is_empty() {
            return Ok(());
        }
        self.values.clear();
        self.bytes.clear();
        let mut parser = Parser { text, at: 0, into: self };
        parser.value(Part::default(), 0)?;
        parser.blanks();
        if parser.at < text.len() {
            return Err(parser.wrong());
        }
        if let Some(root) = self.values.first() {
            out.push(root.form.code());
            self.put(0, out)?;
        }
        Ok(())
    }

    fn part(&self, part: Part) -> &[u8] {
        self.bytes.get(part.start..part.start + part.length).unwrap_or_default()
    }

    /// Appends a value without its type.
    fn put(&self, place: usize, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(entry) = self.values.get(place) else { return Ok(()) };
        match entry.form {
            Form::Literal(value) => out.push(value),
            Form::Int(value) => {
                out.extend(value.to_le_bytes().into_iter().take(entry.size));
            }
            Form::UInt(value) => {
                out.extend(value.to_le_bytes().into_iter().take(entry.size));
            }
            Form::Double(value) => out.extend_from_slice(&value.to_le_bytes()),
            Form::String(part) => put_sized(self.part(part), out),
            Form::Decimal(part) => {
                out.push(code::NEWDECIMAL);
                put_sized(self.part(part), out);
            }
            Form::Container { count, keyed, large } => {
                self.put_container(place, *entry, (count, keyed, large), out)?;
            }
        }
        Ok(())
    }

    fn put_container(
        &self,
        place: usize,
        entry: Entry,
        (count, keyed, large): (usize, bool, bool),
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let width = width(large);
        let number = |value: usize, out: &mut Vec<u8>| {
            out.extend(value.to_le_bytes().into_iter().take(width));
        };
        number(count, out);
        number(entry.size, out);
        let mut offset = head_length(count, keyed, large);
        if keyed {
            for (_, inner) in self.inside(place) {
                let length = u16::try_from(inner.key.length).map_err(|_| Error::Impossible {
                    what: WHAT,
                    value: inner.key.length as u64,
                })?;
                number(offset, out);
                out.extend_from_slice(&length.to_le_bytes());
                offset += inner.key.length;
            }
        }
        for (at, inner) in self.inside(place) {
            out.push(inner.form.code());
            if inner.form.is_inlined(large) {
                let end = out.len() + width;
                self.put(at, out)?;
                out.resize(end, 0);
            } else {
                number(offset, out);
                offset += inner.size;
            }
        }
        if keyed {
            self.inside(place).for_each(|(_, inner)| out.extend_from_slice(self.part(inner.key)));
        }
        for (at, inner) in self.inside(place) {
            if !inner.form.is_inlined(large) {
                self.put(at, out)?;
            }
        }
        Ok(())
    }

    /// The values directly inside of a container, with their places.
    fn inside(&self, container: usize) -> impl Iterator<Item = (usize, &Entry)> {
        let end = self.values.get(container).map_or(0, |entry| entry.next);
        let mut at = container + 1;
        std::iter::from_fn(move || {
            let entry = self.values.get(at).filter(|_| at < end)?;
            let place = at;
            at = entry.next;
            Some((place, entry))
        })
    }

    /// Whether a container needs the large form, and its size, once all inside of it is known.
    fn measure(&self, container: usize, count: usize, keyed: bool) -> (bool, usize) {
        let keys: usize = self.inside(container).map(|(_, inner)| inner.key.length).sum();
        let size = |large| {
            let outside = self.inside(container).filter(|(_, inner)| !inner.form.is_inlined(large));
            let values: usize = outside.map(|(_, inner)| inner.size).sum();
            head_length(count, keyed, large) + keys + values
        };
        // None is small around a large one (`serialize_json_object`, sql-common/json_binary.cc).
        let is_large = |inner: &Entry| matches!(inner.form, Form::Container { large: true, .. });
        let holds_large = self.inside(container).any(|(_, inner)| is_large(inner));
        match size(false) {
            small if !holds_large && u16::try_from(small).is_ok() => (false, small),
            _ => (true, size(true)),
        }
    }

    /// Whether keys are in the order of the binary form, each once.
    fn is_ordered(&self, container: usize) -> bool {
        let mut keys = self.inside(container).map(|(_, inner)| self.part(inner.key));
        let Some(mut last) = keys.next() else { return true };
        keys.all(|key| (last.len(), std::mem::replace(&mut last, key)) < (key.len(), key))
    }
}

/// Bytes of a container before its keys and values.
const fn head_length(count: usize, keyed: bool, large: bool) -> usize {
    let width = width(large);
    let key_entry = if keyed { width + 2 } else { 0 };
    2 * width + count * (key_entry + 1 + width)
}

fn put_sized(bytes: &[u8], out: &mut Vec<u8>) {
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length.to_le_bytes().first().copied().unwrap_or(0) | 0x80);
        length >>= 7;
    }
    out.push(length.to_le_bytes().first().copied().unwrap_or(0));
    out.extend_from_slice(bytes);
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    into: &'a mut FromText,
}

impl Parser<'_> {
    #[cold]
    fn wrong(&self) -> Error {
        Error::Impossible {
            what: "the text of a JSON value",
            value: u64::from(self.text.get(self.at).copied().unwrap_or(0)),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), Error> {
        if self.take(byte) { Ok(()) } else { Err(self.wrong()) }
    }

    fn leaf(&mut self, key: Part, form: Form) {
        let next = self.into.values.len() + 1;
        self.into.values.push(Entry { key, form, size: form.size(), next });
    }

    fn value(&mut self, key: Part, depth: u32) -> Result<(), Error> {
        self.blanks();
        match self.peek() {
            Some(b'{') => self.container(key, true, depth)?,
            Some(b'[') => self.container(key, false, depth)?,
            Some(b'"') => {
                let part = self.string()?;
                self.leaf(key, Form::String(part));
            }
            Some(b'-' | b'0'..=b'9') => {
                let form = self.number()?;
                self.leaf(key, form);
            }
            _ => {
                let words = [("null", 0), ("true", 1), ("false", 2)];
                let rest = self.text.get(self.at..).unwrap_or_default();
                let found = words.iter().find(|(word, _)| rest.starts_with(word.as_bytes()));
                let (word, literal) = found.ok_or_else(|| self.wrong())?;
                self.at += word.len();
                self.leaf(key, Form::Literal(*literal));
            }
        }
        Ok(())
    }

    fn container(&mut self, key: Part, keyed: bool, depth: u32) -> Result<(), Error> {
        if depth >= DEEPEST {
            return Err(Error::JsonDepth);
        }
        let place = self.into.values.len();
        let open = Form::Container { count: 0, keyed, large: false };
        self.into.values.push(Entry { key, form: open, size: 0, next: 0 });
        self.at += 1;
        let close = if keyed { b'}' } else { b']' };
        let mut count = 0;
        self.blanks();
        if !self.take(close) {
            loop {
                let mut name = Part::default();
                if keyed {
                    self.blanks();
                    name = self.string()?;
                    self.blanks();
                    self.expect(b':')?;
                }
                self.value(name, depth + 1)?;
                count += 1;
                self.blanks();
                if !self.take(b',') {
                    self.expect(close)?;
                    break;
                }
            }
        }
        let next = self.into.values.len();
        if let Some(entry) = self.into.values.get_mut(place) {
            entry.next = next;
        }
        // The server prints members as they are stored.
        if keyed && !self.into.is_ordered(place) {
            return Err(self.wrong());
        }
        let (large, size) = self.into.measure(place, count, keyed);
        if let Some(entry) = self.into.values.get_mut(place) {
            entry.form = Form::Container { count, keyed, large };
            entry.size = size;
        }
        Ok(())
    }

    /// A string, its escapes undone.
    fn string(&mut self) -> Result<Part, Error> {
        self.expect(b'"')?;
        let start = self.into.bytes.len();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            let plain = plain.ok_or_else(|| self.wrong())?;
            self.into.bytes.extend_from_slice(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            if self.take(b'"') {
                return Ok(Part { start, length: self.into.bytes.len() - start });
            }
            self.at += 1;
            let escaped = self.peek().ok_or_else(|| self.wrong())?;
            self.at += 1;
            let byte = match escaped {
                b'"' | b'\\' | b'/' => escaped,
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'u' => {
                    let letter = self.letter()?;
                    let mut utf8 = [0; 4];
                    let utf8 = letter.encode_utf8(&mut utf8);
                    self.into.bytes.extend_from_slice(utf8.as_bytes());
                    continue;
                }
                _ => return Err(self.wrong()),
            };
            self.into.bytes.push(byte);
        }
    }

    /// What is behind `\u`, with the second half of a pair.
    fn letter(&mut self) -> Result<char, Error> {
        let high = self.unit()?;
        let code = if (0xd800..0xdc00).contains(&high) {
            self.expect(b'\\')?;
            self.expect(b'u')?;
            let low = self.unit()?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err(self.wrong());
            }
            0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)
        } else {
            high
        };
        char::from_u32(code).ok_or_else(|| self.wrong())
    }

    fn unit(&mut self) -> Result<u32, Error> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|digit| char::from(digit).to_digit(16));
            unit = unit << 4 | digit.ok_or_else(|| self.wrong())?;
            self.at += 1;
        }
        Ok(unit)
    }

    /// A number is of the type that the server prints it so of.
    fn number(&mut self) -> Result<Form, Error> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_of_number =
            |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
        let length = rest.iter().position(|byte| !is_of_number(byte)).unwrap_or(rest.len());
        let digits = rest.get(..length).unwrap_or_default();
        let text = std::str::from_utf8(digits).map_err(|_| self.wrong())?;
        self.at += length;
        if !digits.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
            // As the server takes them from texts (`Json_dom::parse`: what needs more than 32 bits and
            // has no sign has none).
            let is_small = |value: &i64| *value <= i64::from(u32::MAX);
            if let Some(value) = text.parse().ok().filter(is_small) {
                return Ok(Form::Int(value));
            }
            if let Ok(value) = text.parse() {
                return Ok(Form::UInt(value));
            }
            return self.decimal(digits);
        }
        let value: f64 = text.parse().map_err(|_| self.wrong())?;
        self.into.scratch.clear();
        write_server_double(value, &mut self.into.scratch);
        let is_spelt_so = self.into.scratch == digits;
        if is_spelt_so || digits.iter().any(|byte| matches!(byte, b'e' | b'E')) {
            return Ok(Form::Double(value));
        }
        self.decimal(digits)
    }

    fn decimal(&mut self, digits: &[u8]) -> Result<Form, Error> {
        let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
        let point = unsigned.iter().position(|byte| *byte == b'.').unwrap_or(unsigned.len());
        let scale = unsigned.len().saturating_sub(point + 1);
        let [precision, scale] = [point + scale, scale].map(|count| u8::try_from(count).ok());
        let (Some(precision @ 1..=65), Some(scale @ 0..=30)) = (precision, scale) else {
            return Err(self.wrong());
        };
        let start = self.into.bytes.len();
        self.into.bytes.extend_from_slice(&[precision, scale]);
        Decimal::encode(precision, scale, digits, &mut self.into.bytes)?;
        Ok(Form::Decimal(Part { start, length: self.into.bytes.len() - start }))
    }
}
