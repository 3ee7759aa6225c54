//! The metrics of the log and of its broker: what each partition holds, asked at each question, and
//! how far groups are behind.
//!
//! In: the log, once it is open; before that there is nothing to report. Out: families
//! `sluice_log_*` and `sluice_group_*`, labelled as Kafka's own metrics are.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::broker::GroupLag;
use crate::log::{Cause, Ends, Figures, Log, Topic};

/// Asks a log.
#[derive(Debug)]
pub(super) struct LogMetrics(pub(super) Log);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Partition {
    topic: String,
    partition: i32,
}

/// How far groups are behind.
#[derive(Debug)]
pub(super) struct GroupMetrics(pub(super) Vec<GroupLag>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GroupTopic {
    group: String,
    topic: String,
}

impl Collector for GroupMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        type Number = fn(&GroupLag) -> Option<i64>;
        let numbers: [(&str, &str, Number); 2] = [
            ("sluice_group_lag_messages", "Records that a group has not committed", |lag| {
                Some(lag.messages)
            }),
            (
                "sluice_group_lag_seconds",
                "Since the oldest record was written that a group has not committed",
                |lag| lag.seconds,
            ),
        ];
        for (name, help, number) in numbers {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for one in &self.0 {
                let Some(number) = number(one) else { continue };
                let label = GroupTopic { group: one.group.clone(), topic: one.topic.clone() };
                ConstGauge::new(number).encode(family.encode_family(&label)?)?;
            }
        }
        Ok(())
    }
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

/// A number of a partition: name, help, and where it is found.
type Number = (&'static str, &'static str, fn(&Held) -> i64);

const NUMBERS: &[Number] = &[
    ("sluice_log_start_offset", "The oldest offset", |held| held.ends.log_start),
    ("sluice_log_end_offset", "The offset of the next record", |held| held.ends.high_watermark),
    ("sluice_log_size_bytes", "Bytes of its segments", |held| held.bytes),
];

/// What a partition holds.
struct Held {
    label: Partition,
    ends: Ends,
    bytes: i64,
}

impl Collector for LogMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let held = self.held();
        for (name, help, number) in NUMBERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for one in &held {
                ConstGauge::new(number(one)).encode(family.encode_family(&one.label)?)?;
            }
        }
        self.figures(&mut encoder)
    }
}

impl LogMetrics {
    /// What of the log is no partition's.
    fn figures(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Self(log) = self;
        let Figures { refused, checkpoint_age, free_bytes } = log.figures();
        let read_only = i64::from(log.trouble().borrow().read_only.is_some());
        let age = i64::try_from(checkpoint_age.as_secs()).unwrap_or(i64::MAX);
        let free = free_bytes.map(|free| i64::try_from(free).unwrap_or(i64::MAX));
        let gauges = [
            ("sluice_log_read_only", "1 when nothing is written until a restart", Some(read_only)),
            ("sluice_log_checkpoint_age_seconds", "Since the last checkpoint", Some(age)),
            ("sluice_log_free_bytes", "Room on the disk of the log", free),
        ];
        for (name, help, number) in gauges {
            let Some(number) = number else { continue };
            let to = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(number).encode(to)?;
        }
        let name = "sluice_log_refused_appends";
        let help = "Requests to append that were refused, by why";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (cause, count) in refused {
            let reason = match cause {
                Cause::Full => "full",
                Cause::Error => "error",
                Cause::ReadOnly => "read_only",
            };
            ConstCounter::new(count).encode(family.encode_family(&Why { reason })?)?;
        }
        Ok(())
    }

    /// All partitions, at one moment. One that is deleted meanwhile is left out.
    fn held(&self) -> Vec<Held> {
        let numbers =
            |topic: Arc<Topic>| (0..topic.partitions()).map(move |n| (Arc::clone(&topic), n));
        let partitions: Vec<_> = self.0.topics().into_iter().flat_map(numbers).collect();
        let ends = self.0.ends(&partitions);
        let held = partitions.iter().zip(ends).filter_map(|((topic, partition), ends)| {
            let bytes = self.0.size(topic, *partition).ok()?;
            Some(Held {
                label: Partition { topic: topic.name().to_string(), partition: *partition },
                ends: ends.ok()?,
                bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
            })
        });
        held.collect()
    }
}
