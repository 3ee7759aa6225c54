//! `sluice check`: everything that must be true before starting, all that is not at once.
//!
//! Exit code 0 when the server can start, 1 when not. The instances' servers are probed by
//! the instances themselves; here: the files, the directory of the log, the ports.

use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::config::{Environment, Settings};

use super::Outcome;
use super::home::Home;
use super::output::say;

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
    let failures = failures(&settings);
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

/// A directory that is not there yet is as good as the folder it will be made in.
fn unwritable(directory: &Path) -> Option<String> {
    let there = directory.ancestors().find(|folder| folder.exists())?;
    let writable = rustix_access(there);
    (!writable).then(|| {
        format!("{} cannot be written: change its owner, or set log.dirs", there.display())
    })
}

fn rustix_access(folder: &Path) -> bool {
    folder.metadata().is_ok_and(|metadata| !metadata.permissions().readonly())
}

fn occupied(host: Option<&str>, port: u16) -> Option<String> {
    let address = (host.unwrap_or("0.0.0.0"), port);
    match TcpListener::bind(address) {
        Ok(_) => None,
        Err(error) => Some(format!("{}:{port} cannot be listened on: {error}", address.0)),
    }
}
