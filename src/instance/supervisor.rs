//! The life of an instance: sessions one after the other, and what each end leads to.
//!
//! Where several processes have the instance, each session waits for this one's turn, and ends with
//! it. A session opens the sink, which says where to go on; starts the source there; and runs
//! the pipeline between the two until either ends. Nothing is carried from one session to
//! the next: what counts is in the sink.

mod copies;
mod reach;

use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::reach::Reach;
use super::anew;
use super::branch::held_branch;
use super::encode::Encoder;
use super::park::tables::{self, Cause, ParkedTables};
use super::pipeline::{self, Pipeline};
use super::reaction::{self, BackOff, Error, Reaction};
use super::{Plan, Publication};
use crate::change::{
    CountedSet, EventPlace, Generation, ParkedTable, Position, ServerZone, StateTopic, TableName,
    Xid,
};
use crate::clock;
use crate::config::OnTableError;
use crate::control::{
    Branches, InstanceState, Received, Reporter, Retention, RetentionLevel, Tables,
};
use crate::format::Zone;
use crate::schema::History;
use crate::shutdown::Tasks;
use crate::sink::{self, Committed, Lost, Sink, Turn, Waiting, Waits};
use crate::source::failover::{Next, Servers};
use crate::source::{self, Before, Copies, Counts, Remembered, Source, channel};
use crate::telemetry;

/// Bytes of binlog between source and pipeline.
const CHANNEL_BYTES: u32 = 4 << 20;

/// What is waited for may come at any time, and nobody is disturbed by looking.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How often counters are logged.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// Runs an instance until `tasks` is cancelled, or until it cannot go on by itself.
pub async fn run<S: Sink>(plan: &Plan, mut sink: S, reporter: &Reporter, tasks: &Tasks) {
    let span = telemetry::instance_span(reporter.name());
    let whole_life = async {
        let mut lag = std::pin::pin!(show_lag(&plan.source.remembered, reporter));
        tokio::select! {
            biased;
            () = supervise(plan, &mut sink, reporter, tasks) => {}
            never = &mut lag => match never {},
        }
        drop(sink);
        // One that has stopped falls behind too, and its binlogs are purged all the same.
        tokio::select! {
            biased;
            () = tasks.token().cancelled() => {}
            never = lag => match never {},
        }
    };
    whole_life.instrument(span).await;
}

/// Shows how far the instance is behind, whatever it does: a connection that is lost makes it
/// grow, and so does a stop.
async fn show_lag(remembered: &Remembered, reporter: &Reporter) -> std::convert::Infallible {
    let mut shown = copies::Shown::default();
    loop {
        let now = clock::now_millis();
        // What another process does is shown there.
        if reporter.stands_by() {
            reporter.behind(0, None);
            tokio::time::sleep(REPORT_EVERY).await;
            continue;
        }
        let retention = remembered.retention(now).map(|left| Retention {
            seconds: left.seconds,
            bytes: left.bytes,
            files: left.files,
            used_percent: left.used_percent,
            level: match left.used_percent {
                source::Retention::ALARM.. => RetentionLevel::Alarm,
                source::Retention::WARNING.. => RetentionLevel::Warning,
                _ => RetentionLevel::Ok,
            },
        });
        reporter.behind(remembered.lag().millis(now), retention);
        reporter.through(remembered.lag().through());
        shown.show(remembered.copying(), reporter);
        reporter.errant(remembered.errants());
        let source::Noticed { not_on_server, before_begin } = remembered.noticed_branches();
        reporter.branches(Branches { not_on_server, before_begin });
        tokio::time::sleep(REPORT_EVERY).await;
    }
}

async fn supervise<S: Sink>(plan: &Plan, sink: &mut S, reporter: &Reporter, tasks: &Tasks) {
    let mut back_off = BackOff::default();
    let mut last_failure = String::new();
    let mut waits = false;
    let mut zone = None;
    let mut servers = Servers::new(&plan.source);
    // Tables to park, until a commit has parked them.
    let mut causes = BTreeMap::new();
    let mut reach = Reach::default();
    for generation in (1..).map(Generation) {
        let mut session = Session {
            plan,
            servers: &mut servers,
            sink,
            reporter,
            tasks,
            generation,
            waits,
            zone: &mut zone,
            causes: &mut causes,
            progressed: false,
            outcome: Outcome::default(),
            begun: Instant::now(),
        };
        let ended = AssertUnwindSafe(Box::pin(session.run())).catch_unwind().await;
        let ended = ended.unwrap_or_else(|panic| Err(Error::Panicked(words_of(&*panic))));
        let Session { outcome: Outcome { moved, heard }, begun, .. } = session;
        if session.progressed {
            back_off.reset();
            last_failure.clear();
            servers.progressed();
        }
        if moved && !tasks.token().is_cancelled() {
            // Where that one goes on, what this one has met is no matter.
            let reason = ended.err().map(|error| format!(": {error}")).unwrap_or_default();
            tracing::info!("another process runs the instance from here on{reason}");
            (back_off, servers) = (BackOff::default(), Servers::new(&plan.source));
            (reach, waits) = (Reach::default(), false);
            last_failure.clear();
            causes.clear();
            continue;
        }
        let Err(error) = ended else {
            tracing::info!("stopped");
            return;
        };
        let reason = error.to_string();
        let repeated = reason == last_failure;
        if let Error::Pipeline(pipeline::Error::Copy(error)) = &error
            && let Some((table, _)) = error.table()
        {
            plan.source.remembered.copying().refuse(table.clone(), error.to_string());
        }
        let next = match &error {
            Error::Source(error) => servers.failed(error),
            Error::Pipeline(_) | Error::Panicked(_) => Next::AsEver,
        };
        let reaction = reaction::to_failover(next, &error, reporter.name());
        let elsewhere = matches!(reaction, Reaction::Elsewhere);
        let state = match reaction {
            Reaction::RetryOnce { advice } if repeated => stopped(reason.clone(), advice),
            Reaction::Stop { advice } => stopped(reason.clone(), advice),
            Reaction::Lost { advice } => stopped(reason.clone(), &advice),
            Reaction::Wait => InstanceState::Waiting { reason: reason.clone() },
            Reaction::Retry | Reaction::RetryOnce { .. } | Reaction::Elsewhere => {
                InstanceState::Retrying { reason: reason.clone() }
            }
        };
        // Bytes may have been damaged on the way: the same has to come a second time.
        let state = match (plan.on_table_error, error.table()) {
            (OnTableError::Park, Some((table, place)))
                if repeated
                    && matches!(state, InstanceState::Stopped { .. })
                    && !is_parked_already(&causes, table, &place) =>
            {
                tracing::error!(%table, reason, "THE TABLE IS PARKED: from here on its changes \
                    are kept, and are not published before `bin/sluice instance retry`");
                causes.insert(table.clone(), Cause { place, reason: reason.clone() });
                InstanceState::Retrying { reason: reason.clone() }
            }
            _ => state,
        };
        let stops = matches!(state, InstanceState::Stopped { .. });
        waits = matches!(state, InstanceState::Waiting { .. });
        reporter.state(state, clock::now_millis());
        if stops {
            tracing::error!("stopped: {reason}");
            // Another process may be able to do what this one cannot.
            if let Err(error) = sink.give_way(false).await {
                tracing::warn!("{error}");
            }
            return;
        }
        // Another server has not failed yet.
        let mut pause = if elsewhere { BackOff::FIRST } else { back_off.next() };
        if waits {
            pause = pause.min(LONGEST_WAIT);
        }
        let silent = matches!(&error, Error::Source(error) if error.is_transient());
        reach.ended(begun, heard, silent);
        if let Some(left) = sink.gives_way_after().and_then(|limit| reach.left(limit)) {
            pause = pause.min(left).max(BackOff::FIRST);
            if left.is_zero() {
                tracing::warn!("the source is not reached: another process may try");
                reach = Reach::default();
                if let Err(error) = sink.give_way(true).await {
                    tracing::warn!("{error}");
                }
            }
        }
        tracing::warn!(?pause, "trying again: {reason}");
        last_failure = reason;
        tokio::select! {
            biased;
            () = tasks.token().cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Whether the table was to be parked from there on, which has not helped.
fn is_parked_already(
    causes: &BTreeMap<TableName, Cause>,
    table: &TableName,
    place: &EventPlace,
) -> bool {
    let same = |cause: &Cause| cause.place.file == place.file && cause.place.offset == place.offset;
    causes.get(table).is_some_and(same)
}

/// What a panic says, if it says a text.
fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a word".to_owned())
}

fn stopped(reason: String, advice: &str) -> InstanceState {
    InstanceState::Stopped { reason, advice: advice.to_owned() }
}

/// What a session has come to, beside its error.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    /// Whether another process runs the instance from here on.
    moved: bool,
    /// Whether anything came of the source's binlog.
    heard: bool,
}

/// One session; see the head of this file.
struct Session<'a, S> {
    plan: &'a Plan,
    /// One of them is read.
    servers: &'a mut Servers,
    sink: &'a mut S,
    reporter: &'a Reporter,
    tasks: &'a Tasks,
    generation: Generation,
    /// Whether the sink could take nothing the last time; only its taking something shows
    /// that it can again.
    waits: bool,
    /// The zone that values were written in before.
    zone: &'a mut Option<ServerZone>,
    /// The tables that are to be parked, and why.
    causes: &'a mut BTreeMap<TableName, Cause>,
    /// Whether anything became durable.
    progressed: bool,
    outcome: Outcome,
    /// When this process's turn began.
    begun: Instant,
}

impl<S: Sink> Session<'_, S> {
    async fn run(&mut self) -> Result<(), Error> {
        let all = self.tasks.token().clone();
        let turn = tokio::select! {
            biased;
            () = all.cancelled() => return Ok(()),
            turn = turn(self.sink, self.reporter) => turn?,
        };
        self.begun = Instant::now();
        // What ends all ends the session, and so does the turn.
        let stop = all.child_token();
        let reporter = self.reporter;
        let waits = self.sink.waits();
        let ended = {
            let mut waiting = std::pin::pin!(show_waits(&waits, reporter));
            let mut session = Box::pin(self.in_turn(&stop));
            tokio::select! {
                biased;
                () = turn.over.cancelled() => {
                    stop.cancel();
                    reporter.state(InstanceState::Standby { active: None }, clock::now_millis());
                    session.await
                }
                ended = &mut session => ended,
                never = &mut waiting => match never {},
            }
        };
        self.outcome.moved = turn.over.is_cancelled();
        ended
    }

    async fn in_turn(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        let prepared = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            prepared = self.prepare() => prepared?,
        };
        let Prepared { mut source, publication, parked } = prepared;
        let position = source.reached().clone().into();
        let progress = source.progress();
        let lag = self.plan.source.remembered.lag();
        lag.durable(&position, clock::now_millis());

        // Its own set: the source ends before, and also without, the instance.
        let reading = self.tasks.child();
        let _ended = reading.token().clone().drop_guard();
        let (sender, mut receiver) = channel::channel(CHANNEL_BYTES);
        let (generation, token) = (self.generation, reading.token().clone());
        let source = reading.spawn(
            "source",
            async move { source.run(generation, &sender, &token).await }.in_current_span(),
        );
        let reporter = self.reporter;
        let showing = reading.spawn("report", {
            let (reporter, progress) = (reporter.clone(), Arc::clone(&progress));
            let (is_full, sink) = (self.waits, self.sink.waits());
            let ends = [reading.token().clone(), stop.clone()];
            async move {
                let waits = || is_full || sink.is_any();
                show(&reporter, &progress, waits, ends.each_ref()).await;
            }
        });
        let (progressed, causes) = (&mut self.progressed, &mut *self.causes);
        let mut encoder = Encoder::new(publication, self.sink.limits());
        encoder.counts(reporter.tables_encoded());
        if !parked.is_empty() {
            encoder.parks(parked, self.sink.letters());
        }
        let pipeline = Pipeline::new(self.sink, encoder, generation, position);
        let piped = pipeline
            .run(&mut receiver, stop, |progress| {
                *progressed = true;
                let now = clock::now_millis();
                lag.durable(&progress.position, now);
                lag.passed(now);
                reporter.durable(&progress.position, progress.done);
                reporter.counted(progress.counted);
                if !stop.is_cancelled() {
                    reporter.state(InstanceState::Running, now);
                }
                if let Some(parked) = progress.parked {
                    causes.retain(|name, _| !parked.iter().any(|one| one.from_of(name).is_some()));
                    reporter.parked(parked);
                }
            })
            .await;
        drop(receiver);
        reading.cancel();
        let read = source.await;
        self.outcome.heard = progress.counts().bytes > 0;
        let _ = showing.await;
        reading.join().await;
        piped?;
        match read {
            // The pipeline has ended first, so nobody took the changes any more.
            Ok(Ok(()) | Err(source::Error::Closed)) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(Error::Panicked(error.to_string())),
        }
    }

    /// Opens the sink, finds where to begin, makes a first begin durable, and then what the
    /// source says of its tables, page by page.
    async fn prepare(&mut self) -> Result<Prepared, Error> {
        let Opened { committed, history, mut parked, copies } = open(self.sink).await?;
        forget_branches_not_held(&mut parked, &committed.held);
        self.reporter.position(committed.position.clone());
        self.reporter.parked(parked.clone());
        let first_start = committed.position.is_none();
        let held = committed.held.into_iter().map(|(xid, about)| held_branch(xid, &about));
        let held = held.collect::<Result<_, _>>()?;
        let before = Before {
            position: committed.position.map(|Position::MySql(position)| position),
            history,
            copies,
            held,
            meta_dat: if first_start { self.plan.meta_dat.read()? } else { None },
        };
        self.servers.choose(before.position.as_ref()).await;
        let mut settings = self.servers.settings().clone();
        for (table, cause) in &*self.causes {
            settings.parking.park_from(table.clone(), &cause.place);
        }
        for table in &parked {
            for name in table.all_names() {
                settings.parking.park(name);
            }
        }
        let parked = ParkedTables::new(parked, self.causes.clone(), committed.letters_end);
        let (mut source, first) = Box::pin(Source::prepare(settings, before)).await?;
        if first_start && !self.plan.starts_anew && !self.sink.loses_both_together() {
            anew::must_be_new(self.sink, &self.plan.publication.router, self.servers.settings())
                .await?;
        }
        // The begin is durable before anything else: it is resolved once in an instance's life.
        if let Some(first) = first {
            let kept = first.position.gtid_set.counted().map(CountedSet::whole);
            if let (Some(gtids), Some(kept)) = (first.lost, kept) {
                let topics = self.sink.append_loss_notices(&Lost { gtids, kept }).await?;
                tracing::warn!(?topics, "notices of the loss were added to the topics concerned");
            }
            let position = first.position.into();
            self.sink.commit(&position, first.state).await?.await?;
            self.reporter.position(Some(position));
        }
        while let Some(page) = Box::pin(source.survey()).await? {
            let position = source.reached().clone().into();
            self.sink.commit(&position, page.state).await?.await?;
            self.reporter.tables(Some(Tables { read: page.read, of: page.of }));
        }
        self.reporter.tables(None);
        let mut publication = self.plan.publication.clone();
        if let Some(zone) = source.time_zone() {
            if self.zone.is_none() {
                *self.zone = source.former_zone().cloned();
            }
            publication.format.zone = zone_of(zone, self.zone);
        }
        Ok(Prepared { source, publication, parked })
    }
}

/// Branches were forgotten with the place that they were held at: what they held of parked tables
/// is kept no more.
fn forget_branches_not_held(parked: &mut [ParkedTable], held: &[(Arc<Xid>, Bytes)]) {
    let held: HashSet<String> = held.iter().map(|(xid, _)| xid.to_string()).collect();
    for table in parked {
        for xid in table.branches.clone() {
            if !held.contains(&xid) {
                table.end_branch(&xid, false);
            }
        }
    }
}

/// What a session runs with.
struct Prepared {
    source: Source,
    publication: Publication,
    parked: ParkedTables,
}

/// What an opened sink holds.
pub(super) struct Opened {
    pub(super) committed: Committed,
    pub(super) history: History,
    pub(super) parked: Vec<ParkedTable>,
    /// How far tables are copied.
    pub(super) copies: Copies,
}

/// Waits until this process is to run the instance, and shows why it is not.
pub(super) async fn turn<S: Sink>(sink: &mut S, reporter: &Reporter) -> Result<Turn, Error> {
    let mut has_waited = false;
    let mut show = |waiting| {
        has_waited = true;
        let state = match waiting {
            Waiting::Standby { active } => InstanceState::Standby { active },
            Waiting::Undecided { reason } => InstanceState::Waiting { reason },
        };
        reporter.state(state, clock::now_millis());
    };
    let turn = sink.turn(&mut show).await?;
    if has_waited {
        reporter.state(InstanceState::Starting, clock::now_millis());
    }
    Ok(turn)
}

/// Opens the sink and reads its state records.
pub(super) async fn open<S: Sink>(sink: &mut S) -> Result<Opened, Error> {
    let (mut history, mut parked, mut copies) = (History::default(), Vec::new(), Copies::default());
    let mut unreadable = None;
    let committed = sink
        .open(&mut |record| {
            let taken = match record.topic {
                StateTopic::Parked => tables::read(&record)
                    .map(|table| parked.extend(table))
                    .map_err(|reason| sink::Error::Position(reason).into()),
                StateTopic::Snapshot => {
                    copies.take(&record).map_err(|reason| sink::Error::Position(reason).into())
                }
                StateTopic::Schema | StateTopic::Xa => {
                    history.take(&record).map_err(|error| source::Error::from(error).into())
                }
            };
            if let Err(error) = taken {
                unreadable.get_or_insert(error);
            }
        })
        .await?;
    if let Some(error) = unreadable {
        return Err(error);
    }
    // Whatever would be published here is published elsewhere.
    if let Some(moved) = committed.moved {
        return Err(sink::Error::Moved(Box::new(moved)).into());
    }
    Ok(Opened { committed, history, parked, copies })
}

/// The zone of the server, which may be another one than before, or have another zone since it was
/// was started anew.
fn zone_of(zone: &ServerZone, before: &mut Option<ServerZone>) -> Zone {
    let is = zone.at(clock::now_seconds());
    match before.replace(zone.clone()) {
        None => tracing::info!("TIMESTAMP values are written in the server's time zone, {is}"),
        Some(before) if before.changes != zone.changes => tracing::warn!(
            "the server's time zone has changed: it was {}, and is {is}; TIMESTAMP values are \
             written in the new one from here on; set sluice.timezone to have one that stays",
            before.at(clock::now_seconds()),
        ),
        Some(_) => {}
    }
    Zone::of_changes(&zone.changes)
}

/// Shows for what the sink waits, while it does.
async fn show_waits(waits: &Waits, reporter: &Reporter) -> std::convert::Infallible {
    let mut watched = waits.watch();
    // What the instance did before.
    let mut before = None;
    loop {
        let said = watched.borrow_and_update().clone();
        match said {
            Some(reason) => {
                let was = reporter.waits(reason, clock::now_millis());
                before = before.or(was);
            }
            None => {
                if let Some(state) = before.take() {
                    reporter.state(state, clock::now_millis());
                }
            }
        }
        // Without a sender there is nothing to be said any more.
        if watched.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Shows what the source counts, and that it runs as soon as the server sends; unless the
/// sink has to show first that it takes something.
async fn show(
    reporter: &Reporter,
    progress: &source::Progress,
    waits: impl Fn() -> bool,
    [ended, stop]: [&CancellationToken; 2],
) {
    let mut logged = Counts::default();
    loop {
        let counts = progress.counts();
        if counts.bytes > logged.bytes {
            if !waits() {
                reporter.state(InstanceState::Running, clock::now_millis());
            }
            reporter.received(Received {
                bytes: counts.bytes - logged.bytes,
                skipped_events: counts.skipped_events - logged.skipped_events,
                dropped_rows_events: counts.dropped_rows_events - logged.dropped_rows_events,
                unknown_rollbacks: counts.unknown_rollbacks - logged.unknown_rollbacks,
                heard_ms: counts.last_packet,
            });
            logged = counts;
        }
        tokio::select! {
            biased;
            () = ended.cancelled() => return,
            () = stop.cancelled() => return,
            () = tokio::time::sleep(REPORT_EVERY) => {}
        }
    }
}
