//! The heartbeat: a statement that is run on the server that is read, again and again
//! (`canal.instance.detecting.*`).
//!
//! A statement that writes a row leaves a mark in the binlog that every replica has too: without
//! GTIDs the place on another server is counted from it ([`super::trail`]). Always: a heartbeat
//! that does not work stops nothing by itself; only one that is told to (`heartbeatHaEnable`)
//! leads to another server, and only when the server does not answer. Nothing is written on a server
//! that replicates from another one: it would have what that lacks.

use std::time::Duration;

use super::{Error, Settings};
use crate::change::{Flavor, TableName};
use crate::mysql::{self, Session, probe};
use crate::schema::{self, Written};

/// What is run, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The statement.
    pub sql: String,
    /// The table that it writes to; `None` for one that only reads.
    pub table: Option<TableName>,
    /// The pause behind each.
    pub every: Duration,
    /// Whether to go to another server when the server does not answer it (`heartbeatHaEnable`).
    pub leaves: bool,
}

/// Why a statement is no heartbeat.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` neither only reads (as SELECT 1 does) nor names the table that it writes to with its database: write, \
     for example, INSERT INTO retl.xdual VALUES (1, NOW()) ON DUPLICATE KEY UPDATE x = NOW()"
)]
pub struct NoTable(String);

impl Heartbeat {
    /// A heartbeat of this statement.
    pub fn new(sql: &str, every: Duration, leaves: bool) -> Result<Self, NoTable> {
        let table = match schema::rows_written(sql) {
            Written::Nothing => None,
            Written::Rows(table) => Some(table),
            Written::Unknown => return Err(NoTable(sql.to_owned())),
        };
        Ok(Self { sql: sql.to_owned(), table, every, leaves })
    }
}

/// Runs the heartbeat for as long as the server is read; returns when another one has to be.
pub(super) async fn run(settings: &Settings) -> Error {
    let Some(heartbeat) = &settings.heartbeat else { return std::future::pending().await };
    let mut session = None;
    let mut said = String::new();
    let mut failed = 0;
    loop {
        match beat(settings, heartbeat, &mut session).await {
            Ok(()) => {
                failed = 0;
                said.clear();
            }
            Err(error) => {
                session = None;
                let reason = error.to_string();
                if reason != said {
                    tracing::warn!("the heartbeat (canal.instance.detecting.sql) fails: {reason}");
                }
                failed += 1;
                let leaves = heartbeat.leaves && !settings.failover.standbys.is_empty();
                if error.is_transient() && leaves && failed > settings.failover.tries {
                    return Error::Heartbeat {
                        address: settings.endpoint.address(),
                        failed,
                        reason,
                    };
                }
                said = reason;
            }
        }
        tokio::time::sleep(heartbeat.every).await;
    }
}

async fn beat(
    settings: &Settings,
    heartbeat: &Heartbeat,
    session: &mut Option<(Session, Flavor)>,
) -> Result<(), mysql::Error> {
    if session.is_none() {
        let mut new = Session::connect(&settings.endpoint).await?;
        let flavor = probe::flavor(&mut new).await?;
        *session = Some((new, flavor));
    }
    let Some((open, flavor)) = session else { return Ok(()) };
    let replicates = heartbeat.table.is_some() && probe::replicates(open, *flavor).await?;
    if !replicates {
        open.query(&heartbeat.sql).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_a_heartbeat_is_found_in_its_statement() {
        let of = |sql: &str| {
            let heartbeat = Heartbeat::new(sql, Duration::from_secs(3), false);
            heartbeat.map(|heartbeat| heartbeat.table.map(|table| table.to_string()))
        };
        for (sql, table) in [
            ("select 1", None),
            (
                "insert into retl.xdual values(1,now()) on duplicate key update x=now()",
                Some("retl.xdual"),
            ),
            ("REPLACE INTO `a`.`b`(id, at) VALUES (1, NOW(6))", Some("a.b")),
            ("insert ignore\n into a.b values (1)", Some("a.b")),
            ("update a.b set at = now(6)", Some("a.b")),
            ("/* ping */ SELECT 1", None),
            ("-- ping\n(select 1)", None),
            ("DO 1", None),
            ("SHOW STATUS LIKE 'Uptime'", None),
            ("/* beat */ insert retl.xdual values (1)", Some("retl.xdual")),
            ("INSERT INTO `re.tl` . `x``y` /* into a.b */ VALUES (1)", Some("re.tl.x`y")),
            ("insert into# where\na.b values (1);", Some("a.b")),
        ] {
            assert_eq!(of(sql).unwrap(), table.map(str::to_owned), "{sql}");
        }
        for sql in [
            "",
            "insert into xdual values (1)",
            "update b set x = 1",
            "call a.b()",
            "FLUSH BINARY LOGS",
            "delete from a.b where id = 1",
            "create table a.b (id int)",
        ] {
            let said = of(sql).unwrap_err().to_string();
            assert!(said.contains("with its database"), "{sql}: {said}");
        }
    }
}
