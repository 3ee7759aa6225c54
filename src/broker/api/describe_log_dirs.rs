//! `DescribeLogDirs` (key 35): how many bytes each partition takes on disk.
//!
//! Versions: 2 flexible; 3 error for the whole; 4 bytes of the volume (-1: not told).

use std::collections::HashSet;
use std::sync::Arc;

use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::log::Topic;

pub(crate) fn answer(broker: &Broker, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let topics: Vec<DescribeLogDirsTopic> = match request.topics {
        None => broker.log.topics().iter().map(|topic| tell(broker, topic, None)).collect(),
        Some(asked) => asked
            .into_iter()
            .filter_map(|asked| {
                let topic = broker.log.topic(&asked.topic)?;
                Some(tell(broker, &topic, Some(&asked.partitions.into_iter().collect())))
            })
            .collect(),
    };
    let result = DescribeLogDirsResult::default()
        .with_log_dir(broker.settings.log_dir.clone().into())
        .with_topics(topics);
    DescribeLogDirsResponse::default().with_results(vec![result])
}

fn tell(broker: &Broker, topic: &Arc<Topic>, only: Option<&HashSet<i32>>) -> DescribeLogDirsTopic {
    let partitions = (0..topic.partitions())
        .filter(|partition| only.is_none_or(|only| only.contains(partition)))
        .filter_map(|partition| {
            let size = broker.log.size(topic, partition).ok()?; // deleted meanwhile
            Some(
                DescribeLogDirsPartition::default()
                    .with_partition_index(partition)
                    .with_partition_size(i64::try_from(size).unwrap_or(i64::MAX)),
            )
        });
    DescribeLogDirsTopic::default()
        .with_name(StrBytes::from_string(topic.name().to_string()).into())
        .with_partitions(partitions.collect())
}
