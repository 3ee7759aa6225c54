//! Times and sizes of a real Apache Kafka that an instance runs into, and topics that others make,
//! change and delete while it runs.

use std::time::Duration;

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, DescribeTransactionsRequest, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

use crate::harness::kafka::{Kafka, kafka, private_kafka};
use crate::harness::program::stopped;
use crate::harness::servers::{mysql, run};
use crate::harness::wire::Client;
use crate::harness::{PATIENCE, Sluice, topics};

/// How many bytes a second the cluster lets any producer send; all of them if none.
async fn throttle(kafka: &Kafka, bytes: Option<f64>) {
    let entity = EntityData::default()
        .with_entity_type(StrBytes::from_static_str("client-id"))
        .with_entity_name(None);
    let quota = OpData::default()
        .with_key(StrBytes::from_static_str("producer_byte_rate"))
        .with_value(bytes.unwrap_or_default())
        .with_remove(bytes.is_none());
    let entry = EntryData::default().with_entity(vec![entity]).with_ops(vec![quota]);
    let request = AlterClientQuotasRequest::default().with_entries(vec![entry]);
    let answer = Client::connect(&kafka.bootstrap()).await.ask(1, &request).await;
    assert_eq!(answer.entries[0].error_code, 0, "{answer:?}");
    // The broker goes by it a moment later.
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// For how long the cluster lets a transaction of this id be open.
async fn timeout(kafka: &Kafka, id: &str) -> i32 {
    let id = TransactionalId(StrBytes::from_string(id.to_owned()));
    let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![id]);
    let answer = Client::connect(&kafka.bootstrap()).await.ask(0, &request).await;
    assert_eq!(answer.transaction_states[0].error_code, 0, "{answer:?}");
    answer.transaction_states[0].transaction_timeout_ms
}

/// What takes longer than an ordinary transaction may gets the longest that the cluster has, be it
/// streamed, read from its own topic or kept of a parked table; what takes longer than that stops.
/// Behind it transactions are ordinary again.
#[tokio::test]
async fn a_transaction_has_the_time_that_it_needs_and_stops_where_the_cluster_has_no_more() {
    let Some(mysql) = mysql() else { return };
    let Some(kafka) = private_kafka(
        "transaction.max.timeout.ms=20000\n\
         transaction.abort.timed.out.transaction.cleanup.interval.ms=500\n\
         quota.window.num=2\nquota.window.size.seconds=1\nauto.create.topics.enable=true\n",
    ) else {
        return;
    };
    let mut source = mysql.database("cluster_times").await;
    for table in ["t", "p", "x"] {
        run(&mut source, &format!("CREATE TABLE {table} (id INT PRIMARY KEY, pad LONGTEXT)")).await;
    }
    kafka.configure("cluster_times.p", "max.message.bytes", "20000").await;
    let properties =
        [("canal.instance.filter.regex", r"cluster_times\..*"), ("sluice.table.error", "park")];
    let mut sluice = Sluice::with_instance("times", mysql, &properties);
    sluice.use_cluster(&kafka);
    sluice.canal("kafka.transaction.timeout.ms", "5000");
    sluice.canal("kafka.topic.retention.ms", "123456789");
    sluice.start();
    let many = |table: &str, first: u32, count: u32, bytes: u32| -> Vec<String> {
        let insert = |id| format!("INSERT INTO {table} VALUES ({id}, REPEAT('x', {bytes}))");
        (first..first + count).map(insert).collect()
    };
    // Kept while there is no hurry.
    for statement in many("p", 1, 70, 100_000) {
        run(&mut source, &statement).await;
    }
    run(&mut source, "INSERT INTO t VALUES (0, '')").await;
    kafka.read_at_least("cluster_times.t", 1);
    assert_eq!(timeout(&kafka, "__sluice.times").await, 5000);

    // Streamed: more than four fifths of 5 s, less than those of 20 s.
    throttle(&kafka, Some(1_000_000.0)).await;
    run(&mut source, "BEGIN").await;
    for statement in many("t", 1, 8, 900_000) {
        run(&mut source, &statement).await;
    }
    run(&mut source, "COMMIT").await;
    kafka.read_at_least("cluster_times.t", 9);
    run(&mut source, "INSERT INTO t VALUES (9, '')").await;
    kafka.read_at_least("cluster_times.t", 10);
    assert_eq!(timeout(&kafka, "__sluice.times").await, 5000, "it is ordinary again");

    // Kept of a parked table.
    kafka.configure("cluster_times.p", "max.message.bytes", "1000000").await;
    let retried = sluice.command(&["instance", "retry", "times", "cluster_times.p"]);
    assert_eq!(retried.code, Some(0), "{}", retried.said);
    assert_eq!(kafka.read_at_least("cluster_times.p", 70).len(), 70);

    // Of an XA branch, more than there is time for.
    throttle(&kafka, None).await;
    run(&mut source, "XA START 'times'").await;
    for statement in many("x", 1, 35, 900_000) {
        run(&mut source, &statement).await;
    }
    run(&mut source, "XA END 'times'").await;
    run(&mut source, "XA PREPARE 'times'").await;
    run(&mut source, "INSERT INTO t VALUES (10, '')").await;
    kafka.read_at_least("cluster_times.t", 11);
    throttle(&kafka, Some(1_000_000.0)).await;
    run(&mut source, "XA COMMIT 'times'").await;
    let body = stopped(&sluice);
    for word in ["within 16 s", "transaction.max.timeout.ms"] {
        assert!(body.contains(word), "no `{word}` in {body}");
    }
    // With more time it goes on from there.
    throttle(&kafka, None).await;
    let started = sluice.command(&["instance", "start", "times"]);
    assert_eq!(started.code, Some(0), "{}", started.said);
    assert_eq!(kafka.read_at_least("cluster_times.x", 35).len(), 35);

    // A topic that is deleted while it runs is made anew as we make topics, not as brokers do.
    let admin: AdminClient<DefaultClientContext> = topics::client(&kafka.bootstrap());
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    admin.delete_topics(&["cluster_times.t"], &options).await.unwrap()[0].as_ref().unwrap();
    run(&mut source, "INSERT INTO t VALUES (11, '')").await;
    assert_eq!(kafka.read_at_least("cluster_times.t", 1).len(), 1);
    assert_eq!(kafka.setting("cluster_times.t", "retention.ms").await, "123456789");
    sluice.stop();
}

/// The topic takes less at the XA COMMIT than it did at the PREPARE: what cannot be cut any more
/// stops with the setting, and goes on when it is raised.
#[tokio::test]
async fn a_prepared_branch_that_a_topic_does_not_take_any_more_stops_with_the_setting() {
    let (Some(mysql), Some(kafka)) = (mysql(), kafka()) else { return };
    let mut source = mysql.database("cluster_lowered").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, pad LONGTEXT)").await;
    kafka.configure("cluster_lowered.t", "max.message.bytes", "1000000").await;
    let filter = ("canal.instance.filter.regex", r"cluster_lowered\..*");
    let mut sluice = Sluice::with_instance("lowered", mysql, &[filter]);
    sluice.use_cluster(kafka);
    sluice.start();
    run(&mut source, "XA START 'lowered'").await;
    run(&mut source, "INSERT INTO t VALUES (1, REPEAT('x', 300000))").await;
    run(&mut source, "XA END 'lowered'").await;
    run(&mut source, "XA PREPARE 'lowered'").await;
    run(&mut source, "INSERT INTO t VALUES (2, '')").await;
    kafka.read_at_least("cluster_lowered.t", 1);
    kafka.configure("cluster_lowered.t", "max.message.bytes", "20000").await;
    run(&mut source, "XA COMMIT 'lowered'").await;
    let body = stopped(&sluice);
    for word in ["topic cluster_lowered.t ", "max.message.bytes"] {
        assert!(body.contains(word), "no `{word}` in {body}");
    }
    kafka.configure("cluster_lowered.t", "max.message.bytes", "1000000").await;
    let started = sluice.command(&["instance", "start", "lowered"]);
    assert_eq!(started.code, Some(0), "{}", started.said);
    assert_eq!(kafka.read_at_least("cluster_lowered.t", 2).len(), 2);
    sluice.stop();
}

/// Somebody else makes a topic whose name forbids one of ours, behind our list of topics.
#[tokio::test]
async fn a_name_that_is_taken_while_an_instance_runs_gives_the_topic_another() {
    let (Some(mysql), Some(kafka)) = (mysql(), kafka()) else { return };
    let mut source = mysql.database("cluster_taken").await;
    let filter = ("canal.instance.filter.regex", r"cluster_taken\..*");
    let mut sluice = Sluice::with_instance("taken", mysql, &[filter]);
    sluice.use_cluster(kafka);
    sluice.start();
    kafka.configure("cluster_taken.a_b", "retention.ms", "-1").await;
    run(&mut source, "CREATE TABLE `a.b` (id INT PRIMARY KEY)").await;
    run(&mut source, "INSERT INTO `a.b` VALUES (1)").await;
    let other = crate::cluster::other_name("cluster_taken.a.b");
    // What made the table, and its row.
    assert_eq!(kafka.read_at_least(&other, 2).len(), 2);
    sluice.stop();
}

/// Internal topics that somebody has made otherwise lose what nobody else has.
#[tokio::test]
async fn internal_topics_that_lose_something_are_not_written_to() {
    let (Some(mysql), Some(kafka)) = (mysql(), kafka()) else { return };
    let filter = ("canal.instance.filter.regex", r"cluster_kept\..*");
    let mut sluice = Sluice::with_instance("kept", mysql, &[filter]);
    sluice.use_cluster(kafka);
    for (topic, key, wrong, right) in [
        ("__sluice.kept.parked", "retention.ms", "604800000", "-1"),
        ("__sluice.kept.positions", "cleanup.policy", "delete", "compact"),
    ] {
        kafka.configure(topic, key, wrong).await;
        sluice.launch();
        let body = stopped(&sluice);
        let said =
            format!("topic {topic} refused a record: its {key} is {wrong}, and has to be {right}");
        assert!(body.contains(&said), "no `{said}` in {body}");
        assert!(body.contains("kafka-configs.sh"), "{body}");
        kafka.configure(topic, key, right).await;
        sluice.stop();
    }
    sluice.start();
    sluice.stop();
}
