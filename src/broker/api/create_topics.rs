//! `CreateTopics` (key 19): makes topics.
//!
//! Behaviour: per topic. -1 partitions means `num.partitions`; a replication factor of -1 or
//! 1 is taken, any other refused: there is one broker. An assignment by hand names this broker
//! for each of the partitions from 0 on, and stands for the two counts. What is named twice is
//! not made. Names that begin with `__` belong to the broker. With `validate_only` all is
//! judged and nothing made. Of a request for more than [`MOST_OF_REQUEST`] partitions nothing is
//! made: each topic is refused, as in Kafka.
//!
//! Versions: 2 to 4 plain; 5 flexible, with partitions, replication factor and settings in
//! the answer; 7 topic ids.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::{BrokerId, CreateTopicsRequest, CreateTopicsResponse};

use super::repeated;
use crate::broker::call::Call;
use crate::broker::config_keys::{self, Shown};
use crate::broker::{Broker, access};
use crate::log::{NewTopic, Topic};

/// The first version whose answer describes the topic.
const DESCRIBED_SINCE: i16 = 5;
/// What a client sends for "as the broker likes".
const DEFAULT: i32 = -1;

/// So many partitions a request may make, of all its topics together
/// (`ReplicationControlManager.MAX_PARTITIONS_PER_BATCH`).
const MOST_OF_REQUEST: u64 = 10_000;

type Refusal = (ResponseError, String);

pub(crate) async fn answer(
    broker: &Broker,
    call: &Call,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let (topics, twice) = repeated::split(request.topics, |topic| topic.name.clone());
    let mut results = Vec::with_capacity(topics.len() + twice.len());
    for topic in twice {
        let message = repeated::REFUSED.to_owned();
        let result = CreatableTopicResult::default().with_name(topic.name);
        results.push(refuse(result, (ResponseError::InvalidRequest, message)));
    }
    let default = broker.settings.num_partitions;
    let total = check_total(topics.iter().map(|topic| asked_partitions(topic, default)));
    for topic in topics {
        let outcome = match &total {
            Ok(()) => make_topic(broker, &topic, request.validate_only).await,
            Err(refusal) => Err(refusal.clone()),
        };
        let result = CreatableTopicResult::default().with_name(topic.name);
        results.push(match outcome {
            Ok(made) => tell(broker, call, result, &made),
            Err(refusal) => refuse(result, refusal),
        });
    }
    CreateTopicsResponse::default().with_topics(results)
}

/// Whether one request may ask for so many partitions: those of its topics, none where what is
/// asked is refused by itself.
pub(super) fn check_total(asked: impl Iterator<Item = i32>) -> Result<(), Refusal> {
    let total: u64 = asked.map(|count| u64::try_from(count).unwrap_or(0)).sum();
    if total <= MOST_OF_REQUEST {
        return Ok(());
    }
    let message = format!(
        "{total} partitions are asked for in one request, and {MOST_OF_REQUEST} are the most: \
         send several"
    );
    Err((ResponseError::PolicyViolation, message))
}

/// How many partitions a topic would get, as far as that is told
/// (`ReplicationControlManager.validateTotalNumberOfPartitions`).
fn asked_partitions(topic: &CreatableTopic, default: i32) -> i32 {
    match topic.num_partitions {
        _ if !topic.assignments.is_empty() => {
            i32::try_from(topic.assignments.len()).unwrap_or(i32::MAX)
        }
        DEFAULT => default,
        count => count,
    }
}

fn refuse(result: CreatableTopicResult, (error, message): Refusal) -> CreatableTopicResult {
    result
        .with_error_code(error.code())
        .with_error_message(Some(message.into()))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
}

/// A topic made, or one that would have been.
enum Made {
    Topic(std::sync::Arc<Topic>),
    Would(NewTopic),
}

async fn make_topic(
    broker: &Broker,
    topic: &CreatableTopic,
    validate: bool,
) -> Result<Made, Refusal> {
    access::may_alter(&topic.name)?;
    let partitions = partitions(broker, topic)?;
    let config = topic.configs.iter().map(|config| match config.value.as_deref() {
        Some(value) => Ok((config.name.to_string(), value.to_owned())),
        None => {
            Err((ResponseError::InvalidConfig, format!("{} has no value", config.name.as_str())))
        }
    });
    let config: BTreeMap<String, String> = config.collect::<Result<_, Refusal>>()?;
    let new = NewTopic { name: topic.name.to_string(), partitions, config, owner: None };
    if !validate {
        let made = broker.log.create_topic(new).await;
        return made.map(Made::Topic).map_err(|error| access::of_topic(&error));
    }
    broker.log.judge_topic(&new).map_err(|error| access::of_topic(&error))?;
    Ok(Made::Would(new))
}

/// How many partitions are asked for, if nothing else is asked that one broker cannot do.
fn partitions(broker: &Broker, topic: &CreatableTopic) -> Result<i32, Refusal> {
    if !topic.assignments.is_empty() {
        return by_hand(broker, topic);
    }
    if !matches!(topic.replication_factor, -1 | 1) {
        let message = "one broker here: use 1, or serverMode=kafka".to_owned();
        return Err((ResponseError::InvalidReplicationFactor, message));
    }
    match topic.num_partitions {
        DEFAULT => Ok(broker.settings.num_partitions),
        1.. => Ok(topic.num_partitions),
        _ => {
            let message = "a topic needs at least one partition".to_owned();
            Err((ResponseError::InvalidPartitions, message))
        }
    }
}

/// How many partitions are assigned by hand (`ReplicationControlManager.createTopic`).
fn by_hand(broker: &Broker, topic: &CreatableTopic) -> Result<i32, Refusal> {
    for (value, what) in [
        (i32::from(topic.replication_factor), "a replication factor"),
        (topic.num_partitions, "a number of partitions"),
    ] {
        if value != DEFAULT {
            let message = format!("partitions are assigned by hand, and {what} is given too");
            return Err((ResponseError::InvalidRequest, message));
        }
    }
    let mut assigned = BTreeSet::new();
    for partition in &topic.assignments {
        let index = partition.partition_index;
        if !assigned.insert(index) {
            let message = format!("partition {index} is assigned twice");
            return Err((ResponseError::InvalidReplicaAssignment, message));
        }
        check_brokers(broker, &partition.broker_ids)?;
    }
    if !assigned.iter().copied().eq((0..).take(assigned.len())) {
        let message = "partitions have to be assigned from 0 on, without holes".to_owned();
        return Err((ResponseError::InvalidReplicaAssignment, message));
    }
    Ok(i32::try_from(assigned.len()).unwrap_or(i32::MAX))
}

/// The brokers that a partition is assigned to by hand: there is one.
pub(super) fn check_brokers(broker: &Broker, assigned: &[BrokerId]) -> Result<(), Refusal> {
    let own = broker.settings.node_id;
    if matches!(assigned, [id] if id.0 == own) {
        return Ok(());
    }
    let message = format!("one broker here: each partition can only be assigned to {own}");
    Err((ResponseError::InvalidReplicaAssignment, message))
}

fn tell(
    broker: &Broker,
    call: &Call,
    result: CreatableTopicResult,
    made: &Made,
) -> CreatableTopicResult {
    let (partitions, settings) = match made {
        Made::Topic(topic) => (topic.partitions(), topic.settings()),
        Made::Would(new) => (new.partitions, &new.config),
    };
    let result = match made {
        Made::Topic(topic) => result.with_topic_id(topic.id()),
        Made::Would(_) => result,
    };
    if call.version < DESCRIBED_SINCE {
        return result;
    }
    let shown = config_keys::of_topic(settings, &broker.settings.shown).into_iter();
    let configs = shown.map(|Shown { key, value, source, .. }| {
        CreatableTopicConfigs::default()
            .with_name(key.into())
            .with_value(Some(value.into()))
            .with_config_source(source as i8)
    });
    result
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(Some(configs.collect()))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::create_topics_request::CreatableReplicaAssignment;

    use super::*;

    #[test]
    fn the_partitions_of_a_request_have_a_total() {
        let topic = |partitions| CreatableTopic::default().with_num_partitions(partitions);
        let by_hand = |count| {
            let assignments = vec![CreatableReplicaAssignment::default(); count];
            topic(DEFAULT).with_assignments(assignments)
        };
        for (topics, is_refused) in [
            (vec![topic(10_000)], false),
            (vec![topic(10_001)], true),
            (vec![topic(9_999), topic(1)], false),
            (vec![topic(9_999), topic(1), topic(1)], true),
            (vec![topic(9_997), topic(DEFAULT)], false),
            (vec![topic(9_998), topic(DEFAULT)], true),
            (vec![topic(9_998), by_hand(2)], false),
            (vec![topic(9_998), by_hand(3)], true),
            (vec![topic(10_000), topic(0), topic(-2), topic(i32::MIN)], false),
            (vec![topic(i32::MAX); 5_900], true),
        ] {
            let asked = topics.iter().map(|topic| asked_partitions(topic, 3));
            let refused = check_total(asked).err().map(|(error, _)| error);
            let expected = is_refused.then_some(ResponseError::PolicyViolation);
            assert_eq!(refused, expected, "{} topics", topics.len());
        }
    }
}
