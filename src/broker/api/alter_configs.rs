//! `AlterConfigs` (key 33): replaces all settings of topics. (Old clients and tools use it;
//! newer ones use `IncrementalAlterConfigs`.)
//!
//! Behaviour: what the request does not name goes back to its default. The settings of the
//! broker are read from server.properties and cannot be changed here.
//!
//! Versions: 2 flexible.

use std::collections::HashSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{describe_configs, repeated};
use crate::broker::{Broker, access};

/// A change of settings by key; `None` puts back the default.
pub(super) type Changes = Vec<(String, Option<String>)>;
pub(super) type Refusal = (ResponseError, String);

pub(crate) async fn answer(broker: &Broker, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let name =
        |resource: &AlterConfigsResource| (resource.resource_type, resource.resource_name.clone());
    let (resources, twice) = repeated::split(request.resources, name);
    let tell = |resource: AlterConfigsResource, outcome: Result<(), Refusal>| {
        let (code, message) = told(outcome);
        AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
            .with_error_code(code)
            .with_error_message(message)
    };
    let mut responses = Vec::with_capacity(twice.len() + resources.len());
    responses.extend(twice.into_iter().map(|resource| tell(resource, Err(named_twice()))));
    for resource in resources {
        let outcome = replace_settings(broker, &resource, request.validate_only).await;
        responses.push(tell(resource, outcome));
    }
    AlterConfigsResponse::default().with_responses(responses)
}

/// Why nothing is changed of a resource that is named twice.
pub(super) fn named_twice() -> Refusal {
    (ResponseError::InvalidRequest, repeated::REFUSED.to_owned())
}

/// An outcome as answers have it: the code, and why.
pub(super) fn told(outcome: Result<(), Refusal>) -> (i16, Option<StrBytes>) {
    match outcome {
        Ok(()) => (0, None),
        Err((error, message)) => (error.code(), Some(message.into())),
    }
}

async fn replace_settings(
    broker: &Broker,
    resource: &AlterConfigsResource,
    validate: bool,
) -> Result<(), Refusal> {
    let topic = topic_of(resource.resource_type, &resource.resource_name)?;
    let mut names = HashSet::new();
    if let Some(twice) = resource.configs.iter().find(|config| !names.insert(&config.name)) {
        let message = format!("{} is named twice", twice.name);
        return Err((ResponseError::InvalidRequest, message));
    }
    let now = broker.log.topic(topic).map(|topic| topic.settings().clone()).unwrap_or_default();
    let dropped = now
        .into_keys()
        .filter(|key| !resource.configs.iter().any(|config| config.name.as_str() == key));
    let mut changes: Changes = dropped.map(|key| (key, None)).collect();
    changes.extend(
        resource
            .configs
            .iter()
            .map(|config| (config.name.to_string(), config.value.as_deref().map(str::to_owned))),
    );
    apply(broker, topic, changes, validate).await
}

/// The topic whose settings are to change: only topics' can.
pub(super) fn topic_of(kind: i8, name: &str) -> Result<&str, Refusal> {
    if kind == describe_configs::TOPIC {
        return Ok(name);
    }
    let message = if kind == describe_configs::BROKER {
        "settings of the broker are read from conf/server.properties".to_owned()
    } else {
        format!("resources of type {kind} are not served")
    };
    Err((ResponseError::InvalidRequest, message))
}

/// Changes the settings of a topic.
pub(super) async fn apply(
    broker: &Broker,
    topic: &str,
    changes: Changes,
    validate: bool,
) -> Result<(), Refusal> {
    access::may_alter(topic)?;
    // What nobody knows may be put back to its default, as in Kafka.
    if validate {
        let judged = broker.log.judge_settings(topic, &changes);
        return judged.map_err(|error| access::of_topic(&error));
    }
    let keys: Vec<&str> = changes.iter().map(|(key, _)| key.as_str()).collect();
    tracing::info!(topic, ?keys, "settings of a topic changed by a client");
    let done = broker.log.configure_topic(topic, changes).await;
    done.map(|_| ()).map_err(|error| access::of_topic(&error))
}
