//! `OffsetFetch` (key 9): the committed offsets of groups.
//!
//! Behaviour: without topics, all that the group has; a partition without a commit is told
//! as offset -1, without an error. Offsets are stable as soon as they are seen: there are no
//! transactions, so `require_stable` needs no waiting.
//!
//! Versions: 1 a group's topics; 2 null topics are all, and an error for the whole; 5 leader
//! epochs; 6 flexible; 7 `require_stable`; 8 several groups.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::broker::call::Call;
use crate::broker::group::{Commit, Place};

/// The first version with several groups.
const BATCHED_SINCE: i16 = 8;
/// The first version with an error for the whole.
const WHOLE_ERROR_SINCE: i16 = 2;

/// A topic, and what is committed of its partitions.
type Found = (StrBytes, Vec<(i32, Option<Commit>)>);

pub(crate) fn answer(
    broker: &Broker,
    call: &Call,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    if call.version < BATCHED_SINCE {
        let asked = request.topics.map(|topics| {
            topics.into_iter().map(|topic| (topic.name.0, topic.partition_indexes)).collect()
        });
        if let Err(error) = broker.groups.is_served(&request.group_id) {
            return refuse(call, asked.unwrap_or_default(), error);
        }
        let topics = find(broker, &request.group_id, asked).into_iter().map(tell_topic);
        return OffsetFetchResponse::default().with_topics(topics.collect());
    }
    let groups = request.groups.into_iter().map(|group| {
        let asked = group.topics.map(|topics| {
            topics.into_iter().map(|topic| (topic.name.0, topic.partition_indexes)).collect()
        });
        if let Err(error) = broker.groups.is_served(&group.group_id) {
            return OffsetFetchResponseGroup::default()
                .with_group_id(group.group_id)
                .with_error_code(error.code());
        }
        let topics = find(broker, &group.group_id, asked).into_iter().map(tell_topics);
        OffsetFetchResponseGroup::default()
            .with_group_id(group.group_id)
            .with_topics(topics.collect())
    });
    OffsetFetchResponse::default().with_groups(groups.collect())
}

/// The error of a whole group, which the oldest version has for each partition.
fn refuse(
    call: &Call,
    asked: Vec<(StrBytes, Vec<i32>)>,
    error: ResponseError,
) -> OffsetFetchResponse {
    if call.version >= WHOLE_ERROR_SINCE {
        return OffsetFetchResponse::default().with_error_code(error.code());
    }
    let partition = |index| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(index)
            .with_committed_offset(-1)
            .with_error_code(error.code())
    };
    let topics = asked.into_iter().map(|(name, partitions)| {
        OffsetFetchResponseTopic::default()
            .with_name(name.into())
            .with_partitions(partitions.into_iter().map(partition).collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

fn find(broker: &Broker, group: &str, asked: Option<Vec<(StrBytes, Vec<i32>)>>) -> Vec<Found> {
    let Some(asked) = asked else {
        let offsets = broker.groups.offsets(group);
        let mut found: Vec<Found> = Vec::new();
        for (Place { topic, partition }, commit) in offsets {
            match found.last_mut() {
                Some((name, partitions)) if name.as_str() == topic => {
                    partitions.push((partition, Some(commit)));
                }
                _ => found.push((topic.into(), vec![(partition, Some(commit))])),
            }
        }
        return found;
    };
    let found = asked.into_iter().map(|(name, partitions)| {
        let place = |partition: &i32| Place { topic: name.to_string(), partition: *partition };
        let places: Vec<Place> = partitions.iter().map(place).collect();
        let found = broker.groups.offsets_of(group, &places);
        (name, partitions.into_iter().zip(found).collect())
    });
    found.collect()
}

/// What is told of a commit, or of none: offset, leader epoch, metadata.
fn told(commit: Option<Commit>) -> (i64, i32, Option<StrBytes>) {
    commit.map_or((-1, -1, Some(StrBytes::default())), |commit| {
        (commit.offset, commit.leader_epoch, Some(commit.metadata.into()))
    })
}

fn tell_topic((name, partitions): Found) -> OffsetFetchResponseTopic {
    let partitions = partitions.into_iter().map(|(index, commit)| {
        let (offset, epoch, metadata) = told(commit);
        OffsetFetchResponsePartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(epoch)
            .with_metadata(metadata)
    });
    OffsetFetchResponseTopic::default().with_name(name.into()).with_partitions(partitions.collect())
}

fn tell_topics((name, partitions): Found) -> OffsetFetchResponseTopics {
    let partitions = partitions.into_iter().map(|(index, commit)| {
        let (offset, epoch, metadata) = told(commit);
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(epoch)
            .with_metadata(metadata)
    });
    OffsetFetchResponseTopics::default()
        .with_name(name.into())
        .with_partitions(partitions.collect())
}
