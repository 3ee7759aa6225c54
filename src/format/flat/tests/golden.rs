//! Whole messages against those of real Canal.

use serde_json::Value;

use super::*;
use crate::change::{StatementChange, StatementKind, TableName};
use crate::format::escape::put_string;

const DML: &str = include_str!("../../../../tests/golden/canal/dml.single.jsonl");
const DDL: &str = include_str!("../../../../tests/golden/canal/ddl.single.jsonl");
const TYPES: &str = include_str!("../../../../tests/golden/canal/types.single.jsonl");

/// A record of Canal: the bytes of its value, and what they mean.
fn records(file: &str) -> impl Iterator<Item = (String, Value)> {
    file.lines().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        let text = record["value"].as_str().unwrap().to_owned();
        let message = serde_json::from_str(&text).unwrap();
        (text, message)
    })
}

fn stamp(message: &Value) -> Stamp<'_> {
    Stamp {
        id: message["id"].as_u64().unwrap(),
        es: message["es"].as_i64().unwrap(),
        gtid: message["gtid"].as_str().unwrap(),
        ts: message["ts"].as_i64().unwrap(),
    }
}

fn kind(word: &str) -> Option<StatementKind> {
    Some(match word {
        "CREATE" => StatementKind::Create,
        "ALTER" => StatementKind::Alter,
        "ERASE" => StatementKind::Erase,
        "RENAME" => StatementKind::Rename,
        "TRUNCATE" => StatementKind::Truncate,
        "CINDEX" => StatementKind::CreateIndex,
        "DINDEX" => StatementKind::DropIndex,
        "QUERY" => StatementKind::Query,
        "INSERT" => StatementKind::Insert,
        "UPDATE" => StatementKind::Update,
        "DELETE" => StatementKind::Delete,
        // XACOMMIT and XAROLLBACK: such messages are not sent
        _ => return None,
    })
}

#[test]
fn statements_are_written_as_canal_writes_them() {
    let mut compared = 0;
    for (text, message) in [DML, DDL, TYPES].into_iter().flat_map(records) {
        let word = |name: &str| message[name].as_str().unwrap().to_owned();
        let Some(kind) = kind(&word("type")).filter(|_| message["data"].is_null()) else {
            continue;
        };
        let statement = StatementChange {
            kind,
            is_ddl: message["isDdl"].as_bool().unwrap(),
            schema: word("database"),
            table: word("table"),
            sql: word("sql"),
            place: EventPlace { file: "binlog.000001".into(), offset: 4, time: 0 },
            subject: TableName::new("", ""),
            parked: None,
        };
        let mut out = Vec::new();
        write_statement(&statement, &stamp(&message), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
        compared += 1;
    }
    assert!(compared > 100, "{compared}");
}

/// The members of an object in their order, which a parsed [`Value`] has lost.
#[derive(Debug)]
struct Names(Vec<String>);

impl<'de> serde::Deserialize<'de> for Names {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = Names;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, _)) = map.next_entry::<_, serde::de::IgnoredAny>()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The columns of a message of rows.
fn names(text: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Types {
        #[serde(rename = "mysqlType")]
        names: Names,
    }
    serde_json::from_str::<Types>(text).unwrap().names.0
}

/// Rows of text columns whose values are those that Canal printed.
fn change(message: &Value, names: &[String]) -> RowsChange {
    let columns = names.iter();
    let columns =
        columns.map(|name| column(name, message["mysqlType"][name].as_str().unwrap(), VARCHAR));
    let keys = message["pkNames"].as_array().map_or(&[][..], Vec::as_slice).iter();
    let place =
        |key: &Value| names.iter().position(|name| Some(name.as_str()) == key.as_str()).unwrap();
    let word = |name: &str| message[name].as_str().unwrap();
    let table = Arc::new(Table {
        version: TableVersion(1),
        name: TableName::new(word("database"), word("table")),
        columns: columns.collect(),
        primary_key: keys.map(place).collect(),
        hidden: 0,
    });
    let kind = match word("type") {
        "INSERT" => RowsKind::Insert,
        "UPDATE" => RowsKind::Update,
        "DELETE" => RowsKind::Delete,
        other => panic!("{other}"),
    };
    let mut images = Vec::new();
    for (nth, row) in message["data"].as_array().unwrap().iter().enumerate() {
        let after: Vec<_> = names.iter().map(|name| row[name].as_str().and_then(varchar)).collect();
        if kind == RowsKind::Update {
            let old = &message["old"][nth];
            let before = names.iter().zip(&after).map(|(name, after)| match old.get(name) {
                Some(value) => value.as_str().and_then(varchar),
                None => after.clone(),
            });
            images.push(image(&before.collect::<Vec<_>>()));
        }
        images.push(image(&after));
    }
    event(&table, kind, &images)
}

/// Cuts the object of `sqlType` out: our columns here are all of one type.
fn without_sql_types(text: &str) -> String {
    let start = text.find(",\"sqlType\":{").unwrap();
    let end = start + text[start..].find(",\"table\":").unwrap();
    format!("{}{}", &text[..start], &text[end..])
}

/// Whether `old` holds a column that did not change: Canal's leak, which we do not have.
fn leaks(message: &Value) -> bool {
    let rows = message["data"].as_array().unwrap().iter().enumerate();
    rows.filter_map(|(nth, row)| Some((row, message["old"].get(nth)?.as_object()?)))
        .any(|(row, old)| old.iter().any(|(name, value)| row.get(name) == Some(value)))
}

#[test]
fn rows_are_written_as_canal_writes_them() {
    let (mut compared, mut leaking) = (0, 0);
    for (text, message) in [DML, TYPES].into_iter().flat_map(records) {
        // texts too long for a VARCHAR are not worth another column type here
        if message["data"].is_null() || text.len() > 60_000 {
            continue;
        }
        if leaks(&message) {
            leaking += 1;
            continue;
        }
        let names = names(&text);
        let change = change(&message, &names);
        let included: Vec<usize> = (0..names.len()).collect();
        let plan = FlatPlan::new(Arc::clone(&change.table), &included, &settings());
        let mut out = Vec::new();
        plan.write(
            &mut Unwritten::of(&change, Rows::All),
            usize::MAX,
            &stamp(&message),
            &mut Workspace::default(),
            &mut out,
        )
        .unwrap();
        let ours = String::from_utf8(out).unwrap();
        assert_eq!(without_sql_types(&ours), without_sql_types(&text));
        compared += 1;
    }
    assert!(compared > 120 && leaking < 5, "{compared} {leaking}");
}

#[test]
fn every_string_of_canals_is_escaped_as_it_was() {
    // a Canal record is a JSON string in a JSON string: the outer one is the test's own
    for (text, message) in records(TYPES).filter(|(_, message)| !message["data"].is_null()) {
        let rows = message["data"].as_array().unwrap().iter();
        let values = rows.flat_map(|row| row.as_object().unwrap().values());
        for value in values.filter_map(Value::as_str) {
            let mut out = Vec::new();
            put_string(&mut out, value);
            assert!(text.contains(&String::from_utf8(out).unwrap()), "{value}");
        }
    }
}
