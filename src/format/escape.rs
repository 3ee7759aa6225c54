//! Text to the inside of a JSON string.
//!
//! Text is copied block by block and word by word, and looked at on the way: most has nothing to
//! escape, and what follows the few bytes that have is not looked at twice. A copy whose length is
//! fixed is a store or two, one whose length varies is a call; so a word is appended whole, and cut
//! back to where something special begins.

/// Bytes looked at together; a width the compiler makes vectors of.
const BLOCK: usize = 32;
const WORD: usize = size_of::<u64>();
const HEX: &[u8; 16] = b"0123456789abcdef";
/// A byte in each place of a word.
const EACH: u64 = 0x0101_0101_0101_0101;
/// The top bit of each byte.
const TOPS: u64 = 0x80 * EACH;

/// Appends `text`, escaped as fastjson2 does for Canal: `\" \\ \n \r \t \b \f`, other bytes below
/// 0x20 as `\u00xx`, all else as it is. Whether it is ASCII: if not, it is for the caller to know
/// that it is UTF-8.
#[inline]
pub(super) fn put_escaped(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let mut rest = text;
    let mut all = 0;
    while let Some((block, behind)) = rest.split_first_chunk::<BLOCK>() {
        // without a short cut inside the block, so that it becomes vector code
        all |= u64::from(block.iter().fold(0, |all, byte| all | byte));
        if block.iter().fold(false, |any, byte| any | is_special(*byte)) {
            // Words up to the end of the block, and as far behind it as its last word reaches.
            while rest.len() > behind.len() {
                let Some(word) = rest.first_chunk() else { break };
                all |= u64::from_le_bytes(*word);
                rest = &rest[put_word(out, *word, WORD)..];
            }
        } else {
            out.extend_from_slice(block);
            rest = behind;
        }
    }
    while let Some(word) = rest.first_chunk() {
        all |= u64::from_le_bytes(*word);
        rest = &rest[put_word(out, *word, WORD)..];
    }
    while !rest.is_empty() {
        let mut word = [b' '; WORD];
        match text.last_chunk() {
            // The last bytes of the text, with those before them pushed out.
            Some(last) => {
                let pushed = u64::from_le_bytes(*last) >> (8 * (WORD - rest.len()));
                word = pushed.to_le_bytes();
            }
            None => word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from),
        }
        all |= u64::from_le_bytes(word);
        rest = &rest[put_word(out, word, rest.len())..];
    }
    all & TOPS == 0
}

/// Appends the first `length` bytes of a word up to the first that has to be escaped, and that one
/// escaped. How many bytes of it that were.
#[inline]
fn put_word(out: &mut Vec<u8>, word: [u8; WORD], length: usize) -> usize {
    let place = special_of(word).unwrap_or(WORD);
    let end = out.len() + place.min(length);
    out.extend_from_slice(&word);
    out.truncate(end);
    if place >= length {
        return length;
    }
    put_special(out, word[place]);
    place + 1
}

/// Appends `text` as a whole JSON string, quotes included.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    put_escaped(out, text.as_bytes());
    out.push(b'"');
}

/// Appends each byte as the character of the same number (U+0000 to U+00FF), escaped.
pub(super) fn put_escaped_code_points(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        let (text, length) = CODE_POINTS[usize::from(*byte)];
        let end = out.len() + usize::from(length);
        out.extend_from_slice(&text);
        out.truncate(end);
    }
}

/// What [`put_escaped_code_points`] appends for each byte, and how many bytes of it.
static CODE_POINTS: [([u8; WORD], u8); 256] = {
    let mut all = [([0; WORD], 1); 256];
    let (mut place, mut byte) = (0, 0_u8);
    while place < all.len() {
        let (text, length) = &mut all[place];
        if byte >= 0x80 {
            // U+0080 to U+00FF in UTF-8
            text[0] = 0xc0 | byte >> 6;
            text[1] = 0x80 | byte & 0x3f;
            *length = 2;
        } else if is_special(byte) {
            text[0] = b'\\';
            text[1] = short_escape(byte);
            *length = 2;
            if text[1] == b'u' {
                text[2] = b'0';
                text[3] = b'0';
                text[4] = HEX[place >> 4];
                text[5] = HEX[place & 0xf];
                *length = 6;
            }
        } else {
            text[0] = byte;
        }
        place += 1;
        byte = byte.wrapping_add(1);
    }
    all
};

const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Where the first byte of a word is that has to be escaped. A borrow may mark a byte
/// wrongly, but only one behind a byte that is marked rightly.
#[inline]
fn special_of(word: [u8; WORD]) -> Option<usize> {
    let word = u64::from_le_bytes(word);
    let zero = |word: u64| word.wrapping_sub(EACH) & !word;
    let low = word.wrapping_sub(0x20 * EACH) & !word;
    let quote = zero(word ^ (u64::from(b'"') * EACH));
    let backslash = zero(word ^ (u64::from(b'\\') * EACH));
    let marks = (low | quote | backslash) & TOPS;
    (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
}

/// What is behind the backslash of a byte that has to be escaped: `u` where digits follow.
const fn short_escape(byte: u8) -> u8 {
    match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => b'u',
    }
}

/// Appends a byte that has to be escaped.
#[inline]
fn put_special(out: &mut Vec<u8>, byte: u8) {
    let letter = short_escape(byte);
    out.extend_from_slice(&[b'\\', letter]);
    if letter == b'u' {
        let [high, low] = [byte >> 4, byte & 0xf].map(|digit| HEX[usize::from(digit)]);
        out.extend_from_slice(&[b'0', b'0', high, low]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        put_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    /// Byte by byte.
    fn escaped_slowly(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for byte in text {
            if is_special(*byte) { put_special(&mut out, *byte) } else { out.push(*byte) }
        }
        out
    }

    #[test]
    fn controls_quotes_and_backslashes_are_escaped_as_fastjson2_does() {
        let all: String = (0..0x20u8).map(char::from).collect();
        assert_eq!(
            escaped(&all),
            r#""\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f""#
        );
        assert_eq!(escaped(r#"a"b\c/d"#), r#""a\"b\\c/d""#);
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        let text = "\u{7f}\u{80}\u{9f}é中😀\u{2028}</script>";
        assert_eq!(escaped(text), format!("\"{text}\""));
    }

    #[test]
    fn bytes_next_to_special_ones_are_distinguished_from_them() {
        let near = [0x1f, 0x20, 0x21, 0x22, 0x23, 0x5b, 0x5c, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff];
        for first in near {
            for second in near {
                let text: Vec<u8> = [first, second].into_iter().cycle().take(45).collect();
                for length in 0..text.len() {
                    let text = &text[..length];
                    let mut out = Vec::new();
                    let is_ascii = put_escaped(&mut out, text);
                    assert_eq!(out, escaped_slowly(text), "{first:x} {second:x} {length}");
                    assert_eq!(is_ascii, text.is_ascii(), "{first:x} {second:x} {length}");
                }
            }
        }
    }

    #[test]
    fn a_special_byte_is_found_wherever_it_is() {
        for length in 1..100 {
            for place in 0..length {
                let mut text = vec![b'x'; length];
                text[place] = b'"';
                let mut out = Vec::new();
                put_escaped(&mut out, &text);
                let expected = String::from_utf8(text).unwrap().replace('"', "\\\"");
                assert_eq!(out, expected.as_bytes());
            }
        }
    }

    #[test]
    fn code_points_are_escaped_as_their_text_is() {
        let all: Vec<u8> = (0..=255).collect();
        let text: String = all.iter().map(|byte| char::from(*byte)).collect();
        let mut out = Vec::new();
        put_escaped_code_points(&mut out, &all);
        assert_eq!(out, escaped_slowly(text.as_bytes()));
    }
}
