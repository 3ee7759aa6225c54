//! `ElectLeaders` (key 43): asks for other leaders. There is one broker, which leads everything:
//! no election is needed, preferred or unclean, as a Kafka of one node says.
//!
//! Versions: 0 preferred only, and no error of the whole; 1 kinds of elections; 2 flexible.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};

use crate::broker::Broker;

/// `ElectionType`: preferred and unclean.
const KINDS: [i8; 2] = [0, 1];

pub(crate) fn answer(broker: &Broker, request: ElectLeadersRequest) -> ElectLeadersResponse {
    let known = KINDS.contains(&request.election_type);
    // All partitions are asked for: those that need no election are not told.
    let Some(topics) = request.topic_partitions else {
        let code = if known { 0 } else { ResponseError::InvalidRequest.code() };
        return ElectLeadersResponse::default().with_error_code(code);
    };
    let code = if known || topics.is_empty() { 0 } else { ResponseError::InvalidRequest.code() };
    let results = topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            let error = match broker.partition(&topic.topic, partition) {
                _ if !known => ResponseError::InvalidRequest,
                Ok(_) => ResponseError::ElectionNotNeeded,
                Err(error) => error,
            };
            PartitionResult::default().with_partition_id(partition).with_error_code(error.code())
        });
        let partitions = partitions.collect();
        ReplicaElectionResult::default().with_topic(topic.topic).with_partition_result(partitions)
    });
    ElectLeadersResponse::default()
        .with_error_code(code)
        .with_replica_election_results(results.collect())
}
