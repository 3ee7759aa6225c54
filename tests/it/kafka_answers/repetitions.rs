//! Requests that name a topic, a partition, a group or a member more than once, where nothing is
//! changed by it or the change is the same: how many answers there are, and which. And what is
//! shown of what cannot be had: records out of range, the members of a group that is being joined.

use bytes::Bytes;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_replica_log_dirs_request::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;

use super::{Answers, Judged, join, make_topic_of_three, text};
use crate::harness::wire::{Client, batch, name};

/// The topic that is there, with three partitions.
const THERE: &str = "repetitions";
const ABSENT: &str = "repetitions-absent";

/// Partitions of the topic, each list that of one entry of the request.
const ASKED: [&[&[i32]]; 8] = [
    &[&[0]],
    &[&[0, 0]],
    &[&[0], &[0]],
    &[&[0, 1, 0]],
    &[&[0, 1], &[1, 2]],
    &[&[9, 9]],
    &[&[0, 9], &[9, 0]],
    &[&[], &[]],
];

fn note(answers: &mut Answers, question: String, mut told: Vec<String>) {
    told.sort_unstable();
    answers.push((question, format!("{} {}", told.len(), told.join(" "))));
}

/// One entry of a request for each list of partitions.
fn each<T>(asked: &[&[i32]], entry: impl Fn(Vec<i32>) -> T) -> Vec<T> {
    asked.iter().map(|partitions| entry(partitions.to_vec())).collect()
}

async fn described(client: &mut Client, answers: &mut Answers) {
    for named in [&[THERE][..], &[THERE, THERE], &[ABSENT, ABSENT], &[THERE, ABSENT, THERE]] {
        let topics =
            named.iter().map(|topic| MetadataRequestTopic::default().with_name(Some(name(topic))));
        let request = MetadataRequest::default()
            .with_topics(Some(topics.collect()))
            .with_allow_auto_topic_creation(false);
        let answer = client.ask(12, &request).await;
        let told = answer.topics.iter();
        let told = told.map(|one| format!("({} {})", one.error_code, one.partitions.len()));
        note(answers, format!("Metadata {named:?}"), told.collect());

        let topics = named.iter().map(|topic| TopicRequest::default().with_name(name(topic)));
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(topics.collect())
            .with_response_partition_limit(100);
        let answer = client.ask(0, &request).await;
        let told = answer.topics.iter();
        let told = told.map(|one| format!("({} {})", one.error_code, one.partitions.len()));
        note(answers, format!("DescribeTopicPartitions {named:?}"), told.collect());

        let resources = named.iter().map(|topic| {
            DescribeConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text(topic))
                .with_configuration_keys(Some(vec![text("retention.ms"), text("retention.ms")]))
        });
        let request = DescribeConfigsRequest::default().with_resources(resources.collect());
        let answer = client.ask(4, &request).await;
        let told = answer.results.iter();
        let told = told.map(|one| format!("({} {})", one.error_code, one.configs.len()));
        note(answers, format!("DescribeConfigs {named:?}"), told.collect());

        let request = FindCoordinatorRequest::default()
            .with_coordinator_keys(named.iter().map(|group| text(group)).collect());
        let answer = client.ask(4, &request).await;
        let told = answer.coordinators.iter().map(|one| one.key.to_string());
        note(answers, format!("FindCoordinator {named:?}"), told.collect());
    }
}

async fn of_partitions(client: &mut Client, answers: &mut Answers) {
    for asked in ASKED {
        let topics = each(asked, |partitions| {
            let one = DescribableLogDirTopic::default().with_topic(name(THERE));
            one.with_partitions(partitions)
        });
        let request = DescribeLogDirsRequest::default().with_topics(Some(topics));
        let answer = client.ask(4, &request).await;
        let told = answer.results.iter().flat_map(|dir| &dir.topics);
        let told = told.flat_map(|one| &one.partitions);
        let told = told.map(|one| one.partition_index.to_string()).collect();
        note(answers, format!("DescribeLogDirs {asked:?}"), told);

        let topics = each(asked, |partitions| {
            let one = |index| PartitionData::default().with_partition_index(index);
            let all = partitions.into_iter().map(one).collect();
            TopicData::default().with_topic_name(name(THERE)).with_partitions(all)
        });
        let answer = client.ask(2, &DescribeQuorumRequest::default().with_topics(topics)).await;
        let told = answer.topics.iter().flat_map(|one| &one.partitions);
        let told = told.map(|one| format!("({} {})", one.partition_index, one.error_code));
        let told = [vec![answer.error_code.to_string()], told.collect()].concat();
        note(answers, format!("DescribeQuorum {asked:?}"), told);

        let topics = each(asked, |partitions| {
            TopicPartitions::default().with_topic(name(THERE)).with_partitions(partitions)
        });
        let request = ElectLeadersRequest::default().with_topic_partitions(Some(topics));
        let answer = client.ask(2, &request.with_timeout_ms(30_000)).await;
        let told = answer.replica_election_results.iter().flat_map(|one| &one.partition_result);
        let told = told.map(|one| format!("({} {})", one.partition_id, one.error_code));
        note(answers, format!("ElectLeaders {asked:?}"), told.collect());

        let topics = each(asked, |partitions| {
            let one = AlterReplicaLogDirTopic::default().with_name(name(THERE));
            one.with_partitions(partitions)
        });
        let dir = AlterReplicaLogDir::default().with_path(text("/not/there")).with_topics(topics);
        let request = AlterReplicaLogDirsRequest::default().with_dirs(vec![dir]);
        let answer = client.ask(2, &request).await;
        let told = answer.results.iter().flat_map(|one| &one.partitions);
        let told = told.map(|one| format!("({} {})", one.partition_index, one.error_code));
        note(answers, format!("AlterReplicaLogDirs {asked:?}"), told.collect());

        let topics = each(asked, |partitions| {
            let one = |index| {
                let one = ReassignablePartition::default().with_partition_index(index);
                one.with_replicas(Some(vec![BrokerId(1)]))
            };
            let all = partitions.into_iter().map(one).collect();
            ReassignableTopic::default().with_name(name(THERE)).with_partitions(all)
        });
        let request = AlterPartitionReassignmentsRequest::default().with_topics(topics);
        let answer = client.ask(0, &request.with_timeout_ms(30_000)).await;
        let told = answer.responses.iter().flat_map(|one| &one.partitions);
        let told = told.map(|one| format!("({} {})", one.partition_index, one.error_code));
        let told = [vec![answer.error_code.to_string()], told.collect()].concat();
        note(answers, format!("AlterPartitionReassignments {asked:?}"), told);

        let topics = each(asked, |partitions| {
            let one = |index| OffsetForLeaderPartition::default().with_partition(index);
            let all = partitions.into_iter().map(|index| one(index).with_leader_epoch(0));
            OffsetForLeaderTopic::default().with_topic(name(THERE)).with_partitions(all.collect())
        });
        let request = OffsetForLeaderEpochRequest::default().with_topics(topics);
        let answer = client.ask(4, &request.with_replica_id(BrokerId(-1))).await;
        let told = answer.topics.iter().flat_map(|one| &one.partitions);
        let told = told.map(|one| format!("({} {})", one.partition, one.error_code));
        note(answers, format!("OffsetForLeaderEpoch {asked:?}"), told.collect());
    }
}

/// Waits until the partitions have leaders and take records.
async fn warm_up(client: &mut Client) {
    for index in 0..3 {
        let one = PartitionProduceData::default().with_index(index);
        let one = one.with_records(Some(batch(&["a"])));
        let topic = TopicProduceData::default().with_name(name(THERE));
        let topic = topic.with_partition_data(vec![one]);
        let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000);
        let request = request.with_topic_data(vec![topic]);
        while client.ask(9, &request).await.responses[0].partition_responses[0].error_code != 0 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

async fn of_records(client: &mut Client, answers: &mut Answers) {
    for asked in ASKED {
        // A topic may be named once in a request to produce: Kafka's own reader refuses others.
        if let [partitions] = asked {
            let one = |index: &i32| {
                let one = PartitionProduceData::default().with_index(*index);
                one.with_records(Some(batch(&["a"])))
            };
            let topic = TopicProduceData::default().with_name(name(THERE));
            let topic = topic.with_partition_data(partitions.iter().map(one).collect());
            let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000);
            let answer = client.try_ask(9, &request.with_topic_data(vec![topic])).await;
            let Some(answer) = &answer else {
                note(answers, format!("Produce {asked:?}"), vec!["closed".to_owned()]);
                continue;
            };
            let told = answer.responses.iter().flat_map(|one| &one.partition_responses);
            let told = told.map(|one| format!("({} {})", one.index, one.error_code));
            note(answers, format!("Produce {asked:?}"), told.collect());
        }
    }
    for asked in ASKED {
        let topics = each(asked, |partitions| {
            let one = |index| FetchPartition::default().with_partition(index);
            let all = partitions.into_iter().map(|index| one(index).with_partition_max_bytes(100));
            FetchTopic::default().with_topic(name(THERE)).with_partitions(all.collect())
        });
        let request = FetchRequest::default().with_max_bytes(1000).with_topics(topics);
        let answer = client.ask(12, &request).await;
        let told = answer.responses.iter().flat_map(|one| &one.partitions);
        let told = told.map(|one| format!("({} {})", one.partition_index, one.error_code));
        note(answers, format!("Fetch {asked:?}"), told.collect());
    }
}

/// What is told of a partition whose records cannot be had.
async fn out_of_range(client: &mut Client, answers: &mut Answers) {
    for offset in [-1, 0, 99] {
        for version in [4, 12] {
            let asked = FetchPartition::default().with_fetch_offset(offset).with_partition(2);
            let topic = FetchTopic::default().with_topic(name(THERE)).with_partitions(vec![asked]);
            let request = FetchRequest::default().with_max_bytes(1000).with_topics(vec![topic]);
            let answer = client.ask(version, &request).await;
            let one = &answer.responses[0].partitions[0];
            let told = format!(
                "error {} ends {} {} {}",
                one.error_code, one.high_watermark, one.last_stable_offset, one.log_start_offset
            );
            note(answers, format!("Fetch at {offset}, version {version}"), vec![told]);
        }
    }
}

/// What a group shows before its members know what they have, and then.
async fn described_group(client: &mut Client, answers: &mut Answers) {
    let group = text("repetitions-described");
    let joined = join(client, &group, "other", b"metadata").await;
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(Bytes::from_static(b"assigned"));
    let sync = SyncGroupRequest::default()
        .with_group_id(group.clone().into())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(vec![assignment]);
    for step in ["joined", "synced"] {
        if step == "synced" {
            assert_eq!(client.ask(3, &sync).await.error_code, 0);
        }
        let request = DescribeGroupsRequest::default().with_groups(vec![group.clone().into()]);
        let answer = client.ask(5, &request).await;
        let one = &answer.groups[0];
        let of_member = one
            .members
            .iter()
            .map(|member| format!("{:?} {:?}", member.member_metadata, member.member_assignment));
        let of_group = [&one.group_state, &one.protocol_type, &one.protocol_data]
            .map(|one| format!("{one:?}"));
        let told = of_group.into_iter().chain(of_member).collect();
        note(answers, format!("DescribeGroups, {step}"), told);
    }
}

async fn of_groups(client: &mut Client, answers: &mut Answers) {
    let group = || text("repetitions").into();
    for asked in ASKED {
        let topics = each(asked, |partitions| {
            let one = |index| OffsetDeleteRequestPartition::default().with_partition_index(index);
            let all = partitions.into_iter().map(one).collect();
            OffsetDeleteRequestTopic::default().with_name(name(THERE)).with_partitions(all)
        });
        let request = OffsetDeleteRequest::default().with_group_id(group()).with_topics(topics);
        let answer = client.ask(0, &request).await;
        let told = answer.topics.iter().flat_map(|one| &one.partitions);
        let told = told.map(|one| format!("({} {})", one.partition_index, one.error_code));
        let told = [vec![answer.error_code.to_string()], told.collect()].concat();
        note(answers, format!("OffsetDelete {asked:?}"), told);
    }
    for ids in [&["a"][..], &["a", "a"], &["", ""], &[]] {
        let members = ids.iter().map(|id| MemberIdentity::default().with_member_id(text(id)));
        let request =
            LeaveGroupRequest::default().with_group_id(group()).with_members(members.collect());
        let answer = client.ask(5, &request).await;
        let told = answer.members.iter();
        let told = told.map(|one| format!("({:?} {})", one.member_id.as_str(), one.error_code));
        let told = [vec![answer.error_code.to_string()], told.collect()].concat();
        note(answers, format!("LeaveGroup {ids:?}"), told);
    }
}

/// Nothing on purpose.
fn differing(_: &str, _: &str) -> Option<&'static str> {
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_twice_is_answered_as_kafka_answers_it() {
    let mut judged = Judged::connect().await;
    let mut answers = Vec::new();
    let client = &mut judged.client;
    make_topic_of_three(client, THERE).await;
    warm_up(client).await;
    of_records(client, &mut answers).await;
    described(client, &mut answers).await;
    of_partitions(client, &mut answers).await;
    out_of_range(client, &mut answers).await;
    of_groups(client, &mut answers).await;
    described_group(client, &mut answers).await;
    judged.end("repetitions.txt", &answers, differing).await;
}
