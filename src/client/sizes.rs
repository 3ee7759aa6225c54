//! How many bytes partitions take on their brokers' disks: a question that librdkafka has no call
//! for (DescribeLogDirs).

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::{DescribeLogDirsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::MetadataPartition;

use super::error::reached;
use super::wire::Wire;
use super::{Connection, Error, PATIENCE};

/// The newest version that is asked for.
const VERSION: i16 = 4;

/// The bytes of each partition of `topic`, or of all topics: of that replica that has the most. A
/// broker that does not tell is left out.
pub fn sizes(
    connection: &Connection,
    topic: Option<&str>,
) -> Result<BTreeMap<(String, i32), u64>, Error> {
    let consumer: BaseConsumer = connection.reader("sluice-sizes").create()?;
    let metadata = consumer
        .fetch_metadata(topic, PATIENCE)
        .map_err(|error| reached(connection.bootstrap(), error))?;
    let partitions = |name: &str| -> Vec<i32> {
        let of = metadata.topics().iter().find(|one| one.name() == name);
        of.into_iter().flat_map(|one| one.partitions().iter().map(MetadataPartition::id)).collect()
    };
    let request = DescribeLogDirsRequest::default().with_topics(topic.map(|topic| {
        vec![
            DescribableLogDirTopic::default()
                .with_topic(TopicName(StrBytes::from_string(topic.to_owned())))
                .with_partitions(partitions(topic)),
        ]
    }));
    let (mut sizes, properties) = (BTreeMap::new(), connection.wire());
    for broker in metadata.brokers() {
        let address = format!("{}:{}", broker.host(), broker.port());
        let answer =
            Wire::connect(&address, &properties).and_then(|mut wire| wire.ask(&request, VERSION));
        let answer = match answer {
            Ok(answer) => answer,
            Err(reason) => {
                tracing::debug!("sizes of partitions are not known: {reason}");
                continue;
            }
        };
        for dir in answer.results {
            for topic in dir.topics {
                for partition in topic.partitions {
                    let size = u64::try_from(partition.partition_size).unwrap_or_default();
                    let key = (topic.name.to_string(), partition.partition_index);
                    let largest: &mut u64 = sizes.entry(key).or_default();
                    *largest = size.max(*largest);
                }
            }
        }
    }
    Ok(sizes)
}
