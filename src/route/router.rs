//! The settings, read once, and what they make of a table or a statement.

use std::sync::Arc;

use crate::change::{Table, TableName};

use super::hash::{java_hash, partition};
use super::pattern::{Pattern, items};
use super::topic::{TopicRule, legal};
use super::{Destination, Error, HashRule, PartitionRule, Route, RouteSettings};

const HASH: &str = "canal.mq.partitionHash";
const NUMBERS: &str = "canal.mq.dynamicTopicPartitionNum";
const NUMBER: &str = "canal.mq.partitionsNum";
/// Stands for the columns of the primary key.
const PRIMARY_KEY: &str = "$pk$";

/// Finds topics and partitions.
#[derive(Clone, Debug)]
pub struct Router {
    topics: TopicRule,
    /// `canal.mq.partitionHash`; the first that matches counts.
    hashes: Vec<(Pattern, HashedBy)>,
    /// Whether there is a partition hash at all: then `partition` does not count.
    hashed: bool,
    partition: i32,
    /// `canal.mq.dynamicTopicPartitionNum`, by pattern over topic names.
    numbers: Vec<(Pattern, i32)>,
    number: i32,
    database_hash: bool,
}

/// What a table's rows are hashed by.
#[derive(Clone, Debug)]
enum HashedBy {
    Table,
    PrimaryKey,
    Columns(Vec<String>),
}

impl Router {
    /// Reads the settings. All that is wrong in them comes at once.
    pub fn new(settings: &RouteSettings) -> Result<Self, Vec<Error>> {
        let most = settings.most_partitions;
        let mut errors = Vec::new();
        let topics = TopicRule::new(settings, &mut errors);
        let hashes: Vec<_> = items(settings.partition_hash.as_deref())
            .filter_map(|item| hash(item).map_err(|e| errors.push(e)).ok())
            .collect();
        let numbers = items(settings.dynamic_topic_partition_num.as_deref())
            .filter_map(|item| number(item, most).map_err(|e| errors.push(e)).ok())
            .collect();
        let number = settings.partitions_num.unwrap_or(1);
        if !(1..=most).contains(&number) {
            errors.push(Error::Partitions { key: NUMBER, text: number.to_string(), most });
        }
        if !(0..most).contains(&settings.partition) {
            let (partition, last) = (settings.partition, most - 1);
            errors.push(Error::Partition { partition, last });
        }
        if errors.is_empty() {
            Ok(Self {
                topics,
                hashed: !hashes.is_empty(),
                hashes,
                partition: settings.partition,
                numbers,
                number,
                database_hash: settings.database_hash,
            })
        } else {
            Err(errors)
        }
    }

    /// The route of a table version of which the `included` columns are published. Canal
    /// hashes what its message shows, so a column that a filter hides does not count.
    pub fn route(&self, table: &Table, included: &[usize]) -> Route {
        let TableName { schema, table: name } = &table.name;
        let Destination { topic, partitions, partition, renamed_from } =
            self.statement(schema, name);
        let by = self.hashed_by(&table.name);
        let rule = by.map_or(PartitionRule::Fixed(partition), |by| {
            self.rule(by, table, included, partitions)
        });
        Route { topic, partitions, rule, renamed_from }
    }

    /// Where a statement on `schema` and `table` goes, either of them empty when unknown.
    /// It has no rows to hash, so with a partition hash it is partition 0.
    pub fn statement(&self, schema: &str, table: &str) -> Destination {
        let asked = self.topics.name(schema, table);
        let (topic, renamed) = legal(&asked);
        let lower = topic.to_lowercase();
        let number = self.numbers.iter().find(|(pattern, _)| pattern.matches(&lower));
        let number = number.map_or(self.number, |(_, number)| *number);
        let partition = if self.hashed { 0 } else { self.partition };
        Destination {
            topic: Arc::from(topic),
            partitions: number.max(partition.saturating_add(1)),
            partition,
            renamed_from: renamed.then_some(asked),
        }
    }

    fn hashed_by(&self, table: &TableName) -> Option<&HashedBy> {
        let name = table.to_string().to_lowercase();
        self.hashes.iter().find(|(pattern, _)| pattern.matches(&name)).map(|(_, by)| by)
    }

    fn rule(
        &self,
        by: &HashedBy,
        table: &Table,
        included: &[usize],
        partitions: i32,
    ) -> PartitionRule {
        let included = included.iter().copied();
        let columns: Vec<usize> = match by {
            HashedBy::Table => {
                return PartitionRule::Fixed(partition(
                    java_hash(table.name.table.as_bytes()),
                    partitions,
                ));
            }
            HashedBy::PrimaryKey => included.filter(|c| table.primary_key.contains(c)).collect(),
            // case counts here; a name that no column has is the empty text, whose hash is 0
            HashedBy::Columns(names) => names
                .iter()
                .filter_map(|name| included.clone().find(|c| table.columns[*c].name == *name))
                .collect(),
        };
        let schema = table.name.schema.as_bytes();
        let seed = if self.database_hash { java_hash(schema) } else { 0 };
        if columns.is_empty() {
            return PartitionRule::Fixed(partition(seed, partitions));
        }
        PartitionRule::Columns(HashRule::new(columns, seed, partitions))
    }
}

/// An item of the partition hash: `pattern`, or `pattern:columns`, split at the last colon.
fn hash(item: &str) -> Result<(Pattern, HashedBy), Error> {
    let Some((pattern, columns)) = item.rsplit_once(':') else {
        return Ok((Pattern::new(HASH, item)?, HashedBy::Table));
    };
    let columns = columns.trim();
    let by = if columns.eq_ignore_ascii_case(PRIMARY_KEY) {
        HashedBy::PrimaryKey
    } else {
        let names = columns.split('^').map(str::trim).filter(|name| !name.is_empty());
        HashedBy::Columns(names.map(str::to_owned).collect())
    };
    Ok((Pattern::new(HASH, pattern.trim())?, by))
}

/// An item of the partition numbers: `topic pattern:number`.
fn number(item: &str, most: i32) -> Result<(Pattern, i32), Error> {
    let wrong = || Error::Partitions { key: NUMBERS, text: item.to_owned(), most };
    let (pattern, number) = item.rsplit_once(':').ok_or_else(wrong)?;
    let number = number.trim().parse().ok().filter(|number| (1..=most).contains(number));
    let number = number.ok_or_else(wrong)?;
    Ok((Pattern::new(NUMBERS, pattern.trim())?, number))
}
