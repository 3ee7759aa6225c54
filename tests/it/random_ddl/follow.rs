//! A server's binlog, fed to a model as the source feeds it, and what the server itself says of
//! its tables.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sluice::binlog::{ChecksumAlgorithm, EventHeader, EventType, HEADER_LENGTH, Query, Rotate};
use sluice::change::{self, EventPlace, TableName};
use sluice::mysql::replica::{DumpFrom, Incoming, Replica, ReplicaSettings};
use sluice::mysql::{Endpoint, Row, Session};
use sluice::schema::{
    ColumnDefinition, Counter, Definition, From, Origin, Place, Schema, Statement,
};

/// Statements of a binlog from one place on.
pub(crate) struct Feed {
    endpoint: Endpoint,
    first: Place,
    place: Place,
    /// The last statements fed, to be reported.
    pub(crate) recent: std::collections::VecDeque<String>,
    /// Statements that were read and not fed yet.
    ahead: Vec<(Place, EventHeader, Vec<u8>)>,
}

impl Feed {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        let place = Place { file: "".into(), offset: 0 };
        Self {
            endpoint,
            first: place.clone(),
            place,
            recent: std::collections::VecDeque::new(),
            ahead: Vec::new(),
        }
    }

    pub(crate) fn begin(&mut self, place: Place) {
        self.first = place.clone();
        self.place = place;
    }

    /// From the first place on again.
    pub(crate) fn again(&self) -> Self {
        let mut again = Self::new(self.endpoint.clone());
        again.begin(self.first.clone());
        again
    }

    /// Behind the last statement fed.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) async fn feed_all(&mut self, model: &mut Schema) {
        for (place, _, body) in self.read().await {
            let query = Query::parse(EventType::Query, &body).unwrap();
            self.recent.push_back(format!("{} {}", query.error_code, query.text));
            if self.recent.len() > 8 {
                self.recent.pop_front();
            }
            feed(model, &place, &body);
        }
    }

    pub(crate) async fn up_to(&mut self, model: &mut Schema, end: &Place) {
        if self.ahead.is_empty() && self.place < *end {
            self.ahead = self.read().await;
        }
        let behind = self.ahead.iter().position(|(place, ..)| place >= end);
        let behind = behind.unwrap_or(self.ahead.len());
        for (place, _, body) in self.ahead.drain(..behind) {
            feed(model, &place, &body);
        }
    }

    /// Reads the tables as they are now for a model that begins where this began, as an
    /// instance does that is started behind.
    pub(crate) async fn survey(&self, model: &mut Schema, session: &mut Session, lo: &Place) {
        let replica = settings();
        let mut origin = Origin { session, endpoint: &self.endpoint, replica: &replica };
        let from = From { begin: &self.first, lo, is_settled: true };
        let mut survey = model.survey(&mut origin, from, |_, _| true).await.unwrap();
        while model.survey_page(origin.session, &mut survey).await.unwrap() {}
    }

    /// All statements up to the end of the binlog.
    async fn read(&mut self) -> Vec<(Place, EventHeader, Vec<u8>)> {
        let replica = Replica::connect(&self.endpoint, settings()).await.unwrap();
        let checksum =
            if replica.has_checksums() { ChecksumAlgorithm::Crc32 } else { ChecksumAlgorithm::Off };
        let from = DumpFrom::File { file: Arc::clone(&self.place.file), offset: self.place.offset };
        let mut dump = replica.scan(&from).await.unwrap();
        let mut found = Vec::new();
        let mut pieces: Option<Bytes> = None;
        loop {
            let event = match dump.next().await.unwrap() {
                Incoming::Event(event) => event,
                // Of a compressed transaction, which has rows only, the header says the end.
                Incoming::Piece { bytes, last } => {
                    let first = pieces.get_or_insert(bytes);
                    let header = EventHeader::parse(first).unwrap();
                    if last {
                        pieces = None;
                        self.place.offset = u64::from(header.log_pos);
                    }
                    continue;
                }
                Incoming::End => return found,
            };
            let header = EventHeader::parse(&event).unwrap();
            let whole = checksum.strip(&event).unwrap();
            let body = whole[HEADER_LENGTH..].to_vec();
            if header.event_type == EventType::Rotate {
                let file = Rotate::parse(&body).unwrap().file.into();
                if file != self.place.file {
                    self.place = Place { file, offset: 4 };
                }
                continue;
            }
            if header.log_pos == 0 || header.has(EventHeader::ARTIFICIAL) {
                continue;
            }
            let end = u64::from(header.log_pos);
            let begin = end - u64::from(header.event_size);
            if begin < self.place.offset {
                continue; // the format description, sent again
            }
            let place = Place { file: self.place.file.clone(), offset: begin };
            self.place.offset = end;
            if header.event_type == EventType::Query {
                found.push((place, header, body));
            }
        }
    }
}

/// Of a connection that only looks.
fn settings() -> ReplicaSettings {
    let patience = Duration::from_mins(1);
    ReplicaSettings {
        server_id: 0,
        uuid: String::new(),
        heartbeat: patience / 4,
        read_timeout: patience,
        first_event_timeout: patience,
    }
}

fn feed(model: &mut Schema, place: &Place, body: &[u8]) {
    let query = Query::parse(EventType::Query, body).unwrap();
    if matches!(&*query.text, "BEGIN" | "COMMIT") {
        return;
    }
    let place = &EventPlace { file: place.file.clone(), offset: place.offset, time: 0 };
    let applied = model.apply(&Statement {
        text: &query.text,
        schema: query.schema,
        sql_mode: query.status.sql_mode.unwrap_or(0),
        client: None,
        server_collation: query.status.server,
        version: None,
        ddl_xid: query.status.ddl_xid,
        error_code: query.error_code,
        place,
    });
    assert!(!applied.is_unknown, "{}", query.text);
}

/// The server as the source sees it.
pub(crate) async fn describe(session: &mut Session) -> sluice::schema::Server {
    let rows = session
        .query("SELECT @@version AS v, @@lower_case_table_names AS l, @@character_set_server AS c")
        .await
        .unwrap();
    let version = rows[0].text("v").unwrap();
    let numbers: Vec<u32> =
        version.split(['.', '-']).take(3).map(|part| part.parse().unwrap()).collect();
    sluice::schema::Server {
        flavor: if version.contains("MariaDB") {
            change::Flavor::MariaDb
        } else {
            change::Flavor::MySql
        },
        version: numbers[0] * 10_000 + numbers[1] * 100 + numbers[2],
        lower_case_table_names: rows[0].text("l").unwrap().parse().unwrap(),
        charset: rows[0].text("c").unwrap().to_owned(),
        utf8_is_unclear: false,
        uuid: "it".into(),
    }
}

/// All tables of the databases, as `information_schema` has them. (Without joins, of which
/// MariaDB 10.11 can die.)
pub(crate) async fn definitions(
    session: &mut Session,
    databases: &[&str],
) -> BTreeMap<TableName, Definition> {
    let quoted: Vec<String> = databases.iter().map(|name| format!("'{name}'")).collect();
    let here = format!("WHERE table_schema IN ({})", quoted.join(", "));
    let mut select = async |what: &str, of: &str, order: &str| {
        let statement = format!(
            "SELECT table_schema AS s, table_name AS t, {what} FROM information_schema.{of} \
             ORDER BY table_schema, table_name, {order}"
        );
        session.query(&statement).await.unwrap()
    };
    let mut found: BTreeMap<TableName, Definition> = BTreeMap::new();
    let name = |row: &Row| TableName::new(row.text("s").unwrap(), row.text("t").unwrap());
    let of = format!("tables {here} AND table_type NOT LIKE '%VIEW'");
    let what = "table_collation AS c, table_type AS k, engine AS e, create_options AS o";
    for row in select(what, &of, "1").await {
        // Of a table that it cannot open MariaDB says no more than the name.
        let Some(collation) = row.text("c") else { continue };
        let definition = Definition {
            charset: collation.split('_').next().map(newer_name),
            versioned: row.text("k") == Some("SYSTEM VERSIONED"),
            engine: row.text("e").map(str::to_lowercase),
            // (MySQL does not say it of PARTITION BY KEY ().)
            partitioned: row.text("o").unwrap_or_default().contains("partitioned"),
            ..Definition::default()
        };
        found.insert(name(&row), definition);
    }
    let of = format!("columns {here}");
    let what = "column_name AS n, column_type AS y, character_set_name AS c, extra AS x";
    for row in select(what, &of, "ordinal_position").await {
        let Some(definition) = found.get_mut(&name(&row)) else { continue };
        let extra = row.text("x").unwrap_or_default().to_lowercase();
        let counter =
            if extra.contains("invisible") { Counter::Invisible } else { Counter::Visible };
        definition.columns.push(ColumnDefinition {
            name: row.text("n").unwrap().to_owned(),
            mysql_type: row.text("y").unwrap().to_owned(),
            charset: row.text("c").filter(|charset| *charset != "binary").map(newer_name),
            unsettled: false,
            counter: extra.contains("auto_increment").then_some(counter),
        });
    }
    let of = format!("statistics {here} AND non_unique = 0");
    let what = "column_name AS n, index_name AS i, seq_in_index AS q";
    for row in select(what, &of, "seq_in_index").await {
        let Some(definition) = found.get_mut(&name(&row)) else { continue };
        if row.text("i") != Some("PRIMARY") {
            definition.uniques += u32::from(row.number("q") == Some(1));
        } else if let Some(column) = row.text("n") {
            definition.primary_key.push(column.to_owned());
        }
    }
    found
}

/// With as many unique keys as the model counts: of MariaDB at least those that are there, of
/// MySQL none.
pub(crate) fn with_uniques_of(
    found: &Definition,
    expected: Definition,
    is_mariadb: bool,
) -> Definition {
    let least = if is_mariadb { expected.uniques } else { 0 };
    assert!(found.uniques >= least && (is_mariadb || found.uniques == 0), "{least}: {found:?}");
    Definition { uniques: found.uniques, ..expected }
}

/// Servers before MySQL 8.0.30 and MariaDB 10.6 say `utf8`.
fn newer_name(charset: &str) -> String {
    if charset == "utf8" { "utf8mb3".to_owned() } else { charset.to_owned() }
}
