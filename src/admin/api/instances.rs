//! Instances: how they are, and the commands to them.
//!
//! A `dry_run` says what would come of it, and does nothing.

use std::os::unix::fs::FileExt as _;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::process::obey;
use super::{Answer, failure, read, shown};
use crate::admin::access::Refusal;
use crate::admin::{Asker, Shared};
use crate::control::{Command, InstanceState, InstanceStatus, Place};
use crate::shutdown::Tasks;

/// As many tables are shown: those whose last change is the newest.
const MOST_TABLES: usize = 1000;

/// So much of the end of a log file is shown.
const MOST_LOG: u64 = 128 << 10;

/// What a command on a position says beside it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dry {
    #[serde(default)]
    dry_run: bool,
}

/// All instances.
pub(super) async fn list(State(shared): State<Shared>) -> Answer {
    Ok(shown(&json!({"instances": shared.board.snapshot().instances})))
}

/// One instance, with its tables.
pub(super) async fn show(State(shared): State<Shared>, Path(instance): Path<String>) -> Answer {
    let one = find(&shared, &instance)?;
    let counts = shared.board.tables(&instance);
    let mut value = serde_json::to_value(&one)
        .map_err(|error| failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    value["tables"] = json!(counts.newest(MOST_TABLES));
    value["encoded"] = json!(counts.total());
    Ok(shown(&value))
}

fn find(shared: &Shared, instance: &str) -> Result<InstanceStatus, Refusal> {
    let all = shared.board.snapshot().instances;
    all.into_iter()
        .find(|one| one.name == instance)
        .ok_or_else(|| failure(StatusCode::NOT_FOUND, format!("there is no instance {instance}")))
}

/// The last lines of its log file.
pub(super) async fn log_tail(State(shared): State<Shared>, Path(instance): Path<String>) -> Answer {
    // A name that is one of ours is no path to elsewhere.
    let one = find(&shared, &instance)?;
    let path = shared.logs.join(&one.name).join(format!("{}.log", one.name));
    let reading = move || -> std::io::Result<String> {
        #[expect(clippy::disallowed_types, reason = "only read")]
        let file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        let begin = length.saturating_sub(MOST_LOG);
        let mut bytes = vec![0; usize::try_from(length - begin).unwrap_or_default()];
        let read = file.read_at(&mut bytes, begin)?;
        bytes.truncate(read);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // The first line is likely to be cut.
        let cut = if begin > 0 { text.find('\n').map_or(0, |end| end + 1) } else { 0 };
        Ok(text[cut..].to_owned())
    };
    // Not joined: a disk that does not answer holds up nothing but this answer.
    match Tasks::new().spawn_blocking("read the end of a log file", reading).await {
        Ok(Ok(text)) => Ok(shown(&json!({"lines": text.lines().collect::<Vec<_>>()}))),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(shown(&json!({"lines": []})))
        }
        Ok(Err(error)) => Err(failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        Err(error) => Err(failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

/// Starts it.
pub(super) async fn start(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
) -> Answer {
    obey(&shared, who, Command::Start { instance }).await
}

/// Stops it.
pub(super) async fn stop(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
) -> Answer {
    obey(&shared, who, Command::Stop { instance }).await
}

/// A parked table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parked {
    table: String,
}

/// Publishes what is kept of a parked table.
pub(super) async fn retry(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let Parked { table } = read(&headers, &body)?;
    obey(&shared, who, Command::Retry { instance, table }).await
}

/// Drops what is kept of a parked table.
pub(super) async fn drop_parked(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let Parked { table } = read(&headers, &body)?;
    obey(&shared, who, Command::DropParked { instance, table }).await
}

/// Where it is positioned.
pub(super) async fn position(State(shared): State<Shared>, Path(instance): Path<String>) -> Answer {
    let one = find(&shared, &instance)?;
    let text = one.progress.position.as_ref().map(ToString::to_string);
    Ok(shown(&json!({"position": one.progress.position, "text": text})))
}

/// Makes it go on from a place.
pub(super) async fn set_position(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
    Query(Dry { dry_run }): Query<Dry>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let place: Place = read(&headers, &body)?;
    if dry_run {
        let one = find(&shared, &instance)?;
        let again = again(&one, &place);
        return Ok(dry(&one, &json!(place), &again));
    }
    obey(&shared, who, Command::SetPosition { instance, place }).await
}

/// What moving there means, as far as it is known without the server.
fn again(one: &InstanceStatus, place: &Place) -> Value {
    let Some(position) = &one.progress.position else { return Value::Null };
    match place {
        Place::File { file, offset } if file == position.file() => {
            let (old, new) = (position.offset(), *offset);
            json!({"again_bytes": old.saturating_sub(new), "skipped_bytes": new.saturating_sub(old)})
        }
        Place::File { file, .. } if order(file) < order(position.file()) => {
            json!({"is_earlier": true})
        }
        Place::File { .. } => json!({"is_later": true}),
        Place::Gtid { .. } | Place::WithoutLost { .. } => Value::Null,
    }
}

/// Files are numbered at their end: `b.1000000` comes behind `b.999999`.
fn order(file: &str) -> (usize, &str) {
    (file.len(), file)
}

/// What a reset says beside it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reset {
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    drop_parked: bool,
}

/// Makes it begin anew.
pub(super) async fn reset_position(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
    Query(Reset { dry_run, drop_parked }): Query<Reset>,
) -> Answer {
    if dry_run {
        let one = find(&shared, &instance)?;
        let parked: Vec<_> = one.progress.parked.iter().map(|one| one.name().to_string()).collect();
        return Ok(dry(&one, &Value::Null, &json!({"drops_parked": parked})));
    }
    obey(&shared, who, Command::ResetPosition { instance, drop_parked }).await
}

/// What would come of a move, and what it wants first.
fn dry(one: &InstanceStatus, after: &Value, more: &Value) -> Response {
    let stopped = matches!(one.state, InstanceState::Stopped { .. });
    let wants = match &one.progress.position {
        _ if !stopped => Some(format!("stop {} first", one.name)),
        None => Some(format!(
            "{} has no position yet: write where it begins into its instance.properties \
             (canal.instance.master.journal.name and .position, or .gtid)",
            one.name
        )),
        Some(_) => None,
    };
    let before = one.progress.position.as_ref().map(ToString::to_string);
    shown(&json!({
        "dry_run": true, "before": before, "after": after, "wants": wants, "means": more,
    }))
}

/// A file of the machine.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    file: String,
    #[serde(default)]
    replace: bool,
}

/// Writes all that is known of it to a file.
pub(super) async fn export(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let File { file, .. } = read(&headers, &body)?;
    obey(&shared, who, Command::Export { instance, file: file.into(), is_copy: false }).await
}

/// Makes it go on from such a file.
pub(super) async fn import(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let File { file, replace } = read(&headers, &body)?;
    obey(&shared, who, Command::Import { instance, file: file.into(), replace }).await
}
