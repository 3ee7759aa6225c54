//! `IncrementalAlterConfigs` (key 44): changes single settings of topics: SET, DELETE, and for
//! lists (`cleanup.policy`) APPEND and SUBTRACT.
//!
//! Versions: 1 flexible.

use std::collections::HashSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use super::alter_configs::{Changes, Refusal, apply, named_twice, told, topic_of};
use super::repeated;
use crate::broker::Broker;
use crate::broker::config_keys::{self, Kind};

/// `AlterConfigOp.OpType`.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(crate) async fn answer(
    broker: &Broker,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let name =
        |resource: &AlterConfigsResource| (resource.resource_type, resource.resource_name.clone());
    let (resources, twice) = repeated::part(request.resources, name);
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
        let outcome = change_settings(broker, &resource, request.validate_only).await;
        responses.push(tell(resource, outcome));
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

async fn change_settings(
    broker: &Broker,
    resource: &AlterConfigsResource,
    validate: bool,
) -> Result<(), Refusal> {
    let topic = topic_of(resource.resource_type, &resource.resource_name)?;
    let (mut changes, mut named) = (Changes::new(), HashSet::new());
    for config in &resource.configs {
        let name = config.name.as_str();
        if !named.insert(name) {
            return Err((ResponseError::InvalidRequest, format!("{name} is named twice")));
        }
        if config.value.is_none() && config.config_operation != DELETE {
            return Err((ResponseError::InvalidRequest, format!("{name} has no value")));
        }
        changes.push((config.name.to_string(), value(broker, topic, config)?));
    }
    apply(broker, topic, changes, validate).await
}

/// What the setting is to be; `None` for its default.
fn value(
    broker: &Broker,
    topic: &str,
    config: &AlterableConfig,
) -> Result<Option<String>, Refusal> {
    let told = config.value.as_deref().map(str::to_owned);
    let add = match config.config_operation {
        SET => return Ok(told),
        DELETE => return Ok(None),
        APPEND => true,
        SUBTRACT => false,
        other => {
            return Err((ResponseError::InvalidRequest, format!("operation {other} is unknown")));
        }
    };
    let found = broker.log.topic(topic);
    let settings = found.map(|topic| topic.settings().clone()).unwrap_or_default();
    let shown = config_keys::of_topic(&settings, &broker.settings.shown);
    let now = shown.into_iter().find(|shown| shown.key == config.name.as_str());
    let now = now
        .filter(|shown| shown.kind == Kind::List)
        .ok_or_else(|| (ResponseError::InvalidConfig, format!("{} is not a list", config.name)))?;
    let told = told.unwrap_or_default();
    let mut items: Vec<&str> = split(&now.value).filter(|item| !item.is_empty()).collect();
    let mut present: HashSet<&str> = items.iter().copied().collect();
    // As Java splits: commas at the end are nothing, and nothing between two is an item.
    let listed = told.trim_end_matches(',');
    for item in split(listed).filter(|_| told.is_empty() || !listed.is_empty()) {
        if !add {
            present.remove(item);
        } else if present.insert(item) {
            items.push(item);
        }
    }
    items.retain(|item| present.contains(item));
    Ok(Some(items.join(",")))
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}
