//! A table that a survey left over, read while the binlog is read.
//!
//! In: a session of its own, at any time. Out: what the server says of the table, which whoever
//! reads the binlog takes between two transactions. Always: it is taken only if no statement was
//! applied that it may lack; else it has to be read again.

use crate::change::TableName;
use crate::mysql::Session;

use super::capture::{self, Shown};
use super::ddl::Dialect;
use super::{Error, Schema, Server};

/// What a server says of a table.
#[derive(Debug)]
pub(crate) struct FoundLater {
    name: TableName,
    shown: Shown,
    server: Server,
}

impl FoundLater {
    /// Whether the server shows a table of that name.
    pub(crate) fn is_shown(&self) -> bool {
        self.shown.definition.is_some()
    }
}

/// Reads a table of a server.
pub(crate) async fn find_later(
    session: &mut Session,
    server: &Server,
    name: &TableName,
) -> Result<FoundLater, Error> {
    let Server { flavor, version, .. } = *server;
    let dialect = Dialect { flavor, version, sql_mode: 0, wide_blank: false };
    let shown = capture::shown(session, name, &dialect).await?;
    Ok(FoundLater { name: name.clone(), shown, server: server.clone() })
}

impl Schema {
    /// Takes a table into the model, unless its definition is known by now. False if it has to be
    /// read again: it is of another server, or a statement behind its reading was applied.
    pub(crate) fn take_later(&mut self, found: FoundLater) -> bool {
        let FoundLater { name, shown, server } = found;
        let is_late = self.changed_at.as_ref().is_some_and(|at| shown.lo <= *at);
        if *server.uuid != *self.server.uuid || is_late {
            return false;
        }
        let entry = self.model.table(&name).unwrap_or_default();
        if entry.now.is_none() && entry.read.is_none() && !entry.absent {
            self.take_shown(&name, shown);
            self.epoch += 1;
        }
        true
    }

    /// Nothing is left over any more.
    pub(crate) fn has_read_all(&mut self) {
        self.model.set_to_read(None);
    }
}
