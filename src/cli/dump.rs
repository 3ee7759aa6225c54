//! `sluice dump FILE`: what a file of the log holds, and what is wrong in it.
//!
//! Any segment (`.log`), index (`.index`, `.timeindex`), file of the journal (`.journal`),
//! checkpoint or `partition.metadata`. Exit code 0: it is as it was written; 2: it is not.
//! Nothing is changed; a running log may be looked at, and what is being appended to then may
//! end within a batch.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::disk::Real;
use crate::log::inspect;

use super::Outcome;
use super::output::say;

/// Something in the file is not as it was written.
const FAULTS: u8 = 2;

/// What may be said about it.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A segment, an index, a file of the journal, a checkpoint, or partition.metadata.
    file: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let path = arguments
        .file
        .canonicalize()
        .with_context(|| format!("find {}", arguments.file.display()))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let dir = path.parent();
    let (Some(name), Some(dir)) = (name, dir) else { bail!("{} is no file", path.display()) };
    // The directory of the log holds that of the partition, and beside it the checkpoint.
    let log = dir.parent().unwrap_or(Path::new("/"));
    let dir = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let disk = Real::new(log)?;
    let faults = match inspect(&disk, &dir, &name, say) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => bail!(
            "{name} is no file of the log: those are *.log, *.index, *.timeindex, *.journal, \
             checkpoint and partition.metadata"
        ),
        faults => faults.with_context(|| format!("read {}", path.display()))?,
    };
    if faults == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("{} is damaged: {faults} faults", path.display()))?;
    Ok(ExitCode::from(FAULTS))
}
