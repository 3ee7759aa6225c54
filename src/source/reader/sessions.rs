//! Which sessions with temporary tables are still there, where files were left out.
//!
//! In: where the tables of each were noted, and the file that the dump began with. Out: which of
//! them have ended, since the server was started in between, and of which that cannot be known.
//! Always: only what servers write at the heads of their files counts, and no session's time.
//!
//! Who goes on by file reads each head. Who comes from another server does not, nor does who asks by
//! GTID: the server leaves out files of which all was executed, and MariaDB clears in the first head
//! what tells of a start (`send_format_descriptor_event`, sql/sql_repl.cc).

use std::collections::HashMap;

use super::{Reader, Stop, session};
use crate::binlog::{EventType, FIRST_EVENT};
use crate::change::FileName;
use crate::mysql::{self, Scan, probe};
use crate::schema::Place;
use crate::source::{Error, Settings};

/// As many heads are looked at.
const MOST_HEADS: usize = 200;

/// Where a dump begins.
#[derive(Clone, Debug)]
pub(in crate::source) struct Begun {
    /// The file that was read last of this server, where no other was read since.
    pub(in crate::source) left_in: Option<FileName>,
    /// The file that the server began with, once it is known.
    pub(in crate::source) began_in: Option<FileName>,
}

/// Whether a server was started between two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Started {
    Yes,
    No,
    /// A file in between is not there any more, or there are too many.
    Unknown,
}

impl Reader<'_> {
    /// Before the first statement of a dump that may be about a temporary table.
    pub(super) async fn judge_sessions(&mut self, server: u32) -> Result<(), Stop> {
        if server != self.written_by {
            return Ok(());
        }
        let Some(Begun { left_in, began_in: Some(began_in) }) = self.begun.take() else {
            return Ok(());
        };
        let mut judged: HashMap<FileName, Started> = HashMap::new();
        for (session, noted) in self.schema.sessions_of(server) {
            let noted = noted.filter(|noted| *noted.server == **self.tracker.server());
            // What came before the place that was left was read.
            let noted = noted.map(|noted| noted.file);
            let from = noted.into_iter().chain(left_in.clone()).max_by_key(head);
            let known = from.as_ref().and_then(|from| judged.get(from)).copied();
            let started = match (known, from) {
                (Some(known), _) => known,
                (None, Some(from)) => {
                    let started = self.started_between(&from, &began_in).await?;
                    judged.insert(from, started);
                    started
                }
                (None, None) => Started::Unknown,
            };
            match started {
                Started::Yes => self.schema.session_has_ended(session),
                Started::No => {}
                Started::Unknown => {
                    tracing::warn!(
                        server_id = session.server,
                        thread = session.thread,
                        "a session had temporary tables, and it cannot be known whether the source \
                         was started since: its binlogs between are not there any more"
                    );
                    self.schema.session_may_have_ended(session);
                }
            }
        }
        Ok(())
    }

    /// Whether a file behind `from`, up to `to`, begins with a start of the server.
    async fn started_between(&mut self, from: &FileName, to: &FileName) -> Result<Started, Stop> {
        let (from, to) = (head(from), head(to));
        if to <= from {
            return Ok(Started::No);
        }
        let session = session(&mut self.session, self.settings).await?;
        let files = probe::binlog_files(session).await.map_err(Error::from)?;
        let names = files.iter().map(|file| FileName::from(file.name.as_str()));
        let mut between: Vec<Place> = names.map(|name| head(&name)).collect();
        between.retain(|file| from < *file && *file <= to);
        // Newest first: one start is enough.
        for file in between.iter().rev().take(MOST_HEADS) {
            match begins_with_start(self.settings, &file.file).await? {
                Some(true) => return Ok(Started::Yes),
                Some(false) => {}
                None => return Ok(Started::Unknown),
            }
        }
        let wanted = to.file_number().saturating_sub(from.file_number());
        let are_all_there = between.len() as u64 == wanted && between.len() <= MOST_HEADS;
        Ok(if are_all_there { Started::No } else { Started::Unknown })
    }
}

fn head(file: &FileName) -> Place {
    Place { file: FileName::clone(file), offset: FIRST_EVENT }
}

/// Whether the server was started when it began a file; none if that is not there any more.
async fn begins_with_start(settings: &Settings, file: &FileName) -> Result<Option<bool>, Error> {
    let file = FileName::clone(file);
    let mut scan = Scan::open(&settings.endpoint, &settings.replica, file, FIRST_EVENT).await?;
    loop {
        let event = match scan.next().await {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(None),
            Err(error) if error.code() == Some(mysql::ERROR_READING_BINLOG) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if event.header.event_type == EventType::FormatDescription {
            // Behind the checksum that was taken off its body nothing of it could be read.
            return Ok(Some(scan.format().created != 0));
        }
    }
}
