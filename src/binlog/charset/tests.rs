//! Text against what the server makes of it.
//!
//! `tests/golden/charsets`: for each character set what MySQL 9.7.4 gives for
//! `CONVERT(CONVERT(bytes USING cs) USING utf8mb4)`, over all sequences of bytes that mean
//! something to it; a line is the first sequence and the characters of it and those that follow.

#![expect(clippy::indexing_slicing, reason = "a test may fail by a panic")]

use proptest::prelude::*;

use super::*;

fn text(charset: Charset, bytes: &[u8]) -> String {
    to_string(charset, bytes)
}

/// A golden line's characters: `\u{...}` for what cannot be seen.
fn unescape(line: &str) -> Vec<char> {
    let (mut letters, mut rest) = (Vec::new(), line);
    while let Some(letter) = rest.chars().next() {
        if let Some(hidden) = rest.strip_prefix("\\u{") {
            let (code_point, behind) = hidden.split_once('}').unwrap();
            letters.push(char::from_u32(u32::from_str_radix(code_point, 16).unwrap()).unwrap());
            rest = behind;
        } else {
            letters.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    letters
}

/// The golden files by name.
macro_rules! goldens {
    ($($name:literal),* $(,)?) => {
        [$((
            $name,
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/golden/charsets/",
                $name,
                ".txt"
            )),
        ),)*]
    };
}

#[rustfmt::skip] // else one name a line
const GOLDENS: [(&str, &str); 34] = goldens![
    "armscii8", "ascii", "big5", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852",
    "cp866", "cp932", "dec8", "eucjpms", "euckr", "gb18030", "gb2312", "gbk", "geostd8", "greek",
    "hebrew", "hp8", "keybcs2", "koi8r", "koi8u", "latin1", "latin2", "latin5", "latin7",
    "macce", "macroman", "sjis", "swe7", "tis620", "ujis"
];

#[test]
fn every_character_of_every_set_is_the_server_s() {
    for (name, golden) in GOLDENS {
        let charset = Charset::from_name(name).unwrap();
        for line in golden.lines() {
            let (first, letters) = line.split_once(' ').unwrap();
            let length = first.len() / 2;
            let first = u32::from_str_radix(first, 16).unwrap();
            for (sequence, letter) in (first..).zip(unescape(letters)) {
                let bytes = &sequence.to_be_bytes()[4 - length..];
                let ours = text(charset, bytes);
                assert_eq!(ours, letter.to_string(), "{name} {sequence:x}");
            }
        }
    }
}

#[test]
fn exceptions_keep_their_place_between_ordinary_characters() {
    // sjis 815f is a backslash to the server, and to it alone.
    assert_eq!(text(Charset::Sjis, b"a\x83\x5cb\x81\x5f\x93\xfa"), "aソb\\日");
    assert_eq!(text(Charset::Ujis, b"\xc6\xfc\xa1\xc0\x8f\xa2\xb7\xcb\xdc"), "日\\~本");
}

#[test]
fn wide_units_are_read_in_their_byte_order() {
    assert_eq!(text(Charset::Ucs2, b"\0a\x4e\x2d"), "a中");
    assert_eq!(text(Charset::Utf16, b"\0a\xd8\x3d\xde\x00"), "a😀");
    assert_eq!(text(Charset::Utf16Le, b"a\0\x3d\xd8\x00\xde"), "a😀");
    assert_eq!(text(Charset::Utf32, b"\0\0\0a\0\x01\xf6\0"), "a😀");
}

#[test]
fn what_means_nothing_is_replaced_and_counted() {
    let mut out = Vec::new();
    assert_eq!(to_utf8(Charset::Utf8Mb4, b"a\xff\xc3", &mut out), 2);
    assert_eq!(to_utf8(Charset::Ascii, b"\x80z", &mut out), 1);
    assert_eq!(to_utf8(Charset::Cp1251, b"\x98", &mut out), 1);
    assert_eq!(to_utf8(Charset::Ucs2, b"\xd8\x3d\0a\0", &mut out), 2);
    assert_eq!(to_utf8(Charset::Gbk, b"\xff!", &mut out), 1);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "a\u{fffd}\u{fffd}\u{fffd}z\u{fffd}\u{fffd}a\u{fffd}\u{fffd}!"
    );
}

proptest! {
    #[test]
    fn any_bytes_give_utf8_of_bounded_length(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        for charset in Charset::ALL {
            let mut out = Vec::new();
            to_utf8(*charset, &bytes, &mut out);
            prop_assert!(std::str::from_utf8(&out).is_ok(), "{}", charset.name());
            prop_assert!(out.len() <= 3 * bytes.len());
        }
    }
}
