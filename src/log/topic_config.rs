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
use crate::record::{Compression, Levels, Rules};

/// The largest number of 32 bits.
const MOST: i64 = i32::MAX as i64;
/// Below that no segment has a batch. An older build took such a setting, and it still holds.
const LEAST_SEGMENT: i64 = 14;

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
    /// `min.compaction.lag.ms`: younger records are not compacted.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: older ones are, however few they are.
    pub max_compaction_lag_ms: i64,
    /// `message.timestamp.before.max.ms`: how far a record's time may lie behind ours.
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far it may lie ahead.
    pub after_max_ms: i64,
    /// `compression.type`; `None` is that of the producer.
    pub compression: Option<Compression>,
    /// `compression.gzip.level` and `compression.zstd.level`.
    pub levels: Levels,
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
            let wrong = |reason| {
                let (key, value) = (key.clone(), value.clone());
                Err(TopicError::InvalidConfig { key, value, reason })
            };
            if keys.contains(&key)
                && let Err(reason) = judge(key, value)
            {
                return wrong(reason);
            }
            if key == "segment.bytes" && settings.contains_key("internal.segment.bytes") {
                continue;
            }
            let Err(reason) = config.set(key, value) else { continue };
            if keys.contains(&key) {
                return wrong(reason);
            }
            tracing::warn!(
                topic = name,
                key,
                value,
                reason,
                "a stored setting of a topic is not understood, and left out"
            );
        }
        if keys.iter().any(|key| key.ends_with(".compaction.lag.ms"))
            && config.min_compaction_lag_ms > config.max_compaction_lag_ms
        {
            return Err(TopicError::InvalidConfig {
                key: "min.compaction.lag.ms".to_owned(),
                value: config.min_compaction_lag_ms.to_string(),
                reason: "it is more than max.compaction.lag.ms",
            });
        }
        Ok(config)
    }

    /// Whether time alone may make something of it due for compaction.
    pub(super) fn has_compaction_lag(&self) -> bool {
        self.compact && (self.min_compaction_lag_ms > 0 || self.max_compaction_lag_ms < i64::MAX)
    }

    /// How old the first record of a segment may be when it is appended to.
    pub(super) fn segment_age_ms(&self) -> i64 {
        if self.compact { self.segment_ms.min(self.max_compaction_lag_ms) } else { self.segment_ms }
    }

    /// What the topic asks of the batches that are appended to it at this time.
    pub fn rules(&self, now: i64) -> Rules {
        Rules {
            keys: self.compact,
            now,
            append_time: self.log_append_time,
            before_max_ms: self.before_max_ms,
            after_max_ms: self.after_max_ms,
            compression: self.compression,
            levels: self.levels,
        }
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
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            before_max_ms: i64::MAX,
            after_max_ms: 3_600_000,
            compression: None,
            levels: Levels::default(),
            internal,
        }
    }

    /// One setting. Those that make no difference to us are taken.
    fn set(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        let value = trim(value);
        match key {
            "cleanup.policy" => {
                let (mut delete, mut compact) = (false, false);
                for policy in items(value) {
                    match policy {
                        "delete" => delete = true,
                        "compact" => compact = true,
                        _ => return Err("it is delete, compact, or both"),
                    }
                }
                (self.delete, self.compact) = (delete, compact);
            }
            "message.timestamp.type" => self.log_append_time = value == "LogAppendTime",
            "message.timestamp.before.max.ms" => self.before_max_ms = long(value, 0)?,
            "message.timestamp.after.max.ms" => self.after_max_ms = long(value, 0)?,
            "compression.type" => {
                self.compression = match value {
                    "producer" => None,
                    "uncompressed" => Some(Compression::None),
                    "gzip" => Some(Compression::Gzip),
                    "snappy" => Some(Compression::Snappy),
                    "lz4" => Some(Compression::Lz4),
                    "zstd" => Some(Compression::Zstd),
                    _ => return Err("there is no such compression"),
                }
            }
            "compression.gzip.level" => self.levels.gzip = level(value)?,
            "compression.zstd.level" => self.levels.zstd = level(value)?,
            "max.message.bytes" => {
                self.max_message_bytes = usize::try_from(int(value, 0)?).unwrap_or(usize::MAX);
            }
            // Positions in a segment have 32 bits.
            "segment.bytes" => self.segment_bytes = int(value, LEAST_SEGMENT)?.unsigned_abs(),
            "internal.segment.bytes" => {
                let bytes = int(value, i64::MIN)?.max(LEAST_SEGMENT);
                self.segment_bytes = bytes.unsigned_abs();
            }
            "segment.ms" => self.segment_ms = long(value, 1)?,
            "retention.ms" => self.retention_ms = Some(long(value, -1)?).filter(|ms| *ms >= 0),
            "retention.bytes" => {
                self.retention_bytes = u64::try_from(long(value, i64::MIN)?).ok();
            }
            "delete.retention.ms" => self.delete_retention_ms = long(value, 0)?,
            "min.cleanable.dirty.ratio" => self.min_dirty_ratio = ratio(value)?,
            "min.compaction.lag.ms" => self.min_compaction_lag_ms = long(value, 0)?,
            "max.compaction.lag.ms" => self.max_compaction_lag_ms = long(value, 1)?,
            // One node, one writer thread, one way to flush: there is nothing to choose.
            _ if kind_of(key).is_some() => {}
            _ => return Err("there is no such setting"),
        }
        Ok(())
    }
}

/// What of a setting's value is right, as Kafka has it in `LogConfig.CONFIG`.
#[derive(Clone, Copy, Debug)]
enum Values {
    /// A number of 64 bits.
    Long(i64),
    /// A number of 32 bits, from and to.
    Int(i64, i64),
    /// -1, or a number from and to.
    OffOrInt(i64, i64),
    /// From 0 to 1.
    Ratio,
    Switch,
    /// A switch of what there is not here.
    Off,
    OneOf(&'static [&'static str]),
    /// Any of these, one behind the other.
    List(&'static [&'static str]),
    /// `*`, or partition:broker of several.
    Replicas,
}

/// Kafka's settings of a topic, in the order of their names; held against a real Kafka by
/// `tests/it/kafka_answers/settings.rs`.
const SETTINGS: &[(&str, Values)] = &[
    ("cleanup.policy", Values::List(&["compact", "delete"])),
    ("compression.gzip.level", Values::OffOrInt(1, 9)),
    ("compression.lz4.level", Values::Int(1, 17)),
    (
        "compression.type",
        Values::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
    ),
    ("compression.zstd.level", Values::Int(-131_072, 22)),
    ("delete.retention.ms", Values::Long(0)),
    ("file.delete.delay.ms", Values::Long(0)),
    ("flush.messages", Values::Long(1)),
    ("flush.ms", Values::Long(0)),
    ("follower.replication.throttled.replicas", Values::Replicas),
    ("index.interval.bytes", Values::Int(0, MOST)),
    ("internal.segment.bytes", Values::Int(-MOST - 1, MOST)),
    ("leader.replication.throttled.replicas", Values::Replicas),
    ("local.retention.bytes", Values::Long(-2)),
    ("local.retention.ms", Values::Long(-2)),
    ("max.compaction.lag.ms", Values::Long(1)),
    ("max.message.bytes", Values::Int(0, MOST)),
    ("message.timestamp.after.max.ms", Values::Long(0)),
    ("message.timestamp.before.max.ms", Values::Long(0)),
    ("message.timestamp.type", Values::OneOf(&["CreateTime", "LogAppendTime"])),
    ("min.cleanable.dirty.ratio", Values::Ratio),
    ("min.compaction.lag.ms", Values::Long(0)),
    ("min.insync.replicas", Values::Int(1, MOST)),
    ("preallocate", Values::Switch),
    ("remote.log.copy.disable", Values::Switch),
    ("remote.log.delete.on.disable", Values::Switch),
    ("remote.storage.enable", Values::Off),
    ("retention.bytes", Values::Long(i64::MIN)),
    ("retention.ms", Values::Long(-1)),
    ("segment.bytes", Values::Int(1 << 20, MOST)),
    ("segment.index.bytes", Values::Int(4, MOST)),
    ("segment.jitter.ms", Values::Long(0)),
    ("segment.ms", Values::Long(1)),
    ("unclean.leader.election.enable", Values::Switch),
];

fn kind_of(key: &str) -> Option<Values> {
    let at = SETTINGS.binary_search_by_key(&key, |(known, _)| known).ok()?;
    SETTINGS.get(at).map(|(_, values)| *values)
}

/// Whether a setting may be set to this.
fn judge(key: &str, value: &str) -> Result<(), &'static str> {
    let Some(values) = kind_of(key) else { return Err("there is no such setting") };
    let value = trim(value);
    match values {
        Values::Long(least) => long(value, least).map(|_| ()),
        Values::Int(least, most) => within(int(value, least)?, most),
        Values::OffOrInt(least, most) => match int(value, -1)? {
            -1 => Ok(()),
            number if number < least => Err("it is too small"),
            number => within(number, most),
        },
        Values::Ratio => ratio(value).map(|_| ()),
        Values::Off if value.eq_ignore_ascii_case("true") => Err("records lie on this node alone"),
        Values::Switch | Values::Off => switch(value),
        Values::OneOf(words) if words.contains(&value) => Ok(()),
        Values::OneOf(_) => Err("it is none of the words that may stand there"),
        Values::List(words) if items(value).all(|item| words.contains(&item)) => Ok(()),
        Values::List(_) => Err("it is a list of other words"),
        Values::Replicas => replicas(value),
    }
}

/// As Java does it: whatever is not above a blank.
fn trim(value: &str) -> &str {
    value.trim_matches(|c| c <= ' ')
}

/// The items of a list.
fn items(value: &str) -> impl Iterator<Item = &str> {
    let empty = value.is_empty();
    value.split(',').map(trim).filter(move |_| !empty)
}

/// A number of 64 bits, as Kafka's `LONG`.
fn long(value: &str, least: i64) -> Result<i64, &'static str> {
    let number: i64 = value.parse().map_err(|_| "it is a number")?;
    if number < least { Err("it is too small") } else { Ok(number) }
}

/// A number of 32 bits, as Kafka's `INT`.
fn int(value: &str, least: i64) -> Result<i64, &'static str> {
    let number = long(value, least)?;
    if i32::try_from(number).is_ok() {
        Ok(number)
    } else {
        Err("it is too large: 2147483647 is the most")
    }
}

fn within(number: i64, most: i64) -> Result<(), &'static str> {
    if number > most { Err("it is too large") } else { Ok(()) }
}

fn level(value: &str) -> Result<i32, &'static str> {
    i32::try_from(int(value, i64::MIN)?).map_err(|_| "it is a number")
}

fn switch(value: &str) -> Result<(), &'static str> {
    let is = |word: &str| value.eq_ignore_ascii_case(word);
    if is("true") || is("false") { Ok(()) } else { Err("it is true or false") }
}

fn replicas(value: &str) -> Result<(), &'static str> {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let pair = |item: &str| item.split_once(':').is_some_and(|(p, b)| number(p) && number(b));
    if value == "*" || items(value).all(|item| item.is_empty() || pair(item)) {
        Ok(())
    } else {
        Err("it is *, or a list of partition:broker")
    }
}

/// Millionths of a number from 0 to 1.
fn ratio(value: &str) -> Result<u32, &'static str> {
    // Java takes the mark of a type behind it.
    let plain = value.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(value);
    let ratio: f64 = plain.parse().map_err(|_| "it is a number")?;
    if !(0.0..=1.0).contains(&ratio) {
        return Err("it is from 0 to 1");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1,000,000")]
    Ok((ratio * 1e6).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Nothing of a value holds that is not understood: not the words before the unknown one, and
    /// not what they would take away.
    #[test]
    fn a_stored_value_of_any_setting_that_is_not_understood_changes_nothing() {
        let log = LogSettings::default();
        let understood = |key: &str, value: &str| {
            let stored = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            TopicConfig::changed("t", &stored, [], &log).unwrap()
        };
        let of_log = TopicConfig::changed("t", &BTreeMap::new(), [], &log).unwrap();
        assert!(understood("cleanup.policy", "compact").compact);
        for (key, _) in SETTINGS {
            for value in ["later", "delete,later", "compact,later", "later,compact", "later,delete"]
            {
                assert_eq!(understood(key, value), of_log, "{key}={value}");
            }
        }
    }

    /// An older build took smaller segments than Kafka does.
    #[test]
    fn a_stored_setting_outside_of_what_may_be_set_still_holds() {
        let log = LogSettings::default();
        let stored = BTreeMap::from([("segment.bytes".to_owned(), "1500".to_owned())]);
        let config = TopicConfig::changed("t", &stored, [], &log).unwrap();
        assert_eq!(config.segment_bytes, 1500);
        assert!(TopicConfig::resolve("t", &stored, &log).is_err());
    }

    #[test]
    fn the_table_is_in_the_order_of_names() {
        assert!(SETTINGS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
