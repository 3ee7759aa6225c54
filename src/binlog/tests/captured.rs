//! Events that MySQL 9.7.4 wrote for `tests/golden/binlog/events-mysql-9.7.sql`: tagged GTIDs, a
//! compressed transaction, XA, status variables.

use super::*;

const FILE: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/golden/binlog/events-mysql-9.7.binlog"
));
/// The file after it.
const NEXT: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/golden/binlog/next-mysql-9.7.binlog"
));
const UUID: &str = "656f9ac9-e64d-11f1-a16f-02fc00000001";

fn bodies(file: &'static [u8], event_type: EventType) -> Vec<(EventHeader, Bytes)> {
    let mut found = events(file);
    found.retain(|(header, _)| header.event_type == event_type);
    found
}

#[test]
fn the_gtids_of_a_file_lead_from_its_previous_set_to_the_next_one() {
    let previous = |file| previous_gtids(&bodies(file, EventType::PreviousGtids)[0].1).unwrap();
    let mut executed = previous(FILE);
    assert_ne!(executed, previous(NEXT));
    let mut tagged = 0;
    for (header, body) in events(FILE) {
        if matches!(header.event_type, EventType::Gtid | EventType::GtidTagged) {
            let event = GtidEvent::parse(&header, &body).unwrap();
            tagged += usize::from(header.event_type == EventType::GtidTagged);
            assert_eq!(event.original_commit_timestamp, event.immediate_commit_timestamp);
            let committed = event.immediate_commit_timestamp.unwrap() / 1_000_000;
            assert!(committed.abs_diff(u64::from(header.timestamp)) < 5);
            assert!(event.transaction_length.unwrap() > u64::from(header.event_size));
            executed.insert(&event.gtid.unwrap());
        }
    }
    assert!(tagged > 0);
    assert_eq!(executed, previous(NEXT));
    assert_eq!(executed.to_string(), format!("{UUID}:1-51:tag_one:1-2"));
}

#[test]
fn a_set_with_tags_is_written_as_the_server_writes_it() {
    for file in [FILE, NEXT] {
        let body = &bodies(file, EventType::PreviousGtids)[0].1;
        let crate::change::GtidSet::MySql(set) = previous_gtids(body).unwrap() else { panic!() };
        let mut written = Vec::new();
        set.encode(&mut written);
        assert_eq!(written, *body);
    }
}

/// The inner events of the file's payload, fed in pieces of a size.
fn inflate(piece: usize) -> Vec<Bytes> {
    let (_, body) = bodies(FILE, EventType::TransactionPayload).remove(0);
    let mut inflater = payload::Inflater::default();
    let mut inner = Vec::new();
    for piece in body.chunks(piece) {
        inflater.push(Bytes::copy_from_slice(piece));
        while let Some(event) = inflater.next_event().unwrap() {
            inner.push(event);
        }
    }
    inflater.finish().unwrap();
    inner
}

#[test]
fn a_payload_gives_the_same_events_however_it_is_cut() {
    let whole = inflate(usize::MAX);
    let types: Vec<EventType> =
        whole.iter().map(|event| EventHeader::parse(event).unwrap().event_type).collect();
    assert_eq!(types[0], EventType::Query);
    assert_eq!(types.last(), Some(&EventType::Xid));
    let rows = types.iter().filter(|event_type| **event_type == EventType::WriteRows).count();
    assert!(rows > 5, "{types:?}");
    for piece in [1, 2, 7, 100] {
        assert_eq!(inflate(piece), whole);
    }
}

#[test]
fn the_rows_of_a_payload_are_all_there() {
    let format = mysql_format();
    let (mut inserted, mut columns) = (0, Vec::new());
    for event in inflate(1000) {
        let header = EventHeader::parse(&event).unwrap();
        let body = event.slice(HEADER_LENGTH..);
        match header.event_type {
            EventType::TableMap => columns = columns_of(&TableMap::parse(&format, &body).unwrap()),
            EventType::WriteRows => {
                let event = RowsEvent::parse(&format, header.event_type, &body).unwrap();
                let mut images = Images::new(&columns, &event.columns, None, &event.images);
                while images.skip().unwrap() {
                    inserted += 1;
                }
            }
            _ => {}
        }
    }
    assert_eq!(inserted, 2000);
}

#[test]
fn xa_events_carry_their_identifiers() {
    let prepared: Vec<XaPrepare> = bodies(FILE, EventType::XaPrepare)
        .iter()
        .map(|(_, body)| XaPrepare::parse(body).unwrap())
        .collect();
    let texts: Vec<(bool, String)> =
        prepared.iter().map(|event| (event.one_phase, event.xid.to_string())).collect();
    assert_eq!(
        texts,
        [(false, "X'6774',X'6271',7".to_owned()), (true, "X'6f6e65',X'',1".to_owned())]
    );
    let queries = bodies(FILE, EventType::Query);
    let commits = queries.iter().filter_map(|(header, body)| {
        let query = Query::parse(header.event_type, body).unwrap();
        query.text.strip_prefix("XA COMMIT ").map(str::to_owned)
    });
    assert_eq!(commits.collect::<Vec<_>>(), [texts[0].1.clone()]);
}

#[test]
fn statements_carry_their_session() {
    let queries = bodies(FILE, EventType::Query);
    let find = |begin: &str| {
        let mut queries =
            queries.iter().map(|(header, body)| Query::parse(header.event_type, body).unwrap());
        queries.find(|query| query.text.starts_with(begin)).unwrap()
    };
    let create = find("CREATE TABLE s ");
    assert_eq!((create.schema, create.error_code), ("types", 0));
    assert_eq!(create.status.client, Some(13)); // sjis_japanese_ci
    assert_eq!(create.status.sql_mode.unwrap() & 0x4, 0x4); // ANSI_QUOTES
    assert!(create.status.ddl_xid.is_some());
    assert_eq!(find("DELETE FROM t").text, "DELETE FROM t WHERE id=5001");
    let annotated = bodies(FILE, EventType::RowsQuery);
    assert!(rows_query(&annotated[0].1, None).unwrap().starts_with("INSERT INTO t VALUES (1,"));
}

#[test]
fn a_damaged_payload_is_refused_or_gives_whole_events() {
    let (_, body) = bodies(FILE, EventType::TransactionPayload).remove(0);
    let run = |bytes: &[u8]| {
        let mut inflater = payload::Inflater::default();
        inflater.push(Bytes::copy_from_slice(bytes));
        while inflater.next_event()?.is_some() {}
        inflater.finish()
    };
    assert_eq!(run(&body), Ok(()));
    for cut in 0..body.len() {
        assert!(run(&body[..cut]).is_err(), "{cut}");
    }
    for at in 0..body.len() {
        let mut altered = body.to_vec();
        altered[at] ^= 0x10;
        let _ = run(&altered);
    }
}

/// The last image of the row that all partial updates of the file change.
#[test]
fn partial_json_updates_become_whole_documents() {
    let format = mysql_format();
    let (mut columns, mut last, mut partial) = (Vec::new(), Vec::new(), 0);
    for (header, body) in events(FILE) {
        if header.event_type == EventType::TableMap {
            columns = columns_of(&TableMap::parse(&format, &body).unwrap());
        }
        if header.event_type != EventType::PartialUpdateRows {
            continue;
        }
        partial += 1;
        let event = RowsEvent::parse(&format, header.event_type, &body).unwrap();
        assert!(event.partial_json);
        let event = json::expand_partial(event, &columns).unwrap();
        let after = event.after_columns.as_ref();
        let mut images = Images::new(&columns, &event.columns, after, &event.images);
        assert!(images.skip().unwrap());
        last.clear();
        images
            .visit::<Error>(|_, column, cell| {
                let Cell::Raw(raw) = cell else { panic!("the image is full") };
                let mut text = Vec::new();
                match Value::decode(column.kind, raw)? {
                    Value::Json(document) => {
                        json::write_text(document, json::Style::SERVER, &mut text)?;
                    }
                    Value::Text { bytes, charset } => {
                        charset::to_utf8(charset, bytes, &mut text);
                    }
                    other => text.extend(format!("{other:?}").bytes()),
                }
                last.push(String::from_utf8(text).unwrap());
                Ok(())
            })
            .unwrap();
        assert!(images.is_done());
    }
    assert_eq!(partial, 6);
    // As SELECT printed it at the end.
    let many = "z".repeat(300);
    assert_eq!(
        last[1..],
        [
            "p".to_owned(),
            r#"{"a": "2020-01-01", "b": [{"n": 1.5}, 3], "c": {"zz": "é"}, "new key": [true, null]}"#
                .to_owned(),
            format!(r#"[70000, "{many}", 3, 5, 6, 7, 8, 9, "end"]"#),
        ]
    );
}
