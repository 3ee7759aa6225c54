//! The character sets of China, Japan and Korea: `encoding_rs`, and the server's exceptions to it.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use encoding_rs::{CoderResult, Encoding};

use super::exceptions::{self, Run};

/// A character set whose characters have one byte below 0x80 and up to four from there on.
pub(super) struct MultiByte {
    encoding: &'static Encoding,
    /// Sorted.
    exceptions: &'static [Run],
    /// Bytes of the character that begins with this byte (0x80 or more).
    length: fn(u8, Option<u8>) -> usize,
}

pub(super) static BIG5: MultiByte =
    MultiByte { encoding: encoding_rs::BIG5, exceptions: exceptions::BIG5, length: two };
pub(super) static GBK: MultiByte =
    MultiByte { encoding: encoding_rs::GBK, exceptions: &[], length: two };
pub(super) static GB2312: MultiByte =
    MultiByte { encoding: encoding_rs::GBK, exceptions: exceptions::GB2312, length: two };
pub(super) static GB18030: MultiByte = MultiByte {
    encoding: encoding_rs::GB18030,
    exceptions: exceptions::GB18030,
    length: two_or_four,
};
pub(super) static EUCKR: MultiByte =
    MultiByte { encoding: encoding_rs::EUC_KR, exceptions: &[], length: two };
pub(super) static SJIS: MultiByte =
    MultiByte { encoding: encoding_rs::SHIFT_JIS, exceptions: exceptions::SJIS, length: shift_jis };
pub(super) static CP932: MultiByte =
    MultiByte { encoding: encoding_rs::SHIFT_JIS, exceptions: &[], length: shift_jis };
pub(super) static UJIS: MultiByte =
    MultiByte { encoding: encoding_rs::EUC_JP, exceptions: exceptions::UJIS, length: euc };
pub(super) static EUCJPMS: MultiByte =
    MultiByte { encoding: encoding_rs::EUC_JP, exceptions: exceptions::EUCJPMS, length: euc };

fn two(_: u8, _: Option<u8>) -> usize {
    2
}

fn two_or_four(_: u8, second: Option<u8>) -> usize {
    if matches!(second, Some(b'0'..=b'9')) { 4 } else { 2 }
}

/// Half-width katakana take one byte.
fn shift_jis(first: u8, _: Option<u8>) -> usize {
    if matches!(first, 0xa1..=0xdf) { 1 } else { 2 }
}

/// 0x8f leads to a second plane.
fn euc(first: u8, _: Option<u8>) -> usize {
    if first == 0x8f { 3 } else { 2 }
}

impl MultiByte {
    /// Appends the text as UTF-8; says how many U+FFFD stand for bytes that mean nothing.
    pub(super) fn write(&self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        if self.exceptions.is_empty() {
            return self.decode(bytes, out);
        }
        let mut replaced = 0;
        // `ordinary` begins with what encoding_rs is still to read, `at` is how far it goes.
        let (mut ordinary, mut at) = (bytes, 0);
        while let Some(first) = ordinary.get(at) {
            if *first < 0x80 {
                at += 1;
                continue;
            }
            let length = (self.length)(*first, ordinary.get(at + 1).copied());
            let exception = ordinary.get(at..at + length).and_then(|letter| self.exception(letter));
            let Some(exception) = exception else {
                at += length;
                continue;
            };
            let (before, behind) = ordinary.split_at_checked(at).unwrap_or((ordinary, &[]));
            replaced += self.decode(before, out);
            out.extend_from_slice(exception.encode_utf8(&mut [0; 4]).as_bytes());
            ordinary = behind.get(length..).unwrap_or_default();
            at = 0;
        }
        replaced + self.decode(ordinary, out)
    }

    fn exception(&self, letter: &[u8]) -> Option<char> {
        let sequence = letter.iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
        let place = self.exceptions.partition_point(|run| run.last < sequence);
        let run = self.exceptions.get(place)?;
        char::from_u32(run.code_point + sequence.checked_sub(run.first)?)
    }

    /// By `encoding_rs`, into `out` directly: its own `decode` would allocate for each value.
    fn decode(&self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        let mut decoder = self.encoding.new_decoder_without_bom_handling();
        let start = out.len();
        let Some(most) = decoder.max_utf8_buffer_length(bytes.len()) else { return 0 };
        out.resize(start + most, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let (result, _, written, had_errors) = decoder.decode_to_utf8(bytes, room, true);
        debug_assert_eq!(result, CoderResult::InputEmpty);
        out.truncate(start + written);
        if !had_errors {
            return 0;
        }
        let text = out.get(start..).unwrap_or_default();
        text.windows(3).filter(|letter| *letter == "\u{fffd}".as_bytes()).count()
    }
}
