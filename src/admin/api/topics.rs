//! Topics: list, show, make, change, delete.

use std::collections::BTreeMap;

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
use crate::client::{self, Connection, Error, NewTopic, TopicDescription, Topics};

/// All topics: partitions, messages as offsets count them, bytes.
pub(super) async fn list(State(shared): State<Shared>) -> Answer {
    let connection = asked(&shared).await?;
    let listed = blocking("list topics", move || {
        let topics = Topics::of(&connection)?;
        let all = topics.list()?;
        let (offsets, sizes) = (topics.offsets(&all)?, client::sizes(&connection, None)?);
        let mut shown = Vec::new();
        for topic in all {
            let keys = topic.partitions.iter().map(|one| (topic.name.clone(), one.id));
            let (mut messages, mut bytes) = (0, None);
            for key in keys {
                messages += offsets.get(&key).map_or(0, |(start, end)| end - start);
                if let Some(size) = sizes.get(&key) {
                    bytes = Some(bytes.unwrap_or(0) + size);
                }
            }
            shown.push(json!({
                "name": topic.name, "partitions": topic.partitions.len(),
                "is_internal": topic.name.starts_with("__"), "messages": messages, "bytes": bytes,
            }));
        }
        Ok(shown)
    });
    Ok(shown(&json!({"topics": listed.await?})))
}

/// One topic: each partition, and its settings.
pub(super) async fn show(State(shared): State<Shared>, Path(topic): Path<String>) -> Answer {
    let connection = asked(&shared).await?;
    let runtime = Handle::current();
    let described = blocking("describe a topic", move || {
        let topics = Topics::of(&connection)?;
        let one = find(&topics, &topic)?;
        let all = [one];
        let offsets = topics.offsets(&all)?;
        let sizes = client::sizes(&connection, Some(&topic))?;
        let [one] = &all;
        let partitions: Vec<Value> = one
            .partitions
            .iter()
            .map(|part| {
                let key = (topic.clone(), part.id);
                let (start, end) = offsets.get(&key).copied().unzip();
                json!({
                    "partition": part.id, "leader": part.leader, "replicas": part.replicas,
                    "in_sync": part.in_sync, "start": start, "end": end, "bytes": sizes.get(&key),
                })
            })
            .collect();
        let settings = runtime.block_on(topics.settings(&topic))?;
        let settings: Vec<Value> = settings
            .into_iter()
            .map(|one| json!({"name": one.name, "value": one.value, "is_own": one.is_own}))
            .collect();
        Ok(json!({"name": topic, "partitions": partitions, "settings": settings}))
    });
    Ok(shown(&described.await?))
}

fn find(topics: &Topics, name: &str) -> Result<TopicDescription, Error> {
    let found = topics.list()?.into_iter().find(|one| one.name == name);
    found.ok_or_else(|| Error::NoTopic(name.to_owned()))
}

/// A topic to make.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    name: String,
    partitions: Option<i32>,
    replication: Option<i32>,
    #[serde(default)]
    settings: BTreeMap<String, String>,
}

/// Makes a topic.
pub(super) async fn create(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let Create { name, partitions, replication, settings } = read(&headers, &body)?;
    let new = NewTopic { name: name.clone(), partitions, replication, configs: settings };
    change(&shared, who, "topic create", name, move |topics, runtime| {
        runtime.block_on(topics.create(&new))
    })
    .await
}

/// What to change of a topic.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Alter {
    partitions: Option<usize>,
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    unset: Vec<String>,
}

/// Changes settings of a topic, and gives it more partitions.
pub(super) async fn alter(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(topic): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let Alter { partitions, set, unset } = read(&headers, &body)?;
    if partitions.is_none() && set.is_empty() && unset.is_empty() {
        let text = "nothing is to be changed: give partitions, set or unset".to_owned();
        return Err(failure(StatusCode::BAD_REQUEST, text));
    }
    let name = topic.clone();
    change(&shared, who, "topic alter", topic, move |topics, runtime| {
        if !set.is_empty() || !unset.is_empty() {
            let set: Vec<(String, String)> = set.into_iter().collect();
            runtime.block_on(topics.configure(&name, &set, &unset))?;
        }
        match partitions {
            Some(partitions) => runtime.block_on(topics.grow(&name, partitions)),
            None => Ok(()),
        }
    })
    .await
}

/// Deletes a topic.
pub(super) async fn delete(
    State(shared): State<Shared>,
    Extension(who): Extension<Asker>,
    Path(topic): Path<String>,
) -> Answer {
    let name = topic.clone();
    change(&shared, who, "topic delete", topic, move |topics, runtime| {
        runtime.block_on(topics.delete(&name))
    })
    .await
}

/// Makes a change of a topic, and remembers it, whether or not who asked is still there.
async fn change(
    shared: &Shared,
    who: Asker,
    what: &'static str,
    topic: String,
    make: impl FnOnce(&Topics, &Handle) -> Result<(), Error> + Send + 'static,
) -> Answer {
    let (who, connection) = (known(who)?, asked(shared).await?);
    let (audit, runtime) = (shared.audit.clone(), Handle::current());
    let work = async move {
        let on = topic.clone();
        let changed = blocking("change a topic", move || {
            let topics = Topics::of(&connection)?;
            let before = state(&connection, &topics, &topic, &runtime);
            let made = make(&topics, &runtime);
            let after = state(&connection, &topics, &topic, &runtime);
            Ok((before, after, made.map_err(|error| error.to_string())))
        });
        let (before, after, outcome) = changed.await?;
        let told = outcome.clone();
        let change = Change { what, on, before, after, outcome: told };
        let lack = remember(&audit, &who, change).await;
        match outcome {
            Ok(()) => Ok(shown(&json!({"said": lack.unwrap_or_default()}))),
            Err(reason) => Err(failure(StatusCode::CONFLICT, reason)),
        }
    };
    let done = shared.tasks.spawn("change a topic", work).await;
    done.unwrap_or_else(|error| Err(failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))
}

/// How a topic is, for the audit: nothing where it is not there, or cannot be asked.
fn state(_: &Connection, topics: &Topics, name: &str, runtime: &Handle) -> Value {
    let Ok(one) = find(topics, name) else { return Value::Null };
    let own = runtime.block_on(topics.own_configs(name)).unwrap_or_default();
    json!({"partitions": one.partitions.len(), "settings": own})
}
