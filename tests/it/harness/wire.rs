//! A client of the protocol by hand: frames as bytes, requests of any version, and the requests that
//! most tests send.
//!
//! In: a broker's address. Out: its answers, decoded to their last byte, or that it has closed the
//! connection. Always: an answer of another version, or with bytes left, fails the test.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, FetchRequest, IncrementalAlterConfigsRequest, ProduceRequest,
    RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes};
use sluice::record::BatchBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection, and the number of its last request.
pub(crate) struct Client {
    pipe: TcpStream,
    correlation: i32,
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Self {
        let pipe = TcpStream::connect(address).await.unwrap();
        // A frame goes out in two writes, which must not wait for each other.
        pipe.set_nodelay(true).unwrap();
        Self { pipe, correlation: 0 }
    }

    /// As [`Client::connect`], with as little of the system's buffers as there can be.
    pub(crate) async fn connect_narrow(address: &str) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(1).unwrap();
        let pipe = socket.connect(address.parse().unwrap()).await.unwrap();
        pipe.set_nodelay(true).unwrap();
        Self { pipe, correlation: 0 }
    }

    /// Takes so many bytes of what is sent to it; `false` at the end.
    pub(crate) async fn take_bytes(&mut self, count: usize) -> bool {
        self.pipe.read_exact(&mut vec![0; count]).await.is_ok()
    }

    /// A frame, with its length before it.
    pub(crate) async fn send_raw(&mut self, frame: &[u8]) {
        self.pipe.write_i32(i32::try_from(frame.len()).unwrap()).await.unwrap();
        self.pipe.write_all(frame).await.unwrap();
    }

    /// Ends the connection as a client does that was killed.
    pub(crate) fn reset(self) {
        #[expect(deprecated, reason = "with no time to linger it does not block")]
        self.pipe.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    /// Resolves when an answer, or the end, has come.
    pub(crate) async fn is_readable(&mut self) {
        let _ = self.pipe.peek(&mut [0]).await;
    }

    /// The beginning of a frame that is announced as longer; as much of it as the broker takes
    /// within a moment.
    pub(crate) async fn send_part(&mut self, announced: i32, part: &[u8]) {
        self.pipe.write_i32(announced).await.unwrap();
        let limit = std::time::Duration::from_millis(100);
        let _ = tokio::time::timeout(limit, self.pipe.write_all(part)).await;
    }

    /// The next frame, or `None` when the broker has closed the connection.
    pub(crate) async fn receive_raw(&mut self) -> Option<Bytes> {
        let length = self.pipe.read_i32().await.ok()?;
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.pipe.read_exact(&mut frame).await.ok()?;
        Some(frame.into())
    }

    pub(crate) async fn send<R: Request>(&mut self, version: i16, request: &R) {
        self.correlation += 1;
        let mut frame = BytesMut::new();
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(StrBytes::from_static_str("test")));
        header.encode(&mut frame, R::header_version(version)).unwrap();
        request.encode(&mut frame, version).unwrap();
        self.send_raw(&frame).await;
    }

    pub(crate) async fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response
    where
        R::Response: Decodable,
    {
        let answer = self.try_ask(version, request).await;
        answer.unwrap_or_else(|| panic!("key {} version {version}: closed", R::KEY))
    }

    /// `None` when the broker has closed the connection; there is another one then.
    pub(crate) async fn try_ask<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Option<R::Response>
    where
        R::Response: Decodable,
    {
        self.send(version, request).await;
        let Some(mut frame) = self.receive_raw().await else {
            let broker = self.pipe.peer_addr().unwrap().to_string();
            *self = Self::connect(&broker).await;
            return None;
        };
        let key = ApiKey::try_from(R::KEY).unwrap();
        let header = ResponseHeader::decode(&mut frame, key.response_header_version(version));
        assert_eq!(header.unwrap().correlation_id, self.correlation);
        let answer = R::Response::decode(&mut frame, version);
        let answer = answer.unwrap_or_else(|e| panic!("key {} version {version}: {e}", R::KEY));
        assert!(!frame.has_remaining(), "key {} version {version}: bytes are left", R::KEY);
        Some(answer)
    }
}

pub(crate) fn name(text: &str) -> TopicName {
    StrBytes::from_string(text.to_owned()).into()
}

/// A sealed batch with a record for each value.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::default();
    for value in values {
        builder.push(None, Some(value.as_bytes()), &[]);
    }
    let mut batch = builder.finish();
    batch.seal(1_000);
    batch.into_bytes()
}

pub(crate) fn produce(topic: &str, acks: i16, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(records));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(1000).with_topic_data(vec![topic])
}

pub(crate) fn fetch(topic: &str, offset: i64, max_bytes: i32) -> FetchRequest {
    let partition =
        FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(max_bytes);
    let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
    FetchRequest::default().with_max_bytes(max_bytes).with_min_bytes(1).with_topics(vec![topic])
}

/// The error code and the base offset that a produce is answered with.
pub(crate) async fn outcome(client: &mut Client, request: &ProduceRequest) -> (i16, i64) {
    let answer = client.ask(8, request).await;
    let partition = &answer.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

/// Makes topics of one partition that take messages of so many bytes.
pub(crate) async fn make_limited(broker: &str, topics: &[String], bytes: usize) {
    let limit = CreatableTopicConfig::default()
        .with_name(LIMIT)
        .with_value(Some(StrBytes::from_string(bytes.to_string())));
    let topic = |topic: &String| {
        CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(vec![limit.clone()])
    };
    let request = CreateTopicsRequest::default()
        .with_timeout_ms(60_000)
        .with_topics(topics.iter().map(topic).collect());
    let answer = Client::connect(broker).await.ask(7, &request).await;
    assert!(answer.topics.iter().all(|topic| topic.error_code == 0), "{answer:?}");
}

/// Lets topics take messages of so many bytes, all in one request: a call of the script for each
/// is a process each.
pub(crate) async fn limit(broker: &str, topics: &[String], bytes: usize) {
    let config = AlterableConfig::default()
        .with_name(LIMIT)
        .with_value(Some(StrBytes::from_string(bytes.to_string())));
    let resource = |topic: &String| {
        AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(StrBytes::from_string(topic.clone()))
            .with_configs(vec![config.clone()])
    };
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(topics.iter().map(resource).collect());
    let answer = Client::connect(broker).await.ask(1, &request).await;
    assert!(answer.responses.iter().all(|one| one.error_code == 0), "{answer:?}");
}

const LIMIT: StrBytes = StrBytes::from_static_str("max.message.bytes");

/// The kind of resource that a topic is.
const TOPIC: i8 = 2;
