//! Planted differences, and their absence, in random histories.

use std::collections::BTreeMap;

use super::*;
use crate::disk::Simulated;

/// Rows by id: name, and amount.
type Model = BTreeMap<u64, (String, Option<String>)>;

struct History {
    messages: Vec<String>,
    model: Model,
    random: u64,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut history = Self { messages: Vec::new(), model: Model::new(), random: seed };
        history.messages.push(statement("CREATE"));
        history
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % bound
    }

    /// Inserts, updates, key changes and deletes.
    fn go_on(&mut self, steps: usize) {
        for _ in 0..steps {
            let id = self.below(60);
            let value = (format!("n{}", self.below(9)), Some(format!("{}.5", self.below(99))));
            match (self.model.get(&id).cloned(), self.below(4)) {
                (None, _) => {
                    self.messages.push(message("INSERT", &[(id, &value)], None));
                    self.model.insert(id, value);
                }
                (Some(old), 0) => {
                    self.messages.push(message("DELETE", &[(id, &old)], None));
                    self.model.remove(&id);
                }
                (Some(old), 1) if !self.model.contains_key(&(id + 100)) => {
                    let before = format!("{{\"id\":\"{id}\"}}");
                    self.messages.push(message("UPDATE", &[(id + 100, &old)], Some(&before)));
                    self.model.remove(&id);
                    self.model.insert(id + 100, old);
                }
                (Some(old), _) => {
                    let before = format!("{{\"name\":\"{}\"}}", old.0);
                    let value = (value.0, old.1);
                    self.messages.push(message("UPDATE", &[(id, &value)], Some(&before)));
                    self.model.insert(id, value);
                }
            }
        }
    }
}

fn row(id: u64, (name, amount): &(String, Option<String>)) -> String {
    let amount = amount.as_ref().map_or("null".to_owned(), |amount| format!("\"{amount}\""));
    format!("{{\"id\":\"{id}\",\"name\":\"{name}\",\"amount\":{amount}}}")
}

fn message(kind: &str, rows: &[(u64, &(String, Option<String>))], old: Option<&str>) -> String {
    let rows: Vec<String> = rows.iter().map(|(id, value)| row(*id, value)).collect();
    let old = old.map_or("null".to_owned(), |old| format!("[{old}]"));
    format!(
        "{{\"data\":[{}],\"database\":\"d\",\"isDdl\":false,\"old\":{old},\"table\":\"t\",\
         \"type\":\"{kind}\"}}",
        rows.join(",")
    )
}

fn statement(kind: &str) -> String {
    format!(
        "{{\"data\":null,\"database\":\"d\",\"isDdl\":true,\"table\":\"t\",\"type\":\"{kind}\"}}"
    )
}

/// Where the place is at which the table is read: how many messages before it, and around it.
struct Split {
    before: usize,
    around: usize,
}

fn compare(
    messages: &[String],
    table: &Model,
    key: &[&str],
    split: &Split,
) -> (Report, Vec<Differing>) {
    let disk = Arc::new(Simulated::new());
    let key = key.iter().map(|column| (*column).to_owned()).collect();
    let mut comparison = Comparison::new(("d", "t"), key, disk, "v").unwrap();
    for (number, message) in messages.iter().enumerate() {
        let number = number as u64;
        let when = match usize::try_from(number).unwrap() {
            at if at < split.before => When::Before,
            at if at < split.before + split.around => When::Around,
            _ => When::Behind,
        };
        let place = message.strip_prefix("at ").map_or(number, |_| 0);
        let value = message.strip_prefix("at ").unwrap_or(message).as_bytes();
        let at = (0, number.cast_signed());
        let place = Some((1, place, 0));
        let record = Record { at, place, when, is_copy: false, value };
        comparison.take_record(&record).unwrap();
    }
    for (id, value) in table {
        comparison.take_rows(message("INSERT", &[(*id, value)], None).as_bytes()).unwrap();
    }
    let mut found = Vec::new();
    let report = comparison.finish(|differing| found.push(differing.clone())).unwrap();
    (report, found)
}

fn all(messages: &[String], table: &Model) -> (Report, Vec<Differing>) {
    compare(messages, table, &["id"], &Split { before: messages.len(), around: 0 })
}

#[test]
fn a_table_that_its_topic_leads_to_has_no_difference() {
    for seed in 0..20 {
        let mut history = History::new(seed);
        history.go_on(600);
        let (report, found) = all(&history.messages, &history.model);
        assert_eq!((found, report.not_judged()), (Vec::new(), 0), "{seed}");
        assert_eq!(report.rows, history.model.len() as u64);
        assert!(report.judged >= report.rows);
        // Without a key rows are counted.
        let split = Split { before: history.messages.len(), around: 0 };
        let (report, found) = compare(&history.messages, &history.model, &[], &split);
        assert_eq!((found, report.not_judged()), (Vec::new(), 0), "{seed}");
    }
}

/// Whenever within the messages around its place the table was read.
#[test]
fn a_table_that_is_read_while_it_changes_has_no_difference() {
    for seed in 0..20 {
        let mut history = History::new(seed);
        history.go_on(200);
        let before = history.messages.len();
        let mut readings = vec![history.model.clone()];
        for _ in 0..30 {
            history.go_on(1);
            readings.push(history.model.clone());
        }
        history.go_on(50);
        for reading in &readings {
            for key in [&["id"][..], &[]] {
                let split = Split { before, around: 30 };
                let (report, found) = compare(&history.messages, reading, key, &split);
                assert_eq!((found, report.not_judged()), (Vec::new(), 0), "{seed} {key:?}");
            }
        }
    }
}

#[test]
fn each_kind_of_planted_difference_is_found_and_nothing_else() {
    let mut history = History::new(7);
    history.go_on(300);
    let value = ("x".to_owned(), Some("1.50".to_owned()));
    for id in 900..905 {
        history.messages.push(message("INSERT", &[(id, &value)], None));
        history.model.insert(id, value.clone());
    }
    let History { messages, model, .. } = history;
    let with = |more: &[String]| [&messages[..], more].concat();
    let changed = |value: (String, Option<String>)| {
        let mut model = model.clone();
        model.insert(901, value);
        model
    };
    let without = {
        let mut model = model.clone();
        model.remove(&901);
        model
    };
    let of = |name: &str, amount: Option<&str>| (name.to_owned(), amount.map(str::to_owned));
    let delete = message("DELETE", &[(901, &value)], None);
    let insert = message("INSERT", &[(901, &value)], None);
    let other = message("UPDATE", &[(901, &of("y", Some("1.50")))], Some("{\"name\":\"x\"}"));
    let schema = insert.replace("\"name\":\"x\",", "");
    let cases = [
        ("missing", with(std::slice::from_ref(&delete)), model.clone(), Difference::Missing),
        ("extra", messages.clone(), without.clone(), Difference::Extra),
        ("changed", messages.clone(), changed(of("y", Some("1.50"))), Difference::Changed),
        ("a NULL", messages.clone(), changed(of("x", None)), Difference::Changed),
        ("a charset", messages.clone(), changed(of("Ã¤", Some("1.50"))), Difference::Changed),
        ("a last digit", messages.clone(), changed(of("x", Some("1.51"))), Difference::Changed),
        ("a duplicate", with(std::slice::from_ref(&insert)), model.clone(), Difference::Duplicate),
        (
            "a deleted key back",
            with(&[delete.clone(), insert.clone()]),
            without.clone(),
            Difference::Extra,
        ),
        (
            "order",
            with(&[other, format!("at {}", message("UPDATE", &[(901, &value)], Some("{}")))]),
            model.clone(),
            Difference::Order,
        ),
        ("another schema", with(&[delete, schema]), model.clone(), Difference::Changed),
    ];
    for (what, messages, table, expected) in cases {
        let (report, found) = all(&messages, &table);
        let kinds: Vec<_> = found.iter().map(|one| (one.difference, &*one.key)).collect();
        assert_eq!(kinds, [(expected, "[\"901\"]")], "{what}");
        assert_eq!(report.not_judged(), 0, "{what}");
    }
    let (_, found) = all(&messages, &changed(of("x", Some("1.51"))));
    assert_eq!(found[0].columns, ["amount"]);
}

#[test]
fn a_key_without_a_message_is_not_judged_unless_the_topic_is_complete() {
    let mut history = History::new(3);
    history.messages.clear();
    history.go_on(100);
    history.model.insert(999, ("old".to_owned(), None));
    let (report, found) = all(&history.messages, &history.model);
    assert_eq!((found.len(), report.without_message), (0, 1));
    history.messages.insert(0, statement("TRUNCATE"));
    let (report, found) = all(&history.messages, &history.model);
    assert_eq!((found[0].difference, report.without_message), (Difference::Missing, 0));
}

#[test]
fn what_was_before_an_emptying_is_gone_and_before_an_alteration_is_compared_by_its_columns() {
    let mut history = History::new(5);
    history.go_on(100);
    history.messages.push(statement("TRUNCATE"));
    history.model.clear();
    history.go_on(50);
    let (report, found) = all(&history.messages, &history.model);
    assert_eq!((found, report.not_judged()), (Vec::new(), 0));
    // A column was dropped, without its rows being touched.
    let mut messages: Vec<String> = history
        .messages
        .iter()
        .map(|one| one.replace("{\"id\"", "{\"gone\":\"1\",\"id\""))
        .collect();
    messages.push(statement("ALTER"));
    let (report, found) = all(&messages, &history.model);
    assert_eq!((found, report.not_judged()), (Vec::new(), 0));
    let mut model = history.model.clone();
    let first = *model.keys().next().unwrap();
    model.insert(first, ("other".to_owned(), None));
    let (report, found) = all(&messages, &model);
    assert_eq!((found.len(), report.of_older_definition), (0, 1));
}
