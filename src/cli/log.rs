//! `sluice log backup DIR`: a copy of the bundled log while it goes on.
//!
//! The running process makes it, and everything that was acknowledged before is in it. With
//! `log.dirs` set to the directory another sluice goes on from there.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
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
    /// Copy the log of the running server; it goes on meanwhile.
    Backup {
        /// An empty directory, or one that is not there yet, on the server's machine.
        dir: PathBuf,
    },
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Outcome {
    let home = Home::find(environment)?;
    let Action::Backup { dir } = &arguments.action;
    let dir = std::path::absolute(dir).with_context(|| format!("find {}", dir.display()))?;
    let Some(dir) = dir.to_str() else { bail!("the name of {} is no UTF-8", dir.display()) };
    small_runtime()?.block_on(async {
        if health::running(&home).await?.is_none() {
            let log = match home.settings() {
                Ok(settings) => settings.server.log.dir.display().to_string(),
                Err(_) => "log.dirs".to_owned(),
            };
            bail!("sluice does not run, so that its log can be copied as any directory: {log}");
        }
        say(&health::client(&home).back_up(dir).await?)?;
        Ok(ExitCode::SUCCESS)
    })
}
