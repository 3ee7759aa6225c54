//! How the process is, for people (`/health`) and for what starts and stops it (`/health/live`,
//! `/health/ready`).
//!
//! *Live* is a process that answers: one that does not is to be started anew. *Ready* is one that
//! serves Kafka clients: a source that is down takes nothing from consumers, who can read what there
//! is. Whether changes come through is asked of an instance (`/health/ready/<name>`), and proved: it is
//! ready only when a transaction or a heartbeat of its server went through to where consumers see it
//! within [`FRESH`].

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::{Shared, failure, response};
use crate::control::{InstanceState, InstanceStatus, Phase};

/// Heartbeats come each second or two; a position of filtered traffic in a cluster each half minute.
const FRESH: Duration = Duration::from_mins(1);

/// What is said of an instance.
#[derive(Debug, Serialize)]
struct Proof<'a> {
    instance: &'a str,
    state: &'static str,
    /// How long ago something went from the server through to consumers; none if nothing has yet.
    through_seconds_ago: Option<u64>,
}

/// What is said of the process.
#[derive(Debug, Serialize)]
struct Readiness<'a> {
    ready: bool,
    #[serde(flatten)]
    phase: &'a Phase,
    instances: Vec<Proof<'a>>,
}

/// Everything that is known.
pub(super) async fn all(State(shared): State<Shared>) -> Response {
    let snapshot = shared.board.snapshot();
    json(snapshot.is_ready(), &snapshot)
}

/// That it answers at all.
pub(super) async fn live(State(shared): State<Shared>) -> Response {
    let snapshot = shared.board.snapshot();
    json(true, &serde_json::json!({ "live": true, "pid": snapshot.pid }))
}

/// Whether clients are served.
pub(super) async fn ready(State(shared): State<Shared>) -> Response {
    let snapshot = shared.board.snapshot();
    let ready = snapshot.phase == Phase::Serving;
    let instances = snapshot.instances.iter().map(through).collect();
    json(ready, &Readiness { ready, phase: &snapshot.phase, instances })
}

/// Whether changes of an instance come through.
pub(super) async fn ready_instance(
    State(shared): State<Shared>,
    Path(instance): Path<String>,
) -> Response {
    let snapshot = shared.board.snapshot();
    let Some(one) = snapshot.instances.iter().find(|one| one.name == instance) else {
        return failure(StatusCode::NOT_FOUND, format!("there is no instance {instance}"));
    };
    let through = through(one);
    let is_fresh = through.through_seconds_ago.is_some_and(|seconds| seconds <= FRESH.as_secs());
    let ready = snapshot.phase == Phase::Serving
        && match one.state {
            InstanceState::Running => is_fresh,
            // It is proved where it runs.
            InstanceState::Standby { .. } => true,
            InstanceState::Starting
            | InstanceState::Retrying { .. }
            | InstanceState::Waiting { .. }
            | InstanceState::Stopped { .. } => false,
        };
    json(ready, &through)
}

fn through(one: &InstanceStatus) -> Proof<'_> {
    Proof {
        instance: &one.name,
        state: one.state.word(),
        through_seconds_ago: one.progress.through_seconds_ago,
    }
}

fn json(is_well: bool, body: &impl Serialize) -> Response {
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_vec(body) {
        Ok(json) => response(status, "application/json", json),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
