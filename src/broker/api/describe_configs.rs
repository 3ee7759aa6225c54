//! `DescribeConfigs` (key 32): the settings of topics and of the broker, with where each
//! comes from. Never empty: tools read broker settings to learn what they talk to.
//!
//! Versions: 1 sources and synonyms; 3 types and documentation; 4 flexible.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::broker::config_keys::{self, Shown, Source};

/// `ConfigResource.Type`.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;

pub(crate) fn answer(broker: &Broker, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|asked| {
        let result = DescribeConfigsResult::default()
            .with_resource_type(asked.resource_type)
            .with_resource_name(asked.resource_name.clone());
        match shown(broker, asked) {
            Ok(shown) => {
                let wanted = |shown: &Shown| {
                    let keys = asked.configuration_keys.as_ref();
                    keys.is_none_or(|keys| {
                        keys.is_empty() || keys.iter().any(|key| key.as_str() == shown.key)
                    })
                };
                let configs = shown.into_iter().filter(wanted);
                let synonyms = request.include_synonyms;
                result.with_configs(configs.map(|shown| tell(shown, synonyms)).collect())
            }
            Err((error, message)) => {
                result.with_error_code(error.code()).with_error_message(Some(message.into()))
            }
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn shown(
    broker: &Broker,
    asked: &DescribeConfigsResource,
) -> Result<Vec<Shown>, (ResponseError, String)> {
    let set = &broker.settings.shown;
    match asked.resource_type {
        TOPIC => {
            if let Some(topic) = broker.log.topic(&asked.resource_name) {
                Ok(config_keys::of_topic(topic.settings(), set))
            } else {
                let message = format!("there is no topic {}", asked.resource_name);
                Err((ResponseError::UnknownTopicOrPartition, message))
            }
        }
        BROKER => {
            let own = broker.settings.node_id;
            // No name asks for the defaults of all brokers: none were set at run time.
            if asked.resource_name.is_empty() || *asked.resource_name == own.to_string() {
                Ok(config_keys::of_broker(own, set))
            } else {
                let message = format!("one broker here: its id is {own}");
                Err((ResponseError::InvalidRequest, message))
            }
        }
        BROKER_LOGGER => Ok(Vec::new()),
        other => {
            let message = format!("resources of type {other} are not served");
            Err((ResponseError::InvalidRequest, message))
        }
    }
}

fn tell(shown: Shown, synonyms: bool) -> DescribeConfigsResourceResult {
    let value = Some(StrBytes::from_string(shown.value));
    let told = DescribeConfigsResourceResult::default()
        .with_name(shown.key.into())
        .with_value(value.clone())
        .with_config_source(shown.source as i8)
        .with_read_only(shown.read_only)
        .with_config_type(shown.kind as i8);
    if !synonyms {
        return told;
    }
    // The value itself comes first, then what would hold without it.
    let own = DescribeConfigsSynonym::default()
        .with_name(shown.key.into())
        .with_value(value)
        .with_source(shown.source as i8);
    let fallback = (shown.source != Source::Default).then(|| {
        DescribeConfigsSynonym::default()
            .with_name(shown.synonym.unwrap_or(shown.key).into())
            .with_value(Some(StrBytes::from_static_str(shown.default)))
            .with_source(Source::Default as i8)
    });
    told.with_synonyms([own].into_iter().chain(fallback).collect())
}
