//! `DeleteRecords` (key 21): moves the start of partitions up; -1 means to the end. Topics
//! whose `cleanup.policy` does not name `delete` refuse it.
//!
//! Versions: 2 flexible.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse, TopicName};

use super::repeated;
use crate::broker::{Broker, access};

pub(crate) async fn answer(
    broker: &Broker,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in merged(request.topics) {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let result =
                DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
            partitions.push(
                match delete_before(broker, &topic.name, asked.partition_index, asked.offset).await
                {
                    Ok(start) => result.with_low_watermark(start),
                    Err(error) => result.with_low_watermark(-1).with_error_code(error.code()),
                },
            );
        }
        topics.push(
            DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions),
        );
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

/// Each partition once, with the offset that is said of it last, as in Kafka.
fn merged(topics: Vec<DeleteRecordsTopic>) -> Vec<DeleteRecordsTopic> {
    let mut all = BTreeMap::<TopicName, Vec<DeleteRecordsPartition>>::new();
    for topic in topics {
        all.entry(topic.name).or_default().extend(topic.partitions);
    }
    let topics = all.into_iter().map(|(name, partitions)| {
        let partitions = repeated::merge(partitions, |partition| partition.partition_index);
        DeleteRecordsTopic::default().with_name(name).with_partitions(partitions)
    });
    topics.collect()
}

async fn delete_before(
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
