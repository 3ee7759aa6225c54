//! `sluice groups`: kafka-consumer-groups.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use jiff::{Span, Timestamp};

use crate::client::{Error, GroupDescription, Groups, OffsetRow, Target};
use crate::clock;
use crate::config::Environment;

use super::connect::Connect;
use super::output::{complain, say};
use super::{Outcome, small_runtime};

/// Kafka's options.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("action").required(true).args(["list", "describe", "delete", "reset_offsets"]))]
#[command(group = ArgGroup::new("target").args([
    "to_earliest", "to_latest", "to_current", "to_offset", "shift_by", "to_datetime", "by_duration",
]))]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of Kafka's")]
pub(super) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    /// List all groups.
    #[arg(long)]
    list: bool,
    /// Describe groups: where they stand and how far they are behind.
    #[arg(long)]
    describe: bool,
    /// Delete groups that have no members.
    #[arg(long)]
    delete: bool,
    /// Move the offsets of a group that has no members.
    #[arg(long)]
    reset_offsets: bool,
    /// The group; may be repeated.
    #[arg(long)]
    group: Vec<String>,
    /// All groups.
    #[arg(long)]
    all_groups: bool,
    /// With --describe: the members. With their partitions: --verbose.
    #[arg(long)]
    members: bool,
    /// With --describe: where it stands, which is the default.
    #[arg(long)]
    offsets: bool,
    /// With --describe or --list: what the group is doing.
    #[arg(long, num_args = 0..=1, default_missing_value = "")]
    state: Option<String>,
    /// More of it.
    #[arg(long)]
    verbose: bool,
    /// A topic, or topic:0,1 for some of its partitions; may be repeated.
    #[arg(long)]
    topic: Vec<String>,
    /// All topics the group has offsets of.
    #[arg(long)]
    all_topics: bool,
    /// To the first record there is.
    #[arg(long)]
    to_earliest: bool,
    /// Behind the last record.
    #[arg(long)]
    to_latest: bool,
    /// Where it stands.
    #[arg(long)]
    to_current: bool,
    /// To an offset.
    #[arg(long)]
    to_offset: Option<i64>,
    /// So many records on, or back.
    #[arg(long, allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// To a time: `YYYY-MM-DDTHH:mm:SS.sss`, UTC unless an offset is given.
    #[arg(long)]
    to_datetime: Option<String>,
    /// So long ago: `PnDTnHnMnS`.
    #[arg(long)]
    by_duration: Option<String>,
    /// Show what would be done, which is the default.
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Do it.
    #[arg(long)]
    execute: bool,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Outcome {
    let connection = arguments.connect.to(environment, None, &[])?;
    let groups = Groups::of(&connection)?;
    if arguments.list {
        list(&groups, arguments)
    } else if arguments.describe {
        describe(&groups, arguments)
    } else if arguments.delete {
        delete(&groups, arguments)
    } else {
        reset(&groups, arguments)
    }
}

fn list(groups: &Groups, arguments: &Arguments) -> Outcome {
    let groups = groups.list()?;
    let Some(wanted) = &arguments.state else {
        for group in groups {
            say(&group.name)?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let wanted: Vec<&str> = wanted.split(',').filter(|word| !word.is_empty()).collect();
    say(&format!("{:<30} {}", "GROUP", "STATE"))?;
    for group in groups {
        if wanted.is_empty() || wanted.iter().any(|one| one.eq_ignore_ascii_case(&group.state)) {
            say(&format!("{:<30} {}", group.name, group.state))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn names(groups: &Groups, arguments: &Arguments) -> anyhow::Result<Vec<String>> {
    if arguments.all_groups {
        return Ok(groups.list()?.into_iter().map(|group| group.name).collect());
    }
    if arguments.group.is_empty() {
        bail!("one of --group and --all-groups is needed");
    }
    Ok(arguments.group.clone())
}

fn describe(groups: &Groups, arguments: &Arguments) -> Outcome {
    for name in names(groups, arguments)? {
        let description = match groups.describe(&name) {
            Err(error @ Error::NoGroup(_)) => {
                complain(&format!("\nError: {error}"));
                return Ok(ExitCode::FAILURE);
            }
            other => other?,
        };
        if description.group.members.is_empty() {
            say(&format!("\nConsumer group '{name}' has no active members."))?;
        }
        if arguments.members {
            members(&description, arguments.verbose)?;
        } else if arguments.state.is_some() {
            state(&description)?;
        } else {
            offsets(&description)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn offsets(description: &GroupDescription) -> anyhow::Result<()> {
    let mut rows = vec![
        [
            "GROUP",
            "TOPIC",
            "PARTITION",
            "CURRENT-OFFSET",
            "LOG-END-OFFSET",
            "LAG",
            "CONSUMER-ID",
            "HOST",
            "CLIENT-ID",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for row in &description.offsets {
        let member = description.group.members.iter().find(|member| {
            member.assignment.get(&row.topic).is_some_and(|all| all.contains(&row.partition))
        });
        let dash = || "-".to_owned();
        rows.push(vec![
            description.group.name.clone(),
            row.topic.clone(),
            row.partition.to_string(),
            row.committed.map_or_else(dash, |offset| offset.to_string()),
            row.end.to_string(),
            lag(row).map_or_else(dash, |lag| lag.to_string()),
            member.map_or_else(dash, |member| member.id.clone()),
            member.map_or_else(dash, |member| member.host.clone()),
            member.map_or_else(dash, |member| member.client.clone()),
        ]);
    }
    table(&rows)
}

fn lag(row: &OffsetRow) -> Option<i64> {
    row.committed.map(|committed| (row.end - committed).max(0))
}

fn members(description: &GroupDescription, verbose: bool) -> anyhow::Result<()> {
    let mut head = ["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS"].to_vec();
    if verbose {
        head.push("ASSIGNMENT");
    }
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for member in &description.group.members {
        let count: usize = member.assignment.values().map(Vec::len).sum();
        let mut row = vec![
            description.group.name.clone(),
            member.id.clone(),
            member.host.clone(),
            member.client.clone(),
            count.to_string(),
        ];
        if verbose {
            let topics = member.assignment.iter().map(|(topic, partitions)| {
                let numbers: Vec<String> = partitions.iter().map(i32::to_string).collect();
                format!("{topic}({})", numbers.join(","))
            });
            row.push(topics.collect::<Vec<_>>().join(", "));
        }
        rows.push(row);
    }
    table(&rows)
}

fn state(description: &GroupDescription) -> anyhow::Result<()> {
    let group = &description.group;
    table(&[
        ["GROUP", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"].map(str::to_owned).to_vec(),
        vec![
            group.name.clone(),
            group.assignor.clone(),
            group.state.clone(),
            group.members.len().to_string(),
        ],
    ])
}

/// Kafka's form: an empty line, then columns as wide as their widest cell.
fn table(rows: &[Vec<String>]) -> anyhow::Result<()> {
    say("")?;
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        say(&cells.collect::<Vec<_>>().join(" "))?;
    }
    Ok(())
}

fn delete(groups: &Groups, arguments: &Arguments) -> Outcome {
    let names = names(groups, arguments)?;
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    let refused = small_runtime()?.block_on(groups.delete(&wanted))?;
    let quoted = |names: Vec<&str>| {
        names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
    };
    if refused.is_empty() {
        say(&format!(
            "Deletion of requested consumer groups ({}) was successful.",
            quoted(wanted)
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    complain("\nError: Deletion of some consumer groups failed:");
    for (name, code) in &refused {
        complain(&format!("* Group '{name}' could not be deleted due to: {code}"));
    }
    let done = wanted.into_iter().filter(|name| refused.iter().all(|(other, _)| other != name));
    let done: Vec<&str> = done.collect();
    if !done.is_empty() {
        say(&format!("\nThese consumer groups were deleted successfully: {}", quoted(done)))?;
    }
    Ok(ExitCode::FAILURE)
}

fn reset(groups: &Groups, arguments: &Arguments) -> Outcome {
    let target = target(arguments)?;
    if arguments.topic.is_empty() && !arguments.all_topics {
        bail!("one of --topic and --all-topics is needed");
    }
    let topics = arguments.topic.iter().map(|text| topic(text)).collect::<Result<Vec<_>, _>>()?;
    let mut rows = vec![["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"].map(str::to_owned).to_vec()];
    for name in names(groups, arguments)? {
        groups.ensure_inactive(&name).context("Error")?;
        let changes = groups.plan(&name, &topics, target)?;
        if arguments.execute && !changes.is_empty() {
            groups.move_to(&name, &changes)?;
        }
        rows.extend(changes.into_iter().map(|change| {
            vec![
                name.clone(),
                change.topic,
                change.partition.to_string(),
                change.offset.to_string(),
            ]
        }));
    }
    if !arguments.execute {
        complain("WARN: No action will be performed as the --execute option is missing.");
    }
    table(&rows)?;
    Ok(ExitCode::SUCCESS)
}

fn target(arguments: &Arguments) -> anyhow::Result<Target> {
    if arguments.to_earliest {
        return Ok(Target::Earliest);
    }
    if arguments.to_latest {
        return Ok(Target::Latest);
    }
    if arguments.to_current {
        return Ok(Target::Current);
    }
    if let Some(offset) = arguments.to_offset {
        return Ok(Target::Offset(offset));
    }
    if let Some(by) = arguments.shift_by {
        return Ok(Target::Shift(by));
    }
    if let Some(text) = &arguments.to_datetime {
        return Ok(Target::Time(datetime(text)?));
    }
    if let Some(text) = &arguments.by_duration {
        let span: Span = text.parse().with_context(|| format!("`{text}` is no duration"))?;
        let now = Timestamp::from_millisecond(clock::now_millis())?;
        let then = now.to_zoned(jiff::tz::TimeZone::UTC).checked_sub(span)?;
        return Ok(Target::Time(then.timestamp().as_millisecond()));
    }
    bail!(
        "say where to: --to-earliest, --to-latest, --to-current, --to-offset, --shift-by, --to-datetime or --by-duration"
    )
}

/// Milliseconds of a time as Kafka's tool reads it: UTC where no offset is given.
fn datetime(text: &str) -> anyhow::Result<i64> {
    let with_zone: Result<Timestamp, _> = text.parse();
    let timestamp = with_zone.or_else(|_| format!("{text}Z").parse());
    let timestamp =
        timestamp.with_context(|| format!("`{text}` is no time: write 2026-01-31T12:00:00.000"))?;
    Ok(timestamp.as_millisecond())
}

/// `topic` or `topic:0,1`.
fn topic(text: &str) -> anyhow::Result<(String, Vec<i32>)> {
    let Some((name, numbers)) = text.split_once(':') else {
        return Ok((text.to_owned(), Vec::new()));
    };
    let numbers = numbers.split(',').map(|number| number.trim().parse());
    let numbers = numbers.collect::<Result<_, _>>();
    Ok((name.to_owned(), numbers.with_context(|| format!("`{text}` is no topic:0,1"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_an_offset_are_utc() {
        assert_eq!(datetime("2024-05-01T08:00:00.123").unwrap(), 1_714_550_400_123);
        assert_eq!(datetime("2024-05-01T10:00:00.123+02:00").unwrap(), 1_714_550_400_123);
        assert!(datetime("yesterday").is_err());
    }

    #[test]
    fn topics_may_name_partitions() {
        assert_eq!(topic("a.b").unwrap(), ("a.b".to_owned(), vec![]));
        assert_eq!(topic("a:0,2").unwrap(), ("a".to_owned(), vec![0, 2]));
        assert!(topic("a:x").is_err());
    }
}
