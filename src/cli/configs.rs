//! `sluice configs`: kafka-configs, for topics.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};

use crate::client::Topics;
use crate::config::Environment;

use super::connect::Connect;
use super::home::pair;
use super::output::say;
use super::{Outcome, small_runtime};

/// Kafka's options.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("action").required(true).args(["alter", "describe"]))]
pub(super) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    /// Change settings.
    #[arg(long)]
    alter: bool,
    /// Show the settings that a topic has of its own.
    #[arg(long)]
    describe: bool,
    /// What has the settings: topics.
    #[arg(long, value_name = "TYPE")]
    entity_type: Option<String>,
    /// The topic.
    #[arg(long, value_name = "TOPIC")]
    entity_name: Option<String>,
    /// The topic, in place of --entity-type and --entity-name.
    #[arg(long, conflicts_with_all = ["entity_type", "entity_name"])]
    topic: Option<String>,
    /// Settings to set, by comma.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, value_delimiter = ',')]
    add_config: Vec<(String, String)>,
    /// Settings to put back to their defaults, by comma.
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    delete_config: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Outcome {
    let topic = match (&arguments.topic, arguments.entity_type.as_deref()) {
        (Some(topic), _) => topic,
        (None, Some("topics")) => {
            let name = arguments.entity_name.as_ref();
            name.context("Missing required argument \"[entity-name]\"")?
        }
        (None, Some(other)) => {
            bail!("only the settings of topics can be asked for, not of {other}")
        }
        (None, None) => bail!("Missing required argument \"[entity-type]\""),
    };
    let topics = Topics::of(&arguments.connect.to(environment, None, &[])?)?;
    let work = async {
        if arguments.describe {
            say(&format!("Dynamic configs for topic {topic} are:"))?;
            for (key, value) in topics.own_configs(topic).await? {
                say(&format!("  {key}={value}"))?;
            }
            return Ok(());
        }
        if arguments.add_config.is_empty() && arguments.delete_config.is_empty() {
            bail!("at least one of --add-config and --delete-config has to be given with --alter");
        }
        topics.configure(topic, &arguments.add_config, &arguments.delete_config).await?;
        say(&format!("Completed updating config for topic {topic}."))?;
        Ok(())
    };
    small_runtime()?.block_on(work).context("Error while executing config command ")?;
    Ok(ExitCode::SUCCESS)
}
