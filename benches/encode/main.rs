//! How long a row takes from its image to JSON: decoding and writing alone, without server,
//! channel or log.
//!
//! `cargo bench --bench encode` writes messages of a table of 26 columns of mixed types and of
//! one as sysbench's tests make it, each as events of one row and of a hundred, inserted and
//! updated, and of the 26 columns that `benches/backlog` fills, of which `backlog.images` holds
//! the first four events as MySQL 9.7 wrote them (96 rows). It prints nanoseconds a row, the
//! median of fifteen runs, and beside it that time as a multiple of merely copying the bytes that
//! come out: the machine's speed stands in both.
//!
//! A word behind `--` chooses the lines that hold it. On a machine that others use, count
//! instructions: `SLUICE_BENCH_RUNS=1 valgrind --tool=callgrind target/release/deps/encode-... 24`,
//! over 100,000 rows.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints, reads the environment, and may panic over its own input"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sluice::change::{
    Charset, Column, ColumnSet, ColumnType, EventPlace, RowsChange, RowsKind, Table, TableName,
    TableVersion,
};
use sluice::config::{BinaryForm, EnumForm};
use sluice::format::Zone;
use sluice::format::flat::{FlatPlan, FlatSettings, Rows, Stamp, Unwritten, Workspace};

const ROWS_A_RUN: usize = 100_000;

fn main() {
    let runs = std::env::var("SLUICE_BENCH_RUNS").map_or(15, |runs| runs.parse().unwrap());
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let is_wanted = |what: &str| wanted.as_ref().is_none_or(|wanted| what.contains(wanted));
    println!("{:32} {:>9} {:>9} {:>16}", "", "bytes/row", "ns/row", "times a copy");
    for (what, columns) in [("26 mixed columns", mixed()), ("sysbench, 4 columns", sysbench())] {
        for (kind, verb) in [(RowsKind::Insert, "INSERT"), (RowsKind::Update, "UPDATE")] {
            for rows in [1, 100] {
                let (what, event) =
                    (format!("{what}, {verb} of {rows}"), event(&columns, kind, rows));
                if is_wanted(&what) {
                    measure(&what, &[event], rows, runs);
                }
            }
        }
    }
    let what = "26 of the backlog, INSERT of 24";
    if is_wanted(what) {
        measure(what, &backlog(), BACKLOG_ROWS, runs);
    }
}

/// A column with the bytes of its value, and of another.
struct Sample {
    column: Column,
    values: [Vec<u8>; 2],
}

fn sample(name: &str, mysql_type: &str, kind: ColumnType, values: [&[u8]; 2]) -> Sample {
    let column =
        Column { name: name.into(), mysql_type: mysql_type.into(), kind, labels: Vec::new() };
    Sample { column, values: values.map(<[u8]>::to_vec) }
}

/// The bytes of a text whose length takes `prefix` bytes.
fn text(prefix: usize, text: &str) -> Vec<u8> {
    [&text.len().to_le_bytes()[..prefix], text.as_bytes()].concat()
}

fn sysbench() -> Vec<Sample> {
    let utf8 = Charset::Utf8Mb4;
    let (int, c) =
        (ColumnType::Long { unsigned: false }, ColumnType::Char { max_bytes: 480, charset: utf8 });
    let pad = ColumnType::Char { max_bytes: 240, charset: utf8 };
    let group = "83868641912-28773972837-60736120486-75162659906-27563526494-20381887404-41576422241-93426793964-56405065102-33518432330";
    vec![
        sample("id", "int", int, [&1_234_567_u32.to_le_bytes(); 2]),
        sample("k", "int", int, [&498_123_u32.to_le_bytes(), &502_311_u32.to_le_bytes()]),
        sample("c", "char(120)", c, [&text(2, group); 2]),
        sample("pad", "char(60)", pad, [&text(1, &group[..59]); 2]),
    ]
}

#[rustfmt::skip]
fn mixed() -> Vec<Sample> {
    let utf8 = Charset::Utf8Mb4;
    let varchar = |max_bytes| ColumnType::VarChar { max_bytes, charset: utf8 };
    let decimal = [0x80, 0x00, 0x04, 0xd2, 0x38];
    let document = [0x00, 0x01, 0x00, 0x0c, 0x00, 0x0b, 0x00, 0x01, 0x00, 0x05, 0x07, 0x00, b'a'];
    let (unsigned, signed) = (true, false);
    vec![
        sample("id", "bigint", ColumnType::LongLong { unsigned: signed }, [&7_234_567_890_i64.to_le_bytes(); 2]),
        sample("tiny", "tinyint", ColumnType::Tiny { unsigned: signed }, [&[200], &[7]]),
        sample("small", "smallint unsigned", ColumnType::Short { unsigned }, [&[1, 200]; 2]),
        sample("medium", "mediumint", ColumnType::Int24 { unsigned: signed }, [&[1, 2, 3]; 2]),
        sample("num", "int unsigned", ColumnType::Long { unsigned }, [&[1, 2, 3, 4]; 2]),
        sample("big", "bigint unsigned", ColumnType::LongLong { unsigned }, [&[1, 2, 3, 4, 5, 6, 7, 8]; 2]),
        sample("price", "decimal(10,2)", ColumnType::Decimal { precision: 10, scale: 2 }, [&decimal; 2]),
        sample("ratio", "double", ColumnType::Double, [&0.577_215_664_9_f64.to_le_bytes(), &2.5_f64.to_le_bytes()]),
        sample("weight", "float", ColumnType::Float, [&1.75_f32.to_le_bytes(); 2]),
        sample("flags", "bit(8)", ColumnType::Bit { bits: 8 }, [&[5]; 2]),
        sample("day", "date", ColumnType::Date, [&[0xb1, 0xd0, 0x0f]; 2]),
        sample("clock", "time", ColumnType::Time { fsp: 0 }, [&[0x80, 0xc3, 0x11]; 2]),
        sample("made", "datetime", ColumnType::DateTime { fsp: 0 }, [&[0x99, 0xb3, 0x22, 0xc3, 0x11]; 2]),
        sample("seen", "datetime(6)", ColumnType::DateTime { fsp: 6 }, [&[0x99, 0xb3, 0x22, 0xc3, 0x11, 0x01, 0xe2, 0x40], &[0x99, 0xb3, 0x22, 0xc3, 0x12, 0x01, 0xe2, 0x40]]),
        sample("stamp", "timestamp", ColumnType::Timestamp { fsp: 0 }, [&[0x66, 0x31, 0x11, 0x80], &[0x66, 0x31, 0x11, 0x81]]),
        sample("stamp3", "timestamp(3)", ColumnType::Timestamp { fsp: 3 }, [&[0x66, 0x31, 0x11, 0x80, 0x04, 0xd2]; 2]),
        sample("year", "year", ColumnType::Year, [&[124]; 2]),
        sample("name", "varchar(64)", varchar(256), [&text(2, "Aurelia Fairweather"); 2]),
        sample("mail", "varchar(60)", varchar(240), [&text(1, "aurelia.fairweather@example.org"); 2]),
        sample("code", "char(8)", ColumnType::Char { max_bytes: 32, charset: utf8 }, [&text(1, "AB-12345"); 2]),
        sample("town", "varchar(60)", ColumnType::VarChar { max_bytes: 60, charset: Charset::Latin1 }, [&[7, b'K', 0xf6, b'l', b'n', b'-', b'E', b'h']; 2]),
        sample("note", "text", ColumnType::Text { length_bytes: 2, charset: utf8 }, [&text(2, "a note of some length, \"quoted\", with a line\nbreak and more text behind it"), &text(2, "another note")]),
        sample("state", "enum('new','paid','sent')", ColumnType::Enum { bytes: 1 }, [&[2], &[3]]),
        sample("tags", "set('a','b','c')", ColumnType::Set { bytes: 1 }, [&[5]; 2]),
        sample("hash", "varbinary(16)", ColumnType::VarBinary { max_bytes: 16 }, [&[8, 0, 1, 2, 0x7f, 0x80, 0x90, 0xfe, 0xff]; 2]),
        sample("doc", "json", ColumnType::Json { length_bytes: 4 }, [&[&[13, 0, 0, 0][..], &document].concat(); 2]),
    ]
}

/// The rows events of [`backlog`]: images of that many bytes, of all these rows.
const BACKLOG_IMAGES: [usize; 4] = [7967, 7989, 8159, 7880];
const BACKLOG_ROWS: usize = 96;

/// What the first events of the procedure `mixed` of `benches/backlog` hold.
#[rustfmt::skip]
fn backlog() -> Vec<RowsChange> {
    let varchar = |max_bytes, charset| ColumnType::VarChar { max_bytes, charset };
    let (unsigned, signed, utf8) = (true, false, Charset::Utf8Mb4);
    let columns = [
        ("id", "int", ColumnType::Long { unsigned: signed }),
        ("a", "tinyint", ColumnType::Tiny { unsigned: signed }),
        ("b", "smallint unsigned", ColumnType::Short { unsigned }),
        ("c", "mediumint", ColumnType::Int24 { unsigned: signed }),
        ("d", "int", ColumnType::Long { unsigned: signed }),
        ("e", "bigint unsigned", ColumnType::LongLong { unsigned }),
        ("f", "float", ColumnType::Float),
        ("g", "double", ColumnType::Double),
        ("h", "decimal(20,6)", ColumnType::Decimal { precision: 20, scale: 6 }),
        ("i", "decimal(5,2)", ColumnType::Decimal { precision: 5, scale: 2 }),
        ("j", "date", ColumnType::Date),
        ("k", "datetime", ColumnType::DateTime { fsp: 0 }),
        ("l", "datetime(6)", ColumnType::DateTime { fsp: 6 }),
        ("m", "timestamp", ColumnType::Timestamp { fsp: 0 }),
        ("n", "timestamp(3)", ColumnType::Timestamp { fsp: 3 }),
        ("o", "time", ColumnType::Time { fsp: 0 }),
        ("p", "year", ColumnType::Year),
        ("q", "char(10)", ColumnType::Char { max_bytes: 40, charset: utf8 }),
        ("r", "varchar(40)", varchar(160, utf8)),
        ("s", "varchar(200)", varchar(200, Charset::Latin1)),
        ("t", "text", ColumnType::Text { length_bytes: 2, charset: utf8 }),
        ("u", "binary(8)", ColumnType::Binary { length: 8 }),
        ("v", "blob", ColumnType::Blob { length_bytes: 2 }),
        ("w", "enum('new','open','done')", ColumnType::Enum { bytes: 1 }),
        ("x", "set('a','b','c','d')", ColumnType::Set { bytes: 1 }),
        ("y", "json", ColumnType::Json { length_bytes: 4 }),
    ];
    let column = |(name, mysql_type, kind): (&str, &str, _)| Column {
        name: name.into(), mysql_type: mysql_type.into(), kind, labels: Vec::new(),
    };
    let table = table(columns.map(column).to_vec());
    let mut images = Bytes::from_static(include_bytes!("backlog.images"));
    let change = |length| change(RowsKind::Insert, &table, images.split_to(length));
    BACKLOG_IMAGES.map(change).to_vec()
}

fn table(columns: Vec<Column>) -> Arc<Table> {
    let name = TableName::new("bench", "t");
    Arc::new(Table { version: TableVersion(1), name, columns, primary_key: vec![0], hidden: 0 })
}

fn change(kind: RowsKind, table: &Arc<Table>, images: Bytes) -> RowsChange {
    let all = || ColumnSet(Bytes::from(vec![0xff; table.columns.len().div_ceil(8)]));
    RowsChange {
        kind,
        table: Arc::clone(table),
        columns: all(),
        after_columns: (kind == RowsKind::Update).then(all),
        images,
        place: EventPlace { file: "binlog.000001".into(), offset: 4, time: 1 },
        parked: None,
    }
}

fn event(columns: &[Sample], kind: RowsKind, rows: usize) -> RowsChange {
    let table = table(columns.iter().map(|sample| sample.column.clone()).collect());
    let mut images = Vec::new();
    let mut put = |which: usize| {
        images.resize(images.len() + columns.len().div_ceil(8), 0);
        for sample in columns {
            images.extend_from_slice(&sample.values[which]);
        }
    };
    for _ in 0..rows {
        put(0);
        if kind == RowsKind::Update {
            put(1);
        }
    }
    change(kind, &table, Bytes::from(images))
}

/// `rows`: how many all the events hold.
fn measure(what: &str, events: &[RowsChange], rows: usize, runs: usize) {
    let table = &events[0].table;
    let settings = FlatSettings {
        labels: EnumForm::Index,
        binary: BinaryForm::Latin1,
        zone: Zone::parse("Europe/Berlin").unwrap(),
    };
    let shown: Vec<usize> = (0..table.columns.len()).collect();
    let plan = FlatPlan::new(Arc::clone(table), &shown, &settings);
    let stamp = Stamp { id: 17, es: 1_714_550_400_000, gtid: "", ts: 1_714_550_400_123 };
    let (mut work, mut out) = (Workspace::default(), Vec::with_capacity(1 << 20));
    let mut copied = Vec::with_capacity(1 << 20);
    let (mut written, mut copies) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let begun = Instant::now();
        for _ in 0..ROWS_A_RUN / rows {
            out.clear();
            for event in events {
                let mut rows = Unwritten::of(black_box(event), Rows::All);
                plan.write(&mut rows, usize::MAX, &stamp, &mut work, &mut out).unwrap();
            }
        }
        written.push(begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        for _ in 0..ROWS_A_RUN / rows {
            copied.clear();
            copied.extend_from_slice(black_box(&out));
            black_box(&copied);
        }
        copies.push(begun.elapsed().as_secs_f64());
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let a_row = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2] * 1e9 / ROWS_A_RUN as f64
    };
    let (written, copied) = (a_row(written), a_row(copies));
    println!("{what:32} {:9} {written:9.0} {:16.1}", out.len() / rows, written / copied);
}
