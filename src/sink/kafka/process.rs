//! Which process owns an instance: as a record of its topic of positions, and beside the offset of
//! its lock, where those that stand by read it.
//!
//! ```json
//! {"version": 1, "id": "<uuid>", "host": "db-1", "pid": 4711, "since": 1700000000123, "home": "/srv/sluice"}
//! ```

use serde::{Deserialize, Serialize};

use crate::clock;

const VERSION: u32 = 1;

/// A process, from one opening of an instance's sink by the server on: an instance that is stopped
/// and started again is another owner.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Process {
    version: u32,
    /// A UUID.
    id: String,
    host: String,
    pid: u32,
    /// Milliseconds since 1970.
    since: i64,
    /// Its `SLUICE_HOME`; with the host it stays the same when the process is started again.
    #[serde(default)]
    home: String,
}

impl Process {
    /// This one, which runs over the folder `home`.
    pub(super) fn this(home: &str) -> Self {
        Self {
            version: VERSION,
            id: uuid::Uuid::new_v4().to_string(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: std::process::id(),
            since: clock::now_millis(),
            home: home.to_owned(),
        }
    }

    /// The record that says so.
    pub(super) fn record(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What to say of the process of a record, if that is another.
    pub(super) fn other(&self, record: &[u8]) -> Option<String> {
        let Ok(other) = serde_json::from_slice::<Self>(record) else {
            return Some("one of another build".to_owned());
        };
        (other.id != self.id).then(|| other.words())
    }

    /// The same as text.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A record's process, if it was written by a build that is not too new.
    pub(super) fn read(record: &str) -> Option<Self> {
        serde_json::from_str(record).ok()
    }

    /// Where it runs, in words.
    pub(super) fn words(&self) -> String {
        format!("{}, process {}", self.host, self.pid)
    }

    /// Host and folder, which are the same when a process is started again.
    pub(super) fn place(&self) -> (&str, &str) {
        (&self.host, &self.home)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_is_named_and_this_one_is_none() {
        let (this, other) = (Process::this("/a"), Process::this("/a"));
        assert_eq!(this.other(&this.record()), None);
        let named = this.other(&other.record()).unwrap();
        assert!(named.contains(&format!("process {}", std::process::id())), "{named}");
        assert!(this.other(b"what is this").is_some());
    }

    #[test]
    fn what_a_build_without_homes_wrote_is_of_another_place() {
        let old = r#"{"version": 1, "id": "x", "host": "db-1", "pid": 7, "since": 1}"#;
        let old = Process::read(old).unwrap();
        assert_eq!((old.words().as_str(), old.place()), ("db-1, process 7", ("db-1", "")));
        let this = Process::this("/a");
        let again = Process::read(std::str::from_utf8(&this.record()).unwrap()).unwrap();
        assert_eq!(again.place(), this.place());
    }
}
