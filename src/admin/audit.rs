//! What is remembered of each change that somebody made through this port: who, from where, what,
//! and how it was before and after.
//!
//! In: an [`Entry`] once the change was made or refused. Out: through [`Audit`], which the server
//! gives, a record of `__sluice_audit` in the log, or of `__<group>.audit` in a cluster. What cannot
//! be remembered there is said in the log lines, and in the answer.

use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::access::Who;
use crate::control::{Board, Command, InstanceStatus, Place, SnapshotOrder};

/// A longer text of a position is cut: a set of GTIDs may have megabytes.
const LONGEST_TEXT: usize = 4096;

/// A change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Who asked.
    pub who: String,
    /// From which address.
    pub from: String,
    /// What was asked.
    pub what: String,
    /// What it is about.
    pub on: String,
    /// How that was before.
    pub before: Value,
    /// How it is now.
    pub after: Value,
    /// `done`, or why not.
    pub outcome: String,
}

/// Remembers an entry; the error is a sentence.
pub type Audit = Arc<dyn Fn(Entry) -> Remembering + Send + Sync>;

/// What [`Audit`] does.
pub type Remembering = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Remembers a change; what could not be is said.
pub(super) async fn remember(audit: &Audit, who: &Who, change: Change) -> Option<String> {
    let Change { what, on, before, after, outcome } = change;
    let entry = Entry {
        who: who.name(),
        from: who.address.to_string(),
        what: what.to_owned(),
        on,
        before,
        after,
        outcome: outcome.err().unwrap_or_else(|| "done".to_owned()),
    };
    tracing::info!(
        who = entry.who,
        from = entry.from,
        on = entry.on,
        outcome = cut(&entry.outcome),
        "asked: {what}"
    );
    match audit(entry).await {
        Ok(()) => None,
        Err(reason) => {
            tracing::error!("THE AUDIT LACKS A CHANGE ({what}): {reason}");
            Some(format!("the audit lacks this: {reason}"))
        }
    }
}

/// What was changed, without who did.
pub(super) struct Change {
    pub(super) what: &'static str,
    pub(super) on: String,
    pub(super) before: Value,
    pub(super) after: Value,
    pub(super) outcome: Result<(), String>,
}

/// What a command is called.
pub(super) fn name(command: &Command) -> &'static str {
    match command {
        Command::Stop { .. } => "instance stop",
        Command::Start { .. } => "instance start",
        Command::SetPosition { .. } => "position set",
        Command::ResetPosition { .. } => "position reset",
        Command::Export { is_copy: false, .. } => "position export",
        Command::Export { is_copy: true, .. } => "position export --copy",
        Command::Resume { .. } => "position resume",
        Command::Snapshot { order, .. } => match order {
            SnapshotOrder::Plan { .. } => "snapshot plan",
            SnapshotOrder::Start { .. } => "snapshot start",
            SnapshotOrder::Pause => "snapshot pause",
            SnapshotOrder::Resume => "snapshot resume",
            SnapshotOrder::Stop { .. } => "snapshot stop",
        },
        Command::Import { .. } => "position import",
        Command::Retry { .. } => "instance retry",
        Command::DropParked { .. } => "instance drop-parked",
        Command::Backup { .. } => "log backup",
        Command::Reload => "reload",
    }
}

/// What a command is about.
pub(super) fn subject(command: &Command) -> String {
    match command {
        Command::Retry { instance, table } | Command::DropParked { instance, table } => {
            format!("{instance} {table}")
        }
        Command::Backup { dir } => dir.display().to_string(),
        Command::Reload => String::new(),
        Command::Stop { instance }
        | Command::Start { instance }
        | Command::SetPosition { instance, .. }
        | Command::ResetPosition { instance, .. }
        | Command::Export { instance, .. }
        | Command::Resume { instance }
        | Command::Snapshot { instance, .. }
        | Command::Import { instance, .. } => instance.clone(),
    }
}

/// What a command wants, where that is not what comes of it.
pub(super) fn wanted(command: &Command) -> Option<Value> {
    match command {
        Command::SetPosition { place, .. } => Some(match place {
            Place::Gtid { set } => json!({"gtid": cut(set)}),
            Place::File { file, offset } => json!({"file": cut(file), "offset": offset}),
            Place::WithoutLost { lost, server, .. } => json!({"lost": cut(lost), "server": server}),
        }),
        Command::Export { file, .. } | Command::Import { file, .. } => Some(json!({"file": file})),
        Command::Snapshot { order, .. } => serde_json::to_value(order).ok(),
        Command::Stop { .. }
        | Command::Start { .. }
        | Command::Resume { .. }
        | Command::ResetPosition { .. }
        | Command::Retry { .. }
        | Command::DropParked { .. }
        | Command::Backup { .. }
        | Command::Reload => None,
    }
}

/// How an instance is: its state, position, and what of it is parked.
pub(super) fn of_instance(board: &Board, name: Option<&str>) -> Value {
    let all = board.snapshot().instances;
    let Some(one) = all.into_iter().find(|one| Some(&*one.name) == name) else {
        return Value::Null;
    };
    let InstanceStatus { state, progress, .. } = one;
    let position = progress.position.map(|position| cut(&position.to_string()).to_owned());
    let parked: Vec<String> = progress.parked.iter().map(|one| one.name().to_string()).collect();
    json!({"state": state.word(), "position": position, "parked": parked})
}

/// The begin of a text, at most [`LONGEST_TEXT`] bytes of it.
pub(super) fn cut(text: &str) -> &str {
    let end = (0..=LONGEST_TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}
