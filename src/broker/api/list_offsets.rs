//! `ListOffsets` (key 2): offsets by time, and the ends of partitions.
//!
//! Behaviour: timestamp -1 is the end (the last stable offset for `read_committed`), -2 and
//! -4 the log start (nothing is in remote storage), -3 the newest timestamp and its record;
//! any other is a time: the first *record* not older, or offset and timestamp -1 if there
//! is none. Other negative ones, and those of a later version, are refused. A partition that is named more than once is refused, and told once. All ends of one
//! answer are of one moment.
//!
//! Versions: 1 one offset a partition; 2 isolation level; 4 leader epochs; 6 flexible; 7
//! timestamp -3; 8 timestamp -4.

use std::collections::HashSet;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};

use crate::broker::call::Call;
use crate::broker::{Broker, access};
use crate::log::{Ends, ReadError, Topic};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const NEWEST_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const READ_COMMITTED: i8 = 1;
/// The first version in which -3 has its meaning.
const NEWEST_TIMESTAMP_SINCE: i16 = 7;
/// The first version in which -4 has its meaning.
const EARLIEST_LOCAL_SINCE: i16 = 8;
/// The first version that carries leader epochs.
const EPOCHS_SINCE: i16 = 4;
/// Offset and timestamp.
type Found = (i64, i64);
/// There is no such record.
const NOWHERE: Found = (-1, -1);

pub(crate) async fn answer(
    broker: &Broker,
    call: &Call,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let twice = named_twice(&request);
    let found = request.topics.iter().flat_map(|topic| {
        let found = |asked: &ListOffsetsPartition| {
            if twice.contains(&(topic.name.clone(), asked.partition_index)) {
                return Err(ResponseError::InvalidRequest);
            }
            check_timestamp(asked.timestamp, call.version)?;
            access::check_epoch(asked.current_leader_epoch)?;
            Ok((broker.partition(&topic.name, asked.partition_index)?, asked.partition_index))
        };
        topic.partitions.iter().map(found)
    });
    let found: Vec<Result<(Arc<Topic>, i32), ResponseError>> = found.collect();
    let known: Vec<_> = found.iter().filter_map(|found| found.as_ref().ok()).cloned().collect();
    let mut ends = broker.log.ends(&known).into_iter();
    let mut found = found.into_iter();
    let committed = request.isolation_level == READ_COMMITTED;
    let mut told = HashSet::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let outcome = match found.next() {
                Some(Ok((topic, _))) => match ends.next() {
                    Some(Ok(ends)) => offset_at(broker, &topic, &asked, ends, committed).await,
                    Some(Err(error)) => Err(access::of_read(&error)),
                    None => Err(ResponseError::UnknownServerError),
                },
                Some(Err(error)) => Err(error),
                None => Err(ResponseError::UnknownServerError),
            };
            let place = (topic.name.clone(), asked.partition_index);
            if twice.contains(&place) && !told.insert(place) {
                continue;
            }
            partitions.push(tell(call, asked.partition_index, outcome));
        }
        topics.push(
            ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions),
        );
    }
    ListOffsetsResponse::default().with_topics(topics)
}

/// Refuses what a negative timestamp does not mean in a version
/// (`ReplicaManager.isListOffsetsTimestampUnsupported`).
fn check_timestamp(timestamp: i64, version: i16) -> Result<(), ResponseError> {
    let since = match timestamp {
        0.. | LATEST | EARLIEST => 0,
        NEWEST_TIMESTAMP => NEWEST_TIMESTAMP_SINCE,
        EARLIEST_LOCAL => EARLIEST_LOCAL_SINCE,
        ..0 => return Err(ResponseError::UnsupportedVersion),
    };
    if version < since { Err(ResponseError::UnsupportedVersion) } else { Ok(()) }
}

/// Partitions that are asked for more than once: each is refused once, as by Kafka.
fn named_twice(request: &ListOffsetsRequest) -> HashSet<(TopicName, i32)> {
    let mut named = HashSet::new();
    let places = request.topics.iter().flat_map(|topic| {
        let place = |asked: &ListOffsetsPartition| (topic.name.clone(), asked.partition_index);
        topic.partitions.iter().map(place)
    });
    places.filter(|place| !named.insert(place.clone())).collect()
}

async fn offset_at(
    broker: &Broker,
    topic: &Arc<Topic>,
    asked: &ListOffsetsPartition,
    ends: Ends,
    committed: bool,
) -> Result<Found, ResponseError> {
    let limit = if committed { ends.last_stable } else { ends.high_watermark };
    let place = Place { broker, topic, partition: asked.partition_index, limit };
    let found = match asked.timestamp {
        LATEST => Ok((limit, -1)),
        EARLIEST | EARLIEST_LOCAL => Ok((ends.log_start, -1)),
        NEWEST_TIMESTAMP => place.newest().await,
        ..0 => return Err(ResponseError::UnsupportedVersion),
        timestamp => place.first_since(timestamp).await,
    };
    found.map_err(|error| access::of_read(&error))
}

/// Where to look, and how far.
struct Place<'a> {
    broker: &'a Broker,
    topic: &'a Arc<Topic>,
    partition: i32,
    limit: i64,
}

impl Place<'_> {
    /// The first record that is not older than `timestamp`.
    async fn first_since(&self, timestamp: i64) -> Result<Found, ReadError> {
        let log = &self.broker.log;
        let found = log.offset_for_time(self.topic, self.partition, timestamp, self.limit).await?;
        Ok(found.unwrap_or(NOWHERE))
    }

    /// The record with the newest timestamp, the first of several.
    async fn newest(&self) -> Result<Found, ReadError> {
        let log = &self.broker.log;
        let found = log.newest_time(self.topic, self.partition, self.limit).await?;
        Ok(found.unwrap_or(NOWHERE))
    }
}

fn tell(
    call: &Call,
    partition: i32,
    outcome: Result<Found, ResponseError>,
) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default().with_partition_index(partition);
    match outcome {
        Ok((offset, timestamp)) => {
            let epoch =
                if call.version >= EPOCHS_SINCE && offset >= 0 { access::LEADER_EPOCH } else { -1 };
            response.with_offset(offset).with_timestamp(timestamp).with_leader_epoch(epoch)
        }
        Err(error) => response.with_error_code(error.code()).with_offset(-1).with_timestamp(-1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_timestamp_has_its_meaning_since_a_version() {
        for version in 1..=8 {
            for (timestamp, since) in [
                (i64::MAX, Some(1)),
                (0, Some(1)),
                (-1, Some(1)),
                (-2, Some(1)),
                (-3, Some(7)),
                (-4, Some(8)),
                (-5, None),
                (-6, None),
                (i64::MIN, None),
            ] {
                let is_known = since.is_some_and(|since| version >= since);
                let expected =
                    if is_known { Ok(()) } else { Err(ResponseError::UnsupportedVersion) };
                assert_eq!(
                    check_timestamp(timestamp, version),
                    expected,
                    "{timestamp} in {version}"
                );
            }
        }
    }
}
