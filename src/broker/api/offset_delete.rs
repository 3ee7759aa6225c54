//! `OffsetDelete` (key 47): single offsets of a group go, save those of topics that its
//! members subscribe to. There is version 0 only.

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
    let places = request.topics.iter().flat_map(|topic| {
        let place = |index| Place { topic: topic.name.to_string(), partition: index };
        topic.partitions.iter().map(move |partition| place(partition.partition_index))
    });
    let places: Vec<Place> = places.collect();
    let outcomes = match broker.groups.delete_offsets(&request.group_id, places).await {
        Ok(outcomes) => outcomes,
        Err(error) => return OffsetDeleteResponse::default().with_error_code(error.code()),
    };
    let mut told: HashMap<String, Vec<OffsetDeleteResponsePartition>> = HashMap::new();
    for (Place { topic, partition }, outcome) in outcomes {
        told.entry(topic).or_default().push(
            OffsetDeleteResponsePartition::default()
                .with_partition_index(partition)
                .with_error_code(access::code(outcome)),
        );
    }
    let topics = told.into_iter().map(|(name, partitions)| {
        let topic = OffsetDeleteResponseTopic::default().with_partitions(partitions);
        topic.with_name(kafka_protocol::protocol::StrBytes::from_string(name).into())
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
