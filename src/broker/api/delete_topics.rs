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
use uuid::Uuid;

use super::repeated;
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
    let (topics, mut responses) = split_by_clarity(broker, topics);
    let mut deleted = HashSet::new();
    for topic in topics {
        let result = delete_topic(broker, topic).await;
        if result.error_code == 0 {
            deleted.insert(result.topic_id);
        }
        responses.push(result);
    }
    broker.groups.forget_topics(&deleted).await;
    DeleteTopicsResponse::default().with_responses(responses)
}

/// Those that are named once, in one way; and the answers to all others
/// (`ControllerApis.deleteTopics`).
fn split_by_clarity(
    broker: &Broker,
    topics: Vec<DeleteTopicState>,
) -> (Vec<DeleteTopicState>, Vec<DeletableTopicResult>) {
    let refuse = |state: DeleteTopicState, why: &'static str| {
        DeletableTopicResult::default()
            .with_name(state.name)
            .with_topic_id(state.topic_id)
            .with_error_code(ResponseError::InvalidRequest.code())
            .with_error_message(Some(why.into()))
    };
    let (clear, unclear): (Vec<_>, Vec<_>) =
        topics.into_iter().partition(|topic| topic.name.is_some() == topic.topic_id.is_nil());
    let unclear = unclear.into_iter().map(|topic| {
        let why = if topic.name.is_some() {
            "a topic has either its name or its id"
        } else {
            "a topic needs its name or its id"
        };
        refuse(topic, why)
    });
    let (once, twice) = repeated::split(clear, |topic| (topic.name.clone(), topic.topic_id));
    let twice = twice.into_iter().map(|topic| refuse(topic, repeated::REFUSED));
    let mut refused: Vec<_> = unclear.chain(twice).collect();
    // The same topic by its name and by its id is named twice too.
    let ids: HashSet<Uuid> =
        once.iter().filter(|topic| topic.name.is_none()).map(|topic| topic.topic_id).collect();
    let id_of = |topic: &DeleteTopicState| match &topic.name {
        Some(name) => broker.log.topic(name).map(|topic| topic.id()),
        None => Some(topic.topic_id),
    };
    let twice = |topic: &&DeleteTopicState| {
        topic.name.is_some() && id_of(topic).is_some_and(|id| ids.contains(&id))
    };
    let both: HashSet<Uuid> = once.iter().filter(twice).filter_map(id_of).collect();
    let (twice, once): (Vec<_>, Vec<_>) =
        once.into_iter().partition(|topic| id_of(topic).is_some_and(|id| both.contains(&id)));
    let named = twice.into_iter().filter(|topic| topic.name.is_some());
    refused.extend(named.map(|topic| {
        let id = id_of(&topic).unwrap_or_default();
        refuse(topic.with_topic_id(id), "it is named by its id too")
    }));
    (once, refused)
}

async fn delete_topic(broker: &Broker, asked: DeleteTopicState) -> DeletableTopicResult {
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
