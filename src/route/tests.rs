//! Routing as Canal does it, against what its own code gave, and our own rules beside it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::change::{Column, ColumnType, Table, TableName, TableVersion};

use super::*;

fn settings() -> RouteSettings {
    RouteSettings {
        instance: "example".to_owned(),
        template: "{schema}.{table}".to_owned(),
        topic: None,
        dynamic_topic: None,
        partition: 0,
        partition_hash: None,
        partitions_num: None,
        dynamic_topic_partition_num: None,
        most_partitions: 10_000,
        database_hash: true,
    }
}

fn table(schema: &str, name: &str, columns: &[&str], key: &[&str]) -> Table {
    let column = |name: &&str| Column {
        name: (*name).to_owned(),
        mysql_type: "text".to_owned(),
        kind: ColumnType::Long { unsigned: false },
        labels: Vec::new(),
    };
    let place = |name: &&str| columns.iter().position(|column| column == name).unwrap();
    Table {
        version: TableVersion(1),
        name: TableName::new(schema, name),
        columns: columns.iter().map(column).collect(),
        primary_key: key.iter().map(place).collect(),
        hidden: 0,
    }
}

fn golden_settings(config: &Value) -> RouteSettings {
    let text = |key: &str| config[key].as_str().map(str::to_owned);
    let number = |key: &str| config[key].as_i64().map(|number| i32::try_from(number).unwrap());
    RouteSettings {
        topic: text("topic"),
        dynamic_topic: text("dynamicTopic"),
        partition: number("partition").unwrap_or(0),
        partition_hash: text("partitionHash"),
        partitions_num: number("partitionsNum"),
        dynamic_topic_partition_num: text("dynamicTopicPartitionNum"),
        database_hash: config["databaseHash"].as_bool().unwrap_or(true),
        // Canal's code was asked for more than our log has.
        most_partitions: i32::MAX,
        ..settings()
    }
}

/// A partition, and which rows are in its message; a statement has none.
type Message = (i32, Option<Vec<usize>>);

/// Routes a case as the instance would, in the shape of the golden lines: messages by
/// partition, each with the rows in it.
fn route_case(router: &Router, case: &Value) -> (String, Vec<Message>) {
    let (schema, name) = (case["database"].as_str().unwrap(), case["table"].as_str().unwrap());
    let Some(rows) = case["rows"].as_array().filter(|rows| !rows.is_empty()) else {
        let destination = router.statement(schema, name);
        return (destination.topic.to_string(), vec![(destination.partition, None)]);
    };
    let mut columns: Vec<&str> = Vec::new();
    for name in rows.iter().flat_map(|row| row.as_object().unwrap().keys()) {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    let key = case["pk"].as_array().map_or(&[][..], Vec::as_slice);
    let key: Vec<&str> = key.iter().map(|name| name.as_str().unwrap()).collect();
    let included: Vec<usize> = (0..columns.len()).collect();
    let route = router.route(&table(schema, name, &columns, &key), &included);
    let mut messages: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let partition = match &route.rule {
            PartitionRule::Fixed(partition) => *partition,
            PartitionRule::Columns(rule) => {
                let mut hash = rule.row();
                let values = rule.columns().iter().map(|column| &row[columns[*column]]);
                values.filter_map(Value::as_str).for_each(|value| hash.add(value.as_bytes()));
                hash.partition()
            }
        };
        assert!(partition < route.partitions);
        messages.entry(partition).or_default().push(index);
    }
    let messages = messages.into_iter().map(|(partition, rows)| (partition, Some(rows)));
    (route.topic.to_string(), messages.collect())
}

/// Canal takes the blank for a part of the pattern, which then matches no table.
#[test]
fn blanks_behind_the_commas_of_partition_hash_are_no_part_of_a_pattern() {
    let hashed = RouteSettings {
        partitions_num: Some(3),
        partition_hash: Some("shop.orders:id, shop.items:id ,\tshop.parts : id".into()),
        ..settings()
    };
    let router = Router::new(&hashed).unwrap();
    for name in ["orders", "items", "parts"] {
        let route = router.route(&table("shop", name, &["id", "n"], &["id"]), &[0, 1]);
        let PartitionRule::Columns(rule) = route.rule else { panic!("no hash of {name}") };
        assert_eq!(rule.columns(), [0], "{name}");
        assert_eq!(route.partitions, 3, "{name}");
    }
}

#[test]
fn topics_and_partitions_are_those_of_canals_own_code() {
    let input = include_str!("../../tests/golden/canal/routing.in.json");
    let input: Value = serde_json::from_str(input).unwrap();
    let mut expected = include_str!("../../tests/golden/canal/routing.jsonl").lines();
    let (mut compared, mut mended) = (0, 0);
    for config in input["configs"].as_array().unwrap() {
        let router = Router::new(&golden_settings(config)).unwrap();
        for case in input["cases"].as_array().unwrap() {
            let line: Value = serde_json::from_str(expected.next().unwrap()).unwrap();
            let label = format!("{} {}.{}", line["config"], line["database"], line["table"]);
            assert_eq!(line["config"], config["name"]);
            assert_eq!(line["database"], case["database"]);
            let (topic, messages) = route_case(&router, case);
            let theirs = line["topic"].as_str().unwrap();
            // Kafka refuses what Canal asks for here; see the README, "Compatibility with Canal"
            let (legal, renamed) = topic::legal(theirs);
            mended += usize::from(renamed);
            assert_eq!(topic, legal, "{label}");
            let rows = |message: &Value| -> Option<Vec<usize>> {
                let rows = message["rows"].as_array()?.iter();
                Some(rows.map(|row| usize::try_from(row.as_u64().unwrap()).unwrap()).collect())
            };
            let out = line["out"].as_array().unwrap().iter();
            let out: Vec<_> = out
                .map(|m| (i32::try_from(m["partition"].as_i64().unwrap()).unwrap(), rows(m)))
                .collect();
            assert_eq!(messages, out, "{label}");
            compared += 1;
        }
    }
    assert!(expected.next().is_none());
    assert_eq!(compared, 20 * 38);
    assert!(mended > 0);
}

#[test]
fn a_table_has_a_topic_of_its_own_by_default() {
    let router = Router::new(&settings()).unwrap();
    let route = router.route(&table("bigdata", "test", &["id"], &["id"]), &[0]);
    assert_eq!((&*route.topic, route.partitions), ("bigdata.test", 1));
    assert_eq!(route.rule, PartitionRule::Fixed(0));
    assert_eq!(&*router.statement("bigdata", "test").topic, "bigdata.test");
}

#[test]
fn what_has_no_table_goes_to_the_topic_named_as_the_instance() {
    let router = Router::new(&settings()).unwrap();
    for (schema, name) in [("bigdata", ""), ("", "test"), ("", "")] {
        assert_eq!(&*router.statement(schema, name).topic, "example");
    }
}

#[test]
fn characters_that_kafka_refuses_become_underscores_and_are_reported() {
    let router = Router::new(&settings()).unwrap();
    let odd = router.statement("db", "日志 a$b");
    assert_eq!(&*odd.topic, "db.___a_b");
    assert_eq!(odd.renamed_from.as_deref(), Some("db.日志 a$b"));
    assert_eq!(router.statement("db", "log-2024_x").renamed_from, None);
    for (asked, given) in [(".", "_"), ("..", "__"), ("", "_"), ("...", "...")] {
        assert_eq!(topic::legal(asked).0, given);
    }
    assert_eq!(topic::legal(&"x".repeat(300)).0.len(), 249);
}

#[test]
fn a_topic_has_room_for_the_fixed_partition() {
    let fixed = RouteSettings { partition: 4, partitions_num: Some(3), ..settings() };
    let to = Router::new(&fixed).unwrap().statement("db", "t");
    assert_eq!((to.partition, to.partitions), (4, 5));
}

#[test]
fn hidden_columns_do_not_count_in_the_hash() {
    let hashed = RouteSettings {
        partition_hash: Some(r".*\..*:$pk$".into()),
        partitions_num: Some(8),
        ..settings()
    };
    let router = Router::new(&hashed).unwrap();
    let table = table("db", "t", &["a", "b"], &["a", "b"]);
    let PartitionRule::Columns(rule) = router.route(&table, &[1]).rule else { panic!("no hash") };
    assert_eq!(rule.columns(), [1]);
    assert!(matches!(router.route(&table, &[]).rule, PartitionRule::Fixed(_)));
}

#[test]
fn java_hashes_are_javas() {
    // "polygenelubricants".hashCode() is Integer.MIN_VALUE, the classic that abs() leaves
    assert_eq!(hash::java_hash(b"polygenelubricants"), i32::MIN);
    assert_eq!(hash::java_hash("😀".as_bytes()), 1_772_899);
    assert_eq!(hash::java_hash(b""), 0);
    assert_eq!(hash::java_hash(b"a\xffb"), hash::java_hash("a\u{fffd}b".as_bytes()));
    assert_eq!(hash::partition(i32::MIN, 3), 2);
}

#[test]
fn all_wrong_settings_are_named_at_once() {
    for (partition, number, numbers) in
        [(10_000, 1, "a:1"), (i32::MAX, 1, "a:1"), (0, 10_001, "a:1"), (0, 1, "a:10001")]
    {
        let wrong = RouteSettings {
            partition,
            partitions_num: Some(number),
            dynamic_topic_partition_num: Some(numbers.into()),
            ..settings()
        };
        assert_eq!(Router::new(&wrong).unwrap_err().len(), 1, "{partition} {number} {numbers}");
    }
    let wrong = RouteSettings {
        partition: -1,
        partitions_num: Some(0),
        partition_hash: Some("db(:id".into()),
        dynamic_topic_partition_num: Some("a:1,b:x,c".into()),
        template: "{database}.{table}".into(),
        ..settings()
    };
    let errors = Router::new(&wrong).unwrap_err();
    let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(text.len(), 6, "{text:?}");
    for (error, start) in text.iter().zip([
        "sluice.topic: `{database}.{table}`",
        "canal.mq.partitionHash: `db(`",
        "canal.mq.dynamicTopicPartitionNum: `b:x`",
        "canal.mq.dynamicTopicPartitionNum: `c`",
        "canal.mq.partitionsNum: `0`",
        "canal.mq.partition: `-1`",
    ]) {
        assert!(error.starts_with(start), "{error}");
    }
}
