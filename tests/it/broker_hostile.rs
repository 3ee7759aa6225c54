//! Clients that go away, that do not read, and that ask for what there is not.

mod costs;

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::*;
use sluice::broker::BrokerSettings;
use sluice::log::NewTopic;
use sluice::record::HEAD_LENGTH;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::harness::node::Node;
use crate::harness::wire::{Client, batch, fetch, name, outcome, produce};
use crate::harness::{Sluice, asked, say};

/// As many connections as the broker takes in these tests.
const CONNECTIONS: usize = 20;

async fn node(folder: &std::path::Path) -> Node {
    let settings = BrokerSettings { max_connections: CONNECTIONS, ..BrokerSettings::default() };
    let node = Node::start_with(folder, settings).await;
    for (name, policy) in [("t", "delete"), ("compacted", "compact")] {
        let config = [("cleanup.policy".to_owned(), policy.to_owned())].into();
        let new = NewTopic { name: name.to_owned(), partitions: 1, config, owner: None };
        node.log.create_topic(new).await.unwrap();
    }
    node
}

/// How long a new client waits for its first answer, when all connections are taken.
async fn time_of_an_answer(node: &Node) -> Duration {
    let began = Instant::now();
    let mut client = Client::connect(&node.address).await;
    let request = ApiVersionsRequest::default();
    let answer = timeout(Duration::from_mins(1), client.ask(0, &request)).await;
    assert_eq!(answer.expect("an answer within a minute").error_code, 0);
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_in_a_long_poll_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let mut clients = Vec::new();
    for pipelined in (0..CONNECTIONS).map(|n| n % 2 == 1) {
        let mut client = Client::connect(&node.address).await;
        client.send(11, &fetch("t", 0, 1000).with_max_wait_ms(i32::MAX)).await;
        if pipelined {
            client.send(0, &ApiVersionsRequest::default()).await;
        }
        clients.push(client);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    clients.retain(|_| false);
    let took = time_of_an_answer(&node).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_its_answer_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let mut writer = Client::connect(&node.address).await;
    let large = "x".repeat(900_000);
    for _ in 0..20 {
        assert_eq!(outcome(&mut writer, &produce("t", -1, batch(&[&large]))).await.0, 0);
    }
    drop(writer);
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(&node.address).await;
        client.send(11, &fetch("t", 0, 50 << 20)).await;
        clients.push(client);
    }
    let took = time_of_an_answer(&node).await;
    assert!(took < Duration::from_secs(30), "{took:?}");
    drop(clients);
    node.stop().await;
}

/// What a request asks for is done whole, whether or not its client stays to hear of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_client_goes_away_is_carried_through() {
    const TOPICS: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    for ends in ["a broken frame", "a reset"] {
        let names: Vec<String> = (0..TOPICS).map(|n| format!("many-{n}")).collect();
        for name in &names {
            let config = std::collections::BTreeMap::new();
            let new = NewTopic { name: name.clone(), partitions: 1, config, owner: None };
            node.log.create_topic(new).await.unwrap();
        }
        let mut client = Client::connect(&node.address).await;
        let named = names.iter().map(|one| name(one)).collect();
        client.send(5, &DeleteTopicsRequest::default().with_topic_names(named)).await;
        match ends {
            "a reset" => client.reset(),
            _ => client.send_part(-1, b"").await,
        }
        let limit = Duration::from_secs(20);
        let left = || names.iter().filter(|name| node.log.topic(name).is_some()).count();
        let deleted = timeout(limit, async {
            while left() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(deleted.await.is_ok(), "{ends}: {} of {TOPICS} topics are left", left());
    }
    node.stop().await;
}

/// A legal batch of 2 KB, whose one record has 60 MB of zeros.
fn inflating() -> Bytes {
    let plain = batch(&[&"\0".repeat(60 << 20)]);
    let packed = zstd::encode_all(&plain[HEAD_LENGTH..], 3).unwrap();
    let mut head = plain[..HEAD_LENGTH].to_vec();
    let length = i32::try_from(HEAD_LENGTH - 12 + packed.len()).unwrap();
    head[8..12].copy_from_slice(&length.to_be_bytes());
    head[22] |= 4;
    let mut batch = [head, packed].concat();
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

/// A megabyte that inflates to 30 GB keeps nobody else, and ends with its client.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_inflates_to_gigabytes_keeps_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let bomb = inflating();
    let one = PartitionProduceData::default().with_records(Some(bomb));
    let mut request = produce("t", -1, Bytes::new());
    request.topic_data[0].partition_data = vec![one; 500];
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(&node.address).await;
        client.send(8, &request).await;
        clients.push(client);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    let mut beside = Client::connect(&node.address).await;
    let small = produce("t", -1, batch(&["a"]));
    let told = timeout(Duration::from_secs(10), outcome(&mut beside, &small)).await;
    assert_eq!(told.map(|told| told.0), Ok(0), "after {:?}", began.elapsed());
    for client in clients {
        client.reset();
    }
    drop(beside);
    let stopped = timeout(Duration::from_secs(20), node.stop()).await;
    assert!(stopped.is_ok(), "it goes on without its clients");
}

/// Who asks for a time gets it out of the stream: thirty answers cost no thirty batches.
#[tokio::test(flavor = "multi_thread")]
async fn times_of_batches_that_inflate_to_much_cost_little_memory() {
    let mut sluice = Sluice::new();
    tokio::task::block_in_place(|| sluice.start());
    let address = sluice.bootstrap();
    let mut writer = Client::connect(&address).await;
    let topic = metadata_request::MetadataRequestTopic::default().with_name(Some(name("t")));
    writer.ask(9, &MetadataRequest::default().with_topics(Some(vec![topic]))).await;
    assert_eq!(outcome(&mut writer, &produce("t", -1, inflating())).await.0, 0);
    let before = sluice.resident_memory();
    let mut clients = Vec::new();
    for timestamp in (0..30).map(|n| if n % 2 == 0 { 1 } else { -3 }) {
        let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
        let topic =
            ListOffsetsTopic::default().with_name(name("t")).with_partitions(vec![partition]);
        let mut client = Client::connect(&address).await;
        client.send(8, &ListOffsetsRequest::default().with_topics(vec![topic])).await;
        clients.push(client);
    }
    let answers = async {
        for client in &mut clients {
            assert!(client.receive_raw().await.is_some());
        }
    };
    let mut most = before;
    let mut answers = std::pin::pin!(answers);
    while timeout(Duration::from_millis(5), &mut answers).await.is_err() {
        most = most.max(sluice.resident_memory());
    }
    assert!(most < before + (300 << 20), "{before} bytes before, {most} then");
    tokio::task::block_in_place(|| sluice.stop());
}

/// What waits for records for a minute holds nothing that others' requests need, whatever is sent
/// behind it.
#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_wait_leave_the_room_to_producers() {
    for more_is_whole in [true, false] {
        waits_beside_a_producer(more_is_whole).await;
    }
}

async fn waits_beside_a_producer(more_is_whole: bool) {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let mut request = fetch("compacted", 0, 1).with_max_wait_ms(60_000);
    let partition = request.topics[0].partitions[0].clone();
    request.topics[0].partitions = vec![partition; 35_000];
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS - 1 {
        let mut client = Client::connect(&node.address).await;
        // 2 MB: all of them are more than what arrives may hold.
        client.send(11, &request).await;
        if more_is_whole {
            client.send(11, &request).await;
        } else {
            client.send_part(50 << 20, &[0; 10]).await;
        }
        clients.push(client);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut beside = Client::connect(&node.address).await;
    let large = "x".repeat(900_000);
    let large = produce("t", -1, batch(&[&large]));
    let told = timeout(Duration::from_secs(20), outcome(&mut beside, &large)).await;
    assert_eq!(told.map(|told| told.0), Ok(0), "beside those that wait; whole: {more_is_whole}");
    for client in clients {
        client.reset();
    }
    drop(beside);
    node.stop().await;
}

/// How a client takes an answer: so many bytes at a time, and how long it waits in between.
const SLOW: [(&str, usize, Duration); 3] = [
    ("a slow link", 10_000, Duration::from_secs(1)),
    ("a byte now and then", 1, Duration::from_secs(9)),
    ("nothing", 0, Duration::from_hours(1)),
];

/// Whoever takes its answers gets on, beside one and beside many that take theirs slowly.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_its_answers_gets_on_beside_those_that_do_not() {
    let mut cases = tokio::task::JoinSet::new();
    for (kind, bytes, every) in SLOW {
        for count in [1, 40] {
            cases.spawn(async move {
                let slowest = slowest_beside(count, bytes, every).await;
                let told = format!("{slowest:?} beside {count} that take {kind}");
                say(&told);
                assert!(slowest < Duration::from_secs(15), "{told}");
            });
        }
    }
    cases.join_all().await;
}

/// The longest time that an answer takes to one who takes it, beside `count` that take theirs
/// slowly.
async fn slowest_beside(count: usize, bytes: usize, every: Duration) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with(folder.path(), BrokerSettings::default()).await;
    let new = NewTopic { name: "t".to_owned(), partitions: 1, config: [].into(), owner: None };
    node.log.create_topic(new).await.unwrap();
    let mut client = Client::connect(&node.address).await;
    let large = "x".repeat(900_000);
    for _ in 0..30 {
        assert_eq!(outcome(&mut client, &produce("t", -1, batch(&[&large]))).await.0, 0);
    }
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..count {
        let mut client = Client::connect_narrow(&node.address).await;
        // More than the system takes into its own buffers.
        for _ in 0..8 {
            client.send(11, &fetch("t", 0, 50 << 20)).await;
        }
        slow.spawn(async move {
            while client.take_bytes(bytes).await {
                tokio::time::sleep(every).await;
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (mut next, mut slowest) = (0, Duration::ZERO);
    let mut client = Client::connect(&node.address).await;
    while next < 30 {
        let asked = Instant::now();
        let answer = client.ask(11, &fetch("t", next, 2 << 20).with_max_wait_ms(100)).await;
        let partition = &answer.responses[0].partitions[0];
        let records = partition.records.as_ref().unwrap();
        assert_eq!(partition.error_code, 0);
        // One without records is an answer, but none that gets on.
        assert!(!records.is_empty(), "nothing came in {:?}", asked.elapsed());
        next += i64::try_from(records.len() / large.len()).unwrap();
        slowest = slowest.max(asked.elapsed());
    }
    slow.shutdown().await;
    drop(client);
    node.stop().await;
    slowest
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_deleted_up_to_an_offset_that_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let mut client = Client::connect(&node.address).await;
    for _ in 0..5 {
        assert_eq!(outcome(&mut client, &produce("t", -1, batch(&["a"]))).await.0, 0);
    }
    let beyond = (-1, ResponseError::OffsetOutOfRange.code());
    for (topic, offset, expected) in [
        ("t", 2, (2, 0)),
        ("t", -2, beyond),
        ("t", -100, beyond),
        ("t", i64::MIN, beyond),
        ("t", 6, beyond),
        ("t", i64::MAX, beyond),
        ("t", 0, (2, 0)),
        ("compacted", 0, (-1, ResponseError::PolicyViolation.code())),
        ("t", -1, (5, 0)),
    ] {
        let partition = DeleteRecordsPartition::default().with_offset(offset);
        let asked =
            DeleteRecordsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
        let request =
            DeleteRecordsRequest::default().with_topics(vec![asked]).with_timeout_ms(1000);
        let answer = client.ask(2, &request).await;
        let partition = &answer.topics[0].partitions[0];
        assert_eq!((partition.low_watermark, partition.error_code), expected, "{topic} {offset}");
    }
    node.stop().await;
}

/// What is only validated is judged as if it were done.
#[tokio::test(flavor = "multi_thread")]
async fn validate_only_judges_names_partitions_and_every_setting() {
    use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
    use kafka_protocol::messages::incremental_alter_configs_request::{
        AlterConfigsResource, AlterableConfig,
    };
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let mut client = Client::connect(&node.address).await;
    let long = "x".repeat(250);
    for (topic, partitions, key, value, valid) in [
        ("new", 1, "retention.ms", "1", true),
        ("new", 1_000_000, "retention.ms", "1", false),
        ("t", 1, "retention.ms", "1", false),
        ("a b", 1, "retention.ms", "1", false),
        (&long, 1, "retention.ms", "1", false),
        ("new", 1, "flush.ms", "abc", false),
        ("new", 1, "min.insync.replicas", "xyz", false),
        ("new", 1, "segment.bytes", "8589934592", false),
        ("new", 1, "compression.type", "brotli", false),
        ("new", 1, "no.such", "1", false),
    ] {
        let mut errors = Vec::new();
        for validate in [true, false] {
            let config = CreatableTopicConfig::default()
                .with_name(key.to_owned().into())
                .with_value(Some(value.to_owned().into()));
            let asked = CreatableTopic::default()
                .with_name(name(topic))
                .with_num_partitions(partitions)
                .with_replication_factor(1)
                .with_configs(vec![config]);
            let request = CreateTopicsRequest::default()
                .with_topics(vec![asked])
                .with_validate_only(validate);
            errors.push(client.ask(7, &request).await.topics[0].error_code);
        }
        assert_eq!(errors[0], errors[1], "{topic} {partitions} {key}={value}");
        assert_eq!(errors[0] == 0, valid, "{topic} {partitions} {key}={value}: {errors:?}");
        if valid {
            node.log.delete_topic(topic).await.unwrap();
        }
    }
    for (topic, key, value, valid) in [
        ("t", "retention.ms", "5", true),
        ("t", "retention.ms", "-2", false),
        ("t", "flush.ms", "abc", false),
        ("absent", "retention.ms", "5", false),
    ] {
        let mut errors = Vec::new();
        for validate in [true, false] {
            let config = AlterableConfig::default()
                .with_name(key.to_owned().into())
                .with_value(Some(value.to_owned().into()));
            let resource = AlterConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(topic.to_owned().into())
                .with_configs(vec![config]);
            let request = IncrementalAlterConfigsRequest::default()
                .with_resources(vec![resource])
                .with_validate_only(validate);
            errors.push(client.ask(1, &request).await.responses[0].error_code);
        }
        assert_eq!(errors[0], errors[1], "{topic} {key}={value}");
        assert_eq!(errors[0] == 0, valid, "{topic} {key}={value}: {errors:?}");
    }
    node.stop().await;
}

/// However many topics they are of, one request makes no more partitions than Kafka allows.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_makes_a_bounded_number_of_partitions() {
    use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
    use kafka_protocol::messages::create_topics_request::CreatableTopic;
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let mut client = Client::connect(&node.address).await;
    let many = ResponseError::PolicyViolation.code();
    let topics = node.log.topics().len();
    for validate in [false, true] {
        let asked = (0..5_900).map(|number| {
            CreatableTopic::default()
                .with_name(name(&format!("many-{number}")))
                .with_num_partitions(10_000)
                .with_replication_factor(1)
        });
        let request = CreateTopicsRequest::default()
            .with_topics(asked.collect())
            .with_validate_only(validate);
        let answer = client.ask(4, &request).await;
        assert_eq!(answer.topics.len(), 5_900);
        assert!(answer.topics.iter().all(|topic| topic.error_code == many));
    }
    assert_eq!(node.log.topics().len(), topics, "none of them was made");
    for other in ["u", "v"] {
        let new = NewTopic { name: other.to_owned(), partitions: 1, ..NewTopic::default() };
        node.log.create_topic(new).await.unwrap();
    }
    for (count, expected) in [(5_002, many), (3, 0)] {
        let asked = ["u", "v"]
            .map(|topic| CreatePartitionsTopic::default().with_name(name(topic)).with_count(count))
            .map(|topic| topic.with_assignments(None));
        let request =
            CreatePartitionsRequest::default().with_topics(asked.into()).with_timeout_ms(1000);
        let answer = client.ask(2, &request).await;
        let codes: Vec<_> = answer.results.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [expected; 2], "{count}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_never_gets_the_id_that_it_claims() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let mut client = Client::connect(&node.address).await;
    let mut given = std::collections::HashSet::new();
    for (claimed, epoch) in [(-1, -1), (0, 0), (1, 3), (7, 5), (0, 0)] {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id(claimed.into())
            .with_producer_epoch(epoch);
        let answer = client.ask(4, &request).await;
        assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
        assert!(given.insert(answer.producer_id.0), "{} is given twice", answer.producer_id.0);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_no_more_connections_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let settings = BrokerSettings { max_connections_per_ip: 3, ..BrokerSettings::default() };
    let node = Node::start_with(folder.path(), settings).await;
    // The stream, if it is answered on.
    let answered = async || -> Option<TcpStream> {
        let mut stream = TcpStream::connect(&node.address).await.ok()?;
        // ApiVersions of version 0, correlation id 1, no client id.
        stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff]).await.ok()?;
        stream.read_i32().await.ok()?;
        Some(stream)
    };
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(answered().await.unwrap());
    }
    assert!(answered().await.is_none(), "the fourth is closed");
    clients.pop();
    let began = Instant::now();
    while answered().await.is_none() {
        assert!(began.elapsed() < Duration::from_secs(10), "the place was never given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.stop().await;
}

/// How large the crowd is: with `SLUICE_CROWD=1` as large as a broker has to bear.
struct Crowd {
    readers: usize,
    vanishing: usize,
    idle: usize,
}

impl Crowd {
    fn new() -> Self {
        if asked::is_set("SLUICE_CROWD") {
            Self { readers: 1000, vanishing: 1000, idle: 5000 }
        } else {
            Self { readers: 100, vanishing: 100, idle: 500 }
        }
    }
}

/// The median time of a produce of one small record, of 50.
async fn time_of_a_produce(address: &str) -> Duration {
    let mut client = Client::connect(address).await;
    let mut times = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        assert_eq!(outcome(&mut client, &produce("beside", -1, batch(&["a"]))).await.0, 0);
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

/// Clients that do not read their answers, that vanish while they wait ten minutes for records,
/// that sent half a request, and that are silent: memory stays, whoever produces beside them is
/// served, and their sockets are closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_crowd_costs_little_and_leaves_nothing() {
    let crowd = Crowd::new();
    let mut sluice = Sluice::new();
    tokio::task::block_in_place(|| sluice.start());
    let address = sluice.bootstrap();
    let mut writer = Client::connect(&address).await;
    let large = "x".repeat(900_000);
    let both = MetadataRequest::default().with_topics(Some(
        ["t", "beside"]
            .map(|topic| {
                metadata_request::MetadataRequestTopic::default().with_name(Some(name(topic)))
            })
            .to_vec(),
    ));
    writer.ask(9, &both).await;
    for _ in 0..20 {
        assert_eq!(outcome(&mut writer, &produce("t", -1, batch(&[&large]))).await.0, 0);
    }
    drop(writer);
    let alone = time_of_a_produce(&address).await;
    let (memory, sockets) = (sluice.resident_memory(), sluice.open_sockets());

    let mut here = Vec::new();
    for number in 0..crowd.idle {
        let mut client = Client::connect(&address).await;
        if number % 2 == 0 {
            client.ask(0, &ApiVersionsRequest::default()).await;
        }
        here.push(client);
    }
    for _ in 0..crowd.readers {
        let mut client = Client::connect(&address).await;
        client.send(11, &fetch("t", 0, 50 << 20)).await;
        here.push(client);
    }
    for _ in 0..crowd.vanishing {
        let mut client = Client::connect(&address).await;
        client.send(11, &fetch("t", 20, 1 << 20).with_max_wait_ms(600_000)).await;
    }
    // Half of a request of the largest size that is announced, and nothing more.
    for _ in 0..crowd.readers / 10 {
        let mut client = Client::connect(&address).await;
        client.send_part(90 << 20, &vec![0; 1 << 20]).await;
        here.push(client);
    }
    let beside = time_of_a_produce(&address).await;
    let peak = sluice.resident_memory();
    let grown = peak.saturating_sub(memory) >> 20;
    say(&format!(
        "a produce takes {alone:?} alone, {beside:?} beside; {} MiB before, {grown} more",
        memory >> 20
    ));
    assert!(grown <= 64, "{grown} MiB more than before");
    assert!(beside <= 2 * alone + Duration::from_millis(5), "{beside:?} beside, {alone:?} alone");
    drop(here);
    let began = Instant::now();
    while sluice.open_sockets() > sockets {
        let open = sluice.open_sockets() - sockets;
        assert!(began.elapsed() < Duration::from_secs(15), "{open} sockets are open");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::task::block_in_place(|| sluice.stop());
}

/// Batches that are each a third of all the room that answers have, asked for by many who do not
/// read: they have room one after the other, whoever asks for little beside them does not wait,
/// and whoever reads gets a whole one in the end.
#[tokio::test(flavor = "multi_thread")]
async fn large_answers_to_many_that_do_not_read_stay_within_their_room() {
    const BATCH: usize = 8 << 20;
    let mut sluice = Sluice::new();
    sluice.broker("message.max.bytes", "20000000");
    tokio::task::block_in_place(|| sluice.start());
    let address = sluice.bootstrap();
    let mut writer = Client::connect(&address).await;
    let topics = ["large", "beside"].map(|topic| {
        metadata_request::MetadataRequestTopic::default().with_name(Some(name(topic)))
    });
    writer.ask(9, &MetadataRequest::default().with_topics(Some(topics.to_vec()))).await;
    for text in ["x".repeat(BATCH), "y".repeat(BATCH)] {
        assert_eq!(outcome(&mut writer, &produce("large", -1, batch(&[&text]))).await.0, 0);
    }
    assert_eq!(outcome(&mut writer, &produce("beside", -1, batch(&["a"]))).await.0, 0);
    let before = sluice.resident_memory();
    let mut hostile = Vec::new();
    for number in 0..60 {
        let mut client = Client::connect(&address).await;
        // Some of them ask for more than the batch.
        let most = if number % 2 == 0 { 1 << 20 } else { 50 << 20 };
        client.send(11, &fetch("large", number % 2, most).with_max_wait_ms(100)).await;
        hostile.push(client);
    }
    let began = Instant::now();
    let (mut peak, mut slowest) = (0, Duration::ZERO);
    while began.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        let answer = writer.ask(11, &fetch("beside", 0, 1000)).await;
        assert!(!answer.responses[0].partitions[0].records.as_ref().unwrap().is_empty());
        slowest = slowest.max(asked.elapsed());
        peak = peak.max(sluice.resident_memory());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let grown = peak.saturating_sub(before) >> 20;
    say(&format!("{grown} MiB more, the slowest fetch beside took {slowest:?}"));
    assert!(grown <= 64, "{grown} MiB more than before");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let whole = async {
        loop {
            let answer = writer.ask(11, &fetch("large", 0, 1000)).await;
            let partition = &answer.responses[0].partitions[0];
            assert_eq!(partition.error_code, 0);
            if partition.records.as_ref().unwrap().len() > BATCH {
                return;
            }
        }
    };
    timeout(Duration::from_mins(5), whole).await.expect("a whole batch");
    drop(hostile);
    tokio::task::block_in_place(|| sluice.stop());
}
