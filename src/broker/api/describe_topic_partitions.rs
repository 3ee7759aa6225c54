//! `DescribeTopicPartitions` (key 75): topics and their partitions, some at a time.
//!
//! Behaviour: topics come sorted, each once; all of them if none is named. An answer ends
//! after as many partitions as the request allows (one at least, [`MOST`] at most) and says
//! where the next begins. A cursor begins at its topic, which has to be one of those named, and
//! at its partition. Nothing is made by asking. As in Kafka
//! (`DescribeTopicPartitionsRequestHandler.java`), a wrong cursor fails every topic.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::metadata::TOPIC_OPERATIONS;
use crate::broker::{Broker, access};
use crate::log::{Topic, check_name};

/// Kafka's `max.request.partition.size.limit`.
const MOST: i32 = 2000;

type Described = DescribeTopicPartitionsResponseTopic;

pub(crate) fn answer(
    broker: &Broker,
    request: &DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let all = request.topics.is_empty();
    let mut names: BTreeSet<String> = if all {
        broker.log.topics().iter().map(|topic| topic.name().to_string()).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.to_string()).collect()
    };
    let mut first = 0;
    if let Some(cursor) = &request.cursor {
        let named = all || names.contains(cursor.topic_name.as_str());
        if !named || cursor.partition_index < 0 {
            let invalid = ResponseError::InvalidRequest;
            let refused = request.topics.iter().map(|topic| {
                Described::default()
                    .with_error_code(invalid.code())
                    .with_name(Some(topic.name.clone()))
            });
            return DescribeTopicPartitionsResponse::default().with_topics(refused.collect());
        }
        names = names.split_off(cursor.topic_name.as_str());
        if names.first().is_some_and(|name| name == cursor.topic_name.as_str()) {
            first = cursor.partition_index;
        }
    }
    let mut room = request.response_partition_limit.clamp(1, MOST);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        let from = std::mem::take(&mut first);
        if room == 0 {
            return response.with_next_cursor(Some(cursor(name, 0)));
        }
        let Some(topic) = broker.log.topic(&name) else {
            if !all {
                response.topics.push(absent(name));
            }
            continue;
        };
        let to = topic.partitions().min(from.saturating_add(room)).max(from);
        response.topics.push(describe(broker, &topic, from..to));
        room -= to - from;
        if to < topic.partitions() {
            return response.with_next_cursor(Some(cursor(name, to)));
        }
    }
    response
}

fn cursor(topic: String, partition: i32) -> Cursor {
    Cursor::default().with_topic_name(named(topic)).with_partition_index(partition)
}

fn named(topic: String) -> TopicName {
    StrBytes::from_string(topic).into()
}

fn absent(name: String) -> Described {
    let error = if check_name(&name).is_ok() {
        ResponseError::UnknownTopicOrPartition
    } else {
        ResponseError::InvalidTopicException
    };
    Described::default()
        .with_error_code(error.code())
        .with_name(Some(named(name)))
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
}

fn describe(broker: &Broker, topic: &Topic, partitions: std::ops::Range<i32>) -> Described {
    let own: BrokerId = broker.settings.node_id.into();
    let partitions = partitions.map(|partition| {
        DescribeTopicPartitionsResponsePartition::default()
            .with_partition_index(partition)
            .with_leader_id(own)
            .with_leader_epoch(access::LEADER_EPOCH)
            .with_replica_nodes(vec![own])
            .with_isr_nodes(vec![own])
            .with_eligible_leader_replicas(Some(Vec::new()))
            .with_last_known_elr(Some(Vec::new()))
    });
    Described::default()
        .with_name(Some(named(topic.name().to_string())))
        .with_topic_id(topic.id())
        .with_is_internal(topic.is_internal())
        .with_partitions(partitions.collect())
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
}
