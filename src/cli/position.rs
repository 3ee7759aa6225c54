//! `sluice position`: where an instance stands, and moving it.
//!
//! `show` asks the running process, else reads the log under its lock. `set` and `reset`
//! write into the log in the way the instance itself does, so they need the process
//! stopped, and refuse otherwise with the command that stops it.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use crate::admin::client::Error as AdminError;
use crate::change::Position;
use crate::config::Environment;
use crate::control::InstanceStatus;

use super::health;
use super::home::Home;
use super::output::say;
use super::{Outcome, small_runtime};

mod stored;

/// What to do with it.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show where an instance stands, or all of them.
    Show {
        /// The instance.
        instance: Option<String>,
    },
    /// Go on from a place in the binlog; the instance must be stopped.
    Set {
        /// The instance.
        instance: String,
        /// The binlog file.
        #[arg(long)]
        file: String,
        /// The offset in it: behind a transaction, as SHOW BINLOG EVENTS has it.
        #[arg(long, default_value_t = 4)]
        offset: u64,
    },
    /// Forget the position: the next start begins where the configuration says; the
    /// instance must be stopped.
    Reset {
        /// The instance.
        instance: String,
    },
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Outcome {
    let home = Home::find(environment)?;
    small_runtime()?.block_on(async {
        match arguments.action {
            Action::Show { instance } => show(&home, instance.as_deref()).await,
            Action::Set { instance, file, offset } => {
                ensure_stopped(&home).await?;
                stored::set(&home, &instance, &file, offset).await?;
                say(&format!("{instance} goes on from {file}:{offset}"))?;
                Ok(ExitCode::SUCCESS)
            }
            Action::Reset { instance } => {
                ensure_stopped(&home).await?;
                stored::reset(&home, &instance).await?;
                say(&format!("{instance} begins where its configuration says"))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

async fn show(home: &Home, wanted: Option<&str>) -> Outcome {
    let positions: Vec<(String, Option<Position>)> = match health::client(home).health().await {
        Ok(snapshot) => snapshot
            .instances
            .into_iter()
            .map(|InstanceStatus { name, progress, .. }| (name, progress.position))
            .collect(),
        Err(AdminError::Unreachable { .. }) => stored::all(home).await?,
        Err(other) => return Err(other.into()),
    };
    let found: Vec<_> =
        positions.into_iter().filter(|(name, _)| wanted.is_none_or(|one| one == name)).collect();
    if let (Some(wanted), []) = (wanted, &*found) {
        bail!("there is no instance {wanted}");
    }
    for (name, position) in found {
        match position {
            None => say(&format!("{name}: no position yet"))?,
            Some(position) => {
                say(&format!("{name}: {position}"))?;
                if let Some(set) = &position.gtid_set {
                    say(&format!("  gtid: {set}"))?;
                }
                say(&format!("  server: {}", position.server_uuid))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn ensure_stopped(home: &Home) -> anyhow::Result<()> {
    match health::client(home).health().await {
        Err(AdminError::Unreachable { .. }) => Ok(()),
        Ok(snapshot) => bail!(
            "sluice is running (pid {}): stop it first with {}",
            snapshot.pid,
            home.path.join("bin").join("stop.sh").display(),
        ),
        Err(other) => Err(other).context("cannot tell whether sluice is running"),
    }
}
