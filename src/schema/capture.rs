//! Definitions read from the server, each between two readings of the source's end.
//!
//! In: a query session. Out: what `information_schema` says of columns, primary keys and
//! default character sets, of some tables at a time; and, for rows older than that, the
//! statements between two places of the binlog, by a scan of it.
//!
//! What holds: a statement that is in the binlog before `lo` is in what was read. MySQL's
//! `information_schema` alone does not give that: since 8.0 it shows what is committed, and
//! waits for no lock, while a statement is in the binlog before it is committed
//! (`MYSQL_BIN_LOG::ordered_commit`, `sql/binlog.cc`). But it holds the metadata lock of its
//! table all the time: who waits for that lock, as SHOW CREATE TABLE does, sees it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::binlog::{AlterPhase, EventHeader, EventType, GtidEvent, Query};
use crate::change::TableName;
use crate::mysql::{self, Row, Scan, Session, identifier, probe, quote};

use super::ddl::{Dialect, canonical};
use super::model::{ColumnDefinition, Counter, Definition};
use super::{Error, Origin, Place};

/// Databases of the server's own; their tables are read when rows of them come.
const OF_THE_SERVER: [&str; 4] = ["mysql", "information_schema", "performance_schema", "sys"];

/// `ER_LOCK_WAIT_TIMEOUT`: somebody holds the lock for longer than a session here waits.
const ER_LOCK_WAIT_TIMEOUT: u16 = 1205;

/// `ER_TABLEACCESS_DENIED_ERROR`
const ER_TABLEACCESS_DENIED: u16 = 1142;

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
        .query(
            "SELECT schema_name AS name, default_character_set_name AS charset \
             FROM information_schema.schemata",
        )
        .await?;
    let charset = |row: &Row| row.text("charset").map(canonical);
    Ok(rows.iter().filter_map(|row| Some((row.text("name")?.to_owned(), charset(row)))).collect())
}

/// Whether its tables are read only when rows of them come.
pub(crate) fn is_of_the_server(database: &str) -> bool {
    OF_THE_SERVER.iter().any(|name| name.eq_ignore_ascii_case(database))
}

/// The names of a database's tables that are `wanted`, by name.
pub(crate) async fn names(
    session: &mut Session,
    schema: &str,
    wanted: impl Fn(&TableName) -> bool,
) -> Result<Vec<Box<str>>, mysql::Error> {
    let mut found = Vec::new();
    let ask = format!(
        "SELECT table_name AS t FROM information_schema.tables WHERE table_schema = {}",
        quote(schema)
    );
    let take = |row: &Row| {
        let name = row.text("t").map(|table| TableName::new(schema, table));
        found.extend(name.filter(&wanted).map(|name| Box::from(&*name.table)));
    };
    session.stream(&ask, take).await?;
    found.sort_unstable();
    Ok(found)
}

/// Waits until no statement is changing the table: what the binlog had of it before is
/// visible then. Error 1205 if that takes longer than [`Session`]s wait for a lock.
pub(crate) async fn settle(session: &mut Session, name: &TableName) -> Result<(), mysql::Error> {
    let of = format!("{}.{}", identifier(&name.schema), identifier(&name.table));
    locked(session.run(&format!("SHOW CREATE TABLE {of}")).await)
}

/// The same of a database's own settings.
pub(crate) async fn settle_database(session: &mut Session, name: &str) -> Result<(), mysql::Error> {
    locked(session.run(&format!("SHOW CREATE DATABASE {}", identifier(name))).await)
}

/// Whether the lock was had. That there is no such thing, or none that this account may see,
/// is an answer too: `information_schema` does not show it either.
fn locked(answer: Result<(), mysql::Error>) -> Result<(), mysql::Error> {
    match answer {
        Err(error @ mysql::Error::Server { .. }) if error.is_transient() => Err(error),
        Err(mysql::Error::Server { .. }) => Ok(()),
        other => other,
    }
}

/// [`settle`], and whether the table is shown as a whole: servers refuse SHOW CREATE TABLE to an
/// account that has privileges on some of its columns only, and `information_schema` shows it no
/// others, without a word (`mysqld_show_create`, sql/sql_show.cc; MariaDB: the same).
pub(crate) async fn settle_whole(
    session: &mut Session,
    name: &TableName,
) -> Result<bool, mysql::Error> {
    let of = format!("{}.{}", identifier(&name.schema), identifier(&name.table));
    let answer = session.run(&format!("SHOW CREATE TABLE {of}")).await;
    let is_refused = matches!(&answer, Err(error) if error.code() == Some(ER_TABLEACCESS_DENIED));
    locked(answer)?;
    Ok(!is_refused)
}

/// Whether a lock could not be had in time.
pub(crate) fn is_busy(error: &mysql::Error) -> bool {
    error.code() == Some(ER_LOCK_WAIT_TIMEOUT)
}

/// One table as the server shows it, between two readings of the source's end.
#[derive(Debug)]
pub(crate) struct Shown {
    /// `None` if it is not there, or is not shown.
    pub(crate) definition: Option<Definition>,
    /// Whether the account sees all of its columns.
    pub(crate) is_whole: bool,
    pub(crate) lo: Place,
    pub(crate) hi: Place,
}

/// Reads one table, with all that the binlog has of it up to `lo`.
pub(crate) async fn shown(
    session: &mut Session,
    name: &TableName,
    dialect: &Dialect,
) -> Result<Shown, Error> {
    let lo = end(session).await?.ok_or(Error::NoBinlog)?;
    let is_whole = settle_whole(session, name).await?;
    let table = [Box::from(&*name.table)];
    let found = tables(session, &name.schema, &table, dialect).await?;
    let hi = end(session).await?.ok_or(Error::NoBinlog)?;
    Ok(Shown { definition: found.into_values().next(), is_whole, lo, hi })
}

/// Some tables of a database. What is not found is not there, or was locked for too long. Whether
/// they have partitions MariaDB finds out by opening them, at 4 ms each: only MySQL wants to know.
/// What other unique keys they have matters of MariaDB only.
pub(crate) async fn tables(
    session: &mut Session,
    schema: &str,
    names: &[Box<str>],
    dialect: &Dialect,
) -> Result<HashMap<TableName, Definition>, mysql::Error> {
    let which = match names {
        // MariaDB goes to the table directly only for `=`.
        [name] => format!("table_schema = {} AND table_name = {}", quote(schema), quote(name)),
        names => {
            let list: Vec<_> = names.iter().map(|name| quote(name)).collect();
            format!("table_schema = {} AND table_name IN ({})", quote(schema), list.join(","))
        }
    };
    let mut asked = Asked { session, schema: Arc::from(schema), which, found: HashMap::new() };
    asked.tables(dialect).await?;
    asked.columns().await?;
    asked.keys(dialect).await?;
    // A table that was made or locked between the three readings.
    asked.found.retain(|_, definition| !definition.columns.is_empty());
    Ok(asked.found)
}

/// Tables of a database that are read from `information_schema`, in three readings.
struct Asked<'a> {
    session: &'a mut Session,
    schema: Arc<str>,
    /// The condition that selects them.
    which: String,
    found: HashMap<TableName, Definition>,
}

impl Asked<'_> {
    async fn tables(&mut self, dialect: &Dialect) -> Result<(), mysql::Error> {
        let Self { session, schema, which, found } = self;
        let options = if dialect.generates_keys() { ", create_options AS o" } else { "" };
        let ask = format!(
            "SELECT table_name AS t, table_collation AS c, table_type AS k, engine AS e\
             {options} FROM information_schema.tables WHERE {which} AND table_type NOT LIKE '%VIEW'"
        );
        let take = |row: &Row| {
            let charset = row.text("c").and_then(|collation| collation.split('_').next());
            let definition = Definition {
                charset: charset.map(canonical),
                versioned: row.text("k") == Some("SYSTEM VERSIONED"),
                engine: row.text("e").map(str::to_lowercase),
                partitioned: row.text("o").is_some_and(|options| options.contains("partitioned")),
                ..Definition::default()
            };
            found.extend(named(schema, row).map(|name| (name, definition)));
        };
        session.stream(&ask, take).await
    }

    async fn columns(&mut self) -> Result<(), mysql::Error> {
        let Self { session, schema, which, found } = self;
        // MySQL before 5.7.6 and MariaDB before 10.2.5 do not have it, nor tables that want it.
        let is_versioned = found.values().any(|definition| definition.versioned);
        let generated = if is_versioned { ", generation_expression AS g" } else { "" };
        let ask = format!(
            "SELECT table_name AS t, column_name AS n, column_type AS y, character_set_name AS c, \
             extra AS x\
             {generated} FROM information_schema.columns WHERE {which} \
             ORDER BY table_name, ordinal_position"
        );
        let take = |row: &Row| {
            let name = named(schema, row);
            let Some(definition) = name.and_then(|name| found.get_mut(&name)) else { return };
            // MariaDB shows the columns of its system versioning that the statement named.
            definition.versioned &= row.text("g") != Some("ROW START");
            if let (Some(name), Some(mysql_type)) = (row.text("n"), row.text("y")) {
                definition.columns.push(ColumnDefinition {
                    name: name.to_owned(),
                    mysql_type: mysql_type.to_owned(),
                    // MariaDB names the set of an ENUM of bytes, MySQL does not.
                    charset: row.text("c").filter(|charset| *charset != "binary").map(canonical),
                    unsettled: false,
                    counter: row.text("x").and_then(counter),
                });
            }
        };
        session.stream(&ask, take).await
    }

    async fn keys(&mut self, dialect: &Dialect) -> Result<(), mysql::Error> {
        let Self { session, schema, which, found } = self;
        let keys = if dialect.is_mariadb() { "non_unique = 0" } else { "index_name = 'PRIMARY'" };
        let ask = format!(
            "SELECT table_name AS t, column_name AS n, index_name = 'PRIMARY' AS p, \
             seq_in_index AS s FROM information_schema.statistics \
             WHERE {which} AND {keys} ORDER BY table_name, seq_in_index"
        );
        let take = |row: &Row| {
            let name = named(schema, row);
            let Some(definition) = name.and_then(|name| found.get_mut(&name)) else { return };
            if row.number("p") == Some(1) {
                definition.primary_key.extend(row.text("n").map(str::to_owned));
            } else if row.number("s") == Some(1) {
                definition.uniques += 1;
            }
        };
        session.stream(&ask, take).await
    }
}

/// The table that a row is about.
fn named(schema: &Arc<str>, row: &Row) -> Option<TableName> {
    Some(TableName::new(Arc::clone(schema), row.text("t")?))
}

/// Hands each statement of the binlog from `from` up to `to` to `each`, with its place, but
/// for the BEGIN of transactions: a long backlog has millions. Does not wait for more.
///
/// What is inside compressed transactions is left out: the server compresses rows only. So are
/// the phases of an ALTER TABLE in which it takes no effect.
///
/// How far it came: not to `to` if the server does not send that far yet.
pub(crate) async fn statements(
    origin: &Origin<'_>,
    from: &Place,
    to: &Place,
    mut each: impl FnMut(Place, &EventHeader, &Query<'_>),
) -> Result<Place, mysql::Error> {
    let mut reached = from.clone();
    let (file, offset) = (Arc::clone(&from.file), from.offset);
    let mut scan = Scan::open(origin.endpoint, origin.replica, file, offset).await?;
    let mut has_effect = true;
    while let Some(event) = scan.next().await? {
        let place = Place::from(&event.place);
        if place >= *to {
            return Ok(to.clone());
        }
        let behind = place.offset + u64::from(event.header.event_size);
        reached = reached.max(Place { file: Arc::clone(&place.file), offset: behind });
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
    Ok(reached.min(to.clone()))
}

/// Which of these names are views.
pub(crate) async fn views(
    session: &mut Session,
    schema: &str,
    names: &[Box<str>],
) -> Result<HashSet<Box<str>>, mysql::Error> {
    let list: Vec<_> = names.iter().map(|name| quote(name)).collect();
    let rows = session
        .query(&format!(
            "SELECT table_name AS t FROM information_schema.views \
             WHERE table_schema = {} AND table_name IN ({})",
            quote(schema),
            list.join(",")
        ))
        .await?;
    Ok(rows.iter().filter_map(|row| row.text("t")).map(Box::from).collect())
}

/// The default character set that a database has now; `None` if it is not there.
pub(crate) async fn database_charset(
    session: &mut Session,
    schema: &str,
) -> Result<Option<String>, mysql::Error> {
    let rows = session
        .query(&format!(
            "SELECT default_character_set_name AS charset FROM information_schema.schemata \
             WHERE schema_name = {}",
            quote(schema)
        ))
        .await?;
    Ok(rows.first().and_then(|row| row.text("charset")).map(canonical))
}

/// What `information_schema.columns.extra` says of `AUTO_INCREMENT` and visibility.
fn counter(extra: &str) -> Option<Counter> {
    let extra = extra.to_lowercase();
    let kind = if extra.contains("invisible") { Counter::Invisible } else { Counter::Visible };
    extra.contains("auto_increment").then_some(kind)
}
