//! What is to be told to people who do not look: a step function from what is on the board to
//! messages.
//!
//! In: a [`Snapshot`], the time, and the [`Rules`]. Out: [`Message`]s. A condition is told once when it
//! has lasted as long as its rule says, again after [`Rules::repeat`] or when it has become worse, and
//! once more when it is over. Always: what was not told is not said to be over; a condition that comes
//! and goes within [`Rules::calm`] is one condition. No runtime and no clock here.
//!
//! Of instances that another process runs nothing is told here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::status::{InstanceState, InstanceStatus, Phase, Snapshot};

/// Of a list so many entries are named.
const NAMED: usize = 5;

/// How soon what has become worse may be told again.
const WORSE_AFTER_MS: i64 = 60_000;

/// When something is to be told. A rule of 0 is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How often a condition is told again while it lasts; none: never.
    pub repeat: Option<Duration>,
    /// How long an instance may be in another state than running.
    pub state: Option<Duration>,
    /// How far an instance may be behind its server.
    pub lag: Option<Duration>,
    /// How much of the server's retention may be used up, in percent.
    pub retention_percent: u8,
    /// How much room the disk of the log has to have.
    pub free_bytes: u64,
    /// How long a condition has to be away to be over.
    pub calm: Duration,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An instance does not run.
    State,
    /// An instance is far behind.
    Lag,
    /// The server may soon purge what an instance still needs.
    Retention,
    /// Changes of tables are kept aside.
    Parked,
    /// Files of the log are damaged.
    Damage,
    /// The log's disk is full or refuses.
    Disk,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::State, Self::Lag, Self::Retention, Self::Parked, Self::Damage, Self::Disk];

    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Lag => "lag",
            Self::Retention => "retention",
            Self::Parked => "parked",
            Self::Damage => "damage",
            Self::Disk => "disk",
        }
    }
}

/// How far a condition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has begun, or become worse.
    Firing,
    /// It lasts.
    Repeated,
    /// It is over.
    Resolved,
}

impl Status {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Repeated => "repeated",
            Self::Resolved => "resolved",
        }
    }
}

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is about.
    pub kind: Kind,
    /// The instance; none where it is the process.
    pub instance: Option<String>,
    /// How far it is.
    pub status: Status,
    /// In words.
    pub text: String,
    /// When the condition was first seen, in milliseconds since 1970.
    pub since_ms: i64,
    /// Now.
    pub at_ms: i64,
}

/// What is known of conditions; see the head of this file.
#[derive(Debug, Default)]
pub struct Alerts {
    open: BTreeMap<(Kind, String), Open>,
}

#[derive(Debug)]
struct Open {
    since_ms: i64,
    seen_ms: i64,
    /// When it was told last.
    told_ms: Option<i64>,
    /// How bad it was then.
    told_weight: u64,
    text: String,
}

/// A condition that holds.
struct Condition {
    kind: Kind,
    instance: String,
    /// How long it has to last.
    lasts: Duration,
    /// More is worse.
    weight: u64,
    text: String,
}

impl Alerts {
    /// What is to be told now.
    pub fn step(&mut self, snapshot: &Snapshot, rules: &Rules, now_ms: i64) -> Vec<Message> {
        match snapshot.phase {
            Phase::Serving => {}
            // Nothing is as it should be then, and all of it on purpose.
            Phase::Starting { .. } | Phase::Draining => return Vec::new(),
        }
        let mut messages = Vec::new();
        for condition in conditions(snapshot, rules) {
            messages.extend(self.holds(condition, rules, now_ms));
        }
        let calm = millis(rules.calm);
        self.open.retain(|(kind, instance), open| {
            if now_ms - open.seen_ms < calm || open.seen_ms == now_ms {
                return true;
            }
            if open.told_ms.is_some() {
                messages.push(Message {
                    kind: *kind,
                    instance: named(instance),
                    status: Status::Resolved,
                    text: format!("over: {}", open.text),
                    since_ms: open.since_ms,
                    at_ms: now_ms,
                });
            }
            false
        });
        messages
    }

    /// How many conditions have been told and are not over.
    pub fn firing(&self, kind: Kind) -> usize {
        let told = |(key, open): (&(Kind, String), &Open)| key.0 == kind && open.told_ms.is_some();
        self.open.iter().filter(|one| told(*one)).count()
    }

    fn holds(&mut self, condition: Condition, rules: &Rules, now_ms: i64) -> Option<Message> {
        let Condition { kind, instance, lasts, weight, text } = condition;
        let open = self.open.entry((kind, instance.clone())).or_insert_with(|| Open {
            since_ms: now_ms,
            seen_ms: now_ms,
            told_ms: None,
            told_weight: 0,
            text: String::new(),
        });
        open.seen_ms = now_ms;
        open.text.clone_from(&text);
        let status = match open.told_ms {
            None if now_ms - open.since_ms >= millis(lasts) => Status::Firing,
            None => return None,
            Some(told) if weight > open.told_weight && now_ms - told >= WORSE_AFTER_MS => {
                Status::Firing
            }
            Some(told) => {
                let due = rules.repeat.is_some_and(|repeat| now_ms - told >= millis(repeat));
                if !due {
                    return None;
                }
                Status::Repeated
            }
        };
        (open.told_ms, open.told_weight) = (Some(now_ms), weight);
        let since_ms = open.since_ms;
        let instance = named(&instance);
        Some(Message { kind, instance, status, text, since_ms, at_ms: now_ms })
    }
}

/// All that hold now.
fn conditions(snapshot: &Snapshot, rules: &Rules) -> Vec<Condition> {
    let mut found = Vec::new();
    for one in &snapshot.instances {
        found.extend(state(one, rules));
        found.extend(lag(one, rules));
        found.extend(retention(one, rules));
        found.extend(parked(one));
    }
    let of_process = |kind, weight, text| Condition {
        kind,
        instance: String::new(),
        lasts: Duration::ZERO,
        weight,
        text,
    };
    if !snapshot.damage.is_empty() {
        let count = snapshot.damage.len();
        let text = format!("the log is damaged: {}", list(&snapshot.damage, count));
        found.push(of_process(Kind::Damage, count as u64, text));
    }
    if !snapshot.log.is_empty() {
        let text = format!("the log: {}", list(&snapshot.log, snapshot.log.len()));
        found.push(of_process(Kind::Disk, 2, text));
    } else if let Some(free) = snapshot.free_bytes.filter(|free| *free < rules.free_bytes) {
        let text = format!(
            "the disk of the log has {} left (less than {}): make room, or shorten log.retention",
            bytes(free),
            bytes(rules.free_bytes),
        );
        found.push(of_process(Kind::Disk, 1, text));
    }
    found
}

fn state(one: &InstanceStatus, rules: &Rules) -> Option<Condition> {
    let lasts = rules.state?;
    let weight = match &one.state {
        InstanceState::Running | InstanceState::Standby { .. } => return None,
        InstanceState::Starting
        | InstanceState::Retrying { .. }
        | InstanceState::Waiting { .. } => 1,
        InstanceState::Stopped { .. } => 2,
    };
    let mut text = format!("instance {} is {}", one.name, one.state.word());
    for more in [one.state.reason(), one.state.advice()].into_iter().flatten() {
        let _ = write!(text, ": {more}");
    }
    Some(Condition { kind: Kind::State, instance: one.name.clone(), lasts, weight, text })
}

fn lag(one: &InstanceStatus, rules: &Rules) -> Option<Condition> {
    let most = rules.lag?;
    let behind = Duration::from_millis(one.progress.delay_ms);
    (behind > most && !stands_by(one)).then(|| Condition {
        kind: Kind::Lag,
        instance: one.name.clone(),
        lasts: Duration::ZERO,
        weight: 1,
        text: format!(
            "instance {} is {} s behind its server (more than {} s)",
            one.name,
            behind.as_secs(),
            most.as_secs(),
        ),
    })
}

fn retention(one: &InstanceStatus, rules: &Rules) -> Option<Condition> {
    let left = one.progress.retention?;
    let most = rules.retention_percent;
    (most > 0 && left.used_percent >= most && !stands_by(one)).then(|| {
        let mut until = Vec::new();
        until.extend(left.seconds.map(|seconds| format!("in {seconds} s")));
        until.extend(left.bytes.map(|more| format!("after {} more", bytes(more))));
        let until = until.join(" or ");
        Condition {
            kind: Kind::Retention,
            instance: one.name.clone(),
            lasts: Duration::ZERO,
            weight: u64::from(left.used_percent >= 75),
            text: format!(
                "{} % of the retention of the server of instance {} are used up: it may purge {until} \
                 what is still needed of its binlog",
                left.used_percent, one.name,
            ),
        }
    })
}

fn parked(one: &InstanceStatus) -> Option<Condition> {
    let tables: Vec<String> =
        one.progress.parked.iter().map(|table| table.name().to_string()).collect();
    let events: u64 = one.progress.parked.iter().map(|table| table.events).sum();
    (!tables.is_empty()).then(|| Condition {
        kind: Kind::Parked,
        instance: one.name.clone(),
        lasts: Duration::ZERO,
        weight: tables.len() as u64,
        text: format!(
            "instance {0} keeps {events} changes aside, of {1}: `bin/sluice instance show {0}` says why",
            one.name,
            list(&tables, tables.len()),
        ),
    })
}

fn stands_by(one: &InstanceStatus) -> bool {
    matches!(one.state, InstanceState::Standby { .. })
}

fn named(instance: &str) -> Option<String> {
    (!instance.is_empty()).then(|| instance.to_owned())
}

/// The first of them.
fn list(all: &[String], count: usize) -> String {
    let mut text = all[..count.min(NAMED)].join("; ");
    if count > NAMED {
        let _ = write!(text, "; and {} more", count - NAMED);
    }
    text
}

fn bytes(number: u64) -> String {
    match number {
        0..1_048_576 => format!("{} KiB", number >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", number >> 20),
        _ => format!("{} GiB", number >> 30),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
