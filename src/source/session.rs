//! One source: prepared once, run as often as its connection is lost.
//!
//! In: settings, what was committed (position and schema history), and a channel. Out:
//! chunks of transactions under a generation. Always: a lost connection voids the open
//! transaction by an `Abort`, and the next run goes on behind the last transaction that was
//! handed over whole; the position never goes back.
//!
//! The reaction to an [`Error`] is the caller's: run again under a new generation, or stop.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::assemble::{Assembler, Hints};
use super::channel::Sender;
use super::held::{self, Held};
use super::progress::Progress;
use super::reader::overlap::Overlap;
use super::reader::sessions::Begun;
use super::reader::{Ended, Reader};
use super::snapshot::{self, Copies, Notes, Windows};
use super::trail::{self, Tracer};
use super::{
    Error, Left, NamedGtids, Parking, Settings, check, errant, failover, heartbeat, horizon, rest,
    scan, start,
};
use crate::binlog::Tracker;
use crate::change::{
    Chunk, ChunkEnd, CountedSet, FileName, Flavor, Generation, GtidSet, HeldBranch, MySqlPosition,
    ServerZone, StateRecord, TableName, TransactionHead,
};
use crate::clock;
use crate::config::SnapshotMode;
use crate::mysql;
use crate::mysql::Session;
use crate::mysql::probe::{self, Probe};
use crate::mysql::replica::{Dump, DumpFrom, Replica};
use crate::schema::{self, History, Origin, Place, Schema, Survey};

/// What the sink had committed, and what a Canal left behind.
#[derive(Debug, Default)]
pub struct Before {
    /// `None` at the first start.
    pub position: Option<MySqlPosition>,
    /// The schema history.
    pub history: History,
    /// How far tables are copied.
    pub copies: Copies,
    /// The XA branches that are held.
    pub held: Vec<HeldBranch>,
    /// The `meta.dat` of a Canal; used only without a position.
    pub meta_dat: Option<Left>,
}

/// What has to become durable before the first run.
#[derive(Debug)]
pub struct FirstAppend {
    /// Where the instance begins.
    pub position: MySqlPosition,
    /// That the source's tables are still to be read.
    pub state: Vec<StateRecord>,
    /// What was published and is lost from here on.
    pub lost: Option<GtidSet>,
}

/// A page of definitions, to be made durable with the position that is committed.
#[derive(Debug)]
pub struct Surveyed {
    /// Their records.
    pub state: Vec<StateRecord>,
    /// Tables read so far.
    pub read: usize,
    /// Tables to be read in all.
    pub of: usize,
}

/// A source, between two runs or in one.
pub struct Source {
    settings: Settings,
    schema: Schema,
    /// Behind the last transaction that was handed over whole.
    reached: MySqlPosition,
    /// The XA branches that are held there.
    held: Held,
    /// What earlier readings of a transaction have found.
    hints: Hints,
    /// What is parked, and has come to it by statements since.
    parking: Parking,
    progress: Arc<Progress>,
    time_zone: Option<ServerZone>,
    /// The one that values were written in before, by the history.
    former_zone: Option<ServerZone>,
    surveying: Option<Surveying>,
    /// Tables that it left over.
    left: BTreeSet<TableName>,
    /// The place that was found by that on another server: until something is read behind it, what
    /// lies before it is not known.
    found_at: Option<(FileName, u64)>,
}

/// The reading of the source's tables.
struct Surveying {
    session: Session,
    survey: Survey,
}

impl Source {
    /// Asks the server, checks it, and finds the begin. At the first start there is
    /// something to make durable before all else: so the begin is resolved once in an
    /// instance's life. [`Source::survey`] follows, and then [`Source::run`].
    pub async fn prepare(
        settings: Settings,
        mut before: Before,
    ) -> Result<(Self, Option<FirstAppend>), Error> {
        let mut session = Session::connect(&settings.endpoint).await?;
        let probe = Probe::read(&mut session).await?;
        if let Some(position) = &before.position {
            check::require_binlog(&probe, &settings, position)?;
        }
        // What it warns of is said when the dump begins, right behind this.
        check::require(&mut session, &probe, &settings).await?;
        // Before the begin is resolved: what fails behind that has it resolved anew, at a later end.
        let time_zone = if settings.asks_zone {
            Some(mysql::server_zone(&mut session, &probe).await?)
        } else {
            None
        };
        let mut schema = Schema::new(server(&probe), settings.adopt);
        let mut held = std::mem::take(&mut before.held);
        let copying = settings.remembered.copying().clone();
        copying.restore(std::mem::take(&mut before.copies));
        let is_first = before.position.is_none();
        let begin = begin(&settings, (&mut session, &probe), &mut schema, before).await?;
        let Begin { position: reached, is_new, lost, is_moved } = begin;
        let former_zone = time_zone.clone().and_then(|zone| schema.set_zone(zone));
        let append = if is_new {
            let mut state = schema.commit()?;
            if lost.is_some() {
                state.extend(held::forget_lost(&mut held, &reached));
            }
            if is_first && settings.snapshot == SnapshotMode::Initial {
                state.extend(copying.ledger().write(Notes::initial()).map_err(Error::Broken)?);
            }
            Some(FirstAppend { position: reached.clone(), state, lost })
        } else {
            None
        };
        session.close().await;
        let held = Held::at(&reached, held);
        let (hints, progress) = (Hints::default(), Arc::new(Progress::default()));
        let (surveying, left, parking) = (None, BTreeSet::new(), settings.parking.clone());
        let found_at = is_moved.then(|| (Arc::clone(&reached.file), reached.offset));
        let new = Self {
            settings,
            schema,
            reached,
            held,
            hints,
            parking,
            progress,
            time_zone,
            former_zone,
            surveying,
            left,
            found_at,
        };
        Ok((new, append))
    }

    /// Reads the next page of the source's tables, where that is still to be done; `None` when
    /// there is no more. What it leaves over is read by [`Source::run`]. Whoever does not wait for
    /// the end leaves tables unknown: they are read when rows of them come, and at the next start.
    pub async fn survey(&mut self) -> Result<Option<Surveyed>, Error> {
        if !self.schema.is_to_be_surveyed() || !self.left.is_empty() {
            return Ok(None);
        }
        let mut surveying = match self.surveying.take() {
            Some(surveying) => surveying,
            None => self.begin_survey().await?,
        };
        let Surveying { session, survey } = &mut surveying;
        let more = loop {
            match self.schema.survey_page(session, survey).await {
                Ok(more) => break more,
                Err(error) if survey.shrinks(&error) => {
                    if session.is_broken() {
                        *session = Session::connect(&self.settings.endpoint).await?;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        let (read, of) = (survey.done(), survey.of());
        if more {
            self.surveying = Some(surveying);
        } else {
            surveying.session.close().await;
            self.left = surveying.survey.into_left();
        }
        Ok(Some(Surveyed { state: self.schema.commit()?, read, of }))
    }

    async fn begin_survey(&mut self) -> Result<Surveying, Error> {
        let Settings { endpoint, replica, filter, .. } = &self.settings;
        let mut session = Session::connect(endpoint).await?;
        let probe = Probe::read(&mut session).await?;
        let end = start::end(&self.settings, &mut session, &probe).await?;
        let is_settled = start::is_visible(&mut session, &probe, &end).await?;
        let place = |position: &MySqlPosition| Place {
            file: Arc::clone(&position.file),
            offset: position.offset,
        };
        let lo = place(&end);
        // Behind a GTID set, the place shows with the first transaction only.
        let begin = if self.reached.file.is_empty() { lo.clone() } else { place(&self.reached) };
        let from = schema::From { begin: &begin, lo: &lo, is_settled };
        let mut origin = Origin { session: &mut session, endpoint, replica };
        let survey =
            self.schema.survey(&mut origin, from, |schema, table| filter.includes(schema, table));
        let survey = survey.await?;
        Ok(Surveying { session, survey })
    }

    /// Behind the last transaction that was handed over whole.
    pub fn reached(&self) -> &MySqlPosition {
        &self.reached
    }

    /// The server's own time zone, where the settings ask for it.
    pub fn time_zone(&self) -> Option<&ServerZone> {
        self.time_zone.as_ref()
    }

    /// The time zone that values were written in before, if the history says so.
    pub fn former_zone(&self) -> Option<&ServerZone> {
        self.former_zone.as_ref()
    }

    /// Counters, for whoever watches.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Joins the server as a replica and hands over transactions until `stop`, or until
    /// something goes wrong. May be called again after an error, with a newer generation.
    pub async fn run(
        &mut self,
        generation: Generation,
        chunks: &Sender,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        loop {
            let ended = Box::pin(self.run_once(generation, chunks, stop)).await;
            self.schema.rollback();
            match ended {
                Ok(Ended::Stopped) => return Ok(()),
                Ok(Ended::Again(hint)) => {
                    let (file, offset) = (FileName::clone(&hint.file), hint.transaction);
                    let reason = if hint.in_one_phase {
                        "an XA branch is committed in one phase"
                    } else {
                        "a rollback concerns rows that were handed over"
                    };
                    if !self.hints.learn(*hint) {
                        let _ = abort(generation, chunks).await;
                        return Err(Error::Broken(format!(
                            "the transaction at {file}:{offset} was read again, and has to be read \
                             again for the same reason: {reason}"
                        )));
                    }
                    tracing::info!(%file, offset, reason, "the transaction is read again");
                    abort(generation, chunks).await?;
                }
                Err(error) => {
                    // What was handed over of an open transaction is void; a reader that is
                    // closed does not care.
                    let _ = abort(generation, chunks).await;
                    return Err(error);
                }
            }
        }
    }

    async fn run_once(
        &mut self,
        generation: Generation,
        chunks: &Sender,
        stop: &CancellationToken,
    ) -> Result<Ended, Error> {
        let joined = tokio::select! {
            biased;
            // A server that does not answer must not hold up the end.
            () = stop.cancelled() => return Ok(Ended::Stopped),
            joined = self.join() => joined?,
        };
        let Joined { dump, begin, session, tracker, checksums, version, has_gtids, begun, overlap } =
            joined;
        let named = self.settings.named_gtids;
        let executed = self.reached.gtid_set.counted();
        let executed = executed.filter(|_| named == NamedGtids::Executed);
        let executed = executed.map(CountedSet::whole);
        let beats = self.settings.heartbeat.as_ref().and_then(|beat| beat.table.clone());
        let beats = beats.filter(|_| self.settings.failover.has_standbys() && !has_gtids);
        let tracer = beats.map(|beats| Tracer::new(beats, self.reached.trail.clone()));
        let mut hints = std::mem::take(&mut self.hints);
        hints.begin(tracker.server());
        let mut reader = Reader::new(
            &self.settings,
            &mut self.schema,
            (&mut self.reached, &mut self.held, &mut self.parking),
            &self.progress,
            Assembler::new(executed, hints).naming_own_gtid(named == NamedGtids::Own),
            tracker,
            session,
            (checksums, version),
        );
        if let Some(begin) = begin {
            reader.begin_at(begin);
        }
        reader.trace(tracer);
        reader.keeps_zone(self.time_zone.as_ref());
        reader.begun(begun);
        reader.leave_out(overlap);
        let (sender, receiver) = mpsc::channel(1);
        reader.takes_rest(receiver);
        let (requests, requested) = mpsc::channel(1);
        let ledger = self.settings.remembered.copying().ledger();
        reader.copies(Windows::new(requested, ledger.clone()));
        let ended = tokio::select! {
            biased;
            ended = reader.read(dump, generation, chunks, stop) => ended,
            reset = watch_horizon(&self.settings) => Err(reset),
            never = errant::watch(&self.settings) => match never {},
            lost = heartbeat::run(&self.settings) => Err(lost),
            never = rest::read(&self.settings, &mut self.left, sender) => match never {},
            copied = snapshot::run(&self.settings, requests) => Err(copied),
        };
        self.hints = reader.into_hints();
        match ended {
            Err(Error::Mysql(error)) if error.is_of_same_id() => Err(Error::SameId {
                address: self.settings.endpoint.address(),
                server_id: self.settings.replica.server_id,
            }),
            Err(Error::Mysql(error)) if error.code() == Some(mysql::ERROR_READING_BINLOG) => {
                let mut message = error.to_string();
                if message.to_lowercase().contains("anonymous transaction") {
                    message.push_str(
                        ": it was written while gtid_mode was not ON; to have it sent, SET GLOBAL \
                         gtid_mode = ON_PERMISSIVE there (and canal.instance.gtidon = false here) \
                         until it is read",
                    );
                }
                Err(Error::Refused { position: Box::new(self.reached.clone()), message })
            }
            other => other,
        }
    }

    /// Looks at the server, and asks it for its binlog from where this is.
    async fn join(&mut self) -> Result<Joined, Error> {
        let mut session = Session::connect(&self.settings.endpoint).await?;
        let probe = Probe::read(&mut session).await?;
        check::require_binlog(&probe, &self.settings, &self.reached)?;
        let warnings = check::require(&mut session, &probe, &self.settings).await?;
        for warning in self.settings.remembered.news(warnings) {
            tracing::warn!("{warning}");
        }
        let ahead = probe::clock(&mut session).await? - clock::now_millis();
        self.settings.remembered.lag().joined(ahead, self.settings.replica.heartbeat);
        let from = start::resume(&self.settings, &mut session, &probe, &self.reached).await?;
        let overlap = Overlap::at(&self.reached, &from, (&mut session, &probe)).await?;
        self.held.asked(&probe.uuid, held::ask(&mut session).await?);
        let place = Place { file: Arc::clone(&self.reached.file), offset: self.reached.offset };
        self.schema.reconnected(server(&probe), &self.reached.server_uuid, &place);

        let replica =
            Replica::connect(&self.settings.endpoint, self.settings.replica.clone()).await?;
        let checksums = replica.has_checksums();
        let version = replica.version().to_owned();
        let by_gtid = matches!(from, DumpFrom::Gtid(_));
        if by_gtid {
            self.settings.remembered.lag().asked_by_gtid();
        }
        tracing::info!(address = %self.settings.endpoint.address(), position = %self.reached, by_gtid, "asks for the binlog");
        let dump = replica.dump(&from).await?;
        let file = Arc::clone(&self.reached.file);
        let server_uuid = Arc::clone(&probe.uuid);
        let mut tracker = match &from {
            DumpFrom::File { file, offset } => {
                Tracker::by_file(server_uuid, Arc::clone(file), *offset)
            }
            DumpFrom::Gtid(_) => Tracker::by_gtid(server_uuid, file),
        };
        if overlap.as_ref().is_some_and(Overlap::is_by_gtid) {
            tracker.is_told_by_gtids();
        }
        if !self.reached.server_uuid.is_empty() && *probe.uuid != *self.reached.server_uuid {
            tracing::warn!(was = %self.reached.server_uuid, is = %probe.uuid, "goes on at another server, by GTID");
        }
        let has_gtids = probe.has_gtids();
        let begin = match &from {
            DumpFrom::File { offset, .. } if *offset < place.offset => Some(place),
            DumpFrom::File { .. } | DumpFrom::Gtid(_) => None,
        };
        // A connection that broke before anything was read changes nothing of it.
        self.found_at.take_if(|(file, offset)| {
            **file != *self.reached.file || *offset != self.reached.offset
        });
        let is_there = self.found_at.is_none() && *probe.uuid == *self.reached.server_uuid;
        let left_in = Some(FileName::clone(&self.reached.file));
        let left_in = left_in.filter(|file| is_there && !file.is_empty());
        let begun = match from {
            DumpFrom::Gtid(_) => Some(Begun { left_in, began_in: None }),
            DumpFrom::File { .. } if is_there => None,
            DumpFrom::File { file, .. } => Some(Begun { left_in, began_in: Some(file) }),
        };
        Ok(Joined { dump, begin, session, tracker, checksums, version, has_gtids, begun, overlap })
    }
}

/// Where a source begins.
struct Begin {
    position: MySqlPosition,
    /// It has to be made durable before the first run.
    is_new: bool,
    /// As [`FirstAppend::lost`].
    lost: Option<GtidSet>,
    /// The place is another server's.
    is_moved: bool,
}

/// Finds the begin, on the server that is connected: behind what was committed, or for the first
/// time. `schema` is left as it is there.
async fn begin(
    settings: &Settings,
    (session, probe): (&mut Session, &Probe),
    schema: &mut Schema,
    before: Before,
) -> Result<Begin, Error> {
    let Some(old) = before.position else {
        let first = start::first(settings, session, probe, before.meta_dat.as_ref()).await?;
        tracing::warn!("{}", first.note);
        schema.set_to_be_surveyed();
        let position = first.position;
        return Ok(Begin { position, is_new: true, lost: None, is_moved: false });
    };
    let lossy = if settings.failover.accept_lost {
        failover::accepted(session, probe, &old).await?
    } else {
        None
    };
    let moved = if is_elsewhere(&old, probe) {
        trail::find(settings, session, probe, &old).await?
    } else {
        None
    };
    schema.restore(before.history);
    if let Some(position) = moved {
        let place = Place { file: Arc::clone(&old.file), offset: old.offset };
        schema.reconnected(server(probe), &old.server_uuid, &place);
        return Ok(Begin { position, is_new: true, lost: None, is_moved: true });
    }
    if let Some(position) = lossy {
        // What is known of tables may be of what was lost.
        schema.forget();
        let mut lost = position.lost.as_ref().map(|lost| lost.gtids.clone());
        if let (Some(lost), Some(known)) = (&mut lost, &old.lost) {
            lost.subtract(&known.gtids);
        }
        return Ok(Begin { position, is_new: true, lost, is_moved: true });
    }
    tracing::info!(position = %old, "goes on behind the committed position");
    // Of a place that somebody named nothing is known, nor of the tables there.
    let is_named = old.server_uuid.is_empty();
    let was_counted = old.gtid_set.is_counted();
    let position = start::complete(settings, session, probe, old).await?;
    if is_named {
        schema.set_to_be_surveyed();
    }
    let is_new = is_named || position.gtid_set.is_counted() != was_counted;
    Ok(Begin { position, is_new, lost: None, is_moved: false })
}

/// Asks now and then how long the server keeps what is still needed; returns when it has reset its
/// binlogs under the dump. A server that does not answer is the dump's business.
async fn watch_horizon(settings: &Settings) -> Error {
    let mut asked = None;
    loop {
        let lag = settings.remembered.lag();
        // Asked before the server is: what it has then is more.
        let (file, idle) = (lag.needed(), lag.idle());
        let is_due = asked.as_ref().is_none_or(|(asked, when): &(_, Instant)| {
            *asked != file || when.elapsed() >= horizon::EVERY
        });
        if let Some(file) = &file
            && is_due
        {
            match Box::pin(horizon::ask(settings, file)).await {
                Ok(horizon) => {
                    let was_reset = match idle.as_ref().filter(|(idle, _)| idle == file) {
                        Some((_, offset)) if horizon.is_longer_than(*offset) => {
                            is_another(settings, file, lag.created()).await
                        }
                        Some((_, offset)) => horizon.was_reset(*offset),
                        None => false,
                    };
                    if was_reset {
                        // It may have moved on to another file just now.
                        tokio::time::sleep(3 * horizon::LOOK_EVERY).await;
                    }
                    if let Some((file, offset)) = idle.as_ref().filter(|_| was_reset)
                        && lag.idle() == idle
                    {
                        return Error::Broken(format!(
                            "the source sends nothing behind {file}:{offset}, and has no such place \
                             any more: its binlogs were reset"
                        ));
                    }
                    settings.remembered.horizon().learnt(horizon);
                }
                Err(error) => tracing::debug!("how long binlogs are kept is not known: {error}"),
            }
            asked = Some((Some(FileName::clone(file)), Instant::now()));
        }
        tokio::time::sleep(horizon::LOOK_EVERY).await;
    }
}

/// Whether the server has begun another file of that name. What cannot be found out shows at the
/// next look.
async fn is_another(settings: &Settings, file: &str, created: u32) -> bool {
    let begin = scan::Until::Offset(crate::binlog::FIRST_EVENT);
    let now = Box::pin(scan::walk(settings, file, begin)).await;
    created != 0 && now.is_ok_and(|now| now.created != 0 && now.created != created)
}

/// A server that was asked for its binlog.
struct Joined {
    dump: Dump,
    /// What comes before it is left out.
    begin: Option<Place>,
    session: Session,
    tracker: Tracker,
    checksums: bool,
    version: String,
    has_gtids: bool,
    /// Where files may have been left out before it.
    begun: Option<Begun>,
    /// What may come again.
    overlap: Option<Overlap>,
}

/// Whether a position is of another server, and has no GTIDs to find it by.
fn is_elsewhere(position: &MySqlPosition, probe: &Probe) -> bool {
    let is_named = position.server_uuid.is_empty();
    !is_named && !position.gtid_set.is_counted() && *position.server_uuid != *probe.uuid
}

async fn abort(generation: Generation, chunks: &Sender) -> Result<(), Error> {
    let head = Arc::new(TransactionHead::default());
    let chunk = Chunk { generation, head, changes: Vec::new(), end: ChunkEnd::Abort };
    chunks.send(chunk, 0).await.map_err(|_| Error::Closed)
}

pub(super) fn server(probe: &Probe) -> schema::Server {
    let number = |name: &str| probe.variable(name).and_then(|value| value.parse().ok());
    schema::Server {
        flavor: probe.flavor,
        version: probe.version_number(),
        lower_case_table_names: number("lower_case_table_names").unwrap_or(0),
        charset: probe.variable("character_set_server").unwrap_or("utf8mb4").to_owned(),
        utf8_is_unclear: utf8_is_unclear(probe),
        uuid: Arc::clone(&probe.uuid),
    }
}

/// As [`schema::Server::utf8_is_unclear`].
fn utf8_is_unclear(probe: &Probe) -> bool {
    const SINCE: u32 = 100_600;
    let mode = probe.variable("old_mode").unwrap_or_default();
    let is_known = matches!(probe.flavor, Flavor::MySql) || probe.version_number() < SINCE;
    !is_known && !mode.contains("UTF8_IS_UTF8MB3")
}
