//! Messages of a topic: some of them, from a place on.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::kafka::{asked, blocking};
use super::{Answer, failure, shown};
use crate::admin::Shared;
use crate::client::{self, Message, PeekFrom};

/// As many messages are shown at most.
const MOST: usize = 500;

/// Which.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    partition: Option<i32>,
    #[serde(default)]
    from: From,
    offset: Option<i64>,
    time_ms: Option<i64>,
    #[serde(default = "fifty")]
    limit: usize,
}

fn fifty() -> usize {
    50
}

/// Where to begin.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum From {
    Earliest,
    #[default]
    Newest,
    Offset,
    Time,
}

/// Messages that are there.
pub(super) async fn list(
    State(shared): State<Shared>,
    Path(topic): Path<String>,
    Query(which): Query<Which>,
) -> Answer {
    let wants = |what: &str| failure(StatusCode::BAD_REQUEST, format!("give {what}, too"));
    let from = match (which.from, which.partition, which.offset, which.time_ms) {
        (From::Earliest, ..) => PeekFrom::Earliest,
        (From::Newest, ..) => PeekFrom::Newest,
        (From::Offset, Some(_), Some(offset), _) => PeekFrom::Offset(offset),
        (From::Offset, None, ..) => return Err(wants("partition")),
        (From::Offset, _, None, _) => return Err(wants("offset")),
        (From::Time, _, _, Some(time)) => PeekFrom::Time(time),
        (From::Time, _, _, None) => return Err(wants("time_ms")),
    };
    let connection = asked(&shared).await?;
    let most = which.limit.clamp(1, MOST);
    let looked = blocking("look into a topic", move || {
        client::peek(&connection, &topic, which.partition, from, most)
    });
    let looked = looked.await?;
    let messages: Vec<Value> = looked.messages.iter().map(described).collect();
    Ok(shown(&json!({"messages": messages, "is_cut": looked.is_cut})))
}

fn described(message: &Message) -> Value {
    let headers: Vec<Value> = message
        .headers
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value.as_deref().map(bytes)}))
        .collect();
    json!({
        "partition": message.partition, "offset": message.offset, "time_ms": message.time_ms,
        "key": message.key.as_deref().map(bytes), "value": message.value.as_deref().map(bytes),
        "value_bytes": message.value_bytes, "headers": headers,
    })
}

/// Text, or what is none in base64.
fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({"text": text}),
        // Only its end is cut.
        Err(error) if error.error_len().is_none() => {
            json!({"text": String::from_utf8_lossy(&bytes[..error.valid_up_to()])})
        }
        Err(_) => json!({"base64": STANDARD.encode(bytes)}),
    }
}
