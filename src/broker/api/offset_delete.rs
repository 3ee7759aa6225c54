//! `OffsetDelete` (key 47): single offsets of a group go, save those of topics that its
//! members subscribe to. There is version 0 only.
//!
//! Behaviour: partitions that are not there are answered before the group is asked, and if there
//! are no others it is not asked at all (`KafkaApis.handleOffsetDeleteRequest`).

use std::collections::HashMap;
use std::sync::Arc;

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
    for topic in &request.topics {
        for partition in &topic.partitions {
            let partition = partition.partition_index;
            let place = Place { topic: topic.name.to_string(), partition };
            match broker.partition(&topic.name, partition) {
                Ok(_) => places.push(place),
                Err(error) => tell(place, Err(error)),
            }
        }
    }
    if !places.is_empty() {
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
