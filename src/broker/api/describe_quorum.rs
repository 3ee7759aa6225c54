//! `DescribeQuorum` (key 55): who votes on the metadata. We do, alone. Kafka's name of the
//! metadata topic stands for `__sluice_metadata`, whose end is the high watermark.
//!
//! Behaviour: exactly `__cluster_metadata`-0 is described; anything else that is asked is
//! `UNKNOWN_TOPIC_OR_PARTITION`, all of it (`KafkaRaftClient.handleDescribeQuorumRequest`).
//!
//! Versions: 0; 1 times of each replica; 2 directories, error messages, nodes.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::call::Call;
use crate::broker::{Broker, access};
use crate::clock;
use crate::log::METADATA_TOPIC;

const KAFKAS_NAME: &str = "__cluster_metadata";
/// The first version that tells nodes.
const NODES_SINCE: i16 = 2;

pub(crate) fn answer(
    broker: &Broker,
    call: &Call,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    let is_ours = matches!(
        request.topics.as_slice(),
        [topic] if topic.topic_name.as_str() == KAFKAS_NAME
            && matches!(topic.partitions.as_slice(), [one] if one.partition_index == 0)
    );
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|one| {
            if is_ours {
                describe(broker)
            } else {
                PartitionData::default()
                    .with_partition_index(one.partition_index)
                    .with_error_code(ResponseError::UnknownTopicOrPartition.code())
            }
        });
        TopicData::default().with_topic_name(topic.topic_name).with_partitions(partitions.collect())
    });
    let response = DescribeQuorumResponse::default().with_topics(topics.collect());
    if !is_ours || call.version < NODES_SINCE {
        return response;
    }
    let endpoint = &call.peer.endpoint;
    let listener = Listener::default()
        .with_name(StrBytes::from_static_str("PLAINTEXT"))
        .with_host(endpoint.host.clone().into())
        .with_port(endpoint.port);
    let node =
        Node::default().with_node_id(broker.settings.node_id.into()).with_listeners(vec![listener]);
    response.with_nodes(vec![node])
}

fn describe(broker: &Broker) -> PartitionData {
    let own = broker.settings.node_id.into();
    let metadata = broker.log.topic(METADATA_TOPIC);
    let ends = metadata.map(|topic| broker.log.ends(&[(topic, 0)]));
    let end = ends.and_then(|ends| ends.into_iter().next()?.ok());
    let end = end.map_or(0, |ends| ends.high_watermark);
    let now = clock::now_millis();
    let voter = ReplicaState::default()
        .with_replica_id(own)
        .with_log_end_offset(end)
        .with_last_fetch_timestamp(now)
        .with_last_caught_up_timestamp(now);
    PartitionData::default()
        .with_leader_id(own)
        .with_leader_epoch(access::LEADER_EPOCH)
        .with_high_watermark(end)
        .with_current_voters(vec![voter])
}
