//! `sluice run`: reads the settings and runs the server until it is told to stop.
//!
//! Exit code 0 after a clean drain, 1 when nothing could run: every error of the
//! configuration is printed with its file and line.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::config::{Environment, Severity};
use crate::server::{self, Reloaded, Start, Supervisor};
use crate::telemetry;

use super::Outcome;
use super::home::{Given, Home};
use super::output::{complain, say};

/// How long the end waits for threads that were given up.
const LEFT_BEHIND: Duration = Duration::from_millis(200);

/// What may be said about a run.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    given: Given,
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let stop = {
        let _within = runtime.enter();
        server::stop_on_signals()?
    };
    let home = Home::find(environment)?.with(arguments.given);
    let Reloaded { settings, files } = home.settings_and_files();
    let settings = match settings {
        Ok(settings) => settings,
        Err(problems) => {
            problems.iter().for_each(|problem| complain(&problem.to_string()));
            return Ok(ExitCode::FAILURE);
        }
    };
    let lines = &settings.server.lines;
    let written = Some(lines.levels.as_str()).filter(|levels| !levels.is_empty());
    let levels = home.variable(telemetry::LEVELS_VARIABLE).or(written);
    let folder = home.path.join("logs");
    let _flush = telemetry::log_to_files(&folder, levels, lines.keeping, complain);
    for problem in settings.remarks.iter() {
        match problem.severity {
            Severity::Error | Severity::Warning => {
                complain(&problem.to_string());
                tracing::warn!("{problem}");
            }
            Severity::Note => tracing::info!("{problem}"),
        }
    }
    let supervisor = Supervisor::find(|name| home.variable(name)).unwrap_or_else(|error| {
        tracing::warn!(%error, "the socket of NOTIFY_SOCKET cannot be used: systemd is not told");
        None
    });
    let reload = Arc::new(move || home.settings_and_files());
    let start = Start { settings, files, stop, reload, supervisor };
    let ended = runtime.block_on(server::run(start)).context("sluice cannot run");
    // Whoever still waits for a file or a name server holds nothing that is missed.
    runtime.shutdown_timeout(LEFT_BEHIND);
    if let Err(error) = &ended {
        tracing::error!("{error:#}");
    }
    ended?;
    say("sluice stopped")?;
    Ok(ExitCode::SUCCESS)
}
