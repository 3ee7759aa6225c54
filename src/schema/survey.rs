//! The reading of all tables that somebody wants, at an instance's first start.
//!
//! In: where the instance begins, and where the source's binlog ends now (`lo`). Out: pages of
//! definitions, read ahead: each valid from its own `hi` on, and for rows before it unless a
//! statement of the binlog changed the table in between. Always: one page in memory, each row
//! of it within the session's time limit; whoever stops between two pages loses nothing: what
//! was not read is unknown, and is read when rows of it come.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::binlog::FIRST_EVENT;
use crate::change::TableName;
use crate::mysql::{self, Session};

use super::model::Database;
use super::{Error, Origin, Place, Schema, capture};

/// A page holds as many tables as are read in about this time.
const PAGE_TIME: Duration = Duration::from_millis(500);
const FIRST_PAGE: usize = 100;
/// A page's state records are one commit.
const LARGEST_PAGE: usize = 2000;

/// From where on the definitions have to hold.
#[derive(Clone, Copy, Debug)]
pub struct From<'a> {
    /// Where the instance begins to read.
    pub begin: &'a Place,
    /// The end of the source's binlog, before anything is read.
    pub lo: &'a Place,
    /// Whether all that the binlog has up to `lo` is known to be visible to queries.
    pub is_settled: bool,
}

/// A reading that is going on.
#[derive(Debug)]
pub struct Survey {
    lo: Place,
    /// What is still to be read, by database.
    tables: VecDeque<(Arc<str>, VecDeque<Box<str>>)>,
    /// Databases of which each table is known or listed.
    complete: BTreeSet<String>,
    page: usize,
    done: usize,
    of: usize,
    begun: Instant,
}

impl Survey {
    /// How many tables were read.
    pub fn done(&self) -> usize {
        self.done
    }

    /// How many there are to be read in all.
    pub fn of(&self) -> usize {
        self.of
    }

    /// Names of the next page, all of one database.
    fn next(&mut self) -> Option<(Arc<str>, Vec<Box<str>>)> {
        let (schema, names) = self.tables.front_mut()?;
        let schema = Arc::clone(schema);
        let page = names.drain(..self.page.min(names.len())).collect();
        if names.is_empty() {
            self.tables.pop_front();
        }
        Some((schema, page))
    }

    /// A page came, after so long.
    fn took(&mut self, tables: usize, time: Duration) {
        self.done += tables;
        if time > 2 * PAGE_TIME {
            self.page = (self.page / 2).max(1);
        } else if time < PAGE_TIME {
            self.page = (self.page * 2).min(LARGEST_PAGE);
        }
    }
}

impl Schema {
    /// Reads the databases, and which tables of them there are to read.
    pub async fn survey(
        &mut self,
        origin: &mut Origin<'_>,
        from: From<'_>,
        wanted: impl Fn(&str, &str) -> bool,
    ) -> Result<Survey, Error> {
        let head = Place { file: Arc::clone(&from.lo.file), offset: FIRST_EVENT };
        let unsettled = if from.is_settled { from.lo } else { &head };
        let first = from.begin.min(unsettled);
        if first < from.lo {
            self.scan(origin, first, from.lo).await?;
        }
        let busy = self.settle_all(origin.session, unsettled).await?;
        let ready = |name: &TableName| wanted(&name.schema, &name.table) && !busy.contains(name);
        self.list(origin.session, from, ready).await
    }

    /// Reads all tables there are, at once; the place is that of the source's end before.
    pub async fn capture_all(&mut self, session: &mut Session) -> Result<Place, Error> {
        let lo = capture::end(session).await?.ok_or(Error::NoBinlog)?;
        let from = From { begin: &lo, lo: &lo, is_settled: true };
        let mut survey = self.list(session, from, |_| true).await?;
        while self.survey_page(session, &mut survey).await? {}
        Ok(lo)
    }

    async fn list(
        &mut self,
        session: &mut Session,
        from: From<'_>,
        ready: impl Fn(&TableName) -> bool,
    ) -> Result<Survey, Error> {
        let (mut tables, mut complete) = (VecDeque::new(), BTreeSet::new());
        for (name, charset) in capture::databases(session).await? {
            // What it was at the begin is known only if no statement changed it since.
            let is_of_begin = !self.scanned_database(&name, from.begin);
            let charset = charset.filter(|_| is_of_begin);
            if !self.model.has_database(&name) {
                let database = Database { charset, ..Database::default() };
                self.model.set_database(&name, Some(database));
            }
            if capture::is_of_the_server(&name) {
                continue;
            }
            let left_out = AtomicBool::new(false);
            let unknown = |table: &TableName| {
                let is_unknown = self.model.table(table).is_none();
                let is_ready = ready(table);
                left_out.fetch_or(is_unknown && !is_ready, Ordering::Relaxed);
                is_unknown && is_ready
            };
            let names = capture::names(session, &name, unknown).await?;
            if !left_out.into_inner() {
                complete.insert(name.clone());
            }
            if !names.is_empty() {
                tables.push_back((Arc::from(name), VecDeque::from(names)));
            }
        }
        let of = tables.iter().map(|(_, names)| names.len()).sum();
        let lo = from.lo.clone();
        Ok(Survey { lo, tables, complete, page: FIRST_PAGE, done: 0, of, begun: Instant::now() })
    }

    /// Reads a page of it into the model; false when there was no more.
    pub async fn survey_page(
        &mut self,
        session: &mut Session,
        survey: &mut Survey,
    ) -> Result<bool, Error> {
        let Some((schema, names)) = survey.next() else {
            let end = capture::end(session).await?.ok_or(Error::NoBinlog)?;
            for name in &survey.complete {
                self.model.set_complete(name, &end);
            }
            self.model.set_to_be_surveyed(false);
            tracing::info!(tables = survey.done, took = ?survey.begun.elapsed(), "tables read from the source");
            return Ok(false);
        };
        let begun = Instant::now();
        let tables = capture::tables(session, &schema, &names).await?;
        let hi = capture::end(session).await?.ok_or(Error::NoBinlog)?;
        let mut missing = names.clone();
        missing.retain(|name| !tables.contains_key(&TableName::new(&*schema, &**name)));
        // Views have no rows; all else was dropped, or locked for too long.
        if !missing.is_empty() && capture::views(session, &schema, &missing).await? < missing.len()
        {
            survey.complete.remove(&*schema);
        }
        for (name, definition) in tables {
            let read = self.read(definition, survey.lo.clone(), hi.clone());
            self.model.change(&name, |entry| entry.read = Some(read));
        }
        survey.took(names.len(), begun.elapsed());
        Ok(true)
    }

    /// Waits for the statements that the binlog has and the server may not show yet; the
    /// tables of which that lasts too long.
    async fn settle_all(
        &self,
        session: &mut Session,
        unsettled: &Place,
    ) -> Result<BTreeSet<TableName>, mysql::Error> {
        let (tables, databases) = self.scanned_names(unsettled);
        for name in &databases {
            match capture::settle_database(session, name).await {
                Err(error) if capture::is_busy(&error) => {
                    tracing::warn!(
                        database = name,
                        "is being changed: its default character set may be the one before"
                    );
                }
                other => other?,
            }
        }
        let mut busy = BTreeSet::new();
        for name in tables {
            match capture::settle(session, &name).await {
                Err(error) if capture::is_busy(&error) => {
                    tracing::warn!(table = %name, "is being changed: it is read when rows of it come");
                    busy.insert(name);
                }
                other => other?,
            }
        }
        Ok(busy)
    }
}
