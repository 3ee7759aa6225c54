//! `/api/v1`: what the page and the commands ask, in JSON.
//!
//! Owns: the table of routes, with what each wants of who asks; docs/openapi.json describes them,
//! and a test holds the two together. What fails is `{"error": ..}` with a sentence. Instances are
//! shown from the board and changed by commands; topics, messages and groups go by the Kafka
//! protocol, to the bundled broker or the cluster alike.

mod groups;
mod instances;
mod kafka;
mod messages;
mod process;
mod session;
mod topics;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::access::{Need, Refusal, Who};
use super::{Asker, Gate, Shared, connections, live, pass, refused, response};

/// An answer, or a refusal.
type Answer = Result<Response, Refusal>;

/// A route.
struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "what it is described by"))]
    method: Method,
    path: &'static str,
    need: Need,
    to: MethodRouter<Shared>,
}

fn route<H: Handler<T, Shared>, T: 'static>(
    method: Method,
    path: &'static str,
    need: Need,
    handler: H,
) -> Route {
    // None for methods that are not among those below.
    let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
    Route { method, path, need, to: on(filter, handler) }
}

/// All routes.
fn table() -> Vec<Route> {
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    const PATCH: Method = Method::PATCH;
    const DELETE: Method = Method::DELETE;
    const VIEW: Need = Need::View;
    const ADMIN: Need = Need::Admin;
    vec![
        route(GET, "/api/v1/session", VIEW, session::show),
        route(POST, "/api/v1/session", Need::Nobody, session::begin),
        route(DELETE, "/api/v1/session", VIEW, session::end),
        route(POST, "/api/v1/links", Need::Machine, session::link),
        route(GET, "/api/v1/openapi.json", VIEW, process::openapi),
        route(GET, "/api/v1/status", VIEW, process::status),
        route(GET, "/api/v1/events", VIEW, live::events),
        route(GET, "/api/v1/audit", VIEW, process::audit),
        route(POST, "/api/v1/reload", ADMIN, process::reload),
        route(POST, "/api/v1/log/backup", Need::Machine, process::back_up),
        route(GET, "/api/v1/instances", VIEW, instances::list),
        route(GET, "/api/v1/instances/{instance}", VIEW, instances::show),
        route(GET, "/api/v1/instances/{instance}/log", VIEW, instances::log_tail),
        route(POST, "/api/v1/instances/{instance}/start", ADMIN, instances::start),
        route(POST, "/api/v1/instances/{instance}/stop", ADMIN, instances::stop),
        route(POST, "/api/v1/instances/{instance}/retry", ADMIN, instances::retry),
        route(POST, "/api/v1/instances/{instance}/drop", ADMIN, instances::drop_parked),
        route(GET, "/api/v1/instances/{instance}/position", VIEW, instances::position),
        route(PUT, "/api/v1/instances/{instance}/position", ADMIN, instances::set_position),
        route(DELETE, "/api/v1/instances/{instance}/position", ADMIN, instances::reset_position),
        route(POST, "/api/v1/instances/{instance}/export", Need::Machine, instances::export),
        route(POST, "/api/v1/instances/{instance}/import", Need::Machine, instances::import),
        route(GET, "/api/v1/topics", VIEW, topics::list),
        route(POST, "/api/v1/topics", ADMIN, topics::create),
        route(GET, "/api/v1/topics/{topic}", VIEW, topics::show),
        route(PATCH, "/api/v1/topics/{topic}", ADMIN, topics::alter),
        route(DELETE, "/api/v1/topics/{topic}", ADMIN, topics::delete),
        route(GET, "/api/v1/topics/{topic}/messages", VIEW, messages::list),
        route(GET, "/api/v1/groups", VIEW, groups::list),
        route(GET, "/api/v1/groups/{group}", VIEW, groups::show),
        route(DELETE, "/api/v1/groups/{group}", ADMIN, groups::delete),
        route(POST, "/api/v1/groups/{group}/reset", ADMIN, groups::reset),
    ]
}

/// See the head of this file.
pub(super) fn routes(shared: &Shared) -> Router<Shared> {
    let mut router = Router::new();
    for Route { method: _, path, need, to } in table() {
        let gate = Gate { access: Arc::clone(&shared.access), need, answer: written };
        let gated = to
            .layer(middleware::from_fn(connections::read_body))
            .layer(middleware::from_fn_with_state(gate, pass));
        router = router.route(path, gated);
    }
    router
}

/// A failure, as the API writes it.
fn failure(status: StatusCode, text: String) -> Refusal {
    Refusal { status, text, wait: None }
}

/// The same, where a response is wanted.
pub(super) fn written(status: StatusCode, text: String) -> Response {
    let mut answer = shown(&json!({"error": Value::String(text)}));
    *answer.status_mut() = status;
    answer
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refused(self, written)
    }
}

/// Something, as JSON.
pub(super) fn shown(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(json) => response(StatusCode::OK, "application/json", json),
        Err(error) => {
            let text = error.to_string().into_bytes();
            response(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", text)
        }
    }
}

/// Reads the body of a request. It says that it is JSON, which no form of another page can.
fn read<T: DeserializeOwned>(headers: &axum::http::HeaderMap, body: &Bytes) -> Result<T, Refusal> {
    let is_json = |kind: &HeaderValue| {
        kind.to_str().is_ok_and(|kind| kind.split(';').next() == Some("application/json"))
    };
    if !headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
        let text = "the body has to be JSON, with content-type: application/json".to_owned();
        return Err(failure(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    serde_json::from_slice(body).map_err(|error| {
        failure(StatusCode::BAD_REQUEST, format!("the body of the request means nothing: {error}"))
    })
}

/// Who asks; known wherever the route wants a login.
fn known(Asker(who): Asker) -> Result<Who, Refusal> {
    who.ok_or_else(|| failure(StatusCode::UNAUTHORIZED, "this wants a login".to_owned()))
}
