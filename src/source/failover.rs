//! Which of an instance's servers is read, from one session to the next.
//!
//! In: how each session ended. Out: the server of the next one, or that none is left. Always: a
//! server that lacks what was published is never read; another server is failed over to only by
//! GTID, after what it has was compared with what we have.
//!
//! ```text
//! does not answer ─ tries used up ─▶ the next server
//! cannot serve the position ───────▶ the next server, at once
//! no server left, one lacks what we published ─▶ stop, or go on without it
//! no server left, one may come back ─▶ the round begins anew
//! no server left ─▶ the ordinary reaction to the last error
//! ```

use std::sync::Arc;

use crate::binlog::FIRST_EVENT;
use crate::change::{CountedSet, Executed, Flavor, GtidSet, Loss, MySqlPosition};
use crate::mysql::probe::{self, Probe};
use crate::mysql::{Endpoint, Session};

use super::scan::{self, Until};
use super::{Error, Settings, StartAt};

/// A server that has, or will have, what the others have.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its address, and the account there.
    pub endpoint: Endpoint,
    /// Where to begin on it when nothing is committed.
    pub start: StartAt,
}

/// What leads to another server.
#[derive(Clone, Debug)]
pub struct Failover {
    /// The servers to go to, in this order; the first one is in [`Settings`] itself.
    pub standbys: Vec<Server>,
    /// As many tries may fail in a row before another server is asked
    /// (`canal.instance.detecting.retry.threshold`).
    pub tries: u32,
    /// Whether to go on without what the servers left have lost (`sluice.failover.lost`). Of a
    /// session: whether its server's loss is accepted.
    pub accept_lost: bool,
}

impl Failover {
    /// Whether there is another server.
    pub fn has_standbys(&self) -> bool {
        !self.standbys.is_empty()
    }
}

impl Default for Failover {
    fn default() -> Self {
        Self { standbys: Vec::new(), tries: 3, accept_lost: false }
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct Servers {
    settings: Vec<Settings>,
    current: usize,
    /// Tries that failed since there was progress, or since the server was chosen.
    failed: u32,
    /// Why each of them was left since there was progress.
    left: Vec<Option<Left>>,
    /// What the last round showed to be lost, and how often in a row.
    lost: Option<(String, u32)>,
    /// Whether a loss is accepted without asking.
    accepts: bool,
    /// Whether the server to begin at was chosen.
    chosen: bool,
}

#[derive(Clone, Debug)]
enum Left {
    Silent,
    Unusable,
    /// It lacks these, and whether they are GTIDs.
    Behind(String, bool),
}

/// What follows the failure of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// What the error itself leads to.
    AsEver,
    /// Another server is asked.
    Other {
        /// Its address.
        address: String,
    },
    /// None can be read, but one may come back: the round begins anew.
    Again,
    /// Only servers are left that lack what was published.
    Lost {
        /// What that server lacks.
        lost: String,
        /// Its address.
        address: String,
        /// Whether GTIDs show what it lacks: only then the instance can go on without.
        by_gtid: bool,
    },
}

/// A server may still be applying what it has received: as often the same has to be lacking.
const ROUNDS: u32 = 3;

impl Servers {
    /// Begins at the first.
    pub fn new(settings: &Settings) -> Self {
        let first = Server { endpoint: settings.endpoint.clone(), start: settings.start.clone() };
        let servers: Vec<_> =
            std::iter::once(&first).chain(&settings.failover.standbys).cloned().collect();
        let accepts = settings.failover.accept_lost;
        let settings: Vec<_> =
            (0..servers.len()).map(|index| of_one(settings, &servers, index)).collect();
        let left = vec![None; settings.len()];
        Self { settings, current: 0, failed: 0, left, lost: None, accepts, chosen: false }
    }

    /// The settings of each.
    pub fn all(&self) -> &[Settings] {
        &self.settings
    }

    /// Which of them is asked.
    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// The settings of the server to ask.
    pub fn settings(&self) -> &Settings {
        // `current` counts within them.
        &self.settings[self.current]
    }

    /// Begins at the server that a position is of, if that answers: it has what was published, and
    /// the first one, which was left for some reason, may lack it. Once in the life of a process:
    /// later the failures say where to go.
    pub async fn choose(&mut self, position: Option<&MySqlPosition>) {
        let of = position.map(|position| &position.server_uuid).filter(|uuid| !uuid.is_empty());
        if std::mem::replace(&mut self.chosen, true) || self.settings.len() == 1 {
            return;
        }
        let Some(uuid) = of else { return };
        for (index, settings) in self.settings.iter().enumerate() {
            match server_uuid(&settings.endpoint).await {
                Ok(found) if found == *uuid => {
                    self.current = index;
                    return;
                }
                Ok(_) => {}
                Err(error) => tracing::info!("a server that may be continued at: {error}"),
            }
        }
    }

    /// Something became durable, so the server is well.
    pub fn progressed(&mut self) {
        self.failed = 0;
        self.left.fill(None);
        self.lost = None;
        for one in &mut self.settings {
            one.failover.accept_lost = false;
        }
    }

    /// A session ended by an error.
    pub fn failed(&mut self, error: &Error) -> Next {
        let Some(left) = left(error) else { return Next::AsEver };
        self.failed += 1;
        // The heartbeat has had its tries.
        let tries = if matches!(error, Error::Heartbeat { .. }) { 0 } else { self.tries() };
        let patient = matches!(left, Left::Silent) && self.failed <= tries;
        // A server alone is left by nobody; but it may be that it lacks what was published.
        let alone = self.settings.len() == 1;
        if patient || alone && !matches!(left, Left::Behind(..)) {
            return Next::AsEver;
        }
        self.leave(left)
    }

    fn tries(&self) -> u32 {
        self.settings().failover.tries
    }

    fn leave(&mut self, why: Left) -> Next {
        if let Some(left) = self.left.get_mut(self.current) {
            *left = Some(why);
        }
        self.failed = 0;
        let count = self.settings.len();
        let order = (1..count).map(|step| (self.current + step) % count);
        let untried =
            order.clone().find(|index| self.left.get(*index).is_some_and(Option::is_none));
        if let Some(next) = untried {
            self.current = next;
            return Next::Other { address: self.settings().endpoint.address() };
        }
        self.round()
    }

    /// Each was left: begin with them anew, unless what they lack does not come any more.
    fn round(&mut self) -> Next {
        let behind = self.left.iter().enumerate().find_map(|(index, left)| match left {
            Some(Left::Behind(lacking, by_gtid)) => Some((index, lacking.clone(), *by_gtid)),
            Some(Left::Silent | Left::Unusable) | None => None,
        });
        let may_come_back = self.left.iter().flatten().any(|left| matches!(left, Left::Silent));
        self.left.fill(None);
        let Some((index, lacking, by_gtid)) = behind else {
            self.lost = None;
            self.current = (self.current + 1) % self.settings.len();
            return if may_come_back { Next::Again } else { Next::AsEver };
        };
        let times = match self.lost.take() {
            Some((before, times)) if before == lacking => times + 1,
            _ => 1,
        };
        if times < ROUNDS {
            self.lost = Some((lacking, times));
            self.current = (self.current + 1) % self.settings.len();
            return Next::Again;
        }
        self.current = index;
        if self.accepts
            && by_gtid
            && let Some(settings) = self.settings.get_mut(index)
        {
            settings.failover.accept_lost = true;
            return Next::Again;
        }
        Next::Lost { lost: lacking, address: self.settings().endpoint.address(), by_gtid }
    }
}

/// The server that answers there, as positions name it.
pub(super) async fn server_uuid(endpoint: &Endpoint) -> Result<Arc<str>, Error> {
    let mut session = Session::connect(endpoint).await?;
    let probe = Probe::read(&mut session).await?;
    session.close().await;
    Ok(probe.uuid)
}

/// The settings of one of the servers: all others are standbys of it.
fn of_one(settings: &Settings, servers: &[Server], index: usize) -> Settings {
    let mut standbys = servers.to_vec();
    let Server { endpoint, start } = standbys.remove(index);
    let failover = Failover { standbys, accept_lost: false, ..settings.failover.clone() };
    Settings { endpoint, start, failover, ..settings.clone() }
}

/// Whether an error is the server's, so that another one may do better.
fn left(error: &Error) -> Option<Left> {
    match error {
        Error::Behind { lost, .. } => Some(Left::Behind(lost.clone(), true)),
        Error::Lacks { lacking, .. } => Some(Left::Behind(lacking.clone(), false)),
        Error::Heartbeat { .. } => Some(Left::Silent),
        Error::Mysql(error) if error.is_transient() => Some(Left::Silent),
        Error::Mysql(_)
        | Error::NoBinlog { .. }
        | Error::WithoutBinlog { .. }
        | Error::Purged { .. }
        | Error::Unproved { .. }
        | Error::Cut { .. }
        | Error::GtidHole { .. }
        | Error::OtherServer { .. }
        | Error::NoPlace { .. }
        | Error::Reset { .. }
        | Error::Refused { .. }
        | Error::Doubtful { .. }
        | Error::Requirements(_) => Some(Left::Unusable),
        Error::Schema { .. }
        | Error::Capture(_)
        | Error::Event { .. }
        | Error::Rows { .. }
        | Error::SameId { .. }
        | Error::ZoneChanged { .. }
        | Error::Broken(_)
        | Error::Unsupported { .. }
        | Error::Statement { .. }
        | Error::UnknownBranch { .. }
        | Error::Start(_)
        | Error::MetaDat { .. }
        | Error::Copied { .. }
        | Error::Closed => None,
    }
}

/// Where to go on at a server that lacks what was published: behind what both have.
pub async fn without_lost(
    endpoint: &Endpoint,
    position: &MySqlPosition,
) -> Result<MySqlPosition, Error> {
    let mut session = Session::connect(endpoint).await?;
    let probe = Probe::read(&mut session).await?;
    let executed = executed(&mut session, &probe).await?;
    session.close().await;
    let Some(ours) = position.gtid_set.counted() else {
        return Err(Error::OtherServer {
            position: Box::new(position.clone()),
            was: position.server_uuid.to_string(),
            is: probe.uuid.to_string(),
        });
    };
    Ok(behind_both(position, &ours.whole(), &executed, &probe))
}

/// The same, where the server lacks something and that was accepted beforehand
/// (`sluice.failover.lost=accept`); said loudly.
pub(super) async fn accepted(
    session: &mut Session,
    probe: &Probe,
    position: &MySqlPosition,
) -> Result<Option<MySqlPosition>, Error> {
    let Some(ours) = position.gtid_set.counted().map(CountedSet::whole) else { return Ok(None) };
    if *position.server_uuid == *probe.uuid || ours.flavor() != probe.flavor {
        return Ok(None);
    }
    let executed = executed(session, probe).await?;
    if ours.is_subset_of(&executed) {
        return Ok(None);
    }
    let new = behind_both(position, &ours, &executed, probe);
    let lost = new.lost.as_ref().map(|lost| lost.gtids.to_string()).unwrap_or_default();
    tracing::error!(
        lost,
        server = session.address(),
        "TRANSACTIONS THAT WERE PUBLISHED ARE LOST on the server that is failed over to \
         (sluice.failover.lost=accept)"
    );
    Ok(Some(new))
}

fn behind_both(
    position: &MySqlPosition,
    ours: &GtidSet,
    executed: &GtidSet,
    probe: &Probe,
) -> MySqlPosition {
    let kept = ours.intersection(executed);
    let mut gtids = ours.clone();
    gtids.subtract(executed);
    if let Some(before) = &position.lost {
        gtids.union(&before.gtids);
    }
    let lost = Loss::new(gtids, probe.uuid.clone(), &kept, position.lost.as_deref());
    MySqlPosition {
        gtid_set: Executed::from(kept),
        by_gtid: true,
        server_uuid: probe.uuid.clone(),
        event_time: position.event_time,
        lost: Some(Box::new(lost)),
        ..MySqlPosition::default()
    }
}

/// What a server has executed.
pub(super) async fn executed(session: &mut Session, probe: &Probe) -> Result<GtidSet, Error> {
    let set = match probe.flavor {
        Flavor::MySql => probe::executed_and_purged(session).await?.0,
        Flavor::MariaDb => {
            let rows = session.query("SELECT @@GLOBAL.gtid_binlog_pos").await?;
            let text = rows.first().and_then(|row| row.text_at(0)).unwrap_or_default();
            GtidSet::parse(probe.flavor, text).ok()
        }
    };
    Ok(set.unwrap_or_else(|| GtidSet::empty(probe.flavor)))
}

/// What of a server keeps a failover to it, or from it, from working; where there is another.
pub(super) fn cannot_fail_over(probe: &Probe, settings: &Settings) -> Option<String> {
    if settings.failover.standbys.is_empty() {
        return None;
    }
    let written = ["log_replica_updates", "log_slave_updates"];
    if !probe.has_gtids() {
        if settings.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.table.is_some()) {
            return None;
        }
        return Some(
            "gtid_mode is not ON, and no heartbeat writes to the binlog: without either no place \
             is found on another server, and a standby is of no use; set \
             canal.instance.detecting.enable=true, and canal.instance.detecting.sql to a \
             statement that writes a row"
                .to_owned(),
        );
    }
    let off = |name: &&str| probe.variable(name) == Some("OFF");
    written.into_iter().find(off).map(|name| {
        format!("{name} is OFF: what it replicates is not in its binlog, and cannot be read of it")
    })
}

/// What of that is in no binlog of it any more.
pub(super) async fn purged(
    settings: &Settings,
    session: &mut Session,
    probe: &Probe,
) -> Result<GtidSet, Error> {
    let set = match probe.flavor {
        Flavor::MySql => probe::executed_and_purged(session).await?.1,
        Flavor::MariaDb => match probe::binlog_files(session).await?.first() {
            // The file begins with what was executed before it.
            Some(oldest) => {
                scan::walk(settings, &oldest.name, Until::Offset(FIRST_EVENT)).await?.gtid_set
            }
            None => None,
        },
    };
    Ok(set.unwrap_or_else(|| GtidSet::empty(probe.flavor)))
}

#[cfg(test)]
mod tests;
