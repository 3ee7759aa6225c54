//! Requests that name what is there and what is not, in each combination: which error stands
//! above which, and what a node of one says of replicas, leaders and directories.

use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_replica_log_dirs_request::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic,
};
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::describe_topic_partitions_response::{
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;

use super::{Answers, Judged, join, make_topic_of_three, text};
use crate::harness::wire::{Client, name};

/// The topic that is there, with three partitions, and one that is not.
const THERE: &str = "requests-there";
const ABSENT: &str = "requests-absent";

/// Partitions of topics, or all there are.
type Partitions = Option<Vec<(&'static str, Vec<i32>)>>;

/// What is asked for, with a name for it.
fn asked_partitions() -> [(&'static str, Partitions); 6] {
    [
        ("all", None),
        ("none", Some(vec![])),
        ("there", Some(vec![(THERE, vec![0, 2])])),
        ("beyond", Some(vec![(THERE, vec![0, 9, -1])])),
        ("absent", Some(vec![(ABSENT, vec![0])])),
        ("no partition", Some(vec![(THERE, vec![])])),
    ]
}

/// A member of a group of its own: member id and generation.
async fn member(client: &mut Client, group: &str, protocol_type: &str) -> (String, i32) {
    let joined = join(client, group, protocol_type, b"").await;
    let sync = SyncGroupRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone());
    assert_eq!(client.ask(3, &sync).await.error_code, 0);
    (joined.member_id.to_string(), joined.generation_id)
}

/// What each partition of a commit is answered, by the state of the group and who commits.
async fn offset_commits(client: &mut Client, answers: &mut Answers) {
    let (id, generation) = member(client, "requests-live", "consumer").await;
    let places: [&[(&str, i32, bool)]; 8] = [
        &[(THERE, 0, true)],
        &[(THERE, 9, true)],
        &[(ABSENT, 0, true)],
        &[(THERE, 0, false)],
        &[(ABSENT, 0, false)],
        &[(THERE, 0, true), (THERE, 9, true), (ABSENT, 0, true), (THERE, 1, false)],
        &[(THERE, 1, false), (ABSENT, 0, true)],
        &[],
    ];
    let senders = [
        ("requests-new", "", -1),
        ("requests-none", "", 0),
        ("requests-none", "x", 5),
        ("requests-none", "x", -1),
        ("", "", -1),
        ("requests-live", id.as_str(), generation),
        ("requests-live", id.as_str(), generation + 1),
        ("requests-live", id.as_str(), -1),
        ("requests-live", "x", generation),
        ("requests-live", "x", -1),
        ("requests-live", "", generation),
        ("requests-live", "", -1),
    ];
    for (group, sender, at) in senders {
        for (number, places) in places.iter().enumerate() {
            // Whether a group is there is part of the question.
            let group = if group == "requests-new" || group == "requests-none" {
                format!("{group}-{number}-{at}-{sender}")
            } else {
                group.to_owned()
            };
            let topics = places.iter().map(|(topic, partition, short)| {
                let metadata = if *short { "m".to_owned() } else { "m".repeat(5000) };
                let partition = OffsetCommitRequestPartition::default()
                    .with_partition_index(*partition)
                    .with_committed_offset(1)
                    .with_committed_metadata(Some(text(&metadata)));
                OffsetCommitRequestTopic::default()
                    .with_name(name(topic))
                    .with_partitions(vec![partition])
            });
            let request = OffsetCommitRequest::default()
                .with_group_id(text(&group).into())
                .with_generation_id_or_member_epoch(at)
                .with_member_id(text(sender))
                .with_topics(topics.collect());
            let answer = client.ask(8, &request).await;
            let mut codes: Vec<(String, i32, i16)> = answer
                .topics
                .iter()
                .flat_map(|topic| {
                    topic.partitions.iter().map(|partition| {
                        (topic.name.to_string(), partition.partition_index, partition.error_code)
                    })
                })
                .collect();
            codes.sort();
            let who = if sender.len() > 1 { "member" } else { sender };
            let asked: Vec<String> = places
                .iter()
                .map(|(topic, partition, short)| {
                    format!("{topic}-{partition}{}", if *short { "" } else { "(long)" })
                })
                .collect();
            let group = group.split("-new-").next().unwrap().split("-none-").next().unwrap();
            answers.push((
                format!(
                    "OffsetCommit {group}.{number} {who:?} {:+} {}",
                    if at == generation { 0 } else { at.min(7) },
                    asked.join(" ")
                ),
                format!("{codes:?}"),
            ));
        }
    }
}

async fn elections(client: &mut Client, answers: &mut Answers) {
    let asked = asked_partitions();
    for version in 0..=2 {
        for kind in [0_i8, 1, 2, -1] {
            if version == 0 && kind != 0 {
                continue;
            }
            for (what, topics) in &asked {
                let topics = topics.as_ref().map(|topics| {
                    let topics = topics.iter().map(|(topic, partitions)| {
                        TopicPartitions::default()
                            .with_topic(name(topic))
                            .with_partitions(partitions.clone())
                    });
                    topics.collect()
                });
                let request = ElectLeadersRequest::default()
                    .with_election_type(kind)
                    .with_topic_partitions(topics);
                let question = format!("ElectLeaders {version} {kind} {what}");
                let Some(answer) = client.try_ask(version, &request).await else {
                    answers.push((question, "closed".to_owned()));
                    continue;
                };
                let mut codes: Vec<_> = answer
                    .replica_election_results
                    .iter()
                    .filter(|topic| topic.topic.starts_with("requests-"))
                    .flat_map(|topic| {
                        topic.partition_result.iter().map(|partition| {
                            (topic.topic.to_string(), partition.partition_id, partition.error_code)
                        })
                    })
                    .collect();
                codes.sort();
                answers.push((question, format!("{} {codes:?}", answer.error_code)));
            }
        }
    }
}

async fn directories(client: &mut Client, answers: &mut Answers) {
    let asked = DescribeLogDirsRequest::default().with_topics(None);
    let own = client.ask(4, &asked).await.results[0].log_dir.to_string();
    for (what, dir) in
        [("own", own.as_str()), ("absent", "/absent"), ("empty", ""), ("relative", "elsewhere")]
    {
        for (topic, partition) in [(THERE, 0), (THERE, 9), (ABSENT, 0)] {
            let moved = AlterReplicaLogDirTopic::default()
                .with_name(name(topic))
                .with_partitions(vec![partition]);
            let dir = AlterReplicaLogDir::default().with_path(text(dir)).with_topics(vec![moved]);
            let request = AlterReplicaLogDirsRequest::default().with_dirs(vec![dir]);
            for version in [1, 2] {
                let answer = client.ask(version, &request).await;
                let code = answer.results[0].partitions[0].error_code;
                let question = format!("AlterReplicaLogDirs {version} {what} {topic}-{partition}");
                answers.push((question, code.to_string()));
            }
        }
    }
}

async fn quorum(client: &mut Client, answers: &mut Answers) {
    for (topic, partitions) in [
        ("__cluster_metadata", vec![0]),
        ("__cluster_metadata", vec![1]),
        ("__cluster_metadata", vec![0, 1]),
        ("__cluster_metadata", vec![]),
        (THERE, vec![0]),
        (ABSENT, vec![0]),
        ("", vec![]),
    ] {
        for version in 0..=2 {
            let parts =
                partitions.iter().map(|one| PartitionData::default().with_partition_index(*one));
            let data =
                TopicData::default().with_topic_name(name(topic)).with_partitions(parts.collect());
            let topics = if topic.is_empty() { vec![] } else { vec![data] };
            let request = DescribeQuorumRequest::default().with_topics(topics);
            let answer = client.ask(version, &request).await;
            let parts: Vec<_> = answer
                .topics
                .iter()
                .flat_map(|topic| {
                    topic.partitions.iter().map(|one| {
                        let voters: Vec<i32> =
                            one.current_voters.iter().map(|voter| voter.replica_id.0).collect();
                        (
                            topic.topic_name.to_string(),
                            one.partition_index,
                            one.error_code,
                            one.leader_id.0,
                            one.leader_epoch >= 0,
                            one.high_watermark > 0,
                            voters,
                            one.observers.len(),
                        )
                    })
                })
                .collect();
            let nodes: Vec<_> =
                answer.nodes.iter().map(|node| (node.node_id.0, node.listeners.len())).collect();
            answers.push((
                format!("DescribeQuorum {version} {topic} {partitions:?}"),
                format!("{} {parts:?} {nodes:?}", answer.error_code),
            ));
        }
    }
}

/// Topic and partition at which an answer goes on, as a client says it.
type Begin = Option<(&'static str, i32)>;

/// The topics, the limit and the begin of each question.
fn listings() -> impl Iterator<Item = (Vec<&'static str>, i32, Begin)> {
    let topics =
        [vec![THERE], vec![ABSENT], vec![THERE, ABSENT], vec![""], vec!["a b"], vec![THERE, THERE]];
    let begins = [
        None,
        Some((THERE, 0)),
        Some((THERE, 1)),
        Some((THERE, 3)),
        Some((THERE, 9)),
        Some((THERE, -1)),
        Some((ABSENT, 0)),
        Some(("requests-zzz", 0)),
        Some(("aaa", 0)),
    ];
    let all = topics.into_iter().flat_map(move |topics| {
        [2000, 1, 2, 3, 4, 0, -1].into_iter().flat_map(move |limit| {
            let topics = topics.clone();
            begins.into_iter().map(move |begin| (topics.clone(), limit, begin))
        })
    });
    all.filter(|(_, limit, begin)| [2000, 2].contains(limit) || begin.is_none())
}

async fn partitions(client: &mut Client, answers: &mut Answers) {
    for (topics, limit, begin) in listings() {
        let asked = topics.iter().map(|topic| TopicRequest::default().with_name(name(topic)));
        let cursor = begin.map(|(topic, partition)| {
            Cursor::default().with_topic_name(name(topic)).with_partition_index(partition)
        });
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(asked.collect())
            .with_response_partition_limit(limit)
            .with_cursor(cursor);
        let question = format!("DescribeTopicPartitions {topics:?} {limit} {begin:?}");
        let Some(answer) = client.try_ask(0, &request).await else {
            answers.push((question, "closed".to_owned()));
            continue;
        };
        let told: Vec<String> = answer.topics.iter().map(shown_topic).collect();
        let next = answer.next_cursor;
        let next = next.map(|next| (next.topic_name.to_string(), next.partition_index));
        answers.push((question, format!("[{}] {next:?}", told.join(", "))));
    }
}

/// The error, name, whether it has an id, whether it is internal, what may be done, and partitions.
fn shown_topic(topic: &DescribeTopicPartitionsResponseTopic) -> String {
    let name = topic.name.as_ref().map(|name| name.to_string());
    let partitions: Vec<String> = topic.partitions.iter().map(shown_partition).collect();
    format!(
        "({}, {name:?}, {}, {}, {}, [{}])",
        topic.error_code,
        topic.topic_id.is_nil(),
        topic.is_internal,
        topic.topic_authorized_operations,
        partitions.join(", ")
    )
}

/// The number, error, leader, replicas, those in sync, eligible, last known to be, and offline.
fn shown_partition(one: &DescribeTopicPartitionsResponsePartition) -> String {
    let nodes = |nodes: &Vec<BrokerId>| -> Vec<i32> { nodes.iter().map(|node| node.0).collect() };
    format!(
        "({}, {}, {}, {:?}, {:?}, {:?}, {:?}, {:?})",
        one.partition_index,
        one.error_code,
        one.leader_id.0,
        nodes(&one.replica_nodes),
        nodes(&one.isr_nodes),
        one.eligible_leader_replicas.as_ref().map(nodes),
        one.last_known_elr.as_ref().map(nodes),
        nodes(&one.offline_replicas)
    )
}

async fn config_resources(client: &mut Client, answers: &mut Answers) {
    for (version, types) in [
        (0, vec![]),
        (1, vec![]),
        (1, vec![2]),
        (1, vec![4]),
        (1, vec![8]),
        (1, vec![16]),
        (1, vec![32]),
        (1, vec![4, 8]),
        (1, vec![4, 4]),
        (1, vec![0]),
        (1, vec![99]),
        (1, vec![-1]),
        (1, vec![4, 99]),
    ] {
        let request = ListConfigResourcesRequest::default().with_resource_types(types.clone());
        let answer = client.ask(version, &request).await;
        let mut told: Vec<_> = answer
            .config_resources
            .iter()
            .map(|one| (one.resource_type, one.resource_name.to_string()))
            // Which others there are depends on who asked before.
            .filter(|(kind, name)| *kind != 2 || name == THERE)
            // Groups without settings are listed too.
            .filter(|(kind, _)| *kind != 32)
            .collect();
        told.sort();
        answers.push((
            format!("ListConfigResources {version} {types:?}"),
            format!("{} {told:?}", answer.error_code),
        ));
    }
}

async fn reassignments(client: &mut Client, answers: &mut Answers) {
    let asked = asked_partitions();
    for (what, topics) in asked {
        let topics = topics.map(|topics| {
            let topics = topics.into_iter().map(|(topic, partitions)| {
                ListPartitionReassignmentsTopics::default()
                    .with_name(name(topic))
                    .with_partition_indexes(partitions)
            });
            topics.collect()
        });
        let request = ListPartitionReassignmentsRequest::default().with_topics(topics);
        let answer = client.ask(0, &request).await;
        let told = format!("{} {}", answer.error_code, answer.topics.len());
        answers.push((format!("ListPartitionReassignments {what}"), told));
    }
    let replicas: [(&str, Option<Vec<i32>>); 6] = [
        ("own", Some(vec![1])),
        ("cancelled", None),
        ("another", Some(vec![2])),
        ("twice", Some(vec![1, 1])),
        ("two", Some(vec![1, 2])),
        ("none", Some(vec![])),
    ];
    for (topic, partition) in [(THERE, 0), (THERE, 9), (ABSENT, 0)] {
        for (what, replicas) in &replicas {
            for (version, change) in [(0, true), (1, true), (1, false)] {
                let replicas = replicas.clone().map(|all| all.into_iter().map(BrokerId).collect());
                let asked = ReassignablePartition::default()
                    .with_partition_index(partition)
                    .with_replicas(replicas);
                let asked = ReassignableTopic::default()
                    .with_name(name(topic))
                    .with_partitions(vec![asked]);
                let request = AlterPartitionReassignmentsRequest::default()
                    .with_allow_replication_factor_change(change)
                    .with_topics(vec![asked]);
                let answer = client.ask(version, &request).await;
                let codes: Vec<i16> = answer
                    .responses
                    .iter()
                    .flat_map(|topic| topic.partitions.iter().map(|one| one.error_code))
                    .collect();
                answers.push((
                    format!(
                        "AlterPartitionReassignments {version} {change} {topic}-{partition} {what}"
                    ),
                    format!("{} {codes:?}", answer.error_code),
                ));
            }
        }
    }
}

/// Ids that a producer claims: whether it gets another, and its epoch.
async fn producer_ids(client: &mut Client, answers: &mut Answers) {
    let mut given = std::collections::HashSet::new();
    // Kafka takes a block of ids first.
    while client
        .ask(
            4,
            &InitProducerIdRequest::default()
                .with_transactional_id(None)
                .with_producer_id((-1).into())
                .with_producer_epoch(-1),
        )
        .await
        .error_code
        == 14
    {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    for version in 0..=4 {
        for transactional in [None, Some("")] {
            for (claimed, epoch) in
                [(-1, -1), (0, 0), (1, 3), (7, -1), (-1, 0), (-2, 5), (i64::MAX, i16::MAX), (3, -5)]
            {
                if version < 3 && (claimed, epoch) != (-1, -1) {
                    continue;
                }
                for timeout in [1, 0, -1, i32::MAX] {
                    let request = InitProducerIdRequest::default()
                        .with_transactional_id(transactional.map(|id| text(id).into()))
                        .with_transaction_timeout_ms(timeout)
                        .with_producer_id(claimed.into())
                        .with_producer_epoch(epoch);
                    let question = format!(
                        "InitProducerId {version} {transactional:?} {claimed}/{epoch} {timeout}"
                    );
                    let answer = client.ask(version, &request).await;
                    let new = given.insert(answer.producer_id.0) && answer.producer_id.0 != claimed;
                    let told = if answer.error_code == 0 {
                        format!("new {new} epoch {}", answer.producer_epoch)
                    } else {
                        format!(
                            "error {} {}/{}",
                            answer.error_code, answer.producer_id.0, answer.producer_epoch
                        )
                    };
                    answers.push((question, told));
                }
            }
        }
    }
}

/// A name without letters, over which Kafka falls: to us it is a name like any that is not valid.
fn differing(_: &str, kafkas: &str) -> Option<&'static str> {
    (kafkas == "[(-1, Some(\"\"), true, false, -2147483648, [])] None")
        .then_some("[(17, Some(\"\"), true, false, 3576, [])] None")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_judged_as_kafka_judges_it() {
    let mut judged = Judged::connect().await;
    let client = &mut judged.client;
    make_topic_of_three(client, THERE).await;
    let mut answers = Vec::new();
    offset_commits(client, &mut answers).await;
    elections(client, &mut answers).await;
    directories(client, &mut answers).await;
    quorum(client, &mut answers).await;
    partitions(client, &mut answers).await;
    config_resources(client, &mut answers).await;
    reassignments(client, &mut answers).await;
    producer_ids(client, &mut answers).await;
    judged.end("requests.txt", &answers, differing).await;
}
