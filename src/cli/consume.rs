//! `sluice consume`: kafka-console-consumer. Prints the records of a topic in the form of
//! Kafka's default formatter.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::client::{self, From, Record, Selection, Stamp};
use crate::config::Environment;

use super::connect::Connect;
use super::home::pair;
use super::output::complain;
use super::{Outcome, small_runtime};

/// Kafka's options.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    /// The topic to read.
    #[arg(long)]
    topic: Option<String>,
    /// An expression over the names of topics to read.
    #[arg(long, alias = "whitelist", conflicts_with = "topic")]
    include: Option<String>,
    /// Begin with the first record there is, where the group has no offset.
    #[arg(long, conflicts_with = "offset")]
    from_beginning: bool,
    /// Read this partition only.
    #[arg(long, requires = "topic")]
    partition: Option<i32>,
    /// Where to begin in that partition: earliest, latest or an offset.
    #[arg(long, requires = "partition")]
    offset: Option<String>,
    /// Read as a member of this group, and keep its offsets.
    #[arg(long)]
    group: Option<String>,
    /// End after so many records; -1 for all that come.
    #[arg(long, allow_negative_numbers = true)]
    max_messages: Option<i64>,
    /// End when no record came for so long.
    #[arg(long)]
    timeout_ms: Option<u64>,
    /// What is printed: print.key, print.timestamp, print.headers, print.offset,
    /// print.partition, print.value, key.separator, line.separator, headers.separator,
    /// null.literal.
    #[arg(long, alias = "formatter-property", value_name = "KEY=VALUE", value_parser = pair)]
    property: Vec<(String, String)>,
    /// A property of the consumer.
    #[arg(long, alias = "command-property", value_name = "KEY=VALUE", value_parser = pair)]
    consumer_property: Vec<(String, String)>,
    /// A file with properties of the consumer.
    #[arg(long, alias = "consumer.config", value_name = "FILE")]
    consumer_config: Option<PathBuf>,
    /// `read_committed` or `read_uncommitted`.
    #[arg(long, default_value = "read_uncommitted")]
    isolation_level: String,
    /// Only Kafka's default formatter is there.
    #[arg(long)]
    formatter: Option<String>,
    /// Accepted as Kafka does; keys are printed as the bytes they are.
    #[arg(long, hide = true)]
    key_deserializer: Option<String>,
    /// Accepted as Kafka does; values are printed as the bytes they are.
    #[arg(long, hide = true)]
    value_deserializer: Option<String>,
    /// Accepted as Kafka does; a record is never refused here.
    #[arg(long)]
    skip_message_on_error: bool,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Outcome {
    if let Some(formatter) = &arguments.formatter
        && !formatter.ends_with("DefaultMessageFormatter")
    {
        bail!(
            "formatter {formatter} is a Java class: only Kafka's DefaultMessageFormatter is there"
        );
    }
    let selection = selection(arguments)?;
    let from = from(arguments)?;
    let mut more = vec![("isolation.level".to_owned(), arguments.isolation_level.clone())];
    more.extend(arguments.consumer_property.iter().cloned());
    let file = arguments.consumer_config.as_ref();
    let connection = arguments.connect.to(environment, file, &more)?;
    let group = group(arguments, &selection);
    let form = Form::of(&arguments.property);
    let most = arguments.max_messages.and_then(|most| u64::try_from(most).ok());
    let mut output = BufWriter::new(io::stdout());
    let mut count = 0_u64;
    let ended = small_runtime()?.block_on(client::consume(
        &connection,
        group.as_deref(),
        &selection,
        from,
        arguments.timeout_ms.map(Duration::from_millis),
        async {
            // Without a handler for it there is nothing to wait for.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        },
        |record| {
            form.write(record, &mut output)?;
            output.flush()?;
            count += 1;
            let enough = most.is_some_and(|most| count >= most);
            Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        },
    ));
    // Its last words come after what was printed.
    let flushed = output.flush();
    let timed_out = ended.map_err(|error| match error {
        client::Error::Output(error) => anyhow::Error::new(error),
        other => anyhow::Error::new(other),
    })?;
    flushed?;
    if timed_out {
        complain("no record came within --timeout-ms");
    }
    complain(&format!("Processed a total of {count} messages"));
    Ok(ExitCode::SUCCESS)
}

fn selection(arguments: &Arguments) -> anyhow::Result<Selection> {
    match (&arguments.topic, &arguments.include, arguments.partition) {
        (Some(topic), _, Some(partition)) => Ok(Selection::Partition(topic.clone(), partition)),
        (Some(topic), _, None) => Ok(Selection::Topic(topic.clone())),
        (None, Some(include), _) => Ok(Selection::Matching(include.clone())),
        (None, None, _) => bail!("Exactly one of --include/--topic is required."),
    }
}

fn from(arguments: &Arguments) -> anyhow::Result<From> {
    match arguments.offset.as_deref() {
        Some("earliest") => Ok(From::Beginning),
        Some("latest") => Ok(From::End),
        Some(number) => {
            let offset = number.parse().ok().filter(|offset: &i64| *offset >= 0);
            let offset = offset.with_context(|| {
                format!("The provided offset value '{number}' is incorrect. Valid values are 'earliest', 'latest', or a non-negative long.")
            })?;
            Ok(From::Offset(offset))
        }
        None if arguments.from_beginning => Ok(From::Beginning),
        None => Ok(From::End),
    }
}

/// The group that was asked for, by option or property; one of our own where an expression
/// needs one.
fn group(arguments: &Arguments, selection: &Selection) -> Option<String> {
    let property = arguments.consumer_property.iter().find(|(name, _)| name == "group.id");
    let asked = arguments.group.clone().or_else(|| property.map(|(_, value)| value.clone()));
    match (asked, selection) {
        (None, Selection::Matching(_)) => Some(format!("console-consumer-{}", std::process::id())),
        (asked, _) => asked,
    }
}

/// What is printed of a record, as Kafka's default formatter has it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own")]
struct Form {
    timestamp: bool,
    partition: bool,
    offset: bool,
    headers: bool,
    key: bool,
    value: bool,
    key_separator: String,
    line_separator: String,
    headers_separator: String,
    null_literal: String,
}

impl Form {
    fn of(properties: &[(String, String)]) -> Self {
        let mut form = Self {
            timestamp: false,
            partition: false,
            offset: false,
            headers: false,
            key: false,
            value: true,
            key_separator: "\t".to_owned(),
            line_separator: "\n".to_owned(),
            headers_separator: ",".to_owned(),
            null_literal: "null".to_owned(),
        };
        for (name, text) in properties {
            let yes = text.trim().eq_ignore_ascii_case("true");
            match name.as_str() {
                "print.timestamp" => form.timestamp = yes,
                "print.partition" => form.partition = yes,
                "print.offset" => form.offset = yes,
                "print.headers" => form.headers = yes,
                "print.key" => form.key = yes,
                "print.value" => form.value = yes,
                "key.separator" => form.key_separator.clone_from(text),
                "line.separator" => form.line_separator.clone_from(text),
                "headers.separator" => form.headers_separator.clone_from(text),
                "null.literal" => form.null_literal.clone_from(text),
                "key.deserializer" | "value.deserializer" | "headers.deserializer" => {}
                // Kafka's formatter says nothing at all.
                other => complain(&format!("WARN: there is no property {other}: it is ignored")),
            }
        }
        form
    }

    /// Columns in Kafka's order, the separator between them, the line's end behind them.
    fn write(&self, record: &Record<'_>, output: &mut impl Write) -> io::Result<()> {
        let mut columns: Vec<Vec<u8>> = Vec::new();
        if self.timestamp {
            columns.push(match record.stamp {
                Stamp::None => b"NO_TIMESTAMP".to_vec(),
                Stamp::Created(time) => format!("CreateTime:{time}").into_bytes(),
                Stamp::Appended(time) => format!("LogAppendTime:{time}").into_bytes(),
            });
        }
        if self.partition {
            columns.push(format!("Partition:{}", record.partition).into_bytes());
        }
        if self.offset {
            columns.push(format!("Offset:{}", record.offset).into_bytes());
        }
        if self.headers {
            columns.push(self.headers(record));
        }
        if self.key {
            columns.push(record.key.unwrap_or(self.null_literal.as_bytes()).to_vec());
        }
        if self.value {
            columns.push(record.value.unwrap_or(self.null_literal.as_bytes()).to_vec());
        }
        output.write_all(&columns.join(self.key_separator.as_bytes()))?;
        output.write_all(self.line_separator.as_bytes())
    }

    fn headers(&self, record: &Record<'_>) -> Vec<u8> {
        if record.headers.is_empty() {
            return b"NO_HEADERS".to_vec();
        }
        let headers = record.headers.iter().map(|(name, value)| {
            let value = value.unwrap_or(self.null_literal.as_bytes());
            [name.as_bytes(), b":", value].concat()
        });
        headers.collect::<Vec<_>>().join(self.headers_separator.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(properties: &[&str], record: &Record<'_>) -> String {
        let properties: Vec<_> = properties.iter().map(|text| pair(text).unwrap()).collect();
        let mut output = Vec::new();
        Form::of(&properties).write(record, &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn records_are_printed_as_kafkas_formatter_does() {
        let record = Record {
            topic: "t",
            partition: 2,
            offset: 7,
            stamp: Stamp::Created(1_714_550_400_000),
            key: None,
            value: Some(b"{}"),
            headers: vec![("tx", Some(b"0/end")), ("none", None)],
        };
        assert_eq!(printed(&[], &record), "{}\n");
        assert_eq!(printed(&["print.key=true"], &record), "null\t{}\n");
        let all = [
            "print.key=true",
            "print.timestamp=true",
            "print.offset=TRUE",
            "print.partition=true",
            "print.headers=true",
            "key.separator=|",
        ];
        let expected = "CreateTime:1714550400000|Partition:2|Offset:7|tx:0/end,none:null|null|{}\n";
        assert_eq!(printed(&all, &record), expected);
        let bare = Record { headers: vec![], stamp: Stamp::None, ..record };
        let some = ["print.headers=true", "print.timestamp=true", "print.value=false"];
        assert_eq!(printed(&some, &bare), "NO_TIMESTAMP\tNO_HEADERS\n");
        assert_eq!(printed(&["print.kee=true"], &bare), "{}\n", "an unknown one is ignored");
    }
}
