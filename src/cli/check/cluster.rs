//! `sluice check` where changes go to a Kafka cluster: what each instance wants there, asked of it.

use std::collections::BTreeSet;

use crate::client::{Finding, Wanted, probe};
use crate::config::{ClusterConfig, Instance, Settings, TopicRule};
use crate::instance::Plan;
use crate::server;
use crate::sink::Kafka;
use crate::source;

use super::say;

/// Topics of tables that are looked at; more say nothing new.
const MOST_TOPICS: usize = 200;
/// Tables of the source that are looked at for it.
const MOST_TABLES: usize = 20_000;

/// Says what the cluster is like, and returns what keeps instances from writing there.
pub(super) async fn judge(
    settings: &Settings,
    config: &ClusterConfig,
) -> anyhow::Result<Vec<String>> {
    let mut errors = same_names(settings);
    let whole = match server::cluster(settings, config).await {
        Ok(whole) => whole,
        Err(error) => {
            errors.push(error);
            return Ok(errors);
        }
    };
    let mut wanted = Vec::new();
    for instance in &settings.instances {
        wanted.push(wants(config, instance).await);
    }
    for finding in probe(&whole, &wanted) {
        match finding {
            Finding::Fact(text) => say(&format!("Kafka cluster: {text}"))?,
            Finding::Warning(text) => say(&format!("warning: Kafka cluster: {text}"))?,
            Finding::Error(text) => {
                errors.push(format!("Kafka cluster ({}): {text}", place(settings, &text)));
            }
        }
    }
    Ok(errors)
}

/// Where the first setting is written that a sentence names, or else the cluster's address.
fn place(settings: &Settings, text: &str) -> String {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '.'));
    let keys =
        words.map(|word| word.trim_end_matches('.')).filter(|word| word.starts_with("kafka."));
    let mut places = keys.map(|key| (key, settings.key_and_place(key)));
    let written = places.find(|(key, place)| place != key).map(|(_, place)| place);
    written.unwrap_or_else(|| settings.key_and_place("kafka.bootstrap.servers"))
}

/// Names that a cluster cannot tell apart: those of its metrics have `_` for `.`.
fn same_names(settings: &Settings) -> Vec<String> {
    let mut errors = Vec::new();
    let names: Vec<&str> = settings.instances.iter().map(|one| &*one.config.name).collect();
    for (place, name) in names.iter().enumerate() {
        let same = |other: &&&str| other.replace('.', "_") == name.replace('.', "_");
        if let Some(other) = names[..place].iter().find(same) {
            errors.push(format!(
                "instances {other} and {name} differ by . and _ only, so that a Kafka cluster \
                 takes the topics of one of them only: rename one"
            ));
        }
    }
    errors
}

async fn wants(config: &ClusterConfig, instance: &Instance) -> Wanted {
    let name = &instance.config.name;
    let mut changes = match server::plan(instance) {
        Ok(plan) => {
            let mut topics = topics(&plan).await;
            // That of statements without a table.
            topics.insert(plan.publication.router.statement("", "").topic.to_string());
            topics
        }
        // What is wrong with the plan is said with the instance.
        Err(_) => BTreeSet::new(),
    };
    if let TopicRule::Canal { topic, dynamic } = &instance.config.route.topic
        && dynamic.is_empty()
    {
        changes.insert(topic.clone());
    }
    Wanted {
        instance: name.clone(),
        transactional_id: Kafka::transactional_id(&config.group, name),
        lock: Kafka::lock(&config.group, name),
        internal: Kafka::internal_topics(&config.group, name),
        changes: changes.into_iter().collect(),
    }
}

/// The topics of the tables that the source has now. One that cannot be reached is reported with
/// the instance; its topics are then not looked at.
async fn topics(plan: &Plan) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    let each = |schema: &str, table: &str| {
        if topics.len() < MOST_TOPICS {
            topics.insert(plan.publication.router.statement(schema, table).topic.to_string());
        }
    };
    let _ = source::tables(&plan.source, Some(MOST_TABLES), each).await;
    topics
}
