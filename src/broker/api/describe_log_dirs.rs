//! `DescribeLogDirs` (key 35): how many bytes each partition takes on disk: each once, however often it
//! is named.
//!
//! Versions: 2 flexible; 3 error for the whole; 4 bytes of the volume (-1: not told).

use std::collections::{BTreeMap, BTreeSet};
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
        None => {
            let all = broker.log.topics();
            all.iter().map(|topic| tell(broker, topic, 0..topic.partitions())).collect()
        }
        Some(asked) => {
            let mut named = BTreeMap::<_, BTreeSet<i32>>::new();
            for topic in asked {
                named.entry(topic.topic).or_default().extend(topic.partitions);
            }
            let there = named.into_iter().filter_map(|(name, partitions)| {
                let topic = broker.log.topic(&name)?;
                Some(tell(broker, &topic, partitions))
            });
            there.collect()
        }
    };
    let result = DescribeLogDirsResult::default()
        .with_log_dir(broker.settings.log_dir.clone().into())
        .with_topics(topics);
    DescribeLogDirsResponse::default().with_results(vec![result])
}

fn tell(
    broker: &Broker,
    topic: &Arc<Topic>,
    partitions: impl IntoIterator<Item = i32>,
) -> DescribeLogDirsTopic {
    let partitions = partitions
        .into_iter()
        .filter(|partition| (0..topic.partitions()).contains(partition))
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
