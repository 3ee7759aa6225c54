//! Canal's messages: whole ones against tests/golden/canal, values against images made by hand,
//! and each line of the README's "Compatibility with Canal" that is this module's.

mod golden;
mod room;
mod values;

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::change::{
    Charset, Column, ColumnSet, ColumnType, EventPlace, RowsChange, RowsKind, Table, TableName,
    TableVersion,
};

pub(super) const STAMP: Stamp<'_> = Stamp { id: 7, es: 1_714_550_400_000, gtid: "", ts: 42 };
pub(super) const VARCHAR: ColumnType =
    ColumnType::VarChar { max_bytes: 65_535, charset: Charset::Utf8Mb4 };
pub(super) const INT: ColumnType = ColumnType::Long { unsigned: false };

pub(super) fn settings() -> FlatSettings {
    FlatSettings { labels: EnumForm::Index, binary: BinaryForm::Latin1, zone: Zone::UTC }
}

pub(super) fn column(name: &str, mysql_type: &str, kind: ColumnType) -> Column {
    Column { name: name.into(), mysql_type: mysql_type.into(), kind, labels: Vec::new() }
}

pub(super) fn table(columns: Vec<Column>, primary_key: Vec<usize>) -> Arc<Table> {
    let name = TableName::new("db", "t");
    Arc::new(Table { version: TableVersion(1), name, columns, primary_key, hidden: 0 })
}

/// The bytes of a VARCHAR with a length of two bytes.
#[expect(clippy::unnecessary_wraps, reason = "a value of an image, which NULL is too")]
pub(super) fn varchar(text: &str) -> Option<Vec<u8>> {
    let length = u16::try_from(text.len()).unwrap();
    Some([&length.to_le_bytes(), text.as_bytes()].concat())
}

#[expect(clippy::unnecessary_wraps, reason = "a value of an image, which NULL is too")]
pub(super) fn int(number: i32) -> Option<Vec<u8>> {
    Some(number.to_le_bytes().to_vec())
}

/// A row image: a value for each column, `None` for NULL.
pub(super) fn image(values: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut nulls = vec![0u8; values.len().div_ceil(8)];
    for (place, _) in values.iter().enumerate().filter(|(_, value)| value.is_none()) {
        nulls[place / 8] |= 1 << (place % 8);
    }
    values.iter().flatten().fold(nulls, |mut image, value| {
        image.extend_from_slice(value);
        image
    })
}

pub(super) fn columns_of(present: &[usize]) -> ColumnSet {
    let mut bits = vec![0u8; present.iter().max().map_or(0, |most| most / 8 + 1)];
    for place in present {
        bits[place / 8] |= 1 << (place % 8);
    }
    ColumnSet(Bytes::from(bits))
}

/// An event whose images have all columns.
pub(super) fn event(table: &Arc<Table>, kind: RowsKind, images: &[Vec<u8>]) -> RowsChange {
    let all: Vec<usize> = (0..table.columns.len()).collect();
    event_of(table, kind, &all, &all, images)
}

pub(super) fn event_of(
    table: &Arc<Table>,
    kind: RowsKind,
    before: &[usize],
    after: &[usize],
    images: &[Vec<u8>],
) -> RowsChange {
    RowsChange {
        kind,
        table: Arc::clone(table),
        columns: columns_of(before),
        after_columns: (kind == RowsKind::Update).then(|| columns_of(after)),
        images: Bytes::from(images.concat()),
        place: EventPlace { file: "binlog.000001".into(), offset: 4, time: 0 },
        parked: None,
    }
}

pub(super) fn message(change: &RowsChange, rows: Rows<'_>, settings: &FlatSettings) -> String {
    let included: Vec<usize> = (0..change.table.columns.len()).collect();
    message_of(change, rows, &included, settings)
}

pub(super) fn message_of(
    change: &RowsChange,
    rows: Rows<'_>,
    included: &[usize],
    settings: &FlatSettings,
) -> String {
    let plan = FlatPlan::new(Arc::clone(&change.table), included, settings);
    let mut out = b"before".to_vec();
    plan.write(
        &mut Unwritten::of(change, rows),
        usize::MAX,
        &STAMP,
        &mut Workspace::default(),
        &mut out,
    )
    .unwrap();
    String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
}

/// The text of a member of a message, as it is there.
pub(super) fn member(message: &str, name: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(message).unwrap();
    serde_json::to_string(&value[name]).unwrap()
}

fn two_columns() -> Arc<Table> {
    table(vec![column("id", "int", INT), column("name", "varchar(32)", VARCHAR)], vec![0])
}

#[test]
fn an_insert_is_one_message_with_all_its_rows() {
    let table = two_columns();
    let rows = [image(&[int(1), varchar("a\"b")]), image(&[int(2), None])];
    let change = event(&table, RowsKind::Insert, &rows);
    assert_eq!(
        message(&change, Rows::All, &settings()),
        r#"{"data":[{"id":"1","name":"a\"b"},{"id":"2","name":null}],"database":"db","es":1714550400000,"gtid":"","id":7,"isDdl":false,"mysqlType":{"id":"int","name":"varchar(32)"},"old":null,"pkNames":["id"],"sql":"","sqlType":{"id":4,"name":12},"table":"t","ts":42,"type":"INSERT"}"#
    );
}

#[test]
fn old_has_the_columns_that_changed_in_its_row_and_no_others() {
    // Canal leaks columns that an earlier row of the event changed
    let table = two_columns();
    let rows = [
        image(&[int(1), varchar("a")]),
        image(&[int(10), varchar("b")]),
        image(&[int(2), varchar("c")]),
        image(&[int(2), None]),
        image(&[int(3), varchar("d")]),
        image(&[int(3), varchar("d")]),
    ];
    let message = message(&event(&table, RowsKind::Update, &rows), Rows::All, &settings());
    assert_eq!(member(&message, "old"), r#"[{"id":"1","name":"a"},{"name":"c"},{}]"#);
    assert!(message.contains(r#""old":[{"id":"1","name":"a"},{"name":"c"},{}],"pkNames""#));
    assert_eq!(
        member(&message, "data"),
        r#"[{"id":"10","name":"b"},{"id":"2","name":null},{"id":"3","name":"d"}]"#
    );
}

#[test]
fn values_that_differ_in_bytes_and_print_equal_are_no_change() {
    // bytes that are no UTF-8 all print as U+FFFD; JSON documents too have many layouts
    let table = table(vec![column("v", "varchar(32)", VARCHAR)], Vec::new());
    let value = |byte: u8| image(&[Some(vec![2, 0, b'a', byte])]);
    let change = event(&table, RowsKind::Update, &[value(0xff), value(0xfe)]);
    let message = message(&change, Rows::All, &settings());
    assert_eq!(member(&message, "data"), "[{\"v\":\"a\u{fffd}\"}]");
    assert_eq!(member(&message, "old"), "[{}]");
}

#[test]
fn a_minimal_image_shows_what_it_has_and_names_the_key() {
    let table = two_columns();
    let rows = [image(&[int(1)]), image(&[varchar("new")])];
    let change = event_of(&table, RowsKind::Update, &[0], &[1], &rows);
    assert_eq!(
        message(&change, Rows::All, &settings()),
        r#"{"data":[{"name":"new"}],"database":"db","es":1714550400000,"gtid":"","id":7,"isDdl":false,"mysqlType":{"name":"varchar(32)"},"old":[{}],"pkNames":["id"],"sql":"","sqlType":{"name":12},"table":"t","ts":42,"type":"UPDATE"}"#
    );
    let change = event_of(&table, RowsKind::Delete, &[0], &[], &[image(&[int(1)])]);
    assert_eq!(member(&message(&change, Rows::All, &settings()), "data"), r#"[{"id":"1"}]"#);
}

#[test]
fn key_names_come_in_column_order_and_are_null_without_a_key() {
    let columns =
        || vec![column("k1", "int", INT), column("v", "int", INT), column("k2", "int", INT)];
    let row = image(&[int(1), int(2), int(3)]);
    let keys = |key: Vec<usize>| {
        let change = event(&table(columns(), key), RowsKind::Insert, std::slice::from_ref(&row));
        member(&message(&change, Rows::All, &settings()), "pkNames")
    };
    assert_eq!(keys(vec![0, 2]), r#"["k1","k2"]"#);
    assert_eq!(keys(Vec::new()), "null");
}

#[test]
fn a_hidden_column_vanishes_from_every_member() {
    let table = two_columns();
    let rows = [image(&[int(1), varchar("a")]), image(&[int(2), varchar("b")])];
    let change = event(&table, RowsKind::Update, &rows);
    let message = message_of(&change, Rows::All, &[1], &settings());
    assert_eq!(
        message,
        r#"{"data":[{"name":"b"}],"database":"db","es":1714550400000,"gtid":"","id":7,"isDdl":false,"mysqlType":{"name":"varchar(32)"},"old":[{"name":"a"}],"pkNames":null,"sql":"","sqlType":{"name":12},"table":"t","ts":42,"type":"UPDATE"}"#
    );
}

#[test]
fn a_row_of_which_nothing_is_shown_is_left_out() {
    let table = two_columns();
    let rows = [image(&[int(1), varchar("a")]), image(&[int(2), varchar("b")])];
    let change = event(&table, RowsKind::Insert, &rows);
    assert_eq!(member(&message_of(&change, Rows::All, &[], &settings()), "data"), "[]");
}

#[test]
fn chosen_rows_make_a_message_of_their_own() {
    let table = two_columns();
    let rows: Vec<Vec<u8>> = (0..5).map(|n| image(&[int(n), varchar("x")])).collect();
    let change = event(&table, RowsKind::Delete, &rows);
    let message = message(&change, Rows::Chosen(&[1, 3]), &settings());
    assert_eq!(member(&message, "data"), r#"[{"id":"1","name":"x"},{"id":"3","name":"x"}]"#);
    let updates: Vec<Vec<u8>> = (0..6).map(|n| image(&[int(n), varchar("x")])).collect();
    let change = event(&table, RowsKind::Update, &updates);
    let message = super::tests::message(&change, Rows::Chosen(&[2]), &settings());
    assert_eq!(member(&message, "data"), r#"[{"id":"5","name":"x"}]"#);
    assert_eq!(member(&message, "old"), r#"[{"id":"4"}]"#);
}

#[test]
fn the_last_row_of_the_event_decides_the_types_of_all_its_messages() {
    let kind = ColumnType::Long { unsigned: true };
    let table = table(vec![column("n", "int unsigned", kind)], Vec::new());
    let unsigned = |number: u32| image(&[Some(number.to_le_bytes().to_vec())]);
    let change =
        event(&table, RowsKind::Insert, &[unsigned(1), unsigned(u32::MAX), unsigned(u32::MAX)]);
    for rows in [Rows::All, Rows::Chosen(&[0]), Rows::Chosen(&[1, 2])] {
        assert_eq!(member(&message(&change, rows, &settings()), "sqlType"), r#"{"n":-5}"#);
    }
    let change = event(&table, RowsKind::Insert, &[unsigned(u32::MAX), unsigned(1)]);
    for rows in [Rows::All, Rows::Chosen(&[0])] {
        assert_eq!(member(&message(&change, rows, &settings()), "sqlType"), r#"{"n":4}"#);
    }
}

#[test]
fn the_executed_set_is_in_gtid_when_it_is_given() {
    let table = two_columns();
    let change = event(&table, RowsKind::Insert, &[image(&[int(1), None])]);
    let plan = FlatPlan::new(Arc::clone(&table), &[0, 1], &settings());
    let set = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77";
    let (mut out, stamp) = (Vec::new(), Stamp { gtid: set, ..STAMP });
    plan.write(
        &mut Unwritten::of(&change, Rows::All),
        usize::MAX,
        &stamp,
        &mut Workspace::default(),
        &mut out,
    )
    .unwrap();
    assert_eq!(member(std::str::from_utf8(&out).unwrap(), "gtid"), format!("\"{set}\""));
}

#[test]
fn a_cut_image_is_an_error_that_names_the_table() {
    let table = two_columns();
    let mut cut = image(&[int(1), varchar("abc")]);
    cut.pop();
    let change = event(&table, RowsKind::Insert, &[cut]);
    let plan = FlatPlan::new(Arc::clone(&table), &[0, 1], &settings());
    let error = plan.write(
        &mut Unwritten::of(&change, Rows::All),
        usize::MAX,
        &STAMP,
        &mut Workspace::default(),
        &mut Vec::new(),
    );
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("a row of db.t cannot be read: "), "{text}");
}

#[test]
fn hash_texts_are_those_of_the_message_without_its_escapes() {
    let table = two_columns();
    let rows = [
        image(&[int(1), varchar("before")]),
        image(&[varchar("a\"b")]),
        image(&[int(2), varchar("x")]),
        image(&[None]),
    ];
    // the after image lacks the key, as MINIMAL ones do
    let change = event_of(&table, RowsKind::Update, &[0, 1], &[1], &rows);
    let plan = FlatPlan::new(Arc::clone(&table), &[0, 1], &settings());
    let mut seen = Vec::new();
    plan.visit_texts(&change, &[0, 1], &mut Workspace::default(), |row, text| {
        seen.push((row, text.map(|text| String::from_utf8(text.to_vec()).unwrap())));
    })
    .unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(seen, [(0, text("1")), (0, text("a\"b")), (1, text("2")), (1, None)]);
}

#[test]
fn nothing_grows_once_the_vectors_have_grown() {
    let table = two_columns();
    let rows: Vec<Vec<u8>> = (0..100).map(|n| image(&[int(n), varchar("some text")])).collect();
    let change = event(&table, RowsKind::Update, &rows);
    let plan = FlatPlan::new(Arc::clone(&table), &[0, 1], &settings());
    let (mut work, mut out) = (Workspace::default(), Vec::new());
    plan.write(&mut Unwritten::of(&change, Rows::All), usize::MAX, &STAMP, &mut work, &mut out)
        .unwrap();
    let (room, first) = (out.capacity(), out.clone());
    for _ in 0..3 {
        out.clear();
        plan.write(&mut Unwritten::of(&change, Rows::All), usize::MAX, &STAMP, &mut work, &mut out)
            .unwrap();
        assert_eq!(out, first);
        assert_eq!(out.capacity(), room);
    }
}
