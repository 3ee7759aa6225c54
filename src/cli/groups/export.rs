//! `sluice groups export`: what groups have not read yet of a log that an instance has left.
//!
//! In: the file that `sluice position export` wrote, which says where the topics ended; the brokers
//! that serve them. Out: a line for each group and partition, and a sentence for each group.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cli::Outcome;
use crate::cli::connect::Connect;
use crate::cli::output::{complain, say};
use crate::client::{Groups, Unread};
use crate::config::Environment;
use crate::server::moving;

use super::{Column, table};

/// The exit code that says that something is unread.
const UNREAD: u8 = 2;

const COLUMNS: &[Column] = &[
    ("GROUP", 15),
    ("TOPIC", 15),
    ("PARTITION", 10),
    ("CURRENT-OFFSET", 15),
    ("SWITCH-OFFSET", 15),
    ("UNREAD", 0),
];

/// What to look at.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file of `position export`.
    file: PathBuf,
    /// A group; may be repeated [default: all that have read of these topics].
    #[arg(long)]
    group: Vec<String>,
    #[command(flatten)]
    connect: Connect,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Outcome {
    let (_, topics) = moving::ends(&arguments.file)?;
    let partitions: Vec<(String, i32, i64)> = topics
        .into_iter()
        .flat_map(|topic| {
            let name = topic.there;
            (0..).zip(topic.ends).map(move |(partition, end)| (name.clone(), partition, end))
        })
        .collect();
    let groups = Groups::of(&arguments.connect.to(environment, None, &[])?)?;
    for (topic, partition) in groups.going_on(&partitions)? {
        complain(&format!(
            "WARN: topic {topic}, partition {partition} has records behind the switch: the instance \
             has run on here, and what it wrote is in the new log too; read up to the switch only"
        ));
    }
    let names = match &*arguments.group {
        [] => groups.list()?.into_iter().map(|group| group.name).collect(),
        some => some.to_vec(),
    };
    let found = groups.unread(&names, &partitions)?;
    let of_group = |(group, rows): &(String, Vec<Unread>)| {
        let cells = |row: &Unread| {
            vec![
                group.clone(),
                row.topic.clone(),
                row.partition.to_string(),
                row.committed.map_or_else(|| "-".to_owned(), |offset| offset.to_string()),
                row.until.to_string(),
                row.left.to_string(),
            ]
        };
        rows.iter().map(cells).collect::<Vec<_>>()
    };
    if found.is_empty() {
        say("no group has read any of these topics")?;
        return Ok(ExitCode::SUCCESS);
    }
    table(COLUMNS, &found.iter().flat_map(of_group).collect::<Vec<_>>())?;
    let mut all_read = true;
    for (group, rows) in &found {
        let left: i64 = rows.iter().map(|row| row.left).sum();
        let partitions = rows.iter().filter(|row| row.left > 0).count();
        all_read &= left == 0;
        say(&match left {
            0 => format!("{group} has read all: it may go on in the new log"),
            _ => format!("{group} has {left} offsets to read in {partitions} partitions"),
        })?;
    }
    Ok(if all_read { ExitCode::SUCCESS } else { ExitCode::from(UNREAD) })
}
