//! What a database holds, by an independent reading: `information_schema` and SELECT.
//!
//! Every value but a number is asked for as the hexadecimal digits of its text, so that no driver
//! and no character set of the connection has a say, and turned into the text that real Canal gives
//! it (`tests/golden/canal/README.md`).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

/// All tables of a database.
pub(super) type Snapshot = BTreeMap<String, Table>;

/// A row in column order.
pub(super) type Row = Vec<Option<String>>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    /// The primary key in column order, if there is one.
    pub(super) key: Option<Vec<String>>,
    /// Sorted.
    pub(super) rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) data_type: String,
    pub(super) type_text: String,
    pub(super) charset: Option<String>,
    pub(super) generated: bool,
}

impl Column {
    pub(super) fn unsigned(&self) -> bool {
        self.type_text.contains(" unsigned")
    }

    /// The numbers or labels in parentheses.
    pub(super) fn arguments(&self) -> &str {
        let inside = self.type_text.split_once('(').map_or("", |(_, rest)| rest);
        inside.rsplit_once(')').map_or("", |(inside, _)| inside)
    }

    /// How the column is asked for.
    fn expression(&self) -> String {
        let name = quoted(&self.name);
        match self.data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "bit" | "enum" | "set" => {
                format!("HEX(CAST({name}+0 AS CHAR))")
            }
            // CAST would cut its last digits.
            "float" | "double" => format!("{name}*1e0"),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => {
                format!("HEX(CONVERT({name} USING utf8mb4))")
            }
            _ if self.is_bytes() || self.data_type == "vector" => format!("HEX({name})"),
            _ => format!("HEX(CAST({name} AS CHAR))"),
        }
    }

    fn is_bytes(&self) -> bool {
        let name = self.data_type.as_str();
        name.ends_with("blob") || name.ends_with("binary") || self.is_geometry()
    }

    fn is_geometry(&self) -> bool {
        let name = self.data_type.as_str();
        let simple = name.strip_prefix("multi").unwrap_or(name);
        matches!(simple, "geometry" | "point" | "linestring" | "polygon")
            || matches!(name, "geomcollection" | "geometrycollection")
    }

    /// What NOBLOB leaves out of an image: `BLOB_FLAG` of the servers.
    pub(super) fn is_blob(&self) -> bool {
        let name = self.data_type.as_str();
        name.ends_with("blob") || name.ends_with("text") || name == "json" || self.is_geometry()
    }

    /// Canal's text of the value with those bytes.
    fn canal(&self, bytes: Vec<u8>) -> String {
        if self.is_bytes() {
            return bytes.into_iter().map(char::from).collect();
        }
        if self.data_type == "vector" {
            return vector(&bytes);
        }
        let text = String::from_utf8(bytes).unwrap();
        match self.data_type.as_str() {
            "decimal" => without_leading_zeros(&text),
            "double" => java(text.parse::<f64>().unwrap()),
            #[expect(clippy::cast_possible_truncation, reason = "the server widened it")]
            "float" => {
                let number = text.parse::<f64>().unwrap();
                java_digits(&even(&format!("{:e}", number as f32), number))
            }
            "json" => json(&text),
            _ => text,
        }
    }

    /// Canal's number of the type, when the last row of an event has that value.
    pub(super) fn sql_type(&self, value: Option<&str>) -> i64 {
        let raised = |low: i64, bits: u32, high: i64| {
            let is_raised = |value: &str| value.parse::<u64>().unwrap() >> (bits - 1) == 1;
            if self.unsigned() && value.is_some_and(is_raised) { high } else { low }
        };
        match self.data_type.as_str() {
            "tinyint" => raised(-6, 8, 5),
            "smallint" => raised(5, 16, 4),
            "int" => raised(4, 32, -5),
            "bigint" => raised(-5, 64, 3),
            "mediumint" | "enum" => 4,
            "float" => 7,
            "double" => 8,
            "decimal" => 3,
            "set" if value.is_none() => 2004,
            "bit" | "set" => -7,
            "date" => 91,
            "time" => 92,
            "datetime" | "timestamp" => 93,
            // MariaDB's types of bytes are CHARs on the wire.
            "char" | "uuid" | "inet4" | "inet6" => 1,
            "json" if value.is_none() => 1111,
            "year" | "varchar" | "vector" | "json" => 12,
            name if name.ends_with("text") => 2005,
            _ => 2004,
        }
    }
}

pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Reads every table of the connection's database.
pub(super) async fn take(source: &mut MySqlConnection) -> Snapshot {
    let mut found = Snapshot::new();
    let texts = "SELECT CAST(table_name AS CHAR) FROM information_schema.tables \
        WHERE table_schema = DATABASE() AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')";
    for row in select(source, texts).await {
        found.insert(row[0].clone().unwrap(), Table::default());
    }
    let columns = "SELECT CAST(table_name AS CHAR), CAST(column_name AS CHAR), \
        CAST(data_type AS CHAR), CAST(column_type AS CHAR), CAST(character_set_name AS CHAR), \
        CAST(extra AS CHAR) FROM information_schema.columns WHERE table_schema = DATABASE() \
        ORDER BY table_name, ordinal_position";
    for row in select(source, columns).await {
        let [table, name, data_type, type_text, charset, extra] =
            <[Option<String>; 6]>::try_from(row).unwrap();
        let Some(table) = found.get_mut(&table.unwrap()) else { continue };
        table.columns.push(Column {
            name: name.unwrap(),
            data_type: data_type.unwrap().to_lowercase(),
            type_text: type_text.unwrap(),
            charset,
            generated: extra.is_some_and(|extra| extra.contains(" GENERATED")),
        });
    }
    let keys = "SELECT CAST(table_name AS CHAR), CAST(column_name AS CHAR) \
        FROM information_schema.statistics \
        WHERE table_schema = DATABASE() AND index_name = 'PRIMARY'";
    let mut in_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in select(source, keys).await {
        in_key.entry(row[0].clone().unwrap()).or_default().push(row[1].clone().unwrap());
    }
    for (name, table) in &mut found {
        table.key = in_key.get(name).map(|key| {
            let names = table.columns.iter().map(|column| &column.name);
            names.filter(|name| key.contains(name)).cloned().collect()
        });
        table.rows = rows(source, name, &table.columns).await;
    }
    found
}

async fn rows(source: &mut MySqlConnection, table: &str, columns: &[Column]) -> Vec<Row> {
    let expressions: Vec<String> = columns.iter().map(Column::expression).collect();
    let statement = format!("SELECT {} FROM {}", expressions.join(", "), quoted(table));
    let mut rows = select(source, &statement).await;
    for row in &mut rows {
        for (value, column) in row.iter_mut().zip(columns) {
            *value = value.take().map(|text| match column.data_type.as_str() {
                "float" | "double" => column.canal(text.into_bytes()),
                _ => column.canal(unhex(&text)),
            });
        }
    }
    rows.sort();
    rows
}

async fn select(source: &mut MySqlConnection, statement: &str) -> Vec<Row> {
    let found = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).fetch_all(source).await;
    let found = found.unwrap_or_else(|error| panic!("{statement}: {error}"));
    found.iter().map(|row| (0..row.len()).map(|place| row.get_unchecked(place)).collect()).collect()
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// ZEROFILL is not applied.
fn without_leading_zeros(decimal: &str) -> String {
    let (sign, digits) = decimal.strip_prefix('-').map_or(("", decimal), |rest| ("-", rest));
    let whole = digits.find('.').unwrap_or(digits.len());
    let zeros = digits[..whole - 1].bytes().take_while(|digit| *digit == b'0').count();
    format!("{sign}{}", &digits[zeros..])
}

/// `Double.toString`.
fn java(number: f64) -> String {
    java_digits(&even(&format!("{number:e}"), number))
}

/// The digits of each number that `STRING_TO_VECTOR` needs: of a subnormal one, all.
fn vector(bytes: &[u8]) -> String {
    let (floats, _) = bytes.as_chunks::<4>();
    let spelt = floats.iter().map(|float| {
        let number = f32::from_le_bytes(*float);
        if number.is_subnormal() {
            let exact = format!("{number:.120e}");
            let (mantissa, exponent) = exact.split_once('e').unwrap();
            return java_digits(&format!("{}e{exponent}", mantissa.trim_end_matches('0')));
        }
        java_digits(&even(&format!("{number:e}"), f64::from(number)))
    });
    format!("[{}]", spelt.collect::<Vec<_>>().join(","))
}

/// Of two shortest spellings that are equally near, the one with an even last digit.
fn even(shortest: &str, number: f64) -> String {
    let (mantissa, exponent) = shortest.split_once('e').unwrap();
    let exact = format!("{number:.60e}");
    let (before, last) = mantissa.split_at(mantissa.len() - 1);
    let behind = exact.split_once('e').unwrap().0.get(mantissa.len()..).unwrap_or("");
    let is_between = |behind: &str| {
        behind.strip_prefix('5').is_some_and(|rest| rest.trim_end_matches('0').is_empty())
    };
    let odd = last.parse::<u8>().unwrap() % 2 == 1;
    // Cut, the exact digits are those below the middle; the odd spelling may be above it.
    if mantissa.contains('.') && odd && is_between(behind) && exact.starts_with(before) {
        let below = &exact[before.len()..=before.len()];
        let above = last.parse::<u8>().unwrap() + 1;
        let even = if below == last { above.to_string() } else { below.to_owned() };
        if even.len() == 1 {
            return format!("{before}{even}e{exponent}");
        }
    }
    shortest.to_owned()
}

/// `Double.toString` of the number that Rust writes as `d.dde-n`.
fn java_digits(scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap();
    let exponent: i32 = exponent.parse().unwrap();
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits = mantissa.replace('.', "");
    if digits == "0" {
        return format!("{sign}0.0");
    }
    if !(-3..7).contains(&exponent) {
        let rest = if digits.len() > 1 { &digits[1..] } else { "0" };
        return format!("{sign}{}.{rest}E{exponent}", &digits[..1]);
    }
    let point = usize::try_from(exponent.max(0)).unwrap() + 1;
    let zeros = "0".repeat(usize::try_from((-exponent).max(0)).unwrap());
    let all = format!("{zeros}{digits:0<point$}");
    let (whole, rest) = all.split_at(point);
    format!("{sign}{whole}.{}", if rest.is_empty() { "0" } else { rest })
}

/// The server's text of a document with Canal's doubles and escapes.
fn json(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '-' | '0'..='9' => rest.find([',', ']', '}']).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, behind) = rest.split_at(length);
        rest = behind;
        match first {
            '"' => json_string(token, &mut out),
            '-' | '0'..='9' => out.push_str(&json_number(token)),
            _ => out.push_str(token),
        }
    }
    out
}

fn string_length(text: &str) -> usize {
    let mut escaped = true; // the opening quote ends nothing
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.unwrap() + 1
}

fn json_string(token: &str, out: &mut String) {
    for letter in token.replace("\\b", "\\u0008").replace("\\f", "\\u000c").chars() {
        match letter {
            '\u{7f}'..='\u{a0}' => write!(out, "\\u{:04x}", u32::from(letter)).unwrap(),
            _ => out.push(letter),
        }
    }
}

/// A decimal keeps its digits: the workload's are small, so that only a double has an exponent
/// or Java's spelling of it would.
fn json_number(token: &str) -> String {
    if !token.contains(['.', 'e']) {
        return token.to_owned();
    }
    let spelt = java(token.parse().unwrap());
    if spelt.contains('E') { spelt } else { token.to_owned() }
}
