//! `AlterPartitionReassignments` and `ListPartitionReassignments` (keys 45, 46): other replicas
//! for partitions. There is one broker, so that nothing is ever on its way.
//!
//! Behaviour: to assign a partition to this broker is done at once, as it is there; any other
//! assignment is refused, and there is none to cancel.
//!
//! Versions: of 45, 1 may refuse another number of replicas, which there cannot be here.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    ListPartitionReassignmentsResponse,
};

use crate::broker::{Broker, access};

pub(crate) fn alter(
    broker: &Broker,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let own = broker.settings.node_id;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|asked| {
            let found = broker.partition(&topic.name, asked.partition_index);
            let outcome = found.and(match asked.replicas.as_deref() {
                None => Err(ResponseError::NoReassignmentInProgress),
                Some([only]) if only.0 == own => Ok(()),
                Some(_) => Err(ResponseError::InvalidReplicaAssignment),
            });
            ReassignablePartitionResponse::default()
                .with_partition_index(asked.partition_index)
                .with_error_code(access::code(outcome))
        });
        let partitions = partitions.collect();
        ReassignableTopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(request.allow_replication_factor_change)
        .with_responses(topics.collect())
}

pub(crate) fn list() -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}
