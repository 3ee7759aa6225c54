//! `OffsetCommit` (key 8): stores offsets of a group.
//!
//! Behaviour: durable before it is answered. Partitions that are not there are answered before
//! the group is asked, and if nothing else is committed it is not asked at all; who may commit is
//! decided by `group::state`; metadata above the limit (4096 bytes) is an error of its partition
//! only (`KafkaApis.handleOffsetCommitRequest`, `OffsetMetadataManager.commitOffset`). Metadata
//! comes back unchanged from `OffsetFetch`. The retention time of versions 2-4 is not obeyed, as in
//! Kafka since 2.1: offsets live by the group.
//!
//! Versions: 5 no retention time; 6 leader epochs; 7 static members; 8 flexible.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use crate::broker::group::state::Identity;
use crate::broker::group::{Commit, Place};
use crate::broker::{Broker, access};

/// What a partition is answered, as far as the group has no say in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    Good,
    /// The group's error stands above it.
    TooLarge,
    /// Stands above the group's error.
    Absent(ResponseError),
}

impl Judged {
    fn with(self, group: Result<(), ResponseError>) -> Result<(), ResponseError> {
        match self {
            Self::Good => group,
            Self::TooLarge => group.and(Err(ResponseError::OffsetMetadataTooLarge)),
            Self::Absent(error) => Err(error),
        }
    }
}

pub(crate) async fn answer(
    broker: &Arc<Broker>,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let time = broker.log.clock().now().latest;
    let mut commits = Vec::new();
    // Whether there is anything to ask the group.
    let mut asks = false;
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let index = partition.partition_index;
            let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
            let found = broker.partition(&topic.name, index);
            let judged = match &found {
                Err(error) => Judged::Absent(*error),
                Ok(_) if metadata.len() > broker.settings.groups.max_metadata_bytes => {
                    Judged::TooLarge
                }
                Ok(_) => Judged::Good,
            };
            asks |= !matches!(judged, Judged::Absent(_));
            if let (Ok(found), Judged::Good) = (found, judged) {
                let place = Place { topic: topic.name.to_string(), partition: index };
                let commit = Commit {
                    topic_id: found.id(),
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: metadata.to_owned(),
                    time,
                };
                commits.push((place, commit));
            }
            partitions.push((index, judged));
        }
        topics.push((topic.name, partitions));
    }
    let member = Identity {
        member: request.member_id.to_string(),
        instance: request.group_instance_id.as_deref().map(str::to_owned),
    };
    let generation = request.generation_id_or_member_epoch;
    let outcome = if asks {
        broker.groups.commit(&request.group_id, member, generation, commits).await
    } else {
        Ok(())
    };
    let told = topics.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, judged)| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(access::code(judged.with(outcome)))
        });
        OffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(told.collect())
}
