//! `CreatePartitions` (key 37): topics get more partitions.
//!
//! Behaviour: each topic has its own answer; the count must be higher than before, and an
//! assignment by hand may only name this broker.
//!
//! Versions: 2 flexible; 3 as 2.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use crate::broker::{Broker, access};

pub(crate) async fn answer(
    broker: &Broker,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let outcome = one(broker, &topic, request.validate_only).await;
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

async fn one(
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
    let own = broker.settings.node_id;
    let by_hand = asked.assignments.iter().flatten();
    if by_hand.clone().any(|to| !matches!(to.broker_ids.as_slice(), [id] if id.0 == own)) {
        let message = format!("one broker here: each partition can only be assigned to {own}");
        return Err((ResponseError::InvalidReplicaAssignment, message));
    }
    if !validate {
        let grown = broker.log.grow_topic(&asked.name, asked.count).await;
        grown.map_err(|error| access::of_topic(&error))?;
    }
    Ok(())
}
