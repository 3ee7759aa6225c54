//! Text to the inside of a JSON string.
//!
//! Text is first written raw, then made into JSON where it lies: most of it has nothing to
//! escape, and finding that out is all it costs.

/// Bytes looked at together; a width the compiler makes vectors of.
const BLOCK: usize = 32;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Escapes what stands in `out` from `start` on, as fastjson2 does for Canal: `\" \\ \n \r
/// \t \b \f`, other bytes below 0x20 as `\u00xx`, all else as it is.
pub(super) fn escape_from(out: &mut Vec<u8>, start: usize) {
    let Some(first) = out[start..].find_special() else { return };
    let first = start + first;
    let growth: usize = out[first..].iter().map(|byte| width(*byte) - 1).sum();
    let mut from = out.len();
    out.resize(from + growth, 0);
    let mut to = out.len();
    // backwards, so that nothing is overwritten before it is read
    while from > first {
        from -= 1;
        let byte = out[from];
        to -= width(byte);
        put(&mut out[to..], byte);
    }
}

/// Appends `text` as a whole JSON string, quotes included.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    escape_from(out, start);
    out.push(b'"');
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

trait FindSpecial {
    /// Where the first byte stands that has to be escaped.
    fn find_special(&self) -> Option<usize>;
}

impl FindSpecial for [u8] {
    fn find_special(&self) -> Option<usize> {
        let (blocks, _) = self.as_chunks::<BLOCK>();
        // without a short cut inside the block, so that it becomes vector code
        let clean = |block: &&[u8; BLOCK]| !block.iter().fold(false, |any, b| any | is_special(*b));
        let skipped = blocks.iter().take_while(clean).count() * BLOCK;
        self[skipped..].iter().position(|byte| is_special(*byte)).map(|place| skipped + place)
    }
}

/// The letter of a two-character escape.
fn short(byte: u8) -> Option<u8> {
    match byte {
        b'"' | b'\\' => Some(byte),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        b'\t' => Some(b't'),
        0x08 => Some(b'b'),
        0x0c => Some(b'f'),
        _ => None,
    }
}

fn width(byte: u8) -> usize {
    match byte {
        _ if !is_special(byte) => 1,
        _ if short(byte).is_some() => 2,
        _ => 6,
    }
}

/// Writes `byte` escaped over the start of `place`.
fn put(place: &mut [u8], byte: u8) {
    if !is_special(byte) {
        place[0] = byte;
    } else if let Some(letter) = short(byte) {
        place[..2].copy_from_slice(&[b'\\', letter]);
    } else {
        let [high, low] = [byte >> 4, byte & 0xf].map(|digit| HEX[usize::from(digit)]);
        place[..6].copy_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
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
    fn a_special_byte_is_found_wherever_it_stands() {
        for length in 1..100 {
            for place in 0..length {
                let mut text = vec![b'x'; length];
                text[place] = b'"';
                let mut out = b"\"head\"".to_vec();
                let start = out.len();
                out.extend_from_slice(&text);
                escape_from(&mut out, start);
                assert_eq!(&out[..start], b"\"head\"");
                let expected = String::from_utf8(text).unwrap().replace('"', "\\\"");
                assert_eq!(out[start..], *expected.as_bytes());
            }
        }
    }
}
