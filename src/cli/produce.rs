//! `sluice produce`: kafka-console-producer. Writes the lines of the standard input into a
//! topic, one record a line.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use crate::client::{Produced, Producer};
use crate::config::Environment;

use super::Outcome;
use super::connect::Connect;
use super::home::pair;
use super::output::complain;

/// Kafka's options.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    /// The older name of --bootstrap-server.
    #[arg(long, hide = true)]
    broker_list: Option<String>,
    /// The topic to write into.
    #[arg(long)]
    topic: String,
    /// How lines are read: parse.key, key.separator, parse.headers, headers.delimiter,
    /// headers.separator, headers.key.separator, null.marker, ignore.error.
    #[arg(long, alias = "reader-property", value_name = "KEY=VALUE", value_parser = pair)]
    property: Vec<(String, String)>,
    /// A property of the producer.
    #[arg(long, alias = "command-property", value_name = "KEY=VALUE", value_parser = pair)]
    producer_property: Vec<(String, String)>,
    /// A file with properties of the producer.
    #[arg(long, alias = "producer.config", value_name = "FILE")]
    producer_config: Option<PathBuf>,
    /// none, gzip, snappy, lz4 or zstd.
    #[arg(long, num_args = 0..=1, default_missing_value = "gzip")]
    compression_codec: Option<String>,
    /// How many copies must have a record: all, 1 or 0.
    #[arg(long)]
    request_required_acks: Option<String>,
    /// Wait for each record before reading the next line.
    #[arg(long)]
    sync: bool,
    #[command(flatten)]
    tuning: Tuning,
}

/// What Kafka's tool has options for beside `--producer-property`. Its limits of memory
/// and sockets are librdkafka's own affair here.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tuning")]
struct Tuning {
    /// Send a batch when it has so many bytes.
    #[arg(long)]
    batch_size: Option<String>,
    /// Send a batch after so many milliseconds at the latest.
    #[arg(long, value_name = "MS")]
    timeout: Option<String>,
    /// How long a request may take.
    #[arg(long, value_name = "MS")]
    request_timeout_ms: Option<String>,
    /// How often a record is tried again.
    #[arg(long)]
    message_send_max_retries: Option<String>,
    /// How long to wait before that.
    #[arg(long, value_name = "MS")]
    retry_backoff_ms: Option<String>,
    /// How old knowledge of the topic may be.
    #[arg(long, value_name = "MS")]
    metadata_expiry_ms: Option<String>,
    #[arg(long, hide = true)]
    max_block_ms: Option<String>,
    #[arg(long, hide = true)]
    max_memory_bytes: Option<String>,
    #[arg(long, hide = true)]
    max_partition_memory_bytes: Option<String>,
    #[arg(long, hide = true)]
    socket_buffer_size: Option<String>,
}

impl Tuning {
    /// The same as properties of the producer.
    fn properties(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let properties = [
            ("batch.size", &self.batch_size),
            ("linger.ms", &self.timeout),
            ("request.timeout.ms", &self.request_timeout_ms),
            ("retries", &self.message_send_max_retries),
            ("retry.backoff.ms", &self.retry_backoff_ms),
            ("metadata.max.age.ms", &self.metadata_expiry_ms),
        ];
        properties.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Outcome {
    let mut more = Vec::new();
    let mut add = |name: &str, value: &Option<String>| {
        more.extend(value.iter().map(|value| (name.to_owned(), value.clone())));
    };
    add("bootstrap.servers", &arguments.broker_list);
    add("compression.type", &arguments.compression_codec);
    add("acks", &arguments.request_required_acks);
    let tuning = arguments.tuning.properties();
    more.extend(tuning.map(|(name, value)| (name.to_owned(), value.clone())));
    more.extend(arguments.producer_property.iter().cloned());
    let file = arguments.producer_config.as_ref();
    let connection = arguments.connect.to(environment, file, &more)?;
    let producer = Producer::new(&connection, &arguments.topic)?;
    let reader = Reader::of(&arguments.property);
    let stdin = io::stdin();
    let prompt = stdin.is_terminal();
    let mut failed = false;
    let mut lines = stdin.lock().split(b'\n');
    for number in 1_u64.. {
        if prompt {
            io::stdout().write_all(b">")?;
            io::stdout().flush()?;
        }
        let Some(line) = lines.next() else { break };
        let mut line = line?;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        match reader.read(&line, number) {
            Ok(record) => producer.send(&record)?,
            Err(reason) => {
                producer.flush()?;
                bail!(reason);
            }
        }
        if arguments.sync {
            producer.flush()?;
        }
        failed |= report(&producer, &arguments.topic);
    }
    producer.flush()?;
    failed |= report(&producer, &arguments.topic);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn report(producer: &Producer, topic: &str) -> bool {
    let failures = producer.failures();
    for failure in &failures {
        complain(&format!("Error when sending message to topic {topic}: {failure}"));
    }
    !failures.is_empty()
}

/// How a line becomes a record: `headers TAB key TAB value`, the first two only if asked
/// for, as Kafka's `LineMessageReader` has it.
#[derive(Debug)]
struct Reader {
    parse_key: bool,
    parse_headers: bool,
    ignore_error: bool,
    key_separator: String,
    headers_delimiter: String,
    headers_separator: String,
    headers_key_separator: String,
    null_marker: Option<String>,
}

impl Reader {
    fn of(properties: &[(String, String)]) -> Self {
        let mut reader = Self {
            parse_key: false,
            parse_headers: false,
            ignore_error: false,
            key_separator: "\t".to_owned(),
            headers_delimiter: "\t".to_owned(),
            headers_separator: ",".to_owned(),
            headers_key_separator: ":".to_owned(),
            null_marker: None,
        };
        for (name, text) in properties {
            let yes = text.trim().eq_ignore_ascii_case("true");
            match name.as_str() {
                "parse.key" => reader.parse_key = yes,
                "parse.headers" => reader.parse_headers = yes,
                "ignore.error" => reader.ignore_error = yes,
                "key.separator" => reader.key_separator.clone_from(text),
                "headers.delimiter" => reader.headers_delimiter.clone_from(text),
                "headers.separator" => reader.headers_separator.clone_from(text),
                "headers.key.separator" => reader.headers_key_separator.clone_from(text),
                "null.marker" => reader.null_marker = Some(text.clone()),
                // Kafka's reader says nothing at all.
                other => complain(&format!("WARN: there is no property {other}: it is ignored")),
            }
        }
        reader
    }

    fn read(&self, line: &[u8], number: u64) -> Result<Produced, String> {
        let mut record = Produced::default();
        let mut rest = line;
        if self.parse_headers {
            let headers =
                self.cut(&mut rest, &self.headers_delimiter, "headers delimiter", number)?;
            if let Some(headers) = headers.filter(|headers| !self.is_null(headers)) {
                record.headers = self.headers(headers, number)?;
            }
        }
        if self.parse_key {
            let key = self.cut(&mut rest, &self.key_separator, "key separator", number)?;
            record.key = key.filter(|key| !self.is_null(key)).map(<[u8]>::to_vec);
        }
        record.value = (!self.is_null(rest)).then(|| rest.to_vec());
        Ok(record)
    }

    /// What is before `separator`, which `rest` then begins behind.
    fn cut<'a>(
        &self,
        rest: &mut &'a [u8],
        separator: &str,
        what: &str,
        number: u64,
    ) -> Result<Option<&'a [u8]>, String> {
        match split_once(rest, separator.as_bytes()) {
            Some((before, after)) => {
                *rest = after;
                Ok(Some(before))
            }
            None if self.ignore_error => Ok(None),
            None => {
                let line = String::from_utf8_lossy(rest);
                Err(format!("No {what} found on line number {number}: '{line}'"))
            }
        }
    }

    fn headers(&self, text: &[u8], number: u64) -> Result<Vec<(String, Vec<u8>)>, String> {
        let text = String::from_utf8_lossy(text);
        let pairs = text.split(self.headers_separator.as_str());
        pairs
            .map(|pair| match pair.split_once(self.headers_key_separator.as_str()) {
                Some((name, value)) => Ok((name.to_owned(), value.as_bytes().to_vec())),
                None => Err(format!(
                    "No header key separator found in pair '{pair}' on line number {number}"
                )),
            })
            .collect()
    }

    fn is_null(&self, bytes: &[u8]) -> bool {
        self.null_marker.as_ref().is_some_and(|marker| marker.as_bytes() == bytes)
    }
}

fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = bytes.windows(separator.len().max(1)).position(|window| window == separator)?;
    Some((bytes.get(..place)?, bytes.get(place + separator.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(properties: &[&str], line: &str) -> Result<Produced, String> {
        let properties: Vec<_> = properties.iter().map(|text| pair(text).unwrap()).collect();
        Reader::of(&properties).read(line.as_bytes(), 3)
    }

    #[test]
    fn lines_are_read_as_kafkas_reader_does() {
        let plain = read(&[], "a:b").unwrap();
        assert_eq!((plain.key, plain.value), (None, Some(b"a:b".to_vec())));
        let keyed = read(&["parse.key=true", "key.separator=:"], "a:b:c").unwrap();
        assert_eq!((keyed.key, keyed.value), (Some(b"a".to_vec()), Some(b"b:c".to_vec())));
        let full = ["parse.key=true", "parse.headers=true", "null.marker=NULL"];
        let full = read(&full, "h1:v1,h2:v2\tkey\tNULL").unwrap();
        assert_eq!(full.headers[1], ("h2".to_owned(), b"v2".to_vec()));
        assert_eq!((full.key, full.value), (Some(b"key".to_vec()), None));
    }

    #[test]
    fn a_line_without_its_key_is_refused_in_kafkas_words() {
        let refused = read(&["parse.key=true"], "novalue").unwrap_err();
        assert_eq!(refused, "No key separator found on line number 3: 'novalue'");
        let kept = read(&["parse.key=true", "ignore.error=true"], "novalue").unwrap();
        assert_eq!((kept.key, kept.value), (None, Some(b"novalue".to_vec())));
    }
}
