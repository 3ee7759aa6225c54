//! `ListConfigResources` (key 74): what has settings that can be described: topics, the broker
//! and its loggers. There are no settings of client metrics or groups.
//!
//! Versions: 0 client metrics only; 1 all kinds, or those asked for.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;

use super::describe_configs::{BROKER, BROKER_LOGGER, TOPIC};
use crate::broker::Broker;
use crate::broker::call::Call;

/// `ConfigResource.Type` of what has none here.
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;
const KINDS: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
/// The first version that asks for kinds.
const KINDS_SINCE: i16 = 1;

pub(crate) fn answer(
    broker: &Broker,
    call: &Call,
    request: &ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let kinds = match request.resource_types.as_slice() {
        _ if call.version < KINDS_SINCE => &[CLIENT_METRICS][..],
        [] => &KINDS[..],
        asked => asked,
    };
    if kinds.iter().any(|kind| !KINDS.contains(kind)) {
        return ListConfigResourcesResponse::default()
            .with_error_code(ResponseError::UnsupportedVersion.code());
    }
    let wanted = |kind| kinds.contains(&kind);
    let named = |kind, name: String| {
        ConfigResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_string(name))
    };
    let own = [BROKER, BROKER_LOGGER].into_iter().filter(|kind| wanted(*kind));
    let own = own.map(|kind| named(kind, broker.settings.node_id.to_string()));
    let topics = if wanted(TOPIC) { broker.log.topics() } else { Vec::new() };
    let topics = topics.iter().map(|topic| named(TOPIC, topic.name().to_string()));
    ListConfigResourcesResponse::default().with_config_resources(topics.chain(own).collect())
}
