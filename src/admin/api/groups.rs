//! Groups: list, show, move offsets, delete.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::kafka::{asked, blocking};
use super::{Answer, failure, known, read, shown};
use crate::admin::audit::{Change, remember};
use crate::admin::{Asker, Shared};
use crate::client::{Error, Groups, OffsetChange, Target};

/// All groups.
pub(super) async fn list(State(shared): State<Shared>) -> Answer {
    let connection = asked(&shared).await?;
    let groups = blocking("list groups", move || Groups::of(&connection)?.list()).await?;
    let groups: Vec<Value> = groups
        .into_iter()
        .map(|one| json!({"name": one.name, "state": one.state, "members": one.members.len()}))
        .collect();
    Ok(shown(&json!({"groups": groups})))
}

/// One group: its members, and how much of each partition it has not read.
pub(super) async fn show(State(shared): State<Shared>, Path(group): Path<String>) -> Answer {
    let connection = asked(&shared).await?;
    let found = blocking("describe a group", move || Groups::of(&connection)?.describe(&group));
    let found = found.await?;
    let members: Vec<Value> = found
        .group
        .members
        .iter()
        .map(|one| {
            json!({
                "id": one.id, "client": one.client, "host": one.host, "assignment": one.assignment,
            })
        })
        .collect();
    let offsets: Vec<Value> = found
        .offsets
        .iter()
        .map(|one| {
            let lag = one.committed.map(|committed| (one.end - committed).max(0));
            json!({
                "topic": one.topic, "partition": one.partition, "committed": one.committed,
                "start": one.start, "end": one.end, "lag": lag,
            })
        })
        .collect();
    Ok(shown(&json!({
        "name": found.group.name, "state": found.group.state, "assignor": found.group.assignor,
        "members": members, "offsets": offsets,
    })))
}

/// Where to move a group.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reset {
    to: To,
    /// None: all that it has offsets of.
    #[serde(default)]
    topics: Vec<Of>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum To {
    Earliest,
    Latest,
    Offset(i64),
    Shift(i64),
    TimeMs(i64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    topic: String,
    #[serde(default)]
    partitions: Vec<i32>,
}

/// Moves a group's offsets; or says where to.
pub(super) async fn reset(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(group): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let Reset { to, topics, dry_run } = read(&headers, &body)?;
    let (who, connection) = (known(who)?, asked(&shared).await?);
    let target = match to {
        To::Earliest => Target::Earliest,
        To::Latest => Target::Latest,
        To::Offset(offset) => Target::Offset(offset),
        To::Shift(by) => Target::Shift(by),
        To::TimeMs(time) => Target::Time(time),
    };
    let topics: Vec<_> = topics.into_iter().map(|of| (of.topic, of.partitions)).collect();
    let (audit, on) = (shared.audit.clone(), group.clone());
    let work = async move {
        let moved = blocking("move a group", move || {
            let groups = Groups::of(&connection)?;
            groups.ensure_inactive(&group)?;
            let before = groups.plan(&group, &topics, Target::Current)?;
            let changes = groups.plan(&group, &topics, target)?;
            let done = match &*changes {
                _ if dry_run => Ok(()),
                [] => Ok(()),
                some => groups.move_to(&group, some),
            };
            Ok((described(&before), described(&changes), done.map_err(|error| error.to_string())))
        });
        let (before, after, outcome) = moved.await?;
        let answer = json!({"dry_run": dry_run, "before": before, "after": after});
        if dry_run {
            return Ok(shown(&answer));
        }
        let told = outcome.clone();
        let change = Change { what: "group reset", on, before, after, outcome: told };
        // Said in the log lines, too.
        remember(&audit, &who, change).await;
        match outcome {
            Ok(()) => Ok(shown(&answer)),
            Err(reason) => Err(failure(StatusCode::CONFLICT, reason)),
        }
    };
    let done = shared.tasks.spawn("move a group", work).await;
    done.unwrap_or_else(|error| Err(failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))
}

fn described(changes: &[OffsetChange]) -> Value {
    let one = |one: &OffsetChange| json!({"topic": one.topic, "partition": one.partition, "offset": one.offset});
    changes.iter().map(one).collect()
}

/// Deletes a group, and with it all its offsets.
pub(super) async fn delete(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(group): Path<String>,
) -> Answer {
    let (who, connection) = (known(who)?, asked(&shared).await?);
    let (audit, runtime, on) = (shared.audit.clone(), Handle::current(), group.clone());
    let work = async move {
        let deleted = blocking("delete a group", move || {
            let groups = Groups::of(&connection)?;
            let found = groups.describe(&group)?;
            let had: Vec<OffsetChange> = found
                .offsets
                .into_iter()
                .filter_map(|one| {
                    let offset = one.committed?;
                    Some(OffsetChange { topic: one.topic, partition: one.partition, offset })
                })
                .collect();
            let refused = runtime.block_on(groups.delete(&[&group]))?;
            let outcome = match refused.first() {
                None => Ok(()),
                Some((_, code)) => Err(format!("group {group} cannot be deleted: {code}")),
            };
            Ok::<_, Error>((described(&had), outcome))
        });
        let (before, outcome) = deleted.await?;
        let after = if outcome.is_ok() { Value::Null } else { before.clone() };
        let change = Change { what: "group delete", on, before, after, outcome: outcome.clone() };
        let lack = remember(&audit, &who, change).await;
        match outcome {
            Ok(()) => Ok(shown(&json!({"said": lack.unwrap_or_default()}))),
            Err(reason) => Err(failure(StatusCode::CONFLICT, reason)),
        }
    };
    let done = shared.tasks.spawn("delete a group", work).await;
    done.unwrap_or_else(|error| Err(failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))
}
