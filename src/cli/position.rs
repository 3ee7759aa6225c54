//! `sluice position`: the position of an instance, and moving it.
//!
//! Where a process runs it is asked, and moves the position itself; else the log is opened
//! under its lock. `set` and `reset` need the instance stopped, not the process, and refuse
//! otherwise with the command that stops it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::change::{Executed, Position};
use crate::config::Environment;
use crate::control::{InstanceStatus, Place};

use super::health;
use super::home::Home;
use super::output::say;
use super::{Outcome, small_runtime};

mod loss;
mod moving;
pub(super) mod stored;

/// What to do with it.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show where an instance is positioned, or all of them.
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
    /// Go on at a server that lacks what was published, without it; the instance must be
    /// stopped.
    AcceptLoss {
        /// The instance.
        instance: String,
        /// The server, as host:port: one of the instance's.
        #[arg(long)]
        server: String,
    },
    /// Write all that is known of an instance to a file, to go on in another log; the instance must
    /// be stopped, and does not start here any more.
    Export {
        /// The instance.
        instance: String,
        /// The file, which must not be there yet.
        file: PathBuf,
        /// A copy to look at or to keep: the instance goes on here.
        #[arg(long)]
        copy: bool,
    },
    /// Let an instance that was exported start here again: it was not started anywhere else.
    Resume {
        /// The instance.
        instance: String,
    },
    /// Go on from such a file; the instance must not run, nor be known here yet.
    Import {
        /// The instance: its name here.
        instance: String,
        /// The file.
        file: PathBuf,
        /// Give up what is known of the instance here for that.
        #[arg(long)]
        replace: bool,
    },
    /// Forget the position: the next start begins where the configuration says; the
    /// instance must be stopped.
    Reset {
        /// The instance.
        instance: String,
        /// Drop what is kept of parked tables with it, which is nowhere else.
        #[arg(long)]
        drop_parked: bool,
    },
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Outcome {
    let home = Home::find(environment)?;
    small_runtime()?.block_on(async {
        match arguments.action {
            Action::Show { instance } => show(&home, instance.as_deref()).await,
            Action::Set { instance, file, offset, gtid } => {
                let place = match (gtid, file) {
                    (Some(set), _) => Place::Gtid { set },
                    (None, file) => Place::File { file: file.unwrap_or_default(), offset },
                };
                set(&home, &instance, &place).await
            }
            Action::AcceptLoss { instance, server } => {
                let place = loss::place(&home, &instance, &server).await?;
                set(&home, &instance, &place).await
            }
            Action::Export { instance, file, copy } => {
                moving::export(&home, &instance, &file, copy).await
            }
            Action::Resume { instance } => moving::resume(&home, &instance).await,
            Action::Import { instance, file, replace } => {
                moving::import(&home, &instance, &file, replace).await
            }
            Action::Reset { instance, drop_parked } => reset(&home, &instance, drop_parked).await,
        }
    })
}

async fn set(home: &Home, instance: &str, place: &Place) -> Outcome {
    if health::running(home).await?.is_some() {
        let said = health::client(home).set_position(instance, place).await?;
        say_if_any(&said)?;
        show(home, Some(instance)).await?;
        say(&format!("bin/sluice instance start {instance} goes on from there"))?;
    } else {
        let moved = stored::set(home, instance, place).await?;
        say_if_any(&moved.to_string())?;
        print(instance, Some(&moved.position))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn say_if_any(text: &str) -> std::io::Result<()> {
    if text.is_empty() { Ok(()) } else { say(text) }
}

async fn reset(home: &Home, instance: &str, drop_parked: bool) -> Outcome {
    let running = health::running(home).await?.is_some();
    let dropped = if running {
        health::client(home).reset_position(instance, drop_parked).await?
    } else {
        stored::reset(home, instance, drop_parked).await?.to_string()
    };
    if !dropped.is_empty() {
        say(&format!("what was kept of parked tables is dropped: {dropped}"))?;
    }
    let settings = home.settings().ok();
    let mut instances = settings.iter().flat_map(|settings| &settings.instances);
    let found = instances.find(|one| one.config.name == instance);
    let begins = if found.is_some_and(|one| one.config.meta_dat.try_exists().unwrap_or(true)) {
        "where Canal stopped (its meta.dat is there; without it, where the configuration says)"
    } else {
        "where the configuration says, or at the server's current end"
    };
    say(&format!("{instance} begins {begins}"))?;
    if running {
        say(&format!("bin/sluice instance start {instance} starts it"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(home: &Home, wanted: Option<&str>) -> Outcome {
    let positions: Vec<(String, Option<Position>)> = match health::running(home).await? {
        Some(snapshot) => snapshot
            .instances
            .into_iter()
            .map(|InstanceStatus { name, progress, .. }| (name, progress.position))
            .collect(),
        None => stored::all(home).await?,
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
    let Some(Position::MySql(position)) = position else {
        return say(&format!("{name}: no position yet"));
    };
    say(&format!("{name}: {position}"))?;
    match &position.gtid_set {
        Executed::Counted(_) if position.file.is_empty() => {}
        Executed::Counted(set) => say(&format!("  gtid: {set}"))?,
        Executed::Absent => {}
        Executed::Uncounted => say("  gtid: counted at the next start")?,
    }
    if let Some(lost) = &position.lost {
        say(&format!("  lost: {} (published, and not on server {})", lost.gtids, lost.on))?;
    }
    match &*position.server_uuid {
        "" => say("  server: the one that answers at the next start"),
        server => say(&format!("  server: {server}")),
    }
}
