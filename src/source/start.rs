//! Where a source begins, and whether it still can.
//!
//! The first of these that is there: the committed position; a Canal's `meta.dat`; the configured
//! begin; the server's current end. The second is in `start/cursor`. What was committed is checked
//! against the server before it is asked to dump: purged files, holes in its GTIDs, another server,
//! binlogs that were reset.

mod cursor;

use std::sync::Arc;
use std::time::Duration;

use super::scan::{self, Asked, Until, Walked};
use super::{Error, Left, Settings, errant, failover};
use crate::binlog::FIRST_EVENT;
use crate::change::{CountedSet, Executed, Flavor, GtidSet, MySqlPosition};
use crate::mysql::Session;
use crate::mysql::probe::{self, BinlogFile, Probe};
use crate::mysql::replica::DumpFrom;

/// How often a place is looked for that the server does not send yet, and the pause between.
const MOST_TRIES: u32 = 40;
const BETWEEN_TRIES: Duration = Duration::from_millis(250);
/// As often it is looked whether a server has executed what it has sent: 3 s in all.
const MOST_LOOKS: u32 = 12;

/// By how many seconds two answers of a server about its clock may differ: both are rounded.
const CLOCK_SLACK: i64 = 2;

/// How long statements may take from the binlog to be visible, before each is waited for.
const VISIBLE_WITHIN: Duration = Duration::from_secs(5);

/// The begin of an instance without a committed position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct First {
    pub(crate) position: MySqlPosition,
    /// A sentence for the log: which rule decided, and what it skips.
    pub(crate) note: String,
}

/// Applies the rules for a first start.
pub(crate) async fn first(
    settings: &Settings,
    session: &mut Session,
    probe: &Probe,
    meta_dat: Option<&Left>,
) -> Result<First, Error> {
    let finder = &mut Finder { settings, session, probe };
    if let Some(left) = meta_dat
        && let Some(first) = finder.left(left).await?
    {
        return Ok(first);
    }
    finder.at_configured().await
}

/// A place that somebody named without asking a server: whose it is, and what was executed
/// before it, is found out now.
pub(crate) async fn complete(
    settings: &Settings,
    session: &mut Session,
    probe: &Probe,
    position: MySqlPosition,
) -> Result<MySqlPosition, Error> {
    match position.gtid_set {
        Executed::Uncounted => {
            let finder = &mut Finder { settings, session, probe };
            finder.at(&position.file, position.offset).await
        }
        // The server had no GTIDs then, and has some now: what was executed before the place can be
        // counted, as at a start there.
        Executed::Absent if probe.has_gtids() && *probe.uuid == *position.server_uuid => {
            let finder = &mut Finder { settings, session, probe };
            match finder.at(&position.file, position.offset).await {
                Ok(counted) if [0, counted.file_created].contains(&position.file_created) => {
                    let MySqlPosition { gtid_set, .. } = counted;
                    Ok(MySqlPosition { gtid_set, ..position })
                }
                // That the file was purged, or is another one, is found out where it is asked for.
                // One with transactions that have none is not sent any more.
                Ok(_) | Err(Error::Start(_)) => {
                    tracing::warn!(%position, "the position has no GTID set, since the source had no \
                        GTIDs then, and none can be counted in its file: one is counted at a start in \
                        a later file, and until then neither canal.instance.gtidon nor a standby can be \
                        served");
                    Ok(position)
                }
                Err(error) => Err(error),
            }
        }
        Executed::Counted(_) | Executed::Absent => Ok(position),
    }
}

/// Where to look for a time.
enum FileAt {
    /// In this file, which was begun before it.
    Begun(String),
    /// All files were begun later; what was written at that time may be in none.
    Later { oldest: String },
}

struct Finder<'a> {
    settings: &'a Settings,
    session: &'a mut Session,
    probe: &'a Probe,
}

impl Finder<'_> {
    async fn at_configured(&mut self) -> Result<First, Error> {
        let start = &self.settings.start;
        let seconds = start.timestamp.filter(|millis| *millis > 0).map(|millis| millis / 1000);
        let seconds = seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
        let position = match (&start.gtid_set, &start.file, seconds) {
            (Some(set), _, _) if self.settings.by_gtid => self.behind(set.clone()),
            (_, Some(file), Some(seconds)) if start.offset.is_none_or(|offset| offset == 0) => {
                self.in_file(file, seconds).await?
            }
            (_, Some(file), _) => {
                let offset = start.offset.unwrap_or(FIRST_EVENT).max(FIRST_EVENT);
                self.at(file, offset).await?
            }
            (_, None, Some(seconds)) => self.at_time(seconds).await?,
            (_, None, None) => return self.at_end().await,
        };
        let note = format!("begins at {position}, as configured (canal.instance.master.*)");
        Ok(First { position, note })
    }

    async fn at_end(&mut self) -> Result<First, Error> {
        let position = end(self.settings, self.session, self.probe).await?;
        let note = format!(
            "begins at the source's current end, {position}: what was written before is not \
             published; to begin earlier set canal.instance.master.journal.name, or .timestamp, \
             before the first start"
        );
        Ok(First { position, note })
    }

    /// Behind a GTID set: the server will find the file.
    fn behind(&self, set: GtidSet) -> MySqlPosition {
        MySqlPosition {
            gtid_set: set.into(),
            by_gtid: true,
            server_uuid: Arc::clone(&self.probe.uuid),
            ..MySqlPosition::default()
        }
    }

    /// At a place that somebody named.
    async fn at(&mut self, file: &str, offset: u64) -> Result<MySqlPosition, Error> {
        let walked = self.boundary_at(file, offset).await?;
        Ok(self.position(file, walked))
    }

    async fn boundary_at(&mut self, file: &str, offset: u64) -> Result<Walked, Error> {
        let files = probe::binlog_files(self.session).await?;
        let Some(found) = files.iter().find(|found| found.name == file) else {
            return Err(Error::Start(format!(
                "the start position is in {file}, which the source does not have; it has {}",
                range(&files)
            )));
        };
        if found.size < offset {
            return Err(Error::Start(format!(
                "the start position {file}:{offset} is behind the end of the file, {}",
                found.size
            )));
        }
        let elsewhere = executed_elsewhere(self.session, self.probe).await?;
        let mut walked = self.walked_to(file, offset).await?;
        walked.add(elsewhere.as_ref());
        match walked.asked {
            Asked::Boundary => {}
            Asked::Inside => {
                return Err(Error::Start(format!(
                    "the start position {file}:{offset} is in the middle of a transaction; it \
                     begins at {}",
                    walked.offset
                )));
            }
            Asked::InEvent(next) => {
                return Err(Error::Start(format!(
                    "the start position {file}:{offset} is in the middle of an event; the next \
                     one begins at {next}"
                )));
            }
            Asked::Beyond => {
                return Err(Error::Start(format!(
                    "the start position {file}:{offset} cannot be read: the source sends the \
                     file to {} only",
                    walked.offset
                )));
            }
        }
        if offset <= FIRST_EVENT {
            walked.offset = offset;
        }
        Ok(walked)
    }

    /// Walks to a place in the file. What the server has just written it may send a little
    /// later (with `sync_binlog=1`, when it is synced), so this looks more than once.
    async fn walked_to(&mut self, file: &str, offset: u64) -> Result<Walked, Error> {
        let mut tries = 0;
        loop {
            let walked = scan::walk(self.settings, file, Until::Offset(offset)).await?;
            if walked.asked != Asked::Beyond || tries == MOST_TRIES {
                return Ok(walked);
            }
            tries += 1;
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
    }

    async fn in_file(&mut self, file: &str, seconds: u32) -> Result<MySqlPosition, Error> {
        let elsewhere = executed_elsewhere(self.session, self.probe).await?;
        let mut walked = scan::walk(self.settings, file, Until::Time(seconds)).await?;
        walked.add(elsewhere.as_ref());
        Ok(self.position(file, walked))
    }

    /// At the first transaction that is not before the time; the oldest one if all are later.
    async fn at_time(&mut self, seconds: u32) -> Result<MySqlPosition, Error> {
        let file = match self.file_at(seconds).await? {
            FileAt::Begun(name) => name,
            FileAt::Later { oldest } => {
                tracing::warn!(
                    file = oldest,
                    "the configured timestamp is before all binlogs of the source: begins at the \
                     oldest"
                );
                oldest
            }
        };
        self.in_file(&file, seconds).await
    }

    /// The last file that begins before the time: the first events of a few files cross the
    /// network.
    async fn file_at(&mut self, seconds: u32) -> Result<FileAt, Error> {
        let files = probe::binlog_files(self.session).await?;
        let Some(oldest) = files.first() else {
            return Err(Error::NoBinlog { address: self.settings.endpoint.address() });
        };
        // The number of files known to begin before the time, and of those not known not to.
        let (mut low, mut high) = (0, files.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let name = files.get(middle).map_or("", |file| file.name.as_str());
            let walked = scan::walk(self.settings, name, Until::Offset(FIRST_EVENT)).await?;
            if walked.created < seconds { low = middle + 1 } else { high = middle }
        }
        let file = low.checked_sub(1).and_then(|index| files.get(index));
        Ok(match file {
            Some(file) => FileAt::Begun(file.name.clone()),
            None => FileAt::Later { oldest: oldest.name.clone() },
        })
    }

    fn position(&self, file: &str, walked: Walked) -> MySqlPosition {
        paired(self.probe, file, walked)
    }
}

/// The current end of the source's binlog, with what was executed before it.
///
/// The walk may end before what the server calls the end: it does not send what is not synced
/// yet. That is a boundary too, and the set is the one of it.
pub(crate) async fn end(
    settings: &Settings,
    session: &mut Session,
    probe: &Probe,
) -> Result<MySqlPosition, Error> {
    // Asked first, so that it holds nothing from behind the end.
    let elsewhere = executed_elsewhere(session, probe).await?;
    let Some((file, offset)) = probe::binlog_place(session).await? else {
        return Err(Error::NoBinlog { address: settings.endpoint.address() });
    };
    let until = Until::Offset(if probe.has_gtids() { offset } else { FIRST_EVENT });
    let mut walked = scan::walk(settings, &file, until).await?;
    if !probe.has_gtids() {
        walked.offset = offset;
    }
    walked.add(elsewhere.as_ref());
    walked.time = 0;
    Ok(paired(probe, &file, walked))
}

/// Whether queries see all that the binlog has before `end`. MySQL since 8.0 shows what is
/// committed, which comes after the binlog; with GTIDs it says when it has come so far. The
/// others open the table, and so wait for the statement that changes it.
pub(crate) async fn is_visible(
    session: &mut Session,
    probe: &Probe,
    end: &MySqlPosition,
) -> Result<bool, Error> {
    const DICTIONARY_OF_ITS_OWN: u32 = 80_000;
    match (probe.flavor, end.gtid_set.counted()) {
        (Flavor::MariaDb, _) => Ok(true),
        (Flavor::MySql, _) if probe.version_number() < DICTIONARY_OF_ITS_OWN => Ok(true),
        (Flavor::MySql, None) => Ok(false),
        (Flavor::MySql, Some(set)) => {
            Ok(probe::waits_until_executed(session, &set.whole(), VISIBLE_WITHIN).await?)
        }
    }
}

/// What the server has executed that no file of its binlog has: that of a dump or clone that
/// it was made from (`gtid_purged` was set), or of a replica without `log_replica_updates`.
async fn executed_elsewhere(
    session: &mut Session,
    probe: &Probe,
) -> Result<Option<GtidSet>, Error> {
    match probe.flavor {
        Flavor::MySql if probe.has_gtids() => Ok(probe::executed_and_purged(session).await?.1),
        Flavor::MySql | Flavor::MariaDb => Ok(None),
    }
}

fn paired(probe: &Probe, file: &str, walked: Walked) -> MySqlPosition {
    MySqlPosition {
        file: Arc::from(file),
        offset: walked.offset,
        gtid_set: Executed::from(walked.gtid_set.filter(|_| probe.has_gtids())),
        server_uuid: Arc::clone(&probe.uuid),
        by_gtid: false,
        file_created: walked.created,
        event_time: walked.time,
        server_time: walked.server_time,
        lost: None,
        trail: None,
        prepared: None,
    }
}

/// How to ask for what comes behind `position`; or why this server cannot serve it.
pub(crate) async fn resume(
    settings: &Settings,
    session: &mut Session,
    probe: &Probe,
    position: &MySqlPosition,
) -> Result<DumpFrom, Error> {
    let same = *probe.uuid == *position.server_uuid;
    let by_gtid = (settings.by_gtid || position.by_gtid) && position.gtid_set.is_counted();
    let set = published_or_executed(settings, session, probe, position).await?;
    if by_gtid && let Some(set) = &set {
        check_gtids(settings, session, probe, set, !same).await?;
    }
    // By GTID a server begins at the newest file that begins within the set, and of what has no
    // GTID it says nothing. MariaDB gives one to everything. What was executed, and lies behind the
    // place, is left out where it comes (`reader/overlap`).
    if same
        && !position.file.is_empty()
        && !(by_gtid && probe.flavor == Flavor::MariaDb)
        && let Some(from) = by_file(settings, session, probe, position).await?
    {
        return Ok(from);
    }
    let Some(set) = set else {
        return Err(Error::OtherServer {
            position: Box::new(position.clone()),
            was: position.server_uuid.to_string(),
            is: probe.uuid.to_string(),
        });
    };
    if !by_gtid {
        check_gtids(settings, session, probe, &set, !same).await?;
    }
    Ok(DumpFrom::Gtid(set))
}

/// The set of a position, and with it what was accepted as lost and came after all, where the server
/// has purged it: it was published. What is still there is read (`reader/published`).
async fn published_or_executed(
    settings: &Settings,
    session: &mut Session,
    probe: &Probe,
    position: &MySqlPosition,
) -> Result<Option<GtidSet>, Error> {
    let mut set = position.gtid_set.counted().map(CountedSet::whole);
    let published = position.published().gtids.filter(|gtids| !gtids.is_empty());
    if let (Some(set), Some(published)) = (&mut set, published) {
        set.union(&failover::purged(settings, session, probe).await?.intersection(&published));
    }
    Ok(set)
}

/// How to ask the server of the position by its file; `None` where the GTIDs give the place better,
/// or alone, and nothing was written without.
async fn by_file(
    settings: &Settings,
    session: &mut Session,
    probe: &Probe,
    position: &MySqlPosition,
) -> Result<Option<DumpFrom>, Error> {
    let files = probe::binlog_files(session).await?;
    let (file, offset) = (Arc::clone(&position.file), position.offset);
    let at = Box::new(position.clone());
    match files.iter().find(|one| *one.name == *file) {
        Some(found) if found.size < offset => {
            Err(Error::Cut { file, size: found.size, position: at, oldest: oldest(&files) })
        }
        Some(_) if offset <= settings.dump_reach => Ok(Some(DumpFrom::File { file, offset })),
        // By GTID the server finds the place. Else the file is read from its head.
        Some(_) if proves_gtids(session, probe, position).await? => Ok(None),
        Some(_) => {
            tracing::warn!(%position, "lies farther in its file than the server can be asked for: what comes before it is received once more, and left out");
            Ok(Some(DumpFrom::File { file, offset: FIRST_EVENT }))
        }
        None => {
            let Some(set) = position.gtid_set.counted() else {
                return Err(Error::Purged { file, position: at, has: range(&files) });
            };
            check_gtids(settings, session, probe, &set.whole(), false).await?;
            if !proves_gtids(session, probe, position).await? {
                return Err(Error::Unproved { file, position: at, oldest: oldest(&files) });
            }
            tracing::warn!(%position, "the file of the position was purged: asking by GTID");
            Ok(None)
        }
    }
}

/// Whether all that was written since the position has a GTID, so that its set shows what is
/// missing.
async fn proves_gtids(
    session: &mut Session,
    probe: &Probe,
    position: &MySqlPosition,
) -> Result<bool, Error> {
    if !position.gtid_set.is_counted() {
        return Ok(false);
    }
    Ok(match probe.flavor {
        Flavor::MariaDb => true,
        Flavor::MySql => {
            let Some(since) = probe::gtid_mode_since(session).await? else { return Ok(false) };
            let reached = match position.server_time {
                0 => unsaid_time(position, probe::clock(session).await? / 1000),
                said => i64::from(said),
            };
            probe.has_gtids() && since + CLOCK_SLACK < reached
        }
    })
}

/// When a position was reached that does not say when (builds before did not note it), at the
/// earliest; 0 if that is not known. What a session calls the time proves nothing (`SET timestamp`;
/// the head of a file has it too, if a session made the server begin one): it has to be said by
/// two, the one that began the file and the one that wrote last, and to have come by now.
fn unsaid_time(position: &MySqlPosition, now: i64) -> i64 {
    let said = i64::from(position.file_created.min(position.event_time));
    if i64::from(position.file_created.max(position.event_time)) <= now { said } else { 0 }
}

fn oldest(files: &[BinlogFile]) -> String {
    files.first().map_or_else(|| "none".to_owned(), |file| file.name.clone())
}

/// The server must have what we lack, and lack nothing that we have.
async fn check_gtids(
    settings: &Settings,
    session: &mut Session,
    probe: &Probe,
    ours: &GtidSet,
    is_other: bool,
) -> Result<(), Error> {
    let address = session.address().to_owned();
    if ours.flavor() != probe.flavor {
        return Err(Error::Behind { address, lost: ours.to_string() });
    }
    // A transaction is in the binlog, and sent, before it counts as executed.
    let mut tries = 0;
    loop {
        let mut executed = failover::executed(session, probe).await?;
        if !is_other && probe.flavor == Flavor::MySql {
            executed.union(&probe::owned(session).await?);
        }
        let forgotten = ours.domains_not_in(&executed);
        if !is_other && !executed.is_empty() && !forgotten.is_empty() {
            // FLUSH BINARY LOGS DELETE_DOMAIN_ID, once nothing of them is in its files.
            tracing::info!(%forgotten, "the source does not know these domains any more");
            executed.union(&forgotten);
        }
        if ours.is_subset_of(&executed) {
            if is_other {
                errant::report(&address, &probe.uuid, &executed, ours);
            }
            break;
        }
        if tries == MOST_LOOKS {
            let mut lost = ours.clone();
            lost.subtract(&executed);
            return Err(Error::Behind { address, lost: lost.to_string() });
        }
        tries += 1;
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
    let mut missing = failover::purged(settings, session, probe).await?;
    if !missing.is_subset_of(ours) {
        missing.subtract(ours);
        return Err(Error::GtidHole { missing: missing.to_string() });
    }
    Ok(())
}

fn range(files: &[BinlogFile]) -> String {
    match files {
        [] => "none".to_owned(),
        [only] => only.name.clone(),
        [first, .., last] => format!("{} to {}", first.name, last.name),
    }
}
