//! What a real Apache Kafka 4.3 answers, and that we answer the same.
//!
//! The questions are generated here, and so are asked of both: of Kafka by
//! `tests/golden/kafka/make.sh`, which sets `SLUICE_KAFKA` to its address and so lets these
//! tests write the answers to `tests/golden/kafka`; of us by every other run, which compares.

mod batches;
mod contradictions;
mod repetitions;
mod requests;
mod settings;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{
    CreateTopicsRequest, FindCoordinatorRequest, JoinGroupRequest, JoinGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::harness::node::Node;
use crate::harness::wire::{Client, name};

/// Questions, and what each was answered.
type Answers = Vec<(String, String)>;

/// Who is asked: a real Kafka whose answers are to be stored, or a node of ours.
struct Judged {
    client: Client,
    node: Option<(Node, tempfile::TempDir)>,
}

impl Judged {
    async fn connect() -> Self {
        if let Ok(kafka) = std::env::var("SLUICE_KAFKA") {
            return Self { client: Client::connect(&kafka).await, node: None };
        }
        let folder = tempfile::tempdir().unwrap();
        let node = Node::start(folder.path()).await;
        Self { client: Client::connect(&node.address).await, node: Some((node, folder)) }
    }

    /// Makes a topic of one partition.
    async fn make_topic(&mut self, topic: &str, settings: &[(&str, &str)]) {
        let config = |(key, value): &(&str, &str)| {
            CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
        };
        let asked = CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(settings.iter().map(config).collect());
        let request =
            CreateTopicsRequest::default().with_topics(vec![asked]).with_timeout_ms(30_000);
        assert_eq!(self.client.ask(7, &request).await.topics[0].error_code, 0, "{topic}");
    }

    /// Judges the answers, and stops what was started.
    async fn end(
        self,
        stored: &str,
        answers: &[(String, String)],
        differing: impl Fn(&str, &str) -> Option<&'static str>,
    ) {
        judge(stored, answers, self.node.is_none(), differing);
        if let Some((node, _folder)) = self.node {
            node.stop().await;
        }
    }
}

/// Makes a topic of three partitions.
async fn make_topic_of_three(client: &mut Client, topic: &str) {
    let asked = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(3)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![asked]).with_timeout_ms(30_000);
    assert_eq!(client.ask(7, &request).await.topics[0].error_code, 0, "{topic}");
}

/// Joins a group of its own, with one protocol.
async fn join(
    client: &mut Client,
    group: &str,
    protocol_type: &str,
    metadata: &'static [u8],
) -> JoinGroupResponse {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    let mut join = JoinGroupRequest::default()
        .with_group_id(text(group).into())
        .with_session_timeout_ms(300_000)
        .with_rebalance_timeout_ms(300_000)
        .with_protocol_type(text(protocol_type))
        .with_protocols(vec![protocol.with_metadata(Bytes::from_static(metadata))]);
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
    // Its topic is made now, and read.
    loop {
        client.ask(4, &find).await;
        let joined = client.ask(5, &join).await;
        match joined.error_code {
            0 => return joined,
            14..=16 => tokio::time::sleep(Duration::from_millis(100)).await,
            _ => join.member_id = joined.member_id,
        }
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Stores what Kafka answered, or compares what we did with it. A line is a question, a tab, and
/// the answer. `differing` says what we answer on purpose where Kafka does otherwise.
fn judge(
    name: &str,
    answers: &[(String, String)],
    of_kafka: bool,
    differing: impl Fn(&str, &str) -> Option<&'static str>,
) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kafka").join(name);
    if of_kafka {
        let mut lines = String::new();
        for (question, answer) in answers {
            writeln!(lines, "{question}\t{answer}").unwrap();
        }
        std::fs::write(path, lines).unwrap();
        return;
    }
    let stored = std::fs::read_to_string(path).unwrap();
    let stored: Vec<(&str, &str)> =
        stored.lines().map(|line| line.rsplit_once('\t').unwrap()).collect();
    let asked: Vec<&str> = answers.iter().map(|(question, _)| question.as_str()).collect();
    let known: Vec<&str> = stored.iter().map(|(question, _)| *question).collect();
    assert_eq!(asked, known, "the questions are others than those stored in {name}");
    let mut wrong = String::new();
    for ((question, ours), (_, kafkas)) in answers.iter().zip(stored) {
        let wanted = differing(question, kafkas).unwrap_or(kafkas);
        if ours != wanted {
            writeln!(wrong, "{question}: wanted {wanted} (Kafka {kafkas}), got {ours}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{wrong}", wrong.lines().count());
}
