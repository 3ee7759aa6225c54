//! Metadata (key 3): the broker, and topics with their partitions.
//!
//! Behaviour: one broker, ourselves, at the address this client connected to (or the
//! advertised one); leader of every partition. What is named more than once is answered once, as
//! Kafka makes a set of the names (`KafkaApis.handleTopicMetadataRequest`). A topic that is asked
//! for by name and is not there is made, if the client allows it (always before version 4) and so
//! do we.
//!
//! Versions: 0 an empty list means all topics, from 1 on null does; 2 cluster id; 4
//! `allow_auto_topic_creation`; 7 leader epochs; 8 authorized operations (only if asked
//! for, as a broker without an authorizer answers); 9 flexible; 10 topic ids; 12 topics can
//! be asked for by id alone.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::repeated;
use crate::broker::call::Call;
use crate::broker::{Broker, access};
use crate::log::{NewTopic, Topic, TopicError};

/// READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, `DESCRIBE_CONFIGS`, `ALTER_CONFIGS` as bits:
/// what Kafka without an authorizer answers for a topic.
pub(super) const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// CREATE, ALTER, DESCRIBE, `CLUSTER_ACTION`, `DESCRIBE_CONFIGS`, `ALTER_CONFIGS`,
/// `IDEMPOTENT_WRITE`: the same for the cluster.
pub(super) const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;
/// The first version in which a topic may be nameless.
const NAMELESS_SINCE: i16 = 12;

/// The request with each topic named once.
pub(crate) fn each_once(mut request: MetadataRequest) -> MetadataRequest {
    let topics = request.topics.take();
    request.topics =
        topics.map(|topics| repeated::merge(topics, |topic| (topic.name.clone(), topic.topic_id)));
    request
}

pub(crate) async fn answer(
    broker: &Broker,
    call: &Call,
    request: MetadataRequest,
) -> MetadataResponse {
    let operations = request.include_topic_authorized_operations && call.version >= 8;
    let make = request.allow_auto_topic_creation && broker.settings.auto_create_topics;
    let asked = request.topics.filter(|topics| call.version >= 1 || !topics.is_empty());
    let mut topics = Vec::new();
    match asked {
        None => topics.extend(broker.log.topics().iter().map(|topic| describe(broker, topic))),
        Some(asked) => {
            for topic in asked {
                topics.push(find(broker, call, topic, make).await);
            }
        }
    }
    if operations {
        for topic in &mut topics {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
    }
    let endpoint = &call.peer.endpoint;
    let node = MetadataResponseBroker::default()
        .with_node_id(broker.settings.node_id.into())
        .with_host(endpoint.host.clone().into())
        .with_port(endpoint.port.into());
    let mut response = MetadataResponse::default()
        .with_brokers(vec![node])
        .with_cluster_id(Some(broker.log.cluster_id().to_owned().into()))
        .with_controller_id(broker.settings.node_id.into())
        .with_topics(topics);
    if request.include_cluster_authorized_operations && (8..=10).contains(&call.version) {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    response
}

async fn find(
    broker: &Broker,
    call: &Call,
    asked: MetadataRequestTopic,
    make: bool,
) -> MetadataResponseTopic {
    let Some(name) = asked.name else {
        return match broker.log.topic_by_id(asked.topic_id) {
            Some(topic) => describe(broker, &topic),
            None => MetadataResponseTopic::default()
                .with_error_code(ResponseError::UnknownTopicId.code())
                .with_name((call.version < NAMELESS_SINCE).then(TopicName::default))
                .with_topic_id(asked.topic_id),
        };
    };
    let found = match broker.log.topic(&name) {
        Some(topic) => Ok(topic),
        None if make => create(broker, &name).await,
        None => Err(ResponseError::UnknownTopicOrPartition),
    };
    match found {
        Ok(topic) => describe(broker, &topic),
        Err(error) => {
            MetadataResponseTopic::default().with_error_code(error.code()).with_name(Some(name))
        }
    }
}

/// Makes a topic because somebody asked for it.
async fn create(broker: &Broker, name: &str) -> Result<Arc<Topic>, ResponseError> {
    access::may_alter(name).map_err(|_| ResponseError::UnknownTopicOrPartition)?;
    let partitions = broker.settings.num_partitions;
    let new = NewTopic { name: name.to_owned(), partitions, ..NewTopic::default() };
    match broker.log.create_topic(new).await {
        Ok(topic) => {
            tracing::info!(topic = name, partitions, "topic made for a client that asked for it");
            Ok(topic)
        }
        // Somebody else was faster.
        Err(TopicError::Exists(_)) => {
            broker.log.topic(name).ok_or(ResponseError::LeaderNotAvailable)
        }
        Err(error) => Err(access::of_topic(&error).0),
    }
}

fn describe(broker: &Broker, topic: &Topic) -> MetadataResponseTopic {
    let own: BrokerId = broker.settings.node_id.into();
    let partitions = (0..topic.partitions()).map(|partition| {
        MetadataResponsePartition::default()
            .with_partition_index(partition)
            .with_leader_id(own)
            .with_leader_epoch(access::LEADER_EPOCH)
            .with_replica_nodes(vec![own])
            .with_isr_nodes(vec![own])
    });
    MetadataResponseTopic::default()
        .with_name(Some(StrBytes::from_string(topic.name().to_string()).into()))
        .with_topic_id(topic.id())
        .with_is_internal(topic.is_internal())
        .with_partitions(partitions.collect())
}
