//! Whole binlog files of real servers against what SELECT says, and the property of all
//! decoders: any bytes are read or refused, without a panic.
//!
//! `tests/golden/binlog/types-*`: the statements, the binlog file they made, and for each row the
//! `HEX` of what the server's own CAST AS CHAR prints (numbers of ENUM, SET and BIT; of long
//! texts the CRC-32).

mod captured;
mod mariadb;

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::change::{Charset, Column, ColumnType, RowsKind};

const MYSQL_FILE: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/golden/binlog/types-mysql-9.7.binlog"
));
const MYSQL_ROWS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/binlog/types-mysql-9.7.tsv"));

/// The events of a binlog file, checksums verified and taken off.
fn events(file: &'static [u8]) -> Vec<(EventHeader, Bytes)> {
    let mut rest = file.strip_prefix(b"\xfebin").unwrap();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let header = EventHeader::parse(rest).unwrap();
        let (event, behind) = rest.split_at(header.event_size as usize);
        rest = behind;
        let whole = ChecksumAlgorithm::Crc32.strip(event).unwrap();
        let body = if header.event_type == EventType::FormatDescription { event } else { whole };
        found.push((header, Bytes::from_static(&body[HEADER_LENGTH..])));
    }
    found
}

fn columns_of(map: &TableMap) -> Vec<Column> {
    let column = |wire: &WireColumn| Column {
        name: wire.name.clone().unwrap_or_default(),
        mysql_type: String::new(),
        kind: column_type(
            wire,
            wire.unsigned.unwrap_or(false),
            wire.charset().unwrap().unwrap_or(Charset::Binary),
        )
        .unwrap(),
        labels: wire.labels.clone(),
    };
    map.columns.iter().map(column).collect()
}

/// A value as the golden rows have it.
fn print(value: Value<'_>) -> String {
    let mut out = Vec::new();
    let plain = |out: &mut Vec<u8>, text: String| out.extend_from_slice(text.as_bytes());
    match value {
        Value::Null => return "NULL".to_owned(),
        Value::Int(value) => plain(&mut out, value.to_string()),
        Value::UInt(value) | Value::Bit(value) | Value::Set(value) => {
            plain(&mut out, value.to_string());
        }
        Value::Enum(index) => plain(&mut out, index.to_string()),
        Value::Float(value) => return format!("float {value:e}"),
        Value::Double(value) => return format!("double {value:e}"),
        Value::Decimal(value) => value.write(&mut out),
        Value::Year(year) => plain(&mut out, format!("{year:04}")),
        Value::Date(value) => value.write(&mut out),
        Value::Time(value) => value.write(&mut out),
        Value::DateTime(value) => value.write(&mut out),
        Value::Timestamp(value) => value.at_offset(0).write(&mut out),
        Value::Text { bytes, charset } => {
            assert_eq!(charset::to_utf8(charset, bytes, &mut out), 0);
        }
        Value::Binary { bytes, length } => {
            out.extend_from_slice(bytes);
            out.resize(usize::from(length), 0);
        }
        Value::Bytes(bytes) | Value::Geometry(bytes) | Value::Vector(bytes) => {
            out.extend_from_slice(bytes);
        }
        Value::Json(document) => {
            json::write_text(document, json::Style::SERVER, &mut out).unwrap();
            if out.len() > 5000 {
                return format!("crc {}", crc32fast::hash(&out));
            }
        }
        Value::Plugin(value) => value.write(&mut out),
        Value::Compressed(cell) => {
            let mut bytes = Vec::new();
            cell.inflate(&mut bytes).unwrap();
            if cell.charset == Charset::Binary {
                out = bytes;
            } else {
                assert_eq!(charset::to_utf8(cell.charset, &bytes, &mut out), 0);
            }
        }
    }
    out.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02X}"))
}

/// Whether what we print is what the server printed.
fn same(ours: &str, server: &str) -> bool {
    let number = || {
        let bytes = (0..server.len()).step_by(2);
        let bytes = bytes.map(|at| u8::from_str_radix(&server[at..at + 2], 16).unwrap());
        String::from_utf8(bytes.collect()).unwrap().parse::<f64>().unwrap()
    };
    if let Some(ours) = ours.strip_prefix("double ") {
        // CAST gives 16 digits, of which the last is not the nearest at the ends of the range.
        let (ours, server) = (ours.parse::<f64>().unwrap(), number().clamp(f64::MIN, f64::MAX));
        return (ours - server).abs() <= server.abs() * 1e-15
            && ours.is_sign_negative() == server.is_sign_negative();
    }
    if let Some(ours) = ours.strip_prefix("float ") {
        // The server printed it as a double.
        return f64::from(ours.parse::<f32>().unwrap()).to_bits() == number().to_bits();
    }
    ours == server
}

type Rows = BTreeMap<(String, String), Vec<String>>;

/// The rows that are there after the last event, by table and first column.
fn apply(file: &'static [u8]) -> Rows {
    let mut format = None;
    let mut tables = BTreeMap::new();
    let mut rows = Rows::new();
    for (header, body) in events(file) {
        match header.event_type {
            EventType::FormatDescription => {
                format = Some(FormatDescription::parse(&body).unwrap());
            }
            EventType::TableMap => {
                let map = TableMap::parse(format.as_ref().unwrap(), &body).unwrap();
                let (id, schema, table) = TableMap::peek(format.as_ref().unwrap(), &body).unwrap();
                assert_eq!((id, schema, table), (map.id, &*map.name.schema, &*map.name.table));
                tables.insert(map.id, (map.name.table.to_string(), columns_of(&map)));
            }
            EventType::Query | EventType::QueryCompressed => {
                Query::parse(header.event_type, &body).unwrap();
            }
            _ if matches!(header.event_type.code(), 23..=25 | 30..=32 | 166..=171) => {
                let format = format.as_ref().unwrap();
                let event = RowsEvent::parse(format, header.event_type, &body).unwrap();
                let (table, columns) = &tables[&event.table];
                apply_rows(&event, table, columns, &mut rows);
            }
            _ => {}
        }
    }
    rows
}

fn apply_rows(event: &RowsEvent, table: &str, columns: &[Column], rows: &mut Rows) {
    let after = event.after_columns.as_ref();
    let mut images = Images::new(columns, &event.columns, after, &event.images);
    let mut spans = CellSpans::default();
    let read = |spans: &CellSpans| -> Vec<String> {
        let value = |(index, column): (usize, &Column)| match spans.cell(&event.images, index) {
            Cell::Raw(raw) => print(Value::decode(column.kind, raw).unwrap()),
            Cell::Null => print(Value::Null),
            Cell::Absent => panic!("the image is not full"),
        };
        columns.iter().enumerate().map(value).collect()
    };
    while images.locate(&mut spans).unwrap() {
        let first = read(&spans);
        let key = (table.to_owned(), first[0].clone());
        match event.kind {
            RowsKind::Insert => assert_eq!(rows.insert(key, first), None),
            RowsKind::Delete => assert_eq!(rows.remove(&key), Some(first)),
            RowsKind::Update => {
                assert_eq!(rows.remove(&key), Some(first));
                assert!(images.locate(&mut spans).unwrap());
                rows.insert(key, read(&spans));
            }
        }
    }
}

fn assert_rows(file: &'static [u8], golden: &str) {
    let mut rows = apply(file);
    for line in golden.lines() {
        let mut fields = line.split('\t');
        let table = fields.next().unwrap().to_owned();
        let server: Vec<&str> = fields.collect();
        let server_key = server[0];
        let ours = rows.remove(&(table.clone(), server[0].to_owned())).unwrap();
        assert_eq!(ours.len(), server.len(), "{table}");
        for (column, (ours, server)) in ours.iter().zip(&server).enumerate() {
            assert!(
                same(ours, server),
                "{table} {server_key} column {column}: ours {ours}, server {server}"
            );
        }
    }
    assert_eq!(rows.keys().collect::<Vec<_>>(), Vec::<&(String, String)>::new());
}

#[test]
fn every_type_of_mysql_reads_as_select_prints_it() {
    assert_rows(MYSQL_FILE, MYSQL_ROWS);
}

#[test]
fn full_metadata_names_columns_labels_and_keys() {
    let (mut format, mut maps) = (None, BTreeMap::new());
    for (header, body) in events(MYSQL_FILE) {
        if header.event_type == EventType::FormatDescription {
            format = Some(FormatDescription::parse(&body).unwrap());
        } else if header.event_type == EventType::TableMap {
            let map = TableMap::parse(format.as_ref().unwrap(), &body).unwrap();
            maps.insert(map.name.table.to_string(), map);
        }
    }
    let format = format.unwrap();
    assert_eq!(format.server_version, "9.7.4-2");
    assert_eq!(format.checksum, ChecksumAlgorithm::Crc32);
    let texts = &maps["texts"];
    assert_eq!(texts.primary_key, [KeyColumn { column: 0, prefix: 0 }]);
    let column = |name: &str| {
        texts.columns.iter().find(|column| column.name.as_deref() == Some(name)).unwrap()
    };
    assert_eq!(column("n").labels, ["a", "b", "ü,x"]);
    assert_eq!(column("o").labels, ["x", "y", "é"]); // latin1 on the wire
    assert_eq!(column("g").charset(), Ok(Some(Charset::Gbk)));
    assert_eq!(column("u").charset(), Ok(Some(Charset::Utf32))); // behind a GEOMETRY
    assert_eq!(column("v").dimensions, Some(3));
    assert_eq!((column("id").visible, column("id").nullable), (Some(true), false));
    let unsigned: Vec<Option<bool>> =
        maps["numbers"].columns[1..5].iter().map(|column| column.unsigned).collect();
    assert_eq!(unsigned, [Some(false), Some(true), Some(false), Some(true)]);
}

#[test]
fn a_cut_or_altered_event_is_refused() {
    let size = EventHeader::parse(&MYSQL_FILE[4..]).unwrap().event_size as usize;
    let event = &MYSQL_FILE[4..4 + size];
    assert!(verify_checksum(event));
    for at in 0..event.len() {
        let mut altered = event.to_vec();
        altered[at] ^= 0x10;
        assert!(!verify_checksum(&altered), "{at}");
        assert!(!verify_checksum(&event[..at]), "{at}");
    }
}

/// An inserted row of a table with these columns, cut at every place.
#[test]
fn a_cut_image_is_refused_at_every_place() {
    let columns =
        [ColumnType::Long { unsigned: false }, ColumnType::Blob { length_bytes: 2 }].map(|kind| {
            Column { name: String::new(), mysql_type: String::new(), kind, labels: Vec::new() }
        });
    let present = crate::change::ColumnSet(Bytes::from_static(&[0b11]));
    let image = [0b00, 1, 0, 0, 0, 2, 0, b'h', b'i'];
    let mut images = Images::new(&columns, &present, None, &image);
    assert_eq!(images.skip(), Ok(true));
    assert_eq!(images.skip(), Ok(false));
    for cut in 1..image.len() {
        let mut images = Images::new(&columns, &present, None, &image[..cut]);
        assert!(matches!(images.skip(), Err(Error::Cut { .. })), "{cut}");
    }
}

fn mysql_format() -> FormatDescription {
    let (_, body) = events(MYSQL_FILE).swap_remove(0);
    FormatDescription::parse(&body).unwrap()
}

fn any_kind() -> impl Strategy<Value = ColumnType> {
    let charset = prop::sample::select(Charset::ALL);
    (any::<u8>(), any::<u16>(), any::<bool>(), charset).prop_filter_map(
        "no column type",
        |(code, meta, unsigned, charset)| {
            let wire = WireColumn { code, meta: meta % 66 * 17, ..WireColumn::default() };
            column_type(&wire, unsigned, charset).ok()
        },
    )
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused(
        code in any::<u8>(),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let format = mysql_format();
        let mut head = vec![0; HEADER_LENGTH];
        head[4] = code;
        head[9] = 200;
        let header = EventHeader::parse(&head).unwrap();
        let body = Bytes::from(body);
        let _ = FormatDescription::parse(&body);
        let _ = Rotate::parse(&body);
        for event_type in [EventType::Heartbeat, EventType::HeartbeatV2] {
            let _ = Heartbeat::parse(&EventHeader { event_type, ..header }, &body);
        }
        for event_type in
            [EventType::Gtid, EventType::AnonymousGtid, EventType::GtidTagged, EventType::MariaDbGtid]
        {
            let _ = GtidEvent::parse(&EventHeader { event_type, ..header }, &body);
        }
        let _ = previous_gtids(&body);
        let _ = gtid_list(&body);
        let _ = XaPrepare::parse(&body);
        for event_type in [EventType::Query, EventType::QueryCompressed] {
            let _ = Query::parse(event_type, &body);
        }
        let _ = rows_query(&body, None);
        let _ = TableMap::parse(&format, &body);
        let _ = TableMap::peek(&format, &body);
        let _ = RowsEvent::parse(&format, EventType::from(code), &body);
        let _ = Fragment::parse(&body);
        let _ = header.policy();
    }

    #[test]
    fn any_image_is_read_or_refused(
        kinds in prop::collection::vec(any_kind(), 1..10),
        present in prop::collection::vec(any::<u8>(), 2),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let column = |kind| Column {
            name: String::new(),
            mysql_type: String::new(),
            kind,
            labels: Vec::new(),
        };
        let columns: Vec<Column> = kinds.into_iter().map(column).collect();
        let present = crate::change::ColumnSet(Bytes::from(present));
        let mut images = Images::new(&columns, &present, None, &bytes);
        loop {
            let walked = images.visit::<Error>(|_, column, cell| {
                let Cell::Raw(raw) = cell else { return Ok(()) };
                match Value::decode(column.kind, raw)? {
                    Value::Json(document) => {
                        json::write_text(document, json::Style::SERVER, &mut Vec::new())?;
                    }
                    Value::Compressed(cell) => cell.inflate(&mut Vec::new())?,
                    Value::Decimal(value) => value.write(&mut Vec::new()),
                    Value::Date(value) => value.write(&mut Vec::new()),
                    Value::Time(value) => value.write(&mut Vec::new()),
                    Value::DateTime(value) => value.write(&mut Vec::new()),
                    Value::Timestamp(value) => value.at_offset(-1).write(&mut Vec::new()),
                    _ => {}
                }
                Ok(())
            });
            if walked != Ok(true) {
                break;
            }
        }
    }

    #[test]
    fn any_document_is_printed_or_refused_within_its_size(
        document in prop::collection::vec(prop_oneof![0..16u8, any::<u8>()], 0..120),
    ) {
        let mut out = Vec::new();
        let _ = json::write_text(&document, json::Style::SERVER, &mut out);
        // The longest text of a byte is that of a double, in eight bytes and an entry of three,
        // or of a control character.
        prop_assert!(out.len() <= 64 + 40 * document.len(), "{}", out.len());
    }
}

proptest! {
    /// Every number of digits before and behind the point, both ways.
    #[test]
    fn a_decimal_s_text_gives_its_bytes_back(
        whole in 0_u8..=35,
        scale in 0_u8..=30,
        digits in "[0-9]{66}",
        minus: bool,
    ) {
        let precision = (whole + scale).max(1);
        let (integer, rest) = digits.split_at(usize::from(precision - scale));
        let fraction = &rest[..usize::from(scale)];
        let number = format!("{}{integer}.{fraction}", if minus { "-" } else { "" });
        let (mut packed, mut text) = (Vec::new(), Vec::new());
        Decimal::encode(precision, scale, number.as_bytes(), &mut packed).unwrap();
        Decimal::new(precision, scale, &packed).unwrap().write(&mut text);
        let significant = integer.trim_start_matches('0');
        let is_zero = format!("{significant}{fraction}").bytes().all(|digit| digit == b'0');
        let sign = if minus && !is_zero { "-" } else { "" };
        let significant = if significant.is_empty() { "0" } else { significant };
        let point = if scale > 0 { "." } else { "" };
        prop_assert_eq!(
            String::from_utf8(text).unwrap(),
            format!("{sign}{significant}{point}{fraction}")
        );
        prop_assert!(Decimal::encode(precision, scale, b"1x", &mut Vec::new()).is_err());
    }
}
