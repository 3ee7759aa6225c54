//! Canal's filter grammar, as its documentation and its users' configurations have it.

use crate::change::{Column, ColumnType, Table, TableName, TableVersion};

use super::*;

fn includes(white: &str, black: &str, name: &str) -> bool {
    let (schema, table) = name.split_once('.').unwrap();
    TableFilter::new(white, black).unwrap().includes(schema, table)
}

#[test]
fn empty_lists_include_everything() {
    assert!(includes("", "", "db.t"));
    assert!(includes(" , ", "", "db.t"));
}

#[test]
fn canals_shipped_lists_hide_the_replication_tables_only() {
    let (white, black) = (r".*\..*", r"mysql\.slave_.*");
    assert!(includes(white, black, "shop.orders"));
    assert!(includes(white, black, "mysql.user"));
    assert!(!includes(white, black, "mysql.slave_master_info"));
}

#[test]
fn a_pattern_has_to_match_the_whole_name() {
    assert!(includes(r"shop\.orders", "", "shop.orders"));
    assert!(!includes(r"shop\.orders", "", "shop.orders_old"));
    assert!(!includes(r"shop\.orders", "", "eshop.orders"));
}

#[test]
fn alternatives_inside_a_piece_are_all_tried() {
    // Canal's engine stops at the first that matches a prefix
    assert!(includes(r"db\.a|db\.ab", "", "db.ab"));
    assert!(!includes(r"db\.a|db\.ab", "", "db.abc"));
}

#[test]
fn case_does_not_count_on_either_side() {
    assert!(includes(r"Shop\.ORDERS", "", "sHOP.orders"));
    assert!(includes(r"库\.É.*", "", "库.éa"));
}

#[test]
fn commas_inside_brackets_belong_to_the_pattern() {
    assert!(includes(r"db\.t\d{1,2},other\..*", "", "db.t12"));
    assert!(!includes(r"db\.t\d{1,2},other\..*", "", "db.t123"));
    assert!(includes(r"db\.t\d{1,2},other\..*", "", "other.x"));
    assert!(includes(r"db\.[a,b],c\.d", "", "db.b"));
    assert!(includes(r"(a,|b)\.t,c\.d", "", "c.d"));
    // an escaped bracket opens nothing
    assert!(includes(r"db\.\{,c\.d", "", "c.d"));
}

#[test]
fn blanks_around_a_piece_do_not_count() {
    assert!(includes(r"a\..*, b\..*", "", "b.t"));
}

#[test]
fn look_ahead_works() {
    assert!(includes(r"db\.(?!tmp_).*", "", "db.orders"));
    assert!(!includes(r"db\.(?!tmp_).*", "", "db.tmp_orders"));
}

#[test]
fn black_beats_white() {
    assert!(!includes(r"db\..*", r"db\.secret", "db.secret"));
}

#[test]
fn every_wrong_pattern_is_named() {
    let errors = TableFilter::new(r"a\..*,b(\..*", r"[").unwrap_err();
    let lists: Vec<_> = errors.iter().map(|(list, _)| *list).collect();
    assert_eq!(lists, [List::White, List::Black]);
    let text: Vec<String> = errors.iter().map(|(_, error)| error.to_string()).collect();
    assert_eq!(text.len(), 2);
    assert!(text[0].starts_with(r"`b(\..*` is not a regular expression: "), "{}", text[0]);
    assert!(text[1].starts_with("`[` is not a regular expression: "), "{}", text[1]);
}

#[test]
fn a_pattern_without_end_publishes_rather_than_loses() {
    let name = format!("db.{}", "a".repeat(64));
    let endless = r"db\.((a+)+\2)+b";
    assert!(includes(endless, "", &name));
    assert!(includes("", endless, &name));
}

fn columns(white: &str, black: &str) -> Vec<usize> {
    let column = |name: &str| Column {
        name: name.to_owned(),
        mysql_type: "int".to_owned(),
        kind: ColumnType::Long { unsigned: false },
        labels: Vec::new(),
    };
    let table = Table {
        version: TableVersion(1),
        name: TableName::new("Shop", "orders"),
        columns: ["id", "Name", "price"].map(column).to_vec(),
        primary_key: vec![0],
        hidden: 0,
    };
    FieldFilter::new(white, black).unwrap().columns(&table)
}

#[test]
fn column_lists_name_columns_in_any_case() {
    assert_eq!(columns("", ""), [0, 1, 2]);
    assert_eq!(columns("shop.ORDERS:name/ID", ""), [0, 1]);
    assert_eq!(columns("", "SHOP.orders:NAME,shop.other:id"), [0, 2]);
    assert_eq!(columns("shop.other:id", ""), [0, 1, 2]);
}

#[test]
fn a_white_list_of_columns_silences_the_black_one() {
    assert_eq!(columns("shop.orders:id", "shop.orders:id"), [0]);
}

#[test]
fn every_wrong_item_of_a_column_list_is_named() {
    let errors = FieldFilter::new("shop.orders,a.b:c", "orders:id,x.y:").unwrap_err();
    let (white, black) = (List::White, List::Black);
    let named = [(white, "shop.orders"), (black, "orders:id"), (black, "x.y:")];
    assert_eq!(errors, named.map(|(list, item)| (list, Error::Fields(item.to_owned()))));
}
