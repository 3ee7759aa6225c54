//! What is known of the process and of each instance, as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::alerts::Kind;
use crate::change::{ParkedTable, Position};

/// How far the process is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "lowercase")]
pub enum Phase {
    /// On its way up; `doing` says what takes the time.
    Starting {
        /// A present-tense verb phrase: "recover the log".
        doing: String,
    },
    /// Everything that serves, serves. Instances have states of their own.
    Serving,
    /// On its way down: nothing new is taken, what was taken is finished.
    Draining,
}

/// What an instance is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum InstanceState {
    /// Connecting, finding its position, reading definitions. Set by the supervisor
    /// before each first session.
    Starting,
    /// Its rows become durable as they come.
    Running,
    /// Something failed that is transient; it tries again by itself.
    Retrying {
        /// What failed.
        reason: String,
    },
    /// It cannot go on until something outside changes, and then goes on by itself: a
    /// full disk has room again, another process gives the instance up.
    Waiting {
        /// For what.
        reason: String,
    },
    /// Another process runs it; this one goes on with it when that one ends.
    Standby {
        /// That process, where it is known: its host and its id there.
        active: Option<String>,
    },
    /// It does not go on by itself.
    Stopped {
        /// Why.
        reason: String,
        /// What to do; empty when the reason says it, or when it was stopped on request.
        advice: String,
    },
}

impl InstanceState {
    /// The state in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Retrying { .. } => "retrying",
            Self::Waiting { .. } => "waiting",
            Self::Standby { .. } => "standby",
            Self::Stopped { .. } => "stopped",
        }
    }

    /// Why it is not running, if there is a reason.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Starting | Self::Running | Self::Standby { .. } => None,
            Self::Retrying { reason } | Self::Waiting { reason } | Self::Stopped { reason, .. } => {
                Some(reason)
            }
        }
    }

    /// The process that runs it instead of this one, where that is known.
    pub fn active(&self) -> Option<&str> {
        match self {
            Self::Standby { active } => active.as_deref(),
            Self::Starting
            | Self::Running
            | Self::Retrying { .. }
            | Self::Waiting { .. }
            | Self::Stopped { .. } => None,
        }
    }

    /// What to do about it, if anything is.
    pub fn advice(&self) -> Option<&str> {
        match self {
            Self::Stopped { advice, .. } if !advice.is_empty() => Some(advice),
            _ => None,
        }
    }
}

/// What an instance has done since the process began, and its position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Bytes of binlog received.
    pub received_bytes: u64,
    /// When the server was last heard, in milliseconds since 1970.
    pub heard_ms: u64,
    /// Events of the binlog left out as harmless.
    pub skipped_events: u64,
    /// Rows events dropped because their table has no definition
    /// (`canal.instance.filter.table.error`).
    pub dropped_rows_events: u64,
    /// XA ROLLBACKs of branches that were not held: prepared before the instance began.
    pub unknown_rollbacks: u64,
    /// The tables that are parked: their changes are kept, and not published.
    pub parked: Vec<ParkedTable>,
    /// At its first start: how far the reading of the source's tables has come.
    pub tables: Option<Tables>,
    /// How far tables are copied; none where none are, nor were.
    pub copying: Option<Copying>,
    /// Transactions made durable.
    pub transactions: u64,
    /// Rows made durable.
    pub rows: u64,
    /// Messages made durable.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The position up to which everything is durable.
    pub position: Option<Position>,
    /// How far the durable position is behind what the server has, in milliseconds by the
    /// server's clock: 0 only while a fresh heartbeat says that nothing is outstanding.
    pub delay_ms: u64,
    /// When something, a transaction or a heartbeat of the server's, last went from it through to where
    /// consumers see all that is before it, in milliseconds since 1970; none if nothing has yet.
    pub through_ms: Option<i64>,
    /// How long ago that was when this was asked for.
    pub through_seconds_ago: Option<u64>,
    /// How long the server keeps what is still needed of its binlog; none while it is not known.
    pub retention: Option<Retention>,
    /// Transactions of standbys' own making that the server that is read never had, as GTID sets,
    /// by the standby's address: they are published if it is failed over to.
    pub errant: BTreeMap<String, String>,
    /// What there is to be said of prepared XA branches.
    pub branches: Branches,
}

/// Prepared XA branches that are not as they should be. Nothing follows from it by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Branches {
    /// Held, and not known to the server: xid, and since which place.
    pub not_on_server: Vec<String>,
    /// Prepared on the server before the instance began, by their xids: what they changed is looked
    /// for in its binlogs when they are committed.
    pub before_begin: Vec<String>,
}

/// What is left until the server may have purged what an instance still needs of its binlog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// Seconds, where the server purges by age.
    pub seconds: Option<u64>,
    /// Bytes that it may still write, where it purges by size.
    pub bytes: Option<u64>,
    /// Older files, which go before.
    pub files: u64,
    /// How much of the time or size is used up, in percent.
    pub used_percent: u8,
    /// Whether that is no matter, a warning (from 50 on) or an alarm (from 75 on).
    pub level: RetentionLevel,
}

/// How urgent it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetentionLevel {
    /// Not at all.
    #[default]
    Ok,
    /// Half of what there is is used up.
    Warning,
    /// Three quarters.
    Alarm,
}

/// How far the reading of the source's tables has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tables {
    /// Tables read.
    pub read: usize,
    /// Tables to be read in all.
    pub of: usize,
}

/// How far the tables of an instance are copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Copying {
    /// Tables in all.
    pub tables: usize,
    /// Those of which all was published.
    pub done: usize,
    /// Those that could not be copied.
    pub failed: usize,
    /// Rows that were published.
    pub rows: u64,
    /// Rows that the source thought it had.
    pub estimate: u64,
    /// Rows a second, of those that were copied since the process began; 0 before any were.
    pub rows_per_second: u64,
    /// Whether nothing is copied for now.
    pub paused: bool,
    /// Tables that are being copied, have failed or are still to be copied: the first of them.
    pub unfinished: Vec<TableCopy>,
}

/// How far a table is copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableCopy {
    /// The table, as `db.table`.
    pub table: String,
    /// `pending`, `copying`, `stopped` or `failed`.
    pub state: String,
    /// Rows that were published.
    pub rows: u64,
    /// Rows that the source thought it had.
    pub estimate: u64,
    /// Why it failed.
    pub reason: Option<String>,
}

/// All that is known of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Its name.
    pub name: String,
    /// What it is doing.
    #[serde(flatten)]
    pub state: InstanceState,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
    /// What it did.
    pub progress: Progress,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The process.
    #[serde(flatten)]
    pub phase: Phase,
    /// Its id with the system.
    pub pid: u32,
    /// Its `SLUICE_HOME`: two homes may by mistake name the same port.
    pub home: String,
    /// The id of its log as a Kafka cluster; empty until the log is open.
    pub cluster: String,
    /// Where Kafka clients connect, as `host:port`.
    pub listeners: Vec<String>,
    /// The instances, by name.
    pub instances: Vec<InstanceStatus>,
    /// What is stored in the log and was found damaged: file and byte.
    #[serde(default)]
    pub damage: Vec<String>,
    /// What keeps the log from taking what is written to it, as a sentence each.
    #[serde(default)]
    pub log: Vec<String>,
    /// What is wrong with the files of log lines: those that cannot be written, or lack some.
    #[serde(default)]
    pub log_files: Vec<String>,
    /// What of the configuration as it is written now is not taken up, each with file, line and
    /// reason: the process goes on with the one before.
    #[serde(default)]
    pub refused: Vec<String>,
    /// Room on the disk of the log, in bytes; none where there is no log, or the system does not say.
    #[serde(default)]
    pub free_bytes: Option<u64>,
    /// What became of alerts.
    #[serde(default)]
    pub alerts: AlertStatus,
}

/// What became of alerts, where somebody is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertStatus {
    /// How many have been told and are not over, by kind.
    pub firing: BTreeMap<Kind, usize>,
    /// Messages that the receiver took.
    pub sent: u64,
    /// Messages that were given up.
    pub failed: u64,
    /// Why the last of them was.
    pub reason: Option<String>,
}

impl Snapshot {
    /// Whether nothing changes by itself any more: every instance runs, here or in another process,
    /// or has stopped.
    pub fn is_settled(&self) -> bool {
        let settled = |one: &InstanceStatus| match one.state {
            InstanceState::Running
            | InstanceState::Standby { .. }
            | InstanceState::Stopped { .. } => true,
            InstanceState::Starting
            | InstanceState::Retrying { .. }
            | InstanceState::Waiting { .. } => false,
        };
        self.phase == Phase::Serving && self.instances.iter().all(settled)
    }

    /// Whether everything is up, the log takes what is written and every instance is running, here
    /// or in another process.
    pub fn is_ready(&self) -> bool {
        let running = |one: &InstanceStatus| {
            matches!(one.state, InstanceState::Running | InstanceState::Standby { .. })
        };
        self.phase == Phase::Serving && self.log.is_empty() && self.instances.iter().all(running)
    }
}
