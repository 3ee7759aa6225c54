//! Changes inside JSON documents that MySQL logs as such: the document that is published is the one
//! that the server has.
//!
//! Documents, paths and functions are made by a grammar; behind each change the rows are copied by
//! a statement that logs them whole, and both messages have to say the same. `SLUICE_PARTIAL_SEED`
//! repeats a run, `SLUICE_PARTIAL_STATEMENTS` is how many changes it has.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Row as _};

use crate::harness::servers::{mysql, run, try_run};
use crate::harness::{PATIENCE, Random, Sluice, asked, say, topics, wait_for};

/// Keys as they stand in paths: some are no identifiers, and some look like what they are not.
const KEYS: [&str; 12] = [
    "a",
    "b",
    "last",
    "ключ",
    "$x",
    "_y9",
    "\"a b\"",
    "\"x.y[0]\"",
    "\"\"",
    r#""q\"uote""#,
    r#""\\u00e9""#,
    "\"😀\"",
];

fn pick<'a>(random: &mut Random, all: &[&'a str]) -> &'a str {
    let picked: &&'a str = random.pick(all);
    picked
}

/// A document as an SQL literal holds it, without its quotes.
fn document(random: &mut Random, depth: u32) -> String {
    match random.below(if depth == 0 { 7 } else { 13 }) {
        0 => "null".to_owned(),
        1 => "true".to_owned(),
        2 => format!("{}", random.below(100_000)),
        3 => "-1.5e10".to_owned(),
        4 => format!("\"{}\"", "t".repeat(random.place(200))),
        5 => "\"é😀\"".to_owned(),
        6 => pick(random, &["[]", "{}"]).to_owned(),
        7..10 => {
            let elements: Vec<String> =
                (0..random.below(5)).map(|_| document(random, depth - 1)).collect();
            format!("[{}]", elements.join(", "))
        }
        _ => {
            let members: BTreeMap<String, String> = (0..random.below(6))
                .map(|_| {
                    let key = pick(random, &KEYS);
                    let key =
                        if key.starts_with('"') { key.to_owned() } else { format!("\"{key}\"") };
                    (key, document(random, depth - 1))
                })
                .collect();
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("{key}: {value}")).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// An SQL literal of that text.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn path(random: &mut Random) -> String {
    const INDICES: [&str; 9] =
        ["0", "1", "2", "7", "last", "last-1", "last-2", "last-9", " last - 1 "];
    let legs: Vec<String> = (0..=random.below(3))
        .map(|_| match random.below(2) {
            0 => format!("[{}]", pick(random, &INDICES)),
            _ => format!(".{}", pick(random, &KEYS)),
        })
        .collect();
    literal(&format!("${}", legs.concat()))
}

fn value(random: &mut Random) -> String {
    match random.below(6) {
        0 => format!("CAST({} AS JSON)", literal(&document(random, 2))),
        1 => "CAST('2020-02-29' AS DATE)".to_owned(),
        2 => "CAST('-12:13:14.5' AS TIME(3))".to_owned(),
        3 => "CAST(1.50 AS DECIMAL(10,2))".to_owned(),
        4 => format!("'{}'", "v".repeat(random.place(300))),
        _ => format!("{}", random.below(1000)),
    }
}

/// What a column becomes.
fn change(random: &mut Random, column: &str) -> String {
    let mut changed = column.to_owned();
    for _ in 0..=random.below(2) {
        let pairs = |random: &mut Random| -> String {
            let pairs =
                (0..=random.below(2)).map(|_| format!(", {}, {}", path(random), value(random)));
            pairs.collect::<Vec<_>>().concat()
        };
        changed = match random.below(6) {
            0 | 1 => format!("JSON_SET({changed}{})", pairs(random)),
            2 => format!("JSON_REPLACE({changed}{})", pairs(random)),
            3 => {
                let paths: Vec<String> =
                    (0..=random.below(2)).map(|_| format!(", {}", path(random))).collect();
                format!("JSON_REMOVE({changed}{})", paths.concat())
            }
            // Not logged as a change, alone or around one.
            4 => format!("JSON_ARRAY_INSERT({changed}{})", pairs(random)),
            _ => format!("JSON_INSERT({changed}{})", pairs(random)),
        };
    }
    changed
}

#[tokio::test]
async fn a_change_inside_a_document_makes_the_document_that_the_server_has() {
    let Some(server) = mysql() else { return };
    let statements = asked::number_or("SLUICE_PARTIAL_STATEMENTS", 400);
    let mut random = Random::seeded("SLUICE_PARTIAL_SEED");
    let mut source = server.database("partial_json").await;
    // What is made of a document has a bit of its own among those that say which are changed.
    run(
        &mut source,
        "CREATE TABLE t (id INT PRIMARY KEY, g JSON AS (JSON_EXTRACT(j, '$.a')) VIRTUAL, j JSON,
                         s JSON AS (JSON_ARRAY(id, j)) STORED, k JSON, v INT);
         CREATE TABLE seen (n INT AUTO_INCREMENT PRIMARY KEY, id INT, g JSON, j JSON, s JSON, k JSON)",
    )
    .await;
    let properties =
        [("canal.instance.filter.regex", r"partial_json\..*"), ("canal.mq.topic", "partial_json")];
    let mut sluice = Sluice::with_instance("partial_json", server, &properties);
    sluice.start();
    run(&mut source, "SET SESSION binlog_row_value_options = PARTIAL_JSON").await;
    let mut kept = 0;
    for turn in 0..statements {
        let id = random.below(6);
        let compresses = i32::from(random.once_in(5));
        run(&mut source, &format!("SET SESSION binlog_transaction_compression = {compresses}"))
            .await;
        let sql = if turn < 6 || random.once_in(12) {
            let [j, k] = [3, 2].map(|depth| literal(&document(&mut random, depth)));
            let id = if turn < 6 { turn } else { id };
            format!("REPLACE INTO t (id, j, k, v) VALUES ({id}, {j}, {k}, {turn})")
        } else {
            let columns = *random.pick(&[&["j"][..], &["k"], &["j", "k"]]);
            let changes: Vec<String> = columns
                .iter()
                .map(|column| format!("{column} = {}", change(&mut random, column)))
                .collect();
            format!(
                "UPDATE t SET {}, v = {turn} WHERE id IN ({id}, {})",
                changes.join(", "),
                (id + 1) % 6
            )
        };
        // Some a server refuses: then nothing changes.
        if try_run(&mut source, &sql).await.is_ok() {
            kept += 1;
        }
        run(&mut source, "INSERT INTO seen (id, g, j, s, k) SELECT id, g, j, s, k FROM t").await;
    }
    run(&mut source, "SET SESSION binlog_row_value_options = ''").await;
    let partial = sqlx::raw_sql(AssertSqlSafe("SELECT COUNT(*) FROM seen".to_owned()));
    let rows: i64 = partial.fetch_one(&mut source).await.unwrap().get(0);
    let mut judged = 0;
    let mut now: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    let last = |records: &[topics::Record]| {
        let of_seen = records.iter().map(topics::Record::json).filter(|one| one["table"] == "seen");
        of_seen.map(|one| one["data"].as_array().map_or(0, Vec::len)).sum::<usize>()
    };
    let records = wait_for("all rows", PATIENCE, || {
        assert!(!sluice.health()?.1.contains(r#""state":"stopped""#), "{:?}", sluice.health());
        let records = topics::read(&sluice.bootstrap(), "partial_json");
        (i64::try_from(last(&records)).ok()? == rows).then_some(records)
    });
    for record in &records {
        let message = record.json();
        for row in message["data"].as_array().into_iter().flatten() {
            let id = row["id"].as_str().unwrap().to_owned();
            if message["table"] == "t" {
                let _ = match message["type"].as_str() {
                    Some("DELETE") => now.remove(&id),
                    _ => now.insert(id, row.clone()),
                };
                continue;
            }
            for column in ["g", "j", "s", "k"] {
                assert_eq!(now[&id][column], row[column], "{column} of {row}");
                judged += 1;
            }
        }
    }
    say(&format!("{kept} changes, {judged} documents"));
    assert!(kept * 3 > statements && i64::from(judged) == 4 * rows, "{kept} of {statements}");
    sluice.stop();
}
