//! What operators read: the log files. Open to all modules.
//!
//! Lines have Canal's shape, `2024-05-01 08:00:00.123 [thread] LEVEL logger - message`, so
//! that what people grep for keeps working. Whatever is logged within the span of an
//! instance ([`instance_span`]) goes to `logs/<instance>/<instance>.log`, all else to
//! `logs/server.log`. They are rolled by day and by size, and so many are kept; lines may be JSON, and
//! go to the standard output too. Which are written can be changed while the process runs
//! ([`set_levels`]). Names and counts only: never cell values, never secrets.

mod files;

pub use files::{Complain, FlushLogs, Keeping, Limits, LogFiles, Style, Trouble};

use std::path::Path;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// Environment variable with the levels to log, in the grammar of `tracing`'s `EnvFilter`.
pub const LEVELS_VARIABLE: &str = "SLUICE_LOG";

/// The span of everything an instance does; its name decides the log file.
pub fn instance_span(name: &str) -> tracing::Span {
    tracing::info_span!("instance", name)
}

/// What the process logs when nobody says otherwise.
const ORDINARY: &str = "info";

/// Of the files that all lines of this process go to.
static TROUBLE: OnceLock<Trouble> = OnceLock::new();

/// What decides which lines of this process are written.
static LEVELS: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Sends all log lines to files under `folder`. `levels` as in [`LEVELS_VARIABLE`]; what
/// cannot be read of it is told by `complain`, and `info` stands for it. The guard flushes
/// when it is dropped.
pub fn log_to_files(
    folder: &Path,
    levels: Option<&str>,
    keeping: Keeping,
    complain: Complain,
) -> FlushLogs {
    let (layer, guard) = LogFiles::new(folder, keeping, complain);
    let filter = filter(levels.unwrap_or(ORDINARY)).unwrap_or_else(|reason| {
        complain(&format!("warning: {LEVELS_VARIABLE}: {reason}; logging at {ORDINARY}"));
        EnvFilter::new(ORDINARY)
    });
    let (filter, handle) = reload::Layer::new(filter);
    // A second subscriber of the same process (tests) keeps the first.
    let trouble = layer.trouble();
    let subscriber = Registry::default().with(filter).with(layer);
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        // Nobody else sets them.
        let _ = TROUBLE.set(trouble);
        let _ = LEVELS.set(handle);
    }
    guard
}

/// Has other lines written from here on; `levels` as in [`LEVELS_VARIABLE`], nothing for what is
/// ordinary.
pub fn set_levels(levels: &str) -> Result<(), String> {
    let filter = filter(if levels.is_empty() { ORDINARY } else { levels })?;
    let Some(handle) = LEVELS.get() else { return Ok(()) };
    handle.reload(filter).map_err(|error| error.to_string())
}

/// Whether they are levels at all.
pub fn check_levels(levels: &str) -> Result<(), String> {
    filter(levels).map(|_| ())
}

/// A sentence for each log file of this process that takes no lines, or that lacks some.
pub fn trouble() -> Vec<String> {
    TROUBLE.get().map(Trouble::list).unwrap_or_default()
}

/// Reads levels. A word alone is a level or a module of ours: what `EnvFilter` would take for
/// the name of some other module, and so log nothing at all, is a slip.
fn filter(levels: &str) -> Result<EnvFilter, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for word in levels.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let known = LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word))
            || word.contains(['=', '[', ':'])
            || word == env!("CARGO_PKG_NAME")
            || word.parse::<u8>().is_ok_and(|number| number <= 5);
        if !known {
            return Err(format!("`{word}` is none of {}", LEVELS.join(", ")));
        }
    }
    EnvFilter::try_new(levels).map_err(|error| format!("`{levels}` is not understood: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_that_are_none_are_told_by_their_word() {
        for right in
            ["info", "WARN", "sluice=debug,info", "off", "sluice::log=trace", "sluice", "3"]
        {
            assert!(filter(right).is_ok(), "{right}");
        }
        for (wrong, word) in [
            ("loud", "`loud`"),
            ("info,verbose", "`verbose`"),
            ("sluice=loud", "`sluice=loud`"),
            ("9", "`9`"),
            ("sluice=", "`sluice=`"),
        ] {
            match filter(wrong) {
                Ok(_) => assert_eq!(wrong, "sluice=", "an empty level is `trace`"),
                Err(reason) => assert!(reason.contains(word), "{wrong}: {reason}"),
            }
        }
    }
}
