//! The wall clock: the only place that reads it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970. 0 on a machine whose clock stands before that.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Whole seconds since 1970, as many as 32 bits hold.
pub fn now_seconds() -> u32 {
    u32::try_from(now_millis() / 1000).unwrap_or(u32::MAX)
}
