//! Waits until a server shows what is committed up to a place.
//!
//! The binlog has a transaction before a query sees it, so a place that was read does not say what
//! is seen. MySQL with GTIDs says what is: `gtid_executed` grows behind the commit
//! (`MYSQL_BIN_LOG::process_commit_stage_queue`, sql/binlog.cc). MariaDB gives a snapshot with its
//! place (`START TRANSACTION WITH CONSISTENT SNAPSHOT`, `binlog_snapshot_*`). Else rows are read with
//! locks: whoever has them in the binlog and has not committed yet, still holds them.

use std::time::Duration;

use crate::change::{Executed, Flavor, GtidSet, MySqlPosition};
use crate::mysql::Session;
use crate::mysql::probe::{self, Probe};
use crate::schema::Place;
use crate::source::Error;

/// How long one question waits.
const WAIT: Duration = Duration::from_secs(2);
/// The pause before another snapshot is looked at.
const PAUSE: Duration = Duration::from_millis(5);

/// How rows are to be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// As they are: each query shows all up to the place.
    Always,
    /// Within the transaction that was begun.
    InTransaction,
    /// With locks.
    Locked,
}

impl Shown {
    pub(super) fn locks(self) -> bool {
        matches!(self, Self::Locked)
    }
}

/// Waits until `place` is shown. Not cancel safe: dropped half-way, the session is broken.
pub(super) async fn wait(
    session: &mut Session,
    probe: &Probe,
    place: &MySqlPosition,
) -> Result<Shown, Error> {
    match (probe.flavor, executed(place)) {
        (Flavor::MySql, Some(set)) if probe.has_gtids() => {
            while !probe::waits_until_executed(session, &set, WAIT).await? {}
            Ok(Shown::Always)
        }
        // Of what has no GTID the set says nothing.
        (Flavor::MySql, Some(_) | None) => Ok(Shown::Locked),
        (Flavor::MariaDb, _) => {
            let wanted = Place { file: place.file.clone(), offset: place.offset };
            loop {
                session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
                match snapshot_place(session).await? {
                    Some(shown) if shown >= wanted => return Ok(Shown::InTransaction),
                    Some(_) => session.run("ROLLBACK").await?,
                    None => {
                        session.run("ROLLBACK").await?;
                        return Err(Error::Broken(
                            "the server does not say the place of a snapshot \
                             (binlog_snapshot_file)"
                                .to_owned(),
                        ));
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Ends what [`wait`] began; where the binlog ends by now.
pub(super) async fn end(session: &mut Session, shown: Shown) -> Result<Option<Place>, Error> {
    match shown {
        Shown::InTransaction => session.run("ROLLBACK").await?,
        Shown::Always | Shown::Locked => {}
    }
    let end = probe::binlog_place(session).await?;
    Ok(end.map(|(file, offset)| Place { file, offset }))
}

/// What was executed up to a place, and can be waited for: what was accepted as lost never is.
fn executed(place: &MySqlPosition) -> Option<GtidSet> {
    let mut set = match &place.gtid_set {
        Executed::Counted(set) => set.whole(),
        Executed::Absent | Executed::Uncounted => return None,
    };
    if let Some(lost) = &place.lost {
        set.subtract(&lost.gtids);
    }
    Some(set)
}

async fn snapshot_place(session: &mut Session) -> Result<Option<Place>, Error> {
    let rows = session.query("SHOW STATUS LIKE 'binlog\\_snapshot\\_%'").await?;
    let value = |name: &str| {
        let row = rows
            .iter()
            .find(|row| row.text_at(0).is_some_and(|text| text.eq_ignore_ascii_case(name)));
        row.and_then(|row| row.text_at(1))
    };
    let offset = value("Binlog_snapshot_position").and_then(|text| text.parse().ok());
    let file = value("Binlog_snapshot_file").filter(|file| !file.is_empty());
    Ok(file.zip(offset).map(|(file, offset)| Place { file: file.into(), offset }))
}
