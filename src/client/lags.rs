//! How many messages of some topics each group has not read.
//!
//! In: names of topics. Out: a number for each group that has read of one of them before. Bounded:
//! of many partitions or groups the first are looked at.

use std::collections::BTreeMap;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::error::reached;
use super::{Connection, Error, PATIENCE};

/// As many partitions, and groups, are looked at.
const MOST_PARTITIONS: usize = 5_000;
const MOST_GROUPS: usize = 100;

/// What a group has not read of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// Messages, as offsets count them.
    pub messages: u64,
}

/// The lag of each group in each of these topics that it has an offset of. Blocks.
pub fn lags(connection: &Connection, topics: &[String]) -> Result<Vec<Lag>, Error> {
    let failed = |error| reached(connection.bootstrap(), error);
    let consumer: BaseConsumer = connection.reader("sluice-lags").create()?;
    let metadata = consumer.fetch_metadata(None, PATIENCE).map_err(failed)?;
    let wanted =
        metadata.topics().iter().filter(|topic| topics.iter().any(|one| one == topic.name()));
    let partitions = wanted.flat_map(|topic| {
        topic.partitions().iter().map(|partition| (topic.name().to_owned(), partition.id()))
    });
    let partitions: Vec<(String, i32)> = partitions.take(MOST_PARTITIONS).collect();
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let ends = ends(&consumer, &partitions).map_err(failed)?;
    let groups = consumer.fetch_group_list(None, PATIENCE).map_err(failed)?;
    let mut lags = BTreeMap::new();
    for group in groups.groups().iter().take(MOST_GROUPS) {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in &partitions {
            list.add_partition(topic, *partition);
        }
        let member: BaseConsumer = connection.reader(group.name()).create()?;
        let committed = member.committed_offsets(list, PATIENCE).map_err(failed)?;
        for element in committed.elements() {
            let Offset::Offset(offset) = element.offset() else { continue };
            let topic = element.topic().to_owned();
            let end = ends.get(&(topic.clone(), element.partition())).copied().unwrap_or(offset);
            let left = u64::try_from(end - offset).unwrap_or_default();
            let lag: &mut u64 = lags.entry((group.name().to_owned(), topic)).or_default();
            *lag += left;
        }
    }
    let lag = |((group, topic), messages)| Lag { group, topic, messages };
    Ok(lags.into_iter().map(lag).collect())
}

/// The offset that the next message of each partition gets, asked of each broker at once: the
/// protocol's special times are -1 for the end, and -2 for the begin.
pub(super) fn ends(
    consumer: &BaseConsumer,
    partitions: &[(String, i32)],
) -> Result<BTreeMap<(String, i32), i64>, rdkafka::error::KafkaError> {
    at(consumer, partitions, Offset::End)
}

/// The first offset of each partition.
pub(super) fn starts(
    consumer: &BaseConsumer,
    partitions: &[(String, i32)],
) -> Result<BTreeMap<(String, i32), i64>, rdkafka::error::KafkaError> {
    at(consumer, partitions, Offset::Beginning)
}

fn at(
    consumer: &BaseConsumer,
    partitions: &[(String, i32)],
    place: Offset,
) -> Result<BTreeMap<(String, i32), i64>, rdkafka::error::KafkaError> {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, place)?;
    }
    let found = consumer.offsets_for_times(list, PATIENCE)?;
    let known = found.elements().into_iter().filter_map(|element| match element.offset() {
        Offset::Offset(offset) => Some(((element.topic().to_owned(), element.partition()), offset)),
        _ => None,
    });
    Ok(known.collect())
}
