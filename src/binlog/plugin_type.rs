//! MariaDB's plug-in types UUID, INET4 and INET6: bytes of fixed length, printed as the server
//! prints them. On the wire they are BINARYs, without the zeros at their end; only the table's
//! definition gives them.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::io::Write as _;

use crate::change::PluginType;

/// A value of such a type, its zeros back in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PluginValue {
    kind: PluginType,
    bytes: [u8; 16],
}

impl PluginValue {
    /// `stored` may lack zeros at its end.
    pub(super) fn new(kind: PluginType, stored: &[u8]) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(stored) {
            *to = *from;
        }
        Self { kind, bytes }
    }

    /// Appends its text.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self.kind {
            PluginType::Uuid => write_uuid(self.bytes, out),
            PluginType::Inet4 => {
                let [a, b, c, d, ..] = self.bytes;
                display(format_args!("{a}.{b}.{c}.{d}"), out);
            }
            PluginType::Inet6 => write_inet6(self.bytes, out),
        }
    }
}

fn display(text: impl std::fmt::Display, out: &mut Vec<u8>) {
    let _ = write!(out, "{text}"); // a vector takes all it is given
}

/// Where the bytes of a UUID are that was stored with its last group first.
const SWAPPED: [usize; 16] = [12, 13, 14, 15, 10, 11, 8, 9, 6, 7, 0, 1, 2, 3, 4, 5];

/// UUIDs of the versions 1 to 5 are stored with their last group first, so that they sort by
/// machine and time (`rec_need_swap`, plugin/type_uuid/sql_type_uuid.h).
fn write_uuid(record: [u8; 16], out: &mut Vec<u8>) {
    let [_, _, _, _, _, _, variant, _, version, ..] = record;
    let swapped = variant & 0x80 != 0 && (1..=0x80).contains(&version);
    for (place, from) in SWAPPED.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        let byte = record.get(if swapped { *from } else { place }).copied().unwrap_or(0);
        display(format_args!("{byte:02x}"), out);
    }
}

/// The longest row of zero words becomes `::`, also when it is one word alone; the end of a
/// mapped or compatible address is printed as INET4 (`Inet6::to_string`,
/// plugin/type_inet/sql_type_inet.cc).
fn write_inet6(bytes: [u8; 16], out: &mut Vec<u8>) {
    let (pairs, _) = bytes.as_chunks::<2>();
    let words: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    let (gap, length) = longest_gap(&words);
    let mapped = length == 5 && words.get(5) == Some(&0xffff);
    let with_inet4 = gap == 0 && (length == 6 || mapped);
    let mut place = 0;
    while let Some(word) = words.get(place) {
        if length > 0 && place == gap {
            out.extend_from_slice(if place == 0 { b"::" } else { b":" });
            place += length;
        } else if with_inet4 && place == 6 {
            let [.., a, b, c, d] = bytes;
            display(format_args!("{a}.{b}.{c}.{d}"), out);
            return;
        } else {
            display(format_args!("{word:x}"), out);
            place += 1;
            if place < words.len() {
                out.push(b':');
            }
        }
    }
}

/// Where the first of the longest rows of zeros begins, and its length.
fn longest_gap(words: &[u16]) -> (usize, usize) {
    let (mut found, mut begin) = ((0, 0), 0);
    for (place, word) in words.iter().enumerate() {
        if *word != 0 {
            begin = place + 1;
        } else if place + 1 - begin > found.1 {
            found = (begin, place + 1 - begin);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: PluginType, stored: &[u8]) -> String {
        let mut out = Vec::new();
        PluginValue::new(kind, stored).write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Rules of `Inet6::to_string`; whole columns are compared with a server by tests/it/tables.
    #[test]
    fn addresses_are_printed_as_the_server_prints_them() {
        assert_eq!(text(PluginType::Inet4, &[10, 0, 7]), "10.0.7.0");
        assert_eq!(text(PluginType::Inet6, &[]), "::");
        assert_eq!(text(PluginType::Inet6, &[0x20, 0x01, 0x0d, 0xb8]), "2001:db8::");
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4];
        assert_eq!(text(PluginType::Inet6, &mapped), "::ffff:1.2.3.4");
        let one_zero = [0, 1, 0, 0, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7];
        assert_eq!(text(PluginType::Inet6, &one_zero), "1::2:3:4:5:6:7");
    }

    #[test]
    fn a_uuid_with_a_time_in_it_is_put_back_in_order() {
        let stored = [6, 7, 8, 9, 10, 11, 0x80, 5, 0x11, 4, 2, 3, 0xd0, 0xd1, 0xd2, 0xd3];
        assert_eq!(text(PluginType::Uuid, &stored), "d0d1d2d3-0203-1104-8005-060708090a0b");
        let plain = [0xd0, 0xd1, 0xd2, 0xd3, 2, 3, 0x71, 4, 0x80, 5, 6, 7, 8, 9, 10, 11];
        assert_eq!(text(PluginType::Uuid, &plain), "d0d1d2d3-0203-7104-8005-060708090a0b");
    }
}
