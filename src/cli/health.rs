//! `sluice health`: asks the running server, prints what is not well, and answers with an
//! exit code: 0 all ready, 1 nothing runs (or it is still starting), 3 it runs, but the
//! instances it names do not.
//!
//! The scripts wait with it, so that nobody needs curl.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::admin::client::{Client, Error};
use crate::config::Environment;
use crate::control::{Copying, InstanceStatus, Phase, Snapshot};
use crate::server;

use super::home::Home;
use super::output::say;
use super::{Outcome, small_runtime};

/// How often a waiting command asks.
const PAUSE: Duration = Duration::from_millis(200);

/// What may be said about it.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Wait up to so many seconds until all is ready.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    wait: u64,
    /// Give up waiting when this process has ended.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Print the whole answer as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Outcome {
    let client = client(&Home::find(environment)?);
    let answer = small_runtime()?.block_on(wait(&client, arguments));
    let snapshot = match answer {
        Ok(snapshot) => snapshot,
        Err(error) => {
            say(&format!("sluice does not run: {error}"))?;
            return Ok(ExitCode::FAILURE);
        }
    };
    if arguments.json {
        say(&serde_json::to_string_pretty(&snapshot)?)?;
    } else {
        describe(&snapshot)?;
    }
    Ok(code(&snapshot))
}

/// The admin port that the settings name; Canal's default where they cannot be read, since
/// a process may run on settings that were broken since.
pub(super) fn client(home: &Home) -> Client {
    let client = match home.clone().without_instances().settings() {
        Ok(settings) => {
            Client::new(settings.server.admin_host.as_deref(), settings.server.admin_port)
        }
        Err(_) => Client::new(None, 11112),
    };
    client.with_token(server::token(&home.path))
}

/// The process that runs over this home, if one does.
pub(super) async fn running(home: &Home) -> anyhow::Result<Option<Snapshot>> {
    match client(home).health().await {
        Ok(snapshot) if home.is(&snapshot.home) => Ok(Some(snapshot)),
        Ok(other) => bail!(
            "the sluice of {} (pid {}) answers on the port of this home: set \
             canal.metrics.pull.port of {} to another",
            other.home,
            other.pid,
            home.path.display(),
        ),
        Err(Error::Unreachable { .. }) => Ok(None),
        Err(strange) => Err(strange).context("cannot find out whether sluice is running"),
    }
}

/// Asks until waiting longer changes nothing, the time is over, or the process has ended.
/// Answers of another process (one that has the port already) do not count.
async fn wait(client: &Client, arguments: &Arguments) -> Result<Snapshot, Error> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(arguments.wait);
    loop {
        let mut answer = client.health().await;
        if let (Ok(snapshot), Some(pid)) = (&answer, arguments.pid)
            && snapshot.pid != pid
        {
            let text = format!("its port is in use by process {}", snapshot.pid);
            answer = Err(Error::Refused(text));
        }
        let settled = answer.as_ref().is_ok_and(Snapshot::is_settled);
        let ended = arguments.pid.is_some_and(|pid| !is_alive(pid));
        if settled || ended || tokio::time::Instant::now() >= deadline {
            return answer;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    match stat {
        // A child that has ended and was not waited for is not alive.
        Ok(stat) => !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'),
        Err(_) => !std::path::Path::new("/proc/self").exists(),
    }
}

fn code(snapshot: &Snapshot) -> ExitCode {
    match snapshot.phase {
        Phase::Serving if snapshot.is_ready() => ExitCode::SUCCESS,
        Phase::Serving => ExitCode::from(3),
        Phase::Starting { .. } | Phase::Draining => ExitCode::FAILURE,
    }
}

pub(super) fn describe_instance(instance: &InstanceStatus) -> std::io::Result<()> {
    let mut line = format!("  {}: {}", instance.name, instance.state.word());
    if let Some(active) = instance.state.active() {
        let _ = write!(line, ": {active}, runs it");
    }
    for text in [instance.state.reason(), instance.state.advice()].into_iter().flatten() {
        line.push_str(": ");
        line.push_str(text);
    }
    say(&line)
}

/// How far tables are copied, in words.
pub(super) fn copied(copying: &Copying) -> String {
    let Copying { tables, done, failed, rows, estimate, rows_per_second, paused, .. } = copying;
    let mut text = format!("copied: {done} of {tables} tables, {rows} of about {estimate} rows");
    let left = estimate.saturating_sub(*rows);
    if *rows_per_second > 0 && done + failed < *tables && !paused {
        let _ = write!(
            text,
            ", {rows_per_second} rows a second, about {} s left",
            left / rows_per_second
        );
    }
    if *failed > 0 {
        let _ = write!(text, ", {failed} FAILED");
    }
    if *paused {
        text.push_str(", PAUSED");
    }
    text
}

fn describe(snapshot: &Snapshot) -> std::io::Result<()> {
    let listeners = snapshot.listeners.join(", ");
    match &snapshot.phase {
        Phase::Starting { doing } => say(&format!("sluice is starting: {doing}"))?,
        Phase::Serving => {
            say(&format!("sluice runs (pid {}), Kafka clients on {listeners}", snapshot.pid))?;
        }
        Phase::Draining => say("sluice is stopping")?,
    }
    for instance in &snapshot.instances {
        describe_instance(instance)?;
        let parked: Vec<_> =
            instance.progress.parked.iter().map(|one| one.name().to_string()).collect();
        if !parked.is_empty() {
            let parked = parked.join(", ");
            say(&format!("    parked: {parked}; `bin/sluice instance show` says why"))?;
        }
        if let Some(copying) = &instance.progress.copying
            && copying.done < copying.tables
        {
            say(&format!("    {}; `bin/sluice snapshot status` says more", copied(copying)))?;
        }
        let branches = &instance.progress.branches;
        for branch in &branches.not_on_server {
            say(&format!("    a held XA branch that the server does not know: {branch}"))?;
        }
        for branch in &branches.before_begin {
            say(&format!("    an XA branch that was prepared before it began: {branch}"))?;
        }
        for (standby, gtids) in &instance.progress.errant {
            say(&format!("    ERRANT TRANSACTIONS on the standby {standby}: {gtids}"))?;
        }
    }
    for damage in &snapshot.damage {
        say(&format!("  the log is damaged: {damage}"))?;
    }
    for trouble in &snapshot.log {
        say(&format!("  the log: {trouble}"))?;
    }
    for refused in &snapshot.refused {
        say(&format!("  the changed configuration is not taken up: {refused}"))?;
    }
    for file in &snapshot.log_files {
        say(&format!("  log lines: {file}"))?;
    }
    Ok(())
}
