//! The reading of all tables that somebody wants, at an instance's first start.
//!
//! In: where the instance begins, and where the source's binlog ends now (`lo`). Out: pages of
//! definitions, read ahead: each valid from its own `hi` on, and for rows before it unless a
//! statement of the binlog changed the table in between. Always: one page in memory, each row
//! of it within the session's time limit; whoever stops between two pages loses nothing: what
//! was not read is unknown, and is read when rows of it come. A page that takes too long is tried
//! again in smaller ones; a table that takes too long alone is left out, with a word.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::binlog::FIRST_EVENT;
use crate::change::TableName;
use crate::mysql::{self, Session, Sight};

use super::model::Database;
use super::{Error, Origin, Place, Schema, capture};

/// A page grows while it is read in this time. It grows as well while larger ones bring more tables
/// a second: a server may look through all names of a database for each.
const PAGE_TIME: Duration = Duration::from_millis(500);
const FIRST_PAGE: usize = 100;
/// A page's state records are one commit. From 1000 names on MariaDB makes a subquery of them, and
/// opens every table of the database for it (`in_predicate_conversion_threshold`).
const LARGEST_PAGE: usize = 990;
/// How much smaller a page is tried that the server did not answer in time.
const SHRINKS_BY: usize = 8;
/// What the servers call a statement that took longer than their own limits:
/// `max_execution_time` of MySQL, `max_statement_time` of MariaDB, KILL QUERY of a watcher.
const TOOK_TOO_LONG: [u16; 3] = [3024, 1969, 1317];

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
    /// Databases of which the account may see some columns of a table only.
    partly_seen: BTreeSet<String>,
    page: usize,
    /// Tables a second of the page before.
    rate: f64,
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

    /// Names of the next page, all of one database. They stay until they are [`Survey::took`].
    fn next(&self) -> Option<(Arc<str>, Vec<Box<str>>)> {
        let (schema, names) = self.tables.front()?;
        Some((Arc::clone(schema), names.iter().take(self.page).cloned().collect()))
    }

    /// A page came, after so long.
    fn took(&mut self, tables: usize, time: Duration) {
        self.done += tables;
        let full = tables == self.page;
        self.drop_first(tables);
        let rate = f64::from(u32::try_from(tables).unwrap_or(u32::MAX))
            / time.as_secs_f64().max(f64::MIN_POSITIVE);
        if full && (time < PAGE_TIME || rate > 1.2 * self.rate) {
            self.page = (self.page * 2).min(LARGEST_PAGE);
        }
        self.rate = rate;
    }

    fn drop_first(&mut self, tables: usize) {
        let Some((_, names)) = self.tables.front_mut() else { return };
        names.drain(..tables.min(names.len()));
        if names.is_empty() {
            self.tables.pop_front();
        }
    }

    /// Whether the page that ended by this error is to be tried again, in smaller ones; the only
    /// table of one is left out.
    pub fn shrinks(&mut self, error: &Error) -> bool {
        let is_late = match error {
            Error::Server(error @ mysql::Error::Server { .. }) => {
                error.code().is_some_and(|code| TOOK_TOO_LONG.contains(&code))
            }
            Error::Server(error) => matches!(error, mysql::Error::Timeout { .. }),
            Error::Unknown { .. }
            | Error::NoBinlog
            | Error::NotSent { .. }
            | Error::History { .. } => false,
        };
        let Some((schema, names)) = self.next().filter(|_| is_late) else { return false };
        if let [only] = &*names {
            tracing::warn!(table = %TableName::new(schema.clone(), &**only), %error, "is not read now, because the source takes too long for it: it is read when rows of it come");
            self.complete.remove(&*schema);
            self.drop_first(1);
            self.of = self.of.saturating_sub(1);
        } else {
            tracing::info!(database = &*schema, tables = names.len(), %error, "reading fewer tables at a time");
            self.page = (names.len() / SHRINKS_BY).max(1);
        }
        self.rate = 0.0;
        true
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
        let sight = Sight::ask(session).await?;
        let (mut tables, mut complete) = (VecDeque::new(), BTreeSet::new());
        let mut partly_seen = BTreeSet::new();
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
                let is_unknown = !self.model.has_table(table);
                let is_ready = ready(table);
                left_out.fetch_or(is_unknown && !is_ready, Ordering::Relaxed);
                is_unknown && is_ready
            };
            let names = capture::names(session, &name, unknown).await?;
            if !left_out.into_inner() && sight.has_all_of(&name) {
                complete.insert(name.clone());
            }
            if !sight.has_all_of(&name) {
                partly_seen.insert(name.clone());
            }
            if !names.is_empty() {
                tables.push_back((Arc::from(name), VecDeque::from(names)));
            }
        }
        let of = tables.iter().map(|(_, names)| names.len()).sum();
        let lo = from.lo.clone();
        let (page, begun) = (FIRST_PAGE, Instant::now());
        Ok(Survey { lo, tables, complete, partly_seen, page, rate: 0.0, done: 0, of, begun })
    }

    /// Reads a page of it into the model; false when there was no more. After an error by which
    /// the survey [shrinks](Survey::shrinks) it goes on, with another session if this one is broken.
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
        let dialect = self.dialect(0, None);
        let mut tables = capture::tables(session, &schema, &names, &dialect).await?;
        if survey.partly_seen.contains(&*schema) {
            let hidden = hidden(session, tables.keys()).await?;
            tables.retain(|name, _| !hidden.contains(name));
        }
        let hi = capture::end(session).await?.ok_or(Error::NoBinlog)?;
        let mut missing = names.clone();
        missing.retain(|name| !tables.contains_key(&TableName::new(&*schema, &**name)));
        // Views have no rows; all else was dropped, or locked for too long.
        if !missing.is_empty() && capture::views(session, &schema, &missing).await? < missing.len()
        {
            survey.complete.remove(&*schema);
        }
        for (name, definition) in tables {
            Self::say_doubtful_labels(&name, &definition);
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

/// Those of the tables that are not shown as a whole: they are read when rows of them come, if
/// the account sees them by then.
async fn hidden<'n>(
    session: &mut Session,
    names: impl Iterator<Item = &'n TableName>,
) -> Result<BTreeSet<TableName>, Error> {
    let mut hidden = BTreeSet::new();
    for name in names {
        match capture::settle_whole(session, name).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(table = %name, "the account has privileges on some of its columns only: it is not read before rows of it come; GRANT SELECT on the whole table");
                hidden.insert(name.clone());
            }
            Err(error) if capture::is_busy(&error) => {
                hidden.insert(name.clone());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(hidden)
}
