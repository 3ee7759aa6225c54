//! `sluice check`: everything that must be true before starting, all that is not at once.
//!
//! Exit code 0 when the server can start, 1 when not. The instances' servers are probed by
//! the instances themselves; here: the files and, where no sluice runs, the directory of
//! the log and the ports.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::config::{Environment, Settings};
use crate::disk::{Disk as _, Real};

use super::health;
use super::home::Home;
use super::output::say;
use super::{Outcome, small_runtime};

/// Nothing may be said about it.
#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments, environment: &Environment) -> Outcome {
    let home = Home::find(environment)?;
    say(&format!("home: {}", home.path.display()))?;
    let settings = match home.settings() {
        Ok(settings) => settings,
        Err(problems) => {
            for problem in problems.iter() {
                say(&problem.to_string())?;
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    for problem in settings.remarks.iter() {
        say(&problem.to_string())?;
    }
    let running = small_runtime()?.block_on(health::client(&home).health());
    let failures = match &running {
        Ok(snapshot) => {
            say(&format!("sluice is running (pid {})", snapshot.pid))?;
            Vec::new()
        }
        Err(_) => failures(&settings),
    };
    for failure in &failures {
        say(&format!("error: {failure}"))?;
    }
    for instance in &settings.instances {
        let source = &instance.config.source;
        let name = &instance.config.name;
        say(&format!("instance {name}: {} as {}", source.server.address, source.user))?;
    }
    if failures.is_empty() {
        say("the configuration is right")?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

fn failures(settings: &Settings) -> Vec<String> {
    let server = &settings.server;
    let mut found: Vec<String> = unwritable(&server.log.dir).into_iter().collect();
    let ports = server.broker.listeners.iter().map(|one| (one.host.as_deref(), one.port));
    let admin = (server.admin_host.as_deref(), server.admin_port);
    found.extend(ports.chain([admin]).filter_map(|(host, port)| occupied(host, port)));
    found
}

/// Takes the log's lock for a moment, which makes the directory where there is none.
fn unwritable(directory: &Path) -> Option<String> {
    let taken = Real::new(directory).and_then(|disk| disk.lock().map(drop));
    let error = taken.err()?;
    let place = directory.display();
    Some(match error.kind() {
        ErrorKind::WouldBlock => format!("{place} is in use by another process"),
        _ => format!("{place} cannot be written: {error}; change its owner, or set log.dirs"),
    })
}

fn occupied(host: Option<&str>, port: u16) -> Option<String> {
    let address = (host.unwrap_or("0.0.0.0"), port);
    match TcpListener::bind(address) {
        Ok(_) => None,
        Err(error) => Some(format!("{}:{port} cannot be listened on: {error}", address.0)),
    }
}
