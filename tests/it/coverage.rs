//! `docs/coverage.md`: each type of event and of column, what is done with it, and which test
//! shows that. Made of the program's own enums by exhaustive matches, so that no variant can be
//! without a line.
//!
//! `SLUICE_WRITE_COVERAGE=1` writes the file anew.

use std::fmt::Write as _;
use std::path::Path;

use sluice::binlog::{EventType, Policy};
use sluice::change::{ColumnType, PluginType};

/// A line of a table: what it is, what is done with it, the tests.
struct Line {
    what: String,
    done: String,
    shown: &'static [&'static str],
}

const POLICIES: &str = "tests/it/source/policies.rs::each_event_that_is_not_applied_is_left_out_or_stops_as_its_policy_says";
const STATEMENTS: &str = "tests/it/statements.rs::each_statement_becomes_the_messages_beside_it";
const AGAIN: &str = "tests/it/source/stream.rs::stopping_and_going_on_repeats_and_loses_nothing";
const TEMP: &str = "tests/it/temporary_tables.rs::statements_of_temporary_tables_concern_nobody";
const RESET: &str = "tests/it/source/begin.rs::binlogs_that_were_reset_are_noticed";
const WHOLE: &str =
    "tests/it/source/stream.rs::a_transaction_comes_whole_and_its_position_is_the_servers_own";
const TABLES: &str = "tests/it/tables.rs::any_table_of_mysql_is_published_as_the_server_reads_it";
const MARIATABLES: &str =
    "tests/it/tables.rs::any_table_of_mariadb_is_published_as_the_server_reads_it";
const LAGTEST: &str =
    "tests/it/behind.rs::the_lag_is_0_only_while_the_server_says_so_and_grows_by_the_clock";
const ROWSQUERY: &str =
    "tests/it/rows_query.rs::a_statement_whose_foreign_keys_cascade_is_sent_for_its_own_table";
const GTIDS: &str =
    "src/binlog/tests/captured.rs::the_gtids_of_a_file_lead_from_its_previous_set_to_the_next_one";
const ASSEMBLEGTID: &str =
    "src/source/assemble/tests.rs::a_transaction_ends_with_its_commit_and_is_positioned_behind_it";
const BEGIN: &str =
    "tests/it/source/begin.rs::a_begin_by_file_or_time_is_found_with_its_complete_gtid_set";
const XA: &str = "tests/it/xa.rs::a_branch_is_published_at_its_commit_on_mysql";
const PARTIAL: &str = "src/binlog/tests/captured.rs::partial_json_updates_become_whole_documents";
const FLIP: &str = "tests/it/payloads.rs::a_flipped_bit_of_a_compressed_transaction_is_never_visible_and_it_is_read_again";
const INFLATED: &str = "tests/it/payloads.rs::a_payload_of_kilobytes_that_inflates_to_megabytes_takes_no_more_memory_than_its_events";
const TAGGED: &str =
    "tests/it/source/stream.rs::tagged_gtids_and_create_table_select_are_understood";
const MARIAGTID: &str =
    "src/source/assemble/tests.rs::mariadb_opens_by_gtid_or_announces_a_single_event";
const PHASES: &str = "tests/it/alter_phases.rs::an_alter_in_two_phases_counts_once_at_its_commit_and_a_failed_one_never";
const MARIAGTIDS: &str =
    "src/binlog/tests/mariadb.rs::the_gtids_of_a_file_lead_from_its_list_to_the_next_one";
const MARIACOMP: &str = "tests/it/source/stream.rs::mariadb_compressed_events_are_inflated";
const COMPSTAT: &str = "src/binlog/tests/mod.rs::any_body_is_read_or_refused";
const FRAGMENT: &str =
    "src/binlog/fragment.rs::pieces_in_a_row_make_up_the_event_and_others_are_refused";
const MYSQLALL: &str = "src/binlog/tests/mod.rs::every_type_of_mysql_reads_as_select_prints_it";
const MARIAALL: &str = "src/binlog/tests/mariadb.rs::every_type_reads_as_select_prints_it";
const HIRES: &str = "tests/it/old_forms.rs::older_forms_of_mariadb_are_read_as_they_were_written";
const OLD: &str =
    "tests/it/mariadb_tables.rs::dates_in_the_form_of_before_5_6_are_what_the_server_reads";
const PLUGIN: &str = "src/binlog/plugin_type.rs::addresses_are_printed_as_the_server_prints_them";
const UUID: &str = "src/binlog/plugin_type.rs::a_uuid_with_a_time_in_it_is_put_back_in_order";
const NEWEST: &str =
    "tests/it/tables/types.rs::each_type_of_the_newest_mariadb_is_published_as_the_server_reads_it";
const VECTORS: &str =
    "src/format/flat/tests/values.rs::vectors_have_the_shortest_digits_that_the_server_reads_back";

/// Each type with what applying it means (of the others the policy says it) and its tests.
macro_rules! events {
    ($($name:ident, $applied:literal, [$($test:expr),*];)*) => {
        fn events() -> Vec<Line> {
            // Refused by the compiler while a type is without a line.
            let _ = |event: EventType| match event {
                $(EventType::$name => {})*
                EventType::Unknown(_) => {}
            };
            vec![$(event_line(EventType::$name, stringify!($name), $applied, &[$($test),*])),*]
        }
    };
}

/// The same of the types of columns.
macro_rules! columns {
    ($($kind:pat => $what:literal, $done:literal, [$($test:expr),*];)*) => {
        fn columns() -> Vec<Line> {
            let _ = |column: ColumnType| match column { $($kind => {})* };
            vec![$(Line { what: $what.to_owned(), done: $done.to_owned(), shown: &[$($test),*] }),*]
        }
    };
}

events! {
    StartV3, "", [POLICIES];
    Query, "a statement, or begin, mark and end of a transaction", [STATEMENTS];
    Stop, "", [POLICIES];
    Rotate, "the next file begins; table ids are void", [AGAIN];
    Intvar, "", [POLICIES];
    Load, "", [POLICIES];
    Slave, "", [POLICIES];
    CreateFile, "", [POLICIES];
    AppendBlock, "", [TEMP];
    ExecLoad, "", [POLICIES];
    DeleteFile, "", [TEMP];
    NewLoad, "", [POLICIES];
    Rand, "", [POLICIES];
    UserVar, "", [POLICIES];
    FormatDescription, "who wrote the file, and whether events have checksums", [RESET];
    Xid, "the transaction is whole", [WHOLE];
    BeginLoadQuery, "", [TEMP];
    ExecuteLoadQuery, "", [TEMP];
    TableMap, "the table of the rows that follow", [WHOLE, TABLES];
    PreGaWriteRows, "", [POLICIES];
    PreGaUpdateRows, "", [POLICIES];
    PreGaDeleteRows, "", [POLICIES];
    WriteRowsV1, "rows of MariaDB and 5.5", [MARIATABLES];
    UpdateRowsV1, "rows of MariaDB and 5.5", [MARIATABLES];
    DeleteRowsV1, "rows of MariaDB and 5.5", [MARIATABLES];
    Incident, "", [POLICIES];
    Heartbeat, "the position moves, and the lag is known", [LAGTEST];
    Ignorable, "", [POLICIES];
    RowsQuery, "published as a message of its own", [ROWSQUERY];
    WriteRows, "rows", [TABLES];
    UpdateRows, "rows", [TABLES];
    DeleteRows, "rows", [TABLES];
    Gtid, "a transaction begins", [WHOLE, GTIDS];
    AnonymousGtid, "a transaction begins", [ASSEMBLEGTID];
    PreviousGtids, "counted where a position needs its set", [BEGIN];
    TransactionContext, "", [POLICIES];
    ViewChange, "", [POLICIES];
    XaPrepare, "an XA branch is held, or committed in one phase", [XA];
    PartialUpdateRows, "made whole by the image before", [PARTIAL];
    TransactionPayload, "inflated event by event, visible only when its checksum is right", [FLIP, INFLATED];
    HeartbeatV2, "the position moves, and the lag is known", [LAGTEST];
    GtidTagged, "a transaction begins", [TAGGED];
    AnnotateRows, "comes with every statement by default; not published, as in Canal", [MARIATABLES];
    BinlogCheckpoint, "", [POLICIES];
    MariaDbGtid, "a transaction begins; an ALTER in two phases counts at its commit", [MARIAGTID, PHASES];
    GtidList, "the server is asked for the set of a position", [MARIAGTIDS];
    StartEncryption, "", [POLICIES];
    QueryCompressed, "a statement", [MARIACOMP];
    WriteRowsCompressedV1, "rows", [MARIACOMP];
    UpdateRowsCompressedV1, "rows", [MARIACOMP];
    DeleteRowsCompressedV1, "rows", [MARIACOMP];
    WriteRowsCompressed, "rows, read as those of version 1 are", [COMPSTAT];
    UpdateRowsCompressed, "rows, read as those of version 1 are", [COMPSTAT];
    DeleteRowsCompressed, "rows, read as those of version 1 are", [COMPSTAT];
    PartialRowData, "joined to the rows event that it is part of", [FRAGMENT];
}

use ColumnType as Type;

columns! {
    Type::Tiny { .. } => "TINYINT, BOOL", "a decimal number", [TABLES, MYSQLALL];
    Type::Short { .. } => "SMALLINT", "a decimal number", [TABLES, MYSQLALL];
    Type::Int24 { .. } => "MEDIUMINT", "a decimal number", [TABLES, MYSQLALL];
    Type::Long { .. } => "INT", "a decimal number", [TABLES, MYSQLALL];
    Type::LongLong { .. } => "BIGINT", "a decimal number", [TABLES, MYSQLALL];
    Type::Float => "FLOAT", "Java's spelling, the shortest digits", [TABLES, MYSQLALL];
    Type::Double => "DOUBLE", "Java's spelling, the shortest digits", [TABLES, MYSQLALL];
    Type::Decimal { .. } => "DECIMAL", "all digits of its scale", [TABLES, MYSQLALL];
    Type::Bit { .. } => "BIT", "a decimal number", [TABLES, MYSQLALL];
    Type::Year => "YEAR", "four digits", [TABLES, MYSQLALL];
    Type::Date => "DATE", "the server's text", [TABLES, MYSQLALL];
    Type::OldTime => "TIME of before 5.6", "the server's text", [OLD];
    Type::Time { .. } => "TIME", "the server's text", [TABLES, MYSQLALL];
    Type::OldDateTime => "DATETIME of before 5.6", "the server's text", [OLD];
    Type::DateTime { .. } => "DATETIME", "the server's text", [TABLES, MYSQLALL];
    Type::OldTimestamp => "TIMESTAMP of before 5.6", "the server's text in the zone of the settings", [OLD];
    Type::HiresTime { .. } => "MariaDB: TIME with a fraction of before 10.1", "the server's text", [HIRES];
    Type::HiresDateTime { .. } => "MariaDB: DATETIME with a fraction of before 10.1", "the server's text", [HIRES];
    Type::HiresTimestamp { .. } => "MariaDB: TIMESTAMP with a fraction of before 10.1", "the server's text in the zone of the settings", [HIRES];
    Type::Timestamp { .. } => "TIMESTAMP", "the server's text in the zone of the settings", [TABLES, MYSQLALL];
    Type::Char { .. } => "CHAR", "text, from the character set of the column", [TABLES, MYSQLALL];
    Type::Binary { .. } => "BINARY", "a code point for each byte, or as asked", [TABLES, MYSQLALL];
    Type::VarChar { .. } => "VARCHAR", "text, from the character set of the column", [TABLES, MYSQLALL];
    Type::VarBinary { .. } => "VARBINARY", "a code point for each byte, or as asked", [TABLES, MYSQLALL];
    Type::Text { .. } => "TINYTEXT to LONGTEXT", "text, from the character set of the column", [TABLES, MYSQLALL];
    Type::Blob { .. } => "TINYBLOB to LONGBLOB", "a code point for each byte, or as asked", [TABLES, MYSQLALL];
    Type::CompressedVarChar { .. } => "MariaDB: VARCHAR, VARBINARY COMPRESSED", "as without COMPRESSED", [MARIAALL, NEWEST];
    Type::CompressedText { .. } => "MariaDB: TEXT, BLOB COMPRESSED", "as without COMPRESSED", [MARIAALL, NEWEST];
    Type::Enum { .. } => "ENUM", "its number, or its label if asked", [TABLES, MYSQLALL];
    Type::Set { .. } => "SET", "its bits as a number, or its labels if asked", [TABLES, MYSQLALL];
    Type::Json { .. } => "JSON", "the document, spaced as the server does", [TABLES, MYSQLALL];
    Type::Geometry { .. } => "GEOMETRY and its kinds", "SRID and WKB, as bytes", [TABLES, MYSQLALL];
    Type::Vector { .. } => "VECTOR", "the shortest digits that give the same floats", [TABLES, VECTORS];
    Type::Plugin(PluginType::Uuid) => "MariaDB: UUID", "the server's text", [MARIAALL, UUID];
    Type::Plugin(PluginType::Inet4) => "MariaDB: INET4", "the server's text", [MARIATABLES, PLUGIN];
    Type::Plugin(PluginType::Inet6) => "MariaDB: INET6", "the server's text", [MARIAALL, PLUGIN];
}

fn event_line(event: EventType, name: &str, applied: &str, shown: &'static [&'static str]) -> Line {
    let done = match event.policy() {
        Policy::Apply => format!("applied: {applied}"),
        Policy::Statement => {
            assert_eq!(applied, "", "{name}: the policy says it");
            "a LOAD DATA in statement format: a warning, or a stop where `sluice.statement=stop`"
                .to_owned()
        }
        Policy::Skip(reason) => format!("left out: {reason}"),
        Policy::Stop(reason) => format!("stops the instance: {reason}"),
        Policy::ByFlag => panic!("{name} has a policy of its own"),
    };
    Line { what: format!("{} {name}", event.code()), done, shown }
}

fn page() -> String {
    let mut page = "\
# What is read of a binlog

Made by `tests/it/coverage.rs` from the program's own lists; `SLUICE_WRITE_COVERAGE=1 cargo test
--test it coverage` writes it anew. Behind each line are the tests that show it.

## Events

A type that is not listed stops the instance, unless its header says that it may be ignored.

"
    .to_owned();
    table(&mut page, "event", &events());
    page.push_str("\n## Columns\n\nValues as they are in a message.\n\n");
    table(&mut page, "type", &columns());
    page
}

fn table(page: &mut String, head: &str, lines: &[Line]) {
    let _ = writeln!(page, "| {head} | what is done | shown by |\n|---|---|---|");
    for Line { what, done, shown } in lines {
        let shown: Vec<String> = shown.iter().map(|test| format!("`{test}`")).collect();
        let _ = writeln!(page, "| {what} | {done} | {} |", shown.join("<br>"));
    }
}

#[test]
fn the_page_says_what_the_program_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/coverage.md");
    let page = page();
    if std::env::var_os("SLUICE_WRITE_COVERAGE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/coverage.md is not what the program does: SLUICE_WRITE_COVERAGE=1 writes it anew"
    );
}

#[test]
fn every_code_of_an_event_has_a_line() {
    let known = (1..=u8::MAX).map(EventType::from);
    let known = known.filter(|event| !matches!(event, EventType::Unknown(_))).count();
    assert_eq!(events().len(), known);
}

#[test]
fn each_test_that_is_named_exists() {
    for Line { what, shown, .. } in events().iter().chain(&columns()) {
        assert!(!shown.is_empty(), "{what} is shown by no test");
        for test in *shown {
            assert!(exists(test), "{what}: there is no test {test}");
        }
    }
}

/// Whether `path::name` is a function marked as a test.
fn exists(test: &str) -> bool {
    let (path, name) = test.split_once("::").unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let Ok(text) = std::fs::read_to_string(path) else { return false };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_it = |line: &str| line.contains(&format!("fn {name}("));
    lines.iter().enumerate().any(|(at, line)| {
        let before = &lines[at.saturating_sub(3)..at];
        is_it(line)
            && before
                .iter()
                .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn a_test_that_is_not_there_is_missed() {
    assert!(exists("tests/it/coverage.rs::a_test_that_is_not_there_is_missed"));
    assert!(!exists("tests/it/coverage.rs::a_test_that_was_renamed"));
    assert!(!exists("tests/it/coverage.rs::exists"), "no test");
    assert!(!exists("tests/it/nowhere.rs::exists"));
}
