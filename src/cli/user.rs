//! `sluice user`: who may log in to the page, in `conf/users`.
//!
//! A running process takes the file up at the next request. The password is asked for, without
//! showing it, or is the first line of the standard input: never an argument, which everybody on the
//! machine could read.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::admin::{Role, SHORTEST_PASSWORD, Users, new_secret};
use crate::config::Environment;
use crate::disk;

use super::Outcome;
use super::home::Home;
use super::output::say;

/// What to do with them.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a user, or give one another password and role. The password is asked for, or is the first
    /// line of the standard input.
    Add {
        /// The user's name.
        name: String,
        /// What it may do: view, or admin.
        #[arg(long, default_value = "admin", value_parser = role)]
        role: Role,
    },
    /// Remove a user; whoever is logged in under the name is out.
    Remove {
        /// The user's name.
        name: String,
    },
    /// List users and what they may do.
    List,
}

fn role(word: &str) -> Result<Role, String> {
    Role::of(word).ok_or_else(|| "a role is view or admin".to_owned())
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Outcome {
    let file = Home::find(environment)?.path.join("conf/users");
    let mut users = read(&file)?;
    match &arguments.action {
        Action::Add { name, role } => {
            let password = password(name)?;
            let salt = salt()?;
            users.set(name, *role, &password, salt)?;
            write(&file, &users)?;
            say(&format!("{name} may log in as {}", role.word()))?;
        }
        Action::Remove { name } => {
            if !users.remove(name) {
                bail!("there is no user {name}");
            }
            write(&file, &users)?;
            say(&format!("{name} may log in no more"))?;
        }
        Action::List => {
            for (name, role) in users.iter() {
                say(&format!("{name}: {}", role.word()))?;
            }
            if users.is_empty() {
                say("there is no user: only processes of this machine are answered")?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<Users> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Users::parse(&text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Users::default()),
        Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
    }
}

fn write(file: &Path, users: &Users) -> anyhow::Result<()> {
    let folder = file.parent().context("conf/users is in no folder")?;
    disk::write_private(folder, "users", users.text().as_bytes())
        .with_context(|| format!("write {}", file.display()))
}

fn salt() -> anyhow::Result<[u8; 16]> {
    let secret = new_secret()?;
    let mut salt = [0; 16];
    for (place, byte) in salt.iter_mut().enumerate() {
        let digits = secret.get(place * 2..place * 2 + 2).context("a secret has 64 digits")?;
        *byte = u8::from_str_radix(digits, 16)?;
    }
    Ok(salt)
}

fn password(name: &str) -> anyhow::Result<String> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return line();
    }
    let first = hidden(&format!("password of {name} ({SHORTEST_PASSWORD} characters or more): "))?;
    if hidden("the same again: ")? != first {
        bail!("these were two passwords");
    }
    Ok(first)
}

fn line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("read the password")?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Asks at the terminal, which does not show what is typed.
fn hidden(question: &str) -> anyhow::Result<String> {
    let input = std::io::stdin();
    let mut output = std::io::stderr();
    write!(output, "{question}")?;
    output.flush()?;
    let before = tcgetattr(&input)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&input, OptionalActions::Now, &silent)?;
    let read = line();
    tcsetattr(&input, OptionalActions::Now, &before)?;
    writeln!(output)?;
    read
}
