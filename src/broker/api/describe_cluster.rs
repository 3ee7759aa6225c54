//! `DescribeCluster` (key 60): the broker, as in Metadata but without topics.
//!
//! Versions: 0; 1 asks for brokers or controllers: we are both, but list brokers only.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

use super::metadata::CLUSTER_OPERATIONS;
use crate::broker::Broker;
use crate::broker::call::Call;

const BROKERS: i8 = 1;

pub(crate) fn answer(
    broker: &Broker,
    call: &Call,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    if request.endpoint_type != BROKERS {
        let message = StrBytes::from_static_str("ask for brokers: there are no other endpoints");
        return DescribeClusterResponse::default()
            .with_error_code(ResponseError::UnsupportedEndpointType.code())
            .with_error_message(Some(message));
    }
    let own = broker.settings.node_id;
    let endpoint = &call.peer.endpoint;
    let node = DescribeClusterBroker::default()
        .with_broker_id(own.into())
        .with_host(endpoint.host.clone().into())
        .with_port(endpoint.port.into());
    let mut response = DescribeClusterResponse::default()
        .with_cluster_id(broker.log.cluster_id().to_owned().into())
        .with_controller_id(own.into())
        .with_brokers(vec![node]);
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    response
}
