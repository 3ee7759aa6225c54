//! The reading of all tables that somebody wants, at an instance's first start.
//!
//! In: where the instance begins, and where the source's binlog ends now (`lo`). Out: pages of
//! definitions, read ahead: each valid from its own `hi` on, and for rows before it unless a
//! statement of the binlog changed the table in between. Always: one page in memory, each row
//! of it within the session's time limit; whoever stops between two pages loses nothing: what
//! was not read is unknown, and is read when rows of it come. A page that takes too long is tried
//! again in smaller ones. A table that takes too long alone is tried once more behind all others:
//! an answer may have stopped on its way. What is not read then either, or is locked, is left over,
//! with a word, to be read while the instance runs.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::binlog::FIRST_EVENT;
use crate::change::TableName;
use crate::mysql::{self, Session, Sight};

use super::model::{Database, ToRead};
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
    /// What was not answered in time, and is tried once more.
    late: Vec<TableName>,
    /// Whether that is being tried.
    is_again: bool,
    /// What is not read.
    left: BTreeSet<TableName>,
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

    /// Tables that were not read, and are to be read while the instance runs.
    pub fn into_left(self) -> BTreeSet<TableName> {
        self.left
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

    /// What was not answered in time comes once more; false if there is no such thing.
    fn begins_again(&mut self) -> bool {
        if self.late.is_empty() {
            return false;
        }
        self.is_again = true;
        self.page = 1;
        self.of += self.late.len();
        for TableName { schema, table } in std::mem::take(&mut self.late) {
            match self.tables.back_mut().filter(|(last, _)| *last == schema) {
                Some((_, names)) => names.push_back(Box::from(&*table)),
                None => self.tables.push_back((schema, VecDeque::from([Box::from(&*table)]))),
            }
        }
        true
    }

    /// The source takes too long again: no start waits for it any longer.
    fn leave_the_rest(&mut self) {
        for (schema, names) in std::mem::take(&mut self.tables) {
            let names = names.iter().map(|name| TableName::new(Arc::clone(&schema), &**name));
            self.left.extend(names);
        }
        self.of = self.done;
    }

    /// Whether the page that ended by this error is to be tried again, in smaller ones; the only
    /// table of one is tried behind all others, or left over.
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
        if self.is_again {
            self.leave_the_rest();
        } else if let [only] = &*names {
            let name = TableName::new(schema.clone(), &**only);
            tracing::info!(table = %name, %error, "is read behind all others");
            self.late.push(name);
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
        let mut survey = self.list(origin.session, from, ready).await?;
        let left = busy.iter().filter(|name| wanted(&name.schema, &name.table));
        survey.left = left.filter(|name| self.is_to_read(name)).cloned().collect();
        Ok(survey)
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
                let is_unknown = self.is_to_read(table);
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
        let (late, is_again, left) = (Vec::new(), false, BTreeSet::new());
        let (rate, done) = (0.0, 0);
        Ok(Survey {
            lo,
            tables,
            complete,
            partly_seen,
            late,
            is_again,
            left,
            page,
            rate,
            done,
            of,
            begun,
        })
    }

    /// Whether nothing is known of a table, or it was lost by a statement.
    fn is_to_read(&self, name: &TableName) -> bool {
        let is_lost = || {
            let entry = self.model.table(name);
            entry.is_some_and(|entry| entry.lost.is_some() && entry.read.is_none())
        };
        !self.model.has_table(name) || self.model.to_read == Some(ToRead::Rest) && is_lost()
    }

    /// Reads a page of it into the model; false when there was no more. After an error by which
    /// the survey [shrinks](Survey::shrinks) it goes on, with another session if this one is broken.
    pub async fn survey_page(
        &mut self,
        session: &mut Session,
        survey: &mut Survey,
    ) -> Result<bool, Error> {
        if survey.tables.is_empty() {
            survey.begins_again();
        }
        let Some((schema, names)) = survey.next() else {
            let end = capture::end(session).await?.ok_or(Error::NoBinlog)?;
            for name in &survey.complete {
                self.model.set_complete(name, &end);
            }
            self.model.set_to_read((!survey.left.is_empty()).then_some(ToRead::Rest));
            tracing::info!(tables = survey.done, took = ?survey.begun.elapsed(), "tables read from the source");
            if !survey.left.is_empty() {
                let few: Vec<_> = survey.left.iter().take(10).map(ToString::to_string).collect();
                tracing::warn!(
                    tables = survey.left.len(),
                    among = few.join(", "),
                    "not read yet, because the source takes too long for them, or they are being changed: they are read while the instance runs, or when rows of them come"
                );
            }
            return Ok(false);
        };
        let begun = Instant::now();
        let dialect = self.dialect(0, None);
        let mut tables = capture::tables(session, &schema, &names, &dialect).await?;
        let mut hidden = BTreeSet::new();
        if survey.partly_seen.contains(&*schema) {
            hidden = not_whole(session, tables.keys(), &mut survey.left).await?;
            tables.retain(|name, _| !hidden.contains(name) && !survey.left.contains(name));
        }
        let hi = capture::end(session).await?.ok_or(Error::NoBinlog)?;
        let mut missing = names.clone();
        missing.retain(|name| !tables.contains_key(&TableName::new(&*schema, &**name)));
        if !missing.is_empty() {
            // Views have no rows; all else was dropped, or locked for too long.
            let views = capture::views(session, &schema, &missing).await?;
            let missing = missing.iter().filter(|name| !views.contains(*name));
            let missing = missing.map(|name| TableName::new(Arc::clone(&schema), &**name));
            let missing: Vec<_> = missing.filter(|name| !hidden.contains(name)).collect();
            if !missing.is_empty() || !hidden.is_empty() {
                survey.complete.remove(&*schema);
            }
            survey.left.extend(missing);
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
                    busy.insert(name);
                }
                other => other?,
            }
        }
        Ok(busy)
    }
}

/// Those of the tables that are not shown as a whole: they are read when rows of them come, if
/// the account sees them by then. What is locked is `left`.
async fn not_whole<'n>(
    session: &mut Session,
    names: impl Iterator<Item = &'n TableName>,
    left: &mut BTreeSet<TableName>,
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
                left.insert(name.clone());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(hidden)
}
