//! Copies of the log, made while it goes on.
//!
//! In: where to. Out: a sentence about the copy, or why there is none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::control::Outcome;
use crate::disk::Real;
use crate::log::{Backup, Log};

/// So many files that could not be read are named in the answer.
const NAMED: usize = 10;

/// Copies the log, which is in `from`, to the directory `dir`. Broken off when `stop` says so.
pub(super) async fn back_up(
    log: Log,
    from: PathBuf,
    dir: PathBuf,
    stop: CancellationToken,
) -> Outcome {
    let refused = |why: &dyn std::fmt::Display| {
        format!("there is no copy of the log in {}: {why}", dir.display())
    };
    if !dir.is_absolute() {
        return Err(refused(&"give the whole path of the directory"));
    }
    if is_within(&dir, &from) {
        return Err(refused(&format!("it is within the log itself, {}", from.display())));
    }
    let disk = Real::new(&dir).map_err(|error| refused(&error))?;
    let copied = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(refused(&"sluice is stopping")),
        copied = log.backup(Arc::new(disk)) => copied.map_err(|error| refused(&error))?,
    };
    let Backup { partitions, offline, bytes, lacking } = copied;
    tracing::info!(dir = %dir.display(), partitions, offline, bytes, "copied the log");
    let mut damaged = match offline {
        0 => String::new(),
        _ => format!(
            "; {offline} of them are damaged, and are in the copy as they are (`/health` says where)"
        ),
    };
    if !lacking.is_empty() {
        tracing::warn!(files = lacking.join(", "), "files of the copy are not whole");
        let named = lacking.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = match lacking.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more (the log of the server names them)"),
        };
        damaged = format!("{damaged}; what could not be read is not in it: {named}{more}");
    }
    Ok(format!(
        "copied {partitions} partitions with {bytes} bytes of records; a sluice with log.dirs={} \
         goes on from there{damaged}",
        dir.display()
    ))
}

/// Whether a directory, which need not be there, lies in another.
fn is_within(dir: &Path, other: &Path) -> bool {
    let there = dir.ancestors().find_map(|one| one.canonicalize().ok());
    let other = other.canonicalize().unwrap_or_else(|_| other.to_owned());
    there.is_some_and(|there| there.starts_with(&other))
}
