//! `sluice completions SHELL` and `sluice man [COMMAND]`: what packages ship beside the program, made
//! from the command line as it is.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Command};
use clap_complete::Shell;

use super::Outcome;

/// What may be said about completions.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell that is to complete.
    shell: Shell,
}

/// What may be said about man pages.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The command that the page is about; that of the program if none is named, and `list` prints
    /// their names.
    command: Option<String>,
}

/// Prints the script for a shell.
pub(super) fn completions(arguments: &Completions, mut commands: Command) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut commands, "sluice", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a page as roff.
pub(super) fn man(arguments: &Man, mut commands: Command) -> Outcome {
    commands.build();
    let mut page = Vec::new();
    match arguments.command.as_deref() {
        None => clap_mangen::Man::new(commands).render(&mut page)?,
        Some("list") => {
            for command in commands.get_subcommands().filter(|command| !command.is_hide_set()) {
                writeln!(page, "{}", command.get_name())?;
            }
        }
        Some(name) => {
            let Some(command) = commands.find_subcommand(name) else {
                bail!("there is no command {name}: `sluice --help` lists them");
            };
            clap_mangen::Man::new(command.clone()).render(&mut page)?;
        }
    }
    std::io::stdout().write_all(&page)?;
    Ok(ExitCode::SUCCESS)
}
