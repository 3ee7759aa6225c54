//! Writes a document as text, spaced as the server spaces it: `{"a": 1, "b": [1, 2]}`.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Container, DEEPEST, Node, WHAT, number, read};
use crate::binlog::column::code;
use crate::binlog::cursor::Cursor;
use crate::binlog::temporal::{DateTime, Time};
use crate::binlog::{Decimal, Error};

/// How the parts are spelt in which formats differ from the server.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// What is around texts that are no strings of the document: temporal values.
    pub quote: &'static [u8],
    /// Appends a double.
    pub double: fn(f64, &mut Vec<u8>),
    /// Appends a string, with its quotes.
    pub string: fn(&str, &mut Vec<u8>),
}

impl Style {
    /// As the server prints.
    pub const SERVER: Self =
        Self { quote: b"\"", double: number::write_server_double, string: write_server_string };
}

/// Appends the text of a document.
pub fn write_text(document: &[u8], style: Style, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut writer = Writer { style, budget: document.len(), out };
    writer.value(read(document)?, 0)
}

struct Writer<'a> {
    style: Style,
    /// Bytes of the document that were not read yet. Offsets of a hostile document may lead to
    /// the same bytes again and again; of a true one they never do.
    budget: usize,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn value(&mut self, node: Node<'_>, depth: u32) -> Result<(), Error> {
        match node {
            Node::Object(container) => self.container(container, [b'{', b'}'], depth)?,
            Node::Array(container) => self.container(container, [b'[', b']'], depth)?,
            Node::Null => self.out.extend_from_slice(b"null"),
            Node::Bool(true) => self.out.extend_from_slice(b"true"),
            Node::Bool(false) => self.out.extend_from_slice(b"false"),
            Node::Int(value) => {
                self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
            }
            Node::UInt(value) => {
                self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
            }
            Node::Double(value) => (self.style.double)(value, self.out),
            Node::String(bytes) => self.string(bytes),
            Node::Opaque { code, bytes } => self.opaque(code, bytes)?,
        }
        Ok(())
    }

    fn container(
        &mut self,
        container: Container<'_>,
        [open, close]: [u8; 2],
        depth: u32,
    ) -> Result<(), Error> {
        if depth >= DEEPEST {
            return Err(Error::JsonDepth);
        }
        self.spend(container.head_length().unwrap_or(usize::MAX))?;
        self.out.push(open);
        for place in 0..container.count() {
            if place > 0 {
                self.out.extend_from_slice(b", ");
            }
            if open == b'{' {
                let key = container.key(place)?;
                self.spend(key.len())?;
                self.string(key);
                self.out.extend_from_slice(b": ");
            }
            let (value, length) = container.value(place)?;
            if !matches!(value, Node::Object(_) | Node::Array(_)) {
                self.spend(length)?;
            }
            self.value(value, depth + 1)?;
        }
        self.out.push(close);
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Error> {
        let left = self.budget.checked_sub(bytes);
        self.budget = left.ok_or(Error::Impossible { what: WHAT, value: bytes as u64 })?;
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) {
        match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => (self.style.string)(text, self.out),
            Err(_) => (self.style.string)(&String::from_utf8_lossy(bytes), self.out),
        }
    }

    /// Decimals as numbers, temporal values as their text, all else as
    /// `"base64:type<code>:<bytes>"` (`Json_wrapper::to_string`, sql-common/json_dom.cc).
    fn opaque(&mut self, code: u8, bytes: &[u8]) -> Result<(), Error> {
        let packed = || Cursor::new(WHAT, bytes).array().map(i64::from_le_bytes);
        match code {
            code::NEWDECIMAL => {
                let mut cursor = Cursor::new(WHAT, bytes);
                let (precision, scale) = (cursor.u8()?, cursor.u8()?);
                Decimal::new(precision, scale, cursor.rest())?.write(self.out);
            }
            code::DATE => {
                let date = DateTime::decode_json(packed()?).date;
                self.quoted(|out| date.write(out));
            }
            code::DATETIME | code::TIMESTAMP => {
                let moment = DateTime::decode_json(packed()?);
                self.quoted(|out| moment.write(out));
            }
            code::TIME => {
                let time = Time::decode_json(packed()?);
                self.quoted(|out| time.write(out));
            }
            other => {
                let text = format!("base64:type{other}:{}", base64_in_lines(bytes));
                (self.style.string)(&text, self.out);
            }
        }
        Ok(())
    }

    fn quoted(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.extend_from_slice(self.style.quote);
        write(self.out);
        self.out.extend_from_slice(self.style.quote);
    }
}

/// The server breaks base64 into lines of 76 characters (`base64_encode`, mysys/base64.cc).
fn base64_in_lines(bytes: &[u8]) -> String {
    const LINE: usize = 76 / 4 * 3;
    let lines: Vec<String> = bytes.chunks(LINE).map(|line| STANDARD.encode(line)).collect();
    lines.join("\n")
}

/// Appends a string as the server quotes it: `"` and `\` behind a `\`, the short forms of JSON,
/// `\u00xx` for other control characters (`double_quote`, sql-common/json_dom.cc).
pub fn write_server_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(place) = rest.iter().position(|b| *b < 0x20 || matches!(b, b'"' | b'\\')) {
        let (clean, behind) = rest.split_at_checked(place).unwrap_or_default();
        out.extend_from_slice(clean);
        let Some((special, behind)) = behind.split_first() else { break };
        rest = behind;
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            control => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(control >> 4), digit(control & 15)]);
            }
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
