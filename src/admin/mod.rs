//! HTTP on `canal.metrics.pull.port`: health, metrics, the page, and what it and the commands ask.
//!
//! ```text
//! GET  /health                      200 when everything is ready, else 503; JSON either way
//! GET  /health/live                 200 while the process answers
//! GET  /health/ready                200 while it serves clients, else 503
//! GET  /health/ready/<name>         200 while that instance runs and something comes through
//! GET  /metrics                     text in the OpenMetrics format, as Prometheus reads it
//! GET  /                            the page, and what it is made of: [`page`]
//! ..   /api/v1/..                   JSON: [`api`], described by docs/openapi.json
//! POST /instances/<name>/stop       ┐
//! POST /instances/<name>/start      │
//! POST /instances/<name>/retry      │ of the commands
//! POST /instances/<name>/drop       │
//! POST /instances/<name>/snapshot   │
//! PUT  /instances/<name>/position   ├ 200, or 409 with the reason in plain text
//! DELETE /instances/<name>/position │
//! POST /log/backup                  │
//! POST /reload                      ┘
//! ```
//!
//! The body of `PUT position` is a [`Place`](crate::control::Place) as JSON: `{"file": .., "offset": ..}`,
//! `{"set": ..}`, or `{"kept": .., "lost": .., "server": ..}`; that of `DELETE position` is empty,
//! or `drop-parked`. Both commands on positions want the instance stopped. The body of `retry` and
//! `drop` is the parked table, as `db.table`; that of `snapshot` a
//! [`SnapshotOrder`](crate::control::SnapshotOrder) as JSON; that of `backup` the directory to copy the
//! log to. An
//! answer of 200 may have something to say, in plain text.
//!
//! Health and metrics are answered to anybody, as Canal's are; all else as [`access`] says. The
//! commands' own routes are taken over loopback only, with the token, and from no web page.
//!
//! What clients leave undone is bounded in time, and they in number: [`connections`].
//!
//! It reads the board, forwards commands, and asks the log as any Kafka client does; of its own it
//! holds who is logged in. The commands of the binary ask it through [`client`].

mod access;
mod api;
mod audit;
pub mod client;
mod commands;
mod connections;
mod health;
mod live;
mod metrics;
mod page;
pub mod webhook;

use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::access::{Access, Need, Refusal, Who};
pub use self::access::{Role, SHORTEST_PASSWORD, Users, UsersError, new_secret};
pub use self::audit::{Audit, Entry, Remembering};
pub use self::live::MOST_WATCHING;
use crate::client::Connection;
use crate::config::ClusterConfig;
use crate::control::{Board, Command, Commands, Outcome};
use crate::shutdown::Tasks;

/// The body of a `DELETE position` by which what is kept of parked tables may go too.
const DROP_PARKED: &str = "drop-parked";

/// Adds to the metrics what other parts of the process count.
pub type Extra = Arc<dyn Fn(&mut Registry) + Send + Sync>;

/// The topics that an instance writes.
pub type Owned = Arc<dyn Fn(&str) -> Vec<String> + Send + Sync>;

/// Where topics, messages and groups are: known once the log is open.
pub type Kafka = Arc<OnceLock<Reach>>;

/// How the log is reached, as a Kafka client reaches it.
#[derive(Clone, Debug)]
pub enum Reach {
    /// The bundled broker.
    Bundled(Connection),
    /// The cluster that changes go to.
    Cluster(Arc<ClusterConfig>),
}

/// What the port is made of.
pub struct Setup {
    /// What is shown.
    pub board: Board,
    /// Where commands go.
    pub commands: Commands,
    /// Further metrics.
    pub extra: Extra,
    /// What processes of this machine prove themselves by; none if it could not be written.
    pub token: Option<String>,
    /// `conf/users`.
    pub users: PathBuf,
    /// Names under which browsers may ask, beside those that always do.
    pub hosts: Vec<String>,
    /// Where changes are remembered.
    pub audit: Audit,
    /// The topic that they are remembered in.
    pub audit_topic: String,
    /// Where the log is.
    pub kafka: Kafka,
    /// The topics that an instance writes, as far as the log knows.
    pub owned: Owned,
    /// The folder of the log files.
    pub logs: PathBuf,
}

/// The port, on as many sockets as there are. Clones are the same.
#[derive(Clone)]
pub struct Admin(Shared);

/// What the handlers need.
#[derive(Clone)]
struct Shared {
    board: Board,
    commands: Commands,
    extra: Extra,
    access: Arc<Access>,
    audit: Audit,
    audit_topic: Arc<str>,
    kafka: Kafka,
    owned: Owned,
    logs: Arc<std::path::Path>,
    live: live::Live,
    /// What goes on when who asked has gone.
    tasks: Tasks,
}

impl Admin {
    /// A port that serves nobody yet.
    pub fn new(setup: Setup) -> Self {
        let Setup { board, commands, extra, token, users, hosts, audit, .. } = setup;
        let access = Arc::new(Access::new(token, users, &hosts));
        Self(Shared {
            board,
            commands,
            extra,
            access,
            audit,
            audit_topic: setup.audit_topic.into(),
            kafka: setup.kafka,
            owned: setup.owned,
            logs: setup.logs.into(),
            live: live::Live::default(),
            tasks: Tasks::new(),
        })
    }

    /// Serves on a bound socket until `stop` resolves, then finishes the requests in hand, within
    /// seconds whatever their clients do.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let Self(shared) = self;
        let tasks = shared.tasks.clone();
        let closing: CancellationToken = tasks.token().clone();
        let stop = async move {
            stop.await;
            // What is shown live ends by itself, and is not waited for.
            closing.cancel();
        };
        let served = connections::serve(listener, routes(shared), stop).await;
        let panicked = tasks.join().await;
        if panicked.is_empty() { served } else { Err(std::io::Error::other("a command panicked")) }
    }
}

fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/health", get(health::all))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/health/ready/{instance}", get(health::ready_instance))
        .route("/metrics", get(metrics))
        .merge(commands::routes(&shared))
        .merge(api::routes(&shared))
        .merge(page::routes(&shared.access))
        .layer(middleware::map_response(secured))
        .with_state(shared)
}

/// Lets through who may.
#[derive(Clone)]
struct Gate {
    access: Arc<Access>,
    need: Need,
    /// How a refusal is written.
    answer: fn(StatusCode, String) -> Response,
}

/// Who asks, for the handlers; none where that is not known, and need not be.
#[derive(Clone, Debug)]
struct Asker(Option<Who>);

async fn pass(
    State(gate): State<Gate>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let admitted = gate.access.admit(peer, request.method(), request.headers(), gate.need);
    match admitted {
        Ok(who) => {
            request.extensions_mut().insert(Asker(who));
            next.run(request).await
        }
        Err(refusal) => refused(refusal, gate.answer),
    }
}

fn refused(refusal: Refusal, answer: fn(StatusCode, String) -> Response) -> Response {
    let Refusal { status, text, wait } = refusal;
    let mut response = answer(status, text);
    if let Some(wait) = wait
        && let Ok(seconds) = HeaderValue::try_from((wait.as_secs() + 1).to_string())
    {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// What browsers are told of every answer: nothing of it is run but our own files, nothing of it is
/// shown within another page, kept, or told to others.
async fn secured(mut response: Response) -> Response {
    const HEADERS: [(header::HeaderName, &str); 6] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
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

async fn metrics(State(shared): State<Shared>) -> Response {
    match metrics::text(&shared.board, &*shared.extra) {
        Ok(text) => response(StatusCode::OK, metrics::CONTENT_TYPE, text.into_bytes()),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// Has a command carried out, and remembers that, whether or not who asked is still there.
async fn carry_out(shared: &Shared, who: Who, command: Command) -> Outcome {
    let (board, commands, audit) =
        (shared.board.clone(), shared.commands.clone(), Arc::clone(&shared.audit));
    let work = async move {
        let instance = command.instance().map(str::to_owned);
        let of = |board: &Board| audit::of_instance(board, instance.as_deref());
        let (what, on, wanted) =
            (audit::name(&command), audit::subject(&command), audit::wanted(&command));
        let before = of(&board);
        let mut outcome = commands.ask(command).await;
        let mut after = of(&board);
        if let Some(wanted) = wanted {
            after = serde_json::json!({"wanted": wanted, "is": after});
        }
        let told = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
        let change = audit::Change { what, on, before, after, outcome: told };
        if let Some(lack) = audit::remember(&audit, &who, change).await
            && let Ok(said) = &mut outcome
        {
            if !said.is_empty() {
                said.push('\n');
            }
            said.push_str(&lack);
        }
        outcome
    };
    let done = shared.tasks.spawn("carry out a command", work).await;
    done.unwrap_or_else(|_| Err("an error in the program ended the command".to_owned()))
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
