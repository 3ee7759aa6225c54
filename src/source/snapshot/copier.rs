//! Copies tables, one after the other.
//!
//! In: how far each is ([`Ledger`]), and what is asked of it (`copier/asked`). Out: requests to
//! whoever reads the stream ([`Request`]). Always: over a session of its own, so that a server that
//! does not answer holds up nothing; what fails of one table does not concern the others; a session
//! that is lost is opened again after a pause.

mod asked;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub(super) use self::asked::Measured;
use super::chunk::{self, Ask, MOST_BYTES};
use super::copies::{Copy, CopyState, Ledger, Notes};
use super::key::Key;
use super::orders::Copying;
use super::row::{self, RowPlan};
use super::shown::{self, Shown};
use super::window::{Closed, Content, Opened, Opening, Read, Request};
use crate::change::{FileName, Table, TableName};
use crate::config::SnapshotMode;
use crate::mysql::probe::Probe;
use crate::mysql::{self, Session, identifier};
use crate::schema::{FoundLater, Place, Server, find_later};
use crate::source::session::server;
use crate::source::{Error, Settings};

/// The pause before the first time; each is twice the one before.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// Rows of the first chunk of a table.
const FIRST_LIMIT: u64 = 1000;
const MOST_LIMIT: u64 = 200_000;
/// How long a chunk should take to be read: the stream holds what it touches meanwhile.
const CHUNK_TIME: Duration = Duration::from_millis(200);
/// As often a chunk is read again that changed meanwhile, or a statement failed.
const MOST_TRIES: u32 = 20;

/// Copies what is to be copied, for as long as the server is read. Ends only where nothing is to
/// follow the copy (`sluice.snapshot=only`).
pub(in crate::source) async fn run(settings: &Settings, requests: mpsc::Sender<Request>) -> Error {
    let copying = settings.remembered.copying();
    let (mut pause, mut is_listed) = (FIRST, !lists(settings, copying.ledger()));
    loop {
        if is_listed && !copying.is_asked() && copying.ledger().next_open().is_none() {
            if settings.snapshot == SnapshotMode::Only && !copying.is_paused() {
                return Error::Copied { failed: copying.failed() };
            }
            copying.asked().await;
            continue;
        }
        let begun = Instant::now();
        match Box::pin(copy_all(settings, &requests, &mut is_listed)).await {
            Ok(()) => {
                pause = FIRST;
                continue;
            }
            Err(error) => {
                if begun.elapsed() > LONGEST {
                    pause = FIRST;
                }
                tracing::warn!(?pause, "the copying of tables is interrupted: {error}");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(LONGEST);
    }
}

/// Whether tables are to be looked for.
fn lists(settings: &Settings, ledger: &Ledger) -> bool {
    match settings.snapshot {
        SnapshotMode::None => false,
        SnapshotMode::Initial => ledger.is_to_be_listed(),
        SnapshotMode::Missing | SnapshotMode::Only => true,
    }
}

/// Copies until nothing is left to be.
async fn copy_all(
    settings: &Settings,
    requests: &mpsc::Sender<Request>,
    is_listed: &mut bool,
) -> Result<(), Error> {
    let copying = settings.remembered.copying();
    let mut session = Session::connect(&settings.endpoint).await?;
    session.run(row::SESSION).await?;
    let probe = Probe::read(&mut session).await?;
    let server = server(&probe);
    let ledger = copying.ledger();
    let mut copier = Copier { settings, copying, ledger, requests, session, probe, server };
    if !*is_listed {
        copier.list().await?;
        *is_listed = true;
    }
    copier.obey().await?;
    while let Some((name, _)) = ledger.next_open() {
        copier.copy(&name).await?;
        copier.obey().await?;
    }
    copier.session.close().await;
    Ok(())
}

struct Copier<'a> {
    settings: &'a Settings,
    copying: &'a Copying,
    ledger: &'a Ledger,
    requests: &'a mpsc::Sender<Request>,
    session: Session,
    probe: Probe,
    server: Server,
}

/// What a table is read by, and for how many statements it holds.
struct Plan {
    changes: u64,
    /// None of a table that is read as a whole.
    key: Option<Key>,
    rows: RowPlan,
}

/// What a try of a table came to.
enum Step {
    /// There is more to be done.
    Again,
    /// It has to be tried once more, and why.
    Void(String),
    /// The table is done with, one way or the other.
    End,
}

/// Why a table is not copied on.
enum Trouble {
    /// The whole session.
    Session(Error),
    /// The server refused a statement, or gave what cannot be written: the table may have been
    /// changed.
    Refused(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Mysql(error) => error.into(),
            error => Self::Session(error),
        }
    }
}

impl From<mysql::Error> for Trouble {
    fn from(error: mysql::Error) -> Self {
        match error {
            mysql::Error::Server { .. } => Self::Refused(error.to_string()),
            error => Self::Session(error.into()),
        }
    }
}

impl From<chunk::Error> for Trouble {
    fn from(error: chunk::Error) -> Self {
        match error {
            chunk::Error::Mysql(error) => error.into(),
            error @ (chunk::Error::Row(_) | chunk::Error::Odd(_)) => {
                Self::Refused(error.to_string())
            }
        }
    }
}

impl Copier<'_> {
    /// Copies one table to its end, or until it cannot be.
    async fn copy(&mut self, name: &TableName) -> Result<(), Error> {
        let (mut plan, mut tries, mut limit) = (None, 0, FIRST_LIMIT);
        while let Some(copy) = self.ledger.of(name)
            && copy.is_open()
            && !self.ledger.is_paused()
        {
            if self.copying.is_asked() {
                self.obey().await?;
                continue;
            }
            let step = match self.step(name, copy.clone(), &mut plan, &mut limit).await {
                Ok(step) => step,
                Err(Trouble::Session(error)) => return Err(error),
                Err(Trouble::Refused(reason)) => Step::Void(reason),
            };
            match step {
                Step::Again => tries = 0,
                Step::End => return Ok(()),
                Step::Void(reason) => {
                    tries += 1;
                    limit = (limit / 2).max(1);
                    tracing::debug!(table = %name, tries, "a chunk is read again: {reason}");
                    if tries == MOST_TRIES {
                        self.fail(name, copy, reason).await?;
                        return Ok(());
                    }
                    if self.session.is_broken() {
                        return Err(Error::Broken(reason));
                    }
                    tokio::time::sleep(FIRST.min(Duration::from_millis(10) * tries)).await;
                }
            }
        }
        Ok(())
    }

    async fn fail(&mut self, name: &TableName, copy: Copy, reason: String) -> Result<(), Error> {
        tracing::error!(table = %name, "A TABLE IS NOT COPIED: {reason}; the others are");
        self.note(Notes::of(name.clone(), Some(copy.failed(reason)))).await
    }

    /// The next chunk, or what has to be known before it.
    async fn step(
        &mut self,
        name: &TableName,
        copy: Copy,
        plan: &mut Option<Plan>,
        limit: &mut u64,
    ) -> Result<Step, Trouble> {
        if let Some(image) =
            self.probe.variable("binlog_row_image").filter(|image| *image != "FULL")
        {
            let reason = format!(
                "binlog_row_image is {image} on the source: while a table is copied its rows have to \
                 come whole; SET GLOBAL binlog_row_image = 'FULL', and let sessions connect anew"
            );
            self.fail(name, copy, reason).await?;
            return Ok(Step::End);
        }
        let key = plan
            .as_ref()
            .map(|plan| plan.key.as_ref().map_or_else(Vec::new, |key| key.columns.clone()));
        let opening = match self.open(name, key).await? {
            Opened::Window(opening) => *opening,
            Opened::Unknown => return Ok(Step::Void("its definition is not known".to_owned())),
            Opened::Absent => {
                tracing::info!(table = %name, "the table is not there any more: it is not copied");
                self.note(Notes::of(name.clone(), None)).await?;
                return Ok(Step::End);
            }
            Opened::Unfit(reason) => {
                self.fail(name, copy, reason).await?;
                return Ok(Step::End);
            }
        };
        if *opening.place.server_uuid != *self.probe.uuid {
            let text = format!(
                "{} is another server than the one whose binlog is read",
                self.settings.endpoint.address()
            );
            return Err(Trouble::Session(Error::Broken(text)));
        }
        match plan.take_if(|plan| plan.changes != opening.changes) {
            Some(_) => Ok(Step::Again),
            None => match plan {
                Some(Plan { key: Some(key), rows, .. }) => {
                    self.chunk(&opening, copy, (key, rows), limit).await
                }
                Some(Plan { key: None, rows, .. }) => self.whole(&opening, copy, rows).await,
                None => self.plan(name, &opening, copy, plan).await,
            },
        }
    }

    /// Finds out what the table is to be read by.
    async fn plan(
        &mut self,
        name: &TableName,
        opening: &Opening,
        copy: Copy,
        plan: &mut Option<Plan>,
    ) -> Result<Step, Trouble> {
        let shown = shown::wait(&mut self.session, &self.probe, &opening.place).await?;
        let found = self.find(&opening.table, copy.clone(), shown).await;
        let mark = self.end(shown, found.is_ok()).await?;
        let closed = self.close(opening.number, mark, None).await?;
        let found = match (found, closed) {
            (Ok(found), Closed::Published(_)) => found,
            (Ok(_) | Err(Trouble::Refused(_)), Closed::Void(reason)) => {
                return Ok(Step::Void(reason));
            }
            (Err(trouble), _) => return Err(trouble),
        };
        match found {
            Found::Begun(key, copy) => {
                self.note(Notes::of(name.clone(), Some(*copy))).await?;
                let rows = RowPlan::new(Arc::clone(&opening.table));
                *plan = Some(Plan { changes: opening.changes, key: Some(key), rows });
                Ok(Step::Again)
            }
            Found::Empty => {
                self.note(Notes::of(name.clone(), Some(copy.done()))).await?;
                Ok(Step::End)
            }
            Found::NoKey => {
                let rows = RowPlan::new(Arc::clone(&opening.table));
                *plan = Some(Plan { changes: opening.changes, key: None, rows });
                Ok(Step::Again)
            }
        }
    }

    async fn find(&mut self, table: &Table, copy: Copy, shown: Shown) -> Result<Found, Trouble> {
        let Some(key) = Key::find(&mut self.session, table).await? else {
            return Ok(Found::NoKey);
        };
        let stored = key.stored(table);
        if copy.upto.is_some() && copy.key == stored {
            let copy = Copy { index: key.index.clone(), ..copy };
            return Ok(Found::Begun(key, Box::new(copy)));
        }
        if copy.after.is_some() {
            tracing::info!(table = %table.name, "the table has another key: its copy begins anew");
        }
        let plan = RowPlan::new(Arc::new(table.clone()));
        let upto = chunk::last_key(&mut self.session, &plan, &key, shown.locks()).await?;
        let Some(upto) = upto else { return Ok(Found::Empty) };
        let copy = Copy {
            state: CopyState::Copying,
            key: stored,
            index: key.index.clone(),
            upto: Some(upto),
            ..copy.anew()
        };
        Ok(Found::Begun(key, Box::new(copy)))
    }

    /// Reads the next chunk and has it published.
    async fn chunk(
        &mut self,
        opening: &Opening,
        copy: Copy,
        (key, plan): (&Key, &mut RowPlan),
        limit: &mut u64,
    ) -> Result<Step, Trouble> {
        let shown = shown::wait(&mut self.session, &self.probe, &opening.place).await?;
        let begun = Instant::now();
        let ask = Ask {
            key,
            after: copy.after.as_deref(),
            upto: copy.upto.as_deref(),
            limit: *limit,
            locks: shown.locks(),
            condition: copy.condition.as_deref(),
        };
        let read = chunk::read(&mut self.session, plan, &ask).await;
        let took = begun.elapsed();
        let mark = self.end(shown, read.is_ok()).await?;
        let rows = match read {
            Ok(rows) => rows,
            Err(error) => {
                let trouble = Trouble::from(error);
                if let Trouble::Refused(_) = &trouble {
                    // Whether it was changed shows at the mark.
                    self.close(opening.number, mark, None).await?;
                }
                return Err(trouble);
            }
        };
        *limit = next_limit(*limit, rows.ends.len(), rows.images.len(), took);
        let is_end = rows.is_end;
        let copy =
            Copy { after: rows.last.clone().or(copy.after), chunks: copy.chunks + 1, ..copy };
        let copy = if is_end { copy.done() } else { copy };
        let present = plan.present().clone();
        let read = Box::new(Read { content: Content::Chunk(rows), copy, present });
        match self.close(opening.number, mark, Some(read)).await? {
            Closed::Published(rows) => {
                self.copying.measured(rows, begun.elapsed());
                tracing::debug!(table = %opening.table.name, rows, ?took, "a chunk is copied");
                if is_end {
                    tracing::info!(table = %opening.table.name, "the table is copied");
                }
                Ok(Step::Again)
            }
            Closed::Void(reason) => Ok(Step::Void(reason)),
        }
    }

    /// A window of the table. A definition that is not known is read first.
    async fn open(&mut self, name: &TableName, key: Option<Vec<usize>>) -> Result<Opened, Trouble> {
        match self.ask_for(name, key.clone(), None).await? {
            Opened::Unknown => {
                let found = match find_later(&mut self.session, &self.server, name).await {
                    Ok(found) => found,
                    Err(error) if self.session.is_broken() => {
                        return Err(Trouble::Session(error.into()));
                    }
                    Err(error) => return Err(Trouble::Refused(error.to_string())),
                };
                if !found.is_shown() && !self.is_there(name).await? {
                    return Ok(Opened::Absent);
                }
                self.ask_for(name, key, Some(found)).await
            }
            opened @ (Opened::Window(_) | Opened::Absent | Opened::Unfit(_)) => Ok(opened),
        }
    }

    /// Whether the server has such a table; an error if it does not say.
    async fn is_there(&mut self, name: &TableName) -> Result<bool, Trouble> {
        const ER_NO_SUCH_TABLE: u16 = 1146;
        let (schema, table) = (identifier(&name.schema), identifier(&name.table));
        match self.session.run(&format!("SELECT 1 FROM {schema}.{table} LIMIT 0")).await {
            Ok(()) => Ok(true),
            Err(error) if error.code() == Some(ER_NO_SUCH_TABLE) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn ask_for(
        &mut self,
        name: &TableName,
        key: Option<Vec<usize>>,
        found: Option<FoundLater>,
    ) -> Result<Opened, Trouble> {
        let (opened, answer) = oneshot::channel();
        let found = found.map(Box::new);
        let request = Request::Open { table: name.clone(), key, found, opened };
        Ok(self.ask(request, answer).await?)
    }

    /// Where the binlog ends behind what was read. After a failure of the session there is none.
    async fn end(&mut self, shown: Shown, is_read: bool) -> Result<Place, Error> {
        if !is_read && self.session.is_broken() {
            return Ok(Place { file: FileName::from(""), offset: 0 });
        }
        let address = || self.settings.endpoint.address();
        let end = shown::end(&mut self.session, shown).await?;
        end.ok_or_else(|| Error::NoBinlog { address: address() })
    }

    async fn close(
        &mut self,
        number: u64,
        mark: Place,
        read: Option<Box<Read>>,
    ) -> Result<Closed, Error> {
        let (closed, answer) = oneshot::channel();
        self.ask(Request::Close { number, mark, read, closed }, answer).await
    }

    async fn note(&mut self, notes: Notes) -> Result<(), Error> {
        let (noted, answer) = oneshot::channel();
        self.ask(Request::Note { notes, noted }, answer).await
    }

    /// Whoever reads the stream answers as long as it does.
    async fn ask<T>(&self, request: Request, answer: oneshot::Receiver<T>) -> Result<T, Error> {
        self.requests.send(request).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)
    }
}

/// What a table is to be read by.
enum Found {
    /// By this key, and how far it is.
    Begun(Key, Box<Copy>),
    /// There is nothing to be read.
    Empty,
    /// As a whole.
    NoKey,
}

/// As many rows as are read in the time that a chunk should take, and fit into it.
fn next_limit(limit: u64, rows: usize, bytes: usize, took: Duration) -> u64 {
    let rows = rows.max(1) as u64;
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let wanted = u64::try_from(CHUNK_TIME.as_micros()).unwrap_or(u64::MAX);
    let by_time = rows.saturating_mul(wanted) / micros;
    // No more than twice as many: the next ones may be larger.
    let by_time = by_time.clamp(limit / 2, limit.saturating_mul(2));
    let by_bytes = (MOST_BYTES as u64 / 2).saturating_mul(rows) / (bytes.max(1) as u64);
    by_time.min(by_bytes).clamp(1, MOST_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_chunk_follows_the_time_and_the_size_of_the_last() {
        let millis = Duration::from_millis;
        assert_eq!(next_limit(1000, 1000, 10_000, millis(200)), 1000);
        assert_eq!(next_limit(1000, 1000, 10_000, millis(10)), 2000);
        assert_eq!(next_limit(1000, 1000, 10_000, millis(4000)), 500);
        assert_eq!(next_limit(1000, 1, 1 << 30, millis(200)), 1);
        assert_eq!(next_limit(MOST_LIMIT, 200_000, 2_000_000, millis(1)), MOST_LIMIT);
    }
}
