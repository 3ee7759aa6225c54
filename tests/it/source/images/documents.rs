//! JSON documents, as SQL.

use std::fmt::Write as _;

use super::tables::Column;
use crate::harness::Random;

/// Random ones, beside those at edges.
const RANDOM: usize = 300;

/// Documents of texts and numbers only, which SELECT shows whole: they are stored the same.
pub(super) fn plain() -> Column {
    let mut values: Vec<String> = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "-1",
        "\"\"",
        "\"x\"",
        "{}",
        "[]",
        "[[]]",
        "[{}]",
        "{\"\": {}}",
        "32767",
        "32768",
        "-32768",
        "-32769",
        "65535",
        "65536",
        "2147483647",
        "2147483648",
        "-2147483649",
        "4294967296",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1.0",
        "-0.0",
        "0.1",
        "1e15",
        "1e14",
        "123456789012345.6",
        "1e-14",
        "1e-15",
        "1.7976931348623157e308",
        "5e-324",
        "2.2250738585072014e-308",
        "1e20",
        "-1e20",
        "100000000000000000000.5",
        "{\"b\": 1, \"a\": 2, \"aa\": 3, \"\": 4, \"é\": 5}",
        "{\"a\": 1, \"a\": 2}",
        "\"\\u0000\\u0001\\u001f\\b\\f\\n\\r\\t\\\\\\\"/\\u007f\\u00a0\\ud83d\\ude00é漢😀\"",
        "{\"\\n\\\"\": \"\\\\\"}",
        "[1, 70000, -70000, 5000000000, true, null]",
    ]
    .iter()
    .map(|text| literal(text))
    .collect();
    // The edges of small containers, and of the lengths of strings.
    for length in [1, 127, 128, 16_383, 16_384, 65_536, 2_097_151, 2_097_152] {
        values.push(format!("JSON_QUOTE(REPEAT('x', {length}))"));
    }
    for length in 65_515..65_535 {
        values.push(format!("JSON_ARRAY(REPEAT('x', {length}))"));
        values.push(format!("JSON_OBJECT('k', JSON_ARRAY(REPEAT('x', {length}), 70000))"));
    }
    values.push(literal(&format!("{}1{}", "[".repeat(99), "]".repeat(99))));
    let numbers =
        |count: usize| (0..count).map(|n| (n * 37).to_string()).collect::<Vec<_>>().join(",");
    values.push(literal(&format!("[{}]", numbers(30_000))));
    values.push(literal(&format!("{{\"n\": [{}]}}", numbers(12_000))));
    let mut random = Random::new(9);
    for _ in 0..RANDOM {
        let mut text = String::new();
        document(&mut random, 0, &mut text);
        values.push(literal(&text));
    }
    Column::of("JSON", values)
}

/// Documents with values that JSON lacks, of which SELECT shows a text.
pub(super) fn typed() -> Column {
    let scalars = [
        "CAST('2024-02-29' AS DATE)",
        "CAST('2024-02-29 01:02:03' AS DATETIME)",
        "CAST('2024-02-29 01:02:03.456789' AS DATETIME(6))",
        "CAST('-12:34:56.5' AS TIME(6))",
        "CAST('838:59:59' AS TIME)",
        "TIMESTAMP '2024-02-29 01:02:03'",
        "CAST(1.5 AS DECIMAL(10,2))",
        "CAST(-0.001 AS DECIMAL(10,3))",
        "CAST('99999999999999999999999999999999999.123456789012345678901234567890' AS DECIMAL(65,30))",
        "CAST('123456789012345678901234567890' AS DECIMAL(65,0))",
        "CAST(12345.678 AS DECIMAL(20,3))",
        "CAST(0 AS DECIMAL(5,2))",
        "CAST(7 AS DECIMAL(5,0))",
        "x'00ff80'",
        "CAST(REPEAT('blob', 60) AS BINARY)",
        "b'101'",
        "18446744073709551615",
        "CAST(3 AS UNSIGNED)",
        "CAST(70000 AS UNSIGNED)",
        "1e0",
        "1.5e0",
        "POINT(1, 2)",
    ];
    let whole = scalars
        .iter()
        .filter(|one| !one.starts_with("POINT"))
        .map(|one| format!("CAST({one} AS JSON)"));
    let inside = scalars.iter().filter(|one| !one.starts_with("POINT"));
    let inside = inside.map(|one| format!("JSON_OBJECT('a', {one}, 'b', JSON_ARRAY({one}, 1))"));
    Column::of("JSON", whole.chain(inside).collect())
}

/// A string of SQL with that text.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn document(random: &mut Random, depth: u64, out: &mut String) {
    match random.below(if depth > 5 { 6 } else { 9 }) {
        0 => out.push_str(["null", "true", "false"][random.place(3)]),
        1 => write!(out, "{}", random.bits().cast_signed() >> random.below(64)).unwrap(),
        2 => write!(out, "{}", random.bits() >> random.below(64)).unwrap(),
        3 => {
            let number = f64::from_bits(random.bits());
            let number = if number.is_finite() { number } else { 0.25 };
            write!(out, "{number:e}").unwrap();
        }
        4 => write!(
            out,
            "{}",
            f64::from(u32::try_from(random.below(1_000_000_000)).unwrap()) / 1024.0
        )
        .unwrap(),
        5 => string(random, out),
        6 | 7 => {
            out.push('{');
            for nth in 0..random.below(8) {
                out.push_str(if nth > 0 { ", " } else { "" });
                string(random, out);
                out.push_str(": ");
                document(random, depth + 1, out);
            }
            out.push('}');
        }
        _ => {
            out.push('[');
            for nth in 0..random.below(8) {
                out.push_str(if nth > 0 { ", " } else { "" });
                document(random, depth + 1, out);
            }
            out.push(']');
        }
    }
}

fn string(random: &mut Random, out: &mut String) {
    const LETTERS: [&str; 16] = [
        "a", "b", "Z", "0", " ", "é", "漢", "😀", "\\\"", "\\\\", "\\n", "\\u0001", "/", "\u{7f}",
        "\u{a0}", "'",
    ];
    out.push('"');
    for _ in 0..random.below(12) {
        out.push_str(LETTERS[random.place(LETTERS.len())]);
    }
    out.push('"');
}
