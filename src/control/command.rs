//! What whoever watches may ask the running process to do.
//!
//! The asker holds [`Commands`]; the server takes [`Asked`] from the other end, one at a
//! time, and answers each. A bounded queue of a few: these are an operator's clicks.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

/// A place in the binlog that somebody names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Place {
    /// At a server that lacks what was published, behind what both have.
    WithoutLost {
        /// What both have, in the server's own form.
        kept: String,
        /// What the server lacks.
        lost: String,
        /// The server, by its UUID.
        server: String,
    },
    /// At an offset of a file.
    File {
        /// The file.
        file: String,
        /// Between two transactions.
        offset: u64,
    },
    /// Behind an executed GTID set.
    Gtid {
        /// In the server's own form.
        set: String,
    },
}

/// What may be asked of the copying of an instance's tables. `tables` are patterns as the filter's;
/// all tables where there are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "lowercase")]
pub enum SnapshotOrder {
    /// Say what a copy would take.
    Plan {
        /// Which tables.
        #[serde(default)]
        tables: Option<String>,
    },
    /// Copy tables, again if they were.
    Start {
        /// Which tables.
        #[serde(default)]
        tables: Option<String>,
        /// Only rows that it holds for: a condition in SQL.
        #[serde(default, rename = "where")]
        condition: Option<String>,
    },
    /// Copy nothing for now.
    Pause,
    /// Go on.
    Resume,
    /// Give up what is not copied yet.
    Stop {
        /// Which tables.
        #[serde(default)]
        tables: Option<String>,
    },
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stop an instance after what it has in hand; it stays stopped until it is started.
    Stop {
        /// Which.
        instance: String,
    },
    /// Start a stopped instance.
    Start {
        /// Which.
        instance: String,
    },
    /// Make a stopped instance go on from another place.
    SetPosition {
        /// Which.
        instance: String,
        /// From where.
        place: Place,
    },
    /// Make a stopped instance begin as if it had never run.
    ResetPosition {
        /// Which.
        instance: String,
        /// Whether what is kept of parked tables may go with it.
        drop_parked: bool,
    },
    /// Write all that is known of a stopped instance to a file.
    Export {
        /// Which.
        instance: String,
        /// This file of the machine, which is not there yet.
        file: PathBuf,
        /// Whether the instance goes on here all the same.
        is_copy: bool,
    },
    /// Let an instance that was exported start here again.
    Resume {
        /// Which.
        instance: String,
    },
    /// Make an instance that does not run go on from what such a file has.
    Import {
        /// Which.
        instance: String,
        /// This file of the machine.
        file: PathBuf,
        /// Whether what is known of it may be given up for that.
        replace: bool,
    },
    /// Publish what is kept of a parked table, and unpark the table.
    Retry {
        /// Which instance.
        instance: String,
        /// The table, as `db.table`.
        table: String,
    },
    /// Drop what is kept of a parked table, and unpark the table.
    DropParked {
        /// Which instance.
        instance: String,
        /// The table, as `db.table`.
        table: String,
    },
    /// Copy tables beside the stream, or not.
    Snapshot {
        /// Which instance.
        instance: String,
        /// What to do.
        order: SnapshotOrder,
    },
    /// Copy the log of the bundled broker while it goes on.
    Backup {
        /// To this directory: empty, or not there yet.
        dir: PathBuf,
    },
    /// Look at the configuration now.
    Reload,
}

impl Command {
    /// The instance that it is about.
    pub fn instance(&self) -> Option<&str> {
        match self {
            Self::Stop { instance }
            | Self::Start { instance }
            | Self::SetPosition { instance, .. }
            | Self::ResetPosition { instance, .. }
            | Self::Export { instance, .. }
            | Self::Import { instance, .. }
            | Self::Resume { instance }
            | Self::Retry { instance, .. }
            | Self::DropParked { instance, .. }
            | Self::Snapshot { instance, .. } => Some(instance),
            Self::Backup { .. } | Self::Reload => None,
        }
    }
}

/// What came of a command: a sentence for the operator, which may be empty, or why not.
pub type Outcome = Result<String, String>;

/// A command and where its answer goes.
#[derive(Debug)]
pub struct Asked {
    /// The command.
    pub command: Command,
    /// Its answer; nobody may be waiting for it any more.
    pub answer: oneshot::Sender<Outcome>,
}

/// The asking end.
#[derive(Clone, Debug)]
pub struct Commands(mpsc::Sender<Asked>);

const WAITING: usize = 8;

/// Both ends.
pub fn commands() -> (Commands, mpsc::Receiver<Asked>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Commands(sender), receiver)
}

impl Commands {
    /// Asks, and waits for the answer. Cancel safe: the command may be carried out all
    /// the same.
    pub async fn ask(&self, command: Command) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let stopping = || "sluice is stopping".to_owned();
        self.0.send(Asked { command, answer }).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }
}
