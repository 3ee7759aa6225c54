//! DECIMAL: exact numbers of up to 65 digits, printed from their digits.
//!
//! Integer and fraction are packed apart, nine digits in four bytes big-endian; digits beyond
//! whole groups (the first of the integer, the last of the fraction) take fewer bytes. The top
//! bit is flipped, so that bytes sort as numbers; a negative number has all bits inverted
//! (`decimal2bin`, strings/decimal.cc).

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::Error;
use super::cursor::{Cursor, big_endian};
use super::digits::{put_padded, put_unsigned};

const DIGITS_OF_GROUP: u8 = 9;

/// A DECIMAL as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal<'a> {
    precision: u8,
    scale: u8,
    bytes: &'a [u8],
}

/// Bytes that hold a number of digits, the part of a group included.
const fn bytes_of(digits: u8) -> usize {
    let part = match digits % DIGITS_OF_GROUP {
        0 => 0,
        1 | 2 => 1,
        3 | 4 => 2,
        5 | 6 => 3,
        _ => 4,
    };
    (digits / DIGITS_OF_GROUP) as usize * 4 + part
}

impl<'a> Decimal<'a> {
    /// Bytes of a DECIMAL(precision, scale).
    #[inline]
    pub const fn encoded_length(precision: u8, scale: u8) -> usize {
        bytes_of(precision.saturating_sub(scale)) + bytes_of(scale)
    }

    /// The number at the front of `bytes`.
    pub fn new(precision: u8, scale: u8, bytes: &'a [u8]) -> Result<Self, Error> {
        let bytes = Cursor::new("a DECIMAL", bytes).take(Self::encoded_length(precision, scale))?;
        if precision < scale {
            return Err(Error::Impossible { what: "a DECIMAL", value: u64::from(scale) });
        }
        Ok(Self { precision, scale, bytes })
    }

    /// Whether it has a minus.
    fn is_negative(&self) -> bool {
        self.bytes.first().is_some_and(|first| first & 0x80 == 0)
    }

    /// Appends the server's text: no leading zeros but one before the point, all digits of the
    /// scale behind it.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.is_negative() {
            out.push(b'-');
        }
        let integer_digits = self.precision - self.scale;
        let mut groups = Groups { left: self.bytes, mask: self.mask(), first: true };
        let start = out.len();
        let part = integer_digits % DIGITS_OF_GROUP;
        if part > 0 {
            write_significant(groups.next(bytes_of(part)), part, start, out);
        }
        for _ in 0..integer_digits / DIGITS_OF_GROUP {
            write_significant(groups.next(4), DIGITS_OF_GROUP, start, out);
        }
        if out.len() == start {
            out.push(b'0');
        }
        if self.scale == 0 {
            return;
        }
        out.push(b'.');
        for _ in 0..self.scale / DIGITS_OF_GROUP {
            put_padded(out, groups.next(4), usize::from(DIGITS_OF_GROUP));
        }
        let part = self.scale % DIGITS_OF_GROUP;
        if part > 0 {
            put_padded(out, groups.next(bytes_of(part)), usize::from(part));
        }
    }

    /// Appends the bytes of a DECIMAL(precision, scale) with the server's text `number`.
    pub fn encode(precision: u8, scale: u8, number: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let wrong = || Error::Impossible { what: "the text of a DECIMAL", value: 0 };
        let (minus, digits) = match number.split_first() {
            Some((b'-', digits)) => (true, digits),
            _ => (false, number),
        };
        let mut parts = digits.splitn(2, |byte| *byte == b'.');
        let integer = parts.next().unwrap_or_default();
        let fraction = parts.next().unwrap_or_default();
        let zeros = integer.iter().take_while(|digit| **digit == b'0').count();
        let integer = integer.get(zeros..).unwrap_or_default();
        let integer_digits = usize::from(precision.checked_sub(scale).ok_or_else(wrong)?);
        let all = || integer.iter().chain(fraction);
        if integer.len() > integer_digits
            || fraction.len() > usize::from(scale)
            || digits.is_empty()
            || !all().all(u8::is_ascii_digit)
        {
            return Err(wrong());
        }
        let start = out.len();
        // Zeros in front of the first digits and behind the last are not in the text.
        let group = usize::from(DIGITS_OF_GROUP);
        let missing = integer_digits - integer.len();
        let padding = std::iter::repeat_n(&b'0', missing);
        put_groups(padding.chain(integer), integer_digits % group, integer_digits / group, out);
        let missing = usize::from(scale) - fraction.len();
        let mut digits = fraction.iter().chain(std::iter::repeat_n(&b'0', missing));
        put_groups(digits.by_ref(), 0, usize::from(scale) / group, out);
        put_groups(digits, usize::from(scale) % group, 0, out);
        // No server stores a zero with a minus.
        let is_negative = minus && all().any(|digit| *digit != b'0');
        let mut packed = out.get_mut(start..).unwrap_or_default().iter_mut();
        if let Some(first) = packed.next() {
            *first ^= if is_negative { 0x7f } else { 0x80 };
        }
        if is_negative {
            packed.for_each(|byte| *byte = !*byte);
        }
        Ok(())
    }

    fn mask(&self) -> u8 {
        if self.is_negative() { 0xff } else { 0 }
    }
}

/// Appends a group of `part` digits, if that is not 0, and then so many `whole` ones.
fn put_groups<'a>(
    mut digits: impl Iterator<Item = &'a u8>,
    part: usize,
    whole: usize,
    out: &mut Vec<u8>,
) {
    let mut put = |count: usize| {
        let digits = digits.by_ref().take(count);
        let group = digits.fold(0_u32, |group, digit| group * 10 + u32::from(digit & 0xf));
        let bytes = bytes_of(u8::try_from(count).unwrap_or(DIGITS_OF_GROUP));
        out.extend(group.to_be_bytes().into_iter().skip(4 - bytes));
    };
    if part > 0 {
        put(part);
    }
    (0..whole).for_each(|_| put(usize::from(DIGITS_OF_GROUP)));
}

/// Takes the groups off the front, with the sign undone.
struct Groups<'a> {
    left: &'a [u8],
    mask: u8,
    first: bool,
}

impl Groups<'_> {
    fn next(&mut self, length: usize) -> u32 {
        let (group, left) = self.left.split_at_checked(length).unwrap_or_default();
        self.left = left;
        let mut plain = [0; 4];
        for (to, from) in plain.iter_mut().zip(group) {
            *to = from ^ self.mask;
        }
        if std::mem::take(&mut self.first) {
            let [top, ..] = &mut plain;
            *top ^= 0x80;
        }
        let value = big_endian(plain.get(..length).unwrap_or_default());
        u32::try_from(value).unwrap_or(u32::MAX)
    }
}

/// Without the zeros at the front of the number that begins at `start`.
fn write_significant(group: u32, digits: u8, start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        put_padded(out, group, usize::from(digits));
    } else if group > 0 {
        put_unsigned(out, u64::from(group));
    }
}
