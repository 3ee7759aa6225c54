//! The temporary tables that sessions of the source have, as a part of what is known.

use super::{Key, Known, Model};
use crate::change::TableName;
use crate::schema::ddl::Reading;
use crate::schema::{Flag, Noted, Own, SessionOf, Temporaries};

impl Model {
    /// See [`crate::schema::temporary::Temporaries::doubt`].
    pub(crate) fn doubt(&self, session: SessionOf, reading: &Reading) -> Option<TableName> {
        self.temporaries.doubt(session, reading)
    }

    /// See [`crate::schema::temporary::Temporaries::doubtful_like`].
    pub(crate) fn doubtful_like(
        &self,
        session: SessionOf,
        reading: &Reading,
    ) -> Option<(TableName, TableName)> {
        self.temporaries.doubtful_like(session, reading)
    }

    /// It has turned out to be temporary.
    pub(crate) fn set_temporary(&mut self, session: SessionOf, name: &TableName) {
        self.before_session(session);
        self.temporaries.insert(session, name);
    }

    /// See [`crate::schema::temporary::Temporaries::take_out`].
    pub(crate) fn take_out_temporary(
        &mut self,
        session: SessionOf,
        flag: Flag,
        noted: Noted,
        reading: &mut Reading,
    ) {
        if reading.temporary.is_empty() && self.temporaries.of(session).is_none() {
            // Nothing of it changes.
            return self.temporaries.take_out(session, flag, reading);
        }
        self.before_session(session);
        let tables =
            |temporaries: &Temporaries| temporaries.of(session).map(|own| own.tables.clone());
        let before = tables(&self.temporaries);
        self.temporaries.take_out(session, flag, reading);
        if tables(&self.temporaries) != before {
            self.temporaries.changed_at(session, noted);
        }
    }

    /// The sessions of a server that have some, and where that was noted.
    pub(crate) fn sessions_of(&self, server: u32) -> Vec<(SessionOf, Option<Noted>)> {
        let sessions = self.temporaries.sessions(Some(server)).into_iter();
        let noted = |session| self.temporaries.of(session).and_then(|own| own.noted.clone());
        sessions.map(|session| (session, noted(session))).collect()
    }

    /// A session has ended.
    pub(crate) fn forget_session(&mut self, session: SessionOf) {
        self.remember_session(session);
        self.temporaries.set(session, None);
    }

    /// A session may have ended.
    pub(crate) fn doubt_session(&mut self, session: SessionOf) {
        let own = self.temporaries.of(session).cloned();
        self.remember_session(session);
        let own = own.map(|own| Own { is_doubtful: true, ..own });
        self.temporaries.set(session, own);
    }

    /// A server started, or all are left: what its sessions had is dropped.
    pub(crate) fn forget_sessions(&mut self, server: Option<u32>) {
        for session in self.temporaries.sessions(server) {
            self.remember_session(session);
            self.temporaries.set(session, None);
        }
    }

    pub(crate) fn fold_temporaries(&mut self) {
        self.temporaries.folds_case(self.folds_case);
    }

    /// Before a session gets or loses some. When there are too many, all are forgotten.
    fn before_session(&mut self, session: SessionOf) {
        if self.temporaries.is_full() {
            self.temporaries.sessions(None).into_iter().for_each(|one| self.remember_session(one));
        }
        self.remember_session(session);
    }

    fn remember_session(&mut self, session: SessionOf) {
        let old = self.temporaries.of(session).cloned();
        self.remember(Key::Session(session), old.map(Known::Session));
    }
}
