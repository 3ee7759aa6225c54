//! The begin that a Canal left: by its GTID set, by file and offset, or by time.
//!
//! In: a `meta.dat`. Out: a begin before which nothing is missing, or an error that names the
//! file. A name and an offset say something about the server they are of, and about no other:
//! Canal looks for the time then, less a minute (`MysqlEventParser.findStartPositionInternal`),
//! and so do we.

use std::net::IpAddr;

use super::{FileAt, Finder, First};
use crate::change::GtidSet;
use crate::mysql;
use crate::source::meta_dat::{self, Cursor};
use crate::source::{Error, Left};

impl Finder<'_> {
    /// The begin that the file says; `None` if it says none.
    pub(super) async fn left(&mut self, left: &Left) -> Result<Option<First>, Error> {
        let unusable = |reason| Error::MetaDat { path: left.path.clone(), reason };
        let cursor = meta_dat::read(&left.content)
            .map_err(|reason| unusable(format!("cannot be read: {reason}")))?;
        let file = left.path.display();
        let Some(cursor) = cursor else {
            tracing::warn!("Canal's {file} holds no position: it is skipped");
            return Ok(None);
        };
        // What is wrong with a place is wrong with the file.
        self.at_cursor(&cursor, &file).await.map(Some).map_err(|error| match error {
            Error::Start(reason) => unusable(reason),
            error => error,
        })
    }

    async fn at_cursor(
        &mut self,
        cursor: &Cursor,
        file: &std::path::Display<'_>,
    ) -> Result<First, Error> {
        if self.settings.by_gtid && !cursor.gtid.is_empty() {
            let set = GtidSet::parse(self.probe.flavor, &cursor.gtid)
                .map_err(|error| Error::Start(format!("holds a wrong GTID set: {error}")))?;
            let position = self.behind(set);
            return Ok(First { note: note(&position, file), position });
        }
        if let Some(whose) = self.other_address(cursor).await {
            return self.by_time(cursor, file, &whose).await;
        }
        let (name, offset) = (cursor.journal_name.as_str(), cursor.position);
        let found = match self.boundary_at(name, offset).await {
            Ok(walked) => Ok(walked),
            Err(Error::Start(reason)) => Err(reason),
            Err(error) => return Err(error),
        };
        // Where no event begins, the server that answers is all there is to compare with.
        let at_place = found.as_ref().ok().and_then(|walked| walked.server_id);
        let own = self.probe.variable("server_id").and_then(|id| id.parse().ok());
        if cursor.is_of_other_server(at_place.or(own)) {
            let whose = format!(
                "server_id {} at {}, and here the server_id is {}",
                cursor.server_id.unwrap_or_default(),
                self.settings.endpoint.address(),
                at_place.or(own).unwrap_or_default(),
            );
            return self.by_time(cursor, file, &whose).await;
        }
        let walked = found.map_err(|reason| {
            Error::Start(format!("names {name}:{offset}, which cannot be continued from: {reason}"))
        })?;
        let position = self.position(name, walked);
        Ok(First { note: note(&position, file), position })
    }

    /// Whose the cursor is, if the addresses show that it is another server's.
    async fn other_address(&self, cursor: &Cursor) -> Option<String> {
        let endpoint = &self.settings.endpoint;
        let source = cursor.source.as_ref()?;
        let theirs = self.resolved(&source.address).await;
        let ours = self.resolved(&endpoint.host).await;
        cursor.is_of_other_address((&endpoint.host, endpoint.port), &theirs, &ours).then(|| {
            format!("{}:{}, and this is {}", source.address, source.port, endpoint.address())
        })
    }

    /// The addresses of a host; none if nobody knows it (any more).
    async fn resolved(&self, host: &str) -> Vec<IpAddr> {
        let asked = mysql::addresses(host);
        let found = tokio::time::timeout(self.settings.endpoint.connect_timeout, asked).await;
        found.map_or_else(|_| Vec::new(), Result::unwrap_or_default)
    }

    /// At the cursor's time, less what clocks may differ by. `whose` says of which server the
    /// cursor is, and which one this is.
    async fn by_time(
        &mut self,
        cursor: &Cursor,
        file: &std::path::Display<'_>,
        whose: &str,
    ) -> Result<First, Error> {
        let fallback = self.settings.fallback;
        let Some(seconds) = cursor.safe_time(fallback) else {
            return Err(Error::Start(format!(
                "is of another server ({whose}), where file and offset say nothing, and it has \
                 no timestamp to find the place by"
            )));
        };
        let time = jiff::Timestamp::from_second(i64::from(seconds))
            .map_or_else(|_| seconds.to_string(), |time| time.to_string());
        let name = match self.file_at(seconds).await? {
            FileAt::Begun(name) => name,
            FileAt::Later { oldest } => {
                return Err(Error::Start(format!(
                    "is of another server ({whose}), where file and offset say nothing, and its \
                     time less {} s ({time}) lies before the oldest binlog that this one has, \
                     {oldest}: what was written between would be missing",
                    fallback.as_secs(),
                )));
            }
        };
        let position = self.in_file(&name, seconds).await?;
        let note = format!(
            "begins at {position}, the first transaction since {time}, which is the time in \
             Canal's {file} less {} s: that file is of another server ({whose}), so file and \
             offset in it say nothing; what Canal delivered since then comes once more",
            fallback.as_secs(),
        );
        Ok(First { position, note })
    }
}

fn note(position: &crate::change::MySqlPosition, file: &std::path::Display<'_>) -> String {
    format!(
        "begins at {position}, from Canal's {file}, which is not read again; the transaction that \
         Canal delivered last comes once more"
    )
}
