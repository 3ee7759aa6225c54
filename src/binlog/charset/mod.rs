//! Text of any character set to UTF-8.
//!
//! In: bytes as a column stores them. Out: UTF-8, appended. Bytes that mean nothing become U+FFFD
//! and are counted: a row is never dropped for its text. The sets of one byte have the server's
//! own tables; those of two and more are `encoding_rs`'s, but for what the server reads otherwise;
//! the UTF-16 and UTF-32 family is read here (`ucs2`, `utf16` and `utf32` are big-endian).

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

mod exceptions;
mod multibyte;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use crate::change::Charset;
use multibyte::MultiByte;

/// How the bytes of a character set are read.
enum Reading {
    /// UTF-8, or bytes that nobody may look into.
    Utf8,
    /// ASCII below 0x80, a table above.
    High(&'static [u16; 128]),
    /// A table below 0x80, nothing above.
    Low(&'static [u16; 128]),
    /// ASCII, and characters of several bytes.
    MultiByte(&'static MultiByte),
    /// ASCII, and nothing above.
    Ascii,
    /// Units of 2 bytes, with surrogate pairs or without.
    Utf16 { big_endian: bool, pairs: bool },
    /// Units of 4 bytes, big-endian.
    Utf32,
}

fn reading(charset: Charset) -> Reading {
    match charset {
        Charset::Binary | Charset::Utf8Mb3 | Charset::Utf8Mb4 => Reading::Utf8,
        Charset::Ascii => Reading::Ascii,
        Charset::ArmScii8 => Reading::High(&tables::ARMSCII8),
        Charset::Cp1250 => Reading::High(&tables::CP1250),
        Charset::Cp1251 => Reading::High(&tables::CP1251),
        Charset::Cp1256 => Reading::High(&tables::CP1256),
        Charset::Cp1257 => Reading::High(&tables::CP1257),
        Charset::Cp850 => Reading::High(&tables::CP850),
        Charset::Cp852 => Reading::High(&tables::CP852),
        Charset::Cp866 => Reading::High(&tables::CP866),
        Charset::Dec8 => Reading::High(&tables::DEC8),
        Charset::GeoStd8 => Reading::High(&tables::GEOSTD8),
        Charset::Greek => Reading::High(&tables::GREEK),
        Charset::Hebrew => Reading::High(&tables::HEBREW),
        Charset::Hp8 => Reading::High(&tables::HP8),
        Charset::KeyBcs2 => Reading::High(&tables::KEYBCS2),
        Charset::Koi8R => Reading::High(&tables::KOI8R),
        Charset::Koi8U => Reading::High(&tables::KOI8U),
        Charset::Latin1 => Reading::High(&tables::LATIN1),
        Charset::Latin2 => Reading::High(&tables::LATIN2),
        Charset::Latin5 => Reading::High(&tables::LATIN5),
        Charset::Latin7 => Reading::High(&tables::LATIN7),
        Charset::MacCe => Reading::High(&tables::MACCE),
        Charset::MacRoman => Reading::High(&tables::MACROMAN),
        Charset::Tis620 => Reading::High(&tables::TIS620),
        Charset::Swe7 => Reading::Low(&tables::SWE7),
        Charset::Big5 => Reading::MultiByte(&multibyte::BIG5),
        Charset::Cp932 => Reading::MultiByte(&multibyte::CP932),
        Charset::Sjis => Reading::MultiByte(&multibyte::SJIS),
        Charset::EucJpMs => Reading::MultiByte(&multibyte::EUCJPMS),
        Charset::Ujis => Reading::MultiByte(&multibyte::UJIS),
        Charset::EucKr => Reading::MultiByte(&multibyte::EUCKR),
        Charset::Gb18030 => Reading::MultiByte(&multibyte::GB18030),
        Charset::Gb2312 => Reading::MultiByte(&multibyte::GB2312),
        Charset::Gbk => Reading::MultiByte(&multibyte::GBK),
        Charset::Ucs2 => Reading::Utf16 { big_endian: true, pairs: false },
        Charset::Utf16 => Reading::Utf16 { big_endian: true, pairs: true },
        Charset::Utf16Le => Reading::Utf16 { big_endian: false, pairs: true },
        Charset::Utf32 => Reading::Utf32,
    }
}

/// Whether ASCII bytes mean ASCII in it.
#[inline]
pub fn holds_ascii(charset: Charset) -> bool {
    match reading(charset) {
        Reading::Utf8 | Reading::High(_) | Reading::MultiByte(_) | Reading::Ascii => true,
        Reading::Low(_) | Reading::Utf16 { .. } | Reading::Utf32 => false,
    }
}

/// The text itself, when its bytes are its UTF-8 already.
#[inline]
pub fn borrow_utf8(charset: Charset, bytes: &[u8]) -> Option<&str> {
    match charset {
        Charset::Utf8Mb4 | Charset::Utf8Mb3 => simdutf8::basic::from_utf8(bytes).ok(),
        _ if holds_ascii(charset) && bytes.is_ascii() => simdutf8::basic::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// Whether the set has a code for the character.
pub fn holds(charset: Charset, letter: char) -> bool {
    let code_point = u32::from(letter);
    let is_of = |table: &[u16]| table.iter().any(|mapped| u32::from(*mapped) == code_point);
    match reading(charset) {
        Reading::Utf8 => charset != Charset::Utf8Mb3 || code_point <= 0xffff,
        Reading::Ascii => letter.is_ascii(),
        Reading::High(table) => letter.is_ascii() || is_of(table),
        Reading::Low(table) => is_of(table),
        Reading::Utf16 { pairs, .. } => pairs || code_point <= 0xffff,
        Reading::MultiByte(_) => {
            letter.is_ascii() || charset == Charset::Gb18030 || letters(charset).contains(&letter)
        }
        Reading::Utf32 => true,
    }
}

/// All letters that codes of one to three bytes mean in a set; made once for each set asked for.
fn letters(charset: Charset) -> Arc<HashSet<char>> {
    static MADE: LazyLock<Mutex<HashMap<Charset, Arc<HashSet<char>>>>> =
        LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let letters = made.entry(charset).or_insert_with(|| {
        let mut letters = HashSet::new();
        let mut text = Vec::new();
        let mut read = |code: &[u8]| {
            text.clear();
            if to_utf8(charset, code, &mut text) == 0 {
                letters.extend(std::str::from_utf8(&text).unwrap_or_default().chars());
            }
        };
        for first in 0x80..=0xff {
            read(&[first]);
            for second in 0x40..=0xff {
                read(&[first, second]);
            }
        }
        // JIS X 0212, in the sets of EUC-JP.
        for second in 0xa1..=0xfe {
            for third in 0xa1..=0xfe {
                read(&[0x8f, second, third]);
            }
        }
        Arc::new(letters)
    });
    Arc::clone(letters)
}

/// Appends the text as UTF-8; says how many U+FFFD stand for bytes that mean nothing.
#[inline]
pub fn to_utf8(charset: Charset, bytes: &[u8], out: &mut Vec<u8>) -> usize {
    if let Some(text) = borrow_utf8(charset, bytes) {
        out.extend_from_slice(text.as_bytes());
        return 0;
    }
    let mut writer = Writer { out, replaced: 0 };
    writer.text(&reading(charset), bytes);
    writer.replaced
}

/// The text as a string, for what is not read by the row.
pub fn to_string(charset: Charset, bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    to_utf8(charset, bytes, &mut out);
    String::from_utf8(out)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    replaced: usize,
}

impl Writer<'_> {
    fn push(&mut self, code_point: Option<u32>) {
        let letter = code_point.and_then(char::from_u32).unwrap_or_else(|| {
            self.replaced += 1;
            char::REPLACEMENT_CHARACTER
        });
        self.out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// 0 in a table stands for nothing, save for the byte 0 itself.
    fn push_mapped(&mut self, byte: u8, code_point: u16) {
        self.push(Some(u32::from(code_point)).filter(|mapped| *mapped != 0 || byte == 0));
    }

    fn text(&mut self, reading: &Reading, bytes: &[u8]) {
        match *reading {
            Reading::Utf8 => self.lossy(bytes),
            Reading::Ascii => {
                for byte in bytes {
                    self.push(byte.is_ascii().then_some(u32::from(*byte)));
                }
            }
            Reading::High(table) => {
                for byte in bytes {
                    match byte.checked_sub(0x80) {
                        None => self.out.push(*byte),
                        Some(place) => {
                            let mapped = table.get(usize::from(place)).copied().unwrap_or(0);
                            self.push_mapped(*byte, mapped);
                        }
                    }
                }
            }
            Reading::Low(table) => {
                for byte in bytes {
                    self.push_mapped(*byte, table.get(usize::from(*byte)).copied().unwrap_or(0));
                }
            }
            Reading::MultiByte(charset) => self.replaced += charset.write(bytes, self.out),
            Reading::Utf16 { big_endian, pairs } => self.utf16(big_endian, pairs, bytes),
            Reading::Utf32 => {
                let (units, rest) = bytes.as_chunks::<4>();
                for unit in units {
                    self.push(Some(u32::from_be_bytes(*unit)));
                }
                if !rest.is_empty() {
                    self.push(None);
                }
            }
        }
    }

    fn lossy(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            self.out.extend_from_slice(chunk.valid().as_bytes());
            if !chunk.invalid().is_empty() {
                self.push(None);
            }
        }
    }

    fn utf16(&mut self, big_endian: bool, pairs: bool, bytes: &[u8]) {
        let (units, rest) = bytes.as_chunks::<2>();
        let unit = |raw: &[u8; 2]| {
            if big_endian { u16::from_be_bytes(*raw) } else { u16::from_le_bytes(*raw) }
        };
        if pairs {
            for letter in char::decode_utf16(units.iter().map(unit)) {
                self.push(letter.ok().map(u32::from));
            }
        } else {
            for raw in units {
                self.push(Some(u32::from(unit(raw))));
            }
        }
        if !rest.is_empty() {
            self.push(None);
        }
    }
}
