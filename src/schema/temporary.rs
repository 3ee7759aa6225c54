//! Temporary tables that the binlog names: which session has which.
//!
//! In: what statements say, with the session that ran them. Out: the same without what concerns
//! temporary tables, which are nobody else's: a session's own table hides the real one of that
//! name. Servers log them in the formats MIXED (MariaDB) and STATEMENT.
//!
//! The flag `THREAD_SPECIFIC` alone decides nothing (tried on MySQL 9.7 and MariaDB 10.11, the
//! table is in `tests/it/temporary_tables.rs`): it is set on statements about real tables that
//! read a temporary one or have CONNECTION_ID() in the default of a column, and MariaDB's RENAME
//! TABLE of a temporary table lacks it. MariaDB's CREATE OR REPLACE has it wherever it replaces a
//! table (`tests/it/replaced_tables.rs`), so it does not show there whether the table is made LIKE a
//! temporary one: it is one that the session is known to have, and else the real one. (One that was
//! made before the instance began, over a real one of the same name and with other names for columns
//! of the same types, is taken for that: nothing tells it.) But any other statement without it is
//! about real tables:
//! so it shows when the end of a temporary one was not logged (MySQL forgets it behind OPTIMIZE
//! TABLE). DROP TABLE never means a temporary one: servers write those apart, as DROP TEMPORARY
//! TABLE.
//!
//! A start of their server ends all of its sessions, and thread ids begin again: the reader notices
//! it in the binlog that it reads. By GTID it may come to a place without reading the files before
//! it: then those between the one where a session's tables were noted and that place show at their
//! heads whether the server was started. No time takes part: sessions set theirs. Of a session of
//! which that cannot be known any more (files were purged) what its statements are about is unknown.
//!
//! Always: bounded. What the sessions have is part of the history, as each commit leaves it: RENAME
//! TABLE of a temporary table can be known by nothing else. What was made before the instance began
//! is not known: [`Temporaries::doubt`] names the table that has to be asked about.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::case::lower;
use super::ddl::{Body, Effect, Message, Reading, TemporaryTable};
use crate::change::{FileName, StatementKind, TableName};

/// More than servers have open at a time; beyond it all are forgotten.
const MOST: usize = 100_000;

/// A session of a server, as the header and the body of its statements name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionOf {
    pub(crate) server: u32,
    pub(crate) thread: u32,
}

/// What the flag `THREAD_SPECIFIC` of a statement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// It is not set.
    Unset,
    /// A temporary table may explain it.
    Set,
    /// It is set, and something else explains it.
    Explained,
}

impl Flag {
    /// Of a statement of which no more than its flag is known.
    pub(crate) fn of(is_set: bool) -> Self {
        if is_set { Self::Set } else { Self::Unset }
    }
}

/// The temporary tables of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) tables: BTreeSet<TableName>,
    /// Where the last of them came or went; builds before did not note it.
    pub(crate) noted: Option<Noted>,
    /// Its server may have been started since.
    pub(crate) is_doubtful: bool,
}

/// A file of a server's binlog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    /// The server, as [`crate::change::MySqlPosition::server_uuid`].
    pub(crate) server: Arc<str>,
    pub(crate) file: FileName,
}

/// The temporary tables of all sessions.
#[derive(Debug, Default)]
pub(crate) struct Temporaries {
    sessions: HashMap<SessionOf, Own>,
    count: usize,
    folds_case: bool,
}

impl Temporaries {
    /// Whether names that differ by case only are one.
    pub(crate) fn folds_case(&mut self, folds: bool) {
        self.folds_case = folds;
    }

    /// The sessions that have some: of one server, or all.
    pub(super) fn sessions(&self, server: Option<u32>) -> Vec<SessionOf> {
        let sessions = self.sessions.keys().copied();
        sessions.filter(|of| server.is_none_or(|server| of.server == server)).collect()
    }

    /// What a session has.
    pub(super) fn of(&self, session: SessionOf) -> Option<&Own> {
        self.sessions.get(&session)
    }

    /// It has these and no others.
    pub(super) fn set(&mut self, session: SessionOf, own: Option<Own>) {
        let old = self.sessions.remove(&session).map_or(0, |own| own.tables.len());
        self.count = self.count - old + own.as_ref().map_or(0, |own| own.tables.len());
        self.sessions.extend(own.map(|own| (session, own)));
    }

    /// Some of its tables came or went there.
    pub(super) fn changed_at(&mut self, session: SessionOf, noted: Noted) {
        if let Some(own) = self.sessions.get_mut(&session) {
            own.noted = Some(noted);
        }
    }

    /// Whether a session may have ended that had such a table: what it says of a table of that
    /// name is of one or the other.
    fn is_doubtful(&self, session: SessionOf, reading: &Reading) -> bool {
        let is_ddl = reading.message.as_ref().is_some_and(|message| message.is_ddl);
        let own = self.sessions.get(&session).filter(|own| is_ddl && own.is_doubtful);
        own.is_some_and(|own| {
            reading.tables.iter().any(|name| own.tables.contains(&self.key(name)))
        })
    }

    /// Whether the next one is too many.
    pub(super) fn is_full(&self) -> bool {
        self.count >= MOST
    }

    /// It has turned out to be temporary.
    pub(crate) fn insert(&mut self, session: SessionOf, name: &TableName) {
        if self.count >= MOST {
            tracing::warn!("more than {MOST} temporary tables are open on the source: forgotten");
            self.sessions.clear();
            self.count = 0;
        }
        let name = self.key(name);
        if self.sessions.entry(session).or_default().tables.insert(name) {
            self.count += 1;
        }
    }

    fn remove(&mut self, session: SessionOf, name: &TableName) -> bool {
        let name = self.key(name);
        let Some(own) = self.sessions.get_mut(&session) else { return false };
        let had = own.tables.remove(&name);
        self.count -= usize::from(had);
        if own.tables.is_empty() {
            self.sessions.remove(&session);
        }
        had
    }

    fn has(&self, session: SessionOf, name: &TableName) -> bool {
        let own = self.sessions.get(&session);
        own.is_some_and(|own| own.tables.contains(&self.key(name)))
    }

    fn key(&self, name: &TableName) -> TableName {
        if self.folds_case {
            TableName::new(lower(&name.schema), lower(&name.table))
        } else {
            name.clone()
        }
    }

    /// The table that a flagged statement changes, if it is not known to be temporary: it may
    /// be one that was made before we listened.
    pub(crate) fn doubt(&self, session: SessionOf, reading: &Reading) -> Option<TableName> {
        let changes = |kind| match kind {
            StatementKind::Alter
            | StatementKind::Rename
            | StatementKind::Truncate
            | StatementKind::CreateIndex
            | StatementKind::DropIndex => true,
            StatementKind::Create
            | StatementKind::Erase
            | StatementKind::Query
            | StatementKind::Insert
            | StatementKind::Update
            | StatementKind::Delete => false,
        };
        let kind = reading.message.as_ref()?.kind;
        let name = match reading.effects.first() {
            Some(Effect::AlterTable { name, .. } | Effect::Stale { name, .. }) => name,
            Some(Effect::RenameTable { from, .. }) => from,
            _ => reading.tables.first()?,
        };
        (changes(kind) && !self.has(session, name)).then(|| name.clone())
    }

    /// The table that a flagged statement makes another one like, if it is not known to be a
    /// temporary one: it may be one that was made before we listened. And the one that is made.
    pub(crate) fn doubtful_like(
        &self,
        session: SessionOf,
        reading: &Reading,
    ) -> Option<(TableName, TableName)> {
        reading.effects.iter().find_map(|effect| match effect {
            Effect::CreateTable { name, body: Body::Like(like), .. } => {
                (!self.has(session, like)).then(|| (like.clone(), name.clone()))
            }
            Effect::CreateTable { .. }
            | Effect::AlterTable { .. }
            | Effect::Stale { .. }
            | Effect::RenameTable { .. }
            | Effect::DropTable { .. }
            | Effect::PartitionToTable { .. }
            | Effect::CreateDatabase { .. }
            | Effect::AlterDatabase { .. }
            | Effect::DropDatabase { .. } => None,
        })
    }

    /// Notes what becomes of the session's tables, and takes out what concerns them.
    pub(crate) fn take_out(&mut self, session: SessionOf, flag: Flag, reading: &mut Reading) {
        let (flagged, explained) = (flag != Flag::Unset, flag == Flag::Explained);
        for table in &reading.temporary {
            match table {
                TemporaryTable::Made(name) => self.insert(session, name),
                TemporaryTable::Dropped(name) => drop(self.remove(session, name)),
            }
        }
        for effect in &mut reading.effects {
            // The table that it is made like may be a temporary one: its text does not say.
            if let Effect::CreateTable { body, .. } = effect
                && let Body::Like(like) = body
                && flagged
                && (!explained || self.has(session, like))
            {
                *body = Body::Unknown("it may be made LIKE a temporary table".to_owned());
            }
        }
        if !self.sessions.contains_key(&session) {
            return;
        }
        if (flagged || reading.renames_temporary) && self.is_doubtful(session, reading) {
            reading.void(
                "it may have been about a temporary table of a session that may have ended: whether \
                 its server was started since cannot be known any more",
            );
        } else if flagged || reading.renames_temporary {
            self.take_out_own(session, reading);
        } else {
            for name in &reading.tables {
                self.remove(session, name);
            }
        }
    }

    fn take_out_own(&mut self, session: SessionOf, reading: &mut Reading) {
        let (mut own, mut real) = (HashSet::new(), HashSet::new());
        let mut kept = Vec::new();
        for effect in std::mem::take(&mut reading.effects) {
            match &effect {
                Effect::RenameTable { from, to, .. } if self.has(session, from) => {
                    self.remove(session, from);
                    self.insert(session, to);
                    own.extend([from.clone(), to.clone()]);
                    continue;
                }
                Effect::AlterTable { name, .. } | Effect::Stale { name, .. }
                    if self.has(session, name) =>
                {
                    own.insert(name.clone());
                    continue;
                }
                Effect::CreateTable { name, .. }
                | Effect::DropTable { name }
                | Effect::AlterTable { name, .. }
                | Effect::PartitionToTable { to: name, .. }
                | Effect::Stale { name, .. } => {
                    real.insert(name.clone());
                }
                Effect::RenameTable { from, to, .. } => real.extend([from.clone(), to.clone()]),
                Effect::CreateDatabase { .. }
                | Effect::AlterDatabase { .. }
                | Effect::DropDatabase { .. } => {}
            }
            kept.push(effect);
        }
        reading.effects = kept;
        let is_own = |name: &TableName| {
            !real.contains(name) && (own.contains(name) || self.has(session, name))
        };
        reading.tables.retain(|name| !is_own(name));
        let named = reading
            .message
            .as_ref()
            .map(|message| TableName::new(message.schema.as_str(), message.table.as_str()));
        if named.is_some_and(|name| is_own(&name)) {
            reading.message = message_about_real(reading, is_own);
        }
    }
}

/// What is left of a statement's message if the table it names is the session's own: it is about
/// another of its tables, or there is none.
fn message_about_real(
    reading: &mut Reading,
    is_own: impl Fn(&TableName) -> bool,
) -> Option<Message> {
    let kind = reading.message.as_ref().map(|message| (message.kind, message.is_ddl));
    let other = match kind {
        Some((StatementKind::Rename, _)) => {
            reading.effects.iter().find_map(|effect| match effect {
                Effect::RenameTable { to, .. } => Some(to),
                _ => None,
            })
        }
        Some((StatementKind::Update | StatementKind::Delete, _)) => {
            reading.others.iter().find(|name| !is_own(name))
        }
        Some(_) | None => None,
    };
    let ((kind, is_ddl), name) = kind.zip(other.cloned())?;
    if !reading.tables.contains(&name) {
        reading.tables.insert(0, name.clone());
    }
    let (schema, table) = (name.schema.to_string(), name.table.to_string());
    Some(Message { kind, is_ddl, schema, table })
}
