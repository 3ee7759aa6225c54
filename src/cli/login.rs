//! `sluice login`: a link that opens the page once, without a password.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use crate::config::Environment;

use super::health;
use super::home::Home;
use super::output::say;
use super::{Outcome, small_runtime};

/// Nothing is to be said.
#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments, environment: &Environment) -> Outcome {
    let home = Home::find(environment)?;
    small_runtime()?.block_on(async {
        if health::running(&home).await?.is_none() {
            bail!("sluice does not run; bin/startup.sh starts it, and its page with it");
        }
        let (link, seconds) = health::client(&home).link().await?;
        say(&link)?;
        say(&format!("opens the page once, within {} minutes", seconds / 60))?;
        Ok(ExitCode::SUCCESS)
    })
}
