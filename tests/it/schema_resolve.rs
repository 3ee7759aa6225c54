//! Rows whose table the history does not hold: the definition read from a real server is used
//! only where nothing changed the table between the row and the reading.

use std::time::Duration;

use sluice::binlog::{TableMap, TableMapId, WireColumn};
use sluice::change::{EventPlace, Flavor, TableName};
use sluice::config::Adopt;
use sluice::mysql::replica::ReplicaSettings;
use sluice::mysql::{Endpoint, Session};
use sluice::schema::{Error, From, Origin, Place, Schema};

use crate::harness::servers::run;
use crate::harness::{self, Server};

const LONG: u8 = 3;

/// A table map of MINIMAL metadata with so many INT columns.
fn map(schema: &str, columns: usize) -> TableMap {
    let column = WireColumn { code: LONG, nullable: true, ..WireColumn::default() };
    TableMap {
        id: TableMapId(1),
        name: TableName::new(schema, "t"),
        columns: vec![column; columns],
        primary_key: Vec::new(),
    }
}

/// Our ways to ask a server.
struct Asking {
    session: Session,
    endpoint: Endpoint,
    replica: ReplicaSettings,
}

impl Asking {
    async fn of(server: &Server) -> Self {
        let endpoint = Endpoint::new(&server.host, server.port, "canal", "canal");
        let session = Session::connect(&endpoint).await.unwrap();
        let patience = Duration::from_mins(1);
        let replica = ReplicaSettings {
            server_id: 7,
            uuid: "7f1c8e6a-0000-4000-8000-000000000007".to_owned(),
            heartbeat: patience / 4,
            read_timeout: patience,
            first_event_timeout: patience,
        };
        Self { session, endpoint, replica }
    }

    fn origin(&mut self) -> Origin<'_> {
        let Self { session, endpoint, replica } = self;
        Origin { session, endpoint, replica }
    }
}

fn schema(adopt: Adopt) -> Schema {
    let server = sluice::schema::Server {
        flavor: Flavor::MySql,
        version: 90_704,
        lower_case_table_names: 0,
        utf8_is_unclear: false,
        charset: "utf8mb4".to_owned(),
        uuid: "it".into(),
    };
    Schema::new(server, adopt)
}

/// The source's end: where the next event will be.
async fn end(session: &mut Session) -> EventPlace {
    let rows = session.query("SHOW BINARY LOG STATUS").await.unwrap();
    let offset = rows[0].number("Position").unwrap();
    EventPlace { file: rows[0].text("File").unwrap().into(), offset, time: 0 }
}

#[tokio::test]
async fn a_row_older_than_a_change_of_its_table_is_not_read_by_the_newer_definition() {
    let Some(server) = harness::servers::mysql() else { return };
    let mut source = server.database("schema_resolve").await;
    let mut asking = Asking::of(server).await;
    run(&mut source, "CREATE TABLE t (a INT, b INT)").await;
    run(&mut source, "CREATE TABLE other (a INT)").await;
    let old = end(&mut asking.session).await;
    run(&mut source, "INSERT INTO t VALUES (1, 2); FLUSH BINARY LOGS").await;
    run(&mut source, "ALTER TABLE other ADD b INT").await;

    let rows = map("schema_resolve", 2);
    let table = schema(Adopt::Never).resolve(&mut asking.origin(), &rows, &old).await.unwrap();
    assert_eq!(table.columns[1].name, "b", "no statement concerned it since");

    run(&mut source, "ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a").await;
    let error = schema(Adopt::Never).resolve(&mut asking.origin(), &rows, &old).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
    assert!(error.to_string().contains("changed it since"), "{error}");
    assert!(error.to_string().contains("sluice.schema.adopt=current"), "{error}");

    let new = end(&mut asking.session).await;
    let table = schema(Adopt::Never).resolve(&mut asking.origin(), &rows, &new).await.unwrap();
    assert_eq!(table.columns[0].name, "b");

    let table = schema(Adopt::Current).resolve(&mut asking.origin(), &rows, &old).await.unwrap();
    assert_eq!(table.columns[0].name, "b", "wrong for these rows, as was asked for");
}

/// What the server says that it has, and does not send, is waited for, and then said.
#[tokio::test]
async fn a_scan_that_does_not_reach_its_place_is_a_transient_error() {
    let Some(server) = harness::servers::private_mysql(&[]) else { return };
    let mut source = server.database("not_sent").await;
    let mut asking = Asking::of(&server).await;
    let place = |at: &EventPlace, more: u64| Place {
        file: std::sync::Arc::clone(&at.file),
        offset: at.offset + more,
    };
    let begin = end(&mut asking.session).await;
    run(&mut source, "CREATE TABLE t (a INT, b INT)").await;
    let now = end(&mut asking.session).await;
    let (begin, beyond) = (place(&begin, 0), place(&now, 1 << 20));
    let from = From { begin: &begin, lo: &beyond, is_settled: true };
    let mut model = schema(Adopt::Never);
    let error = model.survey(&mut asking.origin(), from, |_, _| true).await.unwrap_err();
    assert!(matches!(error, Error::NotSent { .. }), "{error}");
    for place in [&place(&now, 0), &beyond] {
        assert!(error.to_string().contains(&place.to_string()), "{place}: {error}");
    }
    let lo = place(&now, 0);
    let from = From { lo: &lo, ..from };
    model.survey(&mut asking.origin(), from, |_, _| true).await.unwrap();
}

#[tokio::test]
async fn a_table_that_was_dropped_or_is_another_stops_with_the_reason() {
    let Some(server) = harness::servers::mysql() else { return };
    let mut source = server.database("schema_resolve_gone").await;
    let mut asking = Asking::of(server).await;
    run(&mut source, "CREATE TABLE t (a INT, b INT)").await;
    let place = end(&mut asking.session).await;

    let rows = map("schema_resolve_gone", 3);
    let error =
        schema(Adopt::Never).resolve(&mut asking.origin(), &rows, &place).await.unwrap_err();
    assert!(error.to_string().contains("2 columns, the rows have 3"), "{error}");

    run(&mut source, "DROP TABLE t").await;
    let rows = map("schema_resolve_gone", 2);
    let error =
        schema(Adopt::Never).resolve(&mut asking.origin(), &rows, &place).await.unwrap_err();
    assert!(error.to_string().contains("no such table"), "{error}");
}
