//! What must be true of the server and the account, each wrong thing as one sentence that
//! says what to do. Asked at every start, and by `sluice check`.
//!
//! Several of these variables can be changed for a session, so that a good answer proves
//! nothing for the events to come: the reader judges each of them again.

use super::{Error, Settings, failover};
use crate::change::{Flavor, MySqlPosition, ServerZone};
use crate::mysql::probe::{self, Probe};
use crate::mysql::{self, Session, Sight};
use crate::schema::is_of_the_server;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot work.
    Error,
    /// It can, with less.
    Warning,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What, and what to do.
    pub text: String,
}

/// All that is to be said of the server, from the settings alone.
pub async fn check(settings: &Settings) -> Result<Vec<Finding>, Error> {
    let mut session = Session::connect(&settings.endpoint).await?;
    let probe = Probe::read(&mut session).await?;
    let mut findings = look(&mut session, &probe, settings).await?;
    // A running instance says of which it has the changes.
    let prepared = probe::prepared_branches(&mut session).await?.unwrap_or_default();
    if !prepared.is_empty() {
        let xids: Vec<String> = prepared.iter().map(ToString::to_string).collect();
        findings.push(warning(format!(
            "XA branches are prepared ({}): of those that were prepared before an instance begins, \
             what they changed is looked for in the binlogs when they are committed; keep these \
             until then",
            xids.join("; ")
        )));
    }
    session.close().await;
    Ok(findings)
}

/// The server's own time zone, where values are written in it.
pub async fn zone(settings: &Settings) -> Result<Option<ServerZone>, Error> {
    if !settings.asks_zone {
        return Ok(None);
    }
    let mut session = Session::connect(&settings.endpoint).await?;
    let probe = Probe::read(&mut session).await?;
    let zone = mysql::server_zone(&mut session, &probe).await?;
    session.close().await;
    Ok(Some(zone))
}

/// Fails where a server that was read runs without its binlog, and says that it did so.
pub(crate) fn require_binlog(
    probe: &Probe,
    settings: &Settings,
    position: &MySqlPosition,
) -> Result<(), Error> {
    let address = settings.endpoint.address();
    let has_binlog = probe.is_on("log_bin");
    let had_none = settings.remembered.has_binlog(&address, has_binlog);
    if !has_binlog {
        return Err(Error::WithoutBinlog { address, position: Box::new(position.clone()) });
    }
    if had_none {
        tracing::error!(address, %position, "THE SOURCE RAN WITHOUT A BINLOG, and has one again: what it \
            wrote in between is in no binlog and is not published; if something was, copy the tables \
            that it concerns another way");
    }
    Ok(())
}

/// Hands over the tables that the source has now and that the filter includes, of so many that it
/// has at most; all if none.
pub async fn tables(
    settings: &Settings,
    most: Option<usize>,
    mut each: impl FnMut(&str, &str) + Send,
) -> Result<(), Error> {
    let limit = most.map(|most| format!(" LIMIT {most}")).unwrap_or_default();
    let ask = format!(
        "SELECT table_schema AS s, table_name AS t FROM information_schema.tables \
         WHERE table_type NOT LIKE '%VIEW'{limit}"
    );
    let mut session = Session::connect(&settings.endpoint).await?;
    let take = |row: &mysql::Row| {
        let (Some(schema), Some(table)) = (row.text("s"), row.text("t")) else { return };
        if !is_of_the_server(schema) && settings.filter.includes(schema, table) {
            each(schema, table);
        }
    };
    session.stream(&ask, take).await?;
    session.close().await;
    Ok(())
}

/// Fails with all errors at once; else what there is to be warned of.
pub(crate) async fn require(
    session: &mut Session,
    probe: &Probe,
    settings: &Settings,
) -> Result<Vec<String>, Error> {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for finding in look(session, probe, settings).await? {
        match finding.severity {
            Severity::Error => errors.push(finding.text),
            Severity::Warning => warnings.push(finding.text),
        }
    }
    if errors.is_empty() { Ok(warnings) } else { Err(Error::Requirements(errors)) }
}

async fn look(
    session: &mut Session,
    probe: &Probe,
    settings: &Settings,
) -> Result<Vec<Finding>, Error> {
    let mut found = variables(probe, settings);
    found.extend(failover::cannot_fail_over(probe, settings).map(warning));
    let grants = probe::grants(session).await?;
    found.extend(missing_grants(&grants, &settings.endpoint.user));
    if settings.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.table.is_some())
        && let Err(error) = probe::replicates(session, probe.flavor).await
    {
        found.push(warning(blind_heartbeat(probe, &settings.endpoint.user, &error)));
    }
    found.extend(unseen(&Sight::ask(session).await?, settings));
    // Needs REPLICATION SLAVE; who lacks it has been warned.
    if let Ok(replicas) = probe::replicas(session).await {
        found.extend(clash(&replicas, settings));
    }
    Ok(found)
}

/// A heartbeat that writes is run only where the server is seen to replicate from no other.
fn blind_heartbeat(probe: &Probe, user: &str, error: &mysql::Error) -> String {
    // MariaDB 10.5 split it off.
    let grant = match probe.flavor {
        Flavor::MariaDb if probe.version_number() >= 100_500 => "SLAVE MONITOR",
        Flavor::MariaDb | Flavor::MySql => "REPLICATION CLIENT",
    };
    format!(
        "the heartbeat (canal.instance.detecting.sql) is not written, since the account `{user}` may \
         not ask whether the source replicates from another server ({error}): GRANT {grant} ON *.* \
         TO '{user}'@'%'"
    )
}

fn error(text: String) -> Finding {
    Finding { severity: Severity::Error, text }
}

fn warning(text: String) -> Finding {
    Finding { severity: Severity::Warning, text }
}

/// A value that the settings do not want, as Canal refuses it. What the server does not have
/// cannot be wrong.
fn not_accepted(key: &str, accepted: &[String], variable: &str, value: &str) -> Option<Finding> {
    let is_wanted =
        accepted.is_empty() || accepted.iter().any(|one| one.eq_ignore_ascii_case(value));
    (!value.is_empty() && !is_wanted).then(|| {
        error(format!(
            "{variable} is {value} on the source, and {key} accepts {} only: change the one or \
             the other",
            accepted.join(", ")
        ))
    })
}

fn variables(probe: &Probe, settings: &Settings) -> Vec<Finding> {
    let mut found = Vec::new();
    let value = |name: &str| probe.variable(name).unwrap_or_default().to_owned();
    if !probe.is_on("log_bin") {
        found.push(error(
            "the source writes no binlog: set log_bin there and restart it".to_owned(),
        ));
        return found;
    }
    let format = value("binlog_format");
    if !format.is_empty() && format != "ROW" {
        let treatment = if settings.statements.dml_stops {
            "stops the instance (sluice.statement=stop)"
        } else if settings.statements.dml {
            "is published as its text, without rows"
        } else {
            "is not published (canal.instance.filter.query.dml)"
        };
        found.push(warning(format!(
            "binlog_format is {format} on the source: what it writes as statements has no rows, \
             and {treatment}; SET GLOBAL binlog_format = 'ROW' there, and in its configuration \
             file; sessions that are open keep the old one until they reconnect"
        )));
    }
    let accepted = &settings.accepted;
    found.extend(not_accepted(
        "canal.instance.binlog.format",
        &accepted.formats,
        "binlog_format",
        &format,
    ));
    let image = value("binlog_row_image");
    found.extend(not_accepted(
        "canal.instance.binlog.image",
        &accepted.images,
        "binlog_row_image",
        &image,
    ));
    let server_id = value("server_id");
    if server_id == "0" {
        found.push(error("server_id is 0 on the source: set it to another number".to_owned()));
    }
    if server_id == settings.replica.server_id.to_string() {
        found.push(error(format!(
            "our server id {server_id} is the source's own: set canal.instance.mysql.slaveId to \
             another"
        )));
    }
    let has_whole_images = image.is_empty() || image == "FULL";
    if value("binlog_row_value_options").contains("PARTIAL_JSON") && !has_whole_images {
        found.push(error(format!(
            "binlog_row_value_options has PARTIAL_JSON on the source and binlog_row_image is \
             {image}: a part of a document cannot be made whole without what was before; SET GLOBAL \
             binlog_row_image = 'FULL' there"
        )));
    } else if !has_whole_images {
        found.push(warning(format!(
            "binlog_row_image is {image} on the source: messages lack the columns that the images \
             lack"
        )));
    }
    if probe.variable("binlog_row_metadata").is_some_and(|metadata| metadata != "FULL") {
        found.push(warning(
            "binlog_row_metadata is not FULL on the source: rows older than a table's known \
             definition may stop the instance; SET GLOBAL binlog_row_metadata = 'FULL' there"
                .to_owned(),
        ));
    }
    if settings.by_gtid && !probe.has_gtids() {
        found.push(error(
            "canal.instance.gtidon is true, but gtid_mode is not ON on the source".to_owned(),
        ));
    }
    found
}

/// What the grants must hold. An account with roles cannot be judged by them.
fn missing_grants(grants: &[String], user: &str) -> Vec<Finding> {
    let grants: Vec<String> = grants.iter().map(|grant| grant.to_uppercase()).collect();
    let has_roles = grants.iter().any(|grant| !grant.contains(" ON "));
    let privileges = |grant: &String| {
        let listed = grant.strip_prefix("GRANT ").unwrap_or(grant);
        listed.split(" ON ").next().unwrap_or_default().to_owned()
    };
    let everywhere = |names: &[&str]| {
        grants.iter().filter(|grant| grant.contains(" ON *.* ")).any(|grant| {
            let listed = privileges(grant);
            names.iter().chain(&["ALL PRIVILEGES"]).any(|name| has(&listed, name))
        })
    };
    let mut missing = Vec::new();
    if !everywhere(&["REPLICATION SLAVE"]) {
        missing.push("REPLICATION SLAVE");
    }
    // MariaDB 10.5 renamed it.
    if !everywhere(&["REPLICATION CLIENT", "BINLOG MONITOR", "SUPER"]) {
        missing.push("REPLICATION CLIENT");
    }
    let reads = grants.iter().any(|grant| {
        let listed = privileges(grant);
        has(&listed, "SELECT") || has(&listed, "ALL PRIVILEGES")
    });
    if !reads {
        missing.push("SELECT");
    }
    if missing.is_empty() {
        return Vec::new();
    }
    let missing = missing.join(", ");
    let text =
        format!("the account `{user}` lacks {missing}: GRANT {missing} ON *.* TO '{user}'@'%'");
    vec![if has_roles {
        warning(format!("{text} (unless a role of it has them)"))
    } else {
        error(text)
    }]
}

/// Tables that the filter takes in, and the server does not show to the account.
fn unseen(sight: &Sight, settings: &Settings) -> Option<Finding> {
    if sight.has_all() {
        return None;
    }
    let which = match settings.filter.schemas() {
        None => "every table that canal.instance.filter.regex takes in".to_owned(),
        Some(schemas) => {
            let unseen: Vec<&str> =
                schemas.iter().map(String::as_str).filter(|name| !sight.has_all_of(name)).collect();
            if unseen.is_empty() {
                return None;
            }
            format!("every table of {}", unseen.join(", "))
        }
    };
    let seen: Vec<&str> = sight.databases().collect();
    let seen = match &*seen {
        [] => "its grants are on single tables".to_owned(),
        names => format!("its grants show it those of {}", names.join(", ")),
    };
    let user = &settings.endpoint.user;
    Some(warning(format!(
        "the account `{user}` does not see {which} ({seen}): rows of a table that it does not see \
         stop the instance, unless binlog_row_metadata is FULL or the binlog has its CREATE TABLE; \
         GRANT SELECT ON *.* TO '{user}'@'%', or set canal.instance.filter.regex to what it sees"
    )))
}

/// Whether a list of privileges holds one; column lists of others do not confuse it.
fn has(listed: &str, name: &str) -> bool {
    listed.split(',').any(|privilege| privilege.trim() == name)
}

/// Two replicas of one server id: MySQL lets both live, others throw the older one out.
fn clash(replicas: &[(u32, String)], settings: &Settings) -> Option<Finding> {
    let ours = &settings.replica;
    let other = replicas.iter().find(|(id, uuid)| {
        *id == ours.server_id && !uuid.is_empty() && !uuid.eq_ignore_ascii_case(&ours.uuid)
    })?;
    Some(warning(format!(
        "another replica of the source has our server id {} (uuid {}): set \
         canal.instance.mysql.slaveId to a number of its own",
        other.0, other.1
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(grants: &[&str]) -> Vec<Finding> {
        let grants: Vec<String> = grants.iter().map(|&grant| grant.to_owned()).collect();
        missing_grants(&grants, "canal")
    }

    #[test]
    fn canals_documented_grants_are_enough() {
        let grant = "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `canal`@`%`";
        assert_eq!(texts(&[grant]), []);
        assert_eq!(texts(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION"]), []);
        // MariaDB 10.5 and later.
        let grant = "GRANT SELECT, REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `canal`@`%`";
        assert_eq!(texts(&[grant]), []);
    }

    #[test]
    fn each_missing_grant_is_named_with_the_statement_that_gives_it() {
        let found =
            texts(&["GRANT USAGE ON *.* TO `canal`@`%`", "GRANT SELECT ON `a`.* TO `canal`@`%`"]);
        assert_eq!(
            found[0].text,
            "the account `canal` lacks REPLICATION SLAVE, REPLICATION CLIENT: \
             GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'canal'@'%'"
        );
        assert_eq!(found[0].severity, Severity::Error);
    }

    #[test]
    fn what_a_role_may_grant_is_no_error() {
        let found = texts(&["GRANT USAGE ON *.* TO `canal`@`%`", "GRANT `r`@`%` TO `canal`@`%`"]);
        assert_eq!(found[0].severity, Severity::Warning);
    }
}
