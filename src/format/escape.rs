//! Text to the inside of a JSON string.
//!
//! Most text has nothing to escape: finding the first byte that has is done word by word, and
//! what lies before it is copied in one piece.

/// Bytes looked at together; a width the compiler makes vectors of.
const BLOCK: usize = 32;
const HEX: &[u8; 16] = b"0123456789abcdef";
/// A byte in each place of a word.
const EACH: u64 = 0x0101_0101_0101_0101;
/// The top bit of each byte.
const TOPS: u64 = 0x80 * EACH;

/// Appends `text` (UTF-8), escaped as fastjson2 does for Canal: `\" \\ \n \r \t \b \f`, other
/// bytes below 0x20 as `\u00xx`, all else as it is.
#[inline]
pub(super) fn put_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    loop {
        let Some(place) = find_special(rest) else { break out.extend_from_slice(rest) };
        out.extend_from_slice(&rest[..place]);
        put_special(out, rest[place]);
        rest = &rest[place + 1..];
    }
}

/// Appends `text` as a whole JSON string, quotes included.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    put_escaped(out, text.as_bytes());
    out.push(b'"');
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Where the first byte stands that has to be escaped.
#[inline]
fn find_special(text: &[u8]) -> Option<usize> {
    let (blocks, _) = text.as_chunks::<BLOCK>();
    // without a short cut inside the block, so that it becomes vector code
    let is_clean = |block: &&[u8; BLOCK]| !block.iter().fold(false, |any, b| any | is_special(*b));
    let mut at = blocks.iter().take_while(is_clean).count() * BLOCK;
    while let Some(word) = text[at..].first_chunk() {
        if let Some(place) = special_of(*word) {
            return Some(at + place);
        }
        at += size_of::<u64>();
    }
    // The last bytes once more with those before them: what stands there is known to be clean.
    match text.last_chunk() {
        Some(word) => special_of(*word).map(|place| text.len() - size_of::<u64>() + place),
        None => text.iter().position(|byte| is_special(*byte)),
    }
}

/// Where the first byte of a word stands that has to be escaped. A borrow may mark a byte
/// wrongly, but only one behind a byte that is marked rightly.
#[inline]
fn special_of(word: [u8; 8]) -> Option<usize> {
    let word = u64::from_le_bytes(word);
    let zero = |word: u64| word.wrapping_sub(EACH) & !word;
    let low = word.wrapping_sub(0x20 * EACH) & !word;
    let quote = zero(word ^ (u64::from(b'"') * EACH));
    let backslash = zero(word ^ (u64::from(b'\\') * EACH));
    let marks = (low | quote | backslash) & TOPS;
    (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
}

/// Appends a byte that has to be escaped.
fn put_special(out: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let [high, low] = [byte >> 4, byte & 0xf].map(|digit| HEX[usize::from(digit)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        put_string(&mut out, text);
        String::from_utf8(out).unwrap()
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
    fn bytes_next_to_special_ones_are_told_from_them() {
        let near = [0x1f, 0x20, 0x21, 0x22, 0x23, 0x5b, 0x5c, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff];
        for first in near {
            for second in near {
                let text: Vec<u8> = [first, second].into_iter().cycle().take(21).collect();
                let expected = text.iter().position(|byte| is_special(*byte));
                assert_eq!(find_special(&text), expected, "{first:x} {second:x}");
            }
        }
    }

    #[test]
    fn a_special_byte_is_found_wherever_it_stands() {
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
}
