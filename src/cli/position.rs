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

/// Where to go on.
#[derive(Debug)]
enum Place {
    /// At an offset of a file.
    File(String, u64),
    /// Behind an executed GTID set.
    Gtid(String),
}

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
        #[arg(long, required_unless_present = "gtid")]
        file: Option<String>,
        /// The offset in it: between two transactions, as SHOW BINLOG EVENTS shows them.
        #[arg(long, default_value_t = 4, requires = "file")]
        offset: u64,
        /// Behind this executed GTID set instead.
        #[arg(long, conflicts_with = "file")]
        gtid: Option<String>,
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
            Action::Set { instance, file, offset, gtid } => {
                ensure_stopped(&home).await?;
                let place = match gtid {
                    Some(gtid) => Place::Gtid(gtid),
                    None => Place::File(file.unwrap_or_default(), offset),
                };
                let position = stored::set(&home, &instance, place).await?;
                print(&instance, Some(&position))?;
                Ok(ExitCode::SUCCESS)
            }
            Action::Reset { instance } => {
                ensure_stopped(&home).await?;
                let has_canals = stored::reset(&home, &instance).await?;
                let begins = if has_canals {
                    "where Canal stopped (its meta.dat is there; without it, where the configuration says)"
                } else {
                    "where the configuration says, or at the server's current end"
                };
                say(&format!("{instance} begins {begins}"))?;
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
        print(&name, position.as_ref())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(name: &str, position: Option<&Position>) -> std::io::Result<()> {
    let Some(position) = position else { return say(&format!("{name}: no position yet")) };
    match &position.gtid_set {
        Some(set) if position.file.is_empty() => say(&format!("{name}: behind {set}"))?,
        Some(set) => say(&format!("{name}: {position}\n  gtid: {set}"))?,
        None => say(&format!("{name}: {position}"))?,
    }
    say(&format!("  server: {}", position.server_uuid))
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
