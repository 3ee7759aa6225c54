//! Logging in and out, and one-time links.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::{Answer, failure, known, read, shown};
use crate::admin::access::{By, Refusal, Who, cookie_name};
use crate::admin::{Asker, Peer, Shared};

/// What a session begins with.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum Begin {
    Password { user: String, password: String },
    Link { link: String },
}

/// Who is logged in, and the token that changes want.
pub(super) async fn show(Extension(who): Extension<Asker>) -> Answer {
    Ok(described(&known(who)?))
}

/// Logs in.
pub(super) async fn begin(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let begun = match read::<Begin>(&headers, &body)? {
        Begin::Password { user, password } => shared.access.log_in(peer, &user, password).await,
        Begin::Link { link } => shared.access.open_link(peer, &link),
    };
    let (id, who) = begun?;
    let mut answer = described(&who);
    set_cookie(&mut answer, &headers, &id, "")?;
    Ok(answer)
}

/// Logs out.
pub(super) async fn end(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    headers: HeaderMap,
) -> Answer {
    let who = known(who)?;
    if let By::Session { id, .. } = &who.by {
        shared.access.log_out(id);
    }
    let mut answer = shown(&json!({}));
    set_cookie(&mut answer, &headers, "", "; Max-Age=0")?;
    Ok(answer)
}

/// Makes a one-time link.
pub(super) async fn link(State(shared): State<Shared>) -> Answer {
    let (link, time) = shared.access.link()?;
    // Behind a `#`, what browsers send to nobody, and write into no log.
    Ok(shown(&json!({"path": format!("/#link={link}"), "seconds": time.as_secs()})))
}

fn described(who: &Who) -> Response {
    let (user, csrf) = match &who.by {
        By::Token => (None, None),
        By::Session { user, csrf, .. } => (user.as_deref(), Some(csrf)),
    };
    let version = env!("CARGO_PKG_VERSION");
    shown(&json!({"user": user, "role": who.role.word(), "csrf": csrf, "version": version}))
}

fn set_cookie(
    answer: &mut Response,
    headers: &HeaderMap,
    value: &str,
    more: &str,
) -> Result<(), Refusal> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = cookie_name(host);
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{more}");
    let cookie = HeaderValue::try_from(cookie)
        .map_err(|error| failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    answer.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(())
}
