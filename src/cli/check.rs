//! `sluice check`: everything that must be true before starting, all that is not at once.
//!
//! Looked at: the files, the ports, the directory of the log or the Kafka cluster, and each
//! instance's MySQL server with the account; `--offline`, the files alone. Exit code 0 when the server can start, 1 when not.

mod cluster;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::change::{GtidSet, Position};
use crate::clock;
use crate::config::{Environment, Instance, Settings, Target};
use crate::control::Snapshot;
use crate::disk::{Disk as _, Real, may_write};
use crate::server;
use crate::source::failover::Servers;
use crate::source::{self, Retention, Severity};

use super::health;
use super::home::{Given, Home};
use super::output::say;
use super::position::stored;
use super::{Outcome, small_runtime};

/// What may be said about it.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Look at the files only: no port, no directory, no server.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    given: Given,
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Outcome {
    let home = Home::find(environment)?.with(arguments.given);
    say(&format!("home: {}", home.path.display()))?;
    let settings = match home.settings() {
        Ok(settings) => settings,
        Err(problems) => {
            say(&problems.to_string())?;
            return Ok(ExitCode::FAILURE);
        }
    };
    for problem in settings.remarks.iter() {
        say(&problem.to_string())?;
    }
    if arguments.offline {
        return read_only(&settings);
    }
    let mut errors = 0;
    let mut refuse = |text: &str| {
        errors += 1;
        say(&format!("error: {text}"))
    };
    small_runtime()?.block_on(async {
        // Of a process of another home on our port is reported below: the port is in use.
        let running = health::running(&home).await.unwrap_or_default();
        if let Some(snapshot) = &running {
            say(&format!("sluice runs over this home (pid {})", snapshot.pid))?;
        } else {
            for failure in obstacles(&settings) {
                refuse(&failure)?;
            }
        }
        if let Target::Cluster(config) = &settings.server.target {
            for failure in cluster::judge(&settings, config).await? {
                refuse(&failure)?;
            }
        }
        let places = match &running {
            Some(snapshot) => reported_positions(snapshot),
            // Without a log there are none yet; what keeps it from being opened is said above.
            None => stored::all(&home).await.unwrap_or_default(),
        };
        for instance in &settings.instances {
            let found = places.iter().find(|(name, _)| *name == instance.config.name);
            let position = found.and_then(|(_, position)| position.as_ref());
            for failure in probe(instance, running.as_ref(), position).await? {
                refuse(&failure)?;
            }
        }
        anyhow::Ok(())
    })?;
    if errors == 0 {
        say("everything is ready")?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// What the files say, as far as they say it.
fn read_only(settings: &Settings) -> Outcome {
    let plans = settings.instances.iter().map(server::plan);
    let problems: Vec<_> = plans.filter_map(Result::err).flatten().collect();
    for problem in &problems {
        say(&problem.to_string())?;
    }
    if problems.is_empty() {
        say("the configuration is valid")?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// The instances of a process, and their positions.
fn reported_positions(snapshot: &Snapshot) -> Vec<(String, Option<Position>)> {
    let instances = snapshot.instances.iter();
    instances.map(|one| (one.name.clone(), one.progress.position.clone())).collect()
}

/// How long the server keeps what is needed from `file` on.
fn words_of(file: &str, left: &Retention) -> String {
    let mut limits = Vec::new();
    limits.extend(left.seconds.map(|seconds| format!("{seconds} s")));
    limits.extend(left.bytes.map(|bytes| format!("{bytes} bytes that it may write")));
    let limits = match limits.as_slice() {
        [] => "without a limit".to_owned(),
        limits => format!("for another {}", limits.join(" or ")),
    };
    let Retention { files, used_percent, .. } = left;
    let urgency = match left.used_percent {
        Retention::ALARM.. => "ALARM: ",
        Retention::WARNING.. => "warning: ",
        _ => "",
    };
    format!(
        "{urgency}the source keeps its binlogs from {file} on, where the instance is positioned, \
         {limits} ({used_percent} % used up; {files} older files go before)"
    )
}

/// Says how an instance's servers are, and returns what keeps the instance from running.
async fn probe(
    instance: &Instance,
    running: Option<&Snapshot>,
    position: Option<&Position>,
) -> anyhow::Result<Vec<String>> {
    let name = &instance.config.name;
    let plan = match server::plan(instance) {
        Ok(plan) => plan,
        Err(problems) => return Ok(problems.iter().map(ToString::to_string).collect()),
    };
    let mut settings = plan.source;
    // A replica of ours that is connected is none that is in the way.
    if let Some(snapshot) = running {
        settings.replica.uuid = server::replica_uuid(&snapshot.cluster, name);
    }
    let first = settings.endpoint.clone();
    let mut errors = Vec::new();
    for settings in Servers::new(&settings).all() {
        let at = |text: &str| format!("instance {name}, {}: {text}", settings.endpoint.address());
        let findings = match source::check(settings).await {
            Ok(findings) => findings,
            Err(error) => {
                errors.push(at(&error.to_string()));
                continue;
            }
        };
        let before = errors.len();
        for finding in findings {
            match finding.severity {
                Severity::Error => errors.push(at(&finding.text)),
                Severity::Warning => say(&format!("warning: {}", at(&finding.text)))?,
            }
        }
        if errors.len() == before {
            let user = &instance.config.source.user;
            say(&at(&format!("can be read as {user}")))?;
            if settings.endpoint == first
                && let Some(position) = position.filter(|position| !position.file().is_empty())
            {
                match source::retention(settings, position.file()).await {
                    Ok(left) => say(&at(&words_of(position.file(), &left)))?,
                    Err(error) => say(&format!("warning: {}", at(&error.to_string())))?,
                }
            }
        }
        if settings.endpoint != first
            && let Ok(Some(gtids)) = source::errant(&first, &settings.endpoint).await
        {
            say(&format!("warning: {}", at(&errant(&first.address(), &gtids))))?;
        }
        if let Some(zone) = source::zone(settings).await? {
            let zone = zone.at(clock::now_seconds());
            say(&at(&format!("TIMESTAMP values are written in its time zone, {zone}")))?;
        }
    }
    Ok(errors)
}

fn errant(first: &str, gtids: &GtidSet) -> String {
    format!(
        "ERRANT TRANSACTIONS: it has transactions of its own, which {first} does not have \
         ({gtids}); they are published when it is failed over to"
    )
}

/// What on this machine keeps the process from starting.
fn obstacles(settings: &Settings) -> Vec<String> {
    let config = &settings.server;
    let mut found = Vec::new();
    // With a cluster neither the bundled log nor its broker is started.
    let has_log = matches!(config.target, Target::Log);
    if has_log {
        found.extend(unwritable(&config.log.dir));
    }
    // Held until all are had, as the process holds them: ours are against one another too.
    let mut held = Vec::new();
    match occupy(config.admin_host.as_deref(), config.admin_port) {
        Ok(socket) => held.push(socket),
        Err(reason) => found.push(server::Error::of_admin(settings, reason).to_string()),
    }
    for listener in config.broker.listeners.iter().filter(|_| has_log) {
        match occupy(listener.host.as_deref(), listener.port) {
            Ok(socket) => held.push(socket),
            Err(reason) => {
                found.push(server::Error::of_listener(settings, listener, reason).to_string());
            }
        }
    }
    found
}

/// Takes the log's lock for a moment. A directory that is not there yet is as good as the
/// folder it will be made in.
fn unwritable(directory: &Path) -> Option<String> {
    let tried = if directory.exists() {
        Real::new(directory).and_then(|disk| disk.lock().map(drop))
    } else {
        may_write(directory)
    };
    let error = tried.err()?;
    let place = directory.display();
    Some(match error.kind() {
        ErrorKind::WouldBlock => format!(
            "another process has the log in {place}: stop it, or set log.dirs to a directory of \
             its own"
        ),
        _ => format!(
            "cannot use {place} (log.dirs): {error}; make it writable, or change the setting"
        ),
    })
}

/// Binds as the process does.
fn occupy(host: Option<&str>, port: u16) -> std::io::Result<TcpListener> {
    match host {
        Some(host) => TcpListener::bind((host, port)),
        None => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)) {
            // A machine without IPv6.
            Err(error) if error.kind() != ErrorKind::AddrInUse => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
            }
            bound => bound,
        },
    }
}
