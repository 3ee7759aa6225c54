//! What the changes of one key lead to, and whether that is what the table has.
//!
//! Entries come by key; of a key those of the topic in its order, then those of the table.

use super::message::{Entry, Kind, Row};
use super::{Difference, Differing, Report, When};

/// States that a key may be in at the place: more are not kept.
const MOST_STATES: usize = 1000;

/// See the head of this file.
pub(super) struct Judge<'a> {
    /// Whether a key names one row; else rows are counted.
    is_keyed: bool,
    /// Whether the topic has every row.
    is_complete: bool,
    /// Since when in the topic all rows before are gone.
    emptied: Vec<((i32, i64), When)>,
    /// The last change of the definition.
    altered: Option<(i32, i64)>,
    pub(super) report: Report,
    each: &'a mut dyn FnMut(&Differing),
    key: OfKey,
}

/// What is known of a key.
#[derive(Debug, Default)]
struct OfKey {
    key: Vec<u8>,
    /// As the topic leaves it; none if it has no message.
    #[expect(clippy::option_option, reason = "a row that is known not to be there is known")]
    now: Option<Option<Row>>,
    /// What it may be besides.
    others: Vec<Option<Row>>,
    /// How many rows there are of one that is no key: at least and at most.
    count: (i64, i64),
    /// Where its last change is.
    last: Option<(i32, i64)>,
    is_duplicate: bool,
    is_late: bool,
    /// More states than are kept, or rows that an emptying elsewhere may have taken.
    is_unsure: bool,
    table: Option<Row>,
    in_table: i64,
}

/// Whether all rows before a place are gone.
enum Gone {
    No,
    Maybe,
    Yes,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        (is_keyed, is_complete): (bool, bool),
        emptied: Vec<((i32, i64), When)>,
        altered: Option<(i32, i64)>,
        report: Report,
        each: &'a mut dyn FnMut(&Differing),
    ) -> Self {
        let key = OfKey::default();
        Self { is_keyed, is_complete, emptied, altered, report, each, key }
    }

    pub(super) fn take(&mut self, entry: Entry) {
        if self.key.key != entry.key {
            self.end_key();
            self.key.key = entry.key;
        }
        let row = || serde_json::from_slice::<Row>(&entry.row).unwrap_or_default();
        if entry.kind == Kind::Table {
            self.key.in_table += 1;
            self.key.table = Some(row());
            return;
        }
        if entry.when == When::Behind {
            return;
        }
        let (partition, offset, _) = entry.at;
        let gone = self.gone((partition, offset));
        let key = &mut self.key;
        key.last = Some((partition, offset));
        key.is_late |= entry.is_late;
        match gone {
            Gone::Yes => {
                key.now = Some(None);
                return;
            }
            Gone::Maybe => key.is_unsure = true,
            Gone::No => {}
        }
        key.apply(entry.kind, entry.when, row());
    }

    /// Whether the table was emptied behind a place of the topic.
    fn gone(&self, (partition, offset): (i32, i64)) -> Gone {
        let mut gone = Gone::No;
        for ((of, at), when) in &self.emptied {
            match when {
                When::Before if *of == partition && *at > offset => return Gone::Yes,
                // Partitions have no order among each other.
                When::Before | When::Around if *of != partition || *at > offset => {
                    gone = Gone::Maybe;
                }
                When::Before | When::Around | When::Behind => {}
            }
        }
        gone
    }

    /// Judges the key that came last.
    pub(super) fn end_key(&mut self) {
        let key = std::mem::take(&mut self.key);
        if key.now.is_none() && key.in_table == 0 {
            return;
        }
        if key.now.is_none() && !self.is_complete {
            self.report.without_message += 1;
            return;
        }
        let is_older = match (self.altered, key.last) {
            (Some((of, at)), Some((partition, offset))) => of != partition || at > offset,
            _ => false,
        };
        let difference =
            if self.is_keyed { key.difference(is_older) } else { key.difference_of_count() };
        if difference.is_some() && (is_older || key.is_unsure) {
            self.report.of_older_definition += 1;
            return;
        }
        self.report.judged += 1;
        let Some(difference) = difference else { return };
        *self.report.differing.entry(difference).or_default() += 1;
        let topic = key.now.flatten();
        let columns = match (&topic, &key.table) {
            (Some(topic), Some(table)) => different_columns(topic, table),
            _ => Vec::new(),
        };
        let name = String::from_utf8_lossy(&key.key).into_owned();
        (self.each)(&Differing { difference, key: name, topic, table: key.table, columns });
    }
}

impl OfKey {
    fn apply(&mut self, kind: Kind, when: When, row: Row) {
        let before = self.now.take();
        let next = match kind {
            Kind::Insert | Kind::Copy | Kind::Table => {
                self.is_duplicate |= kind == Kind::Insert && matches!(before, Some(Some(_)));
                self.count = (self.count.0 + 1, self.count.1 + 1);
                Some(row)
            }
            // An image may have those columns only that were changed.
            Kind::Update => {
                let mut whole = before.clone().flatten().unwrap_or_default();
                whole.extend(row);
                Some(whole)
            }
            Kind::Delete => {
                self.count = (self.count.0 - 1, self.count.1 - 1);
                None
            }
        };
        if when == When::Around {
            if kind == Kind::Delete {
                self.count.1 += 1;
            } else if kind != Kind::Update {
                self.count.0 -= 1;
            }
            if self.others.len() < MOST_STATES {
                self.others.push(before.flatten());
            } else {
                self.is_unsure = true;
            }
        }
        self.now = Some(next);
    }

    /// How the row differs; of one that is older than the definition the columns count that both
    /// have.
    fn difference(&self, is_older: bool) -> Option<Difference> {
        let now = self.now.clone().flatten();
        let is_equal = |topic: &Option<Row>| match (topic, &self.table) {
            (None, None) => true,
            (Some(topic), Some(table)) if is_older => {
                topic.iter().all(|(column, value)| table.get(column).is_none_or(|v| v == value))
            }
            (Some(topic), Some(table)) => topic == table,
            _ => false,
        };
        if is_equal(&now) || self.others.iter().any(is_equal) {
            return match (self.is_duplicate, self.is_late) {
                (true, _) => Some(Difference::Duplicate),
                (false, true) => Some(Difference::Order),
                (false, false) => None,
            };
        }
        if self.is_late {
            return Some(Difference::Order);
        }
        Some(match (&now, &self.table) {
            (None, _) => Difference::Missing,
            (Some(_), None) => Difference::Extra,
            (Some(_), Some(_)) => Difference::Changed,
        })
    }

    /// The same of rows without a key. (An update of such one is a delete and an insert.)
    fn difference_of_count(&self) -> Option<Difference> {
        let (least, most) = self.count;
        match self.in_table {
            more if more > most => Some(Difference::Missing),
            fewer if fewer < least && fewer > 0 => Some(Difference::Duplicate),
            fewer if fewer < least => Some(Difference::Extra),
            _ => None,
        }
    }
}

/// The columns that differ, and those that only one has.
fn different_columns(topic: &Row, table: &Row) -> Vec<String> {
    let of_topic = topic.iter().filter(|(column, value)| table.get(*column) != Some(value));
    let of_table = table.keys().filter(|column| !topic.contains_key(*column));
    of_topic.map(|(column, _)| column).chain(of_table).cloned().collect()
}
