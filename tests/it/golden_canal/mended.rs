//! What our message is for a message of real Canal: the same text, but where a decision mends it.
//!
//! Four rules hold for every line (a type's spelling, a decimal's scale, a binary's length, a
//! back quote in a name). All else is a table of single lines, each with its kind and the value
//! that the statement in the `.sql` file put there, or that the server answers to a SELECT of it.

use std::collections::BTreeSet;

use super::surgery::{member, members, with_elements, with_member, with_members};

/// Why a line differs from Canal's: rows of the compatibility table in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `old` carries only the columns that changed in that row.
    OldOfItsRow,
    /// DECIMAL with its full scale.
    FullScale,
    /// The shortest digits of a FLOAT or DOUBLE that read back the same.
    ShortestDigits,
    /// Each column by its own character set.
    OwnCharset,
    /// BINARY(n) padded back to n.
    PaddedBinary,
    /// CHAR and TEXT with CHARACTER SET binary as what the server makes of them.
    BinaryCharset,
    /// Whole strings, and the server's own text of dates and opaque values, inside JSON.
    JsonValues,
    /// The whole document, not the expression that makes it.
    PartialJson,
    /// A type as the server spells it.
    TypeSpelling,
    /// A back quote of a column's name once.
    BackQuote,
    /// The table's key, whatever the row image holds.
    TableKey,
    /// ALTER VIEW: nothing, as for the other statements about views.
    AlterView,
    /// XA: the rows of a branch that is rolled back, and messages of its end: nothing.
    XaBranch,
}

enum At {
    /// A column of a row of `data`, rows counted from 0.
    Data(usize, &'static str),
    /// A column of a row of `old`.
    Old(usize),
    /// A column of `mysqlType`, of `sqlType`.
    Type(&'static str),
    SqlType(&'static str),
    PkNames,
}

use At::{Data, Old, PkNames, SqlType, Type};
use Kind::{
    AlterView, BackQuote, BinaryCharset, FullScale, JsonValues, OldOfItsRow, OwnCharset,
    PaddedBinary, PartialJson, ShortestDigits, TableKey, TypeSpelling, XaBranch,
};

/// Every kind there is.
pub(super) const ALL: [Kind; 13] = [
    OldOfItsRow,
    FullScale,
    ShortestDigits,
    OwnCharset,
    PaddedBinary,
    BinaryCharset,
    JsonValues,
    PartialJson,
    TypeSpelling,
    BackQuote,
    TableKey,
    AlterView,
    XaBranch,
];

/// Lines of the `.single.jsonl` files, and the texts of the members that differ.
const MENDED: &[(&str, usize, Kind, At, &str)] = &[
    ("types", 22, ShortestDigits, Data(0, "fu"), r#""1.1754944E-38""#),
    ("types", 23, ShortestDigits, Data(0, "f"), r#""1.1754944E-38""#),
    ("types", 27, ShortestDigits, Data(0, "dp"), r#""2.0E23""#),
    ("types", 40, OwnCharset, Data(0, "l1c"), r#""café""#),
    ("types", 40, OwnCharset, Data(0, "l1v"), r#""ÄÖÜß€ÿ""#),
    ("types", 40, OwnCharset, Data(0, "l1t"), r#""latin1 tëxt""#),
    ("types", 41, OwnCharset, Data(0, "gc"), r#""中文""#),
    ("types", 41, OwnCharset, Data(0, "gv"), r#""简体中文字符""#),
    ("types", 41, OwnCharset, Data(0, "gt"), r#""長い文章 gbk 文本""#),
    ("types", 42, OwnCharset, Data(0, "u2"), r#""ucs2 é中""#),
    ("types", 42, OwnCharset, Data(0, "u16"), r#""utf16 😀""#),
    ("types", 42, OwnCharset, Data(0, "u32"), r#""utf32 😀""#),
    ("types", 42, OwnCharset, Data(0, "sj"), r#""日本""#),
    ("types", 45, BinaryCharset, Data(0, "cb"), r#""\u0000\u0000\u0000\u0000""#),
    ("types", 46, BinaryCharset, Data(0, "cb"), r#""A\u0000\u0000\u0000""#),
    ("types", 47, BinaryCharset, Data(0, "cb"), r#"" \u0000\u0000\u0000""#),
    ("types", 49, BinaryCharset, Data(0, "cb"), r#"" \u0000\u0000\u0000""#),
    ("types", 64, JsonValues, Data(29, "j"), r#""\"a\\u0000b\"""#),
    ("types", 67, JsonValues, Data(3, "j"), r#""\"2024-02-29\"""#),
    ("types", 67, JsonValues, Data(8, "j"), r#""[\"base64:type15:eA==\"]""#),
    (
        "types",
        67,
        JsonValues,
        Data(9, "j"),
        r#""{\"b\": \"base64:type15:AP8=\", \"d\": 1.20, \"n\": null, \"t\": \"-838:59:59.000000\", \"y\": 2024, \"dt\": \"2020-01-01\"}""#,
    ),
    ("types", 68, JsonValues, Data(0, "j"), r#""[\"base64:type15:BQ==\"]""#),
    ("types", 81, OwnCharset, Data(0, "名前"), r#""中文""#),
    ("dml", 22, OldOfItsRow, Old(1), r#"{"note":null}"#),
    ("dml", 22, OldOfItsRow, Old(2), r#"{"st":"2"}"#),
    ("dml", 22, OldOfItsRow, Old(3), r#"{"qty":null}"#),
    ("dml", 70, TableKey, PkNames, r#"["id"]"#),
    ("dml", 71, TableKey, PkNames, r#"["id"]"#),
    ("dml", 77, TableKey, PkNames, r#"["k1","k2"]"#),
    (
        "dml",
        101,
        PartialJson,
        Data(0, "j"),
        r#""{\"a\": 100, \"b\": [1, 2, 3], \"c\": \"some longer text that stays as it is\"}""#,
    ),
    (
        "dml",
        102,
        PartialJson,
        Data(0, "j"),
        r#""{\"a\": 100, \"b\": [1, \"two\", 3], \"c\": \"some longer text that stays as it is\"}""#,
    ),
    (
        "dml",
        103,
        PartialJson,
        Data(0, "j"),
        r#""{\"a\": 100, \"b\": [\"two\", 3], \"c\": \"some longer text that stays as it is\"}""#,
    ),
];

/// Lines that we do not write at all.
const LEFT_OUT: &[(&str, usize, Kind)] = &[
    ("ddl", 110, AlterView),
    // XACOMMIT, a row that is rolled back, XAROLLBACK. (The row of line 104 comes at its COMMIT.)
    ("dml", 105, XaBranch),
    ("dml", 106, XaBranch),
    ("dml", 107, XaBranch),
];

/// The columns of `types` whose CHARACTER SET is binary, and what the server makes of them.
const BINARY_CHARSET: &[(&str, &str)] = &[("cb", r#""binary(4)""#), ("tbin", r#""blob""#)];

/// Spellings of a type in a statement that the server does not only fold to lower case.
const SPELLINGS: &[(&str, &str)] = &[
    ("bool", "tinyint(1)"),
    ("boolean", "tinyint(1)"),
    ("integer", "int"),
    ("int1", "tinyint"),
    ("int8", "bigint"),
    ("middleint", "mediumint"),
    ("serial", "bigint unsigned"),
    ("decimal", "decimal(10,0)"),
    ("dec(9,0)", "decimal(9,0)"),
    ("numeric(18,9)", "decimal(18,9)"),
    ("fixed(5,1)", "decimal(5,1)"),
    ("real", "double"),
    ("double precision", "double"),
    ("float(10)", "float"),
    ("double(25)", "double"),
    ("double(53)", "double"),
    ("float4", "float"),
    ("float8", "double"),
    ("bit", "bit(1)"),
    ("nchar(4)", "char(4)"),
    ("nvarchar(10)", "varchar(10)"),
    ("character varying(10)", "varchar(10)"),
    ("geometrycollection", "geomcollection"),
];

/// Our text of the message in that line, if there is one, and the kinds of its differences.
pub(super) fn ours(set: &str, line: usize, canal: &str) -> (Option<String>, BTreeSet<Kind>) {
    if let Some((.., kind)) = LEFT_OUT.iter().find(|one| one.0 == set && one.1 == line) {
        return (None, BTreeSet::from([*kind]));
    }
    let mut kinds = BTreeSet::new();
    let mut text = canal.to_owned();
    let mut apply = |kind: Kind, changed: String| {
        if changed != text {
            kinds.insert(kind);
            text = changed;
        }
        text.clone()
    };
    let mut now = apply(TypeSpelling, spelt_by_the_server(canal));
    if set == "types" && (45..=50).contains(&line) {
        now = apply(BinaryCharset, as_binary(&now));
    }
    for (_, _, kind, at, value) in MENDED.iter().filter(|one| one.0 == set && one.1 == line) {
        now = apply(*kind, replaced(&now, at, value));
    }
    now = apply(FullScale, with_full_scale(&now));
    now = apply(PaddedBinary, with_padding(&now));
    apply(BackQuote, with_plain_names(&now));
    (Some(text), kinds)
}

fn replaced(message: &str, at: &At, value: &str) -> String {
    let in_member = |name: &str, change: &dyn Fn(&str) -> String| {
        with_member(message, name, &change(member(message, name)))
    };
    match at {
        Data(row, column) => in_member("data", &|rows| {
            with_elements(rows, |at, one| {
                if at == *row { with_member(one, column, value) } else { one.to_owned() }
            })
        }),
        Old(row) => in_member("old", &|rows| {
            with_elements(rows, |at, one| if at == *row { value } else { one }.to_owned())
        }),
        Type(column) => in_member("mysqlType", &|types| with_member(types, column, value)),
        SqlType(column) => in_member("sqlType", &|types| with_member(types, column, value)),
        PkNames => with_member(message, "pkNames", value),
    }
}

fn as_binary(message: &str) -> String {
    BINARY_CHARSET.iter().fold(message.to_owned(), |text, (column, spelling)| {
        replaced(&replaced(&text, &Type(column), spelling), &SqlType(column), "2004")
    })
}

/// Every value of `mysqlType` as the server has it in `COLUMN_TYPE`.
fn spelt_by_the_server(message: &str) -> String {
    let types = member(message, "mysqlType");
    if types == "null" {
        return message.to_owned();
    }
    let spelt = with_members(types, |name, value| {
        let (word, labels) = value.split_at(value.find('(').unwrap_or(value.len()));
        // Labels of ENUM and SET keep their case.
        let folded = match word {
            "\"ENUM" | "\"SET" => word.to_lowercase() + labels,
            _ => value.to_lowercase(),
        };
        let bare = folded.trim_matches('"');
        let known = SPELLINGS.iter().find(|(golden, _)| *golden == bare);
        Some((name.to_owned(), known.map_or(folded.clone(), |(_, own)| format!("\"{own}\""))))
    });
    with_member(message, "mysqlType", &spelt)
}

/// Both images of the message with `change(type, value)` of each value that is not null.
fn with_values(message: &str, change: impl Fn(&str, &str) -> String) -> String {
    let types = member(message, "mysqlType").to_owned();
    if types == "null" {
        return message.to_owned();
    }
    let types = members(&types);
    let of_row = |row: &str| {
        with_members(row, |name, value| {
            let column = types.iter().find(|(one, _)| *one == name).map_or("", |(_, text)| text);
            let value = if value == "null" {
                value.to_owned()
            } else {
                change(column.trim_matches('"'), value)
            };
            Some((name.to_owned(), value))
        })
    };
    ["data", "old"].iter().fold(message.to_owned(), |text, name| {
        let rows = with_elements(member(&text, name), |_, row| of_row(row));
        with_member(&text, name, &rows)
    })
}

/// The n of `prefix(..n)`, and nothing of another type.
fn last_number(column: &str, prefix: &str) -> Option<usize> {
    let arguments = column.strip_prefix(prefix)?.split_once(')')?.0;
    arguments.rsplit(',').next()?.parse().ok()
}

fn with_full_scale(message: &str) -> String {
    with_values(message, |column, value| {
        let digits = value.trim_matches('"');
        match last_number(column, "decimal(") {
            Some(scale) if scale > 0 => {
                let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
                format!("\"{whole}.{fraction:0<scale$}\"")
            }
            _ => value.to_owned(),
        }
    })
}

/// Names of columns are only in messages of rows; a statement keeps its quotes.
fn with_plain_names(message: &str) -> String {
    if member(message, "data") == "null" {
        return message.to_owned();
    }
    message.replace("``", "`")
}

fn with_padding(message: &str) -> String {
    with_values(message, |column, value| match last_number(column, "binary(") {
        Some(length) => {
            let text: String = serde_json::from_str(value).unwrap();
            let missing = length - text.chars().count();
            format!("{}{}\"", &value[..value.len() - 1], "\\u0000".repeat(missing))
        }
        None => value.to_owned(),
    })
}
