//! What a server says of itself: who it is, how it is set up, where its binlog ends.
//!
//! Names of variables and statements changed over the years (MySQL 8.0.26, 8.2, 8.4, 9.0;
//! MariaDB 10.5), and forks differ: each is tried, and none is derived from a version.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Error, Row, Session, quote};
use crate::change::{FileName, Flavor, GtidSet, ServerVersion, TableName, Xid};

/// `ER_PARSE_ERROR`: the server does not know the statement.
const ER_PARSE_ERROR: u16 = 1064;

/// A server, as it presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Whose server.
    pub flavor: Flavor,
    /// `@@version`.
    pub version: String,
    /// `@@server_uuid`, or `server-id:<server_id>` where there is none (MariaDB).
    pub uuid: Arc<str>,
    variables: BTreeMap<String, String>,
}

/// A binlog file that the server still has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinlogFile {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
}

impl Probe {
    /// Asks the server.
    pub async fn read(session: &mut Session) -> Result<Self, Error> {
        let rows = session.query("SHOW GLOBAL VARIABLES").await?;
        let variables: BTreeMap<String, String> = rows
            .iter()
            .filter_map(|row| {
                // A value that is no UTF-8 decides nothing here.
                Some((row.text_at(0)?.to_lowercase(), row.text_at(1)?.to_owned()))
            })
            .collect();
        let version = variables.get("version").cloned().unwrap_or_default();
        let flavor = if version.contains("MariaDB") { Flavor::MariaDb } else { Flavor::MySql };
        let uuid = variables.get("server_uuid").filter(|uuid| !uuid.is_empty());
        let id = variables.get("server_id").map_or("0", String::as_str);
        let uuid =
            uuid.map_or_else(|| Arc::from(format!("server-id:{id}")), |u| Arc::from(u.as_str()));
        Ok(Self { flavor, version, uuid, variables })
    }

    /// A global variable; `None` if the server does not have it.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|value| value == "ON" || value == "1")
    }

    /// The version as executed comments have it: 90704 for 9.7.4.
    pub fn version_number(&self) -> u32 {
        ServerVersion::read(&self.version).number()
    }

    /// Whether every transaction gets a GTID, so that the executed set gives a place.
    pub fn has_gtids(&self) -> bool {
        match self.flavor {
            Flavor::MySql => self.variable("gtid_mode").is_some_and(|mode| mode == "ON"),
            Flavor::MariaDb => true,
        }
    }
}

/// The XA branches that are prepared; none if the account may not ask (MySQL from 8.0 on wants
/// `XA_RECOVER_ADMIN`), or the server does not say it.
pub(crate) async fn prepared_branches(session: &mut Session) -> Result<Option<Vec<Xid>>, Error> {
    let rows = match session.query("XA RECOVER").await {
        Ok(rows) => rows,
        Err(Error::Server { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let xid = |row: &Row| {
        let format: i64 = row.text_at(0)?.parse().ok()?;
        let gtrid: usize = row.text_at(1)?.parse().ok()?;
        let (gtrid, bqual) = row.bytes_at(3)?.split_at_checked(gtrid)?;
        let (gtrid, bqual) = (gtrid.to_vec(), bqual.to_vec());
        #[expect(clippy::cast_possible_truncation, reason = "the event has 32 bits of it")]
        Some(Xid { format: format as i32, gtrid, bqual })
    };
    Ok(rows.iter().map(xid).collect())
}

/// The file that is being written, and its length; `None` if the server writes no binlog.
pub(crate) async fn binlog_place(session: &mut Session) -> Result<Option<(FileName, u64)>, Error> {
    Ok(binlog_status(session).await?.first().and_then(place))
}

async fn binlog_status(session: &mut Session) -> Result<Vec<Row>, Error> {
    first_known(session, &["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"]).await
}

fn place(status: &Row) -> Option<(FileName, u64)> {
    Some((Arc::from(status.text("File")?), status.number("Position")?))
}

/// The server's clock, in milliseconds since 1970: no time zone takes part.
pub async fn clock(session: &mut Session) -> Result<i64, Error> {
    let rows = session
        .query("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000")
        .await?;
    Ok(rows.first().and_then(|row| row.text_at(0)?.parse().ok()).unwrap_or_default())
}

/// The binlog files, oldest first.
pub async fn binlog_files(session: &mut Session) -> Result<Vec<BinlogFile>, Error> {
    let rows = session.query("SHOW BINARY LOGS").await?;
    let files = rows.iter().filter_map(|row| {
        let size = row.text_at(1)?.parse().ok()?;
        Some(BinlogFile { name: row.text_at(0)?.to_owned(), size })
    });
    Ok(files.collect())
}

/// MySQL: what was executed, and what of it is in no binlog any more.
pub async fn executed_and_purged(
    session: &mut Session,
) -> Result<(Option<GtidSet>, Option<GtidSet>), Error> {
    let rows = session.query("SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged").await?;
    let set = |index| {
        let text = rows.first().and_then(|row| row.text_at(index))?;
        GtidSet::parse(Flavor::MySql, text).ok()
    };
    Ok((set(0), set(1)))
}

/// MySQL: since when `gtid_mode` has the value it has, by the server's clock in seconds since
/// 1970: since it was set, or else since the server started; `None` where it does not say (before
/// 8.0).
pub async fn gtid_mode_since(session: &mut Session) -> Result<Option<i64>, Error> {
    const ASK: &str = "SELECT CEILING(COALESCE(UNIX_TIMESTAMP(SET_TIME), 0)) \
         FROM performance_schema.variables_info WHERE VARIABLE_NAME = 'gtid_mode'";
    let set = match session.query(ASK).await {
        Ok(rows) => rows.first().and_then(|row| row.text_at(0)?.parse::<i64>().ok()),
        Err(error) if error.code().is_some() => None,
        Err(error) => return Err(error),
    };
    let Some(set) = set else { return Ok(None) };
    // What passes between the two answers makes the start later than it was, and no earlier.
    let rows = session.query("SHOW GLOBAL STATUS LIKE 'Uptime'").await?;
    let uptime = rows.first().and_then(|row| row.text_at(1)?.parse::<i64>().ok());
    let now = clock(session).await? / 1000;
    Ok(uptime.map(|uptime| set.max(now - uptime)))
}

/// MySQL: the GTIDs of transactions that are being committed, or made. With semi-synchronous
/// replication they are in the binlog, and sent, long before they count as executed; the server
/// itself adds them when it judges a replica (`Binlog_sender::check_start_file`,
/// sql/rpl_binlog_sender.cc).
pub async fn owned(session: &mut Session) -> Result<GtidSet, Error> {
    let rows = session.query("SELECT @@GLOBAL.gtid_owned").await?;
    Ok(owned_set(rows.first().and_then(|row| row.text_at(0)).unwrap_or_default()))
}

/// Reads `<uuid>:4#12:7#13,..`: behind each number is its thread.
fn owned_set(text: &str) -> GtidSet {
    let mut set = GtidSet::empty(Flavor::MySql);
    for of_server in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let numbers = of_server.split(':').map(|part| part.split('#').next().unwrap_or_default());
        let numbers = numbers.collect::<Vec<_>>().join(":");
        match GtidSet::parse(Flavor::MySql, &numbers) {
            Ok(owned) => set.union(&owned),
            Err(error) => tracing::debug!(of_server, "gtid_owned is not understood: {error}"),
        }
    }
    set
}

/// MySQL: waits until a set is executed; false if that takes longer than `limit`.
pub async fn waits_until_executed(
    session: &mut Session,
    set: &GtidSet,
    limit: Duration,
) -> Result<bool, Error> {
    let seconds = limit.as_secs();
    let ask = format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{set}', {seconds})");
    let rows = session.query(&ask).await?;
    Ok(rows.first().and_then(|row| row.text_at(0)) == Some("0"))
}

/// The account's grants, a line each.
pub async fn grants(session: &mut Session) -> Result<Vec<String>, Error> {
    let rows = session.query("SHOW GRANTS").await?;
    Ok(rows.iter().filter_map(|row| row.text_at(0).map(str::to_owned)).collect())
}

/// The replicas that the server knows, by server id, with their UUIDs where known.
pub async fn replicas(session: &mut Session) -> Result<Vec<(u32, String)>, Error> {
    let rows = first_known(session, &["SHOW REPLICAS", "SHOW SLAVE HOSTS"]).await?;
    let replicas = rows.iter().filter_map(|row| {
        let id = row.text("Server_Id").or_else(|| row.text("Server_id"))?.parse().ok()?;
        let uuid = row.text("Replica_UUID").or_else(|| row.text("Slave_UUID"));
        Some((id, uuid.unwrap_or_default().to_owned()))
    });
    Ok(replicas.collect())
}

/// Whose server the session is at.
pub async fn flavor(session: &mut Session) -> Result<Flavor, Error> {
    let rows = session.query("SELECT @@version").await?;
    let version = rows.first().and_then(|row| row.text_at(0)).unwrap_or_default();
    Ok(if version.contains("MariaDB") { Flavor::MariaDb } else { Flavor::MySql })
}

/// Whether the server replicates from another one now, or tries to: over any of its connections.
/// MariaDB names only the unnamed one by SHOW SLAVE STATUS, MySQL all of its channels.
pub async fn replicates(session: &mut Session, flavor: Flavor) -> Result<bool, Error> {
    let statements: &[&str] = match flavor {
        Flavor::MySql => &["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"],
        Flavor::MariaDb => &["SHOW ALL SLAVES STATUS", "SHOW SLAVE STATUS"],
    };
    let rows = first_known(session, statements).await?;
    let columns =
        ["Replica_IO_Running", "Replica_SQL_Running", "Slave_IO_Running", "Slave_SQL_Running"];
    let is_off = |text: &str| text.eq_ignore_ascii_case("no");
    Ok(rows
        .iter()
        .any(|row| columns.iter().filter_map(|column| row.text(column)).any(|text| !is_off(text))))
}

/// Those of the tables whose engine cannot roll back. A table that was dropped counts as one
/// that can.
pub async fn without_rollback(
    session: &mut Session,
    tables: impl IntoIterator<Item = TableName>,
) -> Result<Vec<TableName>, Error> {
    let mut kept = Vec::new();
    for name in tables {
        let rows = session
            .query(&format!(
                "SELECT e.TRANSACTIONS FROM information_schema.TABLES t \
                 JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE \
                 WHERE t.TABLE_SCHEMA = {} AND t.TABLE_NAME = {}",
                quote(&name.schema),
                quote(&name.table)
            ))
            .await?;
        if rows.first().and_then(|row| row.text_at(0)).is_some_and(|answer| answer != "YES") {
            kept.push(name);
        }
    }
    Ok(kept)
}

/// The answer to the first of the statements that the server knows.
async fn first_known(session: &mut Session, statements: &[&str]) -> Result<Vec<Row>, Error> {
    let mut last = None;
    for statement in statements {
        match session.query(statement).await {
            Err(error) if error.code() == Some(ER_PARSE_ERROR) => last = Some(error),
            other => return other,
        }
    }
    match last {
        Some(error) => Err(error),
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_left_out_of_what_is_owned() {
        const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        const B: &str = "c6d57bf5-c75f-11f1-8d47-0242ac120002";
        for (text, set) in [
            (String::new(), String::new()),
            (format!("{A}:4#12"), format!("{A}:4")),
            (format!("{A}:4#12:5#13:9#7,\n{B}:1#2"), format!("{A}:4-5:9,{B}:1")),
        ] {
            assert_eq!(owned_set(&text).to_string(), set, "{text}");
        }
    }
}
