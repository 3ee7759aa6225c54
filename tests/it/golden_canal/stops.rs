//! Statements at which real Canal stops for ever, or which it publishes without their table.
//!
//! `tests/golden/canal/stops` has a script for each: a table `before_it` with a row before, one
//! between and one behind what Canal cannot read. Here each of them is published, in a topic of
//! its table. The values are those that the server answers to a SELECT.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{self, Sluice, topics};

/// A script, its database, and members of the messages of its other table.
struct Stop(&'static str, &'static str, &'static [&'static str]);

const CREATE: &str = r#"{"type": "CREATE", "isDdl": true}"#;
const ALTER: &str = r#"{"type": "ALTER", "isDdl": true}"#;

const STOPS: [Stop; 8] = [
    Stop(
        "check_not_enforced",
        "gs_chk",
        &[CREATE, r#"{"type": "INSERT", "data": [{"id": "1", "w": "100"}]}"#],
    ),
    Stop(
        "create_if_not_exists",
        "gs_ine",
        &[
            CREATE,
            r#"{"type": "INSERT", "data": [{"id": "1", "a": "1", "b": "1"}]}"#,
            CREATE,
            r#"{"type": "INSERT", "data": [{"id": "2", "a": "2", "b": "2"}]}"#,
        ],
    ),
    Stop(
        "geom_srid",
        "gs_srid",
        &[
            CREATE,
            r#"{"type": "INSERT", "mysqlType": {"id": "int", "ps": "point"}, "data": [{"id": "1",
                "ps": "\u00e6\u0010\u0000\u0000\u0001\u0001\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0034\u0040\u0000\u0000\u0000\u0000\u0000\u0000\u0024\u0040"}]}"#,
        ],
    ),
    Stop(
        "invisible_alter",
        "gs_inva",
        &[
            CREATE,
            r#"{"type": "INSERT", "data": [{"id": "1", "a": "1"}]}"#,
            ALTER,
            r#"{"type": "INSERT", "data": [{"id": "2", "a": "2", "inv": "42"}]}"#,
        ],
    ),
    Stop(
        "invisible_create",
        "gs_invc",
        &[
            CREATE,
            r#"{"type": "INSERT", "data": [{"id": "1", "a": "1", "inv": "42"}]}"#,
            r#"{"type": "INSERT", "data": [{"id": "2", "a": "2", "inv": "7"}]}"#,
        ],
    ),
    Stop(
        "long_varchar",
        "gs_long",
        &[
            CREATE,
            r#"{"type": "INSERT", "data": [{"id": "1", "lv": "a", "lb": "b"}],
                "mysqlType": {"id": "int", "lv": "mediumtext", "lb": "mediumblob"}}"#,
        ],
    ),
    Stop(
        "nonascii_table",
        "gs_name",
        &[CREATE, r#"{"type": "INSERT", "table": "日本表", "data": [{"键": "1", "值": "值"}]}"#],
    ),
    Stop(
        "vector",
        "gs_vec",
        &[
            CREATE,
            r#"{"type": "INSERT", "data": [{"id": "1", "v": null, "w": null}],
                "mysqlType": {"id": "int", "v": "vector(3)", "w": "vector(2048)"}}"#,
            r#"{"type": "INSERT", "data": [{"id": "2",
                "v": "[1.0,2.5,-3.0]", "w": "[0.1]"}]}"#,
        ],
    ),
];

#[test]
fn what_stops_canal_is_published_under_its_own_name() {
    let Some(mysql) = harness::servers::private_mysql(&[]) else { return };
    let filter = [("canal.instance.filter.regex", r"gs_.*\..*")];
    let mut sluice = Sluice::with_instance("stops", &mysql, &filter);
    sluice.start();
    for Stop(script, database, wanted) in STOPS {
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
        for (got, wanted) in got.iter().zip(wanted) {
            let wanted: Value = serde_json::from_str(wanted).unwrap();
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

fn folder() -> PathBuf {
    super::folder().join("stops")
}
