//! That an instance was moved: it goes on in another log, and must not be started here.
//!
//! In: an export of the instance. Out: a sentence for whoever starts it here all the same. Always:
//! the mark is one of the instance's own records, of the topic of positions, so it is where the
//! position is, and every process that would go on from there finds it.
//!
//! ```json
//! moved: {"version": 1, "instance": "a", "file": "/backup/a.export", "time": 1700000000123}
//! ```

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::change::{StateRecord, StateTopic};
use crate::clock;

const VERSION: u32 = 1;

/// The key of the record.
pub(super) const MOVED_KEY: &[u8] = b"moved";

/// See the head of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moved {
    version: u32,
    /// Its name here.
    instance: String,
    /// What it was exported to.
    file: String,
    /// When, in milliseconds since 1970.
    time: i64,
}

impl Moved {
    /// An export of `instance` that ends now.
    pub fn now(instance: &str, file: &Path) -> Self {
        let (instance, file) = (instance.to_owned(), file.display().to_string());
        Self { version: VERSION, instance, file, time: clock::now_millis() }
    }

    /// The record of it; none removes it.
    pub fn record(moved: Option<&Self>) -> StateRecord {
        let value = moved.map(|moved| serde_json::to_vec(moved).unwrap_or_default().into());
        let key = Bytes::from_static(MOVED_KEY);
        StateRecord { topic: StateTopic::Parked, key, value }
    }

    /// What a record says; what cannot be read says as much as that there is one.
    pub(super) fn read(record: &[u8]) -> Self {
        serde_json::from_slice(record).unwrap_or_default()
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance, file, time, .. } = self;
        let time = jiff::Timestamp::from_millisecond(*time).unwrap_or_default();
        write!(
            f,
            "the instance was exported to {file} at {time:.0}, and goes on where that is imported: \
             started here too it would publish its changes a second time. If it was not started \
             there, `bin/sluice position resume {instance}` lets it go on here"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_what_became_of_the_instance_and_what_to_do() {
        let moved = Moved::now("a", Path::new("/backup/a.export"));
        let record = Moved::record(Some(&moved));
        assert_eq!(Moved::read(&record.value.unwrap()), moved);
        let said = moved.to_string();
        assert!(said.contains("/backup/a.export") && said.contains("position resume a"), "{said}");
        assert_eq!(Moved::record(None).value, None);
        // Of a build that writes another form.
        assert!(Moved::read(b"what").to_string().contains("exported"));
    }
}
