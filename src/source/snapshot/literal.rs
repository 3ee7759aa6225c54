//! A value of a key as SQL has it.
//!
//! In: a value that a prepared statement gave, and the type of its column. Out: a text that stands
//! for exactly that value in a statement of any session: numbers as digits; dates and times as
//! texts; texts and bytes as hexadecimal digits, with their character set. Always: nothing else is
//! taken back from where it was stored, since it becomes part of a statement.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::change::{Charset, Column, ColumnType};
use crate::mysql::Value;

/// See the head of this file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Literal(String);

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Literal {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_number(&text) || is_time(&text) || is_bytes(&text) {
            Ok(Self(text))
        } else {
            Err(format!("`{text}` is no value of a key"))
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|one| one.is_ascii_digit() || matches!(one, '-' | '+' | '.' | 'e'))
}

fn is_time(text: &str) -> bool {
    let within = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    within.is_some_and(|text| {
        text.chars().all(|one| one.is_ascii_digit() || matches!(one, '-' | ':' | '.' | ' '))
    })
}

fn is_bytes(text: &str) -> bool {
    let (charset, rest) = match text.split_once(" X'") {
        Some((charset, rest)) => (charset, Some(rest)),
        None => ("", text.strip_prefix("X'")),
    };
    let is_word = |text: &str| text.chars().all(|one| one.is_ascii_alphanumeric());
    let is_charset = charset.is_empty() || charset.strip_prefix('_').is_some_and(is_word);
    let digits = rest.and_then(|rest| rest.strip_suffix('\''));
    let is_hex = |digits: &str| digits.chars().all(|one| one.is_ascii_hexdigit());
    is_charset && digits.is_some_and(is_hex)
}

impl Literal {
    /// A number.
    #[cfg(test)]
    pub(super) fn number(number: i64) -> Self {
        Self(number.to_string())
    }

    /// The value of a column; none where it has no such value, or NULL.
    pub(super) fn of(column: &Column, value: &Value) -> Option<Self> {
        let text = match (value, column.kind) {
            (Value::Int(number), _) => number.to_string(),
            (Value::UInt(number), _) => number.to_string(),
            // A FLOAT is compared as a DOUBLE, so its digits are those of one.
            (Value::Float(number), _) if number.is_finite() => format!("{:e}", f64::from(*number)),
            (Value::Double(number), _) if number.is_finite() => format!("{number:e}"),
            (Value::Date(year, month, day, hour, minute, second, micros), kind) => {
                let date = format!("{year:04}-{month:02}-{day:02}");
                if kind == ColumnType::Date {
                    format!("'{date}'")
                } else {
                    format!("'{date} {hour:02}:{minute:02}:{second:02}.{micros:06}'")
                }
            }
            (Value::Time(is_negative, days, hours, minutes, seconds, micros), _) => {
                let (sign, hours) =
                    (if *is_negative { "-" } else { "" }, days * 24 + u32::from(*hours));
                format!("'{sign}{hours:02}:{minutes:02}:{seconds:02}.{micros:06}'")
            }
            (Value::Bytes(bytes), ColumnType::Decimal { .. }) => {
                String::from_utf8(bytes.clone()).ok()?
            }
            (Value::Bytes(bytes), ColumnType::Bit { .. }) if bytes.len() <= 8 => {
                bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)).to_string()
            }
            (Value::Bytes(bytes), kind) => bytes_of(charset(kind), bytes),
            (Value::Float(_) | Value::Double(_) | Value::NULL, _) => return None,
        };
        Self::try_from(text).ok()
    }
}

/// What the bytes of a value are in; none of what has no character set.
fn charset(kind: ColumnType) -> Option<Charset> {
    match kind {
        ColumnType::Char { charset, .. }
        | ColumnType::VarChar { charset, .. }
        | ColumnType::Text { charset, .. } => Some(charset),
        // As MariaDB shows them.
        ColumnType::Plugin(_) => Some(Charset::Utf8Mb4),
        _ => None,
    }
}

fn bytes_of(charset: Option<Charset>, bytes: &[u8]) -> String {
    let mut text = match charset {
        None | Some(Charset::Binary) => String::from("X'"),
        // Older servers know it by this name only.
        Some(Charset::Utf8Mb3) => String::from("_utf8 X'"),
        Some(charset) => format!("_{} X'", charset.name()),
    };
    text.reserve(2 * bytes.len() + 1);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: ColumnType) -> Column {
        Column { name: "k".to_owned(), mysql_type: String::new(), kind, labels: Vec::new() }
    }

    #[test]
    fn a_value_is_what_it_was_and_nothing_else_is_taken() {
        let latin1 = ColumnType::VarChar { max_bytes: 9, charset: Charset::Latin1 };
        for (kind, value, wanted) in [
            (ColumnType::Long { unsigned: false }, Value::Int(-7), "-7"),
            (
                ColumnType::LongLong { unsigned: true },
                Value::UInt(u64::MAX),
                "18446744073709551615",
            ),
            (latin1, Value::Bytes(b"a'\xe4".to_vec()), "_latin1 X'6127e4'"),
            (ColumnType::VarBinary { max_bytes: 9 }, Value::Bytes(vec![0, 255]), "X'00ff'"),
            (ColumnType::Bit { bits: 9 }, Value::Bytes(vec![1, 2]), "258"),
            (ColumnType::Date, Value::Date(2020, 2, 9, 0, 0, 0, 0), "'2020-02-09'"),
            (
                ColumnType::DateTime { fsp: 6 },
                Value::Date(1, 2, 3, 4, 5, 6, 7),
                "'0001-02-03 04:05:06.000007'",
            ),
            (
                ColumnType::Time { fsp: 0 },
                Value::Time(true, 34, 22, 59, 59, 0),
                "'-838:59:59.000000'",
            ),
            (ColumnType::Double, Value::Double(-0.1), "-1e-1"),
        ] {
            let literal = Literal::of(&column(kind), &value).unwrap();
            assert_eq!(literal.to_string(), wanted);
            assert_eq!(Literal::try_from(wanted.to_owned()), Ok(literal));
        }
        for wrong in
            ["", "1 OR 1", "'a'", "X'0g'", "_utf8 X'00' OR 1", "_a-b X'00'", "''''", "NULL"]
        {
            assert!(Literal::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
        assert_eq!(Literal::of(&column(ColumnType::Double), &Value::NULL), None);
    }
}
