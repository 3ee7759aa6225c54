//! What a request costs is linear in its bytes, and bounded: whatever it names, and however often.
//!
//! A table of requests, some 300 KB to a megabyte each, that name one thing again and again or
//! ever new ones. The program has to answer or refuse each of them soon, in little memory, and
//! whoever asks something small beside it must not wait.

use std::fmt::Display;

use bytes::BytesMut;
use kafka_protocol::messages::alter_configs_request::{
    AlterConfigsResource as Altered, AlterableConfig as AlteredConfig,
};
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_replica_log_dirs_request::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic,
};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::protocol::{Encodable, Request, StrBytes};

use super::*;

/// The partitions of the topic `p`, and the offsets of the group `g`.
const PARTITIONS: i32 = 9_999;
/// The group whose name is as long as a name may be.
const LONG: usize = 32_767;
/// How long an answer, or the end of the connection, may take. The program is not optimized here.
const LIMIT: Duration = Duration::from_secs(20);
/// What an answer takes for as long as it is built.
const MEMORY: u64 = 64 << 20;
/// A program that takes so much, or so long, is killed, before the machine has no more.
const TOO_MUCH: u64 = 1 << 30;
/// How long a small request may take beside it.
const BESIDE: Duration = Duration::from_secs(2);

fn text(text: impl Display) -> StrBytes {
    StrBytes::from_string(text.to_string())
}

/// So many of what is named by its number.
fn each<T>(count: i32, one: impl Fn(i32) -> T) -> Vec<T> {
    (0..count).map(one).collect()
}

fn frame<R: Request>(version: i16, request: &R) -> Bytes {
    let mut frame = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_client_id(Some(text("costs")));
    header.encode(&mut frame, R::header_version(version)).unwrap();
    request.encode(&mut frame, version).unwrap();
    frame.freeze()
}

fn commit(group: &str, partitions: Vec<i32>) -> Bytes {
    let one = |index| OffsetCommitRequestPartition::default().with_partition_index(index);
    let partitions = partitions.into_iter().map(one).collect();
    let topic =
        OffsetCommitRequestTopic::default().with_name(name("p")).with_partitions(partitions);
    let request = OffsetCommitRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    frame(8, &request)
}

fn join(group: &str, protocols: Vec<JoinGroupRequestProtocol>) -> JoinGroupRequest {
    JoinGroupRequest::default()
        .with_group_id(text(group).into())
        .with_session_timeout_ms(300_000)
        .with_rebalance_timeout_ms(300_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(protocols)
}

fn protocol(name: impl Display) -> JoinGroupRequestProtocol {
    JoinGroupRequestProtocol::default().with_name(text(name))
}

fn topics() -> Vec<(&'static str, Bytes)> {
    let named = |one: StrBytes| MetadataRequestTopic::default().with_name(Some(one.into()));
    let metadata = |topics: Vec<MetadataRequestTopic>| {
        let request = MetadataRequest::default().with_topics(Some(topics));
        frame(9, &request.with_allow_auto_topic_creation(false))
    };
    let resource = |kind: i8, name: StrBytes| {
        DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(name)
    };
    let configs = |resources| {
        let request = DescribeConfigsRequest::default().with_include_synonyms(true);
        frame(4, &request.with_resources(resources))
    };
    let described = |topics| {
        let request = DescribeTopicPartitionsRequest::default().with_topics(topics);
        frame(0, &request.with_response_partition_limit(2000))
    };
    let made = |n| {
        let one = CreatableTopic::default().with_name(name(&format!("made-{n}")));
        one.with_num_partitions(1).with_replication_factor(1)
    };
    let grown =
        |n| CreatePartitionsTopic::default().with_name(name(&format!("x{n}"))).with_count(2);
    let deleted = |n| DeleteTopicState::default().with_name(Some(name(&format!("x{n}"))));
    let mut all = vec![
        ("Metadata, one topic", metadata(each(60_000, |_| named(text("p"))))),
        ("Metadata, ever new topics", metadata(each(60_000, |n| named(text(n))))),
        ("DescribeConfigs, the broker", configs(each(100_000, |_| resource(4, text(""))))),
        ("DescribeConfigs, one topic", configs(each(100_000, |_| resource(2, text("p"))))),
        ("DescribeConfigs, ever new topics", configs(each(40_000, |n| resource(2, text(n))))),
        (
            "DescribeTopicPartitions, one topic",
            described(each(60_000, |_| TopicRequest::default().with_name(name("p")))),
        ),
        (
            "DescribeTopicPartitions, ever new topics",
            described(each(60_000, |n| TopicRequest::default().with_name(text(n).into()))),
        ),
        (
            "CreateTopics, ever new topics",
            frame(
                7,
                &CreateTopicsRequest::default()
                    .with_topics(each(30_000, made))
                    .with_validate_only(true),
            ),
        ),
        (
            "CreatePartitions, ever new topics",
            frame(3, &CreatePartitionsRequest::default().with_topics(each(40_000, grown))),
        ),
        (
            "DeleteTopics, ever new topics",
            frame(6, &DeleteTopicsRequest::default().with_topics(each(40_000, deleted))),
        ),
    ];
    all.extend(settings());
    all
}

fn settings() -> Vec<(&'static str, Bytes)> {
    let unset = |n| AlterableConfig::default().with_name(text(n)).with_config_operation(1);
    let list: Vec<String> = each(100_000, |n| n.to_string());
    let list = AlterableConfig::default()
        .with_name(text("cleanup.policy"))
        .with_value(Some(text(list.join(","))))
        .with_config_operation(2);
    let changed = |configs| {
        let resource = AlterConfigsResource::default().with_resource_type(2);
        let resource = resource.with_resource_name(text("p")).with_configs(configs);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        frame(1, &request.with_validate_only(true))
    };
    let unset_all = |n| AlteredConfig::default().with_name(text(n));
    let resource = Altered::default().with_resource_type(2).with_resource_name(text("p"));
    let resource = resource.with_configs(each(60_000, unset_all));
    let altered = AlterConfigsRequest::default().with_resources(vec![resource]);
    vec![
        ("IncrementalAlterConfigs, ever new settings", changed(each(60_000, unset))),
        ("IncrementalAlterConfigs, a long list", changed(vec![list])),
        ("AlterConfigs, ever new settings", frame(2, &altered.with_validate_only(true))),
    ]
}

fn records() -> Vec<(&'static str, Bytes)> {
    let asked = |_| FetchPartition::default().with_partition_max_bytes(0);
    let topic = FetchTopic::default().with_topic(name("t")).with_partitions(each(60_000, asked));
    let fetch = FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![topic]);
    let times = |timestamp| {
        let one = |_| ListOffsetsPartition::default().with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default().with_name(name("t"));
        let topic = topic.with_partitions(each(40_000, one));
        frame(7, &ListOffsetsRequest::default().with_topics(vec![topic]))
    };
    let epochs = |_| OffsetForLeaderPartition::default().with_leader_epoch(0);
    let epochs =
        OffsetForLeaderTopic::default().with_topic(name("t")).with_partitions(each(40_000, epochs));
    let cut = DeleteRecordsTopic::default()
        .with_name(name("t"))
        .with_partitions(each(40_000, |_| DeleteRecordsPartition::default()));
    let cut = DeleteRecordsRequest::default().with_topics(vec![cut]).with_timeout_ms(1000);
    let quorum = |topic: &str| {
        let one = TopicData::default().with_topic_name(name(topic));
        let one = one.with_partitions(each(60_000, |_| PartitionData::default()));
        frame(2, &DescribeQuorumRequest::default().with_topics(vec![one]))
    };
    let sizes = |_| DescribableLogDirTopic::default().with_topic(name("p"));
    let sizes = DescribeLogDirsRequest::default().with_topics(Some(each(60_000, sizes)));
    let elected =
        TopicPartitions::default().with_topic(name("p")).with_partitions(vec![0; 100_000]);
    let elected = ElectLeadersRequest::default().with_topic_partitions(Some(vec![elected]));
    let moved =
        AlterReplicaLogDirTopic::default().with_name(name("p")).with_partitions(vec![0; 100_000]);
    let moved = AlterReplicaLogDir::default().with_path(text("/x")).with_topics(vec![moved]);
    let assigned = |_| ReassignablePartition::default().with_replicas(Some(vec![BrokerId(1)]));
    let assigned =
        ReassignableTopic::default().with_name(name("p")).with_partitions(each(40_000, assigned));
    let assigned = AlterPartitionReassignmentsRequest::default().with_topics(vec![assigned]);
    let acls = CreateAclsRequest::default();
    let created = acls.with_creations(each(30_000, |_| AclCreation::default()));
    let deleted = DeleteAclsRequest::default();
    let deleted = deleted.with_filters(each(60_000, |_| DeleteAclsFilter::default()));
    vec![
        ("Fetch, one partition", frame(4, &fetch)),
        ("ListOffsets, the end of one partition", times(-1)),
        ("ListOffsets, a time in one partition", times(1)),
        (
            "OffsetForLeaderEpoch, one partition",
            frame(4, &OffsetForLeaderEpochRequest::default().with_topics(vec![epochs])),
        ),
        ("DeleteRecords, one partition", frame(2, &cut)),
        ("DescribeQuorum, no such topic", quorum("p")),
        ("DescribeQuorum, that of the metadata", quorum("__cluster_metadata")),
        ("DescribeLogDirs, one topic", frame(4, &sizes)),
        ("ElectLeaders, one partition", frame(2, &elected)),
        (
            "AlterReplicaLogDirs, one partition",
            frame(2, &AlterReplicaLogDirsRequest::default().with_dirs(vec![moved])),
        ),
        ("AlterPartitionReassignments, one partition", frame(0, &assigned)),
        ("CreateAcls", frame(3, &created)),
        ("DeleteAcls", frame(3, &deleted)),
    ]
}

fn groups() -> Vec<(&'static str, Bytes)> {
    let long = "g".repeat(LONG);
    let all = OffsetFetchRequestGroup::default().with_group_id(text("g").into()).with_topics(None);
    let one = |count| {
        let topic = OffsetFetchRequestTopics::default().with_name(name("p"));
        let topic = topic.with_partition_indexes(vec![0; count]);
        all.clone().with_topics(Some(vec![topic]))
    };
    let offsets = |groups| frame(8, &OffsetFetchRequest::default().with_groups(groups));
    let deleted = OffsetDeleteRequestTopic::default()
        .with_name(name("p"))
        .with_partitions(each(60_000, |_| OffsetDeleteRequestPartition::default()));
    let deleted =
        OffsetDeleteRequest::default().with_group_id(text("g").into()).with_topics(vec![deleted]);
    let left = |n| MemberIdentity::default().with_member_id(text(n));
    let left = LeaveGroupRequest::default()
        .with_group_id(text("m").into())
        .with_members(each(60_000, left));
    let given = |n| SyncGroupRequestAssignment::default().with_member_id(text(n));
    let synced = SyncGroupRequest::default()
        .with_group_id(text("m").into())
        .with_assignments(each(60_000, given));
    let described = |groups| frame(5, &DescribeGroupsRequest::default().with_groups(groups));
    let found = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(""); 300_000]);
    vec![
        ("OffsetCommit, one partition, a long name", commit(&long, vec![0; 30_000])),
        ("OffsetCommit, all partitions, a long name", commit(&long, each(PARTITIONS, |n| n))),
        ("OffsetFetch, all of one group", offsets(vec![all.clone(); 100_000])),
        ("OffsetFetch, one partition of one group", offsets(vec![one(1); 40_000])),
        ("OffsetFetch, one partition", offsets(vec![one(100_000)])),
        ("OffsetDelete, one partition", frame(0, &deleted)),
        ("DescribeGroups, one group", described(vec![text("g").into(); 100_000])),
        ("DescribeGroups, ever new groups", described(each(60_000, |n| text(n).into()))),
        ("FindCoordinator, no name", frame(4, &found)),
        (
            "DeleteGroups, ever new groups",
            frame(
                2,
                &DeleteGroupsRequest::default().with_groups_names(each(60_000, |n| text(n).into())),
            ),
        ),
        (
            "ListGroups, ever new states",
            frame(4, &ListGroupsRequest::default().with_states_filter(each(60_000, text))),
        ),
        ("LeaveGroup, ever new members", frame(5, &left)),
        ("SyncGroup, ever new members", frame(5, &synced)),
        ("JoinGroup, ever new protocols", frame(2, &join("many", each(30_000, protocol)))),
    ]
}

/// What came of a request, at most.
#[derive(Clone, Copy, Debug)]
struct Cost {
    time: Duration,
    memory: u64,
    /// How long a small request took beside it.
    beside: Duration,
}

impl Cost {
    fn is_bounded(self) -> bool {
        self.time < LIMIT && self.memory < MEMORY && self.beside < BESIDE
    }
}

/// Sends a frame, and reads its answer, or the end of the connection, without keeping it.
async fn ask(address: &str, frame: &[u8]) -> Option<usize> {
    let mut pipe = TcpStream::connect(address).await.ok()?;
    pipe.set_nodelay(true).ok()?;
    pipe.write_i32(i32::try_from(frame.len()).unwrap()).await.ok()?;
    pipe.write_all(frame).await.ok()?;
    let length = usize::try_from(pipe.read_i32().await.ok()?).ok()?;
    let (mut left, mut some) = (length, vec![0; 64 << 10]);
    while left > 0 {
        let most = left.min(some.len());
        match pipe.read(&mut some[..most]).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => left -= count,
        }
    }
    Some(length)
}

async fn health(port: u16) {
    let mut pipe = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    pipe.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    pipe.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.is_empty());
}

/// Asks small things again and again until `done`; the longest that one of them took.
async fn ask_beside(
    address: String,
    port: u16,
    done: tokio_util::sync::CancellationToken,
) -> Duration {
    let heartbeat = HeartbeatRequest::default().with_group_id(text("m").into());
    let small = [frame(4, &heartbeat), frame(8, &produce("t", -1, batch(&["a"])))];
    let mut slowest = Duration::ZERO;
    while !done.is_cancelled() {
        for frame in &small {
            let began = Instant::now();
            ask(&address, frame).await;
            slowest = slowest.max(began.elapsed());
        }
        let began = Instant::now();
        health(port).await;
        slowest = slowest.max(began.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    slowest
}

/// What a request costs that is asked so often, each time over a connection of its own.
async fn judge(sluice: &mut Sluice, frames: &[Bytes], waits: bool) -> Cost {
    let address = sluice.bootstrap();
    let before = sluice.resident_memory();
    let done = tokio_util::sync::CancellationToken::new();
    let beside = tokio::spawn(ask_beside(address.clone(), sluice.metrics_port(), done.clone()));
    let began = Instant::now();
    let asked = async {
        for frame in frames {
            let asked = ask(&address, frame);
            if waits {
                asked.await;
            } else {
                // Nobody waits for its answer.
                let _ = timeout(Duration::from_millis(200), asked).await;
            }
        }
    };
    let (mut most, mut asked) = (before, std::pin::pin!(asked));
    while timeout(Duration::from_millis(5), &mut asked).await.is_err() {
        most = most.max(sluice.resident_memory());
        if most > before + TOO_MUCH || began.elapsed() > LIMIT {
            break;
        }
    }
    let time = began.elapsed();
    if most > before + TOO_MUCH || time > LIMIT {
        tokio::task::block_in_place(|| sluice.kill());
        panic!("it took {time:?} and {} MB", (most - before) >> 20);
    }
    done.cancel();
    let beside = beside.await.unwrap();
    Cost { time, memory: most - before, beside }
}

async fn prepare(address: &str) {
    let mut client = Client::connect(address).await;
    let made = |topic: &str, partitions| {
        let one = CreatableTopic::default().with_name(name(topic));
        one.with_num_partitions(partitions).with_replication_factor(1)
    };
    let request = CreateTopicsRequest::default()
        .with_topics(vec![made("t", 1), made("p", PARTITIONS)])
        .with_timeout_ms(60_000);
    let answer = client.ask(7, &request).await;
    assert!(answer.topics.iter().all(|topic| topic.error_code == 0), "{answer:?}");
    assert_eq!(outcome(&mut client, &produce("t", -1, batch(&["a"]))).await.0, 0);
    ask(address, &commit("g", each(PARTITIONS, |n| n))).await.unwrap();
    let all = OffsetFetchRequest::default().with_group_id(text("g").into()).with_topics(None);
    let committed = client.ask(7, &all).await.topics[0].partitions.len();
    assert_eq!(committed, usize::try_from(PARTITIONS).unwrap());
    let mut member = join("m", vec![protocol("range")]);
    member.rebalance_timeout_ms = 1000;
    assert_eq!(client.ask(2, &member).await.error_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_costs_is_bounded_whatever_it_names() {
    let mut sluice = Sluice::new();
    tokio::task::block_in_place(|| sluice.start());
    prepare(&sluice.bootstrap()).await;
    let mut unbounded = Vec::new();
    for (what, frame) in topics().into_iter().chain(records()).chain(groups()) {
        let bytes = frame.len();
        let cost = judge(&mut sluice, &[frame], true).await;
        say(&format!("{what}, {bytes} bytes: {cost:?}"));
        if !cost.is_bounded() {
            unbounded.push((what, cost));
        }
    }
    // What members bring is kept, and counted over all groups.
    let large = Bytes::from(vec![0; 1 << 20]);
    let joins = each(120, |n| {
        frame(2, &join(&format!("large-{n}"), vec![protocol("x").with_metadata(large.clone())]))
    });
    let cost = judge(&mut sluice, &joins, false).await;
    say(&format!("JoinGroup, ever new groups: {cost:?}"));
    if cost.memory >= MEMORY || cost.beside >= BESIDE {
        unbounded.push(("JoinGroup, ever new groups", cost));
    }
    assert!(unbounded.is_empty(), "{unbounded:#?}");
    tokio::task::block_in_place(|| sluice.stop());
}

/// A commit that is too large is refused as Kafka refuses it, and of two of one partition the last
/// counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_refused_when_its_records_would_be_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let new = NewTopic { name: "p".to_owned(), partitions: 1000, config: [].into(), owner: None };
    node.log.create_topic(new).await.unwrap();
    let mut client = Client::connect(&node.address).await;
    let too_large = ResponseError::InvalidCommitOffsetSize.code();
    for (group, partitions, expected) in [
        ("g".repeat(LONG), vec![0; 1000], 0),
        ("g".repeat(LONG), each(100, |n| n), 0),
        ("g".repeat(LONG), each(1000, |n| n), too_large),
        ("g".to_owned(), each(1000, |n| n), 0),
    ] {
        let last = partitions[partitions.len() - 1];
        let one = |(n, index): (usize, &i32)| {
            let one = OffsetCommitRequestPartition::default().with_partition_index(*index);
            one.with_committed_offset(i64::try_from(n).unwrap())
        };
        let asked = partitions.iter().enumerate().map(one).collect();
        let topic = OffsetCommitRequestTopic::default().with_name(name("p")).with_partitions(asked);
        let request = OffsetCommitRequest::default()
            .with_group_id(text(&group).into())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        let answer = client.ask(8, &request).await;
        let told = &answer.topics[0].partitions;
        assert_eq!(told.len(), partitions.len());
        assert!(told.iter().all(|one| one.error_code == expected), "{told:?}");
        let topic = OffsetFetchRequestTopics::default().with_name(name("p"));
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(text(&group).into())
            .with_topics(Some(vec![topic.with_partition_indexes(vec![last])]));
        let found = client.ask(8, &OffsetFetchRequest::default().with_groups(vec![asked])).await;
        let found = found.groups[0].topics[0].partitions[0].committed_offset;
        let written = i64::try_from(partitions.len() - 1).unwrap();
        assert_eq!(found, if expected == 0 { written } else { -1 });
    }
    node.stop().await;
}
