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
        let savepoints: Vec<String> = self.assembler.savepoints().map(str::to_owned).collect();
        let by_us = savepoints.iter().rposition(|other| other.eq_ignore_ascii_case(name));
        // Only what lies behind it can be meant in its place.
        let behind = by_us.map_or(0, |index| index + 1);
        let doubtful = savepoints.iter().enumerate().skip(behind);
        let doubtful = doubtful.filter(|(_, other)| !(other.is_ascii() && name.is_ascii()));
        let (indices, names): (Vec<usize>, Vec<&str>) =
            doubtful.map(|(index, other)| (index, other.as_str())).unzip();
        if names.is_empty() {
            return Ok(by_us);
        }
        let rule = self.rule_for_savepoints();
        let session = session(&mut self.session, self.settings).await?;
        let same = rule.same(session, name, &names).await.map_err(Error::from)?;
        let by_server = indices.into_iter().zip(same).rfind(|(_, same)| *same);
        Ok(by_server.map(|(index, _)| index).or(by_us))
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
