//! `DeleteTopics` (key 20): topics go, with their records and the offsets of groups in them.
//!
//! Behaviour: per topic; refused for `__*` topics, and altogether with
//! `delete.topic.enable=false`.
//!
//! Versions: 1 to 5 by name (5 with messages); 4 flexible; 6 by name or by id.

use std::collections::HashSet;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::broker::call::Call;
use crate::broker::{Broker, access};

/// The first version that also takes ids.
const STATES_SINCE: i16 = 6;

pub(crate) async fn answer(
    broker: &Arc<Broker>,
    call: &Call,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let by_name = |name| DeleteTopicState::default().with_name(Some(name));
    let topics = if call.version < STATES_SINCE {
        request.topic_names.into_iter().map(by_name).collect()
    } else {
        request.topics
    };
    let mut responses = Vec::with_capacity(topics.len());
    let mut deleted = HashSet::new();
    for topic in topics {
        let result = one(broker, topic).await;
        if result.error_code == 0 {
            deleted.insert(result.topic_id);
        }
        responses.push(result);
    }
    broker.groups.forget_topics(&deleted).await;
    DeleteTopicsResponse::default().with_responses(responses)
}

async fn one(broker: &Broker, asked: DeleteTopicState) -> DeletableTopicResult {
    let found = match &asked.name {
        Some(name) => broker.log.topic(name).ok_or(ResponseError::UnknownTopicOrPartition),
        None => broker.log.topic_by_id(asked.topic_id).ok_or(ResponseError::UnknownTopicId),
    };
    let result = DeletableTopicResult::default();
    let topic = match found {
        Ok(topic) => topic,
        Err(error) => {
            return result
                .with_name(asked.name)
                .with_topic_id(asked.topic_id)
                .with_error_code(error.code());
        }
    };
    let name = TopicName(StrBytes::from_string(topic.name().to_string()));
    let result = result.with_name(Some(name)).with_topic_id(topic.id());
    match delete(broker, topic.name()).await {
        Ok(()) => result,
        Err((error, message)) => {
            result.with_error_code(error.code()).with_error_message(Some(message.into()))
        }
    }
}

async fn delete(broker: &Broker, topic: &str) -> Result<(), (ResponseError, String)> {
    access::may_alter(topic)?;
    if !broker.settings.delete_topics {
        let message = "delete.topic.enable is false".to_owned();
        return Err((ResponseError::TopicDeletionDisabled, message));
    }
    broker.log.delete_topic(topic).await.map_err(|error| access::of_topic(&error))?;
    tracing::info!(topic, "topic deleted by a client");
    Ok(())
}
