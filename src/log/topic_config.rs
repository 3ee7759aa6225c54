//! The settings of a topic: which there are, and what values they take.
//!
//! Owns: Kafka's table of a topic's settings with their ranges (`LogConfig.CONFIG`,
//! `TopicConfig`). In: settings as they were written. Out: what holds, with the log's own
//! settings where the topic has none.
//!
//! What holds: a setting is judged when it is set. One that was stored by another version
//! and is not understood is left out alone, and said.

use std::collections::BTreeMap;

use super::error::TopicError;
use super::settings::LogSettings;
use super::topic::is_internal;

/// The settings of a topic, with the log's where it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of Kafka")]
pub struct TopicConfig {
    /// `cleanup.policy` names `delete`.
    pub delete: bool,
    /// `cleanup.policy` names `compact`.
    pub compact: bool,
    /// `message.timestamp.type` is `LogAppendTime`.
    pub log_append_time: bool,
    /// `max.message.bytes`.
    pub max_message_bytes: usize,
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `retention.ms`.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`.
    pub retention_bytes: Option<u64>,
    /// `delete.retention.ms`: how long a deletion of a key is kept.
    pub delete_retention_ms: i64,
    /// `min.cleanable.dirty.ratio`, in millionths. 0 for the program's own topics, which are
    /// compacted at each roll.
    pub min_dirty_ratio: u32,
    /// The log's own topic.
    pub internal: bool,
}

impl TopicConfig {
    /// The settings that hold for a topic; the first that is wrong is the error.
    pub fn resolve(
        name: &str,
        settings: &BTreeMap<String, String>,
        log: &LogSettings,
    ) -> Result<Self, TopicError> {
        Self::changed(name, settings, settings.keys(), log)
    }

    /// The settings that hold when those under `keys` were changed: they are judged. The others
    /// are left out where they are not understood.
    pub(super) fn changed<'a>(
        name: &str,
        settings: &BTreeMap<String, String>,
        keys: impl IntoIterator<Item = &'a String>,
        log: &LogSettings,
    ) -> Result<Self, TopicError> {
        let mut config = Self::of_log(name, log);
        let keys: Vec<&String> = keys.into_iter().collect();
        for (key, value) in settings {
            let Err(reason) = config.set(key, value) else { continue };
            if keys.contains(&key) {
                let (key, value) = (key.clone(), value.clone());
                return Err(TopicError::InvalidConfig { key, value, reason });
            }
            tracing::warn!(
                topic = name,
                key,
                value,
                reason,
                "a stored setting of a topic is not understood, and left out"
            );
        }
        Ok(config)
    }

    /// What holds for a topic without settings of its own.
    fn of_log(name: &str, log: &LogSettings) -> Self {
        let internal = is_internal(name);
        Self {
            delete: !internal,
            compact: internal,
            log_append_time: false,
            max_message_bytes: if internal { 64 << 20 } else { log.message_max_bytes },
            segment_bytes: if internal { log.internal_segment_bytes } else { log.segment_bytes },
            segment_ms: log.segment_ms,
            retention_ms: log.retention_ms,
            retention_bytes: log.retention_bytes,
            delete_retention_ms: 24 * 3600 * 1000,
            min_dirty_ratio: if internal { 0 } else { 500_000 },
            internal,
        }
    }

    /// One setting. Those that make no difference to us are judged and taken.
    fn set(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        match key {
            "cleanup.policy" => {
                (self.delete, self.compact) = (false, false);
                for policy in value.split(',').map(str::trim) {
                    match policy {
                        "delete" => self.delete = true,
                        "compact" => self.compact = true,
                        _ => return Err("it is delete, compact, or both"),
                    }
                }
            }
            "message.timestamp.type" => {
                self.log_append_time = match value {
                    "LogAppendTime" => true,
                    "CreateTime" => false,
                    _ => return Err("it is CreateTime or LogAppendTime"),
                }
            }
            "max.message.bytes" => {
                self.max_message_bytes = usize::try_from(int(value, 0)?).unwrap_or(usize::MAX);
            }
            // Positions in a segment have 32 bits.
            "segment.bytes" => self.segment_bytes = int(value, 14)?.unsigned_abs(),
            "segment.ms" => self.segment_ms = long(value, 1)?,
            "retention.ms" => self.retention_ms = Some(long(value, -1)?).filter(|ms| *ms >= 0),
            "retention.bytes" => self.retention_bytes = u64::try_from(long(value, -1)?).ok(),
            "delete.retention.ms" => self.delete_retention_ms = long(value, 0)?,
            "min.cleanable.dirty.ratio" => self.min_dirty_ratio = ratio(value)?,
            // One node, one writer thread, one way to flush: there is nothing to choose.
            "flush.messages" | "max.compaction.lag.ms" => {
                long(value, 1)?;
            }
            "file.delete.delay.ms"
            | "flush.ms"
            | "message.timestamp.after.max.ms"
            | "message.timestamp.before.max.ms"
            | "message.timestamp.difference.max.ms"
            | "min.compaction.lag.ms"
            | "segment.jitter.ms" => {
                long(value, 0)?;
            }
            "local.retention.bytes" | "local.retention.ms" => {
                long(value, -2)?;
            }
            "index.interval.bytes" => {
                int(value, 0)?;
            }
            "min.insync.replicas" => {
                int(value, 1)?;
            }
            "segment.index.bytes" => {
                int(value, 4)?;
            }
            "message.downconversion.enable"
            | "preallocate"
            | "remote.storage.enable"
            | "unclean.leader.election.enable" => switch(value)?,
            "compression.type" => one_of(
                value,
                &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"],
                "it is uncompressed, zstd, lz4, snappy, gzip or producer",
            )?,
            "follower.replication.throttled.replicas"
            | "leader.replication.throttled.replicas"
            | "message.format.version" => {}
            _ => return Err("there is no such setting"),
        }
        Ok(())
    }
}

/// A number of 64 bits, as Kafka's `LONG`.
fn long(value: &str, least: i64) -> Result<i64, &'static str> {
    let number: i64 = value.trim().parse().map_err(|_| "it is a number")?;
    if number < least { Err("it is too small") } else { Ok(number) }
}

/// A number of 32 bits, as Kafka's `INT`.
fn int(value: &str, least: i64) -> Result<i64, &'static str> {
    let number = long(value, least)?;
    if number > i64::from(i32::MAX) {
        Err("it is too large: 2147483647 is the most")
    } else {
        Ok(number)
    }
}

fn switch(value: &str) -> Result<(), &'static str> {
    let is = |word: &str| value.trim().eq_ignore_ascii_case(word);
    if is("true") || is("false") { Ok(()) } else { Err("it is true or false") }
}

fn one_of(value: &str, words: &[&str], reason: &'static str) -> Result<(), &'static str> {
    if words.contains(&value.trim()) { Ok(()) } else { Err(reason) }
}

/// Millionths of a number from 0 to 1.
fn ratio(value: &str) -> Result<u32, &'static str> {
    let ratio: f64 = value.trim().parse().map_err(|_| "it is a number")?;
    if !(0.0..=1.0).contains(&ratio) {
        return Err("it is from 0 to 1");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1,000,000")]
    Ok((ratio * 1e6).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key, values that are taken, and values that are refused.
    type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a [&'a str]]);

    const LONG: &[&str] = &["", "abc", "1.5", "9223372036854775808", "1e3"];
    const INT: &[&str] = &["", "abc", "2147483648", "8589934592", "-2147483649"];
    const SWITCH: &[&str] = &["", "yes", "1", "on"];

    #[test]
    fn each_setting_takes_what_kafka_takes() {
        let table: &[Row<'_>] = &[
            ("cleanup.policy", &["delete", "compact", "compact,delete"], &[&["x", "delete,x"]]),
            ("compression.type", &["producer", "zstd", "uncompressed"], &[&["", "brotli", "none"]]),
            ("delete.retention.ms", &["0", "1"], &[LONG, &["-1"]]),
            ("file.delete.delay.ms", &["0"], &[LONG, &["-1"]]),
            ("flush.messages", &["1"], &[LONG, &["0"]]),
            ("flush.ms", &["0", "9223372036854775807"], &[LONG, &["-1"]]),
            ("index.interval.bytes", &["0"], &[INT, &["-1"]]),
            ("max.compaction.lag.ms", &["1"], &[LONG, &["0"]]),
            ("max.message.bytes", &["0", "2147483647"], &[INT, &["-1"]]),
            ("message.timestamp.after.max.ms", &["0"], &[LONG, &["-1"]]),
            ("message.timestamp.before.max.ms", &["0"], &[LONG, &["-1"]]),
            ("message.timestamp.type", &["CreateTime", "LogAppendTime"], &[&["", "x"]]),
            ("min.cleanable.dirty.ratio", &["0", "0.5", "1"], &[&["", "x", "-0.1", "1.1", "NaN"]]),
            ("min.compaction.lag.ms", &["0"], &[LONG, &["-1"]]),
            ("min.insync.replicas", &["1"], &[INT, &["0", "xyz"]]),
            ("preallocate", &["true", "False"], &[SWITCH]),
            ("retention.bytes", &["-1", "0"], &[LONG]),
            ("retention.ms", &["-1", "0"], &[LONG, &["-2"]]),
            ("segment.bytes", &["14", "2147483647"], &[INT, &["13", "-1"]]),
            ("segment.index.bytes", &["4"], &[INT, &["3"]]),
            ("segment.jitter.ms", &["0"], &[LONG, &["-1"]]),
            ("segment.ms", &["1"], &[LONG, &["0"]]),
            ("unclean.leader.election.enable", &["true"], &[SWITCH]),
            ("no.such.setting", &[], &[&["", "1"]]),
        ];
        let log = LogSettings::default();
        let resolve = |key: &str, value: &str| {
            let settings = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            TopicConfig::resolve("t", &settings, &log)
        };
        for (key, taken, refused) in table {
            for value in *taken {
                assert!(resolve(key, value).is_ok(), "{key}={value:?} should be taken");
            }
            for value in refused.iter().flat_map(|values| values.iter()) {
                assert!(resolve(key, value).is_err(), "{key}={value:?} should be refused");
            }
        }
    }

    #[test]
    fn a_stored_setting_that_is_not_understood_leaves_the_others() {
        let log = LogSettings::default();
        let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let stored = [("segment.bytes", "8589934592"), ("retention.ms", "1234"), ("of.later", "x")];
        let stored: BTreeMap<String, String> = stored.map(text).into();
        let config = TopicConfig::changed("t", &stored, [], &log).unwrap();
        assert_eq!((config.segment_bytes, config.retention_ms), (log.segment_bytes, Some(1234)));
        let changed = ["retention.ms".to_owned()];
        assert!(TopicConfig::changed("t", &stored, &changed, &log).is_ok());
        let changed = ["segment.bytes".to_owned()];
        assert!(TopicConfig::changed("t", &stored, &changed, &log).is_err());
    }
}
