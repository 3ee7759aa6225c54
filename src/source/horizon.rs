//! How long the server keeps what an instance still needs of its binlog.
//!
//! In: the server's settings for purging and its list of files, asked now and then on a
//! connection of its own. Out: seconds until a file may be purged for its age, bytes that may
//! still be written before it is for the size of all, and how many older files go before it.
//! Always: the dump does not wait for it; between two answers the seconds run on, also while
//! the server cannot be reached.
//!
//! A server purges a file when its last change is older than the limit
//! (`MYSQL_BIN_LOG::purge_logs_before_date`, `sql/binlog.cc`): that is when the next file began,
//! which the format description at its head says. The file that is being written is not purged.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Error, Settings};
use crate::binlog::{EventType, FIRST_EVENT};
use crate::change::FileName;
use crate::mysql::{Scan, Session, probe};

/// How long until the server is asked again for the same file.
pub(super) const EVERY: Duration = Duration::from_mins(1);
/// How often it is asked at most.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is left, in the units that the server's settings are in; `None` where it has no such
/// limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Seconds until the file that is needed may be purged for its age.
    pub seconds: Option<u64>,
    /// Bytes that may be written before it is purged for the size of all.
    pub bytes: Option<u64>,
    /// Older files, which are purged before it.
    pub files: u64,
    /// How much of the time or the size is used up, in percent: the larger; 100 when the file is
    /// purged.
    pub used_percent: u8,
}

impl Retention {
    /// From here on it is said.
    pub const WARNING: u8 = 50;
    /// From here on it is urgent.
    pub const ALARM: u8 = 75;
}

/// One answer of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Horizon {
    /// The file that is needed.
    file: String,
    /// It is not there any more.
    is_purged: bool,
    /// When it was closed, in milliseconds by the server's clock; `None` while it is written.
    closed: Option<i64>,
    /// How long files are kept, in milliseconds.
    kept_for: Option<i64>,
    /// Bytes from the begin of that file on, and how many are kept.
    size: Option<(u64, u64)>,
    /// Older files.
    files: u64,
    /// How long it is, in bytes.
    length: u64,
}

impl Horizon {
    /// Whether the server had written less than what was received up to `reached` before it was
    /// asked, or does not have the file that it sends: then it sends nothing more, and does not say
    /// so (tried on MySQL 9.7 and MariaDB 10.11: heartbeats go on to name the old place).
    pub(super) fn was_reset(&self, reached: u64) -> bool {
        self.is_purged || self.length < reached
    }

    /// Whether the server has more than what was received up to `reached`: it may just be about to
    /// send it, or have begun the file anew.
    pub(super) fn is_longer_than(&self, reached: u64) -> bool {
        !self.is_purged && self.length > reached
    }

    /// What is left when the server's clock shows `now`.
    fn at(&self, now: i64) -> Retention {
        if self.is_purged {
            return Retention { seconds: Some(0), used_percent: 100, ..Retention::default() };
        }
        let age = self.closed.map_or(0, |closed| (now - closed).max(0));
        let time = self.kept_for.map(|limit| (age, limit));
        let percent = |(used, limit): (u64, u64)| {
            u8::try_from((used * 100 / limit.max(1)).min(100)).unwrap_or(100)
        };
        let time = time.map(|(age, limit)| (age.unsigned_abs(), limit.unsigned_abs()));
        Retention {
            seconds: time.map(|(age, limit)| limit.saturating_sub(age) / 1000),
            bytes: self.size.map(|(used, limit)| limit.saturating_sub(used)),
            files: self.files,
            used_percent: time.map_or(0, percent).max(self.size.map_or(0, percent)),
        }
    }
}

/// The newest answer, and what was said of it.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    horizon: Option<Horizon>,
    said: u8,
}

impl Watch {
    /// The server answered.
    pub(super) fn learnt(&self, horizon: Horizon) {
        self.state().horizon = Some(horizon);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left when the server's clock shows `server_time`; a warning or an alarm goes to
    /// the log when it becomes due.
    pub(super) fn look(&self, server_time: i64) -> Option<Retention> {
        let mut state = self.state();
        let horizon = state.horizon.clone()?;
        let retention = horizon.at(server_time);
        let level = match retention.used_percent {
            Retention::ALARM.. => Retention::ALARM,
            Retention::WARNING.. => Retention::WARNING,
            _ => 0,
        };
        if level > state.said {
            say(&horizon.file, &retention);
        }
        state.said = level;
        Some(retention)
    }
}

fn say(file: &str, retention: &Retention) {
    let Retention { seconds, bytes, files, used_percent } = retention;
    let left = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let (seconds, bytes) = (left(*seconds), left(*bytes));
    if *used_percent >= Retention::ALARM {
        tracing::error!(
            file,
            seconds,
            bytes,
            files,
            used_percent,
            "ALARM: THE SOURCE WILL SOON HAVE PURGED BINLOGS THAT ARE NOT READ YET: raise \
             binlog_expire_logs_seconds (or max_binlog_total_size) there, or let the instance catch up"
        );
    } else {
        tracing::warn!(
            file,
            seconds,
            bytes,
            files,
            used_percent,
            "half of the time or size is used up for which the source keeps binlogs that are \
             not read yet"
        );
    }
}

/// Asks a server how long it keeps what lies behind the begin of `file`.
pub async fn retention(settings: &Settings, file: &str) -> Result<Retention, Error> {
    let horizon = ask(settings, file).await?;
    let mut session = Session::connect(&settings.endpoint).await?;
    let now = probe::clock(&mut session).await?;
    session.close().await;
    Ok(horizon.at(now))
}

/// Asks the server how long it keeps what lies behind the begin of `file`.
pub(super) async fn ask(settings: &Settings, file: &str) -> Result<Horizon, Error> {
    const LIMITS: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
         ('binlog_expire_logs_seconds', 'expire_logs_days', 'binlog_expire_logs_auto_purge', \
         'max_binlog_total_size', 'binlog_space_limit')";
    let mut session = Session::connect(&settings.endpoint).await?;
    let rows = session.query(LIMITS).await?;
    let files = probe::binlog_files(&mut session).await?;
    session.close().await;
    let variable = |name: &str| {
        let mut found = rows.iter().filter(|row| row.text_at(0) == Some(name));
        found.next().and_then(|row| row.text_at(1)).map(str::to_owned)
    };
    let number = |name: &str| variable(name).and_then(|text| text.parse::<f64>().ok());
    let mut horizon = Horizon { file: file.to_owned(), ..Horizon::default() };
    let Some(index) = files.iter().position(|one| one.name == file) else {
        horizon.is_purged = true;
        return Ok(horizon);
    };
    horizon.files = index as u64;
    horizon.length = files.get(index).map_or(0, |one| one.size);
    let purges = variable("binlog_expire_logs_auto_purge").is_none_or(|word| word == "ON");
    let days = number("expire_logs_days").unwrap_or_default() * 86_400.0;
    let seconds = number("binlog_expire_logs_seconds").filter(|seconds| *seconds > 0.0);
    let seconds = seconds.unwrap_or(days);
    if purges && seconds > 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "some 136 years at most")]
        let millis = (seconds * 1000.0) as i64;
        horizon.kept_for = Some(millis);
    }
    let limit = |name: &str| variable(name).and_then(|text| text.parse::<u64>().ok());
    let limit = limit("max_binlog_total_size").or_else(|| limit("binlog_space_limit"));
    let used = files.iter().skip(index).map(|one| one.size).sum();
    horizon.size = limit.filter(|limit| *limit > 0).map(|limit| (used, limit));
    if let Some(next) = files.get(index + 1).filter(|_| horizon.kept_for.is_some()) {
        horizon.closed = begin_of(settings, &next.name).await?;
    }
    Ok(horizon)
}

/// When a file was begun, in milliseconds by the server's clock.
async fn begin_of(settings: &Settings, file: &str) -> Result<Option<i64>, Error> {
    let file = FileName::from(file);
    let mut scan = Scan::open(&settings.endpoint, &settings.replica, file, FIRST_EVENT).await?;
    while let Some(event) = scan.next().await? {
        if event.header.event_type == EventType::FormatDescription {
            return Ok(Some(i64::from(event.header.timestamp) * 1000));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed_at(closed: i64) -> Horizon {
        Horizon { closed: Some(closed), kept_for: Some(100_000), files: 3, ..Horizon::default() }
    }

    #[test]
    fn the_seconds_run_from_when_the_file_was_closed() {
        let at = |now| closed_at(10_000).at(now);
        assert_eq!(at(10_000).seconds, Some(100));
        assert_eq!((at(60_000).seconds, at(60_000).used_percent), (Some(50), 50));
        assert_eq!((at(85_000).seconds, at(85_000).used_percent), (Some(25), 75));
        assert_eq!((at(999_000).seconds, at(999_000).used_percent), (Some(0), 100));
        let written = Horizon { closed: None, ..closed_at(0) };
        assert_eq!(written.at(5_000).seconds, Some(100));
        assert_eq!(written.at(5_000).used_percent, 0);
    }

    #[test]
    fn a_limit_of_the_size_counts_from_the_begin_of_the_file() {
        let horizon = Horizon { size: Some((80, 100)), ..Horizon::default() };
        let left = Retention { bytes: Some(20), used_percent: 80, ..Retention::default() };
        assert_eq!(horizon.at(0), left);
    }

    #[test]
    fn a_server_that_never_purges_has_no_horizon_and_a_file_that_was_purged_has_none_left() {
        assert_eq!(Horizon::default().at(0), Retention::default());
        let purged = Horizon { is_purged: true, ..Horizon::default() };
        assert_eq!((purged.at(0).seconds, purged.at(0).used_percent), (Some(0), 100));
    }
}
