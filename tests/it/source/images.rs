//! A row that SELECT reads and the same row streamed by an update that changes nothing of it: the
//! same bytes of `data`, the same `mysqlType`, `sqlType` and `pkNames`, and the same row image.
//!
//! In: tables of every type, character set and form of column that a server has
//! ([`tables`]), each with a column `helper` beside. Every row is updated in `helper`
//! alone, read from the binlog, and read by SELECT.

mod documents;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use sluice::binlog::Images;
use sluice::change::{Change, ColumnType, RowsChange, RowsKind, Table};
use sluice::config::{BinaryForm, EnumForm};
use sluice::format::Zone;
use sluice::format::flat::{FlatPlan, FlatSettings, Rows, Stamp, Unwritten, Workspace};
use sluice::mysql::Session;
use sluice::source::Before;
use sluice::source::snapshot::row::{RowPlan, SESSION};
use sqlx::MySqlConnection;

use super::{Running, settings};
use crate::harness::Server;
use crate::harness::servers::{self, run, try_run};
use tables::{Made, Same};

const DATABASE: &str = "images";

#[tokio::test(flavor = "multi_thread")]
async fn a_row_read_is_the_row_streamed_on_mysql() {
    if let Some(server) = servers::private_mysql(&[]) {
        compare(&server, 25).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_read_is_the_row_streamed_on_mysql_5_6() {
    if let Some(server) = servers::private_mysql_56(&[]) {
        compare(&server, 23).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_read_is_the_row_streamed_on_mariadb() {
    if let Some(server) = servers::private_mariadb(&[]) {
        compare(&server, 32).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_read_is_the_row_streamed_on_the_newest_mariadb() {
    if let Some(server) = servers::private_newest_mariadb(&[]) {
        compare(&server, 33).await;
    }
}

/// All tables of a server, which have so many kinds of columns.
async fn compare(server: &Server, expected: usize) {
    let mut admin = server.database(DATABASE).await;
    let made = make(server, &mut admin).await;
    run(&mut admin, "CREATE TABLE marker (id INT PRIMARY KEY)").await;
    let mut source = Running::start(settings(server, DATABASE), Before::default()).await;
    for table in &made {
        let update = format!("UPDATE {} SET helper = helper + 1", table.name);
        run(&mut admin, table.late.as_ref().unwrap_or(&update)).await;
    }
    run(&mut admin, "INSERT INTO marker VALUES (1)").await;
    let streamed = streamed(&mut source).await;
    source.stop().await;

    let endpoint = settings(server, DATABASE).endpoint;
    let mut session = Session::connect(&endpoint).await.unwrap();
    session.run(SESSION).await.unwrap();
    let (mut wrong, mut kinds) = (Vec::new(), BTreeSet::new());
    let mut rows = 0;
    for table in &made {
        let name = table.name.trim_matches('`').replace("``", "`");
        let changes = streamed.get(&name);
        let changes = changes.unwrap_or_else(|| panic!("no rows of {} came", table.name));
        let read = read(&mut session, &changes[0].table, table).await;
        rows += read.len();
        kinds.extend(changes[0].table.columns.iter().map(|column| kind(column.kind)));
        wrong.extend(differences(changes, &read, table));
    }
    session.close().await;
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows > 900, "{rows} rows in {} tables", made.len());
    assert_eq!(kinds.len(), expected, "{kinds:?}");
}

/// The name of a kind of column.
fn kind(kind: ColumnType) -> String {
    let text = format!("{kind:?}");
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// Makes the tables that this server can have.
async fn make(server: &Server, admin: &mut MySqlConnection) -> Vec<Made> {
    for setting in ["sql_mode = 'ALLOW_INVALID_DATES'", "time_zone = '+00:00'"] {
        run(admin, &format!("SET SESSION {setting}")).await;
    }
    run(admin, "SET NAMES utf8mb4").await;
    let mut made = Vec::new();
    for table in tables::all(server, admin).await {
        for statement in &table.statements {
            // A longer message than a panic's needs: statements have thousands of columns.
            let done = try_run(admin, statement).await;
            done.unwrap_or_else(|error| panic!("{error}: {statement:.2000}"));
        }
        for statement in &table.optional {
            let _ = try_run(admin, statement).await;
        }
        made.push(table.made);
    }
    made
}

/// The changes of each table, up to the marker.
async fn streamed(source: &mut Running) -> BTreeMap<String, Vec<RowsChange>> {
    let mut found: BTreeMap<String, Vec<RowsChange>> = BTreeMap::new();
    loop {
        for change in source.next().await.changes {
            let Change::Rows(change) = change else { panic!("{change:?}") };
            // A table that keeps its history gets a row of it beside.
            if change.kind == RowsKind::Insert && &*change.table.name.table == "versioned" {
                continue;
            }
            if &*change.table.name.table == "marker" {
                return found;
            }
            found.entry(change.table.name.table.to_string()).or_default().push(change);
        }
    }
}

/// The image of each row that SELECT gives.
async fn read(session: &mut Session, table: &Arc<Table>, made: &Made) -> Vec<Vec<u8>> {
    let mut plan = RowPlan::new(Arc::clone(table));
    let statement = format!(
        "SELECT {} FROM {DATABASE}.{} ORDER BY {}",
        plan.select_list(),
        made.name,
        made.order
    );
    let mut images = Vec::new();
    let read = session.stream_prepared(&statement, Vec::new(), |row| {
        let mut image = Vec::new();
        plan.write(row, &mut image).unwrap();
        images.push(image);
        true
    });
    read.await.unwrap();
    images
}

/// What differs in the rows of a table.
fn differences(changes: &[RowsChange], read: &[Vec<u8>], made: &Made) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut rest = read;
    for change in changes {
        let streamed = after_images(change);
        if streamed.len() > rest.len() {
            return vec![format!("{}: {} rows were read", made.name, read.len())];
        }
        let (own, behind) = rest.split_at(streamed.len());
        rest = behind;
        let copy = RowsChange {
            kind: RowsKind::Insert,
            columns: RowPlan::new(Arc::clone(&change.table)).present().clone(),
            after_columns: None,
            images: Bytes::from(own.concat()),
            ..change.clone()
        };
        wrong.extend(different_messages(change, &copy, &made.name));
        if made.same == Same::Image && change.table.hidden == 0 {
            let columns = change.table.columns.len();
            for (number, (streamed, read)) in streamed.iter().zip(own).enumerate() {
                if with_bits_of_columns(streamed, columns) != *read {
                    let name = &made.name;
                    wrong.push(format!("{name} row {number}:\n  {streamed:02x?}\n  {read:02x?}"));
                    wrong.last_mut().unwrap().truncate(2000);
                }
            }
        }
    }
    if !rest.is_empty() {
        wrong.push(format!("{}: {} rows did not come", made.name, rest.len()));
    }
    wrong
}

/// The image of each row behind its update, or its insert.
fn after_images(change: &RowsChange) -> Vec<Vec<u8>> {
    let mut images = Images::of(change);
    let mut found = Vec::new();
    while !images.is_done() {
        if change.kind == RowsKind::Update {
            images.skip().unwrap();
        }
        let begin = images.offset();
        images.skip().unwrap();
        found.push(change.images[begin..images.offset()].to_vec());
    }
    found
}

/// An image whose null bitmap has no bits beyond those of its columns: older servers set them, newer
/// ones do not.
fn with_bits_of_columns(image: &[u8], columns: usize) -> Vec<u8> {
    let mut image = image.to_vec();
    if !columns.is_multiple_of(8) {
        image[columns / 8] &= (1 << (columns % 8)) - 1;
    }
    image
}

/// A message in the parts that must agree.
struct Message {
    data: Vec<String>,
    types: [String; 3],
}

fn message(change: &RowsChange) -> Message {
    let settings =
        FlatSettings { labels: EnumForm::Index, binary: BinaryForm::Latin1, zone: Zone::UTC };
    let columns = change.table.columns.len() - change.table.hidden;
    let included: Vec<usize> = (0..columns).collect();
    let plan = FlatPlan::new(Arc::clone(&change.table), &included, &settings);
    let stamp = Stamp { id: 1, es: 0, gtid: "", ts: 0 };
    let mut out = Vec::new();
    let mut left = Unwritten::of(change, Rows::All);
    plan.write(&mut left, usize::MAX, &stamp, &mut Workspace::default(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    // Within values quotes are escaped: these texts are nowhere else.
    let between = |from: &str, to: &str| {
        let start = text.find(from).unwrap() + from.len();
        let end = text[start..].find(to).unwrap_or_else(|| panic!("{to}: {text:.3000}"));
        text[start..start + end].to_owned()
    };
    let rows = between("{\"data\":[{", "}],\"database\":\"");
    Message {
        data: rows
            .split("\"},{\"")
            .flat_map(|row| row.split("null},{\""))
            .map(str::to_owned)
            .collect(),
        types: [
            between(",\"mysqlType\":", ",\"old\":"),
            between(",\"pkNames\":", ",\"sql\":\""),
            between(",\"sqlType\":", ",\"table\":\""),
        ],
    }
}

fn different_messages(streamed: &RowsChange, read: &RowsChange, name: &str) -> Vec<String> {
    let (streamed, read) = (message(streamed), message(read));
    let rows = streamed.data.iter().zip(&read.data);
    let mut wrong: Vec<String> = rows
        .filter(|(streamed, read)| streamed != read)
        .map(|(streamed, read)| {
            let letters = streamed.chars().zip(read.chars());
            let same = letters.take_while(|(one, other)| one == other).count();
            let from = same.saturating_sub(60);
            let show = |text: &str| text.chars().skip(from).take(120).collect::<String>();
            format!("{name}: ...\n  {}\n  {}", show(streamed), show(read))
        })
        .collect();
    if streamed.data.len() != read.data.len() {
        wrong.push(format!("{name}: {} rows, {}", streamed.data.len(), read.data.len()));
    }
    if streamed.types != read.types {
        wrong.push(format!("{name}: {:?}\n  {:?}", streamed.types, read.types));
    }
    wrong
}
