//! `OffsetDelete` (key 47): single offsets of a group go, save those of topics that its
//! members subscribe to. There is version 0 only.
//!
//! Behaviour: topics that are not there are answered before the group is asked, which is not asked
//! where no other is named (`KafkaApis.handleOffsetDeleteRequest`). Of a topic that is there every
//! partition is taken.

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use crate::broker::group::Place;
use crate::broker::{Broker, access};

pub(crate) async fn answer(
    broker: &Arc<Broker>,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let mut told: HashMap<String, Vec<OffsetDeleteResponsePartition>> = HashMap::new();
    let mut tell = |place: Place, outcome| {
        told.entry(place.topic).or_default().push(
            OffsetDeleteResponsePartition::default()
                .with_partition_index(place.partition)
                .with_error_code(access::code(outcome)),
        );
    };
    let mut places = Vec::new();
    let mut asks_group = request.topics.is_empty();
    for topic in &request.topics {
        let is_there = broker.log.topic(&topic.name).is_some();
        asks_group |= is_there;
        for partition in &topic.partitions {
            let place =
                Place { topic: topic.name.to_string(), partition: partition.partition_index };
            if is_there {
                places.push(place);
            } else {
                tell(place, Err(ResponseError::UnknownTopicOrPartition));
            }
        }
    }
    if asks_group {
        match broker.groups.delete_offsets(&request.group_id, places).await {
            Ok(outcomes) => outcomes.into_iter().for_each(|(place, outcome)| tell(place, outcome)),
            Err(error) => return OffsetDeleteResponse::default().with_error_code(error.code()),
        }
    }
    let topics = told.into_iter().map(|(name, partitions)| {
        let topic = OffsetDeleteResponseTopic::default().with_partitions(partitions);
        topic.with_name(kafka_protocol::protocol::StrBytes::from_string(name).into())
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
