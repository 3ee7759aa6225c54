//! Definitions read from the server, each between two readings of the source's end.
//!
//! In: a query session. Out: what `information_schema` says of columns, primary keys and
//! default character sets, with the places `lo` and `hi`; and, for rows older than that,
//! the statements between two places of the binlog, by a scan of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::binlog::{AlterPhase, EventHeader, EventType, GtidEvent, Query};
use crate::change::TableName;
use crate::mysql::{self, Row, Scan, Session, probe, quote};

use super::model::{ColumnDefinition, Definition};
use super::{Origin, Place};

/// Databases of the server's own; their tables are read when rows of them come.
const SYSTEM: &str = "'mysql','information_schema','performance_schema','sys'";

/// Where the source's binlog ends now.
pub(crate) async fn end(session: &mut Session) -> Result<Option<Place>, mysql::Error> {
    let place = probe::binlog_place(session).await?;
    Ok(place.map(|(file, offset)| Place { file, offset }))
}

/// The databases, each with its default character set.
pub(crate) async fn databases(
    session: &mut Session,
) -> Result<BTreeMap<String, Option<String>>, mysql::Error> {
    let rows = session
        .query(&format!(
            "SELECT schema_name AS name, default_character_set_name AS charset \
             FROM information_schema.schemata WHERE schema_name NOT IN ({SYSTEM})"
        ))
        .await?;
    let charset = |row: &Row| row.text("charset").map(canonical);
    Ok(rows.iter().filter_map(|row| Some((row.text("name")?.to_owned(), charset(row)))).collect())
}

/// The tables of a database, or one of them.
pub(crate) async fn tables(
    session: &mut Session,
    schema: &str,
    table: Option<&str>,
) -> Result<HashMap<TableName, Definition>, mysql::Error> {
    let mut which = format!("table_schema = {}", quote(schema));
    if let Some(table) = table {
        which = format!("{which} AND table_name = {}", quote(table));
    }
    let mut found = HashMap::new();
    let name = |row: &Row| Some(TableName::new(schema, row.text("t")?));
    let rows = session
        .query(&format!(
            "SELECT table_name AS t, table_collation AS c, table_type AS k \
             FROM information_schema.tables \
             WHERE {which} AND table_type NOT LIKE '%VIEW'"
        ))
        .await?;
    for row in &rows {
        let charset = row.text("c").and_then(|collation| collation.split('_').next());
        let definition = Definition {
            charset: charset.map(canonical),
            versioned: row.text("k") == Some("SYSTEM VERSIONED"),
            ..Definition::default()
        };
        found.extend(name(row).map(|name| (name, definition)));
    }
    // MySQL before 5.7.6 and MariaDB before 10.2.5 do not have it, nor tables that want it.
    let versioned = found.values().any(|definition| definition.versioned);
    let generated = if versioned { "generation_expression" } else { "NULL" };
    let rows = session
        .query(&format!(
            "SELECT table_name AS t, column_name AS n, column_type AS y, character_set_name AS c, \
             {generated} AS g FROM information_schema.columns \
             WHERE {which} ORDER BY table_name, ordinal_position"
        ))
        .await?;
    for row in &rows {
        let Some(definition) = name(row).and_then(|name| found.get_mut(&name)) else { continue };
        // MariaDB shows the columns of its system versioning that the statement named.
        definition.versioned &= row.text("g") != Some("ROW START");
        if let (Some(name), Some(mysql_type)) = (row.text("n"), row.text("y")) {
            definition.columns.push(ColumnDefinition {
                name: name.to_owned(),
                mysql_type: mysql_type.to_owned(),
                // MariaDB names the set of an ENUM of bytes, MySQL does not.
                charset: row.text("c").filter(|charset| *charset != "binary").map(canonical),
            });
        }
    }
    let rows = session
        .query(&format!(
            "SELECT table_name AS t, column_name AS n FROM information_schema.statistics \
             WHERE {which} AND index_name = 'PRIMARY' ORDER BY table_name, seq_in_index"
        ))
        .await?;
    for row in &rows {
        let Some(definition) = name(row).and_then(|name| found.get_mut(&name)) else { continue };
        definition.primary_key.extend(row.text("n").map(str::to_owned));
    }
    Ok(found)
}

/// Passes each statement of the binlog from `from` up to `to` to `each`, with its place, but
/// for the BEGIN of transactions: a long backlog has millions. Does not wait for more.
///
/// What is inside compressed transactions is passed over: the server compresses rows only. So
/// are the phases of an ALTER TABLE in which it takes no effect.
pub(crate) async fn statements(
    origin: &Origin<'_>,
    from: &Place,
    to: &Place,
    mut each: impl FnMut(Place, &EventHeader, &Query<'_>),
) -> Result<(), mysql::Error> {
    let (file, offset) = (Arc::clone(&from.file), from.offset);
    let mut scan = Scan::open(origin.endpoint, origin.replica, file, offset).await?;
    let mut has_effect = true;
    while let Some(event) = scan.next().await? {
        let place = Place::from(&event.place);
        if place >= *to {
            break;
        }
        let kind = event.header.event_type;
        if kind == EventType::MariaDbGtid {
            let gtid = GtidEvent::parse(&event.header, &event.body).ok();
            let alter = gtid.and_then(|gtid| gtid.flags.alter);
            has_effect = !matches!(alter, Some(AlterPhase::Start | AlterPhase::Rollback));
        }
        if place < *from || !matches!(kind, EventType::Query | EventType::QueryCompressed) {
            continue;
        }
        let query = Query::parse(kind, &event.body).map_err(|source| mysql::Error::Event {
            file: Arc::clone(&place.file),
            offset: place.offset,
            source,
        })?;
        if query.text != "BEGIN" && has_effect {
            each(place, &event.header, &query);
        }
    }
    Ok(())
}

fn canonical(charset: &str) -> String {
    if charset == "utf8" { "utf8mb3".to_owned() } else { charset.to_owned() }
}
