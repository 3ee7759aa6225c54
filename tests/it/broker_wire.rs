//! The broker on the wire: the quirks of the protocol as raw bytes, and every version of
//! every API.

use bytes::{BufMut, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use sluice::log::NewTopic;
use tempfile::TempDir;

use crate::harness::node;
use crate::harness::wire::{Client, batch, fetch, name, outcome, produce};

/// A broker, and the folder it lives in.
struct Node {
    node: node::Node,
    _folder: TempDir,
}

impl Node {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { node: node::Node::start(folder.path()).await, _folder: folder }
    }

    async fn topic(&self, name: &str, owner: Option<&str>, config: &[(&str, &str)]) {
        let config = config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let owner = owner.map(str::to_owned);
        let new = NewTopic { name: name.to_owned(), partitions: 1, config, owner };
        self.node.log.create_topic(new).await.unwrap();
    }

    async fn connect(&self) -> Client {
        Client::connect(&self.node.address).await
    }

    async fn stop(self) {
        self.node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn api_versions_answers_an_unknown_version_in_the_form_of_version_0() {
    let node = Node::new().await;
    let mut client = node.connect().await;
    client.send_raw(&[0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 1, 2, 3]).await;
    let answer = client.receive_raw().await.unwrap();
    // correlation id, error 35, one entry: key 18, 0 to 4; no header tags
    assert_eq!(answer[..], [0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]);
    let again = ApiVersionsRequest::default();
    assert_eq!(client.ask(0, &again).await.error_code, 0, "the connection lives on");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_versions_has_no_tagged_fields_and_a_plain_header() {
    let node = Node::new().await;
    let mut client = node.connect().await;
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("librdkafka"))
        .with_client_software_version(StrBytes::from_static_str("2.0.2"));
    client.send(3, &request).await;
    let answer = client.receive_raw().await.unwrap();
    // correlation id, error, compact count, 7 bytes an entry (its empty tags included),
    // throttle time, and an empty tag buffer
    let served = client.ask(0, &ApiVersionsRequest::default()).await.api_keys.len();
    assert_eq!(answer.len(), 4 + 2 + 1 + 7 * served + 4 + 1);
    assert_eq!(answer[answer.len() - 1], 0);
    let nameless = client.ask(3, &ApiVersionsRequest::default()).await;
    assert_eq!(nameless.error_code, ResponseError::InvalidRequest.code());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_or_version_closes_the_connection() {
    let node = Node::new().await;
    for (key, version) in [(99_i16, 0_i16), (3, 99), (0, 2), (9, 0)] {
        let node = Node::new().await;
        let mut client = node.connect().await;
        let mut frame = BytesMut::new();
        frame.put_i16(key);
        frame.put_i16(version);
        frame.put_slice(&[0, 0, 0, 1, 0xff, 0xff]);
        client.send_raw(&frame).await;
        assert_eq!(client.receive_raw().await, None, "key {key} version {version}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arbitrary_bodies_close_only_their_own_connection() {
    let node = Node::new().await;
    let mut other = node.connect().await;
    let served = other.ask(0, &ApiVersionsRequest::default()).await.api_keys;
    for served in served {
        let mut client = node.connect().await;
        let mut frame = BytesMut::new();
        frame.put_i16(served.api_key);
        frame.put_i16(served.max_version);
        frame.put_slice(&[0, 0, 0, 1, 0xff, 0xff, 0, 3]); // then it ends
        client.send_raw(&frame).await;
        // Some bodies are whole by accident; none may take the broker down.
        drop(client);
    }
    assert_eq!(other.ask(0, &ApiVersionsRequest::default()).await.error_code, 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_names_the_address_the_client_uses_and_makes_topics_that_are_asked_for() {
    let node = Node::new().await;
    let mut client = node.connect().await;
    let topic = MetadataRequestTopic::default().with_name(Some(name("new")));
    let mut request = MetadataRequest::default().with_topics(Some(vec![topic]));
    request.allow_auto_topic_creation = false;
    let absent = client.ask(9, &request).await;
    assert_eq!(absent.topics[0].error_code, ResponseError::UnknownTopicOrPartition.code());
    request.allow_auto_topic_creation = true;
    let made = client.ask(12, &request).await;
    assert_eq!((made.topics[0].error_code, made.topics[0].partitions.len()), (0, 4));
    assert!(!made.topics[0].topic_id.is_nil());
    assert_eq!(made.brokers[0].host.as_str(), "127.0.0.1");
    assert!(made.cluster_id.is_some());
    let internal = MetadataRequestTopic::default().with_name(Some(name("__x")));
    let refused =
        client.ask(9, &MetadataRequest::default().with_topics(Some(vec![internal]))).await;
    assert_ne!(refused.topics[0].error_code, 0);
    let all = client.ask(9, &MetadataRequest::default().with_topics(None)).await;
    assert!(all.topics.iter().any(|topic| topic.name == Some(name("new"))));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_back_byte_for_byte_but_for_their_offset() {
    let node = Node::new().await;
    node.topic("t", None, &[]).await;
    let mut client = node.connect().await;
    let sent = batch(&["a", "b"]);
    assert_eq!(outcome(&mut client, &produce("t", -1, sent.clone())).await, (0, 0));
    assert_eq!(outcome(&mut client, &produce("t", 1, sent.clone())).await, (0, 2));
    // Offset 3 is the second record of the second batch: that whole batch comes.
    let answer = client.ask(11, &fetch("t", 3, 1 << 20)).await;
    let partition = &answer.responses[0].partitions[0];
    let got = partition.records.clone().unwrap();
    assert_eq!(got.len(), sent.len());
    assert_eq!(got[..8], 2_i64.to_be_bytes());
    assert_eq!(got[16..], sent[16..], "all from the magic on is as it was sent");
    assert_eq!((partition.high_watermark, partition.log_start_offset), (4, 0));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_batch_is_sent_even_if_it_is_larger_than_asked_for() {
    let node = Node::new().await;
    node.topic("t", None, &[]).await;
    let mut client = node.connect().await;
    let sent = batch(&["a long value indeed"]);
    outcome(&mut client, &produce("t", -1, sent.clone())).await;
    outcome(&mut client, &produce("t", -1, sent.clone())).await;
    let answer = client.ask(11, &fetch("t", 0, 1)).await;
    assert_eq!(answer.responses[0].partitions[0].records.as_ref().unwrap().len(), sent.len());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_outside_the_log_are_reported_at_once() {
    let node = Node::new().await;
    node.topic("t", None, &[]).await;
    let mut client = node.connect().await;
    for offset in [-1, 1] {
        let request = fetch("t", offset, 1000).with_max_wait_ms(600_000);
        let answer = client.ask(11, &request).await;
        let code = answer.responses[0].partitions[0].error_code;
        assert_eq!(code, ResponseError::OffsetOutOfRange.code());
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_without_records_waits_for_them_or_its_time() {
    let node = Node::new().await;
    node.topic("t", None, &[]).await;
    let (mut reader, mut writer) = (node.connect().await, node.connect().await);
    let begun = tokio::time::Instant::now();
    let answer = reader.ask(11, &fetch("t", 0, 1000).with_max_wait_ms(50)).await;
    assert!(answer.responses[0].partitions[0].records.as_ref().unwrap().is_empty());
    assert!(begun.elapsed().as_millis() >= 50);
    reader.send(11, &fetch("t", 0, 1000).with_max_wait_ms(600_000)).await;
    tokio::task::yield_now().await;
    outcome(&mut writer, &produce("t", -1, batch(&["a"]))).await;
    assert!(reader.receive_raw().await.is_some());
    assert!(begun.elapsed().as_secs() < 600, "it was woken, not timed out");
    node.stop().await;
}

/// Enough is judged by how much is appended, with what was there before; too little waits for
/// its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_is_answered_when_there_are_as_many_bytes_as_it_asks_for() {
    let node = Node::new().await;
    node.topic("t", None, &[]).await;
    let (mut reader, mut writer) = (node.connect().await, node.connect().await);
    let one = batch(&["a"]);
    for (there, more) in [(0, 3), (1, 2), (2, 3), (4, 1)] {
        outcome(&mut writer, &produce("t", -1, one.clone())).await;
        let end = client_end(&mut reader).await;
        for _ in 0..there {
            outcome(&mut writer, &produce("t", -1, one.clone())).await;
        }
        let wanted = i32::try_from(one.len()).unwrap() * (there + more);
        let asked = fetch("t", end, 1 << 20).with_min_bytes(wanted).with_max_wait_ms(600_000);
        reader.send(11, &asked).await;
        for sent in 1..=more {
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            let waits =
                tokio::time::timeout(std::time::Duration::from_millis(1), reader.is_readable());
            assert!(waits.await.is_err(), "{there} there, {sent} of {more}: it is too early");
            outcome(&mut writer, &produce("t", -1, one.clone())).await;
        }
        assert!(reader.receive_raw().await.is_some());
    }
    let asked = fetch("t", 0, 1 << 20).with_min_bytes(i32::MAX).with_max_wait_ms(50);
    let answer = reader.ask(11, &asked).await;
    assert!(!answer.responses[0].partitions[0].records.as_ref().unwrap().is_empty());
    node.stop().await;
}

/// However much is asked for, what lies behind the end of a segment is not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_comes_to_the_end_of_a_segment_is_answered() {
    let node = Node::new().await;
    node.topic("t", None, &[("internal.segment.bytes", "250")]).await;
    let (mut reader, mut writer) = (node.connect().await, node.connect().await);
    let one = batch(&["a"]);
    for _ in 0..7 {
        outcome(&mut writer, &produce("t", -1, one.clone())).await;
    }
    let began = tokio::time::Instant::now();
    for (offset, batches) in [(0, 3), (3, 3), (4, 2)] {
        let asked = fetch("t", offset, 1 << 20).with_min_bytes(100_000).with_max_wait_ms(60_000);
        let answer = reader.ask(11, &asked).await;
        let records = answer.responses[0].partitions[0].records.clone().unwrap();
        assert_eq!(records.len(), batches * one.len(), "from offset {offset}");
    }
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
    node.stop().await;
}

/// However much is asked for, no more is waited for than the answer may carry: nor where the next
/// batch is what does not fit.
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_whose_answer_is_full_is_answered() {
    let node = Node::new().await;
    node.topic("t", None, &[]).await;
    let (mut reader, mut writer) = (node.connect().await, node.connect().await);
    let one = batch(&["a"]);
    for _ in 0..7 {
        outcome(&mut writer, &produce("t", -1, one.clone())).await;
    }
    let length = i32::try_from(one.len()).unwrap();
    let began = tokio::time::Instant::now();
    for (offset, most, batches) in
        [(0, 3 * length, 3), (0, 4 * length - 1, 3), (2, 5 * length, 5), (2, 1, 1)]
    {
        let asked = fetch("t", offset, 1 << 20)
            .with_max_bytes(most)
            .with_min_bytes(2 * most)
            .with_max_wait_ms(60_000);
        let answer = reader.ask(11, &asked).await;
        let records = answer.responses[0].partitions[0].records.clone().unwrap();
        assert_eq!(records.len(), batches * one.len(), "from offset {offset}, {most} bytes");
    }
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
    node.stop().await;
}

/// The end of the partition `t`.
async fn client_end(client: &mut Client) -> i64 {
    let answer = client.ask(11, &fetch("t", 0, 1).with_max_wait_ms(0)).await;
    answer.responses[0].partitions[0].high_watermark
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_in_the_order_of_the_requests() {
    let node = Node::new().await;
    node.topic("t", None, &[]).await;
    let mut client = node.connect().await;
    for _ in 0..5 {
        client.send(8, &produce("t", -1, batch(&["a"]))).await;
    }
    client.send(9, &MetadataRequest::default()).await;
    client.send(8, &produce("t", -1, batch(&["a"]))).await;
    for correlation in 1..=7 {
        let answer = client.receive_raw().await.unwrap();
        assert_eq!(answer[..4], i32::to_be_bytes(correlation));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_acks_0_there_is_no_answer_and_an_error_closes() {
    let node = Node::new().await;
    node.topic("t", None, &[]).await;
    let mut client = node.connect().await;
    client.send(8, &produce("t", 0, batch(&["a"]))).await;
    assert_eq!(client.ask(0, &ApiVersionsRequest::default()).await.error_code, 0);
    client.send(8, &produce("absent", 0, batch(&["a"]))).await;
    assert_eq!(client.receive_raw().await, None);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_one_valid_batch_is_refused() {
    let node = Node::new().await;
    node.topic("t", None, &[("max.message.bytes", "200")]).await;
    node.topic("compacted", None, &[("cleanup.policy", "compact")]).await;
    node.topic("owned", Some("example"), &[]).await;
    let mut client = node.connect().await;
    let good = batch(&["a"]);
    let mut flipped = good.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let mut old = good.to_vec();
    old[16] = 1;
    let two = [&good[..], &good[..]].concat();
    let cut = good.slice(..good.len() - 1);
    let big = "x".repeat(300);
    for (topic, records, error) in [
        ("t", flipped.into(), ResponseError::CorruptMessage),
        ("t", cut, ResponseError::InvalidRecord),
        ("t", old.into(), ResponseError::InvalidRecord),
        ("t", two.into(), ResponseError::InvalidRecord),
        ("t", batch(&[&big]), ResponseError::MessageTooLarge),
        ("compacted", good.clone(), ResponseError::InvalidRecord),
        ("owned", good.clone(), ResponseError::TopicAuthorizationFailed),
        ("absent", good.clone(), ResponseError::UnknownTopicOrPartition),
    ] {
        assert_eq!(outcome(&mut client, &produce(topic, -1, records)).await.0, error.code());
    }
    let acks = outcome(&mut client, &produce("t", 2, good)).await.0;
    assert_eq!(acks, ResponseError::InvalidRequiredAcks.code());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_find_records_and_not_only_batches() {
    let node = Node::new().await;
    node.topic("t", None, &[]).await;
    let mut client = node.connect().await;
    outcome(&mut client, &produce("t", -1, batch(&["a", "b"]))).await;
    for (timestamp, found) in [
        (-1, (2, -1)),
        (-2, (0, -1)),
        (-3, (0, 1000)),
        (-4, (0, -1)),
        (5, (0, 1000)),
        (1001, (-1, -1)),
    ] {
        let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
        let topic =
            ListOffsetsTopic::default().with_name(name("t")).with_partitions(vec![partition]);
        let answer = client.ask(8, &ListOffsetsRequest::default().with_topics(vec![topic])).await;
        let partition = &answer.topics[0].partitions[0];
        assert_eq!((partition.offset, partition.timestamp), found, "timestamp {timestamp}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replication_factor_above_1_is_refused_with_the_way_out() {
    let node = Node::new().await;
    let mut client = node.connect().await;
    let mut topic = CreatableTopic::default().with_name(name("t")).with_num_partitions(-1);
    for (factor, error) in [(3, 38), (0, 38), (-1, 0)] {
        topic.replication_factor = factor;
        let request = CreateTopicsRequest::default().with_topics(vec![topic.clone()]);
        let answer = client.ask(7, &request).await;
        assert_eq!(answer.topics[0].error_code, error);
        if error != 0 {
            let message = answer.topics[0].error_message.as_deref();
            assert_eq!(message, Some("one broker here: use 1, or serverMode=kafka"));
        }
    }
    node.stop().await;
}

/// What the default request is answered with, where the answer has one code: it asks for nothing,
/// or for the group without a name.
async fn code_of_default(client: &mut Client, key: ApiKey, version: i16) -> Option<i16> {
    macro_rules! ask {
        ($request:ty) => {
            client.ask(version, &<$request>::default()).await.error_code
        };
    }
    Some(match key {
        ApiKey::Fetch => {
            client.ask(version, &FetchRequest::default().with_max_wait_ms(0)).await.error_code
        }
        ApiKey::OffsetFetch => ask!(OffsetFetchRequest),
        ApiKey::FindCoordinator => ask!(FindCoordinatorRequest),
        ApiKey::JoinGroup => ask!(JoinGroupRequest),
        ApiKey::Heartbeat => ask!(HeartbeatRequest),
        ApiKey::LeaveGroup => ask!(LeaveGroupRequest),
        ApiKey::SyncGroup => ask!(SyncGroupRequest),
        ApiKey::ListGroups => ask!(ListGroupsRequest),
        ApiKey::ApiVersions => {
            // What a client calls itself may not be empty.
            let request = ApiVersionsRequest::default()
                .with_client_software_name(StrBytes::from_static_str("test"))
                .with_client_software_version(StrBytes::from_static_str("1"));
            client.ask(version, &request).await.error_code
        }
        ApiKey::DescribeAcls => ask!(DescribeAclsRequest),
        ApiKey::OffsetDelete => ask!(OffsetDeleteRequest),
        ApiKey::DescribeCluster => ask!(DescribeClusterRequest),
        ApiKey::ElectLeaders => ask!(ElectLeadersRequest),
        ApiKey::AlterPartitionReassignments => ask!(AlterPartitionReassignmentsRequest),
        ApiKey::ListPartitionReassignments => ask!(ListPartitionReassignmentsRequest),
        ApiKey::DescribeQuorum => ask!(DescribeQuorumRequest),
        ApiKey::ListConfigResources => ask!(ListConfigResourcesRequest),
        _ => return None,
    })
}

/// How many things the answer to the default request is about, where each has a code of its own.
async fn length_of_default(client: &mut Client, key: ApiKey, version: i16) -> Option<usize> {
    macro_rules! ask {
        ($request:ty, $things:ident) => {
            client.ask(version, &<$request>::default()).await.$things.len()
        };
    }
    Some(match key {
        ApiKey::ListOffsets => ask!(ListOffsetsRequest, topics),
        ApiKey::OffsetCommit => ask!(OffsetCommitRequest, topics),
        ApiKey::DeleteTopics => ask!(DeleteTopicsRequest, responses),
        ApiKey::DeleteRecords => ask!(DeleteRecordsRequest, topics),
        ApiKey::OffsetForLeaderEpoch => ask!(OffsetForLeaderEpochRequest, topics),
        ApiKey::CreateAcls => ask!(CreateAclsRequest, results),
        ApiKey::DeleteAcls => ask!(DeleteAclsRequest, filter_results),
        ApiKey::AlterConfigs => ask!(AlterConfigsRequest, responses),
        ApiKey::CreatePartitions => ask!(CreatePartitionsRequest, results),
        ApiKey::DeleteGroups => ask!(DeleteGroupsRequest, results),
        ApiKey::IncrementalAlterConfigs => ask!(IncrementalAlterConfigsRequest, responses),
        ApiKey::AlterReplicaLogDirs => ask!(AlterReplicaLogDirsRequest, results),
        _ => return None,
    })
}

/// Asks of the others for something that is there.
async fn ask_for_something(client: &mut Client, key: ApiKey, version: i16) {
    match key {
        ApiKey::Produce => {
            let answer = client.ask(version, &produce("t", -1, batch(&["a"]))).await;
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
        ApiKey::Metadata => {
            let request = MetadataRequest::default().with_topics(Some(vec![]));
            assert_eq!(client.ask(version, &request).await.brokers.len(), 1);
        }
        ApiKey::DescribeGroups => {
            let groups = vec![GroupId(StrBytes::from_static_str("g"))];
            let request = DescribeGroupsRequest::default().with_groups(groups);
            let answer = client.ask(version, &request).await;
            assert_eq!(answer.groups[0].group_state.as_str(), "Dead", "version {version}");
        }
        ApiKey::CreateTopics => {
            let topic = CreatableTopic::default()
                .with_name(name(&format!("made-{version}")))
                .with_num_partitions(1)
                .with_replication_factor(1);
            let request = CreateTopicsRequest::default().with_topics(vec![topic]);
            assert_eq!(client.ask(version, &request).await.topics[0].error_code, 0);
        }
        ApiKey::InitProducerId => {
            let request = InitProducerIdRequest::default()
                .with_transactional_id(None)
                .with_producer_id((-1).into())
                .with_producer_epoch(-1);
            let answer = client.ask(version, &request).await;
            assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
        }
        ApiKey::DescribeConfigs => {
            let broker = describe_configs_request::DescribeConfigsResource::default()
                .with_resource_type(4)
                .with_resource_name(StrBytes::from_static_str("1"))
                .with_configuration_keys(None);
            let request = DescribeConfigsRequest::default()
                .with_resources(vec![broker])
                .with_include_synonyms(true);
            assert!(client.ask(version, &request).await.results[0].configs.len() > 10);
        }
        ApiKey::DescribeLogDirs => {
            let request = DescribeLogDirsRequest::default().with_topics(None);
            assert!(!client.ask(version, &request).await.results[0].topics.is_empty());
        }
        ApiKey::DescribeTopicPartitions => {
            let request = DescribeTopicPartitionsRequest::default().with_cursor(None);
            assert!(!client.ask(version, &request).await.topics.is_empty());
        }
        other => panic!("{other:?} is served, but this test has no request of it"),
    }
}

/// Every version we serve: its answer must be readable, and say what is so.
#[tokio::test(flavor = "multi_thread")]
async fn every_version_of_every_api_is_dispatched_and_answered() {
    let node = Node::new().await;
    node.topic("t", None, &[]).await;
    let mut client = node.connect().await;
    for served in client.ask(0, &ApiVersionsRequest::default()).await.api_keys {
        let key = ApiKey::try_from(served.api_key).unwrap();
        // Produce is advertised from 0 for old librdkafka, and answered from 3.
        let lowest = if key == ApiKey::Produce { 3 } else { served.min_version };
        let wanted = match key {
            ApiKey::JoinGroup | ApiKey::Heartbeat | ApiKey::LeaveGroup | ApiKey::SyncGroup => {
                ResponseError::InvalidGroupId.code()
            }
            ApiKey::DescribeAcls => ResponseError::SecurityDisabled.code(),
            ApiKey::OffsetDelete => ResponseError::GroupIdNotFound.code(),
            _ => 0,
        };
        for version in lowest..=served.max_version {
            if let Some(code) = code_of_default(&mut client, key, version).await {
                assert_eq!(code, wanted, "{key:?} version {version}");
            } else if let Some(things) = length_of_default(&mut client, key, version).await {
                assert_eq!(things, 0, "{key:?} version {version}");
            } else {
                ask_for_something(&mut client, key, version).await;
            }
        }
    }
    node.stop().await;
}
