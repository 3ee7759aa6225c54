//! Which savepoint a ROLLBACK TO means.
//!
//! In: the names of the open transaction's savepoints, and the one that is named. Out: which it is.
//! Always: names are compared as the server that wrote them does. ASCII is compared here; of other
//! letters the server is asked.

use super::{Event, Reader, Stop, session};
use crate::binlog::Query;
use crate::change::ServerVersion;
use crate::mysql::Savepoints;
use crate::source::Error;
use crate::source::assemble::savepoint_name;

impl Reader<'_> {
    /// The name in a SAVEPOINT or ROLLBACK TO.
    pub(super) fn savepoint_name(&self, event: &Event<'_>) -> Result<String, Stop> {
        let text = Query::text_as_it_came(event.header.event_type, event.body);
        text.map(|text| savepoint_name(&text)).map_err(|e| self.odd("QUERY", e))
    }

    /// The newest savepoint of that name: older ones of it are dropped.
    pub(super) async fn savepoint(&mut self, name: &str) -> Result<Option<usize>, Stop> {
        let (mut by_us, mut doubtful) = (None, Vec::new());
        // Only what lies behind the one that is found can be meant in its place.
        for (index, other) in self.assembler.savepoints().rev() {
            if other.eq_ignore_ascii_case(name) {
                by_us = Some(index);
                break;
            }
            if !(other.is_ascii() && name.is_ascii()) {
                doubtful.push((index, other.to_owned()));
            }
        }
        if doubtful.is_empty() {
            return Ok(by_us);
        }
        let names: Vec<&str> = doubtful.iter().map(|(_, other)| other.as_str()).collect();
        let rule = self.rule_for_savepoints();
        let session = session(&mut self.session, self.settings).await?;
        let same = rule.same(session, name, &names).await.map_err(Error::from)?;
        // The newest is first.
        let by_server = doubtful.iter().zip(same).find(|(_, same)| *same);
        Ok(by_server.map(|((index, _), _)| *index).or(by_us))
    }

    /// How the server that wrote the file compares them. MariaDB changed it in 11.5
    /// (`Lex_ident_savepoint`, `sql/lex_ident.h`).
    fn rule_for_savepoints(&self) -> Savepoints {
        let version = &self.format.server_version;
        let is_mariadb = version.contains("MariaDB");
        if is_mariadb && ServerVersion::read(version) >= ServerVersion(11, 5, 0) {
            Savepoints::ByCase
        } else {
            Savepoints::ByLetter
        }
    }
}
