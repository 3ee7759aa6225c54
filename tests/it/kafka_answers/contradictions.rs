//! Requests that contradict themselves: that name a thing twice, or say it in two ways.

use kafka_protocol::messages::alter_configs_request as alter;
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request as incremental;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::*;
use uuid::Uuid;

use super::{Answers, Judged, text};
use crate::harness::wire::{Client, name};

/// Kafka's broker learns of a change from its controller, a moment later.
async fn settled() {
    if std::env::var_os("SLUICE_KAFKA").is_some() {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
}

/// A request of the test: its topics have names of their own.
struct Asker<'a> {
    client: &'a mut Client,
    answers: &'a mut Answers,
    topics: usize,
}

impl Asker<'_> {
    /// A name that no topic has.
    fn new_name(&mut self) -> String {
        self.topics += 1;
        format!("contradiction-{}", self.topics)
    }

    async fn new_topic(&mut self) -> String {
        let topic = self.new_name();
        let asked = CreatableTopic::default()
            .with_name(name(&topic))
            .with_num_partitions(1)
            .with_replication_factor(1);
        let request = CreateTopicsRequest::default().with_topics(vec![asked]);
        let answer = self.client.ask(7, &request.with_timeout_ms(30_000)).await;
        assert_eq!(answer.topics[0].error_code, 0);
        settled().await;
        topic
    }

    /// How many partitions a topic has, and its id; none if it is not there.
    async fn found(&mut self, topic: &str) -> (usize, Uuid) {
        settled().await;
        let asked = MetadataRequestTopic::default().with_name(Some(name(topic)));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![asked]))
            .with_allow_auto_topic_creation(false);
        let answer = self.client.ask(12, &request).await;
        (answer.topics[0].partitions.len(), answer.topics[0].topic_id)
    }

    /// Notes what was told of each thing, in any order, and how many partitions the topic has.
    async fn note(&mut self, question: String, topic: &str, mut told: Vec<String>) {
        told.sort_unstable();
        let (left, _) = self.found(topic).await;
        self.answers.push((question, format!("{} then {left}", told.join(" "))));
    }
}

/// Partitions, and the brokers they are to be on.
const ASSIGNMENTS: [&[(i32, &[i32])]; 11] = [
    &[],
    &[(0, &[1])],
    &[(5, &[1])],
    &[(-1, &[1])],
    &[(0, &[1]), (0, &[1])],
    &[(1, &[1]), (0, &[1])],
    &[(0, &[1]), (2, &[1])],
    &[(0, &[])],
    &[(0, &[1, 1])],
    &[(0, &[2])],
    &[(0, &[1]), (1, &[])],
];

fn brokers(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().map(|id| BrokerId(*id)).collect()
}

async fn created(asker: &mut Asker<'_>) {
    for assignment in ASSIGNMENTS {
        for (partitions, factor) in
            [(-1, -1), (1, -1), (3, -1), (-1, 1), (3, 1), (0, -1), (-2, 1), (1, 0), (1, -2), (1, 3)]
        {
            for validates in [true, false] {
                let topic = asker.new_name();
                let by_hand = assignment.iter().map(|(partition, ids)| {
                    let one =
                        CreatableReplicaAssignment::default().with_partition_index(*partition);
                    one.with_broker_ids(brokers(ids))
                });
                let asked = CreatableTopic::default()
                    .with_name(name(&topic))
                    .with_num_partitions(partitions)
                    .with_replication_factor(factor)
                    .with_assignments(by_hand.collect());
                let request = CreateTopicsRequest::default()
                    .with_topics(vec![asked])
                    .with_timeout_ms(30_000)
                    .with_validate_only(validates);
                let answer = asker.client.ask(7, &request).await;
                let told = answer.topics.iter().map(|one| one.error_code.to_string()).collect();
                let question =
                    format!("CreateTopics {assignment:?} {partitions} {factor} {validates}");
                asker.note(question, &topic, told).await;
            }
        }
    }
    for count in [2, 3] {
        let topic = asker.new_name();
        let asked = CreatableTopic::default()
            .with_name(name(&topic))
            .with_num_partitions(1)
            .with_replication_factor(1);
        let request = CreateTopicsRequest::default().with_topics(vec![asked; count]);
        let answer = asker.client.ask(7, &request.with_timeout_ms(30_000)).await;
        let told = answer.topics.iter().map(|one| one.error_code.to_string()).collect();
        asker.note(format!("CreateTopics {count} times"), &topic, told).await;
    }
}

/// Counts, and assignments of the new partitions.
const GROWTHS: [(i32, Option<&[&[i32]]>); 13] = [
    (4, None),
    (4, Some(&[])),
    (4, Some(&[&[1]])),
    (4, Some(&[&[1], &[1], &[1]])),
    (4, Some(&[&[1], &[1], &[1], &[1]])),
    (4, Some(&[&[1], &[1], &[2]])),
    (4, Some(&[&[1], &[1], &[]])),
    (4, Some(&[&[1], &[1], &[1, 1]])),
    (1, None),
    (1, Some(&[])),
    (1, Some(&[&[1]])),
    (0, None),
    (-1, None),
];

async fn grown(asker: &mut Asker<'_>) {
    let growth = |topic: &str, count: i32, by_hand: Option<&[&[i32]]>| {
        let one =
            |ids: &&[i32]| CreatePartitionsAssignment::default().with_broker_ids(brokers(ids));
        CreatePartitionsTopic::default()
            .with_name(name(topic))
            .with_count(count)
            .with_assignments(by_hand.map(|all| all.iter().map(one).collect()))
    };
    for (count, by_hand) in GROWTHS {
        for validates in [true, false] {
            let topic = asker.new_topic().await;
            let request = CreatePartitionsRequest::default()
                .with_topics(vec![growth(&topic, count, by_hand)])
                .with_timeout_ms(30_000)
                .with_validate_only(validates);
            let answer = asker.client.ask(3, &request).await;
            let told = answer.results.iter().map(|one| one.error_code.to_string()).collect();
            asker
                .note(format!("CreatePartitions {count} {by_hand:?} {validates}"), &topic, told)
                .await;
        }
    }
    for counts in [&[3, 3][..], &[3, 4], &[3, 1, 3]] {
        let topic = asker.new_topic().await;
        let asked = counts.iter().map(|count| growth(&topic, *count, None)).collect();
        let request = CreatePartitionsRequest::default().with_topics(asked).with_timeout_ms(30_000);
        let answer = asker.client.ask(3, &request).await;
        let told = answer.results.iter().map(|one| one.error_code.to_string()).collect();
        asker.note(format!("CreatePartitions to each of {counts:?}"), &topic, told).await;
    }
}

async fn deleted(asker: &mut Asker<'_>) {
    for count in [2, 3] {
        let topic = asker.new_topic().await;
        let request = DeleteTopicsRequest::default()
            .with_topic_names(vec![name(&topic); count])
            .with_timeout_ms(30_000);
        let answer = asker.client.ask(5, &request).await;
        let told = answer.responses.iter().map(|one| one.error_code.to_string()).collect();
        asker.note(format!("DeleteTopics by name {count} times"), &topic, told).await;
    }
    // Each entry has a name, an id, both or neither.
    let forms: [&[(bool, bool)]; 8] = [
        &[(true, false)],
        &[(false, true)],
        &[(true, true)],
        &[(false, false)],
        &[(true, false), (true, false)],
        &[(false, true), (false, true)],
        &[(true, false), (false, true)],
        &[(false, true), (true, false), (false, false)],
    ];
    for form in forms {
        let topic = asker.new_topic().await;
        let (_, id) = asker.found(&topic).await;
        let asked = form.iter().map(|(by_name, by_id)| {
            DeleteTopicState::default()
                .with_name(by_name.then(|| name(&topic)))
                .with_topic_id(if *by_id { id } else { Uuid::nil() })
        });
        let request =
            DeleteTopicsRequest::default().with_topics(asked.collect()).with_timeout_ms(30_000);
        let answer = asker.client.ask(6, &request).await;
        let told = answer.responses.iter().map(|one| {
            let (named, id) = (one.name.is_some(), !one.topic_id.is_nil());
            format!("({} named {named} id {id})", one.error_code)
        });
        let told = told.collect();
        asker.note(format!("DeleteTopics by (name, id) {form:?}"), &topic, told).await;
    }
}

/// `ConfigResource.Type`.
const TOPIC: i8 = 2;

/// A request of either kind that sets retention.ms of a topic to each of `values`, in one resource
/// or a resource each.
macro_rules! configs_request {
    ($types:ident, $request:ident, $topic:expr, $values:expr, $in_one:expr) => {{
        let set = |value: &&str| {
            let one = $types::AlterableConfig::default();
            one.with_name(text("retention.ms")).with_value(Some(text(value)))
        };
        let resource = |configs: Vec<_>| {
            $types::AlterConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text(&$topic))
                .with_configs(configs)
        };
        let resources = if $in_one {
            vec![resource($values.iter().map(set).collect())]
        } else {
            $values.iter().map(|value| resource(vec![set(value)])).collect()
        };
        $request::default().with_resources(resources)
    }};
}

async fn configured(asker: &mut Asker<'_>) {
    for values in [&["1000"][..], &["1000", "1000"], &["1000", "2000"], &["1000", "2000", "3000"]] {
        for (incremental, in_one) in [(true, true), (true, false), (false, true), (false, false)] {
            // Kafka never answers this one: its broker ends with "Duplicate key ConfigResource".
            if !incremental && !in_one && values.len() > 1 {
                continue;
            }
            let topic = asker.new_topic().await;
            let told: Vec<String> = if incremental {
                let request = configs_request!(
                    incremental,
                    IncrementalAlterConfigsRequest,
                    topic,
                    values,
                    in_one
                );
                let answer = asker.client.ask(1, &request).await;
                answer.responses.iter().map(|one| one.error_code.to_string()).collect()
            } else {
                let request = configs_request!(alter, AlterConfigsRequest, topic, values, in_one);
                let answer = asker.client.ask(2, &request).await;
                answer.responses.iter().map(|one| one.error_code.to_string()).collect()
            };
            settled().await;
            let kind = if incremental { "IncrementalAlterConfigs" } else { "AlterConfigs" };
            let resource = DescribeConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text(&topic))
                .with_configuration_keys(Some(vec![text("retention.ms")]));
            let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
            let answer = asker.client.ask(4, &request).await;
            let value =
                answer.results[0].configs[0].value.as_deref().unwrap_or_default().to_owned();
            let told = [told, vec![format!("retention.ms={value}")]].concat();
            let place = if in_one { "in one resource" } else { "in a resource each" };
            asker.note(format!("{kind} {values:?} {place}"), &topic, told).await;
        }
    }
}

async fn records_deleted(asker: &mut Asker<'_>) {
    for offsets in [&[0][..], &[0, 0], &[0, 5], &[5, 0]] {
        for in_one in [true, false] {
            let topic = asker.new_topic().await;
            let one = |offset: &i64| DeleteRecordsPartition::default().with_offset(*offset);
            let all = |partitions| {
                DeleteRecordsTopic::default().with_name(name(&topic)).with_partitions(partitions)
            };
            let topics = if in_one {
                vec![all(offsets.iter().map(one).collect())]
            } else {
                offsets.iter().map(|offset| all(vec![one(offset)])).collect()
            };
            let request =
                DeleteRecordsRequest::default().with_topics(topics).with_timeout_ms(30_000);
            let answer = asker.client.ask(2, &request).await;
            let told = answer.topics.iter().flat_map(|one| &one.partitions);
            let told = told.map(|one| format!("({} {})", one.error_code, one.low_watermark));
            let told = told.collect();
            asker.note(format!("DeleteRecords {offsets:?} in one {in_one}"), &topic, told).await;
        }
    }
}

async fn of_groups(asker: &mut Asker<'_>) {
    let topic = asker.new_topic().await;
    let group = "contradictions";
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(9);
    for count in [1, 2] {
        let asked = OffsetCommitRequestTopic::default()
            .with_name(name(&topic))
            .with_partitions(vec![partition.clone(); count]);
        let request = OffsetCommitRequest::default()
            .with_group_id(text(group).into())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![asked]);
        // Kafka's coordinator may not have been there yet.
        let told = loop {
            let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
            asker.client.ask(4, &find).await;
            let answer = asker.client.ask(8, &request).await;
            let told = answer.topics.iter().flat_map(|one| &one.partitions);
            let told: Vec<String> = told.map(|one| one.error_code.to_string()).collect();
            if !told.iter().any(|code| ["14", "15", "16"].contains(&code.as_str())) {
                break told;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        };
        asker.note(format!("OffsetCommit {count} times"), &topic, told).await;
    }
    for (topics, partitions) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let asked = OffsetFetchRequestTopics::default()
            .with_name(name(&topic))
            .with_partition_indexes(vec![0; partitions]);
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(text(group).into())
            .with_topics(Some(vec![asked; topics]));
        let request = OffsetFetchRequest::default().with_groups(vec![asked]);
        let answer = asker.client.ask(8, &request).await;
        let told = answer.groups.iter().flat_map(|one| &one.topics).flat_map(|one| &one.partitions);
        let told = told.map(|one| format!("({} {})", one.error_code, one.committed_offset));
        let told = told.collect();
        asker.note(format!("OffsetFetch {topics} topics of {partitions}"), &topic, told).await;
    }
    for times in [1, 2] {
        let named = vec![text(group).into(); times];
        let request = DescribeGroupsRequest::default().with_groups(named.clone());
        let answer = asker.client.ask(5, &request).await;
        let told = answer.groups.iter().map(|one| one.error_code.to_string()).collect();
        asker.note(format!("DescribeGroups {times} times"), &topic, told).await;
    }
    for times in [3, 2] {
        let request =
            DeleteGroupsRequest::default().with_groups_names(vec![text(group).into(); times]);
        let answer = asker.client.ask(2, &request).await;
        let told = answer.results.iter().map(|one| one.error_code.to_string()).collect();
        asker.note(format!("DeleteGroups {times} times"), &topic, told).await;
    }
}

async fn read(asker: &mut Asker<'_>) {
    let topic = asker.new_topic().await;
    for times in [&[-1][..], &[-1, -1], &[-1, -2], &[-2, 0, -1]] {
        for in_one in [true, false] {
            let one = |time: &i64| ListOffsetsPartition::default().with_timestamp(*time);
            let all = |partitions| {
                ListOffsetsTopic::default().with_name(name(&topic)).with_partitions(partitions)
            };
            let topics = if in_one {
                vec![all(times.iter().map(one).collect())]
            } else {
                times.iter().map(|time| all(vec![one(time)])).collect()
            };
            let request = ListOffsetsRequest::default().with_topics(topics);
            let answer = asker.client.ask(8, &request).await;
            let told = answer.topics.iter().flat_map(|one| &one.partitions);
            let told = told.map(|one| format!("({} {})", one.error_code, one.offset)).collect();
            asker.note(format!("ListOffsets {times:?} in one {in_one}"), &topic, told).await;
        }
    }
}

/// Our node has more partitions by default.
fn differing(question: &str, _: &str) -> Option<&'static str> {
    let by_default = question.starts_with("CreateTopics [] -1") && question.ends_with("false");
    (by_default && !question.contains(" 0 ")).then_some("0 then 4")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_itself_is_judged_as_kafka_judges_it() {
    let mut judged = Judged::connect().await;
    let mut answers = Vec::new();
    let mut asker = Asker { client: &mut judged.client, answers: &mut answers, topics: 0 };
    created(&mut asker).await;
    grown(&mut asker).await;
    deleted(&mut asker).await;
    configured(&mut asker).await;
    records_deleted(&mut asker).await;
    of_groups(&mut asker).await;
    read(&mut asker).await;
    judged.end("contradictions.txt", &answers, differing).await;
}
