//! An instance on its way to another log: all that it knows, in one file.
//!
//! In: the sink of an instance that does not run. Out: a file ([`mod@file`]); and from the file, the
//! same in another sink, in one append. Change records are not among it: they stay where they are,
//! and whoever reads goes on in the new place behind them.
//!
//! Always: what is written is one state, that of the last commit, since the sink is opened for it,
//! which fences whoever wrote before. What is read comes in whole or not at all: the file is judged
//! to its end first, and then becomes one append, which a process that ends in between leaves
//! undone. What was exported is marked where it was ([`Moved`]), and does not start there before it
//! is imported there, or [resumed](mod@resume): else its changes would be published in both places.

mod alone;
mod export;
mod file;
mod import;
mod resume;

use std::fmt;
use std::path::PathBuf;

pub use alone::must_be_nobodys;
pub use export::{Exported, export};
pub use file::{Ends, Head, ends};
pub use import::{Imported, import};
pub use resume::resume;

use crate::change::Position;
use crate::sink::{Moved, Sink};
use crate::{change, sink};

/// Why an instance was not moved. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be written.
    #[error("cannot write {}: {reason}; nothing was exported", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// There is a file of that name.
    #[error("{} is there already: name another file, or remove it", .0.display())]
    Exists(PathBuf),
    /// The file cannot be read.
    #[error("cannot read {}: {reason}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The file is none of ours, or not as it was written.
    #[error("{} is no whole export of an instance: {reason}; export it again", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// A newer build has written it.
    #[error(
        "{} is an export of version {version}, and this build reads version {known}: import it \
         with the build that wrote it, or a newer one", .path.display(), known = file::VERSION
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// It is exported, and not marked as moved.
    #[error(
        "exported to {}, but it would start here, too: {reason}; remove the file, and export it \
         again", .path.display()
    )]
    Unmarked {
        /// The file.
        path: PathBuf,
        /// Why it is not marked.
        reason: sink::Error,
    },
    /// It may start here anyhow.
    #[error("{0} was not exported from here, or is here again: it starts as any other")]
    NotMoved(String),
    /// There is nothing to export.
    #[error("{0} has no position yet: there is nothing to take along, it can begin anywhere")]
    NoPosition(String),
    /// There is a position where it is to go.
    #[error(
        "{instance} has a position here already, {position}{more}: --replace gives that up for \
         what is in the file"
    )]
    Taken {
        /// The instance.
        instance: String,
        /// Where it is.
        position: Box<Position>,
        /// What else would be lost.
        more: Lost,
    },
    /// What is stored of it cannot be read.
    #[error("what is stored of {instance}: {reason}")]
    Stored {
        /// The instance.
        instance: String,
        /// What is wrong.
        reason: String,
    },
    /// The sink.
    #[error(transparent)]
    Sink(#[from] sink::Error),
}

/// What an import in place of another state gives up.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// The names of parked tables, and how many events are kept of each.
    pub parked: Vec<(String, u64)>,
    /// The xids of held XA branches.
    pub branches: Vec<String>,
}

impl fmt::Display for Lost {
    /// What follows the words that name the position; nothing where nothing else is lost.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parked, branches } = self;
        if !parked.is_empty() {
            let parked: Vec<String> =
                parked.iter().map(|(name, events)| format!("{name} ({events} events)")).collect();
            write!(f, ", with what is kept of the parked tables {}", parked.join(", "))?;
        }
        if !branches.is_empty() {
            write!(f, ", with the held XA branches {}", branches.join(", "))?;
        }
        Ok(())
    }
}

/// Has an instance marked as moved, or not any more.
async fn mark<S: Sink>(
    sink: &mut S,
    position: &Position,
    moved: Option<&Moved>,
) -> Result<(), sink::Error> {
    sink.commit(position, vec![Moved::record(moved)]).await?.await
}

/// The tables that are parked, of their records.
fn parked_table(
    instance: &str,
    record: &change::StateRecord,
) -> Result<Option<change::ParkedTable>, Error> {
    crate::instance::parked_table(record)
        .map_err(|reason| Error::Stored { instance: instance.to_owned(), reason })
}
