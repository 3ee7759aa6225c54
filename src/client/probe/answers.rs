//! What brokers answer about settings and rights, in the words of the probe.

use std::collections::HashMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::protocol::StrBytes;

use super::Wire;

/// Kinds of resources, `org.apache.kafka.common.config.ConfigResource.Type`.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// The bits of `org.apache.kafka.common.acl.AclOperation`.
const OPERATIONS: [(&str, u32); 4] = [("Read", 3), ("Write", 4), ("Delete", 6), ("Describe", 8)];

/// What the configuration of a broker, or of a topic, allows.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) transaction_millis: Option<i64>,
    pub(super) state_replicas: Option<i64>,
    pub(super) state_min_insync: Option<i64>,
    pub(super) min_insync: Option<i64>,
    pub(super) message_bytes: Option<i64>,
    /// All settings.
    pub(super) set: HashMap<String, String>,
}

/// Those of `rights` that the operations of a resource lack; none if the broker did not say them.
pub(super) fn operations(allowed: i32, rights: &[&'static str]) -> Vec<&'static str> {
    if allowed == i32::MIN {
        return Vec::new();
    }
    let has = |right: &&str| {
        let bit = OPERATIONS.iter().find(|(name, _)| name == right).map(|(_, bit)| *bit);
        bit.is_none_or(|bit| allowed & (1 << bit) != 0)
    };
    rights.iter().copied().filter(|right| !has(right)).collect()
}

/// An error of Kafka's in words.
pub(super) fn sentence(error: ResponseError) -> String {
    let mut words = String::new();
    for letter in format!("{error:?}").chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// A broker's settings; the inner error is that they may not be read.
pub(super) fn of_broker(wire: &mut Wire, id: i32) -> Result<Result<Limits, String>, String> {
    limits(wire, BROKER, &id.to_string())
}

/// A topic's settings, likewise.
pub(super) fn of_topic(wire: &mut Wire, name: &str) -> Result<Result<Limits, String>, String> {
    limits(wire, TOPIC, name)
}

fn limits(wire: &mut Wire, kind: i8, name: &str) -> Result<Result<Limits, String>, String> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_string(name.to_owned()))
        .with_configuration_keys(None);
    let answer = wire.ask(&DescribeConfigsRequest::default().with_resources(vec![resource]), 4)?;
    let Some(result) = answer.results.first() else {
        return Ok(Err("no answer".to_owned()));
    };
    if let Some(error) = ResponseError::try_from_code(result.error_code) {
        return Ok(Err(sentence(error)));
    }
    let number = |name: &str| {
        let found = result.configs.iter().find(|one| one.name.as_str() == name)?;
        found.value.as_ref()?.as_str().parse().ok()
    };
    Ok(Ok(Limits {
        transaction_millis: number("transaction.max.timeout.ms"),
        state_replicas: number("transaction.state.log.replication.factor"),
        state_min_insync: number("transaction.state.log.min.isr"),
        min_insync: number("min.insync.replicas"),
        message_bytes: number("max.message.bytes").or_else(|| number("message.max.bytes")),
        set: result
            .configs
            .iter()
            .filter_map(|one| Some((one.name.to_string(), one.value.as_ref()?.to_string())))
            .collect(),
    }))
}
