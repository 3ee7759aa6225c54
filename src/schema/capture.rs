//! Definitions read from the server, each between two readings of the source's end.
//!
//! In: a query session. Out: what `information_schema` says of columns, primary keys and
//! default character sets, with the places `lo` and `hi`; and, for rows older than that,
//! the statements between two places of the binlog, by SHOW BINLOG EVENTS.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::change::TableName;
use crate::mysql::{self, Row, Session};

use super::Place;
use super::model::{ColumnDefinition, Definition};

/// Databases of the server's own; their tables are read when rows of them come.
const SYSTEM: &str = "'mysql','information_schema','performance_schema','sys'";

/// Events a page of SHOW BINLOG EVENTS; a page has to come within the session's limit.
const PAGE: usize = 5_000;

/// `ER_PARSE_ERROR`: MySQL since 8.4 for the old statement, MariaDB for the new one.
const ER_PARSE_ERROR: u16 = 1064;

/// Where the source's binlog ends now.
pub(crate) async fn end(session: &mut Session) -> Result<Option<Place>, mysql::Error> {
    let rows = match session.query("SHOW BINARY LOG STATUS").await {
        Err(error) if error.code() == Some(ER_PARSE_ERROR) => {
            session.query("SHOW MASTER STATUS").await?
        }
        other => other?,
    };
    Ok(rows.first().and_then(|row| {
        let file = Arc::from(row.text("File")?);
        Some(Place { file, offset: row.number("Position")? })
    }))
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
            "SELECT table_name AS t, table_collation AS c FROM information_schema.tables \
             WHERE {which} AND table_type NOT LIKE '%VIEW'"
        ))
        .await?;
    for row in &rows {
        let charset = row.text("c").and_then(|collation| collation.split('_').next());
        let definition = Definition { charset: charset.map(canonical), ..Definition::default() };
        found.extend(name(row).map(|name| (name, definition)));
    }
    let rows = session
        .query(&format!(
            "SELECT table_name AS t, column_name AS n, column_type AS y, character_set_name AS c \
             FROM information_schema.columns WHERE {which} ORDER BY table_name, ordinal_position"
        ))
        .await?;
    for row in &rows {
        let Some(definition) = name(row).and_then(|name| found.get_mut(&name)) else { continue };
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

/// A statement of the binlog, as SHOW BINLOG EVENTS prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) place: Place,
    /// The default database of its session.
    pub(crate) schema: String,
    pub(crate) text: String,
}

/// The statements of all QUERY events from `from` up to `to`, without the BEGIN of each
/// transaction: a long backlog has millions. Does not wait for more.
pub(crate) async fn statements(
    session: &mut Session,
    from: &Place,
    to: &Place,
) -> Result<Vec<Logged>, mysql::Error> {
    let mut found = Vec::new();
    let mut at = from.clone();
    let files = session.query("SHOW BINARY LOGS").await?;
    let files = files.iter().filter_map(|row| row.text("Log_name")).map(str::to_owned);
    for file in files.collect::<Vec<_>>() {
        let start = Place { file: Arc::from(file), offset: 4 };
        if start.file != at.file {
            if start < at || start > *to {
                continue;
            }
            at = start;
        }
        read_file(session, &mut at, to, &mut found).await?;
    }
    Ok(found)
}

/// Reads from `at` to the end of its file or to `to`.
async fn read_file(
    session: &mut Session,
    at: &mut Place,
    to: &Place,
    found: &mut Vec<Logged>,
) -> Result<(), mysql::Error> {
    while *at < *to {
        let page = session
            .query(&format!(
                "SHOW BINLOG EVENTS IN {} FROM {} LIMIT {PAGE}",
                quote(&at.file),
                at.offset
            ))
            .await?;
        for row in &page {
            let begin = Place { file: at.file.clone(), offset: row.number("Pos").unwrap_or(0) };
            if begin >= *to {
                return Ok(());
            }
            let is_query = row.text("Event_type").is_some_and(|kind| kind.starts_with("Query"));
            if let Some(info) = row.text("Info").filter(|_| is_query) {
                let (schema, text) = split_use(info);
                if text == "BEGIN" {
                    continue;
                }
                found.push(Logged { place: begin, schema, text: text.to_owned() });
            }
        }
        let end = page.last().and_then(|row| row.number("End_log_pos"));
        match end.filter(|end| page.len() == PAGE && *end > at.offset) {
            Some(end) => at.offset = end,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Takes ``use `db`; `` off a text.
fn split_use(info: &str) -> (String, &str) {
    let split = || {
        let rest = info.strip_prefix("use `")?;
        let mut end = 0;
        loop {
            end += rest.get(end..)?.find('`')?;
            if rest.get(end + 1..)?.starts_with('`') {
                end += 2;
                continue;
            }
            let text = rest.get(end + 1..)?.strip_prefix(';')?;
            return Some((rest.get(..end)?.replace("``", "`"), text.trim_start()));
        }
    };
    split().unwrap_or_else(|| (String::new(), info))
}

/// A string literal; the sessions that read metadata have `sql_mode=''`.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn canonical(charset: &str) -> String {
    if charset == "utf8" { "utf8mb3".to_owned() } else { charset.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_database_is_split_from_the_text() {
        let split = |info| split_use(info);
        assert_eq!(split("use `a``b`; DROP TABLE t"), ("a`b".to_owned(), "DROP TABLE t"));
        assert_eq!(split("use `a; DROP"), (String::new(), "use `a; DROP"));
        assert_eq!(split("BEGIN"), (String::new(), "BEGIN"));
    }
}
