//! `sluice snapshot`: tables copied beside the stream of an instance of the running process.

use std::io::{IsTerminal as _, stdout};
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::config::Environment;
use crate::control::{Copying, Snapshot, SnapshotOrder};

use super::health;
use super::home::Home;
use super::output::say;
use super::{Outcome, small_runtime};

/// What to do.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what a copy would take: rows, bytes, minutes, and how long the source keeps its binlog.
    Plan(Which),
    /// Copy tables while the stream goes on; those that were copied, once more.
    Start {
        #[command(flatten)]
        which: Which,
        /// Only rows that this condition holds for, in the source's SQL.
        #[arg(long = "where", value_name = "CONDITION")]
        condition: Option<String>,
    },
    /// Show how far tables are copied; exit code 3 if one could not be.
    Status {
        /// The instance; all if none is named.
        instance: Option<String>,
    },
    /// Copy nothing until `resume`, over restarts too.
    Pause {
        /// The instance.
        instance: String,
    },
    /// Go on.
    Resume {
        /// The instance.
        instance: String,
    },
    /// Give up what is not copied yet.
    Stop(Which),
}

#[derive(Debug, Args)]
struct Which {
    /// The instance.
    instance: String,
    /// The tables, as patterns of canal.instance.filter.regex; all if not given.
    #[arg(long, value_name = "REGEX")]
    tables: Option<String>,
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Outcome {
    let home = Home::find(environment)?;
    small_runtime()?.block_on(async {
        let Some(running) = health::running(&home).await? else {
            bail!("sluice does not run; bin/startup.sh starts it with all its instances");
        };
        let (instance, order) = match arguments.action {
            Action::Status { instance } => return show(&running, instance.as_deref()),
            Action::Plan(Which { instance, tables }) => (instance, SnapshotOrder::Plan { tables }),
            Action::Start { which: Which { instance, tables }, condition } => {
                (instance, SnapshotOrder::Start { tables, condition })
            }
            Action::Pause { instance } => (instance, SnapshotOrder::Pause),
            Action::Resume { instance } => (instance, SnapshotOrder::Resume),
            Action::Stop(Which { instance, tables }) => (instance, SnapshotOrder::Stop { tables }),
        };
        say(&health::client(&home).snapshot(&instance, &order).await?)?;
        Ok(ExitCode::SUCCESS)
    })
}

fn show(running: &Snapshot, wanted: Option<&str>) -> Outcome {
    let shown = running.instances.iter().filter(|one| wanted.is_none_or(|name| one.name == name));
    let (mut any, mut failed) = (false, 0);
    for instance in shown {
        any = true;
        let Some(copying) = &instance.progress.copying else {
            say(&format!("{}: no table is copied, nor was", instance.name))?;
            continue;
        };
        failed += copying.failed;
        say(&format!("{}: {}", instance.name, health::copied(copying)))?;
        if stdout().is_terminal() {
            say(&format!("  {}", bar(copying)))?;
        }
        for table in &copying.unfinished {
            let reason = table.reason.as_deref().map(|reason| format!(": {reason}"));
            say(&format!(
                "  {}: {}, {} of about {} rows{}",
                table.table,
                table.state,
                table.rows,
                table.estimate,
                reason.unwrap_or_default(),
            ))?;
        }
        let left = (copying.tables - copying.done).saturating_sub(copying.unfinished.len());
        if left > 0 {
            say(&format!("  and {left} more"))?;
        }
    }
    match wanted {
        Some(name) if !any => bail!("there is no instance {name}"),
        _ if failed > 0 => Ok(ExitCode::from(3)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// How much is done, by what the source thinks it has.
fn bar(copying: &Copying) -> String {
    const WIDTH: u64 = 50;
    let of = copying.estimate.max(copying.rows).max(1);
    let done = if copying.done == copying.tables { WIDTH } else { copying.rows * WIDTH / of };
    let (done, left) = (done.min(WIDTH), WIDTH - done.min(WIDTH));
    let cells = |count: u64, cell: &str| cell.repeat(usize::try_from(count).unwrap_or_default());
    format!("[{}{}] {} %", cells(done, "#"), cells(left, "."), done * 100 / WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_never_overflows() {
        let of =
            |rows, estimate| Copying { tables: 2, done: 1, rows, estimate, ..Copying::default() };
        assert!(bar(&of(500, 100)).ends_with("100 %"), "{}", bar(&of(500, 100)));
        assert!(bar(&of(50, 100)).ends_with(" 50 %"));
        assert!(bar(&of(0, 0)).ends_with(" 0 %"));
    }
}
