//! `OffsetForLeaderEpoch` (key 23): where an epoch of the leader ended. Clients ask it to find
//! out whether a log was cut behind their back.
//!
//! Behaviour: there is one epoch, and it ends at the high watermark; of a later one we know
//! nothing (-1, -1).
//!
//! Versions: 2 what librdkafka asks; 3 replica id; 4 flexible.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use crate::broker::{Broker, access};

pub(crate) fn answer(
    broker: &Broker,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let result = EpochEndOffset::default().with_partition(asked.partition);
            match end(broker, &topic.topic, asked) {
                Ok((epoch, offset)) => result.with_leader_epoch(epoch).with_end_offset(offset),
                Err(error) => result.with_error_code(error.code()),
            }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}

fn end(
    broker: &Broker,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ResponseError> {
    access::check_epoch(asked.current_leader_epoch)?;
    let topic = broker.partition(topic, asked.partition)?;
    if asked.leader_epoch != access::LEADER_EPOCH {
        return Ok((-1, -1));
    }
    let ends = broker.log.ends(&[(Arc::clone(&topic), asked.partition)]).into_iter().next();
    let ends = ends.ok_or(ResponseError::UnknownServerError)?;
    let ends = ends.map_err(|error| access::of_read(&error))?;
    Ok((access::LEADER_EPOCH, ends.high_watermark))
}
