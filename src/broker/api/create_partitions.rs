//! `CreatePartitions` (key 37): topics get more partitions.
//!
//! Behaviour: each topic has its own answer; the count must be higher than before, and an
//! assignment by hand names this broker for each new partition. What is named twice is not
//! changed. With `validate_only` all is judged and nothing done. As many partitions may come to be by
//! one request as by `CreateTopics`.
//!
//! Versions: 2 flexible; 3 as 2.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::create_topics::{check_brokers, check_total};
use super::repeated;
use crate::broker::{Broker, access};

pub(crate) async fn answer(
    broker: &Broker,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let (topics, twice) = repeated::split(request.topics, |topic| topic.name.clone());
    let refuse = |topic: CreatePartitionsTopic| {
        CreatePartitionsTopicResult::default()
            .with_name(topic.name)
            .with_error_code(ResponseError::InvalidRequest.code())
            .with_error_message(Some(repeated::REFUSED.into()))
    };
    let mut results: Vec<_> = twice.into_iter().map(refuse).collect();
    let total = check_total(topics.iter().map(|topic| growth(broker, topic)));
    for topic in topics {
        let outcome = match &total {
            Ok(()) => grow_topic(broker, &topic, request.validate_only).await,
            Err(refusal) => Err(refusal.clone()),
        };
        let result = CreatePartitionsTopicResult::default().with_name(topic.name);
        results.push(match outcome {
            Ok(()) => result,
            Err((error, message)) => {
                result.with_error_code(error.code()).with_error_message(Some(message.into()))
            }
        });
    }
    CreatePartitionsResponse::default().with_results(results)
}

/// How many partitions a topic would get beside those it has.
fn growth(broker: &Broker, asked: &CreatePartitionsTopic) -> i32 {
    let topic = broker.log.topic(&asked.name);
    topic.map_or(0, |topic| asked.count.saturating_sub(topic.partitions()))
}

async fn grow_topic(
    broker: &Broker,
    asked: &CreatePartitionsTopic,
    validate: bool,
) -> Result<(), (ResponseError, String)> {
    access::may_alter(&asked.name)?;
    let unknown = || (ResponseError::UnknownTopicOrPartition, "there is no such topic".to_owned());
    let now = broker.log.topic(&asked.name).ok_or_else(unknown)?.partitions();
    if asked.count <= now {
        let message = format!("it has {now} partitions, which is not fewer than {}", asked.count);
        return Err((ResponseError::InvalidPartitions, message));
    }
    if let Some(by_hand) = &asked.assignments {
        if i32::try_from(by_hand.len()).ok() != asked.count.checked_sub(now) {
            let (more, assigned) = (i64::from(asked.count) - i64::from(now), by_hand.len());
            let message = format!("{more} partitions are asked for, and {assigned} are assigned");
            return Err((ResponseError::InvalidReplicaAssignment, message));
        }
        for partition in by_hand {
            check_brokers(broker, &partition.broker_ids)?;
        }
    }
    let grown = if validate {
        broker.log.judge_growth(&asked.name, asked.count)
    } else {
        broker.log.grow_topic(&asked.name, asked.count).await.map(|_| ())
    };
    grown.map_err(|error| access::of_topic(&error))
}
