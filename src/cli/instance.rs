//! `sluice instance`: stops and starts one instance of the running process; the others do
//! not notice.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::config::Environment;

use super::health;
use super::home::Home;
use super::output::say;
use super::{Outcome, small_runtime};

/// What to do with it.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Stop an instance after what it has in hand; it stays stopped until it is started, or
    /// until the process is.
    Stop {
        /// The instance.
        instance: String,
    },
    /// Start an instance that was stopped, or has stopped by itself.
    Start {
        /// The instance.
        instance: String,
    },
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Outcome {
    let home = Home::find(environment)?;
    small_runtime()?.block_on(async {
        if health::running(&home).await?.is_none() {
            bail!("sluice does not run; bin/startup.sh starts it with all its instances");
        }
        let client = health::client(&home);
        match &arguments.action {
            Action::Stop { instance } => {
                client.stop(instance).await?;
                say(&format!("{instance} is stopped"))?;
            }
            Action::Start { instance } => {
                client.start(instance).await?;
                say(&format!("{instance} is starting; `bin/sluice health` says how it is"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
