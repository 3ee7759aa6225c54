//! `DeleteRecords` (key 21): moves the start of partitions up; -1 means to the end. Topics
//! whose `cleanup.policy` does not name `delete` refuse it. Of a partition that is
//! named more than once the last offset counts (`KafkaApis.handleDeleteRecordsRequest`).
//!
//! Versions: 2 flexible.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse, TopicName};

use crate::broker::{Broker, access};

pub(crate) async fn answer(
    broker: &Broker,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let mut named = BTreeMap::<TopicName, BTreeMap<i32, i64>>::new();
    for topic in request.topics {
        let offsets = topic.partitions.iter().map(|one| (one.partition_index, one.offset));
        named.entry(topic.name).or_default().extend(offsets);
    }
    let mut topics = Vec::with_capacity(named.len());
    for (name, offsets) in named {
        let mut partitions = Vec::with_capacity(offsets.len());
        for (index, offset) in offsets {
            let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
            partitions.push(match one(broker, &name, index, offset).await {
                Ok(start) => result.with_low_watermark(start),
                Err(error) => result.with_low_watermark(-1).with_error_code(error.code()),
            });
        }
        let result = DeleteRecordsTopicResult::default().with_name(name);
        topics.push(result.with_partitions(partitions));
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

async fn one(
    broker: &Broker,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<i64, ResponseError> {
    access::may_alter(topic).map_err(|(error, _)| error)?;
    let topic = broker.partition(topic, partition)?;
    if !topic.config().delete {
        return Err(ResponseError::PolicyViolation);
    }
    let moved = broker.log.delete_records(&topic, partition, offset).await;
    moved.map_err(|error| access::of_append(&error))
}
