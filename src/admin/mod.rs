//! HTTP on `canal.metrics.pull.port`: health, metrics, and commands to the process.
//!
//! ```text
//! GET  /health                      200 when everything is ready, else 503; JSON either way
//! GET  /health/live                 200 while the process answers
//! GET  /health/ready                200 while it serves clients, else 503
//! GET  /health/ready/<name>         200 while that instance runs and something comes through
//! GET  /metrics                     text in the OpenMetrics format, as Prometheus reads it
//! POST /instances/<name>/stop       ┐
//! POST /instances/<name>/start      │
//! POST /instances/<name>/retry      │
//! POST /instances/<name>/drop       │
//! POST /instances/<name>/snapshot   │
//! PUT  /instances/<name>/position   ├ 200, or 409 with the reason in plain text
//! DELETE /instances/<name>/position │
//! POST /log/backup                  │
//! POST /reload                      ┘
//! ```
//!
//! The body of `PUT position` is a [`Place`] as JSON: `{"file": .., "offset": ..}`,
//! `{"set": ..}`, or `{"kept": .., "lost": .., "server": ..}`; that of `DELETE position` is empty,
//! or `drop-parked`. Both commands on positions want the instance stopped. The body of `retry` and
//! `drop` is the parked table, as `db.table`; that of `snapshot` a [`SnapshotOrder`] as JSON; that of `backup` the directory to copy the log to. An
//! answer of 200 may have something to say, in plain text.
//!
//! Health and metrics are answered to anybody, as Canal's are. Commands are taken over
//! loopback only, and from no web page: whom a proxy speaks for nobody here can know.
//!
//! What clients leave undone is bounded in time, and they in number: [`connections`].
//!
//! Holds no state: it reads the board and forwards commands. The commands of the binary
//! ask it through [`client`].

pub mod client;
mod connections;
mod health;
mod metrics;
pub mod webhook;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post, put};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::control::{Board, Command, Commands, Place, SnapshotOrder};

/// The body of a `DELETE position` by which what is kept of parked tables may go too.
const DROP_PARKED: &str = "drop-parked";

/// What the handlers need.
#[derive(Clone)]
struct Shared {
    board: Board,
    commands: Commands,
    extra: Extra,
}

/// Adds to the metrics what other parts of the process count.
pub type Extra = Arc<dyn Fn(&mut Registry) + Send + Sync>;

/// Serves on a bound socket until `stop` resolves, then finishes the requests in hand, within
/// seconds whatever their clients do.
pub async fn serve(
    listener: TcpListener,
    board: Board,
    commands: Commands,
    extra: Extra,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    connections::serve(listener, routes(Shared { board, commands, extra }), stop).await
}

fn routes(shared: Shared) -> Router {
    let commands_only_here = Router::new()
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
        .route_layer(middleware::from_fn(only_from_here));
    Router::new()
        .route("/health", get(health::all))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/health/ready/{instance}", get(health::ready_instance))
        .route("/metrics", get(metrics))
        .merge(commands_only_here)
        .with_state(shared)
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
struct Peer(IpAddr);

impl Peer {
    /// Whether it is a process of this machine for certain.
    fn is_here(self) -> bool {
        self.0.to_canonical().is_loopback()
    }
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

async fn metrics(State(shared): State<Shared>) -> Response {
    match metrics::text(&shared.board, &*shared.extra) {
        Ok(text) => response(StatusCode::OK, metrics::CONTENT_TYPE, text.into_bytes()),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

async fn stop_instance(State(shared): State<Shared>, Path(instance): Path<String>) -> Response {
    obey(&shared, Command::Stop { instance }).await
}

async fn start_instance(State(shared): State<Shared>, Path(instance): Path<String>) -> Response {
    obey(&shared, Command::Start { instance }).await
}

async fn set_position(
    State(shared): State<Shared>,
    Path(instance): Path<String>,
    body: Bytes,
) -> Response {
    match serde_json::from_slice::<Place>(&body) {
        Ok(place) => obey(&shared, Command::SetPosition { instance, place }).await,
        Err(error) => failure(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

async fn reset_position(
    State(shared): State<Shared>,
    Path(instance): Path<String>,
    what: String,
) -> Response {
    let drop_parked = match &*what {
        "" => false,
        DROP_PARKED => true,
        other => return failure(StatusCode::BAD_REQUEST, format!("`{other}` means nothing")),
    };
    obey(&shared, Command::ResetPosition { instance, drop_parked }).await
}

async fn export(
    State(shared): State<Shared>,
    Path(instance): Path<String>,
    file: String,
) -> Response {
    obey(&shared, Command::Export { instance, file: file.into(), is_copy: false }).await
}

async fn copy(
    State(shared): State<Shared>,
    Path(instance): Path<String>,
    file: String,
) -> Response {
    obey(&shared, Command::Export { instance, file: file.into(), is_copy: true }).await
}

async fn resume(State(shared): State<Shared>, Path(instance): Path<String>) -> Response {
    obey(&shared, Command::Resume { instance }).await
}

async fn import(
    State(shared): State<Shared>,
    Path(instance): Path<String>,
    file: String,
) -> Response {
    obey(&shared, Command::Import { instance, file: file.into(), replace: false }).await
}

async fn replace(
    State(shared): State<Shared>,
    Path(instance): Path<String>,
    file: String,
) -> Response {
    obey(&shared, Command::Import { instance, file: file.into(), replace: true }).await
}

async fn retry(
    State(shared): State<Shared>,
    Path(instance): Path<String>,
    table: String,
) -> Response {
    obey(&shared, Command::Retry { instance, table }).await
}

async fn drop_parked(
    State(shared): State<Shared>,
    Path(instance): Path<String>,
    table: String,
) -> Response {
    obey(&shared, Command::DropParked { instance, table }).await
}

async fn snapshot(
    State(shared): State<Shared>,
    Path(instance): Path<String>,
    body: Bytes,
) -> Response {
    match serde_json::from_slice::<SnapshotOrder>(&body) {
        Ok(order) => obey(&shared, Command::Snapshot { instance, order }).await,
        Err(error) => failure(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

async fn back_up(State(shared): State<Shared>, dir: String) -> Response {
    obey(&shared, Command::Backup { dir: dir.into() }).await
}

async fn reload(State(shared): State<Shared>) -> Response {
    obey(&shared, Command::Reload).await
}

async fn obey(shared: &Shared, command: Command) -> Response {
    match shared.commands.ask(command).await {
        Ok(said) => response(StatusCode::OK, "text/plain; charset=utf-8", said.into_bytes()),
        Err(reason) => failure(StatusCode::CONFLICT, reason),
    }
}

fn failure(status: StatusCode, text: String) -> Response {
    response(status, "text/plain; charset=utf-8", text.into_bytes())
}

fn response(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let value = header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

#[cfg(test)]
mod tests;
