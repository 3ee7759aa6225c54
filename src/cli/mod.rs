//! The command line: one file a command, each with its arguments and its work.
//!
//! In: the arguments and the environment, both handed in by `main`. Out: lines on the
//! standard output and an exit code. A failure is one sentence on the standard error and
//! exit code 1; more are named by the command that has them.

mod check;
mod configs;
mod connect;
mod consume;
mod dump;
mod groups;
mod health;
mod home;
mod instance;
mod log;
mod login;
mod output;
mod pages;
mod position;
mod produce;
mod run;
mod snapshot;
mod topics;
mod user;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::Environment;

/// MySQL change-data-capture with a bundled log that speaks the Kafka protocol.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, infer_long_args = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: the log, its broker and the instances.
    Run(run::Arguments),
    /// Say whether everything is ready to run: configuration, directories, ports, MySQL servers.
    Check(check::Arguments),
    /// Ask the running server how it is: 0 all ready, 1 nothing runs, 3 instances are not.
    Health(health::Arguments),
    /// Show, stop or start instances, and publish or drop what is kept of parked tables.
    Instance(instance::Arguments),
    /// Show or change where an instance is positioned.
    Position(position::Arguments),
    /// Copy tables beside the stream: plan, start, status, pause, resume, stop.
    Snapshot(snapshot::Arguments),
    /// Compare the tables of an instance with their topics: exit code 1 if keys differ, 2 if
    /// something cannot be judged.
    Verify(verify::Arguments),
    /// Print the records of topics, with the options of kafka-console-consumer.
    Consume(consume::Arguments),
    /// Write lines into a topic, with the options of kafka-console-producer.
    Produce(produce::Arguments),
    /// Print what a file of the log holds, and what is wrong in it: exit code 2 if something is.
    Dump(dump::Arguments),
    /// Copy the log of the running server.
    Log(log::Arguments),
    /// Print a link that opens the page once, without a password.
    Login(login::Arguments),
    /// Say who may log in to the page: add, remove and list users.
    User(user::Arguments),
    /// Make, list, describe, change and delete topics, with the options of kafka-topics.
    Topics(topics::Arguments),
    /// Show and change the settings of topics, with the options of kafka-configs.
    Configs(configs::Arguments),
    /// List, describe, reset and delete groups, with the options of kafka-consumer-groups.
    Groups(groups::Arguments),
    /// Print what lets a shell complete the command line.
    Completions(pages::Completions),
    /// Print a man page: packages are made with it.
    #[command(hide = true)]
    Man(pages::Man),
}

/// What a command ends with, if nothing failed.
type Outcome = anyhow::Result<ExitCode>;

/// Runs the command that `arguments` name.
pub fn main(
    arguments: impl Iterator<Item = OsString>,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let environment: Environment = variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(message) => return usage(&message),
    };
    match dispatch(arguments.command, &environment) {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command, environment: &Environment) -> Outcome {
    match command {
        Command::Run(arguments) => run::run(arguments, environment),
        Command::Check(arguments) => check::run(arguments, environment),
        Command::Health(arguments) => health::run(&arguments, environment),
        Command::Instance(arguments) => instance::run(&arguments, environment),
        Command::Position(arguments) => position::run(arguments, environment),
        Command::Snapshot(arguments) => snapshot::run(arguments, environment),
        Command::Verify(arguments) => verify::run(&arguments, environment),
        Command::Consume(arguments) => consume::run(&arguments, environment),
        Command::Produce(arguments) => produce::run(&arguments, environment),
        Command::Dump(arguments) => dump::run(&arguments),
        Command::Log(arguments) => log::run(&arguments, environment),
        Command::Login(arguments) => login::run(&arguments, environment),
        Command::User(arguments) => user::run(&arguments, environment),
        Command::Topics(arguments) => topics::run(&arguments, environment),
        Command::Configs(arguments) => configs::run(&arguments, environment),
        Command::Groups(arguments) => groups::run(&arguments, environment),
        Command::Completions(arguments) => pages::completions(&arguments, Arguments::command()),
        Command::Man(arguments) => pages::man(&arguments, Arguments::command()),
    }
}

/// Help goes to the standard output, a wrong command line to the standard error.
fn usage(message: &clap::Error) -> ExitCode {
    // Nowhere to say so if even this cannot be printed.
    let _ = message.print();
    if message.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A runtime for a command that asks others and waits.
fn small_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
