//! `AlterReplicaLogDirs` (key 34): moves partitions to another directory. There is one: where a
//! partition is already it stays, and any other is `LOG_DIR_NOT_FOUND`.
//!
//! Versions: 1 as 0; 2 flexible.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::{
    AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, TopicName,
};

use super::repeated;
use crate::broker::{Broker, access};

pub(crate) fn answer(
    broker: &Broker,
    request: AlterReplicaLogDirsRequest,
) -> AlterReplicaLogDirsResponse {
    let mut results: BTreeMap<TopicName, Vec<AlterReplicaLogDirPartitionResult>> = BTreeMap::new();
    for dir in request.dirs {
        let own = dir.path.as_str() == broker.settings.log_dir;
        for topic in dir.topics {
            let judged = topic.partitions.into_iter().map(|partition| {
                let outcome = if own {
                    broker.partition(&topic.name, partition).map(|_| ())
                } else {
                    Err(ResponseError::LogDirNotFound)
                };
                AlterReplicaLogDirPartitionResult::default()
                    .with_partition_index(partition)
                    .with_error_code(access::code(outcome))
            });
            let judged: Vec<_> = judged.collect();
            results.entry(topic.name).or_default().extend(judged);
        }
    }
    let results = results.into_iter().map(|(name, partitions)| {
        let partitions = repeated::merge(partitions, |partition| partition.partition_index);
        AlterReplicaLogDirTopicResult::default().with_topic_name(name).with_partitions(partitions)
    });
    AlterReplicaLogDirsResponse::default().with_results(results.collect())
}
