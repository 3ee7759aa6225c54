//! The process as a whole: how it is, its audit, and what is asked of it.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::kafka::{asked, blocking};
use super::{Answer, failure, known, read, shown};
use crate::admin::{Asker, Shared, carry_out, response};
use crate::client::{self, PeekFrom};
use crate::control::Command;

/// The description of this interface.
pub(super) const OPENAPI: &str = include_str!("../../../docs/openapi.json");

/// As many entries of the audit are shown at most.
const MOST_ENTRIES: usize = 1000;

/// The description of this interface.
pub(super) async fn openapi() -> Answer {
    Ok(response(StatusCode::OK, "application/json", OPENAPI.as_bytes().to_vec()))
}

/// Everything but tables.
pub(super) async fn status(State(shared): State<Shared>) -> Answer {
    let mut value = serde_json::to_value(shared.board.snapshot())
        .map_err(|error| failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    value["version"] = env!("CARGO_PKG_VERSION").into();
    Ok(shown(&value))
}

/// How many.
#[derive(Deserialize)]
pub(super) struct Many {
    #[serde(default = "hundred")]
    limit: usize,
}

fn hundred() -> usize {
    100
}

/// The newest changes that were made, newest first.
pub(super) async fn audit(
    State(shared): State<Shared>,
    Query(Many { limit }): Query<Many>,
) -> Answer {
    let connection = asked(&shared).await?;
    let topic = shared.audit_topic.clone();
    let limit = limit.clamp(1, MOST_ENTRIES);
    let looked = blocking("look into the audit", move || {
        match client::peek(&connection, &topic, None, PeekFrom::Newest, limit) {
            // Nothing was changed yet.
            Err(client::Error::NoTopic(_)) => Ok(client::Peeked::default()),
            looked => looked,
        }
    });
    let mut entries = Vec::new();
    for message in looked.await?.messages.into_iter().rev() {
        let value = message.value.unwrap_or_default();
        let mut entry: Value = serde_json::from_slice(&value).unwrap_or(Value::Null);
        if let Some(fields) = entry.as_object_mut() {
            fields.insert("time_ms".to_owned(), message.time_ms.into());
            entries.push(entry);
        }
    }
    Ok(shown(&json!({"entries": entries})))
}

/// Takes up the configuration as it is written now.
pub(super) async fn reload(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
) -> Answer {
    obey(&shared, who, Command::Reload).await
}

/// Where to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backup {
    dir: String,
}

/// Copies the log.
pub(super) async fn back_up(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let Backup { dir } = read(&headers, &body)?;
    obey(&shared, who, Command::Backup { dir: dir.into() }).await
}

/// Has a command carried out.
pub(super) async fn obey(shared: &Shared, who: Asker, command: Command) -> Answer {
    match carry_out(shared, known(who)?, command).await {
        Ok(said) => Ok(shown(&json!({"said": said}))),
        Err(reason) => Err(failure(StatusCode::CONFLICT, reason)),
    }
}
