//! `sluice topics`: kafka-topics.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use regex::Regex;

use crate::client::{NewTopic, PartitionDescription, TopicDescription, Topics};
use crate::config::Environment;

use super::connect::Connect;
use super::home::pair;
use super::output::say;
use super::{Outcome, small_runtime};

/// Kafka's options.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("action").required(true).args(["create", "list", "describe", "delete", "alter"]))]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of Kafka's")]
pub(super) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    /// Make a topic.
    #[arg(long)]
    create: bool,
    /// List all topics.
    #[arg(long)]
    list: bool,
    /// Describe topics.
    #[arg(long)]
    describe: bool,
    /// Delete a topic.
    #[arg(long)]
    delete: bool,
    /// Grow a topic.
    #[arg(long)]
    alter: bool,
    /// The topic; an expression, except with --create.
    #[arg(long)]
    topic: Option<String>,
    /// How many partitions.
    #[arg(long)]
    partitions: Option<i32>,
    /// How many copies; one broker here: 1.
    #[arg(long)]
    replication_factor: Option<i32>,
    /// A setting of the topic; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// Do nothing if the topic is there.
    #[arg(long)]
    if_not_exists: bool,
    /// Do nothing if the topic is not there.
    #[arg(long)]
    if_exists: bool,
    /// Leave internal topics out.
    #[arg(long)]
    exclude_internal: bool,
    /// Describe only topics with settings of their own.
    #[arg(long)]
    topics_with_overrides: bool,
    /// Describe only partitions that lack copies.
    #[arg(long, alias = "under-min-isr-partitions", alias = "at-min-isr-partitions")]
    under_replicated_partitions: bool,
    /// Describe only partitions that nobody serves.
    #[arg(long)]
    unavailable_partitions: bool,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Outcome {
    let connection = arguments.connect.to(environment, None, &[])?;
    let topics = Topics::of(&connection)?;
    let work = async {
        if arguments.create {
            create(&topics, arguments).await
        } else if arguments.list {
            list(&topics, arguments)
        } else if arguments.describe {
            describe(&topics, arguments).await
        } else if arguments.delete {
            delete(&topics, arguments).await
        } else {
            alter(&topics, arguments).await
        }
    };
    small_runtime()?.block_on(work).context("Error while executing topic command ")?;
    Ok(ExitCode::SUCCESS)
}

async fn create(topics: &Topics, arguments: &Arguments) -> anyhow::Result<()> {
    let name = arguments.topic.clone().context("Missing required argument \"[topic]\"")?;
    if name.contains(['.', '_']) {
        say(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. To avoid issues it is best to use either, but not both.",
        )?;
    }
    if arguments.partitions.is_some_and(|partitions| partitions < 1) {
        bail!("The partitions must be greater than 0");
    }
    if arguments.if_not_exists && topics.list()?.iter().any(|topic| topic.name == name) {
        return Ok(());
    }
    let new = NewTopic {
        name,
        partitions: arguments.partitions,
        replication: arguments.replication_factor,
        configs: arguments.config.iter().cloned().collect(),
    };
    topics.create(&new).await?;
    say(&format!("Created topic {}.", new.name))?;
    Ok(())
}

fn list(topics: &Topics, arguments: &Arguments) -> anyhow::Result<()> {
    for topic in matching(topics, arguments)? {
        say(&topic.name)?;
    }
    Ok(())
}

async fn describe(topics: &Topics, arguments: &Arguments) -> anyhow::Result<()> {
    for mut topic in found(topics, arguments)? {
        topics.describe(&mut topic).await?;
        if arguments.topics_with_overrides && topic.configs.is_empty() {
            continue;
        }
        if arguments.under_replicated_partitions || arguments.unavailable_partitions {
            topic.partitions.retain(|one| ails(one, arguments));
            print_partitions(&topic)?;
            continue;
        }
        print_topic(&topic)?;
        if !arguments.topics_with_overrides {
            print_partitions(&topic)?;
        }
    }
    Ok(())
}

/// Whether the partition has what is looked for.
fn ails(partition: &PartitionDescription, arguments: &Arguments) -> bool {
    (arguments.under_replicated_partitions && partition.in_sync.len() < partition.replicas.len())
        || (arguments.unavailable_partitions && partition.leader == -1)
}

fn print_topic(topic: &TopicDescription) -> std::io::Result<()> {
    let configs: Vec<String> =
        topic.configs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    say(&format!(
        "Topic: {}\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}",
        topic.name,
        topic.partitions.len(),
        topic.partitions.first().map_or(0, |one| one.replicas.len()),
        configs.join(","),
    ))
}

fn print_partitions(topic: &TopicDescription) -> std::io::Result<()> {
    for partition in &topic.partitions {
        let leader = match partition.leader {
            -1 => "none".to_owned(),
            leader => leader.to_string(),
        };
        say(&format!(
            "\tTopic: {}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}",
            topic.name,
            partition.id,
            numbers(&partition.replicas),
            numbers(&partition.in_sync),
        ))?;
    }
    Ok(())
}

fn numbers(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

async fn delete(topics: &Topics, arguments: &Arguments) -> anyhow::Result<()> {
    arguments.topic.as_ref().context("Missing required argument \"[topic]\"")?;
    for topic in found(topics, arguments)? {
        topics.delete(&topic.name).await?;
    }
    Ok(())
}

async fn alter(topics: &Topics, arguments: &Arguments) -> anyhow::Result<()> {
    arguments.topic.as_ref().context("Missing required argument \"[topic]\"")?;
    let partitions = arguments.partitions.and_then(|number| usize::try_from(number).ok());
    let partitions = partitions.context("Missing required argument \"[partitions]\"")?;
    for topic in found(topics, arguments)? {
        if topic.partitions.len() >= partitions {
            bail!(
                "Topic '{}' currently has {} partitions, which is higher than or equal to the requested {partitions}.",
                topic.name,
                topic.partitions.len(),
            );
        }
        topics.grow(&topic.name, partitions).await?;
    }
    Ok(())
}

/// The topics that are meant; none is an error, unless --if-exists.
fn found(topics: &Topics, arguments: &Arguments) -> anyhow::Result<Vec<TopicDescription>> {
    let found = matching(topics, arguments)?;
    match &arguments.topic {
        Some(topic) if found.is_empty() && !arguments.if_exists => {
            bail!("Topic '{topic}' does not exist as expected")
        }
        _ => Ok(found),
    }
}

/// The topics whose whole name the expression matches. A name with dots matches itself
/// first: `a.b` is not asked to mean `a_b` too.
fn matching(topics: &Topics, arguments: &Arguments) -> anyhow::Result<Vec<TopicDescription>> {
    let mut found = topics.list()?;
    if arguments.exclude_internal {
        found.retain(|topic| !topic.name.starts_with("__"));
    }
    let Some(wanted) = &arguments.topic else { return Ok(found) };
    if found.iter().any(|topic| topic.name == *wanted) {
        found.retain(|topic| topic.name == *wanted);
        return Ok(found);
    }
    let expression = Regex::new(&format!("^(?:{wanted})$"))?;
    found.retain(|topic| expression.is_match(&topic.name));
    Ok(found)
}
