//! The routes of the commands of the binary: over loopback only, with the token, in plain text.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{post, put};
use axum::{Extension, Router};

use super::access::Need;
use super::{
    Asker, DROP_PARKED, Gate, Peer, Shared, carry_out, connections, failure, pass, response,
};
use crate::control::{Command, Place, SnapshotOrder};

/// See the head of this file.
pub(super) fn routes(shared: &Shared) -> Router<Shared> {
    Router::new()
        .route("/instances/{name}/stop", post(stop_instance))
        .route("/instances/{name}/start", post(start_instance))
        .route("/instances/{name}/retry", post(retry))
        .route("/instances/{name}/drop", post(drop_parked))
        .route("/instances/{name}/snapshot", post(snapshot))
        .route("/instances/{name}/export", post(export))
        .route("/instances/{name}/copy", post(copy))
        .route("/instances/{name}/resume", post(resume))
        .route("/instances/{name}/import", post(import))
        .route("/instances/{name}/replace", post(replace))
        .route("/instances/{name}/position", put(set_position).delete(reset_position))
        .route("/log/backup", post(back_up))
        .route("/reload", post(reload))
        .route_layer(middleware::from_fn(connections::read_body))
        .route_layer(middleware::from_fn_with_state(
            Gate { access: Arc::clone(&shared.access), need: Need::Machine, answer: failure },
            pass,
        ))
        .route_layer(middleware::from_fn(only_from_here))
}

/// Lets a command through that a process of this machine sends over loopback. Headers of
/// proxies are not looked at: anybody can write them. A browser names the page that asks.
async fn only_from_here(
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if !peer.is_here() {
        let text = "commands are taken over loopback only: use bin/sluice on the machine itself";
        return failure(StatusCode::FORBIDDEN, text.to_owned());
    }
    if request.headers().contains_key(header::ORIGIN) {
        let text = "commands are not taken from web pages: use bin/sluice";
        return failure(StatusCode::FORBIDDEN, text.to_owned());
    }
    next.run(request).await
}

async fn stop_instance(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
) -> Response {
    obey(&shared, who, Command::Stop { instance }).await
}

async fn start_instance(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
) -> Response {
    obey(&shared, who, Command::Start { instance }).await
}

async fn set_position(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
    body: Bytes,
) -> Response {
    match serde_json::from_slice::<Place>(&body) {
        Ok(place) => obey(&shared, who, Command::SetPosition { instance, place }).await,
        Err(error) => failure(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

async fn reset_position(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
    what: String,
) -> Response {
    let drop_parked = match &*what {
        "" => false,
        DROP_PARKED => true,
        other => return failure(StatusCode::BAD_REQUEST, format!("`{other}` means nothing")),
    };
    obey(&shared, who, Command::ResetPosition { instance, drop_parked }).await
}

async fn export(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
    file: String,
) -> Response {
    obey(&shared, who, Command::Export { instance, file: file.into(), is_copy: false }).await
}

async fn copy(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
    file: String,
) -> Response {
    obey(&shared, who, Command::Export { instance, file: file.into(), is_copy: true }).await
}

async fn resume(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
) -> Response {
    obey(&shared, who, Command::Resume { instance }).await
}

async fn snapshot(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
    body: Bytes,
) -> Response {
    match serde_json::from_slice::<SnapshotOrder>(&body) {
        Ok(order) => obey(&shared, who, Command::Snapshot { instance, order }).await,
        Err(error) => failure(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

async fn import(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
    file: String,
) -> Response {
    obey(&shared, who, Command::Import { instance, file: file.into(), replace: false }).await
}

async fn replace(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
    file: String,
) -> Response {
    obey(&shared, who, Command::Import { instance, file: file.into(), replace: true }).await
}

async fn retry(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
    table: String,
) -> Response {
    obey(&shared, who, Command::Retry { instance, table }).await
}

async fn drop_parked(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(instance): Path<String>,
    table: String,
) -> Response {
    obey(&shared, who, Command::DropParked { instance, table }).await
}

async fn back_up(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    dir: String,
) -> Response {
    obey(&shared, who, Command::Backup { dir: dir.into() }).await
}

async fn reload(State(shared): State<Shared>, Extension(who): Extension<Asker>) -> Response {
    obey(&shared, who, Command::Reload).await
}

async fn obey(shared: &Shared, Asker(who): Asker, command: Command) -> Response {
    let Some(who) = who else {
        return failure(StatusCode::UNAUTHORIZED, "this wants a login".to_owned());
    };
    match carry_out(shared, who, command).await {
        Ok(said) => response(StatusCode::OK, "text/plain; charset=utf-8", said.into_bytes()),
        Err(reason) => failure(StatusCode::CONFLICT, reason),
    }
}
