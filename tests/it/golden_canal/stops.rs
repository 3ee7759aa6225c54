//! Statements at which real Canal stops for ever, or which it publishes without their table.
//!
//! `tests/golden/canal/stops` has a script for each: a table `before_it` with a row before, one
//! between and one behind what Canal cannot read. Here each of them is published, in a topic of
//! its table. The values are those that the server answers to a SELECT.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{self, Sluice, topics};

/// A script, its database, and the messages of its other table.
struct Stop(&'static str, &'static str, Vec<Value>);

fn stops() -> [Stop; 8] {
    let whole = |id: &str| {
        row(json!({"id": id, "a": id, "inv": "42"}), json!({"id": "int", "a": "int", "inv": "int"}))
    };
    let two = |id: &str| row(json!({"id": id, "a": id}), json!({"id": "int", "a": "int"}));
    let three = |id: &str| {
        row(json!({"id": id, "a": id, "b": id}), json!({"id": "int", "a": "int", "b": "int"}))
    };
    let vector = |id: &str, v: Value, w: Value| {
        let types = json!({"id": "int", "v": "vector(3)", "w": "vector(2048)"});
        row(json!({"id": id, "v": v, "w": w}), types)
    };
    let point = "\u{e6}\u{10}\0\0\u{1}\u{1}\0\0\0\0\0\0\0\0\04@\0\0\0\0\0\0$@";
    [
        Stop(
            "check_not_enforced",
            "gs_chk",
            vec![create(), row(json!({"id": "1", "w": "100"}), json!({"id": "int", "w": "int"}))],
        ),
        Stop("create_if_not_exists", "gs_ine", vec![create(), three("1"), create(), three("2")]),
        Stop(
            "geom_srid",
            "gs_srid",
            vec![
                create(),
                row(json!({"id": "1", "ps": point}), json!({"id": "int", "ps": "point"})),
            ],
        ),
        Stop(
            "invisible_alter",
            "gs_inva",
            vec![create(), two("1"), json!({"type": "ALTER", "isDdl": true}), whole("2")],
        ),
        Stop(
            "invisible_create",
            "gs_invc",
            vec![
                create(),
                whole("1"),
                json!({"type": "INSERT", "data": [{"id": "2", "a": "2", "inv": "7"}]}),
            ],
        ),
        Stop(
            "long_varchar",
            "gs_long",
            vec![
                create(),
                row(
                    json!({"id": "1", "lv": "a", "lb": "b"}),
                    json!({"id": "int", "lv": "mediumtext", "lb": "mediumblob"}),
                ),
            ],
        ),
        Stop(
            "nonascii_table",
            "gs_name",
            vec![create(), row(json!({"键": "1", "值": "值"}), json!({"键": "int", "值": "text"}))],
        ),
        Stop(
            "vector",
            "gs_vec",
            vec![
                create(),
                vector("1", Value::Null, Value::Null),
                vector(
                    "2",
                    json!("[1.00000e+00,2.50000e+00,-3.00000e+00]"),
                    json!("[1.00000e-01]"),
                ),
            ],
        ),
    ]
}

fn create() -> Value {
    json!({"type": "CREATE", "isDdl": true})
}

fn row(data: Value, types: Value) -> Value {
    json!({"type": "INSERT", "data": [data], "mysqlType": types})
}

#[test]
fn what_stops_canal_is_published_under_its_own_name() {
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    let filter = [("canal.instance.filter.regex", r"gs_.*\..*")];
    let mut sluice = Sluice::with_instance("stops", &mysql, &filter);
    sluice.start();
    for Stop(script, database, wanted) in stops() {
        let text = std::fs::read_to_string(folder().join(format!("{script}.sql"))).unwrap();
        mysql.mysql_client("", &text);

        let around = format!("{database}.before_it");
        let rows = topics::read_at_least(&sluice.bootstrap(), &around, 4);
        let ids: Vec<Value> =
            rows.iter().map(|record| record.json()["data"][0]["id"].clone()).collect();
        assert_eq!(json!(ids), json!([null, "1", "2", "3"]), "{script}");

        let topic = topic_of(&sluice, database, &around);
        let records = topics::read_at_least(&sluice.bootstrap(), &topic, wanted.len());
        let got: Vec<Value> = records.iter().map(harness::Record::json).collect();
        assert_eq!(got.len(), wanted.len(), "{script}: {got:#?}");
        for (got, wanted) in got.iter().zip(&wanted) {
            for (name, value) in wanted.as_object().unwrap() {
                assert_eq!(&got[name], value, "{name} of {got} ({script})");
            }
            assert_eq!(got["database"], database);
            assert!(text.contains(got["sql"].as_str().unwrap()), "{got}");
        }
    }
    super::drop_after(mysql, sluice);
}

/// The topic of the other table.
fn topic_of(sluice: &Sluice, database: &str, around: &str) -> String {
    let of_tables = format!("{database}.");
    let mut topics = topics::list(&sluice.bootstrap()).into_keys();
    topics.find(|topic| topic.starts_with(&of_tables) && topic != around).unwrap()
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/canal/stops")
}
