//! What a connection takes of memory, and what it shares of syncs.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, RequestHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::broker::Endpoint;
use crate::broker::settings::BrokerSettings;
use crate::log::simulated::{Hang, Simulated};
use crate::log::{Log, LogSettings, NewTopic};
use crate::record::BatchBuilder;
use crate::shutdown::Tasks;

/// How many bytes the future of a connection takes: thousands of them may be silent.
fn size<A, B, C, D, F>(_: fn(A, B, C, D) -> F) -> usize {
    size_of::<F>()
}

fn size_of_answer<A, B, C, D, E, F>(_: fn(A, B, C, D, E) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn a_connection_takes_little_memory_and_one_that_waits_not_much_more() {
    let silent = size(serve::<TcpStream>);
    assert!(silent <= 1200, "{silent} bytes");
    let waiting = size_of_answer(dispatch::answer);
    assert!(waiting <= 3000, "{waiting} bytes");
}

/// The last version whose header has no tagged fields.
const VERSION: i16 = 8;

/// A request with one record for a partition of topic `t`.
fn produce(partition: i32) -> Bytes {
    let mut builder = BatchBuilder::default();
    builder.push(None, Some(b"x"), &[]);
    let mut batch = builder.finish();
    batch.seal(1000);
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(Some(batch.into_bytes()));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("t")))
        .with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic]);
    let header = RequestHeader::default()
        .with_request_api_key(0)
        .with_request_api_version(VERSION)
        .with_correlation_id(partition);
    let mut bytes = BytesMut::new();
    header.encode(&mut bytes, 1).unwrap();
    request.encode(&mut bytes, VERSION).unwrap();
    let mut frame = BytesMut::new();
    frame.put_u32(u32::try_from(bytes.len()).unwrap());
    frame.extend_from_slice(&bytes);
    frame.freeze()
}

/// The partition that an answer is about, which has no error, and its correlation id.
fn answered(frame: &[u8]) -> (i32, i32) {
    let (mut id, body) = frame.split_at(4);
    let mut body = Bytes::copy_from_slice(body);
    let response = ProduceResponse::decode(&mut body, VERSION).unwrap();
    let partition = &response.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, 0, "{partition:?}");
    (bytes::Buf::get_i32(&mut id), partition.index)
}

/// A client that sends a request for each of many partitions without waiting for an answer, as
/// librdkafka does, has them all durable by the sync that hangs and one more.
#[tokio::test]
async fn what_a_client_sends_while_a_sync_is_waited_for_becomes_durable_by_the_next_one() {
    const PARTITIONS: i32 = 300;
    let (disk, tasks) = (Simulated::new(), Tasks::new());
    let log = Log::open(Arc::new(disk.clone()), LogSettings::default(), &tasks).await.unwrap();
    let config = std::collections::BTreeMap::new();
    let new = NewTopic { name: "t".to_owned(), partitions: PARTITIONS, config, owner: None };
    log.create_topic(new).await.unwrap();
    let broker = Broker::open(log.clone(), BrokerSettings::default(), &tasks).await.unwrap();
    let (mut client, server) = tokio::io::duplex(64);
    let endpoint = Endpoint { host: "here".to_owned(), port: 1 };
    let peer = Peer { remote: "127.0.0.1:1".parse().unwrap(), endpoint };
    let connection = tasks.spawn("connection", {
        let (broker, stop) = (Arc::clone(&broker), tasks.token().clone());
        serve(server, peer, broker, stop)
    });

    disk.hang(Some((Hang::Sync, "journal")));
    let syncs = disk.syncs();
    let sending = async {
        for partition in 0..PARTITIONS {
            client.write_all(&produce(partition)).await.unwrap();
        }
    };
    let sent = tokio::time::timeout(Duration::from_secs(20), sending).await;
    disk.hang(None);
    assert!(sent.is_ok(), "the broker reads no more while a sync is waited for");
    for partition in 0..PARTITIONS {
        let length = client.read_u32().await.unwrap();
        let mut frame = vec![0; length as usize];
        client.read_exact(&mut frame).await.unwrap();
        assert_eq!(answered(&frame), (partition, partition));
    }
    let syncs = disk.syncs() - syncs;
    assert!(syncs <= 3, "{syncs} syncs");
    drop(client);
    connection.await.unwrap().unwrap();
    log.close().await;
}
