//! `sluice instance`: shows, stops and starts one instance of the running process, and unparks
//! its parked tables; the others do not notice.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::change::{ParkedTable, TableName};
use crate::config::Environment;
use crate::control::Snapshot;

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
    /// Show instances: how they are, and which tables are parked.
    Show {
        /// The instance; all if none is named.
        instance: Option<String>,
    },
    /// Publish what is kept of a parked table, in order, and unpark the table.
    Retry {
        /// The instance.
        instance: String,
        /// The table, as db.table.
        table: String,
    },
    /// Drop what is kept of a parked table, and unpark the table.
    DropParked {
        /// The instance.
        instance: String,
        /// The table, as db.table.
        table: String,
    },
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
        let Some(running) = health::running(&home).await? else {
            bail!("sluice does not run; bin/startup.sh starts it with all its instances");
        };
        let client = health::client(&home);
        match &arguments.action {
            Action::Show { instance } => show(&running, instance.as_deref())?,
            Action::Retry { instance, table } => {
                client.retry(instance, table).await?;
                say(&format!("{table} is parked no more: its changes are published"))?;
            }
            Action::DropParked { instance, table } => {
                client.drop_parked(instance, table).await?;
                say(&format!("{table} is parked no more: its changes were dropped"))?;
            }
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

fn show(running: &Snapshot, wanted: Option<&str>) -> anyhow::Result<()> {
    let shown = running.instances.iter().filter(|one| wanted.is_none_or(|name| one.name == name));
    let mut any = false;
    for instance in shown {
        any = true;
        health::describe_instance(instance)?;
        if let Some(position) = &instance.progress.position {
            say(&format!("    position: {position}"))?;
        }
        for table in &instance.progress.parked {
            let name = table.name();
            say(&format!(
                "    parked: {name}{} since {}:{}, {} events of {} bytes: {}; \
                 `bin/sluice instance retry {} {name}` publishes them once the cause is mended",
                others(table),
                table.file,
                table.offset,
                table.events,
                table.bytes,
                table.reason,
                instance.name,
            ))?;
            for branch in &table.branches {
                say(&format!("      held by the prepared XA branch {branch}"))?;
            }
        }
    }
    match wanted {
        Some(name) if !any => bail!("there is no instance {name}"),
        _ => Ok(()),
    }
}

/// The other names of a parked table, in words.
fn others(table: &ParkedTable) -> String {
    let name = |name: &TableName| match (&*name.schema, &*name.table) {
        ("", "") => "statements without a table".to_owned(),
        (database, "") => format!("all of database {database}"),
        _ => name.to_string(),
    };
    let names: Vec<String> = table.names.iter().map(|one| name(&one.name())).collect();
    if names.is_empty() { String::new() } else { format!(" (with {})", names.join(", ")) }
}
