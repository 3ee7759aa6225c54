//! Consumer groups: list, describe, move offsets, delete.

use std::collections::BTreeMap;
use std::ops::Range;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::error::reached;
use super::topics::is_there;
use super::{Connection, Error, PATIENCE};

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// What it is doing: `Stable`, `Empty`, `PreparingRebalance`, ...
    pub state: String,
    /// How its members share: `range`, `roundrobin`, ...
    pub assignor: String,
    /// Its members.
    pub members: Vec<Member>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name within the group.
    pub id: String,
    /// What it calls itself.
    pub client: String,
    /// Where it comes from.
    pub host: String,
    /// Its partitions, by topic.
    pub assignment: BTreeMap<String, Vec<i32>>,
}

/// A group with its offsets.
#[derive(Clone, Debug)]
pub struct GroupDescription {
    /// The group.
    pub group: Group,
    /// A row for each partition it has an offset of, or reads.
    pub offsets: Vec<OffsetRow>,
}

/// Where a group stands in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetRow {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset it would go on with.
    pub committed: Option<i64>,
    /// The first offset there is.
    pub start: i64,
    /// The offset the next record gets.
    pub end: i64,
}

/// What a group has not read of a partition before an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset the group would go on with.
    pub committed: Option<i64>,
    /// The offset before which it is to read.
    pub until: i64,
    /// How many offsets are left; none if there is no record at them.
    pub left: i64,
}

/// Where to move to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The first record there is.
    Earliest,
    /// Behind the last.
    Latest,
    /// Where the group is.
    Current,
    /// An offset, brought within what there is.
    Offset(i64),
    /// So many records on, or back.
    Shift(i64),
    /// The first record of that time or later, in milliseconds since 1970.
    Time(i64),
}

/// A move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetChange {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The new offset.
    pub offset: i64,
}

/// The groups of a cluster.
pub struct Groups {
    connection: Connection,
    consumer: BaseConsumer,
}

impl Groups {
    /// Of this cluster.
    pub fn of(connection: &Connection) -> Result<Self, Error> {
        let consumer = connection.reader("sluice-groups").create()?;
        Ok(Self { connection: connection.clone(), consumer })
    }

    /// All groups, by name.
    pub fn list(&self) -> Result<Vec<Group>, Error> {
        self.fetch(None)
    }

    /// One group with its offsets.
    pub fn describe(&self, name: &str) -> Result<GroupDescription, Error> {
        let group = self.group(name)?;
        let committed = self.committed(name)?;
        let mut partitions: Vec<(String, i32)> = committed.keys().cloned().collect();
        for member in &group.members {
            for (topic, numbers) in &member.assignment {
                partitions.extend(numbers.iter().map(|number| (topic.clone(), *number)));
            }
        }
        partitions.sort();
        partitions.dedup();
        let mut offsets = Vec::new();
        for (topic, partition) in partitions {
            let (start, end) = self.watermarks(&topic, partition)?;
            let committed = committed.get(&(topic.clone(), partition)).copied();
            offsets.push(OffsetRow { topic, partition, committed, start, end });
        }
        Ok(GroupDescription { group, offsets })
    }

    /// What each of `groups` has not read of these partitions before those offsets; of a group that
    /// has no offset of any of them nothing.
    pub fn unread(
        &self,
        groups: &[String],
        partitions: &[(String, i32, i64)],
    ) -> Result<Vec<(String, Vec<Unread>)>, Error> {
        let mut found = Vec::new();
        for group in groups {
            let committed = self.committed(group)?;
            let of = |topic: &String, partition: &i32| {
                committed.get(&(topic.clone(), *partition)).copied()
            };
            if partitions.iter().all(|(topic, partition, _)| of(topic, partition).is_none()) {
                continue;
            }
            let mut rows = Vec::new();
            for (topic, partition, until) in partitions {
                let committed = of(topic, partition);
                let (topic, partition, until) = (topic.clone(), *partition, *until);
                let (start, _) = self.watermarks(&topic, partition)?;
                let from = committed.unwrap_or(start).max(start);
                let left =
                    if self.has_record(&topic, partition, from..until)? { until - from } else { 0 };
                rows.push(Unread { topic, partition, committed, until, left });
            }
            found.push((group.clone(), rows));
        }
        Ok(found)
    }

    /// Those of these partitions that hold records at those offsets or behind.
    pub fn going_on(&self, partitions: &[(String, i32, i64)]) -> Result<Vec<(String, i32)>, Error> {
        let mut found = Vec::new();
        for (topic, partition, from) in partitions {
            let (_, end) = self.watermarks(topic, *partition)?;
            if self.has_record(topic, *partition, *from..end)? {
                found.push((topic.clone(), *partition));
            }
        }
        Ok(found)
    }

    /// Whether there is a committed record at these offsets: ends of transactions, and what was
    /// rolled back, have offsets too.
    fn has_record(&self, topic: &str, partition: i32, at: Range<i64>) -> Result<bool, Error> {
        if at.is_empty() {
            return Ok(false);
        }
        let mut settings = self.connection.reader("sluice-groups");
        settings.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
        settings.set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = settings.create()?;
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(topic, partition, Offset::Offset(at.start))?;
        consumer.assign(&place)?;
        let begun = std::time::Instant::now();
        while begun.elapsed() < PATIENCE {
            match consumer.poll(PATIENCE) {
                Some(Ok(message)) => return Ok(message.offset() < at.end),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(false),
                // What is on its way back comes by itself.
                Some(Err(_)) | None => {}
            }
        }
        // Not known: nobody is told that all was read.
        Ok(true)
    }

    /// What moving `group` would lead to; `topics` as pairs of a name and its partitions,
    /// none for all it has; empty for all topics the group has offsets of.
    pub fn plan(
        &self,
        group: &str,
        topics: &[(String, Vec<i32>)],
        target: Target,
    ) -> Result<Vec<OffsetChange>, Error> {
        let committed = self.committed(group)?;
        let mut wanted: Vec<(String, i32)> = Vec::new();
        for (topic, partitions) in topics {
            let numbers = match &**partitions {
                [] => self.partitions(topic)?,
                some => some.to_vec(),
            };
            wanted.extend(numbers.into_iter().map(|number| (topic.clone(), number)));
        }
        if topics.is_empty() {
            wanted.extend(committed.keys().cloned());
        }
        let mut changes = Vec::new();
        for (topic, partition) in wanted {
            let (start, end) = self.watermarks(&topic, partition)?;
            let current = committed.get(&(topic.clone(), partition)).copied();
            let offset = match target {
                Target::Earliest => start,
                Target::Latest => end,
                Target::Current => current.unwrap_or(end),
                Target::Offset(offset) => offset,
                Target::Shift(by) => current.unwrap_or(end).saturating_add(by),
                Target::Time(time) => self.at_time(&topic, partition, time)?.unwrap_or(end),
            };
            changes.push(OffsetChange { topic, partition, offset: offset.clamp(start, end) });
        }
        Ok(changes)
    }

    /// The same moves, brought within what there is.
    pub fn within(&self, mut changes: Vec<OffsetChange>) -> Result<Vec<OffsetChange>, Error> {
        for change in &mut changes {
            let (start, end) = self.watermarks(&change.topic, change.partition)?;
            change.offset = change.offset.clamp(start, end);
        }
        Ok(changes)
    }

    /// Who coordinates the groups, as `host:port (id)`: told where there is one broker only.
    pub fn coordinator(&self) -> Result<String, Error> {
        let metadata =
            self.consumer.fetch_metadata(None, PATIENCE).map_err(|error| self.reached(error))?;
        Ok(match metadata.brokers() {
            [one] => format!("{}:{}  ({})", one.host(), one.port(), one.id()),
            _ => "-".to_owned(),
        })
    }

    /// Moves a group that has no members.
    pub fn move_to(&self, name: &str, changes: &[OffsetChange]) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        for change in changes {
            let offset = Offset::Offset(change.offset);
            list.add_partition_offset(&change.topic, change.partition, offset)?;
        }
        let consumer: BaseConsumer = self.connection.reader(name).create()?;
        consumer.commit(&list, CommitMode::Sync).map_err(|error| self.reached(error))
    }

    /// Refuses a group with members.
    pub fn ensure_inactive(&self, name: &str) -> Result<(), Error> {
        let groups = self.fetch(Some(name))?;
        let active = groups.into_iter().find(|group| !group.members.is_empty());
        match active {
            Some(Group { state, .. }) => Err(Error::ActiveGroup { group: name.to_owned(), state }),
            None => Ok(()),
        }
    }

    /// Deletes groups; what was refused comes back by name.
    pub async fn delete(&self, names: &[&str]) -> Result<Vec<(String, RDKafkaErrorCode)>, Error> {
        let admin: AdminClient<DefaultClientContext> = self.connection.config().create()?;
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let answers =
            admin.delete_groups(names, &options).await.map_err(|error| self.reached(error))?;
        Ok(answers.into_iter().filter_map(Result::err).collect())
    }

    fn group(&self, name: &str) -> Result<Group, Error> {
        let found = self.fetch(Some(name))?.into_iter().find(|group| group.name == name);
        found.filter(|group| group.state != "Dead").ok_or_else(|| Error::NoGroup(name.to_owned()))
    }

    fn fetch(&self, name: Option<&str>) -> Result<Vec<Group>, Error> {
        let list =
            self.consumer.fetch_group_list(name, PATIENCE).map_err(|error| self.reached(error))?;
        let mut groups: Vec<Group> = list
            .groups()
            .iter()
            .map(|group| Group {
                name: group.name().to_owned(),
                state: group.state().to_owned(),
                assignor: group.protocol().to_owned(),
                members: group
                    .members()
                    .iter()
                    .map(|member| Member {
                        id: member.id().to_owned(),
                        client: member.client_id().to_owned(),
                        host: member.client_host().to_owned(),
                        assignment: member.assignment().and_then(assignment).unwrap_or_default(),
                    })
                    .collect(),
            })
            .collect();
        groups.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(groups)
    }

    /// The offsets a group has, of all partitions there are.
    fn committed(&self, name: &str) -> Result<BTreeMap<(String, i32), i64>, Error> {
        let consumer: BaseConsumer = self.connection.reader(name).create()?;
        let metadata =
            consumer.fetch_metadata(None, PATIENCE).map_err(|error| self.reached(error))?;
        let mut list = TopicPartitionList::new();
        for topic in metadata.topics().iter().filter(|topic| is_there(topic.error())) {
            for partition in topic.partitions() {
                list.add_partition(topic.name(), partition.id());
            }
        }
        if list.count() == 0 {
            return Ok(BTreeMap::new());
        }
        let committed =
            consumer.committed_offsets(list, PATIENCE).map_err(|error| self.reached(error))?;
        let known = committed.elements().into_iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => {
                Some(((element.topic().to_owned(), element.partition()), offset))
            }
            _ => None,
        });
        Ok(known.collect())
    }

    fn partitions(&self, name: &str) -> Result<Vec<i32>, Error> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(name), PATIENCE)
            .map_err(|error| self.reached(error))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        let topic = topic
            .filter(|topic| is_there(topic.error()))
            .ok_or_else(|| Error::NoTopic(name.to_owned()))?;
        Ok(topic.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect())
    }

    fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
        self.consumer
            .fetch_watermarks(topic, partition, PATIENCE)
            .map_err(|error| self.reached(error))
    }

    fn at_time(&self, topic: &str, partition: i32, time: i64) -> Result<Option<i64>, Error> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(time))?;
        let found =
            self.consumer.offsets_for_times(list, PATIENCE).map_err(|error| self.reached(error))?;
        let element = found.find_partition(topic, partition);
        Ok(element.and_then(|element| match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }))
    }

    fn reached(&self, error: rdkafka::error::KafkaError) -> Error {
        reached(self.connection.bootstrap(), error)
    }
}

/// Reads what the consumer protocol calls an assignment: version, then topics, each with
/// its partitions (Kafka's `ConsumerProtocolAssignment.json`).
fn assignment(bytes: &[u8]) -> Option<BTreeMap<String, Vec<i32>>> {
    let mut rest = bytes.get(2..)?;
    let mut take = |count: usize| -> Option<&[u8]> {
        let taken = rest.get(..count)?;
        rest = rest.get(count..)?;
        Some(taken)
    };
    let mut found = BTreeMap::new();
    let topics = i32::from_be_bytes(take(4)?.try_into().ok()?);
    for _ in 0..topics {
        let length = i16::from_be_bytes(take(2)?.try_into().ok()?);
        let name = take(usize::try_from(length).ok()?)?;
        let name = std::str::from_utf8(name).ok()?.to_owned();
        let count = i32::from_be_bytes(take(4)?.try_into().ok()?);
        let mut partitions = Vec::new();
        for _ in 0..count {
            partitions.push(i32::from_be_bytes(take(4)?.try_into().ok()?));
        }
        found.insert(name, partitions);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_and_a_cut_one_is_none() {
        let bytes = b"\0\x03\0\0\0\x01\0\x04test\0\0\0\x02\0\0\0\0\0\0\0\x01\xff\xff\xff\xff";
        let expected = BTreeMap::from([("test".to_owned(), vec![0, 1])]);
        assert_eq!(assignment(bytes), Some(expected));
        for cut in 0..bytes.len() - 4 {
            assert_eq!(assignment(&bytes[..cut]), None, "cut at {cut}");
        }
    }
}
