//! Reading and writing against librdkafka's own mock of a cluster.

use std::ops::ControlFlow;
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::*;

/// Longer than a rebalance, with the mock's delays and session timeouts.
const PATIENT: Duration = Duration::from_mins(1);

fn cluster(
    topic: &str,
    partitions: i32,
) -> (MockCluster<'static, DefaultProducerContext>, Connection) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic, partitions, 1).unwrap();
    let connection = Connection::new(&cluster.bootstrap_servers());
    (cluster, connection)
}

fn produce(connection: &Connection, topic: &str, values: &[&str]) {
    let producer = Producer::new(connection, topic).unwrap();
    for value in values {
        let record = Produced {
            key: Some(b"k".to_vec()),
            value: Some(value.as_bytes().to_vec()),
            headers: vec![("tx".to_owned(), b"0/end".to_vec())],
        };
        producer.send(&record).unwrap();
    }
    producer.flush().unwrap();
    assert_eq!(producer.failures(), Vec::<String>::new());
}

/// Reads `most` records, or fewer if no more come.
async fn read(
    connection: &Connection,
    group: Option<&str>,
    selection: &Selection,
    from: From,
    most: usize,
) -> Vec<String> {
    let mut found = Vec::new();
    let timeout = Some(PATIENT);
    consume(connection, group, selection, from, timeout, std::future::pending(), |record| {
        assert_eq!(record.headers, [("tx", Some(&b"0/end"[..]))]);
        found.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
        Ok(if found.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
    .await
    .unwrap();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_read_without_a_group_from_the_beginning_and_from_an_offset() {
    let (_cluster, connection) = cluster("t", 1);
    produce(&connection, "t", &["a", "b", "c"]);
    let topic = Selection::Topic("t".to_owned());
    assert_eq!(read(&connection, None, &topic, From::Beginning, 3).await, ["a", "b", "c"]);
    let partition = Selection::Partition("t".to_owned(), 0);
    assert_eq!(read(&connection, None, &partition, From::Offset(1), 2).await, ["b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_on_where_it_stopped() {
    let (_cluster, mut connection) = cluster("t", 1);
    // The mock waits for the session of a member that has left.
    connection.set("session.timeout.ms", "6000");
    produce(&connection, "t", &["a", "b", "c"]);
    let topic = Selection::Topic("t".to_owned());
    let group = Some("g");
    assert_eq!(read(&connection, group, &topic, From::Beginning, 2).await, ["a", "b"]);
    let groups = Groups::of(&connection).unwrap();
    assert_eq!(groups.plan("g", &[], Target::Current).unwrap()[0].offset, 2);
    assert_eq!(read(&connection, group, &topic, From::Beginning, 1).await, ["c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_moved() {
    let (_cluster, connection) = cluster("t", 2);
    produce(&connection, "t", &["a", "b", "c"]);
    let groups = Groups::of(&connection).unwrap();
    let changes = groups.plan("g", &[("t".to_owned(), vec![])], Target::Latest).unwrap();
    assert_eq!(changes.iter().map(|change| change.offset).sum::<i64>(), 3);
    groups.move_to("g", &changes).unwrap();
    let back = groups.plan("g", &[], Target::Shift(-2)).unwrap();
    assert_eq!(back.iter().map(|change| change.offset).sum::<i64>(), 1, "{back:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_and_topics_that_are_not_there_are_named() {
    let (_cluster, connection) = cluster("t", 1);
    let partition = Selection::Partition("t".to_owned(), 7);
    let stop = std::future::pending();
    let each = |_: &Record<'_>| Ok(ControlFlow::Break(()));
    let refused = consume(&connection, None, &partition, From::End, None, stop, each).await;
    assert!(matches!(refused, Err(Error::NoPartition { partition: 7, .. })), "{refused:?}");
    let names: Vec<_> = Topics::of(&connection).unwrap().list().unwrap();
    assert_eq!(names.iter().map(|topic| &*topic.name).collect::<Vec<_>>(), ["t"]);
    assert_eq!(names[0].partitions.len(), 1);
}

#[test]
fn a_cluster_that_is_not_there_is_said_so() {
    let mut connection = Connection::new("127.0.0.1:1");
    connection.set("socket.connection.setup.timeout.ms", "1000");
    let refused = Topics::of(&connection).unwrap().list();
    let Err(error) = refused else { panic!("nobody listens there") };
    assert!(error.to_string().contains("no Kafka broker answers at 127.0.0.1:1"), "{error}");
}
