//! JSON against what the server prints, and partial updates made whole.

use proptest::prelude::*;

use super::document::Document;
use super::*;

fn text(document: &[u8]) -> Result<String, Error> {
    let mut out = Vec::new();
    write_text(document, Style::SERVER, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn a_document_of_no_bytes_is_null() {
    assert_eq!(text(b"").unwrap(), "null");
}

#[test]
fn doubles_are_spelt_as_the_server_spells_them() {
    // From `SELECT CAST('[...]' AS JSON)` on MySQL 9.7.4.
    for (value, server) in [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (1e14, "100000000000000.0"),
        (1e15, "1e15"),
        (1.5e15, "1.5e15"),
        (1_234_567_890_123_456.7, "1234567890123456.8"),
        (1e100, "1e100"),
        (1.797_693_134_862_315_7e308, "1.7976931348623157e308"),
        (5e-324, "5e-324"),
        (1e-5, "0.00001"),
        (1.5e-15, "0.0000000000000015"),
        (1e-16, "1e-16"),
        (-1.23e-18, "-1.23e-18"),
    ] {
        let mut out = Vec::new();
        write_server_double(value, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), server);
    }
}

/// An array whose two elements lead to the array that is nested next, again and again.
#[test]
fn values_that_share_their_bytes_do_not_multiply() {
    const DEPTH: u16 = 30;
    let mut document = vec![2];
    for level in 0..DEPTH {
        let size = ((DEPTH - level) * 10 + 4).to_le_bytes();
        document.extend([2, 0, size[0], size[1], 2, 10, 0, 2, 10, 0]);
    }
    document.extend([0, 0, 4, 0]); // []
    assert!(matches!(text(&document), Err(Error::Impossible { .. })));
}

#[test]
fn nesting_ends_at_the_server_s_limit() {
    let nested = |depth: usize| {
        let mut document = vec![2, 0, 0, 4, 0]; // []
        for _ in 1..depth {
            let size = u16::try_from(document.len() - 1 + 7).unwrap().to_le_bytes();
            let inner = document.split_off(1);
            document.extend([1, 0, size[0], size[1], 2, 7, 0]);
            document.extend(inner);
        }
        document
    };
    assert_eq!(text(&nested(100)).unwrap(), "[".repeat(100) + &"]".repeat(100));
    assert_eq!(text(&nested(101)), Err(Error::JsonDepth));
}

proptest! {
    /// What is taken apart and written again prints the same.
    #[test]
    fn documents_come_back(
        document in prop::collection::vec(prop_oneof![0..16u8, any::<u8>()], 0..100),
    ) {
        if let Ok(tree) = Document::parse(&document)
            && let Ok(printed) = text(&document)
        {
            let mut written = Vec::new();
            tree.write(&mut written);
            prop_assert_eq!(text(&written).unwrap(), printed);
        }
    }
}

/// The text that the server prints of a document makes a document of which it prints that text.
#[test]
fn a_text_of_the_server_s_becomes_a_document_of_that_text() {
    for text in [
        "null",
        "true",
        "-0.0",
        "1e20",
        "18446744073709551616",
        "-12.50",
        "\"a\\\"b\\\\\\n\\u0001\"",
        "{}",
        "[[], {}, [1.0, -70000, 4294967296, 9223372036854775808]]",
        "{\"\": null, \"a\": {\"b\": [false]}, \"aa\": \"x\"}",
    ] {
        let (mut document, mut printed) = (Vec::new(), Vec::new());
        FromText::default().write(text.as_bytes(), &mut document).unwrap();
        write_text(&document, Style::SERVER, &mut printed).unwrap();
        assert_eq!(String::from_utf8(printed).unwrap(), text);
    }
    for wrong in
        ["{", "[1,]", "\"", "\"\\u12\"", "{\"b\": 1, \"a\": 2}", "1 2", "nul", "\"\\ud800\""]
    {
        assert!(FromText::default().write(wrong.as_bytes(), &mut Vec::new()).is_err(), "{wrong}");
    }
    let deep = "[".repeat(100_000);
    let refused = FromText::default().write(deep.as_bytes(), &mut Vec::new());
    assert_eq!(refused, Err(Error::JsonDepth));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}\",:0-9eE.+\\-\\\\u a-d]{0,80}") {
        let _ = FromText::default().write(text.as_bytes(), &mut Vec::new());
    }
}
