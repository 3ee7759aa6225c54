//! What MariaDB 10.11 wrote for `tests/golden/binlog/types-mariadb-10.11.sql`: compressed events
//! and columns, its own GTIDs, its own count of character columns.

use super::*;

const FILE: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/golden/binlog/types-mariadb-10.11.binlog"
));
const ROWS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/golden/binlog/types-mariadb-10.11.tsv"
));
/// The file after it.
const NEXT: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/golden/binlog/next-mariadb-10.11.binlog"
));

#[test]
fn every_type_reads_as_select_prints_it() {
    assert_rows(FILE, ROWS);
}

#[test]
fn compressed_events_are_among_them() {
    let types: Vec<u8> = events(FILE).iter().map(|(header, _)| header.event_type.code()).collect();
    for code in 165..=168 {
        assert!(types.contains(&code), "{code}");
    }
}

#[test]
fn compressed_statements_are_read() {
    let found = events(FILE).into_iter().find_map(|(header, body)| {
        let compressed = header.event_type == EventType::QueryCompressed;
        compressed.then(|| Query::parse(header.event_type, &body).unwrap().text.into_owned())
    });
    let text = found.unwrap();
    assert!(text.starts_with("CREATE TABLE "), "{text}");
    assert!(text.ends_with(')'), "{text}");
}

#[test]
fn the_gtids_of_a_file_lead_from_its_list_to_the_next_one() {
    let list = |file| {
        let found = events(file).into_iter().find(|(h, _)| h.event_type == EventType::GtidList);
        gtid_list(&found.unwrap().1).unwrap()
    };
    let mut executed = list(FILE);
    let (mut standalone, mut xids) = (0, Vec::new());
    for (header, body) in events(FILE) {
        if header.event_type == EventType::MariaDbGtid {
            let event = GtidEvent::parse(&header, &body).unwrap();
            standalone += usize::from(event.flags.standalone && event.flags.ddl);
            if let Some(xid) = event.xid {
                xids.push((xid.to_string(), event.flags.prepared_xa, event.flags.completed_xa));
            }
            executed.insert(&event.gtid.unwrap());
        }
    }
    assert_eq!(executed, list(NEXT));
    assert_eq!(executed.to_string(), "0-2-15,7-2-1");
    assert!(standalone >= 5);
    let xid = "X'6774',X'6271',7".to_owned();
    assert_eq!(xids, [(xid.clone(), true, false), (xid, false, true)]);
}
