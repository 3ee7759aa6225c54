//! Every string of every flexible request, at the most bytes that Kafka takes and above.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::alter_configs_request as alter;
use kafka_protocol::messages::alter_partition_reassignments_request::ReassignableTopic;
use kafka_protocol::messages::alter_replica_log_dirs_request::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic,
};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::delete_records_request::DeleteRecordsTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_quorum_request::TopicData;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::fetch_request::{FetchTopic, ForgottenTopic};
use kafka_protocol::messages::incremental_alter_configs_request as incremental;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::ListOffsetsTopic;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderTopic;
use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, Request, StrBytes};

use super::*;
use crate::broker::versions::{self, TABLE};

/// A string that can be found again: three bytes, other ones in each place.
fn text(place: u8) -> StrBytes {
    StrBytes::from_string(format!("<{}>", char::from(b'a' + place)))
}

#[expect(clippy::unnecessary_wraps, reason = "as the fields have it")]
fn some(place: u8) -> Option<StrBytes> {
    Some(text(place))
}

/// A request of one version with all its strings set, and how it is read.
struct Case {
    api: Api,
    version: i16,
    body: Vec<u8>,
    read: fn(Api, i16, Bytes) -> Result<(), String>,
}

fn case<R: Request + Encodable + Decodable>(version: i16, request: &R) -> Case {
    let mut body = BytesMut::new();
    request.encode(&mut body, version).unwrap();
    let api = versions::of_key(R::KEY).unwrap().api;
    Case { api, version, body: body.to_vec(), read: |a, v, b| read::<R>(a, v, b).map(|_| ()) }
}

fn mixed<R: Request + Encodable + Decodable + Strings>(version: i16, request: &R) -> Case {
    let read: fn(Api, i16, Bytes) -> Result<(), String> =
        |api, version, body| read::<R>(api, version, body).and_then(|request| request.judge());
    Case { read, ..case(version, request) }
}

fn of_groups() -> Vec<Case> {
    let long = Bytes::from(vec![0; 2 * MOST]);
    let partition = OffsetCommitRequestPartition::default().with_committed_metadata(some(3));
    let topic = OffsetCommitRequestTopic::default().with_name(text(4).into());
    let commit = OffsetCommitRequest::default()
        .with_group_id(text(0).into())
        .with_member_id(text(1))
        .with_group_instance_id(some(2))
        .with_topics(vec![topic.with_partitions(vec![partition])]);
    let topics = vec![OffsetFetchRequestTopic::default().with_name(text(1).into())];
    let fetch = OffsetFetchRequest::default().with_group_id(text(0).into());
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(text(0).into())
        .with_topics(Some(vec![OffsetFetchRequestTopics::default().with_name(text(1).into())]));
    let protocol =
        JoinGroupRequestProtocol::default().with_name(text(5)).with_metadata(long.clone());
    let join = JoinGroupRequest::default()
        .with_group_id(text(0).into())
        .with_member_id(text(1))
        .with_group_instance_id(some(2))
        .with_protocol_type(text(3))
        .with_reason(some(4))
        .with_protocols(vec![protocol]);
    let assignment =
        SyncGroupRequestAssignment::default().with_member_id(text(5)).with_assignment(long);
    let sync = SyncGroupRequest::default()
        .with_group_id(text(0).into())
        .with_member_id(text(1))
        .with_group_instance_id(some(2))
        .with_protocol_type(some(3))
        .with_protocol_name(some(4))
        .with_assignments(vec![assignment]);
    let heartbeat = HeartbeatRequest::default()
        .with_group_id(text(0).into())
        .with_member_id(text(1))
        .with_group_instance_id(some(2));
    let member = MemberIdentity::default()
        .with_member_id(text(1))
        .with_group_instance_id(some(2))
        .with_reason(some(3));
    let leave =
        LeaveGroupRequest::default().with_group_id(text(0).into()).with_members(vec![member]);
    let named = vec![text(0).into(), text(1).into()];
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(0), text(1)]);
    vec![
        case(8, &commit),
        case(7, &fetch.with_topics(Some(topics))),
        case(8, &OffsetFetchRequest::default().with_groups(vec![group])),
        mixed(9, &join),
        mixed(5, &sync),
        case(4, &heartbeat),
        case(5, &leave),
        case(5, &DescribeGroupsRequest::default().with_groups(named.clone())),
        case(
            5,
            &ListGroupsRequest::default()
                .with_states_filter(vec![text(0)])
                .with_types_filter(vec![text(1)]),
        ),
        case(2, &DeleteGroupsRequest::default().with_groups_names(named)),
        case(3, &FindCoordinatorRequest::default().with_key(text(0))),
        case(4, &find),
    ]
}

fn of_topics() -> Vec<Case> {
    let produce = ProduceRequest::default()
        .with_transactional_id(Some(text(0).into()))
        .with_topic_data(vec![TopicProduceData::default().with_name(text(1).into())]);
    let fetch = FetchRequest::default()
        .with_topics(vec![FetchTopic::default().with_topic(text(0).into())])
        .with_forgotten_topics_data(vec![ForgottenTopic::default().with_topic(text(1).into())])
        .with_rack_id(text(2));
    let offsets = vec![ListOffsetsTopic::default().with_name(text(0).into())];
    let metadata = vec![MetadataRequestTopic::default().with_name(Some(text(0).into()))];
    let config = vec![CreatableTopicConfig::default().with_name(text(1)).with_value(some(2))];
    let create = CreatableTopic::default().with_name(text(0).into()).with_configs(config);
    let grow = CreatePartitionsTopic::default().with_name(text(0).into());
    let state = DeleteTopicState::default().with_name(Some(text(0).into()));
    let records = DeleteRecordsTopic::default().with_name(text(0).into());
    let epochs = vec![OffsetForLeaderTopic::default().with_topic(text(0).into())];
    let dirs = DescribableLogDirTopic::default().with_topic(text(0).into());
    vec![
        mixed(11, &produce),
        case(12, &fetch),
        case(8, &ListOffsetsRequest::default().with_topics(offsets)),
        case(12, &MetadataRequest::default().with_topics(Some(metadata))),
        case(7, &CreateTopicsRequest::default().with_topics(vec![create])),
        case(3, &CreatePartitionsRequest::default().with_topics(vec![grow])),
        case(5, &DeleteTopicsRequest::default().with_topic_names(vec![text(0).into()])),
        case(6, &DeleteTopicsRequest::default().with_topics(vec![state])),
        case(2, &DeleteRecordsRequest::default().with_topics(vec![records])),
        case(4, &OffsetForLeaderEpochRequest::default().with_topics(epochs)),
        case(4, &DescribeLogDirsRequest::default().with_topics(Some(vec![dirs]))),
    ]
}

fn of_the_rest() -> Vec<Case> {
    let keys = DescribeConfigsResource::default()
        .with_resource_name(text(0))
        .with_configuration_keys(Some(vec![text(1)]));
    let set = alter::AlterableConfig::default().with_name(text(1)).with_value(some(2));
    let set =
        alter::AlterConfigsResource::default().with_resource_name(text(0)).with_configs(vec![set]);
    let change = incremental::AlterableConfig::default().with_name(text(1)).with_value(some(2));
    let change = incremental::AlterConfigsResource::default()
        .with_resource_name(text(0))
        .with_configs(vec![change]);
    let acl = AclCreation::default()
        .with_resource_name(text(0))
        .with_principal(text(1))
        .with_host(text(2));
    let filter = DeleteAclsFilter::default()
        .with_resource_name_filter(some(0))
        .with_principal_filter(some(1))
        .with_host_filter(some(2));
    let acls = DescribeAclsRequest::default()
        .with_resource_name_filter(some(0))
        .with_principal_filter(some(1))
        .with_host_filter(some(2));
    let client = ApiVersionsRequest::default()
        .with_client_software_name(text(0))
        .with_client_software_version(text(1));
    let id = InitProducerIdRequest::default().with_transactional_id(Some(text(0).into()));
    vec![
        case(4, &DescribeConfigsRequest::default().with_resources(vec![keys])),
        case(2, &AlterConfigsRequest::default().with_resources(vec![set])),
        case(1, &IncrementalAlterConfigsRequest::default().with_resources(vec![change])),
        case(3, &CreateAclsRequest::default().with_creations(vec![acl])),
        case(3, &DeleteAclsRequest::default().with_filters(vec![filter])),
        case(3, &acls),
        case(4, &client),
        case(4, &id),
    ]
}

fn of_replicas() -> Vec<Case> {
    let moved = AlterReplicaLogDirTopic::default().with_name(text(1).into());
    let moved = AlterReplicaLogDir::default().with_path(text(0)).with_topics(vec![moved]);
    let elect = TopicPartitions::default().with_topic(text(0).into());
    let assign = ReassignableTopic::default().with_name(text(0).into());
    let list = ListPartitionReassignmentsTopics::default().with_name(text(0).into());
    let quorum = TopicData::default().with_topic_name(text(0).into());
    let topic = TopicRequest::default().with_name(text(0).into());
    let cursor = Cursor::default().with_topic_name(text(1).into());
    let described = DescribeTopicPartitionsRequest::default()
        .with_topics(vec![topic])
        .with_cursor(Some(cursor));
    vec![
        case(2, &AlterReplicaLogDirsRequest::default().with_dirs(vec![moved])),
        case(2, &ElectLeadersRequest::default().with_topic_partitions(Some(vec![elect]))),
        case(1, &AlterPartitionReassignmentsRequest::default().with_topics(vec![assign])),
        case(0, &ListPartitionReassignmentsRequest::default().with_topics(Some(vec![list]))),
        case(2, &DescribeQuorumRequest::default().with_topics(vec![quorum])),
        case(0, &described),
    ]
}

/// `count` as a varint.
fn varint(mut count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while count > 0x7f {
        out.put_u8(u8::try_from(count & 0x7f).unwrap() | 0x80);
        count >>= 7;
    }
    out.put_u8(u8::try_from(count).unwrap());
    out
}

#[test]
fn no_string_of_a_flexible_request_is_longer_than_kafka_takes() {
    let cases =
        of_groups().into_iter().chain(of_topics()).chain(of_the_rest()).chain(of_replicas());
    let cases: Vec<Case> = cases.collect();
    let flexible = TABLE.iter().filter(|row| row.key.request_header_version(row.max) >= 2);
    for row in flexible {
        // They have no strings.
        let none = matches!(row.api, Api::DescribeCluster | Api::ListConfigResources);
        assert!(none || cases.iter().any(|case| case.api == row.api), "{:?}", row.api);
    }
    let mut strings = 0;
    for Case { api, version, body, read } in cases {
        let places = (0..body.len())
            .filter(|at| matches!(body.get(*at..at + 4), Some([4, b'<', b'a'..=b'z', b'>'])));
        let places: Vec<usize> = places.collect();
        assert!(!places.is_empty(), "{api:?}");
        strings += places.len();
        for at in places {
            let with = |length: usize| {
                let (before, behind) = (&body[..at], &body[at + 4..]);
                let body = [before, &varint(length + 1), &vec![b'x'; length], behind].concat();
                read(api, version, body.into())
            };
            assert_eq!(with(MOST), Ok(()), "{api:?} at {at}");
            assert_eq!(with(MOST + 1), Err(too_long(MOST + 1)), "{api:?} at {at}");
        }
    }
    assert_eq!(strings, 81);
}
