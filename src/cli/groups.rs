//! `sluice groups`: kafka-consumer-groups; and `sluice groups export`, which Kafka does not have.

mod export;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args, Subcommand};
use jiff::{Span, Timestamp};

use crate::client::{Error, GroupDescription, Groups, OffsetChange, OffsetRow, Target};
use crate::clock;
use crate::config::Environment;

use super::connect::Connect;
use super::output::{complain, say};
use super::{Outcome, small_runtime};

/// Kafka's options.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(group = ArgGroup::new("action").required(true).args(["list", "describe", "delete", "reset_offsets", "delete_offsets"]))]
#[command(group = ArgGroup::new("target").args([
    "to_earliest", "to_latest", "to_current", "to_offset", "shift_by", "to_datetime", "by_duration",
    "from_file",
]))]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of Kafka's")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    connect: Connect,
    /// List all groups.
    #[arg(long)]
    list: bool,
    /// Describe groups: where they are positioned and how far they are behind.
    #[arg(long)]
    describe: bool,
    /// Delete groups that have no members.
    #[arg(long)]
    delete: bool,
    /// Move the offsets of a group that has no members.
    #[arg(long)]
    reset_offsets: bool,
    /// Not there; --delete forgets a whole group.
    #[arg(long, hide = true)]
    delete_offsets: bool,
    /// The group; may be repeated.
    #[arg(long)]
    group: Vec<String>,
    /// All groups.
    #[arg(long)]
    all_groups: bool,
    /// With --describe: the members. With their partitions: --verbose.
    #[arg(long)]
    members: bool,
    /// With --describe: its offsets, which is the default.
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
    /// Where it is positioned.
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
    /// To what a file says, as --export writes it: lines of topic,partition,offset.
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// Print the new offsets for --from-file.
    #[arg(long)]
    export: bool,
    /// How long to wait for the group; every request has a limit of its own here.
    #[arg(long, hide = true, value_name = "MS")]
    timeout: Option<u64>,
    /// Show what would be done, which is the default.
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Do it.
    #[arg(long)]
    execute: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say how much each group has not read of what an instance had written when it was exported.
    Export(export::Arguments),
}

/// A column's name, and its width at least.
type Column = (&'static str, usize);

const OFFSET_COLUMNS: &[Column] = &[
    ("GROUP", 15),
    ("TOPIC", 15),
    ("PARTITION", 10),
    ("CURRENT-OFFSET", 15),
    ("LOG-END-OFFSET", 15),
    ("LAG", 15),
    ("CONSUMER-ID", 15),
    ("HOST", 15),
    ("CLIENT-ID", 0),
];
/// The last one only with --verbose.
const MEMBER_COLUMNS: &[Column] = &[
    ("GROUP", 15),
    ("CONSUMER-ID", 15),
    ("HOST", 15),
    ("CLIENT-ID", 15),
    ("#PARTITIONS", 15),
    ("ASSIGNMENT", 0),
];
const STATE_COLUMNS: &[Column] = &[
    ("GROUP", 15),
    ("COORDINATOR (ID)", 25),
    ("ASSIGNMENT-STRATEGY", 20),
    ("STATE", 20),
    ("#MEMBERS", 0),
];
const RESET_COLUMNS: &[Column] =
    &[("GROUP", 15), ("TOPIC", 15), ("PARTITION", 10), ("NEW-OFFSET", 0)];

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Outcome {
    if let Some(Verb::Export(arguments)) = &arguments.verb {
        return export::run(arguments, environment);
    }
    let connection = arguments.connect.to(environment, None, &[])?;
    let groups = Groups::of(&connection)?;
    if arguments.list {
        list(&groups, arguments)
    } else if arguments.describe {
        describe(&groups, arguments)
    } else if arguments.delete {
        delete(&groups, arguments)
    } else if arguments.delete_offsets {
        bail!(
            "--delete-offsets is not there: --delete forgets all offsets of a group, and --reset-offsets moves them"
        )
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
    let mut rows = Vec::new();
    for group in groups {
        if wanted.is_empty() || wanted.iter().any(|one| one.eq_ignore_ascii_case(&group.state)) {
            rows.push(vec![group.name, group.state]);
        }
    }
    print(&[("GROUP", 25), ("STATE", 0)], &rows)?;
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
            complain(&format!("\nConsumer group '{name}' has no active members."));
        }
        if arguments.members {
            members(&description, arguments.verbose)?;
        } else if arguments.state.is_some() {
            state(&description, &groups.coordinator()?)?;
        } else {
            offsets(&description)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn offsets(description: &GroupDescription) -> anyhow::Result<()> {
    let mut rows = Vec::new();
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
    table(OFFSET_COLUMNS, &rows)
}

fn lag(row: &OffsetRow) -> Option<i64> {
    row.committed.map(|committed| (row.end - committed).max(0))
}

fn members(description: &GroupDescription, verbose: bool) -> anyhow::Result<()> {
    let columns = if verbose { MEMBER_COLUMNS } else { &MEMBER_COLUMNS[..5] };
    let mut rows = Vec::new();
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
    table(columns, &rows)
}

fn state(description: &GroupDescription, coordinator: &str) -> anyhow::Result<()> {
    let group = &description.group;
    let assignor = if group.assignor.is_empty() { "-" } else { &group.assignor };
    let row = vec![
        group.name.clone(),
        coordinator.to_owned(),
        assignor.to_owned(),
        group.state.clone(),
        group.members.len().to_string(),
    ];
    table(STATE_COLUMNS, &[row])
}

/// Kafka's form of a table: an empty line before it.
fn table(columns: &[Column], rows: &[Vec<String>]) -> anyhow::Result<()> {
    say("")?;
    print(columns, rows)
}

/// Columns as wide as their widest cell, and as Kafka's tool has them at least.
fn print(columns: &[Column], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let head = columns.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let lines = || std::iter::once(&head).chain(rows);
    let width = |(column, (_, least)): (usize, &Column)| {
        lines().map(|line| line[column].len()).max().unwrap_or(0).max(*least)
    };
    let widths: Vec<usize> = columns.iter().enumerate().map(width).collect();
    for line in lines() {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        say(cells.collect::<Vec<_>>().join(" ").trim_end())?;
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
    let mut rows = Vec::new();
    for name in names(groups, arguments)? {
        groups.ensure_inactive(&name).context("Error")?;
        let changes = changes(groups, &name, arguments)?;
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
    if !arguments.execute && !arguments.dry_run && !arguments.export {
        complain("WARN: No action will be performed as the --execute option is missing.");
    }
    if arguments.export {
        // With several groups each line says whose it is, as --from-file then expects.
        let one = arguments.group.len() == 1;
        for row in rows {
            say(&row[usize::from(one)..].join(","))?;
        }
    } else {
        table(RESET_COLUMNS, &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a group is to go.
fn changes(
    groups: &Groups,
    group: &str,
    arguments: &Arguments,
) -> anyhow::Result<Vec<OffsetChange>> {
    if let Some(file) = &arguments.from_file {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let mut changes = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (of, change) = planned(line)
                .with_context(|| format!("`{line}` is no [group,]topic,partition,offset"))?;
            if of.is_none_or(|of| of == group) {
                changes.push(change);
            }
        }
        return Ok(groups.within(changes)?);
    }
    let target = target(arguments)?;
    if arguments.topic.is_empty() && !arguments.all_topics {
        bail!("one of --topic and --all-topics is needed");
    }
    let topics = arguments.topic.iter().map(|text| topic(text)).collect::<Result<Vec<_>, _>>()?;
    Ok(groups.plan(group, &topics, target)?)
}

/// A line that --export wrote, with the group if it names one.
fn planned(line: &str) -> Option<(Option<&str>, OffsetChange)> {
    let mut fields = line.split(',').map(|field| field.trim().trim_matches('"')).rev();
    let offset = fields.next()?.parse().ok()?;
    let partition = fields.next()?.parse().ok()?;
    let topic = fields.next()?.to_owned();
    Some((fields.next(), OffsetChange { topic, partition, offset }))
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
        "say where to: --to-earliest, --to-latest, --to-current, --to-offset, --shift-by, --to-datetime, --by-duration or --from-file"
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
    fn a_plan_names_its_group_or_not() {
        let change = OffsetChange { topic: "t".to_owned(), partition: 1, offset: 7 };
        assert_eq!(planned("t,1,7"), Some((None, change.clone())));
        assert_eq!(planned("\"g\",\"t\", 1, 7"), Some((Some("g"), change)));
        assert_eq!(planned("1,7"), None);
        assert_eq!(planned("t,x,7"), None);
    }

    #[test]
    fn topics_may_name_partitions() {
        assert_eq!(topic("a.b").unwrap(), ("a.b".to_owned(), vec![]));
        assert_eq!(topic("a:0,2").unwrap(), ("a".to_owned(), vec![0, 2]));
        assert!(topic("a:x").is_err());
    }
}
