//! Which process owns an instance, as a record of its topic of positions.
//!
//! ```json
//! {"version": 1, "id": "<uuid>", "host": "db-1", "pid": 4711, "since": 1700000000123}
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
}

impl Process {
    /// This one.
    pub(super) fn this() -> Self {
        Self {
            version: VERSION,
            id: uuid::Uuid::new_v4().to_string(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: std::process::id(),
            since: clock::now_millis(),
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
        (other.id != self.id).then(|| format!("{}, process {}", other.host, other.pid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_is_named_and_this_one_is_none() {
        let (this, other) = (Process::this(), Process::this());
        assert_eq!(this.other(&this.record()), None);
        let named = this.other(&other.record()).unwrap();
        assert!(named.contains(&format!("process {}", std::process::id())), "{named}");
        assert!(this.other(b"what is this").is_some());
    }
}
